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
 * header tells the new life from the old one. All of it belongs to the log thread once that runs,
 * and to the thread that starts the log before. FORMAT.md, "The commit log".
 */
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/mem.h"
#include "server/storage/commit_log.h"

#define SPARE_WAIT_US 100000
#define FREE_SEGMENT_COUNT_MAX 2u

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
}

/* A file for the next segment: a free one of the right size, else the spare, else it waits for
 * either. On a full disk it waits for the spare to be made: the low-water mark that would free an
 * old segment stands in a header, and the next header would need this very file. Sets are refused
 * from the disk's reserve on, so that it should not come to that. A free file of another size is
 * from before log_segment_bytes was changed, or a kill cut its filling short. */
enum cellar_status store_log_chain_take(struct store_log *log, struct store_log_segment *segment)
{
    memset(segment, 0, sizeof *segment);
    for (;;) {
        store_log_chain_trim(log);
        while (log->free.count > 0) {
            *segment = store_log_segments_shift(&log->free);
            if (segment->file_bytes == log->segment_bytes) {
                return CELLAR_OK;
            }
            store_log_file_remove(log->directory, &segment->file);
        }
        store_log_spare_request(&log->spare);
        if (store_log_spare_take(&log->spare, SPARE_WAIT_US, &segment->file)) {
            segment->file_bytes = log->segment_bytes;
            return CELLAR_OK;
        }
        CELLAR_ASSERT(log->chain.count > 0); /* the first segment is made by start() */
    }
}

/* Writes a fresh header, alone and synced, and makes the segment the current one. The header is
 * synced alone, before any group: a group in a file whose header is still the old one would be
 * taken for rubbish at the next start. Groups of the old incarnation stay in the file behind the
 * new header and are overwritten one by one. */
enum cellar_status store_log_chain_begin(struct store_log *log, struct store_log_segment *segment,
                                         uint64_t first_lsn)
{
    uint8_t *block = cellar_mem_zalloc(1, log->alignment);
    if (block == NULL) {
        return CELLAR_NO_MEMORY;
    }
    const struct store_log_segments *chain = &log->chain;
    uint64_t low_water_lsn = atomic_load(&log->low_water_lsn);
    const struct store_log_header *last =
        chain->count > 0 ? &chain->items[chain->count - 1].header : NULL;
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
    store_log_header_encode(&segment->header, block);
    enum cellar_status status =
        store_file_write(segment->file.descriptor, 0, block, log->alignment);
    cellar_mem_free(block);
    CELLAR_TRY(status);
    CELLAR_TRY(store_log_segment_sync(segment->file.descriptor));
    CELLAR_TRY(store_log_segments_push(&log->chain, segment));
    log->write_offset = log->alignment;
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
