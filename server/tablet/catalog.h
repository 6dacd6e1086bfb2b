#ifndef CELLAR_TABLET_CATALOG_H
#define CELLAR_TABLET_CATALOG_H

#include "server/tablet/table.h"

/*
 * The catalog's rows in store 0: FORMAT.md, "The catalog". One cell a row, family `c`, empty
 * qualifier, timestamp 0.
 *
 *     t/PROJECT/INSTANCE/TABLE   the table (table.h)
 *     s/%08x                     a store: the map {1: live generation}; 2 is reserved for its
 * predecessors i/PROJECT/INSTANCE         an instance that was made implicitly: an empty map n the
 * map {1: next store id} p/, u/, a/                 reserved: projects, users, app profiles
 */

/** One change of the catalog: rows put and removed together, in one log record. */
struct tablet_catalog_change {
    struct cellar_buffer payload;
    struct cellar_buffer mutation;
    uint32_t row_count;
};

/** Starts a change of exactly `row_count` rows. NO_MEMORY. */
enum cellar_status tablet_catalog_change_begin(struct tablet_catalog_change *change,
                                               uint32_t row_count) CELLAR_MUST_USE;

void tablet_catalog_change_fini(struct tablet_catalog_change *change);

/** Puts or, with an empty value, removes a row. NO_MEMORY. */
enum cellar_status tablet_catalog_change_row(struct tablet_catalog_change *change,
                                             struct cellar_slice row, struct cellar_slice value)
    CELLAR_MUST_USE;

/** Puts (with a NULL schema: removes) a table's row; puts an instance's, a store's (generation 0:
 * removes it), the counter. NO_MEMORY. */
enum cellar_status tablet_catalog_change_table(struct tablet_catalog_change *change,
                                               const struct tablet_table *table,
                                               const struct tablet_schema *schema) CELLAR_MUST_USE;
enum cellar_status tablet_catalog_change_instance(struct tablet_catalog_change *change,
                                                  const struct cellar_table_name *name)
    CELLAR_MUST_USE;
enum cellar_status tablet_catalog_change_store(struct tablet_catalog_change *change,
                                               uint32_t store_id, uint64_t generation)
    CELLAR_MUST_USE;
enum cellar_status tablet_catalog_change_counter(struct tablet_catalog_change *change,
                                                 uint32_t store_id_next) CELLAR_MUST_USE;

/** What goes with a change in the hold of the append lock that queues it: from there on writes see
 * it. Must not block. */
struct tablet_catalog_effect {
    void (*apply)(void *context, uint64_t lsn); /* of the record; NULL: nothing */
    void *context;
    bool frees_space; /* the change goes on when the disk is short */
};

/** Appends the change and waits until it is durable. IO_ERROR, OUTCOME_UNKNOWN, UNAVAILABLE,
 * NO_MEMORY; `effect` has been applied unless nothing was queued. */
enum cellar_status tablet_catalog_change_commit(struct tablet_catalog_change *change,
                                                struct store_engine *engine,
                                                const struct tablet_catalog_effect *effect,
                                                struct cellar_error *error) CELLAR_MUST_USE;

/** What the reading of the catalog calls for each table and store, and the counter. */
struct tablet_catalog_visitor {
    void *context;
    enum cellar_status (*table)(void *context,
                                struct tablet_table *table); /* takes the reference */
    enum cellar_status (*store)(void *context, uint32_t store_id, uint64_t generation);
    enum cellar_status (*counter)(void *context, uint32_t store_id_next);
};

/** Takes one row of the catalog apart; rows of other kinds are passed over. DATA_LOSS, NO_MEMORY,
 * or what the visitor returned. */
enum cellar_status tablet_catalog_row_visit(struct cellar_slice row, struct cellar_slice value,
                                            const struct tablet_catalog_visitor *visitor)
    CELLAR_MUST_USE;

/** Reads the whole catalog in row order. DATA_LOSS, IO_ERROR, NO_MEMORY, or what the visitor
 * returned. */
enum cellar_status tablet_catalog_read(struct store_engine *engine,
                                       const struct tablet_catalog_visitor *visitor,
                                       struct cellar_error *error) CELLAR_MUST_USE;

#endif
