/*
 * args: options and words in any order, options that are unknown or lack their value refused, and
 * numbers within their limits.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/args.h"

static const struct cellar_option own[] = {
    {"column", "C", "repeatable"}, {"reverse", NULL, "a flag"}, {"limit", "N", ""}, {0}};
static const struct cellar_option common[] = {{"timeout", "D", ""}, {0}};
static const struct cellar_option *const lists[] = {own, common, NULL};

/* Parses up to nine arguments, ended by NULL. */
static enum cellar_status parse(const char *const *texts, struct cellar_args *args,
                                struct cellar_error *error)
{
    static char *argv[10]; /* stays, for the texts are borrowed */
    static char kept[10][64];
    int argc = 0;
    memset(args, 0, sizeof *args);
    while (texts[argc] != NULL) {
        assert_true(argc < 10 && strlen(texts[argc]) < sizeof kept[0]);
        memcpy(kept[argc], texts[argc], strlen(texts[argc]) + 1);
        argv[argc] = kept[argc];
        argc++;
    }
    return cellar_args_parse(lists, argc, argv, args, error);
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void options_and_words_come_in_any_order(void **state)
{
    (void)state;
    struct cellar_args args;
    assert_int_equal(
        parse(ARGS("t", "--column", "a", "row", "--reverse", "--column=b", "-", "--timeout=1s"),
              &args, NULL),
        CELLAR_OK);
    assert_int_equal(args.word_count, 3);
    assert_string_equal(args.words[0], "t");
    assert_string_equal(args.words[1], "row");
    assert_string_equal(args.words[2], "-");
    assert_int_equal(args.given_count, 4);
    assert_string_equal(args.given[0].value, "a");
    assert_string_equal(cellar_args_text(&args, "column"), "b"); /* the last one */
    assert_string_equal(cellar_args_text(&args, "timeout"), "1s");
    assert_true(cellar_args_has(&args, "reverse"));
    assert_null(cellar_args_text(&args, "limit"));
    assert_false(cellar_args_has(&args, "limit"));
    cellar_args_fini(&args);
}

static void options_are_joined_but_for_some(void **state)
{
    (void)state;
    static const char *const left_out[] = {"timeout", "limit"};
    struct cellar_args args;
    struct cellar_buffer joined = {0};
    assert_int_equal(parse(ARGS("--limit", "1", "--column", "a b", "t", "--reverse", "--timeout=1s",
                                "--column=c"),
                           &args, NULL),
                     CELLAR_OK);
    assert_int_equal(cellar_args_join(&args, left_out, 2, &joined), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&joined),
                                   cellar_slice_text("--column=a b --reverse --column=c")));
    cellar_buffer_fini(&joined);
    cellar_args_fini(&args);
}

static void values_may_look_like_anything(void **state)
{
    (void)state;
    struct cellar_args args;
    assert_int_equal(parse(ARGS("--column", "--reverse", "--column=", "--column=a=b"), &args, NULL),
                     CELLAR_OK);
    assert_int_equal(args.given_count, 3);
    assert_string_equal(args.given[0].value, "--reverse");
    assert_string_equal(args.given[1].value, "");
    assert_string_equal(args.given[2].value, "a=b");
    assert_false(cellar_args_has(&args, "reverse"));
    cellar_args_fini(&args);
}

static void behind_two_dashes_everything_is_a_word(void **state)
{
    (void)state;
    struct cellar_args args;
    assert_int_equal(parse(ARGS("--", "--reverse", "-x", "--"), &args, NULL), CELLAR_OK);
    assert_int_equal(args.word_count, 3);
    assert_string_equal(args.words[0], "--reverse");
    assert_string_equal(args.words[2], "--");
    cellar_args_fini(&args);
}

static void what_is_no_option_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *argument;
        const char *text;
    } cases[] = {
        {"--nope", "Unknown option --nope"},
        {"--colum", "Unknown option --colum"},
        {"--columns=x", "Unknown option --columns=x"},
        {"-x", "two dashes"},
        {"--reverse=yes", "--reverse takes no value"},
        {"--column", "--column needs a value, C"},
        {"--=x", "Unknown option"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_args args;
        struct cellar_error error;
        assert_int_equal(parse(ARGS(cases[index].argument), &args, &error),
                         CELLAR_INVALID_ARGUMENT);
        if (strstr(error.text, cases[index].text) == NULL) {
            fail_msg("'%s' does not hold '%s'", error.text, cases[index].text);
        }
        assert_null(args.words);
    }
}

static void numbers_are_read_within_their_limits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_number;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"10", true, 10},
        {"-3", true, -3},
        {"11", false, 0},
        {"-4", false, 0},
        {"", false, 0},
        {"x", false, 0},
        {"1x", false, 0},
        {" 1", false, 0},
        {"+1", false, 0},
        {"0x1", false, 0},
        {"-", false, 0},
        {"99999999999999999999", false, 0},
    };
    struct cellar_args_limits limits = {.least = -3, .most = 10};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_args args;
        struct cellar_error error;
        int64_t value = 77;
        assert_int_equal(parse(ARGS("--limit", cases[index].text), &args, NULL), CELLAR_OK);
        enum cellar_status status = cellar_args_number(&args, "limit", limits, &value, &error);
        if (cases[index].is_number) {
            assert_int_equal(status, CELLAR_OK);
            assert_int_equal(value, cases[index].value);
        } else {
            assert_int_equal(status, CELLAR_INVALID_ARGUMENT);
            assert_int_equal(value, 77);
            assert_non_null(strstr(error.text, "--limit must be a number from -3 to 10"));
        }
        cellar_args_fini(&args);
    }
}

static void an_option_that_was_not_given_leaves_the_default(void **state)
{
    (void)state;
    struct cellar_args args;
    struct cellar_args_limits limits = {.least = 0, .most = 10};
    int64_t value = 42;
    assert_int_equal(parse(ARGS("t"), &args, NULL), CELLAR_OK);
    assert_int_equal(cellar_args_number(&args, "limit", limits, &value, NULL), CELLAR_OK);
    assert_int_equal(value, 42);
    cellar_args_fini(&args);
}

static void the_number_of_arguments_is_bounded(void **state)
{
    (void)state;
    struct cellar_args args = {0};
    struct cellar_error error;
    char *argv[] = {NULL};
    assert_int_equal(cellar_args_parse(lists, (int)CELLAR_ARGS_COUNT_MAX + 1, argv, &args, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_int_equal(cellar_args_parse(lists, 0, argv, &args, &error), CELLAR_OK);
    assert_int_equal(args.word_count, 0);
    cellar_args_fini(&args);
}

static enum cellar_status parse_some(void *context)
{
    struct cellar_args args;
    (void)context;
    enum cellar_status status = parse(ARGS("t", "--reverse"), &args, NULL);
    cellar_args_fini(&args);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(parse_some, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_come_in_any_order),
        cmocka_unit_test(options_are_joined_but_for_some),
        cmocka_unit_test(values_may_look_like_anything),
        cmocka_unit_test(behind_two_dashes_everything_is_a_word),
        cmocka_unit_test(what_is_no_option_is_refused_by_name),
        cmocka_unit_test(numbers_are_read_within_their_limits),
        cmocka_unit_test(an_option_that_was_not_given_leaves_the_default),
        cmocka_unit_test(the_number_of_arguments_is_bounded),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
