/*
 * Payloads and keys for the storage tests; store_fixture.h says what each function is for. Payloads
 * are written by the encoders under test: their bytes have a test of their own (record_test).
 */
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/log_fixture.h"

struct store_item test_set(const char *family, const char *qualifier, int64_t timestamp_us,
                           const char *value)
{
    return (struct store_item){.type = STORE_ITEM_SET,
                               .family = cellar_slice_text(family),
                               .generation = 1,
                               .qualifier = cellar_slice_text(qualifier),
                               .start_us = timestamp_us,
                               .value = cellar_slice_text(value)};
}

struct store_item test_delete_row(void)
{
    return (struct store_item){.type = STORE_ITEM_DELETE_ROW};
}

struct store_item test_delete_family(const char *family)
{
    return (struct store_item){
        .type = STORE_ITEM_DELETE_FAMILY, .family = cellar_slice_text(family), .generation = 1};
}

struct store_item test_delete_column(const char *family, const char *qualifier, int64_t start_us,
                                     int64_t end_us)
{
    return (struct store_item){.type = STORE_ITEM_DELETE_COLUMN,
                               .family = cellar_slice_text(family),
                               .generation = 1,
                               .qualifier = cellar_slice_text(qualifier),
                               .start_us = start_us,
                               .end_us = end_us};
}

void test_mutation_put(struct cellar_buffer *to, struct cellar_slice row, int64_t server_time_us,
                       const struct store_item *items, size_t count)
{
    struct store_mutation mutation = {.row = row,
                                      .schema_version = 1,
                                      .item_count = (uint32_t)count,
                                      .server_time_us = server_time_us};
    assert_int_equal(store_mutation_encode(to, &mutation), CELLAR_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(store_item_encode(to, &items[i]), CELLAR_OK);
    }
}

void test_position_make(struct cellar_buffer *to, struct cellar_slice row, const char *family,
                        const struct cellar_slice *qualifier, int64_t timestamp_us)
{
    cellar_buffer_clear(to);
    size_t qualifier_bytes = qualifier == NULL ? 0 : qualifier->bytes;
    size_t bytes = 2 * (row.bytes + qualifier_bytes) + CELLAR_KEY_FAMILY_BYTES_MAX + 16;
    assert_int_equal(cellar_buffer_reserve(to, bytes), CELLAR_OK);
    uint8_t *end = cellar_key_put_escaped(to->data, row);
    if (family != NULL) {
        end = cellar_key_put_family(end, cellar_slice_text(family), 1);
    }
    if (qualifier != NULL) {
        end = cellar_key_put_escaped(end, *qualifier);
    }
    if (timestamp_us >= 0) {
        end = cellar_key_put_timestamp(end, timestamp_us);
    }
    to->bytes = (size_t)(end - to->data);
}

size_t test_random_key(struct test_random *random, uint8_t *to, size_t bytes_max)
{
    static const uint8_t liked[] = {0x00, 0x01, 0xFF, 'a', 'b', 0x02};
    size_t bytes = 1 + (size_t)test_random_below(random, CELLAR_MIN(bytes_max, (size_t)6));
    if (test_random_below(random, 20) == 0) {
        bytes = 1 + (size_t)test_random_below(random, bytes_max);
    }
    for (size_t i = 0; i < bytes; i++) {
        to[i] = liked[test_random_below(random, sizeof liked)];
    }
    return bytes;
}

/* ---- environments ---------------------------------------------------------------------------- */

struct store_env *test_env_make(const char *parent, uint64_t map_bytes)
{
    char path[300];
    struct store_env *env = NULL;
    struct cellar_error error;
    struct store_env_state state = {.store_id = 7,
                                    .generation = 3,
                                    .log_id = {1, 2, 3},
                                    .layer_next = 1,
                                    .map_bytes = map_bytes};
    cellar_error_clear(&error);
    (void)snprintf(path, sizeof path, "%s/env", parent);
    if (store_env_create(path, &state, &error) != CELLAR_OK) {
        fail_msg("store_env_create: %s", error.text);
    }
    if (store_env_open(path, &env, &error) != CELLAR_OK) {
        fail_msg("store_env_open: %s", error.text);
    }
    return env;
}

void test_row_put(struct store_env_txn *txn, struct cellar_slice row, bool is_token)
{
    struct cellar_buffer key = {0};
    struct cellar_buffer value = {0};
    const struct store_cell cell = {.cell = {.family = cellar_slice_text("f"),
                                             .qualifier = cellar_slice_text("q"),
                                             .timestamp_us = 1000,
                                             .value = row},
                                    .generation = 1};
    test_position_make(&key, row, NULL, NULL, -1);
    if (is_token) {
        assert_int_equal(cellar_buffer_append(&key, "\0token-token", 12), CELLAR_OK);
        assert_int_equal(cellar_buffer_append(&value, "\1\1\1\1\1\1\1\1", 8), CELLAR_OK);
        (void)store_env_token_put(txn, cellar_slice_of(&key), cellar_slice_of(&value));
    } else {
        assert_int_equal(store_segment_encode(&cell, 1, false, &value), CELLAR_OK);
        (void)store_env_put(txn, cellar_slice_of(&key), cellar_slice_of(&value));
    }
    cellar_buffer_fini(&key);
    cellar_buffer_fini(&value);
}

enum cellar_status test_env_put(struct store_env *env, struct cellar_slice key,
                                struct cellar_slice value)
{
    struct store_env_txn txn;
    CELLAR_TRY(store_env_write_begin(env, &txn));
    (void)store_env_put(&txn, key, value);
    return store_env_commit(&txn);
}

enum cellar_status test_env_get(struct store_env *env, struct cellar_slice key,
                                struct cellar_buffer *to)
{
    struct store_env_txn *txn = NULL;
    struct store_env_cursor cursor;
    CELLAR_TRY(store_env_read_begin(env, &txn));
    store_env_cursor_init(&cursor, txn);
    enum cellar_status status = store_env_cursor_seek(&cursor, key);
    if (status == CELLAR_OK &&
        (!cursor.is_valid || !cellar_slice_equal(cellar_slice_of(&cursor.key), key))) {
        status = CELLAR_NOT_FOUND;
    }
    if (status == CELLAR_OK) {
        status = store_env_cursor_check(&cursor);
    }
    if (status == CELLAR_OK) {
        cellar_buffer_clear(to);
        status = cellar_buffer_append(to, cursor.value.data, cursor.value.bytes);
    }
    store_env_cursor_fini(&cursor);
    store_env_read_end(txn);
    return status;
}

enum cellar_status test_env_walk(struct store_env *env, uint64_t *item_count, bool *is_exact)
{
    struct store_env_txn *txn = NULL;
    struct store_env_cursor cursor;
    uint64_t sum = 0;
    CELLAR_TRY(store_env_read_begin(env, &txn));
    store_env_cursor_init(&cursor, txn);
    *item_count = 0;
    enum cellar_status status = store_env_cursor_seek(&cursor, cellar_slice_make(NULL, 0));
    while (status == CELLAR_OK && cursor.is_valid) {
        ++*item_count;
        sum += cursor.crc;
        status = store_env_cursor_check(&cursor);
        if (status == CELLAR_OK) {
            status = store_env_cursor_next(&cursor);
        }
    }
    *is_exact = *item_count == txn->state.item_count && sum == txn->state.item_crc_sum;
    store_env_cursor_fini(&cursor);
    store_env_read_end(txn);
    return status;
}

/* ---- a log and a store ----------------------------------------------------------------------- */

static void rig_store_open(struct test_rig *rig)
{
    struct cellar_error error;
    cellar_error_clear(&error);
    if (store_open(rig->env_path, 7, 3, store_log_id(rig->log), &rig->store, &error) != CELLAR_OK) {
        fail_msg("store_open: %s", error.text);
    }
}

void test_rig_begin(struct test_rig *rig, uint64_t map_bytes)
{
    struct store_env_state state = {
        .store_id = 7, .generation = 3, .layer_next = 1, .map_bytes = map_bytes};
    test_temp_dir(rig->directory, sizeof rig->directory);
    (void)snprintf(rig->env_path, sizeof rig->env_path, "%s/env", rig->directory);
    (void)snprintf(rig->log_path, sizeof rig->log_path, "%s/log", rig->directory);
    assert_int_equal(mkdir(rig->log_path, 0700), 0);
    rig->log = test_log_begin(rig->log_path, UINT64_C(4) << 20, 0);
    memcpy(state.log_id, store_log_id(rig->log), sizeof state.log_id);
    assert_int_equal(store_env_create(rig->env_path, &state, NULL), CELLAR_OK);
    rig_store_open(rig);
}

void test_rig_end(struct test_rig *rig)
{
    store_close(rig->store);
    store_log_close(rig->log);
    test_remove_tree(rig->directory);
}

void test_rig_reopen(struct test_rig *rig)
{
    store_close(rig->store);
    rig_store_open(rig);
}

uint64_t test_rig_next_lsn(struct test_rig *rig)
{
    store_log_lock(rig->log);
    uint64_t lsn = store_log_next_lsn(rig->log);
    store_log_unlock(rig->log);
    return lsn;
}

static void rig_done(struct store_log_record *record, enum cellar_status status)
{
    CELLAR_ASSERT(status == CELLAR_OK);
    free((void *)(uintptr_t)record->entry.payload.data);
    free(record);
}

static struct store_batch *rig_batch(enum store_record_type type, struct cellar_slice payload)
{
    struct store_batch *batch = NULL;
    assert_int_equal(type == STORE_RECORD_RANGE_DROP ? store_batch_new_drop(payload, &batch)
                                                     : store_batch_new(payload, false, &batch),
                     CELLAR_OK);
    return batch;
}

void test_rig_write(struct test_rig *rig, uint64_t lsn, struct cellar_slice payload)
{
    test_rig_append(rig, lsn, STORE_RECORD_MUTATION, payload);
}

void test_rig_append(struct test_rig *rig, uint64_t lsn, enum store_record_type type,
                     struct cellar_slice payload)
{
    struct store_log_record *record = calloc(1, sizeof *record);
    uint8_t *copy = malloc(payload.bytes);
    struct store_batch *batch = rig_batch(type, payload);
    assert_non_null(record);
    assert_non_null(copy);
    memcpy(copy, payload.data, payload.bytes); /* the store may be closed before the sync */
    record->done = rig_done;
    record->entry = (struct store_log_entry){
        .store_id = 7, .type = (uint8_t)type, .payload = cellar_slice_make(copy, payload.bytes)};
    store_log_lock(rig->log);
    uint64_t position = store_log_position(rig->log);
    uint64_t got = store_log_append(rig->log, record);
    store_insert(rig->store, batch, got, position);
    store_log_unlock(rig->log);
    assert_int_equal(got, lsn);
}

void test_rig_replay(struct test_rig *rig, uint64_t lsn, enum store_record_type type,
                     struct cellar_slice payload)
{
    store_insert(rig->store, rig_batch(type, payload), lsn, 0);
}

bool test_rig_freeze(struct test_rig *rig)
{
    struct store_freeze_kit kit;
    assert_int_equal(store_freeze_kit_make(&kit), CELLAR_OK);
    store_log_lock(rig->log);
    bool is_frozen = store_freeze(rig->store, &kit);
    store_log_unlock(rig->log);
    store_freeze_kit_fini(&kit);
    return is_frozen;
}

enum cellar_status test_rig_checkpoint(struct test_rig *rig)
{
    uint64_t item_count = 0;
    (void)test_rig_freeze(rig);
    return store_checkpoint(rig->store, rig->log, &item_count);
}
