/*
 * log_chain: what the log does where no other segment can be made. Folders stand where the next
 * files would be; nothing is really full.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/storage/commit_log.h"
#include "server/storage/record.h"
#include "tests/support/disk.h"
#include "tests/support/log_fixture.h"

#define RECORD_BYTES 4000u
#define RECORDS_MAX 1000u

static void directory_make(char *directory, size_t bytes)
{
    test_temp_dir(directory, bytes);
    test_disk_fast(true);
}

/* The names of files that are not there yet, taken or given back. */
static void next_files_block(const char *directory, bool is_blocked)
{
    for (uint64_t i = 2; i < 40; i++) {
        char path[300];
        (void)snprintf(path, sizeof path, "%s/%08llu.log", directory, (unsigned long long)i);
        if (is_blocked) {
            (void)mkdir(path, 0700);
        } else {
            (void)rmdir(path); /* leaves files */
        }
    }
}

static enum cellar_status log_check(struct store_log *log)
{
    store_log_lock(log);
    enum cellar_status status = store_log_check(log);
    store_log_unlock(log);
    return status;
}

/* Appends until the log takes no more. @return the last LSN */
static uint64_t log_fill(struct store_log *log, uint64_t life)
{
    uint64_t lsn = 0;
    for (size_t i = 0; i < RECORDS_MAX; i++) {
        enum cellar_status status = log_check(log);
        if (status != CELLAR_OK) {
            assert_int_equal(status, CELLAR_RESOURCE_EXHAUSTED);
            return lsn;
        }
        lsn = test_log_append(log, life, RECORD_BYTES, &status);
        assert_int_equal(status, CELLAR_OK);
    }
    fail_msg("the log never said that it is full");
    return 0;
}

static void log_await(struct store_log *log, enum cellar_status wanted)
{
    while (log_check(log) != wanted) {
        (void)sched_yield();
    }
}

/* From here on no segment can be made, and the log knows. */
static void log_block(struct store_log *log, const char *directory)
{
    next_files_block(directory, true);
    store_log_space_keep(log);
    while (!store_log_is_short_of_space(log)) {
        (void)sched_yield();
        store_log_space_keep(log);
    }
}

/* A log with its first segment and no room for a second one, which it knows. */
static struct store_log *blocked_log(char *directory, size_t bytes)
{
    directory_make(directory, bytes);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    log_block(log, directory);
    return log;
}

static void log_without_room_refuses_and_goes_on_when_there_is_some(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {0};
    struct store_log *log = blocked_log(directory, sizeof directory);
    uint64_t last = log_fill(log, 1);
    assert_in_range(last, 8, TEST_LOG_SEGMENT_BYTES / RECORD_BYTES);
    assert_false(store_log_has_failed(log));
    next_files_block(directory, false);
    log_await(log, CELLAR_OK);
    test_log_append_many(log, 1, RECORD_BYTES, 40);
    store_log_close(log);
    assert_true(test_log_read(directory, &trace) >= last + 40);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

struct crowd {
    struct store_log_record records[20];
    _Atomic unsigned unknown_count;
    _Atomic unsigned done_count;
};

static struct crowd crowd;

static void crowd_done(struct store_log_record *record, enum cellar_status status)
{
    (void)record;
    atomic_fetch_add(&crowd.unknown_count, status == CELLAR_OUTCOME_UNKNOWN ? 1 : 0);
    atomic_fetch_add(&crowd.done_count, 1);
}

/* What was let in before the log knew gets an answer, too, and then the log has failed. */
static void record_that_finds_no_room_is_answered(void **state)
{
    (void)state;
    char directory[256];
    static const uint8_t payload[RECORD_BYTES];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    next_files_block(directory, true);
    store_log_lock(log);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(crowd.records); i++) {
        crowd.records[i].entry = (struct store_log_entry){
            .type = STORE_RECORD_MUTATION, .payload = cellar_slice_make(payload, sizeof payload)};
        crowd.records[i].done = crowd_done;
        (void)store_log_append(log, &crowd.records[i]);
    }
    store_log_unlock(log);
    assert_false(store_log_wait_durable(log, CELLAR_ARRAY_COUNT(crowd.records)));
    assert_true(store_log_has_failed(log));
    assert_int_equal(log_check(log), CELLAR_IO_ERROR);
    store_log_close(log);
    assert_int_equal(atomic_load(&crowd.done_count), CELLAR_ARRAY_COUNT(crowd.records));
    assert_true(atomic_load(&crowd.unknown_count) > 0);
    test_remove_tree(directory);
}

static void record_of_the_largest_size_fits_into_what_is_left(void **state)
{
    (void)state;
    char directory[256];
    for (size_t small = 1; small < 6; small++) {
        enum cellar_status status = CELLAR_OK;
        struct store_log *log = blocked_log(directory, sizeof directory);
        test_log_append_many(log, 1, RECORD_BYTES + 97 * small, small);
        if (log_check(log) == CELLAR_OK) {
            (void)test_log_append(log, 1, TEST_LOG_SEGMENT_BYTES / 4 - 80, &status);
            assert_int_equal(status, CELLAR_OK);
        }
        store_log_close(log); /* with its empty group */
        test_remove_tree(directory);
    }
}

/* Waits until the spare is there, or is known not to come. */
static void spare_settle(struct store_log *log)
{
    bool has_file = false;
    store_log_space_keep(log);
    while (!has_file && !store_log_is_short_of_space(log)) {
        cellar_mutex_lock(&log->spare.lock);
        has_file = log->spare.has_file;
        cellar_mutex_unlock(&log->spare.lock);
        (void)sched_yield();
    }
}

/* Three segments in use, no more to be had. */
static struct store_log *long_log(char *directory, size_t bytes)
{
    directory_make(directory, bytes);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, RECORD_BYTES, 40);
    next_files_block(directory, true);
    for (spare_settle(log); !store_log_is_short_of_space(log); spare_settle(log)) {
        test_log_append_many(log, 1, 8, 1); /* the spare that is there goes first */
    }
    (void)log_fill(log, 1);
    assert_true(store_log_is_short_of_space(log));
    return log;
}

static uint64_t segment_count(const struct store_log *log)
{
    uint64_t segments = 0;
    uint64_t groups = 0;
    uint64_t records = 0;
    store_log_counts(log, &segments, &groups, &records);
    return segments;
}

static void old_segments_are_taken_back_without_a_new_header(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {.needed_lsn = 0};
    struct store_log *log = long_log(directory, sizeof directory);
    uint64_t segments = segment_count(log);
    uint64_t low_lsn = store_log_durable_lsn(log);
    assert_true(segments >= 3);
    store_log_low_water_set(log, low_lsn);
    log_await(log, CELLAR_OK);
    assert_true(segment_count(log) < segments);
    uint64_t last = log_fill(log, 2);
    assert_true(last > low_lsn + TEST_LOG_SEGMENT_BYTES / RECORD_BYTES);
    store_log_close(log);
    next_files_block(directory, false);
    trace.needed_lsn = low_lsn + 1;
    assert_true(test_log_read(directory, &trace) >= last);
    for (uint64_t lsn = low_lsn + 1; lsn <= last; lsn++) {
        assert_non_null(test_log_trace_find(&trace, lsn));
        assert_false(test_log_trace_find(&trace, lsn)->is_gap);
    }
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void start_without_room_takes_an_old_segment(void **state)
{
    (void)state;
    char directory[256];
    struct store_log *log = long_log(directory, sizeof directory);
    store_log_close(log);
    next_files_block(directory, false);
    uint64_t bytes = TEST_LOG_SEGMENT_BYTES;
    struct cellar_error error;
    cellar_error_clear(&error);
    assert_int_equal(store_log_open(directory, bytes, &log, NULL), CELLAR_OK);
    test_disk_fail_writes(2, ENOSPC); /* the tail is made durable; then no file can be filled */
    assert_int_equal(store_log_start(log, 0, &error), CELLAR_RESOURCE_EXHAUSTED);
    test_disk_fail_writes(-1, 0);
    assert_non_null(strstr(error.text, "full"));
    store_log_close(log);
    assert_int_equal(store_log_open(directory, bytes, &log, NULL), CELLAR_OK);
    uint64_t last = store_log_recovered_lsn(log);
    next_files_block(directory, true);
    assert_int_equal(store_log_start(log, last, &error), CELLAR_OK);
    assert_int_equal(log_check(log), CELLAR_OK);
    store_log_close(log);
    test_remove_tree(directory);
}

/* A start that may use nothing but the one file that is there. */
static void restart_blocked(const char *directory, bool is_applied, enum cellar_status wanted)
{
    struct store_log *log = NULL;
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
    next_files_block(directory, true);
    uint64_t low_lsn = is_applied ? store_log_recovered_lsn(log) : 0;
    enum cellar_status status = store_log_start(log, low_lsn, NULL);
    if (wanted == CELLAR_OK) {
        assert_int_equal(status, CELLAR_OK);
    } else {
        assert_int_not_equal(status, CELLAR_OK);
    }
    store_log_close(log);
    next_files_block(directory, false);
}

static void start_without_room_begins_an_applied_segment_again(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, RECORD_BYTES, 3);
    store_log_close(log);
    uint64_t last = test_log_read(directory, &trace);
    test_log_trace_fini(&trace);
    restart_blocked(directory, false, CELLAR_IO_ERROR);
    assert_int_equal(test_log_read(directory, &trace), last);
    test_log_trace_fini(&trace);
    for (unsigned i = 0; i < 3; i++) { /* an applied one, then empty ones */
        restart_blocked(directory, i == 0, CELLAR_OK);
        trace.needed_lsn = last + 1;
        assert_int_equal(test_log_read(directory, &trace), last);
        test_log_trace_fini(&trace);
    }
    log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, last);
    test_log_append_many(log, 1, RECORD_BYTES, 3);
    store_log_close(log);
    trace.needed_lsn = last + 1;
    assert_true(test_log_read(directory, &trace) >= last + 3);
    assert_non_null(test_log_trace_find(&trace, last + 1));
    assert_false(test_log_trace_find(&trace, last + 1)->is_gap);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_without_room_refuses_and_goes_on_when_there_is_some),
        cmocka_unit_test(record_that_finds_no_room_is_answered),
        cmocka_unit_test(record_of_the_largest_size_fits_into_what_is_left),
        cmocka_unit_test(old_segments_are_taken_back_without_a_new_header),
        cmocka_unit_test(start_without_room_takes_an_old_segment),
        cmocka_unit_test(start_without_room_begins_an_applied_segment_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
