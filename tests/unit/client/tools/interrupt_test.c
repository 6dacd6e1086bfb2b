/*
 * interrupt: the first signal is noted and wakes who waits, the second one is fatal; afterwards the
 * signals are as they were.
 */
#include "tests/support/support.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/tools/interrupt.h"

static void the_first_signal_is_noted_and_wakes(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(signals); index++) {
        struct cellar_interrupt *interrupt = NULL;
        sigset_t mask;
        assert_int_equal(cellar_interrupt_start(&interrupt, NULL), CELLAR_OK);
        assert_false(cellar_interrupt_is_set(interrupt));
        assert_false(cellar_interrupt_pause(interrupt, 1));
        assert_int_equal(kill(getpid(), signals[index]), 0);
        struct pollfd wait = {.fd = cellar_interrupt_fd(interrupt), .events = POLLIN};
        assert_int_equal(poll(&wait, 1, -1), 1);
        assert_true(cellar_interrupt_is_set(interrupt));
        assert_true(cellar_interrupt_pause(interrupt, INT64_C(3600000000)));
        cellar_interrupt_stop(interrupt);
        assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
        assert_false(sigismember(&mask, signals[index]));
    }
}

static void the_second_signal_ends_the_program(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct cellar_interrupt *interrupt = NULL;
        if (cellar_interrupt_start(&interrupt, NULL) != CELLAR_OK) {
            _exit(1);
        }
        (void)kill(getpid(), SIGINT);
        while (!cellar_interrupt_pause(interrupt, 1000000)) {
        }
        (void)kill(getpid(), SIGINT);
        for (;;) {
            (void)pause();
        }
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

static void none_never_comes(void **state)
{
    (void)state;
    assert_false(cellar_interrupt_is_set(NULL));
    assert_int_equal(cellar_interrupt_fd(NULL), -1);
    assert_false(cellar_interrupt_pause(NULL, 1));
    cellar_interrupt_stop(NULL);
}

static enum cellar_status start_and_stop(void *context)
{
    struct cellar_interrupt *interrupt = NULL;
    (void)context;
    enum cellar_status status = cellar_interrupt_start(&interrupt, NULL);
    cellar_interrupt_stop(interrupt);
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(start_and_stop, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_signal_is_noted_and_wakes),
        cmocka_unit_test(the_second_signal_ends_the_program),
        cmocka_unit_test(none_never_comes),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("interrupt", tests, NULL, NULL);
}
