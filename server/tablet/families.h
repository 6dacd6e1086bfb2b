#ifndef CELLAR_TABLET_FAMILIES_H
#define CELLAR_TABLET_FAMILIES_H

#include "server/tablet/table.h"

/* Changes of a table's families while it is read and written. */

/** What a change does. */
enum tablet_family_action { TABLET_FAMILY_CREATE, TABLET_FAMILY_UPDATE, TABLET_FAMILY_DROP };

/** One change of a table's families. */
struct tablet_family_change {
    enum tablet_family_action action;
    struct cellar_slice name;
    struct cellar_gc_rule rule; /* of CREATE and UPDATE */
};

/**
 * Makes the schema that follows from another by changes, applied in order and as a whole. Pure.
 *
 * @param made  receives a schema of the next version; the caller frees it with tablet_schema_free()
 * @return CELLAR_OK; NOT_FOUND (family to update or drop), ALREADY_EXISTS (family to create),
 *         INVALID_ARGUMENT (more than TABLET_FAMILY_COUNT_MAX in the end), NO_MEMORY
 */
enum cellar_status tablet_families_apply(const struct tablet_schema *schema,
                                         const struct tablet_family_change *changes,
                                         size_t change_count, struct tablet_schema **made,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Changes a table's families; durable at return. One caller a table at a time. Blocks.
 *
 * @return as tablet_families_apply(); IO_ERROR, UNAVAILABLE, RESOURCE_EXHAUSTED; nothing changed
 *         then. OUTCOME_UNKNOWN
 */
enum cellar_status tablet_families_change(struct store_engine *engine, struct tablet_table *table,
                                          const struct tablet_family_change *changes,
                                          size_t change_count, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
