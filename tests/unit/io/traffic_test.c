/*
 * traffic: connections and bytes of a real socket pair are counted where they belong, refusals are
 * logged at most once a second, and sums go over all loops.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/io/conn.h"
#include "tests/support/support.h"

static size_t echo(struct io_conn *conn, void *context, struct cellar_slice input)
{
    (void)context;
    assert_int_equal(cellar_buffer_append(io_conn_output(conn), input.data, input.bytes),
                     CELLAR_OK);
    io_conn_wrote(conn);
    return input.bytes;
}

static const struct io_conn_handler handler = {.input = echo};

static uint64_t count(const struct cellar_counter *counter)
{
    return cellar_counter_get(counter);
}

static void a_connection_is_counted_with_its_bytes(void **state)
{
    (void)state;
    struct io_loop *loop = NULL;
    struct io_budget budget;
    struct cellar_error error;
    int fds[2];
    io_budget_init(&budget, 1u << 20);
    assert_int_equal(io_loop_new(&loop, &error), CELLAR_OK);
    const struct io_traffic *traffic = io_loop_traffic(loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct io_conn_options options = {.loop = loop,
                                      .fd = fds[0],
                                      .input_budget = &budget,
                                      .output_budget = &budget,
                                      .handler = &handler};
    struct io_conn *conn = io_conn_new(&options);
    assert_non_null(conn);
    io_conn_start(conn);
    io_loop_turn(loop, false);
    assert_int_equal(count(&traffic->begun[IO_PROTOCOL_NEW]), 1);
    io_conn_protocol_set(conn, IO_PROTOCOL_HTTP);
    assert_int_equal(count(&traffic->ended[IO_PROTOCOL_NEW]), 1);
    assert_int_equal(count(&traffic->begun[IO_PROTOCOL_HTTP]), 1);
    assert_int_equal(send(fds[1], "hello", 5, 0), 5);
    io_loop_turn(loop, false);
    assert_int_equal(count(&traffic->received_bytes), 5);
    assert_int_equal(count(&traffic->sent_bytes), 5);
    (void)close(fds[1]);
    for (int i = 0; i < 10 && count(&traffic->ended[IO_PROTOCOL_HTTP]) == 0; i++) {
        io_loop_turn(loop, false);
    }
    assert_int_equal(count(&traffic->ended[IO_PROTOCOL_HTTP]), 1);
    assert_int_equal(count(&traffic->ended[IO_PROTOCOL_NATIVE]), 0);
    io_loop_free(loop);
}

static void refusals_are_all_counted_and_seldom_logged(void **state)
{
    (void)state;
    struct io_traffic traffic = {.received_bytes = {0}};
    cellar_log_level_set(CELLAR_LOG_ERROR);
    cellar_clock_fake_set(1, 5000000);
    for (int i = 0; i < 10; i++) {
        io_traffic_refuse(&traffic, IO_REFUSED_TLS);
    }
    assert_int_equal(count(&traffic.refused[IO_REFUSED_TLS]), 10);
    assert_int_equal(traffic.unlogged[IO_REFUSED_TLS], 9); /* the first one was told */
    io_traffic_refuse(&traffic, IO_REFUSED_UNKNOWN);
    assert_int_equal(traffic.unlogged[IO_REFUSED_UNKNOWN], 0);
    cellar_clock_fake_step(1000000);
    io_traffic_refuse(&traffic, IO_REFUSED_TLS);
    assert_int_equal(traffic.unlogged[IO_REFUSED_TLS], 0);
    cellar_clock_fake_off();
    cellar_log_level_set(CELLAR_LOG_INFO);
}

static void a_page_sums_over_loops(void **state)
{
    (void)state;
    static struct io_traffic one;
    static struct io_traffic two;
    const struct io_traffic *const both[] = {&one, &two};
    struct cellar_buffer text = {0};
    struct cellar_metric_page page = {.to = &text};
    cellar_counter_add(&one.begun[IO_PROTOCOL_NATIVE], 5);
    cellar_counter_add(&two.begun[IO_PROTOCOL_NATIVE], 6);
    cellar_counter_add(&two.ended[IO_PROTOCOL_NATIVE], 2);
    cellar_counter_add(&one.ended[IO_PROTOCOL_HTTP], 1); /* read between the two: never below 0 */
    cellar_counter_add(&one.refused[IO_REFUSED_SILENT], 3);
    cellar_counter_add(&two.sent_bytes, 7);
    io_traffic_show(both, 2, &page);
    assert_int_equal(page.status, CELLAR_OK);
    static const char *const lines[] = {
        "\ncellar_connections_served_total{protocol=\"native\"} 11\n",
        "\ncellar_connections_open{protocol=\"native\"} 9\n",
        "\ncellar_connections_open{protocol=\"http\"} 0\n",
        "\ncellar_connections_refused_total{reason=\"silent\"} 3\n",
        "\ncellar_network_sent_bytes_total 7\n"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lines); i++) {
        assert_non_null(memmem(text.data, text.bytes, lines[i], strlen(lines[i])));
    }
    cellar_buffer_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_counted_with_its_bytes),
        cmocka_unit_test(refusals_are_all_counted_and_seldom_logged),
        cmocka_unit_test(a_page_sums_over_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
