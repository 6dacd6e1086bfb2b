#ifndef CELLAR_APP_SITE_H
#define CELLAR_APP_SITE_H

#include "server/io/budget.h"
#include "server/net/native/front.h"
#include "server/net/web/web_front.h"

/*
 * What the server tells monitoring: health, readiness and metrics, gathered from all layers.
 */

/** How far the server has come. */
enum cellar_server_phase { CELLAR_SERVER_STARTING, CELLAR_SERVER_SERVING, CELLAR_SERVER_STOPPING };

/** What the pages are made from; everything is borrowed and outlives the loops. */
struct cellar_site {
    _Atomic(enum cellar_server_phase) phase;
    struct svc *svc; /* set before the phase becomes SERVING */
    struct io_loop *const *loops;
    size_t loop_count;
    struct io_budget *request_budget;
    struct io_budget *file_budget;
    struct io_budget *answer_budget;
    const struct net_context *native;
    const char *version;
    uint64_t memory_bytes_max;
    _Atomic uint32_t connection_count_max;
    int64_t start_real_us;
};

/** The functions that web_front_init() wants; `site` is their context. */
struct web_site cellar_site_pages(struct cellar_site *site);

/** Whether all loops turn. Any thread. @return CELLAR_OK, or UNAVAILABLE with the reason */
enum cellar_status cellar_site_check_loops(const struct cellar_site *site,
                                           struct cellar_error *error) CELLAR_MUST_USE;

#endif
