#ifndef CELLAR_CLIENT_BATCH_H
#define CELLAR_CLIENT_BATCH_H

#include <cellar/cellar.h>

#include "client/lib/retry.h"
#include "common/buf.h"

/* The rounds in which a batch is sent: all entries, then those that the server could not take. */

/**
 * Begins to send a batch: every entry waits for its result.
 *
 * @param batch  may be NULL: CELLAR_NO_MEMORY
 * @return CELLAR_OK; the failure of filling it; CELLAR_INVALID_ARGUMENT for an empty one
 */
enum cellar_status cellar_batch_begin(struct cellar_batch *batch, struct cellar_error *error)
    CELLAR_MUST_USE;

/** What sending the whole batch twice may do. */
enum cellar_safety cellar_batch_safety(const struct cellar_batch *batch);

/** Appends MUTATE_ROWS's entries: those that wait, at least one; CELLAR_NO_MEMORY. */
enum cellar_status cellar_batch_round(const struct cellar_batch *batch, struct cellar_buffer *to)
    CELLAR_MUST_USE;

/** Takes the reply to a round; CELLAR_OUTCOME_UNKNOWN when it cannot be read. */
enum cellar_status cellar_batch_take(struct cellar_batch *batch, struct cellar_slice body,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Counts the entries that may go again; the first one's failure goes to `error`. */
uint32_t cellar_batch_again(const struct cellar_batch *batch, struct cellar_error *error);

/** Whether every entry has an answer, though some might go again. */
bool cellar_batch_is_answered(const struct cellar_batch *batch);

/** Has these entries wait for the next round. */
void cellar_batch_restart(struct cellar_batch *batch);

/** Ends sending: entries without a result get `error`, if it is one. */
void cellar_batch_end(struct cellar_batch *batch, const struct cellar_error *error);

/** One element of MUTATE_ROWS's results. */
struct cellar_row_result {
    enum cellar_status code;
    uint32_t retry_delay_ms;
    struct cellar_slice text; /* borrowed from the reply */
};

/** Reads 0, or [code, text, retry delay]; false when it cannot be understood. */
bool cellar_row_result_take(struct cellar_cursor *from, struct cellar_row_result *result);

#endif
