/*
 * commit_log: order, groups, rotation, reuse of segments, failures of the disk, the end of a log.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "server/storage/record.h"
#include "tests/support/disk.h"
#include "tests/support/log_fixture.h"

#define THREAD_COUNT 4u
#define APPENDS_A_THREAD 300u

/* Records appended without waiting, and what their ends told. */
struct crowd {
    struct store_log *log;
    struct store_log_record records[THREAD_COUNT * APPENDS_A_THREAD];
    _Atomic uint64_t done_count;
    uint64_t done_lsn; /* the log thread's */
    bool is_ordered;
    bool is_durable;
    enum cellar_status statuses[THREAD_COUNT * APPENDS_A_THREAD];
};

static struct crowd crowd;

static void crowd_done(struct store_log_record *record, enum cellar_status status)
{
    crowd.is_ordered = crowd.is_ordered && record->entry.lsn > crowd.done_lsn;
    crowd.done_lsn = record->entry.lsn;
    if (status == CELLAR_OK) {
        crowd.is_durable =
            crowd.is_durable && store_log_durable_lsn(crowd.log) >= record->entry.lsn;
    }
    crowd.statuses[record - crowd.records] = status;
    atomic_fetch_add(&crowd.done_count, 1);
}

static void crowd_begin(struct store_log *log)
{
    memset(&crowd, 0, sizeof crowd);
    crowd.log = log;
    crowd.is_ordered = true;
    crowd.is_durable = true;
}

static uint64_t crowd_append(size_t index, struct cellar_slice payload)
{
    crowd.records[index].entry = (struct store_log_entry){
        .store_id = (uint32_t)index, .type = STORE_RECORD_MUTATION, .payload = payload};
    crowd.records[index].done = crowd_done;
    return store_log_append(crowd.log, &crowd.records[index]);
}

/* Waits until the log has let all `count` records go. */
static void crowd_await(uint64_t count)
{
    while (atomic_load(&crowd.done_count) < count) {
        (void)sched_yield();
    }
}

static void directory_make(char *path, size_t bytes)
{
    test_disk_fast(true);
    test_temp_dir(path, bytes);
}

static void log_end(struct store_log *log, const char *directory)
{
    store_log_close(log);
    test_remove_tree(directory);
}

static uint64_t group_count(const struct store_log *log)
{
    uint64_t segments = 0;
    uint64_t groups = 0;
    uint64_t records = 0;
    store_log_counts(log, &segments, &groups, &records);
    return groups;
}

static uint64_t segment_count(const struct store_log *log)
{
    uint64_t segments = 0;
    uint64_t groups = 0;
    uint64_t records = 0;
    store_log_counts(log, &segments, &groups, &records);
    return segments;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void new_log_begins_at_lsn_1(void **state)
{
    (void)state;
    char directory[256];
    static const uint8_t zeroes[STORE_LOG_ID_BYTES];
    struct store_log *log = NULL;
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
    assert_memory_not_equal(store_log_id(log), zeroes, sizeof zeroes);
    assert_int_equal(store_log_recovered_lsn(log), 0);
    assert_int_equal(store_log_low_water(log), 0);
    assert_int_equal(test_log_replay(log, &trace), CELLAR_OK);
    assert_int_equal(trace.count, 0);
    assert_int_equal(store_log_start(log, 0, NULL), CELLAR_OK);
    store_log_lock(log);
    assert_int_equal(store_log_check(log), CELLAR_OK);
    assert_int_equal(store_log_next_lsn(log), 1);
    assert_int_equal(store_log_position(log), 0);
    store_log_unlock(log);
    assert_int_equal(store_log_durable_lsn(log), 0);
    assert_false(store_log_has_failed(log));
    assert_false(store_log_is_short_of_space(log));
    test_log_trace_fini(&trace);
    log_end(log, directory);
}

static void log_that_never_started_leaves_no_file(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    directory_make(directory, sizeof directory);
    test_log_open_gives(directory, CELLAR_OK);
    test_log_files_load(directory, &files);
    assert_int_equal(files.count, 0);
    test_remove_tree(directory);
}

static void appends_are_refused_before_start_and_after_stop(void **state)
{
    (void)state;
    char directory[256];
    struct store_log *log = NULL;
    directory_make(directory, sizeof directory);
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
    store_log_lock(log);
    assert_int_equal(store_log_check(log), CELLAR_UNAVAILABLE);
    store_log_unlock(log);
    store_log_stop(log); /* without start: nothing */
    assert_int_equal(store_log_start(log, 0, NULL), CELLAR_OK);
    test_log_append_many(log, 1, 10, 1);
    store_log_stop(log);
    store_log_lock(log);
    assert_int_equal(store_log_check(log), CELLAR_UNAVAILABLE);
    store_log_unlock(log);
    log_end(log, directory);
    store_log_close(NULL);
}

static void reopened_log_keeps_its_id_and_goes_on(void **state)
{
    (void)state;
    char directory[256];
    uint8_t id[STORE_LOG_ID_BYTES];
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    memcpy(id, store_log_id(log), sizeof id);
    test_log_append_many(log, 1, 100, 5);
    store_log_close(log);
    log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    assert_memory_equal(store_log_id(log), id, sizeof id);
    assert_int_equal(store_log_recovered_lsn(log), 6); /* 5 and the empty record of the stop */
    assert_int_equal(store_log_durable_lsn(log), 6);
    test_log_append_many(log, 1, 100, 3);
    store_log_close(log);
    assert_int_equal(test_log_read(directory, &trace), 10);
    test_log_trace_check(&trace, 1, 1, 10, 0, 0);
    assert_int_equal(trace.events[5].type, STORE_RECORD_EMPTY);
    assert_int_equal(trace.events[9].type, STORE_RECORD_EMPTY);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void many_empty_lives_cost_no_file(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    directory_make(directory, sizeof directory);
    for (int i = 0; i < 10; i++) {
        struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
        assert_int_equal(store_log_recovered_lsn(log), 0);
        store_log_close(log);
    }
    test_log_files_load(directory, &files);
    assert_true(files.count <= 8);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

/* ---- order and groups ------------------------------------------------------------------------ */

static void *append_run(void *context)
{
    size_t first = *(const size_t *)context;
    static const uint8_t payload[200];
    for (size_t i = first; i < first + APPENDS_A_THREAD; i++) {
        store_log_lock(crowd.log);
        if (store_log_check(crowd.log) == CELLAR_OK) {
            (void)crowd_append(i, cellar_slice_make(payload, i % sizeof payload));
        }
        store_log_unlock(crowd.log);
    }
    return NULL;
}

static void several_threads_share_one_order(void **state)
{
    (void)state;
    char directory[256];
    pthread_t threads[THREAD_COUNT];
    size_t firsts[THREAD_COUNT];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    crowd_begin(log);
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        firsts[i] = i * APPENDS_A_THREAD;
        assert_int_equal(pthread_create(&threads[i], NULL, append_run, &firsts[i]), 0);
    }
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    uint64_t total = THREAD_COUNT * APPENDS_A_THREAD;
    assert_true(store_log_wait_durable(log, total));
    store_log_stop(log);
    assert_int_equal(atomic_load(&crowd.done_count), total);
    assert_true(crowd.is_ordered);
    assert_true(crowd.is_durable);
    for (size_t i = 0; i < total; i++) {
        assert_int_equal(crowd.statuses[i], CELLAR_OK);
        bool is_first = i % APPENDS_A_THREAD == 0;
        assert_true(is_first || crowd.records[i].entry.lsn > crowd.records[i - 1].entry.lsn);
    }
    assert_true(group_count(log) <= total + 1);
    log_end(log, directory);
}

/* Appends `count` records in one hold of the lock. @return groups it took */
static uint64_t groups_of(struct store_log *log, size_t count, size_t bytes)
{
    static const uint8_t payload[TEST_LOG_SEGMENT_BYTES / 4];
    crowd_begin(log);
    uint64_t before = group_count(log);
    uint64_t last_lsn = 0;
    store_log_lock(log);
    uint64_t position = store_log_position(log);
    for (size_t i = 0; i < count; i++) {
        last_lsn = crowd_append(i, cellar_slice_make(payload, bytes));
        assert_int_equal(store_log_next_lsn(log), last_lsn + 1);
    }
    assert_int_equal(store_log_position(log) - position, count * store_log_record_bytes(bytes));
    store_log_unlock(log);
    assert_true(store_log_wait_durable(log, last_lsn));
    crowd_await(count);
    return group_count(log) - before;
}

static void records_queued_together_share_a_group(void **state)
{
    (void)state;
    char directory[256];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    size_t limit = TEST_LOG_SEGMENT_BYTES / 8;
    assert_int_equal(groups_of(log, 1, 0), 1);
    assert_int_equal(groups_of(log, 100, 30), 1);
    assert_int_equal(groups_of(log, 8, limit / 8 - STORE_LOG_RECORD_HEADER_BYTES), 1);
    assert_int_equal(groups_of(log, 9, limit / 8 - STORE_LOG_RECORD_HEADER_BYTES), 2);
    assert_int_equal(groups_of(log, 3, TEST_LOG_SEGMENT_BYTES / 4), 3);
    log_end(log, directory);
}

static void groups_of_a_large_segment_stay_below_256_kib(void **state)
{
    (void)state;
    char directory[256];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, 4u << 20, 0);
    size_t bytes = 1000 - STORE_LOG_RECORD_HEADER_BYTES;
    assert_int_equal(groups_of(log, 262, bytes), 1);
    assert_int_equal(groups_of(log, 263, bytes), 2);
    log_end(log, directory);
}

static void each_group_is_synced_once(void **state)
{
    (void)state;
    char directory[256];
    uint64_t writes[2];
    uint64_t syncs[2];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_disk_counts(&writes[0], &syncs[0]);
    test_log_append_many(log, 1, 100, 6);
    test_disk_counts(&writes[1], &syncs[1]);
    assert_int_equal(writes[1] - writes[0], 6);
    assert_int_equal(syncs[1] - syncs[0], 6);
    log_end(log, directory);
}

static void largest_records_fill_segments(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, TEST_LOG_SEGMENT_BYTES / 4, 10);
    store_log_close(log);
    assert_int_equal(test_log_read(directory, &trace), 11);
    test_log_trace_check(&trace, 1, 1, 11, 0, 0);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void throttled_log_still_writes(void **state)
{
    (void)state;
    char directory[256];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    store_log_throttle(log, 200);
    test_log_append_many(log, 1, 100, 5);
    store_log_throttle(log, 0);
    test_log_append_many(log, 1, 100, 5);
    log_end(log, directory);
}

/* ---- idle and stop --------------------------------------------------------------------------- */

static void idle_log_writes_one_empty_group(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    /* A deadline of the fake clock lies far in the past of the real one: idle at once. */
    cellar_clock_fake_set(0, 0);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    for (uint64_t i = 0; i < 5; i++) {
        test_log_append_many(log, 1, 10, 1);
        assert_true(store_log_wait_durable(log, 2 * i + 2));
    }
    store_log_lock(log);
    assert_int_equal(store_log_next_lsn(log), 11);
    store_log_unlock(log);
    cellar_clock_fake_off();
    store_log_close(log);
    assert_int_equal(test_log_read(directory, &trace), 10);
    for (size_t i = 0; i < trace.count; i++) {
        assert_int_equal(trace.events[i].type,
                         i % 2 == 0 ? STORE_RECORD_MUTATION : STORE_RECORD_EMPTY);
    }
    assert_int_equal(trace.count, 10);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void stop_writes_what_is_queued(void **state)
{
    (void)state;
    char directory[256];
    static const uint8_t payload[100];
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    crowd_begin(log);
    store_log_throttle(log, 2000);
    for (size_t i = 0; i < 200; i++) {
        store_log_lock(log);
        (void)crowd_append(i, cellar_slice_make(payload, sizeof payload));
        store_log_unlock(log);
    }
    store_log_stop(log);
    assert_int_equal(atomic_load(&crowd.done_count), 200);
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(crowd.statuses[i], CELLAR_OK);
    }
    store_log_close(log);
    assert_int_equal(test_log_read(directory, &trace), 201);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

/* ---- segments -------------------------------------------------------------------------------- */

static void segments_are_chained(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct store_log_group group;
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, 4000, 60);
    uint64_t count = segment_count(log);
    assert_true(count >= 4);
    store_log_close(log);
    test_log_files_load(directory, &files);
    uint64_t number = 1;
    uint64_t incarnation = 0;
    for (size_t i = 0; i < files.count; i++) {
        const struct store_log_header *header = &files.items[i].header;
        assert_int_equal(files.items[i].bytes, TEST_LOG_SEGMENT_BYTES);
        if (!files.items[i].has_header) {
            continue; /* the spare */
        }
        assert_int_equal(header->number, number);
        assert_true(header->previous_incarnation == incarnation);
        assert_int_equal(test_log_group_find(&files, header->first_lsn, &group), i);
        assert_int_equal(group.offset, header->alignment);
        assert_int_equal(group.first_lsn, header->first_lsn);
        incarnation = header->incarnation;
        number++;
    }
    assert_true(number - 1 >= count);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static void nothing_is_reused_above_the_low_water(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, 8000, 20);
    store_log_low_water_set(log, 10);
    store_log_low_water_set(log, 5); /* never goes back */
    assert_int_equal(store_log_low_water(log), 10);
    test_log_append_many(log, 1, 8000, 60);
    store_log_close(log);
    assert_int_equal(test_log_read(directory, &trace), 81);
    for (uint64_t lsn = 11; lsn <= 80; lsn++) {
        const struct test_log_event *event = test_log_trace_find(&trace, lsn);
        assert_non_null(event);
        assert_false(event->is_gap);
    }
    assert_true(trace.events[0].first_lsn > 1); /* and what is below was */
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void low_water_bounds_the_segments(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    for (int i = 0; i < 200; i++) {
        test_log_append_many(log, 1, 8000, 1);
        store_log_low_water_set(log, store_log_durable_lsn(log));
        assert_true(segment_count(log) <= 3);
    }
    store_log_close(log);
    test_log_files_load(directory, &files);
    assert_true(files.count <= 6);
    assert_true(files.items[files.count - 1].header.number >= 25);
    test_log_files_free(&files);
    struct store_log *again = NULL;
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &again, NULL), CELLAR_OK);
    assert_true(store_log_low_water(again) >= 180);
    assert_int_equal(store_log_recovered_lsn(again), 201);
    log_end(again, directory);
}

static void low_water_given_at_start_frees_segments(void **state)
{
    (void)state;
    char directory[256];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, 8000, 50);
    store_log_close(log);
    log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 51);
    assert_int_equal(store_log_low_water(log), 51);
    assert_int_equal(segment_count(log), 1);
    test_log_append_many(log, 1, 8000, 20);
    store_log_close(log);
    log = NULL;
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
    assert_int_equal(store_log_low_water(log), 51);
    assert_int_equal(store_log_recovered_lsn(log), 72);
    log_end(log, directory);
}

static void segment_size_may_change_between_lives(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    static const uint64_t sizes[] = {65536, 131072, 65536, 1048576, 65536};
    uint64_t lsn = 0;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        struct store_log *log = test_log_begin(directory, sizes[i], 0);
        assert_int_equal(store_log_recovered_lsn(log), lsn);
        test_log_append_many(log, 1, 16000, 9);
        store_log_close(log);
        lsn += 10;
    }
    assert_int_equal(test_log_read(directory, &trace), lsn);
    test_log_trace_check(&trace, 1, 1, lsn, 0, 0);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void failed_log_check(struct store_log *log, const char *directory)
{
    enum cellar_status status = CELLAR_OK;
    struct test_log_trace trace = {0};
    assert_true(store_log_has_failed(log));
    (void)test_log_append(log, 1, 10, &status);
    assert_int_equal(status, CELLAR_IO_ERROR);
    assert_int_equal(store_log_durable_lsn(log), 3);
    assert_false(store_log_wait_durable(log, 4));
    store_log_close(log);
    assert_true(test_log_read(directory, &trace) >= 3);
    for (uint64_t lsn = 1; lsn <= 3; lsn++) {
        assert_non_null(test_log_trace_find(&trace, lsn));
    }
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void failed_sync_acknowledges_nothing_more(void **state)
{
    (void)state;
    char directory[256];
    enum cellar_status status = CELLAR_OK;
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, 100, 3);
    test_disk_fail_syncs(0, EIO);
    (void)test_log_append(log, 1, 100, &status);
    test_disk_fail_syncs(-1, 0);
    assert_int_equal(status, CELLAR_OUTCOME_UNKNOWN);
    failed_log_check(log, directory);
}

static void failed_write_acknowledges_nothing_more(void **state)
{
    (void)state;
    char directory[256];
    static const int codes[] = {EIO, ENOSPC};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(codes); i++) {
        enum cellar_status status = CELLAR_OK;
        directory_make(directory, sizeof directory);
        struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
        test_log_append_many(log, 1, 100, 3);
        test_disk_fail_writes(0, codes[i]);
        (void)test_log_append(log, 1, 100, &status);
        test_disk_fail_writes(-1, 0);
        assert_int_equal(status, CELLAR_OUTCOME_UNKNOWN);
        failed_log_check(log, directory);
    }
}

static void records_behind_a_failed_group_were_never_written(void **state)
{
    (void)state;
    char directory[256];
    static const uint8_t payload[TEST_LOG_SEGMENT_BYTES / 4];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    crowd_begin(log);
    test_disk_fail_syncs(1, EIO);
    store_log_lock(log);
    for (size_t i = 0; i < 4; i++) { /* too large to share a group */
        (void)crowd_append(i, cellar_slice_make(payload, sizeof payload / 2));
    }
    store_log_unlock(log);
    assert_false(store_log_wait_durable(log, 4));
    store_log_stop(log);
    test_disk_fail_syncs(-1, 0);
    assert_int_equal(atomic_load(&crowd.done_count), 4);
    assert_true(crowd.is_ordered);
    assert_int_equal(crowd.statuses[0], CELLAR_OK);
    assert_int_equal(crowd.statuses[1], CELLAR_OUTCOME_UNKNOWN);
    assert_int_equal(crowd.statuses[2], CELLAR_IO_ERROR);
    assert_int_equal(crowd.statuses[3], CELLAR_IO_ERROR);
    log_end(log, directory);
}

static void start_says_what_failed(void **state)
{
    (void)state;
    char directory[256];
    struct store_log *log = NULL;
    struct cellar_error error;
    directory_make(directory, sizeof directory);
    for (int64_t good = 0; good < 3; good++) {
        assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
        cellar_error_clear(&error);
        test_disk_fail_syncs(good, EIO);
        assert_int_equal(store_log_start(log, 0, &error), CELLAR_IO_ERROR);
        test_disk_fail_syncs(-1, 0);
        assert_true(error.text[0] != '\0');
        store_log_close(log);
    }
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
    test_disk_fail_writes(0, ENOSPC);
    assert_int_equal(store_log_start(log, 0, &error), CELLAR_RESOURCE_EXHAUSTED);
    test_disk_fail_writes(-1, 0);
    store_log_close(log);
    log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    log_end(log, directory);
}

static void missing_directory_is_an_error(void **state)
{
    (void)state;
    test_log_open_gives("/tmp/cellar-test-no-such-directory", CELLAR_IO_ERROR);
}

/* ---- a full disk ----------------------------------------------------------------------------- */

/* Puts folders where the next segment files would be, so that none can be made. */
static void next_files_block(const char *directory, uint64_t first, bool is_blocked)
{
    for (uint64_t i = first; i < first + 4; i++) {
        char path[300];
        (void)snprintf(path, sizeof path, "%s/%08llu.log", directory, (unsigned long long)i);
        if (is_blocked) {
            (void)mkdir(path, 0700);
        } else {
            (void)rmdir(path);
        }
    }
}

static void log_short_of_space_waits_and_goes_on(void **state)
{
    (void)state;
    char directory[256];
    static const uint8_t payload[TEST_LOG_SEGMENT_BYTES / 4];
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    next_files_block(directory, 2, true);
    crowd_begin(log);
    store_log_lock(log);
    for (size_t i = 0; i < 8; i++) {
        (void)crowd_append(i, cellar_slice_make(payload, sizeof payload));
    }
    store_log_unlock(log);
    while (!store_log_is_short_of_space(log)) {
        (void)sched_yield();
    }
    assert_false(store_log_has_failed(log));
    next_files_block(directory, 2, false);
    assert_true(store_log_wait_durable(log, 8));
    assert_false(store_log_is_short_of_space(log));
    log_end(log, directory);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t descriptor_count(void)
{
    size_t count = 0;
    for (int i = 0; i < 256; i++) {
        count += fcntl(i, F_GETFD) >= 0;
    }
    return count;
}

static enum cellar_status life_run(void *context)
{
    struct store_log *log = NULL;
    enum cellar_status status = store_log_open(context, TEST_LOG_SEGMENT_BYTES, &log, NULL);
    if (status == CELLAR_OK) {
        status = store_log_start(log, 20, NULL);
    }
    store_log_close(log);
    return status;
}

static void out_of_memory_leaves_nothing_open(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {0};
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, 8000, 60);
    store_log_close(log);
    size_t before = descriptor_count();
    assert_true(test_out_of_memory_loop(life_run, directory) >= 4);
    assert_int_equal(descriptor_count(), before);
    assert_int_equal(test_log_read(directory, &trace), 61);
    for (uint64_t lsn = 21; lsn <= 60; lsn++) {
        assert_non_null(test_log_trace_find(&trace, lsn));
        assert_false(test_log_trace_find(&trace, lsn)->is_gap);
    }
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_log_begins_at_lsn_1),
        cmocka_unit_test(log_that_never_started_leaves_no_file),
        cmocka_unit_test(appends_are_refused_before_start_and_after_stop),
        cmocka_unit_test(reopened_log_keeps_its_id_and_goes_on),
        cmocka_unit_test(many_empty_lives_cost_no_file),
        cmocka_unit_test(several_threads_share_one_order),
        cmocka_unit_test(records_queued_together_share_a_group),
        cmocka_unit_test(groups_of_a_large_segment_stay_below_256_kib),
        cmocka_unit_test(each_group_is_synced_once),
        cmocka_unit_test(largest_records_fill_segments),
        cmocka_unit_test(throttled_log_still_writes),
        cmocka_unit_test(idle_log_writes_one_empty_group),
        cmocka_unit_test(stop_writes_what_is_queued),
        cmocka_unit_test(segments_are_chained),
        cmocka_unit_test(nothing_is_reused_above_the_low_water),
        cmocka_unit_test(low_water_bounds_the_segments),
        cmocka_unit_test(low_water_given_at_start_frees_segments),
        cmocka_unit_test(segment_size_may_change_between_lives),
        cmocka_unit_test(failed_sync_acknowledges_nothing_more),
        cmocka_unit_test(failed_write_acknowledges_nothing_more),
        cmocka_unit_test(records_behind_a_failed_group_were_never_written),
        cmocka_unit_test(start_says_what_failed),
        cmocka_unit_test(missing_directory_is_an_error),
        cmocka_unit_test(log_short_of_space_waits_and_goes_on),
        cmocka_unit_test(out_of_memory_leaves_nothing_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
