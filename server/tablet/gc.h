#ifndef CELLAR_TABLET_GC_H
#define CELLAR_TABLET_GC_H

#include "server/storage/filter.h"
#include "server/tablet/schema.h"

/*
 * Garbage-collection rules at work: which cells of a row are hidden. Reads ask for every answer;
 * storage asks, through a filter's source, for what need not be written down again.
 */

struct tablet_table;

/** Prepares the source of filters for a table's stores. @param table  borrowed */
void tablet_gc_source_init(struct store_filter_source *source, const struct tablet_table *table);

/** Makes a zeroed filter one by a schema's rules, which the caller keeps. */
void tablet_gc_filter_init(struct store_filter *filter, const struct tablet_schema *schema,
                           int64_t now_us);

/** Whether the next cell is hidden: by its family's rule, or because there is no such family.
 * Counts it; version_index is 1 behind the first cell of a column. */
bool tablet_gc_hides(struct store_filter *filter, const struct store_cell *cell);

/** Whether a cell of the segment may be older than some rule's age. */
bool tablet_gc_may_age(const struct tablet_schema *schema, const struct store_segment *segment,
                       int64_t now_us);

#endif
