/*
 * Blob files, read to their ends.
 *
 * Whoever names a blob says the finding, as he knows the row; what is said here is the file and
 * what is wrong with it. Where an open folder has a list of files (a check of a directory that
 * nobody serves), each one that is named is noted in it, so that the others can be told at the end.
 */
#include "server/storage/check_blobs.h"

#include <inttypes.h>
#include <stdio.h>

void store_check_files_fini(struct store_check_files *files)
{
    CELLAR_ASSERT(files->piece.bytes <= files->piece.capacity);
    cellar_buffer_fini(&files->piece);
}

/* All pieces. */
static enum cellar_status pieces_read(struct store_check_files *files,
                                      struct store_blob_reader *reader,
                                      struct cellar_buffer *content)
{
    CELLAR_ASSERT(reader->at == 0);
    while (!store_blob_is_done(reader)) {
        cellar_buffer_clear(&files->piece);
        CELLAR_TRY(store_blob_next(reader, content != NULL ? content : &files->piece));
    }
    return CELLAR_OK;
}

const char *store_check_files_blob(struct store_check_files *files, const struct store_blob *blob,
                                   struct cellar_buffer *content)
{
    struct store_blob_reader reader;
    if (files->blobs == NULL) {
        return NULL;
    }
    store_blobs_name(files->blobs, blob->id);
    enum cellar_status status = store_blob_open(files->blobs, blob, &reader);
    bool is_open = status == CELLAR_OK;
    uint64_t at = 0;
    if (is_open) {
        status = pieces_read(files, &reader, content);
        at = reader.at;
        store_blob_close(&reader);
    }
    files->byte_count += at;
    CELLAR_ASSERT(at <= blob->bytes);
    if (status == CELLAR_OK) {
        return NULL;
    }
    if (is_open) {
        (void)snprintf(files->why, sizeof files->why,
                       "the value's file blobs/%016" PRIx64 ".blob is damaged at byte %" PRIu64
                       " of the value (%s)",
                       blob->id, at, cellar_status_text(status));
    } else {
        (void)snprintf(files->why, sizeof files->why,
                       "the value's file blobs/%016" PRIx64
                       ".blob is missing, cut off, or not the one that was written (%s)",
                       blob->id, cellar_status_text(status));
    }
    return files->why;
}
