/*
 * shell: the same commands, line after line, over one client.
 *
 *     a terminal     prompt, line editor, history, completion; goes on after errors
 *     a pipe, file   no prompt; errors name the line; --on-error says whether to go on
 *
 * Each line is cut by words.h and run by cellar_tool_line(), which is what main() does too, so that
 * nothing means something else here. `exit` and the end of input leave; the exit code is that of
 * the last command that failed.
 *
 * On a terminal SIGINT is blocked and waits in a signalfd that the client polls (`interrupt_fd` of
 * the library): Ctrl-C ends the command that runs, and only that. While a line is edited Ctrl-C is
 * a key (line_edit.h). A script is moved away from standard input first, so that a command which
 * reads it finds its end and not the rest of the script.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/tools/complete.h"
#include "client/tools/file_names.h"
#include "client/tools/history.h"
#include "client/tools/line_edit.h"
#include "client/tools/words.h"

#define EXIT_CODE_MAX 255

struct shell {
    struct cellar_tool *tool;
    int exit_code; /* of the last command that failed */
    bool is_over;
    bool is_stopping; /* at the first error */
};

/* ---- a line -------------------------------------------------------------------------------- */

/* exit [CODE]: leaves. */
static enum cellar_status exit_run(struct shell *shell, const struct cellar_words *words,
                                   struct cellar_error *error)
{
    char *end = NULL;
    CELLAR_ASSERT(words->argc >= 2);
    if (words->argc > 3) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "'%s' is followed by [CODE]",
                                words->argv[1]);
    }
    if (words->argc == 3) {
        const char *text = words->argv[2];
        long code = strtol(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' || code > EXIT_CODE_MAX) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "An exit code is 0 to %d, but got '%.64s'", EXIT_CODE_MAX,
                                    text);
        }
        shell->exit_code = (int)code;
    }
    shell->is_over = true;
    return CELLAR_OK;
}

/* Cuts a line; one whose quote is open is refused. */
static enum cellar_status line_cut(struct cellar_slice line, struct cellar_words *words,
                                   struct cellar_error *error)
{
    CELLAR_TRY(cellar_words_split(line, words, error));
    CELLAR_ASSERT(words->argc >= 1);
    if (words->is_open) {
        cellar_words_fini(words);
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A quote is not closed; write \\' or \\\" for one that is meant");
    }
    return CELLAR_OK;
}

/* Runs a line and notes how it ended. */
static void line_run(struct shell *shell, struct cellar_slice line, uint64_t number)
{
    struct cellar_words words = {0};
    struct cellar_error error;
    int code = 0;
    bool is_exit = false;
    cellar_error_clear(&error);
    enum cellar_status status = line_cut(line, &words, &error);
    if (status == CELLAR_OK && words.argc > 1) {
        is_exit = strcmp(words.argv[1], "exit") == 0 || strcmp(words.argv[1], "quit") == 0;
        if (is_exit) {
            status = exit_run(shell, &words, &error);
        } else {
            code = cellar_tool_line(shell->tool, number, words.argc, words.argv);
        }
    }
    if (status != CELLAR_OK) {
        struct cellar_tool tool = *shell->tool;
        tool.line = number;
        cellar_tool_complain(&tool, &error);
        code = cellar_tool_exit_code(status);
    }
    CELLAR_ASSERT(code >= 0);
    cellar_words_fini(&words);
    if (code != 0) {
        shell->exit_code = code;
        shell->is_over = shell->is_over || shell->is_stopping;
    }
    shell->is_over = shell->is_over || ferror(shell->tool->out) != 0;
}

/* ---- a script ------------------------------------------------------------------------------ */

/* Takes the script away from standard input, which is empty from then on. */
static FILE *script_take(void)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    FILE *script = fd < 0 || null_fd < 0 ? NULL : fdopen(fd, "r");
    if (script == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
    } else if (dup2(null_fd, STDIN_FILENO) < 0) {
        (void)fclose(script);
        script = NULL;
    }
    if (null_fd > STDIN_FILENO) {
        (void)close(null_fd);
    }
    CELLAR_ASSERT(script == NULL || fd > STDERR_FILENO);
    return script;
}

/* Reads a line without its end; false at the end of the script. */
static enum cellar_status script_line(FILE *script, struct cellar_buffer *line, bool *is_there,
                                      struct cellar_error *error)
{
    char part[4096];
    cellar_buffer_clear(line);
    *is_there = false;
    for (;;) {
        int byte = getc_unlocked(script);
        size_t bytes = 0;
        while (byte != EOF && byte != '\n' && bytes < sizeof part) {
            part[bytes++] = (char)byte;
            byte = bytes < sizeof part ? getc_unlocked(script) : 0;
        }
        *is_there = *is_there || bytes > 0 || byte == '\n';
        if (line->bytes + bytes > CELLAR_LINE_BYTES_MAX) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "A line may have at most %u bytes", CELLAR_LINE_BYTES_MAX);
        }
        if (cellar_buffer_append(line, part, bytes) != CELLAR_OK) {
            return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a line");
        }
        CELLAR_ASSERT(line->bytes <= CELLAR_LINE_BYTES_MAX);
        if (bytes < sizeof part) {
            return CELLAR_OK;
        }
    }
}

/* Runs the lines of standard input. */
static enum cellar_status script_run(struct shell *shell, struct cellar_error *error)
{
    struct cellar_buffer line = {0};
    uint64_t number = 0;
    bool is_there = true;
    enum cellar_status status = CELLAR_OK;
    FILE *script = script_take();
    if (script == NULL) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "Cannot read standard input");
    }
    while (status == CELLAR_OK && is_there && !shell->is_over) {
        status = script_line(script, &line, &is_there, error);
        number++;
        if (status == CELLAR_OK && is_there) {
            line_run(shell, cellar_slice_of(&line), number);
        }
    }
    if (status == CELLAR_OK && ferror(script) != 0) {
        status = cellar_error_set(error, CELLAR_IO_ERROR, "Cannot read standard input");
    }
    CELLAR_ASSERT(number > 0 || shell->is_over);
    (void)fclose(script);
    cellar_buffer_fini(&line);
    return status;
}

/* ---- a terminal ---------------------------------------------------------------------------- */

/* Replaces the mark for names of files, if it is one, by the names. */
static enum cellar_status files_offer(const struct cellar_words *words,
                                      struct cellar_line_candidates *found)
{
    const char *word = words->argv[words->argc - 1];
    const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    const char *path = equals == NULL ? word : equals + 1;
    struct cellar_slice mark = cellar_slice_of(&found->lines);
    bool is_folders = cellar_slice_equal(mark, cellar_slice_text(CELLAR_COMPLETE_FOLDERS "\n"));
    CELLAR_ASSERT(found->typed == strlen(word));
    if (!is_folders && !cellar_slice_equal(mark, cellar_slice_text(CELLAR_COMPLETE_FILES "\n"))) {
        if (words->is_open) { /* all other words need no quotes */
            cellar_buffer_clear(&found->lines);
        }
        return CELLAR_OK;
    }
    const struct cellar_file_names names = {.typed = path,
                                            .before =
                                                cellar_slice_make(word, (size_t)(path - word)),
                                            .is_folders = is_folders};
    cellar_buffer_clear(&found->lines);
    return cellar_file_names_offer(&names, &found->lines);
}

/* What the line editor asks at Tab. */
static enum cellar_status line_complete(void *context, const char *line,
                                        struct cellar_line_candidates *found)
{
    struct shell *shell = context;
    struct cellar_words words = {0};
    CELLAR_TRY(cellar_words_split(cellar_slice_text(line), &words, NULL));
    size_t line_bytes = strlen(line);
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(words.argc >= 1);
    if (!words.is_inside) {
        words.argv[words.argc++] = words.text + strlen(words.text); /* an empty word */
    }
    found->typed = strlen(words.argv[words.argc - 1]);
    found->quote = words.quote;
    if (words.argc == 2 && !words.is_open && strncmp("exit", words.argv[1], found->typed) == 0) {
        status = cellar_buffer_printf(&found->lines, "exit\tLeaves the shell\n");
    }
    /* What is put behind a backslash would lose its meaning, or get one. */
    bool is_backslash = line_bytes > 0 && line[line_bytes - 1] == '\\' && words.quote != '\'';
    if (status == CELLAR_OK && !is_backslash) {
        status = cellar_complete(shell->tool, (const char *const *)words.argv + 1,
                                 (size_t)words.argc - 1, &found->lines);
    }
    if (status == CELLAR_OK) {
        status = files_offer(&words, found);
    }
    cellar_words_fini(&words);
    return status;
}

/* Makes Ctrl-C something that the client waits for; -1 when the system has no descriptor left. */
static int interrupt_open(sigset_t *before)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    int failure = pthread_sigmask(SIG_BLOCK, &set, before);
    CELLAR_ASSERT(failure == 0);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Forgets the interrupts that came so far. */
static void interrupt_drain(int fd)
{
    struct signalfd_siginfo info;
    ssize_t got;
    CELLAR_ASSERT(fd > 0);
    do {
        got = read(fd, &info, sizeof info);
    } while (got > 0);
}

/* Opens the history and hands its lines to the editor; without one the shell does as well. */
static struct cellar_history *history_open(struct shell *shell, const struct cellar_args *args,
                                           struct cellar_line_edit *edit)
{
    struct cellar_history *history = NULL;
    struct cellar_buffer path = {0};
    struct cellar_error error;
    const char *line;
    cellar_error_clear(&error);
    if (cellar_history_path(cellar_args_text(args, "history"), &path) == CELLAR_OK &&
        path.bytes > 0 &&
        cellar_history_open((const char *)path.data, &history, &error) != CELLAR_OK) {
        cellar_tool_say(shell->tool->err, error.text);
        (void)fprintf(shell->tool->err, "\n");
    }
    cellar_buffer_fini(&path);
    while (history != NULL && cellar_history_next(history, &line)) {
        CELLAR_ASSERT(line != NULL);
        cellar_line_edit_remember(edit, line);
    }
    return history;
}

/* Reads and runs lines until the end. */
static void lines_run(struct shell *shell, struct cellar_line_edit *edit,
                      struct cellar_history *history)
{
    const char *line;
    while (!shell->is_over) {
        enum cellar_line_end end = cellar_line_edit_read(edit, &line);
        CELLAR_ASSERT(end <= CELLAR_LINE_OVER);
        if (end == CELLAR_LINE_OVER) {
            (void)fprintf(shell->tool->out, "\n");
            return;
        }
        if (end == CELLAR_LINE_READ) {
            if (cellar_history_add(history, line)) {
                cellar_line_edit_remember(edit, line);
            }
            interrupt_drain(shell->tool->interrupt_fd);
            line_run(shell, cellar_slice_text(line), 0);
            interrupt_drain(shell->tool->interrupt_fd);
        }
    }
}

/* Runs the lines of a terminal. */
static enum cellar_status terminal_run(struct shell *shell, const struct cellar_args *args,
                                       struct cellar_error *error)
{
    const struct cellar_line_edit_options options = {
        .prompt = "cellar> ", .complete = line_complete, .context = shell};
    struct cellar_line_edit *edit = NULL;
    CELLAR_ASSERT(shell->tool->interrupt_fd > 0);
    if (cellar_line_edit_open(&options, &edit) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the line editor");
    }
    struct cellar_history *history = history_open(shell, args, edit);
    (void)fprintf(shell->tool->out, "cellar %s at ", CELLAR_VERSION_TEXT);
    cellar_tool_say(shell->tool->out, shell->tool->endpoint);
    (void)fprintf(shell->tool->out, "; help lists the commands, exit leaves\n");
    lines_run(shell, edit, history);
    cellar_history_close(history);
    cellar_line_edit_close(edit);
    return CELLAR_OK;
}

/* ---- the command --------------------------------------------------------------------------- */

/* Reads --on-error; a script stops unless it says otherwise. */
static enum cellar_status stopping_read(const struct cellar_args *args, bool *is_stopping,
                                        struct cellar_error *error)
{
    const char *text = cellar_args_text(args, "on-error");
    CELLAR_ASSERT(is_stopping != NULL);
    if (text == NULL || strcmp(text, "stop") == 0 || strcmp(text, "continue") == 0) {
        *is_stopping = text == NULL ? *is_stopping : strcmp(text, "stop") == 0;
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "Option --on-error must be stop or continue, but got '%.64s'", text);
}

/* The shell's lines, from a terminal or a script. */
static enum cellar_status lines_read(struct shell *shell, const struct cellar_args *args,
                                     struct cellar_error *error)
{
    sigset_t before;
    if (!shell->tool->is_terminal) {
        CELLAR_TRY(cellar_tool_connect(shell->tool, error));
        return script_run(shell, error);
    }
    int fd = interrupt_open(&before);
    CELLAR_ASSERT(fd != STDIN_FILENO);
    shell->tool->interrupt_fd = CELLAR_MAX(fd, 0);
    enum cellar_status status =
        fd < 0 ? cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED, "No descriptor for signals")
               : cellar_tool_connect(shell->tool, error);
    if (status == CELLAR_OK) {
        status = terminal_run(shell, args, error);
    }
    cellar_client_close(shell->tool->client);
    shell->tool->client = NULL;
    if (fd >= 0) {
        interrupt_drain(fd);
        (void)close(fd);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* shell: a client that stays, and lines. */
static enum cellar_status shell_run(struct cellar_tool *tool, const struct cellar_args *args,
                                    struct cellar_error *error)
{
    tool->is_terminal = tool->is_terminal && isatty(STDOUT_FILENO) == 1;
    struct shell shell = {.tool = tool, .is_stopping = !tool->is_terminal};
    CELLAR_ASSERT(tool->client == NULL);
    if (tool->shell != NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "This is the shell already");
    }
    CELLAR_TRY(stopping_read(args, &shell.is_stopping, error));
    enum cellar_status status = lines_read(&shell, args, error);
    tool->exit_code = shell.exit_code;
    return status;
}

static const struct cellar_option shell_options[] = {
    {"on-error", "stop|continue", "after a command that failed; default continue on a terminal"},
    {"history", "FILE", "keep lines there; default $CELLAR_HISTFILE, else see above; '' for none"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_shell_commands[] = {
    {.verb = "shell",
     .words = "",
     .summary = "Runs commands line by line over one connection",
     .help =
         "    cellar shell\n"
         "    echo 'count packages' | cellar shell\n"
         "\n"
         "The commands are those of the command line, without `cellar` before them. Quotes and\n"
         "a backslash before a blank keep words together, \\xNN and \\\\ mean what they mean\n"
         "elsewhere, '#' begins a comment. `exit [CODE]` and Ctrl-D leave; Ctrl-C ends the\n"
         "command that runs. The exit code is that of the last command that failed.\n"
         "\n"
         "On a terminal Tab completes commands, options and the names of tables, families and\n"
         "files, these with the quotes they need, and lines are kept in cellar/history in\n"
         "$XDG_STATE_HOME, else in ~/.cellar_history, which nobody else can read; a line that\n"
         "begins with a blank is not kept.\n",
     .options = shell_options,
     .patience = CELLAR_PATIENCE_OFFLINE,
     .run = shell_run},
    {.verb = NULL},
};
