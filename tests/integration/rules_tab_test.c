/*
 * The rules of areas TAB and INS: creating, describing, listing and dropping tables, and their
 * names. One test a rule, named after it; requests go through the client library.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/loopback.h"
#include "tests/support/model_fixture.h"

struct fixture {
    struct loopback loopback;
    struct cellar_call call;
};

static int setup(void **state)
{
    struct svc_options options;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    cellar_log_level_set(CELLAR_LOG_WARN);
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    loopback_open(&fixture->loopback, &options);
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

/* Creates a table with the families given, each list ended by NULL. */
static enum cellar_code create(struct fixture *fixture, const char *name,
                               const char *const *families, const char *const *splits)
{
    struct cellar_schema *schema = cellar_schema_new();
    for (size_t i = 0; families != NULL && families[i] != NULL; i++) {
        cellar_schema_family(schema, families[i], NULL);
    }
    for (size_t i = 0; splits != NULL && splits[i] != NULL; i++) {
        cellar_schema_split(schema, cellar_text(splits[i]));
    }
    enum cellar_code code =
        cellar_table_create(fixture->loopback.client, name, schema, &fixture->call, NULL);
    cellar_schema_free(schema);
    return code;
}

static const char *const family_f[] = {"f", NULL};

static enum cellar_code put(struct fixture *fixture, const char *table, const char *row,
                            const char *value)
{
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", cellar_text("q"), 1000, cellar_text(value));
    enum cellar_code code =
        cellar_mutate_row(fixture->loopback.client, table, cellar_text(row), list, &fixture->call);
    cellar_mutations_free(list);
    return code;
}

/* How many rows a table has; the value of the first is compared unless NULL. */
static size_t rows_count(struct fixture *fixture, const char *table, const char *value)
{
    struct cellar_read *read = cellar_read_new();
    struct cellar_rows *rows = NULL;
    enum cellar_code code =
        cellar_get(fixture->loopback.client, table, read, &fixture->call, &rows);
    assert_int_equal(code, CELLAR_E_OK);
    size_t count = cellar_rows_count(rows);
    if (value != NULL) {
        struct cellar_view got = cellar_rows_at(rows, 0)->cells[0].value;
        assert_int_equal(got.bytes, strlen(value));
        assert_memory_equal(got.data, value, got.bytes);
    }
    cellar_rows_free(rows);
    cellar_read_free(read);
    return count;
}

static enum cellar_code read_code(struct fixture *fixture, const char *table)
{
    struct cellar_read *read = cellar_read_new();
    struct cellar_rows *rows = NULL;
    enum cellar_code code =
        cellar_get(fixture->loopback.client, table, read, &fixture->call, &rows);
    cellar_rows_free(rows);
    cellar_read_free(read);
    return code;
}

static struct cellar_table_info *describe(struct fixture *fixture, const char *table)
{
    struct cellar_table_info *info = NULL;
    if (cellar_table_describe(fixture->loopback.client, table, &fixture->call, &info) !=
        CELLAR_E_OK) {
        fail_msg("describe %s: %s", table, fixture->call.failure.text);
    }
    return info;
}

static bool view_is(struct cellar_view view, const char *text)
{
    return view.bytes == strlen(text) && memcmp(view.data, text, view.bytes) == 0;
}

/* ---- creating -------------------------------------------------------------------------------- */

static void r_tab_01_create_returns_the_table_and_an_existing_one_stays_unchanged(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_schema *schema = cellar_schema_new();
    struct cellar_table_info *made = NULL;
    const struct cellar_rule rule = {.kind = CELLAR_RULE_VERSIONS, .amount = 3};
    static const char *const others[] = {"other", NULL};
    static const char *const splits[] = {"m", NULL};
    cellar_schema_family(schema, "g", NULL);
    cellar_schema_family(schema, "f", &rule);
    assert_int_equal(
        cellar_table_create(fixture->loopback.client, "t", schema, &fixture->call, &made),
        CELLAR_E_OK);
    assert_string_equal(made->name, "projects/default/instances/default/tables/t");
    assert_int_equal(made->family_count, 2);
    assert_string_equal(made->families[0].name, "f");
    assert_int_equal(made->families[0].rule.kind, CELLAR_RULE_VERSIONS);
    assert_int_equal(made->families[0].rule.amount, 3);
    assert_string_equal(made->families[1].name, "g");
    assert_int_equal(made->granularity, CELLAR_TABLE_MILLIS);
    assert_int_equal(made->tablet_count, 1);
    cellar_table_info_free(made);
    cellar_schema_free(schema);
    assert_int_equal(put(fixture, "t", "r", "v"), CELLAR_E_OK);
    assert_int_equal(create(fixture, "t", others, splits), CELLAR_E_ALREADY_EXISTS);
    assert_int_equal(create(fixture, "projects/default/instances/default/tables/t", others, splits),
                     CELLAR_E_ALREADY_EXISTS);
    for (unsigned pass = 0; pass < 2; pass++) {
        struct cellar_table_info *info = describe(fixture, "t");
        assert_int_equal(info->family_count, 2);
        assert_int_equal(info->tablet_count, 1);
        assert_int_equal(info->families[0].rule.amount, 3);
        cellar_table_info_free(info);
        assert_int_equal(rows_count(fixture, "t", "v"), 1);
        loopback_restart(&fixture->loopback, pass == 0);
    }
}

static void r_tab_02_split_keys_make_tablets_and_repeats_count_once(void **state)
{
    struct fixture *fixture = *state;
    static const char *const splits[] = {"m", "c", "x", "c", "m", "\xff", NULL};
    static const char *const borders[] = {"", "c", "m", "x", "\xff", ""};
    static const char *const empty[] = {"a", "", NULL};
    assert_int_equal(create(fixture, "t", family_f, splits), CELLAR_E_OK);
    for (unsigned pass = 0; pass < 2; pass++) {
        struct cellar_table_info *info = describe(fixture, "t");
        assert_int_equal(info->tablet_count, 5);
        for (size_t i = 0; i < 5; i++) {
            assert_true(view_is(info->tablets[i].start, borders[i]));
            assert_true(view_is(info->tablets[i].end, borders[i + 1]));
            for (size_t j = 0; j < i; j++) {
                assert_true(info->tablets[j].store != info->tablets[i].store);
            }
        }
        cellar_table_info_free(info);
        loopback_restart(&fixture->loopback, pass == 0);
    }
    assert_int_equal(create(fixture, "u", family_f, empty), CELLAR_E_INVALID_ARGUMENT);
    assert_int_equal(read_code(fixture, "u"), CELLAR_E_NOT_FOUND);
}

static void r_tab_04_a_family_without_a_rule_keeps_everything(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(create(fixture, "t", family_f, NULL), CELLAR_E_OK);
    struct cellar_table_info *info = describe(fixture, "t");
    assert_int_equal(info->families[0].rule.kind, CELLAR_RULE_NONE);
    cellar_table_info_free(info);
    static const char *const none[] = {NULL};
    assert_int_equal(create(fixture, "without", none, NULL), CELLAR_E_OK);
    info = describe(fixture, "without");
    assert_int_equal(info->family_count, 0);
    cellar_table_info_free(info);
}

static void r_tab_05_granularity_is_reported_and_checked(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", cellar_text("q"), 1, cellar_text("v"));
    for (unsigned i = 0; i < 3; i++) {
        static const char *const names[] = {"unsaid", "millis", "micros"};
        struct cellar_schema *schema = cellar_schema_new();
        cellar_schema_family(schema, "f", NULL);
        if (i > 0) {
            cellar_schema_granularity(schema, i == 1 ? CELLAR_TABLE_MILLIS : CELLAR_TABLE_MICROS);
        }
        assert_int_equal(
            cellar_table_create(fixture->loopback.client, names[i], schema, &fixture->call, NULL),
            CELLAR_E_OK);
        cellar_schema_free(schema);
        loopback_restart(&fixture->loopback, i == 1);
        struct cellar_table_info *info = describe(fixture, names[i]);
        assert_int_equal(info->granularity, i == 2 ? CELLAR_TABLE_MICROS : CELLAR_TABLE_MILLIS);
        cellar_table_info_free(info);
        assert_int_equal(cellar_mutate_row(fixture->loopback.client, names[i], cellar_text("r"),
                                           list, &fixture->call),
                         i == 2 ? CELLAR_E_OK : CELLAR_E_INVALID_ARGUMENT);
    }
    cellar_mutations_free(list);
}

static void r_tab_06_r_err_01_unknown_tables_are_not_found_and_not_made(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_client *client = fixture->loopback.client;
    struct cellar_table_info *info = NULL;
    struct cellar_table_list *list = NULL;
    static const char *const names[] = {"t", "p/i/t", "projects/p/instances/i/tables/t"};
    static const char *const full[] = {"projects/default/instances/default/tables/t",
                                       "projects/p/instances/i/tables/t",
                                       "projects/p/instances/i/tables/t"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(names); i++) {
        assert_int_equal(cellar_table_describe(client, names[i], &fixture->call, &info),
                         CELLAR_E_NOT_FOUND);
        assert_non_null(strstr(fixture->call.failure.text, full[i]));
        assert_int_equal(cellar_table_drop(client, names[i], &fixture->call), CELLAR_E_NOT_FOUND);
        assert_non_null(strstr(fixture->call.failure.text, full[i]));
        assert_int_equal(put(fixture, names[i], "r", "v"), CELLAR_E_NOT_FOUND);
        assert_non_null(strstr(fixture->call.failure.text, full[i]));
        assert_int_equal(read_code(fixture, names[i]), CELLAR_E_NOT_FOUND);
        assert_non_null(strstr(fixture->call.failure.text, full[i]));
    }
    assert_int_equal(cellar_table_list_get(client, &fixture->call, &list), CELLAR_E_OK);
    assert_int_equal(list->count, 0);
    cellar_table_list_free(list);
}

/* ---- listing --------------------------------------------------------------------------------- */

static void r_tab_08_a_list_has_each_table_of_the_instance_once_sorted(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_table_list *list = NULL;
    static const char *const made[] = {"m", "a", "Z", "a-b", "p/i/other", "b", "_x"};
    static const char *const listed[] = {"Z", "_x", "a", "a-b", "b", "m"};
    char name[80];
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(made); i++) {
        assert_int_equal(create(fixture, made[i], family_f, NULL), CELLAR_E_OK);
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        assert_int_equal(cellar_table_list_get(fixture->loopback.client, &fixture->call, &list),
                         CELLAR_E_OK);
        assert_int_equal(list->count, CELLAR_ARRAY_COUNT(listed));
        for (size_t i = 0; i < list->count; i++) {
            (void)snprintf(name, sizeof name, "projects/default/instances/default/tables/%s",
                           listed[i]);
            assert_string_equal(list->names[i], name);
        }
        cellar_table_list_free(list);
        loopback_restart(&fixture->loopback, pass == 0);
    }
}

static enum cellar_status list_page(struct svc *svc, int64_t page_size, struct cellar_slice token,
                                    struct cellar_arena *arena, struct svc_table_names *names)
{
    const struct svc_page page = {.page_size = page_size, .page_token = token};
    return svc_list_tables(svc, NULL, &page, arena, names, NULL);
}

static void r_tab_08_r_tab_09_pages_hold_at_most_n_and_join_to_the_whole(void **state)
{
    (void)state;
    struct model_fixture *fixture = NULL;
    struct cellar_arena arena = {0};
    struct svc_table_names names;
    static const char *const families[] = {"f", NULL};
    char name[8];
    assert_int_equal(model_fixture_setup((void **)&fixture), 0);
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof name, "t%u", i);
        model_fixture_table(fixture, name, 0, families, NULL);
    }
    for (int64_t size = 1; size <= 8; size++) {
        struct cellar_slice token = cellar_slice_text("");
        size_t seen = 0; /* of t, t0 ... t5 */
        do {
            assert_int_equal(list_page(fixture->service.svc, size, token, &arena, &names),
                             CELLAR_OK);
            assert_in_range(names.count, 1, (size_t)size);
            for (size_t i = 0; i < names.count; i++, seen++) {
                const uint8_t *last = names.names[i].data + names.names[i].bytes - 1;
                assert_int_equal(*last, seen == 0 ? 't' : '0' + (int)seen - 1);
            }
            token = names.next_page_token;
        } while (token.bytes > 0);
        assert_int_equal(seen, 7);
    }
    static const char *const foreign[] = {"x", "\x02t", "\x01", "eyJmb28iOiJiYXIifQ=="};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(foreign); i++) {
        assert_int_equal(
            list_page(fixture->service.svc, 2, cellar_slice_text(foreign[i]), &arena, &names),
            CELLAR_INVALID_ARGUMENT);
    }
    assert_int_equal(list_page(fixture->service.svc, -1, cellar_slice_text(""), &arena, &names),
                     CELLAR_INVALID_ARGUMENT);
    cellar_arena_fini(&arena);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

/* ---- dropping -------------------------------------------------------------------------------- */

static void r_tab_10_a_dropped_table_is_gone_and_made_again_it_is_empty(void **state)
{
    struct fixture *fixture = *state;
    static const char *const splits[] = {"m", NULL};
    for (unsigned pass = 0; pass < 4; pass++) {
        assert_int_equal(create(fixture, "t", family_f, pass % 2 == 0 ? splits : NULL),
                         CELLAR_E_OK);
        assert_int_equal(rows_count(fixture, "t", NULL), 0);
        assert_int_equal(put(fixture, "t", "a", "old"), CELLAR_E_OK);
        assert_int_equal(put(fixture, "t", "z", "old"), CELLAR_E_OK);
        if (pass == 2) {
            loopback_restart(&fixture->loopback, false); /* the rows are on disk when they go */
        }
        assert_int_equal(cellar_table_drop(fixture->loopback.client, "t", &fixture->call),
                         CELLAR_E_OK);
        assert_int_equal(put(fixture, "t", "a", "no"), CELLAR_E_NOT_FOUND);
        assert_int_equal(read_code(fixture, "t"), CELLAR_E_NOT_FOUND);
        assert_int_equal(cellar_table_drop(fixture->loopback.client, "t", &fixture->call),
                         CELLAR_E_NOT_FOUND);
        if (pass % 2 == 1) {
            loopback_restart(&fixture->loopback, pass == 1);
            assert_int_equal(read_code(fixture, "t"), CELLAR_E_NOT_FOUND);
        }
    }
    assert_int_equal(create(fixture, "t", family_f, NULL), CELLAR_E_OK);
    loopback_restart(&fixture->loopback, true);
    assert_int_equal(rows_count(fixture, "t", NULL), 0);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void r_ins_01_r_ins_02_names_in_all_forms_name_one_table(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(create(fixture, "t", family_f, NULL), CELLAR_E_OK);
    assert_int_equal(create(fixture, "p/i/t", family_f, NULL), CELLAR_E_OK);
    assert_int_equal(put(fixture, "default/default/t", "r", "mine"), CELLAR_E_OK);
    assert_int_equal(put(fixture, "projects/p/instances/i/tables/t", "r", "theirs"), CELLAR_E_OK);
    assert_int_equal(rows_count(fixture, "t", "mine"), 1);
    assert_int_equal(rows_count(fixture, "projects/default/instances/default/tables/t", "mine"), 1);
    assert_int_equal(rows_count(fixture, "p/i/t", "theirs"), 1);
}

static void
r_ins_03_r_ins_04_instances_come_with_their_first_table_where_that_is_allowed(void **state)
{
    (void)state;
    struct svc_options options;
    struct cellar_arena arena = {0};
    struct svc_table made;
    struct cellar_error error;
    model_service_options_init(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct model_service service;
        const struct svc_table table = {.name = cellar_slice_text("p/i/t")};
        options.implicit_instances = i == 0;
        model_service_open(&service, &options);
        assert_int_equal(svc_create_table(service.svc, NULL, &table, &arena, &made, &error),
                         i == 0 ? CELLAR_OK : CELLAR_NOT_FOUND);
        assert_true(i == 0 || strstr(error.text, "projects/p/instances/i") != NULL);
        model_service_close(&service);
    }
    cellar_arena_fini(&arena);
}

static void r_ins_05_the_list_of_an_unknown_instance_is_empty(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_table_list *list = NULL;
    char endpoint[IO_ADDRESS_TEXT_BYTES_MAX];
    const struct cellar_options options = {
        .endpoint = io_address_show(cellar_server_address(fixture->loopback.server), endpoint),
        .instance = "nobody/nowhere"};
    struct cellar_client *client = NULL;
    assert_int_equal(create(fixture, "t", family_f, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_client_open(&options, &fixture->call, &client), CELLAR_E_OK);
    assert_int_equal(cellar_table_list_get(client, &fixture->call, &list), CELLAR_E_OK);
    assert_int_equal(list->count, 0);
    cellar_table_list_free(list);
    cellar_client_close(client);
}

static void r_ins_06_names_of_other_forms_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const bad[] = {
        "a/b",
        "a/b/c/d",
        "projects/p/instances/i/tables/",
        "projects//instances/i/tables/t",
        "projects/p/instances//tables/t",
        "projects/p/instance/i/tables/t",
        "projects/p/instances/i/table/t",
        "/projects/p/instances/i/tables/t",
        "projects/p/instances/i/tables/t/",
        "p q/i/t",
        "",
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(bad); i++) {
        assert_int_equal(create(fixture, bad[i], family_f, NULL), CELLAR_E_INVALID_ARGUMENT);
        assert_int_equal(read_code(fixture, bad[i]), CELLAR_E_INVALID_ARGUMENT);
        assert_int_equal(put(fixture, bad[i], "r", "v"), CELLAR_E_INVALID_ARGUMENT);
    }
}

#define RULE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(r_tab_01_create_returns_the_table_and_an_existing_one_stays_unchanged),
        RULE(r_tab_02_split_keys_make_tablets_and_repeats_count_once),
        RULE(r_tab_04_a_family_without_a_rule_keeps_everything),
        RULE(r_tab_05_granularity_is_reported_and_checked),
        RULE(r_tab_06_r_err_01_unknown_tables_are_not_found_and_not_made),
        RULE(r_tab_08_a_list_has_each_table_of_the_instance_once_sorted),
        cmocka_unit_test(r_tab_08_r_tab_09_pages_hold_at_most_n_and_join_to_the_whole),
        RULE(r_tab_10_a_dropped_table_is_gone_and_made_again_it_is_empty),
        RULE(r_ins_01_r_ins_02_names_in_all_forms_name_one_table),
        cmocka_unit_test(
            r_ins_03_r_ins_04_instances_come_with_their_first_table_where_that_is_allowed),
        RULE(r_ins_05_the_list_of_an_unknown_instance_is_empty),
        RULE(r_ins_06_names_of_other_forms_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
