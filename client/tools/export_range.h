#ifndef CELLAR_TOOLS_EXPORT_RANGE_H
#define CELLAR_TOOLS_EXPORT_RANGE_H

#include <cellar/cellar.h>

#include "common/buf.h"

/* The rows that an export goes through, in the order of their keys. */

/** Zero-initialised is every row. Freed with cellar_export_range_fini(). */
struct cellar_export_range {
    struct cellar_buffer start; /* empty: from the first row */
    bool is_start_open;         /* behind `start`, which was written already */
    struct cellar_buffer end;   /* without it; empty: to the last row */
};

/** Sets the range to the rows whose keys begin with `prefix`; CELLAR_NO_MEMORY. */
enum cellar_status cellar_export_range_prefix(struct cellar_export_range *range,
                                              struct cellar_slice prefix) CELLAR_MUST_USE;

/** Goes on behind a row of the range; CELLAR_NO_MEMORY leaves it as it was. */
enum cellar_status cellar_export_range_pass(struct cellar_export_range *range,
                                            struct cellar_slice key) CELLAR_MUST_USE;

/** Adds the range to a read. */
void cellar_export_range_read(const struct cellar_export_range *range, struct cellar_read *read);

/**
 * Guesses how much of the range lies before a key, from the table's tablets.
 *
 * @param whole  the range before any row was passed
 * @return 0..1; < 0 where the tablets say nothing
 */
double cellar_export_range_share(const struct cellar_export_range *whole,
                                 const struct cellar_table_info *table, struct cellar_slice key);

/** Makes an empty range the same as another; CELLAR_NO_MEMORY. */
enum cellar_status cellar_export_range_copy(struct cellar_export_range *range,
                                            const struct cellar_export_range *from) CELLAR_MUST_USE;

/** Frees its memory; it is every row again. */
void cellar_export_range_fini(struct cellar_export_range *range);

#endif
