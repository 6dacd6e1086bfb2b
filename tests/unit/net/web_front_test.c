/*
 * web_front: requests on a connection without a socket. What each path answers, several requests at
 * once, keep-alive, deadlines by the fake clock, clients that never read, and too many of them.
 */
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "server/net/web/web_front.h"
#include "server/net/web/web_pages.h"
#include "tests/support/support.h"

#define HOST " HTTP/1.1\r\nHost: x\r\n\r\n"

struct fixture {
    struct io_loop *loop;
    struct io_budget budgets[2];
    struct web_context web;
    struct io_conn *conn;
    enum cellar_status health;
    enum cellar_status readiness;
    size_t metric_bytes; /* length of one help text, to make long pages */
};

static enum cellar_status check_health(void *context, struct cellar_error *error)
{
    const struct fixture *fixture = context;
    return fixture->health == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, fixture->health, "the log has failed");
}

static enum cellar_status check_readiness(void *context, struct cellar_error *error)
{
    const struct fixture *fixture = context;
    return fixture->readiness == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, fixture->readiness, "the server is starting");
}

static void show_metrics(void *context, struct cellar_metric_page *page)
{
    const struct fixture *fixture = context;
    static char help[100001];
    memset(help, 'h', fixture->metric_bytes);
    help[fixture->metric_bytes] = '\0';
    cellar_metric_counter(page, "tests_total", help, 5);
}

static struct io_conn *make_conn(struct fixture *fixture)
{
    static const struct io_conn_handler none = {.input = NULL};
    struct io_conn_options options = {
        .loop = fixture->loop,
        .fd = -1,
        .input_budget = &fixture->budgets[0],
        .output_budget = &fixture->budgets[1],
        .handler = &none, /* replaced before the first byte */
    };
    struct io_conn *conn = io_conn_new(&options);
    assert_non_null(conn);
    io_conn_start(conn);
    io_loop_turn(fixture->loop, false);
    web_front_take(conn, &fixture->web);
    return conn;
}

static void fixture_open(struct fixture *fixture)
{
    struct cellar_error error;
    memset(fixture, 0, sizeof *fixture);
    cellar_clock_fake_set(INT64_C(784111777000000), 1000000);
    io_budget_init(&fixture->budgets[0], 1u << 20);
    io_budget_init(&fixture->budgets[1], 1u << 20);
    struct web_site site = {fixture, "9.9.9", check_health, check_readiness, show_metrics};
    web_front_init(&fixture->web, &site);
    assert_int_equal(io_loop_new(&fixture->loop, &error), CELLAR_OK);
    fixture->conn = make_conn(fixture);
}

/* Nothing is left: the connection has closed, or closes now. */
static void fixture_close(struct fixture *fixture, bool is_open)
{
    if (is_open) {
        io_conn_abort(fixture->conn);
    }
    io_loop_turn(fixture->loop, false);
    assert_int_equal(atomic_load(&fixture->web.conn_count), 0);
    assert_int_equal(io_budget_bytes(&fixture->budgets[1]), 0);
    io_loop_free(fixture->loop);
    cellar_clock_fake_off();
}

static void feed(struct fixture *fixture, const char *text)
{
    io_conn_feed(fixture->conn, cellar_slice_text(text));
}

/* What waits to be sent, as a text; gone afterwards. */
static const char *output_take(struct fixture *fixture)
{
    static char text[4096];
    struct cellar_buffer *output = io_conn_output(fixture->conn);
    assert_true(output->bytes < sizeof text);
    if (output->bytes > 0) {
        memcpy(text, output->data, output->bytes);
    }
    text[output->bytes] = '\0';
    cellar_buffer_clear(output);
    return text;
}

static void expect(struct fixture *fixture, const char *request, const char *start, const char *end)
{
    feed(fixture, request);
    const char *got = output_take(fixture);
    size_t length = strlen(got);
    bool is_right = strncmp(got, start, strlen(start)) == 0 && length >= strlen(end) &&
                    strcmp(got + length - strlen(end), end) == 0;
    if (!is_right) {
        fail_msg("'%s' was answered\n%s", request, got);
    }
}

static void each_path_has_its_page(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture.metric_bytes = 3;
    expect(&fixture, "GET /healthz" HOST, "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n");
    expect(&fixture, "GET /readyz" HOST, "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n");
    expect(&fixture, "GET /" HOST, "HTTP/1.1 200 OK\r\n", "</html>\n");
    expect(&fixture, "GET /metrics?x" HOST, "HTTP/1.1 200 OK\r\n",
           "cellar_http_answers_total{status=\"505\"} 0\n");
    expect(&fixture, "GET /metrics/" HOST, "HTTP/1.1 404 Not Found\r\n", "/metrics\n");
    expect(&fixture, "PUT /metrics" HOST, "HTTP/1.1 405 Method Not Allowed\r\n", "/metrics\n");
    fixture_close(&fixture, true);
}

static void what_is_wrong_is_a_503_with_the_reason(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture.health = CELLAR_IO_ERROR;
    fixture.readiness = CELLAR_UNAVAILABLE;
    expect(&fixture, "GET /healthz" HOST, "HTTP/1.1 503 Service Unavailable\r\n",
           "\r\n\r\nthe log has failed\n");
    expect(&fixture, "GET /readyz" HOST, "HTTP/1.1 503 Service Unavailable\r\n",
           "\r\n\r\nthe server is starting\n");
    fixture_close(&fixture, true);
}

static void head_is_get_without_the_body(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    expect(&fixture, "HEAD /healthz" HOST, "HTTP/1.1 200 OK\r\n",
           "Content-Length: 3\r\nCache-Control: no-store\r\n\r\n");
    fixture_close(&fixture, true);
}

static void requests_sent_at_once_or_in_pieces_are_answered_in_order(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    feed(&fixture, "GET /nowhere" HOST "GET /healthz" HOST "HEAD / HTT");
    const char *got = output_take(&fixture);
    assert_non_null(strstr(got, "HTTP/1.1 404"));
    assert_true(strstr(got, "HTTP/1.1 200") > strstr(got, "HTTP/1.1 404"));
    expect(&fixture, "P/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n");
    fixture_close(&fixture, true);
}

static void what_cannot_go_on_is_answered_and_closed(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"},
        {"GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200"},
        {"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 413"},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 405"},
        {"GET / HTTP/3.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505"},
        {"GET nonsense\r\n\r\n", "HTTP/1.1 400"},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct fixture fixture;
        fixture_open(&fixture);
        feed(&fixture, cases[i][0]);
        feed(&fixture, "GET /" HOST); /* nobody hears this */
        const char *got = output_take(&fixture);
        assert_memory_equal(got, cases[i][1], strlen(cases[i][1]));
        assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
        assert_null(strstr(got, "</html>"));
        fixture_close(&fixture, false);
    }
}

static void a_head_gets_10_seconds_however_it_trickles(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    feed(&fixture, "GET /healthz" HOST "GET ");
    (void)output_take(&fixture);
    for (int i = 0; i < 9; i++) {
        cellar_clock_fake_step(1000001);
        feed(&fixture, "/");
        io_loop_turn(fixture.loop, false);
        assert_int_equal(io_conn_output_bytes(fixture.conn), 0);
    }
    cellar_clock_fake_step(1000001);
    io_loop_turn(fixture.loop, false);
    fixture_close(&fixture, false);
    assert_int_equal(cellar_counter_get(&fixture.web.answers[4]), 1); /* 408 */
}

static void a_connection_without_requests_is_closed_after_two_minutes(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    feed(&fixture, "GET /healthz" HOST);
    (void)output_take(&fixture);
    cellar_clock_fake_step(WEB_IDLE_US_MAX - 1);
    io_loop_turn(fixture.loop, false);
    assert_int_equal(atomic_load(&fixture.web.conn_count), 1);
    cellar_clock_fake_step(1000001);
    io_loop_turn(fixture.loop, false);
    fixture_close(&fixture, false);
    assert_int_equal(cellar_counter_get(&fixture.web.answers[4]), 0);
}

static void a_client_that_never_reads_gets_little_and_is_cut_off(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture.metric_bytes = 100000;
    for (int i = 0; i < 500; i++) {
        feed(&fixture, "GET /metrics" HOST);
    }
    assert_true(io_conn_output_bytes(fixture.conn) <= IO_CONN_OUTPUT_SOFT_BYTES + 110000);
    uint64_t answered = cellar_counter_get(&fixture.web.answers[0]);
    assert_true(answered >= 2 && answered <= 4);
    cellar_clock_fake_step(WEB_SEND_US_MAX + 1000000);
    io_loop_turn(fixture.loop, false);
    fixture_close(&fixture, false);
}

static void requests_go_on_when_answers_were_taken(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture.metric_bytes = 100000;
    for (int i = 0; i < 20; i++) {
        feed(&fixture, "GET /metrics" HOST);
    }
    for (int i = 0; i < 100 && cellar_counter_get(&fixture.web.answers[0]) < 20; i++) {
        cellar_buffer_clear(io_conn_output(fixture.conn)); /* the socket took it */
        io_conn_wrote(fixture.conn);
        io_loop_turn(fixture.loop, false);
    }
    assert_int_equal(cellar_counter_get(&fixture.web.answers[0]), 20);
    fixture_close(&fixture, true);
}

static void more_connections_than_there_may_be_are_turned_away(void **state)
{
    (void)state;
    struct fixture fixture;
    struct io_conn *conns[WEB_CONN_COUNT_MAX];
    fixture_open(&fixture);
    conns[0] = fixture.conn;
    for (size_t i = 1; i < WEB_CONN_COUNT_MAX; i++) {
        conns[i] = make_conn(&fixture);
    }
    fixture.conn = make_conn(&fixture);
    const char *got = output_take(&fixture);
    assert_memory_equal(got, "HTTP/1.1 503", 12);
    assert_int_equal(atomic_load(&fixture.web.conn_count), WEB_CONN_COUNT_MAX);
    for (size_t i = 0; i < WEB_CONN_COUNT_MAX; i++) {
        io_conn_abort(conns[i]);
    }
    fixture_close(&fixture, false);
}

static void a_stopping_server_still_answers(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    assert_int_equal(io_loop_member_count(fixture.loop), 0); /* nobody waits for it */
    io_loop_drain(fixture.loop);
    io_loop_turn(fixture.loop, false);
    expect(&fixture, "GET /healthz" HOST, "HTTP/1.1 200 OK\r\n", "ok\n");
    fixture_close(&fixture, true);
}

static void pages_without_memory_are_a_503_or_the_end(void **state)
{
    (void)state;
    bool was_met = true;
    for (int64_t i = 0; was_met; i++) {
        struct fixture fixture;
        fixture_open(&fixture);
        (void)cellar_mem_fail_at(i);
        feed(&fixture, "GET /metrics" HOST);
        was_met = cellar_mem_fail_at(-1);
        const char *got = output_take(&fixture);
        assert_true(got[0] == '\0' || strncmp(got, "HTTP/1.1 503", 12) == 0 ||
                    strncmp(got, "HTTP/1.1 200", 12) == 0);
        assert_true(was_met || strncmp(got, "HTTP/1.1 200", 12) == 0);
        io_conn_abort(fixture.conn);
        fixture_close(&fixture, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_has_its_page),
        cmocka_unit_test(what_is_wrong_is_a_503_with_the_reason),
        cmocka_unit_test(head_is_get_without_the_body),
        cmocka_unit_test(requests_sent_at_once_or_in_pieces_are_answered_in_order),
        cmocka_unit_test(what_cannot_go_on_is_answered_and_closed),
        cmocka_unit_test(a_head_gets_10_seconds_however_it_trickles),
        cmocka_unit_test(a_connection_without_requests_is_closed_after_two_minutes),
        cmocka_unit_test(a_client_that_never_reads_gets_little_and_is_cut_off),
        cmocka_unit_test(requests_go_on_when_answers_were_taken),
        cmocka_unit_test(more_connections_than_there_may_be_are_turned_away),
        cmocka_unit_test(a_stopping_server_still_answers),
        cmocka_unit_test(pages_without_memory_are_a_503_or_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
