/*
 * Random numbers of the benchmark.
 *
 * splitmix64 steps a counter and mixes it; the mixing alone is a permutation of 64-bit numbers with
 * a known inverse. Row keys are made with it: a key's number leads back to its record without a
 * table.
 *
 * Zipf's law as YCSB draws it: J. Gray et al., "Quickly generating billion-record synthetic
 * databases", SIGMOD 1994, section 3.2. Ranks 0 and 1 are exact, the others follow a continuous
 * approximation. The sum zeta is kept, so that a distribution can grow with its table. Pure.
 */

#include "client/tools/bench_random.h"

#include <math.h>

#define STEP UINT64_C(0x9E3779B97F4A7C15)
#define FACTOR_1 UINT64_C(0xBF58476D1CE4E5B9)
#define FACTOR_2 UINT64_C(0x94D049BB133111EB)
/* Their inverses modulo 2^64. */
#define INVERSE_1 UINT64_C(0x96DE1B173F119089)
#define INVERSE_2 UINT64_C(0x319642B2D24D8EC3)

static_assert(FACTOR_1 * INVERSE_1 == 1 && FACTOR_2 * INVERSE_2 == 1, "inverses");

uint64_t cellar_bench_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * FACTOR_1;
    value = (value ^ (value >> 27)) * FACTOR_2;
    return value ^ (value >> 31);
}

uint64_t cellar_bench_unmix(uint64_t mixed)
{
    /* x ^ (x >> n) is undone by shifting in what is already undone until nothing is left. */
    mixed ^= (mixed >> 31) ^ (mixed >> 62);
    mixed *= INVERSE_2;
    mixed ^= (mixed >> 27) ^ (mixed >> 54);
    mixed *= INVERSE_1;
    return mixed ^ (mixed >> 30) ^ (mixed >> 60);
}

uint64_t cellar_bench_random_next(struct cellar_bench_random *random)
{
    CELLAR_ASSERT(random != NULL);
    random->state += STEP;
    return cellar_bench_mix(random->state);
}

uint64_t cellar_bench_random_below(struct cellar_bench_random *random, uint64_t bound)
{
    CELLAR_ASSERT(bound > 0);
    /* The high half of the product: no division, and a bias of at most bound / 2^64. */
    return (uint64_t)(((unsigned __int128)cellar_bench_random_next(random) * bound) >> 64);
}

double cellar_bench_random_real(struct cellar_bench_random *random)
{
    double real = (double)(cellar_bench_random_next(random) >> 11) * 0x1p-53;
    CELLAR_ASSERT(real >= 0 && real < 1);
    return real;
}

void cellar_bench_zipf_init(struct cellar_bench_zipf *zipf, uint64_t count, double theta)
{
    CELLAR_ASSERT(count > 0);
    CELLAR_ASSERT(theta > 0 && theta < 1);
    *zipf = (struct cellar_bench_zipf){.theta = theta, .alpha = 1 / (1 - theta)};
    cellar_bench_zipf_grow(zipf, count);
}

void cellar_bench_zipf_grow(struct cellar_bench_zipf *zipf, uint64_t count)
{
    CELLAR_ASSERT(count >= zipf->count);
    for (uint64_t rank = zipf->count; rank < count; rank++) {
        zipf->zeta += pow((double)(rank + 1), -zipf->theta);
    }
    zipf->count = count;
    double zeta_2 = 1 + pow(2, -zipf->theta);
    zipf->eta =
        count <= 2 ? 1 : (1 - pow(2 / (double)count, 1 - zipf->theta)) / (1 - zeta_2 / zipf->zeta);
}

uint64_t cellar_bench_zipf_next(const struct cellar_bench_zipf *zipf,
                                struct cellar_bench_random *random)
{
    CELLAR_ASSERT(zipf->count > 0);
    double real = cellar_bench_random_real(random);
    double scaled = real * zipf->zeta;
    if (scaled < 1 || zipf->count == 1) {
        return 0;
    }
    if (scaled < 1 + pow(0.5, zipf->theta) || zipf->count == 2) {
        return 1;
    }
    uint64_t rank =
        (uint64_t)((double)zipf->count * pow(zipf->eta * real - zipf->eta + 1, zipf->alpha));
    return CELLAR_MIN(rank, zipf->count - 1);
}
