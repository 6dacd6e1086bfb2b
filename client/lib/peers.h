#ifndef CELLAR_CLIENT_PEERS_H
#define CELLAR_CLIENT_PEERS_H

#include "client/lib/async_io.h"
#include "client/lib/client.h"

/*
 * The servers that submitted calls go to: home, the client's own, and others that were named for
 * some rows; each has a core and its sockets. Belongs to the thread of the loop, as these do.
 * PROTOCOL.md, "MOVED".
 */

#define CELLAR_PEER_LINES_MAX 2u /* connections to each server but home */
#define CELLAR_PEER_IDLE_US INT64_C(30000000)
#define CELLAR_PEERS_SOCKETS_MAX                                                                   \
    (2u * CELLAR_CORE_LINES_MAX + 2u * CELLAR_PEER_LINES_MAX * CELLAR_PLACES_MAX)

struct cellar_peer;

/** Fields belong to peers.c, but for home's core, which takes new calls and has the timers. */
struct cellar_peers {
    struct cellar_client *client; /* borrowed */
    struct cellar_core_router router;
    struct cellar_core_terms terms; /* of home */
    struct cellar_async_io home;
    struct cellar_peer *others[CELLAR_PLACES_MAX];
    uint32_t other_count;
    int64_t now_us; /* of the last turn, or event */
};

/**
 * Begins with home alone.
 *
 * @param client  gives address and places; outlives the peers
 * @param terms   of home's core; its router is filled in
 * @param loop    copied
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_peers_init(struct cellar_peers *peers, struct cellar_client *client,
                                     const struct cellar_core_terms *terms,
                                     const struct cellar_loop *loop) CELLAR_MUST_USE;

/** Frees all, after cellar_peers_stop() and when every call was taken. */
void cellar_peers_fini(struct cellar_peers *peers);

/** Takes what a socket has that the loop says is ready. */
void cellar_peers_ready(struct cellar_peers *peers, int fd, int64_t now_us);

/** Does what is due with every server, and lets go of those that had no call for long. */
void cellar_peers_turn(struct cellar_peers *peers, int64_t now_us);

/** Ends all calls and closes all sockets. */
void cellar_peers_stop(struct cellar_peers *peers, int64_t now_us);

/** When cellar_peers_turn() is due again if nothing else happens; INT64_MAX = never. */
int64_t cellar_peers_next_us(const struct cellar_peers *peers);

/** The next call that is OVER, or NULL. */
struct cellar_async_call *cellar_peers_finished(struct cellar_peers *peers);

/**
 * Goes through the servers.
 *
 * @param at  0 at first, then what it was left at
 * @return the next one's core and sockets, home's first; NULL behind the last
 */
const struct cellar_async_io *cellar_peers_next(const struct cellar_peers *peers, uint32_t *at);

#endif
