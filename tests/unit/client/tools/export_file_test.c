/*
 * export_file: a file has its name only when it is whole; its part can be cut at every synced
 * length and gone on with, in every packing; what is no file is written as it is.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tools/export_file.h"
#include "client/tools/import_input.h"
#include "common/mem.h"

static char folder[256];
static char path[300];
static char part[310];

static int folder_make(void **state)
{
    (void)state;
    test_temp_dir(folder, sizeof folder);
    (void)snprintf(path, sizeof path, "%s/out", folder);
    (void)snprintf(part, sizeof part, "%s.part", path);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    test_remove_tree(folder);
    return 0;
}

static bool is_there(const char *name)
{
    struct stat status;
    return stat(name, &status) == 0;
}

/* Opens the output in the folder. */
static enum cellar_status open_out(enum cellar_packing packing, int64_t resume_bytes,
                                   struct cellar_export_file **file, struct cellar_error *error)
{
    const struct cellar_export_file_options options = {
        .path = path, .packing = packing, .resume_bytes = resume_bytes};
    *file = NULL;
    return cellar_export_file_open(&options, file, error);
}

static void write_text(struct cellar_export_file *file, const char *text)
{
    assert_int_equal(cellar_export_file_write(file, cellar_slice_text(text), NULL), CELLAR_OK);
}

/* Fails unless the file unpacks to that. */
static void expect_file(const char *name, enum cellar_packing packing, const char *wanted)
{
    struct cellar_import_input *input = NULL;
    struct cellar_buffer text = {0};
    uint8_t block[1000];
    size_t got = 1;
    assert_int_equal(cellar_import_input_open(name, NULL, &input, NULL), CELLAR_OK);
    assert_int_equal(cellar_import_input_info(input)->packing, packing);
    while (got > 0) {
        assert_int_equal(cellar_import_input_read(input, block, sizeof block, &got, NULL),
                         CELLAR_OK);
        assert_int_equal(cellar_buffer_append(&text, block, got), CELLAR_OK);
    }
    if (!cellar_slice_equal(cellar_slice_of(&text), cellar_slice_text(wanted))) {
        fail_msg("'%.*s' is not '%s'", (int)text.bytes, (const char *)text.data, wanted);
    }
    cellar_buffer_fini(&text);
    cellar_import_input_close(input);
}

static void a_file_has_its_name_when_it_is_whole(void **state)
{
    (void)state;
    for (int packing = CELLAR_PACKING_NONE; packing <= CELLAR_PACKING_ZSTD; packing++) {
        struct cellar_export_file *file;
        (void)unlink(path);
        assert_int_equal(open_out((enum cellar_packing)packing, -1, &file, NULL), CELLAR_OK);
        assert_true(cellar_export_file_is_resumable(file));
        write_text(file, "one ");
        write_text(file, "two");
        assert_false(is_there(path));
        assert_true(is_there(part));
        assert_int_equal(cellar_export_file_finish(file, NULL), CELLAR_OK);
        cellar_export_file_close(file);
        assert_false(is_there(part));
        expect_file(path, (enum cellar_packing)packing, "one two");
    }
}

static void a_part_is_gone_on_with_at_every_synced_length(void **state)
{
    (void)state;
    for (int packing = CELLAR_PACKING_NONE; packing <= CELLAR_PACKING_ZSTD; packing++) {
        struct cellar_export_file *file;
        int64_t first = -1;
        int64_t second = -1;
        int64_t third = -1;
        (void)unlink(path);
        assert_int_equal(open_out((enum cellar_packing)packing, -1, &file, NULL), CELLAR_OK);
        write_text(file, "one ");
        assert_int_equal(cellar_export_file_sync(file, &first, NULL), CELLAR_OK);
        assert_int_equal(cellar_export_file_sync(file, &second, NULL), CELLAR_OK);
        assert_int_equal(first, second); /* nothing came: no empty stream */
        write_text(file, "lost ");
        assert_int_equal(cellar_export_file_sync(file, &second, NULL), CELLAR_OK);
        assert_true(second > first);
        write_text(file, "never synced");
        cellar_export_file_close(file);
        assert_false(is_there(path));
        assert_int_equal(open_out((enum cellar_packing)packing, first, &file, NULL), CELLAR_OK);
        assert_int_equal(cellar_export_file_sync(file, &third, NULL), CELLAR_OK);
        assert_int_equal(third, first);
        write_text(file, "two");
        assert_int_equal(cellar_export_file_finish(file, NULL), CELLAR_OK);
        cellar_export_file_close(file);
        expect_file(path, (enum cellar_packing)packing, "one two");
    }
}

static void a_new_export_begins_a_part_anew_and_replaces_the_file(void **state)
{
    (void)state;
    struct cellar_export_file *file;
    int64_t bytes;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(open_out(CELLAR_PACKING_NONE, -1, &file, NULL), CELLAR_OK);
        write_text(file, "a long part that is left behind");
        assert_int_equal(cellar_export_file_sync(file, &bytes, NULL), CELLAR_OK);
        cellar_export_file_close(file);
    }
    assert_int_equal(open_out(CELLAR_PACKING_NONE, -1, &file, NULL), CELLAR_OK);
    write_text(file, "new");
    assert_int_equal(cellar_export_file_finish(file, NULL), CELLAR_OK);
    cellar_export_file_close(file);
    expect_file(path, CELLAR_PACKING_NONE, "new");
}

static void an_empty_export_is_a_file_that_unpacks(void **state)
{
    (void)state;
    for (int packing = CELLAR_PACKING_NONE; packing <= CELLAR_PACKING_ZSTD; packing++) {
        struct cellar_export_file *file;
        int64_t bytes = -1;
        assert_int_equal(open_out((enum cellar_packing)packing, -1, &file, NULL), CELLAR_OK);
        assert_int_equal(cellar_export_file_sync(file, &bytes, NULL), CELLAR_OK);
        assert_int_equal(bytes, 0);
        assert_int_equal(cellar_export_file_finish(file, NULL), CELLAR_OK);
        cellar_export_file_close(file);
        expect_file(path, (enum cellar_packing)packing, "");
    }
}

static void parts_that_do_not_suit_are_told(void **state)
{
    (void)state;
    struct cellar_export_file *file;
    struct cellar_export_file *other;
    struct cellar_error error;
    (void)unlink(part);
    assert_int_equal(open_out(CELLAR_PACKING_NONE, 0, &file, &error), CELLAR_NOT_FOUND);
    assert_int_equal(open_out(CELLAR_PACKING_NONE, -1, &file, &error), CELLAR_OK);
    assert_int_equal(open_out(CELLAR_PACKING_NONE, -1, &other, &error), CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "Another export writes"));
    cellar_export_file_close(file);
    assert_int_equal(open_out(CELLAR_PACKING_NONE, 1, &file, &error), CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "is not what the export left there"));
    (void)unlink(part);
    assert_int_equal(mkdir(part, 0700), 0);
    assert_int_equal(open_out(CELLAR_PACKING_NONE, -1, &file, &error), CELLAR_INVALID_ARGUMENT);
    assert_int_equal(rmdir(part), 0);
    struct cellar_export_file_options options = {.path = folder, .resume_bytes = -1};
    assert_int_equal(cellar_export_file_open(&options, &file, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "is a folder"));
    options.path = "/nowhere/at/all";
    assert_int_equal(cellar_export_file_open(&options, &file, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "Cannot open '/nowhere/at/all.part': No such file"));
}

static void devices_and_standard_output_are_written_as_they_are(void **state)
{
    (void)state;
    struct cellar_export_file_options options = {.path = "/dev/full", .resume_bytes = -1};
    struct cellar_export_file *file = NULL;
    struct cellar_error error;
    assert_int_equal(cellar_export_file_open(&options, &file, &error), CELLAR_OK);
    assert_false(cellar_export_file_is_resumable(file));
    write_text(file, "text");
    assert_int_equal(cellar_export_file_finish(file, &error), CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "Cannot write '/dev/full': No space left"));
    cellar_export_file_close(file);
    options.path = "-";
    options.out = fopen(path, "w");
    assert_non_null(options.out);
    assert_int_equal(cellar_export_file_open(&options, &file, &error), CELLAR_OK);
    assert_false(cellar_export_file_is_resumable(file));
    write_text(file, "text");
    assert_int_equal(cellar_export_file_finish(file, &error), CELLAR_OK);
    cellar_export_file_close(file);
    assert_int_equal(fclose(options.out), 0);
    expect_file(path, CELLAR_PACKING_NONE, "text");
}

static enum cellar_status write_some(void *context)
{
    struct cellar_export_file *file;
    enum cellar_status status = open_out(*(enum cellar_packing *)context, -1, &file, NULL);
    if (status == CELLAR_OK) {
        status = cellar_export_file_write(file, cellar_slice_text("text"), NULL);
    }
    if (status == CELLAR_OK) {
        int64_t bytes;
        status = cellar_export_file_sync(file, &bytes, NULL);
    }
    cellar_export_file_close(file);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    for (int packing = CELLAR_PACKING_NONE; packing <= CELLAR_PACKING_ZSTD; packing++) {
        enum cellar_packing wanted = (enum cellar_packing)packing;
        assert_true(test_out_of_memory_loop(write_some, &wanted) >= 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_its_name_when_it_is_whole),
        cmocka_unit_test(a_part_is_gone_on_with_at_every_synced_length),
        cmocka_unit_test(a_new_export_begins_a_part_anew_and_replaces_the_file),
        cmocka_unit_test(an_empty_export_is_a_file_that_unpacks),
        cmocka_unit_test(parts_that_do_not_suit_are_told),
        cmocka_unit_test(devices_and_standard_output_are_written_as_they_are),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("export_file", tests, folder_make, folder_remove);
}
