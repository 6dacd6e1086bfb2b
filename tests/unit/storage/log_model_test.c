/*
 * The commit log against a model: random lives with appends of several threads, rotations and a
 * moving low-water mark, each ended by a kill or a loss of power at a random moment, also while the
 * log starts. Whatever is found then: every acknowledged record is there, what was read once stays,
 * what was void never comes back, and no gap reaches above the low-water mark.
 *
 * A record's payload tells the life that wrote it, so a record of an earlier life under an LSN that
 * a later one gave out again would be noticed.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "server/storage/record.h"
#include "tests/support/disk.h"
#include "tests/support/log_fixture.h"

#define LIFE_COUNT 40u
#define LSN_MAX 1000000u
#define WRITER_COUNT 2u
#define BYTES_MAX (TEST_LOG_SEGMENT_BYTES / 4)
#define FULL_US_MAX 40000u /* the disk is full, or is not, for at most so long at a time */

/* One record in flight. */
struct piece {
    struct store_log_record record;
    uint8_t payload[];
};

static struct {
    struct test_random random;
    char directory[256];
    uint64_t life;
    uint64_t life_of[LSN_MAX]; /* of each LSN: the life whose record it is, 0: none */
    _Atomic uint64_t acknowledged_lsn;
    _Atomic uint64_t low_water_lsn; /* the greatest ever told */
    _Atomic bool is_over;           /* the writers stop */
    uint64_t stop_lsn;              /* the writers rest behind it */
    bool may_be_full;               /* the disk is at times: */
    bool is_last;                   /* the life that ends full: no segment becomes free any more */
    _Atomic bool is_full;           /* no file can be made now */
    bool is_full_next;              /* when the next life starts */
    _Atomic uint64_t refusal_count; /* looks at the log that appends would be refused, therefore */
    struct store_log *log;
} model;

/** In place of the C library's: what the log asks before it makes a file. */
int statvfs(const char *path, struct statvfs *facts)
{
    (void)path;
    memset(facts, 0, sizeof *facts);
    facts->f_frsize = 4096;
    facts->f_bavail = atomic_load(&model.is_full) ? 0 : 1000000;
    return 0;
}

static void piece_done(struct store_log_record *record, enum cellar_status status)
{
    struct piece *piece = CELLAR_CONTAINER_OF(record, struct piece, record);
    CELLAR_ASSERT(status == CELLAR_OK);
    uint64_t before = atomic_exchange(&model.acknowledged_lsn, record->entry.lsn);
    CELLAR_ASSERT(before < record->entry.lsn);
    free(piece);
}

/* @return whether the log took it */
static bool piece_append(struct test_random *random)
{
    size_t bytes = (size_t)test_random_below(random, 20) == 0
                       ? (size_t)test_random_below(random, BYTES_MAX + 1)
                       : (size_t)test_random_below(random, 600);
    struct piece *piece = calloc(1, sizeof *piece + bytes);
    CELLAR_ASSERT(piece != NULL);
    store_log_lock(model.log);
    if (store_log_check(model.log) == CELLAR_RESOURCE_EXHAUSTED) {
        store_log_unlock(model.log);
        free(piece);
        return false;
    }
    uint64_t lsn = store_log_next_lsn(model.log);
    CELLAR_ASSERT(lsn < LSN_MAX);
    test_log_payload(model.life, lsn, piece->payload, bytes);
    model.life_of[lsn] = model.life;
    piece->record.done = piece_done;
    piece->record.entry =
        (struct store_log_entry){.store_id = (uint32_t)(lsn % 7),
                                 .type = STORE_RECORD_MUTATION,
                                 .payload = cellar_slice_make(piece->payload, bytes)};
    (void)store_log_append(model.log, &piece->record);
    store_log_unlock(model.log);
    return true;
}

static void low_water_move(struct test_random *random)
{
    uint64_t lsn = atomic_load(&model.acknowledged_lsn);
    uint64_t behind = test_random_below(random, 60);
    uint64_t low = lsn - CELLAR_MIN(lsn, behind);
    uint64_t known = atomic_load(&model.low_water_lsn);
    while (known < low && !atomic_compare_exchange_weak(&model.low_water_lsn, &known, low)) {
    }
    store_log_low_water_set(model.log, low);
}

static void *writer_run(void *context)
{
    struct test_random random = {*(const uint64_t *)context};
    while (!atomic_load(&model.is_over)) {
        uint64_t durable_lsn = store_log_durable_lsn(model.log);
        store_log_lock(model.log);
        uint64_t queued = store_log_next_lsn(model.log) - durable_lsn;
        bool is_refused = store_log_check(model.log) == CELLAR_RESOURCE_EXHAUSTED;
        store_log_unlock(model.log);
        atomic_fetch_add(&model.refusal_count, is_refused ? 1 : 0);
        if (queued > 40 || durable_lsn > model.stop_lsn) {
            (void)sched_yield();
            continue;
        }
        if (!piece_append(&random)) {
            (void)sched_yield();
        }
        if (!model.is_last && test_random_below(&random, 50) == 0) {
            low_water_move(&random);
        }
    }
    return NULL;
}

/* Copies the directory as it is found after the machine stopped; the copy is the next life's. */
static void stop_copy(char *copy, size_t room)
{
    enum test_disk_end end =
        test_random_below(&model.random, 3) == 0 ? TEST_DISK_KILL : TEST_DISK_POWER_LOSS;
    test_temp_dir(copy, room);
    test_disk_copy(copy, end, &model.random);
}

/* The disk becomes full and has room again by the clock: how often a thread that waits gets to run
 * is the scheduler's, and a log that waits for seconds on a full disk rightly fails. In the last
 * life it is full until an append was refused. */
static void life_await(uint64_t target)
{
    int64_t change_us = cellar_clock_monotonic_us();
    uint64_t refusal_count = atomic_load(&model.refusal_count);
    atomic_store(&model.is_full, model.is_last || atomic_load(&model.is_full));
    while (model.is_last ? atomic_load(&model.refusal_count) == refusal_count
                         : atomic_load(&model.acknowledged_lsn) < target) {
        (void)sched_yield();
        int64_t now_us = cellar_clock_monotonic_us();
        if (model.may_be_full && !model.is_last && now_us >= change_us) {
            atomic_store(&model.is_full, !atomic_load(&model.is_full));
            change_us = now_us + (int64_t)test_random_below(&model.random, FULL_US_MAX);
        }
    }
}

/* Lets the writers run for a while. @return the LSN acknowledged before the copy was made */
static uint64_t life_run(char *copy, size_t room)
{
    pthread_t threads[WRITER_COUNT];
    uint64_t seeds[WRITER_COUNT];
    uint64_t target = store_log_recovered_lsn(model.log) + test_random_below(&model.random, 400);
    model.stop_lsn = target + 2000;
    atomic_store(&model.is_over, false);
    for (size_t i = 0; i < WRITER_COUNT; i++) {
        seeds[i] = test_random_next(&model.random);
        assert_int_equal(pthread_create(&threads[i], NULL, writer_run, &seeds[i]), 0);
    }
    life_await(target);
    uint64_t acknowledged_lsn = atomic_load(&model.acknowledged_lsn);
    stop_copy(copy, room);
    atomic_store(&model.is_over, true);
    bool was_full = atomic_exchange(&model.is_full, false); /* what is queued needs its files */
    for (size_t i = 0; i < WRITER_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    model.is_full_next = was_full;
    return acknowledged_lsn;
}

/* Holds what a log reads back against the model. @return the last LSN there is */
static uint64_t found_check(struct store_log *log, uint64_t acknowledged_lsn,
                            uint64_t low_water_lsn)
{
    static uint8_t payload[BYTES_MAX];
    struct test_log_trace trace = {.needed_lsn = low_water_lsn + 1};
    assert_int_equal(test_log_replay(log, &trace), CELLAR_OK);
    uint64_t recovered_lsn = store_log_recovered_lsn(log);
    assert_true(recovered_lsn >= acknowledged_lsn);
    uint64_t expected_lsn = trace.count == 0 ? recovered_lsn + 1 : trace.events[0].first_lsn;
    assert_true(expected_lsn <= low_water_lsn + 1);
    for (size_t i = 0; i < trace.count; i++) {
        const struct test_log_event *event = &trace.events[i];
        assert_int_equal(event->first_lsn, expected_lsn);
        expected_lsn = event->last_lsn + 1;
        if (event->is_gap || event->type == STORE_RECORD_EMPTY) {
            continue;
        }
        test_log_payload(model.life_of[event->first_lsn], event->first_lsn, payload, event->bytes);
        assert_int_equal(event->crc, cellar_crc32c(0, payload, event->bytes));
    }
    assert_int_equal(expected_lsn, recovered_lsn + 1);
    for (uint64_t lsn = expected_lsn; lsn < LSN_MAX && model.life_of[lsn] != 0; lsn++) {
        model.life_of[lsn] = 0; /* void */
    }
    test_log_trace_fini(&trace);
    return recovered_lsn;
}

/* Moves to the directory that was copied. */
static void directory_take(const char *copy)
{
    test_disk_record_end();
    test_remove_tree(model.directory);
    (void)snprintf(model.directory, sizeof model.directory, "%s", copy);
    test_disk_record(model.directory);
}

static void log_open(void)
{
    assert_int_equal(store_log_open(model.directory, TEST_LOG_SEGMENT_BYTES, &model.log, NULL),
                     CELLAR_OK);
}

/* Starts, and one time in four dies at some point of it. What was read lasts from the end of the
 * start on: before, only what was acknowledged does, since nobody was shown the rest. */
static void log_start(uint64_t acknowledged_lsn)
{
    char copy[256];
    uint64_t low_water_lsn = store_log_low_water(model.log);
    if (model.may_be_full && test_random_below(&model.random, 2) == 0) {
        low_water_lsn = CELLAR_MAX(low_water_lsn, acknowledged_lsn); /* stores have applied all */
        atomic_store(&model.low_water_lsn,
                     CELLAR_MAX(low_water_lsn, atomic_load(&model.low_water_lsn)));
    }
    atomic_store(&model.is_full, model.is_full_next);
    while (test_random_below(&model.random, 4) == 0) {
        int64_t good = (int64_t)test_random_below(&model.random, 6);
        test_disk_fail_syncs(good, 5);
        enum cellar_status status = store_log_start(model.log, low_water_lsn, NULL);
        stop_copy(copy, sizeof copy);
        test_disk_fail_syncs(-1, 0);
        if (status == CELLAR_OK) {
            acknowledged_lsn = store_log_recovered_lsn(model.log);
        }
        store_log_close(model.log);
        assert_true(status == CELLAR_OK || status == CELLAR_IO_ERROR ||
                    (status == CELLAR_RESOURCE_EXHAUSTED && atomic_load(&model.is_full)));
        directory_take(copy);
        log_open();
        (void)found_check(model.log, acknowledged_lsn, atomic_load(&model.low_water_lsn));
    }
    if (atomic_load(&model.is_full)) {
        enum cellar_status status = store_log_start(model.log, low_water_lsn, NULL);
        if (status == CELLAR_OK) {
            return;
        }
        assert_int_equal(status, CELLAR_RESOURCE_EXHAUSTED);
        atomic_store(&model.is_full, false);
        store_log_close(model.log);
        log_open();
    }
    assert_int_equal(store_log_start(model.log, low_water_lsn, NULL), CELLAR_OK);
}

static void lives_run(bool may_be_full)
{
    char copy[256];
    uint64_t acknowledged_lsn = 0;
    memset(&model, 0, sizeof model);
    model.may_be_full = may_be_full;
    model.random.state = test_seed("log_model");
    test_disk_fast(true);
    test_temp_dir(model.directory, sizeof model.directory);
    test_disk_record(model.directory);
    for (model.life = 1; model.life <= LIFE_COUNT; model.life++) {
        log_open();
        uint64_t low_water_lsn = atomic_load(&model.low_water_lsn);
        (void)found_check(model.log, acknowledged_lsn, low_water_lsn);
        log_start(acknowledged_lsn);
        acknowledged_lsn = store_log_recovered_lsn(model.log);
        atomic_store(&model.acknowledged_lsn, acknowledged_lsn);
        model.is_last = may_be_full && model.life == LIFE_COUNT;
        acknowledged_lsn = life_run(copy, sizeof copy);
        store_log_close(model.log);
        directory_take(copy);
    }
    test_disk_record_end();
    test_remove_tree(model.directory);
}

static void nothing_acknowledged_is_lost_and_nothing_void_comes_back(void **state)
{
    (void)state;
    lives_run(false);
}

static void nothing_is_lost_on_a_disk_that_is_full_at_times(void **state)
{
    (void)state;
    lives_run(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_and_nothing_void_comes_back),
        cmocka_unit_test(nothing_is_lost_on_a_disk_that_is_full_at_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
