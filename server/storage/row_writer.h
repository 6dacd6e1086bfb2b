#ifndef CELLAR_STORAGE_ROW_WRITER_H
#define CELLAR_STORAGE_ROW_WRITER_H

#include "server/storage/packer.h"
#include "server/storage/store.h"

/* One row of a memtable into the environment: what a checkpoint does row by row. */

/** What one checkpoint works with; zeroed, with the transaction begun by the caller. */
struct store_row_writer {
    struct store_env_txn txn;
    struct store_env_cursor cursor;
    struct store_merge merge;

    struct store_filter filter;            /* cells that need not be kept; set by the caller */
    const struct store_compaction *mirror; /* writes into the generation that it builds; or NULL */

    struct store_range_set hidden; /* dropped ranges whose old items are still here */
    bool has_cut;                  /* hidden is not what the environment says any more */

    struct store_packer packer;
    struct cellar_slice base;   /* the region's packed cells, in `copies`; empty: none */
    struct cellar_arena copies; /* base cells of the run */
    uint32_t region_count;      /* in the run */
    struct cellar_buffer key;
};

/** Begins with the rows of a memtable, in writer->txn, which is begun; the dropped ranges are the
 * caller's to fill. */
void store_row_writer_begin(struct store_row_writer *writer, const struct store_memtable *memtable);

/** Sets writer->key to the first key behind all of a row. NO_MEMORY. */
enum cellar_status store_row_writer_behind(struct store_row_writer *writer,
                                           struct cellar_slice row_key) CELLAR_MUST_USE;

/** Frees what a writer holds; the transaction has ended. */
void store_row_writer_fini(struct store_row_writer *writer);

/**
 * Writes what the memtable has of a row.
 *
 * @param first  the row's first entry in the memtable
 * @return CELLAR_OK; DATA_LOSS, RESOURCE_EXHAUSTED (map or disk full), IO_ERROR, NO_MEMORY
 */
enum cellar_status store_row_write(struct store_row_writer *writer, const struct store_entry *first)
    CELLAR_MUST_USE;

#endif
