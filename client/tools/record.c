/*
 * A row on its way from a file to a batch.
 *
 * Cells are encoded into a mutation list as they are added; a row that grows beyond what one log
 * record can hold is refused while it is read, with the limit and what was seen, so that it cannot
 * take a whole batch down. Two encodings have to fit: the request's, which lies in the list, and
 * that of the server's log, whose cells have a larger header, and which is counted.
 *
 * Records are reused: clearing keeps their memory, though not that of the few rows that are large,
 * since any of thousands of records may come to hold one.
 */

#include "client/tools/record.h"

#include <inttypes.h>

#include "common/cell.h"

#define LOG_RECORD_BYTES 256u      /* around a row, with a margin */
#define LOG_CELL_BYTES 32u         /* around a cell */
#define REQUEST_CELL_BYTES_MAX 40u /* around a cell: a map with five fields */

/* What a cell takes without what is around it. */
static size_t cell_bytes(const struct cellar_record_cell *cell)
{
    CELLAR_ASSERT(cell->family != NULL);
    return strlen(cell->family) + cell->qualifier.bytes + cell->value.bytes;
}

void cellar_record_clear_cells(struct cellar_record *record)
{
    CELLAR_ASSERT(record->value_bytes >= record->key.bytes);
    if (cellar_mutations_bytes(record->list) > CELLAR_RECORD_KEPT_BYTES_MAX) {
        cellar_mutations_free(record->list);
        record->list = NULL;
    }
    cellar_mutations_clear(record->list);
    record->cell_count = 0;
    record->value_bytes = record->key.bytes;
    record->log_bytes = 0;
}

void cellar_record_clear(struct cellar_record *record)
{
    CELLAR_ASSERT(record != NULL);
    cellar_buffer_clear(&record->key);
    cellar_record_clear_cells(record);
    if (record->raw.capacity > CELLAR_RECORD_KEPT_BYTES_MAX) {
        cellar_buffer_fini(&record->raw);
    }
    cellar_buffer_clear(&record->raw);
    record->line = 0;
    record->line_last = 0;
    record->has_more = false;
    record->is_rest = false;
}

void cellar_record_fini(struct cellar_record *record)
{
    CELLAR_ASSERT(record != NULL);
    cellar_buffer_fini(&record->key);
    cellar_buffer_fini(&record->raw);
    cellar_mutations_free(record->list);
    memset(record, 0, sizeof *record);
}

enum cellar_status cellar_record_key(struct cellar_record *record, struct cellar_slice key,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(key.bytes > 0 && key.bytes <= CELLAR_ROW_BYTES_MAX);
    record->value_bytes -= record->key.bytes;
    cellar_buffer_clear(&record->key);
    if (cellar_buffer_append(&record->key, key.data, key.bytes) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a row");
    }
    record->value_bytes += key.bytes;
    return CELLAR_OK;
}

/* Checks that a table has the cell's family and takes its timestamp. */
static enum cellar_status table_check(const struct cellar_table_info *table,
                                      const struct cellar_record_cell *cell,
                                      struct cellar_error *error)
{
    bool is_there = false;
    for (size_t index = 0; index < table->family_count && !is_there; index++) {
        is_there = strcmp(table->families[index].name, cell->family) == 0;
    }
    CELLAR_ASSERT(cell->timestamp_us >= 0);
    if (!is_there) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "The table has no family '%.64s'",
                                cell->family);
    }
    if (table->granularity == CELLAR_TABLE_MILLIS && cell->timestamp_us % 1000 != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "The table wants timestamps in whole milliseconds, multiples of "
                                "1000, but got %" PRId64,
                                cell->timestamp_us);
    }
    return CELLAR_OK;
}

enum cellar_status cellar_record_check(const struct cellar_table_info *table,
                                       const struct cellar_record_cell *cell,
                                       struct cellar_error *error)
{
    CELLAR_ASSERT(cell->family != NULL);
    if (table != NULL) {
        CELLAR_TRY(table_check(table, cell, error));
    }
    if (cell->qualifier.bytes > CELLAR_QUALIFIER_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A qualifier may have at most %u bytes, but got %zu",
                                CELLAR_QUALIFIER_BYTES_MAX, cell->qualifier.bytes);
    }
    if (cell->value.bytes > CELLAR_VALUE_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A value may have at most %u bytes, but got %zu",
                                CELLAR_VALUE_BYTES_MAX, cell->value.bytes);
    }
    return CELLAR_OK;
}

bool cellar_record_has_room(const struct cellar_record *record,
                            const struct cellar_record_cell *cell, size_t bytes_max)
{
    size_t more = cell_bytes(cell);
    uint64_t log_bytes = record->log_bytes + LOG_CELL_BYTES + more;
    uint64_t list_bytes = cellar_mutations_bytes(record->list) + REQUEST_CELL_BYTES_MAX + more;
    CELLAR_ASSERT(bytes_max <= CELLAR_RECORD_SPLIT_BYTES_MAX);
    if (record->cell_count == 0) {
        return true;
    }
    /* The key may still be to come: room for the longest is left. */
    return record->cell_count < CELLAR_RECORD_CELL_COUNT_MAX &&
           CELLAR_MAX(log_bytes, list_bytes) + CELLAR_ROW_BYTES_MAX + LOG_RECORD_BYTES <= bytes_max;
}

enum cellar_status cellar_record_add(struct cellar_record *record,
                                     const struct cellar_record_cell *cell,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(cell->family != NULL);
    if (record->cell_count == CELLAR_RECORD_CELL_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A row may have at most %u cells in one write, but this one has "
                                "more",
                                CELLAR_RECORD_CELL_COUNT_MAX);
    }
    if (record->table != NULL) {
        CELLAR_TRY(cellar_record_check(record->table, cell, error));
    }
    if (record->list == NULL) {
        record->list = cellar_mutations_new();
    }
    cellar_mutations_set_at(
        record->list, cell->family, cellar_view_of(cell->qualifier.data, cell->qualifier.bytes),
        cell->timestamp_us, cellar_view_of(cell->value.data, cell->value.bytes));
    record->cell_count++;
    record->value_bytes += cell->qualifier.bytes + cell->value.bytes;
    record->log_bytes += LOG_CELL_BYTES + cell_bytes(cell);
    if (cellar_mutations_count(record->list) != record->cell_count) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a row");
    }
    size_t list_bytes = cellar_mutations_bytes(record->list);
    size_t bytes = record->key.bytes + CELLAR_MAX(list_bytes, (size_t)record->log_bytes);
    if (bytes > CELLAR_RECORD_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A row may have at most %u bytes in one write, but this one has "
                                "%zu and more",
                                CELLAR_RECORD_BYTES_MAX, bytes);
    }
    return CELLAR_OK;
}
