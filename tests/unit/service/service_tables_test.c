/*
 * service_tables: names, deadlines, descriptions and pages of tables.
 */
#include "common/clock.h"
#include "tests/support/model_service.h"

static enum cellar_status create(struct svc *svc, const struct svc_request *request,
                                 const struct svc_table *table, struct cellar_error *error)
{
    struct cellar_arena arena = {0};
    struct svc_table made;
    cellar_error_clear(error);
    enum cellar_status status = svc_create_table(svc, request, table, &arena, &made, error);
    cellar_arena_fini(&arena);
    return status;
}

static enum cellar_status create_named(struct svc *svc, const char *name)
{
    struct cellar_error error;
    const struct svc_table table = {.name = cellar_slice_text(name)};
    return create(svc, NULL, &table, &error);
}

static void a_description_has_the_full_name_and_sorted_parts(void **state)
{
    struct model_service service;
    struct cellar_arena arena = {0};
    struct cellar_error error;
    struct svc_table found;
    const struct svc_family families[] = {{.name = cellar_slice_text("g")},
                                          {.name = cellar_slice_text("f")}};
    const struct cellar_slice splits[] = {cellar_slice_text("p"), cellar_slice_text("h"),
                                          cellar_slice_text("p")};
    const struct svc_table table = {.name = cellar_slice_text("t"),
                                    .families = families,
                                    .family_count = 2,
                                    .split_keys = splits,
                                    .split_key_count = 3};
    (void)state;
    model_service_open_small(&service);
    assert_int_equal(create(service.svc, NULL, &table, &error), CELLAR_OK);
    assert_int_equal(create(service.svc, NULL, &table, &error), CELLAR_ALREADY_EXISTS);
    assert_int_equal(svc_describe_table(service.svc, NULL, cellar_slice_text("default/default/t"),
                                        &arena, &found, &error),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(
        found.name, cellar_slice_text("projects/default/instances/default/tables/t")));
    assert_int_equal(found.granularity, CELLAR_GRANULARITY_MILLIS);
    assert_int_equal(found.schema_version, 1);
    assert_int_equal(found.family_count, 2);
    assert_true(cellar_slice_equal(found.families[0].name, cellar_slice_text("f")));
    assert_int_equal(found.tablet_count, 3);
    assert_true(cellar_slice_equal(found.tablets[1].start, cellar_slice_text("h")));
    assert_true(cellar_slice_equal(found.tablets[1].end, cellar_slice_text("p")));
    cellar_arena_fini(&arena);
    model_service_close(&service);
}

static void bad_tables_are_refused(void **state)
{
    struct model_service service;
    struct cellar_error error;
    const struct svc_family twice[] = {{.name = cellar_slice_text("f")},
                                       {.name = cellar_slice_text("f")}};
    const struct svc_family bad[] = {{.name = cellar_slice_text("a/b")}};
    const struct cellar_slice empty[] = {cellar_slice_text("a"), cellar_slice_text("")};
    const struct cellar_slice name = cellar_slice_text("t");
    const struct svc_table tables[] = {
        {.name = cellar_slice_text("")},
        {.name = cellar_slice_text("a b")},
        {.name = cellar_slice_text("p/i")},
        {.name = name, .families = twice, .family_count = 2},
        {.name = name, .families = bad, .family_count = 1},
        {.name = name, .families = bad, .family_count = 1001},
        {.name = name, .split_keys = empty, .split_key_count = 2},
        {.name = name, .split_keys = empty, .split_key_count = 10001},
        {.name = name, .granularity = (enum cellar_granularity)3},
    };
    (void)state;
    model_service_open_small(&service);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(tables); i++) {
        assert_int_equal(create(service.svc, NULL, &tables[i], &error), CELLAR_INVALID_ARGUMENT);
        assert_int_equal(error.code, CELLAR_INVALID_ARGUMENT);
    }
    assert_int_equal(model_svc_figure(service.svc, "tables"), 0);
    model_service_close(&service);
}

static void a_deadline_that_has_passed_stops_every_operation(void **state)
{
    struct model_service service;
    struct cellar_arena arena = {0};
    struct cellar_error error;
    struct svc_table found;
    struct svc_table_names names;
    const struct svc_request late = {.deadline_us = 1};
    const struct svc_request timely = {.deadline_us = cellar_clock_monotonic_us() + 60000000};
    const struct svc_page page = {0};
    const struct svc_table table = {.name = cellar_slice_text("t")};
    (void)state;
    model_service_open_small(&service);
    assert_int_equal(create(service.svc, &late, &table, &error), CELLAR_DEADLINE_EXCEEDED);
    assert_int_equal(create(service.svc, &timely, &table, &error), CELLAR_OK);
    assert_int_equal(svc_describe_table(service.svc, &late, table.name, &arena, &found, &error),
                     CELLAR_DEADLINE_EXCEEDED);
    assert_int_equal(svc_list_tables(service.svc, &late, &page, &arena, &names, &error),
                     CELLAR_DEADLINE_EXCEEDED);
    assert_int_equal(svc_drop_table(service.svc, &late, table.name, &error),
                     CELLAR_DEADLINE_EXCEEDED);
    assert_int_equal(svc_drop_table(service.svc, &timely, table.name, &error), CELLAR_OK);
    assert_int_equal(svc_drop_table(service.svc, NULL, table.name, &error), CELLAR_NOT_FOUND);
    assert_int_equal(svc_drop_table(service.svc, NULL, cellar_slice_text("/"), &error),
                     CELLAR_INVALID_ARGUMENT);
    cellar_arena_fini(&arena);
    model_service_close(&service);
}

static void pages_join_to_the_whole_list(void **state)
{
    static const char *const tables[] = {"c", "a", "b", "p/i/x"};
    struct model_service service;
    struct cellar_arena arena = {0};
    struct cellar_error error;
    struct svc_table_names names;
    struct svc_page page = {.page_size = 2};
    (void)state;
    model_service_open_small(&service);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(tables); i++) {
        assert_int_equal(create_named(service.svc, tables[i]), CELLAR_OK);
    }
    assert_int_equal(svc_list_tables(service.svc, NULL, &page, &arena, &names, &error), CELLAR_OK);
    assert_int_equal(names.count, 2);
    assert_true(names.next_page_token.bytes > 0);
    page.page_token = names.next_page_token;
    assert_int_equal(svc_list_tables(service.svc, NULL, &page, &arena, &names, &error), CELLAR_OK);
    assert_int_equal(names.count, 1);
    assert_int_equal(names.next_page_token.bytes, 0);
    assert_true(cellar_slice_equal(
        names.names[0], cellar_slice_text("projects/default/instances/default/tables/c")));
    page = (struct svc_page){.instance = cellar_slice_text("p/i")};
    assert_int_equal(svc_list_tables(service.svc, NULL, &page, &arena, &names, &error), CELLAR_OK);
    assert_int_equal(names.count, 1);
    page = (struct svc_page){.page_token = cellar_slice_text("foreign")};
    assert_int_equal(svc_list_tables(service.svc, NULL, &page, &arena, &names, &error),
                     CELLAR_INVALID_ARGUMENT);
    page = (struct svc_page){.page_size = -1};
    assert_int_equal(svc_list_tables(service.svc, NULL, &page, &arena, &names, &error),
                     CELLAR_INVALID_ARGUMENT);
    cellar_arena_fini(&arena);
    model_service_close(&service);
}

static enum cellar_status describe_once(void *context)
{
    struct cellar_arena arena = {0};
    struct cellar_error error;
    struct svc_table found;
    struct svc_table_names names;
    const struct svc_page page = {0};
    enum cellar_status status =
        svc_describe_table(context, NULL, cellar_slice_text("t"), &arena, &found, &error);
    if (status == CELLAR_OK) {
        status = svc_list_tables(context, NULL, &page, &arena, &names, &error);
    }
    cellar_arena_fini(&arena);
    return status;
}

static void describing_and_listing_without_memory_say_so(void **state)
{
    struct model_service service;
    (void)state;
    model_service_open_small(&service);
    assert_int_equal(create_named(service.svc, "t"), CELLAR_OK);
    assert_true(test_out_of_memory_loop(describe_once, service.svc) > 2);
    model_service_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_description_has_the_full_name_and_sorted_parts),
        cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(a_deadline_that_has_passed_stops_every_operation),
        cmocka_unit_test(pages_join_to_the_whole_list),
        cmocka_unit_test(describing_and_listing_without_memory_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
