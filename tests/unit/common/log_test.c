/*
 * log: what a line looks like, which lines are written, and how they are cut. Standard error is a
 * pipe while a line is written.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "tests/support/support.h"

#define NOON_US INT64_C(1769860800123456) /* 2026-01-31T12:00:00.123456Z */

static int log_pipe[2];
static int log_stderr;

static int catch_stderr(void **state)
{
    (void)state;
    assert_int_equal(pipe2(log_pipe, O_NONBLOCK | O_CLOEXEC), 0);
    log_stderr = dup(STDERR_FILENO);
    assert_true(log_stderr >= 0);
    assert_int_equal(dup2(log_pipe[1], STDERR_FILENO), STDERR_FILENO);
    cellar_clock_fake_set(NOON_US, 0);
    return 0;
}

static int free_stderr(void **state)
{
    (void)state;
    (void)dup2(log_stderr, STDERR_FILENO);
    (void)close(log_stderr);
    (void)close(log_pipe[0]);
    (void)close(log_pipe[1]);
    cellar_clock_fake_off();
    cellar_log_level_set(CELLAR_LOG_INFO);
    return 0;
}

/* What was written since the last call, as a text. */
static const char *written(void)
{
    static char text[8192];
    ssize_t bytes = read(log_pipe[0], text, sizeof text - 1);
    text[bytes < 0 ? 0 : bytes] = '\0';
    return text;
}

static void a_line_has_time_level_event_and_text(void **state)
{
    (void)state;
    cellar_log(CELLAR_LOG_INFO, "checkpoint", "store=%d rows=%d", 3, 120);
    assert_string_equal(written(),
                        "2026-01-31T12:00:00.123456Z info checkpoint store=3 rows=120\n");
    cellar_log(CELLAR_LOG_ERROR, "stopped", "");
    assert_string_equal(written(), "2026-01-31T12:00:00.123456Z error stopped\n");
}

static void times_before_the_epoch_are_written_too(void **state)
{
    (void)state;
    cellar_clock_fake_set(-1, 0);
    cellar_log(CELLAR_LOG_WARN, "old", "");
    assert_string_equal(written(), "1969-12-31T23:59:59.999999Z warn old\n");
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    cellar_log(CELLAR_LOG_DEBUG, "quiet", "");
    assert_string_equal(written(), "");
    cellar_log_level_set(CELLAR_LOG_DEBUG);
    cellar_log(CELLAR_LOG_DEBUG, "loud", "");
    assert_non_null(strstr(written(), " debug loud\n"));
    cellar_log_level_set(CELLAR_LOG_ERROR);
    cellar_log(CELLAR_LOG_WARN, "quiet", "");
    assert_string_equal(written(), "");
}

static void control_bytes_are_shown_and_never_start_a_line(void **state)
{
    (void)state;
    cellar_log(CELLAR_LOG_INFO, "odd", "%s", "a\nb\x1b\x7f\tc\xc3\xa4");
    assert_non_null(strstr(written(), " odd a\\x0ab\\x1b\\x7f\\x09c\xc3\xa4\n"));
}

static void a_long_line_is_cut_and_ends_with_a_newline(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    cellar_log(CELLAR_LOG_INFO, "long", "%s", text);
    const char *line = written();
    assert_int_equal(strlen(line), 1024);
    assert_int_equal(line[1023], '\n');
}

static void a_line_is_not_cut_inside_an_escape(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 4; extra++) {
        char text[1000];
        memset(text, 'x', extra);
        memset(text + extra, '\n', sizeof text - extra);
        text[sizeof text - 1] = '\0';
        cellar_log(CELLAR_LOG_INFO, "long", "%s", text);
        const char *line = written();
        size_t bytes = strlen(line);
        assert_in_range(bytes, 1021, 1024);
        assert_memory_equal(line + bytes - 5, "\\x0a\n", 5);
    }
}

static void logging_needs_no_memory(void **state)
{
    (void)state;
    (void)cellar_mem_fail_at(0);
    cellar_log(CELLAR_LOG_INFO, "memory", "left=%d", 0);
    assert_false(cellar_mem_fail_at(-1));
    assert_non_null(strstr(written(), " memory left=0\n"));
}

static void a_full_or_closed_standard_error_does_no_harm(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        cellar_log(CELLAR_LOG_INFO, "flood", "%0100d", i);
    }
    (void)close(STDERR_FILENO);
    cellar_log(CELLAR_LOG_INFO, "gone", "");
}

static void level_names_decode_exactly(void **state)
{
    (void)state;
    enum cellar_log_level level = CELLAR_LOG_ERROR;
    assert_true(cellar_log_level_decode("debug", &level) && level == CELLAR_LOG_DEBUG);
    assert_true(cellar_log_level_decode("info", &level) && level == CELLAR_LOG_INFO);
    assert_true(cellar_log_level_decode("error", &level) && level == CELLAR_LOG_ERROR);
    assert_true(cellar_log_level_decode("warn", &level) && level == CELLAR_LOG_WARN);
    static const char *const wrong[] = {"", "Info", "information", "warning", " debug", "4"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(wrong); i++) {
        assert_false(cellar_log_level_decode(wrong[i], &level));
        assert_int_equal(level, CELLAR_LOG_WARN);
    }
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, catch_stderr, free_stderr)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_line_has_time_level_event_and_text),
        LOG_TEST(times_before_the_epoch_are_written_too),
        LOG_TEST(lines_below_the_level_are_not_written),
        LOG_TEST(control_bytes_are_shown_and_never_start_a_line),
        LOG_TEST(a_long_line_is_cut_and_ends_with_a_newline),
        LOG_TEST(a_line_is_not_cut_inside_an_escape),
        LOG_TEST(logging_needs_no_memory),
        LOG_TEST(a_full_or_closed_standard_error_does_no_harm),
        cmocka_unit_test(level_names_decode_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
