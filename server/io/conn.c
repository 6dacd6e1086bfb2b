/*
 * A connection: non-blocking socket, input buffer, output buffer.
 *
 *              io_conn_close()           all sent                 peer ends, or 2 s
 *      OPEN ------------------> FLUSHING ---------> LINGERING ----------------------> CLOSED
 *        \__________________________\____ error, io_conn_abort() ________/
 *
 * Input is read into the loop's scratch memory and handled there; only what is left over, part of a
 * frame, is kept in a buffer of the connection's own (input.h), which for a large frame grows to
 * what the handler says it needs and is read into directly. So an idle connection holds no memory
 * and a small request is hardly ever copied. When the budget has no room for that growth, the
 * connection pauses and asks again every few milliseconds.
 *
 * Output (output.h) is one buffer; handlers append, and it is sent once at the end of the turn.
 * What the socket does not take waits for it to become writable. Above IO_CONN_OUTPUT_HARD_BYTES no
 * input is handled.
 *
 * LINGERING has sent everything and its end, and throws input away until the peer ends too; a
 * stopping server does not wait for that. Closing at once, with input unread, would reset the
 * connection and could destroy the last answer.
 *
 * The structure is freed in one place, at the end of the turn in which it became CLOSED, so that no
 * handler or caller ever loses the connection under its feet. One loop's thread owns all fields.
 */
#include "server/io/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/io/input.h"
#include "server/io/output.h"

/* What the peer of a closing connection may still send. */
#define LINGER_BYTES_MAX 67108864u

enum conn_state { CONN_OPEN, CONN_FLUSHING, CONN_LINGERING, CONN_CLOSED };

static const char *const state_texts[] = {"open", "flushing", "lingering", "closed"};

/* moves[from][to] */
static const bool moves[4][4] = {
    [CONN_OPEN] = {[CONN_FLUSHING] = true, [CONN_CLOSED] = true},
    [CONN_FLUSHING] = {[CONN_LINGERING] = true, [CONN_CLOSED] = true},
    [CONN_LINGERING] = {[CONN_CLOSED] = true},
};

struct io_conn {
    struct io_loop *loop;
    int fd;
    enum conn_state state;
    enum io_protocol protocol;
    uint32_t pauses; /* enum io_pause, or-ed */
    bool has_ended;  /* the peer sends nothing more */
    bool is_started;
    bool is_handling;    /* inside handle_input() */
    bool is_room_wanted; /* the handler was told that there is no room for a part */
    size_t lingered_bytes;
    int64_t deadline_us;
    int64_t close_deadline_us;
    struct io_input input;
    struct io_output output;
    const struct io_conn_handler *handler;
    void *context;
    struct io_member member;
    struct io_work input_work;
    struct io_work budget_work;
    struct io_work end_work;
    struct io_task start_task;
    struct event read_event;
    struct event write_event;
};

/* Every change of state passes here and has the end of the turn look at the connection. A move to
 * CLOSED frees nothing yet: the caller may be deep inside a handler of this very connection. */
static void conn_move(struct io_conn *conn, enum conn_state to)
{
    CELLAR_ASSERT(moves[conn->state][to]);
    cellar_log(CELLAR_LOG_DEBUG, "conn_move", "fd=%d from=%s to=%s", conn->fd,
               state_texts[conn->state], state_texts[to]);
    conn->state = to;
    io_loop_run_at_end(conn->loop, &conn->end_work);
}

/* Has libevent watch the socket for input exactly when input can be used. epoll(7) is told only of
 * changes: a connection that neither pauses nor ends costs no system call here. */
static void watch_input(struct io_conn *conn)
{
    CELLAR_ASSERT(conn->fd >= -1);
    if (conn->fd < 0 || !conn->is_started) {
        return;
    }
    bool wanted = !conn->has_ended && (conn->state == CONN_LINGERING ||
                                       (conn->state == CONN_OPEN && conn->pauses == 0));
    bool is_watched = event_pending(&conn->read_event, EV_READ, NULL) != 0;
    if (wanted == is_watched) {
        return;
    }
    int failure = wanted ? event_add(&conn->read_event, NULL) : event_del(&conn->read_event);
    if (failure != 0) {
        io_conn_abort(conn);
    }
}

/* ---- input ----------------------------------------------------------------------------------- */

/* Hands `input` to the handler until it takes no more. Returns what was taken. A handler that takes
 * nothing waits for more bytes, unless it put another one in its place (sniff.h does), which is
 * asked at once. */
static size_t handle_input(struct io_conn *conn, struct cellar_slice input)
{
    CELLAR_ASSERT(!conn->is_handling);
    conn->is_handling = true;
    size_t taken_total = 0;
    while (taken_total < input.bytes && !io_conn_is_paused(conn)) {
        const struct io_conn_handler *handler = conn->handler;
        struct cellar_slice rest =
            cellar_slice_make(input.data + taken_total, input.bytes - taken_total);
        conn->input.want = 0;
        size_t taken = handler->input(conn, conn->context, rest);
        CELLAR_ASSERT(taken <= rest.bytes);
        taken_total += taken;
        if (taken == 0 && handler == conn->handler) {
            break;
        }
    }
    conn->is_handling = false;
    return taken_total;
}

/* Handles what the connection's own buffer holds. What is consumed moves the rest to the front, so
 * the next frame begins at the buffer's start. */
static void handle_kept(struct io_conn *conn)
{
    CELLAR_ASSERT(!conn->is_handling);
    if (conn->input.kept.bytes == 0 || io_conn_is_paused(conn)) {
        return;
    }
    size_t taken = handle_input(conn, cellar_slice_of(&conn->input.kept));
    io_input_consume(&conn->input, taken);
    if (conn->state != CONN_OPEN) {
        io_input_clear(&conn->input);
    }
}

/* Also for tests, which have no socket. Bytes behind kept ones join them first, so that a handler
 * always sees its input in one piece. */
void io_conn_feed(struct io_conn *conn, struct cellar_slice input)
{
    CELLAR_ASSERT(conn != NULL);
    if (conn->state != CONN_OPEN || input.bytes == 0) {
        return;
    }
    bool is_first = conn->input.kept.bytes == 0;
    size_t taken = is_first ? handle_input(conn, input) : 0;
    struct cellar_slice rest = cellar_slice_make(input.data + taken, input.bytes - taken);
    if (conn->state == CONN_OPEN && io_input_keep(&conn->input, rest) != CELLAR_OK) {
        io_conn_abort(conn);
        return;
    }
    if (!is_first) {
        handle_kept(conn);
    }
}

/* The peer has shut down its side. What came before it has been handled or is kept. A half-closed
 * connection is served to its end: `printf ... | nc` shuts down before the answer comes. */
static void on_ended(struct io_conn *conn)
{
    CELLAR_ASSERT(!conn->has_ended);
    conn->has_ended = true;
    watch_input(conn);
    if (conn->state == CONN_LINGERING) {
        conn_move(conn, CONN_CLOSED);
    } else if (conn->handler->ended != NULL) {
        conn->handler->ended(conn, conn->context);
    } else {
        io_conn_close(conn);
    }
}

/* Receives up to `bytes` bytes; 0 when there are none, whatever that means for the connection. One
 * recv(2) a turn and connection, so that one that sends without end does not starve the others. */
static size_t receive(struct io_conn *conn, uint8_t *to, size_t bytes)
{
    CELLAR_ASSERT(bytes > 0);
    ssize_t got = recv(conn->fd, to, bytes, 0);
    if (got > 0) {
        cellar_counter_add(&io_loop_traffic(conn->loop)->received_bytes, (uint64_t)got);
        return (size_t)got;
    }
    if (got == 0) {
        on_ended(conn);
    } else if (errno != EAGAIN && errno != EINTR) {
        io_conn_abort(conn);
    }
    return 0;
}

/* Reads behind what is kept already, as far as the handler wants. For a frame larger than the
 * scratch memory: what comes is read to where it will be handled, and copied by nobody. */
static void read_kept(struct io_conn *conn)
{
    CELLAR_ASSERT(!conn->is_handling);
    struct io_input *input = &conn->input;
    size_t wanted = CELLAR_MAX(input->want, input->kept.bytes + 1);
    enum cellar_status status = io_input_grow(input, wanted);
    if (status == CELLAR_RESOURCE_EXHAUSTED) {
        io_conn_pause(conn, IO_PAUSE_BUDGET);
        return;
    }
    if (status != CELLAR_OK) {
        io_conn_abort(conn);
        return;
    }
    size_t got = receive(conn, input->kept.data + input->kept.bytes,
                         input->kept.capacity - input->kept.bytes);
    input->kept.bytes += got;
    if (got > 0 && input->kept.bytes >= input->want) {
        handle_kept(conn);
    }
}

/* Reads into the loop's scratch memory, behind a copy of the little that is kept. The common way.
 * All connections of a loop share the scratch memory, as it holds nothing from one call to the
 * next. */
static void read_scratch(struct io_conn *conn)
{
    size_t kept_bytes = conn->input.kept.bytes;
    CELLAR_ASSERT(kept_bytes <= IO_INPUT_FREE_BYTES);
    uint8_t *scratch = io_loop_scratch(conn->loop);
    size_t got = receive(conn, scratch + kept_bytes, IO_LOOP_SCRATCH_BYTES - kept_bytes);
    if (got == 0) {
        return;
    }
    if (kept_bytes > 0) {
        memcpy(scratch, conn->input.kept.data, kept_bytes);
        cellar_buffer_clear(&conn->input.kept);
    }
    io_conn_feed(conn, cellar_slice_make(scratch, kept_bytes + got));
    if (conn->input.kept.bytes == 0) {
        io_input_clear(&conn->input);
    }
}

/* Throws away what the peer of a closing connection still sends. Bounded, as a client that never
 * stops sending would keep a closed connection for ever. */
static void read_lingering(struct io_conn *conn)
{
    CELLAR_ASSERT(conn->state == CONN_LINGERING);
    conn->lingered_bytes += receive(conn, io_loop_scratch(conn->loop), IO_LOOP_SCRATCH_BYTES);
    if (conn->lingered_bytes > LINGER_BYTES_MAX) {
        io_conn_abort(conn);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct io_conn *conn = context;
    CELLAR_ASSERT(fd == conn->fd);
    if (conn->state == CONN_LINGERING) {
        read_lingering(conn);
    } else if (conn->input.kept.bytes > IO_INPUT_FREE_BYTES ||
               conn->input.want > IO_LOOP_SCRATCH_BYTES) {
        read_kept(conn);
    } else {
        read_scratch(conn);
    }
}

/* After a pause: handles what is kept, then reads on. */
static void run_input(struct io_work *work)
{
    struct io_conn *conn = CELLAR_CONTAINER_OF(work, struct io_conn, input_work);
    CELLAR_ASSERT(!conn->is_handling);
    handle_kept(conn);
    watch_input(conn);
}

/* Some milliseconds after a pause for the budget: the handler, or the reader, asks it again. No
 * queue of those who wait: each asks again, and who asks first after room came gets it. Requests
 * are small beside the budget, so nobody starves for long, and the handler gives up after a while.
 */
static void run_budget(struct io_work *work)
{
    struct io_conn *conn = CELLAR_CONTAINER_OF(work, struct io_conn, budget_work);
    CELLAR_ASSERT(!conn->is_handling);
    io_conn_resume(conn, IO_PAUSE_BUDGET);
}

/* ---- output ---------------------------------------------------------------------------------- */

/* Sends, and has libevent call when the socket takes more. A socket that takes less than all is the
 * client's business: it reads slowly, and what waits is bounded by the pauses. */
static void flush_output(struct io_conn *conn)
{
    CELLAR_ASSERT(conn->state == CONN_OPEN || conn->state == CONN_FLUSHING);
    if (conn->fd < 0) {
        return;
    }
    size_t sent = 0;
    enum cellar_status status = io_output_send(&conn->output, conn->fd, &sent);
    cellar_counter_add(&io_loop_traffic(conn->loop)->sent_bytes, sent);
    if (status != CELLAR_OK) {
        io_conn_abort(conn);
    } else if (io_output_waiting(&conn->output) > 0 && event_add(&conn->write_event, NULL) != 0) {
        io_conn_abort(conn);
    }
}

/* Tells reader and handler how full the output is. Two bounds rather than one: between them reading
 * goes on as it was, so that it does not stop and start with every packet. */
static void settle_output(struct io_conn *conn)
{
    CELLAR_ASSERT(conn->state != CONN_LINGERING);
    size_t waiting = io_output_waiting(&conn->output);
    io_output_settle(&conn->output);
    if (waiting > IO_CONN_OUTPUT_HARD_BYTES) {
        io_conn_pause(conn, IO_PAUSE_OUTPUT);
    } else if (waiting <= IO_CONN_OUTPUT_SOFT_BYTES) {
        io_conn_resume(conn, IO_PAUSE_OUTPUT);
    }
    if (conn->is_room_wanted && conn->state == CONN_OPEN && io_conn_has_room(conn)) {
        conn->is_room_wanted = false;
        if (conn->handler->writable != NULL) {
            conn->handler->writable(conn, conn->context);
        }
    }
}

/* The socket takes more: the end of the turn sends it. */
static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct io_conn *conn = context;
    CELLAR_ASSERT(fd == conn->fd);
    io_loop_run_at_end(conn->loop, &conn->end_work);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The one place where a connection is freed. The handler hears of it first, while the connection's
 * fields are still whole; it must not keep the pointer. */
static void free_conn(struct io_conn *conn)
{
    CELLAR_ASSERT(conn->state == CONN_CLOSED);
    if (conn->handler->closed != NULL) {
        conn->handler->closed(conn, conn->context);
    }
    io_work_cancel(&conn->input_work);
    io_work_cancel(&conn->budget_work);
    io_work_cancel(&conn->end_work);
    if (conn->is_started) {
        io_loop_member_remove(conn->loop, &conn->member);
        cellar_counter_add(&io_loop_traffic(conn->loop)->ended[conn->protocol], 1);
    }
    if (conn->fd >= 0) {
        if (conn->is_started) {
            (void)event_del(&conn->read_event);
            (void)event_del(&conn->write_event);
        }
        (void)close(conn->fd);
    }
    io_input_clear(&conn->input);
    io_output_clear(&conn->output);
    cellar_mem_free(conn);
}

/* Everything is sent: tells the peer so, and waits for its end. shutdown(2) sends the end behind
 * the last byte. What the peer sent meanwhile and nobody read would make close(2) answer with a
 * reset, and a reset can overtake the answer in the peer's socket. */
static void begin_lingering(struct io_conn *conn)
{
    CELLAR_ASSERT(conn->fd < 0 || io_output_waiting(&conn->output) == 0);
    conn_move(conn, CONN_LINGERING);
    if (conn->is_started && !conn->member.is_retired) {
        io_loop_member_retire(conn->loop, &conn->member);
    }
    if (conn->fd < 0 || conn->has_ended || shutdown(conn->fd, SHUT_WR) != 0) {
        conn_move(conn, CONN_CLOSED);
        return;
    }
    watch_input(conn);
}

/* The end of a turn in which something happened here: sends, and moves towards CLOSED. All answers
 * of a turn leave in one system call: handlers append, and this runs once. */
static void run_end(struct io_work *work)
{
    struct io_conn *conn = CELLAR_CONTAINER_OF(work, struct io_conn, end_work);
    CELLAR_ASSERT(!conn->is_handling);
    if (conn->state == CONN_OPEN || conn->state == CONN_FLUSHING) {
        flush_output(conn);
        settle_output(conn);
    }
    if (conn->state == CONN_FLUSHING && (conn->fd < 0 || io_conn_output_bytes(conn) == 0)) {
        begin_lingering(conn);
    }
    if (conn->state == CONN_CLOSED) {
        free_conn(conn);
    }
}

/* What was appended before is still sent; the time limit is for a peer that does not take it. */
void io_conn_close(struct io_conn *conn)
{
    CELLAR_ASSERT(conn != NULL);
    if (conn->state != CONN_OPEN) {
        return;
    }
    conn->close_deadline_us = cellar_clock_monotonic_us() + IO_CONN_CLOSE_US_MAX;
    conn_move(conn, CONN_FLUSHING);
    watch_input(conn);
}

void io_conn_abort(struct io_conn *conn)
{
    CELLAR_ASSERT(conn != NULL);
    if (conn->state != CONN_CLOSED) {
        conn_move(conn, CONN_CLOSED);
    }
}

/* ---- what the loop calls --------------------------------------------------------------------- */

/* Deadlines: of closing, of the handler. A paused connection does not expire: it waits for us, not
 * for its client. */
static void on_tick(struct io_member *member, int64_t now_us)
{
    struct io_conn *conn = CELLAR_CONTAINER_OF(member, struct io_conn, member);
    CELLAR_ASSERT(conn->is_started);
    io_output_trim(&conn->output);
    if (conn->state == CONN_FLUSHING || conn->state == CONN_LINGERING) {
        if (now_us >= conn->close_deadline_us) {
            io_conn_abort(conn);
        }
        return;
    }
    if (conn->deadline_us != 0 && conn->pauses == 0 && now_us >= conn->deadline_us) {
        conn->deadline_us = 0;
        if (conn->handler->expired != NULL) {
            conn->handler->expired(conn, conn->context);
        } else {
            io_conn_close(conn);
        }
    }
    if (conn->state == CONN_OPEN && conn->handler->tick != NULL) {
        conn->handler->tick(conn, conn->context, now_us);
    }
}

static void on_drain(struct io_member *member)
{
    struct io_conn *conn = CELLAR_CONTAINER_OF(member, struct io_conn, member);
    CELLAR_ASSERT(conn->is_started);
    if (conn->state != CONN_OPEN) {
        return;
    }
    if (conn->handler->drain != NULL) {
        conn->handler->drain(conn, conn->context);
    } else {
        io_conn_close(conn);
    }
}

/* The last turn: one try to send what waits. */
static void on_stop(struct io_member *member)
{
    struct io_conn *conn = CELLAR_CONTAINER_OF(member, struct io_conn, member);
    CELLAR_ASSERT(conn->is_started);
    if (conn->state == CONN_OPEN || conn->state == CONN_FLUSHING) {
        flush_output(conn);
    }
    io_conn_abort(conn);
}

static void start_events(struct io_conn *conn)
{
    struct event_base *base = io_loop_base(conn->loop);
    int failure =
        event_assign(&conn->read_event, base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
    failure |= event_assign(&conn->write_event, base, conn->fd, EV_WRITE, on_writable, conn);
    CELLAR_ASSERT(failure == 0);
}

/* On the loop: from here on the connection is a member and is read. */
static void run_start(struct io_task *task)
{
    struct io_conn *conn = CELLAR_CONTAINER_OF(task, struct io_conn, start_task);
    CELLAR_ASSERT(!conn->is_started);
    if (conn->fd >= 0) {
        start_events(conn);
    }
    conn->is_started = true;
    io_loop_member_add(conn->loop, &conn->member);
    cellar_counter_add(&io_loop_traffic(conn->loop)->begun[IO_PROTOCOL_NEW], 1);
    watch_input(conn);
}

/* ---- small public functions ------------------------------------------------------------------ */

struct io_conn *io_conn_new(const struct io_conn_options *options)
{
    CELLAR_ASSERT(options->loop != NULL && options->handler != NULL);
    CELLAR_ASSERT(options->input_budget != NULL && options->output_budget != NULL);
    struct io_conn *conn = cellar_mem_zalloc(1, sizeof *conn);
    if (conn == NULL) {
        return NULL;
    }
    conn->loop = options->loop;
    conn->fd = options->fd;
    conn->state = CONN_OPEN;
    conn->deadline_us = options->deadline_us;
    conn->input.budget = options->input_budget;
    conn->output.budget = options->output_budget;
    conn->handler = options->handler;
    conn->context = options->context;
    conn->member.tick = on_tick;
    conn->member.drain = on_drain;
    conn->member.stop = on_stop;
    io_work_init(&conn->input_work, run_input);
    io_work_init(&conn->budget_work, run_budget);
    io_work_init(&conn->end_work, run_end);
    conn->start_task.run = run_start;
    return conn;
}

/* From any thread, mostly the listener's: the loop's thread does the rest when the task runs. */
void io_conn_start(struct io_conn *conn)
{
    CELLAR_ASSERT(conn != NULL);
    io_loop_member_expect(conn->loop, &conn->member); /* for the listener's next count */
    io_loop_post(conn->loop, &conn->start_task);
}

void io_conn_handler_set(struct io_conn *conn, const struct io_conn_handler *handler, void *context)
{
    CELLAR_ASSERT(handler != NULL && handler->input != NULL);
    conn->handler = handler;
    conn->context = context;
}

/* The connection is counted over from "new" to what it turned out to be. */
void io_conn_protocol_set(struct io_conn *conn, enum io_protocol protocol)
{
    struct io_traffic *traffic = io_loop_traffic(conn->loop);
    CELLAR_ASSERT(conn->protocol == IO_PROTOCOL_NEW && protocol != IO_PROTOCOL_NEW);
    CELLAR_ASSERT(conn->is_started);
    cellar_counter_add(&traffic->ended[IO_PROTOCOL_NEW], 1);
    cellar_counter_add(&traffic->begun[protocol], 1);
    conn->protocol = protocol;
}

void io_conn_retire(struct io_conn *conn)
{
    CELLAR_ASSERT(conn->is_started);
    if (!conn->member.is_retired) {
        io_loop_member_retire(conn->loop, &conn->member);
    }
}

void io_conn_want(struct io_conn *conn, size_t bytes)
{
    CELLAR_ASSERT(conn->is_handling);
    conn->input.want = bytes;
}

void io_conn_deadline_set(struct io_conn *conn, int64_t deadline_us)
{
    CELLAR_ASSERT(deadline_us >= 0);
    conn->deadline_us = deadline_us;
}

/* Reasons add up, and each is lifted by who gave it: input is handled again when none is left. */
void io_conn_pause(struct io_conn *conn, enum io_pause reason)
{
    CELLAR_ASSERT(reason != 0);
    conn->pauses |= (uint32_t)reason;
    if (reason == IO_PAUSE_BUDGET) {
        io_loop_run_soon(conn->loop, &conn->budget_work);
    }
    watch_input(conn);
}

/* Not at once: the caller may be inside the handler whose input this would be. */
void io_conn_resume(struct io_conn *conn, enum io_pause reason)
{
    CELLAR_ASSERT(reason != 0);
    if ((conn->pauses & (uint32_t)reason) == 0) {
        return;
    }
    conn->pauses &= ~(uint32_t)reason;
    if (conn->pauses == 0 && conn->state == CONN_OPEN) {
        io_loop_run_later(conn->loop, &conn->input_work);
    }
}

bool io_conn_is_paused(const struct io_conn *conn)
{
    CELLAR_ASSERT(conn != NULL);
    return conn->pauses != 0 || conn->state != CONN_OPEN;
}

struct cellar_buffer *io_conn_output(struct io_conn *conn)
{
    CELLAR_ASSERT(conn != NULL);
    return &conn->output.bytes;
}

/* The hard limit is looked at here too, since one turn of a handler may answer many small requests
 * with much. */
void io_conn_wrote(struct io_conn *conn)
{
    CELLAR_ASSERT(conn != NULL);
    if (io_output_waiting(&conn->output) > IO_CONN_OUTPUT_HARD_BYTES) {
        io_conn_pause(conn, IO_PAUSE_OUTPUT);
    }
    io_loop_run_at_end(conn->loop, &conn->end_work);
}

size_t io_conn_output_bytes(const struct io_conn *conn)
{
    CELLAR_ASSERT(conn != NULL);
    return io_output_waiting(&conn->output);
}

/* With nothing waiting there is always room, however spent the budget: so each connection makes
 * progress, and the overdraft is one part a connection. */
bool io_conn_has_room(struct io_conn *conn)
{
    CELLAR_ASSERT(conn->output.budget != NULL);
    size_t waiting = io_output_waiting(&conn->output);
    bool has_room = waiting == 0 || (waiting <= IO_CONN_OUTPUT_SOFT_BYTES &&
                                     !io_budget_is_spent(conn->output.budget));
    if (!has_room) {
        conn->is_room_wanted = true;
    }
    return has_room;
}

struct io_loop *io_conn_loop(const struct io_conn *conn)
{
    CELLAR_ASSERT(conn != NULL);
    return conn->loop;
}
