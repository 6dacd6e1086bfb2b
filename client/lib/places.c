/*
 * Places: a pool of connections for each server that was named by a MOVED, and the routes to them.
 *
 *     pick row --> routes: known? --no--> home (NULL)
 *                            +--yes-----> others[number], counted as in use
 *     MOVED    --> others: there? --no--> a new pool, in the place of the longest unused if need be
 *                            +----------> routes: learn the range
 *
 * A route holds a place's number, its index; home has the number behind the last. A place that is
 * thrown out takes its routes with it, so that a number is never taken for the next one's; one in
 * use is not thrown out. Until the first MOVED comes nobody takes the lock.
 *
 * Pools are made and closed without the lock. Learning a route allocates under it, a few hundred
 * bytes once for each MOVED, which costs a round trip anyway.
 */

#include "client/lib/places.h"

#include <string.h>

#include "common/cell.h"
#include "common/mem.h"
#include "common/message.h"

#define PLACE_HOME CELLAR_PLACES_MAX
#define ROUTE_COUNT_MAX 1024u
#define ROUTE_BYTES_MAX 1048576u

/* Not checked: no other thread knows the places yet. */
enum cellar_status cellar_places_init(struct cellar_places *places, struct cellar_pool *home)
    CELLAR_NO_THREAD_SAFETY
{
    static const struct cellar_route_limits limits = {.count_max = ROUTE_COUNT_MAX,
                                                      .bytes_max = ROUTE_BYTES_MAX};
    CELLAR_ASSERT(home != NULL);
    memset(places, 0, sizeof *places);
    places->home = home;
    CELLAR_TRY(cellar_routes_init(&places->routes, &limits));
    cellar_mutex_init(&places->lock);
    return CELLAR_OK;
}

/* Frees a place that nobody uses; takes NULL. */
static void place_free(struct cellar_place *place)
{
    if (place != NULL) {
        CELLAR_ASSERT(place->user_count == 0);
        cellar_pool_fini(&place->pool);
        cellar_mem_free(place);
    }
}

/* Not checked: no other thread uses the places any more. */
void cellar_places_fini(struct cellar_places *places) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(places->home != NULL);
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        place_free(places->others[number]);
    }
    cellar_routes_fini(&places->routes);
    cellar_mutex_fini(&places->lock);
}

struct cellar_place *cellar_places_pick(struct cellar_places *places, struct cellar_slice table,
                                        const struct cellar_slice *row)
{
    struct cellar_place *place = NULL;
    uint32_t number = PLACE_HOME;
    if (row == NULL || table.bytes == 0 || !atomic_load(&places->has_routes)) {
        return NULL;
    }
    cellar_mutex_lock(&places->lock);
    if (cellar_routes_find(&places->routes, table, *row, &number) && number != PLACE_HOME) {
        place = places->others[number];
        CELLAR_ASSERT(place != NULL && place->number == number);
        place->user_count++;
        place->used_at = ++places->use_count;
    }
    cellar_mutex_unlock(&places->lock);
    return place;
}

struct cellar_pool *cellar_places_pool(struct cellar_places *places, struct cellar_place *place)
{
    CELLAR_ASSERT(places->home != NULL);
    return place == NULL ? places->home : &place->pool;
}

void cellar_places_release(struct cellar_places *places, struct cellar_place *place)
{
    if (place != NULL) {
        cellar_mutex_lock(&places->lock);
        CELLAR_ASSERT(place->user_count > 0);
        place->user_count--;
        cellar_mutex_unlock(&places->lock);
    }
}

void cellar_places_lost(struct cellar_places *places, const struct cellar_place *place)
{
    if (place != NULL) {
        cellar_mutex_lock(&places->lock);
        CELLAR_ASSERT(place->user_count > 0);
        cellar_routes_forget(&places->routes, place->number);
        cellar_mutex_unlock(&places->lock);
    }
}

/* Checks a MOVED and takes its endpoint apart. */
static enum cellar_status moved_check(const struct cellar_msg_error *message,
                                      struct cellar_address *address, struct cellar_error *error)
{
    char text[CELLAR_HOST_BYTES_MAX + CELLAR_PORT_BYTES_MAX + 4u];
    CELLAR_ASSERT(message->endpoint.bytes > 0);
    if (message->endpoint.bytes >= sizeof text ||
        memchr(message->endpoint.data, '\0', message->endpoint.bytes) != NULL) {
        return cellar_error_set(error, CELLAR_IO_ERROR,
                                "The server broke the protocol: it sent the request on to an "
                                "endpoint of %zu bytes",
                                message->endpoint.bytes);
    }
    memcpy(text, message->endpoint.data, message->endpoint.bytes);
    text[message->endpoint.bytes] = '\0';
    if (cellar_address_decode(text, address, error) != CELLAR_OK) {
        cellar_error_prefix(error, "The server broke the protocol: it sent the request on");
        error->code = CELLAR_IO_ERROR;
        return error->code;
    }
    if (message->start.bytes > CELLAR_ROW_BYTES_MAX ||
        message->end.bytes > CELLAR_RANGE_BOUND_BYTES_MAX ||
        (message->end.bytes > 0 && cellar_slice_compare(message->end, message->start) <= 0)) {
        return cellar_error_set(error, CELLAR_IO_ERROR,
                                "The server broke the protocol: it sent the request on to %s for "
                                "a range of rows that is none",
                                text);
    }
    return CELLAR_OK;
}

static bool is_same(const struct cellar_address *a, const struct cellar_address *b)
{
    CELLAR_ASSERT(a->host[0] != '\0' && b->host[0] != '\0');
    return strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

/* The number of a place with that address, PLACE_HOME included; otherwise above. */
static uint32_t number_find(const struct cellar_places *places,
                            const struct cellar_address *address) CELLAR_REQUIRES(places->lock)
{
    if (is_same(&places->home->address, address)) {
        return PLACE_HOME;
    }
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        const struct cellar_place *place = places->others[number];
        CELLAR_ASSERT(place == NULL || place->number == number);
        if (place != NULL && is_same(&place->pool.address, address)) {
            return number;
        }
    }
    return PLACE_HOME + 1;
}

/* A number for a new place: a free one, or that of the longest unused; above when all are in use.
 */
static uint32_t number_take(const struct cellar_places *places) CELLAR_REQUIRES(places->lock)
{
    uint32_t found = PLACE_HOME + 1;
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        const struct cellar_place *place = places->others[number];
        if (place == NULL) {
            return number;
        }
        CELLAR_ASSERT(place->number == number);
        if (place->user_count == 0 &&
            (found > PLACE_HOME || place->used_at < places->others[found]->used_at)) {
            found = number;
        }
    }
    return found;
}

/* Makes a place that has no number yet. */
static enum cellar_status place_new(const struct cellar_places *places,
                                    const struct cellar_address *address,
                                    struct cellar_place **place)
{
    struct cellar_address copy = *address;
    struct cellar_place *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(places->home != NULL);
    if (made == NULL) {
        return CELLAR_NO_MEMORY;
    }
    copy.interrupt_fd = places->home->address.interrupt_fd;
    if (cellar_pool_init(&made->pool, &copy, places->home->connections_max) != CELLAR_OK) {
        cellar_mem_free(made);
        return CELLAR_NO_MEMORY;
    }
    *place = made;
    return CELLAR_OK;
}

/* Learns a route to an address. `made` is taken in when it is wanted; what is left over, a place
 * that is to be freed or NULL, goes to `spare`. */
static enum cellar_status route_learn(struct cellar_places *places, struct cellar_route *route,
                                      struct cellar_place *made, struct cellar_place **spare)
{
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(made != NULL && made->user_count == 0);
    cellar_mutex_lock(&places->lock);
    uint32_t number = number_find(places, &made->pool.address);
    *spare = made;
    if (number > PLACE_HOME) {
        number = number_take(places);
    }
    if (number > PLACE_HOME) {
        status = CELLAR_RESOURCE_EXHAUSTED;
    } else if (number < PLACE_HOME &&
               (places->others[number] == NULL ||
                !is_same(&places->others[number]->pool.address, &made->pool.address))) {
        cellar_routes_forget(&places->routes, number);
        *spare = places->others[number];
        places->others[number] = made;
        made->number = number;
        made->used_at = ++places->use_count;
    }
    if (status == CELLAR_OK) {
        route->place = number;
        status = cellar_routes_learn(&places->routes, route);
        atomic_store(&places->has_routes, true);
    }
    cellar_mutex_unlock(&places->lock);
    return status;
}

enum cellar_status cellar_places_moved(struct cellar_places *places, struct cellar_slice table,
                                       struct cellar_slice body, bool *is_moved,
                                       struct cellar_error *error)
{
    struct cellar_msg_error message;
    struct cellar_address address;
    struct cellar_place *made = NULL;
    struct cellar_place *spare = NULL;
    CELLAR_ASSERT(table.bytes <= CELLAR_TABLE_NAME_BYTES_MAX);
    *is_moved = false;
    if (table.bytes == 0 ||
        cellar_message_decode(&cellar_msg_error_type, body, &message, CELLAR_UNKNOWN_SKIP, NULL) !=
            CELLAR_OK ||
        message.endpoint.bytes == 0) {
        return CELLAR_OK;
    }
    CELLAR_TRY(moved_check(&message, &address, error));
    struct cellar_route route = {.table = table, .start = message.start, .end = message.end};
    enum cellar_status status = place_new(places, &address, &made);
    if (status == CELLAR_OK) {
        status = route_learn(places, &route, made, &spare);
        place_free(spare);
    }
    if (status != CELLAR_OK) {
        return cellar_error_set(
            error, status, "The request was sent on to %s port %s: %s", address.host, address.port,
            status == CELLAR_NO_MEMORY ? "no memory for that" : "too many servers are in use");
    }
    *is_moved = true;
    return CELLAR_OK;
}
