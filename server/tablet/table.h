#ifndef CELLAR_TABLET_TABLE_H
#define CELLAR_TABLET_TABLE_H

#include <stdatomic.h>

#include "common/mem.h"
#include "server/storage/engine.h"
#include "server/tablet/schema.h"

/*
 * A table while the server runs: its name, schema and tablets. Two counts:
 *   references  keep the memory; anybody may hold one for long
 *   users       keep the stores open; held for one chunk of a read only, so that a drop need not
 * wait for a slow client
 */

/** A range of rows on a store. */
struct tablet {
    struct cellar_slice start; /* empty: the first row */
    struct cellar_slice end;   /* empty: to the last row */
    uint32_t store_id;
    struct store *store; /* NULL until opened */
};

struct tablet_table {
    _Atomic uint32_t references;
    _Atomic uint32_t users;
    _Atomic bool is_dropped;   /* set under the append lock */
    struct cellar_arena arena; /* everything below lives here */
    struct cellar_table_name name;
    struct tablet_schema schema;
    struct tablet *tablets; /* in key order, without gaps */
    size_t tablet_count;
};

/** An empty table with one reference; NULL without memory. */
struct tablet_table *tablet_table_new(void) CELLAR_MUST_USE;

void tablet_table_ref(struct tablet_table *table);

/** The last one frees the memory; stores are not its business. Takes NULL. */
void tablet_table_unref(struct tablet_table *table);

/** Becomes a user. @return false when the table is dropped */
bool tablet_table_enter(struct tablet_table *table);
void tablet_table_leave(struct tablet_table *table);

/** The tablet that a row belongs to. */
struct tablet *tablet_table_find(const struct tablet_table *table, struct cellar_slice row);

/** The tablet that holds the last rows before `bound` (empty: the last tablet). */
struct tablet *tablet_table_find_before(const struct tablet_table *table,
                                        struct cellar_slice bound);

/** The error of a table that is not there, which it names in full. @return CELLAR_NOT_FOUND */
enum cellar_status tablet_name_not_found(const struct cellar_table_name *name,
                                         struct cellar_error *error);

/** Orders by project, instance, table. */
int tablet_name_compare(const struct cellar_table_name *a, const struct cellar_table_name *b);

/** Appends the table's catalog value. CELLAR_NO_MEMORY. FORMAT.md, "The catalog". */
enum cellar_status tablet_table_encode(const struct tablet_table *table, struct cellar_buffer *to)
    CELLAR_MUST_USE;

/** Fills an empty table from its catalog value, but for the name. DATA_LOSS, NO_MEMORY. */
enum cellar_status tablet_table_decode(struct tablet_table *table, struct cellar_slice value)
    CELLAR_MUST_USE;

#endif
