/*
 * The rules of area GC: which cells a family's rule hides, on every read. One test a rule, named
 * after it. Rules and answers go through the client library here, since describing a table and
 * refusing a bad rule is the front end's part.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "tests/support/loopback.h"
#include "tests/support/model_fixture.h"

#define DAY_US INT64_C(86400000000)
#define NOW_US FIXTURE_CLOCK_US
#define CHILDREN_MAX 200u

static const struct cellar_gc_rule newest_1 = {.kind = CELLAR_GC_VERSIONS, .amount = 1};
static const struct cellar_gc_rule newest_2 = {.kind = CELLAR_GC_VERSIONS, .amount = 2};
static const struct cellar_gc_rule age_10_s = {.kind = CELLAR_GC_AGE, .amount = 10000000};

/* Makes table `g` whose family `r` has the rule and whose family `n` has none. */
static void table_make(struct model_fixture *fixture, const struct cellar_gc_rule *rule)
{
    const struct svc_family families[] = {{.name = cellar_slice_text("r"), .rule = *rule},
                                          {.name = cellar_slice_text("n")}};
    const struct svc_table table = {
        .name = cellar_slice_text("g"), .families = families, .family_count = 2};
    struct model_port *port = &fixture->service.port;
    assert_int_equal(port->calls->create(port, &table, &fixture->error), CELLAR_OK);
}

static void put(struct model_fixture *fixture, const char *row, const char *family,
                const int64_t *timestamps_us, size_t count)
{
    char value[24];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(value, sizeof value, "%zu", i);
        const struct cellar_mutation set = model_set(family, "q", timestamps_us[i], value);
        assert_int_equal(model_fixture_mutate(fixture, "g", cellar_slice_text(row), &set, 1),
                         CELLAR_OK);
    }
}

/* Compares all of table `g`: in the memtable, after a checkpoint, and after a crash. */
static void expect_everywhere(struct model_fixture *fixture, const char *text)
{
    const struct model_read all = {0};
    for (unsigned pass = 0; pass < 3; pass++) {
        if (pass > 0) {
            model_service_restart(&fixture->service, pass == 2);
        }
        model_fixture_expect(fixture, "g", &all, text);
    }
}

static void r_gc_01_r_gc_02_max_versions_leaves_the_newest_of_each_column(void **state)
{
    struct model_fixture *fixture = *state;
    static const int64_t times_us[] = {3000, 1000, 5000, 2000};
    const struct cellar_mutation other = model_set("r", "z", 1000, "z");
    table_make(fixture, &newest_2);
    put(fixture, "a", "r", times_us, 4);
    put(fixture, "a", "n", times_us, 4);
    assert_int_equal(model_fixture_mutate(fixture, "g", cellar_slice_text("a"), &other, 1),
                     CELLAR_OK);
    expect_everywhere(fixture, "a[n:q@5000=2,n:q@3000=0,n:q@2000=3,n:q@1000=1,r:q@5000=2,"
                               "r:q@3000=0,r:z@1000=z]");
}

static void r_gc_01_versions_are_counted_over_memtable_and_disk_together(void **state)
{
    struct model_fixture *fixture = *state;
    static const int64_t first_us[] = {1000, 4000};
    static const int64_t second_us[] = {3000, 2000};
    const struct model_read all = {0};
    table_make(fixture, &newest_2);
    put(fixture, "a", "r", first_us, 2);
    model_service_restart(&fixture->service, false);
    put(fixture, "a", "r", second_us, 2);
    model_fixture_expect(fixture, "g", &all, "a[r:q@4000=1,r:q@3000=0]");
    expect_everywhere(fixture, "a[r:q@4000=1,r:q@3000=0]");
}

static void r_gc_03_max_age_hides_what_is_older_and_nothing_else(void **state)
{
    struct model_fixture *fixture = *state;
    static const int64_t times_us[] = {NOW_US - 10000000, NOW_US - 10001000, 0, NOW_US + DAY_US,
                                       NOW_US};
    const struct model_read all = {0};
    table_make(fixture, &age_10_s);
    put(fixture, "a", "r", times_us, 5);
    model_fixture_expect(fixture, "g", &all,
                         "a[r:q@1700086400000000=3,r:q@1700000000000000=4,r:q@1699999990000000=0]");
    cellar_clock_fake_step(1); /* the table's milliseconds do not round the clock */
    expect_everywhere(fixture, "a[r:q@1700086400000000=3,r:q@1700000000000000=4]");
    cellar_clock_fake_step(10000000);
    expect_everywhere(fixture, "a[r:q@1700086400000000=3]");
    cellar_clock_fake_step(DAY_US);
    expect_everywhere(fixture, "");
}

static void r_gc_04_unions_and_intersections(void **state)
{
    struct model_fixture *fixture = *state;
    static const int64_t times_us[] = {NOW_US, NOW_US - 1000, NOW_US - 20000000, NOW_US - 30000000};
    const struct cellar_gc_rule both[] = {newest_1, age_10_s};
    const struct cellar_gc_rule any = {.kind = CELLAR_GC_UNION, .children = both, .child_count = 2};
    const struct cellar_gc_rule all = {
        .kind = CELLAR_GC_INTERSECTION, .children = both, .child_count = 2};
    const struct cellar_gc_rule mixed[] = {all, {.kind = CELLAR_GC_VERSIONS, .amount = 2}};
    const struct cellar_gc_rule nested = {
        .kind = CELLAR_GC_INTERSECTION, .children = mixed, .child_count = 2};
    const struct svc_family families[] = {{.name = cellar_slice_text("i"), .rule = all},
                                          {.name = cellar_slice_text("n"), .rule = nested},
                                          {.name = cellar_slice_text("u"), .rule = any}};
    const struct svc_table table = {
        .name = cellar_slice_text("g"), .families = families, .family_count = 3};
    struct model_port *port = &fixture->service.port;
    assert_int_equal(port->calls->create(port, &table, &fixture->error), CELLAR_OK);
    put(fixture, "a", "u", times_us, 4);
    put(fixture, "a", "i", times_us, 4);
    put(fixture, "a", "n", times_us + 1, 3);
    expect_everywhere(fixture, "a[i:q@1700000000000000=0,i:q@1699999999999000=1,"
                               "n:q@1699999999999000=0,n:q@1699999980000000=1,"
                               "u:q@1700000000000000=0]");
}

static void r_gc_05_rules_act_before_versions_and_hidden_rows_are_not_returned(void **state)
{
    struct model_fixture *fixture = *state;
    static const int64_t times_us[] = {NOW_US, NOW_US - 1000, NOW_US - 2000};
    static const int64_t old_us[] = {1000, 2000};
    const struct cellar_gc_rule both[] = {newest_1, age_10_s};
    const struct cellar_gc_rule any = {.kind = CELLAR_GC_UNION, .children = both, .child_count = 2};
    struct model_read read = {.versions_max = 2};
    table_make(fixture, &any);
    put(fixture, "a", "r", times_us, 3);
    put(fixture, "b", "r", old_us, 2);
    put(fixture, "c", "r", times_us, 1);
    model_fixture_expect(fixture, "g", &read,
                         "a[r:q@1700000000000000=0] c[r:q@1700000000000000=0]");
    read.keys_only = true;
    model_fixture_expect(fixture, "g", &read, "a[] c[]");
    read.rows_limit = 2;
    read.is_reversed = true;
    model_fixture_expect(fixture, "g", &read, "c[] a[]");
}

struct counting_sink {
    struct svc_row_sink sink; /* first */
    size_t row_count;
};

static enum cellar_status count_begin(struct svc_row_sink *sink, struct cellar_slice row,
                                      bool is_continued)
{
    struct counting_sink *counting = (struct counting_sink *)(void *)sink;
    counting->row_count += row.bytes > 0 && !is_continued ? 1 : 0;
    return CELLAR_OK;
}

static enum cellar_status count_cells(struct svc_row_sink *sink, struct cellar_slice packed)
{
    (void)sink;
    (void)packed;
    return CELLAR_OK;
}

static enum cellar_status count_end(struct svc_row_sink *sink, bool has_more)
{
    (void)sink;
    (void)has_more;
    return CELLAR_OK;
}

static void r_gc_06_one_request_uses_one_value_of_the_clock(void **state)
{
    struct model_fixture *fixture = *state;
    static const int64_t now_us = NOW_US;
    struct counting_sink counting = {
        .sink = {.row_begin = count_begin, .cells = count_cells, .row_end = count_end}};
    struct cellar_arena arena = {0};
    struct cellar_rowset set;
    struct svc_read *read = NULL;
    const struct model_read all = {0};
    bool is_done = false;
    table_make(fixture, &age_10_s);
    put(fixture, "a", "r", &now_us, 1);
    put(fixture, "b", "r", &now_us, 1);
    put(fixture, "c", "r", &now_us, 1);
    assert_int_equal(model_rowset_make(&all, &arena, &set, NULL), CELLAR_OK);
    const struct svc_read_options options = {.table = cellar_slice_text("g"), .rows = &set};
    assert_int_equal(svc_read_open(fixture->service.svc, NULL, &options, &read, NULL), CELLAR_OK);
    while (!is_done) {
        assert_int_equal(svc_read_next(read, &counting.sink, 1, &is_done, NULL), CELLAR_OK);
        cellar_clock_fake_step(DAY_US);
    }
    svc_read_close(read);
    cellar_arena_fini(&arena);
    assert_int_equal(counting.row_count, 3);
    model_fixture_expect(fixture, "g", &all, "");
}

static void r_gc_08_a_hidden_cell_comes_back_or_stays_away_and_others_are_exact(void **state)
{
    struct model_fixture *fixture = *state;
    static const int64_t times_us[] = {3000, 2000, 1000};
    const struct model_read all = {0};
    const struct cellar_mutation delete = model_delete_column("r", "q", 3000, 0);
    table_make(fixture, &newest_1);
    put(fixture, "a", "r", times_us, 3);
    put(fixture, "b", "r", times_us, 1);
    assert_int_equal(model_fixture_mutate(fixture, "g", cellar_slice_text("a"), &delete, 1),
                     CELLAR_OK);
    assert_int_equal(model_fixture_read(fixture, "g", &all), CELLAR_OK);
    assert_in_range(fixture->answer.row_count, 1, 2);
    if (fixture->answer.row_count == 2) {
        model_fixture_expect(fixture, "g", &all, "a[r:q@2000=1] b[r:q@3000=0]");
    } else {
        model_fixture_expect(fixture, "g", &all, "b[r:q@3000=0]");
    }
}

/* ---- rules as clients give them -------------------------------------------------------------- */

/* Creates a table with one family of that rule through the library. */
static enum cellar_code rule_create(struct loopback *loopback, const char *table,
                                    const struct cellar_rule *rule, struct cellar_call *call,
                                    struct cellar_table_info **info)
{
    struct cellar_schema *schema = cellar_schema_new();
    memset(call, 0, sizeof *call);
    cellar_schema_family(schema, "f", rule);
    enum cellar_code code = cellar_table_create(loopback->client, table, schema, call, info);
    cellar_schema_free(schema);
    return code;
}

static void rule_refuse(struct loopback *loopback, const struct cellar_rule *rule)
{
    struct cellar_call call;
    struct cellar_table_info *info = NULL;
    assert_int_equal(rule_create(loopback, "refused", rule, &call, NULL),
                     CELLAR_E_INVALID_ARGUMENT);
    assert_true(call.failure.text[0] != '\0');
    assert_int_equal(cellar_table_describe(loopback->client, "refused", &call, &info),
                     CELLAR_E_NOT_FOUND);
}

static void loopback_begin(struct loopback *loopback)
{
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    loopback_open(loopback, &options);
}

static void r_gc_10_a_rule_of_more_than_500_bytes_is_refused(void **state)
{
    (void)state;
    struct loopback loopback;
    struct cellar_call call;
    struct cellar_rule children[CHILDREN_MAX];
    struct cellar_rule rule = {.kind = CELLAR_RULE_UNION, .children = children};
    loopback_begin(&loopback);
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        children[i] = (struct cellar_rule){.kind = CELLAR_RULE_VERSIONS, .amount = 1};
    }
    /* Three bytes a child and five around them: 165 are 500 bytes. */
    rule.child_count = 166;
    rule_refuse(&loopback, &rule);
    rule.child_count = 165;
    assert_int_equal(rule_create(&loopback, "t", &rule, &call, NULL), CELLAR_E_OK);
    loopback_close(&loopback);
}

static void r_gc_11_counts_and_ages_have_lower_limits(void **state)
{
    (void)state;
    struct loopback loopback;
    struct cellar_call call;
    struct cellar_table_info *info = NULL;
    loopback_begin(&loopback);
    static const struct cellar_rule refused[] = {{.kind = CELLAR_RULE_VERSIONS, .amount = 0},
                                                 {.kind = CELLAR_RULE_VERSIONS, .amount = -1},
                                                 {.kind = CELLAR_RULE_AGE, .amount = 999},
                                                 {.kind = CELLAR_RULE_AGE, .amount = 0},
                                                 {.kind = CELLAR_RULE_AGE, .amount = INT64_MIN}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(refused); i++) {
        const struct cellar_rule around = {
            .kind = CELLAR_RULE_INTERSECTION, .children = &refused[i], .child_count = 1};
        rule_refuse(&loopback, &refused[i]);
        rule_refuse(&loopback, &around);
    }
    const struct cellar_rule age = {.kind = CELLAR_RULE_AGE, .amount = 1234567};
    assert_int_equal(rule_create(&loopback, "t", &age, &call, &info), CELLAR_E_OK);
    assert_int_equal(info->families[0].rule.kind, CELLAR_RULE_AGE);
    assert_int_equal(info->families[0].rule.amount, 1234567);
    cellar_table_info_free(info);
    loopback_close(&loopback);
}

static void r_gc_12_unions_need_a_rule_and_no_empty_one(void **state)
{
    (void)state;
    struct loopback loopback;
    struct cellar_call call;
    struct cellar_table_info *info = NULL;
    const struct cellar_rule leaf = {.kind = CELLAR_RULE_VERSIONS, .amount = 3};
    const struct cellar_rule empty[] = {{.kind = CELLAR_RULE_NONE}, leaf};
    loopback_begin(&loopback);
    for (unsigned i = 0; i < 2; i++) {
        enum cellar_rule_kind kind = i == 0 ? CELLAR_RULE_UNION : CELLAR_RULE_INTERSECTION;
        const struct cellar_rule of_none = {.kind = kind, .children = &leaf, .child_count = 0};
        const struct cellar_rule of_empty = {.kind = kind, .children = empty, .child_count = 2};
        const struct cellar_rule of_one = {.kind = kind, .children = &leaf, .child_count = 1};
        rule_refuse(&loopback, &of_none);
        rule_refuse(&loopback, &of_empty);
        assert_int_equal(rule_create(&loopback, i == 0 ? "u" : "i", &of_one, &call, &info),
                         CELLAR_E_OK);
        assert_int_equal(info->families[0].rule.kind, kind);
        assert_int_equal(info->families[0].rule.child_count, 1);
        assert_int_equal(info->families[0].rule.children[0].amount, 3);
        cellar_table_info_free(info);
    }
    loopback_close(&loopback);
}

#define RULE(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, model_fixture_setup, model_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(r_gc_01_r_gc_02_max_versions_leaves_the_newest_of_each_column),
        RULE(r_gc_01_versions_are_counted_over_memtable_and_disk_together),
        RULE(r_gc_03_max_age_hides_what_is_older_and_nothing_else),
        RULE(r_gc_04_unions_and_intersections),
        RULE(r_gc_05_rules_act_before_versions_and_hidden_rows_are_not_returned),
        RULE(r_gc_06_one_request_uses_one_value_of_the_clock),
        RULE(r_gc_08_a_hidden_cell_comes_back_or_stays_away_and_others_are_exact),
        cmocka_unit_test(r_gc_10_a_rule_of_more_than_500_bytes_is_refused),
        cmocka_unit_test(r_gc_11_counts_and_ages_have_lower_limits),
        cmocka_unit_test(r_gc_12_unions_need_a_rule_and_no_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
