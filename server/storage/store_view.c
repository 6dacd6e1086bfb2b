/*
 * Views of a store: which memtables lie over which environment, for as long as somebody looks.
 */
#include "common/mem.h"
#include "server/storage/store.h"

/* One reference, its maker's. Memtables are added before anybody else sees it; after that it never
 * changes. */
struct store_view *store_view_new(void)
{
    struct store_view *view = cellar_mem_zalloc(1, sizeof *view);
    if (view != NULL) {
        atomic_store(&view->references, 1);
    }
    CELLAR_ASSERT(view == NULL || view->memtable_count == 0);
    return view;
}

void store_view_add(struct store_view *view, struct store_memtable *memtable)
{
    CELLAR_ASSERT(view->memtable_count < STORE_MEMTABLE_COUNT_MAX);
    store_memtable_ref(memtable);
    view->memtables[view->memtable_count++] = memtable;
}

/* The last one lets its memtables go. Called without the store's lock, since freeing a memtable of
 * many megabytes takes a while. */
void store_view_release(struct store_view *view)
{
    if (view == NULL || atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    CELLAR_ASSERT(view->memtable_count <= STORE_MEMTABLE_COUNT_MAX);
    for (uint32_t i = 0; i < view->memtable_count; i++) {
        store_memtable_unref(view->memtables[i]);
    }
    if (view->env != NULL) {
        store_env_unref(view->env);
    }
    store_blob_epoch_unref(view->epoch);
    cellar_mem_free(view);
}

/* What the memtables lie above; before anybody else sees the view. */
void store_view_env_set(struct store_view *view, struct store_env *env)
{
    CELLAR_ASSERT(view->env == NULL && env != NULL);
    store_env_ref(env);
    view->env = env;
}

/* The lock is held for one increment. Without it the view could be swapped and freed between the
 * look at the pointer and the reference. */
struct store_view *store_view_hold(struct store *store)
{
    cellar_mutex_lock(&store->lock);
    struct store_view *view = store->view;
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    cellar_mutex_unlock(&store->lock);
    CELLAR_ASSERT(view->memtable_count > 0);
    return view;
}

/* Puts `view` in place of the current one, whose reference the caller takes over. */
struct store_view *store_view_put(struct store *store, struct store_view *view)
    CELLAR_REQUIRES(store->lock)
{
    struct store_view *old = store->view;
    CELLAR_ASSERT(view->memtable_count > 0 && view->epoch == NULL);
    store_view_env_set(view, store->env);
    view->epoch = store_blob_epoch_ref(store->epoch);
    store->view = view;
    return old;
}
