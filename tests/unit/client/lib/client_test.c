/*
 * client: options are checked and filled in, names of tables completed, failures translated to what
 * programs see. Nothing here connects.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/client.h"

static enum cellar_code open_with(struct cellar_options options, struct cellar_call *call)
{
    struct cellar_client *client = NULL;
    enum cellar_code code = cellar_client_open(&options, call, &client);
    assert_true((code == CELLAR_E_OK) == (client != NULL));
    cellar_client_close(client);
    return code;
}

static void without_options_everything_has_its_default(void **state)
{
    (void)state;
    struct cellar_client *client = NULL;
    struct cellar_call call = {.failure = {.code = CELLAR_E_ABORTED, .text = "old"}};
    assert_int_equal(cellar_client_open(NULL, &call, &client), CELLAR_E_OK);
    assert_int_equal(call.failure.code, CELLAR_E_OK);
    assert_string_equal(call.failure.text, "");
    assert_string_equal(client->endpoint, "127.0.0.1:8086");
    assert_string_equal(client->instance, "default/default");
    assert_int_equal(client->timeout_us, 10000000);
    assert_int_equal(client->pool.connections_max, 16);
    assert_int_equal(client->connect_attempts_max, 3);
    assert_int_equal(client->attempts_max, 100);
    cellar_client_close(client);
    cellar_client_close(NULL);
}

static void options_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct cellar_options options;
        const char *text;
    } cases[] = {
        {{.endpoint = "nowhere"}, "host:port"},
        {{.endpoint = ""}, "host:port"},
        {{.instance = "one"}, "one"},
        {{.instance = "a/b/c"}, "a/b/c"},
        {{.timeout_us = -1}, "timeout_us"},
        {{.connections_max = 1025}, "connections_max must be 1 to 1024, or 0 for 16, but got 1025"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_call call = {0};
        assert_int_equal(open_with(cases[index].options, &call), CELLAR_E_INVALID_ARGUMENT);
        if (strstr(call.failure.text, cases[index].text) == NULL) {
            fail_msg("'%s' does not hold '%s'", call.failure.text, cases[index].text);
        }
        assert_string_equal(call.failure.where, "open");
        assert_false(call.failure.is_retryable);
    }
    assert_int_equal(open_with((struct cellar_options){.connections_max = 1024}, NULL),
                     CELLAR_E_OK);
}

static void names_of_tables_are_completed_within_their_limit(void **state)
{
    (void)state;
    struct cellar_client *client = NULL;
    struct cellar_options options = {.instance = "p/i"};
    struct cellar_error error;
    char name[CELLAR_TABLE_NAME_BYTES_MAX];
    char longest[CELLAR_TABLE_NAME_BYTES_MAX];
    assert_int_equal(cellar_client_open(&options, NULL, &client), CELLAR_E_OK);
    assert_int_equal(cellar_client_table_name(client, "t", name, &error), CELLAR_OK);
    assert_string_equal(name, "p/i/t");
    assert_int_equal(cellar_client_table_name(client, "a/b/t", name, &error), CELLAR_OK);
    assert_string_equal(name, "a/b/t");
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 5] = '\0'; /* with "p/i/" in front, as long as a name can be */
    assert_int_equal(cellar_client_table_name(client, longest, name, &error), CELLAR_OK);
    longest[sizeof longest - 5] = 'x';
    longest[sizeof longest - 4] = '\0';
    assert_int_equal(cellar_client_table_name(client, longest, name, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 255 bytes"));
    cellar_client_close(client);
}

static void every_code_has_its_name(void **state)
{
    (void)state;
    assert_string_equal(cellar_code_text(CELLAR_E_OK), "OK");
    assert_string_equal(cellar_code_text(CELLAR_E_OUTCOME_UNKNOWN), "OUTCOME_UNKNOWN");
    assert_string_equal(cellar_code_text(CELLAR_E_NO_MEMORY), "NO_MEMORY");
    assert_string_equal(cellar_code_text((enum cellar_code)17), "UNKNOWN");
    assert_string_equal(cellar_code_text((enum cellar_code) - 1), "UNKNOWN");
}

static void a_failure_says_what_where_and_whether_to_try_again(void **state)
{
    (void)state;
    struct cellar_client *client = NULL;
    struct cellar_call call = {.timeout_us = 7};
    struct cellar_error error;
    assert_int_equal(cellar_client_open(NULL, NULL, &client), CELLAR_E_OK);
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "busy");
    error.retry_delay_ms = 40;
    assert_int_equal(cellar_client_finish(client, "PING", &call, &error), CELLAR_E_UNAVAILABLE);
    assert_int_equal(call.failure.code, CELLAR_E_UNAVAILABLE);
    assert_true(call.failure.is_retryable);
    assert_int_equal(call.failure.retry_delay_ms, 40);
    assert_string_equal(call.failure.text, "busy");
    assert_string_equal(call.failure.where, "PING at 127.0.0.1:8086");
    assert_int_equal(call.timeout_us, 7);
    assert_int_equal(cellar_client_finish(client, "PING", NULL, &error), CELLAR_E_UNAVAILABLE);
    cellar_client_close(client);
}

static void random_bits_differ(void **state)
{
    (void)state;
    struct cellar_client *client = NULL;
    assert_int_equal(cellar_client_open(NULL, NULL, &client), CELLAR_E_OK);
    uint64_t first = cellar_client_random(client);
    assert_int_not_equal(first, cellar_client_random(client));
    cellar_client_close(client);
}

static enum cellar_status open_client(void *context)
{
    struct cellar_client *client = NULL;
    (void)context;
    enum cellar_code code = cellar_client_open(NULL, NULL, &client);
    cellar_client_close(client);
    return (enum cellar_status)code;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(open_client, NULL), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_everything_has_its_default),
        cmocka_unit_test(options_out_of_range_are_refused_by_name),
        cmocka_unit_test(names_of_tables_are_completed_within_their_limit),
        cmocka_unit_test(every_code_has_its_name),
        cmocka_unit_test(a_failure_says_what_where_and_whether_to_try_again),
        cmocka_unit_test(random_bits_differ),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
