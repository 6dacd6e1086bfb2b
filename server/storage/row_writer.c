/*
 * Writing one row down.
 *
 * Within a row only the regions that entries touch are rewritten; a region is a segment's range of
 * positions, from its key to the key of the next segment of the row:
 *
 *     entries      x     x x                   T----------)
 *     segments  |-----|-------|--------|-----|------|--------|
 *     regions   [rewr.][rewr. ]                [rewritten    ]
 *
 * A region's cells and the entries go through the same merge that readers use, into a list of
 * pending cells; the list is packed into segments of about 950 bytes. While a tombstone reaches on,
 * or when little is pending, the following region is taken in as well, so that no empty first
 * segment and few small ones remain. A row's first segment always has the row's key alone.
 *
 * A row that a range drop covers, or that lies in a range dropped earlier whose items are still
 * here, is rewritten whole, without its base, and taken out of that range.
 *
 * What a rule hides, or what is of a family that is gone, is left out where a run is rewritten
 * anyway. A run that begins within a column counts too few versions, and so leaves out less.
 *
 * The first segment of a run of regions keeps the key of the region; later ones get the shortest
 * key that separates them from the cell before.
 */
#include "server/storage/row_writer.h"

#include "common/mem.h"

#define PENDING_SMALL_BYTES (STORE_SEGMENT_BYTES_TARGET / 4)

void store_row_writer_begin(struct store_row_writer *writer, const struct store_memtable *memtable)
{
    CELLAR_ASSERT(writer->txn.is_write);
    store_merge_init(&writer->merge, &memtable, 1, UINT64_MAX);
    store_env_cursor_init(&writer->cursor, &writer->txn);
    writer->packer.txn = &writer->txn;
}

void store_row_writer_fini(struct store_row_writer *writer)
{
    store_env_cursor_fini(&writer->cursor);
    store_merge_fini(&writer->merge);
    store_packer_fini(&writer->packer);
    cellar_buffer_fini(&writer->key);
    cellar_arena_fini(&writer->copies);
    store_range_set_fini(&writer->hidden);
    CELLAR_ASSERT(writer->copies.newest == NULL);
}

static bool key_is_of_row(const struct store_row_writer *writer, struct cellar_slice key)
{
    CELLAR_ASSERT(writer->packer.row_key.bytes > 0);
    return cellar_slice_has_prefix(key, writer->packer.row_key);
}

enum cellar_status store_row_writer_behind(struct store_row_writer *writer,
                                           struct cellar_slice row_key)
{
    CELLAR_TRY(store_packer_set(&writer->key, row_key));
    cellar_key_pass_row(writer->key.data, writer->key.bytes);
    return CELLAR_OK;
}

/* ---- regions --------------------------------------------------------------------------------- */

/* Hands the region's one array of packed cells to the merge. */
static enum cellar_status base_give(void *context, struct cellar_slice *packed, bool *has_more)
{
    struct store_row_writer *writer = context;
    *has_more = writer->base.bytes > 0;
    *packed = writer->base;
    writer->base = cellar_slice_make(NULL, 0);
    CELLAR_ASSERT(!*has_more || packed->data != NULL);
    return CELLAR_OK;
}

/* Takes the segment under the cursor as the region: copies its cells, looks up the key behind it.
 */
static enum cellar_status region_load(struct store_row_writer *writer)
{
    struct store_segment segment;
    struct store_env_cursor *cursor = &writer->cursor;
    CELLAR_ASSERT(cursor->is_valid);
    CELLAR_TRY(store_env_cursor_check(cursor));
    if (!store_segment_decode(cursor->value, &segment)) {
        return CELLAR_DATA_LOSS;
    }
    uint8_t *copy = cellar_arena_copy(&writer->copies, segment.packed.data, segment.packed.bytes);
    if (copy == NULL) {
        return CELLAR_NO_MEMORY;
    }
    writer->base = cellar_slice_make(copy, segment.packed.bytes);
    if (writer->region_count == 0) {
        CELLAR_TRY(store_packer_set(&writer->packer.out_key, cellar_slice_of(&cursor->key)));
        CELLAR_TRY(store_packer_set(&writer->packer.old_value, cursor->value));
        writer->packer.has_old = true;
    }
    CELLAR_TRY(store_env_cursor_next(cursor));
    bool has_next = cursor->is_valid && key_is_of_row(writer, cellar_slice_of(&cursor->key));
    return store_packer_set(&writer->packer.next_key,
                            has_next ? cellar_slice_of(&cursor->key) : cellar_slice_make(NULL, 0));
}

/* A row that LMDB lacks is one region without base. Where it lies behind all others, as rows do
 * that come in the order of their keys, its segments are appended: LMDB leaves full pages then,
 * where it would else cut each in two halves. */
static enum cellar_status row_begin_new(struct store_row_writer *writer)
{
    struct store_env_cursor *cursor = &writer->cursor;
    struct store_packer *packer = &writer->packer;
    CELLAR_TRY(store_packer_set(&packer->out_key, packer->row_key));
    cellar_buffer_clear(&packer->next_key);
    CELLAR_ASSERT(packer->fill == NULL);
    CELLAR_TRY(cursor->is_valid ? store_env_cursor_next(cursor)
                                : store_env_cursor_seek(cursor, packer->row_key));
    packer->is_last = !cursor->is_valid;
    return CELLAR_OK;
}

/* Begins a run at the region that holds `key`. */
static enum cellar_status run_begin(struct store_row_writer *writer, struct cellar_slice key)
{
    struct store_env_cursor *cursor = &writer->cursor;
    writer->packer.has_old = false;
    writer->packer.has_written = false;
    writer->packer.is_last = false;
    writer->region_count = 0;
    store_filter_begin(&writer->filter);
    writer->base = cellar_slice_make(NULL, 0);
    CELLAR_TRY(store_env_cursor_seek_floor(cursor, key));
    if (cursor->is_valid && key_is_of_row(writer, cellar_slice_of(&cursor->key))) {
        CELLAR_TRY(region_load(writer));
    } else {
        CELLAR_TRY(row_begin_new(writer));
    }
    CELLAR_ASSERT(writer->packer.pending_count == 0);
    return CELLAR_OK;
}

/* Merges the region's cells and entries into the pending cells. */
static enum cellar_status region_merge(struct store_row_writer *writer)
{
    struct store_cell cell;
    bool has_cell = true;
    store_merge_base_set(&writer->merge, base_give, writer,
                         cellar_slice_of(&writer->packer.next_key));
    writer->region_count++;
    while (has_cell) {
        CELLAR_TRY(store_merge_next(&writer->merge, &cell, &has_cell));
        if (has_cell && (writer->filter.is_idle || !store_filter_hides(&writer->filter, &cell))) {
            CELLAR_TRY(store_packer_add(&writer->packer, &cell));
        }
    }
    CELLAR_ASSERT(writer->region_count > 0);
    return CELLAR_OK;
}

/* Whether the run takes in the region behind: a tombstone reaches into it, or the run would leave a
 * crumb, or a row without its first segment. */
static bool run_goes_on(const struct store_row_writer *writer)
{
    struct cellar_slice next_key = cellar_slice_of(&writer->packer.next_key);
    CELLAR_ASSERT(writer->region_count > 0);
    if (next_key.bytes == 0) {
        return false;
    }
    bool is_first = writer->packer.out_key.bytes == writer->packer.row_key.bytes;
    bool is_crumb = !writer->packer.has_written &&
                    writer->packer.pending_bytes < PENDING_SMALL_BYTES &&
                    (is_first || writer->packer.pending_count > 0);
    return is_crumb || store_merge_covers(&writer->merge, next_key);
}

/* Takes in the region behind: its segment goes, its cells come. */
static enum cellar_status run_extend(struct store_row_writer *writer)
{
    struct store_env_cursor *cursor = &writer->cursor;
    CELLAR_TRY(store_packer_set(&writer->key, cellar_slice_of(&writer->packer.next_key)));
    CELLAR_TRY(store_env_cursor_seek(cursor, cellar_slice_of(&writer->key)));
    if (!cursor->is_valid ||
        !cellar_slice_equal(cellar_slice_of(&cursor->key), cellar_slice_of(&writer->key))) {
        return CELLAR_DATA_LOSS;
    }
    CELLAR_TRY(region_load(writer));
    CELLAR_ASSERT(writer->base.bytes > 0);
    return store_env_delete(&writer->txn, cellar_slice_of(&writer->key));
}

/* Ends a run: writes what is pending; a run that left nothing loses the segment it began with. */
static enum cellar_status run_end(struct store_row_writer *writer)
{
    CELLAR_TRY(store_packer_flush(&writer->packer));
    cellar_arena_reset(&writer->copies);
    CELLAR_ASSERT(writer->packer.pending_count == 0);
    if (writer->packer.has_written || !writer->packer.has_old) {
        return CELLAR_OK;
    }
    writer->packer.item_count++;
    return store_env_delete(&writer->txn, cellar_slice_of(&writer->packer.out_key));
}

/* Takes a row that has been rewritten out of the dropped ranges: what it has now is new. */
static enum cellar_status row_unhide(struct store_row_writer *writer)
{
    struct store_range row = {.start = writer->packer.row_key};
    CELLAR_TRY(store_row_writer_behind(writer, writer->packer.row_key));
    row.end = cellar_slice_of(&writer->key);
    CELLAR_ASSERT(row.end.bytes == row.start.bytes);
    writer->has_cut = true;
    return store_range_set_cut(&writer->hidden, row);
}

/* A row that was dropped is rewritten from its start to its end, so that no old segment is left. */
enum cellar_status store_row_write(struct store_row_writer *writer, const struct store_entry *first)
{
    struct cellar_slice row_key = store_entry_row(first);
    writer->packer.row_key = row_key;
    bool has_entries = store_merge_row(&writer->merge, row_key, &first, NULL, NULL);
    bool is_hidden = store_range_set_find(&writer->hidden, row_key) != NULL;
    if (is_hidden) {
        store_merge_base_hide(&writer->merge);
    }
    bool is_dropped = store_merge_base_is_hidden(&writer->merge);
    CELLAR_ASSERT(has_entries);
    for (const struct store_entry *entry = store_merge_peek(&writer->merge); entry != NULL;
         entry = store_merge_peek(&writer->merge)) {
        CELLAR_TRY(run_begin(writer, is_dropped ? row_key : store_entry_key(entry)));
        CELLAR_TRY(region_merge(writer));
        while (run_goes_on(writer)) {
            CELLAR_TRY(run_extend(writer));
            CELLAR_TRY(region_merge(writer));
        }
        CELLAR_TRY(run_end(writer));
    }
    return is_hidden ? row_unhide(writer) : CELLAR_OK;
}
