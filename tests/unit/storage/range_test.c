/*
 * range: sets of key ranges, against a set of single keys; their bytes.
 */
#include "server/storage/range.h"
#include "tests/support/support.h"

#define KEY_COUNT 40u

/* Key i is the byte i, doubled: between two keys there are others. */
static struct cellar_slice key_of(size_t index)
{
    static uint8_t bytes[KEY_COUNT + 1][2];
    bytes[index][0] = (uint8_t)(index + 1);
    bytes[index][1] = (uint8_t)(index + 1);
    return cellar_slice_make(bytes[index], 2);
}

/* A range by indexes; `behind` beyond the last key is no bound, start 0 may be the empty key. */
static struct store_range range_of(size_t start, size_t behind)
{
    return (struct store_range){start == 0 ? cellar_slice_make(NULL, 0) : key_of(start),
                                behind > KEY_COUNT ? cellar_slice_make(NULL, 0) : key_of(behind)};
}

static void set_check(const struct store_range_set *set, const bool *model)
{
    size_t runs = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct store_range *found = store_range_set_find(set, key_of(i));
        assert_int_equal(found != NULL, model[i]);
        runs += model[i] && (i == 0 || !model[i - 1]);
    }
    assert_true(set->count >= runs);
    for (size_t i = 1; i < set->count; i++) {
        assert_true(cellar_slice_compare(set->ranges[i - 1].end, set->ranges[i].start) <= 0);
        assert_true(set->ranges[i - 1].end.bytes > 0);
    }
}

static void copy_check(const struct store_range_set *set, const bool *model)
{
    struct cellar_buffer bytes = {0};
    struct store_range_set copy = {0};
    assert_int_equal(store_range_set_encode(set, &bytes), CELLAR_OK);
    assert_int_equal(store_range_set_decode(&copy, cellar_slice_of(&bytes)), CELLAR_OK);
    assert_int_equal(copy.count, set->count);
    set_check(&copy, model);
    store_range_set_fini(&copy);
    cellar_buffer_fini(&bytes);
}

static void sets_hold_what_was_added_and_not_cut(void **state)
{
    (void)state;
    struct test_random random = {test_seed("range")};
    for (int life = 0; life < 50; life++) {
        struct store_range_set set = {0};
        bool model[KEY_COUNT] = {false};
        for (int step = 0; step < 60; step++) {
            size_t start = (size_t)test_random_below(&random, KEY_COUNT);
            size_t behind = start + 1 + (size_t)test_random_below(&random, 6);
            bool is_cut = test_random_below(&random, 3) == 0;
            behind = test_random_below(&random, 15) == 0 ? KEY_COUNT + 1
                                                         : CELLAR_MIN(behind, (size_t)KEY_COUNT);
            struct store_range range = range_of(start, behind);
            assert_int_equal(is_cut ? store_range_set_cut(&set, range)
                                    : store_range_set_add(&set, range),
                             CELLAR_OK);
            for (size_t i = start; i < behind && i < KEY_COUNT; i++) {
                model[i] = !is_cut;
            }
            set_check(&set, model);
            copy_check(&set, model);
        }
        store_range_set_fini(&set);
    }
}

static void neighbours_become_one(void **state)
{
    (void)state;
    struct store_range_set set = {0};
    assert_int_equal(store_range_set_add(&set, range_of(2, 4)), CELLAR_OK);
    assert_int_equal(store_range_set_add(&set, range_of(6, 8)), CELLAR_OK);
    assert_int_equal(set.count, 2);
    assert_int_equal(store_range_set_add(&set, range_of(4, 6)), CELLAR_OK);
    assert_int_equal(set.count, 1);
    assert_int_equal(store_range_set_add(&set, range_of(0, KEY_COUNT + 1)), CELLAR_OK);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.ranges[0].start.bytes, 0);
    assert_int_equal(set.ranges[0].end.bytes, 0);
    assert_int_equal(store_range_set_cut(&set, range_of(5, 6)), CELLAR_OK);
    assert_int_equal(set.count, 2);
    assert_int_equal(store_range_set_cut(&set, range_of(0, KEY_COUNT + 1)), CELLAR_OK);
    assert_int_equal(set.count, 0);
    store_range_set_fini(&set);
}

static void damaged_bytes_are_data_loss(void **state)
{
    (void)state;
    struct store_range_set set = {0};
    struct store_range_set read = {0};
    struct cellar_buffer bytes = {0};
    assert_int_equal(store_range_set_add(&set, range_of(2, 4)), CELLAR_OK);
    assert_int_equal(store_range_set_add(&set, range_of(6, 8)), CELLAR_OK);
    assert_int_equal(store_range_set_encode(&set, &bytes), CELLAR_OK);
    for (size_t i = 0; i < bytes.bytes; i++) {
        assert_int_equal(store_range_set_decode(&read, cellar_slice_make(bytes.data, i)),
                         CELLAR_DATA_LOSS);
        assert_int_equal(read.count, 0);
    }
    static const uint8_t wrong[][21] = {
        {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'b', 'a'},                  /* end first */
        {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'a', 'a'},                  /* empty */
        {2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, /* behind no end */
        {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},                         /* a byte more */
        {0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0},                /* a lie */
    };
    static const size_t sizes[] = {14, 14, 20, 13, 12};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        assert_int_equal(store_range_set_decode(&read, cellar_slice_make(wrong[i], sizes[i])),
                         CELLAR_DATA_LOSS);
    }
    cellar_buffer_fini(&bytes);
    store_range_set_fini(&set);
}

static enum cellar_status set_run(void *context)
{
    struct store_range_set set = {0};
    enum cellar_status status = CELLAR_OK;
    (void)context;
    for (size_t i = 0; i < 30 && status == CELLAR_OK; i += 3) {
        status = store_range_set_add(&set, range_of(i, i + 2));
    }
    status = status == CELLAR_OK ? store_range_set_cut(&set, range_of(5, 20)) : status;
    store_range_set_fini(&set);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(set_run, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_hold_what_was_added_and_not_cut),
        cmocka_unit_test(neighbours_become_one),
        cmocka_unit_test(damaged_bytes_are_data_loss),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
