/*
 * A log's recovery from any bytes: the input becomes the segment files of a directory, behind sound
 * headers that are linked to each other, and the log is opened and replayed, in some runs started
 * and opened again as well. What is told must be in order without a hole that is not told.
 *
 *     byte 0      bits 0-1: segments less one; bit 2: checksums are put right; bit 3: start as well
 *     2 a segment LSNs between its first one and the one before; how far the low water lies below
 *     the rest    the segments' groups, in equal parts
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/log.h"
#include "server/storage/log.h"

#define SEGMENT_BYTES_MAX 65536u
#define SEGMENT_COUNT_MAX 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What a replay has told so far. */
struct seen {
    bool has_any;
    uint64_t next_lsn;
};

static enum cellar_status told(struct seen *seen, uint64_t first_lsn, uint64_t last_lsn)
{
    CELLAR_ASSERT(!seen->has_any || first_lsn == seen->next_lsn);
    CELLAR_ASSERT(first_lsn >= 1 && first_lsn <= last_lsn);
    seen->has_any = true;
    seen->next_lsn = last_lsn + 1;
    return CELLAR_OK;
}

static enum cellar_status record_told(void *context, const struct store_log_entry *entry)
{
    return told(context, entry->lsn, entry->lsn);
}

static enum cellar_status gap_told(void *context, uint64_t first_lsn, uint64_t last_lsn)
{
    return told(context, first_lsn, last_lsn);
}

static char directory[64];

static void directory_remove(void)
{
    (void)rmdir(directory);
}

static const char *directory_get(void)
{
    char *path = directory;
    if (path[0] == '\0') {
        bool has_memory = access("/dev/shm", W_OK) == 0;
        (void)snprintf(path, sizeof directory, "%s/cellar-fuzz-XXXXXX",
                       has_memory ? "/dev/shm" : "/tmp");
        CELLAR_ASSERT(mkdtemp(path) != NULL && atexit(directory_remove) == 0);
        cellar_log_level_set(CELLAR_LOG_ERROR);
    }
    return path;
}

static void file_path(uint64_t index, char *path, size_t bytes)
{
    int length = snprintf(path, bytes, "%s/%08llu.log", directory_get(), (unsigned long long)index);
    CELLAR_ASSERT(length > 0 && (size_t)length < bytes);
}

static void crc_put(uint8_t *segment, size_t at, size_t bytes, size_t crc_at, uint64_t incarnation,
                    uint64_t offset)
{
    uint8_t bound[16];
    cellar_put_u64le(bound, incarnation);
    cellar_put_u64le(bound + 8, offset);
    cellar_put_u32le(segment + crc_at,
                     cellar_crc32c(cellar_crc32c(0, bound, 16), segment + at, bytes));
}

/* Makes the group at `offset` sound, as far as its lengths stay in the segment. */
static void group_seal(uint8_t *segment, size_t bytes, size_t offset, uint64_t incarnation)
{
    size_t end = offset + cellar_get_u32le(segment + offset + 4);
    size_t at = offset + STORE_LOG_GROUP_HEADER_BYTES;
    uint64_t lsn = cellar_get_u64le(segment + offset + 8);
    crc_put(segment, offset, 36, offset + 36, incarnation, offset);
    for (; end <= bytes && at + STORE_LOG_RECORD_HEADER_BYTES <= end; lsn++) {
        size_t span = store_log_record_bytes(cellar_get_u32le(segment + at + 4));
        if (span > end - at) {
            return;
        }
        cellar_put_u64le(segment + at + 8, lsn);
        crc_put(segment, at + 4, span - 4, at, incarnation, at);
        at += span;
    }
}

static void segment_write(const struct store_log_header *header, struct cellar_slice groups,
                          bool must_seal)
{
    char path[96];
    static uint8_t segment[SEGMENT_BYTES_MAX];
    size_t bytes = (size_t)header->segment_bytes;
    memset(segment, 0, bytes);
    store_log_header_encode(header, segment);
    if (groups.bytes > 0) {
        memcpy(segment + STORE_LOG_HEADER_BYTES, groups.data, groups.bytes);
    }
    for (size_t at = 512; must_seal && at + STORE_LOG_GROUP_HEADER_BYTES <= bytes; at += 512) {
        if (memcmp(segment + at, "CGRP", 4) == 0) {
            group_seal(segment, bytes, at, header->incarnation);
        }
    }
    file_path(header->number, path, sizeof path);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CELLAR_ASSERT(descriptor >= 0);
    CELLAR_ASSERT(write(descriptor, segment, bytes) == (ssize_t)bytes);
    (void)close(descriptor);
}

/* Writes the files. @return how many */
static size_t files_write(const uint8_t *data, size_t bytes)
{
    size_t count = 1 + data[0] % SEGMENT_COUNT_MAX;
    if (bytes < 1 + 2 * count) {
        return 0;
    }
    const uint8_t *lsns = data + 1;
    const uint8_t *groups = lsns + 2 * count;
    size_t part = CELLAR_MIN((bytes - 1 - 2 * count) / count, (size_t)SEGMENT_BYTES_MAX / 2);
    struct store_log_header header = {.log_id = "fuzz", .alignment = 512};
    header.segment_bytes = store_log_align(STORE_LOG_HEADER_BYTES + part, 512);
    for (size_t i = 0; i < count; i++) {
        header.number = i + 1;
        header.incarnation = 1000 + i;
        header.previous_incarnation = i == 0 ? 0 : 999 + i;
        header.first_lsn += lsns[2 * i] + (i == 0 ? 1u : 0u);
        header.low_water_lsn =
            header.first_lsn - 1 - CELLAR_MIN(header.first_lsn - 1, (uint64_t)lsns[2 * i + 1]);
        segment_write(&header, cellar_slice_make(groups + i * part, part), (data[0] & 4) != 0);
    }
    return count;
}

static void files_remove(void)
{
    for (uint64_t i = 1; i <= SEGMENT_COUNT_MAX + 4; i++) {
        char path[96];
        file_path(i, path, sizeof path);
        (void)unlink(path);
    }
}

/* Opens and replays. @return the log, or NULL */
static struct store_log *log_read(void)
{
    struct seen seen = {0};
    struct cellar_error error;
    struct store_log *log = NULL;
    struct store_log_visitor visitor = {.context = &seen, .record = record_told, .gap = gap_told};
    cellar_error_clear(&error);
    enum cellar_status status = store_log_open(directory_get(), SEGMENT_BYTES_MAX, &log, &error);
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_DATA_LOSS);
    if (status != CELLAR_OK) {
        CELLAR_ASSERT(log == NULL && error.text[0] != '\0');
        return NULL;
    }
    CELLAR_ASSERT(store_log_replay(log, &visitor, &error) == CELLAR_OK);
    CELLAR_ASSERT(!seen.has_any || seen.next_lsn == store_log_recovered_lsn(log) + 1);
    return log;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0 || files_write(data, bytes) == 0) {
        return 0;
    }
    struct store_log *log = log_read();
    if (log != NULL && (data[0] & 8) != 0) {
        uint64_t recovered_lsn = store_log_recovered_lsn(log);
        CELLAR_ASSERT(store_log_start(log, store_log_low_water(log), NULL) == CELLAR_OK);
        store_log_close(log);
        log = log_read();
        CELLAR_ASSERT(log != NULL && store_log_recovered_lsn(log) == recovered_lsn);
    }
    store_log_close(log);
    files_remove();
    return 0;
}
