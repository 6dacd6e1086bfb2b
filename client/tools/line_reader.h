#ifndef CELLAR_TOOLS_LINE_READER_H
#define CELLAR_TOOLS_LINE_READER_H

#include "common/buf.h"

/* Lines of a file or pipe, one after the other, in bounded memory. */

/** Where the bytes come from. */
struct cellar_line_source {
    /** Gives 1..room bytes, or `*got` 0 at the end; a failure is passed on. */
    enum cellar_status (*read)(void *context, uint8_t *to, size_t room, size_t *got,
                               struct cellar_error *error);
    /** Steps over bytes; NULL: they are read and dropped. */
    enum cellar_status (*skip)(void *context, uint64_t bytes, struct cellar_error *error);
    void *context; /* borrowed */
};

/** Zero-initialised but for `source` and `bytes_max` is before the first line. */
struct cellar_line_reader {
    struct cellar_line_source source;
    size_t bytes_max; /* of a line; longer ones are stepped over */
    struct cellar_buffer data;
    size_t start;   /* of what was not given yet */
    size_t scanned; /* bytes behind `start` known to hold no newline */
    bool is_end;
    bool is_skipping;  /* in a line that is too long */
    uint64_t number;   /* of the last line given */
    uint64_t position; /* of the byte behind that line and its newline, from the source's start */
};

/** One line. */
struct cellar_line {
    struct cellar_slice text; /* without its newline; until the reader's next call */
    bool has_newline;         /* it follows the text; false only at the end */
    uint64_t number;          /* the first is 1 */
    bool is_too_long;         /* stepped over; the text is empty */
};

/**
 * Reads the next line. The last one needs no newline.
 *
 * @param has_line  receives false at the end
 * @return CELLAR_OK; what the source returns; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_line_reader_next(struct cellar_line_reader *reader,
                                           struct cellar_line *line, bool *has_line,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Goes on behind a line that was given before, to an earlier reader of the same source.
 *
 * @param position  of the reader after that line; not behind this reader's own
 * @param number    of that line
 * @return CELLAR_OK; what the source returns; CELLAR_FAILED_PRECONDITION when it ends before
 */
enum cellar_status cellar_line_reader_skip(struct cellar_line_reader *reader, uint64_t position,
                                           uint64_t number, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Frees the buffer; the source stays as it is. */
void cellar_line_reader_fini(struct cellar_line_reader *reader);

#endif
