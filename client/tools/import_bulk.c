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
 * A row is one request, and has a limit, but the input may spread it over any number of lines, and
 * the line that would be too much has to be refused as it is read. Of rows in order the last one's
 * size is known. Those that are sorted have a few counters that many rows share (a count-min
 * sketch): the least of a row's four is no less than its size, and more only by what other rows
 * brought to all of the four, which counts when an input has terabytes. A record that comes in
 * parts may have some in the sorter already: another entry behind them makes them void.
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
#include "client/tools/name_count.h"
#include "client/tools/row_sorter.h"
#include "common/cell.h"
#include "common/mem.h"

#define NOTE_ROWS 256u
#define MEMORY_KEPT_BYTES_MAX 8388608u /* of one buffer between two rows */
#define SUMS_ROWS 4u                   /* of the counters of rows' sizes */
#define SUMS_COLUMNS 65536u
#define KEY_SHOWN_BYTES 32u

/* What a record that the sorter holds is: its mark. */
enum part {
    PART_BEGINS, /* a record of the input */
    PART_GOES_ON,
    PART_VOIDS /* the record that was begun last is refused after all */
};

struct cellar_import_bulk {
    struct cellar_import_bulk_options options;
    struct cellar_row_sorter *sorter; /* NULL: rows are in order */
    struct cellar_bulk *load;         /* NULL: not begun */
    struct cellar_buffer key;         /* of the row that is gathered; empty: none */
    struct cellar_buffer bodies;      /* mutations of its records, one behind the other */
    size_t record_at;                 /* where in them the last record begins */
    struct cellar_bulk_cell *cells;
    size_t cell_capacity;
    struct cellar_buffer families; /* names of the row's, each ended by NUL */
    uint64_t *sums;                /* SUMS_ROWS * SUMS_COLUMNS; NULL: rows are in order */
    uint64_t record_bytes;         /* of the record that is put: what its parts have added */
    bool is_refusing;              /* its remaining parts */
    uint64_t byte_count;           /* of rows handed to the load */
    uint64_t row_count;
};

static enum cellar_status refuse_memory(struct cellar_error *error)
{
    CELLAR_ASSERT(CELLAR_RECORD_BYTES_MAX > 0);
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
        made->sums = cellar_mem_zalloc((size_t)SUMS_ROWS * SUMS_COLUMNS, sizeof *made->sums);
        made->sorter = cellar_row_sorter_new(options->memory_bytes, options->directory);
    }
    enum cellar_status status = (made->sums == NULL || made->sorter == NULL) && !options->is_sorted
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
    cellar_mem_free(bulk->sums);
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
    if (cells == NULL) {
        return CELLAR_NO_MEMORY;
    }
    bulk->cells = cells;
    bulk->cell_capacity = capacity;
    CELLAR_ASSERT(count < capacity);
    return CELLAR_OK;
}

/* A family's name with a NUL, which the row's cells before may have, too; NULL: not there yet. */
static const char *family_find(const struct cellar_import_bulk *bulk, struct cellar_slice name)
{
    CELLAR_ASSERT(name.bytes > 0);
    for (size_t i = 0; i < bulk->families.bytes;) {
        const char *known = (const char *)bulk->families.data + i;
        if (cellar_slice_equal(cellar_slice_text(known), name)) {
            return known;
        }
        i += strlen(known) + 1;
    }
    return NULL;
}

/* The next cell of the row's records; false behind the last. */
static bool mutation_next(struct cellar_cursor *from, struct cellar_mutation *mutation)
{
    struct cellar_error error;
    if (from->at == from->end) {
        return false;
    }
    enum cellar_status status = cellar_mutation_decode(from, 0, mutation, &error);
    CELLAR_ASSERT(status == CELLAR_OK && mutation->kind == CELLAR_MUTATION_SET); /* our own */
    return true;
}

/* Gathers the names of families first, as their buffer may move. */
static enum cellar_status families_gather(struct cellar_import_bulk *bulk)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&bulk->bodies));
    struct cellar_mutation mutation;
    cellar_buffer_clear(&bulk->families);
    while (mutation_next(&from, &mutation)) {
        if (family_find(bulk, mutation.family) == NULL) {
            CELLAR_TRY(
                cellar_buffer_append(&bulk->families, mutation.family.data, mutation.family.bytes));
            CELLAR_TRY(cellar_buffer_append(&bulk->families, "", 1));
        }
    }
    CELLAR_ASSERT(bulk->families.bytes > 0);
    return CELLAR_OK;
}

/* Takes the cells of all records of the row apart. */
static enum cellar_status cells_gather(struct cellar_import_bulk *bulk, size_t *count)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&bulk->bodies));
    struct cellar_mutation mutation;
    *count = 0;
    CELLAR_TRY(families_gather(bulk));
    while (mutation_next(&from, &mutation)) {
        CELLAR_TRY(cells_reserve(bulk, *count));
        bulk->cells[(*count)++] =
            (struct cellar_bulk_cell){.family = family_find(bulk, mutation.family),
                                      .qualifier = cellar_slice_view(mutation.qualifier),
                                      .timestamp_us = mutation.timestamp_us,
                                      .value = cellar_slice_view(mutation.value)};
    }
    CELLAR_ASSERT(*count > 0);
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

/* For qsort(3): of equal cells the later one first, which lies behind the other in the buffer. */
static int gathered_order(const void *a, const void *b)
{
    const struct cellar_bulk_cell *left = a;
    const struct cellar_bulk_cell *right = b;
    int order = cell_order(left, right);
    const uint8_t *left_at = left->value.data;
    const uint8_t *right_at = right->value.data;
    CELLAR_ASSERT(left == right || left_at != right_at);
    return order != 0 ? order : (left_at > right_at ? -1 : 1);
}

/* Lets the row go that was handed over; much memory is not kept for the next one. */
static void row_clear(struct cellar_import_bulk *bulk)
{
    cellar_buffer_clear(&bulk->key);
    cellar_buffer_clear(&bulk->bodies);
    if (bulk->bodies.capacity > MEMORY_KEPT_BYTES_MAX) {
        cellar_buffer_fini(&bulk->bodies);
    }
    if (bulk->cell_capacity * sizeof *bulk->cells > MEMORY_KEPT_BYTES_MAX) {
        cellar_mem_free(bulk->cells);
        bulk->cells = NULL;
        bulk->cell_capacity = 0;
    }
    CELLAR_ASSERT(bulk->bodies.bytes == 0);
}

/* Hands the gathered row to the load; without one, or when its records were refused, nothing. */
static enum cellar_status row_flush(struct cellar_import_bulk *bulk, struct cellar_error *error)
{
    struct cellar_call call = {.timeout_us = bulk->options.timeout_us};
    size_t count = 0;
    size_t kept = 0;
    if (bulk->bodies.bytes == 0) {
        row_clear(bulk);
        return CELLAR_OK;
    }
    if (cells_gather(bulk, &count) != CELLAR_OK) {
        return refuse_memory(error);
    }
    qsort(bulk->cells, count, sizeof *bulk->cells, gathered_order);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || cell_order(&bulk->cells[kept - 1], &bulk->cells[i]) != 0) {
            bulk->cells[kept++] = bulk->cells[i];
        }
    }
    CELLAR_ASSERT(kept > 0);
    if (cellar_bulk_row(bulk->load, cellar_view_of(bulk->key.data, bulk->key.bytes), bulk->cells,
                        kept, &call) != CELLAR_E_OK) {
        return call_failed(&call, error);
    }
    bulk->byte_count += bulk->key.bytes + bulk->bodies.bytes;
    bulk->row_count++;
    row_clear(bulk);
    return CELLAR_OK;
}

/* Adds a record, or a part of one, to the row of its key; a row whose key was another one is whole.
 */
static enum cellar_status row_gather(struct cellar_import_bulk *bulk,
                                     const struct cellar_sorter_row *row,
                                     struct cellar_error *error)
{
    if (!cellar_slice_equal(cellar_slice_of(&bulk->key), row->key)) {
        CELLAR_TRY(row_flush(bulk, error));
        CELLAR_ASSERT(bulk->key.bytes == 0 && row->mark == PART_BEGINS);
        if (cellar_buffer_append(&bulk->key, row->key.data, row->key.bytes) != CELLAR_OK) {
            return refuse_memory(error);
        }
    }
    if (row->mark == PART_VOIDS) {
        bulk->bodies.bytes = bulk->record_at;
        return CELLAR_OK;
    }
    if (row->mark == PART_BEGINS) {
        bulk->record_at = bulk->bodies.bytes;
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

/* The counter of a key's row in one row of counters. */
static uint64_t *sum_of(const struct cellar_import_bulk *bulk, uint64_t hash, unsigned row)
{
    size_t column = (size_t)(hash >> (16 * row)) % SUMS_COLUMNS;
    static_assert(SUMS_ROWS * 16 == 64 && SUMS_COLUMNS == 65536, "as the hash is cut");
    CELLAR_ASSERT(row < SUMS_ROWS);
    return &bulk->sums[(size_t)row * SUMS_COLUMNS + column];
}

/* What the row of a key has so far, or somewhat more. */
static uint64_t row_bytes(const struct cellar_import_bulk *bulk, struct cellar_slice key)
{
    uint64_t hash = cellar_name_hash(key);
    uint64_t sum = UINT64_MAX;
    CELLAR_ASSERT(key.bytes > 0);
    if (bulk->sums == NULL) {
        return cellar_slice_equal(key, cellar_slice_of(&bulk->key)) ? bulk->bodies.bytes : 0;
    }
    for (unsigned row = 0; row < SUMS_ROWS; row++) {
        sum = CELLAR_MIN(sum, *sum_of(bulk, hash, row));
    }
    return sum;
}

/* Counts a part that is taken, or takes back those of a record. */
static void row_bytes_change(const struct cellar_import_bulk *bulk, struct cellar_slice key,
                             int64_t bytes)
{
    uint64_t hash = cellar_name_hash(key);
    for (unsigned row = 0; bulk->sums != NULL && row < SUMS_ROWS; row++) {
        uint64_t *sum = sum_of(bulk, hash, row);
        CELLAR_ASSERT(bytes >= 0 || *sum >= (uint64_t)-bytes);
        *sum += (uint64_t)bytes;
    }
}

/* Hands a part on, or that the parts before it are void. */
static enum cellar_status part_put(struct cellar_import_bulk *bulk,
                                   const struct cellar_record *record, enum part part,
                                   struct cellar_error *error)
{
    const struct cellar_sorter_row row = {cellar_slice_of(&record->key),
                                          part == PART_VOIDS ? cellar_slice_make(NULL, 0)
                                                             : cellar_slice_of(&record->list->body),
                                          part};
    CELLAR_ASSERT(record->list->error.code == CELLAR_OK);
    return bulk->sorter != NULL ? cellar_row_sorter_put(bulk->sorter, &row, error)
                                : row_gather(bulk, &row, error);
}

/* Refuses the record from this part on and takes back what was taken of it. */
static enum cellar_status record_refuse(struct cellar_import_bulk *bulk,
                                        const struct cellar_record *record,
                                        struct cellar_error *error)
{
    bulk->is_refusing = true;
    CELLAR_ASSERT(record->is_rest == (bulk->record_bytes > 0));
    if (!record->is_rest) {
        return CELLAR_OK;
    }
    row_bytes_change(bulk, cellar_slice_of(&record->key), -(int64_t)bulk->record_bytes);
    return part_put(bulk, record, PART_VOIDS, error);
}

enum cellar_status cellar_import_bulk_put(struct cellar_import_bulk *bulk,
                                          const struct cellar_record *record, bool *is_refused,
                                          struct cellar_error *error)
{
    struct cellar_slice key = cellar_slice_of(&record->key);
    uint64_t bytes = cellar_mutations_bytes(record->list);
    CELLAR_ASSERT(record->cell_count > 0 && bytes > 0);
    if (!record->is_rest) {
        bulk->is_refusing = false;
        bulk->record_bytes = 0;
    }
    if (!bulk->is_refusing && row_bytes(bulk, key) + bytes > CELLAR_RECORD_BYTES_MAX) {
        CELLAR_TRY(record_refuse(bulk, record, error));
    }
    *is_refused = bulk->is_refusing;
    if (bulk->is_refusing) {
        (void)cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                               "Its row has more than %u MiB with the lines before it, which no "
                               "bulk load takes; import it without --bulk",
                               CELLAR_RECORD_BYTES_MAX >> 20);
        return CELLAR_OK;
    }
    bulk->record_bytes += bytes;
    row_bytes_change(bulk, key, (int64_t)bytes);
    return part_put(bulk, record, record->is_rest ? PART_GOES_ON : PART_BEGINS, error);
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
