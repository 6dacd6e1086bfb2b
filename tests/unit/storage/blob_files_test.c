/*
 * blob_files: values as files, read back piece by piece, damage told, nothing left behind.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "server/storage/blob_files.h"
#include "tests/support/disk.h"

#define PIECE STORE_BLOB_PIECE_BYTES

static const uint8_t log_id[STORE_LOG_ID_BYTES] = "the log of tests";

struct folder {
    char top[256];
    char path[PATH_MAX];
    struct store_blobs *blobs;
};

static void folder_open(struct folder *folder)
{
    struct cellar_error error;
    assert_int_equal(store_blobs_open(folder->path, log_id, &folder->blobs, &error), CELLAR_OK);
}

static void folder_make(struct folder *folder)
{
    test_disk_fast(true);
    test_temp_dir(folder->top, sizeof folder->top);
    assert_true(snprintf(folder->path, sizeof folder->path, "%s/blobs", folder->top) > 0);
    folder_open(folder);
}

static void folder_end(struct folder *folder)
{
    store_blobs_close(folder->blobs);
    test_remove_tree(folder->top);
}

/* Closes and opens it again, as a restart does. */
static void folder_restart(struct folder *folder)
{
    store_blobs_close(folder->blobs);
    folder_open(folder);
}

static size_t file_count(const struct folder *folder)
{
    size_t count = 0;
    DIR *directory = opendir(folder->path);
    assert_non_null(directory);
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        count += entry->d_name[0] == '.' ? 0 : 1;
    }
    (void)closedir(directory);
    return count;
}

static struct cellar_slice value_make(size_t bytes)
{
    uint8_t *value = malloc(bytes);
    assert_non_null(value);
    for (size_t i = 0; i < bytes; i++) {
        value[i] = (uint8_t)(i * 31 + i / 251);
    }
    return cellar_slice_make(value, bytes);
}

/* Reads a blob to its end. */
static enum cellar_status blob_read(const struct folder *folder, const struct store_blob *blob,
                                    struct cellar_buffer *found)
{
    struct store_blob_reader reader = {.descriptor = -1};
    enum cellar_status status = store_blob_open(folder->blobs, blob, &reader);
    cellar_buffer_clear(found);
    while (status == CELLAR_OK && !store_blob_is_done(&reader)) {
        size_t before = found->bytes;
        status = store_blob_next(&reader, found);
        assert_true(found->bytes - before <= PIECE);
        assert_true(status != CELLAR_OK ? found->bytes == before : found->bytes > before);
    }
    if (status == CELLAR_OK) {
        size_t before = found->bytes;
        assert_int_equal(store_blob_next(&reader, found), CELLAR_OK);
        assert_int_equal(found->bytes, before);
    }
    store_blob_close(&reader);
    return status;
}

static void path_of(const struct folder *folder, const struct store_blob *blob, char *path)
{
    assert_true(snprintf(path, PATH_MAX, "%s/%016" PRIx64 ".blob", folder->path, blob->id) > 0);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void values_of_any_length_come_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 100, PIECE - 1, PIECE, PIECE + 1, 17 * PIECE + 5};
    struct folder folder;
    struct cellar_buffer found = {0};
    folder_make(&folder);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lengths); i++) {
        struct cellar_slice value = value_make(lengths[i]);
        struct store_blob blob = {0};
        struct store_blob read = {0};
        uint8_t bytes[STORE_BLOB_REFERENCE_BYTES];
        assert_int_equal(store_blobs_write(folder.blobs, value, false, &blob), CELLAR_OK);
        store_blob_encode(bytes, &blob);
        assert_true(store_blob_decode(cellar_slice_make(bytes, sizeof bytes), &read));
        assert_int_equal(blob_read(&folder, &read, &found), CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&found), value));
        free((void *)(uintptr_t)value.data);
    }
    assert_int_equal(file_count(&folder), CELLAR_ARRAY_COUNT(lengths));
    cellar_buffer_fini(&found);
    folder_end(&folder);
}

static void malformed_references_are_refused(void **state)
{
    (void)state;
    struct store_blob blob = {.id = 7, .bytes = 9, .crc = 11};
    struct store_blob found;
    uint8_t bytes[STORE_BLOB_REFERENCE_BYTES + 1] = {0};
    store_blob_encode(bytes, &blob);
    assert_true(store_blob_decode(cellar_slice_make(bytes, 20), &found));
    assert_int_equal(found.crc, 11);
    assert_false(store_blob_decode(cellar_slice_make(bytes, 19), &found));
    assert_false(store_blob_decode(cellar_slice_make(bytes, 21), &found));
    assert_false(store_blob_decode(cellar_slice_make(NULL, 0), &found));
    cellar_put_u64le(bytes + 8, STORE_BLOB_BYTES_MAX + 1);
    assert_false(store_blob_decode(cellar_slice_make(bytes, 20), &found));
    cellar_put_u64le(bytes + 8, 0);
    assert_false(store_blob_decode(cellar_slice_make(bytes, 20), &found));
    cellar_put_u64le(bytes + 8, 9);
    cellar_put_u64le(bytes, 0);
    assert_false(store_blob_decode(cellar_slice_make(bytes, 20), &found));
}

static void removed_file_can_be_read_by_who_has_it_open(void **state)
{
    (void)state;
    struct folder folder;
    struct store_blob blob = {0};
    struct store_blob_reader reader;
    struct cellar_buffer found = {0};
    folder_make(&folder);
    struct cellar_slice value = value_make(2 * PIECE);
    assert_int_equal(store_blobs_write(folder.blobs, value, false, &blob), CELLAR_OK);
    assert_int_equal(store_blob_open(folder.blobs, &blob, &reader), CELLAR_OK);
    store_blobs_remove(folder.blobs, blob.id);
    store_blobs_remove(folder.blobs, blob.id);
    assert_int_equal(file_count(&folder), 0);
    assert_int_equal(store_blob_next(&reader, &found), CELLAR_OK);
    assert_int_equal(store_blob_next(&reader, &found), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&found), value));
    store_blob_close(&reader);
    store_blob_close(&reader);
    assert_int_equal(store_blob_open(folder.blobs, &blob, &reader), CELLAR_DATA_LOSS);
    free((void *)(uintptr_t)value.data);
    cellar_buffer_fini(&found);
    folder_end(&folder);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Changes one byte of a file. */
static void byte_flip(const char *path, off_t offset)
{
    uint8_t byte = 0;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_int_equal(pread(descriptor, &byte, 1, offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(descriptor, &byte, 1, offset), 1);
    (void)close(descriptor);
}

static void every_damaged_byte_is_noticed(void **state)
{
    (void)state;
    struct folder folder;
    struct store_blob blob = {0};
    struct cellar_buffer found = {0};
    char path[PATH_MAX];
    folder_make(&folder);
    struct cellar_slice value = value_make(PIECE + 10);
    assert_int_equal(store_blobs_write(folder.blobs, value, false, &blob), CELLAR_OK);
    path_of(&folder, &blob, path);
    const off_t end = STORE_BLOB_HEADER_BYTES + PIECE + 4 + 10 + 4;
    const off_t step = 4099;
    for (off_t offset = 0; offset < end; offset += offset < 80 || offset > end - 20 ? 1 : step) {
        byte_flip(path, offset);
        assert_int_equal(blob_read(&folder, &blob, &found), CELLAR_DATA_LOSS);
        byte_flip(path, offset);
        if (offset < end - 20 && offset + step > end - 20) {
            offset = end - 20 - step;
        }
    }
    assert_int_equal(blob_read(&folder, &blob, &found), CELLAR_OK);
    assert_int_equal(truncate(path, end - 1), 0);
    assert_int_equal(blob_read(&folder, &blob, &found), CELLAR_DATA_LOSS);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(blob_read(&folder, &blob, &found), CELLAR_DATA_LOSS);
    free((void *)(uintptr_t)value.data);
    cellar_buffer_fini(&found);
    folder_end(&folder);
}

static void other_file_under_the_name_is_noticed(void **state)
{
    (void)state;
    struct folder folder;
    struct store_blob first = {0};
    struct store_blob second = {0};
    struct cellar_buffer found = {0};
    char from[PATH_MAX];
    char to[PATH_MAX];
    folder_make(&folder);
    struct cellar_slice value = value_make(100);
    assert_int_equal(store_blobs_write(folder.blobs, value, false, &first), CELLAR_OK);
    assert_int_equal(store_blobs_write(folder.blobs, value, false, &second), CELLAR_OK);
    assert_true(first.id != second.id);
    path_of(&folder, &first, from);
    path_of(&folder, &second, to);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(blob_read(&folder, &second, &found), CELLAR_DATA_LOSS);
    free((void *)(uintptr_t)value.data);
    cellar_buffer_fini(&found);
    folder_end(&folder);
}

static void file_of_another_log_is_noticed(void **state)
{
    (void)state;
    static const uint8_t other_id[STORE_LOG_ID_BYTES] = "some other's log";
    struct folder folder;
    struct store_blob blob = {0};
    struct store_blob_reader reader;
    struct cellar_error error;
    folder_make(&folder);
    assert_int_equal(store_blobs_write(folder.blobs, cellar_slice_text("x"), false, &blob),
                     CELLAR_OK);
    store_blobs_close(folder.blobs);
    assert_int_equal(store_blobs_open(folder.path, other_id, &folder.blobs, &error), CELLAR_OK);
    assert_int_equal(store_blob_open(folder.blobs, &blob, &reader), CELLAR_DATA_LOSS);
    folder_end(&folder);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void failed_writes_leave_no_file(void **state)
{
    (void)state;
    struct folder folder;
    struct store_blob blob = {0};
    folder_make(&folder);
    struct cellar_slice value = value_make(3 * PIECE);
    for (int64_t good_count = 0; good_count < 7; good_count++) {
        test_disk_fail_writes(good_count, good_count % 2 == 0 ? ENOSPC : EIO);
        assert_int_equal(store_blobs_write(folder.blobs, value, false, &blob),
                         good_count % 2 == 0 ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_IO_ERROR);
        test_disk_fail_writes(-1, 0);
        assert_int_equal(file_count(&folder), 0);
    }
    free((void *)(uintptr_t)value.data);
    folder_end(&folder);
}

/* One sync while it is written, the file's last, the folder's. */
static void failed_syncs_leave_no_file(void **state)
{
    (void)state;
    struct folder folder;
    struct store_blob blob = {0};
    folder_make(&folder);
    test_disk_fast(false);
    struct cellar_slice value = value_make(16 * PIECE);
    for (int64_t good_count = 0; good_count < 3; good_count++) {
        test_disk_fail_syncs(good_count, EIO);
        assert_int_equal(store_blobs_write(folder.blobs, value, false, &blob), CELLAR_IO_ERROR);
        test_disk_fail_syncs(-1, 0);
        assert_int_equal(file_count(&folder), 0);
        assert_int_equal(blob.id, 0);
    }
    test_disk_fail_syncs(3, EIO);
    assert_int_equal(store_blobs_write(folder.blobs, value, false, &blob), CELLAR_OK);
    test_disk_fail_syncs(-1, 0);
    free((void *)(uintptr_t)value.data);
    folder_end(&folder);
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    struct folder folder;
    struct store_blob blob = {0};
    struct store_blob_reader reader;
    struct cellar_buffer found = {0};
    struct cellar_error error;
    folder_make(&folder);
    assert_int_equal(store_blobs_write(folder.blobs, cellar_slice_text("x"), false, &blob),
                     CELLAR_OK);
    assert_int_equal(store_blob_open(folder.blobs, &blob, &reader), CELLAR_OK);
    cellar_mem_fail_at(0);
    assert_int_equal(store_blob_next(&reader, &found), CELLAR_NO_MEMORY);
    cellar_mem_fail_at(-1);
    store_blob_close(&reader);
    store_blobs_close(folder.blobs);
    enum cellar_status status = CELLAR_NO_MEMORY;
    for (int64_t i = 0; status != CELLAR_OK; i++) {
        cellar_mem_fail_at(i);
        status = store_blobs_open(folder.path, log_id, &folder.blobs, &error);
        cellar_mem_fail_at(-1);
        assert_true(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
        assert_true(status == CELLAR_OK || i < 10);
    }
    cellar_buffer_fini(&found);
    folder_end(&folder);
}

/* ---- the sweep ------------------------------------------------------------------------------- */

static void sweep_removes_what_was_there_and_is_not_named(void **state)
{
    (void)state;
    struct folder folder;
    struct store_blob named = {0};
    struct store_blob orphan = {0};
    struct store_blob fresh = {0};
    struct cellar_buffer found = {0};
    char path[PATH_MAX];
    folder_make(&folder);
    assert_int_equal(store_blobs_write(folder.blobs, cellar_slice_text("a"), false, &named),
                     CELLAR_OK);
    assert_int_equal(store_blobs_write(folder.blobs, cellar_slice_text("b"), false, &orphan),
                     CELLAR_OK);
    folder_restart(&folder);
    assert_int_equal(store_blobs_write(folder.blobs, cellar_slice_text("c"), false, &fresh),
                     CELLAR_OK);
    assert_true(snprintf(path, sizeof path, "%s/kept.by.hand", folder.path) > 0);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
    assert_true(store_blobs_name(folder.blobs, named.id));
    assert_true(store_blobs_name(folder.blobs, named.id));
    assert_false(store_blobs_name(folder.blobs, 5));
    assert_int_equal(store_blobs_sweep(folder.blobs), 1);
    assert_int_equal(store_blobs_sweep(folder.blobs), 0);
    assert_int_equal(blob_read(&folder, &named, &found), CELLAR_OK);
    assert_int_equal(blob_read(&folder, &fresh, &found), CELLAR_OK);
    assert_int_equal(blob_read(&folder, &orphan, &found), CELLAR_DATA_LOSS);
    assert_int_equal(file_count(&folder), 3);
    cellar_buffer_fini(&found);
    folder_end(&folder);
}

/* A clock that was set back must not give out an id whose file is there. */
static void ids_begin_behind_the_files_that_are_there(void **state)
{
    (void)state;
    struct folder folder;
    struct store_blob blob = {0};
    char path[PATH_MAX];
    folder_make(&folder);
    const struct store_blob far = {.id = UINT64_C(0x7000000000000000), .bytes = 1};
    path_of(&folder, &far, path);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
    folder_restart(&folder);
    assert_int_equal(store_blobs_write(folder.blobs, cellar_slice_text("a"), false, &blob),
                     CELLAR_OK);
    assert_int_equal(blob.id, far.id + 1);
    folder_end(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_any_length_come_back),
        cmocka_unit_test(malformed_references_are_refused),
        cmocka_unit_test(removed_file_can_be_read_by_who_has_it_open),
        cmocka_unit_test(every_damaged_byte_is_noticed),
        cmocka_unit_test(other_file_under_the_name_is_noticed),
        cmocka_unit_test(file_of_another_log_is_noticed),
        cmocka_unit_test(failed_writes_leave_no_file),
        cmocka_unit_test(failed_syncs_leave_no_file),
        cmocka_unit_test(out_of_memory_is_told),
        cmocka_unit_test(sweep_removes_what_was_there_and_is_not_named),
        cmocka_unit_test(ids_begin_behind_the_files_that_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
