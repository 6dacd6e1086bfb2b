#ifndef CELLAR_TOOLS_IMPORT_REJECTS_H
#define CELLAR_TOOLS_IMPORT_REJECTS_H

#include <stdio.h>

#include "common/buf.h"

/* The file that takes the lines which an import refused, as they stand in its input. */

/** Zero-initialised takes nothing. */
struct cellar_import_rejects {
    const char *path; /* borrowed */
    FILE *file;       /* NULL: nothing is kept */
    int64_t bytes;    /* written so far */
};

/** What must not be the file of rejects: the input, or -1. And where an earlier run left off. */
struct cellar_import_rejects_terms {
    int input_fd;
    int64_t bytes; /* of an earlier run, kept; 0: begin anew */
};

/**
 * Opens the file, empty or cut to what an earlier run had settled.
 *
 * @param path  NULL: nothing is kept
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT when it cannot be opened or is the input;
 *         CELLAR_FAILED_PRECONDITION when it is shorter than the earlier run left it
 */
enum cellar_status cellar_import_rejects_open(struct cellar_import_rejects *rejects,
                                              const char *path,
                                              struct cellar_import_rejects_terms terms,
                                              struct cellar_error *error) CELLAR_MUST_USE;

/** Adds lines; CELLAR_IO_ERROR. */
enum cellar_status cellar_import_rejects_write(struct cellar_import_rejects *rejects,
                                               struct cellar_slice lines,
                                               struct cellar_error *error) CELLAR_MUST_USE;

/** Makes durable what was written; CELLAR_IO_ERROR. */
enum cellar_status cellar_import_rejects_sync(struct cellar_import_rejects *rejects,
                                              struct cellar_error *error) CELLAR_MUST_USE;

/** Closes it. */
void cellar_import_rejects_close(struct cellar_import_rejects *rejects);

#endif
