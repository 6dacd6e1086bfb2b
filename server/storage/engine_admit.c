/*
 * Whether the engine takes a write: asked with the append lock before one is queued, and by the
 * readiness page without it.
 *
 * A refusal comes before anything has an LSN, so it means that nothing was applied. Reasons in the
 * order in which they are looked for, each by a function of its own:
 *
 *   log_check        the log has failed: for good, only a start reads back what is on the disk;
 *                    the disk is full to the last segment: deletions, too; or the server is
 *                    stopping: with a delay, as it or another one answers again soon
 *   stores_check     a store has failed: for good, as above
 *   damage_check     the store is damaged: until a start, or until its table is dropped
 *   disk_check       the disk is short: sets only, deletions are how space is made
 *   map_check        the store's map is nearly full: sets only, as above
 *   check_room       the keepers are slower than the writers: with a delay
 *
 * Space comes before memory: a client that tries again in a moment would meet a full disk anyway.
 * Budgets are read without a lock. They are limits of memory and space with room behind them, so a
 * write more or less does not matter.
 */
#include "server/storage/engine_internal.h"

#define RETRY_DELAY_MS 50u

/* ---- what is wrong with the engine ------------------------------------------------------------
 */

static enum cellar_status log_failure(struct cellar_error *error)
{
    return cellar_error_set(error, CELLAR_IO_ERROR,
                            "the commit log has failed; writes are refused until the server is "
                            "started again");
}

static enum cellar_status stores_check(const struct store_engine *engine,
                                       struct cellar_error *error)
{
    uint64_t failed_store = atomic_load_explicit(&engine->failed_store, memory_order_relaxed);
    if (failed_store == 0) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_IO_ERROR,
                            "store %llu could not be written to the disk; writes are refused "
                            "until the server is started again",
                            (unsigned long long)failed_store - 1);
}

static enum cellar_status disk_check(const struct store_engine *engine, struct cellar_error *error)
{
    if (!atomic_load_explicit(&engine->is_disk_short, memory_order_relaxed)) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                            "the disk of %s is below its reserve; free space or delete data",
                            engine->dir.path);
}

bool store_engine_has_failed(const struct store_engine *engine)
{
    CELLAR_ASSERT(engine->log != NULL);
    return store_log_has_failed(engine->log) || atomic_load(&engine->failed_store) != 0;
}

enum cellar_status store_engine_check(const struct store_engine *engine, struct cellar_error *error)
{
    CELLAR_ASSERT(engine->log != NULL);
    if (store_log_has_failed(engine->log)) {
        return log_failure(error);
    }
    CELLAR_TRY(stores_check(engine, error));
    return disk_check(engine, error);
}

/* ---- one write --------------------------------------------------------------------------------
 */

/* Refuses for the moment. */
static enum cellar_status try_later(struct cellar_error *error)
{
    if (error != NULL) {
        error->retry_delay_ms = RETRY_DELAY_MS;
    }
    return CELLAR_UNAVAILABLE;
}

static enum cellar_status log_check(struct store_engine *engine, struct cellar_error *error)
{
    enum cellar_status status = store_log_check(engine->log);
    if (status == CELLAR_OK) {
        return CELLAR_OK;
    }
    if (status == CELLAR_IO_ERROR) {
        return log_failure(error);
    }
    if (status == CELLAR_RESOURCE_EXHAUSTED) {
        return cellar_error_set(error, status,
                                "the disk of %s is full, and the commit log has no room for "
                                "another write; free space",
                                engine->dir.path);
    }
    CELLAR_ASSERT(status == CELLAR_UNAVAILABLE);
    (void)cellar_error_set(error, status, "the server is stopping");
    return try_later(error);
}

/* Who knows the store's table says more (tablet/damage.h). */
static enum cellar_status damage_check(const struct store *store, struct cellar_error *error)
{
    CELLAR_ASSERT(store->env != NULL);
    return store_is_damaged(store)
               ? cellar_error_set(error, CELLAR_DATA_LOSS,
                                  "store %u is damaged and takes no writes", store->id)
               : CELLAR_OK;
}

static enum cellar_status map_check(struct store *store, struct cellar_error *error)
{
    /* What is written down takes up to twice its size while the pages it replaces are not free yet.
     */
    uint64_t pending_bytes = atomic_load_explicit(&store->pending_bytes, memory_order_relaxed);
    uint64_t room_bytes = atomic_load_explicit(&store->map_room_bytes, memory_order_relaxed);
    if (2 * pending_bytes < room_bytes) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                            "store %u is at 90 %% of store_map_bytes; delete data or split the "
                            "table into more tablets",
                            store->id);
}

/* An append over the budget wakes a keeper; one over twice the budget waits for it. */
enum cellar_status store_engine_check_room(struct store_engine *engine, struct cellar_error *error)
{
    uint64_t bytes = atomic_load_explicit(&engine->memtable_bytes, memory_order_relaxed);
    uint64_t bytes_max = atomic_load_explicit(&engine->memtable_bytes_max, memory_order_relaxed);
    CELLAR_ASSERT(bytes_max > 0);
    if (bytes <= 2 * bytes_max) {
        return CELLAR_OK;
    }
    store_keeper_wake(engine);
    (void)cellar_error_set(error, CELLAR_UNAVAILABLE,
                           "%llu bytes wait for a checkpoint, the limit is twice "
                           "memtable_bytes_max (%llu); try again",
                           (unsigned long long)bytes, (unsigned long long)bytes_max);
    return try_later(error);
}

enum cellar_status store_engine_admit(struct store_engine *engine, struct store *store,
                                      bool has_sets, struct cellar_error *error)
{
    CELLAR_TRY(log_check(engine, error));
    CELLAR_ASSERT(engine->is_started);
    CELLAR_TRY(stores_check(engine, error));
    CELLAR_TRY(damage_check(store, error));
    if (has_sets) {
        CELLAR_TRY(disk_check(engine, error));
        CELLAR_TRY(map_check(store, error));
    }
    return store_engine_check_room(engine, error);
}

enum cellar_status store_engine_admit_token(struct store_engine *engine, struct store *store,
                                            int64_t now_us, struct cellar_error *error)
{
    uint64_t live = store_token_count_live(&store->tokens, now_us);
    CELLAR_ASSERT(engine->options.store_tokens_max > 0);
    return live < engine->options.store_tokens_max
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                  "store %u has %llu live tokens, the limit is store_tokens_max "
                                  "(%llu)",
                                  store->id, (unsigned long long)live,
                                  (unsigned long long)engine->options.store_tokens_max);
}
