/*
 * Checking the rows of a load.
 *
 * A row is [key, packed cells], the cells in the form of section 5 of PROTOCOL.md, which is that of
 * segments, too: so they are taken apart by the same reader, and only what a client may not say has
 * to be looked for: a family's generation, the reference of a blob. What goes into a generation has
 * to be in order, as nothing sorts it there; and no cell may come twice, as no LSN would say which
 * one counts.
 *
 * Nothing is kept of the cells: those of one row may be millions. So they are read twice, once to
 * be checked and once to be loaded.
 */
#include "server/tablet/load_rows.h"

#define KEY_SHOWN_BYTES 64u

/* One walk. */
struct decoding {
    const struct tablet_load_bounds *bounds;
    struct tablet_load_rows *rows;
    const struct tablet_family *family; /* of the cell before; NULL: none */
    struct cellar_error *error;
};

/* What is wrong with a row, which is named. */
static enum cellar_status refuse(const struct decoding *decoding, enum cellar_status status,
                                 struct cellar_slice key, const char *what)
{
    char text[4 * KEY_SHOWN_BYTES + 8];
    CELLAR_ASSERT(status != CELLAR_OK && what != NULL);
    return cellar_error_set(decoding->error, status, "Error in field 'rows' : row #%zu (%s) : %s",
                            decoding->rows->row_count,
                            cellar_bytes_show(key, KEY_SHOWN_BYTES, text, sizeof text), what);
}

static enum cellar_status refuse_memory(const struct decoding *decoding)
{
    CELLAR_ASSERT(decoding->rows != NULL);
    return cellar_error_set(decoding->error, CELLAR_NO_MEMORY, "no memory for the rows of a load");
}

/* ---- cells ----------------------------------------------------------------------------------- */

/* The family of a cell, which is mostly that of the cell before; NULL: there is none. */
static const struct tablet_family *family_of(const struct tablet_schema *schema,
                                             const struct tablet_family *before,
                                             struct cellar_slice name)
{
    CELLAR_ASSERT(name.bytes > 0);
    return before != NULL && cellar_slice_equal(before->name, name)
               ? before
               : tablet_schema_family(schema, name);
}

static enum cellar_status family_find(struct decoding *decoding, struct cellar_slice key,
                                      const struct cellar_cells_reader *reader)
{
    if (reader->generation != 1) {
        return refuse(decoding, CELLAR_INVALID_ARGUMENT, key, "a family is a name");
    }
    decoding->family = family_of(decoding->rows->schema, decoding->family, reader->cell.family);
    CELLAR_ASSERT(reader->cell.family.bytes > 0);
    return decoding->family != NULL
               ? CELLAR_OK
               : refuse(decoding, CELLAR_NOT_FOUND, key, "Requested column family not found");
}

/* What each cell is held to by itself. The reader has checked the qualifier's length and that the
 * timestamp is no less than 0. */
static enum cellar_status cell_check(const struct decoding *decoding, struct cellar_slice key,
                                     const struct cellar_cells_reader *reader)
{
    const struct cellar_cell *cell = &reader->cell;
    CELLAR_ASSERT(cell->timestamp_us >= 0 && cell->qualifier.bytes <= CELLAR_QUALIFIER_BYTES_MAX);
    if (reader->is_blob) {
        return refuse(decoding, CELLAR_INVALID_ARGUMENT, key, "a value must be bytes");
    }
    if (cell->value.bytes > CELLAR_VALUE_BYTES_MAX) {
        return refuse(decoding, CELLAR_INVALID_ARGUMENT, key, "a value has more than 100 MiB");
    }
    if (decoding->rows->schema->granularity != CELLAR_GRANULARITY_MICROS &&
        cell->timestamp_us % 1000 != 0) {
        return refuse(decoding, CELLAR_INVALID_ARGUMENT, key,
                      "Timestamp granularity mismatch. Expected a multiple of 1000 (millisecond "
                      "granularity)");
    }
    return CELLAR_OK;
}

/* Family, qualifier, newest first; 0: the same cell. */
static int cell_order(const struct cellar_cell *a, const struct cellar_cell *b)
{
    int order = cellar_slice_compare(a->family, b->family);
    order = order != 0 ? order : cellar_slice_compare(a->qualifier, b->qualifier);
    CELLAR_ASSERT(a != b);
    if (order != 0 || a->timestamp_us == b->timestamp_us) {
        return order;
    }
    return a->timestamp_us > b->timestamp_us ? -1 : 1;
}

/* @param previous  in the row; without a family there is none */
static enum cellar_status cell_order_check(const struct decoding *decoding, struct cellar_slice key,
                                           const struct cellar_cell *previous,
                                           const struct cellar_cell *cell)
{
    int order = previous->family.bytes == 0 ? -1 : cell_order(previous, cell);
    CELLAR_ASSERT(previous != cell);
    if (order < 0) {
        return CELLAR_OK;
    }
    return refuse(decoding, CELLAR_INVALID_ARGUMENT, key,
                  order == 0 ? "a cell comes twice"
                             : "cells must be in order of family, qualifier, newest first");
}

/* Checks all cells of a row. */
static enum cellar_status cells_check(struct decoding *decoding, struct cellar_slice key,
                                      struct cellar_cells_reader *reader)
{
    struct tablet_load_rows *rows = decoding->rows;
    struct cellar_cell previous = {.timestamp_us = 0};
    CELLAR_ASSERT(reader->left > 0);
    while (reader->left > 0) {
        if (!cellar_cells_next(reader)) {
            return refuse(decoding, CELLAR_INVALID_ARGUMENT, key,
                          "a cell must be family, qualifier, timestamp >= 0, value, within their "
                          "limits");
        }
        CELLAR_TRY(family_find(decoding, key, reader));
        CELLAR_TRY(cell_check(decoding, key, reader));
        CELLAR_TRY(cell_order_check(decoding, key, &previous, &reader->cell));
        previous = reader->cell;
        rows->cell_count++;
        rows->byte_count += reader->cell.qualifier.bytes + reader->cell.value.bytes;
        rows->value_bytes_max = CELLAR_MAX(rows->value_bytes_max, reader->cell.value.bytes);
    }
    return cellar_cells_is_done(reader)
               ? CELLAR_OK
               : refuse(decoding, CELLAR_INVALID_ARGUMENT, key, "bytes behind the cells");
}

/* ---- rows ------------------------------------------------------------------------------------ */

static enum cellar_status key_check(const struct decoding *decoding, struct cellar_slice key,
                                    struct cellar_slice before)
{
    const struct tablet_load_bounds *bounds = decoding->bounds;
    CELLAR_TRY(cellar_row_check(key, decoding->error));
    CELLAR_ASSERT(key.bytes > 0);
    if (before.bytes > 0 && cellar_slice_compare(before, key) >= 0) {
        return refuse(decoding, CELLAR_INVALID_ARGUMENT, key,
                      "keys must rise, but the row before is not less");
    }
    if (cellar_slice_compare(key, bounds->start) < 0 ||
        (bounds->end.bytes > 0 && cellar_slice_compare(key, bounds->end) >= 0)) {
        return refuse(decoding, CELLAR_INVALID_ARGUMENT, key,
                      "the row lies outside of the load's range");
    }
    return CELLAR_OK;
}

static enum cellar_status row_decode(struct decoding *decoding, struct cellar_cursor *from,
                                     struct cellar_slice before)
{
    struct tablet_load_rows *rows = decoding->rows;
    struct tablet_load_row *row = &rows->rows[rows->row_count];
    struct cellar_cells_reader reader;
    uint32_t parts = 0;
    *row = (struct tablet_load_row){.key = {NULL, 0}};
    if (!cellar_wire_get_array(from, &parts) || parts != 2 ||
        !cellar_wire_get_bytes(from, &row->key) || !cellar_wire_skip(from, &row->packed)) {
        return refuse(decoding, CELLAR_INVALID_ARGUMENT, row->key, "must be [key, cells]");
    }
    CELLAR_TRY(key_check(decoding, row->key, before));
    if (!cellar_cells_open(&reader, row->packed) || reader.left == 0) {
        return refuse(decoding, CELLAR_INVALID_ARGUMENT, row->key,
                      "must have an array of packed cells, one at least");
    }
    CELLAR_TRY(cells_check(decoding, row->key, &reader));
    rows->byte_count += row->key.bytes;
    rows->row_count++;
    CELLAR_ASSERT(rows->cell_count >= rows->row_count);
    return CELLAR_OK;
}

enum cellar_status tablet_load_rows_decode(const struct tablet_schema *schema,
                                           const struct tablet_load_bounds *bounds,
                                           struct cellar_slice wire, struct cellar_arena *arena,
                                           struct tablet_load_rows *rows,
                                           struct cellar_error *error)
{
    struct decoding decoding = {.bounds = bounds, .rows = rows, .error = error};
    struct cellar_cursor from = cellar_cursor_make(wire);
    struct cellar_slice before = bounds->last;
    uint32_t count = 0;
    *rows = (struct tablet_load_rows){.schema = schema, .arena = arena};
    if (!cellar_wire_get_array(&from, &count) || count == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'rows' : must be an array, one row at least");
    }
    if (count > 1 && wire.bytes > TABLET_LOAD_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'rows' : at most %u bytes of several rows in one "
                                "request, but got %zu",
                                TABLET_LOAD_BYTES_MAX, wire.bytes);
    }
    rows->rows = cellar_arena_alloc(arena, count * sizeof *rows->rows);
    if (rows->rows == NULL) {
        return refuse_memory(&decoding);
    }
    for (uint32_t i = 0; i < count; i++) {
        CELLAR_TRY(row_decode(&decoding, &from, before));
        before = rows->rows[i].key;
    }
    CELLAR_ASSERT(rows->row_count == count);
    return from.at == from.end ? CELLAR_OK
                               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                                  "Error in field 'rows' : bytes behind the array");
}

/* ---- to storage ------------------------------------------------------------------------------ */

static bool row_next(struct store_load_source *base, struct cellar_slice *key)
{
    struct tablet_load_source *source = CELLAR_CONTAINER_OF(base, struct tablet_load_source, base);
    CELLAR_ASSERT(source->reader.left == 0);
    if (source->next == source->end) {
        return false;
    }
    const struct tablet_load_row *row = &source->rows->rows[source->next++];
    bool is_open = cellar_cells_open(&source->reader, row->packed);
    CELLAR_ASSERT(is_open && source->reader.left > 0); /* as it was when it was checked */
    *key = row->key;
    return true;
}

/* Puts the reference of a large value in its place, when there are any. */
static void reference_set(struct tablet_load_source *source, struct store_cell *cell)
{
    if (cell->cell.value.bytes <= source->value_bytes_max) {
        return;
    }
    CELLAR_ASSERT(source->reference_next < source->reference_count);
    cell->is_blob = true;
    cell->cell.value =
        cellar_slice_make(source->references[source->reference_next++], STORE_BLOB_REFERENCE_BYTES);
}

static bool cell_next(struct store_load_source *base, struct store_cell *cell)
{
    struct tablet_load_source *source = CELLAR_CONTAINER_OF(base, struct tablet_load_source, base);
    struct cellar_cells_reader *reader = &source->reader;
    if (reader->left == 0) {
        return false;
    }
    bool is_cell = cellar_cells_next(reader);
    CELLAR_ASSERT(is_cell);
    source->family = family_of(source->rows->schema, source->family, reader->cell.family);
    CELLAR_ASSERT(source->family != NULL);
    *cell = (struct store_cell){.cell = reader->cell, .generation = source->family->generation};
    cell->cell.family = source->family->name;
    reference_set(source, cell);
    return true;
}

void tablet_load_source_init(struct tablet_load_source *source, const struct tablet_load_rows *rows,
                             size_t first, size_t count)
{
    CELLAR_ASSERT(count > 0 && first + count <= rows->row_count);
    *source = (struct tablet_load_source){.base = {row_next, cell_next},
                                          .rows = rows,
                                          .next = first,
                                          .end = first + count,
                                          .value_bytes_max = UINT64_MAX};
}

static enum cellar_status reference_add(struct tablet_load_source *source, uint8_t *reference)
{
    if (source->reference_count == source->reference_capacity) {
        size_t capacity = CELLAR_MAX(2 * source->reference_capacity, (size_t)16);
        uint8_t **grown = cellar_arena_alloc(source->rows->arena, capacity * sizeof *grown);
        if (grown == NULL) {
            return CELLAR_NO_MEMORY;
        }
        if (source->reference_count > 0) {
            memcpy(grown, source->references, source->reference_count * sizeof *grown);
        }
        source->references = grown;
        source->reference_capacity = capacity;
    }
    CELLAR_ASSERT(source->reference_count < source->reference_capacity);
    source->references[source->reference_count++] = reference;
    return CELLAR_OK;
}

enum cellar_status tablet_load_source_write(struct tablet_load_source *source,
                                            struct tablet_large *large, struct cellar_error *error)
{
    uint64_t bytes_max = tablet_large_value_bytes(large->engine);
    size_t first = source->next;
    struct cellar_slice key;
    struct store_cell cell;
    CELLAR_ASSERT(source->reader.left == 0 && source->reference_count == 0);
    if (source->rows->value_bytes_max <= bytes_max) {
        return CELLAR_OK;
    }
    while (row_next(&source->base, &key)) {
        while (cell_next(&source->base, &cell)) {
            uint8_t *reference = NULL;
            if (cell.cell.value.bytes <= bytes_max) {
                continue;
            }
            CELLAR_TRY(tablet_large_value_write(large, cell.cell.value, &reference, error));
            if (reference_add(source, reference) != CELLAR_OK) {
                return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for large values");
            }
        }
    }
    source->next = first;
    source->value_bytes_max = bytes_max;
    return CELLAR_OK;
}
