/* HELLO's refusals, PING and SERVER_INFO. */
#include "tests/unit/net/session_harness.h"

#include <string.h>

#include "common/clock.h"
#include "tests/unit/net/fake_service.h"

static void feed_body(struct harness *harness, uint32_t id, uint16_t operation, const char *body,
                      size_t bytes)
{
    struct cellar_frame frame = {
        .request_id = id, .operation = operation, .kind = CELLAR_FRAME_REQUEST};
    harness_feed_frame(harness, &frame, cellar_slice_make(body, bytes));
}

struct hello_case {
    const char *bytes;
    size_t byte_count;
    enum cellar_status code;
    const char *text;
};

#define HELLO(bytes, code, text)                                                                   \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, code, text                                                       \
    }

static const struct hello_case hello_cases[] = {
    HELLO("\x80", CELLAR_UNIMPLEMENTED, "version"),
    HELLO("\x81\x01\xa1x", CELLAR_INVALID_ARGUMENT, "version_min"),
    HELLO("\x83\x01\x01\x02\x01\x04\x01", CELLAR_INVALID_ARGUMENT, "features"),
    HELLO("\x83\x01\x01\x02\x01\x04\x91\x01", CELLAR_INVALID_ARGUMENT, "features"),
    HELLO("\x83\x01\x01\x02\x01\x05\xc0", CELLAR_UNIMPLEMENTED, "authentication"),
    HELLO("\x83\x01\x01\x02\x01\x07\x01", CELLAR_UNIMPLEMENTED, "7"),
    HELLO("\xc0", CELLAR_INVALID_ARGUMENT, "map"),
    HELLO("\x82\x01\x01", CELLAR_INVALID_ARGUMENT, ""),
};

static void hello_that_is_wrong_ends_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(hello_cases); i++) {
        struct harness harness;
        harness_open(&harness);
        harness_feed(&harness, cellar_preface, CELLAR_PREFACE_BYTES);
        feed_body(&harness, 1, CELLAR_OP_HELLO, hello_cases[i].bytes, hello_cases[i].byte_count);
        harness_expect_error(&harness, 1, hello_cases[i].code, hello_cases[i].text);
        assert_true(io_conn_is_paused(harness.conn));
        harness_close(&harness);
    }
}

static void hello_may_offer_features(void **state)
{
    (void)state;
    static const char body[] = "\x84\x01\x01\x02\x05\x03\xa1z\x04\x92\xa1"
                               "a\xa1"
                               "b";
    struct harness harness;
    harness_open(&harness);
    harness_feed(&harness, cellar_preface, CELLAR_PREFACE_BYTES);
    feed_body(&harness, 1, CELLAR_OP_HELLO, body, sizeof body - 1);
    (void)harness_expect(&harness, 1, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

static bool ping(struct harness *harness, uint32_t id)
{
    struct cellar_msg_empty empty = {0};
    struct cellar_msg_ping_reply reply;
    harness_request(harness, id, CELLAR_OP_PING, &cellar_msg_empty_type, &empty);
    struct harness_frame frame = harness_expect(harness, id, CELLAR_FRAME_REPLY);
    assert_int_equal(cellar_message_decode(&cellar_msg_ping_reply_type, frame.payload, &reply,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    return reply.is_ready;
}

static void ping_says_whether_the_server_is_ready(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    assert_true(ping(&harness, 2));
    fake.is_ready = false;
    assert_false(ping(&harness, 3));
    feed_body(&harness, 4, CELLAR_OP_PING, "\x81\x01\x01", 3);
    harness_expect_error(&harness, 4, CELLAR_UNIMPLEMENTED, "1");
    feed_body(&harness, 5, CELLAR_OP_PING, "", 0);
    harness_expect_error(&harness, 5, CELLAR_INVALID_ARGUMENT, "map");
    feed_body(&harness, 6, CELLAR_OP_SERVER_INFO, "\x80\x80", 2);
    harness_expect_error(&harness, 6, CELLAR_INVALID_ARGUMENT, "");
    harness_close(&harness);
}

static void server_info_tells_version_uptime_and_figures(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_msg_empty empty = {0};
    struct cellar_msg_server_info_reply reply;
    fake_reset();
    fake.write_total = 300;
    cellar_clock_fake_set(1000000, 1000000);
    harness_open_greeted(&harness);
    cellar_clock_fake_step(2500000);
    harness_request(&harness, 2, CELLAR_OP_SERVER_INFO, &cellar_msg_empty_type, &empty);
    struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(cellar_message_decode(&cellar_msg_server_info_reply_type, frame.payload,
                                           &reply, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(reply.uptime_us, 2500000);
    assert_true(cellar_slice_equal(reply.version, cellar_slice_text("9.9.9")));
    assert_true(cellar_slice_equal(reply.data_dir, cellar_slice_text("/tmp")));
    static const char figures[] = "\x91\x92\xac"
                                  "writes_count\xcd\x01\x2c";
    assert_true(cellar_slice_equal(reply.figures, cellar_slice_text(figures)));
    harness_close(&harness);
    cellar_clock_fake_off();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_that_is_wrong_ends_the_connection),
        cmocka_unit_test(hello_may_offer_features),
        cmocka_unit_test(ping_says_whether_the_server_is_ready),
        cmocka_unit_test(server_info_tells_version_uptime_and_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"
