/*
 * Packed segments. FORMAT.md, "Segments".
 *
 *     version 1 | flags 1 | cell count 2 | oldest timestamp 8 | packed cells ...
 *
 * The packed cells begin with an array header of the 16-bit form, so that a segment's size does not
 * depend on the count. They are exactly what the native protocol sends for these cells; MARKED says
 * that this does not hold. All functions are pure.
 */
#include "server/storage/segment.h"

#define ARRAY16 0xDCu
#define ARRAY16_BYTES 3u

bool store_segment_decode(struct cellar_slice value, struct store_segment *segment)
{
    if (value.bytes < STORE_SEGMENT_HEAD_BYTES + 1 || value.data[0] != STORE_SEGMENT_VERSION) {
        return false;
    }
    segment->flags = value.data[1];
    segment->cell_count = cellar_get_u16le(value.data + 2);
    segment->oldest_us = (int64_t)cellar_get_u64le(value.data + 4);
    segment->packed = cellar_slice_make(value.data + STORE_SEGMENT_HEAD_BYTES,
                                        value.bytes - STORE_SEGMENT_HEAD_BYTES);
    CELLAR_ASSERT(segment->packed.bytes > 0);
    return segment->cell_count > 0 && segment->oldest_us >= 0;
}

bool store_cell_same_column(const struct store_cell *a, const struct store_cell *b)
{
    CELLAR_ASSERT(a != NULL && b != NULL);
    return a->generation == b->generation &&
           cellar_slice_equal(a->cell.qualifier, b->cell.qualifier) &&
           cellar_slice_equal(a->cell.family, b->cell.family);
}

size_t store_cell_cost(const struct store_cell *cell, const struct store_cell *previous)
{
    size_t bytes = 1 + 1 + 9 + 3 + cell->cell.value.bytes;
    bool same_family = previous != NULL && previous->generation == cell->generation &&
                       cellar_slice_equal(previous->cell.family, cell->cell.family);
    if (!same_family) {
        bytes += cell->cell.family.bytes + 6;
    }
    if (!same_family || !cellar_slice_equal(previous->cell.qualifier, cell->cell.qualifier)) {
        bytes += cell->cell.qualifier.bytes + 2;
    }
    CELLAR_ASSERT(bytes > cell->cell.value.bytes);
    return bytes;
}

static size_t bytes_max(const struct store_cell *cells, size_t count)
{
    size_t bytes = STORE_SEGMENT_HEAD_BYTES + ARRAY16_BYTES;
    for (size_t i = 0; i < count; i++) {
        bytes += cellar_cells_bytes_max(&cells[i].cell);
    }
    CELLAR_ASSERT(count > 0);
    return bytes;
}

typedef uint8_t *cell_put_fn(uint8_t *to, const struct cellar_cell *cell, uint32_t generation,
                             const struct cellar_cell *previous, uint32_t previous_generation);

enum cellar_status store_segment_encode(const struct store_cell *cells, size_t count,
                                        bool is_shared, struct cellar_buffer *to)
{
    CELLAR_ASSERT(count >= 1 && count <= STORE_SEGMENT_CELL_COUNT_MAX);
    cellar_buffer_clear(to);
    CELLAR_TRY(cellar_buffer_reserve(to, bytes_max(cells, count)));
    uint8_t flags = is_shared ? STORE_SEGMENT_MULTI : 0;
    int64_t oldest_us = INT64_MAX;
    uint8_t *at = to->data + STORE_SEGMENT_HEAD_BYTES;
    at[0] = ARRAY16;
    cellar_put_u16be(at + 1, (uint16_t)(count * 4));
    at += ARRAY16_BYTES;
    for (size_t i = 0; i < count; i++) {
        const struct store_cell *previous = i == 0 ? NULL : &cells[i - 1];
        cell_put_fn *put = cells[i].is_blob ? cellar_cells_put_blob : cellar_cells_put;
        at = put(at, &cells[i].cell, cells[i].generation, previous == NULL ? NULL : &previous->cell,
                 previous == NULL ? 0 : previous->generation);
        if (previous != NULL && store_cell_same_column(previous, &cells[i])) {
            flags |= STORE_SEGMENT_MULTI;
        }
        if (cells[i].generation > 1) {
            flags |= STORE_SEGMENT_MARKED;
        }
        if (cells[i].is_blob) {
            flags |= STORE_SEGMENT_MARKED | STORE_SEGMENT_BLOBS;
        }
        oldest_us = CELLAR_MIN(oldest_us, cells[i].cell.timestamp_us);
    }
    to->data[0] = STORE_SEGMENT_VERSION;
    to->data[1] = flags;
    cellar_put_u16le(to->data + 2, (uint16_t)count);
    cellar_put_u64le(to->data + 4, (uint64_t)oldest_us);
    to->bytes = (size_t)(at - to->data);
    CELLAR_ASSERT(to->bytes <= to->capacity);
    return CELLAR_OK;
}

size_t store_cell_position(const struct store_cell *cell, uint8_t *to)
{
    uint8_t *end = cellar_key_put_family(to, cell->cell.family, cell->generation);
    end = cellar_key_put_escaped(end, cell->cell.qualifier);
    end = cellar_key_put_timestamp(end, cell->cell.timestamp_us);
    CELLAR_ASSERT((size_t)(end - to) <= STORE_POSITION_BYTES_MAX);
    return (size_t)(end - to);
}

size_t store_column_position(struct cellar_slice family, uint32_t generation,
                             const struct cellar_slice *qualifier, uint8_t *to)
{
    uint8_t *end = cellar_key_put_family(to, family, generation);
    if (qualifier != NULL) {
        end = cellar_key_put_escaped(end, *qualifier);
    }
    CELLAR_ASSERT((size_t)(end - to) <= STORE_POSITION_BYTES_MAX);
    return (size_t)(end - to);
}
