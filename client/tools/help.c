/*
 * Help: what `cellar help`, `cellar help VERB` and `--help` print.
 *
 * All of it comes from the table of commands, which is why no command can be without it. Prints to
 * a file and keeps nothing.
 */

#include "client/tools/help.h"

/* Prints a list of options, a line each. */
static void help_options(FILE *to, const struct cellar_option *options)
{
    CELLAR_ASSERT(options != NULL);
    for (; options->name != NULL; options++) {
        int width = fprintf(to, "  --%s%s%s", options->name, options->value == NULL ? "" : " ",
                            options->value == NULL ? "" : options->value);
        (void)fprintf(to, "%*s  %s\n", width < 30 ? 30 - width : 0, "", options->help);
    }
}

void cellar_help_command(FILE *to, const struct cellar_command *command)
{
    CELLAR_ASSERT(command->verb != NULL);
    (void)fprintf(to, "cellar %s%s%s\n\n%s.\n", command->verb, command->words[0] == '\0' ? "" : " ",
                  command->words, command->summary);
    if (command->help[0] != '\0') {
        (void)fprintf(to, "\n%s", command->help);
    }
    (void)fprintf(to, "\n");
    if (command->options != NULL) {
        help_options(to, command->options);
    }
    if (command->has_format) {
        help_options(to, cellar_format_options);
    }
    help_options(to, cellar_global_options);
}

void cellar_help_overview(FILE *to)
{
    (void)fprintf(to, "cellar: reads and writes the tables of a Cellar server.\n"
                      "\n"
                      "    cellar table create packages --family f:max-versions=3\n"
                      "    cellar set packages lmdb f:Version=0.9.24\n"
                      "    cellar get packages lmdb\n");
    for (const struct cellar_command_group *group = cellar_command_groups; group->title != NULL;
         group++) {
        const struct cellar_command *command = group->commands;
        CELLAR_ASSERT(command->verb != NULL);
        (void)fprintf(to, "\n%s\n", group->title);
        for (; command->verb != NULL; command++) {
            (void)fprintf(to, "  %-16s %s\n", command->verb, command->summary);
        }
    }
    (void)fprintf(to, "\noptions of every command\n");
    help_options(to, cellar_global_options);
    (void)fprintf(to,
                  "\n"
                  "Row keys, qualifiers and values may hold any bytes: write \\xNN for a byte and\n"
                  "\\\\ for a backslash. Text output is escaped in the same way.\n"
                  "\n"
                  "Exit codes: 0 ok; 1 other failures; 2 usage, INVALID_ARGUMENT; 3 NOT_FOUND;\n"
                  "4 ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED; 5 UNAVAILABLE,\n"
                  "RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, OUTCOME_UNKNOWN; 6 PERMISSION_DENIED,\n"
                  "UNAUTHENTICATED.\n"
                  "\n"
                  "`cellar help VERB` says more about one command.\n");
}

enum cellar_status cellar_help_run(int argc, char **argv, FILE *out, struct cellar_error *error)
{
    int verb_words;
    CELLAR_ASSERT(argc >= 0);
    if (argc == 0) {
        cellar_help_overview(out);
        return CELLAR_OK;
    }
    if (argc == 1 && strcmp(argv[0], "table") == 0) {
        for (const struct cellar_command *at = cellar_table_commands; at->verb != NULL; at++) {
            (void)fprintf(out, "  %-16s %s\n", at->verb, at->summary);
        }
        return CELLAR_OK;
    }
    const struct cellar_command *command = cellar_command_find(argc, argv, &verb_words);
    if (command == NULL) {
        return cellar_command_refuse(argc, argv, error);
    }
    cellar_help_command(out, command);
    return CELLAR_OK;
}
