#ifndef CELLAR_IO_THREAD_H
#define CELLAR_IO_THREAD_H

#include <pthread.h>

#include "common/status.h"

/**
 * Starts a thread that takes no signals: they are left to the main thread.
 *
 * @param thread   receives the thread, to be joined
 * @param run      runs on it with `context`
 * @return CELLAR_OK; CELLAR_RESOURCE_EXHAUSTED with the system's reason
 */
enum cellar_status io_thread_start(pthread_t *thread, void *(*run)(void *context), void *context,
                                   struct cellar_error *error) CELLAR_MUST_USE;

/** Waits until the thread has ended. */
void io_thread_join(pthread_t thread);

#endif
