#ifndef CELLAR_CLIENT_POOL_H
#define CELLAR_CLIENT_POOL_H

#include "client/lib/sync.h"
#include "common/sync.h"

/* The connections of a client to its one server: idle ones, and the right to open more. Any thread.
 */

#define CELLAR_POOL_CONNECTIONS_MAX 1024u
#define CELLAR_POOL_PROBE_AFTER_US INT64_C(5000000)

/** A connection that nobody uses. */
struct cellar_pool_idle {
    struct cellar_sync *sync;
    int64_t since_us; /* monotonic */
};

/** Fields belong to pool.c; probe_after_us may be lowered by tests before the pool is used. */
struct cellar_pool {
    struct cellar_address address;
    uint32_t connections_max;
    int64_t probe_after_us; /* idle for longer: asked whether it still answers before it is used */
    struct cellar_mutex lock;
    struct cellar_cond returned;
    struct cellar_pool_idle *idle CELLAR_GUARDED_BY(lock); /* a stack of connections_max places */
    uint32_t idle_count CELLAR_GUARDED_BY(lock);
    uint32_t open_count CELLAR_GUARDED_BY(lock); /* idle or taken, or being opened */
};

/**
 * Makes a pool that has no connection yet.
 *
 * @param connections_max  1..CELLAR_POOL_CONNECTIONS_MAX
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_pool_init(struct cellar_pool *pool, const struct cellar_address *address,
                                    uint32_t connections_max) CELLAR_MUST_USE;

/** How many connections are open or being opened. */
uint32_t cellar_pool_open_count(struct cellar_pool *pool);

/** Closes the connections; none is taken any more. */
void cellar_pool_fini(struct cellar_pool *pool);

/**
 * Takes an idle connection or opens one; waits while the maximum is in use. One that the server has
 * closed or left (GOAWAY), and one that was idle for long and does not answer, are replaced.
 *
 * @param is_fresh  true closes the idle ones, which may be as dead as the one that just was, and
 *                  opens a new one
 * @param sync      receives it; give it back with cellar_pool_return()
 * @return CELLAR_OK; as cellar_sync_open(); CELLAR_DEADLINE_EXCEEDED also when none was returned in
 *         time
 */
enum cellar_status cellar_pool_take(struct cellar_pool *pool, bool is_fresh, int64_t deadline_us,
                                    struct cellar_sync **sync, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Gives a connection back; one that cannot be used again is closed. */
void cellar_pool_return(struct cellar_pool *pool, struct cellar_sync *sync);

#endif
