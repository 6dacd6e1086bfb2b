/*
 * env_blobs: the list of blobs is that of the cells' references after every kind of write, and a
 * file goes when nothing can see it any more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"
#include "server/storage/env_internal.h"
#include "server/storage/removal.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define REFERENCES_MAX 64u

struct fixture {
    struct test_rig rig;
    char blobs_path[300];
    struct store_blobs *blobs;
};

static void fixture_begin(struct fixture *fixture)
{
    test_disk_fast(true);
    test_rig_begin(&fixture->rig, TEST_MAP_BYTES);
    assert_true(snprintf(fixture->blobs_path, sizeof fixture->blobs_path, "%s/blobs",
                         fixture->rig.directory) > 0);
    assert_int_equal(store_blobs_open(fixture->blobs_path, store_log_id(fixture->rig.log),
                                      &fixture->blobs, NULL),
                     CELLAR_OK);
    store_blobs_use(fixture->rig.store, fixture->blobs);
}

static void fixture_end(struct fixture *fixture)
{
    store_close(fixture->rig.store);
    fixture->rig.store = NULL;
    store_blobs_close(fixture->blobs);
    test_rig_end(&fixture->rig);
}

static struct store_blob blob_make(struct fixture *fixture)
{
    struct store_blob blob = {0};
    assert_int_equal(store_blobs_write(fixture->blobs, cellar_slice_text("large"), false, &blob),
                     CELLAR_OK);
    return blob;
}

static bool file_is_there(struct fixture *fixture, const struct store_blob *blob)
{
    struct store_blob_reader reader;
    store_blobs_reap(fixture->blobs);
    enum cellar_status status = store_blob_open(fixture->blobs, blob, &reader);
    assert_true(status == CELLAR_OK || status == CELLAR_DATA_LOSS);
    if (status == CELLAR_OK) {
        store_blob_close(&reader);
    }
    return status == CELLAR_OK;
}

/* One item as a record of the row `row`. */
static void item_write(struct fixture *fixture, const char *row, const struct store_item *item)
{
    struct cellar_buffer payload = {0};
    test_mutation_put(&payload, cellar_slice_text(row), 0, item, 1);
    test_rig_write(&fixture->rig, test_rig_next_lsn(&fixture->rig), cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
}

static void reference_write(struct fixture *fixture, const char *row, const char *qualifier,
                            const struct store_blob *blob)
{
    uint8_t bytes[STORE_BLOB_REFERENCE_BYTES];
    struct store_item item = test_set("f", qualifier, 7, "");
    store_blob_encode(bytes, blob);
    item.type = STORE_ITEM_SET_BLOB;
    item.value = cellar_slice_make(bytes, sizeof bytes);
    item_write(fixture, row, &item);
}

static struct store_blob blob_write(struct fixture *fixture, const char *row, const char *qualifier)
{
    struct store_blob blob = blob_make(fixture);
    reference_write(fixture, row, qualifier, &blob);
    return blob;
}

static void checkpoint(struct fixture *fixture)
{
    assert_int_equal(test_rig_checkpoint(&fixture->rig), CELLAR_OK);
}

struct ids {
    uint64_t ids[REFERENCES_MAX];
    size_t count;
};

static enum cellar_status id_note(void *context, uint64_t id)
{
    struct ids *ids = context;
    assert_true(ids->count < REFERENCES_MAX);
    ids->ids[ids->count++] = id;
    return CELLAR_OK;
}

/* How many are listed; also holds count and sum of all items against the state. */
static size_t listed_count(struct fixture *fixture, uint64_t only_id)
{
    struct ids ids = {.count = 0};
    struct store_env_txn *txn = NULL;
    assert_int_equal(store_env_read_begin(fixture->rig.store->env, &txn), CELLAR_OK);
    assert_int_equal(store_env_blobs_walk(txn, id_note, &ids), CELLAR_OK);
    store_env_read_end(txn);
    if (only_id != 0) {
        assert_int_equal(ids.count, 1);
        assert_int_equal(ids.ids[0], only_id);
    }
    return ids.count;
}

static void drop_write(struct fixture *fixture, const char *start, const char *end)
{
    struct cellar_buffer payload = {0};
    const struct store_range_drop drop = {cellar_slice_text(start), cellar_slice_text(end)};
    assert_int_equal(store_range_drop_encode(&payload, &drop), CELLAR_OK);
    test_rig_append(&fixture->rig, test_rig_next_lsn(&fixture->rig), STORE_RECORD_RANGE_DROP,
                    cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
}

/* ---- the list -------------------------------------------------------------------------------- */

static void reference_is_listed_while_its_cell_is_there(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    struct store_blob blob = blob_write(&fixture, "r", "q");
    assert_int_equal(listed_count(&fixture, 0), 0);
    checkpoint(&fixture);
    assert_int_equal(listed_count(&fixture, blob.id), 1);
    const struct store_item small = test_set("f", "p", 7, "small");
    item_write(&fixture, "r", &small); /* the segment is written anew */
    checkpoint(&fixture);
    assert_int_equal(listed_count(&fixture, blob.id), 1);
    assert_true(file_is_there(&fixture, &blob));
    const struct store_item delete = test_delete_row();
    item_write(&fixture, "r", &delete);
    checkpoint(&fixture);
    assert_int_equal(listed_count(&fixture, 0), 0);
    assert_false(file_is_there(&fixture, &blob));
    fixture_end(&fixture);
}

static void replaced_reference_goes(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    struct store_blob first = blob_write(&fixture, "r", "q");
    checkpoint(&fixture);
    struct store_blob second = blob_write(&fixture, "r", "q");
    checkpoint(&fixture);
    assert_int_equal(listed_count(&fixture, second.id), 1);
    assert_false(file_is_there(&fixture, &first));
    assert_true(file_is_there(&fixture, &second));
    const struct store_item small = test_set("f", "q", 7, "small");
    item_write(&fixture, "r", &small);
    checkpoint(&fixture);
    assert_int_equal(listed_count(&fixture, 0), 0);
    assert_false(file_is_there(&fixture, &second));
    fixture_end(&fixture);
}

/* Its cell never got into the environment. */
static void reference_replaced_in_the_memtable_goes_with_the_checkpoint(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    struct store_blob first = blob_write(&fixture, "r", "q");
    struct store_blob second = blob_write(&fixture, "r", "q");
    struct store_blob third = blob_write(&fixture, "s", "q");
    const struct store_item delete = test_delete_row();
    item_write(&fixture, "s", &delete);
    assert_true(file_is_there(&fixture, &first));
    checkpoint(&fixture);
    assert_int_equal(listed_count(&fixture, second.id), 1);
    assert_false(file_is_there(&fixture, &first));
    assert_true(file_is_there(&fixture, &second));
    assert_false(file_is_there(&fixture, &third));
    fixture_end(&fixture);
}

/* Enough columns that segments are cut anew, and references move from one to another. */
static void references_survive_the_cutting_of_segments(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_blob blobs[40];
    char qualifier[8];
    fixture_begin(&fixture);
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(blobs); i++) {
        assert_true(snprintf(qualifier, sizeof qualifier, "q%03u", i * 2) > 0);
        blobs[i] = blob_write(&fixture, "r", qualifier);
        if (i % 7 == 0) {
            checkpoint(&fixture);
        }
    }
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(blobs); i++) {
        assert_true(snprintf(qualifier, sizeof qualifier, "q%03u", i * 2 + 1) > 0);
        const struct store_item small = test_set("f", qualifier, 7, "a value of some length here");
        item_write(&fixture, "r", &small);
        checkpoint(&fixture);
        assert_int_equal(listed_count(&fixture, 0), CELLAR_ARRAY_COUNT(blobs));
    }
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(blobs); i++) {
        assert_true(file_is_there(&fixture, &blobs[i]));
    }
    fixture_end(&fixture);
}

/* ---- dropped ranges -------------------------------------------------------------------------- */

static void dropped_rows_let_their_blobs_go_when_they_are_removed(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t item_count = 0;
    fixture_begin(&fixture);
    struct store_blob kept = blob_write(&fixture, "a", "q");
    struct store_blob gone = blob_write(&fixture, "b", "q");
    checkpoint(&fixture);
    drop_write(&fixture, "b", "c");
    checkpoint(&fixture);
    assert_true(file_is_there(&fixture, &gone)); /* its item is there still */
    assert_int_equal(store_pending_remove(fixture.rig.store, &item_count), CELLAR_OK);
    assert_int_equal(listed_count(&fixture, kept.id), 1);
    assert_false(file_is_there(&fixture, &gone));
    assert_true(file_is_there(&fixture, &kept));
    fixture_end(&fixture);
}

static void row_written_into_a_dropped_range_loses_its_old_blob(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    struct store_blob gone = blob_write(&fixture, "b", "q");
    checkpoint(&fixture);
    drop_write(&fixture, "b", "c");
    checkpoint(&fixture);
    struct store_blob kept = blob_write(&fixture, "b", "z");
    checkpoint(&fixture);
    assert_int_equal(listed_count(&fixture, kept.id), 1);
    assert_false(file_is_there(&fixture, &gone));
    fixture_end(&fixture);
}

static void all_rows_dropped_at_once_empty_the_list(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t item_count = 0;
    bool is_exact = false;
    fixture_begin(&fixture);
    struct store_blob gone = blob_write(&fixture, "b", "q");
    checkpoint(&fixture);
    drop_write(&fixture, "", "");
    checkpoint(&fixture);
    assert_int_equal(store_pending_remove(fixture.rig.store, &item_count), CELLAR_OK);
    assert_int_equal(listed_count(&fixture, 0), 0);
    assert_false(file_is_there(&fixture, &gone));
    assert_int_equal(test_env_walk(fixture.rig.store->env, &item_count, &is_exact), CELLAR_OK);
    assert_true(is_exact);
    assert_int_equal(item_count, 0);
    fixture_end(&fixture);
}

/* ---- snapshots and failures ------------------------------------------------------------------ */

static void snapshot_keeps_the_file_of_what_it_sees(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_snapshot before;
    struct store_snapshot between;
    uint64_t item_count = 0;
    fixture_begin(&fixture);
    struct store_blob blob = blob_write(&fixture, "b", "q");
    checkpoint(&fixture);
    assert_int_equal(store_snapshot_open(fixture.rig.store, 1, &before), CELLAR_OK);
    drop_write(&fixture, "b", "c");
    checkpoint(&fixture);
    assert_int_equal(store_snapshot_open(fixture.rig.store, 1, &between), CELLAR_OK);
    assert_int_equal(store_pending_remove(fixture.rig.store, &item_count), CELLAR_OK);
    store_snapshot_close(&between);
    assert_true(file_is_there(&fixture, &blob));
    store_snapshot_close(&before);
    assert_false(file_is_there(&fixture, &blob));
    fixture_end(&fixture);
}

/* A checkpoint that fails for want of memory at any point lets nothing go, and can be repeated. */
static void failed_checkpoint_keeps_files_and_list(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    struct store_blob first = blob_write(&fixture, "r", "q");
    checkpoint(&fixture);
    struct store_blob second = blob_write(&fixture, "r", "q");
    enum cellar_status status = CELLAR_NO_MEMORY;
    for (int64_t i = 0; status != CELLAR_OK; i++) {
        assert_true(file_is_there(&fixture, &first));
        assert_int_equal(listed_count(&fixture, first.id), 1);
        uint64_t item_count = 0;
        (void)test_rig_freeze(&fixture.rig);
        cellar_mem_fail_at(i);
        status = store_checkpoint(fixture.rig.store, fixture.rig.log, &item_count);
        cellar_mem_fail_at(-1);
        assert_true(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
        assert_true(i < 100);
    }
    assert_false(file_is_there(&fixture, &first));
    assert_int_equal(listed_count(&fixture, second.id), 1);
    fixture_end(&fixture);
}

/* A list that damage took away is not taken for that of a store without blobs, whose files a start
 * would remove. */
static void an_environment_without_its_list_is_not_opened(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cellar_error error;
    struct store_env *env = NULL;
    char path[400];
    MDB_txn *txn = NULL;
    fixture_begin(&fixture);
    struct store_env *own = fixture.rig.store->env;
    (void)snprintf(path, sizeof path, "%s", own->directory);
    assert_int_equal(mdb_txn_begin(own->native, NULL, 0, &txn), 0);
    assert_int_equal(mdb_drop(txn, own->blobs_dbi, 1), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    fixture_end(&fixture);
    cellar_error_clear(&error);
    assert_int_equal(store_env_open(path, &env, &error), CELLAR_DATA_LOSS);
    assert_non_null(strstr(error.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_is_listed_while_its_cell_is_there),
        cmocka_unit_test(replaced_reference_goes),
        cmocka_unit_test(reference_replaced_in_the_memtable_goes_with_the_checkpoint),
        cmocka_unit_test(references_survive_the_cutting_of_segments),
        cmocka_unit_test(dropped_rows_let_their_blobs_go_when_they_are_removed),
        cmocka_unit_test(row_written_into_a_dropped_range_loses_its_old_blob),
        cmocka_unit_test(all_rows_dropped_at_once_empty_the_list),
        cmocka_unit_test(snapshot_keeps_the_file_of_what_it_sees),
        cmocka_unit_test(failed_checkpoint_keeps_files_and_list),
        cmocka_unit_test(an_environment_without_its_list_is_not_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
