#ifndef CELLAR_APP_PROCESS_METRICS_H
#define CELLAR_APP_PROCESS_METRICS_H

#include "common/metric.h"

/** Shows what the kernel says about this process: memory, processor time, descriptors; under the
 * names that Prometheus' clients use, and RssAnon, which the memory limits are about.
 *
 * @param start_real_us  wall-clock time of the start
 */
void cellar_process_show(int64_t start_real_us, struct cellar_metric_page *page);

#endif
