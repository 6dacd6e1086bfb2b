/*
 * packing: what is packed comes out again, in any pieces and over the borders of streams; data that
 * is cut or damaged is noticed.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/packing.h"

static const enum cellar_packing all[] = {CELLAR_PACKING_NONE, CELLAR_PACKING_GZIP,
                                          CELLAR_PACKING_ZSTD};

/* Packs `text` as `stream_count` streams of equal parts. */
static enum cellar_status pack(enum cellar_packing packing, struct cellar_slice text,
                               size_t stream_count, struct cellar_buffer *to)
{
    struct cellar_packer packer = {0};
    size_t part = text.bytes / stream_count;
    enum cellar_status status = cellar_packer_init(&packer, packing, NULL);
    for (size_t index = 0; status == CELLAR_OK && index < stream_count; index++) {
        size_t bytes = index + 1 == stream_count ? text.bytes - index * part : part;
        status = cellar_packer_step(&packer, cellar_slice_make(text.data + index * part, bytes / 2),
                                    false, to, NULL);
        if (status == CELLAR_OK) {
            status = cellar_packer_step(
                &packer, cellar_slice_make(text.data + index * part + bytes / 2, bytes - bytes / 2),
                true, to, NULL);
        }
    }
    cellar_packer_fini(&packer);
    return status;
}

/* Unpacks in pieces of `piece` bytes with room for `room`. */
static enum cellar_status unpack(enum cellar_packing packing, struct cellar_slice packed,
                                 size_t piece, size_t room, struct cellar_buffer *to,
                                 bool *is_whole)
{
    struct cellar_unpacker unpacker = {0};
    uint8_t *block = test_malloc(room);
    enum cellar_status status = cellar_unpacker_init(&unpacker, packing, NULL);
    *is_whole = false;
    for (size_t at = 0; status == CELLAR_OK && at < packed.bytes; at += piece) {
        struct cellar_cursor from = cellar_cursor_make(
            cellar_slice_make(packed.data + at, CELLAR_MIN(piece, packed.bytes - at)));
        size_t made = 1;
        while (status == CELLAR_OK && (made > 0 || cellar_cursor_left(&from) > 0)) {
            status = cellar_unpacker_step(&unpacker, &from, block, room, &made, NULL);
            if (status == CELLAR_OK) {
                status = cellar_buffer_append(to, block, made);
            }
        }
    }
    if (status == CELLAR_OK) {
        *is_whole = cellar_unpacker_is_whole(&unpacker);
    }
    cellar_unpacker_fini(&unpacker);
    test_free(block);
    return status;
}

/* Text that packs well, with some that does not in its middle. */
static struct cellar_slice sample(void)
{
    static uint8_t text[300000];
    struct test_random random = {42};
    memset(text, 'a', sizeof text);
    test_random_bytes(&random, text + 100000, 100000);
    return cellar_slice_make(text, sizeof text);
}

static void what_is_packed_comes_out_in_any_pieces(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{1000000, 1000000}, {777, 65536}, {65536, 100}, {7, 300000}};
    for (size_t kind = 0; kind < CELLAR_ARRAY_COUNT(all); kind++) {
        for (size_t streams = 1; streams <= 3; streams += 2) {
            struct cellar_buffer packed = {0};
            assert_int_equal(pack(all[kind], sample(), streams, &packed), CELLAR_OK);
            assert_int_equal(cellar_packing_detect(cellar_slice_of(&packed)), all[kind]);
            for (size_t index = 0; index < CELLAR_ARRAY_COUNT(sizes); index++) {
                struct cellar_buffer text = {0};
                bool is_whole = false;
                assert_int_equal(unpack(all[kind], cellar_slice_of(&packed), sizes[index][0],
                                        sizes[index][1], &text, &is_whole),
                                 CELLAR_OK);
                assert_true(is_whole);
                assert_true(cellar_slice_equal(cellar_slice_of(&text), sample()));
                cellar_buffer_fini(&text);
            }
            cellar_buffer_fini(&packed);
        }
    }
}

static void an_end_in_the_middle_is_noticed(void **state)
{
    (void)state;
    for (size_t kind = 1; kind < CELLAR_ARRAY_COUNT(all); kind++) {
        struct cellar_buffer packed = {0};
        assert_int_equal(pack(all[kind], cellar_slice_text("some text, some text"), 1, &packed),
                         CELLAR_OK);
        for (size_t bytes = 1; bytes < packed.bytes; bytes++) {
            struct cellar_buffer text = {0};
            bool is_whole = true;
            assert_int_equal(unpack(all[kind], cellar_slice_make(packed.data, bytes), 1000, 1000,
                                    &text, &is_whole),
                             CELLAR_OK);
            assert_false(is_whole);
            cellar_buffer_fini(&text);
        }
        cellar_buffer_fini(&packed);
    }
}

static void damage_is_noticed(void **state)
{
    (void)state;
    for (size_t kind = 1; kind < CELLAR_ARRAY_COUNT(all); kind++) {
        struct cellar_buffer packed = {0};
        struct cellar_buffer text = {0};
        bool is_whole;
        assert_int_equal(pack(all[kind], cellar_slice_text("some text, some text"), 1, &packed),
                         CELLAR_OK);
        packed.data[packed.bytes - 2] ^= 1; /* in the checksum or length at the end */
        assert_int_equal(unpack(all[kind], cellar_slice_of(&packed), 1000, 1000, &text, &is_whole),
                         CELLAR_INVALID_ARGUMENT);
        packed.data[packed.bytes - 2] ^= 1;
        assert_int_equal(cellar_buffer_append(&packed, "no stream", 9), CELLAR_OK);
        assert_int_equal(unpack(all[kind], cellar_slice_of(&packed), 1000, 1000, &text, &is_whole),
                         CELLAR_INVALID_ARGUMENT);
        cellar_buffer_fini(&text);
        cellar_buffer_fini(&packed);
    }
}

static void names_and_first_bytes_say_how_a_file_is_packed(void **state)
{
    (void)state;
    enum cellar_packing packing = CELLAR_PACKING_NONE;
    assert_int_equal(cellar_packing_of_name("a.jsonl.gz"), CELLAR_PACKING_GZIP);
    assert_int_equal(cellar_packing_of_name("a.zst"), CELLAR_PACKING_ZSTD);
    assert_int_equal(cellar_packing_of_name("a.gz.csv"), CELLAR_PACKING_NONE);
    assert_int_equal(cellar_packing_of_name(".gz"), CELLAR_PACKING_NONE);
    assert_int_equal(cellar_packing_of_name(""), CELLAR_PACKING_NONE);
    assert_string_equal(cellar_packing_suffix(CELLAR_PACKING_ZSTD), ".zst");
    assert_true(cellar_packing_decode("zstd", &packing));
    assert_int_equal(packing, CELLAR_PACKING_ZSTD);
    assert_false(cellar_packing_decode("xz", &packing));
    assert_int_equal(cellar_packing_detect(cellar_slice_text("")), CELLAR_PACKING_NONE);
    assert_int_equal(cellar_packing_detect(cellar_slice_text("\x1f")), CELLAR_PACKING_NONE);
    assert_int_equal(cellar_packing_detect(cellar_slice_text("\x28\xb5\x2f")), CELLAR_PACKING_NONE);
    assert_int_equal(cellar_packing_detect(cellar_slice_text("{\"r\"")), CELLAR_PACKING_NONE);
}

static enum cellar_status there_and_back(void *context)
{
    struct cellar_buffer packed = {0};
    struct cellar_buffer text = {0};
    bool is_whole;
    enum cellar_packing packing = *(const enum cellar_packing *)context;
    enum cellar_status status = pack(packing, cellar_slice_text("some text"), 1, &packed);
    if (status == CELLAR_OK) {
        status = unpack(packing, cellar_slice_of(&packed), 1000, 1000, &text, &is_whole);
    }
    cellar_buffer_fini(&text);
    cellar_buffer_fini(&packed);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    enum cellar_packing packings[] = {CELLAR_PACKING_GZIP, CELLAR_PACKING_ZSTD};
    assert_true(test_out_of_memory_loop(there_and_back, &packings[0]) >= 6);
    assert_true(test_out_of_memory_loop(there_and_back, &packings[1]) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_comes_out_in_any_pieces),
        cmocka_unit_test(an_end_in_the_middle_is_noticed),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(names_and_first_bytes_say_how_a_file_is_packed),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("packing", tests, NULL, NULL);
}
