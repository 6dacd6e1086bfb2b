/*
 * service_scrub, scrubber and scrub_pass: what is refused; a scrub of everything, of one table, and
 * of a damaged row, which is named while the others are read; cancelling, giving way, the interval,
 * the budget, and a stop in the middle.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/support/check_fixture.h"
#include "tests/support/model_service.h"

#define ROW_COUNT 300u
#define SLOW 4096u /* bytes a second: a pass takes many seconds */

/* A status and its memory. */
struct asked {
    struct svc_scrub_status status;
    struct cellar_arena arena;
    struct cellar_error error;
};

static enum cellar_status ask(struct svc *svc, enum svc_scrub_action action, const char *table,
                              uint64_t bytes_per_second, struct asked *asked)
{
    const struct svc_scrub_request scrub = {
        .action = action,
        .table = cellar_slice_text(table),
        .bytes_per_second = bytes_per_second,
    };
    memset(asked, 0, sizeof *asked);
    return svc_scrub(svc, NULL, &scrub, &asked->arena, &asked->status, &asked->error);
}

static uint64_t pass_start(struct svc *svc, const char *table, uint64_t bytes_per_second)
{
    struct asked asked;
    assert_int_equal(ask(svc, SVC_SCRUB_START, table, bytes_per_second, &asked), CELLAR_OK);
    assert_int_not_equal(asked.status.state, SVC_SCRUB_NONE); /* it may be over already */
    cellar_arena_fini(&asked.arena);
    return asked.status.pass;
}

/* Until a pass is over, or has met so many items. */
static void pass_wait(struct svc *svc, uint64_t pass, uint64_t item_count, struct asked *asked)
{
    bool is_over = false;
    do {
        assert_int_equal(ask(svc, SVC_SCRUB_STATUS, "", 0, asked), CELLAR_OK);
        is_over = asked->status.pass > pass ||
                  (asked->status.pass == pass && asked->status.state != SVC_SCRUB_RUNNING) ||
                  (asked->status.pass == pass && asked->status.item_count >= item_count);
        if (!is_over) {
            cellar_arena_fini(&asked->arena);
            (void)sched_yield();
        }
    } while (!is_over);
}

/* A service with ROW_COUNT rows on disk in table t, tablets of a to m and from m on. */
static void service_open(struct model_service *service, int64_t interval_us)
{
    struct svc_options options;
    const struct svc_family family = {.name = cellar_slice_text("f")};
    const struct cellar_slice split = cellar_slice_text("m");
    const struct svc_table table = {.name = cellar_slice_text("t"),
                                    .families = &family,
                                    .family_count = 1,
                                    .split_keys = &split,
                                    .split_key_count = 1};
    struct svc_table made;
    struct cellar_arena arena = {0};
    model_service_options_init(&options);
    options.scrub_interval_us = interval_us;
    options.log_segment_bytes = 1048576;
    model_service_open(service, &options);
    assert_int_equal(svc_create_table(service->svc, NULL, &table, &arena, &made, NULL), CELLAR_OK);
    cellar_arena_fini(&arena);
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        char row[16];
        char value[64];
        struct cellar_error error;
        (void)snprintf(row, sizeof row, "%crow%04u", i < ROW_COUNT / 2 ? 'a' : 'z', i);
        (void)snprintf(value, sizeof value, "value of row %04u, no other has it", i);
        const struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_SET,
                                                 .family = cellar_slice_text("f"),
                                                 .qualifier = cellar_slice_text("q"),
                                                 .timestamp_us = 1000,
                                                 .value = cellar_slice_text(value)};
        const struct model_entry entry = {
            .row = cellar_slice_text(row), .mutations = &mutation, .mutation_count = 1};
        assert_int_equal(model_svc_mutate(service->svc, "t", &entry, &error), CELLAR_OK);
    }
    model_service_restart(service, false);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void requests_are_checked(void **state)
{
    (void)state;
    static const struct {
        enum svc_scrub_action action;
        const char *table;
        uint64_t bytes_per_second;
        enum cellar_status status;
        const char *text;
    } cases[] = {
        {(enum svc_scrub_action)3, "", 0, CELLAR_INVALID_ARGUMENT, "1 (status) or 2 (cancel)"},
        {SVC_SCRUB_STATUS, "t", 0, CELLAR_INVALID_ARGUMENT, "only a start takes a table"},
        {SVC_SCRUB_CANCEL, "", 4096, CELLAR_INVALID_ARGUMENT, "only a start takes a table"},
        {SVC_SCRUB_START, "", 1023, CELLAR_INVALID_ARGUMENT, "at least 1024, but is 1023"},
        {SVC_SCRUB_START, "a b", 0, CELLAR_INVALID_ARGUMENT, "a b"},
        {SVC_SCRUB_START, "others", 0, CELLAR_NOT_FOUND, "others"},
    };
    struct model_service service;
    struct asked asked;
    model_service_open_table(&service);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        assert_int_equal(
            ask(service.svc, cases[i].action, cases[i].table, cases[i].bytes_per_second, &asked),
            cases[i].status);
        assert_non_null(strstr(asked.error.text, cases[i].text));
        cellar_arena_fini(&asked.arena);
    }
    assert_int_equal(ask(service.svc, SVC_SCRUB_STATUS, "", 0, &asked), CELLAR_OK);
    assert_int_equal(asked.status.state, SVC_SCRUB_NONE);
    assert_int_equal(asked.status.pass, 0);
    cellar_arena_fini(&asked.arena);
    model_service_close(&service);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static void sound_data_has_no_problems(void **state)
{
    (void)state;
    static const char *const tables[] = {"", "t"};
    struct model_service service;
    struct asked asked;
    service_open(&service, 0);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(tables); i++) {
        pass_wait(service.svc, pass_start(service.svc, tables[i], 0), UINT64_MAX, &asked);
        assert_int_equal(asked.status.state, SVC_SCRUB_ENDED);
        assert_int_equal(asked.status.pass, i + 1);
        assert_int_equal(asked.status.problem_count, 0);
        assert_false(asked.status.is_background);
        assert_true(asked.status.item_count >= ROW_COUNT);
        assert_int_equal(asked.status.item_count, asked.status.item_count_total);
        assert_true(asked.status.byte_count > ROW_COUNT * 40);
        assert_true(asked.status.ended_us >= asked.status.started_us);
        assert_int_equal(i == 0, asked.status.item_count > ROW_COUNT); /* the catalog too */
        assert_int_equal(i == 0, asked.status.table.bytes == 0);
        cellar_arena_fini(&asked.arena);
    }
    model_service_close(&service);
}

/* Flips a bit in each copy of a text in a store's file, behind LMDB's back. */
static void text_spoil(struct model_service *service, unsigned store, const char *text)
{
    char path[400];
    size_t bytes = 0;
    service->is_damaged = true;
    (void)snprintf(path, sizeof path, "%s/stores/%u/1/data.mdb", service->data_dir, store);
    uint8_t *data = test_file_read(path, &bytes);
    uint8_t *at = data;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    assert_true(descriptor >= 0);
    unsigned count = 0;
    while ((at = memmem(at, bytes - (size_t)(at - data), text, strlen(text))) != NULL) {
        uint8_t byte = *at ^ 0x10u;
        assert_int_equal(pwrite(descriptor, &byte, 1, at - data), 1);
        at++;
        count++;
    }
    assert_true(count > 0);
    assert_int_equal(close(descriptor), 0);
    free(data);
}

static void damaged_rows_are_named_with_table_and_tablet(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    service_open(&service, 0);
    text_spoil(&service, 1, "value of row 0042");
    text_spoil(&service, 2, "value of row 0242");
    pass_wait(service.svc, pass_start(service.svc, "", 0), UINT64_MAX, &asked);
    assert_int_equal(asked.status.state, SVC_SCRUB_ENDED);
    assert_int_equal(asked.status.problem_count, 2);
    assert_int_equal(asked.status.problem_count_listed, 2);
    assert_true(asked.status.item_count > ROW_COUNT); /* the others were read */
    static const char *const rows[] = {"arow0042", "zrow0242"};
    for (size_t i = 0; i < 2; i++) {
        const struct svc_scrub_problem *problem = &asked.status.problems[i];
        assert_true(cellar_slice_equal(
            problem->table, cellar_slice_text("projects/default/instances/default/tables/t")));
        assert_true(problem->has_row && !problem->has_rows);
        assert_true(cellar_slice_equal(problem->rows_start, cellar_slice_text(rows[i])));
        assert_true(cellar_slice_equal(i == 0 ? problem->tablet_end : problem->tablet_start,
                                       cellar_slice_text("m")));
        assert_true(cellar_slice_equal(problem->why,
                                       cellar_slice_text("the item's checksum does not fit")));
    }
    cellar_arena_fini(&asked.arena);
    model_service_close(&service);
}

/* Of many, some are listed and all are counted; the next pass begins anew. */
static void problems_beyond_the_limit_are_counted(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    service_open(&service, 0);
    text_spoil(&service, 1, "no other has it");
    for (int i = 0; i < 2; i++) {
        pass_wait(service.svc, pass_start(service.svc, "t", 0), UINT64_MAX, &asked);
        assert_int_equal(asked.status.problem_count, ROW_COUNT / 2);
        assert_int_equal(asked.status.problem_count_listed, SVC_SCRUB_PROBLEM_COUNT_MAX);
        cellar_arena_fini(&asked.arena);
    }
    model_service_close(&service);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void budget_slows_and_cancel_ends(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    service_open(&service, 0);
    int64_t start_us = cellar_clock_monotonic_us();
    uint64_t pass = pass_start(service.svc, "", 100000);
    assert_int_equal(ask(service.svc, SVC_SCRUB_START, "", 0, &asked), CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(asked.error.text, "A scrub is running"));
    cellar_arena_fini(&asked.arena);
    pass_wait(service.svc, pass, UINT64_MAX, &asked);
    assert_int_equal(asked.status.state, SVC_SCRUB_ENDED);
    uint64_t bytes = asked.status.byte_count;
    cellar_arena_fini(&asked.arena);
    assert_true(bytes >= 15000);
    /* the last slice's rest is part of the pass */
    assert_true(cellar_clock_monotonic_us() - start_us >= (int64_t)(bytes * 10) - 50000);

    pass = pass_start(service.svc, "t", SLOW);
    pass_wait(service.svc, pass, 1, &asked);
    assert_int_equal(asked.status.state, SVC_SCRUB_RUNNING);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(ask(service.svc, SVC_SCRUB_CANCEL, "", 0, &asked), CELLAR_OK);
    cellar_arena_fini(&asked.arena);
    pass_wait(service.svc, pass, UINT64_MAX, &asked);
    assert_int_equal(asked.status.state, SVC_SCRUB_CANCELLED);
    cellar_arena_fini(&asked.arena);
    pass_wait(service.svc, pass_start(service.svc, "t", 0), UINT64_MAX, &asked);
    assert_int_equal(asked.status.state, SVC_SCRUB_ENDED); /* the next one is not cancelled */
    cellar_arena_fini(&asked.arena);
    model_service_close(&service);
}

static void stop_of_the_server_ends_a_scrub_at_once(void **state)
{
    (void)state;
    struct model_service service;
    service_open(&service, 0);
    int64_t start_us = cellar_clock_monotonic_us();
    (void)pass_start(service.svc, "", SLOW);
    model_service_close(&service);
    assert_true(cellar_clock_monotonic_us() - start_us < 5000000);
}

static void drop_of_the_table_does_not_wait_for_its_scrub(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    struct cellar_error error;
    service_open(&service, 0);
    uint64_t pass = pass_start(service.svc, "t", SLOW);
    pass_wait(service.svc, pass, 1, &asked);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(svc_drop_table(service.svc, NULL, cellar_slice_text("t"), &error), CELLAR_OK);
    pass_wait(service.svc, pass, UINT64_MAX, &asked);
    assert_int_equal(asked.status.state, SVC_SCRUB_ENDED);
    assert_int_equal(asked.status.problem_count, 0);
    cellar_arena_fini(&asked.arena);
    model_service_close(&service);
}

/* ---- the interval ---------------------------------------------------------------------------- */

static void interval_scrubs_everything_again_and_again(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    const struct svc_limits off = {.memtable_bytes_max = UINT64_C(8) << 20,
                                   .log_unapplied_bytes_max = UINT64_C(8) << 20,
                                   .log_unapplied_records_max = 10000};
    service_open(&service, 10000);
    for (uint64_t pass = 1; pass <= 2; pass++) {
        pass_wait(service.svc, pass, UINT64_MAX, &asked);
        assert_true(asked.status.is_background);
        assert_int_equal(asked.status.problem_count, 0);
        cellar_arena_fini(&asked.arena);
    }
    struct cellar_error error;
    assert_int_equal(svc_limits_set(service.svc, &off, &error), CELLAR_OK);
    uint64_t pass = pass_start(service.svc, "t", 0); /* takes the place of one that runs */
    pass_wait(service.svc, pass, UINT64_MAX, &asked);
    assert_int_equal(asked.status.pass, pass);
    assert_false(asked.status.is_background);
    cellar_arena_fini(&asked.arena);
    model_service_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_checked),
        cmocka_unit_test(sound_data_has_no_problems),
        cmocka_unit_test(damaged_rows_are_named_with_table_and_tablet),
        cmocka_unit_test(problems_beyond_the_limit_are_counted),
        cmocka_unit_test(budget_slows_and_cancel_ends),
        cmocka_unit_test(stop_of_the_server_ends_a_scrub_at_once),
        cmocka_unit_test(drop_of_the_table_does_not_wait_for_its_scrub),
        cmocka_unit_test(interval_scrubs_everything_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
