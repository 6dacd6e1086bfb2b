#ifndef CELLAR_TABLET_LOAD_ROWS_H
#define CELLAR_TABLET_LOAD_ROWS_H

#include "common/mem.h"
#include "common/segment_cells.h"
#include "server/storage/compaction.h"
#include "server/tablet/large.h"
#include "server/tablet/schema.h"

/*
 * Rows of a load from their wire form to cells that storage takes: everything is checked before
 * anything is loaded; then the cells are given one by one. Pure, but for the files of large values.
 */

#define TABLET_LOAD_BYTES_MAX 16777216u /* of several rows in one request, as they are sent */

/** Where the rows have to lie. */
struct tablet_load_bounds {
    struct cellar_slice start; /* empty: from the first row */
    struct cellar_slice end;   /* behind the last; empty: no bound */
    struct cellar_slice last;  /* the row that came before; empty: none */
};

/** A row whose cells were checked; borrows from the wire. */
struct tablet_load_row {
    struct cellar_slice key;
    struct cellar_slice packed; /* cells: common/segment_cells.h */
};

/** Checked rows. */
struct tablet_load_rows {
    struct tablet_load_row *rows; /* in the arena */
    size_t row_count;
    uint64_t cell_count;
    uint64_t byte_count;      /* of keys, qualifiers and values */
    uint64_t value_bytes_max; /* the largest value */
    const struct tablet_schema *schema;
    struct cellar_arena *arena;
    bool is_mapped; /* the wire lies in a file's map: blob_files.h */
};

/**
 * Checks rows against a schema.
 *
 * @param wire   MessagePack: an array of [key, packed cells] with the keys in strict order;
 *               borrowed as long as `rows`
 * @return CELLAR_OK; INVALID_ARGUMENT naming the row (form, limits, order, a cell that comes twice,
 *         granularity, outside of the range), NOT_FOUND (a family), NO_MEMORY
 * @source PROTOCOL.md, "BULK_ROWS"
 */
enum cellar_status tablet_load_rows_decode(const struct tablet_schema *schema,
                                           const struct tablet_load_bounds *bounds,
                                           struct cellar_slice wire, struct cellar_arena *arena,
                                           struct tablet_load_rows *rows,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** Checked rows, or some that follow each other, as storage takes them. */
struct tablet_load_source {
    struct store_load_source base;
    const struct tablet_load_rows *rows;
    size_t next; /* row */
    size_t end;
    struct cellar_cells_reader reader; /* in the row before `next` */
    const struct tablet_family *family;
    uint64_t value_bytes_max; /* of a value that stays; larger ones are blobs */
    uint8_t **references;     /* of those, in the order of their cells */
    size_t reference_count;
    size_t reference_capacity;
    size_t reference_next;
};

/** Begins at row `first`, of `count` >= 1. @param rows  borrowed as long as the source */
void tablet_load_source_init(struct tablet_load_source *source, const struct tablet_load_rows *rows,
                             size_t first, size_t count);

/**
 * Writes the large values of a source that is at its beginning into files, so that it gives their
 * references; it is at its beginning again. Blocks on the disk.
 *
 * @param large  prepared, with the rows' arena; has the files, also on failure
 * @return CELLAR_OK; RESOURCE_EXHAUSTED (the disk, named), IO_ERROR, NO_MEMORY
 */
enum cellar_status tablet_load_source_write(struct tablet_load_source *source,
                                            struct tablet_large *large, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
