/*
 * Changes of families through the client library: R-TAB-12 to R-TAB-16. Lists apply in order and as
 * a whole, what was dropped stays gone through restarts and crashes, and traffic that does not name
 * a dropped family does not notice.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/loopback.h"
#include "tests/support/model_service.h"

struct fixture {
    struct loopback loopback;
    struct cellar_call call;
};

static const struct cellar_rule one_version = {.kind = CELLAR_RULE_VERSIONS, .amount = 1};

/* A server with the table `t`, two tablets, families f and g. */
static int setup(void **state)
{
    struct svc_options options;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct cellar_schema *schema = cellar_schema_new();
    assert_non_null(fixture);
    cellar_log_level_set(CELLAR_LOG_WARN);
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    loopback_open(&fixture->loopback, &options);
    cellar_schema_family(schema, "f", NULL);
    cellar_schema_family(schema, "g", &one_version);
    cellar_schema_split(schema, cellar_text("m"));
    assert_int_equal(
        cellar_table_create(fixture->loopback.client, "t", schema, &fixture->call, NULL),
        CELLAR_E_OK);
    cellar_schema_free(schema);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    loopback_close(&fixture->loopback);
    free(fixture);
    return 0;
}

static enum cellar_code put(struct fixture *fixture, const char *row, const char *family,
                            const char *qualifier)
{
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, family, cellar_text(qualifier), 1000, cellar_text("v"));
    enum cellar_code code =
        cellar_mutate_row(fixture->loopback.client, "t", cellar_text(row), list, &fixture->call);
    cellar_mutations_free(list);
    return code;
}

/* How many cells the table shows, in all rows. */
static size_t cells_count(struct fixture *fixture)
{
    struct cellar_read *read = cellar_read_new();
    struct cellar_rows *rows = NULL;
    size_t count = 0;
    assert_int_equal(cellar_get(fixture->loopback.client, "t", read, &fixture->call, &rows),
                     CELLAR_E_OK);
    for (size_t i = 0; i < cellar_rows_count(rows); i++) {
        count += cellar_rows_at(rows, i)->cell_count;
    }
    cellar_rows_free(rows);
    cellar_read_free(read);
    return count;
}

static enum cellar_code change(struct fixture *fixture, const struct cellar_family_change *changes,
                               size_t count)
{
    return cellar_table_modify_families(fixture->loopback.client, "t", changes, count,
                                        &fixture->call, NULL);
}

/* The families as the server describes them, such as "f g*3": with an amount where there is a rule.
 */
static void expect_families(struct fixture *fixture, const char *wanted)
{
    char text[256] = "";
    struct cellar_table_info *info = NULL;
    assert_int_equal(cellar_table_describe(fixture->loopback.client, "t", &fixture->call, &info),
                     CELLAR_E_OK);
    for (size_t i = 0; i < info->family_count; i++) {
        const struct cellar_family_info *family = &info->families[i];
        size_t bytes = strlen(text);
        (void)snprintf(text + bytes, sizeof text - bytes, "%s%s", i == 0 ? "" : " ", family->name);
        bytes = strlen(text);
        if (family->rule.kind != CELLAR_RULE_NONE) {
            (void)snprintf(text + bytes, sizeof text - bytes, "*%lld",
                           (long long)family->rule.amount);
        }
    }
    assert_string_equal(text, wanted);
    cellar_table_info_free(info);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void r_tab_12_changes_apply_in_order_and_the_whole_table_is_answered(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_table_info *info = NULL;
    const struct cellar_rule three = {.kind = CELLAR_RULE_VERSIONS, .amount = 3};
    const struct cellar_family_change changes[] = {
        {CELLAR_FAMILY_CREATE, "new", NULL}, {CELLAR_FAMILY_DROP, "new", NULL},
        {CELLAR_FAMILY_CREATE, "h", &three}, {CELLAR_FAMILY_UPDATE, "g", NULL},
        {CELLAR_FAMILY_UPDATE, "g", &three}, {CELLAR_FAMILY_DROP, "f", NULL},
        {CELLAR_FAMILY_CREATE, "f", &three}, {CELLAR_FAMILY_CREATE, "e", NULL},
        {CELLAR_FAMILY_UPDATE, "f", NULL},
    };
    assert_int_equal(cellar_table_modify_families(fixture->loopback.client, "t", changes,
                                                  CELLAR_ARRAY_COUNT(changes), &fixture->call,
                                                  &info),
                     CELLAR_E_OK);
    assert_string_equal(info->name, "projects/default/instances/default/tables/t");
    assert_int_equal(info->family_count, 4);
    assert_string_equal(info->families[0].name, "e");
    assert_int_equal(info->families[2].rule.amount, 3);
    assert_int_equal(info->tablet_count, 2);
    assert_int_equal(info->granularity, CELLAR_TABLE_MILLIS);
    assert_true(info->schema_version > 1);
    uint64_t version = info->schema_version;
    cellar_table_info_free(info);
    for (unsigned pass = 0; pass < 3; pass++) {
        expect_families(fixture, "e f g*3 h*3");
        assert_int_equal(
            cellar_table_describe(fixture->loopback.client, "t", &fixture->call, &info),
            CELLAR_E_OK);
        assert_int_equal(info->schema_version, version);
        cellar_table_info_free(info);
        loopback_restart(&fixture->loopback, pass == 0);
    }
}

static void r_tab_12_r_tab_13_a_failing_change_leaves_everything_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        struct cellar_family_change bad;
        enum cellar_code code;
    } cases[] = {
        {{CELLAR_FAMILY_CREATE, "f", NULL}, CELLAR_E_ALREADY_EXISTS},
        {{CELLAR_FAMILY_UPDATE, "nope", &one_version}, CELLAR_E_NOT_FOUND},
        {{CELLAR_FAMILY_DROP, "nope", NULL}, CELLAR_E_NOT_FOUND},
        {{CELLAR_FAMILY_CREATE, "a/b", NULL}, CELLAR_E_INVALID_ARGUMENT},
        {{CELLAR_FAMILY_DROP, "f", &one_version}, CELLAR_E_INVALID_ARGUMENT},
        {{(enum cellar_family_action)3, "f", NULL}, CELLAR_E_INVALID_ARGUMENT},
    };
    assert_int_equal(put(fixture, "r", "g", "q"), CELLAR_E_OK);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        for (size_t place = 0; place < 3; place++) {
            struct cellar_family_change changes[] = {{CELLAR_FAMILY_CREATE, "h", NULL},
                                                     {CELLAR_FAMILY_DROP, "g", NULL},
                                                     {CELLAR_FAMILY_UPDATE, "f", &one_version}};
            changes[place] = cases[i].bad;
            assert_int_equal(change(fixture, changes, 3), cases[i].code);
            assert_true(fixture->call.failure.text[0] != '\0');
            expect_families(fixture, "f g*1");
        }
    }
    assert_int_equal(cells_count(fixture), 1);
    loopback_restart(&fixture->loopback, true);
    expect_families(fixture, "f g*1");
    assert_int_equal(cells_count(fixture), 1);
}

static void r_tab_14_a_list_of_nothing_is_refused_and_an_unknown_table_not_found(void **state)
{
    struct fixture *fixture = *state;
    const struct cellar_family_change drop = {CELLAR_FAMILY_DROP, "f", NULL};
    assert_int_equal(change(fixture, NULL, 0), CELLAR_E_INVALID_ARGUMENT);
    assert_non_null(strstr(fixture->call.failure.text, "must have 1 to 1000 elements"));
    assert_int_equal(cellar_table_modify_families(fixture->loopback.client, "p/i/t", &drop, 1,
                                                  &fixture->call, NULL),
                     CELLAR_E_NOT_FOUND);
    assert_non_null(strstr(fixture->call.failure.text, "projects/p/instances/i/tables/t"));
    expect_families(fixture, "f g*1");
}

static void a_table_has_at_most_a_thousand_families(void **state)
{
    struct fixture *fixture = *state;
    static char names[999][8];
    static struct cellar_family_change changes[999];
    const struct cellar_family_change more[] = {{CELLAR_FAMILY_CREATE, "one-more", NULL},
                                                {CELLAR_FAMILY_DROP, "x0", NULL}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(changes); i++) {
        (void)snprintf(names[i], sizeof names[i], "x%zu", i);
        changes[i] = (struct cellar_family_change){CELLAR_FAMILY_CREATE, names[i], NULL};
    }
    assert_int_equal(change(fixture, changes, 999), CELLAR_E_INVALID_ARGUMENT);
    expect_families(fixture, "f g*1");
    assert_int_equal(change(fixture, changes, 998), CELLAR_E_OK);
    assert_int_equal(change(fixture, more, 1), CELLAR_E_INVALID_ARGUMENT);
    assert_int_equal(change(fixture, more, 2), CELLAR_E_OK); /* it is the end that counts */
    assert_int_equal(put(fixture, "r", "one-more", "q"), CELLAR_E_OK);
}

/* ---- what is in families --------------------------------------------------------------------- */

static void r_tab_15_a_dropped_familys_cells_never_come_back(void **state)
{
    struct fixture *fixture = *state;
    const struct cellar_family_change drop = {CELLAR_FAMILY_DROP, "g", NULL};
    const struct cellar_family_change create = {CELLAR_FAMILY_CREATE, "g", NULL};
    const struct cellar_family_change both[] = {drop, create};
    for (unsigned pass = 0; pass < 8; pass++) {
        assert_int_equal(put(fixture, "a", "f", "q"), CELLAR_E_OK);
        assert_int_equal(put(fixture, "a", "g", "q"), CELLAR_E_OK);
        assert_int_equal(put(fixture, "z", "g", "q"), CELLAR_E_OK);
        if ((pass & 1) != 0) {
            loopback_restart(&fixture->loopback, false); /* they are on disk when they go */
        }
        if ((pass & 2) != 0) {
            assert_int_equal(change(fixture, both, 2), CELLAR_E_OK);
        } else {
            assert_int_equal(change(fixture, &drop, 1), CELLAR_E_OK);
            assert_int_equal(put(fixture, "a", "g", "q"), CELLAR_E_NOT_FOUND);
            assert_int_equal(cells_count(fixture), 1);
            assert_int_equal(change(fixture, &create, 1), CELLAR_E_OK);
        }
        assert_int_equal(cells_count(fixture), 1);
        loopback_restart(&fixture->loopback, (pass & 4) != 0);
        assert_int_equal(cells_count(fixture), 1);
        assert_int_equal(put(fixture, "z", "g", "new"), CELLAR_E_OK);
        loopback_restart(&fixture->loopback, (pass & 4) == 0);
        assert_int_equal(cells_count(fixture), 2);
    }
}

static void a_family_in_use_gets_another_rule(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_mutations *list = cellar_mutations_new();
    const struct cellar_family_change narrow = {CELLAR_FAMILY_UPDATE, "f", &one_version};
    for (int64_t time_us = 1000; time_us <= 5000; time_us += 1000) {
        cellar_mutations_set_at(list, "f", cellar_text("q"), time_us, cellar_text("v"));
    }
    assert_int_equal(
        cellar_mutate_row(fixture->loopback.client, "t", cellar_text("r"), list, &fixture->call),
        CELLAR_E_OK);
    assert_int_equal(cells_count(fixture), 5);
    assert_int_equal(change(fixture, &narrow, 1), CELLAR_E_OK);
    assert_int_equal(cells_count(fixture), 1);
    loopback_restart(&fixture->loopback, true);
    assert_int_equal(cells_count(fixture), 1);
    cellar_mutations_free(list);
}

/* ---- traffic --------------------------------------------------------------------------------- */

struct traffic {
    struct cellar_client *client;
    _Atomic bool is_over;
    _Atomic unsigned kept_count; /* writes to f */
    enum cellar_code failed;     /* the first code that should not be */
};

static enum cellar_code traffic_put(struct traffic *traffic, const char *family, unsigned number)
{
    char row[16];
    struct cellar_mutations *list = cellar_mutations_new();
    (void)snprintf(row, sizeof row, "%c%u", number % 2 == 0 ? 'a' : 'z', number % 50);
    cellar_mutations_set_at(list, family, cellar_text("q"), 1000, cellar_text("v"));
    enum cellar_code code = cellar_mutate_row(traffic->client, "t", cellar_text(row), list, NULL);
    cellar_mutations_free(list);
    return code;
}

/* Writes and reads f, which stays, and writes g, which comes and goes. */
static void *traffic_run(void *context)
{
    struct traffic *traffic = context;
    for (unsigned number = 0; !atomic_load(&traffic->is_over); number++) {
        struct cellar_read *read = cellar_read_new();
        struct cellar_rows *rows = NULL;
        enum cellar_code kept = traffic_put(traffic, "f", number);
        enum cellar_code going = traffic_put(traffic, "g", number);
        cellar_read_family(read, "f");
        cellar_read_limit(read, 5);
        enum cellar_code seen = cellar_get(traffic->client, "t", read, NULL, &rows);
        atomic_fetch_add(&traffic->kept_count, kept == CELLAR_E_OK ? 1 : 0);
        if (traffic->failed == CELLAR_E_OK && kept != CELLAR_E_OK) {
            traffic->failed = kept;
        }
        if (traffic->failed == CELLAR_E_OK && seen != CELLAR_E_OK) {
            traffic->failed = seen;
        }
        if (traffic->failed == CELLAR_E_OK && going != CELLAR_E_OK && going != CELLAR_E_NOT_FOUND) {
            traffic->failed = going;
        }
        cellar_rows_free(rows);
        cellar_read_free(read);
    }
    return NULL;
}

static void r_tab_16_traffic_on_other_families_does_not_fail(void **state)
{
    struct fixture *fixture = *state;
    struct traffic traffic[2] = {{.client = fixture->loopback.client},
                                 {.client = fixture->loopback.client}};
    pthread_t threads[2];
    const struct cellar_family_change drop = {CELLAR_FAMILY_DROP, "g", NULL};
    const struct cellar_family_change create = {CELLAR_FAMILY_CREATE, "g", NULL};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, traffic_run, &traffic[i]), 0);
    }
    for (unsigned round = 0; round < 50 || atomic_load(&traffic[0].kept_count) < 20 ||
                             atomic_load(&traffic[1].kept_count) < 20;
         round++) {
        assert_true(round < 100000);
        assert_int_equal(change(fixture, &drop, 1), CELLAR_E_OK);
        assert_int_equal(change(fixture, &create, 1), CELLAR_E_OK);
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        atomic_store(&traffic[i].is_over, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(traffic[i].failed, CELLAR_E_OK);
    }
    assert_int_equal(change(fixture, &drop, 1), CELLAR_E_OK);
    assert_int_equal(change(fixture, &create, 1), CELLAR_E_OK);
    size_t kept = cells_count(fixture); /* none of g */
    assert_in_range(kept, 1, 50);
    loopback_restart(&fixture->loopback, true);
    assert_int_equal(cells_count(fixture), kept);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(r_tab_12_changes_apply_in_order_and_the_whole_table_is_answered),
        TEST(r_tab_12_r_tab_13_a_failing_change_leaves_everything_as_it_was),
        TEST(r_tab_14_a_list_of_nothing_is_refused_and_an_unknown_table_not_found),
        TEST(a_table_has_at_most_a_thousand_families),
        TEST(r_tab_15_a_dropped_familys_cells_never_come_back),
        TEST(a_family_in_use_gets_another_rule),
        TEST(r_tab_16_traffic_on_other_families_does_not_fail),
    };
    return cmocka_run_group_tests_name("families", tests, NULL, NULL);
}
