/*
 * Reading and changing the catalog, which is ordinary rows of store 0: the same log, memtable,
 * segments and checksums as any table's.
 *
 * A change is one catalog record, so all its rows appear or none; it is durable when
 * tablet_catalog_change_commit() returns. Readers are only the server's start (tablet_catalog_read)
 * and, offline, a checker; while the server runs the tables in memory are what the record says.
 */
#include "server/tablet/catalog.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/storage/map_guard.h"
#include "server/storage/rows.h"
#include "server/tablet/wait.h"

#define ROW_BYTES_MAX 512u
#define FAMILY_GENERATION 1u
#define STORE_DIGITS 8u

static const char family_name[] = "c";

/* ---- changing -------------------------------------------------------------------------------- */

/* The number of rows stands at the record's head, so it is asked for first and counted down by each
 * row. */
enum cellar_status tablet_catalog_change_begin(struct tablet_catalog_change *change,
                                               uint32_t row_count)
{
    memset(change, 0, sizeof *change);
    CELLAR_ASSERT(row_count > 0);
    change->row_count = row_count;
    return store_catalog_begin(&change->payload, row_count);
}

void tablet_catalog_change_fini(struct tablet_catalog_change *change)
{
    cellar_buffer_fini(&change->payload);
    cellar_buffer_fini(&change->mutation);
    CELLAR_ASSERT(change->payload.data == NULL);
}

/* Each row is written whole, as one cell of an empty qualifier, or deleted: no row of the catalog
 * is ever changed in part. */
enum cellar_status tablet_catalog_change_row(struct tablet_catalog_change *change,
                                             struct cellar_slice row, struct cellar_slice value)
{
    struct store_mutation mutation = {.row = row, .schema_version = 1, .item_count = 1};
    struct store_item item = {.type = STORE_ITEM_DELETE_ROW};
    CELLAR_ASSERT(change->row_count > 0);
    change->row_count--;
    if (value.bytes > 0) {
        item = (struct store_item){.type = STORE_ITEM_SET,
                                   .family = cellar_slice_text(family_name),
                                   .generation = FAMILY_GENERATION,
                                   .value = value};
    }
    cellar_buffer_clear(&change->mutation);
    CELLAR_TRY(store_mutation_encode(&change->mutation, &mutation));
    CELLAR_TRY(store_item_encode(&change->mutation, &item));
    return store_catalog_put(&change->payload, cellar_slice_of(&change->mutation));
}

/* "t/P/I/T" or "i/P/I". @return its length Parts hold no slash (cell.c checks names), so the row
 * can be taken apart again. */
static size_t name_row(char kind, const struct cellar_table_name *name, char *row)
{
    int bytes = snprintf(row, ROW_BYTES_MAX, "%c/%.*s/%.*s%s%.*s", kind, (int)name->project.bytes,
                         (const char *)name->project.data, (int)name->instance.bytes,
                         (const char *)name->instance.data, kind == 't' ? "/" : "",
                         kind == 't' ? (int)name->table.bytes : 0,
                         kind == 't' ? (const char *)name->table.data : "");
    CELLAR_ASSERT(bytes > 0 && (size_t)bytes < ROW_BYTES_MAX);
    return (size_t)bytes;
}

enum cellar_status tablet_catalog_change_table(struct tablet_catalog_change *change,
                                               const struct tablet_table *table,
                                               const struct tablet_schema *schema)
{
    char row[ROW_BYTES_MAX];
    struct cellar_buffer value = {0};
    size_t bytes = name_row('t', &table->name, row);
    enum cellar_status status =
        schema == NULL ? CELLAR_OK : tablet_table_encode(table, schema, &value);
    CELLAR_ASSERT(schema != NULL || value.bytes == 0);
    if (status == CELLAR_OK) {
        status = tablet_catalog_change_row(change, cellar_slice_make(row, bytes),
                                           cellar_slice_of(&value));
    }
    cellar_buffer_fini(&value);
    return status;
}

/* Written with every table, though it is there mostly: that is cheaper than a look, and the same
 * bytes again. */
enum cellar_status tablet_catalog_change_instance(struct tablet_catalog_change *change,
                                                  const struct cellar_table_name *name)
{
    static const uint8_t empty_map[] = {0x80};
    char row[ROW_BYTES_MAX];
    size_t bytes = name_row('i', name, row);
    CELLAR_ASSERT(bytes > 2);
    return tablet_catalog_change_row(change, cellar_slice_make(row, bytes),
                                     cellar_slice_make(empty_map, sizeof empty_map));
}

/* A map of one field: {1: number}. A map of numbered fields, so that a later version can add some
 * beside. */
static enum cellar_status number_row(struct tablet_catalog_change *change, const char *row,
                                     uint64_t number)
{
    struct cellar_buffer value = {0};
    CELLAR_ASSERT(number > 0);
    enum cellar_status status = cellar_wire_put_map(&value, 1);
    if (status == CELLAR_OK) {
        status = cellar_wire_put_u64(&value, 1);
    }
    if (status == CELLAR_OK) {
        status = cellar_wire_put_u64(&value, number);
    }
    if (status == CELLAR_OK) {
        status = tablet_catalog_change_row(change, cellar_slice_text(row), cellar_slice_of(&value));
    }
    cellar_buffer_fini(&value);
    return status;
}

/* Generation 0, which no store has, says that the store is gone. */
enum cellar_status tablet_catalog_change_store(struct tablet_catalog_change *change,
                                               uint32_t store_id, uint64_t generation)
{
    char row[32];
    (void)snprintf(row, sizeof row, "s/%08x", store_id);
    CELLAR_ASSERT(store_id != STORE_CATALOG_ID);
    return generation == 0 ? tablet_catalog_change_row(change, cellar_slice_text(row),
                                                       cellar_slice_make(NULL, 0))
                           : number_row(change, row, generation);
}

/* On the disk in the record that uses the ids below it: an id is never given twice, not even after
 * a crash. */
enum cellar_status tablet_catalog_change_counter(struct tablet_catalog_change *change,
                                                 uint32_t store_id_next)
{
    CELLAR_ASSERT(store_id_next > 0);
    return number_row(change, "n", store_id_next);
}

/* ---- committing ------------------------------------------------------------------------------ */

/* The effect comes in the same hold of the append lock: a write that comes later sees it, one that
 * came before lies before the change in the log. */
static enum cellar_status change_append(struct store_engine *engine, struct store_batch *batch,
                                        struct tablet_wait *wait, struct tablet_wait_record *record,
                                        const struct tablet_catalog_effect *effect,
                                        struct cellar_error *error)
{
    struct store_log *log = store_engine_log(engine);
    struct store *store = store_engine_catalog(engine);
    record->record.entry = (struct store_log_entry){
        .store_id = STORE_CATALOG_ID, .type = STORE_RECORD_CATALOG, .payload = batch->payload};
    store_log_lock(log);
    enum cellar_status status = store_engine_admit(engine, store, !effect->frees_space, error);
    if (status == CELLAR_OK) {
        tablet_wait_add(wait, record);
        store_engine_append(engine, store, &record->record, batch);
        if (effect->apply != NULL) {
            effect->apply(effect->context, record->record.entry.lsn);
        }
    }
    store_log_unlock(log);
    CELLAR_ASSERT(status != CELLAR_OK || record->wait == wait);
    return status;
}

/* Runs on a thread that may block, as it waits for a sync. A batch that was appended is the
 * memtable's, one that was refused is freed here. */
enum cellar_status tablet_catalog_change_commit(struct tablet_catalog_change *change,
                                                struct store_engine *engine,
                                                const struct tablet_catalog_effect *effect,
                                                struct cellar_error *error)
{
    struct store_batch *batch = NULL;
    struct tablet_wait wait;
    struct tablet_wait_record record = {0};
    CELLAR_ASSERT(change->row_count == 0);
    if (change->payload.bytes > store_engine_record_bytes_max(engine)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "the table's description takes %zu bytes, the limit is %llu; give "
                                "fewer or shorter split keys",
                                change->payload.bytes,
                                (unsigned long long)store_engine_record_bytes_max(engine));
    }
    if (store_batch_new(cellar_slice_of(&change->payload), true, &batch) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a change of the catalog");
    }
    tablet_wait_begin(&wait);
    enum cellar_status status = change_append(engine, batch, &wait, &record, effect, error);
    enum cellar_status end = tablet_wait_end(&wait);
    if (status != CELLAR_OK) {
        store_batch_free(batch);
    } else if (end != CELLAR_OK) {
        status = cellar_error_set(error, end,
                                  "the commit log failed; the change of the "
                                  "catalog may or may not have been made");
    }
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* {1: number, ...}; 0 on damage. Checked although the record had a checksum: what is decoded wrong
 * here would be served as somebody else's rows. */
static uint64_t number_decode(struct cellar_slice value)
{
    struct cellar_cursor from = cellar_cursor_make(value);
    uint32_t count = 0;
    uint64_t field = 0;
    uint64_t number = 0;
    CELLAR_ASSERT(value.bytes == 0 || value.data != NULL);
    bool is_sound = cellar_wire_get_map(&from, &count) && count >= 1 &&
                    cellar_wire_get_u64(&from, &field) && field == 1 &&
                    cellar_wire_get_u64(&from, &number) && number <= UINT32_MAX;
    return is_sound ? number : 0;
}

/* Takes "P/I/T" apart; the parts point into `table`'s arena. NO_MEMORY, DATA_LOSS. Three parts,
 * none of them empty. */
static enum cellar_status name_decode(struct tablet_table *table, struct cellar_slice text)
{
    struct cellar_slice *parts[] = {&table->name.project, &table->name.instance,
                                    &table->name.table};
    const uint8_t *copy = cellar_arena_copy(&table->arena, text.data, text.bytes);
    size_t at = 0;
    if (copy == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (size_t i = 0; i < 3; i++) {
        const uint8_t *slash = memchr(copy + at, '/', text.bytes - at);
        if ((slash == NULL) != (i == 2)) {
            return CELLAR_DATA_LOSS;
        }
        size_t end = slash == NULL ? text.bytes : (size_t)(slash - copy);
        if (end == at) {
            return CELLAR_DATA_LOSS;
        }
        *parts[i] = cellar_slice_make(copy + at, end - at);
        at = end + 1;
    }
    CELLAR_ASSERT(table->name.table.bytes > 0);
    return CELLAR_OK;
}

/* The visitor gets the table's one reference. */
static enum cellar_status table_visit(struct cellar_slice rest, struct cellar_slice value,
                                      const struct tablet_catalog_visitor *visitor)
{
    struct tablet_table *table = tablet_table_new();
    if (table == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = name_decode(table, rest);
    if (status == CELLAR_OK) {
        status = tablet_table_decode(table, value);
    }
    if (status != CELLAR_OK) {
        tablet_table_unref(table);
        return status;
    }
    CELLAR_ASSERT(table->tablet_count > 0);
    return visitor->table(visitor->context, table);
}

/* The number in "s/%08x"; 0, which no store but the catalog has, for another name. */
static uint32_t store_id_decode(struct cellar_slice row)
{
    char text[STORE_DIGITS + 1] = {0};
    if (row.bytes != 2 + STORE_DIGITS || row.data[1] != '/') {
        return 0;
    }
    memcpy(text, row.data + 2, STORE_DIGITS);
    CELLAR_ASSERT(text[STORE_DIGITS] == '\0');
    return strspn(text, "0123456789abcdef") == STORE_DIGITS ? (uint32_t)strtoul(text, NULL, 16) : 0;
}

/* In the order of the rows: i, n, s, t. Stores come before tables, which is what lets tablets find
 * them. */
enum cellar_status tablet_catalog_row_visit(struct cellar_slice row, struct cellar_slice value,
                                            const struct tablet_catalog_visitor *visitor)
{
    uint64_t number = 0;
    CELLAR_ASSERT(row.bytes > 0);
    if (row.bytes > 2 && row.data[0] == 't' && row.data[1] == '/') {
        return table_visit(cellar_slice_make(row.data + 2, row.bytes - 2), value, visitor);
    }
    if (row.data[0] == 's') {
        uint32_t store_id = store_id_decode(row);
        number = number_decode(value);
        return store_id == 0 || number == 0 ? CELLAR_DATA_LOSS
                                            : visitor->store(visitor->context, store_id, number);
    }
    if (row.bytes == 1 && row.data[0] == 'n') {
        number = number_decode(value);
        return number == 0 ? CELLAR_DATA_LOSS
                           : visitor->counter(visitor->context, (uint32_t)number);
    }
    return CELLAR_OK; /* instances, and what later versions add beside */
}

/* Visits one row's cell, from a segment or merged. A row of the catalog is one cell, so the first
 * one of a segment is all of it. */
static enum cellar_status row_read(struct store_rows *rows,
                                   const struct tablet_catalog_visitor *visitor)
{
    struct store_piece piece;
    struct cellar_cells_reader reader;
    CELLAR_TRY(store_rows_piece(rows, &piece));
    CELLAR_ASSERT(rows->has_row);
    if (piece.kind == STORE_PIECE_END) {
        return CELLAR_OK;
    }
    if (piece.kind == STORE_PIECE_CELL) {
        return tablet_catalog_row_visit(cellar_slice_of(&rows->row), piece.cell.cell.value,
                                        visitor);
    }
    if (!cellar_cells_open(&reader, piece.segment.packed) || !cellar_cells_next(&reader)) {
        return CELLAR_DATA_LOSS;
    }
    return tablet_catalog_row_visit(cellar_slice_of(&rows->row), reader.cell.value, visitor);
}

struct catalog_walk {
    struct store_rows rows;
    const struct tablet_catalog_visitor *visitor;
};

static enum cellar_status walk_run(void *context)
{
    struct catalog_walk *walk = context;
    CELLAR_TRY(store_rows_seek(&walk->rows, cellar_slice_make(NULL, 0)));
    while (walk->rows.has_row) {
        CELLAR_TRY(row_read(&walk->rows, walk->visitor));
        CELLAR_TRY(store_rows_next(&walk->rows));
    }
    CELLAR_ASSERT(!walk->rows.has_row);
    return CELLAR_OK;
}

/* From a snapshot like any read; at the start there is nobody who could write meanwhile. */
enum cellar_status tablet_catalog_read(struct store_engine *engine,
                                       const struct tablet_catalog_visitor *visitor,
                                       struct cellar_error *error)
{
    struct store_snapshot snapshot;
    struct catalog_walk walk = {.visitor = visitor};
    enum cellar_status status =
        store_engine_snapshot(engine, store_engine_catalog(engine), &snapshot);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "the catalog cannot be read");
    }
    store_rows_init(&walk.rows, &snapshot);
    status = store_map_guard(walk_run, &walk);
    store_rows_fini(&walk.rows);
    store_snapshot_close(&snapshot);
    if (status != CELLAR_OK && error != NULL && error->code == CELLAR_OK) {
        return cellar_error_set(error, status,
                                "the catalog (stores/0/1/data.mdb) is damaged or unreadable");
    }
    return status;
}
