/*
 * pool: connections are used again, never more than the maximum, waited for until the deadline, and
 * dropped when they are dead. The peer answers PING until the client closes.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/pool.h"
#include "common/clock.h"

#define SOON_US 60000000

static _Atomic bool is_peer_silent; /* it reads and does not answer */
static _Atomic unsigned ping_count;

/* Serves each connection in a thread, so that several are open at once. */
struct served {
    struct fake_peer *peer;
    int fd;
};

static void *answer_pings(void *argument)
{
    struct served *served = argument;
    struct fake_request request = {0};
    while (fake_receive(served->fd, &request)) {
        ping_count++;
        if (!is_peer_silent) {
            fake_reply_empty(served->fd, &request);
        }
    }
    fake_request_fini(&request);
    (void)close(served->fd);
    free(served);
    return NULL;
}

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    pthread_t thread;
    struct served *served = malloc(sizeof *served);
    (void)index;
    CELLAR_ASSERT(served != NULL);
    *served = (struct served){.peer = peer, .fd = dup(fd)};
    int error = pthread_create(&thread, NULL, answer_pings, served);
    CELLAR_ASSERT(error == 0);
    pthread_t *threads = peer->context;
    CELLAR_ASSERT(index < 32);
    threads[index] = thread;
}

struct stage {
    struct fake_peer peer;
    pthread_t threads[32];
    struct cellar_pool pool;
};

static void stage_open(struct stage *stage, uint32_t connections_max)
{
    struct cellar_address address;
    is_peer_silent = false;
    ping_count = 0;
    stage->peer = (struct fake_peer){.serve = serve, .context = stage->threads};
    fake_peer_start(&stage->peer);
    assert_int_equal(cellar_address_decode(stage->peer.endpoint, &address, NULL), CELLAR_OK);
    assert_int_equal(cellar_pool_init(&stage->pool, &address, connections_max), CELLAR_OK);
}

static void stage_close(struct stage *stage)
{
    cellar_pool_fini(&stage->pool);
    fake_peer_stop(&stage->peer);
    for (unsigned index = 0; index < stage->peer.connection_count; index++) {
        assert_int_equal(pthread_join(stage->threads[index], NULL), 0);
    }
}

static struct cellar_sync *take(struct stage *stage, bool is_fresh)
{
    struct cellar_sync *sync = NULL;
    struct cellar_error error;
    if (cellar_pool_take(&stage->pool, is_fresh, cellar_clock_monotonic_us() + SOON_US, &sync,
                         &error) != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
    return sync;
}

/* Whether the pool holds so many connections; no other thread uses it. */
static bool holds(const struct cellar_pool *pool, uint32_t idle_count, uint32_t open_count)
    CELLAR_NO_THREAD_SAFETY
{
    return pool->idle_count == idle_count && pool->open_count == open_count;
}

static void the_connection_used_last_is_used_next(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, 4);
    struct cellar_sync *first = take(&stage, false);
    struct cellar_sync *second = take(&stage, false);
    assert_ptr_not_equal(first, second);
    cellar_pool_return(&stage.pool, first);
    cellar_pool_return(&stage.pool, second);
    assert_ptr_equal(take(&stage, false), second);
    assert_ptr_equal(take(&stage, false), first);
    cellar_pool_return(&stage.pool, first);
    cellar_pool_return(&stage.pool, second);
    stage_close(&stage);
    assert_int_equal(stage.peer.connection_count, 2);
}

static void the_maximum_is_waited_for_until_the_deadline(void **state)
{
    (void)state;
    struct stage stage;
    struct cellar_sync *other = NULL;
    struct cellar_error error;
    stage_open(&stage, 1);
    struct cellar_sync *only = take(&stage, false);
    assert_int_equal(
        cellar_pool_take(&stage.pool, false, cellar_clock_monotonic_us() + 10000, &other, &error),
        CELLAR_DEADLINE_EXCEEDED);
    assert_non_null(strstr(error.text, "All 1 connections"));
    cellar_pool_return(&stage.pool, only);
    assert_ptr_equal(take(&stage, false), only);
    cellar_pool_return(&stage.pool, only);
    stage_close(&stage);
}

static void a_fresh_connection_replaces_the_idle_ones(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, 2);
    struct cellar_sync *first = take(&stage, false);
    struct cellar_sync *second = take(&stage, false);
    cellar_pool_return(&stage.pool, first);
    cellar_pool_return(&stage.pool, second);
    struct cellar_sync *fresh = take(&stage, true);
    assert_true(holds(&stage.pool, 0, 1));
    cellar_pool_return(&stage.pool, fresh);
    stage_close(&stage);
    assert_int_equal(stage.peer.connection_count, 3);
}

static void a_connection_in_the_middle_of_something_is_closed(void **state)
{
    (void)state;
    struct stage stage;
    uint32_t id;
    stage_open(&stage, 2);
    struct cellar_sync *sync = take(&stage, false);
    assert_int_equal(cellar_engine_submit(cellar_sync_engine(sync), CELLAR_OP_PING,
                                          cellar_slice_make("\x80", 1), &id, NULL),
                     CELLAR_OK);
    cellar_pool_return(&stage.pool, sync);
    assert_true(holds(&stage.pool, 0, 0));
    stage_close(&stage);
}

static void a_connection_that_was_idle_for_long_is_asked_first(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, 2);
    struct cellar_sync *sync = take(&stage, false);
    cellar_pool_return(&stage.pool, sync);
    assert_ptr_equal(take(&stage, false), sync);
    cellar_pool_return(&stage.pool, sync);
    assert_int_equal(ping_count, 0); /* it was used just now */
    stage.pool.probe_after_us = 0;
    assert_ptr_equal(take(&stage, false), sync);
    assert_int_equal(ping_count, 1);
    cellar_pool_return(&stage.pool, sync);
    stage_close(&stage);
}

static void one_that_stays_silent_is_replaced_with_all_others(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, 3);
    stage.pool.probe_after_us = 0;
    struct cellar_sync *idle[] = {take(&stage, false), take(&stage, false), take(&stage, false)};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(idle); index++) {
        cellar_pool_return(&stage.pool, idle[index]);
    }
    is_peer_silent = true;
    struct cellar_sync *fresh = take(&stage, false);
    assert_true(holds(&stage.pool, 0, 1));
    cellar_pool_return(&stage.pool, fresh);
    stage_close(&stage);
    assert_int_equal(stage.peer.connection_count, 4);
    assert_int_equal(ping_count, 1);
}

static void asking_leaves_half_of_the_time(void **state)
{
    (void)state;
    struct stage stage;
    struct cellar_sync *sync = NULL;
    stage_open(&stage, 1);
    stage.pool.probe_after_us = 0;
    cellar_pool_return(&stage.pool, take(&stage, false));
    is_peer_silent = true;
    int64_t deadline_us = cellar_clock_monotonic_us() + 800000;
    enum cellar_status status = cellar_pool_take(&stage.pool, false, deadline_us, &sync, NULL);
    /* Only a machine that stood still for 400 ms is late. */
    assert_true(status == CELLAR_OK || cellar_clock_monotonic_us() >= deadline_us);
    if (status == CELLAR_OK) {
        cellar_pool_return(&stage.pool, sync);
    }
    stage_close(&stage);
}

/* One of several threads that want a connection more often than there are any. */
static void *taker(void *argument)
{
    struct stage *stage = argument;
    for (int count = 0; count < 200; count++) {
        struct cellar_sync *sync = NULL;
        struct cellar_event event;
        uint32_t id;
        enum cellar_status status = cellar_pool_take(
            &stage->pool, false, cellar_clock_monotonic_us() + SOON_US, &sync, NULL);
        CELLAR_ASSERT(status == CELLAR_OK);
        status = cellar_engine_submit(cellar_sync_engine(sync), CELLAR_OP_PING,
                                      cellar_slice_make("\x80", 1), &id, NULL);
        CELLAR_ASSERT(status == CELLAR_OK);
        status = cellar_sync_wait(sync, cellar_clock_monotonic_us() + SOON_US, &event, NULL);
        CELLAR_ASSERT(status == CELLAR_OK && event.request_id == id);
        cellar_pool_return(&stage->pool, sync);
    }
    return NULL;
}

static void many_threads_share_few_connections(void **state)
{
    (void)state;
    struct stage stage;
    pthread_t threads[6];
    stage_open(&stage, 3);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(threads); index++) {
        assert_int_equal(pthread_create(&threads[index], NULL, taker, &stage), 0);
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(threads); index++) {
        assert_int_equal(pthread_join(threads[index], NULL), 0);
    }
    stage_close(&stage);
    assert_in_range(stage.peer.connection_count, 1, 3);
}

static void a_failed_connect_gives_its_place_back(void **state)
{
    (void)state;
    struct stage stage;
    struct cellar_sync *sync = NULL;
    struct cellar_error error;
    stage_open(&stage, 1);
    fake_peer_stop(&stage.peer);
    for (int count = 0; count < 3; count++) {
        assert_int_equal(cellar_pool_take(&stage.pool, false, cellar_clock_monotonic_us() + SOON_US,
                                          &sync, &error),
                         CELLAR_UNAVAILABLE);
    }
    assert_true(holds(&stage.pool, 0, 0));
    cellar_pool_fini(&stage.pool);
}

static enum cellar_status init(void *context)
{
    struct cellar_pool pool;
    enum cellar_status status = cellar_pool_init(&pool, context, 4);
    if (status == CELLAR_OK) {
        cellar_pool_fini(&pool);
    }
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    struct cellar_address address = {.host = "localhost", .port = "1"};
    assert_int_equal(test_out_of_memory_loop(init, &address), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_connection_used_last_is_used_next),
        cmocka_unit_test(the_maximum_is_waited_for_until_the_deadline),
        cmocka_unit_test(a_fresh_connection_replaces_the_idle_ones),
        cmocka_unit_test(a_connection_in_the_middle_of_something_is_closed),
        cmocka_unit_test(a_connection_that_was_idle_for_long_is_asked_first),
        cmocka_unit_test(one_that_stays_silent_is_replaced_with_all_others),
        cmocka_unit_test(asking_leaves_half_of_the_time),
        cmocka_unit_test(many_threads_share_few_connections),
        cmocka_unit_test(a_failed_connect_gives_its_place_back),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
