/*
 * Counting connections and bytes.
 *
 * A connection is counted under NEW when it is accepted and moves to its protocol when that is
 * known, so the open ones of a protocol are those that began less those that ended. Both numbers
 * belong to the loop that owns the connection; the refusals of the listener to its loop.
 *
 * A peer that is refused may come back at once, for ever; so that it cannot fill the disk with log
 * lines, a reason is logged once a second with the number of refusals since the line before.
 */
#include "server/io/traffic.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"

#define LOG_PAUSE_US 1000000
#define LABEL_BYTES_MAX 64u

static const char *const protocol_texts[] = {
    [IO_PROTOCOL_NEW] = "new",
    [IO_PROTOCOL_NATIVE] = "native",
    [IO_PROTOCOL_HTTP] = "http",
};

static const char *const refusal_texts[] = {
    [IO_REFUSED_LIMIT] = "connections_max", [IO_REFUSED_HTTP_LIMIT] = "http_connections_max",
    [IO_REFUSED_NO_MEMORY] = "no_memory",   [IO_REFUSED_NO_DESCRIPTORS] = "no_descriptors",
    [IO_REFUSED_SILENT] = "silent",         [IO_REFUSED_TLS] = "tls",
    [IO_REFUSED_HTTP2] = "http2",           [IO_REFUSED_UNKNOWN] = "unknown_protocol",
};

static_assert(sizeof(struct cellar_counter) == sizeof(uint64_t), "counters are an array");
static_assert(CELLAR_ARRAY_COUNT(protocol_texts) == IO_PROTOCOL_COUNT, "a text a protocol");
static_assert(CELLAR_ARRAY_COUNT(refusal_texts) == IO_REFUSAL_COUNT, "a text a reason");

void io_traffic_refuse(struct io_traffic *traffic, enum io_refusal reason)
{
    CELLAR_ASSERT((size_t)reason < IO_REFUSAL_COUNT);
    int64_t now_us = cellar_clock_monotonic_us();
    cellar_counter_add(&traffic->refused[reason], 1);
    traffic->unlogged[reason]++;
    bool is_first = traffic->logged_us[reason] == 0;
    if (!is_first && now_us - traffic->logged_us[reason] < LOG_PAUSE_US) {
        return;
    }
    cellar_log(CELLAR_LOG_WARN, "connection_refused", "reason=%s count=%" PRIu64,
               refusal_texts[reason], traffic->unlogged[reason]);
    traffic->logged_us[reason] = now_us;
    traffic->unlogged[reason] = 0;
}

/* One counter, at the same place in each structure, summed. */
static uint64_t sum(const struct io_traffic *const *traffics, size_t count, size_t offset)
{
    uint64_t total = 0;
    CELLAR_ASSERT(offset < sizeof(struct io_traffic));
    for (size_t i = 0; i < count; i++) {
        const void *at = (const char *)traffics[i] + offset;
        total += cellar_counter_get((const struct cellar_counter *)at);
    }
    return total;
}

static void show_connections(const struct io_traffic *const *traffics, size_t count,
                             struct cellar_metric_page *page)
{
    char labels[LABEL_BYTES_MAX];
    uint64_t begun[IO_PROTOCOL_COUNT];
    uint64_t open[IO_PROTOCOL_COUNT];
    for (size_t i = 0; i < IO_PROTOCOL_COUNT; i++) {
        /* Ends first: a connection that ends meanwhile is then shown as open, not as minus one. */
        uint64_t ended =
            sum(traffics, count, offsetof(struct io_traffic, ended) + i * sizeof(uint64_t));
        begun[i] = sum(traffics, count, offsetof(struct io_traffic, begun) + i * sizeof(uint64_t));
        open[i] = begun[i] > ended ? begun[i] - ended : 0;
    }
    cellar_metric_counter(page, "cellar_connections_accepted_total",
                          "Connections that were accepted.", begun[IO_PROTOCOL_NEW]);
    cellar_metric_begin(page, CELLAR_METRIC_COUNTER, "cellar_connections_served_total",
                        "Connections that told a protocol that is served.");
    for (size_t i = IO_PROTOCOL_NATIVE; i < IO_PROTOCOL_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "protocol=\"%s\"", protocol_texts[i]);
        cellar_metric_put(page, labels, begun[i]);
    }
    cellar_metric_begin(page, CELLAR_METRIC_GAUGE, "cellar_connections_open",
                        "Connections that are open now; new ones have not told their protocol.");
    for (size_t i = 0; i < IO_PROTOCOL_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "protocol=\"%s\"", protocol_texts[i]);
        cellar_metric_put(page, labels, open[i]);
    }
}

void io_traffic_show(const struct io_traffic *const *traffics, size_t count,
                     struct cellar_metric_page *page)
{
    char labels[LABEL_BYTES_MAX];
    CELLAR_ASSERT(traffics != NULL || count == 0);
    show_connections(traffics, count, page);
    cellar_metric_begin(page, CELLAR_METRIC_COUNTER, "cellar_connections_refused_total",
                        "Connections that were not served, by reason.");
    for (size_t i = 0; i < IO_REFUSAL_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"", refusal_texts[i]);
        cellar_metric_put(
            page, labels,
            sum(traffics, count, offsetof(struct io_traffic, refused) + i * sizeof(uint64_t)));
    }
    cellar_metric_counter(page, "cellar_network_received_bytes_total",
                          "Bytes received on all connections.",
                          sum(traffics, count, offsetof(struct io_traffic, received_bytes)));
    cellar_metric_counter(page, "cellar_network_sent_bytes_total", "Bytes sent on all connections.",
                          sum(traffics, count, offsetof(struct io_traffic, sent_bytes)));
}
