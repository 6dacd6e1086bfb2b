#ifndef CELLAR_STORAGE_LOG_SEGMENT_H
#define CELLAR_STORAGE_LOG_SEGMENT_H

#include "common/buf.h"

/*
 * The bytes of one log segment: its header, its groups, their records. Pure functions over memory;
 * FORMAT.md, "The commit log".
 */

#define STORE_LOG_HEADER_BYTES 512u
#define STORE_LOG_ID_BYTES 16u
#define STORE_LOG_ALIGNMENT_MIN 512u
#define STORE_LOG_ALIGNMENT_MAX 65536u
#define STORE_LOG_GROUP_HEADER_BYTES 40u
#define STORE_LOG_RECORD_HEADER_BYTES 24u
#define STORE_LOG_FORMAT_VERSION 1u

/** A segment's header. */
struct store_log_header {
    uint8_t log_id[STORE_LOG_ID_BYTES];
    uint32_t alignment; /* of groups: a power of two, 512..65536 */
    uint64_t segment_bytes;
    uint64_t number;               /* 1, 2, 3 ... over the log's life */
    uint64_t incarnation;          /* random, not 0, new at each use of a file */
    uint64_t previous_incarnation; /* of segment number - 1, 0 for the first */
    uint64_t first_lsn;            /* of the first record written into it */
    uint64_t low_water_lsn;        /* no store has an unapplied record at or below */
};

/** One group as found in a segment; records lie in [records.data, + records.bytes). */
struct store_log_group {
    uint64_t first_lsn;
    uint64_t durable_lsn; /* when it was written */
    uint32_t record_count;
    struct cellar_slice bytes; /* header and records, without padding */
    struct cellar_slice records;
    uint64_t offset; /* of the group in the segment */
    uint64_t incarnation;
};

/** One record of a checked group. */
struct store_log_entry {
    uint64_t lsn;
    uint32_t store_id;
    uint8_t type; /* as stored; enum store_record_type */
    struct cellar_slice payload;
};

/** Writes the header into 512 bytes. */
void store_log_header_encode(const struct store_log_header *header, uint8_t *to);

/**
 * Reads and checks a header.
 *
 * @param from  512 bytes
 * @return CELLAR_OK; CELLAR_NOT_FOUND (not a header: never used, or torn);
 * CELLAR_FAILED_PRECONDITION (a sound header of another version)
 */
enum cellar_status store_log_header_decode(const uint8_t *from, struct store_log_header *header)
    CELLAR_MUST_USE;

/** `bytes` rounded up to the alignment. */
static inline uint64_t store_log_align(uint64_t bytes, uint32_t alignment)
{
    return (bytes + alignment - 1) & ~(uint64_t)(alignment - 1);
}

/** Bytes of a group's record with a payload of that size. */
static inline size_t store_log_record_bytes(size_t payload_bytes)
{
    return STORE_LOG_RECORD_HEADER_BYTES + payload_bytes;
}

/** Writes a record behind those before it. @param at its place in memory @param offset its place in
 * the segment's file.
 * @return the first byte behind it */
uint8_t *store_log_record_encode(uint8_t *at, const struct store_log_entry *entry,
                                 uint64_t incarnation, uint64_t offset);

/** Writes the 40 bytes of a group's header; the records stand already behind it. */
void store_log_group_encode(uint8_t *at, const struct store_log_group *group);

/**
 * Checks whether a whole, sound group of this incarnation lies at `offset`: header, every record,
 * consecutive LSNs.
 *
 * @param segment  the segment's bytes from its start; borrowed by `group`
 * @return false when not; nothing is written then
 */
bool store_log_group_decode(struct cellar_slice segment, uint64_t offset, uint64_t incarnation,
                            struct store_log_group *group);

/** Whether 40 bytes look like a group's header, of whatever incarnation.
 * @param first_lsn  receives what it says */
bool store_log_group_peek(const uint8_t *from, uint64_t *first_lsn);

/** Takes the next record of a group that store_log_group_decode() found sound. @return false at the
 * end */
bool store_log_entry_next(struct cellar_slice *records, struct store_log_entry *entry);

#endif
