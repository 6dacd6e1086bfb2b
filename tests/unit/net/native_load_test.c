/*
 * Bulk loads on a session: requests run on the pool and in their order, one at a time; a body of
 * one frame or several; failures are answered; a lost connection lets its loads go.
 */
#include "tests/unit/net/session_harness.h"

#include <string.h>

#include "tests/unit/net/fake_service.h"

static void wait_for_answer(struct harness *harness)
{
    while (io_conn_output_bytes(harness->conn) == harness->output_at) {
        io_loop_turn(harness->loop, true);
    }
}

static void begin(struct harness *harness, uint32_t id)
{
    const struct cellar_msg_bulk_begin_request message = {.table = cellar_slice_text("t"),
                                                          .start = cellar_slice_text("a"),
                                                          .end = cellar_slice_text("bb")};
    harness_request(harness, id, CELLAR_OP_BULK_BEGIN, &cellar_msg_bulk_begin_request_type,
                    &message);
    wait_for_answer(harness);
}

static void rows_feed(struct harness *harness, uint32_t id, uint64_t number,
                      struct cellar_slice rows)
{
    const struct cellar_msg_bulk_rows_request message = {
        .load = 77, .number = number, .rows = rows};
    harness_request(harness, id, CELLAR_OP_BULK_ROWS, &cellar_msg_bulk_rows_request_type, &message);
}

static void end(struct harness *harness, uint32_t id, uint16_t operation)
{
    const struct cellar_msg_bulk_end_request message = {.load = 77};
    harness_request(harness, id, operation, &cellar_msg_bulk_end_request_type, &message);
    wait_for_answer(harness);
}

static void a_load_goes_from_its_begin_to_its_end(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_msg_bulk_begin_reply begun;
    struct cellar_msg_bulk_commit_reply committed;
    fake_reset();
    harness_open_greeted(&harness);
    begin(&harness, 2);
    struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(cellar_message_decode(&cellar_msg_bulk_begin_reply_type, frame.payload, &begun,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(begun.load, 77);
    assert_int_equal(fake.load_range.end.bytes, 2);
    assert_non_null(fake.load_owner);
    rows_feed(&harness, 3, 5, cellar_slice_text("\x91\xc0"));
    wait_for_answer(&harness);
    (void)harness_expect(&harness, 3, CELLAR_FRAME_REPLY);
    assert_int_equal(fake.load_number, 5);
    assert_int_equal(fake.load_bytes, 2);
    end(&harness, 4, CELLAR_OP_BULK_COMMIT);
    frame = harness_expect(&harness, 4, CELLAR_FRAME_REPLY);
    assert_int_equal(cellar_message_decode(&cellar_msg_bulk_commit_reply_type, frame.payload,
                                           &committed, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(committed.rows, 77);
    assert_int_equal(committed.bytes, 79);
    end(&harness, 5, CELLAR_OP_BULK_ABORT);
    (void)harness_expect(&harness, 5, CELLAR_FRAME_REPLY);
    assert_int_equal(fake.load_number, 77);
    harness_close(&harness);
}

/* Sent ahead in one go: the answers come in the order of the requests. */
static void rows_sent_ahead_are_taken_in_order(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < 20; i++) {
        rows_feed(&harness, 2 + i, i, cellar_slice_text("\x91\xc0"));
    }
    for (uint32_t i = 0; i < 20; i++) {
        wait_for_answer(&harness);
        (void)harness_expect(&harness, 2 + i, CELLAR_FRAME_REPLY);
        assert_true(fake.load_number >= i && fake.load_number <= i + 1);
    }
    harness_close(&harness);
}

static void a_body_of_several_frames_is_taken_where_it_was_joined(void **state)
{
    (void)state;
    static uint8_t large[100000];
    struct harness harness;
    struct cellar_buffer body = {0};
    struct cellar_buffer rows = {0};
    const struct cellar_frame first = {.request_id = 9,
                                       .operation = CELLAR_OP_BULK_ROWS,
                                       .kind = CELLAR_FRAME_REQUEST,
                                       .has_more = true};
    struct cellar_frame second = first;
    second.has_more = false;
    fake_reset();
    harness_open_greeted(&harness);
    assert_int_equal(cellar_wire_put_bytes(&rows, cellar_slice_make(large, sizeof large)),
                     CELLAR_OK);
    const struct cellar_msg_bulk_rows_request message = {
        .load = 77, .number = 3, .rows = cellar_slice_of(&rows)};
    assert_int_equal(cellar_message_encode(&cellar_msg_bulk_rows_request_type, &message, &body),
                     CELLAR_OK);
    harness_feed_frame(&harness, &first, cellar_slice_make(body.data, 50000));
    harness_feed_frame(&harness, &second, cellar_slice_make(body.data + 50000, body.bytes - 50000));
    wait_for_answer(&harness);
    (void)harness_expect(&harness, 9, CELLAR_FRAME_REPLY);
    assert_int_equal(fake.load_number, 3);
    assert_int_equal(fake.load_bytes, sizeof large + 5);
    cellar_buffer_fini(&rows);
    cellar_buffer_fini(&body);
    harness_close(&harness);
}

static void failures_and_malformed_bodies_are_answered(void **state)
{
    (void)state;
    struct harness harness;
    const struct cellar_msg_bulk_rows_request wrong = {.load = 1}; /* a number for the table */
    fake_reset();
    harness_open_greeted(&harness);
    fake.admin_status = CELLAR_FAILED_PRECONDITION;
    begin(&harness, 2);
    harness_expect_error(&harness, 2, CELLAR_FAILED_PRECONDITION, "");
    rows_feed(&harness, 3, 0, cellar_slice_text("\x91\xc0"));
    wait_for_answer(&harness);
    harness_expect_error(&harness, 3, CELLAR_FAILED_PRECONDITION, "");
    end(&harness, 4, CELLAR_OP_BULK_COMMIT);
    harness_expect_error(&harness, 4, CELLAR_FAILED_PRECONDITION, "");
    end(&harness, 5, CELLAR_OP_BULK_ABORT);
    harness_expect_error(&harness, 5, CELLAR_FAILED_PRECONDITION, "");
    harness_request(&harness, 6, CELLAR_OP_BULK_BEGIN, &cellar_msg_bulk_rows_request_type, &wrong);
    wait_for_answer(&harness);
    harness_expect_error(&harness, 6, CELLAR_INVALID_ARGUMENT, "table");
    harness_close(&harness);
}

static void a_lost_connection_lets_its_loads_go(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    begin(&harness, 2);
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_null(fake.released_owner);
    io_conn_abort(harness.conn);
    harness.conn = NULL;
    io_loop_turn(harness.loop, false);
    assert_ptr_equal(fake.released_owner, fake.load_owner);
    harness_close(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_goes_from_its_begin_to_its_end),
        cmocka_unit_test(rows_sent_ahead_are_taken_in_order),
        cmocka_unit_test(a_body_of_several_frames_is_taken_where_it_was_joined),
        cmocka_unit_test(failures_and_malformed_bodies_are_answered),
        cmocka_unit_test(a_lost_connection_lets_its_loads_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"
