/*
 * env_cursor: items of short and long keys in one order, forwards, backwards and by seeking,
 * against a sorted list that random puts and deletes change alike.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define MODEL_COUNT_MAX 4000u

/* One key with a number as its value. */
struct pair {
    uint8_t *key;
    size_t bytes;
    uint64_t value;
};

/* The sorted list. */
static struct {
    struct pair pairs[MODEL_COUNT_MAX];
    size_t count;
    struct test_random random;
} model;

static struct cellar_slice pair_key(size_t index)
{
    return cellar_slice_make(model.pairs[index].key, model.pairs[index].bytes);
}

/* The index of the first pair at or behind a key. */
static size_t model_seek(struct cellar_slice key)
{
    size_t low = 0;
    size_t high = model.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cellar_slice_compare(pair_key(middle), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool model_has(struct cellar_slice key, size_t *index)
{
    *index = model_seek(key);
    return *index < model.count && cellar_slice_equal(pair_key(*index), key);
}

static void model_put(struct cellar_slice key, uint64_t value)
{
    size_t index = 0;
    if (!model_has(key, &index)) {
        assert_true(model.count < MODEL_COUNT_MAX);
        memmove(&model.pairs[index + 1], &model.pairs[index],
                (model.count - index) * sizeof model.pairs[0]);
        model.count++;
        model.pairs[index] = (struct pair){malloc(key.bytes), key.bytes, 0};
        assert_non_null(model.pairs[index].key);
        memcpy(model.pairs[index].key, key.data, key.bytes);
    }
    model.pairs[index].value = value;
}

static void model_delete(size_t index)
{
    free(model.pairs[index].key);
    model.count--;
    memmove(&model.pairs[index], &model.pairs[index + 1],
            (model.count - index) * sizeof model.pairs[0]);
}

static void model_clear(void)
{
    while (model.count > 0) {
        model_delete(model.count - 1);
    }
}

/* A key that tests like: one of few beginnings that are shared up to the part's length or about it,
 * then few bytes more. */
static struct cellar_slice key_make(uint8_t *to)
{
    static const size_t shared[] = {0, 0, 0, 249, 250, 251, 252, 499, 500, 501, 502, 750, 1000};
    static const uint8_t fills[] = {0x00, 0x01, 0xFF, 'm'};
    struct test_random *random = &model.random;
    size_t bytes = shared[test_random_below(random, CELLAR_ARRAY_COUNT(shared))];
    if (test_random_below(random, 300) == 0) {
        bytes = (size_t)test_random_below(random, 41000);
    }
    memset(to, fills[test_random_below(random, sizeof fills)], bytes);
    if (bytes > 0 && test_random_below(random, 3) == 0) {
        to[test_random_below(random, bytes)] = fills[test_random_below(random, sizeof fills)];
    }
    size_t tail = test_random_below(random, 3) == 0 && bytes > 0
                      ? 0
                      : test_random_key(random, to + bytes, 500);
    return cellar_slice_make(to, bytes + tail);
}

static void cursor_check(const struct store_env_cursor *cursor, size_t index)
{
    assert_int_equal(cursor->is_valid, index < model.count);
    if (index < model.count) {
        assert_true(cellar_slice_equal(cellar_slice_of(&cursor->key), pair_key(index)));
        assert_int_equal(cursor->value.bytes, sizeof(uint64_t));
        assert_true(cellar_get_u64le(cursor->value.data) == model.pairs[index].value);
    }
}

static void forward_check(struct store_env_txn *txn)
{
    struct store_env_cursor cursor;
    store_env_cursor_init(&cursor, txn);
    assert_int_equal(store_env_cursor_seek(&cursor, cellar_slice_make(NULL, 0)), CELLAR_OK);
    for (size_t i = 0; i < model.count; i++) {
        cursor_check(&cursor, i);
        assert_int_equal(store_env_cursor_next(&cursor), CELLAR_OK);
    }
    assert_false(cursor.is_valid);
    store_env_cursor_fini(&cursor);
}

static void backward_check(struct store_env_txn *txn)
{
    struct store_env_cursor cursor;
    struct cellar_buffer key = {0};
    store_env_cursor_init(&cursor, txn);
    for (size_t i = model.count; i-- > 0;) {
        assert_int_equal(store_env_cursor_seek_before(&cursor, cellar_slice_of(&key)), CELLAR_OK);
        cursor_check(&cursor, i);
        cellar_buffer_clear(&key);
        assert_int_equal(cellar_buffer_append(&key, cursor.key.data, cursor.key.bytes), CELLAR_OK);
    }
    if (model.count > 0) {
        assert_int_equal(store_env_cursor_seek_before(&cursor, cellar_slice_of(&key)), CELLAR_OK);
        assert_false(cursor.is_valid);
    }
    cellar_buffer_fini(&key);
    store_env_cursor_fini(&cursor);
}

/* Seeks random keys, known and unknown, with one cursor, and takes some steps from there. */
static void seek_check(struct store_env_txn *txn, int rounds)
{
    static uint8_t room[STORE_ENV_KEY_BYTES_MAX];
    struct store_env_cursor cursor;
    store_env_cursor_init(&cursor, txn);
    for (int i = 0; i < rounds; i++) {
        struct cellar_slice key = key_make(room);
        if (i % 3 == 0 && model.count > 0) {
            key = pair_key((size_t)test_random_below(&model.random, model.count));
            key.bytes -= key.bytes > 1 && i % 2 == 0;
        }
        size_t index = model_seek(key);
        if (test_random_below(&model.random, 2) == 0) {
            assert_int_equal(store_env_cursor_seek_before(&cursor, key), CELLAR_OK);
            index = index == 0 ? model.count : index - 1;
        } else {
            assert_int_equal(store_env_cursor_seek(&cursor, key), CELLAR_OK);
        }
        cursor_check(&cursor, index);
        for (int step = 0; step < 3 && cursor.is_valid; step++) {
            assert_int_equal(store_env_cursor_next(&cursor), CELLAR_OK);
            cursor_check(&cursor, ++index);
        }
    }
    store_env_cursor_fini(&cursor);
}

static void model_check(struct store_env *env, int rounds)
{
    struct store_env_txn *txn = NULL;
    assert_int_equal(store_env_read_begin(env, &txn), CELLAR_OK);
    assert_int_equal(txn->state.item_count, model.count);
    forward_check(txn);
    backward_check(txn);
    seek_check(txn, rounds);
    store_env_read_end(txn);
    uint64_t count = 0;
    bool is_exact = false;
    assert_int_equal(test_env_walk(env, &count, &is_exact), CELLAR_OK);
    assert_true(is_exact);
}

/* One random change of both. */
static void change(struct store_env_txn *txn, uint64_t put_share)
{
    static uint8_t room[STORE_ENV_KEY_BYTES_MAX];
    static uint64_t number;
    uint8_t value[sizeof number];
    size_t index = 0;
    bool must_put = model.count == 0 || test_random_below(&model.random, 10) < put_share;
    if (must_put && model.count < MODEL_COUNT_MAX) {
        struct cellar_slice key = key_make(room);
        cellar_put_u64le(value, ++number);
        assert_int_equal(store_env_put(txn, key, cellar_slice_make(value, sizeof value)),
                         CELLAR_OK);
        model_put(key, number);
        return;
    }
    struct cellar_slice key = test_random_below(&model.random, 4) == 0
                                  ? key_make(room)
                                  : pair_key((size_t)test_random_below(&model.random, model.count));
    bool is_known = model_has(key, &index);
    assert_int_equal(store_env_delete(txn, key), is_known ? CELLAR_OK : CELLAR_NOT_FOUND);
    if (is_known) {
        model_delete(index);
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void empty_environment_has_no_item(void **state)
{
    (void)state;
    char parent[256];
    test_disk_fast(true);
    test_temp_dir(parent, sizeof parent);
    model_clear();
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    model_check(env, 20);
    store_env_close(env);
    test_remove_tree(parent);
}

static void keys_that_share_a_part_stand_in_order(void **state)
{
    (void)state;
    char parent[256];
    static const size_t lengths[] = {1, 249, 250, 251, 252, 253, 499, 500, 501, 502, 503, 750, 751};
    static const uint8_t fills[] = {0x00, 0x01, 0x02, 0xFF};
    static uint8_t key[1000];
    struct store_env_txn txn;
    test_disk_fast(true);
    test_temp_dir(parent, sizeof parent);
    model_clear();
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    for (size_t fill = 0; fill < sizeof fills; fill++) {
        for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lengths); i++) {
            for (size_t last = 0; last < sizeof fills; last++) {
                uint8_t value[8];
                memset(key, fills[fill], sizeof key);
                key[lengths[i] - 1] = fills[last];
                cellar_put_u64le(value, fill * 1000 + i * 10 + last);
                struct cellar_slice slice = cellar_slice_make(key, lengths[i]);
                model_put(slice, fill * 1000 + i * 10 + last);
                assert_int_equal(store_env_put(&txn, slice, cellar_slice_make(value, 8)),
                                 CELLAR_OK);
            }
        }
    }
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    model_check(env, 500);
    model_clear();
    store_env_close(env);
    test_remove_tree(parent);
}

static void random_changes_keep_order_count_and_sum(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn txn;
    model.random.state = test_seed("env_cursor");
    test_disk_fast(true);
    test_temp_dir(parent, sizeof parent);
    model_clear();
    struct store_env *env = test_env_make(parent, UINT64_C(256) << 20);
    for (int round = 0; round < 48; round++) {
        /* Grows, shrinks to little, grows again. */
        uint64_t put_share = round % 8 < 4 ? 8 : (round % 8 == 7 ? 0 : 2);
        assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
        uint64_t changes = round % 8 == 7 ? model.count : test_random_below(&model.random, 300);
        for (uint64_t i = 0; i < changes; i++) {
            change(&txn, put_share);
        }
        forward_check(&txn);
        seek_check(&txn, 20);
        assert_int_equal(store_env_commit(&txn), CELLAR_OK);
        model_check(env, 100);
        if (round % 5 == 0) {
            store_env_park(env);
        }
    }
    model_clear();
    store_env_close(env);
    test_remove_tree(parent);
}

static enum cellar_status read_run(void *context)
{
    struct store_env *env = context;
    struct store_env_txn *txn = NULL;
    struct store_env_cursor cursor;
    CELLAR_TRY(store_env_read_begin(env, &txn));
    store_env_cursor_init(&cursor, txn);
    enum cellar_status status = store_env_cursor_seek(&cursor, cellar_slice_make(NULL, 0));
    while (status == CELLAR_OK && cursor.is_valid) {
        status = store_env_cursor_next(&cursor);
    }
    if (status == CELLAR_OK) {
        status = store_env_cursor_seek_before(&cursor, cellar_slice_text("zz"));
    }
    store_env_cursor_fini(&cursor);
    store_env_read_end(txn);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    char parent[256];
    static uint8_t key[5000];
    test_disk_fast(true);
    test_temp_dir(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    for (size_t bytes = 1; bytes < sizeof key; bytes += 900) {
        memset(key, 'k', sizeof key);
        assert_int_equal(test_env_put(env, cellar_slice_make(key, bytes), cellar_slice_text("v")),
                         CELLAR_OK);
    }
    assert_true(test_out_of_memory_loop(read_run, env) >= 1);
    store_env_close(env);
    test_remove_tree(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_environment_has_no_item),
        cmocka_unit_test(keys_that_share_a_part_stand_in_order),
        cmocka_unit_test(random_changes_keep_order_count_and_sum),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
