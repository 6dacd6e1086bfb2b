#ifndef CELLAR_COMMON_ROWSET_H
#define CELLAR_COMMON_ROWSET_H

#include "common/cell.h"
#include "common/mem.h"
#include "common/wire.h"

/*
 * The rows a read asks for: keys and ranges in any order, repeated and overlapping, become a sorted
 * list of disjoint half-open ranges, so that a scan is a walk. Rules R-ROW-01 to 03, R-RNG-01 to
 * 08, R-KEY-02 and 03.
 *
 * On the wire (PROTOCOL.md, "READ_ROWS"): keys are an array of bytes; ranges an array of
 * [start bytes|nil, start_is_closed bool, end bytes|nil, end_is_closed bool]; nil and empty are
 * unbounded.
 */

#define CELLAR_ROWSET_COUNT_MAX 1000000u /* keys and ranges together */

/** Rows with start <= key < end; an empty `end` is "to the last row". */
struct cellar_range {
    struct cellar_slice start;
    struct cellar_slice end;
};

/**
 * Disjoint, not touching, ascending ranges; `count` 0 is no row at all (every row is one range
 * ["", "")).
 */
struct cellar_rowset {
    struct cellar_range *ranges;
    size_t count;
};

/**
 * Decodes, checks and normalises a row set.
 *
 * @param row_keys  the MessagePack array of keys, or empty when the field was absent
 * @param ranges    the MessagePack array of ranges, or empty when absent; both empty or of no
 *                  element: every row
 * @param arena     gives the memory; the result also borrows from row_keys and ranges
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT with the texts of the rules (`Error in field
 *         'row_ranges' : Error in element #<i> : start_key must be less than end_key`);
 *         CELLAR_NO_MEMORY
 */
enum cellar_status cellar_rowset_decode(struct cellar_slice row_keys, struct cellar_slice ranges,
                                        struct cellar_arena *arena, struct cellar_rowset *set,
                                        struct cellar_error *error) CELLAR_MUST_USE;

/**
 * The smallest key greater than all keys with `prefix`, into `to` (room: prefix.bytes).
 *
 * @return its length, 0 when there is none (the prefix is empty or all FF): unbounded
 */
size_t cellar_prefix_end(struct cellar_slice prefix, uint8_t *to);

#endif
