/*
 * scrub: has the server check what is on its disk, and says what is damaged.
 *
 * Without options it starts a scrub and asks for its status until it ends, some times a second; the
 * scrub itself is the server's and goes on when this program ends. A problem is a line; behind them
 * comes the summary. JSON has an object for each, CSV the summary alone. Damage ends the program
 * with 1, as refused input of an import does.
 */

#include <inttypes.h>

#include "client/tools/escape.h"
#include "client/tools/json_write.h"
#include "client/tools/pass_follow.h"
#include "client/tools/report.h"

#define RATE_MIN 1024 /* the server takes no less */

/* ---- printing -------------------------------------------------------------------------------- */

static struct cellar_slice slice_of(struct cellar_view view)
{
    CELLAR_ASSERT(view.data != NULL || view.bytes == 0);
    return cellar_slice_make(view.data, view.bytes);
}

/* Appends ` NAME "key"`. */
static enum cellar_status key_say(const char *name, struct cellar_view key,
                                  struct cellar_buffer *to)
{
    CELLAR_ASSERT(name[0] != '\0');
    CELLAR_TRY(cellar_buffer_printf(to, " %s \"", name));
    CELLAR_TRY(cellar_escape_encode(slice_of(key), CELLAR_ESCAPE_PLAIN, to));
    return cellar_buffer_append(to, "\"", 1);
}

/* Appends a line: damage: TABLE tablet "" to "m" row "k": why */
static enum cellar_status problem_say(const struct cellar_scrub_problem *problem,
                                      struct cellar_buffer *to)
{
    const char *table = problem->table[0] == '\0' ? "the catalog" : problem->table;
    CELLAR_TRY(cellar_buffer_printf(to, "damage: "));
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(table), CELLAR_ESCAPE_PROSE, to));
    if (problem->table[0] != '\0') {
        CELLAR_TRY(key_say("tablet", problem->tablet_start, to));
        CELLAR_TRY(key_say("to", problem->tablet_end, to));
    }
    if (problem->place != CELLAR_SCRUB_NOWHERE) {
        bool is_row = problem->place == CELLAR_SCRUB_ROW;
        CELLAR_TRY(key_say(is_row ? "row" : "rows", problem->start, to));
        CELLAR_TRY(is_row ? CELLAR_OK : key_say("to", problem->end, to));
    }
    CELLAR_ASSERT(to->bytes > 0);
    CELLAR_TRY(cellar_buffer_printf(to, ": "));
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(problem->why), CELLAR_ESCAPE_PROSE, to));
    return cellar_buffer_append(to, "\n", 1);
}

/* The same as an object; a field that says nothing is left out. */
static enum cellar_status problem_put(const struct cellar_scrub_problem *problem,
                                      struct cellar_buffer *to)
{
    struct cellar_report_field fields[6];
    size_t count = 0;
#define FIELD(of, value)                                                                           \
    ((struct cellar_report_field){.name = of, .kind = CELLAR_REPORT_BYTES, .bytes = value})
    fields[count++] = FIELD("table", cellar_slice_text(problem->table));
    fields[count++] = FIELD("tablet_start", slice_of(problem->tablet_start));
    fields[count++] = FIELD("tablet_end", slice_of(problem->tablet_end));
    if (problem->place == CELLAR_SCRUB_ROW) {
        fields[count++] = FIELD("row", slice_of(problem->start));
    } else if (problem->place == CELLAR_SCRUB_ROWS) {
        fields[count++] = FIELD("rows_start", slice_of(problem->start));
        fields[count++] = FIELD("rows_end", slice_of(problem->end));
    }
    fields[count++] = FIELD("damage", cellar_slice_text(problem->why));
#undef FIELD
    CELLAR_ASSERT(count <= CELLAR_ARRAY_COUNT(fields));
    return cellar_report_put(CELLAR_FORMAT_JSON, fields, count, to);
}

static const char *state_text(enum cellar_scrub_state state)
{
    static const char *const texts[] = {"none since the server started", "running", "ended",
                                        "cancelled"};
    CELLAR_ASSERT((size_t)state < CELLAR_ARRAY_COUNT(texts));
    return texts[state];
}

/* "ended: 1200 items, 5000 bytes of everything, 2 problems" */
static enum cellar_status summary_say(const struct cellar_scrub_info *info,
                                      struct cellar_buffer *to)
{
    CELLAR_TRY(cellar_buffer_printf(to, "%s", state_text(info->state)));
    if (info->state == CELLAR_SCRUB_NONE) {
        return cellar_buffer_append(to, "\n", 1);
    }
    uint64_t listed = info->problem_count_listed;
    CELLAR_TRY(cellar_buffer_printf(to, ": %" PRIu64, info->item_count));
    if (info->state != CELLAR_SCRUB_ENDED) {
        CELLAR_TRY(cellar_buffer_printf(to, " of about %" PRIu64, info->item_count_total));
    }
    CELLAR_TRY(cellar_buffer_printf(to, " items, %" PRIu64 " bytes of ", info->byte_count));
    const char *table = info->table[0] == '\0' ? "everything" : info->table;
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(table), CELLAR_ESCAPE_PROSE, to));
    CELLAR_TRY(cellar_buffer_printf(to, ", %" PRIu64 " problem%s", info->problem_count,
                                    info->problem_count == 1 ? "" : "s"));
    if (info->problem_count > listed) {
        CELLAR_TRY(cellar_buffer_printf(to, ", of which the first %" PRIu64 " are above", listed));
    }
    CELLAR_ASSERT(to->bytes > 0);
    return cellar_buffer_append(to, "\n", 1);
}

static enum cellar_status summary_put(enum cellar_format format,
                                      const struct cellar_scrub_info *info,
                                      struct cellar_buffer *to)
{
    const struct cellar_report_field fields[] = {
        {.name = "state",
         .kind = CELLAR_REPORT_BYTES,
         .bytes = info->state == CELLAR_SCRUB_NONE ? cellar_slice_text("none")
                                                   : cellar_slice_text(state_text(info->state))},
        {.name = "table", .kind = CELLAR_REPORT_BYTES, .bytes = cellar_slice_text(info->table)},
        {.name = "background", .kind = CELLAR_REPORT_BOOL, .number = info->is_background},
        {.name = "items", .number = info->item_count},
        {.name = "items_total", .number = info->item_count_total},
        {.name = "bytes", .number = info->byte_count},
        {.name = "started_us", .number = info->started_us},
        {.name = "ended_us", .number = info->ended_us},
        {.name = "problems", .number = info->problem_count},
    };
    CELLAR_ASSERT(format != CELLAR_FORMAT_TEXT);
    return cellar_report_put(format, fields, CELLAR_ARRAY_COUNT(fields), to);
}

static enum cellar_status info_put(enum cellar_format format, const struct cellar_scrub_info *info,
                                   struct cellar_buffer *to)
{
    CELLAR_ASSERT(to->bytes == 0);
    for (size_t i = 0; i < info->problem_count_listed && format != CELLAR_FORMAT_CSV; i++) {
        CELLAR_TRY(format == CELLAR_FORMAT_TEXT ? problem_say(&info->problems[i], to)
                                                : problem_put(&info->problems[i], to));
    }
    return format == CELLAR_FORMAT_TEXT ? summary_say(info, to) : summary_put(format, info, to);
}

static enum cellar_status info_print(struct cellar_tool *tool, const struct cellar_scrub_info *info,
                                     struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(tool->out != NULL);
    enum cellar_status status = cellar_tool_memory(info_put(tool->format, info, &text), error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    tool->has_refused = info->problem_count > 0;
    cellar_buffer_fini(&text);
    return status;
}

/* ---- following ------------------------------------------------------------------------------- */

static const char *const start_options[] = {"rate", NULL};

static const struct cellar_pass_kind scrub_kind = {
    .noun = "scrub",
    .start_options = start_options,
    .start_options_refused = "--rate is for a scrub that starts, not for --status or --cancel",
};

/* @param context  the last status, which the new one takes the place of */
static enum cellar_status scrub_ask(struct cellar_tool *tool, void *context,
                                    struct cellar_error *error)
{
    struct cellar_scrub_info **info = context;
    struct cellar_scrub_info *later = NULL;
    struct cellar_call call = {0};
    CELLAR_ASSERT(*info != NULL);
    if (cellar_scrub_status(tool->client, &call, &later) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    cellar_scrub_info_free(*info);
    *info = later;
    return CELLAR_OK;
}

static struct cellar_pass_view scrub_view(const void *context)
{
    const struct cellar_scrub_info *info = *(struct cellar_scrub_info *const *)context;
    CELLAR_ASSERT(info != NULL);
    return (struct cellar_pass_view){.pass = info->pass,
                                     .is_running = info->state == CELLAR_SCRUB_RUNNING,
                                     .item_count = info->item_count,
                                     .item_count_total = info->item_count_total,
                                     .byte_count = info->byte_count};
}

static enum cellar_status scrub_run(struct cellar_tool *tool, const struct cellar_args *args,
                                    struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_scrub_info *info = NULL;
    const char *table = args->word_count > 0 ? args->words[0] : NULL;
    int64_t rate = 0; /* the server's own */
    CELLAR_TRY(cellar_pass_words_check(&scrub_kind, args, error));
    CELLAR_TRY(cellar_args_number(args, "rate", (struct cellar_args_limits){RATE_MIN, INT64_MAX},
                                  &rate, error));
    bool has_status = cellar_args_has(args, "status");
    bool has_cancel = cellar_args_has(args, "cancel");
    CELLAR_ASSERT(tool->client != NULL);
    enum cellar_code code =
        has_status   ? cellar_scrub_status(tool->client, &call, &info)
        : has_cancel ? cellar_scrub_cancel(tool->client, &call, &info)
                     : cellar_scrub_start(tool->client, table, (uint64_t)rate, &call, &info);
    if (code != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    const struct cellar_pass_watch watch = {&scrub_kind, &info, scrub_ask, scrub_view};
    bool is_followed = !has_status && !has_cancel;
    enum cellar_status status = is_followed ? cellar_pass_follow(tool, &watch, error) : CELLAR_OK;
    if (status == CELLAR_OK) {
        status = info_print(tool, info, error);
    }
    if (status == CELLAR_OK && is_followed && info->state == CELLAR_SCRUB_CANCELLED) {
        status = cellar_error_set(error, CELLAR_ABORTED, "The scrub was cancelled");
    }
    cellar_scrub_info_free(info);
    return status;
}

static const struct cellar_option scrub_options[] = {
    {"rate", "BYTES", "read so many bytes a second at most; default: 64 MiB"},
    {"status", NULL, "only tell how the latest scrub stands"},
    {"cancel", NULL, "have the scrub that runs end"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_scrub_commands[] = {
    {.verb = "scrub",
     .words = "[T] [--rate BYTES|--status|--cancel]",
     .summary = "Has the server check everything on its disk, of one table or all",
     .help = "    cellar scrub && echo sound\n"
             "\n"
             "The server goes on serving. What is damaged is named by table, tablet and row; the\n"
             "exit code is 1 then. Without options the command follows the scrub to its end; the\n"
             "scrub goes on when the command does not. The server does the same by itself once a\n"
             "week (scrub_interval). JSON is an object for each problem and one that sums up; CSV\n"
             "is the latter alone.\n",
     .options = scrub_options,
     .word_count_min = 0,
     .word_count_max = 1,
     .has_format = true,
     .run = scrub_run},
    {.verb = NULL},
};
