#ifndef CELLAR_COMMON_CONFIG_H
#define CELLAR_COMMON_CONFIG_H

#include "common/buf.h"
#include "common/mem.h"

/*
 * Settings of a program, from one table of options and four layers: command line over environment
 * over file over default. The order in which the layers are read does not matter. An option
 * `data-dir` is `--data-dir DIR` or `--data-dir=DIR` on the command line, `CELLAR_DATA_DIR` in the
 * environment and `data_dir = DIR` (or `data-dir`) in the file.
 */

enum cellar_config_kind {
    CELLAR_CONFIG_TEXT,
    CELLAR_CONFIG_BYTES,   /* digits and k, m or g: times 1024, 1024^2, 1024^3 */
    CELLAR_CONFIG_COUNT,   /* digits */
    CELLAR_CONFIG_BOOL,    /* true, yes, on, 1, false, no, off, 0; a bare flag is true */
    CELLAR_CONFIG_DURATION /* digits and us, ms, s, m, h or d; in microseconds; 0 needs no unit */
};

enum cellar_config_origin {
    CELLAR_CONFIG_DEFAULT,
    CELLAR_CONFIG_FILE,
    CELLAR_CONFIG_ENVIRONMENT,
    CELLAR_CONFIG_FLAG
};

/** One option; tables of them are static. */
struct cellar_config_option {
    const char *name; /* lower_case words joined by '-' */
    enum cellar_config_kind kind;
    bool is_flag_only;         /* belongs to one run: not in file and environment, not printed */
    bool is_live;              /* a change of it is taken by a running program */
    const char *default_value; /* as a user writes it, and legal */
    uint64_t number_min;       /* BYTES, COUNT, DURATION; both 0: any */
    uint64_t number_max;
    const char *value_name; /* for help, such as "DIR"; NULL for BOOL */
    const char *help;       /* one sentence without a period */
};

/** An option's value. */
struct cellar_config_value {
    const char *text;
    uint64_t number; /* BYTES, COUNT, DURATION; BOOL: 0 or 1 */
    enum cellar_config_origin origin;
    uint32_t line; /* in the file, from 1 */
};

/** Takes an error of a setting; see cellar_config.report. */
typedef void cellar_config_report_fn(void *context, const struct cellar_error *error);

/** Settings; made by cellar_config_init(). One thread at a time. */
struct cellar_config {
    /** NULL: reading ends at the first thing that is wrong. Else each one is given to this function
     * and reading goes on, as if what is wrong were not there; counted in error_count. */
    cellar_config_report_fn *report;
    void *report_context;
    uint32_t error_count;
    const struct cellar_config_option *options;
    size_t option_count;
    struct cellar_config_value *values; /* one an option */
    struct cellar_arena arena;
    const char *file; /* the file that was read, or NULL */
};

/** Makes settings of defaults. @param options  static @return CELLAR_OK or CELLAR_NO_MEMORY */
enum cellar_status cellar_config_init(struct cellar_config *config,
                                      const struct cellar_config_option *options,
                                      size_t option_count) CELLAR_MUST_USE;

/** Frees what the settings hold; texts that were got from them are gone. */
void cellar_config_fini(struct cellar_config *config);

/**
 * Reads the command line.
 *
 * @param arguments  argv, whose first element is not looked at; copied
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming option, value and what is allowed;
 *         CELLAR_NO_MEMORY
 */
enum cellar_status cellar_config_read_flags(struct cellar_config *config, int count,
                                            char *const *arguments, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Reads `NAME=value` strings up to NULL, such as environ; empty values and names that are no
 * option's are passed over. Returns as cellar_config_read_flags(). */
enum cellar_status cellar_config_read_environment(struct cellar_config *config,
                                                  char *const *environment,
                                                  struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Reads a file of `key = value` lines; a `#` at a line's start or behind a blank begins a comment.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming file and line (unknown key, a key twice, a bad
 *         value) or saying why the file cannot be read; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_config_read_file(struct cellar_config *config, const char *path,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** Puts the place where an option's value was written before an error's text, for what the program
 * finds wrong with it later. @return CELLAR_INVALID_ARGUMENT */
enum cellar_status cellar_config_refuse(const struct cellar_config *config, const char *name,
                                        struct cellar_error *error);

/** Reports a failure of kind CELLAR_INVALID_ARGUMENT, if somebody wants reports, and forgets it.
 * @return what is left of it */
enum cellar_status cellar_config_note(struct cellar_config *config, enum cellar_status status,
                                      const struct cellar_error *error) CELLAR_MUST_USE;

/** The value of an option, which the table has. Borrowed from the settings. */
const struct cellar_config_value *cellar_config_get(const struct cellar_config *config,
                                                    const char *name);

/** The number of an option of kind BYTES, COUNT or DURATION. */
uint64_t cellar_config_number(const struct cellar_config *config, const char *name);

/** The value of an option of kind BOOL. */
bool cellar_config_bool(const struct cellar_config *config, const char *name);

/** The text of an option of any kind, as it was given. */
const char *cellar_config_text(const struct cellar_config *config, const char *name);

/** Appends all settings but those of one run, each with its origin, in the form of a file that
 * gives the same settings. CELLAR_NO_MEMORY. */
enum cellar_status cellar_config_print(const struct cellar_config *config, struct cellar_buffer *to)
    CELLAR_MUST_USE;

/** Appends a line or two an option, for --help. CELLAR_NO_MEMORY. */
enum cellar_status cellar_config_help(const struct cellar_config *config, struct cellar_buffer *to)
    CELLAR_MUST_USE;

#endif
