#ifndef CELLAR_IO_OUTPUT_H
#define CELLAR_IO_OUTPUT_H

#include "common/buf.h"
#include "server/io/budget.h"

/*
 * What a connection has to send: one buffer, appended to at its end and sent from its front. Its
 * size is counted against a budget, which never stops an append; who streams asks before the next
 * part. One loop's thread owns it.
 */

/** Zero but for `budget`: empty. */
struct io_output {
    struct cellar_buffer bytes; /* appended to by anybody; the first `sent` bytes are gone */
    size_t sent;
    uint64_t charged_bytes;
    struct io_budget *budget;
};

/** How many bytes wait to be sent. */
size_t io_output_waiting(const struct io_output *output);

/**
 * Sends what the socket takes now.
 *
 * @param sent_bytes  receives how much that was; 0 on failure
 * @return CELLAR_OK, also when nothing or not all was taken; CELLAR_IO_ERROR when the peer is gone
 */
enum cellar_status io_output_send(struct io_output *output, int fd, size_t *sent_bytes)
    CELLAR_MUST_USE;

/** Counts the buffer's present size against the budget. */
void io_output_settle(struct io_output *output);

/** Frees the memory if nothing waits to be sent. */
void io_output_trim(struct io_output *output);

/** Drops everything; the output is empty and usable again. */
void io_output_clear(struct io_output *output);

#endif
