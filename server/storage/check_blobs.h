#ifndef CELLAR_STORAGE_CHECK_BLOBS_H
#define CELLAR_STORAGE_CHECK_BLOBS_H

#include "server/storage/blob_files.h"

/* The part of the check that reads blob files: each piece of each blob that something names. */

#define STORE_CHECK_WHY_BYTES 160u

/** Reads blob files; zero-initialised but for the folder, freed with store_check_files_fini(). */
struct store_check_files {
    struct store_blobs *blobs; /* NULL: no file is looked at */
    struct cellar_buffer piece;
    uint64_t byte_count; /* of values that were read */
    char why[STORE_CHECK_WHY_BYTES];
};

void store_check_files_fini(struct store_check_files *files);

/**
 * Reads a blob that is named.
 *
 * @param content  receives the value, appended; NULL: it is not kept
 * @return NULL when the file is whole; else what is wrong, naming it, until the next call
 */
const char *store_check_files_blob(struct store_check_files *files, const struct store_blob *blob,
                                   struct cellar_buffer *content);

#endif
