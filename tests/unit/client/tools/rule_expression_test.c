/*
 * rule_expression: rules of any shape from text. What is read is written again by family_text, so
 * that shapes can be compared as texts.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/tools/family_text.h"
#include "client/tools/rule_expression.h"

static void expressions_are_read_as_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *shape; /* as cellar_rule_text_encode() writes it */
    } cases[] = {
        {"max-versions=3", "max-versions=3"},
        {"  ( max-age=7d )  ", "max-age=7d"},
        {"max-versions=3 and max-age=7d", "gc=max-versions=3 and max-age=7d"},
        {"max-versions=3 or max-age=7d", "max-versions=3:max-age=7d"},
        {"max-age=1h and max-age=2h and max-age=3h", "gc=max-age=1h and max-age=2h and max-age=3h"},
        {"max-age=30d or (max-versions=3 and max-age=7d)",
         "gc=max-age=30d or (max-versions=3 and max-age=7d)"},
        {"(max-versions=3 and max-age=7d)or(max-versions=1 and(max-age=1d or max-age=2d))",
         "gc=(max-versions=3 and max-age=7d) or (max-versions=1 and (max-age=1d or max-age=2d))"},
        {"((max-versions=1)) or\tmax-versions=2", "gc=max-versions=1 or max-versions=2"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_rule_nodes nodes;
        struct cellar_rule rule;
        struct cellar_buffer shape = {0};
        assert_int_equal(cellar_rule_expression_decode(cases[index].text, &nodes, &rule, NULL),
                         CELLAR_OK);
        assert_int_equal(cellar_rule_text_encode(&rule, &shape), CELLAR_OK);
        if (!cellar_slice_equal(cellar_slice_of(&shape), cellar_slice_text(cases[index].shape))) {
            fail_msg("'%s' was read as '%.*s'", cases[index].text, (int)shape.bytes,
                     (const char *)shape.data);
        }
        cellar_buffer_fini(&shape);
    }
}

static void other_expressions_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"", "but got 'its end'"},
        {"max-versions", "max-versions=N, max-age=D or a '(' here, but got 'max-versions'"},
        {"max-versions=0", "above 0, but got '0'"},
        {"max-versions=", "above 0, but got ''"},
        {"max-versions=99999999999999999999999999999999999", "above 0"},
        {"max-age=x", "duration"},
        {"max-age=1d max-age=2d", "'and' or 'or' between terms, but got 'max-age=2d'"},
        {"max-age=1d and", "or a '(' here, but got 'its end'"},
        {"max-age=1d and and max-age=2d", "or a '(' here, but got 'and max-age=2d'"},
        {"max-age=1d andmax-age=2d", "between terms"},
        {"(max-age=1d", "a ')' for each '(', but got 'its end'"},
        {"max-age=1d)", "between terms, but got ')'"},
        {"()", "or a '(' here, but got ')'"},
        {"max-age=1d and max-age=2d or max-age=3d", "parentheses where 'and' and 'or' meet"},
        {"max-age=1d or max-age=2d and max-age=3d", "parentheses where 'and' and 'or' meet"},
        {"never", "max-versions=N"},
        {"((((((((((((((((((((max-age=1d))))))))))))))))))))", "fewer parentheses"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_rule_nodes nodes;
        struct cellar_rule rule;
        struct cellar_error error;
        enum cellar_status status =
            cellar_rule_expression_decode(cases[index].text, &nodes, &rule, &error);
        if (status != CELLAR_INVALID_ARGUMENT || strstr(error.text, cases[index].why) == NULL) {
            fail_msg("'%s': status %d, '%s'", cases[index].text, (int)status, error.text);
        }
    }
}

static void an_expression_has_a_limited_number_of_terms(void **state)
{
    (void)state;
    char text[2048] = "max-age=1d";
    struct cellar_rule_nodes nodes;
    struct cellar_rule rule;
    struct cellar_error error;
    for (unsigned count = 2; count <= CELLAR_RULE_NODES_MAX + 1; count++) {
        size_t bytes = strlen(text);
        (void)snprintf(text + bytes, sizeof text - bytes, " or max-age=%ud", count);
        enum cellar_status status = cellar_rule_expression_decode(text, &nodes, &rule, &error);
        if (count <= CELLAR_RULE_NODES_MAX) {
            assert_int_equal(status, CELLAR_OK);
            assert_int_equal(rule.child_count, count);
        } else {
            assert_int_equal(status, CELLAR_INVALID_ARGUMENT);
            assert_non_null(strstr(error.text, "fewer terms"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_are_read_as_they_are_written),
        cmocka_unit_test(other_expressions_are_refused),
        cmocka_unit_test(an_expression_has_a_limited_number_of_terms),
    };
    return cmocka_run_group_tests_name("rule_expression", tests, NULL, NULL);
}
