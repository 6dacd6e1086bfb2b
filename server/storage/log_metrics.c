/*
 * What the commit log says about itself to monitoring.
 *
 * Numbers that the log thread counts are read as they stand; those that belong to the append lock
 * are read under it, together, and shown afterwards, as nothing is allocated under a lock. The LSNs
 * show where a backlog stands: written but not durable (last - durable), durable but not in all
 * stores (durable - low water).
 */
#include "server/storage/commit_log.h"

/* The two numbers of the append lock. */
static void position_get(struct store_log *log, uint64_t *last_lsn, uint64_t *position)
{
    store_log_lock(log);
    *last_lsn = store_log_next_lsn(log) - 1;
    *position = store_log_position(log);
    store_log_unlock(log);
    CELLAR_ASSERT(*last_lsn < UINT64_MAX);
}

/* How far records have come. */
static void progress_show(struct store_log *log, struct cellar_metric_page *page)
{
    uint64_t last_lsn = 0;
    uint64_t position = 0;
    uint64_t durable_lsn = store_log_durable_lsn(log);
    CELLAR_ASSERT(page->to != NULL);
    position_get(log, &last_lsn, &position);
    cellar_metric_counter(page, "cellar_log_appended_bytes_total",
                          "Bytes of records queued for the log since the start.", position);
    cellar_metric_gauge(page, "cellar_log_last_lsn", "The newest record's number.", last_lsn);
    cellar_metric_gauge(page, "cellar_log_durable_lsn", "All records up to this number are synced.",
                        durable_lsn);
    cellar_metric_gauge(page, "cellar_log_low_water_lsn",
                        "All records up to this number are in the stores.",
                        store_log_low_water(log));
}

void store_log_show(struct store_log *log, struct cellar_metric_page *page)
{
    uint64_t segments = 0;
    uint64_t groups = 0;
    uint64_t records = 0;
    struct cellar_histogram_sum times = {.count = 0};
    CELLAR_ASSERT(log->segment_bytes > 0);
    store_log_counts(log, &segments, &groups, &records);
    cellar_histogram_collect(&log->sync_times, &times);
    progress_show(log, page);
    cellar_metric_counter(page, "cellar_log_records_total", "Records made durable.", records);
    cellar_metric_counter(page, "cellar_log_groups_total",
                          "Groups of records made durable, each by one sync.", groups);
    cellar_metric_counter(page, "cellar_log_written_bytes_total",
                          "Bytes written to the log, with padding.",
                          cellar_counter_get(&log->written_bytes));
    cellar_metric_begin(page, CELLAR_METRIC_HISTOGRAM, "cellar_log_sync_duration_seconds",
                        "How long a group's sync took.");
    cellar_metric_put_histogram(page, "", &times);
    cellar_metric_gauge(page, "cellar_log_segments", "Files of the log in use.", segments);
    cellar_metric_gauge(page, "cellar_log_size_bytes", "Size of the files of the log in use.",
                        segments * log->segment_bytes);
    cellar_metric_gauge(page, "cellar_log_failed",
                        "1 after a failed write or sync: no write is taken until a restart.",
                        store_log_has_failed(log) ? 1 : 0);
}
