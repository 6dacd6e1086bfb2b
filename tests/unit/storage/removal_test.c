/*
 * removal: what is hidden goes, nothing else does, at every moment between checkpoints; ranges that
 * would fall into too many pieces; all rows at once; the count and sum of what is left.
 */
#include <stdio.h>

#include "server/storage/removal.h"
#include "tests/support/cell_model.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

static void write(struct test_rig *rig, enum store_record_type type, struct cellar_slice payload)
{
    test_rig_append(rig, test_rig_next_lsn(rig), type, payload);
}

static void row_put(struct test_rig *rig, const char *row)
{
    struct cellar_buffer payload = {0};
    const struct store_item item = test_set("f", "q", 1, "value");
    test_mutation_put(&payload, cellar_slice_text(row), 0, &item, 1);
    write(rig, STORE_RECORD_MUTATION, cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
}

static void rows_put(struct test_rig *rig, const char *prefix, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char row[32];
        (void)snprintf(row, sizeof row, "%s%05u", prefix, i);
        row_put(rig, row);
    }
}

static void rows_drop(struct test_rig *rig, const char *start, const char *end)
{
    struct cellar_buffer payload = {0};
    const struct store_range_drop drop = {cellar_slice_text(start), cellar_slice_text(end)};
    assert_int_equal(store_range_drop_encode(&payload, &drop), CELLAR_OK);
    write(rig, STORE_RECORD_RANGE_DROP, cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
}

static void checkpoint(struct test_rig *rig)
{
    assert_int_equal(test_rig_checkpoint(rig), CELLAR_OK);
}

static uint64_t durable(struct test_rig *rig)
{
    uint64_t lsn = test_rig_next_lsn(rig) - 1;
    assert_true(lsn == 0 || store_log_wait_durable(rig->log, lsn));
    return store_log_durable_lsn(rig->log);
}

static uint64_t rows_count(struct test_rig *rig)
{
    struct store_snapshot snapshot;
    struct store_rows rows;
    uint64_t count = 0;
    assert_int_equal(store_snapshot_open(rig->store, durable(rig), &snapshot), CELLAR_OK);
    store_rows_init(&rows, &snapshot);
    assert_int_equal(store_rows_seek(&rows, cellar_slice_make(NULL, 0)), CELLAR_OK);
    while (rows.has_row) {
        struct store_piece piece;
        assert_int_equal(store_rows_piece(&rows, &piece), CELLAR_OK);
        count += piece.kind != STORE_PIECE_END;
        assert_int_equal(store_rows_next(&rows), CELLAR_OK);
    }
    store_rows_fini(&rows);
    store_snapshot_close(&snapshot);
    return count;
}

/* The items that are there; count and sum must say the same. */
static uint64_t items_count(struct test_rig *rig)
{
    uint64_t count = 0;
    bool is_exact = false;
    assert_int_equal(test_env_walk(rig->store->env, &count, &is_exact), CELLAR_OK);
    assert_true(is_exact);
    return count;
}

/* Removes all that is pending. @return in how many slices */
static unsigned remove_all(struct test_rig *rig)
{
    unsigned slices = 0;
    uint64_t item_count = 0;
    while (atomic_load(&rig->store->pending_ranges) > 0) {
        assert_int_equal(store_pending_remove(rig->store, &item_count), CELLAR_OK);
        slices++;
        assert_true(slices < 100);
    }
    return slices;
}

static void rig_begin(struct test_rig *rig)
{
    test_disk_fast(true);
    test_rig_begin(rig, UINT64_C(256) << 20);
}

static void a_long_range_goes_in_slices_and_is_gone_at_once(void **state)
{
    (void)state;
    struct test_rig rig;
    rig_begin(&rig);
    rows_put(&rig, "a", 100);
    rows_put(&rig, "b", 5000);
    rows_put(&rig, "c", 100);
    checkpoint(&rig);
    assert_int_equal(items_count(&rig), 5200);
    rows_drop(&rig, "b", "c");
    assert_int_equal(rows_count(&rig), 200);
    checkpoint(&rig);
    assert_int_equal(atomic_load(&rig.store->pending_ranges), 1);
    assert_int_equal(rows_count(&rig), 200);
    assert_int_equal(items_count(&rig), 5200);
    uint64_t item_count = 0;
    assert_int_equal(store_pending_remove(rig.store, &item_count), CELLAR_OK);
    assert_in_range(item_count, 100, 4000);
    assert_int_equal(items_count(&rig), 5200 - item_count);
    assert_int_equal(rows_count(&rig), 200);
    test_rig_reopen(&rig);
    assert_int_equal(atomic_load(&rig.store->pending_ranges), 1);
    assert_true(remove_all(&rig) >= 2);
    assert_int_equal(items_count(&rig), 200);
    assert_int_equal(rows_count(&rig), 200);
    assert_int_equal(store_pending_remove(rig.store, &item_count), CELLAR_OK);
    assert_int_equal(item_count, 0);
    test_rig_end(&rig);
}

static void rows_written_into_a_pending_range_are_not_removed(void **state)
{
    (void)state;
    struct test_rig rig;
    rig_begin(&rig);
    rows_put(&rig, "b", 500);
    checkpoint(&rig);
    rows_drop(&rig, "b", "c");
    row_put(&rig, "b00100"); /* in the drop's own checkpoint */
    checkpoint(&rig);
    assert_int_equal(atomic_load(&rig.store->pending_ranges), 2);
    assert_int_equal(rows_count(&rig), 1);
    row_put(&rig, "b00200"); /* and in a later one */
    row_put(&rig, "b7");
    checkpoint(&rig);
    assert_int_equal(atomic_load(&rig.store->pending_ranges), 4);
    assert_int_equal(rows_count(&rig), 3);
    (void)remove_all(&rig);
    assert_int_equal(rows_count(&rig), 3);
    assert_int_equal(items_count(&rig), 3);
    test_rig_end(&rig);
}

static void a_range_that_would_fall_into_many_pieces_goes_at_once(void **state)
{
    (void)state;
    struct test_rig rig;
    rig_begin(&rig);
    rows_put(&rig, "b", 500);
    rows_put(&rig, "c", 10);
    checkpoint(&rig);
    rows_drop(&rig, "b", "c");
    rows_put(&rig, "b", STORE_ENV_PENDING_COUNT_MAX + 1);
    checkpoint(&rig);
    assert_int_equal(atomic_load(&rig.store->pending_ranges), 0);
    assert_int_equal(items_count(&rig), STORE_ENV_PENDING_COUNT_MAX + 11);
    assert_int_equal(rows_count(&rig), STORE_ENV_PENDING_COUNT_MAX + 11);
    test_rig_end(&rig);
}

static void more_drops_than_may_be_pending_are_taken(void **state)
{
    (void)state;
    struct test_rig rig;
    rig_begin(&rig);
    rows_put(&rig, "b", 400);
    checkpoint(&rig);
    for (unsigned i = 0; i < 200; i++) {
        char start[32];
        char end[32];
        (void)snprintf(start, sizeof start, "b%05u", 2 * i);
        (void)snprintf(end, sizeof end, "b%05u", 2 * i + 1);
        rows_drop(&rig, start, end);
    }
    assert_int_equal(rows_count(&rig), 200);
    checkpoint(&rig);
    assert_in_range(atomic_load(&rig.store->pending_ranges), 1, STORE_ENV_PENDING_COUNT_MAX);
    assert_int_equal(rows_count(&rig), 200);
    (void)remove_all(&rig);
    assert_int_equal(items_count(&rig), 200);
    test_rig_end(&rig);
}

static void all_rows_go_in_one_step(void **state)
{
    (void)state;
    static char long_row[700];
    for (int has_long = 0; has_long < 2; has_long++) {
        struct test_rig rig;
        rig_begin(&rig);
        memset(long_row, 'x', sizeof long_row - 1);
        rows_put(&rig, "b", 3000);
        if (has_long) {
            row_put(&rig, long_row);
        }
        checkpoint(&rig);
        rows_drop(&rig, "", "");
        rows_put(&rig, "n", 300);
        assert_int_equal(rows_count(&rig), 300);
        checkpoint(&rig);
        assert_int_equal(atomic_load(&rig.store->pending_ranges), 0);
        assert_int_equal(rows_count(&rig), 300);
        assert_int_equal(items_count(&rig), 300);
        rows_drop(&rig, "", "");
        checkpoint(&rig);
        assert_int_equal(rows_count(&rig), 0);
        assert_int_equal(remove_all(&rig), 1);
        assert_int_equal(items_count(&rig), 0);
        test_rig_end(&rig);
    }
}

static void the_store_reads_the_same_whatever_is_removed_when(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("removal", 800);
    rig_begin(&rig);
    for (int round = 0; round < 60; round++) {
        uint64_t count = 1 + test_random_below(&model->random, 20);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t lsn = test_rig_next_lsn(&rig);
            struct cellar_slice payload = model_mutate(model, lsn);
            test_rig_append(&rig, lsn, model_type(model, lsn), payload);
        }
        uint64_t lsn = durable(&rig);
        for (uint64_t step = test_random_below(&model->random, 4); step > 0; step--) {
            uint64_t item_count = 0;
            if (test_random_below(&model->random, 2) == 0) {
                checkpoint(&rig);
            } else {
                assert_int_equal(store_pending_remove(rig.store, &item_count), CELLAR_OK);
            }
            model_store_check(model, rig.store, lsn);
        }
        (void)items_count(&rig);
    }
    checkpoint(&rig);
    (void)remove_all(&rig);
    model_store_check(model, rig.store, durable(&rig));
    test_rig_end(&rig);
    model_end(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_range_goes_in_slices_and_is_gone_at_once),
        cmocka_unit_test(rows_written_into_a_pending_range_are_not_removed),
        cmocka_unit_test(a_range_that_would_fall_into_many_pieces_goes_at_once),
        cmocka_unit_test(more_drops_than_may_be_pending_are_taken),
        cmocka_unit_test(all_rows_go_in_one_step),
        cmocka_unit_test(the_store_reads_the_same_whatever_is_removed_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
