/*
 * The page of the native protocol's counters.
 *
 * A request is counted once, under its operation and the code it was answered with: OK for a reply,
 * CANCELLED also where the client left before its answer. Requests that were refused before they
 * ran, while the server starts or stops, have a code but no time, so an operation's histogram may
 * hold fewer than its codes add up to. Every operation has its series of OK from the start, other
 * codes from when they first occur.
 */
#include "server/net/native/measure.h"

#include <stdio.h>

#define LABEL_BYTES_MAX 96u

static uint64_t outcome_sum(const struct net_measures *measures, size_t count, size_t index,
                            size_t code)
{
    uint64_t sum = 0;
    CELLAR_ASSERT(index <= NET_OPERATION_OTHER && code < CELLAR_STATUS_COUNT);
    for (size_t i = 0; i < count; i++) {
        sum += cellar_counter_get(&measures[i].outcomes[index][code]);
    }
    return sum;
}

/* The codes of one operation. */
static void show_outcomes(const struct net_measures *measures, size_t count, size_t index,
                          const char *name, struct cellar_metric_page *page)
{
    char labels[LABEL_BYTES_MAX];
    CELLAR_ASSERT(name != NULL);
    for (size_t code = 0; code < CELLAR_STATUS_COUNT; code++) {
        uint64_t sum = outcome_sum(measures, count, index, code);
        bool is_shown = sum > 0 || (code == CELLAR_OK && index != NET_OPERATION_OTHER);
        if (is_shown) {
            (void)snprintf(labels, sizeof labels, "operation=\"%s\",code=\"%s\"", name,
                           cellar_status_text((enum cellar_status)code));
            cellar_metric_put(page, labels, sum);
        }
    }
}

/* Requests that have begun less those that have ended. */
static uint64_t running_count(const struct net_measures *measures, size_t count)
{
    struct cellar_histogram_sum ended = {.count = 0};
    uint64_t begun = 0;
    CELLAR_ASSERT(measures != NULL || count == 0);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < NET_OPERATION_COUNT_MAX; j++) {
            cellar_histogram_collect(&measures[i].latencies[j], &ended);
        }
        begun += cellar_counter_get(&measures[i].begun);
    }
    return begun > ended.count ? begun - ended.count : 0;
}

static uint64_t away_sum(const struct net_measures *measures, size_t count)
{
    uint64_t sum = 0;
    CELLAR_ASSERT(measures != NULL || count == 0);
    for (size_t i = 0; i < count; i++) {
        sum += cellar_counter_get(&measures[i].steps_away);
    }
    return sum;
}

static void show_session_errors(const struct net_measures *measures, size_t count,
                                struct cellar_metric_page *page)
{
    char labels[LABEL_BYTES_MAX];
    cellar_metric_begin(page, CELLAR_METRIC_COUNTER, "cellar_session_errors_total",
                        "Native connections that were ended for breaking a rule, by code.");
    for (size_t code = 1; code < CELLAR_STATUS_COUNT; code++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += cellar_counter_get(&measures[i].session_errors[code]);
        }
        if (sum > 0 || code == CELLAR_INVALID_ARGUMENT) {
            (void)snprintf(labels, sizeof labels, "code=\"%s\"",
                           cellar_status_text((enum cellar_status)code));
            cellar_metric_put(page, labels, sum);
        }
    }
    CELLAR_ASSERT(page->name != NULL);
}

static void show_latencies(const struct net_measures *measures, size_t count,
                           const char *const *names, size_t name_count,
                           struct cellar_metric_page *page)
{
    char labels[LABEL_BYTES_MAX];
    cellar_metric_begin(page, CELLAR_METRIC_HISTOGRAM, "cellar_request_duration_seconds",
                        "Time from a request's arrival to its last answer, by operation.");
    for (size_t index = 0; index < name_count; index++) {
        struct cellar_histogram_sum sum = {.count = 0};
        for (size_t i = 0; i < count; i++) {
            cellar_histogram_collect(&measures[i].latencies[index], &sum);
        }
        (void)snprintf(labels, sizeof labels, "operation=\"%s\"", names[index]);
        cellar_metric_put_histogram(page, labels, &sum);
    }
    CELLAR_ASSERT(page->type == CELLAR_METRIC_HISTOGRAM);
}

void net_measures_show(const struct net_measures *measures, size_t count, const char *const *names,
                       size_t name_count, struct cellar_metric_page *page)
{
    CELLAR_ASSERT(name_count <= NET_OPERATION_COUNT_MAX);
    cellar_metric_begin(page, CELLAR_METRIC_COUNTER, "cellar_requests_total",
                        "Requests of the native protocol, by operation and answer.");
    for (size_t index = 0; index < name_count; index++) {
        show_outcomes(measures, count, index, names[index], page);
    }
    show_outcomes(measures, count, NET_OPERATION_OTHER, "other", page);
    cellar_metric_gauge(page, "cellar_requests_in_flight",
                        "Requests of the native protocol that are not answered yet.",
                        running_count(measures, count));
    cellar_metric_counter(page, "cellar_cold_reads_total",
                          "Steps of reads that ran on the read pool: they might wait for the disk.",
                          away_sum(measures, count));
    show_session_errors(measures, count, page);
    show_latencies(measures, count, names, name_count, page);
}
