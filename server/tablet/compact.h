#ifndef CELLAR_TABLET_COMPACT_H
#define CELLAR_TABLET_COMPACT_H

#include "server/tablet/db.h"

/*
 * The compaction of one tablet's store, from its beginning to the swap of generations in the
 * catalog; when one is due.
 */

/** How far a compaction is. */
struct tablet_compact_progress {
    uint64_t item_count;       /* read */
    uint64_t item_count_total; /* when it began */
    uint64_t byte_count;       /* written, about */
};

/** Called behind every chunk, with nothing held. It may rest, to keep to a budget. @return false:
 * the compaction is to be abandoned */
typedef bool tablet_compact_watch(void *context, const struct tablet_compact_progress *progress);

/** How a compaction is made. */
struct tablet_compact_options {
    uint64_t chunk_bytes; /* written between two calls of `watch`, about */
    tablet_compact_watch *watch;
    void *context;
};

/**
 * Compacts a tablet. Reads and writes go on meanwhile. Blocks.
 *
 * @param table  a reference, the caller's
 * @return CELLAR_OK; CANCELLED (by the watch), NOT_FOUND (the table is dropped),
 * FAILED_PRECONDITION (one runs, or a bulk load of the table), DATA_LOSS (a damaged item; the
 * tablet stays as it is), RESOURCE_EXHAUSTED, IO_ERROR, OUTCOME_UNKNOWN (the log failed), NO_MEMORY
 */
enum cellar_status tablet_compact(struct tablet_db *db, struct tablet_table *table,
                                  size_t tablet_index, const struct tablet_compact_options *options,
                                  struct cellar_error *error) CELLAR_MUST_USE;

/** When a compaction is due without being asked for. */
struct tablet_compact_terms {
    unsigned garbage_percent; /* of the store's file that holds no data, 1..100; 0: not for this */
    int64_t age_us; /* since the last one, where there may be something to remove; 0: not */
};

/** Whether a tablet's compaction is due; false when the table is dropped, or is being loaded. Any
 * thread. */
bool tablet_compact_is_due(struct tablet_table *table, size_t tablet_index,
                           const struct tablet_compact_terms *terms);

#endif
