#ifndef CELLAR_TOOLS_SELECT_H
#define CELLAR_TOOLS_SELECT_H

#include <cellar/cellar.h>

#include "client/tools/args.h"

/* Options that say which cells a command reads, shared by all that read. */

/** Adds every --column, and --versions and --keys-only. @return as cellar_args_number() and
 * cellar_column_text_decode() */
enum cellar_status cellar_select_cells(const struct cellar_args *args, struct cellar_read *read,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Decodes an option that takes escaped bytes.
 *
 * @param to        empty before; freed by the caller
 * @param is_given  receives whether the option was there
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_select_bytes(const struct cellar_args *args, const char *name,
                                       struct cellar_buffer *to, bool *is_given,
                                       struct cellar_error *error) CELLAR_MUST_USE;

#endif
