/*
 * Keepers: the threads that checkpoint stores when a budget asks for it. Besides, what has waited
 * for a minute (a second, on a disk below its reserve) is written down, and a memtable of some size
 * that nobody has written to for a second: reads from the environment alone cost half of those that
 * merge.
 *
 * A keeper looks when an append woke it, when a checkpoint has ended, and once a second. It picks
 * one store that nobody works on:
 *
 *     memtable bytes over the budget                     the store with most memtable bytes
 *     unapplied log over its budgets, or many segments   the store with the oldest unapplied record
 *     too many pages that a checkpoint may dirty, records, age, idle     that store
 *
 * freezes it under the append lock and checkpoints it. Two keepers, so at most two checkpoints at
 * once. When no checkpoint is due, slices of dropped ranges are removed (removal.c).
 * keeper_look.c does the looking; keeper_limits.c says what memory checkpoints may take.
 *
 * After a checkpoint: the low-water mark moves; environments that hold too many pages of old write
 * transactions are opened again; the log is slowed down while the budgets are overrun, which slows
 * the writers, before writes are refused at twice the budget.
 */
#include "common/clock.h"
#include "common/log.h"
#include "server/storage/engine_internal.h"
#include "server/storage/removal.h"

#define TICK_US 1000000
#define RETRY_US 500000
#define PAUSE_NS 2000000

/* ---- claiming -------------------------------------------------------------------------------- */

void store_keeper_claim(struct store_engine *engine, struct store *store)
{
    cellar_mutex_lock(&engine->lock);
    while (store->is_checkpointing) {
        cellar_cond_wait(&engine->changed, &engine->lock);
    }
    store->is_checkpointing = true;
    cellar_mutex_unlock(&engine->lock);
    CELLAR_ASSERT(store->env != NULL);
}

void store_keeper_release(struct store_engine *engine, struct store *store)
{
    cellar_mutex_lock(&engine->lock);
    CELLAR_ASSERT(store->is_checkpointing);
    store->is_checkpointing = false;
    cellar_cond_broadcast(&engine->changed);
    cellar_mutex_unlock(&engine->lock);
}

void store_keeper_wake(struct store_engine *engine)
{
    CELLAR_ASSERT(engine->log != NULL);
    if (!atomic_exchange(&engine->is_woken, true)) {
        /* Under the lock, so that it cannot fall between a keeper's look and its wait. */
        cellar_mutex_lock(&engine->lock);
        cellar_cond_broadcast(&engine->changed);
        cellar_mutex_unlock(&engine->lock);
    }
}

/* ---- one checkpoint -------------------------------------------------------------------------- */

/* Freezes, unless a memtable is frozen already, which then goes first. */
static enum cellar_status freeze(struct store_engine *engine, struct store *store)
{
    struct store_freeze_kit kit;
    CELLAR_TRY(store_freeze_kit_make(&kit));
    struct store_memtable_facts facts;
    store_log_lock(engine->log);
    store_active_facts(store, &facts);
    bool is_frozen = store_freeze(store, &kit);
    store_log_unlock(engine->log);
    atomic_fetch_add(&engine->frozen_entries, is_frozen ? facts.entry_count : 0);
    store_freeze_kit_fini(&kit);
    CELLAR_ASSERT(!is_frozen || store_has_frozen(store));
    return CELLAR_OK;
}

/* What failed is told once, not at every try. */
static void checkpoint_fail(struct store_engine *engine, struct store *store,
                            enum cellar_status status)
{
    CELLAR_ASSERT(status != CELLAR_OK);
    if (status == CELLAR_IO_ERROR) {
        atomic_store(&engine->failed_store, (uint64_t)store->id + 1);
    }
    atomic_fetch_add(&engine->checkpoint_failures, 1);
    if (store->told != status) {
        cellar_log(CELLAR_LOG_ERROR, "checkpoint_failed", "store=%u status=%s", store->id,
                   cellar_status_text(status));
    }
    store->told = status;
    if (status == CELLAR_DATA_LOSS) {
        store_damage_met(engine, store);
    }
}

enum cellar_status store_keeper_checkpoint(struct store_engine *engine, struct store *store)
{
    struct store_memtable_facts facts = {0};
    uint64_t item_count = 0;
    int64_t start_us = cellar_clock_monotonic_us();
    if (atomic_load(&store->is_damaged)) {
        return CELLAR_DATA_LOSS;
    }
    CELLAR_TRY(freeze(engine, store));
    const struct store_memtable *frozen = store_frozen_get(store);
    if (frozen == NULL) {
        return CELLAR_OK;
    }
    store_memtable_facts(frozen, &facts);
    atomic_fetch_add(&engine->checkpoints_running, 1);
    enum cellar_status status = store_checkpoint(store, engine->log, &item_count);
    atomic_fetch_sub(&engine->checkpoints_running, 1);
    int64_t took_us = cellar_clock_monotonic_us() - start_us;
    cellar_counter_add_shared(&engine->checkpoint_us, (uint64_t)CELLAR_MAX(took_us, INT64_C(0)));
    if (status != CELLAR_OK) {
        checkpoint_fail(engine, store, status);
        return status;
    }
    CELLAR_ASSERT(facts.bytes > 0);
    store->told = CELLAR_OK;
    atomic_fetch_sub(&engine->memtable_bytes, facts.bytes);
    atomic_fetch_sub(&store->pending_bytes, facts.bytes);
    atomic_fetch_add(&engine->checkpoint_count, 1);
    atomic_fetch_add(&engine->checkpoint_items, item_count);
    atomic_fetch_sub(&engine->frozen_entries, facts.entry_count);
    cellar_counter_add_shared(&engine->checkpoint_bytes, facts.bytes);
    cellar_counter_add_shared(&engine->checkpoint_records, facts.record_count);
    store_keeper_limits_set(store);
    cellar_log(CELLAR_LOG_DEBUG, "checkpoint", "store=%u records=%llu items=%llu us=%lld",
               store->id, (unsigned long long)facts.record_count, (unsigned long long)item_count,
               (long long)took_us);
    return CELLAR_OK;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void victim_serve(struct store_engine *engine, struct store *victim)
{
    enum cellar_status status = store_keeper_checkpoint(engine, victim);
    cellar_mutex_lock(&engine->lock);
    if (status != CELLAR_OK && status != CELLAR_DATA_LOSS) {
        engine->retry_at_us = cellar_clock_monotonic_us() + RETRY_US;
    }
    cellar_mutex_unlock(&engine->lock);
    store_keeper_release(engine, victim);
    store_keeper_low_water(engine);
    store_keeper_retained_trim(engine);
    CELLAR_ASSERT(engine->is_started);
}

static bool keeper_wait(struct store_engine *engine)
{
    cellar_mutex_lock(&engine->lock);
    if (!engine->is_stopping && !atomic_load(&engine->is_woken)) {
        (void)cellar_cond_timedwait(&engine->changed, &engine->lock,
                                    cellar_clock_monotonic_us() + TICK_US);
    }
    bool goes_on = !engine->is_stopping;
    CELLAR_ASSERT(engine->store_count > 0);
    cellar_mutex_unlock(&engine->lock);
    return goes_on;
}

/* A store with dropped ranges to remove, claimed; NULL when there is none. Not beside a compaction:
 * the old generation goes as a whole then, and a blob that it alone unlists would be missing in the
 * new one, which has the range's rows still. */
static struct store *pending_claim(struct store_engine *engine)
{
    struct store *found = NULL;
    cellar_mutex_lock(&engine->lock);
    bool may_try = cellar_clock_monotonic_us() >= engine->retry_at_us && !engine->is_stopping;
    for (size_t i = 0; may_try && i < engine->store_count && found == NULL; i++) {
        struct store *store = engine->stores[i];
        bool is_free = !store->is_checkpointing && atomic_load(&store->pending_ranges) > 0 &&
                       !atomic_load(&store->is_damaged);
        found = is_free && store->compaction == NULL ? store : NULL;
    }
    if (found != NULL) {
        CELLAR_ASSERT(!found->is_checkpointing);
        found->is_checkpointing = true;
    }
    cellar_mutex_unlock(&engine->lock);
    return found;
}

/* Removes one slice, in a while without checkpoints. @return whether there was one */
static bool pending_serve(struct store_engine *engine)
{
    uint64_t item_count = 0;
    struct store *store = pending_claim(engine);
    if (store == NULL) {
        return false;
    }
    enum cellar_status status = store_pending_remove(store, &item_count);
    if (status != CELLAR_OK) {
        cellar_log(CELLAR_LOG_ERROR, "removal_failed", "store=%u status=%s", store->id,
                   cellar_status_text(status));
        if (status == CELLAR_DATA_LOSS) {
            store_damage_met(engine, store);
        }
        cellar_mutex_lock(&engine->lock);
        engine->retry_at_us = cellar_clock_monotonic_us() + RETRY_US;
        cellar_mutex_unlock(&engine->lock);
    } else {
        store_keeper_limits_set(store);
    }
    CELLAR_ASSERT(engine->is_started);
    store_keeper_release(engine, store);
    return true;
}

/* What is due: checkpoints first, then slices of removal. */
static void keeper_turn(struct store_engine *engine)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    bool has_more = true;
    while (has_more) {
        uint64_t page_count = 0;
        struct store *victim = store_keeper_victim_claim(engine, &page_count);
        if (victim != NULL) {
            store_keeper_pace_set(engine);
            victim_serve(engine, victim);
            store_keeper_pages_release(engine, page_count);
        } else {
            has_more = pending_serve(engine);
            (void)nanosleep(&pause, NULL); /* appends over budget wake it at once again */
        }
        store_keeper_idle_park(engine);
        store_blobs_reap(engine->blobs);
        CELLAR_ASSERT(victim == NULL || engine->log != NULL);
    }
}

static void *keeper_run(void *context)
{
    struct store_engine *engine = context;
    CELLAR_ASSERT(engine->log != NULL);
    cellar_thread_name_set("keeper");
    while (keeper_wait(engine)) {
        store_keeper_disk_look(engine);
        keeper_turn(engine);
        store_keeper_pace_set(engine);
    }
    return NULL;
}

enum cellar_status store_keeper_start(struct store_engine *engine) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(engine->keeper_count == 0);
    for (size_t i = 0; i < engine->store_count; i++) {
        store_keeper_limits_set(engine->stores[i]);
    }
    store_keeper_disk_look(engine);
    while (engine->keeper_count < KEEPER_THREAD_COUNT) {
        pthread_t *thread = &engine->keepers[engine->keeper_count];
        if (pthread_create(thread, NULL, keeper_run, engine) != 0) {
            store_keeper_stop(engine);
            return CELLAR_NO_MEMORY;
        }
        engine->keeper_count++;
    }
    store_keeper_wake(engine);
    return CELLAR_OK;
}

void store_keeper_stop(struct store_engine *engine)
{
    cellar_mutex_lock(&engine->lock);
    engine->is_stopping = true;
    cellar_cond_broadcast(&engine->changed);
    cellar_mutex_unlock(&engine->lock);
    while (engine->keeper_count > 0) {
        engine->keeper_count--;
        int result = pthread_join(engine->keepers[engine->keeper_count], NULL);
        CELLAR_ASSERT(result == 0);
    }
}

/* One store of the list, claimed; NULL behind the last. */
static struct store *store_claim_at(struct store_engine *engine, size_t index)
{
    cellar_mutex_lock(&engine->lock);
    struct store *store = index < engine->store_count ? engine->stores[index] : NULL;
    while (store != NULL && store->is_checkpointing) {
        cellar_cond_wait(&engine->changed, &engine->lock);
        store = index < engine->store_count ? engine->stores[index] : NULL;
    }
    if (store != NULL) {
        store->is_checkpointing = true;
    }
    cellar_mutex_unlock(&engine->lock);
    CELLAR_ASSERT(store == NULL || store->env != NULL);
    return store;
}

enum cellar_status store_engine_checkpoint_all(struct store_engine *engine)
{
    enum cellar_status first = CELLAR_OK;
    size_t index = 0;
    for (struct store *store = store_claim_at(engine, index); store != NULL;
         store = store_claim_at(engine, ++index)) {
        bool had_frozen = store_has_frozen(store);
        enum cellar_status status = store_keeper_checkpoint(engine, store);
        if (status == CELLAR_OK && had_frozen) {
            status = store_keeper_checkpoint(engine, store); /* the frozen one went first */
        }
        store_keeper_release(engine, store);
        first = first == CELLAR_OK ? status : first;
    }
    store_keeper_low_water(engine);
    CELLAR_ASSERT(index > 0);
    return first;
}
