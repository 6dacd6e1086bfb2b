#ifndef CELLAR_TESTS_SUPPORT_TOOL_STAGE_H
#define CELLAR_TESTS_SUPPORT_TOOL_STAGE_H

#include "server/io/address.h"
#include "tests/support/loopback.h"

/*
 * The program `cellar` run in the process against a whole server: what it is given, prints and ends
 * with. One stage a test program.
 */

/** The server, and what the last run printed. */
struct tool_stage {
    struct loopback loopback;
    char endpoint[IO_ADDRESS_TEXT_BYTES_MAX];
    char *out; /* NUL-terminated; until the next run */
    char *err;
};

/** The stage of this program; between tool_stage_open() and tool_stage_close() it is up. */
extern struct tool_stage tool_stage;

/** Starts the server: the setup of a group of tests. @return 0 */
int tool_stage_open(void **state);

/** Stops the server and forgets what was printed: the teardown. @return 0 */
int tool_stage_close(void **state);

/**
 * Runs the program and keeps what it prints in tool_stage.
 *
 * @param arguments  its own name first, up to a NULL
 * @return its exit code
 */
int tool_stage_run(const char *const *arguments);

/** Runs `cellar` with these arguments against the stage's server. */
#define RUN(...)                                                                                   \
    tool_stage_run(                                                                                \
        (const char *const[]){"cellar", "--endpoint", tool_stage.endpoint, __VA_ARGS__, NULL})

/** Fails the test unless the last run printed exactly that. */
void tool_expect_out(const char *wanted);

/** Fails the test unless that stands somewhere in the errors of the last run. */
void tool_expect_err(const char *wanted);

/** Fails the test unless the run ended well and without a word on standard error. */
void tool_expect_ok(int exit_code);

/**
 * Writes a file into the stage's folder.
 *
 * @param name  within the folder
 * @param text  all that will be in it
 * @return its path, until the next call
 */
const char *tool_stage_file(const char *name, const char *text);

/** The text of a file in the stage's folder, its first 4095 bytes, until the next call; NULL when
 * there is none. */
char *tool_stage_text(const char *name);

#endif
