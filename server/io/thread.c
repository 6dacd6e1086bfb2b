/*
 * Threads of loops and pools.
 *
 * A process-wide signal goes to any thread that does not block it. cellard waits for its signals in
 * the main thread, and no other thread may be interrupted by one, so each is started with all of
 * them blocked but those that its own faults raise: a new thread inherits the mask of the one that
 * makes it, which is changed for just that long.
 */
#include "server/io/thread.h"

#include <signal.h>
#include <string.h>

enum cellar_status io_thread_start(pthread_t *thread, void *(*run)(void *context), void *context,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(thread != NULL && run != NULL);
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)sigdelset(&all,
                    SIGBUS); /* a thread's own faults: blocked, they end the process at once */
    (void)sigdelset(&all, SIGSEGV);
    int failure = pthread_sigmask(SIG_SETMASK, &all, &before);
    CELLAR_ASSERT(failure == 0);
    failure = pthread_create(thread, NULL, run, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED, "cannot start a thread: %s",
                                strerror(failure));
    }
    return CELLAR_OK;
}

void io_thread_join(pthread_t thread)
{
    int failure = pthread_join(thread, NULL);
    CELLAR_ASSERT(failure == 0);
}
