/*
 * The spool's pieces as pieces of the row. One that a blob follows is a piece of its own: what
 * stands before the value goes to the sink, and the value's bytes are fetched by the caller, as he
 * has room for them.
 */
#include "server/tablet/row_rest.h"

enum cellar_status tablet_rest_begin(struct tablet_rest *rest, struct tablet_spool *spool,
                                     struct cellar_slice row)
{
    rest->spool = spool;
    CELLAR_ASSERT(rest->blob == NULL && row.bytes > 0);
    if (tablet_spool_is_drained(spool)) {
        return CELLAR_OK;
    }
    cellar_buffer_clear(&rest->row);
    return cellar_buffer_append(&rest->row, row.data, row.bytes);
}

bool tablet_rest_is_left(const struct tablet_rest *rest)
{
    CELLAR_ASSERT(rest->blob == NULL || rest->spool != NULL);
    return rest->blob != NULL || (rest->spool != NULL && !tablet_spool_is_drained(rest->spool));
}

bool tablet_rest_is_in_file(const struct tablet_rest *rest)
{
    CELLAR_ASSERT(rest->blob == NULL || rest->spool != NULL);
    return rest->blob != NULL || (tablet_rest_is_left(rest) && rest->spool->descriptor >= 0);
}

static enum cellar_status blob_begin(struct tablet_rest *rest, const struct tablet_sink *sink)
{
    struct tablet_spool_piece piece;
    CELLAR_TRY(tablet_spool_get(rest->spool, &piece));
    CELLAR_ASSERT(piece.blob != NULL && sink->blob != NULL);
    rest->blob = piece.blob;
    return sink->blob(sink->context, cellar_slice_of(&rest->row),
                      !tablet_spool_is_drained(rest->spool), piece.bytes);
}

/* The last piece was taken: memory and files go. */
static void end_if_drained(const struct tablet_rest *rest)
{
    CELLAR_ASSERT(rest->blob == NULL);
    if (tablet_spool_is_drained(rest->spool)) {
        tablet_spool_reset(rest->spool);
    }
}

enum cellar_status tablet_rest_send(struct tablet_rest *rest, const struct tablet_sink *sink,
                                    size_t bytes_max)
{
    struct tablet_spool *spool = rest->spool;
    size_t bytes = 0;
    CELLAR_ASSERT(rest->blob == NULL && !tablet_spool_is_drained(spool));
    if (tablet_spool_next_is_blob(spool)) {
        return blob_begin(rest, sink);
    }
    CELLAR_TRY(sink->row_begin(sink->context, cellar_slice_of(&rest->row), true));
    do {
        struct tablet_spool_piece piece;
        CELLAR_TRY(tablet_spool_get(spool, &piece));
        CELLAR_TRY(sink->cells(sink->context, piece.bytes));
        bytes += piece.bytes.bytes;
    } while (bytes < bytes_max && !tablet_spool_is_drained(spool) &&
             !tablet_spool_next_is_blob(spool));
    bool has_more = !tablet_spool_is_drained(spool);
    end_if_drained(rest);
    return sink->row_end(sink->context, has_more);
}

enum cellar_status tablet_rest_blob(struct tablet_rest *rest, struct cellar_buffer *to,
                                    bool *is_done)
{
    CELLAR_ASSERT(rest->blob != NULL);
    *is_done = false;
    CELLAR_TRY(store_blob_next(rest->blob, to));
    *is_done = store_blob_is_done(rest->blob);
    if (*is_done) {
        store_blob_close(rest->blob);
        rest->blob = NULL;
        end_if_drained(rest);
    }
    return CELLAR_OK;
}

void tablet_rest_end(struct tablet_rest *rest)
{
    rest->blob = NULL;
    rest->spool = NULL;
    cellar_buffer_fini(&rest->row);
    CELLAR_ASSERT(!tablet_rest_is_left(rest));
}
