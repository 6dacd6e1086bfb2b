/*
 * import: a file of rows into a table. The options are read here, those that export has too by
 * transfer.c; import_job.c does it.
 */

#include <stdlib.h>
#include <string.h>

#include "client/tools/csv_map.h"
#include "client/tools/import_job.h"
#include "client/tools/select.h"
#include "client/tools/transfer.h"

#define BATCH_ROWS_DEFAULT 250
#define PARALLEL_DEFAULT 8
#define ERRORS_MAX_DEFAULT 1000
#define SORT_MEBIBYTES_DEFAULT 256
#define BULK_TIMEOUT_US INT64_C(3600000000) /* a commit syncs all that was loaded */

static const struct cellar_transfer_format formats[] = {
    [CELLAR_IMPORT_JSONL] = {"jsonl", ".jsonl"},
    [CELLAR_IMPORT_DEB822] = {"deb822", NULL},
    [CELLAR_IMPORT_CSV] = {"csv", ".csv"},
};

/* Options of its own that do not decide what becomes of the input. */
static const char *const manner_options[] = {"batch",       "parallel", "rejects", "max-errors",
                                             "dry-run",     "report",   "bulk",    "sorted",
                                             "sort-memory", "tmp-dir"};

static const struct cellar_transfer_kind import_kind = {
    .formats = formats,
    .format_count = CELLAR_ARRAY_COUNT(formats),
    .formats_text = "jsonl, csv or deb822",
    .manner_options = manner_options,
    .manner_count = CELLAR_ARRAY_COUNT(manner_options),
};

/* Reads the numbers. */
static enum cellar_status numbers_get(const struct cellar_args *args,
                                      struct cellar_import_job_options *options,
                                      struct cellar_error *error)
{
    static const struct cellar_args_limits timestamps = {.least = 0, .most = INT64_MAX / 2};
    static const struct cellar_args_limits rows = {.least = 1,
                                                   .most = CELLAR_IMPORT_BATCH_ROWS_MAX};
    static const struct cellar_args_limits workers = {.least = 1,
                                                      .most = CELLAR_IMPORT_WORKERS_MAX};
    static const struct cellar_args_limits errors = {.least = 0, .most = INT64_MAX};
    int64_t batch_rows_max = BATCH_ROWS_DEFAULT;
    int64_t worker_count = PARALLEL_DEFAULT;
    int64_t errors_max = ERRORS_MAX_DEFAULT;
    options->source.timestamp_us = -1;
    CELLAR_TRY(
        cellar_args_number(args, "timestamp", timestamps, &options->source.timestamp_us, error));
    CELLAR_TRY(cellar_args_number(args, "batch", rows, &batch_rows_max, error));
    CELLAR_TRY(cellar_args_number(args, "parallel", workers, &worker_count, error));
    CELLAR_TRY(cellar_args_number(args, "max-errors", errors, &errors_max, error));
    CELLAR_ASSERT(worker_count >= 1 && batch_rows_max >= 1 && errors_max >= 0);
    options->importer.batch_rows_max = (uint32_t)batch_rows_max;
    options->importer.worker_count = (uint32_t)worker_count;
    options->errors_max = (uint64_t)errors_max;
    return CELLAR_OK;
}

/* Reads the families, which deb822 has defaults for. */
static enum cellar_status families_get(const struct cellar_args *args,
                                       struct cellar_source_options *source,
                                       struct cellar_error *error)
{
    source->family = cellar_args_text(args, "family");
    source->dependency_family = cellar_args_text(args, "dependency-family");
    if (source->format == CELLAR_IMPORT_DEB822) {
        source->family = source->family == NULL ? "f" : source->family;
        source->dependency_family =
            source->dependency_family == NULL ? "d" : source->dependency_family;
        CELLAR_ASSERT(source->dependency_family != NULL);
    } else if (source->dependency_family != NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --dependency-family belongs to --format deb822");
    }
    return CELLAR_OK;
}

/* Reads --report, the format of the summary: --format is the input's. */
static enum cellar_status report_get(const struct cellar_args *args, enum cellar_format *format,
                                     struct cellar_error *error)
{
    const char *name = cellar_args_text(args, "report");
    *format = CELLAR_FORMAT_TEXT;
    CELLAR_ASSERT(args->word_count == 2);
    return name == NULL || cellar_format_decode(name, format)
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Option --report must be text, json, jsonl or csv, but got "
                                  "'%.64s'",
                                  name);
}

/* The folder of the input; the one that the program stands in for standard input. */
static const char *folder_beside(const char *path, struct cellar_buffer *folder)
{
    const char *slash = strrchr(path, '/');
    size_t bytes = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    CELLAR_ASSERT(folder->bytes == 0);
    if (bytes == 0 || cellar_buffer_append(folder, path, bytes) != CELLAR_OK ||
        cellar_buffer_append(folder, "", 1) != CELLAR_OK) {
        return ".";
    }
    return (const char *)folder->data;
}

/* What the options of --bulk borrow. */
struct bulk_memory {
    struct cellar_buffer folder;
    struct cellar_buffer start;
    struct cellar_buffer end;
};

/* Reads the range that is loaded. */
static enum cellar_status range_get(const struct cellar_args *args, struct bulk_memory *memory,
                                    struct cellar_bulk_range *range, struct cellar_error *error)
{
    bool has_start = false;
    bool has_end = false;
    CELLAR_TRY(cellar_select_bytes(args, "start", &memory->start, &has_start, error));
    CELLAR_TRY(cellar_select_bytes(args, "end", &memory->end, &has_end, error));
    range->start = cellar_view_of(memory->start.data, memory->start.bytes);
    range->end = cellar_view_of(memory->end.data, memory->end.bytes);
    CELLAR_ASSERT(has_end || range->end.bytes == 0);
    return has_end && cellar_slice_compare(cellar_slice_of(&memory->start),
                                           cellar_slice_of(&memory->end)) >= 0
               ? cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Option --start must be less than --end")
               : CELLAR_OK;
}

/* Reads the options of --bulk. @param memory  receives what the options borrow */
static enum cellar_status bulk_get(const struct cellar_args *args,
                                   struct cellar_import_job_options *options,
                                   struct bulk_memory *memory, struct cellar_error *error)
{
    static const char *const others[] = {"sorted", "sort-memory", "tmp-dir", "start", "end"};
    static const struct cellar_args_limits mebibytes = {.least = 1, .most = 1048576};
    int64_t memory_mebibytes = SORT_MEBIBYTES_DEFAULT;
    bool is_bulk = cellar_args_has(args, "bulk");
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(others) && !is_bulk; i++) {
        if (cellar_args_has(args, others[i])) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Option --%s belongs to --bulk",
                                    others[i]);
        }
    }
    if (is_bulk && cellar_args_has(args, "progress")) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --progress does not go with --bulk, which writes all or "
                                "nothing");
    }
    CELLAR_TRY(cellar_args_number(args, "sort-memory", mebibytes, &memory_mebibytes, error));
    CELLAR_ASSERT(memory_mebibytes >= 1);
    const char *directory = cellar_args_text(args, "tmp-dir");
    directory = directory != NULL ? directory : getenv("TMPDIR");
    options->is_bulk = is_bulk && !options->importer.is_dry;
    options->importer.is_dry = options->importer.is_dry || is_bulk;
    options->bulk = (struct cellar_import_bulk_options){
        .memory_bytes = (uint64_t)memory_mebibytes << 20,
        .directory = directory != NULL && directory[0] != '\0'
                         ? directory
                         : folder_beside(options->path, &memory->folder),
        .is_sorted = cellar_args_has(args, "sorted"),
        .timeout_us = CELLAR_MAX(options->importer.patience_us, BULK_TIMEOUT_US),
    };
    return range_get(args, memory, &options->bulk.range, error);
}

/* Reads what is import's own. */
static enum cellar_status options_get(const struct cellar_args *args,
                                      const struct cellar_transfer *transfer,
                                      struct cellar_import_job_options *options,
                                      struct cellar_error *error)
{
    const char *csv_option = cellar_csv_option_given(args);
    CELLAR_ASSERT(args->word_count == 2);
    options->path = transfer->path;
    options->progress_path = transfer->progress_path;
    options->words = cellar_slice_of(&transfer->words);
    options->importer.table = transfer->table;
    options->importer.patience_us = transfer->patience_us;
    options->importer.is_dry = cellar_args_has(args, "dry-run");
    options->rejects_path = cellar_args_text(args, "rejects");
    options->source.format = (enum cellar_import_format)transfer->format;
    options->source.args = args;
    if (options->source.format != CELLAR_IMPORT_CSV && csv_option != NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --%s belongs to --format csv", csv_option);
    }
    CELLAR_TRY(report_get(args, &options->report_format, error));
    CELLAR_TRY(numbers_get(args, options, error));
    return families_get(args, &options->source, error);
}

/* Reads the options and runs the import. */
static enum cellar_status import_run(struct cellar_tool *tool, const struct cellar_args *args,
                                     struct cellar_error *error)
{
    struct cellar_import_job_options options = {.importer = {.client = tool->client}};
    struct cellar_transfer transfer = {0};
    struct bulk_memory memory = {.folder = {0}};
    CELLAR_ASSERT(tool->client != NULL);
    enum cellar_status status = cellar_transfer_read(&import_kind, args, &transfer, error);
    if (status == CELLAR_INVALID_ARGUMENT && cellar_args_has(args, "format")) {
        tool->next_step = "--format is the input's; --report names the format of the summary.";
    }
    status = status == CELLAR_OK ? options_get(args, &transfer, &options, error) : status;
    status = status == CELLAR_OK ? bulk_get(args, &options, &memory, error) : status;
    status = status == CELLAR_OK ? cellar_import_job_run(tool, &options, error) : status;
    cellar_buffer_fini(&memory.folder);
    cellar_buffer_fini(&memory.start);
    cellar_buffer_fini(&memory.end);
    cellar_transfer_fini(&transfer);
    return status;
}

static const struct cellar_option import_options[] = {
    {"format", "jsonl|csv|deb822", "of the input; default by the file's name, else jsonl"},
    {"family", "cf", "of cells that name none; of CSV's other columns; of deb822, default f"},
    {"dependency-family", "cf", "of deb822 fields that name packages; default d"},
    {"timestamp", "US", "of cells that have none; see above for the default"},
    {"key", "COLUMN", "csv: this column is the row's key; several are joined"},
    {"key-separator", "S", "csv: between the columns of the key; default #"},
    {"column", "NAME=cf:q", "csv: column NAME becomes cells of cf:q"},
    {"type", "NAME=TYPE", "csv: what the fields of column NAME stand for; default text"},
    {"timestamp-column", "NAME", "csv: the column with the timestamp of a record's cells"},
    {"timestamp-unit", "us|ms|s", "csv: of that column; default us"},
    {"empty", "skip|store", "csv: whether an empty field becomes a cell; default skip"},
    {"no-header", NULL, "csv: the first line is a record; --columns names the columns"},
    {"columns", "A,B,..", "csv: the columns' names, in their order"},
    {"delimiter", "C", "csv: between fields, such as ; or \\t; default ,"},
    {"batch", "N", "rows in a request; default 250"},
    {"parallel", "N", "requests in flight; default 8"},
    {"max-errors", "N", "stop when more rows than that are refused; default 1000"},
    {"rejects", "FILE", "write the refused lines there, as they are"},
    {"progress", "FILE", "where progress is kept; default FILE.progress"},
    {"bulk", NULL, "into an empty table or range, by one bulk load: all rows or none"},
    {"start", "A", "bulk: into the rows from A on"},
    {"end", "B", "bulk: into the rows up to B, without it"},
    {"sorted", NULL, "bulk: the rows are in the order of their keys, and are not sorted"},
    {"sort-memory", "MIB", "bulk: memory for sorting; default 256"},
    {"tmp-dir", "DIR", "bulk: for what memory does not hold; default TMPDIR, else beside FILE"},
    {"dry-run", NULL, "check the whole input and send nothing"},
    {"report", "text|json|jsonl|csv", "how the summary is printed; default text"},
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
         "The input may be compressed with gzip or zstd; its first bytes tell.\n"
         "\n"
         "jsonl: a row a line, {\"row\":..,\"cells\":[{\"family\":..,\"qualifier\":..,\n"
         "\"timestamp\":US,\"value\":..}]}; bytes that are not UTF-8 as {\"b64\":\"..\"}. A line\n"
         "may have 256 MiB; a row above 4 MiB is checked, then written in several writes.\n"
         "\n"
         "csv: RFC 4180, any bytes; fields in quotes may hold line ends. The header names the\n"
         "columns. Of files that `cellar export` and `scan --format csv` write\n"
         "(row,family,qualifier,timestamp,value) each record is a cell, all bytes escaped as\n"
         "\\xNN; records of one row that follow each other are written together. Of any other\n"
         "file each record is a row:\n"
         "\n"
         "    cellar import people list.csv --key id --family p --type age=int64\n"
         "    cellar import t a.csv --key region --key id --column name=p:name --empty store\n"
         "\n"
         "A column goes where --column says, else to --family with its name as the qualifier,\n"
         "else nowhere. TYPE: text (the bytes as they are), int64 and float64 (8 bytes,\n"
         "big-endian), base64, hex, json (checked, kept as text), escaped (\\xNN).\n"
         "\n"
         "deb822: a row a stanza; its key is the Package field, its columns are the fields'\n"
         "names. A value keeps its continuation lines as they stand in the file. Depends,\n"
         "Pre-Depends, Recommends, Suggests, Enhances, Breaks, Conflicts, Replaces and Provides\n"
         "go to the dependency family, all others to the other. The timestamp is the file's\n"
         "modification time in milliseconds (of standard input: when the import began), plus 1\n"
         "ms for each earlier stanza of the same package, so that importing a file again\n"
         "changes nothing.\n"
         "\n"
         "Cells without a timestamp get the time when the import began, in milliseconds: one\n"
         "time for the whole input, so that of two lines with the same column the later wins.\n"
         "\n"
         "Lines that cannot be read or that the server refuses are told by their numbers, up to\n"
         "--max-errors; all others are written, and the exit code is 1. The summary says how\n"
         "many rows were written, or with --dry-run would be; --report makes it one for\n"
         "programs: dry_run, rows, cells, bytes, refused, rows_before (an interrupt) and\n"
         "seconds. --format is the input's.\n"
         "\n"
         "What is done is kept in FILE.progress until the end. After Ctrl-C, a kill or a failure\n"
         "the same command goes on from there; what it sends twice it writes once, with the\n"
         "timestamps of the first run. Standard input has to be given again from its beginning,\n"
         "and needs --progress. A server that restarts is waited for (--timeout, default 1m).\n"
         "\n"
         "--bulk is for a table without rows: the input is read and sorted, what exceeds\n"
         "--sort-memory in a file without a name, then loaded past the server's log, and seen\n"
         "all at once. --start and --end name a range of a table that has other rows; the range\n"
         "has none, and rows outside of it are refused. Rows of one key are joined. It cannot\n"
         "go on after an interrupt or a failure: nothing was written then. --sorted spares the\n"
         "sorting; a row that is out of order ends it. A row may have 255 MiB, of all its lines;\n"
         "the line that would be too much is refused.\n",
     .options = import_options,
     .word_count_min = 2,
     .word_count_max = 2,
     .patience = CELLAR_PATIENCE_LONG,
     .run = import_run},
    {.verb = NULL},
};
