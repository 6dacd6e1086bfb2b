/*
 * How large an environment is: pages of the file, pages its trees hold, and pages that a write
 * transaction had in memory. Read after every commit, so that budgets count what is and do not
 * guess.
 *
 *     page count   1 + LMDB's last page: used, or free to be used again
 *     live count   what the trees of items hold; a checkpoint can make
 *                  no more old pages dirty than these
 *     dirty count  of one commit. A changed page is a new page in memory, and the old one is
 *                  noted as free under the transaction's number in LMDB's own database 0: what
 *                  stands there, and what the trees grew by, are the new pages
 *
 * All of it is kept in atomics of the environment; any thread reads them.
 */
#include "server/storage/env_internal.h"

#define FREE_LIST_DBI 0u

/* The page numbers in a record of the free list: an array that begins with its count. */
static uint64_t free_record_count(const MDB_val *value)
{
    CELLAR_ASSERT(value->mv_data != NULL);
    uint64_t room = value->mv_size / sizeof(uint64_t);
    return room > 0 ? CELLAR_MIN(cellar_get_u64le(value->mv_data), room - 1) : 0;
}

/* Pages that LMDB has freed and will use again. */
static uint64_t free_pages_count(MDB_txn *txn)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    uint64_t count = 0;
    CELLAR_ASSERT(txn != NULL);
    if (mdb_cursor_open(txn, FREE_LIST_DBI, &cursor) != MDB_SUCCESS) {
        return 0;
    }
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
        count += free_record_count(&value);
    }
    mdb_cursor_close(cursor);
    return count;
}

/* Pages that the newest commit freed; LMDB's order of keys makes its record the last. */
static uint64_t freed_last_count(MDB_txn *txn)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    size_t txn_id = 0;
    uint64_t count = 0;
    if (mdb_cursor_open(txn, FREE_LIST_DBI, &cursor) != MDB_SUCCESS) {
        return 0;
    }
    if (mdb_cursor_get(cursor, &key, &value, MDB_LAST) == MDB_SUCCESS &&
        key.mv_size == sizeof txn_id) {
        memcpy(&txn_id, key.mv_data, sizeof txn_id);
        count = txn_id == mdb_txn_id(txn) ? free_record_count(&value) : 0;
    }
    mdb_cursor_close(cursor);
    CELLAR_ASSERT(count == 0 || txn_id > 0);
    return count;
}

static uint64_t tree_pages_count(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat facts;
    CELLAR_ASSERT(dbi != FREE_LIST_DBI);
    return mdb_stat(txn, dbi, &facts) != MDB_SUCCESS
               ? 0
               : facts.ms_branch_pages + facts.ms_leaf_pages + facts.ms_overflow_pages;
}

static void env_measure(struct store_env *env, struct store_env_growth *growth)
{
    MDB_envinfo facts = {0};
    MDB_txn *txn = NULL;
    if (mdb_env_info(env->native, &facts) != MDB_SUCCESS || !store_env_meta_is_sound(&facts) ||
        mdb_txn_begin(env->native, NULL, MDB_RDONLY, &txn) != MDB_SUCCESS) {
        return;
    }
    uint64_t live = tree_pages_count(txn, env->cells_dbi) + tree_pages_count(txn, env->layers_dbi) +
                    tree_pages_count(txn, env->tokens_dbi) + tree_pages_count(txn, env->blobs_dbi);
    uint64_t pages = facts.me_last_pgno + 1;
    if (pages * ENV_PAGE_BYTES > facts.me_mapsize / 2) {
        pages -= CELLAR_MIN(pages, free_pages_count(txn)); /* matters near the map's end only */
    }
    uint64_t live_before = atomic_exchange(&env->live_page_count, live);
    growth->live = live > live_before ? live - live_before : 0;
    growth->freed = freed_last_count(txn);
    atomic_store(&env->page_count, pages);
    atomic_store(&env->map_bytes, facts.me_mapsize);
    CELLAR_ASSERT(pages <= facts.me_last_pgno + 1);
    mdb_txn_abort(txn);
}

struct measuring {
    struct store_env *env;
    struct store_env_growth *growth;
};

static enum cellar_status measuring_run(void *context)
{
    const struct measuring *measuring = context;
    CELLAR_ASSERT(measuring->growth != NULL);
    store_map_call_begin(&measuring->env->map);
    env_measure(measuring->env, measuring->growth);
    store_map_call_end();
    return CELLAR_OK;
}

/* In a guard of its own: a commit that is measured has succeeded, whatever a fault here says. */
void store_env_measure(struct store_env *env, struct store_env_growth *growth)
{
    struct measuring measuring = {env, growth};
    CELLAR_ASSERT(env->native != NULL);
    *growth = (struct store_env_growth){0};
    if (store_map_guard(measuring_run, &measuring) != CELLAR_OK) {
        *growth = (struct store_env_growth){0};
    }
}

uint64_t store_env_retained_bytes(const struct store_env *env)
{
    CELLAR_ASSERT(env != NULL);
    return atomic_load(&env->retained_bytes);
}

uint64_t store_env_live_page_count(const struct store_env *env)
{
    CELLAR_ASSERT(env != NULL);
    return atomic_load(&env->live_page_count);
}

uint64_t store_env_map_bytes(const struct store_env *env)
{
    CELLAR_ASSERT(env != NULL);
    return atomic_load(&env->map_bytes);
}

uint64_t store_env_used_bytes(const struct store_env *env)
{
    CELLAR_ASSERT(env != NULL);
    return atomic_load(&env->page_count) * ENV_PAGE_BYTES;
}

unsigned store_env_used_percent(const struct store_env *env)
{
    uint64_t map_bytes = atomic_load(&env->map_bytes);
    CELLAR_ASSERT(map_bytes > 0);
    return (unsigned)(store_env_used_bytes(env) * 100 / map_bytes);
}

uint64_t store_env_room_bytes(const struct store_env *env, unsigned percent)
{
    uint64_t limit_bytes = atomic_load(&env->map_bytes) / 100 * percent;
    uint64_t used_bytes = store_env_used_bytes(env);
    CELLAR_ASSERT(percent <= 100);
    return limit_bytes > used_bytes ? limit_bytes - used_bytes : 0;
}
