#ifndef CELLAR_TABLET_SCHEMA_H
#define CELLAR_TABLET_SCHEMA_H

#include "common/cell.h"
#include "common/gc_rule.h"
#include "common/mem.h"

/*
 * A table's schema: granularity and families. It is never changed once made: a change makes another
 * one with the next version. What a read needs to know of all rules together is worked out once.
 */

#define TABLET_FAMILY_COUNT_MAX 1000u
#define TABLET_SPLIT_COUNT_MAX 10000u

struct tablet_family {
    struct cellar_slice name;
    uint32_t generation; /* the schema version that made it */
    struct cellar_gc_rule rule;
};

struct tablet_schema {
    uint32_t version; /* 1 at creation */
    enum cellar_granularity granularity;
    const struct tablet_family *families; /* by name */
    size_t family_count;
    bool has_version_rule; /* some rule counts versions */
    int64_t age_us_min;    /* the smallest age in any rule; INT64_MAX: none */
    bool has_dropped; /* a family made with the table is gone: stored bytes may still show it */
    uint64_t lsn;     /* of the record that made it; 0: it was there when the server started */
    struct cellar_arena arena;    /* of tablet_schema_new(): names and rules */
    struct tablet_schema *before; /* the table's list */
};

/** An empty schema with memory of its own; NULL without memory. */
struct tablet_schema *tablet_schema_new(void) CELLAR_MUST_USE;

/** Frees a schema made by tablet_schema_new(); takes NULL. */
void tablet_schema_free(struct tablet_schema *schema);

/** Copies a family, name and rule, into an arena. NO_MEMORY. */
enum cellar_status tablet_family_copy(struct cellar_arena *arena, const struct tablet_family *from,
                                      struct tablet_family *to) CELLAR_MUST_USE;

/** The family of that name, or NULL. */
const struct tablet_family *tablet_schema_family(const struct tablet_schema *schema,
                                                 struct cellar_slice name);

/** Sorts the families by name and sets what is derived. @param families the array that
 * schema->families points at */
void tablet_schema_finish(struct tablet_schema *schema, struct tablet_family *families);

/** The server's time in a table's granularity. */
int64_t tablet_schema_time(const struct tablet_schema *schema, int64_t server_time_us);

#endif
