#ifndef CELLAR_TOOLS_PROGRESS_FILE_H
#define CELLAR_TOOLS_PROGRESS_FILE_H

#include "common/buf.h"

/*
 * What a long command has done so far, kept in a small file so that the same command can go on
 * after it was stopped: names and values, a line each.
 */

#define CELLAR_PROGRESS_BYTES_MAX 1048576u

/** Lines `name value`, values escaped; zero-initialised is empty. Freed with
 * cellar_progress_fini(). */
struct cellar_progress {
    struct cellar_buffer lines;
};

/** Adds a line; the value may be any bytes. CELLAR_NO_MEMORY. */
enum cellar_status cellar_progress_put(struct cellar_progress *progress, const char *name,
                                       struct cellar_slice value) CELLAR_MUST_USE;

/** Adds a line with a number; CELLAR_NO_MEMORY. */
enum cellar_status cellar_progress_put_number(struct cellar_progress *progress, const char *name,
                                              int64_t number) CELLAR_MUST_USE;

/** Appends the value of a line; false when there is none or no memory. */
bool cellar_progress_get(const struct cellar_progress *progress, const char *name,
                         struct cellar_buffer *value);

/** Reads the number of a line, which is at least `least`; false when there is no such line. */
bool cellar_progress_get_number(const struct cellar_progress *progress, const char *name,
                                int64_t least, int64_t *number);

/** A progress file: where it is, and of what kind of work, such as "import". Borrowed texts. */
struct cellar_progress_file {
    const char *path;
    const char *kind;
};

/**
 * Replaces the file: written beside it, synced, renamed, the folder synced.
 *
 * @return CELLAR_OK; CELLAR_IO_ERROR naming the file: it is as it was; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_progress_save(const struct cellar_progress *progress,
                                        const struct cellar_progress_file *file,
                                        struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Reads the file.
 *
 * @param progress  empty before
 * @param is_there  receives false, and nothing else happens, when there is no such file
 * @return CELLAR_OK; CELLAR_FAILED_PRECONDITION when it is damaged or something else;
 *         CELLAR_IO_ERROR; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_progress_load(const struct cellar_progress_file *file,
                                        struct cellar_progress *progress, bool *is_there,
                                        struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Checks that every line of `identity` stands in what was read from `file` with the same value.
 *
 * @return CELLAR_OK; CELLAR_FAILED_PRECONDITION naming the first that differs
 */
enum cellar_status cellar_progress_check(const struct cellar_progress *progress,
                                         const struct cellar_progress *identity,
                                         const struct cellar_progress_file *file,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/** Removes the file, if it is there. */
void cellar_progress_remove(const struct cellar_progress_file *file);

/** Frees the lines; it is empty and usable again. */
void cellar_progress_fini(struct cellar_progress *progress);

/** Makes a rename or a new name in the folder of `path` durable, as far as the system can. */
void cellar_progress_sync_folder(const char *path);

#endif
