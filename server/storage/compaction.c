/*
 * Compaction by chunks.
 *
 *     old generation   |####|##|#####|###|##|####|###|
 *     new generation   |#########|                         row by row behind the last key
 *                       copied   ^ place
 *
 * A chunk and a checkpoint exclude each other: both claim the store. So the new generation holds,
 * of the rows before the place, what the old one holds, at every moment that anybody else can see;
 * a checkpoint writes its memtable into both, into the new one as far as rows are copied
 * (checkpoint.c). When the copy has come to the end, the two hold the same, and the memtables above
 * go with either.
 *
 * What is left out: rows of dropped ranges, cells that rules hide, families that are gone, expired
 * tokens, and the room between half empty pages.
 *
 * A chunk may end inside of a row. When a checkpoint then changes that row, what was copied of it
 * is taken back, and the row is copied again in one chunk.
 *
 * Nothing is synced until the end, as nobody depends on the new generation before the catalog names
 * it. The model is tests/models/compact.pml.
 */
#include "server/storage/compaction.h"

#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/engine_internal.h"
#include "server/storage/log_files.h"

#define READER_POLL_NS 500000
#define KEEPER_NS 3000000
#define GARBAGE_FILE_BYTES_MIN (UINT64_C(4) << 20) /* below there is nothing to gain */

/* ---- how far it is --------------------------------------------------------------------------- */

/* The first key that is not copied, or not for good. */
static struct cellar_slice bound_of(const struct store_compaction *compaction)
{
    return cellar_slice_of(compaction->row.bytes > 0 ? &compaction->row : &compaction->place);
}

bool store_compaction_lacks(const struct store_compaction *compaction, struct cellar_slice row_key)
{
    CELLAR_ASSERT(row_key.bytes > 0);
    return !compaction->has_all_cells && cellar_slice_compare(row_key, bound_of(compaction)) >= 0;
}

bool store_compaction_cut(const struct store_compaction *compaction, struct store_range *range)
{
    struct cellar_slice bound = bound_of(compaction);
    if (compaction->has_all_cells) {
        return true;
    }
    if (cellar_slice_compare(range->start, bound) >= 0) {
        return false;
    }
    if (range->end.bytes == 0 || cellar_slice_compare(range->end, bound) > 0) {
        range->end = bound;
    }
    CELLAR_ASSERT(range->end.bytes > 0);
    return true;
}

void store_compaction_row_redo(struct store_compaction *compaction)
{
    CELLAR_ASSERT(compaction->row.bytes > 0 && compaction->packer.pending_count == 0);
    struct cellar_buffer place = compaction->place;
    compaction->place = compaction->row;
    compaction->row = place;
    cellar_buffer_clear(&compaction->row);
    compaction->row_is_whole = true;
}

/* ---- a step --------------------------------------------------------------------------------- */

/* The rules of now, but within a row those that it began with. */
static void filter_renew(struct store_compaction *compaction, struct store *store)
{
    const struct store_filter_source *source = atomic_load(&store->filters);
    if (compaction->row.bytes > 0 || source == NULL) {
        return;
    }
    compaction->filter = (struct store_filter){.held = compaction->held};
    source->open(source, store_log_durable_lsn(compaction->engine->log), &compaction->filter);
    CELLAR_ASSERT(compaction->filter.source == source);
}

/* Lets a keeper in that waits for the store, or for any: it looks every two milliseconds. A copy
 * without a pace would else take the store again at once. */
static void keepers_let(const struct store_engine *engine)
{
    const struct timespec pause = {.tv_nsec = KEEPER_NS};
    uint64_t records = store_log_durable_lsn(engine->log) - atomic_load(&engine->low_lsn);
    CELLAR_ASSERT(engine->is_started);
    if (atomic_load(&engine->memtable_bytes) > atomic_load(&engine->memtable_bytes_max) / 4 ||
        records > atomic_load(&engine->unapplied_records_max) / 4) {
        (void)nanosleep(&pause, NULL);
    }
}

enum cellar_status store_compaction_step(struct store_compaction *compaction, struct store *store,
                                         uint64_t bytes_max, bool *is_done)
{
    CELLAR_ASSERT(bytes_max > 0 && compaction->old_generation == 0);
    keepers_let(compaction->engine);
    store_keeper_claim(compaction->engine, store);
    CELLAR_ASSERT(store->compaction == compaction);
    if (compaction->status == CELLAR_OK && !compaction->has_all_cells &&
        compaction->phase != STORE_LOAD_IN) {
        filter_renew(compaction, store);
        compaction->status = store_compaction_cells_copy(compaction, store, bytes_max);
    }
    *is_done = compaction->has_all_cells || compaction->phase == STORE_LOAD_IN;
    enum cellar_status status = compaction->status; /* a checkpoint may change it */
    store_keeper_release(compaction->engine, store);
    return status;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* The row's part of keys, which is the first key that any row at or behind it has. */
static enum cellar_status bound_set(struct cellar_buffer *bound, struct cellar_slice row)
{
    CELLAR_ASSERT(bound->bytes == 0);
    if (row.bytes == 0) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_buffer_reserve(bound, cellar_key_escaped_bytes(row)));
    bound->bytes = (size_t)(cellar_key_put_escaped(bound->data, row) - bound->data);
    return CELLAR_OK;
}

enum cellar_status store_compaction_load_begin(struct store_compaction *compaction,
                                               struct store *store, struct cellar_slice start,
                                               struct cellar_slice end)
{
    CELLAR_ASSERT(compaction->phase == STORE_LOAD_BEHIND && compaction->place.bytes == 0);
    CELLAR_TRY(bound_set(&compaction->range_start, start));
    CELLAR_TRY(bound_set(&compaction->range_end, end));
    store_keeper_claim(compaction->engine, store);
    compaction->phase = start.bytes == 0 ? STORE_LOAD_IN : STORE_LOAD_BEFORE;
    store_keeper_release(compaction->engine, store);
    return CELLAR_OK;
}

/* Rows, or without a source the rest of the range. */
static enum cellar_status rows_add(struct store_compaction *compaction, struct store *store,
                                   struct store_load_source *source)
{
    CELLAR_ASSERT(compaction->old_generation == 0 && !compaction->is_sealed);
    keepers_let(compaction->engine);
    store_keeper_claim(compaction->engine, store);
    CELLAR_ASSERT(store->compaction == compaction && compaction->phase == STORE_LOAD_IN);
    if (compaction->status == CELLAR_OK) {
        filter_renew(compaction, store);
        compaction->status = store_compaction_rows_copy(compaction, store, source);
    }
    enum cellar_status status = compaction->status; /* a checkpoint may change it */
    store_keeper_release(compaction->engine, store);
    return status;
}

enum cellar_status store_compaction_rows_add(struct store_compaction *compaction,
                                             struct store *store, struct store_load_source *source)
{
    CELLAR_ASSERT(source != NULL && source->row_next != NULL && source->cell_next != NULL);
    return rows_add(compaction, store, source);
}

enum cellar_status store_compaction_blobs_take(struct store_compaction *compaction,
                                               const uint64_t *ids, size_t count)
{
    CELLAR_ASSERT(!compaction->is_sealed && (count == 0 || ids != NULL));
    return cellar_buffer_append(&compaction->blobs_taken, ids, count * sizeof *ids);
}

enum cellar_status store_compaction_load_end(struct store_compaction *compaction,
                                             struct store *store)
{
    CELLAR_ASSERT(compaction->phase == STORE_LOAD_IN);
    return rows_add(compaction, store, NULL);
}

/* ---- begin ----------------------------------------------------------------------------------- */

/* Everything that was acknowledged before goes through the filter with the rest. */
static enum cellar_status store_write_down(struct store_engine *engine, struct store *store)
{
    bool had_frozen = store_has_frozen(store);
    CELLAR_TRY(store_keeper_checkpoint(engine, store));
    CELLAR_ASSERT(!store_has_frozen(store) || had_frozen);
    return had_frozen ? store_keeper_checkpoint(engine, store) : CELLAR_OK;
}

/* The empty environment of the next generation, at the old one's applied LSN. */
static enum cellar_status env_make(struct store_compaction *compaction, struct store *store,
                                   struct cellar_error *error)
{
    char path[PATH_MAX];
    struct store_env_txn *txn = NULL;
    const struct store_engine *engine = compaction->engine;
    enum cellar_status status = store_env_read_begin(store->env, &txn);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "store %u cannot be read", store->id);
    }
    struct store_env_state state = txn->state;
    store_env_read_end(txn);
    compaction->item_count_total = state.item_count;
    uint64_t map_bytes = engine->options.map_bytes;
    if (map_bytes / 2 > store_env_used_bytes(store->env)) {
        state.map_bytes = map_bytes; /* a changed setting comes into force */
    }
    state.generation = compaction->generation;
    state.item_count = 0;
    state.item_crc_sum = 0;
    state.item_bytes = 0;
    state.layer_next = 1;
    state.pending_count = 0;
    state.made_s = (uint32_t)(cellar_clock_real_us() / 1000000);
    store_data_dir_generation(&engine->dir, store->id, compaction->generation, path);
    CELLAR_ASSERT(compaction->generation > store->generation);
    CELLAR_TRY(store_env_create(path, &state, error));
    CELLAR_TRY(store_env_open(path, &compaction->env, error));
    store_env_durable_set(compaction->env, false);
    return CELLAR_OK;
}

/* Frees what a compaction holds in memory. */
static void compaction_free(struct store_compaction *compaction)
{
    cellar_buffer_fini(&compaction->place);
    cellar_buffer_fini(&compaction->row);
    cellar_buffer_fini(&compaction->range_start);
    cellar_buffer_fini(&compaction->range_end);
    cellar_buffer_fini(&compaction->blobs_taken);
    store_packer_fini(&compaction->packer);
    cellar_mem_free(compaction->blobs_gone);
    store_view_release(compaction->view);
    CELLAR_ASSERT(compaction->env == NULL);
    cellar_mem_free(compaction);
}

static void generation_remove(const struct store_compaction *compaction, uint64_t generation)
{
    char path[PATH_MAX];
    struct cellar_error error;
    CELLAR_ASSERT(generation > 0);
    cellar_error_clear(&error);
    store_data_dir_generation(&compaction->engine->dir, compaction->store_id, generation, path);
    if (store_directory_remove(path, &error) != CELLAR_OK) {
        cellar_log(CELLAR_LOG_WARN, "generation_remove_failed", "store=%u error=\"%s\"",
                   compaction->store_id, error.text);
    }
}

/* Closes the environment that the compaction owns and, where wanted, removes its files. */
static void env_drop(struct store_compaction *compaction, uint64_t generation, bool removes)
{
    store_env_close(compaction->env);
    compaction->env = NULL;
    CELLAR_ASSERT(generation > 0);
    if (removes) {
        generation_remove(compaction, generation);
    }
}

/* With the store claimed. */
static enum cellar_status begin_claimed(struct store_compaction *compaction, struct store *store,
                                        struct cellar_error *error)
{
    if (store->compaction != NULL) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "store %u is being compacted already", store->id);
    }
    compaction->generation = store->generation + 1;
    enum cellar_status status = store_write_down(compaction->engine, store);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status,
                                status == CELLAR_DATA_LOSS
                                    ? "store %u is damaged and cannot be compacted"
                                    : "the checkpoint of store %u failed",
                                store->id);
    }
    status = env_make(compaction, store, error);
    if (status != CELLAR_OK) {
        generation_remove(compaction, compaction->generation); /* what there is of it */
        return status;
    }
    CELLAR_ASSERT(compaction->env != NULL);
    store->compaction = compaction;
    return CELLAR_OK;
}

enum cellar_status store_compaction_begin(struct store_engine *engine, struct store *store,
                                          struct store_compaction **compaction,
                                          struct cellar_error *error)
{
    struct store_compaction *made = cellar_mem_zalloc(1, sizeof *made);
    if (made != NULL) {
        made->view = store_view_new();
    }
    if (made == NULL || made->view == NULL) {
        cellar_mem_free(made);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a compaction");
    }
    made->engine = engine;
    made->store_id = store->id;
    made->packer.fill = &made->fill;
    store_keeper_claim(engine, store);
    enum cellar_status status = begin_claimed(made, store, error);
    store_keeper_release(engine, store);
    CELLAR_ASSERT(status != CELLAR_OK || made->env != NULL);
    if (status != CELLAR_OK) {
        if (made->env != NULL) {
            env_drop(made, made->generation, true);
        }
        compaction_free(made);
        return status;
    }
    *compaction = made;
    return CELLAR_OK;
}

/* ---- end ------------------------------------------------------------------------------------- */

enum cellar_status store_compaction_sync(struct store_compaction *compaction)
{
    CELLAR_ASSERT(compaction->env != NULL && !compaction->is_sealed);
    return store_env_sync(compaction->env);
}

/* Most of the bytes go to the disk before the store is claimed, so that its checkpoints are kept
 * off for the rest only. The last commit syncs the file as every checkpoint's does. */
enum cellar_status store_compaction_seal(struct store_compaction *compaction, struct store *store)
{
    CELLAR_TRY(store_compaction_sync(compaction));
    store_keeper_claim(compaction->engine, store);
    CELLAR_ASSERT(store->compaction == compaction && compaction->has_all_cells);
    if (compaction->status == CELLAR_OK) {
        store_env_durable_set(compaction->env, true);
        compaction->status = store_compaction_rest_copy(compaction, store);
    }
    enum cellar_status status = compaction->status;
    if (status != CELLAR_OK) {
        store_keeper_release(compaction->engine, store);
        return status;
    }
    store_env_count_by(compaction->env, &compaction->engine->open_count);
    compaction->is_sealed = true;
    return CELLAR_OK;
}

void store_compaction_swap(struct store_compaction *compaction, struct store *store)
{
    struct store_engine *engine = compaction->engine;
    uint64_t old_generation = store->generation;
    CELLAR_ASSERT(compaction->is_sealed && compaction->old_generation == 0);
    cellar_mutex_lock(&engine->lock);
    compaction->env =
        store_env_swap(store, compaction->env, compaction->generation, compaction->view);
    cellar_mutex_unlock(&engine->lock);
    compaction->view = NULL;
    compaction->old_generation = old_generation;
}

void store_compaction_end(struct store_compaction *compaction, struct store *store, bool is_durable)
{
    const struct timespec pause = {.tv_nsec = READER_POLL_NS};
    struct store_env_txn *txn = NULL;
    CELLAR_ASSERT(compaction->old_generation > 0 && store->compaction == compaction);
    store->compaction = NULL;
    cellar_buffer_clear(&store->token_sweep);
    atomic_store(&store->written_bytes, 0);
    if (store_env_read_begin(store->env, &txn) == CELLAR_OK) {
        store_state_note(store, &txn->state);
        store_env_read_end(txn);
    }
    store_keeper_limits_set(store);
    store_keeper_release(compaction->engine, store);
    while (store_env_has_users(compaction->env)) {
        (void)nanosleep(&pause, NULL); /* a chunk of a read lasts some milliseconds */
    }
    env_drop(compaction, compaction->old_generation, is_durable);
    for (size_t i = 0; is_durable && i < compaction->blob_gone_count; i++) {
        store_blobs_remove(compaction->engine->blobs, compaction->blobs_gone[i]);
    }
    compaction_free(compaction);
}

void store_compaction_abandon(struct store_compaction *compaction, struct store *store)
{
    if (compaction == NULL) {
        return;
    }
    CELLAR_ASSERT(compaction->old_generation == 0);
    if (store != NULL) {
        if (!compaction->is_sealed) {
            store_keeper_claim(compaction->engine, store);
        }
        store->compaction = NULL;
        store_keeper_release(compaction->engine, store);
    }
    env_drop(compaction, compaction->generation, true);
    store_engine_blobs_remove(compaction->engine, &compaction->blobs_taken);
    compaction_free(compaction);
}

/* ---- whether there is something to gain ------------------------------------------------------ */

/* Half-empty pages count as well as free ones: what is not data. */
void store_garbage_look(struct store *store, struct store_garbage *garbage)
{
    uint64_t used = atomic_load(&store->used_bytes);
    uint64_t data = atomic_load(&store->item_bytes);
    uint64_t written = atomic_load(&store->written_bytes);
    bool is_small = used < GARBAGE_FILE_BYTES_MIN || (data == 0 && written == 0);
    garbage->percent = is_small || data >= used ? 0 : (unsigned)((used - data) * 100 / used);
    garbage->has_changed = written >= data / 4;
    garbage->made_us = atomic_load(&store->made_us);
    CELLAR_ASSERT(garbage->percent <= 100);
}
