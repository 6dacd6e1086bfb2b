/*
 * The program `cellar` around its commands: finding the command, its options and its client; errors
 * and exit codes.
 *
 *     cellar [options] VERB [words and options]
 *
 * A run has one command, one client and one exit code. Errors are two lines on standard error:
 * `cellar: CODE: sentence`, and what to do next. Results go to standard output only, so that it can
 * be piped; it is flushed and checked before the program ends, since a full disk must not look like
 * success.
 */

#include "client/tools/tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/tools/duration.h"
#include "client/tools/escape.h"
#include "client/tools/help.h"

#define TIMEOUT_US_PATIENT INT64_C(60000000)
#define CONNECT_ATTEMPTS_PATIENT 1000u
#define CONNECTIONS_PATIENT 64u

static const struct cellar_option no_options[] = {{NULL, NULL, NULL}};

/* What to do after a failure, by code; INVALID_ARGUMENT names the command's help. */
static const char *const next_steps[] = {
    [CELLAR_NOT_FOUND] = "`cellar table ls` lists the tables, `cellar table describe T` the "
                         "families of one.",
    [CELLAR_ALREADY_EXISTS] = "`cellar table describe T` shows what is there; `cellar table drop "
                              "T` removes it with all its rows.",
    [CELLAR_FAILED_PRECONDITION] = "Nothing was changed. Check that the endpoint is a Cellar "
                                   "server's and what the sentence above asks for.",
    [CELLAR_ABORTED] = "Nothing was changed; run the command again.",
    [CELLAR_UNAVAILABLE] = "Nothing was changed. Start a server with `cellard`, or name another "
                           "with --endpoint HOST:PORT.",
    [CELLAR_RESOURCE_EXHAUSTED] = "Nothing was changed. `cellar info` shows the server's figures.",
    [CELLAR_DEADLINE_EXCEEDED] = "A write may have been applied. Run the command again, with a "
                                 "longer --timeout if the server is busy.",
    [CELLAR_OUTCOME_UNKNOWN] = "Read the row to see whether the write is there, or run the command "
                               "again with --timestamp, which never applies twice.",
    [CELLAR_PERMISSION_DENIED] = "Nothing was changed.",
    [CELLAR_UNAUTHENTICATED] = "Nothing was changed.",
    [CELLAR_DATA_LOSS] = "Other rows are readable; the server's log names what is damaged.",
    [CELLAR_UNIMPLEMENTED] = "Nothing was changed. `cellar help` lists what this build has.",
    [CELLAR_IO_ERROR] = "The server's log says more, if it was the server.",
    [CELLAR_NO_MEMORY] = "Nothing was changed.",
};

/* For scripts: what kind of failure, in the classes that a script can act on. They are documented
 * and stay. */
int cellar_tool_exit_code(enum cellar_status status)
{
    static const int codes[CELLAR_STATUS_COUNT] = {
        [CELLAR_OK] = 0,
        [CELLAR_INVALID_ARGUMENT] = 2,
        [CELLAR_NOT_FOUND] = 3,
        [CELLAR_ALREADY_EXISTS] = 4,
        [CELLAR_FAILED_PRECONDITION] = 4,
        [CELLAR_ABORTED] = 4,
        [CELLAR_UNAVAILABLE] = 5,
        [CELLAR_RESOURCE_EXHAUSTED] = 5,
        [CELLAR_DEADLINE_EXCEEDED] = 5,
        [CELLAR_OUTCOME_UNKNOWN] = 5,
        [CELLAR_PERMISSION_DENIED] = 6,
        [CELLAR_UNAUTHENTICATED] = 6,
        [CELLAR_DATA_LOSS] = 1,
        [CELLAR_UNIMPLEMENTED] = 1,
        [CELLAR_CANCELLED] = 1,
        [CELLAR_IO_ERROR] = 1,
        [CELLAR_NO_MEMORY] = 1,
    };
    CELLAR_ASSERT((unsigned int)status < CELLAR_STATUS_COUNT);
    return codes[status];
}

enum cellar_status cellar_tool_call_error(const struct cellar_call *call,
                                          struct cellar_error *error)
{
    enum cellar_status code = (enum cellar_status)call->failure.code;
    CELLAR_ASSERT((unsigned int)code < CELLAR_STATUS_COUNT);
    (void)cellar_error_set(error, code, "%s", call->failure.text);
    error->retry_delay_ms = call->failure.retry_delay_ms;
    return code;
}

/* The error of output that could not be written; errno says why. A reader that has gone (`| head`)
 * ends the command without a word, as it ends others. */
static enum cellar_status output_failed(struct cellar_tool *tool, struct cellar_error *error)
{
    int code = errno;
    char reason[128];
    CELLAR_ASSERT(tool->out != NULL);
    tool->is_reader_gone = code == EPIPE;
    return cellar_error_set(error, CELLAR_IO_ERROR, "Cannot write the output: %s",
                            strerror_r(code, reason, sizeof reason));
}

enum cellar_status cellar_tool_write(struct cellar_tool *tool, struct cellar_buffer *text,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(tool->out != NULL);
    size_t written = text->bytes == 0 ? 0 : fwrite(text->data, 1, text->bytes, tool->out);
    if (written != text->bytes) {
        return output_failed(tool, error);
    }
    cellar_buffer_clear(text);
    return CELLAR_OK;
}

/* Texts of a server are as foreign as its data: none of them is obeyed by the terminal. */
void cellar_tool_say(FILE *to, const char *text)
{
    struct cellar_buffer safe = {0};
    CELLAR_ASSERT(to != NULL);
    if (cellar_escape_encode(cellar_slice_text(text), CELLAR_ESCAPE_PROSE, &safe) == CELLAR_OK &&
        safe.bytes > 0) {
        (void)fwrite(safe.data, 1, safe.bytes, to);
    }
    cellar_buffer_fini(&safe);
}

enum cellar_status cellar_tool_memory(enum cellar_status status, struct cellar_error *error)
{
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    return status == CELLAR_OK ? status
                               : cellar_error_set(error, status, "No memory for the output");
}

/* ---- running it ---------------------------------------------------------------------------- */

/* Checks the number of words and the format. */
static enum cellar_status args_check(struct cellar_tool *tool, const struct cellar_command *command,
                                     const struct cellar_args *args, struct cellar_error *error)
{
    const char *format = command->has_format ? cellar_args_text(args, "format") : NULL;
    CELLAR_ASSERT(command->word_count_min <= command->word_count_max);
    if (args->word_count < command->word_count_min || args->word_count > command->word_count_max) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "'%s' is followed by %s, but got %zu word%s", command->verb,
                                command->words[0] == '\0' ? "nothing" : command->words,
                                args->word_count, args->word_count == 1 ? "" : "s");
    }
    if (format != NULL && !cellar_format_decode(format, &tool->format)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --format must be text, json, jsonl or csv, but got '%.64s'",
                                format);
    }
    return CELLAR_OK;
}

/* An option of the command, else of the shell that runs it. */
static const char *option_text(const struct cellar_tool *tool, const char *name)
{
    const char *text = cellar_args_text(tool->args, name);
    CELLAR_ASSERT(tool->args != NULL);
    return text == NULL && tool->shell != NULL ? cellar_args_text(tool->shell->args, name) : text;
}

/* Commands that run for hours have more patience than those that somebody waits for; `ping` has
 * none, as it is asked whether there is a server now. */
enum cellar_status cellar_tool_connect(struct cellar_tool *tool, struct cellar_error *error)
{
    const struct cellar_command *command = tool->command;
    struct cellar_call call = {0};
    const char *endpoint = option_text(tool, "endpoint");
    const char *timeout = option_text(tool, "timeout");
    const char *environment = getenv("CELLAR_ENDPOINT");
    bool is_patient = command->patience == CELLAR_PATIENCE_LONG;
    struct cellar_options options = {.instance = option_text(tool, "instance"),
                                     /* a long command ends in good order by itself */
                                     .interrupt_fd = is_patient ? 0 : tool->interrupt_fd,
                                     .timeout_us = is_patient ? TIMEOUT_US_PATIENT : 0,
                                     .connections_max = is_patient ? CONNECTIONS_PATIENT : 0,
                                     .connect_attempts_max =
                                         is_patient ? CONNECT_ATTEMPTS_PATIENT : 0};
    CELLAR_ASSERT(tool->client == NULL);
    if (endpoint == NULL && environment != NULL && environment[0] != '\0') {
        endpoint = environment;
    }
    tool->endpoint = endpoint == NULL ? CELLAR_ENDPOINT_DEFAULT : endpoint;
    options.endpoint = tool->endpoint;
    if (command->patience == CELLAR_PATIENCE_NONE) {
        options.attempts_max = 1;
        options.connect_attempts_max = 1;
    }
    if (timeout != NULL) {
        CELLAR_TRY(cellar_duration_decode(cellar_slice_text(timeout), &options.timeout_us, error));
    }
    if (cellar_client_open(&options, &call, &tool->client) != CELLAR_E_OK) {
        return cellar_tool_call_error(&call, error);
    }
    return CELLAR_OK;
}

/* Takes the shell's client, or opens one when there is none that fits. In a shell the connection is
 * shared by all its commands, unless one names another server or terms. */
static enum cellar_status client_take(struct cellar_tool *tool,
                                      const struct cellar_command *command,
                                      struct cellar_error *error)
{
    bool is_other =
        cellar_args_has(tool->args, "endpoint") || cellar_args_has(tool->args, "instance") ||
        cellar_args_has(tool->args, "timeout") || command->patience == CELLAR_PATIENCE_LONG;
    CELLAR_ASSERT(tool->client == NULL);
    if (tool->shell == NULL || is_other) {
        return cellar_tool_connect(tool, error);
    }
    tool->client = tool->shell->client;
    tool->endpoint = tool->shell->endpoint;
    return CELLAR_OK;
}

/* Runs a command whose arguments were taken apart. */
static enum cellar_status command_run(struct cellar_tool *tool,
                                      const struct cellar_command *command,
                                      const struct cellar_args *args, struct cellar_error *error)
{
    CELLAR_ASSERT(command->run != NULL);
    if (cellar_args_has(args, "help")) {
        cellar_help_command(tool->out, command);
        return CELLAR_OK;
    }
    CELLAR_TRY(args_check(tool, command, args, error));
    if (command->patience != CELLAR_PATIENCE_OFFLINE) {
        CELLAR_TRY(client_take(tool, command, error));
    }
    enum cellar_status status = command->run(tool, args, error);
    if (tool->shell == NULL || tool->client != tool->shell->client) {
        cellar_client_close(tool->client);
    }
    tool->client = NULL;
    return status;
}

/* Finds the command in the arguments, takes these apart and runs it. Options may stand before the
 * verb, as in `cellar --endpoint X get t r`: people put them where they think of them. */
static enum cellar_status arguments_run(struct cellar_tool *tool, int argc, char **argv,
                                        struct cellar_error *error)
{
    int verb_words;
    int index = cellar_command_index(argc, (const char *const *)argv);
    struct cellar_args args = {0};
    CELLAR_ASSERT(index < argc);
    const struct cellar_command *command =
        cellar_command_find(argc - index, (const char *const *)argv + index, &verb_words);
    if (command == NULL) {
        return cellar_command_refuse(argc - index, (const char *const *)argv + index, error);
    }
    tool->command = command;
    /* The verb's words make place for the options before it, so that all are taken at once. */
    memmove(argv + 1 + verb_words, argv + 1, (size_t)(index - 1) * sizeof *argv);
    const struct cellar_option *const options[] = {
        command->options == NULL ? no_options : command->options,
        command->has_format ? cellar_format_options : no_options, cellar_global_options, NULL};
    CELLAR_TRY(
        cellar_args_parse(options, argc - 1 - verb_words, argv + 1 + verb_words, &args, error));
    tool->args = &args;
    enum cellar_status status = command_run(tool, command, &args, error);
    tool->args = NULL;
    cellar_args_fini(&args);
    return status;
}

/* One sentence on what is wrong, one on what to do: the second comes from the command, or is that
 * of the code. */
void cellar_tool_complain(const struct cellar_tool *tool, const struct cellar_error *error)
{
    CELLAR_ASSERT(error->code != CELLAR_OK);
    const char *next =
        (size_t)error->code < CELLAR_ARRAY_COUNT(next_steps) ? next_steps[error->code] : NULL;
    size_t bytes = strlen(error->text);
    bool has_stop = bytes > 0 && error->text[bytes - 1] == '.';
    bool has_echo = tool->is_terminal && error->code == CELLAR_CANCELLED; /* "^C" stands there */
    (void)fprintf(tool->err, "%scellar: ", has_echo ? "\n" : "");
    if (tool->line > 0) {
        (void)fprintf(tool->err, "line %" PRIu64 ": ", tool->line);
    }
    (void)fprintf(tool->err, "%s: ", cellar_status_text(error->code));
    cellar_tool_say(tool->err, error->text);
    (void)fprintf(tool->err, "%s\n", has_stop ? "" : ".");
    if (tool->next_step != NULL) {
        (void)fprintf(tool->err, "        ");
        cellar_tool_say(tool->err, tool->next_step);
        (void)fprintf(tool->err, "\n");
    } else if (error->code == CELLAR_INVALID_ARGUMENT && tool->command == NULL) {
        (void)fprintf(tool->err, "        `cellar help` lists the commands.\n");
    } else if (error->code == CELLAR_INVALID_ARGUMENT) {
        (void)fprintf(tool->err, "        `cellar help %s` shows how it is used.\n",
                      tool->command->verb);
    } else if (next != NULL) {
        (void)fprintf(tool->err, "        %s\n", next);
    }
}

/* Ends a run: what was printed is on its way, and a failure is told. @return the exit code */
static int run_finish(struct cellar_tool *tool, enum cellar_status status,
                      struct cellar_error *error)
{
    CELLAR_ASSERT(status == CELLAR_OK || status == error->code);
    if ((fflush(tool->out) != 0 || ferror(tool->out) != 0) && status == CELLAR_OK) {
        status = output_failed(tool, error);
    }
    if (status != CELLAR_OK) {
        if (!tool->is_reader_gone) { /* as `| head` does: no failure that anyone waits for */
            cellar_tool_complain(tool, error);
        }
        return cellar_tool_exit_code(status);
    }
    return tool->exit_code != 0 ? tool->exit_code : tool->has_refused ? 1 : 0;
}

int cellar_tool_line(const struct cellar_tool *shell, uint64_t line, int argc, char **argv)
{
    struct cellar_tool tool = {.out = shell->out,
                               .err = shell->err,
                               .is_terminal = shell->is_terminal,
                               .interrupt_fd = shell->interrupt_fd,
                               .shell = shell,
                               .line = line};
    struct cellar_error error;
    enum cellar_status status;
    cellar_error_clear(&error);
    CELLAR_ASSERT(argc >= 2);
    if (cellar_command_index(argc, (const char *const *)argv) >= argc) {
        status = cellar_error_set(&error, CELLAR_INVALID_ARGUMENT, "There is no command");
    } else {
        status = arguments_run(&tool, argc, argv, &error);
    }
    return run_finish(&tool, status, &error);
}

int cellar_tool_run(int argc, char **argv, FILE *out, FILE *err)
{
    struct cellar_tool tool = {.out = out, .err = err, .format = CELLAR_FORMAT_TEXT};
    struct cellar_error error;
    enum cellar_status status = CELLAR_OK;
    int index = cellar_command_index(argc, (const char *const *)argv);
    cellar_error_clear(&error);
    CELLAR_ASSERT(out != NULL && err != NULL);
    tool.is_terminal = isatty(STDIN_FILENO) == 1 && isatty(fileno(err)) == 1;
    bool is_version =
        argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0);
    bool is_help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (is_version) {
        (void)fprintf(out, "cellar %s\n", CELLAR_VERSION_TEXT);
    } else if (is_help) {
        cellar_help_overview(out);
    } else if (index >= argc) {
        cellar_help_overview(err);
        return cellar_tool_exit_code(CELLAR_INVALID_ARGUMENT);
    } else {
        status = arguments_run(&tool, argc, argv, &error);
    }
    return run_finish(&tool, status, &error);
}
