#ifndef CELLAR_STORAGE_FILTER_H
#define CELLAR_STORAGE_FILTER_H

#include "server/storage/segment.h"

/*
 * Which cells need not be kept. Storage knows no families and no rules; who made the store does,
 * and gives it a source of filters. A filter walks the cells of one row in order and says which are
 * hidden by a rule, or of a family that is gone. A cell that it does not let through may be written
 * down or not, as is handy: readers hide it themselves.
 */

#define STORE_FILTER_HELD_BYTES (CELLAR_FAMILY_BYTES_MAX + CELLAR_QUALIFIER_BYTES_MAX)

struct store_filter;

/** Where filters come from; lives as long as the store that it was given to. */
struct store_filter_source {
    const void *context; /* of who made it */
    /** Makes a zeroed filter one by the rules that are durable, with the clock as it is. */
    void (*open)(const struct store_filter_source *source, uint64_t durable_lsn,
                 struct store_filter *filter);
    /** Whether the next cell is hidden. A run that begins within a column counts too few versions
     * and hides less, never more. */
    bool (*hides)(struct store_filter *filter, const struct store_cell *cell);
    /** Whether it may hide a cell of a segment that is all of its row. */
    bool (*may_hide)(const struct store_filter *filter, const struct store_segment *segment);
};

/** One walk; zeroed, then opened by its source. */
struct store_filter {
    const struct store_filter_source *source; /* NULL: every cell is kept */
    const void *rules;                        /* the source's: a schema */
    bool is_idle; /* nothing is hidden but what a segment marks: rewriting need not ask */
    int64_t now_us;

    const void *family;       /* the source's: of the column being walked; NULL: it is gone */
    struct store_cell column; /* the cell before; borrowed, or held */
    bool has_column;
    uint64_t version_index; /* of the next cell in the column */
    uint8_t *held; /* room for store_filter_hold(): STORE_FILTER_HELD_BYTES, the owner's; or NULL */
};

/** Begins a run of cells: the first one of a row, or wherever a rewriting begins. */
static inline void store_filter_begin(struct store_filter *filter)
{
    filter->has_column = false;
}

/** Whether a cell, the next in order, need not be kept. */
static inline bool store_filter_hides(struct store_filter *filter, const struct store_cell *cell)
{
    return filter->source != NULL && filter->source->hides(filter, cell);
}

/** Whether the only segment of a row cannot be taken as it is. */
static inline bool store_filter_may_hide(const struct store_filter *filter,
                                         const struct store_segment *segment)
{
    return filter->source != NULL && filter->source->may_hide(filter, segment);
}

/** Goes on after the memory that the cells borrowed is gone. */
static inline void store_filter_hold(struct store_filter *filter)
{
    struct cellar_cell *cell = &filter->column.cell;
    if (!filter->has_column) {
        return;
    }
    CELLAR_ASSERT(filter->held != NULL);
    CELLAR_ASSERT(cell->family.bytes + cell->qualifier.bytes <= STORE_FILTER_HELD_BYTES);
    memmove(filter->held, cell->family.data, cell->family.bytes);
    cell->family.data = filter->held;
    if (cell->qualifier.bytes > 0) {
        memmove(filter->held + cell->family.bytes, cell->qualifier.data, cell->qualifier.bytes);
    }
    cell->qualifier.data = filter->held + cell->family.bytes;
}

#endif
