#ifndef CELLAR_TOOLS_BENCH_RANDOM_H
#define CELLAR_TOOLS_BENCH_RANDOM_H

#include "common/base.h"

/* The benchmark's random numbers: repeatable from a seed, uniform or by Zipf's law. */

/** A generator (splitmix64); starts as {seed}. */
struct cellar_bench_random {
    uint64_t state;
};

/** The next 64 random bits. */
uint64_t cellar_bench_random_next(struct cellar_bench_random *random);

/** A number in [0, bound); `bound` > 0. */
uint64_t cellar_bench_random_below(struct cellar_bench_random *random, uint64_t bound);

/** A number in [0, 1). */
double cellar_bench_random_real(struct cellar_bench_random *random);

/** Mixes 64 bits: one to one, so that cellar_bench_unmix() undoes it. */
uint64_t cellar_bench_mix(uint64_t value);

/** The value that cellar_bench_mix() made `mixed` of. */
uint64_t cellar_bench_unmix(uint64_t mixed);

/** Ranks 0..count-1 of which rank k comes with a probability proportional to 1/(k+1)^theta. */
struct cellar_bench_zipf {
    uint64_t count;
    double theta;
    double zeta; /* the sum of 1/k^theta for k = 1..count */
    double alpha;
    double eta;
};

/**
 * Prepares a distribution; takes time in proportion to `count`.
 *
 * @param count  > 0
 * @param theta  0 < theta < 1; YCSB's is 0.99
 */
void cellar_bench_zipf_init(struct cellar_bench_zipf *zipf, uint64_t count, double theta);

/** Makes it a distribution over `count` >= its present count; takes time for the new ones only. */
void cellar_bench_zipf_grow(struct cellar_bench_zipf *zipf, uint64_t count);

/** The next rank, in [0, count). */
uint64_t cellar_bench_zipf_next(const struct cellar_bench_zipf *zipf,
                                struct cellar_bench_random *random);

#endif
