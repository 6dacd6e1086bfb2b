#ifndef CELLAR_LIBEVENT_H
#define CELLAR_LIBEVENT_H

/*
 * Submitted calls on a libevent loop: callbacks come on the thread that runs it, and the client
 * makes no thread. Link with libcellar_libevent, libcellar and libevent_core.
 *
 *     struct cellar_libevent loop;
 *     if (cellar_libevent_attach(&loop, client, base, &call) == CELLAR_E_OK) {
 *         ... cellar_mutate_row_submit(client, ...), from any thread
 *         event_base_dispatch(base);
 *         cellar_libevent_detach(&loop);
 *     }
 *
 * Futures must not be waited for on that thread, and writers not be flushed there.
 */

#include <cellar/cellar.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct event;
struct event_base;

#define CELLAR_LIBEVENT_SOCKETS_MAX 288

/** What ties a client to a loop, in the caller's storage; fields belong to the library. */
struct cellar_libevent {
    struct cellar_client *client;
    struct event_base *base;
    struct event *timer;
    struct event *wake; /* of wake_fd, by which other threads call */
    int wake_fd;
    struct {
        struct event *event; /* NULL = not in use */
        int fd;
    } sockets[CELLAR_LIBEVENT_SOCKETS_MAX];
};

/**
 * Lets a loop drive the submitted calls of a client, before the first of them. The loop has work
 * from here on: event_base_dispatch() does not return by itself until cellar_libevent_detach().
 *
 * @param loop  receives the tie; stays where it is until it is detached
 * @param base  any libevent loop, locked or not
 * @return CELLAR_E_OK; as cellar_loop_attach(); CELLAR_E_NO_MEMORY without memory for events or
 *         without a file descriptor
 * @thread the one that runs the loop
 */
enum cellar_code cellar_libevent_attach(struct cellar_libevent *loop, struct cellar_client *client,
                                        struct event_base *base, struct cellar_call *call);

/**
 * Ends all submitted calls, CELLAR_E_CANCELLED, and lets go of the loop; before the loop is freed
 * and before the client is closed.
 *
 * @thread the one that runs the loop, not in a callback of this client
 */
void cellar_libevent_detach(struct cellar_libevent *loop);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
