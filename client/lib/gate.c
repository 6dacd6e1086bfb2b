/*
 * Gates: conditions that heed a descriptor.
 *
 * A thread cannot wait for a condition and a descriptor at once. So where there is a descriptor a
 * waiter has an eventfd, made at its first wait, and polls both:
 *
 *     wait: in the list, mutex let go, poll(interrupt_fd, wake_fd), mutex held
 *     broadcast: the condition, and a write to the eventfd of each waiter in the list
 *
 * A waiter that was woken and has not run yet is not written to again, so that a broadcast for each
 * row costs a system call for each wait and not for each row. Without an eventfd to be had, the
 * condition is waited for in short turns and the descriptor looked at in between: late by a turn,
 * but never deaf.
 *
 * An interrupt counts before a wake-up: somebody who is woken all the time would never hear of it.
 */

#include "client/lib/gate.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"

#define TURN_US INT64_C(20000)

void cellar_gate_init(struct cellar_gate *gate, int interrupt_fd)
{
    CELLAR_ASSERT(interrupt_fd >= 0);
    cellar_cond_init(&gate->cond);
    gate->interrupt_fd = interrupt_fd;
    gate->waiters = NULL;
}

void cellar_gate_fini(struct cellar_gate *gate)
{
    CELLAR_ASSERT(gate->waiters == NULL);
    cellar_cond_fini(&gate->cond);
}

/* Waits for the condition alone. */
static enum cellar_gate_end cond_wait(struct cellar_gate *gate, struct cellar_mutex *mutex,
                                      int64_t deadline_us) CELLAR_REQUIRES(mutex)
{
    CELLAR_ASSERT(deadline_us >= 0);
    if (deadline_us == INT64_MAX) {
        cellar_cond_wait(&gate->cond, mutex);
        return CELLAR_GATE_WOKEN;
    }
    return cellar_cond_timedwait(&gate->cond, mutex, deadline_us) ? CELLAR_GATE_WOKEN
                                                                  : CELLAR_GATE_LATE;
}

/* Puts a waiter into the list; false when there is no descriptor for it. */
static bool waiter_enter(struct cellar_gate *gate, struct cellar_gate_waiter *waiter)
{
    if (waiter->wake_fd < 0) {
        waiter->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (waiter->wake_fd < 0) {
            return false;
        }
        waiter->next = gate->waiters;
        gate->waiters = waiter;
    }
    CELLAR_ASSERT(gate->waiters != NULL);
    waiter->is_woken = false;
    return true;
}

/* Waits for the descriptors; false when neither came in time. */
static bool fds_poll(const struct cellar_gate *gate, int wake_fd, int64_t deadline_us,
                     bool *is_interrupted)
{
    struct pollfd entries[2] = {{.fd = gate->interrupt_fd, .events = POLLIN},
                                {.fd = wake_fd, .events = POLLIN}};
    int wait_ms = -1;
    CELLAR_ASSERT(gate->interrupt_fd > 0);
    if (deadline_us != INT64_MAX) {
        int64_t left_us = deadline_us - cellar_clock_monotonic_us();
        left_us = left_us < 0 ? 0 : left_us;
        wait_ms =
            (int)CELLAR_MIN(left_us / 1000 + (left_us % 1000 != 0 ? 1 : 0), (int64_t)INT32_MAX);
    }
    int count = poll(entries, wake_fd < 0 ? 1 : 2, wake_fd < 0 ? 0 : wait_ms);
    *is_interrupted = count > 0 && entries[0].revents != 0;
    return count != 0; /* after a signal: without a reason */
}

/* Waits for the condition a turn long, and looks at the descriptor before. */
static enum cellar_gate_end turn_wait(struct cellar_gate *gate, struct cellar_mutex *mutex,
                                      int64_t deadline_us) CELLAR_REQUIRES(mutex)
{
    bool is_interrupted;
    int64_t turn_us = cellar_clock_monotonic_us() + TURN_US;
    CELLAR_ASSERT(turn_us > 0);
    (void)fds_poll(gate, -1, 0, &is_interrupted);
    if (is_interrupted) {
        return CELLAR_GATE_INTERRUPTED;
    }
    if (deadline_us <= turn_us) {
        return cond_wait(gate, mutex, deadline_us);
    }
    (void)cond_wait(gate, mutex, turn_us);
    return CELLAR_GATE_WOKEN;
}

enum cellar_gate_end cellar_gate_wait(struct cellar_gate *gate, struct cellar_mutex *mutex,
                                      struct cellar_gate_waiter *waiter, int64_t deadline_us)
{
    bool is_interrupted;
    eventfd_t count;
    CELLAR_ASSERT(deadline_us >= 0);
    if (gate->interrupt_fd == 0) {
        return cond_wait(gate, mutex, deadline_us);
    }
    if (!waiter_enter(gate, waiter)) {
        return turn_wait(gate, mutex, deadline_us);
    }
    cellar_mutex_unlock(mutex);
    bool is_in_time = fds_poll(gate, waiter->wake_fd, deadline_us, &is_interrupted);
    cellar_mutex_lock(mutex);
    (void)eventfd_read(waiter->wake_fd, &count); /* it fails when nobody called: no harm */
    if (is_interrupted) {
        return CELLAR_GATE_INTERRUPTED;
    }
    return is_in_time || waiter->is_woken ? CELLAR_GATE_WOKEN : CELLAR_GATE_LATE;
}

void cellar_gate_leave(struct cellar_gate *gate, struct cellar_gate_waiter *waiter)
{
    struct cellar_gate_waiter **at = &gate->waiters;
    if (waiter->wake_fd < 0) {
        return;
    }
    while (*at != waiter) {
        CELLAR_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = waiter->next;
    (void)close(waiter->wake_fd);
    waiter->wake_fd = -1;
}

void cellar_gate_broadcast(struct cellar_gate *gate)
{
    CELLAR_ASSERT(gate->interrupt_fd > 0 || gate->waiters == NULL);
    cellar_cond_broadcast(&gate->cond);
    for (struct cellar_gate_waiter *waiter = gate->waiters; waiter != NULL; waiter = waiter->next) {
        if (!waiter->is_woken) {
            waiter->is_woken = true;
            int failed = eventfd_write(waiter->wake_fd, 1);
            CELLAR_ASSERT(failed == 0 || errno == EAGAIN);
        }
    }
}
