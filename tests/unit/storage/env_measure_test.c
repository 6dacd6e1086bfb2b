/*
 * env_measure: what trees hold, what a commit had in memory, how full the map is. The figures are
 * held against what must be so: an item of half a page takes a leaf of its own.
 */
#include <stdio.h>

#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define ITEM_COUNT 400u
#define ITEM_BYTES 1900u
#define PAGE 4096u

static struct store_env *env_make(char *parent, size_t bytes)
{
    test_disk_fast(true);
    test_temp_dir(parent, bytes);
    return test_env_make(parent, TEST_MAP_BYTES);
}

static void env_end(struct store_env *env, const char *parent)
{
    store_env_close(env);
    test_remove_tree(parent);
}

/* Writes the items first, first + step, ... below the limit in one transaction. */
static void items_put(struct store_env *env, unsigned first, unsigned step, unsigned limit)
{
    static uint8_t value[ITEM_BYTES];
    struct store_env_txn txn;
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    for (unsigned i = first; i < limit; i += step) {
        char key[16];
        value[0]++;
        (void)snprintf(key, sizeof key, "%06u", i);
        assert_int_equal(
            store_env_put(&txn, cellar_slice_text(key), cellar_slice_make(value, sizeof value)),
            CELLAR_OK);
    }
    txn.state.applied_lsn++;
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
}

static void live_pages_are_those_of_the_trees_not_of_the_file(void **state)
{
    (void)state;
    char parent[256];
    struct store_env *env = env_make(parent, sizeof parent);
    uint64_t empty = store_env_live_page_count(env);
    items_put(env, 0, 1, ITEM_COUNT);
    uint64_t full = store_env_live_page_count(env);
    assert_in_range(full - empty, ITEM_COUNT / 2, ITEM_COUNT + 50);
    for (unsigned round = 0; round < 5; round++) {
        items_put(env, 0, 1, ITEM_COUNT);
    }
    assert_int_equal(store_env_live_page_count(env), full);
    assert_true(store_env_used_bytes(env) > (full + ITEM_COUNT / 2) * PAGE);
    env_end(env, parent);
}

static void a_commit_leaves_the_pages_that_it_changed(void **state)
{
    (void)state;
    char parent[256];
    struct store_env *env = env_make(parent, sizeof parent);
    items_put(env, 0, 1, ITEM_COUNT);
    store_env_park(env);
    assert_int_equal(store_env_retained_bytes(env), 0);
    items_put(env, 0, 20, ITEM_COUNT); /* 20 leaves, their branches, LMDB's own */
    assert_in_range(store_env_retained_bytes(env) / PAGE, ITEM_COUNT / 20, 80);
    items_put(env, 0, 1, ITEM_COUNT);
    uint64_t all = store_env_retained_bytes(env) / PAGE;
    assert_in_range(all, ITEM_COUNT / 2, ITEM_COUNT + 100);
    items_put(env, 0, 200, ITEM_COUNT); /* takes its pages from those: the most stays */
    assert_int_equal(store_env_retained_bytes(env) / PAGE, all);
    env_end(env, parent);
}

static void an_abandoned_transaction_leaves_its_pages_too(void **state)
{
    (void)state;
    char parent[256];
    static const uint8_t value[ITEM_BYTES];
    struct store_env_txn txn;
    struct store_env *env = env_make(parent, sizeof parent);
    uint64_t before = store_env_retained_bytes(env);
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    for (unsigned i = 0; i < ITEM_COUNT; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%06u", i);
        assert_int_equal(
            store_env_put(&txn, cellar_slice_text(key), cellar_slice_make(value, sizeof value)),
            CELLAR_OK);
    }
    store_env_abort(&txn);
    assert_true(store_env_retained_bytes(env) >= before + ITEM_COUNT / 2 * PAGE);
    assert_int_equal(store_env_live_page_count(env), 0);
    env_end(env, parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_pages_are_those_of_the_trees_not_of_the_file),
        cmocka_unit_test(a_commit_leaves_the_pages_that_it_changed),
        cmocka_unit_test(an_abandoned_transaction_leaves_its_pages_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
