#ifndef CELLAR_TOOLS_JSONL_H
#define CELLAR_TOOLS_JSONL_H

#include "client/tools/record.h"
#include "common/mem.h"

/* One line of JSON lines as a row. */

/** What a line may leave out. */
struct cellar_jsonl_defaults {
    const char *family;   /* NULL: every cell must name one */
    int64_t timestamp_us; /* of cells without one */
};

/**
 * Reads {"row":..,"cells":[{"family":..,"qualifier":..,"timestamp":US,"value":..}, ..]}; keys and
 * values are strings, or {"b64":".."}; `family` and `timestamp` may be absent or null.
 *
 * @param arena   for the tree; reset by the caller afterwards
 * @param record  empty before; on failure to be cleared
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what is wrong; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_jsonl_decode(struct cellar_slice line,
                                       const struct cellar_jsonl_defaults *defaults,
                                       struct cellar_arena *arena, struct cellar_record *record,
                                       struct cellar_error *error) CELLAR_MUST_USE;

#endif
