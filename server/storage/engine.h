#ifndef CELLAR_STORAGE_ENGINE_H
#define CELLAR_STORAGE_ENGINE_H

#include "server/storage/rows.h"

/*
 * The engine: the commit log, all stores, and the threads that checkpoint them within the budgets.
 * Store 0 is the catalog, which the tablet layer reads and writes; the engine knows no table.
 *
 *     open    data directory, log, store 0 replayed to the log's end
 *     attach  each store that the catalog names
 *     start   the other stores replayed, the log ready for appends, threads running
 *     close   everything checkpointed, log ended
 */

#define STORE_CATALOG_ID 0u
#define STORE_FIGURE_COUNT 24u
#define STORE_OPEN_COUNT_MAX 256u

struct store_engine;

/** Sizes in bytes; store_engine_options_check() tells what is allowed. */
struct store_engine_options {
    const char *data_dir;
    uint64_t memory_bytes_max;
    uint64_t memtable_bytes_max;
    uint64_t unapplied_bytes_max;
    uint64_t unapplied_records_max;
    uint64_t segment_bytes;
    uint64_t map_bytes;
    uint64_t checkpoint_records_max; /* 0: no such reason for a checkpoint */
    uint64_t store_tokens_max;       /* live tokens of one store */
    uint32_t stores_open_max;        /* environments open at once; 0: STORE_OPEN_COUNT_MAX */
};

/** The budgets that may change while the engine runs; as in the options. */
struct store_engine_limits {
    uint64_t memtable_bytes_max;
    uint64_t unapplied_bytes_max;
    uint64_t unapplied_records_max;
};

/** INVALID_ARGUMENT naming the option, its bounds and the value. */
enum cellar_status store_engine_options_check(const struct store_engine_options *options,
                                              struct cellar_error *error) CELLAR_MUST_USE;

/** Opens the data directory; a new one is made. Errors as svc_open(). */
enum cellar_status store_engine_open(const struct store_engine_options *options,
                                     struct store_engine **engine, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Opens one store that the catalog names, between open and start. Errors as store_open(). */
enum cellar_status store_engine_attach(struct store_engine *engine, uint32_t id,
                                       uint64_t generation, struct store **store,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/** Replays, removes folders of stores nobody named, begins to take appends. DATA_LOSS, IO_ERROR,
 * RESOURCE_EXHAUSTED, NO_MEMORY. */
enum cellar_status store_engine_start(struct store_engine *engine, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Checkpoints all stores, stops the threads and the log, frees. No snapshot is open. Takes NULL;
 * also after a failed start. */
void store_engine_close(struct store_engine *engine);

/** Makes the environment of a new store and opens it; durable at return, but named by nobody yet.
 * Blocks. IO_ERROR, RESOURCE_EXHAUSTED, NO_MEMORY. */
enum cellar_status store_engine_store_make(struct store_engine *engine, uint32_t id,
                                           struct store **store, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Takes a store out, whose drop is durable or which was never named: closes it and removes its
 * files. No snapshot of it is open. Blocks. */
void store_engine_store_drop(struct store_engine *engine, struct store *store);

/** The attached or made store of that id, or NULL. */
struct store *store_engine_find(struct store_engine *engine, uint32_t id);

/** The catalog's store. */
struct store *store_engine_catalog(struct store_engine *engine);

struct store_log *store_engine_log(struct store_engine *engine);

/** The folder of the blobs; lives as long as the engine. */
struct store_blobs *store_engine_blobs(struct store_engine *engine);

/** The data directory's path; lives as long as the engine. */
const char *store_engine_data_dir(const struct store_engine *engine);

/** The greatest server time that was given out before this start, microseconds. */
int64_t store_engine_server_time(const struct store_engine *engine);

/** The largest payload that one record may have. */
uint64_t store_engine_record_bytes_max(const struct store_engine *engine);

/**
 * Whether a write may be queued now; with the append lock.
 *
 * @param has_sets  it adds data; deletes alone go on when space is short
 * @return CELLAR_OK; UNAVAILABLE with a delay (over the budgets); RESOURCE_EXHAUSTED (disk, map;
 * named); IO_ERROR (the log has failed)
 */
enum cellar_status store_engine_admit(struct store_engine *engine, struct store *store,
                                      bool has_sets, struct cellar_error *error) CELLAR_MUST_USE;

/** Appends a record of a store and inserts its batch, with the append lock (store_log_lock()). The
 * record's payload is store_batch_record(); the batch is the store's from here. */
void store_engine_append(struct store_engine *engine, struct store *store,
                         struct store_log_record *record, struct store_batch *batch);

/** With the append lock: whether a store takes one more token. @return CELLAR_OK, or
 * RESOURCE_EXHAUSTED naming the limit */
enum cellar_status store_engine_admit_token(struct store_engine *engine, struct store *store,
                                            int64_t now_us, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Queues an empty record, whose `done` comes when everything queued before it is durable; with the
 * append lock. */
void store_engine_append_empty(struct store_engine *engine, struct store_log_record *record);

/** True once the log or a store met an I/O error: no write is taken until the server starts again.
 * Any thread. */
bool store_engine_has_failed(const struct store_engine *engine);

/**
 * Whether writes are taken, as far as the disk is concerned. Any thread.
 *
 * @return CELLAR_OK; IO_ERROR (log or store has failed); RESOURCE_EXHAUSTED (the disk is below its
 *         reserve: sets are refused)
 */
enum cellar_status store_engine_check(const struct store_engine *engine, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Whether memtables have room for a write, asked before much memory is taken for one. Wakes a
 * keeper when not. Any thread. @return CELLAR_OK; UNAVAILABLE with a delay */
enum cellar_status store_engine_check_room(struct store_engine *engine, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Shows the metrics of log, memtables, checkpoints and stores; takes the append lock for a moment.
 * Any thread. */
void store_engine_show(struct store_engine *engine, struct cellar_metric_page *page);

/** Takes a snapshot of a store at the durable LSN. Errors as store_snapshot_open(). */
enum cellar_status store_engine_snapshot(struct store_engine *engine, struct store *store,
                                         struct store_snapshot *snapshot) CELLAR_MUST_USE;

/** Changes the budgets; a keeper looks at once. INVALID_ARGUMENT as store_engine_options_check(),
 * nothing changed. Any thread. */
enum cellar_status store_engine_limits_set(struct store_engine *engine,
                                           const struct store_engine_limits *limits,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** How many compactions the start found that the end of the last run cut off. Any thread. */
uint64_t store_engine_abandoned_count(const struct store_engine *engine);

/** Checkpoints every store now. The first error, after all were tried. Blocks. */
enum cellar_status store_engine_checkpoint_all(struct store_engine *engine) CELLAR_MUST_USE;

struct store_figure {
    const char *name;
    uint64_t value;
};

/** Fills at most STORE_FIGURE_COUNT figures. @return how many */
size_t store_engine_figures(struct store_engine *engine, struct store_figure *figures);

#endif
