/*
 * metric: which bucket a time falls into, what several threads' counts add up to, and every line
 * of a page, which Prometheus must be able to read.
 */
#include <string.h>

#include "common/mem.h"
#include "common/metric.h"
#include "tests/support/support.h"

static void a_time_falls_into_the_first_bucket_that_is_not_below_it(void **state)
{
    (void)state;
    uint64_t below_us = 0;
    for (size_t i = 0; i < CELLAR_HISTOGRAM_BOUND_COUNT; i++) {
        uint64_t bound_us = cellar_histogram_bound_us(i);
        assert_true(bound_us > below_us);
        assert_int_equal(cellar_histogram_index(bound_us), i);
        assert_int_equal(cellar_histogram_index(below_us + 1), i);
        below_us = bound_us;
    }
    assert_int_equal(below_us, 16777216);
    assert_int_equal(cellar_histogram_index(0), 0);
    assert_int_equal(cellar_histogram_index(below_us + 1), CELLAR_HISTOGRAM_BOUND_COUNT);
    assert_int_equal(cellar_histogram_index(UINT64_MAX), CELLAR_HISTOGRAM_BOUND_COUNT);
}

static void histograms_of_several_threads_are_summed(void **state)
{
    (void)state;
    struct cellar_histogram one = {0};
    struct cellar_histogram two = {0};
    struct cellar_histogram_sum sum = {0};
    cellar_histogram_add(&one, 5);
    cellar_histogram_add(&one, -3);
    cellar_histogram_add(&two, 6);
    cellar_histogram_add(&two, INT64_C(20000000));
    cellar_histogram_collect(&one, &sum);
    cellar_histogram_collect(&two, &sum);
    assert_int_equal(sum.count, 4);
    assert_int_equal(sum.sum_us, 20000011);
    assert_int_equal(sum.buckets[0], 1);
    assert_int_equal(sum.buckets[4], 2);
    assert_int_equal(sum.buckets[CELLAR_HISTOGRAM_BOUND_COUNT], 1);
}

static void counters_only_grow(void **state)
{
    (void)state;
    struct cellar_counter counter = {0};
    cellar_counter_add(&counter, 3);
    cellar_counter_add_shared(&counter, 4);
    assert_int_equal(cellar_counter_get(&counter), 7);
}

static void a_page_has_help_type_and_samples_of_each_metric(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    struct cellar_metric_page page = {.to = &text};
    cellar_metric_counter(&page, "a_total", "All a.", 7);
    cellar_metric_begin(&page, CELLAR_METRIC_GAUGE, "b_seconds", "Times.");
    cellar_metric_put_us(&page, "kind=\"x\"", 1000002);
    cellar_metric_put_us(&page, "kind=\"y\"", 20);
    cellar_metric_begin(&page, CELLAR_METRIC_GAUGE, "c", "Things.");
    cellar_metric_put(&page, "kind=\"x\",code=\"OK\"", UINT64_MAX);
    cellar_metric_gauge(&page, "d_bytes", "Bytes.", 0);
    assert_int_equal(page.status, CELLAR_OK);
    static const char expected[] =
        "# HELP a_total All a.\n# TYPE a_total counter\na_total 7\n"
        "# HELP b_seconds Times.\n# TYPE b_seconds gauge\n"
        "b_seconds{kind=\"x\"} 1.000002\nb_seconds{kind=\"y\"} 0.000020\n"
        "# HELP c Things.\n# TYPE c gauge\n"
        "c{kind=\"x\",code=\"OK\"} 18446744073709551615\n"
        "# HELP d_bytes Bytes.\n# TYPE d_bytes gauge\nd_bytes 0\n";
    assert_int_equal(text.bytes, sizeof expected - 1);
    assert_memory_equal(text.data, expected, sizeof expected - 1);
    cellar_buffer_fini(&text);
}

/* Whether the page has that line. */
static bool has_line(const struct cellar_buffer *text, const char *line)
{
    return memmem(text->data, text->bytes, line, strlen(line)) != NULL;
}

static void a_histogram_has_cumulative_buckets_sum_and_count(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    struct cellar_metric_page page = {.to = &text};
    struct cellar_histogram histogram = {0};
    struct cellar_histogram_sum sum = {0};
    cellar_histogram_add(&histogram, 1);
    cellar_histogram_add(&histogram, 3);
    cellar_histogram_add(&histogram, INT64_C(100000000));
    cellar_histogram_collect(&histogram, &sum);
    cellar_metric_begin(&page, CELLAR_METRIC_HISTOGRAM, "t_seconds", "Times.");
    cellar_metric_put_histogram(&page, "", &sum);
    cellar_metric_put_histogram(&page, "op=\"GET\"", &sum);
    assert_int_equal(page.status, CELLAR_OK);
    assert_true(has_line(&text, "\n# TYPE t_seconds histogram\n"
                                "t_seconds_bucket{le=\"0.000001\"} 1\n"
                                "t_seconds_bucket{le=\"0.000002\"} 1\n"
                                "t_seconds_bucket{le=\"0.000003\"} 2\n"));
    assert_true(has_line(&text, "\nt_seconds_bucket{le=\"16.777216\"} 2\n"
                                "t_seconds_bucket{le=\"+Inf\"} 3\n"
                                "t_seconds_sum 100.000004\nt_seconds_count 3\n"
                                "t_seconds_bucket{op=\"GET\",le=\"0.000001\"} 1\n"));
    assert_true(has_line(&text, "\nt_seconds_bucket{op=\"GET\",le=\"+Inf\"} 3\n"
                                "t_seconds_sum{op=\"GET\"} 100.000004\n"
                                "t_seconds_count{op=\"GET\"} 3\n"));
    cellar_buffer_fini(&text);
}

static enum cellar_status make_page(void *context)
{
    struct cellar_buffer text = {0};
    struct cellar_metric_page page = {.to = &text};
    struct cellar_histogram_sum sum = {0};
    (void)context;
    cellar_metric_counter(&page, "a_total", "All a.", 7);
    cellar_metric_begin(&page, CELLAR_METRIC_HISTOGRAM, "t_seconds", "Times.");
    cellar_metric_put_histogram(&page, "", &sum);
    cellar_metric_gauge(&page, "b", "All b.", 7);
    cellar_buffer_fini(&text);
    return page.status;
}

static void a_page_without_memory_says_so_at_its_end(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(make_page, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_falls_into_the_first_bucket_that_is_not_below_it),
        cmocka_unit_test(histograms_of_several_threads_are_summed),
        cmocka_unit_test(counters_only_grow),
        cmocka_unit_test(a_page_has_help_type_and_samples_of_each_metric),
        cmocka_unit_test(a_histogram_has_cumulative_buckets_sum_and_count),
        cmocka_unit_test(a_page_without_memory_says_so_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
