/*
 * rows: moving over the rows of a snapshot and skipping within a row, against a plain table, with
 * the cells spread over environment, frozen and active memtable at random.
 */
#include <stdlib.h>

#include "common/mem.h"
#include "tests/support/cell_model.h"
#include "tests/support/disk.h"

static void model_write(struct test_rig *rig, struct cell_model *model, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t lsn = test_rig_next_lsn(rig);
        struct cellar_slice payload = model_mutate(model, lsn);
        test_rig_append(rig, lsn, model_type(model, lsn), payload);
    }
}

/* Writes, freezes and checkpoints by the dice. @return the durable LSN */
static uint64_t spread(struct test_rig *rig, struct cell_model *model)
{
    for (int i = 0; i < 3; i++) {
        model_write(rig, model, test_random_below(&model->random, 20));
        uint64_t kind = test_random_below(&model->random, 3);
        if (kind == 0) {
            assert_int_equal(test_rig_checkpoint(rig), CELLAR_OK);
        } else if (kind == 1) {
            (void)test_rig_freeze(rig);
        }
    }
    uint64_t lsn = test_rig_next_lsn(rig) - 1;
    assert_true(lsn == 0 || store_log_wait_durable(rig->log, lsn));
    return lsn;
}

/* ---- moving ---------------------------------------------------------------------------------- */

/* The first row of the table at or behind a key, or the last one before it, that has a cell. */
static size_t row_at(const struct model_table *table, struct cellar_slice key)
{
    size_t row = 0;
    while (row < MODEL_ROW_COUNT &&
           (cellar_slice_compare(model_row(row), key) < 0 || !model_row_is_there(table, row))) {
        row++;
    }
    return row;
}

static size_t row_before(const struct model_table *table, struct cellar_slice key)
{
    for (size_t row = MODEL_ROW_COUNT; row-- > 0;) {
        if ((key.bytes == 0 || cellar_slice_compare(model_row(row), key) < 0) &&
            model_row_is_there(table, row)) {
            return row;
        }
    }
    return MODEL_ROW_COUNT;
}

/* Whether the current row has a cell; it is read to its end. */
static bool row_has_cell(struct store_rows *rows)
{
    struct store_piece piece;
    assert_int_equal(store_rows_piece(rows, &piece), CELLAR_OK);
    bool has_cell = piece.kind != STORE_PIECE_END;
    while (piece.kind != STORE_PIECE_END) {
        assert_int_equal(store_rows_piece(rows, &piece), CELLAR_OK);
    }
    return has_cell;
}

static void row_is(const struct store_rows *rows, size_t row)
{
    assert_int_equal(rows->has_row, row < MODEL_ROW_COUNT);
    assert_true(row == MODEL_ROW_COUNT ||
                cellar_slice_equal(cellar_slice_of(&rows->row), model_row(row)));
}

/* Seeks to a key and on to the first row with a cell, in either direction, and checks both. */
static void seek_check(const struct model_table *table, struct store_rows *rows,
                       struct cellar_slice key)
{
    assert_int_equal(store_rows_seek(rows, key), CELLAR_OK);
    while (rows->has_row && !row_has_cell(rows)) {
        assert_int_equal(store_rows_next(rows), CELLAR_OK);
    }
    row_is(rows, row_at(table, key));
    assert_int_equal(store_rows_seek_before(rows, key), CELLAR_OK);
    while (rows->has_row && !row_has_cell(rows)) {
        struct cellar_buffer row = {0};
        assert_int_equal(cellar_buffer_append(&row, rows->row.data, rows->row.bytes), CELLAR_OK);
        assert_int_equal(store_rows_seek_before(rows, cellar_slice_of(&row)), CELLAR_OK);
        cellar_buffer_fini(&row);
    }
    row_is(rows, row_before(table, key));
}

static void rows_are_found_from_any_key(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("rows", 400);
    test_disk_fast(true);
    test_rig_begin(&rig, UINT64_C(256) << 20);
    for (int round = 0; round < 12; round++) {
        struct store_snapshot snapshot;
        struct store_rows rows;
        assert_int_equal(store_snapshot_open(rig.store, spread(&rig, model), &snapshot), CELLAR_OK);
        const struct model_table *table = model_at(model, snapshot.lsn);
        store_rows_init(&rows, &snapshot);
        for (size_t i = 0; i < MODEL_ROW_COUNT; i++) {
            struct cellar_slice key = model_row(i);
            seek_check(table, &rows, key);
            seek_check(table, &rows, cellar_slice_make(key.data, key.bytes - 1));
            uint8_t other[8];
            seek_check(table, &rows,
                       cellar_slice_make(other, test_random_key(&model->random, other, 8)));
        }
        store_rows_fini(&rows);
        store_snapshot_close(&snapshot);
    }
    test_rig_end(&rig);
    model_end(model);
}

static void part_read_rows_do_not_disturb_the_next(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("rows", 400);
    test_disk_fast(true);
    test_rig_begin(&rig, UINT64_C(256) << 20);
    for (int round = 0; round < 20; round++) {
        struct store_snapshot snapshot;
        struct store_rows rows;
        struct store_piece piece;
        assert_int_equal(store_snapshot_open(rig.store, spread(&rig, model), &snapshot), CELLAR_OK);
        const struct model_table *table = model_at(model, snapshot.lsn);
        store_rows_init(&rows, &snapshot);
        assert_int_equal(store_rows_seek(&rows, cellar_slice_make(NULL, 0)), CELLAR_OK);
        for (size_t row = 0; rows.has_row; row++) {
            while (!cellar_slice_equal(cellar_slice_of(&rows.row), model_row(row))) {
                assert_false(model_row_is_there(table, row++));
            }
            if (test_random_below(&model->random, 3) == 0) {
                model_row_check(table, row, &rows);
            } else {
                for (uint64_t i = test_random_below(&model->random, 4); i > 0; i--) {
                    assert_int_equal(store_rows_piece(&rows, &piece), CELLAR_OK);
                }
            }
            assert_int_equal(store_rows_next(&rows), CELLAR_OK);
        }
        store_rows_fini(&rows);
        store_snapshot_close(&snapshot);
    }
    test_rig_end(&rig);
    model_end(model);
}

/* ---- skipping -------------------------------------------------------------------------------- */

static size_t column_of(const struct cellar_cell *cell, uint32_t generation)
{
    for (size_t column = 0; column < MODEL_COLUMN_COUNT; column++) {
        size_t family = column / MODEL_QUALIFIER_COUNT;
        if (generation == model_generation(family) &&
            cellar_slice_equal(cell->family, cellar_slice_text(model_family(family))) &&
            cellar_slice_equal(cell->qualifier, model_qualifier(column % MODEL_QUALIFIER_COUNT))) {
            return column;
        }
    }
    fail_msg("a column that nobody wrote");
    return 0;
}

static size_t column_cells(const struct model_table *table, size_t row, size_t column)
{
    size_t count = 0;
    for (size_t time = 0; time < MODEL_TIME_COUNT; time++) {
        count += table->cells[row][column][time].lsn > 0;
    }
    return count;
}

/* What a read that skips has met: cells of each column. */
struct met {
    size_t cells[MODEL_COLUMN_COUNT];
    size_t last_column;
    size_t target; /* of the last skip */
    bool has_any;
};

static void met_note(struct met *met, const struct cellar_cell *cell, uint32_t generation)
{
    size_t column = column_of(cell, generation);
    assert_true(column >= met->last_column);
    met->last_column = column;
    met->has_any = true;
    met->cells[column]++;
}

/* Takes a piece. @return false at the row's end */
static bool piece_meet(struct store_rows *rows, struct met *met)
{
    struct store_piece piece;
    assert_int_equal(store_rows_piece(rows, &piece), CELLAR_OK);
    if (piece.kind == STORE_PIECE_CELL) {
        assert_true(column_of(&piece.cell.cell, piece.cell.generation) >= met->target);
        met_note(met, &piece.cell.cell, piece.cell.generation);
    } else if (piece.kind == STORE_PIECE_SEGMENT) {
        struct cellar_cells_reader reader;
        assert_true(cellar_cells_open(&reader, piece.segment.packed));
        while (cellar_cells_next(&reader)) {
            if (column_of(&reader.cell, reader.generation) >= met->target) {
                met_note(met, &reader.cell, reader.generation);
            } /* else the segment begins before it */
        }
    }
    return piece.kind != STORE_PIECE_END;
}

static void column_skip(struct store_rows *rows, size_t column, bool to_family)
{
    size_t family = column / MODEL_QUALIFIER_COUNT;
    struct cellar_slice qualifier = model_qualifier(column % MODEL_QUALIFIER_COUNT);
    assert_int_equal(store_rows_skip(rows, cellar_slice_text(model_family(family)),
                                     model_generation(family), to_family ? NULL : &qualifier),
                     CELLAR_OK);
}

/* Reads the current row with skips. From a column that was skipped to until the next skip, nothing
 * may be missing or come twice. */
static void skips_check(struct cell_model *model, const struct model_table *table, size_t row,
                        struct store_rows *rows)
{
    struct met met = {.last_column = 0};
    bool is_skipped[MODEL_COLUMN_COUNT] = {false};
    size_t column = 0; /* all before it were met or skipped */
    bool has_more = true;
    while (has_more && column < MODEL_COLUMN_COUNT) {
        size_t target = column + (size_t)test_random_below(&model->random, 12);
        bool to_family = test_random_below(&model->random, 4) == 0;
        if (to_family) {
            target = (column / MODEL_QUALIFIER_COUNT + 1) * MODEL_QUALIFIER_COUNT;
        }
        if (target >= MODEL_COLUMN_COUNT) {
            break;
        }
        for (; column < target; column++) {
            is_skipped[column] = true;
        }
        is_skipped[met.last_column] = true; /* its other versions */
        column_skip(rows, target, to_family);
        met.target = target;
        for (uint64_t i = test_random_below(&model->random, 3); i > 0 && has_more; i--) {
            has_more = piece_meet(rows, &met);
        }
        column = met.has_any ? CELLAR_MAX(column, met.last_column + 1) : column;
    }
    while (has_more) {
        has_more = piece_meet(rows, &met);
    }
    for (size_t i = 0; i < MODEL_COLUMN_COUNT; i++) {
        size_t count = column_cells(table, row, i);
        assert_true(met.cells[i] <= count);
        assert_true(is_skipped[i] || met.cells[i] == count);
    }
}

static void skips_within_a_row_lose_nothing_behind_them(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("rows", 400);
    test_disk_fast(true);
    test_rig_begin(&rig, UINT64_C(256) << 20);
    for (int round = 0; round < 25; round++) {
        struct store_snapshot snapshot;
        struct store_rows rows;
        assert_int_equal(store_snapshot_open(rig.store, spread(&rig, model), &snapshot), CELLAR_OK);
        const struct model_table *table = model_at(model, snapshot.lsn);
        store_rows_init(&rows, &snapshot);
        for (size_t row = 0; row < MODEL_ROW_COUNT; row++) {
            for (int i = 0; i < 4; i++) {
                assert_int_equal(store_rows_seek(&rows, model_row(row)), CELLAR_OK);
                if (rows.has_row &&
                    cellar_slice_equal(cellar_slice_of(&rows.row), model_row(row))) {
                    skips_check(model, table, row, &rows);
                }
            }
        }
        store_rows_fini(&rows);
        store_snapshot_close(&snapshot);
    }
    test_rig_end(&rig);
    model_end(model);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static enum cellar_status read_run(void *context)
{
    struct test_rig *rig = context;
    struct store_snapshot snapshot;
    struct store_rows rows;
    struct store_piece piece = {.kind = STORE_PIECE_END};
    struct cellar_slice qualifier = model_qualifier(3);
    CELLAR_TRY(store_snapshot_open(rig->store, store_log_durable_lsn(rig->log), &snapshot));
    store_rows_init(&rows, &snapshot);
    enum cellar_status status = store_rows_seek(&rows, model_row(1));
    while (status == CELLAR_OK && rows.has_row) {
        status = store_rows_skip(&rows, cellar_slice_text("a"), 1, &qualifier);
        do {
            status = status == CELLAR_OK ? store_rows_piece(&rows, &piece) : status;
        } while (status == CELLAR_OK && piece.kind != STORE_PIECE_END);
        status = status == CELLAR_OK ? store_rows_next(&rows) : status;
    }
    if (status == CELLAR_OK) {
        status = store_rows_seek_before(&rows, model_row(9));
    }
    store_rows_fini(&rows);
    store_snapshot_close(&snapshot);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    struct test_rig rig;
    struct cell_model *model = model_begin("rows", 400);
    test_disk_fast(true);
    test_rig_begin(&rig, UINT64_C(256) << 20);
    for (int i = 0; i < 3; i++) {
        (void)spread(&rig, model);
    }
    assert_true(test_out_of_memory_loop(read_run, &rig) >= 3);
    test_rig_end(&rig);
    model_end(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found_from_any_key),
        cmocka_unit_test(part_read_rows_do_not_disturb_the_next),
        cmocka_unit_test(skips_within_a_row_lose_nothing_behind_them),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
