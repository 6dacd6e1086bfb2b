/*
 * The pool of connections.
 *
 * Idle connections are a stack: the one used last is used next, and those that a burst left over
 * grow old at the bottom until the server closes them. A connection is looked at when it is taken
 * and when it is returned; one that the server has closed or left meanwhile is dropped there, so
 * that a call rarely meets it. A connection whose other end has vanished without a word looks well
 * until it is used: one that was idle for probe_after_us is sent a PING first, which is safe to
 * lose, as a write is not. When it stays silent, so do most likely the others, which have been idle
 * for even longer: all are closed.
 *
 *     take:    idle and sound -> that one; idle and dead -> close it, look again;
 *              none idle, a place free -> connect; no place -> wait until one is returned
 *     return:  sound -> idle; otherwise close it and free its place
 *
 * `open_count` counts places, not sockets: a thread that opens a connection takes its place first
 * and connects without the lock. `idle_count <= open_count <= connections_max` always. Nothing is
 * allocated, connected or closed while the lock is held.
 */

#include "client/lib/pool.h"

#include "common/mem.h"

#define PROBE_US_MAX INT64_C(1000000)

enum cellar_status cellar_pool_init(struct cellar_pool *pool, const struct cellar_address *address,
                                    uint32_t connections_max) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(connections_max >= 1 && connections_max <= CELLAR_POOL_CONNECTIONS_MAX);
    *pool = (struct cellar_pool){.address = *address,
                                 .connections_max = connections_max,
                                 .probe_after_us = CELLAR_POOL_PROBE_AFTER_US};
    pool->idle = cellar_mem_zalloc(connections_max, sizeof *pool->idle);
    if (pool->idle == NULL) {
        return CELLAR_NO_MEMORY;
    }
    cellar_mutex_init(&pool->lock);
    cellar_cond_init(&pool->returned);
    return CELLAR_OK;
}

uint32_t cellar_pool_open_count(struct cellar_pool *pool)
{
    cellar_mutex_lock(&pool->lock);
    uint32_t count = pool->open_count;
    cellar_mutex_unlock(&pool->lock);
    CELLAR_ASSERT(count <= pool->connections_max);
    return count;
}

/* Not checked: no other thread uses the pool any more. */
void cellar_pool_fini(struct cellar_pool *pool) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(pool->open_count == pool->idle_count);
    while (pool->idle_count > 0) {
        cellar_sync_close(pool->idle[--pool->idle_count].sync);
    }
    cellar_mem_free(pool->idle);
    cellar_cond_fini(&pool->returned);
    cellar_mutex_fini(&pool->lock);
}

/*
 * Waits for an idle connection or a free place, and takes it.
 *
 * `idle` receives the connection, or NULL for a place. Returns false at the deadline.
 */
static bool place_take(struct cellar_pool *pool, int64_t deadline_us, struct cellar_pool_idle *idle)
{
    bool is_in_time = true;
    cellar_mutex_lock(&pool->lock);
    while (is_in_time && pool->idle_count == 0 && pool->open_count == pool->connections_max) {
        if (deadline_us == 0) {
            cellar_cond_wait(&pool->returned, &pool->lock);
        } else {
            is_in_time = cellar_cond_timedwait(&pool->returned, &pool->lock, deadline_us);
        }
    }
    CELLAR_ASSERT(pool->open_count <= pool->connections_max);
    bool is_taken = true;
    *idle = (struct cellar_pool_idle){0};
    if (pool->idle_count > 0) {
        *idle = pool->idle[--pool->idle_count];
    } else if (pool->open_count < pool->connections_max) {
        pool->open_count++;
    } else {
        is_taken = false;
    }
    cellar_mutex_unlock(&pool->lock);
    return is_taken;
}

/* Gives a place up. */
static void place_return(struct cellar_pool *pool)
{
    cellar_mutex_lock(&pool->lock);
    CELLAR_ASSERT(pool->open_count > pool->idle_count);
    pool->open_count--;
    cellar_cond_signal(&pool->returned);
    cellar_mutex_unlock(&pool->lock);
}

/* Asks a connection that was idle for long whether it still answers. */
static bool idle_probe(const struct cellar_pool *pool, const struct cellar_pool_idle *idle,
                       int64_t deadline_us)
{
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(idle->sync != NULL);
    if (now_us - idle->since_us < pool->probe_after_us) {
        return true;
    }
    /* Half of the time is left for the call itself. */
    int64_t wait_us =
        deadline_us == 0 ? PROBE_US_MAX : CELLAR_MIN((deadline_us - now_us) / 2, PROBE_US_MAX);
    return cellar_sync_probe(idle->sync, now_us + CELLAR_MAX(wait_us, INT64_C(1)));
}

enum cellar_status cellar_pool_take(struct cellar_pool *pool, bool is_fresh, int64_t deadline_us,
                                    struct cellar_sync **sync, struct cellar_error *error)
{
    struct cellar_pool_idle idle;
    /*
     * Dead connections are met one by one: each is closed and its place given back, and the next
     * turn finds another idle one or a place for a new one. Other threads may take that place
     * first; then this one waits again, until the deadline.
     */
    for (;;) {
        if (!place_take(pool, deadline_us, &idle)) {
            return cellar_error_set(error, CELLAR_DEADLINE_EXCEEDED,
                                    "All %u connections of the client were in use until the time "
                                    "limit (connections_max; an open scan holds one)",
                                    pool->connections_max);
        }
        if (idle.sync == NULL) {
            break;
        }
        if (!is_fresh && cellar_sync_is_reusable(idle.sync)) {
            if (idle_probe(pool, &idle, deadline_us)) {
                *sync = idle.sync;
                return CELLAR_OK;
            }
            is_fresh = true;
        }
        cellar_sync_close(idle.sync);
        place_return(pool);
    }
    enum cellar_status status = cellar_sync_open(&pool->address, deadline_us, sync, error);
    if (status != CELLAR_OK) {
        place_return(pool);
    }
    CELLAR_ASSERT(status != CELLAR_OK || *sync != NULL);
    return status;
}

void cellar_pool_return(struct cellar_pool *pool, struct cellar_sync *sync)
{
    CELLAR_ASSERT(sync != NULL);
    if (!cellar_sync_is_reusable(sync)) {
        cellar_sync_close(sync);
        place_return(pool);
        return;
    }
    cellar_engine_trim(cellar_sync_engine(sync));
    cellar_mutex_lock(&pool->lock);
    CELLAR_ASSERT(pool->idle_count < pool->open_count);
    pool->idle[pool->idle_count++] =
        (struct cellar_pool_idle){.sync = sync, .since_us = cellar_clock_monotonic_us()};
    cellar_cond_signal(&pool->returned);
    cellar_mutex_unlock(&pool->lock);
}
