/*
 * What the benchmark prints and draws: text lines that line up, JSON that is read back, a picture
 * whose marks are where its numbers say.
 */
#include "client/tools/bench_report.h"

#include <stdlib.h>
#include <string.h>

#include "client/tools/bench_svg.h"
#include "client/tools/json.h"
#include "tests/support/support.h"

static struct cellar_bench_result *result;

/* A workload of reads and writes: 1,000 of 1 ms and 10 of 20 ms. */
static int start(void **state)
{
    (void)state;
    result = calloc(1, sizeof *result);
    if (result == NULL) {
        return 1;
    }
    result->driver = "cellar";
    result->workload = "a";
    result->terms.connections = 8;
    result->operation_count = 1010;
    result->row_count = 2020;
    result->elapsed_us = 2000000;
    result->server_cpu_us = 10100;
    result->client_cpu_us = 5050;
    for (int index = 0; index < 1000; index++) {
        cellar_bench_histogram_add(&result->reads, 1000000);
    }
    for (int index = 0; index < 10; index++) {
        cellar_bench_histogram_add(&result->writes, 20000000);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    free(result);
    return 0;
}

/* The buffer as text, which the caller frees. */
static char *text_of(struct cellar_buffer *buffer)
{
    assert_int_equal(cellar_buffer_append(buffer, "", 1), CELLAR_OK);
    char *text = strdup((const char *)buffer->data);
    assert_non_null(text);
    cellar_buffer_fini(buffer);
    return text;
}

static void text_has_a_line_for_reads_and_one_for_writes(void **state)
{
    struct cellar_buffer buffer = {0};
    (void)state;
    assert_int_equal(cellar_bench_report_head(&buffer), CELLAR_OK);
    size_t width = buffer.bytes;
    assert_int_equal(cellar_bench_report_text(result, &buffer), CELLAR_OK);
    assert_int_equal(buffer.bytes, 3 * width);
    char *text = text_of(&buffer);
    assert_non_null(strstr(text, "\na          read          505       1010      10.0      5.00 "
                                 "      5.0      1000      1000      1000      1000\n"));
    assert_non_null(strstr(text, "\n           write  "));
    assert_non_null(strstr(text, "         20000     20000     20000     20000\n"));
    free(text);
}

static void what_is_not_known_is_a_dash_and_null(void **state)
{
    struct cellar_buffer buffer = {0};
    (void)state;
    memset(&result->reads, 0, sizeof result->reads);
    memset(&result->writes, 0, sizeof result->writes);
    result->operation_count = 0;
    result->server_cpu_us = -1;
    result->refused_count = 3;
    result->late_count = 4;
    assert_int_equal(cellar_bench_report_text(result, &buffer), CELLAR_OK);
    char *text = text_of(&buffer);
    assert_non_null(strstr(text, "-         -         -         -         -         -\n"));
    assert_non_null(strstr(text, "sent again: 3\n"));
    assert_non_null(strstr(text, "too far behind: 4\n"));
    free(text);
    assert_int_equal(cellar_bench_report_json(result, &buffer), CELLAR_OK);
    text = text_of(&buffer);
    assert_non_null(strstr(text, "\"server_cpu_us\":null"));
    assert_non_null(strstr(text, "\"rate_wanted\":null"));
    assert_non_null(strstr(text, "\"reads\":{\"count\":0}"));
    free(text);
}

static void json_is_read_back(void **state)
{
    struct cellar_buffer buffer = {0};
    struct cellar_arena arena = {0};
    const struct cellar_json *root;
    int64_t number;
    (void)state;
    assert_int_equal(cellar_bench_report_json(result, &buffer), CELLAR_OK);
    assert_int_equal(cellar_json_read(cellar_slice_of(&buffer), &arena, &root, NULL), CELLAR_OK);
    assert_true(
        cellar_slice_equal(cellar_json_member(root, "workload")->text, cellar_slice_text("a")));
    assert_true(cellar_json_integer(cellar_json_member(root, "operations"), &number));
    assert_int_equal(number, 1010);
    const struct cellar_json *cpu = cellar_json_member(root, "server_cpu_us_an_operation");
    assert_true(cellar_slice_equal(cpu->text, cellar_slice_text("10.000")));
    const struct cellar_json *writes = cellar_json_member(root, "writes");
    assert_true(cellar_slice_equal(cellar_json_member(writes, "p999_us")->text,
                                   cellar_slice_text("20000.0")));
    cellar_arena_fini(&arena);
    cellar_buffer_fini(&buffer);
}

static void a_picture_has_a_bar_and_two_lines(void **state)
{
    struct cellar_buffer buffer = {0};
    (void)state;
    assert_int_equal(cellar_bench_svg(result, 1, "<a> & \"b\"\n", &buffer), CELLAR_OK);
    char *text = text_of(&buffer);
    assert_memory_equal(text, "<svg ", 5);
    assert_string_equal(text + strlen(text) - 7, "</svg>\n");
    assert_non_null(strstr(text, "<title>&#60;a&#62; &#38; &#34;b&#34;</title>"));
    assert_non_null(strstr(text, "prefers-color-scheme:dark"));
    assert_non_null(strstr(text, "<rect x=\"150.0\" y=\"52.0\" width=\"540.0\"")); /* the longest */
    assert_non_null(strstr(text, ">505/s, 10.0 us</text>"));
    assert_non_null(strstr(text, "class=\"l\" stroke=\"#4e79a7\" d=\"M150.0"));
    assert_non_null(strstr(text, "class=\"l\" stroke=\"#4e79a7\" stroke-dasharray"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
}

static void a_picture_of_nothing_is_one(void **state)
{
    struct cellar_buffer buffer = {0};
    struct cellar_bench_result *empty = calloc(1, sizeof *empty);
    (void)state;
    assert_non_null(empty);
    assert_int_equal(cellar_bench_svg(NULL, 0, "", &buffer), CELLAR_OK);
    empty->driver = "cellar";
    empty->workload = "get";
    empty->server_cpu_us = -1;
    assert_int_equal(cellar_bench_svg(empty, 1, "", &buffer), CELLAR_OK);
    char *text = text_of(&buffer);
    assert_non_null(strstr(text, ">0/s</text>"));
    assert_null(strstr(text, "nan"));
    free(text);
    free(empty);
}

static enum cellar_status report_run(void *context)
{
    struct cellar_buffer buffer = {0};
    (void)context;
    enum cellar_status status = cellar_bench_report_text(result, &buffer);
    status = status == CELLAR_OK ? cellar_bench_report_json(result, &buffer) : status;
    status = status == CELLAR_OK ? cellar_bench_svg(result, 1, "title", &buffer) : status;
    cellar_buffer_fini(&buffer);
    return status;
}

static void running_out_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(report_run, NULL) >= 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_has_a_line_for_reads_and_one_for_writes),
        TEST(what_is_not_known_is_a_dash_and_null),
        TEST(json_is_read_back),
        TEST(a_picture_has_a_bar_and_two_lines),
        TEST(a_picture_of_nothing_is_one),
        TEST(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
