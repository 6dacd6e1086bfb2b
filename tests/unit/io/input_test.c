/* A connection's input: kept in order, grown within the budget, freed as it is consumed. */
#include "tests/support/support.h"

#include "server/io/input.h"

static struct io_budget budget;

static struct io_input make_input(uint64_t bytes_max)
{
    io_budget_init(&budget, bytes_max);
    return (struct io_input){.budget = &budget};
}

static void input_keeps_bytes_in_order_and_gives_their_memory_back(void **state)
{
    (void)state;
    struct io_input input = make_input(1u << 20);
    assert_int_equal(io_input_keep(&input, cellar_slice_text("abc")), CELLAR_OK);
    assert_int_equal(io_input_keep(&input, cellar_slice_make(NULL, 0)), CELLAR_OK);
    assert_int_equal(io_input_keep(&input, cellar_slice_text("def")), CELLAR_OK);
    io_input_consume(&input, 2);
    assert_true(cellar_slice_equal(cellar_slice_of(&input.kept), cellar_slice_text("cdef")));
    io_input_consume(&input, 0);
    io_input_consume(&input, 4);
    assert_int_equal(input.kept.capacity, 0);
    assert_int_equal(io_budget_bytes(&budget), 0);
    io_input_clear(&input);
}

static void input_asks_the_budget_above_what_is_free(void **state)
{
    (void)state;
    struct io_input input = make_input(100000);
    assert_int_equal(io_input_grow(&input, IO_INPUT_FREE_BYTES), CELLAR_OK);
    assert_int_equal(io_budget_bytes(&budget), 0);
    assert_int_equal(io_input_grow(&input, 60000), CELLAR_OK);
    assert_int_equal(io_budget_bytes(&budget), 60000);
    assert_int_equal(io_input_grow(&input, 100001), CELLAR_RESOURCE_EXHAUSTED);
    assert_int_equal(input.kept.capacity, 60000);
    assert_int_equal(io_input_grow(&input, 100000), CELLAR_OK);
    assert_int_equal(io_budget_bytes(&budget), 100000);
    io_input_clear(&input);
    assert_int_equal(io_budget_bytes(&budget), 0);
}

static void input_shrinks_when_little_is_left_of_much(void **state)
{
    (void)state;
    static uint8_t bytes[50000];
    struct io_input input = make_input(100000);
    assert_int_equal(io_input_keep(&input, cellar_slice_make(bytes, sizeof bytes)), CELLAR_OK);
    assert_int_equal(io_budget_bytes(&budget), 50000);
    io_input_consume(&input, 49990);
    assert_int_equal(io_budget_bytes(&budget), 0);
    assert_int_equal(input.kept.bytes, 10);
    io_input_clear(&input);
}

static void input_that_came_already_may_overdraw_the_budget(void **state)
{
    (void)state;
    static uint8_t bytes[50000];
    struct io_input input = make_input(1000);
    assert_int_equal(io_input_keep(&input, cellar_slice_make(bytes, sizeof bytes)), CELLAR_OK);
    assert_int_equal(io_budget_bytes(&budget), 50000);
    assert_int_equal(io_input_grow(&input, 50001), CELLAR_RESOURCE_EXHAUSTED);
    io_input_clear(&input);
    assert_int_equal(io_budget_bytes(&budget), 0);
}

static enum cellar_status keep_and_grow(void *context)
{
    (void)context;
    struct io_input input = make_input(1u << 20);
    enum cellar_status status = io_input_keep(&input, cellar_slice_text("abc"));
    if (status == CELLAR_OK) {
        status = io_input_grow(&input, 100000);
    }
    io_input_clear(&input);
    assert_int_equal(io_budget_bytes(&budget), 0);
    return status;
}

static void input_survives_every_failing_allocation(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(keep_and_grow, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_keeps_bytes_in_order_and_gives_their_memory_back),
        cmocka_unit_test(input_asks_the_budget_above_what_is_free),
        cmocka_unit_test(input_shrinks_when_little_is_left_of_much),
        cmocka_unit_test(input_that_came_already_may_overdraw_the_budget),
        cmocka_unit_test(input_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
