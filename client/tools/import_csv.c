/*
 * CSV records as rows.
 *
 *     lines -> csv_reader -> csv_map -> record
 *
 * Where a record is a cell, the records of one row that follow each other are written together, up
 * to GROUP_CELLS_MAX and GROUP_BYTES_MAX: a row of many cells is a few writes and not thousands.
 * The record that ends such a group was read already; it stays in the reader and begins the next
 * row. So does one with something wrong in it: it is refused alone. The place is always that behind
 * what was given, never behind what was read ahead.
 *
 * A mark of UTF-8 at the input's beginning, which some programs write, is stepped over. One thread
 * at a time.
 */

#include "client/tools/import_csv.h"

#include <inttypes.h>

#include "client/tools/import_source.h"

#define GROUP_CELLS_MAX 1000u
#define GROUP_BYTES_MAX 524288u

void cellar_import_csv_fini(struct cellar_import_csv *csv)
{
    CELLAR_ASSERT(csv != NULL);
    cellar_csv_map_fini(&csv->map);
    cellar_csv_fini(&csv->reader);
    cellar_buffer_fini(&csv->header);
    cellar_buffer_fini(&csv->raw);
}

/* The line without a mark of UTF-8 at the beginning of the input. */
static void mark_cut(struct cellar_line *line)
{
    if (line->number == 1 &&
        cellar_slice_has_prefix(line->text, cellar_slice_text("\xef\xbb\xbf"))) {
        line->text = cellar_slice_make(line->text.data + 3, line->text.bytes - 3);
    }
    CELLAR_ASSERT(line->number > 0);
}

/* Keeps a line of the record. */
static enum cellar_status raw_add(struct cellar_buffer *raw, const struct cellar_line *line,
                                  struct cellar_error *error)
{
    CELLAR_ASSERT(line->number > 0);
    if (!line->is_too_long &&
        (cellar_buffer_append(raw, line->text.data, line->text.bytes) != CELLAR_OK ||
         cellar_buffer_append(raw, "\n", 1) != CELLAR_OK)) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to keep line %" PRIu64,
                                line->number);
    }
    return CELLAR_OK;
}

/* Reads the next record that is not an empty line into the reader; false at the end. */
static enum cellar_status record_read(struct cellar_import_csv *csv,
                                      struct cellar_line_reader *lines, bool *has_record,
                                      struct cellar_error *error)
{
    struct cellar_line line;
    bool is_whole = false;
    bool has_line = true;
    CELLAR_ASSERT(!csv->is_ahead);
    cellar_csv_clear(&csv->reader);
    cellar_buffer_clear(&csv->raw);
    *has_record = false;
    while (!*has_record) {
        CELLAR_TRY(cellar_line_reader_next(lines, &line, &has_line, error));
        if (!has_line) {
            *has_record = cellar_csv_end(&csv->reader);
            return CELLAR_OK;
        }
        if (csv->has_raw) {
            CELLAR_TRY(raw_add(&csv->raw, &line, error));
        }
        mark_cut(&line);
        if (cellar_csv_line(&csv->reader, &line, &is_whole) != CELLAR_OK) {
            return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for line %" PRIu64,
                                    line.number);
        }
        csv->line_last = line.number;
        csv->position = lines->position;
        *has_record =
            is_whole && (csv->reader.field_count > 0 || csv->reader.error.code != CELLAR_OK);
        if (is_whole && !*has_record) { /* an empty line */
            cellar_csv_clear(&csv->reader);
            cellar_buffer_clear(&csv->raw);
        }
    }
    return CELLAR_OK;
}

enum cellar_status cellar_import_csv_begin(struct cellar_import_csv *csv,
                                           const struct cellar_args *args,
                                           struct cellar_line_reader *lines,
                                           struct cellar_error *error)
{
    bool has_record = false;
    bool has_raw = csv->has_raw;
    CELLAR_TRY(cellar_csv_map_options(&csv->map, args, error));
    csv->reader.delimiter = csv->map.delimiter;
    csv->reader.record_bytes_max = CELLAR_IMPORT_LINE_BYTES_MAX;
    if (!csv->map.has_header) {
        return cellar_csv_map_header(&csv->map, NULL, error);
    }
    csv->has_raw = true;
    CELLAR_TRY(record_read(csv, lines, &has_record, error));
    csv->has_raw = has_raw;
    if (!has_record) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "The input is empty; it lacks the header with the columns' names");
    }
    CELLAR_TRY(cellar_csv_map_header(&csv->map, &csv->reader, error));
    csv->header = csv->raw;
    csv->raw = (struct cellar_buffer){0};
    csv->place = (struct cellar_import_place){csv->position, csv->line_last};
    CELLAR_ASSERT(csv->header.bytes > 0);
    return CELLAR_OK;
}

/* Moves the reader's record into the row: its lines, and the place behind it. */
static enum cellar_status record_consume(struct cellar_import_csv *csv,
                                         struct cellar_record *record, struct cellar_error *error)
{
    record->line = record->line == 0 ? csv->reader.line : record->line;
    record->line_last = csv->line_last;
    csv->place = (struct cellar_import_place){csv->position, csv->line_last};
    csv->is_ahead = false;
    CELLAR_ASSERT(record->line > 0 && record->line <= record->line_last);
    return cellar_buffer_append(&record->raw, csv->raw.data, csv->raw.bytes) == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to keep line %" PRIu64,
                                  record->line);
}

/* Adds the reader's record to the row. */
static enum cellar_status record_decode(struct cellar_import_csv *csv,
                                        const struct cellar_csv_defaults *defaults,
                                        struct cellar_record *record, struct cellar_error *error)
{
    if (csv->reader.error.code != CELLAR_OK) {
        return cellar_error_set(error, csv->reader.error.code, "%s", csv->reader.error.text);
    }
    CELLAR_TRY(cellar_csv_map_key(&csv->map, &csv->reader, error));
    CELLAR_ASSERT(csv->map.key.bytes > 0);
    if (record->cell_count > 0 &&
        !cellar_slice_equal(cellar_slice_of(&csv->map.key), cellar_slice_of(&record->key))) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Another row");
    }
    if (record->cell_count == 0) {
        CELLAR_TRY(cellar_record_key(record, cellar_slice_of(&csv->map.key), error));
    }
    return cellar_csv_map_cells(&csv->map, &csv->reader, defaults, record, error);
}

/* True when the row may take another record. */
static bool is_growing(const struct cellar_import_csv *csv, const struct cellar_record *record)
{
    size_t bytes = csv->reader.text.bytes;
    CELLAR_ASSERT(record->cell_count > 0);
    return csv->map.is_cells && record->cell_count < GROUP_CELLS_MAX &&
           cellar_mutations_bytes(record->list) + bytes < GROUP_BYTES_MAX;
}

enum cellar_status cellar_import_csv_next(struct cellar_import_csv *csv,
                                          struct cellar_line_reader *lines,
                                          const struct cellar_csv_defaults *defaults,
                                          struct cellar_record *record, bool *is_refused,
                                          struct cellar_error *error)
{
    bool has_record = csv->is_ahead;
    *is_refused = false;
    CELLAR_ASSERT(record->cell_count == 0 && record->line == 0);
    for (;;) {
        if (!has_record) {
            CELLAR_TRY(record_read(csv, lines, &has_record, error));
        }
        if (!has_record) {
            return CELLAR_OK;
        }
        bool is_first = record->line == 0;
        csv->is_ahead = true;
        if (!is_first && !is_growing(csv, record)) {
            return CELLAR_OK;
        }
        enum cellar_status status = record_decode(csv, defaults, record, error);
        if (status == CELLAR_INVALID_ARGUMENT && !is_first) {
            return CELLAR_OK; /* the row ends before it; the next call says what is wrong with it */
        }
        if (status != CELLAR_OK && status != CELLAR_INVALID_ARGUMENT) {
            return status;
        }
        CELLAR_TRY(record_consume(csv, record, error));
        *is_refused = status != CELLAR_OK;
        if (*is_refused || !csv->map.is_cells) {
            return CELLAR_OK;
        }
        has_record = false;
    }
}
