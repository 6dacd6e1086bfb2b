/* A connection's output: sent in order however little the socket takes, counted, and freed when
 * idle. */
#include "tests/support/support.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"
#include "server/io/output.h"

static struct io_budget budget;

static struct io_output make_output(void)
{
    io_budget_init(&budget, 1u << 20);
    return (struct io_output){.budget = &budget};
}

static void output_is_sent_in_order_however_little_is_taken(void **state)
{
    (void)state;
    size_t total = 3000000;
    int fds[2];
    struct test_random random = {test_seed("output")};
    struct io_output output = make_output();
    uint8_t *data = cellar_mem_alloc(total);
    uint8_t *got = cellar_mem_alloc(total);
    size_t got_bytes = 0;
    size_t sent = 0;
    size_t sent_total = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    test_random_bytes(&random, data, total);
    assert_int_equal(cellar_buffer_append(&output.bytes, data, total), CELLAR_OK);
    while (got_bytes < total) {
        assert_int_equal(io_output_send(&output, fds[0], &sent), CELLAR_OK);
        sent_total += sent;
        ssize_t count = recv(fds[1], got + got_bytes, total - got_bytes, 0);
        assert_true(count > 0);
        got_bytes += (size_t)count;
    }
    assert_memory_equal(got, data, total);
    assert_int_equal(sent_total, total);
    assert_int_equal(io_output_waiting(&output), 0);
    assert_int_equal(output.bytes.capacity, 0); /* it had grown large */
    io_output_clear(&output);
    cellar_mem_free(data);
    cellar_mem_free(got);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void output_is_counted_and_freed_when_idle(void **state)
{
    (void)state;
    struct io_output output = make_output();
    assert_int_equal(cellar_buffer_append(&output.bytes, "abc", 3), CELLAR_OK);
    io_output_settle(&output);
    assert_int_equal(io_budget_bytes(&budget), output.bytes.capacity);
    io_output_trim(&output);
    assert_int_equal(io_output_waiting(&output), 3);
    output.sent = 3;
    io_output_trim(&output);
    assert_int_equal(io_budget_bytes(&budget), 0);
    assert_int_equal(output.bytes.capacity, 0);
}

static void output_to_a_peer_that_is_gone_fails(void **state)
{
    (void)state;
    int fds[2];
    size_t sent = 1;
    struct io_output output = make_output();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(io_output_send(&output, fds[0], &sent), CELLAR_OK); /* nothing to send */
    assert_int_equal(sent, 0);
    (void)close(fds[1]);
    assert_int_equal(cellar_buffer_append(&output.bytes, "abc", 3), CELLAR_OK);
    assert_int_equal(io_output_send(&output, fds[0], &sent), CELLAR_IO_ERROR);
    io_output_clear(&output);
    (void)close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_is_sent_in_order_however_little_is_taken),
        cmocka_unit_test(output_is_counted_and_freed_when_idle),
        cmocka_unit_test(output_to_a_peer_that_is_gone_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
