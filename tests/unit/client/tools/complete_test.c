/*
 * complete: what the last word of a line may become where no server is asked; the scripts that ask
 * for it are run in real shells by tests/system/completion_test.py.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/complete.h"
#include "client/tools/completion.h"

static struct cellar_tool tool;

/* Completes the words and compares: a line each, without what they mean. */
static void expect(const char *const *words, const char *wanted)
{
    struct cellar_buffer to = {0};
    struct cellar_buffer names = {0};
    size_t count = 0;
    while (words[count] != NULL) {
        count++;
    }
    assert_int_equal(cellar_complete(&tool, words, count, &to), CELLAR_OK);
    bool is_help = false;
    for (size_t index = 0; index < to.bytes; index++) {
        is_help = to.data[index] != '\n' && (is_help || to.data[index] == '\t');
        if (!is_help) {
            assert_int_equal(cellar_buffer_append(&names, &to.data[index], 1), CELLAR_OK);
        }
    }
    if (!cellar_slice_equal(cellar_slice_of(&names), cellar_slice_text(wanted))) {
        fail_msg("got:\n%.*s\nwanted:\n%s", (int)names.bytes, (const char *)names.data, wanted);
    }
    cellar_buffer_fini(&to);
    cellar_buffer_fini(&names);
}

#define EXPECT(wanted, ...) expect((const char *const[]){__VA_ARGS__, NULL}, wanted)

static void verbs_are_completed_word_by_word(void **state)
{
    (void)state;
    EXPECT("scan\n", "sca");
    EXPECT("scan\n", "--timeout", "1s", "--instance=p/i", "sca");
    EXPECT("table\n", "tab");
    EXPECT("describe\ndrop\n", "table", "d");
    EXPECT("drop\n", "help", "table", "dr");
    EXPECT("family\n", "fam");
    EXPECT("add\nset\ndrop\n", "family", "");
    EXPECT("drop-rows\n", "dro");
    EXPECT("set\n", "man", "se");
    EXPECT("", "nonsense", "");
    EXPECT("", "help", "scan", "");
    EXPECT("", "compl\x1b");
    EXPECT("completion\n", "compl"); /* what is for programs is not shown to people */
}

static void options_are_those_of_the_command_and_of_all(void **state)
{
    (void)state;
    EXPECT("--endpoint\n--instance\n--timeout\n--help\n", "-");
    EXPECT("--prefix\n--format\n--endpoint\n--instance\n--timeout\n--help\n", "count", "t", "--");
    EXPECT("--yes\n", "table", "drop", "--y");
    EXPECT("", "count", "--", "--");
    EXPECT("", "count", "t", "--nope=");
    EXPECT("", "count", "t", "--help=");
}

static void values_are_completed_behind_both_forms_of_an_option(void **state)
{
    (void)state;
    EXPECT("json\njsonl\n", "count", "t", "--format", "j");
    EXPECT("--format=json\n--format=jsonl\n", "count", "t", "--format=j");
    EXPECT("millis\nmicros\n", "table", "create", "t", "--granularity", "");
    EXPECT("bash\nzsh\nfish\n", "completion", "");
    EXPECT("", "completion", "bash", "");
    EXPECT("", "count", "t", "--prefix", "");
    EXPECT("@files\n", "import", "t", "");
    EXPECT("@files\n", "import", "t", "-", "--rejects", "x");
    EXPECT("@files\n", "import", "t", "-", "--progress=x");
    EXPECT("@files\n", "export", "t", "a b");
    EXPECT("@files\n", "export", "t", "--progress", "");
    EXPECT("@folders\n", "check", "d");
}

static void names_need_a_server_and_there_is_none(void **state)
{
    (void)state;
    EXPECT("", "--endpoint", "127.0.0.1:1", "scan", "");
    EXPECT("", "--endpoint", "nonsense", "scan", "");
    EXPECT("", "set", "t", "r", "--endpoint=127.0.0.1:1", "");
    EXPECT("", "scan", "t", "--endpoint=127.0.0.1:1", "--column", "");
}

static void there_is_a_script_for_each_shell(void **state)
{
    (void)state;
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(shells); index++) {
        const char *script = cellar_completion_script(shells[index]);
        assert_non_null(script);
        assert_non_null(strstr(script, "cellar complete --"));
    }
    assert_null(cellar_completion_script("tcsh"));
    assert_null(cellar_completion_script(""));
}

static enum cellar_status verbs(void *context)
{
    static const char *const words[] = {"help", ""};
    struct cellar_buffer to = {0};
    (void)context;
    enum cellar_status status = cellar_complete(&tool, words, 2, &to);
    cellar_buffer_fini(&to);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(verbs, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_are_completed_word_by_word),
        cmocka_unit_test(options_are_those_of_the_command_and_of_all),
        cmocka_unit_test(values_are_completed_behind_both_forms_of_an_option),
        cmocka_unit_test(names_need_a_server_and_there_is_none),
        cmocka_unit_test(there_is_a_script_for_each_shell),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("complete", tests, NULL, NULL);
}
