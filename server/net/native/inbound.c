/*
 * From a connection's bytes to requests.
 *
 * Frames are handled where they lie in the input: a request that fits in one is never copied. A
 * request of several frames is joined (join.h) in memory that is counted against the request
 * budget; when that has no room, the frame stays in the input and the connection pauses and tries
 * again, for NET_BUDGET_US_MAX at most, then the request is refused. A refused half-sent request
 * stays in the table until its last frame has come, so that its remaining frames can be thrown
 * away.
 *
 * When NET_REQUEST_COUNT_MAX calls are in flight the next request stays in the input and reading
 * stops; CREDIT and CANCEL before it were handled, so that streams can end.
 *
 * Whatever breaks a rule of the frames is answered with an ERROR of id 0 and the end of the
 * connection; what is wrong inside a request is the operations' to answer. Every function runs on
 * the thread of the connection's loop. PROTOCOL.md, sections 1 and 2.
 */
#include "server/net/native/inbound.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "server/net/native/frame_writer.h"
#include "server/net/native/join.h"
#include "server/net/native/native_load.h"

#define FIRST_PAYLOAD_BYTES_MAX 65536u /* before HELLO was answered */
#define RETRY_DELAY_MS 1000u
#define MEMORY_SHARE 4u /* of the requests' memory that one may take */

/* Fails the connection as such, with a code and a formatted sentence. */
#define FAIL(session, code, ...)                                                                   \
    do {                                                                                           \
        struct cellar_error fail_error_;                                                           \
        (void)cellar_error_set(&fail_error_, code, __VA_ARGS__);                                   \
        net_session_fail(session, 0, CELLAR_OP_NONE, &fail_error_);                                \
    } while (0)

/* ---- requests of several frames -------------------------------------------------------------- */

/* Takes a join out of the table and the counts; it is not freed. A refused join was answered
 * already and does not count as a request in flight: a draining session need not wait for its rest.
 */
static void remove_join(struct net_session *session, struct net_join *join)
{
    CELLAR_ASSERT(session->join_count > 0);
    net_calls_remove(&session->calls, &join->call);
    session->join_count--;
    session->refused_count -= join->is_refused ? 1 : 0;
}

/* Nothing is answered: an answer was given, or cannot be. */
static void end_join(struct net_call *call)
{
    struct net_session *session = call->session;
    struct net_join *join = CELLAR_CONTAINER_OF(call, struct net_join, call);
    CELLAR_ASSERT(session != NULL);
    remove_join(session, join);
    net_join_free(join);
    net_session_settle(session);
}

/* The rest of the request is not expected any more: its id may come again as a new one. */
static void cancel_join(struct net_call *call)
{
    struct net_join *join = CELLAR_CONTAINER_OF(call, struct net_join, call);
    CELLAR_ASSERT(call->session->state != NET_GONE);
    if (!join->is_refused) {
        struct cellar_error error;
        (void)cellar_error_set(&error, CELLAR_CANCELLED,
                               "Cancelled before the whole request had come");
        net_reply_error(call->session, call->request_id, call->operation, &error);
    }
    end_join(call);
}

static const struct net_call_type join_type = {
    .cancel = cancel_join, .ended = end_join, .gone = end_join};

/* The place of an operation in the table; NET_OPERATION_OTHER when it is not there. A dozen
 * operations: a walk is as fast as anything. */
static size_t index_of(const struct net_context *context, uint16_t number)
{
    size_t index = 0;
    CELLAR_ASSERT(context->operation_count <= NET_OPERATION_COUNT_MAX);
    while (index < context->operation_count && context->operations[index].number != number) {
        index++;
    }
    return index < context->operation_count ? index : NET_OPERATION_OTHER;
}

/* Answers a request of which more frames come, and throws those away. The memory goes at once, the
 * id stays: frames that are on their way must not be taken for a new request. */
static void refuse_join(struct net_join *join, const struct cellar_error *error)
{
    struct net_call *call = &join->call;
    CELLAR_ASSERT(!join->is_refused);
    net_reply_error(call->session, call->request_id, call->operation, error);
    net_request_refused(call->session, index_of(call->session->context, call->operation));
    net_join_refuse(join);
    call->session->refused_count++;
}

/* Whether a message that found no room in the budget may go on waiting. The clock starts with the
 * first refusal of the budget, not with the request. */
static bool may_wait(struct net_session *session)
{
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(now_us > 0);
    if (session->waiting_since_us == 0) {
        session->waiting_since_us = now_us;
    }
    return now_us - session->waiting_since_us < NET_BUDGET_US_MAX;
}

/* Takes the next payload, or refuses the request. False: the frame is to be shown again. */
static bool append_to_join(struct net_session *session, struct net_join *join,
                           struct cellar_slice payload)
{
    CELLAR_ASSERT(join->call.session == session);
    struct cellar_error error;
    if (join->is_refused) {
        return true;
    }
    enum cellar_status status = net_join_append(join, payload, &error);
    if (status == CELLAR_UNAVAILABLE && may_wait(session)) {
        io_conn_pause(session->conn, IO_PAUSE_BUDGET);
        return false;
    }
    session->waiting_since_us = 0;
    if (status != CELLAR_OK) {
        refuse_join(join, &error);
    }
    return true;
}

/* Runs a request, given in one frame or joined. @param index of its operation in the table An
 * operation that answered within the call is fresh still, and ends here; one that became a call
 * ends with it. */
static void run_request(struct net_session *session, const struct net_request *request,
                        size_t index)
{
    CELLAR_ASSERT(session->context->operations[index].number == request->operation);
    net_request_begin(session, index);
    session->context->operations[index].run(session, request);
    if (session->is_fresh) {
        net_request_end(session);
    }
}

/* Runs a request whose last frame has come; it is in no table any more. */
static void run_join(struct net_session *session, struct net_join *join)
{
    struct cellar_error error;
    bool is_kept = false;
    struct net_request request = {.id = join->call.request_id,
                                  .operation = join->call.operation,
                                  .join = join,
                                  .is_kept = &is_kept};
    size_t index = index_of(session->context, request.operation);
    CELLAR_ASSERT(!join->is_refused);
    if (net_join_body(join, &request.body, &error) != CELLAR_OK) {
        net_reply_error(session, request.id, request.operation, &error);
        net_request_refused(session, index);
    } else {
        run_request(session, &request, index);
    }
    if (!is_kept) {
        net_join_free(join);
    }
}

/* Takes the next frame of a half-sent request; with the last one the request runs. False: the frame
 * is to be shown again. The request leaves the table before it runs, so that its operation can
 * begin a call under the same id. */
static bool take_joined_frame(struct net_session *session, struct net_join *join,
                              const struct cellar_frame *frame, struct cellar_slice payload)
{
    CELLAR_ASSERT(join->call.session == session);
    if (frame->operation != join->call.operation) {
        FAIL(session, CELLAR_INVALID_ARGUMENT,
             "Request %" PRIu32 " began as operation %u and goes on as %u", frame->request_id,
             join->call.operation, frame->operation);
        return true;
    }
    if (!append_to_join(session, join, payload)) {
        return false;
    }
    if (frame->has_more) {
        return true;
    }
    remove_join(session, join);
    if (join->is_refused) {
        net_join_free(join);
    } else {
        run_join(session, join);
    }
    net_session_settle(session);
    return true;
}

/* Begins a half-sent request; NULL when the connection failed over it. NET_JOIN_COUNT_MAX bounds
 * what a client can leave unfinished; more of them is no way to use the protocol, so the connection
 * ends. */
static struct net_join *begin_join(struct net_session *session, const struct cellar_frame *frame)
{
    CELLAR_ASSERT(frame->has_more);
    const struct net_context *context = session->context;
    struct net_request request = {.id = frame->request_id, .operation = frame->operation};
    if (session->join_count >= NET_JOIN_COUNT_MAX) {
        FAIL(session, CELLAR_RESOURCE_EXHAUSTED, "A connection has at most %u half-sent requests",
             NET_JOIN_COUNT_MAX);
        return NULL;
    }
    uint64_t memory_bytes = io_budget_limit(context->request_budget) / MEMORY_SHARE;
    const struct net_join_limits limits = {
        .memory_budget = context->request_budget,
        .file_budget = context->file_budget,
        .directory = context->data_dir,
        .memory_bytes_max = CELLAR_MIN((uint64_t)NET_JOIN_MEMORY_BYTES_MAX, memory_bytes),
        .bytes_max = context->request_bytes_max};
    struct net_join *join = net_join_new(&limits);
    if (join == NULL) {
        FAIL(session, CELLAR_NO_MEMORY, "No memory for a request of several frames");
        return NULL;
    }
    session->join_count++;
    net_call_begin(session, &join->call, &join_type, &request);
    return join;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* Refuses a request whole, however many frames it has. */
static void refuse_request(struct net_session *session, const struct cellar_frame *frame,
                           const struct cellar_error *error)
{
    CELLAR_ASSERT(frame->kind == CELLAR_FRAME_REQUEST);
    if (!frame->has_more) {
        net_reply_error(session, frame->request_id, frame->operation, error);
        net_request_refused(session, index_of(session->context, frame->operation));
        return;
    }
    struct net_join *join = begin_join(session, frame);
    if (join != NULL) {
        refuse_join(join, error);
    }
}

/* While the server starts only HELLO is taken, while it stops nothing is. While starting, HELLO is
 * answered, so that clients learn that this is a server which will soon be ready, and ask again
 * without a new connection. */
static bool refuse_by_phase(struct net_session *session, const struct cellar_frame *frame)
{
    struct cellar_error error;
    enum net_phase phase = atomic_load_explicit(&session->context->phase, memory_order_acquire);
    bool is_starting = phase == NET_STARTING && frame->operation != CELLAR_OP_HELLO;
    bool is_stopping = phase == NET_STOPPING || session->state == NET_DRAINING;
    if (!is_starting && !is_stopping) {
        return false;
    }
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "The server is %s",
                           is_stopping ? "stopping" : "starting: its data is being recovered");
    error.retry_delay_ms = RETRY_DELAY_MS;
    refuse_request(session, frame, &error);
    if (session->state == NET_HELLO) {
        net_session_close(session); /* HELLO itself was refused */
    }
    CELLAR_ASSERT(session->state != NET_PREFACE);
    return true;
}

/* A request's first frame. False: it cannot be taken now. The order of the checks is the order in
 * which a client can be helped: first what connection this is, then whether now is a time, then
 * what it wants. */
static bool take_new_request(struct net_session *session, const struct cellar_frame *frame,
                             struct cellar_slice payload)
{
    struct cellar_error error;
    if (session->state == NET_HELLO && frame->operation != CELLAR_OP_HELLO) {
        (void)cellar_error_set(&error, CELLAR_FAILED_PRECONDITION,
                               "The first request of a connection is HELLO (operation 1), but got "
                               "operation %u",
                               frame->operation);
        net_session_fail(session, frame->request_id, frame->operation, &error);
        net_request_refused(session, index_of(session->context, frame->operation));
        return true;
    }
    if (refuse_by_phase(session, frame)) {
        return true;
    }
    size_t index = index_of(session->context, frame->operation);
    if (index == NET_OPERATION_OTHER) {
        (void)cellar_error_set(&error, CELLAR_UNIMPLEMENTED, "This server has no operation %u",
                               frame->operation);
        refuse_request(session, frame, &error);
        return true;
    }
    if (frame->has_more) {
        struct net_join *join = begin_join(session, frame);
        return join == NULL || take_joined_frame(session, join, frame, payload);
    }
    CELLAR_ASSERT(session->state == NET_HELLO || session->state == NET_OPEN);
    const struct net_request request = {
        .id = frame->request_id, .operation = frame->operation, .body = payload};
    run_request(session, &request, index);
    return true;
}

/* False: the frame cannot be taken now. An id that is in flight is a mistake that cannot be
 * answered under that id, as its answer would be taken for the other request's. */
static bool take_request(struct net_session *session, const struct cellar_frame *frame,
                         struct cellar_slice payload)
{
    CELLAR_ASSERT(frame->kind == CELLAR_FRAME_REQUEST);
    struct net_call *call = net_calls_find(&session->calls, frame->request_id);
    if (call != NULL && call->type == &join_type) {
        struct net_join *join = CELLAR_CONTAINER_OF(call, struct net_join, call);
        return take_joined_frame(session, join, frame, payload);
    }
    if (frame->request_id == 0 || call != NULL) {
        FAIL(session, CELLAR_INVALID_ARGUMENT,
             "A request's id is not 0 and not one in flight, but got %" PRIu32, frame->request_id);
        return true;
    }
    if (session->calls.count >= NET_REQUEST_COUNT_MAX) {
        io_conn_pause(session->conn, IO_PAUSE_REQUESTS);
        return false;
    }
    return take_new_request(session, frame, payload);
}

/* A client may give credit to a read that has just ended; that is no mistake of either side.
 * Malformed credit ends the connection: the sum of credit would be wrong from there on. */
static void take_credit(struct net_session *session, const struct cellar_frame *frame,
                        struct cellar_slice payload)
{
    struct cellar_msg_credit credit;
    struct cellar_error error;
    CELLAR_ASSERT(frame->kind == CELLAR_FRAME_CREDIT);
    if (cellar_message_decode(&cellar_msg_credit_type, payload, &credit, CELLAR_UNKNOWN_REFUSE,
                              &error) != CELLAR_OK) {
        net_session_fail(session, 0, CELLAR_OP_NONE, &error);
        return;
    }
    struct net_call *call = net_calls_find(&session->calls, frame->request_id);
    if (call != NULL && call->type->credit != NULL) {
        call->type->credit(call, credit.bytes);
    }
}

/* Likewise for what has been answered already. */
static void take_cancel(struct net_session *session, const struct cellar_frame *frame)
{
    CELLAR_ASSERT(frame->kind == CELLAR_FRAME_CANCEL);
    struct net_call *call = net_calls_find(&session->calls, frame->request_id);
    if (call != NULL && call->type->cancel != NULL) {
        call->type->cancel(call);
    }
}

/* Whether a frame is one that a client may send in this state; else the connection fails. Before
 * HELLO a frame is small, so that a stranger cannot have us keep a megabyte for each connection. */
static bool frame_is_allowed(struct net_session *session, const struct cellar_frame *frame)
{
    CELLAR_ASSERT(session->state != NET_PREFACE);
    bool is_control = frame->kind == CELLAR_FRAME_CREDIT || frame->kind == CELLAR_FRAME_CANCEL;
    if (!is_control && frame->kind != CELLAR_FRAME_REQUEST) {
        FAIL(session, CELLAR_INVALID_ARGUMENT, "A client sends no frame of kind %u", frame->kind);
        return false;
    }
    if (is_control && frame->has_more) {
        FAIL(session, CELLAR_INVALID_ARGUMENT, "A frame of kind %u has no MORE", frame->kind);
        return false;
    }
    if (frame->kind == CELLAR_FRAME_CANCEL && frame->payload_bytes > 0) {
        FAIL(session, CELLAR_INVALID_ARGUMENT,
             "CANCEL has an empty payload, but got %" PRIu32 " bytes", frame->payload_bytes);
        return false;
    }
    if (session->state == NET_HELLO && frame->payload_bytes > FIRST_PAYLOAD_BYTES_MAX) {
        FAIL(session, CELLAR_INVALID_ARGUMENT,
             "Before HELLO is answered a frame holds at most %u bytes, but got %" PRIu32,
             FIRST_PAYLOAD_BYTES_MAX, frame->payload_bytes);
        return false;
    }
    return true;
}

/* Takes one complete frame. False: not now. */
static bool take_frame(struct net_session *session, const struct cellar_frame *frame,
                       struct cellar_slice payload)
{
    CELLAR_ASSERT(payload.bytes == frame->payload_bytes);
    if (frame->kind == CELLAR_FRAME_REQUEST) {
        return take_request(session, frame, payload);
    }
    if (frame->kind == CELLAR_FRAME_CREDIT) {
        take_credit(session, frame, payload);
    } else {
        take_cancel(session, frame);
    }
    return true;
}

/* Takes the frame at the start of `input`. Returns its length, or 0 when it is not complete or
 * cannot be taken now. */
static size_t take_from(struct net_session *session, struct cellar_slice input)
{
    struct cellar_frame frame;
    struct cellar_error error;
    if (input.bytes < CELLAR_FRAME_HEADER_BYTES) {
        io_conn_want(session->conn, CELLAR_FRAME_HEADER_BYTES);
        return 0;
    }
    if (cellar_frame_decode(input.data, &frame, &error) != CELLAR_OK) {
        net_session_fail(session, 0, CELLAR_OP_NONE, &error);
        return input.bytes;
    }
    if (!frame_is_allowed(session, &frame)) {
        return input.bytes;
    }
    size_t frame_bytes = CELLAR_FRAME_HEADER_BYTES + (size_t)frame.payload_bytes;
    if (input.bytes < frame_bytes) {
        io_conn_want(session->conn, frame_bytes);
        return 0;
    }
    struct cellar_slice payload =
        cellar_slice_make(input.data + CELLAR_FRAME_HEADER_BYTES, frame.payload_bytes);
    return take_frame(session, &frame, payload) ? frame_bytes : 0;
}

/* Takes the 8 bytes that begin a connection, which may be known to be right already. */
static size_t take_preface(struct net_session *session, struct cellar_slice input)
{
    CELLAR_ASSERT(session->state == NET_PREFACE);
    if (input.bytes < CELLAR_PREFACE_BYTES) {
        io_conn_want(session->conn, CELLAR_PREFACE_BYTES);
        return 0;
    }
    if (memcmp(input.data, cellar_preface, CELLAR_PREFACE_BYTES) != 0) {
        net_session_close(session);
        return 0;
    }
    net_session_move(session, NET_HELLO);
    return CELLAR_PREFACE_BYTES;
}

/* A frame gets NET_FRAME_US_MAX from when its first bytes are seen. */
static void set_frame_deadline(struct net_session *session, bool is_partial, bool is_new)
{
    CELLAR_ASSERT(session->conn != NULL);
    if (is_partial && (is_new || !session->is_partial)) {
        io_conn_deadline_set(session->conn, session->input_us + NET_FRAME_US_MAX);
    } else if (!is_partial && session->is_partial) {
        io_conn_deadline_set(session->conn, 0);
    }
    session->is_partial = is_partial;
}

/* Takes every whole frame at the front of the input, as long as the connection may go on. */
static size_t on_input(struct io_conn *conn, void *context, struct cellar_slice input)
{
    struct net_session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    session->input_us = cellar_clock_monotonic_us();
    size_t at = session->state == NET_PREFACE ? take_preface(session, input) : 0;
    if (session->state == NET_PREFACE) {
        return 0;
    }
    while (at < input.bytes && !io_conn_is_paused(conn)) {
        size_t taken = take_from(session, cellar_slice_make(input.data + at, input.bytes - at));
        if (taken == 0) {
            break;
        }
        at += taken;
    }
    bool is_partial = at < input.bytes;
    bool is_new = at > 0;
    set_frame_deadline(session, is_partial, is_new);
    return at;
}

/* ---- what happens to the connection ---------------------------------------------------------- */

/* The streams that waited for room go on in the next pass, in the order in which they stopped. */
static void on_writable(struct io_conn *conn, void *context)
{
    struct net_session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    for (struct io_list *link = io_list_take(&session->parked); link != NULL;
         link = io_list_take(&session->parked)) {
        io_loop_run_later(session->loop, CELLAR_CONTAINER_OF(link, struct io_work, link));
    }
}

/* A client that shuts down its side after its last request still gets its answers. */
static void on_ended(struct io_conn *conn, void *context)
{
    struct net_session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    session->has_ended = true;
    net_calls_ended(&session->calls);
    net_session_settle(session);
}

static void on_expired(struct io_conn *conn, void *context)
{
    struct net_session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    FAIL(session, CELLAR_DEADLINE_EXCEEDED,
         "A frame did not arrive within %d seconds of its first byte", NET_FRAME_US_MAX / 1000000);
}

/* Calls hear of time too: reads look at their deadlines while they wait for credit. */
static void on_tick(struct io_conn *conn, void *context, int64_t now_us)
{
    struct net_session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    if (session->is_partial && io_conn_is_paused(conn)) {
        /* The server is what keeps the frame from arriving. */
        io_conn_deadline_set(conn, now_us + NET_FRAME_US_MAX);
    }
    net_calls_tick(&session->calls, now_us);
}

/* GOAWAY: requests in flight finish, then the connection closes. A session that has not said HELLO
 * has nothing to finish. */
static void on_drain(struct io_conn *conn, void *context)
{
    struct net_session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    if (session->state != NET_OPEN) {
        net_session_close(session);
        return;
    }
    static const struct cellar_frame frame = {.kind = CELLAR_FRAME_GOAWAY};
    net_session_wrote(session, cellar_frame_append(net_session_output(session), &frame,
                                                   cellar_slice_make(NULL, 0)));
    if (session->state == NET_OPEN) {
        net_session_move(session, NET_DRAINING);
        net_session_settle(session);
    }
}

/* Reads and half-sent requests end here; writes and administrative requests come back later. Held
 * while its calls are told: the last of them would else free it under the walk. */
static void on_closed(struct io_conn *conn, void *context)
{
    struct net_session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    session->conn = NULL;
    net_session_move(session, NET_GONE);
    session->is_held = true;
    session->outcome = CELLAR_CANCELLED;
    net_calls_gone(&session->calls);
    net_loads_gone(session);
    session->is_held = false;
    net_session_settle(session);
}

static const struct io_conn_handler session_handler = {
    .input = on_input,
    .writable = on_writable,
    .ended = on_ended,
    .expired = on_expired,
    .tick = on_tick,
    .drain = on_drain,
    .closed = on_closed,
};

/* The counters of a loop. */
static struct net_measures *measures_of(const struct net_context *context,
                                        const struct io_loop *loop)
{
    size_t index = 0;
    while (context->loops[index] != loop) {
        index++;
        CELLAR_ASSERT(index < context->loop_count);
    }
    return &context->measures[index];
}

/* Nothing is sent first: the client speaks, and what it says tells who it is. */
void net_inbound_start(const struct net_context *context, struct io_conn *conn)
{
    CELLAR_ASSERT(context->operations != NULL);
    struct net_session *session = cellar_mem_zalloc(1, sizeof *session);
    if (session == NULL) {
        io_conn_abort(conn);
        return;
    }
    session->context = context;
    session->conn = conn;
    session->loop = io_conn_loop(conn);
    session->state = NET_PREFACE;
    session->measures = measures_of(context, session->loop);
    net_calls_init(&session->calls);
    io_list_init(&session->parked);
    io_list_init(&session->away_waiting);
    io_conn_handler_set(conn, &session_handler, session);
}
