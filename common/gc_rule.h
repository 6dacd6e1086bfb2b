#ifndef CELLAR_COMMON_GC_RULE_H
#define CELLAR_COMMON_GC_RULE_H

#include "common/buf.h"
#include "common/mem.h"
#include "common/wire.h"

/*
 * A family's garbage-collection rule as a tree, and its MessagePack form, the same on the wire and
 * in the catalog:
 *
 *     nil            keep everything
 *     [1, n]         keep the newest n versions of each column
 *     [2, us]        keep cells that are not older than us microseconds
 *     [3, [r, ...]]  union: a cell goes when any rule lets it go
 *     [4, [r, ...]]  intersection: a cell goes when all rules let it go
 */

#define CELLAR_GC_RULE_BYTES_MAX 500u /* encoded (R-GC-10) */
#define CELLAR_GC_RULE_DEPTH_MAX 20u

enum cellar_gc_kind {
    CELLAR_GC_NONE = 0,
    CELLAR_GC_VERSIONS = 1,
    CELLAR_GC_AGE = 2,
    CELLAR_GC_UNION = 3,
    CELLAR_GC_INTERSECTION = 4
};

/** One node; children are in the arena that decoding was given. */
struct cellar_gc_rule {
    enum cellar_gc_kind kind;
    int64_t amount; /* VERSIONS: count >= 1; AGE: microseconds >= 1000 */
    const struct cellar_gc_rule *children;
    uint32_t child_count; /* UNION, INTERSECTION: >= 1 */
};

/**
 * Decodes and checks one rule (R-GC-10 to R-GC-12).
 *
 * @param from   one MessagePack value is taken from it; moved also on failure
 * @param arena  gives the memory of the children
 * @param rule   untouched on failure
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT with `Error in field 'gc_rule' : ...` naming limit and
 *         value; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_gc_rule_decode(struct cellar_cursor *from, struct cellar_arena *arena,
                                         struct cellar_gc_rule *rule, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Appends the rule's MessagePack form; CELLAR_NO_MEMORY leaves `to` as it was. */
enum cellar_status cellar_gc_rule_encode(const struct cellar_gc_rule *rule,
                                         struct cellar_buffer *to) CELLAR_MUST_USE;

/**
 * Whether a rule hides a cell.
 *
 * @param rule           as cellar_gc_rule_decode() makes it
 * @param version_index  how many newer versions of the column the row has, 0 for the newest
 * @param timestamp_us   the cell's
 * @param now_us         the request's one clock value (R-GC-06); hidden by age when
 *                       now - timestamp > max age (R-GC-03)
 */
bool cellar_gc_rule_hides(const struct cellar_gc_rule *rule, uint64_t version_index,
                          int64_t timestamp_us, int64_t now_us);

#endif
