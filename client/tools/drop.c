/*
 * table drop, and the question that stands before what cannot be undone.
 *
 * Whoever drops a table by hand reads what is in it and types its name; a script says --yes, and
 * one that was written without it gets an error before anything is sent. --dry-run shows the same
 * and ends there. Rows are counted without their cells and only so far that it is cheap.
 *
 *     --dry-run             look, print, end
 *     --yes                 drop
 *     a terminal            look, print, ask, drop
 *     no terminal           usage error
 */

#include "client/tools/drop.h"

#include <inttypes.h>

#include "client/tools/escape.h"
#include "client/tools/report.h"

#define ROWS_COUNTED_MAX 10000 /* a few milliseconds for a server */
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

/* Counts a table's rows, but not beyond ROWS_COUNTED_MAX + 1. */
static enum cellar_status rows_count(struct cellar_tool *tool, const char *table, uint64_t *count,
                                     struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_scan *scan = NULL;
    struct cellar_row row;
    struct cellar_read *read = cellar_read_new();
    cellar_read_keys_only(read);
    cellar_read_limit(read, ROWS_COUNTED_MAX + 1);
    enum cellar_code code = cellar_scan_open(tool->client, table, read, &call, &scan);
    *count = 0;
    if (code == CELLAR_E_OK) {
        while (cellar_scan_next(scan, &row)) {
            ++*count;
        }
        code = cellar_scan_close(scan, &call);
    }
    cellar_read_free(read);
    CELLAR_ASSERT(*count <= ROWS_COUNTED_MAX + 1);
    return code == CELLAR_E_OK ? CELLAR_OK : cellar_tool_call_error(&call, error);
}

/* Appends what a table holds, on one line; `name` in full. */
static enum cellar_status table_say(const struct cellar_table_info *info, uint64_t row_count,
                                    struct cellar_buffer *to)
{
    bool is_all = row_count <= ROWS_COUNTED_MAX;
    CELLAR_ASSERT(info->name != NULL);
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(info->name), CELLAR_ESCAPE_PROSE, to));
    return cellar_buffer_printf(
        to, ": %zu %s, %zu %s, %s%" PRIu64 " row%s", info->family_count,
        info->family_count == 1 ? "family" : "families", info->tablet_count,
        info->tablet_count == 1 ? "tablet" : "tablets", is_all ? "" : "more than ",
        is_all ? row_count : (uint64_t)ROWS_COUNTED_MAX, row_count == 1 ? "" : "s");
}

/* Prints what would go. */
static enum cellar_status table_print(struct cellar_tool *tool,
                                      const struct cellar_table_info *info, uint64_t row_count,
                                      struct cellar_error *error)
{
    const struct cellar_report_field fields[] = {
        {.name = "dry_run", .kind = CELLAR_REPORT_BOOL, .number = 1},
        {.name = "name", .kind = CELLAR_REPORT_BYTES, .bytes = cellar_slice_text(info->name)},
        {.name = "families", .number = info->family_count},
        {.name = "tablets", .number = info->tablet_count},
        {.name = "rows", .number = CELLAR_MIN(row_count, (uint64_t)ROWS_COUNTED_MAX)},
        {.name = "has_more_rows",
         .kind = CELLAR_REPORT_BOOL,
         .number = row_count > ROWS_COUNTED_MAX},
    };
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(row_count <= ROWS_COUNTED_MAX + 1);
    if (tool->format != CELLAR_FORMAT_TEXT) {
        return cellar_report_print(tool, tool->format, fields, CELLAR_ARRAY_COUNT(fields), error);
    }
    enum cellar_status status = cellar_buffer_printf(&text, "would drop ");
    status = status == CELLAR_OK ? table_say(info, row_count, &text) : status;
    status = status == CELLAR_OK ? cellar_buffer_append(&text, "\n", 1) : status;
    status = cellar_tool_memory(status, error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}

/* Asks whether a table may go. */
static enum cellar_status table_ask(struct cellar_tool *tool, const struct cellar_args *args,
                                    const struct cellar_table_info *info, uint64_t row_count,
                                    struct cellar_error *error)
{
    struct cellar_buffer what = {0};
    const char *slash = strrchr(info->name, '/');
    CELLAR_ASSERT(tool->is_terminal);
    enum cellar_status status = table_say(info, row_count, &what);
    status = status == CELLAR_OK ? cellar_buffer_append(&what, "", 1) : status;
    status = cellar_tool_memory(status, error);
    if (status == CELLAR_OK) {
        status = cellar_confirm(tool, args, (const char *)what.data,
                                slash == NULL ? info->name : slash + 1, error);
    }
    cellar_buffer_fini(&what);
    return status;
}

/* Looks at a table and says what would go, or asks; then nothing or everything of it is left. */
static enum cellar_status drop_ask(struct cellar_tool *tool, const struct cellar_args *args,
                                   bool is_dry, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_table_info *info = NULL;
    uint64_t row_count = 0;
    CELLAR_ASSERT(args->word_count == 1);
    if (cellar_table_describe(tool->client, args->words[0], &call, &info) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    enum cellar_status status = rows_count(tool, args->words[0], &row_count, error);
    if (status == CELLAR_OK) {
        status = is_dry ? table_print(tool, info, row_count, error)
                        : table_ask(tool, args, info, row_count, error);
    }
    cellar_table_info_free(info);
    return status;
}

/* Silent when it worked, as rm is. */
enum cellar_status cellar_drop_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    struct cellar_call call = {0};
    bool is_dry = cellar_args_has(args, "dry-run");
    CELLAR_ASSERT(args->word_count == 1);
    if (is_dry || tool->is_terminal) {
        CELLAR_TRY(drop_ask(tool, args, is_dry, error));
    } else {
        CELLAR_TRY(cellar_confirm(tool, args, "", args->words[0], error));
    }
    if (!is_dry && cellar_table_drop(tool->client, args->words[0], &call) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    return CELLAR_OK;
}
