/*
 * Dropping rows by prefix: one record a tablet that the prefix touches, all queued in one hold of
 * the append lock, so that no write comes between the parts of one drop. The storage below hides
 * the range from that record on and removes what it held in the background (storage/removal.c).
 *
 * Everything that may fail for want of memory is made before the lock is taken.
 */
#include "server/tablet/rows_drop.h"

#include "server/tablet/damage.h"
#include "server/tablet/wait.h"

/* The drop of one tablet's part. */
struct part {
    struct tablet_wait_record record;
    struct store_batch *batch; /* NULL once it is queued */
    struct store *store;
};

struct drop {
    struct tablet_wait wait;
    struct part *parts;
    size_t part_count;
    uint8_t end[CELLAR_ROW_BYTES_MAX]; /* of the range, behind all rows with the prefix */
};

/* The first row behind all that begin with the prefix; empty when there is no such bound. */
static struct cellar_slice prefix_end(struct cellar_slice prefix, uint8_t *to)
{
    size_t bytes = prefix.bytes;
    CELLAR_ASSERT(bytes <= CELLAR_ROW_BYTES_MAX);
    while (bytes > 0 && prefix.data[bytes - 1] == 0xFF) {
        bytes--;
    }
    if (bytes == 0) {
        return cellar_slice_make(NULL, 0);
    }
    memcpy(to, prefix.data, bytes);
    to[bytes - 1]++;
    return cellar_slice_make(to, bytes);
}

/* What two ranges share. @return false when that is nothing */
static bool range_cut(const struct tablet *tablet, struct store_range_drop *range)
{
    if (cellar_slice_compare(range->start, tablet->start) < 0) {
        range->start = tablet->start;
    }
    bool ends_later = range->end.bytes == 0 ||
                      (tablet->end.bytes > 0 && cellar_slice_compare(tablet->end, range->end) < 0);
    if (ends_later) {
        range->end = tablet->end;
    }
    CELLAR_ASSERT(tablet->store != NULL);
    return range->end.bytes == 0 || cellar_slice_compare(range->start, range->end) < 0;
}

static enum cellar_status part_make(struct drop *drop, const struct tablet *tablet,
                                    struct store_range_drop range)
{
    struct cellar_buffer payload = {0};
    struct part *part = &drop->parts[drop->part_count];
    if (!range_cut(tablet, &range)) {
        return CELLAR_OK;
    }
    enum cellar_status status = store_range_drop_encode(&payload, &range);
    if (status == CELLAR_OK) {
        status = store_batch_new_drop(cellar_slice_of(&payload), &part->batch);
    }
    cellar_buffer_fini(&payload);
    if (status != CELLAR_OK) {
        CELLAR_ASSERT(status == CELLAR_NO_MEMORY);
        return status;
    }
    part->store = tablet->store;
    drop->part_count++;
    return CELLAR_OK;
}

static enum cellar_status parts_make(struct drop *drop, const struct tablet_table *table,
                                     struct cellar_slice prefix)
{
    const struct store_range_drop range = {prefix, prefix_end(prefix, drop->end)};
    drop->parts = cellar_mem_zalloc(table->tablet_count, sizeof *drop->parts);
    if (drop->parts == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (size_t i = 0; i < table->tablet_count; i++) {
        CELLAR_TRY(part_make(drop, &table->tablets[i], range));
    }
    CELLAR_ASSERT(drop->part_count > 0);
    return CELLAR_OK;
}

/* With the append lock: all parts or none. */
static enum cellar_status parts_queue(struct drop *drop, struct store_engine *engine,
                                      const struct tablet_table *table, struct cellar_error *error)
{
    if (atomic_load(&table->is_dropped)) {
        return tablet_name_not_found(&table->name, error);
    }
    if (atomic_load(&table->is_loading)) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "a bulk load of the table runs; drop rows when it has ended");
    }
    for (size_t i = 0; i < drop->part_count; i++) {
        enum cellar_status status = store_engine_admit(engine, drop->parts[i].store, false, error);
        CELLAR_TRY(tablet_damage_tell(table, drop->parts[i].store, status, error));
    }
    for (size_t i = 0; i < drop->part_count; i++) {
        struct part *part = &drop->parts[i];
        tablet_wait_add(&drop->wait, &part->record);
        part->record.record.entry = (struct store_log_entry){.store_id = part->store->id,
                                                             .type = STORE_RECORD_RANGE_DROP,
                                                             .payload = part->batch->payload};
        store_engine_append(engine, part->store, &part->record.record, part->batch);
        part->batch = NULL;
    }
    CELLAR_ASSERT(drop->part_count > 0);
    return CELLAR_OK;
}

static void drop_free(struct drop *drop)
{
    for (size_t i = 0; drop->parts != NULL && i < drop->part_count; i++) {
        store_batch_free(drop->parts[i].batch);
    }
    CELLAR_ASSERT(drop->part_count == 0 || drop->parts != NULL);
    cellar_mem_free(drop->parts);
    cellar_mem_free(drop);
}

enum cellar_status tablet_rows_drop(struct store_engine *engine, struct tablet_table *table,
                                    struct cellar_slice prefix, struct cellar_error *error)
{
    struct drop *drop = cellar_mem_zalloc(1, sizeof *drop);
    enum cellar_status status = drop == NULL ? CELLAR_NO_MEMORY : parts_make(drop, table, prefix);
    if (status != CELLAR_OK) {
        if (drop != NULL) {
            drop_free(drop);
        }
        return cellar_error_set(error, status, "no memory for a drop of rows");
    }
    tablet_wait_begin(&drop->wait);
    store_log_lock(store_engine_log(engine));
    status = parts_queue(drop, engine, table, error);
    store_log_unlock(store_engine_log(engine));
    enum cellar_status end = tablet_wait_end(&drop->wait);
    if (status == CELLAR_OK && end != CELLAR_OK) {
        status = cellar_error_set(
            error, end, "the commit log failed; the rows may or may not have been dropped");
    }
    CELLAR_ASSERT(status == CELLAR_OK || end == CELLAR_OK || status == end);
    drop_free(drop);
    return status;
}
