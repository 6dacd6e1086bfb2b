/*
 * A log-linear histogram.
 *
 * Values below 128 have a bucket each. Above that every power of two is cut into 128 buckets of one
 * width, so that a bucket is never wider than 1/128 of the values in it:
 *
 *     value    0 .. 127 | 128 .. 255 | 256 .. 511 | 512 .. 1023 | ...
 *     width        1    |     1      |     2      |      4      | ...
 *     bucket   0 .. 127 | 128 .. 255 | 256 .. 383 | 384 .. 511  | ...
 *
 * A quantile is the upper end of the bucket in which the rank lies, cut at the largest value seen,
 * so it errs to the slow side only. Adding is a few instructions and never allocates. Pure.
 */

#include "client/tools/bench_histogram.h"

#define SUB_BITS 7u
#define SUB_COUNT (1u << SUB_BITS)

static_assert(CELLAR_BENCH_BUCKET_COUNT == (64u - SUB_BITS + 1) * SUB_COUNT, "room for 64 bits");

/* The bucket of a value. */
static uint32_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT) {
        return (uint32_t)value;
    }
    uint32_t exponent = 63u - (uint32_t)__builtin_clzll(value) - SUB_BITS;
    uint32_t bucket = exponent * SUB_COUNT + (uint32_t)(value >> exponent);
    CELLAR_ASSERT(bucket < CELLAR_BENCH_BUCKET_COUNT);
    return bucket;
}

/* The largest value of a bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
    CELLAR_ASSERT(bucket < CELLAR_BENCH_BUCKET_COUNT);
    if (bucket < 2 * SUB_COUNT) {
        return bucket;
    }
    uint32_t exponent = bucket / SUB_COUNT - 1;
    uint64_t first = SUB_COUNT + bucket % SUB_COUNT;
    return (first << exponent) + ((UINT64_C(1) << exponent) - 1);
}

void cellar_bench_histogram_add(struct cellar_bench_histogram *histogram, uint64_t value)
{
    histogram->counts[bucket_of(value)]++;
    histogram->count++;
    histogram->max = CELLAR_MAX(histogram->max, value);
    CELLAR_ASSERT(histogram->count > 0);
}

uint64_t cellar_bench_histogram_quantile(const struct cellar_bench_histogram *histogram,
                                         double fraction)
{
    CELLAR_ASSERT(fraction >= 0 && fraction <= 1);
    double wanted = fraction * (double)histogram->count;
    uint64_t seen = 0;
    if (histogram->count == 0) {
        return 0;
    }
    for (uint32_t bucket = 0; bucket < CELLAR_BENCH_BUCKET_COUNT; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > 0 && (double)seen >= wanted) {
            return CELLAR_MIN(bucket_end(bucket), histogram->max);
        }
    }
    return histogram->max;
}
