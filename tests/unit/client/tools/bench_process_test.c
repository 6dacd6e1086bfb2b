/*
 * Processor time and owners of sockets: of this process, of a child that works, of nobody. And the
 * meter that reads them.
 */
#include "client/tools/bench_process.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/tools/bench_meter.h"
#include "tests/support/support.h"

#define WORK_US INT64_C(60000) /* several ticks of the system's count */

/* Works until this process has taken that much processor time more. */
static void work(int64_t us)
{
    int64_t start_us = cellar_bench_own_cpu_us();
    volatile uint64_t sum = 0;
    while (cellar_bench_own_cpu_us() - start_us < us) {
        for (uint64_t index = 0; index < 10000; index++) {
            sum += index;
        }
    }
    (void)sum;
}

/* This process's time, as /proc has it. */
static int64_t cpu_us_now(void)
{
    int64_t cpu_us;
    assert_true(cellar_bench_process_cpu_us(getpid(), &cpu_us));
    return cpu_us;
}

static void a_process_is_charged_for_its_work(void **state)
{
    (void)state;
    int64_t before_us = cpu_us_now();
    work(WORK_US);
    assert_true(cpu_us_now() - before_us >= WORK_US / 2);
}

static void children_count_while_they_live_and_when_they_are_gone(void **state)
{
    int ready[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(ready), 0);
    int64_t before_us = cpu_us_now();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        work(WORK_US);
        _exit(write(ready[1], "x", 1) == 1 && pause() == -1 ? 1 : 2);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(cpu_us_now() - before_us >= WORK_US / 2);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(cpu_us_now() - before_us >= WORK_US / 2);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void a_process_that_is_not_there_is_told(void **state)
{
    int64_t cpu_us = 7;
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(cellar_bench_process_cpu_us(child, &cpu_us));
    assert_int_equal(cpu_us, 7);
}

static void the_owner_of_a_port_is_found(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    int64_t pid = 0;
    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    assert_false(cellar_bench_process_find(ntohs(address.sin_port), &pid)); /* does not listen */
    assert_int_equal(pid, 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_true(cellar_bench_process_find(ntohs(address.sin_port), &pid));
    assert_int_equal(pid, getpid());
    (void)close(fd);
}

static void a_meter_measures_what_lies_between(void **state)
{
    static const struct cellar_bench_op get = {.kind = CELLAR_BENCH_GET_ROW};
    static const struct cellar_bench_op put = {.kind = CELLAR_BENCH_PUT_ROWS, .count = 5};
    struct cellar_bench_meter meter = {.is_running = false};
    struct cellar_bench_terms terms = {.connections = 3};
    struct cellar_bench_result *result = calloc(1, sizeof *result);
    (void)state;
    assert_non_null(result);
    cellar_bench_result_start(result, "cellar", &terms);
    assert_int_equal(result->server_cpu_us, -1);
    cellar_bench_meter_start(&meter, getpid());
    work(WORK_US);
    cellar_bench_result_count(result, &get);
    cellar_bench_result_time(result, &get, 10);
    cellar_bench_result_count(result, &put);
    cellar_bench_result_time(result, &put, 20);
    cellar_bench_meter_stop(&meter, result);
    assert_int_equal(result->operation_count, 2);
    assert_int_equal(result->row_count, 5);
    assert_int_equal(result->reads.max, 10);
    assert_int_equal(result->writes.max, 20);
    assert_true(result->elapsed_us >= WORK_US / 2 && result->client_cpu_us >= WORK_US);
    assert_true(result->server_cpu_us >= WORK_US / 2);
    cellar_bench_meter_start(&meter, 0);
    cellar_bench_meter_stop(&meter, result);
    assert_int_equal(result->server_cpu_us, -1); /* nobody knows the server */
    free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_charged_for_its_work),
        cmocka_unit_test(children_count_while_they_live_and_when_they_are_gone),
        cmocka_unit_test(a_process_that_is_not_there_is_told),
        cmocka_unit_test(the_owner_of_a_port_is_found),
        cmocka_unit_test(a_meter_measures_what_lies_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
