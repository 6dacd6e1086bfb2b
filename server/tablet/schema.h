#ifndef CELLAR_TABLET_SCHEMA_H
#define CELLAR_TABLET_SCHEMA_H

#include "common/cell.h"
#include "common/gc_rule.h"

/*
 * A table's schema: granularity and families, never changed once made. What a read needs to know of
 * all rules together is worked out once.
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
};

/** The family of that name, or NULL. */
const struct tablet_family *tablet_schema_family(const struct tablet_schema *schema,
                                                 struct cellar_slice name);

/** Sorts the families by name and sets what is derived. @param families the array that
 * schema->families points at */
void tablet_schema_finish(struct tablet_schema *schema, struct tablet_family *families);

/** The server's time in a table's granularity. */
int64_t tablet_schema_time(const struct tablet_schema *schema, int64_t server_time_us);

#endif
