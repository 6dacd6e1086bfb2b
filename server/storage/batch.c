/*
 * Batches: what one record puts into a memtable, in one block of memory, which comes from the
 * heap or from the submitting thread's slab: a copy of the payload, which the log writes from, the
 * entries with their keys, and the list of the entries.
 *
 *     batch | list of entries | payload | entry, links, key | entry, links, key | ... | reference
 *
 * A payload is read twice, once to count and once to fill. The height of an entry is drawn with
 * probability 1/2 a level from a generator of the building thread; both passes draw the same
 * heights from the same start.
 */
#include "server/storage/batch.h"

#include "common/key.h"
#include "common/mem.h"
#include "server/storage/blob_files.h"

static _Thread_local uint64_t height_state;

/* xorshift: three shifts are enough for heights, which nobody can choose from outside, and a
 * generator of each thread needs no lock.  */
static uint8_t height_draw(void)
{
    CELLAR_ASSERT(height_state != 0);
    height_state ^= height_state << 13;
    height_state ^= height_state >> 7;
    height_state ^= height_state << 17;
    uint8_t height = 1;
    for (uint64_t bits = height_state >> 8; (bits & 1) == 0 && height < STORE_MEMTABLE_HEIGHT_MAX;
         bits >>= 1) {
        height++;
    }
    CELLAR_ASSERT(height >= 1);
    return height;
}

static size_t align8(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

/* Must say to the byte what entry_fill() writes: store_batch_new() asserts that both passes end at
 * the same place. */
static size_t item_key_bytes(const struct store_mutation *mutation, const struct store_item *item)
{
    size_t bytes = cellar_key_escaped_bytes(mutation->row);
    if (item->type == STORE_ITEM_DELETE_ROW) {
        return bytes;
    }
    if (item->type == STORE_ITEM_TOKEN) {
        return bytes + 1 + item->qualifier.bytes;
    }
    bytes += item->family.bytes + 5;
    if (item->type == STORE_ITEM_DELETE_FAMILY) {
        return bytes;
    }
    bytes += cellar_key_escaped_bytes(item->qualifier);
    return item->type == STORE_ITEM_DELETE_COLUMN ? bytes : bytes + 8;
}

size_t store_entry_bytes(uint8_t height, size_t key_bytes)
{
    CELLAR_ASSERT(height <= STORE_MEMTABLE_HEIGHT_MAX);
    return align8(sizeof(struct store_entry) + height * sizeof(struct store_link) + key_bytes);
}

/* What the building of a batch counts in its first pass and fills in its second. */
struct batch_build {
    size_t bytes; /* of entries */
    uint32_t entry_count;
    uint8_t *at; /* second pass: where the next entry goes */
    struct store_batch *batch;
};

/* The value is not copied: it lies in the batch's own copy of the payload, which lives as long. */
static void entry_fill(struct batch_build *build, const struct store_mutation *mutation,
                       const struct store_item *item)
{
    struct store_entry *entry = (struct store_entry *)(void *)build->at;
    entry->height = height_draw();
    entry->type = (uint8_t)item->type;
    entry->start_us = item->start_us;
    entry->end_us = item->end_us;
    entry->value = item->value.data;
    entry->value_bytes = (uint32_t)item->value.bytes;
    entry->family_bytes = (uint8_t)item->family.bytes;
    entry->qualifier_bytes = (uint16_t)item->qualifier.bytes;
    uint8_t *key = (uint8_t *)(uintptr_t)&entry->next[entry->height];
    uint8_t *end = cellar_key_put_escaped(key, mutation->row);
    entry->row_key_bytes = (uint16_t)(end - key);
    if (item->type == STORE_ITEM_TOKEN) {
        end = store_token_put(end, item->qualifier);
    } else if (item->type != STORE_ITEM_DELETE_ROW) {
        end = cellar_key_put_family(end, item->family, item->generation);
    }
    bool is_cell = item->type == STORE_ITEM_SET || item->type == STORE_ITEM_SET_BLOB;
    if (is_cell || item->type == STORE_ITEM_DELETE_COLUMN) {
        end = cellar_key_put_escaped(end, item->qualifier);
    }
    if (is_cell) {
        end = cellar_key_put_timestamp(end, item->start_us);
    }
    build->batch->blob_count += item->type == STORE_ITEM_SET_BLOB ? 1 : 0;
    entry->key_bytes = (uint32_t)(end - key);
    build->at += store_entry_bytes(entry->height, entry->key_bytes);
    CELLAR_ASSERT(build->entry_count < build->batch->entry_count);
    build->batch->entries[build->entry_count++] = entry;
}

/* One mutation's items, counted (no batch yet) or filled. */
static bool build_mutation(struct batch_build *build, struct cellar_slice payload)
{
    struct cellar_cursor from = cellar_cursor_make(payload);
    struct store_mutation mutation;
    struct store_item item;
    if (!store_mutation_decode(&from, &mutation)) {
        return false;
    }
    for (uint32_t i = 0; i < mutation.item_count; i++) {
        if (!store_item_decode(&from, &item)) {
            return false;
        }
        if (item.type == STORE_ITEM_TOKEN && build->batch != NULL) {
            build->batch->token_expiry_us = item.start_us;
        }
        if (build->batch == NULL) {
            build->bytes += store_entry_bytes(height_draw(), item_key_bytes(&mutation, &item));
            build->entry_count++;
        } else {
            entry_fill(build, &mutation, &item);
        }
    }
    if (build->batch != NULL) {
        build->batch->server_time_us =
            CELLAR_MAX(build->batch->server_time_us, mutation.server_time_us);
    }
    CELLAR_ASSERT(from.at <= from.end);
    return from.at == from.end;
}

/* From here on the payload is known to be sound; in the second pass it cannot fail any more. */
static bool build_payload(struct batch_build *build, struct cellar_slice payload, bool is_catalog)
{
    if (!is_catalog) {
        return build_mutation(build, payload);
    }
    struct cellar_cursor from = cellar_cursor_make(payload);
    uint32_t count = 0;
    if (!store_catalog_open(&from, &count)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct cellar_slice mutation;
        if (!store_catalog_next(&from, &mutation) || !build_mutation(build, mutation)) {
            return false;
        }
    }
    CELLAR_ASSERT(count > 0);
    return from.at == from.end;
}

/* Where a batch's block comes from, and what else goes into it. */
struct batch_room {
    struct store_slab *slab; /* NULL: the heap */
    uint32_t store_id;
    struct cellar_slice reference; /* of the payload's blob; empty: none */
};

/* A block for a batch, whose head is zero but for the chunk; NULL without memory. */
static struct store_batch *batch_alloc(const struct batch_room *room, size_t bytes)
{
    struct store_slab_chunk *chunk = NULL;
    struct store_batch *batch = NULL;
    if (room->slab != NULL) {
        batch = store_slab_take(room->slab, room->store_id, bytes, &chunk);
    }
    CELLAR_ASSERT((batch == NULL) == (chunk == NULL));
    batch = batch == NULL ? cellar_mem_alloc(bytes) : batch;
    if (batch != NULL) {
        *batch = (struct store_batch){.total_bytes = bytes, .chunk = chunk};
    }
    return batch;
}

/* Two passes over the payload, one allocation: the first counts, the second fills. Both draw the
 * same heights, as the generator is set back in between. The caller's payload is read in the first
 * pass only, its copy in the second, as the entries point into it. */
static enum cellar_status batch_make(struct cellar_slice payload, bool is_catalog,
                                     const struct batch_room *room, struct store_batch **batch)
{
    struct batch_build build = {0};
    if (height_state == 0) {
        height_state = (uint64_t)(uintptr_t)&height_state | 1;
    }
    uint64_t heights_start = height_state;
    if (!build_payload(&build, payload, is_catalog)) {
        return CELLAR_DATA_LOSS;
    }
    size_t head = align8(sizeof(struct store_batch)) +
                  align8(build.entry_count * sizeof(struct store_entry *));
    size_t entries_at = head + align8(payload.bytes);
    size_t total = entries_at + build.bytes + room->reference.bytes;
    struct store_batch *made = batch_alloc(room, total);
    uint8_t *memory = (uint8_t *)made;
    if (made == NULL) {
        return CELLAR_NO_MEMORY;
    }
    made->entries = (struct store_entry **)(void *)(memory + align8(sizeof *made));
    made->entry_count = build.entry_count;
    memcpy(memory + head, payload.data, payload.bytes);
    made->payload = cellar_slice_make(memory + head, payload.bytes);
    struct batch_build fill = {.batch = made, .at = memory + entries_at};
    height_state = heights_start;
    bool is_built = build_payload(&fill, made->payload, is_catalog);
    CELLAR_ASSERT(is_built && fill.at + room->reference.bytes == memory + total);
    if (room->reference.bytes > 0) {
        memcpy(fill.at, room->reference.data, room->reference.bytes);
        made->reference = cellar_slice_make(fill.at, room->reference.bytes);
        made->blob_count++;
    }
    *batch = made;
    return CELLAR_OK;
}

enum cellar_status store_batch_new(struct cellar_slice payload, bool is_catalog,
                                   struct store_batch **batch)
{
    const struct batch_room room = {.slab = NULL};
    CELLAR_ASSERT(batch != NULL);
    return batch_make(payload, is_catalog, &room, batch);
}

enum cellar_status store_batch_new_in(struct cellar_slice payload, struct store_slab *slab,
                                      uint32_t store_id, struct store_batch **batch)
{
    const struct batch_room room = {.slab = slab, .store_id = store_id};
    CELLAR_ASSERT(batch != NULL);
    return batch_make(payload, false, &room, batch);
}

enum cellar_status store_batch_new_blob(struct cellar_slice payload, struct cellar_slice reference,
                                        struct store_batch **batch)
{
    const struct batch_room room = {.reference = reference};
    CELLAR_ASSERT(reference.bytes == STORE_BLOB_REFERENCE_BYTES);
    return batch_make(payload, false, &room, batch);
}

/* A bound as the position of its row; no bound stays empty. */
static struct cellar_slice bound_put(uint8_t **at, struct cellar_slice row)
{
    uint8_t *start = *at;
    CELLAR_ASSERT(row.bytes <= CELLAR_ROW_BYTES_MAX);
    if (row.bytes > 0) {
        *at = cellar_key_put_escaped(start, row);
    }
    return cellar_slice_make(start, (size_t)(*at - start));
}

/* One block again: batch, drop, payload, both bounds. */
enum cellar_status store_batch_new_drop(struct cellar_slice payload, struct store_batch **batch)
{
    struct store_range_drop rows;
    if (!store_range_drop_decode(payload, &rows)) {
        return CELLAR_DATA_LOSS;
    }
    size_t head = align8(sizeof(struct store_batch)) + align8(sizeof(struct store_drop));
    size_t total = head + align8(payload.bytes) + cellar_key_escaped_bytes(rows.start) +
                   cellar_key_escaped_bytes(rows.end);
    uint8_t *memory = cellar_mem_zalloc(1, total);
    if (memory == NULL) {
        return CELLAR_NO_MEMORY;
    }
    struct store_batch *made = (struct store_batch *)(void *)memory;
    made->drop = (struct store_drop *)(void *)(memory + align8(sizeof *made));
    made->total_bytes = total;
    memcpy(memory + head, payload.data, payload.bytes);
    made->payload = cellar_slice_make(memory + head, payload.bytes);
    uint8_t *at = memory + head + align8(payload.bytes);
    made->drop->range.start = bound_put(&at, rows.start);
    made->drop->range.end = bound_put(&at, rows.end);
    CELLAR_ASSERT(at <= memory + total);
    *batch = made;
    return CELLAR_OK;
}

/* One block holds all of it. */
void store_batch_free(struct store_batch *batch)
{
    if (batch != NULL && batch->chunk != NULL) {
        CELLAR_ASSERT(batch->total_bytes <= STORE_SLAB_BLOCK_BYTES_MAX);
        store_slab_chunk_unref(batch->chunk);
        return;
    }
    cellar_mem_free(batch);
}
