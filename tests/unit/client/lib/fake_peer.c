#include "tests/unit/client/lib/fake_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cell.h"
#include "common/segment_cells.h"

static void fake_write(int fd, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the client is gone: the test sees it */
        }
        at += sent;
        bytes -= (size_t)sent;
    }
}

static bool fake_read(int fd, void *data, size_t bytes)
{
    return bytes == 0 || recv(fd, data, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

bool fake_receive(int fd, struct fake_request *request)
{
    uint8_t header[CELLAR_FRAME_HEADER_BYTES];
    cellar_buffer_clear(&request->body);
    do {
        if (!fake_read(fd, header, sizeof header)) {
            return false;
        }
        enum cellar_status status = cellar_frame_decode(header, &request->frame, NULL);
        CELLAR_ASSERT(status == CELLAR_OK);
        status = cellar_buffer_reserve(&request->body, request->frame.payload_bytes);
        CELLAR_ASSERT(status == CELLAR_OK);
        if (!fake_read(fd, request->body.data + request->body.bytes,
                       request->frame.payload_bytes)) {
            return false;
        }
        request->body.bytes += request->frame.payload_bytes;
    } while (request->frame.has_more);
    return true;
}

void fake_send(int fd, const struct fake_request *request, uint8_t kind, struct cellar_slice body)
{
    struct cellar_buffer bytes = {0};
    struct cellar_frame frame = request->frame;
    frame.kind = kind;
    enum cellar_status status = cellar_frame_append(&bytes, &frame, body);
    CELLAR_ASSERT(status == CELLAR_OK);
    fake_write(fd, bytes.data, bytes.bytes);
    cellar_buffer_fini(&bytes);
}

static void fake_message(int fd, const struct fake_request *request, uint8_t kind,
                         const struct cellar_message_type *type, const void *message)
{
    struct cellar_buffer body = {0};
    enum cellar_status status = cellar_message_encode(type, message, &body);
    CELLAR_ASSERT(status == CELLAR_OK);
    fake_send(fd, request, kind, cellar_slice_of(&body));
    cellar_buffer_fini(&body);
}

void fake_reply_empty(int fd, const struct fake_request *request)
{
    fake_send(fd, request, CELLAR_FRAME_REPLY, cellar_slice_text("\x80"));
}

void fake_answer_serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct fake_answer *answer = peer->context;
    struct fake_request request = {0};
    (void)index;
    while (fake_receive(fd, &request)) {
        answer->operation = request.frame.operation;
        memcpy(answer->body, request.body.data,
               CELLAR_MIN(request.body.bytes, sizeof answer->body));
        fake_send(fd, &request, CELLAR_FRAME_REPLY, answer->answer);
    }
    fake_request_fini(&request);
}

void fake_error(int fd, const struct fake_request *request, enum cellar_status code,
                uint32_t retry_delay_ms)
{
    struct cellar_msg_error message = {
        .code = code, .text = cellar_slice_text("because"), .retry_delay_ms = retry_delay_ms};
    fake_message(fd, request, CELLAR_FRAME_ERROR, &cellar_msg_error_type, &message);
}

/* Appends the rows of a part: [[key, 0, [[family, qualifier, time, value]]]]. */
static enum cellar_status fake_rows_put(struct cellar_buffer *to, const char *key)
{
    uint8_t packed[64];
    struct cellar_cell cell = {.family = cellar_slice_text("f"),
                               .qualifier = cellar_slice_text("q"),
                               .timestamp_us = 1000,
                               .value = cellar_slice_text("v")};
    uint8_t *end = cellar_wire_raw_array(packed, 4);
    end = cellar_cells_put(end, &cell, 1, NULL, 1);
    CELLAR_TRY(cellar_wire_put_array(to, 1));
    CELLAR_TRY(cellar_wire_put_array(to, 3));
    CELLAR_TRY(cellar_wire_put_bytes(to, cellar_slice_text(key)));
    CELLAR_TRY(cellar_wire_put_u64(to, 0));
    CELLAR_TRY(cellar_wire_put_array(to, 1));
    return cellar_buffer_append(to, packed, (size_t)(end - packed));
}

/* Adds field 30 to a body, which has fewer than 15 fields. */
static enum cellar_status fake_padding_put(struct cellar_buffer *body, size_t bytes)
{
    body->data[0]++;
    CELLAR_TRY(cellar_wire_put_u64(body, 30));
    CELLAR_TRY(cellar_buffer_reserve(body, bytes + 5));
    uint8_t *at = body->data + body->bytes;
    *at++ = 0xc6; /* bin 32 */
    cellar_put_u32be(at, (uint32_t)bytes);
    memset(at + 4, 0, bytes);
    body->bytes += bytes + 5;
    return CELLAR_OK;
}

void fake_rows(int fd, const struct fake_request *request, const struct fake_part *part)
{
    struct cellar_buffer rows = {0};
    struct cellar_buffer body = {0};
    enum cellar_status status = fake_rows_put(&rows, part->key);
    struct cellar_msg_read_rows_reply reply = {.part = part->number,
                                               .rows = cellar_slice_of(&rows)};
    status = status == CELLAR_OK
                 ? cellar_message_encode(&cellar_msg_read_rows_reply_type, &reply, &body)
                 : status;
    status = status == CELLAR_OK && part->padding_bytes > 0
                 ? fake_padding_put(&body, part->padding_bytes)
                 : status;
    CELLAR_ASSERT(status == CELLAR_OK);
    fake_send(fd, request, part->is_last ? CELLAR_FRAME_REPLY : CELLAR_FRAME_PART,
              cellar_slice_of(&body));
    cellar_buffer_fini(&rows);
    cellar_buffer_fini(&body);
}

void fake_request_fini(struct fake_request *request)
{
    cellar_buffer_fini(&request->body);
}

/* Takes the preface and HELLO and answers it. */
static bool fake_greet(int fd)
{
    uint8_t preface[CELLAR_PREFACE_BYTES];
    struct fake_request request = {0};
    struct cellar_msg_hello_reply reply = {.version = 1,
                                           .server = cellar_slice_text("fake"),
                                           .frame_bytes_max = 1048576,
                                           .request_bytes_max = 268435456,
                                           .requests_max = 16};
    if (!fake_read(fd, preface, sizeof preface) || !fake_receive(fd, &request)) {
        fake_request_fini(&request);
        return false;
    }
    CELLAR_ASSERT(memcmp(preface, cellar_preface, sizeof preface) == 0);
    CELLAR_ASSERT(request.frame.operation == CELLAR_OP_HELLO);
    fake_message(fd, &request, CELLAR_FRAME_REPLY, &cellar_msg_hello_reply_type, &reply);
    fake_request_fini(&request);
    return true;
}

static void *fake_main(void *argument)
{
    struct fake_peer *peer = argument;
    for (;;) {
        int fd = accept(peer->listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        if (fake_greet(fd)) {
            peer->serve(peer, fd, peer->connection_count++);
        }
        (void)close(fd);
    }
}

void fake_peer_start(struct fake_peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    peer->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(peer->listener >= 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 16), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &address_bytes), 0);
    (void)snprintf(peer->endpoint, sizeof peer->endpoint, "127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
    assert_int_equal(pthread_create(&peer->thread, NULL, fake_main, peer), 0);
}

void fake_peer_stop(struct fake_peer *peer)
{
    (void)shutdown(peer->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    (void)close(peer->listener);
}

struct cellar_client *fake_peer_client(struct fake_peer *peer, const struct cellar_options *options)
{
    struct cellar_options own = {0};
    struct cellar_client *client = NULL;
    if (options != NULL) {
        own = *options;
    }
    own.endpoint = peer->endpoint;
    assert_int_equal(cellar_client_open(&own, NULL, &client), CELLAR_E_OK);
    return client;
}
