/*
 * Garbage-collection rules on the cells of a row, in order: the versions of a column are counted
 * from the newest, ages go by one value of the clock.
 */
#include "server/tablet/gc.h"

void tablet_gc_filter_init(struct store_filter *filter, const struct tablet_schema *schema,
                           int64_t now_us)
{
    CELLAR_ASSERT(schema->family_count == 0 || schema->families != NULL);
    filter->rules = schema;
    filter->now_us = now_us;
    filter->has_column = false;
    filter->is_idle =
        !schema->has_version_rule && schema->age_us_min == INT64_MAX && !schema->has_dropped;
}

/* Begins a column: its family is looked up unless it is the one of the column before. */
static void column_begin(struct store_filter *filter, const struct store_cell *cell)
{
    bool is_same_family = filter->has_column && filter->column.generation == cell->generation &&
                          cellar_slice_equal(filter->column.cell.family, cell->cell.family);
    if (!is_same_family) {
        const struct tablet_family *family = tablet_schema_family(filter->rules, cell->cell.family);
        bool is_live = family != NULL && family->generation == cell->generation;
        filter->family = is_live ? family : NULL;
    }
    CELLAR_ASSERT(cell->cell.family.bytes > 0);
    filter->has_column = true;
    filter->version_index = 0;
}

bool tablet_gc_hides(struct store_filter *filter, const struct store_cell *cell)
{
    CELLAR_ASSERT(filter->rules != NULL);
    if (!filter->has_column || !store_cell_same_column(&filter->column, cell)) {
        column_begin(filter, cell);
    }
    filter->column = *cell;
    const struct tablet_family *family = filter->family;
    uint64_t index = filter->version_index++;
    return family == NULL ||
           cellar_gc_rule_hides(&family->rule, index, cell->cell.timestamp_us, filter->now_us);
}

/* Whether a cell of the segment may be older than some rule's age. */
static bool may_age(const struct tablet_schema *schema, const struct store_segment *segment,
                    int64_t now_us)
{
    CELLAR_ASSERT(segment->cell_count > 0);
    return schema->age_us_min != INT64_MAX && segment->oldest_us <= now_us &&
           now_us - segment->oldest_us > schema->age_us_min;
}

bool tablet_gc_may_hide(const struct store_filter *filter, const struct store_segment *segment)
{
    const struct tablet_schema *schema = filter->rules;
    CELLAR_ASSERT(schema != NULL);
    return schema->has_dropped || (segment->flags & STORE_SEGMENT_MARKED) != 0 ||
           (schema->has_version_rule && (segment->flags & STORE_SEGMENT_MULTI) != 0) ||
           may_age(schema, segment, filter->now_us);
}
