#ifndef CELLAR_CLIENT_BATCH_H
#define CELLAR_CLIENT_BATCH_H

#include <cellar/cellar.h>

#include "client/lib/places.h"
#include "client/lib/token.h"
#include "common/message.h"

/* A batch, and the rounds in which it is sent: all entries, then those that may go again. */

enum cellar_batch_state {
    CELLAR_BATCH_QUEUED,  /* not in the round that runs: another server's */
    CELLAR_BATCH_WAITING, /* in the round that runs, or not sent yet */
    CELLAR_BATCH_AGAIN,   /* answered; may go again after a pause, or ends as it was answered */
    CELLAR_BATCH_DONE     /* its code is final */
};

/** One row of a batch. */
struct cellar_batch_entry {
    size_t start; /* of the encoded [row, mutations] in the body */
    size_t bytes;
    size_t text_start; /* of the failure's text in the texts */
    uint32_t text_bytes;
    uint32_t retry_delay_ms;
    enum cellar_batch_state state;
    enum cellar_status code;
    bool is_idempotent;
    bool has_token;   /* is sent with one */
    bool is_in_doubt; /* was sent and not answered, maybe applied */
};

/** A batch; one thread at a time. */
struct cellar_batch {
    struct cellar_buffer body;
    struct cellar_batch_entry *entries;
    uint32_t count;
    uint32_t capacity;
    uint32_t mutation_count;
    bool is_sent;
    struct cellar_client *client;      /* that sends it; borrowed */
    uint8_t token[CELLAR_TOKEN_BYTES]; /* each entry's own differs by its index */
    struct cellar_buffer texts;
    struct cellar_error error; /* the first failure of filling it */
};

/**
 * Begins to send a batch: every entry waits for its result.
 *
 * @param batch  may be NULL: CELLAR_NO_MEMORY
 * @return CELLAR_OK; the failure of filling it; CELLAR_INVALID_ARGUMENT for an empty one
 */
enum cellar_status cellar_batch_begin(struct cellar_batch *batch, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Gives a batch that begins the tokens that its entries need, if the client makes any. */
void cellar_batch_protect(struct cellar_batch *batch, struct cellar_client *client);

/** What sending all entries that wait twice may do. */
enum cellar_safety cellar_batch_safety(const struct cellar_batch *batch);

/** The places of the tokens' times in a round's message; none when no entry that waits has one. */
struct cellar_token_fields cellar_batch_times(const struct cellar_batch *batch,
                                              struct cellar_msg_mutate_rows_request *message);

/** By what the entries of a round are chosen, and what is known of the rounds before. */
struct cellar_batch_course {
    struct cellar_places *places;
    struct cellar_slice table;           /* its full name; borrowed */
    struct cellar_slice row;             /* of the round's first entry: by it the server is found */
    const struct cellar_place *previous; /* the place that sent the last round on, */
    bool is_moved;                       /* if it did */
};

/**
 * Leaves those entries waiting that are served in one place, and queues the others.
 *
 * After a place sent a round on, the rows that it named go first: their answers show that the batch
 * gets on, so that only a round which is sent on and on is given up.
 *
 * @param batch   has an entry that waits or is queued
 * @param course  receives the round's row, borrowed from the batch, and place
 */
void cellar_batch_pick(struct cellar_batch *batch, struct cellar_batch_course *course);

/** Appends MUTATE_ROWS's entries: those that wait, at least one; CELLAR_NO_MEMORY. */
enum cellar_status cellar_batch_round(const struct cellar_batch *batch, struct cellar_buffer *to)
    CELLAR_MUST_USE;

/** Notes that the round was sent and its answer lost, before another answer is taken or it ends. */
void cellar_batch_doubt(struct cellar_batch *batch);

/** Takes the reply to a round; CELLAR_OUTCOME_UNKNOWN when it cannot be read. */
enum cellar_status cellar_batch_take(struct cellar_batch *batch, struct cellar_slice body,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Counts the entries that may go again; the first one's failure goes to `error`. */
uint32_t cellar_batch_again(const struct cellar_batch *batch, struct cellar_error *error);

/** Whether every entry has an answer, though some might go again. */
bool cellar_batch_is_answered(const struct cellar_batch *batch);

/** Has these entries wait for the next round. */
void cellar_batch_restart(struct cellar_batch *batch);

/** The row of an entry; borrowed from the batch. */
struct cellar_slice cellar_batch_row(const struct cellar_batch *batch, uint32_t index);

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
