/*
 * Listening: a free port is found and named, connections go to the loops in turn, too many are
 * closed, a taken address is refused by name, and after the stop nobody gets in. The loops have
 * threads here; every wait is for an event of a socket.
 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/io/listener.h"

#define LOOP_COUNT 2

struct fixture {
    struct io_loop *loops[LOOP_COUNT];
    struct io_listener *listener;
    struct io_budget budgets[2];
    struct cellar_error error;
};

/* Answers every byte with the number of the loop that has it. */
static size_t on_input(struct io_conn *conn, void *context, struct cellar_slice input)
{
    struct fixture *fixture = context;
    char number = io_conn_loop(conn) == fixture->loops[0] ? '0' : '1';
    for (size_t i = 0; i < input.bytes; i++) {
        if (cellar_buffer_append(io_conn_output(conn), &number, 1) != CELLAR_OK) {
            io_conn_abort(conn);
            return input.bytes;
        }
    }
    io_conn_wrote(conn);
    return input.bytes;
}

static const struct io_conn_handler handler = {.input = on_input};

static enum cellar_status open_listener(struct fixture *fixture, const char *text,
                                        uint32_t connection_count_max,
                                        struct io_listener **listener)
{
    struct io_listener_options options = {
        .loops = fixture->loops,
        .loop_count = LOOP_COUNT,
        .input_budget = &fixture->budgets[0],
        .output_budget = &fixture->budgets[1],
        .handler = &handler,
        .context = fixture,
        .first_us_max = 60000000,
        .connection_count_max = connection_count_max,
    };
    assert_int_equal(io_address_decode(text, &options.address, &fixture->error), CELLAR_OK);
    return io_listener_open(&options, listener, &fixture->error);
}

static void open_fixture(struct fixture *fixture, uint32_t connection_count_max)
{
    memset(fixture, 0, sizeof *fixture);
    io_budget_init(&fixture->budgets[0], 1u << 20);
    io_budget_init(&fixture->budgets[1], 1u << 20);
    for (size_t i = 0; i < LOOP_COUNT; i++) {
        assert_int_equal(io_loop_new(&fixture->loops[i], &fixture->error), CELLAR_OK);
    }
    assert_int_equal(
        open_listener(fixture, "127.0.0.1:0", connection_count_max, &fixture->listener), CELLAR_OK);
    for (size_t i = 0; i < LOOP_COUNT; i++) {
        assert_int_equal(io_loop_start(fixture->loops[i], &fixture->error), CELLAR_OK);
    }
    assert_int_equal(io_listener_start(fixture->listener, &fixture->error), CELLAR_OK);
}

static void close_fixture(struct fixture *fixture)
{
    io_listener_stop(fixture->listener);
    for (size_t i = 0; i < LOOP_COUNT; i++) {
        io_loop_stop(fixture->loops[i]);
        io_loop_free(fixture->loops[i]);
    }
    io_listener_close(fixture->listener);
}

static int try_connect(const struct io_address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address->native, address->native_bytes) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int connect_to(struct fixture *fixture)
{
    int fd = try_connect(io_listener_address(fixture->listener));
    assert_true(fd >= 0);
    return fd;
}

/* The answer to one byte; 0 when the connection was closed. */
static char ask(int fd)
{
    char answer = 0;
    if (send(fd, "x", 1, MSG_NOSIGNAL) != 1 || recv(fd, &answer, 1, 0) != 1) {
        return 0;
    }
    return answer;
}

static void listener_hands_connections_to_the_loops_in_turn(void **state)
{
    (void)state;
    struct fixture fixture;
    int fds[4];
    open_fixture(&fixture, 100);
    assert_int_not_equal(io_address_port(io_listener_address(fixture.listener)), 0);
    for (size_t i = 0; i < 4; i++) {
        fds[i] = connect_to(&fixture);
        assert_int_equal(ask(fds[i]), '0' + (int)(i % 2));
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ask(fds[i]), '0' + (int)(i % 2));
        (void)close(fds[i]);
    }
    close_fixture(&fixture);
}

static void listener_closes_connections_above_the_limit(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 1);
    int first = connect_to(&fixture);
    assert_int_equal(ask(first), '0');
    int second = connect_to(&fixture);
    assert_int_equal(ask(second), 0);
    assert_int_equal(ask(first), '0');
    (void)close(first);
    (void)close(second);
    close_fixture(&fixture);
}

/* All in one process: both ends of a connection take a descriptor. */
static void connections_leave_the_last_descriptors_to_files(void **state)
{
    enum { LIMIT = 80, RESERVED = LIMIT / 4 };
    (void)state;
    struct fixture fixture;
    struct rlimit before;
    const struct timeval patience = {.tv_sec = 5}; /* with one that is never accepted */
    int fds[LIMIT];
    size_t count = 0;
    open_fixture(&fixture, 1000);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit few = {LIMIT, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    char answer = '0';
    while (answer != 0) {
        assert_true(count < LIMIT);
        fds[count] = connect_to(&fixture);
        assert_int_equal(
            setsockopt(fds[count], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
        answer = ask(fds[count++]);
    }
    assert_true(count > 1);
    (void)close(fds[--count]);
    for (size_t i = 0; i < RESERVED - 2; i++) {
        fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fds[count++] >= 0);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (count > 0) {
        (void)close(fds[--count]);
    }
    close_fixture(&fixture);
}

static void listener_refuses_a_taken_address_by_name(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[IO_ADDRESS_TEXT_BYTES_MAX];
    struct io_listener *second = NULL;
    open_fixture(&fixture, 1);
    (void)io_address_show(io_listener_address(fixture.listener), text);
    assert_int_equal(open_listener(&fixture, text, 1, &second), CELLAR_IO_ERROR);
    assert_non_null(strstr(fixture.error.text, text));
    assert_null(second);
    close_fixture(&fixture);
}

static void listener_lets_nobody_in_after_its_stop(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 10);
    int fd = connect_to(&fixture);
    assert_int_equal(ask(fd), '0');
    io_listener_stop(fixture.listener);
    assert_int_equal(ask(fd), '0'); /* who is in stays */
    int late = try_connect(io_listener_address(fixture.listener));
    if (late >= 0) {
        (void)close(late); /* the kernel's queue took it; nobody accepts */
    }
    assert_int_equal(io_loop_member_count(fixture.loops[0]), 1);
    assert_int_equal(io_loop_member_count(fixture.loops[1]), 0);
    (void)close(fd);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listener_hands_connections_to_the_loops_in_turn),
        cmocka_unit_test(listener_closes_connections_above_the_limit),
        cmocka_unit_test(connections_leave_the_last_descriptors_to_files),
        cmocka_unit_test(listener_refuses_a_taken_address_by_name),
        cmocka_unit_test(listener_lets_nobody_in_after_its_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
