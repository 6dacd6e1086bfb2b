/*
 * The rules of the area TOK: a write that is repeated with its token is applied once. Server times
 * of the fake clock, which is stepped between requests, tell repeated cells apart.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/support/model_fixture.h"

#define TOKEN "0123456789abcdef"
#define WINDOW_US INT64_C(900000000)
#define STEP_US 1000

/* One cell at the server's time into a row of a table, with a token. */
static enum cellar_status write_to(struct model_fixture *fixture, const char *table,
                                   const char *row, const char *value,
                                   const struct svc_row_write *token)
{
    struct cellar_buffer list = {0};
    const struct cellar_mutation mutation = model_set("f", "q", -1, value);
    const struct model_entry entry = {cellar_slice_text(row), &mutation, 1};
    struct svc_row_write write = *token;
    model_mutations_encode(&entry, &list);
    write.table = cellar_slice_text(table);
    write.row = cellar_slice_text(row);
    write.mutations = cellar_slice_of(&list);
    cellar_clock_fake_step(STEP_US);
    cellar_error_clear(&fixture->error);
    enum cellar_status status = model_svc_write(fixture->service.svc, &write, &fixture->error);
    cellar_buffer_fini(&list);
    return status;
}

static enum cellar_status write_with(struct model_fixture *fixture, const char *row,
                                     const char *value, const char *token)
{
    const struct svc_row_write write = {.token = token == NULL ? cellar_slice_make(NULL, 0)
                                                               : cellar_slice_text(token)};
    return write_to(fixture, "t", row, value, &write);
}

static void versions_expect(struct model_fixture *fixture, const char *table, const char *row,
                            size_t count)
{
    const struct cellar_slice key = cellar_slice_text(row);
    const struct model_read read = {.keys = &key, .key_count = 1};
    assert_int_equal(model_fixture_read(fixture, table, &read), CELLAR_OK);
    size_t got = fixture->answer.row_count == 0 ? 0 : fixture->answer.rows[0].cell_count;
    assert_int_equal(got, count);
}

/* ---- repetitions ----------------------------------------------------------------------------- */

static void r_tok_01_r_tok_11_a_repetition_is_applied_once_whatever_it_holds(void **state)
{
    struct model_fixture *fixture = *state;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(write_with(fixture, "r", i == 2 ? "other" : "first", TOKEN), CELLAR_OK);
        versions_expect(fixture, "t", "r", 1);
    }
    assert_int_equal(fixture->answer.cells[0].value.bytes, 5);
    assert_memory_equal(fixture->answer.cells[0].value.data, "first", 5);
    assert_int_equal(write_with(fixture, "r", "first", TOKEN "x"), CELLAR_OK);
    assert_int_equal(write_with(fixture, "r", "first", NULL), CELLAR_OK);
    versions_expect(fixture, "t", "r", 3);
}

static void r_tok_02_a_token_has_8_to_128_bytes(void **state)
{
    struct model_fixture *fixture = *state;
    char token[130];
    memset(token, 't', sizeof token);
    static const size_t sizes[] = {0, 1, 7, 8, 128, 129};
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        char row[] = {(char)('a' + i), '\0'};
        bool is_good = sizes[i] >= 8 && sizes[i] <= 128;
        const struct svc_row_write write = {.token = cellar_slice_make(token, sizes[i])};
        enum cellar_status status = write_to(fixture, "t", row, "v", &write);
        assert_int_equal(status, is_good ? CELLAR_OK : CELLAR_INVALID_ARGUMENT);
        assert_true(is_good || strstr(fixture->error.text, "8 to 128") != NULL);
        versions_expect(fixture, "t", row, is_good ? 1 : 0);
    }
}

static void r_tok_03_another_row_or_table_is_another_operation(void **state)
{
    struct model_fixture *fixture = *state;
    static const char *const families[] = {"f", NULL};
    const struct svc_row_write write = {.token = cellar_slice_text(TOKEN)};
    model_fixture_table(fixture, "u", CELLAR_GRANULARITY_MICROS, families, NULL);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(write_to(fixture, "t", "r", "v", &write), CELLAR_OK);
        assert_int_equal(write_to(fixture, "t", "s", "v", &write), CELLAR_OK);
        assert_int_equal(write_to(fixture, "u", "r", "v", &write), CELLAR_OK);
    }
    versions_expect(fixture, "t", "r", 1);
    versions_expect(fixture, "t", "s", 1);
    versions_expect(fixture, "u", "r", 1);
}

/* ---- time ------------------------------------------------------------------------------------ */

static enum cellar_status write_at(struct model_fixture *fixture, const char *row, int64_t start_us,
                                   int64_t life_us)
{
    const struct svc_row_write write = {.token = cellar_slice_text(TOKEN),
                                        .token_time = {start_us, life_us}};
    return write_to(fixture, "t", row, "v", &write);
}

static void r_tok_04_a_request_is_refused_15_minutes_after_its_start(void **state)
{
    struct model_fixture *fixture = *state;
    int64_t start_us = cellar_clock_real_us();
    assert_int_equal(write_at(fixture, "r", start_us, 0), CELLAR_OK);
    cellar_clock_fake_step(WINDOW_US - 2 * STEP_US);
    assert_int_equal(write_at(fixture, "r", start_us, 0), CELLAR_OK);
    versions_expect(fixture, "t", "r", 1);
    cellar_clock_fake_step(1);
    assert_int_equal(write_at(fixture, "r", start_us, 0), CELLAR_FAILED_PRECONDITION);
    assert_int_equal(write_at(fixture, "s", start_us, 0), CELLAR_FAILED_PRECONDITION);
    versions_expect(fixture, "t", "r", 1);
    versions_expect(fixture, "t", "s", 0);
    /* Without a start the window begins on arrival, and this one is over: a new operation. */
    cellar_clock_fake_step(10 * INT64_C(1000000));
    assert_int_equal(write_at(fixture, "r", 0, 0), CELLAR_OK);
    versions_expect(fixture, "t", "r", 2);
    assert_int_equal(write_at(fixture, "r", 0, 0), CELLAR_OK);
    versions_expect(fixture, "t", "r", 2);
}

static void a_shorter_life_ends_earlier_and_a_start_to_come_is_now(void **state)
{
    struct model_fixture *fixture = *state;
    int64_t start_us = cellar_clock_real_us();
    assert_int_equal(write_at(fixture, "r", 0, 10 * STEP_US), CELLAR_OK);
    assert_int_equal(write_at(fixture, "r", 0, 10 * STEP_US), CELLAR_OK);
    versions_expect(fixture, "t", "r", 1);
    cellar_clock_fake_step(10 * STEP_US);
    assert_int_equal(write_at(fixture, "r", 0, 10 * STEP_US), CELLAR_OK);
    versions_expect(fixture, "t", "r", 2);
    assert_int_equal(write_at(fixture, "r", start_us, 5 * STEP_US), CELLAR_FAILED_PRECONDITION);
    assert_int_equal(write_at(fixture, "s", start_us + 2 * WINDOW_US, 0), CELLAR_OK);
    assert_int_equal(write_at(fixture, "s", start_us + 2 * WINDOW_US, 0), CELLAR_OK);
    versions_expect(fixture, "t", "s", 1);
    static const int64_t bad[][2] = {{-1, 0}, {0, -1}, {0, WINDOW_US + 1}};
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(bad); i++) {
        assert_int_equal(write_at(fixture, "u", bad[i][0], bad[i][1]), CELLAR_INVALID_ARGUMENT);
    }
    versions_expect(fixture, "t", "u", 0);
}

/* ---- restarts -------------------------------------------------------------------------------- */

static void r_tok_06_tokens_outlast_a_kill_and_a_restart(void **state)
{
    struct model_fixture *fixture = *state;
    static char long_row[CELLAR_ROW_BYTES_MAX + 1];
    memset(long_row, 'r', CELLAR_ROW_BYTES_MAX);
    const char *const rows[] = {"a", "b", long_row};
    for (unsigned life = 0; life < 5; life++) {
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(write_with(fixture, rows[i], "v", TOKEN), CELLAR_OK);
            versions_expect(fixture, "t", rows[i], 1);
        }
        model_service_restart(&fixture->service, life % 2 == 0); /* kills, then clean stops */
    }
    cellar_clock_fake_step(WINDOW_US);
    model_service_restart(&fixture->service, false);
    assert_int_equal(write_with(fixture, "a", "v", TOKEN), CELLAR_OK);
    versions_expect(fixture, "t", "a", 2);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void r_tok_10_a_refused_request_leaves_no_token(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_buffer list = {0};
    const struct cellar_mutation mutation = model_set("nope", "q", -1, "v");
    const struct model_entry entry = {cellar_slice_text("r"), &mutation, 1};
    model_mutations_encode(&entry, &list);
    const struct svc_row_write write = {.table = cellar_slice_text("t"),
                                        .row = entry.row,
                                        .mutations = cellar_slice_of(&list),
                                        .token = cellar_slice_text(TOKEN)};
    assert_int_equal(model_svc_write(fixture->service.svc, &write, &fixture->error),
                     CELLAR_NOT_FOUND);
    cellar_buffer_fini(&list);
    assert_int_equal(write_with(fixture, "r", "v", TOKEN), CELLAR_OK);
    versions_expect(fixture, "t", "r", 1);
}

static void r_tok_12_beyond_the_limit_new_tokens_are_refused_and_known_ones_replay(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.store_tokens_max = 3;
    options.checkpoint_records_max = 2;
    struct model_fixture *fixture = model_fixture_new(&options);
    static const char *const rows[] = {"a", "b", "c"};
    for (unsigned life = 0; life < 3; life++) {
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(write_with(fixture, rows[i], "v", TOKEN), CELLAR_OK);
        }
        model_fixture_expect_error(fixture, write_with(fixture, "d", "v", TOKEN),
                                   CELLAR_RESOURCE_EXHAUSTED, "store_tokens_max (3)");
        versions_expect(fixture, "t", "d", 0);
        assert_int_equal(write_with(fixture, "e", "v", NULL), CELLAR_OK);
        model_service_restart(&fixture->service, life == 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        versions_expect(fixture, "t", rows[i], 1);
    }
    cellar_clock_fake_step(WINDOW_US + 16000000);
    assert_int_equal(write_with(fixture, "d", "v", TOKEN), CELLAR_OK);
    versions_expect(fixture, "t", "d", 1);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* `[[row, [set], token] ...]`: a row a letter of `rows`, a token that ends in the letter. */
static void batch_encode(struct cellar_buffer *to, const char *rows)
{
    assert_int_equal(cellar_wire_put_array(to, (uint32_t)strlen(rows)), CELLAR_OK);
    for (const char *row = rows; *row != '\0'; row++) {
        char token[] = "token-of-?";
        const struct cellar_mutation mutation = model_set("f", "q", -1, "v");
        const struct model_entry entry = {cellar_slice_make(row, 1), &mutation, 1};
        token[sizeof token - 2] = *row;
        assert_int_equal(cellar_wire_put_array(to, 3), CELLAR_OK);
        assert_int_equal(cellar_wire_put_bytes(to, entry.row), CELLAR_OK);
        model_mutations_encode(&entry, to);
        if (*row == 'n') {
            assert_int_equal(cellar_wire_put_nil(to), CELLAR_OK);
        } else {
            assert_int_equal(cellar_wire_put_bytes(to, cellar_slice_text(token)), CELLAR_OK);
        }
    }
}

static void r_tok_09_the_tokens_of_a_batch_belong_to_its_entries(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_error results[5];
    static const char *const batches[] = {"abnab", "bcnba", "abcnn"};
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(batches); i++) {
        struct cellar_buffer entries = {0};
        batch_encode(&entries, batches[i]);
        cellar_clock_fake_step(STEP_US);
        assert_int_equal(model_svc_batch_wire(fixture->service.svc, "t", cellar_slice_of(&entries),
                                              results, &fixture->error),
                         CELLAR_OK);
        for (unsigned j = 0; j < 5; j++) {
            assert_int_equal(results[j].code, CELLAR_OK);
        }
        cellar_buffer_fini(&entries);
        model_service_restart(&fixture->service, i == 0);
    }
    versions_expect(fixture, "t", "a", 1);
    versions_expect(fixture, "t", "b", 1);
    versions_expect(fixture, "t", "c", 1);
    versions_expect(fixture, "t", "n", 3);
}

static void a_bad_token_in_a_batch_refuses_the_whole_batch(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_error results[1];
    static const char *const bad[] = {
        "\x91\x93\xc4\x01r\x91\x91\x03\xc4\x07tokens!",
        "\x91\x93\xc4\x01r\x91\x91\x03\x05",
        "\x91\x94\xc4\x01r\x91\x91\x03\xc0\xc0",
    };
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(bad); i++) {
        assert_int_equal(model_svc_batch_wire(fixture->service.svc, "t", cellar_slice_text(bad[i]),
                                              results, &fixture->error),
                         CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(fixture->error.text, "element #0"));
    }
}

/* ---- in flight together ---------------------------------------------------------------------- */

#define RACER_COUNT 4u
#define RACE_COUNT 150u

struct race {
    struct svc *svc;
    pthread_barrier_t start;
};

/* Every racer writes the same rows with the same tokens, each at once with the others. */
static void *racer_run(void *context)
{
    struct race *race = context;
    for (unsigned i = 0; i < RACE_COUNT; i++) {
        char text[32];
        struct cellar_error error;
        struct cellar_buffer list = {0};
        (void)snprintf(text, sizeof text, "row-of-race-%u", i);
        const struct cellar_mutation mutation = model_set("f", "q", -1, "v");
        const struct model_entry entry = {cellar_slice_text(text), &mutation, 1};
        model_mutations_encode(&entry, &list);
        const struct svc_row_write write = {.table = cellar_slice_text("micros"),
                                            .row = entry.row,
                                            .mutations = cellar_slice_of(&list),
                                            .token = entry.row};
        (void)pthread_barrier_wait(&race->start);
        cellar_clock_fake_step(1);
        CELLAR_ASSERT(model_svc_write(race->svc, &write, &error) == CELLAR_OK);
        cellar_buffer_fini(&list);
    }
    return NULL;
}

static void r_tok_05_of_repetitions_in_flight_together_one_is_applied(void **state)
{
    (void)state;
    struct svc_options options;
    static const char *const families[] = {"f", NULL};
    pthread_t threads[RACER_COUNT];
    model_service_options_init(&options);
    options.checkpoint_records_max = 3; /* tokens move to the environment all the time */
    struct model_fixture *fixture = model_fixture_new(&options);
    model_fixture_table(fixture, "micros", CELLAR_GRANULARITY_MICROS, families, NULL);
    struct race race = {.svc = fixture->service.svc};
    assert_int_equal(pthread_barrier_init(&race.start, NULL, RACER_COUNT), 0);
    for (unsigned i = 0; i < RACER_COUNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, racer_run, &race), 0);
    }
    for (unsigned i = 0; i < RACER_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    const struct model_read all = {0};
    assert_int_equal(model_fixture_read(fixture, "micros", &all), CELLAR_OK);
    assert_int_equal(fixture->answer.row_count, RACE_COUNT);
    for (unsigned i = 0; i < RACE_COUNT; i++) {
        assert_int_equal(fixture->answer.rows[i].cell_count, 1);
    }
    assert_int_equal(pthread_barrier_destroy(&race.start), 0);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

#define RULE(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, model_fixture_setup, model_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(r_tok_01_r_tok_11_a_repetition_is_applied_once_whatever_it_holds),
        RULE(r_tok_02_a_token_has_8_to_128_bytes),
        RULE(r_tok_03_another_row_or_table_is_another_operation),
        RULE(r_tok_04_a_request_is_refused_15_minutes_after_its_start),
        RULE(a_shorter_life_ends_earlier_and_a_start_to_come_is_now),
        RULE(r_tok_06_tokens_outlast_a_kill_and_a_restart),
        RULE(r_tok_10_a_refused_request_leaves_no_token),
        cmocka_unit_test(r_tok_12_beyond_the_limit_new_tokens_are_refused_and_known_ones_replay),
        RULE(r_tok_09_the_tokens_of_a_batch_belong_to_its_entries),
        RULE(a_bad_token_in_a_batch_refuses_the_whole_batch),
        cmocka_unit_test(r_tok_05_of_repetitions_in_flight_together_one_is_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
