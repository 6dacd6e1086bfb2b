#ifndef CELLAR_CLIENT_ROW_READER_H
#define CELLAR_CLIENT_ROW_READER_H

#include <cellar/cellar.h>

#include "common/cell.h"
#include "common/message.h"

/* The parts of a READ_ROWS answer in, whole rows out. PROTOCOL.md, "Rows". */

#define CELLAR_ROW_CELL_COUNT_MAX 16777216u /* cells that a row given to a program may have */

/** Where an answer stands; zero-initialised is before its first part. Fields belong to the .c. */
struct cellar_row_reader {
    struct cellar_cursor from; /* the rows of the part not yet read */
    uint32_t rows_left;
    uint64_t part_next;        /* the number of the next part */
    bool is_last;              /* the part was the REPLY */
    bool has_held;             /* a row goes on in the next part */
    struct cellar_buffer key;  /* of that row */
    struct cellar_buffer held; /* its arrays of cells, one behind the other */
    uint32_t held_count;       /* arrays in `held` */
    struct cellar_row_cell *cells;
    size_t cell_count;
    size_t cell_capacity;
};

/** Frees the reader's memory; it is before its first part again. */
void cellar_row_reader_fini(struct cellar_row_reader *reader);

/**
 * Takes the next part. All rows of the part before were read.
 *
 * @param body     the message; borrowed until the next part
 * @param is_last  it is the REPLY
 * @return CELLAR_OK; CELLAR_IO_ERROR when it is malformed or out of turn
 */
enum cellar_status cellar_row_reader_part(struct cellar_row_reader *reader,
                                          struct cellar_slice body, bool is_last,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Reads the next whole row.
 *
 * @param has_row  receives false when the next part is needed, or after the last one
 * @param row      receives the row, until the reader's next call
 * @return CELLAR_OK; CELLAR_IO_ERROR for what breaks the protocol; CELLAR_RESOURCE_EXHAUSTED for a
 *         row above CELLAR_ROW_ANSWER_BYTES_MAX bytes or CELLAR_ROW_CELL_COUNT_MAX cells;
 *         CELLAR_NO_MEMORY
 */
enum cellar_status cellar_row_reader_next(struct cellar_row_reader *reader, bool *has_row,
                                          struct cellar_row *row, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
