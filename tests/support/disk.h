#ifndef CELLAR_TESTS_SUPPORT_DISK_H
#define CELLAR_TESTS_SUPPORT_DISK_H

#include "tests/support/support.h"

/*
 * A disk that tests can spoil: this module stands in the place of pwrite(2), fdatasync(2), fsync(2)
 * and unlink(2) in every program that links it. It lets calls fail, leaves syncs out to be fast,
 * and records one directory so that the state after a kill or a power loss can be had at any
 * moment.
 *
 * All of it may be called while other threads write.
 */

/** From here syncs do nothing and succeed (`is_fast`), or sync again. */
void test_disk_fast(bool is_fast);

/** After `good_count` further writes every pwrite() fails with errno `code`, until the next call;
 * a negative count ends it. */
void test_disk_fail_writes(int64_t good_count, int code);

/** The same for fdatasync() and fsync(). */
void test_disk_fail_syncs(int64_t good_count, int code);

/** How many writes and syncs there were since the program began. */
void test_disk_counts(uint64_t *write_count, uint64_t *sync_count);

/** How a machine stops. */
enum test_disk_end {
    TEST_DISK_KILL,       /* the process dies, what was written stays */
    TEST_DISK_POWER_LOSS, /* every 512-byte sector not synced stays or not, by the dice */
};

/** Records what happens to the files right in `directory`, from a state that counts as durable.
 * One directory at a time. */
void test_disk_record(const char *directory);

/** Ends the recording and forgets it. */
void test_disk_record_end(void);

/**
 * Copies the recorded directory to a new one, as it would be found after the machine stopped now.
 * After a power loss, names that no sync of the directory made durable may be missing, or be there
 * still. After a kill, what was not synced is not synced in the copy either: record it next, and a
 * power loss may take it.
 *
 * @param to  a directory that exists and is empty
 */
void test_disk_copy(const char *to, enum test_disk_end end, struct test_random *random);

#endif
