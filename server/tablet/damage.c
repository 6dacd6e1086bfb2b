/*
 * The text of a refusal by a damaged store. The engine knows stores by their numbers, and people
 * know tables: this names the table and the tablet's range, as `cellar table describe` has it, and
 * the store, as the server's log and the data directory have it.
 */
#include "server/tablet/damage.h"

#define KEY_SHOWN_BYTES 64u

enum cellar_status tablet_damage_tell(const struct tablet_table *table, const struct store *store,
                                      enum cellar_status status, struct cellar_error *error)
{
    char start[4 * KEY_SHOWN_BYTES + 8];
    char end[4 * KEY_SHOWN_BYTES + 8];
    const struct tablet *tablet = NULL;
    if (status != CELLAR_DATA_LOSS) {
        return status;
    }
    for (size_t i = 0; i < table->tablet_count && tablet == NULL; i++) {
        tablet = table->tablets[i].store == store ? &table->tablets[i] : NULL;
    }
    CELLAR_ASSERT(tablet != NULL);
    (void)cellar_bytes_show(tablet->start, KEY_SHOWN_BYTES, start, sizeof start);
    (void)cellar_bytes_show(tablet->end, KEY_SHOWN_BYTES, end, sizeof end);
    return cellar_error_set(error, status,
                            "table %.*s, tablet \"%s\" to \"%s\": stored data is damaged (store "
                            "%u), and no write is taken; what is whole can be read. Copy it out, "
                            "then restore a backup or drop the table",
                            (int)table->name.table.bytes, (const char *)table->name.table.data,
                            start, end, store->id);
}
