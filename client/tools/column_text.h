#ifndef CELLAR_TOOLS_COLUMN_TEXT_H
#define CELLAR_TOOLS_COLUMN_TEXT_H

#include "common/buf.h"

/* Columns and cells as arguments: cf, cf:q and cf:q=VALUE. Qualifier and value take escapes. */

/** Zero-initialised is empty; freed with cellar_column_text_fini(). */
struct cellar_column_text {
    struct cellar_buffer family; /* with a NUL behind, which `bytes` does not count */
    bool has_qualifier;
    struct cellar_buffer qualifier;
    struct cellar_buffer value;
};

/**
 * Reads `cf` (a family) or `cf:q` (a column; q may be empty).
 *
 * @param column  emptied before; freed by the caller also on failure
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what was expected and seen; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_column_text_decode(const char *text, struct cellar_column_text *column,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** As cellar_column_text_decode(), for `cf:q=VALUE`; the first '=' ends the qualifier. */
enum cellar_status cellar_cell_text_decode(const char *text, struct cellar_column_text *column,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** The family, NUL-terminated. */
const char *cellar_column_text_family(const struct cellar_column_text *column);

/** Frees its memory; it is empty and usable again. */
void cellar_column_text_fini(struct cellar_column_text *column);

#endif
