/*
 * The measured stretch of a run: clock and processor times are read at its start and at its end,
 * and what is counted between belongs to it.
 *
 *     meter start -- result count, result time ... -- meter stop
 *
 * The server may end or not be ours to look at: its processor time is then not known, which is not
 * a failure. One thread.
 */

#include "client/tools/bench_meter.h"

#include <time.h>

#include "client/tools/bench_process.h"

#define NS_PER_US INT64_C(1000)

int64_t cellar_bench_clock_ns(void)
{
    struct timespec now;
    int result = clock_gettime(CLOCK_MONOTONIC, &now);
    CELLAR_ASSERT(result == 0);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void cellar_bench_result_start(struct cellar_bench_result *result, const char *driver,
                               const struct cellar_bench_terms *terms)
{
    CELLAR_ASSERT(driver != NULL);
    memset(result, 0, sizeof *result);
    result->driver = driver;
    result->terms = *terms;
    result->server_cpu_us = -1;
}

void cellar_bench_result_count(struct cellar_bench_result *result, const struct cellar_bench_op *op)
{
    CELLAR_ASSERT((size_t)op->kind < CELLAR_BENCH_KIND_COUNT);
    result->operation_count++;
    result->row_count += cellar_bench_kind_is_write(op->kind) ? CELLAR_MAX(op->count, 1u) : 0;
}

void cellar_bench_result_time(struct cellar_bench_result *result, const struct cellar_bench_op *op,
                              int64_t ns)
{
    CELLAR_ASSERT(ns >= 0);
    cellar_bench_histogram_add(
        cellar_bench_kind_is_write(op->kind) ? &result->writes : &result->reads, (uint64_t)ns);
}

/* A process's time so far; -1 when it is not known. */
static int64_t server_cpu_us(int64_t pid)
{
    int64_t cpu_us = -1;
    CELLAR_ASSERT(pid >= 0);
    return pid > 0 && cellar_bench_process_cpu_us(pid, &cpu_us) ? cpu_us : -1;
}

void cellar_bench_meter_start(struct cellar_bench_meter *meter, int64_t server_pid)
{
    CELLAR_ASSERT(!meter->is_running);
    meter->is_running = true;
    meter->server_pid = server_pid;
    meter->server_cpu_us = server_cpu_us(server_pid);
    meter->client_cpu_us = cellar_bench_own_cpu_us();
    meter->start_ns = cellar_bench_clock_ns();
}

void cellar_bench_meter_stop(struct cellar_bench_meter *meter, struct cellar_bench_result *result)
{
    CELLAR_ASSERT(meter->is_running);
    meter->is_running = false;
    result->elapsed_us = (cellar_bench_clock_ns() - meter->start_ns) / NS_PER_US;
    result->client_cpu_us = cellar_bench_own_cpu_us() - meter->client_cpu_us;
    int64_t cpu_us = server_cpu_us(meter->server_pid);
    result->server_cpu_us =
        cpu_us < 0 || meter->server_cpu_us < 0 ? -1 : cpu_us - meter->server_cpu_us;
}
