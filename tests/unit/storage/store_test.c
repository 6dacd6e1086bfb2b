/*
 * store: opening, views and freezing, what a snapshot sees while others write and checkpoint.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/mem.h"
#include "tests/support/cell_model.h"
#include "tests/support/disk.h"

static void row_write(struct test_rig *rig, const char *row, const char *value)
{
    struct cellar_buffer payload = {0};
    const struct store_item item = test_set("f", "q", 1, value);
    test_mutation_put(&payload, cellar_slice_text(row), 0, &item, 1);
    test_rig_write(rig, test_rig_next_lsn(rig), cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
}

/* The value that a snapshot at the durable LSN has for f:q@1 of a row, as a text; "" for none. */
static void value_get(struct test_rig *rig, uint64_t durable_lsn, const char *row, char *to)
{
    struct store_snapshot snapshot;
    struct store_rows rows;
    struct store_piece piece = {.kind = STORE_PIECE_END};
    to[0] = '\0';
    assert_int_equal(store_snapshot_open(rig->store, durable_lsn, &snapshot), CELLAR_OK);
    store_rows_init(&rows, &snapshot);
    assert_int_equal(store_rows_seek(&rows, cellar_slice_text(row)), CELLAR_OK);
    if (rows.has_row && cellar_slice_equal(cellar_slice_of(&rows.row), cellar_slice_text(row))) {
        assert_int_equal(store_rows_piece(&rows, &piece), CELLAR_OK);
    }
    struct cellar_slice value = piece.cell.cell.value;
    if (piece.kind == STORE_PIECE_SEGMENT) {
        struct cellar_cells_reader reader;
        assert_true(cellar_cells_open(&reader, piece.segment.packed));
        assert_true(cellar_cells_next(&reader));
        value = reader.cell.value;
    }
    if (piece.kind != STORE_PIECE_END) {
        memcpy(to, value.data, value.bytes);
        to[value.bytes] = '\0';
    }
    store_rows_fini(&rows);
    store_snapshot_close(&snapshot);
}

static void value_check(struct test_rig *rig, uint64_t durable_lsn, const char *row,
                        const char *expected)
{
    char value[64];
    value_get(rig, durable_lsn, row, value);
    assert_string_equal(value, expected);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void environment_of_another_store_or_log_is_refused(void **state)
{
    (void)state;
    struct test_rig rig;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    store_close(rig.store);
    rig.store = NULL;
    uint8_t other_id[STORE_LOG_ID_BYTES] = {9};
    const uint8_t *id = store_log_id(rig.log);
    struct cellar_error error;
    static const struct {
        uint32_t id;
        uint64_t generation;
        bool is_other_log;
        enum cellar_status status;
    } cases[] = {{7, 3, false, CELLAR_OK},
                 {8, 3, false, CELLAR_DATA_LOSS},
                 {7, 4, false, CELLAR_DATA_LOSS},
                 {7, 3, true, CELLAR_DATA_LOSS}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct store *store = NULL;
        cellar_error_clear(&error);
        assert_int_equal(store_open(rig.env_path, cases[i].id, cases[i].generation,
                                    cases[i].is_other_log ? other_id : id, &store, &error),
                         cases[i].status);
        assert_true(cases[i].status == CELLAR_OK || error.text[0] != '\0');
        store_close(store);
    }
    struct store *store = NULL;
    assert_int_equal(store_open("/tmp/cellar-test-none", 7, 3, id, &store, NULL), CELLAR_DATA_LOSS);
    test_rig_end(&rig);
}

static enum cellar_status open_run(void *context)
{
    struct test_rig *rig = context;
    struct store *store = NULL;
    struct store_snapshot snapshot;
    enum cellar_status status =
        store_open(rig->env_path, 7, 3, store_log_id(rig->log), &store, NULL);
    if (status == CELLAR_OK) {
        status = store_snapshot_open(store, 0, &snapshot);
    }
    if (status == CELLAR_OK) {
        store_snapshot_close(&snapshot);
    }
    store_close(store);
    return status;
}

static enum cellar_status kit_run(void *context)
{
    struct store_freeze_kit kit;
    (void)context;
    CELLAR_TRY(store_freeze_kit_make(&kit));
    store_freeze_kit_fini(&kit);
    return CELLAR_OK;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    struct test_rig rig;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    store_close(rig.store);
    rig.store = NULL;
    assert_true(test_out_of_memory_loop(open_run, &rig) >= 4);
    assert_true(test_out_of_memory_loop(kit_run, NULL) >= 2);
    test_rig_end(&rig);
}

/* ---- views ----------------------------------------------------------------------------------- */

static void what_is_not_durable_is_invisible(void **state)
{
    (void)state;
    struct test_rig rig;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    row_write(&rig, "a", "1"); /* LSN 1 */
    row_write(&rig, "a", "2");
    row_write(&rig, "b", "3");
    value_check(&rig, 0, "a", "");
    value_check(&rig, 1, "a", "1");
    value_check(&rig, 2, "a", "2");
    value_check(&rig, 2, "b", "");
    value_check(&rig, 3, "b", "3");
    test_rig_end(&rig);
}

static void freeze_moves_the_active_memtable_once(void **state)
{
    (void)state;
    struct test_rig rig;
    uint64_t position = 1;
    test_disk_fast(true);
    test_rig_begin(&rig, TEST_MAP_BYTES);
    assert_false(test_rig_freeze(&rig)); /* empty */
    assert_null(store_frozen_get(rig.store));
    assert_true(store_oldest_unapplied(rig.store, &position) == UINT64_MAX);
    row_write(&rig, "a", "1");
    row_write(&rig, "a", "2");
    assert_int_equal(store_oldest_unapplied(rig.store, &position), 1);
    assert_int_equal(position, 0);
    assert_true(test_rig_freeze(&rig));
    assert_true(store_has_frozen(rig.store));
    row_write(&rig, "a", "3");
    assert_false(test_rig_freeze(&rig)); /* one at a time */
    assert_int_equal(store_oldest_unapplied(rig.store, &position), 1);
    value_check(&rig, 2, "a", "2");
    value_check(&rig, 3, "a", "3");
    uint64_t item_count = 0;
    assert_int_equal(store_checkpoint(rig.store, rig.log, &item_count), CELLAR_OK);
    assert_int_equal(item_count, 1);
    assert_false(store_has_frozen(rig.store));
    assert_int_equal(atomic_load(&rig.store->applied_lsn), 2);
    assert_int_equal(store_oldest_unapplied(rig.store, &position), 3);
    assert_true(position > 0);
    value_check(&rig, 0, "a", "2"); /* what LMDB has is visible in any case */
    value_check(&rig, 3, "a", "3");
    assert_int_equal(store_checkpoint(rig.store, rig.log, &item_count), CELLAR_OK);
    assert_int_equal(item_count, 0);
    test_rig_end(&rig);
}

/* ---- others beside --------------------------------------------------------------------------- */

#define READER_COUNT 3u
#define WRITE_COUNT 3000u

static struct {
    struct test_rig rig;
    _Atomic uint64_t written_lsn;
    _Atomic bool is_over;
    _Atomic uint64_t error_count;
    _Atomic uint64_t read_count;
} crowd;

/* The LSN that both cells of the row carry, 0 when they differ or are missing. */
static uint64_t pair_get(struct store_snapshot *snapshot)
{
    struct store_rows rows;
    struct store_piece piece = {.kind = STORE_PIECE_END};
    uint64_t lsns[2] = {0, 0};
    size_t count = 0;
    store_rows_init(&rows, snapshot);
    enum cellar_status status = store_rows_seek(&rows, cellar_slice_text("m"));
    bool is_it = status == CELLAR_OK && rows.has_row &&
                 cellar_slice_equal(cellar_slice_of(&rows.row), cellar_slice_text("m"));
    while (is_it && store_rows_piece(&rows, &piece) == CELLAR_OK && piece.kind != STORE_PIECE_END) {
        struct cellar_cells_reader reader;
        if (piece.kind == STORE_PIECE_CELL && count < 2) {
            lsns[count++] = cellar_get_u64le(piece.cell.cell.value.data);
        }
        if (piece.kind == STORE_PIECE_SEGMENT && cellar_cells_open(&reader, piece.segment.packed)) {
            while (cellar_cells_next(&reader) && count < 2) {
                lsns[count++] = cellar_get_u64le(reader.cell.value.data);
            }
        }
    }
    store_rows_fini(&rows);
    return count == 2 && lsns[0] == lsns[1] ? lsns[0] : 0;
}

/* Every snapshot shows one record whole, none older than what was durable before it. */
static void *reader_run(void *context)
{
    (void)context;
    do {
        struct store_snapshot snapshot;
        uint64_t written_lsn = atomic_load(&crowd.written_lsn);
        uint64_t durable_lsn = store_log_durable_lsn(crowd.rig.log);
        if (store_snapshot_open(crowd.rig.store, durable_lsn, &snapshot) != CELLAR_OK) {
            atomic_fetch_add(&crowd.error_count, 1);
            continue;
        }
        uint64_t lsn = pair_get(&snapshot);
        uint64_t expected_min = CELLAR_MIN(written_lsn, durable_lsn);
        expected_min -= expected_min % 3 == 0; /* that one went to another row */
        if (lsn > snapshot.lsn || lsn < expected_min || snapshot.lsn < durable_lsn) {
            atomic_fetch_add(&crowd.error_count, 1);
        }
        store_snapshot_close(&snapshot);
        atomic_fetch_add(&crowd.read_count, 1);
    } while (!atomic_load(&crowd.is_over));
    return NULL;
}

static void *checkpoint_run(void *context)
{
    (void)context;
    while (!atomic_load(&crowd.is_over)) {
        struct store_freeze_kit kit;
        uint64_t item_count = 0;
        if (store_freeze_kit_make(&kit) == CELLAR_OK) {
            store_log_lock(crowd.rig.log);
            (void)store_freeze(crowd.rig.store, &kit);
            store_log_unlock(crowd.rig.log);
            store_freeze_kit_fini(&kit);
        }
        if (store_checkpoint(crowd.rig.store, crowd.rig.log, &item_count) != CELLAR_OK) {
            atomic_fetch_add(&crowd.error_count, 1);
        }
    }
    return NULL;
}

/* Writes row m, and rows around it, so that inserts come right before it too. */
static void pair_write(uint64_t lsn)
{
    struct cellar_buffer payload = {0};
    uint8_t value[8];
    uint8_t row[2] = {'l', (uint8_t)lsn};
    cellar_put_u64le(value, lsn);
    struct store_item items[] = {test_set("f", "x", 1, ""), test_set("g", "y", 1, "")};
    items[0].value = cellar_slice_make(value, sizeof value);
    items[1].value = items[0].value;
    bool is_row_m = lsn == 1 || lsn % 3 != 0;
    test_mutation_put(&payload,
                      is_row_m ? cellar_slice_text("m") : cellar_slice_make(row, sizeof row), 0,
                      items, 2);
    test_rig_write(&crowd.rig, lsn, cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
    if (is_row_m) {
        atomic_store(&crowd.written_lsn, lsn);
    }
}

static void snapshots_show_whole_records_beside_writers_and_checkpoints(void **state)
{
    (void)state;
    pthread_t threads[READER_COUNT + 1];
    test_disk_fast(true);
    memset(&crowd, 0, sizeof crowd);
    test_rig_begin(&crowd.rig, UINT64_C(256) << 20);
    pair_write(1);
    assert_true(store_log_wait_durable(crowd.rig.log, 1));
    for (size_t i = 0; i < READER_COUNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader_run, NULL), 0);
    }
    assert_int_equal(pthread_create(&threads[READER_COUNT], NULL, checkpoint_run, NULL), 0);
    for (uint64_t lsn = 2; lsn <= WRITE_COUNT; lsn++) {
        pair_write(lsn);
        if (lsn % 40 == 0) {
            assert_true(store_log_wait_durable(crowd.rig.log, lsn));
        }
    }
    assert_true(store_log_wait_durable(crowd.rig.log, WRITE_COUNT));
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crowd.error_count), 0);
    assert_true(atomic_load(&crowd.read_count) > 0);
    test_rig_end(&crowd.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environment_of_another_store_or_log_is_refused),
        cmocka_unit_test(out_of_memory_is_told),
        cmocka_unit_test(what_is_not_durable_is_invisible),
        cmocka_unit_test(freeze_moves_the_active_memtable_once),
        cmocka_unit_test(snapshots_show_whole_records_beside_writers_and_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
