/*
 * name_count: names are counted exactly, also when the table grows, when names share a prefix, and
 * when they hold any bytes.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/tools/name_count.h"

static uint64_t add(struct cellar_name_count *names, struct cellar_slice name)
{
    uint64_t before = UINT64_MAX;
    assert_int_equal(cellar_name_count_add(names, name, &before, NULL), CELLAR_OK);
    return before;
}

static void names_are_counted(void **state)
{
    (void)state;
    struct cellar_name_count names = {0};
    assert_int_equal(add(&names, cellar_slice_text("a")), 0);
    assert_int_equal(add(&names, cellar_slice_text("b")), 0);
    assert_int_equal(add(&names, cellar_slice_text("a")), 1);
    assert_int_equal(add(&names, cellar_slice_text("a")), 2);
    assert_int_equal(add(&names, cellar_slice_make("a\0", 2)), 0);
    assert_int_equal(add(&names, cellar_slice_make("", 0)), 0);
    assert_int_equal(add(&names, cellar_slice_make("", 0)), 1);
    assert_int_equal(names.count, 4);
    cellar_name_count_fini(&names);
}

static void the_table_grows_and_forgets_nothing(void **state)
{
    (void)state;
    struct cellar_name_count names = {0};
    for (uint64_t round = 0; round < 3; round++) {
        for (int index = 0; index < 5000; index++) {
            char name[16];
            int bytes = snprintf(name, sizeof name, "name%d", index);
            assert_int_equal(add(&names, cellar_slice_make(name, (size_t)bytes)), round);
        }
    }
    assert_int_equal(names.count, 5000);
    assert_true(names.capacity >= 10000);
    cellar_name_count_fini(&names);
}

static void hashes_of_like_names_differ(void **state)
{
    (void)state;
    assert_int_not_equal(cellar_name_hash(cellar_slice_text("lib1")),
                         cellar_name_hash(cellar_slice_text("lib2")));
    assert_int_equal(cellar_name_hash(cellar_slice_text("lib1")),
                     cellar_name_hash(cellar_slice_text("lib1")));
}

static enum cellar_status add_some(void *context)
{
    struct cellar_name_count names = {0};
    uint64_t before;
    (void)context;
    enum cellar_status status =
        cellar_name_count_add(&names, cellar_slice_text("a"), &before, NULL);
    cellar_name_count_fini(&names);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(add_some, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_counted),
        cmocka_unit_test(the_table_grows_and_forgets_nothing),
        cmocka_unit_test(hashes_of_like_names_differ),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("name_count", tests, NULL, NULL);
}
