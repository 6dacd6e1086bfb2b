/*
 * checkpoint: a store reads the same before and after its memtable is written down, at any moment
 * and by any snapshot; and what it writes keeps the form of segments.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "tests/support/cell_model.h"
#include "tests/support/disk.h"

/* ---- the form of what is written ------------------------------------------------------------- */

/* The segment before the current one in the walk over an environment. */
struct walk {
    struct cellar_buffer row;      /* the row's part of its key */
    struct cellar_buffer position; /* of its last cell, the row's part in front */
    struct cellar_buffer column;   /* of its last cell */
    uint8_t flags;
    size_t segment_count;
    size_t cell_count;
};

static void buffer_set(struct cellar_buffer *buffer, const void *data, size_t bytes)
{
    cellar_buffer_clear(buffer);
    assert_int_equal(cellar_buffer_append(buffer, data, bytes), CELLAR_OK);
}

/* Checks one segment's cells: inside its key's range, flags, and MULTI shared with the one before.
 */
static void cells_check(struct walk *walk, struct cellar_slice key, size_t row_bytes,
                        const struct store_segment *segment)
{
    struct cellar_cells_reader reader;
    struct cellar_buffer position = {0};
    bool is_first = true;
    assert_true(cellar_cells_open(&reader, segment->packed));
    assert_true(reader.left == segment->cell_count && reader.left > 0);
    while (cellar_cells_next(&reader)) {
        struct store_cell cell = {reader.cell, reader.generation, reader.is_blob};
        buffer_set(&position, key.data, row_bytes);
        assert_int_equal(cellar_buffer_reserve(&position, STORE_POSITION_BYTES_MAX), CELLAR_OK);
        position.bytes += store_cell_position(&cell, position.data + row_bytes);
        assert_true(cellar_slice_compare(key, cellar_slice_of(&position)) <= 0);
        assert_true(
            cellar_slice_compare(cellar_slice_of(&walk->position), cellar_slice_of(&position)) < 0);
        struct cellar_slice column = cellar_slice_make(position.data, position.bytes - 8);
        if (cellar_slice_equal(column, cellar_slice_of(&walk->column))) {
            assert_true((segment->flags & STORE_SEGMENT_MULTI) != 0);
            assert_true(!is_first || (walk->flags & STORE_SEGMENT_MULTI) != 0);
        }
        assert_true(cell.generation == 1 || (segment->flags & STORE_SEGMENT_MARKED) != 0);
        buffer_set(&walk->position, position.data, position.bytes);
        buffer_set(&walk->column, column.data, column.bytes);
        is_first = false;
        walk->cell_count++;
    }
    assert_true(cellar_cells_is_done(&reader));
    cellar_buffer_fini(&position);
}

static void segment_check(struct walk *walk, struct cellar_slice key, struct cellar_slice value)
{
    struct store_segment segment;
    size_t row_bytes = cellar_key_escaped_span(key);
    struct cellar_slice row = cellar_slice_make(key.data, row_bytes);
    assert_true(row_bytes > 2);
    assert_true(store_segment_decode(value, &segment));
    bool is_new_row = !cellar_slice_equal(row, cellar_slice_of(&walk->row));
    assert_int_equal(is_new_row, key.bytes == row_bytes); /* the first has the row's key alone */
    /* The separator lies behind the last cell of the segment before. */
    assert_true(cellar_slice_compare(cellar_slice_of(&walk->position), key) < 0);
    cells_check(walk, key, row_bytes, &segment);
    buffer_set(&walk->row, row.data, row.bytes);
    walk->flags = segment.flags;
    walk->segment_count++;
}

/* Walks a store's environment. @return segments and cells, and fails the test on a bad form */
static struct walk form_check(struct store *store)
{
    struct walk walk = {.segment_count = 0};
    struct store_env_txn *txn = NULL;
    struct store_env_cursor cursor;
    uint64_t count = 0;
    bool is_exact = false;
    assert_int_equal(test_env_walk(store->env, &count, &is_exact), CELLAR_OK);
    assert_true(is_exact);
    assert_int_equal(store_env_read_begin(store->env, &txn), CELLAR_OK);
    store_env_cursor_init(&cursor, txn);
    assert_int_equal(store_env_cursor_seek(&cursor, cellar_slice_make(NULL, 0)), CELLAR_OK);
    while (cursor.is_valid) {
        segment_check(&walk, cellar_slice_of(&cursor.key), cursor.value);
        assert_int_equal(store_env_cursor_next(&cursor), CELLAR_OK);
    }
    store_env_cursor_fini(&cursor);
    store_env_read_end(txn);
    cellar_buffer_fini(&walk.row);
    cellar_buffer_fini(&walk.position);
    cellar_buffer_fini(&walk.column);
    return walk;
}

/* ---- against the model ----------------------------------------------------------------------- */

static void model_write(struct test_rig *rig, struct cell_model *model, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t lsn = test_rig_next_lsn(rig);
        struct cellar_slice payload = model_mutate(model, lsn);
        test_rig_append(rig, lsn, model_type(model, lsn), payload);
    }
}

/* Everything queued is durable. @return its LSN */
static uint64_t settle(struct test_rig *rig)
{
    uint64_t lsn = test_rig_next_lsn(rig) - 1;
    assert_true(lsn == 0 || store_log_wait_durable(rig->log, lsn));
    return store_log_durable_lsn(rig->log);
}

static void store_reads_the_same_before_and_after(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("checkpoint", 3000);
    test_disk_fast(true);
    test_rig_begin(&rig, UINT64_C(256) << 20);
    for (int round = 0; round < 30; round++) {
        model_write(&rig, model, 1 + test_random_below(&model->random, 25));
        if (test_random_below(&model->random, 2) == 0) { /* frozen and active both hold some */
            (void)test_rig_freeze(&rig);
            model_write(&rig, model, 1 + test_random_below(&model->random, 10));
        }
        uint64_t lsn = settle(&rig);
        model_store_check(model, rig.store, lsn);
        assert_int_equal(test_rig_checkpoint(&rig), CELLAR_OK);
        model_store_check(model, rig.store, lsn);
        (void)form_check(rig.store);
    }
    test_rig_end(&rig);
    model_end(model);
}

static void snapshots_stay_while_checkpoints_land(void **state)
{
    (void)state;
    struct test_rig rig;
    struct store_snapshot snapshots[4];
    struct cell_model *model = model_begin("checkpoint", 500);
    test_disk_fast(true);
    test_rig_begin(&rig, UINT64_C(256) << 20);
    for (int round = 0; round < 12; round++) {
        for (size_t i = 0; i < CELLAR_ARRAY_COUNT(snapshots); i++) {
            model_write(&rig, model, test_random_below(&model->random, 12));
            uint64_t lsn = settle(&rig);
            model_write(&rig, model, test_random_below(&model->random, 12)); /* invisible */
            assert_int_equal(store_snapshot_open(rig.store, lsn, &snapshots[i]), CELLAR_OK);
            assert_true(snapshots[i].lsn >= lsn);
            (void)settle(&rig);
            if (test_random_below(&model->random, 2) == 0) {
                assert_int_equal(test_rig_checkpoint(&rig), CELLAR_OK);
            }
        }
        for (size_t i = 0; i < CELLAR_ARRAY_COUNT(snapshots); i++) {
            model_check(model, &snapshots[i]);
            store_snapshot_close(&snapshots[i]);
        }
    }
    test_rig_end(&rig);
    model_end(model);
}

static void store_opened_again_lacks_only_what_was_above_its_lsn(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("checkpoint", 500);
    test_disk_fast(true);
    test_rig_begin(&rig, UINT64_C(256) << 20);
    for (int round = 0; round < 15; round++) {
        model_write(&rig, model, 1 + test_random_below(&model->random, 20));
        uint64_t lsn = settle(&rig);
        assert_int_equal(test_rig_checkpoint(&rig), CELLAR_OK);
        uint64_t applied_lsn = atomic_load(&rig.store->applied_lsn);
        assert_true(applied_lsn <= lsn);
        model_write(&rig, model, test_random_below(&model->random, 20));
        uint64_t end_lsn = settle(&rig);
        test_rig_reopen(&rig);
        assert_int_equal(atomic_load(&rig.store->applied_lsn), applied_lsn);
        model_store_check(model, rig.store, 0); /* up to the applied LSN */
        for (uint64_t i = applied_lsn + 1; i <= end_lsn; i++) {
            if (model->payloads[i].bytes > 0) {
                test_rig_replay(&rig, i, model_type(model, i),
                                cellar_slice_of(&model->payloads[i]));
            }
        }
        model_store_check(model, rig.store, end_lsn);
    }
    test_rig_end(&rig);
    model_end(model);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static void row_write(struct test_rig *rig, const char *row, const struct store_item *items,
                      size_t count)
{
    struct cellar_buffer payload = {0};
    test_mutation_put(&payload, cellar_slice_text(row), 0, items, count);
    test_rig_write(rig, test_rig_next_lsn(rig), cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
}

/* A row of `count` columns c00000, c00001 ... with values of `bytes` bytes. */
static void wide_write(struct test_rig *rig, const char *row, unsigned count, size_t bytes)
{
    static uint8_t value[4000];
    for (unsigned i = 0; i < count; i++) {
        char qualifier[16];
        (void)snprintf(qualifier, sizeof qualifier, "c%05u", i);
        struct store_item item = test_set("f", qualifier, 5, "");
        item.value = cellar_slice_make(value, bytes);
        row_write(rig, row, &item, 1);
    }
}

static uint64_t checkpoint_items(struct test_rig *rig)
{
    uint64_t item_count = 0;
    (void)test_rig_freeze(rig);
    assert_int_equal(store_checkpoint(rig->store, rig->log, &item_count), CELLAR_OK);
    return item_count;
}

static void small_row_is_one_segment(void **state)
{
    (void)state;
    struct test_rig rig;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    wide_write(&rig, "row", 10, 40);
    assert_int_equal(checkpoint_items(&rig), 1);
    struct walk walk = form_check(rig.store);
    assert_int_equal(walk.segment_count, 1);
    assert_int_equal(walk.cell_count, 10);
    assert_int_equal(checkpoint_items(&rig), 0); /* nothing more */
    test_rig_end(&rig);
}

static void wide_row_is_many_segments_and_one_cell_changes_one(void **state)
{
    (void)state;
    struct test_rig rig;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    wide_write(&rig, "row", 1000, 40);
    uint64_t segments = checkpoint_items(&rig);
    assert_in_range(segments, 1000 * 45 / 1200, 1000 * 80 / 500);
    assert_int_equal(form_check(rig.store).segment_count, segments);
    const struct store_item middle = test_set("f", "c00500", 5, "new");
    row_write(&rig, "row", &middle, 1);
    assert_int_equal(checkpoint_items(&rig), 1);
    row_write(&rig, "row", &middle, 1);
    assert_int_equal(checkpoint_items(&rig), 0); /* the same value again changes nothing */
    struct walk walk = form_check(rig.store);
    assert_int_equal(walk.segment_count, segments);
    assert_int_equal(walk.cell_count, 1000);
    test_rig_end(&rig);
}

static void large_values_have_segments_of_their_own(void **state)
{
    (void)state;
    struct test_rig rig;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    wide_write(&rig, "row", 20, 3000);
    assert_int_equal(checkpoint_items(&rig), 20);
    (void)form_check(rig.store);
    test_rig_end(&rig);
}

static void deletes_take_what_they_cover_and_leave_no_empty_segment(void **state)
{
    (void)state;
    struct test_rig rig;
    static const struct {
        const char *what;
        bool is_row;
        bool is_family;
    } cases[] = {{"row", true, false}, {"family", false, true}};
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        wide_write(&rig, "a", 3, 10);
        wide_write(&rig, "row", 300, 40);
        wide_write(&rig, "z", 3, 10);
        (void)checkpoint_items(&rig);
        const struct store_item item =
            cases[i].is_row ? test_delete_row() : test_delete_family("f");
        row_write(&rig, "row", &item, 1);
        (void)checkpoint_items(&rig);
        struct walk walk = form_check(rig.store);
        assert_int_equal(walk.segment_count, 2);
        assert_int_equal(walk.cell_count, 6);
    }
    test_rig_end(&rig);
}

static void first_segment_keeps_the_rows_key_when_its_cells_go(void **state)
{
    (void)state;
    struct test_rig rig;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    wide_write(&rig, "row", 200, 40);
    (void)checkpoint_items(&rig);
    for (unsigned i = 0; i < 199; i++) { /* from the front, one by one and checkpointed */
        char qualifier[16];
        (void)snprintf(qualifier, sizeof qualifier, "c%05u", i);
        const struct store_item item = test_delete_column("f", qualifier, 0, 0);
        row_write(&rig, "row", &item, 1);
        if (i % 7 == 0) {
            (void)checkpoint_items(&rig);
            (void)form_check(rig.store);
        }
    }
    (void)checkpoint_items(&rig);
    struct walk walk = form_check(rig.store);
    assert_int_equal(walk.cell_count, 1);
    assert_int_equal(walk.segment_count, 1);
    test_rig_end(&rig);
}

static void many_versions_of_a_column_span_segments(void **state)
{
    (void)state;
    struct test_rig rig;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    for (int64_t i = 0; i < 200; i++) {
        const struct store_item items[] = {test_set("f", "q", i, "some value of thirty bytes ..."),
                                           test_set("f", "other", 1, "v")};
        row_write(&rig, "row", items, 2);
        if (i % 50 == 49) {
            (void)checkpoint_items(&rig);
            (void)form_check(rig.store);
        }
    }
    struct walk walk = form_check(rig.store);
    assert_int_equal(walk.cell_count, 201);
    assert_true(walk.segment_count >= 5);
    const struct store_item items[] = {test_delete_column("f", "q", 10, 190)};
    row_write(&rig, "row", items, 1);
    (void)checkpoint_items(&rig);
    assert_int_equal(form_check(rig.store).cell_count, 21);
    test_rig_end(&rig);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void full_map_keeps_the_memtable(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("checkpoint", 100);
    test_disk_fast(true);
    test_rig_begin(&rig, 1u << 20);
    model_write(&rig, model, 50);
    uint64_t lsn = settle(&rig);
    assert_int_equal(test_rig_checkpoint(&rig), CELLAR_OK);
    uint64_t applied_lsn = atomic_load(&rig.store->applied_lsn);
    wide_write(&rig, "zz", 600, 3000);
    (void)settle(&rig);
    assert_int_equal(test_rig_checkpoint(&rig), CELLAR_RESOURCE_EXHAUSTED);
    assert_int_equal(atomic_load(&rig.store->applied_lsn), applied_lsn);
    assert_true(store_has_frozen(rig.store));
    assert_int_equal(test_rig_checkpoint(&rig), CELLAR_RESOURCE_EXHAUSTED); /* and again */
    (void)form_check(rig.store);
    test_rig_reopen(&rig); /* without the memtable */
    model_store_check(model, rig.store, lsn);
    test_rig_end(&rig);
    model_end(model);
}

static void failing_disk_keeps_the_memtable(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("checkpoint", 100);
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    model_write(&rig, model, 50);
    (void)settle(&rig);
    assert_int_equal(test_rig_checkpoint(&rig), CELLAR_OK);
    model_write(&rig, model, 50);
    uint64_t lsn = settle(&rig);
    test_disk_fail_writes(0, EIO);
    enum cellar_status status = test_rig_checkpoint(&rig);
    test_disk_fail_writes(-1, 0);
    assert_int_equal(status, CELLAR_IO_ERROR);
    assert_true(store_has_frozen(rig.store));
    store_env_park(rig.store->env);
    model_store_check(model, rig.store, lsn);
    assert_int_equal(test_rig_checkpoint(&rig), CELLAR_OK);
    assert_false(store_has_frozen(rig.store));
    model_store_check(model, rig.store, lsn);
    test_rig_end(&rig);
    model_end(model);
}

/* A commit whose outcome LMDB could not tell may have landed: the next try must see that. */
static void commit_that_landed_unseen_is_not_applied_twice(void **state)
{
    (void)state;
    for (int64_t good = 0; good < 3; good++) {
        struct test_rig rig;
        struct cell_model *model = model_begin("checkpoint", 100);
        test_disk_fast(true);
        test_rig_begin(&rig, TEST_MAP_BYTES);
        model_write(&rig, model, 50);
        uint64_t lsn = settle(&rig);
        (void)test_rig_freeze(&rig);
        test_disk_fail_syncs(good, EIO);
        enum cellar_status status = test_rig_checkpoint(&rig);
        test_disk_fail_syncs(-1, 0);
        assert_true(status == CELLAR_OK || status == CELLAR_IO_ERROR);
        store_env_park(rig.store->env);
        model_store_check(model, rig.store, lsn);
        assert_int_equal(test_rig_checkpoint(&rig), CELLAR_OK);
        model_store_check(model, rig.store, lsn);
        assert_false(store_has_frozen(rig.store));
        test_rig_end(&rig);
        model_end(model);
    }
}

static void out_of_memory_keeps_the_memtable(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("checkpoint", 3000);
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    for (int round = 0; round < 2; round++) {
        model_write(&rig, model, 60);
        uint64_t lsn = settle(&rig);
        (void)test_rig_freeze(&rig); /* the loop's own freeze finds nothing to do */
        for (int64_t n = 0;; n++) {
            (void)cellar_mem_fail_at(n);
            uint64_t items = 0;
            enum cellar_status status = store_checkpoint(rig.store, rig.log, &items);
            bool was_met = cellar_mem_fail_at(-1);
            assert_int_equal(status, was_met ? CELLAR_NO_MEMORY : CELLAR_OK);
            if (!was_met) {
                break;
            }
            assert_true(store_has_frozen(rig.store));
        }
        model_store_check(model, rig.store, lsn);
        (void)form_check(rig.store);
    }
    test_rig_end(&rig);
    model_end(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_reads_the_same_before_and_after),
        cmocka_unit_test(snapshots_stay_while_checkpoints_land),
        cmocka_unit_test(store_opened_again_lacks_only_what_was_above_its_lsn),
        cmocka_unit_test(small_row_is_one_segment),
        cmocka_unit_test(wide_row_is_many_segments_and_one_cell_changes_one),
        cmocka_unit_test(large_values_have_segments_of_their_own),
        cmocka_unit_test(deletes_take_what_they_cover_and_leave_no_empty_segment),
        cmocka_unit_test(first_segment_keeps_the_rows_key_when_its_cells_go),
        cmocka_unit_test(many_versions_of_a_column_span_segments),
        cmocka_unit_test(full_map_keeps_the_memtable),
        cmocka_unit_test(failing_disk_keeps_the_memtable),
        cmocka_unit_test(commit_that_landed_unseen_is_not_applied_twice),
        cmocka_unit_test(out_of_memory_keeps_the_memtable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
