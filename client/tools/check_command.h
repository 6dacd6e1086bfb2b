#ifndef CELLAR_TOOLS_CHECK_COMMAND_H
#define CELLAR_TOOLS_CHECK_COMMAND_H

#include "client/tools/tool.h"

/* Running the server's program for a command. */

/**
 * Runs a program with this one's files and environment, and waits for its end.
 *
 * @param name       looked for in the folder of the running program, then in PATH
 * @param argv       its arguments, its name first, a NULL last
 * @param exit_code  receives the program's
 * @return CELLAR_OK when it ended by itself; CELLAR_FAILED_PRECONDITION when it cannot be run;
 *         CELLAR_IO_ERROR when a signal ended it
 */
enum cellar_status cellar_check_spawn(const char *name, char **argv, int *exit_code,
                                      struct cellar_error *error) CELLAR_MUST_USE;

#endif
