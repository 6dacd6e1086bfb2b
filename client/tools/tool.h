#ifndef CELLAR_TOOLS_TOOL_H
#define CELLAR_TOOLS_TOOL_H

#include <cellar/cellar.h>
#include <stdio.h>

#include "client/tools/args.h"
#include "client/tools/row_printer.h"

/* The program `cellar`: what its commands share, and the table that holds them. */

struct cellar_command;

/** One run of the program. */
struct cellar_tool {
    FILE *out;
    FILE *err;
    enum cellar_format format;
    const struct cellar_command *command; /* NULL until it is found */
    const char *endpoint;
    struct cellar_client *client;
    bool has_refused; /* an import refused some of its input: exit code 1 */
};

/** How long a command keeps trying to reach the server. */
enum cellar_patience {
    CELLAR_PATIENCE_NORMAL,
    CELLAR_PATIENCE_NONE, /* one attempt: ping */
    CELLAR_PATIENCE_LONG  /* through a restart of the server: import */
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
    /** Does it; prints to tool->out. On failure the error has code and text. */
    enum cellar_status (*run)(struct cellar_tool *tool, const struct cellar_args *args,
                              struct cellar_error *error);
};

/* The groups, one file each; every list is ended by a command without a verb. */
extern const struct cellar_command cellar_table_commands[];
extern const struct cellar_command cellar_read_commands[];
extern const struct cellar_command cellar_write_commands[];
extern const struct cellar_command cellar_import_commands[];
extern const struct cellar_command cellar_server_commands[];

/**
 * Runs the program.
 *
 * @param argv  as main() gets them
 * @param out   for results
 * @param err   for errors and progress
 * @return the exit code
 */
int cellar_tool_run(int argc, char **argv, FILE *out, FILE *err);

/** The exit code that a status ends the program with. */
int cellar_tool_exit_code(enum cellar_status status);

/** Takes the failure of a library call as the error of a command. @return its code */
enum cellar_status cellar_tool_call_error(const struct cellar_call *call,
                                          struct cellar_error *error);

/** Writes a buffer to the output and empties it; CELLAR_IO_ERROR. */
enum cellar_status cellar_tool_write(struct cellar_tool *tool, struct cellar_buffer *text,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Sets the error of a print that had no memory, or nothing. @return `status` */
enum cellar_status cellar_tool_memory(enum cellar_status status, struct cellar_error *error);

#endif
