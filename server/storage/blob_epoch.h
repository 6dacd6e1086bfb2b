#ifndef CELLAR_STORAGE_BLOB_EPOCH_H
#define CELLAR_STORAGE_BLOB_EPOCH_H

#include <stdatomic.h>

#include "server/storage/blob_files.h"

/*
 * When a blob's file may go: after the commit that took it off its environment's list, once all
 * snapshots have ended that may have been taken before.
 *
 * The time of a store is cut into epochs by such commits. A view (store.h) holds the epoch that it
 * was made in, and an epoch holds the next one: so the first without a reference is the oldest, and
 * what the commit at its end made superfluous can be seen by nobody then.
 *
 *     epoch 1 --> epoch 2 --> epoch 3 (the store's)
 *      |           |           |
 *     old views   views       views of now
 */

struct store_blob_epoch {
    _Atomic uint32_t references;
    struct store_blob_epoch *newer; /* a reference; NULL: the epoch has not ended */
    struct store_blobs *blobs;      /* NULL: there are none, as in tests of parts */
    struct store_blob_batch *batch; /* what goes with the epoch; its room is made with the epoch */
};

/** An epoch with one reference; NULL without memory. @param blobs borrowed; may be NULL */
struct store_blob_epoch *store_blob_epoch_new(struct store_blobs *blobs) CELLAR_MUST_USE;

/** Adds a reference. Any thread that holds one. */
struct store_blob_epoch *store_blob_epoch_ref(struct store_blob_epoch *epoch);

/** Drops a reference: with the last one, what the epoch's end made superfluous is retired. Blocks
 * not. Takes NULL. Any thread. */
void store_blob_epoch_unref(struct store_blob_epoch *epoch);

/** Ends an epoch: nothing below is named from here on. @param ids 0.. of them, taken; may be NULL
 * without any @param newer  gets a reference more */
void store_blob_epoch_end(struct store_blob_epoch *epoch, struct store_blob_epoch *newer,
                          uint64_t *ids, size_t count);

#endif
