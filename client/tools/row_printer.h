#ifndef CELLAR_TOOLS_ROW_PRINTER_H
#define CELLAR_TOOLS_ROW_PRINTER_H

#include <cellar/cellar.h>

#include "common/buf.h"

/* Rows as text, JSON, JSON lines or CSV. */

enum cellar_format {
    CELLAR_FORMAT_TEXT,
    CELLAR_FORMAT_JSON,
    CELLAR_FORMAT_JSONL,
    CELLAR_FORMAT_CSV
};

/** Finds a format by its name; false for a name that is none. */
bool cellar_format_decode(const char *name, enum cellar_format *format);

/** What is being printed, and where to. Fill it and call start, row for each row, end. */
struct cellar_row_printer {
    enum cellar_format format;
    bool is_keys_only;
    struct cellar_buffer *to;
    uint64_t row_count; /* 0 before the first */
};

/** Appends what stands before the rows; CELLAR_NO_MEMORY. */
enum cellar_status cellar_row_printer_start(struct cellar_row_printer *printer) CELLAR_MUST_USE;

/** Appends a row; CELLAR_NO_MEMORY. */
enum cellar_status cellar_row_printer_row(struct cellar_row_printer *printer,
                                          const struct cellar_row *row) CELLAR_MUST_USE;

/** Appends what stands behind the rows; CELLAR_NO_MEMORY. */
enum cellar_status cellar_row_printer_end(struct cellar_row_printer *printer) CELLAR_MUST_USE;

/** Appends bytes as one CSV field, in quotes where it needs them; CELLAR_NO_MEMORY. */
enum cellar_status cellar_csv_put(struct cellar_buffer *to, struct cellar_slice bytes)
    CELLAR_MUST_USE;

#endif
