#ifndef CELLAR_TOOLS_JSONL_H
#define CELLAR_TOOLS_JSONL_H

#include "client/tools/json.h"
#include "client/tools/record.h"
#include "common/mem.h"

/* One line of JSON lines as a row, in several records when it is too large for one write. */

/** What a line may leave out, and what the cells of a row in parts must suit. */
struct cellar_jsonl_defaults {
    const char *family;                    /* NULL: every cell must name one */
    int64_t timestamp_us;                  /* of cells without one */
    const struct cellar_table_info *table; /* NULL: any */
};

/** A row whose cells do not fit one write; zero-initialised is before the first. Fields belong to
 * the .c, but for the first. */
struct cellar_jsonl_rest {
    bool has_more;                 /* there are cells that were not given yet */
    struct cellar_json_walk cells; /* where they begin; borrows the line and the arena */
    struct cellar_buffer key;
};

/**
 * Reads {"row":..,"cells":[{"family":..,"qualifier":..,"timestamp":US,"value":..}, ..]}; keys and
 * values are strings, or {"b64":".."}; `family` and `timestamp` may be absent or null.
 *
 * The whole line is checked, and a row in parts against the table as well, before the first record
 * is given. Memory besides the record is that of one cell, whatever the line's length.
 *
 * @param arena   for one cell at a time; reset by the caller afterwards
 * @param record  empty before; on failure to be cleared. Its has_more says whether to go on with
 *                cellar_jsonl_rest_decode()
 * @param rest    nothing left before
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what is wrong; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_jsonl_decode(struct cellar_slice line,
                                       const struct cellar_jsonl_defaults *defaults,
                                       struct cellar_arena *arena, struct cellar_record *record,
                                       struct cellar_jsonl_rest *rest, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Reads the next cells of a row in parts, up to CELLAR_RECORD_PART_BYTES_MAX.
 *
 * @param rest      with more; its line is unchanged since cellar_jsonl_decode()
 * @param defaults  as there
 * @param record    as there
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_jsonl_rest_decode(struct cellar_jsonl_rest *rest,
                                            const struct cellar_jsonl_defaults *defaults,
                                            struct cellar_record *record,
                                            struct cellar_error *error) CELLAR_MUST_USE;

/** Frees what it holds; nothing is left. */
void cellar_jsonl_rest_fini(struct cellar_jsonl_rest *rest);

#endif
