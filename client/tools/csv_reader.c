/*
 * A strict reader of RFC 4180.
 *
 *               +------ byte ------+                  +------ byte, line end ---+
 *               v                  |                  v                         |
 *     START --byte--> PLAIN -------+       START -- " --> QUOTED --------------+
 *       ^               |                                  |  ^
 *       |           delimiter                              "  "
 *       +---------------+<------------ delimiter ----- CLOSED-+
 *
 * A record ends with a line outside quotes; a CR before the line end belongs to it there, and to
 * the field inside quotes. A quote inside a plain field, and anything but a delimiter behind a
 * closing quote, is refused: programs disagree on what it means, and a guess would write wrong
 * cells. Every byte but quote, delimiter and line end is data, zeros included.
 *
 * Fields lie one behind the other in one buffer, which is bounded by `record_bytes_max`: a quote
 * that is never closed costs no more than that, and what follows is read as records again. Pure.
 */

#include "client/tools/csv_reader.h"

#include <inttypes.h>

#include "common/mem.h"

struct cellar_csv_field {
    size_t start;
    size_t bytes;
};

enum csv_state { CSV_START, CSV_PLAIN, CSV_QUOTED, CSV_CLOSED };

void cellar_csv_clear(struct cellar_csv_reader *reader)
{
    CELLAR_ASSERT(reader->field_count <= reader->field_capacity);
    cellar_buffer_clear(&reader->text);
    reader->field_count = 0;
    reader->is_open = false;
    reader->line = 0;
    cellar_error_clear(&reader->error);
}

void cellar_csv_fini(struct cellar_csv_reader *reader)
{
    CELLAR_ASSERT(reader->field_count <= reader->field_capacity);
    cellar_buffer_fini(&reader->text);
    cellar_mem_free(reader->fields);
    reader->fields = NULL;
    reader->field_count = 0;
    reader->field_capacity = 0;
}

struct cellar_slice cellar_csv_field_at(const struct cellar_csv_reader *reader, size_t index)
{
    CELLAR_ASSERT(index < reader->field_count);
    const struct cellar_csv_field *field = &reader->fields[index];
    return field->bytes == 0 ? cellar_slice_make(NULL, 0)
                             : cellar_slice_make(reader->text.data + field->start, field->bytes);
}

/* Notes the first thing wrong with the record. */
static void refuse(struct cellar_csv_reader *reader, const char *what)
{
    CELLAR_ASSERT(what != NULL);
    if (reader->error.code == CELLAR_OK) {
        (void)cellar_error_set(&reader->error, CELLAR_INVALID_ARGUMENT, "%s (field %zu)", what,
                               reader->field_count);
    }
}

/* Begins a field. */
static enum cellar_status field_begin(struct cellar_csv_reader *reader)
{
    CELLAR_ASSERT(reader->field_count <= reader->field_capacity);
    if (reader->field_count == CELLAR_CSV_FIELD_COUNT_MAX) {
        refuse(reader, "A record may have at most 100000 fields");
        return CELLAR_OK;
    }
    if (reader->field_count == reader->field_capacity) {
        size_t capacity = CELLAR_MAX(2 * reader->field_capacity, (size_t)16);
        struct cellar_csv_field *fields =
            cellar_mem_realloc(reader->fields, capacity * sizeof *fields);
        if (fields == NULL) {
            return CELLAR_NO_MEMORY;
        }
        reader->fields = fields;
        reader->field_capacity = capacity;
    }
    reader->fields[reader->field_count++] =
        (struct cellar_csv_field){.start = reader->text.bytes, .bytes = 0};
    return CELLAR_OK;
}

/* Appends bytes to the field that has begun. */
static enum cellar_status bytes_add(struct cellar_csv_reader *reader, const uint8_t *data,
                                    size_t bytes)
{
    CELLAR_ASSERT(reader->field_count > 0);
    if (reader->text.bytes + bytes > reader->record_bytes_max) {
        refuse(reader, "The record is too long; a quote may not be closed");
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_buffer_append(&reader->text, data, bytes));
    reader->fields[reader->field_count - 1].bytes += bytes;
    return CELLAR_OK;
}

/* Takes a run of data from `at` on. @return where it ends */
static const uint8_t *run_end(const uint8_t *at, const uint8_t *end, enum csv_state state,
                              uint8_t delimiter)
{
    CELLAR_ASSERT(at < end);
    if (state == CSV_QUOTED) {
        const uint8_t *quote = memchr(at, '"', (size_t)(end - at));
        return quote == NULL ? end : quote;
    }
    while (at < end && *at != delimiter && *at != '"') {
        at++;
    }
    return at;
}

/* Takes one byte that is no plain run; moves the state. */
static enum cellar_status mark_take(struct cellar_csv_reader *reader, uint8_t byte,
                                    enum csv_state *state)
{
    bool is_quote = byte == '"';
    CELLAR_ASSERT(is_quote || byte == reader->delimiter || *state == CSV_CLOSED);
    if (*state == CSV_QUOTED) { /* a quote: the end, or the first of two */
        *state = CSV_CLOSED;
    } else if (*state == CSV_START && is_quote) {
        *state = CSV_QUOTED;
    } else if (*state == CSV_CLOSED && is_quote) {
        *state = CSV_QUOTED;
        return bytes_add(reader, &byte, 1);
    } else if (byte == reader->delimiter) {
        *state = CSV_START;
        return field_begin(reader);
    } else if (*state == CSV_CLOSED) {
        refuse(reader, "Behind a closing quote must come a delimiter");
    } else {
        refuse(reader, "A quote inside a field without quotes; write the field in quotes and each "
                       "quote twice");
    }
    return CELLAR_OK;
}

/* Takes the bytes of a line. */
static enum cellar_status bytes_take(struct cellar_csv_reader *reader, struct cellar_slice text,
                                     enum csv_state *state)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.bytes == 0 ? at : at + text.bytes;
    while (at < end && reader->error.code == CELLAR_OK) {
        const uint8_t *stop =
            *state == CSV_CLOSED ? at : run_end(at, end, *state, reader->delimiter);
        if (stop > at) {
            *state = *state == CSV_START ? CSV_PLAIN : *state;
            CELLAR_TRY(bytes_add(reader, at, (size_t)(stop - at)));
        }
        at = stop;
        if (at < end && reader->error.code == CELLAR_OK) {
            CELLAR_TRY(mark_take(reader, *at, state));
            at++;
        }
    }
    CELLAR_ASSERT(reader->error.code != CELLAR_OK || at == end);
    return CELLAR_OK;
}

/* The text without the CR of its line end; where the quotes are open at its end it has none. */
static struct cellar_slice cr_cut(struct cellar_slice text)
{
    CELLAR_ASSERT(text.bytes == 0 || text.data != NULL);
    if (text.bytes > 0 && text.data[text.bytes - 1] == '\r') {
        text.bytes--;
    }
    return text;
}

enum cellar_status cellar_csv_line(struct cellar_csv_reader *reader, const struct cellar_line *line,
                                   bool *is_whole)
{
    enum csv_state state = reader->is_open ? CSV_QUOTED : CSV_START;
    struct cellar_slice text = cr_cut(line->text);
    CELLAR_ASSERT(reader->is_open || reader->line == 0);
    *is_whole = true;
    if (!reader->is_open) {
        reader->line = line->number;
        if (line->is_too_long) {
            refuse(reader, "The line is too long");
        } else if (text.bytes == 0) {
            return CELLAR_OK;
        } else {
            CELLAR_TRY(field_begin(reader));
        }
    } else if (line->is_too_long) {
        refuse(reader, "The record is too long; a quote may not be closed");
    }
    CELLAR_TRY(bytes_take(reader, text, &state));
    reader->is_open = state == CSV_QUOTED && reader->error.code == CELLAR_OK;
    if (reader->is_open) {
        /* The line end is data: the CR that was cut, and the LF. */
        CELLAR_TRY(bytes_add(reader, (const uint8_t *)"\r", line->text.bytes - text.bytes));
        CELLAR_TRY(bytes_add(reader, (const uint8_t *)"\n", line->has_newline ? 1 : 0));
        reader->is_open = reader->error.code == CELLAR_OK;
    }
    *is_whole = !reader->is_open;
    return CELLAR_OK;
}

bool cellar_csv_end(struct cellar_csv_reader *reader)
{
    if (!reader->is_open) {
        return false;
    }
    CELLAR_ASSERT(reader->line > 0);
    refuse(reader, "A quote is not closed before the input ends");
    reader->is_open = false;
    return true;
}
