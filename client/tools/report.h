#ifndef CELLAR_TOOLS_REPORT_H
#define CELLAR_TOOLS_REPORT_H

#include "client/tools/tool.h"

/* A few named figures for programs: one JSON object, or a CSV header and a record. */

enum cellar_report_kind {
    CELLAR_REPORT_NUMBER,
    CELLAR_REPORT_BOOL,   /* true where the number is not 0 */
    CELLAR_REPORT_MICROS, /* shown as seconds, to the millisecond */
    CELLAR_REPORT_BYTES   /* a key or a name */
};

/** One figure. */
struct cellar_report_field {
    const char *name; /* a plain word: it is not escaped */
    enum cellar_report_kind kind;
    uint64_t number;
    struct cellar_slice bytes; /* of CELLAR_REPORT_BYTES */
};

/**
 * Appends fields in their order, with a line end. Bytes are shown as those of rows are: as
 * {"b64":".."} in JSON where they are not UTF-8, as \xNN in CSV.
 *
 * @param format  any but CELLAR_FORMAT_TEXT, which each command says in its own words
 * @param fields  `count` >= 1 of them
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_report_put(enum cellar_format format,
                                     const struct cellar_report_field *fields, size_t count,
                                     struct cellar_buffer *to) CELLAR_MUST_USE;

/** Prints fields to the tool's output, as cellar_report_put(). @return CELLAR_OK; CELLAR_NO_MEMORY;
 * CELLAR_IO_ERROR */
enum cellar_status cellar_report_print(struct cellar_tool *tool, enum cellar_format format,
                                       const struct cellar_report_field *fields, size_t count,
                                       struct cellar_error *error) CELLAR_MUST_USE;

#endif
