#ifndef CELLAR_CLIENT_ROUTE_H
#define CELLAR_CLIENT_ROUTE_H

#include "common/buf.h"
#include "common/status.h"

/*
 * A bounded cache: which place serves the rows of a table from one key to another. What it knows
 * may be old, and what it does not know may be anywhere. PROTOCOL.md, "MOVED".
 */

/** That a range of rows is served somewhere; borrowed. */
struct cellar_route {
    struct cellar_slice table; /* its full name */
    struct cellar_slice start; /* the first key; empty = from the table's first row */
    struct cellar_slice end;   /* the first key behind; empty = to the table's last row */
    uint32_t place;            /* a number of the caller's */
};

/** How much is remembered. */
struct cellar_route_limits {
    uint32_t count_max; /* >= 1 */
    size_t bytes_max;   /* of names and keys; at least CELLAR_ROUTE_BYTES_MAX */
};

#define CELLAR_ROUTE_BYTES_MAX 16384u /* of one entry: a name and two keys, with room to spare */

struct cellar_route_entry;

/** Fields belong to route.c. One thread at a time. */
struct cellar_routes {
    struct cellar_route_limits limits;
    struct cellar_route_entry **entries; /* by table, then by start; ranges do not overlap */
    uint32_t count;
    size_t bytes;
    uint64_t use_count;
};

/** Makes an empty cache; CELLAR_NO_MEMORY. */
enum cellar_status cellar_routes_init(struct cellar_routes *routes,
                                      const struct cellar_route_limits *limits) CELLAR_MUST_USE;

/** Frees all. */
void cellar_routes_fini(struct cellar_routes *routes);

/**
 * Remembers a route; it takes the place of what was known of its rows. Others are forgotten for
 * want of room, those first that were used least lately.
 *
 * @param route  copied; its name and keys have at most CELLAR_ROUTE_BYTES_MAX bytes together, and
 *               its end is empty or above its start
 * @return CELLAR_OK; CELLAR_NO_MEMORY: nothing was changed
 */
enum cellar_status cellar_routes_learn(struct cellar_routes *routes,
                                       const struct cellar_route *route) CELLAR_MUST_USE;

/** Finds where a row is served; false when that is not known. */
bool cellar_routes_find(struct cellar_routes *routes, struct cellar_slice table,
                        struct cellar_slice row, uint32_t *place);

/** Forgets everything that is served at a place. */
void cellar_routes_forget(struct cellar_routes *routes, uint32_t place);

#endif
