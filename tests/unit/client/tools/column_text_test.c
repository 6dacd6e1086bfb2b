/*
 * column_text: families, columns and cells as arguments, with escapes, empty parts and the marks
 * that end a part inside the next one; what is none of these is refused.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/column_text.h"

static bool holds(const struct cellar_buffer *buffer, const char *text, size_t bytes)
{
    return cellar_slice_equal(cellar_slice_of(buffer), cellar_slice_make(text, bytes));
}

static void columns_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *family;
        bool has_qualifier;
        const char *qualifier;
        size_t qualifier_bytes;
    } cases[] = {
        {"cf", "cf", false, "", 0},
        {"cf:", "cf", true, "", 0},
        {"cf:q", "cf", true, "q", 1},
        {"cf:a:b=c", "cf", true, "a:b=c", 5},
        {"cf:\\x00\\x3a", "cf", true, "\0:", 2},
        {"cf:\\\\", "cf", true, "\\", 1},
    };
    struct cellar_column_text column = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        assert_int_equal(cellar_column_text_decode(cases[index].text, &column, NULL), CELLAR_OK);
        assert_string_equal(cellar_column_text_family(&column), cases[index].family);
        assert_int_equal(column.has_qualifier, cases[index].has_qualifier);
        assert_true(holds(&column.qualifier, cases[index].qualifier, cases[index].qualifier_bytes));
    }
    cellar_column_text_fini(&column);
}

static void cells_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *qualifier;
        const char *value;
    } cases[] = {
        {"f:q=v", "q", "v"},           {"f:=v", "", "v"},           {"f:q=", "q", ""},
        {"f:q=a=b", "q", "a=b"},       {"f:a\\x3db=c", "a=b", "c"}, {"f:a:b=c:d", "a:b", "c:d"},
        {"f:q=\\x41\\\\", "q", "A\\"},
    };
    struct cellar_column_text cell = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        assert_int_equal(cellar_cell_text_decode(cases[index].text, &cell, NULL), CELLAR_OK);
        assert_string_equal(cellar_column_text_family(&cell), "f");
        assert_true(cell.has_qualifier);
        assert_true(holds(&cell.qualifier, cases[index].qualifier, strlen(cases[index].qualifier)));
        assert_true(holds(&cell.value, cases[index].value, strlen(cases[index].value)));
    }
    cellar_column_text_fini(&cell);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const columns[] = {"", ":", ":q", "f:\\", "f:\\x1"};
    static const char *const cells[] = {"",     "f",     "f:q",     "f=v",
                                        ":q=v", "f=a:b", "f:\\q=v", "f:q=\\x"};
    struct cellar_column_text column = {0};
    struct cellar_error error;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(columns); index++) {
        assert_int_equal(cellar_column_text_decode(columns[index], &column, &error),
                         CELLAR_INVALID_ARGUMENT);
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cells); index++) {
        assert_int_equal(cellar_cell_text_decode(cells[index], &column, &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_true(strlen(error.text) > 10);
    }
    cellar_column_text_fini(&column);
}

static enum cellar_status decode(void *context)
{
    struct cellar_column_text cell = {0};
    (void)context;
    enum cellar_status status = cellar_cell_text_decode("family:qualifier=value", &cell, NULL);
    cellar_column_text_fini(&cell);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(decode, NULL), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_taken_apart),
        cmocka_unit_test(cells_are_taken_apart),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("column_text", tests, NULL, NULL);
}
