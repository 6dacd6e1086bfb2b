/*
 * compact: has the server write tables anew, and follows it to its end.
 *
 * The compaction is the server's and goes on when this program ends. Text is one line; JSON and CSV
 * have its numbers. A compaction that failed or was cancelled ends the program with an error.
 */

#include <inttypes.h>

#include "client/tools/escape.h"
#include "client/tools/pass_follow.h"
#include "client/tools/report.h"

#define RATE_MIN 1024 /* the server takes no less */

/* ---- printing -------------------------------------------------------------------------------- */

static const char *state_text(enum cellar_compact_state state)
{
    static const char *const texts[] = {"none",      "running", "ended",
                                        "cancelled", "failed",  "abandoned"};
    CELLAR_ASSERT((size_t)state < CELLAR_ARRAY_COUNT(texts));
    return texts[state];
}

/* Appends what a compaction did: "ended: 2 of 2 tablets, 1200 items, 5000 bytes of t" */
static enum cellar_status work_say(const struct cellar_compact_info *info, struct cellar_buffer *to)
{
    const char *table = info->table[0] == '\0' ? "all tables" : info->table;
    CELLAR_TRY(cellar_buffer_printf(to, "%s: %" PRIu64 " of %" PRIu64 " tablets, %" PRIu64,
                                    state_text(info->state), info->tablet_count,
                                    info->tablet_count_total, info->item_count));
    if (info->state != CELLAR_COMPACT_ENDED) {
        CELLAR_TRY(cellar_buffer_printf(to, " of about %" PRIu64, info->item_count_total));
    }
    CELLAR_ASSERT(to->bytes > 0);
    CELLAR_TRY(cellar_buffer_printf(to, " items, %" PRIu64 " bytes of ", info->byte_count));
    return cellar_escape_encode(cellar_slice_text(table), CELLAR_ESCAPE_PROSE, to);
}

static enum cellar_status info_say(const struct cellar_compact_info *info, struct cellar_buffer *to)
{
    if (info->state == CELLAR_COMPACT_NONE) {
        CELLAR_TRY(cellar_buffer_printf(to, "none since the server started"));
    } else if (info->state == CELLAR_COMPACT_ABANDONED) {
        CELLAR_TRY(cellar_buffer_printf(
            to, "abandoned: the server's end cut off the last one, %" PRIu64 " tablet%s as before",
            info->abandoned_count, info->abandoned_count == 1 ? " is" : "s are"));
    } else {
        CELLAR_TRY(work_say(info, to));
    }
    if (info->why[0] != '\0') {
        CELLAR_TRY(cellar_buffer_printf(to, "; "));
        CELLAR_TRY(cellar_escape_encode(cellar_slice_text(info->why), CELLAR_ESCAPE_PROSE, to));
    }
    CELLAR_ASSERT(to->bytes > 0);
    return cellar_buffer_append(to, "\n", 1);
}

static enum cellar_status info_put(enum cellar_format format,
                                   const struct cellar_compact_info *info, struct cellar_buffer *to)
{
    const struct cellar_report_field fields[] = {
        {.name = "state",
         .kind = CELLAR_REPORT_BYTES,
         .bytes = cellar_slice_text(state_text(info->state))},
        {.name = "table", .kind = CELLAR_REPORT_BYTES, .bytes = cellar_slice_text(info->table)},
        {.name = "background", .kind = CELLAR_REPORT_BOOL, .number = info->is_background},
        {.name = "tablets", .number = info->tablet_count},
        {.name = "tablets_total", .number = info->tablet_count_total},
        {.name = "items", .number = info->item_count},
        {.name = "items_total", .number = info->item_count_total},
        {.name = "bytes", .number = info->byte_count},
        {.name = "started_us", .number = info->started_us},
        {.name = "ended_us", .number = info->ended_us},
        {.name = "abandoned", .number = info->abandoned_count},
        {.name = "why", .kind = CELLAR_REPORT_BYTES, .bytes = cellar_slice_text(info->why)},
    };
    CELLAR_ASSERT(to->bytes == 0);
    return format == CELLAR_FORMAT_TEXT
               ? info_say(info, to)
               : cellar_report_put(format, fields, CELLAR_ARRAY_COUNT(fields), to);
}

static enum cellar_status info_print(struct cellar_tool *tool,
                                     const struct cellar_compact_info *info,
                                     struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(tool->out != NULL);
    enum cellar_status status = cellar_tool_memory(info_put(tool->format, info, &text), error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}

/* ---- following ------------------------------------------------------------------------------- */

static const char *const start_options[] = {"rate", "no-wait", NULL};

static const struct cellar_pass_kind compact_kind = {
    .noun = "compaction",
    .start_options = start_options,
    .start_options_refused = "--rate and --no-wait are for a compaction that starts",
};

/* @param context  the last status, which the new one takes the place of */
static enum cellar_status compact_ask(struct cellar_tool *tool, void *context,
                                      struct cellar_error *error)
{
    struct cellar_compact_info **info = context;
    struct cellar_compact_info *later = NULL;
    struct cellar_call call = {0};
    CELLAR_ASSERT(*info != NULL);
    if (cellar_compact_status(tool->client, &call, &later) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    cellar_compact_info_free(*info);
    *info = later;
    return CELLAR_OK;
}

static struct cellar_pass_view compact_view(const void *context)
{
    const struct cellar_compact_info *info = *(struct cellar_compact_info *const *)context;
    CELLAR_ASSERT(info != NULL);
    return (struct cellar_pass_view){.pass = info->pass,
                                     .is_running = info->state == CELLAR_COMPACT_RUNNING,
                                     .item_count = info->item_count,
                                     .item_count_total = info->item_count_total,
                                     .byte_count = info->byte_count};
}

/* How the program ends by how the compaction did. */
static enum cellar_status end_check(const struct cellar_compact_info *info,
                                    struct cellar_error *error)
{
    CELLAR_ASSERT(info->why != NULL);
    if (info->state == CELLAR_COMPACT_CANCELLED) {
        return cellar_error_set(error, CELLAR_ABORTED, "The compaction was cancelled");
    }
    return info->state == CELLAR_COMPACT_FAILED
               ? cellar_error_set(error, CELLAR_ABORTED, "The compaction failed: %s", info->why)
               : CELLAR_OK;
}

static enum cellar_status compact_run(struct cellar_tool *tool, const struct cellar_args *args,
                                      struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_compact_info *info = NULL;
    const char *table = args->word_count > 0 ? args->words[0] : NULL;
    int64_t rate = 0;
    CELLAR_TRY(cellar_pass_words_check(&compact_kind, args, error));
    CELLAR_TRY(cellar_args_number(args, "rate", (struct cellar_args_limits){RATE_MIN, INT64_MAX},
                                  &rate, error));
    bool has_status = cellar_args_has(args, "status");
    bool has_cancel = cellar_args_has(args, "cancel");
    CELLAR_ASSERT(tool->client != NULL);
    enum cellar_code code =
        has_status   ? cellar_compact_status(tool->client, &call, &info)
        : has_cancel ? cellar_compact_cancel(tool->client, &call, &info)
                     : cellar_compact_start(tool->client, table, (uint64_t)rate, &call, &info);
    if (code != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    const struct cellar_pass_watch watch = {&compact_kind, &info, compact_ask, compact_view};
    bool is_followed = !has_status && !has_cancel && !cellar_args_has(args, "no-wait");
    enum cellar_status status = is_followed ? cellar_pass_follow(tool, &watch, error) : CELLAR_OK;
    if (status == CELLAR_OK) {
        status = info_print(tool, info, error);
    }
    if (status == CELLAR_OK && is_followed) {
        status = end_check(info, error);
    }
    cellar_compact_info_free(info);
    return status;
}

static const struct cellar_option compact_options[] = {
    {"rate", "BYTES", "write so many bytes a second at most; default: no limit"},
    {"no-wait", NULL, "do not follow the compaction to its end"},
    {"status", NULL, "only tell how the latest compaction stands"},
    {"cancel", NULL, "have the compaction that runs end"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_compact_commands[] = {
    {.verb = "compact",
     .words = "[T] [--rate BYTES] [--no-wait|--status|--cancel]",
     .summary = "Has the server write a table's data anew, or that of all tables",
     .help =
         "    cellar compact && cellar info\n"
         "\n"
         "Behind it the data lies in the order of its keys, without what is deleted, dropped or\n"
         "hidden by rules, and the free space is the disk's again. The server goes on serving\n"
         "meanwhile, and needs as much free disk as the largest tablet's data. The command\n"
         "follows the compaction to its end; the compaction goes on when the command does not.\n"
         "The server does the same by itself when it is worth it (compact_garbage,\n"
         "compact_interval).\n",
     .options = compact_options,
     .word_count_min = 0,
     .word_count_max = 1,
     .has_format = true,
     .run = compact_run},
    {.verb = NULL},
};
