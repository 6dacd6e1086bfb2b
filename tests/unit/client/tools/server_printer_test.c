/*
 * server_printer: what a server says, for people in groups and units, for programs as it is; rates
 * of two answers; figures of later versions; and servers that mean no good.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/tools/escape.h"
#include "client/tools/server_printer.h"

static const struct cellar_figure figures[] = {
    {"log_durable_lsn", 1234567}, {"log_records", 7322}, {"log_has_failed", 0},
    {"memtable_bytes", 1536},     {"tables", 3},         {"later_version", -1234},
    {"store_bytes", 5368709120},  {"writes", 36610},     {"memory_resident_bytes", 1023},
    {"checkpoint_failures", 2},
};
static const struct cellar_figure figures_before[] = {
    {"log_durable_lsn", 1234566}, {"log_records", 7320}, {"writes", 610}};
static const struct cellar_server_info now = {.version = "1.2",
                                              .data_dir = "/a b",
                                              .uptime_us = 3661000000,
                                              .figures = figures,
                                              .figure_count = CELLAR_ARRAY_COUNT(figures)};
static const struct cellar_server_info earlier = {.version = "1.2",
                                                  .data_dir = "/a b",
                                                  .uptime_us = 3641000000,
                                                  .figures = figures_before,
                                                  .figure_count = 3};
static const struct cellar_server_view once = {.info = &now, .endpoint = "h:1"};
static const struct cellar_server_view twice = {
    .info = &now, .before = &earlier, .endpoint = "h:1"};

static void expect(enum cellar_format format, const struct cellar_server_view *view,
                   const char *wanted)
{
    struct cellar_buffer to = {0};
    assert_int_equal(cellar_server_print(format, view, &to), CELLAR_OK);
    if (!cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text(wanted))) {
        fail_msg("got:\n%.*s\nwanted:\n%s", (int)to.bytes, (const char *)to.data, wanted);
    }
    cellar_buffer_fini(&to);
}

static void people_get_groups_and_units(void **state)
{
    (void)state;
    expect(CELLAR_FORMAT_TEXT, &once,
           "server\n"
           "  version         1.2\n"
           "  endpoint        h:1\n"
           "  up for          1h1m1s\n"
           "  data in         /a b\n"
           "\nholds\n"
           "  tables          3\n"
           "  on disk         5.0 GiB\n"
           "\nlog\n"
           "  durable up to   1,234,567\n"
           "  records         7,322, 2.00/s\n"
           "\nwork\n"
           "  writes          36,610, 10.00/s\n"
           "  failed ones     2\n"
           "\nmemory\n"
           "  in use          1023 B\n"
           "  memtables       1.5 KiB\n"
           "\nmore\n"
           "  later_version                     -1,234\n");
}

static void rates_are_those_between_two_answers(void **state)
{
    (void)state;
    struct cellar_buffer to = {0};
    assert_int_equal(cellar_server_print(CELLAR_FORMAT_TEXT, &twice, &to), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&to, "", 1), CELLAR_OK);
    assert_non_null(strstr((const char *)to.data, "  records         7,322, 0.10/s\n"));
    assert_non_null(strstr((const char *)to.data, "  writes          36,610, 1800/s\n"));
    cellar_buffer_fini(&to);
}

static void programs_get_the_servers_own_names_and_numbers(void **state)
{
    (void)state;
    static const char json[] =
        "{\"version\":\"1.2\",\"uptime_us\":3661000000,\"data_dir\":\"/a b\",\"figures\":{"
        "\"log_durable_lsn\":1234567,\"log_records\":7322,\"log_has_failed\":0,"
        "\"memtable_bytes\":1536,\"tables\":3,\"later_version\":-1234,"
        "\"store_bytes\":5368709120,\"writes\":36610,\"memory_resident_bytes\":1023,"
        "\"checkpoint_failures\":2}";
    char wanted[600];
    (void)snprintf(wanted, sizeof wanted, "%s}\n", json);
    expect(CELLAR_FORMAT_JSON, &once, wanted);
    expect(CELLAR_FORMAT_JSONL, &once, wanted);
    (void)snprintf(wanted, sizeof wanted, "%s%s", json,
                   ",\"per_second\":{\"log_durable_lsn\":0.050,\"log_records\":0.100,"
                   "\"writes\":1800.000}}\n");
    expect(CELLAR_FORMAT_JSON, &twice, wanted);
    const struct cellar_server_info few = {.version = "1.2",
                                           .data_dir = "/a b",
                                           .uptime_us = 3661000000,
                                           .figures = figures,
                                           .figure_count = 3};
    struct cellar_server_view view = {.info = &few, .endpoint = "h:1"};
    expect(CELLAR_FORMAT_CSV, &view,
           "name,value\nversion,1.2\nuptime_us,3661000000\ndata_dir,/a b\n"
           "log_durable_lsn,1234567\nlog_records,7322\nlog_has_failed,0\n");
    view.before = &earlier;
    expect(CELLAR_FORMAT_CSV, &view,
           "name,value,per_second\nversion,1.2,\nuptime_us,3661000000,\ndata_dir,/a b,\n"
           "log_durable_lsn,1234567,0.050\nlog_records,7322,0.100\nlog_has_failed,0,\n");
}

static void a_server_without_figures_and_time_is_printed(void **state)
{
    (void)state;
    const struct cellar_server_info bare = {.version = "", .data_dir = ""};
    const struct cellar_server_view view = {.info = &bare, .before = &bare, .endpoint = "h:1"};
    expect(CELLAR_FORMAT_TEXT, &view,
           "server\n  version         \n  endpoint        h:1\n  up for          0s\n"
           "  data in         \n");
    expect(CELLAR_FORMAT_JSON, &view,
           "{\"version\":\"\",\"uptime_us\":0,\"data_dir\":\"\",\"figures\":{},"
           "\"per_second\":{}}\n");
}

static void what_a_hostile_server_says_is_shown_only(void **state)
{
    (void)state;
    static const struct cellar_figure odd[] = {{"\x1b[31m\xff", INT64_MIN}, {"", INT64_MAX}};
    const struct cellar_server_info info = {.version = "\x1bV\xc2\x9b",
                                            .data_dir = "\x1b/\n\xe2\x80\xae",
                                            .uptime_us = UINT64_MAX,
                                            .figures = odd,
                                            .figure_count = 2};
    const struct cellar_server_view view = {.info = &info, .before = &now, .endpoint = "h:1"};
    for (enum cellar_format format = CELLAR_FORMAT_TEXT; format <= CELLAR_FORMAT_CSV; format++) {
        struct cellar_buffer to = {0};
        uint32_t code;
        assert_int_equal(cellar_server_print(format, &view, &to), CELLAR_OK);
        for (size_t at = 0; at < to.bytes;) {
            size_t length = cellar_utf8_next(cellar_slice_make(to.data + at, to.bytes - at), &code);
            assert_true(length > 0);
            assert_true(code == '\n' || !cellar_escape_is_hidden(code));
            at += length;
        }
        cellar_buffer_fini(&to);
    }
}

static enum cellar_status print(void *context)
{
    struct cellar_buffer to = {0};
    enum cellar_status status =
        cellar_server_print(*(const enum cellar_format *)context, &twice, &to);
    cellar_buffer_fini(&to);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    for (enum cellar_format format = CELLAR_FORMAT_TEXT; format <= CELLAR_FORMAT_CSV; format++) {
        assert_true(test_out_of_memory_loop(print, &format) >= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_get_groups_and_units),
        cmocka_unit_test(rates_are_those_between_two_answers),
        cmocka_unit_test(programs_get_the_servers_own_names_and_numbers),
        cmocka_unit_test(a_server_without_figures_and_time_is_printed),
        cmocka_unit_test(what_a_hostile_server_says_is_shown_only),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("server_printer", tests, NULL, NULL);
}
