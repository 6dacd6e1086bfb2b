/*
 * service_writes: what is refused before anything is applied, results of batches, draining.
 */
#include <sched.h>

#include "tests/support/model_service.h"

static struct cellar_mutation set_in(const char *family)
{
    return (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                    .family = cellar_slice_text(family),
                                    .timestamp_us = 1000,
                                    .value = cellar_slice_text("v")};
}

static size_t row_count(struct svc *svc)
{
    struct model_answer answer = {0};
    struct cellar_error error;
    const struct model_read all = {0};
    assert_int_equal(model_svc_read(svc, "t", &all, 1u << 20, &answer, &error), CELLAR_OK);
    size_t count = answer.row_count;
    model_answer_fini(&answer);
    return count;
}

static enum cellar_status row_write(struct svc *svc, const char *table, const char *row,
                                    const char *family)
{
    struct cellar_error error;
    const struct cellar_mutation mutation = set_in(family);
    const struct model_entry entry = {cellar_slice_text(row), &mutation, 1};
    cellar_error_clear(&error);
    return model_svc_mutate(svc, table, &entry, &error);
}

static void a_write_is_applied_or_refused_with_its_reason(void **state)
{
    struct model_service service;
    (void)state;
    model_service_open_table(&service);
    assert_int_equal(row_write(service.svc, "t", "r", "f"), CELLAR_OK);
    assert_int_equal(row_write(service.svc, "t", "", "f"), CELLAR_INVALID_ARGUMENT);
    assert_int_equal(row_write(service.svc, "t", "s", "g"), CELLAR_NOT_FOUND);
    assert_int_equal(row_write(service.svc, "u", "s", "f"), CELLAR_NOT_FOUND);
    assert_int_equal(row_write(service.svc, "u v", "s", "f"), CELLAR_INVALID_ARGUMENT);
    assert_int_equal(row_count(service.svc), 1);
    while (model_svc_figure(service.svc, "writes_in_flight") > 0) {
        (void)sched_yield(); /* a write is counted out after its answer */
    }
    model_service_close(&service);
}

static void entries_of_a_batch_fail_each_for_itself(void **state)
{
    struct model_service service;
    struct cellar_buffer list = {0};
    struct cellar_error results[3];
    struct cellar_error error;
    const struct cellar_mutation good = set_in("f");
    const struct cellar_mutation unknown = set_in("g");
    const struct model_entry entries[] = {{cellar_slice_text("a"), &good, 1},
                                          {cellar_slice_text("b"), &unknown, 1},
                                          {cellar_slice_text("c"), &good, 1}};
    (void)state;
    model_service_open_table(&service);
    model_entries_encode(entries, 3, &list);
    assert_int_equal(
        model_svc_batch_wire(service.svc, "t", cellar_slice_of(&list), results, &error), CELLAR_OK);
    assert_int_equal(results[0].code, CELLAR_OK);
    assert_int_equal(results[1].code, CELLAR_NOT_FOUND);
    assert_int_equal(results[2].code, CELLAR_OK);
    assert_int_equal(row_count(service.svc), 2);
    cellar_buffer_fini(&list);
    model_service_close(&service);
}

/* The samples of a metric, as the page shows them. */
static void expect_shown(struct svc *svc, const char *samples)
{
    struct cellar_buffer text = {0};
    struct cellar_metric_page page = {.to = &text};
    svc_show(svc, &page);
    assert_int_equal(page.status, CELLAR_OK);
    if (memmem(text.data, text.bytes, samples, strlen(samples)) == NULL) {
        fail_msg("%s is not in %.*s", samples, (int)text.bytes, (const char *)text.data);
    }
    cellar_buffer_fini(&text);
}

static void entries_of_batches_are_counted_by_how_each_ended(void **state)
{
    struct model_service service;
    struct cellar_buffer list = {0};
    struct cellar_error results[4];
    struct cellar_error error;
    const struct cellar_mutation good = set_in("f");
    const struct cellar_mutation unknown = set_in("g");
    const struct model_entry entries[] = {{cellar_slice_text("a"), &good, 1},
                                          {cellar_slice_text("b"), &unknown, 1},
                                          {cellar_slice_text("c"), &good, 1},
                                          {cellar_slice_text("d"), &unknown, 1}};
    (void)state;
    model_service_open_table(&service);
    expect_shown(service.svc, "\ncellar_batch_entries_total{code=\"OK\"} 0\n#");
    model_entries_encode(entries, 4, &list);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            model_svc_batch_wire(service.svc, "t", cellar_slice_of(&list), results, &error),
            CELLAR_OK);
    }
    assert_int_equal(row_write(service.svc, "t", "single", "g"), CELLAR_NOT_FOUND);
    assert_int_equal(row_write(service.svc, "t", "single", "f"), CELLAR_OK);
    assert_int_equal(
        model_svc_batch_wire(service.svc, "none", cellar_slice_of(&list), results, &error),
        CELLAR_NOT_FOUND);
    expect_shown(service.svc, "\ncellar_batch_entries_total{code=\"OK\"} 4\n"
                              "cellar_batch_entries_total{code=\"NOT_FOUND\"} 4\n#");
    cellar_buffer_fini(&list);
    model_service_close(&service);
}

static void a_malformed_entry_refuses_the_whole_batch(void **state)
{
    static const char *const bad[] = {
        "\x90",                  /* no entries */
        "\x01",                  /* no array */
        "\x91\x91\xc4\x01r",     /* one part */
        "\x91\x92\xc4\x01r\x90", /* no mutations */
        "\x91\x92\xc4\x01r",     /* cut */
    };
    struct model_service service;
    struct cellar_buffer list = {0};
    struct cellar_error results[2];
    struct cellar_error error;
    const struct cellar_mutation good = set_in("f");
    const struct model_entry entries[] = {{cellar_slice_text("a"), &good, 1},
                                          {cellar_slice_text(""), &good, 1}};
    (void)state;
    model_service_open_table(&service);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(bad); i++) {
        assert_int_equal(
            model_svc_batch_wire(service.svc, "t", cellar_slice_text(bad[i]), results, &error),
            CELLAR_INVALID_ARGUMENT);
    }
    model_entries_encode(entries, 2, &list);
    assert_int_equal(
        model_svc_batch_wire(service.svc, "t", cellar_slice_of(&list), results, &error),
        CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "#1"));
    assert_int_equal(row_count(service.svc), 0);
    assert_int_equal(model_svc_figure(service.svc, "writes_in_flight"), 0);
    cellar_buffer_fini(&list);
    model_service_close(&service);
}

static void never_done(void *context, const struct cellar_error *result)
{
    (void)context;
    (void)result;
    fail_msg("a refused write has ended");
}

static void a_write_without_a_list_is_refused(void **state)
{
    struct model_service service;
    struct cellar_error error;
    (void)state;
    model_service_open_table(&service);
    const struct svc_row_write write = {
        .table = cellar_slice_text("t"), .row = cellar_slice_text("r"), .done = never_done};
    struct cellar_error results[1];
    cellar_error_clear(&error);
    assert_int_equal(svc_mutate_row(service.svc, NULL, &write, &error), CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "Error in field 'Mutation list' : must be an array");
    assert_int_equal(
        model_svc_batch_wire(service.svc, "t", cellar_slice_make(NULL, 0), results, &error),
        CELLAR_INVALID_ARGUMENT);
    model_service_close(&service);
}

static void a_late_or_draining_write_is_refused_and_never_ends(void **state)
{
    struct model_service service;
    struct cellar_error error;
    const struct svc_request late = {.deadline_us = 1};
    const struct svc_row_write write = {.table = cellar_slice_text("t"),
                                        .row = cellar_slice_text("r"),
                                        .mutations = cellar_slice_text("\x91\x91\x03"),
                                        .done = never_done};
    (void)state;
    model_service_open_table(&service);
    cellar_error_clear(&error);
    assert_int_equal(svc_mutate_row(service.svc, &late, &write, &error), CELLAR_DEADLINE_EXCEEDED);
    assert_true(svc_is_ready(service.svc));
    svc_drain(service.svc);
    assert_false(svc_is_ready(service.svc));
    assert_int_equal(svc_mutate_row(service.svc, NULL, &write, &error), CELLAR_UNAVAILABLE);
    assert_true(error.retry_delay_ms > 0);
    assert_int_equal(row_count(service.svc), 0); /* reads go on */
    model_service_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_applied_or_refused_with_its_reason),
        cmocka_unit_test(entries_of_a_batch_fail_each_for_itself),
        cmocka_unit_test(entries_of_batches_are_counted_by_how_each_ended),
        cmocka_unit_test(a_malformed_entry_refuses_the_whole_batch),
        cmocka_unit_test(a_late_or_draining_write_is_refused_and_never_ends),
        cmocka_unit_test(a_write_without_a_list_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
