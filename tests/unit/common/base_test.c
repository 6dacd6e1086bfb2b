/*
 * base.h: an assertion ends the process with its text; the array and structure macros.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/support.h"

struct outer {
    int before;
    int member;
};

static void assertion_that_holds_does_nothing(void **state)
{
    (void)state;
    int calls = 0;
    CELLAR_ASSERT(++calls == 1);
    assert_int_equal(calls, 1);
}

static void broken_assertion_aborts_and_names_its_condition(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        CELLAR_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    (void)close(ends[1]);
    char text[512] = {0};
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    (void)close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "1 + 1 == 3"));
    assert_non_null(strstr(text, "base_test.c"));
}

static void container_of_finds_the_structure_around_a_field(void **state)
{
    (void)state;
    struct outer outer = {1, 2};
    struct outer *found = CELLAR_CONTAINER_OF(&outer.member, struct outer, member);
    assert_ptr_equal(found, &outer);
}

static void array_count_minimum_and_maximum_are_what_they_say(void **state)
{
    (void)state;
    int numbers[7];
    assert_int_equal(CELLAR_ARRAY_COUNT(numbers), 7);
    assert_int_equal(CELLAR_MIN(-1, 2), -1);
    assert_int_equal(CELLAR_MAX(-1, 2), 2);
}

static void minimum_and_maximum_evaluate_each_argument_once(void **state)
{
    (void)state;
    int left = 0;
    int right = 10;
    assert_int_equal(CELLAR_MIN(++left, ++right), 1);
    assert_int_equal(CELLAR_MAX(++left, ++right), 12);
    assert_int_equal(left, 2);
    assert_int_equal(right, 12);
}

static void minimum_and_maximum_stand_in_each_other(void **state)
{
    (void)state;
    int calls = 0;
    assert_int_equal(CELLAR_MIN(CELLAR_MAX(1, ++calls), CELLAR_MAX(CELLAR_MIN(7, 5), 4)), 1);
    assert_int_equal(CELLAR_MAX(CELLAR_MIN(++calls, 9), CELLAR_MIN(8, CELLAR_MAX(3, 2))), 3);
    assert_int_equal(calls, 2);
}

static void minimum_and_maximum_take_numbers_of_two_widths(void **state)
{
    (void)state;
    const uint32_t narrow = 7;
    const uint64_t wide = UINT64_MAX;
    assert_true(CELLAR_MAX(narrow, wide) == wide);
    assert_true(CELLAR_MIN(wide, narrow) == 7);
    static_assert(sizeof(CELLAR_MIN(narrow, wide)) == sizeof wide, "the wider of the two types");
    assert_true(CELLAR_MIN(0.5, 0.25) < 0.3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assertion_that_holds_does_nothing),
        cmocka_unit_test(broken_assertion_aborts_and_names_its_condition),
        cmocka_unit_test(container_of_finds_the_structure_around_a_field),
        cmocka_unit_test(array_count_minimum_and_maximum_are_what_they_say),
        cmocka_unit_test(minimum_and_maximum_evaluate_each_argument_once),
        cmocka_unit_test(minimum_and_maximum_stand_in_each_other),
        cmocka_unit_test(minimum_and_maximum_take_numbers_of_two_widths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
