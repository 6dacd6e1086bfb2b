/*
 * The event loop: the order inside a turn, posts from other threads, the put-off queues, members
 * and their clock. Turns are run by the test itself; only the posting and the stopping have
 * threads.
 */
#include "tests/support/support.h"

#include <pthread.h>
#include <string.h>

#include "common/clock.h"
#include "server/io/loop.h"

/* What ran, as one letter each. */
struct trace {
    char text[64];
    size_t count;
};

struct step {
    struct io_task task;
    struct io_work work;
    struct trace *trace;
    struct io_loop *loop;
    char letter;
    struct step *next; /* put off by this one */
};

static void note(struct step *step)
{
    if (step->trace->count < sizeof step->trace->text - 1) {
        step->trace->text[step->trace->count++] = step->letter;
    }
    if (step->next != NULL) {
        io_loop_run_later(step->loop, &step->next->work);
    }
}

static void run_task(struct io_task *task)
{
    note(CELLAR_CONTAINER_OF(task, struct step, task));
}

static void run_work(struct io_work *work)
{
    note(CELLAR_CONTAINER_OF(work, struct step, work));
}

static void step_init(struct step *step, struct io_loop *loop, struct trace *trace, char letter)
{
    memset(step, 0, sizeof *step);
    step->task.run = run_task;
    io_work_init(&step->work, run_work);
    step->trace = trace;
    step->loop = loop;
    step->letter = letter;
}

static struct io_loop *make_loop(void)
{
    struct cellar_error error;
    struct io_loop *loop = NULL;
    assert_int_equal(io_loop_new(&loop, &error), CELLAR_OK);
    return loop;
}

static void loop_runs_posts_then_put_off_work_then_the_end(void **state)
{
    (void)state;
    struct io_loop *loop = make_loop();
    struct trace trace = {.count = 0};
    struct step steps[5];
    for (size_t i = 0; i < 5; i++) {
        step_init(&steps[i], loop, &trace, (char)('a' + i));
    }
    io_loop_run_at_end(loop, &steps[4].work);
    io_loop_run_later(loop, &steps[2].work);
    io_loop_run_later(loop, &steps[2].work); /* once */
    io_loop_run_later(loop, &steps[3].work);
    io_loop_post(loop, &steps[0].task);
    io_loop_post(loop, &steps[1].task);
    io_loop_turn(loop, true);
    assert_string_equal(trace.text, "abcde");
    io_loop_turn(loop, false);
    assert_int_equal(trace.count, 5);
    io_loop_free(loop);
}

static void loop_keeps_work_that_work_puts_off_for_the_next_turn(void **state)
{
    (void)state;
    struct io_loop *loop = make_loop();
    struct trace trace = {.count = 0};
    struct step first;
    struct step second;
    step_init(&first, loop, &trace, 'a');
    step_init(&second, loop, &trace, 'b');
    first.next = &second;
    io_loop_run_later(loop, &first.work);
    io_loop_turn(loop, true);
    assert_string_equal(trace.text, "a");
    assert_true(io_work_is_queued(&second.work));
    io_loop_turn(loop, true);
    assert_string_equal(trace.text, "ab");
    io_loop_run_later(loop, &second.work);
    io_work_cancel(&second.work);
    io_loop_turn(loop, false);
    assert_string_equal(trace.text, "ab");
    io_loop_free(loop);
}

/* Work that takes longer than a turn may. */
static void run_slow(struct io_work *work)
{
    cellar_clock_fake_step(20000);
    run_work(work);
}

static void loop_ends_a_late_turn_and_goes_on_where_it_was(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct io_loop *loop = make_loop();
    struct trace trace = {.count = 0};
    struct step steps[3];
    for (size_t i = 0; i < 3; i++) {
        step_init(&steps[i], loop, &trace, (char)('a' + i));
        steps[i].work.run = run_slow;
        io_loop_run_later(loop, &steps[i].work);
    }
    assert_false(io_loop_is_late(loop));
    io_loop_turn(loop, true);
    assert_string_equal(trace.text, "a");
    io_loop_turn(loop, true);
    io_loop_turn(loop, true);
    io_loop_turn(loop, true);
    assert_string_equal(trace.text, "abc");
    io_loop_free(loop);
    cellar_clock_fake_off();
}

struct member {
    struct io_member base;
    struct io_loop *loop;
    int tick_count;
    int drain_count;
    int stop_count;
    bool leaves;
};

static void on_tick(struct io_member *base, int64_t now_us)
{
    struct member *member = CELLAR_CONTAINER_OF(base, struct member, base);
    assert_int_equal(now_us, cellar_clock_monotonic_us());
    member->tick_count++;
}

static void on_drain(struct io_member *base)
{
    CELLAR_CONTAINER_OF(base, struct member, base)->drain_count++;
}

static void on_stop(struct io_member *base)
{
    CELLAR_CONTAINER_OF(base, struct member, base)->stop_count++;
}

static void member_init(struct member *member, struct io_loop *loop)
{
    memset(member, 0, sizeof *member);
    member->base.tick = on_tick;
    member->base.drain = on_drain;
    member->base.stop = on_stop;
    member->loop = loop;
}

static void loop_ticks_its_members_once_a_second_and_drains_them(void **state)
{
    (void)state;
    cellar_clock_fake_set(5000000, 5000000);
    struct io_loop *loop = make_loop();
    struct member member;
    member_init(&member, loop);
    io_loop_member_add(loop, &member.base);
    assert_int_equal(io_loop_member_count(loop), 1);
    io_loop_turn(loop, false);
    assert_int_equal(member.tick_count, 0);
    cellar_clock_fake_step(999999);
    io_loop_turn(loop, false);
    assert_int_equal(member.tick_count, 0);
    cellar_clock_fake_step(1);
    io_loop_turn(loop, false);
    io_loop_turn(loop, false);
    assert_int_equal(member.tick_count, 1);
    assert_int_equal(io_loop_now_us(loop), 6000000);
    io_loop_drain(loop);
    io_loop_turn(loop, true);
    assert_int_equal(member.drain_count, 1);
    io_loop_member_remove(loop, &member.base);
    assert_int_equal(io_loop_member_count(loop), 0);
    io_loop_free(loop);
    cellar_clock_fake_off();
}

/* ---- threads --------------------------------------------------------------------------------- */

#define POSTER_COUNT 3
#define POST_COUNT 2000

struct numbered {
    struct io_task task;
    struct poster *poster;
    int number;
};

struct poster {
    pthread_t thread;
    struct io_loop *loop;
    struct numbered tasks[POST_COUNT];
    int seen; /* on the loop's thread */
};

static void run_numbered(struct io_task *task)
{
    struct numbered *numbered = CELLAR_CONTAINER_OF(task, struct numbered, task);
    CELLAR_ASSERT(numbered->number == numbered->poster->seen);
    numbered->poster->seen++;
}

static void *post_all(void *context)
{
    struct poster *poster = context;
    for (int i = 0; i < POST_COUNT; i++) {
        poster->tasks[i] =
            (struct numbered){.task = {.run = run_numbered}, .poster = poster, .number = i};
        io_loop_post(poster->loop, &poster->tasks[i].task);
    }
    return NULL;
}

static void loop_runs_every_post_of_every_thread_in_its_order(void **state)
{
    (void)state;
    static struct poster posters[POSTER_COUNT];
    struct cellar_error error;
    struct io_loop *loop = make_loop();
    struct member member;
    member_init(&member, loop);
    assert_int_equal(io_loop_start(loop, &error), CELLAR_OK);
    for (size_t i = 0; i < POSTER_COUNT; i++) {
        posters[i].loop = loop;
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    for (size_t i = 0; i < POSTER_COUNT; i++) {
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
    }
    io_loop_stop(loop);
    for (size_t i = 0; i < POSTER_COUNT; i++) {
        assert_int_equal(posters[i].seen, POST_COUNT);
    }
    io_loop_free(loop);
}

static enum cellar_status make_and_free(void *context)
{
    (void)context;
    struct io_loop *loop = NULL;
    enum cellar_status status = io_loop_new(&loop, NULL);
    io_loop_free(loop);
    return status;
}

static void loop_survives_a_failing_allocation(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(make_and_free, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loop_runs_posts_then_put_off_work_then_the_end),
        cmocka_unit_test(loop_keeps_work_that_work_puts_off_for_the_next_turn),
        cmocka_unit_test(loop_ends_a_late_turn_and_goes_on_where_it_was),
        cmocka_unit_test(loop_ticks_its_members_once_a_second_and_drains_them),
        cmocka_unit_test(loop_runs_every_post_of_every_thread_in_its_order),
        cmocka_unit_test(loop_survives_a_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
