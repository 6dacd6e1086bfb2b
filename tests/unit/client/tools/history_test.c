/*
 * history: where the file is, who can read it, which lines are kept, and files that are long, odd
 * or cannot be used.
 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tools/history.h"

static char folder[256];

static int folder_open(void **state)
{
    (void)state;
    test_temp_dir(folder, sizeof folder);
    return 0;
}

static int folder_close(void **state)
{
    (void)state;
    test_remove_tree(folder);
    return 0;
}

/* A path in the folder. */
static const char *path_of(const char *name)
{
    static char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void file_write(const char *path, const char *text, size_t bytes)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static struct cellar_history *open_ok(const char *path)
{
    struct cellar_history *history = NULL;
    struct cellar_error error;
    cellar_error_clear(&error);
    if (cellar_history_open(path, &history, &error) != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
    return history;
}

static void expect_path(const char *option, const char *wanted)
{
    struct cellar_buffer path = {0};
    assert_int_equal(cellar_history_path(option, &path), CELLAR_OK);
    assert_string_equal(path.bytes == 0 ? "" : (const char *)path.data, wanted);
    cellar_buffer_fini(&path);
}

static void the_option_wins_then_the_environment_then_the_state_folder(void **state)
{
    (void)state;
    assert_int_equal(setenv("HOME", "/home/x", 1), 0);
    assert_int_equal(setenv("XDG_STATE_HOME", "/state", 1), 0);
    assert_int_equal(setenv("CELLAR_HISTFILE", "/file", 1), 0);
    expect_path("/option", "/option");
    expect_path("", "");
    expect_path(NULL, "/file");
    assert_int_equal(setenv("CELLAR_HISTFILE", "", 1), 0);
    expect_path(NULL, "");
    assert_int_equal(unsetenv("CELLAR_HISTFILE"), 0);
    expect_path(NULL, "/state/cellar/history");
    assert_int_equal(setenv("XDG_STATE_HOME", "relative", 1), 0);
    expect_path(NULL, "/home/x/.cellar_history");
    assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
    expect_path(NULL, "/home/x/.cellar_history");
    assert_int_equal(unsetenv("HOME"), 0);
    expect_path(NULL, "");
}

static void lines_come_back_and_only_the_owner_reads_them(void **state)
{
    (void)state;
    struct stat facts;
    const char *line = NULL;
    const char *path = path_of("private/history");
    struct cellar_history *history = open_ok(path);
    assert_false(cellar_history_next(history, &line));
    assert_true(cellar_history_add(history, "first"));
    assert_false(cellar_history_add(history, "first")); /* once is enough */
    assert_true(cellar_history_add(history, "second \xc3\xa9"));
    assert_true(cellar_history_add(history, "first"));
    assert_false(cellar_history_add(history, " secret"));
    assert_false(cellar_history_add(history, "\tsecret"));
    assert_false(cellar_history_add(history, ""));
    assert_false(cellar_history_add(history, "two\nlines"));
    cellar_history_close(history);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(stat(path_of("private"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    path = path_of("private/history");
    history = open_ok(path);
    static const char *const wanted[] = {"first", "second \xc3\xa9", "first"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(wanted); index++) {
        assert_true(cellar_history_next(history, &line));
        assert_string_equal(line, wanted[index]);
    }
    assert_false(cellar_history_next(history, &line));
    cellar_history_close(history);
    assert_true(cellar_history_add(NULL, "kept nowhere"));
    cellar_history_close(NULL);
}

static void a_file_that_others_can_read_is_closed_to_them(void **state)
{
    (void)state;
    struct stat facts;
    const char *line = NULL;
    const char *path = path_of("open");
    file_write(path, "odd\0line\nlast", 13);
    assert_int_equal(chmod(path, 0644), 0);
    struct cellar_history *history = open_ok(path);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_true(cellar_history_next(history, &line));
    assert_string_equal(line, "odd");
    assert_true(cellar_history_next(history, &line));
    assert_string_equal(line, "line");
    assert_true(cellar_history_next(history, &line));
    assert_string_equal(line, "last");
    assert_false(cellar_history_next(history, &line));
    cellar_history_close(history);
}

static void only_the_last_lines_are_read_and_a_long_file_is_cut(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    struct stat facts;
    const char *line = NULL;
    char wanted[32];
    const char *path = path_of("long");
    for (int number = 0; number < 200000; number++) {
        assert_int_equal(cellar_buffer_printf(&text, "line %d\n", number), CELLAR_OK);
    }
    file_write(path, (const char *)text.data, text.bytes);
    cellar_buffer_fini(&text);
    struct cellar_history *history = open_ok(path);
    unsigned count = 0;
    while (cellar_history_next(history, &line)) {
        (void)snprintf(wanted, sizeof wanted, "line %u", 200000 - CELLAR_HISTORY_LINES_MAX + count);
        assert_string_equal(line, wanted);
        count++;
    }
    assert_int_equal(count, CELLAR_HISTORY_LINES_MAX);
    assert_true(cellar_history_add(history, "new"));
    cellar_history_close(history);
    assert_int_equal(stat(path, &facts), 0);
    assert_true(facts.st_size > 100000 && facts.st_size < 1 << 20);
    FILE *file = fopen(path, "r");
    char start[6] = "";
    assert_non_null(file);
    assert_int_equal(fread(start, 1, 5, file), 5);
    assert_string_equal(start, "line ");
    (void)fclose(file);
}

static void what_cannot_be_used_is_told(void **state)
{
    (void)state;
    static const char *const paths[] = {"/proc/nothing", "/dev/null", "/"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(paths); index++) {
        struct cellar_history *history = NULL;
        struct cellar_error error;
        assert_int_equal(cellar_history_open(paths[index], &history, &error), CELLAR_IO_ERROR);
        assert_non_null(strstr(error.text, paths[index]));
        assert_null(history);
    }
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    struct cellar_history *history = NULL;
    assert_int_equal(cellar_history_open(path_of("fifo"), &history, NULL), CELLAR_IO_ERROR);
}

static enum cellar_status open_and_close(void *context)
{
    struct cellar_history *history = NULL;
    CELLAR_TRY(cellar_history_open(context, &history, NULL));
    cellar_history_close(history);
    return CELLAR_OK;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    char path[400];
    (void)snprintf(path, sizeof path, "%s", path_of("memory"));
    file_write(path, "a\nb", 3);
    assert_true(test_out_of_memory_loop(open_and_close, path) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_option_wins_then_the_environment_then_the_state_folder),
        cmocka_unit_test(lines_come_back_and_only_the_owner_reads_them),
        cmocka_unit_test(a_file_that_others_can_read_is_closed_to_them),
        cmocka_unit_test(only_the_last_lines_are_read_and_a_long_file_is_cut),
        cmocka_unit_test(what_cannot_be_used_is_told),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("history", tests, folder_open, folder_close);
}
