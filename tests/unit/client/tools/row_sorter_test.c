/*
 * row_sorter: order, rows of one key in the order in which they came, with and without a file; a
 * row larger than all of the memory; a directory that is not there; no memory.
 */
#include "client/tools/row_sorter.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/support.h"

static struct cellar_slice text(const char *bytes)
{
    return cellar_slice_text(bytes);
}

/* Puts `count` rows of random keys, and takes them: sorted, and stable. */
static void sort_and_check(uint64_t memory_bytes, unsigned count, bool is_spilled)
{
    char directory[256];
    struct cellar_error error;
    struct test_random random = {count};
    struct cellar_sorter_row row;
    unsigned taken = 0;
    bool has_row = false;
    char last_key[16] = "";
    unsigned last_number = 0;
    test_temp_dir(directory, sizeof directory);
    struct cellar_row_sorter *sorter = cellar_row_sorter_new(memory_bytes, directory);
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        char body[100];
        (void)snprintf(key, sizeof key, "k%05u", (unsigned)test_random_below(&random, count / 3));
        memset(body, 'b', sizeof body);
        (void)snprintf(body, sizeof body, "%u", i);
        const struct cellar_sorter_row put = {text(key), cellar_slice_make(body, sizeof body), i};
        assert_int_equal(cellar_row_sorter_put(sorter, &put, &error), CELLAR_OK);
    }
    assert_int_equal(cellar_row_sorter_end(sorter, &error), CELLAR_OK);
    assert_int_equal(cellar_row_sorter_bytes(sorter), count * (12 + 6 + 100));
    assert_int_equal(cellar_row_sorter_spilled_bytes(sorter),
                     is_spilled ? count * (12 + 6 + 100) : 0);
    for (;;) {
        char key[16] = "";
        unsigned number = 0;
        assert_int_equal(cellar_row_sorter_next(sorter, &row, &has_row, &error), CELLAR_OK);
        if (!has_row) {
            break;
        }
        assert_int_equal(row.key.bytes, 6);
        assert_int_equal(row.body.bytes, 100);
        memcpy(key, row.key.data, 6);
        assert_int_equal(sscanf((const char *)row.body.data, "%u", &number), 1);
        assert_int_equal(row.mark, number);
        int order = strcmp(last_key, key);
        assert_true(order < 0 || (order == 0 && last_number < number));
        memcpy(last_key, key, sizeof key);
        last_number = number;
        taken++;
    }
    assert_int_equal(taken, count);
    cellar_row_sorter_free(sorter);
    test_remove_tree(directory);
}

static void rows_come_out_in_order_from_memory(void **state)
{
    (void)state;
    sort_and_check(1u << 24, 3000, false);
}

static void rows_come_out_in_order_from_many_runs(void **state)
{
    (void)state;
    sort_and_check(CELLAR_SORTER_BYTES_MIN, 20000, true);
}

static void no_rows_and_a_huge_row_are_rows_too(void **state)
{
    (void)state;
    static uint8_t large[300000];
    char directory[256];
    struct cellar_error error;
    struct cellar_sorter_row row;
    bool has_row = true;
    test_temp_dir(directory, sizeof directory);
    struct cellar_row_sorter *sorter = cellar_row_sorter_new(CELLAR_SORTER_BYTES_MIN, directory);
    assert_int_equal(cellar_row_sorter_end(sorter, &error), CELLAR_OK);
    assert_int_equal(cellar_row_sorter_next(sorter, &row, &has_row, &error), CELLAR_OK);
    assert_false(has_row);
    cellar_row_sorter_free(sorter);
    sorter = cellar_row_sorter_new(CELLAR_SORTER_BYTES_MIN, directory);
    const struct cellar_sorter_row puts[] = {{text("c"), text("small"), 7},
                                             {text("b"), cellar_slice_make(large, sizeof large), 0},
                                             {text("a"), text(""), UINT32_MAX}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(puts); i++) {
        assert_int_equal(cellar_row_sorter_put(sorter, &puts[i], &error), CELLAR_OK);
    }
    assert_int_equal(cellar_row_sorter_end(sorter, &error), CELLAR_OK);
    for (size_t i = CELLAR_ARRAY_COUNT(puts); i-- > 0;) {
        assert_int_equal(cellar_row_sorter_next(sorter, &row, &has_row, &error), CELLAR_OK);
        assert_true(has_row && cellar_slice_equal(row.key, puts[i].key));
        assert_int_equal(row.body.bytes, puts[i].body.bytes);
        assert_int_equal(row.mark, puts[i].mark);
    }
    cellar_row_sorter_free(sorter);
    cellar_row_sorter_free(NULL);
    test_remove_tree(directory);
}

static void a_directory_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct cellar_error error;
    enum cellar_status status = CELLAR_OK;
    static uint8_t body[40000];
    struct cellar_row_sorter *sorter =
        cellar_row_sorter_new(CELLAR_SORTER_BYTES_MIN, "/nonexistent/folder");
    const struct cellar_sorter_row row = {text("k"), cellar_slice_make(body, sizeof body), 0};
    for (unsigned i = 0; i < 3 && status == CELLAR_OK; i++) {
        status = cellar_row_sorter_put(sorter, &row, &error);
    }
    assert_int_equal(status, CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "/nonexistent/folder"));
    cellar_row_sorter_free(sorter);
}

static enum cellar_status sort_once(void *context)
{
    struct cellar_error error;
    struct cellar_sorter_row row;
    bool has_row = true;
    static uint8_t body[20000];
    struct cellar_row_sorter *sorter = cellar_row_sorter_new(CELLAR_SORTER_BYTES_MIN, context);
    enum cellar_status status = sorter == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
    for (unsigned i = 0; i < 10 && status == CELLAR_OK; i++) {
        const struct cellar_sorter_row put = {text(i % 2 == 0 ? "a" : "b"),
                                              cellar_slice_make(body, sizeof body), 0};
        status = cellar_row_sorter_put(sorter, &put, &error);
    }
    status = status == CELLAR_OK ? cellar_row_sorter_end(sorter, &error) : status;
    while (status == CELLAR_OK && has_row) {
        status = cellar_row_sorter_next(sorter, &row, &has_row, &error);
    }
    cellar_row_sorter_free(sorter);
    return status;
}

static void without_memory_nothing_is_lost_silently(void **state)
{
    (void)state;
    char directory[256];
    test_temp_dir(directory, sizeof directory);
    assert_true(test_out_of_memory_loop(sort_once, directory) > 5);
    test_remove_tree(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_out_in_order_from_memory),
        cmocka_unit_test(rows_come_out_in_order_from_many_runs),
        cmocka_unit_test(no_rows_and_a_huge_row_are_rows_too),
        cmocka_unit_test(a_directory_that_is_not_there_is_named),
        cmocka_unit_test(without_memory_nothing_is_lost_silently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
