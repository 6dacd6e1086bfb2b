/*
 * service_compact and compactor: what is refused; all tables and one, behind which the files are
 * smaller and the rows the same; cancelling, a stop in the middle, and what a start finds of it;
 * rules whose cells are gone from the store.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "server/storage/compaction.h"
#include "tests/support/model_service.h"

#define ROW_COUNT 3000u
#define VALUE_BYTES 900u
#define SLOW 4096u /* bytes a second: a pass takes many minutes */

/* A status and its memory. */
struct asked {
    struct svc_compact_status status;
    struct cellar_arena arena;
    struct cellar_error error;
};

static enum cellar_status ask(struct svc *svc, enum svc_compact_action action, const char *table,
                              uint64_t bytes_per_second, struct asked *asked)
{
    const struct svc_compact_request compact = {
        .action = action,
        .table = cellar_slice_text(table),
        .bytes_per_second = bytes_per_second,
    };
    memset(asked, 0, sizeof *asked);
    return svc_compact(svc, NULL, &compact, &asked->arena, &asked->status, &asked->error);
}

static uint64_t pass_start(struct svc *svc, const char *table, uint64_t bytes_per_second)
{
    struct asked asked;
    assert_int_equal(ask(svc, SVC_COMPACT_START, table, bytes_per_second, &asked), CELLAR_OK);
    assert_int_not_equal(asked.status.state, SVC_COMPACT_NONE); /* it may be over already */
    cellar_arena_fini(&asked.arena);
    return asked.status.pass;
}

/* Until a pass is over, or has read so many items. */
static void pass_wait(struct svc *svc, uint64_t pass, uint64_t item_count, struct asked *asked)
{
    bool is_over = false;
    do {
        assert_int_equal(ask(svc, SVC_COMPACT_STATUS, "", 0, asked), CELLAR_OK);
        is_over = asked->status.pass > pass ||
                  (asked->status.pass == pass && (asked->status.state != SVC_COMPACT_RUNNING ||
                                                  asked->status.item_count >= item_count));
        if (!is_over) {
            cellar_arena_fini(&asked->arena);
            (void)sched_yield();
        }
    } while (!is_over);
}

/* One compaction to its end. */
static void compact(struct svc *svc, const char *table, struct asked *asked)
{
    pass_wait(svc, pass_start(svc, table, 0), UINT64_MAX, asked);
    assert_int_equal(asked->status.state, SVC_COMPACT_ENDED);
}

/* Row `i` in an order that is none, with a cell at `timestamp_us`. */
static void row_put(struct svc *svc, unsigned i, int64_t timestamp_us)
{
    char row[32];
    char value[VALUE_BYTES];
    struct cellar_error error;
    memset(value, (int)('a' + i % 26), sizeof value);
    (void)snprintf(row, sizeof row, "row%06u", i * 7919u % ROW_COUNT);
    const struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_SET,
                                             .family = cellar_slice_text("f"),
                                             .qualifier = cellar_slice_text("q"),
                                             .timestamp_us = timestamp_us,
                                             .value =
                                                 cellar_slice_make((uint8_t *)value, sizeof value)};
    const struct model_entry entry = {
        .row = cellar_slice_text(row), .mutations = &mutation, .mutation_count = 1};
    assert_int_equal(model_svc_mutate(svc, "t", &entry, &error), CELLAR_OK);
}

/* A table of two tablets whose family keeps one version, with two versions of every row. */
static void service_open(struct model_service *service)
{
    struct svc_options options;
    const struct svc_family family = {.name = cellar_slice_text("f"),
                                      .rule = {.kind = CELLAR_GC_VERSIONS, .amount = 1}};
    const struct cellar_slice split = cellar_slice_text("row0015");
    const struct svc_table table = {.name = cellar_slice_text("t"),
                                    .families = &family,
                                    .family_count = 1,
                                    .split_keys = &split,
                                    .split_key_count = 1};
    struct svc_table made;
    struct cellar_arena arena = {0};
    model_service_options_init(&options);
    options.checkpoint_records_max = ROW_COUNT / 8;
    model_service_open(service, &options);
    assert_int_equal(svc_create_table(service->svc, NULL, &table, &arena, &made, NULL), CELLAR_OK);
    cellar_arena_fini(&arena);
    for (unsigned i = 0; i < 2 * ROW_COUNT; i++) {
        row_put(service->svc, i, i < ROW_COUNT ? 1000 : 2000);
    }
}

static size_t rows_count(struct svc *svc)
{
    struct model_answer answer = {0};
    struct cellar_error error;
    const struct model_read read = {0};
    assert_int_equal(model_svc_read(svc, "t", &read, 100000, &answer, &error), CELLAR_OK);
    size_t count = answer.row_count;
    assert_int_equal(answer.cell_count, count);
    for (size_t i = 0; i < answer.cell_count; i++) {
        assert_int_equal(answer.cells[i].timestamp_us, 2000);
        assert_int_equal(answer.cells[i].value.bytes, VALUE_BYTES);
    }
    model_answer_fini(&answer);
    return count;
}

static uint64_t file_bytes(const struct model_service *service, unsigned store, unsigned generation)
{
    char path[400];
    struct stat facts;
    (void)snprintf(path, sizeof path, "%s/stores/%u/%u/data.mdb", service->data_dir, store,
                   generation);
    return stat(path, &facts) == 0 ? (uint64_t)facts.st_size : 0;
}

static void requests_are_checked(void **state)
{
    (void)state;
    static const struct {
        enum svc_compact_action action;
        const char *table;
        uint64_t bytes_per_second;
        enum cellar_status status;
        const char *text;
    } cases[] = {
        {(enum svc_compact_action)3, "", 0, CELLAR_INVALID_ARGUMENT, "1 (status) or 2 (cancel)"},
        {SVC_COMPACT_STATUS, "t", 0, CELLAR_INVALID_ARGUMENT, "only a start takes a table"},
        {SVC_COMPACT_CANCEL, "", 4096, CELLAR_INVALID_ARGUMENT, "only a start takes a table"},
        {SVC_COMPACT_START, "", 1023, CELLAR_INVALID_ARGUMENT, "at least 1024, but is 1023"},
        {SVC_COMPACT_START, "a b", 0, CELLAR_INVALID_ARGUMENT, "a b"},
        {SVC_COMPACT_START, "others", 0, CELLAR_NOT_FOUND, "others"},
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
    assert_int_equal(ask(service.svc, SVC_COMPACT_STATUS, "", 0, &asked), CELLAR_OK);
    assert_int_equal(asked.status.state, SVC_COMPACT_NONE);
    assert_int_equal(asked.status.pass, 0);
    cellar_arena_fini(&asked.arena);
    model_service_close(&service);
}

static void a_compaction_leaves_the_rows_and_little_else(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    service_open(&service);
    assert_int_equal(rows_count(service.svc), ROW_COUNT);
    compact(service.svc, "", &asked);
    assert_int_equal(asked.status.tablet_count, 2);
    assert_int_equal(asked.status.tablet_count_total, 2);
    assert_in_range(asked.status.item_count, ROW_COUNT, 4 * ROW_COUNT);
    assert_in_range(asked.status.byte_count, ROW_COUNT * VALUE_BYTES,
                    ROW_COUNT * (VALUE_BYTES + 100));
    assert_int_equal(asked.status.table.bytes, 0);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(rows_count(service.svc), ROW_COUNT);
    assert_int_equal(file_bytes(&service, 1, 1), 0);
    uint64_t bytes = file_bytes(&service, 1, 2) + file_bytes(&service, 2, 2);
    assert_in_range(bytes, ROW_COUNT * VALUE_BYTES, ROW_COUNT * VALUE_BYTES * 5 / 4);
    /* The next one of one table, behind a restart on the new generations. */
    model_service_restart(&service, false);
    assert_int_equal(rows_count(service.svc), ROW_COUNT);
    compact(service.svc, "t", &asked);
    assert_true(asked.status.table.bytes > 0);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(rows_count(service.svc), ROW_COUNT);
    assert_true(file_bytes(&service, 1, 3) > 0);
    model_service_close(&service);
}

/* The rule is taken away behind the compaction: what it hid does not come back (R-GC-09). The
 * column is longer than many chunks, so versions are counted on from one to the next. */
static void what_a_rule_hides_is_gone_for_good(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    struct model_answer answer = {0};
    struct cellar_error error;
    const struct model_read all = {0};
    const struct svc_family_change change = {.action = SVC_FAMILY_UPDATE,
                                             .family = {.name = cellar_slice_text("f")}};
    const struct svc_family_changes changes = {
        .table = cellar_slice_text("t"), .changes = &change, .count = 1};
    struct cellar_mutation versions[100];
    service_open(&service);
    for (unsigned i = 0; i < 40; i++) {
        for (unsigned j = 0; j < CELLAR_ARRAY_COUNT(versions); j++) {
            versions[j] =
                (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                         .family = cellar_slice_text("f"),
                                         .qualifier = cellar_slice_text("q"),
                                         .timestamp_us = (int64_t)(i * 100 + j + 1) * 1000,
                                         .value = cellar_slice_text("short")};
        }
        const struct model_entry entry = {cellar_slice_text("long"), versions,
                                          CELLAR_ARRAY_COUNT(versions)};
        assert_int_equal(model_svc_mutate(service.svc, "t", &entry, &error), CELLAR_OK);
    }
    pass_wait(service.svc, pass_start(service.svc, "t", 30000000), UINT64_MAX, &asked);
    assert_int_equal(asked.status.state, SVC_COMPACT_ENDED);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(model_svc_modify(service.svc, &changes, &error), CELLAR_OK);
    assert_int_equal(model_svc_read(service.svc, "t", &all, 100000, &answer, &error), CELLAR_OK);
    assert_int_equal(answer.row_count, ROW_COUNT + 1);
    assert_int_equal(answer.cell_count, ROW_COUNT + 1);
    assert_int_equal(answer.cells[0].timestamp_us, 4000000);
    model_answer_fini(&answer);
    model_service_close(&service);
}

static void a_slow_one_is_cancelled_and_makes_no_difference(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    service_open(&service);
    uint64_t pass = pass_start(service.svc, "t", SLOW);
    pass_wait(service.svc, pass, 1, &asked);
    assert_int_equal(asked.status.state, SVC_COMPACT_RUNNING);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(ask(service.svc, SVC_COMPACT_START, "", 0, &asked),
                     CELLAR_FAILED_PRECONDITION);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(ask(service.svc, SVC_COMPACT_CANCEL, "", 0, &asked), CELLAR_OK);
    cellar_arena_fini(&asked.arena);
    pass_wait(service.svc, pass, UINT64_MAX, &asked);
    assert_int_equal(asked.status.state, SVC_COMPACT_CANCELLED);
    assert_int_equal(asked.status.tablet_count, 0);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(rows_count(service.svc), ROW_COUNT);
    assert_int_equal(file_bytes(&service, 1, 2), 0);
    compact(service.svc, "t", &asked);
    cellar_arena_fini(&asked.arena);
    model_service_close(&service);
}

static void a_stop_cuts_one_off_and_a_crash_is_told_of(void **state)
{
    (void)state;
    struct model_service service;
    struct asked asked;
    service_open(&service);
    pass_wait(service.svc, pass_start(service.svc, "t", SLOW), 1, &asked);
    cellar_arena_fini(&asked.arena);
    model_service_restart(&service, false);
    assert_int_equal(ask(service.svc, SVC_COMPACT_STATUS, "", 0, &asked), CELLAR_OK);
    assert_int_equal(asked.status.state, SVC_COMPACT_NONE); /* what was built went with the stop */
    cellar_arena_fini(&asked.arena);
    pass_wait(service.svc, pass_start(service.svc, "t", SLOW), 1, &asked);
    cellar_arena_fini(&asked.arena);
    model_service_restart(&service, true);
    assert_int_equal(ask(service.svc, SVC_COMPACT_STATUS, "", 0, &asked), CELLAR_OK);
    assert_int_equal(asked.status.state, SVC_COMPACT_ABANDONED);
    assert_int_equal(asked.status.abandoned_count, 1);
    cellar_arena_fini(&asked.arena);
    assert_int_equal(rows_count(service.svc), ROW_COUNT);
    assert_int_equal(file_bytes(&service, 1, 2), 0);
    model_service_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_checked),
        cmocka_unit_test(a_compaction_leaves_the_rows_and_little_else),
        cmocka_unit_test(what_a_rule_hides_is_gone_for_good),
        cmocka_unit_test(a_slow_one_is_cancelled_and_makes_no_difference),
        cmocka_unit_test(a_stop_cuts_one_off_and_a_crash_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
