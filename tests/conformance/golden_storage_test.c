/*
 * The formats on disk against golden files, which a script wrote from FORMAT.md without any of this
 * code. Each is encoded byte for byte and, where there is a reader, read back.
 */
#include <stdio.h>
#include <string.h>

#include "common/crc32c.h"
#include "common/key.h"
#include "server/storage/blob_files.h"
#include "server/storage/log_segment.h"
#include "server/storage/range.h"
#include "server/storage/record.h"
#include "server/storage/segment.h"
#include "tests/support/support.h"

#define GOLDEN_BYTES_MAX 4096u
#define INCARNATION UINT64_C(0x1122334455667788)

struct golden {
    uint8_t bytes[GOLDEN_BYTES_MAX];
    size_t count;
};

static void golden_load(const char *name, struct golden *golden)
{
    char path[512];
    unsigned value = 0;
    const char *slash = strrchr(__FILE__, '/');
    assert_non_null(slash);
    (void)snprintf(path, sizeof path, "%.*s/golden/storage/%s.hex", (int)(slash - __FILE__),
                   __FILE__, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    golden->count = 0;
    while (golden->count < sizeof golden->bytes && fscanf(file, "%2x", &value) == 1) {
        golden->bytes[golden->count++] = (uint8_t)value;
    }
    (void)fclose(file);
    assert_true(golden->count > 0);
}

static void golden_match(const char *name, const void *bytes, size_t count)
{
    struct golden golden;
    golden_load(name, &golden);
    assert_int_equal(count, golden.count);
    assert_memory_equal(bytes, golden.bytes, count);
}

static struct cellar_slice text(const char *bytes, size_t count)
{
    return cellar_slice_make(bytes, count);
}

static void mutation_make(struct cellar_buffer *payload)
{
    const struct store_mutation mutation = {
        .row = text("row\0\xff", 5), .schema_version = 4, .item_count = 3, .server_time_us = 9000};
    const struct store_item items[] = {
        {.type = STORE_ITEM_DELETE_FAMILY, .family = text("g", 1), .generation = 1},
        {.type = STORE_ITEM_DELETE_COLUMN,
         .family = text("cf", 2),
         .generation = 2,
         .qualifier = text("q", 1),
         .start_us = 1000,
         .end_us = 5000},
        {.type = STORE_ITEM_SET,
         .family = text("cf", 2),
         .generation = 1,
         .qualifier = text("", 0),
         .start_us = 7000,
         .value = text("value", 5)},
    };
    assert_int_equal(store_mutation_encode(payload, &mutation), CELLAR_OK);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(items); i++) {
        assert_int_equal(store_item_encode(payload, &items[i]), CELLAR_OK);
    }
}

static void segment_header_is_as_written_down(void **state)
{
    struct store_log_header header = {.alignment = 512,
                                      .segment_bytes = 65536,
                                      .number = 3,
                                      .incarnation = INCARNATION,
                                      .previous_incarnation = UINT64_C(0x8877665544332211),
                                      .first_lsn = 101,
                                      .low_water_lsn = 57};
    struct store_log_header back;
    uint8_t bytes[STORE_LOG_HEADER_BYTES];
    (void)state;
    for (unsigned i = 0; i < STORE_LOG_ID_BYTES; i++) {
        header.log_id[i] = (uint8_t)(0x10 + i);
    }
    store_log_header_encode(&header, bytes);
    golden_match("segment_header", bytes, sizeof bytes);
    assert_int_equal(store_log_header_decode(bytes, &back), CELLAR_OK);
    assert_int_equal(back.low_water_lsn, 57);
    assert_int_equal(back.segment_bytes, 65536);
}

static void mutation_is_as_written_down(void **state)
{
    struct cellar_buffer payload = {0};
    (void)state;
    mutation_make(&payload);
    golden_match("mutation", payload.data, payload.bytes);
    cellar_buffer_fini(&payload);
}

static void catalog_record_is_as_written_down(void **state)
{
    struct cellar_buffer payload = {0};
    struct cellar_buffer record = {0};
    (void)state;
    mutation_make(&payload);
    assert_int_equal(store_catalog_begin(&record, 1), CELLAR_OK);
    assert_int_equal(store_catalog_put(&record, cellar_slice_of(&payload)), CELLAR_OK);
    golden_match("catalog", record.data, record.bytes);
    cellar_buffer_fini(&record);
    cellar_buffer_fini(&payload);
}

static void group_is_as_written_down_and_reads_back(void **state)
{
    static uint8_t segment[4096];
    struct cellar_buffer payload = {0};
    struct store_log_group group = {.first_lsn = 101,
                                    .durable_lsn = 100,
                                    .record_count = 2,
                                    .offset = 1024,
                                    .incarnation = INCARNATION};
    struct store_log_group back;
    struct store_log_entry entry = {.lsn = 101, .store_id = 7, .type = STORE_RECORD_MUTATION};
    (void)state;
    mutation_make(&payload);
    entry.payload = cellar_slice_of(&payload);
    uint8_t *start = segment + group.offset;
    uint8_t *at = start + STORE_LOG_GROUP_HEADER_BYTES;
    at = store_log_record_encode(at, &entry, INCARNATION, (uint64_t)(at - segment));
    entry = (struct store_log_entry){.lsn = 102, .type = STORE_RECORD_EMPTY};
    at = store_log_record_encode(at, &entry, INCARNATION, (uint64_t)(at - segment));
    group.bytes = cellar_slice_make(start, (size_t)(at - start));
    store_log_group_encode(start, &group);
    golden_match("group", start, group.bytes.bytes);
    assert_true(store_log_group_decode(cellar_slice_make(segment, sizeof segment), 1024,
                                       INCARNATION, &back));
    assert_int_equal(back.record_count, 2);
    assert_false(store_log_group_decode(cellar_slice_make(segment, sizeof segment), 1024,
                                        INCARNATION + 1, &back));
    cellar_buffer_fini(&payload);
}

static void position_is_as_written_down(void **state)
{
    uint8_t bytes[128];
    (void)state;
    uint8_t *end = cellar_key_put_escaped(bytes, text("row\0\xff", 5));
    end = cellar_key_put_family(end, text("cf", 2), 2);
    end = cellar_key_put_escaped(end, text("q\0", 2));
    end = cellar_key_put_timestamp(end, 7000);
    golden_match("position", bytes, (size_t)(end - bytes));
}

static void segment_is_as_written_down_and_reads_back(void **state)
{
    struct cellar_buffer value = {0};
    struct store_segment back;
    const struct store_cell cells[] = {
        {{text("cf", 2), text("q", 1), 7000, text("v1", 2)}, 1, false},
        {{text("cf", 2), text("q", 1), 1000, text("", 0)}, 1, false},
        {{text("g", 1), text("", 0), 0, text("x", 1)}, 3, false},
    };
    (void)state;
    assert_int_equal(store_segment_encode(cells, 3, false, &value), CELLAR_OK);
    golden_match("segment", value.data, value.bytes);
    assert_true(store_segment_decode(cellar_slice_of(&value), &back));
    assert_int_equal(back.flags, STORE_SEGMENT_MULTI | STORE_SEGMENT_MARKED);
    assert_int_equal(back.cell_count, 3);
    assert_int_equal(back.oldest_us, 0);
    cellar_buffer_fini(&value);
}

static void range_drop_is_as_written_down_and_reads_back(void **state)
{
    struct cellar_buffer payload = {0};
    const struct store_range_drop drop = {text("a\0b", 3), text("c\xff", 2)};
    struct store_range_drop back;
    (void)state;
    assert_int_equal(store_range_drop_encode(&payload, &drop), CELLAR_OK);
    golden_match("range_drop", payload.data, payload.bytes);
    assert_true(store_range_drop_decode(cellar_slice_of(&payload), &back));
    assert_true(cellar_slice_equal(back.start, drop.start));
    assert_true(cellar_slice_equal(back.end, drop.end));
    for (size_t bytes = 0; bytes < payload.bytes; bytes++) {
        assert_false(store_range_drop_decode(cellar_slice_make(payload.data, bytes), &back));
    }
    cellar_buffer_fini(&payload);
}

static void pending_ranges_read_back_as_written_down(void **state)
{
    struct cellar_buffer value = {0};
    struct store_range_set set = {0};
    (void)state;
    const struct store_range ranges[] = {{text("a\0\377b\0\1", 6), text("c\0\1", 3)},
                                         {text("d\0\1", 3), text("", 0)}};
    assert_int_equal(cellar_buffer_append(&value, "\0\0\0\0", 4), CELLAR_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(store_range_set_add(&set, ranges[i]), CELLAR_OK);
    }
    assert_int_equal(store_range_set_encode(&set, &value), CELLAR_OK);
    uint32_t crc = cellar_crc32c(cellar_crc32c(0, "pending", 7), value.data + 4, value.bytes - 4);
    cellar_put_u32le(value.data, crc);
    golden_match("pending", value.data, value.bytes);
    store_range_set_fini(&set);
    cellar_buffer_fini(&value);
}

/* The file stands under the name of its id. */
static void blob_reads_as_written_down(void **state)
{
    struct golden golden;
    char directory[256];
    char path[320];
    const uint8_t *log_id = (const uint8_t *)"\x10\x11\x12\x13\x14\x15\x16\x17"
                                             "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
    struct store_blobs *blobs = NULL;
    struct store_blob blob;
    struct store_blob_reader reader;
    struct cellar_buffer found = {0};
    (void)state;
    golden_load("blob_file", &golden);
    assert_true(store_blob_decode(cellar_slice_make(golden.bytes + 32, 20), &blob));
    assert_int_equal(blob.id, 9);
    test_temp_dir(directory, sizeof directory);
    (void)snprintf(path, sizeof path, "%s/0000000000000009.blob", directory);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(golden.bytes, 1, golden.count, file), golden.count);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(store_blobs_open(directory, log_id, &blobs, NULL), CELLAR_OK);
    assert_int_equal(store_blob_open(blobs, &blob, &reader), CELLAR_OK);
    assert_int_equal(store_blob_next(&reader, &found), CELLAR_OK);
    assert_true(store_blob_is_done(&reader));
    assert_true(cellar_slice_equal(cellar_slice_of(&found), text("a large value", 13)));
    store_blob_close(&reader);
    store_blobs_close(blobs);
    cellar_buffer_fini(&found);
    test_remove_tree(directory);
}

static void blob_reference_is_as_written_down(void **state)
{
    struct golden golden;
    struct cellar_buffer value = {0};
    struct cellar_buffer payload = {0};
    (void)state;
    golden_load("blob_file", &golden);
    const struct cellar_slice reference = cellar_slice_make(golden.bytes + 32, 20);
    const struct store_cell cell = {{text("f", 1), text("q", 1), 7, reference}, 1, true};
    const struct store_item item = {.type = STORE_ITEM_SET_BLOB,
                                    .family = text("f", 1),
                                    .generation = 1,
                                    .qualifier = text("q", 1),
                                    .start_us = 7,
                                    .value = reference};
    assert_int_equal(store_segment_encode(&cell, 1, false, &value), CELLAR_OK);
    golden_match("blob_segment", value.data, value.bytes);
    assert_int_equal(store_item_encode(&payload, &item), CELLAR_OK);
    golden_match("blob_item", payload.data, payload.bytes);
    cellar_buffer_fini(&value);
    cellar_buffer_fini(&payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segment_header_is_as_written_down),
        cmocka_unit_test(mutation_is_as_written_down),
        cmocka_unit_test(catalog_record_is_as_written_down),
        cmocka_unit_test(group_is_as_written_down_and_reads_back),
        cmocka_unit_test(position_is_as_written_down),
        cmocka_unit_test(segment_is_as_written_down_and_reads_back),
        cmocka_unit_test(range_drop_is_as_written_down_and_reads_back),
        cmocka_unit_test(blob_reads_as_written_down),
        cmocka_unit_test(blob_reference_is_as_written_down),
        cmocka_unit_test(pending_ranges_read_back_as_written_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
