/*
 * keeper_limits: the pages of checkpoints that run at once, and how many a memtable may be about to
 * change before it is frozen.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "common/log.h"
#include "server/storage/engine_internal.h"
#include "tests/support/disk.h"
#include "tests/support/log_fixture.h"
#include "tests/support/store_fixture.h"

#define MEMORY_BYTES (UINT64_C(64) << 20)
#define PAGES_MAX (MEMORY_BYTES / 2 / 4096)

struct rig {
    char parent[256];
    char data_dir[300];
    struct store_engine *engine;
    struct store *store;
};

static void rig_begin(struct rig *rig)
{
    struct cellar_error error;
    test_disk_fast(true);
    cellar_log_level_set(CELLAR_LOG_ERROR);
    test_temp_dir(rig->parent, sizeof rig->parent);
    (void)snprintf(rig->data_dir, sizeof rig->data_dir, "%s/data", rig->parent);
    const struct store_engine_options options = {.data_dir = rig->data_dir,
                                                 .map_bytes = TEST_MAP_BYTES,
                                                 .segment_bytes = 1u << 20,
                                                 .memory_bytes_max = MEMORY_BYTES,
                                                 .memtable_bytes_max = UINT64_C(1) << 20,
                                                 .unapplied_bytes_max = UINT64_C(16) << 20,
                                                 .unapplied_records_max = 100000,
                                                 .store_tokens_max = 1};
    assert_int_equal(store_engine_open(&options, &rig->engine, &error), CELLAR_OK);
    assert_int_equal(store_engine_start(rig->engine, &error), CELLAR_OK);
    assert_int_equal(store_engine_store_make(rig->engine, 5, &rig->store, &error), CELLAR_OK);
}

static void rig_end(struct rig *rig)
{
    store_engine_close(rig->engine);
    test_remove_tree(rig->parent);
}

static bool reserve(struct rig *rig, uint64_t *page_count)
{
    cellar_mutex_lock(&rig->engine->lock);
    bool is_reserved = store_keeper_pages_reserve(rig->engine, rig->store, page_count);
    cellar_mutex_unlock(&rig->engine->lock);
    return is_reserved;
}

static void reserved_set(struct rig *rig, uint64_t page_count)
{
    cellar_mutex_lock(&rig->engine->lock);
    rig->engine->dirty_pages = page_count;
    cellar_mutex_unlock(&rig->engine->lock);
}

static void a_checkpoint_waits_while_the_pages_of_others_leave_no_room(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t first = 0;
    uint64_t second = 77;
    rig_begin(&rig);
    assert_true(reserve(&rig, &first));
    assert_true(first > 0 && first < PAGES_MAX);
    reserved_set(&rig, PAGES_MAX - first);
    assert_true(reserve(&rig, &second));
    assert_int_equal(second, first);
    reserved_set(&rig, PAGES_MAX - first + 1);
    second = 77;
    assert_false(reserve(&rig, &second));
    assert_int_equal(second, 77);
    store_keeper_pages_release(rig.engine, 1);
    assert_true(reserve(&rig, &second));
    reserved_set(&rig, 0);
    rig_end(&rig);
}

/* Fills the store's trees beyond what one checkpoint may have in memory. */
static void env_fill(struct store_env *env)
{
    static const uint8_t value[3000];
    struct store_env_txn txn;
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    for (unsigned i = 0; i < PAGES_MAX + 10; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%06u", i);
        assert_int_equal(
            store_env_put(&txn, cellar_slice_text(key), cellar_slice_make(value, sizeof value)),
            CELLAR_OK);
    }
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
}

static bool pages_are_many(const struct rig *rig, uint64_t row_count, uint64_t payload_bytes)
{
    const struct store_memtable_facts facts = {.record_count = row_count,
                                               .row_count = row_count,
                                               .bytes = 3 * payload_bytes,
                                               .payload_bytes = payload_bytes};
    return store_keeper_pages_are_many(rig->engine, rig->store, &facts);
}

/* Rows count as far as the store has pages for them; what records hold counts for every store. */
static void pages_of_rows_and_records_make_a_checkpoint_due(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    store_keeper_limits_set(rig.store);
    assert_false(pages_are_many(&rig, 100 * PAGES_MAX, 1));
    assert_true(pages_are_many(&rig, 1, PAGES_MAX * 4096 / 2));
    env_fill(rig.store->env);
    store_keeper_limits_set(rig.store);
    assert_false(pages_are_many(&rig, PAGES_MAX * 3 / 4, 1));
    assert_true(pages_are_many(&rig, PAGES_MAX * 3 / 4, PAGES_MAX * 4096 / 8));
    assert_true(pages_are_many(&rig, PAGES_MAX, 1));
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_waits_while_the_pages_of_others_leave_no_room),
        cmocka_unit_test(pages_of_rows_and_records_make_a_checkpoint_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
