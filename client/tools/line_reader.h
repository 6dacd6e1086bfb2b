#ifndef CELLAR_TOOLS_LINE_READER_H
#define CELLAR_TOOLS_LINE_READER_H

#include "common/buf.h"

/* Lines of a file or pipe, one after the other, in bounded memory. */

/** Zero-initialised but for `fd` and `bytes_max` is before the first line. */
struct cellar_line_reader {
    int fd;           /* borrowed */
    size_t bytes_max; /* of a line; longer ones are stepped over */
    struct cellar_buffer data;
    size_t start;   /* of what was not given yet */
    size_t scanned; /* bytes behind `start` known to hold no newline */
    bool is_end;
    bool is_skipping; /* in a line that is too long */
    uint64_t number;  /* of the last line given */
};

/** One line. */
struct cellar_line {
    struct cellar_slice text; /* without its newline; until the reader's next call */
    uint64_t number;          /* the first is 1 */
    bool is_too_long;         /* stepped over; the text is empty */
};

/**
 * Reads the next line. The last one needs no newline.
 *
 * @param has_line  receives false at the end
 * @return CELLAR_OK; CELLAR_IO_ERROR; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_line_reader_next(struct cellar_line_reader *reader,
                                           struct cellar_line *line, bool *has_line,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** Frees the buffer; the descriptor stays open. */
void cellar_line_reader_fini(struct cellar_line_reader *reader);

#endif
