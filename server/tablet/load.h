#ifndef CELLAR_TABLET_LOAD_H
#define CELLAR_TABLET_LOAD_H

#include "server/tablet/db.h"
#include "server/tablet/load_rows.h"

/*
 * A bulk load: rows in key order into a range of a table that has none, seen all at once.
 *
 * One thread at a time drives a load; all functions but tablet_load_cancel() block. A table has one
 * load at most. While it has one, its rows cannot be dropped and its tablets are not compacted;
 * everything else goes on.
 */

#define TABLET_LOAD_TABLET_COUNT_MAX 256u /* that rows of one load may lie in */

struct tablet_load;

/** What a load has taken so far. */
struct tablet_load_counts {
    uint64_t row_count;
    uint64_t cell_count;
    uint64_t byte_count; /* of keys, qualifiers and values */
};

/**
 * Begins a load.
 *
 * @param table  a reference is taken
 * @param start  row key; empty: from the first row. Copied, as is `end`
 * @param end    behind the last row, greater than `start`; empty: no bound
 * @return CELLAR_OK; FAILED_PRECONDITION (the range has a row, which is named; the table has a
 *         load), NOT_FOUND (the table is dropped), DATA_LOSS, IO_ERROR, NO_MEMORY
 */
enum cellar_status tablet_load_begin(struct tablet_db *db, struct tablet_table *table,
                                     struct cellar_slice start, struct cellar_slice end,
                                     struct tablet_load **load, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Takes rows, behind those that came before.
 *
 * @param wire       as tablet_load_rows_decode()
 * @param is_mapped  it lies in a file's map, whose pages may be let go
 * @return CELLAR_OK; what tablet_load_rows_decode() returns: nothing is changed, and the load goes
 *         on. Else it can only be abandoned: FAILED_PRECONDITION (a row of the range was written
 *         meanwhile; more than TABLET_LOAD_TABLET_COUNT_MAX tablets), CANCELLED, NOT_FOUND
 *         (dropped), DATA_LOSS, RESOURCE_EXHAUSTED, IO_ERROR, NO_MEMORY
 */
enum cellar_status tablet_load_rows(struct tablet_load *load, struct cellar_slice wire,
                                    bool is_mapped, struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Makes all rows visible in one moment, durable at return.
 *
 * @return CELLAR_OK; OUTCOME_UNKNOWN (the log failed: all of them may be there after a restart, or
 *         none); else as tablet_load_rows(), and nothing was loaded. In any case the load can only
 *         be freed then
 */
enum cellar_status tablet_load_commit(struct tablet_load *load, struct cellar_error *error)
    CELLAR_MUST_USE;

/** What it has taken so far. */
struct tablet_load_counts tablet_load_counts(const struct tablet_load *load);

/** Whether it can do nothing more. */
bool tablet_load_has_failed(const struct tablet_load *load);

/** Has what runs end soon, with CANCELLED. Any thread. */
void tablet_load_cancel(struct tablet_load *load);

/** Ends a load, without effect unless it was committed, and frees it. Takes NULL. */
void tablet_load_free(struct tablet_load *load);

#endif
