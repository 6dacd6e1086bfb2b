#ifndef CELLAR_TOOLS_ROW_SORTER_H
#define CELLAR_TOOLS_ROW_SORTER_H

#include "common/buf.h"
#include "common/status.h"

/*
 * Rows in any order in, in the order of their keys out. Rows of one key come out in the order in
 * which they were put. What does not fit into memory goes into a file that has no name.
 */

#define CELLAR_SORTER_BYTES_MIN 65536u

struct cellar_row_sorter;

/** A row. */
struct cellar_sorter_row {
    struct cellar_slice key;
    struct cellar_slice body; /* the caller's */
    uint32_t mark;            /* likewise */
};

/**
 * Makes an empty sorter.
 *
 * @param memory_bytes  about so much, at least CELLAR_SORTER_BYTES_MIN
 * @param directory     for the file, which is made when it is needed; borrowed
 * @return NULL without memory
 */
struct cellar_row_sorter *cellar_row_sorter_new(uint64_t memory_bytes, const char *directory)
    CELLAR_MUST_USE;

/** Frees it and its file. Takes NULL. */
void cellar_row_sorter_free(struct cellar_row_sorter *sorter);

/** Copies a row. @return CELLAR_OK; CELLAR_IO_ERROR naming the directory, CELLAR_RESOURCE_EXHAUSTED
 * (the disk is full), CELLAR_NO_MEMORY */
enum cellar_status cellar_row_sorter_put(struct cellar_row_sorter *sorter,
                                         const struct cellar_sorter_row *row,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/** Ends the putting; cellar_row_sorter_next() may follow. Errors as above. */
enum cellar_status cellar_row_sorter_end(struct cellar_row_sorter *sorter,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Takes the next row.
 *
 * @param row      borrowed until the next call
 * @param has_row  receives false at the end
 * @return as above
 */
enum cellar_status cellar_row_sorter_next(struct cellar_row_sorter *sorter,
                                          struct cellar_sorter_row *row, bool *has_row,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** Bytes of all rows that were put, and of those among them that went into the file. */
uint64_t cellar_row_sorter_bytes(const struct cellar_row_sorter *sorter);
uint64_t cellar_row_sorter_spilled_bytes(const struct cellar_row_sorter *sorter);

#endif
