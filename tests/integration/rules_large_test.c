/*
 * The rules that speak of large rows: R-ROW-13 to R-ROW-15, and the part of R-KEY-09 that needs a
 * list which does something. One test a rule, named after it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/segment_cells.h"
#include "tests/support/model_fixture.h"

#define COLUMNS 100000u
#define MIB 1048576u
#define LIMIT_MIB 256u

/* Sets all columns of row `wide` to one letter in one list. */
static void wide_write(struct model_fixture *fixture, const char *letter)
{
    struct cellar_mutation *mutations = calloc(COLUMNS, sizeof *mutations);
    char(*names)[8] = calloc(COLUMNS, sizeof *names);
    assert_true(mutations != NULL && names != NULL);
    for (unsigned i = 0; i < COLUMNS; i++) {
        (void)snprintf(names[i], sizeof names[i], "%05u", i % COLUMNS);
        mutations[i] = model_set("f", names[i], 0, letter);
    }
    model_fixture_put(fixture, "wide", mutations, COLUMNS);
    free(mutations);
    free(names);
}

/* Counts the cells of one row and looks whether all have the same value. */
struct wide_sink {
    struct svc_row_sink sink; /* first */
    uint32_t cell_count;
    uint8_t letter;
    bool is_mixed;
    bool has_more;
};

static enum cellar_status wide_begin(struct svc_row_sink *sink, struct cellar_slice row,
                                     bool is_continued)
{
    struct wide_sink *wide = (struct wide_sink *)(void *)sink;
    assert_true(cellar_slice_equal(row, cellar_slice_text("wide")));
    assert_int_equal(is_continued, wide->has_more);
    return CELLAR_OK;
}

static enum cellar_status wide_cells(struct svc_row_sink *sink, struct cellar_slice packed)
{
    struct wide_sink *wide = (struct wide_sink *)(void *)sink;
    struct cellar_cells_reader reader;
    assert_true(cellar_cells_open(&reader, packed));
    while (cellar_cells_next(&reader)) {
        uint8_t letter = reader.cell.value.data[0];
        wide->is_mixed = wide->is_mixed || (wide->cell_count > 0 && letter != wide->letter);
        wide->letter = letter;
        wide->cell_count++;
    }
    assert_true(cellar_cells_is_done(&reader));
    return CELLAR_OK;
}

static enum cellar_status wide_end(struct svc_row_sink *sink, bool has_more)
{
    struct wide_sink *wide = (struct wide_sink *)(void *)sink;
    wide->has_more = has_more;
    return CELLAR_OK;
}

static void r_row_13_r_key_09_a_row_of_100000_columns_is_read_from_one_moment(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_arena arena = {0};
    struct cellar_rowset rows;
    const struct model_read all = {0};
    assert_int_equal(model_rowset_make(&all, &arena, &rows, NULL), CELLAR_OK);
    const struct svc_read_options options = {.table = cellar_slice_text("t"), .rows = &rows};
    wide_write(fixture, "a");
    for (unsigned pass = 0; pass < 2; pass++) {
        struct wide_sink wide = {
            .sink = {.row_begin = wide_begin, .cells = wide_cells, .row_end = wide_end}};
        struct svc_read *read = NULL;
        bool is_done = false;
        unsigned chunk_count = 0;
        assert_int_equal(svc_read_open(fixture->service.svc, NULL, &options, &read, NULL),
                         CELLAR_OK);
        while (!is_done) {
            assert_int_equal(svc_read_next(read, &wide.sink, 131072, &is_done, NULL), CELLAR_OK);
            if (chunk_count++ == 2) {
                wide_write(fixture, pass == 0 ? "b" : "c");
            }
        }
        svc_read_close(read);
        assert_true(chunk_count > 3);
        assert_false(wide.has_more);
        assert_false(wide.is_mixed);
        assert_int_equal(wide.cell_count, COLUMNS);
        assert_int_equal(wide.letter, pass == 0 ? 'a' : 'b');
        model_service_restart(&fixture->service, false); /* the second pass reads from disk */
    }
    cellar_arena_fini(&arena);
}

static void
r_row_14_r_row_15_a_row_above_256_mib_fails_the_read_and_a_part_of_it_does_not(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.store_map_bytes = UINT64_C(1) << 30;
    options.log_segment_bytes = UINT64_C(16) << 20;
    struct model_fixture *fixture = model_fixture_new(&options);
    uint8_t *value = calloc(1, MIB);
    char name[8];
    struct cellar_mutation set = model_set("f", name, 0, "");
    const struct svc_column column = {.family = cellar_slice_text("f"),
                                      .qualifier = cellar_slice_text("0007")};
    assert_non_null(value);
    model_fixture_set(fixture, "before", "f:q", 0, "v");
    model_fixture_set(fixture, "huge row behind", "f:q", 0, "w");
    for (unsigned i = 0; i <= LIMIT_MIB; i++) {
        (void)snprintf(name, sizeof name, "%04u", i);
        set.qualifier = cellar_slice_text(name);
        set.value = cellar_slice_make(value, MIB);
        model_fixture_put(fixture, "huge row", &set, 1);
    }
    struct model_read read = {0};
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read),
                               CELLAR_FAILED_PRECONDITION, "huge row");
    assert_int_equal(fixture->answer.row_count, 1);
    assert_true(cellar_slice_equal(fixture->answer.rows[0].key, cellar_slice_text("before")));
    const struct model_range behind = {.start = cellar_slice_text("huge row")};
    read = (struct model_read){.ranges = &behind, .range_count = 1};
    model_fixture_expect(fixture, "t", &read, "huge row behind[f:q@0=w]");
    read = (struct model_read){.columns = &column, .column_count = 1};
    assert_int_equal(model_fixture_read(fixture, "t", &read), CELLAR_OK);
    assert_int_equal(fixture->answer.cell_count, 1);
    assert_int_equal(fixture->answer.cells[0].value.bytes, MIB);
    read = (struct model_read){.keys_only = true};
    model_fixture_expect(fixture, "t", &read, "before[] huge row[] huge row behind[]");
    free(value);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            r_row_13_r_key_09_a_row_of_100000_columns_is_read_from_one_moment,
            model_fixture_setup_large, model_fixture_teardown),
        cmocka_unit_test(
            r_row_14_r_row_15_a_row_above_256_mib_fails_the_read_and_a_part_of_it_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
