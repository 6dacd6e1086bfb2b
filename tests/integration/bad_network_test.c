/*
 * The blocking client on a bad network: several threads write and read through a proxy that cuts,
 * delays, stalls and swallows (support/proxy.h), with time limits that are often too short. What
 * the library said of each write is compared with what a client without a proxy reads at the end:
 *
 *     OK                                   it is there, once
 *     UNAVAILABLE                          it is not there
 *     OUTCOME_UNKNOWN, DEADLINE_EXCEEDED   it may be there, once
 *
 * Every one of these calls may be repeated, those at the server's time by their tokens: none is
 * given up as unknown before its time is over, and nothing is there twice.
 * Nothing else may be answered, nothing else may be there, and every call ends. Each thread has
 * rows of its own and keeps a list of what it wrote; each value is written by one call only. A call
 * that does not end is left to the test's time limit and told by the slack below, which is far
 * beyond what a busy machine needs.
 */
#include "tests/support/loopback.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/client.h"
#include "common/clock.h"
#include "tests/support/model_service.h"
#include "tests/support/model_workload.h"
#include "tests/support/proxy.h"

#define THREADS 4u
#define CALLS 150u /* of each thread */
#define WRITES_MAX (CALLS * BATCH_ENTRIES_MAX)
#define BATCH_ENTRIES_MAX 6u
#define TIMEOUT_MS_MIN 30u
#define TIMEOUT_MS_MAX 900u
#define SLACK_US INT64_C(120000000)

/* What the answers so far say of a value. */
enum belief { PRESENT, ABSENT, UNSURE };

/* One value that was written, or tried to be. */
struct note {
    char row[24];
    char value[24];
    enum belief belief;
};

struct writer {
    pthread_t thread;
    unsigned index;
    struct cellar_client *client;
    struct test_random random;
    struct note *notes;
    size_t note_count;
    unsigned codes[CELLAR_STATUS_COUNT];
    char failure[1024]; /* of the test; empty = none so far */
};

/* Keeps the first thing that is wrong; the test's thread tells it. */
static void wrong(struct writer *writer, const char *what, const char *detail)
{
    if (writer->failure[0] == '\0') {
        (void)snprintf(writer->failure, sizeof writer->failure, "thread %u: %s: %s", writer->index,
                       what, detail);
    }
}

/* A call with a random time limit that begins now; call_end() checks its end. */
struct timed_call {
    struct cellar_call call;
    int64_t start_us;
};

static struct timed_call call_begin(struct writer *writer)
{
    uint64_t spread = TIMEOUT_MS_MAX - TIMEOUT_MS_MIN;
    struct timed_call timed = {
        .call.timeout_us =
            1000 * (int64_t)(TIMEOUT_MS_MIN + test_random_below(&writer->random, spread)),
        .start_us = cellar_clock_monotonic_us()};
    return timed;
}

/* Checks the code of a call that ended, and that it ended. */
static void call_end(struct writer *writer, const struct timed_call *timed, enum cellar_code code)
{
    char text[800];
    int64_t took_us = cellar_clock_monotonic_us() - timed->start_us;
    (void)snprintf(text, sizeof text, "%s (%s) %lld us of %lld", timed->call.failure.text,
                   cellar_code_text(code), (long long)took_us, (long long)timed->call.timeout_us);
    if (took_us > timed->call.timeout_us + SLACK_US) {
        wrong(writer, "a call went on and on", text);
    }
    if (code != CELLAR_E_OK && code != CELLAR_E_UNAVAILABLE && code != CELLAR_E_OUTCOME_UNKNOWN &&
        code != CELLAR_E_DEADLINE_EXCEEDED) {
        wrong(writer, "an answer that no network can cause", text);
    }
    if (code == CELLAR_E_OUTCOME_UNKNOWN && took_us < timed->call.timeout_us - 1000) {
        wrong(writer, "a call that could be repeated was given up early", text);
    }
    if (timed->call.failure.is_retryable != (code == CELLAR_E_UNAVAILABLE)) {
        wrong(writer, "is_retryable", text);
    }
    writer->codes[code]++;
}

static enum belief belief_of(enum cellar_code code)
{
    return code == CELLAR_E_OK                  ? PRESENT
           : code == CELLAR_E_OUTCOME_UNKNOWN   ? UNSURE
           : code == CELLAR_E_DEADLINE_EXCEEDED ? UNSURE
                                                : ABSENT;
}

/* Notes a new value for a row and adds its cell to the list. */
static struct note *value_note(struct writer *writer, struct cellar_mutations *list,
                               const char *row, bool is_timed)
{
    size_t number = writer->note_count++;
    struct note *note = &writer->notes[number];
    (void)snprintf(note->row, sizeof note->row, "%s", row);
    (void)snprintf(note->value, sizeof note->value, "%u.%zu", writer->index, number);
    struct cellar_view value = cellar_text(note->value);
    if (is_timed) {
        cellar_mutations_set_at(list, "f", cellar_text("q"), 1000 * (1 + (int64_t)number), value);
    } else {
        /* A column of its own: two sets within a millisecond would be one cell. */
        cellar_mutations_set(list, "f", value, value);
    }
    return note;
}

/* One of the few rows that a thread writes to again and again. */
static void row_pick(struct writer *writer, char row[24])
{
    (void)snprintf(row, 24, "%u-%u", writer->index,
                   (unsigned)test_random_below(&writer->random, 20));
}

static void set_run(struct writer *writer, bool is_timed)
{
    char row[24];
    struct cellar_mutations *list = cellar_mutations_new();
    row_pick(writer, row);
    struct note *note = value_note(writer, list, row, is_timed);
    struct timed_call timed = call_begin(writer);
    enum cellar_code code =
        cellar_mutate_row(writer->client, "t", cellar_text(row), list, &timed.call);
    call_end(writer, &timed, code);
    note->belief = belief_of(code);
    cellar_mutations_free(list);
}

/* Some rows at once, at explicit times or at the server's. */
static void batch_run(struct writer *writer)
{
    struct note *notes[BATCH_ENTRIES_MAX];
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    size_t count = 1 + test_random_below(&writer->random, BATCH_ENTRIES_MAX);
    bool is_timed = test_random_below(&writer->random, 2) == 0;
    for (size_t index = 0; index < count; index++) {
        char row[24];
        row_pick(writer, row);
        cellar_mutations_clear(list);
        notes[index] = value_note(writer, list, row, is_timed);
        cellar_batch_add(batch, cellar_text(row), list);
    }
    struct timed_call timed = call_begin(writer);
    enum cellar_code code = cellar_mutate_rows(writer->client, "t", batch, &timed.call);
    call_end(writer, &timed, code);
    for (size_t index = 0; index < count; index++) {
        notes[index]->belief = belief_of(cellar_batch_result(batch, index, NULL));
    }
    cellar_mutations_free(list);
    cellar_batch_free(batch);
}

/* A row of its own that is written and then deleted. */
static void delete_run(struct writer *writer)
{
    char row[24];
    struct cellar_mutations *list = cellar_mutations_new();
    (void)snprintf(row, sizeof row, "%u-d%zu", writer->index, writer->note_count);
    struct note *note = value_note(writer, list, row, true);
    struct timed_call timed = call_begin(writer);
    enum cellar_code code =
        cellar_mutate_row(writer->client, "t", cellar_text(row), list, &timed.call);
    call_end(writer, &timed, code);
    note->belief = belief_of(code);
    cellar_mutations_clear(list);
    cellar_mutations_delete_row(list);
    timed = call_begin(writer);
    code = cellar_mutate_row(writer->client, "t", cellar_text(row), list, &timed.call);
    call_end(writer, &timed, code);
    if (belief_of(code) == PRESENT && note->belief == PRESENT) {
        note->belief = ABSENT; /* both were done, in this order */
    } else if (belief_of(code) != ABSENT && note->belief != ABSENT) {
        note->belief = UNSURE; /* an unsure write may even come behind the delete */
    }
    cellar_mutations_free(list);
}

/* How many cells of a row have a value. */
static size_t value_count(const struct cellar_row *row, const char *value)
{
    size_t count = 0;
    for (size_t index = 0; row != NULL && index < row->cell_count; index++) {
        struct cellar_view found = row->cells[index].value;
        count += found.bytes == strlen(value) && memcmp(found.data, value, found.bytes) == 0;
    }
    return count;
}

/* Compares a row, or its absence, with what was noted of it; how many cells the notes explain. */
static size_t row_check(struct writer *writer, const char *key, const struct cellar_row *row)
{
    static const char *const texts[] = {"present", "absent", "unsure"};
    size_t explained_count = 0;
    for (size_t index = 0; index < writer->note_count; index++) {
        const struct note *note = &writer->notes[index];
        if (strcmp(note->row, key) != 0) {
            continue;
        }
        size_t count = value_count(row, note->value);
        size_t least = note->belief == PRESENT ? 1 : 0;
        size_t most = note->belief == ABSENT ? 0 : 1;
        if (count < least || count > most) {
            char text[128];
            (void)snprintf(text, sizeof text, "row %s, value %s is %s but was found %zu times", key,
                           note->value, texts[note->belief], count);
            wrong(writer, "a write", text);
        }
        explained_count += count;
    }
    return explained_count;
}

/* Reads one of the own rows through the bad network: an answer, if there is one, is right. */
static void get_run(struct writer *writer)
{
    char key[24];
    struct cellar_rows *rows = NULL;
    row_pick(writer, key);
    struct timed_call timed = call_begin(writer);
    enum cellar_code code =
        cellar_get_row(writer->client, "t", cellar_text(key), &timed.call, &rows);
    call_end(writer, &timed, code);
    if (code == CELLAR_E_OUTCOME_UNKNOWN) {
        wrong(writer, "a read without an outcome", timed.call.failure.text);
    }
    if (code == CELLAR_E_OK) {
        (void)row_check(writer, key, cellar_rows_count(rows) == 0 ? NULL : cellar_rows_at(rows, 0));
    }
    cellar_rows_free(rows);
}

/* Reads all of the own rows; those that come are right, whatever ends the scan. */
static void scan_run(struct writer *writer)
{
    char prefix[24];
    struct cellar_row row;
    struct cellar_scan *scan = NULL;
    struct cellar_read *read = cellar_read_new();
    (void)snprintf(prefix, sizeof prefix, "%u-", writer->index);
    cellar_read_prefix(read, cellar_text(prefix));
    struct timed_call timed = call_begin(writer);
    enum cellar_code code = cellar_scan_open(writer->client, "t", read, &timed.call, &scan);
    while (code == CELLAR_E_OK && cellar_scan_next(scan, &row)) {
        char key[24];
        (void)snprintf(key, sizeof key, "%.*s", (int)row.key.bytes, (const char *)row.key.data);
        if (row_check(writer, key, &row) != row.cell_count) {
            wrong(writer, "a scan gave cells that nobody wrote", key);
        }
    }
    code = cellar_scan_close(scan, &timed.call);
    call_end(writer, &timed, code);
    cellar_read_free(read);
}

static void ping_run(struct writer *writer)
{
    bool is_ready = false;
    struct timed_call timed = call_begin(writer);
    enum cellar_code code = cellar_ping(writer->client, &timed.call, &is_ready);
    call_end(writer, &timed, code);
    if (code == CELLAR_E_OK && !is_ready) {
        wrong(writer, "ping", "the server is not ready");
    }
}

static void *writer_main(void *argument)
{
    struct writer *writer = argument;
    size_t call_count = model_steps(CALLS);
    for (size_t index = 0; index < call_count && writer->failure[0] == '\0'; index++) {
        uint64_t dice = test_random_below(&writer->random, 100);
        if (dice < 25) {
            set_run(writer, true);
        } else if (dice < 50) {
            set_run(writer, false);
        } else if (dice < 65) {
            batch_run(writer);
        } else if (dice < 75) {
            delete_run(writer);
        } else if (dice < 90) {
            get_run(writer);
        } else if (dice < 95) {
            scan_run(writer);
        } else {
            ping_run(writer);
        }
    }
    return NULL;
}

/* Compares all that a thread wrote with what a client without a proxy reads; the cells' number. */
static size_t writer_check(struct writer *writer, struct cellar_client *direct)
{
    size_t cell_count = 0;
    for (size_t index = 0; index < writer->note_count; index++) {
        const char *key = writer->notes[index].row;
        struct cellar_rows *rows = NULL;
        bool is_first = true;
        for (size_t before = 0; before < index && is_first; before++) {
            is_first = strcmp(writer->notes[before].row, key) != 0;
        }
        if (!is_first) {
            continue;
        }
        struct cellar_call call = {.timeout_us = SLACK_US};
        assert_int_equal(cellar_get_row(direct, "t", cellar_text(key), &call, &rows), CELLAR_E_OK);
        cell_count +=
            row_check(writer, key, cellar_rows_count(rows) == 0 ? NULL : cellar_rows_at(rows, 0));
        cellar_rows_free(rows);
    }
    return cell_count;
}

static size_t table_cell_count(struct cellar_client *direct)
{
    size_t count = 0;
    struct cellar_rows *rows = NULL;
    struct cellar_call call = {.timeout_us = SLACK_US};
    struct cellar_read *read = cellar_read_new();
    assert_int_equal(cellar_get(direct, "t", read, &call, &rows), CELLAR_E_OK);
    for (size_t index = 0; index < cellar_rows_count(rows); index++) {
        count += cellar_rows_at(rows, index)->cell_count;
    }
    cellar_rows_free(rows);
    cellar_read_free(read);
    return count;
}

static void table_make(struct cellar_client *direct)
{
    struct cellar_schema *schema = cellar_schema_new();
    cellar_schema_family(schema, "f", NULL);
    cellar_schema_split(schema, cellar_text("2"));
    assert_int_equal(cellar_table_create(direct, "t", schema, NULL, NULL), CELLAR_E_OK);
    cellar_schema_free(schema);
}

static struct proxy *proxy_to(const struct loopback *loopback, const struct proxy_script *script)
{
    char target[IO_ADDRESS_TEXT_BYTES_MAX];
    (void)io_address_show(cellar_server_address(loopback->server), target);
    return proxy_start(target, script);
}

static struct cellar_client *client_through(const struct proxy *proxy)
{
    struct cellar_options options = {.endpoint = proxy_endpoint(proxy), .connections_max = 3};
    struct cellar_client *client = NULL;
    assert_int_equal(cellar_client_open(&options, NULL, &client), CELLAR_E_OK);
    return client;
}

/* Runs the threads and gathers what they say. */
static void writers_run(struct writer *writers, struct cellar_client *client,
                        struct test_random *seeds, unsigned codes[CELLAR_STATUS_COUNT])
{
    for (unsigned index = 0; index < THREADS; index++) {
        writers[index] = (struct writer){.index = index,
                                         .client = client,
                                         .random = {test_random_next(seeds)},
                                         .notes = calloc(WRITES_MAX, sizeof(struct note))};
        assert_non_null(writers[index].notes);
        assert_int_equal(pthread_create(&writers[index].thread, NULL, writer_main, &writers[index]),
                         0);
    }
    for (unsigned index = 0; index < THREADS; index++) {
        assert_int_equal(pthread_join(writers[index].thread, NULL), 0);
        for (unsigned code = 0; code < CELLAR_STATUS_COUNT; code++) {
            codes[code] += writers[index].codes[code];
        }
    }
}

static void what_the_library_says_of_a_write_is_true_on_a_bad_network(void **state)
{
    (void)state;
    struct test_random seeds = {test_seed("bad network")};
    struct proxy_script script = {.seed = seeds.state,
                                  .weights = {[PROXY_CUT] = 6,
                                              [PROXY_DELAY] = 2,
                                              [PROXY_STALL] = 1,
                                              [PROXY_SWALLOW] = 4,
                                              [PROXY_DROP] = 1},
                                  .refuse_percent = 5};
    struct writer writers[THREADS];
    struct svc_options options;
    struct loopback loopback;
    struct proxy_counts counts;
    unsigned codes[CELLAR_STATUS_COUNT] = {0};
    size_t cell_count = 0;
    model_service_options_init(&options);
    loopback_open(&loopback, &options);
    table_make(loopback.client);
    struct proxy *proxy = proxy_to(&loopback, &script);
    struct cellar_client *client = client_through(proxy);
    writers_run(writers, client, &seeds, codes);
    cellar_client_close(client);
    proxy_stop(proxy, &counts);
    for (unsigned index = 0; index < THREADS; index++) {
        cell_count += writer_check(&writers[index], loopback.client);
        free(writers[index].notes);
        if (writers[index].failure[0] != '\0') {
            fail_msg("%s", writers[index].failure);
        }
    }
    assert_int_equal(cell_count, table_cell_count(loopback.client));
    loopback_close(&loopback);
    print_message("calls: %u ok, %u unavailable, %u unknown, %u late; %zu cells\n"
                  "connections: %u cut, %u delayed, %u stalled, %u swallowed, %u "
                  "dropped; %u refusals, %u bytes swallowed\n",
                  codes[CELLAR_E_OK], codes[CELLAR_E_UNAVAILABLE], codes[CELLAR_E_OUTCOME_UNKNOWN],
                  codes[CELLAR_E_DEADLINE_EXCEEDED], cell_count, counts.fates[PROXY_CUT],
                  counts.fates[PROXY_DELAY], counts.fates[PROXY_STALL], counts.fates[PROXY_SWALLOW],
                  counts.fates[PROXY_DROP], counts.refusals, counts.swallowed_bytes);
}

/* ---- connections that die while nobody uses them --------------------------------------------- */

/* A server with a table, and a client that reaches it through a proxy. */
struct stage {
    struct loopback loopback;
    struct proxy *proxy;
    struct cellar_client *client;
    unsigned write_count;
};

static void stage_open(struct stage *stage)
{
    struct svc_options options;
    model_service_options_init(&options);
    loopback_open(&stage->loopback, &options);
    table_make(stage->loopback.client);
    stage->proxy = proxy_to(&stage->loopback, NULL);
    stage->client = client_through(stage->proxy);
    stage->write_count = 0;
}

static void stage_close(struct stage *stage)
{
    cellar_client_close(stage->client);
    proxy_stop(stage->proxy, NULL);
    loopback_close(&stage->loopback);
}

/* A write that must not be sent twice, and must succeed; each goes to a column of its own. */
static void stage_write(struct stage *stage)
{
    char column[24];
    struct cellar_call call = {.timeout_us = SLACK_US};
    struct cellar_mutations *list = cellar_mutations_new();
    (void)snprintf(column, sizeof column, "%u", stage->write_count++);
    cellar_mutations_set(list, "f", cellar_text(column), cellar_text("v"));
    if (cellar_mutate_row(stage->client, "t", cellar_text("r"), list, &call) != CELLAR_E_OK) {
        fail_msg("%s (%s)", call.failure.text, cellar_code_text(call.failure.code));
    }
    cellar_mutations_free(list);
}

/* Waits until the news of its end has reached the client's one idle connection. */
static void idle_end_await(struct cellar_client *client)
{
    int64_t until_us = cellar_clock_monotonic_us() + SLACK_US;
    cellar_mutex_lock(&client->pool.lock);
    assert_int_equal(client->pool.idle_count, 1);
    struct cellar_sync *sync = client->pool.idle[0].sync;
    cellar_mutex_unlock(&client->pool.lock);
    while (cellar_sync_is_reusable(sync)) {
        struct timespec pause = {.tv_nsec = 1000000};
        assert_true(cellar_clock_monotonic_us() < until_us);
        (void)nanosleep(&pause, NULL);
    }
}

static void a_pooled_connection_that_was_cut_fails_no_write(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    for (int count = 0; count < 10; count++) {
        stage_write(&stage);
        proxy_cut_all(stage.proxy);
        idle_end_await(stage.client);
    }
    stage_write(&stage);
    assert_int_equal(table_cell_count(stage.loopback.client), stage.write_count);
    stage_close(&stage);
}

static void a_pooled_connection_that_fell_silent_fails_no_write(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage.client->pool.probe_after_us = 0;
    stage_write(&stage);
    proxy_stall_all(stage.proxy);
    stage_write(&stage); /* PING finds out, before anything is sent that must not be lost */
    assert_int_equal(table_cell_count(stage.loopback.client), stage.write_count);
    stage_close(&stage);
}

static void a_server_that_goes_away_is_left_and_found_again(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    for (int count = 0; count < 3; count++) {
        char target[IO_ADDRESS_TEXT_BYTES_MAX];
        stage_write(&stage);
        loopback_restart(&stage.loopback, false);
        proxy_target(stage.proxy,
                     io_address_show(cellar_server_address(stage.loopback.server), target));
        idle_end_await(stage.client);
    }
    stage_write(&stage);
    assert_int_equal(table_cell_count(stage.loopback.client), stage.write_count);
    stage_close(&stage);
}

/* One of several threads that write all the time; each write may be repeated. */
struct steady {
    pthread_t thread;
    unsigned index;
    struct stage *stage;
    _Atomic bool *is_over;
    unsigned write_count;
    char failure[1024];
};

static void *steady_main(void *argument)
{
    struct steady *steady = argument;
    char row[24];
    (void)snprintf(row, sizeof row, "%u", steady->index);
    while (!*steady->is_over && steady->failure[0] == '\0') {
        struct cellar_call call = {.timeout_us = SLACK_US};
        struct cellar_mutations *list = cellar_mutations_new();
        int64_t time_us = 1000 * (int64_t)steady->write_count;
        cellar_mutations_set_at(list, "f", cellar_text("q"), time_us, cellar_text("v"));
        enum cellar_code code =
            cellar_mutate_row(steady->stage->client, "t", cellar_text(row), list, &call);
        if (code != CELLAR_E_OK) {
            (void)snprintf(steady->failure, sizeof steady->failure, "%s: %s",
                           cellar_code_text(code), call.failure.text);
        }
        steady->write_count++;
        cellar_mutations_free(list);
    }
    return NULL;
}

static void writes_that_may_be_repeated_outlive_restarts_of_the_server(void **state)
{
    (void)state;
    struct stage stage;
    struct steady threads[THREADS];
    _Atomic bool is_over = false;
    size_t write_count = 0;
    stage_open(&stage);
    struct cellar_options options = {.endpoint = proxy_endpoint(stage.proxy),
                                     .connect_attempts_max = 1000000,
                                     .attempts_max = 1000000};
    cellar_client_close(stage.client);
    assert_int_equal(cellar_client_open(&options, NULL, &stage.client), CELLAR_E_OK);
    for (unsigned index = 0; index < THREADS; index++) {
        threads[index] = (struct steady){.index = index, .stage = &stage, .is_over = &is_over};
        assert_int_equal(pthread_create(&threads[index].thread, NULL, steady_main, &threads[index]),
                         0);
    }
    for (int count = 0; count < 3; count++) {
        char target[IO_ADDRESS_TEXT_BYTES_MAX];
        loopback_restart(&stage.loopback, false);
        proxy_target(stage.proxy,
                     io_address_show(cellar_server_address(stage.loopback.server), target));
        /* A call that is answered shows that the new server was found. */
        struct cellar_call call = {.timeout_us = SLACK_US};
        bool is_ready;
        assert_int_equal(cellar_ping(stage.client, &call, &is_ready), CELLAR_E_OK);
    }
    is_over = true;
    for (unsigned index = 0; index < THREADS; index++) {
        assert_int_equal(pthread_join(threads[index].thread, NULL), 0);
        if (threads[index].failure[0] != '\0') {
            fail_msg("thread %u: %s", index, threads[index].failure);
        }
        write_count += threads[index].write_count;
    }
    assert_int_equal(table_cell_count(stage.loopback.client), write_count);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_library_says_of_a_write_is_true_on_a_bad_network),
        cmocka_unit_test(a_pooled_connection_that_was_cut_fails_no_write),
        cmocka_unit_test(a_pooled_connection_that_fell_silent_fails_no_write),
        cmocka_unit_test(a_server_that_goes_away_is_left_and_found_again),
        cmocka_unit_test(writes_that_may_be_repeated_outlive_restarts_of_the_server),
    };
    return cmocka_run_group_tests_name("bad_network", tests, NULL, NULL);
}
