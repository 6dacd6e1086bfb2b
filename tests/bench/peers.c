/*
 * Drives several servers in turn with the same workloads, so that they can be compared.
 *
 *     bench_peers --peer NAME=HOST:PORT=PID ... --run WORKLOAD:CONNECTIONS:NAME,NAME,... ...
 *                 [--rounds N] [--records N] [--seconds S] [--warmup S]
 *
 * For each --run its servers are loaded with what the workload needs, once; then it is run in
 * rounds, one server after the other: A B A B ... A line of JSON is printed for each load and run,
 * and an empty line behind the last. What an "lmdb" is given as HOST:PORT is a directory: it runs
 * in this process (lmdb_peer.h).
 *
 * One thread. A failure ends the program, and is told on standard error.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/tools/args.h"
#include "client/tools/bench_report.h"
#include "common/mem.h"
#include "tests/bench/lmdb_peer.h"
#include "tests/bench/stream.h"

#define PEERS_MAX 8u
#define LOADS_COUNT 3u
#define BATCH 100u
#define EVENTS_A_LOAD 50u
#define ROUNDS_MAX 1000

static const struct cellar_bench_driver *const drivers[] = {
    &cellar_bench_cellar_driver, &cellar_bench_null_driver, &bench_redis_driver,
    &bench_postgres_driver,      &bench_memcached_driver,
};

static const struct cellar_option options[] = {
    {"peer", "NAME=HOST:PORT=PID", ""},
    {"run", "WORKLOAD:CONNECTIONS:NAME,...", ""},
    {"rounds", "N", ""},
    {"records", "N", ""},
    {"seconds", "S", ""},
    {"warmup", "S", ""},
    {NULL, NULL, NULL},
};

/* A server of the comparison. */
struct peer {
    struct cellar_bench_target target;
    struct lmdb_peer *lmdb; /* NULL: it is a server */
    bool is_loaded[LOADS_COUNT];
};

struct comparison {
    struct peer peers[PEERS_MAX];
    size_t peer_count;
    struct cellar_bench_sizes sizes;
    struct cellar_bench_terms terms;
    int64_t rounds;
    struct cellar_bench_result *result;
    struct cellar_buffer text;
};

/* Prints a result as a line. */
static enum cellar_status result_print(struct comparison *comparison, struct cellar_error *error)
{
    struct cellar_buffer *text = &comparison->text;
    cellar_buffer_clear(text);
    if (cellar_bench_report_json(comparison->result, text) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a result");
    }
    CELLAR_ASSERT(text->bytes > 0);
    (void)printf("%.*s\n", (int)text->bytes, (const char *)text->data);
    return fflush(stdout) == 0 ? CELLAR_OK
                               : cellar_error_set(error, CELLAR_IO_ERROR, "Cannot write");
}

/* True when the peer has all operations of the workload. */
static bool peer_can(const struct peer *peer, const struct cellar_bench_workload *workload)
{
    uint32_t kinds = cellar_bench_workload_kinds(workload);
    CELLAR_ASSERT(kinds != 0);
    return peer->lmdb != NULL ? kinds == 1u << CELLAR_BENCH_PUT_CELL
                              : (kinds & ~peer->target.driver->kinds) == 0;
}

/* Loads what the workload needs, unless it is there. */
static enum cellar_status peer_load(struct comparison *comparison, struct peer *peer,
                                    enum cellar_bench_load load, struct cellar_error *error)
{
    uint32_t batch = load == CELLAR_BENCH_LOAD_TIMELINES ? EVENTS_A_LOAD : BATCH;
    CELLAR_ASSERT((size_t)load < LOADS_COUNT);
    if (peer->is_loaded[load]) {
        return CELLAR_OK;
    }
    peer->is_loaded[load] = true;
    CELLAR_TRY(peer->lmdb != NULL
                   ? lmdb_peer_load(peer->lmdb, &comparison->sizes, comparison->result, error)
                   : cellar_bench_load(&peer->target, load, &comparison->terms, batch,
                                       comparison->result, error));
    return result_print(comparison, error);
}

/* Runs a workload once on one peer. */
static enum cellar_status peer_run(struct comparison *comparison, struct peer *peer,
                                   const struct cellar_bench_workload *workload,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(peer_can(peer, workload));
    CELLAR_TRY(peer->lmdb != NULL
                   ? lmdb_peer_put(peer->lmdb, &comparison->terms, comparison->result, error)
                   : cellar_bench_run(&peer->target, workload, &comparison->terms,
                                      comparison->result, error));
    return result_print(comparison, error);
}

/* The peer's name. */
static const char *peer_name(const struct peer *peer)
{
    CELLAR_ASSERT(peer->lmdb != NULL || peer->target.driver != NULL);
    return peer->lmdb != NULL ? "lmdb" : peer->target.driver->name;
}

/* True when a list of names, with commas between, holds the peer's. */
static bool peer_is_named(const struct peer *peer, const char *names)
{
    const char *name = peer_name(peer);
    size_t bytes = strlen(name);
    CELLAR_ASSERT(bytes > 0);
    for (; names != NULL; names = strchr(names, ',') == NULL ? NULL : strchr(names, ',') + 1) {
        if (strncmp(names, name, bytes) == 0 && (names[bytes] == ',' || names[bytes] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Runs a workload in rounds over the peers that are named. */
static enum cellar_status workload_run(struct comparison *comparison,
                                       const struct cellar_bench_workload *workload,
                                       const char *names, struct cellar_error *error)
{
    for (int64_t round = -1; round < comparison->rounds; round++) {
        comparison->terms.seed = (uint64_t)(round + 2); /* the same for every peer of a round */
        for (size_t index = 0; index < comparison->peer_count; index++) {
            struct peer *peer = &comparison->peers[index];
            if (!peer_is_named(peer, names) || !peer_can(peer, workload)) {
                continue;
            }
            enum cellar_status status =
                round < 0 ? peer_load(comparison, peer, cellar_bench_workload_load(workload), error)
                          : peer_run(comparison, peer, workload, error);
            if (status != CELLAR_OK) {
                cellar_error_prefix(error, "%s, %s", peer_name(peer), workload->name);
                return status;
            }
        }
    }
    CELLAR_ASSERT(comparison->rounds >= 1);
    (void)printf("\n");
    (void)fflush(stdout);
    return CELLAR_OK;
}

/* Takes WORKLOAD:CONNECTIONS:NAMES apart and runs it. */
static enum cellar_status run_take(struct comparison *comparison, const char *given,
                                   struct cellar_error *error)
{
    char text[256];
    int bytes = snprintf(text, sizeof text, "%s", given);
    char *number = strchr(text, ':');
    char *names = number == NULL ? NULL : strchr(number + 1, ':');
    if (bytes < 0 || (size_t)bytes >= sizeof text || names == NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A run is WORKLOAD:CONNECTIONS:NAME,...: %.100s", given);
    }
    *number++ = '\0';
    *names++ = '\0';
    const struct cellar_bench_workload *workload = cellar_bench_workload_find(text);
    unsigned long connections = strtoul(number, NULL, 10);
    if (workload == NULL || connections == 0 || connections > CELLAR_BENCH_CONNECTIONS_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "There is no workload '%s'", text);
    }
    CELLAR_ASSERT(connections > 0);
    comparison->terms.connections = (uint32_t)connections;
    return workload_run(comparison, workload, names, error);
}

/* Takes NAME=ADDRESS=PID apart. */
static enum cellar_status peer_add(struct comparison *comparison, const char *given,
                                   struct cellar_error *error)
{
    char text[512];
    struct peer *peer = &comparison->peers[comparison->peer_count];
    int bytes = snprintf(text, sizeof text, "%s", given);
    char *address = strchr(text, '=');
    char *pid = strrchr(text, '=');
    if (bytes < 0 || (size_t)bytes >= sizeof text || address == NULL || pid == address ||
        comparison->peer_count == PEERS_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A peer is NAME=HOST:PORT=PID, %u at most: %.100s", PEERS_MAX,
                                given);
    }
    *address++ = '\0';
    *pid++ = '\0';
    comparison->peer_count++;
    CELLAR_ASSERT(peer->target.driver == NULL);
    if (strcmp(text, "lmdb") == 0) {
        return lmdb_peer_open(address, &peer->lmdb, error);
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(drivers); index++) {
        peer->target.driver =
            strcmp(drivers[index]->name, text) == 0 ? drivers[index] : peer->target.driver;
    }
    if (peer->target.driver == NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "There is no driver '%s'", text);
    }
    peer->target.table = "bench";
    peer->target.server_pid = strtoll(pid, NULL, 10);
    CELLAR_TRY(cellar_address_decode(address, &peer->target.address, error));
    return cellar_bench_state_init(&peer->target.state, &comparison->sizes, error);
}

/* Reads the options. */
static enum cellar_status comparison_fill(struct comparison *comparison,
                                          const struct cellar_args *args,
                                          struct cellar_error *error)
{
    int64_t records = 100000;
    const char *seconds = cellar_args_text(args, "seconds");
    const char *warmup = cellar_args_text(args, "warmup");
    comparison->rounds = 5;
    CELLAR_TRY(cellar_args_number(args, "records", (struct cellar_args_limits){1, 100000000},
                                  &records, error));
    CELLAR_TRY(cellar_args_number(args, "rounds", (struct cellar_args_limits){1, ROUNDS_MAX},
                                  &comparison->rounds, error));
    CELLAR_ASSERT(records > 0);
    comparison->terms.measure_us = (int64_t)(1e6 * (seconds == NULL ? 2 : strtod(seconds, NULL)));
    comparison->terms.warmup_us = (int64_t)(1e6 * (warmup == NULL ? 0.5 : strtod(warmup, NULL)));
    comparison->sizes = (struct cellar_bench_sizes){.record_count = (uint64_t)records,
                                                    .timeline_count = (uint64_t)records / 100 + 1,
                                                    .wide_count = 10};
    return CELLAR_OK;
}

/* Runs what the arguments ask for. */
static enum cellar_status comparison_run(struct comparison *comparison,
                                         const struct cellar_args *args, struct cellar_error *error)
{
    CELLAR_TRY(comparison_fill(comparison, args, error));
    for (size_t index = 0; index < args->given_count; index++) {
        if (strcmp(args->given[index].option->name, "peer") == 0) {
            CELLAR_TRY(peer_add(comparison, args->given[index].value, error));
        }
    }
    for (size_t index = 0; index < args->given_count; index++) {
        if (strcmp(args->given[index].option->name, "run") == 0) {
            CELLAR_TRY(run_take(comparison, args->given[index].value, error));
        }
    }
    CELLAR_ASSERT(comparison->peer_count <= PEERS_MAX);
    return CELLAR_OK;
}

int main(int argc, char **argv)
{
    static const struct cellar_option *const lists[] = {options, NULL};
    struct comparison comparison = {.peer_count = 0};
    struct cellar_args args = {0};
    struct cellar_error error;
    cellar_error_clear(&error);
    comparison.result = cellar_mem_zalloc(1, sizeof *comparison.result);
    enum cellar_status status =
        comparison.result == NULL
            ? cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a result")
            : cellar_args_parse(lists, argc - 1, argv + 1, &args, &error);
    if (status == CELLAR_OK) {
        status = comparison_run(&comparison, &args, &error);
    }
    for (size_t index = 0; index < comparison.peer_count; index++) {
        cellar_bench_state_fini(&comparison.peers[index].target.state);
        lmdb_peer_close(comparison.peers[index].lmdb);
    }
    cellar_args_fini(&args);
    cellar_mem_free(comparison.result);
    cellar_buffer_fini(&comparison.text);
    if (status != CELLAR_OK) {
        (void)fprintf(stderr, "bench_peers: %s: %s\n", cellar_status_text(status), error.text);
    }
    return status == CELLAR_OK ? 0 : 1;
}
