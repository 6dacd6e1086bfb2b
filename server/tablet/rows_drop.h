#ifndef CELLAR_TABLET_ROWS_DROP_H
#define CELLAR_TABLET_ROWS_DROP_H

#include "server/tablet/table.h"

/**
 * Drops the rows of a table that begin with a prefix: durable at return, seen at once by every read
 * that begins afterwards; what it costs does not depend on how many rows there are. Blocks.
 *
 * @param prefix  0..CELLAR_ROW_BYTES_MAX bytes; empty: all rows
 * @return CELLAR_OK; NOT_FOUND (dropped meanwhile), UNAVAILABLE, IO_ERROR, NO_MEMORY: nothing was
 *         dropped. OUTCOME_UNKNOWN
 * @source RULES R-TAB-17 to 19; DESIGN, "Range drops"
 */
enum cellar_status tablet_rows_drop(struct store_engine *engine, struct tablet_table *table,
                                    struct cellar_slice prefix, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
