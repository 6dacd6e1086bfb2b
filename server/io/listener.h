#ifndef CELLAR_IO_LISTENER_H
#define CELLAR_IO_LISTENER_H

#include "server/io/address.h"
#include "server/io/budget.h"
#include "server/io/conn.h"

/*
 * A listening socket: accepts connections on one loop and hands them round-robin to all.
 */

struct io_listener;

/** What a listener is made with; everything is borrowed and outlives it. */
struct io_listener_options {
    struct io_address address; /* port 0: a free one */
    struct io_loop *const *loops;
    size_t loop_count; /* >= 1; the first one accepts */
    struct io_budget *input_budget;
    struct io_budget *output_budget;
    const struct io_conn_handler *handler; /* of every new connection, */
    void *context;                         /* with this, */
    void *context_full;            /* or with this, when it is one of spare_count above the limit */
    int64_t first_us_max;          /* and this long to send its first bytes */
    uint32_t spare_count;          /* connections above the limit that get the other context */
    uint32_t connection_count_max; /* more are closed at once; io_listener_limit_set() changes it */
};

/**
 * Binds the socket without listening on it: the address is known, nobody is served yet.
 *
 * @return CELLAR_OK; CELLAR_IO_ERROR naming address and reason; CELLAR_NO_MEMORY
 */
enum cellar_status io_listener_open(const struct io_listener_options *options,
                                    struct io_listener **listener, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Listens, and has the first loop accept. Before io_loop_start() or from any thread after it,
 * once. CELLAR_IO_ERROR. */
enum cellar_status io_listener_start(struct io_listener *listener, struct cellar_error *error)
    CELLAR_MUST_USE;

/** The bound address, with the port that was taken. */
const struct io_address *io_listener_address(const struct io_listener *listener);

/** Changes how many connections there may be at once. @param count_max >= 1. Any thread. */
void io_listener_limit_set(struct io_listener *listener, uint32_t count_max);

/** Ends listening; connections that were accepted stay. The first loop runs, or never ran. Any
 * thread but the loops' own; returns when no more connections come. */
void io_listener_stop(struct io_listener *listener);

/** Frees a listener that is stopped or was never started; takes NULL. */
void io_listener_close(struct io_listener *listener);

#endif
