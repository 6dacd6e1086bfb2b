#ifndef CELLAR_TABLET_GC_H
#define CELLAR_TABLET_GC_H

#include "server/storage/filter.h"
#include "server/tablet/schema.h"

/*
 * Garbage-collection rules at work: which cells of a row are hidden. Reads ask for every answer;
 * storage asks, through a filter's source, for what need not be written down again.
 */

/** Makes a zeroed filter one by a schema's rules, which the caller keeps. */
void tablet_gc_filter_init(struct store_filter *filter, const struct tablet_schema *schema,
                           int64_t now_us);

/** Whether the next cell is hidden: by its family's rule, or because there is no such family.
 * Counts it; version_index is 1 behind the first cell of a column. */
bool tablet_gc_hides(struct store_filter *filter, const struct store_cell *cell);

/** Whether a cell of a segment may be hidden; versions that the segment does not show itself, MULTI
 * tells of. */
bool tablet_gc_may_hide(const struct store_filter *filter, const struct store_segment *segment);

#endif
