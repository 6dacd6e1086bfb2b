/*
 * sync: a connection that blocks, over one end of a socket pair; the test plays the server at the
 * other end, in the same thread where the bytes can wait in the pair, else in another.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lib/sync.h"
#include "common/clock.h"

#define HELLO_REPLY                                                                                \
    "\x00\x00\x00\x0b\x00\x00\x00\x01\x00\x01\x02\x00\x84\x01\x01\x04\x01\x05\xcd\xff\xff\x06\x04"

static int64_t soon(void)
{
    return cellar_clock_monotonic_us() + 60000000;
}

/* A pair of sockets of which ours is greeted. */
static struct cellar_sync *connection_open(int *peer_fd)
{
    int fds[2];
    struct cellar_sync *sync = NULL;
    struct cellar_error error;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(write(fds[1], HELLO_REPLY, sizeof HELLO_REPLY - 1), sizeof HELLO_REPLY - 1);
    if (cellar_sync_adopt(fds[0], soon(), &sync, &error) != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
    *peer_fd = fds[1];
    return sync;
}

/* Takes away what the connection sent; returns the number of bytes. */
static size_t peer_drain(int fd)
{
    uint8_t bytes[65536];
    size_t sum = 0;
    ssize_t got;
    while ((got = read(fd, bytes, sizeof bytes)) > 0) {
        sum += (size_t)got;
    }
    return sum;
}

static uint32_t ping(struct cellar_sync *sync)
{
    uint32_t id = 0;
    assert_int_equal(cellar_engine_submit(cellar_sync_engine(sync), CELLAR_OP_PING,
                                          cellar_slice_make("\x80", 1), &id, NULL),
                     CELLAR_OK);
    return id;
}

/* Writes a reply without a body for PING. */
static void peer_reply(int fd, uint32_t id)
{
    uint8_t bytes[CELLAR_FRAME_HEADER_BYTES + 1];
    struct cellar_frame frame = {.payload_bytes = 1,
                                 .request_id = id,
                                 .operation = CELLAR_OP_PING,
                                 .kind = CELLAR_FRAME_REPLY};
    cellar_frame_encode(&frame, bytes);
    bytes[CELLAR_FRAME_HEADER_BYTES] = 0x80;
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
}

static void a_connection_greets_and_exchanges(void **state)
{
    (void)state;
    int peer;
    struct cellar_event event;
    struct cellar_sync *sync = connection_open(&peer);
    assert_true(peer_drain(peer) > 20);
    assert_true(cellar_sync_is_reusable(sync));
    uint32_t id = ping(sync);
    assert_false(cellar_sync_is_sent(sync));
    assert_false(cellar_sync_is_reusable(sync));
    peer_reply(peer, id);
    assert_int_equal(cellar_sync_wait(sync, soon(), &event, NULL), CELLAR_OK);
    assert_int_equal(event.request_id, id);
    assert_true(cellar_sync_is_sent(sync));
    assert_true(cellar_sync_is_reusable(sync));
    assert_int_equal(peer_drain(peer), CELLAR_FRAME_HEADER_BYTES + 1);
    cellar_sync_close(sync);
    (void)close(peer);
    cellar_sync_close(NULL);
}

static void the_end_of_the_connection_is_unavailable(void **state)
{
    (void)state;
    int peer;
    struct cellar_event event;
    struct cellar_error error;
    struct cellar_sync *sync = connection_open(&peer);
    (void)ping(sync);
    assert_int_equal(cellar_sync_wait(sync, cellar_clock_monotonic_us() + 1, &event, &error),
                     CELLAR_DEADLINE_EXCEEDED);
    assert_non_null(strstr(error.text, "time limit"));
    cellar_sync_close(sync);
    (void)close(peer);
    sync = connection_open(&peer);
    (void)ping(sync);
    (void)shutdown(peer, SHUT_WR);
    assert_int_equal(cellar_sync_wait(sync, soon(), &event, &error), CELLAR_UNAVAILABLE);
    assert_non_null(strstr(error.text, "closed the connection"));
    assert_true(cellar_sync_is_sent(sync));
    cellar_sync_close(sync);
    (void)close(peer);
}

static void an_answer_before_the_end_is_heard_though_sending_fails(void **state)
{
    (void)state;
    int peer;
    struct cellar_event event;
    struct cellar_error error;
    struct cellar_sync *sync = connection_open(&peer);
    uint32_t id = ping(sync);
    peer_reply(peer, id);
    (void)close(peer); /* sending meets EPIPE, and no SIGPIPE */
    assert_int_equal(cellar_sync_wait(sync, soon(), &event, &error), CELLAR_OK);
    assert_int_equal(event.request_id, id);
    assert_false(cellar_sync_is_sent(sync));
    assert_int_equal(cellar_sync_wait(sync, soon(), &event, &error), CELLAR_UNAVAILABLE);
    assert_false(cellar_sync_is_reusable(sync));
    cellar_sync_close(sync);
}

static void an_idle_connection_with_something_to_read_is_not_used_again(void **state)
{
    (void)state;
    int peer;
    struct cellar_sync *sync = connection_open(&peer);
    assert_int_equal(write(peer, "\0\0\0\0\0\0\0\0\0\0\7\0", 12), 12); /* GOAWAY */
    assert_false(cellar_sync_is_reusable(sync));
    cellar_sync_close(sync);
    (void)close(peer);
    sync = connection_open(&peer);
    (void)close(peer);
    assert_false(cellar_sync_is_reusable(sync));
    cellar_sync_close(sync);
}

static void a_peer_that_does_not_greet_is_given_up(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        size_t bytes;
        bool is_closed;
        enum cellar_status code;
    } cases[] = {
        {"", 0, false, CELLAR_DEADLINE_EXCEEDED},
        {"", 0, true, CELLAR_UNAVAILABLE},
        {HELLO_REPLY, 5, true, CELLAR_UNAVAILABLE},
        {HELLO_REPLY "\0\0\0\0\0\0\0\0\0\0\7\0", sizeof(HELLO_REPLY) - 1 + 12, false,
         CELLAR_UNAVAILABLE}, /* GOAWAY at once */
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28, true, CELLAR_FAILED_PRECONDITION},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        int fds[2];
        struct cellar_sync *sync = NULL;
        struct cellar_error error;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(write(fds[1], cases[index].says, cases[index].bytes), cases[index].bytes);
        if (cases[index].is_closed) {
            (void)shutdown(fds[1], SHUT_WR);
        }
        assert_int_equal(
            cellar_sync_adopt(fds[0], cellar_clock_monotonic_us() + 20000, &sync, &error),
            cases[index].code);
        assert_null(sync);
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
}

/* Reads nothing of a large request but answers it. */
static void refuse_early(struct fake_peer *peer, int fd, unsigned index)
{
    static uint8_t sink[65536];
    uint8_t header[CELLAR_FRAME_HEADER_BYTES];
    struct fake_request request = {0};
    (void)index;
    (void)peer;
    if (recv(fd, header, sizeof header, MSG_WAITALL) == (ssize_t)sizeof header &&
        cellar_frame_decode(header, &request.frame, NULL) == CELLAR_OK) {
        request.frame.has_more = false;
        fake_error(fd, &request, CELLAR_RESOURCE_EXHAUSTED, 0);
        (void)shutdown(fd, SHUT_WR);
        while (recv(fd, sink, sizeof sink, 0) > 0) { /* until the client closes */
        }
    }
}

static void a_refusal_is_heard_while_a_large_request_is_being_sent(void **state)
{
    (void)state;
    struct fake_peer peer = {.serve = refuse_early};
    struct cellar_mutations *list = cellar_mutations_new();
    static char value[1048576];
    for (int count = 0; count < 40; count++) {
        cellar_mutations_set_at(list, "f", cellar_view_of(&count, sizeof count), 1000,
                                cellar_view_of(value, sizeof value));
    }
    fake_peer_start(&peer);
    struct cellar_client *client = fake_peer_client(&peer, NULL);
    struct cellar_call call = {.timeout_us = 120000000};
    assert_int_equal(cellar_mutate_row(client, "t", cellar_text("r"), list, &call),
                     CELLAR_E_RESOURCE_EXHAUSTED);
    cellar_client_close(client);
    fake_peer_stop(&peer);
    cellar_mutations_free(list);
}

static enum cellar_status adopt(void *context)
{
    int fds[2];
    struct cellar_sync *sync = NULL;
    (void)context;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(write(fds[1], HELLO_REPLY, sizeof HELLO_REPLY - 1), sizeof HELLO_REPLY - 1);
    enum cellar_status status = cellar_sync_adopt(fds[0], soon(), &sync, NULL);
    if (status == CELLAR_OK) {
        cellar_sync_close(sync);
    } else {
        (void)close(fds[0]);
    }
    (void)close(fds[1]);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(adopt, NULL) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_greets_and_exchanges),
        cmocka_unit_test(the_end_of_the_connection_is_unavailable),
        cmocka_unit_test(an_answer_before_the_end_is_heard_though_sending_fails),
        cmocka_unit_test(an_idle_connection_with_something_to_read_is_not_used_again),
        cmocka_unit_test(a_peer_that_does_not_greet_is_given_up),
        cmocka_unit_test(a_refusal_is_heard_while_a_large_request_is_being_sent),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
