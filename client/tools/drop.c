/*
 * The question that stands before what cannot be undone, and table drop and truncate.
 *
 * Whoever takes away by hand reads what would go and types the table's name; a script says --yes,
 * and one that was written without it gets an error before anything is sent. --dry-run shows the
 * same and ends there. Rows are counted without their cells and only so far that it is cheap. What
 * is seen may change until it goes: the server is not told how much that was.
 *
 *     --dry-run             look, print, end
 *     --yes                 drop
 *     a terminal            look, print, ask, drop
 *     no terminal           usage error
 */

#include "client/tools/drop.h"

#include <inttypes.h>

#include "client/tools/escape.h"

#define ANSWER_BYTES_MAX 512

/* Reads a line that was typed and takes its end off; false at the end of input. */
static bool answer_read(char answer[ANSWER_BYTES_MAX])
{
    if (fgets(answer, ANSWER_BYTES_MAX, stdin) == NULL) {
        clearerr(stdin); /* Ctrl-D is an answer, not the end of a shell */
        return false;
    }
    answer[strcspn(answer, "\n")] = '\0';
    CELLAR_ASSERT(strchr(answer, '\n') == NULL);
    return true;
}

enum cellar_status cellar_confirm(struct cellar_tool *tool, const struct cellar_args *args,
                                  const char *what, const char *name, struct cellar_error *error)
{
    char answer[ANSWER_BYTES_MAX];
    CELLAR_ASSERT(tool->command != NULL && name != NULL);
    if (cellar_args_has(args, "yes")) {
        return CELLAR_OK;
    }
    if (!tool->is_terminal) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "'%s' needs --yes where there is no terminal to ask on; nothing "
                                "was changed, and --dry-run shows what would go",
                                tool->command->verb);
    }
    cellar_tool_say(tool->err, what);
    (void)fprintf(tool->err, "\nThere is no way back. Type the name '");
    cellar_tool_say(tool->err, name);
    (void)fprintf(tool->err, "' to go on: ");
    (void)fflush(tool->err);
    bool is_read = answer_read(answer);
    if (is_read && strcmp(answer, name) == 0) {
        return CELLAR_OK;
    }
    if (!is_read) {
        (void)fprintf(tool->err, "\n");
    }
    return cellar_error_set(error, CELLAR_CANCELLED, "Nothing was changed: '%.64s' was not typed",
                            name);
}

/* ---- what would go ------------------------------------------------------------------------- */

/* The fields are few and each command's are known, so too many are a mistake of its code. */
void cellar_sight_add(struct cellar_sight *sight, struct cellar_report_field field)
{
    CELLAR_ASSERT(sight->field_count < CELLAR_SIGHT_FIELDS_MAX);
    sight->fields[sight->field_count++] = field;
}

/* One row above the most is asked for, which tells "all" from "at least"; the server stops there,
 * so that a look at a table of any size costs the same. Keys alone are sent: a row is one whatever
 * it holds. */
enum cellar_status cellar_sight_count(struct cellar_tool *tool, const char *table,
                                      struct cellar_read *read, struct cellar_sight *sight,
                                      uint64_t *count, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_scan *scan = NULL;
    struct cellar_row row;
    cellar_read_keys_only(read);
    cellar_read_limit(read, CELLAR_ROWS_COUNTED_MAX + 1);
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
    CELLAR_ASSERT(*count <= CELLAR_ROWS_COUNTED_MAX + 1);
    cellar_sight_add(sight, (struct cellar_report_field){
                                .name = "rows",
                                .number = CELLAR_MIN(*count, (uint64_t)CELLAR_ROWS_COUNTED_MAX)});
    cellar_sight_add(sight,
                     (struct cellar_report_field){.name = "has_more_rows",
                                                  .kind = CELLAR_REPORT_BOOL,
                                                  .number = *count > CELLAR_ROWS_COUNTED_MAX});
    return CELLAR_OK;
}

/* A count that was cut is said to be a lower bound; an exact one says nothing about itself. */
enum cellar_status cellar_rows_say(uint64_t count, struct cellar_buffer *to)
{
    bool is_all = count <= CELLAR_ROWS_COUNTED_MAX;
    CELLAR_ASSERT(count <= CELLAR_ROWS_COUNTED_MAX + 1);
    return cellar_buffer_printf(to, "%s%" PRIu64 " row%s", is_all ? "" : "at least ",
                                is_all ? count : (uint64_t)CELLAR_ROWS_COUNTED_MAX,
                                count == 1 ? "" : "s");
}

/* Prints what would go. Programs get the figures, as a sentence is not theirs to take apart. */
static enum cellar_status sight_print(struct cellar_tool *tool, const struct cellar_sight *sight,
                                      struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(sight->field_count >= 2 && sight->text.bytes > 0);
    if (tool->format != CELLAR_FORMAT_TEXT) {
        return cellar_report_print(tool, tool->format, sight->fields, sight->field_count, error);
    }
    enum cellar_status status = cellar_buffer_printf(
        &text, "would drop %.*s\n", (int)sight->text.bytes, (const char *)sight->text.data);
    status = cellar_tool_memory(status, error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}

/* Asks whether it may go. What must be typed is the table's own name, without project and instance:
 * short enough to type, and not what the command line just held when that had the long form. */
static enum cellar_status sight_ask(struct cellar_tool *tool, const struct cellar_args *args,
                                    struct cellar_sight *sight, struct cellar_error *error)
{
    const char *slash = strrchr(sight->table->name, '/');
    CELLAR_ASSERT(tool->is_terminal);
    enum cellar_status status =
        cellar_tool_memory(cellar_buffer_append(&sight->text, "", 1), error);
    return status == CELLAR_OK
               ? cellar_confirm(tool, args, (const char *)sight->text.data,
                                slash == NULL ? sight->table->name : slash + 1, error)
               : status;
}

/* Looks, and says what would go or asks; nothing has gone after it. The table is described first,
 * so that one that is not there is an error here and not after the question. */
static enum cellar_status drop_look(struct cellar_tool *tool, const struct cellar_args *args,
                                    const struct cellar_drop *drop, bool is_dry,
                                    struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_table_info *info = NULL;
    struct cellar_sight sight = {0};
    CELLAR_ASSERT(args->word_count >= 1);
    if (cellar_table_describe(tool->client, args->words[0], &call, &info) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    sight.table = info;
    cellar_sight_add(&sight, (struct cellar_report_field){
                                 .name = "dry_run", .kind = CELLAR_REPORT_BOOL, .number = 1});
    cellar_sight_add(&sight, (struct cellar_report_field){.name = "name",
                                                          .kind = CELLAR_REPORT_BYTES,
                                                          .bytes = cellar_slice_text(info->name)});
    enum cellar_status status = drop->look(tool, args, &sight, error);
    if (status == CELLAR_OK) {
        status = is_dry ? sight_print(tool, &sight, error) : sight_ask(tool, args, &sight, error);
    }
    cellar_buffer_fini(&sight.text);
    cellar_buffer_fini(&sight.bytes);
    cellar_table_info_free(info);
    return status;
}

/* Arguments are checked before anybody is asked. Without a terminal nothing is looked at either: a
 * script that says --yes has decided, and one that does not gets its error before anything is sent.
 * Silent when it worked, as rm is. */
enum cellar_status cellar_drop_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   const struct cellar_drop *drop, struct cellar_error *error)
{
    bool is_dry = cellar_args_has(args, "dry-run");
    CELLAR_ASSERT(args->word_count >= 1);
    if (drop->check != NULL) {
        CELLAR_TRY(drop->check(args, error));
    }
    if (is_dry || tool->is_terminal) {
        CELLAR_TRY(drop_look(tool, args, drop, is_dry, error));
    } else {
        CELLAR_TRY(cellar_confirm(tool, args, "", args->words[0], error));
    }
    return is_dry ? CELLAR_OK : drop->go(tool, args, error);
}

/* ---- tables -------------------------------------------------------------------------------- */

/* Counts all rows of the table that is looked at: table drop and truncate differ in what else goes,
 * not in the rows. */
static enum cellar_status all_count(struct cellar_tool *tool, const char *table,
                                    struct cellar_sight *sight, uint64_t *count,
                                    struct cellar_error *error)
{
    struct cellar_read *read = cellar_read_new();
    enum cellar_status status = cellar_sight_count(tool, table, read, sight, count, error);
    CELLAR_ASSERT(status != CELLAR_OK || sight->field_count >= 4);
    cellar_read_free(read);
    return status;
}

/* Appends what a table holds, on one line. */
static enum cellar_status table_say(const struct cellar_table_info *info, uint64_t row_count,
                                    struct cellar_buffer *to)
{
    CELLAR_ASSERT(info->name != NULL);
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(info->name), CELLAR_ESCAPE_PROSE, to));
    CELLAR_TRY(cellar_buffer_printf(to, ": %zu %s, %zu %s, ", info->family_count,
                                    info->family_count == 1 ? "family" : "families",
                                    info->tablet_count,
                                    info->tablet_count == 1 ? "tablet" : "tablets"));
    return cellar_rows_say(row_count, to);
}

/* Families and tablets go too, so they are said. */
static enum cellar_status table_look(struct cellar_tool *tool, const struct cellar_args *args,
                                     struct cellar_sight *sight, struct cellar_error *error)
{
    uint64_t count = 0;
    CELLAR_ASSERT(sight->table != NULL);
    cellar_sight_add(sight, (struct cellar_report_field){.name = "families",
                                                         .number = sight->table->family_count});
    cellar_sight_add(sight, (struct cellar_report_field){.name = "tablets",
                                                         .number = sight->table->tablet_count});
    CELLAR_TRY(all_count(tool, args->words[0], sight, &count, error));
    return cellar_tool_memory(table_say(sight->table, count, &sight->text), error);
}

static enum cellar_status table_go(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    struct cellar_call call = {0};
    CELLAR_ASSERT(args->word_count == 1);
    return cellar_table_drop(tool->client, args->words[0], &call) == CELLAR_E_OK
               ? CELLAR_OK
               : cellar_tool_call_error(&call, error);
}

enum cellar_status cellar_table_drop_run(struct cellar_tool *tool, const struct cellar_args *args,
                                         struct cellar_error *error)
{
    static const struct cellar_drop drop = {.look = table_look, .go = table_go};
    CELLAR_ASSERT(args->word_count == 1);
    return cellar_drop_run(tool, args, &drop, error);
}

/* Appends what truncating takes from a table. */
static enum cellar_status rows_all_say(const struct cellar_table_info *info, uint64_t row_count,
                                       struct cellar_buffer *to)
{
    CELLAR_ASSERT(info->name != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "all rows of "));
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(info->name), CELLAR_ESCAPE_PROSE, to));
    CELLAR_TRY(cellar_buffer_printf(to, ": "));
    return cellar_rows_say(row_count, to);
}

/* The table stays, so its rows are all there is to say. */
static enum cellar_status truncate_look(struct cellar_tool *tool, const struct cellar_args *args,
                                        struct cellar_sight *sight, struct cellar_error *error)
{
    uint64_t count = 0;
    CELLAR_ASSERT(sight->table != NULL);
    CELLAR_TRY(all_count(tool, args->words[0], sight, &count, error));
    return cellar_tool_memory(rows_all_say(sight->table, count, &sight->text), error);
}

static enum cellar_status truncate_go(struct cellar_tool *tool, const struct cellar_args *args,
                                      struct cellar_error *error)
{
    struct cellar_call call = {0};
    CELLAR_ASSERT(args->word_count == 1);
    return cellar_table_truncate(tool->client, args->words[0], &call) == CELLAR_E_OK
               ? CELLAR_OK
               : cellar_tool_call_error(&call, error);
}

enum cellar_status cellar_table_truncate_run(struct cellar_tool *tool,
                                             const struct cellar_args *args,
                                             struct cellar_error *error)
{
    static const struct cellar_drop drop = {.look = truncate_look, .go = truncate_go};
    CELLAR_ASSERT(args->word_count == 1);
    return cellar_drop_run(tool, args, &drop, error);
}
