#ifndef CELLAR_CLIENT_PLACES_H
#define CELLAR_CLIENT_PLACES_H

#include <stdatomic.h>

#include "client/lib/pool.h"
#include "client/lib/route.h"

/*
 * Where a client's requests go: home, its own server, or to another that a server named for the
 * row. Any thread. PROTOCOL.md, "MOVED".
 */

#define CELLAR_PLACES_MAX 64u /* besides home */

/** A server that another one named; its fields belong to places.c, but for the pool. */
struct cellar_place {
    struct cellar_pool pool;
    uint32_t number;     /* in the routes */
    uint32_t user_count; /* who picked it and has not released it; the places' lock */
    uint64_t used_at;    /* the places' lock */
};

/** Fields belong to places.c. */
struct cellar_places {
    struct cellar_pool *home;
    _Atomic bool has_routes; /* there was a MOVED; until then nobody takes the lock */
    struct cellar_mutex lock;
    struct cellar_routes routes CELLAR_GUARDED_BY(lock);
    struct cellar_place *others[CELLAR_PLACES_MAX] CELLAR_GUARDED_BY(lock);
    uint64_t use_count CELLAR_GUARDED_BY(lock);
};

/**
 * Begins with home alone.
 *
 * @param home  the pool of the client's own server; outlives the places
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_places_init(struct cellar_places *places, struct cellar_pool *home)
    CELLAR_MUST_USE;

/** Closes all connections but home's; no place is picked any more. */
void cellar_places_fini(struct cellar_places *places);

/**
 * Picks the place of a row.
 *
 * @param table  its full name, or empty: home
 * @param row    NULL = home
 * @return a place, to be given back by cellar_places_release(); NULL is home
 */
struct cellar_place *cellar_places_pick(struct cellar_places *places, struct cellar_slice table,
                                        const struct cellar_slice *row);

/** The connections to a picked place, or home's for NULL. */
struct cellar_pool *cellar_places_pool(struct cellar_places *places, struct cellar_place *place);

/** Gives a picked place back; takes NULL. */
void cellar_places_release(struct cellar_places *places, struct cellar_place *place);

/** Forgets what is served at a picked place, since it cannot be reached; takes NULL. */
void cellar_places_lost(struct cellar_places *places, const struct cellar_place *place);

/**
 * Takes what an ERROR says of the place of rows.
 *
 * @param table     the request's, its full name; empty: nothing is taken
 * @param body      the ERROR's
 * @param is_moved  receives whether it named a place
 * @return CELLAR_OK; CELLAR_IO_ERROR when that makes no sense; CELLAR_RESOURCE_EXHAUSTED when too
 *         many places are in use; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_places_moved(struct cellar_places *places, struct cellar_slice table,
                                       struct cellar_slice body, bool *is_moved,
                                       struct cellar_error *error) CELLAR_MUST_USE;

#endif
