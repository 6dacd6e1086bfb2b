/*
 * retry: what is sent again and when, as a table of every kind of failure, the back-off's bounds,
 * the deadline, and what becomes of writes whose outcome nobody knows.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/retry.h"

#define FOREVER 0

static struct cellar_retry retry_of(enum cellar_safety safety, int64_t deadline_us)
{
    return (struct cellar_retry){.safety = safety,
                                 .attempts_max = 100,
                                 .connect_attempts_max = 3,
                                 .deadline_us = deadline_us};
}

/* One more failed attempt at time 0; `code` receives the code it ends with. */
static bool again(struct cellar_retry *retry, enum cellar_attempt attempt, enum cellar_status *code,
                  int64_t *delay_us)
{
    struct cellar_error error;
    struct cellar_retry_chance chance = {.now_us = 0, .random = 0};
    (void)cellar_error_set(&error, *code, "why");
    bool is_again = cellar_retry_again(retry, attempt, chance, &error, delay_us);
    *code = error.code;
    return is_again;
}

static void each_kind_of_failure_is_decided_as_the_table_says(void **state)
{
    (void)state;
    static const struct {
        enum cellar_safety safety;
        enum cellar_attempt attempt;
        enum cellar_status code;
        bool is_again;
        enum cellar_status end;
    } cases[] = {
        {CELLAR_SAFETY_READ, CELLAR_ATTEMPT_ANSWERED, CELLAR_UNAVAILABLE, true, 0},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_ANSWERED, CELLAR_UNAVAILABLE, true, 0},
        {CELLAR_SAFETY_READ, CELLAR_ATTEMPT_ANSWERED, CELLAR_NOT_FOUND, false, CELLAR_NOT_FOUND},
        {CELLAR_SAFETY_READ, CELLAR_ATTEMPT_ANSWERED, CELLAR_RESOURCE_EXHAUSTED, false,
         CELLAR_RESOURCE_EXHAUSTED},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_ANSWERED, CELLAR_IO_ERROR, false, CELLAR_IO_ERROR},
        {CELLAR_SAFETY_IDEMPOTENT, CELLAR_ATTEMPT_ANSWERED, CELLAR_OUTCOME_UNKNOWN, true, 0},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_ANSWERED, CELLAR_OUTCOME_UNKNOWN, false,
         CELLAR_OUTCOME_UNKNOWN},
        {CELLAR_SAFETY_IDEMPOTENT, CELLAR_ATTEMPT_ANSWERED, CELLAR_IO_ERROR, false,
         CELLAR_IO_ERROR},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_CONNECT, CELLAR_UNAVAILABLE, true, 0},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_CONNECT, CELLAR_FAILED_PRECONDITION, false,
         CELLAR_FAILED_PRECONDITION},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_UNSENT, CELLAR_UNAVAILABLE, true, 0},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_UNSENT, CELLAR_NO_MEMORY, false, CELLAR_NO_MEMORY},
        {CELLAR_SAFETY_READ, CELLAR_ATTEMPT_SENT, CELLAR_UNAVAILABLE, true, 0},
        {CELLAR_SAFETY_READ, CELLAR_ATTEMPT_SENT, CELLAR_IO_ERROR, false, CELLAR_IO_ERROR},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_SENT, CELLAR_UNAVAILABLE, false,
         CELLAR_OUTCOME_UNKNOWN},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_SENT, CELLAR_IO_ERROR, false, CELLAR_OUTCOME_UNKNOWN},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_SENT, CELLAR_NO_MEMORY, false, CELLAR_OUTCOME_UNKNOWN},
        {CELLAR_SAFETY_WRITE, CELLAR_ATTEMPT_SENT, CELLAR_DEADLINE_EXCEEDED, false,
         CELLAR_DEADLINE_EXCEEDED},
        {CELLAR_SAFETY_IDEMPOTENT, CELLAR_ATTEMPT_SENT, CELLAR_UNAVAILABLE, true, 0},
        {CELLAR_SAFETY_IDEMPOTENT, CELLAR_ATTEMPT_SENT, CELLAR_IO_ERROR, true, 0},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_retry retry = retry_of(cases[index].safety, FOREVER);
        enum cellar_status code = cases[index].code;
        int64_t delay_us = 0;
        bool is_again = again(&retry, cases[index].attempt, &code, &delay_us);
        if (is_again != cases[index].is_again || (!is_again && code != cases[index].end)) {
            fail_msg("case %zu: again %d, code %d", index, is_again, (int)code);
        }
    }
}

static void an_idempotent_write_in_doubt_is_sent_again_until_its_deadline(void **state)
{
    (void)state;
    static const enum cellar_attempt attempts[] = {CELLAR_ATTEMPT_SENT, CELLAR_ATTEMPT_CONNECT,
                                                   CELLAR_ATTEMPT_UNSENT};
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_IDEMPOTENT, 60000000);
    struct cellar_retry_chance chance = {.random = UINT64_MAX};
    struct cellar_error error;
    int64_t delay_us = -1;
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "why");
    assert_true(cellar_retry_again(&retry, CELLAR_ATTEMPT_SENT, chance, &error, &delay_us));
    assert_int_equal(delay_us, 0); /* at once, on a new connection */
    uint32_t count = 0;
    while (cellar_retry_again(&retry, attempts[count % 3], chance, &error, &delay_us)) {
        assert_true(delay_us <= (retry.deadline_us - chance.now_us) / 2);
        chance.now_us += CELLAR_MAX(delay_us, INT64_C(1));
        count++;
        assert_in_range(count, 1, 99);
    }
    assert_in_range(chance.now_us, 59999990, 60000000);
    assert_in_range(count, 30, 70);
    assert_int_equal(error.code, CELLAR_OUTCOME_UNKNOWN);
}

static void a_write_in_doubt_heeds_the_servers_delay(void **state)
{
    (void)state;
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_IDEMPOTENT, 1000000);
    struct cellar_retry_chance chance = {0};
    struct cellar_error error;
    int64_t delay_us;
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "lost");
    assert_true(cellar_retry_again(&retry, CELLAR_ATTEMPT_SENT, chance, &error, &delay_us));
    error.retry_delay_ms = 900;
    assert_true(cellar_retry_again(&retry, CELLAR_ATTEMPT_ANSWERED, chance, &error, &delay_us));
    assert_int_equal(delay_us, 900000);
    error.retry_delay_ms = 1000;
    assert_false(cellar_retry_again(&retry, CELLAR_ATTEMPT_ANSWERED, chance, &error, &delay_us));
    assert_int_equal(error.code, CELLAR_OUTCOME_UNKNOWN);
}

static void an_answer_of_unknown_leaves_a_write_in_doubt(void **state)
{
    (void)state;
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_IDEMPOTENT, FOREVER);
    enum cellar_status code = CELLAR_OUTCOME_UNKNOWN;
    int64_t delay_us;
    assert_true(again(&retry, CELLAR_ATTEMPT_ANSWERED, &code, &delay_us));
    assert_in_range(delay_us, 25000, 50000);
    code = CELLAR_IO_ERROR;
    assert_false(again(&retry, CELLAR_ATTEMPT_ANSWERED, &code, &delay_us));
    assert_int_equal(code, CELLAR_OUTCOME_UNKNOWN);
}

static void what_follows_a_lost_write_is_unknown_but_for_plain_refusals(void **state)
{
    (void)state;
    static const struct {
        enum cellar_status answer;
        enum cellar_status end;
    } cases[] = {
        {CELLAR_INVALID_ARGUMENT, CELLAR_INVALID_ARGUMENT},
        {CELLAR_UNIMPLEMENTED, CELLAR_UNIMPLEMENTED},
        {CELLAR_NOT_FOUND, CELLAR_OUTCOME_UNKNOWN},
        {CELLAR_RESOURCE_EXHAUSTED, CELLAR_OUTCOME_UNKNOWN},
        {CELLAR_IO_ERROR, CELLAR_OUTCOME_UNKNOWN},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_retry retry = retry_of(CELLAR_SAFETY_IDEMPOTENT, FOREVER);
        enum cellar_status code = CELLAR_UNAVAILABLE;
        int64_t delay_us;
        assert_true(again(&retry, CELLAR_ATTEMPT_SENT, &code, &delay_us));
        code = cases[index].answer;
        assert_false(again(&retry, CELLAR_ATTEMPT_ANSWERED, &code, &delay_us));
        assert_int_equal(code, cases[index].end);
    }
    /* It cannot be reached any more: an attempt may still have been applied. */
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_IDEMPOTENT, FOREVER);
    enum cellar_status code = CELLAR_UNAVAILABLE;
    int64_t delay_us;
    assert_true(again(&retry, CELLAR_ATTEMPT_SENT, &code, &delay_us));
    while (again(&retry, CELLAR_ATTEMPT_CONNECT, &code, &delay_us)) {
    }
    assert_int_equal(code, CELLAR_OUTCOME_UNKNOWN);
    assert_int_equal(retry.attempt_count, retry.attempts_max);
}

static void an_unknown_outcome_says_so_and_why(void **state)
{
    (void)state;
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_WRITE, FOREVER);
    struct cellar_retry_chance chance = {0};
    struct cellar_error error;
    int64_t delay_us;
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "The server closed the connection");
    assert_false(cellar_retry_again(&retry, CELLAR_ATTEMPT_SENT, chance, &error, &delay_us));
    assert_string_equal(error.text, "The write may or may not have been applied: The server "
                                    "closed the connection");
    assert_int_equal(error.retry_delay_ms, 0);
}

static void what_is_sent_on_goes_on_a_few_times_in_a_row(void **state)
{
    (void)state;
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_WRITE, FOREVER);
    struct cellar_retry_chance chance = {0};
    struct cellar_error error;
    int64_t delay_us = -1;
    for (int row = 0; row < 2; row++) {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "not here");
        for (int count = 0; count < 5; count++) {
            assert_true(
                cellar_retry_again(&retry, CELLAR_ATTEMPT_MOVED, chance, &error, &delay_us));
            assert_int_equal(delay_us, 0);
        }
        if (row == 0) { /* an answer in between shows that it is no circle */
            assert_true(
                cellar_retry_again(&retry, CELLAR_ATTEMPT_ANSWERED, chance, &error, &delay_us));
        }
    }
    assert_false(cellar_retry_again(&retry, CELLAR_ATTEMPT_MOVED, chance, &error, &delay_us));
    assert_int_equal(error.code, CELLAR_UNAVAILABLE);
    assert_string_equal(error.text,
                        "The request was sent on from server to server 6 times: not here");
    /* A write in doubt stays so. */
    retry = retry_of(CELLAR_SAFETY_IDEMPOTENT, FOREVER);
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "not here");
    assert_true(cellar_retry_again(&retry, CELLAR_ATTEMPT_SENT, chance, &error, &delay_us));
    while (cellar_retry_again(&retry, CELLAR_ATTEMPT_MOVED, chance, &error, &delay_us)) {
    }
    assert_int_equal(error.code, CELLAR_OUTCOME_UNKNOWN);
}

static void connecting_is_tried_three_times(void **state)
{
    (void)state;
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_READ, FOREVER);
    enum cellar_status code = CELLAR_UNAVAILABLE;
    int64_t delay_us;
    assert_true(again(&retry, CELLAR_ATTEMPT_CONNECT, &code, &delay_us));
    assert_true(again(&retry, CELLAR_ATTEMPT_CONNECT, &code, &delay_us));
    assert_false(again(&retry, CELLAR_ATTEMPT_CONNECT, &code, &delay_us));
    assert_int_equal(code, CELLAR_UNAVAILABLE);
}

static void attempts_have_a_limit(void **state)
{
    (void)state;
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_READ, FOREVER);
    enum cellar_status code = CELLAR_UNAVAILABLE;
    int64_t delay_us;
    uint32_t count = 1;
    while (again(&retry, CELLAR_ATTEMPT_ANSWERED, &code, &delay_us)) {
        count++;
    }
    assert_int_equal(count, 100);
    retry = retry_of(CELLAR_SAFETY_READ, FOREVER);
    retry.attempts_max = 1;
    assert_false(again(&retry, CELLAR_ATTEMPT_ANSWERED, &code, &delay_us));
}

static void the_back_off_doubles_to_two_seconds_with_half_by_chance(void **state)
{
    (void)state;
    static const int64_t base_us[] = {50000,   100000,  200000,  400000, 800000,
                                      1600000, 2000000, 2000000, 2000000};
    static const uint64_t chances[] = {0, 1, 12345678901234567u, UINT64_MAX};
    for (size_t chance = 0; chance < CELLAR_ARRAY_COUNT(chances); chance++) {
        struct cellar_retry retry = retry_of(CELLAR_SAFETY_READ, FOREVER);
        for (size_t index = 0; index < CELLAR_ARRAY_COUNT(base_us); index++) {
            struct cellar_error error;
            struct cellar_retry_chance dice = {.random = chances[chance]};
            int64_t delay_us;
            (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "busy");
            assert_true(
                cellar_retry_again(&retry, CELLAR_ATTEMPT_ANSWERED, dice, &error, &delay_us));
            assert_in_range(delay_us, base_us[index] / 2, base_us[index]);
        }
    }
}

static void the_servers_delay_is_waited_for(void **state)
{
    (void)state;
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_WRITE, FOREVER);
    struct cellar_retry_chance chance = {.random = UINT64_MAX};
    struct cellar_error error;
    int64_t delay_us;
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "busy");
    error.retry_delay_ms = 300;
    assert_true(cellar_retry_again(&retry, CELLAR_ATTEMPT_ANSWERED, chance, &error, &delay_us));
    assert_in_range(delay_us, 300000, 450000);
    error.retry_delay_ms = UINT32_MAX;
    assert_true(cellar_retry_again(&retry, CELLAR_ATTEMPT_ANSWERED, chance, &error, &delay_us));
    assert_true(delay_us >= INT64_C(4294967295000));
}

static void no_attempt_starts_behind_the_deadline(void **state)
{
    (void)state;
    struct cellar_retry retry = retry_of(CELLAR_SAFETY_READ, 1000000);
    struct cellar_retry_chance chance = {.now_us = 900000};
    struct cellar_error error;
    int64_t delay_us;
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "busy");
    error.retry_delay_ms = 99;
    assert_true(cellar_retry_again(&retry, CELLAR_ATTEMPT_ANSWERED, chance, &error, &delay_us));
    error.retry_delay_ms = 100;
    assert_false(cellar_retry_again(&retry, CELLAR_ATTEMPT_ANSWERED, chance, &error, &delay_us));
    assert_int_equal(error.code, CELLAR_UNAVAILABLE); /* it was not applied */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_failure_is_decided_as_the_table_says),
        cmocka_unit_test(an_idempotent_write_in_doubt_is_sent_again_until_its_deadline),
        cmocka_unit_test(a_write_in_doubt_heeds_the_servers_delay),
        cmocka_unit_test(an_answer_of_unknown_leaves_a_write_in_doubt),
        cmocka_unit_test(what_follows_a_lost_write_is_unknown_but_for_plain_refusals),
        cmocka_unit_test(an_unknown_outcome_says_so_and_why),
        cmocka_unit_test(what_is_sent_on_goes_on_a_few_times_in_a_row),
        cmocka_unit_test(connecting_is_tried_three_times),
        cmocka_unit_test(attempts_have_a_limit),
        cmocka_unit_test(the_back_off_doubles_to_two_seconds_with_half_by_chance),
        cmocka_unit_test(the_servers_delay_is_waited_for),
        cmocka_unit_test(no_attempt_starts_behind_the_deadline),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
