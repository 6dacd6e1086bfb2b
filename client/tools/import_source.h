#ifndef CELLAR_TOOLS_IMPORT_SOURCE_H
#define CELLAR_TOOLS_IMPORT_SOURCE_H

#include "client/tools/args.h"
#include "client/tools/import_input.h"
#include "client/tools/import_window.h"
#include "client/tools/record.h"

/* The rows of an input, whatever its format. */

#define CELLAR_IMPORT_LINE_BYTES_MAX 33554432u      /* of a line, and of a CSV record */
#define CELLAR_IMPORT_ROW_LINE_BYTES_MAX 268435456u /* of a line of jsonl, which is a whole row */

enum cellar_import_format {
    CELLAR_IMPORT_JSONL,
    CELLAR_IMPORT_DEB822,
    CELLAR_IMPORT_CSV,
};

/** What the rows are to become. Borrowed as long as the source is used. */
struct cellar_source_options {
    enum cellar_import_format format;
    const char *family;                    /* of cells that name none; NULL: there must be none */
    const char *dependency_family;         /* of deb822 */
    int64_t timestamp_us;                  /* of cells that have none */
    const struct cellar_args *args;        /* the options of CSV; NULL for other formats */
    bool has_raw;                          /* records keep their lines */
    bool is_checked;                       /* every cell against the table, else rows in parts */
    const struct cellar_table_info *table; /* NULL: any */
};

enum cellar_source_outcome {
    CELLAR_SOURCE_ROW,     /* the record holds one */
    CELLAR_SOURCE_REFUSED, /* the lines of the record are no row; the error says why */
    CELLAR_SOURCE_END
};

struct cellar_import_source;

/**
 * Makes a source, which reads the header if there is one.
 *
 * @param input  borrowed as long as the source is used
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT where the header or the options of CSV do not fit; the
 *         failure of the input; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_import_source_open(const struct cellar_source_options *options,
                                             struct cellar_import_input *input,
                                             struct cellar_import_source **source,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Reads the next row, or the next part of one that is too large for one write: record->has_more.
 * A row is checked as a whole before its first part is given.
 *
 * @param record   empty before
 * @param outcome  receives what came
 * @return CELLAR_OK; the failure of the input; CELLAR_RESOURCE_EXHAUSTED, CELLAR_NO_MEMORY
 */
enum cellar_status cellar_import_source_next(struct cellar_import_source *source,
                                             struct cellar_record *record,
                                             enum cellar_source_outcome *outcome,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** The lines of the header, which rejects begin with; empty where there is none. */
struct cellar_slice cellar_import_source_header(const struct cellar_import_source *source);

/** The place behind the last row, refused or not; before it while more of it is to come. */
struct cellar_import_place cellar_import_source_place(const struct cellar_import_source *source);

/**
 * Goes on at a place that an earlier source of the same input and options told.
 *
 * @return CELLAR_OK; as cellar_import_source_next(); CELLAR_FAILED_PRECONDITION when it is not
 * there
 */
enum cellar_status cellar_import_source_skip(struct cellar_import_source *source,
                                             struct cellar_import_place place,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** Closes it; takes NULL. */
void cellar_import_source_close(struct cellar_import_source *source);

#endif
