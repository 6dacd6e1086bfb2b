/*
 * engine_admit: each reason to refuse a write, its code, its text and its delay; which of two
 * reasons is told; what deletions may still do.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "common/log.h"
#include "server/storage/engine_internal.h"
#include "tests/support/disk.h"
#include "tests/support/log_fixture.h"
#include "tests/support/store_fixture.h"

#define BUDGET_BYTES UINT64_C(65536)

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
                                                 .memory_bytes_max = UINT64_C(64) << 20,
                                                 .memtable_bytes_max = BUDGET_BYTES,
                                                 .unapplied_bytes_max = UINT64_C(16) << 20,
                                                 .unapplied_records_max = 1000,
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

/* What may be wrong, as far as a test can say so without a disk that fails. */
struct trouble {
    uint64_t failed_store; /* its id + 1 */
    bool is_disk_short;
    bool is_map_full;
    bool is_damaged;
    uint64_t memtable_bytes;
};

/* Asks for a write in this trouble, and puts everything back. The append lock keeps the keepers
 * from looking meanwhile. */
static enum cellar_status admit_in(struct rig *rig, const struct trouble *trouble, bool has_sets,
                                   struct cellar_error *error)
{
    struct store_engine *engine = rig->engine;
    store_log_lock(engine->log);
    uint64_t room_bytes = atomic_load(&rig->store->map_room_bytes);
    bool is_disk_short = atomic_load(&engine->is_disk_short);
    uint64_t memtable_bytes = atomic_load(&engine->memtable_bytes);
    atomic_store(&engine->failed_store, trouble->failed_store);
    atomic_store(&engine->is_disk_short, trouble->is_disk_short);
    atomic_store(&engine->memtable_bytes, trouble->memtable_bytes);
    if (trouble->is_map_full) {
        atomic_store(&rig->store->map_room_bytes, 0);
    }
    atomic_store(&rig->store->is_damaged, trouble->is_damaged);
    enum cellar_status status = store_engine_admit(engine, rig->store, has_sets, error);
    atomic_store(&rig->store->is_damaged, false);
    atomic_store(&engine->failed_store, 0);
    atomic_store(&engine->is_disk_short, is_disk_short);
    atomic_store(&engine->memtable_bytes, memtable_bytes);
    atomic_store(&rig->store->map_room_bytes, room_bytes);
    store_log_unlock(engine->log);
    return status;
}

static void each_reason_has_its_code_its_text_and_its_delay(void **state)
{
    (void)state;
    static const struct {
        struct trouble trouble;
        enum cellar_status set, deletion;
        const char *text; /* of the first refusal */
        bool has_delay;
    } cases[] = {
        {{0}, CELLAR_OK, CELLAR_OK, NULL, false},
        {{.failed_store = 6}, CELLAR_IO_ERROR, CELLAR_IO_ERROR, "store 5 could not", false},
        {{.is_damaged = true, .is_disk_short = true},
         CELLAR_DATA_LOSS,
         CELLAR_DATA_LOSS,
         "store 5 is damaged",
         false},
        {{.is_disk_short = true}, CELLAR_RESOURCE_EXHAUSTED, CELLAR_OK, "its reserve", false},
        {{.is_map_full = true}, CELLAR_RESOURCE_EXHAUSTED, CELLAR_OK, "store 5 is at 90 %", false},
        {{.memtable_bytes = 2 * BUDGET_BYTES}, CELLAR_OK, CELLAR_OK, NULL, false},
        {{.memtable_bytes = 2 * BUDGET_BYTES + 1},
         CELLAR_UNAVAILABLE,
         CELLAR_UNAVAILABLE,
         "131073 bytes wait for a checkpoint",
         true},
        {{.is_map_full = true, .memtable_bytes = UINT64_C(1) << 30},
         CELLAR_RESOURCE_EXHAUSTED,
         CELLAR_UNAVAILABLE,
         "store 5 is at 90 %",
         false},
        {{.failed_store = 6, .is_disk_short = true, .memtable_bytes = UINT64_C(1) << 30},
         CELLAR_IO_ERROR,
         CELLAR_IO_ERROR,
         "store 5 could not",
         false},
    };
    struct rig rig;
    rig_begin(&rig);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct cellar_error error;
        cellar_error_clear(&error);
        assert_int_equal(admit_in(&rig, &cases[i].trouble, true, &error), cases[i].set);
        if (cases[i].text != NULL) {
            assert_non_null(strstr(error.text, cases[i].text));
            assert_true((error.retry_delay_ms > 0) == cases[i].has_delay);
        }
        assert_int_equal(admit_in(&rig, &cases[i].trouble, true, NULL), cases[i].set);
        assert_int_equal(admit_in(&rig, &cases[i].trouble, false, &error), cases[i].deletion);
    }
    rig_end(&rig);
}

static void the_readiness_page_tells_what_lasts(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_error error;
    rig_begin(&rig);
    atomic_store(&rig.engine->failed_store, 6);
    assert_int_equal(store_engine_check(rig.engine, &error), CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "store 5 could not"));
    assert_true(store_engine_has_failed(rig.engine));
    atomic_store(&rig.engine->failed_store, 0);
    assert_false(store_engine_has_failed(rig.engine));
    rig_end(&rig);
}

static void a_store_takes_as_many_live_tokens_as_its_limit(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_error error;
    const int64_t now_us = INT64_C(4000000000000000); /* behind the clock at which it opened */
    rig_begin(&rig);
    store_log_lock(rig.engine->log);
    assert_int_equal(store_engine_admit_token(rig.engine, rig.store, now_us, &error), CELLAR_OK);
    store_token_count_add(&rig.store->tokens, now_us + STORE_TOKEN_SLOT_US);
    assert_int_equal(store_engine_admit_token(rig.engine, rig.store, now_us, &error),
                     CELLAR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "store_tokens_max (1)"));
    assert_int_equal(
        store_engine_admit_token(rig.engine, rig.store, now_us + 3 * STORE_TOKEN_SLOT_US, NULL),
        CELLAR_OK);
    store_log_unlock(rig.engine->log);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reason_has_its_code_its_text_and_its_delay),
        cmocka_unit_test(the_readiness_page_tells_what_lasts),
        cmocka_unit_test(a_store_takes_as_many_live_tokens_as_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
