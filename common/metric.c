/*
 * Counting, and the page of what was counted.
 *
 * Counting is in the header: a load, an addition and a store, relaxed, on a cache line that only
 * the counting thread writes. Readers on other threads see each number whole, if some nanoseconds
 * old; numbers that belong together may be of slightly different moments. A histogram's count is
 * therefore not kept but summed from its buckets, so that the page never contradicts itself.
 *
 * The page is Prometheus' text format 0.0.4: for each metric one HELP line, one TYPE line, then
 * its samples; buckets are cumulative and end with +Inf. Times are counted in microseconds and
 * shown in seconds with six decimals, by integers, so that nothing is rounded.
 */
#include "common/metric.h"

#include <inttypes.h>

static const char *const type_texts[] = {
    [CELLAR_METRIC_COUNTER] = "counter",
    [CELLAR_METRIC_GAUGE] = "gauge",
    [CELLAR_METRIC_HISTOGRAM] = "histogram",
};

uint64_t cellar_histogram_bound_us(size_t index)
{
    CELLAR_ASSERT(index < CELLAR_HISTOGRAM_BOUND_COUNT);
    if (index < 2) {
        return index + 1;
    }
    uint64_t power = UINT64_C(1) << (index / 2);
    return power + (index % 2 + 1) * (power / 2);
}

void cellar_histogram_collect(const struct cellar_histogram *histogram,
                              struct cellar_histogram_sum *sum)
{
    CELLAR_ASSERT(histogram != NULL && sum != NULL);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sum->buckets); i++) {
        uint64_t count = cellar_counter_get(&histogram->buckets[i]);
        sum->buckets[i] += count;
        sum->count += count;
    }
    sum->sum_us += cellar_counter_get(&histogram->sum_us);
}

/* Notes how the last line went. */
static void note(struct cellar_metric_page *page, enum cellar_status status)
{
    CELLAR_ASSERT(page->status == CELLAR_OK);
    page->status = status;
}

void cellar_metric_begin(struct cellar_metric_page *page, enum cellar_metric_type type,
                         const char *name, const char *help)
{
    CELLAR_ASSERT((size_t)type < CELLAR_ARRAY_COUNT(type_texts));
    page->name = name;
    page->type = type;
    if (page->status == CELLAR_OK) {
        note(page, cellar_buffer_printf(page->to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                                        type_texts[type]));
    }
}

void cellar_metric_put(struct cellar_metric_page *page, const char *labels, uint64_t value)
{
    CELLAR_ASSERT(page->name != NULL && page->type != CELLAR_METRIC_HISTOGRAM);
    bool is_plain = labels[0] == '\0';
    if (page->status == CELLAR_OK) {
        note(page, cellar_buffer_printf(page->to, "%s%s%s%s %" PRIu64 "\n", page->name,
                                        is_plain ? "" : "{", labels, is_plain ? "" : "}", value));
    }
}

void cellar_metric_put_us(struct cellar_metric_page *page, const char *labels, uint64_t us)
{
    CELLAR_ASSERT(page->name != NULL && page->type != CELLAR_METRIC_HISTOGRAM);
    bool is_plain = labels[0] == '\0';
    if (page->status == CELLAR_OK) {
        note(page, cellar_buffer_printf(page->to, "%s%s%s%s %" PRIu64 ".%06" PRIu64 "\n",
                                        page->name, is_plain ? "" : "{", labels,
                                        is_plain ? "" : "}", us / 1000000, us % 1000000));
    }
}

/* The lines behind the buckets. */
static void put_sum_and_count(struct cellar_metric_page *page, const char *labels,
                              const struct cellar_histogram_sum *sum)
{
    bool is_plain = labels[0] == '\0';
    const char *open = is_plain ? "" : "{";
    const char *close = is_plain ? "" : "}";
    CELLAR_ASSERT(page->type == CELLAR_METRIC_HISTOGRAM);
    if (page->status == CELLAR_OK) {
        note(page,
             cellar_buffer_printf(
                 page->to, "%s_sum%s%s%s %" PRIu64 ".%06" PRIu64 "\n%s_count%s%s%s %" PRIu64 "\n",
                 page->name, open, labels, close, sum->sum_us / 1000000, sum->sum_us % 1000000,
                 page->name, open, labels, close, sum->count));
    }
}

void cellar_metric_put_histogram(struct cellar_metric_page *page, const char *labels,
                                 const struct cellar_histogram_sum *sum)
{
    const char *comma = labels[0] == '\0' ? "" : ",";
    uint64_t count = 0;
    CELLAR_ASSERT(page->name != NULL && page->type == CELLAR_METRIC_HISTOGRAM);
    for (size_t i = 0; i < CELLAR_HISTOGRAM_BOUND_COUNT && page->status == CELLAR_OK; i++) {
        uint64_t bound_us = cellar_histogram_bound_us(i);
        count += sum->buckets[i];
        note(page, cellar_buffer_printf(
                       page->to, "%s_bucket{%s%sle=\"%" PRIu64 ".%06" PRIu64 "\"} %" PRIu64 "\n",
                       page->name, labels, comma, bound_us / 1000000, bound_us % 1000000, count));
    }
    if (page->status == CELLAR_OK) {
        note(page, cellar_buffer_printf(page->to, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n",
                                        page->name, labels, comma, sum->count));
    }
    put_sum_and_count(page, labels, sum);
}

void cellar_metric_counter(struct cellar_metric_page *page, const char *name, const char *help,
                           uint64_t value)
{
    CELLAR_ASSERT(name != NULL && help != NULL);
    cellar_metric_begin(page, CELLAR_METRIC_COUNTER, name, help);
    cellar_metric_put(page, "", value);
}

void cellar_metric_gauge(struct cellar_metric_page *page, const char *name, const char *help,
                         uint64_t value)
{
    CELLAR_ASSERT(name != NULL && help != NULL);
    cellar_metric_begin(page, CELLAR_METRIC_GAUGE, name, help);
    cellar_metric_put(page, "", value);
}
