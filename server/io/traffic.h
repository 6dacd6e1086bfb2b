#ifndef CELLAR_IO_TRAFFIC_H
#define CELLAR_IO_TRAFFIC_H

#include "common/metric.h"

/*
 * What goes through a loop: connections and bytes, counted by the loop's thread and read by any.
 */

/** What a connection speaks, as far as it has told. */
enum io_protocol { IO_PROTOCOL_NEW, IO_PROTOCOL_NATIVE, IO_PROTOCOL_HTTP };

#define IO_PROTOCOL_COUNT 3u

/** Why a connection was not served. */
enum io_refusal {
    IO_REFUSED_LIMIT,      /* connections_max */
    IO_REFUSED_HTTP_LIMIT, /* as many HTTP connections as there may be */
    IO_REFUSED_NO_MEMORY,
    IO_REFUSED_NO_DESCRIPTORS,
    IO_REFUSED_SILENT, /* did not tell its protocol in time */
    IO_REFUSED_TLS,
    IO_REFUSED_HTTP2,
    IO_REFUSED_UNKNOWN /* speaks nothing that is known */
};

#define IO_REFUSAL_COUNT 8u

/** The counters of one loop; zero-initialised. */
struct io_traffic {
    struct cellar_counter received_bytes;
    struct cellar_counter sent_bytes;
    struct cellar_counter begun[IO_PROTOCOL_COUNT]; /* NEW: accepted */
    struct cellar_counter ended[IO_PROTOCOL_COUNT]; /* also by becoming another protocol */
    struct cellar_counter refused[IO_REFUSAL_COUNT];
    int64_t logged_us[IO_REFUSAL_COUNT]; /* when a refusal was last logged, */
    uint64_t unlogged[IO_REFUSAL_COUNT]; /* and how many came since */
};

/** Counts a refusal and logs it, at most once a second a reason. The counting thread. */
void io_traffic_refuse(struct io_traffic *traffic, enum io_refusal reason);

/** Shows the sums over `count` loops' counters. Any thread. */
void io_traffic_show(const struct io_traffic *const *traffics, size_t count,
                     struct cellar_metric_page *page);

#endif
