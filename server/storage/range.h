#ifndef CELLAR_STORAGE_RANGE_H
#define CELLAR_STORAGE_RANGE_H

#include "common/buf.h"
#include "common/mem.h"

/*
 * Ranges of an environment's keys, and sets of them: rows that were dropped and are not removed
 * yet. A bound is bytes that sort like keys, a row's position mostly; all of a row lies inside or
 * outside.
 */

/** From `start` on, up to and without `end`; an empty end is no bound. Slices borrow. */
struct store_range {
    struct cellar_slice start;
    struct cellar_slice end;
};

static inline bool store_range_has(const struct store_range *range, struct cellar_slice key)
{
    return cellar_slice_compare(range->start, key) <= 0 &&
           (range->end.bytes == 0 || cellar_slice_compare(key, range->end) < 0);
}

/** Disjoint ranges in order, none of them empty; zeroed is empty. Owns its keys. */
struct store_range_set {
    struct store_range *ranges;
    size_t count;
    size_t capacity;
    struct cellar_arena arena;
};

/** Empties a set and frees what it holds. */
void store_range_set_fini(struct store_range_set *set);

/** The range that a key lies in, or NULL. Borrowed until the set changes. */
const struct store_range *store_range_set_find(const struct store_range_set *set,
                                               struct cellar_slice key);

/** Adds a range, which is copied and joined with those that it meets. NO_MEMORY. */
enum cellar_status store_range_set_add(struct store_range_set *set, struct store_range range)
    CELLAR_MUST_USE;

/** Takes a range out; one that it lies in falls into two. NO_MEMORY, nothing changed then. */
enum cellar_status store_range_set_cut(struct store_range_set *set, struct store_range range)
    CELLAR_MUST_USE;

/** Appends the set as bytes. FORMAT.md, "Ranges dropped". NO_MEMORY. */
enum cellar_status store_range_set_encode(const struct store_range_set *set,
                                          struct cellar_buffer *to) CELLAR_MUST_USE;

/** Fills an empty set. DATA_LOSS (no such bytes, ranges that overlap or are out of order),
 * NO_MEMORY; the set is empty then. */
enum cellar_status store_range_set_decode(struct store_range_set *set, struct cellar_slice bytes)
    CELLAR_MUST_USE;

#endif
