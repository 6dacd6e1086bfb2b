/*
 * log_segment: header, groups and records as bytes; every flipped bit, cut, shift and foreign
 * incarnation is noticed.
 */
#include <stdlib.h>

#include "common/crc32c.h"
#include "server/storage/log_segment.h"
#include "tests/support/support.h"

#define INCARNATION UINT64_C(0x1122334455667788)
#define ROOM 8192u

static struct store_log_header header_sample(void)
{
    return (struct store_log_header){
        .log_id = {0xA0, 0xA1, 0xA2, 0xA3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xAF},
        .alignment = 4096,
        .segment_bytes = 65536,
        .number = 3,
        .incarnation = INCARNATION,
        .previous_incarnation = 0x99,
        .first_lsn = 1000,
        .low_water_lsn = 900,
    };
}

/* ---- headers --------------------------------------------------------------------------------- */

static void header_has_the_documented_bytes(void **state)
{
    (void)state;
    uint8_t bytes[STORE_LOG_HEADER_BYTES];
    static const uint8_t golden[80] = {
        'C',  'E',  'L',  'L',  'A',  'R',  'L',  'G',  0x01, 0x00, 0x00, 0x00, 0x00, 0x10,
        0x00, 0x00, 0xA0, 0xA1, 0xA2, 0xA3, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B,
        0x0C, 0x0D, 0x0E, 0xAF, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x88, 0x77,
        0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x99, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0xE8, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x84, 0x03, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00};
    struct store_log_header header = header_sample();
    memset(bytes, 0xEE, sizeof bytes);
    store_log_header_encode(&header, bytes);
    assert_memory_equal(bytes, golden, sizeof golden);
    for (size_t i = sizeof golden; i < STORE_LOG_HEADER_BYTES - 4; i++) {
        assert_int_equal(bytes[i], 0);
    }
    assert_int_equal(cellar_get_u32le(bytes + 508), cellar_crc32c(0, bytes, 508));
}

static void header_is_read_as_it_was_written(void **state)
{
    (void)state;
    uint8_t bytes[STORE_LOG_HEADER_BYTES];
    struct store_log_header header = header_sample();
    struct store_log_header found;
    store_log_header_encode(&header, bytes);
    memset(&found, 0, sizeof found);
    assert_int_equal(store_log_header_decode(bytes, &found), CELLAR_OK);
    assert_memory_equal(found.log_id, header.log_id, sizeof header.log_id);
    assert_int_equal(found.alignment, header.alignment);
    assert_int_equal(found.segment_bytes, header.segment_bytes);
    assert_int_equal(found.number, header.number);
    assert_true(found.incarnation == header.incarnation);
    assert_int_equal(found.previous_incarnation, header.previous_incarnation);
    assert_int_equal(found.first_lsn, header.first_lsn);
    assert_int_equal(found.low_water_lsn, header.low_water_lsn);
}

static void every_flipped_bit_of_a_header_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[STORE_LOG_HEADER_BYTES];
    struct store_log_header header = header_sample();
    store_log_header_encode(&header, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(store_log_header_decode(bytes, &header), CELLAR_NOT_FOUND);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(store_log_header_decode(bytes, &header), CELLAR_NOT_FOUND);
}

/* A field of the header, and a value no sound header has. */
struct field {
    const char *what;
    size_t offset;
    size_t bytes;
    uint64_t value;
    enum cellar_status status;
};

static void impossible_headers_are_refused(void **state)
{
    (void)state;
    static const struct field cases[] = {
        {"version 0", 8, 4, 0, CELLAR_FAILED_PRECONDITION},
        {"version 2", 8, 4, 2, CELLAR_FAILED_PRECONDITION},
        {"alignment 0", 12, 4, 0, CELLAR_NOT_FOUND},
        {"alignment 256", 12, 4, 256, CELLAR_NOT_FOUND},
        {"alignment 1,536", 12, 4, 1536, CELLAR_NOT_FOUND},
        {"alignment 131,072", 12, 4, 131072, CELLAR_NOT_FOUND},
        {"number 0", 32, 8, 0, CELLAR_NOT_FOUND},
        {"incarnation 0", 40, 8, 0, CELLAR_NOT_FOUND},
        {"first LSN 0", 56, 8, 0, CELLAR_NOT_FOUND},
        {"first LSN at the end of numbers", 56, 8, UINT64_MAX, CELLAR_NOT_FOUND},
        {"low water at the first LSN", 64, 8, 1000, CELLAR_NOT_FOUND},
        {"first segment of a log", 48, 8, 0, CELLAR_OK},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        uint8_t bytes[STORE_LOG_HEADER_BYTES];
        struct store_log_header header = header_sample();
        store_log_header_encode(&header, bytes);
        memcpy(bytes + cases[i].offset, &cases[i].value, cases[i].bytes);
        cellar_put_u32le(bytes + 508, cellar_crc32c(0, bytes, 508));
        print_message("    %s\n", cases[i].what);
        assert_int_equal(store_log_header_decode(bytes, &header), cases[i].status);
    }
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* Writes a group of `count` records with payloads of 0, 10, 20 ... bytes at `offset`. @return its
 * end */
static size_t group_make(uint8_t *segment, uint64_t offset, uint64_t incarnation,
                         uint64_t first_lsn, uint32_t count)
{
    static const uint8_t payload[1000] = {1, 2, 3, 4, 5};
    uint8_t *at = segment + offset + STORE_LOG_GROUP_HEADER_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        struct store_log_entry entry = {.lsn = first_lsn + i,
                                        .store_id = 0x04030201,
                                        .type = (uint8_t)(i + 1),
                                        .payload = cellar_slice_make(payload, i * 10)};
        at = store_log_record_encode(at, &entry, incarnation, (uint64_t)(at - segment));
    }
    struct store_log_group group = {
        .first_lsn = first_lsn,
        .durable_lsn = first_lsn - 1,
        .record_count = count,
        .bytes = cellar_slice_make(segment + offset, (size_t)(at - segment) - offset),
        .offset = offset,
        .incarnation = incarnation,
    };
    store_log_group_encode(segment + offset, &group);
    return (size_t)(at - segment);
}

static void group_has_the_documented_bytes(void **state)
{
    (void)state;
    uint8_t segment[ROOM] = {0};
    uint8_t bound[16];
    size_t end = group_make(segment, 512, INCARNATION, 7, 2);
    static const uint8_t head[] = {'C',  'G',  'R',  'P',  0x62, 0x00, 0x00, 0x00, 0x07,
                                   0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x06, 0x00,
                                   0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00,
                                   0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    static const uint8_t second[] = {0x0A, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00,
                                     0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x02, 0x00, 0x00, 0x00,
                                     0x01, 0x02, 0x03, 0x04, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00};
    assert_int_equal(end, 512 + 40 + 24 + 24 + 10);
    assert_memory_equal(segment + 512, head, sizeof head);
    assert_memory_equal(segment + 512 + 40 + 24 + 4, second, sizeof second);
    cellar_put_u64le(bound, INCARNATION);
    cellar_put_u64le(bound + 8, 512);
    assert_int_equal(cellar_get_u32le(segment + 512 + 36),
                     cellar_crc32c(cellar_crc32c(0, bound, 16), segment + 512, 36));
    cellar_put_u64le(bound + 8, 512 + 64);
    assert_int_equal(cellar_get_u32le(segment + 512 + 64),
                     cellar_crc32c(cellar_crc32c(0, bound, 16), segment + 512 + 68, 30));
}

static void group_is_read_as_it_was_written(void **state)
{
    (void)state;
    uint8_t segment[ROOM] = {0};
    struct store_log_group group;
    struct store_log_entry entry;
    size_t end = group_make(segment, 1024, INCARNATION, 50, 5);
    struct cellar_slice whole = cellar_slice_make(segment, sizeof segment);
    assert_true(store_log_group_decode(whole, 1024, INCARNATION, &group));
    assert_int_equal(group.first_lsn, 50);
    assert_int_equal(group.durable_lsn, 49);
    assert_int_equal(group.record_count, 5);
    assert_int_equal(group.offset, 1024);
    assert_int_equal(group.bytes.bytes, end - 1024);
    struct cellar_slice records = group.records;
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(store_log_entry_next(&records, &entry));
        assert_int_equal(entry.lsn, 50 + i);
        assert_int_equal(entry.store_id, 0x04030201);
        assert_int_equal(entry.type, i + 1);
        assert_int_equal(entry.payload.bytes, i * 10);
    }
    assert_false(store_log_entry_next(&records, &entry));
}

static void every_flipped_bit_of_a_group_is_noticed(void **state)
{
    (void)state;
    uint8_t segment[ROOM] = {0};
    size_t end = group_make(segment, 512, INCARNATION, 50, 4);
    struct cellar_slice whole = cellar_slice_make(segment, sizeof segment);
    for (size_t bit = 512 * 8; bit < end * 8; bit++) {
        struct store_log_group group;
        segment[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(store_log_group_decode(whole, 512, INCARNATION, &group));
        segment[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void cut_groups_are_refused(void **state)
{
    (void)state;
    uint8_t segment[ROOM] = {0};
    struct store_log_group group;
    size_t end = group_make(segment, 512, INCARNATION, 50, 4);
    for (size_t bytes = 0; bytes <= end; bytes++) {
        uint8_t *cut = malloc(bytes + 1);
        assert_non_null(cut);
        memcpy(cut + 1, segment, bytes);
        bool is_found =
            store_log_group_decode(cellar_slice_make(cut + 1, bytes), 512, INCARNATION, &group);
        assert_int_equal(is_found, bytes == end);
        free(cut);
    }
    assert_false(
        store_log_group_decode(cellar_slice_make(segment, end), end + 100, INCARNATION, &group));
    assert_false(
        store_log_group_decode(cellar_slice_make(segment, end), UINT64_MAX, INCARNATION, &group));
}

static void group_elsewhere_or_of_an_earlier_use_is_refused(void **state)
{
    (void)state;
    uint8_t segment[ROOM] = {0};
    struct store_log_group group;
    struct cellar_slice whole = cellar_slice_make(segment, sizeof segment);
    size_t end = group_make(segment, 512, INCARNATION, 50, 4);
    assert_true(store_log_group_decode(whole, 512, INCARNATION, &group));
    assert_false(store_log_group_decode(whole, 512, INCARNATION + 1, &group));
    assert_false(store_log_group_decode(whole, 1024, INCARNATION, &group));
    memcpy(segment + 2048, segment + 512, end - 512); /* written to the wrong place */
    assert_false(store_log_group_decode(whole, 2048, INCARNATION, &group));
    /* A record of one group in the place of another's. */
    (void)group_make(segment, 4096, INCARNATION + 1, 50, 4);
    memcpy(segment + 512 + 40, segment + 4096 + 40, 24);
    assert_false(store_log_group_decode(whole, 512, INCARNATION, &group));
}

/* A group whose header or records say what no writer writes, under good checksums. */
static void impossible_groups_are_refused(void **state)
{
    (void)state;
    uint8_t segment[ROOM] = {0};
    struct cellar_slice whole = cellar_slice_make(segment, sizeof segment);
    static const struct {
        size_t offset;
        uint64_t value;
        size_t bytes;
    } cases[] = {
        {4, 39, 4},  {4, 40, 4},  {4, 0xffffffff, 4}, {4, 63, 4}, {8, 0, 8},           {8, 51, 8},
        {16, 50, 8}, {16, 60, 8}, {24, 0, 4},         {24, 3, 4}, {24, 0xffffffff, 4}, {24, 5, 4},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct store_log_group group;
        uint8_t bound[16];
        (void)group_make(segment, 512, INCARNATION, 50, 4);
        memcpy(segment + 512 + cases[i].offset, &cases[i].value, cases[i].bytes);
        cellar_put_u64le(bound, INCARNATION);
        cellar_put_u64le(bound + 8, 512);
        cellar_put_u32le(segment + 512 + 36,
                         cellar_crc32c(cellar_crc32c(0, bound, 16), segment + 512, 36));
        print_message("    %zu\n", i);
        assert_false(store_log_group_decode(whole, 512, INCARNATION, &group));
    }
}

static void lengths_are_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(store_log_align(0, 512), 0);
    assert_int_equal(store_log_align(1, 512), 512);
    assert_int_equal(store_log_align(512, 512), 512);
    assert_int_equal(store_log_align(513, 4096), 4096);
    assert_int_equal(store_log_align(4097, 4096), 8192);
    assert_int_equal(store_log_record_bytes(0), 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_has_the_documented_bytes),
        cmocka_unit_test(header_is_read_as_it_was_written),
        cmocka_unit_test(every_flipped_bit_of_a_header_is_noticed),
        cmocka_unit_test(impossible_headers_are_refused),
        cmocka_unit_test(group_has_the_documented_bytes),
        cmocka_unit_test(group_is_read_as_it_was_written),
        cmocka_unit_test(every_flipped_bit_of_a_group_is_noticed),
        cmocka_unit_test(cut_groups_are_refused),
        cmocka_unit_test(group_elsewhere_or_of_an_earlier_use_is_refused),
        cmocka_unit_test(impossible_groups_are_refused),
        cmocka_unit_test(lengths_are_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
