/*
 * The life of an environment as one generation of several: who still uses it, and whether its
 * commits reach the disk. One that is being built needs neither until it is whole; then it is
 * synced once.
 */
#include "server/storage/env_internal.h"

void store_env_ref(struct store_env *env)
{
    uint32_t before = atomic_fetch_add_explicit(&env->user_count, 1, memory_order_relaxed);
    CELLAR_ASSERT(before < UINT32_MAX);
}

void store_env_unref(struct store_env *env)
{
    uint32_t before = atomic_fetch_sub_explicit(&env->user_count, 1, memory_order_acq_rel);
    CELLAR_ASSERT(before > 0);
}

bool store_env_has_users(const struct store_env *env)
{
    return atomic_load_explicit(&env->user_count, memory_order_acquire) > 0;
}

void store_env_durable_set(struct store_env *env, bool is_durable)
{
    CELLAR_ASSERT(env->native != NULL);
    int code = mdb_env_set_flags(env->native, MDB_NOSYNC, is_durable ? 0 : 1);
    CELLAR_ASSERT(code == MDB_SUCCESS);
}

/* With the gate held: a commit that fails meanwhile has the environment parked. */
enum cellar_status store_env_sync(struct store_env *env)
{
    CELLAR_TRY(store_env_enter(env));
    CELLAR_ASSERT(env->native != NULL);
    int code = mdb_env_sync(env->native, 1);
    (void)pthread_rwlock_unlock(&env->gate);
    return store_env_status(code);
}
