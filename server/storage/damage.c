/*
 * Stores that are damaged: what the engine does about them.
 *
 * A store counts as damaged when a fault was met in its map (env_guard.c), or when a checkpoint or
 * a removal came upon what cannot be read: it would come upon it again every time. From then on,
 * until a start,
 *
 *     writes        are refused with DATA_LOSS (engine_admit.c): they could never be applied
 *     checkpoints   are not tried again, nor are removals and compactions
 *     budgets       do not count its memtables: no checkpoint could make them smaller
 *     reads         go on, where the environment can still be read: of all rows that are whole
 *     the log       keeps the records that the store lacks, and all that came behind them: they
 *                   were acknowledged. So it grows until the table is dropped, or a start finds
 *                   the store whole again. The event says so
 *
 * The note is made with the append lock and the engine's. Writes are admitted with the first, so
 * that no memtable of the store grows after its bytes were taken out of the budget.
 */
#include "common/log.h"
#include "server/storage/engine_internal.h"

bool store_damage_note(struct store_engine *engine, struct store *store)
{
    struct store_memtable_facts facts;
    if (atomic_load(&store->is_damaged)) {
        return false;
    }
    store_active_facts(store, &facts);
    uint64_t bytes = facts.bytes;
    struct store_memtable *frozen = store_frozen_get(store);
    if (frozen != NULL) {
        store_memtable_facts(frozen, &facts);
        bytes += facts.bytes;
    }
    CELLAR_ASSERT(atomic_load(&engine->memtable_bytes) >= bytes);
    atomic_fetch_sub(&engine->memtable_bytes, bytes);
    atomic_fetch_add(&engine->damaged_count, 1);
    atomic_store(&store->is_damaged, true);
    return true;
}

void store_damage_tell(uint32_t store_id, uint64_t oldest_lsn)
{
    CELLAR_ASSERT(oldest_lsn > 0);
    if (oldest_lsn == UINT64_MAX) {
        cellar_log(CELLAR_LOG_ERROR, "store_damaged",
                   "store=%u action=\"writes to it are refused; check and restore it, or drop its "
                   "table\"",
                   store_id);
        return;
    }
    cellar_log(
        CELLAR_LOG_ERROR, "store_damaged",
        "store=%u log_kept_from_lsn=%llu action=\"writes to it are refused, and the log grows "
        "with what it lacks; check and restore it, or drop its table\"",
        store_id, (unsigned long long)oldest_lsn);
}

void store_damage_met(struct store_engine *engine, struct store *store)
{
    uint64_t position = 0;
    store_log_lock(engine->log);
    cellar_mutex_lock(&engine->lock);
    CELLAR_ASSERT(store->is_checkpointing);
    bool is_new = store_damage_note(engine, store);
    uint64_t oldest_lsn = store_oldest_unapplied(store, &position);
    cellar_mutex_unlock(&engine->lock);
    store_log_unlock(engine->log);
    if (is_new) {
        store_damage_tell(store->id, oldest_lsn);
    }
}
