/*
 * Sets of key ranges: a sorted array, since a set has few members (STORE_PENDING_COUNT_MAX) and is
 * asked far more often than it changes.
 *
 * Keys lie in an arena and are not freed one by one: a set lives for one transaction, or until an
 * environment's next one.
 */
#include "server/storage/range.h"

#define BOUND_BYTES_MAX 65536u

void store_range_set_fini(struct store_range_set *set)
{
    cellar_mem_free(set->ranges);
    cellar_arena_fini(&set->arena);
    set->ranges = NULL;
    set->count = 0;
    set->capacity = 0;
    CELLAR_ASSERT(set->arena.newest == NULL);
}

/* The first range that ends behind a key. */
static size_t index_of(const struct store_range_set *set, struct cellar_slice key)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        struct cellar_slice end = set->ranges[middle].end;
        if (end.bytes > 0 && cellar_slice_compare(end, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    CELLAR_ASSERT(low <= set->count);
    return low;
}

const struct store_range *store_range_set_find(const struct store_range_set *set,
                                               struct cellar_slice key)
{
    if (set->count == 0) {
        return NULL;
    }
    size_t index = index_of(set, key);
    CELLAR_ASSERT(index <= set->count);
    return index < set->count && store_range_has(&set->ranges[index], key) ? &set->ranges[index]
                                                                           : NULL;
}

static enum cellar_status set_reserve(struct store_range_set *set, size_t more)
{
    if (set->count + more <= set->capacity) {
        return CELLAR_OK;
    }
    size_t capacity = CELLAR_MAX(set->capacity * 2, (size_t)16) + more;
    void *grown = cellar_mem_realloc(set->ranges, capacity * sizeof *set->ranges);
    if (grown == NULL) {
        return CELLAR_NO_MEMORY;
    }
    CELLAR_ASSERT(capacity >= set->count + more);
    set->ranges = grown;
    set->capacity = capacity;
    return CELLAR_OK;
}

static enum cellar_status bound_copy(struct store_range_set *set, struct cellar_slice from,
                                     struct cellar_slice *to)
{
    const uint8_t *copy = cellar_arena_copy(&set->arena, from.data, from.bytes);
    CELLAR_ASSERT(from.bytes <= BOUND_BYTES_MAX);
    *to = cellar_slice_make(copy, from.bytes);
    return copy == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
}

/* Whether one end lies behind another; an empty one lies behind all. */
static bool end_is_behind(struct cellar_slice end, struct cellar_slice other)
{
    CELLAR_ASSERT(end.bytes == 0 || end.data != NULL);
    return other.bytes > 0 && (end.bytes == 0 || cellar_slice_compare(end, other) > 0);
}

/* Whether a range begins at or before another's end, so that nothing lies between them. */
static bool starts_within(const struct store_range *range, struct cellar_slice end)
{
    CELLAR_ASSERT(range->start.bytes == 0 || range->start.data != NULL);
    return end.bytes == 0 || cellar_slice_compare(range->start, end) <= 0;
}

/* Puts `with` in the place of `count` ranges at an index; room is there. */
static void splice(struct store_range_set *set, size_t index, size_t count,
                   const struct store_range *with, size_t with_count)
{
    size_t behind = index + count;
    CELLAR_ASSERT(behind <= set->count && set->count - count + with_count <= set->capacity);
    memmove(set->ranges + index + with_count, set->ranges + behind,
            (set->count - behind) * sizeof *set->ranges);
    for (size_t i = 0; i < with_count; i++) {
        set->ranges[index + i] = with[i];
    }
    set->count = set->count - count + with_count;
}

enum cellar_status store_range_set_add(struct store_range_set *set, struct store_range range)
{
    struct store_range joined;
    CELLAR_ASSERT(range.end.bytes == 0 || cellar_slice_compare(range.start, range.end) < 0);
    CELLAR_TRY(set_reserve(set, 1));
    CELLAR_TRY(bound_copy(set, range.start, &joined.start));
    CELLAR_TRY(bound_copy(set, range.end, &joined.end));
    size_t first = 0;
    while (first < set->count && !starts_within(&range, set->ranges[first].end)) {
        first++;
    }
    size_t behind = first;
    for (; behind < set->count && starts_within(&set->ranges[behind], joined.end); behind++) {
        const struct store_range *met = &set->ranges[behind];
        if (cellar_slice_compare(met->start, joined.start) < 0) {
            joined.start = met->start;
        }
        if (end_is_behind(met->end, joined.end)) {
            joined.end = met->end;
        }
    }
    splice(set, first, behind - first, &joined, 1);
    return CELLAR_OK;
}

enum cellar_status store_range_set_cut(struct store_range_set *set, struct store_range range)
{
    struct store_range left[2];
    struct store_range own;
    size_t left_count = 0;
    size_t first = index_of(set, range.start);
    size_t behind = first;
    CELLAR_TRY(set_reserve(set, 1));
    CELLAR_TRY(bound_copy(set, range.start, &own.start));
    CELLAR_TRY(bound_copy(set, range.end, &own.end));
    while (behind < set->count &&
           (own.end.bytes == 0 || cellar_slice_compare(set->ranges[behind].start, own.end) < 0)) {
        behind++;
    }
    if (first == behind) {
        return CELLAR_OK;
    }
    if (cellar_slice_compare(set->ranges[first].start, own.start) < 0) {
        left[left_count++] = (struct store_range){set->ranges[first].start, own.start};
    }
    if (end_is_behind(set->ranges[behind - 1].end, own.end)) {
        left[left_count++] = (struct store_range){own.end, set->ranges[behind - 1].end};
    }
    splice(set, first, behind - first, left, left_count);
    CELLAR_ASSERT(store_range_set_find(set, own.start) == NULL);
    return CELLAR_OK;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

enum cellar_status store_range_set_encode(const struct store_range_set *set,
                                          struct cellar_buffer *to)
{
    uint8_t head[8];
    CELLAR_ASSERT(set->count <= UINT32_MAX);
    cellar_put_u32le(head, (uint32_t)set->count);
    CELLAR_TRY(cellar_buffer_append(to, head, 4));
    for (size_t i = 0; i < set->count; i++) {
        const struct store_range *range = &set->ranges[i];
        cellar_put_u32le(head, (uint32_t)range->start.bytes);
        cellar_put_u32le(head + 4, (uint32_t)range->end.bytes);
        CELLAR_TRY(cellar_buffer_append(to, head, sizeof head));
        CELLAR_TRY(cellar_buffer_append(to, range->start.data, range->start.bytes));
        CELLAR_TRY(cellar_buffer_append(to, range->end.data, range->end.bytes));
    }
    return CELLAR_OK;
}

static enum cellar_status range_decode(struct store_range_set *set, struct cellar_cursor *from)
{
    struct store_range range;
    uint32_t start_bytes = 0;
    uint32_t end_bytes = 0;
    const struct store_range *last = set->count == 0 ? NULL : &set->ranges[set->count - 1];
    if (!cellar_cursor_u32le(from, &start_bytes) || !cellar_cursor_u32le(from, &end_bytes) ||
        start_bytes > BOUND_BYTES_MAX || end_bytes > BOUND_BYTES_MAX ||
        !cellar_cursor_take(from, start_bytes, &range.start) ||
        !cellar_cursor_take(from, end_bytes, &range.end) ||
        (end_bytes > 0 && cellar_slice_compare(range.start, range.end) >= 0) ||
        (last != NULL &&
         (last->end.bytes == 0 || cellar_slice_compare(last->end, range.start) > 0))) {
        return CELLAR_DATA_LOSS;
    }
    CELLAR_TRY(set_reserve(set, 1));
    CELLAR_ASSERT(set->ranges != NULL && set->count < set->capacity);
    CELLAR_TRY(bound_copy(set, range.start, &set->ranges[set->count].start));
    CELLAR_TRY(bound_copy(set, range.end, &set->ranges[set->count].end));
    set->count++;
    CELLAR_ASSERT(set->count <= set->capacity);
    return CELLAR_OK;
}

enum cellar_status store_range_set_decode(struct store_range_set *set, struct cellar_slice bytes)
{
    struct cellar_cursor from = cellar_cursor_make(bytes);
    uint32_t count = 0;
    CELLAR_ASSERT(set->count == 0);
    enum cellar_status status = cellar_cursor_u32le(&from, &count) ? CELLAR_OK : CELLAR_DATA_LOSS;
    for (uint32_t i = 0; i < count && status == CELLAR_OK; i++) {
        status = range_decode(set, &from);
    }
    if (status == CELLAR_OK && from.at != from.end) {
        status = CELLAR_DATA_LOSS;
    }
    if (status != CELLAR_OK) {
        store_range_set_fini(set);
    }
    return status;
}
