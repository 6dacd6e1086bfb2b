/*
 * Health, readiness and metrics, as /healthz, /readyz and /metrics show them.
 *
 * Every layer writes the metrics of its own things; this file only calls them in turn and adds what
 * belongs to none: build, budgets and process. Until the data is recovered there is no service to
 * ask, so the phase is looked at first; it changes after the service was set. The functions run on
 * the loops, take no lock but those that are held for memory work only, and do not wait for a disk.
 */
#include "server/app/site.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "server/app/process_metrics.h"

/* Loops turn once a second at least. So long may one take on a machine that is very busy. */
#define LOOP_STILL_US_MAX 30000000
#define LABEL_BYTES_MAX 128u
#define LOOP_COUNT_MAX 64u

enum cellar_status cellar_site_check_loops(const struct cellar_site *site,
                                           struct cellar_error *error)
{
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(site->loop_count >= 1);
    for (size_t i = 0; i < site->loop_count; i++) {
        int64_t still_us = now_us - io_loop_turned_us(site->loops[i]);
        if (still_us > LOOP_STILL_US_MAX) {
            return cellar_error_set(error, CELLAR_UNAVAILABLE,
                                    "loop %zu of %zu has not turned for %" PRId64 " seconds", i + 1,
                                    site->loop_count, still_us / 1000000);
        }
    }
    return CELLAR_OK;
}

/* Only in SERVING and STOPPING is there a service. */
static enum cellar_server_phase phase_of(const struct cellar_site *site)
{
    return atomic_load_explicit(&site->phase, memory_order_acquire);
}

static enum cellar_status check_health(void *context, struct cellar_error *error)
{
    struct cellar_site *site = context;
    CELLAR_TRY(cellar_site_check_loops(site, error));
    if (phase_of(site) == CELLAR_SERVER_STARTING) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(site->svc != NULL);
    return svc_health(site->svc, error);
}

static enum cellar_status check_readiness(void *context, struct cellar_error *error)
{
    struct cellar_site *site = context;
    switch (phase_of(site)) {
    case CELLAR_SERVER_STARTING:
        return cellar_error_set(error, CELLAR_UNAVAILABLE,
                                "the server is starting: its data is being recovered");
    case CELLAR_SERVER_STOPPING:
        return cellar_error_set(error, CELLAR_UNAVAILABLE, "the server is stopping");
    case CELLAR_SERVER_SERVING:
        break;
    }
    CELLAR_ASSERT(site->svc != NULL);
    return svc_readiness(site->svc, error);
}

/* ---- metrics --------------------------------------------------------------------------------- */

static void show_build(const struct cellar_site *site, struct cellar_metric_page *page)
{
    char labels[LABEL_BYTES_MAX];
    CELLAR_ASSERT(site->version != NULL);
    (void)snprintf(labels, sizeof labels, "version=\"%s\",compiler=\"%s %s\"", site->version,
#ifdef __clang__
                   "clang", __clang_version__
#else
                   "gcc", __VERSION__
#endif
    );
    cellar_metric_begin(page, CELLAR_METRIC_GAUGE, "cellar_build_info",
                        "Always 1; the labels tell the build.");
    cellar_metric_put(page, labels, 1);
}

static void show_state(struct cellar_site *site, struct cellar_metric_page *page)
{
    struct cellar_error error;
    cellar_metric_gauge(page, "cellar_healthy", "1 if /healthz says ok.",
                        check_health(site, &error) == CELLAR_OK ? 1 : 0);
    cellar_metric_gauge(page, "cellar_ready", "1 if /readyz says ok: writes are taken.",
                        check_readiness(site, &error) == CELLAR_OK ? 1 : 0);
    cellar_metric_gauge(page, "cellar_loops", "Threads that serve connections.", site->loop_count);
    cellar_metric_gauge(page, "cellar_connections_max", "Most native connections at once.",
                        atomic_load(&site->connection_count_max));
    CELLAR_ASSERT(page->name != NULL);
}

static void show_budgets(const struct cellar_site *site, struct cellar_metric_page *page)
{
    cellar_metric_gauge(page, "cellar_memory_max_bytes",
                        "What the process itself may take (memory_bytes_max).",
                        site->memory_bytes_max);
    cellar_metric_begin(page, CELLAR_METRIC_GAUGE, "cellar_budget_used_bytes",
                        "Memory taken of a budget.");
    cellar_metric_put(page, "budget=\"requests\"", io_budget_bytes(site->request_budget));
    cellar_metric_put(page, "budget=\"request_files\"", io_budget_bytes(site->file_budget));
    cellar_metric_put(page, "budget=\"answers\"", io_budget_bytes(site->answer_budget));
    cellar_metric_begin(page, CELLAR_METRIC_GAUGE, "cellar_budget_max_bytes", "Size of a budget.");
    cellar_metric_put(page, "budget=\"requests\"", io_budget_limit(site->request_budget));
    cellar_metric_put(page, "budget=\"request_files\"", io_budget_limit(site->file_budget));
    cellar_metric_put(page, "budget=\"answers\"", io_budget_limit(site->answer_budget));
    CELLAR_ASSERT(page->name != NULL);
}

static void show_traffic(const struct cellar_site *site, struct cellar_metric_page *page)
{
    const struct io_traffic *traffics[LOOP_COUNT_MAX];
    CELLAR_ASSERT(site->loop_count <= LOOP_COUNT_MAX);
    for (size_t i = 0; i < site->loop_count; i++) {
        traffics[i] = io_loop_traffic(site->loops[i]);
    }
    io_traffic_show(traffics, site->loop_count, page);
}

static void show_metrics(void *context, struct cellar_metric_page *page)
{
    struct cellar_site *site = context;
    CELLAR_ASSERT(site->native != NULL);
    show_build(site, page);
    show_state(site, page);
    net_front_show(site->native, page);
    show_traffic(site, page);
    if (phase_of(site) != CELLAR_SERVER_STARTING) {
        svc_show(site->svc, page);
    }
    show_budgets(site, page);
    cellar_process_show(site->start_real_us, page);
}

struct web_site cellar_site_pages(struct cellar_site *site)
{
    CELLAR_ASSERT(site->loops != NULL && site->version != NULL);
    return (struct web_site){
        .context = site,
        .version = site->version,
        .health = check_health,
        .readiness = check_readiness,
        .metrics = show_metrics,
    };
}
