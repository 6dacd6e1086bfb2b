/*
 * Packing one row's cells into segments.
 *
 * Where segments are put between others, each holds about 950 bytes, and what is left at the end
 * goes into two halves rather than a full one and a crumb. Where they are appended, a segment is as
 * large as fits a page twice, and one that the page begun cannot hold is cut there, so that little
 * of a page stays empty; a row whose rest is small goes to the next page whole.
 *
 * LMDB's leaf page: 16 bytes of header, two bytes of index and eight of head an item; an item above
 * half of it has pages of its own, and its number stands in the leaf.
 */
#include "server/storage/packer.h"

#include "common/mem.h"

#define APPEND_BYTES_TARGET 1800u
#define PAGE_BYTES 4096u
#define PAGE_ROOM (PAGE_BYTES - 16u)
#define NODE_BYTES_MAX 2036u /* of head, key and value in a leaf */
#define NODE_HEAD_BYTES 8u
#define NODE_INDEX_BYTES 2u
#define ROOM_CRUMB 512u /* so much of a page may stay empty rather than that a row is cut */

void store_packer_fini(struct store_packer *packer)
{
    cellar_buffer_fini(&packer->out_key);
    cellar_buffer_fini(&packer->next_key);
    cellar_buffer_fini(&packer->old_value);
    cellar_buffer_fini(&packer->last_position);
    cellar_buffer_fini(&packer->value);
    cellar_buffer_fini(&packer->key);
    cellar_mem_free(packer->pending);
    packer->pending = NULL;
    CELLAR_ASSERT(packer->value.data == NULL);
}

void store_packer_begin(struct store_packer *packer, struct cellar_slice row_key)
{
    CELLAR_ASSERT(row_key.bytes > 0 && packer->pending_count == 0);
    packer->row_key = row_key;
    packer->has_old = false;
    packer->has_written = false;
}

enum cellar_status store_packer_set(struct cellar_buffer *buffer, struct cellar_slice bytes)
{
    cellar_buffer_clear(buffer);
    CELLAR_ASSERT(bytes.bytes == 0 || bytes.data != NULL);
    return cellar_buffer_append(buffer, bytes.data, bytes.bytes);
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* What an item takes of a leaf; of a longer key only its first part stands there, with a mark. */
static size_t node_bytes(size_t key_bytes, size_t bytes)
{
    key_bytes = CELLAR_MIN(key_bytes, (size_t)STORE_ENV_KEY_PART_MAX + 1);
    size_t node = NODE_HEAD_BYTES + key_bytes + STORE_ENV_ITEM_HEAD_BYTES + bytes;
    if (node > NODE_BYTES_MAX) {
        node = NODE_HEAD_BYTES + key_bytes + sizeof(uint64_t);
    }
    CELLAR_ASSERT(key_bytes > 0);
    return node + node % 2 + NODE_INDEX_BYTES;
}

bool store_page_takes(const struct store_page_fill *fill, size_t key_bytes, size_t bytes)
{
    CELLAR_ASSERT(fill->room <= PAGE_ROOM);
    return fill->room < ROOM_CRUMB || node_bytes(key_bytes, bytes) <= fill->room;
}

void store_page_add(struct store_page_fill *fill, size_t key_bytes, size_t bytes)
{
    size_t node = node_bytes(key_bytes, bytes);
    size_t room = node <= fill->room ? fill->room : PAGE_ROOM;
    CELLAR_ASSERT(node <= PAGE_ROOM);
    fill->room = room - node;
}

/* How many packed bytes the next segment may have. */
static size_t segment_bytes_max(const struct store_packer *packer)
{
    if (packer->fill == NULL) {
        return STORE_SEGMENT_BYTES_TARGET;
    }
    size_t key_bytes = packer->has_written ? packer->row_key.bytes + packer->last_position.bytes
                                           : packer->out_key.bytes;
    size_t least = node_bytes(key_bytes, STORE_SEGMENT_HEAD_BYTES);
    CELLAR_ASSERT(packer->row_key.bytes > 0);
    if (packer->fill->room < ROOM_CRUMB || packer->fill->room < least + ROOM_CRUMB / 2) {
        return APPEND_BYTES_TARGET;
    }
    return CELLAR_MIN(packer->fill->room - least, (size_t)APPEND_BYTES_TARGET);
}

/* ---- segments -------------------------------------------------------------------------------- */

/* Sets packer->key to the row's part and a column's or cell's position. */
static enum cellar_status key_compose(struct store_packer *packer, struct cellar_slice position)
{
    CELLAR_TRY(store_packer_set(&packer->key, packer->row_key));
    CELLAR_ASSERT(packer->key.bytes == packer->row_key.bytes);
    return cellar_buffer_append(&packer->key, position.data, position.bytes);
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
static enum cellar_status key_is_in_column(struct store_packer *packer, struct cellar_slice key,
                                           const struct store_cell *cell, bool *is_in)
{
    struct cellar_buffer position = {0};
    *is_in = false;
    if (key.bytes <= packer->row_key.bytes) {
        return CELLAR_OK;
    }
    CELLAR_TRY(position_set(&position, cell));
    struct cellar_slice column = cellar_slice_make(position.data, position.bytes - 8);
    struct cellar_slice rest =
        cellar_slice_make(key.data + packer->row_key.bytes, key.bytes - packer->row_key.bytes);
    CELLAR_ASSERT(position.bytes > 8);
    *is_in = cellar_slice_has_prefix(rest, column);
    cellar_buffer_fini(&position);
    return CELLAR_OK;
}

/* The key of the segment that begins with `first`. */
static enum cellar_status segment_key(struct store_packer *packer, const struct store_cell *first)
{
    if (!packer->has_written) {
        return store_packer_set(&packer->key, cellar_slice_of(&packer->out_key));
    }
    struct cellar_buffer position = {0};
    CELLAR_TRY(position_set(&position, first));
    size_t bytes = cellar_key_separator_bytes(cellar_slice_of(&packer->last_position),
                                              cellar_slice_of(&position));
    CELLAR_ASSERT(bytes >= 1 && bytes <= position.bytes);
    enum cellar_status status = key_compose(packer, cellar_slice_make(position.data, bytes));
    cellar_buffer_fini(&position);
    return status;
}

/* Whether the first or last column of a segment goes on in a neighbour. `count` cells of the
 * pending ones are about to be written. */
static enum cellar_status segment_is_shared(struct store_packer *packer, size_t count,
                                            bool *is_shared)
{
    const struct store_cell *first = &packer->pending[0];
    const struct store_cell *last = &packer->pending[count - 1];
    CELLAR_TRY(key_is_in_column(packer, cellar_slice_of(&packer->key), first, is_shared));
    if (*is_shared) {
        return CELLAR_OK;
    }
    if (count < packer->pending_count) {
        *is_shared = store_cell_same_column(last, &packer->pending[count]);
        return CELLAR_OK;
    }
    CELLAR_ASSERT(count == packer->pending_count);
    return key_is_in_column(packer, cellar_slice_of(&packer->next_key), last, is_shared);
}

static void pending_shift(struct store_packer *packer, size_t count)
{
    CELLAR_ASSERT(count <= packer->pending_count);
    packer->pending_count -= count;
    memmove(packer->pending, packer->pending + count,
            packer->pending_count * sizeof *packer->pending);
    packer->pending_bytes = 0;
    for (size_t i = 0; i < packer->pending_count; i++) {
        packer->pending_bytes +=
            store_cell_cost(&packer->pending[i], i == 0 ? NULL : &packer->pending[i - 1]);
    }
}

static enum cellar_status value_write(struct store_packer *packer)
{
    struct cellar_slice key = cellar_slice_of(&packer->key);
    struct cellar_slice value = cellar_slice_of(&packer->value);
    CELLAR_ASSERT(packer->txn->is_write);
    if (packer->fill == NULL) {
        return packer->is_last ? store_env_append(packer->txn, key, value)
                               : store_env_put(packer->txn, key, value);
    }
    store_page_add(packer->fill, key.bytes, value.bytes);
    return store_env_append(packer->txn, key, value);
}

/* Writes the first `count` pending cells as one segment. */
static enum cellar_status segment_write(struct store_packer *packer, size_t count)
{
    bool is_shared = false;
    CELLAR_ASSERT(count >= 1 && count <= packer->pending_count);
    CELLAR_TRY(segment_key(packer, &packer->pending[0]));
    CELLAR_TRY(segment_is_shared(packer, count, &is_shared));
    CELLAR_TRY(store_segment_encode(packer->pending, count, is_shared, &packer->value));
    bool is_unchanged =
        !packer->has_written && packer->has_old &&
        cellar_slice_equal(cellar_slice_of(&packer->value), cellar_slice_of(&packer->old_value));
    if (!is_unchanged) {
        CELLAR_TRY(value_write(packer));
        packer->item_count++;
    }
    CELLAR_TRY(position_set(&packer->last_position, &packer->pending[count - 1]));
    packer->has_written = true;
    pending_shift(packer, count);
    return CELLAR_OK;
}

/* How many of the first pending cells make a segment of at most `bytes_max` bytes; one at least. */
static size_t segment_fill(const struct store_packer *packer, size_t bytes_max)
{
    size_t bytes = 0;
    size_t count = 0;
    CELLAR_ASSERT(packer->pending_count > 0);
    while (count < packer->pending_count && count < STORE_SEGMENT_CELL_COUNT_MAX) {
        const struct store_cell *cell = &packer->pending[count];
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

enum cellar_status store_packer_flush(struct store_packer *packer)
{
    while (packer->pending_count > 0) {
        size_t bytes = packer->pending_bytes;
        size_t target = segment_bytes_max(packer);
        if (packer->fill == NULL && bytes > target && bytes < 2 * target) {
            target = bytes / 2 + 1;
        }
        CELLAR_TRY(segment_write(packer, segment_fill(packer, target)));
    }
    CELLAR_ASSERT(packer->pending_bytes == 0);
    return CELLAR_OK;
}

enum cellar_status store_packer_add(struct store_packer *packer, const struct store_cell *cell)
{
    size_t full = packer->fill == NULL ? STORE_SEGMENT_BYTES_TARGET : APPEND_BYTES_TARGET;
    if (packer->pending_count == packer->pending_capacity) {
        size_t capacity = packer->pending_capacity == 0 ? 64 : packer->pending_capacity * 2;
        void *grown = cellar_mem_realloc(packer->pending, capacity * sizeof *packer->pending);
        if (grown == NULL) {
            return CELLAR_NO_MEMORY;
        }
        packer->pending = grown;
        packer->pending_capacity = capacity;
    }
    const struct store_cell *previous =
        packer->pending_count == 0 ? NULL : &packer->pending[packer->pending_count - 1];
    packer->pending_bytes += store_cell_cost(cell, previous);
    packer->pending[packer->pending_count++] = *cell;
    while (packer->pending_bytes >= 2 * full && packer->pending_count > 1) {
        CELLAR_TRY(segment_write(packer, segment_fill(packer, segment_bytes_max(packer))));
    }
    CELLAR_ASSERT(packer->pending_count > 0);
    return CELLAR_OK;
}
