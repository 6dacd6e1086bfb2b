#ifndef CELLAR_TABLET_CHECK_CATALOG_H
#define CELLAR_TABLET_CHECK_CATALOG_H

#include "server/storage/check_log.h"
#include "server/tablet/catalog.h"

/*
 * The catalog as an offline check sees it: rows from store 0's environment, changed by what the log
 * holds beyond, then taken apart into tables and stores. FORMAT.md, "The catalog".
 */

/** A store that the catalog names. */
struct tablet_check_store {
    uint32_t id;
    uint64_t generation;
    const struct tablet_table *table; /* NULL: no tablet is on it */
    const struct tablet *tablet;
    uint64_t applied_lsn;
    bool has_state; /* applied_lsn is known */
    bool has_folder;
};

struct tablet_check_row {
    struct cellar_slice row;
    struct cellar_slice value;
};

struct tablet_check_catalog {
    struct store_check_report *report;
    struct cellar_arena arena;     /* rows and values */
    struct tablet_check_row *rows; /* by row */
    size_t row_count;
    size_t row_capacity;
    struct tablet_table **tables;
    size_t table_count;
    size_t table_capacity;
    struct tablet_check_store *stores; /* by id */
    size_t store_count;
    size_t store_capacity;
    uint32_t store_id_next; /* 0: not there */
    bool is_damaged;        /* something of it could not be read: what it names may be incomplete */
    const struct tablet_check_row *row; /* being taken apart */
};

/** Puts a row, or removes it when the value is empty; both copied. NO_MEMORY. */
enum cellar_status tablet_check_catalog_put(struct tablet_check_catalog *catalog,
                                            struct cellar_slice row, struct cellar_slice value)
    CELLAR_MUST_USE;

/**
 * Applies the payload of a catalog record.
 *
 * @param why  receives what is wrong, or NULL
 * @return CELLAR_OK, NO_MEMORY
 */
enum cellar_status tablet_check_catalog_apply(struct tablet_check_catalog *catalog,
                                              struct cellar_slice payload, const char **why)
    CELLAR_MUST_USE;

/** Takes all rows apart and says what does not fit together. NO_MEMORY. */
enum cellar_status tablet_check_catalog_load(struct tablet_check_catalog *catalog) CELLAR_MUST_USE;

/** The store of that id, or NULL. */
struct tablet_check_store *tablet_check_catalog_find(const struct tablet_check_catalog *catalog,
                                                     uint32_t store_id);

void tablet_check_catalog_fini(struct tablet_check_catalog *catalog);

#endif
