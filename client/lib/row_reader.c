/*
 * Rows out of the parts of a READ_ROWS answer.
 *
 * A part is an array of [key, flags, [cells, ...]]. A row that lies in one part whole is read where
 * it lies: key and cells borrow from the part. A row that goes on in the next part is held back:
 * its key and its arrays of cells are copied until the last piece is there, and then read from the
 * copy. So a program never sees half a row, and only rows that are cut cost a copy.
 *
 * The server is not trusted: parts must come in turn, a continuation must have the key of the row
 * it goes on with, arrays must be what segment_cells.h says, sizes are bounded. Pure; belongs to
 * one scan.
 */

#include "client/lib/row_reader.h"

#include <inttypes.h>

#include "client/lib/mutations.h"
#include "common/mem.h"
#include "common/segment_cells.h"

#define ROW_GOES_ON 1u
#define ROW_IS_CONTINUATION 2u

/* One row of a part, as it lies there. */
struct piece {
    struct cellar_slice key;
    uint64_t flags;
    struct cellar_cursor arrays; /* `array_count` arrays of cells */
    uint32_t array_count;
};

void cellar_row_reader_fini(struct cellar_row_reader *reader)
{
    CELLAR_ASSERT(reader->cell_count <= reader->cell_capacity);
    cellar_buffer_fini(&reader->key);
    cellar_buffer_fini(&reader->held);
    cellar_mem_free(reader->cells);
    memset(reader, 0, sizeof *reader);
}

/* The failure for a part that breaks the protocol; the scan ends with it. */
static enum cellar_status broken(struct cellar_error *error, const char *what)
{
    CELLAR_ASSERT(what != NULL);
    return cellar_error_set(error, CELLAR_IO_ERROR, "The server broke the protocol: %s", what);
}

enum cellar_status cellar_row_reader_part(struct cellar_row_reader *reader,
                                          struct cellar_slice body, bool is_last,
                                          struct cellar_error *error)
{
    struct cellar_msg_read_rows_reply reply;
    CELLAR_ASSERT(reader->rows_left == 0 && !reader->is_last);
    if (cellar_message_decode(&cellar_msg_read_rows_reply_type, body, &reply, CELLAR_UNKNOWN_SKIP,
                              error) != CELLAR_OK) {
        return broken(error, "a part of a read cannot be read");
    }
    if (reply.part != reader->part_next) {
        return cellar_error_set(error, CELLAR_IO_ERROR,
                                "The server broke the protocol: part %" PRIu64
                                " of a read came where %" PRIu64 " was due",
                                reply.part, reader->part_next);
    }
    reader->part_next++;
    reader->is_last = is_last;
    if (reply.rows.bytes == 0) {
        return CELLAR_OK;
    }
    reader->from = cellar_cursor_make(reply.rows);
    if (!cellar_wire_get_array(&reader->from, &reader->rows_left)) {
        return broken(error, "the rows of a part are no array");
    }
    return CELLAR_OK;
}

/* Takes one row's [key, flags, [cells, ...]]; elements behind these are stepped over. */
static bool piece_take(struct cellar_cursor *from, struct piece *piece)
{
    uint32_t count;
    *piece = (struct piece){.array_count = 0};
    if (!cellar_wire_get_array(from, &count) || count < 2 ||
        !cellar_wire_get_bytes(from, &piece->key) || !cellar_wire_get_u64(from, &piece->flags)) {
        return false;
    }
    for (uint32_t index = 2; index < count; index++) {
        struct cellar_slice element;
        if (!cellar_wire_skip(from, &element)) {
            return false;
        }
        if (index == 2) {
            piece->arrays = cellar_cursor_make(element);
            if (!cellar_wire_get_array(&piece->arrays, &piece->array_count)) {
                return false;
            }
        }
    }
    CELLAR_ASSERT(from->at <= from->end);
    return piece->key.bytes >= 1 && piece->key.bytes <= CELLAR_ROW_BYTES_MAX;
}

/* Checks that the piece may stand behind what came before it. */
static enum cellar_status piece_check(const struct cellar_row_reader *reader,
                                      const struct piece *piece, struct cellar_error *error)
{
    bool is_continuation = (piece->flags & ROW_IS_CONTINUATION) != 0;
    CELLAR_ASSERT(reader->has_held || reader->held_count == 0);
    if (is_continuation != reader->has_held) {
        return broken(error, is_continuation ? "a row goes on that had not begun"
                                             : "a row does not go on as announced");
    }
    if (is_continuation && !cellar_slice_equal(piece->key, cellar_slice_of(&reader->key))) {
        return broken(error, "a row goes on with another key");
    }
    if ((piece->flags & ROW_GOES_ON) != 0 && reader->rows_left > 0) {
        return broken(error, "a row that goes on is not the last of its part");
    }
    return CELLAR_OK;
}

/* Keeps a piece of a row that is not whole, or completes one. */
static enum cellar_status piece_hold(struct cellar_row_reader *reader, const struct piece *piece,
                                     struct cellar_error *error)
{
    size_t bytes = cellar_cursor_left(&piece->arrays);
    CELLAR_ASSERT(reader->held.bytes <= CELLAR_ROW_ANSWER_BYTES_MAX);
    if (piece->array_count == 0) {
        bytes = 0;
    }
    if (bytes > CELLAR_ROW_ANSWER_BYTES_MAX - reader->held.bytes) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "A row of an answer must have at most %u bytes",
                                CELLAR_ROW_ANSWER_BYTES_MAX);
    }
    if (!reader->has_held) {
        cellar_buffer_clear(&reader->key);
        cellar_buffer_clear(&reader->held);
        reader->held_count = 0;
    }
    if ((!reader->has_held &&
         cellar_buffer_append(&reader->key, piece->key.data, piece->key.bytes) != CELLAR_OK) ||
        (bytes > 0 && cellar_buffer_append(&reader->held, piece->arrays.at, bytes) != CELLAR_OK)) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a row");
    }
    reader->has_held = true;
    reader->held_count += piece->array_count;
    return CELLAR_OK;
}

/* Makes room for `more` cells. */
static enum cellar_status cells_reserve(struct cellar_row_reader *reader, size_t more,
                                        struct cellar_error *error)
{
    size_t wanted = reader->cell_count + more;
    CELLAR_ASSERT(reader->cell_count <= CELLAR_ROW_CELL_COUNT_MAX);
    if (wanted > CELLAR_ROW_CELL_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "A row of an answer must have at most %u cells, but got %zu",
                                CELLAR_ROW_CELL_COUNT_MAX, wanted);
    }
    if (wanted <= reader->cell_capacity) {
        return CELLAR_OK;
    }
    size_t capacity = CELLAR_MAX(CELLAR_MAX(reader->cell_capacity * 2, wanted), (size_t)16);
    struct cellar_row_cell *cells =
        cellar_mem_realloc(reader->cells, capacity * sizeof *reader->cells);
    if (cells == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a row of %zu cells",
                                wanted);
    }
    reader->cells = cells;
    reader->cell_capacity = capacity;
    return CELLAR_OK;
}

/* Reads one array of cells behind those of the row so far. */
static enum cellar_status cells_add(struct cellar_row_reader *reader, struct cellar_slice packed,
                                    struct cellar_error *error)
{
    struct cellar_cells_reader cells;
    if (!cellar_cells_open(&cells, packed)) {
        return broken(error, "the cells of a row are no array of fours");
    }
    CELLAR_TRY(cells_reserve(reader, cells.left, error));
    while (cellar_cells_next(&cells)) {
        CELLAR_ASSERT(reader->cell_count < reader->cell_capacity);
        if (cells.is_blob) {
            return broken(error, "a cell's value is no bytes");
        }
        reader->cells[reader->cell_count++] =
            (struct cellar_row_cell){.family = cellar_slice_view(cells.cell.family),
                                     .qualifier = cellar_slice_view(cells.cell.qualifier),
                                     .timestamp_us = cells.cell.timestamp_us,
                                     .value = cellar_slice_view(cells.cell.value)};
    }
    return cellar_cells_is_done(&cells) ? CELLAR_OK : broken(error, "a cell cannot be read");
}

/* Reads all arrays of a whole row. */
static enum cellar_status row_make(struct cellar_row_reader *reader, struct cellar_cursor arrays,
                                   uint32_t array_count, struct cellar_slice key,
                                   struct cellar_row *row, struct cellar_error *error)
{
    reader->cell_count = 0;
    for (uint32_t index = 0; index < array_count; index++) {
        struct cellar_slice packed;
        if (!cellar_wire_skip(&arrays, &packed)) {
            return broken(error, "an array of cells cannot be read");
        }
        CELLAR_TRY(cells_add(reader, packed, error));
    }
    CELLAR_ASSERT(key.bytes >= 1);
    *row = (struct cellar_row){
        .key = cellar_slice_view(key), .cells = reader->cells, .cell_count = reader->cell_count};
    return CELLAR_OK;
}

/* Where there is no row left in this part: whether the answer may pause or end here. */
static enum cellar_status pause_check(const struct cellar_row_reader *reader,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(reader->rows_left == 0);
    if (reader->is_last && reader->has_held) {
        return broken(error, "the answer ends in the middle of a row");
    }
    return CELLAR_OK;
}

enum cellar_status cellar_row_reader_next(struct cellar_row_reader *reader, bool *has_row,
                                          struct cellar_row *row, struct cellar_error *error)
{
    struct piece piece;
    CELLAR_ASSERT(reader->part_next > 0 || reader->rows_left == 0);
    *has_row = false;
    if (reader->rows_left == 0) {
        return pause_check(reader, error);
    }
    if (!piece_take(&reader->from, &piece)) {
        return broken(error, "a row cannot be read");
    }
    reader->rows_left--;
    CELLAR_TRY(piece_check(reader, &piece, error));
    /* A piece that goes on, and every piece behind one, is copied; a whole row is not. */
    bool goes_on = (piece.flags & ROW_GOES_ON) != 0;
    if (goes_on || reader->has_held) {
        CELLAR_TRY(piece_hold(reader, &piece, error));
    }
    if (goes_on) {
        return pause_check(reader, error);
    }
    if (reader->has_held) {
        uint32_t array_count = reader->held_count;
        reader->has_held = false;
        reader->held_count = 0;
        CELLAR_TRY(row_make(reader, cellar_cursor_make(cellar_slice_of(&reader->held)), array_count,
                            cellar_slice_of(&reader->key), row, error));
    } else {
        CELLAR_TRY(row_make(reader, piece.arrays, piece.array_count, piece.key, row, error));
    }
    *has_row = true;
    return CELLAR_OK;
}
