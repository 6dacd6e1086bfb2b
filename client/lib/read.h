#ifndef CELLAR_CLIENT_READ_H
#define CELLAR_CLIENT_READ_H

#include <cellar/cellar.h>

#include "common/message.h"

/* The request behind `struct cellar_read`. */

struct cellar_read {
    struct cellar_buffer keys; /* encoded elements, without the arrays' headers */
    struct cellar_buffer ranges;
    struct cellar_buffer columns;
    uint32_t key_count;
    uint32_t range_count;
    uint32_t column_count;
    int64_t rows_limit;
    int64_t versions;
    bool is_reversed;
    bool is_keys_only;
    struct cellar_error error; /* the first failure; CELLAR_OK when there was none */
};

/** The failure a read carries: its own, or CELLAR_NO_MEMORY for NULL. */
enum cellar_status cellar_read_error(const struct cellar_read *read, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * A row by which the server of the first rows can be found.
 *
 * @param row  receives it; borrowed from the read
 * @return false when the read begins with no row that is named: backwards, or without a bound
 */
bool cellar_read_place(const struct cellar_read *read, struct cellar_slice *row);

/** What READ_ROWS asks beside its rows and columns. */
struct cellar_read_terms {
    struct cellar_slice table;
    uint64_t credit_bytes;
    uint64_t timeout_us; /* 0 = none */
};

/** Appends a READ_ROWS body; CELLAR_NO_MEMORY. */
enum cellar_status cellar_read_encode(const struct cellar_read *read,
                                      const struct cellar_read_terms *terms,
                                      struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
