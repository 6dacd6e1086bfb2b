#ifndef CELLAR_CLIENT_ROWS_H
#define CELLAR_CLIENT_ROWS_H

#include <cellar/cellar.h>

#include "common/status.h"

/* How `struct cellar_rows` is filled. */

/** Makes an empty list of rows; NULL without memory. Free it with cellar_rows_free(). */
struct cellar_rows *cellar_rows_new(void);

/**
 * Appends a copy of a row.
 *
 * @return CELLAR_OK; CELLAR_RESOURCE_EXHAUSTED when the rows have their limit already;
 *         CELLAR_NO_MEMORY
 */
enum cellar_status cellar_rows_add(struct cellar_rows *rows, const struct cellar_row *row,
                                   struct cellar_error *error) CELLAR_MUST_USE;

#endif
