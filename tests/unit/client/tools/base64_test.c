/*
 * base64: RFC 4648's own examples both ways, random bytes there and back, and every text that is
 * not the one right form refused.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/base64.h"

static const struct {
    const char *bytes;
    const char *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void the_examples_of_the_standard_hold(void **state)
{
    (void)state;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(vectors); index++) {
        struct cellar_buffer to = {0};
        assert_int_equal(cellar_base64_encode(cellar_slice_text(vectors[index].bytes), &to),
                         CELLAR_OK);
        assert_true(
            cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text(vectors[index].text)));
        cellar_buffer_clear(&to);
        assert_int_equal(cellar_base64_decode(cellar_slice_text(vectors[index].text), &to),
                         CELLAR_OK);
        assert_true(
            cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text(vectors[index].bytes)));
        cellar_buffer_fini(&to);
    }
}

static void other_forms_are_refused_and_leave_the_buffer(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Z",    "Zg",   "Zg=",  "Zg===", "====", "Zg==Zg==", "Zm=v",    "=m9v",  "Zm9v\n",
        "Zm 9", "Zm-v", "Zm_v", "Zh==",  "Zm9=", "Z===",     "Zm9vYmF", "Zm\0v",
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(texts); index++) {
        struct cellar_buffer to = {0};
        assert_int_equal(cellar_buffer_append(&to, "before", 6), CELLAR_OK);
        size_t bytes = index + 1 == CELLAR_ARRAY_COUNT(texts) ? 4 : strlen(texts[index]);
        if (cellar_base64_decode(cellar_slice_make(texts[index], bytes), &to) !=
            CELLAR_INVALID_ARGUMENT) {
            fail_msg("'%s' was taken", texts[index]);
        }
        assert_int_equal(to.bytes, 6);
        cellar_buffer_fini(&to);
    }
}

static void random_bytes_come_back(void **state)
{
    (void)state;
    struct test_random random = {test_seed("base64")};
    for (int round = 0; round < 300; round++) {
        uint8_t bytes[100];
        struct cellar_buffer text = {0};
        struct cellar_buffer back = {0};
        struct cellar_slice slice =
            cellar_slice_make(bytes, test_random_below(&random, sizeof bytes));
        test_random_bytes(&random, bytes, sizeof bytes);
        assert_int_equal(cellar_base64_encode(slice, &text), CELLAR_OK);
        assert_int_equal(text.bytes % 4, 0);
        assert_int_equal(cellar_base64_decode(cellar_slice_of(&text), &back), CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&back), slice));
        cellar_buffer_fini(&text);
        cellar_buffer_fini(&back);
    }
}

static enum cellar_status round_trip(void *context)
{
    struct cellar_buffer text = {0};
    struct cellar_buffer back = {0};
    (void)context;
    enum cellar_status status = cellar_base64_encode(cellar_slice_text("some bytes"), &text);
    if (status == CELLAR_OK) {
        status = cellar_base64_decode(cellar_slice_of(&text), &back);
    }
    cellar_buffer_fini(&text);
    cellar_buffer_fini(&back);
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(round_trip, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_hold),
        cmocka_unit_test(other_forms_are_refused_and_leave_the_buffer),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
