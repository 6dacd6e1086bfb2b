#ifndef CELLAR_STORAGE_ROWS_H
#define CELLAR_STORAGE_ROWS_H

#include "server/storage/store.h"

/*
 * Reading rows of a snapshot: a cursor over rows, forwards by seek and next, or backwards by
 * seek_before; and within the current row, its cells in order, either as whole packed segments (no
 * memtable touches the row) or one by one through the merge.
 *
 * A row may turn out to have no cell: memtables can hold tombstones only, or writes that are not
 * visible. The caller then goes on.
 */

enum store_piece_kind {
    STORE_PIECE_SEGMENT, /* `segment`: packed cells as stored; nothing newer touches the row */
    STORE_PIECE_CELL,    /* `cell`: one merged cell */
    STORE_PIECE_END      /* the row has no more */
};

/** A part of a row; borrowed until the next call. */
struct store_piece {
    enum store_piece_kind kind;
    struct store_segment segment;
    struct store_cell cell;
};

struct store_rows {
    struct store_snapshot *snapshot;
    struct store_env_cursor cursor;
    struct store_merge merge;
    const struct store_entry *next[STORE_MEMTABLE_COUNT_MAX]; /* first at or behind the row */
    struct cellar_buffer row_key;                             /* the current row's part of keys */
    struct cellar_buffer row;                                 /* the current row's key, plain */
    struct cellar_buffer scratch;
    bool has_row;
    bool is_merged;      /* a memtable has entries for the row */
    bool base_is_hidden; /* the row was dropped: what the environment holds of it counts as gone */
    bool base_is_placed; /* the cursor is on the row's next segment, or behind the row */
    bool cursor_is_used; /* the base has been read at all since the row began */
};

/** Prepares reading; borrows the snapshot until fini. */
void store_rows_init(struct store_rows *rows, struct store_snapshot *snapshot);

/** Goes on with another snapshot; the memory of before is kept. The snapshot of before may have
 * been closed. */
void store_rows_move(struct store_rows *rows, struct store_snapshot *snapshot);

void store_rows_fini(struct store_rows *rows);

/**
 * Moves to the first row whose key is at or behind `start` (empty: the first row). has_row tells
 * whether there is one; then rows->row is its key. DATA_LOSS, IO_ERROR, NO_MEMORY.
 */
enum cellar_status store_rows_seek(struct store_rows *rows, struct cellar_slice start)
    CELLAR_MUST_USE;

/** Moves to the row behind the current one. Errors as above. */
enum cellar_status store_rows_next(struct store_rows *rows) CELLAR_MUST_USE;

/** Moves to the last row whose key is before `bound` (empty: the very last row). Errors as above.
 */
enum cellar_status store_rows_seek_before(struct store_rows *rows, struct cellar_slice bound)
    CELLAR_MUST_USE;

/** Takes the next part of the current row. Errors as above. */
enum cellar_status store_rows_piece(struct store_rows *rows, struct store_piece *piece)
    CELLAR_MUST_USE;

/** Where in the environment's map the cursor stands; NULL when it does not, or never has. */
static inline const uint8_t *store_rows_place(const struct store_rows *rows)
{
    return rows->cursor.is_valid ? rows->cursor.value.data : NULL;
}

/** Skips forward within the row, so that the next part is the first that may hold a cell at or
 * behind a column (a family, with a NULL qualifier): a segment may begin before it, single cells do
 * not. Errors as above. */
enum cellar_status store_rows_skip(struct store_rows *rows, struct cellar_slice family,
                                   uint32_t generation, const struct cellar_slice *qualifier)
    CELLAR_MUST_USE;

#endif
