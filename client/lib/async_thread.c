/*
 * The background thread of a client: an event loop of a few lines.
 *
 * It watches the client's few sockets with poll(), and an eventfd by which other threads wake it. A
 * client has some dozens of sockets, and some hundreds at most where there are as many servers, so
 * that a table of them is searched from its start.
 * All signals are blocked on the thread: a program's handlers run on threads that it knows.
 *
 *     turn --> poll(sockets, until the timer) --> ready for each that is --> turn ...
 *
 * The table belongs to the thread. `is_stopping` and `wake_fd` are all that others touch.
 */

#include "client/lib/async_thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/lib/peers.h"
#include "common/clock.h"
#include "common/mem.h"

#define SOCKET_COUNT_MAX CELLAR_PEERS_SOCKETS_MAX
#define POLL_MS_MAX 3600000

struct cellar_async_thread {
    struct cellar_async_driven driven;
    pthread_t native;
    int wake_fd; /* an eventfd */
    bool is_running;
    atomic_bool is_stopping;
    struct pollfd entries[1 + SOCKET_COUNT_MAX]; /* the eventfd first */
    nfds_t entry_count;
    int64_t timer_us; /* INT64_MAX = none */
};

/* What poll() calls a loop's events. */
static short events_encode(int events)
{
    CELLAR_ASSERT((events & ~(CELLAR_LOOP_READ | CELLAR_LOOP_WRITE)) == 0);
    return (short)(((events & CELLAR_LOOP_READ) != 0 ? POLLIN : 0) |
                   ((events & CELLAR_LOOP_WRITE) != 0 ? POLLOUT : 0));
}

/* The loop's watch. */
static bool thread_watch(void *context, int fd, int events)
{
    struct cellar_async_thread *thread = context;
    nfds_t at = 1;
    CELLAR_ASSERT(fd >= 0);
    while (at < thread->entry_count && thread->entries[at].fd != fd) {
        at++;
    }
    if (events == 0) {
        if (at < thread->entry_count) {
            thread->entries[at] = thread->entries[--thread->entry_count];
        }
        return true;
    }
    if (at == CELLAR_ARRAY_COUNT(thread->entries)) {
        return false;
    }
    thread->entries[at] = (struct pollfd){.fd = fd, .events = events_encode(events)};
    thread->entry_count = CELLAR_MAX(thread->entry_count, at + 1);
    return true;
}

/* The loop's timer. */
static void thread_timer(void *context, int64_t delay_us)
{
    struct cellar_async_thread *thread = context;
    CELLAR_ASSERT(thread != NULL);
    thread->timer_us = delay_us < 0 ? INT64_MAX : cellar_clock_monotonic_us() + delay_us;
}

/* The loop's wake; any thread. */
static void thread_wake(void *context)
{
    struct cellar_async_thread *thread = context;
    CELLAR_ASSERT(thread->wake_fd >= 0);
    /* It fails only when it has been woken many times over. */
    int failed = eventfd_write(thread->wake_fd, 1);
    CELLAR_ASSERT(failed == 0 || errno == EAGAIN);
}

enum cellar_status cellar_async_thread_new(const struct cellar_async_driven *driven,
                                           struct cellar_async_thread **thread,
                                           struct cellar_loop *loop)
{
    CELLAR_ASSERT(driven->ready != NULL && driven->turn != NULL && driven->stop != NULL);
    struct cellar_async_thread *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return CELLAR_NO_MEMORY;
    }
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        cellar_mem_free(made);
        return CELLAR_UNAVAILABLE;
    }
    made->driven = *driven;
    made->wake_fd = fd;
    made->entries[0] = (struct pollfd){.fd = fd, .events = POLLIN};
    made->entry_count = 1;
    made->timer_us = INT64_MAX;
    atomic_init(&made->is_stopping, false);
    *loop = (struct cellar_loop){
        .context = made, .watch = thread_watch, .timer = thread_timer, .wake = thread_wake};
    *thread = made;
    return CELLAR_OK;
}

/* How long poll() may sleep. */
static int poll_ms(const struct cellar_async_thread *thread)
{
    if (thread->timer_us == INT64_MAX) {
        return -1;
    }
    int64_t left_us = thread->timer_us - cellar_clock_monotonic_us();
    CELLAR_ASSERT(left_us < INT64_MAX - 999);
    return left_us <= 0 ? 0 : (int)CELLAR_MIN((left_us + 999) / 1000, (int64_t)POLL_MS_MAX);
}

/* Waits for sockets, time or a wake-up, and tells which sockets are ready. */
static void thread_poll(struct cellar_async_thread *thread)
{
    int ready[SOCKET_COUNT_MAX];
    size_t ready_count = 0;
    eventfd_t woken;
    if (poll(thread->entries, thread->entry_count, poll_ms(thread)) <= 0) {
        return;
    }
    if (thread->entries[0].revents != 0) {
        int failed = eventfd_read(thread->wake_fd, &woken);
        CELLAR_ASSERT(failed == 0 || errno == EAGAIN);
    }
    /* Noted first: the table changes while they are told. */
    for (nfds_t at = 1; at < thread->entry_count; at++) {
        if (thread->entries[at].revents != 0) {
            ready[ready_count++] = thread->entries[at].fd;
        }
    }
    for (size_t at = 0; at < ready_count; at++) {
        thread->driven.ready(thread->driven.context, ready[at],
                             CELLAR_LOOP_READ | CELLAR_LOOP_WRITE);
    }
}

static void *thread_main(void *argument)
{
    struct cellar_async_thread *thread = argument;
    CELLAR_ASSERT(thread->entry_count >= 1);
    while (!atomic_load(&thread->is_stopping)) {
        thread->driven.turn(thread->driven.context);
        thread_poll(thread);
    }
    thread->driven.stop(thread->driven.context);
    return NULL;
}

enum cellar_status cellar_async_thread_start(struct cellar_async_thread *thread)
{
    sigset_t all;
    sigset_t before;
    CELLAR_ASSERT(!thread->is_running);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&thread->native, NULL, thread_main, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread->is_running = code == 0;
    return code == 0 ? CELLAR_OK : CELLAR_UNAVAILABLE;
}

void cellar_async_thread_free(struct cellar_async_thread *thread)
{
    if (thread == NULL) {
        return;
    }
    if (thread->is_running) {
        atomic_store(&thread->is_stopping, true);
        thread_wake(thread);
        int code = pthread_join(thread->native, NULL);
        CELLAR_ASSERT(code == 0);
    }
    (void)close(thread->wake_fd);
    cellar_mem_free(thread);
}
