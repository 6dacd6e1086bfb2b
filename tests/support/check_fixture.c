/*
 * The report in memory is a stream of open_memstream(3), whose text is there after each flush.
 */
#include "tests/support/check_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void test_report_begin(struct test_report *report)
{
    memset(report, 0, sizeof *report);
    report->report.out = open_memstream(&report->text, &report->bytes);
    assert_non_null(report->report.out);
}

const char *test_report_text(struct test_report *report)
{
    assert_int_equal(fflush(report->report.out), 0);
    assert_non_null(report->text);
    return report->text;
}

void test_report_has(struct test_report *report, const char *part)
{
    if (strstr(test_report_text(report), part) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", part, report->text);
    }
}

void test_report_end(struct test_report *report)
{
    assert_int_equal(fclose(report->report.out), 0);
    free(report->text);
    report->text = NULL;
}

uint8_t *test_file_read(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rbe");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    assert_int_equal(fclose(file), 0);
    return data;
}

void test_file_write(const char *path, const uint8_t *data, size_t bytes)
{
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}
