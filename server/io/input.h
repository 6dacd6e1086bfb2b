#ifndef CELLAR_IO_INPUT_H
#define CELLAR_IO_INPUT_H

#include "common/buf.h"
#include "server/io/budget.h"

/*
 * What a connection has received and not yet handled, in a buffer whose size is counted against a
 * budget. One loop's thread owns it.
 */

/* What may be held without asking the budget. */
#define IO_INPUT_FREE_BYTES 16384u

/** Zero but for `budget`: empty. */
struct io_input {
    struct cellar_buffer kept;
    size_t want; /* bytes, from the first kept one, before which nothing can be handled */
    uint64_t charged_bytes;
    struct io_budget *budget;
};

/**
 * Makes room for `bytes` bytes in all.
 *
 * @return CELLAR_OK; CELLAR_RESOURCE_EXHAUSTED (the budget has no room now); CELLAR_NO_MEMORY; the
 *         last two change nothing
 */
enum cellar_status io_input_grow(struct io_input *input, size_t bytes) CELLAR_MUST_USE;

/** Appends `bytes` that have been received already, whether or not the budget has room; the bytes
 * do not overlap the input's own. CELLAR_NO_MEMORY. */
enum cellar_status io_input_keep(struct io_input *input, struct cellar_slice bytes) CELLAR_MUST_USE;

/** Drops the first `bytes` bytes and memory that is no longer needed. */
void io_input_consume(struct io_input *input, size_t bytes);

/** Drops everything; the input is empty and usable again. */
void io_input_clear(struct io_input *input);

#endif
