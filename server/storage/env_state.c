/*
 * What an environment keeps beside LMDB's own: the checksum of items, and the record of its state.
 * FORMAT.md, "State".
 */
#include "common/crc32c.h"
#include "server/storage/env_internal.h"

static const char state_key[] = "state";

/* The key is part of it: an item that stands under another key than it was written with is damage,
 * though every byte of it is sound. */
uint32_t store_env_item_crc(struct cellar_slice key, struct cellar_slice rest)
{
    CELLAR_ASSERT(key.bytes > 0);
    return cellar_crc32c(cellar_crc32c(0, key.data, key.bytes), rest.data, rest.bytes);
}

/* In the transaction of every checkpoint, so applied_lsn and the items it speaks of are durable
 * together. Bytes that FORMAT.md does not name are zero. */
enum cellar_status store_env_state_write(struct store_env *env, MDB_txn *txn,
                                         const struct store_env_state *state)
{
    uint8_t bytes[ENV_STATE_BYTES];
    memset(bytes, 0, sizeof bytes);
    cellar_put_u32le(bytes + 4, STORE_ENV_FORMAT_VERSION);
    cellar_put_u32le(bytes + 8, state->store_id);
    cellar_put_u32le(bytes + 12,
                     STORE_ENV_DATABASE_COUNT); /* whoever writes a state has them all */
    cellar_put_u64le(bytes + 16, state->generation);
    memcpy(bytes + 24, state->log_id, STORE_LOG_ID_BYTES);
    cellar_put_u64le(bytes + 40, state->applied_lsn);
    cellar_put_u64le(bytes + 48, (uint64_t)state->server_time_us);
    cellar_put_u64le(bytes + 56, state->item_count);
    cellar_put_u64le(bytes + 64, state->item_crc_sum);
    cellar_put_u64le(bytes + 72, state->layer_next);
    cellar_put_u64le(bytes + 80, state->map_bytes);
    cellar_put_u32le(bytes + 88, state->pending_count);
    cellar_put_u32le(bytes + 92, state->made_s);
    cellar_put_u64le(bytes + 96, state->item_bytes);
    cellar_put_u32le(bytes, cellar_crc32c(0, bytes + 4, sizeof bytes - 4));
    MDB_val key = {sizeof state_key - 1, (void *)(uintptr_t)state_key};
    MDB_val value = {sizeof bytes, bytes};
    CELLAR_ASSERT(state->layer_next > 0);
    return store_env_status(mdb_put(txn, env->state_dbi, &key, &value, 0));
}

/* The checksum comes before the version: the version of a damaged record says nothing. */
enum cellar_status store_env_state_decode(struct cellar_slice value, struct store_env_state *state)
{
    const uint8_t *bytes = value.data;
    if (value.bytes != ENV_STATE_BYTES ||
        cellar_get_u32le(bytes) != cellar_crc32c(0, bytes + 4, ENV_STATE_BYTES - 4)) {
        return CELLAR_DATA_LOSS;
    }
    if (cellar_get_u32le(bytes + 4) != STORE_ENV_FORMAT_VERSION) {
        return CELLAR_FAILED_PRECONDITION;
    }
    state->store_id = cellar_get_u32le(bytes + 8);
    state->database_count = cellar_get_u32le(bytes + 12);
    state->generation = cellar_get_u64le(bytes + 16);
    memcpy(state->log_id, bytes + 24, STORE_LOG_ID_BYTES);
    state->applied_lsn = cellar_get_u64le(bytes + 40);
    state->server_time_us = (int64_t)cellar_get_u64le(bytes + 48);
    state->item_count = cellar_get_u64le(bytes + 56);
    state->item_crc_sum = cellar_get_u64le(bytes + 64);
    state->layer_next = cellar_get_u64le(bytes + 72);
    state->map_bytes = cellar_get_u64le(bytes + 80);
    state->pending_count = cellar_get_u32le(bytes + 88);
    state->made_s = cellar_get_u32le(bytes + 92);
    state->item_bytes = cellar_get_u64le(bytes + 96);
    CELLAR_ASSERT(bytes != NULL);
    bool is_sound = state->layer_next > 0 && state->server_time_us >= 0 &&
                    state->pending_count <= STORE_ENV_PENDING_COUNT_MAX;
    return is_sound ? CELLAR_OK : CELLAR_DATA_LOSS;
}

enum cellar_status store_env_state_read(struct store_env *env, MDB_txn *txn,
                                        struct store_env_state *state)
{
    MDB_val key = {sizeof state_key - 1, (void *)(uintptr_t)state_key};
    MDB_val value;
    int code = mdb_get(txn, env->state_dbi, &key, &value);
    if (code != MDB_SUCCESS) {
        return code == MDB_NOTFOUND ? CELLAR_DATA_LOSS : store_env_status(code);
    }
    CELLAR_ASSERT(env->is_open);
    if (!store_env_holds(env, &value)) {
        return CELLAR_DATA_LOSS;
    }
    return store_env_state_decode(cellar_slice_make(value.mv_data, value.mv_size), state);
}
