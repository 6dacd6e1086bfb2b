/*
 * export: a table, or some of it, into a file. The options are read here, those that import has too
 * by transfer.c; export_job.c does it.
 */

#include "client/tools/export_job.h"
#include "client/tools/select.h"
#include "client/tools/transfer.h"

static const struct cellar_transfer_format formats[] = {{"jsonl", ".jsonl"}, {"csv", ".csv"}};
static const enum cellar_format format_of[] = {CELLAR_FORMAT_JSONL, CELLAR_FORMAT_CSV};
static_assert(CELLAR_ARRAY_COUNT(formats) == CELLAR_ARRAY_COUNT(format_of), "one each");

/* Compared as they are found, whether they were given or follow from the file's name. */
static const char *const manner_options[] = {"format", "compress"};

static const struct cellar_transfer_kind export_kind = {
    .formats = formats,
    .format_count = CELLAR_ARRAY_COUNT(formats),
    .formats_text = "jsonl or csv",
    .manner_options = manner_options,
    .manner_count = CELLAR_ARRAY_COUNT(manner_options),
};

/* Reads --compress, else the file's name. */
static enum cellar_status packing_get(const struct cellar_args *args, const char *path,
                                      enum cellar_packing *packing, struct cellar_error *error)
{
    const char *name = cellar_args_text(args, "compress");
    CELLAR_ASSERT(path != NULL);
    *packing = cellar_packing_of_name(path);
    return name == NULL || cellar_packing_decode(name, packing)
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Option --compress must be gzip, zstd or none, but got '%.64s'",
                                  name);
}

/* Reads --prefix, or --start and --end. */
static enum cellar_status range_get(const struct cellar_args *args,
                                    struct cellar_export_range *range, struct cellar_error *error)
{
    struct cellar_buffer prefix = {0};
    bool has_prefix = false;
    bool has_start = false;
    bool has_end = false;
    enum cellar_status status = cellar_select_bytes(args, "prefix", &prefix, &has_prefix, error);
    if (status == CELLAR_OK && has_prefix) {
        status =
            cellar_tool_memory(cellar_export_range_prefix(range, cellar_slice_of(&prefix)), error);
    }
    cellar_buffer_fini(&prefix);
    if (status == CELLAR_OK && has_prefix &&
        (cellar_args_has(args, "start") || cellar_args_has(args, "end"))) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --prefix cannot stand beside --start and --end");
    }
    if (status != CELLAR_OK || has_prefix) {
        return status;
    }
    CELLAR_TRY(cellar_select_bytes(args, "start", &range->start, &has_start, error));
    CELLAR_TRY(cellar_select_bytes(args, "end", &range->end, &has_end, error));
    CELLAR_ASSERT(!has_end || range->end.data != NULL || range->end.bytes == 0);
    return has_end && cellar_slice_compare(cellar_slice_of(&range->start),
                                           cellar_slice_of(&range->end)) >= 0
               ? cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Option --start must be less than --end")
               : CELLAR_OK;
}

/* Reads what is export's own. */
static enum cellar_status options_get(const struct cellar_args *args,
                                      const struct cellar_transfer *transfer,
                                      struct cellar_export_job_options *options,
                                      struct cellar_error *error)
{
    static const struct cellar_args_limits limits = {.least = 1, .most = INT64_MAX};
    int64_t rows_limit = 0;
    CELLAR_ASSERT(transfer->format < CELLAR_ARRAY_COUNT(format_of));
    options->args = args;
    options->table = transfer->table;
    options->path = transfer->path;
    options->progress_path = transfer->progress_path;
    options->patience_us = transfer->patience_us;
    options->format = format_of[transfer->format];
    options->words = cellar_slice_of(&transfer->words);
    CELLAR_TRY(packing_get(args, options->path, &options->packing, error));
    CELLAR_TRY(cellar_args_number(args, "limit", limits, &rows_limit, error));
    options->rows_limit = (uint64_t)rows_limit;
    return range_get(args, &options->range, error);
}

/* Reads the options and runs the export. */
static enum cellar_status export_run(struct cellar_tool *tool, const struct cellar_args *args,
                                     struct cellar_error *error)
{
    struct cellar_export_job_options options = {0};
    struct cellar_transfer transfer = {0};
    CELLAR_ASSERT(tool->client != NULL);
    enum cellar_status status = cellar_transfer_read(&export_kind, args, &transfer, error);
    status = status == CELLAR_OK ? options_get(args, &transfer, &options, error) : status;
    status = status == CELLAR_OK ? cellar_export_job_run(tool, &options, error) : status;
    cellar_export_range_fini(&options.range);
    cellar_transfer_fini(&transfer);
    return status;
}

static const struct cellar_option export_options[] = {
    {"format", "jsonl|csv", "of the output; default by the file's name, else jsonl"},
    {"compress", "gzip|zstd|none", "default by the file's name: .gz, .zst"},
    {"prefix", "P", "only rows whose key begins with P"},
    {"start", "A", "from row A on"},
    {"end", "B", "up to row B, without it"},
    {"limit", "N", "at most N rows"},
    {"column", "cf[:q]", "only this column, or all of a family; as many as wanted"},
    {"versions", "N", "only the newest N cells of each column; default all"},
    {"progress", "FILE", "where progress is kept; default FILE.progress"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_export_commands[] = {
    {.verb = "export",
     .words = "T [FILE|-]",
     .summary = "Writes a table, or some of it, to a file or to standard output",
     .help =
         "    cellar export packages packages.jsonl.zst\n"
         "    cellar export packages --prefix lib --versions 1 --format csv | gzip > lib.csv.gz\n"
         "\n"
         "`cellar import` reads what it writes and makes the same cells of it.\n"
         "\n"
         "jsonl: a row a line, {\"row\":..,\"cells\":[{\"family\":..,\"qualifier\":..,\n"
         "\"timestamp\":US,\"value\":..}]}; bytes that are not UTF-8 as {\"b64\":\"..\"}. A row\n"
         "above 1 MiB comes as several lines with the same key.\n"
         "\n"
         "csv: a cell a line, row,family,qualifier,timestamp,value; every byte that is not\n"
         "shown, and the backslash, as \\xNN.\n"
         "\n"
         "Rows are read one by one, not at one moment: what is written meanwhile is in the file\n"
         "or not.\n"
         "\n"
         "Until it is whole the file is FILE.part, and FILE.progress keeps the place. After\n"
         "Ctrl-C, a kill or a failure the same command goes on from there. FILE that exists is\n"
         "replaced at the end. A server that restarts is waited for (--timeout, default 1m).\n",
     .options = export_options,
     .word_count_min = 1,
     .word_count_max = 2,
     .patience = CELLAR_PATIENCE_LONG,
     .run = export_run},
    {.verb = NULL},
};
