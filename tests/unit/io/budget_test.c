/*
 * The byte budget: what fits is taken, what does not is refused and changes nothing, and threads
 * that take and give together never take more than there is.
 */
#include "tests/support/support.h"

#include <pthread.h>

#include "server/io/budget.h"

static void budget_takes_what_fits_and_refuses_the_rest(void **state)
{
    (void)state;
    struct io_budget budget;
    io_budget_init(&budget, 100);
    assert_true(io_budget_try(&budget, 60));
    assert_false(io_budget_try(&budget, 41));
    assert_int_equal(io_budget_bytes(&budget), 60);
    assert_true(io_budget_try(&budget, 40));
    assert_true(io_budget_is_spent(&budget));
    assert_false(io_budget_try(&budget, 1));
    io_budget_give(&budget, 100);
    assert_int_equal(io_budget_bytes(&budget), 0);
}

static void budget_refuses_sizes_near_the_end_of_the_numbers(void **state)
{
    (void)state;
    struct io_budget budget;
    io_budget_init(&budget, 100);
    assert_true(io_budget_try(&budget, 1));
    assert_false(io_budget_try(&budget, UINT64_MAX));
    assert_int_equal(io_budget_bytes(&budget), 1);
}

static void budget_takes_a_new_bound(void **state)
{
    (void)state;
    struct io_budget budget;
    io_budget_init(&budget, 100);
    assert_true(io_budget_try(&budget, 80));
    io_budget_limit_set(&budget, 50);
    assert_int_equal(io_budget_limit(&budget), 50);
    assert_true(io_budget_is_spent(&budget));
    assert_false(io_budget_try(&budget, 1));
    io_budget_give(&budget, 40);
    assert_true(io_budget_try(&budget, 10));
    io_budget_limit_set(&budget, 200);
    assert_true(io_budget_try(&budget, 150));
    io_budget_give(&budget, 200);
}

static void budget_counts_what_is_in_use_beyond_the_bound(void **state)
{
    (void)state;
    struct io_budget budget;
    io_budget_init(&budget, 100);
    io_budget_charge(&budget, 150);
    assert_true(io_budget_is_spent(&budget));
    assert_false(io_budget_try(&budget, 0));
    io_budget_give(&budget, 51);
    assert_false(io_budget_is_spent(&budget));
    assert_true(io_budget_try(&budget, 1));
}

static void *take_and_give(void *context)
{
    struct io_budget *budget = context;
    for (int i = 0; i < 20000; i++) {
        if (io_budget_try(budget, 3)) {
            CELLAR_ASSERT(io_budget_bytes(budget) <= io_budget_limit(budget));
            io_budget_give(budget, 3);
        }
    }
    return NULL;
}

static void budget_holds_its_bound_under_threads(void **state)
{
    (void)state;
    struct io_budget budget;
    pthread_t threads[3];
    io_budget_init(&budget, 7);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &budget), 0);
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(io_budget_bytes(&budget), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget_takes_what_fits_and_refuses_the_rest),
        cmocka_unit_test(budget_refuses_sizes_near_the_end_of_the_numbers),
        cmocka_unit_test(budget_counts_what_is_in_use_beyond_the_bound),
        cmocka_unit_test(budget_takes_a_new_bound),
        cmocka_unit_test(budget_holds_its_bound_under_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
