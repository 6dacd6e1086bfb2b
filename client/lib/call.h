#ifndef CELLAR_CLIENT_CALL_H
#define CELLAR_CLIENT_CALL_H

#include "client/lib/client.h"
#include "client/lib/retry.h"
#include "client/lib/token.h"

/* One request and its one answer, with retries within the deadline; and the steps of that which
 * scans share. */

/** A request before it is encoded; the message's time limit is filled in for each attempt. */
struct cellar_request {
    enum cellar_operation operation;
    enum cellar_safety safety;
    const struct cellar_message_type *type;
    void *message;                  /* of that type */
    struct cellar_slice *table;     /* its field 1; NULL in a message without one */
    const struct cellar_slice *row; /* by which its server is found; NULL = the client's own */
    uint64_t *timeout_us;           /* its field 15 */
    struct cellar_token_fields token;
    bool *is_moved;    /* NULL = MOVED is followed; else it ends the call, and this tells so */
    bool *is_in_doubt; /* set when an attempt was lost, whatever came later; may be NULL */
};

/**
 * The moment when a call's time is over.
 *
 * @param call         may be NULL
 * @param deadline_us  receives monotonic microseconds
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT for a negative time limit
 */
enum cellar_status cellar_call_deadline(const struct cellar_client *client,
                                        const struct cellar_call *call, int64_t *deadline_us,
                                        struct cellar_error *error) CELLAR_MUST_USE;

/** The retries of one call of the client. */
struct cellar_retry cellar_call_retry(const struct cellar_client *client, enum cellar_safety safety,
                                      int64_t deadline_us);

/**
 * After a failed attempt: decides whether there is another one and waits until it is due.
 *
 * @return true to send the request again; false with the call's final error
 */
bool cellar_call_again(struct cellar_client *client, struct cellar_retry *retry,
                       enum cellar_attempt attempt, struct cellar_error *error);

/**
 * Reads an ERROR's body.
 *
 * @param error  receives it; never CELLAR_OK
 * @return false when it cannot be understood, which says nothing about the request: CELLAR_IO_ERROR
 */
bool cellar_call_error_decode(struct cellar_slice body, struct cellar_error *error);

/**
 * Takes an ERROR: what failed and, of an UNAVAILABLE, where the rows are if it says so.
 *
 * @param table  the request's; may be empty
 * @param error  receives the failure; never CELLAR_OK
 * @return CELLAR_ATTEMPT_ANSWERED or CELLAR_ATTEMPT_MOVED; CELLAR_ATTEMPT_SENT when it cannot be
 *         understood
 */
enum cellar_attempt cellar_call_refused(struct cellar_client *client, struct cellar_slice table,
                                        struct cellar_slice body, struct cellar_error *error);

/**
 * Sends a request until it is answered, refused for good, or its time is over.
 *
 * @param deadline_us  monotonic microseconds
 * @param reply        receives the reply's body; empty before; freed by the caller also on failure
 * @return CELLAR_OK or the failure
 */
enum cellar_status cellar_call_run(struct cellar_client *client,
                                   const struct cellar_request *request, int64_t deadline_us,
                                   struct cellar_buffer *reply, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * As cellar_call_run(), for a request to a table; names the table in the message first.
 *
 * @param table  as the program named it
 * @param call   gives the time limit; may be NULL
 */
enum cellar_status cellar_call_table(struct cellar_client *client,
                                     const struct cellar_request *request, const char *table,
                                     const struct cellar_call *call, struct cellar_buffer *reply,
                                     struct cellar_error *error) CELLAR_MUST_USE;

#endif
