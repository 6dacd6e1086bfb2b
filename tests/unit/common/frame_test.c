/*
 * frame: the 12-byte header and the cutting of long messages.
 */
#include <string.h>

#include "common/frame.h"
#include "tests/support/support.h"

#define PAYLOAD_MAX CELLAR_FRAME_PAYLOAD_BYTES_MAX

static const struct cellar_frame request = {
    .request_id = 0x01020304, .operation = CELLAR_OP_READ_ROWS, .kind = CELLAR_FRAME_REQUEST};

static void a_header_has_the_documented_bytes(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0, 0, 1, 2, 1, 2, 3, 4, 0, 34, 1, 1};
    uint8_t header[CELLAR_FRAME_HEADER_BYTES];
    struct cellar_frame frame = request;
    frame.payload_bytes = 258;
    frame.has_more = true;
    cellar_frame_encode(&frame, header);
    assert_memory_equal(header, expected, sizeof expected);
}

static void the_preface_is_the_documented_one(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x93, 0x43, 0x45, 0x4C, 0x4C, 0x41, 0x52, 0x0A};
    assert_int_equal(sizeof cellar_preface, sizeof expected);
    assert_memory_equal(cellar_preface, expected, sizeof expected);
}

static void random_headers_come_back_unchanged(void **state)
{
    (void)state;
    struct test_random random = {test_seed("frame headers")};
    for (int round = 0; round < 2000; round++) {
        struct cellar_frame frame = {
            .payload_bytes = (uint32_t)test_random_below(&random, PAYLOAD_MAX + 1),
            .request_id = (uint32_t)test_random_next(&random),
            .operation = (uint16_t)test_random_next(&random),
            .kind = (uint8_t)(1 + test_random_below(&random, 7)),
            .has_more = test_random_below(&random, 2) == 0,
        };
        uint8_t header[CELLAR_FRAME_HEADER_BYTES];
        struct cellar_frame back;
        cellar_frame_encode(&frame, header);
        assert_int_equal(cellar_frame_decode(header, &back, NULL), CELLAR_OK);
        assert_int_equal(back.payload_bytes, frame.payload_bytes);
        assert_int_equal(back.request_id, frame.request_id);
        assert_int_equal(back.operation, frame.operation);
        assert_int_equal(back.kind, frame.kind);
        assert_int_equal(back.has_more, frame.has_more);
    }
}

static void a_header_that_breaks_the_rules_is_refused_by_field_and_value(void **state)
{
    (void)state;
    static const struct {
        uint8_t header[CELLAR_FRAME_HEADER_BYTES];
        const char *text;
    } cases[] = {
        {{0, 16, 0, 1, 0, 0, 0, 1, 0, 2, 1, 0},
         "Frame length must be at most 1048576 bytes, but got 1048577"},
        {{255, 255, 255, 255, 0, 0, 0, 1, 0, 2, 1, 0},
         "Frame length must be at most 1048576 bytes, but got 4294967295"},
        {{0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0}, "Frame kind must be 1 to 7, but got 0"},
        {{0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 8, 0}, "Frame kind must be 1 to 7, but got 8"},
        {{0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 2}, "Frame flags must be 0 or 1 (MORE), but got 2"},
        {{0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 129}, "Frame flags must be 0 or 1 (MORE), but got 129"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_frame frame = {.request_id = 77};
        struct cellar_error error = {0};
        assert_int_equal(cellar_frame_decode(cases[index].header, &frame, &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_string_equal(error.text, cases[index].text);
        assert_int_equal(frame.request_id, 77);
    }
}

static void unknown_operations_and_any_id_are_for_the_session_to_judge(void **state)
{
    (void)state;
    static const uint8_t header[CELLAR_FRAME_HEADER_BYTES] = {0, 16, 0, 0, 0, 0, 0, 0, 255, 255, 7};
    struct cellar_frame frame;
    assert_int_equal(cellar_frame_decode(header, &frame, NULL), CELLAR_OK);
    assert_int_equal(frame.payload_bytes, PAYLOAD_MAX);
    assert_int_equal(frame.request_id, 0);
    assert_int_equal(frame.operation, 65535);
}

/* Walks the frames of a stream and joins their payloads; returns the number of frames. */
static size_t join(const struct cellar_buffer *stream, struct cellar_buffer *payload)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(stream));
    struct cellar_frame frame = {.has_more = true};
    struct cellar_slice bytes = {NULL, 0};
    size_t count = 0;
    while (cellar_cursor_left(&from) > 0) {
        assert_true(frame.has_more);
        assert_true(cellar_cursor_take(&from, CELLAR_FRAME_HEADER_BYTES, &bytes));
        assert_int_equal(cellar_frame_decode(bytes.data, &frame, NULL), CELLAR_OK);
        assert_int_equal(frame.request_id, request.request_id);
        assert_int_equal(frame.operation, request.operation);
        assert_int_equal(frame.kind, request.kind);
        assert_true(cellar_cursor_take(&from, frame.payload_bytes, &bytes));
        assert_int_equal(cellar_buffer_append(payload, bytes.data, bytes.bytes), CELLAR_OK);
        count++;
    }
    assert_false(frame.has_more);
    return count;
}

static void long_messages_are_cut_and_join_to_what_they_were(void **state)
{
    (void)state;
    static uint8_t message[2 * PAYLOAD_MAX + 5];
    static const struct {
        size_t bytes;
        size_t frame_count;
    } cases[] = {{0, 1},
                 {1, 1},
                 {PAYLOAD_MAX - 1, 1},
                 {PAYLOAD_MAX, 1},
                 {PAYLOAD_MAX + 1, 2},
                 {2 * PAYLOAD_MAX, 2},
                 {2 * PAYLOAD_MAX + 5, 3}};
    for (size_t index = 0; index < sizeof message; index++) {
        message[index] = (uint8_t)(index % 251);
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_buffer stream = {0};
        struct cellar_buffer payload = {0};
        struct cellar_slice whole = cellar_slice_make(message, cases[index].bytes);
        struct cellar_frame frame = request;
        frame.payload_bytes = 12345;
        frame.has_more = true;
        assert_int_equal(cellar_frame_append(&stream, &frame, whole), CELLAR_OK);
        assert_int_equal(join(&stream, &payload), cases[index].frame_count);
        assert_true(cellar_slice_equal(cellar_slice_of(&payload), whole));
        cellar_buffer_fini(&stream);
        cellar_buffer_fini(&payload);
    }
}

static void an_empty_message_is_a_header_alone(void **state)
{
    (void)state;
    struct cellar_buffer stream = {0};
    struct cellar_slice nothing = {NULL, 0};
    assert_int_equal(cellar_frame_append(&stream, &request, nothing), CELLAR_OK);
    assert_int_equal(cellar_frame_append(&stream, &request, nothing), CELLAR_OK);
    assert_int_equal(stream.bytes, 2 * CELLAR_FRAME_HEADER_BYTES);
    cellar_buffer_fini(&stream);
}

static void operations_have_names(void **state)
{
    (void)state;
    static const struct {
        uint16_t operation;
        const char *text;
    } cases[] = {{CELLAR_OP_NONE, "NONE"},
                 {CELLAR_OP_HELLO, "HELLO"},
                 {CELLAR_OP_PING, "PING"},
                 {CELLAR_OP_SERVER_INFO, "SERVER_INFO"},
                 {CELLAR_OP_CREATE_TABLE, "CREATE_TABLE"},
                 {CELLAR_OP_DESCRIBE_TABLE, "DESCRIBE_TABLE"},
                 {CELLAR_OP_LIST_TABLES, "LIST_TABLES"},
                 {CELLAR_OP_DROP_TABLE, "DROP_TABLE"},
                 {CELLAR_OP_MODIFY_FAMILIES, "MODIFY_FAMILIES"},
                 {CELLAR_OP_DROP_ROWS, "DROP_ROWS"},
                 {CELLAR_OP_SCRUB, "SCRUB"},
                 {CELLAR_OP_COMPACT, "COMPACT"},
                 {CELLAR_OP_BULK_BEGIN, "BULK_BEGIN"},
                 {CELLAR_OP_BULK_ROWS, "BULK_ROWS"},
                 {CELLAR_OP_BULK_COMMIT, "BULK_COMMIT"},
                 {CELLAR_OP_BULK_ABORT, "BULK_ABORT"},
                 {CELLAR_OP_MUTATE_ROW, "MUTATE_ROW"},
                 {CELLAR_OP_MUTATE_ROWS, "MUTATE_ROWS"},
                 {CELLAR_OP_READ_ROWS, "READ_ROWS"}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        assert_string_equal(cellar_operation_text(cases[index].operation), cases[index].text);
    }
    static const uint16_t unknown[] = {4, 15, 28, 31, 35, 48, 65535};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(unknown); index++) {
        assert_null(cellar_operation_text(unknown[index]));
    }
}

/* Appends a message of 100 KB behind a small one. */
static enum cellar_status append_two(void *context)
{
    static const uint8_t message[100000];
    struct cellar_buffer stream = {0};
    struct cellar_slice small = cellar_slice_make(message, 10);
    struct cellar_slice large = cellar_slice_make(message, sizeof message);
    (void)context;
    enum cellar_status status = cellar_frame_append(&stream, &request, small);
    if (status == CELLAR_OK) {
        size_t bytes_before = stream.bytes;
        status = cellar_frame_append(&stream, &request, large);
        assert_true(status == CELLAR_OK || stream.bytes == bytes_before);
    }
    cellar_buffer_fini(&stream);
    return status;
}

static void without_memory_the_stream_stays_as_it_was(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(append_two, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_has_the_documented_bytes),
        cmocka_unit_test(the_preface_is_the_documented_one),
        cmocka_unit_test(random_headers_come_back_unchanged),
        cmocka_unit_test(a_header_that_breaks_the_rules_is_refused_by_field_and_value),
        cmocka_unit_test(unknown_operations_and_any_id_are_for_the_session_to_judge),
        cmocka_unit_test(long_messages_are_cut_and_join_to_what_they_were),
        cmocka_unit_test(an_empty_message_is_a_header_alone),
        cmocka_unit_test(operations_have_names),
        cmocka_unit_test(without_memory_the_stream_stays_as_it_was),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
