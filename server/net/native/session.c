/*
 * What a session can do for the operations: answer, keep calls, end.
 *
 *     PREFACE --8 bytes--> HELLO --answered--> OPEN --server stops--> DRAINING
 *        |                   |                  |                        | last call ended
 *        +-------------------+---- rule broken -+------------------------+--> CLOSING
 *     any state --connection gone--> GONE --last call ended--> freed
 *
 * In CLOSING and GONE nothing is sent: answers are dropped, and calls that end are only taken out.
 * A connection without its answers would leave a client waiting for ever, so one whose answer found
 * no memory is closed instead.
 *
 * A session in GONE lives until its last call has ended, because the log and the pool hold pointers
 * to calls; net_session_settle() is the one place that frees it. All of it belongs to the thread of
 * the connection's loop. PROTOCOL.md, sections 1 and 2.
 */
#include "server/net/native/session.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/net/native/frame_writer.h"

#define FAILURE_LOG_PAUSE_US 1000000

static const char *const state_texts[] = {"preface",  "hello",   "open",
                                          "draining", "closing", "gone"};

/* moves[from][to] */
static const bool moves[6][6] = {
    [NET_PREFACE] = {[NET_HELLO] = true, [NET_CLOSING] = true, [NET_GONE] = true},
    [NET_HELLO] = {[NET_OPEN] = true, [NET_CLOSING] = true, [NET_GONE] = true},
    [NET_OPEN] = {[NET_DRAINING] = true, [NET_CLOSING] = true, [NET_GONE] = true},
    [NET_DRAINING] = {[NET_CLOSING] = true, [NET_GONE] = true},
    [NET_CLOSING] = {[NET_GONE] = true},
};

/* The one assertion behind the move holds for every state: without a connection, and only then, a
 * session is gone. */
void net_session_move(struct net_session *session, enum net_session_state to)
{
    CELLAR_ASSERT(moves[session->state][to]);
    cellar_log(CELLAR_LOG_DEBUG, "session_move", "from=%s to=%s calls=%" PRIu32,
               state_texts[session->state], state_texts[to], session->calls.count);
    session->state = to;
    CELLAR_ASSERT((session->state == NET_GONE) == (session->conn == NULL));
}

/* ---- answers --------------------------------------------------------------------------------- */

struct cellar_buffer *net_session_output(struct net_session *session)
{
    CELLAR_ASSERT(session != NULL);
    bool may_send = session->state != NET_CLOSING && session->state != NET_GONE;
    return may_send ? io_conn_output(session->conn) : NULL;
}

void net_session_close(struct net_session *session)
{
    CELLAR_ASSERT(session != NULL);
    if (session->state == NET_CLOSING || session->state == NET_GONE) {
        return;
    }
    net_session_move(session, NET_CLOSING);
    io_conn_close(session->conn);
}

/* Half an answer is worse than none, so what was appended of it is not sent: the connection is cut
 * off. */
void net_session_wrote(struct net_session *session, enum cellar_status status)
{
    CELLAR_ASSERT(session->conn != NULL);
    if (status == CELLAR_OK) {
        io_conn_wrote(session->conn);
        return;
    }
    cellar_log(CELLAR_LOG_WARN, "session_aborted", "reason=%s", cellar_status_text(status));
    net_session_close(session);
    io_conn_abort(session->conn);
}

/* The outcome is noted even where nothing can be sent, since counts tell what the server did. */
void net_reply_body(struct net_session *session, uint32_t request_id, uint16_t operation,
                    struct cellar_slice body)
{
    CELLAR_ASSERT(body.bytes > 0);
    net_session_outcome_set(session, CELLAR_OK);
    struct cellar_buffer *output = net_session_output(session);
    if (output == NULL) {
        return;
    }
    struct cellar_frame frame = {
        .request_id = request_id, .operation = operation, .kind = CELLAR_FRAME_REPLY};
    net_session_wrote(session, cellar_frame_append(output, &frame, body));
}

void net_reply_empty(struct net_session *session, uint32_t request_id, uint16_t operation)
{
    static const uint8_t empty_map = 0x80;
    CELLAR_ASSERT(request_id != 0);
    net_reply_body(session, request_id, operation, cellar_slice_make(&empty_map, 1));
}

/* Encoded straight into the output, without a copy; on failure the output is set back to where it
 * was. */
void net_reply_message(struct net_session *session, const struct net_request *request,
                       const struct cellar_message_type *type, const void *message)
{
    CELLAR_ASSERT(request->id != 0);
    net_session_outcome_set(session, CELLAR_OK);
    struct cellar_buffer *output = net_session_output(session);
    if (output == NULL) {
        return;
    }
    struct cellar_frame frame = {
        .request_id = request->id, .operation = request->operation, .kind = CELLAR_FRAME_REPLY};
    size_t start = output->bytes;
    size_t begun = 0;
    enum cellar_status status = net_message_begin(output, &begun);
    if (status == CELLAR_OK) {
        status = cellar_message_encode(type, message, output);
    }
    if (status == CELLAR_OK) {
        status = net_message_end(output, begun, &frame);
    }
    if (status != CELLAR_OK) {
        net_message_undo(output, start);
    }
    net_session_wrote(session, status);
}

void net_reply_error(struct net_session *session, uint32_t request_id, uint16_t operation,
                     const struct cellar_error *error)
{
    CELLAR_ASSERT(error->code != CELLAR_OK);
    net_session_outcome_set(session, error->code);
    struct cellar_buffer *output = net_session_output(session);
    if (output != NULL) {
        net_session_wrote(session, net_error_append(output, request_id, operation, error));
    }
}

/* One line a second and loop, so that a peer cannot fill the disk with them. */
static void log_failure(struct net_measures *measures, const struct cellar_error *error)
{
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(now_us >= 0);
    measures->error_unlogged++;
    if (measures->error_logged_us != 0 &&
        now_us - measures->error_logged_us < FAILURE_LOG_PAUSE_US) {
        return;
    }
    cellar_log(CELLAR_LOG_INFO, "session_failed", "code=%s count=%" PRIu64 " text=\"%s\"",
               cellar_status_text(error->code), measures->error_unlogged, error->text);
    measures->error_logged_us = now_us;
    measures->error_unlogged = 0;
}

/* The reason travels in front of the end, so a client's author sees what was wrong. */
void net_session_fail(struct net_session *session, uint32_t request_id, uint16_t operation,
                      const struct cellar_error *error)
{
    CELLAR_ASSERT(error->code != CELLAR_OK);
    log_failure(session->measures, error);
    cellar_counter_add(&session->measures->session_errors[error->code], 1);
    net_reply_error(session, request_id, operation, error);
    net_session_close(session);
}

/* ---- calls ----------------------------------------------------------------------------------- */

void net_session_settle(struct net_session *session)
{
    CELLAR_ASSERT(session->calls.count >= session->join_count);
    if (session->is_held) {
        return;
    }
    if (session->state == NET_GONE) {
        if (session->calls.count == 0) {
            cellar_mem_free(session);
        }
        return;
    }
    if (session->calls.count < NET_REQUEST_COUNT_MAX) {
        io_conn_resume(session->conn, IO_PAUSE_REQUESTS);
    }
    CELLAR_ASSERT(session->refused_count <= session->calls.count);
    bool is_idle = session->calls.count == session->refused_count;
    if (is_idle && (session->state == NET_DRAINING || session->has_ended)) {
        net_session_close(session);
    }
}

/* How the request that ends now was answered; one that nobody answers was cancelled. */
static enum cellar_status outcome_take(struct net_session *session)
{
    enum cellar_status outcome = session->outcome;
    CELLAR_ASSERT((size_t)outcome < CELLAR_STATUS_COUNT);
    session->outcome = CELLAR_CANCELLED;
    return outcome;
}

void net_request_end(struct net_session *session)
{
    CELLAR_ASSERT(session->is_fresh);
    session->is_fresh = false;
    net_measure_end(session->measures, session->operation_index, outcome_take(session),
                    cellar_clock_monotonic_us() - session->input_us);
}

/* Counted without a time: it would only tell how fast a refusal is. */
void net_request_refused(struct net_session *session, size_t index)
{
    CELLAR_ASSERT(index <= NET_OPERATION_OTHER);
    cellar_counter_add(&session->measures->outcomes[index][outcome_take(session)], 1);
}

/* What the call must know at its end is copied from the session, which handles other requests
 * meanwhile. */
void net_call_begin(struct net_session *session, struct net_call *call,
                    const struct net_call_type *type, const struct net_request *request)
{
    CELLAR_ASSERT(request->id != 0);
    call->type = type;
    call->session = session;
    call->request_id = request->id;
    call->operation = request->operation;
    call->operation_index = session->operation_index;
    call->arrived_us = session->input_us;
    call->ended_us = 0;
    session->is_fresh = false;
    net_calls_add(&session->calls, call);
}

/* The loop's time, read once a turn, is good enough for writes, which end by the hundred in one; a
 * stream may end in the turn it began in, so it asks the clock, unless it says when it ended. */
void net_call_end(struct net_call *call)
{
    struct net_session *session = call->session;
    CELLAR_ASSERT(session != NULL);
    bool is_stream = call->type->credit != NULL;
    int64_t now_us = call->ended_us != 0 ? call->ended_us : io_loop_now_us(session->loop);
    if ((is_stream && call->ended_us == 0) || now_us < call->arrived_us) {
        now_us = cellar_clock_monotonic_us(); /* it ends in the turn in which it came, perhaps */
    }
    net_measure_end(session->measures, call->operation_index, outcome_take(session),
                    now_us - call->arrived_us);
    net_calls_remove(&session->calls, call);
    net_session_settle(session);
}

/* ---- what operations ask --------------------------------------------------------------------- */

const struct net_context *net_session_context(const struct net_session *session)
{
    CELLAR_ASSERT(session != NULL);
    return session->context;
}

struct io_loop *net_session_loop(const struct net_session *session)
{
    CELLAR_ASSERT(session != NULL);
    return session->loop;
}

bool net_session_open(struct net_session *session)
{
    CELLAR_ASSERT(session->state != NET_PREFACE);
    if (session->state != NET_HELLO) {
        return false;
    }
    net_session_move(session, NET_OPEN);
    return true;
}

/* A stream is parked once, however often it asks. */
bool net_session_has_room(struct net_session *session, struct io_work *work)
{
    CELLAR_ASSERT(session->conn != NULL);
    if (io_conn_has_room(session->conn)) {
        return true;
    }
    if (!io_work_is_queued(work)) {
        io_list_append(&session->parked, &work->link);
    }
    return false;
}

struct svc_request net_request_limits(int64_t arrived_us, uint64_t timeout_us)
{
    struct svc_request request = {.deadline_us = 0};
    CELLAR_ASSERT(arrived_us >= 0);
    if (timeout_us > 0) {
        bool is_far = timeout_us > (uint64_t)(INT64_MAX - arrived_us);
        request.deadline_us = is_far ? INT64_MAX : arrived_us + (int64_t)timeout_us;
    }
    return request;
}
