/*
 * What a keeper looks at: all stores under both locks, which tells how far the log may go, and
 * whose turn for a checkpoint it is. keeper.c has the order in which reasons count.
 */
#include "common/clock.h"
#include "server/storage/engine_internal.h"

#define AGE_US_MAX 60000000
#define SHORT_AGE_US_MAX 1000000 /* on a disk below its reserve */
#define IDLE_US 1000000
#define IDLE_BYTES_MIN 65536u

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
    int64_t age_us_max = atomic_load(&engine->is_disk_short) ? SHORT_AGE_US_MAX : AGE_US_MAX;
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
struct store *store_keeper_victim_claim(struct store_engine *engine, uint64_t *page_count)
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
