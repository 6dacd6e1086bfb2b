#ifndef CELLAR_TOOLS_MAN_H
#define CELLAR_TOOLS_MAN_H

#include "client/tools/command.h"

/* Manual pages from the table of commands. */

/**
 * Appends a page in the man macros.
 *
 * @param command  the page of one command, such as cellar-scan(1); NULL: cellar(1), with all
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_man_put(const struct cellar_command *command, struct cellar_buffer *to)
    CELLAR_MUST_USE;

#endif
