#ifndef CELLAR_TOOLS_EXPORT_FILE_H
#define CELLAR_TOOLS_EXPORT_FILE_H

#include <stdio.h>

#include "client/tools/packing.h"

/*
 * The output of an export. A file has its name only when it is whole: until then it is NAME.part,
 * which can be gone on with from every place where it was synced.
 */

struct cellar_export_file;

/** What to write to. Borrowed until it is closed. */
struct cellar_export_file_options {
    const char *path; /* "-": `out`; what is there and is no file is written as it is */
    FILE *out;
    enum cellar_packing packing;
    int64_t resume_bytes; /* of an earlier run's part, which is cut to them; < 0: begin anew */
};

/**
 * Opens the output.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT when it cannot be opened; CELLAR_NOT_FOUND when the
 *         part to go on with is not there; CELLAR_FAILED_PRECONDITION when another export writes
 *         it, or it is not what the earlier run left; CELLAR_IO_ERROR, CELLAR_NO_MEMORY
 */
enum cellar_status cellar_export_file_open(const struct cellar_export_file_options *options,
                                           struct cellar_export_file **file,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** True for an output that has a part, and so can be gone on with. */
bool cellar_export_file_is_resumable(const struct cellar_export_file *file);

/** Adds bytes; CELLAR_IO_ERROR, CELLAR_NO_MEMORY. */
enum cellar_status cellar_export_file_write(struct cellar_export_file *file,
                                            struct cellar_slice bytes, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Makes durable what was added, so that the part can be cut there and gone on with.
 *
 * @param bytes  receives the part's length
 * @return CELLAR_OK; CELLAR_IO_ERROR, CELLAR_NO_MEMORY
 */
enum cellar_status cellar_export_file_sync(struct cellar_export_file *file, int64_t *bytes,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** Ends the output: it is whole, durable and has its name. CELLAR_IO_ERROR, CELLAR_NO_MEMORY */
enum cellar_status cellar_export_file_finish(struct cellar_export_file *file,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** Removes the part, if there is one: nothing in it is worth going on with. */
void cellar_export_file_discard(struct cellar_export_file *file);

/** Closes it; what was not finished stays a part. Takes NULL. */
void cellar_export_file_close(struct cellar_export_file *file);

#endif
