#ifndef CELLAR_TABLET_DAMAGE_H
#define CELLAR_TABLET_DAMAGE_H

#include "server/tablet/table.h"

/**
 * Says of a refused write which tablet of which table is damaged, and what to do.
 *
 * @param store   of one of the table's tablets
 * @param status  of the refusal; any but DATA_LOSS leaves the error as it is
 * @return `status`
 * @thread any
 */
enum cellar_status tablet_damage_tell(const struct tablet_table *table, const struct store *store,
                                      enum cellar_status status, struct cellar_error *error);

#endif
