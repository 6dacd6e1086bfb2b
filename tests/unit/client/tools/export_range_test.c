/*
 * export_range: prefixes as ranges, rows passed, and the guess how far an export is.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/read.h"
#include "client/tools/export_range.h"

static void a_prefix_ends_before_the_first_key_without_it(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        const char *end;
    } cases[] = {{"a", "b"},   {"ab", "ac"},     {"a\xff", "b"}, {"a\xff\xff", "b"},
                 {"\xff", ""}, {"\xff\xff", ""}, {"", ""},       {"a\xfe", "a\xff"}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_export_range range = {0};
        assert_int_equal(cellar_export_range_prefix(&range, cellar_slice_text(cases[index].prefix)),
                         CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&range.start),
                                       cellar_slice_text(cases[index].prefix)));
        assert_true(
            cellar_slice_equal(cellar_slice_of(&range.end), cellar_slice_text(cases[index].end)));
        cellar_export_range_fini(&range);
    }
}

static void a_read_of_the_rest_begins_behind_the_last_row(void **state)
{
    (void)state;
    struct cellar_export_range range = {0};
    struct cellar_export_range same = {0};
    struct cellar_read *read = cellar_read_new();
    cellar_export_range_read(&range, read);
    assert_int_equal(read->range_count, 0); /* every row */
    assert_int_equal(cellar_export_range_pass(&range, cellar_slice_text("a longer key")),
                     CELLAR_OK);
    assert_int_equal(cellar_export_range_pass(&range, cellar_slice_text("b")), CELLAR_OK);
    assert_true(range.is_start_open);
    assert_true(cellar_slice_equal(cellar_slice_of(&range.start), cellar_slice_text("b")));
    assert_int_equal(cellar_export_range_copy(&same, &range), CELLAR_OK);
    assert_true(same.is_start_open);
    cellar_export_range_read(&same, read);
    assert_int_equal(read->range_count, 1);
    cellar_read_free(read);
    cellar_export_range_fini(&range);
    cellar_export_range_fini(&same);
    assert_false(range.is_start_open);
}

/* The guess for a table that is cut at c, f and m. */
static double share_of(const char *start, const char *end, const char *key)
{
    const struct cellar_tablet_info tablets[] = {
        {.start = cellar_text(""), .end = cellar_text("c")},
        {.start = cellar_text("c"), .end = cellar_text("f")},
        {.start = cellar_text("f"), .end = cellar_text("m")},
        {.start = cellar_text("m"), .end = cellar_text("")},
    };
    const struct cellar_table_info table = {.tablets = tablets, .tablet_count = 4};
    struct cellar_export_range whole = {0};
    assert_int_equal(cellar_buffer_append(&whole.start, start, strlen(start)), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&whole.end, end, strlen(end)), CELLAR_OK);
    double share = cellar_export_range_share(&whole, &table, cellar_slice_text(key));
    cellar_export_range_fini(&whole);
    return share;
}

static void tablets_are_taken_for_equal_parts(void **state)
{
    (void)state;
    assert_true(share_of("", "", "a") == 0);
    assert_true(share_of("", "", "c") == 0.25);
    assert_true(share_of("", "", "d") > 0.3 && share_of("", "", "d") < 0.35);
    assert_true(share_of("", "", "f") == 0.5);
    assert_true(share_of("", "", "z") == 0.75);
    assert_true(share_of("d", "e", "d\x80") == 0.5); /* within one tablet */
    assert_true(share_of("d", "n", "f") == 1.0 / 3);
    assert_true(share_of("x", "", "y") < 0); /* the last tablet alone says nothing */
    assert_true(share_of("c\x01", "c\x01\x01", "c\x01\x00zz") >= 0);
}

static void the_guess_never_goes_back(void **state)
{
    (void)state;
    double before = 0;
    for (int first = 1; first < 256; first++) {
        for (int second = 1; second < 256; second += 50) {
            char key[3] = {(char)first, (char)second, '\0'};
            double share = share_of("", "", key);
            assert_true(share >= before && share <= 1);
            before = share;
        }
    }
}

static void one_tablet_without_bounds_says_nothing(void **state)
{
    (void)state;
    const struct cellar_tablet_info tablet = {.start = cellar_text(""), .end = cellar_text("")};
    const struct cellar_table_info table = {.tablets = &tablet, .tablet_count = 1};
    struct cellar_export_range whole = {0};
    assert_true(cellar_export_range_share(&whole, &table, cellar_slice_text("a")) < 0);
}

static enum cellar_status make_some(void *context)
{
    struct cellar_export_range range = {0};
    struct cellar_export_range copy = {0};
    (void)context;
    enum cellar_status status = cellar_export_range_prefix(&range, cellar_slice_text("a"));
    if (status == CELLAR_OK) {
        status = cellar_export_range_pass(&range, cellar_slice_text("a much longer key, over 64 "
                                                                    "bytes, so that it must be "
                                                                    "allocated once more"));
    }
    if (status == CELLAR_OK) {
        status = cellar_export_range_copy(&copy, &range);
    }
    cellar_export_range_fini(&range);
    cellar_export_range_fini(&copy);
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(make_some, NULL) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_ends_before_the_first_key_without_it),
        cmocka_unit_test(a_read_of_the_rest_begins_behind_the_last_row),
        cmocka_unit_test(tablets_are_taken_for_equal_parts),
        cmocka_unit_test(the_guess_never_goes_back),
        cmocka_unit_test(one_tablet_without_bounds_says_nothing),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("export_range", tests, NULL, NULL);
}
