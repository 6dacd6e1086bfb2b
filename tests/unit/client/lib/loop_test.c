/*
 * cellar_loop_attach(): submitted calls and a writer on a loop of the test's own, a few lines
 * around poll(). Everything but the peer runs on the test's thread, so that allocations of the
 * driver's side can be made to fail one by one: whatever fails, each call and each row has one
 * outcome.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#define TEXT(text) cellar_text(text)
#define WATCH_MAX 32u

/* ---- a loop ---------------------------------------------------------------------------------- */

struct loop {
    struct cellar_client *client;
    struct pollfd entries[WATCH_MAX];
    nfds_t count;
    int64_t timer_us; /* < 0 = none */
    bool is_woken;
    unsigned watch_failure; /* the n-th watch fails; 0 = none */
};

static bool loop_watch(void *context, int fd, int events)
{
    struct loop *loop = context;
    nfds_t at = 0;
    while (at < loop->count && loop->entries[at].fd != fd) {
        at++;
    }
    if (events == 0) {
        assert_true(at < loop->count); /* only what is watched is forgotten */
        loop->entries[at] = loop->entries[--loop->count];
        return true;
    }
    if (loop->watch_failure > 0 && --loop->watch_failure == 0) {
        return false;
    }
    assert_true(at < WATCH_MAX);
    loop->entries[at] =
        (struct pollfd){.fd = fd,
                        .events = (short)(((events & CELLAR_LOOP_READ) != 0 ? POLLIN : 0) |
                                          ((events & CELLAR_LOOP_WRITE) != 0 ? POLLOUT : 0))};
    loop->count = CELLAR_MAX(loop->count, at + 1);
    return true;
}

static void loop_timer(void *context, int64_t delay_us)
{
    struct loop *loop = context;
    loop->timer_us = delay_us < 0 ? -1 : cellar_clock_monotonic_us() + delay_us;
}

static void loop_wake(void *context)
{
    struct loop *loop = context;
    loop->is_woken = true;
}

static void loop_attach(struct loop *loop, struct cellar_client *client)
{
    struct cellar_loop asked = {
        .context = loop, .watch = loop_watch, .timer = loop_timer, .wake = loop_wake};
    memset(loop, 0, sizeof *loop);
    loop->timer_us = -1;
    loop->client = client;
    assert_int_equal(cellar_loop_attach(client, &asked, NULL), CELLAR_E_OK);
}

/* One turn: what was asked for since the last one, then a wait for sockets or the timer. */
static void loop_turn(struct loop *loop)
{
    struct pollfd ready[WATCH_MAX];
    int wait_ms = -1;
    if (loop->is_woken || (loop->timer_us >= 0 && loop->timer_us <= cellar_clock_monotonic_us())) {
        loop->is_woken = false;
        cellar_loop_turn(loop->client);
        return;
    }
    if (loop->timer_us >= 0) {
        int64_t left_us = loop->timer_us - cellar_clock_monotonic_us();
        wait_ms = left_us < 0 ? 0 : (int)CELLAR_MIN(left_us / 1000 + 1, INT64_C(1000));
    }
    nfds_t count = loop->count;
    assert_true(count > 0 || wait_ms >= 0); /* else nothing would ever happen again */
    int found = poll(loop->entries, count, wait_ms);
    memcpy(ready, loop->entries, sizeof ready);
    for (nfds_t at = 0; found > 0 && at < count; at++) {
        if (ready[at].revents != 0) {
            cellar_loop_ready(loop->client, ready[at].fd, CELLAR_LOOP_READ | CELLAR_LOOP_WRITE);
        }
    }
}

/* ---- what is driven -------------------------------------------------------------------------- */

struct rig {
    struct fake_peer peer;
    struct cellar_client *client;
    struct loop loop;
    struct cellar_mutations *list;
    struct cellar_mutations *removal;
    unsigned outcome_count;
    enum cellar_code codes[16];
};

/* Answers reads with one row, one-row writes with nothing, and two-row writes with two results. */
static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct fake_request request = {0};
    (void)peer;
    (void)index;
    while (fake_receive(fd, &request)) {
        if (request.frame.kind != CELLAR_FRAME_REQUEST) {
            continue;
        }
        if (request.frame.operation == CELLAR_OP_READ_ROWS) {
            fake_rows(fd, &request, &(struct fake_part){.number = 0, .key = "a"});
            fake_rows(fd, &request, &(struct fake_part){.number = 1, .key = "b", .is_last = true});
        } else if (request.frame.operation == CELLAR_OP_MUTATE_ROWS) {
            struct cellar_msg_mutate_rows_request message;
            enum cellar_status status = cellar_message_decode(
                &cellar_msg_mutate_rows_request_type, cellar_slice_of(&request.body), &message,
                CELLAR_UNKNOWN_REFUSE, NULL);
            CELLAR_ASSERT(status == CELLAR_OK);
            bool is_one = message.entries.data[0] == 0x91; /* an array of one */
            fake_send(fd, &request, CELLAR_FRAME_REPLY,
                      is_one ? cellar_slice_make("\x81\x01\x91\x00", 4)
                             : cellar_slice_make("\x81\x01\x92\x00\x00", 5));
        } else {
            fake_reply_empty(fd, &request);
        }
    }
    fake_request_fini(&request);
}

static void rig_open(struct rig *rig)
{
    struct cellar_options options = {.submit_connections_max = 1, .connect_attempts_max = 50};
    memset(rig, 0, sizeof *rig);
    rig->peer = (struct fake_peer){.serve = serve, .context = rig};
    fake_peer_start(&rig->peer);
    rig->client = fake_peer_client(&rig->peer, &options);
    rig->list = cellar_mutations_new();
    cellar_mutations_set_at(rig->list, "f", TEXT("q"), 1000, TEXT("v"));
    rig->removal = cellar_mutations_new();
    cellar_mutations_delete_row(rig->removal);
    loop_attach(&rig->loop, rig->client);
}

static void rig_close(struct rig *rig)
{
    cellar_loop_detach(rig->client);
    assert_int_equal(rig->loop.count, 0);
    cellar_client_close(rig->client);
    fake_peer_stop(&rig->peer);
    cellar_mutations_free(rig->list);
    cellar_mutations_free(rig->removal);
}

static void call_done(void *context, struct cellar_future *future)
{
    struct rig *rig = context;
    assert_true(rig->outcome_count < CELLAR_ARRAY_COUNT(rig->codes));
    rig->codes[rig->outcome_count++] = cellar_future_result(future, NULL);
}

static void row_done(void *context, const struct cellar_written *written)
{
    struct rig *rig = context;
    assert_true(rig->outcome_count < CELLAR_ARRAY_COUNT(rig->codes));
    rig->codes[rig->outcome_count++] = written->failure->code;
}

/* Submits a write and a get, and adds three rows, two of one key. */
static void work_submit(struct rig *rig, struct cellar_writer **writer)
{
    struct cellar_submit submit = {.done = call_done, .context = rig};
    struct cellar_writer_options options = {.done = row_done, .context = rig, .delay_us_max = 1};
    assert_int_equal(
        cellar_mutate_row_submit(rig->client, "t", TEXT("r"), rig->list, &submit, NULL),
        CELLAR_E_OK);
    assert_int_equal(cellar_get_row_submit(rig->client, "t", TEXT("r"), &submit, NULL),
                     CELLAR_E_OK);
    assert_int_equal(cellar_writer_open(rig->client, &options, NULL, writer), CELLAR_E_OK);
    assert_int_equal(cellar_writer_add(*writer, "t", TEXT("x"), rig->list, NULL, NULL),
                     CELLAR_E_OK);
    assert_int_equal(cellar_writer_add(*writer, "t", TEXT("x"), rig->removal, NULL, NULL),
                     CELLAR_E_OK);
    assert_int_equal(cellar_writer_add(*writer, "t", TEXT("y"), rig->removal, NULL, NULL),
                     CELLAR_E_OK);
}

static void a_programs_own_loop_drives_calls_and_writers(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_writer *writer = NULL;
    rig_open(&rig);
    work_submit(&rig, &writer);
    assert_int_equal(rig.outcome_count, 0); /* nothing from inside the submitting calls */
    while (rig.outcome_count < 5) {
        loop_turn(&rig.loop);
    }
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_OK);
    rig_close(&rig);
    assert_int_equal(rig.outcome_count, 5);
}

static void without_memory_every_call_and_row_has_one_outcome(void **state)
{
    (void)state;
    bool was_met = true;
    unsigned failed_count = 0;
    int64_t n = 0;
    for (; was_met; n++) {
        struct rig rig;
        struct cellar_writer *writer = NULL;
        rig_open(&rig);
        work_submit(&rig, &writer);
        (void)cellar_mem_fail_at(n);
        while (rig.outcome_count < 5) {
            loop_turn(&rig.loop);
        }
        was_met = cellar_mem_fail_at(-1);
        for (unsigned i = 0; i < 5; i++) {
            assert_true(rig.codes[i] == CELLAR_E_OK || rig.codes[i] == CELLAR_E_NO_MEMORY);
            failed_count += rig.codes[i] == CELLAR_E_OK ? 0u : 1u;
        }
        (void)cellar_writer_close(writer, NULL);
        rig_close(&rig);
        assert_int_equal(rig.outcome_count, 5);
    }
    assert_true(n > 10 && failed_count > 5);
}

static void a_loop_that_cannot_watch_breaks_the_connection_only(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 3; n++) {
        struct rig rig;
        struct cellar_submit submit = {.done = call_done, .context = &rig};
        rig_open(&rig);
        rig.loop.watch_failure = n;
        assert_int_equal(
            cellar_mutate_row_submit(rig.client, "t", TEXT("r"), rig.list, &submit, NULL),
            CELLAR_E_OK);
        while (rig.outcome_count < 1) {
            loop_turn(&rig.loop);
        }
        assert_true(rig.codes[0] == CELLAR_E_OK || rig.codes[0] == CELLAR_E_NO_MEMORY);
        assert_int_equal(
            cellar_mutate_row_submit(rig.client, "t", TEXT("r"), rig.list, &submit, NULL),
            CELLAR_E_OK);
        while (rig.outcome_count < 2) {
            loop_turn(&rig.loop);
        }
        assert_int_equal(rig.codes[1], CELLAR_E_OK);
        rig_close(&rig);
    }
}

static void what_is_detached_takes_nothing_more_and_ends_the_rest(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_writer *writer = NULL;
    struct cellar_submit submit = {.done = call_done, .context = &rig};
    rig_open(&rig);
    work_submit(&rig, &writer);
    cellar_loop_detach(rig.client);
    assert_int_equal(rig.outcome_count, 2); /* rows are the writer's to end */
    assert_int_equal(cellar_mutate_row_submit(rig.client, "t", TEXT("r"), rig.list, &submit, NULL),
                     CELLAR_E_CANCELLED);
    assert_int_equal(cellar_writer_add(writer, "t", TEXT("z"), rig.list, NULL, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_CANCELLED);
    assert_int_equal(rig.outcome_count, 6);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_programs_own_loop_drives_calls_and_writers),
        cmocka_unit_test(without_memory_every_call_and_row_has_one_outcome),
        cmocka_unit_test(a_loop_that_cannot_watch_breaks_the_connection_only),
        cmocka_unit_test(what_is_detached_takes_nothing_more_and_ends_the_rest),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
