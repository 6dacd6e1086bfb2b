/*
 * What the engine says about itself: its metrics.
 *
 * The stores are walked under the append lock and the engine's, in this order, as a keeper does
 * once a second; only sums leave, so that a server of a thousand stores has as short a page as one
 * of two. What is slow, allocating the page, comes after.
 */
#include "server/storage/engine_internal.h"

/* Sums over all stores. */
struct totals {
    uint64_t stores;
    uint64_t environments_open;
    uint64_t map_bytes;
    uint64_t map_used_bytes;
    uint64_t map_used_percent_max;
    uint64_t retained_bytes;
    uint64_t memtable_entries; /* of active ones */
    uint64_t memtable_stores;  /* with anything in a memtable */
};

static void store_add(struct store *store, struct totals *totals)
{
    struct store_memtable_facts facts;
    uint64_t percent = store_env_used_percent(store->env);
    store_active_facts(store, &facts);
    CELLAR_ASSERT(store->env != NULL);
    totals->stores++;
    totals->environments_open += store_env_is_open(store->env) ? 1 : 0;
    totals->map_bytes += store_env_map_bytes(store->env);
    totals->map_used_bytes += store_env_used_bytes(store->env);
    totals->map_used_percent_max = CELLAR_MAX(totals->map_used_percent_max, percent);
    totals->retained_bytes += store_env_retained_bytes(store->env);
    totals->memtable_entries += facts.entry_count;
    totals->memtable_stores += facts.record_count > 0 || store_has_frozen(store) ? 1 : 0;
}

static void totals_get(struct store_engine *engine, struct totals *totals)
{
    *totals = (struct totals){.stores = 0};
    store_log_lock(engine->log);
    cellar_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->store_count; i++) {
        store_add(engine->stores[i], totals);
    }
    cellar_mutex_unlock(&engine->lock);
    store_log_unlock(engine->log);
    CELLAR_ASSERT(totals->stores > 0);
}

static void memtables_show(const struct store_engine *engine, const struct totals *totals,
                           struct cellar_metric_page *page)
{
    CELLAR_ASSERT(totals->memtable_stores <= totals->stores);
    cellar_metric_gauge(page, "cellar_memtable_size_bytes",
                        "Memory of writes that are not in the stores yet.",
                        atomic_load(&engine->memtable_bytes));
    cellar_metric_gauge(page, "cellar_memtable_max_bytes",
                        "When that is more, stores are written (memtable_bytes_max).",
                        atomic_load(&engine->memtable_bytes_max));
    cellar_metric_gauge(page, "cellar_memtable_entries",
                        "Cells and deletions that are not in the stores yet.",
                        totals->memtable_entries + atomic_load(&engine->frozen_entries));
    cellar_metric_gauge(page, "cellar_memtable_stores",
                        "Stores with writes that are not in them yet.", totals->memtable_stores);
}

static void checkpoints_show(const struct store_engine *engine, struct cellar_metric_page *page)
{
    CELLAR_ASSERT(page->to != NULL);
    cellar_metric_counter(page, "cellar_checkpoints_total", "Memtables written to their stores.",
                          atomic_load(&engine->checkpoint_count));
    cellar_metric_counter(page, "cellar_checkpoint_failures_total",
                          "Checkpoints that failed and will be tried again.",
                          atomic_load(&engine->checkpoint_failures));
    cellar_metric_gauge(
        page, "cellar_compactions_abandoned",
        "Stores whose compaction or bulk load the last stop cut off, found at the start.",
        atomic_load(&engine->compactions_abandoned));
    cellar_metric_begin(page, CELLAR_METRIC_COUNTER, "cellar_checkpoint_seconds_total",
                        "Time that checkpoints took, failed ones too.");
    cellar_metric_put_us(page, "", cellar_counter_get(&engine->checkpoint_us));
    cellar_metric_counter(page, "cellar_checkpoint_bytes_total",
                          "Memory of the memtables that checkpoints wrote.",
                          cellar_counter_get(&engine->checkpoint_bytes));
    cellar_metric_counter(page, "cellar_checkpoint_records_total",
                          "Records of the log that checkpoints applied.",
                          cellar_counter_get(&engine->checkpoint_records));
    cellar_metric_counter(page, "cellar_checkpoint_items_total",
                          "Items that checkpoints wrote into stores.",
                          atomic_load(&engine->checkpoint_items));
    cellar_metric_gauge(page, "cellar_checkpoints_running", "Checkpoints under way.",
                        atomic_load(&engine->checkpoints_running));
}

static void stores_show(const struct store_engine *engine, const struct totals *totals,
                        struct cellar_metric_page *page)
{
    CELLAR_ASSERT(totals->environments_open <= totals->stores);
    cellar_metric_gauge(page, "cellar_stores", "Stores, the catalog's among them.", totals->stores);
    cellar_metric_gauge(page, "cellar_store_environments_open", "Stores whose LMDB is open.",
                        totals->environments_open);
    cellar_metric_gauge(page, "cellar_store_map_size_bytes",
                        "What all stores together may grow to.", totals->map_bytes);
    cellar_metric_gauge(page, "cellar_store_map_used_bytes",
                        "What all stores together take of that.", totals->map_used_bytes);
    cellar_metric_begin(page, CELLAR_METRIC_GAUGE, "cellar_store_map_used_ratio_max",
                        "How full the fullest store's map is; sets are refused at 0.9.");
    cellar_metric_put_us(page, "", totals->map_used_percent_max * 10000);
    cellar_metric_gauge(page, "cellar_store_retained_bytes",
                        "Memory that write transactions left in LMDB, at most.",
                        totals->retained_bytes);
    cellar_metric_gauge(page, "cellar_store_failed",
                        "1 after a store's write failed: no write is taken until a restart.",
                        atomic_load(&engine->failed_store) != 0 ? 1 : 0);
    cellar_metric_gauge(page, "cellar_stores_damaged",
                        "Stores that are damaged: they take no writes, and the log keeps what they "
                        "lack.",
                        atomic_load(&engine->damaged_count));
    cellar_metric_gauge(page, "cellar_disk_free_bytes", "Free space below the data directory.",
                        atomic_load(&engine->disk_free_bytes));
    cellar_metric_gauge(page, "cellar_disk_short",
                        "1 while free space is below the reserve and sets are refused.",
                        atomic_load(&engine->is_disk_short) ? 1 : 0);
}

void store_engine_show(struct store_engine *engine, struct cellar_metric_page *page)
{
    struct totals totals;
    CELLAR_ASSERT(engine->log != NULL);
    totals_get(engine, &totals);
    store_log_show(engine->log, page);
    memtables_show(engine, &totals, page);
    checkpoints_show(engine, page);
    stores_show(engine, &totals, page);
}
