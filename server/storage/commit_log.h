#ifndef CELLAR_STORAGE_COMMIT_LOG_H
#define CELLAR_STORAGE_COMMIT_LOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/metric.h"
#include "server/storage/log.h"
#include "server/storage/log_files.h"

/* The local log's insides, shared by commit_log.c (queue and thread), log_group.c (writing),
 * log_chain.c (its segments), log_open.c, log_recovery.c (reading) and log_metrics.c, and by
 * check_log.c (reading offline); nobody else includes this. */

#define STORE_LOG_GROUP_SMALL_BYTES_MAX 262144u
#define STORE_LOG_SEGMENT_COUNT_MAX 65536u

/** One segment of the chain or one that is free. */
struct store_log_segment {
    struct store_log_file file;
    struct store_log_header header; /* zero for a free file */
    uint64_t file_bytes;
};

/** Segments by age. */
struct store_log_segments {
    struct store_log_segment *items;
    size_t count;
    size_t capacity;
};

struct store_log {
    const char *directory;
    uint64_t segment_bytes;
    uint32_t alignment;
    bool is_read_only; /* opened to be read: never started */
    uint8_t id[STORE_LOG_ID_BYTES];

    struct store_log_segments chain; /* oldest first; after start the log thread's */
    struct store_log_segments free;  /* after start the log thread's */
    uint64_t recovered_lsn;
    uint64_t tail_offset; /* in the last segment: the first group not proven durable, to the end */
    uint64_t tail_end;
    uint64_t file_index_next;

    struct cellar_mutex lock;
    struct cellar_cond queued;
    struct cellar_cond synced;
    struct store_log_record *first CELLAR_GUARDED_BY(lock);
    struct store_log_record *last CELLAR_GUARDED_BY(lock);
    uint64_t next_lsn CELLAR_GUARDED_BY(lock);
    uint64_t position CELLAR_GUARDED_BY(lock);
    uint64_t pledged_bytes CELLAR_GUARDED_BY(lock); /* of segments, for what is not written yet */
    bool is_waiting CELLAR_GUARDED_BY(lock);        /* the thread waits on `queued` */
    bool is_stopping CELLAR_GUARDED_BY(lock);
    bool is_started;
    pthread_t thread;

    /* the log thread's own */
    uint8_t *group; /* memory of one group */
    size_t group_capacity;
    bool last_was_empty; /* the newest group is an empty one */
    struct store_log_record empty;
    struct store_log_spare spare;

    _Atomic uint64_t write_offset; /* in the current segment, aligned; the log thread moves it */
    _Atomic uint64_t free_count;   /* of `free`, for others */
    _Atomic uint64_t durable_lsn;
    _Atomic uint64_t low_water_lsn;
    _Atomic uint64_t throttle_us;
    _Atomic bool has_failed;
    _Atomic uint64_t segment_count;
    _Atomic uint64_t group_count;
    _Atomic uint64_t record_count;
    struct cellar_counter written_bytes; /* of groups, with what fills up their last block */
    struct cellar_histogram sync_times;  /* of groups */
};

/** Appends to a list of segments. CELLAR_NO_MEMORY. */
enum cellar_status store_log_segments_push(struct store_log_segments *segments,
                                           const struct store_log_segment *segment) CELLAR_MUST_USE;

/** Takes the oldest segment of a list that is not empty. */
struct store_log_segment store_log_segments_shift(struct store_log_segments *segments);

/** Reads the directory into `chain` and `free` and walks the chain to its end: recovered_lsn, tail.
 */
enum cellar_status store_log_recover(struct store_log *log, struct cellar_error *error)
    CELLAR_MUST_USE;

/** The most that a record takes of a segment: in a group of its own, with what fills up its last
 * block. */
uint64_t store_log_record_pledge(const struct store_log *log,
                                 const struct store_log_record *record);

/** Writes and syncs records as one group, moves the durable LSN and finishes them; when that fails,
 * the log has failed and these and the queued ones are told. The log thread. */
void store_log_group_commit(struct store_log *log, struct store_log_record *records);

/** What the log thread runs, until the log stops. @param context  the log. @return NULL */
void *store_log_run(void *context);

/** A random number, never 0. */
uint64_t store_log_random(void);

/** Makes a segment's data durable. IO_ERROR, after which the log may not go on. */
enum cellar_status store_log_segment_sync(int descriptor) CELLAR_MUST_USE;

/** Gives files that hold nothing needed to the free list; removes what is too many. */
void store_log_chain_trim(struct store_log *log);

/** Takes a free file of the right size; removes others that come before it. @return whether there
 * was one */
bool store_log_chain_take_free(struct store_log *log, struct store_log_segment *segment);

/** Where the disk has no room for another segment: makes the oldest one free by the low-water LSN
 * of now rather than by that of the newest header, if none is free and nobody needs it. The log's
 * thread, or the one that starts it. */
void store_log_chain_reclaim(struct store_log *log);

/** At a start on a full disk, behind store_log_chain_reclaim(): takes the newest segment out of the
 * chain to begin it again, if no store needs anything of it. @return whether it did */
bool store_log_chain_take_spent(struct store_log *log, struct store_log_segment *segment);

/** Whether a record may find no segment to go to: none is ready, the disk has no room for another,
 * and the current one must keep the rest for what is under way. With the append lock. */
bool store_log_chain_is_spent(const struct store_log *log) CELLAR_REQUIRES(log->lock);

/** A file for the next segment: a free one of the right size, else the spare, else it waits for
 * either. Only while the log runs. RESOURCE_EXHAUSTED: the disk stayed full for 5 s. */
enum cellar_status store_log_chain_take(struct store_log *log, struct store_log_segment *segment)
    CELLAR_MUST_USE;

/** Writes a fresh header, alone and synced, and makes the segment the newest. IO_ERROR,
 * RESOURCE_EXHAUSTED, NO_MEMORY; the file is the caller's then. */
enum cellar_status store_log_chain_begin(struct store_log *log, struct store_log_segment *segment,
                                         uint64_t first_lsn) CELLAR_MUST_USE;

/** The segment that groups are written to; the chain is not empty. */
struct store_log_segment *store_log_chain_newest(struct store_log *log);

#endif
