/*
 * log_recovery: what a log reads back when its files were torn, damaged, mixed up or lost. The
 * files are changed byte by byte between two lives.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/storage/record.h"
#include "tests/support/disk.h"
#include "tests/support/log_fixture.h"

static void directory_make(char *path, size_t bytes)
{
    test_disk_fast(true);
    test_temp_dir(path, bytes);
}

/* One life of `count` appends of `bytes` each, ended by the empty record of the stop. */
static void log_make(char *directory, size_t room, uint64_t count, size_t bytes,
                     uint64_t low_water_lsn)
{
    directory_make(directory, room);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    if (low_water_lsn > 0) {
        test_log_append_many(log, 1, bytes, low_water_lsn);
        store_log_low_water_set(log, low_water_lsn);
    }
    test_log_append_many(log, 1, bytes, count - low_water_lsn);
    store_log_close(log);
}

/* Zeroes the group that holds `lsn` from its `keep` first bytes on. @return the bytes that were
 * there, to be freed */
static uint8_t *group_tear(struct test_log_files *files, uint64_t lsn, size_t keep,
                           struct store_log_group *group)
{
    struct test_log_file *file = &files->items[test_log_group_find(files, lsn, group)];
    uint8_t *before = malloc(group->bytes.bytes);
    assert_non_null(before);
    memcpy(before, file->data + group->offset, group->bytes.bytes);
    assert_true(keep < group->bytes.bytes);
    memset(file->data + group->offset + keep, 0, group->bytes.bytes - keep);
    test_log_file_store(file, file->bytes);
    return before;
}

/* ---- torn ends ------------------------------------------------------------------------------- */

static void everything_acknowledged_is_read_again(void **state)
{
    (void)state;
    char directory[256];
    static const size_t sizes[] = {0, 1, 447, 448, 449, 5000, TEST_LOG_SEGMENT_BYTES / 4};
    struct test_log_trace trace = {0};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        log_make(directory, sizeof directory, 30, sizes[i], 0);
        assert_int_equal(test_log_read(directory, &trace), 31);
        test_log_trace_check(&trace, 1, 1, 31, 0, 0);
        assert_int_equal(trace.events[30].type, STORE_RECORD_EMPTY);
        test_remove_tree(directory);
    }
    test_log_trace_fini(&trace);
}

static void replay_may_be_repeated(void **state)
{
    (void)state;
    char directory[256];
    struct store_log *log = NULL;
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 12, 9000, 0);
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(test_log_replay(log, &trace), CELLAR_OK);
        test_log_trace_check(&trace, 1, 1, 13, 0, 0);
    }
    store_log_close(log);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void torn_last_group_is_void_for_ever(void **state)
{
    (void)state;
    char directory[256];
    static const size_t keeps[] = {0, 39, 40, 512, 4000};
    struct test_log_trace trace = {0};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(keeps); i++) {
        struct test_log_files files = {.count = 0};
        struct store_log_group group;
        log_make(directory, sizeof directory, 5, 4000, 0);
        test_log_files_load(directory, &files);
        free(group_tear(&files, 6, 0, &group)); /* the empty record */
        uint8_t *torn = group_tear(&files, 5, keeps[i], &group);
        size_t place = test_log_group_find(&files, 4, &group);
        struct test_log_file *file = &files.items[place];
        uint64_t offset = store_log_align(group.offset + group.bytes.bytes, file->header.alignment);
        assert_int_equal(test_log_read(directory, &trace), 4);
        test_log_trace_check(&trace, 1, 1, 4, 0, 0);
        struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
        test_log_append_many(log, 2, 100, 3); /* 5, 6, 7 anew */
        store_log_close(log);
        /* The torn group's sectors appear after all, whole and sound. */
        memcpy(file->data + offset, torn, 40 + 24 + 4000);
        test_log_file_store(file, file->bytes);
        free(torn);
        assert_int_equal(test_log_read(directory, &trace), 8);
        for (uint64_t lsn = 5; lsn <= 7; lsn++) {
            assert_int_equal(test_log_trace_find(&trace, lsn)->bytes, 100);
        }
        assert_int_equal(trace.count, 8);
        test_log_files_free(&files);
        test_remove_tree(directory);
    }
    test_log_trace_fini(&trace);
}

static void recovered_segment_is_never_appended_to(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files[2];
    log_make(directory, sizeof directory, 5, 100, 0);
    test_log_files_load(directory, &files[0]);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, 100, 5);
    store_log_close(log);
    test_log_files_load(directory, &files[1]);
    const struct test_log_file *old = &files[0].items[files[0].count - 1];
    size_t same = 0;
    for (size_t i = 0; i < files[1].count; i++) {
        same += files[1].items[i].header.number == old->header.number &&
                memcmp(files[1].items[i].data, old->data, old->bytes) == 0;
    }
    assert_int_equal(same, 1);
    assert_int_equal(files[1].items[files[1].count - 1].header.first_lsn, 7);
    test_log_files_free(&files[0]);
    test_log_files_free(&files[1]);
    test_remove_tree(directory);
}

static void crash_behind_the_fresh_header_loses_nothing(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 5, 100, 0);
    for (int i = 0; i < 4; i++) { /* lives without a record */
        store_log_close(test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0));
        assert_int_equal(test_log_read(directory, &trace), 6);
        test_log_trace_check(&trace, 1, 1, 6, 0, 0);
    }
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void group_torn_across_a_rotation_is_void(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct store_log_group group;
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 20, 8000, 0);
    test_log_files_load(directory, &files);
    /* Everything from the last segment's first group on, the segment's header stays. */
    struct test_log_file *last = &files.items[files.count - 1];
    assert_true(last->header.first_lsn > 1);
    assert_int_equal(test_log_group_find(&files, last->header.first_lsn, &group), files.count - 1);
    memset(last->data + group.offset, 0, last->bytes - group.offset);
    test_log_file_store(last, last->bytes);
    uint64_t end_lsn = last->header.first_lsn - 1;
    assert_int_equal(test_log_read(directory, &trace), end_lsn);
    test_log_trace_check(&trace, 1, 1, end_lsn, 0, 0);
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* A log of 40 records in several segments, some spoilt, and the gap that follows. */
struct damage {
    const char *what;
    uint64_t spoilt[4]; /* 0 ends */
    uint64_t gap_first;
    uint64_t gap_last;
};

static void damage_in_the_middle_is_a_gap(void **state)
{
    (void)state;
    static const struct damage cases[] = {
        {"the first group", {1}, 1, 1},
        {"one in the first segment", {3}, 3, 3},
        {"neighbours", {10, 11, 12}, 10, 12},
        {"one of the last segment", {39}, 39, 39},
        {"the last real group, an empty one behind it", {40}, 40, 40},
    };
    struct test_log_trace trace = {0};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        char directory[256];
        struct test_log_files files = {.count = 0};
        log_make(directory, sizeof directory, 40, 8000, 0);
        test_log_files_load(directory, &files);
        for (size_t j = 0; j < 4 && cases[i].spoilt[j] > 0; j++) {
            test_log_group_spoil(&files, cases[i].spoilt[j]);
        }
        print_message("    %s\n", cases[i].what);
        assert_int_equal(test_log_read(directory, &trace), 41);
        test_log_trace_check(&trace, 1, 1, 41, cases[i].gap_first, cases[i].gap_last);
        test_log_files_free(&files);
        test_remove_tree(directory);
    }
    test_log_trace_fini(&trace);
}

static void damage_at_a_segments_end_is_a_gap(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 40, 8000, 0);
    test_log_files_load(directory, &files);
    size_t last = files.count - 1;
    uint64_t end_lsn = files.items[last].header.first_lsn - 1; /* the last of the one before */
    assert_true(end_lsn > 1);
    test_log_group_spoil(&files, end_lsn);
    test_log_group_spoil(&files, end_lsn - 1);
    assert_int_equal(test_log_read(directory, &trace), 41);
    test_log_trace_check(&trace, 1, 1, 41, end_lsn - 1, end_lsn);
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static void flipped_bits_of_a_group_are_noticed(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct store_log_group group;
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 4, 60, 0);
    test_log_files_load(directory, &files);
    struct test_log_file *file = &files.items[test_log_group_find(&files, 2, &group)];
    for (uint64_t bit = 0; bit < group.bytes.bytes * 8; bit += 3) {
        file->data[group.offset + bit / 8] ^= (uint8_t)(1u << bit % 8);
        test_log_file_store(file, file->bytes);
        file->data[group.offset + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(test_log_read(directory, &trace), 5);
        test_log_trace_check(&trace, 1, 1, 5, 2, 2);
    }
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static void gap_the_visitor_needs_ends_the_replay(void **state)
{
    (void)state;
    char directory[256];
    struct store_log *log = NULL;
    struct test_log_files files = {.count = 0};
    struct test_log_trace trace = {.needed_lsn = 10};
    log_make(directory, sizeof directory, 40, 8000, 0);
    test_log_files_load(directory, &files);
    test_log_group_spoil(&files, 10);
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
    assert_int_equal(test_log_replay(log, &trace), CELLAR_DATA_LOSS);
    assert_int_equal(trace.count, 10);
    trace.needed_lsn = 11;
    assert_int_equal(test_log_replay(log, &trace), CELLAR_OK);
    store_log_close(log);
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static enum cellar_status record_refused(void *context, const struct store_log_entry *entry)
{
    uint64_t *seen = context;
    *seen = entry->lsn;
    return entry->lsn == 7 ? CELLAR_CANCELLED : CELLAR_OK;
}

static enum cellar_status gap_unexpected(void *context, uint64_t first_lsn, uint64_t last_lsn)
{
    (void)context;
    (void)first_lsn;
    (void)last_lsn;
    return CELLAR_DATA_LOSS;
}

static void record_the_visitor_refuses_ends_the_replay(void **state)
{
    (void)state;
    char directory[256];
    struct store_log *log = NULL;
    uint64_t seen = 0;
    struct store_log_visitor visitor = {
        .context = &seen, .record = record_refused, .gap = gap_unexpected};
    log_make(directory, sizeof directory, 20, 100, 0);
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL), CELLAR_OK);
    assert_int_equal(store_log_replay(log, &visitor, NULL), CELLAR_CANCELLED);
    assert_int_equal(seen, 7);
    store_log_close(log);
    test_remove_tree(directory);
}

static void log_goes_on_behind_a_gap_nobody_needs(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 6, 100, 0);
    test_log_files_load(directory, &files);
    test_log_group_spoil(&files, 6);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    assert_int_equal(store_log_recovered_lsn(log), 7);
    test_log_append_many(log, 1, 100, 4);
    store_log_close(log);
    assert_int_equal(test_log_read(directory, &trace), 12);
    test_log_trace_check(&trace, 1, 1, 12, 6, 6);
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

/* ---- low water ------------------------------------------------------------------------------- */

static void damage_below_the_low_water_is_told_below_it(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 40, 8000, 20);
    test_log_files_load(directory, &files);
    uint64_t first_lsn = 0; /* of the oldest segment that is still there */
    for (size_t i = 0; i < files.count && first_lsn == 0; i++) {
        first_lsn = files.items[i].header.first_lsn;
    }
    assert_in_range(first_lsn, 2, 19);
    test_log_group_spoil(&files, 19);
    test_log_group_spoil(&files, 20);
    trace.needed_lsn = 21;
    assert_int_equal(test_log_read(directory, &trace), 41);
    test_log_trace_check(&trace, 1, first_lsn, 41, 19, 20);
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static void lost_segment_below_the_low_water_is_no_gap(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 40, 8000, 20);
    test_log_files_load(directory, &files);
    for (size_t i = 0; i + 1 < files.count; i++) {
        if (files.items[i].has_header && files.items[i + 1].header.first_lsn <= 21) {
            assert_int_equal(unlink(files.items[i].path), 0);
        }
    }
    assert_int_equal(test_log_read(directory, &trace), 41);
    assert_false(trace.events[0].is_gap);
    assert_in_range(trace.events[0].first_lsn, 2, 21);
    test_log_trace_check(&trace, 1, trace.events[0].first_lsn, 41, 0, 0);
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

/* ---- lost and foreign files ------------------------------------------------------------------ */

static void lost_middle_segment_is_a_gap_from_the_low_water(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) { /* unlinked; header spoilt */
        char directory[256];
        struct test_log_files files = {.count = 0};
        struct test_log_trace trace = {0};
        log_make(directory, sizeof directory, 40, 8000, 0);
        test_log_files_load(directory, &files);
        struct test_log_file *lost = &files.items[files.count - 2];
        uint64_t end_lsn = files.items[files.count - 1].header.first_lsn - 1;
        assert_true(lost->header.first_lsn > 1);
        if (kind == 0) {
            assert_int_equal(unlink(lost->path), 0);
        } else {
            lost->data[40] ^= 1;
            test_log_file_store(lost, lost->bytes);
        }
        assert_int_equal(test_log_read(directory, &trace), 41);
        test_log_trace_check(&trace, 1, 1, 41, 1, end_lsn);
        test_log_trace_fini(&trace);
        test_log_files_free(&files);
        test_remove_tree(directory);
    }
}

static void lost_first_segment_is_a_gap(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 40, 8000, 0);
    test_log_files_load(directory, &files);
    for (size_t i = 0; i < files.count; i++) {
        if (files.items[i].header.number == 1) {
            assert_int_equal(unlink(files.items[i].path), 0);
        }
        if (files.items[i].header.number == 2) {
            assert_int_equal(test_log_read(directory, &trace), 41);
            test_log_trace_check(&trace, 1, 1, 41, 1, files.items[i].header.first_lsn - 1);
        }
    }
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static void truncated_middle_segment_is_a_gap(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct store_log_group group;
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 40, 8000, 0);
    test_log_files_load(directory, &files);
    struct test_log_file *cut = &files.items[files.count - 2];
    uint64_t end_lsn = files.items[files.count - 1].header.first_lsn - 1;
    assert_int_equal(test_log_group_find(&files, end_lsn - 1, &group), files.count - 2);
    test_log_file_store(cut, group.offset + 100);
    assert_int_equal(test_log_read(directory, &trace), 41);
    test_log_trace_check(&trace, 1, 1, 41, end_lsn - 1, end_lsn);
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

/* A segment has its full size from its first use on, so one that is shorter has lost something. */
static void truncated_last_segment_is_data_loss(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct store_log_group group;
    log_make(directory, sizeof directory, 6, 4000, 0);
    test_log_files_load(directory, &files);
    struct test_log_file *last = &files.items[test_log_group_find(&files, 4, &group)];
    test_log_file_store(last, group.offset + 100);
    test_log_open_gives(directory, CELLAR_DATA_LOSS);
    test_log_file_store(last, group.offset);
    test_log_open_gives(directory, CELLAR_DATA_LOSS);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

/* A header is one block, which no crash tears: one that is neither sound nor zero is damage, and
 * what it led to was acknowledged. */
static void damaged_header_of_the_last_segment_is_data_loss(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    log_make(directory, sizeof directory, 40, 8000, 0);
    test_log_files_load(directory, &files);
    struct test_log_file *last = &files.items[files.count - 1];
    static const size_t offsets[] = {0, 9, 20, 33, 41, 49, 57, 65, 73, 200, 511};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(offsets); i++) {
        last->data[offsets[i]] ^= 0x10;
        test_log_file_store(last, last->bytes);
        last->data[offsets[i]] ^= 0x10;
        test_log_open_gives(directory, CELLAR_DATA_LOSS);
    }
    memset(last->data, 0, STORE_LOG_HEADER_BYTES); /* the whole block lost */
    test_log_file_store(last, last->bytes);
    test_log_open_gives(directory, CELLAR_DATA_LOSS);
    memset(last->data, 0xA5, STORE_LOG_HEADER_BYTES);
    test_log_file_store(last, last->bytes);
    test_log_open_gives(directory, CELLAR_DATA_LOSS);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

/* What an old use of a file left behind is nobody's loss. */
static void damaged_header_of_a_free_file_does_no_harm(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 40, 8000, 0);
    store_log_close(test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 41)); /* frees the most */
    test_log_files_load(directory, &files);
    assert_true(files.count >= 2);
    struct test_log_file *old = &files.items[files.count - 2];
    struct test_log_file *last = &files.items[files.count - 1];
    assert_true(last->header.first_lsn == 42);
    static const size_t offsets[] = {0, 20, 33, 38, 41, 49, 57, 511};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(offsets); i++) {
        old->data[offsets[i]] ^= 0x10;
        test_log_file_store(old, old->bytes);
        old->data[offsets[i]] ^= 0x10;
        assert_int_equal(test_log_read(directory, &trace), 41);
    }
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static void segments_of_two_logs_are_refused(void **state)
{
    (void)state;
    /* How many of the first segments are the other log's, and which one is missing besides. */
    static const uint64_t cases[][2] = {{1, 0}, {3, 0}, {1, 2}, {1, 3}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        char directory[256];
        struct test_log_files files = {.count = 0};
        log_make(directory, sizeof directory, 40, 8000, 0);
        test_log_files_load(directory, &files);
        for (size_t j = 0; j < files.count; j++) {
            struct test_log_file *file = &files.items[j];
            if (file->has_header && file->header.number <= cases[i][0]) {
                file->header.log_id[3] ^= 0xff;
                test_log_file_head(file);
                test_log_file_store(file, file->bytes);
            } else if (file->has_header && file->header.number == cases[i][1]) {
                assert_int_equal(unlink(file->path), 0);
            }
        }
        print_message("    %llu foreign, %llu missing\n", (unsigned long long)cases[i][0],
                      (unsigned long long)cases[i][1]);
        test_log_open_gives(directory, CELLAR_DATA_LOSS);
        test_log_files_free(&files);
        test_remove_tree(directory);
    }
}

static void another_version_is_refused(void **state)
{
    (void)state;
    for (size_t from_end = 0; from_end < 2; from_end++) {
        char directory[256];
        struct test_log_files files = {.count = 0};
        log_make(directory, sizeof directory, 40, 8000, 0);
        test_log_files_load(directory, &files);
        struct test_log_file *file = &files.items[files.count - 1 - from_end];
        test_log_version_set(file, STORE_LOG_FORMAT_VERSION + 1);
        test_log_open_gives(directory, CELLAR_FAILED_PRECONDITION);
        test_log_files_free(&files);
        test_remove_tree(directory);
    }
}

static void header_that_cuts_into_a_group_is_data_loss(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct store_log_group group;
    directory_make(directory, sizeof directory);
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_together(log, 1, 100, 20); /* one group of 20 */
    test_log_append_many(log, 1, 8000, 20);
    store_log_close(log);
    test_log_files_load(directory, &files);
    size_t first = test_log_group_find(&files, 1, &group);
    assert_int_equal(group.record_count, 20);
    struct test_log_file *second = &files.items[first + 1];
    assert_int_equal(second->header.number, 2);
    second->header.first_lsn = 10; /* with a good checksum */
    second->header.low_water_lsn = 0;
    test_log_file_head(second);
    test_log_file_store(second, second->bytes);
    /* Refused at once, or told as a gap to who needs the records. */
    struct test_log_trace trace = {.needed_lsn = 1};
    struct store_log *opened = NULL;
    enum cellar_status status = store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &opened, NULL);
    if (status == CELLAR_OK) {
        status = test_log_replay(opened, &trace);
        store_log_close(opened);
    }
    assert_int_equal(status, CELLAR_DATA_LOSS);
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static void lsn_at_the_end_of_numbers_does_not_end_the_process(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct store_log_group group;
    log_make(directory, sizeof directory, 1, 100, 0);
    test_log_files_load(directory, &files);
    struct test_log_file *file = &files.items[test_log_group_find(&files, 1, &group)];
    file->header.first_lsn = UINT64_MAX;
    test_log_file_head(file);
    struct store_log_entry entry = {.lsn = UINT64_MAX, .type = STORE_RECORD_EMPTY};
    uint64_t offset = file->header.alignment;
    uint8_t *end =
        store_log_record_encode(file->data + offset + STORE_LOG_GROUP_HEADER_BYTES, &entry,
                                file->header.incarnation, offset + STORE_LOG_GROUP_HEADER_BYTES);
    group = (struct store_log_group){
        .first_lsn = UINT64_MAX,
        .record_count = 1,
        .offset = offset,
        .incarnation = file->header.incarnation,
        .bytes = cellar_slice_make(file->data + offset, (size_t)(end - file->data) - offset)};
    store_log_group_encode(file->data + offset, &group);
    test_log_file_store(file, file->bytes);
    test_log_open_gives(directory, CELLAR_DATA_LOSS);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

static void other_files_are_left_alone(void **state)
{
    (void)state;
    char directory[256];
    char path[300];
    static const char *const names[] = {"notes.txt",    "1.log",        "000000001.log",
                                        "00000000.log", "0000000x.log", "99999999.lo",
                                        "-0000001.log"};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 5, 100, 0);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(descriptor >= 0);
        assert_int_equal(write(descriptor, "text", 4), 4);
        (void)close(descriptor);
    }
    store_log_close(test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0));
    assert_int_equal(test_log_read(directory, &trace), 6);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        assert_int_equal(access(path, F_OK), 0);
    }
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void half_made_files_are_used_or_replaced(void **state)
{
    (void)state;
    char directory[256];
    char path[300];
    static const size_t sizes[] = {0, 100, 4096, TEST_LOG_SEGMENT_BYTES};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 5, 100, 0);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        (void)snprintf(path, sizeof path, "%s/%08zu.log", directory, 20 + i);
        int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(descriptor >= 0);
        assert_int_equal(ftruncate(descriptor, (off_t)sizes[i]), 0);
        (void)close(descriptor);
    }
    struct store_log *log = test_log_begin(directory, TEST_LOG_SEGMENT_BYTES, 0);
    test_log_append_many(log, 1, 8000, 30);
    store_log_close(log);
    assert_int_equal(test_log_read(directory, &trace), 37);
    test_log_trace_check(&trace, 1, 1, 37, 0, 0);
    test_log_trace_fini(&trace);
    test_remove_tree(directory);
}

static void copy_of_a_segment_is_noticed(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    struct test_log_trace trace = {0};
    log_make(directory, sizeof directory, 40, 8000, 0);
    test_log_files_load(directory, &files);
    struct test_log_file copy = files.items[files.count - 1];
    (void)snprintf(copy.path, sizeof copy.path, "%s/00000099.log", directory);
    test_log_file_store(&copy, copy.bytes);
    struct store_log *log = NULL;
    if (store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, NULL) == CELLAR_OK) {
        trace.needed_lsn = 1;
        assert_int_equal(test_log_replay(log, &trace), CELLAR_DATA_LOSS);
        store_log_close(log);
    }
    test_log_trace_fini(&trace);
    test_log_files_free(&files);
    test_remove_tree(directory);
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

static enum cellar_status record_any(void *context, const struct store_log_entry *entry)
{
    (void)context;
    (void)entry;
    return CELLAR_OK;
}

static enum cellar_status gap_any(void *context, uint64_t first_lsn, uint64_t last_lsn)
{
    (void)context;
    (void)first_lsn;
    (void)last_lsn;
    return CELLAR_OK;
}

static enum cellar_status read_run(void *context)
{
    struct store_log *log = NULL;
    const struct store_log_visitor visitor = {.record = record_any, .gap = gap_any};
    enum cellar_status status = store_log_open(context, TEST_LOG_SEGMENT_BYTES, &log, NULL);
    if (status == CELLAR_OK) {
        status = store_log_replay(log, &visitor, NULL);
    }
    store_log_close(log);
    return status;
}

static void out_of_memory_leaves_nothing_open(void **state)
{
    (void)state;
    char directory[256];
    struct test_log_files files = {.count = 0};
    /* Segments 1 to 9 lose their link to the last one, so nine files go from the chain to the free
     * ones. */
    log_make(directory, sizeof directory, 80, 8000, 0);
    test_log_files_load(directory, &files);
    struct test_log_file *last = &files.items[files.count - 1];
    assert_true(last->header.number >= 10);
    last->header.previous_incarnation ^= 1;
    test_log_file_head(last);
    test_log_file_store(last, last->bytes);
    size_t before = descriptor_count();
    assert_true(test_out_of_memory_loop(read_run, directory) >= 5);
    assert_int_equal(descriptor_count(), before);
    test_log_files_free(&files);
    test_remove_tree(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_acknowledged_is_read_again),
        cmocka_unit_test(replay_may_be_repeated),
        cmocka_unit_test(torn_last_group_is_void_for_ever),
        cmocka_unit_test(recovered_segment_is_never_appended_to),
        cmocka_unit_test(crash_behind_the_fresh_header_loses_nothing),
        cmocka_unit_test(group_torn_across_a_rotation_is_void),
        cmocka_unit_test(damage_in_the_middle_is_a_gap),
        cmocka_unit_test(damage_at_a_segments_end_is_a_gap),
        cmocka_unit_test(flipped_bits_of_a_group_are_noticed),
        cmocka_unit_test(gap_the_visitor_needs_ends_the_replay),
        cmocka_unit_test(record_the_visitor_refuses_ends_the_replay),
        cmocka_unit_test(log_goes_on_behind_a_gap_nobody_needs),
        cmocka_unit_test(damage_below_the_low_water_is_told_below_it),
        cmocka_unit_test(lost_segment_below_the_low_water_is_no_gap),
        cmocka_unit_test(lost_middle_segment_is_a_gap_from_the_low_water),
        cmocka_unit_test(lost_first_segment_is_a_gap),
        cmocka_unit_test(truncated_middle_segment_is_a_gap),
        cmocka_unit_test(truncated_last_segment_is_data_loss),
        cmocka_unit_test(damaged_header_of_the_last_segment_is_data_loss),
        cmocka_unit_test(damaged_header_of_a_free_file_does_no_harm),
        cmocka_unit_test(segments_of_two_logs_are_refused),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(header_that_cuts_into_a_group_is_data_loss),
        cmocka_unit_test(lsn_at_the_end_of_numbers_does_not_end_the_process),
        cmocka_unit_test(other_files_are_left_alone),
        cmocka_unit_test(half_made_files_are_used_or_replaced),
        cmocka_unit_test(copy_of_a_segment_is_noticed),
        cmocka_unit_test(out_of_memory_leaves_nothing_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
