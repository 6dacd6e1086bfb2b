/*
 * loader with large values, through the load of tablet and storage: each is a file that is there
 * before the new generation is, goes with a load that ends without effect, and when nothing names
 * it after all.
 *
 * That nothing is left over, and that every file is whole, is checked again when each service ends
 * (model_service_close()).
 */
#include "server/service/loader.h"

#include <string.h>

#include "server/tablet/compact.h"
#include "tests/support/load_wire.h"
#include "tests/support/model_service.h"

#define VALUE_BYTES 300000u /* above half a record of 256 KiB, two pieces long */

static int owner; /* its address is a connection's */

/* The stage: a table of two tablets, f with one version, g with all. */
static void stage_open(struct model_service *service)
{
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = 1u << 20;
    options.checkpoint_records_max = 20;
    model_service_open(service, &options);
    model_svc_load_table_make(service->svc, "m");
}

static uint64_t load_begin(struct svc *svc)
{
    uint64_t id = 0;
    struct cellar_error error;
    const struct svc_load_range range = {.table = cellar_slice_text("t")};
    assert_int_equal(svc_load_begin(svc, NULL, &range, &owner, &id, &error), CELLAR_OK);
    return id;
}

/* A cell whose value is large and of one letter, which says who wrote it. */
static struct cellar_cell cell_of(const char *family, int64_t timestamp_us, char letter)
{
    static uint8_t letters[26][VALUE_BYTES];
    struct cellar_cell cell = test_load_cell(family, "q", timestamp_us, "");
    memset(letters[letter - 'a'], letter, VALUE_BYTES);
    cell.value = cellar_slice_make(letters[letter - 'a'], VALUE_BYTES);
    return cell;
}

/* Rows a and z of a load, one in each tablet, in one request. */
static enum cellar_status rows_send(struct svc *svc, uint64_t id, const struct cellar_cell *cells,
                                    size_t cell_count, struct cellar_error *error)
{
    struct cellar_buffer wire = {0};
    assert_int_equal(cellar_wire_put_array(&wire, 2), CELLAR_OK);
    test_load_row_put(&wire, cellar_slice_text("a"), cells, cell_count);
    test_load_row_put(&wire, cellar_slice_text("z"), cells, cell_count);
    const struct svc_load_rows rows = {.id = id, .rows = cellar_slice_of(&wire), .owner = &owner};
    cellar_error_clear(error);
    enum cellar_status status = svc_load_rows(svc, NULL, &rows, error);
    cellar_buffer_fini(&wire);
    return status;
}

static void commit(struct svc *svc, uint64_t id)
{
    struct svc_load_counts counts = {0};
    struct cellar_error error;
    assert_int_equal(svc_load_commit(svc, NULL, id, &counts, &error), CELLAR_OK);
    assert_int_equal(counts.row_count, 2);
}

/* Rows with a large value of that letter each, or nothing at all. */
static void letters_expect(struct svc *svc, size_t row_count, char letter)
{
    struct model_answer answer;
    struct cellar_error error;
    const struct model_read read = {0};
    memset(&answer, 0, sizeof answer);
    assert_int_equal(model_svc_read(svc, "t", &read, 100000, &answer, &error), CELLAR_OK);
    assert_int_equal(answer.row_count, row_count);
    for (size_t i = 0; i < answer.cell_count; i++) {
        const struct cellar_cell expected = cell_of("g", 0, letter);
        if (answer.cells[i].value.bytes > 1) {
            assert_true(cellar_slice_equal(answer.cells[i].value, expected.value));
        }
    }
    model_answer_fini(&answer);
}

static void row_delete(struct svc *svc, const char *row)
{
    struct cellar_error error;
    const struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_DELETE_ROW};
    const struct model_entry entry = {
        .row = cellar_slice_text(row), .mutations = &mutation, .mutation_count = 1};
    assert_int_equal(model_svc_mutate(svc, "t", &entry, &error), CELLAR_OK);
}

/* Has checkpoints of both stores come that hold what was written before. */
static void checkpoints_force(struct svc *svc)
{
    for (unsigned i = 0; i < 60; i++) {
        row_delete(svc, i % 2 == 0 ? "b" : "y");
    }
}

/* ---- what stays ------------------------------------------------------------------------------ */

static void a_large_value_is_loaded_as_a_file(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    const struct cellar_cell cells[] = {test_load_cell("f", "q", 1000, "s"),
                                        cell_of("g", 2000, 'v')};
    stage_open(&service);
    uint64_t id = load_begin(service.svc);
    assert_int_equal(rows_send(service.svc, id, cells, 2, &error), CELLAR_OK);
    assert_int_equal(model_service_blob_count(&service), 2);
    letters_expect(service.svc, 0, 'v');
    commit(service.svc, id);
    letters_expect(service.svc, 2, 'v');
    model_service_restart(&service, true);
    letters_expect(service.svc, 2, 'v');
    assert_int_equal(model_service_blob_count(&service), 2);
    /* The table is as any other from here on. */
    model_service_compact(&service);
    checkpoints_force(service.svc);
    letters_expect(service.svc, 2, 'v');
    row_delete(service.svc, "a");
    checkpoints_force(service.svc);
    model_service_blobs_await(&service, 1);
    letters_expect(service.svc, 1, 'v');
    model_service_close(&service);
}

static void a_checkpoint_beside_a_load_takes_none_of_its_files(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    const struct cellar_cell cell = cell_of("g", 2000, 'v');
    stage_open(&service);
    uint64_t id = load_begin(service.svc);
    assert_int_equal(rows_send(service.svc, id, &cell, 1, &error), CELLAR_OK);
    checkpoints_force(service.svc);
    assert_int_equal(model_service_blob_count(&service), 2);
    commit(service.svc, id);
    letters_expect(service.svc, 2, 'v');
    model_service_close(&service);
}

/* ---- what goes ------------------------------------------------------------------------------- */

static void what_nothing_names_in_the_end_goes_with_the_commit(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    const struct cellar_cell cells[] = {cell_of("f", 2000, 'v'), cell_of("f", 1000, 'h')};
    stage_open(&service);
    uint64_t id = load_begin(service.svc);
    assert_int_equal(rows_send(service.svc, id, cells, 2, &error), CELLAR_OK);
    assert_int_equal(model_service_blob_count(&service), 4); /* two of them hidden by the rule */
    row_delete(service.svc, "a");                            /* which the load has passed */
    checkpoints_force(service.svc);
    commit(service.svc, id);
    letters_expect(service.svc, 1, 'v');
    model_service_blobs_await(&service, 1);
    model_service_close(&service);
}

static void a_load_without_effect_leaves_no_file(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    const struct cellar_cell cells[] = {cell_of("g", 2000, 'v'), test_load_cell("x", "", 0, "")};
    stage_open(&service);
    uint64_t id = load_begin(service.svc);
    /* What is refused was not written, and the load goes on. */
    assert_int_equal(rows_send(service.svc, id, cells, 2, &error), CELLAR_NOT_FOUND);
    assert_int_equal(model_service_blob_count(&service), 0);
    assert_int_equal(rows_send(service.svc, id, cells, 1, &error), CELLAR_OK);
    assert_int_equal(model_service_blob_count(&service), 2);
    assert_int_equal(svc_load_abort(service.svc, NULL, id, &error), CELLAR_OK);
    assert_int_equal(model_service_blob_count(&service), 0);
    id = load_begin(service.svc);
    assert_int_equal(rows_send(service.svc, id, cells, 1, &error), CELLAR_OK);
    model_service_restart(&service, true);
    assert_int_equal(model_service_blob_count(&service), 0);
    letters_expect(service.svc, 0, 'v');
    id = load_begin(service.svc);
    assert_int_equal(rows_send(service.svc, id, cells, 1, &error), CELLAR_OK);
    assert_int_equal(svc_drop_table(service.svc, NULL, cellar_slice_text("t"), &error), CELLAR_OK);
    assert_int_equal(svc_load_abort(service.svc, NULL, id, &error), CELLAR_OK);
    assert_int_equal(model_service_blob_count(&service), 0);
    model_service_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_value_is_loaded_as_a_file),
        cmocka_unit_test(a_checkpoint_beside_a_load_takes_none_of_its_files),
        cmocka_unit_test(what_nothing_names_in_the_end_goes_with_the_commit),
        cmocka_unit_test(a_load_without_effect_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
