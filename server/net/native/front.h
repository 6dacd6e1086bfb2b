#ifndef CELLAR_NET_FRONT_H
#define CELLAR_NET_FRONT_H

#include "server/net/native/session.h"

/* The native protocol's front end, as the rest of the server sees it. */

/** What a front end is made with; everything is borrowed and outlives it. */
struct net_front_options {
    struct svc *svc; /* NULL: it comes with net_front_serve() */
    struct io_pool *pool;
    struct io_pool *read_pool; /* for nothing but reads, so that neither keeps the other waiting */
    struct io_budget *request_budget;
    struct io_budget *file_budget;
    const char *version;
    const char *data_dir;
    struct io_loop *const *loops;
    struct net_measures *measures; /* zeroed, one a loop */
    size_t loop_count;
};

/** Fills `context`, which then is ready for net_front_take() on any loop. Nothing to undo. */
void net_front_init(struct net_context *context, const struct net_front_options *options);

/** From here on requests run; until then they are refused as UNAVAILABLE. @param svc outlives all
 * sessions. Any thread, once, for a context without service. */
void net_front_serve(struct net_context *context, struct svc *svc);

/** From here on no request is taken, on old and new connections. Any thread. */
void net_front_stop(struct net_context *context);

/** Shows the metrics of all sessions. Any thread. */
void net_front_show(const struct net_context *context, struct cellar_metric_page *page);

/** Takes over a connection; `context` is a const struct net_context that outlives all sessions. The
 * function that io_sniff_fronts asks for. Loop thread. */
void net_front_take(struct io_conn *conn, void *context);

#endif
