#ifndef CELLAR_TOOLS_ARGS_H
#define CELLAR_TOOLS_ARGS_H

#include "common/buf.h"

/* Arguments of a command: options, which may stand anywhere, and the rest. */

#define CELLAR_ARGS_COUNT_MAX 100000u

/** An option that a command takes. */
struct cellar_option {
    const char *name;  /* without the dashes */
    const char *value; /* what its value is called in help; NULL: it has none */
    const char *help;
};

/** An option as it was given. */
struct cellar_given {
    const struct cellar_option *option;
    const char *value; /* NULL when it has none */
};

/** Taken apart; texts borrow from argv. Free with cellar_args_fini(). */
struct cellar_args {
    struct cellar_given *given;
    size_t given_count;
    const char **words; /* what is no option, in order */
    size_t word_count;
};

/**
 * Takes arguments apart. `--name value` and `--name=value` are the same; behind `--` everything is
 * a word; so is a single dash.
 *
 * @param options  lists of options, each ended by one without a name; NULL ends the lists
 * @param argv     `argc` texts, without the program's name; borrowed as long as `args` is used
 * @param args     zeroed before
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming an option that is unknown or lacks its value;
 *         CELLAR_NO_MEMORY
 */
enum cellar_status cellar_args_parse(const struct cellar_option *const *options, int argc,
                                     char **argv, struct cellar_args *args,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Frees the lists. */
void cellar_args_fini(struct cellar_args *args);

/** The last value given to an option, or NULL. */
const char *cellar_args_text(const struct cellar_args *args, const char *name);

/** True when an option was given. */
bool cellar_args_has(const struct cellar_args *args, const char *name);

/** The smallest and largest number an option may have. */
struct cellar_args_limits {
    int64_t least;
    int64_t most;
};

/**
 * Reads an option's decimal number.
 *
 * @param value  untouched when the option was not given
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming option, limits and what was seen
 */
enum cellar_status cellar_args_number(const struct cellar_args *args, const char *name,
                                      struct cellar_args_limits limits, int64_t *value,
                                      struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Appends the given options, in the order in which they were, as `--name=value` with blanks
 * between.
 *
 * @param left_out  `count` names of options that are left out
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_args_join(const struct cellar_args *args, const char *const *left_out,
                                    size_t count, struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
