/*
 * What keepers hold against limits: the memory of checkpoints, the disk, the pace of the log.
 *
 * A checkpoint keeps every page that it changes in memory until it commits, and LMDB keeps them
 * afterwards for the next one. Half of the memory is theirs:
 *
 *     before   a store's active memtable is frozen when the pages that its checkpoint may change
 *              come near that half: a page a distinct row, at most those that the store has, and
 *              what the new bytes fill
 *     during   a checkpoint reserves its pages; the second of two waits when both do not fit
 *     after    environments that hold too many pages are parked, that is closed until somebody
 *              needs them, before the reservation ends; what the allocator then keeps of it goes
 *              back to the kernel
 *
 * An open environment has two descriptors and a map of its full size, so the number of open ones is
 * bounded, too: idle ones are parked, by the clock algorithm (used since the hand passed: spared
 * once).
 *
 * Reservations are the engine lock's. Everything else here is read from atomics.
 */
#include <sys/statvfs.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/engine_internal.h"

#define THROTTLE_US 2000u
#define PAGE_BYTES 4096u
#define FILL_PAGES_MIN 64u
#define DIRTY_PAGES_MAX 120000u /* LMDB spills pages to the file above 131,071 */
#define GIB (UINT64_C(1) << 30)

/* ---- pages of checkpoints -------------------------------------------------------------------- */

static uint64_t dirty_pages_max(const struct store_engine *engine)
{
    uint64_t pages = engine->options.memory_bytes_max / 2 / PAGE_BYTES;
    CELLAR_ASSERT(pages > 0);
    return CELLAR_MIN(pages, (uint64_t)DIRTY_PAGES_MAX);
}

/* Pages that a checkpoint of a memtable may change. What records hold fills them, half empty
 * perhaps; in the memtable it takes more memory than that, in links and heads of entries. */
static uint64_t checkpoint_pages(const struct store *store,
                                 const struct store_memtable_facts *facts)
{
    uint64_t live_pages = atomic_load_explicit(&store->live_pages, memory_order_relaxed);
    uint64_t touched = CELLAR_MIN(facts->row_count, live_pages);
    CELLAR_ASSERT(facts->payload_bytes <= facts->bytes);
    return touched + 2 * facts->payload_bytes / PAGE_BYTES + FILL_PAGES_MIN;
}

/* An eighth is left for what comes before a keeper does. */
bool store_keeper_pages_are_many(const struct store_engine *engine, const struct store *store,
                                 const struct store_memtable_facts *facts)
{
    uint64_t pages_max = dirty_pages_max(engine);
    CELLAR_ASSERT(facts->record_count > 0);
    return checkpoint_pages(store, facts) > pages_max - pages_max / 8;
}

void store_keeper_limits_set(struct store *store)
{
    CELLAR_ASSERT(store->env != NULL);
    atomic_store(&store->live_pages, store_env_live_page_count(store->env));
    atomic_store(&store->map_room_bytes, store_env_room_bytes(store->env, STORE_MAP_PERCENT_MAX));
}

bool store_keeper_pages_reserve(struct store_engine *engine, const struct store *store,
                                uint64_t *page_count)
{
    struct store_memtable_facts facts;
    store_active_facts(store, &facts);
    uint64_t pages = checkpoint_pages(store, &facts);
    pages *= store->compaction != NULL ? 2 : 1; /* two generations */
    if (engine->dirty_pages > 0 && engine->dirty_pages + pages > dirty_pages_max(engine)) {
        return false;
    }
    engine->dirty_pages += pages;
    *page_count = pages;
    return true;
}

void store_keeper_pages_release(struct store_engine *engine, uint64_t page_count)
{
    cellar_mutex_lock(&engine->lock);
    CELLAR_ASSERT(engine->dirty_pages >= page_count);
    engine->dirty_pages -= page_count;
    cellar_cond_broadcast(&engine->changed);
    cellar_mutex_unlock(&engine->lock);
}

/* The idle store that holds most pages of old transactions, claimed, if all stores together hold
 * too many. */
static struct store *hoarder_claim(struct store_engine *engine)
{
    struct store *most = NULL;
    uint64_t total = 0;
    cellar_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->store_count; i++) {
        struct store *store = engine->stores[i];
        uint64_t bytes = store_env_retained_bytes(store->env);
        total += bytes;
        if (!store->is_checkpointing &&
            (most == NULL || bytes > store_env_retained_bytes(most->env))) {
            most = store;
        }
    }
    if (total <= engine->options.memory_bytes_max / 4) {
        most = NULL;
    }
    if (most != NULL) {
        most->is_checkpointing = true;
    }
    cellar_mutex_unlock(&engine->lock);
    CELLAR_ASSERT(most == NULL || total > 0);
    return most;
}

void store_keeper_retained_trim(struct store_engine *engine)
{
    bool has_parked = false;
    for (struct store *store = hoarder_claim(engine); store != NULL;
         store = hoarder_claim(engine)) {
        CELLAR_ASSERT(store->is_checkpointing);
        store_env_park(store->env);
        store_keeper_release(engine, store);
        has_parked = true;
    }
    if (has_parked) {
        cellar_mem_trim();
    }
}

/* The next store behind the hand that nobody works on and that is open, claimed. The hand goes
 * round twice at most: once to forget who was used, once to close. */
static struct store *idle_claim(struct store_engine *engine, size_t *steps)
{
    struct store *found = NULL;
    cellar_mutex_lock(&engine->lock);
    for (; *steps < 2 * engine->store_count && found == NULL; (*steps)++) {
        struct store *store = engine->stores[engine->idle_hand++ % engine->store_count];
        found = !store->is_checkpointing && store_env_is_open(store->env) ? store : NULL;
    }
    if (found != NULL) {
        found->is_checkpointing = true;
    }
    cellar_mutex_unlock(&engine->lock);
    CELLAR_ASSERT(found == NULL || found->env != NULL);
    return found;
}

void store_keeper_idle_park(struct store_engine *engine)
{
    uint32_t open_max = store_engine_open_max(engine);
    size_t steps = 0;
    CELLAR_ASSERT(open_max > 0);
    while (atomic_load(&engine->open_count) > open_max) {
        struct store *store = idle_claim(engine, &steps);
        if (store == NULL) {
            return;
        }
        (void)store_env_park_idle(store->env);
        store_keeper_release(engine, store);
    }
}

/* ---- disk and pace --------------------------------------------------------------------------- */

void store_keeper_pace_set(struct store_engine *engine)
{
    uint64_t memtable_bytes_max = atomic_load(&engine->memtable_bytes_max);
    uint64_t unapplied_bytes_max = atomic_load(&engine->unapplied_bytes_max);
    uint64_t bytes = atomic_load(&engine->memtable_bytes);
    store_log_lock(engine->log);
    uint64_t unapplied = store_log_position(engine->log) - atomic_load(&engine->low_position);
    store_log_unlock(engine->log);
    bool is_over = bytes > memtable_bytes_max + memtable_bytes_max / 2 ||
                   unapplied > unapplied_bytes_max + unapplied_bytes_max / 2;
    CELLAR_ASSERT(memtable_bytes_max > 0);
    store_log_throttle(engine->log, is_over ? THROTTLE_US : 0);
}

void store_keeper_disk_look(struct store_engine *engine)
{
    struct statvfs facts;
    if (statvfs(engine->dir.path, &facts) != 0) {
        return;
    }
    uint64_t disk_bytes = (uint64_t)facts.f_blocks * facts.f_frsize;
    uint64_t free_bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    uint64_t need_bytes =
        2 * engine->options.segment_bytes + 2 * atomic_load(&engine->memtable_bytes_max);
    uint64_t reserve_bytes = CELLAR_MAX(need_bytes, CELLAR_MIN(GIB, disk_bytes / 20));
    atomic_store(&engine->disk_free_bytes, free_bytes);
    if (free_bytes < reserve_bytes) {
        store_log_space_keep(engine->log); /* while there is some left */
    }
    bool is_short = free_bytes < reserve_bytes || store_log_is_short_of_space(engine->log);
    CELLAR_ASSERT(reserve_bytes > 0);
    if (is_short != atomic_exchange(&engine->is_disk_short, is_short)) {
        cellar_log(is_short ? CELLAR_LOG_ERROR : CELLAR_LOG_INFO, "disk_reserve",
                   "short=%d free_bytes=%llu reserve_bytes=%llu", is_short ? 1 : 0,
                   (unsigned long long)free_bytes, (unsigned long long)reserve_bytes);
    }
}
