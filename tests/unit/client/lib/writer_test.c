/*
 * writer: rows in, requests out, one result each. The peer takes each request apart, answers its
 * rows one by one as the test wants, and keeps what it was sent; the test's callback keeps the
 * results. Nothing waits for a time: tests flush, close, or wait for results.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/writer.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/sync.h"

#define TEXT(text) cellar_text(text)
#define ROW_COUNT_MAX 4000u
#define LONG_US INT64_C(300000000)
#define ROOM_BYTES (sizeof(struct cellar_writer_row) * 3 / 2) /* for one row and a half */

/* ---- a peer that keeps rows ------------------------------------------------------------------ */

/* One row as it came. */
struct sent {
    char key[32];
    char value[32]; /* of its first set; empty for a delete */
    int64_t time_us;
    bool has_token;
    unsigned request; /* the number of its request */
};

struct rig;

/* How to answer: a code for each row, or something with the whole request. */
enum answer { ANSWER_ROWS, ANSWER_NOTHING, ANSWER_CLOSE, ANSWER_INVALID, ANSWER_SHORT };

/* Decides over a request; `codes` begin as OK. Called in the peer's thread. */
typedef enum answer judge_rows(struct rig *rig, const struct sent *rows, unsigned count,
                               enum cellar_status *codes);

struct rig {
    judge_rows *judge;
    unsigned request_count;
    struct sent *sent; /* all rows, in the order of requests */
    unsigned sent_count;
    bool has_same_key_in_one_request;

    struct fake_peer peer;
    struct cellar_client *client;
    struct cellar_writer *writer;
    struct cellar_mutations *list;

    struct cellar_mutex lock;
    struct cellar_cond changed;
    unsigned result_count;
    unsigned chain_left;
    bool is_met;                             /* by the peer: a request */
    enum cellar_code results[ROW_COUNT_MAX]; /* by the row's context */
    unsigned given[ROW_COUNT_MAX];           /* how many results the row has had */
};

/* Reads one mutation list's first mutation. */
static void list_read(struct cellar_cursor from, struct sent *sent)
{
    uint32_t count;
    uint64_t kind;
    struct cellar_slice value;
    bool is_read = cellar_wire_get_array(&from, &count) && cellar_wire_get_array(&from, &count) &&
                   cellar_wire_get_u64(&from, &kind);
    CELLAR_ASSERT(is_read);
    if (kind != 0) {
        return;
    }
    is_read = cellar_wire_skip(&from, NULL) && cellar_wire_skip(&from, NULL) &&
              cellar_wire_get_i64(&from, &sent->time_us) && cellar_wire_get_bytes(&from, &value);
    CELLAR_ASSERT(is_read && value.bytes < sizeof sent->value);
    memcpy(sent->value, value.data, value.bytes);
}

/* Reads one entry. */
static void entry_read(struct cellar_cursor *from, struct sent *sent)
{
    uint32_t count;
    struct cellar_slice key;
    struct cellar_slice list;
    struct cellar_slice token;
    bool is_read = cellar_wire_get_array(from, &count) && cellar_wire_get_bytes(from, &key) &&
                   cellar_wire_skip(from, &list) && key.bytes < sizeof sent->key;
    CELLAR_ASSERT(is_read);
    memcpy(sent->key, key.data, key.bytes);
    list_read(cellar_cursor_make(list), sent);
    sent->has_token = count == 3;
    if (sent->has_token) {
        is_read = cellar_wire_get_bytes(from, &token) && token.bytes == 16;
        CELLAR_ASSERT(is_read);
    }
}

/* Reads a request's rows behind those of earlier ones; returns how many there are. */
static unsigned rows_read(struct rig *rig, const struct fake_request *request)
{
    struct cellar_msg_mutate_rows_request message;
    uint32_t count = 0;
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_mutate_rows_request_type, cellar_slice_of(&request->body),
                              &message, CELLAR_UNKNOWN_REFUSE, NULL);
    CELLAR_ASSERT(status == CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(message.entries);
    bool is_read = cellar_wire_get_array(&from, &count);
    CELLAR_ASSERT(is_read && rig->sent_count + count <= 4 * ROW_COUNT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct sent *sent = &rig->sent[rig->sent_count + i];
        memset(sent, 0, sizeof *sent);
        entry_read(&from, sent);
        sent->request = rig->request_count;
        for (uint32_t j = 0; j < i; j++) {
            rig->has_same_key_in_one_request =
                rig->has_same_key_in_one_request ||
                strcmp(sent->key, rig->sent[rig->sent_count + j].key) == 0;
        }
    }
    return count;
}

static void results_send(int fd, const struct fake_request *request,
                         const enum cellar_status *codes, unsigned count)
{
    struct cellar_buffer results = {0};
    struct cellar_buffer body = {0};
    struct cellar_msg_mutate_rows_reply reply = {.present = 0};
    enum cellar_status status = cellar_wire_put_array(&results, count);
    for (unsigned i = 0; status == CELLAR_OK && i < count; i++) {
        if (codes[i] == CELLAR_OK) {
            status = cellar_wire_put_u64(&results, 0);
            continue;
        }
        bool is_put = cellar_wire_put_array(&results, 3) == CELLAR_OK &&
                      cellar_wire_put_u64(&results, codes[i]) == CELLAR_OK &&
                      cellar_wire_put_text(&results, cellar_slice_text("because")) == CELLAR_OK &&
                      cellar_wire_put_u64(&results, 1) == CELLAR_OK;
        CELLAR_ASSERT(is_put);
    }
    reply.results = cellar_slice_of(&results);
    status = status == CELLAR_OK
                 ? cellar_message_encode(&cellar_msg_mutate_rows_reply_type, &reply, &body)
                 : status;
    CELLAR_ASSERT(status == CELLAR_OK);
    fake_send(fd, request, CELLAR_FRAME_REPLY, cellar_slice_of(&body));
    cellar_buffer_fini(&results);
    cellar_buffer_fini(&body);
}

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct rig *rig = peer->context;
    struct fake_request request = {0};
    static enum cellar_status codes[ROW_COUNT_MAX];
    bool is_open = true;
    (void)index;
    while (is_open && fake_receive(fd, &request)) {
        if (request.frame.operation != CELLAR_OP_MUTATE_ROWS) {
            continue; /* CANCEL */
        }
        unsigned count = rows_read(rig, &request);
        memset(codes, 0, sizeof codes);
        enum answer answer = rig->judge == NULL
                                 ? ANSWER_ROWS
                                 : rig->judge(rig, &rig->sent[rig->sent_count], count, codes);
        rig->sent_count += count;
        rig->request_count++;
        if (answer == ANSWER_ROWS) {
            results_send(fd, &request, codes, count);
        } else if (answer == ANSWER_SHORT) {
            results_send(fd, &request, codes, count - 1);
        } else if (answer == ANSWER_INVALID) {
            fake_error(fd, &request, CELLAR_INVALID_ARGUMENT, 0);
        }
        is_open = answer != ANSWER_CLOSE;
    }
    fake_request_fini(&request);
}

/* ---- the rig --------------------------------------------------------------------------------- */

static void add(struct rig *rig, const char *key, const char *value, size_t number)
{
    struct cellar_call call = {.timeout_us = LONG_US};
    cellar_mutations_clear(rig->list);
    if (value == NULL) {
        cellar_mutations_delete_row(rig->list);
    } else {
        cellar_mutations_set(rig->list, "f", TEXT("q"), TEXT(value));
    }
    if (cellar_writer_add(rig->writer, "t", TEXT(key), rig->list, &rig->given[number], &call) !=
        CELLAR_E_OK) {
        fail_msg("%s", call.failure.text);
    }
}

static void result_take(void *context, const struct cellar_written *written)
{
    struct rig *rig = context;
    size_t number = (size_t)((unsigned *)written->context - rig->given);
    CELLAR_ASSERT(number < ROW_COUNT_MAX && written->row.bytes > 0);
    CELLAR_ASSERT(strcmp(written->table, "default/default/t") == 0);
    CELLAR_ASSERT((written->failure->code == CELLAR_E_OK) == (written->failure->text[0] == '\0'));
    cellar_mutex_lock(&rig->lock);
    rig->results[number] = written->failure->code;
    rig->given[number]++;
    rig->result_count++;
    cellar_cond_broadcast(&rig->changed);
    bool goes_on = rig->chain_left > 0;
    rig->chain_left -= goes_on ? 1u : 0u;
    cellar_mutex_unlock(&rig->lock);
    if (goes_on) {
        add(rig, "chained", "v", number + 1);
    }
}

static void results_wait(struct rig *rig, unsigned count)
{
    cellar_mutex_lock(&rig->lock);
    while (rig->result_count < count) {
        cellar_cond_wait(&rig->changed, &rig->lock);
    }
    cellar_mutex_unlock(&rig->lock);
}

static struct rig *rig_open(judge_rows *judge, const struct cellar_writer_options *options,
                            const struct cellar_options *client_options)
{
    struct cellar_writer_options own = {.timeout_us = LONG_US, .delay_us_max = LONG_US};
    struct cellar_options client_own = {0};
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->sent = calloc(4 * ROW_COUNT_MAX, sizeof *rig->sent);
    assert_non_null(rig->sent);
    rig->judge = judge;
    rig->peer = (struct fake_peer){.serve = serve, .context = rig};
    cellar_mutex_init(&rig->lock);
    cellar_cond_init(&rig->changed);
    fake_peer_start(&rig->peer);
    if (options != NULL) {
        own = *options;
        own.timeout_us = own.timeout_us == 0 ? LONG_US : own.timeout_us;
    }
    if (client_options != NULL) {
        client_own = *client_options;
    }
    client_own.submit_connections_max = 1;
    own.done = result_take;
    own.context = rig;
    rig->client = fake_peer_client(&rig->peer, &client_own);
    rig->list = cellar_mutations_new();
    assert_int_equal(cellar_writer_open(rig->client, &own, NULL, &rig->writer), CELLAR_E_OK);
    return rig;
}

/* Closes the writer; every row of `count` has had one result. */
static enum cellar_code rig_close(struct rig *rig, unsigned count)
{
    enum cellar_code code = cellar_writer_close(rig->writer, NULL);
    assert_int_equal(rig->result_count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(rig->given[i], 1);
    }
    cellar_client_close(rig->client);
    fake_peer_stop(&rig->peer);
    cellar_mutations_free(rig->list);
    assert_false(rig->has_same_key_in_one_request);
    return code;
}

static void rig_free(struct rig *rig)
{
    free(rig->sent);
    free(rig);
}

/* ---- gathering ------------------------------------------------------------------------------- */

static void rows_are_gathered_and_each_has_one_result(void **state)
{
    (void)state;
    struct cellar_writer_options options = {.rows_max = 50, .delay_us_max = LONG_US};
    uint64_t added;
    uint64_t ended;
    uint64_t failed;
    struct rig *rig = rig_open(NULL, &options, NULL);
    for (unsigned i = 0; i < 500; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        add(rig, key, key, i);
    }
    add(rig, "last", "v", 500);
    assert_int_equal(cellar_writer_flush(rig->writer, NULL), CELLAR_E_OK);
    cellar_writer_counts(rig->writer, &added, &ended, &failed);
    assert_int_equal(added, 501);
    assert_int_equal(ended, 501);
    assert_int_equal(failed, 0);
    assert_int_equal(rig_close(rig, 501), CELLAR_E_OK);
    assert_int_equal(rig->sent_count, 501);
    assert_in_range(rig->request_count, 11, 40);
    rig_free(rig);
}

static void a_row_that_stays_alone_goes_after_the_delay(void **state)
{
    (void)state;
    struct cellar_writer_options options = {.delay_us_max = 1000};
    struct rig *rig = rig_open(NULL, &options, NULL);
    add(rig, "k", "v", 0);
    results_wait(rig, 1);
    assert_int_equal(rig_close(rig, 1), CELLAR_E_OK);
    rig_free(rig);
}

static void bytes_bound_requests_and_a_large_row_goes_alone(void **state)
{
    (void)state;
    struct cellar_writer_options options = {.bytes_max = 64, .requests_max = 1};
    struct rig *rig = rig_open(NULL, &options, NULL);
    cellar_mutations_clear(rig->list);
    for (unsigned i = 0; i < 30; i++) {
        cellar_mutations_set(rig->list, "f", TEXT("q"), TEXT("value"));
    }
    assert_int_equal(
        cellar_writer_add(rig->writer, "t", TEXT("large"), rig->list, &rig->given[0], NULL),
        CELLAR_E_OK);
    for (unsigned i = 1; i <= 20; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%02u", i);
        add(rig, key, "v", i);
    }
    assert_int_equal(rig_close(rig, 21), CELLAR_E_OK);
    /* A small row takes 25 bytes. */
    assert_true(rig->request_count >= 11);
    assert_int_not_equal(rig->sent[1].request, rig->sent[0].request);
    rig_free(rig);
}

static void cells_get_the_clients_time_which_does_not_go_back(void **state)
{
    (void)state;
    struct rig *rig = rig_open(NULL, NULL, NULL);
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%03u", i);
        add(rig, key, "v", i);
    }
    cellar_mutations_clear(rig->list);
    cellar_mutations_set_at(rig->list, "f", TEXT("q"), 7, TEXT("v"));
    assert_int_equal(
        cellar_writer_add(rig->writer, "t", TEXT("at"), rig->list, &rig->given[200], NULL),
        CELLAR_E_OK);
    assert_int_equal(rig_close(rig, 201), CELLAR_E_OK);
    int64_t last_us = 0;
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(rig->sent[i].time_us % 1000, 0);
        assert_true(rig->sent[i].time_us > 1600000000000000 && rig->sent[i].time_us >= last_us);
        assert_false(rig->sent[i].has_token);
        last_us = rig->sent[i].time_us;
    }
    assert_int_equal(rig->sent[200].time_us, 7);
    rig_free(rig);
}

static void times_do_not_follow_a_clock_that_is_set_back(void **state)
{
    (void)state;
    const int64_t real_us = 1700000000000000;
    cellar_clock_fake_set(real_us, real_us);
    struct rig *rig = rig_open(NULL, NULL, NULL);
    add(rig, "first", "v", 0);
    cellar_clock_fake_set(real_us - LONG_US, real_us);
    add(rig, "second", "v", 1);
    cellar_clock_fake_set(real_us + 2500, real_us);
    add(rig, "third", "v", 2);
    assert_int_equal(rig_close(rig, 3), CELLAR_E_OK);
    cellar_clock_fake_off();
    assert_int_equal(rig->sent[0].time_us, real_us);
    assert_int_equal(rig->sent[1].time_us, real_us);
    assert_int_equal(rig->sent[2].time_us, real_us + 2000);
    rig_free(rig);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Row "bad" fails for good; row "busy" is UNAVAILABLE the first two times. */
static enum answer judge_busy(struct rig *rig, const struct sent *rows, unsigned count,
                              enum cellar_status *codes)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(rows[i].key, "bad") == 0) {
            codes[i] = CELLAR_NOT_FOUND;
        } else if (strcmp(rows[i].key, "busy") == 0 && rig->request_count < 2) {
            codes[i] = CELLAR_UNAVAILABLE;
        }
    }
    return ANSWER_ROWS;
}

static void only_the_rows_that_were_not_taken_go_again(void **state)
{
    (void)state;
    struct rig *rig = rig_open(judge_busy, NULL, NULL);
    add(rig, "good", "v", 0);
    add(rig, "busy", "v", 1);
    add(rig, "bad", "v", 2);
    assert_int_equal(cellar_writer_flush(rig->writer, NULL), CELLAR_E_OK);
    assert_int_equal(rig_close(rig, 3), CELLAR_E_NOT_FOUND);
    assert_int_equal(rig->results[0], CELLAR_E_OK);
    assert_int_equal(rig->results[1], CELLAR_E_OK);
    assert_int_equal(rig->results[2], CELLAR_E_NOT_FOUND);
    for (unsigned i = 0; i < rig->sent_count; i++) {
        assert_true(rig->sent[i].request == 0 || strcmp(rig->sent[i].key, "busy") == 0);
    }
    rig_free(rig);
}

/* Now and then UNAVAILABLE, now and then the connection breaks. */
static enum answer judge_chaos(struct rig *rig, const struct sent *rows, unsigned count,
                               enum cellar_status *codes)
{
    for (unsigned i = 0; i < count; i++) {
        if ((rig->request_count * 7 + i * 3 + (unsigned)rows[i].value[0]) % 5 == 0) {
            codes[i] = CELLAR_UNAVAILABLE;
        }
    }
    return rig->request_count % 6 == 5 ? ANSWER_CLOSE : ANSWER_ROWS;
}

static void rows_of_one_key_keep_their_order_when_they_are_sent_again(void **state)
{
    (void)state;
    enum { KEYS = 8, VERSIONS = 25 };
    struct cellar_writer_options options = {.rows_max = 10, .delay_us_max = 1000};
    struct rig *rig = rig_open(judge_chaos, &options, NULL);
    for (unsigned i = 0; i < KEYS * VERSIONS; i++) {
        char key[16];
        char value[16];
        (void)snprintf(key, sizeof key, "k%u", i % KEYS);
        (void)snprintf(value, sizeof value, "%03u", i);
        add(rig, key, value, i);
    }
    assert_int_equal(rig_close(rig, KEYS * VERSIONS), CELLAR_E_OK);
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16];
        const char *last = "";
        (void)snprintf(key, sizeof key, "k%u", k);
        for (unsigned i = 0; i < rig->sent_count; i++) {
            if (strcmp(rig->sent[i].key, key) == 0) {
                assert_true(strcmp(rig->sent[i].value, last) >= 0); /* equal when sent again */
                last = rig->sent[i].value;
            }
        }
    }
    assert_true(rig->sent_count > KEYS * VERSIONS);
    rig_free(rig);
}

static enum answer judge_close_first(struct rig *rig, const struct sent *rows, unsigned count,
                                     enum cellar_status *codes)
{
    (void)rows;
    (void)count;
    (void)codes;
    return rig->request_count == 0 ? ANSWER_CLOSE : ANSWER_ROWS;
}

static void a_lost_request_goes_again_by_times_and_tokens(void **state)
{
    (void)state;
    struct rig *rig = rig_open(judge_close_first, NULL, NULL);
    add(rig, "set", "v", 0);
    add(rig, "delete", NULL, 1);
    assert_int_equal(rig_close(rig, 2), CELLAR_E_OK);
    assert_int_equal(rig->sent_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(rig->sent[i].has_token, strcmp(rig->sent[i].key, "delete") == 0);
    }
    rig_free(rig);
}

static void what_may_be_sent_once_only_ends_unknown(void **state)
{
    (void)state;
    struct cellar_options options = {.attempts_max = 1};
    struct rig *rig = rig_open(judge_close_first, NULL, &options);
    add(rig, "set", "v", 0);
    add(rig, "delete", NULL, 1);
    assert_int_equal(rig_close(rig, 2), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(rig->results[0], CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(rig->results[1], CELLAR_E_OUTCOME_UNKNOWN);
    rig_free(rig);
}

static enum answer judge_tokens_full(struct rig *rig, const struct sent *rows, unsigned count,
                                     enum cellar_status *codes)
{
    for (unsigned i = 0; i < count; i++) {
        codes[i] = rows[i].has_token ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_OK;
    }
    (void)rig;
    return ANSWER_ROWS;
}

static void a_row_goes_without_a_token_that_the_server_cannot_keep(void **state)
{
    (void)state;
    struct rig *rig = rig_open(judge_tokens_full, NULL, NULL);
    add(rig, "delete", NULL, 0);
    assert_int_equal(rig_close(rig, 1), CELLAR_E_OK);
    assert_int_equal(rig->sent_count, 2);
    rig_free(rig);
}

/* A request with more than one row is refused whole when "odd" is in it; "odd" alone fails. */
static enum answer judge_odd(struct rig *rig, const struct sent *rows, unsigned count,
                             enum cellar_status *codes)
{
    (void)rig;
    (void)codes;
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(rows[i].key, "odd") == 0) {
            return ANSWER_INVALID;
        }
    }
    return ANSWER_ROWS;
}

static void one_malformed_row_does_not_spoil_the_others(void **state)
{
    (void)state;
    struct rig *rig = rig_open(judge_odd, NULL, NULL);
    add(rig, "a", "v", 0);
    add(rig, "odd", "v", 1);
    add(rig, "b", "v", 2);
    assert_int_equal(rig_close(rig, 3), CELLAR_E_INVALID_ARGUMENT);
    assert_int_equal(rig->results[0], CELLAR_E_OK);
    assert_int_equal(rig->results[1], CELLAR_E_INVALID_ARGUMENT);
    assert_int_equal(rig->results[2], CELLAR_E_OK);
    rig_free(rig);
}

static enum answer judge_short_first(struct rig *rig, const struct sent *rows, unsigned count,
                                     enum cellar_status *codes)
{
    (void)rows;
    (void)count;
    (void)codes;
    return rig->request_count == 0 ? ANSWER_SHORT : ANSWER_ROWS;
}

static void an_answer_that_cannot_be_read_says_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_open(judge_short_first, NULL, NULL);
    add(rig, "a", "v", 0);
    add(rig, "b", "v", 1);
    assert_int_equal(rig_close(rig, 2), CELLAR_E_OK); /* sent again: sets at their times */
    assert_int_equal(rig->sent_count, 4);
    rig_free(rig);
}

/* ---- time and room --------------------------------------------------------------------------- */

static enum answer judge_silent(struct rig *rig, const struct sent *rows, unsigned count,
                                enum cellar_status *codes)
{
    (void)rig;
    (void)rows;
    (void)count;
    (void)codes;
    return ANSWER_NOTHING;
}

static void each_row_ends_in_its_time(void **state)
{
    (void)state;
    struct cellar_writer_options options = {.timeout_us = 20000, .rows_max = 1, .requests_max = 1};
    struct rig *rig = rig_open(judge_silent, &options, NULL);
    add(rig, "sent", "v", 0);
    add(rig, "sent", "w", 1); /* waits for the one before */
    add(rig, "open", "v", 2); /* waits for a request */
    results_wait(rig, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rig->results[i], CELLAR_E_DEADLINE_EXCEEDED);
    }
    (void)rig_close(rig, 3);
    rig_free(rig);
}

static void adding_waits_for_room_in_time(void **state)
{
    (void)state;
    struct cellar_writer_options options = {.pending_bytes_max = ROOM_BYTES};
    struct cellar_call call = {.timeout_us = 1000};
    struct rig *rig = rig_open(judge_silent, &options, NULL);
    add(rig, "k", "v", 0);
    cellar_mutations_clear(rig->list);
    cellar_mutations_delete_row(rig->list);
    assert_int_equal(
        cellar_writer_add(rig->writer, "t", TEXT("l"), rig->list, &rig->given[1], &call),
        CELLAR_E_DEADLINE_EXCEEDED);
    assert_non_null(strstr(call.failure.text, "pending_bytes_max"));
    assert_int_equal(cellar_writer_flush(rig->writer, &call), CELLAR_E_DEADLINE_EXCEEDED);
    /* Closing in time cancels what has no result; whether it was sent decides between these. */
    enum cellar_code code = cellar_writer_close(rig->writer, &call);
    assert_true(code == CELLAR_E_OUTCOME_UNKNOWN || code == CELLAR_E_CANCELLED);
    assert_int_equal(rig->given[0], 1);
    assert_int_equal(rig->given[1], 0);
    rig->writer = NULL;
    (void)rig_close(rig, 1);
    rig_free(rig);
}

static void closing_in_time_gives_every_row_its_result(void **state)
{
    (void)state;
    struct cellar_writer_options options = {.rows_max = 5, .requests_max = 2};
    struct cellar_call call = {.timeout_us = 1000};
    struct rig *rig = rig_open(judge_silent, &options, NULL);
    for (unsigned i = 0; i < 300; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i % 70);
        add(rig, key, "v", i);
    }
    (void)cellar_writer_close(rig->writer, &call);
    rig->writer = NULL;
    for (unsigned i = 0; i < 300; i++) {
        assert_true(rig->results[i] == CELLAR_E_CANCELLED ||
                    rig->results[i] == CELLAR_E_OUTCOME_UNKNOWN);
    }
    (void)rig_close(rig, 300);
    rig_free(rig);
}

static enum answer judge_close(struct rig *rig, const struct sent *rows, unsigned count,
                               enum cellar_status *codes)
{
    (void)rows;
    (void)count;
    (void)codes;
    cellar_mutex_lock(&rig->lock);
    rig->is_met = true;
    cellar_cond_broadcast(&rig->changed);
    cellar_mutex_unlock(&rig->lock);
    return ANSWER_CLOSE;
}

static void a_row_whose_answer_was_lost_is_not_called_cancelled(void **state)
{
    (void)state;
    struct cellar_writer_options options = {.delay_us_max = 1};
    struct cellar_call call = {.timeout_us = 1000};
    struct rig *rig = rig_open(judge_close, &options, NULL);
    add(rig, "k", "v", 0);
    cellar_mutex_lock(&rig->lock);
    while (!rig->is_met) {
        cellar_cond_wait(&rig->changed, &rig->lock);
    }
    cellar_mutex_unlock(&rig->lock);
    /* In flight, paused or queued again: it may have been applied. */
    assert_int_equal(cellar_writer_close(rig->writer, &call), CELLAR_E_OUTCOME_UNKNOWN);
    rig->writer = NULL;
    (void)rig_close(rig, 1);
    rig_free(rig);
}

static void a_callback_may_add_rows(void **state)
{
    (void)state;
    struct cellar_writer_options options = {.delay_us_max = 1};
    struct rig *rig = rig_open(NULL, &options, NULL);
    rig->chain_left = 20;
    add(rig, "first", "v", 0);
    results_wait(rig, 21);
    assert_int_equal(rig_close(rig, 21), CELLAR_E_OK);
    rig_free(rig);
}

static void what_is_wrong_is_refused_at_once(void **state)
{
    (void)state;
    struct rig *rig = rig_open(NULL, NULL, NULL);
    struct cellar_writer *writer = NULL;
    static const uint8_t key[4097];
    const struct cellar_writer_options wrong[] = {
        {.rows_max = 100001},
        {.requests_max = 257},
        {.delay_us_max = -1},
        {.timeout_us = -1},
        {.granularity = (enum cellar_table_granularity)3}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(wrong); i++) {
        assert_int_equal(cellar_writer_open(rig->client, &wrong[i], NULL, &writer),
                         CELLAR_E_INVALID_ARGUMENT);
    }
    assert_int_equal(cellar_writer_add(rig->writer, "t", TEXT("k"), rig->list, NULL, NULL),
                     CELLAR_E_INVALID_ARGUMENT); /* an empty list */
    cellar_mutations_delete_row(rig->list);
    assert_int_equal(cellar_writer_add(rig->writer, "t", TEXT(""), rig->list, NULL, NULL),
                     CELLAR_E_INVALID_ARGUMENT);
    assert_int_equal(
        cellar_writer_add(rig->writer, "t", cellar_view_of(key, sizeof key), rig->list, NULL, NULL),
        CELLAR_E_INVALID_ARGUMENT);
    assert_int_equal(cellar_writer_add(rig->writer, "t", TEXT("k"), NULL, NULL, NULL),
                     CELLAR_E_NO_MEMORY);
    assert_int_equal(cellar_writer_close(NULL, NULL), CELLAR_E_OK);
    assert_int_equal(rig_close(rig, 0), CELLAR_E_OK);
    rig_free(rig);
}

/* Every allocation of the adding thread fails once. */
static enum cellar_status add_all(void *context)
{
    struct rig *rig = context;
    struct cellar_writer *writer = NULL;
    enum cellar_code code = cellar_writer_open(rig->client, NULL, NULL, &writer);
    if (code == CELLAR_E_OK) {
        code = cellar_writer_add(writer, "t", TEXT("k"), rig->list, NULL, NULL);
    }
    (void)cellar_writer_close(writer, NULL);
    return (enum cellar_status)code;
}

static void without_memory_nothing_is_added(void **state)
{
    (void)state;
    struct rig *rig = rig_open(NULL, NULL, NULL);
    cellar_mutations_set(rig->list, "f", TEXT("q"), TEXT("v"));
    assert_true(test_out_of_memory_loop(add_all, rig) >= 4);
    (void)rig_close(rig, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_gathered_and_each_has_one_result),
        cmocka_unit_test(a_row_that_stays_alone_goes_after_the_delay),
        cmocka_unit_test(bytes_bound_requests_and_a_large_row_goes_alone),
        cmocka_unit_test(cells_get_the_clients_time_which_does_not_go_back),
        cmocka_unit_test(times_do_not_follow_a_clock_that_is_set_back),
        cmocka_unit_test(only_the_rows_that_were_not_taken_go_again),
        cmocka_unit_test(rows_of_one_key_keep_their_order_when_they_are_sent_again),
        cmocka_unit_test(a_lost_request_goes_again_by_times_and_tokens),
        cmocka_unit_test(what_may_be_sent_once_only_ends_unknown),
        cmocka_unit_test(a_row_goes_without_a_token_that_the_server_cannot_keep),
        cmocka_unit_test(one_malformed_row_does_not_spoil_the_others),
        cmocka_unit_test(an_answer_that_cannot_be_read_says_nothing),
        cmocka_unit_test(each_row_ends_in_its_time),
        cmocka_unit_test(adding_waits_for_room_in_time),
        cmocka_unit_test(closing_in_time_gives_every_row_its_result),
        cmocka_unit_test(a_row_whose_answer_was_lost_is_not_called_cancelled),
        cmocka_unit_test(a_callback_may_add_rows),
        cmocka_unit_test(what_is_wrong_is_refused_at_once),
        cmocka_unit_test(without_memory_nothing_is_added),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
