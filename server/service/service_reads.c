/*
 * Reads: the service's view of a scan. It checks limits and deadline, finds the table, and passes
 * chunks from the tablet layer's scan to the front end's sink; the two sinks differ only in that
 * the front end's knows no tablet header.
 *
 * A read that ends is kept by its thread for a later one, with its scan: a get costs no allocation
 * here.
 */
#include <string.h>

#include "server/service/service_internal.h"

#define SPARE_READ_COUNT_MAX 16u

struct svc_read {
    struct svc_read *next; /* in the list of idle ones */
    struct tablet_scan *scan;
    int64_t deadline_us;
    struct tablet_column *columns;
};

static enum cellar_status options_check(const struct svc_read_options *options,
                                        struct cellar_error *error)
{
    CELLAR_ASSERT(options->rows != NULL);
    if (options->rows_limit < 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'rows_limit' : must be >= 0, but is %lld",
                                (long long)options->rows_limit);
    }
    if (options->versions_max < 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'versions' : must be >= 0, but is %lld",
                                (long long)options->versions_max);
    }
    return CELLAR_OK;
}

/* The slices stay the front end's, which keeps the request until the read is closed; only the array
 * is of the tablet layer's own type. */
static enum cellar_status columns_copy(struct svc_read *read,
                                       const struct svc_read_options *options,
                                       struct cellar_error *error)
{
    if (options->column_count == 0) {
        return CELLAR_OK;
    }
    read->columns = cellar_mem_zalloc(options->column_count, sizeof *read->columns);
    if (read->columns == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a read");
    }
    for (size_t i = 0; i < options->column_count; i++) {
        const struct svc_column *column = &options->columns[i];
        if (cellar_qualifier_check(column->qualifier, error) != CELLAR_OK) {
            cellar_error_prefix(error, "Error in field 'columns' : Error in element #%zu ", i);
            return CELLAR_INVALID_ARGUMENT;
        }
        read->columns[i] =
            (struct tablet_column){column->family, column->qualifier, column->is_family};
    }
    CELLAR_ASSERT(read->columns != NULL);
    return CELLAR_OK;
}

static enum cellar_status read_start(struct svc *svc, struct tablet_table *table,
                                     const struct svc_read_options *options, struct svc_read *read,
                                     struct cellar_error *error)
{
    CELLAR_TRY(columns_copy(read, options, error));
    struct tablet_scan_options scan = {
        .rows = options->rows,
        .rows_limit = (uint64_t)options->rows_limit,
        .versions_max = (uint64_t)options->versions_max,
        .is_reversed = options->is_reversed,
        .keys_only = options->keys_only,
        .columns = read->columns,
        .column_count = options->column_count,
    };
    CELLAR_ASSERT(table->tablet_count > 0);
    return tablet_scan_start(read->scan, svc->db, table, &scan, error);
}

/* A spare read of the thread, or a new one. NULL without memory. Of the calling thread, so no lock:
 * each loop opens and closes its own reads. */
static struct svc_read *read_take(void)
{
    struct svc_scratch *scratch = svc_scratch_get();
    if (scratch != NULL && scratch->spare_reads != NULL) {
        struct svc_read *spare = scratch->spare_reads;
        scratch->spare_reads = spare->next;
        scratch->spare_read_count--;
        return spare;
    }
    struct svc_read *made = cellar_mem_zalloc(1, sizeof *made);
    if (made != NULL) {
        made->scan = tablet_scan_new();
        if (made->scan == NULL) {
            cellar_mem_free(made);
            made = NULL;
        }
    }
    CELLAR_ASSERT(made == NULL || made->columns == NULL);
    return made;
}

void svc_reads_free(struct svc_read *reads)
{
    while (reads != NULL) {
        struct svc_read *next = reads->next;
        CELLAR_ASSERT(reads->columns == NULL);
        tablet_scan_free(reads->scan);
        cellar_mem_free(reads);
        reads = next;
    }
}

/* The scan holds a reference to the table by itself; ours was for looking. */
enum cellar_status svc_read_open(struct svc *svc, const struct svc_request *request,
                                 const struct svc_read_options *options, struct svc_read **read,
                                 struct cellar_error *error)
{
    struct tablet_table *table = NULL;
    CELLAR_TRY(options_check(options, error));
    CELLAR_TRY(svc_table_find(svc, request, options->table, &table, error));
    struct svc_read *opened = read_take();
    enum cellar_status status =
        opened == NULL ? cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a read")
                       : read_start(svc, table, options, opened, error);
    tablet_table_unref(table);
    if (status != CELLAR_OK) {
        svc_read_close(opened);
        return status;
    }
    CELLAR_ASSERT(opened != NULL && opened->scan != NULL);
    opened->deadline_us = request == NULL ? 0 : request->deadline_us;
    atomic_fetch_add_explicit(&svc->read_total, 1, memory_order_relaxed);
    *read = opened;
    return CELLAR_OK;
}

static enum cellar_status sink_row_begin(void *context, struct cellar_slice row, bool is_continued)
{
    struct svc_row_sink *sink = context;
    CELLAR_ASSERT(row.bytes > 0);
    return sink->row_begin(sink, row, is_continued);
}

static enum cellar_status sink_cells(void *context, struct cellar_slice packed)
{
    struct svc_row_sink *sink = context;
    CELLAR_ASSERT(packed.bytes > 0);
    return sink->cells(sink, packed);
}

static enum cellar_status sink_row_end(void *context, bool has_more)
{
    struct svc_row_sink *sink = context;
    CELLAR_ASSERT(sink->row_end != NULL);
    return sink->row_end(sink, has_more);
}

static enum cellar_status sink_blob(void *context, struct cellar_slice row, bool has_more,
                                    struct cellar_slice before)
{
    struct svc_row_sink *sink = context;
    CELLAR_ASSERT(row.bytes > 0 && before.bytes > 0);
    return sink->blob(sink, row, has_more, before);
}

/* The deadline is looked at once a chunk, which lasts ten milliseconds at most. */
enum cellar_status svc_read_next(struct svc_read *read, struct svc_row_sink *sink, size_t bytes_max,
                                 bool *is_done, struct cellar_error *error)
{
    const struct svc_request request = {.deadline_us = read->deadline_us};
    const struct tablet_sink inner = {.context = sink,
                                      .row_begin = sink_row_begin,
                                      .cells = sink_cells,
                                      .row_end = sink_row_end,
                                      .blob = sink_blob};
    CELLAR_TRY(svc_deadline_check(&request, error));
    CELLAR_ASSERT(read->scan != NULL);
    return tablet_scan_next(read->scan, &inner, bytes_max, is_done, error);
}

enum cellar_status svc_read_blob(struct svc_read *read, struct cellar_buffer *to, bool *is_done,
                                 struct cellar_error *error)
{
    const struct svc_request request = {.deadline_us = read->deadline_us};
    CELLAR_TRY(svc_deadline_check(&request, error));
    CELLAR_ASSERT(read->scan != NULL);
    return tablet_scan_blob(read->scan, to, is_done, error);
}

bool svc_read_is_cold(struct svc_read *read, int64_t now_us)
{
    CELLAR_ASSERT(read->scan != NULL);
    return tablet_scan_is_cold(read->scan, now_us);
}

int64_t svc_read_ended_us(const struct svc_read *read)
{
    CELLAR_ASSERT(read->scan != NULL);
    return tablet_scan_left_us(read->scan);
}

/* Also for a read that never began: tablet_scan_stop() takes one in any state. */
void svc_read_close(struct svc_read *read)
{
    if (read == NULL) {
        return;
    }
    struct svc_scratch *scratch = svc_scratch_get();
    tablet_scan_stop(read->scan);
    cellar_mem_free(read->columns);
    read->columns = NULL;
    CELLAR_ASSERT(read->deadline_us >= 0);
    if (scratch != NULL && scratch->spare_read_count < SPARE_READ_COUNT_MAX) {
        read->next = scratch->spare_reads;
        scratch->spare_reads = read;
        scratch->spare_read_count++;
    } else {
        read->next = NULL;
        svc_reads_free(read);
    }
}
