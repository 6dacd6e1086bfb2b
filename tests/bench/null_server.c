/*
 * A server of canned answers: the least that a server can do for a request on this machine, with
 * one thread, one epoll and Cellar's frames.
 *
 *     null_server PORT-FILE
 *
 * It listens on a free port of 127.0.0.1, writes the port to the file, and answers until it is
 * killed. A write is answered with OK, a read of a row or cell with one row of the right shape, a
 * read of n rows with n of them; whose they are is not looked at. Answers are made once, at the
 * start. A connection that breaks a rule is closed.
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/tools/bench_driver.h"
#include "common/frame.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/segment_cells.h"
#include "common/wire.h"

#define ROWS_MAX 100u
#define DESCRIPTORS_MAX 8192
#define READ_BYTES 65536u
#define EVENTS_MAX 256

/* One connection. */
struct peer {
    struct cellar_buffer in;
    struct cellar_buffer out;
    bool has_preface;
    bool waits_to_send;
};

struct server {
    int listener;
    int epoll;
    struct peer *peers[DESCRIPTORS_MAX];     /* by descriptor */
    struct cellar_buffer cell;               /* the body of one row of one cell, */
    struct cellar_buffer rows[ROWS_MAX + 1]; /* of n rows of ten cells */
    struct cellar_buffer hello;
    struct cellar_buffer scratch;
};

/* ---- answers ------------------------------------------------------------------------------- */

/* Appends one row of `count` cells. */
static enum cellar_status row_put(struct cellar_buffer *to, uint64_t record, uint32_t count)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    char column[CELLAR_BENCH_NAME_BYTES_MAX];
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    size_t bytes = cellar_bench_key(CELLAR_BENCH_USER, record, key);
    CELLAR_ASSERT(count >= 1 && count <= CELLAR_BENCH_FIELD_COUNT);
    CELLAR_TRY(cellar_wire_put_array(to, 3));
    CELLAR_TRY(cellar_wire_put_bytes(to, cellar_slice_make(key, bytes)));
    CELLAR_TRY(cellar_wire_put_u64(to, 0));
    CELLAR_TRY(cellar_wire_put_array(to, 1));
    CELLAR_TRY(cellar_wire_put_array(to, 4 * count));
    for (uint32_t index = 0; index < count; index++) {
        struct cellar_bench_cell cell = {.record = record, .column = index};
        cellar_bench_value(&cell, value);
        CELLAR_TRY(index == 0 ? cellar_wire_put_text(to, cellar_slice_text(CELLAR_BENCH_FAMILY))
                              : cellar_wire_put_nil(to));
        bytes = cellar_bench_column(CELLAR_BENCH_USER, index, column);
        CELLAR_TRY(cellar_wire_put_bytes(to, cellar_slice_make(column, bytes)));
        CELLAR_TRY(cellar_wire_put_i64(to, INT64_C(1700000000000000)));
        CELLAR_TRY(cellar_wire_put_bytes(to, cellar_slice_make(value, sizeof value)));
    }
    return CELLAR_OK;
}

/* Makes the body of an answer of `row_count` rows. */
static enum cellar_status rows_make(struct cellar_buffer *to, uint32_t row_count,
                                    uint32_t cell_count)
{
    struct cellar_buffer rows = {0};
    struct cellar_msg_read_rows_reply reply = {0};
    enum cellar_status status = cellar_wire_put_array(&rows, row_count);
    CELLAR_ASSERT(to->bytes == 0);
    for (uint32_t row = 0; status == CELLAR_OK && row < row_count; row++) {
        status = row_put(&rows, row, cell_count);
    }
    reply.rows = cellar_slice_of(&rows);
    if (status == CELLAR_OK) {
        status = cellar_message_encode(&cellar_msg_read_rows_reply_type, &reply, to);
    }
    cellar_buffer_fini(&rows);
    return status;
}

/* Makes all answers. */
static enum cellar_status answers_make(struct server *server)
{
    struct cellar_msg_hello_reply hello = {.version = 1,
                                           .server = cellar_slice_text("null"),
                                           .frame_bytes_max = CELLAR_FRAME_PAYLOAD_BYTES_MAX,
                                           .request_bytes_max = CELLAR_FRAME_PAYLOAD_BYTES_MAX,
                                           .requests_max = 100};
    CELLAR_ASSERT(server->hello.bytes == 0);
    CELLAR_TRY(cellar_message_encode(&cellar_msg_hello_reply_type, &hello, &server->hello));
    CELLAR_TRY(rows_make(&server->cell, 1, 1));
    for (uint32_t count = 0; count <= ROWS_MAX; count++) {
        CELLAR_TRY(rows_make(&server->rows[count], count, CELLAR_BENCH_FIELD_COUNT));
    }
    return CELLAR_OK;
}

/* The answer to a write of many rows: a zero for each. */
static enum cellar_status results_make(struct server *server, struct cellar_slice payload,
                                       struct cellar_slice *body)
{
    struct cellar_msg_mutate_rows_request request;
    uint32_t count = 0;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_mutate_rows_request_type, payload, &request,
                                     CELLAR_UNKNOWN_SKIP, NULL));
    struct cellar_cursor entries = cellar_cursor_make(request.entries);
    if (!cellar_wire_get_array(&entries, &count)) {
        return CELLAR_INVALID_ARGUMENT;
    }
    CELLAR_ASSERT(entries.at <= entries.end);
    cellar_buffer_clear(&server->scratch);
    CELLAR_TRY(cellar_wire_put_map(&server->scratch, 1));
    CELLAR_TRY(cellar_wire_put_u64(&server->scratch, 1));
    CELLAR_TRY(cellar_wire_put_array(&server->scratch, count));
    for (uint32_t index = 0; index < count; index++) {
        CELLAR_TRY(cellar_wire_put_u64(&server->scratch, 0));
    }
    *body = cellar_slice_of(&server->scratch);
    return CELLAR_OK;
}

/* The answer to a request. */
static enum cellar_status answer_find(struct server *server, const struct cellar_frame *frame,
                                      struct cellar_slice payload, struct cellar_slice *body)
{
    static const uint8_t empty_map = 0x80;
    struct cellar_msg_read_rows_request request;
    CELLAR_ASSERT(body != NULL);
    switch (frame->operation) {
    case CELLAR_OP_HELLO:
        *body = cellar_slice_of(&server->hello);
        return CELLAR_OK;
    case CELLAR_OP_MUTATE_ROW:
        *body = cellar_slice_make(&empty_map, 1);
        return CELLAR_OK;
    case CELLAR_OP_MUTATE_ROWS:
        return results_make(server, payload, body);
    case CELLAR_OP_READ_ROWS:
        CELLAR_TRY(cellar_message_decode(&cellar_msg_read_rows_request_type, payload, &request,
                                         CELLAR_UNKNOWN_SKIP, NULL));
        *body = request.columns.bytes > 0
                    ? cellar_slice_of(&server->cell)
                    : cellar_slice_of(&server->rows[request.row_keys.bytes > 0 ? 1
                                                    : request.rows_limit <= (int64_t)ROWS_MAX &&
                                                            request.rows_limit > 0
                                                        ? request.rows_limit
                                                        : 0]);
        return CELLAR_OK;
    default:
        return CELLAR_UNIMPLEMENTED;
    }
}

/* ---- connections --------------------------------------------------------------------------- */

static void peer_close(struct server *server, int fd)
{
    struct peer *peer = server->peers[fd];
    CELLAR_ASSERT(peer != NULL);
    cellar_buffer_fini(&peer->in);
    cellar_buffer_fini(&peer->out);
    cellar_mem_free(peer);
    server->peers[fd] = NULL;
    (void)close(fd);
}

/* Takes a new connection. */
static void peer_accept(struct server *server)
{
    int is_on = 1;
    int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    CELLAR_ASSERT(server->listener >= 0);
    if (fd < 0) {
        return;
    }
    struct peer *peer = fd < DESCRIPTORS_MAX ? cellar_mem_zalloc(1, sizeof *peer) : NULL;
    if (peer == NULL || epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        cellar_mem_free(peer);
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &is_on, sizeof is_on);
    server->peers[fd] = peer;
}

/* Sends what is queued; false when the connection is gone. */
static bool peer_send(struct server *server, int fd)
{
    struct peer *peer = server->peers[fd];
    bool is_full = false;
    while (peer->out.bytes > 0 && !is_full) {
        ssize_t sent = send(fd, peer->out.data, peer->out.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        is_full = sent < 0 && errno == EAGAIN;
        cellar_buffer_consume(&peer->out, sent > 0 ? (size_t)sent : 0);
    }
    CELLAR_ASSERT(is_full || peer->out.bytes == 0);
    if (is_full != peer->waits_to_send) {
        struct epoll_event event = {.events = is_full ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                    .data.fd = fd};
        peer->waits_to_send = is_full;
        return epoll_ctl(server->epoll, EPOLL_CTL_MOD, fd, &event) == 0;
    }
    return true;
}

/* Answers the whole requests of the input; false when a rule is broken. */
static bool peer_answer(struct server *server, struct peer *peer)
{
    size_t at = 0;
    struct cellar_frame frame;
    struct cellar_slice body;
    if (!peer->has_preface) {
        if (peer->in.bytes < CELLAR_PREFACE_BYTES) {
            return true;
        }
        peer->has_preface = memcmp(peer->in.data, cellar_preface, CELLAR_PREFACE_BYTES) == 0;
        at = CELLAR_PREFACE_BYTES;
    }
    while (peer->has_preface && peer->in.bytes - at >= CELLAR_FRAME_HEADER_BYTES) {
        if (cellar_frame_decode(peer->in.data + at, &frame, NULL) != CELLAR_OK) {
            return false;
        }
        size_t bytes = CELLAR_FRAME_HEADER_BYTES + (size_t)frame.payload_bytes;
        if (peer->in.bytes - at < bytes) {
            break;
        }
        struct cellar_slice payload =
            cellar_slice_make(peer->in.data + at + CELLAR_FRAME_HEADER_BYTES, frame.payload_bytes);
        at += bytes;
        CELLAR_ASSERT(at <= peer->in.bytes);
        struct cellar_frame answer = {.request_id = frame.request_id,
                                      .operation = frame.operation,
                                      .kind = CELLAR_FRAME_REPLY};
        if (frame.kind == CELLAR_FRAME_REQUEST &&
            (answer_find(server, &frame, payload, &body) != CELLAR_OK ||
             cellar_frame_append(&peer->out, &answer, body) != CELLAR_OK)) {
            return false;
        }
    }
    cellar_buffer_consume(&peer->in, at);
    return peer->has_preface;
}

/* Reads, answers and sends; false when the connection is gone. */
static bool peer_turn(struct server *server, int fd)
{
    struct peer *peer = server->peers[fd];
    CELLAR_ASSERT(peer != NULL);
    if (cellar_buffer_reserve(&peer->in, READ_BYTES) != CELLAR_OK) {
        return false;
    }
    ssize_t got =
        recv(fd, peer->in.data + peer->in.bytes, peer->in.capacity - peer->in.bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        return false;
    }
    peer->in.bytes += got > 0 ? (size_t)got : 0;
    return peer_answer(server, peer) && peer_send(server, fd);
}

/* ---- the program --------------------------------------------------------------------------- */

/* Listens on a free port and tells it. */
static bool server_listen(struct server *server, const char *port_file)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    struct epoll_event event = {.events = EPOLLIN};
    CELLAR_ASSERT(port_file != NULL);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    event.data.fd = server->listener;
    if (server->listener < 0 || server->epoll < 0 ||
        bind(server->listener, (struct sockaddr *)&address, bytes) != 0 ||
        listen(server->listener, 1024) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &bytes) != 0 ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event) != 0) {
        return false;
    }
    FILE *file = fopen(port_file, "we");
    if (file == NULL) {
        return false;
    }
    (void)fprintf(file, "%u\n", (unsigned int)ntohs(address.sin_port));
    return fclose(file) == 0;
}

/* Serves for ever. */
static void server_run(struct server *server)
{
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(server->epoll, events, EVENTS_MAX, -1);
        for (int index = 0; index < count; index++) {
            int fd = events[index].data.fd;
            CELLAR_ASSERT(fd >= 0 && fd < DESCRIPTORS_MAX);
            if (fd == server->listener) {
                peer_accept(server);
            } else if (!((events[index].events & EPOLLOUT) != 0 ? peer_send(server, fd)
                                                                : peer_turn(server, fd))) {
                peer_close(server, fd);
            }
        }
    }
}

int main(int argc, char **argv)
{
    struct server *server = cellar_mem_zalloc(1, sizeof *server);
    if (argc != 2 || server == NULL || answers_make(server) != CELLAR_OK ||
        !server_listen(server, argv[1])) {
        (void)fprintf(stderr, "usage: null_server PORT-FILE (errno %d)\n", errno);
        return 1;
    }
    server_run(server);
}
