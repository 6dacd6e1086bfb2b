#ifndef CELLAR_TESTS_SUPPORT_PROXY_H
#define CELLAR_TESTS_SUPPORT_PROXY_H

#include "tests/support/support.h"

/*
 * A bad network: a TCP proxy on this machine between a client and a server, in a thread of its own.
 * Each connection has a fate, drawn from a seed when it is accepted. Bytes are lost, late or cut
 * off, but never changed.
 */

enum proxy_fate {
    PROXY_PASS,    /* everything passes */
    PROXY_CUT,     /* ends behind a random byte of either direction, by FIN or by RST */
    PROXY_DELAY,   /* as CUT, and each piece waits before it passes */
    PROXY_STALL,   /* nothing passes from a random byte on; the connection stays open */
    PROXY_SWALLOW, /* requests pass and answers do not, from a random byte on; then it ends */
    PROXY_DROP,    /* ends as soon as it is accepted */
    PROXY_FATE_COUNT
};

/** How often each fate comes; the first connections have one each, in order. */
struct proxy_script {
    uint64_t seed;
    uint32_t weights[PROXY_FATE_COUNT]; /* at least one > 0; 0 = never */
    uint32_t refuse_percent; /* of connections after which the port refuses for a while */
};

/** What happened so far. */
struct proxy_counts {
    unsigned fates[PROXY_FATE_COUNT]; /* connections of each */
    unsigned refusals;                /* times that the port was closed */
    unsigned cuts;                    /* connections that the proxy ended */
    unsigned swallowed_bytes;
};

struct proxy;

/**
 * Starts a proxy on a free port of 127.0.0.1.
 *
 * @param target  "127.0.0.1:PORT" of the server, which need not be there yet
 * @param script  borrowed until return; NULL = everything passes
 */
struct proxy *proxy_start(const char *target, const struct proxy_script *script);

/** "127.0.0.1:PORT" of the proxy; lives as long as it. */
const char *proxy_endpoint(const struct proxy *proxy);

/** From here on new connections pass and the port does not refuse; others keep their fate. */
void proxy_calm(struct proxy *proxy);

/** From here on connections go to another server; those that there are stay where they are. */
void proxy_target(struct proxy *proxy, const char *target);

/** Ends all connections; returns when they are closed. */
void proxy_cut_all(struct proxy *proxy);

/** Nothing passes on the connections that there are, which stay open; new ones have their fate. */
void proxy_stall_all(struct proxy *proxy);

/** Closes the port, or opens it again; returns when it is done. */
void proxy_refuse(struct proxy *proxy, bool is_refusing);

/** Ends all connections and the thread. */
void proxy_stop(struct proxy *proxy, struct proxy_counts *counts);

#endif
