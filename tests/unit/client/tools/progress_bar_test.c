/*
 * progress_bar: the text for what is known and what is not, never wider than the terminal; nothing
 * at all where there is no terminal.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools/progress_bar.h"
#include "common/clock.h"

static void expect_text(const struct cellar_progress_view *view, int64_t elapsed_us,
                        uint32_t columns, const char *wanted)
{
    struct cellar_buffer text = {0};
    struct cellar_progress_frame frame = {.elapsed_us = elapsed_us, .column_count = columns};
    assert_int_equal(cellar_progress_text(view, frame, &text), CELLAR_OK);
    if (!cellar_slice_equal(cellar_slice_of(&text), cellar_slice_text(wanted))) {
        fail_msg("got '%.*s'", (int)text.bytes, (const char *)text.data);
    }
    cellar_buffer_fini(&text);
}

static void a_size_gives_a_bar_and_the_time_left(void **state)
{
    (void)state;
    struct cellar_progress_view view = {
        .done_bytes = 5000000, .total_bytes = 20000000, .share = -1, .row_count = 1000};
    expect_text(&view, 10000000, 200,
                "[=====>              ]  25 %  5.0 of 20.0 MB  0.5 MB/s  100 rows/s  0:30 left");
    view.refused_count = 3;
    view.note = "waiting";
    view.done_bytes = view.total_bytes;
    expect_text(&view, 3700000000, 200,
                "[====================] 100 %  20.0 of 20.0 MB  0.0 MB/s  0 rows/s  0:00 left  3 "
                "refused  waiting");
}

static void what_an_earlier_run_did_is_not_counted(void **state)
{
    (void)state;
    struct cellar_progress_view view = {
        .done_bytes = 15000000, .before_bytes = 10000000, .total_bytes = 20000000, .share = -1};
    expect_text(&view, 10000000, 200,
                "[===============>    ]  75 %  15.0 of 20.0 MB  0.5 MB/s  0 rows/s  0:10 left");
    view.done_bytes = view.before_bytes; /* no step yet: no guess */
    expect_text(&view, 10000000, 200,
                "[==========>         ]  50 %  10.0 of 20.0 MB  0.0 MB/s  0 rows/s");
}

static void a_guessed_share_is_marked(void **state)
{
    (void)state;
    struct cellar_progress_view view = {.done_bytes = 1000000, .total_bytes = -1, .share = 0.001};
    expect_text(&view, 4000000, 200,
                "[>                   ] ~  0 %  1.0 MB  0.2 MB/s  0 rows/s  1:06:36 left");
    view.share = 1e-12;
    expect_text(&view, 4000000, 200,
                "[>                   ] ~  0 %  1.0 MB  0.2 MB/s  0 rows/s  99:59:59 left");
}

static void nothing_known_is_no_bar(void **state)
{
    (void)state;
    struct cellar_progress_view view = {.total_bytes = -1, .share = -1};
    expect_text(&view, 0, 200, "0.0 MB  0.0 MB/s  0 rows/s");
    view.total_bytes = 0; /* an empty file */
    expect_text(&view, 0, 200, "0.0 MB  0.0 MB/s  0 rows/s");
}

static void a_narrow_terminal_cuts_the_line(void **state)
{
    (void)state;
    struct cellar_progress_view view = {.done_bytes = 1, .total_bytes = 2, .share = -1};
    expect_text(&view, 1000000, 10, "[=========");
}

static void a_pipe_sees_nothing(void **state)
{
    (void)state;
    struct cellar_progress_bar bar = {0};
    struct cellar_progress_view view = {.total_bytes = -1, .share = -1};
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    cellar_progress_bar_show(&bar, &view); /* before its start */
    cellar_clock_fake_set(1000000, 1000000);
    cellar_progress_bar_start(&bar, to);
    cellar_clock_fake_step(10000000);
    cellar_progress_bar_show(&bar, &view);
    cellar_progress_bar_clear(&bar);
    cellar_clock_fake_off();
    assert_int_equal(fclose(to), 0);
    assert_int_equal(bytes, 0);
    free(text);
}

static void a_terminal_sees_it_not_too_often(void **state)
{
    (void)state;
    struct cellar_progress_view view = {.total_bytes = -1, .share = -1};
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    cellar_clock_fake_set(1000000, 1000000);
    struct cellar_progress_bar bar = {
        .to = to, .start_us = 1000000, .shown_us = 1000000, .column_count = 80};
    cellar_clock_fake_step(100000);
    cellar_progress_bar_show(&bar, &view);
    assert_false(bar.has_line);
    cellar_clock_fake_step(100000);
    cellar_progress_bar_show(&bar, &view);
    cellar_progress_bar_show(&bar, &view);
    assert_true(bar.has_line);
    cellar_progress_bar_clear(&bar);
    cellar_progress_bar_clear(&bar);
    cellar_clock_fake_off();
    assert_int_equal(fclose(to), 0);
    assert_string_equal(text, "\r0.0 MB  0.0 MB/s  0 rows/s\033[K\r\033[K");
    free(text);
}

static enum cellar_status make_text(void *context)
{
    struct cellar_progress_view view = {.done_bytes = 1, .total_bytes = 2, .share = -1};
    struct cellar_progress_frame frame = {.elapsed_us = 1, .column_count = 80};
    struct cellar_buffer text = {0};
    (void)context;
    enum cellar_status status = cellar_progress_text(&view, frame, &text);
    cellar_buffer_fini(&text);
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(make_text, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_size_gives_a_bar_and_the_time_left),
        cmocka_unit_test(what_an_earlier_run_did_is_not_counted),
        cmocka_unit_test(a_guessed_share_is_marked),
        cmocka_unit_test(nothing_known_is_no_bar),
        cmocka_unit_test(a_narrow_terminal_cuts_the_line),
        cmocka_unit_test(a_pipe_sees_nothing),
        cmocka_unit_test(a_terminal_sees_it_not_too_often),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("progress_bar", tests, NULL, NULL);
}
