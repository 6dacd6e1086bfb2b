#ifndef CELLAR_STORAGE_STORE_H
#define CELLAR_STORAGE_STORE_H

#include <stdatomic.h>

#include "common/sync.h"
#include "server/storage/blob_epoch.h"
#include "server/storage/env.h"
#include "server/storage/filter.h"
#include "server/storage/log.h"
#include "server/storage/merge.h"
#include "server/storage/token.h"

/*
 * A store: one environment (its live generation) and the memtables above it.
 *
 * What a reader may trust, in this order, is a snapshot: the durable LSN V, then the view (a
 * counted set of memtables), then an LMDB read transaction with the applied LSN A in it. It sees S
 * = max(V, A): memtables at or below A are in LMDB already, folded; entries above S are invisible.
 * A view taken after the transaction would miss what a checkpoint moved meanwhile.
 *
 *     write:  append lock -> store_insert()                          active memtable grows
 *     freeze: append lock -> store_freeze()                          active becomes frozen, a new
 * one active checkpoint: store_checkpoint()                                 frozen -> LMDB, A
 * moves, frozen leaves the view
 */

/** So full may a map be before sets are refused. */
#define STORE_MAP_PERCENT_MAX 90u

/** The memtables of one moment, oldest first, the last is the active one, and the environment below
 * them. Counted, never changed. */
struct store_view {
    _Atomic uint32_t references;
    struct store_env *env; /* counted as used while the view lives */
    uint32_t memtable_count;
    struct store_memtable *memtables[STORE_MEMTABLE_COUNT_MAX];
    struct store_blob_epoch *epoch; /* a reference; NULL before it is the store's view */
};

struct store_compaction;

struct store {
    uint32_t id;
    uint64_t generation;
    struct store_env *env;     /* of the live generation; for who has claimed the store */
    struct store_blobs *blobs; /* NULL: none */
    struct cellar_mutex lock;  /* the pointers `view` and `epoch` */
    struct store_view *view CELLAR_GUARDED_BY(lock);
    struct store_blob_epoch *epoch CELLAR_GUARDED_BY(lock); /* a reference */
    struct store_memtable *active;                          /* the append lock's; the view's last */
    _Atomic uint64_t applied_lsn;                           /* what LMDB holds, for bookkeeping */
    int64_t first_insert_us; /* monotonic; of the active memtable; the append lock's */
    uint64_t looked_lsn;     /* the active memtable's last when a keeper saw it change, */
    int64_t looked_us;       /* and when that was, monotonic; the engine's lock */
    uint64_t
        first_position; /* log position of the active memtable's first record; the append lock's */
    uint64_t frozen_position; /* the same of the frozen one */
    bool is_checkpointing;    /* claimed: the engine's lock */
    _Atomic bool is_damaged;  /* takes no writes and no checkpoints; set once, with both locks */
    enum cellar_status told;  /* of the last checkpoint, in the server's log; who has claimed it */
    struct store_compaction *compaction; /* that takes part in checkpoints; who has claimed it */
    _Atomic(const struct store_filter_source *) filters; /* NULL: every cell is kept */
    _Atomic uint64_t live_pages;      /* that its trees hold, as of the last checkpoint */
    _Atomic uint64_t map_room_bytes;  /* what sets may still add before the map is 90 % full */
    _Atomic uint64_t pending_bytes;   /* of memtables that LMDB lacks */
    _Atomic uint64_t used_bytes;      /* of the file, as of the last checkpoint or the opening */
    _Atomic uint64_t item_bytes;      /* of its items; 0 with items: not known */
    _Atomic uint64_t written_bytes;   /* by checkpoints, since the opening or the last compaction */
    _Atomic int64_t made_us;          /* when the generation was made; 0: not known */
    _Atomic uint32_t pending_ranges;  /* dropped ones whose items LMDB still has */
    int64_t server_time_us;           /* the greatest that the environment knew at open */
    struct store_token_count tokens;  /* live ones; the append lock's */
    struct cellar_buffer token_sweep; /* where the sweep goes on; the checkpoint's */
};

/**
 * Opens a store whose environment exists.
 *
 * @param directory  of the generation
 * @param log_id     the environment must be of this log
 * @return as store_env_open(); DATA_LOSS when id, generation or log differ from what the
 * environment says
 */
enum cellar_status store_open(const char *directory, uint32_t id, uint64_t generation,
                              const uint8_t *log_id, struct store **store,
                              struct cellar_error *error) CELLAR_MUST_USE;

/** Notes what the live environment says of itself: pending ranges, bytes, age. Any thread that has
 * claimed the store. */
void store_state_note(struct store *store, const struct store_env_state *state);

/** Names the folder of the blobs that the store's cells refer to, borrowed until close. Once,
 * before the store is used; without it no file is removed. */
void store_blobs_use(struct store *store, struct store_blobs *blobs);

/** Closes and frees; no snapshot is open. Takes NULL. */
void store_close(struct store *store);

/** Inserts a batch under the append lock (or in recovery). @param position the log's, before the
 * record */
void store_insert(struct store *store, struct store_batch *batch, uint64_t lsn, uint64_t position);

/** Whether there is a memtable that waits for its checkpoint. Any thread. */
bool store_has_frozen(struct store *store);

/** A memtable and a view, made before the append lock is taken, for store_freeze(). */
struct store_freeze_kit {
    struct store_memtable *memtable;
    struct store_view *view;
};

/** Allocates a kit. CELLAR_NO_MEMORY. */
enum cellar_status store_freeze_kit_make(struct store_freeze_kit *kit) CELLAR_MUST_USE;

/** Frees what a kit still holds. */
void store_freeze_kit_fini(struct store_freeze_kit *kit);

/** With the append lock: freezes the active memtable unless it is empty or another is frozen. Takes
 * the kit's parts when it does. @return whether it did */
bool store_freeze(struct store *store, struct store_freeze_kit *kit);

/** With the append lock: the first LSN that LMDB may lack, UINT64_MAX when there is none, and its
 * log position. */
uint64_t store_oldest_unapplied(struct store *store, uint64_t *position);

/** Facts of the active memtable. */
static inline void store_active_facts(const struct store *store, struct store_memtable_facts *facts)
{
    store_memtable_facts(store->active, facts);
}

/**
 * Applies the frozen memtable in one durable transaction and takes it out of the view. One thread
 * at a time a store.
 *
 * @param log  its durable LSN is awaited before anything is written
 * @param item_count  receives the items written
 * @return CELLAR_OK (also without a frozen memtable); RESOURCE_EXHAUSTED (disk or map full),
 * IO_ERROR, DATA_LOSS, NO_MEMORY: the memtable stays
 */
enum cellar_status store_checkpoint(struct store *store, struct store_log *log,
                                    uint64_t *item_count) CELLAR_MUST_USE;

/* ---- views (store_view.c) -------------------------------------------------------------------- */

/** An empty view with one reference, its maker's; NULL without memory. Memtables and environment
 * are added before anybody else sees it; after that it never changes. */
struct store_view *store_view_new(void) CELLAR_MUST_USE;

/** Adds a memtable, which the view holds. */
void store_view_add(struct store_view *view, struct store_memtable *memtable);

/** Sets what the memtables lie above, which the view holds. */
void store_view_env_set(struct store_view *view, struct store_env *env);

/** Makes a view with memtables, but no environment yet, the store's, whose environment and epoch it
 * gets. @return the one before, whose reference is the caller's */
struct store_view *store_view_put(struct store *store, struct store_view *view)
    CELLAR_REQUIRES(store->lock);

/** Holds the store's view: what a snapshot that is taken meanwhile can see stays, blobs and
 * generations too. Any thread. */
struct store_view *store_view_hold(struct store *store);

/** Lets a view go, also one that was not used; takes NULL. Without the store's lock: the last one
 * frees memtables. */
void store_view_release(struct store_view *view);

/* ---- what the checkpoint does to the view ---------------------------------------------------- */

/** The frozen memtable, or NULL; it stays until store_view_shift(), which only the caller's thread
 * calls. */
struct store_memtable *store_frozen_get(struct store *store);

/** Takes the frozen memtable, now in LMDB, out of the view; `smaller` becomes the view. */
void store_view_shift(struct store *store, struct store_view *smaller);

/** Makes another generation the live one, which holds the same. With the append lock and the
 * engine's, on a claimed store. @param view an empty one, which becomes the store's @return the
 * environment of before, which readers may still use: the caller's */
struct store_env *store_env_swap(struct store *store, struct store_env *env, uint64_t generation,
                                 struct store_view *view);

/**
 * What a commit needs to let blobs go: made before it, so that nothing can fail behind it.
 *
 *     store_parting_make()   in the write transaction, when all else is written
 *     commit
 *     store_parting_end()    whatever became of it
 */
struct store_parting {
    uint64_t *ids; /* what no cell names any more */
    size_t count;
    struct store_blob_epoch *epoch; /* the next one; NULL when nothing goes */
    struct store_view *view;        /* likewise */
};

/** Finds out what goes with the transaction. As store_env_blobs_gone(); nothing is held then. */
enum cellar_status store_parting_make(struct store *store, struct store_env_txn *txn,
                                      struct store_parting *parting) CELLAR_MUST_USE;

/** After a commit begins the next epoch, after a failure frees what was made. The view becomes one
 * of the new epoch with the same memtables. */
void store_parting_end(struct store *store, struct store_parting *parting, bool is_committed);

/** Calls `visit` for each blob on the environment's list. As store_env_blobs_walk(), and the errors
 * of store_env_read_begin(). */
enum cellar_status store_blobs_listed(struct store *store, store_blob_visit_fn *visit,
                                      void *context) CELLAR_MUST_USE;

/** Calls `visit` for each blob that a record in a memtable names. Nobody inserts meanwhile. @return
 * CELLAR_OK, or what `visit` returned */
enum cellar_status store_blobs_recorded(struct store *store, store_blob_visit_fn *visit,
                                        void *context) CELLAR_MUST_USE;

/* ---- tokens ---------------------------------------------------------------------------------- */

/*
 * A token is looked up in two steps, so that no lock is held over the disk: first in the
 * environment, then, under the append lock, in the memtables. Between the two a checkpoint may have
 * moved the token from where the second step looks to where the first one looked; then the view has
 * changed, and both steps are done again.
 */

struct store_token_probe {
    struct store_view *view; /* of before the first step */
    bool is_stored;          /* the environment had the token */
};

/** The first step. @return CELLAR_OK, end it with store_token_probe_end(); DATA_LOSS, IO_ERROR,
 * NO_MEMORY, RESOURCE_EXHAUSTED. Any thread. */
enum cellar_status store_token_probe_begin(struct store *store, struct cellar_slice key,
                                           int64_t now_us, struct store_token_probe *probe)
    CELLAR_MUST_USE;

/** What the second step found. */
enum store_token_finding {
    STORE_TOKEN_AGAIN,   /* the view has changed: begin anew */
    STORE_TOKEN_UNKNOWN, /* never seen, or expired */
    STORE_TOKEN_KNOWN    /* its record is queued, or durable */
};

/** The second step, with the append lock. */
enum store_token_finding store_token_probe_find(struct store *store,
                                                const struct store_token_probe *probe,
                                                struct cellar_slice key, int64_t now_us);

/** Frees what a probe holds; without the append lock. */
void store_token_probe_end(struct store_token_probe *probe);

/* ---- snapshots ------------------------------------------------------------------------------- */

struct store_snapshot {
    struct store *store;
    struct store_view *view;
    struct store_env_txn *txn;
    uint64_t lsn;                                                     /* S */
    const struct store_memtable *memtables[STORE_MEMTABLE_COUNT_MAX]; /* those above A */
    size_t memtable_count;
    bool has_hidden; /* some range of what the environment holds counts as gone */
};

/** The range of keys around `key` that counts as gone in the environment: dropped, by its own word
 * or by a memtable's. NULL when the key is not in one. Borrowed from the snapshot. */
const struct store_range *store_snapshot_hidden(const struct store_snapshot *snapshot,
                                                struct cellar_slice key);

/**
 * Takes a snapshot.
 *
 * @param durable_lsn  V, loaded before this call
 * @return CELLAR_OK, IO_ERROR, DATA_LOSS, NO_MEMORY, RESOURCE_EXHAUSTED; nothing is held after a
 * failure
 */
enum cellar_status store_snapshot_open(struct store *store, uint64_t durable_lsn,
                                       struct store_snapshot *snapshot) CELLAR_MUST_USE;

void store_snapshot_close(struct store_snapshot *snapshot);

#endif
