#ifndef CELLAR_TESTS_SUPPORT_LOG_FIXTURE_H
#define CELLAR_TESTS_SUPPORT_LOG_FIXTURE_H

#include "server/storage/log.h"
#include "tests/support/support.h"

/*
 * What the tests of the commit log share: payloads that tell where they belong, appends that wait,
 * a replay written down, and segment files as bytes to spoil.
 */

#define TEST_LOG_SEGMENT_BYTES 65536u

/** Fills `to` with the bytes that belong to (life, lsn): equal arguments, equal bytes. */
void test_log_payload(uint64_t life, uint64_t lsn, uint8_t *to, size_t bytes);

/** Opens, replays nothing and starts the log of a directory; the test fails when one of it does. */
struct store_log *test_log_begin(const char *directory, uint64_t segment_bytes,
                                 uint64_t low_water_lsn);

/** Opens it and fails the test unless that answers `status`; closes it again if it opened. */
void test_log_open_gives(const char *directory, enum cellar_status status);

/** Appends a record with the payload of (life, its LSN) and waits until it is done. @return the LSN
 */
uint64_t test_log_append(struct store_log *log, uint64_t life, size_t bytes,
                         enum cellar_status *status);

/** Appends `count` records, each in a group of its own; the test fails when one is not durable. */
void test_log_append_many(struct store_log *log, uint64_t life, size_t bytes, uint64_t count);

/** Appends `count` records in one hold of the lock, so in one group if they fit, and waits. */
void test_log_append_together(struct store_log *log, uint64_t life, size_t bytes, size_t count);

/** A record, or a gap, as a replay told it. */
struct test_log_event {
    bool is_gap;
    uint64_t first_lsn;
    uint64_t last_lsn; /* of a record: the same */
    uint32_t store_id;
    uint8_t type;
    size_t bytes;
    uint32_t crc; /* of the payload */
};

/** A whole replay; zero-initialised is empty. Freed with test_log_trace_fini(). */
struct test_log_trace {
    struct test_log_event *events;
    size_t count;
    size_t capacity;
    uint64_t needed_lsn; /* a gap that reaches to it or behind it is answered by DATA_LOSS;
                            0: every gap is fine */
};

/** Replays an opened log into the trace. */
enum cellar_status test_log_replay(struct store_log *log, struct test_log_trace *trace);

/** Opens, replays, closes. @return the last LSN there was */
uint64_t test_log_read(const char *directory, struct test_log_trace *trace);

void test_log_trace_fini(struct test_log_trace *trace);

/** The event that tells about `lsn`, or NULL. */
const struct test_log_event *test_log_trace_find(const struct test_log_trace *trace, uint64_t lsn);

/** Fails the test unless the trace has exactly the records first..last of that life, empty records
 * aside, and, if `gap_first` > 0, the one gap gap_first..gap_last in their place. */
void test_log_trace_check(const struct test_log_trace *trace, uint64_t life, uint64_t first_lsn,
                          uint64_t last_lsn, uint64_t gap_first, uint64_t gap_last);

/** A segment file in memory. */
struct test_log_file {
    char path[300];
    struct store_log_header header;
    bool has_header; /* else the header is zero */
    uint8_t *data;
    size_t bytes;
};

/** The segment files of a directory, by segment number, free ones first. */
struct test_log_files {
    struct test_log_file items[64];
    size_t count;
};

void test_log_files_load(const char *directory, struct test_log_files *files);
void test_log_files_free(struct test_log_files *files);

/** Writes a file's bytes back, `bytes` of them; the header's struct is not looked at. */
void test_log_file_store(const struct test_log_file *file, size_t bytes);

/** Encodes the header's struct into the bytes. */
void test_log_file_head(struct test_log_file *file);

/** Makes the file say another format version, with a good checksum, on the disk too. */
void test_log_version_set(struct test_log_file *file, uint32_t version);

/** The group that holds `lsn`. @return its index in `files`; the test fails when there is none */
size_t test_log_group_find(const struct test_log_files *files, uint64_t lsn,
                           struct store_log_group *group);

/** Flips a byte in the middle of the group that holds `lsn`, on the disk too. */
void test_log_group_spoil(struct test_log_files *files, uint64_t lsn);

#endif
