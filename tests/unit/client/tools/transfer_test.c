/*
 * transfer: table, file, format and patience of an import or export, and the words that a progress
 * file is compared by.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/transfer.h"

static const struct cellar_option options[] = {
    {"format", "F", ""}, {"timeout", "D", ""}, {"progress", "FILE", ""}, {"family", "cf", ""},
    {"batch", "N", ""},  {"dry", NULL, ""},    {"endpoint", "E", ""},    {NULL, NULL, NULL}};
static const struct cellar_transfer_format formats[] = {
    {"jsonl", ".jsonl"}, {"deb822", NULL}, {"csv", ".csv"}};
static const char *const manner[] = {"batch", "dry"};
static const struct cellar_transfer_kind kind = {.formats = formats,
                                                 .format_count = 3,
                                                 .formats_text = "jsonl, deb822 or csv",
                                                 .manner_options = manner,
                                                 .manner_count = 2};

/* Reads a command line behind the verb, up to a NULL. */
static enum cellar_status read_line(const char *const *words, struct cellar_transfer *transfer,
                                    struct cellar_error *error)
{
    const struct cellar_option *const lists[] = {options, NULL};
    struct cellar_args args = {0};
    char *argv[10];
    int argc = 0;
    for (; words[argc] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)words[argc];
    }
    enum cellar_status status = cellar_args_parse(lists, argc, argv, &args, error);
    if (status == CELLAR_OK) {
        memset(transfer, 0, sizeof *transfer);
        status = cellar_transfer_read(&kind, &args, transfer, error);
    }
    cellar_args_fini(&args);
    return status;
}

#define READ(transfer, error, ...)                                                                 \
    read_line((const char *const[]){__VA_ARGS__, NULL}, transfer, error)

static void the_format_is_said_or_follows_from_the_name(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t format;
    } cases[] = {{"a.jsonl", 0}, {"a.csv", 2}, {"a.csv.gz", 2}, {"a.csv.zst", 2}, {"a", 0},
                 {".csv", 0},    {"-", 0},     {"csv", 0},      {"a.deb822", 0}};
    struct cellar_transfer transfer;
    struct cellar_error error;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        assert_int_equal(READ(&transfer, &error, "t", cases[index].path), CELLAR_OK);
        assert_int_equal(transfer.format, cases[index].format);
        assert_string_equal(transfer.path, cases[index].path);
        cellar_transfer_fini(&transfer);
    }
    assert_int_equal(READ(&transfer, &error, "t", "a.csv", "--format", "deb822"), CELLAR_OK);
    assert_int_equal(transfer.format, 1);
    cellar_transfer_fini(&transfer);
    assert_int_equal(READ(&transfer, &error, "t", "a.csv", "--format", "xml"),
                     CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "Option --format must be jsonl, deb822 or csv, but got 'xml'");
    cellar_transfer_fini(&transfer);
}

static void what_is_not_said_has_a_default(void **state)
{
    (void)state;
    struct cellar_transfer transfer;
    struct cellar_error error;
    assert_int_equal(READ(&transfer, &error, "t"), CELLAR_OK);
    assert_string_equal(transfer.table, "t");
    assert_string_equal(transfer.path, "-");
    assert_null(transfer.progress_path);
    assert_int_equal(transfer.patience_us, 60000000);
    cellar_transfer_fini(&transfer);
    assert_int_equal(READ(&transfer, &error, "t", "--timeout", "2s", "--progress", "p"), CELLAR_OK);
    assert_int_equal(transfer.patience_us, 2000000);
    assert_string_equal(transfer.progress_path, "p");
    cellar_transfer_fini(&transfer);
    assert_int_equal(READ(&transfer, &error, "t", "--timeout", "0s"), CELLAR_INVALID_ARGUMENT);
    cellar_transfer_fini(&transfer);
    assert_int_equal(READ(&transfer, &error, "t", "--timeout", "soon"), CELLAR_INVALID_ARGUMENT);
    cellar_transfer_fini(&transfer);
}

static void words_are_what_decides_about_the_data(void **state)
{
    (void)state;
    struct cellar_transfer transfer;
    struct cellar_error error;
    assert_int_equal(READ(&transfer, &error, "--endpoint", "e", "t", "f", "--family", "x", "--dry",
                          "--batch=3", "--format=csv"),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&transfer.words),
                                   cellar_slice_text("--family=x --format=csv")));
    cellar_transfer_fini(&transfer);
}

static enum cellar_status one(void *context)
{
    struct cellar_transfer transfer = {0};
    (void)context;
    enum cellar_status status = READ(&transfer, NULL, "t", "f", "--family", "x");
    cellar_transfer_fini(&transfer);
    return status;
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(one, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_format_is_said_or_follows_from_the_name),
        cmocka_unit_test(what_is_not_said_has_a_default),
        cmocka_unit_test(words_are_what_decides_about_the_data),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("transfer", tests, NULL, NULL);
}
