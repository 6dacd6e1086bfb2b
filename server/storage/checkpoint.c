/*
 * The checkpoint: a frozen memtable into LMDB, row by row in key order (row_writer.c), in one
 * durable transaction that also stores the applied LSN.
 *
 * The ranges that the memtable drops are only noted in the environment, for readers to skip and for
 * removal.c to clear. But a range out of which the memtable's own rows would cut too many pieces is
 * cleared first, in the same transaction.
 *
 * While the store is compacted, the memtable goes into the new generation, too, as far as rows are
 * copied there, in a second transaction behind the first. When that fails, the compaction has
 * failed, not the checkpoint.
 */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/compaction.h"
#include "server/storage/removal.h"
#include "server/storage/row_writer.h"

#define ROW_STEPS_MAX 32u

/* ---- dropped ranges -------------------------------------------------------------------------- */

/* The first entry behind all of a row: found by steps while they are few, which touch what is
 * written next anyway, else by a search. */
static enum cellar_status row_next(struct store_row_writer *writer,
                                   const struct store_memtable *memtable,
                                   const struct store_entry **entry)
{
    const struct store_entry *at = *entry;
    for (unsigned i = 0; i < ROW_STEPS_MAX && at != NULL; i++) {
        if (!cellar_slice_equal(store_entry_row(at), store_entry_row(*entry))) {
            *entry = at;
            return CELLAR_OK;
        }
        at = store_entry_next(at);
    }
    if (at == NULL) {
        *entry = NULL;
        return CELLAR_OK;
    }
    CELLAR_TRY(store_row_writer_behind(writer, store_entry_row(*entry)));
    *entry = store_memtable_seek(memtable, cellar_slice_of(&writer->key));
    return CELLAR_OK;
}

/* The ranges that count as gone: those that the environment says, and those that the memtable
 * drops. */
static enum cellar_status hidden_load(struct store_row_writer *writer,
                                      const struct store_memtable *memtable)
{
    const struct store_range_set *pending = &writer->txn.pending;
    CELLAR_ASSERT(writer->hidden.count == 0);
    for (size_t i = 0; i < pending->count; i++) {
        CELLAR_TRY(store_range_set_add(&writer->hidden, pending->ranges[i]));
    }
    for (const struct store_drop *drop = store_memtable_drops(memtable); drop != NULL;
         drop = drop->next) {
        struct store_range range = drop->range;
        if (writer->mirror == NULL || store_compaction_cut(writer->mirror, &range)) {
            CELLAR_TRY(store_range_set_add(&writer->hidden, range));
            writer->has_cut = true;
        }
    }
    return CELLAR_OK;
}

/* How many rows of a range the memtable writes, counted up to a limit: so many pieces more it would
 * fall into. */
static enum cellar_status rows_count(struct store_row_writer *writer,
                                     const struct store_memtable *memtable,
                                     const struct store_range *range, size_t count_max,
                                     size_t *count)
{
    const struct store_entry *entry = store_memtable_seek(memtable, range->start);
    *count = 0;
    while (entry != NULL && store_range_has(range, store_entry_row(entry)) && *count < count_max) {
        (*count)++;
        CELLAR_TRY(row_next(writer, memtable, &entry));
    }
    CELLAR_ASSERT(*count <= count_max);
    return CELLAR_OK;
}

/* Removes all that the environment has of a dropped range, and the range with it. */
static enum cellar_status hidden_remove(struct store_row_writer *writer, struct store_range range)
{
    bool is_done = false;
    if (range.start.bytes == 0 && range.end.bytes == 0) {
        CELLAR_TRY(store_env_cells_clear(&writer->txn, &is_done));
    }
    if (!is_done) {
        CELLAR_TRY(store_range_remove(&writer->txn, &writer->cursor, &range, UINT64_MAX - 1,
                                      &writer->key, &is_done));
    }
    CELLAR_ASSERT(is_done);
    writer->has_cut = true;
    return store_range_set_cut(&writer->hidden, range);
}

/* Sees to it that the ranges that stay pending are few: one that the memtable's rows would cut into
 * too many pieces, or that comes on top of too many, is removed at once. */
static enum cellar_status hidden_bound(struct store_row_writer *writer,
                                       const struct store_memtable *memtable)
{
    size_t pieces = 0;
    CELLAR_TRY(hidden_load(writer, memtable));
    for (size_t i = 0; i < writer->hidden.count;) {
        const struct store_range range = writer->hidden.ranges[i];
        size_t room = STORE_ENV_PENDING_COUNT_MAX - pieces;
        size_t cuts = 0;
        CELLAR_TRY(rows_count(writer, memtable, &range, room, &cuts));
        if (cuts >= room) {
            CELLAR_TRY(hidden_remove(writer, range));
        } else {
            pieces += cuts + 1;
            i++;
        }
    }
    CELLAR_ASSERT(pieces <= STORE_ENV_PENDING_COUNT_MAX);
    return CELLAR_OK;
}

/* ---- the checkpoint -------------------------------------------------------------------------- */

static enum cellar_status memtable_write(struct store_row_writer *writer,
                                         const struct store_memtable *memtable)
{
    const struct store_entry *entry = store_memtable_seek(memtable, cellar_slice_make(NULL, 0));
    store_row_writer_begin(writer, memtable);
    CELLAR_ASSERT(entry != NULL || store_memtable_token_first(memtable) != NULL ||
                  store_memtable_drops(memtable) != NULL);
    CELLAR_TRY(hidden_bound(writer, memtable));
    while (entry != NULL && !(writer->mirror != NULL &&
                              store_compaction_lacks(writer->mirror, store_entry_row(entry)))) {
        CELLAR_TRY(store_row_write(writer, entry));
        CELLAR_TRY(row_next(writer, memtable, &entry));
    }
    return writer->has_cut ? store_env_pending_put(&writer->txn, &writer->hidden) : CELLAR_OK;
}

/* A blob whose record is applied and whose cell was not written is named by nothing any more. */
static enum cellar_status blob_loosen(void *context, uint64_t id)
{
    return store_env_blob_loosen(context, id);
}

/* What every transaction says of the memtable that it applied. */
static void state_set(struct store_env_state *state, const struct store_memtable *memtable)
{
    struct store_memtable_facts facts;
    store_memtable_facts(memtable, &facts);
    CELLAR_ASSERT(facts.last_lsn > state->applied_lsn);
    state->applied_lsn = facts.last_lsn;
    state->server_time_us = CELLAR_MAX(state->server_time_us, facts.server_time_us);
}

/* One transaction's work. */
struct application {
    struct store_row_writer *writer;
    struct store *store;
    const struct store_memtable *memtable;
    bool touches_part;             /* of the row that a compaction has copied in part */
    struct store_parting *parting; /* of the live generation; else NULL */
};

/* All rows, all tokens, the state, what goes with the commit; what fails here aborts the
 * transaction. */
static enum cellar_status live_run(void *context)
{
    const struct application *application = context;
    struct store_env_txn *txn = &application->writer->txn;
    CELLAR_TRY(memtable_write(application->writer, application->memtable));
    CELLAR_TRY(store_tokens_write(txn, application->memtable, cellar_clock_real_us(),
                                  &application->store->token_sweep));
    CELLAR_ASSERT(txn->is_open);
    state_set(&txn->state, application->memtable);
    CELLAR_TRY(store_memtable_blobs(application->memtable, blob_loosen, txn));
    return store_parting_make(application->store, txn, application->parting);
}

static enum cellar_status live_write(struct store_row_writer *writer, struct store *store,
                                     const struct store_memtable *memtable,
                                     struct store_parting *parting)
{
    struct application application = {writer, store, memtable, false, parting};
    enum cellar_status status = store_env_write(store->env, &writer->txn, live_run, &application);
    if (status != CELLAR_OK) {
        store_parting_end(store, parting, false);
        return status;
    }
    CELLAR_ASSERT(writer->txn.state.applied_lsn > 0);
    atomic_store(&store->applied_lsn, writer->txn.state.applied_lsn);
    store_state_note(store, &writer->txn.state);
    return CELLAR_OK;
}

/* ---- the other generation -------------------------------------------------------------------- */

/* Whether the memtable changes the row that is copied in part. */
static bool part_is_touched(const struct store_compaction *mirror,
                            const struct store_memtable *memtable)
{
    struct cellar_slice row = cellar_slice_of(&mirror->row);
    if (row.bytes == 0) {
        return false;
    }
    for (const struct store_drop *drop = store_memtable_drops(memtable); drop != NULL;
         drop = drop->next) {
        if (store_range_has(&drop->range, row)) {
            return true;
        }
    }
    const struct store_entry *entry = store_memtable_seek(memtable, row);
    CELLAR_ASSERT(!mirror->has_all_cells);
    return entry != NULL && cellar_slice_equal(store_entry_row(entry), row);
}

/* Takes back what was copied of that row. */
static enum cellar_status part_remove(struct store_row_writer *writer)
{
    bool is_done = false;
    struct cellar_buffer behind = {0};
    struct store_range row = {.start = cellar_slice_of(&writer->mirror->row)};
    CELLAR_TRY(store_row_writer_behind(writer, row.start));
    row.end = cellar_slice_of(&writer->key);
    enum cellar_status status =
        store_range_remove(&writer->txn, &writer->cursor, &row, UINT64_MAX - 1, &behind, &is_done);
    cellar_buffer_fini(&behind);
    CELLAR_ASSERT(status != CELLAR_OK || is_done);
    return status;
}

static enum cellar_status mirror_run(void *context)
{
    const struct application *application = context;
    struct store_row_writer *writer = application->writer;
    CELLAR_TRY(memtable_write(writer, application->memtable));
    CELLAR_TRY(application->touches_part ? part_remove(writer) : CELLAR_OK);
    CELLAR_ASSERT(writer->txn.is_open);
    state_set(&writer->txn.state, application->memtable);
    return CELLAR_OK;
}

/* The same in the generation that is being built; tokens come there in the end. */
static enum cellar_status mirror_write(struct store_row_writer *writer, struct store *store,
                                       const struct store_memtable *memtable)
{
    struct store_compaction *mirror = store->compaction;
    struct application application = {writer, store, memtable, part_is_touched(mirror, memtable),
                                      NULL};
    writer->mirror = mirror;
    CELLAR_TRY(store_env_write(mirror->env, &writer->txn, mirror_run, &application));
    if (application.touches_part) {
        store_compaction_row_redo(mirror);
    }
    CELLAR_ASSERT(mirror->status == CELLAR_OK);
    return CELLAR_OK;
}

/* ---- both ------------------------------------------------------------------------------------ */

/* Rules are those that were durable no earlier than the newest record of the memtable. */
static struct store_row_writer *writer_new(struct store *store, struct store_log *log)
{
    struct store_row_writer *writer = cellar_mem_zalloc(1, sizeof *writer);
    const struct store_filter_source *source = atomic_load(&store->filters);
    if (writer != NULL && source != NULL) {
        source->open(source, store_log_durable_lsn(log), &writer->filter);
        CELLAR_ASSERT(writer->filter.source == source);
    }
    return writer;
}

static void writer_free(struct store_row_writer *writer)
{
    CELLAR_ASSERT(writer->txn.txn == NULL);
    store_row_writer_fini(writer);
    cellar_mem_free(writer);
}

static enum cellar_status memtable_apply(struct store *store, struct store_log *log,
                                         const struct store_memtable *memtable,
                                         struct store_parting *parting, uint64_t *item_count)
{
    struct store_row_writer *writer = writer_new(store, log);
    if (writer == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = live_write(writer, store, memtable, parting);
    *item_count = writer->packer.item_count;
    writer_free(writer);
    CELLAR_ASSERT(status != CELLAR_NOT_FOUND);
    return status;
}

/* Whatever goes wrong here is the compaction's: the live generation has the memtable. */
static void memtable_mirror(struct store *store, struct store_log *log,
                            const struct store_memtable *memtable)
{
    struct store_compaction *mirror = store->compaction;
    if (mirror == NULL || mirror->status != CELLAR_OK) {
        return;
    }
    struct store_row_writer *writer = writer_new(store, log);
    mirror->status = writer == NULL ? CELLAR_NO_MEMORY : mirror_write(writer, store, memtable);
    if (writer != NULL) {
        writer_free(writer);
    }
    CELLAR_ASSERT(mirror->status != CELLAR_NOT_FOUND);
    if (mirror->status != CELLAR_OK) {
        cellar_log(CELLAR_LOG_WARN, "compaction_failed", "store=%u status=%s", store->id,
                   cellar_status_text(mirror->status));
    }
}

enum cellar_status store_checkpoint(struct store *store, struct store_log *log,
                                    uint64_t *item_count)
{
    struct store_memtable_facts facts;
    struct store_parting parting = {.count = 0};
    struct store_memtable *frozen = store_frozen_get(store);
    *item_count = 0;
    if (frozen == NULL) {
        return CELLAR_OK;
    }
    store_memtable_facts(frozen, &facts);
    if (!store_log_wait_durable(log, facts.last_lsn)) {
        return CELLAR_IO_ERROR;
    }
    struct store_view *smaller = store_view_new(); /* made before anything is committed */
    if (smaller == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = memtable_apply(store, log, frozen, &parting, item_count);
    if (status != CELLAR_OK) {
        store_view_release(smaller);
        return status;
    }
    memtable_mirror(store, log, frozen);
    atomic_fetch_add(&store->written_bytes, facts.bytes);
    CELLAR_ASSERT(atomic_load(&store->applied_lsn) == facts.last_lsn);
    store_view_shift(store, smaller);
    store_parting_end(store, &parting, true);
    return CELLAR_OK;
}
