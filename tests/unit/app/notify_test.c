/*
 * notify: which sockets and watchdogs count, what arrives, and that nobody listening is no matter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/app/notify.h"
#include "tests/support/support.h"

static int clear(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return 0;
}

/* A socket at that address, as NOTIFY_SOCKET has it. */
static int listen_at(const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(text);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && length < sizeof address.sun_path);
    memcpy(address.sun_path, text, length);
    if (text[0] == '@') {
        address.sun_path[0] = '\0';
    }
    assert_int_equal(bind(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", text, 1), 0);
    return fd;
}

static void expect_arrival(const char *address)
{
    char text[64];
    struct cellar_notify notify;
    int fd = listen_at(address);
    cellar_notify_open(&notify);
    cellar_notify_send(&notify, "READY=%d\n", 1);
    ssize_t got = recv(fd, text, sizeof text, 0);
    assert_int_equal(got, 8);
    assert_memory_equal(text, "READY=1\n", 8);
    cellar_notify_close(&notify);
    (void)close(fd);
}

static void messages_arrive_at_a_path(void **state)
{
    (void)state;
    char folder[256];
    char address[300];
    test_temp_dir(folder, sizeof folder);
    (void)snprintf(address, sizeof address, "%s/s", folder);
    if (strlen(address) < sizeof((struct sockaddr_un *)0)->sun_path) {
        expect_arrival(address);
    }
    test_remove_tree(folder);
}

static void messages_arrive_at_an_abstract_name(void **state)
{
    (void)state;
    char address[64];
    (void)snprintf(address, sizeof address, "@cellar-notify-test-%ld", (long)getpid());
    expect_arrival(address);
}

static void nothing_is_sent_to_nobody(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        NULL, "", "/", "@", "relative", "vsock:2:1", "/no/such/folder/socket"};
    char long_address[200];
    struct cellar_notify notify;
    memset(long_address, 'x', sizeof long_address - 1);
    long_address[0] = '@';
    long_address[sizeof long_address - 1] = '\0';
    for (size_t i = 0; i <= CELLAR_ARRAY_COUNT(addresses); i++) {
        const char *address = i < CELLAR_ARRAY_COUNT(addresses) ? addresses[i] : long_address;
        if (address != NULL) {
            assert_int_equal(setenv("NOTIFY_SOCKET", address, 1), 0);
        }
        cellar_notify_open(&notify);
        cellar_notify_send(&notify, "READY=1\n");
        cellar_notify_close(&notify);
        assert_int_equal(notify.fd, -1);
    }
}

static int64_t watchdog_of(const char *us, const char *pid)
{
    char address[64];
    struct cellar_notify notify;
    (void)clear(NULL);
    (void)snprintf(address, sizeof address, "@cellar-notify-test-%ld", (long)getpid());
    int fd = listen_at(address);
    assert_int_equal(setenv("WATCHDOG_USEC", us, 1), 0);
    if (pid != NULL) {
        assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
    }
    cellar_notify_open(&notify);
    cellar_notify_close(&notify);
    (void)close(fd);
    return notify.watchdog_us;
}

static void a_watchdog_counts_when_it_is_meant_for_this_process(void **state)
{
    (void)state;
    char pid[32];
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_int_equal(watchdog_of("30000000", NULL), 30000000);
    assert_int_equal(watchdog_of("30000000", pid), 30000000);
    assert_int_equal(watchdog_of("30000000", "1"), 0);
    assert_int_equal(watchdog_of("0", NULL), 0);
    assert_int_equal(watchdog_of("-5", NULL), 0);
    assert_int_equal(watchdog_of("soon", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(messages_arrive_at_a_path, clear),
        cmocka_unit_test_setup(messages_arrive_at_an_abstract_name, clear),
        cmocka_unit_test_setup(nothing_is_sent_to_nobody, clear),
        cmocka_unit_test_setup(a_watchdog_counts_when_it_is_meant_for_this_process, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
