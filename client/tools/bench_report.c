/*
 * Results for people and for programs.
 *
 * A line of text is one kind of operation, reads or writes, of one workload: throughput and
 * processor time stand on the workload's first line. Latencies are in microseconds. JSON has all of
 * it, with the units in the names. Numbers that are not known are "-" and null. Pure.
 */

#include "client/tools/bench_report.h"

#include <inttypes.h>

#include "client/tools/json_write.h"

#define NS_PER_US 1000.0

static const struct {
    const char *title;
    const char *name;
    double fraction;
} quantiles[] = {
    {"p50 us", "p50_us", 0.5},
    {"p99 us", "p99_us", 0.99},
    {"p99.9 us", "p999_us", 0.999},
    {"max us", "max_us", 1},
};

double cellar_bench_result_rate(const struct cellar_bench_result *result)
{
    CELLAR_ASSERT(result->elapsed_us >= 0);
    return result->elapsed_us == 0
               ? 0
               : (double)result->operation_count * 1e6 / (double)result->elapsed_us;
}

/* A processor time for each of some; negative when it is not known. */
static double cpu_us_each(int64_t cpu_us, uint64_t count)
{
    CELLAR_ASSERT(cpu_us >= -1);
    return cpu_us < 0 || count == 0 ? -1 : (double)cpu_us / (double)count;
}

double cellar_bench_result_cpu_us(const struct cellar_bench_result *result)
{
    CELLAR_ASSERT(result != NULL);
    return cpu_us_each(result->server_cpu_us, result->operation_count);
}

enum cellar_status cellar_bench_report_head(struct cellar_buffer *to)
{
    CELLAR_ASSERT(to != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "%-10s %-6s %10s %10s %9s %9s %9s", "workload", "", "op/s",
                                    "rows/s", "server us", "row us", "client us"));
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(quantiles); index++) {
        CELLAR_TRY(cellar_buffer_printf(to, " %9s", quantiles[index].title));
    }
    return cellar_buffer_append(to, "\n", 1);
}

/* Appends a number, or a dash for what is not known. */
static enum cellar_status number_put(struct cellar_buffer *to, double value, int decimals)
{
    CELLAR_ASSERT(decimals >= 0);
    return value < 0 ? cellar_buffer_printf(to, " %9s", "-")
                     : cellar_buffer_printf(to, " %9.*f", decimals, value);
}

/* Appends the line of one kind of operation. */
static enum cellar_status line_put(const struct cellar_bench_result *result, bool is_first,
                                   bool is_write, struct cellar_buffer *to)
{
    const struct cellar_bench_histogram *histogram = is_write ? &result->writes : &result->reads;
    double seconds = (double)CELLAR_MAX(result->elapsed_us, INT64_C(1)) / 1e6;
    CELLAR_ASSERT(result->workload != NULL);
    if (is_first) {
        CELLAR_TRY(cellar_buffer_printf(
            to, "%-10s %-6s %10.0f %10.0f", result->workload, is_write ? "write" : "read",
            cellar_bench_result_rate(result), (double)result->row_count / seconds));
        CELLAR_TRY(number_put(to, cellar_bench_result_cpu_us(result), 1));
        CELLAR_TRY(number_put(to, cpu_us_each(result->server_cpu_us, result->row_count), 2));
        CELLAR_TRY(number_put(to, cpu_us_each(result->client_cpu_us, result->operation_count), 1));
    } else {
        CELLAR_TRY(cellar_buffer_printf(to, "%-10s %-6s %10s %10s %9s %9s %9s", "",
                                        is_write ? "write" : "read", "", "", "", "", ""));
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(quantiles); index++) {
        double ns = (double)cellar_bench_histogram_quantile(histogram, quantiles[index].fraction);
        CELLAR_TRY(number_put(to, histogram->count == 0 ? -1 : ns / NS_PER_US, 0));
    }
    return cellar_buffer_append(to, "\n", 1);
}

enum cellar_status cellar_bench_report_text(const struct cellar_bench_result *result,
                                            struct cellar_buffer *to)
{
    bool has_reads = result->reads.count > 0;
    bool has_writes = result->writes.count > 0;
    CELLAR_ASSERT(result->driver != NULL);
    if (has_reads || !has_writes) {
        CELLAR_TRY(line_put(result, true, false, to));
    }
    if (has_writes) {
        CELLAR_TRY(line_put(result, !has_reads, true, to));
    }
    if (result->refused_count > 0) {
        CELLAR_TRY(cellar_buffer_printf(to,
                                        "           refused for a while, sent again: %" PRIu64 "\n",
                                        result->refused_count));
    }
    if (result->late_count > 0) {
        CELLAR_TRY(cellar_buffer_printf(
            to, "           never sent, the server was too far behind: %" PRIu64 "\n",
            result->late_count));
    }
    return CELLAR_OK;
}

/* Appends the latencies of one kind of operation as a member. */
static enum cellar_status latency_put(const char *name,
                                      const struct cellar_bench_histogram *histogram,
                                      struct cellar_buffer *to)
{
    CELLAR_ASSERT(name != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, ",\"%s\":{\"count\":%" PRIu64, name, histogram->count));
    for (size_t index = 0; histogram->count > 0 && index < CELLAR_ARRAY_COUNT(quantiles); index++) {
        double ns = (double)cellar_bench_histogram_quantile(histogram, quantiles[index].fraction);
        CELLAR_TRY(cellar_buffer_printf(to, ",\"%s\":%.1f", quantiles[index].name, ns / NS_PER_US));
    }
    return cellar_buffer_append(to, "}", 1);
}

/* Appends a member that may be not known. */
static enum cellar_status member_put(struct cellar_buffer *to, const char *name, double value)
{
    CELLAR_ASSERT(name != NULL);
    return value < 0 ? cellar_buffer_printf(to, ",\"%s\":null", name)
                     : cellar_buffer_printf(to, ",\"%s\":%.3f", name, value);
}

enum cellar_status cellar_bench_report_json(const struct cellar_bench_result *result,
                                            struct cellar_buffer *to)
{
    const struct cellar_bench_terms *terms = &result->terms;
    CELLAR_ASSERT(result->driver != NULL && result->workload != NULL);
    CELLAR_TRY(cellar_buffer_append(to, "{\"server\":", 10));
    CELLAR_TRY(cellar_json_put_string(to, cellar_slice_text(result->driver)));
    CELLAR_TRY(cellar_buffer_append(to, ",\"workload\":", 12));
    CELLAR_TRY(cellar_json_put_string(to, cellar_slice_text(result->workload)));
    CELLAR_TRY(cellar_buffer_printf(to, ",\"connections\":%u", terms->connections));
    CELLAR_TRY(member_put(to, "rate_wanted", terms->rate > 0 ? terms->rate : -1));
    CELLAR_TRY(cellar_buffer_printf(to,
                                    ",\"operations\":%" PRIu64 ",\"rows\":%" PRIu64
                                    ",\"refused\":%" PRIu64 ",\"never_sent\":%" PRIu64
                                    ",\"elapsed_us\":%" PRId64,
                                    result->operation_count, result->row_count,
                                    result->refused_count, result->late_count, result->elapsed_us));
    CELLAR_TRY(member_put(to, "operations_a_second", cellar_bench_result_rate(result)));
    CELLAR_TRY(member_put(to, "server_cpu_us", (double)result->server_cpu_us));
    CELLAR_TRY(member_put(to, "server_cpu_us_an_operation", cellar_bench_result_cpu_us(result)));
    CELLAR_TRY(member_put(to, "server_cpu_us_a_row",
                          cpu_us_each(result->server_cpu_us, result->row_count)));
    CELLAR_TRY(member_put(to, "client_cpu_us_an_operation",
                          cpu_us_each(result->client_cpu_us, result->operation_count)));
    CELLAR_TRY(latency_put("reads", &result->reads, to));
    CELLAR_TRY(latency_put("writes", &result->writes, to));
    return cellar_buffer_append(to, "}", 1);
}
