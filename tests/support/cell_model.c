/*
 * The plain table; cell_model.h says what it is for.
 *
 * A mutation is kept as its payload and applied to the table by the rules of SEMANTICS alone: what
 * a tombstone covers goes, then the sets of the same record come; a range drop empties its rows.
 * The value of a cell follows from the LSN that wrote it and its place, so the table keeps its
 * length only.
 *
 * Rows and qualifiers are chosen to be close in bytes: zeros, ones and FFs, prefixes of each other,
 * some longer than a part of an environment's key.
 */
#include "tests/support/cell_model.h"

#include <stdlib.h>

#include "common/segment_cells.h"

#define LONG_BYTES 600u
#define SETS_MAX 12u
#define DROP_SHARE 25u /* one record in so many drops a range */

static char long_bytes[LONG_BYTES + 1]; /* of b */

struct cellar_slice model_row(size_t index)
{
    static const struct {
        const char *data;
        size_t bytes;
    } rows[] = {{"\0", 1},  {"\0\0", 2},  {"\0\1", 2}, {"\0\377", 2}, {"\1", 1},   {"a", 1},
                {"a\0", 2}, {"a\0\1", 3}, {"ab", 2},   {NULL, 0},     {"\377", 1}, {"\377\377", 2}};
    static_assert(CELLAR_ARRAY_COUNT(rows) == MODEL_ROW_COUNT, "a key for each row");
    return rows[index].data != NULL ? cellar_slice_make(rows[index].data, rows[index].bytes)
                                    : cellar_slice_make(long_bytes, LONG_BYTES);
}

const char *model_family(size_t index)
{
    static const char *const families[MODEL_FAMILY_COUNT] = {"a", "a", "a-", "b"};
    return families[index];
}

uint32_t model_generation(size_t index)
{
    static const uint32_t generations[MODEL_FAMILY_COUNT] = {1, 7, 1, 1};
    return generations[index];
}

struct cellar_slice model_qualifier(size_t index)
{
    static const struct {
        const char *data;
        size_t bytes;
    } qualifiers[] = {{"", 0},       {"\0", 1}, {"\0\0", 2}, {"\0\1", 2},
                      {"\0\377", 2}, {"\1", 1}, {"a", 1},    {"a\0", 2},
                      {"ab", 2},     {NULL, 0}, {"\377", 1}, {"\377\377", 2}};
    static_assert(CELLAR_ARRAY_COUNT(qualifiers) == MODEL_QUALIFIER_COUNT, "one for each");
    return qualifiers[index].data != NULL
               ? cellar_slice_make(qualifiers[index].data, qualifiers[index].bytes)
               : cellar_slice_make(long_bytes, LONG_BYTES);
}

static int64_t time_of(size_t index)
{
    static const int64_t times[MODEL_TIME_COUNT] = {0, 1, 2, 1000000, INT64_MAX - 1, INT64_MAX};
    return times[index];
}

struct cell_model *model_begin(const char *name, uint32_t value_bytes_max)
{
    static struct cell_model model;
    memset(&model, 0, sizeof model);
    memset(long_bytes, 'b', LONG_BYTES);
    model.random.state = test_seed(name);
    model.value_bytes_max = value_bytes_max;
    return &model;
}

void model_end(struct cell_model *model)
{
    model_cut(model, 0);
}

/* ---- mutations ------------------------------------------------------------------------------- */

/* The value that the record `lsn` puts at a place of the row. */
static void value_fill(uint64_t lsn, size_t column, size_t time, uint8_t *to, size_t bytes)
{
    struct test_random random = {lsn * 100003 + column * 10 + time};
    test_random_bytes(&random, to, bytes);
}

static struct store_item item_base(enum store_item_type type, size_t column)
{
    size_t family = column / MODEL_QUALIFIER_COUNT;
    struct store_item item = {.type = type};
    if (type != STORE_ITEM_DELETE_ROW) {
        item.family = cellar_slice_text(model_family(family));
        item.generation = model_generation(family);
    }
    if (type != STORE_ITEM_DELETE_ROW && type != STORE_ITEM_DELETE_FAMILY) {
        item.qualifier = model_qualifier(column % MODEL_QUALIFIER_COUNT);
    }
    return item;
}

static void item_put(struct cellar_buffer *payload, const struct store_item *item,
                     uint32_t *item_count)
{
    assert_int_equal(store_item_encode(payload, item), CELLAR_OK);
    ++*item_count;
}

static void tombstone_put(struct cell_model *model, struct cellar_buffer *payload,
                          uint32_t *item_count)
{
    struct test_random *random = &model->random;
    size_t column = (size_t)test_random_below(random, MODEL_COLUMN_COUNT);
    uint64_t kind = test_random_below(random, 12);
    enum store_item_type type = kind == 0  ? STORE_ITEM_DELETE_ROW
                                : kind < 3 ? STORE_ITEM_DELETE_FAMILY
                                           : STORE_ITEM_DELETE_COLUMN;
    struct store_item item = item_base(type, column);
    if (type == STORE_ITEM_DELETE_COLUMN && test_random_below(random, 3) > 0) {
        size_t start = (size_t)test_random_below(random, MODEL_TIME_COUNT);
        size_t end = start + 1 + (size_t)test_random_below(random, MODEL_TIME_COUNT);
        item.start_us = time_of(start);
        item.end_us = end < MODEL_TIME_COUNT ? time_of(end) : 0;
    }
    item_put(payload, &item, item_count);
}

static void set_put(struct cell_model *model, struct cellar_buffer *payload, uint64_t lsn,
                    bool (*taken)[MODEL_TIME_COUNT], uint32_t *item_count)
{
    struct test_random *random = &model->random;
    size_t column = (size_t)test_random_below(random, MODEL_COLUMN_COUNT);
    size_t time = (size_t)test_random_below(random, MODEL_TIME_COUNT);
    if (taken[column][time]) {
        return; /* a normalised record sets a cell once */
    }
    taken[column][time] = true;
    uint32_t bytes_max = test_random_below(random, 10) == 0
                             ? model->value_bytes_max
                             : CELLAR_MIN(model->value_bytes_max, 300u);
    size_t bytes = (size_t)test_random_below(random, (uint64_t)bytes_max + 1);
    uint8_t *value = malloc(bytes + 1);
    assert_non_null(value);
    value_fill(lsn, column, time, value, bytes);
    struct store_item item = item_base(STORE_ITEM_SET, column);
    item.start_us = time_of(time);
    item.value = cellar_slice_make(value, bytes);
    item_put(payload, &item, item_count);
    free(value);
}

/* A bound between rows, or none: a row's key, or one that no row has. */
static struct cellar_slice bound_draw(struct test_random *random)
{
    struct cellar_slice row = model_row((size_t)test_random_below(random, MODEL_ROW_COUNT));
    uint64_t kind = test_random_below(random, 6);
    if (kind == 0) {
        return cellar_slice_make(NULL, 0);
    }
    return kind == 1 && row.bytes > 1 ? cellar_slice_make(row.data, row.bytes - 1) : row;
}

static struct cellar_slice drop_make(struct cell_model *model, uint64_t lsn)
{
    struct cellar_buffer payload = {0};
    struct store_range_drop drop;
    do {
        drop.start = bound_draw(&model->random);
        drop.end = bound_draw(&model->random);
    } while (drop.end.bytes > 0 && cellar_slice_compare(drop.start, drop.end) >= 0);
    assert_int_equal(store_range_drop_encode(&payload, &drop), CELLAR_OK);
    model_note(model, lsn, cellar_slice_of(&payload));
    model->is_drop[lsn] = true;
    cellar_buffer_fini(&payload);
    return cellar_slice_of(&model->payloads[lsn]);
}

enum store_record_type model_type(const struct cell_model *model, uint64_t lsn)
{
    return model->is_drop[lsn] ? STORE_RECORD_RANGE_DROP : STORE_RECORD_MUTATION;
}

struct cellar_slice model_mutate(struct cell_model *model, uint64_t lsn)
{
    struct test_random *random = &model->random;
    if (test_random_below(random, DROP_SHARE) == 0) {
        return drop_make(model, lsn);
    }
    bool taken[MODEL_COLUMN_COUNT][MODEL_TIME_COUNT] = {{false}};
    struct cellar_buffer payload = {0};
    uint32_t item_count = 0;
    struct store_mutation mutation = {
        .row = model_row((size_t)test_random_below(random, MODEL_ROW_COUNT)), .schema_version = 1};
    assert_int_equal(store_mutation_encode(&payload, &mutation), CELLAR_OK);
    while (test_random_below(random, 3) == 0) {
        tombstone_put(model, &payload, &item_count);
    }
    uint64_t set_count = test_random_below(random, SETS_MAX);
    for (uint64_t i = 0; i < set_count || item_count == 0; i++) {
        set_put(model, &payload, lsn, taken, &item_count);
    }
    cellar_put_u32le(payload.data + 16, item_count);
    model_note(model, lsn, cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
    return cellar_slice_of(&model->payloads[lsn]);
}

void model_note(struct cell_model *model, uint64_t lsn, struct cellar_slice payload)
{
    assert_true(lsn > model->lsn && lsn < MODEL_MUTATION_COUNT_MAX);
    model->lsn = lsn;
    assert_int_equal(cellar_buffer_append(&model->payloads[lsn], payload.data, payload.bytes),
                     CELLAR_OK);
}

void model_cut(struct cell_model *model, uint64_t lsn)
{
    if (lsn < model->table_lsn) {
        (void)model_at(model, lsn);
    }
    while (model->lsn > lsn) {
        model->is_drop[model->lsn] = false;
        cellar_buffer_fini(&model->payloads[model->lsn--]);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool item_is_at(const struct store_item *item, size_t column, int64_t time_us)
{
    size_t family = column / MODEL_QUALIFIER_COUNT;
    if (item->type == STORE_ITEM_DELETE_ROW) {
        return true;
    }
    if (item->generation != model_generation(family) ||
        !cellar_slice_equal(item->family, cellar_slice_text(model_family(family)))) {
        return false;
    }
    if (item->type == STORE_ITEM_DELETE_FAMILY) {
        return true;
    }
    if (!cellar_slice_equal(item->qualifier, model_qualifier(column % MODEL_QUALIFIER_COUNT))) {
        return false;
    }
    if (item->type == STORE_ITEM_SET) {
        return item->start_us == time_us;
    }
    return time_us >= item->start_us && (item->end_us == 0 || time_us < item->end_us);
}

static void item_apply(struct model_table *table, size_t row, const struct store_item *item,
                       uint64_t lsn)
{
    for (size_t column = 0; column < MODEL_COLUMN_COUNT; column++) {
        for (size_t time = 0; time < MODEL_TIME_COUNT; time++) {
            if (item_is_at(item, column, time_of(time))) {
                bool is_set = item->type == STORE_ITEM_SET;
                table->cells[row][column][time] =
                    (struct model_cell){is_set ? lsn : 0, is_set ? (uint32_t)item->value.bytes : 0};
            }
        }
    }
}

static void payload_apply(struct model_table *table, struct cellar_slice payload, uint64_t lsn)
{
    struct cellar_cursor from = cellar_cursor_make(payload);
    struct store_mutation mutation;
    size_t row = 0;
    assert_true(store_mutation_decode(&from, &mutation));
    while (!cellar_slice_equal(mutation.row, model_row(row))) {
        row++;
        assert_true(row < MODEL_ROW_COUNT);
    }
    for (uint32_t i = 0; i < mutation.item_count; i++) {
        struct store_item item;
        assert_true(store_item_decode(&from, &item));
        item_apply(table, row, &item, lsn);
    }
}

static void drop_apply(struct model_table *table, struct cellar_slice payload)
{
    struct store_range_drop drop;
    assert_true(store_range_drop_decode(payload, &drop));
    for (size_t row = 0; row < MODEL_ROW_COUNT; row++) {
        struct cellar_slice key = model_row(row);
        if (cellar_slice_compare(drop.start, key) <= 0 &&
            (drop.end.bytes == 0 || cellar_slice_compare(key, drop.end) < 0)) {
            memset(table->cells[row], 0, sizeof table->cells[row]);
        }
    }
}

const struct model_table *model_at(struct cell_model *model, uint64_t lsn)
{
    lsn = CELLAR_MIN(lsn, model->lsn);
    if (lsn < model->table_lsn) {
        memset(&model->table, 0, sizeof model->table);
        model->table_lsn = 0;
    }
    for (uint64_t i = model->table_lsn + 1; i <= lsn; i++) {
        if (model->is_drop[i]) {
            drop_apply(&model->table, cellar_slice_of(&model->payloads[i]));
        } else if (model->payloads[i].bytes > 0) {
            payload_apply(&model->table, cellar_slice_of(&model->payloads[i]), i);
        }
    }
    model->table_lsn = lsn;
    return &model->table;
}

bool model_row_is_there(const struct model_table *table, size_t row)
{
    for (size_t column = 0; column < MODEL_COLUMN_COUNT; column++) {
        for (size_t time = 0; time < MODEL_TIME_COUNT; time++) {
            if (table->cells[row][column][time].lsn > 0) {
                return true;
            }
        }
    }
    return false;
}

/* ---- reading a store ------------------------------------------------------------------------- */

/* A place in a row that the next cell found must be at or behind. */
struct expected {
    const struct model_table *table;
    size_t row;
    size_t column;
    size_t time; /* from MODEL_TIME_COUNT down: the one behind the next */
};

/* Moves on to the next cell of the table's row. @return false at its end */
static bool expected_next(struct expected *expected)
{
    for (; expected->column < MODEL_COLUMN_COUNT; expected->column++) {
        while (expected->time > 0) {
            expected->time--;
            if (expected->table->cells[expected->row][expected->column][expected->time].lsn > 0) {
                return true;
            }
        }
        expected->time = MODEL_TIME_COUNT;
    }
    return false;
}

static void cell_check(struct expected *expected, const struct cellar_cell *cell,
                       uint32_t generation)
{
    assert_true(expected_next(expected));
    size_t family = expected->column / MODEL_QUALIFIER_COUNT;
    const struct model_cell *model =
        &expected->table->cells[expected->row][expected->column][expected->time];
    assert_true(cellar_slice_equal(cell->family, cellar_slice_text(model_family(family))));
    assert_int_equal(generation, model_generation(family));
    assert_true(cellar_slice_equal(cell->qualifier,
                                   model_qualifier(expected->column % MODEL_QUALIFIER_COUNT)));
    assert_true(cell->timestamp_us == time_of(expected->time));
    assert_int_equal(cell->value.bytes, model->value_bytes);
    uint8_t *value = malloc(model->value_bytes + 1u);
    assert_non_null(value);
    value_fill(model->lsn, expected->column, expected->time, value, model->value_bytes);
    assert_memory_equal(cell->value.data, value, model->value_bytes);
    free(value);
}

static void segment_check(struct expected *expected, const struct store_segment *segment)
{
    struct cellar_cells_reader reader;
    uint16_t cell_count = 0;
    int64_t oldest_us = INT64_MAX;
    assert_true(cellar_cells_open(&reader, segment->packed));
    while (cellar_cells_next(&reader)) {
        cell_check(expected, &reader.cell, reader.generation);
        oldest_us = CELLAR_MIN(oldest_us, reader.cell.timestamp_us);
        assert_true(reader.generation == 1 || (segment->flags & STORE_SEGMENT_MARKED) != 0);
        cell_count++;
    }
    assert_true(cellar_cells_is_done(&reader));
    assert_int_equal(cell_count, segment->cell_count);
    assert_true(oldest_us == segment->oldest_us);
}

void model_row_check(const struct model_table *table, size_t row, struct store_rows *rows)
{
    struct expected expected = {table, row, 0, MODEL_TIME_COUNT};
    struct store_piece piece;
    assert_true(rows->has_row);
    assert_true(cellar_slice_equal(cellar_slice_of(&rows->row), model_row(row)));
    assert_int_equal(store_rows_piece(rows, &piece), CELLAR_OK);
    while (piece.kind != STORE_PIECE_END) {
        if (piece.kind == STORE_PIECE_SEGMENT) {
            segment_check(&expected, &piece.segment);
        } else {
            cell_check(&expected, &piece.cell.cell, piece.cell.generation);
        }
        assert_int_equal(store_rows_piece(rows, &piece), CELLAR_OK);
    }
    assert_false(expected_next(&expected));
}

/* The row's index; what a store returns must be a row of the model. */
static size_t row_index(const struct store_rows *rows)
{
    for (size_t row = 0; row < MODEL_ROW_COUNT; row++) {
        if (cellar_slice_equal(cellar_slice_of(&rows->row), model_row(row))) {
            return row;
        }
    }
    fail_msg("a row that nobody wrote");
    return 0;
}

static void forward_check(const struct model_table *table, struct store_rows *rows)
{
    size_t row = 0;
    assert_int_equal(store_rows_seek(rows, cellar_slice_make(NULL, 0)), CELLAR_OK);
    for (; rows->has_row; row++) {
        size_t found = row_index(rows);
        assert_true(found >= row);
        for (; row < found; row++) { /* rows passed over must have no cell */
            assert_false(model_row_is_there(table, row));
        }
        model_row_check(table, row, rows);
        assert_int_equal(store_rows_next(rows), CELLAR_OK);
    }
    for (; row < MODEL_ROW_COUNT; row++) {
        assert_false(model_row_is_there(table, row));
    }
}

static void backward_check(const struct model_table *table, struct store_rows *rows)
{
    size_t row = MODEL_ROW_COUNT;
    assert_int_equal(store_rows_seek_before(rows, cellar_slice_make(NULL, 0)), CELLAR_OK);
    while (rows->has_row) {
        size_t found = row_index(rows);
        assert_true(found < row);
        while (--row > found) {
            assert_false(model_row_is_there(table, row));
        }
        model_row_check(table, row, rows);
        assert_int_equal(store_rows_seek_before(rows, model_row(row)), CELLAR_OK);
    }
    while (row-- > 0) {
        assert_false(model_row_is_there(table, row));
    }
}

void model_check(struct cell_model *model, struct store_snapshot *snapshot)
{
    struct store_rows rows;
    const struct model_table *table = model_at(model, snapshot->lsn);
    store_rows_init(&rows, snapshot);
    forward_check(table, &rows);
    backward_check(table, &rows);
    store_rows_fini(&rows);
}

void model_store_check(struct cell_model *model, struct store *store, uint64_t durable_lsn)
{
    struct store_snapshot snapshot;
    assert_int_equal(store_snapshot_open(store, durable_lsn, &snapshot), CELLAR_OK);
    model_check(model, &snapshot);
    store_snapshot_close(&snapshot);
}
