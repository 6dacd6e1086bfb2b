/*
 * What an environment does about faults in its map (map_guard.h).
 *
 * A fault marks the environment as damaged. From then on it is neither read nor written until the
 * server is started again: its trees cannot be trusted to have every row any more, and a row that
 * is missing without a word would be a wrong answer. What LMDB leaves behind:
 *
 *     a read transaction   nothing that matters: it changes only itself and its slot among the
 *                          readers, so it is ended and freed. One that faulted while it began
 *                          costs a slot and some memory, once a thread, as none begins after it
 *     a write transaction  LMDB's mutex is held, lists of pages are in any state, and cursors of
 *                          functions that were left may be linked in: it can be neither aborted
 *                          nor closed. The environment is lost: it is forgotten as it is, with its
 *                          descriptors, its map and its dirty pages, until the process ends.
 *                          Nothing of it is on the disk but pages that no meta page names
 *     an opening           likewise, since it may write too
 *
 * Where LMDB has mapped the file it does not tell. A page begins with its own number, and anything
 * LMDB gives points into one: two pages that agree on where page 0 is are believed.
 */
#include "server/storage/env_internal.h"

#define MAIN_DBI 1u /* LMDB's own, of databases by name */

/* Where page 0 must lie by the page that holds the value of a key; 0 when it cannot be. */
static uintptr_t origin_by(MDB_txn *txn, MDB_dbi dbi, const char *text)
{
    struct cellar_slice name = cellar_slice_text(text);
    MDB_val key = {name.bytes, (void *)(uintptr_t)name.data};
    MDB_val value;
    CELLAR_ASSERT(name.bytes > 0);
    if (mdb_get(txn, dbi, &key, &value) != MDB_SUCCESS) {
        return 0;
    }
    uintptr_t page = (uintptr_t)value.mv_data & ~(uintptr_t)(ENV_PAGE_BYTES - 1);
    uint64_t number = 0;
    memcpy(&number, (const void *)page, sizeof number);
    return number < page / ENV_PAGE_BYTES ? page - number * ENV_PAGE_BYTES : 0;
}

/* LMDB aborts the process when it meets what it thinks impossible, which a damaged page can be. */
static void on_assertion(MDB_env *native, const char *text)
{
    struct store_env *env = mdb_env_get_userctx(native);
    CELLAR_ASSERT(env != NULL && text != NULL);
    store_map_guard_break(&env->map, "LMDB met what cannot be in sound pages");
}

int store_env_assertions_catch(struct store_env *env)
{
    int code = mdb_env_set_userctx(env->native, env);
    CELLAR_ASSERT(env->native != NULL);
    return code != 0 ? code : mdb_env_set_assert(env->native, on_assertion);
}

int store_env_map_find(struct store_env *env, MDB_txn *txn)
{
    MDB_envinfo facts;
    int code = mdb_env_info(env->native, &facts);
    if (code != MDB_SUCCESS) {
        return code;
    }
    uintptr_t origin = origin_by(txn, env->state_dbi, "state");
    if (origin == 0 || origin != origin_by(txn, MAIN_DBI, "cells") ||
        !store_env_meta_is_sound(&facts)) {
        return MDB_CORRUPTED;
    }
    CELLAR_ASSERT(env->map.start == 0);
    (void)store_map_add(&env->map, origin, facts.me_mapsize);
    return MDB_SUCCESS;
}

bool store_env_is_damaged(const struct store_env *env)
{
    return atomic_load_explicit(&env->map.is_damaged, memory_order_relaxed);
}

/* ---- writing --------------------------------------------------------------------------------- */

struct writing {
    struct store_env *env;
    struct store_env_txn *txn;
    store_map_work *work;
    void *context;
};

static enum cellar_status writing_run(void *context)
{
    const struct writing *writing = context;
    CELLAR_TRY(store_env_write_begin(writing->env, writing->txn));
    enum cellar_status status = writing->work(writing->context);
    CELLAR_ASSERT(writing->txn->is_open);
    if (status != CELLAR_OK) {
        store_env_abort(writing->txn);
        return status;
    }
    return store_env_commit(writing->txn);
}

/* The transaction is open still only when a fault has ended the work, in this map or in another
 * that the work reads. */
enum cellar_status store_env_write(struct store_env *env, struct store_env_txn *txn,
                                   store_map_work *work, void *context)
{
    struct writing writing = {env, txn, work, context};
    memset(txn, 0, sizeof *txn);
    enum cellar_status status = store_map_guard(writing_run, &writing);
    if (txn->is_open) {
        CELLAR_ASSERT(status == CELLAR_DATA_LOSS);
        store_env_write_lose(txn);
    }
    return status;
}
