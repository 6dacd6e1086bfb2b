/*
 * import_input: files and pipes, packed and not, are read to their end; damage, folders and missing
 * files are told; skipping comes to the same bytes as reading.
 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/tools/import_input.h"

#define TEXT_BYTES 300000u

static char folder[256];

static int folder_make(void **state)
{
    (void)state;
    test_temp_dir(folder, sizeof folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    test_remove_tree(folder);
    return 0;
}

static struct cellar_slice sample(void)
{
    static uint8_t text[TEXT_BYTES];
    struct test_random random = {7};
    test_random_bytes(&random, text, sizeof text);
    memset(text, 'a', 1000);
    return cellar_slice_make(text, sizeof text);
}

/* The path of a new file that holds the first `bytes` bytes of what the packing makes of `text`. */
static const char *file_of(struct cellar_slice text, enum cellar_packing packing, size_t bytes)
{
    static char path[300];
    struct cellar_packer packer = {0};
    struct cellar_buffer packed = {0};
    (void)snprintf(path, sizeof path, "%s/input", folder);
    assert_int_equal(cellar_packer_init(&packer, packing, NULL), CELLAR_OK);
    assert_int_equal(cellar_packer_step(&packer, text, true, &packed, NULL), CELLAR_OK);
    cellar_packer_fini(&packer);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    bytes = CELLAR_MIN(bytes, packed.bytes);
    assert_int_equal(write(fd, packed.data, bytes), bytes);
    assert_int_equal(close(fd), 0);
    cellar_buffer_fini(&packed);
    return path;
}

/* Reads to the end, or to a failure. */
static enum cellar_status read_all(struct cellar_import_input *input, struct cellar_buffer *to,
                                   struct cellar_error *error)
{
    uint8_t block[5000];
    size_t got = 1;
    while (got > 0) {
        enum cellar_status status =
            cellar_import_input_read(input, block, sizeof block, &got, error);
        if (status == CELLAR_OK) {
            status = cellar_buffer_append(to, block, got);
        }
        if (status != CELLAR_OK) {
            return status;
        }
    }
    return CELLAR_OK;
}

static void files_are_unpacked_by_what_they_begin_with(void **state)
{
    (void)state;
    for (int packing = CELLAR_PACKING_NONE; packing <= CELLAR_PACKING_ZSTD; packing++) {
        struct cellar_import_input *input = NULL;
        struct cellar_buffer text = {0};
        const char *path = file_of(sample(), (enum cellar_packing)packing, SIZE_MAX);
        assert_int_equal(cellar_import_input_open(path, NULL, &input, NULL), CELLAR_OK);
        const struct cellar_import_input_info *info = cellar_import_input_info(input);
        assert_int_equal(info->packing, packing);
        assert_true(info->bytes > 0 && info->mtime_us > 0 && info->head_crc != 0);
        assert_int_equal(cellar_import_input_used_bytes(input), 0);
        assert_int_equal(read_all(input, &text, NULL), CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&text), sample()));
        assert_int_equal(cellar_import_input_used_bytes(input), info->bytes);
        cellar_buffer_fini(&text);
        cellar_import_input_close(input);
    }
}

static void skipping_is_reading_and_dropping(void **state)
{
    (void)state;
    static const uint64_t places[] = {0, 1, 65535, 65536, 65537, 200000, TEXT_BYTES};
    for (int packing = CELLAR_PACKING_NONE; packing <= CELLAR_PACKING_ZSTD; packing++) {
        const char *path = file_of(sample(), (enum cellar_packing)packing, SIZE_MAX);
        for (size_t index = 0; index < CELLAR_ARRAY_COUNT(places); index++) {
            struct cellar_import_input *input = NULL;
            struct cellar_buffer text = {0};
            assert_int_equal(cellar_import_input_open(path, NULL, &input, NULL), CELLAR_OK);
            assert_int_equal(cellar_import_input_skip(input, places[index], NULL), CELLAR_OK);
            assert_int_equal(read_all(input, &text, NULL), CELLAR_OK);
            assert_true(cellar_slice_equal(
                cellar_slice_of(&text),
                cellar_slice_make(sample().data + places[index], TEXT_BYTES - places[index])));
            assert_int_equal(cellar_import_input_skip(input, 1, NULL), CELLAR_FAILED_PRECONDITION);
            cellar_buffer_fini(&text);
            cellar_import_input_close(input);
        }
    }
}

static void files_that_end_too_early_are_told(void **state)
{
    (void)state;
    for (int packing = CELLAR_PACKING_GZIP; packing <= CELLAR_PACKING_ZSTD; packing++) {
        struct cellar_import_input *input = NULL;
        struct cellar_buffer text = {0};
        struct cellar_error error;
        const char *path = file_of(sample(), (enum cellar_packing)packing, 100000);
        assert_int_equal(cellar_import_input_open(path, NULL, &input, NULL), CELLAR_OK);
        assert_int_equal(read_all(input, &text, &error), CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "ends in the middle of its compressed data"));
        assert_true(text.bytes > 0);
        cellar_buffer_fini(&text);
        cellar_import_input_close(input);
    }
}

static void empty_and_tiny_files_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "a", "\x1f", "\x28\xb5\x2f"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(texts); index++) {
        struct cellar_import_input *input = NULL;
        struct cellar_buffer text = {0};
        const char *path = file_of(cellar_slice_text(texts[index]), CELLAR_PACKING_NONE, SIZE_MAX);
        assert_int_equal(cellar_import_input_open(path, NULL, &input, NULL), CELLAR_OK);
        assert_int_equal(read_all(input, &text, NULL), CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&text), cellar_slice_text(texts[index])));
        cellar_buffer_fini(&text);
        cellar_import_input_close(input);
    }
}

static void what_cannot_be_read_is_told(void **state)
{
    (void)state;
    struct cellar_import_input *input = NULL;
    struct cellar_error error;
    assert_int_equal(cellar_import_input_open(folder, NULL, &input, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "is a folder"));
    assert_int_equal(cellar_import_input_open("/nowhere/at/all", NULL, &input, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "No such file"));
    assert_int_equal(cellar_import_input_open("/proc/self/mem", NULL, &input, &error),
                     CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "Cannot read '/proc/self/mem' at byte 0"));
    assert_null(input);
    cellar_import_input_close(NULL);
}

static void an_interrupt_ends_the_wait(void **state)
{
    (void)state;
    char path[300];
    struct cellar_interrupt *interrupt = NULL;
    struct cellar_import_input *input = NULL;
    uint8_t block[10];
    size_t got = 0;
    (void)snprintf(path, sizeof path, "/dev/zero");
    assert_int_equal(cellar_interrupt_start(&interrupt, NULL), CELLAR_OK);
    assert_int_equal(cellar_import_input_open(path, interrupt, &input, NULL), CELLAR_OK);
    assert_int_equal(cellar_import_input_info(input)->bytes, -1);
    assert_int_equal(cellar_import_input_read(input, block, sizeof block, &got, NULL), CELLAR_OK);
    assert_int_equal(got, sizeof block);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    while (!cellar_interrupt_pause(interrupt, 1000000)) {
    }
    enum cellar_status status = CELLAR_OK;
    for (int count = 0; status == CELLAR_OK; count++) {
        assert_true(count < 100000); /* what the block holds is given first */
        status = cellar_import_input_read(input, block, sizeof block, &got, NULL);
    }
    assert_int_equal(status, CELLAR_CANCELLED);
    cellar_import_input_close(input);
    cellar_interrupt_stop(interrupt);
}

static enum cellar_status open_and_read(void *context)
{
    struct cellar_import_input *input = NULL;
    struct cellar_buffer text = {0};
    enum cellar_status status = cellar_import_input_open(context, NULL, &input, NULL);
    if (status == CELLAR_OK) {
        status = read_all(input, &text, NULL);
    }
    cellar_buffer_fini(&text);
    cellar_import_input_close(input);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    char path[300];
    (void)snprintf(path, sizeof path, "%s",
                   file_of(cellar_slice_text("text"), CELLAR_PACKING_GZIP, SIZE_MAX));
    assert_true(test_out_of_memory_loop(open_and_read, path) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_unpacked_by_what_they_begin_with),
        cmocka_unit_test(skipping_is_reading_and_dropping),
        cmocka_unit_test(files_that_end_too_early_are_told),
        cmocka_unit_test(empty_and_tiny_files_are_read),
        cmocka_unit_test(what_cannot_be_read_is_told),
        cmocka_unit_test(an_interrupt_ends_the_wait),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("import_input", tests, folder_make, folder_remove);
}
