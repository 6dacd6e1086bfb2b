#ifndef CELLAR_TOOLS_CSV_VALUE_H
#define CELLAR_TOOLS_CSV_VALUE_H

#include "common/buf.h"

/* What the text of a CSV field stands for. */

enum cellar_csv_type {
    CELLAR_CSV_TEXT,    /* its bytes, as they are */
    CELLAR_CSV_INT64,   /* a decimal number as 8 bytes, big-endian */
    CELLAR_CSV_FLOAT64, /* a number as the 8 bytes of an IEEE double, big-endian */
    CELLAR_CSV_BASE64,
    CELLAR_CSV_HEX,
    CELLAR_CSV_JSON,    /* its bytes, which must be one JSON document */
    CELLAR_CSV_ESCAPED, /* \xNN is a byte, as in text output */
};

/** The names of all types, for help and errors. */
#define CELLAR_CSV_TYPE_NAMES "text, int64, float64, base64, hex, json or escaped"

/** Finds a type by its name; false for a name that is none. */
bool cellar_csv_type_decode(struct cellar_slice name, enum cellar_csv_type *type);

/**
 * Appends the bytes that `text` stands for.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT saying what was wanted; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_csv_value_decode(struct cellar_slice text, enum cellar_csv_type type,
                                           struct cellar_buffer *to, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Reads a whole decimal number of 64 bits with an optional sign; false for anything else. */
bool cellar_csv_integer(struct cellar_slice text, int64_t *number);

#endif
