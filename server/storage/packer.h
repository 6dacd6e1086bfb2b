#ifndef CELLAR_STORAGE_PACKER_H
#define CELLAR_STORAGE_PACKER_H

#include "server/storage/env.h"
#include "server/storage/segment.h"

/*
 * A run of one row's cells into segments. Two ways to write:
 *
 *     put      into the midst of an environment: segments of about 950 bytes, so that a change of
 *              one of them stays small; the first takes the place of the one that the run began
 *              with
 *     append   behind the last key of an environment that is being built: segments up to half a
 *              page, cut so that pages get full
 *
 * The first segment of a run has the key that the caller sets; later ones get the shortest key that
 * separates them from the cell before.
 */

/** Room in LMDB's last leaf page, reckoned along with what is appended. */
struct store_page_fill {
    size_t room;
};

struct store_packer {
    struct store_env_txn *txn;
    struct store_page_fill *fill;   /* NULL: put; else append */
    bool is_last;                   /* put: the run lies behind all keys */
    struct cellar_slice row_key;    /* the row's part; borrowed */
    struct cellar_buffer out_key;   /* of the run's first segment */
    struct cellar_buffer next_key;  /* of the segment behind the run; empty: none in this row */
    struct cellar_buffer old_value; /* put: of the segment that the run began with */
    bool has_old;
    bool has_written; /* a segment of the run has been written */

    struct store_cell *pending; /* what they borrow lives until they are written */
    size_t pending_count;
    size_t pending_capacity;
    size_t pending_bytes;
    struct cellar_buffer last_position; /* of the last cell written in the run */
    struct cellar_buffer value;
    struct cellar_buffer key;
    uint64_t item_count; /* segments written or removed, by all runs */
};

/** Frees what a packer holds. */
void store_packer_fini(struct store_packer *packer);

/** Begins a run; out_key, next_key and old_value are then the caller's to set. */
void store_packer_begin(struct store_packer *packer, struct cellar_slice row_key);

/** Takes the next cell, in order; writes segments that are full. As store_env_put(). */
enum cellar_status store_packer_add(struct store_packer *packer, const struct store_cell *cell)
    CELLAR_MUST_USE;

/** Writes all that is pending. As above. */
enum cellar_status store_packer_flush(struct store_packer *packer) CELLAR_MUST_USE;

/** Makes a buffer hold a copy. NO_MEMORY. */
enum cellar_status store_packer_set(struct cellar_buffer *buffer, struct cellar_slice bytes)
    CELLAR_MUST_USE;

/* ---- pages ----------------------------------------------------------------------------------- */

/** Whether an item fits into the page begun, or nothing but a crumb would be left empty without
 * it. @param bytes  of the item behind its CRC */
bool store_page_takes(const struct store_page_fill *fill, size_t key_bytes, size_t bytes);

/** Counts an item that was appended. */
void store_page_add(struct store_page_fill *fill, size_t key_bytes, size_t bytes);

#endif
