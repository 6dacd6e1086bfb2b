/*
 * Calls: a request goes out on a connection of the pool, its answer comes back, and what failed
 * without having been applied goes out again.
 *
 * Each attempt encodes the body anew, since the time that is left is part of it, and uses one
 * connection for itself. After an attempt that broke a connection the next one opens a new one:
 * the server that closed one idle connection has most likely closed them all. Whether there is a
 * next attempt is retry.c's to say; here is only the waiting.
 *
 *     pick the row's place
 *            |
 *     take a connection --fails--> CONNECT ----+
 *            |                                 |
 *     encode and submit --refused--> ANSWERED  +--> again? --no--> the call's error
 *            |                                 |       |
 *     send and wait --breaks--> UNSENT, SENT --+      yes, after a pause
 *            |                                 |
 *     REPLY: done      ERROR: ANSWERED, MOVED -+
 *
 * The deadline counts from the start of the call and covers connecting, waiting for a free
 * connection, pauses and all attempts. Any thread; a call owns what it allocates.
 */

#include "client/lib/call.h"

#include <inttypes.h>
#include <poll.h>

#include "common/clock.h"
#include "common/mem.h"

#define TIMEOUT_US_MAX INT64_C(31536000000000) /* a year; longer is cut */

enum cellar_status cellar_call_deadline(const struct cellar_client *client,
                                        const struct cellar_call *call, int64_t *deadline_us,
                                        struct cellar_error *error)
{
    int64_t timeout_us = call == NULL ? 0 : call->timeout_us;
    CELLAR_ASSERT(client->timeout_us > 0);
    if (timeout_us < 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A call's timeout_us must be >= 0, but got %" PRId64, timeout_us);
    }
    timeout_us = CELLAR_MIN(timeout_us == 0 ? client->timeout_us : timeout_us, TIMEOUT_US_MAX);
    *deadline_us = cellar_clock_monotonic_us() + timeout_us;
    return CELLAR_OK;
}

struct cellar_retry cellar_call_retry(const struct cellar_client *client, enum cellar_safety safety,
                                      int64_t deadline_us)
{
    CELLAR_ASSERT(client->attempts_max >= 1 && client->connect_attempts_max >= 1);
    return (struct cellar_retry){.safety = safety,
                                 .attempts_max = client->attempts_max,
                                 .connect_attempts_max = client->connect_attempts_max,
                                 .deadline_us = deadline_us};
}

/* Waits before the next attempt; false when interrupted. */
static bool pause_take(const struct cellar_client *client, int64_t delay_us)
{
    struct pollfd entry = {.fd = client->pool.address.interrupt_fd, .events = POLLIN};
    CELLAR_ASSERT(delay_us >= 0);
    if (delay_us == 0) {
        return true;
    }
    int wait_ms = (int)CELLAR_MIN((delay_us + 999) / 1000, (int64_t)INT32_MAX);
    return poll(&entry, entry.fd > 0 ? 1 : 0, wait_ms) <= 0;
}

bool cellar_call_again(struct cellar_client *client, struct cellar_retry *retry,
                       enum cellar_attempt attempt, struct cellar_error *error)
{
    struct cellar_retry_chance chance = {.now_us = cellar_clock_monotonic_us(),
                                         .random = cellar_client_random(client)};
    int64_t delay_us;
    CELLAR_ASSERT(error->code != CELLAR_OK);
    if (!cellar_retry_again(retry, attempt, chance, error, &delay_us)) {
        return false;
    }
    if (pause_take(client, delay_us)) {
        return true;
    }
    bool is_in_doubt = retry->sent_count > 0 && retry->safety != CELLAR_SAFETY_READ;
    (void)cellar_error_set(error, is_in_doubt ? CELLAR_OUTCOME_UNKNOWN : CELLAR_CANCELLED,
                           "%sInterrupted before the next attempt",
                           is_in_doubt ? "The write may or may not have been applied: " : "");
    return false;
}

bool cellar_call_error_decode(struct cellar_slice body, struct cellar_error *error)
{
    struct cellar_msg_error message;
    enum cellar_status code;
    if (cellar_message_decode(&cellar_msg_error_type, body, &message, CELLAR_UNKNOWN_SKIP, error) !=
        CELLAR_OK) {
        (void)cellar_error_set(error, CELLAR_IO_ERROR,
                               "The server answered with an error that cannot be read");
        return false;
    }
    int text_bytes = (int)CELLAR_MIN(message.text.bytes, CELLAR_ERROR_TEXT_BYTES_MAX);
    const char *text = text_bytes == 0 ? "" : (const char *)message.text.data;
    if (!cellar_status_decode(message.code, &code) || code == CELLAR_OK) {
        (void)cellar_error_set(error, CELLAR_IO_ERROR,
                               "The server answered with code %" PRIu64
                               ", which this client does not know: %.*s",
                               message.code, text_bytes, text);
        return false;
    }
    (void)cellar_error_set(error, code, "%.*s", text_bytes, text);
    error->retry_delay_ms = (uint32_t)CELLAR_MIN(message.retry_delay_ms, (uint64_t)UINT32_MAX);
    CELLAR_ASSERT(error->code != CELLAR_OK);
    return true;
}

enum cellar_attempt cellar_call_refused(struct cellar_client *client, struct cellar_slice table,
                                        struct cellar_slice body, struct cellar_error *error)
{
    struct cellar_error wrong;
    bool is_moved = false;
    if (!cellar_call_error_decode(body, error)) {
        return CELLAR_ATTEMPT_SENT;
    }
    if (error->code == CELLAR_UNAVAILABLE &&
        cellar_places_moved(&client->places, table, body, &is_moved, &wrong) != CELLAR_OK) {
        *error = wrong; /* nothing was applied, but nobody knows where to go */
    }
    CELLAR_ASSERT(error->code != CELLAR_OK);
    return is_moved ? CELLAR_ATTEMPT_MOVED : CELLAR_ATTEMPT_ANSWERED;
}

/* Encodes the request with the time that is left. */
static enum cellar_status request_encode(const struct cellar_request *request, int64_t deadline_us,
                                         struct cellar_buffer *body, struct cellar_error *error)
{
    int64_t left_us = deadline_us - cellar_clock_monotonic_us();
    CELLAR_ASSERT(body->bytes == 0);
    *request->timeout_us = (uint64_t)CELLAR_MAX(left_us, INT64_C(1));
    if (cellar_message_encode(request->type, request->message, body) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a request");
    }
    return CELLAR_OK;
}

/* The table of a request; empty when it has none. */
static struct cellar_slice request_table(const struct cellar_request *request)
{
    CELLAR_ASSERT(request->message != NULL);
    return request->table == NULL ? cellar_slice_make(NULL, 0) : *request->table;
}

/* One attempt: what it is made with and how it ended. */
struct attempt {
    struct cellar_client *client;
    const struct cellar_request *request;
    int64_t deadline_us;
    struct cellar_buffer *reply;
    enum cellar_attempt end;
};

/* Sends an encoded request over one connection and takes its answer. */
static enum cellar_status answer_wait(struct attempt *attempt, struct cellar_sync *sync,
                                      struct cellar_error *error)
{
    struct cellar_event event;
    enum cellar_status status = cellar_sync_wait(sync, attempt->deadline_us, &event, error);
    if (status != CELLAR_OK) {
        attempt->end = cellar_sync_is_sent(sync) ? CELLAR_ATTEMPT_SENT : CELLAR_ATTEMPT_UNSENT;
        return status;
    }
    CELLAR_ASSERT(event.operation == attempt->request->operation);
    if (event.kind == CELLAR_EVENT_ERROR) {
        attempt->end = cellar_call_refused(attempt->client, request_table(attempt->request),
                                           event.body, error);
        return error->code;
    }
    /* What cannot be understood or kept from here on says nothing about a write. */
    attempt->end = CELLAR_ATTEMPT_SENT;
    if (event.kind != CELLAR_EVENT_REPLY) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "The server answered in parts");
    }
    if (event.body.bytes > 0 &&
        cellar_buffer_append(attempt->reply, event.body.data, event.body.bytes) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an answer of %zu bytes",
                                event.body.bytes);
    }
    attempt->end = CELLAR_ATTEMPT_ANSWERED;
    return CELLAR_OK;
}

/* An attempt over a connection that was taken. */
static enum cellar_status request_send(struct attempt *attempt, struct cellar_sync *sync,
                                       struct cellar_error *error)
{
    struct cellar_buffer body = {0};
    uint32_t id;
    attempt->end = CELLAR_ATTEMPT_ANSWERED;
    CELLAR_ASSERT(sync != NULL);
    enum cellar_status status =
        request_encode(attempt->request, attempt->deadline_us, &body, error);
    if (status == CELLAR_OK) {
        status =
            cellar_engine_submit(cellar_sync_engine(sync), (uint16_t)attempt->request->operation,
                                 cellar_slice_of(&body), &id, error);
    }
    cellar_buffer_fini(&body);
    return status == CELLAR_OK ? answer_wait(attempt, sync, error) : status;
}

/* One attempt, from finding the place and taking a connection to giving both back. */
static enum cellar_status attempt_run(struct attempt *attempt, struct cellar_error *error)
{
    struct cellar_sync *sync = NULL;
    struct cellar_places *places = &attempt->client->places;
    bool is_fresh = attempt->end == CELLAR_ATTEMPT_SENT || attempt->end == CELLAR_ATTEMPT_UNSENT;
    struct cellar_place *place =
        cellar_places_pick(places, request_table(attempt->request), attempt->request->row);
    struct cellar_pool *pool = cellar_places_pool(places, place);
    attempt->end = CELLAR_ATTEMPT_CONNECT;
    CELLAR_ASSERT(attempt->deadline_us > 0);
    enum cellar_status status =
        cellar_pool_take(pool, is_fresh, attempt->deadline_us, &sync, error);
    if (status == CELLAR_OK) {
        status = request_send(attempt, sync, error);
        cellar_pool_return(pool, sync);
    } else {
        cellar_places_lost(places, place);
    }
    cellar_places_release(places, place);
    return status;
}

/* Attempts until one is answered, or there is none any more. */
static enum cellar_status attempts_run(struct cellar_client *client,
                                       const struct cellar_request *request,
                                       struct cellar_retry *retry, struct cellar_buffer *reply,
                                       struct cellar_error *error)
{
    struct attempt attempt = {.client = client,
                              .request = request,
                              .deadline_us = retry->deadline_us,
                              .reply = reply,
                              .end = CELLAR_ATTEMPT_ANSWERED};
    for (;;) {
        CELLAR_ASSERT(reply->bytes == 0);
        cellar_error_clear(error);
        if (attempt_run(&attempt, error) == CELLAR_OK) {
            return CELLAR_OK;
        }
        if (attempt.end == CELLAR_ATTEMPT_MOVED && request->is_moved != NULL) {
            *request->is_moved = true;
            return error->code;
        }
        if (attempt.end == CELLAR_ATTEMPT_ANSWERED &&
            cellar_token_relax(client, &request->token, retry, error->code)) {
            continue;
        }
        if (!cellar_call_again(client, retry, attempt.end, error)) {
            return error->code;
        }
    }
}

enum cellar_status cellar_call_run(struct cellar_client *client,
                                   const struct cellar_request *request, int64_t deadline_us,
                                   struct cellar_buffer *reply, struct cellar_error *error)
{
    struct cellar_retry retry = cellar_call_retry(client, request->safety, deadline_us);
    CELLAR_ASSERT(request->timeout_us != NULL);
    cellar_token_begin(client, &request->token, deadline_us);
    enum cellar_status status = attempts_run(client, request, &retry, reply, error);
    if (request->is_in_doubt != NULL) {
        *request->is_in_doubt = retry.sent_count > 0;
    }
    return status;
}

enum cellar_status cellar_call_table(struct cellar_client *client,
                                     const struct cellar_request *request, const char *table,
                                     const struct cellar_call *call, struct cellar_buffer *reply,
                                     struct cellar_error *error)
{
    char name[CELLAR_TABLE_NAME_BYTES_MAX];
    int64_t deadline_us = 0;
    CELLAR_ASSERT(request->table != NULL);
    CELLAR_TRY(cellar_call_deadline(client, call, &deadline_us, error));
    CELLAR_TRY(cellar_client_table_name(client, table, name, error));
    *request->table = cellar_slice_text(name);
    enum cellar_status status = cellar_call_run(client, request, deadline_us, reply, error);
    *request->table = cellar_slice_make(NULL, 0);
    return status;
}
