#ifndef CELLAR_TOOLS_BENCH_SVG_H
#define CELLAR_TOOLS_BENCH_SVG_H

#include "client/tools/bench_loop.h"

/* Results as one picture. */

/**
 * Appends an SVG document: throughput as bars, and latency by percentile as lines, reads and
 * writes apart. It is readable on light and dark pages.
 *
 * @param results  `count` >= 0 results, in the order in which they are shown
 * @param title    one line of text; any characters
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_bench_svg(const struct cellar_bench_result *results, size_t count,
                                    const char *title, struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
