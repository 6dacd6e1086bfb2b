/*
 * What is in memory of a map: asked-for pages come, absent ones are told, and places outside of the
 * file are nobody's concern.
 */
#include "tests/support/store_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define ITEM_COUNT 2000u
#define VALUE_BYTES 1000u

static enum cellar_status items_put(struct store_env *env)
{
    struct store_env_txn txn;
    uint8_t value[VALUE_BYTES] = {7};
    char key[16];
    CELLAR_TRY(store_env_write_begin(env, &txn));
    for (uint32_t i = 0; i < ITEM_COUNT; i++) {
        (void)snprintf(key, sizeof key, "key%08u", i);
        (void)store_env_append(&txn, cellar_slice_text(key),
                               cellar_slice_make(value, sizeof value));
    }
    return store_env_commit(&txn);
}

/* Lets the file go from the page cache. */
static void file_drop(const char *parent, struct store_env *env)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/env/data.mdb", parent);
    store_env_park(env);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_int_equal(fsync(descriptor), 0);
    assert_int_equal(posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_int_equal(close(descriptor), 0);
}

static void absent_pages_are_told_and_come_when_asked_for(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn *txn = NULL;
    volatile uint8_t sum = 0;
    test_temp_dir(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    assert_int_equal(items_put(env), CELLAR_OK);
    file_drop(parent, env);
    assert_int_equal(store_env_read_begin(env, &txn), CELLAR_OK);
    const uint8_t *start = store_env_map_start(env);
    size_t bytes = (size_t)store_env_used_bytes(env);
    assert_non_null(start);
    assert_true(bytes > ITEM_COUNT * VALUE_BYTES);
    bool was_absent = !store_env_is_resident(env, start, bytes);
    store_env_fetch(env, start, bytes);
    for (size_t at = 0; at < bytes; at += 4096) {
        sum = (uint8_t)(sum + start[at]); /* waits for those that are on their way */
    }
    assert_true(store_env_is_resident(env, start, bytes));
    assert_true(store_env_is_resident(env, start + 5, 1));
    store_env_read_end(txn);
    store_env_close(env);
    test_remove_tree(parent);
    if (!was_absent) {
        skip(); /* a file system in memory */
    }
}

static void places_outside_the_file_count_as_present(void **state)
{
    (void)state;
    char parent[256];
    uint8_t elsewhere = 0;
    struct store_env_txn *txn = NULL;
    test_temp_dir(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    assert_int_equal(store_env_read_begin(env, &txn), CELLAR_OK);
    const uint8_t *start = store_env_map_start(env);
    uint64_t used_bytes = store_env_used_bytes(env);
    const uint8_t *const places[] = {&elsewhere, NULL, start + used_bytes, start + TEST_MAP_BYTES};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(places); i++) {
        assert_true(store_env_is_resident(env, places[i], 1u << 20));
        store_env_fetch(env, places[i], 1u << 20);
    }
    for (size_t at = 0; at < used_bytes; at += 4096) {
        assert_true(start[at] < 255 || start[at] == 255); /* in memory from here on */
    }
    assert_true(store_env_is_resident(env, start, 1u << 30)); /* cut at the end of the file */
    assert_true(store_env_is_resident(env, start + 1, SIZE_MAX));
    store_env_fetch(env, start + 1, SIZE_MAX);
    store_env_read_end(txn);
    store_env_close(env);
    test_remove_tree(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_pages_are_told_and_come_when_asked_for),
        cmocka_unit_test(places_outside_the_file_count_as_present),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
