/*
 * The engine at work: the append that ties log and memtable together, snapshots, stores dropped,
 * figures.
 *
 * An append is made under the append lock: the record gets its LSN and its place in the log's
 * queue, the batch goes into the store's memtable, and when a budget is overrun a keeper is woken.
 * What may be appended was asked before, in the same hold of the lock (engine_admit.c).
 */
#include "common/log.h"
#include "server/storage/engine_internal.h"

/* ---- dropping a store -------------------------------------------------------------------- */

void store_engine_store_drop(struct store_engine *engine, struct store *store)
{
    uint32_t id = store->id;
    struct cellar_error error;
    struct store_memtable_facts facts;
    struct cellar_buffer blobs = {0};
    store_keeper_claim(engine, store);
    store_log_lock(engine->log);
    cellar_mutex_lock(&engine->lock);
    size_t kept = 0;
    for (size_t i = 0; i < engine->store_count; i++) {
        if (engine->stores[i] != store) {
            engine->stores[kept++] = engine->stores[i];
        }
    }
    CELLAR_ASSERT(kept + 1 == engine->store_count);
    engine->store_count = kept;
    cellar_mutex_unlock(&engine->lock);
    store_log_unlock(engine->log);
    uint64_t bytes = 0;
    struct store_memtable *frozen = store_frozen_get(store);
    if (frozen != NULL) {
        store_memtable_facts(frozen, &facts);
        bytes = facts.bytes;
        atomic_fetch_sub(&engine->frozen_entries, facts.entry_count);
    }
    store_active_facts(store, &facts);
    if (atomic_load(&store->is_damaged)) {
        atomic_fetch_sub(&engine->damaged_count, 1); /* its bytes count no more */
    } else {
        atomic_fetch_sub(&engine->memtable_bytes, bytes + facts.bytes);
    }
    store->is_checkpointing = false;
    store_engine_blobs_take(store, &blobs);
    store_close(store);
    cellar_error_clear(&error);
    if (store_data_dir_store_remove(&engine->dir, id, &error) != CELLAR_OK) {
        cellar_log(CELLAR_LOG_WARN, "store_remove_failed", "store=%u error=\"%s\"", id, error.text);
    }
    store_engine_blobs_remove(engine, &blobs);
    store_keeper_low_water(engine);
}

/* ---- appends and snapshots ------------------------------------------------------------------- */

/* Whether an append leaves a budget overrun, so that a keeper should look. */
static bool is_over_budget(const struct store_engine *engine, const struct store *store,
                           uint64_t lsn)
{
    const struct store_engine_options *options = &engine->options;
    struct store_memtable_facts facts;
    store_active_facts(store, &facts);
    CELLAR_ASSERT(facts.record_count > 0);
    uint64_t bytes = atomic_load_explicit(&engine->memtable_bytes, memory_order_relaxed);
    uint64_t low_position = atomic_load_explicit(&engine->low_position, memory_order_relaxed);
    uint64_t low_lsn = atomic_load_explicit(&engine->low_lsn, memory_order_relaxed);
    return bytes > atomic_load_explicit(&engine->memtable_bytes_max, memory_order_relaxed) ||
           store_log_position(engine->log) - low_position >
               atomic_load_explicit(&engine->unapplied_bytes_max, memory_order_relaxed) ||
           lsn - low_lsn >
               atomic_load_explicit(&engine->unapplied_records_max, memory_order_relaxed) ||
           store_keeper_pages_are_many(engine, store, &facts) ||
           (options->checkpoint_records_max > 0 &&
            facts.record_count >= options->checkpoint_records_max);
}

void store_engine_append(struct store_engine *engine, struct store *store,
                         struct store_log_record *record, struct store_batch *batch)
{
    CELLAR_ASSERT(record->entry.store_id == store->id);
    CELLAR_ASSERT(record->entry.payload.data == store_batch_record(batch).data);
    uint64_t position = store_log_position(engine->log);
    uint64_t bytes = batch->total_bytes;
    uint64_t lsn = store_log_append(engine->log, record);
    store_insert(store, batch, lsn, position);
    atomic_fetch_add_explicit(&engine->memtable_bytes, bytes, memory_order_relaxed);
    if (is_over_budget(engine, store, lsn)) {
        store_keeper_wake(engine);
    }
}

void store_engine_append_empty(struct store_engine *engine, struct store_log_record *record)
{
    CELLAR_ASSERT(record->done != NULL);
    record->entry = (struct store_log_entry){.type = STORE_RECORD_EMPTY};
    (void)store_log_append(engine->log, record);
}

enum cellar_status store_engine_snapshot(struct store_engine *engine, struct store *store,
                                         struct store_snapshot *snapshot)
{
    uint64_t durable_lsn = engine->is_started ? store_log_durable_lsn(engine->log)
                                              : store_log_recovered_lsn(engine->log);
    CELLAR_ASSERT(store != NULL);
    if (atomic_load_explicit(&engine->open_count, memory_order_relaxed) >
        store_engine_open_max(engine)) {
        store_keeper_wake(engine);
    }
    return store_snapshot_open(store, durable_lsn, snapshot);
}

void store_engine_limits_keep(struct store_engine *engine, const struct store_engine_limits *limits)
{
    uint64_t memory_bytes = engine->options.memory_bytes_max / 8;
    CELLAR_ASSERT(limits->memtable_bytes_max > 0 && memory_bytes > 0);
    atomic_store(&engine->memtable_bytes_max, CELLAR_MIN(limits->memtable_bytes_max, memory_bytes));
    atomic_store(&engine->unapplied_bytes_max, limits->unapplied_bytes_max);
    atomic_store(&engine->unapplied_records_max, limits->unapplied_records_max);
}

enum cellar_status store_engine_limits_set(struct store_engine *engine,
                                           const struct store_engine_limits *limits,
                                           struct cellar_error *error)
{
    struct store_engine_options options = engine->options;
    options.memtable_bytes_max = limits->memtable_bytes_max;
    options.unapplied_bytes_max = limits->unapplied_bytes_max;
    options.unapplied_records_max = limits->unapplied_records_max;
    CELLAR_ASSERT(engine->is_started);
    CELLAR_TRY(store_engine_options_check(&options, error));
    store_engine_limits_keep(engine, limits);
    store_keeper_wake(engine);
    return CELLAR_OK;
}

uint64_t store_engine_abandoned_count(const struct store_engine *engine)
{
    CELLAR_ASSERT(engine->is_started);
    return atomic_load(&engine->compactions_abandoned);
}

size_t store_engine_figures(struct store_engine *engine, struct store_figure *figures)
{
    uint64_t segments = 0;
    uint64_t groups = 0;
    uint64_t records = 0;
    store_log_counts(engine->log, &segments, &groups, &records);
    uint64_t store_bytes = 0;
    cellar_mutex_lock(&engine->lock);
    uint64_t stores = engine->store_count;
    for (size_t i = 0; i < engine->store_count; i++) {
        store_bytes += store_env_used_bytes(engine->stores[i]->env);
    }
    cellar_mutex_unlock(&engine->lock);
    const struct store_figure all[] = {
        {"log_durable_lsn", store_log_durable_lsn(engine->log)},
        {"log_low_water_lsn", store_log_low_water(engine->log)},
        {"log_segments", segments},
        {"log_bytes", segments * engine->options.segment_bytes},
        {"log_groups", groups},
        {"log_records", records},
        {"log_has_failed", store_log_has_failed(engine->log) ? 1 : 0},
        {"store_has_failed", atomic_load(&engine->failed_store) != 0 ? 1 : 0},
        {"stores_damaged", atomic_load(&engine->damaged_count)},
        {"memtable_bytes", atomic_load(&engine->memtable_bytes)},
        {"checkpoints", atomic_load(&engine->checkpoint_count)},
        {"checkpoint_items", atomic_load(&engine->checkpoint_items)},
        {"checkpoint_failures", atomic_load(&engine->checkpoint_failures)},
        {"compactions_abandoned", atomic_load(&engine->compactions_abandoned)},
        {"stores", stores},
        {"store_bytes", store_bytes},
        {"memory_bytes_max", engine->options.memory_bytes_max},
    };
    static_assert(CELLAR_ARRAY_COUNT(all) <= STORE_FIGURE_COUNT, "the caller's room");
    memcpy(figures, all, sizeof all);
    return CELLAR_ARRAY_COUNT(all);
}
