/*
 * The program `cellar` in the process. Its output goes to memory; the arguments are copies, since
 * the program moves them about. The server is the one of loopback.h, on a folder of its own.
 */
#include "tests/support/tool_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools/tool.h"
#include "tests/support/model_service.h"

#define ARGC_MAX 24

struct tool_stage tool_stage;

int tool_stage_open(void **state)
{
    struct svc_options options;
    (void)state;
    model_service_options_init(&options);
    loopback_open(&tool_stage.loopback, &options);
    (void)io_address_show(cellar_server_address(tool_stage.loopback.server), tool_stage.endpoint);
    return 0;
}

int tool_stage_close(void **state)
{
    (void)state;
    free(tool_stage.out);
    free(tool_stage.err);
    loopback_close(&tool_stage.loopback);
    return 0;
}

int tool_stage_run(const char *const *arguments)
{
    char *argv[ARGC_MAX];
    size_t bytes;
    int argc = 0;
    for (; arguments[argc] != NULL; argc++) {
        assert_true(argc < ARGC_MAX - 1);
        argv[argc] = strdup(arguments[argc]);
    }
    argv[argc] = NULL;
    free(tool_stage.out);
    free(tool_stage.err);
    FILE *out = open_memstream(&tool_stage.out, &bytes);
    FILE *err = open_memstream(&tool_stage.err, &bytes);
    char *kept[ARGC_MAX];
    memcpy(kept, argv, sizeof kept); /* the program moves its arguments about */
    int exit_code = cellar_tool_run(argc, argv, out, err);
    (void)fclose(out);
    (void)fclose(err);
    for (int index = 0; index < argc; index++) {
        free(kept[index]);
    }
    return exit_code;
}

void tool_expect_out(const char *wanted)
{
    if (strcmp(tool_stage.out, wanted) != 0) {
        fail_msg("got:\n%s\nwanted:\n%s\nerrors:\n%s", tool_stage.out, wanted, tool_stage.err);
    }
}

void tool_expect_err(const char *wanted)
{
    if (strstr(tool_stage.err, wanted) == NULL) {
        fail_msg("'%s' does not hold '%s'", tool_stage.err, wanted);
    }
}

void tool_expect_ok(int exit_code)
{
    if (exit_code != 0) {
        fail_msg("exit code %d: %s", exit_code, tool_stage.err);
    }
    assert_string_equal(tool_stage.err, "");
}

const char *tool_stage_file(const char *name, const char *text)
{
    static char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", tool_stage.loopback.folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

char *tool_stage_text(const char *name)
{
    char path[400];
    static char text[4096];
    (void)snprintf(path, sizeof path, "%s/%s", tool_stage.loopback.folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return NULL;
    }
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    text[bytes] = '\0';
    (void)fclose(file);
    return text;
}
