#ifndef CELLAR_TABLET_APPEND_H
#define CELLAR_TABLET_APPEND_H

#include "server/tablet/db.h"
#include "server/tablet/large.h"

/* One row's checked mutation into the log and the memtable of its store. */

/** One row's write on its way; the caller's memory until record.done is called. */
struct tablet_write {
    struct store_log_record record; /* done is the caller's; the rest is set by tablet_append() */
    bool is_repeat; /* its token was known: the record is empty and waits for the first one's sync;
                       a failure leaves the outcome unknown */
};

/** A record to append. */
struct tablet_payload {
    const struct tablet_schema *schema; /* that it was checked against */
    struct cellar_slice row;            /* for routing */
    struct cellar_slice bytes;          /* made by tablet_items_encode() */
    struct tablet_large *large;         /* what of it was written into files; may be NULL */
    bool has_sets;                      /* it adds data */
    struct cellar_slice token;          /* idempotency token; empty: none */
    int64_t token_now_us;               /* the server's time when the token's life was checked */
    struct store_slab *slab;            /* the calling thread's, for the batch; NULL: the heap */
};

/**
 * Appends a payload, unless its token says that it was appended before. Files that no record names
 * in the end are removed.
 *
 * @param write  write->is_repeat is set
 * @return CELLAR_OK: queued, record.done follows. OUTCOME_UNKNOWN: the token is known, but the log
 *         has failed. Else nothing was applied: ABORTED (the schema has changed: check again),
 *         NOT_FOUND (dropped), UNAVAILABLE,
 *         RESOURCE_EXHAUSTED, DATA_LOSS (the tablet is damaged), IO_ERROR, NO_MEMORY
 * @thread any
 */
enum cellar_status tablet_append(struct tablet_db *db, struct tablet_table *table,
                                 const struct tablet_payload *payload, struct tablet_write *write,
                                 struct cellar_error *error) CELLAR_MUST_USE;

#endif
