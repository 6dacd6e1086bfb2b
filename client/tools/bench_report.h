#ifndef CELLAR_TOOLS_BENCH_REPORT_H
#define CELLAR_TOOLS_BENCH_REPORT_H

#include "client/tools/bench_loop.h"

/* What the benchmark measured, as text and JSON. */

/** Appends the head of the table that cellar_bench_report_text() fills; CELLAR_NO_MEMORY. */
enum cellar_status cellar_bench_report_head(struct cellar_buffer *to) CELLAR_MUST_USE;

/** Appends one result as one or two lines (reads, writes) of a table; CELLAR_NO_MEMORY. */
enum cellar_status cellar_bench_report_text(const struct cellar_bench_result *result,
                                            struct cellar_buffer *to) CELLAR_MUST_USE;

/** Appends one result as a JSON object without a newline; CELLAR_NO_MEMORY. */
enum cellar_status cellar_bench_report_json(const struct cellar_bench_result *result,
                                            struct cellar_buffer *to) CELLAR_MUST_USE;

/** Operations a second; 0 when nothing was measured. */
double cellar_bench_result_rate(const struct cellar_bench_result *result);

/** The server's processor time an operation, microseconds; negative when it is not known. */
double cellar_bench_result_cpu_us(const struct cellar_bench_result *result);

#endif
