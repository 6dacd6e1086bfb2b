#ifndef CELLAR_TABLET_DB_H
#define CELLAR_TABLET_DB_H

#include "common/sync.h"
#include "server/tablet/families.h"
#include "server/tablet/table_build.h"

/*
 * The tables of one server: the catalog in store 0, the map from names to tables. Writes into them
 * are append.h, reads scan.h.
 */

struct tablet_db;

/** Opens the engine, reads the catalog, opens every tablet's store and starts. Errors as
 * store_engine_open() and store_engine_start(). */
enum cellar_status tablet_db_open(const struct store_engine_options *options, struct tablet_db **db,
                                  struct cellar_error *error) CELLAR_MUST_USE;

/** Closes all. No read and no write is under way. Takes NULL. */
void tablet_db_close(struct tablet_db *db);

struct store_engine *tablet_db_engine(struct tablet_db *db);

/** The server's time: the wall clock, but never less than any given out before. Microseconds. Any
 * thread. */
int64_t tablet_db_time(struct tablet_db *db);

/** Makes a table, durable at return. @param made receives a reference. ALREADY_EXISTS, IO_ERROR,
 * RESOURCE_EXHAUSTED, NO_MEMORY, OUTCOME_UNKNOWN. Blocks. */
enum cellar_status tablet_db_create(struct tablet_db *db, const struct tablet_spec *spec,
                                    struct tablet_table **made, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Drops a table, durable at return; waits for chunks of reads that run. NOT_FOUND, IO_ERROR,
 * NO_MEMORY, OUTCOME_UNKNOWN. Blocks. */
enum cellar_status tablet_db_drop(struct tablet_db *db, const struct cellar_table_name *name,
                                  struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Changes a table's families, in order and as a whole; durable at return. Blocks.
 *
 * @param made  receives a reference to the table
 * @return CELLAR_OK; NOT_FOUND (table; family to update or drop), ALREADY_EXISTS (family to
 * create), INVALID_ARGUMENT (more than TABLET_FAMILY_COUNT_MAX in the end), IO_ERROR,
 * OUTCOME_UNKNOWN, NO_MEMORY: nothing changed, but for OUTCOME_UNKNOWN
 */
enum cellar_status tablet_db_modify_families(struct tablet_db *db,
                                             const struct cellar_table_name *name,
                                             const struct tablet_family_change *changes,
                                             size_t change_count, struct tablet_table **made,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Drops the rows that begin with a prefix; durable at return, and no read that begins afterwards
 * sees them. Blocks.
 *
 * @param prefix  empty: all rows
 * @return CELLAR_OK; NOT_FOUND (table), FAILED_PRECONDITION (the table is being loaded),
 *         UNAVAILABLE, IO_ERROR, OUTCOME_UNKNOWN, NO_MEMORY
 */
enum cellar_status tablet_db_drop_rows(struct tablet_db *db, const struct cellar_table_name *name,
                                       struct cellar_slice prefix, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Keeps creates, drops and changes of tables off. Any thread. */
void tablet_db_admin_lock(struct tablet_db *db);
void tablet_db_admin_unlock(struct tablet_db *db);

/** The newest schema of a table that is durable. It lives as long as the table. Any thread. */
const struct tablet_schema *tablet_db_schema(struct tablet_db *db,
                                             const struct tablet_table *table);

/** Finds a table and adds a reference. NOT_FOUND naming it in full. Any thread. */
enum cellar_status tablet_db_find(struct tablet_db *db, const struct cellar_table_name *name,
                                  struct tablet_table **table, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Lists tables of an instance in order.
 *
 * @param after      names behind this table id; empty: from the first
 * @param count_max  at most so many
 * @param tables     receives references; the caller's array of count_max
 * @param has_more   receives whether others follow
 * @return how many
 */
size_t tablet_db_list(struct tablet_db *db, const struct cellar_table_name *instance,
                      struct cellar_slice after, size_t count_max, struct tablet_table **tables,
                      bool *has_more);

/** The table behind a name in the order of names, of all instances, with a reference; NULL when
 * there is none. @param after  NULL: the first one */
struct tablet_table *tablet_db_next(struct tablet_db *db, const struct cellar_table_name *after);

/** Counts a loop's step of a read that waited for the disk. Any thread. */
void tablet_db_stall_note(struct tablet_db *db);

/** How many there were. */
uint64_t tablet_db_stall_count(const struct tablet_db *db);

/** The number of tablets whose reads may have to wait (warmth.h). */
size_t tablet_db_cold_count(struct tablet_db *db);

/** The number of tables. */
size_t tablet_db_count(struct tablet_db *db);

/** The number of tablets of all tables. */
size_t tablet_db_tablet_count(struct tablet_db *db);

#endif
