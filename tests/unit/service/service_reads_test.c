/*
 * service_reads: what a read checks before its first row, and reads without memory.
 */
#include "tests/support/model_service.h"

static struct cellar_range every_range[1];
static const struct cellar_rowset every_row = {every_range, 1};

static enum cellar_status open_once(void *context, const struct svc_request *request,
                                    const struct svc_read_options *options)
{
    struct svc_read *read = NULL;
    struct cellar_error error;
    cellar_error_clear(&error);
    enum cellar_status status = svc_read_open(context, request, options, &read, &error);
    assert_int_equal(read != NULL, status == CELLAR_OK);
    assert_int_equal(error.code, status);
    svc_read_close(read);
    return status;
}

static void a_read_is_checked_before_its_first_row(void **state)
{
    static uint8_t long_qualifier[CELLAR_QUALIFIER_BYTES_MAX + 1];
    struct model_service service;
    const struct svc_request late = {.deadline_us = 1};
    const struct svc_column unknown = {.family = cellar_slice_text("g"), .is_family = true};
    const struct svc_column too_long = {
        .family = cellar_slice_text("f"),
        .qualifier = cellar_slice_make(long_qualifier, sizeof long_qualifier)};
    const struct svc_read_options good = {.table = cellar_slice_text("t"), .rows = &every_row};
    struct svc_read_options options = good;
    (void)state;
    model_service_open_table(&service);
    assert_int_equal(open_once(service.svc, NULL, &good), CELLAR_OK);
    assert_int_equal(open_once(service.svc, &late, &good), CELLAR_DEADLINE_EXCEEDED);
    options.rows_limit = -1;
    assert_int_equal(open_once(service.svc, NULL, &options), CELLAR_INVALID_ARGUMENT);
    options = good;
    options.versions_max = -1;
    assert_int_equal(open_once(service.svc, NULL, &options), CELLAR_INVALID_ARGUMENT);
    options = good;
    options.table = cellar_slice_text("none");
    assert_int_equal(open_once(service.svc, NULL, &options), CELLAR_NOT_FOUND);
    options.table = cellar_slice_text("a b");
    assert_int_equal(open_once(service.svc, NULL, &options), CELLAR_INVALID_ARGUMENT);
    options = good;
    options.column_count = 1;
    options.columns = &unknown;
    assert_int_equal(open_once(service.svc, NULL, &options), CELLAR_NOT_FOUND);
    options.columns = &too_long;
    assert_int_equal(open_once(service.svc, NULL, &options), CELLAR_INVALID_ARGUMENT);
    model_service_close(&service);
}

static enum cellar_status open_with_columns(void *context)
{
    const struct svc_column column = {.family = cellar_slice_text("f"), .is_family = true};
    const struct svc_read_options options = {
        .table = cellar_slice_text("t"), .rows = &every_row, .columns = &column, .column_count = 1};
    return open_once(context, NULL, &options);
}

static void opening_a_read_without_memory_says_so(void **state)
{
    struct model_service service;
    (void)state;
    model_service_open_table(&service);
    assert_true(test_out_of_memory_loop(open_with_columns, service.svc) >= 2); /* columns, twice */
    model_service_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_is_checked_before_its_first_row),
        cmocka_unit_test(opening_a_read_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
