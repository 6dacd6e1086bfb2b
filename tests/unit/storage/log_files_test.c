/*
 * log_files: whole-range reads and writes, directories, segment files, the spare file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "server/storage/log_files.h"
#include "tests/support/disk.h"

static void directory_make(char *path, size_t bytes)
{
    test_disk_fast(true);
    test_temp_dir(path, bytes);
}

static void path_of(const char *directory, const char *name, char *path)
{
    assert_true(snprintf(path, PATH_MAX, "%s/%s", directory, name) < PATH_MAX);
}

static void file_touch(const char *directory, const char *name)
{
    char path[PATH_MAX];
    path_of(directory, name, path);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
}

/* ---- reads and writes ------------------------------------------------------------------------ */

static void reads_tell_where_the_file_ends(void **state)
{
    (void)state;
    char directory[256];
    char path[PATH_MAX];
    char found[100];
    size_t got = 0;
    directory_make(directory, sizeof directory);
    path_of(directory, "file", path);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(store_file_write(descriptor, 3, "hello", 5), CELLAR_OK);
    assert_int_equal(store_file_read(descriptor, 0, found, sizeof found, &got), CELLAR_OK);
    assert_int_equal(got, 8);
    assert_memory_equal(found, "\0\0\0hello", 8);
    assert_int_equal(store_file_read(descriptor, 5, found, 2, &got), CELLAR_OK);
    assert_int_equal(got, 2);
    assert_memory_equal(found, "ll", 2);
    assert_int_equal(store_file_read(descriptor, 100, found, 2, &got), CELLAR_OK);
    assert_int_equal(got, 0);
    assert_int_equal(store_file_write(descriptor, 0, NULL, 0), CELLAR_OK);
    (void)close(descriptor);
    descriptor = open(directory, O_RDONLY | O_CLOEXEC);
    assert_int_equal(store_file_read(descriptor, 0, found, 1, &got), CELLAR_IO_ERROR);
    (void)close(descriptor);
    test_remove_tree(directory);
}

static void failed_writes_tell_a_full_disk_from_a_broken_one(void **state)
{
    (void)state;
    char directory[256];
    static const struct {
        int code;
        enum cellar_status status;
    } cases[] = {{ENOSPC, CELLAR_RESOURCE_EXHAUSTED},
                 {EDQUOT, CELLAR_RESOURCE_EXHAUSTED},
                 {EIO, CELLAR_IO_ERROR},
                 {EROFS, CELLAR_IO_ERROR}};
    directory_make(directory, sizeof directory);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct cellar_error error;
        struct store_log_file file;
        cellar_error_clear(&error);
        test_disk_fail_writes((int64_t)i % 2, cases[i].code);
        assert_int_equal(store_log_file_create(directory, 9, 2 << 20, &file, &error),
                         cases[i].status);
        test_disk_fail_writes(-1, 0);
        assert_true(error.text[0] != '\0');
        char path[PATH_MAX];
        path_of(directory, "00000009.log", path);
        assert_int_equal(access(path, F_OK), -1); /* nothing half made is left */
    }
    test_remove_tree(directory);
}

/* ---- directories ----------------------------------------------------------------------------- */

static void directories_are_made_synced_and_removed(void **state)
{
    (void)state;
    char directory[256];
    char path[PATH_MAX];
    char inner[PATH_MAX];
    struct stat facts;
    directory_make(directory, sizeof directory);
    path_of(directory, "one", path);
    assert_int_equal(store_directory_make(path, NULL), CELLAR_OK);
    assert_int_equal(store_directory_make(path, NULL), CELLAR_OK);
    assert_int_equal(store_directory_sync(path, NULL), CELLAR_OK);
    path_of(path, "1", inner);
    assert_int_equal(store_directory_make(inner, NULL), CELLAR_OK);
    file_touch(inner, "data.mdb");
    file_touch(inner, "lock.mdb");
    file_touch(path, "other");
    assert_int_equal(store_directory_remove(path, NULL), CELLAR_OK);
    assert_int_equal(stat(path, &facts), -1);
    assert_int_equal(store_directory_remove(path, NULL), CELLAR_OK); /* missing is fine */
    test_remove_tree(directory);
}

static void removal_does_not_follow_links(void **state)
{
    (void)state;
    char directory[256];
    char path[PATH_MAX];
    char kept[PATH_MAX];
    char link[PATH_MAX];
    struct stat facts;
    directory_make(directory, sizeof directory);
    path_of(directory, "store", path);
    path_of(directory, "kept", kept);
    assert_int_equal(store_directory_make(path, NULL), CELLAR_OK);
    assert_int_equal(store_directory_make(kept, NULL), CELLAR_OK);
    file_touch(kept, "file");
    path_of(path, "link", link);
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(store_directory_remove(path, NULL), CELLAR_OK);
    path_of(kept, "file", link);
    assert_int_equal(stat(link, &facts), 0);
    test_remove_tree(directory);
}

static void directories_that_cannot_be_are_errors(void **state)
{
    (void)state;
    char directory[256];
    char path[PATH_MAX];
    struct cellar_error error;
    directory_make(directory, sizeof directory);
    cellar_error_clear(&error);
    path_of(directory, "none/deeper", path);
    assert_int_equal(store_directory_make(path, &error), CELLAR_IO_ERROR);
    assert_true(error.text[0] != '\0');
    assert_int_equal(store_directory_sync(path, &error), CELLAR_IO_ERROR);
    path_of(directory, "new", path);
    test_disk_fail_syncs(0, EIO);
    assert_int_equal(store_directory_make(path, &error), CELLAR_IO_ERROR);
    assert_int_equal(store_directory_sync(directory, &error), CELLAR_IO_ERROR);
    test_disk_fail_syncs(-1, 0);
    test_remove_tree(directory);
}

static void file_in_the_place_of_a_directory_is_an_error(void **state)
{
    (void)state;
    char directory[256];
    char path[PATH_MAX];
    directory_make(directory, sizeof directory);
    file_touch(directory, "log");
    path_of(directory, "log", path);
    assert_int_equal(store_directory_make(path, NULL), CELLAR_IO_ERROR);
    test_remove_tree(directory);
}

/* The sync of the parent that a first try lacked must not be left out by the second. */
static void directory_that_was_there_is_made_durable_too(void **state)
{
    (void)state;
    char directory[256];
    char path[PATH_MAX];
    uint64_t writes = 0;
    uint64_t syncs[2];
    directory_make(directory, sizeof directory);
    path_of(directory, "log", path);
    assert_int_equal(mkdir(path, 0700), 0);
    test_disk_counts(&writes, &syncs[0]);
    assert_int_equal(store_directory_make(path, NULL), CELLAR_OK);
    test_disk_counts(&writes, &syncs[1]);
    assert_int_equal(syncs[1] - syncs[0], 1);
    test_remove_tree(directory);
}

/* ---- segment files --------------------------------------------------------------------------- */

static void new_segment_file_is_zero_from_end_to_end(void **state)
{
    (void)state;
    char directory[256];
    struct store_log_file file;
    static uint8_t found[(2 << 20) + 70000];
    size_t got = 0;
    uint64_t writes = 0;
    uint64_t syncs[2];
    directory_make(directory, sizeof directory);
    file_touch(directory, "00000042.log"); /* replaced */
    test_disk_counts(&writes, &syncs[0]);
    assert_int_equal(store_log_file_create(directory, 42, (2 << 20) + 65536, &file, NULL),
                     CELLAR_OK);
    test_disk_counts(&writes, &syncs[1]);
    assert_int_equal(syncs[1] - syncs[0], 2); /* the file and its name */
    assert_int_equal(file.index, 42);
    memset(found, 0xEE, sizeof found);
    assert_int_equal(store_file_read(file.descriptor, 0, found, sizeof found, &got), CELLAR_OK);
    assert_int_equal(got, (2 << 20) + 65536);
    for (size_t i = 0; i < got; i++) {
        if (found[i] != 0) {
            fail_msg("byte %zu is not zero", i);
        }
    }
    struct store_log_file again;
    assert_int_equal(store_log_file_open(directory, 42, &again, NULL), CELLAR_OK);
    (void)close(again.descriptor);
    store_log_file_remove(directory, &file);
    assert_int_equal(file.descriptor, -1);
    assert_int_equal(store_log_file_open(directory, 42, &again, NULL), CELLAR_IO_ERROR);
    test_remove_tree(directory);
}

static enum cellar_status create_run(void *context)
{
    struct store_log_file file;
    enum cellar_status status = store_log_file_create(context, 1, 65536, &file, NULL);
    if (status == CELLAR_OK) {
        store_log_file_remove(context, &file);
    }
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    char directory[256];
    directory_make(directory, sizeof directory);
    assert_true(test_out_of_memory_loop(create_run, directory) >= 1);
    test_remove_tree(directory);
}

/* ---- the spare ------------------------------------------------------------------------------- */

static void spare_is_made_when_asked_for(void **state)
{
    (void)state;
    char directory[256];
    struct store_log_spare spare = {0};
    struct store_log_file file;
    directory_make(directory, sizeof directory);
    store_log_spare_stop(&spare); /* never started */
    assert_int_equal(store_log_spare_start(&spare, directory, 65536, 5), CELLAR_OK);
    assert_false(store_log_spare_take(&spare, 0, &file));
    for (uint64_t i = 5; i < 9; i++) {
        store_log_spare_request(&spare);
        store_log_spare_request(&spare); /* one is enough */
        while (!store_log_spare_take(&spare, 1000000, &file)) {
        }
        assert_int_equal(file.index, i);
        (void)close(file.descriptor);
    }
    assert_false(store_log_spare_take(&spare, 0, &file));
    store_log_spare_stop(&spare);
    test_remove_tree(directory);
}

static void spare_not_taken_stays_for_the_next_run(void **state)
{
    (void)state;
    char directory[256];
    char path[PATH_MAX];
    struct store_log_spare spare = {0};
    directory_make(directory, sizeof directory);
    assert_int_equal(store_log_spare_start(&spare, directory, 65536, 5), CELLAR_OK);
    path_of(directory, "00000005.log", path);
    store_log_spare_request(&spare);
    while (access(path, F_OK) != 0) {
        (void)sched_yield();
    }
    store_log_spare_stop(&spare);
    assert_int_equal(access(path, F_OK), 0);
    test_remove_tree(directory);
}

static void spare_that_cannot_be_made_is_tried_again(void **state)
{
    (void)state;
    char directory[256];
    struct store_log_spare spare = {0};
    struct store_log_file file;
    directory_make(directory, sizeof directory);
    assert_int_equal(store_log_spare_start(&spare, directory, 65536, 1), CELLAR_OK);
    test_disk_fail_writes(0, ENOSPC);
    store_log_spare_request(&spare);
    while (!store_log_spare_has_failed(&spare)) {
        (void)sched_yield();
    }
    assert_false(store_log_spare_take(&spare, 0, &file));
    test_disk_fail_writes(-1, 0);
    while (!store_log_spare_take(&spare, 1000000, &file)) {
    }
    assert_false(store_log_spare_has_failed(&spare));
    assert_int_equal(file.index, 1);
    store_log_file_remove(directory, &file);
    store_log_spare_stop(&spare);
    test_remove_tree(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tell_where_the_file_ends),
        cmocka_unit_test(failed_writes_tell_a_full_disk_from_a_broken_one),
        cmocka_unit_test(directories_are_made_synced_and_removed),
        cmocka_unit_test(removal_does_not_follow_links),
        cmocka_unit_test(directories_that_cannot_be_are_errors),
        cmocka_unit_test(file_in_the_place_of_a_directory_is_an_error),
        cmocka_unit_test(directory_that_was_there_is_made_durable_too),
        cmocka_unit_test(new_segment_file_is_zero_from_end_to_end),
        cmocka_unit_test(out_of_memory_is_told),
        cmocka_unit_test(spare_is_made_when_asked_for),
        cmocka_unit_test(spare_not_taken_stays_for_the_next_run),
        cmocka_unit_test(spare_that_cannot_be_made_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
