/*
 * json_write: strings and bytes are written so that they are read back, and hide nothing.
 */
#include "tests/support/support.h"

#include "client/tools/json.h"
#include "client/tools/json_write.h"

static const struct cellar_json *read_ok(struct cellar_slice text, struct cellar_arena *arena)
{
    const struct cellar_json *root = NULL;
    struct cellar_error error;
    if (cellar_json_read(text, arena, &root, &error) != CELLAR_OK) {
        fail_msg("%.*s: %s", (int)text.bytes, (const char *)text.data, error.text);
    }
    return root;
}

static void strings_and_bytes_are_written(void **state)
{
    (void)state;
    static const struct {
        struct cellar_slice bytes;
        const char *json;
    } cases[] = {
        {{(const uint8_t *)"", 0}, "\"\""},
        {{(const uint8_t *)"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{(const uint8_t *)"\n\t\r\b\f\0\x1f\x7f", 8}, "\"\\n\\t\\r\\b\\f\\u0000\\u001f\\u007f\""},
        {{(const uint8_t *)"\xc3\xa9", 2}, "\"\xc3\xa9\""},
        {{(const uint8_t *)"\xff\0\1", 3}, "{\"b64\":\"/wAB\"}"},
        {{(const uint8_t *)"a\xc2\x9b\xe2\x80\xae", 6}, "\"a\\u009b\\u202e\""}, /* not seen */
        {{(const uint8_t *)"\xf3\xa0\x81\x81z", 5}, "\"\\udb40\\udc41z\""},     /* a pair */
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_buffer to = {0};
        assert_int_equal(cellar_json_put_bytes(&to, cases[index].bytes), CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text(cases[index].json)));
        cellar_buffer_fini(&to);
    }
}

static void a_string_that_is_no_utf8_is_still_json(void **state)
{
    (void)state;
    struct cellar_buffer to = {0};
    assert_int_equal(cellar_json_put_string(&to, cellar_slice_make("a\x9b"
                                                                   "b",
                                                                   3)),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text("\"a\\ufffdb\"")));
    cellar_buffer_fini(&to);
}

static void escaped_characters_are_read_back(void **state)
{
    (void)state;
    const struct cellar_slice slice = cellar_slice_make("\xc2\x9b\xf3\xa0\x81\x81\xef\xbb\xbf", 9);
    struct cellar_buffer json = {0};
    struct cellar_arena arena = {0};
    assert_int_equal(cellar_json_put_bytes(&json, slice), CELLAR_OK);
    const struct cellar_json *root = read_ok(cellar_slice_of(&json), &arena);
    assert_true(cellar_slice_equal(root->text, slice));
    cellar_buffer_fini(&json);
    cellar_arena_fini(&arena);
}

static void written_strings_are_read_back(void **state)
{
    (void)state;
    struct test_random random = {test_seed("json")};
    for (int round = 0; round < 500; round++) {
        uint8_t bytes[40];
        struct cellar_buffer json = {0};
        struct cellar_arena arena = {0};
        struct cellar_slice slice =
            cellar_slice_make(bytes, test_random_below(&random, sizeof bytes));
        for (size_t index = 0; index < sizeof bytes; index++) {
            bytes[index] = (uint8_t)test_random_below(&random, 128);
        }
        assert_int_equal(cellar_json_put_bytes(&json, slice), CELLAR_OK);
        const struct cellar_json *root = read_ok(cellar_slice_of(&json), &arena);
        assert_true(cellar_slice_equal(root->text, slice));
        cellar_buffer_fini(&json);
        cellar_arena_fini(&arena);
    }
}

static enum cellar_status write_both(void *context)
{
    static const uint8_t bytes[] = "bytes that make the buffer grow once more, as they are no "
                                   "text: \xff\xff\xff\xff";
    struct cellar_buffer to = {0};
    (void)context;
    enum cellar_status status = cellar_json_put_bytes(&to, cellar_slice_text("text\n"));
    if (status == CELLAR_OK) {
        status = cellar_json_put_bytes(&to, cellar_slice_make(bytes, sizeof bytes - 1));
    }
    cellar_buffer_fini(&to);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(write_both, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_and_bytes_are_written),
        cmocka_unit_test(a_string_that_is_no_utf8_is_still_json),
        cmocka_unit_test(escaped_characters_are_read_back),
        cmocka_unit_test(written_strings_are_read_back),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
