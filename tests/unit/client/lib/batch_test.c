/*
 * batch: entries are sent in one request, each has its result, those that were answered UNAVAILABLE
 * go again alone, and a failure of the whole is that of every entry without an answer. The peer
 * answers each request with the next prepared results.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <string.h>

#include "client/lib/client.h"
#include "common/cell.h"
#include "common/mutation.h"

#define TEXT(text) cellar_text(text)
#define ROUNDS_MAX 8
#define ROWS_MAX 4u

/* Answers by round: an array of results; NULL closes the connection instead. */
struct script {
    const char *results[ROUNDS_MAX];
    size_t results_bytes[ROUNDS_MAX];
    unsigned round_count; /* seen */
    uint32_t entry_counts[ROUNDS_MAX];
    uint8_t first_keys[ROUNDS_MAX];           /* the first byte of the first entry's key */
    uint8_t tokens[ROUNDS_MAX][ROWS_MAX][16]; /* zeros where an entry has none */
    uint64_t starts_us[ROUNDS_MAX];
    uint64_t lives_us[ROUNDS_MAX];
};

#define RESULTS(text) text, sizeof(text) - 1

/* Notes one entry: [key, mutations] or [key, mutations, token]; its key's first byte. */
static uint8_t entry_note(struct cellar_cursor *from, uint8_t token[16])
{
    uint32_t count;
    struct cellar_slice key;
    struct cellar_slice bytes = {NULL, 0};
    bool is_read = cellar_wire_get_array(from, &count) && (count == 2 || count == 3) &&
                   cellar_wire_get_bytes(from, &key) && cellar_wire_skip(from, NULL) &&
                   (count == 2 || cellar_wire_get_bytes(from, &bytes));
    CELLAR_ASSERT(is_read && (bytes.bytes == 0 || bytes.bytes == 16));
    if (bytes.bytes > 0) {
        memcpy(token, bytes.data, bytes.bytes);
    }
    return key.bytes == 0 ? 0 : key.data[0];
}

static void request_note(struct script *script, const struct fake_request *request)
{
    struct cellar_msg_mutate_rows_request message;
    unsigned round = script->round_count;
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_mutate_rows_request_type, cellar_slice_of(&request->body),
                              &message, CELLAR_UNKNOWN_REFUSE, NULL);
    struct cellar_cursor from = cellar_cursor_make(message.entries);
    CELLAR_ASSERT(status == CELLAR_OK);
    bool is_read = cellar_wire_get_array(&from, &script->entry_counts[round]);
    CELLAR_ASSERT(is_read && script->entry_counts[round] <= ROWS_MAX);
    for (uint32_t index = 0; index < script->entry_counts[round]; index++) {
        uint8_t key = entry_note(&from, script->tokens[round][index]);
        script->first_keys[round] = index == 0 ? key : script->first_keys[round];
    }
    script->starts_us[round] = message.token_start_us;
    script->lives_us[round] = message.token_life_us;
}

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct script *script = peer->context;
    struct fake_request request = {0};
    (void)index;
    while (fake_receive(fd, &request)) {
        CELLAR_ASSERT(script->round_count < ROUNDS_MAX);
        request_note(script, &request);
        const char *results = script->results[script->round_count];
        size_t bytes = script->results_bytes[script->round_count];
        script->round_count++;
        if (results == NULL) {
            break;
        }
        struct cellar_msg_mutate_rows_reply reply = {.results = cellar_slice_make(results, bytes)};
        struct cellar_buffer body = {0};
        enum cellar_status status =
            cellar_message_encode(&cellar_msg_mutate_rows_reply_type, &reply, &body);
        CELLAR_ASSERT(status == CELLAR_OK);
        fake_send(fd, &request, CELLAR_FRAME_REPLY, cellar_slice_of(&body));
        cellar_buffer_fini(&body);
    }
    fake_request_fini(&request);
}

/* A batch of rows "a", "b", "c", ... with one cell each. */
static struct cellar_batch *batch_make(unsigned row_count, int64_t timestamp_us)
{
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", TEXT("q"), timestamp_us, TEXT("v"));
    for (unsigned index = 0; index < row_count; index++) {
        char key = (char)('a' + index);
        cellar_batch_add(batch, cellar_view_of(&key, 1), list);
    }
    cellar_mutations_free(list);
    assert_int_equal(cellar_batch_count(batch), row_count);
    return batch;
}

/* Sends a batch to a peer that follows the script; `are_tokens_full` = no tokens are made. */
static enum cellar_code send_to(struct script *script, struct cellar_batch *batch,
                                bool are_tokens_full, struct cellar_call *call)
{
    struct fake_peer peer = {.serve = serve, .context = script};
    fake_peer_start(&peer);
    struct cellar_client *client = fake_peer_client(&peer, NULL);
    client->tokens_full_until_us = are_tokens_full ? INT64_MAX : 0;
    enum cellar_code code = cellar_mutate_rows(client, "t", batch, call);
    cellar_client_close(client);
    fake_peer_stop(&peer);
    return code;
}

static enum cellar_code send_batch(struct script *script, struct cellar_batch *batch,
                                   struct cellar_call *call)
{
    return send_to(script, batch, false, call);
}

static bool has_token(const uint8_t token[16])
{
    static const uint8_t none[16];
    return memcmp(token, none, sizeof none) != 0;
}

static void each_entry_has_its_result(void **state)
{
    (void)state;
    struct script script = {
        .results = {"\x93\x00\x93\x02\xa4gone\x00\x00"},
        .results_bytes = {11},
    };
    struct cellar_batch *batch = batch_make(3, 1000);
    struct cellar_failure failure;
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_FAILED_PRECONDITION);
    assert_int_equal(cellar_batch_failed_count(batch), 0);
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_failed_count(batch), 1);
    assert_int_equal(cellar_batch_result(batch, 0, &failure), CELLAR_E_OK);
    assert_string_equal(failure.text, "");
    assert_int_equal(cellar_batch_result(batch, 1, &failure), CELLAR_E_NOT_FOUND);
    assert_string_equal(failure.text, "gone");
    assert_string_equal(failure.where, "MUTATE_ROWS entry 1");
    assert_int_equal(cellar_batch_result(batch, 2, NULL), CELLAR_E_OK);
    cellar_batch_free(batch);
}

static void unavailable_entries_go_again_alone(void **state)
{
    (void)state;
    struct script script = {
        .results = {"\x93\x00\x93\x06\xa0\x01\x93\x06\xa0\x01", "\x92\x93\x06\xa0\x01\x00",
                    "\x91\x00"},
        .results_bytes = {10, 6, 2},
    };
    struct cellar_batch *batch = batch_make(3, 1000);
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_failed_count(batch), 0);
    assert_int_equal(script.round_count, 3);
    assert_int_equal(script.entry_counts[0], 3);
    assert_int_equal(script.entry_counts[1], 2);
    assert_int_equal(script.first_keys[1], 'b');
    assert_int_equal(script.entry_counts[2], 1);
    assert_int_equal(script.first_keys[2], 'b');
    cellar_batch_free(batch);
}

static void a_failure_of_a_later_round_leaves_earlier_results(void **state)
{
    (void)state;
    struct script script = {
        .results = {"\x93\x00\x93\x06\xa0\x01\x93\x03\xa1x\x00", NULL},
        .results_bytes = {11},
    };
    struct cellar_batch *batch = batch_make(3, -1);
    struct cellar_call call = {0};
    assert_int_equal(send_to(&script, batch, true, &call), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(script.round_count, 2); /* without tokens it is not sent again */
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_result(batch, 1, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(cellar_batch_result(batch, 2, NULL), CELLAR_E_ALREADY_EXISTS);
    cellar_batch_free(batch);
}

static void without_a_token_a_batch_with_the_servers_time_is_not_sent_twice(void **state)
{
    (void)state;
    struct script script = {.results = {NULL, "\x91\x00"}, .results_bytes = {0, 2}};
    struct cellar_batch *batch = batch_make(1, -1);
    struct cellar_failure failure;
    assert_int_equal(send_to(&script, batch, true, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(script.round_count, 1);
    assert_int_equal(cellar_batch_result(batch, 0, &failure), CELLAR_E_OUTCOME_UNKNOWN);
    assert_non_null(strstr(failure.text, "may or may not"));
    cellar_batch_free(batch);
}

static void entries_with_the_servers_time_have_tokens_that_stay_theirs(void **state)
{
    (void)state;
    /* Lost; then the first entry is applied, the second not yet, the third nobody knows. */
    struct script script = {
        .results = {NULL, "\x93\x00\x93\x06\xa0\x01\x93\x09\xa0\x00", "\x92\x00\x00"},
        .results_bytes = {0, 10, 3},
    };
    struct cellar_batch *batch = batch_make(3, -1);
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_failed_count(batch), 0);
    assert_int_equal(script.round_count, 3);
    assert_int_equal(script.first_keys[2], 'b');
    for (unsigned index = 0; index < 3; index++) {
        assert_true(has_token(script.tokens[0][index]));
        assert_memory_equal(script.tokens[1][index], script.tokens[0][index], 16);
        assert_memory_not_equal(script.tokens[0][index], script.tokens[0][(index + 1) % 3], 16);
    }
    assert_memory_equal(script.tokens[2][0], script.tokens[0][1], 16);
    assert_memory_equal(script.tokens[2][1], script.tokens[0][2], 16);
    assert_true(script.starts_us[0] > 0 && script.starts_us[1] == script.starts_us[0]);
    assert_in_range(script.lives_us[0], 1, 15000000);
    cellar_batch_free(batch);
}

static void entries_of_explicit_times_have_no_tokens(void **state)
{
    (void)state;
    struct script script = {.results = {"\x92\x00\x00"}, .results_bytes = {3}};
    struct cellar_batch *batch = batch_make(1, 1000);
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set(list, "f", TEXT("q"), TEXT("v"));
    cellar_batch_add(batch, TEXT("z"), list);
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_false(has_token(script.tokens[0][0]));
    assert_true(has_token(script.tokens[0][1]));
    cellar_mutations_free(list);
    cellar_batch_free(batch);
    script = (struct script){.results = {"\x91\x00"}, .results_bytes = {2}};
    batch = batch_make(1, 1000);
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_int_equal(script.lives_us[0], 0);
    cellar_batch_free(batch);
}

static void an_entry_whose_token_finds_no_room_goes_without(void **state)
{
    (void)state;
    struct script script = {
        .results = {"\x92\x00\x93\x07\xa0\x00", "\x91\x93\x07\xa4"
                                                "disk\x00"},
        .results_bytes = {6, 9},
    };
    struct cellar_batch *batch = batch_make(2, -1);
    struct cellar_failure failure;
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_int_equal(script.round_count, 2);
    assert_int_equal(script.first_keys[1], 'b');
    assert_false(has_token(script.tokens[1][0]));
    assert_int_equal(cellar_batch_result(batch, 1, &failure), CELLAR_E_RESOURCE_EXHAUSTED);
    assert_string_equal(failure.text, "disk");
    cellar_batch_free(batch);
}

static void an_entry_in_doubt_is_unknown_whatever_refuses_it_later(void **state)
{
    (void)state;
    /* The first attempt may have been applied before its table was dropped, or the disk full. */
    struct script script = {
        .results = {NULL, "\x94\x00\x93\x02\xa0\x00\x93\x07\xa0\x00\x93\x01\xa0\x00"},
        .results_bytes = {0, 14},
    };
    for (int64_t timestamp_us = -1; timestamp_us <= 1000; timestamp_us += 1001) {
        struct cellar_batch *batch = batch_make(4, timestamp_us);
        script.round_count = 0;
        assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
        assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_OK);
        assert_int_equal(cellar_batch_result(batch, 1, NULL), CELLAR_E_OUTCOME_UNKNOWN);
        assert_int_equal(cellar_batch_result(batch, 2, NULL), CELLAR_E_OUTCOME_UNKNOWN);
        assert_int_equal(cellar_batch_result(batch, 3, NULL), CELLAR_E_INVALID_ARGUMENT);
        cellar_batch_free(batch);
    }
}

static void an_answer_of_unknown_leaves_an_entry_in_doubt(void **state)
{
    (void)state;
    struct script script = {
        .results = {"\x92\x00\x93\x09\xa0\x00", "\x91\x93\x07\xa0\x00"},
        .results_bytes = {6, 5},
    };
    struct cellar_batch *batch = batch_make(2, -1);
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_int_equal(script.round_count, 2);
    assert_int_equal(script.first_keys[1], 'b');
    assert_int_equal(cellar_batch_result(batch, 1, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    cellar_batch_free(batch);
}

static void an_entry_in_doubt_that_is_never_taken_is_unknown(void **state)
{
    (void)state;
    /* Lost, then the server takes it up no more: try again in a minute, which is too late. */
    struct script script = {
        .results = {NULL, "\x91\x93\x06\xa0\xcd\xea\x60"},
        .results_bytes = {0, 7},
    };
    struct cellar_batch *batch = batch_make(1, -1);
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_int_equal(script.round_count, 2);
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    cellar_batch_free(batch);
    /* The same without a loss was not applied. */
    script = (struct script){.results = {"\x91\x93\x06\xa0\xcd\xea\x60"}, .results_bytes = {7}};
    batch = batch_make(1, -1);
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_UNAVAILABLE);
    cellar_batch_free(batch);
}

static void results_that_cannot_be_read_leave_the_outcome_unknown(void **state)
{
    (void)state;
    static const struct {
        const char *results;
        size_t bytes;
    } cases[] = {
        {RESULTS("\x92\x00")},                 /* one too few inside */
        {RESULTS("\x91\x00")},                 /* for fewer entries */
        {RESULTS("\x93\x00\x00\x00")},         /* for more */
        {RESULTS("\x92\x00\xc0")},             /* nil */
        {RESULTS("\x92\x00\x92\x02\xa0")},     /* without its delay */
        {RESULTS("\x92\x00\x93\x7f\xa0\x00")}, /* a code that is none */
        {RESULTS("\x01")},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct script script = {.results = {cases[index].results},
                                .results_bytes = {cases[index].bytes}};
        struct cellar_batch *batch = batch_make(2, 1000);
        /* A RAW field that is not one value makes the whole answer unreadable. */
        assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OUTCOME_UNKNOWN);
        assert_int_equal(cellar_batch_result(batch, 1, NULL), CELLAR_E_OUTCOME_UNKNOWN);
        cellar_batch_free(batch);
    }
}

static void a_batch_is_filled_within_limits_and_keeps_its_first_failure(void **state)
{
    (void)state;
    struct cellar_client *client = NULL;
    struct cellar_call call = {0};
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    assert_int_equal(cellar_client_open(NULL, NULL, &client), CELLAR_E_OK);
    assert_int_equal(cellar_mutate_rows(client, "t", batch, &call), CELLAR_E_INVALID_ARGUMENT);
    assert_non_null(strstr(call.failure.text, "must have an entry"));
    cellar_batch_clear(batch);
    for (int count = 0; count < 60000; count++) {
        cellar_mutations_delete_row(list);
    }
    cellar_batch_add(batch, TEXT("a"), list);
    assert_int_equal(cellar_batch_mutation_count(batch), 60000);
    cellar_batch_add(batch, TEXT("b"), list);
    assert_int_equal(cellar_batch_count(batch), 1);
    assert_int_equal(cellar_mutate_rows(client, "t", batch, &call), CELLAR_E_INVALID_ARGUMENT);
    assert_string_equal(call.failure.text, "Too many mutations: 120000 provided; limit 100000");
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_INVALID_ARGUMENT);
    cellar_batch_clear(batch);
    assert_int_equal(cellar_batch_bytes(batch), 0);
    cellar_batch_add(batch, TEXT("c"), NULL);
    assert_int_equal(cellar_mutate_rows(client, "t", batch, &call), CELLAR_E_NO_MEMORY);
    assert_int_equal(cellar_mutate_rows(client, "t", NULL, &call), CELLAR_E_NO_MEMORY);
    cellar_mutations_free(list);
    cellar_batch_free(batch);
    cellar_batch_free(NULL);
    cellar_client_close(client);
}

static enum cellar_status build(void *context)
{
    struct cellar_batch *batch = cellar_batch_new();
    for (int count = 0; count < 50; count++) {
        cellar_batch_add(batch, TEXT("some row"), context);
    }
    bool is_full = cellar_batch_count(batch) == 50;
    cellar_batch_free(batch);
    return is_full ? CELLAR_OK : CELLAR_NO_MEMORY;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    assert_true(test_out_of_memory_loop(build, list) >= 4);
    cellar_mutations_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_entry_has_its_result),
        cmocka_unit_test(unavailable_entries_go_again_alone),
        cmocka_unit_test(a_failure_of_a_later_round_leaves_earlier_results),
        cmocka_unit_test(without_a_token_a_batch_with_the_servers_time_is_not_sent_twice),
        cmocka_unit_test(entries_with_the_servers_time_have_tokens_that_stay_theirs),
        cmocka_unit_test(entries_of_explicit_times_have_no_tokens),
        cmocka_unit_test(an_entry_whose_token_finds_no_room_goes_without),
        cmocka_unit_test(an_entry_in_doubt_is_unknown_whatever_refuses_it_later),
        cmocka_unit_test(an_answer_of_unknown_leaves_an_entry_in_doubt),
        cmocka_unit_test(an_entry_in_doubt_that_is_never_taken_is_unknown),
        cmocka_unit_test(results_that_cannot_be_read_leave_the_outcome_unknown),
        cmocka_unit_test(a_batch_is_filled_within_limits_and_keeps_its_first_failure),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
