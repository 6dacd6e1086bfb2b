/*
 * What cellar says about itself: help, its manual page and its completion scripts; and `complete`,
 * which the scripts ask. None of them needs a server, though `complete` asks one for names.
 */

#include "client/tools/complete.h"
#include "client/tools/completion.h"
#include "client/tools/help.h"
#include "client/tools/man.h"
#include "client/tools/words.h"

/* help: the overview, or what its words name. */
static enum cellar_status help_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(tool->out != NULL);
    return cellar_help_print(tool->out, args->words, args->word_count, error);
}

/* man: the page of the program, or of one command. */
static enum cellar_status man_run(struct cellar_tool *tool, const struct cellar_args *args,
                                  struct cellar_error *error)
{
    struct cellar_buffer page = {0};
    int verb_words;
    const struct cellar_command *command =
        cellar_command_find((int)args->word_count, args->words, &verb_words);
    if (command == NULL && args->word_count > 0) {
        return cellar_command_refuse((int)args->word_count, args->words, error);
    }
    enum cellar_status status = cellar_tool_memory(cellar_man_put(command, &page), error);
    CELLAR_ASSERT(status != CELLAR_OK || page.bytes > 0);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &page, error);
    }
    cellar_buffer_fini(&page);
    return status;
}

/* completion: a shell's script. */
static enum cellar_status completion_run(struct cellar_tool *tool, const struct cellar_args *args,
                                         struct cellar_error *error)
{
    CELLAR_ASSERT(args->word_count == 1);
    const char *script = cellar_completion_script(args->words[0]);
    if (script == NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "There are scripts for bash, zsh and fish, but got '%.64s'",
                                args->words[0]);
    }
    (void)fprintf(tool->out, "%s", script);
    return CELLAR_OK;
}

/* Completes a line as a shell holds it, its program's name in front. */
static enum cellar_status line_complete(struct cellar_tool *tool, const char *line,
                                        struct cellar_buffer *to, struct cellar_error *error)
{
    struct cellar_words words = {0};
    CELLAR_TRY(cellar_words_split(cellar_slice_text(line), &words, error));
    CELLAR_ASSERT(words.argc >= 1);
    /* Behind "cellar", which words.h puts there, stands what the shell calls it. */
    const char *const *argv = (const char *const *)words.argv + 2;
    int argc = CELLAR_MAX(words.argc - 2, 0);
    if (words.argc < 2 || (argc == 0 && words.is_inside)) {
        cellar_words_fini(&words);
        return CELLAR_OK;
    }
    if (!words.is_inside) {
        words.argv[words.argc] = words.text + strlen(words.text); /* an empty word */
        argc++;
    }
    enum cellar_status status = cellar_complete(tool, argv, (size_t)argc, to);
    cellar_words_fini(&words);
    return cellar_tool_memory(status, error);
}

/* complete: what the last word may become. */
static enum cellar_status complete_run(struct cellar_tool *tool, const struct cellar_args *args,
                                       struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    const char *line = cellar_args_text(args, "line");
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(tool->out != NULL);
    if (line != NULL) {
        status = line_complete(tool, line, &text, error);
    } else if (args->word_count > 0) {
        status =
            cellar_tool_memory(cellar_complete(tool, args->words, args->word_count, &text), error);
    }
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}

static const struct cellar_option complete_options[] = {
    {"line", "LINE", "a line up to the cursor, in place of words"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_program_commands[] = {
    {.verb = "help",
     .words = "[VERB]",
     .summary = "Shows all commands, or how one is used",
     .help = "",
     .word_count_max = 2,
     .patience = CELLAR_PATIENCE_OFFLINE,
     .run = help_run},
    {.verb = "completion",
     .words = "bash|zsh|fish",
     .summary = "Prints the script that completes commands, options and names in a shell",
     .help = "    source <(cellar completion bash)\n"
             "    source <(cellar completion zsh)\n"
             "    cellar completion fish | source\n"
             "\n"
             "Tables and families are those of the server that the line names, or\n"
             "$CELLAR_ENDPOINT; they are asked for while you type.\n",
     .word_count_min = 1,
     .word_count_max = 1,
     .patience = CELLAR_PATIENCE_OFFLINE,
     .run = completion_run},
    {.verb = "man",
     .words = "[VERB]",
     .summary = "Prints the manual page of cellar, or of one command",
     .help = "    cellar man | man -l -\n"
             "    cellar man scan | man -l -\n",
     .word_count_max = 2,
     .patience = CELLAR_PATIENCE_OFFLINE,
     .run = man_run},
    {.verb = "complete",
     .words = "[-- WORD ...]",
     .summary = "Prints what the last word of a command line may become",
     .help = "",
     .options = complete_options,
     .word_count_max = CELLAR_ARGS_COUNT_MAX,
     .patience = CELLAR_PATIENCE_OFFLINE,
     .is_hidden = true,
     .run = complete_run},
    {.verb = NULL},
};
