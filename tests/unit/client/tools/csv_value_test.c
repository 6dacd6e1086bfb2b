/*
 * csv_value: every type's bytes, its edges, and what it refuses.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/tools/csv_value.h"

#define BYTES(literal) (literal), sizeof(literal) - 1

static void values_are_the_bytes_of_their_type(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *text;
        const char *bytes;
        size_t byte_count;
    } cases[] = {
        {"text", "a\\x00 \xff", BYTES("a\\x00 \xff")},
        {"text", "", BYTES("")},
        {"int64", "0", BYTES("\0\0\0\0\0\0\0\0")},
        {"int64", "+258", BYTES("\0\0\0\0\0\0\1\2")},
        {"int64", "-1", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff")},
        {"int64", "9223372036854775807", BYTES("\x7f\xff\xff\xff\xff\xff\xff\xff")},
        {"int64", "-9223372036854775808", BYTES("\x80\0\0\0\0\0\0\0")},
        {"int64", "000000000000000000000000000007", BYTES("\0\0\0\0\0\0\0\7")},
        {"float64", "1", BYTES("\x3f\xf0\0\0\0\0\0\0")},
        {"float64", "-2.5e0", BYTES("\xc0\x04\0\0\0\0\0\0")},
        {"float64", "inf", BYTES("\x7f\xf0\0\0\0\0\0\0")},
        {"float64", "1e-400", BYTES("\0\0\0\0\0\0\0\0")},
        {"base64", "AP+A", BYTES("\0\xff\x80")},
        {"base64", "", BYTES("")},
        {"hex", "00fF7a", BYTES("\0\xff\x7a")},
        {"hex", "", BYTES("")},
        {"json", "{\"a\": [1, null]}", BYTES("{\"a\": [1, null]}")},
        {"escaped", "a\\x00\\\\\\xff", BYTES("a\0\\\xff")},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_buffer bytes = {0};
        struct cellar_error error;
        enum cellar_csv_type type;
        assert_int_equal(cellar_buffer_append(&bytes, "x", 1), CELLAR_OK);
        assert_true(cellar_csv_type_decode(cellar_slice_text(cases[index].type), &type));
        if (cellar_csv_value_decode(cellar_slice_text(cases[index].text), type, &bytes, &error) !=
            CELLAR_OK) {
            fail_msg("%s '%s': %s", cases[index].type, cases[index].text, error.text);
        }
        assert_int_equal(bytes.bytes, 1 + cases[index].byte_count);
        assert_memory_equal(bytes.data + 1, cases[index].bytes, cases[index].byte_count);
        cellar_buffer_fini(&bytes);
    }
}

static void what_is_no_value_is_refused_and_appends_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *text;
        const char *why;
    } cases[] = {
        {"int64", "", "int64 wants a decimal number of 64 bits, but got ''"},
        {"int64", "-", "int64"},
        {"int64", " 1", "int64"},
        {"int64", "1 ", "int64"},
        {"int64", "1.0", "int64"},
        {"int64", "0x10", "int64"},
        {"int64", "9223372036854775808", "int64"},
        {"int64", "-9223372036854775809", "int64"},
        {"int64", "99999999999999999999999999", "int64"},
        {"float64", "", "float64 wants"},
        {"float64", " 1", "float64 wants"},
        {"float64", "1 ", "float64 wants"},
        {"float64", "one", "float64 wants"},
        {"float64", "1e400", "float64 wants"},
        {"base64", "A", "base64 wants"},
        {"base64", "AA=", "base64 wants"},
        {"hex", "0", "hex wants"},
        {"hex", "0g", "hex wants"},
        {"hex", "00 1", "hex wants"},
        {"json", "", "JSON"},
        {"json", "{a:1}", "JSON"},
        {"json", "1 2", "JSON"},
        {"escaped", "\\y", ""},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_buffer bytes = {0};
        struct cellar_error error;
        enum cellar_csv_type type;
        assert_true(cellar_csv_type_decode(cellar_slice_text(cases[index].type), &type));
        enum cellar_status status =
            cellar_csv_value_decode(cellar_slice_text(cases[index].text), type, &bytes, &error);
        if (status != CELLAR_INVALID_ARGUMENT || strstr(error.text, cases[index].why) == NULL) {
            fail_msg("%s '%s': %d %s", cases[index].type, cases[index].text, (int)status,
                     error.text);
        }
        cellar_buffer_fini(&bytes);
    }
}

static void long_fields_are_shown_in_part(void **state)
{
    (void)state;
    char text[500];
    struct cellar_buffer bytes = {0};
    struct cellar_error error;
    memset(text, '1', sizeof text);
    assert_int_equal(cellar_csv_value_decode(cellar_slice_make(text, sizeof text),
                                             CELLAR_CSV_FLOAT64, &bytes, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "1' and more"));
    cellar_buffer_fini(&bytes);
}

static void names_are_those_of_the_list(void **state)
{
    (void)state;
    enum cellar_csv_type type;
    assert_false(cellar_csv_type_decode(cellar_slice_text("int"), &type));
    assert_false(cellar_csv_type_decode(cellar_slice_text(""), &type));
    assert_true(cellar_csv_type_decode(cellar_slice_text("json"), &type));
    assert_int_equal(type, CELLAR_CSV_JSON);
}

static enum cellar_status decode_all(void *context)
{
    static const char *const texts[] = {"text", "1", "1", "AA==", "00", "[1]", "\\x00"};
    enum cellar_status status = CELLAR_OK;
    (void)context;
    for (size_t index = 0; status == CELLAR_OK && index < CELLAR_ARRAY_COUNT(texts); index++) {
        struct cellar_buffer bytes = {0};
        status = cellar_csv_value_decode(cellar_slice_text(texts[index]),
                                         (enum cellar_csv_type)index, &bytes, NULL);
        cellar_buffer_fini(&bytes);
    }
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(decode_all, NULL) >= 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_the_bytes_of_their_type),
        cmocka_unit_test(what_is_no_value_is_refused_and_appends_nothing),
        cmocka_unit_test(long_fields_are_shown_in_part),
        cmocka_unit_test(names_are_those_of_the_list),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("csv_value", tests, NULL, NULL);
}
