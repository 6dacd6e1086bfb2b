/*
 * table create, table ls, table describe; table drop and table truncate are in drop.c.
 *
 * Each turns its arguments into one call of the library and prints the answer. Split keys take
 * escapes. Nothing is kept between calls.
 */

#include <inttypes.h>

#include "client/tools/drop.h"
#include "client/tools/escape.h"
#include "client/tools/family_text.h"
#include "client/tools/table_printer.h"
#include "client/tools/tool.h"

/* Adds the options of table create to a schema. */
static enum cellar_status schema_fill(const struct cellar_args *args, struct cellar_schema *schema,
                                      struct cellar_error *error)
{
    struct cellar_family_text family;
    struct cellar_buffer key = {0};
    CELLAR_ASSERT(args->word_count == 1);
    for (size_t index = 0; index < args->given_count; index++) {
        const struct cellar_given *given = &args->given[index];
        if (strcmp(given->option->name, "family") == 0) {
            CELLAR_TRY(cellar_family_text_decode(given->value, &family, error));
            cellar_schema_family(schema, family.name, &family.rule);
        } else if (strcmp(given->option->name, "split") == 0) {
            enum cellar_status status =
                cellar_escape_decode(cellar_slice_text(given->value), &key, error);
            cellar_schema_split(schema, cellar_view_of(key.data, key.bytes));
            cellar_buffer_fini(&key);
            CELLAR_TRY(status);
        }
    }
    const char *granularity = cellar_args_text(args, "granularity");
    if (granularity == NULL || strcmp(granularity, "millis") == 0) {
        return CELLAR_OK;
    }
    if (strcmp(granularity, "micros") != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --granularity must be millis or micros, but got '%.64s'",
                                granularity);
    }
    cellar_schema_granularity(schema, CELLAR_TABLE_MICROS);
    return CELLAR_OK;
}

/* Appends one line about a table that was created. */
static enum cellar_status created_text(const struct cellar_table_info *info,
                                       struct cellar_buffer *text)
{
    CELLAR_ASSERT(info->name != NULL);
    CELLAR_TRY(cellar_buffer_printf(text, "created "));
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(info->name), CELLAR_ESCAPE_PLAIN, text));
    return cellar_buffer_printf(text, ": %zu %s, %zu %s\n", info->family_count,
                                info->family_count == 1 ? "family" : "families", info->tablet_count,
                                info->tablet_count == 1 ? "tablet" : "tablets");
}

/* Prints a table that was created: one line as text, all of it otherwise. */
static enum cellar_status created_print(struct cellar_tool *tool,
                                        const struct cellar_table_info *info,
                                        struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(info != NULL);
    enum cellar_status status = tool->format == CELLAR_FORMAT_TEXT
                                    ? created_text(info, &text)
                                    : cellar_table_print(tool->format, info, &text);
    status = cellar_tool_memory(status, error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}

/* table create: from the options to a schema, and what came of it. */
static enum cellar_status create_run(struct cellar_tool *tool, const struct cellar_args *args,
                                     struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_table_info *info = NULL;
    struct cellar_schema *schema = cellar_schema_new();
    CELLAR_ASSERT(args->word_count == 1);
    enum cellar_status status = schema_fill(args, schema, error);
    if (status == CELLAR_OK &&
        cellar_table_create(tool->client, args->words[0], schema, &call, &info) != CELLAR_E_OK) {
        status = cellar_tool_call_error(&call, error);
    }
    if (status == CELLAR_OK) {
        status = created_print(tool, info, error);
    }
    cellar_table_info_free(info);
    cellar_schema_free(schema);
    return status;
}

/* table ls: all tables of the instance, over all pages. */
static enum cellar_status list_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_table_list *list = NULL;
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(args->word_count == 0);
    if (cellar_table_list_get(tool->client, &call, &list) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    enum cellar_status status =
        cellar_tool_memory(cellar_table_list_print(tool->format, list, &text), error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_table_list_free(list);
    cellar_buffer_fini(&text);
    return status;
}

/* table describe: everything about one table. */
static enum cellar_status describe_run(struct cellar_tool *tool, const struct cellar_args *args,
                                       struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_table_info *info = NULL;
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(args->word_count == 1);
    if (cellar_table_describe(tool->client, args->words[0], &call, &info) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    enum cellar_status status =
        cellar_tool_memory(cellar_table_print(tool->format, info, &text), error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_table_info_free(info);
    cellar_buffer_fini(&text);
    return status;
}

static const struct cellar_option create_options[] = {
    {"family", "cf[:max-versions=N][:max-age=D]", "a column family; give one for each"},
    {"split", "KEY", "a row key at which to cut the table into tablets; as many as wanted"},
    {"granularity", "millis|micros", "of timestamps; default millis"},
    {NULL, NULL, NULL},
};

static const struct cellar_option drop_options[] = {
    CELLAR_DROP_OPTIONS,
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_table_commands[] = {
    {.verb = "table create",
     .words = "T --family cf[:max-versions=N][:max-age=D] ...",
     .summary = "Creates a table",
     .help = "    cellar table create packages --family f --family d:max-versions=1 \\\n"
             "        --split g --split lib --split python\n"
             "\n"
             "A family without rules keeps every version of every cell. With max-versions=N the\n"
             "newest N of each column stay, with max-age=D (such as 7d or 12h) those not older\n"
             "than that; with both, either one removes a cell. cf:gc=EXPR joins such rules by\n"
             "`and` and `or`, with parentheses where both are used:\n"
             "\n"
             "    --family 'd:gc=max-age=90d or (max-versions=3 and max-age=7d)'\n",
     .options = create_options,
     .word_count_min = 1,
     .word_count_max = 1,
     .has_format = true,
     .run = create_run},
    {.verb = "table ls",
     .words = "",
     .summary = "Lists the tables of the instance",
     .help = "",
     .word_count_min = 0,
     .word_count_max = 0,
     .has_format = true,
     .run = list_run},
    {.verb = "table describe",
     .words = "T",
     .summary = "Shows families, rules and tablets of a table",
     .help = "",
     .word_count_min = 1,
     .word_count_max = 1,
     .has_format = true,
     .run = describe_run},
    {.verb = "table drop",
     .words = "T",
     .summary = "Drops a table with all its rows",
     .help = "    cellar table drop packages --dry-run\n"
             "\n"
             "There is no way back. On a terminal the table's name must be typed once more;\n"
             "elsewhere nothing is dropped without --yes. A drop prints nothing; --format is that\n"
             "of --dry-run: dry_run, name, families, tablets, rows (10000 at most) and\n"
             "has_more_rows.\n",
     .options = drop_options,
     .word_count_min = 1,
     .word_count_max = 1,
     .has_format = true,
     .run = cellar_table_drop_run},
    {.verb = "table truncate",
     .words = "T",
     .summary = "Drops all rows of a table and keeps the table",
     .help = "    cellar table truncate packages --dry-run\n"
             "\n"
             "Families, rules and tablets stay. There is no way back: asks as `table drop` does,\n"
             "and prints nothing. --format is that of --dry-run: dry_run, name, rows (10000 at\n"
             "most) and has_more_rows.\n",
     .options = drop_options,
     .word_count_min = 1,
     .word_count_max = 1,
     .has_format = true,
     .run = cellar_table_truncate_run},
    {.verb = NULL},
};
