/*
 * From the keys and ranges of a request to a sorted list of disjoint half-open ranges.
 *
 * Every bound becomes a half-open one first. The successor of key K, the smallest key greater than
 * K, is K with a 00 behind it, so an open start K is a start at K 00, a closed end K is an end at
 * K 00, and a single key K is [K, K 00). After that a range that the rules refuse (start above end,
 * equal with an open side, the two open sides of a key and its successor) is simply one whose start
 * is not below its end; R-RNG-03 to R-RNG-05 need no case of their own.
 *
 * Then the ranges are sorted by start and joined where they overlap or touch. An end that is empty
 * lies behind every key.
 *
 * Bounds borrow from the request where they are used as they stand; successors are copied to the
 * arena, at most a request's bytes and two more a range. Malformed input is answered with the
 * element's index, never asserted. One thread at a time for an arena; no other state.
 */

#include "common/rowset.h"

#include <stdlib.h>
#include <string.h>

/* A request's bound as it came: nil and empty are no bound. */
struct bound {
    struct cellar_slice key;
    bool is_closed;
};

/* One of the two arrays of a request while it is read. */
struct field {
    const char *name;
    struct cellar_cursor from;
    uint32_t count;
    /* Reads one element as a range. */
    enum cellar_status (*element_decode)(struct cellar_cursor *from, struct cellar_arena *arena,
                                         struct cellar_range *range, struct cellar_error *error);
};

/* The last byte that can be raised is, and what stands behind it dropped: no key with the prefix
 * sorts behind that. */
size_t cellar_prefix_end(struct cellar_slice prefix, uint8_t *to)
{
    size_t bytes = prefix.bytes;
    while (bytes > 0 && prefix.data[bytes - 1] == 0xFF) {
        bytes--;
    }
    if (bytes == 0) {
        return 0;
    }
    memcpy(to, prefix.data, bytes);
    to[bytes - 1]++;
    CELLAR_ASSERT(to[bytes - 1] > prefix.data[bytes - 1]);
    return bytes;
}

static enum cellar_status no_memory(struct cellar_error *error)
{
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the row set");
}

/* The key with a 00 behind it, in the arena; `data` is NULL when there is no memory. */
static struct cellar_slice successor_make(struct cellar_arena *arena, struct cellar_slice key)
{
    CELLAR_ASSERT(key.bytes > 0);
    uint8_t *copy = cellar_arena_alloc(arena, key.bytes + 1);
    if (copy == NULL) {
        return cellar_slice_make(NULL, 0);
    }
    memcpy(copy, key.data, key.bytes);
    copy[key.bytes] = 0;
    return cellar_slice_make(copy, key.bytes + 1);
}

/* Reads one key as the range of that key alone. Key and successor share their bytes: the key is the
 * successor without its last one. */
static enum cellar_status key_decode(struct cellar_cursor *from, struct cellar_arena *arena,
                                     struct cellar_range *range, struct cellar_error *error)
{
    struct cellar_slice key;
    if (!cellar_wire_get_bytes(from, &key)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "must be bytes");
    }
    CELLAR_TRY(cellar_row_check(key, error));
    struct cellar_slice successor = successor_make(arena, key);
    if (successor.data == NULL) {
        return no_memory(error);
    }
    CELLAR_ASSERT(successor.bytes == key.bytes + 1);
    range->start = cellar_slice_make(successor.data, key.bytes);
    range->end = successor;
    return CELLAR_OK;
}

/* Reads a key or nil and whether it is closed. */
static bool bound_get(struct cellar_cursor *from, struct bound *bound)
{
    CELLAR_ASSERT(bound != NULL);
    bound->key = cellar_slice_make(NULL, 0);
    return (cellar_wire_get_nil(from) || cellar_wire_get_bytes(from, &bound->key)) &&
           cellar_wire_get_bool(from, &bound->is_closed);
}

/* Makes a bound half-open: the key itself, or its successor where `wants_successor`. */
static enum cellar_status bound_resolve(const struct bound *bound, bool wants_successor,
                                        struct cellar_arena *arena, struct cellar_slice *key,
                                        struct cellar_error *error)
{
    if (bound->key.bytes > CELLAR_RANGE_BOUND_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "range bounds must be at most %u bytes, but got %zu",
                                CELLAR_RANGE_BOUND_BYTES_MAX, bound->key.bytes);
    }
    *key = bound->key;
    if (bound->key.bytes > 0 && wants_successor) {
        *key = successor_make(arena, bound->key);
        if (key->data == NULL) {
            return no_memory(error);
        }
        CELLAR_ASSERT(key->bytes == bound->key.bytes + 1);
    }
    return CELLAR_OK;
}

/* Reads [start, start_is_closed, end, end_is_closed]. */
static enum cellar_status range_decode(struct cellar_cursor *from, struct cellar_arena *arena,
                                       struct cellar_range *range, struct cellar_error *error)
{
    uint32_t count;
    struct bound start;
    struct bound end;
    if (!cellar_wire_get_array(from, &count) || count != 4 || !bound_get(from, &start) ||
        !bound_get(from, &end)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "must be [start or nil, start_is_closed, end or nil, "
                                "end_is_closed]");
    }
    CELLAR_TRY(bound_resolve(&start, !start.is_closed, arena, &range->start, error));
    CELLAR_TRY(bound_resolve(&end, end.is_closed, arena, &range->end, error));
    if (range->end.bytes > 0 && cellar_slice_compare(range->start, range->end) >= 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "start_key must be less than end_key");
    }
    CELLAR_ASSERT(range->end.bytes == 0 || range->end.data != NULL);
    return CELLAR_OK;
}

static int range_compare(const void *a, const void *b)
{
    CELLAR_ASSERT(a != NULL && b != NULL);
    const struct cellar_range *left = a;
    const struct cellar_range *right = b;
    return cellar_slice_compare(left->start, right->start);
}

/* Sorts the ranges and joins what overlaps or touches, in place; returns how many are left. A range
 * without an end takes in all that follow, as they start behind its start. */
static size_t ranges_join(struct cellar_range *ranges, size_t count)
{
    CELLAR_ASSERT(count > 0);
    if (count == 1) {
        return 1; /* a get's */
    }
    qsort(ranges, count, sizeof *ranges, range_compare);
    size_t last = 0;
    for (size_t index = 1; index < count; index++) {
        struct cellar_range *into = &ranges[last];
        const struct cellar_range *next = &ranges[index];
        if (into->end.bytes == 0) {
            break;
        }
        if (cellar_slice_compare(next->start, into->end) > 0) {
            ranges[++last] = *next;
        } else if (next->end.bytes == 0 || cellar_slice_compare(next->end, into->end) > 0) {
            into->end = next->end;
        }
    }
    CELLAR_ASSERT(last < count);
    return last + 1;
}

/* Takes the array header of a field; an absent field has no elements. */
static enum cellar_status field_open(struct field *field, struct cellar_slice array,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(field->count == 0);
    if (array.bytes == 0) {
        return CELLAR_OK;
    }
    field->from = cellar_cursor_make(array);
    if (!cellar_wire_get_array(&field->from, &field->count)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field '%s' : must be an array", field->name);
    }
    return CELLAR_OK;
}

/* Reads every element of a field into `ranges`. */
static enum cellar_status field_decode(struct field *field, struct cellar_arena *arena,
                                       struct cellar_range *ranges, struct cellar_error *error)
{
    for (uint32_t index = 0; index < field->count; index++) {
        enum cellar_status status =
            field->element_decode(&field->from, arena, &ranges[index], error);
        if (status != CELLAR_OK) {
            cellar_error_prefix(error, "Error in field '%s' : Error in element #%u ", field->name,
                                index);
            return status;
        }
    }
    CELLAR_ASSERT(field->from.at <= field->from.end);
    if (field->from.at != field->from.end) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field '%s' : bytes behind the array", field->name);
    }
    return CELLAR_OK;
}

/* The bound comes before the memory. Nothing asked for is everything. */
enum cellar_status cellar_rowset_decode(struct cellar_slice row_keys, struct cellar_slice ranges,
                                        struct cellar_arena *arena, struct cellar_rowset *set,
                                        struct cellar_error *error)
{
    CELLAR_ASSERT(arena != NULL && set != NULL);
    struct field keys = {.name = "row_keys", .element_decode = key_decode};
    struct field bounds = {.name = "row_ranges", .element_decode = range_decode};
    CELLAR_TRY(field_open(&keys, row_keys, error));
    CELLAR_TRY(field_open(&bounds, ranges, error));
    size_t count = (size_t)keys.count + bounds.count;
    if (count > CELLAR_ROWSET_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Row sets must have at most %u keys and ranges, but got %zu",
                                CELLAR_ROWSET_COUNT_MAX, count);
    }
    struct cellar_range *list = cellar_arena_alloc(arena, CELLAR_MAX(count, 1u) * sizeof *list);
    if (list == NULL) {
        return no_memory(error);
    }
    CELLAR_TRY(field_decode(&keys, arena, list, error));
    CELLAR_TRY(field_decode(&bounds, arena, list + keys.count, error));
    if (count == 0) {
        list[count++] = (struct cellar_range){{NULL, 0}, {NULL, 0}};
    }
    set->ranges = list;
    set->count = ranges_join(list, count);
    CELLAR_ASSERT(set->count >= 1);
    return CELLAR_OK;
}
