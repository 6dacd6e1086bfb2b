#ifndef CELLAR_STORAGE_SCRUB_H
#define CELLAR_STORAGE_SCRUB_H

#include "server/storage/check_cells.h"
#include "server/storage/store.h"

/*
 * The scrub of one store while it is served: each item's checksum and place, each segment and cell,
 * the pages they lie in, and in the end count and sum against the state. In slices, so that no read
 * transaction lasts and whoever runs it can rest between two, or stop.
 */

enum store_scrub_map {
    STORE_SCRUB_CELLS,
    STORE_SCRUB_TOKENS,
    STORE_SCRUB_BLOBS,
    STORE_SCRUB_MAP_COUNT
};

/** Where the scrub of a store stands. Made by store_scrub_init(); one thread at a time. */
struct store_scrub {
    struct store_check_report report; /* hands findings on; its counts tell what was read */
    struct store_check_rows rows;
    struct store_check_cells cells;
    struct store_check_files files;
    enum store_scrub_map map;
    struct cellar_buffer place; /* the whole key that was met last; goes on behind it */
    bool has_place;
    size_t txn_id;            /* of the last slice's snapshot; 0: none yet */
    uint64_t generation;      /* and of its environment */
    bool is_one_snapshot;     /* all slices so far saw the same */
    bool has_sums;            /* count and sum were held against the state */
    uint64_t page_faults;     /* pages that could not be read */
    uint64_t layer_entries;   /* entries met behind marks */
    uint64_t byte_count;      /* of keys, values and blobs met */
    uint64_t item_count_left; /* that the newest state counts beyond what was met */
};

/** What a finding is about; see store_check_find(). `place` is never NULL. */
typedef void store_scrub_find_fn(void *context, enum store_check_severity severity,
                                 const struct store_check_place *place, const char *why);

/**
 * Prepares the scrub of a store.
 *
 * @param rows  copied; each function may be NULL
 * @param find  takes findings, inside store_scrub_slice()
 * @return CELLAR_OK, NO_MEMORY
 */
enum cellar_status store_scrub_init(struct store_scrub *scrub, uint32_t store_id,
                                    const struct store_check_rows *rows, store_scrub_find_fn *find,
                                    void *context) CELLAR_MUST_USE;

/** How many items a store's newest checkpoint counts; 0 when it cannot be read. Any thread. */
uint64_t store_scrub_item_count(struct store *store);

/** Frees; at any moment between slices, also after a failed init. */
void store_scrub_fini(struct store_scrub *scrub);

/**
 * Goes on for some bytes in a read transaction of its own.
 *
 * What is damaged is told and stepped over. What was written behind the place since the last slice
 * is met, what was before it is not; only when nothing was committed from the first slice to the
 * last are count and sum compared.
 *
 * @param bytes_max  of keys and values, at least one item
 * @param is_done    receives whether nothing is left
 * @return CELLAR_OK whatever is damaged; NO_MEMORY, RESOURCE_EXHAUSTED (readers), IO_ERROR: the
 *         scrub of this store cannot go on
 * @thread any that may block; it reads the disk
 */
enum cellar_status store_scrub_slice(struct store_scrub *scrub, struct store *store,
                                     uint64_t bytes_max, bool *is_done) CELLAR_MUST_USE;

#endif
