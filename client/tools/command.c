/*
 * The table of commands, and finding one in it.
 *
 * Every command stands in exactly one group, in the file of that group; here the groups come
 * together. A verb has one word or two. Options may stand anywhere, also before the verb, which is
 * why the verb is looked for before options are taken apart.
 *
 * A verb that is not there is answered with the nearest one that is, by edit distance (Damerau's:
 * two letters that changed places are one mistake). Verbs that later versions will have are known
 * here, so that they are refused as what this build lacks and not as a typing mistake.
 */

#include "client/tools/command.h"

#include <stdio.h>

#include "client/tools/nearest.h"

#define VERB_BYTES_MAX 64u

const struct cellar_option cellar_global_options[] = {
    {"endpoint", "HOST:PORT",
     "the server; default $CELLAR_ENDPOINT, else " CELLAR_ENDPOINT_DEFAULT},
    {"instance", "PROJECT/INSTANCE", "of table names without one; default default/default"},
    {"timeout", "DURATION", "how long to wait for the server, such as 500ms or 1m; default 10s"},
    {"help", NULL, "show how the command is used"},
    {NULL, NULL, NULL},
};

const struct cellar_option cellar_format_options[] = {
    {"format", "text|json|jsonl|csv", "how results are printed; default text"},
    {NULL, NULL, NULL},
};

const struct cellar_command_group cellar_command_groups[] = {
    {"tables", cellar_table_commands},
    {"families of a table", cellar_family_commands},
    {"reading", cellar_read_commands},
    {"writing", cellar_write_commands},
    {"dropping many rows", cellar_drop_rows_commands},
    {"importing", cellar_import_commands},
    {"exporting", cellar_export_commands},
    {"the server", cellar_server_commands},
    {"data on disk", cellar_check_commands},
    {"data on disk, while it is served", cellar_scrub_commands},
    {"data written anew", cellar_compact_commands},
    {"measuring", cellar_bench_commands},
    {"line by line", cellar_shell_commands},
    {"this program", cellar_program_commands},
    {NULL, NULL},
};

static const char *const later_verbs[] = {
    "add", "sample", "check-and-set", "increment", "append",
};

/* How many of the words (1 or 2) name `verb`; 0 when they do not. */
static int verb_match(const char *verb, int argc, const char *const *argv)
{
    const char *space = strchr(verb, ' ');
    if (space == NULL) {
        return argc >= 1 && strcmp(argv[0], verb) == 0 ? 1 : 0;
    }
    CELLAR_ASSERT(space > verb);
    size_t first_bytes = (size_t)(space - verb);
    return argc >= 2 && strlen(argv[0]) == first_bytes &&
                   strncmp(argv[0], verb, first_bytes) == 0 && strcmp(argv[1], space + 1) == 0
               ? 2
               : 0;
}

const struct cellar_command *cellar_command_find(int argc, const char *const *argv, int *verb_words)
{
    CELLAR_ASSERT(argc >= 0);
    for (const struct cellar_command_group *group = cellar_command_groups; group->title != NULL;
         group++) {
        for (const struct cellar_command *at = group->commands; at->verb != NULL; at++) {
            *verb_words = verb_match(at->verb, argc, argv);
            if (*verb_words > 0) {
                return at;
            }
        }
    }
    return NULL;
}

/* The verb that the words may have meant, or NULL. */
static const char *verb_nearest(int argc, const char *const *argv)
{
    char pair[VERB_BYTES_MAX];
    CELLAR_ASSERT(argc >= 1);
    (void)snprintf(pair, sizeof pair, "%s %s", argv[0], argc >= 2 ? argv[1] : "");
    struct cellar_nearest one = cellar_nearest_start(argv[0]);
    struct cellar_nearest two = cellar_nearest_start(pair);
    for (const struct cellar_command_group *group = cellar_command_groups; group->title != NULL;
         group++) {
        for (const struct cellar_command *at = group->commands; at->verb != NULL; at++) {
            const char *space = strchr(at->verb, ' ');
            if (space != NULL && strcmp(space + 1, argv[0]) == 0) {
                return at->verb; /* only the first word was forgotten */
            }
            if (at->is_hidden) {
                continue;
            }
            cellar_nearest_add(space == NULL ? &one : &two, at->verb);
        }
    }
    return one.name == NULL || (two.name != NULL && two.distance < one.distance) ? two.name
                                                                                 : one.name;
}

enum cellar_status cellar_command_refuse(int argc, const char *const *argv,
                                         struct cellar_error *error)
{
    CELLAR_ASSERT(argc >= 1);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(later_verbs); index++) {
        if (verb_match(later_verbs[index], argc, argv) > 0) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "This build does not have '%s'",
                                    later_verbs[index]);
        }
    }
    if (strcmp(argv[0], "table") == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "'table' is followed by create, ls, describe, drop or truncate");
    }
    if (strcmp(argv[0], "family") == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "'family' is followed by add, set or drop");
    }
    const char *meant = verb_nearest(argc, argv);
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "There is no command '%.100s'%s%s",
                            argv[0], meant == NULL ? "" : "; did you mean ",
                            meant == NULL ? "" : meant);
}

int cellar_command_index(int argc, const char *const *argv)
{
    int index = 1;
    while (index < argc && strncmp(argv[index], "--", 2) == 0) {
        bool has_value = false;
        for (const struct cellar_option *at = cellar_global_options; at->name != NULL; at++) {
            has_value = has_value || (at->value != NULL && strcmp(argv[index] + 2, at->name) == 0);
        }
        index += has_value ? 2 : 1;
    }
    CELLAR_ASSERT(index >= 1);
    return index;
}
