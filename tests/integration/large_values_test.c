/*
 * Values and mutations that are too large for the log: each a file that is there before its record,
 * stays while a read has it, and goes when nothing names it. What fails leaves neither a file nor a
 * change.
 *
 * That nothing is left over, and that every file is whole, is checked again when each service ends
 * (model_service_close()).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/tablet/row_spool.h"
#include "tests/support/disk.h"
#include "tests/support/model_fixture.h"

#define VALUE_BYTES 700000u /* above half a record of 256 KiB, some pieces long */
#define CELL_COUNT 2000u
#define CELL_BYTES 400u

/* Memory for values, one letter each. */
static uint8_t letters[VALUE_BYTES];

static struct cellar_slice value_of(char letter)
{
    memset(letters, letter, sizeof letters);
    return cellar_slice_make(letters, sizeof letters);
}

static enum cellar_status letter_set(struct model_fixture *fixture, const char *row, char letter)
{
    struct cellar_mutation set = model_set("f", "q", 1000, "");
    set.value = value_of(letter);
    return model_fixture_mutate(fixture, "t", cellar_slice_text(row), &set, 1);
}

/* The table's only cell is a value of that letter. */
static void letter_expect(struct model_fixture *fixture, char letter)
{
    const struct model_read all = {0};
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    assert_int_equal(fixture->answer.cell_count, 1);
    assert_true(cellar_slice_equal(fixture->answer.cells[0].value, value_of(letter)));
}

/* ---- files come and go ----------------------------------------------------------------------- */

static void a_large_value_has_a_file_until_its_cell_is_gone(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_mutation delete_row = model_delete_row();
    assert_int_equal(letter_set(fixture, "r", 'a'), CELLAR_OK);
    assert_int_equal(model_service_blob_count(&fixture->service), 1);
    letter_expect(fixture, 'a');
    assert_int_equal(letter_set(fixture, "r", 'b'), CELLAR_OK);
    letter_expect(fixture, 'b');
    model_service_restart(&fixture->service, true); /* from the log */
    letter_expect(fixture, 'b');
    model_service_restart(&fixture->service, false); /* from the environment */
    letter_expect(fixture, 'b');
    assert_int_equal(model_service_blob_count(&fixture->service), 1);
    model_fixture_put(fixture, "r", &delete_row, 1);
    model_fixture_expect_all(fixture, "");
    model_service_restart(&fixture->service, false);
    assert_int_equal(model_service_blob_count(&fixture->service), 0);
}

static void a_table_takes_its_files_with_it(void **state)
{
    struct model_fixture *fixture = *state;
    static const char *const families[] = {"f", NULL};
    model_fixture_table(fixture, "u", CELLAR_GRANULARITY_MILLIS, families, NULL);
    struct cellar_mutation set = model_set("f", "q", 1000, "");
    set.value = value_of('u');
    assert_int_equal(model_fixture_mutate(fixture, "u", cellar_slice_text("r"), &set, 1),
                     CELLAR_OK);
    assert_int_equal(letter_set(fixture, "r", 'a'), CELLAR_OK);
    assert_int_equal(model_service_blob_count(&fixture->service), 2);
    assert_int_equal(
        svc_drop_table(fixture->service.svc, NULL, cellar_slice_text("u"), &fixture->error),
        CELLAR_OK);
    assert_int_equal(model_service_blob_count(&fixture->service), 1);
    letter_expect(fixture, 'a');
}

/* A sink that wants the beginning of a blob. */
struct blob_sink {
    struct svc_row_sink sink; /* first */
    bool has_blob;
    bool has_more; /* behind it */
};

static enum cellar_status sink_begin(struct svc_row_sink *sink, struct cellar_slice row,
                                     bool is_continued)
{
    (void)sink;
    (void)is_continued;
    assert_true(cellar_slice_equal(row, cellar_slice_text("r")));
    return CELLAR_OK;
}

static enum cellar_status sink_end(struct svc_row_sink *sink, bool has_more)
{
    (void)sink;
    assert_true(has_more);
    return CELLAR_OK;
}

static enum cellar_status sink_blob(struct svc_row_sink *sink, struct cellar_slice row,
                                    bool has_more, struct cellar_slice before)
{
    struct blob_sink *blob = (struct blob_sink *)(void *)sink;
    assert_true(row.bytes > 0 && before.bytes > 0);
    blob->has_blob = true;
    blob->has_more = has_more;
    return CELLAR_OK;
}

/* A value that is being sent is sent to its end, whatever becomes of its cell and its file. */
static void a_read_under_way_keeps_its_value(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    options.checkpoint_records_max = 1;
    struct model_fixture *fixture = model_fixture_new(&options);
    struct cellar_arena arena = {0};
    struct cellar_rowset rows;
    const struct model_read all = {0};
    struct svc_read *read = NULL;
    struct blob_sink sink = {
        .sink = {.row_begin = sink_begin, .row_end = sink_end, .blob = sink_blob}};
    struct cellar_buffer value = {0};
    bool is_done = false;
    assert_int_equal(letter_set(fixture, "r", 'a'), CELLAR_OK);
    assert_int_equal(model_rowset_make(&all, &arena, &rows, NULL), CELLAR_OK);
    const struct svc_read_options read_options = {.table = cellar_slice_text("t"), .rows = &rows};
    assert_int_equal(svc_read_open(fixture->service.svc, NULL, &read_options, &read, NULL),
                     CELLAR_OK);
    while (!sink.has_blob) {
        assert_int_equal(svc_read_next(read, &sink.sink, 1u << 20, &is_done, NULL), CELLAR_OK);
        assert_false(is_done);
    }
    assert_int_equal(letter_set(fixture, "r", 'b'), CELLAR_OK);
    model_service_blobs_await(&fixture->service, 1);
    while (!is_done) {
        assert_int_equal(svc_read_blob(read, &value, &is_done, NULL), CELLAR_OK);
    }
    assert_true(cellar_slice_equal(cellar_slice_of(&value), value_of('a')));
    assert_false(sink.has_more);
    svc_read_close(read);
    letter_expect(fixture, 'b');
    cellar_buffer_fini(&value);
    cellar_arena_fini(&arena);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

/* Begins a read of all rows, and leaves it where the first value in a file begins. */
static struct svc_read *read_begin(struct model_fixture *fixture, const struct cellar_rowset *rows)
{
    struct blob_sink sink = {
        .sink = {.row_begin = sink_begin, .row_end = sink_end, .blob = sink_blob}};
    const struct svc_read_options options = {.table = cellar_slice_text("t"), .rows = rows};
    struct svc_read *read = NULL;
    bool is_done = false;
    assert_int_equal(svc_read_open(fixture->service.svc, NULL, &options, &read, NULL), CELLAR_OK);
    while (!sink.has_blob) {
        assert_int_equal(svc_read_next(read, &sink.sink, 1u << 20, &is_done, NULL), CELLAR_OK);
    }
    return read;
}

/* What readers that stand still have open is bounded for all of them; a read beyond that is told to
 * come again, and succeeds when one of them has gone. */
static void a_read_beyond_what_others_hold_may_be_tried_again_r_err_02(void **state)
{
    struct model_fixture *fixture = *state;
    enum { CELLS = 300, READS = 4 };
    struct cellar_mutation sets[CELLS];
    char names[CELLS][8];
    struct svc_read *reads[READS];
    struct cellar_arena arena = {0};
    struct cellar_rowset rows;
    const struct model_read all = {0};
    for (unsigned i = 0; i < CELLS; i++) {
        (void)snprintf(names[i], sizeof names[i], "%03u", i);
        sets[i] = model_set("f", names[i], 1000, "");
        sets[i].value = cellar_slice_make(value_of('h').data, 70000);
    }
    model_fixture_put(fixture, "r", sets, CELLS);
    assert_int_equal(model_rowset_make(&all, &arena, &rows, NULL), CELLAR_OK);
    for (unsigned i = 0; i < READS; i++) {
        reads[i] = read_begin(fixture, &rows);
    }
    enum cellar_status status = model_fixture_read(fixture, "t", &all);
    model_fixture_expect_error(fixture, status, CELLAR_UNAVAILABLE, "to slow readers");
    assert_true(fixture->error.retry_delay_ms > 0);
    svc_read_close(reads[0]);
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    assert_int_equal(fixture->answer.cell_count, CELLS);
    for (unsigned i = 1; i < READS; i++) {
        svc_read_close(reads[i]);
    }
    cellar_arena_fini(&arena);
}

/* ---- what is not applied --------------------------------------------------------------------- */

static void a_repeated_write_leaves_no_second_file(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_mutation set = model_set("f", "q", 1000, "");
    for (unsigned i = 0; i < 3; i++) {
        struct cellar_buffer list = {0};
        set.value = value_of(i == 0 ? 'a' : 'b');
        const struct model_entry entry = {cellar_slice_text("r"), &set, 1};
        model_mutations_encode(&entry, &list);
        const struct svc_row_write write = {.table = cellar_slice_text("t"),
                                            .row = entry.row,
                                            .mutations = cellar_slice_of(&list),
                                            .token = cellar_slice_text("0123456789abcdef")};
        assert_int_equal(model_svc_write(fixture->service.svc, &write, &fixture->error), CELLAR_OK);
        cellar_buffer_fini(&list);
        assert_int_equal(model_service_blob_count(&fixture->service), 1);
    }
    letter_expect(fixture, 'a');
}

static void a_file_that_fails_fails_its_write_alone(void **state)
{
    struct model_fixture *fixture = *state;
    assert_int_equal(letter_set(fixture, "r", 'a'), CELLAR_OK);
    test_disk_fail_writes(1, ENOSPC);
    enum cellar_status status = letter_set(fixture, "r", 'b');
    test_disk_fail_writes(-1, 0);
    model_fixture_expect_error(fixture, status, CELLAR_RESOURCE_EXHAUSTED, "no room for a value");
    test_disk_fail_syncs(0, EIO);
    status = letter_set(fixture, "r", 'c');
    test_disk_fail_syncs(-1, 0);
    model_fixture_expect_error(fixture, status, CELLAR_IO_ERROR, "could not be written");
    assert_int_equal(model_service_blob_count(&fixture->service), 1);
    letter_expect(fixture, 'a');
    assert_int_equal(letter_set(fixture, "r", 'd'), CELLAR_OK); /* nothing failed for good */
    letter_expect(fixture, 'd');
}

/* ---- mutations in files ---------------------------------------------------------------------- */

/* Sets many cells of a row at once, which together are too large for a record. */
static void wide_set(struct model_fixture *fixture, char letter)
{
    struct cellar_mutation *sets = calloc(CELL_COUNT, sizeof *sets);
    char(*names)[8] = calloc(CELL_COUNT, sizeof *names);
    assert_true(sets != NULL && names != NULL);
    const struct cellar_slice value = cellar_slice_make(value_of(letter).data, CELL_BYTES);
    for (unsigned i = 0; i < CELL_COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], "%05u", i);
        sets[i] = model_set("f", names[i], 1000, "");
        sets[i].value = value;
    }
    model_fixture_put(fixture, "wide", sets, CELL_COUNT);
    free(names);
    free(sets);
}

static void wide_expect(struct model_fixture *fixture, char letter)
{
    const struct model_read all = {0};
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    assert_int_equal(fixture->answer.cell_count, CELL_COUNT);
    const struct cellar_slice value = cellar_slice_make(value_of(letter).data, CELL_BYTES);
    for (unsigned i = 0; i < CELL_COUNT; i++) {
        assert_true(cellar_slice_equal(fixture->answer.cells[i].value, value));
    }
}

/* Cells that are too much together: the larger of them are files, and the record holds the rest. */
static void middling_values_are_files_where_a_record_is_too_small(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_mutation sets[] = {model_set("f", "a", 1000, ""), model_set("f", "b", 1000, ""),
                                     model_set("f", "c", 1000, ""), model_set("f", "d", 1000, "")};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sets); i++) {
        sets[i].value = cellar_slice_make(value_of('m').data, i == 0 ? 60000 : 70000);
    }
    model_fixture_put(fixture, "r", sets, 2);
    assert_int_equal(model_service_blob_count(&fixture->service), 0);
    model_fixture_put(fixture, "s", sets, CELLAR_ARRAY_COUNT(sets));
    assert_int_equal(model_service_blob_count(&fixture->service), 3);
    model_service_restart(&fixture->service, true);
    const struct model_read all = {0};
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    assert_int_equal(fixture->answer.cell_count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_true(cellar_slice_equal(fixture->answer.cells[i].value,
                                       sets[i % 2 == 0 && i < 4 ? 0 : 1].value));
    }
}

/* A row may have more values in files than are kept open for all reads: most of them are read
 * beside, and each comes in its place. */
static void a_row_of_very_many_values_in_files_is_read_whole_r_row_15(void **state)
{
    struct model_fixture *fixture = *state;
    enum { COUNT = TABLET_SPOOL_BLOB_COUNT_MAX + 76, BYTES = 65537 };
    struct cellar_mutation *sets = calloc(COUNT, sizeof *sets);
    char(*names)[8] = calloc(COUNT, sizeof *names);
    assert_true(sets != NULL && names != NULL);
    for (unsigned i = 0; i < BYTES + COUNT; i++) {
        letters[i] = (uint8_t)(i * 2654435761u >> 13); /* so that each value is another one */
    }
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], "%05u", i);
        sets[i] = model_set("f", names[i], 1000, i % 100 == 50 ? "small" : "");
        if (i % 100 != 50) {
            sets[i].value = cellar_slice_make(letters + i, BYTES);
        }
    }
    model_fixture_put(fixture, "r", sets, COUNT);
    assert_int_equal(model_service_blob_count(&fixture->service), COUNT - COUNT / 100);
    const struct model_read all = {0};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
        assert_int_equal(fixture->answer.cell_count, COUNT);
        for (unsigned k = 0; k < COUNT; k++) {
            assert_true(cellar_slice_equal(fixture->answer.cells[k].qualifier,
                                           cellar_slice_text(names[k])));
            assert_true(cellar_slice_equal(fixture->answer.cells[k].value, sets[k].value));
        }
        model_service_restart(&fixture->service, false);
    }
    free(names);
    free(sets);
}

/* The record names a file until it is applied; a crash before that replays it from there. */
static void a_mutation_that_is_too_large_for_a_record_is_a_file_until_it_is_applied(void **state)
{
    struct model_fixture *fixture = *state;
    wide_set(fixture, 'a');
    assert_int_equal(model_service_blob_count(&fixture->service), 1);
    wide_expect(fixture, 'a');
    wide_set(fixture, 'b');
    assert_int_equal(model_service_blob_count(&fixture->service), 2);
    model_service_restart(&fixture->service, true);
    wide_expect(fixture, 'b');
    assert_int_equal(model_service_blob_count(&fixture->service), 2);
    model_service_restart(&fixture->service, false);
    wide_expect(fixture, 'b');
    assert_int_equal(model_service_blob_count(&fixture->service), 0);
}

/* More than 16 MiB in values that stay in memory go through a gate, one mutation at a time. The log
 * may be done with it, and have freed it, before the writing thread is out of the gate. */
static void a_mutation_of_very_much_in_small_values_is_written_whole(void **state)
{
    struct model_fixture *fixture = *state;
    enum { COUNT = 320, BYTES = 60000 };
    struct cellar_mutation sets[COUNT];
    char names[COUNT][8];
    for (unsigned i = 0; i < BYTES + COUNT; i++) {
        letters[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], "%05u", i);
        sets[i] = model_set("f", names[i], 1000, "");
        sets[i].value = cellar_slice_make(letters + i, BYTES);
    }
    model_fixture_put(fixture, "r", sets, COUNT);
    const struct model_read all = {0};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
        assert_int_equal(fixture->answer.cell_count, COUNT);
        for (unsigned k = 0; k < COUNT; k++) {
            assert_true(cellar_slice_equal(fixture->answer.cells[k].value, sets[k].value));
        }
        model_service_restart(&fixture->service, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_large_value_has_a_file_until_its_cell_is_gone,
                                        model_fixture_setup, model_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_table_takes_its_files_with_it, model_fixture_setup,
                                        model_fixture_teardown),
        cmocka_unit_test(a_read_under_way_keeps_its_value),
        cmocka_unit_test_setup_teardown(a_read_beyond_what_others_hold_may_be_tried_again_r_err_02,
                                        model_fixture_setup, model_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_repeated_write_leaves_no_second_file, model_fixture_setup,
                                        model_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_fails_fails_its_write_alone,
                                        model_fixture_setup, model_fixture_teardown),
        cmocka_unit_test_setup_teardown(middling_values_are_files_where_a_record_is_too_small,
                                        model_fixture_setup, model_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_row_of_very_many_values_in_files_is_read_whole_r_row_15,
                                        model_fixture_setup, model_fixture_teardown),
        cmocka_unit_test_setup_teardown(
            a_mutation_that_is_too_large_for_a_record_is_a_file_until_it_is_applied,
            model_fixture_setup, model_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_mutation_of_very_much_in_small_values_is_written_whole,
                                        model_fixture_setup, model_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
