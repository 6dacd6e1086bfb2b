#ifndef CELLAR_STORAGE_ENGINE_INTERNAL_H
#define CELLAR_STORAGE_ENGINE_INTERNAL_H

#include <pthread.h>

#include "common/metric.h"
#include "server/storage/data_dir.h"
#include "server/storage/engine.h"

/* What engine_open.c, engine_replay.c and engine_run.c (opening, recovery, appends), engine_admit.c
 * (refusals), keeper.c, keeper_look.c and keeper_limits.c (checkpoints, budgets) and
 * engine_metrics.c share; nobody else includes this but the test that puts an engine into each
 * state of refusal. */

#define KEEPER_THREAD_COUNT 2u

struct store_engine {
    struct store_engine_options options;
    _Atomic uint64_t memtable_bytes_max; /* of the options, or as changed since */
    _Atomic uint64_t unapplied_bytes_max;
    _Atomic uint64_t unapplied_records_max;
    struct store_data_dir dir;
    struct store_log *log;
    struct store_blobs *blobs;
    struct store *catalog;
    bool is_started;
    int64_t server_time_us;

    struct cellar_mutex lock;
    struct cellar_cond changed; /* work for a keeper, or a checkpoint has ended */
    struct store **stores CELLAR_GUARDED_BY(
        lock); /* all, the catalog among them; changed under the append lock too */
    size_t store_count CELLAR_GUARDED_BY(lock);
    size_t store_capacity CELLAR_GUARDED_BY(lock);
    bool is_stopping CELLAR_GUARDED_BY(lock);
    int64_t retry_at_us CELLAR_GUARDED_BY(lock);  /* after a failed checkpoint */
    uint64_t dirty_pages CELLAR_GUARDED_BY(lock); /* that running checkpoints have reserved */
    pthread_t keepers[KEEPER_THREAD_COUNT];
    unsigned keeper_count;

    size_t idle_hand CELLAR_GUARDED_BY(lock); /* where parking goes on */
    _Atomic uint32_t open_count;              /* environments that LMDB has open */

    _Atomic bool is_woken;           /* a keeper was asked for and has not looked yet */
    _Atomic uint64_t memtable_bytes; /* of all stores, active and frozen */
    _Atomic uint64_t low_position;   /* log position of the oldest unapplied record */
    _Atomic uint64_t low_lsn;        /* its LSN, minus one */
    _Atomic bool is_disk_short;
    _Atomic uint64_t
        failed_store; /* a store whose checkpoint met an I/O error: its id + 1; 0 = none */
    _Atomic uint64_t damaged_count; /* stores that are damaged */
    _Atomic uint64_t checkpoint_count;
    _Atomic uint64_t checkpoint_items;
    _Atomic uint64_t checkpoint_failures;
    _Atomic uint64_t checkpoints_running;
    _Atomic uint64_t compactions_abandoned; /* that the start found cut off */
    struct cellar_counter checkpoint_us;    /* shared, as are the next two */
    struct cellar_counter checkpoint_bytes;
    struct cellar_counter checkpoint_records;
    _Atomic uint64_t frozen_entries;  /* in memtables that are frozen */
    _Atomic uint64_t disk_free_bytes; /* as last looked at */
};

/** Notes the budgets; that of the memtables is an eighth of the memory at most. */
void store_engine_limits_keep(struct store_engine *engine,
                              const struct store_engine_limits *limits);

/** Starts the keeper threads. NO_MEMORY. */
enum cellar_status store_keeper_start(struct store_engine *engine) CELLAR_MUST_USE;

/** Stops them; running checkpoints end first. */
void store_keeper_stop(struct store_engine *engine);

/** Asks for a look at the budgets. Any thread, cheap. */
void store_keeper_wake(struct store_engine *engine);

/** Looks at everything and claims the store to checkpoint, if there is one, with the pages that it
 * may dirty. @return the store; NULL: none */
struct store *store_keeper_victim_claim(struct store_engine *engine, uint64_t *page_count);

/** Moves the low-water mark to what the stores have applied. */
void store_keeper_low_water(struct store_engine *engine);

/** Waits until nobody checkpoints the store and marks it taken; store_keeper_release() lets it go.
 */
void store_keeper_claim(struct store_engine *engine, struct store *store);
void store_keeper_release(struct store_engine *engine, struct store *store);

/** Freezes and checkpoints a claimed store. */
enum cellar_status store_keeper_checkpoint(struct store_engine *engine, struct store *store)
    CELLAR_MUST_USE;

/* ---- engine_replay.c ------------------------------------------------------------------------- */

/** Gives the records of the catalog, or of all other stores, to the stores. @param needed_lsn  a
 * gap that ends above is DATA_LOSS. FAILED_PRECONDITION (a record of a newer cellard), NO_MEMORY,
 * IO_ERROR */
enum cellar_status store_engine_replay_run(struct store_engine *engine, bool is_catalog_pass,
                                           uint64_t needed_lsn, struct cellar_error *error)
    CELLAR_MUST_USE;

/** What a store does not need of the log, in the sense of gaps. DATA_LOSS when the store is ahead
 * of the log. */
enum cellar_status store_engine_store_needed(struct store_engine *engine, const struct store *store,
                                             uint64_t *needed_lsn, struct cellar_error *error)
    CELLAR_MUST_USE;

/* ---- damage.c ----------------------------------------------------------------------------------
 */

/** With the append lock: whether the store's environment is known to be damaged. */
static inline bool store_is_damaged(const struct store *store)
{
    return atomic_load_explicit(&store->is_damaged, memory_order_relaxed) ||
           store_env_is_damaged(store->env);
}

/** With the append lock: takes a damaged store out of the budgets. @return whether it is new, and
 * store_damage_tell() is due behind the locks */
bool store_damage_note(struct store_engine *engine, struct store *store)
    CELLAR_REQUIRES(engine->lock);

/** Tells the server's log, once a store. @param oldest_lsn  the oldest record that it lacks, from
 * which on the log is kept; UINT64_MAX: none */
void store_damage_tell(uint32_t store_id, uint64_t oldest_lsn);

/** Both, for what a checkpoint or a removal met in a claimed store. Without locks. */
void store_damage_met(struct store_engine *engine, struct store *store);

/* ---- engine_blobs.c ----------------------------------------------------------------------------
 */

/** Opens the folder of blobs; the log is open. As store_blobs_open(). */
enum cellar_status store_engine_blobs_open(struct store_engine *engine, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Notes which blobs the environment of a store lists; before the start. When the list cannot be
 * read, no file is removed. */
void store_engine_blobs_name(struct store_engine *engine, struct store *store);

/** Notes which blobs the records name that were replayed; before the start. */
void store_engine_blobs_replayed(struct store_engine *engine);

/**
 * Builds the batch of a record whose mutation is a blob, for the replay.
 *
 * @param reference  the record's payload
 * @return CELLAR_OK; DATA_LOSS (no such file, or damaged), IO_ERROR, NO_MEMORY
 */
enum cellar_status store_engine_blobs_batch(struct store_engine *engine,
                                            struct cellar_slice reference,
                                            struct store_batch **batch) CELLAR_MUST_USE;

/** Removes what was found at the open and is not named. */
void store_engine_blobs_sweep(struct store_engine *engine);

/** Notes the blobs of a store that is about to be dropped; nobody writes to it any more. @param ids
 * empty; freed by store_engine_blobs_remove() */
void store_engine_blobs_take(struct store *store, struct cellar_buffer *ids);

/** Removes what was noted, once the store's files are gone. Blocks. */
void store_engine_blobs_remove(struct store_engine *engine, struct cellar_buffer *ids);

/* ---- keeper_limits.c ------------------------------------------------------------------------- */

/** Notes the size of a store's environment now: what a checkpoint may change of it, and what sets
 * may add. Any thread that has claimed the store. */
void store_keeper_limits_set(struct store *store);

/** Whether a checkpoint of an active memtable that is not empty would change so many pages that it
 * should come now. Any thread. */
bool store_keeper_pages_are_many(const struct store_engine *engine, const struct store *store,
                                 const struct store_memtable_facts *facts);

/**
 * Reserves the pages that a checkpoint of the store may change. With the append lock.
 *
 * @param page_count  receives what store_keeper_pages_release() gives back
 * @return false when other checkpoints run and all together would not fit
 */
bool store_keeper_pages_reserve(struct store_engine *engine, const struct store *store,
                                uint64_t *page_count) CELLAR_REQUIRES(engine->lock);

/** Ends a reservation. */
void store_keeper_pages_release(struct store_engine *engine, uint64_t page_count);

/** Parks environments until all together hold no more than a quarter of the memory in pages of old
 * transactions. */
void store_keeper_retained_trim(struct store_engine *engine);

/** Parks idle environments until no more than the limit are open, or none is idle. */
void store_keeper_idle_park(struct store_engine *engine);

/** How many environments may be open. */
static inline uint32_t store_engine_open_max(const struct store_engine *engine)
{
    return engine->options.stores_open_max == 0 ? STORE_OPEN_COUNT_MAX
                                                : engine->options.stores_open_max;
}

/** Slows the log while memtables or unapplied log overrun their budgets by half. */
void store_keeper_pace_set(struct store_engine *engine);

/** Looks how much disk is free. Below the reserve sets are refused before LMDB sees a full disk:
 * what the log and one checkpoint need, or 5 % up to 1 GiB. */
void store_keeper_disk_look(struct store_engine *engine);

#endif
