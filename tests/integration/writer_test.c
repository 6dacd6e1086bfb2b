/*
 * The writer against a whole server in the process: many threads write through one, every row has
 * one result and can be read; rows of one key keep their order; tables of either granularity; and
 * rows that are wrong fail alone.
 */
#include "tests/support/loopback.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_COUNT 4
#define ROW_COUNT 3000
#define CLOSE_COUNT 2000
#define LONG_US INT64_C(300000000)
#define TEXT(text) cellar_text(text)

static int group_open(void **state)
{
    (void)loopback_group_open(state);
    loopback_table(&loopback_group, "micros", CELLAR_TABLE_MICROS);
    return 0;
}

struct results {
    atomic_uint ok_count;
    atomic_uint failed_count;
    char failed_key[64]; /* of the last one */
    enum cellar_code failed_code;
};

static void result_take(void *context, const struct cellar_written *written)
{
    struct results *results = context;
    if (written->failure->code == CELLAR_E_OK) {
        atomic_fetch_add(&results->ok_count, 1);
        return;
    }
    CELLAR_ASSERT(written->row.bytes < sizeof results->failed_key);
    memcpy(results->failed_key, written->row.data, written->row.bytes);
    results->failed_code = written->failure->code;
    atomic_fetch_add(&results->failed_count, 1);
}

static struct cellar_writer *writer_open(struct results *results,
                                         const struct cellar_writer_options *options)
{
    struct cellar_writer_options own = {.bytes_max = 0};
    struct cellar_writer *writer = NULL;
    struct cellar_call call = {0};
    memset(results, 0, sizeof *results);
    if (options != NULL) {
        own = *options;
    }
    own.done = result_take;
    own.context = results;
    own.timeout_us = LONG_US;
    if (cellar_writer_open(loopback_group.client, &own, &call, &writer) != CELLAR_E_OK) {
        fail_msg("%s", call.failure.text);
    }
    return writer;
}

static void add(struct cellar_writer *writer, const char *table, const char *key,
                const struct cellar_mutations *list)
{
    struct cellar_call call = {.timeout_us = LONG_US};
    enum cellar_code code = cellar_writer_add(writer, table, TEXT(key), list, NULL, &call);
    CELLAR_ASSERT(code == CELLAR_E_OK);
}

static size_t rows_count(const char *table, const char *prefix)
{
    struct cellar_rows *rows = NULL;
    struct cellar_call call = {.timeout_us = LONG_US};
    struct cellar_read *read = cellar_read_new();
    cellar_read_prefix(read, TEXT(prefix));
    cellar_read_keys_only(read);
    assert_int_equal(cellar_get(loopback_group.client, table, read, &call, &rows), CELLAR_E_OK);
    size_t count = cellar_rows_count(rows);
    cellar_rows_free(rows);
    cellar_read_free(read);
    return count;
}

struct thread {
    pthread_t native;
    unsigned number;
    struct cellar_writer *writer;
};

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    struct cellar_mutations *list = cellar_mutations_new();
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "many%u-%04u", thread->number, i);
        cellar_mutations_clear(list);
        cellar_mutations_set(list, "f", TEXT("q"), TEXT(key));
        add(thread->writer, "t", key, list);
    }
    cellar_mutations_free(list);
    return NULL;
}

static void many_threads_write_through_one_writer(void **state)
{
    (void)state;
    struct results results;
    struct thread threads[THREAD_COUNT];
    /* Little room, so that threads wait for it. */
    const struct cellar_writer_options options = {.rows_max = 200, .pending_bytes_max = 200000};
    struct cellar_writer *writer = writer_open(&results, &options);
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        threads[i] = (struct thread){.number = i, .writer = writer};
        assert_int_equal(pthread_create(&threads[i].native, NULL, thread_main, &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i].native, NULL), 0);
    }
    assert_int_equal(cellar_writer_flush(writer, NULL), CELLAR_E_OK);
    assert_int_equal(atomic_load(&results.ok_count), THREAD_COUNT * ROW_COUNT);
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_OK);
    assert_int_equal(rows_count("t", "many"), THREAD_COUNT * ROW_COUNT);
}

static void rows_of_one_key_are_written_in_their_order(void **state)
{
    (void)state;
    struct results results;
    struct cellar_rows *rows = NULL;
    const struct cellar_writer_options options = {.rows_max = 7};
    struct cellar_writer *writer = writer_open(&results, &options);
    struct cellar_mutations *list = cellar_mutations_new();
    /* Sets and deletes of the whole row in turn; the last is a set. */
    for (unsigned i = 0; i <= 100; i++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%u", i);
        cellar_mutations_clear(list);
        if (i % 2 == 0) {
            cellar_mutations_set(list, "f", TEXT("q"), TEXT(value));
        } else {
            cellar_mutations_delete_row(list);
        }
        add(writer, "t", "ordered", list);
    }
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_get_row(loopback_group.client, "t", TEXT("ordered"), NULL, &rows),
                     CELLAR_E_OK);
    assert_int_equal(cellar_rows_count(rows), 1);
    assert_int_equal(cellar_rows_at(rows, 0)->cell_count, 1);
    assert_memory_equal(cellar_rows_at(rows, 0)->cells[0].value.data, "100", 3);
    cellar_rows_free(rows);
    cellar_mutations_free(list);
}

static void tables_of_either_granularity_take_the_writers_times(void **state)
{
    (void)state;
    struct results results;
    const struct cellar_writer_options options = {.granularity = CELLAR_TABLE_MICROS};
    struct cellar_mutations *list = cellar_mutations_new();
    struct cellar_writer *writer = writer_open(&results, NULL);
    cellar_mutations_set(list, "f", TEXT("q"), TEXT("v"));
    add(writer, "t", "times", list);
    add(writer, "micros", "times", list);
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_OK);
    writer = writer_open(&results, &options);
    add(writer, "micros", "times2", list);
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_OK);
    assert_int_equal(rows_count("micros", "times"), 2);
    cellar_mutations_free(list);
}

static void a_wrong_row_fails_alone(void **state)
{
    (void)state;
    struct results results;
    struct cellar_writer *writer = writer_open(&results, NULL);
    struct cellar_mutations *list = cellar_mutations_new();
    struct cellar_call call = {0};
    for (unsigned i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "alone%02u", i);
        cellar_mutations_clear(list);
        cellar_mutations_set(list, i == 17 ? "nonsense" : "f", TEXT("q"), TEXT("v"));
        add(writer, "t", key, list);
    }
    assert_int_equal(cellar_writer_close(writer, &call), CELLAR_E_NOT_FOUND);
    assert_non_null(strstr(call.failure.text, "family not found"));
    assert_int_equal(atomic_load(&results.ok_count), 49);
    assert_int_equal(atomic_load(&results.failed_count), 1);
    assert_string_equal(results.failed_key, "alone17");
    /* A time that a table of milliseconds does not take. */
    writer = writer_open(&results, NULL);
    cellar_mutations_clear(list);
    cellar_mutations_set_at(list, "f", TEXT("q"), 1001, TEXT("v"));
    add(writer, "t", "odd", list);
    cellar_mutations_clear(list);
    cellar_mutations_set(list, "f", TEXT("q"), TEXT("v"));
    add(writer, "t", "even", list);
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_INVALID_ARGUMENT);
    assert_string_equal(results.failed_key, "odd");
    assert_int_equal(rows_count("t", "even"), 1);
    cellar_mutations_free(list);
}

/* The driver runs what the close posted first just when the close says that it wants to be left. */
static void a_writer_is_closed_while_its_driver_is_inside(void **state)
{
    (void)state;
    struct results results;
    for (unsigned i = 0; i < CLOSE_COUNT; i++) {
        struct cellar_writer *writer = writer_open(&results, NULL);
        assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_OK);
    }
    assert_int_equal(atomic_load(&results.failed_count), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_write_through_one_writer),
        cmocka_unit_test(rows_of_one_key_are_written_in_their_order),
        cmocka_unit_test(tables_of_either_granularity_take_the_writers_times),
        cmocka_unit_test(a_wrong_row_fails_alone),
        cmocka_unit_test(a_writer_is_closed_while_its_driver_is_inside),
    };
    return cmocka_run_group_tests_name("writer", tests, group_open, loopback_group_close);
}
