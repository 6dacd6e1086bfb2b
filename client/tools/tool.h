#ifndef CELLAR_TOOLS_TOOL_H
#define CELLAR_TOOLS_TOOL_H

#include <cellar/cellar.h>
#include <stdio.h>

#include "client/tools/command.h"
#include "client/tools/row_printer.h"

/* The program `cellar`: what its commands share. */

/** One run of the program, or of a line in its shell. */
struct cellar_tool {
    FILE *out;
    FILE *err;
    enum cellar_format format;
    const struct cellar_command *command; /* NULL until it is found */
    const char *endpoint;
    struct cellar_client *client;
    const struct cellar_args *args; /* the command's own */
    const char *next_step; /* what to do after a failure where its code does not say; NULL */
    bool has_refused;    /* an import refused some of its input, or a scrub found damage: code 1 */
    bool is_reader_gone; /* whoever read the output wants no more of it */
    const struct cellar_tool *shell; /* that runs the command, with its client; NULL: none */
    uint64_t line;                   /* of its script; 0: no script */
    int interrupt_fd; /* readable when the command shall end; 0: a signal ends the program */
    int exit_code;    /* of a program that a command ran; 0: the command's own counts */
    bool is_terminal; /* a person sits there: standard input and errors are a terminal */
};

/**
 * Runs the program.
 *
 * @param argv  as main() gets them
 * @param out   for results
 * @param err   for errors and progress
 * @return the exit code
 */
int cellar_tool_run(int argc, char **argv, FILE *out, FILE *err);

/**
 * Runs one line of a shell with the shell's client and options, and prints its error.
 *
 * @param line  its number in a script, or 0
 * @param argv  `argc` >= 2 texts, "cellar" first; moved about
 * @return the exit code that the line alone would have ended the program with
 */
int cellar_tool_line(const struct cellar_tool *shell, uint64_t line, int argc, char **argv);

/** Opens the client that the options of the tool's command ask for, into tool->client. */
enum cellar_status cellar_tool_connect(struct cellar_tool *tool, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Prints an error and what to do next. */
void cellar_tool_complain(const struct cellar_tool *tool, const struct cellar_error *error);

/** The exit code that a status ends the program with. */
int cellar_tool_exit_code(enum cellar_status status);

/** Takes the failure of a library call as the error of a command. @return its code */
enum cellar_status cellar_tool_call_error(const struct cellar_call *call,
                                          struct cellar_error *error);

/**
 * Prints a sentence that may hold names, arguments or what a server said: whatever is in it, a
 * terminal only shows it. No line end is added.
 */
void cellar_tool_say(FILE *to, const char *text);

/** Writes a buffer to the output and empties it; CELLAR_IO_ERROR. */
enum cellar_status cellar_tool_write(struct cellar_tool *tool, struct cellar_buffer *text,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Sets the error of a print that had no memory, or nothing. @return `status` */
enum cellar_status cellar_tool_memory(enum cellar_status status, struct cellar_error *error);

#endif
