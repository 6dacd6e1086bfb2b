/*
 * token: keys, the count of live ones by slots of time, records in an environment, the sweep.
 */
#include <stdio.h>
#include <stdlib.h>

#include "server/storage/token.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define NOW_US INT64_C(1700000000000000)
#define SECOND_US INT64_C(1000000)

static struct store_item token_item(const char *token, int64_t expiry_us, const char *outcome)
{
    return (struct store_item){.type = STORE_ITEM_TOKEN,
                               .qualifier = cellar_slice_text(token),
                               .start_us = expiry_us,
                               .value = cellar_slice_text(outcome)};
}

/* Inserts one row's set with a token. */
static void token_insert(struct store_memtable *memtable, const char *row, struct store_item token,
                         uint64_t lsn)
{
    struct cellar_buffer payload = {0};
    struct store_batch *batch = NULL;
    const struct store_item items[] = {test_set("f", "q", 1000, "v"), token};
    test_mutation_put(&payload, cellar_slice_text(row), 0, items, 2);
    assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch), CELLAR_OK);
    assert_true(batch->token_expiry_us == token.start_us);
    store_memtable_insert(memtable, batch, lsn);
    cellar_buffer_fini(&payload);
}

static struct cellar_slice key_of(uint8_t *to, const char *row, const char *token)
{
    return store_token_key(to, cellar_slice_text(row), cellar_slice_text(token));
}

/* ---- keys and memtables ---------------------------------------------------------------------- */

static void a_key_is_the_rows_position_00_and_the_token(void **state)
{
    (void)state;
    static uint8_t bytes[STORE_TOKEN_KEY_BYTES_MAX];
    static uint8_t row[CELLAR_ROW_BYTES_MAX]; /* of 00: the longest when escaped */
    static uint8_t token[STORE_TOKEN_BYTES_MAX];
    struct cellar_slice key = key_of(bytes, "row", "12345678");
    assert_true(cellar_slice_equal(key, cellar_slice_make("row\0\1\0"
                                                          "12345678",
                                                          14)));
    key = store_token_key(bytes, cellar_slice_make(row, sizeof row),
                          cellar_slice_make(token, sizeof token));
    assert_int_equal(key.bytes, sizeof bytes);
}

static void a_memtable_finds_the_newest_entry_of_a_token_beside_its_cells(void **state)
{
    (void)state;
    uint8_t bytes[STORE_TOKEN_KEY_BYTES_MAX];
    struct store_memtable *memtable = store_memtable_new();
    assert_non_null(memtable);
    assert_null(store_memtable_token_first(memtable));
    token_insert(memtable, "b", token_item("12345678", NOW_US, ""), 5);
    token_insert(memtable, "a", token_item("12345678", NOW_US, ""), 6);
    token_insert(memtable, "b", token_item("12345678", NOW_US + 5, ""), 7);
    assert_int_equal(store_token_lsn(memtable, key_of(bytes, "a", "12345678"), NOW_US), 6);
    assert_int_equal(store_token_lsn(memtable, key_of(bytes, "b", "12345678"), NOW_US), 7);
    assert_int_equal(store_token_lsn(memtable, key_of(bytes, "b", "12345678"), NOW_US + 5), 7);
    assert_int_equal(store_token_lsn(memtable, key_of(bytes, "b", "12345678"), NOW_US + 6), 0);
    assert_int_equal(store_token_lsn(memtable, key_of(bytes, "b", "123456789"), NOW_US), 0);
    assert_int_equal(store_token_lsn(memtable, key_of(bytes, "c", "12345678"), NOW_US), 0);
    /* The cells are alone in their list. */
    unsigned cell_count = 0;
    for (const struct store_entry *entry =
             store_memtable_seek(memtable, cellar_slice_make(NULL, 0));
         entry != NULL; entry = store_entry_next(entry)) {
        assert_int_equal(entry->type, STORE_ITEM_SET);
        cell_count++;
    }
    assert_int_equal(cell_count, 3);
    store_memtable_unref(memtable);
}

/* ---- the count ------------------------------------------------------------------------------- */

static void a_token_counts_until_its_slot_has_passed(void **state)
{
    (void)state;
    struct store_token_count count = {0};
    int64_t now_us = NOW_US - NOW_US % STORE_TOKEN_SLOT_US;
    assert_int_equal(store_token_count_live(&count, now_us), 0);
    store_token_count_add(&count, now_us - 1); /* passed */
    store_token_count_add(&count, now_us + STORE_TOKEN_SLOT_US);
    store_token_count_add(&count, now_us + STORE_TOKEN_WINDOW_US);
    store_token_count_add(&count, INT64_MAX); /* a clock gone mad: kept as long as can be */
    assert_int_equal(store_token_count_live(&count, now_us), 3);
    assert_int_equal(store_token_count_live(&count, now_us - 3600 * SECOND_US), 3);
    assert_int_equal(store_token_count_live(&count, now_us + 2 * STORE_TOKEN_SLOT_US - 1), 3);
    assert_int_equal(store_token_count_live(&count, now_us + 2 * STORE_TOKEN_SLOT_US), 2);
    assert_int_equal(store_token_count_live(&count, now_us + STORE_TOKEN_WINDOW_US), 2);
    int64_t later_us = now_us + STORE_TOKEN_WINDOW_US + STORE_TOKEN_SLOT_US;
    assert_int_equal(store_token_count_live(&count, later_us), 1);
    later_us = now_us + STORE_TOKEN_SLOT_COUNT * STORE_TOKEN_SLOT_US;
    assert_int_equal(store_token_count_live(&count, later_us), 0);
    assert_int_equal(store_token_count_live(&count, INT64_MAX), 0);
}

/* ---- records --------------------------------------------------------------------------------- */

static void rig_begin(struct test_rig *rig)
{
    test_disk_fast(true);
    test_rig_begin(rig, TEST_MAP_BYTES);
}

static enum cellar_status tokens_write(struct store_env *env, const struct store_memtable *memtable,
                                       int64_t now_us, struct cellar_buffer *sweep)
{
    struct store_env_txn txn;
    CELLAR_TRY(store_env_write_begin(env, &txn));
    enum cellar_status status = store_tokens_write(&txn, memtable, now_us, sweep);
    if (status != CELLAR_OK) {
        store_env_abort(&txn);
        return status;
    }
    return store_env_commit(&txn);
}

static enum cellar_status token_get(struct store_env *env, const char *row, const char *token,
                                    int64_t now_us)
{
    uint8_t bytes[STORE_TOKEN_KEY_BYTES_MAX];
    struct store_env_txn *txn = NULL;
    assert_int_equal(store_env_read_begin(env, &txn), CELLAR_OK);
    enum cellar_status status = store_token_get(txn, key_of(bytes, row, token), now_us);
    store_env_read_end(txn);
    return status;
}

static void written_tokens_are_found_until_they_expire(void **state)
{
    (void)state;
    static char long_row[CELLAR_ROW_BYTES_MAX + 1];
    struct test_rig rig;
    struct cellar_buffer sweep = {0};
    memset(long_row, 'x', CELLAR_ROW_BYTES_MAX);
    rig_begin(&rig);
    struct store_memtable *memtable = store_memtable_new();
    assert_non_null(memtable);
    token_insert(memtable, "a", token_item("12345678", NOW_US + 10, "outcome"), 1);
    token_insert(memtable, "a", token_item("12345678", NOW_US + 20, ""), 2);
    token_insert(memtable, "old", token_item("12345678", NOW_US - 1, ""), 3);
    token_insert(memtable, long_row, token_item("12345678", NOW_US + 10, ""), 4);
    assert_int_equal(tokens_write(rig.store->env, memtable, NOW_US, &sweep), CELLAR_OK);
    assert_int_equal(token_get(rig.store->env, "a", "12345678", NOW_US + 20), CELLAR_OK);
    assert_int_equal(token_get(rig.store->env, "a", "12345678", NOW_US + 21), CELLAR_NOT_FOUND);
    assert_int_equal(token_get(rig.store->env, "a", "1234567890", NOW_US), CELLAR_NOT_FOUND);
    assert_int_equal(token_get(rig.store->env, "old", "12345678", NOW_US), CELLAR_NOT_FOUND);
    assert_int_equal(token_get(rig.store->env, long_row, "12345678", NOW_US), CELLAR_OK);
    struct store_token_count count = {0};
    struct store_env_txn *txn = NULL;
    for (unsigned i = 0; i < 2; i++) { /* the cursor over tokens is kept and renewed */
        memset(&count, 0, sizeof count);
        assert_int_equal(store_env_read_begin(rig.store->env, &txn), CELLAR_OK);
        assert_int_equal(store_token_count_load(&count, txn, NOW_US), CELLAR_OK);
        store_env_read_end(txn);
        assert_int_equal(count.live, 2);
    }
    store_memtable_unref(memtable);
    cellar_buffer_fini(&sweep);
    test_rig_end(&rig);
}

/* The records that an environment holds, expired or not. */
static uint64_t record_count(struct store_env *env)
{
    struct store_env_txn *txn = NULL;
    struct store_env_cursor cursor;
    uint64_t count = 0;
    assert_int_equal(store_env_read_begin(env, &txn), CELLAR_OK);
    assert_int_equal(store_env_cursor_init_tokens(&cursor, txn), CELLAR_OK);
    assert_int_equal(store_env_cursor_seek(&cursor, cellar_slice_make(NULL, 0)), CELLAR_OK);
    while (cursor.is_valid) {
        assert_int_equal(store_env_cursor_check(&cursor), CELLAR_OK);
        assert_int_equal(store_env_cursor_next(&cursor), CELLAR_OK);
        count++;
    }
    assert_int_equal(count, txn->state.item_count); /* no cell was written */
    store_env_cursor_fini(&cursor);
    store_env_read_end(txn);
    return count;
}

/* A stream of tokens that live ten checkpoints long: what has expired does not pile up. */
static void the_sweep_keeps_expired_records_few(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cellar_buffer sweep = {0};
    struct test_random random = {test_seed("token sweep")};
    rig_begin(&rig);
    for (unsigned i = 0; i < 60; i++) {
        struct store_memtable *memtable = store_memtable_new();
        assert_non_null(memtable);
        int64_t now_us = NOW_US + i * SECOND_US;
        for (unsigned j = 0; j < 40; j++) {
            char row[32];
            (void)snprintf(row, sizeof row, "%016llx",
                           (unsigned long long)test_random_next(&random));
            token_insert(memtable, row, token_item("12345678", now_us + 10 * SECOND_US, ""), 1 + j);
        }
        assert_int_equal(tokens_write(rig.store->env, memtable, now_us, &sweep), CELLAR_OK);
        assert_true(record_count(rig.store->env) <= 2 * 11 * 40);
        store_memtable_unref(memtable);
    }
    struct store_memtable *empty = store_memtable_new();
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(tokens_write(rig.store->env, empty, NOW_US * 2, &sweep), CELLAR_OK);
    }
    assert_int_equal(record_count(rig.store->env), 0);
    store_memtable_unref(empty);
    cellar_buffer_fini(&sweep);
    test_rig_end(&rig);
}

/* ---- memory ---------------------------------------------------------------------------------- */

struct write_step {
    struct store_env *env;
    struct store_memtable *memtable;
};

static enum cellar_status write_run(void *context)
{
    const struct write_step *step = context;
    struct cellar_buffer sweep = {0};
    enum cellar_status status = tokens_write(step->env, step->memtable, NOW_US, &sweep);
    cellar_buffer_fini(&sweep);
    return status;
}

static void a_write_survives_every_failing_allocation(void **state)
{
    (void)state;
    struct test_rig rig;
    rig_begin(&rig);
    struct write_step step = {rig.store->env, store_memtable_new()};
    token_insert(step.memtable, "a", token_item("12345678", NOW_US, "outcome"), 1);
    token_insert(step.memtable, "b", token_item("12345678", NOW_US, ""), 2);
    assert_true(test_out_of_memory_loop(write_run, &step) > 0);
    assert_int_equal(record_count(rig.store->env), 2);
    store_memtable_unref(step.memtable);
    test_rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_the_rows_position_00_and_the_token),
        cmocka_unit_test(a_memtable_finds_the_newest_entry_of_a_token_beside_its_cells),
        cmocka_unit_test(a_token_counts_until_its_slot_has_passed),
        cmocka_unit_test(written_tokens_are_found_until_they_expire),
        cmocka_unit_test(the_sweep_keeps_expired_records_few),
        cmocka_unit_test(a_write_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
