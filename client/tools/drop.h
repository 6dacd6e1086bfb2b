#ifndef CELLAR_TOOLS_DROP_H
#define CELLAR_TOOLS_DROP_H

#include "client/tools/report.h"
#include "client/tools/tool.h"

/* Commands that take away more than one row, and the question before them. */

#define CELLAR_ROWS_COUNTED_MAX 10000u /* a few milliseconds for a server */
#define CELLAR_SIGHT_FIELDS_MAX 8u

/** What such commands take, for their lists of options. */
/* clang-format off */
#define CELLAR_DROP_OPTIONS                                                                        \
    {"yes", NULL, "do not ask; needed where there is no terminal to ask on"},                      \
    {"dry-run", NULL, "say what would go, and change nothing"}
/* clang-format on */

/** What would go, as it was seen. */
struct cellar_sight {
    const struct cellar_table_info *table;
    struct cellar_buffer text; /* for people: what stands behind "would drop", without a line end */
    struct cellar_buffer bytes;                                 /* what a field may borrow */
    struct cellar_report_field fields[CELLAR_SIGHT_FIELDS_MAX]; /* for programs */
    size_t field_count;
};

/** One command that takes away. */
struct cellar_drop {
    /** Refuses arguments that are wrong by themselves; NULL: there are none. */
    enum cellar_status (*check)(const struct cellar_args *args, struct cellar_error *error);
    /** Looks at what would go: fills text and fields, which begin with dry_run and name. */
    enum cellar_status (*look)(struct cellar_tool *tool, const struct cellar_args *args,
                               struct cellar_sight *sight, struct cellar_error *error);
    /** Takes it away. */
    enum cellar_status (*go)(struct cellar_tool *tool, const struct cellar_args *args,
                             struct cellar_error *error);
};

/**
 * Runs such a command: with --dry-run says what would go; else asks where there is a terminal,
 * wants --yes where there is none, and does it. The first word is the table, and its name is what
 * must be typed.
 *
 * @return CELLAR_OK, the failure of a step, or as cellar_confirm()
 */
enum cellar_status cellar_drop_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   const struct cellar_drop *drop, struct cellar_error *error);

/** Adds a figure to a sight. */
void cellar_sight_add(struct cellar_sight *sight, struct cellar_report_field field);

/**
 * Counts rows, but not beyond CELLAR_ROWS_COUNTED_MAX, and adds `rows` and `has_more_rows`.
 *
 * @param read   which rows; limited here to their keys, and in number
 * @param count  receives one more than the most where there are more
 */
enum cellar_status cellar_sight_count(struct cellar_tool *tool, const char *table,
                                      struct cellar_read *read, struct cellar_sight *sight,
                                      uint64_t *count, struct cellar_error *error) CELLAR_MUST_USE;

/** Appends "1 row", "12 rows" or "at least 10000 rows". CELLAR_NO_MEMORY */
enum cellar_status cellar_rows_say(uint64_t count, struct cellar_buffer *to) CELLAR_MUST_USE;

/**
 * Asks before something goes that cannot come back.
 *
 * @param args  with --yes, nothing is asked
 * @param what  what will go, such as "table t: 2 families, 12 rows"; asked about on a terminal
 * @param name  what must be typed to go on
 * @return CELLAR_OK to go on; CELLAR_INVALID_ARGUMENT when there is no one to ask;
 *         CELLAR_CANCELLED when the answer was something else
 */
enum cellar_status cellar_confirm(struct cellar_tool *tool, const struct cellar_args *args,
                                  const char *what, const char *name, struct cellar_error *error)
    CELLAR_MUST_USE;

/** table drop. */
enum cellar_status cellar_table_drop_run(struct cellar_tool *tool, const struct cellar_args *args,
                                         struct cellar_error *error);

/** table truncate. */
enum cellar_status cellar_table_truncate_run(struct cellar_tool *tool,
                                             const struct cellar_args *args,
                                             struct cellar_error *error);

#endif
