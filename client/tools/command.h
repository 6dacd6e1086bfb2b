#ifndef CELLAR_TOOLS_COMMAND_H
#define CELLAR_TOOLS_COMMAND_H

#include "client/tools/args.h"

/*
 * The table of commands: what `cellar` can do, and the one source of its help, its manual page and
 * what a shell completes.
 */

#define CELLAR_ENDPOINT_DEFAULT "127.0.0.1:8086"

struct cellar_tool;

/** How a command reaches the server. */
enum cellar_patience {
    CELLAR_PATIENCE_NORMAL,
    CELLAR_PATIENCE_NONE,   /* one attempt: ping */
    CELLAR_PATIENCE_LONG,   /* through a restart of the server: import */
    CELLAR_PATIENCE_OFFLINE /* it does not: there is no client */
};

/** A command of the program. */
struct cellar_command {
    const char *verb;                    /* "set", or two words: "table create" */
    const char *words;                   /* what stands behind it, for help */
    const char *summary;                 /* one line, for the overview */
    const char *help;                    /* what else there is to know; ends with a newline */
    const struct cellar_option *options; /* ended by one without a name; NULL: none of its own */
    size_t word_count_min;
    size_t word_count_max;
    enum cellar_patience patience;
    bool has_format; /* takes --format for its output */
    bool is_hidden;  /* for programs: help does not list it */
    /** Does it; prints to tool->out. On failure the error has code and text. */
    enum cellar_status (*run)(struct cellar_tool *tool, const struct cellar_args *args,
                              struct cellar_error *error);
};

/* The groups, one file each; every list is ended by a command without a verb. */
extern const struct cellar_command cellar_table_commands[];
extern const struct cellar_command cellar_family_commands[];
extern const struct cellar_command cellar_drop_rows_commands[];
extern const struct cellar_command cellar_read_commands[];
extern const struct cellar_command cellar_write_commands[];
extern const struct cellar_command cellar_import_commands[];
extern const struct cellar_command cellar_export_commands[];
extern const struct cellar_command cellar_server_commands[];
extern const struct cellar_command cellar_bench_commands[];
extern const struct cellar_command cellar_check_commands[];
extern const struct cellar_command cellar_scrub_commands[];
extern const struct cellar_command cellar_compact_commands[];
extern const struct cellar_command cellar_shell_commands[];
extern const struct cellar_command cellar_program_commands[];

/** Commands that belong together. */
struct cellar_command_group {
    const char *title;
    const struct cellar_command *commands;
};

/** All groups in the order of help, ended by one without a title. */
extern const struct cellar_command_group cellar_command_groups[];

/** Options of every command, and the one of those that print results. */
extern const struct cellar_option cellar_global_options[];
extern const struct cellar_option cellar_format_options[];

/**
 * Finds the command that words begin with.
 *
 * @param argv        `argc` >= 0 words, the verb first
 * @param verb_words  receives how many words (1 or 2) its verb is
 * @return the command, or NULL
 */
const struct cellar_command *cellar_command_find(int argc, const char *const *argv,
                                                 int *verb_words);

/**
 * The error for words that name no command.
 *
 * @param argv  `argc` >= 1 words
 * @return CELLAR_INVALID_ARGUMENT, with what may have been meant
 */
enum cellar_status cellar_command_refuse(int argc, const char *const *argv,
                                         struct cellar_error *error);

/** The index of the verb in a command line: steps over options of every command before it. `argc`
 * when there is no verb. */
int cellar_command_index(int argc, const char *const *argv);

#endif
