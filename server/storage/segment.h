#ifndef CELLAR_STORAGE_SEGMENT_H
#define CELLAR_STORAGE_SEGMENT_H

#include "common/key.h"
#include "common/segment_cells.h"

/*
 * A packed segment: the item of an environment that holds neighbouring cells of one row. Behind the
 * item's CRC stand 12 bytes of facts, which let a reader decide whether it may send the cells
 * unread, then the packed cells (common/segment_cells.h). FORMAT.md, "Segments".
 */

#define STORE_SEGMENT_HEAD_BYTES 12u
#define STORE_SEGMENT_VERSION 1u
#define STORE_SEGMENT_BYTES_TARGET 934u     /* of packed cells in an item of about 950 bytes */
#define STORE_SEGMENT_VALUE_BYTES_MAX 2048u /* a larger value is an item of its own */
#define STORE_SEGMENT_CELL_COUNT_MAX 16000u
#define STORE_POSITION_BYTES_MAX (CELLAR_KEY_FAMILY_BYTES_MAX + CELLAR_KEY_QUALIFIER_BYTES_MAX + 8u)

/** A column of the segment has several versions, or goes on in a neighbouring segment. */
#define STORE_SEGMENT_MULTI 0x01u
/** A family's generation, a blob reference or an aggregate is in it: not to be sent as it is. */
#define STORE_SEGMENT_MARKED 0x02u
/** A blob reference is in it, which MARKED says too. */
#define STORE_SEGMENT_BLOBS 0x04u

/** A cell with the generation of its family; slices borrow. */
struct store_cell {
    struct cellar_cell cell;
    uint32_t generation;
    bool is_blob; /* the value is a blob's reference */
};

/** A segment as read; `packed` borrows. */
struct store_segment {
    uint8_t flags;
    uint16_t cell_count;
    int64_t oldest_us; /* the smallest timestamp in it */
    struct cellar_slice packed;
};

/** Reads the 12 bytes of facts. @return false on damage or another version */
bool store_segment_decode(struct cellar_slice value, struct store_segment *segment);

/**
 * Packs cells.
 *
 * @param cells     1..STORE_SEGMENT_CELL_COUNT_MAX cells in order
 * @param is_shared the first or last column goes on in a neighbouring segment
 * @param to        emptied first; receives facts and packed cells
 * @return CELLAR_OK, CELLAR_NO_MEMORY
 */
enum cellar_status store_segment_encode(const struct store_cell *cells, size_t count,
                                        bool is_shared, struct cellar_buffer *to) CELLAR_MUST_USE;

/** The bytes that a cell adds to a segment behind `previous` (NULL: as its first). */
size_t store_cell_cost(const struct store_cell *cell, const struct store_cell *previous);

/** Whether two cells are of one column. */
bool store_cell_same_column(const struct store_cell *a, const struct store_cell *b);

/** Writes the cell's position behind its row's part; room: STORE_POSITION_BYTES_MAX. @return bytes
 * written */
size_t store_cell_position(const struct store_cell *cell, uint8_t *to);

/** Writes the position of a column, or with a NULL qualifier of a family; room as above. @return
 * bytes written */
size_t store_column_position(struct cellar_slice family, uint32_t generation,
                             const struct cellar_slice *qualifier, uint8_t *to);

#endif
