/*
 * get, scan and count: one read each, printed as its rows come.
 *
 * Arguments become a `struct cellar_read`; rows go through row_printer.c into one buffer, which is
 * written when it holds enough, so that a scan of any size needs little memory and its first rows
 * are seen at once when it is short.
 */

#include <inttypes.h>

#include "client/tools/escape.h"
#include "client/tools/select.h"
#include "client/tools/tool.h"

#define WRITE_BYTES 65536u /* of output, gathered before it is written */

/* Adds --prefix, or --start and --end. A prefix is a range already; both together would leave open
 * which one counts. */
static enum cellar_status rows_add(const struct cellar_args *args, struct cellar_read *read,
                                   struct cellar_error *error)
{
    struct cellar_buffer start = {0};
    struct cellar_buffer end = {0};
    struct cellar_buffer prefix = {0};
    bool has_start = false;
    bool has_end = false;
    bool has_prefix = false;
    enum cellar_status status = cellar_select_bytes(args, "prefix", &prefix, &has_prefix, error);
    if (status == CELLAR_OK) {
        status = cellar_select_bytes(args, "start", &start, &has_start, error);
    }
    if (status == CELLAR_OK) {
        status = cellar_select_bytes(args, "end", &end, &has_end, error);
    }
    if (status == CELLAR_OK && has_prefix && (has_start || has_end)) {
        status = cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Option --prefix cannot stand beside --start and --end");
    }
    CELLAR_ASSERT(read != NULL || status == CELLAR_OK || error->code != CELLAR_OK);
    if (status == CELLAR_OK && has_prefix) {
        cellar_read_prefix(read, cellar_view_of(prefix.data, prefix.bytes));
    } else if (status == CELLAR_OK && (has_start || has_end)) {
        cellar_read_range(read,
                          has_start ? cellar_bound_closed(cellar_view_of(start.data, start.bytes))
                                    : cellar_bound_none(),
                          has_end ? cellar_bound_open(cellar_view_of(end.data, end.bytes))
                                  : cellar_bound_none());
    }
    cellar_buffer_fini(&start);
    cellar_buffer_fini(&end);
    cellar_buffer_fini(&prefix);
    return status;
}

/* Prints the rows of an open scan. Rows that came before a failure are printed: what is on the
 * screen was true. */
static enum cellar_status rows_print(struct cellar_tool *tool, struct cellar_scan *scan,
                                     bool is_keys_only, struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    struct cellar_row row;
    struct cellar_row_printer printer = {
        .format = tool->format, .is_keys_only = is_keys_only, .to = &text};
    enum cellar_status status = cellar_tool_memory(cellar_row_printer_start(&printer), error);
    CELLAR_ASSERT(scan != NULL);
    while (status == CELLAR_OK && cellar_scan_next(scan, &row)) {
        status = cellar_tool_memory(cellar_row_printer_row(&printer, &row), error);
        if (status == CELLAR_OK && text.bytes >= WRITE_BYTES) {
            status = cellar_tool_write(tool, &text, error);
        }
    }
    if (status == CELLAR_OK) {
        status = cellar_tool_memory(cellar_row_printer_end(&printer), error);
    }
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}

/* Runs a read and prints its rows. Closing tells how the scan ended; a failure of our own output
 * comes first, as it made us stop. */
static enum cellar_status read_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   const struct cellar_read *read, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_scan *scan = NULL;
    CELLAR_ASSERT(args->word_count >= 1);
    if (cellar_scan_open(tool->client, args->words[0], read, &call, &scan) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    enum cellar_status status = rows_print(tool, scan, cellar_args_has(args, "keys-only"), error);
    if (cellar_scan_close(scan, &call) != CELLAR_E_OK && status == CELLAR_OK) {
        status = cellar_tool_call_error(&call, error);
    }
    return status;
}

/* Prints the value of the one cell that was asked for, byte by byte as it is. */
static enum cellar_status raw_run(struct cellar_tool *tool, const struct cellar_args *args,
                                  const struct cellar_read *read, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_scan *scan = NULL;
    struct cellar_row row;
    bool is_there = false;
    CELLAR_ASSERT(args->word_count == 2);
    if (cellar_scan_open(tool->client, args->words[0], read, &call, &scan) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    enum cellar_status status = CELLAR_OK;
    while (status == CELLAR_OK && cellar_scan_next(scan, &row)) {
        struct cellar_buffer bytes = {0};
        is_there = row.cell_count > 0;
        if (is_there) {
            status = cellar_tool_memory(
                cellar_buffer_append(&bytes, row.cells[0].value.data, row.cells[0].value.bytes),
                error);
        }
        if (status == CELLAR_OK) {
            status = cellar_tool_write(tool, &bytes, error);
        }
        cellar_buffer_fini(&bytes);
    }
    if (cellar_scan_close(scan, &call) != CELLAR_E_OK && status == CELLAR_OK) {
        return cellar_tool_call_error(&call, error);
    }
    return status == CELLAR_OK && !is_there
               ? cellar_error_set(error, CELLAR_NOT_FOUND, "There is no such cell")
               : status;
}

/* Whether the command names one column of one row, as --raw needs. */
static enum cellar_status raw_check(const struct cellar_args *args, struct cellar_error *error)
{
    size_t column_count = 0;
    bool has_qualifier = false;
    CELLAR_ASSERT(args->word_count >= 2);
    for (size_t index = 0; index < args->given_count; index++) {
        if (strcmp(args->given[index].option->name, "column") == 0) {
            column_count++;
            has_qualifier = strchr(args->given[index].value, ':') != NULL;
        }
    }
    if (args->word_count == 2 && column_count == 1 && has_qualifier &&
        !cellar_args_has(args, "keys-only") && !cellar_args_has(args, "versions")) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "Option --raw wants one row and one --column cf:q, and prints the "
                            "newest cell of it");
}

/* get: rows by their keys. Keys are escaped as they are printed, so that a key can be copied from
 * the output. */
static enum cellar_status get_run(struct cellar_tool *tool, const struct cellar_args *args,
                                  struct cellar_error *error)
{
    struct cellar_read *read = cellar_read_new();
    struct cellar_buffer key = {0};
    enum cellar_status status = cellar_select_cells(args, read, error);
    CELLAR_ASSERT(args->word_count >= 2);
    for (size_t index = 1; status == CELLAR_OK && index < args->word_count; index++) {
        cellar_buffer_clear(&key);
        status = cellar_escape_decode(cellar_slice_text(args->words[index]), &key, error);
        cellar_read_row(read, cellar_view_of(key.data, key.bytes));
    }
    if (status == CELLAR_OK && cellar_args_has(args, "raw")) {
        cellar_read_versions(read, 1);
        status = raw_check(args, error);
        status = status == CELLAR_OK ? raw_run(tool, args, read, error) : status;
    } else if (status == CELLAR_OK) {
        status = read_run(tool, args, read, error);
    }
    cellar_buffer_fini(&key);
    cellar_read_free(read);
    return status;
}

/* scan: rows in order, cut and limited. */
static enum cellar_status scan_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    static const struct cellar_args_limits limits = {.least = 0, .most = INT64_MAX};
    struct cellar_read *read = cellar_read_new();
    int64_t rows_limit = 0;
    CELLAR_ASSERT(args->word_count == 1);
    enum cellar_status status = cellar_select_cells(args, read, error);
    if (status == CELLAR_OK) {
        status = rows_add(args, read, error);
    }
    if (status == CELLAR_OK) {
        status = cellar_args_number(args, "limit", limits, &rows_limit, error);
    }
    if (status == CELLAR_OK) {
        cellar_read_limit(read, rows_limit);
        if (cellar_args_has(args, "reverse")) {
            cellar_read_reverse(read);
        }
        status = read_run(tool, args, read, error);
    }
    cellar_read_free(read);
    return status;
}

/* Counts the rows of a read. By keys only, so the cells do not travel. */
static enum cellar_status rows_count(struct cellar_tool *tool, const char *table,
                                     const struct cellar_read *read, uint64_t *count,
                                     struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_scan *scan = NULL;
    struct cellar_row row;
    CELLAR_ASSERT(table != NULL);
    *count = 0;
    if (cellar_scan_open(tool->client, table, read, &call, &scan) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    while (cellar_scan_next(scan, &row)) {
        ++*count;
    }
    if (cellar_scan_close(scan, &call) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    return CELLAR_OK;
}

/* count: the rows of a scan without cells, counted here. */
static enum cellar_status count_run(struct cellar_tool *tool, const struct cellar_args *args,
                                    struct cellar_error *error)
{
    static const char *const before[] = {[CELLAR_FORMAT_TEXT] = "",
                                         [CELLAR_FORMAT_JSON] = "{\"rows\":",
                                         [CELLAR_FORMAT_JSONL] = "{\"rows\":",
                                         [CELLAR_FORMAT_CSV] = "rows\n"};
    struct cellar_read *read = cellar_read_new();
    uint64_t count = 0;
    CELLAR_ASSERT(args->word_count == 1);
    cellar_read_keys_only(read);
    enum cellar_status status = rows_add(args, read, error);
    if (status == CELLAR_OK) {
        status = rows_count(tool, args->words[0], read, &count, error);
    }
    cellar_read_free(read);
    if (status != CELLAR_OK) {
        return status;
    }
    bool is_json = tool->format == CELLAR_FORMAT_JSON || tool->format == CELLAR_FORMAT_JSONL;
    (void)fprintf(tool->out, "%s%" PRIu64 "%s\n", before[tool->format], count, is_json ? "}" : "");
    return CELLAR_OK;
}

static const struct cellar_option get_options[] = {
    {"raw", NULL, "only the newest cell's value, byte by byte as it is, of one row and column"},
    {"column", "cf[:q]", "only this column, or all of a family; as many as wanted"},
    {"versions", "N", "only the newest N cells of each column; default all"},
    {"keys-only", NULL, "only the keys of rows that exist"},
    {NULL, NULL, NULL},
};

static const struct cellar_option scan_options[] = {
    {"prefix", "P", "only rows whose key begins with P"},
    {"start", "A", "from row A on"},
    {"end", "B", "up to row B, without it"},
    {"limit", "N", "at most N rows"},
    {"reverse", NULL, "the largest key first"},
    {"column", "cf[:q]", "only this column, or all of a family; as many as wanted"},
    {"versions", "N", "only the newest N cells of each column; default all"},
    {"keys-only", NULL, "only the keys of rows"},
    {NULL, NULL, NULL},
};

static const struct cellar_option count_options[] = {
    {"prefix", "P", "only rows whose key begins with P"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_read_commands[] = {
    {.verb = "get",
     .words = "T ROW ...",
     .summary = "Prints rows by their keys",
     .help = "    cellar get packages lmdb bash --column f:Version --versions 1\n"
             "    cellar get packages lmdb --column f:Archive --raw > lmdb.deb\n"
             "\n"
             "Rows that do not exist print nothing. Timestamps are microseconds since 1970.\n",
     .options = get_options,
     .word_count_min = 2,
     .word_count_max = CELLAR_ARGS_COUNT_MAX,
     .has_format = true,
     .run = get_run},
    {.verb = "scan",
     .words = "T",
     .summary = "Prints rows in the order of their keys",
     .help = "    cellar scan packages --prefix lib --limit 10\n"
             "    cellar scan packages --start a --end c --format jsonl\n",
     .options = scan_options,
     .word_count_min = 1,
     .word_count_max = 1,
     .has_format = true,
     .run = scan_run},
    {.verb = "count",
     .words = "T",
     .summary = "Counts rows",
     .help = "The rows are read, without their cells: a large table takes a while.\n",
     .options = count_options,
     .word_count_min = 1,
     .word_count_max = 1,
     .has_format = true,
     .run = count_run},
    {.verb = NULL},
};
