/*
 * Steps of reads on the read pool: the same bytes come as without it, whole; the loop answers
 * others meanwhile; and whatever happens to a read whose step is away, its answer comes once, and
 * its memory goes when the step is back. A gate holds the pool's one thread inside of a step.
 */
#include "tests/unit/net/session_harness.h"

#include <pthread.h>
#include <string.h>

#include "common/clock.h"
#include "common/sync.h"
#include "server/net/native/read_job.h"
#include "tests/unit/net/fake_service.h"

static struct {
    struct cellar_mutex lock;
    struct cellar_cond changed;
    pthread_t loop;   /* is never held */
    bool is_open;     /* nobody is held */
    uint32_t entered; /* steps that came to the gate on the pool */
} gate;

static void gate_pass(void)
{
    if (pthread_equal(pthread_self(), gate.loop)) {
        return;
    }
    cellar_mutex_lock(&gate.lock);
    gate.entered++;
    cellar_cond_broadcast(&gate.changed);
    while (!gate.is_open) {
        cellar_cond_wait(&gate.changed, &gate.lock);
    }
    cellar_mutex_unlock(&gate.lock);
}

/* Waits until `count` steps have ever come to the gate. */
static void gate_await(uint32_t count)
{
    cellar_mutex_lock(&gate.lock);
    while (gate.entered < count) {
        cellar_cond_wait(&gate.changed, &gate.lock);
    }
    cellar_mutex_unlock(&gate.lock);
}

static void gate_set(bool is_open)
{
    cellar_mutex_lock(&gate.lock);
    gate.is_open = is_open;
    cellar_cond_broadcast(&gate.changed);
    cellar_mutex_unlock(&gate.lock);
}

/* A server whose reads are cold. */
static void open_cold(struct harness *harness, uint64_t row_count, bool gate_is_open)
{
    fake_reset();
    fake.row_count = row_count;
    fake.value_bytes = 10;
    fake.before_next = gate_pass;
    gate.loop = pthread_self();
    gate.entered = 0;
    gate.is_open = gate_is_open;
    cellar_mutex_init(&gate.lock);
    cellar_cond_init(&gate.changed);
    harness_open_greeted(harness);
    fake.is_cold = true;
}

static void close_cold(struct harness *harness)
{
    gate_set(true);
    harness_close(harness);
    assert_int_equal(fake.open_read_count, 0);
    cellar_cond_fini(&gate.changed);
    cellar_mutex_fini(&gate.lock);
}

static void read_with(struct harness *harness, uint32_t id,
                      struct cellar_msg_read_rows_request message)
{
    message.table = cellar_slice_text("t");
    harness_request(harness, id, CELLAR_OP_READ_ROWS, &cellar_msg_read_rows_request_type, &message);
}

static void cancel(struct harness *harness, uint32_t id)
{
    struct cellar_frame frame = {.request_id = id, .kind = CELLAR_FRAME_CANCEL};
    harness_feed_frame(harness, &frame, cellar_slice_text(""));
}

/* Turns until a frame is there, which is taken. Turns wait for the pool's posts. */
static struct harness_frame await_frame(struct harness *harness)
{
    struct harness_frame frame;
    while (!harness_take(harness, &frame)) {
        io_loop_turn(harness->loop, true);
    }
    return frame;
}

/* Reads everything to the end. @param to  receives the frames' payloads. @return parts and reply */
static uint32_t read_whole(struct harness *harness, uint32_t id, struct cellar_buffer *to)
{
    uint32_t count = 0;
    struct harness_frame frame;
    read_with(harness, id, (struct cellar_msg_read_rows_request){.rows_limit = 0});
    do {
        frame = await_frame(harness);
        assert_int_equal(frame.head.request_id, id);
        assert_int_equal(cellar_buffer_append(to, frame.payload.data, frame.payload.bytes),
                         CELLAR_OK);
        count++;
    } while (frame.head.kind == CELLAR_FRAME_PART);
    assert_int_equal(frame.head.kind, CELLAR_FRAME_REPLY);
    return count;
}

static void cold_read_sends_what_a_warm_one_does(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_buffer warm = {0};
    struct cellar_buffer cold = {0};
    open_cold(&harness, 250, true);
    fake.is_empty_chunk_first = true;
    fake.is_cold = false;
    uint32_t count = read_whole(&harness, 2, &warm);
    assert_int_equal(cellar_counter_get(&harness.measures.steps_away), 0);
    fake.is_cold = true;
    assert_int_equal(read_whole(&harness, 3, &cold), count);
    assert_true(count > 2);
    assert_true(cellar_slice_equal(cellar_slice_of(&warm), cellar_slice_of(&cold)));
    assert_int_equal(gate.entered, count + 1); /* the empty chunk, too, */
    assert_int_equal(cellar_counter_get(&harness.measures.steps_away), 3); /* the last two in one */
    cellar_buffer_fini(&warm);
    cellar_buffer_fini(&cold);
    close_cold(&harness);
}

static void cold_part_of_several_frames_arrives_whole(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_buffer bytes = {0};
    open_cold(&harness, 1, true);
    fake.value_bytes = 3000000;
    assert_true(read_whole(&harness, 2, &bytes) > 0);
    struct harness_frame frame = {.head = {.has_more = true}};
    while (frame.head.has_more) {
        assert_true(harness_take(&harness, &frame));
        assert_int_equal(cellar_buffer_append(&bytes, frame.payload.data, frame.payload.bytes),
                         CELLAR_OK);
    }
    assert_true(bytes.bytes > 3000000);
    cellar_buffer_fini(&bytes);
    close_cold(&harness);
}

static void loop_answers_others_while_a_cold_read_is_held(void **state)
{
    (void)state;
    struct harness harness;
    open_cold(&harness, 1, false);
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.rows_limit = 1});
    gate_await(1);
    harness_turn(&harness); /* a new one, which is not late, however long that took */
    harness_expect_nothing(&harness);
    fake.is_cold = false;
    read_with(&harness, 3, (struct cellar_msg_read_rows_request){.rows_limit = 1});
    (void)harness_expect(&harness, 3, CELLAR_FRAME_REPLY);
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    gate_set(true);
    assert_int_equal(await_frame(&harness).head.request_id, 2);
    close_cold(&harness);
}

static void cold_read_without_credit_waits_for_it(void **state)
{
    (void)state;
    struct harness harness;
    open_cold(&harness, 250, true);
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.credit_bytes = 1});
    assert_int_equal(await_frame(&harness).head.kind, CELLAR_FRAME_PART);
    harness_turn(&harness);
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    assert_int_equal(gate.entered, 1);
    struct cellar_msg_credit message = {.bytes = 1000000};
    struct cellar_buffer body = {0};
    struct cellar_frame frame = {.request_id = 2, .kind = CELLAR_FRAME_CREDIT};
    assert_int_equal(cellar_message_encode(&cellar_msg_credit_type, &message, &body), CELLAR_OK);
    harness_feed_frame(&harness, &frame, cellar_slice_of(&body));
    harness_feed_frame(&harness, &frame, cellar_slice_of(&body)); /* while a step is away */
    cellar_buffer_fini(&body);
    assert_int_equal(await_frame(&harness).head.kind, CELLAR_FRAME_PART);
    assert_int_equal(await_frame(&harness).head.kind, CELLAR_FRAME_REPLY);
    close_cold(&harness);
}

static void cold_read_is_cancelled_while_it_is_away(void **state)
{
    (void)state;
    struct harness harness;
    open_cold(&harness, 1, false);
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.rows_limit = 1});
    gate_await(1);
    cancel(&harness, 2);
    harness_expect_error(&harness, 2, CELLAR_CANCELLED, "");
    assert_int_equal(fake.open_read_count, 1);
    harness_turn(&harness);
    fake.is_cold = false;
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.rows_limit = 1});
    (void)harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    gate_set(true);
    while (fake.open_read_count > 0) {
        io_loop_turn(harness.loop, true);
    }
    harness_expect_nothing(&harness);
    close_cold(&harness);
}

static void cold_read_meets_its_time_limit_while_it_is_away(void **state)
{
    (void)state;
    struct harness harness;
    cellar_clock_fake_set(1000000, 1000000);
    open_cold(&harness, 1, false);
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.timeout_us = 500000});
    gate_await(1);
    cellar_clock_fake_step(2000000);
    harness_turn(&harness);
    harness_expect_error(&harness, 2, CELLAR_DEADLINE_EXCEEDED, "time limit");
    close_cold(&harness);
    cellar_clock_fake_off();
}

static void cold_read_outlives_its_connection(void **state)
{
    (void)state;
    struct harness harness;
    open_cold(&harness, 250, false);
    for (uint32_t id = 2; id < 40; id++) { /* running, queued, waiting */
        read_with(&harness, id, (struct cellar_msg_read_rows_request){.rows_limit = 0});
    }
    gate_await(1);
    io_conn_abort(harness.conn);
    io_loop_turn(harness.loop, false);
    assert_int_equal(fake.open_read_count, NET_READ_JOB_COUNT_MAX);
    assert_true(io_budget_bytes(&harness.request_budget) > 0);
    close_cold(&harness);
}

static void cold_read_that_fails_is_answered_with_why(void **state)
{
    (void)state;
    struct harness harness;
    open_cold(&harness, 250, true);
    fake.fail_at_row = 220;
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.rows_limit = 0});
    assert_int_equal(await_frame(&harness).head.kind, CELLAR_FRAME_PART);
    assert_int_equal(await_frame(&harness).head.kind, CELLAR_FRAME_PART);
    assert_int_equal(await_frame(&harness).head.kind, CELLAR_FRAME_ERROR);
    harness_expect_nothing(&harness);
    close_cold(&harness);
}

/* More than the connection may have away, so that some wait for others to come back. */
static void cold_reads_beyond_the_bound_take_turns(void **state)
{
    (void)state;
    struct harness harness;
    bool is_answered[100] = {false};
    open_cold(&harness, 1, false);
    for (uint32_t id = 2; id < 100; id++) {
        read_with(&harness, id, (struct cellar_msg_read_rows_request){.rows_limit = 1});
    }
    gate_await(1);
    assert_int_equal(cellar_counter_get(&harness.measures.steps_away), NET_READ_JOB_COUNT_MAX);
    gate_set(true);
    for (uint32_t count = 2; count < 100; count++) {
        struct harness_frame frame = await_frame(&harness);
        assert_int_equal(frame.head.kind, CELLAR_FRAME_REPLY);
        assert_true(frame.head.request_id < 100 && !is_answered[frame.head.request_id]);
        is_answered[frame.head.request_id] = true;
        fake.is_cold = count % 3 != 0; /* some turn warm while they wait */
    }
    close_cold(&harness);
}

struct filler {
    struct io_task task;
};

static void run_filler(struct io_task *task)
{
    assert_non_null(task);
    gate_pass();
}

static void cold_read_waits_for_a_place_in_a_full_pool(void **state)
{
    (void)state;
    struct harness harness;
    struct filler fillers[HARNESS_READ_TASK_COUNT_MAX + 1];
    open_cold(&harness, 1, false);
    for (uint32_t i = 0; i <= HARNESS_READ_TASK_COUNT_MAX; i++) {
        fillers[i].task.run = run_filler;
        assert_int_equal(io_pool_submit(harness.read_pool, &fillers[i].task), CELLAR_OK);
        gate_await(1); /* the first one runs, the others wait */
    }
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.rows_limit = 1});
    assert_int_equal(cellar_counter_get(&harness.measures.steps_away), 0);
    gate_set(true);
    assert_int_equal(await_frame(&harness).head.kind, CELLAR_FRAME_REPLY);
    assert_int_equal(cellar_counter_get(&harness.measures.steps_away), 1);
    close_cold(&harness);
}

/* The bytes of a get, made beforehand: only the server's allocations are to fail. */
static void get_encode(struct cellar_buffer *to)
{
    struct cellar_msg_read_rows_request message = {.table = cellar_slice_text("t"),
                                                   .rows_limit = 1};
    struct cellar_frame frame = {
        .request_id = 2, .operation = CELLAR_OP_READ_ROWS, .kind = CELLAR_FRAME_REQUEST};
    struct cellar_buffer body = {0};
    assert_int_equal(cellar_message_encode(&cellar_msg_read_rows_request_type, &message, &body),
                     CELLAR_OK);
    assert_int_equal(cellar_frame_append(to, &frame, cellar_slice_of(&body)), CELLAR_OK);
    cellar_buffer_fini(&body);
}

/* Each failure is answered, or ends the connection, or is made up for, and leaves nothing. */
static void cold_read_survives_a_failing_allocation(void **state)
{
    (void)state;
    bool was_met = true;
    struct cellar_buffer request = {0};
    get_encode(&request);
    for (int64_t countdown = 0; was_met; countdown++) {
        struct harness harness;
        struct harness_frame frame = {.head = {.request_id = 0}};
        open_cold(&harness, 1, true);
        (void)cellar_mem_fail_at(countdown);
        harness_feed(&harness, request.data, request.bytes);
        while (io_loop_member_count(harness.loop) > 0 && !harness_take(&harness, &frame)) {
            io_loop_turn(harness.loop, true);
        }
        was_met = cellar_mem_fail_at(-1);
        assert_true(was_met || frame.head.kind == CELLAR_FRAME_REPLY);
        close_cold(&harness);
        assert_true(countdown < 100);
    }
    cellar_buffer_fini(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cold_read_sends_what_a_warm_one_does),
        cmocka_unit_test(cold_part_of_several_frames_arrives_whole),
        cmocka_unit_test(loop_answers_others_while_a_cold_read_is_held),
        cmocka_unit_test(cold_read_without_credit_waits_for_it),
        cmocka_unit_test(cold_read_is_cancelled_while_it_is_away),
        cmocka_unit_test(cold_read_meets_its_time_limit_while_it_is_away),
        cmocka_unit_test(cold_read_outlives_its_connection),
        cmocka_unit_test(cold_read_that_fails_is_answered_with_why),
        cmocka_unit_test(cold_reads_beyond_the_bound_take_turns),
        cmocka_unit_test(cold_read_waits_for_a_place_in_a_full_pool),
        cmocka_unit_test(cold_read_survives_a_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"
