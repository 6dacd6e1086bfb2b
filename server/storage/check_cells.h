#ifndef CELLAR_STORAGE_CHECK_CELLS_H
#define CELLAR_STORAGE_CHECK_CELLS_H

#include "server/storage/check_blobs.h"
#include "server/storage/check_env.h"

/*
 * The part of the check that looks into items: takes them one by one in key order and holds each
 * against its checksum, its row, the segment before it and the form of its cells.
 */

/** A set of blobs, as far as two are compared: how many, and sums of what they are. */
struct store_check_blobs {
    uint64_t count;
    uint64_t sum;
};

/** Where the reading of items stands. Made by store_check_cells_init(). */
struct store_check_cells {
    struct store_check_report *report;
    const struct store_check_rows *rows;
    struct store_check_place place; /* file and store; what a finding adds is taken back */
    struct cellar_buffer row_key;   /* the current row's part of keys */
    struct cellar_buffer row;       /* the current row's key, plain */
    uint8_t *last;                  /* position of the last cell read in the row */
    size_t last_bytes;              /* 0: not known */
    uint8_t *position;              /* of the current cell */
    bool last_is_multi;             /* the segment before says MULTI */
    bool has_hole;                  /* what lies before the next item could not be read */
    uint64_t item_count;
    uint64_t crc_sum;
    struct store_check_files *files; /* reads what cells name; NULL: nobody */
    struct store_check_blobs named;  /* by cells */
    struct store_check_blobs listed; /* by the environment */
};

/** Prepares for an environment. @param place file and store @return CELLAR_OK, NO_MEMORY */
enum cellar_status store_check_cells_init(struct store_check_cells *cells,
                                          struct store_check_report *report,
                                          const struct store_check_rows *rows,
                                          const struct store_check_place *place) CELLAR_MUST_USE;

void store_check_cells_fini(struct store_check_cells *cells);

/**
 * Takes the next item.
 *
 * @param key     whole
 * @param value   with its checksum
 * @param offset  in the file
 * @return CELLAR_OK whatever is damaged; NO_MEMORY
 */
enum cellar_status store_check_cells_item(struct store_check_cells *cells, struct cellar_slice key,
                                          struct cellar_slice value, uint64_t offset)
    CELLAR_MUST_USE;

/** The same for an item of the map of tokens. NO_MEMORY. */
enum cellar_status store_check_cells_token(struct store_check_cells *cells, struct cellar_slice key,
                                           struct cellar_slice value, uint64_t offset)
    CELLAR_MUST_USE;

/** The same for an item of the list of blobs. NO_MEMORY. */
enum cellar_status store_check_cells_blob(struct store_check_cells *cells, struct cellar_slice key,
                                          struct cellar_slice value, uint64_t offset)
    CELLAR_MUST_USE;

/** Whether cells and list, both read in full, speak of the same blobs. */
bool store_check_blobs_fit(const struct store_check_cells *cells);

/** Says damage of a row whose key, or the beginning of it, is known. NO_MEMORY. */
enum cellar_status store_check_cells_damage(struct store_check_cells *cells,
                                            struct cellar_slice key, uint64_t offset,
                                            const char *why) CELLAR_MUST_USE;

/** The row that a key, or a beginning of one, belongs to, as far as it is there. NO_MEMORY. */
enum cellar_status store_check_row_of(struct cellar_slice key, struct cellar_buffer *row)
    CELLAR_MUST_USE;

#endif
