/*
 * Rows out of lines.
 *
 *     lines -> jsonl.c  -> record      a row a line; a row that is too large for one write is a few
 *                                      records, and its line stays in memory until the last of them
 *     lines -> deb822.c -> stanza -> record      a row a stanza, whose key is its Package field
 *     lines -> import_csv.c -> record            a row a CSV record, or one for a few of them
 *
 * In a stanza each field becomes a cell whose qualifier is the field's name; the fields that name
 * other packages go to the dependency family, all others (Package among them) to the other one. Its
 * timestamp is the options', plus one millisecond for each earlier stanza of the same package: so a
 * second import of the same file writes the same cells again and changes nothing. The count of
 * earlier stanzas is why going on in the middle of control data reads it from its beginning; the
 * other formats skip.
 *
 * What is wrong with a row is no failure here: the outcome says so, and the record holds the lines
 * it came from. One thread at a time; the record is the caller's.
 */

#include "client/tools/import_source.h"

#include <inttypes.h>
#include <strings.h>

#include "client/tools/deb822.h"
#include "client/tools/import_csv.h"
#include "client/tools/jsonl.h"
#include "client/tools/line_reader.h"
#include "client/tools/name_count.h"
#include "common/cell.h"
#include "common/mem.h"

static const char line_too_long[] = "The line is longer than 32 MiB";
static const char row_line_too_long[] =
    "The line is longer than 256 MiB; `cellar export` writes such a row as several lines";
static_assert(CELLAR_IMPORT_LINE_BYTES_MAX == 32 * 1024 * 1024, "as the text says");
static_assert(CELLAR_IMPORT_ROW_LINE_BYTES_MAX == 256 * 1024 * 1024, "as the text says");
static_assert(CELLAR_IMPORT_ROW_LINE_BYTES_MAX == CELLAR_REQUEST_BYTES_MAX, "as a request");

struct cellar_import_source {
    struct cellar_source_options options;
    struct cellar_line_reader lines;
    struct cellar_import_place place;
    struct cellar_arena arena;
    struct cellar_jsonl_rest rest; /* of a row that is given in parts */
    struct cellar_line rest_line;  /* the line it stands in */
    struct cellar_deb822 stanza;
    struct cellar_name_count packages;
    struct cellar_import_csv csv;
};

/* Appends a line to those of the record; one that was too long for memory is not there. */
static enum cellar_status raw_add(const struct cellar_import_source *source,
                                  const struct cellar_line *line, struct cellar_record *record,
                                  struct cellar_error *error)
{
    record->line_last = line->number;
    CELLAR_ASSERT(record->line <= record->line_last);
    if (!source->options.has_raw || line->is_too_long) {
        return CELLAR_OK;
    }
    if (cellar_buffer_append(&record->raw, line->text.data, line->text.bytes) != CELLAR_OK ||
        cellar_buffer_append(&record->raw, "\n", 1) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to keep line %" PRIu64,
                                line->number);
    }
    return CELLAR_OK;
}

/* What came of an attempt to make a row: a row, a refusal, or a failure of the import. */
static enum cellar_status outcome_of(enum cellar_status status, enum cellar_source_outcome *outcome)
{
    CELLAR_ASSERT(outcome != NULL);
    *outcome = status == CELLAR_OK ? CELLAR_SOURCE_ROW : CELLAR_SOURCE_REFUSED;
    return status == CELLAR_INVALID_ARGUMENT ? CELLAR_OK : status;
}

/* ---- jsonl --------------------------------------------------------------------------------- */

/* What may stand around a value; a line that was written on Windows ends with a CR. */
static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* True for a line with nothing in it. */
static bool is_empty(struct cellar_slice text)
{
    size_t blanks = 0;
    while (blanks < text.bytes && is_blank(text.data[blanks])) {
        blanks++;
    }
    CELLAR_ASSERT(blanks <= text.bytes);
    return blanks == text.bytes;
}

/* Makes a record of one line, or of the first part of it. */
static enum cellar_status jsonl_line(struct cellar_import_source *source,
                                     const struct cellar_jsonl_defaults *defaults,
                                     const struct cellar_line *line, struct cellar_record *record,
                                     struct cellar_error *error)
{
    if (line->is_too_long) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "%s", row_line_too_long);
    }
    CELLAR_ASSERT(record->cell_count == 0);
    enum cellar_status status =
        cellar_jsonl_decode(line->text, defaults, &source->arena, record, &source->rest, error);
    cellar_arena_reset(&source->arena);
    return status;
}

/* Reads lines up to one that is not empty; false at the end. */
static enum cellar_status jsonl_line_find(struct cellar_import_source *source, bool *has_line,
                                          struct cellar_error *error)
{
    struct cellar_line *line = &source->rest_line;
    for (;;) {
        CELLAR_TRY(cellar_line_reader_next(&source->lines, line, has_line, error));
        if (!*has_line || line->is_too_long || !is_empty(line->text)) {
            return CELLAR_OK;
        }
        CELLAR_ASSERT(line->number > 0);
        source->place = (struct cellar_import_place){source->lines.position, line->number};
    }
}

/* The next line that is not empty, as a row, or the next part of such a row. */
static enum cellar_status jsonl_next(struct cellar_import_source *source,
                                     struct cellar_record *record,
                                     enum cellar_source_outcome *outcome,
                                     struct cellar_error *error)
{
    const struct cellar_jsonl_defaults defaults = {.family = source->options.family,
                                                   .timestamp_us = source->options.timestamp_us,
                                                   .table = source->options.table};
    const struct cellar_line *line = &source->rest_line;
    bool is_rest = source->rest.has_more;
    bool has_line = true;
    if (!is_rest) {
        CELLAR_TRY(jsonl_line_find(source, &has_line, error));
    }
    if (!has_line) {
        *outcome = CELLAR_SOURCE_END;
        return CELLAR_OK;
    }
    enum cellar_status status =
        is_rest ? cellar_jsonl_rest_decode(&source->rest, &defaults, record, error)
                : jsonl_line(source, &defaults, line, record, error);
    CELLAR_ASSERT(status != CELLAR_INVALID_ARGUMENT || !is_rest); /* it was checked as a whole */
    record->is_rest = is_rest;
    record->value_bytes -= is_rest ? record->key.bytes : 0; /* the first part counted it */
    record->line = line->number;
    record->line_last = line->number;
    if (!record->has_more) {
        source->place = (struct cellar_import_place){source->lines.position, line->number};
        CELLAR_TRY(raw_add(source, line, record, error));
    }
    return outcome_of(status, outcome);
}

/* ---- deb822 -------------------------------------------------------------------------------- */

/* True for the fields whose values name other packages. */
static bool is_dependency(struct cellar_slice name)
{
    static const char *const names[] = {"Depends",   "Pre-Depends", "Recommends",
                                        "Suggests",  "Enhances",    "Breaks",
                                        "Conflicts", "Replaces",    "Provides"};
    CELLAR_ASSERT(name.bytes > 0);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(names); index++) {
        if (name.bytes == strlen(names[index]) &&
            strncasecmp((const char *)name.data, names[index], name.bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Adds the cells of a stanza without faults. */
static enum cellar_status stanza_record(struct cellar_import_source *source,
                                        struct cellar_slice package, struct cellar_record *record,
                                        struct cellar_error *error)
{
    const struct cellar_source_options *options = &source->options;
    uint64_t earlier_count;
    CELLAR_ASSERT(options->timestamp_us >= 0);
    CELLAR_TRY(cellar_name_count_add(&source->packages, package, &earlier_count, error));
    CELLAR_TRY(cellar_record_key(record, package, error));
    for (size_t index = 0; index < source->stanza.field_count; index++) {
        struct cellar_slice name;
        struct cellar_record_cell cell = {.timestamp_us = options->timestamp_us};
        cellar_deb822_field(&source->stanza, index, &name, &cell.value);
        cell.qualifier = name;
        cell.family = is_dependency(name) ? options->dependency_family : options->family;
        cell.timestamp_us += (int64_t)earlier_count * 1000;
        CELLAR_TRY(cellar_record_add(record, &cell, error));
    }
    return CELLAR_OK;
}

/* The bytes without the blanks at their end. */
static struct cellar_slice trim_end(struct cellar_slice text)
{
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    CELLAR_ASSERT(text.bytes == 0 || text.data != NULL);
    return text;
}

/* Makes a record of a whole stanza. */
static enum cellar_status stanza_finish(struct cellar_import_source *source,
                                        struct cellar_record *record, struct cellar_error *error)
{
    struct cellar_slice package = {NULL, 0};
    CELLAR_ASSERT(source->stanza.line > 0);
    if (source->stanza.error.code != CELLAR_OK) {
        record->line = source->stanza.error_line;
        record->line_last = CELLAR_MAX(record->line, record->line_last);
        return cellar_error_set(error, source->stanza.error.code, "%s", source->stanza.error.text);
    }
    if (!cellar_deb822_find(&source->stanza, "Package", &package)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "The stanza has no field 'Package'");
    }
    package = trim_end(package);
    if (package.bytes == 0 || package.bytes > CELLAR_ROW_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "The field 'Package' must have 1 to %u bytes, but got %zu",
                                CELLAR_ROW_BYTES_MAX, package.bytes);
    }
    return stanza_record(source, package, record, error);
}

/* Gives one line to the stanza. */
static enum cellar_status stanza_line(struct cellar_import_source *source,
                                      const struct cellar_line *line, struct cellar_record *record,
                                      bool *has_ended, struct cellar_error *error)
{
    CELLAR_ASSERT(line->number > 0);
    *has_ended = false;
    if (line->is_too_long) {
        cellar_deb822_refuse(&source->stanza, line->number, line_too_long);
    } else if (cellar_deb822_line(&source->stanza, line->text, line->number, has_ended) !=
               CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a stanza");
    }
    if (source->stanza.line == 0) {
        return CELLAR_OK;
    }
    /* The empty line that ends a stanza is kept with it, but is not where anything is wrong. */
    uint64_t line_last = *has_ended ? record->line_last : line->number;
    enum cellar_status status = raw_add(source, line, record, error);
    record->line_last = line_last;
    return status;
}

/* The next stanza, as a row. */
static enum cellar_status stanza_next(struct cellar_import_source *source,
                                      struct cellar_record *record,
                                      enum cellar_source_outcome *outcome,
                                      struct cellar_error *error)
{
    struct cellar_line line;
    bool has_line = true;
    bool has_ended = false;
    while (has_line && !has_ended) {
        CELLAR_TRY(cellar_line_reader_next(&source->lines, &line, &has_line, error));
        if (has_line) {
            CELLAR_TRY(stanza_line(source, &line, record, &has_ended, error));
            source->place = (struct cellar_import_place){source->lines.position, line.number};
        }
    }
    if (source->stanza.line == 0) {
        *outcome = CELLAR_SOURCE_END;
        return CELLAR_OK;
    }
    record->line = source->stanza.line;
    CELLAR_ASSERT(record->line <= record->line_last);
    enum cellar_status status = outcome_of(stanza_finish(source, record, error), outcome);
    cellar_deb822_clear(&source->stanza);
    return status;
}

/* ---- csv ----------------------------------------------------------------------------------- */

/* The next row of CSV. */
static enum cellar_status csv_next(struct cellar_import_source *source,
                                   struct cellar_record *record,
                                   enum cellar_source_outcome *outcome, struct cellar_error *error)
{
    const struct cellar_csv_defaults defaults = {.timestamp_us = source->options.timestamp_us};
    bool is_refused = false;
    CELLAR_TRY(cellar_import_csv_next(&source->csv, &source->lines, &defaults, record, &is_refused,
                                      error));
    if (record->line == 0) {
        *outcome = CELLAR_SOURCE_END;
        return CELLAR_OK;
    }
    source->place = source->csv.place;
    CELLAR_ASSERT(is_refused || record->cell_count > 0);
    *outcome = is_refused ? CELLAR_SOURCE_REFUSED : CELLAR_SOURCE_ROW;
    return CELLAR_OK;
}

/* ---- any format ---------------------------------------------------------------------------- */

enum cellar_status cellar_import_source_open(const struct cellar_source_options *options,
                                             struct cellar_import_input *input,
                                             struct cellar_import_source **source,
                                             struct cellar_error *error)
{
    CELLAR_ASSERT(options->timestamp_us >= 0);
    struct cellar_import_source *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an import");
    }
    made->options = *options;
    made->lines = (struct cellar_line_reader){.source = {.read = cellar_import_input_read,
                                                         .skip = cellar_import_input_skip,
                                                         .context = input},
                                              .bytes_max = options->format == CELLAR_IMPORT_JSONL
                                                               ? CELLAR_IMPORT_ROW_LINE_BYTES_MAX
                                                               : CELLAR_IMPORT_LINE_BYTES_MAX};
    if (options->format == CELLAR_IMPORT_CSV) {
        made->csv.has_raw = options->has_raw;
        enum cellar_status status =
            cellar_import_csv_begin(&made->csv, options->args, &made->lines, error);
        if (status != CELLAR_OK) {
            cellar_import_source_close(made);
            return status;
        }
        made->place = made->csv.place;
    }
    *source = made;
    return CELLAR_OK;
}

struct cellar_slice cellar_import_source_header(const struct cellar_import_source *source)
{
    CELLAR_ASSERT(source != NULL);
    return cellar_slice_of(&source->csv.header);
}

enum cellar_status cellar_import_source_next(struct cellar_import_source *source,
                                             struct cellar_record *record,
                                             enum cellar_source_outcome *outcome,
                                             struct cellar_error *error)
{
    CELLAR_ASSERT(record->cell_count == 0 && record->raw.bytes == 0);
    record->table = source->options.is_checked ? source->options.table : NULL;
    switch (source->options.format) {
    case CELLAR_IMPORT_JSONL:
        return jsonl_next(source, record, outcome, error);
    case CELLAR_IMPORT_DEB822:
        return stanza_next(source, record, outcome, error);
    case CELLAR_IMPORT_CSV:
        return csv_next(source, record, outcome, error);
    }
    return CELLAR_OK;
}

struct cellar_import_place cellar_import_source_place(const struct cellar_import_source *source)
{
    CELLAR_ASSERT(source != NULL);
    return source->place;
}

/* Reads rows up to a place and drops them. */
static enum cellar_status rows_drop(struct cellar_import_source *source, uint64_t position,
                                    struct cellar_error *error)
{
    struct cellar_record record = {0};
    enum cellar_source_outcome outcome = CELLAR_SOURCE_ROW;
    enum cellar_status status = CELLAR_OK;
    while (status == CELLAR_OK && source->place.position < position &&
           outcome != CELLAR_SOURCE_END) {
        cellar_record_clear(&record);
        status = cellar_import_source_next(source, &record, &outcome, error);
    }
    cellar_record_fini(&record);
    if (status == CELLAR_OK && source->place.position != position) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "No row ends at byte %" PRIu64 ", where the import is to go on",
                                position);
    }
    CELLAR_ASSERT(status != CELLAR_OK || source->place.position == position);
    return status;
}

enum cellar_status cellar_import_source_skip(struct cellar_import_source *source,
                                             struct cellar_import_place place,
                                             struct cellar_error *error)
{
    CELLAR_ASSERT(place.position > 0);
    if (place.position < source->place.position) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "The import cannot go on inside the header");
    }
    if (source->options.format == CELLAR_IMPORT_DEB822) {
        return rows_drop(source, place.position, error);
    }
    CELLAR_TRY(cellar_line_reader_skip(&source->lines, place.position, place.line, error));
    source->place = place;
    return CELLAR_OK;
}

void cellar_import_source_close(struct cellar_import_source *source)
{
    if (source == NULL) {
        return;
    }
    CELLAR_ASSERT(source->lines.bytes_max > 0);
    cellar_line_reader_fini(&source->lines);
    cellar_arena_fini(&source->arena);
    cellar_jsonl_rest_fini(&source->rest);
    cellar_deb822_fini(&source->stanza);
    cellar_name_count_fini(&source->packages);
    cellar_import_csv_fini(&source->csv);
    cellar_mem_free(source);
}
