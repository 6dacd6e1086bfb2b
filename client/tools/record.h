#ifndef CELLAR_TOOLS_RECORD_H
#define CELLAR_TOOLS_RECORD_H

#include <cellar/cellar.h>

#include "common/buf.h"

/* One row to import: its key, its cells and the lines it stood in. */

#define CELLAR_RECORD_BYTES_MAX 4194304u /* encoded; the server's log record bounds it */
#define CELLAR_RECORD_CELL_COUNT_MAX 100000u

/** Zero-initialised is empty; freed with cellar_record_fini(), emptied with cellar_record_clear().
 */
struct cellar_record {
    struct cellar_buffer key;
    struct cellar_mutations *list; /* NULL until the first cell */
    uint64_t line;
    uint64_t line_last;
    uint64_t cell_count;
    uint64_t value_bytes;     /* of key, qualifiers and values: what the user's data is */
    uint64_t sequence;        /* of the importer's window */
    struct cellar_buffer raw; /* the lines as they stand in the input, where rejects are kept */
    /** NULL; else each cell's family and timestamp must suit this table. Borrowed. */
    const struct cellar_table_info *table;
};

/** A cell to add. */
struct cellar_record_cell {
    const char *family; /* NUL-terminated */
    struct cellar_slice qualifier;
    int64_t timestamp_us;
    struct cellar_slice value;
};

/** Empties the record and keeps its memory. */
void cellar_record_clear(struct cellar_record *record);

/** Frees its memory; it is empty and usable again. */
void cellar_record_fini(struct cellar_record *record);

/** Sets the row's key; CELLAR_NO_MEMORY. */
enum cellar_status cellar_record_key(struct cellar_record *record, struct cellar_slice key,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Adds a cell. @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming the limit that the row exceeds,
 * or what does not suit the table; CELLAR_NO_MEMORY */
enum cellar_status cellar_record_add(struct cellar_record *record,
                                     const struct cellar_record_cell *cell,
                                     struct cellar_error *error) CELLAR_MUST_USE;

#endif
