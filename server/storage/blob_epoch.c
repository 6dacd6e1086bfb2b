/*
 * Epochs: the order in which blobs may go.
 *
 * All memory that an end needs is made with the epoch, so that nothing can fail once the commit is
 * durable. References are counted without a lock; who drops the last one may be a reader on a loop,
 * so files are not removed here but handed to the folder, which a keeper clears.
 */
#include "server/storage/blob_epoch.h"

#include "common/mem.h"

struct store_blob_epoch *store_blob_epoch_new(struct store_blobs *blobs)
{
    struct store_blob_epoch *epoch = cellar_mem_zalloc(1, sizeof *epoch);
    if (epoch == NULL) {
        return NULL;
    }
    epoch->batch = cellar_mem_zalloc(1, sizeof *epoch->batch);
    if (epoch->batch == NULL) {
        cellar_mem_free(epoch);
        return NULL;
    }
    epoch->blobs = blobs;
    atomic_store(&epoch->references, 1);
    CELLAR_ASSERT(epoch->newer == NULL);
    return epoch;
}

/* Relaxed: who adds a reference holds one already. */
struct store_blob_epoch *store_blob_epoch_ref(struct store_blob_epoch *epoch)
{
    uint32_t before = atomic_fetch_add_explicit(&epoch->references, 1, memory_order_relaxed);
    CELLAR_ASSERT(before > 0);
    return epoch;
}

static void batch_free(struct store_blob_batch *batch)
{
    CELLAR_ASSERT(batch != NULL);
    cellar_mem_free(batch->ids);
    cellar_mem_free(batch);
}

/* In a loop, not by recursion: a long read may have held many epochs back. */
void store_blob_epoch_unref(struct store_blob_epoch *epoch)
{
    while (epoch != NULL) {
        uint32_t before = atomic_fetch_sub_explicit(&epoch->references, 1, memory_order_acq_rel);
        CELLAR_ASSERT(before > 0);
        if (before > 1) {
            return;
        }
        struct store_blob_epoch *newer = epoch->newer;
        if (epoch->blobs != NULL && epoch->batch->count > 0) {
            store_blobs_retire(epoch->blobs, epoch->batch);
        } else {
            batch_free(epoch->batch);
        }
        cellar_mem_free(epoch);
        epoch = newer;
    }
}

void store_blob_epoch_end(struct store_blob_epoch *epoch, struct store_blob_epoch *newer,
                          uint64_t *ids, size_t count)
{
    CELLAR_ASSERT(epoch->newer == NULL && epoch != newer);
    CELLAR_ASSERT(count == 0 || ids != NULL);
    epoch->newer = store_blob_epoch_ref(newer);
    epoch->batch->ids = ids;
    epoch->batch->count = count;
}
