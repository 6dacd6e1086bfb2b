/*
 * ping and info: what a server says about itself.
 *
 * ping makes one attempt and does not wait for a server to come up, so that a script can ask it in
 * a loop of its own.
 */

#include <poll.h>

#include "client/tools/duration.h"
#include "client/tools/server_printer.h"
#include "client/tools/tool.h"

#define INTERVAL_US_MAX INT64_C(3600000000)

/* ping: says "ready" or "not ready"; with --ready the latter is a failure. */
static enum cellar_status ping_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    struct cellar_call call = {0};
    bool is_ready = false;
    CELLAR_ASSERT(args->word_count == 0);
    if (cellar_ping(tool->client, &call, &is_ready) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    if (!is_ready && cellar_args_has(args, "ready")) {
        return cellar_error_set(error, CELLAR_UNAVAILABLE,
                                "The server at %s answers, but is not ready", tool->endpoint);
    }
    switch (tool->format) {
    case CELLAR_FORMAT_TEXT:
        (void)fprintf(tool->out, "%s\n", is_ready ? "ready" : "not ready");
        break;
    case CELLAR_FORMAT_JSON:
    case CELLAR_FORMAT_JSONL:
        (void)fprintf(tool->out, "{\"ready\":%s}\n", is_ready ? "true" : "false");
        break;
    case CELLAR_FORMAT_CSV:
        (void)fprintf(tool->out, "ready\n%s\n", is_ready ? "true" : "false");
        break;
    }
    return CELLAR_OK;
}

/* Prints what the server said, the second time with rates. */
static enum cellar_status info_print(struct cellar_tool *tool,
                                     const struct cellar_server_view *view,
                                     struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(view->info != NULL);
    enum cellar_status status =
        cellar_tool_memory(cellar_server_print(tool->format, view, &text), error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}

/* Asks once more after a while. */
static enum cellar_status info_again(struct cellar_tool *tool, int64_t interval_us,
                                     struct cellar_server_info **info, struct cellar_error *error)
{
    struct cellar_call call = {0};
    CELLAR_ASSERT(interval_us > 0 && interval_us <= INTERVAL_US_MAX);
    struct pollfd entry = {.fd = tool->interrupt_fd, .events = POLLIN};
    (void)poll(&entry, entry.fd > 0 ? 1 : 0, (int)((interval_us + 999) / 1000));
    return cellar_server_info_get(tool->client, &call, info) == CELLAR_E_OK
               ? CELLAR_OK
               : cellar_tool_call_error(&call, error);
}

/* Reads --interval; 0 when it was not given. */
static enum cellar_status interval_read(const struct cellar_args *args, int64_t *interval_us,
                                        struct cellar_error *error)
{
    const char *text = cellar_args_text(args, "interval");
    *interval_us = 0;
    if (text == NULL) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_duration_decode(cellar_slice_text(text), interval_us, error));
    CELLAR_ASSERT(*interval_us > 0);
    return *interval_us <= INTERVAL_US_MAX
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Option --interval may be at most 1h, but got '%.64s'", text);
}

/* info: everything the server says about itself. */
static enum cellar_status info_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_server_info *info = NULL;
    struct cellar_server_info *later = NULL;
    int64_t interval_us;
    CELLAR_ASSERT(args->word_count == 0);
    CELLAR_TRY(interval_read(args, &interval_us, error));
    if (cellar_server_info_get(tool->client, &call, &info) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    struct cellar_server_view view = {.info = info, .endpoint = tool->endpoint};
    enum cellar_status status = CELLAR_OK;
    if (interval_us > 0) {
        status = info_again(tool, interval_us, &later, error);
        view =
            (struct cellar_server_view){.info = later, .before = info, .endpoint = tool->endpoint};
    }
    if (status == CELLAR_OK) {
        status = info_print(tool, &view, error);
    }
    cellar_server_info_free(info);
    cellar_server_info_free(later);
    return status;
}

static const struct cellar_option info_options[] = {
    {"interval", "DURATION", "ask twice, so far apart, and show what happened between"},
    {NULL, NULL, NULL},
};

static const struct cellar_option ping_options[] = {
    {"ready", NULL, "fail with exit code 5 unless the server is ready to serve"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_server_commands[] = {
    {.verb = "ping",
     .words = "",
     .summary = "Asks whether the server answers, and whether it is ready",
     .help = "    until cellar ping --ready; do sleep 0.1; done\n",
     .options = ping_options,
     .word_count_min = 0,
     .word_count_max = 0,
     .patience = CELLAR_PATIENCE_NONE,
     .has_format = true,
     .run = ping_run},
    {.verb = "info",
     .words = "",
     .summary = "Shows the server's version, what it holds, does and needs",
     .help = "    cellar info --interval 5s\n"
             "\n"
             "Rates are averages since the server started, or of the interval. JSON and CSV have\n"
             "the server's figures as they are.\n",
     .options = info_options,
     .word_count_min = 0,
     .word_count_max = 0,
     .has_format = true,
     .run = info_run},
    {.verb = NULL},
};
