#ifndef CELLAR_TABLET_LOAD_ROWS_H
#define CELLAR_TABLET_LOAD_ROWS_H

#include "common/mem.h"
#include "server/storage/compaction.h"
#include "server/tablet/schema.h"

/*
 * Rows of a load from their wire form to cells that storage takes: everything is checked before
 * anything is loaded. Pure.
 */

#define TABLET_LOAD_BYTES_MAX 16777216u      /* of the rows of one request, as they are sent */
#define TABLET_LOAD_CELL_COUNT_MAX 1000000u  /* of one request */
#define TABLET_LOAD_VALUE_BYTES_MAX 1048576u /* of one cell */

/** Where the rows have to lie. */
struct tablet_load_bounds {
    struct cellar_slice start; /* empty: from the first row */
    struct cellar_slice end;   /* behind the last; empty: no bound */
    struct cellar_slice last;  /* the row that came before; empty: none */
};

/** Checked rows. */
struct tablet_load_rows {
    struct store_load_row *rows; /* in the arena; cells borrow from the wire and the schema */
    size_t row_count;
    uint64_t cell_count;
    uint64_t byte_count; /* of keys, qualifiers and values */
};

/**
 * Checks rows against a schema.
 *
 * @param wire   MessagePack: an array of [key, packed cells] with the keys in strict order;
 *               borrowed as long as `rows`
 * @return CELLAR_OK; INVALID_ARGUMENT naming the row (form, limits, order, a cell that comes twice,
 *         granularity, outside of the range), NOT_FOUND (a family), UNIMPLEMENTED (a value above
 *         1 MiB), NO_MEMORY
 * @source PROTOCOL.md, "BULK_ROWS"
 */
enum cellar_status tablet_load_rows_decode(const struct tablet_schema *schema,
                                           const struct tablet_load_bounds *bounds,
                                           struct cellar_slice wire, struct cellar_arena *arena,
                                           struct tablet_load_rows *rows,
                                           struct cellar_error *error) CELLAR_MUST_USE;

#endif
