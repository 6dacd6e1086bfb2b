/*
 * Ranges of rows that were dropped and whose items are not removed yet: one record beside the
 * state, changed in the transactions of checkpoints and of the removal. Readers take it with their
 * snapshot, so what is hidden and what is there always belong together. FORMAT.md, "Ranges
 * dropped".
 *
 * How many ranges there are stands in the state record, which every reader has: without any, the
 * usual case, nothing more is read.
 */
#include "server/storage/env_internal.h"

static const char pending_key[] = STORE_ENV_PENDING_KEY;

enum cellar_status store_env_pending_decode(struct cellar_slice value, struct store_range_set *set)
{
    struct cellar_slice key = cellar_slice_text(pending_key);
    if (value.bytes < STORE_ENV_ITEM_HEAD_BYTES) {
        return CELLAR_DATA_LOSS;
    }
    struct cellar_slice rest = cellar_slice_make(value.data + STORE_ENV_ITEM_HEAD_BYTES,
                                                 value.bytes - STORE_ENV_ITEM_HEAD_BYTES);
    if (cellar_get_u32le(value.data) != store_env_item_crc(key, rest)) {
        return CELLAR_DATA_LOSS;
    }
    CELLAR_ASSERT(set->count == 0);
    return store_range_set_decode(set, rest);
}

enum cellar_status store_env_pending_read(struct store_env *env, MDB_txn *txn, uint32_t count,
                                          struct store_range_set *set)
{
    MDB_val key = {sizeof pending_key - 1, (void *)(uintptr_t)pending_key};
    MDB_val value;
    store_range_set_fini(set);
    if (count == 0) {
        return CELLAR_OK;
    }
    int code = mdb_get(txn, env->state_dbi, &key, &value);
    if (code != MDB_SUCCESS) {
        return code == MDB_NOTFOUND ? CELLAR_DATA_LOSS : store_env_status(code);
    }
    if (!store_env_holds(env, &value)) {
        return CELLAR_DATA_LOSS;
    }
    CELLAR_ASSERT(value.mv_data != NULL);
    CELLAR_TRY(store_env_pending_decode(cellar_slice_make(value.mv_data, value.mv_size), set));
    if (set->count != count) {
        store_range_set_fini(set);
        return CELLAR_DATA_LOSS;
    }
    return CELLAR_OK;
}

static enum cellar_status value_make(const struct store_range_set *set, struct cellar_buffer *value)
{
    uint8_t head[STORE_ENV_ITEM_HEAD_BYTES] = {0};
    CELLAR_TRY(cellar_buffer_append(value, head, sizeof head));
    CELLAR_TRY(store_range_set_encode(set, value));
    struct cellar_slice rest =
        cellar_slice_make(value->data + sizeof head, value->bytes - sizeof head);
    CELLAR_ASSERT(value->bytes > sizeof head);
    cellar_put_u32le(value->data, store_env_item_crc(cellar_slice_text(pending_key), rest));
    return CELLAR_OK;
}

static enum cellar_status pending_put(struct store_env_txn *txn, const struct store_range_set *set)
{
    struct cellar_buffer value = {0};
    MDB_val key = {sizeof pending_key - 1, (void *)(uintptr_t)pending_key};
    CELLAR_ASSERT(txn->is_write && set->count <= STORE_ENV_PENDING_COUNT_MAX);
    if (txn->status != CELLAR_OK) {
        return txn->status;
    }
    enum cellar_status status = CELLAR_OK;
    if (set->count == 0) {
        int code = mdb_del(txn->txn, txn->env->state_dbi, &key, NULL);
        status = code == MDB_NOTFOUND ? CELLAR_OK : store_env_status(code);
    } else {
        status = value_make(set, &value);
        MDB_val stored = {value.bytes, value.data};
        status = status != CELLAR_OK
                     ? status
                     : store_env_status(mdb_put(txn->txn, txn->env->state_dbi, &key, &stored, 0));
    }
    cellar_buffer_fini(&value);
    txn->status = status;
    txn->state.pending_count = (uint32_t)set->count;
    return status;
}

enum cellar_status store_env_pending_put(struct store_env_txn *txn,
                                         const struct store_range_set *set)
{
    store_map_call_begin(&txn->env->map);
    enum cellar_status status = pending_put(txn, set);
    store_map_call_end();
    CELLAR_ASSERT(status == txn->status);
    return status;
}
