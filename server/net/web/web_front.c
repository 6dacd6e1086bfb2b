/*
 * HTTP connections: requests in, pages out, in order.
 *
 *     wait for a head (10 s from its first byte) -> answer -> wait for the next (120 s) -> ...
 *
 * A request is answered where it lies in the input, so a connection holds no memory but the answers
 * that wait to be sent. When more of them wait than a stream may have waiting, the connection takes
 * no further request until they are gone; a client that does not take them within WEB_SEND_US_MAX
 * is cut off. So a client that sends thousands of requests at once, or never reads, costs a bounded
 * amount and gets its answers at its own pace. There are at most WEB_CONN_COUNT_MAX connections;
 * further ones get a 503.
 *
 * What cannot be understood, and whatever has a body, is answered and the connection closed behind
 * it. A stopping server keeps these connections, so that it can be asked whether it is ready; they
 * count neither as connections to wait for nor against connections_max. One loop's thread owns a
 * connection; the context is shared.
 */
#include "server/net/web/web_front.h"

#include "common/clock.h"
#include "common/mem.h"
#include "server/net/web/http1.h"

struct session {
    struct web_context *context;
    struct io_conn *conn;
    bool is_partial;    /* the input ends inside a head */
    int64_t written_us; /* when the last answer was written */
};

/* Writes head and, but for HEAD, body; closes the connection unless it stays open. */
static void send_page(struct session *session, const struct web_page *page, bool is_head,
                      bool stays_open)
{
    struct io_conn *conn = session->conn;
    struct cellar_buffer *output = io_conn_output(conn);
    struct web_answer answer = {
        .status = page->status,
        .content_type = page->content_type,
        .body_bytes = page->body.bytes,
        .real_us = CELLAR_MAX(cellar_clock_real_us(), INT64_C(0)),
        .stays_open = stays_open,
    };
    CELLAR_ASSERT(page->content_type != NULL);
    enum cellar_status status = web_answer_encode(&answer, output);
    if (status == CELLAR_OK && !is_head) {
        status = cellar_buffer_append(output, page->body.data, page->body.bytes);
    }
    if (status != CELLAR_OK) {
        io_conn_abort(conn);
        return;
    }
    web_answer_count(session->context, page->status);
    session->written_us = cellar_clock_monotonic_us();
    io_conn_wrote(conn);
    if (!stays_open) {
        io_conn_close(conn);
    } else if (!io_conn_has_room(conn)) {
        io_conn_pause(conn, IO_PAUSE_REQUESTS);
    }
}

static void refuse(struct session *session, unsigned status)
{
    struct web_page page;
    web_page_refuse(status, &page);
    CELLAR_ASSERT(page.status == status);
    send_page(session, &page, false, false);
    cellar_buffer_fini(&page.body);
}

static void answer(struct session *session, const struct web_request *request)
{
    struct web_page page;
    bool is_head = request->method == WEB_METHOD_HEAD;
    if (request->method == WEB_METHOD_OTHER) {
        web_page_refuse(405, &page);
    } else if (request->has_body) {
        web_page_refuse(413, &page);
    } else {
        web_page_make(session->context, request->path, &page);
    }
    CELLAR_ASSERT(page.status >= 200);
    send_page(session, &page, is_head, request->stays_open && !request->has_body);
    cellar_buffer_fini(&page.body);
}

/* Takes the request at the start of `input`. Returns its length, or 0 when it is not complete. */
static size_t take_request(struct session *session, struct cellar_slice input)
{
    struct web_request request;
    size_t head_bytes = 0;
    unsigned status = web_request_decode(input, &request, &head_bytes);
    if (status == 0) {
        return 0;
    }
    if (status != 200) {
        refuse(session, status);
        return input.bytes;
    }
    CELLAR_ASSERT(head_bytes > 0 && head_bytes <= input.bytes);
    answer(session, &request);
    return head_bytes;
}

/* A head gets its time from its first byte on, whatever trickles in later. */
static void set_deadline(struct session *session, bool is_partial, bool is_new)
{
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(now_us >= 0);
    if (!is_partial) {
        io_conn_deadline_set(session->conn, now_us + WEB_IDLE_US_MAX);
    } else if (is_new || !session->is_partial) {
        io_conn_deadline_set(session->conn, now_us + WEB_HEAD_US_MAX);
    }
    session->is_partial = is_partial;
}

static size_t on_input(struct io_conn *conn, void *context, struct cellar_slice input)
{
    struct session *session = context;
    size_t at = 0;
    CELLAR_ASSERT(session->conn == conn);
    while (at < input.bytes && !io_conn_is_paused(conn)) {
        size_t taken = take_request(session, cellar_slice_make(input.data + at, input.bytes - at));
        if (taken == 0) {
            break;
        }
        at += taken;
    }
    set_deadline(session, at<input.bytes, at> 0);
    return at;
}

/* Answers have gone out: the next requests are taken. */
static void on_writable(struct io_conn *conn, void *context)
{
    const struct session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    io_conn_resume(conn, IO_PAUSE_REQUESTS);
}

static void on_expired(struct io_conn *conn, void *context)
{
    struct session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    if (session->is_partial) {
        refuse(session, 408);
    } else {
        io_conn_close(conn);
    }
}

static void on_tick(struct io_conn *conn, void *context, int64_t now_us)
{
    struct session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    if (io_conn_output_bytes(conn) > 0 && now_us - session->written_us > WEB_SEND_US_MAX) {
        io_conn_abort(conn);
    } else if (session->is_partial && io_conn_is_paused(conn)) {
        io_conn_deadline_set(conn, now_us + WEB_HEAD_US_MAX); /* the answers before it are late */
    }
}

/* Goes on answering until the loop stops: it can still be asked whether the server is ready. */
static void on_drain(struct io_conn *conn, void *context)
{
    const struct session *session = context;
    CELLAR_ASSERT(session->conn == conn);
}

static void on_closed(struct io_conn *conn, void *context)
{
    struct session *session = context;
    CELLAR_ASSERT(session->conn == conn);
    uint32_t before = atomic_fetch_sub(&session->context->conn_count, 1);
    CELLAR_ASSERT(before > 0);
    cellar_mem_free(session);
}

static const struct io_conn_handler session_handler = {
    .input = on_input,
    .writable = on_writable,
    .expired = on_expired,
    .tick = on_tick,
    .drain = on_drain,
    .closed = on_closed,
};

void web_front_init(struct web_context *context, const struct web_site *site)
{
    CELLAR_ASSERT(site->health != NULL && site->readiness != NULL && site->metrics != NULL);
    CELLAR_ASSERT(site->version != NULL);
    *context = (struct web_context){.site = *site};
}

/* Too many: a word, and the end. */
static void turn_away(struct io_conn *conn, struct web_context *context)
{
    struct session passing = {.context = context, .conn = conn};
    CELLAR_ASSERT(atomic_load(&context->conn_count) > 0);
    io_traffic_refuse(io_loop_traffic(io_conn_loop(conn)), IO_REFUSED_HTTP_LIMIT);
    refuse(&passing, 503);
}

void web_front_take(struct io_conn *conn, void *context)
{
    struct web_context *shared = context;
    struct session *session = cellar_mem_zalloc(1, sizeof *session);
    if (session == NULL) {
        io_conn_abort(conn);
        return;
    }
    if (atomic_fetch_add(&shared->conn_count, 1) >= WEB_CONN_COUNT_MAX) {
        turn_away(conn, shared);
        (void)atomic_fetch_sub(&shared->conn_count, 1);
        cellar_mem_free(session);
        return;
    }
    *session = (struct session){.context = shared, .conn = conn};
    io_conn_handler_set(conn, &session_handler, session);
    io_conn_retire(conn);
    set_deadline(session, true, true);
    CELLAR_ASSERT(session->is_partial);
}
