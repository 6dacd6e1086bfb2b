/*
 * report: the same fields as one JSON object or as a CSV header and a record, whatever bytes they
 * hold.
 */
#include "tests/support/support.h"

#include "client/tools/report.h"

/* Appends four fields, one of each kind. */
static enum cellar_status put(enum cellar_format format, struct cellar_slice bytes,
                              struct cellar_buffer *to)
{
    const struct cellar_report_field fields[] = {
        {.name = "dry_run", .kind = CELLAR_REPORT_BOOL, .number = 1},
        {.name = "row", .kind = CELLAR_REPORT_BYTES, .bytes = bytes},
        {.name = "cells", .number = UINT64_MAX},
        {.name = "seconds", .kind = CELLAR_REPORT_MICROS, .number = 12004999},
    };
    return cellar_report_put(format, fields, CELLAR_ARRAY_COUNT(fields), to);
}

static void fields_are_printed_in_each_format(void **state)
{
    (void)state;
    static const struct {
        enum cellar_format format;
        struct cellar_slice bytes;
        const char *wanted;
    } cases[] = {
        {CELLAR_FORMAT_JSON,
         {(const uint8_t *)"a\"\x1b", 3},
         "{\"dry_run\":true,\"row\":\"a\\\"\\u001b\",\"cells\":18446744073709551615,"
         "\"seconds\":12.004}\n"},
        {CELLAR_FORMAT_JSONL,
         {(const uint8_t *)"\xff", 1},
         "{\"dry_run\":true,\"row\":{\"b64\":\"/w==\"},\"cells\":18446744073709551615,"
         "\"seconds\":12.004}\n"},
        {CELLAR_FORMAT_CSV,
         {(const uint8_t *)"a,\xff\n", 4},
         "dry_run,row,cells,seconds\ntrue,\"a,\\xff\\x0a\",18446744073709551615,12.004\n"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_buffer to = {0};
        assert_int_equal(put(cases[index].format, cases[index].bytes, &to), CELLAR_OK);
        assert_int_equal(cellar_buffer_append(&to, "", 1), CELLAR_OK);
        assert_string_equal((const char *)to.data, cases[index].wanted);
        cellar_buffer_fini(&to);
    }
}

static enum cellar_status both(void *context)
{
    struct cellar_buffer to = {0};
    (void)context;
    enum cellar_status status = put(CELLAR_FORMAT_JSON, cellar_slice_text("\xff"), &to);
    status = status == CELLAR_OK ? put(CELLAR_FORMAT_CSV, cellar_slice_text(","), &to) : status;
    cellar_buffer_fini(&to);
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(both, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_printed_in_each_format),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
