/*
 * The writer's map: for each key that has a row without a result, the last such row.
 *
 * A hash table of chains through the rows themselves. It doubles when it has two rows a bucket, and
 * goes on with long chains when there is no memory for that; only the first buckets are needed to
 * work at all. Rows of one key hang on each other by `before` and `after`; the map holds the last,
 * so that a new row finds whom it has to wait for. The driver's thread owns it.
 */

#include "client/lib/writer.h"

#include "common/mem.h"

#define BUCKETS_MIN 64u
#define BUCKETS_MAX 1048576u

uint64_t cellar_writer_hash(const char *table, struct cellar_slice key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    CELLAR_ASSERT(table != NULL);
    for (; *table != '\0'; table++) {
        hash = (hash ^ (uint8_t)*table) * UINT64_C(0x100000001b3);
    }
    for (size_t index = 0; index < key.bytes; index++) {
        hash = (hash ^ key.data[index]) * UINT64_C(0x100000001b3);
    }
    return hash ^ hash >> 32;
}

void cellar_writer_map_fini(struct cellar_writer_map *map)
{
    CELLAR_ASSERT(map->count == 0);
    cellar_mem_free(map->buckets);
    *map = (struct cellar_writer_map){.buckets = NULL};
}

/* Where the chain of a hash begins. */
static struct cellar_writer_row **bucket_of(const struct cellar_writer_map *map, uint64_t hash)
{
    CELLAR_ASSERT(map->bucket_count > 0);
    return &map->buckets[hash & (map->bucket_count - 1)];
}

struct cellar_writer_row *cellar_writer_map_get(const struct cellar_writer_map *map,
                                                const struct cellar_writer_row *like)
{
    CELLAR_ASSERT(like->key_bytes > 0);
    struct cellar_writer_row *row = map->bucket_count == 0 ? NULL : *bucket_of(map, like->hash);
    while (row != NULL && (row->hash != like->hash || row->table != like->table ||
                           !cellar_slice_equal(cellar_writer_key(row), cellar_writer_key(like)))) {
        row = row->bucket_next;
    }
    return row;
}

/* Puts a row at the head of its chain. */
static void bucket_push(struct cellar_writer_map *map, struct cellar_writer_row *row)
{
    struct cellar_writer_row **bucket = bucket_of(map, row->hash);
    CELLAR_ASSERT(*bucket != row);
    row->bucket_next = *bucket;
    *bucket = row;
}

/* Doubles the buckets; false without memory, which only makes chains longer. */
static bool map_grow(struct cellar_writer_map *map)
{
    struct cellar_writer_map grown = {.count = map->count};
    grown.bucket_count = map->bucket_count == 0 ? BUCKETS_MIN : 2 * map->bucket_count;
    grown.buckets = cellar_mem_zalloc(grown.bucket_count, sizeof(struct cellar_writer_row *));
    if (grown.buckets == NULL) {
        return false;
    }
    for (size_t index = 0; index < map->bucket_count; index++) {
        struct cellar_writer_row *row = map->buckets[index];
        while (row != NULL) {
            struct cellar_writer_row *next = row->bucket_next;
            bucket_push(&grown, row);
            row = next;
        }
    }
    cellar_mem_free(map->buckets);
    *map = grown;
    CELLAR_ASSERT((map->bucket_count & (map->bucket_count - 1)) == 0);
    return true;
}

bool cellar_writer_map_add(struct cellar_writer_map *map, struct cellar_writer_row *row)
{
    CELLAR_ASSERT(row->bucket_next == NULL);
    if (map->count >= 2 * map->bucket_count && map->bucket_count < BUCKETS_MAX && !map_grow(map) &&
        map->bucket_count == 0) {
        return false;
    }
    bucket_push(map, row);
    map->count++;
    return true;
}

void cellar_writer_map_replace(struct cellar_writer_map *map, struct cellar_writer_row *row,
                               struct cellar_writer_row *by)
{
    struct cellar_writer_row **at = bucket_of(map, row->hash);
    while (*at != row) {
        CELLAR_ASSERT(*at != NULL);
        at = &(*at)->bucket_next;
    }
    if (by == NULL) {
        *at = row->bucket_next;
        map->count--;
    } else {
        CELLAR_ASSERT(by->hash == row->hash);
        by->bucket_next = row->bucket_next;
        *at = by;
    }
    row->bucket_next = NULL;
}
