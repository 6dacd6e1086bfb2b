/*
 * The log's chain of segments while it runs: what the next segment is written into, and what
 * becomes of those that no store needs any more.
 *
 *     chain:  oldest ... newest (groups go here)        free: at most FREE_SEGMENT_COUNT_MAX
 *                |                                              |
 *                +--- at or below the low-water LSN ----------->+---> the next newest
 *                                        spare (log_files.c) ---------^
 *
 * A segment is used again as it is, without a truncation: its blocks stay allocated, and only its
 * header tells the new life from the old one.
 *
 * On a full disk no spare can be made, and the low-water mark that would free the oldest segment
 * stands in a header that is only written with the next segment. So then the oldest one is used
 * again by the mark of now, which the header that is written into it will name. Where the mark does
 * not let it go, appends are refused before the current segment is full
 * (store_log_chain_is_spent()), so that as a rule no record waits for a file that does not come.
 *
 * All of it belongs to the log thread once that runs, and to the thread that starts the log before.
 * FORMAT.md, "The commit log".
 */
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "server/storage/commit_log.h"

#define SPARE_WAIT_US 100000
#define FULL_WAIT_US_MAX 5000000  /* for a file on a full disk */
#define FREE_SEGMENT_COUNT_MAX 6u /* about as many as a checkpoint lets go at once */

/* Never 0, which stands for "no segment before". A file that is used again gets a new incarnation,
 * so that groups of its former life, still on the disk behind the new ones, are told from them. */
uint64_t store_log_random(void)
{
    uint64_t value = 0;
    while (value == 0) {
        ssize_t got = getrandom(&value, sizeof value, 0);
        CELLAR_ASSERT(got == (ssize_t)sizeof value || errno == EINTR);
    }
    return value;
}

/* Syncs a segment's data; the fault build shows that the power-loss test notices its absence. */
enum cellar_status store_log_segment_sync(int descriptor)
{
    CELLAR_ASSERT(descriptor >= 0);
#ifdef CELLAR_FAULT_SKIP_LOG_SYNC
    (void)descriptor;
    return CELLAR_OK;
#else
    return fdatasync(descriptor) == 0 ? CELLAR_OK : CELLAR_IO_ERROR;
#endif
}

/* Gives files that hold nothing needed to the free list; removes what is too many. The oldest
 * segment goes when the second one begins no later than one LSN above the low-water mark that the
 * newest header names. That header is on the disk: a start after a crash reads it and needs nothing
 * older. The mark in memory may be ahead of it and does not count here. */
void store_log_chain_trim(struct store_log *log)
{
    const struct store_log_segments *chain = &log->chain;
    while (chain->count > 1 && chain->items[1].header.first_lsn - 1 <=
                                   chain->items[chain->count - 1].header.low_water_lsn) {
        struct store_log_segment oldest = store_log_segments_shift(&log->chain);
        if (log->free.count >= FREE_SEGMENT_COUNT_MAX) {
            store_log_file_remove(log->directory, &oldest.file);
            continue;
        }
        memset(&oldest.header, 0, sizeof oldest.header);
        if (store_log_segments_push(&log->free, &oldest) != CELLAR_OK) {
            store_log_file_remove(log->directory, &oldest.file);
        }
    }
    CELLAR_ASSERT(chain->count >= 1);
    atomic_store(&log->segment_count, chain->count);
    atomic_store(&log->free_count, log->free.count);
}

/* A free file of another size is from before log_segment_bytes was changed, or a kill cut its
 * filling short. */
bool store_log_chain_take_free(struct store_log *log, struct store_log_segment *segment)
{
    bool is_found = false;
    while (!is_found && log->free.count > 0) {
        *segment = store_log_segments_shift(&log->free);
        is_found = segment->file_bytes == log->segment_bytes;
        if (!is_found) {
            store_log_file_remove(log->directory, &segment->file);
        }
    }
    atomic_store(&log->free_count, log->free.count);
    CELLAR_ASSERT(!is_found || segment->file.descriptor >= 0);
    return is_found;
}

/* Puts a header into its place, alone and synced. */
static enum cellar_status header_write(const struct store_log *log,
                                       const struct store_log_segment *segment)
{
    uint8_t *block = cellar_mem_zalloc(1, log->alignment);
    if (block == NULL) {
        return CELLAR_NO_MEMORY;
    }
    CELLAR_ASSERT(segment->header.low_water_lsn < segment->header.first_lsn);
    store_log_header_encode(&segment->header, block);
    enum cellar_status status =
        store_file_write(segment->file.descriptor, 0, block, log->alignment);
    cellar_mem_free(block);
    CELLAR_TRY(status);
    return store_log_segment_sync(segment->file.descriptor);
}

/* One at a time, and only one that is used again as it is: until the new header is on the disk, a
 * start must find the old segment where it was, as the newest header there still counts on it. The
 * new header is one block, which a disk does not tear: it is there, with the mark that lets the old
 * segment go, or the old one is. */
void store_log_chain_reclaim(struct store_log *log)
{
    const struct store_log_segments *chain = &log->chain;
    if (log->free.count > 0 || chain->count < 2 ||
        chain->items[0].file_bytes != log->segment_bytes ||
        chain->items[1].header.first_lsn - 1 > atomic_load(&log->low_water_lsn)) {
        return;
    }
    struct store_log_segment oldest = chain->items[0];
    memset(&oldest.header, 0, sizeof oldest.header);
    if (store_log_segments_push(&log->free, &oldest) == CELLAR_OK) {
        (void)store_log_segments_shift(&log->chain);
    }
    CELLAR_ASSERT(chain->count >= 1);
    atomic_store(&log->segment_count, chain->count);
    atomic_store(&log->free_count, log->free.count);
}

/* All records of the newest segment lie at or below the low-water mark, or it has none. Nothing of
 * the file is written before its new header is: a start that is cut off finds one or the other,
 * and both lead to the same end of the log. Its number goes on counting, as free files have old
 * headers with theirs. */
bool store_log_chain_take_spent(struct store_log *log, struct store_log_segment *segment)
{
    CELLAR_ASSERT(!log->is_started);
    if (log->chain.count == 0) {
        return false;
    }
    const struct store_log_segment *newest = store_log_chain_newest(log);
    bool is_empty = newest->header.first_lsn == log->recovered_lsn + 1;
    bool is_spent = log->chain.count == 1 && atomic_load(&log->low_water_lsn) >= log->recovered_lsn;
    if ((!is_empty && !is_spent) || newest->file_bytes != log->segment_bytes) {
        return false;
    }
    *segment = *newest;
    log->chain.count--;
    return true;
}

/* A quarter is left for the record that was let in last, which may be that large, and for empty
 * ones. */
bool store_log_chain_is_spent(const struct store_log *log)
{
    CELLAR_ASSERT(log->is_started);
    return store_log_spare_has_failed(&log->spare) && atomic_load(&log->free_count) == 0 &&
           atomic_load(&log->write_offset) + log->pledged_bytes > log->segment_bytes / 4 * 3;
}

/* A file for the next segment: a free one of the right size, else the spare, else it waits for
 * either. What waits here was let in while the spare was thought to come; it gets an answer in
 * the end, though the log has failed then. */
enum cellar_status store_log_chain_take(struct store_log *log, struct store_log_segment *segment)
{
    int64_t full_us = 0; /* since when the disk is known to be full */
    memset(segment, 0, sizeof *segment);
    for (;;) {
        store_log_chain_trim(log);
        if (store_log_chain_take_free(log, segment)) {
            return CELLAR_OK;
        }
        store_log_spare_request(&log->spare);
        if (store_log_spare_take(&log->spare, SPARE_WAIT_US, &segment->file)) {
            segment->file_bytes = log->segment_bytes;
            return CELLAR_OK;
        }
        CELLAR_ASSERT(log->chain.count > 0); /* the first segment is made by start() */
        if (!store_log_spare_has_failed(&log->spare)) {
            full_us = 0;
            continue;
        }
        store_log_chain_reclaim(log);
        int64_t now_us = cellar_clock_monotonic_us();
        full_us = full_us == 0 ? now_us : full_us;
        if (now_us - full_us > FULL_WAIT_US_MAX) {
            return CELLAR_RESOURCE_EXHAUSTED;
        }
    }
}

/* Writes a fresh header, alone and synced, and makes the segment the current one. The header is
 * synced alone, before any group: a group in a file whose header is still the old one would be
 * taken for rubbish at the next start. Groups of the old incarnation stay in the file behind the
 * new header and are overwritten one by one. */
enum cellar_status store_log_chain_begin(struct store_log *log, struct store_log_segment *segment,
                                         uint64_t first_lsn)
{
    const struct store_log_segments *chain = &log->chain;
    uint64_t low_water_lsn = atomic_load(&log->low_water_lsn);
    const struct store_log_header spent = segment->header; /* of one that is begun again at once */
    const struct store_log_header *last = spent.number > 0 ? &spent : NULL;
    last = chain->count > 0 ? &chain->items[chain->count - 1].header : last;
    segment->header = (struct store_log_header){
        .alignment = log->alignment,
        .segment_bytes = log->segment_bytes,
        .number = last == NULL ? 1 : last->number + 1,
        .incarnation = store_log_random(),
        .previous_incarnation = last == NULL ? 0 : last->incarnation,
        .first_lsn = first_lsn,
        .low_water_lsn = CELLAR_MIN(low_water_lsn, first_lsn - 1),
    };
    memcpy(segment->header.log_id, log->id, sizeof log->id);
    CELLAR_TRY(header_write(log, segment));
    CELLAR_TRY(store_log_segments_push(&log->chain, segment));
    atomic_store(&log->write_offset, log->alignment);
    atomic_store(&log->segment_count, log->chain.count);
    CELLAR_ASSERT(log->chain.count > 0);
    return CELLAR_OK;
}

/* The newest one, to which groups are written; never empty once the log has started. */
struct store_log_segment *store_log_chain_newest(struct store_log *log)
{
    CELLAR_ASSERT(log->chain.count > 0);
    return &log->chain.items[log->chain.count - 1];
}
