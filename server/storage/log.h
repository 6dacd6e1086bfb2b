#ifndef CELLAR_STORAGE_LOG_H
#define CELLAR_STORAGE_LOG_H

#include "common/metric.h"
#include "common/status.h"
#include "common/sync.h"
#include "server/storage/log_segment.h"

/*
 * The commit log: one for all stores of a server. Records are queued under the append lock, which
 * gives them their LSN and so their order; a log thread writes whatever is queued as one group,
 * syncs it, moves the durable LSN and calls the records' `done`.
 *
 * An LSN has meaning only with the log's id. The life of a log: open (reads), replay (any number of
 * times), start (repairs the tail, begins a fresh segment), append ..., close.
 */

struct store_log;
struct store_log_record;

/** The end of an append, on the log thread, in LSN order: CELLAR_OK (durable),
 * CELLAR_OUTCOME_UNKNOWN (the write or sync failed) or CELLAR_IO_ERROR (never written). Must not
 * block; may free the record. */
typedef void store_log_done_fn(struct store_log_record *record, enum cellar_status status);

/** A record to append. Memory and payload are the caller's and stay until `done`. */
struct store_log_record {
    struct store_log_record *next; /* the log's */
    struct store_log_entry entry;  /* the caller sets all but the LSN */
    store_log_done_fn *done;
};

/** What a replay calls for each thing it meets, in LSN order. */
struct store_log_visitor {
    void *context;
    /** A sound record. Its failure ends the replay with that status. */
    enum cellar_status (*record)(void *context, const struct store_log_entry *entry);
    /** LSNs first..last cannot be read; CELLAR_OK when nobody needs them. */
    enum cellar_status (*gap)(void *context, uint64_t first_lsn, uint64_t last_lsn);
    /** NULL, or called for each group before its records. @param file_index  which file */
    void (*group)(void *context, uint64_t file_index, const struct store_log_group *group);
};

/**
 * Opens the log in a directory and reads it to its end; writes nothing, unless there is no segment:
 * then a new log with a random id begins at LSN 1.
 *
 * @param directory      exists; borrowed until close
 * @param segment_bytes  size of segments made from now on, a multiple of 64 KiB, 64 KiB to 1 GiB
 * @return CELLAR_OK; CELLAR_DATA_LOSS (segments of two logs, a damaged file where one is needed is
 * told by replay), CELLAR_FAILED_PRECONDITION (another version), CELLAR_IO_ERROR, CELLAR_NO_MEMORY
 */
enum cellar_status store_log_open(const char *directory, uint64_t segment_bytes,
                                  struct store_log **log, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Opens it as above, but the files for reading only: it is replayed and closed, never started.
 * Errors as above. */
enum cellar_status store_log_open_read(const char *directory, struct store_log **log,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/** The log's id, 16 bytes, constant. */
const uint8_t *store_log_id(const struct store_log *log);

/** The last LSN that was there at open, 0 for a new log. */
uint64_t store_log_recovered_lsn(const struct store_log *log);

/** The newest low-water LSN found at open; later the one last set. */
uint64_t store_log_low_water(const struct store_log *log);

/**
 * Reads all records again, in order, before store_log_start().
 *
 * @return CELLAR_OK, what the visitor returned, CELLAR_IO_ERROR, CELLAR_NO_MEMORY
 */
enum cellar_status store_log_replay(struct store_log *log, const struct store_log_visitor *visitor,
                                    struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Makes durable what was read, begins a fresh segment and starts the log thread.
 *
 * @param low_water_lsn  no store has an unapplied record at or below it
 * @return CELLAR_OK, CELLAR_RESOURCE_EXHAUSTED (disk full), CELLAR_IO_ERROR, CELLAR_NO_MEMORY
 */
enum cellar_status store_log_start(struct store_log *log, uint64_t low_water_lsn,
                                   struct cellar_error *error) CELLAR_MUST_USE;

/** Takes the append lock. Held for memory work only. Any thread. */
void store_log_lock(struct store_log *log);

/** Lets the append lock go and wakes the log thread if something was appended. */
void store_log_unlock(struct store_log *log);

/** With the append lock: CELLAR_OK when appends are taken; CELLAR_IO_ERROR after a failure,
 * CELLAR_UNAVAILABLE while stopping, CELLAR_RESOURCE_EXHAUSTED when the disk is full and the log
 * has no room for another record. */
enum cellar_status store_log_check(const struct store_log *log) CELLAR_MUST_USE;

/** With the append lock, after a good store_log_check(): gives the record the next LSN and queues
 * it. @return the LSN */
uint64_t store_log_append(struct store_log *log, struct store_log_record *record);

/** With the append lock: the LSN that the next append gets, and the bytes appended so far. */
uint64_t store_log_next_lsn(const struct store_log *log);
uint64_t store_log_position(const struct store_log *log);

/** All records at or below are durable. Any thread. */
uint64_t store_log_durable_lsn(const struct store_log *log);

/** Waits until `lsn` is durable. @return false when the log failed before */
bool store_log_wait_durable(struct store_log *log, uint64_t lsn);

/** Tells that no store has an unapplied record at or below `lsn`; never goes back. Any thread. */
void store_log_low_water_set(struct store_log *log, uint64_t lsn);

/** Delays every group by `us` microseconds from here on, 0 ends it: back-pressure. Any thread. */
void store_log_throttle(struct store_log *log, uint64_t us);

/** True once a write or sync has failed: no append is taken until the server starts again. Any
 * thread. */
bool store_log_has_failed(const struct store_log *log);

/** Has the next segment made now rather than when it is needed: from then on its space is the
 * log's. Any thread, cheap. */
void store_log_space_keep(struct store_log *log);

/** True while the next segment cannot be made, for lack of space most likely. Any thread. */
bool store_log_is_short_of_space(const struct store_log *log);

/** Counts for `info`: segment files in use, groups written, records written. Any thread. */
void store_log_counts(const struct store_log *log, uint64_t *segment_count, uint64_t *group_count,
                      uint64_t *record_count);

/** Shows the log's metrics; takes the append lock for a moment. Any thread. */
void store_log_show(struct store_log *log, struct cellar_metric_page *page);

/** Takes no more appends, writes what is queued and an empty group, stops the thread. Without start
 * it does nothing. */
void store_log_stop(struct store_log *log);

/** Stops and frees; takes NULL. */
void store_log_close(struct store_log *log);

#endif
