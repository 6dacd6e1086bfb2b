/*
 * buf: slices, buffers, fixed-width integers, cursors.
 */
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "tests/support/support.h"

static void slices_order_by_unsigned_bytes_with_prefixes_first(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t bytes;
    } ordered[] = {{"", 0}, {"\0", 1}, {"\0\0", 2}, {"a", 1}, {"a\0", 2}, {"ab", 2}, {"\xff", 1}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(ordered); i++) {
        struct cellar_slice a = cellar_slice_make(ordered[i].data, ordered[i].bytes);
        for (size_t k = 0; k < CELLAR_ARRAY_COUNT(ordered); k++) {
            struct cellar_slice b = cellar_slice_make(ordered[k].data, ordered[k].bytes);
            int order = cellar_slice_compare(a, b);
            assert_int_equal(order < 0, i < k);
            assert_int_equal(order == 0, i == k);
            assert_int_equal(cellar_slice_equal(a, b), i == k);
        }
    }
}

static void an_empty_slice_may_be_null(void **state)
{
    (void)state;
    struct cellar_slice null = cellar_slice_make(NULL, 0);
    struct cellar_slice empty = cellar_slice_text("");
    struct cellar_slice text = cellar_slice_text("x");
    assert_int_equal(cellar_slice_compare(null, empty), 0);
    assert_true(cellar_slice_equal(null, empty));
    assert_true(cellar_slice_compare(null, text) < 0);
    assert_true(cellar_slice_has_prefix(null, empty));
    assert_true(cellar_slice_has_prefix(text, null));
    assert_false(cellar_slice_has_prefix(null, text));
}

static void prefix_is_found_only_at_the_front(void **state)
{
    (void)state;
    struct cellar_slice whole = cellar_slice_text("row#1");
    assert_true(cellar_slice_has_prefix(whole, cellar_slice_text("row")));
    assert_true(cellar_slice_has_prefix(whole, whole));
    assert_false(cellar_slice_has_prefix(whole, cellar_slice_text("ow")));
    assert_false(cellar_slice_has_prefix(whole, cellar_slice_text("row#11")));
}

static void appended_bytes_come_back_in_order(void **state)
{
    (void)state;
    struct cellar_buffer buffer = {0};
    for (size_t i = 0; i < 1000; i++) {
        uint8_t byte = (uint8_t)(i & 0xff);
        assert_int_equal(cellar_buffer_append(&buffer, &byte, 1), CELLAR_OK);
    }
    assert_int_equal(buffer.bytes, 1000);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(buffer.data[i], i & 0xff);
    }
    assert_int_equal(cellar_buffer_append(&buffer, NULL, 0), CELLAR_OK);
    assert_int_equal(cellar_slice_of(&buffer).bytes, 1000);
    cellar_buffer_fini(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.capacity, 0);
}

static void reserved_room_is_used_without_allocating(void **state)
{
    (void)state;
    struct cellar_buffer buffer = {0};
    assert_int_equal(cellar_buffer_reserve(&buffer, 5000), CELLAR_OK);
    (void)cellar_mem_fail_at(0);
    char block[5000] = {0};
    assert_int_equal(cellar_buffer_append(&buffer, block, sizeof block), CELLAR_OK);
    assert_false(cellar_mem_fail_at(-1));
    cellar_buffer_fini(&buffer);
}

static void impossible_room_is_refused(void **state)
{
    (void)state;
    struct cellar_buffer buffer = {0};
    assert_int_equal(cellar_buffer_append(&buffer, "abc", 3), CELLAR_OK);
    assert_int_equal(cellar_buffer_reserve(&buffer, SIZE_MAX), CELLAR_NO_MEMORY);
    assert_int_equal(cellar_buffer_reserve(&buffer, SIZE_MAX - 2), CELLAR_NO_MEMORY);
    assert_int_equal(buffer.bytes, 3);
    assert_memory_equal(buffer.data, "abc", 3);
    cellar_buffer_fini(&buffer);
}

static void printf_appends_without_its_nul(void **state)
{
    (void)state;
    struct cellar_buffer buffer = {0};
    assert_int_equal(cellar_buffer_printf(&buffer, "%d-%s", 12, "ab"), CELLAR_OK);
    assert_int_equal(cellar_buffer_printf(&buffer, "%s", ""), CELLAR_OK);
    assert_int_equal(cellar_buffer_printf(&buffer, "%0200d", 7), CELLAR_OK);
    assert_int_equal(buffer.bytes, 205);
    assert_memory_equal(buffer.data, "12-ab0", 6);
    assert_int_equal(buffer.data[204], '7');
    cellar_buffer_fini(&buffer);
}

static void consume_moves_the_rest_to_the_front(void **state)
{
    (void)state;
    struct cellar_buffer buffer = {0};
    cellar_buffer_consume(&buffer, 0);
    assert_int_equal(cellar_buffer_append(&buffer, "abcdef", 6), CELLAR_OK);
    cellar_buffer_consume(&buffer, 4);
    assert_int_equal(buffer.bytes, 2);
    assert_memory_equal(buffer.data, "ef", 2);
    cellar_buffer_consume(&buffer, 2);
    assert_int_equal(buffer.bytes, 0);
    cellar_buffer_fini(&buffer);
}

static void clear_keeps_the_memory(void **state)
{
    (void)state;
    struct cellar_buffer buffer = {0};
    assert_int_equal(cellar_buffer_append(&buffer, "abc", 3), CELLAR_OK);
    size_t capacity = buffer.capacity;
    cellar_buffer_clear(&buffer);
    assert_int_equal(buffer.bytes, 0);
    assert_int_equal(buffer.capacity, capacity);
    cellar_buffer_fini(&buffer);
}

static enum cellar_status grow_and_print(struct cellar_buffer *buffer)
{
    char block[100] = {0};
    for (size_t i = 0; i < 50; i++) {
        CELLAR_TRY(cellar_buffer_append(buffer, block, sizeof block));
        CELLAR_TRY(cellar_buffer_printf(buffer, "%099d", 1));
    }
    return CELLAR_OK;
}

static enum cellar_status fill_buffer(void *context)
{
    (void)context;
    struct cellar_buffer buffer = {0};
    enum cellar_status status = grow_and_print(&buffer);
    if (status == CELLAR_NO_MEMORY) {
        assert_true(buffer.bytes <= buffer.capacity);
        assert_true(buffer.bytes % 199 == 0 || buffer.bytes % 199 == 100);
    }
    cellar_buffer_fini(&buffer);
    return status;
}

static void buffer_without_memory_is_what_it_was(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(fill_buffer, NULL) > 3);
}

static void integers_have_the_byte_order_of_their_name(void **state)
{
    (void)state;
    uint8_t bytes[8];
    cellar_put_u16le(bytes, 0x0102);
    assert_memory_equal(bytes, "\x02\x01", 2);
    cellar_put_u16be(bytes, 0x0102);
    assert_memory_equal(bytes, "\x01\x02", 2);
    cellar_put_u32le(bytes, 0x01020304);
    assert_memory_equal(bytes, "\x04\x03\x02\x01", 4);
    cellar_put_u32be(bytes, 0x01020304);
    assert_memory_equal(bytes, "\x01\x02\x03\x04", 4);
    cellar_put_u64le(bytes, 0x0102030405060708);
    assert_memory_equal(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    cellar_put_u64be(bytes, 0x0102030405060708);
    assert_memory_equal(bytes, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
}

static void integers_come_back_from_unaligned_places(void **state)
{
    (void)state;
    uint8_t bytes[16];
    for (size_t offset = 0; offset < 8; offset++) {
        cellar_put_u16le(bytes + offset, 0xfedc);
        assert_int_equal(cellar_get_u16le(bytes + offset), 0xfedc);
        cellar_put_u16be(bytes + offset, 0xfedc);
        assert_int_equal(cellar_get_u16be(bytes + offset), 0xfedc);
        cellar_put_u32le(bytes + offset, 0xfedcba98);
        assert_int_equal(cellar_get_u32le(bytes + offset), 0xfedcba98);
        cellar_put_u32be(bytes + offset, 0xfedcba98);
        assert_int_equal(cellar_get_u32be(bytes + offset), 0xfedcba98);
        cellar_put_u64le(bytes + offset, UINT64_MAX - 5);
        assert_true(cellar_get_u64le(bytes + offset) == UINT64_MAX - 5);
        cellar_put_u64be(bytes + offset, UINT64_MAX - 5);
        assert_true(cellar_get_u64be(bytes + offset) == UINT64_MAX - 5);
    }
}

static void cursor_walks_exactly_its_bytes(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'x', 'y'};
    struct cellar_cursor cursor = cellar_cursor_make(cellar_slice_make(bytes, sizeof bytes));
    uint8_t u8 = 0;
    uint16_t u16 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    struct cellar_slice rest;
    assert_true(cellar_cursor_u8(&cursor, &u8) && u8 == 1);
    assert_true(cellar_cursor_u16le(&cursor, &u16) && u16 == 2);
    assert_true(cellar_cursor_u32le(&cursor, &u32) && u32 == 3);
    assert_true(cellar_cursor_u64le(&cursor, &u64) && u64 == 4);
    assert_true(cellar_cursor_take(&cursor, 2, &rest));
    assert_memory_equal(rest.data, "xy", 2);
    assert_int_equal(cellar_cursor_left(&cursor), 0);
    assert_true(cellar_cursor_take(&cursor, 0, &rest));
    assert_false(cellar_cursor_u8(&cursor, &u8));
}

static void cursor_stays_when_too_little_is_left(void **state)
{
    (void)state;
    static const uint8_t bytes[7] = {0};
    uint8_t u8 = 9;
    uint16_t u16 = 9;
    uint32_t u32 = 9;
    uint64_t u64 = 9;
    struct cellar_slice slice = cellar_slice_make(bytes, 1);
    struct cellar_cursor cursor = cellar_cursor_make(cellar_slice_make(bytes, 0));
    assert_false(cellar_cursor_u8(&cursor, &u8));
    cursor = cellar_cursor_make(cellar_slice_make(bytes, 1));
    assert_false(cellar_cursor_u16le(&cursor, &u16));
    cursor = cellar_cursor_make(cellar_slice_make(bytes, 3));
    assert_false(cellar_cursor_u32le(&cursor, &u32));
    cursor = cellar_cursor_make(cellar_slice_make(bytes, 7));
    assert_false(cellar_cursor_u64le(&cursor, &u64));
    assert_false(cellar_cursor_take(&cursor, 8, &slice));
    assert_false(cellar_cursor_take(&cursor, SIZE_MAX, &slice));
    assert_int_equal(cellar_cursor_left(&cursor), 7);
    assert_true(u8 == 9 && u16 == 9 && u32 == 9 && u64 == 9 && slice.bytes == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_order_by_unsigned_bytes_with_prefixes_first),
        cmocka_unit_test(an_empty_slice_may_be_null),
        cmocka_unit_test(prefix_is_found_only_at_the_front),
        cmocka_unit_test(appended_bytes_come_back_in_order),
        cmocka_unit_test(reserved_room_is_used_without_allocating),
        cmocka_unit_test(impossible_room_is_refused),
        cmocka_unit_test(printf_appends_without_its_nul),
        cmocka_unit_test(consume_moves_the_rest_to_the_front),
        cmocka_unit_test(clear_keeps_the_memory),
        cmocka_unit_test(buffer_without_memory_is_what_it_was),
        cmocka_unit_test(integers_have_the_byte_order_of_their_name),
        cmocka_unit_test(integers_come_back_from_unaligned_places),
        cmocka_unit_test(cursor_walks_exactly_its_bytes),
        cmocka_unit_test(cursor_stays_when_too_little_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
