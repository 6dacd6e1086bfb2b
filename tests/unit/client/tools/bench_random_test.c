/*
 * The benchmark's random numbers: repeatable, within bounds, undone by the inverse, and shaped by
 * Zipf's law.
 */
#include "client/tools/bench_random.h"

#include <math.h>
#include <stdlib.h>

#include "tests/support/support.h"

#define DRAW_COUNT 400000u
#define RANK_COUNT 1000u

static void one_seed_gives_one_sequence(void **state)
{
    struct cellar_bench_random first = {7};
    struct cellar_bench_random second = {7};
    struct cellar_bench_random other = {8};
    bool is_different = false;
    (void)state;
    for (int index = 0; index < 1000; index++) {
        uint64_t value = cellar_bench_random_next(&first);
        assert_int_equal(value, cellar_bench_random_next(&second));
        is_different = is_different || value != cellar_bench_random_next(&other);
    }
    assert_true(is_different);
}

static void mixing_is_undone(void **state)
{
    struct test_random random = {test_seed("mix")};
    (void)state;
    for (uint64_t value = 0; value < 1000; value++) {
        assert_int_equal(cellar_bench_unmix(cellar_bench_mix(value)), value);
        uint64_t large = test_random_next(&random);
        assert_true(cellar_bench_unmix(cellar_bench_mix(large)) == large);
        assert_true(cellar_bench_mix(cellar_bench_unmix(large)) == large);
    }
}

static void numbers_below_a_bound_are_even(void **state)
{
    struct cellar_bench_random random = {3};
    uint32_t counts[10] = {0};
    (void)state;
    for (uint32_t index = 0; index < 100000; index++) {
        uint64_t number = cellar_bench_random_below(&random, 10);
        assert_true(number < 10);
        counts[number]++;
    }
    for (uint32_t index = 0; index < 10; index++) {
        assert_in_range(counts[index], 9500, 10500);
    }
}

/* Draws many ranks and compares the frequent ones with 1 / (k + 1)^theta / zeta. */
static void shape_check(struct cellar_bench_zipf *zipf)
{
    struct cellar_bench_random random = {11};
    uint32_t *counts = calloc(RANK_COUNT, sizeof *counts);
    double zeta = 0;
    assert_non_null(counts);
    for (uint32_t rank = 0; rank < RANK_COUNT; rank++) {
        zeta += pow(rank + 1, -zipf->theta);
    }
    for (uint32_t index = 0; index < DRAW_COUNT; index++) {
        uint64_t rank = cellar_bench_zipf_next(zipf, &random);
        assert_true(rank < RANK_COUNT);
        counts[rank]++;
    }
    /* Ranks 0 and 1 are exact; the rest is an approximation, which is off by a tenth or so. */
    for (uint32_t rank = 0; rank < 20; rank++) {
        double wanted = DRAW_COUNT * pow(rank + 1, -zipf->theta) / zeta;
        double off = fabs(counts[rank] / wanted - 1);
        assert_true(off < (rank < 2 ? 0.03 : 0.25));
    }
    uint32_t upper_half = 0;
    for (uint32_t rank = RANK_COUNT / 2; rank < RANK_COUNT; rank++) {
        upper_half += counts[rank];
    }
    assert_in_range(upper_half, DRAW_COUNT * 7 / 100, DRAW_COUNT * 12 / 100);
    free(counts);
}

static void ranks_follow_zipf(void **state)
{
    struct cellar_bench_zipf zipf;
    (void)state;
    cellar_bench_zipf_init(&zipf, RANK_COUNT, 0.99);
    shape_check(&zipf);
}

static void a_distribution_that_grew_is_the_one_of_its_size(void **state)
{
    struct cellar_bench_zipf whole;
    struct cellar_bench_zipf grown;
    (void)state;
    cellar_bench_zipf_init(&whole, RANK_COUNT, 0.99);
    cellar_bench_zipf_init(&grown, 1, 0.99);
    for (uint64_t count = 2; count <= RANK_COUNT; count++) {
        cellar_bench_zipf_grow(&grown, count);
    }
    assert_true(fabs(whole.zeta - grown.zeta) < 1e-9 && fabs(whole.eta - grown.eta) < 1e-9);
    shape_check(&grown);
}

static void few_ranks_stay_within_their_count(void **state)
{
    struct cellar_bench_random random = {5};
    (void)state;
    for (uint64_t count = 1; count <= 4; count++) {
        struct cellar_bench_zipf zipf;
        uint32_t counts[4] = {0};
        cellar_bench_zipf_init(&zipf, count, 0.99);
        for (int index = 0; index < 10000; index++) {
            uint64_t rank = cellar_bench_zipf_next(&zipf, &random);
            assert_true(rank < count);
            counts[rank]++;
        }
        for (uint64_t rank = 0; rank < count; rank++) {
            assert_true(counts[rank] > 500);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_gives_one_sequence),
        cmocka_unit_test(mixing_is_undone),
        cmocka_unit_test(numbers_below_a_bound_are_even),
        cmocka_unit_test(ranks_follow_zipf),
        cmocka_unit_test(a_distribution_that_grew_is_the_one_of_its_size),
        cmocka_unit_test(few_ranks_stay_within_their_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
