/*
 * import_rejects: the file takes what it is given, goes on where an earlier run left it, and never
 * eats the input.
 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/tools/import_rejects.h"

static char folder[256];
static char path[300];

static int folder_make(void **state)
{
    (void)state;
    test_temp_dir(folder, sizeof folder);
    (void)snprintf(path, sizeof path, "%s/rejects", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    test_remove_tree(folder);
    return 0;
}

/* Opens, writes and closes. @return what the file holds then */
static const char *write_after(int64_t bytes, const char *lines)
{
    static char text[100];
    struct cellar_import_rejects rejects = {0};
    const struct cellar_import_rejects_terms terms = {.input_fd = -1, .bytes = bytes};
    assert_int_equal(cellar_import_rejects_open(&rejects, path, terms, NULL), CELLAR_OK);
    assert_int_equal(cellar_import_rejects_write(&rejects, cellar_slice_text(lines), NULL),
                     CELLAR_OK);
    assert_int_equal(rejects.bytes, bytes + (int64_t)strlen(lines));
    assert_int_equal(cellar_import_rejects_sync(&rejects, NULL), CELLAR_OK);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    cellar_import_rejects_close(&rejects);
    return text;
}

static void it_begins_anew_or_goes_on(void **state)
{
    (void)state;
    assert_string_equal(write_after(0, "one\ntwo\n"), "one\ntwo\n");
    assert_string_equal(write_after(4, "three\n"), "one\nthree\n");
    assert_string_equal(write_after(10, ""), "one\nthree\n");
    assert_string_equal(write_after(0, "x\n"), "x\n");
}

static void a_file_that_does_not_suit_is_left_alone(void **state)
{
    (void)state;
    struct cellar_import_rejects rejects = {0};
    struct cellar_import_rejects_terms terms = {.input_fd = -1, .bytes = 100};
    struct cellar_error error;
    assert_string_equal(write_after(0, "keep\n"), "keep\n");
    assert_int_equal(cellar_import_rejects_open(&rejects, path, terms, &error),
                     CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "is shorter than the import left it"));
    terms.input_fd = open(path, O_RDONLY | O_CLOEXEC);
    terms.bytes = 0;
    assert_true(terms.input_fd >= 0);
    assert_int_equal(cellar_import_rejects_open(&rejects, path, terms, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "which is the input"));
    (void)close(terms.input_fd);
    assert_string_equal(write_after(5, ""), "keep\n");
    assert_int_equal(cellar_import_rejects_open(&rejects, folder, terms, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "Is a directory"));
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    struct cellar_import_rejects rejects = {0};
    const struct cellar_import_rejects_terms terms = {.input_fd = -1};
    struct cellar_error error;
    assert_int_equal(cellar_import_rejects_open(&rejects, "/dev/full", terms, &error), CELLAR_OK);
    assert_int_equal(cellar_import_rejects_write(&rejects, cellar_slice_text("line\n"), &error),
                     CELLAR_OK);
    assert_int_equal(cellar_import_rejects_sync(&rejects, &error), CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "Cannot write '/dev/full': No space left"));
    cellar_import_rejects_close(&rejects);
}

static void without_a_path_nothing_happens(void **state)
{
    (void)state;
    struct cellar_import_rejects rejects = {0};
    const struct cellar_import_rejects_terms terms = {.input_fd = -1};
    assert_int_equal(cellar_import_rejects_open(&rejects, NULL, terms, NULL), CELLAR_OK);
    assert_int_equal(cellar_import_rejects_write(&rejects, cellar_slice_text("line\n"), NULL),
                     CELLAR_OK);
    assert_int_equal(rejects.bytes, 0);
    assert_int_equal(cellar_import_rejects_sync(&rejects, NULL), CELLAR_OK);
    cellar_import_rejects_close(&rejects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_anew_or_goes_on),
        cmocka_unit_test(a_file_that_does_not_suit_is_left_alone),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(without_a_path_nothing_happens),
    };
    return cmocka_run_group_tests_name("import_rejects", tests, folder_make, folder_remove);
}
