/*
 * Drives one session; session_harness.h says how. The connection has no socket (descriptor -1), so
 * its output stays in the buffer until harness_turn() drops it, as a socket that takes everything
 * would.
 */
#include "tests/unit/net/session_harness.h"

#include <string.h>

#include "common/frame.h"
#include "server/io/pool.h"
#include "server/io/sniff.h"

static struct svc *const harness_svc = (struct svc *)&fake;

static void harness_conn(struct harness *harness)
{
    struct io_conn_options options = {
        .loop = harness->loop,
        .fd = -1,
        .input_budget = &harness->request_budget,
        .output_budget = &harness->answer_budget,
        .handler = &io_sniff_handler, /* replaced before the first byte */
    };
    harness->conn = io_conn_new(&options);
    assert_non_null(harness->conn);
    net_front_take(harness->conn, &harness->context);
    io_conn_start(harness->conn);
}

void harness_open(struct harness *harness)
{
    struct cellar_error error;
    memset(harness, 0, sizeof *harness);
    io_budget_init(&harness->request_budget, 8u * 1048576u);
    io_budget_init(&harness->file_budget, 6u * 1048576u);
    io_budget_init(&harness->answer_budget, 8u * 1048576u);
    assert_int_equal(io_loop_new(&harness->loop, &error), CELLAR_OK);
    assert_int_equal(io_pool_start(1, 16, &harness->pool, &error), CELLAR_OK);
    assert_int_equal(io_pool_start(1, HARNESS_READ_TASK_COUNT_MAX, &harness->read_pool, &error),
                     CELLAR_OK);
    struct net_front_options options = {
        .svc = harness_svc,
        .pool = harness->pool,
        .read_pool = harness->read_pool,
        .request_budget = &harness->request_budget,
        .file_budget = &harness->file_budget,
        .version = "9.9.9",
        .data_dir = "/tmp",
        .loops = &harness->loop,
        .measures = &harness->measures,
        .loop_count = 1,
    };
    net_front_init(&harness->context, &options);
    harness_conn(harness);
    io_loop_turn(harness->loop, false);
}

void harness_open_greeted(struct harness *harness)
{
    struct cellar_msg_hello_request hello = {.version_min = 1, .version_max = 1};
    harness_open(harness);
    harness_feed(harness, cellar_preface, CELLAR_PREFACE_BYTES);
    harness_request(harness, 1, CELLAR_OP_HELLO, &cellar_msg_hello_request_type, &hello);
    (void)harness_expect(harness, 1, CELLAR_FRAME_REPLY);
    harness_turn(harness);
}

void harness_turn(struct harness *harness)
{
    if (io_loop_member_count(harness->loop) > 0) {
        struct cellar_buffer *output = io_conn_output(harness->conn);
        if (output->bytes == harness->output_at) {
            cellar_buffer_clear(output);
            harness->output_at = 0;
        }
    }
    io_loop_turn(harness->loop, false);
}

void harness_close(struct harness *harness)
{
    if (io_loop_member_count(harness->loop) > 0) {
        io_conn_abort(harness->conn);
    }
    io_pool_stop(harness->pool);
    io_pool_stop(harness->read_pool);
    io_loop_turn(harness->loop, false);
    io_loop_turn(harness->loop, false);
    assert_int_equal(io_loop_member_count(harness->loop), 0);
    assert_int_equal(io_budget_bytes(&harness->request_budget), 0);
    assert_int_equal(io_budget_bytes(&harness->file_budget), 0);
    assert_int_equal(io_budget_bytes(&harness->answer_budget), 0);
    io_loop_free(harness->loop);
    io_pool_free(harness->pool);
    io_pool_free(harness->read_pool);
}

void harness_feed(struct harness *harness, const void *data, size_t bytes)
{
    io_conn_feed(harness->conn, cellar_slice_make(data, bytes));
}

void harness_feed_frame(struct harness *harness, const struct cellar_frame *head,
                        struct cellar_slice payload)
{
    struct cellar_frame frame = *head;
    struct cellar_buffer bytes = {0};
    uint8_t header[CELLAR_FRAME_HEADER_BYTES];
    frame.payload_bytes = (uint32_t)payload.bytes;
    cellar_frame_encode(&frame, header);
    assert_int_equal(cellar_buffer_append(&bytes, header, sizeof header), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&bytes, payload.data, payload.bytes), CELLAR_OK);
    harness_feed(harness, bytes.data, bytes.bytes);
    cellar_buffer_fini(&bytes);
}

void harness_request(struct harness *harness, uint32_t id, uint16_t operation,
                     const struct cellar_message_type *type, const void *message)
{
    struct cellar_buffer body = {0};
    struct cellar_frame frame = {
        .request_id = id, .operation = operation, .kind = CELLAR_FRAME_REQUEST};
    assert_int_equal(cellar_message_encode(type, message, &body), CELLAR_OK);
    harness_feed_frame(harness, &frame, cellar_slice_of(&body));
    cellar_buffer_fini(&body);
}

bool harness_take(struct harness *harness, struct harness_frame *frame)
{
    struct cellar_error error;
    struct cellar_buffer *output = io_conn_output(harness->conn);
    assert_true(harness->output_at <= output->bytes);
    size_t left = output->bytes - harness->output_at;
    if (left < CELLAR_FRAME_HEADER_BYTES) {
        assert_int_equal(left, 0);
        return false;
    }
    const uint8_t *at = output->data + harness->output_at;
    assert_int_equal(cellar_frame_decode(at, &frame->head, &error), CELLAR_OK);
    assert_true(left >= CELLAR_FRAME_HEADER_BYTES + frame->head.payload_bytes);
    frame->payload = cellar_slice_make(at + CELLAR_FRAME_HEADER_BYTES, frame->head.payload_bytes);
    harness->output_at += CELLAR_FRAME_HEADER_BYTES + frame->head.payload_bytes;
    return true;
}

struct harness_frame harness_expect(struct harness *harness, uint32_t id,
                                    enum cellar_frame_kind kind)
{
    struct harness_frame frame = {.head = {.request_id = 0}};
    assert_true(harness_take(harness, &frame));
    assert_int_equal(frame.head.request_id, id);
    assert_int_equal(frame.head.kind, kind);
    return frame;
}

void harness_expect_error(struct harness *harness, uint32_t id, enum cellar_status code,
                          const char *text)
{
    struct cellar_msg_error error;
    char shown[CELLAR_ERROR_TEXT_BYTES_MAX + 1] = "";
    struct harness_frame frame = harness_expect(harness, id, CELLAR_FRAME_ERROR);
    assert_int_equal(cellar_message_decode(&cellar_msg_error_type, frame.payload, &error,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    memcpy(shown, error.text.data, CELLAR_MIN(error.text.bytes, sizeof shown - 1));
    if (error.code != (uint64_t)code || strstr(shown, text) == NULL) {
        fail_msg("got code %llu '%s'", (unsigned long long)error.code, shown);
    }
}

void harness_expect_nothing(struct harness *harness)
{
    struct harness_frame frame;
    assert_false(harness_take(harness, &frame));
}
