/*
 * check_cells: items that the checkpoint would write pass; each way in which an item can be wrong
 * is named, with its row and, where it is one cell's fault, its column.
 */
#include "server/storage/check_cells.h"

#include <stdio.h>
#include <string.h>

#include "server/storage/env_internal.h"
#include "server/storage/token.h"
#include "tests/support/check_fixture.h"
#include "tests/support/store_fixture.h"

/* Items handed in one by one. */
struct fixture {
    struct test_report report;
    struct store_check_rows rows;
    struct store_check_cells cells;
    struct cellar_buffer key;
    struct cellar_buffer value;
    struct cellar_buffer whole;
};

static void fixture_begin(struct fixture *fixture)
{
    const struct store_check_place place = {.file = "f", .store_id = 7, .has_store = true};
    memset(fixture, 0, sizeof *fixture);
    test_report_begin(&fixture->report);
    assert_int_equal(
        store_check_cells_init(&fixture->cells, &fixture->report.report, &fixture->rows, &place),
        CELLAR_OK);
}

static void fixture_end(struct fixture *fixture)
{
    store_check_cells_fini(&fixture->cells);
    test_report_end(&fixture->report);
    cellar_buffer_fini(&fixture->key);
    cellar_buffer_fini(&fixture->value);
    cellar_buffer_fini(&fixture->whole);
}

/* Fails unless so many problems were told, the last of them with `why` in it. */
static void told(struct fixture *fixture, uint64_t count, const char *why)
{
    const char *text = test_report_text(&fixture->report);
    if (fixture->report.report.damage_count != count) {
        fail_msg("not %u problems:\n%s", (unsigned)count, text);
    }
    if (why != NULL) {
        test_report_has(&fixture->report, why);
    }
}

/* fixture->key becomes the row's part and `separator` (NULL: the row's first segment). */
static void key_set(struct fixture *fixture, const char *row, const char *separator)
{
    test_position_make(&fixture->key, cellar_slice_text(row), NULL, NULL, -1);
    if (separator != NULL) {
        assert_int_equal(cellar_buffer_append(&fixture->key, separator, strlen(separator)),
                         CELLAR_OK);
    }
}

/* fixture->value becomes a segment of the cells. */
static void cells_set(struct fixture *fixture, const struct store_cell *cells, size_t count,
                      bool is_shared)
{
    assert_int_equal(store_segment_encode(cells, count, is_shared, &fixture->value), CELLAR_OK);
}

/* Hands in fixture->key with fixture->value behind a checksum that fits. */
static void item_put(struct fixture *fixture, bool is_token)
{
    uint8_t crc[4];
    struct cellar_slice key = cellar_slice_of(&fixture->key);
    struct cellar_slice value = cellar_slice_of(&fixture->value);
    cellar_put_u32le(crc, store_env_item_crc(key, value));
    cellar_buffer_clear(&fixture->whole);
    assert_int_equal(cellar_buffer_append(&fixture->whole, crc, sizeof crc), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&fixture->whole, value.data, value.bytes), CELLAR_OK);
    struct cellar_slice whole = cellar_slice_of(&fixture->whole);
    assert_int_equal(is_token ? store_check_cells_token(&fixture->cells, key, whole, 4096)
                              : store_check_cells_item(&fixture->cells, key, whole, 4096),
                     CELLAR_OK);
}

static struct store_cell cell_make(const char *family, const char *qualifier, int64_t timestamp_us)
{
    return (struct store_cell){.cell = {.family = cellar_slice_text(family),
                                        .qualifier = cellar_slice_text(qualifier),
                                        .timestamp_us = timestamp_us,
                                        .value = cellar_slice_text("v")},
                               .generation = 1};
}

/* A segment of one cell f:q, or of two when `second_us` is not 0. */
static void times_put(struct fixture *fixture, const char *row, const char *separator,
                      int64_t first_us, int64_t second_us)
{
    const struct store_cell cells[] = {cell_make("f", "q", first_us),
                                       cell_make("f", "q", second_us)};
    key_set(fixture, row, separator);
    cells_set(fixture, cells, second_us == 0 ? 1 : 2, separator != NULL);
    item_put(fixture, false);
}

/* ---- sound ----------------------------------------------------------------------------------- */

static void sound_rows_pass(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    times_put(&fixture, "a", NULL, 3000, 1000);
    key_set(&fixture, "b", NULL);
    struct store_cell cells[] = {cell_make("f", "a", 5), cell_make("f", "b", 5),
                                 cell_make("g", "a", 5)};
    cells_set(&fixture, cells, 3, false);
    item_put(&fixture, false);
    key_set(&fixture, "b", "h");
    cells[0] = cell_make("h", "", 9);
    cells_set(&fixture, cells, 1, false);
    item_put(&fixture, false);
    told(&fixture, 0, NULL);
    assert_int_equal(fixture.report.report.counts.row_count, 2);
    assert_int_equal(fixture.report.report.counts.cell_count, 6);
    assert_int_equal(fixture.cells.item_count, 3);
    fixture_end(&fixture);
}

static void row_of_a_cut_key_is_its_beginning(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t key_bytes;
        const char *row;
        size_t row_bytes;
    } cases[] = {
        {"", 0, "", 0},
        {"ab", 2, "ab", 2},
        {"ab\0\1rest", 8, "ab", 2},
        {"a\0\xff\0\xff", 5, "a\0\0", 3},
        {"a\0", 2, "a", 1},
        {"a\0\x07", 3, "a", 1},
    };
    struct cellar_buffer row = {0};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct cellar_slice key = cellar_slice_make(cases[i].key, cases[i].key_bytes);
        assert_int_equal(store_check_row_of(key, &row), CELLAR_OK);
        assert_int_equal(row.bytes, cases[i].row_bytes);
        assert_memory_equal(row.data, cases[i].row, cases[i].row_bytes);
    }
    cellar_buffer_fini(&row);
}

/* ---- items ----------------------------------------------------------------------------------- */

static void checksum_that_does_not_fit_names_the_row(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    key_set(&fixture, "row\"1", NULL);
    assert_int_equal(cellar_buffer_append(&fixture.value, "12345678", 8), CELLAR_OK);
    struct cellar_slice key = cellar_slice_of(&fixture.key);
    assert_int_equal(
        store_check_cells_item(&fixture.cells, key, cellar_slice_of(&fixture.value), 77),
        CELLAR_OK);
    told(&fixture, 1,
         "damage: f offset 77 store 7 row \"row\\x221\": the item's checksum does not fit\n");
    assert_int_equal(store_check_cells_item(&fixture.cells, key, cellar_slice_text("abc"), 77),
                     CELLAR_OK);
    told(&fixture, 2, "the item is too short");
    assert_int_equal(fixture.cells.item_count, 1);
    times_put(&fixture, "row2", "f", 3000, 0);
    told(&fixture, 2, NULL); /* its first segment may be what was damaged */
    fixture_end(&fixture);
}

static void keys_of_no_row_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t bytes;
    } keys[] = {{"\0\1", 2}, {"abc", 3}, {"a\0\2", 3}, {"a\0", 2}};
    struct fixture fixture;
    fixture_begin(&fixture);
    struct store_cell cell = cell_make("f", "q", 1);
    cells_set(&fixture, &cell, 1, false);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(keys); i++) {
        cellar_buffer_clear(&fixture.key);
        assert_int_equal(cellar_buffer_append(&fixture.key, keys[i].key, keys[i].bytes), CELLAR_OK);
        item_put(&fixture, false);
        told(&fixture, i + 1, "the key names no row");
    }
    fixture_end(&fixture);
}

static void row_without_its_first_segment_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    times_put(&fixture, "a", "f", 3000, 0);
    told(&fixture, 1, "row \"a\": the row's first segment is missing");
    fixture_end(&fixture);
}

static void segments_keys_lie_between_their_cells(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    times_put(&fixture, "a", NULL, 3000, 0);
    key_set(&fixture, "a", "g");
    struct store_cell cell = cell_make("f", "z", 1);
    cells_set(&fixture, &cell, 1, false);
    item_put(&fixture, false);
    told(&fixture, 1, "row \"a\" column \"f:z\": the segment's key lies behind its first cell");
    times_put(&fixture, "b", NULL, 3000, 0);
    key_set(&fixture, "b", "e");
    item_put(&fixture, false); /* still the last value, f:q */
    told(&fixture, 2, "the segment's key does not lie behind the segment before");
    fixture_end(&fixture);
}

/* ---- segments -------------------------------------------------------------------------------- */

static void cells_out_of_order_are_told(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    times_put(&fixture, "a", NULL, 3000, 4000);
    told(&fixture, 1, "column \"f:q\": cells are out of order");
    times_put(&fixture, "b", NULL, 3000, 3000);
    told(&fixture, 2, "row \"b\" column \"f:q\": cells are out of order");
    key_set(&fixture, "c", NULL);
    struct store_cell cells[] = {cell_make("g", "a", 5), cell_make("f", "z", 5)};
    cells_set(&fixture, cells, 2, false);
    item_put(&fixture, false);
    told(&fixture, 3, "row \"c\" column \"f:z\": cells are out of order");
    fixture_end(&fixture);
}

/* Changes bytes of the value between encoding and checksum. */
static void head_is_told(struct fixture *fixture, size_t offset, uint8_t flip, uint64_t count,
                         const char *why)
{
    const struct store_cell cells[] = {cell_make("f", "q", 5000), cell_make("f", "q", 4000)};
    char row[16];
    (void)snprintf(row, sizeof row, "row%u", (unsigned)count);
    key_set(fixture, row, NULL);
    cells_set(fixture, cells, 2, false);
    assert_true(offset < fixture->value.bytes);
    fixture->value.data[offset] ^= flip;
    item_put(fixture, false);
    told(fixture, count, why);
}

static void wrong_heads_are_told(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    head_is_told(&fixture, 0, 0x02, 1, "of another version, or its head is damaged");
    head_is_told(&fixture, 1, 0x40, 2, "of another version, or its head is damaged");
    head_is_told(&fixture, 1, STORE_SEGMENT_MULTI, 3, "does not say that a column has several");
    head_is_told(&fixture, 2, 0x01, 4, "the segment's cells cannot be read to their end");
    head_is_told(&fixture, 4, 0x01, 5, "the segment names another oldest timestamp");
    head_is_told(&fixture, 12, 0x10, 6, "the segment's cells cannot be read");
    head_is_told(&fixture, 14, 0x04, 7, "the segment's cells cannot be read to their end");
    head_is_told(&fixture, 1, STORE_SEGMENT_MARKED, 7, NULL); /* set without need: fine */
    fixture_end(&fixture);
}

static void later_generation_must_be_marked(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    struct store_cell cell = cell_make("f", "q", 1);
    cell.generation = 4;
    key_set(&fixture, "a", NULL);
    cells_set(&fixture, &cell, 1, false);
    item_put(&fixture, false);
    told(&fixture, 0, NULL);
    key_set(&fixture, "b", NULL);
    fixture.value.data[1] &= (uint8_t)~STORE_SEGMENT_MARKED;
    item_put(&fixture, false);
    told(&fixture, 1, "does not say that it holds a later generation");
    fixture_end(&fixture);
}

static void column_over_two_segments_must_be_said_in_both(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cellar_buffer position = {0};
    char separator[64];
    fixture_begin(&fixture);
    const struct cellar_slice qualifier = cellar_slice_text("q");
    test_position_make(&position, cellar_slice_text("a"), "f", &qualifier, 2000);
    for (unsigned with_first = 0; with_first < 2; with_first++) {
        struct store_cell cell = cell_make("f", "q", 3000);
        key_set(&fixture, "a", NULL);
        fixture.key.data[0] = (uint8_t)('a' + with_first);
        cells_set(&fixture, &cell, 1, with_first == 1);
        item_put(&fixture, false);
        cell.cell.timestamp_us = 2000;
        memcpy(separator, position.data, position.bytes);
        separator[0] = (char)('a' + with_first);
        cellar_buffer_clear(&fixture.key);
        assert_int_equal(cellar_buffer_append(&fixture.key, separator, position.bytes), CELLAR_OK);
        cells_set(&fixture, &cell, 1, true);
        item_put(&fixture, false);
        told(&fixture, 1, "does not say that a column has several versions");
    }
    cellar_buffer_fini(&position);
    fixture_end(&fixture);
}

/* ---- what others say of rows and cells ------------------------------------------------------- */

static const char *row_refuse(void *context, struct cellar_slice row)
{
    assert_null(context);
    return cellar_slice_equal(row, cellar_slice_text("bad")) ? "no such row here" : NULL;
}

static const char *cell_refuse(void *context, struct cellar_slice row,
                               const struct store_cell *cell)
{
    assert_null(context);
    assert_true(row.bytes > 0);
    return cell->cell.timestamp_us == 1234 ? "no such time here" : NULL;
}

static void place_name(void *context, struct cellar_slice row, struct store_check_place *place)
{
    assert_null(context);
    assert_true(row.bytes > 0);
    place->table = cellar_slice_text("p/i/t");
}

static void tables_are_asked_for_rows_and_cells(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    fixture.rows =
        (struct store_check_rows){.row = row_refuse, .cell = cell_refuse, .place = place_name};
    times_put(&fixture, "bad", NULL, 3000, 0);
    told(&fixture, 1, "store 7 table p/i/t row \"bad\": no such row here");
    times_put(&fixture, "good", NULL, 1234, 0);
    told(&fixture, 2, "table p/i/t row \"good\" column \"f:q\": no such time here");
    fixture_end(&fixture);
}

static void tokens_have_a_row_a_token_and_an_expiry(void **state)
{
    (void)state;
    static const struct {
        const char *token;
        size_t token_bytes;
        int64_t expiry_us;
        const char *why;
    } cases[] = {
        {"\0"
         "12345678",
         9, 5, NULL},
        {"\1"
         "12345678",
         9, 5, "the key names no token"},
        {"\0"
         "1234567",
         8, 5, "the key names no token"},
        {"", 0, 5, "the key names no token"},
        {"\0"
         "12345678",
         9, 0, "the token's record is damaged"},
        {"\0"
         "12345678",
         9, -5, "the token's record is damaged"},
    };
    struct fixture fixture;
    fixture_begin(&fixture);
    fixture.rows.row = row_refuse;
    uint64_t count = 0;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        uint8_t expiry[8];
        key_set(&fixture, "a", NULL);
        assert_int_equal(cellar_buffer_append(&fixture.key, cases[i].token, cases[i].token_bytes),
                         CELLAR_OK);
        cellar_put_u64le(expiry, (uint64_t)cases[i].expiry_us);
        cellar_buffer_clear(&fixture.value);
        assert_int_equal(cellar_buffer_append(&fixture.value, expiry, sizeof expiry), CELLAR_OK);
        item_put(&fixture, true);
        count += cases[i].why != NULL;
        told(&fixture, count, cases[i].why);
    }
    key_set(&fixture, "bad", NULL);
    assert_int_equal(cellar_buffer_append(&fixture.key,
                                          "\0"
                                          "12345678",
                                          9),
                     CELLAR_OK);
    cellar_put_u64le(fixture.value.data, 9);
    item_put(&fixture, true);
    told(&fixture, count + 1, "no such row here");
    assert_int_equal(fixture.report.report.counts.token_count, 7);
    assert_int_equal(fixture.cells.item_count, 7);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_rows_pass),
        cmocka_unit_test(row_of_a_cut_key_is_its_beginning),
        cmocka_unit_test(checksum_that_does_not_fit_names_the_row),
        cmocka_unit_test(keys_of_no_row_are_told),
        cmocka_unit_test(row_without_its_first_segment_is_told),
        cmocka_unit_test(segments_keys_lie_between_their_cells),
        cmocka_unit_test(cells_out_of_order_are_told),
        cmocka_unit_test(wrong_heads_are_told),
        cmocka_unit_test(later_generation_must_be_marked),
        cmocka_unit_test(column_over_two_segments_must_be_said_in_both),
        cmocka_unit_test(tables_are_asked_for_rows_and_cells),
        cmocka_unit_test(tokens_have_a_row_a_token_and_an_expiry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
