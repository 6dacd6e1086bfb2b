#ifndef CELLAR_CLIENT_ASYNC_IO_H
#define CELLAR_CLIENT_ASYNC_IO_H

#include <cellar/cellar.h>

#include "client/lib/async_core.h"
#include "client/lib/lookup.h"

/* The sockets of the asynchronous client: between its core and an event loop. */

/** One line's socket. */
struct cellar_async_socket {
    int fd;            /* -1 = none */
    int watched;       /* what the loop watches it for */
    bool is_send_dead; /* sending failed; what the server said before is still read */
    struct cellar_lookup *lookup;
    const struct addrinfo *next; /* the address to try after this one */
    int code;                    /* why the last address failed: an errno */
};

/** Belongs to the thread of the loop; fields belong to async_io.c. */
struct cellar_async_io {
    struct cellar_core core;
    struct cellar_address address;
    struct cellar_loop loop;
    struct cellar_async_socket sockets[2 * CELLAR_CORE_LINES_MAX];
};

/**
 * Makes the sockets' place; nothing is connected.
 *
 * @param address  copied
 * @param terms    of the core
 * @param loop     copied; its wake may be called by other threads until fini
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_async_io_init(struct cellar_async_io *io,
                                        const struct cellar_address *address,
                                        const struct cellar_core_terms *terms,
                                        const struct cellar_loop *loop) CELLAR_MUST_USE;

/** Frees what init made, after cellar_async_io_stop() and when every call was taken. */
void cellar_async_io_fini(struct cellar_async_io *io);

/** Reads from, or finishes connecting, the socket that the loop says is ready; false when it is
 * none of these. */
bool cellar_async_io_ready(struct cellar_async_io *io, int fd, int64_t now_us);

/** Does what is due: core, new connections, sending; and tells the loop what to watch. */
void cellar_async_io_turn(struct cellar_async_io *io, int64_t now_us);

/** Ends all calls and closes all sockets. */
void cellar_async_io_stop(struct cellar_async_io *io, int64_t now_us);

#endif
