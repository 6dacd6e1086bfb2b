/*
 * The benchmark's event loop: one thread, one epoll, one operation in flight on each connection.
 *
 *     GREETING --ready--> IDLE --begin--> BUSY --done--> IDLE
 *                                         |  ^
 *                                   again |  | the delay is over
 *                                         v  |
 *                                       DELAYED
 *
 * Closed loop: a connection begins its next operation as soon as the one before is answered. Open
 * loop: operation k is due at begin + k / rate, whatever became of those before it; it is sent by
 * the first connection that is free, and its latency counts from when it was due. So a server that
 * stalls is charged for everything that should have been sent meanwhile (no coordinated omission).
 * What is due before the end is sent also after it, for as long again as the run was to last.
 *
 * Time passes in three stretches: warm-up, the measured one, and the wait for what is in flight.
 * Operations and processor time are counted between two looks at the clock, at the ends of the
 * measured stretch; latencies of a closed loop for the operations that end in it, of an open loop
 * for those that are due in it.
 *
 * An interrupt ends the run early, as if its time were over, so that the table can be dropped.
 * Nothing lives longer than a run.
 */

#include "client/tools/bench_loop.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/tools/bench_meter.h"
#include "common/clock.h"
#include "common/mem.h"

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define SILENCE_NS_MAX (60 * NS_PER_S)
#define DRAIN_NS_MAX (10 * NS_PER_S)
#define CONNECT_US_MAX INT64_C(30000000)
#define RETRY_MS_MIN 1u
#define EVENTS_MAX 256
#define TIMER_SLACK_NS 1000ul
#define INTERRUPT_INDEX UINT32_MAX /* no connection has it */

enum phase { PHASE_GREETING, PHASE_IDLE, PHASE_BUSY, PHASE_DELAYED };

/* One connection and the operation that it has in flight. */
struct connection {
    int fd;
    enum phase phase;
    bool waits_to_send; /* EPOLLOUT is asked for */
    struct cellar_bench_session *session;
    struct cellar_bench_op op;
    struct cellar_bench_check check;
    uint64_t rows_counted; /* of the check's */
    int64_t start_ns;      /* when it was due, in an open loop; otherwise when it began */
    int64_t again_ns;      /* of DELAYED */
};

/* One run. */
struct loop {
    struct cellar_bench_target *target;
    const struct cellar_bench_terms *terms;
    struct cellar_bench_source *source;
    struct cellar_bench_result *result;
    struct cellar_error *error;
    int epoll;
    struct connection *connections;
    uint32_t *idle; /* a stack of connections */
    uint32_t idle_count;
    uint32_t greeting_count;
    uint32_t in_flight_count; /* BUSY and DELAYED */
    uint32_t delayed_count;
    uint64_t due_count; /* open loop: operations begun so far */
    int64_t now_ns;
    int64_t begin_ns; /* 0 while the connections greet */
    int64_t measure_ns;
    int64_t end_ns;
    int64_t progress_ns; /* when the last bytes came */
    struct cellar_bench_meter meter;
    bool is_over; /* the measured stretch is, or the load */
};

/* ---- opening and closing ------------------------------------------------------------------- */

/* Watches a descriptor; `index` comes back with its events. */
static enum cellar_status loop_watch(struct loop *loop, int fd, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    CELLAR_ASSERT(fd >= 0);
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        return cellar_error_set(loop->error, CELLAR_IO_ERROR, "Cannot watch a socket: errno %d",
                                errno);
    }
    return CELLAR_OK;
}

/* Connects everything. What was opened is closed by loop_close(), also after a failure. Connections
 * are opened one after the other and blocking: their cost is no part of what is measured. */
static enum cellar_status loop_open(struct loop *loop)
{
    uint32_t count = loop->terms->connections;
    CELLAR_ASSERT(count >= 1 && count <= CELLAR_BENCH_CONNECTIONS_MAX);
    loop->connections = cellar_mem_zalloc(count, sizeof *loop->connections);
    loop->idle = cellar_mem_zalloc(count, sizeof *loop->idle);
    if (loop->connections == NULL || loop->idle == NULL) {
        return cellar_error_set(loop->error, CELLAR_NO_MEMORY, "No memory for connections");
    }
    for (uint32_t index = 0; index < count; index++) {
        loop->connections[index].fd = -1;
    }
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
        return cellar_error_set(loop->error, CELLAR_IO_ERROR, "Cannot wait for sockets: errno %d",
                                errno);
    }
    int interrupt_fd = cellar_interrupt_fd(loop->target->interrupt);
    if (interrupt_fd >= 0) {
        CELLAR_TRY(loop_watch(loop, interrupt_fd, INTERRUPT_INDEX));
    }
    for (uint32_t index = 0; index < count; index++) {
        struct connection *connection = &loop->connections[index];
        int64_t deadline_us = cellar_clock_monotonic_us() + CONNECT_US_MAX;
        CELLAR_TRY(cellar_address_connect(&loop->target->address, deadline_us, &connection->fd,
                                          loop->error));
        CELLAR_TRY(
            loop->target->driver->open(loop->target->table, &connection->session, loop->error));
        CELLAR_TRY(loop_watch(loop, connection->fd, index));
        loop->greeting_count++;
    }
    return CELLAR_OK;
}

static void loop_close(struct loop *loop)
{
    CELLAR_ASSERT(loop->target != NULL);
    for (uint32_t index = 0; loop->connections != NULL && index < loop->terms->connections;
         index++) {
        struct connection *connection = &loop->connections[index];
        if (connection->fd >= 0) {
            (void)close(connection->fd);
        }
        loop->target->driver->close(connection->session);
    }
    cellar_mem_free(loop->connections);
    cellar_mem_free(loop->idle);
    if (loop->epoll >= 0) {
        (void)close(loop->epoll);
    }
}

/* The measured stretch begins. The clock is read by the meter, at the same moment as the processor
 * times. */
static void measure_start(struct loop *loop)
{
    CELLAR_ASSERT(!loop->meter.is_running && !loop->is_over);
    cellar_bench_meter_start(&loop->meter, loop->target->server_pid);
    /* Where no due times hang on it, the stretch has its whole length however late it began. */
    if (loop->terms->rate <= 0 && !loop->result->is_interrupted) {
        loop->end_ns = loop->meter.start_ns + loop->terms->measure_us * NS_PER_US;
    }
}

/* The measured stretch ends; no connection begins anything new. */
static void measure_stop(struct loop *loop)
{
    CELLAR_ASSERT(loop->meter.is_running);
    loop->is_over = true;
    cellar_bench_meter_stop(&loop->meter, loop->result);
}

/* Counts the rows that came since the last look. Also in the middle of a long scan: else a run
 * would count none of the scans that outlast it. */
static void rows_count(struct loop *loop, struct connection *connection)
{
    CELLAR_ASSERT(connection->check.row_count >= connection->rows_counted);
    if (loop->meter.is_running) {
        loop->result->row_count += connection->check.row_count - connection->rows_counted;
    }
    connection->rows_counted = connection->check.row_count;
}

/* Counts an operation that was answered. What is counted and what is timed differ in an open loop:
 * throughput is what ended within the stretch, latency is of what was due in it. */
static void operation_count(struct loop *loop, const struct connection *connection)
{
    bool is_due = connection->start_ns >= loop->measure_ns && connection->start_ns < loop->end_ns;
    CELLAR_ASSERT(loop->now_ns >= connection->start_ns);
    if (loop->meter.is_running) {
        cellar_bench_result_count(loop->result, &connection->op);
    }
    if (loop->terms->rate > 0 ? is_due : loop->meter.is_running) {
        cellar_bench_result_time(loop->result, &connection->op,
                                 loop->now_ns - connection->start_ns);
    }
}

/* ---- one connection ------------------------------------------------------------------------ */

/* The failure of a socket. */
static enum cellar_status socket_failed(struct loop *loop, const char *what, int code)
{
    char reason[128];
    CELLAR_ASSERT(what != NULL);
    return cellar_error_set(loop->error, CELLAR_UNAVAILABLE, "%s: %s", what,
                            code == 0 ? "the server closed it"
                                      : strerror_r(code, reason, sizeof reason));
}

/* Sends what there is to send; what does not fit is sent when the socket takes it. */
static enum cellar_status connection_send(struct loop *loop, struct connection *connection)
{
    const struct cellar_bench_driver *driver = loop->target->driver;
    struct cellar_slice output = driver->output(connection->session);
    bool is_full = false;
    while (output.bytes > 0 && !is_full) {
        ssize_t sent = send(connection->fd, output.data, output.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return socket_failed(loop, "A connection broke while sending", errno);
        }
        is_full = sent < 0 && errno == EAGAIN;
        driver->sent(connection->session, sent > 0 ? (size_t)sent : 0);
        output = driver->output(connection->session);
    }
    CELLAR_ASSERT(is_full || output.bytes == 0);
    if (is_full != connection->waits_to_send) {
        struct epoll_event event = {.events = is_full ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                    .data.u32 = (uint32_t)(connection - loop->connections)};
        if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0) {
            return socket_failed(loop, "A connection cannot be watched", errno);
        }
        connection->waits_to_send = is_full;
    }
    return CELLAR_OK;
}

/* Encodes and sends the connection's operation, numbered before. */
static enum cellar_status operation_send(struct loop *loop, struct connection *connection)
{
    CELLAR_ASSERT(connection->check.op == &connection->op);
    connection->phase = PHASE_BUSY;
    connection->rows_counted = 0;
    CELLAR_TRY(loop->target->driver->begin(connection->session, &connection->op, loop->error));
    return connection_send(loop, connection);
}

/* Takes the next operation that is due; false when there is none now. Due times are computed from
 * the beginning, not from the last operation, so that errors of rounding do not add up. */
static bool operation_take(struct loop *loop, struct connection *connection)
{
    const struct cellar_bench_terms *terms = loop->terms;
    connection->start_ns = loop->now_ns;
    CELLAR_ASSERT(loop->begin_ns > 0);
    if (terms->rate > 0) {
        connection->start_ns =
            loop->begin_ns + (int64_t)((double)loop->due_count * (double)NS_PER_S / terms->rate);
        if (connection->start_ns > loop->now_ns || connection->start_ns >= loop->end_ns) {
            return false;
        }
        loop->due_count++;
    } else if (loop->is_over) {
        return false;
    }
    if (!cellar_bench_source_next(loop->source, &loop->target->state, &connection->op)) {
        if (loop->in_flight_count == 0 && loop->meter.is_running) {
            measure_stop(loop);
        }
        return false;
    }
    return true;
}

/* Begins what is due on the connections that are idle. */
static enum cellar_status loop_dispatch(struct loop *loop)
{
    while (loop->idle_count > 0) {
        struct connection *connection = &loop->connections[loop->idle[loop->idle_count - 1]];
        CELLAR_ASSERT(connection->phase == PHASE_IDLE);
        if (!operation_take(loop, connection)) {
            break;
        }
        loop->idle_count--;
        loop->in_flight_count++;
        cellar_bench_state_begin(&loop->target->state, &connection->op, &connection->check);
        CELLAR_TRY(operation_send(loop, connection));
    }
    return CELLAR_OK;
}

/* The connection is free again. */
static void connection_rest(struct loop *loop, struct connection *connection)
{
    CELLAR_ASSERT(loop->idle_count < loop->terms->connections);
    connection->phase = PHASE_IDLE;
    loop->idle[loop->idle_count++] = (uint32_t)(connection - loop->connections);
}

/* An operation was answered: checks and counts it, and begins the next. The clock is read once for
 * an operation, at its end. */
static enum cellar_status operation_done(struct loop *loop, struct connection *connection)
{
    bool is_checked = !loop->target->driver->is_canned;
    loop->now_ns = cellar_bench_clock_ns();
    rows_count(loop, connection);
    if (is_checked || cellar_bench_kind_is_write(connection->op.kind)) {
        CELLAR_TRY(cellar_bench_state_end(&loop->target->state, &connection->check, loop->error));
    }
    if (connection->op.is_modify) {
        connection->op.is_modify = false;
        connection->op.kind = CELLAR_BENCH_PUT_CELL;
        cellar_bench_state_begin(&loop->target->state, &connection->op, &connection->check);
        return operation_send(loop, connection);
    }
    CELLAR_ASSERT(loop->in_flight_count > 0);
    operation_count(loop, connection);
    loop->in_flight_count--;
    connection_rest(loop, connection);
    return loop_dispatch(loop);
}

/* An operation was refused for now. */
static void operation_delay(struct loop *loop, struct connection *connection, uint32_t delay_ms)
{
    CELLAR_ASSERT(connection->phase == PHASE_BUSY);
    loop->result->refused_count++;
    loop->delayed_count++;
    connection->phase = PHASE_DELAYED;
    connection->again_ns = cellar_bench_clock_ns() + CELLAR_MAX(delay_ms, RETRY_MS_MIN) * NS_PER_MS;
}

/* Begins the operations again whose delay is over. */
static enum cellar_status loop_retry(struct loop *loop)
{
    for (uint32_t index = 0; loop->delayed_count > 0 && index < loop->terms->connections; index++) {
        struct connection *connection = &loop->connections[index];
        if (connection->phase != PHASE_DELAYED || connection->again_ns > loop->now_ns) {
            continue;
        }
        CELLAR_ASSERT(connection->check.op == &connection->op);
        loop->delayed_count--;
        if (!cellar_bench_kind_is_write(connection->op.kind)) {
            cellar_bench_state_begin(&loop->target->state, &connection->op, &connection->check);
        }
        CELLAR_TRY(operation_send(loop, connection));
    }
    return CELLAR_OK;
}

/* Takes what was received. */
static enum cellar_status connection_step(struct loop *loop, struct connection *connection)
{
    enum cellar_bench_step step;
    uint32_t delay_ms = 0;
    CELLAR_TRY(loop->target->driver->step(connection->session, &connection->check, &step, &delay_ms,
                                          loop->error));
    CELLAR_ASSERT(connection->phase == PHASE_GREETING || step != CELLAR_BENCH_READY);
    switch (step) {
    case CELLAR_BENCH_WAIT:
        rows_count(loop, connection);
        return connection_send(loop, connection);
    case CELLAR_BENCH_READY:
        loop->greeting_count--;
        connection_rest(loop, connection);
        return CELLAR_OK;
    case CELLAR_BENCH_DONE:
        return operation_done(loop, connection);
    case CELLAR_BENCH_AGAIN:
        operation_delay(loop, connection, delay_ms);
        return CELLAR_OK;
    }
    return CELLAR_OK;
}

/* Reads what is there. */
static enum cellar_status connection_read(struct loop *loop, struct connection *connection)
{
    const struct cellar_bench_driver *driver = loop->target->driver;
    uint8_t *room;
    size_t bytes;
    if (driver->room(connection->session, &room, &bytes) != CELLAR_OK) {
        return cellar_error_set(loop->error, CELLAR_NO_MEMORY, "No memory to read an answer into");
    }
    CELLAR_ASSERT(bytes > 0);
    ssize_t got = recv(connection->fd, room, bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        return socket_failed(loop, "A connection broke while reading", got == 0 ? 0 : errno);
    }
    if (got > 0) {
        driver->received(connection->session, (size_t)got);
        return connection_step(loop, connection);
    }
    return CELLAR_OK;
}

/* ---- the loop ------------------------------------------------------------------------------ */

/* Someone wants the run to end: its time is over now. The descriptor is left alone from here on, as
 * it would wake the loop for ever. */
static void interrupt_take(struct loop *loop)
{
    int fd = cellar_interrupt_fd(loop->target->interrupt);
    CELLAR_ASSERT(fd >= 0);
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL); /* it stays readable */
    loop->result->is_interrupted = true;
    loop->end_ns = CELLAR_MIN(loop->end_ns, loop->now_ns);
    loop->measure_ns = CELLAR_MIN(loop->measure_ns, loop->end_ns);
}

/* How long to wait for events, nanoseconds. One second at most, so that the loop sees for itself
 * when a server has fallen silent. */
static int64_t wait_ns(const struct loop *loop)
{
    int64_t until_ns = loop->is_over            ? loop->now_ns + NS_PER_S
                       : loop->meter.is_running ? loop->end_ns
                                                : loop->measure_ns;
    if (loop->terms->rate > 0 && loop->idle_count > 0 && loop->begin_ns > 0) {
        int64_t due_ns = loop->begin_ns +
                         (int64_t)((double)loop->due_count * (double)NS_PER_S / loop->terms->rate);
        until_ns = CELLAR_MIN(until_ns, due_ns);
    }
    if (loop->delayed_count > 0) {
        until_ns = CELLAR_MIN(until_ns, loop->now_ns + RETRY_MS_MIN * NS_PER_MS);
    }
    CELLAR_ASSERT(NS_PER_S > 0);
    return CELLAR_MIN(CELLAR_MAX(until_ns - loop->now_ns, INT64_C(0)), NS_PER_S);
}

/* Waits for events and handles them. */
static enum cellar_status loop_wait(struct loop *loop)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t wait = wait_ns(loop);
    struct timespec timeout = {.tv_sec = wait / NS_PER_S, .tv_nsec = wait % NS_PER_S};
    struct pollfd entry = {.fd = loop->epoll, .events = POLLIN};
    bool is_timed = loop->terms->rate > 0; /* to within microseconds, which epoll_wait() is not */
    if (is_timed) {
        (void)ppoll(&entry, 1, &timeout, NULL);
    }
    int count = epoll_wait(loop->epoll, events, EVENTS_MAX,
                           is_timed ? 0 : (int)((wait + NS_PER_MS - 1) / NS_PER_MS));
    loop->now_ns = cellar_bench_clock_ns();
    if (count > 0) {
        loop->progress_ns = loop->now_ns;
    }
    for (int index = 0; index < count; index++) {
        uint32_t number = events[index].data.u32;
        if (number == INTERRUPT_INDEX) {
            interrupt_take(loop);
            continue;
        }
        CELLAR_ASSERT(number < loop->terms->connections);
        struct connection *connection = &loop->connections[number];
        if ((events[index].events & EPOLLOUT) != 0) {
            CELLAR_TRY(connection_send(loop, connection));
        }
        if ((events[index].events & ~(uint32_t)EPOLLOUT) != 0) {
            CELLAR_TRY(connection_read(loop, connection));
        }
    }
    return CELLAR_OK;
}

/* True when only full scans are in flight, which need not be waited for. A scan of a whole table
 * may take longer than the run; its rows have been counted. */
static bool has_only_scans(const struct loop *loop)
{
    CELLAR_ASSERT(loop->connections != NULL);
    for (uint32_t index = 0; index < loop->terms->connections; index++) {
        const struct connection *connection = &loop->connections[index];
        if (connection->phase != PHASE_IDLE && connection->op.kind != CELLAR_BENCH_SCAN_ALL) {
            return false;
        }
    }
    return true;
}

/* True when the run has nothing more to do. */
static bool loop_is_done(struct loop *loop)
{
    const struct cellar_bench_terms *terms = loop->terms;
    if (!loop->is_over) {
        return false;
    }
    CELLAR_ASSERT(!loop->meter.is_running);
    if (loop->result->is_interrupted) {
        return loop->in_flight_count == 0 || has_only_scans(loop);
    }
    if (terms->rate > 0) {
        /* Without rounding up, a due time may fall on the end itself. */
        double due = (double)(loop->end_ns - loop->begin_ns) * terms->rate / (double)NS_PER_S;
        uint64_t left = (double)loop->due_count + 1 < due ? (uint64_t)due - loop->due_count : 0;
        if (left > 0 && loop->now_ns < loop->end_ns + DRAIN_NS_MAX) {
            return false;
        }
        loop->result->late_count = left;
    }
    return loop->in_flight_count == 0 || has_only_scans(loop);
}

/* Moves from stretch to stretch as time passes. */
static void loop_advance(struct loop *loop)
{
    loop->now_ns = cellar_bench_clock_ns();
    CELLAR_ASSERT(loop->begin_ns > 0);
    if (!loop->meter.is_running && !loop->is_over && loop->now_ns >= loop->measure_ns) {
        measure_start(loop);
    }
    if (loop->meter.is_running && loop->now_ns >= loop->end_ns) {
        measure_stop(loop);
    }
}

/* Turns until the run is done; fails when the server says nothing for a minute. */
static enum cellar_status loop_turn(struct loop *loop)
{
    loop->now_ns = cellar_bench_clock_ns();
    loop->progress_ns = loop->now_ns;
    for (;;) {
        if (loop->greeting_count == 0 && loop->begin_ns == 0) {
            loop->begin_ns = cellar_bench_clock_ns();
            bool is_over = loop->result->is_interrupted;
            loop->measure_ns = loop->begin_ns + (is_over ? 0 : loop->terms->warmup_us * NS_PER_US);
            loop->end_ns = loop->measure_ns + (is_over ? 0 : loop->terms->measure_us * NS_PER_US);
        }
        if (loop->begin_ns > 0) {
            loop_advance(loop);
            CELLAR_TRY(loop_retry(loop));
            CELLAR_TRY(loop_dispatch(loop));
            if (loop_is_done(loop)) {
                return CELLAR_OK;
            }
        }
        CELLAR_TRY(loop_wait(loop));
        CELLAR_ASSERT(loop->now_ns >= loop->progress_ns);
        if (loop->now_ns - loop->progress_ns > SILENCE_NS_MAX &&
            (loop->in_flight_count > loop->delayed_count || loop->greeting_count > 0)) {
            return cellar_error_set(loop->error, CELLAR_DEADLINE_EXCEEDED,
                                    "The server said nothing for a minute, with %u operations in "
                                    "flight",
                                    loop->in_flight_count);
        }
    }
}

/* Opens, runs and closes. The kernel may let a sleeping thread oversleep by 50 microseconds, which
 * is more than many operations take. */
static enum cellar_status loop_run(struct loop *loop)
{
    int slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    loop->epoll = -1;
    CELLAR_ASSERT(loop->result != NULL);
    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    enum cellar_status status = loop_open(loop);
    for (uint32_t index = 0; status == CELLAR_OK && index < loop->terms->connections; index++) {
        status = connection_send(loop, &loop->connections[index]);
    }
    if (status == CELLAR_OK) {
        status = loop_turn(loop);
    }
    loop_close(loop);
    if (slack_ns > 0) {
        (void)prctl(PR_SET_TIMERSLACK, (unsigned long)slack_ns, 0, 0, 0);
    }
    return status;
}

enum cellar_status cellar_bench_load(struct cellar_bench_target *target,
                                     enum cellar_bench_load load,
                                     const struct cellar_bench_terms *terms, uint32_t batch,
                                     struct cellar_bench_result *result, struct cellar_error *error)
{
    struct cellar_bench_source source;
    struct cellar_bench_terms whole = *terms;
    struct loop loop = {
        .target = target, .terms = &whole, .source = &source, .result = result, .error = error};
    CELLAR_ASSERT(batch >= 1);
    whole.rate = 0;
    whole.warmup_us = 0;
    whole.measure_us = INT64_MAX / NS_PER_US / 2; /* it ends when everything is loaded */
    cellar_bench_source_init_load(&source, load, &target->state.sizes, batch);
    cellar_bench_result_start(result, target->driver->name, terms);
    result->workload = "load";
    return loop_run(&loop);
}

enum cellar_status cellar_bench_run(struct cellar_bench_target *target,
                                    const struct cellar_bench_workload *workload,
                                    const struct cellar_bench_terms *terms,
                                    struct cellar_bench_result *result, struct cellar_error *error)
{
    struct cellar_bench_source source;
    struct loop loop = {
        .target = target, .terms = terms, .source = &source, .result = result, .error = error};
    CELLAR_ASSERT((cellar_bench_workload_kinds(workload) & ~target->driver->kinds) == 0);
    cellar_bench_source_init(&source, workload, &target->state, terms->seed);
    cellar_bench_result_start(result, target->driver->name, terms);
    result->workload = workload->name;
    return loop_run(&loop);
}
