#ifndef CELLAR_TOOLS_NAME_COUNT_H
#define CELLAR_TOOLS_NAME_COUNT_H

#include "common/buf.h"
#include "common/mem.h"

/* How often each name has been seen. */

#define CELLAR_NAME_COUNT_MAX 10000000u /* different names */

struct cellar_name_entry;

/** Zero-initialised is empty; fields belong to the .c. */
struct cellar_name_count {
    struct cellar_arena names;
    struct cellar_name_entry *entries; /* a table of `capacity` places, at most half of them used */
    size_t capacity;
    size_t count;
};

/**
 * Notes that a name was seen.
 *
 * @param before  receives how often it had been seen before
 * @return CELLAR_OK; CELLAR_RESOURCE_EXHAUSTED above CELLAR_NAME_COUNT_MAX names; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_name_count_add(struct cellar_name_count *names, struct cellar_slice name,
                                         uint64_t *before, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Frees its memory; it is empty and usable again. */
void cellar_name_count_fini(struct cellar_name_count *names);

/** A hash of bytes (FNV-1a, mixed); not for data that an enemy chooses. */
uint64_t cellar_name_hash(struct cellar_slice name);

#endif
