/*
 * The libevent adapter against a whole server in the process: callbacks come on the loop's thread,
 * calls of other threads wake it, deadlines pass with nobody answering, a writer works, and
 * detaching ends what is under way. The test's own thread runs the loop.
 */
#include "tests/support/loopback.h"

#include <arpa/inet.h>
#include <cellar/libevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lib/peers.h"

/* What the client may ask the loop for must fit into the public struct. */
static_assert(CELLAR_LIBEVENT_SOCKETS_MAX >= CELLAR_PEERS_SOCKETS_MAX, "every socket has a place");

#define LONG_US INT64_C(300000000)
#define TEXT(text) cellar_text(text)

struct rig {
    struct event_base *base;
    struct cellar_client *client;
    struct cellar_libevent loop;
    pthread_t thread; /* that runs the loop */
    struct cellar_mutations *list;
    unsigned wanted; /* outcomes until the loop is left */
    unsigned count;
    unsigned failed_count;
    enum cellar_code last;
};

static void rig_open(struct rig *rig, struct cellar_client *client)
{
    struct cellar_call call = {0};
    memset(rig, 0, sizeof *rig);
    rig->thread = pthread_self();
    rig->base = event_base_new();
    assert_non_null(rig->base);
    rig->client = client;
    rig->list = cellar_mutations_new();
    cellar_mutations_set_at(rig->list, "f", TEXT("q"), 1000, TEXT("v"));
    if (cellar_libevent_attach(&rig->loop, client, rig->base, &call) != CELLAR_E_OK) {
        fail_msg("%s", call.failure.text);
    }
}

static void rig_close(struct rig *rig)
{
    cellar_libevent_detach(&rig->loop);
    cellar_client_close(rig->client);
    event_base_free(rig->base);
    cellar_mutations_free(rig->list);
}

static void outcome_count(struct rig *rig, enum cellar_code code)
{
    CELLAR_ASSERT(pthread_equal(rig->thread, pthread_self()) != 0);
    rig->last = code;
    rig->failed_count += code == CELLAR_E_OK ? 0u : 1u;
    if (++rig->count == rig->wanted) {
        (void)event_base_loopbreak(rig->base);
    }
}

static void call_done(void *context, struct cellar_future *future)
{
    outcome_count(context, cellar_future_result(future, NULL));
}

static void row_done(void *context, const struct cellar_written *written)
{
    outcome_count(context, written->failure->code);
}

/* Runs the loop until so many outcomes have come. */
static void rig_run(struct rig *rig, unsigned wanted)
{
    rig->wanted = rig->count + wanted;
    assert_int_equal(event_base_dispatch(rig->base), 0);
    assert_int_equal(rig->count, rig->wanted);
}

static void set_submit(struct rig *rig, const char *key, int64_t timeout_us)
{
    struct cellar_submit submit = {.timeout_us = timeout_us, .done = call_done, .context = rig};
    enum cellar_code code =
        cellar_mutate_row_submit(rig->client, "t", TEXT(key), rig->list, &submit, NULL);
    CELLAR_ASSERT(code == CELLAR_E_OK);
}

static void callbacks_come_on_the_thread_of_the_loop(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_health health;
    rig_open(&rig, loopback_client(&loopback_group));
    for (unsigned i = 0; i < 500; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%03u", i);
        set_submit(&rig, key, LONG_US);
    }
    rig_run(&rig, 500);
    assert_int_equal(rig.failed_count, 0);
    cellar_client_health(rig.client, &health);
    assert_in_range(health.connection_count, 1, 2);
    /* And again, over connections that are there. */
    set_submit(&rig, "again", LONG_US);
    rig_run(&rig, 1);
    assert_int_equal(rig.failed_count, 0);
    rig_close(&rig);
}

static void *other_main(void *argument)
{
    struct rig *rig = argument;
    for (unsigned i = 0; i < 100; i++) {
        set_submit(rig, "other", LONG_US);
    }
    return NULL;
}

static void other_threads_wake_the_loop(void **state)
{
    (void)state;
    struct rig rig;
    pthread_t other;
    rig_open(&rig, loopback_client(&loopback_group));
    assert_int_equal(pthread_create(&other, NULL, other_main, &rig), 0);
    rig_run(&rig, 100);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(rig.failed_count, 0);
    rig_close(&rig);
}

static void a_writer_works_on_the_loop_and_is_closed_there(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_writer *writer = NULL;
    rig_open(&rig, loopback_client(&loopback_group));
    struct cellar_writer_options options = {
        .done = row_done, .context = &rig, .timeout_us = LONG_US, .rows_max = 10};
    assert_int_equal(cellar_writer_open(rig.client, &options, NULL, &writer), CELLAR_E_OK);
    for (unsigned i = 0; i < 105; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "w%03u", i);
        assert_int_equal(cellar_writer_add(writer, "t", TEXT(key), rig.list, NULL, NULL),
                         CELLAR_E_OK);
    }
    rig_run(&rig, 105);
    assert_int_equal(rig.failed_count, 0);
    assert_int_equal(cellar_writer_flush(writer, NULL), CELLAR_E_FAILED_PRECONDITION);
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_OK);
    /* One that has rows without a result is not waited for: they are cancelled. */
    rig.count = 0;
    assert_int_equal(cellar_writer_open(rig.client, &options, NULL, &writer), CELLAR_E_OK);
    assert_int_equal(cellar_writer_add(writer, "t", TEXT("w"), rig.list, NULL, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_writer_close(writer, NULL), CELLAR_E_CANCELLED);
    assert_int_equal(rig.count, 1);
    rig_close(&rig);
}

/* A socket that listens and never answers. */
static int silent_open(char endpoint[32])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &address_bytes), 0);
    (void)snprintf(endpoint, 32, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return fd;
}

static void deadlines_pass_and_detaching_ends_the_rest(void **state)
{
    (void)state;
    struct rig rig;
    char endpoint[32];
    struct cellar_client *client = NULL;
    int fd = silent_open(endpoint);
    struct cellar_options options = {.endpoint = endpoint};
    assert_int_equal(cellar_client_open(&options, NULL, &client), CELLAR_E_OK);
    rig_open(&rig, client);
    set_submit(&rig, "late", 10000);
    rig_run(&rig, 1);
    assert_int_equal(rig.last, CELLAR_E_DEADLINE_EXCEEDED);
    set_submit(&rig, "rest", LONG_US);
    assert_int_equal(event_base_loop(rig.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
    assert_int_equal(rig.count, 1);
    rig_close(&rig);
    assert_int_equal(rig.count, 2);
    assert_int_equal(rig.last, CELLAR_E_CANCELLED);
    (void)close(fd);
}

static void a_loop_comes_first_and_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_libevent second;
    struct cellar_call call = {0};
    struct cellar_client *client = loopback_client(&loopback_group);
    struct cellar_future *future = NULL;
    rig_open(&rig, client);
    assert_int_equal(cellar_libevent_attach(&second, client, rig.base, &call),
                     CELLAR_E_FAILED_PRECONDITION);
    assert_non_null(strstr(call.failure.text, "before the first call"));
    rig_close(&rig);
    client = loopback_client(&loopback_group);
    struct event_base *base = event_base_new();
    assert_int_equal(cellar_ping_submit(client, NULL, &future), CELLAR_E_OK);
    assert_int_equal(cellar_libevent_attach(&second, client, base, NULL),
                     CELLAR_E_FAILED_PRECONDITION);
    assert_true(cellar_future_wait(future, -1));
    cellar_future_free(future);
    cellar_client_close(client);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_come_on_the_thread_of_the_loop),
        cmocka_unit_test(other_threads_wake_the_loop),
        cmocka_unit_test(a_writer_works_on_the_loop_and_is_closed_there),
        cmocka_unit_test(deadlines_pass_and_detaching_ends_the_rest),
        cmocka_unit_test(a_loop_comes_first_and_alone),
    };
    return cmocka_run_group_tests_name("libevent", tests, loopback_group_open,
                                       loopback_group_close);
}
