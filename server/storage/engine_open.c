/*
 * Opening, recovering and closing the engine.
 *
 * Recovery in order: the log is read to its end; the catalog (store 0) takes its records; the
 * tablet layer reads it and attaches the stores it names; a second pass over the log gives these
 * their records; what the log holds of other stores is of dropped tables and is left out, and so
 * are folders that nobody named. Only then the log's tail is made durable, a fresh segment begins
 * and appends are taken.
 *
 * A hole in the log matters when some store's applied LSN (or the log's low-water LSN, if greater)
 * lies below its end.
 */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/engine_internal.h"
#include "server/storage/log_files.h"
#include "server/storage/map_guard.h"
#include "server/storage/record.h"

#define MIB UINT64_C(1048576)
#define GENERATION_FIRST 1u

/* ---- options --------------------------------------------------------------------------------- */

static enum cellar_status option_check(const char *name, uint64_t value, uint64_t min, uint64_t max,
                                       struct cellar_error *error)
{
    CELLAR_ASSERT(min <= max);
    if (value >= min && value <= max) {
        return CELLAR_OK;
    }
    return cellar_error_set(
        error, CELLAR_INVALID_ARGUMENT, "%s must be between %llu and %llu, but is %llu", name,
        (unsigned long long)min, (unsigned long long)max, (unsigned long long)value);
}

/* The texts name the settings as users write them, since they are shown to users. Also called for
 * limits that change while the server runs. */
enum cellar_status store_engine_options_check(const struct store_engine_options *options,
                                              struct cellar_error *error)
{
    CELLAR_TRY(option_check("memory_bytes_max", options->memory_bytes_max, 64 * MIB, UINT64_MAX / 4,
                            error));
    CELLAR_TRY(option_check("memtable_bytes_max", options->memtable_bytes_max, 65536,
                            options->memory_bytes_max, error));
    CELLAR_TRY(option_check("log_unapplied_bytes_max", options->unapplied_bytes_max, 65536,
                            UINT64_MAX / 4, error));
    CELLAR_TRY(option_check("log_unapplied_records_max", options->unapplied_records_max, 100,
                            UINT64_MAX / 4, error));
    CELLAR_TRY(option_check("log_segment_bytes", options->segment_bytes, 65536, 1024 * MIB, error));
    CELLAR_TRY(option_check("store_map_bytes", options->map_bytes, MIB, UINT64_C(1) << 46, error));
    CELLAR_TRY(option_check("store_tokens_max", options->store_tokens_max, 1, 100000000, error));
    if (options->segment_bytes % 65536 != 0 || options->map_bytes % 4096 != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "log_segment_bytes must be a multiple of 65536 and store_map_bytes "
                                "one of 4096, but they are %llu and %llu",
                                (unsigned long long)options->segment_bytes,
                                (unsigned long long)options->map_bytes);
    }
    CELLAR_ASSERT(options->data_dir != NULL);
    return CELLAR_OK;
}

/* ---- the list of stores ---------------------------------------------------------------------- */

/* Room first, so that a store that was opened cannot fail to be listed. */
static enum cellar_status stores_reserve(struct store_engine *engine)
{
    enum cellar_status status = CELLAR_OK;
    cellar_mutex_lock(&engine->lock);
    if (engine->store_count == engine->store_capacity) {
        size_t capacity = engine->store_capacity == 0 ? 16 : engine->store_capacity * 2;
        void *grown = cellar_mem_realloc(engine->stores, capacity * sizeof(struct store *));
        if (grown == NULL) {
            status = CELLAR_NO_MEMORY;
        } else {
            engine->stores = grown;
            engine->store_capacity = capacity;
        }
    }
    CELLAR_ASSERT(status != CELLAR_OK || engine->store_count < engine->store_capacity);
    cellar_mutex_unlock(&engine->lock);
    return status;
}

/* Opens a store and puts it into the list. The greatest server time of all environments and of the
 * log is where this start's time goes on. */
static enum cellar_status store_add(struct store_engine *engine, uint32_t id, uint64_t generation,
                                    struct store **store, struct cellar_error *error)
{
    char path[PATH_MAX];
    store_data_dir_generation(&engine->dir, id, generation, path);
    if (stores_reserve(engine) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for store %u", id);
    }
    CELLAR_TRY(store_open(path, id, generation, store_log_id(engine->log), store, error));
    store_blobs_use(*store, engine->blobs);
    store_env_count_by((*store)->env, &engine->open_count);
    if (!engine->is_started) {
        store_engine_blobs_name(engine, *store);
    }
    if (atomic_load(&engine->open_count) > store_engine_open_max(engine)) {
        store_env_park((*store)->env); /* until it is needed */
    }
    int64_t server_time_us = (*store)->server_time_us;
    engine->server_time_us = CELLAR_MAX(engine->server_time_us, server_time_us);
    cellar_mutex_lock(&engine->lock);
    CELLAR_ASSERT(engine->store_count < engine->store_capacity);
    engine->stores[engine->store_count++] = *store;
    cellar_mutex_unlock(&engine->lock);
    return CELLAR_OK;
}

/* A walk over all: asked for by administration and recovery only, never by a read or a write, which
 * go from the table to its store. */
struct store *store_engine_find(struct store_engine *engine, uint32_t id)
{
    struct store *found = NULL;
    cellar_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->store_count && found == NULL; i++) {
        found = engine->stores[i]->id == id ? engine->stores[i] : NULL;
    }
    cellar_mutex_unlock(&engine->lock);
    CELLAR_ASSERT(found == NULL || found->id == id);
    return found;
}

/* A new store counts as having applied all that is durable now: no record at or below that LSN can
 * be its own. So it does not hold back the log. */
static enum cellar_status env_make(struct store_engine *engine, uint32_t id,
                                   struct cellar_error *error)
{
    char path[PATH_MAX];
    struct store_env_state state = {
        .store_id = id,
        .generation = GENERATION_FIRST,
        .applied_lsn = store_log_recovered_lsn(engine->log),
        .layer_next = 1,
        .map_bytes = engine->options.map_bytes,
        .made_s = (uint32_t)(cellar_clock_real_us() / 1000000),
    };
    if (engine->is_started) {
        state.applied_lsn = store_log_durable_lsn(engine->log);
    }
    memcpy(state.log_id, store_log_id(engine->log), sizeof state.log_id);
    CELLAR_ASSERT(state.map_bytes > 0);
    store_data_dir_generation(&engine->dir, id, state.generation, path);
    CELLAR_TRY(store_data_dir_store_make(&engine->dir, id, error));
    return store_env_create(path, &state, error);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* In a first start the catalog's environment is made here; FORMAT comes when the log has started,
 * so a crash in between begins again from nothing. */
static enum cellar_status catalog_open(struct store_engine *engine, struct cellar_error *error)
{
    uint64_t needed_lsn = 0;
    if (engine->dir.is_new) {
        CELLAR_TRY(env_make(engine, STORE_CATALOG_ID, error));
    }
    CELLAR_TRY(store_add(engine, STORE_CATALOG_ID, GENERATION_FIRST, &engine->catalog, error));
    CELLAR_TRY(store_engine_store_needed(engine, engine->catalog, &needed_lsn, error));
    CELLAR_ASSERT(!engine->is_started);
    return store_engine_replay_run(engine, true, needed_lsn, error);
}

/* Each step leaves what store_engine_close() can take apart, so there is one way out. */
enum cellar_status store_engine_open(const struct store_engine_options *options,
                                     struct store_engine **engine, struct cellar_error *error)
{
    CELLAR_TRY(store_engine_options_check(options, error));
    store_map_guard_install();
    struct store_engine *opened = cellar_mem_zalloc(1, sizeof *opened);
    if (opened == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the storage engine");
    }
    opened->options = *options;
    cellar_mutex_init(&opened->lock);
    cellar_cond_init(&opened->changed);
    enum cellar_status status = store_data_dir_open(options->data_dir, &opened->dir, error);
    opened->options.data_dir = opened->dir.path;
    const struct store_engine_limits limits = {
        options->memtable_bytes_max, options->unapplied_bytes_max, options->unapplied_records_max};
    store_engine_limits_keep(opened, &limits);
    if (status == CELLAR_OK) {
        status = store_log_open(opened->dir.log_path, options->segment_bytes, &opened->log, error);
    }
    if (status == CELLAR_OK) {
        status = store_engine_blobs_open(opened, error);
    }
    if (status == CELLAR_OK) {
        status = catalog_open(opened, error);
    }
    if (status != CELLAR_OK) {
        store_engine_close(opened);
        return status;
    }
    CELLAR_ASSERT(opened->catalog != NULL);
    *engine = opened;
    return CELLAR_OK;
}

enum cellar_status store_engine_attach(struct store_engine *engine, uint32_t id,
                                       uint64_t generation, struct store **store,
                                       struct cellar_error *error)
{
    CELLAR_ASSERT(!engine->is_started && id != STORE_CATALOG_ID);
    return store_add(engine, id, generation, store, error);
}

/* Generations rise, so one above the live one was being built when the server ended: its compaction
 * had no effect, and whoever asked for it has to know. One below was left by a swap. */
static void abandoned_note(struct store_engine *engine, const struct store *store,
                           uint64_t generation)
{
    CELLAR_ASSERT(generation != store->generation);
    if (generation > store->generation) {
        (void)atomic_fetch_add(&engine->compactions_abandoned, 1);
        cellar_log(CELLAR_LOG_WARN, "compaction_abandoned", "store=%u generation=%llu", store->id,
                   (unsigned long long)generation);
    }
}

/* Removes a folder of stores/ that no attached store lives in. What is removed here was made by a
 * create whose record never came, or belonged to a table that was dropped. Every store that is
 * named is attached by now. */
static enum cellar_status folder_visit(void *context, uint32_t store_id, uint64_t generation)
{
    struct store_engine *engine = context;
    const struct store *store = store_engine_find(engine, store_id);
    char path[PATH_MAX];
    if (store == NULL) {
        return store_data_dir_store_remove(&engine->dir, store_id, NULL);
    }
    if (generation == 0 || store->generation == generation) {
        return CELLAR_OK;
    }
    store_data_dir_generation(&engine->dir, store_id, generation, path);
    CELLAR_ASSERT(path[0] != '\0');
    abandoned_note(engine, store, generation);
    return store_directory_remove(path, NULL);
}

/* The least of all stores decides whether a gap matters: one store that needs it is enough. */
static enum cellar_status stores_replay(struct store_engine *engine, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    uint64_t needed_lsn = UINT64_MAX;
    CELLAR_ASSERT(engine->store_count > 0);
    for (size_t i = 0; i < engine->store_count; i++) {
        uint64_t lsn = 0;
        CELLAR_TRY(store_engine_store_needed(engine, engine->stores[i], &lsn, error));
        needed_lsn = CELLAR_MIN(needed_lsn, lsn);
    }
    return store_engine_replay_run(engine, false, needed_lsn, error);
}

/* The low-water LSN that recovery found: below every store's first unapplied record. */
static uint64_t recovered_low_water(struct store_engine *engine) CELLAR_NO_THREAD_SAFETY
{
    uint64_t low_lsn = store_log_recovered_lsn(engine->log);
    for (size_t i = 0; i < engine->store_count; i++) {
        uint64_t position = 0;
        uint64_t oldest_lsn = store_oldest_unapplied(engine->stores[i], &position);
        low_lsn = CELLAR_MIN(low_lsn, oldest_lsn - 1);
    }
    CELLAR_ASSERT(low_lsn <= store_log_recovered_lsn(engine->log));
    return low_lsn;
}

/* No data on the disk is changed before the replay has succeeded: a start that refuses leaves the
 * evidence as it was. */
enum cellar_status store_engine_start(struct store_engine *engine, struct cellar_error *error)
{
    CELLAR_ASSERT(!engine->is_started);
    CELLAR_TRY(stores_replay(engine, error));
    store_engine_blobs_replayed(engine);
    CELLAR_TRY(store_data_dir_walk(&engine->dir, folder_visit, engine, error));
    CELLAR_TRY(store_log_start(engine->log, recovered_low_water(engine), error));
    if (engine->dir.is_new) {
        CELLAR_TRY(store_data_dir_commit(&engine->dir, error));
    }
    engine->is_started = true;
    store_engine_blobs_sweep(engine);
    store_keeper_low_water(engine);
    if (store_keeper_start(engine) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "cannot start the checkpoint threads");
    }
    cellar_log(CELLAR_LOG_INFO, "storage_started",
               "data_dir=\"%s\" log_end_lsn=%llu replayed_bytes=%llu", engine->dir.path,
               (unsigned long long)store_log_recovered_lsn(engine->log),
               (unsigned long long)atomic_load(&engine->memtable_bytes));
    return CELLAR_OK;
}

/* With everything checkpointed the next start replays next to nothing. After a failure there is no
 * checkpoint: what the log could not make durable must not get into an environment either. */
void store_engine_close(struct store_engine *engine) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(engine == NULL || !engine->is_started || engine->log != NULL);
    if (engine == NULL) {
        return;
    }
    if (engine->is_started && !store_engine_has_failed(engine)) {
        enum cellar_status status = store_engine_checkpoint_all(engine);
        if (status != CELLAR_OK) {
            cellar_log(CELLAR_LOG_WARN, "last_checkpoint_failed", "status=%s",
                       cellar_status_text(status));
        }
    }
    store_keeper_stop(engine);
    if (engine->log != NULL) {
        store_log_stop(engine->log);
    }
    for (size_t i = 0; i < engine->store_count; i++) {
        store_close(engine->stores[i]);
    }
    store_blobs_close(engine->blobs);
    store_log_close(engine->log);
    store_data_dir_close(&engine->dir);
    cellar_cond_fini(&engine->changed);
    cellar_mutex_fini(&engine->lock);
    cellar_mem_free(engine->stores);
    cellar_mem_free(engine);
}

/* ---- a store made while running ---------------------------------------------------------------
 */

/* Durable when it returns, so that the catalog record that follows may name it. */
enum cellar_status store_engine_store_make(struct store_engine *engine, uint32_t id,
                                           struct store **store, struct cellar_error *error)
{
    CELLAR_ASSERT(engine->is_started && id != STORE_CATALOG_ID);
    enum cellar_status status = env_make(engine, id, error);
    status = status == CELLAR_OK ? store_add(engine, id, GENERATION_FIRST, store, error) : status;
    if (status != CELLAR_OK && store_data_dir_store_remove(&engine->dir, id, NULL) != CELLAR_OK) {
        cellar_log(CELLAR_LOG_WARN, "store_remove_failed", "store=%u error=\"it was half made\"",
                   id);
    }
    return status;
}

/* ---- parts ----------------------------------------------------------------------------------- */

struct store *store_engine_catalog(struct store_engine *engine)
{
    CELLAR_ASSERT(engine->catalog != NULL);
    return engine->catalog;
}

struct store_log *store_engine_log(struct store_engine *engine)
{
    CELLAR_ASSERT(engine->log != NULL);
    return engine->log;
}

struct store_blobs *store_engine_blobs(struct store_engine *engine)
{
    CELLAR_ASSERT(engine->blobs != NULL);
    return engine->blobs;
}

const char *store_engine_data_dir(const struct store_engine *engine)
{
    CELLAR_ASSERT(engine->dir.path[0] != '\0');
    return engine->dir.path;
}

/* Changes while the log is replayed only: tablet_db_time() takes it over once. */
int64_t store_engine_server_time(const struct store_engine *engine)
{
    CELLAR_ASSERT(engine->server_time_us >= 0);
    return engine->server_time_us;
}

uint64_t store_engine_record_bytes_max(const struct store_engine *engine)
{
    /* A quarter of a segment holds the record with its header and its group's. */
    uint64_t quarter = engine->options.segment_bytes / 4 - 2 * STORE_LOG_GROUP_HEADER_BYTES;
    CELLAR_ASSERT(quarter > 0);
    return CELLAR_MIN(quarter, (uint64_t)STORE_RECORD_BYTES_MAX);
}
