/*
 * rowset: keys and ranges become sorted disjoint ranges. The random test builds row sets over a
 * small universe of keys and asks for each key whether it is in the result exactly when the rules,
 * applied to the request as it stands, say so.
 */
#include <string.h>

#include "common/mem.h"
#include "common/rowset.h"
#include "tests/support/support.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)
#define NONE cellar_slice_make(NULL, 0)
#define ROUNDS 4000
#define ELEMENTS_MAX 5
#define KEY_BYTES_MAX 3

/* One element of `ranges`; empty bounds are written as nil or as empty bytes. */
struct ask {
    struct cellar_slice start;
    bool start_is_closed;
    struct cellar_slice end;
    bool end_is_closed;
};

static void put_bound(struct cellar_buffer *to, struct cellar_slice key, bool is_closed)
{
    assert_int_equal(key.data == NULL ? cellar_wire_put_nil(to) : cellar_wire_put_bytes(to, key),
                     CELLAR_OK);
    assert_int_equal(cellar_wire_put_bool(to, is_closed), CELLAR_OK);
}

static void put_ranges(struct cellar_buffer *to, const struct ask *asks, uint32_t count)
{
    assert_int_equal(cellar_wire_put_array(to, count), CELLAR_OK);
    for (uint32_t index = 0; index < count; index++) {
        assert_int_equal(cellar_wire_put_array(to, 4), CELLAR_OK);
        put_bound(to, asks[index].start, asks[index].start_is_closed);
        put_bound(to, asks[index].end, asks[index].end_is_closed);
    }
}

static void put_keys(struct cellar_buffer *to, const struct cellar_slice *keys, uint32_t count)
{
    assert_int_equal(cellar_wire_put_array(to, count), CELLAR_OK);
    for (uint32_t index = 0; index < count; index++) {
        assert_int_equal(cellar_wire_put_bytes(to, keys[index]), CELLAR_OK);
    }
}

/* A request, its result and what they need. */
struct fixture {
    struct cellar_buffer keys;
    struct cellar_buffer ranges;
    struct cellar_arena arena;
    struct cellar_rowset set;
    struct cellar_error error;
};

static enum cellar_status decode(struct fixture *fixture)
{
    return cellar_rowset_decode(cellar_slice_of(&fixture->keys), cellar_slice_of(&fixture->ranges),
                                &fixture->arena, &fixture->set, &fixture->error);
}

static void fixture_fini(struct fixture *fixture)
{
    cellar_buffer_fini(&fixture->keys);
    cellar_buffer_fini(&fixture->ranges);
    cellar_arena_fini(&fixture->arena);
}

static void assert_range(const struct cellar_range *range, struct cellar_slice start,
                         struct cellar_slice end)
{
    assert_true(cellar_slice_equal(range->start, start));
    assert_true(cellar_slice_equal(range->end, end));
}

/* Decodes one range and returns the status; the result must be [start, end) on success. */
static enum cellar_status decode_range(struct ask ask, struct cellar_slice start,
                                       struct cellar_slice end)
{
    struct fixture fixture = {0};
    put_ranges(&fixture.ranges, &ask, 1);
    enum cellar_status status = decode(&fixture);
    if (status == CELLAR_OK) {
        assert_int_equal(fixture.set.count, 1);
        assert_range(&fixture.set.ranges[0], start, end);
    } else {
        assert_string_equal(fixture.error.text,
                            "Error in field 'row_ranges' : Error in element #0 : "
                            "start_key must be less than end_key");
    }
    fixture_fini(&fixture);
    return status;
}

static void r_row_01_without_keys_and_ranges_every_row_is_asked_for(void **state)
{
    (void)state;
    const struct cellar_slice fields[][2] = {{NONE, NONE},
                                             {BYTES("\x90"), NONE},
                                             {NONE, BYTES("\x90")},
                                             {BYTES("\x90"), BYTES("\xdc\0\0")}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(fields); index++) {
        struct cellar_arena arena = {0};
        struct cellar_rowset set = {0};
        assert_int_equal(
            cellar_rowset_decode(fields[index][0], fields[index][1], &arena, &set, NULL),
            CELLAR_OK);
        assert_int_equal(set.count, 1);
        assert_range(&set.ranges[0], NONE, NONE);
        cellar_arena_fini(&arena);
    }
}

static void r_row_02_keys_are_sorted_and_taken_once(void **state)
{
    (void)state;
    const struct cellar_slice keys[] = {BYTES("c"), BYTES("a"), BYTES("\xff"), BYTES("a"),
                                        BYTES("c")};
    struct fixture fixture = {0};
    put_keys(&fixture.keys, keys, CELLAR_ARRAY_COUNT(keys));
    assert_int_equal(decode(&fixture), CELLAR_OK);
    assert_int_equal(fixture.set.count, 3);
    assert_range(&fixture.set.ranges[0], BYTES("a"), BYTES("a\0"));
    assert_range(&fixture.set.ranges[1], BYTES("c"), BYTES("c\0"));
    assert_range(&fixture.set.ranges[2], BYTES("\xff"), BYTES("\xff\0"));
    fixture_fini(&fixture);
}

static void r_row_02_what_overlaps_or_touches_is_joined(void **state)
{
    (void)state;
    const struct ask asks[] = {
        {BYTES("m"), true, BYTES("p"), true},  {BYTES("a"), true, BYTES("c"), false},
        {BYTES("c"), true, BYTES("e"), false}, {BYTES("o"), false, BYTES("q"), false},
        {BYTES("b"), true, BYTES("b"), true},  {BYTES("x"), false, NONE, false},
        {BYTES("z"), true, BYTES("zz"), true}};
    const struct cellar_slice keys[] = {BYTES("e"), BYTES("x"), BYTES("zzz")};
    struct fixture fixture = {0};
    put_ranges(&fixture.ranges, asks, CELLAR_ARRAY_COUNT(asks));
    put_keys(&fixture.keys, keys, CELLAR_ARRAY_COUNT(keys));
    assert_int_equal(decode(&fixture), CELLAR_OK);
    assert_int_equal(fixture.set.count, 3);
    assert_range(&fixture.set.ranges[0], BYTES("a"), BYTES("e\0"));
    assert_range(&fixture.set.ranges[1], BYTES("m"), BYTES("q"));
    assert_range(&fixture.set.ranges[2], BYTES("x"), NONE);
    fixture_fini(&fixture);
}

static void r_rng_01_open_and_closed_bounds_give_four_ranges(void **state)
{
    (void)state;
    for (int sides = 0; sides < 4; sides++) {
        bool start_is_closed = (sides & 1) != 0;
        bool end_is_closed = (sides & 2) != 0;
        struct ask ask = {BYTES("a"), start_is_closed, BYTES("c"), end_is_closed};
        assert_int_equal(decode_range(ask, start_is_closed ? BYTES("a") : BYTES("a\0"),
                                      end_is_closed ? BYTES("c\0") : BYTES("c")),
                         CELLAR_OK);
    }
}

static void r_rng_02_nil_and_empty_bounds_are_none(void **state)
{
    (void)state;
    for (int sides = 0; sides < 4; sides++) {
        bool start_is_closed = (sides & 1) != 0;
        bool end_is_closed = (sides & 2) != 0;
        struct ask nils = {NONE, start_is_closed, NONE, end_is_closed};
        struct ask empties = {BYTES(""), start_is_closed, BYTES(""), end_is_closed};
        struct ask to_the_end = {BYTES("k"), true, BYTES(""), end_is_closed};
        assert_int_equal(decode_range(nils, NONE, NONE), CELLAR_OK);
        assert_int_equal(decode_range(empties, NONE, NONE), CELLAR_OK);
        assert_int_equal(decode_range(to_the_end, BYTES("k"), NONE), CELLAR_OK);
    }
}

static void r_rng_03_r_rng_05_empty_ranges_are_refused(void **state)
{
    (void)state;
    const struct ask refused[] = {
        {BYTES("b"), true, BYTES("a"), true},    {BYTES("b"), false, BYTES("a"), false},
        {BYTES("\x80"), true, BYTES("a"), true}, {BYTES("a\0"), true, BYTES("a"), true},
        {BYTES("a"), true, BYTES("a"), false},   {BYTES("a"), false, BYTES("a"), true},
        {BYTES("a"), false, BYTES("a"), false},  {BYTES("a"), false, BYTES("a\0"), false}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(refused); index++) {
        assert_int_equal(decode_range(refused[index], NONE, NONE), CELLAR_INVALID_ARGUMENT);
    }
}

static void r_rng_04_equal_closed_bounds_are_one_row(void **state)
{
    (void)state;
    struct ask row = {BYTES("k"), true, BYTES("k"), true};
    struct ask successor = {BYTES("k"), false, BYTES("k\0"), true};
    assert_int_equal(decode_range(row, BYTES("k"), BYTES("k\0")), CELLAR_OK);
    assert_int_equal(decode_range(successor, BYTES("k\0"), BYTES("k\0\0")), CELLAR_OK);
}

static void r_rng_03_the_refused_range_is_named_whatever_else_is_there(void **state)
{
    (void)state;
    const struct ask asks[] = {{NONE, true, NONE, true},
                               {BYTES("a"), true, BYTES("b"), true},
                               {BYTES("b"), true, BYTES("a"), true}};
    const struct cellar_slice keys[] = {BYTES("k")};
    struct fixture fixture = {0};
    put_ranges(&fixture.ranges, asks, CELLAR_ARRAY_COUNT(asks));
    put_keys(&fixture.keys, keys, CELLAR_ARRAY_COUNT(keys));
    assert_int_equal(decode(&fixture), CELLAR_INVALID_ARGUMENT);
    assert_string_equal(fixture.error.text, "Error in field 'row_ranges' : Error in element #2 : "
                                            "start_key must be less than end_key");
    fixture_fini(&fixture);
}

static void r_rng_08_bounds_of_4097_bytes_are_taken_and_no_longer_ones(void **state)
{
    (void)state;
    static uint8_t long_key[CELLAR_RANGE_BOUND_BYTES_MAX + 1];
    memset(long_key, 'k', sizeof long_key);
    for (size_t more = 0; more <= 1; more++) {
        for (int side = 0; side < 2; side++) {
            struct cellar_slice bound =
                cellar_slice_make(long_key, CELLAR_RANGE_BOUND_BYTES_MAX + more);
            struct ask ask = {side == 0 ? bound : NONE, true, side == 0 ? NONE : bound, true};
            struct fixture fixture = {0};
            put_ranges(&fixture.ranges, &ask, 1);
            assert_int_equal(decode(&fixture), more == 0 ? CELLAR_OK : CELLAR_INVALID_ARGUMENT);
            assert_true(more == 0 || strstr(fixture.error.text, "4097") != NULL);
            assert_true(more == 0 || strstr(fixture.error.text, "4098") != NULL);
            fixture_fini(&fixture);
        }
    }
}

static void r_key_02_r_key_03_keys_are_checked_as_rows(void **state)
{
    (void)state;
    static uint8_t long_key[CELLAR_ROW_BYTES_MAX + 1];
    struct cellar_slice keys[] = {BYTES("good"), cellar_slice_make(long_key, sizeof long_key)};
    struct fixture fixture = {0};
    put_keys(&fixture.keys, keys, 2);
    assert_int_equal(decode(&fixture), CELLAR_INVALID_ARGUMENT);
    assert_non_null(
        strstr(fixture.error.text, "Error in field 'row_keys' : Error in element #1 : "));
    assert_non_null(strstr(fixture.error.text, "4097"));

    cellar_buffer_clear(&fixture.keys);
    keys[1] = cellar_slice_make(long_key, CELLAR_ROW_BYTES_MAX);
    put_keys(&fixture.keys, keys, 2);
    assert_int_equal(decode(&fixture), CELLAR_OK);

    cellar_buffer_clear(&fixture.keys);
    keys[1] = NONE;
    put_keys(&fixture.keys, keys, 2);
    assert_int_equal(decode(&fixture), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(fixture.error.text, "Row keys must be non-empty"));
    fixture_fini(&fixture);
}

static void malformed_row_sets_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice keys[] = {
        BYTES("\xc0"),      BYTES("\x81\1\1"),   BYTES("\x91\1"),     BYTES("\x91\xc0"),
        BYTES("\x92\xa1k"), BYTES("\x91\xa1kk"), BYTES("\x91\x91\1"), BYTES("\x91")};
    const struct cellar_slice ranges[] = {BYTES("\xc4\1k"),
                                          BYTES("\x91\xc0"),
                                          BYTES("\x91\x90"),
                                          BYTES("\x91\x93\xc0\xc3\xc0"),
                                          BYTES("\x91\x95\xc0\xc3\xc0\xc3\xc3"),
                                          BYTES("\x91\x94\1\xc3\xc0\xc3"),
                                          BYTES("\x91\x94\xc0\1\xc0\xc3"),
                                          BYTES("\x91\x94\xc0\xc3\xc0\xc0"),
                                          BYTES("\x91\x94\xc0\xc3\xc0\xc3\xc3"),
                                          BYTES("\x91\x94\xc0\xc3\xa2k")};
    struct fixture fixture = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(keys); index++) {
        assert_int_equal(
            cellar_rowset_decode(keys[index], NONE, &fixture.arena, &fixture.set, &fixture.error),
            CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(fixture.error.text, "Error in field 'row_keys'"));
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(ranges); index++) {
        assert_int_equal(
            cellar_rowset_decode(NONE, ranges[index], &fixture.arena, &fixture.set, &fixture.error),
            CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(fixture.error.text, "Error in field 'row_ranges'"));
    }
    fixture_fini(&fixture);
}

static void more_elements_than_the_limit_are_refused(void **state)
{
    (void)state;
    static uint8_t keys[5 + CELLAR_ROWSET_COUNT_MAX + 1];
    struct fixture fixture = {0};
    (void)cellar_wire_raw_array(keys, CELLAR_ROWSET_COUNT_MAX + 1);
    assert_int_equal(cellar_rowset_decode(cellar_slice_make(keys, sizeof keys), NONE,
                                          &fixture.arena, &fixture.set, &fixture.error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(fixture.error.text, "1000001"));
    fixture_fini(&fixture);
}

static void r_rng_07_the_end_of_a_prefix_is_its_successor(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        size_t prefix_bytes;
        const char *end;
        size_t end_bytes;
    } cases[] = {{"", 0, "", 0},           {"a", 1, "b", 1},          {"a\0", 2, "a\1", 2},
                 {"a\xff", 2, "b", 1},     {"\xff", 1, "", 0},        {"\xff\xff", 2, "", 0},
                 {"a\xff\xff", 3, "b", 1}, {"\xfe\xff", 2, "\xff", 1}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        uint8_t end[8];
        struct cellar_slice prefix =
            cellar_slice_make(cases[index].prefix, cases[index].prefix_bytes);
        assert_int_equal(cellar_prefix_end(prefix, end), cases[index].end_bytes);
        assert_memory_equal(end, cases[index].end, cases[index].end_bytes);
    }
}

/* ---- Random row sets against the rules ---- */

struct request {
    uint8_t bytes[3 * ELEMENTS_MAX][KEY_BYTES_MAX];
    struct cellar_slice keys[ELEMENTS_MAX];
    struct ask asks[ELEMENTS_MAX];
    uint32_t key_count;
    uint32_t ask_count;
};

static struct cellar_slice random_key(struct test_random *random, uint8_t *to, size_t bytes_min)
{
    size_t bytes = bytes_min + test_random_below(random, KEY_BYTES_MAX + 1 - bytes_min);
    for (size_t index = 0; index < bytes; index++) {
        to[index] = (uint8_t[]){0x00, 0x61, 0xFF}[test_random_below(random, 3)];
    }
    return cellar_slice_make(to, bytes);
}

static void random_request(struct test_random *random, struct request *request)
{
    request->key_count = (uint32_t)test_random_below(random, ELEMENTS_MAX);
    request->ask_count = (uint32_t)test_random_below(random, ELEMENTS_MAX);
    for (uint32_t index = 0; index < request->key_count; index++) {
        request->keys[index] = random_key(random, request->bytes[index], 1);
    }
    for (uint32_t index = 0; index < request->ask_count; index++) {
        struct ask *ask = &request->asks[index];
        ask->start = random_key(random, request->bytes[ELEMENTS_MAX + 2 * index], 0);
        ask->end = random_key(random, request->bytes[ELEMENTS_MAX + 2 * index + 1], 0);
        ask->start_is_closed = test_random_below(random, 2) == 0;
        ask->end_is_closed = test_random_below(random, 2) == 0;
    }
}

/* True when R-RNG-03 or R-RNG-05 refuses the range. */
static bool is_refused(const struct ask *ask)
{
    if (ask->start.bytes == 0 || ask->end.bytes == 0) {
        return false;
    }
    int order = cellar_slice_compare(ask->start, ask->end);
    bool is_successor = ask->end.bytes == ask->start.bytes + 1 &&
                        cellar_slice_has_prefix(ask->end, ask->start) &&
                        ask->end.data[ask->start.bytes] == 0;
    return order > 0 || (order == 0 && !(ask->start_is_closed && ask->end_is_closed)) ||
           (is_successor && !ask->start_is_closed && !ask->end_is_closed);
}

static bool range_has(const struct ask *ask, struct cellar_slice key)
{
    int from_start = cellar_slice_compare(key, ask->start);
    int from_end = cellar_slice_compare(key, ask->end);
    return (ask->start.bytes == 0 || from_start > 0 || (from_start == 0 && ask->start_is_closed)) &&
           (ask->end.bytes == 0 || from_end < 0 || (from_end == 0 && ask->end_is_closed));
}

static bool request_has(const struct request *request, struct cellar_slice key)
{
    bool has = request->key_count + request->ask_count == 0;
    for (uint32_t index = 0; index < request->key_count; index++) {
        has = has || cellar_slice_equal(request->keys[index], key);
    }
    for (uint32_t index = 0; index < request->ask_count; index++) {
        has = has || range_has(&request->asks[index], key);
    }
    return has;
}

static bool set_has(const struct cellar_rowset *set, struct cellar_slice key)
{
    size_t found = 0;
    for (size_t index = 0; index < set->count; index++) {
        const struct cellar_range *range = &set->ranges[index];
        found += cellar_slice_compare(range->start, key) <= 0 &&
                 (range->end.bytes == 0 || cellar_slice_compare(key, range->end) < 0);
        assert_true(range->end.bytes == 0 || cellar_slice_compare(range->start, range->end) < 0);
        if (index > 0) {
            assert_true(set->ranges[index - 1].end.bytes > 0);
            assert_true(cellar_slice_compare(set->ranges[index - 1].end, range->start) < 0);
        }
    }
    assert_true(found <= 1);
    return found == 1;
}

static void check_universe(const struct request *request, const struct cellar_rowset *set)
{
    static const uint8_t letters[] = {0x00, 0x01, 0x61, 0x62, 0xFF};
    size_t last = CELLAR_ARRAY_COUNT(letters);
    for (size_t code = 0; code < last * last * last * last; code++) {
        uint8_t key[4] = {letters[code % last], letters[code / last % last],
                          letters[code / last / last % last], letters[code / last / last / last]};
        struct cellar_slice slice = cellar_slice_make(key, 1 + code % 4);
        assert_int_equal(set_has(set, slice), request_has(request, slice));
    }
}

static void r_row_02_r_rng_06_the_result_holds_exactly_what_was_asked_for(void **state)
{
    (void)state;
    struct test_random random = {test_seed("row sets")};
    struct request request;
    struct fixture fixture = {0};
    for (int round = 0; round < ROUNDS; round++) {
        random_request(&random, &request);
        cellar_buffer_clear(&fixture.keys);
        cellar_buffer_clear(&fixture.ranges);
        cellar_arena_reset(&fixture.arena);
        put_keys(&fixture.keys, request.keys, request.key_count);
        put_ranges(&fixture.ranges, request.asks, request.ask_count);
        bool expects_refusal = false;
        for (uint32_t index = 0; index < request.ask_count; index++) {
            expects_refusal = expects_refusal || is_refused(&request.asks[index]);
        }
        assert_int_equal(decode(&fixture), expects_refusal ? CELLAR_INVALID_ARGUMENT : CELLAR_OK);
        if (!expects_refusal) {
            check_universe(&request, &fixture.set);
        }
    }
    fixture_fini(&fixture);
}

/* Decodes a set that needs many blocks of the arena, for its keys and for its ranges. */
static enum cellar_status decode_large(void *context)
{
    static const uint8_t zeros[CELLAR_ROW_BYTES_MAX];
    struct fixture *fixture = context;
    struct cellar_slice keys[20];
    struct ask asks[20];
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(asks); index++) {
        keys[index] = cellar_slice_make(zeros, 3000 + index);
        asks[index] = (struct ask){cellar_slice_make(zeros, 1000 + index), false,
                                   cellar_slice_make(zeros, 4000 + index), true};
    }
    if (fixture->keys.bytes == 0) {
        put_keys(&fixture->keys, keys, CELLAR_ARRAY_COUNT(keys));
        put_ranges(&fixture->ranges, asks, CELLAR_ARRAY_COUNT(asks));
    }
    enum cellar_status status = decode(fixture);
    assert_true(status == CELLAR_OK || fixture->error.code == CELLAR_NO_MEMORY);
    cellar_arena_fini(&fixture->arena);
    fixture->arena = (struct cellar_arena){0};
    return status;
}

static void without_memory_a_row_set_is_refused(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    assert_int_equal(decode_large(&fixture), CELLAR_OK);
    assert_true(test_out_of_memory_loop(decode_large, &fixture) >= 4);
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_row_01_without_keys_and_ranges_every_row_is_asked_for),
        cmocka_unit_test(r_row_02_keys_are_sorted_and_taken_once),
        cmocka_unit_test(r_row_02_what_overlaps_or_touches_is_joined),
        cmocka_unit_test(r_rng_01_open_and_closed_bounds_give_four_ranges),
        cmocka_unit_test(r_rng_02_nil_and_empty_bounds_are_none),
        cmocka_unit_test(r_rng_03_r_rng_05_empty_ranges_are_refused),
        cmocka_unit_test(r_rng_04_equal_closed_bounds_are_one_row),
        cmocka_unit_test(r_rng_03_the_refused_range_is_named_whatever_else_is_there),
        cmocka_unit_test(r_rng_08_bounds_of_4097_bytes_are_taken_and_no_longer_ones),
        cmocka_unit_test(r_key_02_r_key_03_keys_are_checked_as_rows),
        cmocka_unit_test(malformed_row_sets_are_refused),
        cmocka_unit_test(more_elements_than_the_limit_are_refused),
        cmocka_unit_test(r_rng_07_the_end_of_a_prefix_is_its_successor),
        cmocka_unit_test(r_row_02_r_rng_06_the_result_holds_exactly_what_was_asked_for),
        cmocka_unit_test(without_memory_a_row_set_is_refused),
    };
    return cmocka_run_group_tests_name("rowset", tests, NULL, NULL);
}
