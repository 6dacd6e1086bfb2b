/*
 * Compacting a tablet.
 *
 * The store copies itself chunk by chunk (storage/compaction.c). Between the chunks nothing is
 * held: the table may be dropped, and then what was built goes. The end is made under the lock of
 * the administration, so that no drop or change comes between the last look and the catalog's
 * record:
 *
 *     seal      the new generation is whole and on the disk; no checkpoint from here on
 *     record    {store: new generation} queued, and in the same hold the swap
 *     durable   the old generation goes with its last reader
 *
 * When the record's outcome is not known, both generations stay on the disk: the next start opens
 * the one that the catalog names, and removes the other.
 */
#include "server/tablet/compact.h"

#include "common/clock.h"
#include "common/log.h"
#include "server/storage/compaction.h"
#include "server/tablet/catalog.h"

#define AGE_GARBAGE_PERCENT 10u

struct run {
    struct tablet_db *db;
    struct tablet_table *table;
    struct tablet *tablet;
    struct store_compaction *compaction;
    bool is_swapped;
};

/* The store, held open until run_leave(). NOT_FOUND. */
static enum cellar_status run_enter(const struct run *run, struct cellar_error *error)
{
    CELLAR_ASSERT(run->table->tablet_count > 0);
    return tablet_table_enter(run->table) ? CELLAR_OK
                                          : tablet_name_not_found(&run->table->name, error);
}

static void run_leave(const struct run *run)
{
    tablet_table_leave(run->table);
}

static void run_abandon(struct run *run)
{
    bool is_open = tablet_table_enter(run->table);
    store_compaction_abandon(run->compaction, is_open ? run->tablet->store : NULL);
    run->compaction = NULL;
    if (is_open) {
        run_leave(run);
    }
    CELLAR_ASSERT(!run->is_swapped);
}

static enum cellar_status failed(const struct run *run, enum cellar_status status,
                                 struct cellar_error *error)
{
    CELLAR_ASSERT(status != CELLAR_OK);
    return cellar_error_set(error, status, "the compaction of store %u was abandoned: %s",
                            run->tablet->store_id, cellar_status_text(status));
}

/* All chunks. */
static enum cellar_status cells_copy(struct run *run, const struct tablet_compact_options *options,
                                     struct cellar_error *error)
{
    const struct store_compaction *compaction = run->compaction;
    bool is_done = false;
    while (!is_done) {
        CELLAR_TRY(run_enter(run, error));
        enum cellar_status status = store_compaction_step(run->compaction, run->tablet->store,
                                                          options->chunk_bytes, &is_done);
        run_leave(run);
        if (status != CELLAR_OK) {
            return failed(run, status, error);
        }
        const struct tablet_compact_progress progress = {
            compaction->item_count, compaction->item_count_total, compaction->byte_count};
        if (!options->watch(options->context, &progress)) {
            return cellar_error_set(error, CELLAR_CANCELLED, "the compaction was cancelled");
        }
    }
    CELLAR_ASSERT(compaction->has_all_cells);
    return CELLAR_OK;
}

/* With the append lock. */
static void generations_swap(void *context, uint64_t lsn)
{
    struct run *run = context;
    CELLAR_ASSERT(lsn > 0 && !run->is_swapped);
    store_compaction_swap(run->compaction, run->tablet->store);
    run->is_swapped = true;
}

/* The catalog's record, with the swap. */
static enum cellar_status record_commit(struct run *run, struct cellar_error *error)
{
    struct tablet_catalog_change change;
    const struct tablet_catalog_effect effect = {generations_swap, run, true};
    enum cellar_status status = tablet_catalog_change_begin(&change, 1);
    if (status == CELLAR_OK) {
        status = tablet_catalog_change_store(&change, run->tablet->store_id,
                                             run->compaction->generation);
    }
    status = status != CELLAR_OK
                 ? cellar_error_set(error, status, "no memory for a change of the catalog")
                 : tablet_catalog_change_commit(&change, tablet_db_engine(run->db), &effect, error);
    tablet_catalog_change_fini(&change);
    CELLAR_ASSERT(status != CELLAR_OK || run->is_swapped);
    return status;
}

/* With the lock of the administration: the table is there until it is let go. */
static enum cellar_status generation_publish(struct run *run, struct cellar_error *error)
{
    CELLAR_TRY(run_enter(run, error));
    struct store *store = run->tablet->store;
    enum cellar_status status = store_compaction_seal(run->compaction, store);
    status = status != CELLAR_OK ? failed(run, status, error) : record_commit(run, error);
    if (run->is_swapped) {
        store_compaction_end(run->compaction, store, status == CELLAR_OK);
        run->compaction = NULL;
    }
    run_leave(run);
    return status;
}

enum cellar_status tablet_compact(struct tablet_db *db, struct tablet_table *table,
                                  size_t tablet_index, const struct tablet_compact_options *options,
                                  struct cellar_error *error)
{
    struct run run = {.db = db, .table = table, .tablet = &table->tablets[tablet_index]};
    CELLAR_ASSERT(tablet_index < table->tablet_count && options->chunk_bytes > 0);
    if (atomic_load(&table->is_loading)) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "a bulk load of the table runs; compact it when it has ended");
    }
    CELLAR_TRY(run_enter(&run, error));
    enum cellar_status status =
        store_compaction_begin(tablet_db_engine(db), run.tablet->store, &run.compaction, error);
    run_leave(&run);
    CELLAR_TRY(status);
    status = cells_copy(&run, options, error);
    if (status == CELLAR_OK) {
        tablet_db_admin_lock(db);
        status = generation_publish(&run, error);
        tablet_db_admin_unlock(db);
    }
    if (run.compaction != NULL) {
        run_abandon(&run);
    }
    CELLAR_ASSERT(run.compaction == NULL);
    return status;
}

/* ---- when ------------------------------------------------------------------------------------ */

/* Whether rules may have let something go since, without any write. */
static bool has_rules(const struct tablet_table *table)
{
    const struct tablet_schema *schema = tablet_table_schema_queued(table);
    CELLAR_ASSERT(schema->version > 0);
    return schema->has_version_rule || schema->age_us_min != INT64_MAX || schema->has_dropped;
}

bool tablet_compact_is_due(struct tablet_table *table, size_t tablet_index,
                           const struct tablet_compact_terms *terms)
{
    struct store_garbage garbage;
    CELLAR_ASSERT(tablet_index < table->tablet_count && terms->garbage_percent <= 100);
    if (atomic_load(&table->is_loading) || !tablet_table_enter(table)) {
        return false;
    }
    store_garbage_look(table->tablets[tablet_index].store, &garbage);
    tablet_table_leave(table);
    if (terms->garbage_percent > 0 && garbage.percent >= terms->garbage_percent &&
        garbage.has_changed) {
        return true;
    }
    int64_t age_us = cellar_clock_real_us() - garbage.made_us;
    return terms->age_us > 0 && age_us >= terms->age_us &&
           (garbage.percent >= AGE_GARBAGE_PERCENT || has_rules(table));
}
