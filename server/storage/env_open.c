/*
 * An LMDB environment as a store's generation: making, opening, checking, and the read
 * transactions.
 *
 * Flags: MDB_NOTLS (a read transaction belongs to whoever holds it) and MDB_NORDAHEAD; durability
 * is LMDB's default: a commit is on the disk when it returns. The map's size is given once, when
 * the environment is made, and then read from the file.
 *
 * Read transactions are kept reset in a list and renewed, with their two cursors. The state is read
 * again unless the transaction shows, for certain, the same LMDB snapshot as the last time.
 *
 * LMDB keeps the pages that a write transaction dirtied in memory until the environment is closed.
 * So it can be closed and opened under the readers' feet: `gate` is held for reading by every read
 * transaction, for writing by the reopening, which therefore waits for one chunk of each running
 * read at most.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "server/storage/env_internal.h"
#include "server/storage/log_files.h"

#define READER_COUNT_MAX 1024u
#define META_AT_ID 144u                   /* of the transaction, in a meta page */
#define MAP_BYTES_MAX (UINT64_C(1) << 46) /* the greatest store_map_bytes */

/* The only place where LMDB's codes become ours. What is not known here is an I/O error: LMDB
 * passes errno on. */
enum cellar_status store_env_status(int code)
{
    switch (code) {
    case MDB_SUCCESS:
        return CELLAR_OK;
    case MDB_NOTFOUND:
        return CELLAR_NOT_FOUND;
    case MDB_MAP_FULL:
    case MDB_READERS_FULL:
    case MDB_DBS_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
        return CELLAR_RESOURCE_EXHAUSTED;
    case ENOMEM:
        return CELLAR_NO_MEMORY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_BAD_TXN:
    case MDB_CURSOR_FULL: /* a tree deeper than LMDB makes one */
    case MDB_PAGE_FULL:   /* "internal error" */
    case MDB_INCOMPATIBLE:
        return CELLAR_DATA_LOSS;
    case MDB_VERSION_MISMATCH:
        return CELLAR_FAILED_PRECONDITION;
    default:
        CELLAR_ASSERT(code != MDB_SUCCESS);
        return CELLAR_IO_ERROR;
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum cellar_status fail(const char *directory, const char *what, int code,
                               struct cellar_error *error)
{
    enum cellar_status status = store_env_status(code);
    CELLAR_ASSERT(status != CELLAR_OK);
    return cellar_error_set(error, status, "store environment %s: %s: %s", directory, what,
                            mdb_strerror(code));
}

/* What may be made when databases are opened. */
enum making { MAKE_NONE, MAKE_LATE, MAKE_ALL };

/* Whether a database is missing that the environment had: its state says how many there must be. */
static int lateness_check(const struct store_env *env, MDB_txn *txn)
{
    static const char state_key[] = "state";
    struct store_env_state state;
    MDB_val key = {sizeof state_key - 1, (void *)(uintptr_t)state_key};
    MDB_val value;
    int code = mdb_get(txn, env->state_dbi, &key, &value);
    CELLAR_ASSERT(env->native != NULL);
    if (code == 0 && (store_env_state_decode(cellar_slice_make(value.mv_data, value.mv_size),
                                             &state) != CELLAR_OK ||
                      state.database_count >= STORE_ENV_DATABASE_COUNT)) {
        code = MDB_CORRUPTED;
    }
    return code;
}

/* Flags follow what may be made: a start must not make what damage has taken away, or an empty
 * database would stand in the place of the lost one. */
static int databases_open(struct store_env *env, enum making making)
{
    MDB_txn *txn = NULL;
    unsigned flags = making == MAKE_ALL ? MDB_CREATE : 0;
    unsigned late_flags = making == MAKE_NONE ? 0 : MDB_CREATE;
    int code = mdb_txn_begin(env->native, NULL, making == MAKE_NONE ? MDB_RDONLY : 0, &txn);
    CELLAR_ASSERT(env->native != NULL);
    code = code != 0 ? code : mdb_dbi_open(txn, "state", flags, &env->state_dbi);
    code = code != 0 ? code : mdb_dbi_open(txn, "cells", flags, &env->cells_dbi);
    code = code != 0 ? code : mdb_dbi_open(txn, "layers", flags, &env->layers_dbi);
    code = code == 0 && making == MAKE_LATE ? lateness_check(env, txn) : code;
    code = code != 0 ? code : mdb_dbi_open(txn, "tokens", late_flags, &env->tokens_dbi);
    code = code != 0 ? code : mdb_dbi_open(txn, "blobs", late_flags, &env->blobs_dbi);
    if (code == 0 && making == MAKE_NONE) {
        code = store_env_map_find(env, txn);
    }
    if (code == 0) {
        return mdb_txn_commit(txn);
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return code;
}

/* Opens the LMDB environment and its databases. @param map_bytes 0: what the file says; else it is
 * made A map larger than the file is address space only. The size given once is kept in the file,
 * so that a change of store_map_bytes does not move stores that exist. */
static int native_make(struct store_env *env, uint64_t map_bytes)
{
    bool is_new = map_bytes != 0;
    int code = mdb_env_create(&env->native);
    if (code != MDB_SUCCESS) {
        return code;
    }
    env->are_lists_checked = false;
    code = store_env_assertions_catch(env);
    code = code != 0 ? code : mdb_env_set_maxreaders(env->native, READER_COUNT_MAX);
    code = code != 0 ? code : mdb_env_set_maxdbs(env->native, STORE_ENV_DBI_COUNT_MAX - 2);
    if (code == 0 && is_new) {
        code = mdb_env_set_mapsize(env->native, map_bytes);
    }
    code = code != 0 ? code
                     : mdb_env_open(env->native, env->directory, MDB_NOTLS | MDB_NORDAHEAD,
                                    STORE_FILE_MODE);
    code = code != 0 ? code : databases_open(env, is_new ? MAKE_ALL : MAKE_NONE);
    if (code == MDB_NOTFOUND) {
        code = databases_open(env, MAKE_LATE); /* made before there were tokens, or blobs */
        code = code != 0 ? code : databases_open(env, MAKE_NONE);
        code = code == MDB_NOTFOUND ? MDB_CORRUPTED : code; /* another one is missing */
    }
    if (code != 0) {
        store_map_remove(&env->map);
        mdb_env_close(env->native);
        env->native = NULL;
    }
    CELLAR_ASSERT(code != 0 || env->native != NULL);
    return code;
}

struct opening {
    struct store_env *env;
    uint64_t map_bytes;
    int code;
};

static enum cellar_status opening_run(void *context)
{
    struct opening *opening = context;
    store_map_call_begin(&opening->env->map);
    opening->code = native_make(opening->env, opening->map_bytes);
    store_map_call_end();
    CELLAR_ASSERT(opening->code != 0 || opening->env->native != NULL);
    return CELLAR_OK;
}

/* Opens the LMDB environment. One that a fault left half open is forgotten as it is. */
static int native_open(struct store_env *env, uint64_t map_bytes)
{
    struct opening opening = {env, map_bytes, MDB_CORRUPTED};
    CELLAR_ASSERT(env->native == NULL);
    if (store_map_guard(opening_run, &opening) != CELLAR_OK) {
        store_map_remove(&env->map);
        env->native = NULL;
        return MDB_CORRUPTED;
    }
    return opening.code;
}

/* Cursors first: LMDB frees those of a read transaction not with it. */
static void reader_free(struct store_env_txn *txn)
{
    CELLAR_ASSERT(!txn->is_write);
    mdb_cursor_close(txn->cells);
    mdb_cursor_close(txn->layers);
    if (txn->tokens != NULL) {
        mdb_cursor_close(txn->tokens);
    }
    mdb_txn_abort(txn->txn);
    store_range_set_fini(&txn->pending);
    cellar_mem_free(txn);
}

static void count_change(const struct store_env *env, bool is_open)
{
    if (env->open_count == NULL) {
        return;
    }
    uint32_t before =
        is_open ? atomic_fetch_add(env->open_count, 1) : atomic_fetch_sub(env->open_count, 1);
    CELLAR_ASSERT(is_open || before > 0);
}

/* Nobody else has a transaction here: either the store is being closed, or the gate is held for
 * writing. A lost one is only forgotten (env_guard.c). */
static void native_close(struct store_env *env) CELLAR_NO_THREAD_SAFETY
{
    while (env->idle != NULL) {
        struct store_env_txn *txn = env->idle;
        env->idle = txn->next;
        reader_free(txn);
    }
    CELLAR_ASSERT(env->native != NULL);
    store_map_remove(&env->map);
    if (!env->is_lost) {
        mdb_env_close(env->native);
    }
    env->native = NULL;
    atomic_store(&env->is_open, false);
}

/* Whether a meta page is of a sound map and its roots lie in a file of that size. Offsets are
 * LMDB's struct MDB_meta behind a page header of 16. */
static bool meta_is_sound(const uint8_t *page, uint64_t file_bytes)
{
    const uint8_t *meta = page + 16;
    if (cellar_get_u32le(meta) != 0xBEEFC0DEu || cellar_get_u32le(meta + 4) != 1) {
        return false;
    }
    uint64_t page_bytes = cellar_get_u32le(meta + 24);
    for (unsigned database = 0; database < 2; database++) {
        uint64_t root = cellar_get_u64le(meta + 24 + 48 * database + 40);
        if (root != UINT64_MAX && (root >= file_bytes || (root + 1) * page_bytes > file_bytes)) {
            return false;
        }
    }
    uint64_t map_bytes = cellar_get_u64le(meta + 16);
    uint64_t last_page = cellar_get_u64le(meta + 120);
    CELLAR_ASSERT(file_bytes > 0);
    return page_bytes == ENV_PAGE_BYTES && map_bytes <= MAP_BYTES_MAX &&
           last_page < map_bytes / ENV_PAGE_BYTES;
}

/* Both pages, since LMDB reads both. Commits alternate between them, so their numbers follow each
 * other and the even ones stand in the first; else one of them is not what the last commits wrote,
 * and LMDB could take an old state for the newest. */
static bool metas_are_sound(const uint8_t *pages, uint64_t file_bytes)
{
    uint64_t first_id = cellar_get_u64le(pages + META_AT_ID);
    uint64_t second_id = cellar_get_u64le(pages + ENV_PAGE_BYTES + META_AT_ID);
    CELLAR_ASSERT(pages != NULL);
    return (first_id & 1) == 0 && (first_id + 1 == second_id || second_id + 1 == first_id) &&
           meta_is_sound(pages, file_bytes) && meta_is_sound(pages + ENV_PAGE_BYTES, file_bytes);
}

/* Looks at the file before LMDB maps it: a file that was cut off would end the process with SIGBUS.
 */
static enum cellar_status file_check(const char *directory, struct cellar_error *error)
{
    char path[PATH_MAX];
    uint8_t pages[2 * ENV_PAGE_BYTES];
    size_t got = 0;
    struct stat facts;
    int length = snprintf(path, sizeof path, "%s/data.mdb", directory);
    CELLAR_ASSERT(length > 0 && (size_t)length < sizeof path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return cellar_error_set(error, errno == ENOENT ? CELLAR_DATA_LOSS : CELLAR_IO_ERROR,
                                "cannot open %s: %s; restore the data directory from a copy", path,
                                strerror(errno));
    }
    enum cellar_status status = store_file_read(descriptor, 0, pages, sizeof pages, &got);
    if (status == CELLAR_OK && fstat(descriptor, &facts) != 0) {
        status = CELLAR_IO_ERROR;
    }
    (void)close(descriptor);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "cannot read %s", path);
    }
    if (got != sizeof pages || !metas_are_sound(pages, (uint64_t)facts.st_size)) {
        return cellar_error_set(error, CELLAR_DATA_LOSS,
                                "%s is damaged (its meta pages do not fit its %llu bytes); restore "
                                "the data directory from a copy",
                                path, (unsigned long long)facts.st_size);
    }
    return CELLAR_OK;
}

/* The gate prefers writers: with readers always about, a reopening that waits for all of them would
 * else never come. */
static struct store_env *env_new(const char *directory)
{
    struct store_env *env = cellar_mem_zalloc(1, sizeof *env);
    if (env == NULL) {
        return NULL;
    }
    env->directory = cellar_mem_strdup(directory);
    if (env->directory == NULL) {
        cellar_mem_free(env);
        return NULL;
    }
    pthread_rwlockattr_t attributes;
    int code = pthread_rwlockattr_init(&attributes);
    CELLAR_ASSERT(code == 0);
    (void)pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    code = pthread_rwlock_init(&env->gate, &attributes);
    CELLAR_ASSERT(code == 0);
    (void)pthread_rwlockattr_destroy(&attributes);
    cellar_mutex_init(&env->lock);
    env->map.name = env->directory;
    return env;
}

static void env_free(struct store_env *env)
{
    CELLAR_ASSERT(env->native == NULL);
    cellar_mutex_fini(&env->lock);
    (void)pthread_rwlock_destroy(&env->gate);
    cellar_mem_free(env->directory);
    cellar_mem_free(env);
}

/* Whatever lies there is what a crash left of an earlier try, as ids are never used again. The
 * folder is named by the catalog only after this returns, so no state in between is ever opened. */
enum cellar_status store_env_create(const char *directory, const struct store_env_state *state,
                                    struct cellar_error *error)
{
    MDB_txn *txn = NULL;
    CELLAR_ASSERT(state->map_bytes > 0);
    CELLAR_TRY(store_directory_remove(directory, error));
    CELLAR_TRY(store_directory_make(directory, error));
    struct store_env *env = env_new(directory);
    if (env == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for store %u", state->store_id);
    }
    int code = native_open(env, state->map_bytes);
    if (code == 0) {
        atomic_store(&env->is_open, true);
        code = mdb_txn_begin(env->native, NULL, 0, &txn);
    }
    enum cellar_status status = code == 0 ? store_env_state_write(env, txn, state)
                                          : fail(directory, "cannot be made", code, error);
    if (status == CELLAR_OK) {
        code = mdb_txn_commit(txn);
        status = code == 0 ? CELLAR_OK : fail(directory, "cannot be written", code, error);
    } else if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    if (env->native != NULL) {
        native_close(env);
    }
    env_free(env);
    return status == CELLAR_OK ? store_directory_sync(directory, error) : status;
}

/* LMDB's table of readers outlives a process that was killed; slots of dead ones are freed, since
 * they would keep old pages from being used again. The first transaction proves that the state can
 * be read. */
enum cellar_status store_env_open(const char *directory, struct store_env **env,
                                  struct cellar_error *error)
{
    int dead_count = 0;
    struct store_env_growth growth;
    struct store_env_txn *txn = NULL;
    CELLAR_TRY(file_check(directory, error));
    struct store_env *opened = env_new(directory);
    if (opened == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for %s", directory);
    }
    int code = native_open(opened, 0);
    if (code != 0) {
        env_free(opened);
        return fail(directory, "cannot be opened", code, error);
    }
    atomic_store(&opened->is_open, true);
    store_env_measure(opened, &growth);
    (void)mdb_reader_check(opened->native, &dead_count);
    enum cellar_status status = store_env_read_begin(opened, &txn);
    if (status != CELLAR_OK) {
        store_env_close(opened);
        return cellar_error_set(error, status, "store environment %s: %s", directory,
                                status == CELLAR_FAILED_PRECONDITION
                                    ? "another format version; start the cellard that wrote it"
                                    : "the state record is missing or damaged");
    }
    CELLAR_ASSERT(txn->state.layer_next > 0);
    store_env_read_end(txn);
    *env = opened;
    return CELLAR_OK;
}

void store_env_close(struct store_env *env)
{
    if (env == NULL) {
        return;
    }
    if (env->native != NULL) {
        native_close(env);
        count_change(env, false);
    }
    CELLAR_ASSERT(env->native == NULL);
    env_free(env);
}

/* With the gate for writing. */
static void native_park(struct store_env *env)
{
    if (env->native != NULL) {
        native_close(env);
        count_change(env, false);
    }
    atomic_store(&env->retained_bytes, 0);
    CELLAR_ASSERT(env->native == NULL);
}

/* Reading stops for a moment; the next transaction opens it again. */
void store_env_park(struct store_env *env)
{
    int result = pthread_rwlock_wrlock(&env->gate);
    CELLAR_ASSERT(result == 0);
    native_park(env);
    (void)pthread_rwlock_unlock(&env->gate);
}

bool store_env_park_idle(struct store_env *env)
{
    bool was_used = atomic_exchange(&env->was_used, false);
    if (was_used || pthread_rwlock_trywrlock(&env->gate) != 0) {
        return false;
    }
    native_park(env);
    CELLAR_ASSERT(env->native == NULL);
    (void)pthread_rwlock_unlock(&env->gate);
    return true;
}

enum cellar_status store_env_wake(struct store_env *env)
{
    struct store_env_growth growth;
    int code = 0;
    int result = pthread_rwlock_wrlock(&env->gate);
    CELLAR_ASSERT(result == 0);
    if (env->native == NULL && store_env_is_damaged(env)) {
        code = MDB_CORRUPTED;
    } else if (env->native == NULL) { /* else another was first */
        code = native_open(env, 0);
        if (code == 0) {
            atomic_store(&env->is_open, true);
            count_change(env, true);
            store_env_measure(env, &growth);
        }
    }
    (void)pthread_rwlock_unlock(&env->gate);
    if (code != 0) {
        cellar_log(CELLAR_LOG_ERROR, "environment_lost", "directory=%s error=\"%s\"",
                   env->directory, mdb_strerror(code));
    }
    return store_env_status(code);
}

void store_env_count_by(struct store_env *env, _Atomic uint32_t *open_count)
{
    CELLAR_ASSERT(env->open_count == NULL && env->native != NULL);
    env->open_count = open_count;
    count_change(env, true);
}

bool store_env_is_open(const struct store_env *env)
{
    return atomic_load(&env->is_open);
}

/* ---- read transactions ----------------------------------------------------------------------- */

/* The two cursors live as long as the transaction: a read opens nothing. */
static int reader_make(struct store_env *env, struct store_env_txn **txn)
{
    struct store_env_txn *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return ENOMEM;
    }
    made->env = env;
    int code = mdb_txn_begin(env->native, NULL, MDB_RDONLY, &made->txn);
    code = code != 0 ? code : mdb_cursor_open(made->txn, env->cells_dbi, &made->cells);
    code = code != 0 ? code : mdb_cursor_open(made->txn, env->layers_dbi, &made->layers);
    if (code != 0) {
        if (made->cells != NULL) {
            mdb_cursor_close(made->cells);
        }
        if (made->txn != NULL) {
            mdb_txn_abort(made->txn);
        }
        cellar_mem_free(made);
        return code;
    }
    CELLAR_ASSERT(made->layers != NULL);
    *txn = made;
    return 0;
}

static int reader_renew(struct store_env_txn *txn)
{
    int code = mdb_txn_renew(txn->txn);
    code = code != 0 ? code : mdb_cursor_renew(txn->txn, txn->cells);
    code = code != 0 ? code : mdb_cursor_renew(txn->txn, txn->layers);
    if (code == 0 && txn->tokens != NULL) {
        code = mdb_cursor_renew(txn->txn, txn->tokens);
    }
    CELLAR_ASSERT(!txn->is_write);
    return code;
}

/* The gate stays held for reading until store_env_read_end(). A renewed transaction that shows the
 * same snapshot as before still has its state: no read, no checksum. */
/* A keeper may close it again between the opening and the gate, hence the loop: it does so only
 * when nobody has used it for a while, so one turn is enough as a rule. */
enum cellar_status store_env_enter(struct store_env *env)
{
    for (;;) {
        if (store_env_is_damaged(env)) {
            return CELLAR_DATA_LOSS;
        }
        int result = pthread_rwlock_rdlock(&env->gate);
        CELLAR_ASSERT(result == 0);
        if (env->native != NULL) {
            if (!atomic_load_explicit(&env->was_used, memory_order_relaxed)) {
                atomic_store_explicit(&env->was_used, true, memory_order_relaxed);
            }
            return CELLAR_OK;
        }
        (void)pthread_rwlock_unlock(&env->gate);
        CELLAR_TRY(store_env_wake(env));
    }
}

/*
 * Whether a reader's snapshot is the commit that its number says.
 *
 * LMDB takes the number first and then copies the roots from the meta page that belongs to it.
 * While it copies, two commits may follow, of which the second one writes that page: the reader
 * then has a later commit's roots under the earlier number, which is sound, as later commits keep
 * all pages that a reader of the earlier number may need. But what was kept under the number is not
 * what the roots hold. As long as no commit is newer than the number, the page cannot have been
 * written.
 */
static enum cellar_status snapshot_look(const struct store_env_txn *txn, bool *is_newest)
{
    MDB_envinfo facts;
    cellar_fence_loads(); /* the roots were copied before the look */
    CELLAR_ASSERT(txn->env->native != NULL);
    if (mdb_env_info(txn->env->native, &facts) != MDB_SUCCESS || !store_env_meta_is_sound(&facts)) {
        return CELLAR_DATA_LOSS;
    }
    *is_newest = facts.me_last_txnid == mdb_txn_id(txn->txn);
    return CELLAR_OK;
}

/* Makes the reader's state that of its snapshot: read from there, unless it is the one kept. */
static enum cellar_status reader_state_load(struct store_env_txn *txn)
{
    bool is_newest = false;
    CELLAR_TRY(snapshot_look(txn, &is_newest));
    if (is_newest && mdb_txn_id(txn->txn) == txn->txn_id) {
        return CELLAR_OK;
    }
    txn->txn_id = 0;
    CELLAR_TRY(store_env_state_read(txn->env, txn->txn, &txn->state));
    if (txn->state.pending_count > 0 || txn->pending.count > 0) {
        CELLAR_TRY(
            store_env_pending_read(txn->env, txn->txn, txn->state.pending_count, &txn->pending));
    }
    txn->txn_id = is_newest ? mdb_txn_id(txn->txn) : 0;
    CELLAR_ASSERT(txn->state.layer_next > 0);
    return CELLAR_OK;
}

struct reading {
    struct store_env *env;
    struct store_env_txn *reader; /* NULL: make one */
};

static enum cellar_status reading_begin(void *context)
{
    struct reading *reading = context;
    store_map_call_begin(&reading->env->map);
    int code = reading->reader != NULL ? reader_renew(reading->reader)
                                       : reader_make(reading->env, &reading->reader);
    CELLAR_ASSERT(code != 0 || reading->reader != NULL);
    enum cellar_status status =
        code != 0 ? store_env_status(code) : reader_state_load(reading->reader);
    store_map_call_end();
    return status;
}

/* With a guard of its own, for callers without one. Theirs ends what they read afterwards. */
enum cellar_status store_env_read_begin(struct store_env *env, struct store_env_txn **txn)
{
    CELLAR_TRY(store_env_enter(env));
    cellar_mutex_lock(&env->lock);
    struct reading reading = {env, env->idle};
    if (reading.reader != NULL) {
        env->idle = reading.reader->next;
    }
    cellar_mutex_unlock(&env->lock);
    enum cellar_status status = store_map_guard(reading_begin, &reading);
    struct store_env_txn *reader = reading.reader;
    if (status != CELLAR_OK) {
        if (reader != NULL) {
            reader_free(reader);
        }
        (void)pthread_rwlock_unlock(&env->gate);
        return status;
    }
    CELLAR_ASSERT(reader != NULL);
    reader->status = CELLAR_OK;
    *txn = reader;
    return CELLAR_OK;
}

void store_env_read_end(struct store_env_txn *txn)
{
    if (txn == NULL) {
        return;
    }
    struct store_env *env = txn->env;
    CELLAR_ASSERT(!txn->is_write);
    if (store_env_is_damaged(env)) {
        reader_free(txn); /* the fault may have been in the middle of it */
        (void)pthread_rwlock_unlock(&env->gate);
        return;
    }
    mdb_txn_reset(txn->txn);
    cellar_mutex_lock(&env->lock);
    txn->next = env->idle;
    env->idle = txn;
    cellar_mutex_unlock(&env->lock);
    (void)pthread_rwlock_unlock(&env->gate);
}
