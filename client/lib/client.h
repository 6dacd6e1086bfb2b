#ifndef CELLAR_CLIENT_CLIENT_H
#define CELLAR_CLIENT_CLIENT_H

#include <cellar/cellar.h>
#include <stdatomic.h>

#include "client/lib/places.h"
#include "client/lib/pool.h"
#include "common/cell.h"

/* The handle behind `struct cellar_client`, and where the library's errors meet the public ones. */

#define CELLAR_SUBMIT_CONNECTIONS_MAX 16u

struct cellar_async;

/** One server and how to talk to it. Options do not change; the rest is atomic or has its own
 * locks.
 */
struct cellar_client {
    struct cellar_pool pool;     /* of its own server */
    struct cellar_places places; /* others, that this one named */
    char endpoint[CELLAR_HOST_BYTES_MAX + CELLAR_PORT_BYTES_MAX + 4u];
    char instance[CELLAR_TABLE_NAME_BYTES_MAX]; /* "PROJECT/INSTANCE" */
    int64_t timeout_us;
    uint32_t connect_attempts_max;
    uint32_t attempts_max;
    _Atomic bool is_clock_behind;         /* this machine's, as a server said; token.c */
    _Atomic int64_t tokens_full_until_us; /* monotonic; until then no tokens are sent */
    uint32_t submit_connections_max;
    uint32_t submit_calls_max;
    uint64_t submit_bytes_max;
    struct cellar_mutex async_lock;
    struct cellar_async *async CELLAR_GUARDED_BY(async_lock); /* NULL before its first use */
    void (*async_close)(struct cellar_async *async) CELLAR_GUARDED_BY(async_lock); /* set with it */
    struct cellar_mutex random_lock;
    uint64_t random_state CELLAR_GUARDED_BY(random_lock);
};

/** The next 64 random bits of the client, for jitter. Any thread. */
uint64_t cellar_client_random(struct cellar_client *client);

/**
 * The table's name as the protocol takes it: a bare name gets the client's instance in front.
 *
 * @param name  receives the name and its NUL
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT when it is longer than any name can be
 */
enum cellar_status cellar_client_table_name(const struct cellar_client *client, const char *table,
                                            char name[CELLAR_TABLE_NAME_BYTES_MAX],
                                            struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Ends a public function: copies the error into the call.
 *
 * @param client     may be NULL: no endpoint is named
 * @param operation  what was called, such as "READ_ROWS"
 * @param call       may be NULL
 * @param error      CELLAR_OK or the failure
 * @return its code
 */
enum cellar_code cellar_client_finish(const struct cellar_client *client, const char *operation,
                                      struct cellar_call *call, const struct cellar_error *error);

/**
 * Fills a public failure from an error.
 *
 * @param where  copied, cut at its limit
 */
void cellar_failure_fill(struct cellar_failure *failure, const struct cellar_error *error,
                         const char *where);

#endif
