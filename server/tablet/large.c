/*
 * Large values and payloads on their way into files.
 *
 * A file is durable, name and bytes, before a record can name it (blob_files.h), so that a record
 * that is durable never names what is not. The other way round a crash leaves files that nothing
 * names; the next start removes them (engine_blobs.c).
 *
 * The disk's reserve is looked at before each file, as writes of sets are refused below it; the
 * append looks at it again.
 */
#include "server/tablet/large.h"

#define MIDDLING_VALUE_BYTES 65536u
#define RECORD_OTHER_BYTES 8192u /* of a record beside its items: head, row, token */

uint64_t tablet_large_value_bytes(const struct store_engine *engine)
{
    /* Half a record leaves room for the row's key, names and the token. */
    uint64_t record_bytes = store_engine_record_bytes_max(engine);
    CELLAR_ASSERT(record_bytes > 0);
    return CELLAR_MIN(record_bytes / 2, (uint64_t)CELLAR_INLINE_VALUE_BYTES_MAX);
}

uint64_t tablet_large_memory_bytes(const struct tablet_items *items)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < items->count; i++) {
        const struct store_item *item = &items->items[i];
        uint64_t value_bytes = item->value.bytes <= MIDDLING_VALUE_BYTES ? 0 : item->value.bytes;
        bytes += store_item_bytes(item) - value_bytes;
    }
    CELLAR_ASSERT(items->count == 0 || bytes > 0);
    return bytes;
}

/* The largest value that stays: where all together are too much for a record, middling ones go into
 * files too, so that what passes through memory as a whole are small cells alone. */
static uint64_t value_limit(const struct tablet_large *large, const struct tablet_items *items)
{
    uint64_t limit = tablet_large_value_bytes(large->engine);
    uint64_t bytes = RECORD_OTHER_BYTES;
    for (uint32_t i = 0; i < items->count; i++) {
        bytes += store_item_bytes(&items->items[i]);
    }
    CELLAR_ASSERT(limit > 0);
    return bytes <= store_engine_record_bytes_max(large->engine)
               ? limit
               : CELLAR_MIN(limit, (uint64_t)MIDDLING_VALUE_BYTES);
}

/* Says why a file could not be written. */
static enum cellar_status write_failed(const struct tablet_large *large, enum cellar_status status,
                                       uint64_t bytes, struct cellar_error *error)
{
    const char *directory = store_engine_data_dir(large->engine);
    CELLAR_ASSERT(status != CELLAR_OK);
    if (status == CELLAR_RESOURCE_EXHAUSTED) {
        return cellar_error_set(error, status,
                                "the disk of %s has no room for a value of %llu bytes", directory,
                                (unsigned long long)bytes);
    }
    return cellar_error_set(error, status, "a value of %llu bytes could not be written in %s: %s",
                            (unsigned long long)bytes, directory, cellar_status_text(status));
}

/* Makes room for one more id, before its file is written. */
static enum cellar_status ids_reserve(struct tablet_large *large, uint32_t capacity)
{
    CELLAR_ASSERT(large->count <= large->capacity);
    if (large->count < large->capacity) {
        return CELLAR_OK;
    }
    uint64_t *ids = cellar_arena_alloc(large->arena, capacity * sizeof *ids);
    if (ids == NULL) {
        return CELLAR_NO_MEMORY;
    }
    if (large->count > 0) {
        memcpy(ids, large->ids, large->count * sizeof *ids);
    }
    large->ids = ids;
    large->capacity = capacity;
    return CELLAR_OK;
}

/* Writes a file. @param reference  receives what names it; in the arena */
static enum cellar_status blob_write(struct tablet_large *large, struct cellar_slice value,
                                     bool is_mapped, uint8_t **reference,
                                     struct cellar_error *error)
{
    struct store_blob blob;
    CELLAR_ASSERT(large->count < large->capacity);
    CELLAR_TRY(store_engine_check(large->engine, error));
    *reference = cellar_arena_alloc(large->arena, STORE_BLOB_REFERENCE_BYTES);
    if (*reference == NULL) {
        return write_failed(large, CELLAR_NO_MEMORY, value.bytes, error);
    }
    enum cellar_status status =
        store_blobs_write(store_engine_blobs(large->engine), value, is_mapped, &blob);
    if (status != CELLAR_OK) {
        return write_failed(large, status, value.bytes, error);
    }
    large->ids[large->count++] = blob.id;
    store_blob_encode(*reference, &blob);
    return CELLAR_OK;
}

static enum cellar_status values_write(struct tablet_large *large, struct tablet_items *items,
                                       uint64_t bytes_max, struct cellar_error *error)
{
    uint32_t large_count = 0;
    for (uint32_t i = 0; i < items->count; i++) {
        large_count += items->items[i].value.bytes > bytes_max ? 1 : 0;
    }
    if (ids_reserve(large, large_count + 1) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for %u large values",
                                large_count);
    }
    for (uint32_t i = 0; i < items->count; i++) {
        struct store_item *item = &items->items[i];
        uint8_t *reference = NULL;
        if (item->value.bytes <= bytes_max) {
            continue;
        }
        CELLAR_ASSERT(item->type == STORE_ITEM_SET);
        CELLAR_TRY(blob_write(large, item->value, large->is_mapped, &reference, error));
        item->type = STORE_ITEM_SET_BLOB;
        item->value = cellar_slice_make(reference, STORE_BLOB_REFERENCE_BYTES);
    }
    return CELLAR_OK;
}

enum cellar_status tablet_large_values_write(struct tablet_large *large, struct tablet_items *items,
                                             struct cellar_error *error)
{
    uint64_t limit_min =
        CELLAR_MIN(tablet_large_value_bytes(large->engine), (uint64_t)MIDDLING_VALUE_BYTES);
    CELLAR_ASSERT(large->count == 0);
    if (items->value_bytes_max <= limit_min) {
        return CELLAR_OK;
    }
    uint64_t bytes_max = value_limit(large, items);
    if (items->value_bytes_max <= bytes_max) {
        return CELLAR_OK;
    }
    enum cellar_status status = values_write(large, items, bytes_max, error);
    if (status != CELLAR_OK) {
        tablet_large_drop(large);
    }
    return status;
}

enum cellar_status tablet_large_value_write(struct tablet_large *large, struct cellar_slice value,
                                            uint8_t **reference, struct cellar_error *error)
{
    CELLAR_ASSERT(value.bytes > 0);
    return ids_reserve(large, CELLAR_MAX(2 * large->count, 16u)) == CELLAR_OK
               ? blob_write(large, value, large->is_mapped, reference, error)
               : write_failed(large, CELLAR_NO_MEMORY, value.bytes, error);
}

enum cellar_status tablet_large_payload_write(struct tablet_large *large,
                                              struct cellar_slice payload,
                                              struct cellar_error *error)
{
    CELLAR_ASSERT(large->reference == NULL);
    if (payload.bytes <= store_engine_record_bytes_max(large->engine)) {
        return CELLAR_OK;
    }
    enum cellar_status status = ids_reserve(large, large->count + 1);
    status = status == CELLAR_OK ? blob_write(large, payload, false, &large->reference, error)
                                 : write_failed(large, status, payload.bytes, error);
    if (status != CELLAR_OK) {
        large->reference = NULL;
        tablet_large_drop(large);
    }
    return status;
}

void tablet_large_drop(struct tablet_large *large)
{
    if (large == NULL) {
        return;
    }
    for (uint32_t i = 0; i < large->count; i++) {
        store_blobs_remove(store_engine_blobs(large->engine), large->ids[i]);
    }
    large->count = 0;
    large->reference = NULL;
    CELLAR_ASSERT(large->capacity == 0 || large->ids != NULL);
}
