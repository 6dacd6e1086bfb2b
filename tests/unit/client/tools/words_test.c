/*
 * words: lines cut into words as people write them, with quotes, escapes and comments; whatever a
 * line holds, cutting it ends, and joins of quoted words come back.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/tools/words.h"

static void expect(const char *line, const char *const *wanted)
{
    struct cellar_words words = {0};
    assert_int_equal(cellar_words_split(cellar_slice_text(line), &words, NULL), CELLAR_OK);
    assert_string_equal(words.argv[0], "cellar");
    int argc = 1;
    for (; wanted[argc - 1] != NULL; argc++) {
        if (argc >= words.argc || strcmp(words.argv[argc], wanted[argc - 1]) != 0) {
            fail_msg("'%s': word %d is '%s', wanted '%s'", line, argc,
                     argc < words.argc ? words.argv[argc] : "(none)", wanted[argc - 1]);
        }
    }
    assert_int_equal(words.argc, argc);
    assert_null(words.argv[argc]);
    cellar_words_fini(&words);
}

#define EXPECT(line, ...) expect(line, (const char *const[]){__VA_ARGS__, NULL})

static void lines_are_cut_at_blanks(void **state)
{
    (void)state;
    expect("", (const char *const[]){NULL});
    expect(" \t\r\n ", (const char *const[]){NULL});
    EXPECT("ping", "ping");
    EXPECT("  get  t\tr \n", "get", "t", "r");
    EXPECT("a b c d e f g h i", "a", "b", "c", "d", "e", "f", "g", "h", "i");
    EXPECT("Z\xc3\xbcrich \xff", "Z\xc3\xbcrich", "\xff");
}

static void quotes_keep_blanks(void **state)
{
    (void)state;
    EXPECT("set t r 'f:a b=c  d'", "set", "t", "r", "f:a b=c  d");
    EXPECT("\"a b\"", "a b");
    EXPECT("''", "");
    EXPECT("'' \"\"", "", "");
    EXPECT("a'b c'd\"e f\"g", "ab cde fg");
    EXPECT("'it'\"'\"'s'", "it's");
    EXPECT("'a\"b' \"a'b\"", "a\"b", "a'b");
    EXPECT("'a\nb'", "a\nb");
}

static void backslashes_take_away_and_pass_through(void **state)
{
    (void)state;
    EXPECT("a\\ b", "a b");
    EXPECT("\\'a\\\"", "'a\"");
    EXPECT("\\#a", "#a");
    EXPECT("k\\x00\\xff", "k\\x00\\xff");
    EXPECT("a\\\\ b", "a\\\\", "b"); /* the second backslash belongs to the first */
    EXPECT("\"a\\\"b\\x41\\\\\" c", "a\"b\\x41\\\\", "c");
    EXPECT("'a\\'b", "a\\b");
    EXPECT("a\\", "a\\");
    EXPECT("\"a\\ b\"", "a\\ b");
}

static void comments_end_a_line(void **state)
{
    (void)state;
    expect("# all of it", (const char *const[]){NULL});
    EXPECT("ping # now", "ping");
    EXPECT("ping#now '#'", "ping#now", "#");
}

static void what_is_quoted_goes_on_with_the_word(void **state)
{
    (void)state;
    static const char bytes[] = "ab \t'\"\\#x4=/\xc3\xbc";
    static const char *const starts[] = {"",      "a",    "'",   "'a b",   "\"",
                                         "\"a'b", "a\\ ", "'a'", "a\"b\"'"};
    struct test_random random = {test_seed("words quote")};
    for (int round = 0; round < 5000; round++) {
        const char *start = starts[test_random_below(&random, CELLAR_ARRAY_COUNT(starts))];
        char text[12];
        size_t count = test_random_below(&random, sizeof text);
        for (size_t index = 0; index < count; index++) {
            text[index] = bytes[test_random_below(&random, sizeof bytes - 1)];
        }
        struct cellar_words before = {0};
        struct cellar_words behind = {0};
        struct cellar_buffer line = {0};
        char wanted[40];
        assert_int_equal(cellar_words_split(cellar_slice_text(start), &before, NULL), CELLAR_OK);
        (void)snprintf(wanted, sizeof wanted, "%s%.*s", before.argc < 2 ? "" : before.argv[1],
                       (int)count, text);
        assert_int_equal(cellar_buffer_append(&line, start, strlen(start)), CELLAR_OK);
        assert_int_equal(cellar_words_quote(cellar_slice_make(text, count), before.quote, &line),
                         CELLAR_OK);
        assert_int_equal(cellar_words_split(cellar_slice_of(&line), &behind, NULL), CELLAR_OK);
        if (line.bytes > 0 && (behind.argc != 2 || strcmp(behind.argv[1], wanted) != 0)) {
            fail_msg("'%.*s' is %d words, the first '%s', wanted '%s'", (int)line.bytes,
                     (const char *)line.data, behind.argc - 1, behind.argv[1], wanted);
        }
        assert_int_equal(behind.quote, before.quote);
        cellar_words_fini(&before);
        cellar_words_fini(&behind);
        cellar_buffer_fini(&line);
    }
}

static void the_end_of_a_line_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool is_open;
        bool is_inside;
    } cases[] = {{"", false, false},       {"get", false, true},      {"get ", false, false},
                 {"get '", true, true},    {"get \"a b", true, true}, {"get ''", false, true},
                 {"get # x", false, false}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_words words = {0};
        assert_int_equal(cellar_words_split(cellar_slice_text(cases[index].line), &words, NULL),
                         CELLAR_OK);
        assert_int_equal(words.is_open, cases[index].is_open);
        assert_int_equal(words.is_inside, cases[index].is_inside);
        cellar_words_fini(&words);
    }
}

static void a_nul_and_what_is_too_long_is_refused(void **state)
{
    (void)state;
    struct cellar_words words = {0};
    struct cellar_error error;
    assert_int_equal(cellar_words_split(cellar_slice_make("a\0b", 3), &words, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "\\x00"));
    assert_int_equal(cellar_words_split(cellar_slice_make("", (size_t)CELLAR_LINE_BYTES_MAX + 1),
                                        &words, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_null(words.argv);
}

static void random_words_come_back_from_their_quotes(void **state)
{
    (void)state;
    static const char letters[] = "ab \t'\"#xn";
    struct test_random random = {test_seed("words")};
    for (int round = 0; round < 500; round++) {
        char word[12] = "";
        char line[64] = "'";
        size_t bytes = test_random_below(&random, sizeof word);
        for (size_t index = 0; index < bytes; index++) {
            word[index] = letters[test_random_below(&random, sizeof letters - 1)];
            size_t end = strlen(line);
            (void)snprintf(line + end, sizeof line - end, word[index] == '\'' ? "'\\''" : "%c",
                           word[index]);
        }
        (void)snprintf(line + strlen(line), sizeof line - strlen(line), "'");
        EXPECT(line, word);
    }
}

static void random_bytes_are_cut_to_no_more_than_they_are(void **state)
{
    (void)state;
    struct test_random random = {test_seed("words")};
    for (int round = 0; round < 2000; round++) {
        char line[40];
        struct cellar_words words = {0};
        size_t bytes = test_random_below(&random, sizeof line);
        for (size_t index = 0; index < bytes; index++) {
            line[index] = "\\\\'\"# \tax"[test_random_below(&random, 9)];
        }
        assert_int_equal(cellar_words_split(cellar_slice_make(line, bytes), &words, NULL),
                         CELLAR_OK);
        size_t sum = 0;
        for (int index = 1; index < words.argc; index++) {
            sum += strlen(words.argv[index]);
        }
        assert_true(sum <= bytes);
        cellar_words_fini(&words);
    }
}

static enum cellar_status split(void *context)
{
    struct cellar_words words = {0};
    (void)context;
    CELLAR_TRY(cellar_words_split(cellar_slice_text("get t 'a b'"), &words, NULL));
    cellar_words_fini(&words);
    return CELLAR_OK;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(split, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_cut_at_blanks),
        cmocka_unit_test(quotes_keep_blanks),
        cmocka_unit_test(backslashes_take_away_and_pass_through),
        cmocka_unit_test(comments_end_a_line),
        cmocka_unit_test(what_is_quoted_goes_on_with_the_word),
        cmocka_unit_test(the_end_of_a_line_is_told),
        cmocka_unit_test(a_nul_and_what_is_too_long_is_refused),
        cmocka_unit_test(random_words_come_back_from_their_quotes),
        cmocka_unit_test(random_bytes_are_cut_to_no_more_than_they_are),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
