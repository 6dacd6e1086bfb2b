/*
 * The histogram against exact quantiles: of small values, of every power of two, and of random
 * values over nine orders of magnitude.
 */
#include "client/tools/bench_histogram.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#define VALUE_COUNT 20000u

static struct cellar_bench_histogram histogram;

static int start(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void an_empty_one_has_no_quantiles(void **state)
{
    (void)state;
    assert_int_equal(cellar_bench_histogram_quantile(&histogram, 0), 0);
    assert_int_equal(cellar_bench_histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(cellar_bench_histogram_quantile(&histogram, 1), 0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 200; value++) {
        cellar_bench_histogram_add(&histogram, value);
    }
    assert_int_equal(cellar_bench_histogram_quantile(&histogram, 0), 1);
    assert_int_equal(cellar_bench_histogram_quantile(&histogram, 0.01), 2);
    assert_int_equal(cellar_bench_histogram_quantile(&histogram, 0.5), 100);
    assert_int_equal(cellar_bench_histogram_quantile(&histogram, 0.99), 198);
    assert_int_equal(cellar_bench_histogram_quantile(&histogram, 1), 200);
}

static void every_power_of_two_has_its_bucket(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 64; bit++) {
        uint64_t value = UINT64_C(1) << bit;
        memset(&histogram, 0, sizeof histogram);
        cellar_bench_histogram_add(&histogram, value - 1);
        cellar_bench_histogram_add(&histogram, value);
        cellar_bench_histogram_add(&histogram, UINT64_MAX);
        assert_int_equal(histogram.max, UINT64_MAX);
        uint64_t low = cellar_bench_histogram_quantile(&histogram, 0);
        uint64_t middle = cellar_bench_histogram_quantile(&histogram, 0.5);
        assert_true(low >= value - 1 && low - (value - 1) <= (value - 1) / 128);
        assert_true(middle >= value && middle - value <= value / 128);
        assert_true(cellar_bench_histogram_quantile(&histogram, 1) == UINT64_MAX);
    }
}

static void quantiles_are_at_most_a_bucket_above_the_exact_ones(void **state)
{
    static const double fractions[] = {0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    struct test_random random = {test_seed("histogram")};
    uint64_t *values = malloc(VALUE_COUNT * sizeof *values);
    (void)state;
    assert_non_null(values);
    for (uint32_t index = 0; index < VALUE_COUNT; index++) {
        values[index] = test_random_next(&random) >> (34 + test_random_below(&random, 30));
        cellar_bench_histogram_add(&histogram, values[index]);
    }
    qsort(values, VALUE_COUNT, sizeof *values, compare);
    assert_int_equal(histogram.count, VALUE_COUNT);
    assert_int_equal(histogram.max, values[VALUE_COUNT - 1]);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(fractions); index++) {
        double rank = fractions[index] * VALUE_COUNT;
        uint32_t at = (uint32_t)rank;
        at = (double)at < rank ? at + 1 : at;
        uint64_t exact = values[at == 0 ? 0 : at - 1];
        uint64_t got = cellar_bench_histogram_quantile(&histogram, fractions[index]);
        assert_true(got >= exact);
        assert_true(got - exact <= exact / 128);
    }
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_one_has_no_quantiles, start),
        cmocka_unit_test_setup(small_values_are_exact, start),
        cmocka_unit_test_setup(every_power_of_two_has_its_bucket, start),
        cmocka_unit_test_setup(quantiles_are_at_most_a_bucket_above_the_exact_ones, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
