/*
 * tool: the program around its commands, without a server: help, versions, arguments that are
 * wrong, verbs that this build lacks, exit codes and the two lines of an error.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools/tool.h"

/* One run of the program and what it printed. */
struct run {
    int exit_code;
    char *out;
    char *err;
};

#define ARGC_MAX 12

static struct run run(const char *const *arguments)
{
    struct run run = {0};
    char texts[ARGC_MAX][64];
    char *argv[ARGC_MAX + 1];
    size_t out_bytes;
    size_t err_bytes;
    int argc = 0;
    for (; arguments[argc] != NULL; argc++) {
        assert_true(argc < ARGC_MAX);
        (void)snprintf(texts[argc], sizeof texts[argc], "%s", arguments[argc]);
        argv[argc] = texts[argc];
    }
    argv[argc] = NULL;
    FILE *out = open_memstream(&run.out, &out_bytes);
    FILE *err = open_memstream(&run.err, &err_bytes);
    run.exit_code = cellar_tool_run(argc, argv, out, err);
    (void)fclose(out);
    (void)fclose(err);
    return run;
}

#define RUN(...) run((const char *const[]){"cellar", __VA_ARGS__, NULL})

static void expect(struct run run, int exit_code, const char *out, const char *err)
{
    if (run.exit_code != exit_code || strstr(run.out, out) == NULL ||
        strstr(run.err, err) == NULL) {
        fail_msg("exit code %d (wanted %d)\nout: %s\nerr: %s", run.exit_code, exit_code, run.out,
                 run.err);
    }
    free(run.out);
    free(run.err);
}

static void help_lists_every_command(void **state)
{
    (void)state;
    static const char *const verbs[] = {"table create", "table ls",       "table describe",
                                        "table drop",   "table truncate", "family add",
                                        "family set",   "family drop",    "get",
                                        "scan",         "count",          "set",
                                        "delete",       "drop-rows",      "import",
                                        "export",       "ping",           "info"};
    struct run overview = RUN("help");
    assert_int_equal(overview.exit_code, 0);
    assert_string_equal(overview.err, "");
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(verbs); index++) {
        char line[32];
        (void)snprintf(line, sizeof line, "\n  %-16s ", verbs[index]);
        assert_non_null(strstr(overview.out, line));
    }
    free(overview.out);
    free(overview.err);
    expect(RUN("--help"), 0, "exit codes", "");
    expect(run((const char *const[]){"cellar", NULL}), 2, "", "options of every command");
}

static void help_of_a_command_shows_its_words_and_options(void **state)
{
    (void)state;
    expect(RUN("help", "set"), 0, "cellar set T ROW [cf:q=VALUE] ...", "");
    expect(RUN("help", "table", "create"), 0, "--split KEY", "");
    expect(RUN("scan", "--help"), 0, "--prefix P", "");
    expect(RUN("import", "t", "--help"), 0, "--format jsonl|csv|deb822", "");
    expect(RUN("help", "table"), 0, "table describe", "");
    expect(RUN("help", "nope"), 2, "", "There is no command 'nope'");
    expect(RUN("help", "sample"), 2, "", "This build does not have 'sample'");
}

static void the_version_is_told(void **state)
{
    (void)state;
    expect(RUN("--version"), 0, "cellar " CELLAR_VERSION_TEXT "\n", "");
    expect(RUN("-V"), 0, "cellar " CELLAR_VERSION_TEXT "\n", "");
    expect(RUN("-h"), 0, "exit codes", "");
}

static void verbs_of_later_versions_are_refused_as_such(void **state)
{
    (void)state;
    static const char *const verbs[] = {"add", "sample", "increment", "append", "check-and-set"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(verbs); index++) {
        expect(RUN(verbs[index], "x"), 2, "", "cellar: INVALID_ARGUMENT: This build does not have");
    }
}

static void wrong_arguments_are_usage_errors(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[8];
        const char *text;
    } cases[] = {
        {{"nope"}, "There is no command 'nope'."},
        {{"scna", "t"}, "There is no command 'scna'; did you mean scan."},
        {{"tabel", "ls"}, "There is no command 'tabel'; did you mean table ls."},
        {{"drop", "t"}, "There is no command 'drop'; did you mean table drop."},
        {{"scan", "t", "--perfix", "a"}, "Unknown option --perfix; did you mean --prefix."},
        {{"scan", "t", "--perfix=a"}, "Unknown option --perfix=a; did you mean --prefix."},
        {{"table", "drop", "t"}, "'table drop' needs --yes"},
        {{"table"}, "'table' is followed by create, ls, describe, drop or truncate"},
        {{"table", "nope"}, "'table' is followed by"},
        {{"family"}, "'family' is followed by add, set or drop"},
        {{"family", "nope", "t", "f"}, "'family' is followed by"},
        {{"family", "add", "t"}, "followed by T NAME[:max-versions=N][:max-age=D] ..."},
        {{"family", "add", "t", "f:max-versions=0"}, "max-versions must be a number above 0"},
        {{"family", "set", "t", "f", "g:gc=x"}, "A gc expression has"},
        {{"family", "drop", "t", "f:max-versions=1", "--yes"}, "takes names of families alone"},
        {{"family", "drop", "t", "f"}, "'family drop' needs --yes"},
        {{"table", "truncate", "t"}, "'table truncate' needs --yes"},
        {{"drop-rows", "t", "--yes"}, "drop-rows needs --prefix P with at least one byte"},
        {{"drop-rows", "t", "--prefix", "", "--yes"}, "`table truncate` drops all rows"},
        {{"drop-rows", "t", "--prefix=", "--dry-run"}, "drop-rows needs --prefix P"},
        {{"drop-rows", "t", "--prefix", "\\q", "--yes"}, "is no escape"},
        {{"drop-rows", "t", "--prefix", "p"}, "'drop-rows' needs --yes"},
        {{"drop-rows", "t", "p"}, "followed by T --prefix P, but got 2 words"},
        {{"set"}, "'set' is followed by T ROW [cf:q=VALUE] ..., but got 0 words"},
        {{"set", "t", "r"}, "No cells to set"},
        {{"table", "ls", "x"}, "'table ls' is followed by nothing, but got 1 word."},
        {{"get", "t"}, "followed by T ROW"},
        {{"set", "t", "r", "x"}, "family:qualifier=VALUE"},
        {{"set", "t", "\\q", "f:q=v"}, "is no escape"},
        {{"set", "t", "r", "f:q=v", "--timestamp", "soon"}, "--timestamp must be a number"},
        {{"set", "t", "r", "f:q=v", "--format", "json"}, "Unknown option --format"},
        {{"get", "t", "r", "--nope"}, "Unknown option --nope"},
        {{"get", "t", "r", "--format", "xml"}, "--format must be text, json, jsonl or csv"},
        {{"get", "t", "r", "--versions", "0"}, "--versions must be a number from 1"},
        {{"get", "t", "r", "--column", ":q"}, "family:qualifier"},
        {{"scan", "t", "--limit", "-1"}, "--limit must be a number from 0"},
        {{"scan", "t", "--prefix", "a", "--end", "b"}, "cannot stand beside"},
        {{"scan", "t", "--start", "\\x"}, "is no escape"},
        {{"count", "t", "--timeout", "0"}, "duration"},
        {{"ping", "--endpoint", "nowhere"}, "host:port"},
        {{"ping", "--instance", "one"}, "one"},
        {{"table", "create", "t", "--family", "f:x"}, "max-versions=N and max-age=D"},
        {{"table", "create", "t", "--granularity", "days"}, "millis or micros"},
        {{"table", "create", "t", "--split", "\\"}, "is no escape"},
        {{"import", "t", "/nowhere/at/all"}, "Cannot open '/nowhere/at/all'"},
        {{"import", "t", "/tmp"}, "is a folder"},
        {{"import", "t", "-", "--format", "jsonl", "--key", "k"}, "--key belongs to --format csv"},
        {{"import", "t", "-", "--format", "xml"}, "jsonl, csv or deb822"},
        {{"import", "t", "-", "--parallel", "0"}, "--parallel must be a number from 1 to 64"},
        {{"import", "t", "-", "--batch", "10001"}, "--batch must be a number from 1 to 10000"},
        {{"import", "t", "-", "--dependency-family", "d"}, "belongs to --format deb822"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        const char *arguments[10] = {"cellar"};
        for (size_t at = 0; at < 8 && cases[index].arguments[at] != NULL; at++) {
            arguments[at + 1] = cases[index].arguments[at];
        }
        expect(run(arguments), 2, "", cases[index].text);
    }
}

static void an_error_says_what_to_do_next(void **state)
{
    (void)state;
    struct run done = RUN("scan", "t", "--limit", "x");
    assert_string_equal(done.err,
                        "cellar: INVALID_ARGUMENT: Option --limit must be a number from 0 "
                        "to 9223372036854775807, but got 'x'.\n"
                        "        `cellar help scan` shows how it is used.\n");
    assert_string_equal(done.out, "");
    free(done.out);
    free(done.err);
    expect(RUN("nope"), 2, "", "`cellar help` lists the commands.");
}

static void what_stands_in_an_error_cannot_command_a_terminal(void **state)
{
    (void)state;
    expect(RUN("\x1b[31mred\a"), 2, "", "There is no command '\\x1b[31mred\\x07'.\n");
    expect(RUN("get", "t", "r", "--\xe2\x80\xae\x9b"), 2, "", "--\\xe2\\x80\\xae\\x9b");
    expect(RUN("get", "t", "\\\x1b"), 2, "", "'\\\\x1b' is no escape: write \\xNN");
}

static void a_server_that_cannot_be_reached_is_exit_code_5(void **state)
{
    (void)state;
    expect(RUN("--endpoint", "127.0.0.1:1", "ping"), 5, "", "cellar: UNAVAILABLE: Cannot connect");
    expect(RUN("get", "t", "r", "--endpoint=127.0.0.1:1"), 5, "", "Start a server with `cellard`");
}

static void options_may_stand_before_and_behind_the_verb(void **state)
{
    (void)state;
    expect(RUN("--timeout", "1s", "--endpoint", "127.0.0.1:1", "count", "t"), 5, "", "Cannot");
    expect(RUN("--timeout=1s", "table", "ls", "--endpoint", "127.0.0.1:1"), 5, "", "Cannot");
    expect(RUN("--nope", "count", "t"), 2, "", "Unknown option --nope");
    expect(RUN("--timeout"), 2, "", "");
}

static void the_environment_names_the_endpoint_unless_an_option_does(void **state)
{
    (void)state;
    assert_int_equal(setenv("CELLAR_ENDPOINT", "127.0.0.1:2", 1), 0);
    expect(RUN("ping"), 5, "", "port 2");
    expect(RUN("ping", "--endpoint", "127.0.0.1:1"), 5, "", "port 1");
    assert_int_equal(setenv("CELLAR_ENDPOINT", "nonsense", 1), 0);
    expect(RUN("ping"), 2, "", "nonsense");
    assert_int_equal(unsetenv("CELLAR_ENDPOINT"), 0);
}

static void every_status_has_its_exit_code(void **state)
{
    (void)state;
    static const int codes[CELLAR_STATUS_COUNT] = {0, 2, 3, 4, 4, 4, 5, 5, 5,
                                                   5, 6, 6, 1, 1, 1, 1, 1};
    for (unsigned status = 0; status < CELLAR_STATUS_COUNT; status++) {
        assert_int_equal(cellar_tool_exit_code((enum cellar_status)status), codes[status]);
    }
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
    (void)state;
    char program[] = "cellar";
    char verb[] = "help";
    char *argv[] = {program, verb, NULL};
    FILE *full = fopen("/dev/full", "w");
    FILE *err = fopen("/dev/null", "w");
    assert_non_null(full);
    assert_int_equal(cellar_tool_run(2, argv, full, err), 1);
    (void)fclose(full);
    (void)fclose(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_lists_every_command),
        cmocka_unit_test(help_of_a_command_shows_its_words_and_options),
        cmocka_unit_test(the_version_is_told),
        cmocka_unit_test(verbs_of_later_versions_are_refused_as_such),
        cmocka_unit_test(wrong_arguments_are_usage_errors),
        cmocka_unit_test(an_error_says_what_to_do_next),
        cmocka_unit_test(what_stands_in_an_error_cannot_command_a_terminal),
        cmocka_unit_test(a_server_that_cannot_be_reached_is_exit_code_5),
        cmocka_unit_test(options_may_stand_before_and_behind_the_verb),
        cmocka_unit_test(the_environment_names_the_endpoint_unless_an_option_does),
        cmocka_unit_test(every_status_has_its_exit_code),
        cmocka_unit_test(output_that_cannot_be_written_is_a_failure),
    };
    return cmocka_run_group_tests_name("tool", tests, NULL, NULL);
}
