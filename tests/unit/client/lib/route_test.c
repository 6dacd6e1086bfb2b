/*
 * route: the cache against a plain model, which knows the place of each of a few hundred rows, and
 * what becomes of it when there is no room or no memory.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/lib/route.h"

#define TABLES 3u
#define KEYS 40u /* of one byte each, 'A' and up; the empty key comes before them */
#define UNKNOWN UINT32_MAX
#define TEXT(text) cellar_slice_text(text)

static const struct cellar_route_limits wide = {.count_max = 1000, .bytes_max = 1u << 20};
static const char *const tables[TABLES] = {"a", "ab", "b"};

/* The place of each key of each table; key 0 is the empty one. */
struct model {
    uint32_t places[TABLES][KEYS + 1];
};

static void model_clear(struct model *model)
{
    memset(model, 0xff, sizeof *model);
}

static const uint8_t *key_bytes(void)
{
    static uint8_t bytes[KEYS];
    for (uint32_t index = 0; index < KEYS; index++) {
        bytes[index] = (uint8_t)('A' + index);
    }
    return bytes;
}

/* The key of a number; 0 is empty. */
static struct cellar_slice key_of(uint32_t number)
{
    return number == 0 ? cellar_slice_make(NULL, 0)
                       : cellar_slice_make(key_bytes() + number - 1, 1);
}

/* Learns that [start, end) is at a place; an end of 0 is the table's end. */
static void learn(struct cellar_routes *routes, struct model *model, uint32_t table, uint32_t start,
                  uint32_t end, uint32_t place)
{
    const struct cellar_route route = {
        .table = TEXT(tables[table]), .start = key_of(start), .end = key_of(end), .place = place};
    assert_int_equal(cellar_routes_learn(routes, &route), CELLAR_OK);
    for (uint32_t key = start; key < (end == 0 ? KEYS + 1 : end); key++) {
        model->places[table][key] = place;
    }
}

/* Compares every row; a cache that may forget may know less. How many rows it knows. */
static uint32_t compare(struct cellar_routes *routes, const struct model *model, bool may_forget)
{
    uint32_t known_count = 0;
    for (uint32_t table = 0; table < TABLES; table++) {
        for (uint32_t key = 0; key <= KEYS; key++) {
            uint32_t place = UNKNOWN;
            bool is_known = cellar_routes_find(routes, TEXT(tables[table]), key_of(key), &place);
            known_count += is_known ? 1u : 0u;
            if ((is_known && place != model->places[table][key]) ||
                (!is_known && !may_forget && model->places[table][key] != UNKNOWN)) {
                fail_msg("table %s, key %u: place %u instead of %u", tables[table], key, place,
                         model->places[table][key]);
            }
        }
    }
    return known_count;
}

/* One random step: mostly a range is learnt, sometimes a place is lost. */
static void step(struct cellar_routes *routes, struct model *model, struct test_random *random)
{
    uint32_t place = (uint32_t)test_random_below(random, 5);
    if (test_random_below(random, 20) == 0) {
        cellar_routes_forget(routes, place);
        for (uint32_t at = 0; at < TABLES * (KEYS + 1); at++) {
            uint32_t *known = &model->places[at / (KEYS + 1)][at % (KEYS + 1)];
            *known = *known == place ? UNKNOWN : *known;
        }
        return;
    }
    uint32_t start = (uint32_t)test_random_below(random, KEYS + 1);
    uint32_t end = start + 1 + (uint32_t)test_random_below(random, KEYS - start + 1);
    learn(routes, model, (uint32_t)test_random_below(random, TABLES), start, end > KEYS ? 0 : end,
          place);
}

static void it_knows_what_the_model_knows(void **state)
{
    (void)state;
    struct test_random random = {test_seed("routes")};
    for (int run = 0; run < 20; run++) {
        struct cellar_routes routes;
        struct model model;
        model_clear(&model);
        assert_int_equal(cellar_routes_init(&routes, &wide), CELLAR_OK);
        for (int count = 0; count < 100; count++) {
            step(&routes, &model, &random);
            (void)compare(&routes, &model, false);
        }
        cellar_routes_fini(&routes);
    }
}

static void a_full_cache_knows_less_and_nothing_wrong(void **state)
{
    (void)state;
    struct test_random random = {test_seed("full routes")};
    static const struct cellar_route_limits limits[] = {{1, 1u << 20}, {7, 1u << 20}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(limits); index++) {
        struct cellar_routes routes;
        struct model model;
        model_clear(&model);
        assert_int_equal(cellar_routes_init(&routes, &limits[index]), CELLAR_OK);
        for (int count = 0; count < 500; count++) {
            step(&routes, &model, &random);
            learn(&routes, &model, 1, 7, 9, 3);
            assert_true(routes.count <= limits[index].count_max);
            assert_true(compare(&routes, &model, true) >= 2); /* what was learnt last */
        }
        cellar_routes_fini(&routes);
    }
}

static void bytes_are_bounded_as_entries_are(void **state)
{
    (void)state;
    static uint8_t start[4000];
    static uint8_t end[4000];
    static const struct cellar_route_limits limits = {.count_max = 100,
                                                      .bytes_max = CELLAR_ROUTE_BYTES_MAX};
    struct cellar_routes routes;
    uint32_t place;
    assert_int_equal(cellar_routes_init(&routes, &limits), CELLAR_OK);
    for (uint8_t count = 0; count < 50; count++) {
        start[0] = (uint8_t)(2 * count);
        end[0] = (uint8_t)(2 * count + 1);
        const struct cellar_route route = {.table = TEXT("t"),
                                           .start = cellar_slice_make(start, sizeof start),
                                           .end = cellar_slice_make(end, sizeof end),
                                           .place = count};
        assert_int_equal(cellar_routes_learn(&routes, &route), CELLAR_OK);
        assert_true(cellar_routes_find(&routes, route.table, route.start, &place));
        assert_int_equal(place, count);
        assert_true(routes.bytes <= limits.bytes_max);
    }
    assert_int_equal(routes.count, 2);
    cellar_routes_fini(&routes);
}

static void what_was_used_last_stays_longest(void **state)
{
    (void)state;
    static const struct cellar_route_limits three = {.count_max = 3, .bytes_max = 1u << 20};
    struct cellar_routes routes;
    struct model model;
    uint32_t place;
    model_clear(&model);
    assert_int_equal(cellar_routes_init(&routes, &three), CELLAR_OK);
    learn(&routes, &model, 0, 1, 2, 0);
    learn(&routes, &model, 0, 3, 4, 1);
    learn(&routes, &model, 0, 5, 6, 2);
    assert_true(cellar_routes_find(&routes, TEXT("a"), key_of(1), &place));
    learn(&routes, &model, 0, 7, 8, 3);
    assert_true(cellar_routes_find(&routes, TEXT("a"), key_of(1), &place));
    assert_false(cellar_routes_find(&routes, TEXT("a"), key_of(3), &place));
    assert_true(cellar_routes_find(&routes, TEXT("a"), key_of(5), &place));
    cellar_routes_fini(&routes);
}

static void a_range_in_the_middle_leaves_both_sides(void **state)
{
    (void)state;
    struct cellar_routes routes;
    struct model model;
    model_clear(&model);
    assert_int_equal(cellar_routes_init(&routes, &wide), CELLAR_OK);
    learn(&routes, &model, 0, 0, 0, 1);
    learn(&routes, &model, 0, 10, 20, 2);
    assert_int_equal(routes.count, 3);
    assert_int_equal(compare(&routes, &model, false), KEYS + 1);
    learn(&routes, &model, 0, 0, 0, 3);
    assert_int_equal(routes.count, 1);
    assert_int_equal(compare(&routes, &model, false), KEYS + 1);
    cellar_routes_fini(&routes);
}

/* Learns into a cache that knows something already; nothing may be lost for want of memory but what
 * the cache may forget. */
static enum cellar_status learn_twice(void *context)
{
    struct cellar_routes routes;
    const struct cellar_route whole = {.table = TEXT("a"), .place = 1};
    const struct cellar_route middle = {
        .table = TEXT("a"), .start = key_of(10), .end = key_of(20), .place = 2};
    uint32_t *known_count = context;
    uint32_t place;
    enum cellar_status status = cellar_routes_init(&routes, &wide);
    if (status != CELLAR_OK) {
        return status;
    }
    status = cellar_routes_learn(&routes, &whole);
    if (status == CELLAR_OK) {
        status = cellar_routes_learn(&routes, &middle);
        bool is_known = cellar_routes_find(&routes, TEXT("a"), key_of(10), &place);
        assert_true(is_known);
        assert_int_equal(place, status == CELLAR_OK ? 2 : 1);
        *known_count = routes.count;
    }
    cellar_routes_fini(&routes);
    return *known_count == 3 || status != CELLAR_OK ? status : CELLAR_NO_MEMORY;
}

static void without_memory_nothing_wrong_is_known(void **state)
{
    (void)state;
    uint32_t known_count = 0;
    assert_int_equal(test_out_of_memory_loop(learn_twice, &known_count), 5);
    assert_int_equal(known_count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_knows_what_the_model_knows),
        cmocka_unit_test(a_full_cache_knows_less_and_nothing_wrong),
        cmocka_unit_test(bytes_are_bounded_as_entries_are),
        cmocka_unit_test(what_was_used_last_stays_longest),
        cmocka_unit_test(a_range_in_the_middle_leaves_both_sides),
        cmocka_unit_test(without_memory_nothing_wrong_is_known),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
