/*
 * Log segments from any bytes: a header, and groups at every 512 bytes under the header's
 * incarnation. Checksums that random bytes never meet are put right first where the input's first
 * byte asks for it, so that what lies behind them is reached too.
 */
#include <stdlib.h>
#include <string.h>

#include "common/crc32c.h"
#include "server/storage/log_segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void header_check(uint8_t *bytes, bool must_seal)
{
    struct store_log_header header;
    uint8_t again[STORE_LOG_HEADER_BYTES];
    if (must_seal) {
        memcpy(bytes, "CELLARLG", 8);
        cellar_put_u32le(bytes + STORE_LOG_HEADER_BYTES - 4,
                         cellar_crc32c(0, bytes, STORE_LOG_HEADER_BYTES - 4));
    }
    enum cellar_status status = store_log_header_decode(bytes, &header);
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NOT_FOUND ||
                  status == CELLAR_FAILED_PRECONDITION);
    if (status == CELLAR_OK) {
        CELLAR_ASSERT(header.first_lsn > header.low_water_lsn && header.incarnation != 0);
        store_log_header_encode(&header, again);
        CELLAR_ASSERT(memcmp(again, bytes, 80) == 0);
    }
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

/* Puts the checksums of the group at `offset` right, as far as its lengths stay in the segment. */
static void group_seal(uint8_t *segment, size_t bytes, size_t offset, uint64_t incarnation)
{
    size_t end = offset + cellar_get_u32le(segment + offset + 4);
    size_t at = offset + STORE_LOG_GROUP_HEADER_BYTES;
    crc_put(segment, offset, 36, offset + 36, incarnation, offset);
    while (end <= bytes && at + STORE_LOG_RECORD_HEADER_BYTES <= end) {
        size_t span = store_log_record_bytes(cellar_get_u32le(segment + at + 4));
        if (span > end - at) {
            return;
        }
        crc_put(segment, at + 4, span - 4, at, incarnation, at);
        at += span;
    }
}

static void group_check(struct cellar_slice segment, size_t offset, uint64_t incarnation)
{
    struct store_log_group group;
    struct store_log_entry entry;
    if (!store_log_group_decode(segment, offset, incarnation, &group)) {
        return;
    }
    uint64_t lsn = group.first_lsn;
    uint32_t record_count = 0;
    struct cellar_slice records = group.records;
    CELLAR_ASSERT(group.offset == offset && group.bytes.bytes <= segment.bytes - offset);
    while (store_log_entry_next(&records, &entry)) {
        CELLAR_ASSERT(entry.lsn == lsn++);
        CELLAR_ASSERT(entry.payload.data + entry.payload.bytes <= segment.data + segment.bytes);
        record_count++;
    }
    CELLAR_ASSERT(record_count == group.record_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) {
        return 0;
    }
    const uint64_t incarnation = 77;
    bool must_seal = data[0] % 2 == 1;
    size_t segment_bytes = bytes - 1;
    uint8_t *segment = malloc(segment_bytes + 1);
    CELLAR_ASSERT(segment != NULL);
    memcpy(segment, data + 1, segment_bytes);
    for (size_t at = 0; at + STORE_LOG_GROUP_HEADER_BYTES <= segment_bytes; at += 512) {
        if (must_seal) {
            memcpy(segment + at, "CGRP", 4);
            group_seal(segment, segment_bytes, at, incarnation);
        }
        group_check(cellar_slice_make(segment, segment_bytes), at, incarnation);
    }
    if (segment_bytes >= STORE_LOG_HEADER_BYTES) {
        header_check(segment, must_seal);
    }
    free(segment);
    return 0;
}
