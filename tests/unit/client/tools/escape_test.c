/*
 * escape: bytes as text and back. What a terminal must not see is escaped, what is printed is read
 * back to the same bytes, and what is no escape is refused.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/escape.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)

static void expect_encoded(struct cellar_slice bytes, enum cellar_escape_also also,
                           const char *text)
{
    struct cellar_buffer to = {0};
    assert_int_equal(cellar_escape_encode(bytes, also, &to), CELLAR_OK);
    if (!cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text(text))) {
        fail_msg("got '%.*s', wanted '%s'", (int)to.bytes, (const char *)to.data, text);
    }
    cellar_buffer_fini(&to);
}

static void harmless_characters_stay_and_others_are_escaped(void **state)
{
    (void)state;
    expect_encoded(BYTES(""), CELLAR_ESCAPE_PLAIN, "");
    expect_encoded(BYTES("plain text, = and ~"), CELLAR_ESCAPE_PLAIN, "plain text, = and ~");
    expect_encoded(BYTES("a\\b"), CELLAR_ESCAPE_PLAIN, "a\\x5cb");
    expect_encoded(BYTES("\0\n\t\x1b[31m\x7f"), CELLAR_ESCAPE_PLAIN,
                   "\\x00\\x0a\\x09\\x1b[31m\\x7f");
    expect_encoded(BYTES("Zürich 日本 \xf0\x9f\x98\x80"), CELLAR_ESCAPE_PLAIN,
                   "Zürich 日本 \xf0\x9f\x98\x80");
    expect_encoded(BYTES("\xc2\x85"), CELLAR_ESCAPE_PLAIN, "\\xc2\\x85");          /* C1 control */
    expect_encoded(BYTES("\xe2\x80\xae"), CELLAR_ESCAPE_PLAIN, "\\xe2\\x80\\xae"); /* direction */
    expect_encoded(BYTES("\xef\xbb\xbf"), CELLAR_ESCAPE_PLAIN, "\\xef\\xbb\\xbf"); /* BOM */
}

static void bytes_that_are_no_characters_are_escaped(void **state)
{
    (void)state;
    expect_encoded(BYTES("\xff\xfe"), CELLAR_ESCAPE_PLAIN, "\\xff\\xfe");
    expect_encoded(BYTES("a\xc3"), CELLAR_ESCAPE_PLAIN, "a\\xc3");                 /* cut */
    expect_encoded(BYTES("\xc0\x80"), CELLAR_ESCAPE_PLAIN, "\\xc0\\x80");          /* overlong */
    expect_encoded(BYTES("\xed\xa0\x80"), CELLAR_ESCAPE_PLAIN, "\\xed\\xa0\\x80"); /* surrogate */
    expect_encoded(BYTES("\xf4\x90\x80\x80"), CELLAR_ESCAPE_PLAIN, "\\xf4\\x90\\x80\\x80");
    expect_encoded(BYTES("\x80z"), CELLAR_ESCAPE_PLAIN, "\\x80z");
}

static void words_have_no_blanks_and_no_equals(void **state)
{
    (void)state;
    expect_encoded(BYTES("a b=c"), CELLAR_ESCAPE_WORD, "a\\x20b\\x3dc");
}

static void prose_keeps_its_backslashes(void **state)
{
    (void)state;
    expect_encoded(BYTES("write \\xNN\x1b[0m\xff\xe2\x80\x8b = a b\n"), CELLAR_ESCAPE_PROSE,
                   "write \\xNN\\x1b[0m\\xff\\xe2\\x80\\x8b = a b\\x0a");
}

static void every_character_that_is_not_seen_is_escaped(void **state)
{
    (void)state;
    static const uint32_t codes[] = {0x00,   0x1f,   0x7f,   0x80,   0x9b,   0x9f,    0xad,
                                     0x34f,  0x61c,  0x115f, 0x17b4, 0x180e, 0x200b,  0x200f,
                                     0x2028, 0x2029, 0x202a, 0x202e, 0x2060, 0x2066,  0x2069,
                                     0x206f, 0x3164, 0xfeff, 0xffa0, 0xfff9, 0xe0001, 0xe0fff};
    static const uint32_t shown[] = {' ', '~', 0xa0, 0xe9, 0x65e5, 0x1f600, 0xfffd, 0x10ffff};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(codes); index++) {
        assert_true(cellar_escape_is_hidden(codes[index]));
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(shown); index++) {
        assert_false(cellar_escape_is_hidden(shown[index]));
    }
}

static void escapes_are_undone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct cellar_slice bytes;
    } cases[] = {
        {"", {(const uint8_t *)"", 0}},
        {"abc", {(const uint8_t *)"abc", 3}},
        {"\\x00\\xFF\\xaB", {(const uint8_t *)"\0\xff\xab", 3}},
        {"a\\\\b", {(const uint8_t *)"a\\b", 3}},
        {"\\x5cx41", {(const uint8_t *)"\\x41", 4}},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_buffer to = {0};
        assert_int_equal(cellar_escape_decode(cellar_slice_text(cases[index].text), &to, NULL),
                         CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&to), cases[index].bytes));
        cellar_buffer_fini(&to);
    }
}

static void what_is_no_escape_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"\\",    "\\n",   "\\x", "\\x4",
                                        "\\xg0", "\\x0g", "a\\", "\\X41"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(texts); index++) {
        struct cellar_buffer to = {0};
        struct cellar_error error;
        assert_int_equal(cellar_escape_decode(cellar_slice_text(texts[index]), &to, &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "is no escape"));
        cellar_buffer_fini(&to);
    }
}

static void random_bytes_come_back(void **state)
{
    (void)state;
    struct test_random random = {test_seed("escape")};
    for (int round = 0; round < 500; round++) {
        uint8_t bytes[48];
        struct cellar_buffer text = {0};
        struct cellar_buffer back = {0};
        struct cellar_slice slice =
            cellar_slice_make(bytes, test_random_below(&random, sizeof bytes));
        test_random_bytes(&random, bytes, sizeof bytes);
        assert_int_equal(
            cellar_escape_encode(slice, round % 2 == 0 ? CELLAR_ESCAPE_PLAIN : CELLAR_ESCAPE_WORD,
                                 &text),
            CELLAR_OK);
        assert_true(cellar_utf8_check(cellar_slice_of(&text)));
        assert_int_equal(cellar_escape_decode(cellar_slice_of(&text), &back, NULL), CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&back), slice));
        cellar_buffer_fini(&text);
        cellar_buffer_fini(&back);
    }
}

static void characters_are_measured(void **state)
{
    (void)state;
    uint32_t code = 0;
    assert_int_equal(cellar_utf8_next(BYTES("\xf4\x8f\xbf\xbf"), &code), 4);
    assert_int_equal(code, 0x10ffff);
    assert_int_equal(cellar_utf8_next(BYTES("\xe2\x82\xac!"), &code), 3);
    assert_int_equal(code, 0x20ac);
    assert_int_equal(cellar_utf8_next(BYTES("\0"), &code), 1);
    assert_int_equal(cellar_utf8_next(BYTES(""), &code), 0);
    assert_true(cellar_utf8_check(BYTES("")));
    assert_false(cellar_utf8_check(BYTES("ok\xf8\x88\x80\x80\x80")));
}

static enum cellar_status round_trip(void *context)
{
    struct cellar_buffer text = {0};
    struct cellar_buffer back = {0};
    (void)context;
    enum cellar_status status = cellar_escape_encode(
        BYTES("\0\1\2\3\4\5\6\7 and more than the least capacity of a buffer: \xff\xff\xff"),
        CELLAR_ESCAPE_PLAIN, &text);
    if (status == CELLAR_OK) {
        status = cellar_escape_decode(cellar_slice_of(&text), &back, NULL);
    }
    cellar_buffer_fini(&text);
    cellar_buffer_fini(&back);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(round_trip, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmless_characters_stay_and_others_are_escaped),
        cmocka_unit_test(bytes_that_are_no_characters_are_escaped),
        cmocka_unit_test(words_have_no_blanks_and_no_equals),
        cmocka_unit_test(prose_keeps_its_backslashes),
        cmocka_unit_test(every_character_that_is_not_seen_is_escaped),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(what_is_no_escape_is_refused),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(characters_are_measured),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
