/*
 * set and delete: one mutation list on one row.
 *
 * All cells of one set are written together or not at all. Without --timestamp they get the
 * server's time, one for all.
 */

#include "client/tools/column_text.h"
#include "client/tools/escape.h"
#include "client/tools/report.h"
#include "client/tools/tool.h"
#include "client/tools/value_file.h"

/* Applies a list to the row that the second word names. */
static enum cellar_status list_apply(struct cellar_tool *tool, const struct cellar_args *args,
                                     const struct cellar_mutations *list,
                                     struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_buffer row = {0};
    CELLAR_ASSERT(args->word_count >= 2);
    enum cellar_status status =
        cellar_escape_decode(cellar_slice_text(args->words[1]), &row, error);
    if (status == CELLAR_OK &&
        cellar_mutate_row(tool->client, args->words[0], cellar_view_of(row.data, row.bytes), list,
                          &call) != CELLAR_E_OK) {
        status = cellar_tool_call_error(&call, error);
    }
    cellar_buffer_fini(&row);
    return status;
}

/* Adds a cell to a list. @param timestamp_us  -1: the server's time, since 0 is one like others */
static void cell_add(struct cellar_mutations *list, const struct cellar_column_text *cell,
                     int64_t timestamp_us)
{
    const char *family = cellar_column_text_family(cell);
    struct cellar_view qualifier = cellar_view_of(cell->qualifier.data, cell->qualifier.bytes);
    struct cellar_view value = cellar_view_of(cell->value.data, cell->value.bytes);
    CELLAR_ASSERT(timestamp_us >= -1);
    if (timestamp_us >= 0) {
        cellar_mutations_set_at(list, family, qualifier, timestamp_us, value);
    } else {
        cellar_mutations_set(list, family, qualifier, value);
    }
}

/* Reads `cf:q=FILE`, where the file's content is the value. */
static enum cellar_status file_cell_decode(const char *text, struct cellar_column_text *cell,
                                           struct cellar_error *error)
{
    struct cellar_buffer path = {0};
    CELLAR_TRY(cellar_cell_text_decode(text, cell, error));
    enum cellar_status status = cellar_buffer_append(&path, cell->value.data, cell->value.bytes);
    if (status == CELLAR_OK) {
        status = cellar_buffer_append(&path, "", 1);
    }
    status = status == CELLAR_OK
                 ? cellar_value_file_read((const char *)path.data, &cell->value, error)
                 : cellar_error_set(error, status, "No memory for a cell");
    CELLAR_ASSERT(status == CELLAR_OK || error->code == status);
    cellar_buffer_fini(&path);
    return status;
}

/* Adds the cells of a set to a list: those of words, then those of files. */
static enum cellar_status cells_add(const struct cellar_args *args, struct cellar_mutations *list,
                                    struct cellar_error *error)
{
    static const struct cellar_args_limits limits = {.least = 0, .most = INT64_MAX};
    struct cellar_column_text cell = {0};
    int64_t timestamp_us = -1;
    CELLAR_ASSERT(args->word_count >= 2);
    enum cellar_status status = cellar_args_number(args, "timestamp", limits, &timestamp_us, error);
    for (size_t index = 2; status == CELLAR_OK && index < args->word_count; index++) {
        status = cellar_cell_text_decode(args->words[index], &cell, error);
        if (status == CELLAR_OK) {
            cell_add(list, &cell, timestamp_us);
        }
    }
    for (size_t index = 0; status == CELLAR_OK && index < args->given_count; index++) {
        if (strcmp(args->given[index].option->name, "from") == 0) {
            status = file_cell_decode(args->given[index].value, &cell, error);
            if (status == CELLAR_OK) {
                cell_add(list, &cell, timestamp_us);
            }
        }
    }
    cellar_column_text_fini(&cell);
    if (status == CELLAR_OK && cellar_mutations_count(list) == 0) {
        status = cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "No cells to set: give cf:q=VALUE, or --from cf:q=FILE");
    }
    return status;
}

/* set: all cells in one list, so that they are written together or not at all. */
static enum cellar_status set_run(struct cellar_tool *tool, const struct cellar_args *args,
                                  struct cellar_error *error)
{
    struct cellar_mutations *list = cellar_mutations_new();
    CELLAR_ASSERT(tool->client != NULL);
    enum cellar_status status = cells_add(args, list, error);
    if (status == CELLAR_OK) {
        status = list_apply(tool, args, list, error);
    }
    cellar_mutations_free(list);
    return status;
}

/* Adds what delete is to delete: the row, a family or a column.  */
static enum cellar_status target_add(const struct cellar_args *args, struct cellar_mutations *list,
                                     struct cellar_error *error)
{
    struct cellar_column_text column = {0};
    CELLAR_ASSERT(args->word_count == 2 || args->word_count == 3);
    if (args->word_count == 2) {
        cellar_mutations_delete_row(list);
        return CELLAR_OK;
    }
    enum cellar_status status = cellar_column_text_decode(args->words[2], &column, error);
    if (status == CELLAR_OK && column.has_qualifier) {
        cellar_mutations_delete_column(
            list, cellar_column_text_family(&column),
            cellar_view_of(column.qualifier.data, column.qualifier.bytes));
    } else if (status == CELLAR_OK) {
        cellar_mutations_delete_family(list, cellar_column_text_family(&column));
    }
    cellar_column_text_fini(&column);
    return status;
}

/* Reads the cells that the words of delete name and counts them. */
static enum cellar_status cells_count(struct cellar_tool *tool, const struct cellar_args *args,
                                      const struct cellar_read *read, size_t *count,
                                      struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_scan *scan = NULL;
    struct cellar_row row;
    *count = 0;
    if (cellar_scan_open(tool->client, args->words[0], read, &call, &scan) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    while (cellar_scan_next(scan, &row)) {
        CELLAR_ASSERT(*count == 0); /* one row was asked for */
        *count = row.cell_count;
    }
    return cellar_scan_close(scan, &call) == CELLAR_E_OK ? CELLAR_OK
                                                         : cellar_tool_call_error(&call, error);
}

/* Refuses a family that the table does not have, as the delete itself would be. */
static enum cellar_status family_check(struct cellar_tool *tool, const char *table,
                                       const char *family, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_table_info *info = NULL;
    CELLAR_ASSERT(family != NULL);
    if (cellar_table_describe(tool->client, table, &call, &info) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    bool is_there = false;
    for (size_t index = 0; index < info->family_count; index++) {
        is_there = is_there || strcmp(info->families[index].name, family) == 0;
    }
    cellar_table_info_free(info);
    return is_there ? CELLAR_OK
                    : cellar_error_set(error, CELLAR_NOT_FOUND,
                                       "Table '%.100s' has no family '%.64s'", table, family);
}

/* Limits a read to the row, family or column that the words of delete name. */
static enum cellar_status target_read(struct cellar_tool *tool, const struct cellar_args *args,
                                      struct cellar_read *read, struct cellar_error *error)
{
    struct cellar_column_text column = {0};
    struct cellar_buffer row = {0};
    CELLAR_ASSERT(args->word_count == 2 || args->word_count == 3);
    enum cellar_status status =
        cellar_escape_decode(cellar_slice_text(args->words[1]), &row, error);
    if (status == CELLAR_OK) {
        cellar_read_row(read, cellar_view_of(row.data, row.bytes));
    }
    if (status == CELLAR_OK && args->word_count == 3) {
        status = cellar_column_text_decode(args->words[2], &column, error);
    }
    if (status == CELLAR_OK && args->word_count == 3) {
        status = family_check(tool, args->words[0], cellar_column_text_family(&column), error);
    }
    if (status == CELLAR_OK && column.has_qualifier) {
        cellar_read_column(read, cellar_column_text_family(&column),
                           cellar_view_of(column.qualifier.data, column.qualifier.bytes));
    } else if (status == CELLAR_OK && args->word_count == 3) {
        cellar_read_family(read, cellar_column_text_family(&column));
    }
    cellar_buffer_fini(&row);
    cellar_column_text_fini(&column);
    return status;
}

/* Prints how many cells of a row would go. */
static enum cellar_status delete_print(struct cellar_tool *tool, const char *row, size_t count,
                                       struct cellar_error *error)
{
    struct cellar_buffer key = {0};
    CELLAR_ASSERT(row != NULL);
    if (tool->format == CELLAR_FORMAT_TEXT) {
        (void)fprintf(tool->out, "would delete %zu cell%s of row ", count, count == 1 ? "" : "s");
        cellar_tool_say(tool->out, row);
        (void)fprintf(tool->out, "\n");
        return CELLAR_OK;
    }
    enum cellar_status status = cellar_escape_decode(cellar_slice_text(row), &key, error);
    if (status == CELLAR_OK) {
        const struct cellar_report_field fields[] = {
            {.name = "dry_run", .kind = CELLAR_REPORT_BOOL, .number = 1},
            {.name = "row", .kind = CELLAR_REPORT_BYTES, .bytes = cellar_slice_of(&key)},
            {.name = "cells", .number = count},
        };
        status = cellar_report_print(tool, tool->format, fields, CELLAR_ARRAY_COUNT(fields), error);
    }
    cellar_buffer_fini(&key);
    return status;
}

/* delete --dry-run: how many cells would go. */
static enum cellar_status delete_look(struct cellar_tool *tool, const struct cellar_args *args,
                                      struct cellar_error *error)
{
    struct cellar_read *read = cellar_read_new();
    size_t count = 0;
    enum cellar_status status = target_read(tool, args, read, error);
    if (status == CELLAR_OK) {
        status = cells_count(tool, args, read, &count, error);
    }
    cellar_read_free(read);
    CELLAR_ASSERT(count == 0 || status == CELLAR_OK);
    return status == CELLAR_OK ? delete_print(tool, args->words[1], count, error) : status;
}

/* delete: a row, a family of it, or a column. */
static enum cellar_status delete_run(struct cellar_tool *tool, const struct cellar_args *args,
                                     struct cellar_error *error)
{
    if (cellar_args_has(args, "dry-run")) {
        return delete_look(tool, args, error);
    }
    struct cellar_mutations *list = cellar_mutations_new();
    CELLAR_ASSERT(tool->client != NULL);
    enum cellar_status status = target_add(args, list, error);
    if (status == CELLAR_OK) {
        status = list_apply(tool, args, list, error);
    }
    cellar_mutations_free(list);
    return status;
}

static const struct cellar_option set_options[] = {
    {"timestamp", "US", "of the cells, microseconds since 1970; default the server's time"},
    {"from", "cf:q=FILE", "a cell with what the file holds, up to 100 MiB; - is standard input"},
    {NULL, NULL, NULL},
};

static const struct cellar_option delete_options[] = {
    {"dry-run", NULL, "say how many cells would go, and change nothing"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_write_commands[] = {
    {.verb = "set",
     .words = "T ROW [cf:q=VALUE] ...",
     .summary = "Sets cells of one row, all together or none",
     .help = "    cellar set packages lmdb f:Version=0.9.24 'f:Description=memory-mapped store'\n"
             "    cellar set packages lmdb --from f:Archive=lmdb.deb\n"
             "\n"
             "The first colon ends the family and the first '=' the qualifier; one that holds a\n"
             "'=' itself is written with \\x3d. In a table of millis, timestamps are multiples of\n"
             "1000.\n",
     .options = set_options,
     .word_count_min = 2,
     .word_count_max = CELLAR_ARGS_COUNT_MAX,
     .run = set_run},
    {.verb = "delete",
     .words = "T ROW [cf[:q]]",
     .summary = "Deletes a row, or one family or column of it",
     .help = "    cellar delete packages lmdb f:Version\n"
             "\n"
             "Deleting what is not there is no error. One row is deleted without a question. A\n"
             "delete prints nothing; --format is that of --dry-run: dry_run, row and cells.\n",
     .options = delete_options,
     .word_count_min = 2,
     .word_count_max = 3,
     .has_format = true,
     .run = delete_run},
    {.verb = NULL},
};
