/*
 * Reading ahead: a scan over pages that are not in memory asks for what comes next, so far as it
 * has gone; over pages that are, it asks for nothing; on a loop it only tells that they are not.
 * The store's file lies in key order, and is let go from the page cache between the cases.
 */
#include "tests/support/store_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "server/tablet/ahead.h"
#include "tests/support/disk.h"

#define ROW_COUNT 12000u
#define CHUNK_ROWS 100u
#define VALUE_BYTES 900u

/* What a scan was told, by chunk. */
struct course {
    uint32_t chunk_count;
    uint32_t asked_count; /* chunks that asked for pages, or read such */
    uint32_t cold_count;  /* chunks after which the next one might have to wait */
    bool first_is_cold;   /* after the first chunk */
};

static void rows_write(struct test_rig *rig)
{
    char value[VALUE_BYTES + 1];
    char row[16];
    memset(value, 'v', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    const struct store_item item = test_set("f", "q", 1, value);
    for (uint32_t i = 0; i < ROW_COUNT; i++) {
        struct cellar_buffer payload = {0};
        (void)snprintf(row, sizeof row, "row%08u", i);
        test_mutation_put(&payload, cellar_slice_text(row), 1, &item, 1);
        test_rig_write(rig, test_rig_next_lsn(rig), cellar_slice_of(&payload));
        cellar_buffer_fini(&payload);
    }
}

/* Lets the file go from the page cache. @return whether it went: not in a file system in memory */
static bool file_drop(struct test_rig *rig)
{
    char path[PATH_MAX];
    struct store_snapshot snapshot;
    (void)snprintf(path, sizeof path, "%s/data.mdb", rig->env_path);
    store_env_park(rig->store->env);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_int_equal(syncfs(descriptor), 0);
    assert_int_equal(posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_int_equal(close(descriptor), 0);
    assert_int_equal(store_snapshot_open(rig->store, UINT64_MAX - 1, &snapshot), CELLAR_OK);
    const struct store_env *env = snapshot.txn->env;
    bool is_gone = !store_env_is_resident(env, store_env_map_start(env), store_env_used_bytes(env));
    store_snapshot_close(&snapshot);
    return is_gone;
}

/* Scans some chunks of the store as a scan does, each in a snapshot of its own. */
static struct course run(struct test_rig *rig, struct tablet_ahead *ahead, uint32_t chunks_max,
                         bool may_wait)
{
    struct course course = {.chunk_count = 0};
    struct cellar_buffer place = {0};
    bool has_row = true;
    while (has_row && course.chunk_count < chunks_max) {
        struct store_snapshot snapshot;
        struct store_rows rows;
        assert_int_equal(store_snapshot_open(rig->store, UINT64_MAX - 1, &snapshot), CELLAR_OK);
        store_rows_init(&rows, &snapshot);
        assert_int_equal(store_rows_seek(&rows, cellar_slice_of(&place)), CELLAR_OK);
        if (rows.has_row) {
            tablet_ahead_begin(ahead, &rows, may_wait, true);
        }
        for (uint32_t i = 0; i < CHUNK_ROWS && rows.has_row; i++) {
            assert_int_equal(store_rows_next(&rows), CELLAR_OK);
        }
        has_row = rows.has_row;
        if (has_row) {
            tablet_ahead_end(ahead, &rows, CHUNK_ROWS * VALUE_BYTES, may_wait);
            course.chunk_count++;
            course.asked_count += ahead->has_asked ? 1 : 0;
            course.cold_count += ahead->is_cold ? 1 : 0;
            course.first_is_cold =
                course.first_is_cold || (course.chunk_count == 1 && ahead->is_cold);
            cellar_buffer_clear(&place);
            assert_int_equal(cellar_buffer_append(&place, rows.row.data, rows.row.bytes),
                             CELLAR_OK);
        }
        store_rows_fini(&rows);
        store_snapshot_close(&snapshot);
    }
    cellar_buffer_fini(&place);
    return course;
}

static void rig_begin(struct test_rig *rig)
{
    test_rig_begin(rig, TEST_MAP_BYTES);
    test_disk_fast(true);
    rows_write(rig);
    assert_int_equal(test_rig_checkpoint(rig), CELLAR_OK);
}

static void scan_over_absent_pages_asks_for_what_comes_next(void **state)
{
    (void)state;
    struct test_rig rig;
    struct tablet_ahead ahead = {.first = NULL};
    rig_begin(&rig);
    bool is_gone = file_drop(&rig);
    struct course course = run(&rig, &ahead, UINT32_MAX, true);
    assert_true(course.chunk_count > 50);
    if (is_gone) {
        assert_true(course.first_is_cold);
        assert_true(course.asked_count > 20);
        assert_true(course.cold_count > 20);
    }
    test_rig_end(&rig);
    if (!is_gone) {
        skip();
    }
}

static void scan_over_present_pages_asks_for_nothing(void **state)
{
    (void)state;
    struct test_rig rig;
    struct tablet_ahead ahead = {.first = NULL};
    rig_begin(&rig);
    for (int may_wait = 0; may_wait < 2; may_wait++) {
        struct course course = run(&rig, &ahead, UINT32_MAX, may_wait == 1);
        assert_true(course.chunk_count > 50);
        assert_int_equal(course.asked_count, 0);
        assert_int_equal(course.cold_count, 0);
    }
    test_rig_end(&rig);
}

static void loop_is_told_that_the_next_pages_are_absent(void **state)
{
    (void)state;
    struct test_rig rig;
    struct tablet_ahead ahead = {.first = NULL};
    rig_begin(&rig);
    bool is_gone = file_drop(&rig);
    struct course course = run(&rig, &ahead, 1, false);
    assert_int_equal(course.asked_count, 0);
    assert_int_equal(course.cold_count, is_gone ? 1 : 0);
    test_rig_end(&rig);
    if (!is_gone) {
        skip();
    }
}

static void window_grows_with_the_scan(void **state)
{
    (void)state;
    struct test_rig rig;
    struct tablet_ahead ahead = {.first = NULL};
    size_t window_bytes = 0;
    rig_begin(&rig);
    bool is_gone = file_drop(&rig);
    for (uint32_t chunks = 1; is_gone && chunks <= 16; chunks *= 4) {
        ahead = (struct tablet_ahead){.first = NULL};
        assert_true(file_drop(&rig));
        (void)run(&rig, &ahead, chunks, true);
        assert_true(ahead.window_bytes > window_bytes);
        window_bytes = ahead.window_bytes;
    }
    tablet_ahead_reset(&ahead);
    assert_int_equal(ahead.window_bytes, 0);
    test_rig_end(&rig);
    if (!is_gone) {
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_over_absent_pages_asks_for_what_comes_next),
        cmocka_unit_test(scan_over_present_pages_asks_for_nothing),
        cmocka_unit_test(loop_is_told_that_the_next_pages_are_absent),
        cmocka_unit_test(window_grows_with_the_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
