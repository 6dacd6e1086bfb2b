#ifndef CELLAR_TABLET_TABLE_BUILD_H
#define CELLAR_TABLET_TABLE_BUILD_H

#include "server/tablet/table.h"

/* How new tables begin. */

/** How a table is to be made. */
struct tablet_spec {
    struct cellar_table_name name;
    enum cellar_granularity granularity;
    const struct tablet_family *families; /* any order; generations are set here */
    size_t family_count;
    const struct cellar_slice *split_keys; /* sorted, distinct, not empty */
    size_t split_key_count;
};

/**
 * Makes a table in memory, without stores yet.
 *
 * @param spec            checked; copied
 * @param store_id_first  of its first tablet; the others' follow
 * @param table           receives the table with one reference
 * @return CELLAR_OK, NO_MEMORY
 */
enum cellar_status tablet_table_build(const struct tablet_spec *spec, uint32_t store_id_first,
                                      struct tablet_table **table) CELLAR_MUST_USE;

#endif
