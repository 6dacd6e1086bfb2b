/*
 * The write transaction of an environment: items under long keys, the running count and sum of
 * their checksums, the sticky status.
 *
 * A key of more than 250 bytes goes through layers: `first 250 bytes, mark` in one database leads
 * to a layer id, under which the rest of the key stands in the layers database, again cut at 250. A
 * layer that loses its last item loses its mark. A layer id is never given out twice.
 *
 * The first failure of any call stays in txn->status; the following calls do nothing, and the
 * commit aborts and returns it.
 */
#include <errno.h>
#include <sys/statvfs.h>

#include "common/mem.h"
#include "server/storage/env_internal.h"

#define FULL_BYTES_MAX (UINT64_C(1) << 20) /* so little is left on a disk that counts as full */

/* Where an item stands: database, raw key, and how it was reached. */
struct place {
    MDB_dbi root; /* of its map */
    MDB_dbi dbi;
    struct env_raw_key raw;
    uint32_t level;
    uint64_t layers[STORE_ENV_LEVEL_COUNT_MAX];
};

/* Every code of LMDB in a write passes here, so no failure can be overlooked between a hundred
 * thousand puts. */
static enum cellar_status stick(struct store_env_txn *txn, int code)
{
    if (code != MDB_SUCCESS && txn->status == CELLAR_OK) {
        txn->status = store_env_status(code);
    }
    CELLAR_ASSERT(code == MDB_SUCCESS || txn->status != CELLAR_OK);
    return txn->status;
}

/* Before a change at a key. */
static bool path_check(struct store_env_txn *txn, MDB_dbi dbi, const struct env_raw_key *raw,
                       bool is_wide)
{
    bool is_sound = store_env_path_check(txn, dbi, raw, is_wide);
    if (!is_sound) {
        (void)stick(txn, MDB_CORRUPTED);
    }
    CELLAR_ASSERT(is_sound || txn->status != CELLAR_OK);
    return is_sound;
}

/* The checksum covers the mark's key, hence its place: a mark that stands elsewhere leads nowhere.
 */
uint64_t store_env_mark_decode(struct cellar_slice raw_key, struct cellar_slice value)
{
    if (value.bytes != STORE_ENV_ITEM_HEAD_BYTES + 8) {
        return 0;
    }
    struct cellar_slice rest = cellar_slice_make(value.data + STORE_ENV_ITEM_HEAD_BYTES, 8);
    CELLAR_ASSERT(raw_key.bytes > STORE_ENV_KEY_PART_MAX);
    return cellar_get_u32le(value.data) == store_env_item_crc(raw_key, rest)
               ? cellar_get_u64le(rest.data)
               : 0;
}

/* Makes a new layer and the mark that leads to it. @return its id, 0 on failure The counter goes on
 * with the transaction's state: an id is given out only where the commit that counts it is durable
 * too. */
static uint64_t mark_put(struct store_env_txn *txn, MDB_dbi dbi, const struct env_raw_key *raw)
{
    unsigned flags = txn->appends && dbi == txn->env->cells_dbi ? MDB_APPEND : 0;
    uint8_t bytes[STORE_ENV_ITEM_HEAD_BYTES + 8];
    uint64_t layer = txn->state.layer_next;
    cellar_put_u64le(bytes + STORE_ENV_ITEM_HEAD_BYTES, layer);
    cellar_put_u32le(bytes,
                     store_env_item_crc(cellar_slice_make(raw->bytes, raw->count),
                                        cellar_slice_make(bytes + STORE_ENV_ITEM_HEAD_BYTES, 8)));
    MDB_val key = store_env_raw_val(raw);
    MDB_val value = {sizeof bytes, bytes};
    if (!path_check(txn, dbi, raw, false) ||
        stick(txn, mdb_put(txn->txn, dbi, &key, &value, flags)) != CELLAR_OK) {
        return 0;
    }
    CELLAR_ASSERT(layer > 0);
    txn->state.layer_next++;
    txn->put_count++;
    return layer;
}

/* The layer behind a mark, made when asked for. @return 0 when there is none, or on failure 0 has
 * two meanings, which txn->status tells apart. */
static uint64_t mark_get(struct store_env_txn *txn, MDB_dbi dbi, const struct env_raw_key *raw,
                         bool may_make)
{
    MDB_val key = store_env_raw_val(raw);
    MDB_val value;
    int code = mdb_get(txn->txn, dbi, &key, &value);
    if (code == MDB_NOTFOUND) {
        return may_make ? mark_put(txn, dbi, raw) : 0;
    }
    if (stick(txn, code) != CELLAR_OK) {
        return 0;
    }
    uint64_t layer = store_env_mark_decode(cellar_slice_make(raw->bytes, raw->count),
                                           cellar_slice_make(value.mv_data, value.mv_size));
    CELLAR_ASSERT(raw->count > STORE_ENV_KEY_PART_MAX);
    if (layer == 0) {
        (void)stick(txn, MDB_CORRUPTED);
    }
    return layer;
}

/* Walks down from place->root to where `key` stands. @return false when a layer is missing, or on
 * failure Marks that were made on the way to an item whose put then fails go with the transaction.
 */
static bool place_find(struct store_env_txn *txn, struct cellar_slice key, bool may_make,
                       struct place *place)
{
    CELLAR_ASSERT(key.bytes > 0 && key.bytes <= STORE_ENV_KEY_BYTES_MAX);
    place->dbi = place->root;
    place->level = 0;
    place->layers[0] = 0;
    while (key.bytes > STORE_ENV_KEY_PART_MAX) {
        struct cellar_slice part = cellar_slice_make(key.data, STORE_ENV_KEY_PART_MAX);
        store_env_raw_key_make(&place->raw, place->layers[place->level], part, true);
        uint64_t layer = mark_get(txn, place->dbi, &place->raw, may_make);
        if (layer == 0) {
            return false;
        }
        place->layers[++place->level] = layer;
        place->dbi = txn->env->layers_dbi;
        key = cellar_slice_make(key.data + STORE_ENV_KEY_PART_MAX,
                                key.bytes - STORE_ENV_KEY_PART_MAX);
    }
    store_env_raw_key_make(&place->raw, place->layers[place->level], key, false);
    return true;
}

/* The bytes of all items are known, but for environments that were made before they were counted:
 * these have 0 while they hold any. */
static bool bytes_are_known(const struct store_env_state *state)
{
    CELLAR_ASSERT(state->layer_next > 0);
    return state->item_bytes > 0 || state->item_count == 0;
}

/* Adds an item to count, sum and bytes. @param value_bytes  with the CRC */
static void item_count(struct store_env_state *state, size_t key_bytes, size_t value_bytes,
                       uint32_t crc)
{
    CELLAR_ASSERT(value_bytes >= STORE_ENV_ITEM_HEAD_BYTES);
    if (bytes_are_known(state)) {
        state->item_bytes += key_bytes + value_bytes;
    }
    state->item_count++;
    state->item_crc_sum += crc;
}

/* Takes one out of them. */
static void item_uncount(struct store_env_state *state, size_t key_bytes, const MDB_val *value)
{
    uint64_t bytes = key_bytes + value->mv_size;
    CELLAR_ASSERT(state->item_count > 0); /* the caller has looked */
    if (state->item_bytes > 0) {
        state->item_bytes = state->item_bytes > bytes ? state->item_bytes - bytes : 1;
    }
    state->item_count--;
    state->item_crc_sum -= cellar_get_u32le(value->mv_data);
    if (state->item_count == 0) {
        state->item_bytes = 0;
    }
}

/* Moves to the item that stands at a place, if any, and takes it out of count and sum. @return
 * whether there was one; the cursor is on it then */
static bool place_uncount(struct store_env_txn *txn, MDB_cursor *cursor, const struct place *place,
                          size_t key_bytes)
{
    MDB_val key = store_env_raw_val(&place->raw);
    MDB_val value;
    int code = mdb_cursor_get(cursor, &key, &value, MDB_SET_KEY);
    if (code == MDB_NOTFOUND || stick(txn, code) != CELLAR_OK) {
        return false;
    }
    if (value.mv_size < STORE_ENV_ITEM_HEAD_BYTES || !store_env_holds(txn->env, &value) ||
        !store_env_overflow_check(txn, &value)) {
        (void)stick(txn, MDB_CORRUPTED);
        return false;
    }
    if (txn->state.item_count == 0) {
        (void)stick(txn, MDB_CORRUPTED);
        return false;
    }
    CELLAR_ASSERT(cursor != NULL);
    item_uncount(&txn->state, key_bytes, &value);
    if (place->root == txn->env->cells_dbi) {
        store_env_blobs_note(txn, cellar_slice_make(value.mv_data, value.mv_size));
    }
    return true;
}

/* The cursor that writes to a database: a put that follows a look at the same place finds its page
 * at once. NULL on failure. */
static MDB_cursor *writer_get(struct store_env_txn *txn, MDB_dbi dbi)
{
    CELLAR_ASSERT(txn->is_write && dbi < CELLAR_ARRAY_COUNT(txn->writers));
    if (txn->writers[dbi] == NULL) {
        (void)stick(txn, mdb_cursor_open(txn->txn, dbi, &txn->writers[dbi]));
    }
    return txn->writers[dbi];
}

/* Layers are not in the order of keys, so there is no appending to them. */
static enum cellar_status item_store(struct store_env_txn *txn, MDB_dbi root,
                                     struct cellar_slice key, struct cellar_slice value)
{
    struct place place = {.root = root};
    if (txn->status != CELLAR_OK || !place_find(txn, key, true, &place)) {
        return txn->status;
    }
    MDB_cursor *cursor =
        path_check(txn, place.dbi, &place.raw, false) ? writer_get(txn, place.dbi) : NULL;
    bool appends = txn->appends && place.level == 0;
    if (cursor != NULL && !appends) {
        (void)place_uncount(txn, cursor, &place, key.bytes);
    }
    MDB_val raw = store_env_raw_val(&place.raw);
    MDB_val room = {STORE_ENV_ITEM_HEAD_BYTES + value.bytes, NULL};
    unsigned flags = appends ? MDB_RESERVE | MDB_APPEND : MDB_RESERVE;
    int code = txn->status == CELLAR_OK ? mdb_cursor_put(cursor, &raw, &room, flags) : MDB_SUCCESS;
    if (stick(txn, code == MDB_KEYEXIST ? MDB_CORRUPTED : code) != CELLAR_OK) {
        return txn->status;
    }
    uint32_t crc = store_env_item_crc(key, value);
    cellar_put_u32le(room.mv_data, crc);
    if (value.bytes > 0) {
        memcpy((uint8_t *)room.mv_data + STORE_ENV_ITEM_HEAD_BYTES, value.data, value.bytes);
    }
    item_count(&txn->state, key.bytes, room.mv_size, crc);
    txn->put_count += 1 + value.bytes / ENV_PAGE_BYTES;
    CELLAR_ASSERT(txn->state.item_count > 0);
    return CELLAR_OK;
}

enum cellar_status store_env_item_put(struct store_env_txn *txn, MDB_dbi root,
                                      struct cellar_slice key, struct cellar_slice value)
{
    store_map_call_begin(&txn->env->map);
    enum cellar_status status = item_store(txn, root, key, value);
    store_map_call_end();
    CELLAR_ASSERT(status == txn->status);
    return status;
}

enum cellar_status store_env_put(struct store_env_txn *txn, struct cellar_slice key,
                                 struct cellar_slice value)
{
    size_t loose_count = txn->loose_count;
    CELLAR_ASSERT(txn->is_write);
    CELLAR_TRY(store_env_item_put(txn, txn->env->cells_dbi, key, value));
    return store_env_blobs_update(txn, loose_count, value);
}

enum cellar_status store_env_append(struct store_env_txn *txn, struct cellar_slice key,
                                    struct cellar_slice value)
{
    CELLAR_ASSERT(txn->is_write && !txn->appends);
    txn->appends = true;
    enum cellar_status status = store_env_item_put(txn, txn->env->cells_dbi, key, value);
    txn->appends = false;
    return status == CELLAR_OK ? store_env_blobs_update(txn, txn->loose_count, value) : status;
}

enum cellar_status store_env_token_put(struct store_env_txn *txn, struct cellar_slice key,
                                       struct cellar_slice value)
{
    CELLAR_ASSERT(txn->is_write);
    return store_env_item_put(txn, txn->env->tokens_dbi, key, value);
}

/* Whether a layer holds no item any more. Asked after each deletion in a layer only; keys of more
 * than 250 bytes are rare. */
static bool layer_is_empty(struct store_env_txn *txn, uint64_t layer)
{
    struct env_raw_key raw;
    store_env_raw_key_make(&raw, layer, cellar_slice_make(NULL, 0), false);
    MDB_val key = store_env_raw_val(&raw);
    MDB_val value;
    MDB_cursor *cursor = NULL;
    if (stick(txn, mdb_cursor_open(txn->txn, txn->env->layers_dbi, &cursor)) != CELLAR_OK) {
        return false;
    }
    int code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    bool is_empty = code == MDB_NOTFOUND ||
                    (code == 0 && (key.mv_size < 8 || cellar_get_u64be(key.mv_data) != layer));
    if (code != 0 && code != MDB_NOTFOUND) {
        (void)stick(txn, code);
    }
    CELLAR_ASSERT(layer > 0);
    mdb_cursor_close(cursor);
    return is_empty;
}

/* Removes the marks of layers that became empty, from the innermost outwards. Else empty layers
 * would pile up, and a cursor would take one for damage. */
static void marks_remove(struct store_env_txn *txn, struct cellar_slice key, struct place *place)
{
    while (place->level > 0 && layer_is_empty(txn, place->layers[place->level])) {
        place->level--;
        struct cellar_slice part = cellar_slice_make(
            key.data + (size_t)place->level * STORE_ENV_KEY_PART_MAX, STORE_ENV_KEY_PART_MAX);
        store_env_raw_key_make(&place->raw, place->layers[place->level], part, true);
        MDB_dbi dbi = place->level == 0 ? place->root : txn->env->layers_dbi;
        MDB_val raw = store_env_raw_val(&place->raw);
        CELLAR_ASSERT(part.data + part.bytes <= key.data + key.bytes);
        if (!path_check(txn, dbi, &place->raw, true) ||
            stick(txn, mdb_del(txn->txn, dbi, &raw, NULL)) != CELLAR_OK) {
            return;
        }
    }
}

static enum cellar_status item_remove(struct store_env_txn *txn, MDB_dbi root,
                                      struct cellar_slice key)
{
    struct place place = {.root = root};
    if (txn->status != CELLAR_OK) {
        return txn->status;
    }
    bool is_found =
        place_find(txn, key, false, &place) && path_check(txn, place.dbi, &place.raw, true);
    MDB_cursor *cursor = is_found ? writer_get(txn, place.dbi) : NULL;
    if (cursor == NULL || !place_uncount(txn, cursor, &place, key.bytes)) {
        return txn->status == CELLAR_OK ? CELLAR_NOT_FOUND : txn->status;
    }
    if (stick(txn, mdb_cursor_del(cursor, 0)) == CELLAR_OK) {
        marks_remove(txn, key, &place);
    }
    CELLAR_ASSERT(txn->is_write);
    txn->put_count++;
    return txn->status;
}

enum cellar_status store_env_item_delete(struct store_env_txn *txn, MDB_dbi root,
                                         struct cellar_slice key)
{
    store_map_call_begin(&txn->env->map);
    enum cellar_status status = item_remove(txn, root, key);
    store_map_call_end();
    CELLAR_ASSERT(status == txn->status || status == CELLAR_NOT_FOUND);
    return status;
}

enum cellar_status store_env_delete(struct store_env_txn *txn, struct cellar_slice key)
{
    size_t loose_count = txn->loose_count;
    CELLAR_ASSERT(txn->is_write);
    CELLAR_TRY(store_env_item_delete(txn, txn->env->cells_dbi, key));
    return store_env_blobs_update(txn, loose_count, cellar_slice_make(NULL, 0));
}

enum cellar_status store_env_token_delete(struct store_env_txn *txn, struct cellar_slice key)
{
    CELLAR_ASSERT(txn->is_write);
    return store_env_item_delete(txn, txn->env->tokens_dbi, key);
}

static enum cellar_status token_find(struct store_env_txn *txn, struct cellar_slice key,
                                     struct cellar_slice *value)
{
    CELLAR_ASSERT(key.bytes > 0);
    struct place place = {.root = txn->env->tokens_dbi};
    if (txn->status != CELLAR_OK || !place_find(txn, key, false, &place)) {
        return txn->status == CELLAR_OK ? CELLAR_NOT_FOUND : txn->status;
    }
    MDB_val raw = store_env_raw_val(&place.raw);
    MDB_val found;
    int code = mdb_get(txn->txn, place.dbi, &raw, &found);
    if (code != MDB_SUCCESS) {
        return code == MDB_NOTFOUND ? CELLAR_NOT_FOUND : stick(txn, code);
    }
    if (found.mv_size < STORE_ENV_ITEM_HEAD_BYTES || !store_env_holds(txn->env, &found)) {
        return stick(txn, MDB_CORRUPTED);
    }
    const uint8_t *data = found.mv_data;
    struct cellar_slice rest = cellar_slice_make(data + STORE_ENV_ITEM_HEAD_BYTES,
                                                 found.mv_size - STORE_ENV_ITEM_HEAD_BYTES);
    if (cellar_get_u32le(data) != store_env_item_crc(key, rest)) {
        return stick(txn, MDB_CORRUPTED);
    }
    *value = rest;
    return CELLAR_OK;
}

enum cellar_status store_env_token_get(struct store_env_txn *txn, struct cellar_slice key,
                                       struct cellar_slice *value)
{
    store_map_call_begin(&txn->env->map);
    enum cellar_status status = token_find(txn, key, value);
    store_map_call_end();
    CELLAR_ASSERT(status != CELLAR_OK || value->data != NULL);
    return status;
}

/* Sum and bytes of the tokens: what is left of the environment's when its cells are gone. */
static enum cellar_status tokens_sum(struct store_env_txn *txn, uint64_t *sum, uint64_t *bytes)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    *sum = 0;
    *bytes = 0;
    if (stick(txn, mdb_cursor_open(txn->txn, txn->env->tokens_dbi, &cursor)) != CELLAR_OK) {
        return txn->status;
    }
    int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (code == MDB_SUCCESS) {
        if (value.mv_size < STORE_ENV_ITEM_HEAD_BYTES) {
            code = MDB_CORRUPTED;
            break;
        }
        *sum += cellar_get_u32le(value.mv_data);
        *bytes += key.mv_size + value.mv_size;
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    CELLAR_ASSERT(code != MDB_SUCCESS);
    return code == MDB_NOTFOUND ? txn->status : stick(txn, code);
}

/* Long keys of cells and of tokens lead to one database, from which LMDB cannot drop a part; the
 * caller then removes items one by one. */
static enum cellar_status cells_clear(struct store_env_txn *txn, bool *is_done)
{
    MDB_stat layers;
    MDB_stat tokens;
    uint64_t sum = 0;
    uint64_t bytes = 0;
    CELLAR_ASSERT(txn->is_write);
    *is_done = false;
    if (txn->status != CELLAR_OK ||
        stick(txn, mdb_stat(txn->txn, txn->env->layers_dbi, &layers)) != CELLAR_OK ||
        stick(txn, mdb_stat(txn->txn, txn->env->tokens_dbi, &tokens)) != CELLAR_OK ||
        layers.ms_entries > 0) {
        return txn->status;
    }
    CELLAR_TRY(tokens_sum(txn, &sum, &bytes));
    CELLAR_TRY(stick(txn, mdb_drop(txn->txn, txn->env->cells_dbi, 0)));
    txn->state.item_count = tokens.ms_entries;
    txn->state.item_crc_sum = sum;
    txn->state.item_bytes = bytes;
    *is_done = true;
    return CELLAR_OK;
}

enum cellar_status store_env_cells_clear(struct store_env_txn *txn, bool *is_done)
{
    store_map_call_begin(&txn->env->map);
    enum cellar_status status = cells_clear(txn, is_done);
    store_map_call_end();
    CELLAR_ASSERT(!*is_done || status == CELLAR_OK);
    return *is_done ? store_env_blobs_clear(txn) : status;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static int meta_check(const struct store_env *env)
{
    MDB_envinfo facts;
    CELLAR_ASSERT(env->native != NULL);
    int code = mdb_env_info(env->native, &facts);
    return code != 0 || store_env_meta_is_sound(&facts) ? code : MDB_CORRUPTED;
}

static enum cellar_status write_begin(struct store_env_txn *txn)
{
    struct store_env *env = txn->env;
    int code = mdb_txn_begin(env->native, NULL, 0, &txn->txn);
    code = code != 0 ? code : meta_check(env);
    code = code != 0 ? code : mdb_cursor_open(txn->txn, env->cells_dbi, &txn->cells);
    code = code != 0 ? code : mdb_cursor_open(txn->txn, env->layers_dbi, &txn->layers);
    enum cellar_status status = store_env_status(code);
    if (status == CELLAR_OK) {
        status = store_env_state_read(env, txn->txn, &txn->state);
    }
    if (status == CELLAR_OK) {
        status = store_env_pending_read(env, txn->txn, txn->state.pending_count, &txn->pending);
    }
    if (status == CELLAR_OK) {
        status = store_env_verify_begin(txn);
    }
    CELLAR_ASSERT(status != CELLAR_OK || txn->layers != NULL);
    return status;
}

/* Holds the gate like a reader: a reopening waits for the checkpoint too. */
enum cellar_status store_env_write_begin(struct store_env *env, struct store_env_txn *txn)
{
    memset(txn, 0, sizeof *txn);
    txn->env = env;
    txn->is_write = true;
    CELLAR_TRY(store_env_enter(env));
    txn->is_open = true;
    store_map_call_begin(&env->map);
    enum cellar_status status = write_begin(txn);
    store_map_call_end();
    if (status != CELLAR_OK) {
        store_env_abort(txn);
    }
    return status;
}

/* Ends a transaction that LMDB has ended, and notes the memory that it left. LMDB keeps every dirty
 * page of a transaction for the next one, which takes these first: the most of all counts. */
static void write_end(struct store_env_txn *txn, bool is_committed)
{
    struct store_env *env = txn->env;
    struct store_env_growth growth = {0};
    txn->tokens = NULL; /* LMDB closes a write transaction's cursors with it */
    cellar_mem_free(txn->loose);
    txn->loose = NULL;
    store_range_set_fini(&txn->pending);
    store_env_verify_end(txn);
    if (env->native != NULL) {
        store_env_measure(env, &growth);
    }
    uint64_t pages = (is_committed ? growth.freed + growth.live : txn->put_count * 2) + 16;
    uint64_t left = pages * ENV_PAGE_BYTES;
    if (left > atomic_load(&env->retained_bytes)) {
        atomic_store(&env->retained_bytes, left);
    }
    CELLAR_ASSERT(txn->is_write);
    (void)pthread_rwlock_unlock(&env->gate);
    txn->txn = NULL;
    txn->is_open = false;
}

/* Neither the transaction nor its cursors are touched any more. */
void store_env_write_lose(struct store_env_txn *txn)
{
    struct store_env *env = txn->env;
    CELLAR_ASSERT(txn->is_write && txn->is_open);
    atomic_store(&env->map.is_damaged, true);
    cellar_mem_free(txn->loose);
    txn->loose = NULL;
    store_range_set_fini(&txn->pending);
    store_env_verify_end(txn);
    env->is_lost = true;
    (void)pthread_rwlock_unlock(&env->gate);
    txn->txn = NULL;
    txn->is_open = false;
}

void store_env_abort(struct store_env_txn *txn)
{
    CELLAR_ASSERT(txn->is_write);
    if (txn->txn != NULL) {
        store_map_call_begin(&txn->env->map);
        mdb_txn_abort(txn->txn);
        store_map_call_end();
    }
    write_end(txn, false);
}

/* LMDB calls it an I/O error when the disk took only a part of what it was given: what a full disk
 * does. Such a commit is as if it had not been tried, and may be tried again once there is space.
 */
static enum cellar_status commit_status(const struct store_env *env, int code)
{
    struct statvfs facts;
    CELLAR_ASSERT(env->directory != NULL);
    if (code == EIO && statvfs(env->directory, &facts) == 0 &&
        (uint64_t)facts.f_bavail * facts.f_frsize < FULL_BYTES_MAX) {
        return CELLAR_RESOURCE_EXHAUSTED;
    }
    return store_env_status(code);
}

/* The state goes in last, with the count and sum of all that went before. After a write or sync
 * that failed LMDB may refuse every further transaction (MDB_PANIC), and does not know itself
 * whether the commit landed. Opened anew, it takes the newest sound meta page, and its state tells.
 */
enum cellar_status store_env_commit(struct store_env_txn *txn)
{
    CELLAR_ASSERT(txn->is_write && txn->txn != NULL);
    if (txn->status == CELLAR_OK) {
        store_map_call_begin(&txn->env->map);
        txn->status = store_env_state_write(txn->env, txn->txn, &txn->state);
        store_map_call_end();
    }
    if (txn->status != CELLAR_OK) {
        enum cellar_status status = txn->status;
        store_env_abort(txn);
        return status;
    }
    struct store_env *env = txn->env;
    store_map_call_begin(&env->map);
    enum cellar_status status = commit_status(env, mdb_txn_commit(txn->txn));
    store_map_call_end();
    write_end(txn, status == CELLAR_OK);
    if (status != CELLAR_OK) {
        store_env_park(env);
    }
    return status;
}
