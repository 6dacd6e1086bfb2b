/*
 * row_printer: the same rows in four formats, compared with the text they must be; bytes that are
 * no text, empty answers, keys alone, columns of many widths.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/json.h"
#include "client/tools/row_printer.h"

static const struct cellar_row_cell cells[] = {
    {{(const uint8_t *)"d", 1},
     {(const uint8_t *)"Depends", 7},
     1000,
     {(const uint8_t *)"a, \"b\"", 6}},
    {{(const uint8_t *)"f", 1}, {(const uint8_t *)"", 0}, 0, {NULL, 0}},
    {{(const uint8_t *)"f", 1}, {(const uint8_t *)"a b", 3}, 2000, {(const uint8_t *)"\xff\0", 2}},
    {{(const uint8_t *)"f", 1}, {(const uint8_t *)"a b", 3}, 1000, {(const uint8_t *)"x\ny", 3}},
};

static const struct cellar_row rows[] = {
    {{(const uint8_t *)"r1", 2}, cells, 4},
    {{(const uint8_t *)"r\xc3\xa9,\xff", 5}, cells, 1},
};

static void expect_printed(enum cellar_format format, bool is_keys_only, size_t row_count,
                           const char *wanted)
{
    struct cellar_buffer to = {0};
    struct cellar_row_printer printer = {.format = format, .is_keys_only = is_keys_only, .to = &to};
    assert_int_equal(cellar_row_printer_start(&printer), CELLAR_OK);
    for (size_t index = 0; index < row_count; index++) {
        struct cellar_row row = rows[index];
        row.cell_count = is_keys_only ? 0 : row.cell_count;
        assert_int_equal(cellar_row_printer_row(&printer, &row), CELLAR_OK);
    }
    assert_int_equal(cellar_row_printer_end(&printer), CELLAR_OK);
    if (!cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text(wanted))) {
        fail_msg("got:\n%.*s\nwanted:\n%s", (int)to.bytes, (const char *)to.data, wanted);
    }
    cellar_buffer_fini(&to);
}

#define JSON_ROW_1                                                                                 \
    "{\"row\":\"r1\",\"cells\":["                                                                  \
    "{\"family\":\"d\",\"qualifier\":\"Depends\",\"timestamp\":1000,\"value\":\"a, \\\"b\\\"\"},"  \
    "{\"family\":\"f\",\"qualifier\":\"\",\"timestamp\":0,\"value\":\"\"},"                        \
    "{\"family\":\"f\",\"qualifier\":\"a b\",\"timestamp\":2000,\"value\":{\"b64\":\"/wA=\"}},"    \
    "{\"family\":\"f\",\"qualifier\":\"a b\",\"timestamp\":1000,\"value\":\"x\\ny\"}]}"
#define JSON_ROW_2                                                                                 \
    "{\"row\":{\"b64\":\"csOpLP8=\"},\"cells\":["                                                  \
    "{\"family\":\"d\",\"qualifier\":\"Depends\",\"timestamp\":1000,\"value\":\"a, \\\"b\\\"\"}]}"

static void text_is_a_key_and_its_columns_under_each_other(void **state)
{
    (void)state;
    expect_printed(CELLAR_FORMAT_TEXT, false, 2,
                   "r1\n"
                   "  d:Depends  @1000  a, \"b\"\n"
                   "  f:         @0  \n"
                   "  f:a\\x20b   @2000  \\xff\\x00\n"
                   "  f:a\\x20b   @1000  x\\x0ay\n"
                   "r\xc3\xa9,\\xff\n"
                   "  d:Depends  @1000  a, \"b\"\n");
}

static void json_lines_are_a_row_a_line(void **state)
{
    (void)state;
    expect_printed(CELLAR_FORMAT_JSONL, false, 2, JSON_ROW_1 "\n" JSON_ROW_2 "\n");
}

static void json_is_one_array(void **state)
{
    (void)state;
    expect_printed(CELLAR_FORMAT_JSON, false, 2, "[\n" JSON_ROW_1 ",\n" JSON_ROW_2 "\n]\n");
}

static void csv_is_a_line_a_cell_behind_a_header(void **state)
{
    (void)state;
    expect_printed(CELLAR_FORMAT_CSV, false, 2,
                   "row,family,qualifier,timestamp,value\n"
                   "r1,d,Depends,1000,\"a, \"\"b\"\"\"\n"
                   "r1,f,,0,\n"
                   "r1,f,a b,2000,\\xff\\x00\n"
                   "r1,f,a b,1000,x\\x0ay\n"
                   "\"r\xc3\xa9,\\xff\",d,Depends,1000,\"a, \"\"b\"\"\"\n");
}

static void an_empty_answer_is_well_formed(void **state)
{
    (void)state;
    expect_printed(CELLAR_FORMAT_TEXT, false, 0, "");
    expect_printed(CELLAR_FORMAT_JSONL, false, 0, "");
    expect_printed(CELLAR_FORMAT_JSON, false, 0, "[]\n");
    expect_printed(CELLAR_FORMAT_CSV, false, 0, "row,family,qualifier,timestamp,value\n");
}

static void keys_can_stand_alone(void **state)
{
    (void)state;
    expect_printed(CELLAR_FORMAT_TEXT, true, 2, "r1\nr\xc3\xa9,\\xff\n");
    expect_printed(CELLAR_FORMAT_CSV, true, 2, "row\nr1\n\"r\xc3\xa9,\\xff\"\n");
    expect_printed(CELLAR_FORMAT_JSONL, true, 1, "{\"row\":\"r1\",\"cells\":[]}\n");
}

static void one_long_column_does_not_push_the_others_away(void **state)
{
    (void)state;
    static const char name[] = "a-qualifier-that-is-longer-than-forty-characters";
    const struct cellar_row_cell wide[] = {
        {cellar_text("f"), cellar_text(name), 1, cellar_text("v")},
        {cellar_text("f"), cellar_text("\xc3\xa9"), 2, cellar_text("v")},
        {cellar_text("f"), cellar_text("abc"), 3, cellar_text("v")},
    };
    const struct cellar_row row = {cellar_text("r"), wide, 3};
    struct cellar_buffer to = {0};
    struct cellar_row_printer printer = {.format = CELLAR_FORMAT_TEXT, .to = &to};
    assert_int_equal(cellar_row_printer_row(&printer, &row), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&to, "", 1), CELLAR_OK);
    assert_string_equal((const char *)to.data,
                        "r\n"
                        "  f:a-qualifier-that-is-longer-than-forty-characters  @1  v\n"
                        "  f:\xc3\xa9    @2  v\n"
                        "  f:abc  @3  v\n");
    cellar_buffer_fini(&to);
}

static void the_names_of_formats_are_known(void **state)
{
    (void)state;
    enum cellar_format format = CELLAR_FORMAT_TEXT;
    assert_true(cellar_format_decode("csv", &format));
    assert_int_equal(format, CELLAR_FORMAT_CSV);
    assert_true(cellar_format_decode("jsonl", &format));
    assert_int_equal(format, CELLAR_FORMAT_JSONL);
    assert_false(cellar_format_decode("JSON", &format));
    assert_false(cellar_format_decode("", &format));
}

static enum cellar_status print(void *context)
{
    struct cellar_buffer to = {0};
    struct cellar_row_printer printer = {.format = *(const enum cellar_format *)context, .to = &to};
    enum cellar_status status = cellar_row_printer_start(&printer);
    for (size_t index = 0; status == CELLAR_OK && index < 2; index++) {
        status = cellar_row_printer_row(&printer, &rows[index]);
    }
    if (status == CELLAR_OK) {
        status = cellar_row_printer_end(&printer);
    }
    cellar_buffer_fini(&to);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    static const enum cellar_format formats[] = {CELLAR_FORMAT_TEXT, CELLAR_FORMAT_JSON,
                                                 CELLAR_FORMAT_JSONL, CELLAR_FORMAT_CSV};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(formats); index++) {
        enum cellar_format format = formats[index];
        assert_true(test_out_of_memory_loop(print, &format) >= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_a_key_and_its_columns_under_each_other),
        cmocka_unit_test(json_lines_are_a_row_a_line),
        cmocka_unit_test(json_is_one_array),
        cmocka_unit_test(csv_is_a_line_a_cell_behind_a_header),
        cmocka_unit_test(an_empty_answer_is_well_formed),
        cmocka_unit_test(keys_can_stand_alone),
        cmocka_unit_test(one_long_column_does_not_push_the_others_away),
        cmocka_unit_test(the_names_of_formats_are_known),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("row_printer", tests, NULL, NULL);
}
