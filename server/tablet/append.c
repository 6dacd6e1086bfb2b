/*
 * The append of one row's mutation.
 *
 * A write finds its store under the append lock, where a drop marks the table in the same hold that
 * queues its record: no record of a table follows its drop in the log. A change of families does
 * likewise (families.c): a write that was checked before it and comes after it is checked again.
 *
 * A token is looked up in two steps (store.h): in the environment without a lock, then in the
 * memtables under the append lock, where the append follows in the same hold. So of two requests
 * with one token the second always sees the first, in flight or not. A request whose token is known
 * queues an empty record: groups reach the disk in order, so its end proves that the first one's
 * record is durable too, and it gets the outcome of a plain mutation, which is success. A table is
 * entered for the first step, as a drop closes its stores.
 */
#include "server/tablet/append.h"

#include "server/tablet/damage.h"

#define PROBE_COUNT_MAX 100u
#define RETRY_DELAY_MS 50u

/* What one append works with. */
struct append {
    struct tablet_db *db;
    struct tablet_table *table;
    const struct tablet_payload *payload;
    struct tablet_write *write;
    struct store_batch *batch; /* NULL once it is queued */
    struct cellar_error *error;
    bool is_repeat; /* as write->is_repeat, which is the log's once it is queued */
};

/* With the append lock: queues the record, if the store takes it. */
static enum cellar_status record_queue(struct append *append, struct store *store)
{
    struct store_engine *engine = tablet_db_engine(append->db);
    enum cellar_status status =
        store_engine_admit(engine, store, append->payload->has_sets, append->error);
    if (status != CELLAR_OK) {
        return tablet_damage_tell(append->table, store, status, append->error);
    }
    CELLAR_ASSERT(append->batch != NULL);
    append->write->record.entry = (struct store_log_entry){
        .store_id = store->id,
        .type = append->batch->reference.bytes == 0 ? STORE_RECORD_MUTATION
                                                    : STORE_RECORD_MUTATION_BLOB,
        .payload = store_batch_record(append->batch)};
    store_engine_append(engine, store, &append->write->record, append->batch);
    append->batch = NULL;
    return CELLAR_OK;
}

/* With the append lock: waits, in the log's queue, for the record that has the token. */
static enum cellar_status repeat_queue(struct append *append)
{
    struct store_engine *engine = tablet_db_engine(append->db);
    append->write->is_repeat = true;
    append->is_repeat = true;
    if (store_log_check(store_engine_log(engine)) != CELLAR_OK) {
        return cellar_error_set(append->error, CELLAR_OUTCOME_UNKNOWN,
                                "the commit log takes no more records: the write may or may not "
                                "have been applied");
    }
    CELLAR_ASSERT(append->write->record.done != NULL);
    store_engine_append_empty(engine, &append->write->record);
    return CELLAR_OK;
}

/* With the append lock: whether the table takes what was checked. NOT_FOUND, ABORTED. */
static enum cellar_status table_check(const struct append *append)
{
    const struct tablet_table *table = append->table;
    CELLAR_ASSERT(append->payload->schema != NULL);
    if (atomic_load_explicit(&table->is_dropped, memory_order_relaxed)) {
        return CELLAR_NOT_FOUND;
    }
    return tablet_table_schema_queued(table) == append->payload->schema ? CELLAR_OK
                                                                        : CELLAR_ABORTED;
}

static enum cellar_status plain_append(struct append *append)
{
    struct store_log *log = store_engine_log(tablet_db_engine(append->db));
    store_log_lock(log);
    enum cellar_status status = table_check(append);
    if (status == CELLAR_OK) {
        status =
            record_queue(append, tablet_table_find(append->table, append->payload->row)->store);
    }
    store_log_unlock(log);
    CELLAR_ASSERT(status != CELLAR_OK || append->batch == NULL);
    return status;
}

/* With the append lock: what follows from the second step. @return whether the probe held */
static bool token_decide(struct append *append, struct store *store,
                         const struct store_token_probe *probe, struct cellar_slice key,
                         enum cellar_status *status)
{
    int64_t now_us = append->payload->token_now_us;
    switch (store_token_probe_find(store, probe, key, now_us)) {
    case STORE_TOKEN_AGAIN:
        return false;
    case STORE_TOKEN_KNOWN:
        *status = repeat_queue(append);
        break;
    case STORE_TOKEN_UNKNOWN:
        *status =
            store_engine_admit_token(tablet_db_engine(append->db), store, now_us, append->error);
        *status = *status == CELLAR_OK ? record_queue(append, store) : *status;
        break;
    }
    CELLAR_ASSERT(append->is_repeat || *status != CELLAR_OK || append->batch == NULL);
    return true;
}

/* One try: both steps. @return whether `status` is the end */
static bool token_try(struct append *append, struct cellar_slice key, enum cellar_status *status)
{
    struct store_token_probe probe;
    struct store_log *log = store_engine_log(tablet_db_engine(append->db));
    struct store *store = tablet_table_find(append->table, append->payload->row)->store;
    *status = store_token_probe_begin(store, key, append->payload->token_now_us, &probe);
    if (*status != CELLAR_OK) {
        (void)cellar_error_set(append->error, *status, "cannot look the token up in store %u",
                               store->id);
        (void)tablet_damage_tell(append->table, store, *status, append->error);
        return true;
    }
    store_log_lock(log);
    *status = table_check(append);
    bool has_ended = *status != CELLAR_OK || token_decide(append, store, &probe, key, status);
    store_log_unlock(log);
    CELLAR_ASSERT(probe.view != NULL);
    store_token_probe_end(&probe);
    return has_ended;
}

static enum cellar_status token_append(struct append *append)
{
    uint8_t bytes[STORE_TOKEN_KEY_BYTES_MAX];
    struct cellar_slice key = store_token_key(bytes, append->payload->row, append->payload->token);
    enum cellar_status status = CELLAR_UNAVAILABLE;
    bool has_ended = false;
    if (!tablet_table_enter(append->table)) {
        return CELLAR_NOT_FOUND;
    }
    for (unsigned i = 0; i < PROBE_COUNT_MAX && !has_ended; i++) {
        has_ended = token_try(append, key, &status);
    }
    tablet_table_leave(append->table);
    CELLAR_ASSERT(has_ended || status == CELLAR_OK);
    if (!has_ended) {
        status = cellar_error_set(append->error, CELLAR_UNAVAILABLE,
                                  "checkpoints follow each other too fast; try again");
        append->error->retry_delay_ms = RETRY_DELAY_MS;
    }
    return status;
}

static enum cellar_status batch_make(struct append *append)
{
    const struct tablet_payload *payload = append->payload;
    uint32_t store_id = tablet_table_find(append->table, payload->row)->store_id;
    const uint8_t *reference = payload->large == NULL ? NULL : payload->large->reference;
    CELLAR_ASSERT(append->batch == NULL);
    return reference == NULL
               ? store_batch_new_in(payload->bytes, payload->slab, store_id, &append->batch)
               : store_batch_new_blob(payload->bytes,
                                      cellar_slice_make(reference, STORE_BLOB_REFERENCE_BYTES),
                                      &append->batch);
}

enum cellar_status tablet_append(struct tablet_db *db, struct tablet_table *table,
                                 const struct tablet_payload *payload, struct tablet_write *write,
                                 struct cellar_error *error)
{
    struct append append = {db, table, payload, write, NULL, error, false};
    write->is_repeat = false;
    enum cellar_status status = batch_make(&append);
    if (status != CELLAR_OK) {
        CELLAR_ASSERT(status == CELLAR_NO_MEMORY); /* the payload is ours */
        tablet_large_drop(payload->large);
        return cellar_error_set(error, status, "no memory for a write of %zu bytes",
                                payload->bytes.bytes);
    }
    status = payload->token.bytes == 0 ? plain_append(&append) : token_append(&append);
    store_batch_free(append.batch);
    if (status != CELLAR_OK || append.is_repeat) {
        tablet_large_drop(payload->large);
    }
    return status == CELLAR_NOT_FOUND ? tablet_name_not_found(&table->name, error) : status;
}
