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
 * Which file the next segment goes to is log_chain.c's; how files are made, log_files.c's.
 *
 * Threads: the queue belongs to the lock; chain, free and the group memory belong to the log thread
 * once it runs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/commit_log.h"
#include "server/storage/record.h"

#define IDLE_US 1000000     /* without writes for so long: an empty group */
#define FULL_LOOK_US 100000 /* on a full disk: whether an old segment can be had */

/* ---- groups ---------------------------------------------------------------------------------- */

/* The most that a record takes of a segment: in a group of its own, with what fills up its last
 * block. */
static uint64_t record_pledge(const struct store_log *log, const struct store_log_record *record)
{
    CELLAR_ASSERT(log->alignment >= STORE_LOG_ALIGNMENT_MIN);
    return store_log_align(STORE_LOG_GROUP_HEADER_BYTES +
                               store_log_record_bytes(record->entry.payload.bytes),
                           log->alignment);
}

/* Lays the queued records into the group's memory: one copy of the payloads, from where the
 * writers' batches hold them. CRCs cover offset and incarnation too, so that a group that lies
 * elsewhere is none. @return bytes without padding */
static size_t group_gather(struct store_log *log, const struct store_log_record *records)
{
    const struct store_log_segment *segment = store_log_chain_newest(log);
    struct store_log_group group = {
        .first_lsn = records->entry.lsn,
        .durable_lsn = atomic_load(&log->durable_lsn),
        .offset = atomic_load(&log->write_offset),
        .incarnation = segment->header.incarnation,
    };
    uint8_t *at = log->group + STORE_LOG_GROUP_HEADER_BYTES;
    for (const struct store_log_record *record = records; record != NULL; record = record->next) {
        at = store_log_record_encode(at, &record->entry, group.incarnation,
                                     group.offset + (uint64_t)(at - log->group));
        group.record_count++;
    }
    size_t bytes = (size_t)(at - log->group);
    CELLAR_ASSERT(bytes <= log->group_capacity);
    group.bytes = cellar_slice_make(log->group, bytes);
    store_log_group_encode(log->group, &group);
    return bytes;
}

/* What group_gather() will write, to find out before whether it fits. */
static size_t records_bytes(const struct store_log_record *records)
{
    size_t bytes = STORE_LOG_GROUP_HEADER_BYTES;
    for (const struct store_log_record *record = records; record != NULL; record = record->next) {
        bytes += store_log_record_bytes(record->entry.payload.bytes);
    }
    CELLAR_ASSERT(bytes > STORE_LOG_GROUP_HEADER_BYTES);
    return bytes;
}

/* Begins another segment when the group does not fit; asks for a spare file in time. */
static enum cellar_status group_make_room(struct store_log *log, size_t padded_bytes,
                                          uint64_t first_lsn)
{
    if (atomic_load(&log->write_offset) + padded_bytes > log->segment_bytes) {
        struct store_log_segment segment;
        CELLAR_TRY(store_log_chain_take(log, &segment));
        CELLAR_TRY(store_log_chain_begin(log, &segment, first_lsn));
    }
    uint64_t write_offset = atomic_load(&log->write_offset);
    if (write_offset > log->segment_bytes / 2 && log->free.count == 0) {
        store_log_spare_request(&log->spare);
    }
    CELLAR_ASSERT(write_offset + padded_bytes <= log->segment_bytes);
    return CELLAR_OK;
}

/* `done` may free the record, so the next one is read first. */
static void records_finish(struct store_log_record *records, enum cellar_status status)
{
    while (records != NULL) {
        struct store_log_record *next = records->next;
        CELLAR_ASSERT(records->done != NULL);
        records->done(records, status);
        records = next;
    }
}

/* Zeroes up to the block's end, since the disk writes whole blocks: the next group begins on a
 * block of its own and cannot spoil this one. */
static enum cellar_status group_write(struct store_log *log, struct store_log_record *records)
{
    size_t padded = (size_t)store_log_align(records_bytes(records), log->alignment);
    CELLAR_TRY(group_make_room(log, padded, records->entry.lsn));
    size_t bytes = group_gather(log, records);
    CELLAR_ASSERT(bytes <= padded);
    memset(log->group + bytes, 0, padded - bytes);
    int descriptor = store_log_chain_newest(log)->file.descriptor;
    uint64_t offset = atomic_load(&log->write_offset);
    CELLAR_TRY(store_file_write(descriptor, offset, log->group, padded));
    atomic_store(&log->write_offset, offset + padded);
    cellar_counter_add(&log->written_bytes, padded);
    return CELLAR_OK;
}

/* Stored before the lock is taken: a waiter that looks with the lock held either sees the new LSN
 * or is already waiting and gets the broadcast. */
static void durable_move(struct store_log *log, uint64_t lsn, uint64_t pledged_bytes)
{
    CELLAR_ASSERT(lsn > atomic_load(&log->durable_lsn));
    atomic_store(&log->durable_lsn, lsn);
    cellar_mutex_lock(&log->lock);
    CELLAR_ASSERT(log->pledged_bytes >= pledged_bytes);
    log->pledged_bytes -= pledged_bytes;
    cellar_cond_broadcast(&log->synced);
    cellar_mutex_unlock(&log->lock);
}

/* Stops acknowledging: this group's outcome is unknown, what is queued behind it was never written.
 * After a failed fdatasync the kernel may have dropped the dirty pages and marked them clean, so a
 * second sync that succeeds proves nothing. Hence no second try, ever; a restart reads what is
 * really there. */
static void log_fail(struct store_log *log, struct store_log_record *records,
                     enum cellar_status status)
{
    CELLAR_ASSERT(status != CELLAR_OK);
    atomic_store(&log->has_failed, true);
    cellar_log(
        CELLAR_LOG_ERROR, "log_failed",
        "directory=%s lsn=%llu status=%s action=\"no write is acknowledged until a restart\"",
        log->directory, (unsigned long long)atomic_load(&log->durable_lsn) + 1,
        cellar_status_text(status));
    cellar_mutex_lock(&log->lock);
    struct store_log_record *queued = log->first;
    log->first = NULL;
    log->last = NULL;
    cellar_cond_broadcast(&log->synced);
    cellar_mutex_unlock(&log->lock);
    records_finish(records, CELLAR_OUTCOME_UNKNOWN);
    records_finish(queued, CELLAR_IO_ERROR);
    CELLAR_ASSERT(atomic_load(&log->has_failed));
}

/* The order is what durability rests on: write, sync, move the LSN, answer. Between move and answer
 * readers may see a write that its writer does not know of yet, which is allowed; the opposite is
 * not. */
static void group_commit(struct store_log *log, struct store_log_record *records)
{
    uint64_t count = 0;
    uint64_t last_lsn = 0;
    uint64_t pledged_bytes = 0;
    for (const struct store_log_record *record = records; record != NULL; record = record->next) {
        last_lsn = record->entry.lsn;
        pledged_bytes += record_pledge(log, record);
        count++;
    }
    enum cellar_status status = group_write(log, records);
#ifdef CELLAR_FAULT_ANSWER_BEFORE_SYNC
    if (status == CELLAR_OK) {
        durable_move(log, last_lsn, pledged_bytes);
        records_finish(records, CELLAR_OK);
        records = NULL;
    }
#endif
    if (status == CELLAR_OK) {
        int64_t start_us = cellar_clock_monotonic_us();
        status = store_log_segment_sync(store_log_chain_newest(log)->file.descriptor);
        cellar_histogram_add(&log->sync_times, cellar_clock_monotonic_us() - start_us);
    }
    if (status != CELLAR_OK) {
        log_fail(log, records, status);
        return;
    }
    atomic_fetch_add(&log->group_count, 1);
    atomic_fetch_add(&log->record_count, count);
    if (records != NULL) {
        durable_move(log, last_lsn, pledged_bytes);
        records_finish(records, CELLAR_OK);
    }
    CELLAR_ASSERT(atomic_load(&log->durable_lsn) >= last_lsn);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* `position` counts bytes of records since the start, whatever segment they go to: the measure for
 * log_unapplied_bytes_max. */
static void append_queue(struct store_log *log, struct store_log_record *record)
    CELLAR_REQUIRES(log->lock)
{
    record->entry.lsn = log->next_lsn++;
    record->next = NULL;
    log->pledged_bytes += record_pledge(log, record);
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
static void *log_run(void *context)
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
            group_commit(log, records);
        }
    }
    return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* The device's physical block, at least 512: groups begin on it, so that one torn block spoils one
 * group. */
static uint32_t alignment_of(const char *directory)
{
    struct stat facts;
    uint32_t alignment = STORE_LOG_ALIGNMENT_MIN;
    if (stat(directory, &facts) != 0) {
        return alignment;
    }
    char path[96];
    char text[16] = {0};
    (void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/queue/physical_block_size",
                   (unsigned)(facts.st_dev >> 8) & 0xfffu, (unsigned)facts.st_dev & 0xffu);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        unsigned long block = fgets(text, sizeof text, file) != NULL ? strtoul(text, NULL, 10) : 0;
        if (block > alignment && block <= STORE_LOG_ALIGNMENT_MAX && (block & (block - 1)) == 0) {
            alignment = (uint32_t)block;
        }
        (void)fclose(file);
    }
    CELLAR_ASSERT(alignment >= STORE_LOG_ALIGNMENT_MIN);
    return alignment;
}

/* Takes a log in any state of its opening; files stay as they are. */
static void log_free(struct store_log *log)
{
    for (size_t i = 0; i < log->chain.count; i++) {
        (void)close(log->chain.items[i].file.descriptor);
    }
    for (size_t i = 0; i < log->free.count; i++) {
        (void)close(log->free.items[i].file.descriptor);
    }
    CELLAR_ASSERT(!log->is_started);
    cellar_cond_fini(&log->synced);
    cellar_cond_fini(&log->queued);
    cellar_mutex_fini(&log->lock);
    cellar_mem_free(log->chain.items);
    cellar_mem_free(log->free.items);
    cellar_mem_free(log->group);
    cellar_mem_free(log);
}

enum cellar_status store_log_open(const char *directory, uint64_t segment_bytes,
                                  struct store_log **log, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(segment_bytes >= 65536 && segment_bytes % 65536 == 0);
    struct store_log *opened = cellar_mem_zalloc(1, sizeof *opened);
    if (opened == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the commit log");
    }
    cellar_mutex_init(&opened->lock);
    cellar_cond_init(&opened->queued);
    cellar_cond_init(&opened->synced);
    opened->directory = directory;
    opened->segment_bytes = segment_bytes;
    opened->file_index_next = 1;
    enum cellar_status status = store_log_recover(opened, error);
    if (status == CELLAR_OK && opened->chain.count == 0) {
        opened->alignment = alignment_of(directory);
        uint64_t halves[2] = {store_log_random(), store_log_random()};
        memcpy(opened->id, halves, sizeof opened->id);
    }
    if (status == CELLAR_OK) {
        opened->group_capacity = (size_t)store_log_align(
            CELLAR_MAX(segment_bytes / 4, segment_bytes / 8) + 2 * STORE_LOG_GROUP_HEADER_BYTES,
            opened->alignment);
        opened->group = cellar_mem_alloc(opened->group_capacity);
        status = opened->group == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
    }
    if (status != CELLAR_OK) {
        log_free(opened);
        return status;
    }
    opened->next_lsn = opened->recovered_lsn + 1;
    *log = opened;
    return CELLAR_OK;
}

/* Groups that may live in the page cache only are written again, the same bytes, and synced. A
 * killed process leaves writes that were never synced in the kernel's cache, where this start has
 * read them. Nobody was told of them, but the chain goes on behind them, so they must be on the
 * disk before anything is built on them. Writing the same bytes once more makes their pages dirty,
 * which they may not be any more after an earlier sync that failed. */
static enum cellar_status tail_repair(struct store_log *log)
{
    const struct store_log_segment *segment = store_log_chain_newest(log);
    size_t bytes = (size_t)(log->tail_end - log->tail_offset);
    size_t got = 0;
    uint8_t *memory = cellar_mem_alloc(CELLAR_MAX(bytes, (size_t)log->alignment));
    if (memory == NULL) {
        return CELLAR_NO_MEMORY;
    }
    int descriptor = segment->file.descriptor;
    enum cellar_status status = store_file_read(descriptor, 0, memory, log->alignment, &got);
    if (status == CELLAR_OK) {
        status = store_file_write(descriptor, 0, memory, got);
    }
    if (status == CELLAR_OK && bytes > 0) {
        status = store_file_read(descriptor, log->tail_offset, memory, bytes, &got);
    }
    if (status == CELLAR_OK && bytes > 0) {
        CELLAR_ASSERT(got == bytes);
        status = store_file_write(descriptor, log->tail_offset, memory, bytes);
    }
    if (status == CELLAR_OK) {
        status = store_log_segment_sync(descriptor);
    }
    cellar_mem_free(memory);
    return status;
}

/* The fresh segment's file: a free one, or a new one made at once. On a full disk an old one whose
 * records all stores have applied. */
static enum cellar_status fresh_take(struct store_log *log, struct store_log_segment *segment,
                                     struct cellar_error *error)
{
    if (store_log_chain_take_free(log, segment)) {
        return CELLAR_OK;
    }
    enum cellar_status status = store_log_file_create(log->directory, log->file_index_next,
                                                      log->segment_bytes, &segment->file, error);
    if (status == CELLAR_OK) {
        log->file_index_next++;
        segment->file_bytes = log->segment_bytes;
        return CELLAR_OK;
    }
    CELLAR_ASSERT(log->file_index_next > 0);
    if (status == CELLAR_NO_MEMORY) {
        return status;
    }
    store_log_chain_reclaim(log);
    if (store_log_chain_take_free(log, segment) || store_log_chain_take_spent(log, segment)) {
        return CELLAR_OK;
    }
    return status;
}

static enum cellar_status fresh_begin(struct store_log *log, struct cellar_error *error)
{
    struct store_log_segment segment = {.file = {-1, 0}};
    CELLAR_TRY(fresh_take(log, &segment, error));
    enum cellar_status status = store_log_chain_begin(log, &segment, log->recovered_lsn + 1);
    if (status != CELLAR_OK) {
        (void)close(segment.file.descriptor);
        return cellar_error_set(error, status, "cannot begin a log segment in %s", log->directory);
    }
    CELLAR_ASSERT(log->chain.count > 0);
    return CELLAR_OK;
}

/* A start always begins a segment of its own. What is torn at the end of the last one is never half
 * overwritten so, and the new header's low-water mark lets old segments go at once.
 */
enum cellar_status store_log_start(struct store_log *log, uint64_t low_water_lsn,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(!log->is_started && !log->is_read_only);
    CELLAR_ASSERT(low_water_lsn <= log->recovered_lsn);
    if (log->chain.count > 0) {
        enum cellar_status status = tail_repair(log);
        if (status != CELLAR_OK) {
            return cellar_error_set(error, status, "cannot make the log in %s durable",
                                    log->directory);
        }
    }
    CELLAR_TRY(store_directory_sync(log->directory, error));
    store_log_low_water_set(log, low_water_lsn);
    CELLAR_TRY(fresh_begin(log, error));
    store_log_chain_trim(log);
    atomic_store(&log->durable_lsn, log->recovered_lsn);
    log->last_was_empty = true;
    CELLAR_TRY(store_log_spare_start(&log->spare, log->directory, log->segment_bytes,
                                     log->file_index_next));
    log->is_started = true;
    if (pthread_create(&log->thread, NULL, log_run, log) != 0) {
        log->is_started = false;
        store_log_spare_stop(&log->spare);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "cannot start the log thread");
    }
    return CELLAR_OK;
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

void store_log_close(struct store_log *log)
{
    if (log != NULL) {
        store_log_stop(log);
        CELLAR_ASSERT(!log->is_started);
        log_free(log);
    }
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
