/*
 * families: what a list of changes makes of a schema, what it refuses, and that a refusal leaves
 * nothing behind.
 */
#include <stdio.h>

#include "server/tablet/families.h"
#include "tests/support/support.h"

static struct tablet_family_change change_of(enum tablet_family_action action, const char *name,
                                             int64_t versions)
{
    const struct cellar_gc_rule rule = {.kind = versions == 0 ? CELLAR_GC_NONE : CELLAR_GC_VERSIONS,
                                        .amount = versions};
    return (struct tablet_family_change){action, cellar_slice_text(name), rule};
}

/* Version 3, families a (generation 1) and b (generation 2). */
static struct tablet_schema *schema_make(void)
{
    static struct tablet_family families[2];
    static struct tablet_schema schema;
    families[0] = (struct tablet_family){.name = cellar_slice_text("a"), .generation = 1};
    families[1] = (struct tablet_family){.name = cellar_slice_text("b"), .generation = 2};
    schema = (struct tablet_schema){.version = 3,
                                    .granularity = CELLAR_GRANULARITY_MICROS,
                                    .families = families,
                                    .family_count = 2};
    tablet_schema_finish(&schema, families);
    return &schema;
}

/* "a1 c4!" : names with generations; ! when a family of the first generation is gone. */
static void schema_show(const struct tablet_schema *schema, char *text, size_t bytes)
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < schema->family_count; i++) {
        const struct tablet_family *family = &schema->families[i];
        at += (size_t)snprintf(text + at, bytes - at, "%s%.*s%u", i == 0 ? "" : " ",
                               (int)family->name.bytes, (const char *)family->name.data,
                               family->generation);
    }
    (void)snprintf(text + at, bytes - at, "%s", schema->has_dropped ? "!" : "");
}

#define CREATE(name) change_of(TABLET_FAMILY_CREATE, name, 0)
#define UPDATE(name, versions) change_of(TABLET_FAMILY_UPDATE, name, versions)
#define DROP(name) change_of(TABLET_FAMILY_DROP, name, 0)

static void changes_act_in_order_and_as_a_whole(void **state)
{
    (void)state;
    const struct {
        struct tablet_family_change changes[4];
        size_t count;
        enum cellar_status status;
        const char *text; /* of the schema, or a part of the error */
    } cases[] = {
        {{CREATE("c")}, 1, CELLAR_OK, "a1 b2 c4"},
        {{DROP("b")}, 1, CELLAR_OK, "a1"},
        {{DROP("a")}, 1, CELLAR_OK, "b2!"},
        {{DROP("a"), CREATE("a")}, 2, CELLAR_OK, "a4 b2!"},
        {{DROP("b"), CREATE("b")}, 2, CELLAR_OK, "a1 b4"},
        {{CREATE("0"), DROP("0")}, 2, CELLAR_OK, "a1 b2"},
        {{CREATE("z"), DROP("z"), CREATE("z"), UPDATE("z", 2)}, 4, CELLAR_OK, "a1 b2 z4"},
        {{UPDATE("b", 5)}, 1, CELLAR_OK, "a1 b2"},
        {{DROP("a"), DROP("b")}, 2, CELLAR_OK, "!"},
        {{CREATE("a")}, 1, CELLAR_ALREADY_EXISTS, "already exists: a"},
        {{CREATE("c"), CREATE("c")}, 2, CELLAR_ALREADY_EXISTS, "already exists: c"},
        {{DROP("c")}, 1, CELLAR_NOT_FOUND, "not found: c"},
        {{DROP("a"), DROP("a")}, 2, CELLAR_NOT_FOUND, "not found: a"},
        {{DROP("a"), UPDATE("a", 1)}, 2, CELLAR_NOT_FOUND, "not found: a"},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        char text[200];
        struct tablet_schema *made = NULL;
        struct cellar_error error;
        cellar_error_clear(&error);
        assert_int_equal(
            tablet_families_apply(schema_make(), cases[i].changes, cases[i].count, &made, &error),
            cases[i].status);
        if (cases[i].status != CELLAR_OK) {
            assert_null(made);
            assert_int_equal(error.code, cases[i].status);
            assert_non_null(strstr(error.text, cases[i].text));
            continue;
        }
        schema_show(made, text, sizeof text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(made->version, 4);
        assert_int_equal(made->granularity, CELLAR_GRANULARITY_MICROS);
        tablet_schema_free(made);
    }
}

static void a_rule_is_set_and_counts_for_the_whole_schema(void **state)
{
    (void)state;
    struct tablet_schema *made = NULL;
    const struct tablet_family_change changes[] = {UPDATE("b", 5)};
    struct tablet_schema *schema = schema_make();
    assert_false(schema->has_version_rule);
    assert_int_equal(tablet_families_apply(schema, changes, 1, &made, NULL), CELLAR_OK);
    assert_true(made->has_version_rule);
    assert_int_equal(made->families[1].rule.amount, 5);
    assert_int_equal(made->families[0].rule.kind, CELLAR_GC_NONE);
    tablet_schema_free(made);
}

static void more_families_than_the_limit_are_refused(void **state)
{
    (void)state;
    static char names[TABLET_FAMILY_COUNT_MAX][8];
    static struct tablet_family_change changes[TABLET_FAMILY_COUNT_MAX];
    struct tablet_schema *made = NULL;
    struct cellar_error error;
    for (unsigned i = 0; i < TABLET_FAMILY_COUNT_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "f%u", i);
        changes[i] = CREATE(names[i]);
    }
    assert_int_equal(
        tablet_families_apply(schema_make(), changes, TABLET_FAMILY_COUNT_MAX - 2, &made, &error),
        CELLAR_OK);
    assert_int_equal(made->family_count, TABLET_FAMILY_COUNT_MAX);
    tablet_schema_free(made);
    assert_int_equal(
        tablet_families_apply(schema_make(), changes, TABLET_FAMILY_COUNT_MAX - 1, &made, &error),
        CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "1001"));
}

static enum cellar_status apply_run(void *context)
{
    struct tablet_schema *made = NULL;
    const struct tablet_family_change changes[] = {CREATE("c"), UPDATE("a", 2), DROP("b")};
    CELLAR_TRY(tablet_families_apply(context, changes, 3, &made, NULL));
    tablet_schema_free(made);
    return CELLAR_OK;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(apply_run, schema_make()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_act_in_order_and_as_a_whole),
        cmocka_unit_test(a_rule_is_set_and_counts_for_the_whole_schema),
        cmocka_unit_test(more_families_than_the_limit_are_refused),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
