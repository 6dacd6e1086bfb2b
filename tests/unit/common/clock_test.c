/*
 * clock: the fake moves only when told to; the machine's clocks are sane.
 */
#include "common/clock.h"
#include "tests/support/support.h"

static void fake_clocks_stand_still(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000, 50);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(cellar_clock_real_us(), 1000);
        assert_int_equal(cellar_clock_monotonic_us(), 50);
    }
}

static void a_step_forward_moves_both(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000, 50);
    cellar_clock_fake_step(7);
    assert_int_equal(cellar_clock_real_us(), 1007);
    assert_int_equal(cellar_clock_monotonic_us(), 57);
    cellar_clock_fake_step(0);
    assert_int_equal(cellar_clock_monotonic_us(), 57);
}

static void a_step_back_moves_the_wall_clock_only(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000, 50);
    cellar_clock_fake_step(-2000);
    assert_int_equal(cellar_clock_real_us(), -1000);
    assert_int_equal(cellar_clock_monotonic_us(), 50);
}

static void the_machine_s_clocks_come_back(void **state)
{
    (void)state;
    cellar_clock_fake_set(0, 0);
    cellar_clock_fake_off();
    int64_t year_2020_us = 1577836800000000;
    assert_true(cellar_clock_real_us() > year_2020_us);
    int64_t before = cellar_clock_monotonic_us();
    assert_true(before > 0);
    assert_true(cellar_clock_monotonic_us() >= before);
}

static void a_deadline_of_the_fake_is_as_far_off_on_the_machine_s_clock(void **state)
{
    (void)state;
    assert_int_equal(cellar_clock_real_deadline_us(5), 5);
    int64_t before = cellar_clock_monotonic_us();
    cellar_clock_fake_set(0, 5000000);
    int64_t later = cellar_clock_real_deadline_us(5000000 + 3600000000);
    assert_true(later >= before + 3600000000 && later < before + 2 * 3600000000LL);
    assert_true(cellar_clock_real_deadline_us(5000000 - 100) < later);
    assert_true(cellar_clock_real_deadline_us(0) >= 0);
    assert_int_equal(cellar_clock_real_deadline_us(INT64_MAX), INT64_MAX);
}

static int end_fake(void **state)
{
    (void)state;
    cellar_clock_fake_off();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(fake_clocks_stand_still, end_fake),
        cmocka_unit_test_teardown(a_step_forward_moves_both, end_fake),
        cmocka_unit_test_teardown(a_step_back_moves_the_wall_clock_only, end_fake),
        cmocka_unit_test_teardown(a_deadline_of_the_fake_is_as_far_off_on_the_machine_s_clock,
                                  end_fake),
        cmocka_unit_test_teardown(the_machine_s_clocks_come_back, end_fake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
