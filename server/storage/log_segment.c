/*
 * Segment header, groups and records as bytes. FORMAT.md, "The commit log", is the authority.
 *
 *     | header | pad | group | pad | group | pad | zeros ...
 *
 * A header occupies the first alignment unit of the file, each group begins on one. Every checksum
 * covers the segment's incarnation and the place in the file, so that what an earlier use of the
 * file left behind, or what a device wrote to the wrong place, never looks sound.
 *
 * All functions are pure; the readers take any bytes.
 */
#include "server/storage/log_segment.h"

#include "common/crc32c.h"

static const uint8_t header_magic[8] = {'C', 'E', 'L', 'L', 'A', 'R', 'L', 'G'};
static const uint8_t group_magic[4] = {'C', 'G', 'R', 'P'};

static_assert(STORE_LOG_HEADER_BYTES <= STORE_LOG_ALIGNMENT_MIN, "a header is one unit");

/* One unit of the device, checksum last: it is there whole or not at all. */
void store_log_header_encode(const struct store_log_header *header, uint8_t *to)
{
    CELLAR_ASSERT(header->incarnation != 0);
    CELLAR_ASSERT(header->alignment >= STORE_LOG_ALIGNMENT_MIN);
    memset(to, 0, STORE_LOG_HEADER_BYTES);
    memcpy(to, header_magic, sizeof header_magic);
    cellar_put_u32le(to + 8, STORE_LOG_FORMAT_VERSION);
    cellar_put_u32le(to + 12, header->alignment);
    memcpy(to + 16, header->log_id, STORE_LOG_ID_BYTES);
    cellar_put_u64le(to + 32, header->number);
    cellar_put_u64le(to + 40, header->incarnation);
    cellar_put_u64le(to + 48, header->previous_incarnation);
    cellar_put_u64le(to + 56, header->first_lsn);
    cellar_put_u64le(to + 64, header->low_water_lsn);
    cellar_put_u64le(to + 72, header->segment_bytes);
    cellar_put_u32le(to + STORE_LOG_HEADER_BYTES - 4,
                     cellar_crc32c(0, to, STORE_LOG_HEADER_BYTES - 4));
}

/* Checksum before version: only a sound header can say of which version it is. Numbers are bounded,
 * since sums are made with them. */
enum cellar_status store_log_header_decode(const uint8_t *from, struct store_log_header *header)
{
    CELLAR_ASSERT(from != NULL && header != NULL);
    uint32_t crc = cellar_crc32c(0, from, STORE_LOG_HEADER_BYTES - 4);
    if (memcmp(from, header_magic, sizeof header_magic) != 0 ||
        cellar_get_u32le(from + STORE_LOG_HEADER_BYTES - 4) != crc) {
        return CELLAR_NOT_FOUND;
    }
    if (cellar_get_u32le(from + 8) != STORE_LOG_FORMAT_VERSION) {
        return CELLAR_FAILED_PRECONDITION;
    }
    header->alignment = cellar_get_u32le(from + 12);
    memcpy(header->log_id, from + 16, STORE_LOG_ID_BYTES);
    header->number = cellar_get_u64le(from + 32);
    header->incarnation = cellar_get_u64le(from + 40);
    header->previous_incarnation = cellar_get_u64le(from + 48);
    header->first_lsn = cellar_get_u64le(from + 56);
    header->low_water_lsn = cellar_get_u64le(from + 64);
    header->segment_bytes = cellar_get_u64le(from + 72);
    bool is_sound = header->alignment >= STORE_LOG_ALIGNMENT_MIN &&
                    header->alignment <= STORE_LOG_ALIGNMENT_MAX &&
                    (header->alignment & (header->alignment - 1)) == 0 && header->number > 0 &&
                    header->incarnation != 0 && header->first_lsn > 0 &&
                    header->first_lsn < UINT64_MAX / 2 && header->low_water_lsn < header->first_lsn;
    return is_sound ? CELLAR_OK : CELLAR_NOT_FOUND;
}

/* A checksum that is bound to the segment's use and to the place in the file. */
static uint32_t crc_bound(uint64_t incarnation, uint64_t offset, const uint8_t *data, size_t bytes)
{
    uint8_t bound[16];
    CELLAR_ASSERT(incarnation != 0);
    cellar_put_u64le(bound, incarnation);
    cellar_put_u64le(bound + 8, offset);
    return cellar_crc32c(cellar_crc32c(0, bound, sizeof bound), data, bytes);
}

/* The payload is copied once, here. Three bytes are reserved and zero. */
uint8_t *store_log_record_encode(uint8_t *at, const struct store_log_entry *entry,
                                 uint64_t incarnation, uint64_t offset)
{
    CELLAR_ASSERT(entry->lsn > 0);
    CELLAR_ASSERT(entry->payload.bytes <= UINT32_MAX);
    cellar_put_u32le(at + 4, (uint32_t)entry->payload.bytes);
    cellar_put_u64le(at + 8, entry->lsn);
    cellar_put_u32le(at + 16, entry->store_id);
    at[20] = entry->type;
    memset(at + 21, 0, 3);
    if (entry->payload.bytes > 0) {
        memcpy(at + STORE_LOG_RECORD_HEADER_BYTES, entry->payload.data, entry->payload.bytes);
    }
    size_t bytes = store_log_record_bytes(entry->payload.bytes);
    cellar_put_u32le(at, crc_bound(incarnation, offset, at + 4, bytes - 4));
    return at + bytes;
}

void store_log_group_encode(uint8_t *at, const struct store_log_group *group)
{
    CELLAR_ASSERT(group->record_count > 0);
    CELLAR_ASSERT(group->durable_lsn < group->first_lsn);
    memcpy(at, group_magic, sizeof group_magic);
    cellar_put_u32le(at + 4, (uint32_t)group->bytes.bytes);
    cellar_put_u64le(at + 8, group->first_lsn);
    cellar_put_u64le(at + 16, group->durable_lsn);
    cellar_put_u32le(at + 24, group->record_count);
    memset(at + 28, 0, 8);
    cellar_put_u32le(at + 36, crc_bound(group->incarnation, group->offset, at, 36));
}

/* The length of the sound record at `at`, or 0. The length is not trusted before the checksum, and
 * the checksum not read beyond what is left. */
static size_t record_span(const uint8_t *at, size_t left, uint64_t incarnation, uint64_t offset)
{
    if (left < STORE_LOG_RECORD_HEADER_BYTES) {
        return 0;
    }
    size_t bytes = store_log_record_bytes(cellar_get_u32le(at + 4));
    if (bytes > left || cellar_get_u32le(at) != crc_bound(incarnation, offset, at + 4, bytes - 4)) {
        return 0;
    }
    CELLAR_ASSERT(bytes >= STORE_LOG_RECORD_HEADER_BYTES);
    return bytes;
}

/* LSNs rise by one, and the records fill the group to its last byte. */
static bool records_are_sound(const struct store_log_group *group)
{
    CELLAR_ASSERT(group->record_count > 0);
    size_t done = 0;
    uint64_t lsn = group->first_lsn;
    for (uint32_t i = 0; i < group->record_count; i++, lsn++) {
        const uint8_t *at = group->records.data + done;
        uint64_t offset = group->offset + STORE_LOG_GROUP_HEADER_BYTES + done;
        size_t span = record_span(at, group->records.bytes - done, group->incarnation, offset);
        if (span == 0 || cellar_get_u64le(at + 8) != lsn) {
            return false;
        }
        done += span;
    }
    return done == group->records.bytes;
}

/* From the cheap to the dear: place, magic, the head's checksum, its numbers, then every record.
 * Recovery asks this of each unit of a segment, and most have no group. */
bool store_log_group_decode(struct cellar_slice segment, uint64_t offset, uint64_t incarnation,
                            struct store_log_group *group)
{
    CELLAR_ASSERT(incarnation != 0);
    if (offset > segment.bytes || segment.bytes - offset < STORE_LOG_GROUP_HEADER_BYTES) {
        return false;
    }
    const uint8_t *at = segment.data + offset;
    if (memcmp(at, group_magic, sizeof group_magic) != 0 ||
        cellar_get_u32le(at + 36) != crc_bound(incarnation, offset, at, 36)) {
        return false;
    }
    struct store_log_group found = {
        .first_lsn = cellar_get_u64le(at + 8),
        .durable_lsn = cellar_get_u64le(at + 16),
        .record_count = cellar_get_u32le(at + 24),
        .offset = offset,
        .incarnation = incarnation,
    };
    size_t bytes = cellar_get_u32le(at + 4);
    if (bytes < STORE_LOG_GROUP_HEADER_BYTES || bytes > segment.bytes - offset ||
        found.first_lsn == 0 || found.durable_lsn >= found.first_lsn || found.record_count == 0) {
        return false;
    }
    found.bytes = cellar_slice_make(at, bytes);
    found.records =
        cellar_slice_make(at + STORE_LOG_GROUP_HEADER_BYTES, bytes - STORE_LOG_GROUP_HEADER_BYTES);
    if (!records_are_sound(&found)) {
        return false;
    }
    *group = found;
    return true;
}

/* By the magic only: for a file whose header, and with it the incarnation that checksums need, is
 * lost. */
bool store_log_group_peek(const uint8_t *from, uint64_t *first_lsn)
{
    CELLAR_ASSERT(first_lsn != NULL);
    *first_lsn = cellar_get_u64le(from + 8);
    return memcmp(from, group_magic, sizeof group_magic) == 0;
}

/* Of a group that was found sound, so nothing can fail here. */
bool store_log_entry_next(struct cellar_slice *records, struct store_log_entry *entry)
{
    if (records->bytes == 0) {
        return false;
    }
    const uint8_t *at = records->data;
    size_t bytes = store_log_record_bytes(cellar_get_u32le(at + 4));
    CELLAR_ASSERT(bytes <= records->bytes);
    entry->lsn = cellar_get_u64le(at + 8);
    entry->store_id = cellar_get_u32le(at + 16);
    entry->type = at[20];
    entry->payload = cellar_slice_make(at + STORE_LOG_RECORD_HEADER_BYTES,
                                       bytes - STORE_LOG_RECORD_HEADER_BYTES);
    records->data += bytes;
    records->bytes -= bytes;
    return true;
}
