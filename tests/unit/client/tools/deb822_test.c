/*
 * deb822: stanzas line by line: fields, continuation lines kept as they are, comments, blanks, and
 * everything that makes a stanza malformed told with its line.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/deb822.h"

/* Feeds a text; returns after the first stanza that ended, with the text moved behind it. */
static bool feed(struct cellar_deb822 *stanza, const char **text, uint64_t *number)
{
    bool has_ended = false;
    while (**text != '\0' && !has_ended) {
        size_t bytes = strcspn(*text, "\n");
        ++*number;
        assert_int_equal(
            cellar_deb822_line(stanza, cellar_slice_make(*text, bytes), *number, &has_ended),
            CELLAR_OK);
        *text += bytes + ((*text)[bytes] == '\n' ? 1u : 0u);
    }
    return has_ended;
}

static void expect_field(const struct cellar_deb822 *stanza, size_t index, const char *name,
                         const char *value)
{
    struct cellar_slice found_name;
    struct cellar_slice found_value;
    assert_true(index < stanza->field_count);
    cellar_deb822_field(stanza, index, &found_name, &found_value);
    assert_true(cellar_slice_equal(found_name, cellar_slice_text(name)));
    if (!cellar_slice_equal(found_value, cellar_slice_text(value))) {
        fail_msg("%s is '%.*s', not '%s'", name, (int)found_value.bytes,
                 (const char *)found_value.data, value);
    }
}

static void stanzas_come_one_by_one(void **state)
{
    (void)state;
    struct cellar_deb822 stanza = {0};
    const char *text = "\n \nPackage: a\nVersion:1.0 \nEmpty:\nDepends: \t b (>= 2),\n  c\n\t d\n"
                       "Description: short\n long one\n .\n  verbatim\n"
                       "# a comment\nLast: x:y: z\n\n\nPackage: b\n";
    uint64_t number = 0;
    struct cellar_slice value;
    assert_true(feed(&stanza, &text, &number));
    assert_int_equal(stanza.error.code, CELLAR_OK);
    assert_int_equal(stanza.line, 3);
    assert_int_equal(stanza.field_count, 6);
    expect_field(&stanza, 0, "Package", "a");
    expect_field(&stanza, 1, "Version", "1.0");
    expect_field(&stanza, 2, "Empty", "");
    expect_field(&stanza, 3, "Depends", "b (>= 2),\n  c\n\t d");
    expect_field(&stanza, 4, "Description", "short\n long one\n .\n  verbatim");
    expect_field(&stanza, 5, "Last", "x:y: z");
    assert_true(cellar_deb822_find(&stanza, "package", &value));
    assert_true(cellar_slice_equal(value, cellar_slice_text("a")));
    assert_false(cellar_deb822_find(&stanza, "Pack", &value));
    cellar_deb822_clear(&stanza);
    assert_false(feed(&stanza, &text, &number)); /* the file ends within it */
    assert_int_equal(stanza.line, 17);
    assert_int_equal(stanza.field_count, 1);
    expect_field(&stanza, 0, "Package", "b");
    cellar_deb822_fini(&stanza);
}

static void a_file_of_blanks_and_comments_has_no_stanza(void **state)
{
    (void)state;
    struct cellar_deb822 stanza = {0};
    const char *text = "\n\n  \t\n# only this\n\n";
    uint64_t number = 0;
    assert_false(feed(&stanza, &text, &number));
    assert_int_equal(stanza.line, 0);
    cellar_deb822_fini(&stanza);
}

static void malformed_stanzas_are_told_by_line_and_stepped_over(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t line;
        const char *why;
    } cases[] = {
        {"Package: a\nno colon here\nX: 1\n\n", 2, "'Field: value'"},
        {" begins with a blank\nPackage: a\n\n", 1, "goes on with nothing"},
        {"Package: a\npackage: b\n\n", 2, "'package' comes twice"},
        {": no name\n\n", 1, "'Field: value'"},
        {"-Name: x\n\n", 1, "'Field: value'"},
        {"Na me: x\n\n", 1, "'Field: value'"},
        {"N\xc3\xa9: x\n\n", 1, "'Field: value'"},
        {"Package: a\nBad\nAlso bad\n\n", 2, "'Field: value'"}, /* the first one counts */
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_deb822 stanza = {0};
        const char *text = cases[index].text;
        uint64_t number = 0;
        assert_true(feed(&stanza, &text, &number));
        assert_int_equal(stanza.error.code, CELLAR_INVALID_ARGUMENT);
        assert_int_equal(stanza.error_line, cases[index].line);
        if (strstr(stanza.error.text, cases[index].why) == NULL) {
            fail_msg("'%s' does not hold '%s'", stanza.error.text, cases[index].why);
        }
        cellar_deb822_clear(&stanza);
        text = "Package: fine\n\n";
        assert_true(feed(&stanza, &text, &number));
        assert_int_equal(stanza.error.code, CELLAR_OK);
        cellar_deb822_fini(&stanza);
    }
}

static void a_line_that_could_not_be_read_spoils_its_stanza(void **state)
{
    (void)state;
    struct cellar_deb822 stanza = {0};
    const char *text = "\n";
    uint64_t number = 7;
    cellar_deb822_refuse(&stanza, 7, "too long");
    assert_int_equal(stanza.line, 7);
    assert_true(feed(&stanza, &text, &number));
    assert_string_equal(stanza.error.text, "too long");
    cellar_deb822_fini(&stanza);
}

static void fields_and_bytes_are_bounded(void **state)
{
    (void)state;
    struct cellar_deb822 stanza = {0};
    static char line[65536];
    bool has_ended;
    memset(line, 'x', sizeof line);
    memcpy(line, "A:", 2);
    assert_int_equal(
        cellar_deb822_line(&stanza, cellar_slice_make(line, sizeof line), 1, &has_ended),
        CELLAR_OK);
    line[0] = ' ';
    for (uint64_t number = 2; number < 130; number++) {
        assert_int_equal(
            cellar_deb822_line(&stanza, cellar_slice_make(line, sizeof line), number, &has_ended),
            CELLAR_OK);
    }
    assert_int_equal(stanza.error.code, CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(stanza.error.text, "8388608 bytes"));
    assert_true(stanza.text.bytes <= CELLAR_DEB822_BYTES_MAX);
    cellar_deb822_fini(&stanza);
}

static enum cellar_status parse(void *context)
{
    struct cellar_deb822 stanza = {0};
    bool has_ended;
    (void)context;
    enum cellar_status status =
        cellar_deb822_line(&stanza, cellar_slice_text("Package: a"), 1, &has_ended);
    for (uint64_t number = 2; status == CELLAR_OK && number < 40; number++) {
        char line[16] = "F__: value";
        line[1] = (char)('a' + number % 26);
        line[2] = (char)('a' + number / 26);
        status = cellar_deb822_line(&stanza, cellar_slice_text(line), number, &has_ended);
    }
    cellar_deb822_fini(&stanza);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(parse, NULL) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stanzas_come_one_by_one),
        cmocka_unit_test(a_file_of_blanks_and_comments_has_no_stanza),
        cmocka_unit_test(malformed_stanzas_are_told_by_line_and_stepped_over),
        cmocka_unit_test(a_line_that_could_not_be_read_spoils_its_stanza),
        cmocka_unit_test(fields_and_bytes_are_bounded),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("deb822", tests, NULL, NULL);
}
