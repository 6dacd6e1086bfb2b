#ifndef CELLAR_TOOLS_HELP_H
#define CELLAR_TOOLS_HELP_H

#include <stdio.h>

#include "client/tools/command.h"

/* Help from the table of commands. */

/** Prints all there is to know about one command. */
void cellar_help_command(FILE *to, const struct cellar_command *command);

/** Prints every command in a line, and what they share. */
void cellar_help_overview(FILE *to);

/**
 * `cellar help [VERB]`.
 *
 * @param argv  `argc` words behind "help"
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT when they name no command
 */
enum cellar_status cellar_help_run(int argc, char **argv, FILE *out, struct cellar_error *error);

#endif
