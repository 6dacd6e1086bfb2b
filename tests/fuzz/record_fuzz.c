/*
 * Record payloads from any bytes: as a mutation (first byte even) or as a catalog record (odd).
 * What store_batch_new() accepts must have sound positions, go into a memtable and stand there in
 * order.
 */
#include <string.h>

#include "common/key.h"
#include "server/storage/memtable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void entry_check(const struct store_entry *entry)
{
    struct cellar_slice key = store_entry_key(entry);
    struct cellar_slice family;
    struct cellar_slice qualifier;
    uint32_t generation = 0;
    int64_t timestamp_us = 0;
    CELLAR_ASSERT(cellar_key_escaped_span(key) == entry->row_key_bytes);
    CELLAR_ASSERT(key.bytes <= CELLAR_KEY_BYTES_MAX);
    if (entry->type == STORE_ITEM_SET) {
        struct cellar_slice rest =
            cellar_slice_make(key.data + entry->row_key_bytes, key.bytes - entry->row_key_bytes);
        CELLAR_ASSERT(cellar_key_split(rest, &family, &generation, &qualifier, &timestamp_us));
        CELLAR_ASSERT(timestamp_us == entry->start_us && generation > 0);
        CELLAR_ASSERT(family.bytes >= 1 && family.bytes <= CELLAR_FAMILY_BYTES_MAX);
    }
}

/* Takes the batch. */
static void order_check(struct store_batch *batch)
{
    struct store_memtable *memtable = store_memtable_new();
    const struct store_entry *before = NULL;
    uint32_t entry_count = batch->entry_count;
    uint32_t seen_count = 0;
    CELLAR_ASSERT(memtable != NULL);
    store_memtable_insert(memtable, batch, 1);
    for (const struct store_entry *entry =
             store_memtable_seek(memtable, cellar_slice_make(NULL, 0));
         entry != NULL; entry = store_entry_next(entry)) {
        CELLAR_ASSERT(before == NULL ||
                      cellar_slice_compare(store_entry_key(before), store_entry_key(entry)) <= 0);
        before = entry;
        seen_count++;
    }
    CELLAR_ASSERT(seen_count == entry_count);
    store_memtable_unref(memtable);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct store_batch *batch = NULL;
    if (bytes == 0) {
        return 0;
    }
    enum cellar_status status =
        store_batch_new(cellar_slice_make(data + 1, bytes - 1), data[0] % 2 == 1, &batch);
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_DATA_LOSS);
    if (status != CELLAR_OK) {
        CELLAR_ASSERT(batch == NULL);
        return 0;
    }
    CELLAR_ASSERT(batch->payload.bytes == bytes - 1);
    for (uint32_t i = 0; i < batch->entry_count; i++) {
        entry_check(batch->entries[i]);
    }
    order_check(batch);
    return 0;
}
