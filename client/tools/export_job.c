/*
 * One export.
 *
 *     scan -> row_printer -> text -> export_file
 *                |
 *     bar, progress file <-- the last row that is whole in the part, and the part's length
 *
 * Rows come in the order of their keys, each from one snapshot of its own; what is written to the
 * table meanwhile is in the file or not. A scan that the server ends is opened again behind the
 * last row, for as long as the patience lasts.
 *
 * Twice a second the part is synced and the progress file then names its length and the last row
 * in it. Whoever is killed finds a part with whole rows up to there: the same command cuts it to
 * that length and reads on behind that row. The progress file names the table and the options that
 * decide what is written, and is refused where they are others. It goes when the file has its name.
 *
 * A row above PIECE_BYTES_MAX is written as several lines with the same key, so that an import of
 * the file needs no more memory for it than for others. One thread, but for the one that waits for
 * signals.
 */

#include "client/tools/export_job.h"

#include <inttypes.h>

#include "client/tools/export_file.h"
#include "client/tools/interrupt.h"
#include "client/tools/progress_bar.h"
#include "client/tools/progress_file.h"
#include "client/tools/select.h"
#include "common/clock.h"

#define WRITE_BYTES 65536u /* of text, gathered before it is packed and written */
#define PIECE_BYTES_MAX 1048576u
#define PIECE_CELLS_MAX 10000u
#define SAVE_US INT64_C(500000)
#define PAUSE_US INT64_C(200000)

struct job {
    struct cellar_tool *tool;
    struct cellar_export_job_options *options;
    struct cellar_interrupt *interrupt;
    struct cellar_table_info *table;
    struct cellar_export_file *file;
    struct cellar_export_range whole; /* before any row was passed */
    struct cellar_buffer text;        /* printed and not written */
    struct cellar_row_printer printer;
    struct cellar_progress_bar bar;
    struct cellar_buffer path; /* of the progress file, NUL-terminated */
    struct cellar_progress identity;
    struct cellar_progress_file progress; /* path NULL: none is kept */
    uint64_t row_count;
    uint64_t cell_count;
    uint64_t text_bytes;
    uint64_t row_count_before; /* by earlier runs */
    uint64_t text_bytes_before;
    double share_before;
    int64_t resume_bytes; /* of the part; < 0: begin anew */
    int64_t start_us;
    int64_t saved_us;
    int64_t row_us; /* when the last row came */
};

/* ---- progress ------------------------------------------------------------------------------ */

/* Says which table and options the progress is of. */
static enum cellar_status identity_make(struct job *job)
{
    struct cellar_progress *identity = &job->identity;
    CELLAR_ASSERT(identity->lines.bytes == 0);
    CELLAR_TRY(cellar_progress_put(identity, "table", cellar_slice_text(job->table->name)));
    CELLAR_TRY(cellar_progress_put(
        identity, "format",
        cellar_slice_text(job->options->format == CELLAR_FORMAT_CSV ? "csv" : "jsonl")));
    CELLAR_TRY(cellar_progress_put(
        identity, "compress", cellar_slice_text(cellar_packing_suffix(job->options->packing))));
    CELLAR_TRY(cellar_progress_put(identity, "options", job->options->words));
    job->progress.kind = "export";
    return job->options->progress_path != NULL
               ? cellar_buffer_printf(&job->path, "%s%c", job->options->progress_path, 0)
               : cellar_buffer_printf(&job->path, "%s.progress%c", job->options->path, 0);
}

/* Takes what a progress file says; false when something is missing or there is no memory. */
static bool progress_take(struct job *job, const struct cellar_progress *progress)
{
    struct cellar_buffer key = {0};
    int64_t numbers[4];
    static const char *const names[] = {"rows", "cells", "text_bytes", "part_bytes"};
    static_assert(CELLAR_ARRAY_COUNT(names) == CELLAR_ARRAY_COUNT(numbers), "one each");
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(names); index++) {
        if (!cellar_progress_get_number(progress, names[index], 0, &numbers[index])) {
            return false;
        }
    }
    /* Before its first row an export has no last one. */
    bool is_taken =
        numbers[0] == 0 ||
        (cellar_progress_get(progress, "last_row", &key) && key.bytes > 0 &&
         cellar_export_range_pass(&job->options->range, cellar_slice_of(&key)) == CELLAR_OK);
    cellar_buffer_fini(&key);
    job->row_count = (uint64_t)numbers[0];
    job->cell_count = (uint64_t)numbers[1];
    job->text_bytes = (uint64_t)numbers[2];
    job->resume_bytes = numbers[3];
    CELLAR_ASSERT(job->resume_bytes >= 0);
    return is_taken;
}

/* Reads the progress of an earlier run, if there is one. */
static enum cellar_status progress_resume(struct job *job, struct cellar_error *error)
{
    struct cellar_progress progress = {0};
    bool is_there = false;
    CELLAR_ASSERT(job->resume_bytes < 0);
    if (identity_make(job) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an export");
    }
    if (strcmp(job->options->path, "-") == 0) {
        return CELLAR_OK;
    }
    job->progress.path = (const char *)job->path.data;
    enum cellar_status status = cellar_progress_load(&job->progress, &progress, &is_there, error);
    if (status == CELLAR_OK && is_there) {
        status = cellar_progress_check(&progress, &job->identity, &job->progress, error);
    }
    if (status == CELLAR_OK && is_there && !progress_take(job, &progress)) {
        status =
            cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                             "'%.300s' lacks a value; remove it to begin anew", job->progress.path);
    }
    cellar_progress_fini(&progress);
    return status;
}

/* Writes the text that is printed. Counted before it is packed: the summary speaks of the table,
 * not of the packing. */
static enum cellar_status text_write(struct job *job, struct cellar_error *error)
{
    job->text_bytes += job->text.bytes;
    enum cellar_status status =
        cellar_export_file_write(job->file, cellar_slice_of(&job->text), error);
    CELLAR_ASSERT(status == CELLAR_OK || error->code == status);
    cellar_buffer_clear(&job->text);
    return status;
}

/* Syncs the part and saves the progress that names its length; between rows only. The order makes
 * it safe: text out, part synced, and only then the file that vouches for it. */
static enum cellar_status progress_save(struct job *job, struct cellar_error *error)
{
    struct cellar_progress progress = {0};
    int64_t part_bytes = 0;
    if (job->progress.path == NULL) {
        return CELLAR_OK;
    }
    CELLAR_TRY(text_write(job, error));
    CELLAR_TRY(cellar_export_file_sync(job->file, &part_bytes, error));
    const struct {
        const char *name;
        int64_t number;
    } numbers[] = {{"rows", (int64_t)job->row_count},
                   {"cells", (int64_t)job->cell_count},
                   {"text_bytes", (int64_t)job->text_bytes},
                   {"part_bytes", part_bytes}};
    enum cellar_status status =
        cellar_buffer_append(&progress.lines, job->identity.lines.data, job->identity.lines.bytes);
    for (size_t index = 0; status == CELLAR_OK && index < CELLAR_ARRAY_COUNT(numbers); index++) {
        CELLAR_ASSERT(numbers[index].number >= 0);
        status = cellar_progress_put_number(&progress, numbers[index].name, numbers[index].number);
    }
    if (status == CELLAR_OK && job->options->range.is_start_open) {
        status =
            cellar_progress_put(&progress, "last_row", cellar_slice_of(&job->options->range.start));
    }
    status = status == CELLAR_OK ? cellar_progress_save(&progress, &job->progress, error)
                                 : cellar_error_set(error, status, "No memory for an export");
    cellar_progress_fini(&progress);
    job->saved_us = cellar_clock_monotonic_us();
    return status;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* How many cells of a row, from `first` on, go on one line. One cell at least, however large. */
static size_t piece_count(const struct cellar_row *row, size_t first)
{
    size_t bytes = 0;
    size_t count = 0;
    CELLAR_ASSERT(first < row->cell_count);
    while (first + count < row->cell_count && count < PIECE_CELLS_MAX) {
        const struct cellar_row_cell *cell = &row->cells[first + count];
        bytes += cell->family.bytes + cell->qualifier.bytes + cell->value.bytes;
        if (count > 0 && bytes > PIECE_BYTES_MAX) {
            break;
        }
        count++;
    }
    return count;
}

/* Prints a row, in pieces where it is large. */
static enum cellar_status row_print(struct job *job, const struct cellar_row *row,
                                    struct cellar_error *error)
{
    size_t first = 0;
    while (first < row->cell_count) {
        struct cellar_row piece = {.key = row->key, .cells = row->cells + first};
        piece.cell_count = piece_count(row, first);
        CELLAR_TRY(cellar_tool_memory(cellar_row_printer_row(&job->printer, &piece), error));
        CELLAR_ASSERT(piece.cell_count > 0);
        first += piece.cell_count;
        if (job->text.bytes >= WRITE_BYTES) {
            CELLAR_TRY(text_write(job, error));
        }
    }
    job->row_count++;
    job->cell_count += row->cell_count;
    return CELLAR_OK;
}

/* The share of the rows that is done, or a negative number. By the place in the table's key space
 * or by the limit, whichever is further: an estimate, for the bar alone. */
static double share_get(const struct job *job)
{
    const struct cellar_export_job_options *options = job->options;
    double share = -1;
    if (options->range.is_start_open) {
        share = cellar_export_range_share(&job->whole, job->table,
                                          cellar_slice_of(&options->range.start));
    }
    double by_limit =
        options->rows_limit == 0 ? -1 : (double)job->row_count / (double)options->rows_limit;
    CELLAR_ASSERT(share <= 1);
    return CELLAR_MAX(share, by_limit);
}

/* Draws the bar. */
static void bar_show(struct job *job, const char *note)
{
    struct cellar_progress_view view = {
        .done_bytes = (int64_t)job->text_bytes,
        .total_bytes = -1,
        .share = job->bar.to == NULL ? -1 : share_get(job),
        .before_bytes = (int64_t)job->text_bytes_before,
        .before_share = job->share_before,
        .row_count = job->row_count - job->row_count_before,
        .note = note,
    };
    CELLAR_ASSERT(job->row_count >= job->row_count_before);
    cellar_progress_bar_show(&job->bar, &view);
}

/* Writes the rows of an open scan until it ends, or something here fails. The range moves behind
 * each row that was printed whole, so a scan that breaks off is gone on with there. */
static enum cellar_status rows_write(struct job *job, struct cellar_scan *scan,
                                     struct cellar_error *error)
{
    struct cellar_row row;
    while (!cellar_interrupt_is_set(job->interrupt) && cellar_scan_next(scan, &row)) {
        struct cellar_slice key = cellar_slice_make(row.key.data, row.key.bytes);
        CELLAR_ASSERT(key.bytes > 0);
        CELLAR_TRY(row_print(job, &row, error));
        CELLAR_TRY(cellar_tool_memory(cellar_export_range_pass(&job->options->range, key), error));
        job->row_us = cellar_clock_monotonic_us();
        if (job->row_us - job->saved_us >= SAVE_US) {
            CELLAR_TRY(progress_save(job, error));
        }
        bar_show(job, NULL);
    }
    return cellar_interrupt_is_set(job->interrupt)
               ? cellar_error_set(error, CELLAR_CANCELLED, "Interrupted")
               : CELLAR_OK;
}

/* Makes the read of what is left. */
static enum cellar_status read_make(struct job *job, struct cellar_read **read,
                                    struct cellar_error *error)
{
    const struct cellar_export_job_options *options = job->options;
    *read = cellar_read_new();
    CELLAR_ASSERT(options->rows_limit == 0 || job->row_count < options->rows_limit);
    cellar_export_range_read(&options->range, *read);
    if (options->rows_limit > 0) {
        cellar_read_limit(*read, (int64_t)(options->rows_limit - job->row_count));
    }
    return cellar_select_cells(options->args, *read, error);
}

/* Opens one scan of what is left and writes its rows. `*is_answered` tells a failure of the scan
 * from one of our own. */
static enum cellar_status scan_write(struct job *job, bool *is_scan, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_scan *scan = NULL;
    struct cellar_read *read = NULL;
    *is_scan = false;
    enum cellar_status status = read_make(job, &read, error);
    if (status == CELLAR_OK && cellar_scan_open(job->tool->client, job->options->table, read, &call,
                                                &scan) != CELLAR_E_OK) {
        status = cellar_tool_call_error(&call, error);
    } else if (status == CELLAR_OK) {
        status = rows_write(job, scan, error);
    }
    if (cellar_scan_close(scan, &call) != CELLAR_E_OK && status == CELLAR_OK) {
        *is_scan = true;
        status = cellar_tool_call_error(&call, error);
    }
    CELLAR_ASSERT(status == CELLAR_OK || error->code == status);
    cellar_read_free(read);
    return status;
}

/* True for failures that end by themselves, or were asked for. */
static bool is_for_later(enum cellar_status status)
{
    CELLAR_ASSERT(status != CELLAR_OK);
    return status == CELLAR_UNAVAILABLE || status == CELLAR_DEADLINE_EXCEEDED ||
           status == CELLAR_ABORTED || status == CELLAR_CANCELLED;
}

/* After a scan failed: waits a little; true to open another one. Patience counts from the last row,
 * not from the beginning: a server that gives rows now and then is being waited for with reason. */
static bool scan_again(struct job *job, enum cellar_status status)
{
    int64_t silence_us = cellar_clock_monotonic_us() - job->row_us;
    CELLAR_ASSERT(status != CELLAR_OK);
    if (!is_for_later(status) || silence_us >= job->options->patience_us) {
        return false;
    }
    bar_show(job, "waiting for the server");
    return !cellar_interrupt_pause(job->interrupt, PAUSE_US);
}

/* Writes all rows that are left, whatever the server does meanwhile. */
static enum cellar_status table_write(struct job *job, struct cellar_error *error)
{
    const struct cellar_export_job_options *options = job->options;
    enum cellar_status status;
    bool is_scan = false;
    do {
        if (options->rows_limit > 0 && job->row_count >= options->rows_limit) {
            return CELLAR_OK;
        }
        status = scan_write(job, &is_scan, error);
        CELLAR_ASSERT(status == CELLAR_OK || error->code == status);
    } while (status != CELLAR_OK && is_scan && scan_again(job, status));
    return status;
}

/* ---- from the beginning to the end --------------------------------------------------------- */

/* Opens the output, at the place where an earlier run left it if there is one. */
static enum cellar_status output_open(struct job *job, struct cellar_error *error)
{
    struct cellar_export_file_options options = {.path = job->options->path,
                                                 .out = job->tool->out,
                                                 .packing = job->options->packing,
                                                 .resume_bytes = job->resume_bytes};
    enum cellar_status status = cellar_export_file_open(&options, &job->file, error);
    if (status == CELLAR_NOT_FOUND) {
        /* A run that was stopped when the file had its name already leaves progress and no part:
         * whoever runs the command again wants the file anew. */
        cellar_export_range_fini(&job->options->range);
        CELLAR_TRY(
            cellar_tool_memory(cellar_export_range_copy(&job->options->range, &job->whole), error));
        job->row_count = 0;
        job->cell_count = 0;
        job->text_bytes = 0;
        job->resume_bytes = -1;
        options.resume_bytes = -1;
        status = cellar_export_file_open(&options, &job->file, error);
    }
    CELLAR_TRY(status);
    if (!cellar_export_file_is_resumable(job->file)) {
        job->progress.path = NULL;
    }
    job->row_count_before = job->row_count;
    job->text_bytes_before = job->text_bytes;
    CELLAR_ASSERT(job->file != NULL);
    return CELLAR_OK;
}

/* Takes everything that the export needs. */
static enum cellar_status job_prepare(struct job *job, struct cellar_error *error)
{
    struct cellar_call call = {0};
    if (cellar_table_describe(job->tool->client, job->options->table, &call, &job->table) !=
        CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    /* Until here there is nothing to bring to an end: a signal simply ends the program. */
    CELLAR_TRY(cellar_interrupt_start(&job->interrupt, error));
    CELLAR_TRY(
        cellar_tool_memory(cellar_export_range_copy(&job->whole, &job->options->range), error));
    CELLAR_TRY(progress_resume(job, error));
    CELLAR_TRY(output_open(job, error));
    job->printer = (struct cellar_row_printer){.format = job->options->format, .to = &job->text};
    if (job->resume_bytes < 0) {
        CELLAR_TRY(cellar_tool_memory(cellar_row_printer_start(&job->printer), error));
    }
    CELLAR_ASSERT(job->file != NULL);
    job->start_us = cellar_clock_monotonic_us();
    job->row_us = job->start_us;
    job->share_before = share_get(job);
    cellar_progress_bar_start(&job->bar, job->tool->err);
    return progress_save(job, error);
}

/* Keeps what can be gone on with after a failure, and says so behind its error. With no row written
 * there is nothing to go on with, and no file is left behind. */
static void failure_settle(struct job *job, struct cellar_error *error)
{
    struct cellar_error late;
    struct cellar_error first = *error;
    if (job->progress.path == NULL) {
        job->tool->next_step = "What was written is not the whole table.";
        return;
    }
    if (job->row_count == 0 && !is_for_later(first.code)) {
        cellar_export_file_discard(job->file);
        cellar_progress_remove(&job->progress);
        return;
    }
    CELLAR_ASSERT(first.code != CELLAR_OK);
    /* What was printed since the last time is kept as well, unless writing itself fails. */
    if (is_for_later(first.code) && progress_save(job, &late) != CELLAR_OK) {
        cellar_progress_bar_clear(&job->bar); /* the place saved before holds as well */
    }
    (void)cellar_error_set(error, first.code, "%.300s. '%.200s' keeps the place", first.text,
                           job->progress.path);
    job->tool->next_step = "Run the same command again to go on from there.";
}

/* Prints what came of it, away from the data. */
static void summary_print(struct job *job)
{
    bool is_data = strcmp(job->options->path, "-") == 0;
    double seconds = (double)(cellar_clock_monotonic_us() - job->start_us) / 1e6;
    uint64_t row_count = job->row_count - job->row_count_before;
    FILE *to = is_data ? job->tool->err : job->tool->out;
    CELLAR_ASSERT(job->row_count >= job->row_count_before);
    cellar_progress_bar_clear(&job->bar);
    (void)fprintf(to,
                  "exported %" PRIu64 " rows, %" PRIu64 " cells, %" PRIu64
                  " bytes in %.3f s (%.0f rows/s)",
                  job->row_count, job->cell_count, job->text_bytes, seconds,
                  seconds > 0 ? (double)row_count / seconds : 0.0);
    if (job->resume_bytes >= 0) {
        (void)fprintf(to, "; %" PRIu64 " of the rows before it was stopped", job->row_count_before);
    }
    (void)fprintf(to, "\n");
}

/* Runs what is set up. */
static enum cellar_status job_do(struct job *job, struct cellar_error *error)
{
    enum cellar_status status = table_write(job, error);
    if (status == CELLAR_OK) {
        status = text_write(job, error);
    }
    if (status == CELLAR_OK) {
        status = cellar_export_file_finish(job->file, error);
    }
    CELLAR_ASSERT(status == CELLAR_OK || error->code == status);
    if (status == CELLAR_OK && job->progress.path != NULL) {
        cellar_progress_remove(&job->progress);
    }
    if (status != CELLAR_OK) {
        failure_settle(job, error);
    }
    summary_print(job);
    return status;
}

enum cellar_status cellar_export_job_run(struct cellar_tool *tool,
                                         struct cellar_export_job_options *options,
                                         struct cellar_error *error)
{
    struct job job = {.tool = tool, .options = options, .resume_bytes = -1};
    CELLAR_ASSERT(options->path != NULL && options->table != NULL);
    enum cellar_status status = job_prepare(&job, error);
    if (status == CELLAR_OK) {
        status = job_do(&job, error);
    }
    cellar_progress_bar_clear(&job.bar);
    cellar_export_file_close(job.file);
    cellar_table_info_free(job.table);
    cellar_export_range_fini(&job.whole);
    cellar_buffer_fini(&job.text);
    cellar_progress_fini(&job.identity);
    cellar_buffer_fini(&job.path);
    cellar_interrupt_stop(job.interrupt);
    return status;
}
