/*
 * address: endpoints taken apart, connecting to what listens and what does not, and waiting for a
 * socket no longer than allowed.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lib/address.h"
#include "common/clock.h"

static void endpoints_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        const char *port;
    } cases[] = {
        {"127.0.0.1:8086", "127.0.0.1", "8086"},   {"localhost:1", "localhost", "1"},
        {"[::1]:65535", "::1", "65535"},           {"a.b-c.example:80", "a.b-c.example", "80"},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", "1"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_address address;
        assert_int_equal(cellar_address_decode(cases[index].text, &address, NULL), CELLAR_OK);
        assert_string_equal(address.host, cases[index].host);
        assert_string_equal(address.port, cases[index].port);
    }
}

static void what_is_no_endpoint_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",     ":",    "host", ":8086", "host:", "host:0",        "host:65536", "::1:1",
        "h:+1", "h:1x", "h: 1", "[::1]", "[]:1",  "h:99999999999", "[:1",        "h:-1",
    };
    char name[400];
    struct cellar_address address;
    struct cellar_error error;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(texts); index++) {
        assert_int_equal(cellar_address_decode(texts[index], &address, &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "host:port"));
    }
    memset(name, 'a', sizeof name);
    memcpy(name + 254, ":1", 3);
    assert_int_equal(cellar_address_decode(name, &address, &error), CELLAR_INVALID_ARGUMENT);
    memcpy(name + 253, ":1", 3);
    assert_int_equal(cellar_address_decode(name, &address, &error), CELLAR_OK);
}

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct fake_request request = {0};
    (void)peer;
    (void)index;
    while (fake_receive(fd, &request)) {
    }
    fake_request_fini(&request);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &bytes), 0);
    return value;
}

static void it_connects_to_what_listens_only(void **state)
{
    (void)state;
    struct fake_peer peer = {.serve = serve};
    struct cellar_address address;
    struct cellar_error error;
    int fd = -1;
    fake_peer_start(&peer);
    assert_int_equal(cellar_address_decode(peer.endpoint, &address, &error), CELLAR_OK);
    assert_int_equal(
        cellar_address_connect(&address, cellar_clock_monotonic_us() + 60000000, &fd, &error),
        CELLAR_OK);
    assert_true(fd >= 0);
    assert_int_not_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    assert_int_not_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    (void)close(fd);
    assert_int_equal(cellar_address_connect(&address, 0, &fd, &error), CELLAR_OK);
    (void)close(fd);
    fake_peer_stop(&peer);
    assert_int_equal(
        cellar_address_connect(&address, cellar_clock_monotonic_us() + 60000000, &fd, &error),
        CELLAR_UNAVAILABLE);
    assert_non_null(strstr(error.text, "Connection refused"));
}

static void a_name_that_does_not_exist_is_an_argument_that_is_wrong(void **state)
{
    (void)state;
    struct cellar_address address = {.host = "999.999.999.999.", .port = "1"};
    struct cellar_error error;
    int fd = -1;
    enum cellar_status status = cellar_address_connect(&address, 0, &fd, &error);
    /* Without a name server the answer is "try again". */
    assert_true(status == CELLAR_INVALID_ARGUMENT || status == CELLAR_UNAVAILABLE);
    assert_non_null(strstr(error.text, "999.999"));
}

static void waiting_ends_at_the_deadline(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    int64_t now_us = cellar_clock_monotonic_us();
    struct cellar_socket_wait wait = {.fd = fds[0], .events = POLLIN, .deadline_us = now_us + 2000};
    assert_int_equal(cellar_socket_wait(&wait), CELLAR_DEADLINE_EXCEEDED);
    wait.deadline_us = now_us - 1;
    assert_int_equal(cellar_socket_wait(&wait), CELLAR_DEADLINE_EXCEEDED);
    wait.deadline_us = 0;
    wait.events = POLLOUT;
    assert_int_equal(cellar_socket_wait(&wait), CELLAR_OK);
    assert_int_equal(write(fds[1], "x", 1), 1);
    wait.events = POLLIN;
    assert_int_equal(cellar_socket_wait(&wait), CELLAR_OK);
    wait.interrupt_fd = fds[0]; /* anything that can be read */
    assert_int_equal(cellar_socket_wait(&wait), CELLAR_CANCELLED);
    wait.interrupt_fd = fds[1];
    assert_int_equal(cellar_socket_wait(&wait), CELLAR_OK);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_taken_apart),
        cmocka_unit_test(what_is_no_endpoint_is_refused),
        cmocka_unit_test(it_connects_to_what_listens_only),
        cmocka_unit_test(a_name_that_does_not_exist_is_an_argument_that_is_wrong),
        cmocka_unit_test(waiting_ends_at_the_deadline),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
