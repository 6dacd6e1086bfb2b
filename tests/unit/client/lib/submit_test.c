/*
 * submit, future, async and its thread: calls that do not wait, over a real socket to a peer of a
 * few lines that answers late, out of order, wrongly, or breaks the connection. Nothing here waits
 * for a time: tests wait for outcomes.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/client.h"
#include "common/mem.h"
#include "common/sync.h"

#define TEXT(text) cellar_text(text)

/* ---- a peer that follows a script ------------------------------------------------------------ */

/* What the peer does with each request, in order; the last step is repeated. */
enum step {
    REPLY,
    UNAVAILABLE,
    NOT_FOUND,
    PRECONDITION,
    EXHAUSTED,
    CLOSE,
    HOLD,
    GARBAGE,
    RESULTS,
    PART,
    LAST_PART,
    REST
};

struct script {
    const enum step *steps;
    unsigned step_count;
    unsigned request_count; /* seen, over all connections */
};

/* MUTATE_ROWS's reply: the first entry is UNAVAILABLE the first time, all else well. */
static void results_reply(int fd, const struct fake_request *request, bool is_first)
{
    fake_send(fd, request, CELLAR_FRAME_REPLY,
              is_first ? cellar_slice_make("\x81\x01\x92\x93\x06\xa4"
                                           "busy\x01\x00",
                                           12)
                       : cellar_slice_make("\x81\x01\x91\x00", 4));
}

/* Checks that a read asks for the rows behind row a. */
static void rest_check(const struct fake_request *request)
{
    struct cellar_msg_read_rows_request message;
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_read_rows_request_type, cellar_slice_of(&request->body),
                              &message, CELLAR_UNKNOWN_REFUSE, NULL);
    CELLAR_ASSERT(status == CELLAR_OK && message.row_keys.bytes == 0);
    /* [["a", false, nil, false]] */
    CELLAR_ASSERT(cellar_slice_equal(message.ranges, cellar_slice_make("\x91\x94\xc4\x01"
                                                                       "a\xc2\xc0\xc2",
                                                                       8)));
}

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct script *script = peer->context;
    struct fake_request request = {0};
    bool is_open = true;
    (void)index;
    while (is_open && fake_receive(fd, &request)) {
        if (request.frame.kind != CELLAR_FRAME_REQUEST) {
            continue; /* CANCEL, CREDIT */
        }
        unsigned at = CELLAR_MIN(script->request_count, script->step_count - 1);
        script->request_count++;
        switch (script->steps[at]) {
        case REPLY:
            fake_reply_empty(fd, &request);
            break;
        case UNAVAILABLE:
            fake_error(fd, &request, CELLAR_UNAVAILABLE, 1);
            break;
        case NOT_FOUND:
            fake_error(fd, &request, CELLAR_NOT_FOUND, 0);
            break;
        case PRECONDITION:
            fake_error(fd, &request, CELLAR_FAILED_PRECONDITION, 0);
            break;
        case EXHAUSTED:
            fake_error(fd, &request, CELLAR_RESOURCE_EXHAUSTED, 0);
            break;
        case CLOSE:
            is_open = false;
            break;
        case HOLD:
            break;
        case GARBAGE:
            request.frame.request_id ^= 0x4000;
            fake_reply_empty(fd, &request);
            break;
        case RESULTS:
            results_reply(fd, &request, at == 0);
            break;
        case PART:
            fake_rows(fd, &request, &(struct fake_part){.number = 0, .key = "a"});
            is_open = false;
            break;
        case LAST_PART:
            fake_rows(fd, &request, &(struct fake_part){.number = 0, .key = "a"});
            fake_rows(fd, &request, &(struct fake_part){.number = 1, .key = "b", .is_last = true});
            break;
        case REST: /* of a read that had row a */
            rest_check(&request);
            fake_rows(fd, &request, &(struct fake_part){.number = 0, .key = "b", .is_last = true});
            break;
        }
    }
    fake_request_fini(&request);
}

struct rig {
    struct script script;
    struct fake_peer peer;
    struct cellar_client *client;
    struct cellar_mutations *set;    /* not safe to repeat */
    struct cellar_mutations *set_at; /* safe to repeat */
};

static void rig_open(struct rig *rig, const enum step *steps, unsigned step_count,
                     const struct cellar_options *options)
{
    struct cellar_options own = {.submit_connections_max = 1};
    if (options != NULL) {
        own = *options;
        own.submit_connections_max = 1;
    }
    memset(rig, 0, sizeof *rig);
    rig->script = (struct script){.steps = steps, .step_count = step_count};
    rig->peer = (struct fake_peer){.serve = serve, .context = &rig->script};
    fake_peer_start(&rig->peer);
    rig->client = fake_peer_client(&rig->peer, &own);
    rig->set = cellar_mutations_new();
    cellar_mutations_set(rig->set, "f", TEXT("q"), TEXT("v"));
    rig->set_at = cellar_mutations_new();
    cellar_mutations_set_at(rig->set_at, "f", TEXT("q"), 1000, TEXT("v"));
}

static void rig_close(struct rig *rig)
{
    cellar_client_close(rig->client);
    fake_peer_stop(&rig->peer);
    cellar_mutations_free(rig->set);
    cellar_mutations_free(rig->set_at);
}

#define OPEN(rig, options, ...)                                                                    \
    static const enum step steps[] = {__VA_ARGS__};                                                \
    rig_open(rig, steps, CELLAR_ARRAY_COUNT(steps), options)

static struct cellar_future *set_submit(struct rig *rig, const struct cellar_mutations *list)
{
    struct cellar_future *future = NULL;
    struct cellar_submit submit = {0};
    if (cellar_mutate_row_submit(rig->client, "t", TEXT("r"), list, &submit, &future) !=
        CELLAR_E_OK) {
        fail_msg("%s", submit.failure.text);
    }
    return future;
}

/* Waits for the outcome and frees the future. */
static enum cellar_code outcome(struct cellar_future *future, struct cellar_failure *failure)
{
    assert_true(cellar_future_wait(future, -1));
    assert_true(cellar_future_done(future));
    enum cellar_code code = cellar_future_result(future, failure);
    cellar_future_free(future);
    return code;
}

/* ---- futures --------------------------------------------------------------------------------- */

static void a_submitted_write_is_answered_through_its_future(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_failure failure;
    OPEN(&rig, NULL, REPLY, NOT_FOUND);
    assert_int_equal(outcome(set_submit(&rig, rig.set), &failure), CELLAR_E_OK);
    assert_string_equal(failure.text, "");
    assert_int_equal(outcome(set_submit(&rig, rig.set), &failure), CELLAR_E_NOT_FOUND);
    assert_string_equal(failure.text, "because");
    assert_non_null(strstr(failure.where, "MUTATE_ROW at 127.0.0.1:"));
    rig_close(&rig);
    assert_int_equal(rig.peer.connection_count, 1);
}

static void a_future_has_no_outcome_before_the_answer(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_failure failure;
    OPEN(&rig, NULL, HOLD);
    struct cellar_future *future = set_submit(&rig, rig.set);
    assert_false(cellar_future_wait(future, 0));
    assert_false(cellar_future_wait(future, 1000));
    assert_false(cellar_future_done(future));
    assert_int_equal(cellar_future_result(future, &failure), CELLAR_E_FAILED_PRECONDITION);
    assert_null(cellar_future_take_rows(future));
    assert_false(cellar_future_is_ready(future));
    cellar_client_close(rig.client);
    rig.client = NULL;
    /* It outlives its client. Whether the write had left decides between these. */
    enum cellar_code code = outcome(future, &failure);
    assert_true(code == CELLAR_E_OUTCOME_UNKNOWN || code == CELLAR_E_CANCELLED);
    rig_close(&rig);
}

static void a_write_goes_again_by_its_times_or_its_token(void **state)
{
    (void)state;
    struct rig rig;
    OPEN(&rig, NULL, UNAVAILABLE, REPLY, CLOSE, REPLY, CLOSE, REPLY);
    assert_int_equal(outcome(set_submit(&rig, rig.set), NULL), CELLAR_E_OK);
    assert_int_equal(outcome(set_submit(&rig, rig.set_at), NULL), CELLAR_E_OK);
    assert_int_equal(outcome(set_submit(&rig, rig.set), NULL), CELLAR_E_OK);
    rig_close(&rig);
    assert_int_equal(rig.script.request_count, 6);
}

static void a_write_goes_without_what_is_refused_of_its_token(void **state)
{
    (void)state;
    struct rig rig;
    OPEN(&rig, NULL, PRECONDITION, EXHAUSTED, CLOSE, PRECONDITION, REPLY);
    /* Without its start, then without its token, and then not safe to repeat. */
    assert_int_equal(outcome(set_submit(&rig, rig.set), NULL), CELLAR_E_OUTCOME_UNKNOWN);
    /* One that has no token is refused for another reason. */
    assert_int_equal(outcome(set_submit(&rig, rig.set_at), NULL), CELLAR_E_FAILED_PRECONDITION);
    rig_close(&rig);
    assert_int_equal(rig.script.request_count, 4);
}

/* More than the sockets' buffers hold: sending waits, and goes on when the peer has read. */
static void a_large_write_is_sent_as_the_peer_takes_it(void **state)
{
    (void)state;
    enum { BYTES = 40000000 };
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_submit submit = {.timeout_us = 300000000};
    uint8_t *value = calloc(1, BYTES);
    OPEN(&rig, NULL, REPLY);
    assert_non_null(value);
    cellar_mutations_set_at(rig.set_at, "f", TEXT("large"), 1000, cellar_view_of(value, BYTES));
    assert_int_equal(
        cellar_mutate_row_submit(rig.client, "t", TEXT("r"), rig.set_at, &submit, &future),
        CELLAR_E_OK);
    assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
    rig_close(&rig);
    free(value);
}

static void a_call_ends_in_time_when_the_server_is_silent(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *futures[3];
    struct cellar_submit submit = {.timeout_us = 50000};
    OPEN(&rig, NULL, HOLD);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(
            cellar_mutate_row_submit(rig.client, "t", TEXT("r"), rig.set_at, &submit, &futures[i]),
            CELLAR_E_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(outcome(futures[i], NULL), CELLAR_E_DEADLINE_EXCEEDED);
    }
    rig_close(&rig);
}

static void a_server_that_is_not_there_is_unavailable_and_health_tells(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_health health;
    struct cellar_client *client = NULL;
    struct cellar_future *future = NULL;
    OPEN(&rig, NULL, REPLY);
    struct cellar_options options = {.endpoint = rig.peer.endpoint};
    cellar_client_close(rig.client);
    rig.client = NULL;
    rig_close(&rig); /* nobody listens there now */
    assert_int_equal(cellar_client_open(&options, NULL, &client), CELLAR_E_OK);
    cellar_client_health(client, &health);
    assert_int_equal(health.failure_age_us, -1);
    assert_int_equal(cellar_ping_submit(client, NULL, &future), CELLAR_E_OK);
    assert_int_equal(outcome(future, NULL), CELLAR_E_UNAVAILABLE);
    do { /* figures follow the outcomes */
        cellar_client_health(client, &health);
    } while (health.failure_age_us < 0 || health.waiting_count > 0);
    assert_int_equal(health.connection_count, 0);
    assert_int_equal(health.in_flight_count, 0);
    assert_int_equal(health.last_failure.code, CELLAR_E_UNAVAILABLE);
    assert_non_null(strstr(health.last_failure.text, "Cannot connect to 127.0.0.1"));
    cellar_client_close(client);
}

static void a_host_name_is_looked_up_beside_the_loop(void **state)
{
    (void)state;
    struct rig rig;
    char endpoint[64];
    struct cellar_client *client = NULL;
    struct cellar_future *future = NULL;
    OPEN(&rig, NULL, REPLY);
    (void)snprintf(endpoint, sizeof endpoint, "localhost%s", strchr(rig.peer.endpoint, ':'));
    struct cellar_options options = {.endpoint = endpoint};
    assert_int_equal(cellar_client_open(&options, NULL, &client), CELLAR_E_OK);
    assert_int_equal(cellar_ping_submit(client, NULL, &future), CELLAR_E_OK);
    assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
    cellar_client_close(client);
    /* A name that is none, or that nobody can be asked for, fails; closing does not wait for it. */
    options.endpoint = "no-such-host.invalid:1";
    assert_int_equal(cellar_client_open(&options, NULL, &client), CELLAR_E_OK);
    assert_int_equal(cellar_ping_submit(client, NULL, &future), CELLAR_E_OK);
    cellar_client_close(client);
    assert_int_not_equal(outcome(future, NULL), CELLAR_E_OK);
    rig_close(&rig);
}

static void what_breaks_the_protocol_ends_every_call_of_the_connection(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_failure failure;
    OPEN(&rig, NULL, HOLD, GARBAGE, REPLY);
    struct cellar_future *write = set_submit(&rig, rig.set);
    struct cellar_future *read = NULL;
    assert_int_equal(cellar_get_row_submit(rig.client, "t", TEXT("r"), NULL, &read), CELLAR_E_OK);
    assert_int_equal(outcome(read, &failure), CELLAR_E_IO_ERROR);
    assert_non_null(strstr(failure.text, "broke the protocol"));
    assert_int_equal(outcome(write, NULL), CELLAR_E_OK); /* sent again over another one */
    rig_close(&rig);
    assert_int_equal(rig.peer.connection_count, 2);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

struct notice {
    struct cellar_mutex lock;
    struct cellar_cond changed;
    unsigned count;
    enum cellar_code last;
    pthread_t thread;
    struct rig *rig;
    unsigned chain_left; /* further calls to submit from inside */
};

static void notice_init(struct notice *notice, struct rig *rig)
{
    *notice = (struct notice){.rig = rig};
    cellar_mutex_init(&notice->lock);
    cellar_cond_init(&notice->changed);
}

static void notice_wait(struct notice *notice, unsigned count)
{
    cellar_mutex_lock(&notice->lock);
    while (notice->count < count) {
        cellar_cond_wait(&notice->changed, &notice->lock);
    }
    cellar_mutex_unlock(&notice->lock);
}

static void notice_done(void *context, struct cellar_future *future)
{
    struct notice *notice = context;
    cellar_mutex_lock(&notice->lock);
    if (notice->chain_left > 0) {
        struct cellar_submit submit = {.done = notice_done, .context = notice};
        notice->chain_left--;
        enum cellar_code code = cellar_ping_submit(notice->rig->client, &submit, NULL);
        CELLAR_ASSERT(code == CELLAR_E_OK);
    }
    notice->count++;
    notice->last = cellar_future_result(future, NULL);
    notice->thread = pthread_self();
    cellar_cond_broadcast(&notice->changed);
    cellar_mutex_unlock(&notice->lock);
}

static void a_callback_comes_once_on_another_thread_and_may_submit(void **state)
{
    (void)state;
    struct rig rig;
    struct notice notice;
    OPEN(&rig, NULL, REPLY);
    notice_init(&notice, &rig);
    notice.chain_left = 20;
    struct cellar_submit submit = {.done = notice_done, .context = &notice};
    /* The lock is held: a callback from inside the submitting call would stop here for ever. */
    cellar_mutex_lock(&notice.lock);
    assert_int_equal(cellar_ping_submit(rig.client, &submit, NULL), CELLAR_E_OK);
    cellar_mutex_unlock(&notice.lock);
    notice_wait(&notice, 21);
    assert_false(pthread_equal(notice.thread, pthread_self()));
    rig_close(&rig);
    assert_int_equal(notice.count, 21);
}

static void closing_gives_every_call_its_one_outcome(void **state)
{
    (void)state;
    struct rig rig;
    struct notice notice;
    OPEN(&rig, NULL, HOLD);
    notice_init(&notice, &rig);
    struct cellar_submit submit = {.done = notice_done, .context = &notice};
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(cellar_ping_submit(rig.client, &submit, NULL), CELLAR_E_OK);
    }
    cellar_client_close(rig.client);
    rig.client = NULL;
    assert_int_equal(notice.count, 100);
    assert_int_equal(notice.last, CELLAR_E_CANCELLED);
    rig_close(&rig);
}

/* ---- admission ------------------------------------------------------------------------------- */

static void too_many_calls_are_refused_or_wait_for_room(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_options options = {.submit_calls_max = 2};
    struct cellar_future *held[2];
    struct cellar_future *future = NULL;
    OPEN(&rig, &options, HOLD);
    held[0] = set_submit(&rig, rig.set);
    assert_int_equal(cellar_get_row_submit(rig.client, "t", TEXT("r"), NULL, &held[1]),
                     CELLAR_E_OK);
    struct cellar_submit refused = {0};
    assert_int_equal(cellar_ping_submit(rig.client, &refused, &future),
                     CELLAR_E_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(refused.failure.text, "submit_calls_max 2"));
    /* The read ends, and makes room. */
    cellar_future_cancel(held[1]);
    struct cellar_submit waits = {.waits_for_room = true};
    assert_int_equal(cellar_ping_submit(rig.client, &waits, &future), CELLAR_E_OK);
    assert_int_equal(outcome(held[1], NULL), CELLAR_E_CANCELLED);
    struct cellar_submit late = {.waits_for_room = true, .timeout_us = 1000};
    assert_int_equal(cellar_ping_submit(rig.client, &late, &held[1]), CELLAR_E_DEADLINE_EXCEEDED);
    cellar_client_close(rig.client);
    rig.client = NULL;
    cellar_future_free(future);
    cellar_future_free(held[0]);
    rig_close(&rig);
}

static void bytes_are_bounded_too_but_one_call_always_fits(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_options options = {.submit_bytes_max = 64};
    struct cellar_mutations *large = cellar_mutations_new();
    static const uint8_t value[1000];
    OPEN(&rig, &options, REPLY, HOLD);
    cellar_mutations_set(large, "f", TEXT("q"), cellar_view_of(value, sizeof value));
    assert_int_equal(outcome(set_submit(&rig, large), NULL), CELLAR_E_OK);
    struct cellar_future *held = set_submit(&rig, large);
    struct cellar_future *future = NULL;
    assert_int_equal(cellar_ping_submit(rig.client, NULL, &future), CELLAR_E_RESOURCE_EXHAUSTED);
    cellar_future_free(held);
    rig_close(&rig);
    rig_open(&rig, steps, 1, &options);
    rig.script.steps = &steps[1];
    assert_int_equal(cellar_ping_submit(rig.client, NULL, &held), CELLAR_E_OK);
    assert_int_equal(cellar_mutate_row_submit(rig.client, "t", TEXT("r"), large, NULL, &future),
                     CELLAR_E_RESOURCE_EXHAUSTED); /* there is room, but not so much */
    cellar_future_free(held);
    cellar_mutations_free(large);
    rig_close(&rig);
}

static void what_is_wrong_is_refused_at_once(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_submit submit = {.timeout_us = -1};
    char name[400];
    OPEN(&rig, NULL, REPLY);
    assert_int_equal(cellar_ping_submit(rig.client, NULL, NULL), CELLAR_E_INVALID_ARGUMENT);
    assert_int_equal(cellar_ping_submit(rig.client, &submit, &future), CELLAR_E_INVALID_ARGUMENT);
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(cellar_get_row_submit(rig.client, name, TEXT("r"), NULL, &future),
                     CELLAR_E_INVALID_ARGUMENT);
    assert_int_equal(cellar_mutate_row_submit(rig.client, "t", TEXT("r"), NULL, NULL, &future),
                     CELLAR_E_NO_MEMORY);
    struct cellar_batch *batch = cellar_batch_new();
    assert_int_equal(cellar_mutate_rows_submit(rig.client, "t", batch, NULL, &future),
                     CELLAR_E_INVALID_ARGUMENT); /* empty */
    cellar_batch_free(batch);
    rig_close(&rig);
    assert_int_equal(rig.script.request_count, 0);
}

/* ---- batches and reads ----------------------------------------------------------------------- */

static void a_batch_sends_again_what_the_server_could_not_take(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_batch *batch = cellar_batch_new();
    OPEN(&rig, NULL, RESULTS, RESULTS);
    cellar_batch_add(batch, TEXT("a"), rig.set);
    cellar_batch_add(batch, TEXT("b"), rig.set);
    assert_int_equal(cellar_mutate_rows_submit(rig.client, "t", batch, NULL, &future), CELLAR_E_OK);
    assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_failed_count(batch), 0);
    cellar_batch_free(batch);
    rig_close(&rig);
    assert_int_equal(rig.script.request_count, 2);
}

static void a_batch_that_is_lost_has_a_result_for_each_entry(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_batch *batch = cellar_batch_new();
    OPEN(&rig, NULL, CLOSE);
    rig.client->tokens_full_until_us = INT64_MAX; /* not safe to repeat */
    cellar_batch_add(batch, TEXT("a"), rig.set);
    cellar_batch_add(batch, TEXT("b"), rig.set);
    assert_int_equal(cellar_mutate_rows_submit(rig.client, "t", batch, NULL, &future), CELLAR_E_OK);
    assert_int_equal(outcome(future, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(cellar_batch_failed_count(batch), 2);
    assert_int_equal(cellar_batch_result(batch, 1, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    cellar_batch_free(batch);
    rig_close(&rig);
}

static void a_batch_goes_again_by_the_tokens_of_its_entries(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_batch *batch = cellar_batch_new();
    /* Refused for the start of its token, then lost, then answered. */
    OPEN(&rig, NULL, PRECONDITION, CLOSE, RESULTS);
    cellar_batch_add(batch, TEXT("a"), rig.set);
    assert_int_equal(cellar_mutate_rows_submit(rig.client, "t", batch, NULL, &future), CELLAR_E_OK);
    assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_failed_count(batch), 0);
    assert_true(rig.client->is_clock_behind);
    cellar_batch_free(batch);
    rig_close(&rig);
    assert_int_equal(rig.script.request_count, 3);
}

static void a_get_that_breaks_half_way_goes_on_behind_its_last_row(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    struct cellar_read *read = cellar_read_new();
    OPEN(&rig, NULL, PART, REST);
    assert_int_equal(cellar_get_submit(rig.client, "t", read, NULL, &future), CELLAR_E_OK);
    assert_true(cellar_future_wait(future, -1));
    assert_int_equal(cellar_future_result(future, NULL), CELLAR_E_OK);
    cellar_read_free(read);
    struct cellar_rows *rows = cellar_future_take_rows(future);
    assert_non_null(rows);
    assert_null(cellar_future_take_rows(future));
    assert_int_equal(cellar_rows_count(rows), 2);
    assert_memory_equal(cellar_rows_at(rows, 1)->key.data, "b", 1);
    cellar_rows_free(rows);
    cellar_future_free(future);
    rig_close(&rig);
    assert_int_equal(rig.script.request_count, 2);
}

struct taken {
    unsigned count;
    unsigned limit;
};

static bool take_row(void *context, const struct cellar_row *row)
{
    struct taken *taken = context;
    CELLAR_ASSERT(row->key.bytes == 1 && row->cell_count == 1);
    return ++taken->count < taken->limit;
}

static enum cellar_code scan(struct rig *rig, struct taken *taken)
{
    struct cellar_future *future = NULL;
    struct cellar_row_taker taker = {.take = take_row, .context = taken};
    struct cellar_read *read = cellar_read_new();
    assert_int_equal(cellar_scan_submit(rig->client, "t", read, &taker, NULL, &future),
                     CELLAR_E_OK);
    cellar_read_free(read);
    return outcome(future, NULL);
}

static void a_scan_gives_rows_until_the_end_or_until_it_is_enough(void **state)
{
    (void)state;
    struct rig rig;
    OPEN(&rig, NULL, LAST_PART);
    struct taken all = {.limit = 10};
    assert_int_equal(scan(&rig, &all), CELLAR_E_OK);
    assert_int_equal(all.count, 2);
    struct taken one = {.limit = 1};
    assert_int_equal(scan(&rig, &one), CELLAR_E_OK);
    assert_int_equal(one.count, 1);
    struct taken more = {.limit = 10}; /* the connection is still good */
    assert_int_equal(scan(&rig, &more), CELLAR_E_OK);
    rig_close(&rig);
    assert_int_equal(rig.peer.connection_count, 1);
}

static void a_scan_that_gave_a_row_does_not_start_again(void **state)
{
    (void)state;
    struct rig rig;
    struct taken taken = {.limit = 10};
    OPEN(&rig, NULL, CLOSE, PART, LAST_PART);
    assert_int_equal(scan(&rig, &taken), CELLAR_E_UNAVAILABLE);
    assert_int_equal(taken.count, 1);
    rig_close(&rig);
    assert_int_equal(rig.script.request_count, 2);
}

static void a_read_in_flight_can_be_cancelled(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *future = NULL;
    OPEN(&rig, NULL, HOLD);
    assert_int_equal(cellar_get_row_submit(rig.client, "t", TEXT("r"), NULL, &future), CELLAR_E_OK);
    cellar_future_cancel(future);
    cellar_future_cancel(future);
    assert_int_equal(outcome(future, NULL), CELLAR_E_CANCELLED);
    rig_close(&rig);
}

/* ---- a server that drops connections --------------------------------------------------------- */

struct dropper {
    struct test_random random;
    unsigned drop_count;
};

/* Answers most requests, and breaks the connection now and then, with whatever is in flight. */
static void serve_and_drop(struct fake_peer *peer, int fd, unsigned index)
{
    struct dropper *dropper = peer->context;
    struct fake_request request = {0};
    bool is_open = true;
    (void)index;
    while (is_open && fake_receive(fd, &request)) {
        if (request.frame.kind == CELLAR_FRAME_REQUEST) {
            is_open = test_random_below(&dropper->random, 40) != 0;
        }
        if (is_open && request.frame.kind == CELLAR_FRAME_REQUEST) {
            fake_reply_empty(fd, &request);
        }
    }
    dropper->drop_count += is_open ? 0u : 1u;
    fake_request_fini(&request);
}

static void every_call_has_one_outcome_when_connections_break_all_the_time(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct dropper dropper = {.random = {test_seed("submit")}};
    struct fake_peer peer = {.serve = serve_and_drop, .context = &dropper};
    struct cellar_options options = {.submit_connections_max = 1, .timeout_us = 300000000};
    struct cellar_future **futures = calloc(COUNT, sizeof(struct cellar_future *));
    struct cellar_mutations *lists[2] = {cellar_mutations_new(), cellar_mutations_new()};
    assert_non_null(futures);
    cellar_mutations_set_at(lists[0], "f", TEXT("q"), 1000, TEXT("v"));
    cellar_mutations_set(lists[1], "f", TEXT("q"), TEXT("v"));
    fake_peer_start(&peer);
    struct cellar_client *client = fake_peer_client(&peer, &options);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(
            cellar_mutate_row_submit(client, "t", TEXT("r"), lists[i % 2], NULL, &futures[i]),
            CELLAR_E_OK);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(outcome(futures[i], NULL), CELLAR_E_OK);
    }
    cellar_client_close(client);
    fake_peer_stop(&peer);
    assert_true(dropper.drop_count >= 2);
    cellar_mutations_free(lists[0]);
    cellar_mutations_free(lists[1]);
    free(futures);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Submits each kind of call with the n-th allocation of this thread failing: nothing is submitted,
 * or there is an outcome. */
static enum cellar_status submit_all(void *context)
{
    struct rig *rig = context;
    struct cellar_future *future = NULL;
    struct cellar_submit submit = {0};
    enum cellar_code code =
        cellar_mutate_row_submit(rig->client, "t", TEXT("r"), rig->set_at, &submit, &future);
    if (code == CELLAR_E_OK) {
        assert_int_equal(outcome(future, NULL), CELLAR_E_OK);
        code = cellar_get_row_submit(rig->client, "t", TEXT("r"), &submit, &future);
    }
    if (code == CELLAR_E_OK) {
        (void)outcome(future, NULL);
    }
    assert_int_equal(submit.failure.code, code);
    return (enum cellar_status)code;
}

static void without_memory_nothing_is_submitted(void **state)
{
    (void)state;
    struct rig rig;
    OPEN(&rig, NULL, REPLY);
    assert_true(test_out_of_memory_loop(submit_all, &rig) > 5);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submitted_write_is_answered_through_its_future),
        cmocka_unit_test(a_future_has_no_outcome_before_the_answer),
        cmocka_unit_test(a_write_goes_again_by_its_times_or_its_token),
        cmocka_unit_test(a_write_goes_without_what_is_refused_of_its_token),
        cmocka_unit_test(a_large_write_is_sent_as_the_peer_takes_it),
        cmocka_unit_test(a_call_ends_in_time_when_the_server_is_silent),
        cmocka_unit_test(a_server_that_is_not_there_is_unavailable_and_health_tells),
        cmocka_unit_test(a_host_name_is_looked_up_beside_the_loop),
        cmocka_unit_test(what_breaks_the_protocol_ends_every_call_of_the_connection),
        cmocka_unit_test(a_callback_comes_once_on_another_thread_and_may_submit),
        cmocka_unit_test(closing_gives_every_call_its_one_outcome),
        cmocka_unit_test(too_many_calls_are_refused_or_wait_for_room),
        cmocka_unit_test(bytes_are_bounded_too_but_one_call_always_fits),
        cmocka_unit_test(what_is_wrong_is_refused_at_once),
        cmocka_unit_test(a_batch_sends_again_what_the_server_could_not_take),
        cmocka_unit_test(a_batch_that_is_lost_has_a_result_for_each_entry),
        cmocka_unit_test(a_batch_goes_again_by_the_tokens_of_its_entries),
        cmocka_unit_test(a_get_that_breaks_half_way_goes_on_behind_its_last_row),
        cmocka_unit_test(a_scan_gives_rows_until_the_end_or_until_it_is_enough),
        cmocka_unit_test(a_scan_that_gave_a_row_does_not_start_again),
        cmocka_unit_test(a_read_in_flight_can_be_cancelled),
        cmocka_unit_test(every_call_has_one_outcome_when_connections_break_all_the_time),
        cmocka_unit_test(without_memory_nothing_is_submitted),
    };
    return cmocka_run_group_tests_name("submit", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
