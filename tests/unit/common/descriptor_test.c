/*
 * The limit of descriptors, and which of them are the last: a share, bounded by a count.
 */
#include "tests/support/support.h"

#include <sys/resource.h>

#include "common/descriptor.h"

static struct rlimit before;

static int limit_keep(void **state)
{
    (void)state;
    return getrlimit(RLIMIT_NOFILE, &before);
}

static int limit_restore(void **state)
{
    (void)state;
    return setrlimit(RLIMIT_NOFILE, &before);
}

static void limit_set(rlim_t count)
{
    const struct rlimit limit = {count, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void the_limit_is_asked_for_each_time(void **state)
{
    (void)state;
    limit_set(100);
    assert_int_equal(cellar_descriptor_count_max(), 100);
    limit_set(90);
    assert_int_equal(cellar_descriptor_count_max(), 90);
}

static void a_share_is_reserved(void **state)
{
    (void)state;
    limit_set(100);
    assert_false(cellar_descriptor_is_reserved(74, 4, 256));
    assert_true(cellar_descriptor_is_reserved(75, 4, 256));
    assert_true(cellar_descriptor_is_reserved(99, 4, 256));
}

static void a_count_bounds_the_share(void **state)
{
    (void)state;
    limit_set(100);
    assert_false(cellar_descriptor_is_reserved(89, 4, 10));
    assert_true(cellar_descriptor_is_reserved(90, 4, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_is_asked_for_each_time),
        cmocka_unit_test(a_share_is_reserved),
        cmocka_unit_test(a_count_bounds_the_share),
    };
    return cmocka_run_group_tests(tests, limit_keep, limit_restore);
}
