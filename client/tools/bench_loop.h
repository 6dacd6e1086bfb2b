#ifndef CELLAR_TOOLS_BENCH_LOOP_H
#define CELLAR_TOOLS_BENCH_LOOP_H

#include "client/lib/address.h"
#include "client/tools/bench_driver.h"
#include "client/tools/bench_meter.h"
#include "client/tools/bench_workload.h"
#include "client/tools/interrupt.h"

/* One event loop, in one thread, that drives any number of connections to one server. */

#define CELLAR_BENCH_CONNECTIONS_MAX 4096u

/** A server and what it is known to hold. */
struct cellar_bench_target {
    const struct cellar_bench_driver *driver;
    struct cellar_address address;
    const char *table;
    int64_t server_pid;                 /* 0: not known, its processor time is not measured */
    struct cellar_interrupt *interrupt; /* ends runs early; may be NULL */
    struct cellar_bench_state state;
};

/**
 * Loads rows of one kind, each once, as fast as the server takes them.
 *
 * @param batch   rows or events an operation, 1..1000
 * @param result  receives what it took
 * @return CELLAR_OK; CELLAR_UNAVAILABLE, CELLAR_DEADLINE_EXCEEDED: connection lost, or no answer
 *         for a minute; CELLAR_DATA_LOSS: a wrong answer; what the server refuses with;
 *         CELLAR_NO_MEMORY
 */
enum cellar_status cellar_bench_load(struct cellar_bench_target *target,
                                     enum cellar_bench_load load,
                                     const struct cellar_bench_terms *terms, uint32_t batch,
                                     struct cellar_bench_result *result, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Runs a workload; as cellar_bench_load(). What it needs is loaded. */
enum cellar_status cellar_bench_run(struct cellar_bench_target *target,
                                    const struct cellar_bench_workload *workload,
                                    const struct cellar_bench_terms *terms,
                                    struct cellar_bench_result *result, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
