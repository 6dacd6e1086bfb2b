/*
 * The range of an export: what it was asked for, and what is left of it.
 *
 * How far an export is can only be guessed: tablets are cut where a table has grown, so each is
 * taken for an equal part of it; within a tablet that has both bounds the bytes of the key are
 * taken for evenly spread between them. Without either there is no guess. Pure.
 */

#include "client/tools/export_range.h"

enum cellar_status cellar_export_range_prefix(struct cellar_export_range *range,
                                              struct cellar_slice prefix)
{
    CELLAR_ASSERT(range->start.bytes == 0 && range->end.bytes == 0);
    CELLAR_TRY(cellar_buffer_append(&range->start, prefix.data, prefix.bytes));
    CELLAR_TRY(cellar_buffer_append(&range->end, prefix.data, prefix.bytes));
    /* The first key behind all those of the prefix; there is none behind ff, ff ff, .. */
    while (range->end.bytes > 0 && range->end.data[range->end.bytes - 1] == 0xff) {
        range->end.bytes--;
    }
    if (range->end.bytes > 0) {
        range->end.data[range->end.bytes - 1]++;
    }
    return CELLAR_OK;
}

enum cellar_status cellar_export_range_copy(struct cellar_export_range *range,
                                            const struct cellar_export_range *from)
{
    CELLAR_ASSERT(range->start.bytes == 0 && range->end.bytes == 0);
    range->is_start_open = from->is_start_open;
    CELLAR_TRY(cellar_buffer_append(&range->start, from->start.data, from->start.bytes));
    return cellar_buffer_append(&range->end, from->end.data, from->end.bytes);
}

enum cellar_status cellar_export_range_pass(struct cellar_export_range *range,
                                            struct cellar_slice key)
{
    CELLAR_ASSERT(key.bytes > 0);
    if (key.bytes > range->start.bytes) {
        CELLAR_TRY(cellar_buffer_reserve(&range->start, key.bytes - range->start.bytes));
    }
    memcpy(range->start.data, key.data, key.bytes);
    range->start.bytes = key.bytes;
    range->is_start_open = true;
    return CELLAR_OK;
}

void cellar_export_range_read(const struct cellar_export_range *range, struct cellar_read *read)
{
    struct cellar_view start = cellar_view_of(range->start.data, range->start.bytes);
    struct cellar_view end = cellar_view_of(range->end.data, range->end.bytes);
    CELLAR_ASSERT(!range->is_start_open || start.bytes > 0);
    if (start.bytes == 0 && end.bytes == 0) {
        return; /* no range is every row */
    }
    struct cellar_bound first =
        range->is_start_open ? cellar_bound_open(start) : cellar_bound_closed(start);
    cellar_read_range(read, start.bytes == 0 ? cellar_bound_none() : first,
                      end.bytes == 0 ? cellar_bound_none() : cellar_bound_open(end));
}

/* The bytes of a key behind the first `skipped` as a fraction. */
static double fraction_of(struct cellar_slice key, size_t skipped)
{
    double fraction = 0;
    double weight = 1.0 / 256;
    CELLAR_ASSERT(skipped <= SIZE_MAX - 6);
    for (size_t at = skipped; at < skipped + 6 && at < key.bytes; at++) {
        fraction += key.data[at] * weight;
        weight /= 256;
    }
    return fraction;
}

/* Where a key lies between two others, as evenly spread bytes would have it. */
static double share_between(struct cellar_slice start, struct cellar_slice end,
                            struct cellar_slice key)
{
    size_t same = 0;
    CELLAR_ASSERT(cellar_slice_compare(start, end) < 0);
    while (same < start.bytes && same < end.bytes && start.data[same] == end.data[same]) {
        same++;
    }
    double low = fraction_of(start, same);
    double high = fraction_of(end, same);
    double share = high > low ? (fraction_of(key, same) - low) / (high - low) : 0;
    return CELLAR_MAX(0.0, CELLAR_MIN(share, 1.0));
}

static struct cellar_slice slice_of(struct cellar_view view)
{
    CELLAR_ASSERT(view.bytes == 0 || view.data != NULL);
    return cellar_slice_make(view.data, view.bytes);
}

/* The later of two starts, and the earlier of two ends; empty is the farthest. */
static struct cellar_slice start_of(const struct cellar_export_range *whole,
                                    const struct cellar_tablet_info *tablet)
{
    struct cellar_slice start = cellar_slice_of(&whole->start);
    CELLAR_ASSERT(!whole->is_start_open);
    return cellar_slice_compare(start, slice_of(tablet->start)) > 0 ? start
                                                                    : slice_of(tablet->start);
}

static struct cellar_slice end_of(const struct cellar_export_range *whole,
                                  const struct cellar_tablet_info *tablet)
{
    struct cellar_slice end = cellar_slice_of(&whole->end);
    CELLAR_ASSERT(tablet != NULL);
    if (end.bytes == 0 || tablet->end.bytes == 0) {
        return end.bytes == 0 ? slice_of(tablet->end) : end;
    }
    return cellar_slice_compare(end, slice_of(tablet->end)) < 0 ? end : slice_of(tablet->end);
}

double cellar_export_range_share(const struct cellar_export_range *whole,
                                 const struct cellar_table_info *table, struct cellar_slice key)
{
    double passed = 0;
    size_t count = 0;
    bool has_bounds = false;
    for (size_t index = 0; index < table->tablet_count; index++) {
        struct cellar_slice start = start_of(whole, &table->tablets[index]);
        struct cellar_slice end = end_of(whole, &table->tablets[index]);
        if (end.bytes > 0 && cellar_slice_compare(start, end) >= 0) {
            continue; /* no row of the range is there */
        }
        count++;
        if (end.bytes > 0 && cellar_slice_compare(key, end) >= 0) {
            passed += 1;
        } else if (end.bytes > 0 && start.bytes > 0 && cellar_slice_compare(key, start) > 0) {
            passed += share_between(start, end, key);
        }
        has_bounds = has_bounds || (end.bytes > 0 && start.bytes > 0);
    }
    CELLAR_ASSERT(passed <= (double)count);
    return count > 1 || has_bounds ? passed / (double)count : -1;
}

void cellar_export_range_fini(struct cellar_export_range *range)
{
    CELLAR_ASSERT(range != NULL);
    cellar_buffer_fini(&range->start);
    cellar_buffer_fini(&range->end);
    range->is_start_open = false;
}
