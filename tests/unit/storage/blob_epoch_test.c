/*
 * blob_epoch: a blob goes with the epoch that ended without it, and not before an older one.
 */
#include <dirent.h>
#include <stdio.h>

#include "common/mem.h"
#include "server/storage/blob_epoch.h"
#include "tests/support/disk.h"

static const uint8_t log_id[STORE_LOG_ID_BYTES] = "the log of tests";

struct rig {
    char top[256];
    char path[300];
    struct store_blobs *blobs;
};

static void rig_make(struct rig *rig)
{
    test_disk_fast(true);
    test_temp_dir(rig->top, sizeof rig->top);
    assert_true(snprintf(rig->path, sizeof rig->path, "%s/blobs", rig->top) > 0);
    assert_int_equal(store_blobs_open(rig->path, log_id, &rig->blobs, NULL), CELLAR_OK);
}

static void rig_end(struct rig *rig)
{
    store_blobs_close(rig->blobs);
    test_remove_tree(rig->top);
}

/* Files that are left once what was retired is removed. */
static size_t file_count(const struct rig *rig)
{
    size_t count = 0;
    store_blobs_reap(rig->blobs);
    DIR *directory = opendir(rig->path);
    assert_non_null(directory);
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        count += entry->d_name[0] == '.' ? 0 : 1;
    }
    (void)closedir(directory);
    return count;
}

/* A list of one new blob, for an epoch's end. */
static uint64_t *blob_make(const struct rig *rig)
{
    struct store_blob blob;
    uint64_t *ids = cellar_mem_alloc(sizeof *ids);
    assert_non_null(ids);
    assert_int_equal(store_blobs_write(rig->blobs, cellar_slice_text("v"), false, &blob),
                     CELLAR_OK);
    *ids = blob.id;
    return ids;
}

static void blob_stays_while_its_epoch_is_held(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig);
    struct store_blob_epoch *first = store_blob_epoch_new(rig.blobs);
    struct store_blob_epoch *second = store_blob_epoch_new(rig.blobs);
    struct store_blob_epoch *view = store_blob_epoch_ref(first);
    store_blob_epoch_end(first, second, blob_make(&rig), 1);
    store_blob_epoch_unref(first);
    assert_int_equal(file_count(&rig), 1);
    store_blob_epoch_unref(view);
    assert_int_equal(file_count(&rig), 0);
    store_blob_epoch_unref(second);
    rig_end(&rig);
}

/* The second epoch's blob was there in the first one, too. */
static void older_view_holds_what_a_later_epoch_lets_go(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig);
    struct store_blob_epoch *first = store_blob_epoch_new(rig.blobs);
    struct store_blob_epoch *second = store_blob_epoch_new(rig.blobs);
    struct store_blob_epoch *third = store_blob_epoch_new(rig.blobs);
    struct store_blob_epoch *view = store_blob_epoch_ref(first);
    store_blob_epoch_end(first, second, NULL, 0);
    store_blob_epoch_unref(first);
    store_blob_epoch_end(second, third, blob_make(&rig), 1);
    store_blob_epoch_unref(second);
    assert_int_equal(file_count(&rig), 1);
    store_blob_epoch_unref(view);
    assert_int_equal(file_count(&rig), 0);
    store_blob_epoch_unref(third);
    rig_end(&rig);
}

static void end_of_the_folder_removes_what_was_retired(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig);
    struct store_blob_epoch *first = store_blob_epoch_new(rig.blobs);
    struct store_blob_epoch *second = store_blob_epoch_new(rig.blobs);
    store_blob_epoch_end(first, second, blob_make(&rig), 1);
    store_blob_epoch_unref(first);
    store_blob_epoch_unref(second);
    store_blobs_close(rig.blobs);
    assert_int_equal(store_blobs_open(rig.path, log_id, &rig.blobs, NULL), CELLAR_OK);
    assert_int_equal(file_count(&rig), 0);
    rig_end(&rig);
}

static void epochs_without_a_folder_only_count(void **state)
{
    (void)state;
    struct store_blob_epoch *first = store_blob_epoch_new(NULL);
    struct store_blob_epoch *second = store_blob_epoch_new(NULL);
    uint64_t *ids = cellar_mem_alloc(sizeof *ids);
    *ids = 1;
    store_blob_epoch_end(first, second, ids, 1);
    store_blob_epoch_unref(first);
    store_blob_epoch_unref(second);
    store_blob_epoch_unref(NULL);
}

static void out_of_memory_makes_no_epoch(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 2; i++) {
        cellar_mem_fail_at(i);
        assert_null(store_blob_epoch_new(NULL));
        cellar_mem_fail_at(-1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blob_stays_while_its_epoch_is_held),
        cmocka_unit_test(older_view_holds_what_a_later_epoch_lets_go),
        cmocka_unit_test(end_of_the_folder_removes_what_was_retired),
        cmocka_unit_test(epochs_without_a_folder_only_count),
        cmocka_unit_test(out_of_memory_makes_no_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
