#ifndef CELLAR_TOOLS_RECORD_H
#define CELLAR_TOOLS_RECORD_H

#include <cellar/cellar.h>

#include "common/buf.h"

/* One row to import: its key, its cells and the lines it stood in. */

#define CELLAR_RECORD_BYTES_MAX 267386880u     /* encoded; a request bounds it */
#define CELLAR_RECORD_SPLIT_BYTES_MAX 4194304u /* a row above this is cut where that may be */
#define CELLAR_RECORD_CELL_COUNT_MAX 100000u
#define CELLAR_RECORD_PART_BYTES_MAX 2097152u /* of a row that needs several writes: each one */
#define CELLAR_RECORD_KEPT_BYTES_MAX 65536u   /* of memory that an emptied record keeps, each */

/** Zero-initialised is empty; freed with cellar_record_fini(), emptied with cellar_record_clear().
 */
struct cellar_record {
    struct cellar_buffer key;
    struct cellar_mutations *list; /* NULL until the first cell */
    uint64_t line;
    uint64_t line_last;
    uint64_t cell_count;
    uint64_t value_bytes;     /* of key, qualifiers and values: what the user's data is */
    uint64_t log_bytes;       /* that the server's log needs for it */
    bool has_more;            /* the row goes on in the next record */
    bool is_rest;             /* the row began in a record before */
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

/** Empties the record and keeps its memory, but for what a large row needed. */
void cellar_record_clear(struct cellar_record *record);

/** Frees its memory; it is empty and usable again. */
void cellar_record_fini(struct cellar_record *record);

/** Takes the cells away and keeps the rest. */
void cellar_record_clear_cells(struct cellar_record *record);

/** Sets the row's key, before or behind the cells; CELLAR_NO_MEMORY. */
enum cellar_status cellar_record_key(struct cellar_record *record, struct cellar_slice key,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Adds a cell. @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming the limit that the row exceeds,
 * or what does not suit the table; CELLAR_NO_MEMORY */
enum cellar_status cellar_record_add(struct cellar_record *record,
                                     const struct cellar_record_cell *cell,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** True when a cell can be added so that the row stays within `bytes_max` <=
 * CELLAR_RECORD_SPLIT_BYTES_MAX and the number of cells; and for a first cell, however large. */
bool cellar_record_has_room(const struct cellar_record *record,
                            const struct cellar_record_cell *cell, size_t bytes_max);

/**
 * Checks a cell by itself.
 *
 * @param table  that its family and timestamp must suit; NULL: any
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming the limit that it exceeds, or what does not
 * suit
 */
enum cellar_status cellar_record_check(const struct cellar_table_info *table,
                                       const struct cellar_record_cell *cell,
                                       struct cellar_error *error) CELLAR_MUST_USE;

#endif
