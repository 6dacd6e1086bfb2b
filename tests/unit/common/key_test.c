/*
 * key: cell positions as bytes. The order of encoded keys is checked against the order of the
 * tuples they stand for, on random positions that are hard on the escape: bytes 00 and FF, parts
 * that are prefixes of each other, long keys that differ in their last bytes.
 */
#include <string.h>

#include "common/key.h"
#include "common/mem.h"
#include "tests/support/support.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)
#define ROUNDS 20000
#define LONG_ROUNDS 300

/* A cell's position with its bytes inside. */
struct position {
    uint8_t row[CELLAR_ROW_BYTES_MAX];
    size_t row_bytes;
    uint8_t family[CELLAR_FAMILY_BYTES_MAX];
    size_t family_bytes;
    uint32_t generation;
    uint8_t qualifier[64];
    size_t qualifier_bytes;
    int64_t timestamp_us;
};

static size_t position_encode(const struct position *position, uint8_t *key)
{
    struct cellar_slice row = cellar_slice_make(position->row, position->row_bytes);
    struct cellar_slice family = cellar_slice_make(position->family, position->family_bytes);
    struct cellar_slice qualifier =
        cellar_slice_make(position->qualifier, position->qualifier_bytes);
    uint8_t *at = cellar_key_put_escaped(key, row);
    assert_int_equal(at - key, cellar_key_escaped_bytes(row));
    at = cellar_key_put_family(at, family, position->generation);
    at = cellar_key_put_escaped(at, qualifier);
    at = cellar_key_put_timestamp(at, position->timestamp_us);
    return (size_t)(at - key);
}

/* The order that the data model gives two positions. */
static int position_compare(const struct position *a, const struct position *b)
{
    int order = cellar_slice_compare(cellar_slice_make(a->row, a->row_bytes),
                                     cellar_slice_make(b->row, b->row_bytes));
    if (order == 0) {
        order = cellar_slice_compare(cellar_slice_make(a->family, a->family_bytes),
                                     cellar_slice_make(b->family, b->family_bytes));
    }
    if (order == 0 && a->generation != b->generation) {
        order = a->generation < b->generation ? -1 : 1;
    }
    if (order == 0) {
        order = cellar_slice_compare(cellar_slice_make(a->qualifier, a->qualifier_bytes),
                                     cellar_slice_make(b->qualifier, b->qualifier_bytes));
    }
    if (order == 0 && a->timestamp_us != b->timestamp_us) {
        order = a->timestamp_us > b->timestamp_us ? -1 : 1;
    }
    return order;
}

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

/* Few different bytes, so that parts are often equal, or prefixes of each other. */
static size_t random_part(struct test_random *random, uint8_t *to, size_t bytes_max)
{
    static const uint8_t letters[] = {0x00, 0x01, 0xFE, 0xFF};
    size_t bytes = test_random_below(random, bytes_max + 1);
    for (size_t index = 0; index < bytes; index++) {
        to[index] = letters[test_random_below(random, sizeof letters)];
    }
    return bytes;
}

static void random_position(struct test_random *random, struct position *position)
{
    static const uint8_t names[] = {0x2D, 0x2E, 0x61};
    static const int64_t timestamps[] = {0, 1, 255, 256, 1000, INT64_MAX - 1, INT64_MAX};
    position->row_bytes = random_part(random, position->row, 3);
    position->family_bytes = 1 + test_random_below(random, 2);
    for (size_t index = 0; index < position->family_bytes; index++) {
        position->family[index] = names[test_random_below(random, sizeof names)];
    }
    position->generation = (uint32_t)(1 + test_random_below(random, 2));
    position->qualifier_bytes = random_part(random, position->qualifier, 3);
    position->timestamp_us = timestamps[test_random_below(random, CELLAR_ARRAY_COUNT(timestamps))];
}

static void check_order(const struct position *a, const struct position *b, uint8_t *key_a,
                        uint8_t *key_b)
{
    struct cellar_slice left = cellar_slice_make(key_a, position_encode(a, key_a));
    struct cellar_slice right = cellar_slice_make(key_b, position_encode(b, key_b));
    int order = position_compare(a, b);
    assert_int_equal(sign(cellar_slice_compare(left, right)), sign(order));
    if (order < 0) {
        size_t bytes = cellar_key_separator_bytes(left, right);
        struct cellar_slice separator = cellar_slice_make(right.data, bytes);
        assert_true(bytes <= right.bytes);
        assert_true(cellar_slice_compare(left, separator) < 0);
        assert_true(cellar_slice_compare(separator, right) <= 0);
        separator.bytes--;
        assert_true(cellar_slice_compare(separator, left) <= 0);
    }
}

static void r_row_10_encoded_keys_sort_as_their_cells_do(void **state)
{
    (void)state;
    struct test_random random = {test_seed("key order")};
    static struct position a;
    static struct position b;
    static uint8_t key_a[CELLAR_KEY_BYTES_MAX];
    static uint8_t key_b[CELLAR_KEY_BYTES_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        random_position(&random, &a);
        random_position(&random, &b);
        check_order(&a, &b, key_a, key_b);
    }
}

static void r_row_10_r_key_01_longest_rows_that_share_4000_bytes_sort(void **state)
{
    (void)state;
    struct test_random random = {test_seed("long key order")};
    static struct position a;
    static struct position b;
    static uint8_t key_a[CELLAR_KEY_BYTES_MAX];
    static uint8_t key_b[CELLAR_KEY_BYTES_MAX];
    for (int round = 0; round < LONG_ROUNDS; round++) {
        random_position(&random, &a);
        test_random_bytes(&random, a.row, sizeof a.row);
        memset(a.row, 0, test_random_below(&random, 4000));
        a.row_bytes = sizeof a.row;
        b = a;
        b.row_bytes = 4000 + test_random_below(&random, 97);
        size_t changed = 4000 + test_random_below(&random, 96);
        b.row[changed] = (uint8_t)test_random_below(&random, 3);
        check_order(&a, &b, key_a, key_b);
        check_order(&b, &a, key_b, key_a);
    }
}

static void a_row_stands_before_its_cells_and_they_before_longer_rows(void **state)
{
    (void)state;
    uint8_t row[8];
    uint8_t cell[64];
    uint8_t longer[8];
    size_t row_bytes = (size_t)(cellar_key_put_escaped(row, BYTES("k")) - row);
    uint8_t *at = cellar_key_put_escaped(cell, BYTES("k"));
    at = cellar_key_put_family(at, BYTES("zz"), UINT32_MAX);
    at = cellar_key_put_escaped(at, BYTES("\xff\xff"));
    size_t cell_bytes = (size_t)(cellar_key_put_timestamp(at, 0) - cell);
    size_t longer_bytes = (size_t)(cellar_key_put_escaped(longer, BYTES("k\0")) - longer);
    assert_true(cellar_slice_has_prefix(cellar_slice_make(cell, cell_bytes),
                                        cellar_slice_make(row, row_bytes)));
    assert_true(cellar_slice_compare(cellar_slice_make(cell, cell_bytes),
                                     cellar_slice_make(longer, longer_bytes)) < 0);
}

static void a_position_has_the_documented_bytes(void **state)
{
    (void)state;
    static const uint8_t expected[] = {'r',  0,    0xFF, 0,    1,    'f',  'a',  'm',
                                       0,    0,    0,    0,    7,    'q',  0,    1,
                                       0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE};
    uint8_t key[64];
    uint8_t *at = cellar_key_put_escaped(key, BYTES("r\0"));
    at = cellar_key_put_family(at, BYTES("fam"), 7);
    at = cellar_key_put_escaped(at, BYTES("q"));
    at = cellar_key_put_timestamp(at, 1);
    assert_int_equal(at - key, sizeof expected);
    assert_memory_equal(key, expected, sizeof expected);
}

static void r_key_01_r_key_04_any_bytes_come_back_from_the_escape(void **state)
{
    (void)state;
    struct test_random random = {test_seed("escape")};
    uint8_t plain[70];
    uint8_t escaped[2 * sizeof plain + 2];
    uint8_t back[sizeof escaped];
    for (int round = 0; round < 2000; round++) {
        size_t bytes = random_part(&random, plain, sizeof plain);
        uint8_t *end = cellar_key_put_escaped(escaped, cellar_slice_make(plain, bytes));
        struct cellar_slice part = cellar_slice_make(escaped, (size_t)(end - escaped));
        assert_int_equal(cellar_key_escaped_span(part), part.bytes);
        assert_int_equal(cellar_key_unescape(part, back), bytes);
        assert_memory_equal(back, plain, bytes);
    }
}

static void r_key_04_the_longest_qualifier_of_zeros_fits_the_room(void **state)
{
    (void)state;
    static uint8_t zeros[CELLAR_QUALIFIER_BYTES_MAX];
    static uint8_t escaped[CELLAR_KEY_QUALIFIER_BYTES_MAX];
    struct cellar_slice qualifier = cellar_slice_make(zeros, sizeof zeros);
    assert_int_equal(cellar_key_escaped_bytes(qualifier), sizeof escaped);
    assert_ptr_equal(cellar_key_put_escaped(escaped, qualifier), escaped + sizeof escaped);
}

static void an_empty_part_is_only_its_end(void **state)
{
    (void)state;
    uint8_t key[2];
    struct cellar_slice nothing = {NULL, 0};
    assert_int_equal(cellar_key_escaped_bytes(nothing), 2);
    assert_ptr_equal(cellar_key_put_escaped(key, nothing), key + 2);
    assert_int_equal(cellar_key_escaped_span(cellar_slice_make(key, 2)), 2);
    assert_int_equal(cellar_key_unescape(cellar_slice_make(key, 2), key), 0);
}

static void the_end_of_a_part_is_found_before_what_follows(void **state)
{
    (void)state;
    assert_int_equal(cellar_key_escaped_span(BYTES("a\0\1more\0\1")), 3);
    assert_int_equal(cellar_key_escaped_span(BYTES("\0\xff\0\1\0\1")), 4);
}

static void a_part_without_its_end_is_damage(void **state)
{
    (void)state;
    const struct cellar_slice damaged[] = {{NULL, 0},       BYTES("a"),       BYTES("abc\0"),
                                           BYTES("\0"),     BYTES("\0\2\1"),  BYTES("a\0\0\1"),
                                           BYTES("\0\xff"), BYTES("\0\xff\0")};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(damaged); index++) {
        assert_int_equal(cellar_key_escaped_span(damaged[index]), 0);
    }
}

/* What stands behind a row: family, qualifier, timestamp. Returns its length. */
static size_t rest_encode(uint8_t *to, struct cellar_slice family, struct cellar_slice qualifier)
{
    uint8_t *at = cellar_key_put_family(to, family, 0x01020304);
    at = cellar_key_put_escaped(at, qualifier);
    return (size_t)(cellar_key_put_timestamp(at, 5000) - to);
}

static void a_position_splits_into_the_parts_it_was_made_of(void **state)
{
    (void)state;
    uint8_t rest[64];
    size_t bytes = rest_encode(rest, BYTES("fam"), BYTES("q\0\xff"));
    struct cellar_slice family;
    struct cellar_slice qualifier;
    uint32_t generation;
    int64_t timestamp_us;
    assert_true(cellar_key_split(cellar_slice_make(rest, bytes), &family, &generation, &qualifier,
                                 &timestamp_us));
    assert_true(cellar_slice_equal(family, BYTES("fam")));
    assert_int_equal(generation, 0x01020304);
    assert_true(cellar_slice_equal(qualifier, BYTES("q\0\xff\xff\0\1")));
    assert_int_equal(timestamp_us, 5000);
}

static bool splits(struct cellar_slice rest)
{
    struct cellar_slice family = {NULL, 12345};
    struct cellar_slice qualifier;
    uint32_t generation;
    int64_t timestamp_us;
    bool is_split = cellar_key_split(rest, &family, &generation, &qualifier, &timestamp_us);
    assert_true(is_split || family.bytes == 12345);
    return is_split;
}

static void every_cut_of_a_position_is_refused(void **state)
{
    (void)state;
    uint8_t rest[64];
    size_t bytes = rest_encode(rest, BYTES("fam"), BYTES("q\0"));
    assert_true(splits(cellar_slice_make(rest, bytes)));
    for (size_t cut = 0; cut < bytes; cut++) {
        assert_false(splits(cellar_slice_make(rest, cut)));
    }
    rest[bytes] = 0;
    assert_false(splits(cellar_slice_make(rest, bytes + 1)));
}

static void a_damaged_position_is_refused(void **state)
{
    (void)state;
    static uint8_t rest[CELLAR_KEY_BYTES_MAX];
    static uint8_t long_name[CELLAR_FAMILY_BYTES_MAX + 1];
    static uint8_t long_qualifier[CELLAR_QUALIFIER_BYTES_MAX + 1];
    size_t bytes = rest_encode(rest, BYTES("f"), BYTES("q"));
    rest[bytes - 8] &= 0x7F;
    assert_false(splits(cellar_slice_make(rest, bytes)));

    bytes = rest_encode(rest, BYTES("f"), BYTES("q"));
    assert_true(splits(cellar_slice_make(rest, bytes)));
    assert_false(splits(cellar_slice_make(rest + 1, bytes - 1)));

    memset(long_name, 'f', sizeof long_name);
    memset(long_qualifier, 'q', sizeof long_qualifier);
    memcpy(rest, long_name, sizeof long_name);
    bytes = rest_encode(rest + 1, cellar_slice_make(long_name, CELLAR_FAMILY_BYTES_MAX), BYTES(""));
    assert_true(splits(cellar_slice_make(rest + 1, bytes)));
    assert_false(splits(cellar_slice_make(rest, bytes + 1)));

    bytes = rest_encode(rest, BYTES("f"),
                        cellar_slice_make(long_qualifier, CELLAR_QUALIFIER_BYTES_MAX));
    assert_true(splits(cellar_slice_make(rest, bytes)));
    memset(long_qualifier, 0, sizeof long_qualifier);
    bytes = rest_encode(rest, BYTES("f"), cellar_slice_make(long_qualifier, sizeof long_qualifier));
    assert_false(splits(cellar_slice_make(rest, bytes)));
}

static void the_separator_is_the_shortest_prefix_that_is_greater(void **state)
{
    (void)state;
    static const struct {
        struct cellar_slice before;
        struct cellar_slice next;
        size_t bytes;
    } cases[] = {
        {{NULL, 0}, {(const uint8_t *)"abc", 3}, 1},
        {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"abc", 3}, 3},
        {{(const uint8_t *)"abx", 3}, {(const uint8_t *)"b", 1}, 1},
        {{(const uint8_t *)"12345678a", 9}, {(const uint8_t *)"12345678b", 9}, 9},
        {{(const uint8_t *)"1234567aa", 9}, {(const uint8_t *)"1234567ba", 9}, 8},
        {{(const uint8_t *)"12345678", 8}, {(const uint8_t *)"12345678\0", 9}, 9},
        {{(const uint8_t *)"\x7f", 1}, {(const uint8_t *)"\x80\x80", 2}, 1},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        assert_int_equal(cellar_key_separator_bytes(cases[index].before, cases[index].next),
                         cases[index].bytes);
    }
}

static void what_passes_a_row_lies_behind_it_and_before_the_next(void **state)
{
    (void)state;
    const struct cellar_slice rows[] = {BYTES("a"),   BYTES("a\0"),   BYTES("a\0\1"),
                                        BYTES("a\1"), BYTES("a\xff"), BYTES("b")};
    uint8_t passed[64];
    uint8_t next[64];
    for (size_t i = 0; i + 1 < CELLAR_ARRAY_COUNT(rows); i++) {
        size_t bytes = (size_t)(cellar_key_put_escaped(passed, rows[i]) - passed);
        uint8_t cell[80];
        memcpy(cell, passed, bytes);
        memset(cell + bytes, 0xFF, 8); /* behind every cell of the row */
        cellar_key_pass_row(passed, bytes);
        size_t next_bytes = (size_t)(cellar_key_put_escaped(next, rows[i + 1]) - next);
        assert_true(cellar_slice_compare(cellar_slice_make(cell, bytes + 8),
                                         cellar_slice_make(passed, bytes)) < 0);
        assert_true(cellar_slice_compare(cellar_slice_make(passed, bytes),
                                         cellar_slice_make(next, next_bytes)) < 0);
    }
}

static void keys_need_no_memory(void **state)
{
    (void)state;
    uint8_t rest[64];
    (void)cellar_mem_fail_at(0);
    size_t bytes = rest_encode(rest, BYTES("fam"), BYTES("q\0"));
    assert_true(splits(cellar_slice_make(rest, bytes)));
    assert_false(cellar_mem_fail_at(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_row_10_encoded_keys_sort_as_their_cells_do),
        cmocka_unit_test(r_row_10_r_key_01_longest_rows_that_share_4000_bytes_sort),
        cmocka_unit_test(a_row_stands_before_its_cells_and_they_before_longer_rows),
        cmocka_unit_test(a_position_has_the_documented_bytes),
        cmocka_unit_test(r_key_01_r_key_04_any_bytes_come_back_from_the_escape),
        cmocka_unit_test(r_key_04_the_longest_qualifier_of_zeros_fits_the_room),
        cmocka_unit_test(an_empty_part_is_only_its_end),
        cmocka_unit_test(the_end_of_a_part_is_found_before_what_follows),
        cmocka_unit_test(a_part_without_its_end_is_damage),
        cmocka_unit_test(a_position_splits_into_the_parts_it_was_made_of),
        cmocka_unit_test(every_cut_of_a_position_is_refused),
        cmocka_unit_test(a_damaged_position_is_refused),
        cmocka_unit_test(the_separator_is_the_shortest_prefix_that_is_greater),
        cmocka_unit_test(what_passes_a_row_lies_behind_it_and_before_the_next),
        cmocka_unit_test(keys_need_no_memory),
    };
    return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
