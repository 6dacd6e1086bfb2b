#ifndef CELLAR_STORAGE_ENV_H
#define CELLAR_STORAGE_ENV_H

#include <lmdb.h>

#include "common/buf.h"
#include "common/sync.h"
#include "server/storage/blob_files.h"
#include "server/storage/log_segment.h"
#include "server/storage/range.h"

/*
 * One generation of a store on disk: an LMDB environment with checked items under keys of any
 * length, and the state that says up to which LSN it holds the store. FORMAT.md, "Environments".
 * Only the files env_*.c call LMDB.
 *
 * A fault in the map (map_guard.h) marks the environment as damaged. What reads in a transaction
 * runs inside a guard, from its begin to its end; store_env_write() has its own.
 *
 * Keys of more than STORE_ENV_KEY_PART_MAX bytes are kept by layers: the first part with a mark
 * leads to a layer of a second database that holds the rest, and so on. An item's value begins with
 * a CRC-32C over its whole key and what follows.
 */

#define STORE_ENV_FORMAT_VERSION 1u
#define STORE_ENV_KEY_PART_MAX 250u
#define STORE_ENV_KEY_BYTES_MAX 41600u
#define STORE_ENV_LEVEL_COUNT_MAX (STORE_ENV_KEY_BYTES_MAX / STORE_ENV_KEY_PART_MAX + 2u)
#define STORE_ENV_ITEM_HEAD_BYTES 4u
#define STORE_ENV_PENDING_COUNT_MAX 64u
#define STORE_ENV_DBI_COUNT_MAX 10u /* LMDB's own two and eight */

struct store_env;

/** What an environment says about itself, changed with every checkpoint. */
struct store_env_state {
    uint32_t store_id;
    uint64_t generation;
    uint8_t log_id[STORE_LOG_ID_BYTES];
    uint64_t applied_lsn;    /* everything of the store up to here is in, nothing above */
    int64_t server_time_us;  /* the greatest given out in what was applied */
    uint32_t database_count; /* that must be there; 0: made before all were. Of reading only */
    uint64_t item_count;     /* items in cells and layers, marks not counted */
    uint64_t item_crc_sum;   /* sum of the items' CRCs, modulo 2^64 */
    uint64_t layer_next;     /* the next layer id, from 1 */
    uint64_t map_bytes;
    uint32_t pending_count; /* ranges that were dropped and are not removed yet */
    uint32_t made_s;        /* when the generation was made, seconds since 1970; 0: not known */
    uint64_t item_bytes;    /* of keys, checksums and values; 0 with items: not known */
};

/**
 * Makes an environment in a new directory: state written, files and directory synced.
 *
 * @param directory  made; what was there before is removed
 * @return CELLAR_OK, RESOURCE_EXHAUSTED (disk full), IO_ERROR, NO_MEMORY
 */
enum cellar_status store_env_create(const char *directory, const struct store_env_state *state,
                                    struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Opens an environment for one process.
 *
 * @return CELLAR_OK; DATA_LOSS (missing or damaged file or state), FAILED_PRECONDITION (another
 * version), IO_ERROR, NO_MEMORY
 */
enum cellar_status store_env_open(const char *directory, struct store_env **env,
                                  struct cellar_error *error) CELLAR_MUST_USE;

/** Closes it; no transaction is open. Takes NULL. */
void store_env_close(struct store_env *env);

/** Closes the LMDB environment, which gives back its descriptors, its map and the memory that write
 * transactions left; the next transaction opens it again. Waits for readers that run and holds up
 * new ones meanwhile. The caller is the only writer. */
void store_env_park(struct store_env *env);

/** The same unless a transaction began since the last such call, or one is running. @return whether
 * it is parked */
bool store_env_park_idle(struct store_env *env);

/** Opens a parked environment, which the next transaction would do, too. IO_ERROR, DATA_LOSS,
 * NO_MEMORY, RESOURCE_EXHAUSTED: it stays parked. Any thread. */
enum cellar_status store_env_wake(struct store_env *env) CELLAR_MUST_USE;

/** Counts who uses an environment beside its owner; an owner that gave it up closes it when there
 * is nobody left. Any thread. */
void store_env_ref(struct store_env *env);
void store_env_unref(struct store_env *env);
bool store_env_has_users(const struct store_env *env);

/** Whether commits wait for the disk, as they do from the opening on. An environment that nothing
 * depends on yet may be built without. */
void store_env_durable_set(struct store_env *env, bool is_durable);

/** Brings all that was committed to the disk. IO_ERROR, RESOURCE_EXHAUSTED. Blocks. */
enum cellar_status store_env_sync(struct store_env *env) CELLAR_MUST_USE;

/** Has an open environment counted while it is open, from now on to its end. */
void store_env_count_by(struct store_env *env, _Atomic uint32_t *open_count);

/** Bytes of pages that write transactions left in memory since the last (re)open. Any thread. */
uint64_t store_env_retained_bytes(const struct store_env *env);

/** Pages that the trees hold, as of the last commit or open: no transaction can change more old
 * ones. Any thread. */
uint64_t store_env_live_page_count(const struct store_env *env);

/** Whether a fault was met in it: it is neither read nor written any more, until it is opened by
 * another start. Any thread. */
bool store_env_is_damaged(const struct store_env *env);

/** Whether the LMDB environment is open. Any thread. */
bool store_env_is_open(const struct store_env *env);

/** The size of the map. Any thread. */
uint64_t store_env_map_bytes(const struct store_env *env);

/** Bytes of the file in use or free to be used again, likewise. Any thread. */
uint64_t store_env_used_bytes(const struct store_env *env);

/** How full the map is, 0..100, likewise. Any thread. */
unsigned store_env_used_percent(const struct store_env *env);

/** Bytes left until the map is `percent` full, likewise. Any thread. */
uint64_t store_env_room_bytes(const struct store_env *env, unsigned percent);

/* ---- what is in memory ----------------------------------------------------------------------- */

/**
 * Whether a part of the map is in memory, so that reading it waits for no disk. What lies outside
 * the map or behind the file's last page counts as such. Some microseconds a MiB.
 *
 * @param at  a place that a read transaction gave, which has not ended
 */
bool store_env_is_resident(const struct store_env *env, const void *at, size_t bytes);

/** Where the map begins; NULL when that is not known. In a read transaction. */
const uint8_t *store_env_map_start(const struct store_env *env);

/** Has the disk begin to read the pages of a part of the map that are not in memory, and does not
 * wait for them. @param at  as above */
void store_env_fetch(const struct store_env *env, const void *at, size_t bytes);

/* ---- transactions ---------------------------------------------------------------------------- */

/** A read or write transaction. Remembers its first failure: later calls do nothing and return it.
 * One thread at a time. */
struct store_env_txn {
    struct store_env *env;
    MDB_txn *txn;
    MDB_cursor *cells; /* of the cursor, kept for reuse */
    MDB_cursor *layers;
    MDB_cursor *tokens;                           /* NULL until a cursor over tokens wants it */
    MDB_cursor *writers[STORE_ENV_DBI_COUNT_MAX]; /* of puts, by database; NULL until wanted */
    struct store_env_txn *next;                   /* in the env's list of idle readers */
    struct store_env_state state;
    struct store_range_set pending; /* as of the state: items in these ranges count as gone */
    size_t txn_id; /* of the commit that the state is kept of; 0: not known for certain */
    enum cellar_status status;
    uint64_t put_count;
    uint64_t *loose; /* blobs that were taken off the list; a write's */
    size_t loose_count;
    size_t loose_capacity;
    struct store_env_sound *sound; /* pages that a write transaction has looked at */
    bool is_write;
    bool appends; /* within store_env_append() */
    bool is_open; /* of a write transaction: begun and not ended */
};

/** Begins (mostly: renews) a read transaction and reads the state. IO_ERROR, DATA_LOSS, NO_MEMORY,
 * RESOURCE_EXHAUSTED (readers). Any thread. */
enum cellar_status store_env_read_begin(struct store_env *env, struct store_env_txn **txn)
    CELLAR_MUST_USE;

/** Ends a read transaction; its slices are void. Takes NULL. */
void store_env_read_end(struct store_env_txn *txn);

/**
 * Runs a write transaction: begins it, has `work` change it, and commits when that returns
 * CELLAR_OK, else aborts. Caught faults included, after which the environment is damaged.
 *
 * @param txn   the caller's storage; `work` finds it there
 * @param work  as map_guard.h says; its context is borrowed
 * @return what store_env_write_begin() and store_env_commit() return, or `work`; DATA_LOSS after a
 * fault
 */
enum cellar_status store_env_write(struct store_env *env, struct store_env_txn *txn,
                                   enum cellar_status (*work)(void *context), void *context)
    CELLAR_MUST_USE;

/** Begins the one write transaction, in the caller's storage, without a guard. IO_ERROR, NO_MEMORY,
 * DATA_LOSS. Blocks while there is another. */
enum cellar_status store_env_write_begin(struct store_env *env, struct store_env_txn *txn)
    CELLAR_MUST_USE;

/** Stores the item: its CRC is computed here. @param value what follows the CRC; borrowed. First
 * failure sticks: RESOURCE_EXHAUSTED (map or disk full), IO_ERROR, NO_MEMORY. */
enum cellar_status store_env_put(struct store_env_txn *txn, struct cellar_slice key,
                                 struct cellar_slice value);

/** As store_env_put(), for a key behind all that are there: pages are filled to their end. Such a
 * key is not looked up, so one that is not behind all is CELLAR_DATA_LOSS. */
enum cellar_status store_env_append(struct store_env_txn *txn, struct cellar_slice key,
                                    struct cellar_slice value);

/** Removes the item; CELLAR_NOT_FOUND (which does not stick) when there is none. */
enum cellar_status store_env_delete(struct store_env_txn *txn, struct cellar_slice key);

/** As store_env_put(), in the map of tokens. */
enum cellar_status store_env_token_put(struct store_env_txn *txn, struct cellar_slice key,
                                       struct cellar_slice value);

/** As store_env_delete(), in the map of tokens. */
enum cellar_status store_env_token_delete(struct store_env_txn *txn, struct cellar_slice key);

/** Finds a token's item, in a read transaction too. @param value receives what stands behind the
 * CRC, borrowed from the map. NOT_FOUND; DATA_LOSS, IO_ERROR. */
enum cellar_status store_env_token_get(struct store_env_txn *txn, struct cellar_slice key,
                                       struct cellar_slice *value) CELLAR_MUST_USE;

/**
 * Removes from the blobs that were taken off the list in this transaction those that are on it
 * again, once, before the commit. Cells keep the list in step (env_blobs.c).
 *
 * @param ids  receives what no cell names any more, in order; NULL for none; the caller frees it
 * @return CELLAR_OK, or the first failure
 */
enum cellar_status store_env_blobs_gone(struct store_env_txn *txn, uint64_t **ids, size_t *count)
    CELLAR_MUST_USE;

/** Notes a blob that no cell may name, as one that a memtable's record names. Sticks: NO_MEMORY. */
enum cellar_status store_env_blob_loosen(struct store_env_txn *txn, uint64_t id) CELLAR_MUST_USE;

/** Calls `visit` for each blob on the list, in order, until one call fails. @return CELLAR_OK, what
 * `visit` returned, DATA_LOSS, IO_ERROR, NO_MEMORY */
enum cellar_status store_env_blobs_walk(struct store_env_txn *txn, store_blob_visit_fn *visit,
                                        void *context) CELLAR_MUST_USE;

/** Makes `set` the ranges that count as gone, from this transaction's commit on. Sticks as above.
 * @param set  at most STORE_ENV_PENDING_COUNT_MAX */
enum cellar_status store_env_pending_put(struct store_env_txn *txn,
                                         const struct store_range_set *set) CELLAR_MUST_USE;

/**
 * Removes all cells at once, at a cost in proportion to the tokens and the pages that are freed.
 *
 * @param is_done  receives false when keys longer than LMDB's are there: nothing was removed then
 * @return as above
 */
enum cellar_status store_env_cells_clear(struct store_env_txn *txn, bool *is_done) CELLAR_MUST_USE;

/** Writes txn->state and commits, durable at return; or aborts when anything failed before. @return
 * the first failure. Ends the transaction. */
enum cellar_status store_env_commit(struct store_env_txn *txn) CELLAR_MUST_USE;

/** Ends a write transaction without effect. */
void store_env_abort(struct store_env_txn *txn);

/** Translates LMDB's codes, here only. */
enum cellar_status store_env_status(int code);

/* ---- cursor ---------------------------------------------------------------------------------- */

/** Walks the items of one map, cells or tokens, in key order, through all layers. Initialised with
 * store_env_cursor_init(); one a transaction at a time. */
struct store_env_cursor {
    struct store_env_txn *txn;
    MDB_cursor *root;         /* cells or tokens */
    uintptr_t page;           /* of the map, that the current item's key lies in */
    struct cellar_buffer key; /* the whole key of the current item */
    struct cellar_slice
        value;      /* behind the CRC; borrowed from the map; see store_env_cursor_check() */
    uint32_t crc;   /* the item's */
    bool is_valid;  /* on an item */
    uint32_t level; /* depth of the current item */
    uint64_t layers[STORE_ENV_LEVEL_COUNT_MAX]; /* ids of the layers on the path; [0] unused */
};

/** Prepares a cursor over a transaction's cells; allocates nothing. */
void store_env_cursor_init(struct store_env_cursor *cursor, struct store_env_txn *txn);

/** Makes an idle cursor one over another transaction's cells; its memory is kept. */
void store_env_cursor_move(struct store_env_cursor *cursor, struct store_env_txn *txn);

/** Prepares a cursor over a transaction's tokens. IO_ERROR, NO_MEMORY. */
enum cellar_status store_env_cursor_init_tokens(struct store_env_cursor *cursor,
                                                struct store_env_txn *txn) CELLAR_MUST_USE;

/** Frees the key's memory; the transaction may have ended. */
void store_env_cursor_fini(struct store_env_cursor *cursor);

/** Moves to the first item at or behind `key`; is_valid tells whether there is one. DATA_LOSS
 * (checksum, layers), IO_ERROR, NO_MEMORY. */
enum cellar_status store_env_cursor_seek(struct store_env_cursor *cursor, struct cellar_slice key)
    CELLAR_MUST_USE;

/** Moves to the last item before `key`; an empty key asks for the very last item. Errors as above.
 */
enum cellar_status store_env_cursor_seek_before(struct store_env_cursor *cursor,
                                                struct cellar_slice key) CELLAR_MUST_USE;

/** Moves to the item at `key`, else to the last one before it. Errors as above. */
enum cellar_status store_env_cursor_seek_floor(struct store_env_cursor *cursor,
                                               struct cellar_slice key) CELLAR_MUST_USE;

/** Holds the current item against its checksum; to be called before its value is used. DATA_LOSS.
 */
enum cellar_status store_env_cursor_check(const struct store_env_cursor *cursor) CELLAR_MUST_USE;

/** Moves on by one item; is_valid is false behind the last. Errors as above. */
enum cellar_status store_env_cursor_next(struct store_env_cursor *cursor) CELLAR_MUST_USE;

#endif
