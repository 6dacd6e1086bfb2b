/*
 * Help: what `cellar help`, `cellar help VERB` and `--help` print.
 *
 * All of it comes from the table of commands, which is why no command can be without it; the texts
 * around them stand here once, for the manual page as well. Prints to a file and keeps nothing.
 */

#include "client/tools/help.h"

const struct cellar_exit_text cellar_exit_texts[] = {
    {0, "ok"},
    {1, "any other failure"},
    {2, "usage, INVALID_ARGUMENT"},
    {3, "NOT_FOUND"},
    {4, "ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED"},
    {5, "UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, OUTCOME_UNKNOWN"},
    {6, "PERMISSION_DENIED, UNAUTHENTICATED"},
    {0, NULL},
};

const struct cellar_option cellar_environment[] = {
    {"CELLAR_ENDPOINT", NULL, "the server, where --endpoint does not name one"},
    {"CELLAR_HISTFILE", NULL, "where a shell keeps its lines, where --history does not say"},
    {NULL, NULL, NULL},
};

const char cellar_help_intro[] = "cellar: reads and writes the tables of a Cellar server.\n"
                                 "\n"
                                 "    cellar table create packages --family f:max-versions=3\n"
                                 "    cellar set packages lmdb f:Version=0.9.24\n"
                                 "    cellar get packages lmdb\n";

const char cellar_help_bytes[] =
    "Row keys, qualifiers and values may hold any bytes: write \\xNN for a byte and\n"
    "\\\\ for a backslash. Text output is escaped in the same way.\n";

/* Prints a list of options, a line each. */
static void help_options(FILE *to, const struct cellar_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        int width = fprintf(to, "  --%s%s%s", options->name, options->value == NULL ? "" : " ",
                            options->value == NULL ? "" : options->value);
        CELLAR_ASSERT(options->help != NULL);
        (void)fprintf(to, "%*s  %s\n", width < 30 ? 30 - width : 0, "", options->help);
    }
}

/* Prints commands of a list, a line each; those whose verb begins with `word`, if there is one.
 * @return how many */
static size_t help_list(FILE *to, const struct cellar_command *commands, const char *word)
{
    size_t word_bytes = word == NULL ? 0 : strlen(word);
    size_t count = 0;
    CELLAR_ASSERT(commands != NULL);
    for (const struct cellar_command *at = commands; at->verb != NULL; at++) {
        bool is_meant = word == NULL ||
                        (strncmp(at->verb, word, word_bytes) == 0 && at->verb[word_bytes] == ' ');
        if (is_meant && !at->is_hidden) {
            (void)fprintf(to, "  %-16s %s\n", at->verb, at->summary);
            count++;
        }
    }
    return count;
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
    help_options(to, command->options);
    help_options(to, command->has_format ? cellar_format_options : NULL);
    help_options(to, cellar_global_options);
}

void cellar_help_overview(FILE *to)
{
    (void)fprintf(to, "%s", cellar_help_intro);
    for (const struct cellar_command_group *group = cellar_command_groups; group->title != NULL;
         group++) {
        CELLAR_ASSERT(group->commands->verb != NULL);
        (void)fprintf(to, "\n%s\n", group->title);
        (void)help_list(to, group->commands, NULL);
    }
    (void)fprintf(to, "\noptions of every command\n");
    help_options(to, cellar_global_options);
    (void)fprintf(to, "\n%s\nexit codes\n", cellar_help_bytes);
    for (const struct cellar_exit_text *at = cellar_exit_texts; at->text != NULL; at++) {
        (void)fprintf(to, "  %d  %s\n", at->code, at->text);
    }
    (void)fprintf(to, "\n`cellar help VERB` says more about one command.\n");
}

enum cellar_status cellar_help_print(FILE *to, const char *const *words, size_t count,
                                     struct cellar_error *error)
{
    int verb_words;
    size_t listed = 0;
    if (count == 0) {
        cellar_help_overview(to);
        return CELLAR_OK;
    }
    const struct cellar_command *command = cellar_command_find((int)count, words, &verb_words);
    if (command != NULL) {
        cellar_help_command(to, command);
        return CELLAR_OK;
    }
    for (const struct cellar_command_group *group = cellar_command_groups;
         count == 1 && group->title != NULL; group++) {
        listed += help_list(to, group->commands, words[0]);
    }
    CELLAR_ASSERT(listed == 0 || count == 1);
    return listed > 0 ? CELLAR_OK : cellar_command_refuse((int)count, words, error);
}
