#ifndef CELLAR_TOOLS_HELP_H
#define CELLAR_TOOLS_HELP_H

#include <stdio.h>

#include "client/tools/command.h"

/* Help from the table of commands. */

/** What an exit code means; the list is ended by one without a text. */
struct cellar_exit_text {
    int code;
    const char *text;
};
extern const struct cellar_exit_text cellar_exit_texts[];

/** Variables of the environment, as a list of names (without values) and their help. */
extern const struct cellar_option cellar_environment[];

/** What cellar is, with an example; and how bytes are written. Each ends with a newline. */
extern const char cellar_help_intro[];
extern const char cellar_help_bytes[];

/** Prints all there is to know about one command. */
void cellar_help_command(FILE *to, const struct cellar_command *command);

/** Prints every command in a line, and what they share. */
void cellar_help_overview(FILE *to);

/**
 * Prints the help of what words name: a command, or the commands that begin with one word.
 *
 * @param words  `count` words behind "help"; without any, the overview is printed
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT when they name no command
 */
enum cellar_status cellar_help_print(FILE *to, const char *const *words, size_t count,
                                     struct cellar_error *error);

#endif
