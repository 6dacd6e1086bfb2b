#ifndef CELLAR_TOOLS_BENCH_HISTOGRAM_H
#define CELLAR_TOOLS_BENCH_HISTOGRAM_H

#include "common/base.h"

/* Counts of latencies in log-linear buckets: any 64-bit value, to within 1/128 of it. */

#define CELLAR_BENCH_BUCKET_COUNT 7424u

/** Zero-initialised is empty. One thread at a time. */
struct cellar_bench_histogram {
    uint64_t counts[CELLAR_BENCH_BUCKET_COUNT];
    uint64_t count; /* of all values */
    uint64_t max;   /* the largest value, exact; 0 when there is none */
};

/** Counts a value. */
void cellar_bench_histogram_add(struct cellar_bench_histogram *histogram, uint64_t value);

/**
 * The smallest value that at least `fraction` of all values do not exceed.
 *
 * @param fraction  0..1; 0 asks for the smallest value, 1 for the largest
 * @return at most 1/128 above the exact quantile, never below it nor above `max`; 0 when empty
 */
uint64_t cellar_bench_histogram_quantile(const struct cellar_bench_histogram *histogram,
                                         double fraction);

#endif
