/*
 * Opening, starting and closing the commit log.
 *
 *     open: reads what is there (log_recovery.c), changes nothing  ->  replay  ->  start: makes the
 * tail durable, begins a fresh segment, starts the thread  ->  close
 *
 * A start that fails leaves files from which the next one reads the same records.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "server/storage/commit_log.h"
#include "server/storage/record.h"

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

/* A log of which nothing is read yet; NULL without memory. */
static struct store_log *log_new(const char *directory, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    struct store_log *log = cellar_mem_zalloc(1, sizeof *log);
    if (log == NULL) {
        (void)cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the commit log");
        return NULL;
    }
    cellar_mutex_init(&log->lock);
    cellar_cond_init(&log->queued);
    cellar_cond_init(&log->synced);
    log->directory = directory;
    log->file_index_next = 1;
    CELLAR_ASSERT(!log->is_started);
    return log;
}

enum cellar_status store_log_open(const char *directory, uint64_t segment_bytes,
                                  struct store_log **log, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(segment_bytes >= 65536 && segment_bytes % 65536 == 0);
    struct store_log *opened = log_new(directory, error);
    if (opened == NULL) {
        return CELLAR_NO_MEMORY;
    }
    opened->segment_bytes = segment_bytes;
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

enum cellar_status store_log_open_read(const char *directory, struct store_log **log,
                                       struct cellar_error *error)
{
    struct store_log *opened = log_new(directory, error);
    if (opened == NULL) {
        return CELLAR_NO_MEMORY;
    }
    opened->is_read_only = true;
    enum cellar_status status = store_log_recover(opened, error);
    if (status != CELLAR_OK) {
        log_free(opened);
        return status;
    }
    CELLAR_ASSERT(!opened->is_started);
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
    if (pthread_create(&log->thread, NULL, store_log_run, log) != 0) {
        log->is_started = false;
        store_log_spare_stop(&log->spare);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "cannot start the log thread");
    }
    return CELLAR_OK;
}

void store_log_close(struct store_log *log)
{
    if (log != NULL) {
        store_log_stop(log);
        CELLAR_ASSERT(!log->is_started);
        log_free(log);
    }
}
