#ifndef CELLAR_TABLET_ROW_REST_H
#define CELLAR_TABLET_ROW_REST_H

#include "server/tablet/row_spool.h"
#include "server/tablet/sink.h"

/*
 * The rest of a row that its chunk did not take, from the spool to the sink: pieces of the row with
 * arrays of cells, and one for each blob, whose bytes the caller takes before he goes on.
 */

/** Zero-initialised, there is none. */
struct tablet_rest {
    struct tablet_spool *spool;     /* borrowed; NULL until the first row */
    struct cellar_buffer row;       /* the row's key */
    struct store_blob_reader *blob; /* that is being sent, the spool's; NULL: none */
};

/** Takes over a row's spool, if anything is in it. NO_MEMORY. */
enum cellar_status tablet_rest_begin(struct tablet_rest *rest, struct tablet_spool *spool,
                                     struct cellar_slice row) CELLAR_MUST_USE;

/** Whether something is left. */
bool tablet_rest_is_left(const struct tablet_rest *rest);

/** Whether what is left comes from a file. */
bool tablet_rest_is_in_file(const struct tablet_rest *rest);

/**
 * Sends the next piece of the row, up to a blob or about `bytes_max` bytes. Something is left, but
 * no blob is being sent.
 *
 * @return CELLAR_OK; IO_ERROR, NO_MEMORY, or what the sink returned
 */
enum cellar_status tablet_rest_send(struct tablet_rest *rest, const struct tablet_sink *sink,
                                    size_t bytes_max) CELLAR_MUST_USE;

/** Appends the next bytes of the blob that is being sent. @return as store_blob_next() */
enum cellar_status tablet_rest_blob(struct tablet_rest *rest, struct cellar_buffer *to,
                                    bool *is_done) CELLAR_MUST_USE;

/** Forgets what is left; usable again. The spool is its owner's to empty. */
void tablet_rest_end(struct tablet_rest *rest);

#endif
