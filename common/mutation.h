#ifndef CELLAR_COMMON_MUTATION_H
#define CELLAR_COMMON_MUTATION_H

#include "common/cell.h"
#include "common/wire.h"

/*
 * One row's mutation list on the wire: a MessagePack array of arrays, first element the kind.
 *
 *     [0, family, qualifier, timestamp | nil, value]   set one cell; nil, -1: the server's time
 *     [1, family, qualifier, start | nil, end | nil]   delete versions in start <= time < end;
 *                                                      nil or 0 as end: no end
 *     [2, family]                                      delete the row's cells of one family
 *     [3]                                              delete the row
 *     [4 ...], [5 ...]                                 reserved: add, merge
 *
 * Here the form is checked: kinds, counts, sizes, timestamps >= -1, ranges. What needs a table's
 * schema (families, granularity) is the tablet layer's.
 */

enum cellar_mutation_kind {
    CELLAR_MUTATION_SET = 0,
    CELLAR_MUTATION_DELETE_COLUMN = 1,
    CELLAR_MUTATION_DELETE_FAMILY = 2,
    CELLAR_MUTATION_DELETE_ROW = 3,
    CELLAR_MUTATION_ADD = 4,  /* reserved */
    CELLAR_MUTATION_MERGE = 5 /* reserved */
};

/** One mutation; slices borrow from the request. Fields that the kind lacks are zero. */
struct cellar_mutation {
    enum cellar_mutation_kind kind;
    struct cellar_slice family;
    struct cellar_slice qualifier;
    int64_t timestamp_us; /* SET: >= 0 or CELLAR_TIMESTAMP_SERVER */
    int64_t start_us;     /* DELETE_COLUMN: >= 0 */
    int64_t end_us;       /* DELETE_COLUMN: > start_us, or 0 = no end */
    struct cellar_slice value;
};

/**
 * Reads the next mutation of a list and checks its form.
 *
 * @param from   behind the list's array header or the mutation before
 * @param index  its index in the list, for the error's text
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT as `Error in field 'Mutation list' : Error in
 *         element #<index> : ...`, with the exact texts of R-MUT-04, R-MUT-10, R-KEY-04, R-KEY-06
 *         (above 100 MiB; between 1 MiB and that CELLAR_UNIMPLEMENTED naming limit and size, until
 *         blobs exist); CELLAR_UNIMPLEMENTED for kinds 4 and 5. Family names are only checked for
 *         1..64 bytes, since an unknown one is NOT_FOUND later.
 */
enum cellar_status cellar_mutation_decode(struct cellar_cursor *from, uint32_t index,
                                          struct cellar_mutation *mutation,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** Appends one mutation in wire form; CELLAR_NO_MEMORY. Nothing is checked. */
enum cellar_status cellar_mutation_encode(struct cellar_buffer *to,
                                          const struct cellar_mutation *mutation) CELLAR_MUST_USE;

/**
 * Reads the array header of a mutation list and checks its length.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT `No mutations provided`, or `Too many mutations: <n>
 *         provided; limit 100000`, or that it is no array
 */
enum cellar_status cellar_mutation_list_decode(struct cellar_cursor *from, uint32_t *count,
                                               struct cellar_error *error) CELLAR_MUST_USE;

#endif
