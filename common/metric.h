#ifndef CELLAR_COMMON_METRIC_H
#define CELLAR_COMMON_METRIC_H

#include <stdatomic.h>

#include "common/buf.h"

/*
 * Counters and histograms that cost a few instructions where something happens, and the page that
 * shows them to Prometheus (text format 0.0.4). A counter lives in the structure of the thread that
 * counts; who makes the page sums what the threads have counted.
 */

/** A number that only grows; zero-initialised. */
struct cellar_counter {
    _Atomic uint64_t value;
};

/** Adds to a counter that one thread at a time adds to: no locked instruction. */
static inline void cellar_counter_add(struct cellar_counter *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);
    atomic_store_explicit(&counter->value, value + amount, memory_order_relaxed);
}

/** Adds to a counter that several threads add to. */
static inline void cellar_counter_add_shared(struct cellar_counter *counter, uint64_t amount)
{
    (void)atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

/** What was counted so far. Any thread. */
static inline uint64_t cellar_counter_get(const struct cellar_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* Bounds of 1, 2, 3, 4, 6, 8, 12, ... 2^24 microseconds: two a power of two, to 16.8 s. */
#define CELLAR_HISTOGRAM_BOUND_COUNT 48u

/** How long things took, in buckets; the last one has what is above all bounds. Zero-initialised.
 * One thread at a time adds. */
struct cellar_histogram {
    struct cellar_counter buckets[CELLAR_HISTOGRAM_BOUND_COUNT + 1];
    struct cellar_counter sum_us;
};

/** The bucket of a time: the first one whose bound is not below it. */
static inline size_t cellar_histogram_index(uint64_t us)
{
    uint64_t below = us > 1 ? us - 1 : 0;
    if (below < 2) {
        return (size_t)below;
    }
    unsigned power = 63u - (unsigned)__builtin_clzll(below);
    size_t index = 2u * power + ((below >> (power - 1)) & 1);
    return CELLAR_MIN(index, (size_t)CELLAR_HISTOGRAM_BOUND_COUNT);
}

/** Counts one time; a negative one, from clocks read in two threads, counts as 0. */
static inline void cellar_histogram_add(struct cellar_histogram *histogram, int64_t us)
{
    uint64_t time_us = us > 0 ? (uint64_t)us : 0;
    cellar_counter_add(&histogram->buckets[cellar_histogram_index(time_us)], 1);
    cellar_counter_add(&histogram->sum_us, time_us);
}

/** The bound of a bucket, microseconds. @param index  below CELLAR_HISTOGRAM_BOUND_COUNT */
uint64_t cellar_histogram_bound_us(size_t index);

/** Histograms summed at one moment; zero-initialised is empty. */
struct cellar_histogram_sum {
    uint64_t buckets[CELLAR_HISTOGRAM_BOUND_COUNT + 1];
    uint64_t count; /* of all buckets */
    uint64_t sum_us;
};

/** Adds what a histogram has counted so far. Any thread. */
void cellar_histogram_collect(const struct cellar_histogram *histogram,
                              struct cellar_histogram_sum *sum);

enum cellar_metric_type { CELLAR_METRIC_COUNTER, CELLAR_METRIC_GAUGE, CELLAR_METRIC_HISTOGRAM };

/** A page in the making. After the first failure, CELLAR_NO_MEMORY, further calls do nothing; look
 * at `status` once, at the end. */
struct cellar_metric_page {
    struct cellar_buffer *to;
    const char *name; /* of the metric that samples belong to now */
    enum cellar_metric_type type;
    enum cellar_status status;
};

/** Begins a metric; its samples follow.
 *
 * @param name  lower_case words, unit behind them, counters end in `_total`; static; once a page
 * @param help  one sentence without backslash and newline
 */
void cellar_metric_begin(struct cellar_metric_page *page, enum cellar_metric_type type,
                         const char *name, const char *help);

/** A sample of the current counter or gauge.
 *
 * @param labels  `name="value"` pairs with commas between them, or ""; values need no escapes
 */
void cellar_metric_put(struct cellar_metric_page *page, const char *labels, uint64_t value);

/** A sample in seconds, with all digits of the microseconds. */
void cellar_metric_put_us(struct cellar_metric_page *page, const char *labels, uint64_t us);

/** All samples of one histogram of the current metric: buckets, sum, count; in seconds. */
void cellar_metric_put_histogram(struct cellar_metric_page *page, const char *labels,
                                 const struct cellar_histogram_sum *sum);

/** A whole metric of one sample without labels. */
void cellar_metric_counter(struct cellar_metric_page *page, const char *name, const char *help,
                           uint64_t value);

/** Likewise for what goes up and down. */
void cellar_metric_gauge(struct cellar_metric_page *page, const char *name, const char *help,
                         uint64_t value);

#endif
