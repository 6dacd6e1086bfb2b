#ifndef CELLAR_NET_MEASURE_H
#define CELLAR_NET_MEASURE_H

#include "common/metric.h"

/*
 * What the native protocol's sessions count: requests by operation and outcome, and how long they
 * took. One structure a loop, whose thread counts; any thread reads.
 */

#define NET_OPERATION_COUNT_MAX 31u
/* The index of a request whose operation this server does not know. */
#define NET_OPERATION_OTHER NET_OPERATION_COUNT_MAX

/** The counters of one loop's sessions; zero-initialised. Operations are numbered by their place in
 * the front end's table. */
struct net_measures {
    struct cellar_counter begun;                               /* requests that began to run */
    struct cellar_counter steps_away;                          /* of reads, on the read pool */
    struct cellar_counter session_errors[CELLAR_STATUS_COUNT]; /* that ended a connection */
    struct cellar_counter outcomes[NET_OPERATION_COUNT_MAX + 1][CELLAR_STATUS_COUNT];
    struct cellar_histogram latencies[NET_OPERATION_COUNT_MAX];
    int64_t error_logged_us; /* when a session error was last logged, */
    uint64_t error_unlogged; /* and how many came since; the counting thread's */
    char apart[64];          /* from the next loop's */
};

/** Counts the end of a request that ran. @param index  below NET_OPERATION_COUNT_MAX */
static inline void net_measure_end(struct net_measures *measures, size_t index,
                                   enum cellar_status code, int64_t us)
{
    CELLAR_ASSERT(index < NET_OPERATION_COUNT_MAX);
    cellar_counter_add(&measures->outcomes[index][code], 1);
    cellar_histogram_add(&measures->latencies[index], us);
}

/** Shows the sums over `count` loops. Any thread. @param names  of the operations, by their index;
 * name_count of them */
void net_measures_show(const struct net_measures *measures, size_t count, const char *const *names,
                       size_t name_count, struct cellar_metric_page *page);

#endif
