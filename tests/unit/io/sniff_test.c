/*
 * Telling protocols apart: every beginning, every part of one, and what a connection gets that
 * speaks none or one that is not served.
 */
#include "tests/support/support.h"

#include <string.h>

#include "common/clock.h"
#include "server/io/sniff.h"

struct sniff_case {
    const char *bytes;
    size_t byte_count;
    enum io_sniff_result result;
};

#define SNIFF(bytes, result)                                                                       \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, result                                                           \
    }

static const struct sniff_case sniff_cases[] = {
    SNIFF("", IO_SNIFF_MORE),
    SNIFF("\x93"
          "CELLAR",
          IO_SNIFF_MORE),
    SNIFF("\x93"
          "CELLAR\n",
          IO_SNIFF_NATIVE),
    SNIFF("\x93"
          "CELLAR\nmore",
          IO_SNIFF_NATIVE),
    SNIFF("\x93"
          "CELLAR\r",
          IO_SNIFF_UNKNOWN),
    SNIFF("\x16", IO_SNIFF_MORE),
    SNIFF("\x16\x03\x01", IO_SNIFF_TLS),
    SNIFF("\x16\x02", IO_SNIFF_UNKNOWN),
    SNIFF("P", IO_SNIFF_MORE),
    SNIFF("PRI", IO_SNIFF_MORE),
    SNIFF("PRI * HTTP/2.0", IO_SNIFF_HTTP2),
    SNIFF("PUT /", IO_SNIFF_HTTP1),
    SNIFF("POST /", IO_SNIFF_HTTP1),
    SNIFF("GET / HTTP/1.1", IO_SNIFF_HTTP1),
    SNIFF("OPTIONS ", IO_SNIFF_HTTP1),
    SNIFF("OPTIONS", IO_SNIFF_MORE),
    SNIFF("GETX", IO_SNIFF_UNKNOWN),
    SNIFF("get /", IO_SNIFF_UNKNOWN),
    SNIFF("\0\0\0\0\0\0\0\0", IO_SNIFF_UNKNOWN),
};

static void sniff_tells_protocols_by_their_first_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sniff_cases); i++) {
        const struct sniff_case *test = &sniff_cases[i];
        enum io_sniff_result result = io_sniff(cellar_slice_make(test->bytes, test->byte_count));
        if (result != test->result) {
            fail_msg("case %zu '%s': got %d", i, test->bytes, (int)result);
        }
    }
}

static void sniff_always_knows_after_8_bytes(void **state)
{
    (void)state;
    struct test_random random = {test_seed("sniff")};
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[8];
        test_random_bytes(&random, bytes, sizeof bytes);
        assert_int_not_equal(io_sniff(cellar_slice_make(bytes, sizeof bytes)), IO_SNIFF_MORE);
    }
}

/* ---- a connection ---------------------------------------------------------------------------- */

struct fixture {
    struct io_loop *loop;
    struct io_conn *conn;
    struct io_budget budgets[2];
    struct io_sniff_fronts fronts;
    int native_count;
    int http_count;
};

static void take_native(struct io_conn *conn, void *context)
{
    struct fixture *fixture = context;
    assert_ptr_equal(conn, fixture->conn);
    fixture->native_count++;
    io_conn_close(conn);
}

static void take_http(struct io_conn *conn, void *context)
{
    struct fixture *fixture = context;
    assert_ptr_equal(conn, fixture->conn);
    fixture->http_count++;
    io_conn_close(conn);
}

static void fixture_open(struct fixture *fixture)
{
    struct cellar_error error;
    memset(fixture, 0, sizeof *fixture);
    io_budget_init(&fixture->budgets[0], 1u << 20);
    io_budget_init(&fixture->budgets[1], 1u << 20);
    assert_int_equal(io_loop_new(&fixture->loop, &error), CELLAR_OK);
    fixture->fronts =
        (struct io_sniff_fronts){.native = {take_native, fixture}, .http = {take_http, fixture}};
    struct io_conn_options options = {
        .loop = fixture->loop,
        .fd = -1,
        .input_budget = &fixture->budgets[0],
        .output_budget = &fixture->budgets[1],
        .handler = &io_sniff_handler,
        .context = &fixture->fronts,
        .deadline_us = cellar_clock_monotonic_us() + IO_SNIFF_US_MAX,
    };
    fixture->conn = io_conn_new(&options);
    assert_non_null(fixture->conn);
    io_conn_start(fixture->conn);
    io_loop_turn(fixture->loop, false);
    assert_int_equal(io_loop_member_count(fixture->loop), 1);
}

/* The connection has closed itself. */
static void fixture_close(struct fixture *fixture)
{
    io_loop_turn(fixture->loop, false);
    assert_int_equal(io_loop_member_count(fixture->loop), 0);
    io_loop_free(fixture->loop);
}

static void feed(struct fixture *fixture, const char *text)
{
    io_conn_feed(fixture->conn, cellar_slice_text(text));
}

static void sniff_hands_a_native_connection_over_at_its_8th_byte(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    feed(&fixture, "\x93"
                   "CEL");
    feed(&fixture, "LAR");
    assert_int_equal(fixture.native_count, 0);
    feed(&fixture, "\n");
    assert_int_equal(fixture.native_count, 1);
    fixture_close(&fixture);
}

static void sniff_hands_http_over_at_its_method(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    feed(&fixture, "GET");
    assert_int_equal(fixture.http_count, 0);
    feed(&fixture, " ");
    assert_int_equal(fixture.http_count, 1);
    assert_int_equal(fixture.native_count, 0);
    fixture_close(&fixture);
}

static void sniff_closes_what_nobody_serves_without_a_word(void **state)
{
    (void)state;
    static const char *const texts[] = {"\x16\x03\x01", "PRI * HTTP/2.0", "hello"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(texts); i++) {
        struct fixture fixture;
        fixture_open(&fixture);
        const struct io_traffic *traffic = io_loop_traffic(fixture.loop);
        feed(&fixture, texts[i]);
        assert_int_equal(io_conn_output_bytes(fixture.conn), 0);
        assert_int_equal(fixture.native_count + fixture.http_count, 0);
        assert_int_equal(cellar_counter_get(&traffic->refused[IO_REFUSED_TLS + i]), 1);
        fixture_close(&fixture);
    }
}

static void sniff_goes_on_while_the_server_stops(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    io_loop_drain(fixture.loop);
    io_loop_turn(fixture.loop, false);
    assert_int_equal(io_loop_member_count(fixture.loop), 0); /* nobody waits for it */
    feed(&fixture, "GET ");
    assert_int_equal(fixture.http_count, 1);
    fixture_close(&fixture);
}

static void sniff_closes_who_says_nothing_for_5_seconds(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct fixture fixture;
    fixture_open(&fixture);
    feed(&fixture, "\x93");
    cellar_clock_fake_step(4999999);
    io_loop_turn(fixture.loop, false);
    assert_int_equal(io_loop_member_count(fixture.loop), 1);
    cellar_clock_fake_step(1000001);
    fixture_close(&fixture);
    cellar_clock_fake_off();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sniff_tells_protocols_by_their_first_bytes),
        cmocka_unit_test(sniff_always_knows_after_8_bytes),
        cmocka_unit_test(sniff_hands_a_native_connection_over_at_its_8th_byte),
        cmocka_unit_test(sniff_hands_http_over_at_its_method),
        cmocka_unit_test(sniff_closes_what_nobody_serves_without_a_word),
        cmocka_unit_test(sniff_goes_on_while_the_server_stops),
        cmocka_unit_test(sniff_closes_who_says_nothing_for_5_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
