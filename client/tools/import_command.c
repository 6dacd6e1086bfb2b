/*
 * import: a file of rows into a table.
 *
 * The main thread reads and parses; importer.c sends. Two formats: JSON lines, one row a line, and
 * Debian control data, one row a stanza, whose key is the Package field. There each field becomes a
 * cell whose qualifier is the field's name; the fields that name other packages go to the family of
 * --dependency-family, all others (Package among them) to that of --family. The timestamp of a
 * stanza is --timestamp, else the file's modification time in milliseconds (of standard input: the
 * time when the import began), plus one millisecond for each earlier stanza of the same package: so
 * a second import of the same file writes the same cells again and changes nothing.
 *
 *     lines -> jsonl.c  -> record -+
 *     lines -> deb822.c -> stanza -+-> importer.c -> the server
 *                                  +-> refused, by line
 *
 * The table is described first: a name that is wrong is told once and before anything is read. The
 * import ends with what it wrote; refused rows are told by their lines, and make the exit code 1.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "client/tools/deb822.h"
#include "client/tools/import_input.h"
#include "client/tools/importer.h"
#include "client/tools/jsonl.h"
#include "client/tools/line_reader.h"
#include "client/tools/name_count.h"
#include "client/tools/tool.h"
#include "common/cell.h"
#include "common/clock.h"

#define LINE_BYTES_MAX 33554432u
#define BATCH_ROWS_DEFAULT 250
#define PARALLEL_DEFAULT 8
#define PROGRESS_US INT64_C(200000)

/* One import. */
struct import {
    struct cellar_tool *tool;
    struct cellar_importer *importer;
    struct cellar_import_input *input;
    struct cellar_line_reader lines;
    struct cellar_arena arena;
    struct cellar_record record;
    struct cellar_deb822 stanza;
    struct cellar_name_count packages;
    const char *family;            /* NULL: jsonl lines must name theirs */
    const char *dependency_family; /* of deb822 */
    int64_t timestamp_us;          /* -1: jsonl takes the time at each line */
    int64_t start_us;              /* monotonic */
    int64_t progress_us;           /* of the last progress line; 0: there is no terminal */
    bool has_progress;             /* a progress line stands on the terminal */
};

/* ---- progress and the end ------------------------------------------------------------------ */

/* Prints a line of progress over the one before, on a terminal and not too often. */
static void progress_print(struct import *import)
{
    int64_t now_us = cellar_clock_monotonic_us();
    if (import->progress_us == 0 || now_us - import->progress_us < PROGRESS_US) {
        return;
    }
    struct cellar_import_counts counts = cellar_importer_counts(import->importer);
    double seconds = (double)(now_us - import->start_us) / 1e6;
    CELLAR_ASSERT(seconds > 0);
    import->progress_us = now_us;
    import->has_progress = true;
    (void)fprintf(import->tool->err,
                  "\r%" PRIu64 " rows, %.1f MB, %.0f rows/s, %" PRIu64 " refused ",
                  counts.row_count, (double)counts.value_bytes / 1e6,
                  (double)counts.row_count / seconds, counts.refused_count);
    (void)fflush(import->tool->err);
}

/* Tells what was written to the output and what was refused to the error output. */
static void result_print(struct import *import)
{
    struct cellar_import_counts counts = cellar_importer_counts(import->importer);
    const struct cellar_refusal *refusals;
    size_t refusal_count = cellar_importer_refusals(import->importer, &refusals);
    double seconds = (double)(cellar_clock_monotonic_us() - import->start_us) / 1e6;
    if (import->has_progress) {
        (void)fprintf(import->tool->err, "\r%*s\r", 78, "");
    }
    for (size_t index = 0; index < refusal_count; index++) {
        (void)fprintf(import->tool->err,
                      "cellar: line %" PRIu64 " refused: ", refusals[index].line);
        cellar_tool_say(import->tool->err, refusals[index].text);
        (void)fprintf(import->tool->err, "\n");
    }
    CELLAR_ASSERT(refusal_count <= counts.refused_count);
    if (refusal_count < counts.refused_count) {
        (void)fprintf(import->tool->err, "cellar: and %" PRIu64 " more refused\n",
                      counts.refused_count - refusal_count);
    }
    (void)fprintf(import->tool->out,
                  "wrote %" PRIu64 " rows, %" PRIu64 " cells, %" PRIu64
                  " bytes in %.3f s (%.0f rows/s); refused %" PRIu64 "\n",
                  counts.row_count, counts.cell_count, counts.value_bytes, seconds,
                  seconds > 0 ? (double)counts.row_count / seconds : 0.0, counts.refused_count);
    import->tool->has_refused = counts.refused_count > 0;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Hands the record over, or refuses its line when it could not be made. */
static enum cellar_status record_finish(struct import *import, uint64_t line,
                                        enum cellar_status status, struct cellar_error *error)
{
    CELLAR_ASSERT(line > 0);
    if (status == CELLAR_INVALID_ARGUMENT) {
        cellar_importer_refuse(import->importer, line, error->text);
        cellar_record_clear(&import->record);
        return CELLAR_OK;
    }
    if (status != CELLAR_OK) {
        return status;
    }
    import->record.line = line;
    CELLAR_TRY(cellar_importer_add(import->importer, &import->record, error));
    progress_print(import);
    return CELLAR_OK;
}

/* What may stand around a value; a line that was written on Windows ends with a CR. */
static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* Takes one line of JSON lines; empty ones are stepped over. */
static enum cellar_status jsonl_line(struct import *import, const struct cellar_line *line,
                                     struct cellar_error *error)
{
    struct cellar_jsonl_defaults defaults = {.family = import->family,
                                             .timestamp_us = import->timestamp_us};
    size_t blanks = 0;
    if (line->is_too_long) {
        cellar_importer_refuse(import->importer, line->number, "The line is longer than 32 MiB");
        return CELLAR_OK;
    }
    while (blanks < line->text.bytes && is_blank(line->text.data[blanks])) {
        blanks++;
    }
    if (blanks == line->text.bytes) {
        return CELLAR_OK;
    }
    if (defaults.timestamp_us < 0) {
        defaults.timestamp_us = cellar_clock_real_us() / 1000 * 1000;
    }
    CELLAR_ASSERT(import->record.cell_count == 0);
    enum cellar_status status =
        cellar_jsonl_decode(line->text, &defaults, &import->arena, &import->record, error);
    cellar_arena_reset(&import->arena);
    return record_finish(import, line->number, status, error);
}

/* True for the fields whose values name other packages. */
static bool is_dependency(struct cellar_slice name)
{
    static const char *const names[] = {"Depends",   "Pre-Depends", "Recommends",
                                        "Suggests",  "Enhances",    "Breaks",
                                        "Conflicts", "Replaces",    "Provides"};
    CELLAR_ASSERT(name.bytes > 0);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(names); index++) {
        if (name.bytes == strlen(names[index]) &&
            strncasecmp((const char *)name.data, names[index], name.bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Makes a record of a stanza without faults. */
static enum cellar_status stanza_record(struct import *import, struct cellar_slice package,
                                        struct cellar_error *error)
{
    uint64_t earlier_count;
    CELLAR_ASSERT(import->timestamp_us >= 0);
    CELLAR_TRY(cellar_name_count_add(&import->packages, package, &earlier_count, error));
    CELLAR_TRY(cellar_record_key(&import->record, package, error));
    for (size_t index = 0; index < import->stanza.field_count; index++) {
        struct cellar_slice name;
        struct cellar_record_cell cell = {.timestamp_us = import->timestamp_us};
        cellar_deb822_field(&import->stanza, index, &name, &cell.value);
        cell.qualifier = name;
        cell.family = is_dependency(name) ? import->dependency_family : import->family;
        cell.timestamp_us += (int64_t)earlier_count * 1000;
        CELLAR_TRY(cellar_record_add(&import->record, &cell, error));
    }
    return CELLAR_OK;
}

/* The bytes without the blanks at their end. */
static struct cellar_slice trim_end(struct cellar_slice text)
{
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    CELLAR_ASSERT(text.bytes == 0 || text.data != NULL);
    return text;
}

/* Takes a whole stanza. */
static enum cellar_status stanza_finish(struct import *import, struct cellar_error *error)
{
    struct cellar_slice package = {NULL, 0};
    enum cellar_status status = import->stanza.error.code;
    uint64_t line = status == CELLAR_OK ? import->stanza.line : import->stanza.error_line;
    CELLAR_ASSERT(import->stanza.line > 0);
    if (status != CELLAR_OK) {
        *error = import->stanza.error;
    } else if (!cellar_deb822_find(&import->stanza, "Package", &package)) {
        status =
            cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "The stanza has no field 'Package'");
    } else {
        package = trim_end(package);
        status = package.bytes == 0 || package.bytes > CELLAR_ROW_BYTES_MAX
                     ? cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                        "The field 'Package' must have 1 to %u bytes, but got %zu",
                                        CELLAR_ROW_BYTES_MAX, package.bytes)
                     : stanza_record(import, package, error);
    }
    status = record_finish(import, line, status, error);
    cellar_deb822_clear(&import->stanza);
    return status;
}

/* Takes one line of control data, and the stanza that it ends. */
static enum cellar_status deb822_line(struct import *import, const struct cellar_line *line,
                                      struct cellar_error *error)
{
    bool has_ended = false;
    CELLAR_ASSERT(line->number > 0);
    if (line->is_too_long) {
        cellar_deb822_refuse(&import->stanza, line->number, "The line is longer than 32 MiB");
        return CELLAR_OK;
    }
    if (cellar_deb822_line(&import->stanza, line->text, line->number, &has_ended) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a stanza");
    }
    return has_ended ? stanza_finish(import, error) : CELLAR_OK;
}

/* Reads the input to its end. */
static enum cellar_status input_read(struct import *import, bool is_deb822,
                                     struct cellar_error *error)
{
    struct cellar_line line;
    bool has_line = false;
    CELLAR_ASSERT(import->importer != NULL);
    CELLAR_TRY(cellar_line_reader_next(&import->lines, &line, &has_line, error));
    while (has_line) {
        CELLAR_TRY(is_deb822 ? deb822_line(import, &line, error)
                             : jsonl_line(import, &line, error));
        CELLAR_TRY(cellar_line_reader_next(&import->lines, &line, &has_line, error));
    }
    return import->stanza.line != 0 ? stanza_finish(import, error) : CELLAR_OK;
}

/* ---- options ------------------------------------------------------------------------------- */

/* Reads --format; false in `*is_deb822` is jsonl. */
static enum cellar_status format_get(const struct cellar_args *args, bool *is_deb822,
                                     struct cellar_error *error)
{
    const char *format = cellar_args_text(args, "format");
    CELLAR_ASSERT(is_deb822 != NULL);
    *is_deb822 = format != NULL && strcmp(format, "deb822") == 0;
    if (format == NULL || *is_deb822 || strcmp(format, "jsonl") == 0) {
        return CELLAR_OK;
    }
    if (strcmp(format, "csv") == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "This build does not have --format csv for import");
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "Option --format must be jsonl or deb822, but got '%.64s'", format);
}

/* Opens the input and sets the timestamp that the file gives. */
static enum cellar_status input_open(struct import *import, const char *path, bool is_deb822,
                                     struct cellar_error *error)
{
    CELLAR_TRY(cellar_import_input_open(path, NULL, &import->input, error));
    const struct cellar_import_input_info *info = cellar_import_input_info(import->input);
    import->lines.bytes_max = LINE_BYTES_MAX;
    import->lines.source = (struct cellar_line_source){.read = cellar_import_input_read,
                                                       .skip = cellar_import_input_skip,
                                                       .context = import->input};
    CELLAR_ASSERT(info->is_stdin || path[0] != '-' || path[1] != 0);
    /* Only a file has a time that is the same at the next import. */
    if (is_deb822 && import->timestamp_us < 0) {
        int64_t time_us = info->mtime_us < 0 ? cellar_clock_real_us() : info->mtime_us;
        import->timestamp_us = time_us / 1000 * 1000;
    }
    return CELLAR_OK;
}

/* Reads the options into the import and the importer's options. */
static enum cellar_status options_get(const struct cellar_args *args, bool is_deb822,
                                      struct import *import,
                                      struct cellar_importer_options *options,
                                      struct cellar_error *error)
{
    static const struct cellar_args_limits timestamps = {.least = 0, .most = INT64_MAX / 2};
    static const struct cellar_args_limits rows = {.least = 1,
                                                   .most = CELLAR_IMPORT_BATCH_ROWS_MAX};
    static const struct cellar_args_limits workers = {.least = 1,
                                                      .most = CELLAR_IMPORT_WORKERS_MAX};
    int64_t batch_rows_max = BATCH_ROWS_DEFAULT;
    int64_t worker_count = PARALLEL_DEFAULT;
    CELLAR_ASSERT(args->word_count == 2);
    import->timestamp_us = -1;
    CELLAR_TRY(cellar_args_number(args, "timestamp", timestamps, &import->timestamp_us, error));
    CELLAR_TRY(cellar_args_number(args, "batch", rows, &batch_rows_max, error));
    CELLAR_TRY(cellar_args_number(args, "parallel", workers, &worker_count, error));
    options->batch_rows_max = (uint32_t)batch_rows_max;
    options->worker_count = (uint32_t)worker_count;
    import->family = cellar_args_text(args, "family");
    import->dependency_family = cellar_args_text(args, "dependency-family");
    if (is_deb822) {
        import->family = import->family == NULL ? "f" : import->family;
        import->dependency_family =
            import->dependency_family == NULL ? "d" : import->dependency_family;
    } else if (import->dependency_family != NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --dependency-family belongs to --format deb822");
    }
    return CELLAR_OK;
}

/* Checks that the table is there, so that a wrong name is told once. */
static enum cellar_status table_check(struct cellar_tool *tool, const char *table,
                                      struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_table_info *info = NULL;
    CELLAR_ASSERT(table != NULL);
    if (cellar_table_describe(tool->client, table, &call, &info) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    cellar_table_info_free(info);
    return CELLAR_OK;
}

/* Opens the ledger, if one is wanted. */
static enum cellar_status ledger_open(const struct cellar_args *args, FILE **ledger,
                                      struct cellar_error *error)
{
    const char *path = cellar_args_text(args, "ledger");
    char reason[128];
    CELLAR_ASSERT(*ledger == NULL);
    if (path != NULL) {
        *ledger = fopen(path, "ae");
        if (*ledger == NULL) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Cannot open '%.200s': %s",
                                    path, strerror_r(errno, reason, sizeof reason));
        }
    }
    return CELLAR_OK;
}

/* Runs an import that is set up. */
static enum cellar_status import_do(struct import *import, bool is_deb822,
                                    const struct cellar_importer_options *options,
                                    struct cellar_error *error)
{
    /* What stopped the workers is told unless the input failed first. */
    struct cellar_error late;
    CELLAR_TRY(table_check(import->tool, options->table, error));
    CELLAR_TRY(cellar_importer_start(options, &import->importer, error));
    import->start_us = cellar_clock_monotonic_us();
    int err_fd = fileno(import->tool->err);
    import->progress_us = err_fd >= 0 && isatty(err_fd) == 1 ? import->start_us : 0;
    CELLAR_ASSERT(import->importer != NULL);
    enum cellar_status status = input_read(import, is_deb822, error);
    enum cellar_status end_status = cellar_importer_finish(import->importer, &late);
    if (status == CELLAR_OK && end_status != CELLAR_OK) {
        *error = late;
        status = end_status;
    }
    result_print(import);
    cellar_importer_free(import->importer);
    return status;
}

/* Sets an import up, runs it, and lets everything go in the order it was taken. */
static enum cellar_status import_run(struct cellar_tool *tool, const struct cellar_args *args,
                                     struct cellar_error *error)
{
    struct import import = {.tool = tool};
    struct cellar_importer_options options = {.client = tool->client, .table = args->words[0]};
    bool is_deb822 = false;
    CELLAR_ASSERT(args->word_count == 2);
    enum cellar_status status = format_get(args, &is_deb822, error);
    if (status == CELLAR_OK) {
        status = options_get(args, is_deb822, &import, &options, error);
    }
    if (status == CELLAR_OK) {
        status = input_open(&import, args->words[1], is_deb822, error);
    }
    if (status == CELLAR_OK) {
        status = ledger_open(args, &options.ledger, error);
    }
    if (status == CELLAR_OK) {
        status = import_do(&import, is_deb822, &options, error);
    }
    if (options.ledger != NULL && fclose(options.ledger) != 0 && status == CELLAR_OK) {
        status = cellar_error_set(error, CELLAR_IO_ERROR, "Cannot write the ledger");
    }
    cellar_import_input_close(import.input);
    cellar_line_reader_fini(&import.lines);
    cellar_arena_fini(&import.arena);
    cellar_record_fini(&import.record);
    cellar_deb822_fini(&import.stanza);
    cellar_name_count_fini(&import.packages);
    return status;
}

static const struct cellar_option import_options[] = {
    {"format", "jsonl|deb822", "of the input; default jsonl"},
    {"family", "cf", "of cells that name none; of deb822 fields, default f"},
    {"dependency-family", "cf", "of deb822 fields that name packages; default d"},
    {"timestamp", "US", "of cells that have none; see above for the default"},
    {"batch", "N", "rows in a request; default 250"},
    {"parallel", "N", "requests in flight; default 8"},
    {"ledger", "FILE", "append the key of each row that the server has acknowledged"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_import_commands[] = {
    {.verb = "import",
     .words = "T FILE|-",
     .summary = "Writes the rows of a file, or of standard input, to a table",
     .help =
         "    cellar scan packages --format jsonl | cellar import copy -\n"
         "    /usr/lib/apt/apt-helper cat-file FILE | cellar import packages - --format deb822\n"
         "\n"
         "jsonl: a row a line, {\"row\":..,\"cells\":[{\"family\":..,\"qualifier\":..,\n"
         "\"timestamp\":US,\"value\":..}]}; bytes that are not UTF-8 as {\"b64\":\"..\"}. Cells\n"
         "without a timestamp get the time when their line was read, in milliseconds.\n"
         "\n"
         "deb822: a row a stanza; its key is the Package field, its columns are the fields'\n"
         "names. A value keeps its continuation lines as they stand in the file. Depends,\n"
         "Pre-Depends, Recommends, Suggests, Enhances, Breaks, Conflicts, Replaces and Provides\n"
         "go to the dependency family, all others to the other. The timestamp is the file's\n"
         "modification time in milliseconds (of standard input: when the import began), plus 1\n"
         "ms for each earlier stanza of the same package, so that importing a file again\n"
         "changes nothing.\n"
         "\n"
         "Rows that cannot be read or that the server refuses are told by their line numbers;\n"
         "all others are written, and the exit code is 1.\n",
     .options = import_options,
     .word_count_min = 2,
     .word_count_max = 2,
     .patience = CELLAR_PATIENCE_LONG,
     .run = import_run},
    {.verb = NULL},
};
