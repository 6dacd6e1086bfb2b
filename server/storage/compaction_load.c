/*
 * Rows that come from elsewhere into a new generation: the second source of a load.
 *
 *     old generation   |####|##|        range        |###|####|
 *     new generation   |#######|+++++++++|
 *                       copied   loaded   ^ place
 *
 * The old generation has nothing in the range: each chunk looks whether that is still so from the
 * place on, as a checkpoint may have brought a row since. Behind the place there is nothing to look
 * for: a checkpoint writes what changes there into both generations, above what was loaded.
 *
 * Rows go through the filter and the packer as those that are copied do. Cells borrow from the
 * caller, and all of a row is written before the next one begins. A row may take several
 * transactions, as one of hundreds of megabytes would keep all its pages in memory; but the store
 * stays claimed between them, so that a checkpoint never meets a row that is loaded in part.
 */
#include "server/storage/compaction_internal.h"

#define CHUNK_BYTES UINT64_C(8388608)

/* FAILED_PRECONDITION when the old generation has a row between the place and the range's end. What
 * was dropped and is not removed yet is no row. */
static enum cellar_status range_check(struct store_chunk *chunk)
{
    const struct store_compaction *compaction = chunk->compaction;
    struct store_env_cursor *cursor = &chunk->cursor;
    const struct store_range range = {cellar_slice_of(&compaction->place),
                                      cellar_slice_of(&compaction->range_end)};
    CELLAR_TRY(store_env_cursor_seek(cursor, range.start));
    while (cursor->is_valid && store_range_has(&range, cellar_slice_of(&cursor->key))) {
        const struct store_range *hidden =
            store_range_set_find(&chunk->from->pending, cellar_slice_of(&cursor->key));
        if (hidden == NULL) {
            return CELLAR_FAILED_PRECONDITION;
        }
        if (hidden->end.bytes == 0) {
            return CELLAR_OK;
        }
        CELLAR_TRY(store_env_cursor_seek(cursor, hidden->end));
    }
    CELLAR_ASSERT(compaction->row.bytes == 0);
    return CELLAR_OK;
}

/* Sets the row's part of keys, which lies in the range and behind all rows so far. */
static enum cellar_status row_begin(struct store_compaction *compaction, struct cellar_slice key)
{
    struct cellar_buffer *row = &compaction->row;
    CELLAR_TRY(cellar_buffer_reserve(row, cellar_key_escaped_bytes(key)));
    row->bytes = (size_t)(cellar_key_put_escaped(row->data, key) - row->data);
    CELLAR_ASSERT(cellar_slice_compare(cellar_slice_of(row), cellar_slice_of(&compaction->place)) >=
                  0);
    CELLAR_ASSERT(
        compaction->range_end.bytes == 0 ||
        cellar_slice_compare(cellar_slice_of(row), cellar_slice_of(&compaction->range_end)) < 0);
    store_packer_begin(&compaction->packer, cellar_slice_of(row));
    store_filter_begin(&compaction->filter);
    cellar_buffer_clear(&compaction->packer.next_key);
    return store_packer_set(&compaction->packer.out_key, cellar_slice_of(row));
}

/* The row is whole: the next one lies behind it. */
static enum cellar_status row_end(struct store_compaction *compaction)
{
    CELLAR_ASSERT(compaction->row.bytes > 0);
    CELLAR_TRY(store_packer_flush(&compaction->packer));
    CELLAR_TRY(store_packer_set(&compaction->place, cellar_slice_of(&compaction->row)));
    cellar_key_pass_row(compaction->place.data, compaction->place.bytes);
    cellar_buffer_clear(&compaction->row);
    store_filter_begin(&compaction->filter); /* it borrows nothing of the row */
    return CELLAR_OK;
}

/* Takes cells of the row that was begun, to its end or until the chunk is full. */
static enum cellar_status row_load(struct store_chunk *chunk)
{
    struct store_compaction *compaction = chunk->compaction;
    struct store_cell cell;
    CELLAR_ASSERT(compaction->row.bytes > 0);
    while (!store_chunk_is_full(chunk)) {
        if (!chunk->source->cell_next(chunk->source, &cell)) {
            return row_end(compaction);
        }
        if (!store_filter_hides(&compaction->filter, &cell)) {
            compaction->byte_count += store_cell_cost(&cell, NULL);
            CELLAR_TRY(store_packer_add(&compaction->packer, &cell));
        }
    }
    return CELLAR_OK;
}

static enum cellar_status rows_load(struct store_chunk *chunk)
{
    struct store_compaction *compaction = chunk->compaction;
    struct cellar_slice key = {NULL, 0};
    if (compaction->row.bytes == 0) {
        CELLAR_TRY(range_check(chunk));
    }
    while (!store_chunk_is_full(chunk)) {
        if (compaction->row.bytes == 0) {
            if (!chunk->source->row_next(chunk->source, &key)) {
                chunk->is_done = true;
                return CELLAR_OK;
            }
            CELLAR_TRY(row_begin(compaction, key));
            compaction->byte_count += compaction->row.bytes;
        }
        CELLAR_TRY(row_load(chunk));
    }
    CELLAR_ASSERT(!chunk->is_done);
    return CELLAR_OK;
}

/* Behind the last row. */
static enum cellar_status range_pass(struct store_chunk *chunk)
{
    struct store_compaction *compaction = chunk->compaction;
    CELLAR_TRY(range_check(chunk));
    CELLAR_ASSERT(compaction->phase == STORE_LOAD_IN);
    chunk->is_done = true;
    compaction->phase = STORE_LOAD_BEHIND;
    if (compaction->range_end.bytes == 0) {
        compaction->has_all_cells = true;
        return CELLAR_OK;
    }
    return store_packer_set(&compaction->place, cellar_slice_of(&compaction->range_end));
}

enum cellar_status store_compaction_rows_copy(struct store_compaction *compaction,
                                              struct store *store, struct store_load_source *source)
{
    enum cellar_status status = CELLAR_OK;
    bool is_done = false;
    CELLAR_ASSERT(!compaction->has_all_cells && compaction->row.bytes == 0);
    while (status == CELLAR_OK && !is_done) {
        struct store_chunk chunk = {.compaction = compaction,
                                    .store = store,
                                    .bytes_max = CHUNK_BYTES,
                                    .source = source,
                                    .copy = source != NULL ? rows_load : range_pass};
        status = store_chunk_run(&chunk);
        is_done = chunk.is_done;
    }
    return status;
}
