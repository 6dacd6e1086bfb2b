/*
 * A hash table of names and counters.
 *
 * Open addressing with linear probing; the table doubles when it is half full, so that probes stay
 * short. Names are copied into an arena. Nothing is ever removed. One thread.
 */

#include "client/tools/name_count.h"

#define CAPACITY_MIN 1024u

struct cellar_name_entry {
    struct cellar_slice name; /* data NULL: the place is free */
    uint64_t hash;
    uint64_t count;
};

uint64_t cellar_name_hash(struct cellar_slice name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    CELLAR_ASSERT(name.data != NULL || name.bytes == 0);
    for (size_t index = 0; index < name.bytes; index++) {
        hash = (hash ^ name.data[index]) * UINT64_C(0x100000001b3);
    }
    hash = (hash ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

void cellar_name_count_fini(struct cellar_name_count *names)
{
    CELLAR_ASSERT(names->count <= names->capacity);
    cellar_arena_fini(&names->names);
    cellar_mem_free(names->entries);
    memset(names, 0, sizeof *names);
}

/* The place of a name: its own, or the free one where it belongs. */
static struct cellar_name_entry *place_find(const struct cellar_name_count *names,
                                            struct cellar_slice name, uint64_t hash)
{
    size_t index = (size_t)hash & (names->capacity - 1);
    CELLAR_ASSERT(names->count < names->capacity);
    for (;;) {
        struct cellar_name_entry *entry = &names->entries[index];
        if (entry->name.data == NULL ||
            (entry->hash == hash && cellar_slice_equal(entry->name, name))) {
            return entry;
        }
        index = (index + 1) & (names->capacity - 1);
    }
}

/* Makes the table large enough for one more name. */
static bool table_reserve(struct cellar_name_count *names)
{
    if (names->count < names->capacity / 2) {
        return true;
    }
    struct cellar_name_count larger = {.names = names->names, .count = names->count};
    larger.capacity = CELLAR_MAX(2 * names->capacity, (size_t)CAPACITY_MIN);
    larger.entries = cellar_mem_zalloc(larger.capacity, sizeof *larger.entries);
    if (larger.entries == NULL) {
        return false;
    }
    for (size_t index = 0; index < names->capacity; index++) {
        const struct cellar_name_entry *entry = &names->entries[index];
        if (entry->name.data != NULL) {
            *place_find(&larger, entry->name, entry->hash) = *entry;
        }
    }
    cellar_mem_free(names->entries);
    *names = larger;
    CELLAR_ASSERT(names->count < names->capacity / 2);
    return true;
}

enum cellar_status cellar_name_count_add(struct cellar_name_count *names, struct cellar_slice name,
                                         uint64_t *before, struct cellar_error *error)
{
    CELLAR_ASSERT(before != NULL);
    if (!table_reserve(names)) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to count names");
    }
    uint64_t hash = cellar_name_hash(name);
    struct cellar_name_entry *entry = place_find(names, name, hash);
    if (entry->name.data == NULL) {
        if (names->count == CELLAR_NAME_COUNT_MAX) {
            return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                    "At most %u different names are counted",
                                    CELLAR_NAME_COUNT_MAX);
        }
        void *copy = cellar_arena_copy(&names->names, name.data, name.bytes);
        if (copy == NULL) {
            return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to count names");
        }
        *entry =
            (struct cellar_name_entry){.name = cellar_slice_make(copy, name.bytes), .hash = hash};
        names->count++;
    }
    *before = entry->count++;
    return CELLAR_OK;
}
