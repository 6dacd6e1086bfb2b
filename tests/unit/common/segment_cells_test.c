/*
 * segment_cells: packed cells. Round trips of random rows, the bytes of a small array, and a table
 * of damages, since the reader is what stands between a damaged segment and a client.
 */
#include <string.h>

#include "common/mem.h"
#include "common/segment_cells.h"
#include "tests/support/support.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)
#define LITERAL(text)                                                                              \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
#define CELL_COUNT_MAX 40
#define ROUNDS 500

/* A cell and its family's generation. */
struct stored {
    struct cellar_cell cell;
    uint32_t generation;
};

/* Packs cells as one array into `to`; returns its length. */
static size_t pack(uint8_t *to, const struct stored *cells, uint32_t count)
{
    uint8_t *at = cellar_wire_raw_array(to, 4 * count);
    for (uint32_t index = 0; index < count; index++) {
        const struct stored *previous = index == 0 ? NULL : &cells[index - 1];
        uint8_t *end = cellar_cells_put(at, &cells[index].cell, cells[index].generation,
                                        previous == NULL ? NULL : &previous->cell,
                                        previous == NULL ? 0 : previous->generation);
        assert_true((size_t)(end - at) <= cellar_cells_bytes_max(&cells[index].cell));
        at = end;
    }
    return (size_t)(at - to);
}

static void assert_same_cell(const struct cellar_cells_reader *reader, const struct stored *stored)
{
    assert_true(cellar_slice_equal(reader->cell.family, stored->cell.family));
    assert_int_equal(reader->generation, stored->generation);
    assert_true(cellar_slice_equal(reader->cell.qualifier, stored->cell.qualifier));
    assert_true(reader->cell.timestamp_us == stored->cell.timestamp_us);
    assert_true(cellar_slice_equal(reader->cell.value, stored->cell.value));
}

static void a_small_array_has_the_documented_bytes(void **state)
{
    (void)state;
    const struct stored cells[] = {
        {{BYTES("f"), BYTES("q"), 2000, BYTES("new")}, 1},
        {{BYTES("f"), BYTES("q"), 1000, BYTES("old")}, 1},
        {{BYTES("f"), BYTES("r"), 0, BYTES("")}, 1},
        {{BYTES("g"), BYTES("r"), 5, BYTES("x")}, 1},
    };
    uint8_t packed[128];
    struct cellar_slice expected = BYTES("\xdc\x00\x10"
                                         "\xa1"
                                         "f\xc4\1q\xcd\x07\xd0\xc4\3new"
                                         "\xc0\xc0\xcd\x03\xe8\xc4\3old"
                                         "\xc0\xc4\1r\0\xc4\0"
                                         "\xa1g\xc4\1r\5\xc4\1x");
    size_t bytes = pack(packed, cells, CELLAR_ARRAY_COUNT(cells));
    assert_int_equal(bytes, expected.bytes);
    assert_memory_equal(packed, expected.data, bytes);
}

static void a_family_of_a_later_generation_is_a_bin_that_says_so(void **state)
{
    (void)state;
    const struct stored cells[] = {
        {{BYTES("f"), BYTES("q"), 1, BYTES("a")}, 1},
        {{BYTES("f"), BYTES("q"), 1, BYTES("b")}, 258},
        {{BYTES("f"), BYTES("q"), 0, BYTES("c")}, 258},
    };
    uint8_t packed[128];
    struct cellar_slice expected = BYTES("\x9c\xa1"
                                         "f\xc4\1q\1\xc4\1a"
                                         "\xc4\6f\0\0\0\1\2\xc4\1q\1\xc4\1b"
                                         "\xc0\xc0\0\xc4\1c");
    size_t bytes = pack(packed, cells, CELLAR_ARRAY_COUNT(cells));
    assert_int_equal(bytes, expected.bytes);
    assert_memory_equal(packed, expected.data, bytes);
    struct cellar_cells_reader reader;
    assert_true(cellar_cells_open(&reader, expected));
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cells); index++) {
        assert_true(cellar_cells_next(&reader));
        assert_same_cell(&reader, &cells[index]);
        assert_int_equal(reader.column_is_new, index < 2);
    }
    assert_true(cellar_cells_is_done(&reader));
}

/* Random cells that share families and qualifiers often; their bytes come from `pool`. */
static uint32_t random_cells(struct test_random *random, const uint8_t *pool, struct stored *cells)
{
    uint32_t count = (uint32_t)test_random_below(random, CELL_COUNT_MAX + 1);
    for (uint32_t index = 0; index < count; index++) {
        struct stored *stored = &cells[index];
        stored->cell.family = cellar_slice_make(pool, 1 + test_random_below(random, 2));
        stored->generation = (uint32_t)(1 + test_random_below(random, 2));
        stored->cell.qualifier = cellar_slice_make(pool, test_random_below(random, 2));
        stored->cell.timestamp_us =
            (int64_t)(test_random_next(random) >> (1 + test_random_below(random, 63)));
        stored->cell.value = cellar_slice_make(pool, test_random_below(random, 400));
    }
    return count;
}

static void r_key_01_r_key_04_r_key_05_packed_cells_come_back_unchanged(void **state)
{
    (void)state;
    struct test_random random = {test_seed("packed cells")};
    static uint8_t pool[400];
    static uint8_t packed[CELL_COUNT_MAX * 600];
    struct stored cells[CELL_COUNT_MAX];
    test_random_bytes(&random, pool, sizeof pool);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t count = random_cells(&random, pool, cells);
        struct cellar_cells_reader reader;
        assert_true(
            cellar_cells_open(&reader, cellar_slice_make(packed, pack(packed, cells, count))));
        for (uint32_t index = 0; index < count; index++) {
            assert_int_equal(reader.left, count - index);
            assert_false(cellar_cells_is_done(&reader));
            assert_true(cellar_cells_next(&reader));
            assert_same_cell(&reader, &cells[index]);
        }
        assert_false(cellar_cells_next(&reader));
        assert_true(cellar_cells_is_done(&reader));
    }
}

static void an_array_without_cells_is_done_at_once(void **state)
{
    (void)state;
    struct cellar_cells_reader reader;
    assert_true(cellar_cells_open(&reader, BYTES("\x90")));
    assert_false(cellar_cells_next(&reader));
    assert_true(cellar_cells_is_done(&reader));
}

static void what_is_no_array_of_fours_is_not_opened(void **state)
{
    (void)state;
    const struct cellar_slice wrong[] = {{NULL, 0},         BYTES("\xc0"),          BYTES("\x80"),
                                         BYTES("\x91\xc0"), BYTES("\x94"),          BYTES("\xc4\0"),
                                         BYTES("\xdc\0"),   BYTES("\x95\0\0\0\0\0")};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(wrong); index++) {
        struct cellar_cells_reader reader;
        assert_false(cellar_cells_open(&reader, wrong[index]));
    }
}

/* Reads all cells; true when every one was good and nothing is left over. */
static bool reads_whole(struct cellar_slice packed)
{
    struct cellar_cells_reader reader;
    if (!cellar_cells_open(&reader, packed)) {
        return false;
    }
    while (cellar_cells_next(&reader)) {
        assert_true(reader.cell.timestamp_us >= 0);
        assert_in_range(reader.cell.family.bytes, 1, CELLAR_FAMILY_BYTES_MAX);
    }
    bool is_done = cellar_cells_is_done(&reader);
    assert_false(cellar_cells_next(&reader));
    assert_int_equal(cellar_cells_is_done(&reader), is_done);
    return is_done;
}

static void damage_is_told_from_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct cellar_slice packed;
    } cases[] = {
        {"the first cell repeats a family", LITERAL("\x94\xc0\xc4\1q\0\xc4\0")},
        {"the first cell repeats a column", LITERAL("\x94\xc0\xc0\0\xc4\0")},
        {"a named family repeats a qualifier", LITERAL("\x94\xa1"
                                                       "f\xc0\0\xc4\0")},
        {"an empty family", LITERAL("\x94\xa0\xc4\1q\0\xc4\0")},
        {"a family that is a number", LITERAL("\x94\1\xc4\1q\0\xc4\0")},
        {"generation 1 said aloud", LITERAL("\x94\xc4\6f\0\0\0\0\1\xc4\1q\0\xc4\0")},
        {"generation 0", LITERAL("\x94\xc4\6f\0\0\0\0\0\xc4\1q\0\xc4\0")},
        {"a bin family without its 00", LITERAL("\x94\xc4\6fx\0\0\0\2\xc4\1q\0\xc4\0")},
        {"a bin family of no name", LITERAL("\x94\xc4\5\0\0\0\0\2\xc4\1q\0\xc4\0")},
        {"a qualifier that is a number", LITERAL("\x94\xa1"
                                                 "f\1\0\xc4\0")},
        {"a negative timestamp", LITERAL("\x94\xa1"
                                         "f\xc4\1q\xff\xc4\0")},
        {"a timestamp above 63 bits", LITERAL("\x94\xa1"
                                              "f\xc4\1q\xcf\xff\0\0\0\0\0\0\0\xc4\0")},
        {"a nil timestamp", LITERAL("\x94\xa1"
                                    "f\xc4\1q\xc0\xc4\0")},
        {"a nil value", LITERAL("\x94\xa1"
                                "f\xc4\1q\0\xc0")},
        {"a value that is an ext", LITERAL("\x94\xa1"
                                           "f\xc4\1q\0\xd4\1\0")},
        {"a second cell that is damaged", LITERAL("\x98\xa1"
                                                  "f\xc4\1q\0\xc4\0\xc0\xc0\0\1")},
        {"bytes behind the array", LITERAL("\x94\xa1"
                                           "f\xc4\1q\0\xc4\0\0")},
    };
    assert_true(reads_whole(BYTES("\x94\xa1"
                                  "f\xc4\1q\0\xc4\0")));
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        if (reads_whole(cases[index].packed)) {
            fail_msg("%s was taken", cases[index].what);
        }
    }
}

static void sizes_above_the_limits_are_damage(void **state)
{
    (void)state;
    static uint8_t packed[CELLAR_QUALIFIER_BYTES_MAX + 200];
    static uint8_t letters[CELLAR_QUALIFIER_BYTES_MAX + 1];
    memset(letters, 'a', sizeof letters);
    for (size_t more = 0; more <= 1; more++) {
        uint8_t *at = cellar_wire_raw_array(packed, 4);
        at = cellar_wire_raw_text(at, cellar_slice_make(letters, CELLAR_FAMILY_BYTES_MAX + more));
        at = cellar_wire_raw_bytes(at, BYTES("q"));
        at = cellar_wire_raw_bytes(cellar_wire_raw_u64(at, 7), BYTES("v"));
        assert_int_equal(reads_whole(cellar_slice_make(packed, (size_t)(at - packed))), more == 0);

        at = cellar_wire_raw_text(cellar_wire_raw_array(packed, 4), BYTES("f"));
        at = cellar_wire_raw_bytes(at,
                                   cellar_slice_make(letters, CELLAR_QUALIFIER_BYTES_MAX + more));
        at = cellar_wire_raw_bytes(cellar_wire_raw_u64(at, 7), BYTES("v"));
        assert_int_equal(reads_whole(cellar_slice_make(packed, (size_t)(at - packed))), more == 0);
    }
}

static void every_cut_of_an_array_is_noticed(void **state)
{
    (void)state;
    const struct stored cells[] = {
        {{BYTES("f"), BYTES("q"), 2000, BYTES("new")}, 1},
        {{BYTES("f"), BYTES("q"), 1000, BYTES("old")}, 1},
        {{BYTES("f"), BYTES("q"), 70000, BYTES("old")}, 9},
    };
    uint8_t packed[128];
    size_t bytes = pack(packed, cells, CELLAR_ARRAY_COUNT(cells));
    assert_true(reads_whole(cellar_slice_make(packed, bytes)));
    for (size_t cut = 0; cut < bytes; cut++) {
        assert_false(reads_whole(cellar_slice_make(packed, cut)));
    }
}

static void the_largest_cell_fits_its_room(void **state)
{
    (void)state;
    static uint8_t letters[CELLAR_QUALIFIER_BYTES_MAX];
    static uint8_t to[4 * CELLAR_QUALIFIER_BYTES_MAX];
    struct stored stored = {{cellar_slice_make(letters, CELLAR_FAMILY_BYTES_MAX),
                             cellar_slice_make(letters, CELLAR_QUALIFIER_BYTES_MAX), INT64_MAX,
                             cellar_slice_make(letters, sizeof letters)},
                            UINT32_MAX};
    memset(letters, 'a', sizeof letters);
    assert_true(reads_whole(cellar_slice_make(to, pack(to, &stored, 1))));
}

static void packed_cells_need_no_memory(void **state)
{
    (void)state;
    const struct stored stored = {{BYTES("f"), BYTES("q"), 1, BYTES("v")}, 1};
    uint8_t packed[64];
    (void)cellar_mem_fail_at(0);
    assert_true(reads_whole(cellar_slice_make(packed, pack(packed, &stored, 1))));
    assert_false(cellar_mem_fail_at(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_array_has_the_documented_bytes),
        cmocka_unit_test(a_family_of_a_later_generation_is_a_bin_that_says_so),
        cmocka_unit_test(r_key_01_r_key_04_r_key_05_packed_cells_come_back_unchanged),
        cmocka_unit_test(an_array_without_cells_is_done_at_once),
        cmocka_unit_test(what_is_no_array_of_fours_is_not_opened),
        cmocka_unit_test(damage_is_told_from_the_end),
        cmocka_unit_test(sizes_above_the_limits_are_damage),
        cmocka_unit_test(every_cut_of_an_array_is_noticed),
        cmocka_unit_test(the_largest_cell_fits_its_room),
        cmocka_unit_test(packed_cells_need_no_memory),
    };
    return cmocka_run_group_tests_name("segment_cells", tests, NULL, NULL);
}
