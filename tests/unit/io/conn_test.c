/*
 * Connections over a socket pair: what is read reaches the handler whole and once, however it is
 * cut; what is appended is sent; slow readers, half-closed peers, budgets, pauses and deadlines do
 * what conn.h says. The test turns the loop itself and steps the clock.
 */
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "server/io/conn.h"

struct fixture {
    struct io_loop *loop;
    struct io_conn *conn;
    int peer; /* the other end */
    struct io_budget input_budget;
    struct io_budget output_budget;
    /* what the handler does and saw */
    size_t message_bytes; /* input is taken in messages of this size */
    struct cellar_buffer seen;
    int writable_count;
    int ended_count;
    int expired_count;
    int closed_count;
    bool keeps_open_when_ended;
    enum io_pause pause_after_message;
};

static size_t on_input(struct io_conn *conn, void *context, struct cellar_slice input)
{
    struct fixture *fixture = context;
    size_t at = 0;
    while (input.bytes - at >= fixture->message_bytes && !io_conn_is_paused(conn)) {
        assert_int_equal(
            cellar_buffer_append(&fixture->seen, input.data + at, fixture->message_bytes),
            CELLAR_OK);
        at += fixture->message_bytes;
        if (fixture->pause_after_message != 0) {
            io_conn_pause(conn, fixture->pause_after_message);
        }
    }
    io_conn_want(conn, fixture->message_bytes);
    return at;
}

static void on_writable(struct io_conn *conn, void *context)
{
    struct fixture *fixture = context;
    assert_true(io_conn_has_room(conn));
    fixture->writable_count++;
}

static void on_ended(struct io_conn *conn, void *context)
{
    struct fixture *fixture = context;
    fixture->ended_count++;
    if (!fixture->keeps_open_when_ended) {
        io_conn_close(conn);
    }
}

static void on_expired(struct io_conn *conn, void *context)
{
    struct fixture *fixture = context;
    fixture->expired_count++;
    io_conn_close(conn);
}

static void on_closed(struct io_conn *conn, void *context)
{
    struct fixture *fixture = context;
    assert_ptr_equal(conn, fixture->conn);
    fixture->closed_count++;
}

static const struct io_conn_handler handler = {
    .input = on_input,
    .writable = on_writable,
    .ended = on_ended,
    .expired = on_expired,
    .closed = on_closed,
};

static void turn(struct fixture *fixture)
{
    io_loop_turn(fixture->loop, false);
}

static void open_sized(struct fixture *fixture, size_t message_bytes, uint64_t budget_bytes)
{
    int fds[2];
    struct cellar_error error;
    memset(fixture, 0, sizeof *fixture);
    fixture->message_bytes = message_bytes;
    io_budget_init(&fixture->input_budget, budget_bytes);
    io_budget_init(&fixture->output_budget, budget_bytes);
    assert_int_equal(io_loop_new(&fixture->loop, &error), CELLAR_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    fixture->peer = fds[1];
    struct io_conn_options options = {
        .loop = fixture->loop,
        .fd = fds[0],
        .input_budget = &fixture->input_budget,
        .output_budget = &fixture->output_budget,
        .handler = &handler,
        .context = fixture,
    };
    fixture->conn = io_conn_new(&options);
    assert_non_null(fixture->conn);
    io_conn_start(fixture->conn);
    turn(fixture);
}

static void open_fixture(struct fixture *fixture)
{
    open_sized(fixture, 1, 64u << 20);
}

static void close_fixture(struct fixture *fixture)
{
    if (fixture->closed_count == 0) {
        io_conn_abort(fixture->conn);
        turn(fixture);
    }
    assert_int_equal(fixture->closed_count, 1);
    assert_int_equal(io_loop_member_count(fixture->loop), 0);
    assert_int_equal(io_budget_bytes(&fixture->input_budget), 0);
    assert_int_equal(io_budget_bytes(&fixture->output_budget), 0);
    if (fixture->peer >= 0) {
        assert_int_equal(close(fixture->peer), 0);
    }
    cellar_buffer_fini(&fixture->seen);
    io_loop_free(fixture->loop);
}

/* Sends all of it, turning the loop while the socket is full. */
static void peer_send(struct fixture *fixture, const uint8_t *data, size_t bytes)
{
    for (int i = 0; bytes > 0 && i < 100000; i++) {
        ssize_t sent = send(fixture->peer, data, bytes, MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            bytes -= (size_t)sent;
        }
        turn(fixture);
    }
    assert_int_equal(bytes, 0);
}

/* Receives what there is, up to `bytes`. */
static size_t peer_receive(struct fixture *fixture, uint8_t *to, size_t bytes)
{
    ssize_t got = recv(fixture->peer, to, bytes, 0);
    assert_true(got >= 0 || errno == EAGAIN);
    return got > 0 ? (size_t)got : 0;
}

static bool peer_sees_end(struct fixture *fixture)
{
    uint8_t byte;
    return recv(fixture->peer, &byte, 1, 0) == 0;
}

static void append(struct fixture *fixture, const void *data, size_t bytes)
{
    assert_int_equal(cellar_buffer_append(io_conn_output(fixture->conn), data, bytes), CELLAR_OK);
    io_conn_wrote(fixture->conn);
}

/* ---- input ----------------------------------------------------------------------------------- */

static void check_pattern(struct fixture *fixture, const uint8_t *sent, size_t bytes)
{
    assert_int_equal(fixture->seen.bytes, bytes);
    assert_memory_equal(fixture->seen.data, sent, bytes);
}

static void conn_gives_messages_of_every_size_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 4096, 16384, 65537, 262144, 262145, 1048588};
    struct test_random random = {test_seed("conn")};
    uint8_t *data = cellar_mem_alloc(2 * 1048588);
    test_random_bytes(&random, data, 2 * 1048588);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        struct fixture fixture;
        size_t bytes = 2 * sizes[i];
        open_sized(&fixture, sizes[i], 64u << 20);
        peer_send(&fixture, data, bytes - 1);
        assert_int_equal(fixture.seen.bytes, sizes[i]);
        peer_send(&fixture, data + bytes - 1, 1);
        check_pattern(&fixture, data, bytes);
        assert_int_equal(io_budget_bytes(&fixture.input_budget), 0);
        close_fixture(&fixture);
    }
    cellar_mem_free(data);
}

static void conn_pauses_and_resumes_without_losing_input(void **state)
{
    (void)state;
    struct fixture fixture;
    static const uint8_t data[] = "abcdefgh";
    open_sized(&fixture, 2, 64u << 20);
    fixture.pause_after_message = IO_PAUSE_REQUESTS;
    peer_send(&fixture, data, 8);
    check_pattern(&fixture, data, 2);
    io_conn_resume(fixture.conn, IO_PAUSE_REQUESTS);
    turn(&fixture);
    check_pattern(&fixture, data, 4);
    fixture.pause_after_message = 0;
    io_conn_resume(fixture.conn, IO_PAUSE_REQUESTS);
    io_conn_resume(fixture.conn, IO_PAUSE_REQUESTS);
    turn(&fixture);
    check_pattern(&fixture, data, 8);
    peer_send(&fixture, data, 2);
    assert_int_equal(fixture.seen.bytes, 10);
    close_fixture(&fixture);
}

static void conn_waits_for_the_budget_and_goes_on(void **state)
{
    (void)state;
    struct fixture fixture;
    size_t bytes = 600000;
    uint8_t *data = cellar_mem_zalloc(1, bytes);
    open_sized(&fixture, bytes, 700000);
    io_budget_charge(&fixture.input_budget, 500000);
    size_t sent = 0;
    for (int i = 0; i < 50; i++) {
        ssize_t step = send(fixture.peer, data + sent, bytes - sent, MSG_NOSIGNAL);
        sent += step > 0 ? (size_t)step : 0;
        turn(&fixture);
    }
    assert_true(sent < bytes);
    assert_int_equal(fixture.seen.bytes, 0);
    assert_true(io_conn_is_paused(fixture.conn));
    io_budget_give(&fixture.input_budget, 500000);
    while (io_conn_is_paused(fixture.conn)) {
        io_loop_turn(fixture.loop, true);
    }
    peer_send(&fixture, data + sent, bytes - sent);
    assert_int_equal(fixture.seen.bytes, bytes);
    close_fixture(&fixture);
    cellar_mem_free(data);
}

static void conn_tells_of_a_peer_that_ended_and_can_still_answer(void **state)
{
    (void)state;
    struct fixture fixture;
    uint8_t got[8];
    open_fixture(&fixture);
    fixture.keeps_open_when_ended = true;
    assert_int_equal(send(fixture.peer, "x", 1, 0), 1);
    assert_int_equal(shutdown(fixture.peer, SHUT_WR), 0);
    turn(&fixture);
    turn(&fixture);
    turn(&fixture);
    assert_int_equal(fixture.ended_count, 1);
    append(&fixture, "ok", 2);
    turn(&fixture);
    assert_int_equal(peer_receive(&fixture, got, sizeof got), 2);
    io_conn_close(fixture.conn);
    turn(&fixture);
    assert_int_equal(fixture.closed_count, 1);
    close_fixture(&fixture);
}

/* ---- output ---------------------------------------------------------------------------------- */

static void conn_sends_once_at_the_end_of_the_turn(void **state)
{
    (void)state;
    struct fixture fixture;
    uint8_t got[16];
    open_fixture(&fixture);
    append(&fixture, "one", 3);
    append(&fixture, "two", 3);
    assert_int_equal(peer_receive(&fixture, got, sizeof got), 0);
    turn(&fixture);
    assert_int_equal(peer_receive(&fixture, got, sizeof got), 6);
    assert_memory_equal(got, "onetwo", 6);
    close_fixture(&fixture);
}

/* Appends until more waits than `bytes`, as a server would for a peer that does not read. */
static size_t fill_output(struct fixture *fixture, size_t bytes)
{
    static uint8_t block[65536];
    size_t total = 0;
    while (io_conn_output_bytes(fixture->conn) <= bytes) {
        memset(block, (int)(total / sizeof block % 251), sizeof block);
        append(fixture, block, sizeof block);
        total += sizeof block;
        turn(fixture);
    }
    return total;
}

/* Reads all that was appended and checks it. */
static void drain_output(struct fixture *fixture, size_t total)
{
    static uint8_t got[65536];
    size_t at = 0;
    for (int i = 0; at < total && i < 100000; i++) {
        size_t count = peer_receive(fixture, got, sizeof got);
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(got[j], (at + j) / 65536 % 251);
        }
        at += count;
        turn(fixture);
    }
    assert_int_equal(at, total);
}

static void conn_stops_reading_from_who_does_not_read(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    size_t total = fill_output(&fixture, IO_CONN_OUTPUT_HARD_BYTES);
    assert_true(io_conn_is_paused(fixture.conn));
    assert_false(io_conn_has_room(fixture.conn));
    assert_int_equal(send(fixture.peer, "x", 1, 0), 1);
    turn(&fixture);
    assert_int_equal(fixture.seen.bytes, 0);
    assert_true(io_budget_bytes(&fixture.output_budget) >= IO_CONN_OUTPUT_HARD_BYTES);
    drain_output(&fixture, total);
    turn(&fixture);
    assert_int_equal(fixture.writable_count, 1);
    assert_false(io_conn_is_paused(fixture.conn));
    assert_int_equal(fixture.seen.bytes, 1);
    close_fixture(&fixture);
}

static void conn_has_room_for_one_part_when_the_budget_is_spent(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    io_budget_charge(&fixture.output_budget, 64u << 20);
    assert_true(io_conn_has_room(fixture.conn));
    append(&fixture, "x", 1);
    assert_false(io_conn_has_room(fixture.conn));
    turn(&fixture);
    assert_int_equal(fixture.writable_count, 1);
    io_budget_give(&fixture.output_budget, 64u << 20);
    close_fixture(&fixture);
}

static void conn_frees_the_output_of_an_idle_peer(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct fixture fixture;
    uint8_t got[8];
    open_fixture(&fixture);
    append(&fixture, "x", 1);
    turn(&fixture);
    assert_true(io_budget_bytes(&fixture.output_budget) > 0);
    cellar_clock_fake_step(1000000);
    turn(&fixture);
    assert_int_equal(io_budget_bytes(&fixture.output_budget), 0);
    assert_int_equal(peer_receive(&fixture, got, sizeof got), 1);
    close_fixture(&fixture);
    cellar_clock_fake_off();
}

/* ---- the end --------------------------------------------------------------------------------- */

static void conn_closes_when_all_is_sent_and_the_peer_has_closed(void **state)
{
    (void)state;
    struct fixture fixture;
    uint8_t got[8];
    open_fixture(&fixture);
    append(&fixture, "bye", 3);
    io_conn_close(fixture.conn);
    io_conn_close(fixture.conn);
    assert_true(io_conn_is_paused(fixture.conn));
    assert_int_equal(io_loop_member_count(fixture.loop), 1);
    turn(&fixture);
    assert_int_equal(fixture.closed_count, 0);
    assert_int_equal(io_loop_member_count(fixture.loop), 0); /* nothing to wait for */
    assert_int_equal(send(fixture.peer, "ignored", 7, MSG_NOSIGNAL), 7);
    turn(&fixture);
    assert_int_equal(fixture.seen.bytes, 0);
    assert_int_equal(peer_receive(&fixture, got, sizeof got), 3);
    assert_true(peer_sees_end(&fixture));
    assert_int_equal(close(fixture.peer), 0);
    fixture.peer = -1;
    turn(&fixture);
    assert_int_equal(fixture.closed_count, 1);
    close_fixture(&fixture);
}

static void conn_closes_in_the_end_on_who_neither_reads_nor_closes(void **state)
{
    (void)state;
    for (int is_full = 0; is_full < 2; is_full++) {
        cellar_clock_fake_set(1000000, 1000000);
        struct fixture fixture;
        open_fixture(&fixture);
        if (is_full != 0) {
            (void)fill_output(&fixture, IO_CONN_OUTPUT_HARD_BYTES);
        }
        io_conn_close(fixture.conn);
        cellar_clock_fake_step(1000000);
        turn(&fixture);
        assert_int_equal(fixture.closed_count, 0);
        cellar_clock_fake_step(1000000);
        turn(&fixture);
        assert_int_equal(fixture.closed_count, 1);
        close_fixture(&fixture);
        cellar_clock_fake_off();
    }
}

static void conn_notices_that_the_peer_is_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    assert_int_equal(close(fixture.peer), 0);
    fixture.peer = -1;
    append(&fixture, "x", 1);
    turn(&fixture);
    turn(&fixture);
    assert_int_equal(fixture.closed_count, 1);
    close_fixture(&fixture);
}

static void conn_tells_when_its_deadline_has_passed(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct fixture fixture;
    open_fixture(&fixture);
    io_conn_deadline_set(fixture.conn, 3000000);
    cellar_clock_fake_step(1900000);
    turn(&fixture);
    assert_int_equal(fixture.expired_count, 0);
    io_conn_pause(fixture.conn, IO_PAUSE_REQUESTS);
    cellar_clock_fake_step(2000000);
    turn(&fixture);
    assert_int_equal(fixture.expired_count, 0);
    io_conn_resume(fixture.conn, IO_PAUSE_REQUESTS);
    cellar_clock_fake_step(2000000);
    turn(&fixture);
    assert_int_equal(fixture.expired_count, 1);
    close_fixture(&fixture);
    cellar_clock_fake_off();
}

static enum cellar_status make_and_feed(void *context)
{
    (void)context;
    struct fixture fixture = {.message_bytes = 4};
    io_budget_init(&fixture.input_budget, 1u << 20);
    io_budget_init(&fixture.output_budget, 1u << 20);
    enum cellar_status status = io_loop_new(&fixture.loop, NULL);
    if (status != CELLAR_OK) {
        return status;
    }
    struct io_conn_options options = {
        .loop = fixture.loop,
        .fd = -1,
        .input_budget = &fixture.input_budget,
        .output_budget = &fixture.output_budget,
        .handler = &handler,
        .context = &fixture,
    };
    fixture.conn = io_conn_new(&options);
    bool is_whole = fixture.conn != NULL;
    if (is_whole) {
        io_conn_feed(fixture.conn, cellar_slice_make("abc", 3)); /* kept: allocates */
        is_whole = !io_conn_is_paused(fixture.conn);
        io_conn_abort(fixture.conn);
        turn(&fixture);
        assert_int_equal(fixture.closed_count, 1);
    }
    io_loop_free(fixture.loop);
    return is_whole ? CELLAR_OK : CELLAR_NO_MEMORY;
}

static void conn_survives_every_failing_allocation(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(make_and_feed, NULL), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conn_gives_messages_of_every_size_whole),
        cmocka_unit_test(conn_pauses_and_resumes_without_losing_input),
        cmocka_unit_test(conn_waits_for_the_budget_and_goes_on),
        cmocka_unit_test(conn_tells_of_a_peer_that_ended_and_can_still_answer),
        cmocka_unit_test(conn_sends_once_at_the_end_of_the_turn),
        cmocka_unit_test(conn_stops_reading_from_who_does_not_read),
        cmocka_unit_test(conn_has_room_for_one_part_when_the_budget_is_spent),
        cmocka_unit_test(conn_frees_the_output_of_an_idle_peer),
        cmocka_unit_test(conn_closes_when_all_is_sent_and_the_peer_has_closed),
        cmocka_unit_test(conn_closes_in_the_end_on_who_neither_reads_nor_closes),
        cmocka_unit_test(conn_notices_that_the_peer_is_gone),
        cmocka_unit_test(conn_tells_when_its_deadline_has_passed),
        cmocka_unit_test(conn_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
