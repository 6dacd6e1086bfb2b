/*
 * The one printer of rows, in four formats:
 *
 *     text    the key on a line of its own, then `family:qualifier  @timestamp  value`, two blanks
 *             in, the columns of a row under each other; everything escaped as escape.h says
 *     jsonl   {"row":..,"cells":[{"family":..,"qualifier":..,"timestamp":US,"value":..}]} a line
 *     json    the same rows as one array
 *     csv     RFC 4180 with a header and a line a cell; bytes escaped as in text, so that a
 *             record is always one line
 *
 * Everything is appended to the caller's buffer; who writes it to a file empties it between rows.
 * No state but the number of rows printed. Pure.
 */

#include "client/tools/row_printer.h"

#include <inttypes.h>

#include "client/tools/escape.h"
#include "client/tools/json_write.h"

#define COLUMN_WIDTH_MAX 40u /* longer names do not push the others to the right */

static const char *const format_names[] = {
    [CELLAR_FORMAT_TEXT] = "text",
    [CELLAR_FORMAT_JSON] = "json",
    [CELLAR_FORMAT_JSONL] = "jsonl",
    [CELLAR_FORMAT_CSV] = "csv",
};

bool cellar_format_decode(const char *name, enum cellar_format *format)
{
    CELLAR_ASSERT(name != NULL);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(format_names); index++) {
        if (strcmp(name, format_names[index]) == 0) {
            *format = (enum cellar_format)index;
            return true;
        }
    }
    return false;
}

/* A view of the public header as the slice that common works with. */
static struct cellar_slice slice_of(struct cellar_view view)
{
    CELLAR_ASSERT(view.data != NULL || view.bytes == 0);
    return cellar_slice_make(view.data, view.bytes);
}

enum cellar_status cellar_csv_put(struct cellar_buffer *to, struct cellar_slice bytes)
{
    struct cellar_buffer text = {0};
    enum cellar_status status = cellar_escape_encode(bytes, CELLAR_ESCAPE_PLAIN, &text);
    bool has_quotes = false;
    /* Line ends are escaped: only the separator and the quote itself ask for quotes. */
    for (size_t index = 0; index < text.bytes && !has_quotes; index++) {
        has_quotes = text.data[index] == ',' || text.data[index] == '"';
    }
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    if (status == CELLAR_OK && !has_quotes) {
        status = cellar_buffer_append(to, text.data, text.bytes);
    } else if (status == CELLAR_OK) {
        status = cellar_buffer_append(to, "\"", 1);
        for (size_t index = 0; status == CELLAR_OK && index < text.bytes; index++) {
            bool is_quote = text.data[index] == '"';
            status = cellar_buffer_append(to, is_quote ? "\"\"" : (const char *)text.data + index,
                                          is_quote ? 2 : 1);
        }
        if (status == CELLAR_OK) {
            status = cellar_buffer_append(to, "\"", 1);
        }
    }
    cellar_buffer_fini(&text);
    return status;
}

/* Appends `family:qualifier`. */
static enum cellar_status column_put(struct cellar_buffer *to, const struct cellar_row_cell *cell)
{
    CELLAR_ASSERT(cell->family.bytes > 0);
    CELLAR_TRY(cellar_escape_encode(slice_of(cell->family), CELLAR_ESCAPE_WORD, to));
    CELLAR_TRY(cellar_buffer_append(to, ":", 1));
    return cellar_escape_encode(slice_of(cell->qualifier), CELLAR_ESCAPE_WORD, to);
}

/* Characters on the screen, nearly: bytes that begin one. */
static size_t text_width(const uint8_t *text, size_t bytes)
{
    size_t width = 0;
    CELLAR_ASSERT(text != NULL || bytes == 0);
    for (size_t index = 0; index < bytes; index++) {
        width += (text[index] & 0xc0) != 0x80 ? 1u : 0u;
    }
    return width;
}

/* The widest column name of a row, at most COLUMN_WIDTH_MAX; uses the buffer's end and leaves it
 * as it was. */
static enum cellar_status columns_measure(struct cellar_buffer *to, const struct cellar_row *row,
                                          size_t *width_max)
{
    size_t before = to->bytes;
    *width_max = 0;
    for (size_t index = 0; index < row->cell_count; index++) {
        CELLAR_TRY(column_put(to, &row->cells[index]));
        size_t width = text_width(to->data + before, to->bytes - before);
        if (width <= COLUMN_WIDTH_MAX) {
            *width_max = CELLAR_MAX(*width_max, width);
        }
        to->bytes = before;
    }
    CELLAR_ASSERT(to->bytes == before);
    return CELLAR_OK;
}

/* Appends a row as text: its key, then a line a cell, the columns padded to one width. */
static enum cellar_status text_row(struct cellar_buffer *to, const struct cellar_row *row)
{
    size_t width_max;
    CELLAR_TRY(cellar_escape_encode(slice_of(row->key), CELLAR_ESCAPE_PLAIN, to));
    CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    CELLAR_TRY(columns_measure(to, row, &width_max));
    for (size_t index = 0; index < row->cell_count; index++) {
        const struct cellar_row_cell *cell = &row->cells[index];
        CELLAR_TRY(cellar_buffer_append(to, "  ", 2));
        size_t before = to->bytes;
        CELLAR_TRY(column_put(to, cell));
        size_t width = text_width(to->data + before, to->bytes - before);
        int padding = width < width_max ? (int)(width_max - width) : 0;
        CELLAR_ASSERT(padding <= (int)COLUMN_WIDTH_MAX);
        CELLAR_TRY(
            cellar_buffer_printf(to, "%*s  @%" PRId64 "  ", padding, "", cell->timestamp_us));
        CELLAR_TRY(cellar_escape_encode(slice_of(cell->value), CELLAR_ESCAPE_PLAIN, to));
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    }
    return CELLAR_OK;
}

/* Appends a cell as a JSON object. */
static enum cellar_status json_cell(struct cellar_buffer *to, const struct cellar_row_cell *cell)
{
    CELLAR_ASSERT(cell->timestamp_us >= 0);
    CELLAR_TRY(cellar_buffer_printf(to, "{\"family\":"));
    CELLAR_TRY(cellar_json_put_bytes(to, slice_of(cell->family)));
    CELLAR_TRY(cellar_buffer_printf(to, ",\"qualifier\":"));
    CELLAR_TRY(cellar_json_put_bytes(to, slice_of(cell->qualifier)));
    CELLAR_TRY(
        cellar_buffer_printf(to, ",\"timestamp\":%" PRId64 ",\"value\":", cell->timestamp_us));
    CELLAR_TRY(cellar_json_put_bytes(to, slice_of(cell->value)));
    return cellar_buffer_append(to, "}", 1);
}

/* Appends a row as a JSON object on one line. */
static enum cellar_status json_row(struct cellar_buffer *to, const struct cellar_row *row)
{
    CELLAR_ASSERT(row->key.bytes > 0);
    CELLAR_TRY(cellar_buffer_printf(to, "{\"row\":"));
    CELLAR_TRY(cellar_json_put_bytes(to, slice_of(row->key)));
    CELLAR_TRY(cellar_buffer_printf(to, ",\"cells\":["));
    for (size_t index = 0; index < row->cell_count; index++) {
        CELLAR_TRY(cellar_buffer_append(to, ",", index == 0 ? 0 : 1));
        CELLAR_TRY(json_cell(to, &row->cells[index]));
    }
    return cellar_buffer_append(to, "]}", 2);
}

/* Appends a row as CSV, a record a cell; a row without cells is seen only among keys. */
static enum cellar_status csv_row(struct cellar_buffer *to, const struct cellar_row *row,
                                  bool is_keys_only)
{
    CELLAR_ASSERT(row->key.bytes > 0);
    if (is_keys_only) {
        CELLAR_TRY(cellar_csv_put(to, slice_of(row->key)));
        return cellar_buffer_append(to, "\n", 1);
    }
    for (size_t index = 0; index < row->cell_count; index++) {
        const struct cellar_row_cell *cell = &row->cells[index];
        CELLAR_TRY(cellar_csv_put(to, slice_of(row->key)));
        CELLAR_TRY(cellar_buffer_append(to, ",", 1));
        CELLAR_TRY(cellar_csv_put(to, slice_of(cell->family)));
        CELLAR_TRY(cellar_buffer_append(to, ",", 1));
        CELLAR_TRY(cellar_csv_put(to, slice_of(cell->qualifier)));
        CELLAR_TRY(cellar_buffer_printf(to, ",%" PRId64 ",", cell->timestamp_us));
        CELLAR_TRY(cellar_csv_put(to, slice_of(cell->value)));
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    }
    return CELLAR_OK;
}

enum cellar_status cellar_row_printer_start(struct cellar_row_printer *printer)
{
    CELLAR_ASSERT(printer->row_count == 0);
    if (printer->format == CELLAR_FORMAT_CSV) {
        return cellar_buffer_printf(
            printer->to, "%s",
            printer->is_keys_only ? "row\n" : "row,family,qualifier,timestamp,value\n");
    }
    return printer->format == CELLAR_FORMAT_JSON ? cellar_buffer_append(printer->to, "[", 1)
                                                 : CELLAR_OK;
}

enum cellar_status cellar_row_printer_row(struct cellar_row_printer *printer,
                                          const struct cellar_row *row)
{
    bool is_first = printer->row_count++ == 0;
    CELLAR_ASSERT(printer->row_count > 0);
    switch (printer->format) {
    case CELLAR_FORMAT_TEXT:
        return text_row(printer->to, row);
    case CELLAR_FORMAT_JSON:
        CELLAR_TRY(cellar_buffer_printf(printer->to, "%s", is_first ? "\n" : ",\n"));
        return json_row(printer->to, row);
    case CELLAR_FORMAT_JSONL:
        CELLAR_TRY(json_row(printer->to, row));
        return cellar_buffer_append(printer->to, "\n", 1);
    case CELLAR_FORMAT_CSV:
        return csv_row(printer->to, row, printer->is_keys_only);
    }
    return CELLAR_OK;
}

enum cellar_status cellar_row_printer_end(struct cellar_row_printer *printer)
{
    CELLAR_ASSERT(printer->to != NULL);
    if (printer->format != CELLAR_FORMAT_JSON) {
        return CELLAR_OK;
    }
    return cellar_buffer_printf(printer->to, "%s", printer->row_count == 0 ? "]\n" : "\n]\n");
}
