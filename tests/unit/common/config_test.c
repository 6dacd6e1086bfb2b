/*
 * Settings: each kind of value, the order of the layers, what a file may hold, and that every error
 * names its place.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"

static const struct cellar_config_option options[] = {
    {.name = "data-dir",
     .kind = CELLAR_CONFIG_TEXT,
     .default_value = "./d",
     .value_name = "DIR",
     .help = "where the data lives"},
    {.name = "size-max",
     .kind = CELLAR_CONFIG_BYTES,
     .default_value = "1m",
     .number_min = 10,
     .number_max = 1u << 30,
     .value_name = "BYTES",
     .help = "how much"},
    {.name = "workers",
     .kind = CELLAR_CONFIG_COUNT,
     .default_value = "2",
     .value_name = "N",
     .help = "how many"},
    {.name = "is-open", .kind = CELLAR_CONFIG_BOOL, .default_value = "false", .help = "whether"},
    {.name = "wait",
     .kind = CELLAR_CONFIG_DURATION,
     .default_value = "2s",
     .value_name = "TIME",
     .help = "how long"},
    {.name = "help",
     .kind = CELLAR_CONFIG_BOOL,
     .default_value = "false",
     .is_flag_only = true,
     .help = "print this"},
};

static struct cellar_config config;
static struct cellar_error error;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(cellar_config_init(&config, options, CELLAR_ARRAY_COUNT(options)), CELLAR_OK);
    cellar_error_clear(&error);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cellar_config_fini(&config);
    return 0;
}

static enum cellar_status read_flag(const char *first, const char *second)
{
    char texts[3][128] = {"program", "", ""};
    char *arguments[3] = {texts[0], texts[1], texts[2]};
    (void)snprintf(texts[1], sizeof texts[1], "%s", first);
    if (second != NULL) {
        (void)snprintf(texts[2], sizeof texts[2], "%s", second);
    }
    return cellar_config_read_flags(&config, second != NULL ? 3 : 2, arguments, &error);
}

static enum cellar_status read_variable(const char *text)
{
    char copy[128];
    char *environment[2] = {copy, NULL};
    (void)snprintf(copy, sizeof copy, "%s", text);
    return cellar_config_read_environment(&config, environment, &error);
}

/* Reads a file with that content; its path is "settings" in errors. */
static enum cellar_status read_content(const char *content, size_t bytes)
{
    char folder[256];
    char before[256];
    test_temp_dir(folder, sizeof folder);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    FILE *file = fopen("settings", "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    enum cellar_status status = cellar_config_read_file(&config, "settings", &error);
    assert_int_equal(chdir(before), 0);
    test_remove_tree(folder);
    return status;
}

static enum cellar_status read_text(const char *content)
{
    return read_content(content, strlen(content));
}

static void expect_refused(enum cellar_status status, const char *text)
{
    if (status != CELLAR_INVALID_ARGUMENT || strstr(error.text, text) == NULL) {
        fail_msg("got %s '%s', not '%s'", cellar_status_text(status), error.text, text);
    }
}

static void config_has_its_defaults(void **state)
{
    (void)state;
    assert_string_equal(cellar_config_text(&config, "data-dir"), "./d");
    assert_int_equal(cellar_config_number(&config, "size-max"), 1048576);
    assert_int_equal(cellar_config_number(&config, "workers"), 2);
    assert_int_equal(cellar_config_number(&config, "wait"), 2000000);
    assert_false(cellar_config_bool(&config, "is-open"));
    assert_int_equal(cellar_config_get(&config, "wait")->origin, CELLAR_CONFIG_DEFAULT);
}

struct value_case {
    const char *flag;
    const char *name;
    uint64_t number;
};

static const struct value_case value_cases[] = {
    {"--size-max=10", "size-max", 10},
    {"--size-max=3k", "size-max", 3072},
    {"--size-max=2M", "size-max", 2097152},
    {"--size-max=1g", "size-max", 1073741824},
    {"--workers=0", "workers", 0},
    {"--workers=18446744073709551615", "workers", UINT64_MAX},
    {"--wait=5us", "wait", 5},
    {"--wait=5ms", "wait", 5000},
    {"--wait=5m", "wait", 300000000},
    {"--wait=5h", "wait", 18000000000},
    {"--wait=7d", "wait", 604800000000},
    {"--wait=0", "wait", 0},
    {"--is-open", "is-open", 1},
    {"--is-open=no", "is-open", 0},
    {"--is-open=on", "is-open", 1},
};

static void config_reads_every_kind_of_value(void **state)
{
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(value_cases); i++) {
        assert_int_equal(read_flag(value_cases[i].flag, NULL), CELLAR_OK);
        assert_int_equal(cellar_config_get(&config, value_cases[i].name)->number,
                         value_cases[i].number);
        teardown(state);
        setup(state);
    }
    assert_int_equal(read_flag("--data-dir", "some where"), CELLAR_OK);
    assert_string_equal(cellar_config_text(&config, "data-dir"), "some where");
    assert_int_equal(read_flag("--data-dir=", NULL), CELLAR_OK);
    assert_string_equal(cellar_config_text(&config, "data-dir"), "");
}

struct refused_case {
    const char *flag;
    const char *text;
};

static const struct refused_case refused_cases[] = {
    {"--size-max=", "--size-max: '' is not a number of bytes"},
    {"--size-max=12x", "'12x' is not a number of bytes"},
    {"--size-max=k", "'k' is not"},
    {"--size-max=-1", "'-1' is not"},
    {"--size-max=9", "9 is out of bounds; it must be 10 to 1073741824"},
    {"--size-max=2g", "out of bounds"},
    {"--size-max=18446744073709551616", "is not"},
    {"--size-max=18446744073709551615k", "is not"},
    {"--workers=2k", "'2k' is not a number: digits only"},
    {"--workers= 2", "is not"},
    {"--wait=5", "'5' is not a time"},
    {"--wait=5 s", "is not a time"},
    {"--is-open=maybe", "'maybe' is not true or false"},
    {"--none", "there is no option --none"},
    {"--none=1", "there is no option --none;"},
    {"--data_dir=x", "there is no option --data_dir"},
    {"data", "'data' is not an option"},
    {"-h", "'-h' is not an option"},
    {"--", "'--' is not an option"},
    {"--data-dir", "--data-dir needs a value: --data-dir DIR"},
};

static void config_refuses_wrong_flags_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(refused_cases); i++) {
        expect_refused(read_flag(refused_cases[i].flag, NULL), refused_cases[i].text);
    }
}

static void config_lets_flags_win_over_environment_over_file(void **state)
{
    (void)state;
    assert_int_equal(read_flag("--workers", "5"), CELLAR_OK);
    assert_int_equal(read_variable("CELLAR_WORKERS=4"), CELLAR_OK);
    assert_int_equal(read_variable("CELLAR_WAIT=4s"), CELLAR_OK);
    assert_int_equal(read_text("workers = 3\nwait = 3s\nsize_max = 3k\n"), CELLAR_OK);
    assert_int_equal(cellar_config_number(&config, "workers"), 5);
    assert_int_equal(cellar_config_get(&config, "workers")->origin, CELLAR_CONFIG_FLAG);
    assert_int_equal(cellar_config_number(&config, "wait"), 4000000);
    assert_int_equal(cellar_config_get(&config, "wait")->origin, CELLAR_CONFIG_ENVIRONMENT);
    assert_int_equal(cellar_config_number(&config, "size-max"), 3072);
    assert_int_equal(cellar_config_get(&config, "size-max")->line, 3);
}

static void config_passes_over_foreign_and_empty_variables(void **state)
{
    (void)state;
    assert_int_equal(read_variable("CELLAR_ENDPOINT=somewhere"), CELLAR_OK);
    assert_int_equal(read_variable("CELLAR_WORKERSX=1"), CELLAR_OK);
    assert_int_equal(read_variable("CELLAR_WORKERS="), CELLAR_OK);
    assert_int_equal(read_variable("CELLAR_HELP=true"), CELLAR_OK);
    assert_int_equal(cellar_config_number(&config, "workers"), 2);
    assert_false(cellar_config_bool(&config, "help"));
    expect_refused(read_variable("CELLAR_WORKERS=x"), "CELLAR_WORKERS: 'x' is not a number");
}

static void config_reads_a_file_with_comments_and_blanks(void **state)
{
    (void)state;
    assert_int_equal(read_text("# all of it\r\n\n  data-dir=/a b#c  # why\r\n\tis_open = yes"),
                     CELLAR_OK);
    assert_string_equal(cellar_config_text(&config, "data-dir"), "/a b#c");
    assert_true(cellar_config_bool(&config, "is-open"));
    assert_int_equal(cellar_config_get(&config, "is-open")->line, 4);
}

static void config_names_file_and_line_of_what_is_wrong(void **state)
{
    (void)state;
    expect_refused(read_text("\nnone = 1\n"), "settings:2: there is no setting 'none'");
    expect_refused(read_text("just text"), "settings:1: expected key = value");
    expect_refused(read_text("workers = x"), "settings:1: workers: 'x' is not a number");
    expect_refused(read_text("help = true"), "there is no setting 'help'");
    expect_refused(read_text("= 3"), "there is no setting ''");
    expect_refused(read_text("workers = 1\nworkers = 2"), "settings:2: this setting comes twice");
    expect_refused(read_content("work\0ers = 1", 12), "settings:1");
    expect_refused(cellar_config_read_file(&config, "/no/such/file", &error), "/no/such/file");
    expect_refused(cellar_config_read_file(&config, "/", &error), "cannot read /");
}

/* Keeps the texts of all errors. */
static void keep_report(void *context, const struct cellar_error *reported)
{
    char *texts = context;
    assert_int_equal(reported->code, CELLAR_INVALID_ARGUMENT);
    size_t length = strlen(texts);
    (void)snprintf(texts + length, 4096 - length, "%s\n", reported->text);
}

static void config_reports_everything_that_is_wrong(void **state)
{
    (void)state;
    static char texts[4096];
    char flags[3][16] = {"--workers=x", "--colour=red", "--size-max=20"};
    char variable[] = "CELLAR_WAIT=long";
    char *arguments[] = {flags[0], flags[0], flags[1], flags[2], NULL};
    char *environment[] = {variable, NULL};
    texts[0] = '\0';
    config.report = keep_report;
    config.report_context = texts;
    assert_int_equal(cellar_config_read_flags(&config, 4, arguments, &error), CELLAR_OK);
    assert_int_equal(cellar_config_read_environment(&config, environment, &error), CELLAR_OK);
    assert_int_equal(read_text("size-max = 5\nnonsense\nworkers = 7\nfoo = 1\n"), CELLAR_OK);
    assert_int_equal(cellar_config_read_file(&config, "/no/such/file", &error), CELLAR_OK);
    assert_int_equal(config.error_count, 7);
    static const char *const parts[] = {
        "--workers: 'x'",      "--colour",
        "CELLAR_WAIT: 'long'", "settings:1: size_max: 5",
        "settings:2: ",        "settings:4: there is no setting 'foo'",
        "/no/such/file"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(parts); i++) {
        if (strstr(texts, parts[i]) == NULL) {
            fail_msg("'%s' is not in\n%s", parts[i], texts);
        }
    }
    assert_int_equal(cellar_config_number(&config, "workers"), 7);
    assert_int_equal(cellar_config_number(&config, "size-max"), 20);
}

static void config_names_the_place_of_what_is_found_wrong_later(void **state)
{
    (void)state;
    static const char *const places[] = {"workers: no", "settings:2: workers: no",
                                         "CELLAR_WORKERS: no", "--workers: no"};
    char flag[] = "--workers=9";
    char variable[] = "CELLAR_WORKERS=8";
    char *arguments[] = {flag, flag, NULL};
    char *environment[] = {variable, NULL};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(places); i++) {
        if (i == 1) {
            assert_int_equal(read_text("\nworkers = 7\n"), CELLAR_OK);
        } else if (i == 2) {
            assert_int_equal(cellar_config_read_environment(&config, environment, &error),
                             CELLAR_OK);
        } else if (i == 3) {
            assert_int_equal(cellar_config_read_flags(&config, 2, arguments, &error), CELLAR_OK);
        }
        (void)cellar_error_set(&error, CELLAR_INVALID_ARGUMENT, "no");
        assert_int_equal(cellar_config_refuse(&config, "workers", &error), CELLAR_INVALID_ARGUMENT);
        assert_string_equal(error.text, places[i]);
    }
}

static void config_checks_a_file_also_where_flags_win(void **state)
{
    (void)state;
    assert_int_equal(read_flag("--workers", "5"), CELLAR_OK);
    expect_refused(read_text("workers = x"), "settings:1");
}

static void config_prints_what_reads_back_the_same(void **state)
{
    struct cellar_buffer text = {0};
    assert_int_equal(read_text("wait = 3s\n"), CELLAR_OK);
    assert_int_equal(read_flag("--data-dir", "/x"), CELLAR_OK);
    assert_int_equal(read_variable("CELLAR_WORKERS=4"), CELLAR_OK);
    assert_int_equal(cellar_config_print(&config, &text), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&text, "", 1), CELLAR_OK);
    assert_string_equal((const char *)text.data, "data_dir = /x # flag\n"
                                                 "size_max = 1m # default\n"
                                                 "workers = 4 # environment\n"
                                                 "is_open = false # default\n"
                                                 "wait = 3s # file settings:1\n");
    teardown(state);
    setup(state);
    assert_int_equal(read_text((const char *)text.data), CELLAR_OK);
    assert_string_equal(cellar_config_text(&config, "data-dir"), "/x");
    assert_int_equal(cellar_config_number(&config, "wait"), 3000000);
    cellar_buffer_fini(&text);
}

static void config_lists_every_option_in_its_help(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    assert_int_equal(cellar_config_help(&config, &text), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&text, "", 1), CELLAR_OK);
    assert_non_null(strstr((const char *)text.data, "--size-max BYTES"));
    assert_non_null(strstr((const char *)text.data, "how much (default 1m)"));
    assert_non_null(strstr((const char *)text.data, "print this\n"));
    cellar_buffer_fini(&text);
}

static enum cellar_status make_and_read(void *context)
{
    (void)context;
    struct cellar_config made;
    char texts[3][16] = {"program", "--workers", "7"};
    char *arguments[3] = {texts[0], texts[1], texts[2]};
    enum cellar_status status = cellar_config_init(&made, options, CELLAR_ARRAY_COUNT(options));
    if (status == CELLAR_OK) {
        made.arena.block_bytes = 64;
        status = cellar_config_read_flags(&made, 3, arguments, &error);
    }
    if (status == CELLAR_OK) {
        status = cellar_config_read_file(&made, "/dev/null", &error);
    }
    cellar_config_fini(&made);
    return status;
}

static void config_survives_every_failing_allocation(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(make_and_read, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_has_its_defaults),
        cmocka_unit_test(config_reads_every_kind_of_value),
        cmocka_unit_test(config_refuses_wrong_flags_by_name),
        cmocka_unit_test(config_lets_flags_win_over_environment_over_file),
        cmocka_unit_test(config_passes_over_foreign_and_empty_variables),
        cmocka_unit_test(config_reads_a_file_with_comments_and_blanks),
        cmocka_unit_test(config_names_file_and_line_of_what_is_wrong),
        cmocka_unit_test(config_reports_everything_that_is_wrong),
        cmocka_unit_test(config_names_the_place_of_what_is_found_wrong_later),
        cmocka_unit_test(config_checks_a_file_also_where_flags_win),
        cmocka_unit_test(config_prints_what_reads_back_the_same),
        cmocka_unit_test(config_lists_every_option_in_its_help),
        cmocka_unit_test(config_survives_every_failing_allocation),
    };
    struct CMUnitTest each[CELLAR_ARRAY_COUNT(tests)];
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(tests); i++) {
        each[i] = tests[i];
        each[i].setup_func = setup;
        each[i].teardown_func = teardown;
    }
    return cmocka_run_group_tests(each, NULL, NULL);
}
