/*
 * token: which writes carry one, that it stays the same when they are sent again, and what becomes
 * of a write whose token the server refuses. The peer notes what it got.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <string.h>

#include "client/lib/call.h"
#include "common/clock.h"

#define TEXT(text) cellar_text(text)
#define STEPS_MAX 8u
#define TIMEOUT_US INT64_C(60000000)
#define WINDOW_US UINT64_C(900000000)

/* What a request held. */
struct seen {
    uint8_t token[32];
    size_t token_bytes;
    uint64_t start_us;
    uint64_t life_us;
};

/* What the peer answers, in order: a code, or CLOSE. */
#define CLOSE (-1)
struct script {
    int answers[STEPS_MAX];
    unsigned seen_count;
    struct seen seen[STEPS_MAX];
};

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct script *script = peer->context;
    struct fake_request request = {0};
    (void)index;
    while (fake_receive(fd, &request)) {
        struct cellar_msg_mutate_row_request message;
        enum cellar_status status = cellar_message_decode(&cellar_msg_mutate_row_request_type,
                                                          cellar_slice_of(&request.body), &message,
                                                          CELLAR_UNKNOWN_REFUSE, NULL);
        CELLAR_ASSERT(status == CELLAR_OK && script->seen_count < STEPS_MAX);
        CELLAR_ASSERT(message.token.bytes <= sizeof script->seen[0].token);
        struct seen *seen = &script->seen[script->seen_count];
        int answer = script->answers[script->seen_count++];
        *seen = (struct seen){.token_bytes = message.token.bytes,
                              .start_us = message.token_start_us,
                              .life_us = message.token_life_us};
        if (message.token.bytes > 0) {
            memcpy(seen->token, message.token.data, message.token.bytes);
        }
        if (answer == CLOSE) {
            break;
        }
        if (answer == CELLAR_OK) {
            fake_reply_empty(fd, &request);
        } else {
            fake_error(fd, &request, (enum cellar_status)answer, 0);
        }
    }
    fake_request_fini(&request);
}

struct stage {
    struct fake_peer peer;
    struct script script;
    struct cellar_client *client;
};

static void stage_open(struct stage *stage, const struct script *script,
                       const struct cellar_options *options)
{
    stage->script = *script;
    stage->peer = (struct fake_peer){.serve = serve, .context = &stage->script};
    fake_peer_start(&stage->peer);
    stage->client = fake_peer_client(&stage->peer, options);
}

static void stage_close(struct stage *stage)
{
    cellar_client_close(stage->client);
    fake_peer_stop(&stage->peer);
}

enum kind { SET, SET_AT, SET_BOTH, DELETE };

static enum cellar_code write_run(struct stage *stage, enum kind kind)
{
    struct cellar_call call = {.timeout_us = TIMEOUT_US};
    struct cellar_mutations *list = cellar_mutations_new();
    if (kind == SET_AT || kind == SET_BOTH) {
        cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    }
    if (kind == SET || kind == SET_BOTH) {
        cellar_mutations_set(list, "f", TEXT("p"), TEXT("v"));
    }
    if (kind == DELETE) {
        cellar_mutations_delete_row(list);
    }
    enum cellar_code code = cellar_mutate_row(stage->client, "t", TEXT("r"), list, &call);
    cellar_mutations_free(list);
    return code;
}

static void what_is_not_safe_to_repeat_carries_a_token_of_its_own(void **state)
{
    (void)state;
    static const struct script script = {.answers = {CELLAR_OK, CELLAR_OK, CELLAR_OK, CELLAR_OK}};
    struct stage stage;
    int64_t before_us = cellar_clock_real_us();
    stage_open(&stage, &script, NULL);
    assert_int_equal(write_run(&stage, SET), CELLAR_E_OK);
    assert_int_equal(write_run(&stage, SET_BOTH), CELLAR_E_OK);
    assert_int_equal(write_run(&stage, DELETE), CELLAR_E_OK);
    assert_int_equal(write_run(&stage, SET_AT), CELLAR_E_OK);
    stage_close(&stage);
    const struct seen *seen = stage.script.seen;
    for (unsigned index = 0; index < 3; index++) {
        assert_int_equal(seen[index].token_bytes, CELLAR_TOKEN_BYTES);
        assert_in_range(seen[index].start_us, before_us, cellar_clock_real_us());
        assert_in_range(seen[index].life_us, TIMEOUT_US / 2, TIMEOUT_US + 5000000);
    }
    assert_memory_not_equal(seen[0].token, seen[1].token, CELLAR_TOKEN_BYTES);
    assert_memory_not_equal(seen[1].token, seen[2].token, CELLAR_TOKEN_BYTES);
    assert_int_equal(seen[3].token_bytes, 0); /* explicit times only */
    assert_int_equal(seen[3].start_us, 0);
    assert_int_equal(seen[3].life_us, 0);
}

static void a_write_with_a_token_is_sent_again_with_the_same_one(void **state)
{
    (void)state;
    static const struct script script = {
        .answers = {CLOSE, CELLAR_OUTCOME_UNKNOWN, CLOSE, CELLAR_UNAVAILABLE, CELLAR_OK}};
    struct stage stage;
    stage_open(&stage, &script, NULL);
    assert_int_equal(write_run(&stage, SET), CELLAR_E_OK);
    stage_close(&stage);
    assert_int_equal(stage.script.seen_count, 5);
    for (unsigned index = 1; index < 5; index++) {
        assert_memory_equal(&stage.script.seen[index], &stage.script.seen[0], sizeof(struct seen));
    }
}

static void what_is_sent_once_only_needs_no_token(void **state)
{
    (void)state;
    static const struct script script = {.answers = {CLOSE}};
    static const struct cellar_options options = {.attempts_max = 1};
    struct stage stage;
    stage_open(&stage, &script, &options);
    assert_int_equal(write_run(&stage, SET), CELLAR_E_OUTCOME_UNKNOWN);
    stage_close(&stage);
    assert_int_equal(stage.script.seen_count, 1);
    assert_int_equal(stage.script.seen[0].token_bytes, 0);
}

static void a_clock_that_is_behind_is_told_no_more(void **state)
{
    (void)state;
    static const struct script script = {
        .answers = {CELLAR_FAILED_PRECONDITION, CELLAR_OK, CELLAR_OK, CELLAR_FAILED_PRECONDITION}};
    struct stage stage;
    stage_open(&stage, &script, NULL);
    assert_int_equal(write_run(&stage, SET), CELLAR_E_OK);
    assert_int_equal(write_run(&stage, SET), CELLAR_E_OK);
    assert_int_equal(write_run(&stage, SET), CELLAR_E_FAILED_PRECONDITION); /* of the write */
    stage_close(&stage);
    const struct seen *seen = stage.script.seen;
    assert_int_equal(stage.script.seen_count, 4);
    assert_int_not_equal(seen[0].start_us, 0);
    assert_memory_equal(seen[0].token, seen[1].token, CELLAR_TOKEN_BYTES);
    for (unsigned index = 1; index < 4; index++) {
        assert_int_equal(seen[index].start_us, 0);
        assert_in_range(seen[index].life_us, 1, WINDOW_US);
    }
}

static void where_tokens_are_full_a_write_goes_without(void **state)
{
    (void)state;
    static const struct script script = {
        .answers = {CELLAR_RESOURCE_EXHAUSTED, CLOSE, CELLAR_RESOURCE_EXHAUSTED}};
    struct stage stage;
    stage_open(&stage, &script, NULL);
    assert_int_equal(write_run(&stage, SET), CELLAR_E_OUTCOME_UNKNOWN); /* not repeated */
    assert_true(stage.client->tokens_full_until_us > 0);
    stage.client->tokens_full_until_us = INT64_MAX;
    assert_int_equal(write_run(&stage, SET), CELLAR_E_RESOURCE_EXHAUSTED); /* of the write */
    stage_close(&stage);
    assert_int_equal(stage.script.seen_count, 3); /* twice, then once */
    assert_int_equal(stage.script.seen[0].token_bytes, CELLAR_TOKEN_BYTES);
    assert_int_equal(stage.script.seen[1].token_bytes, 0);
    assert_int_equal(stage.script.seen[1].life_us, 0);
    assert_int_equal(stage.script.seen[2].token_bytes, 0);
}

static void a_write_in_doubt_keeps_its_token(void **state)
{
    (void)state;
    static const enum cellar_status refusals[] = {CELLAR_RESOURCE_EXHAUSTED,
                                                  CELLAR_FAILED_PRECONDITION};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(refusals); index++) {
        const struct script script = {.answers = {CLOSE, (int)refusals[index], CELLAR_OK}};
        struct stage stage;
        stage_open(&stage, &script, NULL);
        assert_int_equal(write_run(&stage, SET), CELLAR_E_OUTCOME_UNKNOWN);
        stage_close(&stage);
        assert_int_equal(stage.script.seen_count, 2);
    }
}

static void a_life_lasts_a_quarter_of_an_hour_at_most(void **state)
{
    (void)state;
    struct cellar_client *client = NULL;
    uint64_t start_us = 0;
    uint64_t life_us = 0;
    const struct cellar_token_fields fields = {NULL, &start_us, &life_us};
    assert_int_equal(cellar_client_open(NULL, NULL, &client), CELLAR_E_OK);
    int64_t now_us = cellar_clock_monotonic_us();
    cellar_token_begin(client, &fields, now_us + INT64_C(31536000000000));
    assert_int_equal(life_us, WINDOW_US);
    cellar_token_begin(client, &fields, now_us - 1);
    assert_int_equal(life_us, 5000000);
    cellar_client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_safe_to_repeat_carries_a_token_of_its_own),
        cmocka_unit_test(a_write_with_a_token_is_sent_again_with_the_same_one),
        cmocka_unit_test(what_is_sent_once_only_needs_no_token),
        cmocka_unit_test(a_clock_that_is_behind_is_told_no_more),
        cmocka_unit_test(where_tokens_are_full_a_write_goes_without),
        cmocka_unit_test(a_write_in_doubt_keeps_its_token),
        cmocka_unit_test(a_life_lasts_a_quarter_of_an_hour_at_most),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
