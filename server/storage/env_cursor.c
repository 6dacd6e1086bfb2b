/*
 * A cursor over items in the order of their whole keys, though long keys live in layers.
 *
 * There are two maps, cells and tokens, each with a database of its own as root; long keys of both
 * lead to one database of layers. The path from the root to the current item is a level and the ids
 * of the layers passed; the first 250 bytes of each level stand already in `key`. Two moves change
 * the level:
 *
 *     descend   the LMDB cursor is on a mark: go to the layer it names
 *     ascend    the LMDB cursor left its layer: find the mark it came from, and move on from there
 *
 * settle() repeats them until the LMDB cursor is on an item, or at the end of the root. A
 * key sorts before the mark that has it as its first 250 bytes, and the mark stands for longer keys
 * only, so LMDB's order is the order of whole keys.
 *
 * What is read is checked: marks and items have checksums, depth and key length have limits, an
 * empty layer is damage.
 */
#include "server/storage/env_internal.h"

#define CACHE_LINE_BYTES 64u

enum direction { FORWARD, BACKWARD };

/* What LMDB answered last. */
struct found {
    int code;
    MDB_val key;
    MDB_val value;
};

void store_env_cursor_init(struct store_env_cursor *cursor, struct store_env_txn *txn)
{
    CELLAR_ASSERT(txn != NULL);
    cursor->key = (struct cellar_buffer){0};
    store_env_cursor_move(cursor, txn);
}

/* The key's memory stays: a scan moves its cursor to a fresh transaction with each chunk. */
void store_env_cursor_move(struct store_env_cursor *cursor, struct store_env_txn *txn)
{
    CELLAR_ASSERT(txn->cells != NULL && txn->layers != NULL);
    cursor->txn = txn;
    cursor->root = txn->cells;
    cursor->page = 0;
    cursor->value = cellar_slice_make(NULL, 0);
    cursor->crc = 0;
    cursor->is_valid = false;
    cursor->level = 0;
    cursor->layers[0] = 0;
}

/* Few transactions look at tokens, so the native cursor is opened by the first that does. */
enum cellar_status store_env_cursor_init_tokens(struct store_env_cursor *cursor,
                                                struct store_env_txn *txn)
{
    store_env_cursor_init(cursor, txn);
    if (txn->tokens == NULL) {
        store_map_call_begin(&txn->env->map);
        int code = mdb_cursor_open(txn->txn, txn->env->tokens_dbi, &txn->tokens);
        store_map_call_end();
        if (code != MDB_SUCCESS) {
            return store_env_status(code);
        }
    }
    CELLAR_ASSERT(txn->tokens != NULL);
    cursor->root = txn->tokens;
    return CELLAR_OK;
}

void store_env_cursor_fini(struct store_env_cursor *cursor)
{
    cellar_buffer_fini(&cursor->key);
    cursor->is_valid = false;
    CELLAR_ASSERT(cursor->key.data == NULL);
}

static MDB_cursor *native_at(const struct store_env_cursor *cursor)
{
    CELLAR_ASSERT(cursor->level < STORE_ENV_LEVEL_COUNT_MAX);
    return cursor->level == 0 ? cursor->root : cursor->txn->layers;
}

static void native_get(const struct store_env_cursor *cursor, MDB_cursor_op operation,
                       struct found *found)
{
    CELLAR_ASSERT(found != NULL);
    store_map_call_begin(&cursor->txn->env->map);
    found->code = mdb_cursor_get(native_at(cursor), &found->key, &found->value, operation);
    store_map_call_end();
}

static void native_seek(const struct store_env_cursor *cursor, const struct env_raw_key *raw,
                        struct found *found)
{
    CELLAR_ASSERT(raw->count > 0);
    found->key = store_env_raw_val(raw);
    native_get(cursor, MDB_SET_RANGE, found);
}

/* Whether what was found lies in the current layer. All layers lie in one database, each under its
 * id, so the end of a layer shows by the id of the next. */
static bool is_in_level(const struct store_env_cursor *cursor, const struct found *found)
{
    if (found->code != MDB_SUCCESS || cursor->level == 0) {
        return found->code == MDB_SUCCESS;
    }
    CELLAR_ASSERT(cursor->layers[cursor->level] > 0);
    return found->key.mv_size >= 8 &&
           cellar_get_u64be(found->key.mv_data) == cursor->layers[cursor->level];
}

/* The part of the key behind the layer's id. Borrowed from the map, like all that LMDB gives. */
static struct cellar_slice part_of(const struct store_env_cursor *cursor, const struct found *found)
{
    size_t head = cursor->level == 0 ? 0 : 8;
    CELLAR_ASSERT(found->key.mv_size >= head);
    return cellar_slice_make((const uint8_t *)found->key.mv_data + head, found->key.mv_size - head);
}

/* Makes `key` the bytes of the levels passed, and then `part`. Only the last part is copied: what
 * the levels above contribute stands in the buffer already. */
static enum cellar_status key_extend(struct store_env_cursor *cursor, struct cellar_slice part)
{
    cursor->key.bytes = (size_t)cursor->level * STORE_ENV_KEY_PART_MAX;
    CELLAR_ASSERT(cursor->key.bytes <= cursor->key.capacity);
    return cellar_buffer_append(&cursor->key, part.data, part.bytes);
}

/* From the mark that was found into its layer. */
static enum cellar_status descend(struct store_env_cursor *cursor, const struct found *found)
{
    CELLAR_ASSERT(found->code == MDB_SUCCESS);
    struct cellar_slice part = part_of(cursor, found);
    part.bytes = STORE_ENV_KEY_PART_MAX;
    uint64_t layer =
        store_env_mark_decode(cellar_slice_make(found->key.mv_data, found->key.mv_size),
                              cellar_slice_make(found->value.mv_data, found->value.mv_size));
    if (layer == 0 || cursor->level + 1 >= STORE_ENV_LEVEL_COUNT_MAX) {
        return CELLAR_DATA_LOSS;
    }
    CELLAR_TRY(key_extend(cursor, part));
    cursor->layers[++cursor->level] = layer;
    return CELLAR_OK;
}

/* To the first or last entry of the layer just entered. Backwards there is no "last of this layer"
 * to ask for: the first of the next layer is looked for, and one step back from it. */
static void layer_enter(const struct store_env_cursor *cursor, enum direction direction,
                        struct found *found)
{
    struct env_raw_key raw;
    uint64_t layer = cursor->layers[cursor->level];
    CELLAR_ASSERT(layer > 0);
    if (direction == FORWARD) {
        store_env_raw_key_make(&raw, layer, cellar_slice_make(NULL, 0), false);
        native_seek(cursor, &raw, found);
        return;
    }
    store_env_raw_key_make(&raw, layer + 1, cellar_slice_make(NULL, 0), false);
    native_seek(cursor, &raw, found);
    native_get(cursor, found->code == MDB_NOTFOUND ? MDB_LAST : MDB_PREV, found);
}

/* Back to the mark that led into the current layer, and one on from there. A layer knows nothing of
 * where it hangs: the mark is found by the key's own bytes. */
static enum cellar_status ascend(struct store_env_cursor *cursor, enum direction direction,
                                 struct found *found)
{
    struct env_raw_key raw;
    CELLAR_ASSERT(cursor->level > 0);
    cursor->level--;
    const uint8_t *part = cursor->key.data + (size_t)cursor->level * STORE_ENV_KEY_PART_MAX;
    store_env_raw_key_make(&raw, cursor->layers[cursor->level],
                           cellar_slice_make(part, STORE_ENV_KEY_PART_MAX), true);
    native_seek(cursor, &raw, found);
    if (found->code != MDB_SUCCESS || found->key.mv_size != raw.count ||
        memcmp(found->key.mv_data, raw.bytes, raw.count) != 0) {
        return found->code == MDB_SUCCESS || found->code == MDB_NOTFOUND
                   ? CELLAR_DATA_LOSS
                   : store_env_status(found->code);
    }
    native_get(cursor, direction == FORWARD ? MDB_NEXT : MDB_PREV, found);
    if (found->code != MDB_SUCCESS) {
        return CELLAR_OK;
    }
    int order = cellar_slice_compare(cellar_slice_make(found->key.mv_data, found->key.mv_size),
                                     cellar_slice_make(raw.bytes, raw.count));
    return (direction == FORWARD ? order > 0 : order < 0) ? CELLAR_OK : CELLAR_DATA_LOSS;
}

/* The checksum is noted, not checked: who only counts keys need not read the values' pages. */
static enum cellar_status item_load(struct store_env_cursor *cursor, const struct found *found)
{
    if (found->value.mv_size < STORE_ENV_ITEM_HEAD_BYTES ||
        !store_env_holds(cursor->txn->env, &found->value)) {
        return CELLAR_DATA_LOSS;
    }
    CELLAR_TRY(key_extend(cursor, part_of(cursor, found)));
    const uint8_t *data = found->value.mv_data;
    cursor->crc = cellar_get_u32le(data);
    cursor->value = cellar_slice_make(data + STORE_ENV_ITEM_HEAD_BYTES,
                                      found->value.mv_size - STORE_ENV_ITEM_HEAD_BYTES);
    CELLAR_ASSERT(cursor->key.bytes <= cursor->key.capacity);
    cursor->page = (uintptr_t)found->key.mv_data / ENV_PAGE_BYTES;
    cursor->is_valid = cursor->key.bytes > 0;
    return cursor->is_valid ? CELLAR_OK : CELLAR_DATA_LOSS;
}

enum cellar_status store_env_cursor_check(const struct store_env_cursor *cursor)
{
    CELLAR_ASSERT(cursor->is_valid);
    return store_env_item_crc(cellar_slice_of(&cursor->key), cursor->value) == cursor->crc
               ? CELLAR_OK
               : CELLAR_DATA_LOSS;
}

/* Moves between levels until the cursor is on an item or at the end. Ends, since each turn goes to
 * another level or stops: a layer that was entered and is empty is damage, and marks cannot nest
 * deeper than STORE_ENV_LEVEL_COUNT_MAX. */
static enum cellar_status settle(struct store_env_cursor *cursor, enum direction direction,
                                 struct found *found)
{
    cursor->is_valid = false;
    for (;;) {
        if (found->code != MDB_SUCCESS && found->code != MDB_NOTFOUND) {
            return store_env_status(found->code);
        }
        if (!is_in_level(cursor, found)) {
            if (cursor->level == 0) {
                return CELLAR_OK;
            }
            CELLAR_TRY(ascend(cursor, direction, found));
            continue;
        }
        if (found->key.mv_size > ENV_RAW_KEY_BYTES_MAX) {
            return CELLAR_DATA_LOSS;
        }
        if (part_of(cursor, found).bytes <= STORE_ENV_KEY_PART_MAX) {
            return item_load(cursor, found);
        }
        CELLAR_TRY(descend(cursor, found));
        layer_enter(cursor, direction, found);
        if (!is_in_level(cursor, found)) {
            return CELLAR_DATA_LOSS; /* a mark without a layer */
        }
        CELLAR_ASSERT(cursor->level > 0);
    }
}

/* Without a mark for the beginning of a long key there is no such key; the LMDB cursor then stands
 * where the search goes on. */
static enum cellar_status seek_run(struct store_env_cursor *cursor, struct cellar_slice key)
{
    struct env_raw_key raw;
    struct found found = {0};
    while (key.bytes > STORE_ENV_KEY_PART_MAX) {
        store_env_raw_key_make(&raw, cursor->layers[cursor->level],
                               cellar_slice_make(key.data, STORE_ENV_KEY_PART_MAX), true);
        native_seek(cursor, &raw, &found);
        bool is_mark = found.code == MDB_SUCCESS && found.key.mv_size == raw.count &&
                       memcmp(found.key.mv_data, raw.bytes, raw.count) == 0;
        if (!is_mark) {
            return settle(cursor, FORWARD, &found);
        }
        CELLAR_TRY(descend(cursor, &found));
        key = cellar_slice_make(key.data + STORE_ENV_KEY_PART_MAX,
                                key.bytes - STORE_ENV_KEY_PART_MAX);
    }
    CELLAR_ASSERT(key.bytes <= STORE_ENV_KEY_PART_MAX);
    store_env_raw_key_make(&raw, cursor->layers[cursor->level], key, false);
    if (raw.count == 0) {
        native_get(cursor, MDB_FIRST, &found);
    } else {
        native_seek(cursor, &raw, &found);
    }
    return settle(cursor, FORWARD, &found);
}

/* An item before the key that was looked for stands in a page where it does not belong: a branch
 * has led astray, and rows would be given twice. */
enum cellar_status store_env_cursor_seek(struct store_env_cursor *cursor, struct cellar_slice key)
{
    cursor->is_valid = false;
    cursor->level = 0;
    CELLAR_TRY(seek_run(cursor, key));
    CELLAR_ASSERT(!cursor->is_valid || cursor->key.bytes > 0);
    if (cursor->is_valid && cellar_slice_compare(cellar_slice_of(&cursor->key), key) < 0) {
        cursor->is_valid = false;
        return CELLAR_DATA_LOSS;
    }
    return CELLAR_OK;
}

/* From where a seek ended to the item before it, which lies before `key` too unless that is empty.
 */
static enum cellar_status step_back(struct store_env_cursor *cursor, struct cellar_slice key)
{
    struct found found = {0};
    if (cursor->is_valid) {
        native_get(cursor, MDB_PREV, &found);
    } else {
        cursor->level = 0;
        native_get(cursor, MDB_LAST, &found);
    }
    CELLAR_ASSERT(cursor->level < STORE_ENV_LEVEL_COUNT_MAX);
    CELLAR_TRY(settle(cursor, BACKWARD, &found));
    if (cursor->is_valid && key.bytes > 0 &&
        cellar_slice_compare(cellar_slice_of(&cursor->key), key) >= 0) {
        cursor->is_valid = false;
        return CELLAR_DATA_LOSS;
    }
    return CELLAR_OK;
}

enum cellar_status store_env_cursor_seek_before(struct store_env_cursor *cursor,
                                                struct cellar_slice key)
{
    cursor->is_valid = false;
    if (key.bytes > 0) {
        CELLAR_TRY(store_env_cursor_seek(cursor, key));
    }
    CELLAR_ASSERT(!cursor->is_valid || cursor->key.bytes > 0);
    return step_back(cursor, key);
}

enum cellar_status store_env_cursor_seek_floor(struct store_env_cursor *cursor,
                                               struct cellar_slice key)
{
    CELLAR_ASSERT(key.bytes > 0);
    CELLAR_TRY(store_env_cursor_seek(cursor, key));
    bool is_exact = cursor->is_valid && cellar_slice_equal(cellar_slice_of(&cursor->key), key);
    return is_exact ? CELLAR_OK : step_back(cursor, key);
}

/* Whether what was found lies behind the current item, within a level: else pages are in disorder,
 * and a walk might not even end. */
static bool is_behind(const struct store_env_cursor *cursor, const struct found *found)
{
    size_t above = (size_t)cursor->level * STORE_ENV_KEY_PART_MAX;
    struct cellar_slice current =
        cellar_slice_make(cursor->key.data + above, cursor->key.bytes - above);
    CELLAR_ASSERT(cursor->key.bytes >= above);
    return !is_in_level(cursor, found) || cellar_slice_compare(part_of(cursor, found), current) > 0;
}

/* A walk's next page comes from anywhere in memory, and its items are read one after the other,
 * each with a wait of its own for memory. Asked for at once, the lines of the page come side by
 * side: a third off the time of a walk over pages that no cache holds. */
static void page_expect(const struct store_env_cursor *cursor, const struct found *found)
{
    uintptr_t page = (uintptr_t)found->key.mv_data / ENV_PAGE_BYTES;
    if (page == cursor->page) {
        return;
    }
    const uint8_t *start = found->key.mv_data;
    start -= (uintptr_t)start % ENV_PAGE_BYTES;
    for (size_t i = 0; i < ENV_PAGE_BYTES; i += CACHE_LINE_BYTES) {
        __builtin_prefetch(start + i);
    }
    CELLAR_ASSERT(page > 0);
}

enum cellar_status store_env_cursor_next(struct store_env_cursor *cursor)
{
    struct found found = {0};
    CELLAR_ASSERT(cursor->is_valid);
    native_get(cursor, MDB_NEXT, &found);
    if (found.code == MDB_SUCCESS) {
        page_expect(cursor, &found);
    }
    if (!is_behind(cursor, &found)) {
        cursor->is_valid = false;
        return CELLAR_DATA_LOSS;
    }
    return settle(cursor, FORWARD, &found);
}
