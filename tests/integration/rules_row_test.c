/*
 * The rules of the areas ROW and RNG: what a read returns and in which order, and which ranges
 * there are. One test a rule, named after it. Rows of more than a few megabytes are in
 * rules_large_test, rows seen whole under load in atomic_rows_test.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/model_fixture.h"
#include "tests/support/model_workload.h"

/* Puts a cell f:q@1000=v into each row, in the order given. */
static void rows_put(struct model_fixture *fixture, const char *const *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        model_fixture_set(fixture, rows[i], "f:q", 1000, "v");
    }
}

/* Reads and compares keys only, joined by blanks. */
static void keys_expect(struct model_fixture *fixture, const char *table,
                        const struct model_read *read, const char *keys)
{
    struct model_read keys_read = *read;
    char text[400] = "";
    size_t bytes = 0;
    for (const char *at = keys; *at != '\0'; at++) {
        bool is_end = at[1] == ' ' || at[1] == '\0';
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "%c%s", *at,
                                  is_end && *at != ' ' ? "[]" : "");
    }
    keys_read.keys_only = true;
    model_fixture_expect(fixture, table, &keys_read, text);
}

static const char *const letters[] = {"d", "b", "e", "a", "c"};

static void r_row_01_a_read_without_a_row_set_returns_every_row(void **state)
{
    struct model_fixture *fixture = *state;
    const struct model_read all = {0};
    rows_put(fixture, letters, 5);
    keys_expect(fixture, "t", &all, "a b c d e");
    model_fixture_expect_all(fixture, "a[f:q@1000=v] b[f:q@1000=v] c[f:q@1000=v] d[f:q@1000=v] "
                                      "e[f:q@1000=v]");
}

static void r_row_02_a_row_set_is_a_union(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_slice keys[] = {cellar_slice_text("e"), cellar_slice_text("a"),
                                        cellar_slice_text("e"), cellar_slice_text("c")};
    const struct model_range ranges[] = {
        {.start = cellar_slice_text("b"), .start_is_closed = true, .end = cellar_slice_text("d")},
        {.start = cellar_slice_text("a"), .end = cellar_slice_text("c"), .end_is_closed = true},
    };
    const struct model_read read = {
        .keys = keys, .key_count = 4, .ranges = ranges, .range_count = 2};
    rows_put(fixture, letters, 5);
    keys_expect(fixture, "t", &read, "a b c e");
}

static void r_row_03_keys_that_do_not_exist_are_left_out(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_slice keys[] = {cellar_slice_text("0"), cellar_slice_text("b"),
                                        cellar_slice_text("zz")};
    struct model_read read = {.keys = keys, .key_count = 3};
    rows_put(fixture, letters, 5);
    keys_expect(fixture, "t", &read, "b");
    read.key_count = 1;
    keys_expect(fixture, "t", &read, "");
}

static void r_row_04_a_row_of_which_no_cell_is_asked_for_is_not_returned(void **state)
{
    struct model_fixture *fixture = *state;
    const struct svc_column column = {.family = cellar_slice_text("g"), .is_family = true};
    struct model_read read = {.columns = &column, .column_count = 1};
    rows_put(fixture, letters, 5);
    model_fixture_set(fixture, "c", "g:x", 0, "w");
    model_fixture_expect(fixture, "t", &read, "c[g:x@0=w]");
    keys_expect(fixture, "t", &read, "c");
}

static void r_row_05_rows_limit_counts_the_rows_that_are_returned(void **state)
{
    struct model_fixture *fixture = *state;
    const struct svc_column column = {.family = cellar_slice_text("g"),
                                      .qualifier = cellar_slice_text("x")};
    struct model_read read = {.columns = &column, .column_count = 1, .rows_limit = 1};
    rows_put(fixture, letters, 5);
    model_fixture_set(fixture, "c", "g:x", 0, "w");
    model_fixture_set(fixture, "d", "g:x", 0, "w");
    keys_expect(fixture, "t", &read, "c");
    read.column_count = 0;
    read.rows_limit = 3;
    keys_expect(fixture, "t", &read, "a b c");
}

static void r_row_06_rows_limit_0_is_none_and_a_negative_one_is_refused(void **state)
{
    struct model_fixture *fixture = *state;
    struct model_read read = {.rows_limit = 0};
    rows_put(fixture, letters, 5);
    keys_expect(fixture, "t", &read, "a b c d e");
    read.rows_limit = -1;
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read),
                               CELLAR_INVALID_ARGUMENT, "rows_limit");
    read.rows_limit = INT64_MIN;
    assert_int_equal(model_fixture_read(fixture, "t", &read), CELLAR_INVALID_ARGUMENT);
}

static void r_row_07_reversed_returns_rows_by_descending_key_with_cells_ascending(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_slice keys[] = {cellar_slice_text("a"), cellar_slice_text("b")};
    const struct model_read read = {.keys = keys, .key_count = 2, .is_reversed = true};
    rows_put(fixture, letters, 5);
    model_fixture_set(fixture, "b", "f:q", 2000, "new");
    model_fixture_set(fixture, "b", "g:a", 0, "");
    model_fixture_set(fixture, "b", "f:r", 0, "");
    model_fixture_expect(fixture, "t", &read,
                         "b[f:q@2000=new,f:q@1000=v,f:r@0=,g:a@0=] a[f:q@1000=v]");
}

static void r_row_08_reversed_with_a_limit_returns_the_last_rows(void **state)
{
    struct model_fixture *fixture = *state;
    const struct svc_column column = {.family = cellar_slice_text("g"), .is_family = true};
    struct model_read read = {.is_reversed = true, .rows_limit = 2};
    rows_put(fixture, letters, 5);
    keys_expect(fixture, "t", &read, "e d");
    model_fixture_set(fixture, "a", "g:x", 0, "w");
    model_fixture_set(fixture, "c", "g:x", 0, "w");
    model_fixture_set(fixture, "b", "g:x", 0, "w");
    read.columns = &column;
    read.column_count = 1;
    keys_expect(fixture, "t", &read, "c b");
}

static void r_row_10_cells_come_by_family_and_qualifier_newest_first(void **state)
{
    struct model_fixture *fixture = *state;
    static const char *const families[] = {"zz", "b", "a_", "a", "Z", "a-b", NULL};
    const struct cellar_mutation sets[] = {
        model_set("b", "", 0, "1"),         model_set("a", "q\xff", 0, "2"),
        model_set("a", "q", 3000, "3"),     model_set("a", "q", 9000, "4"),
        model_set("a", "q", 0, "5"),        model_set("a-b", "x", 0, "6"),
        model_set("Z", "x", 0, "7"),        model_set("a_", "x", 0, "8"),
        model_set("zz", "x", 0, "9"),       model_set("a", "Q", 0, "10"),
        model_set("a", "q\x01", 1000, "11")};
    const struct model_read all = {0};
    model_fixture_table(fixture, "o", 0, families, NULL);
    assert_int_equal(
        model_fixture_mutate(fixture, "o", cellar_slice_text("r"), sets, CELLAR_ARRAY_COUNT(sets)),
        CELLAR_OK);
    for (unsigned pass = 0; pass < 2; pass++) {
        model_fixture_expect(fixture, "o", &all,
                             "r[Z:x@0=7,a:Q@0=10,a:q@9000=4,a:q@3000=3,a:q@0=5,a:q\\x01@1000=11,"
                             "a:q\\xff@0=2,a-b:x@0=6,a_:x@0=8,b:@0=1,zz:x@0=9]");
        model_service_restart(&fixture->service, false);
    }
}

static void r_row_12_a_read_sees_every_write_acknowledged_before_it(void **state)
{
    struct model_fixture *fixture = *state;
    char value[16];
    char text[64];
    for (unsigned i = 0; i < model_steps(600); i++) {
        (void)snprintf(value, sizeof value, "%u", i);
        (void)snprintf(text, sizeof text, "r[f:q@1000=%u]", i);
        model_fixture_set(fixture, "r", "f:q", 1000, value);
        model_fixture_expect_all(fixture, text);
    }
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static struct model_range range_make(const char *start, bool start_is_closed, const char *end,
                                     bool end_is_closed)
{
    return (struct model_range){.start = cellar_slice_text(start),
                                .end = cellar_slice_text(end),
                                .start_is_closed = start_is_closed,
                                .end_is_closed = end_is_closed};
}

static void range_expect(struct model_fixture *fixture, const char *table, struct model_range range,
                         const char *keys)
{
    const struct model_read read = {.ranges = &range, .range_count = 1};
    keys_expect(fixture, table, &read, keys);
}

static void r_rng_01_closed_bounds_include_their_key_and_open_ones_do_not(void **state)
{
    struct model_fixture *fixture = *state;
    rows_put(fixture, letters, 5);
    range_expect(fixture, "t", range_make("b", true, "d", true), "b c d");
    range_expect(fixture, "t", range_make("b", true, "d", false), "b c");
    range_expect(fixture, "t", range_make("b", false, "d", true), "c d");
    range_expect(fixture, "t", range_make("b", false, "d", false), "c");
}

static void r_rng_02_absent_and_empty_bounds_are_unbounded(void **state)
{
    struct model_fixture *fixture = *state;
    rows_put(fixture, letters, 5);
    for (unsigned i = 0; i < 4; i++) {
        /* A closed empty bound is sent as nil, an open one as empty bytes. */
        bool is_closed = (i & 1) != 0;
        bool other_is_closed = (i & 2) != 0;
        range_expect(fixture, "t", range_make("", is_closed, "", other_is_closed), "a b c d e");
        range_expect(fixture, "t", range_make("", is_closed, "b", true), "a b");
        range_expect(fixture, "t", range_make("d", true, "", is_closed), "d e");
    }
}

static void refusal_expect(struct model_fixture *fixture, struct model_range range)
{
    const struct cellar_slice key = cellar_slice_text("a");
    const struct model_range ranges[] = {range_make("a", true, "b", false), range};
    const struct model_read read = {
        .keys = &key, .key_count = 1, .ranges = ranges, .range_count = 2};
    model_fixture_expect_exact(fixture, model_fixture_read(fixture, "t", &read),
                               CELLAR_INVALID_ARGUMENT,
                               "Error in field 'row_ranges' : Error in element #1 : start_key must "
                               "be less than end_key");
}

static void r_rng_03_a_start_behind_its_end_is_refused(void **state)
{
    struct model_fixture *fixture = *state;
    for (unsigned i = 0; i < 4; i++) {
        refusal_expect(fixture, range_make("b", (i & 1) != 0, "a", (i & 2) != 0));
        refusal_expect(fixture, range_make("\xff", (i & 1) != 0, "a", (i & 2) != 0));
        refusal_expect(fixture, range_make("ab", (i & 1) != 0, "a", (i & 2) != 0));
    }
}

static void r_rng_04_a_range_closed_at_one_key_returns_that_row(void **state)
{
    struct model_fixture *fixture = *state;
    rows_put(fixture, letters, 5);
    range_expect(fixture, "t", range_make("c", true, "c", true), "c");
    range_expect(fixture, "t", range_make("cc", true, "cc", true), "");
}

static void r_rng_05_a_range_that_can_hold_no_key_is_refused(void **state)
{
    struct model_fixture *fixture = *state;
    refusal_expect(fixture, range_make("c", true, "c", false));
    refusal_expect(fixture, range_make("c", false, "c", true));
    refusal_expect(fixture, range_make("c", false, "c", false));
    struct model_range range = range_make("c", false, "c", false);
    range.end = cellar_slice_make("c\0", 2);
    refusal_expect(fixture, range);
    range.end_is_closed = true;
    range_expect(fixture, "t", range, "");
}

static void r_rng_06_a_row_set_that_matches_nothing_returns_nothing(void **state)
{
    struct model_fixture *fixture = *state;
    const struct model_range range = range_make("x", true, "y", true);
    const struct cellar_slice key = cellar_slice_text("nobody");
    const struct model_read read = {
        .keys = &key, .key_count = 1, .ranges = &range, .range_count = 1};
    rows_put(fixture, letters, 5);
    keys_expect(fixture, "t", &read, "");
    range_expect(fixture, "t", range, "");
}

static void r_rng_07_a_prefix_returns_exactly_the_keys_that_begin_with_it(void **state)
{
    struct model_fixture *fixture = *state;
    static const char *const rows[] = {"a",
                                       "a\xff",
                                       "a\xff\xff",
                                       "a\xff\xff"
                                       "b",
                                       "b",
                                       "\xff",
                                       "\xff\xff",
                                       "\xff\xff\xff",
                                       "\xff"
                                       "a",
                                       "\xfe\xff",
                                       "a\xfe",
                                       "a\xff"
                                       "c"};
    static const char *const prefixes[] = {
        "a", "a\xff", "a\xff\xff", "\xff", "\xff\xff", "\xfe\xff", "b", "c", "\xff\xff\xff\xff"};
    static const size_t counts[] = {6, 4, 2, 4, 2, 1, 1, 0, 0};
    rows_put(fixture, rows, CELLAR_ARRAY_COUNT(rows));
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(prefixes); i++) {
        const struct model_range range = {.start = cellar_slice_text(prefixes[i]),
                                          .is_prefix = true};
        const struct model_read read = {.ranges = &range, .range_count = 1};
        assert_int_equal(model_fixture_read(fixture, "t", &read), CELLAR_OK);
        assert_int_equal(fixture->answer.row_count, counts[i]);
        for (size_t j = 0; j < fixture->answer.row_count; j++) {
            assert_true(cellar_slice_has_prefix(fixture->answer.rows[j].key, range.start));
        }
    }
}

static void r_rng_08_bounds_of_4097_bytes_are_taken_and_longer_ones_refused(void **state)
{
    struct model_fixture *fixture = *state;
    uint8_t bytes[4098];
    memset(bytes, 'k', sizeof bytes);
    bytes[4096] = 0;
    const struct cellar_mutation set = model_set("f", "q", 1000, "v");
    struct cellar_slice longest = cellar_slice_make(bytes, 4096);
    assert_int_equal(model_fixture_mutate(fixture, "t", longest, &set, 1), CELLAR_OK);
    struct model_range range = {
        .start = longest, .start_is_closed = true, .end = cellar_slice_make(bytes, 4097)};
    struct model_read read = {.ranges = &range, .range_count = 1};
    for (unsigned i = 0; i < 4; i++) {
        range.end_is_closed = (i & 1) != 0;
        read.is_reversed = (i & 2) != 0;
        assert_int_equal(model_fixture_read(fixture, "t", &read), CELLAR_OK);
        assert_int_equal(fixture->answer.row_count, 1);
    }
    range = (struct model_range){.start = cellar_slice_make(bytes, 4097)};
    assert_int_equal(model_fixture_read(fixture, "t", &read), CELLAR_OK);
    assert_int_equal(fixture->answer.row_count, 0);
    range.start.bytes = 4098;
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read),
                               CELLAR_INVALID_ARGUMENT, "4098");
    range = (struct model_range){.end = cellar_slice_make(bytes, 4098)};
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read),
                               CELLAR_INVALID_ARGUMENT, "4098");
}

static void r_rng_09_tablets_make_no_difference(void **state)
{
    struct model_fixture *fixture = *state;
    static const char *const families[] = {"f", NULL};
    /* Borders that are rows, that lie between rows, and a tablet without rows. */
    static const char *const splits[] = {"b", "ba", "cc", "cd", "e", "ee", NULL};
    static const char *const rows[] = {"a", "b", "b0", "bb", "bbb", "c", "d", "dd", "e", "f"};
    static const char *const bounds[] = {"", "a", "b", "ba", "bb", "c", "cc", "e", "z"};
    const struct cellar_mutation set = model_set("f", "q", 1000, "v");
    struct model_answer plain = {0};
    char text[800];
    model_fixture_table(fixture, "s", 0, families, splits);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(rows); i++) {
        struct cellar_slice row = cellar_slice_text(rows[i]);
        assert_int_equal(model_fixture_mutate(fixture, "t", row, &set, 1), CELLAR_OK);
        assert_int_equal(model_fixture_mutate(fixture, "s", row, &set, 1), CELLAR_OK);
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(bounds) * CELLAR_ARRAY_COUNT(bounds) * 16; i++) {
        const struct model_range range =
            range_make(bounds[i / 16 / CELLAR_ARRAY_COUNT(bounds)], (i & 1) != 0,
                       bounds[i / 16 % CELLAR_ARRAY_COUNT(bounds)], (i & 2) != 0);
        const struct model_read read = {.ranges = &range,
                                        .range_count = 1,
                                        .is_reversed = (i & 4) != 0,
                                        .rows_limit = (i & 8) != 0 ? 3 : 0};
        enum cellar_status status =
            model_svc_read(fixture->service.svc, "t", &read, 4096, &plain, NULL);
        assert_int_equal(model_fixture_read(fixture, "s", &read), status);
        assert_int_equal(status,
                         model_range_is_valid(&range) ? CELLAR_OK : CELLAR_INVALID_ARGUMENT);
        if (!model_answer_equal(&plain, &fixture->answer, text, sizeof text)) {
            fail_msg("%s", text);
        }
    }
    model_answer_fini(&plain);
}

#define RULE(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, model_fixture_setup, model_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(r_row_01_a_read_without_a_row_set_returns_every_row),
        RULE(r_row_02_a_row_set_is_a_union),
        RULE(r_row_03_keys_that_do_not_exist_are_left_out),
        RULE(r_row_04_a_row_of_which_no_cell_is_asked_for_is_not_returned),
        RULE(r_row_05_rows_limit_counts_the_rows_that_are_returned),
        RULE(r_row_06_rows_limit_0_is_none_and_a_negative_one_is_refused),
        RULE(r_row_07_reversed_returns_rows_by_descending_key_with_cells_ascending),
        RULE(r_row_08_reversed_with_a_limit_returns_the_last_rows),
        RULE(r_row_10_cells_come_by_family_and_qualifier_newest_first),
        RULE(r_row_12_a_read_sees_every_write_acknowledged_before_it),
        RULE(r_rng_01_closed_bounds_include_their_key_and_open_ones_do_not),
        RULE(r_rng_02_absent_and_empty_bounds_are_unbounded),
        RULE(r_rng_03_a_start_behind_its_end_is_refused),
        RULE(r_rng_04_a_range_closed_at_one_key_returns_that_row),
        RULE(r_rng_05_a_range_that_can_hold_no_key_is_refused),
        RULE(r_rng_06_a_row_set_that_matches_nothing_returns_nothing),
        RULE(r_rng_07_a_prefix_returns_exactly_the_keys_that_begin_with_it),
        RULE(r_rng_08_bounds_of_4097_bytes_are_taken_and_longer_ones_refused),
        RULE(r_rng_09_tablets_make_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
