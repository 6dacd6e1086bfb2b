/*
 * Submitted calls against a whole server in the process: many threads at once, each call with one
 * outcome; what was answered is read; scans of megabytes keep to their window; a batch and a
 * cancelled scan; and a client that is closed in the middle.
 */
#include "tests/support/loopback.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_COUNT 4
#define WRITE_COUNT 500
#define TEXT(text) cellar_text(text)
#define PATIENCE_US INT64_C(300000000)

static enum cellar_code outcome(struct cellar_future *future)
{
    struct cellar_failure failure;
    assert_true(cellar_future_wait(future, -1));
    enum cellar_code code = cellar_future_result(future, &failure);
    if (code != CELLAR_E_OK) {
        print_message("%s: %s\n", failure.where, failure.text);
    }
    cellar_future_free(future);
    return code;
}

/* ---- many writers ---------------------------------------------------------------------------- */

struct writer {
    unsigned number;
    atomic_uint outcome_count; /* callbacks */
    atomic_uint failed_count;
};

static void written(void *context, struct cellar_future *future)
{
    struct writer *writer = context;
    if (cellar_future_result(future, NULL) != CELLAR_E_OK) {
        atomic_fetch_add(&writer->failed_count, 1);
    }
    atomic_fetch_add(&writer->outcome_count, 1);
}

/* Half of the writes have a callback, the others a future. */
static void *writer_main(void *argument)
{
    struct writer *writer = argument;
    struct cellar_mutations *list = cellar_mutations_new();
    struct cellar_future *futures[WRITE_COUNT] = {NULL};
    for (unsigned i = 0; i < WRITE_COUNT; i++) {
        char key[32];
        struct cellar_submit submit = {
            .timeout_us = PATIENCE_US, .waits_for_room = true, .context = writer};
        submit.done = i % 2 == 0 ? written : NULL;
        (void)snprintf(key, sizeof key, "w%u-%04u", writer->number, i);
        cellar_mutations_clear(list);
        cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT(key));
        enum cellar_code code = cellar_mutate_row_submit(loopback_group.client, "t", TEXT(key),
                                                         list, &submit, &futures[i]);
        CELLAR_ASSERT(code == CELLAR_E_OK);
    }
    for (unsigned i = 0; i < WRITE_COUNT; i++) {
        bool is_over = cellar_future_wait(futures[i], -1);
        CELLAR_ASSERT(is_over && cellar_future_result(futures[i], NULL) == CELLAR_E_OK);
        cellar_future_free(futures[i]);
    }
    cellar_mutations_free(list);
    return NULL;
}

struct taken {
    unsigned count;
    size_t bytes;
    unsigned limit; /* 0 = none */
    char last[64];
};

static bool take_row(void *context, const struct cellar_row *row)
{
    struct taken *taken = context;
    CELLAR_ASSERT(row->cell_count == 1 && row->key.bytes < sizeof taken->last);
    CELLAR_ASSERT(strncmp((const char *)row->key.data, taken->last, row->key.bytes) > 0);
    memset(taken->last, 0, sizeof taken->last);
    memcpy(taken->last, row->key.data, row->key.bytes);
    taken->count++;
    taken->bytes += row->cells[0].value.bytes;
    return taken->count != taken->limit;
}

static enum cellar_code scan(const char *prefix, struct taken *taken)
{
    struct cellar_future *future = NULL;
    struct cellar_row_taker taker = {.take = take_row, .context = taken};
    struct cellar_submit submit = {.timeout_us = PATIENCE_US};
    struct cellar_read *read = cellar_read_new();
    cellar_read_prefix(read, TEXT(prefix));
    assert_int_equal(cellar_scan_submit(loopback_group.client, "t", read, &taker, &submit, &future),
                     CELLAR_E_OK);
    cellar_read_free(read);
    return outcome(future);
}

static void many_threads_submit_and_every_write_has_one_outcome(void **state)
{
    (void)state;
    struct writer writers[THREAD_COUNT];
    pthread_t threads[THREAD_COUNT];
    struct cellar_health health;
    struct taken taken = {0};
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        writers[i].number = i;
        atomic_init(&writers[i].outcome_count, 0);
        atomic_init(&writers[i].failed_count, 0);
        assert_int_equal(pthread_create(&threads[i], NULL, writer_main, &writers[i]), 0);
    }
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(atomic_load(&writers[i].outcome_count), WRITE_COUNT / 2);
        assert_int_equal(atomic_load(&writers[i].failed_count), 0);
    }
    assert_int_equal(scan("w", &taken), CELLAR_E_OK);
    assert_int_equal(taken.count, THREAD_COUNT * WRITE_COUNT);
    cellar_client_health(loopback_group.client, &health);
    assert_in_range(health.connection_count, 1, 2);
    assert_int_equal(health.failure_age_us, -1);
}

/* ---- each kind of call ----------------------------------------------------------------------- */

static void a_write_is_read_after_its_answer(void **state)
{
    (void)state;
    struct cellar_future *future = NULL;
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set(list, "f", TEXT("q"), TEXT("hello"));
    assert_int_equal(
        cellar_mutate_row_submit(loopback_group.client, "t", TEXT("one"), list, NULL, &future),
        CELLAR_E_OK);
    assert_int_equal(outcome(future), CELLAR_E_OK);
    assert_int_equal(cellar_get_row_submit(loopback_group.client, "t", TEXT("one"), NULL, &future),
                     CELLAR_E_OK);
    assert_true(cellar_future_wait(future, -1));
    struct cellar_rows *rows = cellar_future_take_rows(future);
    assert_non_null(rows);
    assert_int_equal(cellar_rows_count(rows), 1);
    assert_memory_equal(cellar_rows_at(rows, 0)->cells[0].value.data, "hello", 5);
    cellar_rows_free(rows);
    cellar_future_free(future);
    assert_int_equal(cellar_ping_submit(loopback_group.client, NULL, &future), CELLAR_E_OK);
    assert_true(cellar_future_wait(future, -1));
    assert_true(cellar_future_is_ready(future));
    cellar_future_free(future);
    cellar_mutations_free(list);
}

static void failures_name_what_is_wrong(void **state)
{
    (void)state;
    struct cellar_future *future = NULL;
    struct cellar_failure failure;
    assert_int_equal(cellar_get_row_submit(loopback_group.client, "none", TEXT("r"), NULL, &future),
                     CELLAR_E_OK);
    assert_true(cellar_future_wait(future, -1));
    assert_int_equal(cellar_future_result(future, &failure), CELLAR_E_NOT_FOUND);
    assert_non_null(strstr(failure.text, "none"));
    assert_non_null(strstr(failure.where, "READ_ROWS at 127.0.0.1:"));
    cellar_future_free(future);
}

static void a_batch_has_a_result_for_each_entry(void **state)
{
    (void)state;
    struct cellar_future *future = NULL;
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "b%03u", i);
        cellar_mutations_clear(list);
        cellar_mutations_set_at(list, i == 50 ? "nonsense" : "f", TEXT("q"), 1000, TEXT("v"));
        cellar_batch_add(batch, TEXT(key), list);
    }
    assert_int_equal(cellar_mutate_rows_submit(loopback_group.client, "t", batch, NULL, &future),
                     CELLAR_E_OK);
    assert_int_equal(outcome(future), CELLAR_E_OK);
    assert_int_equal(cellar_batch_failed_count(batch), 1);
    assert_int_equal(cellar_batch_result(batch, 50, NULL), CELLAR_E_NOT_FOUND);
    cellar_batch_free(batch);
    cellar_mutations_free(list);
}

/* 100 rows of 100 KB: ten windows of credit. */
static void a_large_scan_flows_and_can_be_left_early(void **state)
{
    (void)state;
    enum { ROWS = 100, BYTES = 100000 };
    struct cellar_mutations *list = cellar_mutations_new();
    uint8_t *value = calloc(1, BYTES);
    struct cellar_future *futures[ROWS];
    struct taken all = {0};
    struct taken few = {.limit = 3};
    struct taken rest = {0};
    assert_non_null(value);
    for (unsigned i = 0; i < ROWS; i++) {
        char key[16];
        struct cellar_submit submit = {.timeout_us = PATIENCE_US, .waits_for_room = true};
        (void)snprintf(key, sizeof key, "large%03u", i);
        cellar_mutations_clear(list);
        cellar_mutations_set_at(list, "f", TEXT("q"), 1000, cellar_view_of(value, BYTES));
        assert_int_equal(cellar_mutate_row_submit(loopback_group.client, "t", TEXT(key), list,
                                                  &submit, &futures[i]),
                         CELLAR_E_OK);
    }
    for (unsigned i = 0; i < ROWS; i++) {
        assert_int_equal(outcome(futures[i]), CELLAR_E_OK);
    }
    assert_int_equal(scan("large", &all), CELLAR_E_OK);
    assert_int_equal(all.count, ROWS);
    assert_int_equal(all.bytes, (size_t)ROWS * BYTES);
    assert_int_equal(scan("large", &few), CELLAR_E_OK);
    assert_int_equal(few.count, 3);
    assert_int_equal(scan("large", &rest), CELLAR_E_OK);
    assert_int_equal(rest.count, ROWS);
    free(value);
    cellar_mutations_free(list);
}

/* Every call has its outcome when close returns, whatever it is. */
static void a_client_is_closed_in_the_middle(void **state)
{
    (void)state;
    struct writer counts = {0};
    struct cellar_client *client = loopback_client(&loopback_group);
    struct cellar_mutations *list = cellar_mutations_new();
    struct cellar_submit submit = {.done = written, .context = &counts};
    cellar_mutations_set(list, "f", TEXT("q"), TEXT("v"));
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(
            cellar_mutate_row_submit(client, "t", TEXT("closing"), list, &submit, NULL),
            CELLAR_E_OK);
    }
    cellar_client_close(client);
    assert_int_equal(atomic_load(&counts.outcome_count), 1000);
    cellar_mutations_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_submit_and_every_write_has_one_outcome),
        cmocka_unit_test(a_write_is_read_after_its_answer),
        cmocka_unit_test(failures_name_what_is_wrong),
        cmocka_unit_test(a_batch_has_a_result_for_each_entry),
        cmocka_unit_test(a_large_scan_flows_and_can_be_left_early),
        cmocka_unit_test(a_client_is_closed_in_the_middle),
    };
    return cmocka_run_group_tests_name("async_client", tests, loopback_group_open,
                                       loopback_group_close);
}
