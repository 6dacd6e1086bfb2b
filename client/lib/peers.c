/*
 * Peers: a core and sockets for each server that submitted calls go to.
 *
 *     add --> home's core --the router picks--> the core of the row's place --> its lines
 *                 ^                                  |
 *                 +----- MOVED, lost: picked anew ---+
 *
 * Which server has a row is known by the client's places, which blocking calls share. A peer is
 * made when a call is first picked its place, and holds the place as long as it is there, so that
 * the place's address stays what it is. A peer without calls for CELLAR_PEER_IDLE_US goes, and
 * earlier when a MOVED names one server too many. Where there is no memory for a peer, home takes
 * the call, which any server may.
 *
 * A core may be left only when nothing is under way in it: no call counts there and none waits to
 * be taken. A call whose answer is being looked at counts, so that its core stays meanwhile.
 */

#include "client/lib/peers.h"

#include <string.h>

#include "client/lib/call.h"
#include "common/mem.h"

/* A server that was named. */
struct cellar_peer {
    struct cellar_async_io io;
    struct cellar_place *place; /* picked */
    int64_t used_us;            /* when it had a call last */
};

/* ---- peers --------------------------------------------------------------------------------- */

/* Makes a peer of a place that was picked; NULL without memory. */
static struct cellar_peer *peer_new(struct cellar_peers *peers, struct cellar_place *place)
{
    struct cellar_core_terms terms = peers->terms;
    struct cellar_peer *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(place != NULL);
    terms.lines_max = CELLAR_MIN(terms.lines_max, CELLAR_PEER_LINES_MAX);
    terms.seed = cellar_client_random(peers->client);
    if (made == NULL || cellar_async_io_init(&made->io, &place->pool.address, &terms,
                                             &peers->home.loop) != CELLAR_OK) {
        cellar_mem_free(made);
        return NULL;
    }
    made->place = place;
    made->used_us = peers->now_us;
    return made;
}

static bool is_busy(const struct cellar_peer *peer)
{
    CELLAR_ASSERT(peer->place != NULL);
    return peer->io.core.call_count > 0 || peer->io.core.finished.first != NULL;
}

/* Frees the peer of a number, which is not busy. */
static void peer_free(struct cellar_peers *peers, uint32_t number)
{
    struct cellar_peer *peer = peers->others[number];
    CELLAR_ASSERT(!is_busy(peer) && peers->other_count > 0);
    peers->others[number] = NULL;
    peers->other_count--;
    cellar_async_io_stop(&peer->io, peers->now_us);
    cellar_async_io_fini(&peer->io);
    cellar_places_release(&peers->client->places, peer->place);
    cellar_mem_free(peer);
}

/* Frees peers that had no call since a moment. */
static void peers_trim(struct cellar_peers *peers, int64_t since_us)
{
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        struct cellar_peer *peer = peers->others[number];
        if (peer == NULL) {
            continue;
        }
        CELLAR_ASSERT(peer->used_us <= peers->now_us);
        if (is_busy(peer)) {
            peer->used_us = peers->now_us;
        } else if (peer->used_us <= since_us) {
            peer_free(peers, number);
        }
    }
}

/* The peer of a place that was picked once more; takes that over. NULL without memory. */
static struct cellar_peer *peer_get(struct cellar_peers *peers, struct cellar_place *place)
{
    uint32_t free_number = CELLAR_PLACES_MAX;
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        struct cellar_peer *peer = peers->others[number];
        if (peer == NULL) {
            free_number = CELLAR_MIN(free_number, number);
        } else if (peer->place == place) {
            cellar_places_release(&peers->client->places, place);
            return peer;
        }
    }
    CELLAR_ASSERT(free_number < CELLAR_PLACES_MAX); /* there are no more places than that */
    struct cellar_peer *made = peer_new(peers, place);
    if (made == NULL) {
        cellar_places_release(&peers->client->places, place);
        return NULL;
    }
    peers->others[free_number] = made;
    peers->other_count++;
    return made;
}

/* ---- the router ---------------------------------------------------------------------------- */

static struct cellar_core *route_pick(void *context, const struct cellar_async_call *call)
{
    struct cellar_peers *peers = context;
    struct cellar_place *place =
        cellar_places_pick(&peers->client->places, call->table, call->has_row ? &call->row : NULL);
    CELLAR_ASSERT(call->place != CELLAR_ASYNC_OVER);
    struct cellar_peer *peer = place == NULL ? NULL : peer_get(peers, place);
    return peer == NULL ? &peers->home.core : &peer->io.core;
}

static enum cellar_attempt route_refused(void *context, const struct cellar_async_call *call,
                                         struct cellar_slice body, struct cellar_error *error)
{
    struct cellar_peers *peers = context;
    CELLAR_ASSERT(peers->other_count <= CELLAR_PLACES_MAX);
    if (peers->other_count == CELLAR_PLACES_MAX) {
        peers_trim(peers, peers->now_us); /* it may name one more */
    }
    return cellar_call_refused(peers->client, call->table, body, error);
}

static void route_lost(void *context, const struct cellar_core *core)
{
    struct cellar_peers *peers = context;
    CELLAR_ASSERT(core->terms.router == &peers->router);
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        if (peers->others[number] != NULL && &peers->others[number]->io.core == core) {
            cellar_places_lost(&peers->client->places, peers->others[number]->place);
        }
    }
}

/* ---- all of them --------------------------------------------------------------------------- */

enum cellar_status cellar_peers_init(struct cellar_peers *peers, struct cellar_client *client,
                                     const struct cellar_core_terms *terms,
                                     const struct cellar_loop *loop)
{
    memset(peers, 0, sizeof *peers);
    CELLAR_ASSERT(terms->router == NULL);
    peers->client = client;
    peers->router = (struct cellar_core_router){
        .context = peers, .pick = route_pick, .refused = route_refused, .lost = route_lost};
    peers->terms = *terms;
    peers->terms.router = &peers->router;
    return cellar_async_io_init(&peers->home, &client->pool.address, &peers->terms, loop);
}

void cellar_peers_fini(struct cellar_peers *peers)
{
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        if (peers->others[number] != NULL) {
            peer_free(peers, number);
        }
    }
    CELLAR_ASSERT(peers->other_count == 0);
    cellar_async_io_fini(&peers->home);
}

void cellar_peers_ready(struct cellar_peers *peers, int fd, int64_t now_us)
{
    CELLAR_ASSERT(fd >= 0);
    peers->now_us = CELLAR_MAX(peers->now_us, now_us);
    bool is_taken = cellar_async_io_ready(&peers->home, fd, now_us);
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX && !is_taken; number++) {
        is_taken = peers->others[number] != NULL &&
                   cellar_async_io_ready(&peers->others[number]->io, fd, now_us);
    }
}

void cellar_peers_turn(struct cellar_peers *peers, int64_t now_us)
{
    peers->now_us = CELLAR_MAX(peers->now_us, now_us);
    cellar_async_io_turn(&peers->home, now_us);
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        if (peers->others[number] != NULL) {
            cellar_async_io_turn(&peers->others[number]->io, now_us);
        }
    }
    peers_trim(peers, now_us - CELLAR_PEER_IDLE_US);
    CELLAR_ASSERT(peers->now_us >= now_us);
}

void cellar_peers_stop(struct cellar_peers *peers, int64_t now_us)
{
    peers->now_us = CELLAR_MAX(peers->now_us, now_us);
    cellar_async_io_stop(&peers->home, now_us);
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        if (peers->others[number] != NULL) {
            cellar_async_io_stop(&peers->others[number]->io, now_us);
            CELLAR_ASSERT(peers->others[number]->io.core.call_count == 0);
        }
    }
}

int64_t cellar_peers_next_us(const struct cellar_peers *peers)
{
    int64_t next_us = cellar_core_next_us(&peers->home.core);
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX; number++) {
        const struct cellar_peer *peer = peers->others[number];
        if (peer != NULL) {
            int64_t own_us = is_busy(peer) ? INT64_MAX : peer->used_us + CELLAR_PEER_IDLE_US;
            int64_t core_us = cellar_core_next_us(&peer->io.core);
            next_us = CELLAR_MIN(next_us, CELLAR_MIN(own_us, core_us));
        }
    }
    CELLAR_ASSERT(next_us >= 0);
    return next_us;
}

struct cellar_async_call *cellar_peers_finished(struct cellar_peers *peers)
{
    struct cellar_async_call *call = cellar_core_finished(&peers->home.core);
    for (uint32_t number = 0; number < CELLAR_PLACES_MAX && call == NULL; number++) {
        if (peers->others[number] != NULL) {
            call = cellar_core_finished(&peers->others[number]->io.core);
        }
    }
    CELLAR_ASSERT(call == NULL || call->place == CELLAR_ASYNC_OVER);
    return call;
}

const struct cellar_async_io *cellar_peers_next(const struct cellar_peers *peers, uint32_t *at)
{
    CELLAR_ASSERT(*at <= CELLAR_PLACES_MAX + 1);
    if (*at == 0) {
        *at = 1;
        return &peers->home;
    }
    while (*at <= CELLAR_PLACES_MAX) {
        const struct cellar_peer *peer = peers->others[(*at)++ - 1];
        if (peer != NULL) {
            return &peer->io;
        }
    }
    return NULL;
}
