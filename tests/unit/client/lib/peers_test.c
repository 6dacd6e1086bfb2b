/*
 * peers: submitted calls and the rows of a writer go where MOVED says, share what blocking calls
 * know, come back when a server is lost, end when they are sent in circles, each with one outcome;
 * servers without calls are let go of, and as many as there may be are served.
 */
#include "tests/unit/client/lib/fake_places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/peers.h"

#define HOPS_MAX 5u
#define S INT64_C(1000000)

/* Two servers, of which home may send rows on, and a client. */
struct rig {
    struct server home;
    struct server others[2];
    struct cellar_client *client;
    unsigned done_count;
};

static void rig_open(struct rig *rig)
{
    struct cellar_options options = {.submit_connections_max = 1};
    server_start(&rig->home);
    server_start(&rig->others[0]);
    server_start(&rig->others[1]);
    rig->client = fake_peer_client(&rig->home.peer, &options);
    rig->done_count = 0;
}

static void rig_close(struct rig *rig)
{
    cellar_client_close(rig->client);
    fake_peer_stop(&rig->home.peer);
    fake_peer_stop(&rig->others[0].peer);
    fake_peer_stop(&rig->others[1].peer);
}

static void done(void *context, struct cellar_future *future)
{
    CELLAR_ASSERT(cellar_future_done(future));
    ++*(unsigned *)context; /* read when the future is over */
}

/* Waits for a call's outcome. */
static enum cellar_code outcome(struct cellar_future *future, struct cellar_failure *failure)
{
    assert_true(cellar_future_wait(future, 60 * S));
    enum cellar_code code = cellar_future_result(future, failure);
    cellar_future_free(future);
    return code;
}

static enum cellar_code row_submit(struct rig *rig, const char *row, struct cellar_failure *failure)
{
    struct cellar_future *future = NULL;
    struct cellar_submit submit = {.done = done, .context = &rig->done_count};
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    assert_int_equal(cellar_mutate_row_submit(rig->client, "t", TEXT(row), list, &submit, &future),
                     CELLAR_E_OK);
    cellar_mutations_free(list);
    return outcome(future, failure);
}

static void a_submitted_write_follows_moved_and_its_range_is_known_to_all(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    send_on(&rig.home, &rig.others[0], "m", "p");
    static const char *const rows[] = {"n", "a", "m", "o", "p"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(rows); index++) {
        assert_int_equal(row_submit(&rig, rows[index], NULL), CELLAR_E_OK);
    }
    assert_int_equal(rig.done_count, 5); /* one callback each */
    assert_int_equal(rig.home.moved_count, 1);
    const struct cellar_slice row = cellar_slice_text("n");
    struct cellar_place *place =
        cellar_places_pick(&rig.client->places, cellar_slice_text("default/default/t"), &row);
    assert_non_null(place);
    cellar_places_release(&rig.client->places, place);
    rig_close(&rig);
    assert_string_equal(rig.home.rows, "ap");
    assert_string_equal(rig.others[0].rows, "nmo");
}

static void what_a_blocking_call_learned_is_used_by_submitted_ones(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct cellar_error error;
    struct cellar_buffer body = {0};
    struct cellar_msg_error message = {.code = CELLAR_UNAVAILABLE,
                                       .endpoint = cellar_slice_text(rig.others[0].peer.endpoint)};
    assert_int_equal(cellar_message_encode(&cellar_msg_error_type, &message, &body), CELLAR_OK);
    assert_int_equal(cellar_call_refused(rig.client, cellar_slice_text("default/default/t"),
                                         cellar_slice_of(&body), &error),
                     CELLAR_ATTEMPT_MOVED);
    cellar_buffer_fini(&body);
    assert_int_equal(row_submit(&rig, "n", NULL), CELLAR_E_OK);
    rig_close(&rig);
    assert_int_equal(rig.home.request_count, 0);
    assert_string_equal(rig.others[0].rows, "n");
}

static void what_is_sent_in_circles_ends_with_an_error_that_says_so(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_failure failure;
    struct cellar_future *future = NULL;
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    rig_open(&rig);
    send_on(&rig.home, &rig.others[0], "", "");
    send_on(&rig.others[0], &rig.home, "a", "z");
    assert_int_equal(row_submit(&rig, "n", &failure), CELLAR_E_UNAVAILABLE);
    assert_non_null(strstr(failure.text, "sent on from server to server 6 times: not here"));
    assert_int_equal(rig.done_count, 1);
    assert_int_equal(rig.home.request_count + rig.others[0].request_count, HOPS_MAX + 1);
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    cellar_batch_add(batch, TEXT("n"), list);
    assert_int_equal(cellar_mutate_rows_submit(rig.client, "t", batch, NULL, &future), CELLAR_E_OK);
    assert_int_equal(outcome(future, &failure), CELLAR_E_UNAVAILABLE);
    assert_non_null(strstr(failure.text, "sent on from server to server 6 times"));
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_UNAVAILABLE);
    assert_int_equal(rig.home.request_count + rig.others[0].request_count, 2 * (HOPS_MAX + 1));
    rig_close(&rig);
    cellar_mutations_free(list);
    cellar_batch_free(batch);
}

static void a_server_that_cannot_be_reached_is_forgotten(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    send_on(&rig.home, &rig.others[0], "m", "p");
    /* Nobody listens where home sends the row; a moment later home takes it. */
    fake_peer_stop(&rig.others[0].peer);
    rig.home.moved_max = 1;
    assert_int_equal(row_submit(&rig, "n", NULL), CELLAR_E_OK);
    assert_int_equal(rig.done_count, 1);
    rig.home.target[0] = '\0';
    fake_peer_start(&rig.others[0].peer);
    rig_close(&rig);
    assert_string_equal(rig.home.rows, "n");
}

static void the_entries_of_a_batch_go_each_to_its_server(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_submit submit = {.done = done, .context = &rig.done_count};
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    rig_open(&rig);
    send_on(&rig.home, &rig.others[0], "m", "");
    send_on(&rig.others[0], &rig.others[1], "t", "");
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    for (const char *row = "zamtbnus"; *row != '\0'; row++) {
        cellar_batch_add(batch, cellar_view_of(row, 1), list);
    }
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(cellar_mutate_rows_submit(rig.client, "t", batch, &submit, &future),
                         CELLAR_E_OK);
        assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
        assert_int_equal(rig.done_count, round + 1);
        assert_int_equal(cellar_batch_failed_count(batch), 1);
        assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_NOT_FOUND); /* row z */
        assert_int_equal(rig.home.moved_count + rig.others[0].moved_count, 2);     /* then known */
    }
    rig_close(&rig);
    assert_string_equal(rig.home.rows, "abab");
    assert_string_equal(rig.others[0].rows, "mnsmns");
    assert_string_equal(rig.others[1].rows, "ztuztu");
    cellar_mutations_free(list);
    cellar_batch_free(batch);
}

static void an_entry_that_was_lost_before_it_was_sent_on_stays_in_doubt(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    rig_open(&rig);
    send_on(&rig.home, &rig.others[0], "m", "");
    rig.home.lose_count = 1;
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    cellar_batch_add(batch, TEXT("z"),
                     list); /* NOT_FOUND, which a lost attempt need not have met */
    cellar_batch_add(batch, TEXT("n"), list);
    assert_int_equal(cellar_mutate_rows_submit(rig.client, "t", batch, NULL, &future), CELLAR_E_OK);
    assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(cellar_batch_result(batch, 1, NULL), CELLAR_E_OK);
    rig_close(&rig);
    assert_int_equal(rig.home.request_count, 2);
    assert_string_equal(rig.others[0].rows, "zn");
    cellar_mutations_free(list);
    cellar_batch_free(batch);
}

/* ---- reads ----------------------------------------------------------------------------------- */

struct letters {
    char text[32];
    size_t count;
};

static bool letter_take(void *context, const struct cellar_row *row)
{
    struct letters *letters = context;
    CELLAR_ASSERT(letters->count + 1 < sizeof letters->text);
    letters->text[letters->count++] = *(const char *)row->key.data;
    letters->text[letters->count] = '\0';
    return true;
}

/* Home has rows a to l and z, the first other m to s; both send on what the other has. */
static void halves_make(struct rig *rig, bool is_reversed)
{
    rig->home.stock = "abclmnsz";
    rig->others[0].stock = "abclmnsz";
    send_on(&rig->home, &rig->others[0], "m", "t");
    send_on(&rig->others[0], &rig->home, is_reversed ? "" : "t", is_reversed ? "m" : "");
}

static void a_submitted_scan_goes_on_behind_its_last_row(void **state)
{
    (void)state;
    static const struct {
        bool is_reversed;
        int64_t limit;
        int64_t timeout_us;
        const char *text;
    } cases[] = {{false, 0, 0, "abclmnsz"},
                 {true, 0, 60 * S, "zsnmlcba"},
                 {false, 6, 60 * S, "abclmn"},
                 {true, 4, 0, "zsnm"}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct rig rig;
        struct letters letters = {.count = 0};
        struct cellar_row_taker taker = {.take = letter_take, .context = &letters};
        struct cellar_future *future = NULL;
        struct cellar_read *read = cellar_read_new();
        rig_open(&rig);
        halves_make(&rig, cases[index].is_reversed);
        if (cases[index].is_reversed) {
            cellar_read_reverse(read);
        }
        cellar_read_limit(read, cases[index].limit);
        struct cellar_submit submit = {
            .done = done, .context = &rig.done_count, .timeout_us = cases[index].timeout_us};
        assert_int_equal(cellar_scan_submit(rig.client, "t", read, &taker, &submit, &future),
                         CELLAR_E_OK);
        cellar_read_free(read);
        assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
        assert_int_equal(rig.done_count, 1);
        assert_string_equal(letters.text, cases[index].text);
        rig_close(&rig);
    }
}

static void a_submitted_get_keeps_its_rows_and_may_be_sent_on_often(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_read *read = cellar_read_new();
    rig_open(&rig);
    /* Each serves one more row, then sends what is left to the other: 12 rows, 12 hops. */
    rig.home.stock = "abcdefghijkl";
    rig.others[0].stock = "abcdefghijkl";
    rig.home.rows_max = 1;
    rig.others[0].rows_max = 1;
    send_on(&rig.home, &rig.others[0], "", "");
    send_on(&rig.others[0], &rig.home, "", "");
    assert_int_equal(cellar_get_submit(rig.client, "t", read, NULL, &future), CELLAR_E_OK);
    cellar_read_free(read);
    assert_true(cellar_future_wait(future, 60 * S));
    assert_int_equal(cellar_future_result(future, NULL), CELLAR_E_OK);
    struct cellar_rows *rows = cellar_future_take_rows(future);
    assert_int_equal(cellar_rows_count(rows), 12);
    assert_memory_equal(cellar_rows_at(rows, 11)->key.data, "l", 1);
    cellar_rows_free(rows);
    cellar_future_free(future);
    rig_close(&rig);
    assert_string_equal(rig.home.rows, "acegik");
    assert_string_equal(rig.others[0].rows, "bdfhjl");
}

static void a_read_is_found_by_its_first_row(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    halves_make(&rig, false);
    for (unsigned round = 0; round < 2; round++) {
        struct cellar_future *future = NULL;
        assert_int_equal(cellar_get_row_submit(rig.client, "t", TEXT("n"), NULL, &future),
                         CELLAR_E_OK);
        assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
    }
    rig_close(&rig);
    assert_int_equal(rig.home.request_count, 1);
    assert_string_equal(rig.others[0].rows, "nn");
}

/* ---- the writer ------------------------------------------------------------------------------ */

struct results {
    unsigned ok_count;
    unsigned failed_count;
    char text[CELLAR_FAILURE_TEXT_BYTES];
};

static void result_take(void *context, const struct cellar_written *written)
{
    struct results *results = context;
    results->ok_count += written->failure->code == CELLAR_E_OK ? 1u : 0u;
    results->failed_count += written->failure->code == CELLAR_E_OK ? 0u : 1u;
    if (written->failure->code != CELLAR_E_OK) {
        (void)snprintf(results->text, sizeof results->text, "%s", written->failure->text);
    }
}

/* Adds a row for each letter and closes the writer. */
static void letters_write(struct rig *rig, const char *letters, struct results *results)
{
    struct cellar_writer *writer = NULL;
    struct cellar_writer_options options = {
        .done = result_take, .context = results, .timeout_us = 60 * S};
    struct cellar_mutations *list = cellar_mutations_new();
    memset(results, 0, sizeof *results);
    assert_int_equal(cellar_writer_open(rig->client, &options, NULL, &writer), CELLAR_E_OK);
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    for (; *letters != '\0'; letters++) {
        assert_int_equal(
            cellar_writer_add(writer, "t", cellar_view_of(letters, 1), list, NULL, NULL),
            CELLAR_E_OK);
    }
    assert_int_equal(cellar_writer_flush(writer, NULL), CELLAR_E_OK);
    (void)cellar_writer_close(writer, NULL);
    cellar_mutations_free(list);
}

static void the_rows_of_a_writer_go_each_to_its_server(void **state)
{
    (void)state;
    struct rig rig;
    struct results results;
    rig_open(&rig);
    send_on(&rig.home, &rig.others[0], "m", "");
    send_on(&rig.others[0], &rig.others[1], "t", "");
    letters_write(&rig, "yamtbnus", &results);
    assert_int_equal(results.ok_count, 8);
    assert_int_equal(results.failed_count, 0);
    assert_int_equal(rig.home.moved_count + rig.others[0].moved_count, 2);
    letters_write(&rig, "yamtbnus", &results); /* every place is known now */
    assert_int_equal(results.ok_count, 8);
    assert_int_equal(rig.home.moved_count + rig.others[0].moved_count, 2);
    rig_close(&rig);
    assert_string_equal(rig.home.rows, "abab");
    assert_string_equal(rig.others[0].rows, "mnsmns");
    assert_string_equal(rig.others[1].rows, "ytuytu");
}

static void rows_that_are_sent_in_circles_end_so(void **state)
{
    (void)state;
    struct rig rig;
    struct results results;
    rig_open(&rig);
    send_on(&rig.home, &rig.others[0], "", "");
    send_on(&rig.others[0], &rig.home, "", "");
    letters_write(&rig, "abc", &results);
    assert_int_equal(results.ok_count, 0);
    assert_int_equal(results.failed_count, 3);
    assert_non_null(strstr(results.text, "sent on from server to server 6 times: not here"));
    rig_close(&rig);
    assert_int_equal(rig.home.request_count + rig.others[0].request_count, HOPS_MAX + 1);
}

/* ---- servers that send on by chance ---------------------------------------------------------- */

#define CALL_COUNT 240u
#define STOCK "abcdefghijklmnopqrstuvwxyz"

/* One call of the many, and what came of it. */
struct attempt {
    struct cellar_future *future;
    struct cellar_batch *batch;
    struct letters letters;
    unsigned done_count;
};

static void attempt_submit(struct rig *rig, struct attempt *attempt, unsigned number,
                           const struct cellar_mutations *list)
{
    char row[2] = {(char)('a' + number % 26), '\0'};
    struct cellar_submit submit = {.done = done, .context = &attempt->done_count};
    struct cellar_row_taker taker = {.take = letter_take, .context = &attempt->letters};
    struct cellar_read *read = cellar_read_new();
    enum cellar_code code = CELLAR_E_OK;
    switch (number % 4) {
    case 0:
        code =
            cellar_mutate_row_submit(rig->client, "t", TEXT(row), list, &submit, &attempt->future);
        break;
    case 1:
        attempt->batch = cellar_batch_new();
        for (const char *letter = "afkpuy"; *letter != '\0'; letter++) {
            cellar_batch_add(attempt->batch, cellar_view_of(letter, 1), list);
        }
        code =
            cellar_mutate_rows_submit(rig->client, "t", attempt->batch, &submit, &attempt->future);
        break;
    case 2:
        code = cellar_get_submit(rig->client, "t", read, &submit, &attempt->future);
        break;
    default:
        code = cellar_scan_submit(rig->client, "t", read, &taker, &submit, &attempt->future);
    }
    assert_int_equal(code, CELLAR_E_OK);
    cellar_read_free(read);
}

/* Looks at the outcome: all came, or the call was sent on too often, or broke behind a row. */
static bool attempt_end(struct attempt *attempt)
{
    assert_true(cellar_future_wait(attempt->future, 60 * S));
    enum cellar_code code = cellar_future_result(attempt->future, NULL);
    struct cellar_rows *rows = cellar_future_take_rows(attempt->future);
    bool is_whole = code == CELLAR_E_OK;
    assert_true(is_whole || code == CELLAR_E_UNAVAILABLE || code == CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(attempt->done_count, 1);
    for (size_t i = 0; rows != NULL && i < cellar_rows_count(rows); i++) {
        (void)letter_take(&attempt->letters, cellar_rows_at(rows, i));
    }
    assert_memory_equal(attempt->letters.text, STOCK, attempt->letters.count);
    if (is_whole && attempt->batch != NULL) {
        assert_int_equal(cellar_batch_failed_count(attempt->batch), 0);
    } else if (is_whole && (rows != NULL || attempt->letters.count > 0)) {
        assert_string_equal(attempt->letters.text, STOCK);
    }
    cellar_rows_free(rows);
    cellar_future_free(attempt->future);
    cellar_batch_free(attempt->batch);
    return is_whole;
}

static void every_call_has_one_outcome_whatever_servers_do(void **state)
{
    (void)state;
    struct rig rig;
    struct results results;
    struct cellar_mutations *list = cellar_mutations_new();
    struct attempt *attempts = calloc(CALL_COUNT, sizeof *attempts);
    uint64_t seed = test_seed("peers");
    unsigned whole_count = 0;
    assert_non_null(attempts);
    rig_open(&rig);
    struct server *servers[3] = {&rig.home, &rig.others[0], &rig.others[1]};
    for (unsigned i = 0; i < 3; i++) {
        servers[i]->random = (struct test_random){seed + i};
        servers[i]->stock = STOCK;
        servers[i]->friends[1] = servers[(i + 2) % 3];
        servers[i]->friends[0] = servers[(i + 1) % 3];
    }
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    for (unsigned i = 0; i < CALL_COUNT; i++) {
        attempt_submit(&rig, &attempts[i], i, list);
    }
    letters_write(&rig, STOCK, &results);
    assert_int_equal(results.ok_count + results.failed_count, 26);
    for (unsigned i = 0; i < CALL_COUNT; i++) {
        whole_count += attempt_end(&attempts[i]) ? 1u : 0u;
    }
    assert_true(whole_count > CALL_COUNT / 4); /* the rest had no luck */
    assert_true(rig.home.moved_count + rig.others[0].moved_count > 0);
    rig_close(&rig);
    cellar_mutations_free(list);
    free(attempts);
}

/* ---- peers ----------------------------------------------------------------------------------- */

static bool loop_watch(void *context, int fd, int events)
{
    (void)context;
    return fd >= 0 && events >= 0;
}

static void loop_timer(void *context, int64_t delay_us)
{
    (void)context;
    (void)delay_us;
}

static void loop_wake(void *context)
{
    (void)context;
}

static enum cellar_status call_take(struct cellar_async_call *call,
                                    const struct cellar_event *event, struct cellar_error *error)
{
    (void)call;
    (void)event;
    cellar_error_clear(error);
    return CELLAR_OK;
}

static void call_finish(struct cellar_async_call *call)
{
    (void)call;
}

static const struct cellar_async_kind test_kind = {.take = call_take, .finish = call_finish};

/* Learns that a table is at a port of this machine, and adds a call to it. */
static enum cellar_attempt call_add(struct cellar_peers *peers, struct cellar_async_call *call,
                                    const char *table, unsigned port)
{
    char target[32];
    struct cellar_error error;
    struct cellar_buffer body = {0};
    (void)snprintf(target, sizeof target, "127.0.0.1:%u", port);
    struct cellar_msg_error message = {.code = CELLAR_UNAVAILABLE,
                                       .endpoint = cellar_slice_text(target)};
    memset(call, 0, sizeof *call);
    call->kind = &test_kind;
    call->table = cellar_slice_text(table);
    call->row = cellar_slice_text("n");
    call->has_row = true;
    call->retry.deadline_us = peers->now_us + 1000 * S;
    if (cellar_message_encode(&cellar_msg_error_type, &message, &body) != CELLAR_OK) {
        return CELLAR_ATTEMPT_CONNECT; /* the test's own lack of memory */
    }
    enum cellar_attempt attempt =
        peers->router.refused(peers->router.context, call, cellar_slice_of(&body), &error);
    call->body = body;
    if (attempt == CELLAR_ATTEMPT_MOVED) {
        cellar_core_add(&peers->home.core, call, peers->now_us);
    } else {
        assert_true(error.code == CELLAR_RESOURCE_EXHAUSTED || error.code == CELLAR_NO_MEMORY);
        cellar_buffer_fini(&call->body);
    }
    return attempt;
}

static void call_end(struct cellar_peers *peers, struct cellar_async_call *call)
{
    cellar_core_cancel(call);
    struct cellar_async_call *over = cellar_peers_finished(peers);
    assert_ptr_equal(over, call);
    cellar_buffer_fini(&call->body);
}

static const struct cellar_loop loop = {
    .watch = loop_watch, .timer = loop_timer, .wake = loop_wake};
static const struct cellar_core_terms terms = {
    .client_name = "test", .lines_max = 1, .dial_us_max = 10 * S, .seed = 1};

static void servers_are_let_go_of_when_no_call_needs_them(void **state)
{
    (void)state;
    static struct cellar_async_call calls[CELLAR_PLACES_MAX + 2];
    struct cellar_client *client = NULL;
    struct cellar_peers peers;
    char tables[CELLAR_PLACES_MAX + 2][16];
    assert_int_equal(cellar_client_open(NULL, NULL, &client), CELLAR_E_OK);
    assert_int_equal(cellar_peers_init(&peers, client, &terms, &loop), CELLAR_OK);
    peers.now_us = 1000 * S;
    for (unsigned index = 0; index < CELLAR_PLACES_MAX; index++) {
        (void)snprintf(tables[index], sizeof tables[index], "t%u", index);
        assert_int_equal(call_add(&peers, &calls[index], tables[index], 100 + index),
                         CELLAR_ATTEMPT_MOVED);
        assert_ptr_not_equal(calls[index].core, &peers.home.core);
    }
    assert_int_equal(peers.other_count, CELLAR_PLACES_MAX);
    /* One more than there may be: not while all have calls, but when one has none. */
    struct cellar_async_call *more = &calls[CELLAR_PLACES_MAX];
    assert_int_equal(call_add(&peers, more, "more", 99), CELLAR_ATTEMPT_ANSWERED);
    call_end(&peers, &calls[7]);
    assert_int_equal(call_add(&peers, more, "more", 99), CELLAR_ATTEMPT_MOVED);
    assert_int_equal(peers.other_count, CELLAR_PLACES_MAX);
    assert_ptr_not_equal(more->core, &peers.home.core);
    for (unsigned index = 0; index <= CELLAR_PLACES_MAX; index++) {
        if (index != 7) {
            call_end(&peers, &calls[index]);
        }
    }
    assert_true(cellar_peers_next_us(&peers) <= peers.now_us + CELLAR_PEER_IDLE_US);
    cellar_peers_turn(&peers, peers.now_us + CELLAR_PEER_IDLE_US - 1);
    assert_int_equal(peers.other_count, CELLAR_PLACES_MAX);
    cellar_peers_turn(&peers, peers.now_us + 1);
    assert_int_equal(peers.other_count, 0);
    assert_int_equal(cellar_peers_next_us(&peers), INT64_MAX);
    cellar_peers_stop(&peers, peers.now_us);
    cellar_peers_fini(&peers);
    cellar_client_close(client);
}

static enum cellar_status peers_run(void *context)
{
    static struct cellar_async_call call;
    struct cellar_client *client = NULL;
    struct cellar_peers peers;
    enum cellar_status status = CELLAR_NO_MEMORY;
    (void)context;
    if (cellar_client_open(NULL, NULL, &client) != CELLAR_E_OK) {
        return CELLAR_NO_MEMORY;
    }
    if (cellar_peers_init(&peers, client, &terms, &loop) == CELLAR_OK) {
        peers.now_us = 1000 * S;
        if (call_add(&peers, &call, "t", 100) == CELLAR_ATTEMPT_MOVED) {
            assert_int_equal(peers.other_count, call.core == &peers.home.core ? 0 : 1);
            status = call.core == &peers.home.core || call.place == CELLAR_ASYNC_OVER
                         ? CELLAR_NO_MEMORY
                         : CELLAR_OK;
            call_end(&peers, &call);
        }
        cellar_peers_stop(&peers, peers.now_us);
        cellar_peers_fini(&peers);
    }
    cellar_client_close(client);
    return status;
}

static void without_memory_for_a_server_home_takes_the_call(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(peers_run, NULL) >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submitted_write_follows_moved_and_its_range_is_known_to_all),
        cmocka_unit_test(what_a_blocking_call_learned_is_used_by_submitted_ones),
        cmocka_unit_test(what_is_sent_in_circles_ends_with_an_error_that_says_so),
        cmocka_unit_test(a_server_that_cannot_be_reached_is_forgotten),
        cmocka_unit_test(the_entries_of_a_batch_go_each_to_its_server),
        cmocka_unit_test(an_entry_that_was_lost_before_it_was_sent_on_stays_in_doubt),
        cmocka_unit_test(a_submitted_scan_goes_on_behind_its_last_row),
        cmocka_unit_test(a_submitted_get_keeps_its_rows_and_may_be_sent_on_often),
        cmocka_unit_test(a_read_is_found_by_its_first_row),
        cmocka_unit_test(the_rows_of_a_writer_go_each_to_its_server),
        cmocka_unit_test(rows_that_are_sent_in_circles_end_so),
        cmocka_unit_test(every_call_has_one_outcome_whatever_servers_do),
        cmocka_unit_test(servers_are_let_go_of_when_no_call_needs_them),
        cmocka_unit_test(without_memory_for_a_server_home_takes_the_call),
    };
    return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_places.c"
