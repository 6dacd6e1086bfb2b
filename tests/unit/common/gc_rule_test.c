/*
 * GC rules: what is accepted and refused on the way in, that the bytes come out as they went in,
 * and which cells a rule hides. Rules of the contract are named in the tests' names.
 */
#include <string.h>

#include "tests/support/support.h"

#include "common/gc_rule.h"

struct form_case {
    const char *name;
    const char *bytes;
    size_t byte_count;
    enum cellar_status status;
    const char *text; /* part of the error's text, or NULL */
};

#define FORM(name, bytes, status, text)                                                            \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, status, text                                               \
    }

static const struct form_case form_cases[] = {
    FORM("nil", "\xc0", CELLAR_OK, NULL),
    FORM("one version", "\x92\x01\x01", CELLAR_OK, NULL),
    FORM("a millisecond", "\x92\x02\xcd\x03\xe8", CELLAR_OK, NULL),
    FORM("union of one", "\x92\x03\x91\x92\x01\x02", CELLAR_OK, NULL),
    FORM("intersection of two", "\x92\x04\x92\x92\x01\x02\x92\x02\xcd\x07\xd0", CELLAR_OK, NULL),
    FORM("nested", "\x92\x03\x92\x92\x01\x02\x92\x04\x91\x92\x01\x03", CELLAR_OK, NULL),
    FORM("nothing", "", CELLAR_INVALID_ARGUMENT, "Error in field 'gc_rule' : expected nil"),
    FORM("a number", "\x01", CELLAR_INVALID_ARGUMENT, "expected nil or an array of 2"),
    FORM("short array", "\x91\x01", CELLAR_INVALID_ARGUMENT, "expected nil or an array of 2"),
    FORM("kind is text", "\x92\xa1x\x01", CELLAR_INVALID_ARGUMENT, "the kind, a number"),
    FORM("kind 0", "\x92\x00\x01", CELLAR_INVALID_ARGUMENT, "1 to 4, but got 0"),
    FORM("kind 5", "\x92\x05\x01", CELLAR_INVALID_ARGUMENT, "1 to 4, but got 5"),
    FORM("no versions", "\x92\x01\x00", CELLAR_INVALID_ARGUMENT, "at least 1, but got 0"),
    FORM("minus one version", "\x92\x01\xff", CELLAR_INVALID_ARGUMENT, "but got -1"),
    FORM("999 us", "\x92\x02\xcd\x03\xe7", CELLAR_INVALID_ARGUMENT,
         "1000 microseconds, but got 999"),
    FORM("amount is text", "\x92\x01\xa1x", CELLAR_INVALID_ARGUMENT, "a count or an age"),
    FORM("amount is missing", "\x92\x01", CELLAR_INVALID_ARGUMENT, "expected"),
    FORM("amount above int64", "\x92\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
         CELLAR_INVALID_ARGUMENT, "a count or an age"),
    FORM("union of none", "\x92\x03\x90", CELLAR_INVALID_ARGUMENT, "at least 1 rule, but got 0"),
    FORM("union of nil", "\x92\x03\x91\xc0", CELLAR_INVALID_ARGUMENT, "rule #0"),
    FORM("second is nil", "\x92\x04\x92\x92\x01\x01\xc0", CELLAR_INVALID_ARGUMENT, "rule #1"),
    FORM("union is no array", "\x92\x03\x01", CELLAR_INVALID_ARGUMENT, "an array of rules"),
    FORM("a list cut off", "\x92\x03\x92\x92\x01\x02", CELLAR_INVALID_ARGUMENT, "expected"),
};

static void gc_rule_decode_accepts_and_refuses_r_gc_11_r_gc_12(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(form_cases); i++) {
        const struct form_case *test = &form_cases[i];
        struct cellar_arena arena = {0};
        struct cellar_gc_rule rule = {0};
        struct cellar_error error;
        cellar_error_clear(&error);
        struct cellar_slice slice = cellar_slice_make(test->bytes, test->byte_count);
        struct cellar_cursor from = cellar_cursor_make(slice);
        enum cellar_status status = cellar_gc_rule_decode(&from, &arena, &rule, &error);
        if (status != test->status ||
            (test->text != NULL && strstr(error.text, test->text) == NULL)) {
            fail_msg("%s: got %s '%s'", test->name, cellar_status_text(status), error.text);
        }
        if (status == CELLAR_OK) {
            struct cellar_buffer again = {0};
            assert_int_equal(cellar_cursor_left(&from), 0);
            assert_int_equal(cellar_gc_rule_encode(&rule, &again), CELLAR_OK);
            assert_true(cellar_slice_equal(cellar_slice_of(&again), slice));
            cellar_buffer_fini(&again);
        }
        cellar_arena_fini(&arena);
    }
}

/* A union of `count` rules of 3 bytes each. */
static void put_wide_rule(struct cellar_buffer *to, uint32_t count)
{
    assert_int_equal(cellar_wire_put_array(to, 2), CELLAR_OK);
    assert_int_equal(cellar_wire_put_u64(to, CELLAR_GC_UNION), CELLAR_OK);
    assert_int_equal(cellar_wire_put_array(to, count), CELLAR_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(cellar_buffer_append(to, "\x92\x01\x05", 3), CELLAR_OK);
    }
}

static enum cellar_status decode_buffer(const struct cellar_buffer *bytes,
                                        struct cellar_error *error)
{
    struct cellar_arena arena = {0};
    struct cellar_gc_rule rule = {0};
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(bytes));
    enum cellar_status status = cellar_gc_rule_decode(&from, &arena, &rule, error);
    cellar_arena_fini(&arena);
    return status;
}

static void gc_rule_of_500_bytes_is_accepted_and_of_501_refused_r_gc_10(void **state)
{
    (void)state;
    struct cellar_error error;
    struct cellar_buffer bytes = {0};
    put_wide_rule(&bytes, 165); /* 2 + 3 + 165 * 3 bytes */
    assert_int_equal(bytes.bytes, 500);
    assert_int_equal(decode_buffer(&bytes, &error), CELLAR_OK);
    cellar_buffer_clear(&bytes);
    put_wide_rule(&bytes, 166);
    assert_int_equal(decode_buffer(&bytes, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 500 bytes"));
    /* A count that promises more than may ever come is refused before memory is taken for it. */
    cellar_buffer_clear(&bytes);
    put_wide_rule(&bytes, 60000);
    assert_int_equal(decode_buffer(&bytes, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "60000"));
    cellar_buffer_fini(&bytes);
}

static void gc_rule_nests_20_deep_and_no_deeper(void **state)
{
    (void)state;
    for (uint32_t depth = 19; depth <= 200; depth += depth < 21 ? 1 : 60) {
        struct cellar_error error;
        struct cellar_buffer bytes = {0};
        for (uint32_t i = 0; i + 1 < depth; i++) {
            assert_int_equal(cellar_buffer_append(&bytes, "\x92\x04\x91", 3), CELLAR_OK);
        }
        assert_int_equal(cellar_buffer_append(&bytes, "\x92\x01\x01", 3), CELLAR_OK);
        assert_int_equal(decode_buffer(&bytes, &error),
                         depth <= CELLAR_GC_RULE_DEPTH_MAX ? CELLAR_OK : CELLAR_INVALID_ARGUMENT);
        cellar_buffer_fini(&bytes);
    }
}

static void gc_rule_versions_hides_all_but_the_newest_n_r_gc_02(void **state)
{
    (void)state;
    struct cellar_gc_rule rule = {.kind = CELLAR_GC_VERSIONS, .amount = 2};
    assert_false(cellar_gc_rule_hides(&rule, 0, 5, 10));
    assert_false(cellar_gc_rule_hides(&rule, 1, 5, 10));
    assert_true(cellar_gc_rule_hides(&rule, 2, 5, 10));
    assert_true(cellar_gc_rule_hides(&rule, UINT64_MAX, 5, 10));
}

static void gc_rule_age_hides_what_is_older_and_keeps_the_equal_r_gc_03(void **state)
{
    (void)state;
    struct cellar_gc_rule rule = {.kind = CELLAR_GC_AGE, .amount = 1000};
    assert_false(cellar_gc_rule_hides(&rule, 9, 4000, 5000));
    assert_true(cellar_gc_rule_hides(&rule, 0, 3999, 5000));
    assert_false(cellar_gc_rule_hides(&rule, 0, INT64_MAX, 5000));
    assert_true(cellar_gc_rule_hides(&rule, 0, 0, INT64_MAX));
    rule.amount = INT64_MAX;
    assert_false(cellar_gc_rule_hides(&rule, 0, 0, INT64_MAX));
}

static void gc_rule_union_hides_by_any_and_intersection_by_all_r_gc_04(void **state)
{
    (void)state;
    struct cellar_gc_rule children[2] = {{.kind = CELLAR_GC_VERSIONS, .amount = 1},
                                         {.kind = CELLAR_GC_AGE, .amount = 1000}};
    struct cellar_gc_rule rule = {.kind = CELLAR_GC_UNION, .children = children, .child_count = 2};
    assert_false(cellar_gc_rule_hides(&rule, 0, 5000, 5000));
    assert_true(cellar_gc_rule_hides(&rule, 1, 5000, 5000));
    assert_true(cellar_gc_rule_hides(&rule, 0, 0, 5000));
    rule.kind = CELLAR_GC_INTERSECTION;
    assert_false(cellar_gc_rule_hides(&rule, 1, 5000, 5000));
    assert_false(cellar_gc_rule_hides(&rule, 0, 0, 5000));
    assert_true(cellar_gc_rule_hides(&rule, 1, 0, 5000));
    struct cellar_gc_rule none = {.kind = CELLAR_GC_NONE};
    assert_false(cellar_gc_rule_hides(&none, 100, 0, INT64_MAX));
}

static enum cellar_status round_trip(void *context)
{
    const struct cellar_buffer *bytes = context;
    struct cellar_arena arena = {0};
    struct cellar_buffer again = {0};
    struct cellar_gc_rule rule = {0};
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(bytes));
    enum cellar_status status = cellar_gc_rule_decode(&from, &arena, &rule, NULL);
    if (status == CELLAR_OK) {
        status = cellar_gc_rule_encode(&rule, &again);
        assert_true(status == CELLAR_OK || again.bytes == 0);
    }
    cellar_buffer_fini(&again);
    cellar_arena_fini(&arena);
    return status;
}

static void gc_rule_survives_every_failing_allocation(void **state)
{
    (void)state;
    struct cellar_buffer bytes = {0};
    put_wide_rule(&bytes, 100);
    assert_true(test_out_of_memory_loop(round_trip, &bytes) >= 2);
    cellar_buffer_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gc_rule_decode_accepts_and_refuses_r_gc_11_r_gc_12),
        cmocka_unit_test(gc_rule_of_500_bytes_is_accepted_and_of_501_refused_r_gc_10),
        cmocka_unit_test(gc_rule_nests_20_deep_and_no_deeper),
        cmocka_unit_test(gc_rule_versions_hides_all_but_the_newest_n_r_gc_02),
        cmocka_unit_test(gc_rule_age_hides_what_is_older_and_keeps_the_equal_r_gc_03),
        cmocka_unit_test(gc_rule_union_hides_by_any_and_intersection_by_all_r_gc_04),
        cmocka_unit_test(gc_rule_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
