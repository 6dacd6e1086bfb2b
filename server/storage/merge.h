#ifndef CELLAR_STORAGE_MERGE_H
#define CELLAR_STORAGE_MERGE_H

#include "server/storage/memtable.h"
#include "server/storage/segment.h"

/*
 * One row's cells, merged from packed segments (the base) and memtables: in order, each position
 * once, newest write first, without what tombstones hide. Readers and the checkpoint use the same
 * merge, so that a row reads the same before and after it is written down.
 *
 * A tombstone hides what has a smaller LSN; the base counts as older than every visible entry.
 */

#define STORE_MEMTABLE_COUNT_MAX 8u

/** Gives the next packed array of the row's base; `*has_more` false when there is none. Borrowed
 * until the next call. */
typedef enum cellar_status store_merge_base_fn(void *context, struct cellar_slice *packed,
                                               bool *has_more);

/** A range of timestamps deleted in the current column. */
struct store_column_delete {
    int64_t start_us;
    int64_t end_us; /* 0 = none */
    uint64_t lsn;
};

struct store_merge {
    const struct store_memtable *memtables[STORE_MEMTABLE_COUNT_MAX];
    const struct store_entry *at[STORE_MEMTABLE_COUNT_MAX]; /* next entry of the row, or NULL */
    size_t memtable_count;
    struct cellar_slice row_key; /* the row's part of positions; borrowed */
    struct cellar_slice limit; /* entries at or behind this whole key are left alone; empty: none */
    uint64_t lsn_max;          /* greater ones are invisible */

    uint64_t row_lsn; /* of the newest tombstone over the row, 0: none */
    uint64_t family_lsn;
    struct cellar_slice family; /* position part that family_lsn speaks of */
    struct cellar_slice column; /* position part that column_deletes speak of */
    struct store_column_delete *column_deletes;
    size_t column_delete_count;
    size_t column_delete_capacity;

    store_merge_base_fn *base_next; /* NULL: no base */
    void *base_context;
    struct cellar_cells_reader base;
    bool base_is_open;
    bool base_has_cell;
    struct cellar_buffer base_position;
};

/** Sets up a merge that owns no memory yet; the memtables are borrowed. */
void store_merge_init(struct store_merge *merge, const struct store_memtable *const *memtables,
                      size_t memtable_count, uint64_t lsn_max);

/** Makes a merge one of other memtables; its memory is kept. */
void store_merge_move(struct store_merge *merge, const struct store_memtable *const *memtables,
                      size_t memtable_count, uint64_t lsn_max);

void store_merge_fini(struct store_merge *merge);

/**
 * Starts a row.
 *
 * @param row_key    encoded; borrowed until the next row
 * @param first      for each memtable its first entry at or behind the row's key, or NULL to look
 * them up
 * @param base_next  gives the row's segments from the first on, or NULL
 * @return whether any memtable has an entry for the row, visible or not
 */
bool store_merge_row(struct store_merge *merge, struct cellar_slice row_key,
                     const struct store_entry *const *first, store_merge_base_fn *base_next,
                     void *base_context);

/** Hides the row's whole base, before its first cell is taken: the row was dropped before what the
 * memtables hold. */
void store_merge_base_hide(struct store_merge *merge);

/** Whether the row's whole base is hidden by a range drop; before the first cell is taken. */
static inline bool store_merge_base_is_hidden(const struct store_merge *merge)
{
    return merge->row_lsn > 0;
}

/** Goes on with another base for the same row: what tombstones were met stays in force. @param
 * limit as in the struct */
void store_merge_base_set(struct store_merge *merge, store_merge_base_fn *base_next,
                          void *base_context, struct cellar_slice limit);

/**
 * Takes the next cell.
 *
 * @param cell      borrowed until the next call (its base part) or as long as the memtables
 * @param has_cell  false at the end of the row (or at the limit)
 * @return CELLAR_OK, CELLAR_DATA_LOSS (packed cells damaged), CELLAR_NO_MEMORY, or what base_next
 * returned
 */
enum cellar_status store_merge_next(struct store_merge *merge, struct store_cell *cell,
                                    bool *has_cell) CELLAR_MUST_USE;

/**
 * Skips forward, so that the next cell is the first at or behind a column (or family, with a NULL
 * qualifier). The caller has moved the base to a segment that begins at or before it. Only forward.
 */
enum cellar_status store_merge_skip(struct store_merge *merge, struct cellar_slice family,
                                    uint32_t generation, const struct cellar_slice *qualifier,
                                    store_merge_base_fn *base_next, void *base_context)
    CELLAR_MUST_USE;

/** Whether a tombstone met so far may hide base cells at or behind `key`, a whole key of the same
 * row. */
bool store_merge_covers(const struct store_merge *merge, struct cellar_slice key);

/** The next entry of any memtable in this row, the smallest position first, or NULL; the limit is
 * ignored. */
const struct store_entry *store_merge_peek(const struct store_merge *merge);

#endif
