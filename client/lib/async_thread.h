#ifndef CELLAR_CLIENT_ASYNC_THREAD_H
#define CELLAR_CLIENT_ASYNC_THREAD_H

#include <cellar/cellar.h>

#include "common/status.h"

/* A thread with a small event loop on poll(), for one client. */

struct cellar_async_thread;

/** What the thread drives; called on it. */
struct cellar_async_driven {
    void *context;
    void (*ready)(void *context, int fd, int events);
    void (*turn)(void *context);
    void (*stop)(void *context); /* the last call */
};

/**
 * Makes a thread that does not run yet.
 *
 * @param driven  copied
 * @param loop    receives what the driven side asks the loop with
 * @return CELLAR_OK; CELLAR_NO_MEMORY; CELLAR_UNAVAILABLE when there is no file descriptor
 */
enum cellar_status cellar_async_thread_new(const struct cellar_async_driven *driven,
                                           struct cellar_async_thread **thread,
                                           struct cellar_loop *loop) CELLAR_MUST_USE;

/** Runs it; CELLAR_UNAVAILABLE when the system gives no thread. */
enum cellar_status cellar_async_thread_start(struct cellar_async_thread *thread) CELLAR_MUST_USE;

/** Has it call stop, waits for its end, and frees it; one that does not run is only freed. Takes
 * NULL. */
void cellar_async_thread_free(struct cellar_async_thread *thread);

#endif
