#ifndef CELLAR_TOOLS_DROP_H
#define CELLAR_TOOLS_DROP_H

#include "client/tools/tool.h"

/* Commands that take away more than one row, and the question before them. */

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

/** table drop, with --dry-run and --yes. */
enum cellar_status cellar_drop_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error);

#endif
