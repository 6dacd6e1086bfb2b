/*
 * Writes: answered when the service completes them and not before, with its errors unchanged; what
 * the service refuses is answered at once; a connection that goes away leaves nothing behind.
 */
#include "tests/unit/net/session_harness.h"

#include <sched.h>
#include <string.h>

#include "common/clock.h"
#include "tests/unit/net/fake_service.h"

static const struct cellar_msg_mutate_row_request some_row = {
    .table = {(const uint8_t *)"t", 1},
    .row = {(const uint8_t *)"r", 1},
    .mutations = {(const uint8_t *)"\x91\x91\x03", 3},
};

static void mutate_row(struct harness *harness, uint32_t id)
{
    harness_request(harness, id, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                    &some_row);
}

static void mutate_rows(struct harness *harness, uint32_t id, uint32_t count)
{
    struct cellar_buffer entries = {0};
    assert_int_equal(cellar_wire_put_array(&entries, count), CELLAR_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(cellar_buffer_append(&entries, "\x92\xc4\x01r\x91\x91\x03", 7), CELLAR_OK);
    }
    struct cellar_msg_mutate_rows_request message = {.table = cellar_slice_text("t"),
                                                     .entries = cellar_slice_of(&entries)};
    harness_request(harness, id, CELLAR_OP_MUTATE_ROWS, &cellar_msg_mutate_rows_request_type,
                    &message);
    cellar_buffer_fini(&entries);
}

static void write_is_answered_when_it_is_complete(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    mutate_row(&harness, 2);
    mutate_row(&harness, 3);
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    fake_complete(CELLAR_OK);
    harness_expect_nothing(&harness);
    harness_turn(&harness);
    struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_true(cellar_slice_equal(frame.payload, cellar_slice_text("\x80")));
    assert_int_equal(frame.head.operation, CELLAR_OP_MUTATE_ROW);
    harness_expect_nothing(&harness);
    fake_complete(CELLAR_OUTCOME_UNKNOWN);
    harness_turn(&harness);
    harness_expect_error(&harness, 3, CELLAR_OUTCOME_UNKNOWN, "the fake says");
    harness_close(&harness);
}

static void write_that_the_service_refuses_is_answered_at_once(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.write_status = CELLAR_UNAVAILABLE;
    harness_open_greeted(&harness);
    mutate_row(&harness, 2);
    harness_expect_error(&harness, 2, CELLAR_UNAVAILABLE, "the fake says");
    mutate_rows(&harness, 3, 2);
    harness_expect_error(&harness, 3, CELLAR_UNAVAILABLE, "the fake says");
    mutate_row(&harness, 2); /* the id is free again */
    harness_expect_error(&harness, 2, CELLAR_UNAVAILABLE, "the fake says");
    harness_close(&harness);
}

static void write_with_an_unknown_or_malformed_field_is_refused(void **state)
{
    (void)state;
    struct harness harness;
    static const struct cellar_frame frame = {
        .request_id = 2, .operation = CELLAR_OP_MUTATE_ROW, .kind = CELLAR_FRAME_REQUEST};
    fake_reset();
    harness_open_greeted(&harness);
    harness_feed_frame(&harness, &frame, cellar_slice_text("\x81\x04\x05"));
    harness_expect_error(&harness, 2, CELLAR_INVALID_ARGUMENT, "token");
    harness_feed_frame(&harness, &frame, cellar_slice_text("\x81\x07\xc0"));
    harness_expect_error(&harness, 2, CELLAR_UNIMPLEMENTED, "7");
    harness_feed_frame(&harness, &frame, cellar_slice_text("\x81\x02\x05"));
    harness_expect_error(&harness, 2, CELLAR_INVALID_ARGUMENT, "row");
    assert_int_equal(fake.write_total, 0);
    harness_close(&harness);
}

static void write_hands_its_token_on(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < 3; i++) {
        struct cellar_msg_mutate_row_request message = some_row;
        message.token = i == 0 ? cellar_slice_make(NULL, 0) : cellar_slice_text("12345678");
        message.token_start_us = i == 2 ? UINT64_MAX : 7;
        message.token_life_us = 9;
        harness_request(&harness, 2 + i, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                        &message);
        assert_int_equal(fake.token_bytes, i == 0 ? 0 : 8);
        assert_int_equal(fake.token_start_us, i == 2 ? -1 : 7);
        assert_int_equal(fake.token_life_us, 9);
        fake_complete(CELLAR_OK);
        harness_turn(&harness);
        (void)harness_expect(&harness, 2 + i, CELLAR_FRAME_REPLY);
    }
    harness_close(&harness);
}

static void write_takes_its_time_limit_from_arrival(void **state)
{
    (void)state;
    static const struct {
        uint64_t timeout_us;
        int64_t deadline_us;
    } cases[] = {{0, 0}, {5, 1000005}, {UINT64_MAX, INT64_MAX}};
    cellar_clock_fake_set(1000000, 1000000);
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct cellar_msg_mutate_row_request message = some_row;
        message.timeout_us = cases[i].timeout_us;
        harness_request(&harness, 2 + i, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                        &message);
        assert_int_equal(fake.deadline_us, cases[i].deadline_us);
        fake_complete(CELLAR_OK);
    }
    harness_turn(&harness);
    harness_close(&harness);
    cellar_clock_fake_off();
}

static struct cellar_slice results_of(struct harness_frame frame)
{
    struct cellar_msg_mutate_rows_reply reply;
    assert_int_equal(cellar_message_decode(&cellar_msg_mutate_rows_reply_type, frame.payload,
                                           &reply, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    return reply.results;
}

static void write_of_many_rows_has_a_result_for_each_r_bat_01(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    mutate_rows(&harness, 2, 3);
    mutate_rows(&harness, 3, 3);
    fake_complete_rows(CELLAR_OK);
    fake_complete_rows(CELLAR_NOT_FOUND);
    harness_turn(&harness);
    struct cellar_slice good = results_of(harness_expect(&harness, 2, CELLAR_FRAME_REPLY));
    assert_true(cellar_slice_equal(good, cellar_slice_make("\x93\0\0\0", 4)));
    struct cellar_slice bad = results_of(harness_expect(&harness, 3, CELLAR_FRAME_REPLY));
    static const char expected[] = "\x93\0\x93\x02\xb7the fake says NOT_FOUND\0\0";
    assert_true(cellar_slice_equal(bad, cellar_slice_make(expected, sizeof expected - 1)));
    harness_close(&harness);
}

/* 100,000 failures must not become 100,000 texts. */
static void write_of_many_failing_rows_has_a_bounded_answer(void **state)
{
    (void)state;
    struct harness harness;
    size_t bytes = 0;
    bool has_more = true;
    fake_reset();
    harness_open_greeted(&harness);
    mutate_rows(&harness, 2, 80000);
    fake_complete_rows(CELLAR_NOT_FOUND);
    harness_turn(&harness);
    while (has_more) {
        struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
        bytes += frame.payload.bytes;
        has_more = frame.head.has_more;
    }
    assert_true(bytes > 1000000 && bytes < 1600000);
    harness_close(&harness);
}

static void write_survives_its_connection(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    mutate_row(&harness, 2);
    mutate_rows(&harness, 3, 1);
    io_conn_abort(harness.conn);
    io_loop_turn(harness.loop, false);
    assert_int_equal(io_loop_member_count(harness.loop), 0);
    fake_complete(CELLAR_OK);
    fake_complete_rows(CELLAR_OK);
    harness_close(&harness);
}

static void write_that_is_cancelled_is_answered_as_ever(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    mutate_row(&harness, 2);
    harness_feed(&harness, "\0\0\0\0\0\0\0\2\0\0\6\0", 12);
    harness_expect_nothing(&harness);
    fake_complete(CELLAR_OK);
    harness_turn(&harness);
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

/* ---- of several frames ----------------------------------------------------------------------- */

/* Sends a write in two frames. */
static void write_in_two_frames(struct harness *harness, uint32_t id,
                                const struct cellar_msg_mutate_row_request *message)
{
    struct cellar_buffer body = {0};
    assert_int_equal(cellar_message_encode(&cellar_msg_mutate_row_request_type, message, &body),
                     CELLAR_OK);
    struct cellar_frame head = {.request_id = id,
                                .operation = CELLAR_OP_MUTATE_ROW,
                                .kind = CELLAR_FRAME_REQUEST,
                                .has_more = true};
    harness_feed_frame(harness, &head, cellar_slice_make(body.data, 5));
    head.has_more = false;
    harness_feed_frame(harness, &head, cellar_slice_make(body.data + 5, body.bytes - 5));
    cellar_buffer_fini(&body);
}

/* Lets the pool's thread come to a write. */
static void pool_await(size_t write_total)
{
    for (unsigned i = 0; i < 50000000 && fake.write_total < write_total; i++) {
        (void)sched_yield();
    }
    assert_int_equal(fake.write_total, write_total);
}

/* What was sent behind it is taken when it is answered, and not before. */
static void write_of_several_frames_keeps_its_turn(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    write_in_two_frames(&harness, 2, &some_row);
    harness_request(&harness, 3, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                    &some_row);
    pool_await(1);
    harness_turn(&harness);
    harness_turn(&harness);
    assert_int_equal(fake.write_total, 1);
    harness_expect_nothing(&harness);
    fake_complete(CELLAR_OK);
    for (unsigned i = 0; i < 5000 && fake.write_total < 2; i++) {
        harness_turn(&harness);
    }
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(fake.write_total, 2);
    fake_complete(CELLAR_OK);
    harness_turn(&harness);
    (void)harness_expect(&harness, 3, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

static void write_of_several_frames_that_is_refused_gives_its_turn_back(void **state)
{
    (void)state;
    struct harness harness;
    struct harness_frame frame;
    fake_reset();
    fake.write_status = CELLAR_NOT_FOUND;
    harness_open_greeted(&harness);
    write_in_two_frames(&harness, 2, &some_row);
    harness_request(&harness, 3, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                    &some_row);
    unsigned answer_count = 0;
    for (unsigned i = 0; i < 5000000 && answer_count < 2; i++) {
        harness_turn(&harness);
        while (harness_take(&harness, &frame)) {
            assert_int_equal(frame.head.kind, CELLAR_FRAME_ERROR);
            assert_int_equal(frame.head.request_id, 2 + answer_count);
            answer_count++;
        }
    }
    assert_int_equal(answer_count, 2);
    harness_close(&harness);
}

/* The frames' payloads may join to nothing, which is no message. */
static void write_of_several_empty_frames_is_refused_r_err_10(void **state)
{
    static const uint16_t operations[] = {CELLAR_OP_MUTATE_ROW, CELLAR_OP_MUTATE_ROWS};
    (void)state;
    struct harness harness;
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < CELLAR_ARRAY_COUNT(operations); i++) {
        struct cellar_frame head = {.request_id = 2 + i,
                                    .operation = operations[i],
                                    .kind = CELLAR_FRAME_REQUEST,
                                    .has_more = true};
        harness_feed_frame(&harness, &head, cellar_slice_make(NULL, 0));
        head.has_more = false;
        harness_feed_frame(&harness, &head, cellar_slice_make(NULL, 0));
        struct harness_frame frame;
        bool is_answered = false;
        for (unsigned n = 0; n < 5000000 && !is_answered; n++) {
            harness_turn(&harness);
            is_answered = harness_take(&harness, &frame);
        }
        assert_true(is_answered);
        assert_int_equal(frame.head.request_id, 2 + i);
        assert_int_equal(frame.head.kind, CELLAR_FRAME_ERROR);
    }
    harness_close(&harness);
}

/* Any one allocation of a write may fail: the client hears of it, or the connection ends. */
static void write_survives_every_failing_allocation(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 40; n++) {
        struct harness harness;
        struct harness_frame frame;
        fake_reset();
        harness_open_greeted(&harness);
        struct cellar_buffer body = {0};
        assert_int_equal(
            cellar_message_encode(&cellar_msg_mutate_row_request_type, &some_row, &body),
            CELLAR_OK);
        uint8_t bytes[64];
        struct cellar_frame head = {.request_id = 2,
                                    .operation = CELLAR_OP_MUTATE_ROW,
                                    .kind = CELLAR_FRAME_REQUEST,
                                    .payload_bytes = (uint32_t)body.bytes};
        cellar_frame_encode(&head, bytes);
        memcpy(bytes + CELLAR_FRAME_HEADER_BYTES, body.data, body.bytes);
        (void)cellar_mem_fail_at(n);
        harness_feed(&harness, bytes, CELLAR_FRAME_HEADER_BYTES + body.bytes);
        if (fake.write_count > 0) {
            fake_complete(CELLAR_NOT_FOUND);
        }
        io_loop_turn(harness.loop, false);
        bool was_met = cellar_mem_fail_at(-1);
        if (io_loop_member_count(harness.loop) > 0) {
            assert_true(harness_take(&harness, &frame));
            assert_int_equal(frame.head.kind, CELLAR_FRAME_ERROR);
        }
        cellar_buffer_fini(&body);
        harness_close(&harness);
        if (!was_met) {
            assert_true(n >= 2);
            return;
        }
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_is_answered_when_it_is_complete),
        cmocka_unit_test(write_that_the_service_refuses_is_answered_at_once),
        cmocka_unit_test(write_with_an_unknown_or_malformed_field_is_refused),
        cmocka_unit_test(write_hands_its_token_on),
        cmocka_unit_test(write_takes_its_time_limit_from_arrival),
        cmocka_unit_test(write_of_many_rows_has_a_result_for_each_r_bat_01),
        cmocka_unit_test(write_of_many_failing_rows_has_a_bounded_answer),
        cmocka_unit_test(write_survives_its_connection),
        cmocka_unit_test(write_that_is_cancelled_is_answered_as_ever),
        cmocka_unit_test(write_of_several_frames_keeps_its_turn),
        cmocka_unit_test(write_of_several_frames_that_is_refused_gives_its_turn_back),
        cmocka_unit_test(write_of_several_empty_frames_is_refused_r_err_10),
        cmocka_unit_test(write_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"
