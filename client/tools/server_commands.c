/*
 * ping and info: what a server says about itself.
 *
 * ping makes one attempt and does not wait for a server to come up, so that a script can ask it in
 * a loop of its own.
 */

#include "client/tools/table_printer.h"
#include "client/tools/tool.h"

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
    (void)fprintf(tool->out, "%s\n", is_ready ? "ready" : "not ready");
    return CELLAR_OK;
}

/* info: everything the server says about itself. */
static enum cellar_status info_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_server_info *info = NULL;
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(args->word_count == 0);
    if (cellar_server_info_get(tool->client, &call, &info) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    enum cellar_status status =
        cellar_tool_memory(cellar_server_print(tool->format, info, &text), error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_server_info_free(info);
    cellar_buffer_fini(&text);
    return status;
}

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
     .run = ping_run},
    {.verb = "info",
     .words = "",
     .summary = "Shows the server's version, data directory and figures",
     .help = "",
     .word_count_min = 0,
     .word_count_max = 0,
     .has_format = true,
     .run = info_run},
    {.verb = NULL},
};
