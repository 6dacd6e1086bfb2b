/*
 * batch: entries are sent in one request, each has its result, those that were answered UNAVAILABLE
 * go again alone, and a failure of the whole is that of every entry without an answer. The peer
 * answers each request with the next prepared results.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <string.h>

#include "common/cell.h"
#include "common/mutation.h"

#define TEXT(text) cellar_text(text)
#define ROUNDS_MAX 8

/* Answers by round: an array of results; NULL closes the connection instead. */
struct script {
    const char *results[ROUNDS_MAX];
    size_t results_bytes[ROUNDS_MAX];
    unsigned round_count; /* seen */
    uint32_t entry_counts[ROUNDS_MAX];
    uint8_t first_keys[ROUNDS_MAX]; /* the first byte of the first entry's key */
};

#define RESULTS(text) text, sizeof(text) - 1

static void request_note(struct script *script, const struct fake_request *request)
{
    struct cellar_msg_mutate_rows_request message;
    uint32_t count;
    struct cellar_slice key;
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_mutate_rows_request_type, cellar_slice_of(&request->body),
                              &message, CELLAR_UNKNOWN_REFUSE, NULL);
    CELLAR_ASSERT(status == CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(message.entries);
    bool is_read = cellar_wire_get_array(&from, &script->entry_counts[script->round_count]) &&
                   cellar_wire_get_array(&from, &count) && cellar_wire_get_bytes(&from, &key);
    CELLAR_ASSERT(is_read && count == 2);
    script->first_keys[script->round_count] = key.bytes == 0 ? 0 : key.data[0];
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

static enum cellar_code send_batch(struct script *script, struct cellar_batch *batch,
                                   struct cellar_call *call)
{
    struct fake_peer peer = {.serve = serve, .context = script};
    fake_peer_start(&peer);
    struct cellar_client *client = fake_peer_client(&peer, NULL);
    enum cellar_code code = cellar_mutate_rows(client, "t", batch, call);
    cellar_client_close(client);
    fake_peer_stop(&peer);
    return code;
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
    assert_int_equal(send_batch(&script, batch, &call), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(script.round_count, 2); /* not sent again: its times are the server's */
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_result(batch, 1, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(cellar_batch_result(batch, 2, NULL), CELLAR_E_ALREADY_EXISTS);
    cellar_batch_free(batch);
}

static void a_batch_with_the_servers_time_is_not_sent_twice(void **state)
{
    (void)state;
    struct script script = {.results = {NULL, "\x91\x00"}, .results_bytes = {0, 2}};
    struct cellar_batch *batch = batch_make(1, -1);
    struct cellar_failure failure;
    assert_int_equal(send_batch(&script, batch, NULL), CELLAR_E_OUTCOME_UNKNOWN);
    assert_int_equal(script.round_count, 1);
    assert_int_equal(cellar_batch_result(batch, 0, &failure), CELLAR_E_OUTCOME_UNKNOWN);
    assert_non_null(strstr(failure.text, "may or may not"));
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
        cmocka_unit_test(a_batch_with_the_servers_time_is_not_sent_twice),
        cmocka_unit_test(results_that_cannot_be_read_leave_the_outcome_unknown),
        cmocka_unit_test(a_batch_is_filled_within_limits_and_keeps_its_first_failure),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
