#ifndef CELLAR_COMMON_SEGMENT_CELLS_H
#define CELLAR_COMMON_SEGMENT_CELLS_H

#include "common/cell.h"
#include "common/wire.h"

/*
 * Packed cells: the form in which cells are stored and sent alike. A MessagePack array of 4
 * elements a cell,
 *
 *     family, qualifier, timestamp, value
 *
 * in the order (family, qualifier, newest first). Family is nil when it is the one of the cell
 * before, qualifier is nil when family and qualifier both are; the first cell of an array names
 * both. A family is a str with its name; inside stores a family of generation > 1 is a bin: name,
 * 00, generation (4 bytes big-endian), which never goes to a client. A value is a bin; in stores it
 * may be an ext of type 1, a reference to a blob; other types are reserved. FORMAT.md, "Segments";
 * PROTOCOL.md, "Rows".
 */

/** Walks packed cells; the current cell's parts borrow from the array's bytes. */
struct cellar_cells_reader {
    struct cellar_cursor from;
    uint32_t left;       /* cells not yet read */
    uint32_t generation; /* of the current cell's family; 1 for a bare name */
    bool is_blob;        /* the current cell's value is a reference to a blob */
    bool column_is_new;  /* the current cell names its qualifier: a column begins in this array */
    struct cellar_cell cell;
};

/** Starts on one array. @return false when it is no array of a multiple of 4 elements */
bool cellar_cells_open(struct cellar_cells_reader *reader, struct cellar_slice packed);

/**
 * Reads the next cell into reader->cell.
 *
 * @return false at the end (left == 0, from.at == from.end) or on damage (anything else); tell them
 *         apart with cellar_cells_is_done()
 */
bool cellar_cells_next(struct cellar_cells_reader *reader);

/** True when every cell was read and no byte is left over. */
bool cellar_cells_is_done(const struct cellar_cells_reader *reader);

/** Bytes of one packed cell at most, with `family` and `qualifier` named. */
size_t cellar_cells_bytes_max(const struct cellar_cell *cell);

/**
 * Writes one cell at `to`, which has room for cellar_cells_bytes_max().
 *
 * @param previous    the cell before in the same array, or NULL for the first; decides what is nil
 * @param generation  of the cell's family; > 1 is written as a bin; `previous_generation` likewise
 * @return the first byte behind it
 */
uint8_t *cellar_cells_put(uint8_t *to, const struct cellar_cell *cell, uint32_t generation,
                          const struct cellar_cell *previous, uint32_t previous_generation);

#define CELLAR_CELL_ELEMENTS 4u /* of an array, a cell */

/**
 * Writes what stands before the value of an array's first cell, and the head of the value.
 *
 * @param to           room as for cellar_cells_put()
 * @param value_bytes  of the value, which follows
 * @return the first byte behind
 */
uint8_t *cellar_cells_put_head(uint8_t *to, const struct cellar_cell *cell, uint32_t value_bytes);

/** The same as cellar_cells_put() for a cell whose value is the reference of a blob,
 * CELLAR_BLOB_BYTES long. */
uint8_t *cellar_cells_put_blob(uint8_t *to, const struct cellar_cell *cell, uint32_t generation,
                               const struct cellar_cell *previous, uint32_t previous_generation);

#endif
