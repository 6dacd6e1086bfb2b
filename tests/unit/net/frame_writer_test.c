/* Messages in the output: headers are filled in, large payloads are cut into frames, error texts
 * are UTF-8, and no memory leaves the output as it was. */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "common/message.h"
#include "server/net/native/frame_writer.h"

static const struct cellar_frame part = {
    .request_id = 5, .operation = CELLAR_OP_READ_ROWS, .kind = CELLAR_FRAME_PART};

/* Joins the frames behind `start` and checks their headers. */
static void join_frames(const struct cellar_buffer *output, size_t start,
                        struct cellar_buffer *payload, size_t *frame_count)
{
    struct cellar_error error;
    struct cellar_frame frame = {.has_more = true};
    size_t at = start;
    *frame_count = 0;
    while (frame.has_more) {
        assert_true(output->bytes - at >= CELLAR_FRAME_HEADER_BYTES);
        assert_int_equal(cellar_frame_decode(output->data + at, &frame, &error), CELLAR_OK);
        assert_int_equal(frame.request_id, 5);
        assert_int_equal(frame.kind, CELLAR_FRAME_PART);
        at += CELLAR_FRAME_HEADER_BYTES;
        assert_int_equal(cellar_buffer_append(payload, output->data + at, frame.payload_bytes),
                         CELLAR_OK);
        at += frame.payload_bytes;
        *frame_count += 1;
    }
    assert_int_equal(at, output->bytes);
}

static void message_of_every_size_is_cut_at_the_frame_limit(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1048575, 1048576, 1048577, 2097152, 2097153, 3500000};
    struct test_random random = {test_seed("frame_writer")};
    uint8_t *data = cellar_mem_alloc(3500000);
    test_random_bytes(&random, data, 3500000);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        struct cellar_buffer output = {0};
        struct cellar_buffer payload = {0};
        size_t start = 0;
        size_t frame_count = 0;
        assert_int_equal(cellar_buffer_append(&output, "before", 6), CELLAR_OK);
        assert_int_equal(net_message_begin(&output, &start), CELLAR_OK);
        assert_int_equal(start, 6);
        assert_int_equal(cellar_buffer_append(&output, data, sizes[i]), CELLAR_OK);
        assert_int_equal(net_message_payload_bytes(&output, start), sizes[i]);
        assert_int_equal(net_message_end(&output, start, &part), CELLAR_OK);
        join_frames(&output, start, &payload, &frame_count);
        assert_int_equal(payload.bytes, sizes[i]);
        assert_memory_equal(payload.bytes > 0 ? payload.data : data, data, sizes[i]);
        assert_int_equal(frame_count, sizes[i] == 0 ? 1 : (sizes[i] + 1048575) / 1048576);
        assert_memory_equal(output.data, "before", 6);
        cellar_buffer_fini(&payload);
        cellar_buffer_fini(&output);
    }
    cellar_mem_free(data);
}

struct repair_case {
    const char *before;
    const char *after;
};

static const struct repair_case repair_cases[] = {
    {"plain", "plain"},
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"cut \xe2\x82", "cut ??"},
    {"\xff\xfe", "??"},
    {"\x80x", "?x"},
    {"\xc0\x80", "??"},
    {"\xe0\x80\x80", "???"},
    {"\xed\xa0\x80", "???"},
    {"\xf4\x90\x80\x80", "????"},
    {"\xf5\x80\x80\x80", "????"},
    {"\xc3", "?"},
};

static void text_that_is_not_utf8_is_repaired(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(repair_cases); i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%s", repair_cases[i].before);
        net_text_repair(text);
        assert_string_equal(text, repair_cases[i].after);
    }
}

static void error_without_a_text_carries_its_codes_name(void **state)
{
    (void)state;
    struct cellar_buffer output = {0};
    struct cellar_error error = {.code = CELLAR_UNAVAILABLE, .retry_delay_ms = 20};
    struct cellar_msg_error message;
    assert_int_equal(net_error_append(&output, 3, CELLAR_OP_PING, &error), CELLAR_OK);
    struct cellar_slice body = cellar_slice_make(output.data + CELLAR_FRAME_HEADER_BYTES,
                                                 output.bytes - CELLAR_FRAME_HEADER_BYTES);
    assert_int_equal(cellar_message_decode(&cellar_msg_error_type, body, &message,
                                           CELLAR_UNKNOWN_REFUSE, &error),
                     CELLAR_OK);
    assert_int_equal(message.code, CELLAR_UNAVAILABLE);
    assert_int_equal(message.retry_delay_ms, 20);
    assert_true(cellar_slice_equal(message.text, cellar_slice_text("UNAVAILABLE")));
    cellar_buffer_fini(&output);
}

static enum cellar_status append_error(void *context)
{
    (void)context;
    struct cellar_buffer output = {0};
    struct cellar_error error;
    (void)cellar_error_set(&error, CELLAR_NOT_FOUND, "no such table");
    enum cellar_status status = net_error_append(&output, 3, CELLAR_OP_PING, &error);
    assert_true(status == CELLAR_OK || output.bytes == 0);
    cellar_buffer_fini(&output);
    return status;
}

static void error_survives_every_failing_allocation(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(append_error, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_of_every_size_is_cut_at_the_frame_limit),
        cmocka_unit_test(text_that_is_not_utf8_is_repaired),
        cmocka_unit_test(error_without_a_text_carries_its_codes_name),
        cmocka_unit_test(error_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
