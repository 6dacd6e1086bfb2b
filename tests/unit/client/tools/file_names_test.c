/*
 * file_names: what a path may become in a folder of files, folders, links and names that nobody
 * should see on a terminal.
 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tools/file_names.h"

static char folder[256];

static void file_make(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
}

/* Works in a folder of its own, so that relative paths have something to find. */
static int folder_make(void **state)
{
    static const char *const files[] = {
        "rows.csv", "rows.jsonl",     "my file",        "it's \"x\" #1", "\x1b[31mred",
        "\xff",     "a\nb",           ".hidden",        "@files",        "Z\xc3\xbcrich",
        "down/one", "down/two words", "rtl\xe2\x80\xae"};
    (void)state;
    test_temp_dir(folder, sizeof folder);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(mkdir("down", 0700), 0);
    assert_int_equal(mkdir("down/deep", 0700), 0);
    assert_int_equal(mkdir("closed", 0), 0);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(files); index++) {
        file_make(files[index]);
    }
    assert_int_equal(symlink("down", "link"), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    assert_int_equal(chdir("/"), 0);
    test_remove_tree(folder);
    return 0;
}

/* Compares the lines for a path. */
static void expect(const char *typed, bool is_folders, const char *before, const char *wanted)
{
    const struct cellar_file_names names = {
        .typed = typed, .before = cellar_slice_text(before), .is_folders = is_folders};
    struct cellar_buffer to = {0};
    assert_int_equal(cellar_file_names_offer(&names, &to), CELLAR_OK);
    if (!cellar_slice_equal(cellar_slice_of(&to), cellar_slice_text(wanted))) {
        fail_msg("'%s' gives:\n%.*s\nwanted:\n%s", typed, (int)to.bytes,
                 to.bytes == 0 ? "" : (const char *)to.data, wanted);
    }
    cellar_buffer_fini(&to);
}

static void names_that_begin_like_what_was_typed_are_offered(void **state)
{
    (void)state;
    expect("ro", false, "", "rows.csv\nrows.jsonl\n");
    expect("my", false, "", "my file\n");
    expect("my f", false, "", "my file\n");
    expect("it", false, "", "it's \"x\" #1\n");
    expect("Z", false, "", "Z\xc3\xbcrich\n");
    expect("nothing", false, "", "");
    expect("rows.csv", false, "--rejects=", "--rejects=rows.csv\n");
    expect("", false, "",
           "@files\nZ\xc3\xbcrich\nclosed/\ndangling\ndown/\nit's \"x\" #1\nlink/\nmy file\n"
           "rows.csv\nrows.jsonl\n"); /* none that is hidden or not shown as it is */
    expect(".", false, "", ".hidden\n");
}

static void folders_have_a_slash_and_lead_on(void **state)
{
    (void)state;
    char path[300];
    char wanted[400];
    expect("do", false, "", "down/\n");
    expect("down/", false, "", "down/deep/\ndown/one\ndown/two words\n");
    expect("./down/t", false, "", "./down/two words\n");
    expect("link/o", false, "", "link/one\n");
    expect("", true, "", "closed/\ndown/\nlink/\n");
    expect("down/", true, "x=", "x=down/deep/\n");
    expect("nowhere/", false, "", "");
    expect("rows.csv/", false, "", "");
    (void)snprintf(path, sizeof path, "%s/rows.c", folder);
    (void)snprintf(wanted, sizeof wanted, "%s/rows.csv\n", folder);
    expect(path, false, "", wanted);
}

static void too_many_names_are_none(void **state)
{
    (void)state;
    assert_int_equal(mkdir("many", 0700), 0);
    for (unsigned index = 0; index <= CELLAR_FILE_NAMES_COUNT_MAX; index++) {
        char name[40];
        (void)snprintf(name, sizeof name, "many/%05u", index);
        file_make(name);
    }
    expect("many/", false, "", "");
    expect("many/1000", false, "", "many/10000\n");
    expect("many/0000", false, "",
           "many/00000\nmany/00001\nmany/00002\nmany/00003\nmany/00004\nmany/00005\nmany/00006\n"
           "many/00007\nmany/00008\nmany/00009\n");
    test_remove_tree("many");
}

static enum cellar_status offer_some(void *context)
{
    const struct cellar_file_names names = {.typed = "down/",
                                            .before = cellar_slice_text("--rejects=")};
    struct cellar_buffer to = {0};
    (void)context;
    enum cellar_status status = cellar_file_names_offer(&names, &to);
    cellar_buffer_fini(&to);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(offer_some, NULL) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_begin_like_what_was_typed_are_offered),
        cmocka_unit_test(folders_have_a_slash_and_lead_on),
        cmocka_unit_test(too_many_names_are_none),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("file_names", tests, folder_make, folder_remove);
}
