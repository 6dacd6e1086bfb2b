/*
 * The event loop: loop.h tells how a turn goes.
 *
 *     sockets (libevent) -> posted tasks -> tick -> put-off work -> end of turn -> sockets ...
 *
 * libevent only waits and calls back: every turn is one event_base_loop(EVLOOP_ONCE), which does
 * not block while put-off work waits. The base is used by one thread only and has no lock.
 *
 * Posted tasks form a stack that any thread pushes onto with one compare-and-swap and that the loop
 * takes whole with one exchange and turns around, so that tasks run in the order of posting. Who
 * pushes onto the empty stack writes the eventfd, nobody else does: a burst wakes the loop once,
 * and no wake-up is lost, since whatever is pushed after the loop took the stack finds it empty.
 *
 * Put-off work runs for IO_LOOP_TURN_US_MAX a turn at most; the rest stays in order for the next
 * one, so that long scans leave room for other connections' requests. Work that was put off while
 * the pass runs waits for the next turn.
 *
 * A one-second timer ticks the members (deadlines); a 10 ms timer, armed only while somebody waits,
 * releases the work that waits for a budget. Both look at common/clock.h for the time, so tests
 * move it. All fields but the stack and the atomics belong to the loop's thread; what it counts
 * (traffic.h) anybody may read.
 */
#include "server/io/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/sync.h"
#include "server/io/thread.h"

#define IO_LOOP_TURN_US_MAX 10000
#define IO_LOOP_TICK_US 1000000
#define IO_LOOP_SOON_US 10000

struct io_loop {
    _Atomic(struct io_task *) posted; /* newest first */
    _Atomic uint32_t member_count;
    _Atomic int64_t turned_us;
    struct event_base *base;
    struct event wake_event;
    struct event tick_event;
    struct event soon_event;
    int wake_fd;
    bool is_stopping;
    int64_t now_us;
    int64_t ticked_us;
    int64_t first_us; /* when this turn was first asked whether it is late; 0 = not yet */
    struct io_list members;
    struct io_list later;
    struct io_list end;
    struct io_list soon;
    struct io_task drain_task;
    struct io_task stop_task;
    pthread_t thread;
    struct io_traffic traffic;
    uint8_t scratch[IO_LOOP_SCRATCH_BYTES];
};

/* The eventfd has done its work by making this turn happen. */
static void on_wake(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    (void)context;
    uint64_t count = 0;
    ssize_t got = read(fd, &count, sizeof count);
    CELLAR_ASSERT(got == (ssize_t)sizeof count || errno == EAGAIN);
}

/* The timer only makes a turn happen; the turn looks at the clock. */
static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
}

/* Whoever waits for a budget tries again in this turn. */
static void on_soon(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct io_loop *loop = context;
    CELLAR_ASSERT(loop->base != NULL);
    io_list_move(&loop->later, &loop->soon);
}

/* For members such as sessions: no new requests; they leave when theirs have ended. */
static void run_drain(struct io_task *task)
{
    struct io_loop *loop = CELLAR_CONTAINER_OF(task, struct io_loop, drain_task);
    CELLAR_ASSERT(!loop->is_stopping);
    /* A member leaves at the end of a turn, never inside its callbacks, so the walk is safe. */
    for (struct io_list *at = loop->members.next; at != &loop->members; at = at->next) {
        struct io_member *member = CELLAR_CONTAINER_OF(at, struct io_member, link);
        member->drain(member);
    }
}

static void run_stop(struct io_task *task)
{
    struct io_loop *loop = CELLAR_CONTAINER_OF(task, struct io_loop, stop_task);
    CELLAR_ASSERT(!loop->is_stopping);
    for (struct io_list *at = loop->members.next; at != &loop->members; at = at->next) {
        struct io_member *member = CELLAR_CONTAINER_OF(at, struct io_member, link);
        member->stop(member);
    }
    loop->is_stopping = true;
}

/* What was made before a failure is freed by io_loop_free(), which the caller calls. */
static enum cellar_status start_events(struct io_loop *loop, struct cellar_error *error)
{
    CELLAR_ASSERT(loop->base == NULL);
    struct event_config *config = event_config_new();
    if (config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0) {
        loop->base = event_base_new_with_config(config);
    }
    if (config != NULL) {
        event_config_free(config);
    }
    if (loop->base == NULL) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "cannot make an event loop: %s",
                                strerror(errno));
    }
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "cannot make an eventfd: %s",
                                strerror(errno));
    }
    struct timeval second = {.tv_sec = IO_LOOP_TICK_US / 1000000};
    if (event_assign(&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake,
                     loop) != 0 ||
        event_assign(&loop->tick_event, loop->base, -1, EV_PERSIST, on_tick, loop) != 0 ||
        event_assign(&loop->soon_event, loop->base, -1, 0, on_soon, loop) != 0 ||
        event_add(&loop->wake_event, NULL) != 0 || event_add(&loop->tick_event, &second) != 0) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the events of a loop");
    }
    return CELLAR_OK;
}

/* turned_us begins as now, so that a loop whose thread is slow to start does not look stuck. */
enum cellar_status io_loop_new(struct io_loop **loop, struct cellar_error *error)
{
    CELLAR_ASSERT(loop != NULL);
    struct io_loop *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for an event loop");
    }
    atomic_init(&made->posted, NULL);
    atomic_init(&made->member_count, 0);
    atomic_init(&made->turned_us, cellar_clock_monotonic_us());
    made->wake_fd = -1;
    io_list_init(&made->members);
    io_list_init(&made->later);
    io_list_init(&made->end);
    io_list_init(&made->soon);
    made->drain_task.run = run_drain;
    made->stop_task.run = run_stop;
    made->now_us = cellar_clock_monotonic_us();
    made->ticked_us = made->now_us;
    enum cellar_status status = start_events(made, error);
    if (status != CELLAR_OK) {
        io_loop_free(made);
        return status;
    }
    *loop = made;
    return CELLAR_OK;
}

void io_loop_free(struct io_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    CELLAR_ASSERT(io_list_is_empty(&loop->members));
    CELLAR_ASSERT(io_list_is_empty(&loop->end));
    if (loop->base != NULL) {
        event_base_free(loop->base);
    }
    if (loop->wake_fd >= 0) {
        (void)close(loop->wake_fd);
    }
    cellar_mem_free(loop);
}

/* Takes all that was posted so far and runs it, oldest first. Tasks that are posted by these run in
 * the next turn: one loop of tasks that post tasks does not keep sockets waiting. */
static void run_posted(struct io_loop *loop)
{
    struct io_task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct io_task *oldest = NULL;
    while (newest != NULL) {
        struct io_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct io_task *task = oldest;
        oldest = task->next;
        CELLAR_ASSERT(task->run != NULL);
        task->run(task);
    }
}

/* Members are told the time about once a second, however busy the loop is. The timer of libevent
 * alone would do, but under load a turn may take long, and a fake clock moves no timer. */
static void tick_if_due(struct io_loop *loop)
{
    CELLAR_ASSERT(loop->now_us >= loop->ticked_us);
    if (loop->now_us - loop->ticked_us < IO_LOOP_TICK_US) {
        return;
    }
    loop->ticked_us = loop->now_us;
    for (struct io_list *at = loop->members.next; at != &loop->members; at = at->next) {
        struct io_member *member = CELLAR_CONTAINER_OF(at, struct io_member, link);
        member->tick(member, loop->now_us);
    }
}

/* Runs what was put off to this turn, for as long as a turn may take. At least one piece of work a
 * turn, also when the turn is late already: else sockets alone could stop all scans. */
static void run_later(struct io_loop *loop)
{
    struct io_list batch;
    io_list_init(&batch);
    io_list_move(&batch, &loop->later);
    while (!io_list_is_empty(&batch)) {
        struct io_work *work = CELLAR_CONTAINER_OF(io_list_take(&batch), struct io_work, link);
        work->run(work);
        if (io_loop_is_late(loop)) {
            break;
        }
    }
    /* What was not reached comes before what was put off meanwhile. */
    io_list_move(&batch, &loop->later);
    io_list_move(&loop->later, &batch);
}

/* Also what is put off to the end of the turn meanwhile: a connection that fails while it sends is
 * freed in the same turn. */
static void run_end(struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    for (struct io_list *link = io_list_take(&loop->end); link != NULL;
         link = io_list_take(&loop->end)) {
        struct io_work *work = CELLAR_CONTAINER_OF(link, struct io_work, link);
        work->run(work);
    }
}

/* The order is the drawing's above. The end of the turn comes last, so that whatever the turn did
 * to a connection leaves in one send. */
void io_loop_turn(struct io_loop *loop, bool may_block)
{
    CELLAR_ASSERT(loop != NULL && loop->base != NULL);
    int flags = EVLOOP_ONCE;
    if (!may_block || !io_list_is_empty(&loop->later)) {
        flags |= EVLOOP_NONBLOCK;
    }
    if (event_base_loop(loop->base, flags) < 0) {
        CELLAR_ASSERT(errno == EINTR);
    }
    loop->now_us = cellar_clock_monotonic_us();
    run_posted(loop);
    tick_if_due(loop);
    run_later(loop);
    run_end(loop);
    loop->first_us = 0;
    atomic_store_explicit(&loop->turned_us, loop->now_us, memory_order_relaxed);
}

static void *run_thread(void *context)
{
    struct io_loop *loop = context;
    CELLAR_ASSERT(!loop->is_stopping);
    cellar_thread_name_set("loop");
    while (!loop->is_stopping) {
        io_loop_turn(loop, true);
    }
    return NULL;
}

enum cellar_status io_loop_start(struct io_loop *loop, struct cellar_error *error)
{
    CELLAR_ASSERT(loop != NULL && !loop->is_stopping);
    return io_thread_start(&loop->thread, run_thread, loop, error);
}

void io_loop_drain(struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    io_loop_post(loop, &loop->drain_task);
}

/* Members were drained before, or are cut off now; the thread ends with the turn. */
void io_loop_stop(struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    io_loop_post(loop, &loop->stop_task);
    io_thread_join(loop->thread);
}

/* The task is the caller's memory and must live until it ran: no allocation, so posting cannot
 * fail, which is what lets the log's thread answer at all times. */
void io_loop_post(struct io_loop *loop, struct io_task *task)
{
    CELLAR_ASSERT(task->run != NULL);
    struct io_task *newest = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        task->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posted, &newest, task,
                                                    memory_order_release, memory_order_relaxed));
    if (newest == NULL) {
        uint64_t one = 1;
        ssize_t put = write(loop->wake_fd, &one, sizeof one);
        CELLAR_ASSERT(put == (ssize_t)sizeof one || errno == EAGAIN);
    }
}

void io_work_init(struct io_work *work, void (*run)(struct io_work *work))
{
    CELLAR_ASSERT(run != NULL);
    io_list_init(&work->link);
    work->run = run;
}

bool io_work_is_queued(const struct io_work *work)
{
    CELLAR_ASSERT(work->run != NULL);
    return !io_list_is_empty(&work->link);
}

void io_work_cancel(struct io_work *work)
{
    CELLAR_ASSERT(work->run != NULL);
    io_list_remove(&work->link);
}

static void work_append(struct io_list *queue, struct io_work *work)
{
    CELLAR_ASSERT(work->run != NULL);
    if (!io_work_is_queued(work)) {
        io_list_append(queue, &work->link);
    }
}

void io_loop_run_later(struct io_loop *loop, struct io_work *work)
{
    CELLAR_ASSERT(loop != NULL);
    work_append(&loop->later, work);
}

void io_loop_run_at_end(struct io_loop *loop, struct io_work *work)
{
    CELLAR_ASSERT(loop != NULL);
    work_append(&loop->end, work);
}

void io_loop_run_soon(struct io_loop *loop, struct io_work *work)
{
    CELLAR_ASSERT(loop != NULL);
    work_append(&loop->soon, work);
    if (event_pending(&loop->soon_event, EV_TIMEOUT, NULL) == 0) {
        struct timeval wait = {.tv_usec = IO_LOOP_SOON_US};
        if (event_add(&loop->soon_event, &wait) != 0) {
            io_list_move(&loop->later, &loop->soon);
        }
    }
}

void io_loop_member_expect(struct io_loop *loop, struct io_member *member)
{
    CELLAR_ASSERT(!member->is_expected);
    member->is_expected = true;
    (void)atomic_fetch_add_explicit(&loop->member_count, 1, memory_order_relaxed);
}

void io_loop_member_add(struct io_loop *loop, struct io_member *member)
{
    CELLAR_ASSERT(member->tick != NULL && member->drain != NULL && member->stop != NULL);
    io_list_init(&member->link);
    member->is_retired = false;
    io_list_append(&loop->members, &member->link);
    if (!member->is_expected) {
        (void)atomic_fetch_add_explicit(&loop->member_count, 1, memory_order_relaxed);
    }
    member->is_expected = false;
}

void io_loop_member_retire(struct io_loop *loop, struct io_member *member)
{
    CELLAR_ASSERT(!member->is_retired);
    member->is_retired = true;
    uint32_t before = atomic_fetch_sub_explicit(&loop->member_count, 1, memory_order_relaxed);
    CELLAR_ASSERT(before > 0);
}

void io_loop_member_remove(struct io_loop *loop, struct io_member *member)
{
    CELLAR_ASSERT(!io_list_is_empty(&member->link));
    if (!member->is_retired) {
        io_loop_member_retire(loop, member);
    }
    io_list_remove(&member->link);
}

uint32_t io_loop_member_count(struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    return atomic_load_explicit(&loop->member_count, memory_order_relaxed);
}

int64_t io_loop_now_us(const struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    return loop->now_us;
}

bool io_loop_is_late(struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    int64_t now_us = cellar_clock_monotonic_us();
    if (loop->first_us == 0) {
        loop->first_us = now_us;
    }
    return now_us - loop->first_us >= IO_LOOP_TURN_US_MAX;
}

struct io_traffic *io_loop_traffic(struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    return &loop->traffic;
}

int64_t io_loop_turned_us(struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    return atomic_load_explicit(&loop->turned_us, memory_order_relaxed);
}

struct event_base *io_loop_base(struct io_loop *loop)
{
    CELLAR_ASSERT(loop->base != NULL);
    return loop->base;
}

uint8_t *io_loop_scratch(struct io_loop *loop)
{
    CELLAR_ASSERT(loop != NULL);
    return loop->scratch;
}
