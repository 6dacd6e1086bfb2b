/*
 * Sessions and frames: the way in (preface, HELLO), what breaks a rule and what follows, requests
 * of several frames with their limits, how many may be in flight, and the end in its forms. The
 * service is a fake; PING stands for an operation that answers at once, MUTATE_ROW for one that
 * waits.
 */
#include "tests/unit/net/session_harness.h"

#include <string.h>

#include "common/clock.h"
#include "tests/unit/net/fake_service.h"

static void ping(struct harness *harness, uint32_t id)
{
    struct cellar_msg_empty empty = {0};
    harness_request(harness, id, CELLAR_OP_PING, &cellar_msg_empty_type, &empty);
}

static void hello(struct harness *harness, uint32_t id, uint64_t version_min, uint64_t version_max)
{
    struct cellar_msg_hello_request message = {.version_min = version_min,
                                               .version_max = version_max};
    harness_request(harness, id, CELLAR_OP_HELLO, &cellar_msg_hello_request_type, &message);
}

static void mutate(struct harness *harness, uint32_t id, const char *row)
{
    struct cellar_msg_mutate_row_request message = {.table = cellar_slice_text("t"),
                                                    .row = cellar_slice_text(row),
                                                    .mutations = cellar_slice_text("\x91\x91\x03")};
    harness_request(harness, id, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                    &message);
}

/* The connection has failed: it takes no input and is gone after the turn. */
static void expect_closed(struct harness *harness)
{
    assert_true(io_conn_is_paused(harness->conn));
    io_loop_turn(harness->loop, false);
    assert_int_equal(io_loop_member_count(harness->loop), 0);
    harness_close(harness);
}

/* ---- the way in ------------------------------------------------------------------------------ */

static void session_greets_however_the_bytes_are_cut(void **state)
{
    (void)state;
    fake_reset();
    struct harness harness;
    static const uint8_t bytes[] = "\x93"
                                   "CELLAR\n"
                                   "\0\0\0\5\0\0\0\1\0\1\1\0"
                                   "\x82\1\1\2\1"
                                   "\0\0\0\1\0\0\0\2\0\2\1\0"
                                   "\x80";
    harness_open(&harness);
    for (size_t i = 0; i + 1 < sizeof bytes; i++) {
        harness_feed(&harness, bytes + i, 1);
    }
    struct cellar_msg_hello_reply reply;
    struct harness_frame frame = harness_expect(&harness, 1, CELLAR_FRAME_REPLY);
    assert_int_equal(frame.head.operation, CELLAR_OP_HELLO);
    assert_int_equal(cellar_message_decode(&cellar_msg_hello_reply_type, frame.payload, &reply,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(reply.version, 1);
    assert_int_equal(reply.frame_bytes_max, 1048576);
    assert_int_equal(reply.requests_max, NET_REQUEST_COUNT_MAX);
    assert_int_equal(reply.request_bytes_max, 6 * 1048576);
    assert_true(cellar_slice_equal(reply.server, cellar_slice_text("cellard 9.9.9")));
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    harness_expect_nothing(&harness);
    harness_close(&harness);
}

static void session_closes_on_a_wrong_preface(void **state)
{
    (void)state;
    struct harness harness;
    harness_open(&harness);
    harness_feed(&harness,
                 "\x93"
                 "CELLAS\n",
                 8);
    harness_expect_nothing(&harness);
    expect_closed(&harness);
}

static void session_wants_hello_first(void **state)
{
    (void)state;
    struct harness harness;
    harness_open(&harness);
    harness_feed(&harness, cellar_preface, CELLAR_PREFACE_BYTES);
    ping(&harness, 4);
    harness_expect_error(&harness, 4, CELLAR_FAILED_PRECONDITION, "HELLO");
    expect_closed(&harness);
}

static void session_refuses_versions_it_does_not_speak(void **state)
{
    (void)state;
    static const struct {
        uint64_t version_min;
        uint64_t version_max;
        enum cellar_status code;
    } cases[] = {{2, 3, CELLAR_UNIMPLEMENTED},
                 {0, 0, CELLAR_UNIMPLEMENTED},
                 {2, 1, CELLAR_INVALID_ARGUMENT}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct harness harness;
        harness_open(&harness);
        harness_feed(&harness, cellar_preface, CELLAR_PREFACE_BYTES);
        hello(&harness, 1, cases[i].version_min, cases[i].version_max);
        harness_expect_error(&harness, 1, cases[i].code, "version");
        expect_closed(&harness);
    }
}

static void session_refuses_a_second_hello_and_lives_on(void **state)
{
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    hello(&harness, 2, 1, 1);
    harness_expect_error(&harness, 2, CELLAR_FAILED_PRECONDITION, "before");
    ping(&harness, 3);
    (void)harness_expect(&harness, 3, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

static void session_takes_only_small_frames_before_hello(void **state)
{
    (void)state;
    struct harness harness;
    harness_open(&harness);
    harness_feed(&harness, cellar_preface, CELLAR_PREFACE_BYTES);
    harness_feed(&harness, "\0\1\0\1\0\0\0\1\0\1\1\0", 12);
    harness_expect_error(&harness, 0, CELLAR_INVALID_ARGUMENT, "65536");
    expect_closed(&harness);
}

/* ---- broken rules ---------------------------------------------------------------------------- */

struct broken_case {
    const char *name;
    const char *bytes;
    size_t byte_count;
    const char *text;
};

#define BROKEN(name, bytes, text)                                                                  \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, text                                                       \
    }

static const struct broken_case broken_cases[] = {
    BROKEN("length", "\0\x10\0\1\0\0\0\2\0\2\1\0", "1048577"),
    BROKEN("kind 0", "\0\0\0\0\0\0\0\2\0\2\0\0", "kind"),
    BROKEN("kind 8", "\0\0\0\0\0\0\0\2\0\2\x08\0", "kind"),
    BROKEN("flags", "\0\0\0\0\0\0\0\2\0\2\1\2", "flags"),
    BROKEN("a reply", "\0\0\0\0\0\0\0\2\0\2\2\0", "no frame of kind 2"),
    BROKEN("a goaway", "\0\0\0\0\0\0\0\0\0\0\7\0", "no frame of kind 7"),
    BROKEN("id 0", "\0\0\0\1\0\0\0\0\0\2\1\0\x80", "not 0"),
    BROKEN("credit with MORE", "\0\0\0\0\0\0\0\2\0\0\5\1", "MORE"),
    BROKEN("cancel with a body", "\0\0\0\1\0\0\0\2\0\0\6\0\x80", "empty payload"),
    BROKEN("credit without a body", "\0\0\0\0\0\0\0\2\0\0\5\0", "credit"),
    BROKEN("credit that is text", "\0\0\0\4\0\0\0\2\0\0\5\0\x81\1\xa1x", "credit"),
};

static void session_fails_on_frames_that_break_a_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(broken_cases); i++) {
        struct harness harness;
        harness_open_greeted(&harness);
        harness_feed(&harness, broken_cases[i].bytes, broken_cases[i].byte_count);
        harness_expect_error(&harness, 0, CELLAR_INVALID_ARGUMENT, broken_cases[i].text);
        ping(&harness, 3);
        harness_expect_nothing(&harness);
        expect_closed(&harness);
    }
}

static void session_fails_on_an_id_that_is_in_flight(void **state)
{
    (void)state;
    fake_reset();
    struct harness harness;
    harness_open_greeted(&harness);
    mutate(&harness, 5, "a");
    ping(&harness, 5);
    harness_expect_error(&harness, 0, CELLAR_INVALID_ARGUMENT, "but got 5");
    io_loop_turn(harness.loop, false);
    assert_int_equal(io_loop_member_count(harness.loop), 0);
    fake_complete(CELLAR_OK); /* the session was kept for it */
    harness_close(&harness);
}

static void session_answers_an_unknown_operation_and_lives_on(void **state)
{
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    harness_feed(&harness, "\0\0\0\1\0\0\0\2\0\x63\1\0\x80", 13);
    harness_expect_error(&harness, 2, CELLAR_UNIMPLEMENTED, "99");
    /* In several frames it is answered once, and the rest is thrown away. */
    harness_feed(&harness, "\0\0\0\1\0\0\0\3\0\x63\1\1\x81", 13);
    harness_expect_error(&harness, 3, CELLAR_UNIMPLEMENTED, "99");
    harness_feed(&harness, "\0\0\0\1\0\0\0\3\0\x63\1\1\1", 13);
    harness_feed(&harness, "\0\0\0\1\0\0\0\3\0\x63\1\0\1", 13);
    ping(&harness, 3);
    (void)harness_expect(&harness, 3, CELLAR_FRAME_REPLY);
    harness_expect_nothing(&harness);
    harness_close(&harness);
}

static void session_ignores_control_frames_for_ids_it_does_not_know(void **state)
{
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    harness_feed(&harness, "\0\0\0\0\0\0\0\x09\0\0\6\0", 12);
    harness_feed(&harness, "\0\0\0\3\0\0\0\x09\0\0\5\0\x81\1\1", 15);
    ping(&harness, 2);
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

/* ---- requests of several frames -------------------------------------------------------------- */

static void feed_piece(struct harness *harness, uint32_t id, uint16_t operation,
                       struct cellar_slice piece, bool has_more)
{
    struct cellar_frame frame = {.request_id = id,
                                 .operation = operation,
                                 .kind = CELLAR_FRAME_REQUEST,
                                 .has_more = has_more};
    harness_feed_frame(harness, &frame, piece);
}

static void session_joins_frames_with_others_between(void **state)
{
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    feed_piece(&harness, 2, CELLAR_OP_PING, cellar_slice_text(""), true);
    feed_piece(&harness, 3, CELLAR_OP_PING, cellar_slice_text("\x81"), true);
    ping(&harness, 4);
    (void)harness_expect(&harness, 4, CELLAR_FRAME_REPLY);
    feed_piece(&harness, 2, CELLAR_OP_PING, cellar_slice_text("\x80"), false);
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    feed_piece(&harness, 3, CELLAR_OP_PING, cellar_slice_text("\x0f"), true);
    feed_piece(&harness, 3, CELLAR_OP_PING, cellar_slice_text("\x05"), false);
    (void)harness_expect(&harness, 3, CELLAR_FRAME_REPLY);
    harness_expect_nothing(&harness);
    harness_close(&harness);
}

static void session_refuses_a_request_that_grows_too_long_once(void **state)
{
    (void)state;
    struct harness harness;
    uint8_t *piece = cellar_mem_zalloc(1, 1048576);
    harness_open_greeted(&harness);
    for (int i = 0; i < 12; i++) {
        feed_piece(&harness, 2, CELLAR_OP_PING, cellar_slice_make(piece, 1048576), true);
    }
    harness_expect_error(&harness, 2, CELLAR_RESOURCE_EXHAUSTED, "at most 6291456 bytes");
    harness_expect_nothing(&harness);
    feed_piece(&harness, 2, CELLAR_OP_PING, cellar_slice_make(piece, 10), false);
    harness_expect_nothing(&harness);
    assert_int_equal(io_budget_bytes(&harness.request_budget), 0);
    ping(&harness, 2);
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    cellar_mem_free(piece);
    harness_close(&harness);
}

static void session_waits_for_the_budget_then_refuses(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct harness harness;
    harness_open_greeted(&harness);
    io_budget_charge(&harness.request_budget, 8u * 1048576u);
    feed_piece(&harness, 2, CELLAR_OP_PING, cellar_slice_text("\x80"), true);
    assert_true(io_conn_is_paused(harness.conn));
    cellar_clock_fake_step(NET_BUDGET_US_MAX);
    while (io_conn_is_paused(harness.conn)) {
        io_loop_turn(harness.loop, true); /* the retry is a real timer */
    }
    io_loop_turn(harness.loop, false);
    harness_expect_error(&harness, 2, CELLAR_UNAVAILABLE, "no room");
    io_budget_give(&harness.request_budget, 8u * 1048576u);
    harness_close(&harness);
    cellar_clock_fake_off();
}

static void session_cancels_a_half_sent_request(void **state)
{
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    feed_piece(&harness, 2, CELLAR_OP_PING, cellar_slice_text("\x80"), true);
    harness_feed(&harness, "\0\0\0\0\0\0\0\2\0\0\6\0", 12);
    harness_expect_error(&harness, 2, CELLAR_CANCELLED, "whole request");
    ping(&harness, 2);
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

static void session_fails_when_a_request_changes_its_operation(void **state)
{
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    feed_piece(&harness, 2, CELLAR_OP_PING, cellar_slice_text("\x80"), true);
    feed_piece(&harness, 2, CELLAR_OP_SERVER_INFO, cellar_slice_text(""), false);
    harness_expect_error(&harness, 0, CELLAR_INVALID_ARGUMENT, "began as operation 2");
    expect_closed(&harness);
}

static void session_bounds_its_half_sent_requests(void **state)
{
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i <= NET_JOIN_COUNT_MAX; i++) {
        feed_piece(&harness, 2 + i, CELLAR_OP_PING, cellar_slice_text("\x80"), true);
    }
    harness_expect_error(&harness, 0, CELLAR_RESOURCE_EXHAUSTED, "at most 64 half-sent");
    expect_closed(&harness);
}

/* ---- in flight ------------------------------------------------------------------------------- */

static void session_stops_reading_at_the_limit_of_requests(void **state)
{
    (void)state;
    fake_reset();
    struct harness harness;
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < NET_REQUEST_COUNT_MAX; i++) {
        mutate(&harness, 10 + i, "a");
    }
    assert_false(io_conn_is_paused(harness.conn));
    ping(&harness, 5000);
    assert_true(io_conn_is_paused(harness.conn));
    assert_int_equal(fake.write_total, NET_REQUEST_COUNT_MAX);
    fake_complete(CELLAR_OK);
    io_loop_turn(harness.loop, false);
    io_loop_turn(harness.loop, false);
    (void)harness_expect(&harness, 10, CELLAR_FRAME_REPLY);
    (void)harness_expect(&harness, 5000, CELLAR_FRAME_REPLY);
    while (fake.write_count > 0) {
        fake_complete(CELLAR_OK);
    }
    harness_close(&harness);
}

static void session_hands_writes_over_in_the_order_of_arrival(void **state)
{
    (void)state;
    fake_reset();
    struct harness harness;
    harness_open_greeted(&harness);
    static const char *const rows[] = {"c", "a", "b", "a", "z"};
    for (uint32_t i = 0; i < 5; i++) {
        mutate(&harness, 10 + i, rows[i]);
    }
    assert_string_equal(fake.order, "cabaz");
    while (fake.write_count > 0) {
        fake_complete(CELLAR_OK);
    }
    harness_turn(&harness);
    for (uint32_t i = 0; i < 5; i++) {
        (void)harness_expect(&harness, 10 + i, CELLAR_FRAME_REPLY);
    }
    harness_close(&harness);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void session_finishes_what_is_in_flight_when_the_server_stops(void **state)
{
    (void)state;
    fake_reset();
    struct harness harness;
    harness_open_greeted(&harness);
    mutate(&harness, 2, "a");
    io_loop_drain(harness.loop);
    harness_turn(&harness);
    (void)harness_expect(&harness, 0, CELLAR_FRAME_GOAWAY);
    ping(&harness, 3);
    harness_expect_error(&harness, 3, CELLAR_UNAVAILABLE, "stopping");
    feed_piece(&harness, 4, CELLAR_OP_PING, cellar_slice_text("\x80"), true);
    harness_expect_error(&harness, 4, CELLAR_UNAVAILABLE, "stopping");
    assert_int_equal(io_loop_member_count(harness.loop), 1);
    fake_complete(CELLAR_OK);
    io_loop_turn(harness.loop, false);
    assert_int_equal(io_loop_member_count(harness.loop), 0);
    harness_close(&harness);
}

static void session_without_requests_leaves_when_the_server_stops(void **state)
{
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    io_loop_drain(harness.loop);
    io_loop_turn(harness.loop, false);
    assert_int_equal(io_loop_member_count(harness.loop), 0);
    harness_close(&harness);
}

static void session_ends_when_a_frame_takes_a_minute(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct harness harness;
    harness_open_greeted(&harness);
    harness_feed(&harness, "\0\0\0", 3);
    cellar_clock_fake_step(50000000);
    harness_feed(&harness, "\0", 1);
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    cellar_clock_fake_step(11000000);
    io_loop_turn(harness.loop, false);
    assert_int_equal(io_loop_member_count(harness.loop), 0);
    harness_close(&harness);
    cellar_clock_fake_off();
}

static void session_idles_for_ever_between_frames(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct harness harness;
    harness_open_greeted(&harness);
    for (int i = 0; i < 100; i++) {
        cellar_clock_fake_step(60000000);
        harness_turn(&harness);
    }
    ping(&harness, 2);
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    harness_close(&harness);
    cellar_clock_fake_off();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_greets_however_the_bytes_are_cut),
        cmocka_unit_test(session_closes_on_a_wrong_preface),
        cmocka_unit_test(session_wants_hello_first),
        cmocka_unit_test(session_refuses_versions_it_does_not_speak),
        cmocka_unit_test(session_refuses_a_second_hello_and_lives_on),
        cmocka_unit_test(session_takes_only_small_frames_before_hello),
        cmocka_unit_test(session_fails_on_frames_that_break_a_rule),
        cmocka_unit_test(session_fails_on_an_id_that_is_in_flight),
        cmocka_unit_test(session_answers_an_unknown_operation_and_lives_on),
        cmocka_unit_test(session_ignores_control_frames_for_ids_it_does_not_know),
        cmocka_unit_test(session_joins_frames_with_others_between),
        cmocka_unit_test(session_refuses_a_request_that_grows_too_long_once),
        cmocka_unit_test(session_waits_for_the_budget_then_refuses),
        cmocka_unit_test(session_cancels_a_half_sent_request),
        cmocka_unit_test(session_fails_when_a_request_changes_its_operation),
        cmocka_unit_test(session_bounds_its_half_sent_requests),
        cmocka_unit_test(session_stops_reading_at_the_limit_of_requests),
        cmocka_unit_test(session_hands_writes_over_in_the_order_of_arrival),
        cmocka_unit_test(session_finishes_what_is_in_flight_when_the_server_stops),
        cmocka_unit_test(session_without_requests_leaves_when_the_server_stops),
        cmocka_unit_test(session_ends_when_a_frame_takes_a_minute),
        cmocka_unit_test(session_idles_for_ever_between_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"
