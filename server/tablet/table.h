#ifndef CELLAR_TABLET_TABLE_H
#define CELLAR_TABLET_TABLE_H

#include <stdatomic.h>

#include "common/mem.h"
#include "server/storage/engine.h"
#include "server/tablet/schema.h"
#include "server/tablet/warmth.h"

/*
 * A table while the server runs: its name, schemas and tablets. Two counts:
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
    struct tablet_warmth warmth;
};

/** Whether a row lies in a tablet's range. */
static inline bool tablet_has_row(const struct tablet *tablet, struct cellar_slice row)
{
    return cellar_slice_compare(row, tablet->start) >= 0 &&
           (tablet->end.bytes == 0 || cellar_slice_compare(row, tablet->end) < 0);
}

struct tablet_table {
    _Atomic uint32_t references;
    _Atomic uint32_t users;
    _Atomic bool is_dropped;   /* set under the append lock */
    _Atomic bool is_loading;   /* has a bulk load (load.h); set under the append lock */
    struct cellar_arena arena; /* everything below lives here */
    struct cellar_table_name name;
    struct tablet_schema schema_opened; /* of when the table was made or read; else see below */
    _Atomic(const struct tablet_schema *)
        schema_queued;                     /* NULL: schema_opened; set under the append lock */
    struct tablet_schema *schemas_changed; /* newest first; they live as long as the table */
    struct store_filter_source gc;         /* what its stores need not keep */
    struct tablet *tablets;                /* in key order, without gaps */
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

/** The schema that writes are checked against: the newest whose record is queued. When it is
 * another one under the append lock, the write is checked again. Any thread. */
static inline const struct tablet_schema *
tablet_table_schema_queued(const struct tablet_table *table)
{
    const struct tablet_schema *changed =
        atomic_load_explicit(&table->schema_queued, memory_order_acquire);
    return changed != NULL ? changed : &table->schema_opened;
}

/** The schema that a read goes by which sees everything up to an LSN: the newest whose record is
 * not above it. So what a row shows and the families that it is read with are of one moment. It
 * lives as long as the table. Any thread, after the LSN was taken. */
const struct tablet_schema *tablet_table_schema_at(const struct tablet_table *table, uint64_t lsn);

/** The tablet that a row belongs to. */
struct tablet *tablet_table_find(const struct tablet_table *table, struct cellar_slice row);

/** The tablet that holds the last rows before `bound` (empty: the last tablet). */
struct tablet *tablet_table_find_before(const struct tablet_table *table,
                                        struct cellar_slice bound);

/** The error of a table that is not there, which it names in full. @return CELLAR_NOT_FOUND */
enum cellar_status tablet_name_not_found(const struct cellar_table_name *name,
                                         struct cellar_error *error);

/** Copies "projects/P/instances/I/tables/T" into an arena. NO_MEMORY. */
enum cellar_status tablet_name_full(const struct cellar_table_name *name,
                                    struct cellar_arena *arena, struct cellar_slice *to)
    CELLAR_MUST_USE;

/** Orders by project, instance, table. */
int tablet_name_compare(const struct cellar_table_name *a, const struct cellar_table_name *b);

/** Appends the table's catalog value with a schema. CELLAR_NO_MEMORY. FORMAT.md, "The catalog". */
enum cellar_status tablet_table_encode(const struct tablet_table *table,
                                       const struct tablet_schema *schema, struct cellar_buffer *to)
    CELLAR_MUST_USE;

/** Fills an empty table from its catalog value, but for the name. DATA_LOSS, NO_MEMORY. */
enum cellar_status tablet_table_decode(struct tablet_table *table, struct cellar_slice value)
    CELLAR_MUST_USE;

#endif
