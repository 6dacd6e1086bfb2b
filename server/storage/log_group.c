/*
 * One group of the commit log, from the queued records to their answers: gather, write, sync, move
 * the durable LSN, finish. Only the log thread does it.
 *
 * A group is on the disk as a whole or counts as absent, by the CRCs of its header and records.
 * FORMAT.md, "The commit log".
 */
#include "common/clock.h"
#include "common/log.h"
#include "server/storage/commit_log.h"
#include "server/storage/record.h"

/* The most that a record takes of a segment: in a group of its own, with what fills up its last
 * block. */
uint64_t store_log_record_pledge(const struct store_log *log, const struct store_log_record *record)
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
void store_log_group_commit(struct store_log *log, struct store_log_record *records)
{
    uint64_t count = 0;
    uint64_t last_lsn = 0;
    uint64_t pledged_bytes = 0;
    for (const struct store_log_record *record = records; record != NULL; record = record->next) {
        last_lsn = record->entry.lsn;
        pledged_bytes += store_log_record_pledge(log, record);
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
