/*
 * Writing one row down.
 *
 * Within a row only the regions that entries touch are rewritten; a region is a segment's range of
 * positions, from its key to the key of the next segment of the row:
 *
 *     entries      x     x x                   T----------)
 *     segments  |-----|-------|--------|-----|------|--------|
 *     regions   [rewr.][rewr. ]                [rewritten    ]
 *
 * A region's cells and the entries go through the same merge that readers use, into a list of
 * pending cells; the list is packed into segments of about 950 bytes. While a tombstone reaches on,
 * or when little is pending, the following region is taken in as well, so that no empty first
 * segment and few small ones remain. A row's first segment always has the row's key alone.
 *
 * A row that a range drop covers, or that lies in a range dropped earlier whose items are still
 * here, is rewritten whole, without its base, and taken out of that range.
 *
 * The first segment of a run of regions keeps the key of the region; later ones get the shortest
 * key that separates them from the cell before.
 */
#include "server/storage/row_writer.h"

#include "common/mem.h"

#define PENDING_SMALL_BYTES (STORE_SEGMENT_BYTES_TARGET / 4)

void store_row_writer_begin(struct store_row_writer *writer, const struct store_memtable *memtable)
{
    CELLAR_ASSERT(writer->txn.is_write);
    store_merge_init(&writer->merge, &memtable, 1, UINT64_MAX);
    store_env_cursor_init(&writer->cursor, &writer->txn);
}

void store_row_writer_fini(struct store_row_writer *writer)
{
    store_env_cursor_fini(&writer->cursor);
    store_merge_fini(&writer->merge);
    cellar_buffer_fini(&writer->out_key);
    cellar_buffer_fini(&writer->next_key);
    cellar_buffer_fini(&writer->old_value);
    cellar_buffer_fini(&writer->last_position);
    cellar_buffer_fini(&writer->value);
    cellar_buffer_fini(&writer->key);
    cellar_arena_fini(&writer->copies);
    store_range_set_fini(&writer->hidden);
    cellar_mem_free(writer->pending);
    CELLAR_ASSERT(writer->copies.newest == NULL);
}

static bool key_is_of_row(const struct store_row_writer *writer, struct cellar_slice key)
{
    CELLAR_ASSERT(writer->row_key.bytes > 0);
    return cellar_slice_has_prefix(key, writer->row_key);
}

static enum cellar_status buffer_set(struct cellar_buffer *buffer, struct cellar_slice bytes)
{
    cellar_buffer_clear(buffer);
    CELLAR_ASSERT(bytes.bytes == 0 || bytes.data != NULL);
    return cellar_buffer_append(buffer, bytes.data, bytes.bytes);
}

enum cellar_status store_row_writer_behind(struct store_row_writer *writer,
                                           struct cellar_slice row_key)
{
    CELLAR_TRY(buffer_set(&writer->key, row_key));
    cellar_key_pass_row(writer->key.data, writer->key.bytes);
    return CELLAR_OK;
}

/* ---- packing pending cells into segments ----------------------------------------------------- */

/* Sets writer->key to the row's part and a column's or cell's position. */
static enum cellar_status key_compose(struct store_row_writer *writer, struct cellar_slice position)
{
    CELLAR_TRY(buffer_set(&writer->key, writer->row_key));
    CELLAR_ASSERT(writer->key.bytes == writer->row_key.bytes);
    return cellar_buffer_append(&writer->key, position.data, position.bytes);
}

static enum cellar_status position_set(struct cellar_buffer *buffer, const struct store_cell *cell)
{
    cellar_buffer_clear(buffer);
    CELLAR_TRY(cellar_buffer_reserve(buffer, CELLAR_KEY_FAMILY_BYTES_MAX + 10 +
                                                 2 * cell->cell.qualifier.bytes));
    buffer->bytes = store_cell_position(cell, buffer->data);
    CELLAR_ASSERT(buffer->bytes <= buffer->capacity);
    return CELLAR_OK;
}

/* Whether a whole key lies inside the column of a cell: the column goes on there. */
static enum cellar_status key_is_in_column(struct store_row_writer *writer, struct cellar_slice key,
                                           const struct store_cell *cell, bool *is_in)
{
    struct cellar_buffer position = {0};
    *is_in = false;
    if (key.bytes <= writer->row_key.bytes) {
        return CELLAR_OK;
    }
    CELLAR_TRY(position_set(&position, cell));
    struct cellar_slice column = cellar_slice_make(position.data, position.bytes - 8);
    struct cellar_slice rest =
        cellar_slice_make(key.data + writer->row_key.bytes, key.bytes - writer->row_key.bytes);
    CELLAR_ASSERT(position.bytes > 8);
    *is_in = cellar_slice_has_prefix(rest, column);
    cellar_buffer_fini(&position);
    return CELLAR_OK;
}

/* The key of the segment that begins with `first`. */
static enum cellar_status segment_key(struct store_row_writer *writer,
                                      const struct store_cell *first)
{
    if (!writer->has_written) {
        return buffer_set(&writer->key, cellar_slice_of(&writer->out_key));
    }
    struct cellar_buffer position = {0};
    CELLAR_TRY(position_set(&position, first));
    size_t bytes = cellar_key_separator_bytes(cellar_slice_of(&writer->last_position),
                                              cellar_slice_of(&position));
    CELLAR_ASSERT(bytes >= 1 && bytes <= position.bytes);
    enum cellar_status status = key_compose(writer, cellar_slice_make(position.data, bytes));
    cellar_buffer_fini(&position);
    return status;
}

/* Whether the first or last column of a segment goes on in a neighbour. `count` cells of the
 * pending ones are about to be written. */
static enum cellar_status segment_is_shared(struct store_row_writer *writer, size_t count,
                                            bool *is_shared)
{
    const struct store_cell *first = &writer->pending[0];
    const struct store_cell *last = &writer->pending[count - 1];
    CELLAR_TRY(key_is_in_column(writer, cellar_slice_of(&writer->key), first, is_shared));
    if (*is_shared) {
        return CELLAR_OK;
    }
    if (count < writer->pending_count) {
        *is_shared = store_cell_same_column(last, &writer->pending[count]);
        return CELLAR_OK;
    }
    CELLAR_ASSERT(count == writer->pending_count);
    return key_is_in_column(writer, cellar_slice_of(&writer->next_key), last, is_shared);
}

static void pending_shift(struct store_row_writer *writer, size_t count)
{
    CELLAR_ASSERT(count <= writer->pending_count);
    writer->pending_count -= count;
    memmove(writer->pending, writer->pending + count,
            writer->pending_count * sizeof *writer->pending);
    writer->pending_bytes = 0;
    for (size_t i = 0; i < writer->pending_count; i++) {
        writer->pending_bytes +=
            store_cell_cost(&writer->pending[i], i == 0 ? NULL : &writer->pending[i - 1]);
    }
}

/* Writes the first `count` pending cells as one segment. */
static enum cellar_status segment_write(struct store_row_writer *writer, size_t count)
{
    bool is_shared = false;
    CELLAR_ASSERT(count >= 1 && count <= writer->pending_count);
    CELLAR_TRY(segment_key(writer, &writer->pending[0]));
    CELLAR_TRY(segment_is_shared(writer, count, &is_shared));
    CELLAR_TRY(store_segment_encode(writer->pending, count, is_shared, &writer->value));
    bool is_unchanged =
        !writer->has_written && writer->has_old &&
        cellar_slice_equal(cellar_slice_of(&writer->value), cellar_slice_of(&writer->old_value));
    if (!is_unchanged) {
        CELLAR_TRY(store_env_put(&writer->txn, cellar_slice_of(&writer->key),
                                 cellar_slice_of(&writer->value)));
        writer->item_count++;
    }
    CELLAR_TRY(position_set(&writer->last_position, &writer->pending[count - 1]));
    writer->has_written = true;
    pending_shift(writer, count);
    return CELLAR_OK;
}

/* How many of the first pending cells make a segment of at most `bytes_max` bytes; one at least. */
static size_t segment_fill(const struct store_row_writer *writer, size_t bytes_max)
{
    size_t bytes = 0;
    size_t count = 0;
    CELLAR_ASSERT(writer->pending_count > 0);
    while (count < writer->pending_count && count < STORE_SEGMENT_CELL_COUNT_MAX) {
        const struct store_cell *cell = &writer->pending[count];
        bool is_large = cell->cell.value.bytes > STORE_SEGMENT_VALUE_BYTES_MAX;
        bytes += store_cell_cost(cell, count == 0 ? NULL : cell - 1);
        if (count > 0 && (bytes > bytes_max || is_large)) {
            break;
        }
        count++;
        if (is_large) {
            break;
        }
    }
    return count;
}

/* Writes all pending cells: full segments, then what is left in two halves rather than a full one
 * and a crumb. */
static enum cellar_status pending_flush(struct store_row_writer *writer)
{
    while (writer->pending_count > 0) {
        size_t bytes = writer->pending_bytes;
        size_t target = bytes > STORE_SEGMENT_BYTES_TARGET && bytes < 2 * STORE_SEGMENT_BYTES_TARGET
                            ? bytes / 2 + 1
                            : STORE_SEGMENT_BYTES_TARGET;
        CELLAR_TRY(segment_write(writer, segment_fill(writer, target)));
    }
    CELLAR_ASSERT(writer->pending_bytes == 0);
    return CELLAR_OK;
}

static enum cellar_status pending_add(struct store_row_writer *writer,
                                      const struct store_cell *cell)
{
    if (writer->pending_count == writer->pending_capacity) {
        size_t capacity = writer->pending_capacity == 0 ? 64 : writer->pending_capacity * 2;
        void *grown = cellar_mem_realloc(writer->pending, capacity * sizeof *writer->pending);
        if (grown == NULL) {
            return CELLAR_NO_MEMORY;
        }
        writer->pending = grown;
        writer->pending_capacity = capacity;
    }
    const struct store_cell *previous =
        writer->pending_count == 0 ? NULL : &writer->pending[writer->pending_count - 1];
    writer->pending_bytes += store_cell_cost(cell, previous);
    writer->pending[writer->pending_count++] = *cell;
    while (writer->pending_bytes >= 2 * STORE_SEGMENT_BYTES_TARGET && writer->pending_count > 1) {
        CELLAR_TRY(segment_write(writer, segment_fill(writer, STORE_SEGMENT_BYTES_TARGET)));
    }
    CELLAR_ASSERT(writer->pending_count > 0);
    return CELLAR_OK;
}

/* ---- regions --------------------------------------------------------------------------------- */

/* Hands the region's one array of packed cells to the merge. */
static enum cellar_status base_give(void *context, struct cellar_slice *packed, bool *has_more)
{
    struct store_row_writer *writer = context;
    *has_more = writer->base.bytes > 0;
    *packed = writer->base;
    writer->base = cellar_slice_make(NULL, 0);
    CELLAR_ASSERT(!*has_more || packed->data != NULL);
    return CELLAR_OK;
}

/* Takes the segment under the cursor as the region: copies its cells, looks up the key behind it.
 */
static enum cellar_status region_load(struct store_row_writer *writer)
{
    struct store_segment segment;
    struct store_env_cursor *cursor = &writer->cursor;
    CELLAR_ASSERT(cursor->is_valid);
    CELLAR_TRY(store_env_cursor_check(cursor));
    if (!store_segment_decode(cursor->value, &segment)) {
        return CELLAR_DATA_LOSS;
    }
    uint8_t *copy = cellar_arena_copy(&writer->copies, segment.packed.data, segment.packed.bytes);
    if (copy == NULL) {
        return CELLAR_NO_MEMORY;
    }
    writer->base = cellar_slice_make(copy, segment.packed.bytes);
    if (writer->region_count == 0) {
        CELLAR_TRY(buffer_set(&writer->out_key, cellar_slice_of(&cursor->key)));
        CELLAR_TRY(buffer_set(&writer->old_value, cursor->value));
        writer->has_old = true;
    }
    CELLAR_TRY(store_env_cursor_next(cursor));
    bool has_next = cursor->is_valid && key_is_of_row(writer, cellar_slice_of(&cursor->key));
    return buffer_set(&writer->next_key,
                      has_next ? cellar_slice_of(&cursor->key) : cellar_slice_make(NULL, 0));
}

/* Begins a run at the region that holds `key`; a row that LMDB lacks is one region without base. */
static enum cellar_status run_begin(struct store_row_writer *writer, struct cellar_slice key)
{
    struct store_env_cursor *cursor = &writer->cursor;
    writer->has_old = false;
    writer->has_written = false;
    writer->region_count = 0;
    writer->base = cellar_slice_make(NULL, 0);
    CELLAR_TRY(store_env_cursor_seek_floor(cursor, key));
    if (cursor->is_valid && key_is_of_row(writer, cellar_slice_of(&cursor->key))) {
        CELLAR_TRY(region_load(writer));
    } else {
        CELLAR_TRY(buffer_set(&writer->out_key, writer->row_key));
        cellar_buffer_clear(&writer->next_key);
    }
    CELLAR_ASSERT(writer->pending_count == 0);
    return CELLAR_OK;
}

/* Merges the region's cells and entries into the pending cells. */
static enum cellar_status region_merge(struct store_row_writer *writer)
{
    struct store_cell cell;
    bool has_cell = true;
    store_merge_base_set(&writer->merge, base_give, writer, cellar_slice_of(&writer->next_key));
    writer->region_count++;
    while (has_cell) {
        CELLAR_TRY(store_merge_next(&writer->merge, &cell, &has_cell));
        if (has_cell) {
            CELLAR_TRY(pending_add(writer, &cell));
        }
    }
    CELLAR_ASSERT(writer->region_count > 0);
    return CELLAR_OK;
}

/* Whether the run takes in the region behind: a tombstone reaches into it, or the run would leave a
 * crumb, or a row without its first segment. */
static bool run_goes_on(const struct store_row_writer *writer)
{
    struct cellar_slice next_key = cellar_slice_of(&writer->next_key);
    CELLAR_ASSERT(writer->region_count > 0);
    if (next_key.bytes == 0) {
        return false;
    }
    bool is_first = writer->out_key.bytes == writer->row_key.bytes;
    bool is_crumb = !writer->has_written && writer->pending_bytes < PENDING_SMALL_BYTES &&
                    (is_first || writer->pending_count > 0);
    return is_crumb || store_merge_covers(&writer->merge, next_key);
}

/* Takes in the region behind: its segment goes, its cells come. */
static enum cellar_status run_extend(struct store_row_writer *writer)
{
    struct store_env_cursor *cursor = &writer->cursor;
    CELLAR_TRY(buffer_set(&writer->key, cellar_slice_of(&writer->next_key)));
    CELLAR_TRY(store_env_cursor_seek(cursor, cellar_slice_of(&writer->key)));
    if (!cursor->is_valid ||
        !cellar_slice_equal(cellar_slice_of(&cursor->key), cellar_slice_of(&writer->key))) {
        return CELLAR_DATA_LOSS;
    }
    CELLAR_TRY(region_load(writer));
    CELLAR_ASSERT(writer->base.bytes > 0);
    return store_env_delete(&writer->txn, cellar_slice_of(&writer->key));
}

/* Ends a run: writes what is pending; a run that left nothing loses the segment it began with. */
static enum cellar_status run_end(struct store_row_writer *writer)
{
    CELLAR_TRY(pending_flush(writer));
    cellar_arena_reset(&writer->copies);
    CELLAR_ASSERT(writer->pending_count == 0);
    if (writer->has_written || !writer->has_old) {
        return CELLAR_OK;
    }
    writer->item_count++;
    return store_env_delete(&writer->txn, cellar_slice_of(&writer->out_key));
}

/* Takes a row that has been rewritten out of the dropped ranges: what it has now is new. */
static enum cellar_status row_unhide(struct store_row_writer *writer)
{
    struct store_range row = {.start = writer->row_key};
    CELLAR_TRY(store_row_writer_behind(writer, writer->row_key));
    row.end = cellar_slice_of(&writer->key);
    CELLAR_ASSERT(row.end.bytes == row.start.bytes);
    writer->has_cut = true;
    return store_range_set_cut(&writer->hidden, row);
}

/* A row that was dropped is rewritten from its start to its end, so that no old segment is left. */
enum cellar_status store_row_write(struct store_row_writer *writer, const struct store_entry *first)
{
    struct cellar_slice row_key = store_entry_row(first);
    writer->row_key = row_key;
    bool has_entries = store_merge_row(&writer->merge, row_key, &first, NULL, NULL);
    bool is_hidden = store_range_set_find(&writer->hidden, row_key) != NULL;
    if (is_hidden) {
        store_merge_base_hide(&writer->merge);
    }
    bool is_dropped = store_merge_base_is_hidden(&writer->merge);
    CELLAR_ASSERT(has_entries);
    for (const struct store_entry *entry = store_merge_peek(&writer->merge); entry != NULL;
         entry = store_merge_peek(&writer->merge)) {
        CELLAR_TRY(run_begin(writer, is_dropped ? row_key : store_entry_key(entry)));
        CELLAR_TRY(region_merge(writer));
        while (run_goes_on(writer)) {
            CELLAR_TRY(run_extend(writer));
            CELLAR_TRY(region_merge(writer));
        }
        CELLAR_TRY(run_end(writer));
    }
    return is_hidden ? row_unhide(writer) : CELLAR_OK;
}
