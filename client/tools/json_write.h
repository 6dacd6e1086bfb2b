#ifndef CELLAR_TOOLS_JSON_WRITE_H
#define CELLAR_TOOLS_JSON_WRITE_H

#include "common/buf.h"

/* Strings and bytes as JSON; all else of it callers print themselves. */

/** Appends a JSON string with its quotes; `text` is UTF-8. CELLAR_NO_MEMORY. */
enum cellar_status cellar_json_put_string(struct cellar_buffer *to, struct cellar_slice text)
    CELLAR_MUST_USE;

/** Appends bytes: a string where they are UTF-8, otherwise {"b64":".."}. CELLAR_NO_MEMORY. */
enum cellar_status cellar_json_put_bytes(struct cellar_buffer *to, struct cellar_slice bytes)
    CELLAR_MUST_USE;

#endif
