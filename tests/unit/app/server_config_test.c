/*
 * cellard's options: the defaults that the documentation promises, what depends on more than one
 * option, and that a server never becomes reachable from outside by accident.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/app/server_config.h"

#define MIB UINT64_C(1048576)

static struct cellar_config settings;
static struct cellar_server_config config;
static struct cellar_error error;

/* Reads and resolves up to four flags. */
static enum cellar_status resolve(const char *const *flags, size_t flag_count)
{
    char texts[5][128] = {"cellard"};
    char *arguments[5];
    char *environment[1] = {NULL};
    for (size_t i = 0; i < 5; i++) {
        arguments[i] = texts[i];
    }
    for (size_t i = 0; i < flag_count; i++) {
        (void)snprintf(texts[1 + i], sizeof texts[0], "%s", flags[i]);
    }
    cellar_config_fini(&settings);
    assert_int_equal(
        cellar_config_init(&settings, cellar_server_options, cellar_server_option_count),
        CELLAR_OK);
    enum cellar_status status =
        cellar_server_config_read(&settings, (int)flag_count + 1, arguments, environment, &error);
    if (status == CELLAR_OK) {
        status = cellar_server_config_resolve(&settings, &config, &error);
    }
    return status;
}

static enum cellar_status resolve_one(const char *flag)
{
    return resolve(&flag, 1);
}

static void options_default_to_what_the_documentation_says(void **state)
{
    (void)state;
    char text[IO_ADDRESS_TEXT_BYTES_MAX];
    assert_int_equal(resolve(NULL, 0), CELLAR_OK);
    assert_string_equal(io_address_show(&config.address, text), "127.0.0.1:8086");
    assert_string_equal(config.svc.data_dir, "./cellar-data");
    assert_string_equal(config.port_file, "");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    assert_int_equal(config.loop_count, CELLAR_MIN(CELLAR_MAX(cores * 3 / 4, 1L), 64L));
    assert_int_equal(config.request_bytes_max_total, 264 * MIB);
    assert_int_equal(config.answer_bytes_max_total, 128 * MIB);
    assert_int_equal(config.svc.memory_bytes_max, 632 * MIB);
    assert_int_equal(config.svc.memtable_bytes_max, 64 * MIB);
    assert_int_equal(config.svc.log_unapplied_bytes_max, 128 * MIB);
    assert_int_equal(config.svc.log_unapplied_records_max, 1000000);
    assert_int_equal(config.svc.log_segment_bytes, 16 * MIB);
    assert_int_equal(config.svc.store_map_bytes, 65536 * MIB);
    assert_int_equal(config.svc.checkpoint_records_max, 0);
    assert_int_equal(config.svc.scrub_interval_us, INT64_C(604800000000));
    assert_true(config.svc.implicit_instances);
    assert_int_equal(config.log_level, CELLAR_LOG_INFO);
    assert_int_equal(config.drain_us, 5000000);
}

static void options_reach_the_service(void **state)
{
    (void)state;
    static const char *const flags[] = {"--checkpoint-records-max=7", "--log-segment-bytes=1m",
                                        "--implicit-instances=false", "--workers=3"};
    assert_int_equal(resolve(flags, 4), CELLAR_OK);
    assert_int_equal(config.svc.checkpoint_records_max, 7);
    assert_int_equal(config.svc.log_segment_bytes, MIB);
    assert_false(config.svc.implicit_instances);
    assert_int_equal(config.loop_count, 3);
}

static void listening_beyond_this_machine_needs_a_word(void **state)
{
    (void)state;
    static const char *const open_flags[] = {"--listen=0.0.0.0:0", "--insecure"};
    assert_int_equal(resolve_one("--listen=0.0.0.0:0"), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "--insecure"));
    assert_int_equal(resolve(open_flags, 2), CELLAR_OK);
    assert_int_equal(resolve_one("--listen=[::1]:0"), CELLAR_OK);
}

struct refused_case {
    const char *flag;
    const char *text;
};

static const struct refused_case refused_cases[] = {
    {"--listen=nonsense", "listen: 'nonsense' is not HOST:PORT"},
    {"--log-level=loud", "--log-level: 'loud' is not"},
    {"--memory-bytes-max=1m", "--memory-bytes-max"},
    {"--request-bytes-max-total=1m", "at least 4m"},
    {"--request-bytes-max-total=1g", "must leave 64m"},
    {"--workers=65", "--workers"},
    {"--connections-max=0", "--connections-max"},
    {"--config=/no/such/file", "/no/such/file"},
    {"--what", "--what"},
};

static void options_that_cannot_work_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(refused_cases); i++) {
        enum cellar_status status = resolve_one(refused_cases[i].flag);
        if (status != CELLAR_INVALID_ARGUMENT ||
            strstr(error.text, refused_cases[i].text) == NULL) {
            fail_msg("%s: got %s '%s'", refused_cases[i].flag, cellar_status_text(status),
                     error.text);
        }
    }
}

static int teardown(void **state)
{
    (void)state;
    cellar_config_fini(&settings);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(options_default_to_what_the_documentation_says, teardown),
        cmocka_unit_test_teardown(options_reach_the_service, teardown),
        cmocka_unit_test_teardown(listening_beyond_this_machine_needs_a_word, teardown),
        cmocka_unit_test_teardown(options_that_cannot_work_are_refused, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
