/*
 * set and delete: one mutation list on one row.
 *
 * All cells of one set are written together or not at all. Without --timestamp they get the
 * server's time, one for all.
 */

#include "client/tools/column_text.h"
#include "client/tools/escape.h"
#include "client/tools/tool.h"

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

/* Adds the cells of a set to a list. */
static enum cellar_status cells_add(const struct cellar_args *args, struct cellar_mutations *list,
                                    struct cellar_error *error)
{
    static const struct cellar_args_limits limits = {.least = 0, .most = INT64_MAX};
    struct cellar_column_text cell = {0};
    int64_t timestamp_us = -1;
    CELLAR_ASSERT(args->word_count >= 3);
    enum cellar_status status = cellar_args_number(args, "timestamp", limits, &timestamp_us, error);
    for (size_t index = 2; status == CELLAR_OK && index < args->word_count; index++) {
        status = cellar_cell_text_decode(args->words[index], &cell, error);
        if (status != CELLAR_OK) {
            break;
        }
        const char *family = cellar_column_text_family(&cell);
        struct cellar_view qualifier = cellar_view_of(cell.qualifier.data, cell.qualifier.bytes);
        struct cellar_view value = cellar_view_of(cell.value.data, cell.value.bytes);
        if (timestamp_us >= 0) {
            cellar_mutations_set_at(list, family, qualifier, timestamp_us, value);
        } else {
            cellar_mutations_set(list, family, qualifier, value);
        }
    }
    cellar_column_text_fini(&cell);
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

/* Adds what delete is to delete: the row, a family or a column. */
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

/* delete: a row, a family of it, or a column. */
static enum cellar_status delete_run(struct cellar_tool *tool, const struct cellar_args *args,
                                     struct cellar_error *error)
{
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
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_write_commands[] = {
    {.verb = "set",
     .words = "T ROW cf:q=VALUE ...",
     .summary = "Sets cells of one row, all together or none",
     .help = "    cellar set packages lmdb f:Version=0.9.24 'f:Description=memory-mapped store'\n"
             "\n"
             "The first colon ends the family and the first '=' the qualifier; one that holds a\n"
             "'=' itself is written with \\x3d. In a table of millis, timestamps are multiples of\n"
             "1000.\n",
     .options = set_options,
     .word_count_min = 3,
     .word_count_max = CELLAR_ARGS_COUNT_MAX,
     .run = set_run},
    {.verb = "delete",
     .words = "T ROW [cf[:q]]",
     .summary = "Deletes a row, or one family or column of it",
     .help = "Deleting what is not there is no error.\n",
     .word_count_min = 2,
     .word_count_max = 3,
     .run = delete_run},
    {.verb = NULL},
};
