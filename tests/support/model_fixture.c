/*
 * Short ways to write, read and compare; model_fixture.h says what each is for. Everything belongs
 * to the thread of the test.
 */
#include "tests/support/model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define FAMILIES_MAX 16u

struct model_fixture *model_fixture_new(const struct svc_options *options)
{
    static const char *const families[] = {"f", "g", NULL};
    struct model_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    cellar_clock_fake_set(FIXTURE_CLOCK_US, 1000000);
    model_service_open(&fixture->service, options);
    model_fixture_table(fixture, "t", 0, families, NULL);
    return fixture;
}

int model_fixture_setup(void **state)
{
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    *state = model_fixture_new(&options);
    return 0;
}

int model_fixture_setup_large(void **state)
{
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(16) << 20;
    *state = model_fixture_new(&options);
    return 0;
}

int model_fixture_teardown(void **state)
{
    struct model_fixture *fixture = *state;
    model_service_close(&fixture->service);
    model_answer_fini(&fixture->answer);
    cellar_buffer_fini(&fixture->text);
    free(fixture);
    cellar_clock_fake_off();
    return 0;
}

static size_t texts_count(const char *const *texts)
{
    size_t count = 0;
    while (texts != NULL && texts[count] != NULL) {
        count++;
    }
    return count;
}

void model_fixture_table(struct model_fixture *fixture, const char *name,
                         enum cellar_granularity granularity, const char *const *families,
                         const char *const *split_keys)
{
    struct svc_family all[FAMILIES_MAX] = {0};
    struct cellar_slice keys[FAMILIES_MAX];
    struct svc_table table = {.name = cellar_slice_text(name),
                              .granularity = granularity,
                              .families = all,
                              .family_count = texts_count(families),
                              .split_keys = keys,
                              .split_key_count = texts_count(split_keys)};
    assert_true(table.family_count <= FAMILIES_MAX && table.split_key_count <= FAMILIES_MAX);
    for (size_t i = 0; i < table.family_count; i++) {
        all[i].name = cellar_slice_text(families[i]);
    }
    for (size_t i = 0; i < table.split_key_count; i++) {
        keys[i] = cellar_slice_text(split_keys[i]);
    }
    struct model_port *port = &fixture->service.port;
    if (port->calls->create(port, &table, &fixture->error) != CELLAR_OK) {
        fail_msg("create %s: %s", name, fixture->error.text);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

struct cellar_mutation model_set(const char *family, const char *qualifier, int64_t timestamp_us,
                                 const char *value)
{
    return (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                    .family = cellar_slice_text(family),
                                    .qualifier = cellar_slice_text(qualifier),
                                    .timestamp_us = timestamp_us,
                                    .value = cellar_slice_text(value)};
}

struct cellar_mutation model_delete_column(const char *family, const char *qualifier,
                                           int64_t start_us, int64_t end_us)
{
    return (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_COLUMN,
                                    .family = cellar_slice_text(family),
                                    .qualifier = cellar_slice_text(qualifier),
                                    .start_us = start_us,
                                    .end_us = end_us};
}

struct cellar_mutation model_delete_family(const char *family)
{
    return (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_FAMILY,
                                    .family = cellar_slice_text(family)};
}

struct cellar_mutation model_delete_row(void)
{
    return (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
}

enum cellar_status model_fixture_mutate(struct model_fixture *fixture, const char *table,
                                        struct cellar_slice row,
                                        const struct cellar_mutation *mutations, size_t count)
{
    const struct model_entry entry = {row, mutations, count};
    cellar_error_clear(&fixture->error);
    return model_svc_mutate(fixture->service.svc, table, &entry, &fixture->error);
}

void model_fixture_put(struct model_fixture *fixture, const char *row,
                       const struct cellar_mutation *mutations, size_t count)
{
    if (model_fixture_mutate(fixture, "t", cellar_slice_text(row), mutations, count) != CELLAR_OK) {
        fail_msg("mutate %s: %s", row, fixture->error.text);
    }
}

void model_fixture_set(struct model_fixture *fixture, const char *row, const char *column,
                       int64_t timestamp_us, const char *value)
{
    const char *colon = strchr(column, ':');
    struct cellar_mutation set = model_set("", colon + 1, timestamp_us, value);
    set.family = cellar_slice_make(column, (size_t)(colon - column));
    model_fixture_put(fixture, row, &set, 1);
}

/* ---- reading --------------------------------------------------------------------------------- */

enum cellar_status model_fixture_read(struct model_fixture *fixture, const char *table,
                                      const struct model_read *read)
{
    cellar_error_clear(&fixture->error);
    return model_svc_read(fixture->service.svc, table, read, 131072, &fixture->answer,
                          &fixture->error);
}

static void text_add(struct cellar_buffer *to, const char *format, ...) CELLAR_PRINTF(2, 3);

static void text_add(struct cellar_buffer *to, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_true(bytes >= 0 && (size_t)bytes < sizeof text);
    assert_int_equal(cellar_buffer_append(to, text, (size_t)bytes), CELLAR_OK);
}

/* The answer as text, ended by a NUL. */
static const char *answer_text(struct model_fixture *fixture)
{
    const struct model_answer *answer = &fixture->answer;
    char shown[3][180];
    cellar_buffer_clear(&fixture->text);
    for (size_t i = 0; i < answer->row_count; i++) {
        const struct model_row *row = &answer->rows[i];
        text_add(&fixture->text, "%s%s[", i == 0 ? "" : " ",
                 cellar_bytes_show(row->key, 40, shown[0], sizeof shown[0]));
        for (size_t j = 0; j < row->cell_count; j++) {
            const struct cellar_cell *cell = &answer->cells[row->cell_first + j];
            text_add(&fixture->text, "%s%s:%s@%lld=%s", j == 0 ? "" : ",",
                     cellar_bytes_show(cell->family, 40, shown[0], sizeof shown[0]),
                     cellar_bytes_show(cell->qualifier, 40, shown[1], sizeof shown[1]),
                     (long long)cell->timestamp_us,
                     cellar_bytes_show(cell->value, 40, shown[2], sizeof shown[2]));
        }
        text_add(&fixture->text, "]");
    }
    assert_int_equal(cellar_buffer_append(&fixture->text, "", 1), CELLAR_OK);
    return (const char *)fixture->text.data;
}

void model_fixture_expect(struct model_fixture *fixture, const char *table,
                          const struct model_read *read, const char *text)
{
    enum cellar_status status = model_fixture_read(fixture, table, read);
    if (status != CELLAR_OK) {
        fail_msg("read: %s: %s", cellar_status_text(status), fixture->error.text);
    }
    assert_string_equal(answer_text(fixture), text);
}

void model_fixture_expect_all(struct model_fixture *fixture, const char *text)
{
    const struct model_read all = {0};
    model_fixture_expect(fixture, "t", &all, text);
}

/* ---- errors ---------------------------------------------------------------------------------- */

void model_fixture_expect_error(const struct model_fixture *fixture, enum cellar_status status,
                                enum cellar_status code, const char *part)
{
    assert_string_equal(cellar_status_text(status), cellar_status_text(code));
    assert_int_equal(fixture->error.code, code);
    if (strstr(fixture->error.text, part) == NULL) {
        fail_msg("expected a text with \"%s\", got \"%s\"", part, fixture->error.text);
    }
}

void model_fixture_expect_exact(const struct model_fixture *fixture, enum cellar_status status,
                                enum cellar_status code, const char *text)
{
    assert_string_equal(cellar_status_text(status), cellar_status_text(code));
    assert_string_equal(fixture->error.text, text);
}
