/*
 * env_txn: puts and deletes under keys of any length, the exact count and checksum sum, the sticky
 * status, a full map and a failing disk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

static void directory_make(char *path, size_t bytes)
{
    test_disk_fast(true);
    test_temp_dir(path, bytes);
}

static void env_end(struct store_env *env, const char *parent)
{
    store_env_close(env);
    test_remove_tree(parent);
}

/* Fails unless the environment holds `count` items and its state says so. */
static void count_check(struct store_env *env, uint64_t count)
{
    uint64_t found = 0;
    bool is_exact = false;
    assert_int_equal(test_env_walk(env, &found, &is_exact), CELLAR_OK);
    assert_int_equal(found, count);
    assert_true(is_exact);
}

static void value_check(struct store_env *env, struct cellar_slice key, struct cellar_slice value)
{
    struct cellar_buffer found = {0};
    assert_int_equal(test_env_get(env, key, &found), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&found), value));
    cellar_buffer_fini(&found);
}

/* ---- puts and deletes ------------------------------------------------------------------------ */

static void values_are_kept_replaced_and_removed(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn txn;
    struct cellar_slice key = cellar_slice_text("key");
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    assert_int_equal(test_env_put(env, key, cellar_slice_text("one")), CELLAR_OK);
    value_check(env, key, cellar_slice_text("one"));
    count_check(env, 1);
    assert_int_equal(test_env_put(env, key, cellar_slice_text("another")), CELLAR_OK);
    value_check(env, key, cellar_slice_text("another"));
    count_check(env, 1);
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    assert_int_equal(store_env_delete(&txn, cellar_slice_text("ke")), CELLAR_NOT_FOUND);
    assert_int_equal(store_env_delete(&txn, cellar_slice_text("keys")), CELLAR_NOT_FOUND);
    assert_int_equal(store_env_delete(&txn, key), CELLAR_OK);
    assert_int_equal(store_env_delete(&txn, key), CELLAR_NOT_FOUND); /* does not stick */
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    count_check(env, 0);
    env_end(env, parent);
}

static void values_of_all_sizes_are_kept(void **state)
{
    (void)state;
    char parent[256];
    static const size_t sizes[] = {0, 1, 3, 4, 950, 2000, 2033, 4096, 100000, 1048576};
    uint8_t *value = calloc(1, 1048576);
    assert_non_null(value);
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        struct cellar_slice slice = cellar_slice_make(sizes[i] == 0 ? NULL : value, sizes[i]);
        memset(value, (int)i + 1, sizes[i]);
        assert_int_equal(test_env_put(env, cellar_slice_text("k"), slice), CELLAR_OK);
        value_check(env, cellar_slice_text("k"), slice);
        count_check(env, 1);
    }
    free(value);
    env_end(env, parent);
}

static void keys_around_the_part_length_are_kept_apart(void **state)
{
    (void)state;
    char parent[256];
    static const size_t lengths[] = {1,    248,   249,   250,   251,   252,  498,  499,
                                     500,  501,   502,   749,   750,   751,  4096, 8194,
                                     9999, 10000, 10001, 41000, 41599, 41600};
    static uint8_t key[STORE_ENV_KEY_BYTES_MAX];
    struct store_env_txn txn;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    memset(key, 0x01, sizeof key); /* the mark's own byte */
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lengths); i++) {
        assert_int_equal(store_env_put(&txn, cellar_slice_make(key, lengths[i]),
                                       cellar_slice_make(&lengths[i], sizeof lengths[i])),
                         CELLAR_OK);
    }
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    count_check(env, CELLAR_ARRAY_COUNT(lengths));
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lengths); i++) {
        value_check(env, cellar_slice_make(key, lengths[i]),
                    cellar_slice_make(&lengths[i], sizeof lengths[i]));
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lengths); i++) { /* each goes alone */
        assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
        assert_int_equal(store_env_delete(&txn, cellar_slice_make(key, lengths[i])), CELLAR_OK);
        assert_int_equal(store_env_commit(&txn), CELLAR_OK);
        count_check(env, CELLAR_ARRAY_COUNT(lengths) - 1 - i);
    }
    env_end(env, parent);
}

static void layer_ids_are_never_given_out_twice(void **state)
{
    (void)state;
    char parent[256];
    uint8_t key[600];
    uint64_t layers = 0;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    memset(key, 'k', sizeof key);
    for (int i = 0; i < 5; i++) {
        struct store_env_txn txn;
        assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
        assert_true(txn.state.layer_next > layers);
        layers = txn.state.layer_next;
        assert_int_equal(
            store_env_put(&txn, cellar_slice_make(key, sizeof key), cellar_slice_text("v")),
            CELLAR_OK);
        assert_int_equal(txn.state.layer_next, layers + 2);
        layers++;
        assert_int_equal(store_env_delete(&txn, cellar_slice_make(key, sizeof key)), CELLAR_OK);
        assert_int_equal(store_env_delete(&txn, cellar_slice_make(key, sizeof key)),
                         CELLAR_NOT_FOUND);
        assert_int_equal(store_env_commit(&txn), CELLAR_OK);
        count_check(env, 0);
    }
    env_end(env, parent);
}

static void aborted_transaction_leaves_nothing(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn txn;
    uint8_t key[600];
    memset(key, 'k', sizeof key);
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    assert_int_equal(test_env_put(env, cellar_slice_text("a"), cellar_slice_text("1")), CELLAR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
        (void)store_env_put(&txn, cellar_slice_make(key, sizeof key), cellar_slice_text("v"));
        (void)store_env_put(&txn, cellar_slice_text("a"), cellar_slice_text("2"));
        store_env_abort(&txn);
        count_check(env, 1);
        value_check(env, cellar_slice_text("a"), cellar_slice_text("1"));
    }
    env_end(env, parent);
}

static void cursor_of_a_write_transaction_sees_its_writes(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn txn;
    struct store_env_cursor cursor;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    store_env_cursor_init(&cursor, &txn);
    for (unsigned i = 0; i < 500; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%03u", i);
        assert_int_equal(store_env_put(&txn, cellar_slice_text(key), cellar_slice_text("v")),
                         CELLAR_OK);
        assert_int_equal(store_env_cursor_seek(&cursor, cellar_slice_text(key)), CELLAR_OK);
        assert_true(cursor.is_valid);
        assert_true(cellar_slice_equal(cellar_slice_of(&cursor.key), cellar_slice_text(key)));
        if (i % 3 == 0) {
            assert_int_equal(store_env_delete(&txn, cellar_slice_text(key)), CELLAR_OK);
        }
    }
    store_env_cursor_fini(&cursor);
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    count_check(env, 333);
    env_end(env, parent);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void full_map_is_told_and_the_state_before_stays(void **state)
{
    (void)state;
    char parent[256];
    static const uint8_t value[3000];
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, 1u << 20);
    assert_int_equal(test_env_put(env, cellar_slice_text("a"), cellar_slice_text("1")), CELLAR_OK);
    struct store_env_txn txn;
    enum cellar_status status = CELLAR_OK;
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    for (unsigned i = 0; i < 1000 && status == CELLAR_OK; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%03u", i);
        status =
            store_env_put(&txn, cellar_slice_text(key), cellar_slice_make(value, sizeof value));
    }
    assert_int_equal(status, CELLAR_RESOURCE_EXHAUSTED);
    /* The first failure stays, later calls do nothing. */
    assert_int_equal(store_env_put(&txn, cellar_slice_text("b"), cellar_slice_text("2")),
                     CELLAR_RESOURCE_EXHAUSTED);
    assert_int_equal(store_env_delete(&txn, cellar_slice_text("a")), CELLAR_RESOURCE_EXHAUSTED);
    assert_int_equal(store_env_commit(&txn), CELLAR_RESOURCE_EXHAUSTED);
    count_check(env, 1);
    value_check(env, cellar_slice_text("a"), cellar_slice_text("1"));
    assert_int_equal(test_env_put(env, cellar_slice_text("b"), cellar_slice_text("2")), CELLAR_OK);
    count_check(env, 2);
    env_end(env, parent);
}

static void map_that_fills_up_bit_by_bit_stays_readable(void **state)
{
    (void)state;
    char parent[256];
    static const uint8_t value[900];
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, 1u << 20);
    uint64_t count = 0;
    enum cellar_status status = CELLAR_OK;
    while (status == CELLAR_OK && count < 5000) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%05u", (unsigned)count);
        status = test_env_put(env, cellar_slice_text(key), cellar_slice_make(value, sizeof value));
        count += status == CELLAR_OK;
    }
    assert_int_equal(status, CELLAR_RESOURCE_EXHAUSTED);
    assert_in_range(count, 300, 4999);
    assert_in_range(store_env_used_percent(env), 80, 100);
    count_check(env, count);
    env_end(env, parent);
}

static void failed_commit_leaves_the_state_before(void **state)
{
    (void)state;
    char parent[256];
    static const int codes[] = {EIO, ENOSPC};
    static const enum cellar_status statuses[] = {CELLAR_IO_ERROR, CELLAR_RESOURCE_EXHAUSTED};
    directory_make(parent, sizeof parent);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(codes); i++) {
        struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
        assert_int_equal(test_env_put(env, cellar_slice_text("a"), cellar_slice_text("1")),
                         CELLAR_OK);
        test_disk_fail_writes(0, codes[i]);
        assert_int_equal(test_env_put(env, cellar_slice_text("a"), cellar_slice_text("2")),
                         statuses[i]);
        test_disk_fail_writes(-1, 0);
        store_env_park(env);
        value_check(env, cellar_slice_text("a"), cellar_slice_text("1"));
        count_check(env, 1);
        assert_int_equal(test_env_put(env, cellar_slice_text("b"), cellar_slice_text("2")),
                         CELLAR_OK);
        store_env_close(env);
    }
    test_remove_tree(parent);
}

/* The last write of a commit is its meta page; when that fails LMDB takes nothing more until it is
 * opened anew. */
static void a_store_goes_on_after_any_write_of_a_commit_failed(void **state)
{
    (void)state;
    char parent[256];
    static const int codes[] = {EIO, ENOSPC};
    directory_make(parent, sizeof parent);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(codes); i++) {
        enum cellar_status status = CELLAR_IO_ERROR;
        int64_t good = 0;
        for (; status != CELLAR_OK; good++) {
            struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
            uint64_t count = 0;
            bool is_exact = false;
            assert_int_equal(test_env_put(env, cellar_slice_text("a"), cellar_slice_text("1")),
                             CELLAR_OK);
            test_disk_fail_writes(good, codes[i]);
            status = test_env_put(env, cellar_slice_text("b"), cellar_slice_text("2"));
            test_disk_fail_writes(-1, 0);
            value_check(env, cellar_slice_text("a"), cellar_slice_text("1"));
            assert_int_equal(test_env_walk(env, &count, &is_exact), CELLAR_OK);
            assert_true(is_exact && count >= 1);
            assert_int_equal(test_env_put(env, cellar_slice_text("c"), cellar_slice_text("3")),
                             CELLAR_OK);
            store_env_close(env);
        }
        assert_true(good > 1);
    }
    test_remove_tree(parent);
}

static void failed_sync_is_told(void **state)
{
    (void)state;
    char parent[256];
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    test_disk_fail_syncs(0, EIO);
    assert_int_equal(test_env_put(env, cellar_slice_text("a"), cellar_slice_text("1")),
                     CELLAR_IO_ERROR);
    test_disk_fail_syncs(-1, 0);
    store_env_park(env);
    uint64_t count = 0;
    bool is_exact = false;
    assert_int_equal(test_env_walk(env, &count, &is_exact), CELLAR_OK);
    assert_true(count <= 1 && is_exact); /* unknown, but whole */
    env_end(env, parent);
}

static void every_commit_is_synced(void **state)
{
    (void)state;
    char parent[256];
    uint64_t writes = 0;
    uint64_t syncs[2];
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    test_disk_counts(&writes, &syncs[0]);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(test_env_put(env, cellar_slice_text("a"), cellar_slice_text("1")),
                         CELLAR_OK);
    }
    test_disk_counts(&writes, &syncs[1]);
    assert_true(syncs[1] - syncs[0] >= 5);
    env_end(env, parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_kept_replaced_and_removed),
        cmocka_unit_test(values_of_all_sizes_are_kept),
        cmocka_unit_test(keys_around_the_part_length_are_kept_apart),
        cmocka_unit_test(layer_ids_are_never_given_out_twice),
        cmocka_unit_test(aborted_transaction_leaves_nothing),
        cmocka_unit_test(cursor_of_a_write_transaction_sees_its_writes),
        cmocka_unit_test(full_map_is_told_and_the_state_before_stays),
        cmocka_unit_test(map_that_fills_up_bit_by_bit_stays_readable),
        cmocka_unit_test(failed_commit_leaves_the_state_before),
        cmocka_unit_test(a_store_goes_on_after_any_write_of_a_commit_failed),
        cmocka_unit_test(failed_sync_is_told),
        cmocka_unit_test(every_commit_is_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
