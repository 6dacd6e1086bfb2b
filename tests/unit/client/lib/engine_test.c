/*
 * engine: a connection's protocol without a socket. What it sends is taken apart with the codecs of
 * common; what it is fed comes whole, byte by byte, cut anywhere, out of turn, malformed or at
 * random. No input may do more than break it.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/engine.h"

#define TEXT(text) cellar_slice_make(text, sizeof(text) - 1)
#define HELLO_ID 1u

/* ---- the peer's side ------------------------------------------------------------------------- */

static struct cellar_frame frame_of(uint32_t id, uint16_t operation, uint8_t kind)
{
    return (struct cellar_frame){.request_id = id, .operation = operation, .kind = kind};
}

/* Appends one frame as it is, MORE included. */
static void frame_put(struct cellar_buffer *to, struct cellar_frame frame,
                      struct cellar_slice payload)
{
    uint8_t header[CELLAR_FRAME_HEADER_BYTES];
    frame.payload_bytes = (uint32_t)payload.bytes;
    cellar_frame_encode(&frame, header);
    assert_int_equal(cellar_buffer_append(to, header, sizeof header), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(to, payload.data, payload.bytes), CELLAR_OK);
}

static void hello_put(struct cellar_buffer *to, uint64_t version)
{
    struct cellar_msg_hello_reply reply = {.version = version,
                                           .server = TEXT("test"),
                                           .frame_bytes_max = 1048576,
                                           .request_bytes_max = 5000000,
                                           .requests_max = 4};
    struct cellar_buffer body = {0};
    assert_int_equal(cellar_message_encode(&cellar_msg_hello_reply_type, &reply, &body), CELLAR_OK);
    frame_put(to, frame_of(HELLO_ID, CELLAR_OP_HELLO, CELLAR_FRAME_REPLY), cellar_slice_of(&body));
    cellar_buffer_fini(&body);
}

/* Hands bytes to the engine, at most `step` at a time, taking events after each step. */
static bool feed(struct cellar_engine *engine, struct cellar_slice bytes, size_t step,
                 struct cellar_event *event)
{
    bool has_event = false;
    while (bytes.bytes > 0 && !has_event && engine->state != CELLAR_ENGINE_BROKEN) {
        uint8_t *room;
        size_t room_bytes;
        assert_int_equal(cellar_engine_room(engine, &room, &room_bytes), CELLAR_OK);
        size_t count = CELLAR_MIN(CELLAR_MIN(step, room_bytes), bytes.bytes);
        assert_true(count > 0);
        memcpy(room, bytes.data, count);
        cellar_engine_received(engine, count);
        bytes = cellar_slice_make(bytes.data + count, bytes.bytes - count);
        has_event = cellar_engine_event(engine, event);
    }
    return has_event;
}

static bool feed_frame(struct cellar_engine *engine, struct cellar_frame frame,
                       struct cellar_slice payload, struct cellar_event *event)
{
    struct cellar_buffer bytes = {0};
    frame_put(&bytes, frame, payload);
    bool has_event = feed(engine, cellar_slice_of(&bytes), bytes.bytes, event);
    cellar_buffer_fini(&bytes);
    return has_event;
}

/* Takes everything the engine wants to send. */
static void output_drop(struct cellar_engine *engine)
{
    cellar_engine_sent(engine, cellar_engine_output(engine).bytes);
}

static void engine_open(struct cellar_engine *engine)
{
    struct cellar_buffer bytes = {0};
    struct cellar_event event;
    cellar_engine_init(engine);
    assert_int_equal(cellar_engine_greet(engine, "test"), CELLAR_OK);
    output_drop(engine);
    hello_put(&bytes, 1);
    assert_false(feed(engine, cellar_slice_of(&bytes), bytes.bytes, &event));
    assert_int_equal(engine->state, CELLAR_ENGINE_OPEN);
    cellar_buffer_fini(&bytes);
}

static uint32_t submit(struct cellar_engine *engine, uint16_t operation)
{
    uint32_t id = 0;
    assert_int_equal(cellar_engine_submit(engine, operation, TEXT("\x80"), &id, NULL), CELLAR_OK);
    assert_int_not_equal(id, 0);
    return id;
}

static void assert_broken(struct cellar_engine *engine, enum cellar_status code, const char *text)
{
    assert_int_equal(engine->state, CELLAR_ENGINE_BROKEN);
    assert_int_equal(engine->error.code, code);
    if (strstr(engine->error.text, text) == NULL) {
        fail_msg("'%s' does not hold '%s'", engine->error.text, text);
    }
    cellar_engine_fini(engine);
}

/* ---- greeting -------------------------------------------------------------------------------- */

static void it_greets_with_preface_and_hello(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_frame frame;
    struct cellar_msg_hello_request hello;
    cellar_engine_init(&engine);
    assert_int_equal(cellar_engine_output(&engine).bytes, 0);
    assert_int_equal(cellar_engine_greet(&engine, "me"), CELLAR_OK);
    struct cellar_slice output = cellar_engine_output(&engine);
    assert_true(output.bytes > 20);
    assert_memory_equal(output.data, cellar_preface, CELLAR_PREFACE_BYTES);
    assert_int_equal(cellar_frame_decode(output.data + 8, &frame, NULL), CELLAR_OK);
    assert_int_equal(frame.operation, CELLAR_OP_HELLO);
    assert_int_equal(frame.kind, CELLAR_FRAME_REQUEST);
    assert_int_equal(cellar_message_decode(&cellar_msg_hello_request_type,
                                           cellar_slice_make(output.data + 20, output.bytes - 20),
                                           &hello, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(hello.version_min, 1);
    assert_int_equal(hello.version_max, 1);
    assert_true(cellar_slice_equal(hello.client, TEXT("me")));
    cellar_engine_fini(&engine);
}

static void it_opens_when_hello_is_answered_byte_by_byte(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_buffer bytes = {0};
    struct cellar_event event;
    cellar_engine_init(&engine);
    assert_int_equal(cellar_engine_greet(&engine, "me"), CELLAR_OK);
    hello_put(&bytes, 1);
    assert_false(feed(&engine, cellar_slice_make(bytes.data, bytes.bytes - 1), 1, &event));
    assert_int_equal(engine.state, CELLAR_ENGINE_GREETING);
    assert_false(feed(&engine, cellar_slice_make(bytes.data + bytes.bytes - 1, 1), 1, &event));
    assert_int_equal(engine.state, CELLAR_ENGINE_OPEN);
    assert_string_equal(engine.server, "test");
    assert_int_equal(engine.request_bytes_max, 5000000);
    assert_int_equal(engine.requests_max, 4);
    assert_false(cellar_engine_is_idle(&engine)); /* its greeting is not sent */
    output_drop(&engine);
    assert_true(cellar_engine_is_idle(&engine));
    cellar_buffer_fini(&bytes);
    cellar_engine_fini(&engine);
}

static void another_kind_of_server_breaks_it(void **state)
{
    (void)state;
    static const struct cellar_slice answers[] = {
        {(const uint8_t *)"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
        {(const uint8_t *)"SSH-2.0-OpenSSH_9.2\r\n", 21},
        {(const uint8_t *)"\0\0\0\0\0\0\0\1\0\1\2\0", 12}, /* HELLO's reply without a body */
        {(const uint8_t *)"\0\0\0\1\0\0\0\1\0\1\2\0\x80", 13},
        {(const uint8_t *)"\0\0\0\1\0\0\0\2\0\2\2\0\x80", 13}, /* an answer to something else */
        {(const uint8_t *)"\0\0\0\1\0\0\0\1\0\1\5\0\x80", 13}, /* a kind that answers nothing */
        {(const uint8_t *)"\0\0\0\1\0\0\0\1\0\1\2\1\x80", 13}, /* HELLO's reply in pieces */
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(answers); index++) {
        struct cellar_engine engine;
        struct cellar_event event;
        cellar_engine_init(&engine);
        assert_int_equal(cellar_engine_greet(&engine, "me"), CELLAR_OK);
        assert_false(feed(&engine, answers[index], answers[index].bytes, &event));
        assert_broken(&engine, CELLAR_FAILED_PRECONDITION, "no Cellar server");
    }
}

static void a_version_that_does_not_fit_breaks_it(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_buffer bytes = {0};
    struct cellar_event event;
    cellar_engine_init(&engine);
    assert_int_equal(cellar_engine_greet(&engine, "me"), CELLAR_OK);
    hello_put(&bytes, 2);
    assert_false(feed(&engine, cellar_slice_of(&bytes), bytes.bytes, &event));
    cellar_buffer_fini(&bytes);
    assert_broken(&engine, CELLAR_FAILED_PRECONDITION, "version");
}

static void an_error_to_hello_is_the_engines(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    cellar_engine_init(&engine);
    assert_int_equal(cellar_engine_greet(&engine, "me"), CELLAR_OK);
    assert_false(feed_frame(&engine, frame_of(HELLO_ID, CELLAR_OP_HELLO, CELLAR_FRAME_ERROR),
                            TEXT("\x83\x01\x06\x02\xa4"
                                 "full\x03\x64"),
                            &event));
    assert_int_equal(engine.error.retry_delay_ms, 100);
    assert_broken(&engine, CELLAR_UNAVAILABLE, "full");
}

static void goaway_instead_of_hellos_answer_is_unavailable(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    cellar_engine_init(&engine);
    assert_int_equal(cellar_engine_greet(&engine, "me"), CELLAR_OK);
    assert_false(feed_frame(&engine, frame_of(0, 0, CELLAR_FRAME_GOAWAY), TEXT(""), &event));
    assert_broken(&engine, CELLAR_UNAVAILABLE, "stop");
}

/* ---- requests and answers -------------------------------------------------------------------- */

static void a_request_and_its_reply_go_through(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    struct cellar_frame frame;
    engine_open(&engine);
    uint32_t id = submit(&engine, CELLAR_OP_PING);
    struct cellar_slice output = cellar_engine_output(&engine);
    assert_int_equal(output.bytes, CELLAR_FRAME_HEADER_BYTES + 1);
    assert_int_equal(cellar_frame_decode(output.data, &frame, NULL), CELLAR_OK);
    assert_int_equal(frame.request_id, id);
    assert_int_equal(frame.operation, CELLAR_OP_PING);
    cellar_engine_sent(&engine, 5); /* in two pieces */
    assert_int_equal(cellar_engine_output(&engine).bytes, CELLAR_FRAME_HEADER_BYTES + 1 - 5);
    output_drop(&engine);
    assert_false(cellar_engine_is_idle(&engine));
    assert_true(feed_frame(&engine, frame_of(id, CELLAR_OP_PING, CELLAR_FRAME_REPLY),
                           TEXT("\x81\x01\xc3"), &event));
    assert_int_equal(event.kind, CELLAR_EVENT_REPLY);
    assert_int_equal(event.request_id, id);
    assert_true(cellar_slice_equal(event.body, TEXT("\x81\x01\xc3")));
    assert_false(cellar_engine_event(&engine, &event));
    assert_true(cellar_engine_is_idle(&engine));
    cellar_engine_trim(&engine);
    cellar_engine_fini(&engine);
}

static void answers_come_in_any_order_and_any_cut(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 3, 11, 12, 13, 25, 1000};
    for (size_t step = 0; step < CELLAR_ARRAY_COUNT(steps); step++) {
        struct cellar_engine engine;
        struct cellar_event event;
        struct cellar_buffer bytes = {0};
        engine_open(&engine);
        uint32_t first = submit(&engine, CELLAR_OP_PING);
        uint32_t second = submit(&engine, CELLAR_OP_DROP_TABLE);
        assert_int_not_equal(first, second);
        frame_put(&bytes, frame_of(second, CELLAR_OP_DROP_TABLE, CELLAR_FRAME_ERROR), TEXT("\x80"));
        assert_true(feed(&engine, cellar_slice_of(&bytes), steps[step], &event));
        assert_int_equal(event.request_id, second);
        assert_int_equal(event.kind, CELLAR_EVENT_ERROR);
        cellar_buffer_clear(&bytes);
        frame_put(&bytes, frame_of(first, CELLAR_OP_PING, CELLAR_FRAME_REPLY), TEXT("\x80"));
        assert_true(feed(&engine, cellar_slice_of(&bytes), steps[step], &event));
        assert_int_equal(event.request_id, first);
        assert_int_equal(engine.in_flight_count, 0);
        cellar_buffer_fini(&bytes);
        cellar_engine_fini(&engine);
    }
}

static void messages_in_several_frames_are_joined_beside_each_other(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    engine_open(&engine);
    uint32_t a = submit(&engine, CELLAR_OP_READ_ROWS);
    uint32_t b = submit(&engine, CELLAR_OP_READ_ROWS);
    struct cellar_frame part_a = frame_of(a, CELLAR_OP_READ_ROWS, CELLAR_FRAME_PART);
    struct cellar_frame part_b = frame_of(b, CELLAR_OP_READ_ROWS, CELLAR_FRAME_PART);
    part_a.has_more = true;
    part_b.has_more = true;
    assert_false(feed_frame(&engine, part_a, TEXT("one "), &event));
    assert_false(feed_frame(&engine, part_b, TEXT("ONE "), &event));
    assert_false(feed_frame(&engine, part_a, TEXT(""), &event));
    part_b.has_more = false;
    assert_true(feed_frame(&engine, part_b, TEXT("TWO"), &event));
    assert_int_equal(event.kind, CELLAR_EVENT_PART);
    assert_int_equal(event.request_id, b);
    assert_true(cellar_slice_equal(event.body, TEXT("ONE TWO")));
    part_a.has_more = false;
    assert_true(feed_frame(&engine, part_a, TEXT("two"), &event));
    assert_true(cellar_slice_equal(event.body, TEXT("one two")));
    assert_int_equal(engine.in_flight_count, 2); /* parts end nothing */
    cellar_engine_fini(&engine);
}

static void a_frame_of_the_largest_size_fits_the_input(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    struct cellar_buffer payload = {0};
    engine_open(&engine);
    uint32_t id = submit(&engine, CELLAR_OP_READ_ROWS);
    assert_int_equal(cellar_buffer_reserve(&payload, CELLAR_FRAME_PAYLOAD_BYTES_MAX), CELLAR_OK);
    memset(payload.data, 'x', CELLAR_FRAME_PAYLOAD_BYTES_MAX);
    payload.bytes = CELLAR_FRAME_PAYLOAD_BYTES_MAX;
    struct cellar_buffer bytes = {0};
    frame_put(&bytes, frame_of(id, CELLAR_OP_READ_ROWS, CELLAR_FRAME_REPLY),
              cellar_slice_of(&payload));
    assert_true(feed(&engine, cellar_slice_of(&bytes), 70000, &event));
    assert_int_equal(event.body.bytes, CELLAR_FRAME_PAYLOAD_BYTES_MAX);
    assert_false(cellar_engine_event(&engine, &event));
    output_drop(&engine);
    cellar_engine_trim(&engine);
    assert_int_equal(engine.input.capacity, 0);
    cellar_buffer_fini(&bytes);
    cellar_buffer_fini(&payload);
    cellar_engine_fini(&engine);
}

/* An error may cut off a part; what came of that is void, and the connection goes on. */
static void an_error_in_the_middle_of_a_part_ends_its_request_alone(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    engine_open(&engine);
    uint32_t id = submit(&engine, CELLAR_OP_READ_ROWS);
    struct cellar_frame part = frame_of(id, CELLAR_OP_READ_ROWS, CELLAR_FRAME_PART);
    part.has_more = true;
    assert_false(feed_frame(&engine, part, TEXT("half a row"), &event));
    assert_true(feed_frame(&engine, frame_of(id, CELLAR_OP_READ_ROWS, CELLAR_FRAME_ERROR),
                           TEXT("\x81\x01\x0C"), &event));
    assert_int_equal(event.kind, CELLAR_EVENT_ERROR);
    assert_true(cellar_slice_equal(event.body, TEXT("\x81\x01\x0C")));
    assert_int_equal(engine.in_flight_count, 0);
    assert_int_equal(engine.state, CELLAR_ENGINE_OPEN);
    cellar_engine_fini(&engine);
}

static void a_joined_message_is_bounded(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    engine_open(&engine);
    engine.joined_bytes_max = 10;
    struct cellar_frame part =
        frame_of(submit(&engine, CELLAR_OP_READ_ROWS), CELLAR_OP_READ_ROWS, CELLAR_FRAME_PART);
    part.has_more = true;
    assert_false(feed_frame(&engine, part, TEXT("12345"), &event));
    assert_false(feed_frame(&engine, part, TEXT("67890"), &event));
    assert_int_equal(engine.state, CELLAR_ENGINE_OPEN);
    assert_false(feed_frame(&engine, part, TEXT("1"), &event));
    assert_broken(&engine, CELLAR_IO_ERROR, "larger than this client takes");
}

static void requests_in_flight_and_their_size_are_bounded(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_error error;
    struct cellar_event event;
    uint32_t id = 0;
    engine_open(&engine);
    uint32_t first = submit(&engine, CELLAR_OP_PING);
    for (int count = 1; count < 4; count++) {
        (void)submit(&engine, CELLAR_OP_PING);
    }
    assert_int_equal(cellar_engine_submit(&engine, CELLAR_OP_PING, TEXT("\x80"), &id, &error),
                     CELLAR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "At most 4 requests"));
    assert_true(feed_frame(&engine, frame_of(first, CELLAR_OP_PING, CELLAR_FRAME_REPLY),
                           TEXT("\x80"), &event));
    uint32_t next = submit(&engine, CELLAR_OP_PING);
    assert_int_not_equal(next, first);
    uint8_t byte = 0;
    assert_int_equal(cellar_engine_submit(&engine, CELLAR_OP_PING,
                                          cellar_slice_make(&byte, 5000001), &id, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 5000000 bytes, but got 5000001"));
    cellar_engine_fini(&engine);
}

static void ids_are_new_when_a_slot_is_used_again_also_after_wrapping(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    uint32_t before = 0;
    engine_open(&engine);
    engine.sequence = (1u << 24) - 2;
    for (int round = 0; round < 5; round++) {
        uint32_t id = submit(&engine, CELLAR_OP_PING);
        assert_int_not_equal(id, before);
        assert_int_not_equal(id, HELLO_ID);
        assert_true(feed_frame(&engine, frame_of(id, CELLAR_OP_PING, CELLAR_FRAME_REPLY),
                               TEXT("\x80"), &event));
        before = id;
    }
    cellar_engine_fini(&engine);
}

static void credit_and_cancel_speak_of_requests_in_flight_only(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_frame frame;
    engine_open(&engine);
    uint32_t id = submit(&engine, CELLAR_OP_READ_ROWS);
    output_drop(&engine);
    assert_int_equal(cellar_engine_credit(&engine, id, 100), CELLAR_OK);
    struct cellar_slice output = cellar_engine_output(&engine);
    assert_int_equal(cellar_frame_decode(output.data, &frame, NULL), CELLAR_OK);
    assert_int_equal(frame.kind, CELLAR_FRAME_CREDIT);
    assert_int_equal(frame.request_id, id);
    assert_memory_equal(output.data + 12, "\x81\x01\x64", 3);
    output_drop(&engine);
    assert_int_equal(cellar_engine_cancel(&engine, id), CELLAR_OK);
    output = cellar_engine_output(&engine);
    assert_int_equal(output.bytes, CELLAR_FRAME_HEADER_BYTES);
    assert_int_equal(cellar_frame_decode(output.data, &frame, NULL), CELLAR_OK);
    assert_int_equal(frame.kind, CELLAR_FRAME_CANCEL);
    output_drop(&engine);
    assert_int_equal(cellar_engine_credit(&engine, id + 1, 100), CELLAR_OK);
    assert_int_equal(cellar_engine_cancel(&engine, id + 256), CELLAR_OK);
    assert_int_equal(cellar_engine_output(&engine).bytes, 0);
    cellar_engine_fini(&engine);
}

static void after_goaway_answers_come_and_requests_do_not_go(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    uint32_t other = 0;
    engine_open(&engine);
    uint32_t id = submit(&engine, CELLAR_OP_PING);
    assert_false(feed_frame(&engine, frame_of(0, 0, CELLAR_FRAME_GOAWAY), TEXT(""), &event));
    assert_int_equal(engine.state, CELLAR_ENGINE_LEAVING);
    assert_false(feed_frame(&engine, frame_of(0, 0, CELLAR_FRAME_GOAWAY), TEXT(""), &event));
    assert_int_equal(cellar_engine_submit(&engine, CELLAR_OP_PING, TEXT("\x80"), &other, NULL),
                     CELLAR_UNAVAILABLE);
    assert_true(feed_frame(&engine, frame_of(id, CELLAR_OP_PING, CELLAR_FRAME_REPLY), TEXT("\x80"),
                           &event));
    output_drop(&engine);
    assert_false(cellar_engine_is_idle(&engine));
    cellar_engine_fini(&engine);
}

/* ---- breaking the rules ---------------------------------------------------------------------- */

static void what_breaks_the_protocol_breaks_the_engine(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cellar_frame frame; /* request_id 1 stands for the one in flight */
    } cases[] = {
        {"an id that was never used", {.request_id = 77, .operation = 2, .kind = 2}},
        {"another operation", {.request_id = 1, .operation = 3, .kind = 2}},
        {"a part of what has none", {.request_id = 1, .operation = 2, .kind = 3}},
        {"a request", {.request_id = 1, .operation = 2, .kind = 1}},
        {"credit", {.request_id = 1, .operation = 2, .kind = 5}},
        {"cancel", {.request_id = 1, .operation = 2, .kind = 6}},
        {"goaway for a request", {.request_id = 1, .operation = 2, .kind = 7}},
        {"a reply to nobody", {.request_id = 0, .operation = 2, .kind = 2}},
        {"a part for nobody", {.request_id = 0, .operation = 34, .kind = 3}},
        {"an error of nothing", {.request_id = 0, .operation = 0, .kind = 4}},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_engine engine;
        struct cellar_event event;
        struct cellar_frame frame = cases[index].frame;
        engine_open(&engine);
        uint32_t id = submit(&engine, CELLAR_OP_PING);
        frame.request_id = frame.request_id == 1 ? id : frame.request_id;
        assert_false(feed_frame(&engine, frame, TEXT("\x80"), &event));
        assert_broken(&engine, CELLAR_IO_ERROR, "broke the protocol");
    }
}

static void a_message_does_not_change_its_kind_in_the_middle(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    engine_open(&engine);
    struct cellar_frame frame =
        frame_of(submit(&engine, CELLAR_OP_READ_ROWS), CELLAR_OP_READ_ROWS, CELLAR_FRAME_PART);
    frame.has_more = true;
    assert_false(feed_frame(&engine, frame, TEXT("x"), &event));
    frame.kind = CELLAR_FRAME_REPLY;
    assert_false(feed_frame(&engine, frame, TEXT("x"), &event));
    assert_broken(&engine, CELLAR_IO_ERROR, "kind");
}

static void malformed_headers_break_the_engine(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "\x00\x10\x00\x01\x00\x00\x01\x00\x00\x02\x02\x00", /* a byte too long */
        "\xff\xff\xff\xff\x00\x00\x01\x00\x00\x02\x02\x00",
        "\x00\x00\x00\x01\x00\x00\x01\x00\x00\x02\x00\x00", /* kind 0 */
        "\x00\x00\x00\x01\x00\x00\x01\x00\x00\x02\x08\x00", /* kind 8 */
        "\x00\x00\x00\x01\x00\x00\x01\x00\x00\x02\x02\x02", /* a flag that is none */
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(headers); index++) {
        struct cellar_engine engine;
        struct cellar_event event;
        engine_open(&engine);
        assert_false(feed(&engine, cellar_slice_make(headers[index], 12), 12, &event));
        assert_broken(&engine, CELLAR_IO_ERROR, "broke the protocol");
    }
}

static void an_error_of_the_connection_is_the_engines(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    engine_open(&engine);
    assert_false(feed_frame(&engine, frame_of(0, 0, CELLAR_FRAME_ERROR),
                            TEXT("\x82\x01\x01\x02\xa3"
                                 "bad"),
                            &event));
    assert_broken(&engine, CELLAR_INVALID_ARGUMENT, "bad");
}

static void nothing_comes_out_of_a_broken_engine(void **state)
{
    (void)state;
    struct cellar_engine engine;
    struct cellar_event event;
    struct cellar_error error;
    struct cellar_buffer bytes = {0};
    engine_open(&engine);
    uint32_t id = submit(&engine, CELLAR_OP_PING);
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "first");
    cellar_engine_break(&engine, &error);
    (void)cellar_error_set(&error, CELLAR_IO_ERROR, "second");
    cellar_engine_break(&engine, &error);
    frame_put(&bytes, frame_of(id, CELLAR_OP_PING, CELLAR_FRAME_REPLY), TEXT("\x80"));
    assert_false(feed(&engine, cellar_slice_of(&bytes), bytes.bytes, &event));
    assert_false(cellar_engine_event(&engine, &event));
    cellar_buffer_fini(&bytes);
    assert_broken(&engine, CELLAR_UNAVAILABLE, "first");
}

static void random_bytes_do_no_more_than_break_it(void **state)
{
    (void)state;
    struct test_random random = {test_seed("engine")};
    for (int round = 0; round < 300; round++) {
        struct cellar_engine engine;
        struct cellar_buffer bytes = {0};
        struct cellar_event event;
        uint8_t noise[64];
        engine_open(&engine);
        uint32_t id = submit(&engine, CELLAR_OP_READ_ROWS);
        for (int count = 0; count < 20; count++) {
            struct cellar_frame frame = frame_of(
                test_random_below(&random, 8) == 0 ? 0 : id, CELLAR_OP_READ_ROWS,
                test_random_below(&random, 4) == 0 ? CELLAR_FRAME_ERROR : CELLAR_FRAME_PART);
            frame.has_more = test_random_below(&random, 2) == 0;
            test_random_bytes(&random, noise, sizeof noise);
            frame_put(&bytes, frame,
                      cellar_slice_make(noise, test_random_below(&random, sizeof noise)));
        }
        if (test_random_below(&random, 2) == 0) {
            bytes.data[test_random_below(&random, bytes.bytes)] ^= (uint8_t)round;
        }
        (void)feed(&engine, cellar_slice_of(&bytes), 1 + test_random_below(&random, 100), &event);
        while (cellar_engine_event(&engine, &event)) {
            assert_true(event.body.bytes <= bytes.bytes);
        }
        cellar_buffer_fini(&bytes);
        cellar_engine_fini(&engine);
    }
}

/* ---- out of memory --------------------------------------------------------------------------- */

static enum cellar_status exchange(void *context)
{
    struct cellar_engine engine;
    struct cellar_event event;
    uint32_t id = 0;
    uint8_t *room;
    size_t room_bytes;
    const struct cellar_buffer *hello = context;
    cellar_engine_init(&engine);
    enum cellar_status status = cellar_engine_greet(&engine, "me");
    if (status == CELLAR_OK) {
        status = cellar_engine_room(&engine, &room, &room_bytes);
    }
    if (status == CELLAR_OK) {
        memcpy(room, hello->data, hello->bytes);
        cellar_engine_received(&engine, hello->bytes);
        assert_false(cellar_engine_event(&engine, &event));
        status = cellar_engine_submit(&engine, CELLAR_OP_READ_ROWS, TEXT("\x80"), &id, NULL);
    }
    if (status == CELLAR_OK) {
        status = cellar_engine_credit(&engine, id, 1);
    }
    if (status == CELLAR_OK) {
        status = cellar_engine_room(&engine, &room, &room_bytes);
    }
    if (status == CELLAR_OK) {
        struct cellar_frame part = frame_of(id, CELLAR_OP_READ_ROWS, CELLAR_FRAME_PART);
        part.has_more = true;
        part.payload_bytes = 1;
        cellar_frame_encode(&part, room);
        cellar_engine_received(&engine, CELLAR_FRAME_HEADER_BYTES + 1);
        assert_false(cellar_engine_event(&engine, &event));
        status = engine.state == CELLAR_ENGINE_BROKEN ? engine.error.code : CELLAR_OK;
    }
    cellar_engine_fini(&engine);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    struct cellar_buffer hello = {0};
    hello_put(&hello, 1);
    assert_true(test_out_of_memory_loop(exchange, &hello) >= 4);
    cellar_buffer_fini(&hello);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_greets_with_preface_and_hello),
        cmocka_unit_test(it_opens_when_hello_is_answered_byte_by_byte),
        cmocka_unit_test(another_kind_of_server_breaks_it),
        cmocka_unit_test(a_version_that_does_not_fit_breaks_it),
        cmocka_unit_test(an_error_to_hello_is_the_engines),
        cmocka_unit_test(goaway_instead_of_hellos_answer_is_unavailable),
        cmocka_unit_test(a_request_and_its_reply_go_through),
        cmocka_unit_test(answers_come_in_any_order_and_any_cut),
        cmocka_unit_test(messages_in_several_frames_are_joined_beside_each_other),
        cmocka_unit_test(a_frame_of_the_largest_size_fits_the_input),
        cmocka_unit_test(an_error_in_the_middle_of_a_part_ends_its_request_alone),
        cmocka_unit_test(a_joined_message_is_bounded),
        cmocka_unit_test(requests_in_flight_and_their_size_are_bounded),
        cmocka_unit_test(ids_are_new_when_a_slot_is_used_again_also_after_wrapping),
        cmocka_unit_test(credit_and_cancel_speak_of_requests_in_flight_only),
        cmocka_unit_test(after_goaway_answers_come_and_requests_do_not_go),
        cmocka_unit_test(what_breaks_the_protocol_breaks_the_engine),
        cmocka_unit_test(a_message_does_not_change_its_kind_in_the_middle),
        cmocka_unit_test(malformed_headers_break_the_engine),
        cmocka_unit_test(an_error_of_the_connection_is_the_engines),
        cmocka_unit_test(nothing_comes_out_of_a_broken_engine),
        cmocka_unit_test(random_bytes_do_no_more_than_break_it),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
