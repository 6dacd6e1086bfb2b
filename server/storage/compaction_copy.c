/*
 * What a compaction copies: rows in key order behind the last key of the new generation, tokens,
 * and what of the list of blobs is to go.
 *
 * A row of one segment goes as it is, where nothing can hide in it and the page begun takes it. Any
 * other is unpacked, filtered and packed again (packer.c). What cells borrow is the old map's, so
 * that all of them are written before the chunk's transactions end.
 */
#include "common/clock.h"
#include "server/storage/compaction_internal.h"
#include "server/storage/token.h"

/* The source's segment under the cursor, whose memory is the map's, and whether the row goes on
 * behind it, where the cursor then is. */
static enum cellar_status segment_take(struct store_chunk *chunk, struct cellar_slice *value,
                                       struct store_segment *segment, bool *has_next)
{
    struct store_env_cursor *cursor = &chunk->cursor;
    struct store_compaction *compaction = chunk->compaction;
    CELLAR_TRY(store_env_cursor_check(cursor));
    *value = cursor->value;
    if (!store_segment_decode(*value, segment)) {
        return CELLAR_DATA_LOSS;
    }
    compaction->item_count++;
    CELLAR_TRY(store_env_cursor_next(cursor));
    *has_next = cursor->is_valid && cellar_slice_has_prefix(cellar_slice_of(&cursor->key),
                                                            cellar_slice_of(&compaction->row));
    return store_packer_set(&compaction->packer.next_key,
                            *has_next ? cellar_slice_of(&cursor->key) : cellar_slice_make(NULL, 0));
}

/* Unpacks a segment and packs again what the filter lets through. */
static enum cellar_status segment_repack(struct store_compaction *compaction,
                                         const struct store_segment *segment)
{
    struct cellar_cells_reader cells;
    if (!cellar_cells_open(&cells, segment->packed)) {
        return CELLAR_DATA_LOSS;
    }
    while (cellar_cells_next(&cells)) {
        const struct store_cell cell = {cells.cell, cells.generation, cells.is_blob};
        if (!store_filter_hides(&compaction->filter, &cell)) {
            compaction->byte_count += cell.cell.value.bytes;
            CELLAR_TRY(store_packer_add(&compaction->packer, &cell));
        }
    }
    CELLAR_ASSERT(compaction->packer.txn != NULL);
    return cellar_cells_is_done(&cells) ? CELLAR_OK : CELLAR_DATA_LOSS;
}

/* A row of one segment that nothing can hide in, and that the page takes, goes as it is. */
static enum cellar_status segment_pass(struct store_chunk *chunk, struct cellar_slice value)
{
    struct store_compaction *compaction = chunk->compaction;
    struct cellar_slice key = cellar_slice_of(&compaction->row);
    CELLAR_ASSERT(key.bytes > 0);
    store_page_add(&compaction->fill, key.bytes, value.bytes);
    compaction->byte_count += key.bytes + value.bytes;
    return store_env_append(&chunk->to, key, value);
}

/* Copies segments of the row from the cursor on, to the row's end or until the chunk is full. */
static enum cellar_status row_copy(struct store_chunk *chunk, bool is_first)
{
    struct store_compaction *compaction = chunk->compaction;
    struct store_segment segment;
    struct cellar_slice value;
    bool has_next = true;
    bool goes_on = true;
    while (goes_on) {
        CELLAR_TRY(segment_take(chunk, &value, &segment, &has_next));
        if (is_first && !has_next && !store_filter_may_hide(&compaction->filter, &segment) &&
            store_page_takes(&compaction->fill, compaction->row.bytes, value.bytes)) {
            CELLAR_TRY(segment_pass(chunk, value));
        } else {
            CELLAR_TRY(segment_repack(compaction, &segment));
        }
        is_first = false;
        goes_on = has_next && (compaction->row_is_whole || !store_chunk_is_full(chunk));
    }
    CELLAR_TRY(store_packer_flush(&compaction->packer));
    if (has_next) {
        store_filter_hold(&compaction->filter);
        return store_packer_set(&compaction->place, cellar_slice_of(&chunk->cursor.key));
    }
    CELLAR_ASSERT(compaction->packer.pending_count == 0);
    cellar_buffer_clear(&compaction->row);
    compaction->row_is_whole = false;
    return CELLAR_OK;
}

/* Begins the row under the cursor; a dropped one is passed. @param is_row  receives whether there
 * is one to copy */
static enum cellar_status row_begin(struct store_chunk *chunk, bool *is_row)
{
    struct store_compaction *compaction = chunk->compaction;
    struct store_env_cursor *cursor = &chunk->cursor;
    struct cellar_slice key = cellar_slice_of(&cursor->key);
    size_t bytes = cellar_key_escaped_span(key);
    if (bytes <= 2) {
        return CELLAR_DATA_LOSS;
    }
    const struct store_range *hidden = store_range_set_find(&chunk->from->pending, key);
    *is_row = hidden == NULL;
    if (hidden != NULL) {
        if (hidden->end.bytes == 0) {
            cursor->is_valid = false;
            return CELLAR_OK;
        }
        return store_env_cursor_seek(cursor, hidden->end);
    }
    CELLAR_TRY(store_packer_set(&compaction->row, cellar_slice_make(key.data, bytes)));
    store_packer_begin(&compaction->packer, cellar_slice_of(&compaction->row));
    store_filter_begin(&compaction->filter);
    compaction->byte_count += bytes;
    return store_packer_set(&compaction->packer.out_key, cellar_slice_of(&compaction->row));
}

/* Goes on in the row that the last chunk ended in. */
static enum cellar_status row_continue(struct store_chunk *chunk)
{
    struct store_compaction *compaction = chunk->compaction;
    struct cellar_slice key = cellar_slice_of(&chunk->cursor.key);
    CELLAR_ASSERT(!compaction->row_is_whole);
    if (!chunk->cursor.is_valid || !cellar_slice_equal(key, cellar_slice_of(&compaction->place))) {
        return CELLAR_DATA_LOSS; /* it was there, and nobody changed the row */
    }
    return row_copy(chunk, false);
}

/* Whether all rows in front of the range that is loaded are copied. */
static bool range_is_reached(const struct store_chunk *chunk)
{
    const struct store_compaction *compaction = chunk->compaction;
    const struct store_env_cursor *cursor = &chunk->cursor;
    CELLAR_ASSERT(compaction->phase != STORE_LOAD_IN);
    return compaction->phase == STORE_LOAD_BEFORE && compaction->row.bytes == 0 &&
           (!cursor->is_valid ||
            cellar_slice_compare(cellar_slice_of(&cursor->key),
                                 cellar_slice_of(&compaction->range_start)) >= 0);
}

static enum cellar_status chunk_copy(struct store_chunk *chunk)
{
    struct store_compaction *compaction = chunk->compaction;
    struct store_env_cursor *cursor = &chunk->cursor;
    CELLAR_TRY(store_env_cursor_seek(cursor, cellar_slice_of(&compaction->place)));
    if (compaction->row.bytes > 0) {
        CELLAR_TRY(row_continue(chunk));
    }
    while (cursor->is_valid && !range_is_reached(chunk) && !store_chunk_is_full(chunk)) {
        bool is_row = false;
        CELLAR_TRY(row_begin(chunk, &is_row));
        if (is_row) {
            CELLAR_TRY(row_copy(chunk, true));
        }
    }
    if (range_is_reached(chunk)) {
        compaction->phase = STORE_LOAD_IN;
        return store_packer_set(&compaction->place, cellar_slice_of(&compaction->range_start));
    }
    if (!cursor->is_valid) {
        compaction->has_all_cells = true;
        return CELLAR_OK;
    }
    CELLAR_ASSERT(cursor->key.bytes > 0);
    return compaction->row.bytes > 0
               ? CELLAR_OK
               : store_packer_set(&compaction->place, cellar_slice_of(&cursor->key));
}

/* Tokens that have not expired. They are few beside the cells, so that one transaction takes all.
 */
static enum cellar_status tokens_copy(struct store_chunk *chunk)
{
    struct store_env_cursor cursor;
    int64_t now_us = cellar_clock_real_us();
    CELLAR_TRY(store_env_cursor_init_tokens(&cursor, chunk->from));
    enum cellar_status status = store_env_cursor_seek(&cursor, cellar_slice_make(NULL, 0));
    while (status == CELLAR_OK && cursor.is_valid) {
        status = store_env_cursor_check(&cursor);
        if (status == CELLAR_OK && store_token_is_live(cursor.value, now_us)) {
            status = store_env_token_put(&chunk->to, cellar_slice_of(&cursor.key), cursor.value);
        }
        if (status == CELLAR_OK) {
            status = store_env_cursor_next(&cursor);
        }
    }
    store_env_cursor_fini(&cursor);
    CELLAR_ASSERT(status != CELLAR_NOT_FOUND);
    return status;
}

static enum cellar_status blob_loosen(void *context, uint64_t id)
{
    return store_env_blob_loosen(context, id);
}

/* What was loaded may be named by nothing: the filter hides it, or a checkpoint has replaced it. */
static enum cellar_status blobs_taken_loosen(const struct store_compaction *compaction,
                                             struct store_env_txn *to)
{
    const struct cellar_buffer *ids = &compaction->blobs_taken;
    CELLAR_ASSERT(ids->bytes % sizeof(uint64_t) == 0);
    for (size_t at = 0; at < ids->bytes; at += sizeof(uint64_t)) {
        uint64_t id = 0;
        memcpy(&id, ids->data + at, sizeof id);
        CELLAR_TRY(store_env_blob_loosen(to, id));
    }
    return CELLAR_OK;
}

/* What is left to do when all cells are copied. The new generation's list of blobs came with its
 * segments; what only the old one lists goes with that. */
static enum cellar_status rest_copy(struct store_chunk *chunk)
{
    struct store_compaction *compaction = chunk->compaction;
    CELLAR_ASSERT(compaction->has_all_cells && compaction->blobs_gone == NULL);
    CELLAR_TRY(tokens_copy(chunk));
    CELLAR_TRY(store_env_blobs_walk(chunk->from, blob_loosen, &chunk->to));
    CELLAR_TRY(blobs_taken_loosen(compaction, &chunk->to));
    return store_env_blobs_gone(&chunk->to, &compaction->blobs_gone, &compaction->blob_gone_count);
}

/* Inside of the new generation's write transaction. */
static enum cellar_status chunk_work(void *context)
{
    struct store_chunk *chunk = context;
    CELLAR_TRY(store_env_read_begin(chunk->store->env, &chunk->from));
    CELLAR_ASSERT(chunk->from->state.applied_lsn == chunk->to.state.applied_lsn);
    chunk->compaction->packer.txn = &chunk->to;
    store_env_cursor_init(&chunk->cursor, chunk->from);
    CELLAR_TRY(chunk->copy(chunk));
    chunk->to.state.server_time_us = chunk->from->state.server_time_us;
    return CELLAR_OK;
}

enum cellar_status store_chunk_run(struct store_chunk *chunk)
{
    struct store_compaction *compaction = chunk->compaction;
    chunk->bytes_before = compaction->byte_count;
    CELLAR_ASSERT(chunk->copy != NULL && chunk->store != NULL);
    enum cellar_status status = store_env_write(compaction->env, &chunk->to, chunk_work, chunk);
    store_env_cursor_fini(&chunk->cursor);
    store_env_read_end(chunk->from);
    CELLAR_ASSERT(!chunk->to.is_open);
    compaction->packer.txn = NULL;
    return status;
}

enum cellar_status store_compaction_cells_copy(struct store_compaction *compaction,
                                               struct store *store, uint64_t bytes_max)
{
    struct store_chunk chunk = {
        .compaction = compaction, .store = store, .bytes_max = bytes_max, .copy = chunk_copy};
    CELLAR_ASSERT(!compaction->has_all_cells);
    return store_chunk_run(&chunk);
}

enum cellar_status store_compaction_rest_copy(struct store_compaction *compaction,
                                              struct store *store)
{
    struct store_chunk chunk = {
        .compaction = compaction, .store = store, .bytes_max = UINT64_MAX, .copy = rest_copy};
    CELLAR_ASSERT(compaction->has_all_cells);
    return store_chunk_run(&chunk);
}
