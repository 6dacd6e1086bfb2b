#ifndef CELLAR_CLIENT_ASYNC_H
#define CELLAR_CLIENT_ASYNC_H

#include "client/lib/client.h"
#include "client/lib/peers.h"

/*
 * The asynchronous half of a client: the one place where the threads that submit meet the one that
 * drives the core. Made on first use.
 */

struct cellar_async;

/** Something to do on the driver's thread; zero-initialised but for `run`. */
struct cellar_async_task {
    void (*run)(struct cellar_async_task *task, struct cellar_core *core, int64_t now_us);
    struct cellar_async_task *next;
};

/** How a call is let in. */
struct cellar_async_admission {
    bool waits_for_room; /* rather than CELLAR_RESOURCE_EXHAUSTED */
    bool is_free;        /* has its own bounds and is always let in */
};

/**
 * The client's asynchronous half; makes it, and its thread, on first use.
 *
 * @return CELLAR_OK; CELLAR_NO_MEMORY; CELLAR_UNAVAILABLE when no thread can be made
 */
enum cellar_status cellar_async_get(struct cellar_client *client, struct cellar_async **async,
                                    struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Gives a NEW call to the driver; its kind's finish is called on the driver's thread, later. After
 * a failure it is the caller's still.
 *
 * @return CELLAR_OK; CELLAR_RESOURCE_EXHAUSTED; CELLAR_DEADLINE_EXCEEDED while waiting for room;
 *         CELLAR_CANCELLED when the client is being closed
 */
enum cellar_status cellar_async_submit(struct cellar_async *async, struct cellar_async_call *call,
                                       struct cellar_async_admission admission,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/** Has a task, which is not posted already, run on the driver's thread; false when the client is
 * being closed: it will not run. Any thread. */
bool cellar_async_post(struct cellar_async *async, struct cellar_async_task *task) CELLAR_MUST_USE;

/** Writes the operation and the client's endpoint, as failures name them. */
void cellar_async_where(const struct cellar_async *async, const char *operation,
                        char where[CELLAR_FAILURE_WHERE_BYTES]);

/** True on the driver's thread while it runs callbacks. */
bool cellar_async_is_inside(struct cellar_async *async);

/** True on the thread that drove last, in a callback or not: it must not wait for itself. */
bool cellar_async_is_driver(struct cellar_async *async);

/**
 * Runs a task, posted or not, and gives the outcomes that it brings, on the driver's thread outside
 * of callbacks, or on any when nothing drives any more.
 */
void cellar_async_here(struct cellar_async *async, struct cellar_async_task *task);

#endif
