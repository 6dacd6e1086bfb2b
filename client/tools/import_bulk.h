#ifndef CELLAR_TOOLS_IMPORT_BULK_H
#define CELLAR_TOOLS_IMPORT_BULK_H

#include <cellar/cellar.h>

#include "client/tools/interrupt.h"
#include "client/tools/record.h"

/*
 * The second way of an import: rows are gathered and sorted, or are in order already, and go into
 * an empty table, or a range of one that has no row, by one bulk load.
 */

struct cellar_import_bulk;

/** Where to and how. Borrowed until cellar_import_bulk_free(). */
struct cellar_import_bulk_options {
    struct cellar_client *client;
    const char *table;
    uint64_t memory_bytes;          /* for sorting */
    const char *directory;          /* for what memory does not hold */
    struct cellar_bulk_range range; /* that must have no row, and gets all; empty: no bound */
    bool is_sorted;     /* the input is in the order of its keys: rows are sent at once */
    int64_t timeout_us; /* of one request, which may wait for a disk */
    struct cellar_interrupt *interrupt;
    /** Called now and then while rows are loaded; `bytes` of `bytes_total` are. */
    void (*on_loaded)(void *context, uint64_t bytes, uint64_t bytes_total, uint64_t row_count);
    void *context;
};

/** Begins the load, so that a table that is not empty is told of before anything is read. @return
 * CELLAR_OK; what cellar_bulk_begin() returns; CELLAR_NO_MEMORY */
enum cellar_status cellar_import_bulk_start(const struct cellar_import_bulk_options *options,
                                            struct cellar_import_bulk **bulk,
                                            struct cellar_error *error) CELLAR_MUST_USE;

/** Whether a row, or a part of one, lies in the range. @return CELLAR_OK; CELLAR_INVALID_ARGUMENT
 * naming the row */
enum cellar_status cellar_import_bulk_range_check(const struct cellar_bulk_range *range,
                                                  const struct cellar_record *record,
                                                  struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Takes a row, or the next part of one; the record stays. A row that is too large with the lines
 * before it is refused as a whole, also when its first parts were taken.
 *
 * @param is_refused  receives whether the row is refused; the error says why
 * @return CELLAR_OK, also then; else as the sorter and the load fail
 */
enum cellar_status cellar_import_bulk_put(struct cellar_import_bulk *bulk,
                                          const struct cellar_record *record, bool *is_refused,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** Loads what was taken and commits. @param counts  what is there now. @return CELLAR_OK;
 * CELLAR_CANCELLED (an interrupt), CELLAR_OUTCOME_UNKNOWN (all of it is there, or nothing); else
 * nothing is */
enum cellar_status cellar_import_bulk_finish(struct cellar_import_bulk *bulk,
                                             struct cellar_bulk_counts *counts,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** Frees it; a load that was not committed is aborted. Takes NULL. */
void cellar_import_bulk_free(struct cellar_import_bulk *bulk);

#endif
