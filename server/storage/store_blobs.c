/*
 * The blobs of a store: what lets them go with a commit, and which ones the store names.
 */
#include "common/mem.h"
#include "server/storage/map_guard.h"
#include "server/storage/store.h"

void store_blobs_use(struct store *store, struct store_blobs *blobs) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(store->blobs == NULL && blobs != NULL);
    store->blobs = blobs;
    store->epoch->blobs = blobs;
}

enum cellar_status store_parting_make(struct store *store, struct store_env_txn *txn,
                                      struct store_parting *parting)
{
    *parting = (struct store_parting){.count = 0};
    CELLAR_TRY(store_env_blobs_gone(txn, &parting->ids, &parting->count));
    if (parting->count > 0) {
        parting->epoch = store_blob_epoch_new(store->blobs);
        parting->view = store_view_new();
        if (parting->epoch == NULL || parting->view == NULL) {
            store_parting_end(store, parting, false);
            return CELLAR_NO_MEMORY;
        }
    }
    CELLAR_ASSERT(parting->count == 0 || parting->ids != NULL);
    return CELLAR_OK;
}

/* A snapshot that was taken before the commit has a view of an older epoch. One that is taken
 * between the commit and this has so, too, and holds the files back for no need. */
void store_parting_end(struct store *store, struct store_parting *parting, bool is_committed)
{
    if (!is_committed || parting->count == 0) {
        store_blob_epoch_unref(parting->epoch);
        store_view_release(parting->view);
        cellar_mem_free(parting->ids);
        *parting = (struct store_parting){.count = 0};
        return;
    }
    cellar_mutex_lock(&store->lock);
    struct store_blob_epoch *ended = store->epoch;
    store->epoch = parting->epoch;
    store_blob_epoch_end(ended, parting->epoch, parting->ids, parting->count);
    for (uint32_t i = 0; i < store->view->memtable_count; i++) {
        store_view_add(parting->view, store->view->memtables[i]);
    }
    struct store_view *old = store_view_put(store, parting->view);
    cellar_mutex_unlock(&store->lock);
    CELLAR_ASSERT(old != parting->view);
    store_view_release(old);
    store_blob_epoch_unref(ended);
}

/* A walk of a list, inside a guard. */
struct list_walk {
    struct store_env_txn *txn;
    store_blob_visit_fn *visit;
    void *context;
};

static enum cellar_status list_walk_run(void *context)
{
    const struct list_walk *walk = context;
    CELLAR_ASSERT(!walk->txn->is_write);
    return store_env_blobs_walk(walk->txn, walk->visit, walk->context);
}

enum cellar_status store_blobs_listed(struct store *store, store_blob_visit_fn *visit,
                                      void *context)
{
    struct store_env_txn *txn = NULL;
    struct store_view *view = store_view_hold(store);
    enum cellar_status status = store_env_read_begin(view->env, &txn);
    if (status == CELLAR_OK) {
        struct list_walk walk = {txn, visit, context};
        status = store_map_guard(list_walk_run, &walk);
        store_env_read_end(txn);
    }
    CELLAR_ASSERT(view->env != NULL);
    store_view_release(view);
    return status;
}

enum cellar_status store_blobs_recorded(struct store *store, store_blob_visit_fn *visit,
                                        void *context)
{
    struct store_view *view = store_view_hold(store);
    enum cellar_status status = CELLAR_OK;
    for (uint32_t i = 0; i < view->memtable_count && status == CELLAR_OK; i++) {
        status = store_memtable_blobs(view->memtables[i], visit, context);
    }
    CELLAR_ASSERT(view->memtable_count > 0);
    store_view_release(view);
    return status;
}
