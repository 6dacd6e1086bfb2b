/*
 * check: a data directory that no server uses, checked by the program that wrote it.
 *
 * The formats on disk are cellard's alone; this only finds it and passes on what it says:
 *
 *     cellar check DIR  -->  cellard --check-data=DIR      its output, its exit code
 *
 * The cellard beside this program comes first, since it is of the same version, then the one that
 * PATH finds. Nothing is kept; the child has ended when the command returns.
 */

#include "client/tools/check_command.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"

#define PROGRAM "cellard"

extern char **environ; /* POSIX has no header for it */

/* The path of a program beside this one, or false when it is not there. */
static bool sibling_find(const char *name, char *path, size_t bytes)
{
    ssize_t length = readlink("/proc/self/exe", path, bytes);
    if (length <= 0 || (size_t)length >= bytes) {
        return false;
    }
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    CELLAR_ASSERT(slash != NULL); /* the kernel gives an absolute path */
    size_t folder_bytes = (size_t)(slash + 1 - path);
    int written = snprintf(slash + 1, bytes - folder_bytes, "%s", name);
    return written > 0 && (size_t)written < bytes - folder_bytes && access(path, X_OK) == 0;
}

/* Waits for the end of a child and takes its exit code. */
static enum cellar_status child_wait(pid_t child, int *exit_code, struct cellar_error *error)
{
    int state = 0;
    pid_t ended;
    do {
        ended = waitpid(child, &state, 0);
    } while (ended < 0 && errno == EINTR);
    CELLAR_ASSERT(ended < 0 || ended == child);
    if (ended < 0 || !WIFEXITED(state)) {
        return cellar_error_set(error, CELLAR_IO_ERROR, PROGRAM " was ended by signal %d",
                                ended < 0 ? 0 : WTERMSIG(state));
    }
    *exit_code = WEXITSTATUS(state);
    return CELLAR_OK;
}

enum cellar_status cellar_check_spawn(const char *name, char **argv, int *exit_code,
                                      struct cellar_error *error)
{
    char path[4096];
    pid_t child;
    posix_spawnattr_t terms;
    sigset_t none; /* a shell blocks signals for itself */
    CELLAR_ASSERT(argv[0] != NULL);
    (void)sigemptyset(&none);
    int failure = posix_spawnattr_init(&terms);
    if (failure == 0) {
        (void)posix_spawnattr_setsigmask(&terms, &none);
        (void)posix_spawnattr_setflags(&terms, POSIX_SPAWN_SETSIGMASK);
        failure = sibling_find(name, path, sizeof path)
                      ? posix_spawn(&child, path, NULL, &terms, argv, environ)
                      : posix_spawnp(&child, name, NULL, &terms, argv, environ);
        (void)posix_spawnattr_destroy(&terms);
    }
    if (failure != 0) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "Cannot run %s, which is looked for beside cellar and in PATH: %s",
                                name, strerror(failure));
    }
    return child_wait(child, exit_code, error);
}

/* check: the server's program does it. */
static enum cellar_status check_run(struct cellar_tool *tool, const struct cellar_args *args,
                                    struct cellar_error *error)
{
    char program[] = PROGRAM;
    char json[] = "--format=json";
    struct cellar_buffer option = {0};
    const char *format = cellar_args_text(args, "format");
    CELLAR_ASSERT(args->word_count == 1);
    if (args->words[0][0] == '\0') {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "A folder's name is not empty");
    }
    if (format != NULL && strcmp(format, "text") != 0 && strcmp(format, "json") != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --format must be text or json, but got '%.64s'", format);
    }
    if (cellar_buffer_printf(&option, "--check-data=%s%c", args->words[0], 0) != CELLAR_OK) {
        return cellar_tool_memory(CELLAR_NO_MEMORY, error);
    }
    bool is_json = format != NULL && strcmp(format, "json") == 0;
    char *argv[] = {program, (char *)option.data, is_json ? json : NULL, NULL};
    (void)fflush(tool->out); /* what the child says comes behind it */
    enum cellar_status status = cellar_check_spawn(PROGRAM, argv, &tool->exit_code, error);
    if (status == CELLAR_FAILED_PRECONDITION) {
        tool->next_step =
            "Nothing was changed. Install " PROGRAM " beside cellar, or add its folder "
            "to PATH.";
    }
    cellar_buffer_fini(&option);
    return status;
}

static const struct cellar_option check_options[] = {
    {"format", "text|json", "how findings are printed; default text"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_check_commands[] = {
    {.verb = "check",
     .words = "DIR",
     .summary = "Checks a data directory that no server uses",
     .help = "    cellar check ./cellar-data\n"
             "\n"
             "Runs `cellard --check-data DIR`, which reads the log, all environments, checksums\n"
             "and the catalog and changes nothing. Exit codes: 0 sound, 1 damaged, 2 it could not\n"
             "be checked.\n",
     .options = check_options,
     .word_count_min = 1,
     .word_count_max = 1,
     .patience = CELLAR_PATIENCE_OFFLINE,
     .run = check_run},
    {.verb = NULL},
};
