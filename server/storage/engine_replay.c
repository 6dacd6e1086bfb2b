/*
 * One pass of recovery over the log: each record goes to the store that it is of, if that lacks it.
 * engine_open.c has the order of the passes.
 */
#include "server/storage/engine_internal.h"
#include "server/storage/record.h"

/* One pass over the log. */
struct replay {
    struct store_engine *engine;
    bool is_catalog_pass;
    uint64_t needed_lsn; /* a gap that ends above is corruption */
    struct store *last;  /* the store of the record before, found most often */
    struct cellar_error *error;
};

/* The batch of a record of a known type. */
static enum cellar_status batch_make(struct store_engine *engine,
                                     const struct store_log_entry *entry,
                                     struct store_batch **batch)
{
    CELLAR_ASSERT(entry->type != STORE_RECORD_EMPTY);
    if (entry->type == STORE_RECORD_MUTATION_BLOB) {
        return store_engine_blobs_batch(engine, entry->payload, batch);
    }
    return entry->type == STORE_RECORD_RANGE_DROP
               ? store_batch_new_drop(entry->payload, batch)
               : store_batch_new(entry->payload, entry->type == STORE_RECORD_CATALOG, batch);
}

/* As store_engine_append() does it, but for the log: the record is in it already. Its position
 * counts as 0, the beginning of this run. */
static enum cellar_status record_apply(struct replay *replay, struct store *store,
                                       const struct store_log_entry *entry)
{
    struct store_engine *engine = replay->engine;
    struct store_batch *batch = NULL;
    enum cellar_status status = batch_make(engine, entry, &batch);
    if (status != CELLAR_OK) {
        return cellar_error_set(replay->error, status,
                                "log record %llu of store %u cannot be read%s",
                                (unsigned long long)entry->lsn, entry->store_id,
                                entry->type == STORE_RECORD_MUTATION_BLOB
                                    ? ": it names a file in blobs/ that is missing or damaged"
                                    : "");
    }
    engine->server_time_us = CELLAR_MAX(engine->server_time_us, batch->server_time_us);
    atomic_fetch_add(&engine->memtable_bytes, batch->total_bytes);
    CELLAR_ASSERT(batch->total_bytes > 0);
    store_insert(store, batch, entry->lsn, 0);
    return CELLAR_OK;
}

/* An unknown type ends the start: a newer cellard wrote it, and to skip it would be to lose it. */
static enum cellar_status replay_record(void *context, const struct store_log_entry *entry)
{
    struct replay *replay = context;
    bool is_of_catalog = entry->store_id == STORE_CATALOG_ID;
    CELLAR_ASSERT(entry->lsn > 0);
    if (entry->type == STORE_RECORD_EMPTY || is_of_catalog != replay->is_catalog_pass) {
        return CELLAR_OK;
    }
    if (!store_record_type_is_known(entry->type)) {
        return cellar_error_set(replay->error, CELLAR_FAILED_PRECONDITION,
                                "log record %llu has type %u, which this cellard does not know; "
                                "start the cellard that wrote it",
                                (unsigned long long)entry->lsn, entry->type);
    }
    if (replay->last == NULL || replay->last->id != entry->store_id) {
        replay->last = store_engine_find(replay->engine, entry->store_id);
    }
    struct store *store = replay->last;
    if (store == NULL || entry->lsn <= atomic_load(&store->applied_lsn)) {
        return CELLAR_OK; /* of a dropped table, or applied already */
    }
    return record_apply(replay, store, entry);
}

/* A gap below what every store has applied is spent: the records are in the environments, only
 * their copy is damaged. Above, acknowledged writes may be missing, and a server that serves
 * without them would be lying. */
static enum cellar_status replay_gap(void *context, uint64_t first_lsn, uint64_t last_lsn)
{
    struct replay *replay = context;
    CELLAR_ASSERT(first_lsn <= last_lsn);
    if (last_lsn <= replay->needed_lsn) {
        return CELLAR_OK;
    }
    return cellar_error_set(replay->error, CELLAR_DATA_LOSS,
                            "the commit log in %s is damaged: records %llu to %llu cannot be read "
                            "and are needed; restore the data directory from a copy",
                            replay->engine->dir.log_path, (unsigned long long)first_lsn,
                            (unsigned long long)last_lsn);
}

/* Two passes rather than one: which stores there are stands in the catalog's own records. The
 * second one reads the same bytes from the kernel's cache. */
enum cellar_status store_engine_replay_run(struct store_engine *engine, bool is_catalog_pass,
                                           uint64_t needed_lsn, struct cellar_error *error)
{
    struct replay replay = {.engine = engine,
                            .is_catalog_pass = is_catalog_pass,
                            .needed_lsn = needed_lsn,
                            .error = error};
    const struct store_log_visitor visitor = {
        .context = &replay, .record = replay_record, .gap = replay_gap};
    CELLAR_ASSERT(engine->catalog != NULL);
    return store_log_replay(engine->log, &visitor, error);
}

enum cellar_status store_engine_store_needed(struct store_engine *engine, const struct store *store,
                                             uint64_t *needed_lsn, struct cellar_error *error)
{
    uint64_t applied_lsn = atomic_load(&store->applied_lsn);
    uint64_t recovered_lsn = store_log_recovered_lsn(engine->log);
    CELLAR_ASSERT(needed_lsn != NULL);
    if (applied_lsn > recovered_lsn) {
        return cellar_error_set(error, CELLAR_DATA_LOSS,
                                "store %u has applied record %llu, but the commit log in %s ends "
                                "at %llu: its newest part is lost; restore the data directory "
                                "from a copy",
                                store->id, (unsigned long long)applied_lsn, engine->dir.log_path,
                                (unsigned long long)recovered_lsn);
    }
    *needed_lsn = CELLAR_MAX(applied_lsn, store_log_low_water(engine->log));
    return CELLAR_OK;
}
