/*
 * gate: waits end when they are woken, when their time is over, and when the client's interrupt_fd
 * can be read, also without a descriptor to be had; and so do the waits of futures, of submissions
 * for room, and of writers, against a peer that never answers.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/lib/gate.h"
#include "client/lib/writer.h"
#include "common/clock.h"

#define TEXT(text) cellar_text(text)
#define LONG_US INT64_C(300000000)

/* ---- gates ----------------------------------------------------------------------------------- */

/* A flag that threads wait for. */
struct flag {
    struct cellar_mutex lock;
    struct cellar_gate gate;
    bool is_set;
    int fds[2]; /* the interrupt's pipe */
    unsigned woken_count;
    unsigned interrupted_count;
};

static void flag_open(struct flag *flag, bool has_fd)
{
    memset(flag, 0, sizeof *flag);
    assert_int_equal(pipe(flag->fds), 0);
    cellar_mutex_init(&flag->lock);
    cellar_gate_init(&flag->gate, has_fd ? flag->fds[0] : 0);
}

static void flag_close(struct flag *flag)
{
    cellar_gate_fini(&flag->gate);
    cellar_mutex_fini(&flag->lock);
    (void)close(flag->fds[0]);
    (void)close(flag->fds[1]);
}

/* Waits for the flag, or as long as it may. */
static enum cellar_gate_end flag_wait(struct flag *flag, int64_t deadline_us)
{
    enum cellar_gate_end end = CELLAR_GATE_WOKEN;
    struct cellar_gate_waiter waiter = {.wake_fd = -1};
    cellar_mutex_lock(&flag->lock);
    while (!flag->is_set && end == CELLAR_GATE_WOKEN) {
        end = cellar_gate_wait(&flag->gate, &flag->lock, &waiter, deadline_us);
    }
    cellar_gate_leave(&flag->gate, &waiter);
    flag->woken_count += flag->is_set ? 1u : 0u;
    flag->interrupted_count += end == CELLAR_GATE_INTERRUPTED ? 1u : 0u;
    cellar_mutex_unlock(&flag->lock);
    return end;
}

static void *waiter_main(void *argument)
{
    (void)flag_wait(argument, INT64_MAX);
    return NULL;
}

static void flag_set(struct flag *flag)
{
    cellar_mutex_lock(&flag->lock);
    flag->is_set = true;
    cellar_gate_broadcast(&flag->gate);
    cellar_mutex_unlock(&flag->lock);
}

/* Has some threads wait and then sets the flag or interrupts them. */
static void threads_wait(struct flag *flag, bool interrupts)
{
    pthread_t threads[4];
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, waiter_main, flag), 0);
    }
    if (interrupts) {
        assert_int_equal(write(flag->fds[1], "x", 1), 1);
    } else {
        flag_set(flag);
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_null(flag->gate.waiters);
    assert_int_equal(flag->woken_count, interrupts ? 0 : 4);
    assert_int_equal(flag->interrupted_count, interrupts ? 4 : 0);
}

/* The number that the next descriptor gets. */
static int fd_next(void)
{
    int fd = dup(0);
    assert_true(fd >= 0);
    (void)close(fd);
    return fd;
}

static void waits_end_when_they_are_woken_or_interrupted(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        struct flag flag;
        flag_open(&flag, round > 0);
        int next = fd_next();
        threads_wait(&flag, round == 2);
        assert_int_equal(fd_next(), next); /* every waiter's descriptor is closed */
        flag_close(&flag);
    }
}

static void waits_end_in_time(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        struct flag flag;
        flag_open(&flag, round > 0);
        assert_int_equal(flag_wait(&flag, cellar_clock_monotonic_us() + 2000), CELLAR_GATE_LATE);
        assert_int_equal(flag_wait(&flag, 0), CELLAR_GATE_LATE);
        flag_close(&flag);
    }
}

static void an_interrupt_counts_before_a_wake_up_and_is_heeded_where_wanted(void **state)
{
    (void)state;
    struct flag flag;
    struct cellar_gate_waiter waiter = {.wake_fd = -1};
    flag_open(&flag, true);
    assert_int_equal(write(flag.fds[1], "x", 1), 1);
    cellar_mutex_lock(&flag.lock);
    assert_int_equal(cellar_gate_wait(&flag.gate, &flag.lock, &waiter, INT64_MAX),
                     CELLAR_GATE_INTERRUPTED);
    cellar_gate_broadcast(&flag.gate);
    cellar_gate_broadcast(&flag.gate);
    assert_true(waiter.is_woken);
    assert_int_equal(cellar_gate_wait(&flag.gate, &flag.lock, &waiter, INT64_MAX),
                     CELLAR_GATE_INTERRUPTED);
    cellar_gate_leave(&flag.gate, &waiter);
    cellar_gate_leave(&flag.gate, &waiter); /* it is out already */
    cellar_mutex_unlock(&flag.lock);
    flag_close(&flag);
    flag_open(&flag, false);
    assert_int_equal(write(flag.fds[1], "x", 1), 1);
    assert_int_equal(flag_wait(&flag, cellar_clock_monotonic_us() + 2000), CELLAR_GATE_LATE);
    flag_close(&flag);
}

static void without_a_descriptor_to_be_had_waits_end_as_well(void **state)
{
    (void)state;
    struct flag flag;
    struct rlimit before;
    flag_open(&flag, true);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(dup(0), -1);
    enum cellar_gate_end late = flag_wait(&flag, cellar_clock_monotonic_us() + 50000);
    threads_wait(&flag, true);
    flag.interrupted_count = 0;
    char byte;
    assert_int_equal(read(flag.fds[0], &byte, 1), 1);
    threads_wait(&flag, false);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(late, CELLAR_GATE_LATE);
    flag_close(&flag);
}

/* ---- what waits at gates --------------------------------------------------------------------- */

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct fake_request request = {0};
    (void)peer;
    (void)index;
    while (fake_receive(fd, &request)) { /* nothing is answered */
    }
    fake_request_fini(&request);
}

struct rig {
    struct fake_peer peer;
    struct cellar_client *client;
    struct cellar_mutations *list;
    int fds[2]; /* the interrupt's pipe */
};

static void rig_open(struct rig *rig)
{
    rig->peer = (struct fake_peer){.serve = serve};
    assert_int_equal(pipe(rig->fds), 0);
    fake_peer_start(&rig->peer);
    struct cellar_options options = {.timeout_us = LONG_US,
                                     .submit_connections_max = 1,
                                     .submit_calls_max = 1,
                                     .interrupt_fd = rig->fds[0]};
    rig->client = fake_peer_client(&rig->peer, &options);
    rig->list = cellar_mutations_new();
    cellar_mutations_set_at(rig->list, "f", TEXT("q"), 1000, TEXT("v"));
}

static void rig_close(struct rig *rig)
{
    cellar_client_close(rig->client);
    fake_peer_stop(&rig->peer);
    cellar_mutations_free(rig->list);
    (void)close(rig->fds[0]);
    (void)close(rig->fds[1]);
}

static void interrupt(struct rig *rig)
{
    assert_int_equal(write(rig->fds[1], "x", 1), 1);
}

static void interrupt_drain(struct rig *rig)
{
    char byte;
    assert_int_equal(read(rig->fds[0], &byte, 1), 1);
}

static void *interrupt_main(void *argument)
{
    CELLAR_ASSERT(write(((struct rig *)argument)->fds[1], "x", 1) == 1);
    return NULL;
}

static void an_interrupt_ends_the_wait_for_a_future_but_not_its_call(void **state)
{
    (void)state;
    struct rig rig;
    pthread_t thread;
    struct cellar_future *future = NULL;
    rig_open(&rig);
    assert_int_equal(cellar_get_row_submit(rig.client, "t", TEXT("r"), NULL, &future), CELLAR_E_OK);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_main, &rig), 0);
    assert_false(cellar_future_wait(future, -1)); /* now, or while it waits */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(cellar_future_wait(future, LONG_US));
    assert_false(cellar_future_done(future));
    interrupt_drain(&rig);
    assert_false(cellar_future_wait(future, 1000));
    cellar_future_cancel(future);
    assert_true(cellar_future_wait(future, -1));
    assert_int_equal(cellar_future_result(future, NULL), CELLAR_E_CANCELLED);
    interrupt(&rig);
    assert_true(cellar_future_wait(future, -1)); /* there is nothing to wait for */
    cellar_future_free(future);
    rig_close(&rig);
}

static void an_interrupt_ends_the_wait_for_room(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_future *held = NULL;
    struct cellar_future *future = NULL;
    struct cellar_submit waits = {.waits_for_room = true};
    rig_open(&rig);
    assert_int_equal(cellar_get_row_submit(rig.client, "t", TEXT("r"), NULL, &held), CELLAR_E_OK);
    interrupt(&rig);
    assert_int_equal(cellar_ping_submit(rig.client, &waits, &future), CELLAR_E_CANCELLED);
    assert_non_null(strstr(waits.failure.text, "Interrupted while waiting for room"));
    assert_null(future);
    cellar_future_free(held);
    rig_close(&rig);
}

static void result_take(void *context, const struct cellar_written *written)
{
    *(enum cellar_code *)context = written->failure->code;
}

static void an_interrupt_ends_the_waits_of_a_writer(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_writer *writer = NULL;
    struct cellar_call call = {0};
    enum cellar_code code = CELLAR_E_OK;
    /* Room for one row and a half. */
    struct cellar_writer_options options = {.done = result_take,
                                            .context = &code,
                                            .pending_bytes_max =
                                                sizeof(struct cellar_writer_row) * 3 / 2};
    rig_open(&rig);
    assert_int_equal(cellar_writer_open(rig.client, &options, NULL, &writer), CELLAR_E_OK);
    assert_int_equal(cellar_writer_add(writer, "t", TEXT("r"), rig.list, NULL, NULL), CELLAR_E_OK);
    interrupt(&rig);
    assert_int_equal(cellar_writer_add(writer, "t", TEXT("s"), rig.list, NULL, &call),
                     CELLAR_E_CANCELLED);
    assert_non_null(strstr(call.failure.text, "Interrupted while waiting for room"));
    assert_int_equal(cellar_writer_flush(writer, &call), CELLAR_E_CANCELLED);
    assert_non_null(strstr(call.failure.text, "Interrupted before every row"));
    assert_int_equal(code, CELLAR_E_OK); /* the row goes on, */
    (void)cellar_writer_close(writer, &call);
    assert_true(code == CELLAR_E_CANCELLED || code == CELLAR_E_OUTCOME_UNKNOWN); /* until now */
    assert_int_equal(call.failure.code, code);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_end_when_they_are_woken_or_interrupted),
        cmocka_unit_test(waits_end_in_time),
        cmocka_unit_test(an_interrupt_counts_before_a_wake_up_and_is_heeded_where_wanted),
        cmocka_unit_test(without_a_descriptor_to_be_had_waits_end_as_well),
        cmocka_unit_test(an_interrupt_ends_the_wait_for_a_future_but_not_its_call),
        cmocka_unit_test(an_interrupt_ends_the_wait_for_room),
        cmocka_unit_test(an_interrupt_ends_the_waits_of_a_writer),
    };
    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
