/*
 * record: payloads of log records, byte for byte and read back; damage and reserved types are
 * refused.
 */
#include <stdlib.h>

#include "server/storage/blob_files.h"
#include "server/storage/record.h"
#include "tests/support/store_fixture.h"

/* ---- bytes ----------------------------------------------------------------------------------- */

static void mutation_has_the_documented_bytes(void **state)
{
    (void)state;
    static const uint8_t golden[] = {
        0x01, 0x00, 0x03, 0x00, 0x04, 0x03, 0x02, 0x01, 0x15, 0xcd, 0x5b, 0x07, 0x00, 0x00,
        0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 'r',  'o',  'w', /* items */
        0x03, 0x02, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 'c',  'f',  'q', /* the second */
        0x04, 0x02, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 'c',  'f',  'v',  '1'};
    struct cellar_buffer payload = {0};
    struct store_mutation mutation = {.row = cellar_slice_text("row"),
                                      .schema_version = 0x01020304,
                                      .item_count = 2,
                                      .server_time_us = 123456789};
    struct store_item column = test_delete_column("cf", "q", 5, 9);
    struct store_item set = test_set("cf", "", INT64_MAX, "v1");
    column.generation = 7;
    assert_int_equal(store_mutation_encode(&payload, &mutation), CELLAR_OK);
    assert_int_equal(store_item_encode(&payload, &column), CELLAR_OK);
    assert_int_equal(store_item_encode(&payload, &set), CELLAR_OK);
    assert_int_equal(payload.bytes, sizeof golden);
    assert_memory_equal(payload.data, golden, sizeof golden);
    cellar_buffer_fini(&payload);
}

static void catalog_has_the_documented_bytes(void **state)
{
    (void)state;
    static const uint8_t golden[] = {0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0x00,
                                     0x00, 0x00, 'o',  'n',  'e',  0x00, 0x00, 0x00, 0x00};
    struct cellar_buffer payload = {0};
    assert_int_equal(store_catalog_begin(&payload, 2), CELLAR_OK);
    assert_int_equal(store_catalog_put(&payload, cellar_slice_text("one")), CELLAR_OK);
    assert_int_equal(store_catalog_put(&payload, cellar_slice_make(NULL, 0)), CELLAR_OK);
    assert_int_equal(payload.bytes, sizeof golden);
    assert_memory_equal(payload.data, golden, sizeof golden);
    cellar_buffer_fini(&payload);
}

/* ---- reading back ---------------------------------------------------------------------------- */

static bool items_equal(const struct store_item *a, const struct store_item *b)
{
    return a->type == b->type && cellar_slice_equal(a->family, b->family) &&
           a->generation == b->generation && cellar_slice_equal(a->qualifier, b->qualifier) &&
           a->start_us == b->start_us && a->end_us == b->end_us &&
           cellar_slice_equal(a->value, b->value);
}

static void every_item_is_read_as_it_was_written(void **state)
{
    (void)state;
    static uint8_t large[CELLAR_QUALIFIER_BYTES_MAX];
    static char family[CELLAR_FAMILY_BYTES_MAX + 1];
    memset(family, 'f', CELLAR_FAMILY_BYTES_MAX);
    struct store_item items[] = {
        test_delete_row(),
        test_delete_family("f"),
        test_delete_family(family),
        test_delete_column("f", "", 0, 0),
        test_delete_column("f", "q", 1, INT64_MAX),
        test_set("f", "q", 0, ""),
        test_set("-_.", "q", INT64_MAX, "value"),
        test_set("f", "", 5, "x"),
        test_set("f", "", 6, ""),
        {.type = STORE_ITEM_TOKEN,
         .qualifier = cellar_slice_text("12345678"),
         .start_us = INT64_MAX,
         .value = cellar_slice_text("outcome")},
    };
    items[1].generation = UINT32_MAX;
    items[7].qualifier = cellar_slice_make(large, sizeof large);
    items[8].value = cellar_slice_make(large, sizeof large);
    struct cellar_buffer payload = {0};
    test_mutation_put(&payload, cellar_slice_make(large, CELLAR_ROW_BYTES_MAX), INT64_MAX, items,
                      CELLAR_ARRAY_COUNT(items));
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&payload));
    struct store_mutation mutation;
    assert_true(store_mutation_decode(&from, &mutation));
    assert_int_equal(mutation.row.bytes, CELLAR_ROW_BYTES_MAX);
    assert_int_equal(mutation.item_count, CELLAR_ARRAY_COUNT(items));
    assert_true(mutation.server_time_us == INT64_MAX);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(items); i++) {
        struct store_item item;
        const uint8_t *before = from.at;
        assert_true(store_item_decode(&from, &item));
        assert_true(items_equal(&item, &items[i]));
        assert_int_equal(from.at - before, store_item_bytes(&item));
    }
    assert_int_equal(cellar_cursor_left(&from), 0);
    cellar_buffer_fini(&payload);
}

static void catalog_gives_its_mutations_back(void **state)
{
    (void)state;
    struct cellar_buffer payload = {0};
    static const char *const texts[] = {"first", "", "third"};
    assert_int_equal(store_catalog_begin(&payload, 3), CELLAR_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(store_catalog_put(&payload, cellar_slice_text(texts[i])), CELLAR_OK);
    }
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&payload));
    struct cellar_slice mutation;
    uint32_t count = 0;
    assert_true(store_catalog_open(&from, &count));
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(store_catalog_next(&from, &mutation));
        assert_true(cellar_slice_equal(mutation, cellar_slice_text(texts[i])));
    }
    assert_false(store_catalog_next(&from, &mutation));
    cellar_buffer_fini(&payload);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void cut_items_are_refused_and_move_nothing(void **state)
{
    (void)state;
    struct cellar_buffer payload = {0};
    const struct store_item set = test_set("fam", "qualifier", 7, "value");
    assert_int_equal(store_item_encode(&payload, &set), CELLAR_OK);
    for (size_t bytes = 0; bytes < payload.bytes; bytes++) {
        struct cellar_cursor from = cellar_cursor_make(cellar_slice_make(payload.data, bytes));
        struct store_item item;
        assert_false(store_item_decode(&from, &item));
        assert_ptr_equal(from.at, payload.data);
    }
    cellar_buffer_fini(&payload);
}

static void cut_heads_are_refused(void **state)
{
    (void)state;
    struct cellar_buffer payload = {0};
    struct store_mutation mutation = {.row = cellar_slice_text("row"), .item_count = 1};
    assert_int_equal(store_mutation_encode(&payload, &mutation), CELLAR_OK);
    for (size_t bytes = 0; bytes < payload.bytes; bytes++) {
        struct cellar_cursor from = cellar_cursor_make(cellar_slice_make(payload.data, bytes));
        assert_false(store_mutation_decode(&from, &mutation));
    }
    cellar_buffer_fini(&payload);
    uint32_t count = 0;
    assert_int_equal(store_catalog_begin(&payload, 1), CELLAR_OK);
    for (size_t bytes = 0; bytes < payload.bytes; bytes++) {
        struct cellar_cursor from = cellar_cursor_make(cellar_slice_make(payload.data, bytes));
        assert_false(store_catalog_open(&from, &count));
    }
    payload.data[0] = 2; /* a later version */
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&payload));
    assert_false(store_catalog_open(&from, &count));
    payload.data[0] = 1;
    payload.data[4] = 0; /* no mutation */
    from = cellar_cursor_make(cellar_slice_of(&payload));
    assert_false(store_catalog_open(&from, &count));
    cellar_buffer_fini(&payload);
}

static void reserved_and_unknown_types_are_refused(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        bool is_known = type >= STORE_ITEM_DELETE_ROW && type <= STORE_ITEM_SET;
        struct cellar_buffer payload = {0};
        struct store_item item = test_delete_row();
        if (type == STORE_ITEM_DELETE_FAMILY) {
            item = test_delete_family("f");
        } else if (type != STORE_ITEM_DELETE_ROW) {
            item = test_set("f", "q", 1, "");
        }
        assert_int_equal(store_item_encode(&payload, &item), CELLAR_OK);
        payload.data[0] = (uint8_t)type; /* a blob's has no reference as its value */
        struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&payload));
        assert_int_equal(store_item_decode(&from, &item), is_known);
        cellar_buffer_fini(&payload);
    }
}

static void reference_of_a_blob_is_read_and_a_damaged_one_refused(void **state)
{
    (void)state;
    uint8_t bytes[STORE_BLOB_REFERENCE_BYTES];
    const struct store_blob blob = {.id = 9, .bytes = 13, .crc = 1};
    store_blob_encode(bytes, &blob);
    for (size_t count = 0; count <= sizeof bytes; count++) {
        struct cellar_buffer payload = {0};
        struct store_item item = test_set("f", "q", 7, "");
        struct store_item found;
        item.type = STORE_ITEM_SET_BLOB;
        item.value = cellar_slice_make(bytes, count);
        assert_int_equal(store_item_encode(&payload, &item), CELLAR_OK);
        struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&payload));
        assert_int_equal(store_item_decode(&from, &found), count == sizeof bytes);
        cellar_buffer_fini(&payload);
    }
}

static void families_and_ranges_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct store_item items[] = {
        test_set("f", "q", -1, "v"),         test_delete_column("f", "q", -1, 0),
        test_delete_column("f", "q", 0, -1), test_delete_column("f", "q", 9, 9),
        test_delete_column("f", "q", 9, 3),  test_set("f", "q", 1, "v"),
        test_set("f", "q", 1, "v"),
    };
    items[5].family = cellar_slice_make("f\0x", 3);
    items[6].generation = 0;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(items); i++) {
        struct cellar_buffer payload = {0};
        struct store_item item;
        print_message("    %zu\n", i);
        assert_int_equal(store_item_encode(&payload, &items[i]), CELLAR_OK);
        struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&payload));
        assert_false(store_item_decode(&from, &item));
        cellar_buffer_fini(&payload);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static enum cellar_status encode_run(void *context)
{
    struct cellar_buffer payload = {0};
    struct store_mutation mutation = {.row = cellar_slice_text("row"), .item_count = 1};
    const struct store_item set = test_set("f", "q", 1, context);
    enum cellar_status status = store_mutation_encode(&payload, &mutation);
    if (status == CELLAR_OK) {
        status = store_item_encode(&payload, &set);
    }
    if (status == CELLAR_OK) {
        struct cellar_buffer catalog = {0};
        status = store_catalog_begin(&catalog, 1);
        size_t before = catalog.bytes;
        if (status == CELLAR_OK) {
            status = store_catalog_put(&catalog, cellar_slice_of(&payload));
            assert_true(status == CELLAR_OK || catalog.bytes == before);
        }
        cellar_buffer_fini(&catalog);
    }
    cellar_buffer_fini(&payload);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    static char value[10000];
    memset(value, 'v', sizeof value - 1);
    assert_true(test_out_of_memory_loop(encode_run, value) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutation_has_the_documented_bytes),
        cmocka_unit_test(catalog_has_the_documented_bytes),
        cmocka_unit_test(every_item_is_read_as_it_was_written),
        cmocka_unit_test(catalog_gives_its_mutations_back),
        cmocka_unit_test(cut_items_are_refused_and_move_nothing),
        cmocka_unit_test(cut_heads_are_refused),
        cmocka_unit_test(reference_of_a_blob_is_read_and_a_damaged_one_refused),
        cmocka_unit_test(reserved_and_unknown_types_are_refused),
        cmocka_unit_test(families_and_ranges_that_cannot_be_are_refused),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
