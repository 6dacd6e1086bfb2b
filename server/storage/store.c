/*
 * Stores: the view of memtables over an environment, and snapshots of both.
 *
 * The view is an immutable counted array, replaced under the store's lock: a freeze (which also
 * holds the append lock) adds a memtable, a checkpoint takes one away. At most one memtable is
 * frozen at a time here; the array has room for those that a swap of stores will pass on.
 *
 * A checkpoint applies a memtable whole, so a memtable is either above the applied LSN of a
 * transaction or in it, never half: a snapshot leaves out the memtables whose last LSN is at or
 * below A.
 */
#include "server/storage/store.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/map_guard.h"

/* ---- freezing -------------------------------------------------------------------------------- */

/* Puts `view` in place of the current one, whose reference goes. */
static void view_swap(struct store *store, struct store_view *view)
{
    cellar_mutex_lock(&store->lock);
    struct store_view *old = store_view_put(store, view);
    cellar_mutex_unlock(&store->lock);
    CELLAR_ASSERT(view->memtable_count > 0);
    store_view_release(old);
}

/* All memory that a freeze needs, before the append lock is taken: a freeze cannot fail half way
 * and allocates nothing under the lock. */
enum cellar_status store_freeze_kit_make(struct store_freeze_kit *kit)
{
    kit->memtable = store_memtable_new();
    kit->view = store_view_new();
    if (kit->memtable == NULL || kit->view == NULL) {
        store_freeze_kit_fini(kit);
        return CELLAR_NO_MEMORY;
    }
    CELLAR_ASSERT(kit->view->memtable_count == 0);
    return CELLAR_OK;
}

void store_freeze_kit_fini(struct store_freeze_kit *kit)
{
    store_memtable_unref(kit->memtable);
    store_view_release(kit->view);
    kit->memtable = NULL;
    kit->view = NULL;
    CELLAR_ASSERT(kit->view == NULL);
}

/* In the view the active memtable stands last, a frozen one before it. */
bool store_has_frozen(struct store *store)
{
    CELLAR_ASSERT(store != NULL);
    cellar_mutex_lock(&store->lock);
    bool has_frozen = store->view->memtable_count > 1;
    cellar_mutex_unlock(&store->lock);
    return has_frozen;
}

/* With the append lock, so no insert is under way: every record of the old memtable lies below
 * every one of the new. What is in the kit afterwards is the caller's to free. */
bool store_freeze(struct store *store, struct store_freeze_kit *kit)
{
    struct store_memtable_facts facts;
    store_memtable_facts(store->active, &facts);
    if (facts.record_count == 0 || store_has_frozen(store)) {
        return false;
    }
    CELLAR_ASSERT(kit->memtable != NULL && kit->view != NULL);
    store_memtable_prefix_set(kit->memtable, store->active);
    store_view_add(kit->view, store->active);
    store_view_add(kit->view, kit->memtable);
    store_memtable_unref(store->active); /* the views keep it */
    store->active = kit->memtable;
    store->frozen_position = store->first_position;
    view_swap(store, kit->view);
    kit->memtable = NULL;
    kit->view = NULL;
    return true;
}

/* Where the log must still begin for this store: UINT64_MAX says that it needs nothing. */
uint64_t store_oldest_unapplied(struct store *store, uint64_t *position)
{
    struct store_memtable_facts facts;
    struct store_view *view = store_view_hold(store);
    bool has_frozen = view->memtable_count > 1;
    store_memtable_facts(view->memtables[0], &facts);
    store_view_release(view);
    *position = has_frozen ? store->frozen_position : store->first_position;
    CELLAR_ASSERT(!has_frozen || facts.first_lsn > 0);
    return facts.first_lsn == 0 ? UINT64_MAX : facts.first_lsn;
}

/* first_insert_us is what makes a keeper write down a store that is seldom written: the oldest
 * waiting record counts, not the newest. */
void store_insert(struct store *store, struct store_batch *batch, uint64_t lsn, uint64_t position)
{
    struct store_memtable_facts facts;
    store_memtable_facts(store->active, &facts);
    CELLAR_ASSERT(lsn > atomic_load_explicit(&store->applied_lsn, memory_order_relaxed));
    if (facts.record_count == 0) {
        store->first_insert_us = cellar_clock_monotonic_us();
        store->first_position = position;
    }
    atomic_fetch_add_explicit(&store->pending_bytes, batch->total_bytes, memory_order_relaxed);
    if (batch->token_expiry_us != 0) {
        store_token_count_add(&store->tokens, batch->token_expiry_us);
    }
    store_memtable_insert(store->active, batch, lsn);
}

/* Borrowed: it stays in the view until the checkpoint that the caller runs shifts it out. */
struct store_memtable *store_frozen_get(struct store *store)
{
    cellar_mutex_lock(&store->lock);
    struct store_memtable *frozen =
        store->view->memtable_count > 1 ? store->view->memtables[0] : NULL;
    cellar_mutex_unlock(&store->lock);
    CELLAR_ASSERT(frozen == NULL || frozen != store->active);
    return frozen;
}

/* After the checkpoint's commit. A snapshot that was opened before keeps the old view and an old
 * transaction, which fit each other; one opened after sees both new. */
void store_view_shift(struct store *store, struct store_view *smaller)
{
    cellar_mutex_lock(&store->lock);
    struct store_view *old = store->view;
    CELLAR_ASSERT(old->memtable_count > 1);
    for (uint32_t i = 1; i < old->memtable_count; i++) {
        store_view_add(smaller, old->memtables[i]);
    }
    (void)store_view_put(store, smaller);
    cellar_mutex_unlock(&store->lock);
    store_view_release(old);
}

/* With the append lock, and the store claimed: no freeze and no checkpoint comes between. Both
 * generations hold the same prefix of the log, so the same memtables lie above either: a snapshot
 * of the old view and one of the new one show the same. */
struct store_env *store_env_swap(struct store *store, struct store_env *env, uint64_t generation,
                                 struct store_view *view)
{
    cellar_mutex_lock(&store->lock);
    struct store_view *old = store->view;
    struct store_env *old_env = store->env;
    CELLAR_ASSERT(generation > store->generation);
    for (uint32_t i = 0; i < old->memtable_count; i++) {
        store_view_add(view, old->memtables[i]);
    }
    store->env = env;
    store->generation = generation;
    (void)store_view_put(store, view);
    cellar_mutex_unlock(&store->lock);
    store_view_release(old);
    return old_env;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

struct token_look {
    struct store_env_txn *txn;
    struct cellar_slice key;
    int64_t now_us;
};

static enum cellar_status token_look_run(void *context)
{
    const struct token_look *look = context;
    CELLAR_ASSERT(look->txn != NULL);
    return store_token_get(look->txn, look->key, look->now_us);
}

/* The view before the transaction, as for a snapshot: a token that a checkpoint moves meanwhile is
 * found in one of the two, or in both. */
enum cellar_status store_token_probe_begin(struct store *store, struct cellar_slice key,
                                           int64_t now_us, struct store_token_probe *probe)
{
    struct store_env_txn *txn = NULL;
    struct store_view *view = store_view_hold(store);
    enum cellar_status status = store_env_read_begin(view->env, &txn);
    if (status == CELLAR_OK) {
        struct token_look look = {txn, key, now_us};
        status = store_map_guard(token_look_run, &look);
        store_env_read_end(txn);
    }
    if (status != CELLAR_OK && status != CELLAR_NOT_FOUND) {
        store_view_release(view);
        return status;
    }
    CELLAR_ASSERT(view->memtable_count > 0);
    *probe = (struct store_token_probe){view, status == CELLAR_OK};
    return CELLAR_OK;
}

/* With the append lock. The view that was looked at without it must still be the current one: else
 * a checkpoint may have moved the token out of a memtable into the environment after that was
 * searched. */
enum store_token_finding store_token_probe_find(struct store *store,
                                                const struct store_token_probe *probe,
                                                struct cellar_slice key, int64_t now_us)
{
    const struct store_view *view = probe->view;
    cellar_mutex_lock(&store->lock);
    bool is_current = store->view == view;
    cellar_mutex_unlock(&store->lock);
    if (!is_current) {
        return STORE_TOKEN_AGAIN;
    }
    bool is_known = probe->is_stored;
    for (uint32_t i = 0; i < view->memtable_count && !is_known; i++) {
        is_known = store_token_lsn(view->memtables[i], key, now_us) != 0;
    }
    CELLAR_ASSERT(view->memtables[view->memtable_count - 1] == store->active);
    return is_known ? STORE_TOKEN_KNOWN : STORE_TOKEN_UNKNOWN;
}

void store_token_probe_end(struct store_token_probe *probe)
{
    store_view_release(probe->view);
    probe->view = NULL;
    CELLAR_ASSERT(probe->view == NULL);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The environment says itself whose it is, so that folders that were copied or mixed up are noticed
 * before a read is answered from them. */
static enum cellar_status state_check(const struct store_env_state *state, uint32_t id,
                                      uint64_t generation, const uint8_t *log_id,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(generation > 0);
    if (state->store_id != id || state->generation != generation) {
        return cellar_error_set(
            error, CELLAR_DATA_LOSS, "store %u generation %llu holds store %u generation %llu", id,
            (unsigned long long)generation, state->store_id, (unsigned long long)state->generation);
    }
    if (memcmp(state->log_id, log_id, STORE_LOG_ID_BYTES) != 0) {
        return cellar_error_set(error, CELLAR_DATA_LOSS,
                                "store %u belongs to another commit log; it was copied from "
                                "another data directory",
                                id);
    }
    return CELLAR_OK;
}

/* The kit is what a freeze takes too: an empty memtable and a view to hold it. */
static struct store *store_new(uint32_t id, uint64_t generation) CELLAR_NO_THREAD_SAFETY
{
    struct store_freeze_kit kit;
    struct store *store = cellar_mem_zalloc(1, sizeof *store);
    struct store_blob_epoch *epoch = store_blob_epoch_new(NULL);
    if (store == NULL || epoch == NULL || store_freeze_kit_make(&kit) != CELLAR_OK) {
        store_blob_epoch_unref(epoch);
        cellar_mem_free(store);
        return NULL;
    }
    cellar_mutex_init(&store->lock);
    store->epoch = epoch;
    store->id = id;
    store->generation = generation;
    store->active = kit.memtable;
    store_view_add(kit.view, kit.memtable);
    kit.view->epoch = store_blob_epoch_ref(epoch);
    store->view = kit.view;
    CELLAR_ASSERT(store->env == NULL);
    return store;
}

/* Damage to tokens is the scrub's to name: the rows are served all the same. */
static enum cellar_status tokens_load(struct store *store, struct store_env_txn *txn,
                                      struct cellar_error *error)
{
    enum cellar_status status = store_token_count_load(&store->tokens, txn, cellar_clock_real_us());
    CELLAR_ASSERT(store->tokens.live <= UINT32_MAX);
    if (status == CELLAR_DATA_LOSS) {
        cellar_log(CELLAR_LOG_ERROR, "tokens_damaged", "store=%u", store->id);
        return CELLAR_OK;
    }
    return status == CELLAR_OK
               ? status
               : cellar_error_set(error, status, "cannot read the tokens of store %u", store->id);
}

void store_state_note(struct store *store, const struct store_env_state *state)
{
    CELLAR_ASSERT(state->store_id == store->id);
    atomic_store(&store->pending_ranges, state->pending_count);
    atomic_store(&store->item_bytes, state->item_bytes);
    atomic_store(&store->made_us, (int64_t)state->made_s * 1000000);
    atomic_store(&store->used_bytes, store_env_used_bytes(store->env));
}

enum cellar_status store_open(const char *directory, uint32_t id, uint64_t generation,
                              const uint8_t *log_id, struct store **store,
                              struct cellar_error *error) CELLAR_NO_THREAD_SAFETY
{
    struct store_env_txn *txn = NULL;
    struct store *opened = store_new(id, generation);
    if (opened == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for store %u", id);
    }
    enum cellar_status status = store_env_open(directory, &opened->env, error);
    if (status == CELLAR_OK) {
        store_view_env_set(opened->view, opened->env);
        status = store_env_read_begin(opened->env, &txn);
    }
    if (status == CELLAR_OK) {
        status = state_check(&txn->state, id, generation, log_id, error);
        if (status == CELLAR_OK) {
            store_state_note(opened, &txn->state);
        }
        atomic_store(&opened->applied_lsn, txn->state.applied_lsn);
        atomic_store(&opened->live_pages, store_env_live_page_count(opened->env));
        atomic_store(&opened->map_room_bytes,
                     store_env_room_bytes(opened->env, STORE_MAP_PERCENT_MAX));
        opened->server_time_us = txn->state.server_time_us;
        if (status == CELLAR_OK) {
            store_state_note(opened, &txn->state);
            status = tokens_load(opened, txn, error);
        }
        store_env_read_end(txn);
    }
    if (status != CELLAR_OK) {
        store_close(opened);
        return status;
    }
    CELLAR_ASSERT(opened->env != NULL);
    *store = opened;
    return CELLAR_OK;
}

/* Without a checkpoint: what the memtables still hold is in the log. */
void store_close(struct store *store) CELLAR_NO_THREAD_SAFETY
{
    if (store == NULL) {
        return;
    }
    CELLAR_ASSERT(!store->is_checkpointing);
    cellar_buffer_fini(&store->token_sweep);
    store_memtable_unref(store->active);
    store_view_release(store->view);
    store_env_close(store->env);
    store_blob_epoch_unref(store->epoch);
    cellar_mutex_fini(&store->lock);
    cellar_mem_free(store);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* View first, then the transaction. A checkpoint between the two makes the transaction newer than
 * the view: a memtable at or below its applied LSN is left out then, and nothing is read twice. The
 * other way round it would be missing in both. */
enum cellar_status store_snapshot_open(struct store *store, uint64_t durable_lsn,
                                       struct store_snapshot *snapshot)
{
    struct store_view *view = store_view_hold(store);
    struct store_env_txn *txn = NULL;
    enum cellar_status status = store_env_read_begin(view->env, &txn);
    if (status != CELLAR_OK) {
        store_view_release(view);
        return status;
    }
    uint64_t applied_lsn = txn->state.applied_lsn;
    snapshot->store = store;
    snapshot->view = view;
    snapshot->txn = txn;
    snapshot->lsn = CELLAR_MAX(durable_lsn, applied_lsn);
    snapshot->memtable_count = 0;
    snapshot->has_hidden = txn->pending.count > 0;
    for (uint32_t i = 0; i < view->memtable_count; i++) {
        struct store_memtable_facts facts;
        store_memtable_facts(view->memtables[i], &facts);
        if (facts.last_lsn > applied_lsn) {
            snapshot->memtables[snapshot->memtable_count++] = view->memtables[i];
            snapshot->has_hidden = snapshot->has_hidden || facts.drop_count > 0;
        }
    }
    CELLAR_ASSERT(snapshot->memtable_count <= view->memtable_count);
    return CELLAR_OK;
}

const struct store_range *store_snapshot_hidden(const struct store_snapshot *snapshot,
                                                struct cellar_slice key)
{
    CELLAR_ASSERT(key.bytes > 0);
    if (!snapshot->has_hidden) {
        return NULL;
    }
    const struct store_range *found = store_range_set_find(&snapshot->txn->pending, key);
    for (size_t i = 0; i < snapshot->memtable_count && found == NULL; i++) {
        for (const struct store_drop *drop = store_memtable_drops(snapshot->memtables[i]);
             drop != NULL && found == NULL; drop = drop->next) {
            bool hides = drop->lsn <= snapshot->lsn && store_range_has(&drop->range, key);
            found = hides ? &drop->range : NULL;
        }
    }
    return found;
}

void store_snapshot_close(struct store_snapshot *snapshot)
{
    CELLAR_ASSERT(snapshot->view != NULL);
    store_env_read_end(snapshot->txn);
    store_view_release(snapshot->view);
    snapshot->txn = NULL;
    snapshot->view = NULL;
}
