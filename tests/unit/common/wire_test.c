/*
 * wire: bounded MessagePack. msgpack-c is the oracle in both directions: what we write must be its
 * bytes (both take the shortest forms), and what it writes, in any form, must be read by us as the
 * value that went in.
 */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/wire.h"
#include "tests/support/support.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)
#define ROUNDS 3000
#define NEST_MAX 4
#define LONG_BYTES 70000

static const uint8_t filler[LONG_BYTES];

static struct cellar_cursor cursor_of(const struct cellar_buffer *buffer)
{
    return cellar_cursor_make(cellar_slice_of(buffer));
}

static void assert_written(struct cellar_buffer *buffer, struct cellar_slice expected)
{
    assert_int_equal(buffer->bytes, expected.bytes);
    assert_memory_equal(buffer->data, expected.data, expected.bytes);
    cellar_buffer_clear(buffer);
}

static void integers_take_their_shortest_form(void **state)
{
    (void)state;
    const struct {
        int64_t value;
        struct cellar_slice bytes;
    } cases[] = {
        {0, BYTES("\x00")},
        {127, BYTES("\x7f")},
        {128, BYTES("\xcc\x80")},
        {255, BYTES("\xcc\xff")},
        {256, BYTES("\xcd\x01\x00")},
        {65535, BYTES("\xcd\xff\xff")},
        {65536, BYTES("\xce\x00\x01\x00\x00")},
        {UINT32_MAX, BYTES("\xce\xff\xff\xff\xff")},
        {INT64_C(4294967296), BYTES("\xcf\x00\x00\x00\x01\x00\x00\x00\x00")},
        {INT64_MAX, BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff")},
        {-1, BYTES("\xff")},
        {-32, BYTES("\xe0")},
        {-33, BYTES("\xd0\xdf")},
        {-128, BYTES("\xd0\x80")},
        {-129, BYTES("\xd1\xff\x7f")},
        {-32768, BYTES("\xd1\x80\x00")},
        {-32769, BYTES("\xd2\xff\xff\x7f\xff")},
        {INT32_MIN, BYTES("\xd2\x80\x00\x00\x00")},
        {INT64_C(-2147483649), BYTES("\xd3\xff\xff\xff\xff\x7f\xff\xff\xff")},
        {INT64_MIN, BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00")},
    };
    struct cellar_buffer buffer = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        assert_int_equal(cellar_wire_put_i64(&buffer, cases[index].value), CELLAR_OK);
        struct cellar_cursor from = cursor_of(&buffer);
        int64_t back = 0;
        assert_int_equal(cellar_wire_peek(&from), CELLAR_WIRE_INTEGER);
        assert_true(cellar_wire_get_i64(&from, &back));
        assert_int_equal(back, cases[index].value);
        assert_int_equal(cellar_cursor_left(&from), 0);
        assert_written(&buffer, cases[index].bytes);
    }
    cellar_buffer_fini(&buffer);
}

static void lengths_take_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        uint8_t text[5];
        size_t text_bytes;
        uint8_t bin[5];
        size_t bin_bytes;
    } cases[] = {
        {0, {0xA0}, 1, {0xC4, 0}, 2},
        {31, {0xBF}, 1, {0xC4, 31}, 2},
        {32, {0xD9, 32}, 2, {0xC4, 32}, 2},
        {255, {0xD9, 0xFF}, 2, {0xC4, 0xFF}, 2},
        {256, {0xDA, 1, 0}, 3, {0xC5, 1, 0}, 3},
        {65535, {0xDA, 0xFF, 0xFF}, 3, {0xC5, 0xFF, 0xFF}, 3},
        {65536, {0xDB, 0, 1, 0, 0}, 5, {0xC6, 0, 1, 0, 0}, 5},
    };
    struct cellar_buffer buffer = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_slice value = cellar_slice_make(filler, cases[index].bytes);
        assert_int_equal(cellar_wire_put_text(&buffer, value), CELLAR_OK);
        assert_int_equal(buffer.bytes, cases[index].text_bytes + value.bytes);
        assert_memory_equal(buffer.data, cases[index].text, cases[index].text_bytes);
        cellar_buffer_clear(&buffer);
        assert_int_equal(cellar_wire_put_bytes(&buffer, value), CELLAR_OK);
        assert_int_equal(buffer.bytes, cases[index].bin_bytes + value.bytes);
        assert_memory_equal(buffer.data, cases[index].bin, cases[index].bin_bytes);
        cellar_buffer_clear(&buffer);
    }
    cellar_buffer_fini(&buffer);
}

static void containers_take_their_shortest_form(void **state)
{
    (void)state;
    struct cellar_buffer buffer = {0};
    assert_int_equal(cellar_wire_put_array(&buffer, 15), CELLAR_OK);
    assert_written(&buffer, BYTES("\x9f"));
    assert_int_equal(cellar_wire_put_array(&buffer, 16), CELLAR_OK);
    assert_written(&buffer, BYTES("\xdc\x00\x10"));
    assert_int_equal(cellar_wire_put_array(&buffer, 65536), CELLAR_OK);
    assert_written(&buffer, BYTES("\xdd\x00\x01\x00\x00"));
    assert_int_equal(cellar_wire_put_map(&buffer, 15), CELLAR_OK);
    assert_written(&buffer, BYTES("\x8f"));
    assert_int_equal(cellar_wire_put_map(&buffer, 65535), CELLAR_OK);
    assert_written(&buffer, BYTES("\xde\xff\xff"));
    assert_int_equal(cellar_wire_put_map(&buffer, 65536), CELLAR_OK);
    assert_written(&buffer, BYTES("\xdf\x00\x01\x00\x00"));
    assert_int_equal(cellar_wire_put_nil(&buffer), CELLAR_OK);
    assert_int_equal(cellar_wire_put_bool(&buffer, false), CELLAR_OK);
    assert_int_equal(cellar_wire_put_bool(&buffer, true), CELLAR_OK);
    assert_written(&buffer, BYTES("\xc0\xc2\xc3"));
    cellar_buffer_fini(&buffer);
}

static void every_form_of_an_integer_is_read(void **state)
{
    (void)state;
    const struct cellar_slice sevens[] = {
        BYTES("\x07"),
        BYTES("\xcc\x07"),
        BYTES("\xcd\x00\x07"),
        BYTES("\xce\x00\x00\x00\x07"),
        BYTES("\xcf\x00\x00\x00\x00\x00\x00\x00\x07"),
        BYTES("\xd0\x07"),
        BYTES("\xd1\x00\x07"),
        BYTES("\xd2\x00\x00\x00\x07"),
        BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x07"),
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(sevens); index++) {
        struct cellar_cursor from = cellar_cursor_make(sevens[index]);
        uint64_t plain = 0;
        int64_t with_sign = 0;
        assert_true(cellar_wire_get_u64(&from, &plain));
        assert_int_equal(plain, 7);
        from = cellar_cursor_make(sevens[index]);
        assert_true(cellar_wire_get_i64(&from, &with_sign));
        assert_int_equal(with_sign, 7);
    }
}

static void integers_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice negatives[] = {BYTES("\xff"), BYTES("\xe0"), BYTES("\xd0\x80"),
                                             BYTES("\xd1\xff\xff"), BYTES("\xd2\x80\x00\x00\x00")};
    uint64_t plain = 99;
    int64_t with_sign = 99;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(negatives); index++) {
        struct cellar_cursor from = cellar_cursor_make(negatives[index]);
        assert_false(cellar_wire_get_u64(&from, &plain));
        assert_ptr_equal(from.at, negatives[index].data);
    }
    struct cellar_cursor huge = cellar_cursor_make(BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"));
    assert_false(cellar_wire_get_i64(&huge, &with_sign));
    assert_int_equal(cellar_cursor_left(&huge), 9);
    assert_true(cellar_wire_get_u64(&huge, &plain));
    assert_true(plain == UINT64_C(1) << 63);
    assert_int_equal(with_sign, 99);
}

static void text_and_bytes_are_read_for_each_other(void **state)
{
    (void)state;
    struct cellar_cursor from = cellar_cursor_make(BYTES("\xa2hi\xc4\x02hi\xd9\x02hi\xc5\0\2hi"));
    struct cellar_slice value;
    for (int index = 0; index < 4; index++) {
        bool is_read = index % 2 == 0 ? cellar_wire_get_bytes(&from, &value)
                                      : cellar_wire_get_text(&from, &value);
        assert_true(is_read);
        assert_true(cellar_slice_equal(value, BYTES("hi")));
    }
    assert_int_equal(cellar_wire_peek(&from), CELLAR_WIRE_END);
}

/* One example of every first byte's form, whole. */
static const struct {
    struct cellar_slice bytes;
    enum cellar_wire_kind kind;
} examples[] = {
#define EXAMPLE(text, kind)                                                                        \
    {                                                                                              \
        {(const uint8_t *)(text), sizeof(text) - 1}, kind                                          \
    }
    EXAMPLE("\x05", CELLAR_WIRE_INTEGER),
    EXAMPLE("\x81\x01\x02", CELLAR_WIRE_MAP),
    EXAMPLE("\x92\x01\x02", CELLAR_WIRE_ARRAY),
    EXAMPLE("\xa1x", CELLAR_WIRE_TEXT),
    EXAMPLE("\xc0", CELLAR_WIRE_NIL),
    EXAMPLE("\xc2", CELLAR_WIRE_BOOL),
    EXAMPLE("\xc3", CELLAR_WIRE_BOOL),
    EXAMPLE("\xc4\x01x", CELLAR_WIRE_BYTES),
    EXAMPLE("\xc5\x00\x01x", CELLAR_WIRE_BYTES),
    EXAMPLE("\xc6\x00\x00\x00\x01x", CELLAR_WIRE_BYTES),
    EXAMPLE("\xc7\x02txx", CELLAR_WIRE_OTHER),
    EXAMPLE("\xc8\x00\x02txx", CELLAR_WIRE_OTHER),
    EXAMPLE("\xc9\x00\x00\x00\x02txx", CELLAR_WIRE_OTHER),
    EXAMPLE("\xca\x01\x02\x03\x04", CELLAR_WIRE_OTHER),
    EXAMPLE("\xcb\x01\x02\x03\x04\x05\x06\x07\x08", CELLAR_WIRE_OTHER),
    EXAMPLE("\xcc\x80", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xcd\x80\x00", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xce\x80\x00\x00\x00", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xcf\x10\x00\x00\x00\x00\x00\x00\x00", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xd0\x80", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xd1\x80\x00", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xd2\x80\x00\x00\x00", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xd4t1", CELLAR_WIRE_OTHER),
    EXAMPLE("\xd5t12", CELLAR_WIRE_OTHER),
    EXAMPLE("\xd6t1234", CELLAR_WIRE_OTHER),
    EXAMPLE("\xd7t12345678", CELLAR_WIRE_OTHER),
    EXAMPLE("\xd8t1234567812345678", CELLAR_WIRE_OTHER),
    EXAMPLE("\xd9\x01x", CELLAR_WIRE_TEXT),
    EXAMPLE("\xda\x00\x01x", CELLAR_WIRE_TEXT),
    EXAMPLE("\xdb\x00\x00\x00\x01x", CELLAR_WIRE_TEXT),
    EXAMPLE("\xdc\x00\x01\xc0", CELLAR_WIRE_ARRAY),
    EXAMPLE("\xdd\x00\x00\x00\x01\xc0", CELLAR_WIRE_ARRAY),
    EXAMPLE("\xde\x00\x01\x01\xc0", CELLAR_WIRE_MAP),
    EXAMPLE("\xdf\x00\x00\x00\x01\x01\xc0", CELLAR_WIRE_MAP),
    EXAMPLE("\xe0", CELLAR_WIRE_INTEGER),
    EXAMPLE("\xff", CELLAR_WIRE_INTEGER),
};

static void skip_takes_one_whole_value_of_any_form(void **state)
{
    (void)state;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(examples); index++) {
        struct cellar_slice bytes = examples[index].bytes;
        uint8_t with_more[32];
        memcpy(with_more, bytes.data, bytes.bytes);
        with_more[bytes.bytes] = 0xC1;
        struct cellar_cursor from =
            cellar_cursor_make(cellar_slice_make(with_more, bytes.bytes + 1));
        struct cellar_slice value;
        assert_int_equal(cellar_wire_peek(&from), examples[index].kind);
        assert_true(cellar_wire_skip(&from, &value));
        assert_int_equal(value.bytes, bytes.bytes);
        assert_int_equal(cellar_cursor_left(&from), 1);
    }
}

/* Tries every reader; returns how many of them took the value. */
static int readers_that_take(struct cellar_slice bytes)
{
    uint64_t plain;
    int64_t with_sign;
    uint32_t count;
    bool truth;
    struct cellar_slice value;
    int taken = 0;
    struct cellar_cursor from = cellar_cursor_make(bytes);
#define TRY_READER(call)                                                                           \
    do {                                                                                           \
        from = cellar_cursor_make(bytes);                                                          \
        bool is_taken = call;                                                                      \
        assert_true(is_taken == (from.at != bytes.data));                                          \
        taken += is_taken ? 1 : 0;                                                                 \
    } while (0)
    TRY_READER(cellar_wire_get_nil(&from));
    TRY_READER(cellar_wire_get_bool(&from, &truth));
    TRY_READER(cellar_wire_get_u64(&from, &plain));
    TRY_READER(cellar_wire_get_i64(&from, &with_sign));
    TRY_READER(cellar_wire_get_text(&from, &value));
    TRY_READER(cellar_wire_get_bytes(&from, &value));
    TRY_READER(cellar_wire_get_array(&from, &count));
    TRY_READER(cellar_wire_get_map(&from, &count));
    TRY_READER(cellar_wire_skip(&from, NULL));
#undef TRY_READER
    return taken;
}

static void a_value_cut_short_moves_no_reader(void **state)
{
    (void)state;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(examples); index++) {
        struct cellar_slice bytes = examples[index].bytes;
        assert_true(readers_that_take(bytes) >= 1);
        bool is_container =
            examples[index].kind == CELLAR_WIRE_ARRAY || examples[index].kind == CELLAR_WIRE_MAP;
        for (size_t cut = 0; cut < bytes.bytes; cut++) {
            if (!is_container || cut <= 1) {
                assert_int_equal(readers_that_take(cellar_slice_make(bytes.data, cut)), 0);
            }
        }
    }
    assert_int_equal(readers_that_take(BYTES("\xc1")), 0);
    struct cellar_cursor unused = cellar_cursor_make(BYTES("\xc1"));
    assert_int_equal(cellar_wire_peek(&unused), CELLAR_WIRE_OTHER);
}

static void a_count_above_the_bytes_left_is_refused(void **state)
{
    (void)state;
    const struct cellar_slice liars[] = {
        BYTES("\x92\x01"), BYTES("\xdd\xff\xff\xff\xff\x01\x02"), BYTES("\x82\x01\x01\x02"),
        BYTES("\xdf\x80\x00\x00\x00\x01\x02"), BYTES("\xdf\xff\xff\xff\xff\x01\x02")};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(liars); index++) {
        assert_int_equal(readers_that_take(liars[index]), 0);
    }
}

static void nesting_is_taken_to_the_limit_and_no_deeper(void **state)
{
    (void)state;
    uint8_t nested[CELLAR_WIRE_DEPTH_MAX + 2];
    memset(nested, 0x91, sizeof nested);
    nested[sizeof nested - 1] = 0xC0;
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_make(nested, sizeof nested));
    assert_false(cellar_wire_skip(&from, NULL));
    assert_ptr_equal(from.at, nested);
    from.at++;
    assert_true(cellar_wire_skip(&from, NULL));
    assert_int_equal(cellar_cursor_left(&from), 0);
}

/* ---- msgpack-c as the oracle ---- */

struct both {
    struct cellar_buffer ours;
    msgpack_sbuffer theirs;
    msgpack_packer packer;
    struct test_random random;
};

/* An integer whose size in bits is random, so that all forms come. */
static uint64_t random_integer(struct test_random *random)
{
    return test_random_next(random) >> test_random_below(random, 64);
}

static void write_blob(struct both *both, bool is_text)
{
    static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 300, 65535, 65536};
    size_t bytes = test_random_below(&both->random, 40);
    if (test_random_below(&both->random, 50) == 0) {
        bytes = sizes[test_random_below(&both->random, CELLAR_ARRAY_COUNT(sizes))];
    }
    struct cellar_slice value = cellar_slice_make(filler, bytes);
    if (is_text) {
        assert_int_equal(cellar_wire_put_text(&both->ours, value), CELLAR_OK);
        msgpack_pack_str_with_body(&both->packer, value.data, value.bytes);
    } else {
        assert_int_equal(cellar_wire_put_bytes(&both->ours, value), CELLAR_OK);
        msgpack_pack_bin_with_body(&both->packer, value.data, value.bytes);
    }
}

/* Writes the same random value with both writers. */
static void write_value(struct both *both, int depth)
{
    uint64_t pick = test_random_below(&both->random, depth < NEST_MAX ? 8 : 6);
    uint64_t integer = random_integer(&both->random);
    if (pick == 0) {
        assert_int_equal(cellar_wire_put_nil(&both->ours), CELLAR_OK);
        msgpack_pack_nil(&both->packer);
    } else if (pick == 1) {
        assert_int_equal(cellar_wire_put_bool(&both->ours, integer & 1u), CELLAR_OK);
        (void)((integer & 1u) != 0 ? msgpack_pack_true(&both->packer)
                                   : msgpack_pack_false(&both->packer));
    } else if (pick == 2) {
        assert_int_equal(cellar_wire_put_u64(&both->ours, integer), CELLAR_OK);
        msgpack_pack_uint64(&both->packer, integer);
    } else if (pick == 3) {
        int64_t number = (int64_t) ~(integer >> 1);
        assert_int_equal(cellar_wire_put_i64(&both->ours, number), CELLAR_OK);
        msgpack_pack_int64(&both->packer, number);
    } else if (pick <= 5) {
        write_blob(both, pick == 4);
    } else {
        uint32_t count = (uint32_t)test_random_below(&both->random, 20);
        uint32_t elements = pick == 6 ? count : 2 * count;
        assert_int_equal(pick == 6 ? cellar_wire_put_array(&both->ours, count)
                                   : cellar_wire_put_map(&both->ours, count),
                         CELLAR_OK);
        (void)(pick == 6 ? msgpack_pack_array(&both->packer, count)
                         : msgpack_pack_map(&both->packer, count));
        for (uint32_t index = 0; index < elements; index++) {
            write_value(both, depth + 2);
        }
    }
}

static void what_we_write_is_what_msgpack_c_writes(void **state)
{
    (void)state;
    struct both both = {.random = {test_seed("wire writers")}};
    msgpack_sbuffer_init(&both.theirs);
    msgpack_packer_init(&both.packer, &both.theirs, msgpack_sbuffer_write);
    for (int round = 0; round < ROUNDS; round++) {
        cellar_buffer_clear(&both.ours);
        msgpack_sbuffer_clear(&both.theirs);
        write_value(&both, 0);
        assert_int_equal(both.ours.bytes, both.theirs.size);
        assert_memory_equal(both.ours.data, both.theirs.data, both.theirs.size);
    }
    msgpack_sbuffer_destroy(&both.theirs);
    cellar_buffer_fini(&both.ours);
}

/* Packs an integer in a random form that holds it. */
static void pack_integer(msgpack_packer *packer, struct test_random *random)
{
    uint64_t number = random_integer(random);
    switch (test_random_below(random, 10)) {
    case 0:
        msgpack_pack_fix_uint8(packer, (uint8_t)number);
        break;
    case 1:
        msgpack_pack_fix_uint16(packer, (uint16_t)number);
        break;
    case 2:
        msgpack_pack_fix_uint32(packer, (uint32_t)number);
        break;
    case 3:
        msgpack_pack_fix_uint64(packer, number);
        break;
    case 4:
        msgpack_pack_fix_int8(packer, (int8_t)number);
        break;
    case 5:
        msgpack_pack_fix_int16(packer, (int16_t)number);
        break;
    case 6:
        msgpack_pack_fix_int32(packer, (int32_t)number);
        break;
    case 7:
        msgpack_pack_fix_int64(packer, (int64_t)number);
        break;
    case 8:
        msgpack_pack_int64(packer, (int64_t)number);
        break;
    default:
        msgpack_pack_uint64(packer, number);
    }
}

/* Packs a random value of every kind that MessagePack has. */
static void pack_value(msgpack_packer *packer, struct test_random *random, int depth)
{
    uint32_t count = (uint32_t)test_random_below(random, depth < NEST_MAX ? 20 : 1);
    switch (test_random_below(random, 9)) {
    case 0:
        msgpack_pack_nil(packer);
        break;
    case 1:
        (void)(count % 2 == 0 ? msgpack_pack_true(packer) : msgpack_pack_false(packer));
        break;
    case 2:
        (void)(count % 2 == 0 ? msgpack_pack_float(packer, 1.5f)
                              : msgpack_pack_double(packer, 2.5));
        break;
    case 3:
        msgpack_pack_ext_with_body(packer, filler, test_random_below(random, 20), 5);
        break;
    case 4:
        msgpack_pack_str_with_body(packer, filler, test_random_below(random, 300));
        break;
    case 5:
        msgpack_pack_bin_with_body(packer, filler, test_random_below(random, 300));
        break;
    case 6:
        msgpack_pack_array(packer, count);
        for (uint32_t index = 0; index < count; index++) {
            pack_value(packer, random, depth + 2);
        }
        break;
    case 7:
        msgpack_pack_map(packer, count);
        for (uint32_t index = 0; index < 2 * count; index++) {
            pack_value(packer, random, depth + 2);
        }
        break;
    default:
        pack_integer(packer, random);
    }
}

static void read_integer(struct cellar_cursor *from, const msgpack_object *object)
{
    uint64_t plain = 0;
    int64_t number = 0;
    bool is_positive = object->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
    struct cellar_cursor again = *from;
    assert_int_equal(cellar_wire_get_u64(&again, &plain), is_positive);
    if (is_positive) {
        assert_true(plain == object->via.u64);
    }
    bool fits = !is_positive || object->via.u64 <= INT64_MAX;
    assert_int_equal(cellar_wire_get_i64(from, &number), fits);
    if (fits) {
        assert_true(number == object->via.i64);
    }
    *from = is_positive ? again : *from;
}

/* Reads a value with our readers and compares it with what msgpack-c found there. */
static void read_value(struct cellar_cursor *from, const msgpack_object *object)
{
    struct cellar_slice value;
    uint32_t count = 0;
    bool truth;
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        assert_true(cellar_wire_get_nil(from));
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        assert_true(cellar_wire_get_bool(from, &truth));
        assert_int_equal(truth, object->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        read_integer(from, object);
        break;
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
        assert_int_equal(cellar_wire_peek(from),
                         object->type == MSGPACK_OBJECT_STR ? CELLAR_WIRE_TEXT : CELLAR_WIRE_BYTES);
        assert_true(cellar_wire_get_bytes(from, &value));
        assert_int_equal(value.bytes, object->via.str.size);
        break;
    case MSGPACK_OBJECT_ARRAY:
        assert_true(cellar_wire_get_array(from, &count));
        assert_int_equal(count, object->via.array.size);
        for (uint32_t index = 0; index < count; index++) {
            read_value(from, &object->via.array.ptr[index]);
        }
        break;
    case MSGPACK_OBJECT_MAP:
        assert_true(cellar_wire_get_map(from, &count));
        assert_int_equal(count, object->via.map.size);
        for (uint32_t index = 0; index < count; index++) {
            read_value(from, &object->via.map.ptr[index].key);
            read_value(from, &object->via.map.ptr[index].val);
        }
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
    case MSGPACK_OBJECT_EXT:
        assert_int_equal(cellar_wire_peek(from), CELLAR_WIRE_OTHER);
        assert_true(cellar_wire_skip(from, NULL));
    }
}

static void what_msgpack_c_writes_is_read_as_the_same_values(void **state)
{
    (void)state;
    struct test_random random = {test_seed("wire readers")};
    msgpack_sbuffer written;
    msgpack_packer packer;
    msgpack_unpacked unpacked;
    msgpack_sbuffer_init(&written);
    msgpack_packer_init(&packer, &written, msgpack_sbuffer_write);
    msgpack_unpacked_init(&unpacked);
    for (int round = 0; round < ROUNDS; round++) {
        msgpack_sbuffer_clear(&written);
        pack_value(&packer, &random, 0);
        assert_int_equal(msgpack_unpack_next(&unpacked, written.data, written.size, NULL),
                         MSGPACK_UNPACK_SUCCESS);
        struct cellar_cursor from =
            cellar_cursor_make(cellar_slice_make(written.data, written.size));
        struct cellar_cursor skipped = from;
        read_value(&from, &unpacked.data);
        assert_ptr_equal(from.at, from.end);
        assert_true(cellar_wire_skip(&skipped, NULL));
        assert_ptr_equal(skipped.at, skipped.end);
    }
    msgpack_unpacked_destroy(&unpacked);
    msgpack_sbuffer_destroy(&written);
}

/* Writes one value of each kind into a new buffer. */
static enum cellar_status write_all(void *context)
{
    (void)context;
    struct cellar_buffer buffer = {0};
    enum cellar_status statuses[8];
    size_t bytes_before = 0;
    enum cellar_status status = CELLAR_OK;
    statuses[0] = cellar_wire_put_bytes(&buffer, cellar_slice_make(filler, 5000));
    bytes_before = buffer.bytes;
    statuses[1] = cellar_wire_put_text(&buffer, cellar_slice_make(filler, 50000));
    assert_true(statuses[1] == CELLAR_OK || buffer.bytes == bytes_before);
    statuses[2] = cellar_wire_put_nil(&buffer);
    statuses[3] = cellar_wire_put_bool(&buffer, true);
    statuses[4] = cellar_wire_put_u64(&buffer, 1);
    statuses[5] = cellar_wire_put_i64(&buffer, -1);
    statuses[6] = cellar_wire_put_array(&buffer, 1);
    statuses[7] = cellar_wire_put_map(&buffer, 1);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(statuses); index++) {
        status = statuses[index] != CELLAR_OK ? statuses[index] : status;
    }
    cellar_buffer_fini(&buffer);
    return status;
}

static void without_memory_nothing_is_written(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(write_all, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_take_their_shortest_form),
        cmocka_unit_test(lengths_take_their_shortest_form),
        cmocka_unit_test(containers_take_their_shortest_form),
        cmocka_unit_test(every_form_of_an_integer_is_read),
        cmocka_unit_test(integers_that_do_not_fit_are_refused),
        cmocka_unit_test(text_and_bytes_are_read_for_each_other),
        cmocka_unit_test(skip_takes_one_whole_value_of_any_form),
        cmocka_unit_test(a_value_cut_short_moves_no_reader),
        cmocka_unit_test(a_count_above_the_bytes_left_is_refused),
        cmocka_unit_test(nesting_is_taken_to_the_limit_and_no_deeper),
        cmocka_unit_test(what_we_write_is_what_msgpack_c_writes),
        cmocka_unit_test(what_msgpack_c_writes_is_read_as_the_same_values),
        cmocka_unit_test(without_memory_nothing_is_written),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
