/*
 * service_changes: what is refused before a table is touched, with a text that says what to do.
 */
#include <string.h>

#include "common/clock.h"
#include "tests/support/model_service.h"

static const struct cellar_gc_rule one_version = {.kind = CELLAR_GC_VERSIONS, .amount = 1};

static enum cellar_status modify(struct svc *svc, const struct svc_request *request,
                                 const struct svc_family_changes *changes,
                                 struct cellar_error *error)
{
    struct cellar_arena arena = {0};
    struct svc_table made;
    cellar_error_clear(error);
    enum cellar_status status = svc_modify_families(svc, request, changes, &arena, &made, error);
    cellar_arena_fini(&arena);
    return status;
}

static void r_tab_14_lists_that_say_nothing_are_refused(void **state)
{
    static const struct svc_family_change many[SVC_FAMILY_CHANGE_COUNT_MAX + 1];
    const struct svc_family f = {.name = cellar_slice_text("f")};
    const struct svc_family_change unknown[] = {{SVC_FAMILY_CREATE, f},
                                                {(enum svc_family_action)3, f}};
    const struct svc_family_change unnamed[] = {{SVC_FAMILY_CREATE, {.name = {NULL, 0}}}};
    const struct svc_family_change misnamed[] = {
        {SVC_FAMILY_DROP, {.name = cellar_slice_text("a/b")}}};
    const struct svc_family_change ruled[] = {
        {SVC_FAMILY_DROP, {.name = cellar_slice_text("f"), .rule = one_version}}};
    const struct cellar_slice t = cellar_slice_text("t");
    const struct {
        struct svc_family_changes changes;
        const char *text;
    } cases[] = {
        {{t, NULL, 0}, "'changes' : must have 1 to 1000 elements, but has 0"},
        {{t, many, CELLAR_ARRAY_COUNT(many)}, "but has 1001"},
        {{t, unknown, 2}, "'changes' : Error in element #1: Error in field 'action'"},
        {{t, unnamed, 1}, "element #0: Error in field 'family'"},
        {{t, misnamed, 1}, "a/b"},
        {{t, ruled, 1}, "a family that is dropped has no rule"},
        {{cellar_slice_text("/"), unknown, 1}, "table"},
    };
    struct model_service service;
    struct cellar_error error;
    (void)state;
    model_service_open_table(&service);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        assert_int_equal(modify(service.svc, NULL, &cases[i].changes, &error),
                         CELLAR_INVALID_ARGUMENT);
        if (strstr(error.text, cases[i].text) == NULL) {
            fail_msg("case %zu: '%s' lacks '%s'", i, error.text, cases[i].text);
        }
    }
    model_service_close(&service);
}

static void r_tab_18_a_drop_of_rows_has_exactly_one_target(void **state)
{
    static const uint8_t bytes[CELLAR_ROW_BYTES_MAX + 1];
    const struct cellar_slice t = cellar_slice_text("t");
    const struct {
        struct svc_rows_drop drop;
        const char *text;
    } cases[] = {
        {{.table = t}, "but is empty; to drop all rows, say so with 'all'"},
        {{.table = t, .prefix = cellar_slice_text("")}, "but is empty"},
        {{.table = t, .prefix = cellar_slice_text("p"), .is_all = true}, "a prefix is given too"},
        {{.table = t, .prefix = cellar_slice_make(bytes, sizeof bytes)}, "but has 4097"},
        {{.table = cellar_slice_text("a b"), .is_all = true}, "a b"},
    };
    struct model_service service;
    struct cellar_error error;
    (void)state;
    model_service_open_table(&service);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        cellar_error_clear(&error);
        assert_int_equal(svc_drop_rows(service.svc, NULL, &cases[i].drop, &error),
                         CELLAR_INVALID_ARGUMENT);
        if (strstr(error.text, cases[i].text) == NULL) {
            fail_msg("case %zu: '%s' lacks '%s'", i, error.text, cases[i].text);
        }
    }
    model_service_close(&service);
}

static void a_deadline_that_has_passed_changes_nothing(void **state)
{
    const struct svc_request late = {.deadline_us = 1};
    const struct svc_family_change change = {SVC_FAMILY_DROP, {.name = cellar_slice_text("f")}};
    const struct svc_family_changes changes = {cellar_slice_text("t"), &change, 1};
    const struct svc_rows_drop drop = {.table = cellar_slice_text("t"), .is_all = true};
    struct model_service service;
    struct cellar_arena arena = {0};
    struct cellar_error error;
    struct svc_table found;
    (void)state;
    model_service_open_table(&service);
    assert_int_equal(modify(service.svc, &late, &changes, &error), CELLAR_DEADLINE_EXCEEDED);
    assert_int_equal(svc_drop_rows(service.svc, &late, &drop, &error), CELLAR_DEADLINE_EXCEEDED);
    assert_int_equal(svc_describe_table(service.svc, NULL, changes.table, &arena, &found, &error),
                     CELLAR_OK);
    assert_int_equal(found.family_count, 1);
    assert_int_equal(found.schema_version, 1);
    cellar_arena_fini(&arena);
    model_service_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_tab_14_lists_that_say_nothing_are_refused),
        cmocka_unit_test(r_tab_18_a_drop_of_rows_has_exactly_one_target),
        cmocka_unit_test(a_deadline_that_has_passed_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
