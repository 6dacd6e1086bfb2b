/*
 * sync: mutex, condition and once between two threads. Threads wait for each other, never for time.
 */
#include <pthread.h>

#include "common/sync.h"
#include "tests/support/support.h"

#define COUNT_EACH 20000

struct shared {
    struct cellar_mutex lock;
    struct cellar_cond changed;
    int count CELLAR_GUARDED_BY(lock);
    bool is_ready CELLAR_GUARDED_BY(lock);
};

/* Nobody else sees the structure yet. */
static void shared_init(struct shared *shared) CELLAR_NO_THREAD_SAFETY
{
    cellar_mutex_init(&shared->lock);
    cellar_cond_init(&shared->changed);
    shared->count = 0;
    shared->is_ready = false;
}

static void shared_fini(struct shared *shared)
{
    cellar_cond_fini(&shared->changed);
    cellar_mutex_fini(&shared->lock);
}

static void *count_up(void *context)
{
    struct shared *shared = context;
    for (int i = 0; i < COUNT_EACH; i++) {
        cellar_mutex_lock(&shared->lock);
        shared->count++;
        cellar_mutex_unlock(&shared->lock);
    }
    return NULL;
}

static void *answer_when_ready(void *context)
{
    struct shared *shared = context;
    cellar_mutex_lock(&shared->lock);
    while (!shared->is_ready) {
        cellar_cond_wait(&shared->changed, &shared->lock);
    }
    shared->count = 42;
    cellar_mutex_unlock(&shared->lock);
    cellar_cond_broadcast(&shared->changed);
    return NULL;
}

static void *try_the_lock(void *context)
{
    struct shared *shared = context;
    if (!cellar_mutex_try_lock(&shared->lock)) {
        return NULL;
    }
    cellar_mutex_unlock(&shared->lock);
    return shared;
}

static void run_thread(void *(*run)(void *), struct shared *shared, void **result)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, shared), 0);
    assert_int_equal(pthread_join(thread, result), 0);
}

static void a_mutex_lets_one_thread_in(void **state)
{
    (void)state;
    struct shared shared;
    shared_init(&shared);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, count_up, &shared), 0);
    (void)count_up(&shared);
    assert_int_equal(pthread_join(thread, NULL), 0);
    cellar_mutex_lock(&shared.lock);
    assert_int_equal(shared.count, 2 * COUNT_EACH);
    cellar_mutex_unlock(&shared.lock);
    shared_fini(&shared);
}

static void a_held_mutex_is_not_taken_by_a_try(void **state)
{
    (void)state;
    struct shared shared;
    shared_init(&shared);
    void *result = &shared;
    cellar_mutex_lock(&shared.lock);
    run_thread(try_the_lock, &shared, &result);
    assert_null(result);
    cellar_mutex_unlock(&shared.lock);
    run_thread(try_the_lock, &shared, &result);
    assert_ptr_equal(result, &shared);
    shared_fini(&shared);
}

static void a_signal_wakes_the_waiter_and_its_answer_comes_back(void **state)
{
    (void)state;
    struct shared shared;
    shared_init(&shared);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_when_ready, &shared), 0);
    cellar_mutex_lock(&shared.lock);
    shared.is_ready = true;
    cellar_cond_signal(&shared.changed);
    while (shared.count != 42) {
        assert_true(cellar_cond_timedwait(&shared.changed, &shared.lock, INT64_MAX / 2));
    }
    cellar_mutex_unlock(&shared.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    shared_fini(&shared);
}

static void a_deadline_in_the_past_returns_at_once_with_the_mutex_held(void **state)
{
    (void)state;
    struct shared shared;
    shared_init(&shared);
    void *result = &shared;
    cellar_mutex_lock(&shared.lock);
    assert_false(cellar_cond_timedwait(&shared.changed, &shared.lock, 0));
    assert_false(cellar_cond_timedwait(&shared.changed, &shared.lock, 1999999));
    cellar_clock_fake_set(0,
                          INT64_MAX / 2); /* the deadline is one of the clock that callers read */
    assert_false(cellar_cond_timedwait(&shared.changed, &shared.lock, INT64_MAX / 2));
    cellar_clock_fake_off();
    run_thread(try_the_lock, &shared, &result);
    assert_null(result);
    cellar_mutex_unlock(&shared.lock);
    shared_fini(&shared);
}

static struct cellar_once once = CELLAR_ONCE_INIT;
static int once_calls;

static void count_once(void)
{
    once_calls++;
}

static void *run_once(void *unused)
{
    cellar_once_run(&once, count_once);
    return unused;
}

static void once_runs_once_for_all_threads(void **state)
{
    (void)state;
    void *result = NULL;
    run_thread(run_once, NULL, &result);
    (void)run_once(NULL);
    assert_int_equal(once_calls, 1);
}

static void a_static_mutex_needs_no_init(void **state)
{
    (void)state;
    static struct cellar_mutex mutex = CELLAR_MUTEX_INIT;
    cellar_mutex_lock(&mutex);
    cellar_mutex_unlock(&mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_lets_one_thread_in),
        cmocka_unit_test(a_held_mutex_is_not_taken_by_a_try),
        cmocka_unit_test(a_signal_wakes_the_waiter_and_its_answer_comes_back),
        cmocka_unit_test(a_deadline_in_the_past_returns_at_once_with_the_mutex_held),
        cmocka_unit_test(once_runs_once_for_all_threads),
        cmocka_unit_test(a_static_mutex_needs_no_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
