/*
 * A server's description in four formats.
 *
 * Text answers what a person asks first, in this order: what is it, what does it hold, where is its
 * log, what has it done and how fast, how much memory does it take. A table below says which figure
 * stands where and in which unit; a figure that this version does not know stands at the end under
 * its own name, one that the server does not have is left out. Beside what is counted stands how
 * much of it a second: between two answers when there are two, else since the server started.
 *
 * JSON and CSV have every figure under the server's name, as it is: scripts divide for themselves.
 */

#include "client/tools/server_printer.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/tools/duration.h"
#include "client/tools/escape.h"
#include "client/tools/json_write.h"

#define LABEL_WIDTH 16

enum unit {
    UNIT_NUMBER,
    UNIT_BYTES,
    UNIT_TOTAL, /* counted since the start: with a rate */
    UNIT_FLAG   /* 0 is not shown */
};

struct line {
    const char *figure; /* NULL: a group's title */
    const char *label;
    enum unit unit;
};

static const struct line lines[] = {
    {NULL, "holds", UNIT_NUMBER},
    {"tables", "tables", UNIT_NUMBER},
    {"tablets", "tablets", UNIT_NUMBER},
    {"stores", "stores", UNIT_NUMBER},
    {"store_bytes", "on disk", UNIT_BYTES},
    {"store_has_failed", "stores failed", UNIT_FLAG},
    {"stores_damaged", "stores damaged", UNIT_FLAG},
    {NULL, "log", UNIT_NUMBER},
    {"log_durable_lsn", "durable up to", UNIT_NUMBER},
    {"log_low_water_lsn", "applied up to", UNIT_NUMBER},
    {"log_segments", "segments", UNIT_NUMBER},
    {"log_bytes", "on disk", UNIT_BYTES},
    {"log_records", "records", UNIT_TOTAL},
    {"log_groups", "syncs", UNIT_TOTAL},
    {"log_has_failed", "log failed", UNIT_FLAG},
    {NULL, "work", UNIT_NUMBER},
    {"reads", "reads", UNIT_TOTAL},
    {"writes", "writes", UNIT_TOTAL},
    {"writes_in_flight", "writes now", UNIT_NUMBER},
    {"checkpoints", "checkpoints", UNIT_TOTAL},
    {"checkpoint_items", "moved by them", UNIT_TOTAL},
    {"checkpoint_failures", "failed ones", UNIT_FLAG},
    {"compactions_abandoned", "compactions cut off", UNIT_FLAG},
    {NULL, "memory", UNIT_NUMBER},
    {"memory_resident_bytes", "in use", UNIT_BYTES},
    {"memory_bytes_max", "limit", UNIT_BYTES},
    {"memtable_bytes", "memtables", UNIT_BYTES},
};

/* The figure of a name, or NULL. */
static const struct cellar_figure *figure_find(const struct cellar_server_info *info,
                                               const char *name)
{
    CELLAR_ASSERT(name != NULL);
    for (size_t index = 0; info != NULL && index < info->figure_count; index++) {
        if (strcmp(info->figures[index].name, name) == 0) {
            return &info->figures[index];
        }
    }
    return NULL;
}

/* How much of a figure a second, in hundredths; false when there is no time to divide by. */
static bool rate_find(const struct cellar_server_view *view, const struct cellar_figure *figure,
                      double *rate)
{
    const struct cellar_figure *old = figure_find(view->before, figure->name);
    uint64_t start_us = view->before == NULL ? 0 : view->before->uptime_us;
    CELLAR_ASSERT(view->info != NULL);
    if (view->info->uptime_us <= start_us || (view->before != NULL && old == NULL)) {
        return false;
    }
    double amount = (double)figure->value - (old == NULL ? 0.0 : (double)old->value);
    *rate = amount * 1e6 / (double)(view->info->uptime_us - start_us);
    return true;
}

/* ---- text ---------------------------------------------------------------------------------- */

/* Appends a number with a comma behind every third digit from its end. */
static enum cellar_status number_put(int64_t value, struct cellar_buffer *to)
{
    char digits[32];
    int count = snprintf(digits, sizeof digits, "%" PRId64, value);
    CELLAR_ASSERT(count > 0 && (size_t)count < sizeof digits);
    for (int index = 0; index < count; index++) {
        bool has_comma = index > 0 && digits[index - 1] != '-' && (count - index) % 3 == 0;
        CELLAR_TRY(cellar_buffer_printf(to, "%s%c", has_comma ? "," : "", digits[index]));
    }
    return CELLAR_OK;
}

/* Appends bytes in the largest unit of which there is one. */
static enum cellar_status bytes_put(int64_t bytes, struct cellar_buffer *to)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double amount = (double)bytes / 1024.0;
    size_t unit = 0;
    if (bytes < 1024) {
        return cellar_buffer_printf(to, "%" PRId64 " B", bytes);
    }
    while (amount >= 1024.0 && unit + 1 < CELLAR_ARRAY_COUNT(units)) {
        amount /= 1024.0;
        unit++;
    }
    CELLAR_ASSERT(amount >= 1.0);
    return cellar_buffer_printf(to, "%.1f %s", amount, units[unit]);
}

/* Appends a text that a server gave, as what a terminal shows, under a label. */
static enum cellar_status text_line(const char *label, const char *text, struct cellar_buffer *to)
{
    CELLAR_ASSERT(text != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "  %-*s", LABEL_WIDTH, label));
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(text), CELLAR_ESCAPE_PLAIN, to));
    return cellar_buffer_append(to, "\n", 1);
}

/* Appends the figure of a line, if the server has it. */
static enum cellar_status line_put(const struct cellar_server_view *view, const struct line *line,
                                   struct cellar_buffer *to)
{
    const struct cellar_figure *figure = figure_find(view->info, line->figure);
    double rate;
    if (figure == NULL || (line->unit == UNIT_FLAG && figure->value == 0)) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(strlen(line->label) < LABEL_WIDTH);
    CELLAR_TRY(cellar_buffer_printf(to, "  %-*s", LABEL_WIDTH, line->label));
    if (line->unit == UNIT_BYTES) {
        CELLAR_TRY(bytes_put(figure->value, to));
    } else {
        CELLAR_TRY(number_put(figure->value, to));
    }
    if (line->unit == UNIT_TOTAL && rate_find(view, figure, &rate)) {
        CELLAR_TRY(cellar_buffer_printf(to, ", %.*f/s", rate < 100 ? 2 : 0, rate));
    }
    return cellar_buffer_append(to, "\n", 1);
}

/* True for a figure that one of the lines shows. */
static bool is_known(const struct cellar_figure *figure)
{
    CELLAR_ASSERT(figure->name != NULL);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(lines); index++) {
        if (lines[index].figure != NULL && strcmp(lines[index].figure, figure->name) == 0) {
            return true;
        }
    }
    return false;
}

/* Appends what no line knows, under the server's names. */
static enum cellar_status others_put(const struct cellar_server_info *info,
                                     struct cellar_buffer *to)
{
    bool is_first = true;
    for (size_t index = 0; index < info->figure_count; index++) {
        const struct cellar_figure *figure = &info->figures[index];
        if (is_known(figure)) {
            continue;
        }
        CELLAR_ASSERT(figure->name != NULL);
        CELLAR_TRY(cellar_buffer_printf(to, "%s  ", is_first ? "\nmore\n" : ""));
        is_first = false;
        CELLAR_TRY(cellar_escape_encode(cellar_slice_text(figure->name), CELLAR_ESCAPE_WORD, to));
        int width = (int)CELLAR_MIN(strlen(figure->name), (size_t)LABEL_WIDTH * 2);
        CELLAR_TRY(cellar_buffer_printf(to, "%*s  ", LABEL_WIDTH * 2 - width, ""));
        CELLAR_TRY(number_put(figure->value, to));
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    }
    return CELLAR_OK;
}

/* Appends a server for people. */
static enum cellar_status server_text(const struct cellar_server_view *view,
                                      struct cellar_buffer *to)
{
    char uptime[CELLAR_DURATION_TEXT_BYTES];
    const struct cellar_server_info *info = view->info;
    int64_t uptime_s = (int64_t)(CELLAR_MIN(info->uptime_us, (uint64_t)INT64_MAX) / 1000000);
    const char *title = NULL;
    CELLAR_TRY(cellar_buffer_printf(to, "server\n"));
    CELLAR_TRY(text_line("version", info->version, to));
    CELLAR_TRY(text_line("endpoint", view->endpoint, to));
    CELLAR_TRY(text_line("up for", cellar_duration_encode(uptime_s * 1000000, uptime), to));
    CELLAR_TRY(text_line("data in", info->data_dir, to));
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(lines); index++) {
        if (lines[index].figure == NULL) {
            title = lines[index].label;
            continue;
        }
        size_t before = to->bytes;
        if (title != NULL) {
            CELLAR_TRY(cellar_buffer_printf(to, "\n%s\n", title));
        }
        size_t titled = to->bytes;
        CELLAR_TRY(line_put(view, &lines[index], to));
        CELLAR_ASSERT(to->bytes >= titled);
        if (to->bytes == titled) {
            to->bytes = before; /* a title waits for the first figure of its group */
        } else {
            title = NULL;
        }
    }
    return others_put(info, to);
}

/* ---- JSON and CSV -------------------------------------------------------------------------- */

/* Appends how much of each figure a second, as the last member. */
static enum cellar_status rates_json(const struct cellar_server_view *view,
                                     struct cellar_buffer *to)
{
    const char *comma = "";
    CELLAR_ASSERT(view->before != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, ",\"per_second\":{"));
    for (size_t index = 0; index < view->info->figure_count; index++) {
        const struct cellar_figure *figure = &view->info->figures[index];
        double rate;
        if (rate_find(view, figure, &rate)) {
            CELLAR_TRY(cellar_buffer_printf(to, "%s", comma));
            CELLAR_TRY(cellar_json_put_string(to, cellar_slice_text(figure->name)));
            CELLAR_TRY(cellar_buffer_printf(to, ":%.3f", rate));
            comma = ",";
        }
    }
    return cellar_buffer_append(to, "}", 1);
}

/* Appends a server as one object on one line. */
static enum cellar_status server_json(const struct cellar_server_view *view,
                                      struct cellar_buffer *to)
{
    const struct cellar_server_info *info = view->info;
    CELLAR_ASSERT(info->version != NULL && info->data_dir != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "{\"version\":"));
    CELLAR_TRY(cellar_json_put_bytes(to, cellar_slice_text(info->version)));
    CELLAR_TRY(
        cellar_buffer_printf(to, ",\"uptime_us\":%" PRIu64 ",\"data_dir\":", info->uptime_us));
    CELLAR_TRY(cellar_json_put_bytes(to, cellar_slice_text(info->data_dir)));
    CELLAR_TRY(cellar_buffer_printf(to, ",\"figures\":{"));
    for (size_t index = 0; index < info->figure_count; index++) {
        CELLAR_TRY(cellar_buffer_append(to, ",", index == 0 ? 0 : 1));
        CELLAR_TRY(cellar_json_put_string(to, cellar_slice_text(info->figures[index].name)));
        CELLAR_TRY(cellar_buffer_printf(to, ":%" PRId64, info->figures[index].value));
    }
    CELLAR_TRY(cellar_buffer_append(to, "}", 1));
    if (view->before != NULL) {
        CELLAR_TRY(rates_json(view, to));
    }
    return cellar_buffer_printf(to, "}\n");
}

/* Appends a server as records of a name, a value and, with an earlier answer, a rate. */
static enum cellar_status server_csv(const struct cellar_server_view *view,
                                     struct cellar_buffer *to)
{
    const struct cellar_server_info *info = view->info;
    const char *blank = view->before == NULL ? "" : ",";
    CELLAR_ASSERT(info->figure_count == 0 || info->figures != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "name,value%s\nversion,",
                                    view->before == NULL ? "" : ",per_second"));
    CELLAR_TRY(cellar_csv_put(to, cellar_slice_text(info->version)));
    CELLAR_TRY(cellar_buffer_printf(to, "%s\nuptime_us,%" PRIu64 "%s\ndata_dir,", blank,
                                    info->uptime_us, blank));
    CELLAR_TRY(cellar_csv_put(to, cellar_slice_text(info->data_dir)));
    CELLAR_TRY(cellar_buffer_printf(to, "%s\n", blank));
    for (size_t index = 0; index < info->figure_count; index++) {
        double rate;
        CELLAR_TRY(cellar_csv_put(to, cellar_slice_text(info->figures[index].name)));
        CELLAR_TRY(cellar_buffer_printf(to, ",%" PRId64 "%s", info->figures[index].value, blank));
        if (view->before != NULL && rate_find(view, &info->figures[index], &rate)) {
            CELLAR_TRY(cellar_buffer_printf(to, "%.3f", rate));
        }
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    }
    return CELLAR_OK;
}

enum cellar_status cellar_server_print(enum cellar_format format,
                                       const struct cellar_server_view *view,
                                       struct cellar_buffer *to)
{
    CELLAR_ASSERT(view->info != NULL && view->endpoint != NULL);
    switch (format) {
    case CELLAR_FORMAT_TEXT:
        return server_text(view, to);
    case CELLAR_FORMAT_JSON:
    case CELLAR_FORMAT_JSONL:
        return server_json(view, to);
    case CELLAR_FORMAT_CSV:
        return server_csv(view, to);
    }
    return CELLAR_OK;
}
