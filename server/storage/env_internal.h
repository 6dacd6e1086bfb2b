#ifndef CELLAR_STORAGE_ENV_INTERNAL_H
#define CELLAR_STORAGE_ENV_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/storage/env.h"
#include "server/storage/map_guard.h"

/* What the files env_*.c share, and check_env.c and scrub.c for
 * the form of keys and of the state; nobody else includes this. */

#define STORE_ENV_DATABASE_COUNT 5u
#define ENV_STATE_BYTES 104u
#define ENV_MARK 0x01u
#define ENV_RAW_KEY_BYTES_MAX (8u + STORE_ENV_KEY_PART_MAX + 1u)
#define ENV_PAGE_BYTES 4096u
#define STORE_ENV_PENDING_KEY "pending" /* of the record beside the state */

struct store_env {
    char *directory;
    MDB_env *native;
    MDB_dbi state_dbi;
    MDB_dbi cells_dbi;
    MDB_dbi layers_dbi;
    MDB_dbi tokens_dbi;
    MDB_dbi blobs_dbi;
    pthread_rwlock_t gate; /* read: a read transaction runs; write: reopening */
    struct cellar_mutex lock;
    struct store_env_txn *idle CELLAR_GUARDED_BY(lock); /* reset read transactions */
    _Atomic uint64_t retained_bytes;
    _Atomic uint64_t page_count;
    _Atomic uint64_t live_page_count;
    _Atomic uint64_t map_bytes;
    _Atomic bool is_open;
    _Atomic bool was_used;        /* since store_env_park_idle() looked last */
    _Atomic uint32_t user_count;  /* beside the owner */
    _Atomic uint32_t *open_count; /* of all environments of an engine; NULL: nobody counts */
    struct store_map map;         /* damaged: neither read nor written any more */
    bool are_lists_checked;       /* of free pages, since it was opened; the writer's */
    bool is_lost; /* a fault ended LMDB half way: it is never closed; the gate, held for writing */
};

/** A key as LMDB stores it: at a level > 0 the layer's id stands before the part. */
struct env_raw_key {
    uint8_t bytes[ENV_RAW_KEY_BYTES_MAX];
    size_t count;
};

/** Makes the raw key of a part of 0..250 bytes, or of a mark (250 bytes and the mark). @param layer
 * 0 for the cells database */
static inline void store_env_raw_key_make(struct env_raw_key *raw, uint64_t layer,
                                          struct cellar_slice part, bool is_mark)
{
    size_t head = 0;
    CELLAR_ASSERT(part.bytes <= STORE_ENV_KEY_PART_MAX);
    if (layer != 0) {
        cellar_put_u64be(raw->bytes, layer);
        head = 8;
    }
    if (part.bytes > 0) {
        memcpy(raw->bytes + head, part.data, part.bytes);
    }
    raw->count = head + part.bytes;
    if (is_mark) {
        raw->bytes[raw->count++] = ENV_MARK;
    }
}

static inline MDB_val store_env_raw_val(const struct env_raw_key *raw)
{
    MDB_val val = {raw->count, (void *)(uintptr_t)raw->bytes};
    return val;
}

/** Takes the gate for reading, with LMDB open: opens it when it is parked. Errors as
 * store_env_wake(); the gate is not held then. */
enum cellar_status store_env_enter(struct store_env *env) CELLAR_MUST_USE;

/** Has LMDB's assertions end what the guard runs instead of the process. @return one of LMDB's
 * codes
 */
int store_env_assertions_catch(struct store_env *env);

/** Tells the guard where LMDB has mapped the file. Inside a transaction of the opening. @return one
 * of LMDB's codes */
int store_env_map_find(struct store_env *env, MDB_txn *txn);

/** Whether a value that LMDB gave ends inside the map: its length is read from a page, which may be
 * damaged. */
static inline bool store_env_holds(const struct store_env *env, const MDB_val *value)
{
    return store_map_holds(&env->map, value->mv_data, value->mv_size);
}

/** Whether the newest meta page names pages that the map has; LMDB follows pages up to there. */
static inline bool store_env_meta_is_sound(const MDB_envinfo *facts)
{
    return facts->me_last_pgno < facts->me_mapsize / ENV_PAGE_BYTES;
}

/** What the newest commit did: pages that it replaced, and pages that the trees grew by since they
 * were last measured. */
struct store_env_growth {
    uint64_t freed;
    uint64_t live;
};

/** Notes how large file, trees and map are. With the gate held, on an open environment, by the only
 * writer. @param growth receives zeros when LMDB does not tell */
void store_env_measure(struct store_env *env, struct store_env_growth *growth);

/** Looks at what every write transaction changes. DATA_LOSS, NO_MEMORY. Ended by
 * store_env_verify_end(), whatever it returned. */
enum cellar_status store_env_verify_begin(struct store_env_txn *txn) CELLAR_MUST_USE;

void store_env_verify_end(struct store_env_txn *txn);

/** Whether LMDB may put (`is_wide`: or delete) at a key: the pages are sound that it would change.
 */
bool store_env_path_check(struct store_env_txn *txn, MDB_dbi dbi, const struct env_raw_key *raw,
                          bool is_wide) CELLAR_MUST_USE;

/** Whether LMDB may free the overflow pages of a value that it has given, if it has such. */
bool store_env_overflow_check(const struct store_env_txn *txn, const MDB_val *value)
    CELLAR_MUST_USE;

/** Ends a write transaction that a fault has left half way: the environment is lost. */
void store_env_write_lose(struct store_env_txn *txn);

/** The CRC of an item or mark: over the key, then what follows the CRC in the value. */
uint32_t store_env_item_crc(struct cellar_slice key, struct cellar_slice rest);

/** Reads the id of the layer that a mark's value names. @return 0 on damage */
uint64_t store_env_mark_decode(struct cellar_slice raw_key, struct cellar_slice value);

/** Takes the state's record apart. DATA_LOSS, FAILED_PRECONDITION (version). */
enum cellar_status store_env_state_decode(struct cellar_slice value, struct store_env_state *state)
    CELLAR_MUST_USE;

/** Reads the state in a transaction. DATA_LOSS, FAILED_PRECONDITION (version). */
enum cellar_status store_env_state_read(struct store_env *env, MDB_txn *txn,
                                        struct store_env_state *state) CELLAR_MUST_USE;

/** Takes the record of pending ranges apart into an empty set. DATA_LOSS, NO_MEMORY: it is empty
 * still */
enum cellar_status store_env_pending_decode(struct cellar_slice value, struct store_range_set *set)
    CELLAR_MUST_USE;

/** Reads the pending ranges in a transaction; what the set held goes. Errors as above, IO_ERROR. */
enum cellar_status store_env_pending_read(struct store_env *env, MDB_txn *txn, uint32_t count,
                                          struct store_range_set *set) CELLAR_MUST_USE;

/** Puts an item into the map of a database: checked, counted. As store_env_put(). */
enum cellar_status store_env_item_put(struct store_env_txn *txn, MDB_dbi root,
                                      struct cellar_slice key, struct cellar_slice value);

/** Removes an item likewise. As store_env_delete(). */
enum cellar_status store_env_item_delete(struct store_env_txn *txn, MDB_dbi root,
                                         struct cellar_slice key);

/** Notes the blobs that a segment names which is about to be replaced or removed. A failure sticks.
 * @param value  the item as stored */
void store_env_blobs_note(struct store_env_txn *txn, struct cellar_slice value);

/**
 * Takes noted blobs off the list and puts on it those of a segment that was written.
 *
 * @param first  how many were noted before
 * @param value  of the segment, behind the CRC; empty: none was written
 * @return as store_env_put()
 */
enum cellar_status store_env_blobs_update(struct store_env_txn *txn, size_t first,
                                          struct cellar_slice value);

/** Empties the list; the state's count and sum are the caller's to set. As store_env_put(). */
enum cellar_status store_env_blobs_clear(struct store_env_txn *txn) CELLAR_MUST_USE;

/** Writes the state in a write transaction. */
enum cellar_status store_env_state_write(struct store_env *env, MDB_txn *txn,
                                         const struct store_env_state *state) CELLAR_MUST_USE;

#endif
