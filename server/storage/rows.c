/*
 * The merged, ordered cursor over a snapshot's rows.
 *
 * The next row is the smallest (backwards: the greatest) among the row of the environment's cursor
 * and the rows of each memtable's next entry. Rows are compared by the row's part of their keys,
 * which sorts as the rows do and which no other row's part is a prefix of.
 *
 * Within a row the base is a walk of the environment's cursor over the keys that begin with the
 * row's part. A row that no memtable touches is given out segment by segment, unread; any other
 * goes through the merge.
 *
 * What was dropped and is still in the environment is stepped over, a range at a time; a row that
 * was written since has no base then.
 *
 * One thread; all slices given out end with the snapshot.
 */
#include "server/storage/rows.h"

void store_rows_init(struct store_rows *rows, struct store_snapshot *snapshot)
{
    rows->row_key = (struct cellar_buffer){0};
    rows->row = (struct cellar_buffer){0};
    rows->scratch = (struct cellar_buffer){0};
    store_env_cursor_init(&rows->cursor, snapshot->txn);
    store_merge_init(&rows->merge, snapshot->memtables, snapshot->memtable_count, snapshot->lsn);
    store_rows_move(rows, snapshot);
}

void store_rows_move(struct store_rows *rows, struct store_snapshot *snapshot)
{
    rows->snapshot = snapshot;
    store_env_cursor_move(&rows->cursor, snapshot->txn);
    store_merge_move(&rows->merge, snapshot->memtables, snapshot->memtable_count, snapshot->lsn);
    rows->has_row = false;
    rows->is_merged = false;
    rows->base_is_hidden = false;
    rows->base_is_placed = false;
    rows->cursor_is_used = false;
    for (size_t i = 0; i < snapshot->memtable_count; i++) {
        rows->next[i] = NULL;
    }
    CELLAR_ASSERT(rows->merge.memtable_count == snapshot->memtable_count);
}

void store_rows_fini(struct store_rows *rows)
{
    store_env_cursor_fini(&rows->cursor);
    store_merge_fini(&rows->merge);
    cellar_buffer_fini(&rows->row_key);
    cellar_buffer_fini(&rows->row);
    cellar_buffer_fini(&rows->scratch);
    CELLAR_ASSERT(rows->row.data == NULL);
}

/* ---- choosing the row ------------------------------------------------------------------------ */

/* The row's part of the environment cursor's key. @return false when the key has none: damage */
static bool cursor_row(const struct store_rows *rows, struct cellar_slice *row_key)
{
    struct cellar_slice key = cellar_slice_of(&rows->cursor.key);
    size_t bytes = cellar_key_escaped_span(key);
    CELLAR_ASSERT(rows->cursor.is_valid);
    *row_key = cellar_slice_make(key.data, bytes);
    return bytes > 2;
}

static enum cellar_status base_next(void *context, struct cellar_slice *packed, bool *has_more);

/* Makes `row_key` the current row: copies it, decodes the plain key, starts the merge. */
static enum cellar_status row_load(struct store_rows *rows, struct cellar_slice row_key,
                                   const struct store_entry *const *first)
{
    if (row_key.data != rows->row_key.data) {
        cellar_buffer_clear(&rows->row_key);
        CELLAR_TRY(cellar_buffer_append(&rows->row_key, row_key.data, row_key.bytes));
    }
    cellar_buffer_clear(&rows->row);
    CELLAR_TRY(cellar_buffer_reserve(&rows->row, row_key.bytes));
    struct cellar_slice own = cellar_slice_of(&rows->row_key);
    rows->row.bytes = cellar_key_unescape(own, rows->row.data);
    rows->base_is_hidden = store_snapshot_hidden(rows->snapshot, own) != NULL;
    rows->is_merged = store_merge_row(&rows->merge, own, first, base_next, rows);
    rows->has_row = true;
    rows->cursor_is_used = false;
    CELLAR_ASSERT(rows->row.bytes > 0);
    return CELLAR_OK;
}

/* Puts the row's part of `row`, or with `is_behind` the first key behind all of that row, into
 * scratch. */
static enum cellar_status bound_make(struct store_rows *rows, struct cellar_slice row)
{
    cellar_buffer_clear(&rows->scratch);
    if (row.bytes == 0) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_buffer_reserve(&rows->scratch, 2 * row.bytes + 2));
    uint8_t *end = cellar_key_put_escaped(rows->scratch.data, row);
    rows->scratch.bytes = (size_t)(end - rows->scratch.data);
    CELLAR_ASSERT(rows->scratch.bytes <= rows->scratch.capacity);
    return CELLAR_OK;
}

/* The first entry of a memtable at or behind `bound`. The one found for an earlier bound still is
 * when it lies behind: what was inserted since is invisible. */
static const struct store_entry *entry_first(const struct store_rows *rows, size_t table,
                                             struct cellar_slice bound, bool may_reuse)
{
    const struct store_entry *known = rows->next[table];
    CELLAR_ASSERT(table < rows->merge.memtable_count);
    if (may_reuse && (known == NULL || cellar_slice_compare(store_entry_key(known), bound) >= 0)) {
        return known;
    }
    return store_memtable_seek(rows->merge.memtables[table], bound);
}

/* Moves the environment's cursor out of what was dropped: forwards to the first item behind it, or
 * backwards to the last one before. */
static enum cellar_status hidden_pass(struct store_rows *rows, bool is_reversed)
{
    struct store_env_cursor *cursor = &rows->cursor;
    CELLAR_ASSERT(rows->snapshot->has_hidden);
    while (cursor->is_valid) {
        const struct store_range *hidden =
            store_snapshot_hidden(rows->snapshot, cellar_slice_of(&cursor->key));
        if (hidden == NULL) {
            return CELLAR_OK;
        }
        struct cellar_slice bound = is_reversed ? hidden->start : hidden->end;
        if (bound.bytes == 0) {
            cursor->is_valid = false;
            return CELLAR_OK;
        }
        CELLAR_TRY(is_reversed ? store_env_cursor_seek_before(cursor, bound)
                               : store_env_cursor_seek(cursor, bound));
    }
    return CELLAR_OK;
}

/* Chooses the first row at or behind `bound`, a whole key; the environment's cursor stands there
 * already. When a memtable's row comes first the cursor stands on a later row, or at the end, and
 * the row has no base. */
static enum cellar_status row_choose_first(struct store_rows *rows, struct cellar_slice bound,
                                           bool may_reuse)
{
    struct cellar_slice best = {0};
    rows->has_row = false;
    CELLAR_TRY(rows->snapshot->has_hidden ? hidden_pass(rows, false) : CELLAR_OK);
    if (rows->cursor.is_valid && !cursor_row(rows, &best)) {
        return CELLAR_DATA_LOSS;
    }
    for (size_t i = 0; i < rows->merge.memtable_count; i++) {
        const struct store_entry *entry = entry_first(rows, i, bound, may_reuse);
        rows->next[i] = entry;
        if (entry != NULL &&
            (best.bytes == 0 || cellar_slice_compare(store_entry_row(entry), best) < 0)) {
            best = store_entry_row(entry);
        }
    }
    rows->base_is_placed = true;
    if (best.bytes == 0) {
        return CELLAR_OK;
    }
    CELLAR_TRY(row_load(rows, best, rows->next));
    CELLAR_ASSERT(rows->has_row);
    return CELLAR_OK;
}

enum cellar_status store_rows_seek(struct store_rows *rows, struct cellar_slice start)
{
    CELLAR_TRY(bound_make(rows, start));
    CELLAR_TRY(store_env_cursor_seek(&rows->cursor, cellar_slice_of(&rows->scratch)));
    CELLAR_ASSERT(start.bytes == 0 || rows->scratch.bytes > 0);
    return row_choose_first(rows, cellar_slice_of(&rows->scratch), false);
}

/* The first key behind all of the current row, in scratch. */
static enum cellar_status behind_make(struct store_rows *rows)
{
    cellar_buffer_clear(&rows->scratch);
    CELLAR_TRY(cellar_buffer_append(&rows->scratch, rows->row_key.data, rows->row_key.bytes));
    cellar_key_pass_row(rows->scratch.data, rows->scratch.bytes);
    return CELLAR_OK;
}

enum cellar_status store_rows_next(struct store_rows *rows)
{
    CELLAR_ASSERT(rows->has_row);
    CELLAR_TRY(behind_make(rows));
    struct cellar_slice bound = cellar_slice_of(&rows->scratch);
    bool is_behind = rows->base_is_placed &&
                     (!rows->cursor.is_valid ||
                      cellar_slice_compare(cellar_slice_of(&rows->cursor.key), bound) >= 0);
    if (!is_behind) {
        CELLAR_TRY(store_env_cursor_seek(&rows->cursor, bound));
    }
    return row_choose_first(rows, bound, true);
}

enum cellar_status store_rows_seek_before(struct store_rows *rows, struct cellar_slice bound)
{
    struct cellar_slice best = {0};
    rows->has_row = false;
    CELLAR_TRY(bound_make(rows, bound));
    struct cellar_slice key = cellar_slice_of(&rows->scratch);
    CELLAR_TRY(store_env_cursor_seek_before(&rows->cursor, key));
    CELLAR_TRY(rows->snapshot->has_hidden ? hidden_pass(rows, true) : CELLAR_OK);
    if (rows->cursor.is_valid && !cursor_row(rows, &best)) {
        return CELLAR_DATA_LOSS;
    }
    for (size_t i = 0; i < rows->merge.memtable_count; i++) {
        const struct store_entry *entry = store_memtable_seek_before(rows->merge.memtables[i], key);
        if (entry != NULL &&
            (best.bytes == 0 || cellar_slice_compare(store_entry_row(entry), best) > 0)) {
            best = store_entry_row(entry);
        }
    }
    if (best.bytes == 0) {
        return CELLAR_OK;
    }
    CELLAR_TRY(row_load(rows, best, NULL));
    CELLAR_TRY(store_env_cursor_seek(&rows->cursor, cellar_slice_of(&rows->row_key)));
    rows->base_is_placed = true;
    CELLAR_ASSERT(rows->has_row);
    return CELLAR_OK;
}

/* ---- within the row -------------------------------------------------------------------------- */

/* Whether the cursor is on a segment of the current row. */
static bool cursor_is_on_row(const struct store_rows *rows)
{
    CELLAR_ASSERT(rows->has_row);
    return rows->cursor.is_valid && !rows->base_is_hidden &&
           cellar_slice_has_prefix(cellar_slice_of(&rows->cursor.key),
                                   cellar_slice_of(&rows->row_key));
}

/* Takes the segment under the cursor, moving on first when the cursor's one was taken before. */
static enum cellar_status segment_take(struct store_rows *rows, struct store_segment *segment,
                                       bool *has_segment)
{
    *has_segment = false;
    CELLAR_ASSERT(rows->base_is_placed);
    if (rows->cursor_is_used && cursor_is_on_row(rows)) {
        CELLAR_TRY(store_env_cursor_next(&rows->cursor));
    }
    if (!cursor_is_on_row(rows)) {
        return CELLAR_OK;
    }
    CELLAR_TRY(store_env_cursor_check(&rows->cursor));
    if (!store_segment_decode(rows->cursor.value, segment)) {
        return CELLAR_DATA_LOSS;
    }
    rows->cursor_is_used = true;
    *has_segment = true;
    return CELLAR_OK;
}

/* The merge's source of packed cells. */
static enum cellar_status base_next(void *context, struct cellar_slice *packed, bool *has_more)
{
    struct store_rows *rows = context;
    struct store_segment segment = {0};
    CELLAR_TRY(segment_take(rows, &segment, has_more));
    CELLAR_ASSERT(!*has_more || segment.packed.bytes > 0);
    *packed = segment.packed;
    return CELLAR_OK;
}

enum cellar_status store_rows_piece(struct store_rows *rows, struct store_piece *piece)
{
    bool has_one = false;
    CELLAR_ASSERT(rows->has_row);
    if (rows->is_merged) {
        CELLAR_TRY(store_merge_next(&rows->merge, &piece->cell, &has_one));
        piece->kind = has_one ? STORE_PIECE_CELL : STORE_PIECE_END;
        return CELLAR_OK;
    }
    CELLAR_TRY(segment_take(rows, &piece->segment, &has_one));
    piece->kind = has_one ? STORE_PIECE_SEGMENT : STORE_PIECE_END;
    return CELLAR_OK;
}

/* Places the cursor on the segment that holds `key`: the last one at or before it. */
static enum cellar_status base_place(struct store_rows *rows, struct cellar_slice key)
{
    struct store_env_cursor *cursor = &rows->cursor;
    CELLAR_TRY(store_env_cursor_seek_floor(cursor, key));
    if (!cursor_is_on_row(rows)) {
        CELLAR_TRY(store_env_cursor_seek(cursor, cellar_slice_of(&rows->row_key)));
    }
    rows->cursor_is_used = false;
    CELLAR_ASSERT(rows->base_is_placed);
    return CELLAR_OK;
}

enum cellar_status store_rows_skip(struct store_rows *rows, struct cellar_slice family,
                                   uint32_t generation, const struct cellar_slice *qualifier)
{
    size_t qualifier_bytes = qualifier == NULL ? 0 : 2 * qualifier->bytes + 2;
    struct cellar_buffer *key = &rows->scratch;
    CELLAR_ASSERT(rows->has_row);
    cellar_buffer_clear(key);
    CELLAR_TRY(cellar_buffer_append(key, rows->row_key.data, rows->row_key.bytes));
    CELLAR_TRY(cellar_buffer_reserve(key, CELLAR_KEY_FAMILY_BYTES_MAX + qualifier_bytes));
    key->bytes += store_column_position(family, generation, qualifier, key->data + key->bytes);
    struct cellar_slice target = cellar_slice_of(key);
    bool is_behind = rows->cursor_is_used && cursor_is_on_row(rows) &&
                     cellar_slice_compare(cellar_slice_of(&rows->cursor.key), target) > 0;
    if (!is_behind && (cursor_is_on_row(rows) || !rows->cursor_is_used)) {
        CELLAR_TRY(base_place(rows, target));
    } else if (is_behind && rows->is_merged) {
        rows->cursor_is_used = false; /* the merge reads the segment again, up to the target */
    }
    return rows->is_merged
               ? store_merge_skip(&rows->merge, family, generation, qualifier, base_next, rows)
               : CELLAR_OK;
}
