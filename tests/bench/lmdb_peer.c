/*
 * LMDB as a peer: one environment with LMDB's default durability, an item a cell, one writer.
 *
 * LMDB has one writer at a time, and a commit is two syncs: more threads would wait for each other.
 * So the rate of one thread is the rate of any number of clients.
 */

#include "tests/bench/lmdb_peer.h"

#include <lmdb.h>

#include "client/tools/bench_process.h"
#include "common/mem.h"

#define MAP_BYTES (UINT64_C(16) << 30)
#define RECORDS_A_COMMIT 5000u

struct lmdb_peer {
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t record_count;
    uint32_t version;
};

/* LMDB's code as an error. */
static enum cellar_status failed(const char *what, int code, struct cellar_error *error)
{
    CELLAR_ASSERT(code != 0);
    return cellar_error_set(error, CELLAR_IO_ERROR, "LMDB: %s: %s", what, mdb_strerror(code));
}

enum cellar_status lmdb_peer_open(const char *directory, struct lmdb_peer **peer,
                                  struct cellar_error *error)
{
    struct lmdb_peer *made = cellar_mem_zalloc(1, sizeof *made);
    MDB_txn *txn = NULL;
    CELLAR_ASSERT(directory != NULL);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for LMDB");
    }
    int code = mdb_env_create(&made->env);
    code = code != 0 ? code : mdb_env_set_mapsize(made->env, MAP_BYTES);
    code = code != 0 ? code : mdb_env_open(made->env, directory, 0, 0600);
    code = code != 0 ? code : mdb_txn_begin(made->env, NULL, 0, &txn);
    code = code != 0 ? code : mdb_dbi_open(txn, NULL, 0, &made->dbi);
    if (code != 0) {
        lmdb_peer_close(made);
        return failed("cannot open the environment", code, error);
    }
    code = mdb_txn_commit(txn);
    if (code != 0) {
        lmdb_peer_close(made);
        return failed("cannot commit", code, error);
    }
    *peer = made;
    return CELLAR_OK;
}

void lmdb_peer_close(struct lmdb_peer *peer)
{
    if (peer != NULL) {
        CELLAR_ASSERT(peer->dbi <= 2);
        if (peer->env != NULL) {
            mdb_env_close(peer->env);
        }
        cellar_mem_free(peer);
    }
}

/* Puts one cell. */
static int cell_put(struct lmdb_peer *peer, MDB_txn *txn, const struct cellar_bench_cell *cell)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX + CELLAR_BENCH_NAME_BYTES_MAX];
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    size_t bytes = cellar_bench_key(cell->space, cell->record, key);
    bytes += cellar_bench_column(cell->space, cell->column, key + bytes);
    cellar_bench_value(cell, value);
    CELLAR_ASSERT(bytes < sizeof key);
    MDB_val name = {bytes, key};
    MDB_val data = {sizeof value, value};
    return mdb_put(txn, peer->dbi, &name, &data, 0);
}

/* Puts all cells of some records in one commit. */
static int records_put(struct lmdb_peer *peer, uint64_t first, uint64_t end)
{
    MDB_txn *txn = NULL;
    int code = mdb_txn_begin(peer->env, NULL, 0, &txn);
    CELLAR_ASSERT(first < end);
    for (uint64_t record = first; code == 0 && record < end; record++) {
        struct cellar_bench_cell cell = {.record = record};
        for (; code == 0 && cell.column < CELLAR_BENCH_FIELD_COUNT; cell.column++) {
            code = cell_put(peer, txn, &cell);
        }
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

enum cellar_status lmdb_peer_load(struct lmdb_peer *peer, const struct cellar_bench_sizes *sizes,
                                  struct cellar_bench_result *result, struct cellar_error *error)
{
    int64_t start_ns = cellar_bench_clock_ns();
    int64_t start_cpu_us = cellar_bench_own_cpu_us();
    memset(result, 0, sizeof *result);
    result->driver = "lmdb";
    result->workload = "load";
    result->terms.connections = 1;
    peer->record_count = sizes->record_count;
    CELLAR_ASSERT(sizes->record_count > 0);
    for (uint64_t first = 0; first < sizes->record_count; first += RECORDS_A_COMMIT) {
        uint64_t end = CELLAR_MIN(first + RECORDS_A_COMMIT, sizes->record_count);
        int code = records_put(peer, first, end);
        if (code != 0) {
            return failed("cannot load", code, error);
        }
        result->operation_count++;
        result->row_count += end - first;
    }
    result->elapsed_us = (cellar_bench_clock_ns() - start_ns) / 1000;
    result->server_cpu_us = cellar_bench_own_cpu_us() - start_cpu_us;
    return CELLAR_OK;
}

/* One put and its commit. */
static int put_commit(struct lmdb_peer *peer, struct cellar_bench_random *random)
{
    MDB_txn *txn = NULL;
    struct cellar_bench_cell cell = {
        .record = cellar_bench_random_below(random, peer->record_count),
        .column = (uint32_t)cellar_bench_random_below(random, CELLAR_BENCH_FIELD_COUNT),
        .version = ++peer->version};
    int code = mdb_txn_begin(peer->env, NULL, 0, &txn);
    CELLAR_ASSERT(peer->record_count > 0);
    if (code != 0) {
        return code;
    }
    code = cell_put(peer, txn, &cell);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

enum cellar_status lmdb_peer_put(struct lmdb_peer *peer, const struct cellar_bench_terms *terms,
                                 struct cellar_bench_result *result, struct cellar_error *error)
{
    struct cellar_bench_random random = {terms->seed};
    int64_t start_cpu_us = cellar_bench_own_cpu_us();
    int64_t start_ns = cellar_bench_clock_ns();
    int64_t end_ns = start_ns + terms->measure_us * 1000;
    memset(result, 0, sizeof *result);
    result->driver = "lmdb";
    result->workload = "put";
    result->terms = *terms;
    result->terms.connections = 1;
    CELLAR_ASSERT(peer->record_count > 0);
    for (int64_t now_ns = start_ns; now_ns < end_ns;) {
        int code = put_commit(peer, &random);
        int64_t done_ns = cellar_bench_clock_ns();
        if (code != 0) {
            return failed("cannot put", code, error);
        }
        cellar_bench_histogram_add(&result->writes, (uint64_t)(done_ns - now_ns));
        now_ns = done_ns;
        result->operation_count++;
        result->row_count++;
    }
    result->elapsed_us = (cellar_bench_clock_ns() - start_ns) / 1000;
    result->server_cpu_us = cellar_bench_own_cpu_us() - start_cpu_us;
    return CELLAR_OK;
}
