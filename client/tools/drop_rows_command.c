/*
 * drop-rows: all rows of a prefix at once.
 *
 * The prefix takes escapes as row keys do. There is no default: an empty one is a usage error,
 * since a variable that is not set would otherwise empty a table. `table truncate` does that by
 * name.
 */

#include "client/tools/drop.h"
#include "client/tools/escape.h"

/* The bytes of --prefix; freed by the caller also on failure. An escape always stands for a byte,
 * so only an empty text is an empty prefix. */
static enum cellar_status prefix_read(const struct cellar_args *args, struct cellar_buffer *prefix,
                                      struct cellar_error *error)
{
    const char *text = cellar_args_text(args, "prefix");
    CELLAR_ASSERT(prefix->bytes == 0);
    if (text == NULL || text[0] == '\0') {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "drop-rows needs --prefix P with at least one byte; `table "
                                "truncate` drops all rows");
    }
    return cellar_escape_decode(cellar_slice_text(text), prefix, error);
}

/* Before anybody is asked: an answer to a question about a prefix that is none would be wasted. */
static enum cellar_status rows_check(const struct cellar_args *args, struct cellar_error *error)
{
    struct cellar_buffer prefix = {0};
    enum cellar_status status = prefix_read(args, &prefix, error);
    CELLAR_ASSERT(status != CELLAR_OK || prefix.bytes > 0);
    cellar_buffer_fini(&prefix);
    return status;
}

/* Appends "12 rows of TABLE that begin with PREFIX". The prefix is escaped as an argument would be,
 * so that what is read here can be typed. */
static enum cellar_status rows_say(const struct cellar_sight *sight, struct cellar_slice prefix,
                                   uint64_t row_count, struct cellar_buffer *to)
{
    CELLAR_ASSERT(prefix.bytes > 0);
    CELLAR_TRY(cellar_rows_say(row_count, to));
    CELLAR_TRY(cellar_buffer_printf(to, " of "));
    CELLAR_TRY(
        cellar_escape_encode(cellar_slice_text(sight->table->name), CELLAR_ESCAPE_PROSE, to));
    CELLAR_TRY(cellar_buffer_printf(to, " that begin%s with ", row_count == 1 ? "s" : ""));
    return cellar_escape_encode(prefix, CELLAR_ESCAPE_PLAIN, to);
}

/* The prefix is a figure too, so the sight keeps its bytes. */
static enum cellar_status rows_look(struct cellar_tool *tool, const struct cellar_args *args,
                                    struct cellar_sight *sight, struct cellar_error *error)
{
    uint64_t count = 0;
    struct cellar_read *read = cellar_read_new();
    CELLAR_ASSERT(sight->bytes.bytes == 0);
    enum cellar_status status = prefix_read(args, &sight->bytes, error);
    if (status == CELLAR_OK) {
        struct cellar_slice prefix = cellar_slice_of(&sight->bytes);
        cellar_sight_add(sight, (struct cellar_report_field){.name = "prefix",
                                                             .kind = CELLAR_REPORT_BYTES,
                                                             .bytes = prefix});
        cellar_read_prefix(read, cellar_view_of(prefix.data, prefix.bytes));
        status = cellar_sight_count(tool, args->words[0], read, sight, &count, error);
    }
    if (status == CELLAR_OK) {
        status = cellar_tool_memory(
            rows_say(sight, cellar_slice_of(&sight->bytes), count, &sight->text), error);
    }
    cellar_read_free(read);
    return status;
}

/* One request, whatever the number of rows: what is between looking and going is not counted again,
 * since others may write meanwhile. */
static enum cellar_status rows_go(struct cellar_tool *tool, const struct cellar_args *args,
                                  struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_buffer prefix = {0};
    CELLAR_ASSERT(args->word_count == 1);
    enum cellar_status status = prefix_read(args, &prefix, error);
    if (status == CELLAR_OK &&
        cellar_rows_drop(tool->client, args->words[0], cellar_view_of(prefix.data, prefix.bytes),
                         &call) != CELLAR_E_OK) {
        status = cellar_tool_call_error(&call, error);
    }
    cellar_buffer_fini(&prefix);
    return status;
}

static enum cellar_status rows_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    static const struct cellar_drop drop = {.check = rows_check, .look = rows_look, .go = rows_go};
    CELLAR_ASSERT(args->word_count == 1);
    return cellar_drop_run(tool, args, &drop, error);
}

static const struct cellar_option rows_options[] = {
    {"prefix", "P", "how the row keys begin; needed, and not empty"},
    CELLAR_DROP_OPTIONS,
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_drop_rows_commands[] = {
    {.verb = "drop-rows",
     .words = "T --prefix P",
     .summary = "Drops all rows whose keys begin with a prefix",
     .help =
         "    cellar drop-rows packages --prefix lib --dry-run\n"
         "\n"
         "The rows go at once, however many they are. There is no way back: asks as `table\n"
         "drop` does, and prints nothing. --format is that of --dry-run: dry_run, name, prefix,\n"
         "rows (10000 at most) and has_more_rows.\n",
     .options = rows_options,
     .word_count_min = 1,
     .word_count_max = 1,
     .has_format = true,
     .run = rows_run},
    {.verb = NULL},
};
