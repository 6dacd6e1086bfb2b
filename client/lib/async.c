/*
 * Where submitting threads and the driver meet.
 *
 *     submit --> admission --> inbox --wake--> driver's turn: inbox -> core -> sockets
 *                   |                                            |
 *                   +<-- room <-- finish <-- outcomes <----------+
 *
 * The driver is the client's own thread (async_thread.c) or the program's loop; both call the same
 * three functions. Only the driver touches the core and the sockets. Everybody else leaves calls
 * and tasks in the inbox, under the lock, and wakes the driver unless it was woken already.
 * Outcomes are given without the lock, so that callbacks may submit.
 *
 * Admission bounds the calls without an outcome, in number and in bytes. The first call always
 * finds room, so that one larger than all of it can be sent.
 *
 *     NEW --first call--> RUNNING (own thread) --close--> STOPPED
 *      \---attach-------> RUNNING (a loop) ----detach---> STOPPED
 */

#include "client/lib/async.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/async_thread.h"
#include "client/lib/gate.h"
#include "common/clock.h"
#include "common/mem.h"

#define CLIENT_NAME "libcellar " CELLAR_VERSION_TEXT
#define DIAL_US_MAX INT64_C(10000000)
#define ROUNDS_MAX                                                                                 \
    8u /* of one turn: callbacks that submit must not keep the loop to themselves                  \
        */

static_assert(CELLAR_SUBMIT_CONNECTIONS_MAX == CELLAR_CORE_LINES_MAX, "the option is the core's");

struct cellar_async {
    struct cellar_client *client;
    struct cellar_async_thread *thread; /* NULL: a loop of the program's drives */
    struct cellar_peers peers;          /* the driver's */
    struct cellar_mutex lock;
    struct cellar_gate room; /* broadcast when calls ended */
    struct cellar_async_list inbox CELLAR_GUARDED_BY(lock);
    struct cellar_async_task *tasks CELLAR_GUARDED_BY(lock); /* the newest first */
    uint32_t call_count CELLAR_GUARDED_BY(lock);             /* let in, without an outcome */
    uint64_t call_bytes CELLAR_GUARDED_BY(lock);
    bool is_woken CELLAR_GUARDED_BY(lock);
    bool is_stopped CELLAR_GUARDED_BY(lock);
    bool has_driver CELLAR_GUARDED_BY(lock); /* `inside` is set */
    bool is_inside CELLAR_GUARDED_BY(lock);  /* the driver runs, on this thread: */
    pthread_t inside CELLAR_GUARDED_BY(lock);
    struct cellar_health health CELLAR_GUARDED_BY(lock); /* without ages and the pool */
    int64_t failure_us CELLAR_GUARDED_BY(lock);          /* 0 = none */
};

/* ---- the driver's side --------------------------------------------------------------------- */

/* Notes whether callbacks may be running, and on which thread. The thread is noted each time: a
 * program may run its loop on another thread later. */
static void inside_set(struct cellar_async *async, bool is_inside)
{
    cellar_mutex_lock(&async->lock);
    CELLAR_ASSERT(async->is_inside != is_inside);
    async->is_inside = is_inside;
    async->has_driver = true;
    async->inside = pthread_self();
    cellar_mutex_unlock(&async->lock);
}

bool cellar_async_is_inside(struct cellar_async *async)
{
    cellar_mutex_lock(&async->lock);
    bool is_inside = async->is_inside && pthread_equal(async->inside, pthread_self()) != 0;
    cellar_mutex_unlock(&async->lock);
    CELLAR_ASSERT(async->client != NULL);
    return is_inside;
}

bool cellar_async_is_driver(struct cellar_async *async)
{
    cellar_mutex_lock(&async->lock);
    bool is_driver = async->has_driver && pthread_equal(async->inside, pthread_self()) != 0;
    cellar_mutex_unlock(&async->lock);
    CELLAR_ASSERT(async->client != NULL);
    return is_driver;
}

/* Takes what others left; false when there was nothing. The lock is held for the moves of three
 * pointers. Calls keep their order; tasks were pushed in front and are turned around. */
static bool inbox_take(struct cellar_async *async, int64_t now_us)
{
    struct cellar_async_call *call;
    cellar_mutex_lock(&async->lock);
    struct cellar_async_list inbox = async->inbox;
    struct cellar_async_task *newest = async->tasks;
    async->inbox = (struct cellar_async_list){NULL, NULL};
    async->tasks = NULL;
    async->is_woken = false;
    cellar_mutex_unlock(&async->lock);
    bool has_any = inbox.first != NULL || newest != NULL;
    while ((call = cellar_async_take(&inbox)) != NULL) {
        cellar_core_add(&async->peers.home.core, call, now_us);
    }
    struct cellar_async_task *oldest = NULL;
    while (newest != NULL) {
        struct cellar_async_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct cellar_async_task *task = oldest;
        oldest = task->next;
        CELLAR_ASSERT(task->run != NULL);
        task->next = NULL;
        task->run(task, &async->peers.home.core, now_us);
    }
    return has_any;
}

/* Gives outcomes to whom they concern; false when there were none. Room is given back before the
 * callback, so that it can submit the next call at once. */
static bool outcomes_give(struct cellar_async *async)
{
    struct cellar_async_call *call;
    bool has_any = false;
    while ((call = cellar_peers_finished(&async->peers)) != NULL) {
        cellar_mutex_lock(&async->lock);
        if (call->charged_bytes > 0) {
            CELLAR_ASSERT(async->call_count > 0 && async->call_bytes >= call->charged_bytes);
            async->call_count--;
            async->call_bytes -= call->charged_bytes;
            cellar_gate_broadcast(&async->room);
        }
        cellar_mutex_unlock(&async->lock);
        call->kind->finish(call);
        has_any = true;
    }
    return has_any;
}

/* Adds a core's figures up. */
static void health_add(struct cellar_health *seen, const struct cellar_core *core)
{
    uint32_t in_flight_count = 0;
    for (uint32_t index = 0; index < core->line_count; index++) {
        const struct cellar_line *line = &core->lines[index];
        in_flight_count += line->call_count;
        seen->connection_count +=
            line->state == CELLAR_LINE_UP && line->engine.state == CELLAR_ENGINE_OPEN ? 1u : 0u;
    }
    CELLAR_ASSERT(core->call_count >= in_flight_count);
    seen->in_flight_count += in_flight_count;
    seen->waiting_count += core->call_count - in_flight_count;
}

/* Copies the cores' figures, and the newest failure, to where others can read them. Once a turn
 * rather than when somebody asks: cellar_client_health() then needs no driver, and works while the
 * driver is stuck in a callback. */
static void health_note(struct cellar_async *async)
{
    const struct cellar_async_io *io;
    const struct cellar_async_io *failed = &async->peers.home;
    struct cellar_health seen = {.in_flight_count = 0};
    char where[CELLAR_FAILURE_WHERE_BYTES];
    uint32_t at = 0;
    while ((io = cellar_peers_next(&async->peers, &at)) != NULL) {
        health_add(&seen, &io->core);
        failed = io->core.last_failure_us > failed->core.last_failure_us ? io : failed;
    }
    (void)snprintf(where, sizeof where, "%s port %s", failed->address.host, failed->address.port);
    cellar_mutex_lock(&async->lock);
    async->health.connection_count = seen.connection_count;
    async->health.in_flight_count = seen.in_flight_count;
    async->health.waiting_count = seen.waiting_count;
    if (failed->core.last_failure_us > async->failure_us) {
        CELLAR_ASSERT(failed->core.last_failure.code != CELLAR_OK);
        async->failure_us = failed->core.last_failure_us;
        cellar_failure_fill(&async->health.last_failure, &failed->core.last_failure,
                            failed == &async->peers.home ? async->client->endpoint : where);
    }
    cellar_mutex_unlock(&async->lock);
}

/* One turn of the driver. Callbacks submit new calls, which are taken in the same turn, a few
 * rounds long; then the loop gets its turn, with a timer of 0 that brings us back. */
static void driver_turn(void *context)
{
    struct cellar_async *async = context;
    bool has_more = true;
    inside_set(async, true);
    for (unsigned round = 0; round < ROUNDS_MAX && has_more; round++) {
        int64_t now_us = cellar_clock_monotonic_us();
        bool has_new = inbox_take(async, now_us);
        cellar_peers_turn(&async->peers, now_us);
        has_more = outcomes_give(async) || has_new;
    }
    health_note(async);
    int64_t next_us = has_more ? 0 : cellar_peers_next_us(&async->peers);
    int64_t now_us = cellar_clock_monotonic_us();
    int64_t delay_us = next_us == INT64_MAX ? -1 : CELLAR_MAX(next_us - now_us, INT64_C(0));
    CELLAR_ASSERT(delay_us >= -1);
    async->peers.home.loop.timer(async->peers.home.loop.context, delay_us);
    inside_set(async, false);
}

/* A socket is ready. Only moves bytes; outcomes are given in the turn that follows. */
static void driver_ready(void *context, int fd, int events)
{
    struct cellar_async *async = context;
    CELLAR_ASSERT((events & ~(CELLAR_LOOP_READ | CELLAR_LOOP_WRITE)) == 0);
    inside_set(async, true);
    cellar_peers_ready(&async->peers, fd, cellar_clock_monotonic_us());
    inside_set(async, false);
}

/* The driver's last call: everything ends. Every call has exactly one outcome, also now: those that
 * come while outcomes are given are refused by is_stopped, so the loop ends. */
static void driver_stop(void *context)
{
    struct cellar_async *async = context;
    int64_t now_us = cellar_clock_monotonic_us();
    inside_set(async, true);
    cellar_mutex_lock(&async->lock);
    CELLAR_ASSERT(!async->is_stopped);
    async->is_stopped = true; /* from here on the inbox gets nothing more */
    cellar_gate_broadcast(&async->room);
    cellar_mutex_unlock(&async->lock);
    bool has_more = true;
    while (has_more) {
        has_more = inbox_take(async, now_us);
        cellar_peers_stop(&async->peers, now_us);
        has_more = outcomes_give(async) || has_more;
    }
    health_note(async);
    async->peers.home.loop.timer(async->peers.home.loop.context, -1);
    inside_set(async, false);
}

/* For a close on the driver's own thread, outside of callbacks: runs a task as a turn would, and
 * gives what it brought about. */
void cellar_async_here(struct cellar_async *async, struct cellar_async_task *task)
{
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(!cellar_async_is_inside(async));
    inside_set(async, true);
    (void)inbox_take(async, now_us);
    task->run(task, &async->peers.home.core, now_us);
    while (outcomes_give(async)) {
        cellar_core_turn(&async->peers.home.core, now_us);
    }
    inside_set(async, false);
}

/* ---- making and ending --------------------------------------------------------------------- */

/* Makes the shared part for a loop. The driver's thread counts as the one that attached, until its
 * first turn tells better. */
static enum cellar_status async_init(struct cellar_async *async, struct cellar_client *client,
                                     const struct cellar_loop *loop) CELLAR_NO_THREAD_SAFETY
{
    struct cellar_core_terms terms = {.client_name = CLIENT_NAME,
                                      .lines_max = client->submit_connections_max,
                                      .dial_us_max = DIAL_US_MAX,
                                      .seed = cellar_client_random(client)};
    CELLAR_ASSERT(async->client == NULL);
    CELLAR_TRY(cellar_peers_init(&async->peers, client, &terms, loop));
    async->client = client;
    async->inside = pthread_self(); /* a loop's; the client's own thread says so itself */
    async->has_driver = async->thread == NULL;
    cellar_mutex_init(&async->lock);
    cellar_gate_init(&async->room, client->pool.address.interrupt_fd);
    return CELLAR_OK;
}

/* Frees it; it is stopped, or never ran. */
static void async_free(struct cellar_async *async) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(async->inbox.first == NULL && async->tasks == NULL);
    cellar_peers_fini(&async->peers);
    cellar_gate_fini(&async->room);
    cellar_mutex_fini(&async->lock);
    cellar_mem_free(async);
}

/* Makes a half that its own thread drives. The thread starts last, when all that it touches is
 * there. */
static enum cellar_status async_new(struct cellar_client *client, struct cellar_async **async)
{
    struct cellar_loop loop;
    struct cellar_async *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return CELLAR_NO_MEMORY;
    }
    struct cellar_async_driven driven = {
        .context = made, .ready = driver_ready, .turn = driver_turn, .stop = driver_stop};
    CELLAR_ASSERT(client != NULL);
    enum cellar_status status = cellar_async_thread_new(&driven, &made->thread, &loop);
    if (status == CELLAR_OK) {
        status = async_init(made, client, &loop);
    }
    if (status != CELLAR_OK) {
        cellar_async_thread_free(made->thread);
        cellar_mem_free(made);
        return status;
    }
    status = cellar_async_thread_start(made->thread);
    if (status != CELLAR_OK) {
        cellar_async_thread_free(made->thread);
        async_free(made);
        return status;
    }
    *async = made;
    return CELLAR_OK;
}

/* What cellar_client_close() calls: ends everything and frees it. The client knows this as a
 * function pointer only, so that the synchronous half needs nothing of this one. */
static void async_close(struct cellar_async *async) CELLAR_NO_THREAD_SAFETY
{
    cellar_async_thread_free(async->thread);
    if (!async->is_stopped) {
        driver_stop(async); /* a loop that was not let go of before */
    }
    CELLAR_ASSERT(!async->is_inside);
    async_free(async);
}

/* Under a lock of the client, held over the making: of two first calls one makes it and both use
 * it. */
enum cellar_status cellar_async_get(struct cellar_client *client, struct cellar_async **async,
                                    struct cellar_error *error)
{
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(client != NULL);
    cellar_mutex_lock(&client->async_lock);
    if (client->async == NULL) {
        /* Once for each client; who comes meanwhile needs it too. */
        status = async_new(client, &client->async);
        client->async_close = async_close;
    }
    *async = client->async;
    cellar_mutex_unlock(&client->async_lock);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "No memory or thread for submitted calls");
    }
    return CELLAR_OK;
}

/* ---- the other side ------------------------------------------------------------------------ */

/* Whether there is room for one more call. */
static bool has_room(const struct cellar_async *async, uint64_t bytes) CELLAR_REQUIRES(async->lock)
{
    CELLAR_ASSERT(bytes > 0);
    return async->call_count == 0 || (async->call_count < async->client->submit_calls_max &&
                                      async->call_bytes < async->client->submit_bytes_max &&
                                      bytes <= async->client->submit_bytes_max - async->call_bytes);
}

/* Waits for room as long as the call's time allows, or does not. A stopped driver lets everybody
 * through; cellar_async_submit() then says CANCELLED, which is the truth, rather than that there
 * was no room. */
static enum cellar_status room_wait(struct cellar_async *async,
                                    const struct cellar_async_call *call, bool waits,
                                    struct cellar_error *error) CELLAR_REQUIRES(async->lock)
{
    bool is_inside = async->is_inside && pthread_equal(async->inside, pthread_self()) != 0;
    enum cellar_gate_end end = CELLAR_GATE_WOKEN;
    struct cellar_gate_waiter waiter = {.wake_fd = -1};
    CELLAR_ASSERT(call->charged_bytes > 0);
    while (waits && !is_inside && end == CELLAR_GATE_WOKEN && !async->is_stopped &&
           !has_room(async, call->charged_bytes)) {
        end = cellar_gate_wait(&async->room, &async->lock, &waiter, call->retry.deadline_us);
    }
    cellar_gate_leave(&async->room, &waiter);
    if (async->is_stopped || has_room(async, call->charged_bytes)) {
        return CELLAR_OK;
    }
    if (end == CELLAR_GATE_INTERRUPTED) {
        return cellar_error_set(error, CELLAR_CANCELLED,
                                "Interrupted while waiting for room; not sent");
    }
    return cellar_error_set(
        error, end == CELLAR_GATE_WOKEN ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_DEADLINE_EXCEEDED,
        "Too much is submitted and has no outcome yet: %u calls of "
        "submit_calls_max %u, %llu bytes of submit_bytes_max %llu; not sent",
        async->call_count, async->client->submit_calls_max, (unsigned long long)async->call_bytes,
        (unsigned long long)async->client->submit_bytes_max);
}

/* Wakes the driver unless it was woken already; after the lock was let go. The wake-up is a system
 * call, so it is made without the lock and once for a burst. */
static void wake_after(struct cellar_async *async, bool was_woken)
{
    CELLAR_ASSERT(async->peers.home.loop.wake != NULL);
    if (!was_woken) {
        async->peers.home.loop.wake(async->peers.home.loop.context);
    }
}

/* On success the call is the driver's until its finish(); on failure it is still the caller's. */
enum cellar_status cellar_async_submit(struct cellar_async *async, struct cellar_async_call *call,
                                       struct cellar_async_admission admission,
                                       struct cellar_error *error)
{
    bool was_woken = true;
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(call->place == CELLAR_ASYNC_NEW && call->charged_bytes == 0);
    cellar_mutex_lock(&async->lock);
    if (!admission.is_free) {
        call->charged_bytes = call->body.bytes;
        status = room_wait(async, call, admission.waits_for_room, error);
    }
    if (status == CELLAR_OK && async->is_stopped) {
        status = cellar_error_set(error, CELLAR_CANCELLED, "The client is being closed");
    }
    if (status == CELLAR_OK) {
        async->call_count += admission.is_free ? 0u : 1u;
        async->call_bytes += call->charged_bytes;
        cellar_async_append(&async->inbox, call);
        was_woken = async->is_woken;
        async->is_woken = true;
    }
    cellar_mutex_unlock(&async->lock);
    wake_after(async, was_woken);
    return status;
}

/* Tasks pass the admission: they carry no bytes, and their owners have at most one each. */
bool cellar_async_post(struct cellar_async *async, struct cellar_async_task *task)
{
    bool was_woken = true;
    CELLAR_ASSERT(task->next == NULL && task->run != NULL);
    cellar_mutex_lock(&async->lock);
    bool is_taken = !async->is_stopped;
    if (is_taken) {
        task->next = async->tasks;
        async->tasks = task;
        was_woken = async->is_woken;
        async->is_woken = true;
    }
    cellar_mutex_unlock(&async->lock);
    wake_after(async, was_woken);
    return is_taken;
}

void cellar_async_where(const struct cellar_async *async, const char *operation,
                        char where[CELLAR_FAILURE_WHERE_BYTES])
{
    CELLAR_ASSERT(operation != NULL);
    (void)snprintf(where, CELLAR_FAILURE_WHERE_BYTES, "%.32s at %s", operation,
                   async->client->endpoint);
}

/* ---- public -------------------------------------------------------------------------------- */

/* Never blocks for long and opens nothing: for a program's own health page. */
void cellar_client_health(struct cellar_client *client, struct cellar_health *health)
{
    CELLAR_ASSERT(client != NULL && health != NULL);
    memset(health, 0, sizeof *health);
    health->failure_age_us = -1;
    cellar_mutex_lock(&client->async_lock);
    struct cellar_async *async = client->async;
    cellar_mutex_unlock(&client->async_lock);
    if (async != NULL) {
        cellar_mutex_lock(&async->lock);
        *health = async->health;
        int64_t age_us = cellar_clock_monotonic_us() - async->failure_us;
        health->failure_age_us = async->failure_us == 0 ? -1 : CELLAR_MAX(age_us, INT64_C(0));
        cellar_mutex_unlock(&async->lock);
    }
    health->pool_connection_count = cellar_pool_open_count(&client->pool);
}

/* Made outside of the lock and given up when another was faster: a loop must be there before the
 * first call, as calls do not move. */
enum cellar_code cellar_loop_attach(struct cellar_client *client, const struct cellar_loop *loop,
                                    struct cellar_call *call)
{
    struct cellar_error error;
    CELLAR_ASSERT(client != NULL && loop != NULL);
    cellar_error_clear(&error);
    struct cellar_async *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL || async_init(made, client, loop) != CELLAR_OK) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for submitted calls");
        cellar_mem_free(made);
        return cellar_client_finish(client, "attach", call, &error);
    }
    cellar_mutex_lock(&client->async_lock);
    if (client->async == NULL) {
        client->async = made;
        client->async_close = async_close;
        made = NULL;
    }
    cellar_mutex_unlock(&client->async_lock);
    if (made != NULL) {
        async_free(made);
        (void)cellar_error_set(&error, CELLAR_FAILED_PRECONDITION,
                               "A loop must be attached before the first call is submitted, once");
    }
    return cellar_client_finish(client, "attach", call, &error);
}

/* The half that a loop drives. */
static struct cellar_async *attached(struct cellar_client *client)
{
    cellar_mutex_lock(&client->async_lock);
    struct cellar_async *async = client->async;
    cellar_mutex_unlock(&client->async_lock);
    CELLAR_ASSERT(async != NULL && async->thread == NULL);
    return async;
}

void cellar_loop_ready(struct cellar_client *client, int fd, int events)
{
    struct cellar_async *async = attached(client);
    CELLAR_ASSERT(fd >= 0);
    driver_ready(async, fd, events);
    driver_turn(async);
}

void cellar_loop_turn(struct cellar_client *client)
{
    struct cellar_async *async = attached(client);
    CELLAR_ASSERT(client != NULL);
    if (!cellar_async_is_inside(async)) { /* else it is in a turn already */
        driver_turn(async);
    }
}

void cellar_loop_detach(struct cellar_client *client)
{
    struct cellar_async *async = attached(client);
    CELLAR_ASSERT(!cellar_async_is_inside(async));
    cellar_mutex_lock(&async->lock);
    bool is_stopped = async->is_stopped;
    cellar_mutex_unlock(&async->lock);
    if (!is_stopped) {
        driver_stop(async);
    }
}
