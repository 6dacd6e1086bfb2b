/*
 * segment: cells packed and read back, the facts in front, what a cell costs, damage.
 */
#include <stdlib.h>

#include "common/mem.h"
#include "server/storage/segment.h"
#include "tests/support/store_fixture.h"

static struct store_cell cell_of(const char *family, uint32_t generation, const char *qualifier,
                                 int64_t timestamp_us, const char *value)
{
    return (struct store_cell){.cell = {.family = cellar_slice_text(family),
                                        .qualifier = cellar_slice_text(qualifier),
                                        .timestamp_us = timestamp_us,
                                        .value = cellar_slice_text(value)},
                               .generation = generation};
}

static void segment_has_the_documented_bytes(void **state)
{
    (void)state;
    static const uint8_t golden[] = {
        0x01, 0x01, 0x03, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* facts */
        0xDC, 0x00, 0x0C,                                                       /* 12 elements */
        0xA1, 'f',  0xC4, 0x01, 'p',  0x07, 0xC4, 0x01, 'x',                    /* f:p@7 = x */
        0xC0, 0xC4, 0x01, 'q',  0x06, 0xC4, 0x00,                               /* f:q@6 = "" */
        0xC0, 0xC0, 0x05, 0xC4, 0x01, 'y'};                                     /* f:q@5 = y */
    const struct store_cell cells[] = {cell_of("f", 1, "p", 7, "x"), cell_of("f", 1, "q", 6, ""),
                                       cell_of("f", 1, "q", 5, "y")};
    struct cellar_buffer value = {0};
    assert_int_equal(store_segment_encode(cells, 3, false, &value), CELLAR_OK);
    assert_int_equal(value.bytes, sizeof golden);
    assert_memory_equal(value.data, golden, sizeof golden);
    cellar_buffer_fini(&value);
}

/* Cells, whether a neighbour shares a column, and the flags that follow. */
struct flags_case {
    struct store_cell cells[2];
    size_t count;
    bool is_shared;
    uint8_t flags;
};

static void flags_tell_versions_and_generations(void **state)
{
    (void)state;
    const struct flags_case cases[] = {
        {{cell_of("f", 1, "q", 5, "v")}, 1, false, 0},
        {{cell_of("f", 1, "q", 5, "v")}, 1, true, STORE_SEGMENT_MULTI},
        {{cell_of("f", 1, "q", 5, "v"), cell_of("f", 1, "q", 4, "v")},
         2,
         false,
         STORE_SEGMENT_MULTI},
        {{cell_of("f", 1, "q", 5, "v"), cell_of("f", 1, "r", 5, "v")}, 2, false, 0},
        {{cell_of("f", 1, "q", 5, "v"), cell_of("g", 1, "q", 5, "v")}, 2, false, 0},
        {{cell_of("f", 2, "q", 5, "v")}, 1, false, STORE_SEGMENT_MARKED},
        {{cell_of("f", 1, "q", 5, "v"), cell_of("f", 2, "q", 4, "v")},
         2,
         false,
         STORE_SEGMENT_MARKED},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct cellar_buffer value = {0};
        struct store_segment segment;
        assert_int_equal(
            store_segment_encode(cases[i].cells, cases[i].count, cases[i].is_shared, &value),
            CELLAR_OK);
        assert_true(store_segment_decode(cellar_slice_of(&value), &segment));
        assert_int_equal(segment.flags, cases[i].flags);
        assert_int_equal(segment.cell_count, cases[i].count);
        cellar_buffer_fini(&value);
    }
}

static void oldest_timestamp_is_kept(void **state)
{
    (void)state;
    const struct store_cell cells[] = {cell_of("f", 1, "a", INT64_MAX, "v"),
                                       cell_of("f", 1, "b", 3, "v"), cell_of("f", 1, "c", 9, "v")};
    for (size_t count = 1; count <= 3; count++) {
        struct cellar_buffer value = {0};
        struct store_segment segment;
        assert_int_equal(store_segment_encode(cells, count, false, &value), CELLAR_OK);
        assert_true(store_segment_decode(cellar_slice_of(&value), &segment));
        assert_true(segment.oldest_us == (count == 1 ? INT64_MAX : 3));
        cellar_buffer_fini(&value);
    }
}

static void most_cells_fit(void **state)
{
    (void)state;
    static struct store_cell cells[STORE_SEGMENT_CELL_COUNT_MAX];
    struct cellar_buffer value = {0};
    struct store_segment segment;
    struct cellar_cells_reader reader;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cells); i++) {
        cells[i] = cell_of("f", 1, "q", (int64_t)(CELLAR_ARRAY_COUNT(cells) - i), "");
    }
    assert_int_equal(store_segment_encode(cells, CELLAR_ARRAY_COUNT(cells), false, &value),
                     CELLAR_OK);
    assert_true(store_segment_decode(cellar_slice_of(&value), &segment));
    assert_true(cellar_cells_open(&reader, segment.packed));
    size_t count = 0;
    while (cellar_cells_next(&reader)) {
        count++;
    }
    assert_true(cellar_cells_is_done(&reader));
    assert_int_equal(count, STORE_SEGMENT_CELL_COUNT_MAX);
    cellar_buffer_fini(&value);
}

static void cost_bounds_what_a_cell_takes(void **state)
{
    (void)state;
    struct test_random random = {test_seed("segment")};
    static uint8_t bytes[70000];
    for (int round = 0; round < 300; round++) {
        struct store_cell cells[20];
        size_t cost = 0;
        size_t count = 1 + (size_t)test_random_below(&random, CELLAR_ARRAY_COUNT(cells));
        for (size_t i = 0; i < count; i++) {
            static const char *const families[] = {"f", "g", "a-rather-long-family-name"};
            cells[i] = cell_of(families[test_random_below(&random, 3)],
                               1 + (uint32_t)test_random_below(&random, 2), "", 0, "");
            cells[i].cell.qualifier =
                cellar_slice_make(bytes, (size_t)test_random_below(&random, 200));
            cells[i].cell.timestamp_us = (int64_t)(test_random_next(&random) >> 1);
            cells[i].cell.value = cellar_slice_make(
                bytes, (size_t)test_random_below(&random, i % 7 == 0 ? 70000 : 300));
            cost += store_cell_cost(&cells[i], i == 0 ? NULL : &cells[i - 1]);
        }
        struct cellar_buffer value = {0};
        assert_int_equal(store_segment_encode(cells, count, false, &value), CELLAR_OK);
        /* A header may be 5 bytes where 3 or 2 were counted, no more. */
        size_t packed = value.bytes - STORE_SEGMENT_HEAD_BYTES - 3;
        assert_true(packed <= cost + 8 * count);
        assert_true(cost <= packed + 16 * count);
        cellar_buffer_fini(&value);
    }
}

static void positions_sort_as_cells_do(void **state)
{
    (void)state;
    const struct store_cell cells[] = {
        cell_of("a", 1, "", 5, ""),  cell_of("a", 1, "", 4, ""),   cell_of("a", 1, "q", 9, ""),
        cell_of("a", 1, "q", 0, ""), cell_of("a", 1, "qq", 1, ""), cell_of("a", 2, "", 5, ""),
        cell_of("a-", 1, "", 5, ""), cell_of("aa", 1, "", 5, ""),  cell_of("b", 1, "", 5, ""),
    };
    uint8_t before[200];
    uint8_t here[200];
    size_t before_bytes = 0;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cells); i++) {
        struct cellar_slice qualifier = cells[i].cell.qualifier;
        size_t bytes = store_cell_position(&cells[i], here);
        struct cellar_slice position = cellar_slice_make(here, bytes);
        assert_true(cellar_slice_compare(cellar_slice_make(before, before_bytes), position) < 0);
        uint8_t column[200];
        size_t column_bytes =
            store_column_position(cells[i].cell.family, cells[i].generation, &qualifier, column);
        assert_int_equal(column_bytes + 8, bytes);
        assert_memory_equal(column, here, column_bytes);
        size_t family_bytes =
            store_column_position(cells[i].cell.family, cells[i].generation, NULL, column);
        assert_int_equal(family_bytes, cells[i].cell.family.bytes + 5);
        assert_memory_equal(column, here, family_bytes);
        memcpy(before, here, bytes);
        before_bytes = bytes;
    }
    assert_true(store_cell_same_column(&cells[0], &cells[1]));
    assert_false(store_cell_same_column(&cells[1], &cells[2]));
    assert_false(store_cell_same_column(&cells[0], &cells[5]));
    assert_false(store_cell_same_column(&cells[5], &cells[6]));
}

static void damaged_facts_are_refused(void **state)
{
    (void)state;
    const struct store_cell cell = cell_of("f", 1, "q", 5, "v");
    struct cellar_buffer value = {0};
    struct store_segment segment;
    assert_int_equal(store_segment_encode(&cell, 1, false, &value), CELLAR_OK);
    for (size_t bytes = 0; bytes <= STORE_SEGMENT_HEAD_BYTES; bytes++) {
        assert_false(store_segment_decode(cellar_slice_make(value.data, bytes), &segment));
    }
    static const struct {
        size_t offset;
        uint8_t value;
    } cases[] = {{0, 0}, {0, 2}, {2, 0}, {11, 0x80}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        uint8_t before = value.data[cases[i].offset];
        value.data[cases[i].offset] = cases[i].value;
        assert_false(store_segment_decode(cellar_slice_of(&value), &segment));
        value.data[cases[i].offset] = before;
    }
    assert_true(store_segment_decode(cellar_slice_of(&value), &segment));
    cellar_buffer_fini(&value);
}

static enum cellar_status encode_run(void *context)
{
    const struct store_cell cell = cell_of("f", 1, "q", 5, context);
    struct cellar_buffer value = {0};
    enum cellar_status status = store_segment_encode(&cell, 1, false, &value);
    cellar_buffer_fini(&value);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(encode_run, (void *)(uintptr_t) "value"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segment_has_the_documented_bytes),
        cmocka_unit_test(flags_tell_versions_and_generations),
        cmocka_unit_test(oldest_timestamp_is_kept),
        cmocka_unit_test(most_cells_fit),
        cmocka_unit_test(cost_bounds_what_a_cell_takes),
        cmocka_unit_test(positions_sort_as_cells_do),
        cmocka_unit_test(damaged_facts_are_refused),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
