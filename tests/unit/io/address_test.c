/* Listen addresses: what is read, how it is shown, which are loopback. Only numeric hosts and
 * `localhost` are looked up, so no name server is asked. */
#include "tests/support/support.h"

#include <string.h>

#include "server/io/address.h"

struct address_case {
    const char *text;
    const char *shown; /* NULL: refused */
    bool is_loopback;
};

static const struct address_case address_cases[] = {
    {"127.0.0.1:8086", "127.0.0.1:8086", true},
    {"127.1.2.3:1", "127.1.2.3:1", true},
    {"0.0.0.0:0", "0.0.0.0:0", false},
    {"192.0.2.1:65535", "192.0.2.1:65535", false},
    {"[::1]:8086", "[::1]:8086", true},
    {"[::]:80", "[::]:80", false},
    {"127.0.0.1", NULL, false},
    {"127.0.0.1:", NULL, false},
    {"127.0.0.1:65536", NULL, false},
    {"127.0.0.1:123456", NULL, false},
    {"127.0.0.1:-1", NULL, false},
    {"127.0.0.1:80x", NULL, false},
    {":80", NULL, false},
    {"::1:80", NULL, false},
    {"[]:80", NULL, false},
    {"", NULL, false},
    {"999.0.0.1:80", NULL, false},
};

static void address_is_read_and_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(address_cases); i++) {
        const struct address_case *test = &address_cases[i];
        struct io_address address;
        struct cellar_error error;
        char text[IO_ADDRESS_TEXT_BYTES_MAX];
        enum cellar_status status = io_address_decode(test->text, &address, &error);
        if (test->shown == NULL) {
            assert_int_equal(status, CELLAR_INVALID_ARGUMENT);
            assert_non_null(strstr(error.text, test->text));
            continue;
        }
        assert_int_equal(status, CELLAR_OK);
        assert_string_equal(io_address_show(&address, text), test->shown);
        assert_int_equal(io_address_is_loopback(&address), test->is_loopback);
    }
}

static void address_of_localhost_is_loopback(void **state)
{
    (void)state;
    struct io_address address;
    struct cellar_error error;
    assert_int_equal(io_address_decode("localhost:5", &address, &error), CELLAR_OK);
    assert_true(io_address_is_loopback(&address));
    assert_int_equal(io_address_port(&address), 5);
}

static void address_with_an_endless_host_is_refused(void **state)
{
    (void)state;
    struct io_address address;
    struct cellar_error error;
    char text[600];
    memset(text, 'a', sizeof text);
    memcpy(text + sizeof text - 4, ":80", 4);
    assert_int_equal(io_address_decode(text, &address, &error), CELLAR_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_is_read_and_shown),
        cmocka_unit_test(address_of_localhost_is_loopback),
        cmocka_unit_test(address_with_an_endless_host_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
