/*
 * importer: what needs no server. Rows and refusals of a dry import settle in order through a
 * window that is much smaller than the input, waiting ends when it is told to, and a lack of memory
 * leaves no thread behind. Sending is tested against a server (integration.client_tool_import).
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/tools/importer.h"

/* An importer that is settled while it waits. */
struct stage {
    struct cellar_importer *importer;
    struct cellar_import_counts counts;
    uint64_t refused_line; /* of the last refusal */
    uint64_t wait_count;
    bool is_stopping; /* waiting ends at once */
};

/* Settles and checks that refusals come in order. */
static void settle(struct stage *stage)
{
    struct cellar_refusal *refusal = cellar_importer_settle(stage->importer, &stage->counts);
    while (refusal != NULL) {
        struct cellar_refusal *next = refusal->next;
        assert_true(refusal->line > stage->refused_line);
        assert_string_equal(refusal->text, "no row");
        assert_int_equal(refusal->raw.bytes, 4);
        stage->refused_line = refusal->line;
        cellar_refusal_free(refusal);
        refusal = next;
    }
}

static bool on_wait(void *context)
{
    struct stage *stage = context;
    stage->wait_count++;
    if (!stage->is_stopping) {
        settle(stage);
    }
    return !stage->is_stopping;
}

static enum cellar_status start(struct stage *stage)
{
    const struct cellar_importer_options options = {.table = "t",
                                                    .worker_count = 2,
                                                    .batch_rows_max = 1,
                                                    .patience_us = 1,
                                                    .is_dry = true,
                                                    .on_wait = on_wait,
                                                    .context = stage};
    return cellar_importer_start(&options, &stage->importer, NULL);
}

/* Adds the row of a line, or refuses each third one. */
static enum cellar_status line_add(struct stage *stage, uint64_t line)
{
    struct cellar_record record = {0};
    struct cellar_error error;
    const struct cellar_record_cell cell = {.family = "f", .value = cellar_slice_text("v")};
    const struct cellar_import_place place = {.position = 10 * line, .line = line};
    enum cellar_status status;
    if (line % 3 == 0) {
        assert_int_equal(cellar_buffer_append(&record.raw, "bad\n", 4), CELLAR_OK);
        record.line = line;
        record.line_last = line;
        (void)cellar_error_set(&error, CELLAR_INVALID_ARGUMENT, "no row");
        status = cellar_importer_refuse(stage->importer, &record, place, &error);
    } else {
        assert_int_equal(cellar_record_key(&record, cellar_slice_text("r"), NULL), CELLAR_OK);
        assert_int_equal(cellar_record_add(&record, &cell, NULL), CELLAR_OK);
        record.line = line;
        record.line_last = line;
        status = cellar_importer_add(stage->importer, &record, place, &error);
    }
    assert_true(status != CELLAR_OK || record.cell_count == 0);
    cellar_record_fini(&record);
    return status;
}

static void rows_and_refusals_settle_through_a_small_window(void **state)
{
    (void)state;
    struct stage stage = {0};
    assert_int_equal(start(&stage), CELLAR_OK);
    for (uint64_t line = 1; line <= 50; line++) {
        assert_int_equal(line_add(&stage, line), CELLAR_OK);
        cellar_importer_push(stage.importer);
    }
    assert_true(stage.wait_count > 0); /* the window has 8 places */
    assert_int_equal(cellar_importer_finish(stage.importer, false, &(struct cellar_error){0}),
                     CELLAR_OK);
    settle(&stage);
    assert_int_equal(stage.counts.place.line, 50);
    assert_int_equal(stage.counts.place.position, 500);
    assert_int_equal(stage.counts.row_count, 34);
    assert_int_equal(stage.counts.cell_count, 34);
    assert_int_equal(stage.counts.refused_count, 16);
    assert_int_equal(stage.refused_line, 48);
    cellar_importer_free(stage.importer);
}

static void a_row_refused_in_parts_counts_once(void **state)
{
    (void)state;
    struct stage stage = {0};
    assert_int_equal(start(&stage), CELLAR_OK);
    for (int part = 0; part < 20; part++) { /* more than the window has places */
        struct cellar_record record = {.line = 7, .line_last = 7, .has_more = part < 19};
        const struct cellar_import_place place = {.position = part < 19 ? 0 : 70,
                                                  .line = part < 19 ? 0 : 7};
        struct cellar_error error;
        if (part == 19) {
            assert_int_equal(cellar_buffer_append(&record.raw, "bad\n", 4), CELLAR_OK);
        }
        (void)cellar_error_set(&error, CELLAR_INVALID_ARGUMENT, "no row");
        assert_int_equal(cellar_importer_refuse(stage.importer, &record, place, &error), CELLAR_OK);
        cellar_record_fini(&record);
    }
    assert_int_equal(cellar_importer_finish(stage.importer, false, &(struct cellar_error){0}),
                     CELLAR_OK);
    settle(&stage);
    assert_int_equal(stage.counts.refused_count, 1);
    assert_int_equal(stage.counts.row_count, 0);
    assert_int_equal(stage.counts.place.line, 7);
    assert_int_equal(stage.refused_line, 7);
    cellar_importer_free(stage.importer);
}

static void waiting_ends_when_it_is_told_to(void **state)
{
    (void)state;
    struct stage stage = {.is_stopping = true};
    uint64_t line = 0;
    assert_int_equal(start(&stage), CELLAR_OK);
    enum cellar_status status = CELLAR_OK;
    while (status == CELLAR_OK) {
        status = line_add(&stage, ++line);
        assert_true(line < 20);
    }
    assert_int_equal(status, CELLAR_CANCELLED);
    assert_int_equal(cellar_importer_finish(stage.importer, true, &(struct cellar_error){0}),
                     CELLAR_OK);
    settle(&stage);
    assert_int_equal(stage.counts.place.line, line - 1); /* all but the one that waited */
    cellar_importer_free(stage.importer);
}

static void what_was_not_finished_is_freed(void **state)
{
    (void)state;
    struct stage stage = {0};
    assert_int_equal(start(&stage), CELLAR_OK);
    assert_int_equal(line_add(&stage, 1), CELLAR_OK);
    assert_int_equal(line_add(&stage, 3), CELLAR_OK);
    cellar_importer_free(stage.importer);
    cellar_importer_free(NULL);
}

static enum cellar_status start_and_free(void *context)
{
    struct stage *stage = context;
    stage->importer = NULL;
    enum cellar_status status = start(stage);
    cellar_importer_free(stage->importer);
    return status;
}

static void a_lack_of_memory_is_told_and_no_thread_is_left(void **state)
{
    (void)state;
    struct stage stage = {0};
    assert_true(test_out_of_memory_loop(start_and_free, &stage) >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_refusals_settle_through_a_small_window),
        cmocka_unit_test(a_row_refused_in_parts_counts_once),
        cmocka_unit_test(waiting_ends_when_it_is_told_to),
        cmocka_unit_test(what_was_not_finished_is_freed),
        cmocka_unit_test(a_lack_of_memory_is_told_and_no_thread_is_left),
    };
    return cmocka_run_group_tests_name("importer", tests, NULL, NULL);
}
