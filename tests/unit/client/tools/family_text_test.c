/*
 * family_text: families with their rules as arguments, and rules of any shape as text.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/family_text.h"

static void families_are_read(void **state)
{
    (void)state;
    struct cellar_family_text family;
    assert_int_equal(cellar_family_text_decode("f", &family, NULL), CELLAR_OK);
    assert_string_equal(family.name, "f");
    assert_int_equal(family.rule.kind, CELLAR_RULE_NONE);
    assert_int_equal(cellar_family_text_decode("f:max-versions=3", &family, NULL), CELLAR_OK);
    assert_int_equal(family.rule.kind, CELLAR_RULE_VERSIONS);
    assert_int_equal(family.rule.amount, 3);
    assert_int_equal(cellar_family_text_decode("f:max-age=7d", &family, NULL), CELLAR_OK);
    assert_int_equal(family.rule.kind, CELLAR_RULE_AGE);
    assert_int_equal(family.rule.amount, INT64_C(604800000000));
    assert_int_equal(cellar_family_text_decode("f:max-age=1h:max-versions=2", &family, NULL),
                     CELLAR_OK);
    assert_int_equal(family.rule.kind, CELLAR_RULE_UNION);
    assert_int_equal(family.rule.child_count, 2);
    assert_int_equal(family.rule.children[0].kind, CELLAR_RULE_AGE);
    assert_int_equal(family.rule.children[1].amount, 2);
}

static void names_have_1_to_64_bytes(void **state)
{
    (void)state;
    char text[80];
    struct cellar_family_text family;
    memset(text, 'x', sizeof text);
    text[64] = '\0';
    assert_int_equal(cellar_family_text_decode(text, &family, NULL), CELLAR_OK);
    assert_int_equal(strlen(family.name), 64);
    text[64] = 'x';
    text[65] = '\0';
    assert_int_equal(cellar_family_text_decode(text, &family, NULL), CELLAR_INVALID_ARGUMENT);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"", "NAME"},
        {":max-versions=1", "NAME"},
        {"f:", "takes max-versions=N and max-age=D"},
        {"f:x", "takes max-versions=N"},
        {"f:max-versions=", "above 0"},
        {"f:max-versions=0", "above 0"},
        {"f:max-versions=-1", "above 0"},
        {"f:max-versions=1x", "above 0"},
        {"f:max-versions=99999999999999999999", "above 0"},
        {"f:max-age=", "duration"},
        {"f:max-age=7", NULL},
        {"f:max-age=x", "duration"},
        {"f:max-versions=1:max-versions=2", "once each"},
        {"f:max-versions=1:max-age=1d:max-age=2d", "once each"},
        {"f:gc=", "max-versions=N, max-age=D or a '(' here, but got 'its end'"},
        {"f:max-age=1d:gc=max-versions=1", "gc= and an expression alone"},
        {"f:type=sum", "This build does not have"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_family_text family;
        struct cellar_error error;
        enum cellar_status status = cellar_family_text_decode(cases[index].text, &family, &error);
        if (cases[index].why == NULL) {
            assert_int_equal(status, CELLAR_OK); /* a bare number is seconds */
        } else if (status != CELLAR_INVALID_ARGUMENT ||
                   strstr(error.text, cases[index].why) == NULL) {
            fail_msg("'%s': status %d, '%s'", cases[index].text, (int)status, error.text);
        }
    }
}

static void expect_text(const struct cellar_rule *rule, const char *text)
{
    struct cellar_buffer to = {0};
    assert_int_equal(cellar_rule_text_encode(rule, &to), CELLAR_OK);
    if (!cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text(text))) {
        fail_msg("got '%.*s', wanted '%s'", (int)to.bytes, (const char *)to.data, text);
    }
    cellar_buffer_fini(&to);
}

static void rules_are_written_as_arguments_or_expressions(void **state)
{
    (void)state;
    const struct cellar_rule leaves[] = {{.kind = CELLAR_RULE_VERSIONS, .amount = 3},
                                         {.kind = CELLAR_RULE_AGE, .amount = 60000000},
                                         {.kind = CELLAR_RULE_NONE}};
    const struct cellar_rule either = {
        .kind = CELLAR_RULE_UNION, .children = leaves, .child_count = 2};
    const struct cellar_rule both = {
        .kind = CELLAR_RULE_INTERSECTION, .children = leaves, .child_count = 2};
    const struct cellar_rule mixed[] = {both, leaves[1]};
    const struct cellar_rule deep = {
        .kind = CELLAR_RULE_UNION, .children = mixed, .child_count = 2};
    const struct cellar_rule odd = {
        .kind = CELLAR_RULE_INTERSECTION, .children = &leaves[2], .child_count = 1};
    expect_text(&leaves[2], "");
    expect_text(&leaves[0], "max-versions=3");
    expect_text(&leaves[1], "max-age=1m");
    expect_text(&either, "max-versions=3:max-age=1m");
    expect_text(&both, "gc=max-versions=3 and max-age=1m");
    expect_text(&deep, "gc=(max-versions=3 and max-age=1m) or max-age=1m");
    expect_text(&odd, "gc=never");
}

static void what_is_written_for_arguments_is_read_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"max-versions=1", "max-age=7d",
                                        "max-versions=5:max-age=36h", "max-age=1ms:max-versions=2",
                                        "gc=max-versions=3 and max-age=1m"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(texts); index++) {
        char argument[64] = "f:";
        struct cellar_family_text family;
        struct cellar_family_text again;
        struct cellar_buffer to = {0};
        memcpy(argument + 2, texts[index], strlen(texts[index]) + 1);
        assert_int_equal(cellar_family_text_decode(argument, &family, NULL), CELLAR_OK);
        assert_int_equal(cellar_rule_text_encode(&family.rule, &to), CELLAR_OK);
        memcpy(argument + 2, to.data, to.bytes);
        argument[2 + to.bytes] = '\0';
        assert_int_equal(cellar_family_text_decode(argument, &again, NULL), CELLAR_OK);
        assert_int_equal(again.rule.kind, family.rule.kind);
        assert_int_equal(again.rule.child_count, family.rule.child_count);
        assert_int_equal(again.parts[0].amount, family.parts[0].amount);
        assert_int_equal(again.parts[1].amount, family.parts[1].amount);
        cellar_buffer_fini(&to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_read),
        cmocka_unit_test(names_have_1_to_64_bytes),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(rules_are_written_as_arguments_or_expressions),
        cmocka_unit_test(what_is_written_for_arguments_is_read_back),
    };
    return cmocka_run_group_tests_name("family_text", tests, NULL, NULL);
}
