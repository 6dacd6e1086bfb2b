/*
 * schema: families found by name, what is derived of all rules, the server's time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "server/tablet/schema.h"
#include "tests/support/support.h"

static struct tablet_family family_of(const char *name, struct cellar_gc_rule rule)
{
    return (struct tablet_family){.name = cellar_slice_text(name), .generation = 1, .rule = rule};
}

static void families_are_sorted_and_found_by_their_whole_name(void **state)
{
    (void)state;
    const struct cellar_gc_rule none = {.kind = CELLAR_GC_NONE};
    struct tablet_family families[] = {family_of("b", none), family_of("ab", none),
                                       family_of("a", none), family_of("Z", none)};
    static const char *const sorted[] = {"Z", "a", "ab", "b"};
    static const char *const absent[] = {"", "A", "aa", "abc", "c", "z"};
    struct tablet_schema schema = {.families = families, .family_count = 4};
    tablet_schema_finish(&schema, families);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sorted); i++) {
        assert_ptr_equal(tablet_schema_family(&schema, cellar_slice_text(sorted[i])), &families[i]);
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(absent); i++) {
        assert_null(tablet_schema_family(&schema, cellar_slice_text(absent[i])));
    }
}

static void a_schema_without_families_finds_none(void **state)
{
    (void)state;
    struct tablet_schema schema = {.has_version_rule = true};
    tablet_schema_finish(&schema, NULL);
    assert_null(tablet_schema_family(&schema, cellar_slice_text("f")));
    assert_false(schema.has_version_rule);
    assert_true(schema.age_us_min == INT64_MAX);
}

static void as_many_families_as_may_be_are_all_found(void **state)
{
    (void)state;
    static struct tablet_family families[TABLET_FAMILY_COUNT_MAX];
    static char names[TABLET_FAMILY_COUNT_MAX][8];
    struct test_random random = {test_seed("schema")};
    struct tablet_schema schema = {.families = families, .family_count = TABLET_FAMILY_COUNT_MAX};
    for (unsigned i = 0; i < TABLET_FAMILY_COUNT_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "%u", i);
        families[i] =
            (struct tablet_family){.name = cellar_slice_text(names[i]), .generation = i + 1};
    }
    for (size_t i = TABLET_FAMILY_COUNT_MAX - 1; i > 0; i--) {
        size_t other = (size_t)test_random_below(&random, i + 1);
        struct tablet_family family = families[i];
        families[i] = families[other];
        families[other] = family;
    }
    tablet_schema_finish(&schema, families);
    for (unsigned i = 0; i < TABLET_FAMILY_COUNT_MAX; i++) {
        const struct tablet_family *found =
            tablet_schema_family(&schema, cellar_slice_text(names[i]));
        assert_non_null(found);
        assert_int_equal(found->generation, i + 1);
    }
}

static void rules_are_summed_up_however_deep_they_nest(void **state)
{
    (void)state;
    const struct cellar_gc_rule inner[] = {{.kind = CELLAR_GC_VERSIONS, .amount = 2},
                                           {.kind = CELLAR_GC_AGE, .amount = 3000}};
    const struct cellar_gc_rule outer[] = {
        {.kind = CELLAR_GC_AGE, .amount = 5000},
        {.kind = CELLAR_GC_UNION, .children = inner, .child_count = 2}};
    const struct {
        struct cellar_gc_rule rule;
        bool has_version_rule;
        int64_t age_us_min;
    } cases[] = {
        {{.kind = CELLAR_GC_NONE}, false, INT64_MAX},
        {{.kind = CELLAR_GC_VERSIONS, .amount = 1}, true, INT64_MAX},
        {{.kind = CELLAR_GC_AGE, .amount = 1000}, false, 1000},
        {{.kind = CELLAR_GC_UNION, .children = outer, .child_count = 1}, false, 5000},
        {{.kind = CELLAR_GC_INTERSECTION, .children = outer, .child_count = 2}, true, 3000},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        const struct cellar_gc_rule late = {.kind = CELLAR_GC_AGE, .amount = 7000};
        struct tablet_family families[] = {family_of("g", cases[i].rule), family_of("f", late)};
        struct tablet_schema schema = {.families = families, .family_count = 2};
        tablet_schema_finish(&schema, families);
        assert_int_equal(schema.has_version_rule, cases[i].has_version_rule);
        assert_true(schema.age_us_min == CELLAR_MIN(cases[i].age_us_min, 7000));
        /* Finishing again starts over. */
        schema.family_count = 1;
        tablet_schema_finish(&schema, families);
        assert_false(schema.has_version_rule);
        assert_true(schema.age_us_min == 7000);
    }
}

static void server_time_is_floored_to_the_granularity(void **state)
{
    (void)state;
    static const struct {
        int64_t server_us;
        int64_t millis;
    } cases[] = {
        {0, 0}, {999, 0}, {1000, 1000}, {1999, 1000}, {INT64_MAX, CELLAR_TIMESTAMP_MILLIS_MAX}};
    const struct tablet_schema millis = {.granularity = CELLAR_GRANULARITY_MILLIS};
    const struct tablet_schema micros = {.granularity = CELLAR_GRANULARITY_MICROS};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        assert_true(tablet_schema_time(&millis, cases[i].server_us) == cases[i].millis);
        assert_true(tablet_schema_time(&micros, cases[i].server_us) == cases[i].server_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_sorted_and_found_by_their_whole_name),
        cmocka_unit_test(a_schema_without_families_finds_none),
        cmocka_unit_test(as_many_families_as_may_be_are_all_found),
        cmocka_unit_test(rules_are_summed_up_however_deep_they_nest),
        cmocka_unit_test(server_time_is_floored_to_the_granularity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
