/*
 * The list of blobs that an environment's segments name: database `blobs`, id (8, BE) -> item of
 * length and CRC.
 *
 * The list is kept by the put and the delete of cells themselves: a segment that says that it holds
 * references (STORE_SEGMENT_BLOBS) adds them, and one that is replaced or removed takes them out.
 * So whoever writes segments, a checkpoint, a removal or a compaction, has the list right in the
 * same transaction without a thought of it.
 *
 * An id that was taken out in a transaction may have been put in again, by a segment that was
 * written anew: `loose` notes all that were taken out, and at the end what is not listed then is
 * gone. A blob that a memtable names and whose cell was not written is told by the caller.
 *
 * A segment that is damaged names nothing here: its blobs stay listed, and their files are kept.
 * FORMAT.md, "Environments".
 */
#include <stdlib.h>

#include "common/mem.h"
#include "server/storage/env_internal.h"
#include "server/storage/segment.h"

#define ID_BYTES 8u
#define REST_BYTES (STORE_BLOB_REFERENCE_BYTES - ID_BYTES)

/* What is done for each reference of a segment. */
typedef enum cellar_status reference_fn(struct store_env_txn *txn, const struct store_blob *blob);

/* Walks the references of a segment. @param value what stands behind an item's CRC */
static enum cellar_status references_walk(struct store_env_txn *txn, struct cellar_slice value,
                                          reference_fn *visit)
{
    struct store_segment segment;
    struct cellar_cells_reader reader;
    struct store_blob blob;
    CELLAR_ASSERT(txn->is_write);
    if (!store_segment_decode(value, &segment) || (segment.flags & STORE_SEGMENT_BLOBS) == 0 ||
        !cellar_cells_open(&reader, segment.packed)) {
        return CELLAR_OK;
    }
    while (cellar_cells_next(&reader)) {
        if (reader.is_blob && store_blob_decode(reader.cell.value, &blob)) {
            CELLAR_TRY(visit(txn, &blob));
        }
    }
    return CELLAR_OK;
}

/* ---- what was taken out ---------------------------------------------------------------------- */

enum cellar_status store_env_blob_loosen(struct store_env_txn *txn, uint64_t id)
{
    CELLAR_ASSERT(txn->is_write && id > 0);
    if (txn->loose_count == txn->loose_capacity) {
        size_t capacity = txn->loose_capacity == 0 ? 16 : txn->loose_capacity * 2;
        void *grown = cellar_mem_realloc(txn->loose, capacity * sizeof *txn->loose);
        if (grown == NULL) {
            txn->status = txn->status == CELLAR_OK ? CELLAR_NO_MEMORY : txn->status;
            return txn->status;
        }
        txn->loose = grown;
        txn->loose_capacity = capacity;
    }
    txn->loose[txn->loose_count++] = id;
    return CELLAR_OK;
}

static enum cellar_status reference_loosen(struct store_env_txn *txn, const struct store_blob *blob)
{
    return store_env_blob_loosen(txn, blob->id);
}

void store_env_blobs_note(struct store_env_txn *txn, struct cellar_slice value)
{
    CELLAR_ASSERT(value.bytes >= STORE_ENV_ITEM_HEAD_BYTES);
    const struct cellar_slice rest = cellar_slice_make(value.data + STORE_ENV_ITEM_HEAD_BYTES,
                                                       value.bytes - STORE_ENV_ITEM_HEAD_BYTES);
    (void)references_walk(txn, rest, reference_loosen); /* a failure sticks */
}

static int id_order(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    CELLAR_ASSERT(left > 0 && right > 0);
    return left < right ? -1 : (left > right ? 1 : 0);
}

/* Whether a blob is on the list. */
static enum cellar_status is_listed(struct store_env_txn *txn, uint64_t id, bool *is_in)
{
    uint8_t bytes[ID_BYTES];
    MDB_val key = {sizeof bytes, bytes};
    MDB_val value;
    CELLAR_ASSERT(id > 0);
    cellar_put_u64be(bytes, id);
    store_map_call_begin(&txn->env->map);
    int code = mdb_get(txn->txn, txn->env->blobs_dbi, &key, &value);
    store_map_call_end();
    *is_in = code == MDB_SUCCESS;
    return code == MDB_NOTFOUND ? CELLAR_OK : store_env_status(code);
}

enum cellar_status store_env_blobs_gone(struct store_env_txn *txn, uint64_t **ids, size_t *count)
{
    size_t kept = 0;
    CELLAR_ASSERT(txn->is_write);
    *ids = NULL;
    *count = 0;
    if (txn->status != CELLAR_OK || txn->loose_count == 0) {
        return txn->status;
    }
    qsort(txn->loose, txn->loose_count, sizeof txn->loose[0], id_order);
    for (size_t i = 0; i < txn->loose_count; i++) {
        bool is_in = false;
        if (i > 0 && txn->loose[i] == txn->loose[i - 1]) {
            continue;
        }
        CELLAR_TRY(is_listed(txn, txn->loose[i], &is_in));
        if (!is_in) {
            uint64_t id = txn->loose[i];
            txn->loose[kept++] = id;
        }
    }
    CELLAR_ASSERT(kept <= txn->loose_count);
    *count = kept;
    *ids = txn->loose;
    txn->loose = NULL;
    txn->loose_count = 0;
    txn->loose_capacity = 0;
    return CELLAR_OK;
}

/* ---- the list -------------------------------------------------------------------------------- */

static enum cellar_status reference_list(struct store_env_txn *txn, const struct store_blob *blob)
{
    uint8_t key[ID_BYTES];
    uint8_t reference[STORE_BLOB_REFERENCE_BYTES];
    CELLAR_ASSERT(blob->id > 0);
    cellar_put_u64be(key, blob->id);
    store_blob_encode(reference, blob);
    return store_env_item_put(txn, txn->env->blobs_dbi, cellar_slice_make(key, sizeof key),
                              cellar_slice_make(reference + ID_BYTES, REST_BYTES));
}

enum cellar_status store_env_blobs_update(struct store_env_txn *txn, size_t first,
                                          struct cellar_slice value)
{
    uint8_t key[ID_BYTES];
    CELLAR_ASSERT(first <= txn->loose_count);
    for (size_t i = first; i < txn->loose_count && txn->status == CELLAR_OK; i++) {
        cellar_put_u64be(key, txn->loose[i]);
        (void)store_env_item_delete(txn, txn->env->blobs_dbi, cellar_slice_make(key, sizeof key));
    }
    CELLAR_TRY(txn->status);
    return value.bytes == 0 ? CELLAR_OK : references_walk(txn, value, reference_list);
}

/* Takes the list's first or next id. @return what LMDB says; MDB_CORRUPTED for a key that is no id
 */
static int id_get(struct store_env_txn *txn, MDB_cursor *cursor, MDB_cursor_op op, uint64_t *id)
{
    MDB_val key;
    MDB_val value;
    store_map_call_begin(&txn->env->map);
    int code = mdb_cursor_get(cursor, &key, &value, op);
    *id = code == MDB_SUCCESS && key.mv_size == ID_BYTES ? cellar_get_u64be(key.mv_data) : 0;
    store_map_call_end();
    CELLAR_ASSERT(*id == 0 || code == MDB_SUCCESS);
    return code == MDB_SUCCESS && *id == 0 ? MDB_CORRUPTED : code;
}

enum cellar_status store_env_blobs_walk(struct store_env_txn *txn, store_blob_visit_fn *visit,
                                        void *context)
{
    MDB_cursor *cursor = NULL;
    uint64_t id = 0;
    store_map_call_begin(&txn->env->map);
    int code = mdb_cursor_open(txn->txn, txn->env->blobs_dbi, &cursor);
    store_map_call_end();
    if (code != MDB_SUCCESS) {
        return store_env_status(code);
    }
    enum cellar_status status = CELLAR_OK;
    code = id_get(txn, cursor, MDB_FIRST, &id);
    while (code == MDB_SUCCESS && status == CELLAR_OK) {
        status = visit(context, id);
        code = id_get(txn, cursor, MDB_NEXT, &id);
    }
    mdb_cursor_close(cursor);
    CELLAR_ASSERT(code != MDB_SUCCESS || status != CELLAR_OK);
    return status != CELLAR_OK || code == MDB_NOTFOUND ? status : store_env_status(code);
}

static enum cellar_status id_loosen(void *context, uint64_t id)
{
    return store_env_blob_loosen(context, id);
}

enum cellar_status store_env_blobs_clear(struct store_env_txn *txn)
{
    CELLAR_ASSERT(txn->is_write);
    enum cellar_status status = store_env_blobs_walk(txn, id_loosen, txn);
    if (status == CELLAR_OK) {
        store_map_call_begin(&txn->env->map);
        status = store_env_status(mdb_drop(txn->txn, txn->env->blobs_dbi, 0));
        store_map_call_end();
    }
    if (txn->status == CELLAR_OK) {
        txn->status = status;
    }
    return txn->status;
}
