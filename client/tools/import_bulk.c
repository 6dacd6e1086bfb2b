/*
 * An import by one bulk load.
 *
 *     records -> sorter -> rows of one key together -> cells sorted -> the load
 *     records ------------^                                            (--sorted)
 *
 * A load wants each row once, its cells in order and none twice. Records of one key come one behind
 * the other, in the order of the input; their cells are gathered and sorted, and of equal ones the
 * latest stays, as if they had been written one after the other.
 *
 * The load is begun before the input is read, as the server then says at once that a table is not
 * empty. But a load that rests for a minute is given up, and reading may take longer: so it is
 * aborted again, and begun anew when the rows are sorted. Rows that come in order need no second
 * one.
 */
#include "client/tools/import_bulk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/mutations.h"
#include "client/tools/row_sorter.h"
#include "common/cell.h"
#include "common/mem.h"

#define VALUE_BYTES_MAX 1048576u
#define NOTE_ROWS 256u
#define KEY_SHOWN_BYTES 32u

/* A cell, and where it came. */
struct gathered {
    struct cellar_bulk_cell cell;
    size_t family_at; /* offset of its name, ended by NUL, in the family buffer */
    size_t index;
};

struct cellar_import_bulk {
    struct cellar_import_bulk_options options;
    struct cellar_row_sorter *sorter; /* NULL: rows are in order */
    struct cellar_bulk *load;         /* NULL: not begun */
    struct cellar_buffer key;         /* of the row that is gathered; empty: none */
    struct cellar_buffer bodies;      /* mutations of its records, one behind the other */
    struct gathered *cells;
    size_t cell_capacity;
    struct cellar_bulk_cell *sent;
    struct cellar_buffer families;
    uint64_t byte_count; /* of rows handed to the load */
    uint64_t row_count;
};

static enum cellar_status refuse_memory(struct cellar_error *error)
{
    CELLAR_ASSERT(VALUE_BYTES_MAX > 0);
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a bulk load");
}

/* ---- the load -------------------------------------------------------------------------------- */

/* The failure of a call in the words of this program. */
static enum cellar_status call_failed(const struct cellar_call *call, struct cellar_error *error)
{
    CELLAR_ASSERT(call->failure.code != CELLAR_E_OK);
    return cellar_error_set(error, (enum cellar_status)call->failure.code, "%s",
                            call->failure.text);
}

static enum cellar_status load_begin(struct cellar_import_bulk *bulk, struct cellar_error *error)
{
    struct cellar_call call = {.timeout_us = bulk->options.timeout_us};
    CELLAR_ASSERT(bulk->load == NULL);
    return cellar_bulk_begin(bulk->options.client, bulk->options.table, &bulk->options.range, &call,
                             &bulk->load) == CELLAR_E_OK
               ? CELLAR_OK
               : call_failed(&call, error);
}

enum cellar_status cellar_import_bulk_start(const struct cellar_import_bulk_options *options,
                                            struct cellar_import_bulk **bulk,
                                            struct cellar_error *error)
{
    struct cellar_import_bulk *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(options->client != NULL && options->table != NULL);
    if (made == NULL) {
        return refuse_memory(error);
    }
    made->options = *options;
    if (!options->is_sorted) {
        made->sorter = cellar_row_sorter_new(options->memory_bytes, options->directory);
    }
    enum cellar_status status = made->sorter == NULL && !options->is_sorted
                                    ? refuse_memory(error)
                                    : load_begin(made, error);
    if (status != CELLAR_OK) {
        cellar_import_bulk_free(made);
        return status;
    }
    if (!options->is_sorted) {
        cellar_bulk_free(made->load);
        made->load = NULL;
    }
    *bulk = made;
    return CELLAR_OK;
}

void cellar_import_bulk_free(struct cellar_import_bulk *bulk)
{
    if (bulk == NULL) {
        return;
    }
    CELLAR_ASSERT(bulk->options.client != NULL);
    cellar_bulk_free(bulk->load);
    cellar_row_sorter_free(bulk->sorter);
    cellar_buffer_fini(&bulk->key);
    cellar_buffer_fini(&bulk->bodies);
    cellar_buffer_fini(&bulk->families);
    cellar_mem_free(bulk->cells);
    cellar_mem_free(bulk->sent);
    cellar_mem_free(bulk);
}

/* ---- a row ----------------------------------------------------------------------------------- */

/* Makes room for another cell. */
static enum cellar_status cells_reserve(struct cellar_import_bulk *bulk, size_t count)
{
    if (count < bulk->cell_capacity) {
        return CELLAR_OK;
    }
    size_t capacity = bulk->cell_capacity == 0 ? 64 : 2 * bulk->cell_capacity;
    void *cells = cellar_mem_realloc(bulk->cells, capacity * sizeof *bulk->cells);
    bulk->cells = cells != NULL ? cells : bulk->cells;
    void *sent = cellar_mem_realloc(bulk->sent, capacity * sizeof *bulk->sent);
    bulk->sent = sent != NULL ? sent : bulk->sent;
    if (cells == NULL || sent == NULL) {
        return CELLAR_NO_MEMORY;
    }
    bulk->cell_capacity = capacity;
    CELLAR_ASSERT(count < capacity);
    return CELLAR_OK;
}

/* A family's name with a NUL, which the row's cells before may have, too. */
static enum cellar_status family_keep(struct cellar_import_bulk *bulk, struct cellar_slice name,
                                      size_t *at)
{
    for (size_t i = 0; i < bulk->families.bytes;) {
        const char *known = (const char *)bulk->families.data + i;
        if (cellar_slice_equal(cellar_slice_text(known), name)) {
            *at = i;
            return CELLAR_OK;
        }
        i += strlen(known) + 1;
    }
    *at = bulk->families.bytes;
    CELLAR_ASSERT(name.bytes > 0);
    CELLAR_TRY(cellar_buffer_append(&bulk->families, name.data, name.bytes));
    return cellar_buffer_append(&bulk->families, "", 1);
}

/* Takes the cells of all records of the row apart. */
static enum cellar_status cells_gather(struct cellar_import_bulk *bulk, size_t *count)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&bulk->bodies));
    *count = 0;
    while (from.at < from.end) {
        struct cellar_mutation mutation;
        struct cellar_error error;
        enum cellar_status status = cellar_mutation_decode(&from, 0, &mutation, &error);
        CELLAR_ASSERT(status == CELLAR_OK && mutation.kind == CELLAR_MUTATION_SET); /* our own */
        CELLAR_TRY(cells_reserve(bulk, *count));
        struct gathered *cell = &bulk->cells[*count];
        *cell = (struct gathered){.index = *count};
        CELLAR_TRY(family_keep(bulk, mutation.family, &cell->family_at));
        cell->cell.qualifier = cellar_slice_view(mutation.qualifier);
        cell->cell.timestamp_us = mutation.timestamp_us;
        cell->cell.value = cellar_slice_view(mutation.value);
        (*count)++;
    }
    for (size_t i = 0; i < *count; i++) {
        bulk->cells[i].cell.family = (const char *)bulk->families.data + bulk->cells[i].family_at;
    }
    return CELLAR_OK;
}

/* Family, qualifier, newest first; 0: the same cell. */
static int cell_order(const struct cellar_bulk_cell *a, const struct cellar_bulk_cell *b)
{
    int order = strcmp(a->family, b->family);
    CELLAR_ASSERT(a->timestamp_us >= 0 && b->timestamp_us >= 0);
    if (order == 0) {
        order =
            cellar_slice_compare(cellar_view_slice(a->qualifier), cellar_view_slice(b->qualifier));
    }
    if (order != 0 || a->timestamp_us == b->timestamp_us) {
        return order;
    }
    return a->timestamp_us > b->timestamp_us ? -1 : 1;
}

/* For qsort(3): of equal cells the later one first, so that it is met first. */
static int gathered_order(const void *a, const void *b)
{
    const struct gathered *left = a;
    const struct gathered *right = b;
    int order = cell_order(&left->cell, &right->cell);
    CELLAR_ASSERT(left == right || left->index != right->index);
    return order != 0 ? order : (left->index > right->index ? -1 : 1);
}

/* Hands the gathered row to the load. */
static enum cellar_status row_flush(struct cellar_import_bulk *bulk, struct cellar_error *error)
{
    struct cellar_call call = {.timeout_us = bulk->options.timeout_us};
    size_t count = 0;
    size_t kept = 0;
    if (bulk->key.bytes == 0) {
        return CELLAR_OK;
    }
    cellar_buffer_clear(&bulk->families);
    if (cells_gather(bulk, &count) != CELLAR_OK) {
        return refuse_memory(error);
    }
    qsort(bulk->cells, count, sizeof *bulk->cells, gathered_order);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || cell_order(&bulk->sent[kept - 1], &bulk->cells[i].cell) != 0) {
            bulk->sent[kept++] = bulk->cells[i].cell;
        }
    }
    CELLAR_ASSERT(kept > 0);
    if (cellar_bulk_row(bulk->load, cellar_view_of(bulk->key.data, bulk->key.bytes), bulk->sent,
                        kept, &call) != CELLAR_E_OK) {
        return call_failed(&call, error);
    }
    bulk->byte_count += bulk->key.bytes + bulk->bodies.bytes;
    bulk->row_count++;
    cellar_buffer_clear(&bulk->key);
    cellar_buffer_clear(&bulk->bodies);
    return CELLAR_OK;
}

/* Adds a record to the row of its key; a row whose key was another one is whole. */
static enum cellar_status row_gather(struct cellar_import_bulk *bulk,
                                     const struct cellar_sorter_row *row,
                                     struct cellar_error *error)
{
    if (!cellar_slice_equal(cellar_slice_of(&bulk->key), row->key)) {
        CELLAR_TRY(row_flush(bulk, error));
        CELLAR_ASSERT(bulk->key.bytes == 0);
        if (cellar_buffer_append(&bulk->key, row->key.data, row->key.bytes) != CELLAR_OK) {
            return refuse_memory(error);
        }
    }
    return cellar_buffer_append(&bulk->bodies, row->body.data, row->body.bytes) == CELLAR_OK
               ? CELLAR_OK
               : refuse_memory(error);
}

/* ---- records --------------------------------------------------------------------------------- */

enum cellar_status cellar_import_bulk_range_check(const struct cellar_bulk_range *range,
                                                  const struct cellar_record *record,
                                                  struct cellar_error *error)
{
    struct cellar_slice key = cellar_slice_of(&record->key);
    char text[4 * KEY_SHOWN_BYTES + 8];
    CELLAR_ASSERT(key.bytes > 0);
    if (cellar_slice_compare(key, cellar_view_slice(range->start)) >= 0 &&
        (range->end.bytes == 0 || cellar_slice_compare(key, cellar_view_slice(range->end)) < 0)) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "Row %s lies outside of --start and --end",
                            cellar_bytes_show(key, KEY_SHOWN_BYTES, text, sizeof text));
}

enum cellar_status cellar_import_bulk_check(const struct cellar_record *record,
                                            struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&record->list->body));
    CELLAR_ASSERT(record->cell_count > 0 && record->key.bytes > 0);
    CELLAR_ASSERT(!record->has_more && !record->is_rest);
    while (from.at < from.end) {
        struct cellar_mutation mutation;
        CELLAR_TRY(cellar_mutation_decode(&from, 0, &mutation, error));
        if (mutation.value.bytes > VALUE_BYTES_MAX) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "A value of %zu bytes, above 1 MiB, cannot be loaded in bulk; "
                                    "import its row without --bulk",
                                    mutation.value.bytes);
        }
    }
    return CELLAR_OK;
}

enum cellar_status cellar_import_bulk_put(struct cellar_import_bulk *bulk,
                                          const struct cellar_record *record,
                                          struct cellar_error *error)
{
    const struct cellar_sorter_row row = {cellar_slice_of(&record->key),
                                          cellar_slice_of(&record->list->body)};
    CELLAR_ASSERT(record->list->error.code == CELLAR_OK);
    return bulk->sorter != NULL ? cellar_row_sorter_put(bulk->sorter, &row, error)
                                : row_gather(bulk, &row, error);
}

/* Everything that was sorted, into a load begun anew. */
static enum cellar_status sorted_load(struct cellar_import_bulk *bulk, struct cellar_error *error)
{
    const struct cellar_import_bulk_options *options = &bulk->options;
    uint64_t total = cellar_row_sorter_bytes(bulk->sorter);
    bool has_row = true;
    CELLAR_TRY(cellar_row_sorter_end(bulk->sorter, error));
    CELLAR_TRY(load_begin(bulk, error));
    for (uint64_t i = 0; has_row; i++) {
        struct cellar_sorter_row row;
        if (cellar_interrupt_is_set(options->interrupt)) {
            return cellar_error_set(error, CELLAR_CANCELLED, "Interrupted");
        }
        CELLAR_TRY(cellar_row_sorter_next(bulk->sorter, &row, &has_row, error));
        if (has_row) {
            CELLAR_TRY(row_gather(bulk, &row, error));
        }
        if (i % NOTE_ROWS == 0 && options->on_loaded != NULL) {
            options->on_loaded(options->context, CELLAR_MIN(bulk->byte_count, total), total,
                               bulk->row_count);
        }
    }
    CELLAR_ASSERT(bulk->load != NULL);
    return CELLAR_OK;
}

enum cellar_status cellar_import_bulk_finish(struct cellar_import_bulk *bulk,
                                             struct cellar_bulk_counts *counts,
                                             struct cellar_error *error)
{
    struct cellar_call call = {.timeout_us = bulk->options.timeout_us};
    if (bulk->sorter != NULL) {
        CELLAR_TRY(sorted_load(bulk, error));
    }
    CELLAR_TRY(row_flush(bulk, error));
    CELLAR_ASSERT(bulk->load != NULL);
    return cellar_bulk_commit(bulk->load, &call, counts) == CELLAR_E_OK ? CELLAR_OK
                                                                        : call_failed(&call, error);
}
