#ifndef CELLAR_TESTS_SUPPORT_LOAD_WIRE_H
#define CELLAR_TESTS_SUPPORT_LOAD_WIRE_H

#include "common/segment_cells.h"
#include "tests/support/support.h"

/* Rows of a bulk load in wire form. */

/** A cell of short texts; the time is microseconds. */
struct cellar_cell test_load_cell(const char *family, const char *qualifier, int64_t timestamp_us,
                                  const char *value);

/** Appends [key, packed cells]; the array's head is the caller's. Nothing is checked. */
void test_load_row_put(struct cellar_buffer *to, struct cellar_slice key,
                       const struct cellar_cell *cells, size_t cell_count);

#endif
