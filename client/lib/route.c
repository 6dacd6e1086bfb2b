/*
 * The cache of routes: an array of entries in order, found by bisection.
 *
 *     table a              table b
 *     [ ..f) [f..m)        [c..d)      [k..     entries do not overlap; between them nothing is
 * known
 *
 * To learn a range is to cut it out of what is there: entries within it go, one that sticks out on
 * a side keeps that side. What sticks out is forgotten as well when there is no memory for it: the
 * cache may always know less. Only the new entry itself must be had.
 *
 * Two limits, entries and bytes; the entry that was used least lately goes first. Finding that one
 * is a walk through all, which happens only when the cache is full and learns; a full cache has
 * some thousands of entries, and learning costs a round trip anyway.
 */

#include "client/lib/route.h"

#include <string.h>

#include "common/mem.h"

/* A route and its bytes: table, start, end. */
struct cellar_route_entry {
    uint64_t used_at; /* use_count at its last use */
    uint32_t place;
    uint32_t table_bytes;
    uint32_t start_bytes;
    uint32_t end_bytes;
    uint8_t data[];
};

static struct cellar_route route_of(const struct cellar_route_entry *entry)
{
    const uint8_t *start = entry->data + entry->table_bytes;
    CELLAR_ASSERT(entry->table_bytes > 0);
    return (struct cellar_route){
        .table = cellar_slice_make(entry->data, entry->table_bytes),
        .start = cellar_slice_make(start, entry->start_bytes),
        .end = cellar_slice_make(start + entry->start_bytes, entry->end_bytes),
        .place = entry->place};
}

static size_t route_bytes(const struct cellar_route *route)
{
    return route->table.bytes + route->start.bytes + route->end.bytes;
}

/* Copies a slice, which may be empty; the place behind it. */
static uint8_t *slice_put(uint8_t *to, struct cellar_slice slice)
{
    CELLAR_ASSERT(slice.data != NULL || slice.bytes == 0);
    if (slice.bytes > 0) {
        memcpy(to, slice.data, slice.bytes);
    }
    return to + slice.bytes;
}

/* Makes an entry; NULL without memory. */
static struct cellar_route_entry *entry_new(const struct cellar_route *route, uint64_t used_at)
{
    CELLAR_ASSERT(route->table.bytes > 0 && route_bytes(route) <= CELLAR_ROUTE_BYTES_MAX);
    struct cellar_route_entry *entry = cellar_mem_alloc(sizeof *entry + route_bytes(route));
    if (entry == NULL) {
        return NULL;
    }
    entry->used_at = used_at;
    entry->place = route->place;
    entry->table_bytes = (uint32_t)route->table.bytes;
    entry->start_bytes = (uint32_t)route->start.bytes;
    entry->end_bytes = (uint32_t)route->end.bytes;
    (void)slice_put(slice_put(slice_put(entry->data, route->table), route->start), route->end);
    return entry;
}

enum cellar_status cellar_routes_init(struct cellar_routes *routes,
                                      const struct cellar_route_limits *limits)
{
    CELLAR_ASSERT(limits->count_max >= 1 && limits->bytes_max >= CELLAR_ROUTE_BYTES_MAX);
    *routes = (struct cellar_routes){.limits = *limits};
    routes->entries = cellar_mem_zalloc(limits->count_max, sizeof(struct cellar_route_entry *));
    return routes->entries == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
}

void cellar_routes_fini(struct cellar_routes *routes)
{
    CELLAR_ASSERT(routes->count <= routes->limits.count_max);
    for (uint32_t index = 0; index < routes->count; index++) {
        cellar_mem_free(routes->entries[index]);
    }
    cellar_mem_free(routes->entries);
    *routes = (struct cellar_routes){.count = 0};
}

/* Whether a range ends above a key. */
static bool ends_above(struct cellar_slice end, struct cellar_slice key)
{
    return end.bytes == 0 || cellar_slice_compare(end, key) > 0;
}

/* How many entries begin at or before a key of a table, or belong to a table before it. */
static uint32_t entries_up_to(const struct cellar_routes *routes, struct cellar_slice table,
                              struct cellar_slice key)
{
    uint32_t low = 0;
    uint32_t high = routes->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct cellar_route route = route_of(routes->entries[middle]);
        int order = cellar_slice_compare(route.table, table);
        if (order < 0 || (order == 0 && cellar_slice_compare(route.start, key) <= 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    CELLAR_ASSERT(low <= routes->count);
    return low;
}

bool cellar_routes_find(struct cellar_routes *routes, struct cellar_slice table,
                        struct cellar_slice row, uint32_t *place)
{
    uint32_t behind = entries_up_to(routes, table, row);
    CELLAR_ASSERT(table.bytes > 0);
    if (behind == 0) {
        return false;
    }
    struct cellar_route_entry *entry = routes->entries[behind - 1];
    const struct cellar_route route = route_of(entry);
    if (!cellar_slice_equal(route.table, table) || !ends_above(route.end, row)) {
        return false;
    }
    entry->used_at = ++routes->use_count;
    *place = entry->place;
    return true;
}

/* Takes an entry out of the array and frees it. */
static void entry_remove(struct cellar_routes *routes, uint32_t index)
{
    struct cellar_route_entry *entry = routes->entries[index];
    const struct cellar_route route = route_of(entry);
    CELLAR_ASSERT(index < routes->count && routes->bytes >= route_bytes(&route));
    routes->bytes -= route_bytes(&route);
    routes->count--;
    memmove(routes->entries + index, routes->entries + index + 1,
            (routes->count - index) * sizeof(struct cellar_route_entry *));
    cellar_mem_free(entry);
}

/* Removes the entry that was used least lately. */
static void entry_evict(struct cellar_routes *routes)
{
    uint32_t oldest = 0;
    CELLAR_ASSERT(routes->count >= 1);
    for (uint32_t index = 1; index < routes->count; index++) {
        if (routes->entries[index]->used_at < routes->entries[oldest]->used_at) {
            oldest = index;
        }
    }
    entry_remove(routes, oldest);
}

/* Puts an entry, which overlaps none, in its place; NULL is nothing to put. */
static void entry_insert(struct cellar_routes *routes, struct cellar_route_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    const struct cellar_route route = route_of(entry);
    while (routes->count == routes->limits.count_max ||
           routes->bytes + route_bytes(&route) > routes->limits.bytes_max) {
        entry_evict(routes);
    }
    uint32_t index = entries_up_to(routes, route.table, route.start);
    CELLAR_ASSERT(index <= routes->count);
    memmove(routes->entries + index + 1, routes->entries + index,
            (routes->count - index) * sizeof(struct cellar_route_entry *));
    routes->entries[index] = entry;
    routes->count++;
    routes->bytes += route_bytes(&route);
}

/* Removes what is known of a range; what sticks out before and behind it is kept in the two. */
static void range_cut(struct cellar_routes *routes, const struct cellar_route *range,
                      struct cellar_route_entry **before, struct cellar_route_entry **behind)
{
    uint32_t index = entries_up_to(routes, range->table, range->start);
    index -= index > 0 ? 1 : 0; /* the one that begins before may reach into the range */
    while (index < routes->count) {
        struct cellar_route old = route_of(routes->entries[index]);
        uint64_t used_at = routes->entries[index]->used_at;
        int order = cellar_slice_compare(old.table, range->table);
        if (order > 0 || (order == 0 && !ends_above(range->end, old.start))) {
            break;
        }
        if (order < 0 || !ends_above(old.end, range->start)) {
            index++;
            continue;
        }
        struct cellar_route left = old;
        struct cellar_route right = old;
        left.end = range->start;
        right.start = range->end;
        if (cellar_slice_compare(old.start, range->start) < 0) {
            CELLAR_ASSERT(*before == NULL);
            *before = entry_new(&left, used_at);
        }
        if (range->end.bytes > 0 && ends_above(old.end, range->end)) {
            CELLAR_ASSERT(*behind == NULL);
            *behind = entry_new(&right, used_at);
        }
        entry_remove(routes, index);
    }
}

enum cellar_status cellar_routes_learn(struct cellar_routes *routes,
                                       const struct cellar_route *route)
{
    struct cellar_route_entry *before = NULL;
    struct cellar_route_entry *behind = NULL;
    CELLAR_ASSERT(ends_above(route->end, route->start));
    struct cellar_route_entry *made = entry_new(route, ++routes->use_count);
    if (made == NULL) {
        return CELLAR_NO_MEMORY;
    }
    range_cut(routes, route, &before, &behind);
    entry_insert(routes, before);
    entry_insert(routes, behind);
    entry_insert(routes, made); /* last: it is the newest, and no other pushes it out */
    return CELLAR_OK;
}

void cellar_routes_forget(struct cellar_routes *routes, uint32_t place)
{
    CELLAR_ASSERT(routes->count <= routes->limits.count_max);
    for (uint32_t index = routes->count; index > 0; index--) {
        if (routes->entries[index - 1]->place == place) {
            entry_remove(routes, index - 1);
        }
    }
}
