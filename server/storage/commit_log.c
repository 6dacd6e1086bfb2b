/*
 * The commit log's writing side: one append lock, one queue, one thread.
 *
 *     append (any thread, under the lock) -> queue -> log thread: gather -> pwrite -> fdatasync ->
 * durable LSN -> done
 *
 * The thread takes whatever is queued, at most 256 KiB of small records, as one group; there is no
 * timer, so a lone writer waits for one sync and many writers share it. At most one group is in
 * flight: a group on the disk proves that all before it are durable.
 *
 * Invariants: LSNs leave the lock consecutive and in queue order; durable_lsn moves after the sync
 * and before any `done`; a segment is reused only when all its records lie at or below the
 * low-water LSN that the current segment's header, already durable, names; after a failed write or
 * sync nothing is acknowledged any more.
 *
 * A group's way to the disk is log_group.c's; which file the next segment goes to, log_chain.c's;
 * how files are made, log_files.c's; opening and starting, log_open.c's.
 *
 * Threads: the queue belongs to the lock; chain, free and the group memory belong to the log thread
 * once it runs.
 */
#include "server/storage/commit_log.h"

#include "common/clock.h"
#include "server/storage/record.h"

#define IDLE_US 1000000     /* without writes for so long: an empty group */
#define FULL_LOOK_US 100000 /* on a full disk: whether an old segment can be had */

/* ---- the thread ------------------------------------------------------------------------------ */

/* `position` counts bytes of records since the start, whatever segment they go to: the measure for
 * log_unapplied_bytes_max. */
static void append_queue(struct store_log *log, struct store_log_record *record)
    CELLAR_REQUIRES(log->lock)
{
    record->entry.lsn = log->next_lsn++;
    record->next = NULL;
    log->pledged_bytes += store_log_record_pledge(log, record);
    if (log->last == NULL) {
        log->first = record;
    } else {
        log->last->next = record;
    }
    log->last = record;
    log->position += store_log_record_bytes(record->entry.payload.bytes);
    CELLAR_ASSERT(log->first != NULL);
}

/* The record is a field of the log, not memory of its own: nothing to free. */
static void empty_done(struct store_log_record *record, enum cellar_status status)
{
    CELLAR_ASSERT(record->entry.type == STORE_RECORD_EMPTY);
    (void)status;
}

static void empty_queue(struct store_log *log) CELLAR_REQUIRES(log->lock)
{
    CELLAR_ASSERT(log->first == NULL);
    log->empty.entry = (struct store_log_entry){.type = STORE_RECORD_EMPTY};
    log->empty.done = empty_done;
    append_queue(log, &log->empty);
}

/* Whether the empty record would wait for a file that does not come. It only guards the last
 * group, and a log that waits for it could not be stopped. */
static bool empty_must_wait(const struct store_log *log) CELLAR_REQUIRES(log->lock)
{
    CELLAR_ASSERT(log->first == NULL);
    return atomic_load(&log->write_offset) + log->alignment > log->segment_bytes &&
           atomic_load(&log->free_count) == 0 && store_log_spare_has_failed(&log->spare);
}

/* Waits for records. With nothing written for a second, or at the end, the queue gets an empty
 * record, so that damage to the last real group cannot look like a torn end. On a full disk it
 * comes back every tenth of a second, without records. */
static void queue_await(struct store_log *log) CELLAR_REQUIRES(log->lock)
{
    int64_t idle_at_us = cellar_clock_monotonic_us() + IDLE_US;
    bool is_idle = false;
    bool is_full = false;
    while (log->first == NULL && !log->is_stopping && !is_idle && !is_full) {
        log->is_waiting = true;
        if (store_log_spare_has_failed(&log->spare)) {
            int64_t look_at_us = cellar_clock_monotonic_us() + FULL_LOOK_US;
            is_full = !cellar_cond_timedwait(&log->queued, &log->lock, look_at_us);
        } else if (log->last_was_empty) {
            cellar_cond_wait(&log->queued, &log->lock);
        } else {
            is_idle = !cellar_cond_timedwait(&log->queued, &log->lock, idle_at_us);
        }
        log->is_waiting = false;
    }
    bool wants_empty = is_idle || is_full || log->is_stopping;
    if (log->first == NULL && !log->last_was_empty && wants_empty && !empty_must_wait(log)) {
        empty_queue(log);
    }
    CELLAR_ASSERT(log->first != NULL || log->is_stopping || is_full || is_idle);
}

/* Cuts off what one group takes: one record at least. Small groups keep the latency of each writer
 * near one sync; a single record may be larger than the limit and then goes alone. An eighth of the
 * segment, so that what is left over at a segment's end is small. */
static struct store_log_record *queue_take(struct store_log *log) CELLAR_REQUIRES(log->lock)
{
    struct store_log_record *first = log->first;
    struct store_log_record *last = first;
    size_t limit = CELLAR_MIN((size_t)STORE_LOG_GROUP_SMALL_BYTES_MAX, log->segment_bytes / 8);
    if (first == NULL) {
        return NULL;
    }
    size_t bytes = store_log_record_bytes(first->entry.payload.bytes);
    while (last->next != NULL) {
        bytes += store_log_record_bytes(last->next->entry.payload.bytes);
        if (bytes > limit) {
            break;
        }
        last = last->next;
    }
    log->first = last->next;
    if (log->first == NULL) {
        log->last = NULL;
    }
    last->next = NULL;
    log->last_was_empty = first->entry.type == STORE_RECORD_EMPTY && last == first;
    CELLAR_ASSERT(first->entry.lsn <= last->entry.lsn);
    return first;
}

/* Sleeps between groups while memtables are near their budget (keeper.c decides when): what the
 * log takes more slowly, writers send more slowly. */
static void throttle_wait(struct store_log *log)
{
    uint64_t us = atomic_load(&log->throttle_us);
    if (us > 0) {
        struct timespec pause = {.tv_sec = (time_t)(us / 1000000),
                                 .tv_nsec = (long)(us % 1000000) * 1000};
        CELLAR_ASSERT(us <= 1000000);
        (void)nanosleep(&pause, NULL);
    }
}

/* The end comes when the queue is empty and the log stops. A log that failed does not wait:
 * log_fail() emptied the queue, and what came since must be answered. On a full disk old segments
 * are taken back as soon as the stores let them go, whether somebody writes or not: what frees
 * space, a drop or the end of a compaction, needs room in the log. */
void *store_log_run(void *context)
{
    struct store_log *log = context;
    CELLAR_ASSERT(log->is_started);
    cellar_thread_name_set("commit-log");
    bool goes_on = true;
    while (goes_on) {
        throttle_wait(log);
        if (!atomic_load(&log->has_failed) && store_log_spare_has_failed(&log->spare)) {
            store_log_chain_reclaim(log);
        }
        cellar_mutex_lock(&log->lock);
        if (!atomic_load(&log->has_failed)) {
            queue_await(log);
        }
        struct store_log_record *records = queue_take(log);
        goes_on = records != NULL || !(log->is_stopping || atomic_load(&log->has_failed));
        cellar_mutex_unlock(&log->lock);
        if (records != NULL) {
            store_log_group_commit(log, records);
        }
    }
    return NULL;
}

/* What is queued is still written: the thread ends when there is nothing more. */
void store_log_stop(struct store_log *log)
{
    if (!log->is_started) {
        return;
    }
    cellar_mutex_lock(&log->lock);
    log->is_stopping = true;
    cellar_cond_broadcast(&log->queued);
    cellar_mutex_unlock(&log->lock);
    int result = pthread_join(log->thread, NULL);
    CELLAR_ASSERT(result == 0);
    store_log_spare_stop(&log->spare);
    log->is_started = false;
}

/* ---- appending and asking -------------------------------------------------------------------- */

void store_log_lock(struct store_log *log) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(log != NULL);
    cellar_mutex_lock(&log->lock);
}

/* The thread is woken after the lock is given back, so that it does not wake only to wait for it;
 * and once for many appends, by the flag. */
void store_log_unlock(struct store_log *log) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(log->first == NULL || log->last != NULL);
    bool must_wake = log->is_waiting && log->first != NULL;
    if (must_wake) {
        log->is_waiting = false;
    }
    cellar_mutex_unlock(&log->lock);
    if (must_wake) {
        cellar_cond_signal(&log->queued);
    }
}

enum cellar_status store_log_check(const struct store_log *log) CELLAR_NO_THREAD_SAFETY
{
    if (atomic_load_explicit(&log->has_failed, memory_order_relaxed)) {
        return CELLAR_IO_ERROR;
    }
    if (log->is_stopping || !log->is_started) {
        return CELLAR_UNAVAILABLE;
    }
    return store_log_chain_is_spent(log) ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_OK;
}

uint64_t store_log_append(struct store_log *log, struct store_log_record *record)
    CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(record->done != NULL);
    CELLAR_ASSERT(record->entry.payload.bytes <= log->segment_bytes / 4);
    append_queue(log, record);
    return record->entry.lsn;
}

uint64_t store_log_next_lsn(const struct store_log *log) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(log->next_lsn > 0);
    return log->next_lsn;
}

uint64_t store_log_position(const struct store_log *log) CELLAR_NO_THREAD_SAFETY
{
    return log->position;
}

/* Acquire, for the reader that then looks at memtables: it sees all entries up to this LSN. */
uint64_t store_log_durable_lsn(const struct store_log *log)
{
    return atomic_load_explicit(&log->durable_lsn, memory_order_acquire);
}

bool store_log_wait_durable(struct store_log *log, uint64_t lsn)
{
    CELLAR_ASSERT(lsn > 0);
    cellar_mutex_lock(&log->lock);
    while (store_log_durable_lsn(log) < lsn && !atomic_load(&log->has_failed)) {
        cellar_cond_wait(&log->synced, &log->lock);
    }
    cellar_mutex_unlock(&log->lock);
    return store_log_durable_lsn(log) >= lsn;
}

/* Only upwards, since keepers of two stores may come in either order. */
void store_log_low_water_set(struct store_log *log, uint64_t lsn)
{
    uint64_t now = atomic_load(&log->low_water_lsn);
    while (now < lsn && !atomic_compare_exchange_weak(&log->low_water_lsn, &now, lsn)) {
    }
    CELLAR_ASSERT(atomic_load(&log->low_water_lsn) >= lsn);
}

void store_log_throttle(struct store_log *log, uint64_t us)
{
    CELLAR_ASSERT(us <= 1000000);
    atomic_store(&log->throttle_us, us);
}

bool store_log_has_failed(const struct store_log *log)
{
    return atomic_load(&log->has_failed);
}

void store_log_space_keep(struct store_log *log)
{
    if (log->is_started && atomic_load(&log->free_count) == 0) {
        store_log_spare_request(&log->spare);
    }
    CELLAR_ASSERT(log->segment_bytes > 0);
}

bool store_log_is_short_of_space(const struct store_log *log)
{
    return log->is_started && store_log_spare_has_failed(&log->spare);
}

void store_log_counts(const struct store_log *log, uint64_t *segment_count, uint64_t *group_count,
                      uint64_t *record_count)
{
    *segment_count = atomic_load(&log->segment_count);
    *group_count = atomic_load(&log->group_count);
    *record_count = atomic_load(&log->record_count);
}

const uint8_t *store_log_id(const struct store_log *log)
{
    return log->id;
}

uint64_t store_log_recovered_lsn(const struct store_log *log)
{
    return log->recovered_lsn;
}

uint64_t store_log_low_water(const struct store_log *log)
{
    return atomic_load(&log->low_water_lsn);
}
