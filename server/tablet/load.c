/*
 * A bulk load over the tablets of a table.
 *
 * Each tablet that gets rows is a course of a compaction with a second source
 * (storage/compaction.h, "loading"), one after the other, as rows come in key order:
 *
 *     begin     what lies in front of the range is copied into a new generation
 *     rows      behind it, as they come
 *     end       behind them what lies behind the range: the new generation is whole
 *
 * Until the commit the finished ones wait; checkpoints write into them what they write into the
 * live generations. The commit is that of compact.c with several stores: all are sealed, one record
 * of the catalog names all new generations, and in the hold of the append lock that queues it all
 * are swapped. So there is no moment, not even behind a crash, in which a part of the load is seen.
 *
 * Large values become files before the rows that name them are added; the compaction has them from
 * then on (store_compaction_blobs_take()).
 *
 * The table's mark `is_loading` is set under the append lock and keeps drops of rows off, which
 * would fall on what was loaded before them and not on the rest. A first failure is kept: the load
 * can do nothing more.
 */
#include "server/tablet/load.h"

#include <time.h>

#include "common/log.h"
#include "server/storage/map_guard.h"
#include "server/storage/rows.h"
#include "server/tablet/catalog.h"

#define CHUNK_BYTES UINT64_C(8388608)
#define COMPACTION_POLL_NS 50000000
#define KEY_SHOWN_BYTES 64u

/* A tablet that gets rows. */
struct part {
    struct tablet *tablet;
    struct store_compaction *compaction; /* NULL before the begin and behind the end */
};

struct tablet_load {
    struct tablet_db *db;
    struct tablet_table *table; /* a reference */
    struct cellar_buffer start;
    struct cellar_buffer end;
    struct cellar_buffer last; /* the last row's key */
    struct tablet_load_counts counts;
    struct part *parts;
    size_t part_count;
    bool part_is_open; /* the last part takes rows */
    bool is_swapped;
    enum cellar_status status; /* the first failure */
    _Atomic bool is_cancelled;
};

/* ---- what a load asks before every step ------------------------------------------------------ */

/* The stores, held open until tablet_table_leave(); CANCELLED, NOT_FOUND. */
static enum cellar_status load_enter(const struct tablet_load *load, struct cellar_error *error)
{
    CELLAR_ASSERT(!load->is_swapped);
    if (atomic_load(&load->is_cancelled)) {
        return cellar_error_set(error, CELLAR_CANCELLED, "the load was cancelled");
    }
    return tablet_table_enter(load->table) ? CELLAR_OK
                                           : tablet_name_not_found(&load->table->name, error);
}

static enum cellar_status failed(const struct tablet *tablet, enum cellar_status status,
                                 struct cellar_error *error)
{
    CELLAR_ASSERT(status != CELLAR_OK);
    if (status == CELLAR_FAILED_PRECONDITION) {
        return cellar_error_set(error, status,
                                "a row in the load's range was written while it ran; the load was "
                                "abandoned");
    }
    return cellar_error_set(error, status, "the load into store %u was abandoned: %s",
                            tablet->store_id, cellar_status_text(status));
}

/* Keeps the first failure. */
static enum cellar_status load_fail(struct tablet_load *load, enum cellar_status status)
{
    CELLAR_ASSERT(load->status == CELLAR_OK);
    load->status = status;
    return status;
}

/* What a load that has failed says to everything but its end. */
static enum cellar_status load_check(const struct tablet_load *load, struct cellar_error *error)
{
    CELLAR_ASSERT(!load->is_swapped);
    return load->status == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                  "the load has failed before (%s) and can only be abandoned",
                                  cellar_status_text(load->status));
}

/* ---- whether the range is empty -------------------------------------------------------------- */

/* A look for the first cell of a range in one store. */
struct look {
    struct store_rows rows;
    struct cellar_slice start;
    struct cellar_slice end;
    bool has_found; /* rows.row is the row then */
};

/* A row of tombstones alone is none. */
static enum cellar_status look_run(void *context)
{
    struct look *look = context;
    CELLAR_TRY(store_rows_seek(&look->rows, look->start));
    while (look->rows.has_row &&
           (look->end.bytes == 0 ||
            cellar_slice_compare(cellar_slice_of(&look->rows.row), look->end) < 0)) {
        struct store_piece piece;
        CELLAR_TRY(store_rows_piece(&look->rows, &piece));
        if (piece.kind != STORE_PIECE_END) {
            look->has_found = true;
            return CELLAR_OK;
        }
        CELLAR_TRY(store_rows_next(&look->rows));
    }
    CELLAR_ASSERT(!look->has_found);
    return CELLAR_OK;
}

static enum cellar_status tablet_look(const struct tablet_load *load, const struct tablet *tablet,
                                      struct cellar_error *error)
{
    struct store_snapshot snapshot;
    char text[4 * KEY_SHOWN_BYTES + 8];
    struct look look = {.start = cellar_slice_of(&load->start), .end = cellar_slice_of(&load->end)};
    enum cellar_status status =
        store_engine_snapshot(tablet_db_engine(load->db), tablet->store, &snapshot);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "store %u cannot be read", tablet->store_id);
    }
    store_rows_init(&look.rows, &snapshot);
    status = store_map_guard(look_run, &look);
    if (status != CELLAR_OK) {
        (void)cellar_error_set(error, status, "store %u cannot be read", tablet->store_id);
    } else if (look.has_found) {
        status = cellar_error_set(
            error, CELLAR_FAILED_PRECONDITION,
            "a bulk load needs a range without rows, but there is row %s",
            cellar_bytes_show(cellar_slice_of(&look.rows.row), KEY_SHOWN_BYTES, text, sizeof text));
    }
    CELLAR_ASSERT(status == CELLAR_OK || !look.rows.has_row || error == NULL ||
                  error->text[0] != '\0');
    store_rows_fini(&look.rows);
    store_snapshot_close(&snapshot);
    return status;
}

/* Every tablet that the range touches, whether or not it will get rows. */
static enum cellar_status range_look(const struct tablet_load *load, struct cellar_error *error)
{
    const struct tablet_table *table = load->table;
    const struct tablet *tablet = tablet_table_find(table, cellar_slice_of(&load->start));
    const struct tablet *last = tablet_table_find_before(table, cellar_slice_of(&load->end));
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(tablet <= last);
    CELLAR_TRY(load_enter(load, error));
    while (tablet <= last && status == CELLAR_OK) {
        status = tablet_look(load, tablet, error);
        tablet++;
    }
    tablet_table_leave(load->table);
    return status;
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* Steps of the last part, until it takes rows or is whole. */
static enum cellar_status part_copy(struct tablet_load *load, struct cellar_error *error)
{
    const struct part *part = &load->parts[load->part_count - 1];
    bool is_done = false;
    CELLAR_ASSERT(load->part_count > 0 && part->compaction != NULL);
    while (!is_done) {
        CELLAR_TRY(load_enter(load, error));
        enum cellar_status status =
            store_compaction_step(part->compaction, part->tablet->store, CHUNK_BYTES, &is_done);
        tablet_table_leave(load->table);
        if (status != CELLAR_OK) {
            return failed(part->tablet, status, error);
        }
    }
    return CELLAR_OK;
}

/* A compaction that runs already is waited for; none begins while the table is loaded. */
static enum cellar_status part_open(struct tablet_load *load, struct part *part,
                                    struct cellar_error *error)
{
    const struct timespec pause = {.tv_nsec = COMPACTION_POLL_NS};
    enum cellar_status status = CELLAR_FAILED_PRECONDITION;
    CELLAR_ASSERT(part->compaction == NULL);
    while (status == CELLAR_FAILED_PRECONDITION) {
        CELLAR_TRY(load_enter(load, error));
        status = store_compaction_begin(tablet_db_engine(load->db), part->tablet->store,
                                        &part->compaction, error);
        if (status == CELLAR_OK) {
            status = store_compaction_load_begin(part->compaction, part->tablet->store,
                                                 cellar_slice_of(&load->start),
                                                 cellar_slice_of(&load->end));
        }
        tablet_table_leave(load->table);
        if (status == CELLAR_FAILED_PRECONDITION) {
            (void)nanosleep(&pause, NULL);
        }
    }
    return status;
}

/* The next tablet's turn. */
static enum cellar_status part_begin(struct tablet_load *load, struct tablet *tablet,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(!load->part_is_open);
    if (load->part_count == TABLET_LOAD_TABLET_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "the rows lie in more than %u tablets; load them range by range",
                                TABLET_LOAD_TABLET_COUNT_MAX);
    }
    struct part *part = &load->parts[load->part_count++];
    *part = (struct part){.tablet = tablet};
    load->part_is_open = true;
    CELLAR_TRY(part_open(load, part, error));
    return part_copy(load, error);
}

/* No more rows for the last part: what lies behind the range is copied. */
static enum cellar_status part_end(struct tablet_load *load, struct cellar_error *error)
{
    const struct part *part = &load->parts[load->part_count - 1];
    CELLAR_ASSERT(load->part_is_open && part->compaction != NULL);
    CELLAR_TRY(load_enter(load, error));
    enum cellar_status status = store_compaction_load_end(part->compaction, part->tablet->store);
    tablet_table_leave(load->table);
    if (status != CELLAR_OK) {
        return failed(part->tablet, status, error);
    }
    CELLAR_TRY(part_copy(load, error));
    load->part_is_open = false;
    return CELLAR_OK;
}

/* Whether the disk and the store take more. */
static enum cellar_status part_admit(const struct tablet_load *load, struct tablet *tablet,
                                     struct cellar_error *error)
{
    struct store_engine *engine = tablet_db_engine(load->db);
    store_log_lock(store_engine_log(engine));
    enum cellar_status status = store_engine_admit(engine, tablet->store, true, error);
    store_log_unlock(store_engine_log(engine));
    CELLAR_ASSERT(status == CELLAR_OK || error == NULL || error->text[0] != '\0');
    return status == CELLAR_UNAVAILABLE ? CELLAR_OK : status; /* that speaks of the memtables */
}

/* The large values of rows, which are the part's from here on. Before the store is claimed, so that
 * nobody waits for these files. */
static enum cellar_status part_blobs_write(const struct tablet_load *load, const struct part *part,
                                           struct tablet_load_source *source,
                                           struct cellar_error *error)
{
    struct tablet_large large;
    tablet_large_init(&large, tablet_db_engine(load->db), source->rows->arena,
                      source->rows->is_mapped);
    enum cellar_status status = tablet_load_source_write(source, &large, error);
    if (status == CELLAR_OK) {
        status = store_compaction_blobs_take(part->compaction, large.ids, large.count);
        status =
            status == CELLAR_OK
                ? CELLAR_OK
                : cellar_error_set(error, status, "no memory for %u large values", large.count);
    }
    CELLAR_ASSERT(status != CELLAR_OK || large.count == source->reference_count);
    if (status != CELLAR_OK) {
        tablet_large_drop(&large);
    }
    return status;
}

static enum cellar_status part_add(struct tablet_load *load, struct tablet_load_source *source,
                                   struct cellar_error *error)
{
    const struct part *part = &load->parts[load->part_count - 1];
    CELLAR_ASSERT(load->part_is_open && source->next < source->end);
    CELLAR_TRY(load_enter(load, error));
    enum cellar_status status = part_admit(load, part->tablet, error);
    if (status == CELLAR_OK) {
        status = part_blobs_write(load, part, source, error);
    }
    if (status == CELLAR_OK) {
        status = store_compaction_rows_add(part->compaction, part->tablet->store, &source->base);
        status = status == CELLAR_OK ? CELLAR_OK : failed(part->tablet, status, error);
    }
    tablet_table_leave(load->table);
    return status;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Gives each tablet its rows. */
static enum cellar_status rows_spread(struct tablet_load *load, const struct tablet_load_rows *rows,
                                      struct cellar_error *error)
{
    size_t first = 0;
    while (first < rows->row_count) {
        struct tablet *tablet = tablet_table_find(load->table, rows->rows[first].key);
        struct tablet_load_source source;
        size_t end = first + 1;
        while (end < rows->row_count && tablet_has_row(tablet, rows->rows[end].key)) {
            end++;
        }
        if (load->part_is_open && load->parts[load->part_count - 1].tablet != tablet) {
            CELLAR_TRY(part_end(load, error));
        }
        if (!load->part_is_open) {
            CELLAR_TRY(part_begin(load, tablet, error));
        }
        tablet_load_source_init(&source, rows, first, end - first);
        CELLAR_TRY(part_add(load, &source, error));
        first = end;
    }
    CELLAR_ASSERT(load->part_is_open);
    return CELLAR_OK;
}

static enum cellar_status rows_take(struct tablet_load *load, const struct tablet_load_rows *rows,
                                    struct cellar_error *error)
{
    struct cellar_slice last = rows->rows[rows->row_count - 1].key;
    CELLAR_TRY(rows_spread(load, rows, error));
    cellar_buffer_clear(&load->last);
    CELLAR_ASSERT(last.bytes > 0);
    if (cellar_buffer_append(&load->last, last.data, last.bytes) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a load");
    }
    load->counts.row_count += rows->row_count;
    load->counts.cell_count += rows->cell_count;
    load->counts.byte_count += rows->byte_count;
    return CELLAR_OK;
}

enum cellar_status tablet_load_rows(struct tablet_load *load, struct cellar_slice wire,
                                    bool is_mapped, struct cellar_error *error)
{
    struct tablet_load_rows rows;
    struct cellar_arena arena = {0};
    const struct tablet_load_bounds bounds = {
        cellar_slice_of(&load->start), cellar_slice_of(&load->end), cellar_slice_of(&load->last)};
    CELLAR_TRY(load_check(load, error));
    CELLAR_ASSERT(bounds.end.bytes == 0 || cellar_slice_compare(bounds.start, bounds.end) < 0);
    enum cellar_status status = tablet_load_rows_decode(tablet_table_schema_queued(load->table),
                                                        &bounds, wire, &arena, &rows, error);
    if (status == CELLAR_OK) {
        rows.is_mapped = is_mapped;
        status = rows_take(load, &rows, error);
        status = status == CELLAR_OK ? CELLAR_OK : load_fail(load, status);
    }
    cellar_arena_fini(&arena);
    return status;
}

/* ---- commit ---------------------------------------------------------------------------------- */

/* With the append lock. */
static void generations_swap(void *context, uint64_t lsn)
{
    struct tablet_load *load = context;
    CELLAR_ASSERT(lsn > 0 && !load->is_swapped);
    for (size_t i = 0; i < load->part_count; i++) {
        store_compaction_swap(load->parts[i].compaction, load->parts[i].tablet->store);
    }
    load->is_swapped = true;
}

static enum cellar_status change_fill(const struct tablet_load *load,
                                      struct tablet_catalog_change *change)
{
    CELLAR_ASSERT(load->part_count > 0 && load->part_count <= TABLET_LOAD_TABLET_COUNT_MAX);
    CELLAR_TRY(tablet_catalog_change_begin(change, (uint32_t)load->part_count));
    for (size_t i = 0; i < load->part_count; i++) {
        CELLAR_TRY(tablet_catalog_change_store(change, load->parts[i].tablet->store_id,
                                               load->parts[i].compaction->generation));
    }
    return CELLAR_OK;
}

/* The catalog's record, with the swaps. */
static enum cellar_status record_commit(struct tablet_load *load, struct cellar_error *error)
{
    struct tablet_catalog_change change;
    const struct tablet_catalog_effect effect = {generations_swap, load, false};
    enum cellar_status status = change_fill(load, &change);
    status =
        status != CELLAR_OK
            ? cellar_error_set(error, status, "no memory for a change of the catalog")
            : tablet_catalog_change_commit(&change, tablet_db_engine(load->db), &effect, error);
    tablet_catalog_change_fini(&change);
    CELLAR_ASSERT(status != CELLAR_OK || load->is_swapped);
    return status;
}

/* From here on no checkpoint of any of the stores, so what takes long was done before. */
static enum cellar_status parts_seal(struct tablet_load *load, struct cellar_error *error)
{
    CELLAR_ASSERT(!load->part_is_open);
    for (size_t i = 0; i < load->part_count; i++) {
        const struct part *part = &load->parts[i];
        enum cellar_status status = store_compaction_seal(part->compaction, part->tablet->store);
        if (status != CELLAR_OK) {
            return failed(part->tablet, status, error);
        }
    }
    return CELLAR_OK;
}

static void parts_end(struct tablet_load *load, bool is_durable)
{
    CELLAR_ASSERT(load->is_swapped);
    for (size_t i = 0; i < load->part_count; i++) {
        struct part *part = &load->parts[i];
        store_compaction_end(part->compaction, part->tablet->store, is_durable);
        part->compaction = NULL;
    }
}

static void parts_abandon(struct tablet_load *load)
{
    bool is_open = tablet_table_enter(load->table);
    for (size_t i = 0; i < load->part_count; i++) {
        struct part *part = &load->parts[i];
        store_compaction_abandon(part->compaction, is_open ? part->tablet->store : NULL);
        part->compaction = NULL;
    }
    CELLAR_ASSERT(!load->is_swapped);
    if (is_open) {
        tablet_table_leave(load->table);
    }
}

/* With the lock of the administration: the table is there until it is let go. */
static enum cellar_status parts_publish(struct tablet_load *load, struct cellar_error *error)
{
    CELLAR_TRY(load_enter(load, error));
    enum cellar_status status = parts_seal(load, error);
    CELLAR_ASSERT(!load->is_swapped);
    if (status == CELLAR_OK) {
        status = record_commit(load, error);
    }
    if (load->is_swapped) {
        parts_end(load, status == CELLAR_OK);
    }
    tablet_table_leave(load->table);
    return status;
}

static enum cellar_status parts_sync(struct tablet_load *load, struct cellar_error *error)
{
    CELLAR_ASSERT(!load->part_is_open);
    for (size_t i = 0; i < load->part_count; i++) {
        enum cellar_status status = store_compaction_sync(load->parts[i].compaction);
        if (status != CELLAR_OK) {
            return failed(load->parts[i].tablet, status, error);
        }
    }
    return CELLAR_OK;
}

static enum cellar_status load_commit(struct tablet_load *load, struct cellar_error *error)
{
    if (load->part_is_open) {
        CELLAR_TRY(part_end(load, error));
    }
    if (load->part_count == 0) {
        return CELLAR_OK; /* no row came */
    }
    CELLAR_TRY(parts_sync(load, error));
    tablet_db_admin_lock(load->db);
    enum cellar_status status = parts_publish(load, error);
    if (!load->is_swapped) {
        parts_abandon(load); /* in this hold, as a drop would wait for a sealed store for ever */
    }
    tablet_db_admin_unlock(load->db);
    CELLAR_ASSERT(status != CELLAR_OK || load->is_swapped);
    return status;
}

enum cellar_status tablet_load_commit(struct tablet_load *load, struct cellar_error *error)
{
    CELLAR_TRY(load_check(load, error));
    CELLAR_ASSERT(!load->is_swapped);
    enum cellar_status status = load_commit(load, error);
    return status == CELLAR_OK ? CELLAR_OK : load_fail(load, status);
}

/* ---- its life -------------------------------------------------------------------------------- */

/* Under the append lock, so that a drop of rows comes before the load or is refused. */
static enum cellar_status table_mark(struct tablet_load *load, struct cellar_error *error)
{
    struct store_log *log = store_engine_log(tablet_db_engine(load->db));
    store_log_lock(log);
    bool was_loading = atomic_exchange(&load->table->is_loading, true);
    store_log_unlock(log);
    CELLAR_ASSERT(load->part_count == 0);
    return was_loading ? cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                          "a bulk load of the table runs already")
                       : CELLAR_OK;
}

static void load_release(struct tablet_load *load)
{
    CELLAR_ASSERT(load->table != NULL);
    tablet_table_unref(load->table);
    cellar_buffer_fini(&load->start);
    cellar_buffer_fini(&load->end);
    cellar_buffer_fini(&load->last);
    cellar_mem_free(load->parts);
    cellar_mem_free(load);
}

static struct tablet_load *load_new(struct tablet_db *db, struct tablet_table *table,
                                    struct cellar_slice start, struct cellar_slice end)
{
    struct tablet_load *load = cellar_mem_zalloc(1, sizeof *load);
    if (load == NULL) {
        return NULL;
    }
    load->db = db;
    load->table = table;
    tablet_table_ref(table);
    size_t count = CELLAR_MIN(table->tablet_count, (size_t)TABLET_LOAD_TABLET_COUNT_MAX);
    load->parts = cellar_mem_zalloc(count, sizeof *load->parts);
    CELLAR_ASSERT(count > 0);
    if (load->parts == NULL ||
        cellar_buffer_append(&load->start, start.data, start.bytes) != CELLAR_OK ||
        cellar_buffer_append(&load->end, end.data, end.bytes) != CELLAR_OK) {
        load_release(load);
        return NULL;
    }
    return load;
}

enum cellar_status tablet_load_begin(struct tablet_db *db, struct tablet_table *table,
                                     struct cellar_slice start, struct cellar_slice end,
                                     struct tablet_load **load, struct cellar_error *error)
{
    CELLAR_ASSERT(end.bytes == 0 || cellar_slice_compare(start, end) < 0);
    struct tablet_load *made = load_new(db, table, start, end);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a load");
    }
    enum cellar_status status = table_mark(made, error);
    if (status != CELLAR_OK) {
        load_release(made);
        return status;
    }
    status = range_look(made, error);
    if (status != CELLAR_OK) {
        tablet_load_free(made);
        return status;
    }
    *load = made;
    return CELLAR_OK;
}

struct tablet_load_counts tablet_load_counts(const struct tablet_load *load)
{
    CELLAR_ASSERT(load->counts.cell_count >= load->counts.row_count);
    return load->counts;
}

bool tablet_load_has_failed(const struct tablet_load *load)
{
    CELLAR_ASSERT(load != NULL);
    return load->status != CELLAR_OK;
}

void tablet_load_cancel(struct tablet_load *load)
{
    CELLAR_ASSERT(load != NULL);
    atomic_store(&load->is_cancelled, true);
}

void tablet_load_free(struct tablet_load *load)
{
    if (load == NULL) {
        return;
    }
    if (!load->is_swapped) {
        parts_abandon(load);
    }
    CELLAR_ASSERT(atomic_load(&load->table->is_loading));
    atomic_store(&load->table->is_loading, false);
    load_release(load);
}
