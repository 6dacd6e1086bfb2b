/*
 * site: what monitoring hears while the data is being recovered, and of a loop that stands still.
 * What a serving server says is tested with a whole one, in system/web_test.py.
 */
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "server/app/site.h"
#include "tests/support/support.h"

struct fixture {
    struct io_loop *loops[2];
    struct io_pool *pool;
    struct io_budget budgets[2];
    struct net_measures measures[2];
    struct net_context native;
    struct cellar_site site;
    struct web_site pages;
};

static void fixture_open(struct fixture *fixture)
{
    struct cellar_error error;
    memset(fixture, 0, sizeof *fixture);
    cellar_clock_fake_set(INT64_C(1700000000000000), 1000000);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(io_loop_new(&fixture->loops[i], &error), CELLAR_OK);
        io_budget_init(&fixture->budgets[i], UINT64_C(16) << 20);
    }
    assert_int_equal(io_pool_start(1, 16, &fixture->pool, &error), CELLAR_OK);
    const struct net_front_options options = {.pool = fixture->pool,
                                              .read_pool = fixture->pool,
                                              .request_budget = &fixture->budgets[0],
                                              .file_budget = &fixture->budgets[0],
                                              .version = "9.9.9",
                                              .data_dir = "/nowhere",
                                              .loops = fixture->loops,
                                              .measures = fixture->measures,
                                              .loop_count = 2};
    net_front_init(&fixture->native, &options);
    fixture->site = (struct cellar_site){.loops = fixture->loops,
                                         .loop_count = 2,
                                         .request_budget = &fixture->budgets[0],
                                         .file_budget = &fixture->budgets[0],
                                         .answer_budget = &fixture->budgets[1],
                                         .native = &fixture->native,
                                         .version = "9.9.9",
                                         .memory_bytes_max = 1000,
                                         .connection_count_max = 7,
                                         .start_real_us = INT64_C(1700000000000000)};
    fixture->pages = cellar_site_pages(&fixture->site);
}

static void fixture_close(struct fixture *fixture)
{
    io_pool_stop(fixture->pool);
    io_pool_free(fixture->pool);
    io_loop_free(fixture->loops[0]);
    io_loop_free(fixture->loops[1]);
    cellar_clock_fake_off();
}

static void a_server_that_starts_is_healthy_but_not_ready(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cellar_error error;
    fixture_open(&fixture);
    assert_int_equal(fixture.pages.health(&fixture.site, &error), CELLAR_OK);
    assert_int_equal(fixture.pages.readiness(&fixture.site, &error), CELLAR_UNAVAILABLE);
    assert_non_null(strstr(error.text, "starting"));
    atomic_store(&fixture.site.phase, CELLAR_SERVER_STOPPING);
    assert_int_equal(fixture.pages.readiness(&fixture.site, &error), CELLAR_UNAVAILABLE);
    assert_non_null(strstr(error.text, "stopping"));
    fixture_close(&fixture);
}

static void a_loop_that_stands_still_is_named(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cellar_error error;
    fixture_open(&fixture);
    cellar_clock_fake_step(29000000);
    io_loop_turn(fixture.loops[0], false);
    assert_int_equal(fixture.pages.health(&fixture.site, &error), CELLAR_OK);
    cellar_clock_fake_step(2000000);
    assert_int_equal(cellar_site_check_loops(&fixture.site, &error), CELLAR_UNAVAILABLE);
    assert_string_equal(error.text, "loop 2 of 2 has not turned for 31 seconds");
    assert_int_equal(fixture.pages.health(&fixture.site, &error), CELLAR_UNAVAILABLE);
    io_loop_turn(fixture.loops[1], false);
    assert_int_equal(cellar_site_check_loops(&fixture.site, &error), CELLAR_OK);
    fixture_close(&fixture);
}

static bool has(const struct cellar_buffer *text, const char *line)
{
    return memmem(text->data, text->bytes, line, strlen(line)) != NULL;
}

static void metrics_are_there_before_the_data_is(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cellar_buffer text = {0};
    struct cellar_metric_page page = {.to = &text};
    fixture_open(&fixture);
    fixture.pages.metrics(&fixture.site, &page);
    assert_int_equal(page.status, CELLAR_OK);
    assert_true(has(&text, "\ncellar_ready 0\n"));
    assert_true(has(&text, "\ncellar_healthy 1\n"));
    assert_true(has(&text, "\ncellar_connections_max 7\n"));
    assert_true(has(&text, "cellar_build_info{version=\"9.9.9\","));
    assert_true(has(&text, "\nprocess_start_time_seconds 1700000000.000000\n"));
    assert_false(has(&text, "cellar_log_"));
    cellar_buffer_fini(&text);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_starts_is_healthy_but_not_ready),
        cmocka_unit_test(a_loop_that_stands_still_is_named),
        cmocka_unit_test(metrics_are_there_before_the_data_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
