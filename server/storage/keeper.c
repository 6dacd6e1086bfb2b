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
 * keeper_limits.c says what memory they may take.
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
#define AGE_US_MAX 60000000
#define IDLE_US 1000000
#define IDLE_BYTES_MIN 65536u
#define RETRY_US 500000
#define PAUSE_NS 2000000

/* ---- looking --------------------------------------------------------------------------------- */

/* What one look at all stores found. */
struct look {
    struct store *largest; /* most bytes in the active memtable */
    uint64_t largest_bytes;
    struct store *oldest; /* holds the oldest unapplied record */
    uint64_t oldest_lsn;
    uint64_t oldest_position;
    struct store *due;    /* for a reason of its own */
    uint64_t low_lsn;     /* as oldest_lsn, of damaged stores too: the log is kept from here */
    bool found_damage;    /* in a store that was not known to be damaged: */
    uint32_t damaged_id;  /* the last one, */
    uint64_t damaged_lsn; /* and its oldest unapplied record */
};

/* Whether a memtable worth a checkpoint has not changed for a second. One with a range drop is
 * worth it: the space comes back only behind it. */
static bool store_is_idle(struct store *store, const struct store_memtable_facts *facts,
                          int64_t now_us)
{
    CELLAR_ASSERT(facts->last_lsn > 0);
    if (facts->last_lsn != store->looked_lsn) {
        store->looked_lsn = facts->last_lsn;
        store->looked_us = now_us;
    }
    bool is_worth = facts->bytes >= IDLE_BYTES_MIN || facts->drop_count > 0;
    return is_worth && now_us - store->looked_us >= IDLE_US;
}

/* On a disk below its reserve nothing waits: sets are refused, and the files of large values that
 * were deleted go with the checkpoint of the deletion only. */
static bool store_is_due(const struct store_engine *engine, const struct store *store,
                         const struct store_memtable_facts *facts, int64_t now_us)
{
    uint64_t records_max = engine->options.checkpoint_records_max;
    int64_t age_us_max = atomic_load(&engine->is_disk_short) ? TICK_US : AGE_US_MAX;
    CELLAR_ASSERT(facts->record_count > 0);
    return store_keeper_pages_are_many(engine, store, facts) ||
           (records_max > 0 && facts->record_count >= records_max) ||
           now_us - store->first_insert_us > age_us_max;
}

/* Damage that a reader met is found here, once nobody works on the store, whose memtables change
 * meanwhile. One store a look is told; the next comes with the next. */
static bool damaged_look(struct store_engine *engine, struct store *store, uint64_t oldest_lsn,
                         struct look *look) CELLAR_REQUIRES(engine->lock)
{
    CELLAR_ASSERT(oldest_lsn > 0);
    if (!store_is_damaged(store)) {
        return false;
    }
    if (!store->is_checkpointing && !look->found_damage && store_damage_note(engine, store)) {
        look->found_damage = true;
        look->damaged_id = store->id;
        look->damaged_lsn = oldest_lsn;
    }
    return true;
}

static void store_look(struct store_engine *engine, struct store *store, int64_t now_us,
                       struct look *look) CELLAR_REQUIRES(engine->lock)
{
    struct store_memtable_facts facts;
    uint64_t position = 0;
    uint64_t oldest_lsn = store_oldest_unapplied(store, &position);
    look->low_lsn = CELLAR_MIN(look->low_lsn, oldest_lsn);
    if (damaged_look(engine, store, oldest_lsn, look)) {
        return;
    }
    if (oldest_lsn < look->oldest_lsn) {
        look->oldest_lsn = oldest_lsn;
        look->oldest_position = position;
        look->oldest = store;
    }
    if (store->is_checkpointing) {
        return;
    }
    if (look->due == NULL && store_has_frozen(store)) {
        look->due = store; /* its checkpoint failed; nobody may write to it again */
    }
    store_active_facts(store, &facts);
    if (facts.record_count == 0) {
        return;
    }
    if (facts.bytes > look->largest_bytes) {
        look->largest_bytes = facts.bytes;
        look->largest = store;
    }
    bool is_idle = store_is_idle(store, &facts, now_us);
    if (look->due == NULL && (is_idle || store_is_due(engine, store, &facts, now_us))) {
        look->due = store;
    }
    CELLAR_ASSERT(facts.last_lsn > 0);
}

static void stores_look(struct store_engine *engine, struct look *look)
    CELLAR_REQUIRES(engine->lock)
{
    int64_t now_us = cellar_clock_monotonic_us();
    *look = (struct look){.oldest_lsn = UINT64_MAX, .low_lsn = UINT64_MAX};
    for (size_t i = 0; i < engine->store_count; i++) {
        store_look(engine, engine->stores[i], now_us, look);
    }
    CELLAR_ASSERT(look->oldest == NULL || look->oldest_lsn < UINT64_MAX);
}

/* With both locks: publishes how far all stores have applied. Budgets go by what sound stores lack,
 * as nothing can be done about the others; what the log must keep goes by all. */
static void low_water_publish(struct store_engine *engine, const struct look *look)
{
    uint64_t low_lsn =
        look->oldest != NULL ? look->oldest_lsn - 1 : store_log_next_lsn(engine->log) - 1;
    uint64_t low_position =
        look->oldest != NULL ? look->oldest_position : store_log_position(engine->log);
    CELLAR_ASSERT(low_lsn < store_log_next_lsn(engine->log));
    atomic_store(&engine->low_lsn, low_lsn);
    atomic_store(&engine->low_position, low_position);
    store_log_low_water_set(engine->log, CELLAR_MIN(low_lsn, look->low_lsn - 1));
}

/* Without locks: what the log has to say of a look. */
static void look_tell(const struct look *look)
{
    CELLAR_ASSERT(look->low_lsn > 0);
    if (look->found_damage) {
        store_damage_tell(look->damaged_id, look->damaged_lsn);
    }
}

/* The store whose turn it is, or NULL. */
static struct store *victim_choose(struct store_engine *engine, const struct look *look)
{
    uint64_t segments = 0;
    uint64_t groups = 0;
    uint64_t records = 0;
    if (atomic_load(&engine->memtable_bytes) > atomic_load(&engine->memtable_bytes_max) &&
        look->largest != NULL) {
        return look->largest;
    }
    store_log_counts(engine->log, &segments, &groups, &records);
    uint64_t bytes_max = atomic_load(&engine->unapplied_bytes_max);
    uint64_t segments_max = bytes_max / engine->options.segment_bytes + 2;
    bool has_many = segments > segments_max && atomic_load(&engine->damaged_count) == 0;
    bool log_is_long = store_log_position(engine->log) - look->oldest_position > bytes_max ||
                       store_log_next_lsn(engine->log) - look->oldest_lsn >
                           atomic_load(&engine->unapplied_records_max) ||
                       has_many;
    CELLAR_ASSERT(segments_max >= 2);
    if (look->oldest != NULL && !look->oldest->is_checkpointing && log_is_long) {
        return look->oldest;
    }
    return look->due;
}

/* Looks at everything and claims the store to checkpoint, if there is one, with the pages that it
 * may dirty. */
static struct store *victim_claim(struct store_engine *engine, uint64_t *page_count)
{
    struct look look;
    store_log_lock(engine->log);
    cellar_mutex_lock(&engine->lock);
    atomic_store(&engine->is_woken, false);
    stores_look(engine, &look);
    low_water_publish(engine, &look);
    bool may_try = cellar_clock_monotonic_us() >= engine->retry_at_us && !engine->is_stopping &&
                   atomic_load(&engine->failed_store) == 0;
    struct store *victim = may_try ? victim_choose(engine, &look) : NULL;
    if (victim != NULL && !store_keeper_pages_reserve(engine, victim, page_count)) {
        victim = NULL; /* looked at again when the other checkpoint has ended */
    }
    if (victim != NULL) {
        CELLAR_ASSERT(!victim->is_checkpointing);
        victim->is_checkpointing = true;
    }
    cellar_mutex_unlock(&engine->lock);
    store_log_unlock(engine->log);
    look_tell(&look);
    return victim;
}

void store_keeper_low_water(struct store_engine *engine)
{
    struct look look;
    store_log_lock(engine->log);
    cellar_mutex_lock(&engine->lock);
    stores_look(engine, &look);
    low_water_publish(engine, &look);
    CELLAR_ASSERT(look.oldest == NULL || look.oldest_lsn > 0);
    cellar_mutex_unlock(&engine->lock);
    store_log_unlock(engine->log);
    look_tell(&look);
}

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
        struct store *victim = victim_claim(engine, &page_count);
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
