/*
 * Lines out of a stream of bytes.
 *
 * One buffer holds what was read and not yet given; it grows to the longest line and no further
 * than `bytes_max`. A longer line is stepped over piece by piece and given as one that is too long,
 * so that its number can be told and the next lines are read as ever.
 */

#include "client/tools/line_reader.h"

#define READ_BYTES 65536u
#define KEPT_BYTES_MAX                                                                             \
    4194304u /* of the buffer when it holds nothing: a long line comes rarely                      \
              */

void cellar_line_reader_fini(struct cellar_line_reader *reader)
{
    CELLAR_ASSERT(reader->start <= reader->data.bytes);
    cellar_buffer_fini(&reader->data);
    reader->start = 0;
    reader->scanned = 0;
}

/* Reads more behind what is there. */
static enum cellar_status more_read(struct cellar_line_reader *reader, struct cellar_error *error)
{
    CELLAR_ASSERT(!reader->is_end);
    cellar_buffer_consume(&reader->data, reader->start);
    reader->start = 0;
    if (reader->data.bytes == 0 && reader->data.capacity > KEPT_BYTES_MAX) {
        cellar_buffer_fini(&reader->data);
    }
    if (cellar_buffer_reserve(&reader->data, READ_BYTES) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to read line %llu",
                                (unsigned long long)reader->number + 1);
    }
    size_t got = 0;
    CELLAR_TRY(reader->source.read(reader->source.context, reader->data.data + reader->data.bytes,
                                   READ_BYTES, &got, error));
    CELLAR_ASSERT(got <= READ_BYTES);
    reader->is_end = got == 0;
    reader->data.bytes += got;
    return CELLAR_OK;
}

/* Gives the next `bytes` bytes as a line and steps over its newline, if it has one. */
static void line_give(struct cellar_line_reader *reader, size_t bytes, bool has_newline,
                      struct cellar_line *line)
{
    CELLAR_ASSERT(reader->start + bytes + (has_newline ? 1u : 0u) <= reader->data.bytes);
    reader->number++;
    CELLAR_ASSERT(reader->number > 0);
    *line = (struct cellar_line){.number = reader->number,
                                 .has_newline = has_newline,
                                 .is_too_long = reader->is_skipping || bytes > reader->bytes_max};
    if (!line->is_too_long && bytes > 0) {
        line->text = cellar_slice_make(reader->data.data + reader->start, bytes);
    }
    reader->start += bytes + (has_newline ? 1u : 0u);
    reader->position += bytes + (has_newline ? 1u : 0u);
    reader->scanned = 0;
    reader->is_skipping = false;
}

enum cellar_status cellar_line_reader_next(struct cellar_line_reader *reader,
                                           struct cellar_line *line, bool *has_line,
                                           struct cellar_error *error)
{
    CELLAR_ASSERT(reader->bytes_max > 0);
    for (;;) {
        size_t left = reader->data.bytes - reader->start;
        const uint8_t *start = left == 0 ? NULL : reader->data.data + reader->start;
        CELLAR_ASSERT(reader->scanned <= left);
        const uint8_t *newline =
            start == NULL || left == reader->scanned
                ? NULL
                : memchr(start + reader->scanned, '\n', left - reader->scanned);
        *has_line = newline != NULL || (reader->is_end && (left > 0 || reader->is_skipping));
        if (*has_line) {
            line_give(reader, newline == NULL ? left : (size_t)(newline - start), newline != NULL,
                      line);
            return CELLAR_OK;
        }
        if (reader->is_end) {
            return CELLAR_OK;
        }
        reader->scanned = left;
        /* The line is too long already: forget what is there and look for its end only. */
        if (left > reader->bytes_max) {
            reader->is_skipping = true;
            reader->position += left;
            reader->start = reader->data.bytes;
            reader->scanned = 0;
        }
        CELLAR_TRY(more_read(reader, error));
    }
}

enum cellar_status cellar_line_reader_skip(struct cellar_line_reader *reader, uint64_t position,
                                           uint64_t number, struct cellar_error *error)
{
    CELLAR_ASSERT(position >= reader->position && !reader->is_skipping);
    while (reader->position < position) {
        size_t left = reader->data.bytes - reader->start;
        size_t dropped = (size_t)CELLAR_MIN((uint64_t)left, position - reader->position);
        reader->start += dropped;
        reader->position += dropped;
        reader->scanned = 0;
        if (reader->position == position) {
            break;
        }
        if (reader->source.skip != NULL) {
            CELLAR_TRY(
                reader->source.skip(reader->source.context, position - reader->position, error));
            reader->position = position;
        } else if (reader->is_end) {
            return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                    "The input ends before the place where to go on");
        } else {
            CELLAR_TRY(more_read(reader, error));
        }
    }
    reader->number = number;
    return CELLAR_OK;
}
