/*
 * One import.
 *
 *     input -> source -> rows ------> importer -> the server
 *                     -> refusals ->     |
 *     bar, rejects, progress file <-- what is settled, in the input's order
 *
 * Everything that a user sees is taken from what is settled (import_window.h): the rejects are in
 * the input's order, and the progress file names a place below which every row is written and
 * acknowledged, or refused and told. It is saved twice a second, and rows are not held back for a
 * full batch longer than that; so an import that is killed sends again what it had in flight in its
 * last half second. Cells without a timestamp get one time for the whole import, which the progress
 * file keeps: what is sent twice is the same cells, and makes no second version.
 *
 * The file names its input by size, time and a checksum of its head, its table and the options that
 * decide what becomes of the input; it is refused where one of them is another. It goes when the
 * import has come to its end. A dry import has none and sends nothing.
 *
 * By --bulk the importer is dry, and counts and refuses as ever; what it would have sent goes into
 * a bulk load (import_bulk.h) when all of the input was read. There is no progress to keep: all of
 * it is written in the end, or nothing.
 *
 * The table is described first: a name that is wrong is told once and before anything is read. One
 * thread, but for the importer's workers and the one that waits for signals.
 */

#include "client/tools/import_job.h"

#include <inttypes.h>

#include "client/tools/import_rejects.h"
#include "client/tools/progress_bar.h"
#include "client/tools/progress_file.h"
#include "client/tools/report.h"
#include "common/clock.h"

#define TICK_US INT64_C(100000)
#define SAVE_US INT64_C(500000)
#define SILENCE_US INT64_C(2000000) /* without an answer: say what is waited for */
#define TICK_ROWS 64u

struct job {
    struct cellar_tool *tool;
    struct cellar_import_job_options *options;
    struct cellar_interrupt *interrupt;
    struct cellar_import_input *input;
    struct cellar_table_info *table;
    struct cellar_import_source *source;
    struct cellar_importer *importer;
    struct cellar_import_bulk *bulk; /* NULL: none */
    struct cellar_import_rejects rejects;
    struct cellar_progress_bar bar;
    struct cellar_buffer path; /* of the progress file, NUL-terminated */
    struct cellar_progress identity;
    struct cellar_progress_file file; /* path NULL: none is kept */
    int64_t time_us;                  /* of cells without a timestamp */
    struct cellar_import_counts counts;
    struct cellar_import_counts before; /* by earlier runs */
    int64_t before_used_bytes;          /* of the input: stepped over, no work of this run */
    uint64_t told_count;
    int64_t start_us;
    int64_t end_us;
    int64_t tick_us;
    int64_t saved_us;
    int64_t settled_us;        /* when something was settled last */
    struct cellar_error error; /* what ended it from inside a tick */
};

/* ---- the progress file --------------------------------------------------------------------- */

/* Says which input, table and options the progress is of. The head's checksum, as a file can be
 * replaced by one of the same size within the clock's tick. */
static enum cellar_status identity_make(struct job *job)
{
    const struct cellar_import_input_info *info = cellar_import_input_info(job->input);
    struct cellar_progress *identity = &job->identity;
    CELLAR_ASSERT(identity->lines.bytes == 0);
    CELLAR_TRY(cellar_progress_put(identity, "table", cellar_slice_text(job->table->name)));
    CELLAR_TRY(cellar_progress_put_number(identity, "input_bytes", info->bytes));
    CELLAR_TRY(cellar_progress_put_number(identity, "input_mtime_us", info->mtime_us));
    CELLAR_TRY(cellar_progress_put_number(identity, "input_head_crc", info->head_crc));
    return cellar_progress_put(identity, "options", job->options->words);
}

/* The file of rejects, or nothing. */
static struct cellar_slice rejects_name(const struct job *job)
{
    const char *path = job->options->rejects_path;
    CELLAR_ASSERT(path == NULL || job->options != NULL);
    return path == NULL ? cellar_slice_make(NULL, 0) : cellar_slice_text(path);
}

/* Saves the progress. Rejects are synced first: a progress file must not name more of them than the
 * disk has. */
static enum cellar_status progress_save(struct job *job, struct cellar_error *error)
{
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {
        {"time_us", (uint64_t)job->time_us},    {"position", job->counts.place.position},
        {"line", job->counts.place.line},       {"rows", job->counts.row_count},
        {"cells", job->counts.cell_count},      {"value_bytes", job->counts.value_bytes},
        {"refused", job->counts.refused_count}, {"rejects_bytes", (uint64_t)job->rejects.bytes},
    };
    struct cellar_progress progress = {0};
    if (job->file.path == NULL) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_import_rejects_sync(&job->rejects, error));
    enum cellar_status status =
        cellar_buffer_append(&progress.lines, job->identity.lines.data, job->identity.lines.bytes);
    for (size_t index = 0; status == CELLAR_OK && index < CELLAR_ARRAY_COUNT(numbers); index++) {
        CELLAR_ASSERT(numbers[index].number <= INT64_MAX);
        status = cellar_progress_put_number(&progress, numbers[index].name,
                                            (int64_t)numbers[index].number);
    }
    if (status == CELLAR_OK) {
        status = cellar_progress_put(&progress, "rejects", rejects_name(job));
    }
    status = status == CELLAR_OK ? cellar_progress_save(&progress, &job->file, error)
                                 : cellar_error_set(error, status, "No memory for an import");
    cellar_progress_fini(&progress);
    return status;
}

/* Takes the numbers of a progress file; false when one is missing. What the earlier run counted is
 * gone on with, so that the summary is of the whole import. */
static bool numbers_take(struct job *job, const struct cellar_progress *progress,
                         int64_t *rejects_bytes)
{
    int64_t numbers[7];
    static const char *const names[] = {"time_us", "position",    "line",   "rows",
                                        "cells",   "value_bytes", "refused"};
    static_assert(CELLAR_ARRAY_COUNT(names) == CELLAR_ARRAY_COUNT(numbers), "one each");
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(names); index++) {
        if (!cellar_progress_get_number(progress, names[index], 0, &numbers[index])) {
            return false;
        }
    }
    job->time_us = numbers[0];
    job->counts = (struct cellar_import_counts){
        .place = {.position = (uint64_t)numbers[1], .line = (uint64_t)numbers[2]},
        .row_count = (uint64_t)numbers[3],
        .cell_count = (uint64_t)numbers[4],
        .value_bytes = (uint64_t)numbers[5],
        .refused_count = (uint64_t)numbers[6]};
    CELLAR_ASSERT(job->time_us >= 0);
    struct cellar_buffer rejects = {0};
    bool is_taken = cellar_progress_get_number(progress, "rejects_bytes", 0, rejects_bytes) &&
                    cellar_progress_get(progress, "rejects", &rejects);
    /* Another file than before takes what is refused from here on. */
    if (is_taken && !cellar_slice_equal(cellar_slice_of(&rejects), rejects_name(job))) {
        *rejects_bytes = 0;
    }
    cellar_buffer_fini(&rejects);
    return is_taken;
}

/* Finds out where the progress file is, if there is one. */
static enum cellar_status progress_name(struct job *job)
{
    const struct cellar_import_job_options *options = job->options;
    job->file.kind = "import";
    /* A pipe has no place beside it, whatever its name is. */
    bool is_pipe =
        strcmp(options->path, "-") == 0 || cellar_import_input_info(job->input)->bytes < 0;
    if (options->importer.is_dry || (options->progress_path == NULL && is_pipe)) {
        return CELLAR_OK;
    }
    CELLAR_TRY(options->progress_path != NULL
                   ? cellar_buffer_printf(&job->path, "%s%c", options->progress_path, 0)
                   : cellar_buffer_printf(&job->path, "%s.progress%c", options->path, 0));
    CELLAR_ASSERT(job->path.bytes > 1);
    job->file.path = (const char *)job->path.data;
    return CELLAR_OK;
}

/* Reads the progress of an earlier run, if there is one. */
static enum cellar_status progress_resume(struct job *job, int64_t *rejects_bytes,
                                          struct cellar_error *error)
{
    struct cellar_progress progress = {0};
    bool is_there = false;
    *rejects_bytes = 0;
    if (identity_make(job) != CELLAR_OK || progress_name(job) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an import");
    }
    enum cellar_status status = job->file.path == NULL
                                    ? CELLAR_OK
                                    : cellar_progress_load(&job->file, &progress, &is_there, error);
    if (status == CELLAR_OK && is_there) {
        status = cellar_progress_check(&progress, &job->identity, &job->file, error);
    }
    if (status == CELLAR_OK && is_there && !numbers_take(job, &progress, rejects_bytes)) {
        status =
            cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                             "'%.300s' lacks a number; remove it to begin anew", job->file.path);
    }
    CELLAR_ASSERT(status == CELLAR_OK || error->code == status);
    job->before = job->counts;
    cellar_progress_fini(&progress);
    return status;
}

/* Saves the progress for the first time; beside an input in a folder that cannot be written an
 * import runs without. */
static enum cellar_status progress_begin(struct job *job, struct cellar_error *error)
{
    enum cellar_status status = progress_save(job, error);
    if (status != CELLAR_IO_ERROR || job->options->progress_path != NULL) {
        return status;
    }
    CELLAR_ASSERT(job->file.path != NULL);
    (void)fprintf(job->tool->err, "cellar: no progress is kept: ");
    cellar_tool_say(job->tool->err, error->text);
    (void)fprintf(job->tool->err, " (--progress FILE names another place)\n");
    job->file.path = NULL;
    return CELLAR_OK;
}

/* ---- what is settled ----------------------------------------------------------------------- */

/* Tells one refusal and keeps its lines. The first few on the terminal, all of them in the file of
 * rejects. */
static enum cellar_status refusal_tell(struct job *job, const struct cellar_refusal *refusal,
                                       struct cellar_error *error)
{
    FILE *err = job->tool->err;
    CELLAR_ASSERT(refusal->line > 0 && refusal->line <= refusal->line_last);
    if (job->told_count < CELLAR_IMPORT_TOLD_MAX) {
        job->told_count++;
        cellar_progress_bar_clear(&job->bar);
        if (refusal->line == refusal->line_last) {
            (void)fprintf(err, "cellar: line %" PRIu64 " refused: ", refusal->line);
        } else {
            (void)fprintf(err, "cellar: lines %" PRIu64 " to %" PRIu64 " refused: ", refusal->line,
                          refusal->line_last);
        }
        cellar_tool_say(err, refusal->text);
        (void)fprintf(err, "\n");
    }
    return cellar_import_rejects_write(&job->rejects, cellar_slice_of(&refusal->raw), error);
}

/* Settles what is answered and tells refusals. All refusals are freed whatever happens; after a
 * failure none is told any more. */
static enum cellar_status rows_settle(struct job *job, struct cellar_error *error)
{
    enum cellar_status status = CELLAR_OK;
    uint64_t position = job->counts.place.position;
    struct cellar_refusal *refusal = cellar_importer_settle(job->importer, &job->counts);
    while (refusal != NULL) {
        struct cellar_refusal *next = refusal->next;
        if (status == CELLAR_OK) {
            status = refusal_tell(job, refusal, error);
        }
        cellar_refusal_free(refusal);
        refusal = next;
    }
    CELLAR_ASSERT(job->counts.place.position >= position);
    if (job->counts.place.position != position) {
        job->settled_us = cellar_clock_monotonic_us();
    }
    return status;
}

/* Draws the bar. */
static void bar_show(struct job *job)
{
    const struct cellar_import_input_info *info = cellar_import_input_info(job->input);
    int64_t silence_us = cellar_clock_monotonic_us() - job->settled_us;
    struct cellar_progress_view view = {
        .done_bytes = cellar_import_input_used_bytes(job->input),
        .total_bytes = info->bytes,
        .share = -1,
        .before_bytes = job->before_used_bytes,
        .row_count = job->counts.row_count - job->before.row_count,
        .refused_count = job->counts.refused_count,
        .note = silence_us < SILENCE_US ? NULL
                : cellar_interrupt_is_set(job->interrupt)
                    ? "waiting for what is in flight; interrupt again to end at once"
                    : "waiting",
    };
    CELLAR_ASSERT(view.done_bytes >= view.before_bytes);
    cellar_progress_bar_show(&job->bar, &view);
}

/* Does what is due several times a second; false when the import is to stop. An interrupt keeps
 * partial batches back: what was not sent yet is sent by the next run. */
static bool tick(void *context)
{
    struct job *job = context;
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(job->importer != NULL);
    if (now_us - job->tick_us >= TICK_US && job->error.code == CELLAR_OK) {
        job->tick_us = now_us;
        enum cellar_status status = rows_settle(job, &job->error);
        if (status == CELLAR_OK && now_us - job->saved_us >= SAVE_US) {
            job->saved_us = now_us;
            if (!cellar_interrupt_is_set(job->interrupt)) {
                cellar_importer_push(job->importer);
            }
            status = progress_save(job, &job->error);
        }
        CELLAR_ASSERT(status == job->error.code);
        bar_show(job);
    }
    return job->error.code == CELLAR_OK && !cellar_interrupt_is_set(job->interrupt) &&
           job->counts.refused_count <= job->options->errors_max;
}

/* ---- from the beginning to the end --------------------------------------------------------- */

/* A row of a bulk load is taken, or refused like one that cannot be read, also by a dry run. Other
 * imports have no range. */
static enum cellar_status row_take(struct job *job, const struct cellar_record *record,
                                   enum cellar_source_outcome *outcome, struct cellar_error *error)
{
    if (*outcome != CELLAR_SOURCE_ROW) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(record->cell_count > 0);
    if (cellar_import_bulk_range_check(&job->options->bulk.range, record, error) != CELLAR_OK) {
        *outcome = CELLAR_SOURCE_REFUSED;
        return CELLAR_OK;
    }
    if (job->bulk == NULL) {
        return CELLAR_OK;
    }
    bool is_refused = false;
    CELLAR_TRY(cellar_import_bulk_put(job->bulk, record, &is_refused, error));
    *outcome = is_refused ? CELLAR_SOURCE_REFUSED : CELLAR_SOURCE_ROW;
    return CELLAR_OK;
}

/* Hands rows over until the input ends or something stops it. Refusals go through the importer as
 * rows do, which keeps them in the input's order. */
static enum cellar_status rows_hand_over(struct job *job, struct cellar_record *record,
                                         struct cellar_error *error)
{
    enum cellar_source_outcome outcome = CELLAR_SOURCE_ROW;
    for (uint64_t count = 1; outcome != CELLAR_SOURCE_END; count++) {
        /* A dry import never waits, so the window is looked after here. */
        if (count % TICK_ROWS == 0 && !tick(job)) {
            return cellar_error_set(error, CELLAR_CANCELLED, "Interrupted");
        }
        CELLAR_TRY(cellar_import_source_next(job->source, record, &outcome, error));
        CELLAR_TRY(row_take(job, record, &outcome, error));
        struct cellar_import_place place = cellar_import_source_place(job->source);
        if (outcome == CELLAR_SOURCE_ROW) {
            CELLAR_TRY(cellar_importer_add(job->importer, record, place, error));
        } else if (outcome == CELLAR_SOURCE_REFUSED) {
            CELLAR_TRY(cellar_importer_refuse(job->importer, record, place, error));
        }
        CELLAR_ASSERT(record->cell_count == 0);
    }
    return CELLAR_OK;
}

/* Reads and sends everything and waits for the answers. */
static enum cellar_status rows_move(struct job *job, struct cellar_error *error)
{
    struct cellar_record record = {0};
    struct cellar_error late;
    enum cellar_status status = rows_hand_over(job, &record, error);
    enum cellar_status end_status =
        cellar_importer_finish(job->importer, status == CELLAR_CANCELLED, &late);
    cellar_record_fini(&record);
    CELLAR_ASSERT(end_status == late.code);
    /* What stopped the workers says more than that the reader had to stop. */
    if (end_status != CELLAR_OK && (status == CELLAR_OK || status == CELLAR_CANCELLED)) {
        *error = late;
        status = end_status;
    }
    enum cellar_status settle_status = rows_settle(job, &late);
    if (settle_status != CELLAR_OK && job->error.code == CELLAR_OK) {
        job->error = late;
    }
    if (job->error.code != CELLAR_OK) {
        *error = job->error;
        return error->code;
    }
    if (job->counts.refused_count > job->options->errors_max &&
        (status == CELLAR_OK || status == CELLAR_CANCELLED)) {
        return cellar_error_set(error, CELLAR_CANCELLED,
                                "Stopped by %" PRIu64 " refusals, more than --max-errors %" PRIu64,
                                job->counts.refused_count, job->options->errors_max);
    }
    return status;
}

/* Draws the bar of the second half of a bulk load. */
static void loaded_show(void *context, uint64_t bytes, uint64_t bytes_total, uint64_t row_count)
{
    struct job *job = context;
    const struct cellar_progress_view view = {.done_bytes = (int64_t)bytes,
                                              .total_bytes = (int64_t)bytes_total,
                                              .share = -1,
                                              .row_count = row_count,
                                              .refused_count = job->counts.refused_count,
                                              .note = "loading"};
    CELLAR_ASSERT(bytes <= bytes_total);
    cellar_progress_bar_show(&job->bar, &view);
}

/* Loads what was read. What failed has written nothing, whatever was counted. */
static enum cellar_status bulk_end(struct job *job, enum cellar_status status,
                                   struct cellar_error *error)
{
    struct cellar_bulk_counts loaded;
    CELLAR_ASSERT(job->bulk != NULL);
    if (status == CELLAR_OK) {
        cellar_progress_bar_clear(&job->bar);
        cellar_progress_bar_start(&job->bar, job->tool->err);
        status = cellar_import_bulk_finish(job->bulk, &loaded, error);
    }
    if (status != CELLAR_OK) {
        job->counts.row_count = 0;
        job->counts.cell_count = 0;
        job->counts.value_bytes = 0;
    }
    return status;
}

/* True for failures at which rows may be written that nobody has acknowledged. */
static bool is_sent(enum cellar_status status)
{
    CELLAR_ASSERT(status != CELLAR_OK);
    return status != CELLAR_INVALID_ARGUMENT && status != CELLAR_NOT_FOUND;
}

/* Says behind an error how to go on. */
static void advice_add(struct job *job, struct cellar_error *error)
{
    char text[CELLAR_ERROR_TEXT_BYTES_MAX];
    size_t bytes = strlen(error->text);
    (void)snprintf(text, sizeof text, "%.*s",
                   (int)(bytes > 0 && error->text[bytes - 1] == '.' ? bytes - 1 : bytes),
                   error->text);
    CELLAR_ASSERT(error->code != CELLAR_OK);
    if (job->bulk != NULL) {
        (void)cellar_error_set(error, error->code, "%.300s. %s", text,
                               error->code == CELLAR_OUTCOME_UNKNOWN
                                   ? "All of the rows are there, or none"
                                   : "Nothing was loaded");
        return;
    }
    if (job->options->importer.is_dry) {
        job->tool->next_step = "Nothing was written.";
    } else if (job->file.path != NULL) {
        (void)cellar_error_set(error, error->code,
                               "%.300s. Everything up to line %" PRIu64
                               " is done, and '%.200s' keeps the place",
                               text, job->counts.place.line, job->file.path);
        job->tool->next_step = "Run the same command again to go on from there.";
    } else {
        (void)cellar_error_set(error, error->code,
                               "%.300s. Everything up to line %" PRIu64 " is done", text,
                               job->counts.place.line);
        job->tool->next_step = "Nothing keeps the place: the same command begins anew, and cells "
                               "without a timestamp get another version. See --progress and "
                               "--timestamp.";
    }
}

/* Whether nothing is to be written. */
static bool is_dry(const struct job *job)
{
    CELLAR_ASSERT(job->options->importer.is_dry || !job->options->is_bulk);
    return job->options->importer.is_dry && !job->options->is_bulk;
}

/* Prints what came of it as a sentence. */
static void summary_say(const struct job *job, int64_t elapsed_us)
{
    const struct cellar_import_counts *counts = &job->counts;
    uint64_t row_count = counts->row_count - job->before.row_count;
    double seconds = (double)elapsed_us / 1e6;
    CELLAR_ASSERT(counts->row_count >= job->before.row_count);
    (void)fprintf(job->tool->out,
                  "%s %" PRIu64 " rows, %" PRIu64 " cells, %" PRIu64
                  " bytes in %.3f s (%.0f rows/s); refused %" PRIu64,
                  is_dry(job) ? "would write" : "wrote", counts->row_count, counts->cell_count,
                  counts->value_bytes, seconds, seconds > 0 ? (double)row_count / seconds : 0.0,
                  counts->refused_count);
    if (job->before.place.position > 0) {
        (void)fprintf(job->tool->out, "; %" PRIu64 " of the rows before it was stopped",
                      job->before.row_count);
    }
    (void)fprintf(job->tool->out, "\n");
}

/* Prints what came of it, and how many refusals were not told one by one. */
static enum cellar_status summary_print(struct job *job, struct cellar_error *error)
{
    const struct cellar_import_counts *counts = &job->counts;
    int64_t elapsed_us = CELLAR_MAX(job->end_us - job->start_us, INT64_C(0));
    const struct cellar_report_field fields[] = {
        {.name = "dry_run", .kind = CELLAR_REPORT_BOOL, .number = is_dry(job)},
        {.name = "rows", .number = counts->row_count},
        {.name = "cells", .number = counts->cell_count},
        {.name = "bytes", .number = counts->value_bytes},
        {.name = "refused", .number = counts->refused_count},
        {.name = "rows_before", .number = job->before.row_count},
        {.name = "seconds", .kind = CELLAR_REPORT_MICROS, .number = (uint64_t)elapsed_us},
    };
    uint64_t refused_count = counts->refused_count - job->before.refused_count;
    CELLAR_ASSERT(refused_count <= counts->refused_count);
    cellar_progress_bar_clear(&job->bar);
    if (refused_count > job->told_count) {
        (void)fprintf(job->tool->err, "cellar: and %" PRIu64 " more refused\n",
                      refused_count - job->told_count);
    }
    job->tool->has_refused = counts->refused_count > 0;
    if (job->options->report_format != CELLAR_FORMAT_TEXT) {
        return cellar_report_print(job->tool, job->options->report_format, fields,
                                   CELLAR_ARRAY_COUNT(fields), error);
    }
    summary_say(job, elapsed_us);
    return CELLAR_OK;
}

/* Runs what is set up. */
static enum cellar_status job_do(struct job *job, struct cellar_error *error)
{
    CELLAR_TRY(cellar_importer_start(&job->options->importer, &job->importer, error));
    job->start_us = cellar_clock_monotonic_us();
    job->settled_us = job->start_us;
    job->saved_us = job->start_us;
    cellar_progress_bar_start(&job->bar, job->tool->err);
    struct cellar_error late;
    enum cellar_status status = rows_move(job, error);
    if (job->bulk != NULL) {
        status = bulk_end(job, status, error);
    }
    job->end_us = cellar_clock_monotonic_us();
    enum cellar_status summary_status = summary_print(job, &late);
    if (status == CELLAR_OK && summary_status != CELLAR_OK) {
        *error = late;
        status = summary_status;
    }
    CELLAR_ASSERT(status == CELLAR_OK || error->code == status);
    if (status == CELLAR_OK) {
        status = cellar_import_rejects_sync(&job->rejects, error);
    }
    if (status == CELLAR_OK && job->file.path != NULL) {
        cellar_progress_remove(&job->file);
    } else if (status != CELLAR_OK && job->counts.place.position == 0 && job->file.path != NULL &&
               !is_sent(status)) {
        cellar_progress_remove(&job->file); /* nothing was done: there is nothing to go on with */
    } else if (status != CELLAR_OK) {
        if (progress_save(job, &late) != CELLAR_OK) {
            cellar_progress_bar_clear(&job->bar); /* the place saved before holds as well */
        }
        advice_add(job, error);
    }
    return status;
}

/* Opens the source at the place where the import begins. */
static enum cellar_status source_begin(struct job *job, struct cellar_error *error)
{
    struct cellar_source_options *source = &job->options->source;
    const struct cellar_import_input_info *info = cellar_import_input_info(job->input);
    /* Only a file has a time that is the same at the next import. */
    if (source->timestamp_us < 0) {
        bool has_file_time = source->format == CELLAR_IMPORT_DEB822 && info->mtime_us >= 0;
        source->timestamp_us = (has_file_time ? info->mtime_us : job->time_us) / 1000 * 1000;
    }
    source->has_raw = job->options->rejects_path != NULL;
    source->is_checked = job->options->importer.is_dry;
    source->table = job->table;
    CELLAR_TRY(cellar_import_source_open(source, job->input, &job->source, error));
    if (job->rejects.bytes == 0) {
        /* So that the rejects can be corrected and imported by the same command. */
        CELLAR_TRY(cellar_import_rejects_write(&job->rejects,
                                               cellar_import_source_header(job->source), error));
    }
    if (job->counts.place.position > 0) {
        CELLAR_TRY(cellar_import_source_skip(job->source, job->counts.place, error));
    }
    job->before_used_bytes = cellar_import_input_used_bytes(job->input);
    CELLAR_ASSERT(job->before_used_bytes >= 0);
    return CELLAR_OK;
}

static enum cellar_status bulk_begin(struct job *job, struct cellar_error *error)
{
    struct cellar_import_bulk_options *bulk = &job->options->bulk;
    CELLAR_ASSERT(job->file.path == NULL && job->bulk == NULL);
    bulk->client = job->options->importer.client;
    bulk->table = job->options->importer.table;
    bulk->interrupt = job->interrupt;
    bulk->on_loaded = loaded_show;
    bulk->context = job;
    return cellar_import_bulk_start(bulk, &job->bulk, error);
}

/* Takes everything that the import needs, in the order in which it can be wrong. */
static enum cellar_status job_prepare(struct job *job, struct cellar_error *error)
{
    struct cellar_import_job_options *options = job->options;
    struct cellar_import_rejects_terms rejects = {0};
    struct cellar_call call = {0};
    CELLAR_TRY(cellar_import_input_open(options->path, NULL, &job->input, error));
    if (cellar_table_describe(job->tool->client, options->importer.table, &call, &job->table) !=
        CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    /* Until here there is nothing to bring to an end: a signal simply ends the program. */
    CELLAR_TRY(cellar_interrupt_start(&job->interrupt, error));
    cellar_import_input_watch(job->input, job->interrupt);
    options->importer.interrupt = job->interrupt;
    options->importer.on_wait = tick;
    options->importer.context = job;
    CELLAR_TRY(progress_resume(job, &rejects.bytes, error));
    rejects.input_fd = cellar_import_input_fd(job->input);
    CELLAR_TRY(cellar_import_rejects_open(&job->rejects, options->rejects_path, rejects, error));
    CELLAR_ASSERT(job->importer == NULL);
    CELLAR_TRY(source_begin(job, error));
    if (options->is_bulk) {
        CELLAR_TRY(bulk_begin(job, error));
    }
    return progress_begin(job, error);
}

enum cellar_status cellar_import_job_run(struct cellar_tool *tool,
                                         struct cellar_import_job_options *options,
                                         struct cellar_error *error)
{
    struct job job = {.tool = tool, .options = options, .time_us = cellar_clock_real_us()};
    CELLAR_ASSERT(options->path != NULL && options->importer.table != NULL);
    enum cellar_status status = job_prepare(&job, error);
    if (status == CELLAR_OK) {
        status = job_do(&job, error);
    }
    cellar_importer_free(job.importer);
    cellar_import_bulk_free(job.bulk);
    cellar_import_source_close(job.source);
    cellar_import_rejects_close(&job.rejects);
    cellar_import_input_close(job.input);
    cellar_table_info_free(job.table);
    cellar_progress_fini(&job.identity);
    cellar_buffer_fini(&job.path);
    cellar_interrupt_stop(job.interrupt);
    return status;
}
