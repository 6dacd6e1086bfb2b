/*
 * A thread that waits for SIGINT and SIGTERM.
 *
 *     signal --signalfd--> watcher --is_set, raised_fd--> whoever asks or polls
 *                             |
 *                             +-- lets the signals through from then on: the next one is fatal
 *
 * The signals are blocked in the thread that starts this, and so in all threads that it starts
 * later; no handler runs anywhere and nothing is kept in a global. The watcher sleeps in poll() and
 * ends when `ending_fd` is written. `is_set` is the only field that two threads touch.
 */

#include "client/tools/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

struct cellar_interrupt {
    pthread_t thread;
    sigset_t signals;
    sigset_t mask_before; /* of the thread that started it */
    int signal_fd;
    int raised_fd;
    int ending_fd;
    atomic_bool is_set;
};

/* Makes an eventfd readable. */
static void event_raise(int fd)
{
    static const uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    CELLAR_ASSERT(written == (ssize_t)sizeof one);
}

/* The watcher. */
static void *watcher_main(void *argument)
{
    struct cellar_interrupt *interrupt = argument;
    struct signalfd_siginfo info;
    struct pollfd polls[2] = {{.fd = interrupt->ending_fd, .events = POLLIN},
                              {.fd = interrupt->signal_fd, .events = POLLIN}};
    CELLAR_ASSERT(interrupt->signal_fd >= 0);
    for (;;) {
        (void)poll(polls, CELLAR_ARRAY_COUNT(polls), -1);
        if (polls[0].revents != 0) {
            return NULL;
        }
        if (polls[1].revents != 0 && read(interrupt->signal_fd, &info, sizeof info) > 0) {
            polls[1].fd = -1;
            polls[1].revents = 0;
            atomic_store(&interrupt->is_set, true);
            event_raise(interrupt->raised_fd);
            (void)pthread_sigmask(SIG_UNBLOCK, &interrupt->signals, NULL);
        }
    }
}

/* Closes what is open and frees the rest; the watcher has ended or never was. */
static void interrupt_free(struct cellar_interrupt *interrupt)
{
    const int fds[] = {interrupt->signal_fd, interrupt->raised_fd, interrupt->ending_fd};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(fds); index++) {
        CELLAR_ASSERT(fds[index] >= -1);
        if (fds[index] >= 0) {
            (void)close(fds[index]);
        }
    }
    cellar_mem_free(interrupt);
}

enum cellar_status cellar_interrupt_start(struct cellar_interrupt **interrupt,
                                          struct cellar_error *error)
{
    struct cellar_interrupt *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(interrupt != NULL);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to wait for signals");
    }
    (void)sigemptyset(&made->signals);
    (void)sigaddset(&made->signals, SIGINT);
    (void)sigaddset(&made->signals, SIGTERM);
    made->signal_fd = signalfd(-1, &made->signals, SFD_CLOEXEC);
    made->raised_fd = eventfd(0, EFD_CLOEXEC);
    made->ending_fd = eventfd(0, EFD_CLOEXEC);
    (void)pthread_sigmask(SIG_BLOCK, &made->signals, &made->mask_before);
    if (made->signal_fd < 0 || made->raised_fd < 0 || made->ending_fd < 0 ||
        pthread_create(&made->thread, NULL, watcher_main, made) != 0) {
        (void)pthread_sigmask(SIG_SETMASK, &made->mask_before, NULL);
        interrupt_free(made);
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "No descriptor or thread to wait for signals");
    }
    *interrupt = made;
    return CELLAR_OK;
}

bool cellar_interrupt_is_set(struct cellar_interrupt *interrupt)
{
    CELLAR_ASSERT(interrupt == NULL || interrupt->raised_fd >= 0);
    return interrupt != NULL && atomic_load(&interrupt->is_set);
}

int cellar_interrupt_fd(const struct cellar_interrupt *interrupt)
{
    CELLAR_ASSERT(interrupt == NULL || interrupt->raised_fd >= 0);
    return interrupt == NULL ? -1 : interrupt->raised_fd;
}

bool cellar_interrupt_pause(struct cellar_interrupt *interrupt, int64_t us)
{
    struct pollfd wait = {.fd = cellar_interrupt_fd(interrupt), .events = POLLIN};
    int64_t end_us = cellar_clock_monotonic_us() + us;
    CELLAR_ASSERT(us >= 0);
    int64_t left_us = us;
    while (left_us > 0 && !cellar_interrupt_is_set(interrupt)) {
        (void)poll(&wait, 1, (int)CELLAR_MIN((left_us + 999) / 1000, INT64_C(60000)));
        left_us = end_us - cellar_clock_monotonic_us();
    }
    return cellar_interrupt_is_set(interrupt);
}

void cellar_interrupt_stop(struct cellar_interrupt *interrupt)
{
    if (interrupt == NULL) {
        return;
    }
    CELLAR_ASSERT(interrupt->ending_fd >= 0);
    event_raise(interrupt->ending_fd);
    (void)pthread_join(interrupt->thread, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &interrupt->mask_before, NULL);
    interrupt_free(interrupt);
}
