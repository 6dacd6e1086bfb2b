/*
 * import_window: rows settle in the input's order whatever the order of their answers; the window
 * is bounded in rows and in bytes of
 * lines; a row in parts counts once, with its last.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/import_window.h"

static struct cellar_import_place place_of(uint64_t line)
{
    return (struct cellar_import_place){.position = 100 * line, .line = line};
}

/* Adds a row without lines that ends with its own line. */
static uint64_t add(struct cellar_import_window *window, uint64_t line)
{
    const struct cellar_window_item item = {.place = place_of(line)};
    return cellar_window_add(window, &item);
}

/* Adds a part of a row; its last part has five bytes of lines. */
static uint64_t add_part(struct cellar_import_window *window, uint64_t line, bool has_more)
{
    const struct cellar_window_item item = {.place = place_of(has_more ? line - 1 : line),
                                            .raw_bytes = has_more ? 0 : 5,
                                            .has_more = has_more};
    return cellar_window_add(window, &item);
}

static struct cellar_refusal *refusal_of(uint64_t line, size_t raw_bytes)
{
    struct cellar_refusal *refusal = cellar_refusal_new("why");
    assert_non_null(refusal);
    refusal->line = line;
    refusal->line_last = line;
    if (raw_bytes > 0) {
        assert_int_equal(cellar_buffer_reserve(&refusal->raw, raw_bytes), CELLAR_OK);
        memset(refusal->raw.data, 'x', raw_bytes);
        refusal->raw.bytes = raw_bytes;
    }
    return refusal;
}

static void rows_settle_in_order(void **state)
{
    (void)state;
    struct cellar_import_window window = {0};
    struct cellar_import_counts counts = {0};
    assert_int_equal(cellar_window_init(&window, 4), CELLAR_OK);
    assert_null(cellar_window_settle(&window, &counts));
    uint64_t first = add(&window, 1);
    uint64_t second = add(&window, 2);
    uint64_t third = add(&window, 3);
    cellar_window_refused_take(&window, third, refusal_of(3, 5));
    cellar_window_written(&window, second, 2, 20);
    assert_null(cellar_window_settle(&window, &counts));
    assert_int_equal(counts.place.line, 0);
    cellar_window_written(&window, first, 1, 10);
    struct cellar_refusal *refusals = cellar_window_settle(&window, &counts);
    assert_non_null(refusals);
    assert_null(refusals->next);
    assert_int_equal(refusals->line, 3);
    assert_string_equal(refusals->text, "why");
    cellar_refusal_free(refusals);
    assert_int_equal(counts.place.position, 300);
    assert_int_equal(counts.row_count, 2);
    assert_int_equal(counts.cell_count, 3);
    assert_int_equal(counts.value_bytes, 30);
    assert_int_equal(counts.refused_count, 1);
    assert_int_equal(window.raw_bytes, 0);
    cellar_window_fini(&window);
}

static void the_window_is_full_of_rows_or_of_their_lines(void **state)
{
    (void)state;
    struct cellar_import_window window = {0};
    struct cellar_import_counts counts = {0};
    assert_int_equal(cellar_window_init(&window, 3), CELLAR_OK);
    for (uint64_t round = 0; round < 10; round++) {
        uint64_t oldest = add(&window, 3 * round + 1);
        assert_false(cellar_window_is_full(&window));
        uint64_t middle = add(&window, 3 * round + 2);
        uint64_t last = add(&window, 3 * round + 3);
        assert_true(cellar_window_is_full(&window));
        cellar_window_written(&window, last, 1, 1);
        cellar_window_written(&window, middle, 1, 1);
        assert_null(cellar_window_settle(&window, &counts));
        assert_true(cellar_window_is_full(&window));
        cellar_window_written(&window, oldest, 1, 1);
        assert_null(cellar_window_settle(&window, &counts));
        assert_int_equal(counts.place.line, 3 * round + 3);
    }
    const struct cellar_window_item long_line = {.place = place_of(31),
                                                 .raw_bytes = CELLAR_WINDOW_RAW_BYTES_MAX + 1};
    uint64_t waiting = cellar_window_add(&window, &long_line);
    assert_true(cellar_window_is_full(&window));
    cellar_window_written(&window, waiting, 1, 1);
    assert_true(cellar_window_is_full(&window));
    assert_null(cellar_window_settle(&window, &counts));
    assert_false(cellar_window_is_full(&window));
    cellar_window_fini(&window);
}

static void a_row_in_parts_counts_once_with_its_last(void **state)
{
    (void)state;
    struct cellar_import_window window = {0};
    struct cellar_import_counts counts = {0};
    assert_int_equal(cellar_window_init(&window, 2), CELLAR_OK);
    uint64_t row = add(&window, 1);
    uint64_t first = add_part(&window, 2, true);
    cellar_window_written(&window, first, 2, 20);
    cellar_window_written(&window, row, 1, 10);
    assert_null(cellar_window_settle(&window, &counts));
    assert_int_equal(counts.row_count, 1);
    assert_int_equal(counts.cell_count, 1);
    assert_int_equal(counts.place.line, 1); /* the second row is not whole */
    uint64_t middle = add_part(&window, 2, true);
    uint64_t last = add_part(&window, 2, false);
    cellar_window_written(&window, last, 3, 30);
    cellar_window_written(&window, middle, 4, 40);
    assert_null(cellar_window_settle(&window, &counts));
    assert_int_equal(counts.row_count, 2);
    assert_int_equal(counts.cell_count, 10);
    assert_int_equal(counts.value_bytes, 100);
    assert_int_equal(counts.place.line, 2);
    assert_int_equal(window.raw_bytes, 0);
    cellar_window_fini(&window);
}

/* Answers a row of three parts, 'w'ritten or 'r'efused each, and gives what it settles to. */
static struct cellar_refusal *parts_answer(struct cellar_import_window *window,
                                           struct cellar_import_counts *counts, uint64_t line,
                                           const char *answers)
{
    for (size_t index = 0; index < 3; index++) {
        bool is_last = index == 2;
        uint64_t sequence = add_part(window, line, !is_last);
        if (answers[index] == 'w' && is_last) {
            struct cellar_buffer raw = {0};
            assert_int_equal(cellar_buffer_append(&raw, "xxxxx", 5), CELLAR_OK);
            cellar_window_keep_take(window, sequence, &raw);
            assert_null(raw.data);
        }
        if (answers[index] == 'w') {
            cellar_window_written(window, sequence, 1, 1);
        } else {
            cellar_window_refused_take(window, sequence, refusal_of(line, is_last ? 5 : 0));
        }
    }
    return cellar_window_settle(window, counts);
}

static void a_row_of_which_a_part_is_refused_is_refused_once_with_its_lines(void **state)
{
    (void)state;
    static const char *const answers[] = {"rww", "wrw", "wwr", "rrw", "rrr", "rwr"};
    struct cellar_import_window window = {0};
    struct cellar_import_counts counts = {0};
    assert_int_equal(cellar_window_init(&window, 3), CELLAR_OK);
    for (uint64_t line = 1; line <= CELLAR_ARRAY_COUNT(answers); line++) {
        struct cellar_refusal *refusal = parts_answer(&window, &counts, line, answers[line - 1]);
        assert_non_null(refusal);
        assert_null(refusal->next);
        assert_int_equal(refusal->line, line);
        assert_int_equal(refusal->raw.bytes, 5);
        assert_int_equal(counts.refused_count, line);
        assert_int_equal(counts.place.line, line);
        cellar_refusal_free(refusal);
    }
    assert_null(parts_answer(&window, &counts, 7, "www"));
    assert_int_equal(counts.row_count, 1);
    assert_int_equal(counts.cell_count, 3);
    uint64_t first = add_part(&window, 8, true);
    cellar_window_refused_take(&window, first, refusal_of(8, 0));
    assert_null(cellar_window_settle(&window, &counts));
    uint64_t last = add_part(&window, 8, false);
    cellar_window_keep_take(&window, last, &(struct cellar_buffer){0});
    cellar_window_fini(&window); /* with the refusal of a row that is not whole */
}

static void what_is_not_settled_is_freed(void **state)
{
    (void)state;
    struct cellar_import_window window = {0};
    assert_int_equal(cellar_window_init(&window, 3), CELLAR_OK);
    (void)add(&window, 1);
    uint64_t refused = add(&window, 2);
    cellar_window_refused_take(&window, refused, refusal_of(2, 10));
    cellar_window_fini(&window);
    cellar_window_fini(&window);
    cellar_refusal_free(NULL);
}

static void random_answers_settle_every_row_once(void **state)
{
    (void)state;
    struct test_random random = {test_seed("import_window")};
    struct cellar_import_window window = {0};
    struct cellar_import_counts counts = {0};
    uint64_t waiting[50];
    size_t waiting_count = 0;
    uint64_t line = 0;
    uint64_t refused_line = 0;
    assert_int_equal(cellar_window_init(&window, 50), CELLAR_OK);
    while (line < 20000 || waiting_count > 0) {
        if (line < 20000 && !cellar_window_is_full(&window) && test_random_below(&random, 2) == 0) {
            waiting[waiting_count++] = add(&window, ++line);
        } else if (waiting_count > 0) {
            size_t at = test_random_below(&random, waiting_count);
            uint64_t sequence = waiting[at];
            waiting[at] = waiting[--waiting_count];
            if (test_random_below(&random, 5) == 0) {
                cellar_window_refused_take(&window, sequence, refusal_of(sequence + 1, 1));
            } else {
                cellar_window_written(&window, sequence, 1, 1);
            }
        }
        struct cellar_refusal *refusal = cellar_window_settle(&window, &counts);
        while (refusal != NULL) {
            struct cellar_refusal *next = refusal->next;
            assert_true(refusal->line > refused_line && refusal->line <= counts.place.line);
            refused_line = refusal->line;
            cellar_refusal_free(refusal);
            refusal = next;
        }
        assert_int_equal(counts.row_count + counts.refused_count, counts.place.line);
    }
    assert_int_equal(counts.place.line, 20000);
    cellar_window_fini(&window);
}

static enum cellar_status init_and_refuse(void *context)
{
    struct cellar_import_window window = {0};
    (void)context;
    enum cellar_status status = cellar_window_init(&window, 1);
    if (status == CELLAR_OK) {
        struct cellar_refusal *refusal = cellar_refusal_new("text");
        status = refusal == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
        cellar_refusal_free(refusal);
    }
    cellar_window_fini(&window);
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(init_and_refuse, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_settle_in_order),
        cmocka_unit_test(the_window_is_full_of_rows_or_of_their_lines),
        cmocka_unit_test(a_row_in_parts_counts_once_with_its_last),
        cmocka_unit_test(a_row_of_which_a_part_is_refused_is_refused_once_with_its_lines),
        cmocka_unit_test(what_is_not_settled_is_freed),
        cmocka_unit_test(random_answers_settle_every_row_once),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("import_window", tests, NULL, NULL);
}
