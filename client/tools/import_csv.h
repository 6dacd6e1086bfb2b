#ifndef CELLAR_TOOLS_IMPORT_CSV_H
#define CELLAR_TOOLS_IMPORT_CSV_H

#include "client/tools/csv_map.h"
#include "client/tools/import_window.h"

/* Rows of CSV. */

/** Zero-initialised is before cellar_import_csv_begin(); fields belong to the .c, but for the
 * place and the header. */
struct cellar_import_csv {
    struct cellar_csv_map map;
    struct cellar_csv_reader reader;
    bool has_raw;
    struct cellar_buffer header;      /* its lines; empty where there is none */
    struct cellar_buffer raw;         /* lines of the reader's record */
    uint64_t line_last;               /* of the reader's record */
    uint64_t position;                /* behind it */
    bool is_ahead;                    /* the reader's record belongs to the next row */
    struct cellar_import_place place; /* behind the last row given */
};

/**
 * Reads the header and resolves the options.
 *
 * @param args   the options of CSV; borrowed as long as it is used
 * @param lines  before its first line
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT: the options do not fit each other or the header; the
 *         failure of the lines; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_import_csv_begin(struct cellar_import_csv *csv,
                                           const struct cellar_args *args,
                                           struct cellar_line_reader *lines,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Reads the next row: one record, or as many records in a row as are cells of one row.
 *
 * @param record      empty before; at the input's end it stays empty and has line 0
 * @param is_refused  receives whether the record's lines are no row; the error says why
 * @return CELLAR_OK; the failure of the lines; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_import_csv_next(struct cellar_import_csv *csv,
                                          struct cellar_line_reader *lines,
                                          const struct cellar_csv_defaults *defaults,
                                          struct cellar_record *record, bool *is_refused,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** Frees its memory. */
void cellar_import_csv_fini(struct cellar_import_csv *csv);

#endif
