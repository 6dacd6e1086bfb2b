/*
 * The thread pool: everything that was taken in runs, a full queue and a stopped pool refuse, tasks
 * may be freed by their own run. A gate holds the one thread while the queue is filled.
 */
#include "tests/support/support.h"

#include "common/mem.h"
#include "common/sync.h"
#include "server/io/pool.h"

struct gate {
    struct cellar_mutex lock;
    struct cellar_cond changed;
    bool is_entered;
    bool is_open;
    int run_count;
};

struct job {
    struct io_task task;
    struct gate *gate;
};

static void gate_init(struct gate *gate)
{
    *gate = (struct gate){.is_open = false};
    cellar_mutex_init(&gate->lock);
    cellar_cond_init(&gate->changed);
}

static void gate_fini(struct gate *gate)
{
    cellar_cond_fini(&gate->changed);
    cellar_mutex_fini(&gate->lock);
}

static void run_job(struct io_task *task)
{
    struct job *job = CELLAR_CONTAINER_OF(task, struct job, task);
    struct gate *gate = job->gate;
    cellar_mem_free(job);
    cellar_mutex_lock(&gate->lock);
    gate->is_entered = true;
    cellar_cond_broadcast(&gate->changed);
    while (!gate->is_open) {
        cellar_cond_wait(&gate->changed, &gate->lock);
    }
    gate->run_count++;
    cellar_mutex_unlock(&gate->lock);
}

static struct job *make_job(struct gate *gate)
{
    struct job *job = cellar_mem_zalloc(1, sizeof *job);
    assert_non_null(job);
    job->task.run = run_job;
    job->gate = gate;
    return job;
}

static void wait_until_entered(struct gate *gate)
{
    cellar_mutex_lock(&gate->lock);
    while (!gate->is_entered) {
        cellar_cond_wait(&gate->changed, &gate->lock);
    }
    cellar_mutex_unlock(&gate->lock);
}

static void open_gate(struct gate *gate)
{
    cellar_mutex_lock(&gate->lock);
    gate->is_open = true;
    cellar_cond_broadcast(&gate->changed);
    cellar_mutex_unlock(&gate->lock);
}

static void pool_refuses_when_full_and_runs_all_it_took(void **state)
{
    (void)state;
    struct gate gate;
    struct io_pool *pool = NULL;
    struct cellar_error error;
    gate_init(&gate);
    assert_int_equal(io_pool_start(1, 2, &pool, &error), CELLAR_OK);
    assert_int_equal(io_pool_submit(pool, &make_job(&gate)->task), CELLAR_OK);
    wait_until_entered(&gate);
    assert_int_equal(io_pool_submit(pool, &make_job(&gate)->task), CELLAR_OK);
    assert_int_equal(io_pool_submit(pool, &make_job(&gate)->task), CELLAR_OK);
    struct job *refused = make_job(&gate);
    assert_int_equal(io_pool_submit(pool, &refused->task), CELLAR_UNAVAILABLE);
    assert_int_equal(io_pool_waiting_count(pool), 2);
    open_gate(&gate);
    io_pool_stop(pool);
    assert_int_equal(io_pool_waiting_count(pool), 0);
    assert_int_equal(gate.run_count, 3);
    assert_int_equal(io_pool_submit(pool, &refused->task), CELLAR_UNAVAILABLE);
    cellar_mem_free(refused);
    io_pool_free(pool);
    gate_fini(&gate);
}

static void pool_with_many_threads_runs_everything(void **state)
{
    (void)state;
    struct gate gate;
    struct io_pool *pool = NULL;
    struct cellar_error error;
    gate_init(&gate);
    open_gate(&gate);
    assert_int_equal(io_pool_start(4, 500, &pool, &error), CELLAR_OK);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(io_pool_submit(pool, &make_job(&gate)->task), CELLAR_OK);
    }
    io_pool_stop(pool);
    assert_int_equal(gate.run_count, 500);
    io_pool_free(pool);
    io_pool_free(NULL);
    gate_fini(&gate);
}

static enum cellar_status start_and_stop(void *context)
{
    (void)context;
    struct io_pool *pool = NULL;
    enum cellar_status status = io_pool_start(1, 1, &pool, NULL);
    if (status == CELLAR_OK) {
        io_pool_stop(pool);
    }
    io_pool_free(pool);
    return status;
}

static void pool_survives_a_failing_allocation(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(start_and_stop, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_refuses_when_full_and_runs_all_it_took),
        cmocka_unit_test(pool_with_many_threads_runs_everything),
        cmocka_unit_test(pool_survives_a_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
