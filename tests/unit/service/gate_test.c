/*
 * gate: one thread at a time.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "server/service/gate.h"
#include "tests/support/support.h"

#define THREADS 4
#define ROUNDS 2000

struct crowd {
    struct svc_gate gate;
    _Atomic unsigned inside;
    unsigned passed; /* by whoever is inside: without a lock */
};

static void *pass_often(void *context)
{
    struct crowd *crowd = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        svc_gate_enter(&crowd->gate);
        if (atomic_fetch_add(&crowd->inside, 1) == 0) {
            crowd->passed++;
        }
        atomic_fetch_sub(&crowd->inside, 1);
        svc_gate_leave(&crowd->gate);
    }
    return NULL;
}

static void one_thread_at_a_time_is_inside(void **state)
{
    (void)state;
    struct crowd crowd = {.passed = 0};
    pthread_t threads[THREADS];
    svc_gate_init(&crowd.gate);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, pass_often, &crowd), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(crowd.passed, THREADS * ROUNDS);
    svc_gate_fini(&crowd.gate);
}

static void a_gate_can_be_entered_again(void **state)
{
    (void)state;
    struct svc_gate gate;
    svc_gate_init(&gate);
    svc_gate_enter(&gate);
    svc_gate_leave(&gate);
    svc_gate_enter(&gate);
    svc_gate_leave(&gate);
    svc_gate_fini(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time_is_inside),
        cmocka_unit_test(a_gate_can_be_entered_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
