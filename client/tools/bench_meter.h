#ifndef CELLAR_TOOLS_BENCH_METER_H
#define CELLAR_TOOLS_BENCH_METER_H

#include "client/tools/bench_check.h"
#include "client/tools/bench_histogram.h"

/* What a run measures, and the meter that reads clock and processor time at its two ends. */

/** How to run a workload. */
struct cellar_bench_terms {
    uint32_t connections; /* >= 1 */
    double rate;          /* operations a second, sent at even times; 0: as fast as answers come */
    int64_t warmup_us;    /* before anything is measured */
    int64_t measure_us;
    uint64_t seed;
};

/** What a run measured. */
struct cellar_bench_result {
    const char *driver;
    const char *workload;
    struct cellar_bench_terms terms;
    uint64_t operation_count;
    uint64_t row_count;     /* rows read, or written */
    uint64_t refused_count; /* answers "not now, try again" */
    uint64_t late_count;    /* open loop: never sent, because the server was too far behind */
    int64_t elapsed_us;
    int64_t server_cpu_us; /* -1: not known */
    int64_t client_cpu_us;
    bool is_interrupted;                 /* SIGINT or SIGTERM came */
    struct cellar_bench_histogram reads; /* nanoseconds */
    struct cellar_bench_histogram writes;
};

/** Time and processor time at the start of the measured stretch. */
struct cellar_bench_meter {
    bool is_running;
    int64_t server_pid;
    int64_t start_ns;
    int64_t server_cpu_us; /* -1: not known */
    int64_t client_cpu_us;
};

/** The machine's monotonic clock, nanoseconds. */
int64_t cellar_bench_clock_ns(void);

/** Empties a result. @param driver  the server's kind; borrowed */
void cellar_bench_result_start(struct cellar_bench_result *result, const char *driver,
                               const struct cellar_bench_terms *terms);

/** Counts an operation; those that read have their rows counted as they come. */
void cellar_bench_result_count(struct cellar_bench_result *result,
                               const struct cellar_bench_op *op);

/** Counts how long an operation took, >= 0. */
void cellar_bench_result_time(struct cellar_bench_result *result, const struct cellar_bench_op *op,
                              int64_t ns);

/** Starts measuring. @param server_pid  whose processor time counts; 0: not known */
void cellar_bench_meter_start(struct cellar_bench_meter *meter, int64_t server_pid);

/** Stops, and fills in the result's times. */
void cellar_bench_meter_stop(struct cellar_bench_meter *meter, struct cellar_bench_result *result);

#endif
