/*
 * async_core: driven step by step without sockets. The test is the driver and the server at once:
 * it moves the clock, connects lines or does not, takes what they send apart and answers frame by
 * frame, in whatever order it likes.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/async_core.h"
#include "common/mem.h"

#define MS INT64_C(1000)
#define S INT64_C(1000000)
#define CALL_COUNT_MAX 600
#define REQUESTS_MAX 4u /* of the server */

struct test_call {
    struct cellar_async_call call;
    unsigned taken_count;
    unsigned restart_count;
    unsigned finish_count;
    enum cellar_status take_status; /* what take answers */
};

/* A frame that the core sent. */
struct seen {
    uint32_t line;
    struct cellar_frame frame;
    uint64_t timeout_us;
};

struct rig {
    struct cellar_core core;
    int64_t now_us;
    struct test_call calls[CALL_COUNT_MAX];
    unsigned call_count;
    struct seen seen[CALL_COUNT_MAX];
    unsigned seen_count;
    struct cellar_buffer partial[2 * CELLAR_CORE_LINES_MAX];
    bool is_greeted[2 * CELLAR_CORE_LINES_MAX];
};

static enum cellar_status call_take(struct cellar_async_call *call,
                                    const struct cellar_event *event, struct cellar_error *error)
{
    struct test_call *test = CELLAR_CONTAINER_OF(call, struct test_call, call);
    (void)event;
    test->taken_count++;
    return test->take_status == CELLAR_OK ? CELLAR_OK
                                          : cellar_error_set(error, test->take_status, "refused");
}

static enum cellar_status call_restart(struct cellar_async_call *call, bool *is_over)
{
    (void)is_over;
    CELLAR_CONTAINER_OF(call, struct test_call, call)->restart_count++;
    return CELLAR_OK;
}

static void call_finish(struct cellar_async_call *call)
{
    CELLAR_CONTAINER_OF(call, struct test_call, call)->finish_count++;
}

static const struct cellar_async_kind test_kind = {
    .take = call_take, .restart = call_restart, .finish = call_finish};

static void rig_open(struct rig *rig, uint32_t lines_max)
{
    struct cellar_core_terms terms = {
        .client_name = "test", .lines_max = lines_max, .dial_us_max = 10 * S, .seed = 1};
    memset(rig, 0, sizeof *rig);
    rig->now_us = 1000 * S;
    assert_int_equal(cellar_core_init(&rig->core, &terms), CELLAR_OK);
}

static void rig_finish(struct rig *rig)
{
    struct cellar_async_call *call;
    while ((call = cellar_core_finished(&rig->core)) != NULL) {
        call->kind->finish(call);
    }
}

/* Lets the lines that are ENDING go, and whatever is over. */
static void rig_turn(struct rig *rig)
{
    cellar_core_turn(&rig->core, rig->now_us);
    for (uint32_t i = 0; i < rig->core.line_count; i++) {
        if (rig->core.lines[i].state == CELLAR_LINE_ENDING) {
            cellar_core_closed(&rig->core, i);
            cellar_buffer_clear(&rig->partial[i]);
            rig->is_greeted[i] = false;
        }
    }
    rig_finish(rig);
}

static void rig_close(struct rig *rig)
{
    cellar_core_stop(&rig->core, rig->now_us);
    for (uint32_t i = 0; i < rig->core.line_count; i++) {
        if (rig->core.lines[i].state == CELLAR_LINE_DIALING) {
            struct cellar_error error;
            (void)cellar_error_set(&error, CELLAR_CANCELLED, "closed");
            cellar_core_dial_failed(&rig->core, i, &error, rig->now_us);
        }
        cellar_buffer_fini(&rig->partial[i]);
    }
    rig_turn(rig);
    for (unsigned i = 0; i < rig->call_count; i++) {
        assert_int_equal(rig->calls[i].finish_count, 1);
        cellar_buffer_fini(&rig->calls[i].call.body);
    }
    cellar_core_fini(&rig->core);
}

static struct test_call *rig_call(struct rig *rig, enum cellar_safety safety, int64_t timeout_us)
{
    assert_true(rig->call_count < CALL_COUNT_MAX);
    struct test_call *test = &rig->calls[rig->call_count++];
    struct cellar_msg_empty message = {0};
    test->call.kind = &test_kind;
    test->call.operation =
        safety == CELLAR_SAFETY_READ ? CELLAR_OP_READ_ROWS : CELLAR_OP_MUTATE_ROW;
    test->call.retry = (struct cellar_retry){.safety = safety,
                                             .attempts_max = 100,
                                             .connect_attempts_max = 3,
                                             .deadline_us = rig->now_us + timeout_us};
    assert_int_equal(cellar_async_body_encode(&test->call, &cellar_msg_empty_type, &message,
                                              &message.timeout_us),
                     CELLAR_OK);
    cellar_core_add(&rig->core, &test->call, rig->now_us);
    return test;
}

/* Connects what the core wants connected; the server greets. */
static unsigned rig_dial(struct rig *rig)
{
    unsigned count = 0;
    uint32_t index;
    while (cellar_core_dial(&rig->core, rig->now_us, &index)) {
        cellar_core_dialed(&rig->core, index, rig->now_us);
        count++;
    }
    return count;
}

/* Gives bytes to a line, `step` at a time. */
static void rig_give(struct rig *rig, uint32_t line, struct cellar_slice bytes, size_t step)
{
    while (bytes.bytes > 0 && rig->core.lines[line].state == CELLAR_LINE_UP) {
        uint8_t *room;
        size_t room_bytes;
        size_t count = CELLAR_MIN(step, bytes.bytes);
        assert_true(cellar_core_room(&rig->core, line, rig->now_us, &room, &room_bytes));
        assert_true(room_bytes >= count);
        memcpy(room, bytes.data, count);
        cellar_core_received(&rig->core, line, count, rig->now_us);
        bytes.data += count;
        bytes.bytes -= count;
    }
    rig_finish(rig);
}

static void rig_frame(struct rig *rig, uint32_t line, const struct cellar_frame *frame,
                      struct cellar_slice body)
{
    struct cellar_buffer bytes = {0};
    assert_int_equal(cellar_frame_append(&bytes, frame, body), CELLAR_OK);
    rig_give(rig, line, cellar_slice_of(&bytes), 7);
    cellar_buffer_fini(&bytes);
}

static void rig_greet(struct rig *rig, uint32_t line, uint32_t id)
{
    struct cellar_msg_hello_reply reply = {.version = 1,
                                           .server = cellar_slice_text("test"),
                                           .frame_bytes_max = 1048576,
                                           .request_bytes_max = 268435456,
                                           .requests_max = REQUESTS_MAX};
    struct cellar_frame frame = {
        .request_id = id, .operation = CELLAR_OP_HELLO, .kind = CELLAR_FRAME_REPLY};
    struct cellar_buffer body = {0};
    assert_int_equal(cellar_message_encode(&cellar_msg_hello_reply_type, &reply, &body), CELLAR_OK);
    rig_frame(rig, line, &frame, cellar_slice_of(&body));
    cellar_buffer_fini(&body);
}

/* Takes at most `bytes_max` bytes of a line's output. */
static void rig_send(struct rig *rig, uint32_t line, size_t bytes_max)
{
    struct cellar_slice output = cellar_core_output(&rig->core, line);
    size_t bytes = CELLAR_MIN(bytes_max, output.bytes);
    if (bytes > 0) {
        assert_int_equal(cellar_buffer_append(&rig->partial[line], output.data, bytes), CELLAR_OK);
        cellar_core_sent(&rig->core, line, bytes);
    }
}

/* Takes the frames of a line's output; answers HELLO. */
static void rig_frames(struct rig *rig, uint32_t line)
{
    struct cellar_buffer *bytes = &rig->partial[line];
    if (!rig->is_greeted[line] && bytes->bytes >= CELLAR_PREFACE_BYTES) {
        cellar_buffer_consume(bytes, CELLAR_PREFACE_BYTES);
        rig->is_greeted[line] = true;
    }
    while (bytes->bytes >= CELLAR_FRAME_HEADER_BYTES) {
        struct seen seen = {.line = line};
        assert_int_equal(cellar_frame_decode(bytes->data, &seen.frame, NULL), CELLAR_OK);
        size_t whole = CELLAR_FRAME_HEADER_BYTES + seen.frame.payload_bytes;
        if (bytes->bytes < whole) {
            return;
        }
        if (seen.frame.kind == CELLAR_FRAME_REQUEST && seen.frame.operation != CELLAR_OP_HELLO) {
            struct cellar_msg_empty message;
            assert_int_equal(
                cellar_message_decode(&cellar_msg_empty_type,
                                      cellar_slice_make(bytes->data + CELLAR_FRAME_HEADER_BYTES,
                                                        seen.frame.payload_bytes),
                                      &message, CELLAR_UNKNOWN_REFUSE, NULL),
                CELLAR_OK);
            seen.timeout_us = message.timeout_us;
        }
        cellar_buffer_consume(bytes, whole);
        if (seen.frame.operation == CELLAR_OP_HELLO) {
            rig_greet(rig, line, seen.frame.request_id);
        } else {
            assert_true(rig->seen_count < CALL_COUNT_MAX);
            rig->seen[rig->seen_count++] = seen;
        }
    }
}

/* Runs until nothing moves any more. */
static void rig_run(struct rig *rig)
{
    for (unsigned round = 0; round < 4; round++) {
        rig_turn(rig);
        (void)rig_dial(rig);
        for (uint32_t line = 0; line < rig->core.line_count; line++) {
            if (rig->core.lines[line].state == CELLAR_LINE_UP) {
                rig_send(rig, line, SIZE_MAX);
                rig_frames(rig, line);
            }
        }
    }
}

static void rig_reply(struct rig *rig, unsigned index)
{
    struct cellar_frame frame = rig->seen[index].frame;
    frame.kind = CELLAR_FRAME_REPLY;
    rig_frame(rig, rig->seen[index].line, &frame, cellar_slice_text("\x80"));
}

static void rig_error(struct rig *rig, unsigned index, enum cellar_status code, uint32_t delay_ms)
{
    struct cellar_msg_error message = {
        .code = code, .text = cellar_slice_text("because"), .retry_delay_ms = delay_ms};
    struct cellar_frame frame = rig->seen[index].frame;
    struct cellar_buffer body = {0};
    frame.kind = CELLAR_FRAME_ERROR;
    assert_int_equal(cellar_message_encode(&cellar_msg_error_type, &message, &body), CELLAR_OK);
    rig_frame(rig, rig->seen[index].line, &frame, cellar_slice_of(&body));
    cellar_buffer_fini(&body);
}

static void rig_break(struct rig *rig, uint32_t line)
{
    struct cellar_error error;
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "The connection broke");
    cellar_core_broken(&rig->core, line, &error, rig->now_us);
    rig_turn(rig);
}

static struct rig rig;

static void many_calls_share_a_line_and_are_answered_in_any_order(void **state)
{
    (void)state;
    struct test_call *calls[3];
    rig_open(&rig, 1);
    for (unsigned i = 0; i < 3; i++) {
        calls[i] = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    }
    rig_run(&rig);
    assert_int_equal(rig.seen_count, 3);
    assert_in_range(rig.seen[0].timeout_us, 1, 10 * S);
    rig_reply(&rig, 2);
    assert_int_equal(calls[2]->finish_count, 1);
    assert_int_equal(calls[0]->finish_count, 0);
    rig_reply(&rig, 0);
    rig_error(&rig, 1, CELLAR_NOT_FOUND, 0);
    assert_int_equal(calls[0]->call.error.code, CELLAR_OK);
    assert_int_equal(calls[0]->taken_count, 1);
    assert_int_equal(calls[1]->call.error.code, CELLAR_NOT_FOUND);
    assert_string_equal(calls[1]->call.error.text, "because");
    assert_int_equal(rig.core.call_count, 0);
    rig_close(&rig);
}

static void what_the_server_does_not_take_waits_in_the_queue(void **state)
{
    (void)state;
    rig_open(&rig, 1);
    for (unsigned i = 0; i < REQUESTS_MAX + 2; i++) {
        (void)rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    }
    rig_run(&rig);
    assert_int_equal(rig.seen_count, REQUESTS_MAX);
    rig_reply(&rig, 1);
    rig_run(&rig);
    assert_int_equal(rig.seen_count, REQUESTS_MAX + 1);
    assert_int_equal(rig.seen[REQUESTS_MAX].line, 0);
    rig_close(&rig);
}

static void a_full_line_gets_another_beside_it_up_to_the_limit(void **state)
{
    (void)state;
    rig_open(&rig, 2);
    for (unsigned i = 0; i < 3 * REQUESTS_MAX; i++) {
        (void)rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    }
    rig_run(&rig);
    assert_int_equal(rig.seen_count, 2 * REQUESTS_MAX);
    assert_int_equal(rig.core.lines[0].state, CELLAR_LINE_UP);
    assert_int_equal(rig.core.lines[1].state, CELLAR_LINE_UP);
    assert_int_equal(rig.core.lines[2].state, CELLAR_LINE_FREE);
    rig_close(&rig);
}

static void a_line_with_many_bytes_gets_another_beside_it(void **state)
{
    (void)state;
    uint32_t index = 0;
    struct cellar_buffer value = {0};
    struct cellar_msg_mutate_row_request message = {.table = cellar_slice_text("t"),
                                                    .row = cellar_slice_text("r")};
    rig_open(&rig, 2);
    (void)rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    rig_run(&rig);
    assert_false(cellar_core_dial(&rig.core, rig.now_us, &index));
    assert_int_equal(cellar_buffer_reserve(&value, 100000), CELLAR_OK);
    memset(value.data, 'v', 100000);
    message.token = cellar_slice_make(value.data, 100000);
    struct test_call *large = &rig.calls[rig.call_count++];
    large->call.kind = &test_kind;
    large->call.operation = CELLAR_OP_MUTATE_ROW;
    large->call.retry = rig.calls[0].call.retry;
    assert_int_equal(cellar_async_body_encode(&large->call, &cellar_msg_mutate_row_request_type,
                                              &message, &message.timeout_us),
                     CELLAR_OK);
    cellar_core_add(&rig.core, &large->call, rig.now_us);
    rig_turn(&rig);
    assert_true(cellar_core_dial(&rig.core, rig.now_us, &index));
    assert_int_equal(index, 1);
    cellar_buffer_fini(&value);
    rig_close(&rig);
}

static void unavailable_goes_again_after_the_delay(void **state)
{
    (void)state;
    rig_open(&rig, 1);
    struct test_call *call = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    rig_run(&rig);
    rig_error(&rig, 0, CELLAR_UNAVAILABLE, 200);
    rig_run(&rig);
    assert_int_equal(rig.seen_count, 1);
    assert_int_equal(call->restart_count, 1);
    assert_in_range(cellar_core_next_us(&rig.core) - rig.now_us, 200 * MS, 300 * MS);
    rig.now_us = cellar_core_next_us(&rig.core);
    rig_run(&rig);
    assert_int_equal(rig.seen_count, 2);
    assert_int_not_equal(rig.seen[1].frame.request_id, rig.seen[0].frame.request_id);
    assert_true(rig.seen[1].timeout_us <= (uint64_t)(10 * S - 200 * MS));
    rig_reply(&rig, 1);
    assert_int_equal(call->call.error.code, CELLAR_OK);
    rig_close(&rig);
}

/* One case of a line that breaks: what was sent of the request before. */
static void break_run(enum cellar_safety safety, size_t sent_bytes, bool goes_again,
                      enum cellar_status code)
{
    rig_open(&rig, 1);
    struct test_call *first = rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    rig_run(&rig);
    rig_reply(&rig, 0);
    assert_int_equal(first->finish_count, 1);
    struct test_call *call = rig_call(&rig, safety, 10 * S);
    rig_turn(&rig);
    rig_send(&rig, 0, sent_bytes);
    rig_break(&rig, 0);
    if (goes_again) {
        assert_int_equal(call->finish_count, 0);
        rig.now_us += S;
        rig_run(&rig);
        assert_int_equal(rig.seen_count, 2);
        rig_reply(&rig, 1);
    }
    assert_int_equal(call->finish_count, 1);
    assert_int_equal(call->call.error.code, code);
    rig_close(&rig);
}

static void a_broken_line_takes_with_it_only_what_is_not_safe(void **state)
{
    (void)state;
    break_run(CELLAR_SAFETY_READ, SIZE_MAX, true, CELLAR_OK);
    break_run(CELLAR_SAFETY_IDEMPOTENT, SIZE_MAX, true, CELLAR_OK);
    break_run(CELLAR_SAFETY_WRITE, SIZE_MAX, false, CELLAR_OUTCOME_UNKNOWN);
    /* A write that had not left in full was not applied. */
    break_run(CELLAR_SAFETY_WRITE, 5, true, CELLAR_OK);
}

static void every_call_ends_in_time_when_nothing_answers(void **state)
{
    (void)state;
    rig_open(&rig, 1);
    struct test_call *queued = rig_call(&rig, CELLAR_SAFETY_WRITE, S);
    rig_turn(&rig);
    assert_true(cellar_core_next_us(&rig.core) <= rig.now_us + S);
    rig.now_us += S;
    rig_turn(&rig);
    assert_int_equal(queued->call.error.code, CELLAR_DEADLINE_EXCEEDED);
    struct test_call *write = rig_call(&rig, CELLAR_SAFETY_WRITE, S);
    struct test_call *read = rig_call(&rig, CELLAR_SAFETY_READ, 2 * S);
    rig_run(&rig);
    assert_int_equal(rig.seen_count, 2);
    rig.now_us += S;
    rig_turn(&rig);
    assert_int_equal(write->call.error.code, CELLAR_DEADLINE_EXCEEDED);
    assert_int_equal(read->finish_count, 0);
    rig.now_us += S;
    rig_turn(&rig);
    assert_int_equal(read->call.error.code, CELLAR_DEADLINE_EXCEEDED);
    rig_close(&rig);
}

static void a_late_answer_meets_nobody_and_a_cancel_was_sent(void **state)
{
    (void)state;
    rig_open(&rig, 1);
    struct test_call *late = rig_call(&rig, CELLAR_SAFETY_READ, S);
    struct test_call *other = rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    rig_run(&rig);
    rig_reply(&rig, 1); /* so the line is not silent */
    rig.now_us += S;
    struct test_call *third = rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    rig_run(&rig);
    assert_int_equal(late->call.error.code, CELLAR_DEADLINE_EXCEEDED);
    assert_int_equal(rig.seen[2].frame.kind, CELLAR_FRAME_CANCEL);
    assert_int_equal(rig.seen[2].frame.request_id, rig.seen[0].frame.request_id);
    rig_reply(&rig, 0);
    assert_int_equal(late->taken_count, 0);
    assert_int_equal(other->finish_count, 1);
    rig_reply(&rig, 3);
    assert_int_equal(third->call.error.code, CELLAR_OK);
    rig_close(&rig);
}

static void a_silent_line_is_replaced_and_its_other_calls_keep_their_time(void **state)
{
    (void)state;
    rig_open(&rig, 1);
    rig_run(&rig);
    struct test_call *brief = rig_call(&rig, CELLAR_SAFETY_READ, S);
    struct test_call *slow = rig_call(&rig, CELLAR_SAFETY_WRITE, 5 * S);
    rig_run(&rig);
    rig.now_us += S;
    rig_run(&rig);
    assert_int_equal(brief->call.error.code, CELLAR_DEADLINE_EXCEEDED);
    struct test_call *next = rig_call(&rig, CELLAR_SAFETY_READ, 5 * S);
    rig_run(&rig);
    unsigned last = rig.seen_count - 1;
    assert_int_not_equal(rig.seen[last].line, rig.seen[0].line);
    rig_reply(&rig, last);
    assert_int_equal(next->call.error.code, CELLAR_OK);
    assert_int_equal(slow->finish_count, 0);
    rig_reply(&rig, 1); /* the first line was only slow */
    assert_int_equal(slow->call.error.code, CELLAR_OK);
    rig_close(&rig);
}

static void connecting_is_tried_a_few_times_with_pauses(void **state)
{
    (void)state;
    struct cellar_error error;
    uint32_t index;
    unsigned dial_count = 0;
    rig_open(&rig, 1);
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "Connection refused");
    struct test_call *call = rig_call(&rig, CELLAR_SAFETY_WRITE, 60 * S);
    while (call->finish_count == 0) {
        rig_turn(&rig);
        if (cellar_core_dial(&rig.core, rig.now_us, &index)) {
            dial_count++;
            cellar_core_dial_failed(&rig.core, index, &error, rig.now_us);
            rig_turn(&rig);
            assert_false(cellar_core_dial(&rig.core, rig.now_us, &index));
        }
        rig.now_us += MS;
        assert_in_range(dial_count, 0, 3);
    }
    assert_int_equal(dial_count, 3);
    assert_int_equal(call->call.error.code, CELLAR_UNAVAILABLE);
    /* A new call does not hurry it either. */
    (void)rig_call(&rig, CELLAR_SAFETY_WRITE, 60 * S);
    rig.now_us = rig.core.dial_after_us - 1;
    rig_turn(&rig);
    assert_false(cellar_core_dial(&rig.core, rig.now_us, &index));
    rig.now_us++;
    assert_int_equal(cellar_core_next_us(&rig.core), rig.now_us);
    assert_true(cellar_core_dial(&rig.core, rig.now_us, &index));
    assert_string_equal(rig.core.last_failure.text, "Connection refused");
    rig_close(&rig);
}

static void goaway_finishes_what_is_in_flight_and_moves_on(void **state)
{
    (void)state;
    struct cellar_frame goaway = {.kind = CELLAR_FRAME_GOAWAY};
    rig_open(&rig, 1);
    struct test_call *before = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    rig_run(&rig);
    rig_frame(&rig, 0, &goaway, cellar_slice_make(NULL, 0));
    struct test_call *after = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    rig_run(&rig);
    assert_int_equal(rig.seen[1].line, 1);
    rig_reply(&rig, 0);
    rig_turn(&rig);
    assert_int_equal(rig.core.lines[0].state, CELLAR_LINE_FREE);
    rig_reply(&rig, 1);
    assert_int_equal(before->call.error.code, CELLAR_OK);
    assert_int_equal(after->call.error.code, CELLAR_OK);
    rig_close(&rig);
}

static void a_server_that_leaves_at_once_is_not_called_again_at_once(void **state)
{
    (void)state;
    struct cellar_frame goaway = {.kind = CELLAR_FRAME_GOAWAY};
    uint32_t index;
    rig_open(&rig, 1);
    (void)rig_call(&rig, CELLAR_SAFETY_WRITE, 60 * S);
    rig_turn(&rig);
    assert_int_equal(rig_dial(&rig), 1);
    rig_send(&rig, 0, SIZE_MAX);
    rig_frames(&rig, 0); /* greeted, and nothing sent yet */
    rig_frame(&rig, 0, &goaway, cellar_slice_make(NULL, 0));
    rig_turn(&rig);
    assert_int_equal(rig.core.lines[0].state, CELLAR_LINE_FREE);
    assert_false(cellar_core_dial(&rig.core, rig.now_us, &index));
    rig.now_us += S;
    rig_run(&rig);
    assert_int_equal(rig.seen_count, 1);
    rig_close(&rig);
}

/* A line was idle for long: the call waits until a PING was answered, or for another line. */
static void idle_run(bool answers)
{
    rig_open(&rig, 1);
    (void)rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    rig_run(&rig);
    rig_reply(&rig, 0);
    rig.now_us += CELLAR_CORE_PROBE_AFTER_US;
    struct test_call *call = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    rig_run(&rig);
    assert_int_equal(rig.seen_count, 2);
    assert_int_equal(rig.seen[1].frame.operation, CELLAR_OP_PING);
    if (answers) {
        rig_reply(&rig, 1);
    } else {
        rig.now_us = cellar_core_next_us(&rig.core);
        rig_run(&rig);
        rig.now_us += S;
    }
    rig_run(&rig);
    assert_int_equal(rig.seen_count, 3);
    assert_int_equal(rig.seen[2].frame.operation, CELLAR_OP_MUTATE_ROW);
    rig_reply(&rig, 2);
    assert_int_equal(call->call.error.code, CELLAR_OK);
    rig_close(&rig);
}

static void a_line_that_was_idle_for_long_is_probed_first(void **state)
{
    (void)state;
    idle_run(true);
    idle_run(false);
}

static void malformed_answers_end_in_errors(void **state)
{
    (void)state;
    rig_open(&rig, 1);
    struct test_call *call = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    rig_run(&rig);
    struct cellar_frame frame = rig.seen[0].frame;
    frame.kind = CELLAR_FRAME_ERROR;
    rig_frame(&rig, 0, &frame, cellar_slice_text("\x81\x01\xcd\x03\xe7")); /* code 999 */
    assert_int_equal(call->call.error.code, CELLAR_OUTCOME_UNKNOWN);
    call = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    struct test_call *read = rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    rig_run(&rig);
    frame = rig.seen[1].frame;
    frame.request_id += 1u << 20; /* an answer to no request */
    rig_frame(&rig, 0, &frame, cellar_slice_text("\x80"));
    assert_int_equal(call->call.error.code, CELLAR_OUTCOME_UNKNOWN);
    assert_int_equal(read->call.error.code, CELLAR_IO_ERROR);
    call = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    call->take_status = CELLAR_IO_ERROR; /* its kind cannot read the answer */
    rig_run(&rig);
    rig_reply(&rig, rig.seen_count - 1);
    assert_int_equal(call->call.error.code, CELLAR_OUTCOME_UNKNOWN);
    rig_close(&rig);
}

static void what_greets_as_something_else_fails_the_calls_that_wait(void **state)
{
    (void)state;
    rig_open(&rig, 1);
    struct test_call *call = rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    rig_turn(&rig);
    assert_int_equal(rig_dial(&rig), 1);
    rig_give(&rig, 0, cellar_slice_text("HTTP/1.1 400 Bad Request\r\n\r\n"), 100);
    assert_int_equal(call->call.error.code, CELLAR_FAILED_PRECONDITION);
    rig_close(&rig);
}

static void parts_give_credit_and_move_an_idle_deadline(void **state)
{
    (void)state;
    struct cellar_buffer body = {0};
    rig_open(&rig, 1);
    struct test_call *scan = rig_call(&rig, CELLAR_SAFETY_READ, S);
    scan->call.idle_us = S;
    rig_run(&rig);
    assert_int_equal(cellar_buffer_reserve(&body, 600000), CELLAR_OK);
    memset(body.data, 0xc0, 600000);
    body.bytes = 600000;
    struct cellar_frame frame = rig.seen[0].frame;
    frame.kind = CELLAR_FRAME_PART;
    for (unsigned i = 0; i < 5; i++) {
        rig.now_us += S - 1;
        rig_run(&rig);
        rig_frame(&rig, 0, &frame, cellar_slice_of(&body));
        rig_run(&rig);
        assert_int_equal(rig.seen[1 + i].frame.kind, CELLAR_FRAME_CREDIT);
    }
    assert_int_equal(scan->taken_count, 5);
    assert_int_equal(scan->finish_count, 0);
    rig.now_us += S;
    rig_run(&rig);
    assert_int_equal(scan->call.error.code, CELLAR_DEADLINE_EXCEEDED);
    cellar_buffer_fini(&body);
    rig_close(&rig);
}

static void cancel_ends_what_is_safe_to_end(void **state)
{
    (void)state;
    rig_open(&rig, 1);
    struct test_call *read = rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    struct test_call *write = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    rig_run(&rig);
    struct test_call *queued = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    cellar_core_cancel(&read->call);
    cellar_core_cancel(&write->call);
    cellar_core_cancel(&queued->call);
    rig_run(&rig);
    assert_int_equal(read->call.error.code, CELLAR_CANCELLED);
    assert_int_equal(queued->call.error.code, CELLAR_CANCELLED);
    assert_int_equal(write->finish_count, 0);
    rig_reply(&rig, 1);
    assert_int_equal(write->call.error.code, CELLAR_OK);
    rig_close(&rig);
}

static void stopping_ends_every_call_once(void **state)
{
    (void)state;
    rig_open(&rig, 2);
    struct test_call *write = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    struct test_call *paused = rig_call(&rig, CELLAR_SAFETY_WRITE, 10 * S);
    rig_run(&rig);
    rig_error(&rig, 1, CELLAR_UNAVAILABLE, 1000);
    for (unsigned i = 0; i < 100; i++) {
        (void)rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
    }
    rig_run(&rig);
    rig_close(&rig);
    assert_int_equal(write->call.error.code, CELLAR_OUTCOME_UNKNOWN);
    assert_int_equal(paused->call.error.code, CELLAR_CANCELLED);
    for (unsigned i = 2; i < rig.call_count; i++) {
        assert_int_equal(rig.calls[i].call.error.code, CELLAR_CANCELLED);
    }
}

/* The n-th allocation fails: the call has an outcome whatever n is, and it is OK or NO_MEMORY. */
static void without_memory_a_call_still_has_one_outcome(void **state)
{
    (void)state;
    bool was_met = true;
    for (int64_t n = 0; was_met; n++) {
        rig_open(&rig, 1);
        struct test_call *call = rig_call(&rig, CELLAR_SAFETY_READ, 10 * S);
        (void)cellar_mem_fail_at(-1);
        rig.seen_count = 0;
        cellar_buffer_fini(&rig.core.lines[0].engine.input);
        /* Only the core's own work may fail: the test's buffers are made before. */
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(cellar_buffer_reserve(&rig.partial[i], 4096), CELLAR_OK);
        }
        rig_turn(&rig);
        (void)cellar_mem_fail_at(n);
        (void)rig_dial(&rig);
        cellar_core_turn(&rig.core, rig.now_us);
        was_met = cellar_mem_fail_at(-1);
        for (unsigned i = 0; i < 50 && call->finish_count == 0; i++) {
            rig_run(&rig);
            if (rig.seen_count > 0 && call->call.place == CELLAR_ASYNC_FLYING) {
                rig_reply(&rig, rig.seen_count - 1);
            }
            rig.now_us += 100 * MS;
        }
        assert_int_equal(call->finish_count, 1);
        assert_true(call->call.error.code == CELLAR_OK ||
                    call->call.error.code == CELLAR_NO_MEMORY);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_calls_share_a_line_and_are_answered_in_any_order),
        cmocka_unit_test(what_the_server_does_not_take_waits_in_the_queue),
        cmocka_unit_test(a_full_line_gets_another_beside_it_up_to_the_limit),
        cmocka_unit_test(a_line_with_many_bytes_gets_another_beside_it),
        cmocka_unit_test(unavailable_goes_again_after_the_delay),
        cmocka_unit_test(a_broken_line_takes_with_it_only_what_is_not_safe),
        cmocka_unit_test(every_call_ends_in_time_when_nothing_answers),
        cmocka_unit_test(a_late_answer_meets_nobody_and_a_cancel_was_sent),
        cmocka_unit_test(a_silent_line_is_replaced_and_its_other_calls_keep_their_time),
        cmocka_unit_test(connecting_is_tried_a_few_times_with_pauses),
        cmocka_unit_test(goaway_finishes_what_is_in_flight_and_moves_on),
        cmocka_unit_test(a_server_that_leaves_at_once_is_not_called_again_at_once),
        cmocka_unit_test(a_line_that_was_idle_for_long_is_probed_first),
        cmocka_unit_test(malformed_answers_end_in_errors),
        cmocka_unit_test(what_greets_as_something_else_fails_the_calls_that_wait),
        cmocka_unit_test(parts_give_credit_and_move_an_idle_deadline),
        cmocka_unit_test(cancel_ends_what_is_safe_to_end),
        cmocka_unit_test(stopping_ends_every_call_once),
        cmocka_unit_test(without_memory_a_call_still_has_one_outcome),
    };
    return cmocka_run_group_tests_name("async_core", tests, NULL, NULL);
}
