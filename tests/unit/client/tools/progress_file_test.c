/*
 * progress_file: what is saved is loaded, whatever bytes it holds; what is damaged, foreign or of
 * another kind is refused and named; a save replaces the file as a whole.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tools/progress_file.h"
#include "common/mem.h"

static char folder[256];
static char path[300];

static int folder_make(void **state)
{
    (void)state;
    test_temp_dir(folder, sizeof folder);
    (void)snprintf(path, sizeof path, "%s/progress", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    test_remove_tree(folder);
    return 0;
}

static const struct cellar_progress_file file = {.path = path, .kind = "import"};

/* Saves a progress of two lines. */
static enum cellar_status save_some(const char *table, int64_t position)
{
    struct cellar_progress progress = {0};
    enum cellar_status status = cellar_progress_put(&progress, "table", cellar_slice_text(table));
    if (status == CELLAR_OK) {
        status = cellar_progress_put_number(&progress, "position", position);
    }
    if (status == CELLAR_OK) {
        status = cellar_progress_save(&progress, &file, NULL);
    }
    cellar_progress_fini(&progress);
    return status;
}

static void what_is_saved_is_loaded(void **state)
{
    (void)state;
    static const char odd[] = "a b\n\\c\0\xff \x1b[31m";
    struct cellar_progress progress = {0};
    struct cellar_progress loaded = {0};
    struct cellar_buffer value = {0};
    int64_t number = 0;
    bool is_there = false;
    assert_int_equal(cellar_progress_put(&progress, "odd", cellar_slice_make(odd, sizeof odd - 1)),
                     CELLAR_OK);
    assert_int_equal(cellar_progress_put(&progress, "empty", cellar_slice_make(NULL, 0)),
                     CELLAR_OK);
    assert_int_equal(cellar_progress_put_number(&progress, "most", INT64_MAX), CELLAR_OK);
    assert_int_equal(cellar_progress_put_number(&progress, "below", -1), CELLAR_OK);
    assert_int_equal(cellar_progress_save(&progress, &file, NULL), CELLAR_OK);
    assert_int_equal(cellar_progress_load(&file, &loaded, &is_there, NULL), CELLAR_OK);
    assert_true(is_there);
    assert_true(cellar_progress_get(&loaded, "odd", &value));
    assert_true(
        cellar_slice_equal(cellar_slice_of(&value), cellar_slice_make(odd, sizeof odd - 1)));
    cellar_buffer_clear(&value);
    assert_true(cellar_progress_get(&loaded, "empty", &value));
    assert_int_equal(value.bytes, 0);
    assert_true(cellar_progress_get_number(&loaded, "most", 0, &number));
    assert_true(number == INT64_MAX);
    assert_false(cellar_progress_get_number(&loaded, "below", 0, &number));
    assert_true(cellar_progress_get_number(&loaded, "below", -1, &number));
    assert_int_equal(number, -1);
    assert_false(cellar_progress_get_number(&loaded, "empty", 0, &number));
    assert_false(cellar_progress_get_number(&loaded, "odd", 0, &number));
    assert_false(cellar_progress_get(&loaded, "none", &value));
    cellar_buffer_fini(&value);
    cellar_progress_fini(&progress);
    cellar_progress_fini(&loaded);
}

static void a_save_replaces_the_file_and_leaves_nothing_else(void **state)
{
    (void)state;
    struct cellar_progress loaded = {0};
    struct stat status;
    char temp[310];
    int64_t number = 0;
    bool is_there = false;
    assert_int_equal(save_some("t", 1), CELLAR_OK);
    assert_int_equal(save_some("t", 2), CELLAR_OK);
    assert_int_equal(cellar_progress_load(&file, &loaded, &is_there, NULL), CELLAR_OK);
    assert_true(cellar_progress_get_number(&loaded, "position", 0, &number));
    assert_int_equal(number, 2);
    cellar_progress_fini(&loaded);
    (void)snprintf(temp, sizeof temp, "%s.tmp", path);
    assert_int_not_equal(stat(temp, &status), 0);
    cellar_progress_remove(&file);
    cellar_progress_remove(&file);
    assert_int_equal(cellar_progress_load(&file, &loaded, &is_there, NULL), CELLAR_OK);
    assert_false(is_there);
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    (void)state;
    uint8_t text[200];
    assert_int_equal(save_some("t", 77), CELLAR_OK);
    FILE *from = fopen(path, "r");
    assert_non_null(from);
    size_t bytes = fread(text, 1, sizeof text, from);
    (void)fclose(from);
    assert_true(bytes > 40 && bytes < sizeof text);
    for (size_t bit = 0; bit < 9 * bytes; bit++) {
        struct cellar_progress loaded = {0};
        struct cellar_error error;
        bool is_there = true;
        bool is_cut = bit >= 8 * bytes;
        text[bit / 8 % bytes] ^= (uint8_t)(is_cut ? 0 : 1u << bit % 8);
        FILE *to = fopen(path, "w");
        assert_non_null(to);
        (void)fwrite(text, 1, is_cut ? bit - 8 * bytes : bytes, to);
        assert_int_equal(fclose(to), 0);
        text[bit / 8 % bytes] ^= (uint8_t)(is_cut ? 0 : 1u << bit % 8);
        assert_int_equal(cellar_progress_load(&file, &loaded, &is_there, &error),
                         CELLAR_FAILED_PRECONDITION);
        assert_false(is_there);
        assert_non_null(strstr(error.text, path));
        cellar_progress_fini(&loaded);
    }
}

static void another_kind_and_another_identity_are_refused(void **state)
{
    (void)state;
    const struct cellar_progress_file other = {.path = path, .kind = "export"};
    struct cellar_progress loaded = {0};
    struct cellar_progress identity = {0};
    struct cellar_error error;
    bool is_there;
    assert_int_equal(save_some("t", 1), CELLAR_OK);
    assert_int_equal(cellar_progress_load(&other, &loaded, &is_there, &error),
                     CELLAR_FAILED_PRECONDITION);
    assert_int_equal(cellar_progress_load(&file, &loaded, &is_there, &error), CELLAR_OK);
    assert_int_equal(cellar_progress_put(&identity, "table", cellar_slice_text("t")), CELLAR_OK);
    assert_int_equal(cellar_progress_check(&loaded, &identity, &file, &error), CELLAR_OK);
    assert_int_equal(cellar_progress_put(&identity, "position", cellar_slice_text("10")),
                     CELLAR_OK);
    assert_int_equal(cellar_progress_check(&loaded, &identity, &file, &error),
                     CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "its position is '1', not '10'"));
    cellar_progress_fini(&identity);
    assert_int_equal(cellar_progress_put(&identity, "none", cellar_slice_text("")), CELLAR_OK);
    assert_int_equal(cellar_progress_check(&loaded, &identity, &file, &error),
                     CELLAR_FAILED_PRECONDITION);
    cellar_progress_fini(&identity);
    cellar_progress_fini(&loaded);
}

static void files_that_cannot_be_written_or_read_are_told(void **state)
{
    (void)state;
    const struct cellar_progress_file nowhere = {.path = "/nowhere/at/all", .kind = "import"};
    const struct cellar_progress_file a_folder = {.path = folder, .kind = "import"};
    const struct cellar_progress_file full = {.path = "/dev/full", .kind = "import"};
    struct cellar_progress progress = {0};
    struct cellar_error error;
    bool is_there = true;
    assert_int_equal(cellar_progress_save(&progress, &nowhere, &error), CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "Cannot write '/nowhere/at/all': No such file"));
    assert_int_equal(cellar_progress_load(&a_folder, &progress, &is_there, &error),
                     CELLAR_IO_ERROR);
    assert_int_equal(cellar_progress_load(&nowhere, &progress, &is_there, &error), CELLAR_OK);
    assert_false(is_there);
    assert_int_equal(cellar_progress_load(&full, &progress, &is_there, &error),
                     CELLAR_FAILED_PRECONDITION); /* it never ends */
    cellar_progress_fini(&progress);
}

static enum cellar_status save_and_load(void *context)
{
    struct cellar_progress loaded = {0};
    bool is_there = false;
    (void)context;
    enum cellar_status status = save_some("t\n", 1);
    if (status == CELLAR_OK) {
        status = cellar_progress_load(&file, &loaded, &is_there, NULL);
    }
    assert_true(status != CELLAR_OK || is_there);
    cellar_progress_fini(&loaded);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    /* Syncing the folder is given up without memory; nothing else is. */
    struct cellar_progress progress = {0};
    assert_int_equal(save_and_load(NULL), CELLAR_OK);
    cellar_progress_fini(&progress);
    for (int64_t count = 0; count < 100; count++) {
        (void)cellar_mem_fail_at(count);
        enum cellar_status status = save_and_load(NULL);
        bool is_met = cellar_mem_fail_at(-1);
        assert_true(status == CELLAR_OK || (is_met && status == CELLAR_NO_MEMORY));
        if (!is_met) {
            assert_true(count >= 4);
            return;
        }
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_loaded),
        cmocka_unit_test(a_save_replaces_the_file_and_leaves_nothing_else),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(another_kind_and_another_identity_are_refused),
        cmocka_unit_test(files_that_cannot_be_written_or_read_are_told),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("progress_file", tests, folder_make, folder_remove);
}
