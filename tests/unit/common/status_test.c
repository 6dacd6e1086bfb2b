/*
 * status: every code has a name, a number and a gRPC code; error texts are cut, prefixed, cleared.
 */
#include <string.h>

#include "tests/support/support.h"

#define TEXT_BYTES_MAX (CELLAR_ERROR_TEXT_BYTES_MAX - 1)

/* `count` times the letter `letter`, NUL-terminated. */
static void fill(char *text, char letter, size_t count)
{
    memset(text, letter, count);
    text[count] = '\0';
}

static void every_code_has_its_own_name(void **state)
{
    (void)state;
    for (unsigned int a = 0; a < CELLAR_STATUS_COUNT; a++) {
        assert_true(strlen(cellar_status_text((enum cellar_status)a)) > 1);
        for (unsigned int b = 0; b < a; b++) {
            assert_string_not_equal(cellar_status_text((enum cellar_status)a),
                                    cellar_status_text((enum cellar_status)b));
        }
    }
}

static void codes_map_to_the_numbers_of_grpc(void **state)
{
    (void)state;
    static const struct {
        enum cellar_status code;
        const char *text;
        int grpc;
    } cases[] = {
        {CELLAR_OK, "OK", 0},
        {CELLAR_INVALID_ARGUMENT, "INVALID_ARGUMENT", 3},
        {CELLAR_NOT_FOUND, "NOT_FOUND", 5},
        {CELLAR_ALREADY_EXISTS, "ALREADY_EXISTS", 6},
        {CELLAR_RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", 8},
        {CELLAR_OUTCOME_UNKNOWN, "OUTCOME_UNKNOWN", 2},
        {CELLAR_UNAVAILABLE, "UNAVAILABLE", 14},
        {CELLAR_DATA_LOSS, "DATA_LOSS", 15},
        {CELLAR_UNAUTHENTICATED, "UNAUTHENTICATED", 16},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        assert_string_equal(cellar_status_text(cases[i].code), cases[i].text);
        assert_int_equal(cellar_status_grpc(cases[i].code), cases[i].grpc);
    }
}

static void an_unknown_outcome_is_never_retryable(void **state)
{
    (void)state;
    assert_true(cellar_status_is_retryable(CELLAR_UNAVAILABLE));
    assert_false(cellar_status_is_retryable(CELLAR_OUTCOME_UNKNOWN));
    assert_false(cellar_status_is_retryable(CELLAR_DEADLINE_EXCEEDED));
    assert_false(cellar_status_is_retryable(CELLAR_OK));
}

static void known_numbers_decode_to_their_code(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < CELLAR_STATUS_COUNT; number++) {
        enum cellar_status code = CELLAR_OK;
        assert_true(cellar_status_decode(number, &code));
        assert_int_equal(code, number);
    }
}

static void unknown_numbers_leave_the_code_untouched(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {CELLAR_STATUS_COUNT, 255, UINT32_MAX, 1ull << 32,
                                       UINT64_MAX};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(numbers); i++) {
        enum cellar_status code = CELLAR_ABORTED;
        assert_false(cellar_status_decode(numbers[i], &code));
        assert_int_equal(code, CELLAR_ABORTED);
    }
}

static void set_fills_the_error_and_returns_the_code(void **state)
{
    (void)state;
    struct cellar_error error = {.retry_delay_ms = 7};
    assert_int_equal(cellar_error_set(&error, CELLAR_NOT_FOUND, "no table %s", "users"),
                     CELLAR_NOT_FOUND);
    assert_int_equal(error.code, CELLAR_NOT_FOUND);
    assert_int_equal(error.retry_delay_ms, 0);
    assert_string_equal(error.text, "no table users");
    cellar_error_clear(&error);
    assert_int_equal(error.code, CELLAR_OK);
    assert_string_equal(error.text, "");
}

static void a_missing_error_is_not_filled(void **state)
{
    (void)state;
    assert_int_equal(cellar_error_set(NULL, CELLAR_ABORTED, "%d", 1), CELLAR_ABORTED);
    cellar_error_prefix(NULL, "%d", 1);
}

static void a_long_text_is_cut_at_the_limit(void **state)
{
    (void)state;
    char text[2 * CELLAR_ERROR_TEXT_BYTES_MAX];
    for (size_t bytes = TEXT_BYTES_MAX - 1; bytes <= TEXT_BYTES_MAX + 2; bytes++) {
        struct cellar_error error;
        fill(text, 'x', bytes);
        (void)cellar_error_set(&error, CELLAR_ABORTED, "%s", text);
        assert_int_equal(strlen(error.text), CELLAR_MIN(bytes, TEXT_BYTES_MAX));
    }
}

static void a_text_is_not_cut_inside_a_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x8d\xb7"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(characters); i++) {
        size_t length = strlen(characters[i]);
        for (size_t room = 0; room <= length; room++) {
            char text[2 * CELLAR_ERROR_TEXT_BYTES_MAX];
            struct cellar_error error;
            fill(text, 'x', TEXT_BYTES_MAX - room);
            (void)cellar_error_set(&error, CELLAR_ABORTED, "%s%s%s", text, characters[i], "end");
            size_t kept = room == length ? TEXT_BYTES_MAX : TEXT_BYTES_MAX - room;
            assert_int_equal(strlen(error.text), kept);
        }
    }
}

static void bytes_that_are_no_utf8_are_cut_anywhere(void **state)
{
    (void)state;
    char text[2 * CELLAR_ERROR_TEXT_BYTES_MAX];
    struct cellar_error error;
    fill(text, '\x80', TEXT_BYTES_MAX + 9);
    (void)cellar_error_set(&error, CELLAR_ABORTED, "%s", text);
    assert_int_equal(strlen(error.text), TEXT_BYTES_MAX);
}

static void a_prefix_goes_before_the_text_and_keeps_the_code(void **state)
{
    (void)state;
    struct cellar_error error;
    (void)cellar_error_set(&error, CELLAR_NOT_FOUND, "no family f");
    error.retry_delay_ms = 5;
    cellar_error_prefix(&error, "entry %d", 3);
    assert_string_equal(error.text, "entry 3: no family f");
    assert_int_equal(error.code, CELLAR_NOT_FOUND);
    assert_int_equal(error.retry_delay_ms, 5);
}

static void a_prefix_that_leaves_no_room_cuts_the_text(void **state)
{
    (void)state;
    char text[2 * CELLAR_ERROR_TEXT_BYTES_MAX];
    for (size_t bytes = TEXT_BYTES_MAX - 4; bytes <= TEXT_BYTES_MAX + 4; bytes++) {
        struct cellar_error error;
        (void)cellar_error_set(&error, CELLAR_NOT_FOUND, "old text");
        fill(text, 'p', bytes);
        cellar_error_prefix(&error, "%s", text);
        assert_int_equal(strlen(error.text), TEXT_BYTES_MAX);
        assert_memory_equal(error.text, text, TEXT_BYTES_MAX - 4);
    }
}

static void an_error_may_be_built_from_its_own_text(void **state)
{
    (void)state;
    struct cellar_error error;
    (void)cellar_error_set(&error, CELLAR_NOT_FOUND, "cause");
    (void)cellar_error_set(&error, CELLAR_ABORTED, "gave up: %s", error.text);
    assert_string_equal(error.text, "gave up: cause");
    cellar_error_prefix(&error, "<%s>", error.text);
    assert_string_equal(error.text, "<gave up: cause>: gave up: cause");
}

static enum cellar_status try_twice(enum cellar_status first, int *calls)
{
    *calls = 1;
    CELLAR_TRY(first);
    *calls = 2;
    return CELLAR_OK;
}

static void try_returns_at_the_first_failure(void **state)
{
    (void)state;
    int calls = 0;
    assert_int_equal(try_twice(CELLAR_ABORTED, &calls), CELLAR_ABORTED);
    assert_int_equal(calls, 1);
    assert_int_equal(try_twice(CELLAR_OK, &calls), CELLAR_OK);
    assert_int_equal(calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_own_name),
        cmocka_unit_test(codes_map_to_the_numbers_of_grpc),
        cmocka_unit_test(an_unknown_outcome_is_never_retryable),
        cmocka_unit_test(known_numbers_decode_to_their_code),
        cmocka_unit_test(unknown_numbers_leave_the_code_untouched),
        cmocka_unit_test(set_fills_the_error_and_returns_the_code),
        cmocka_unit_test(a_missing_error_is_not_filled),
        cmocka_unit_test(a_long_text_is_cut_at_the_limit),
        cmocka_unit_test(a_text_is_not_cut_inside_a_character),
        cmocka_unit_test(bytes_that_are_no_utf8_are_cut_anywhere),
        cmocka_unit_test(a_prefix_goes_before_the_text_and_keeps_the_code),
        cmocka_unit_test(a_prefix_that_leaves_no_room_cuts_the_text),
        cmocka_unit_test(an_error_may_be_built_from_its_own_text),
        cmocka_unit_test(try_returns_at_the_first_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
