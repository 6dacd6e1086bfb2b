/*
 * resume: the rest of a read is what was asked for without what came, forwards and backwards, of
 * keys, ranges and limits; and a read of which nothing is left is told from one of every row.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/lib/read.h"
#include "client/lib/resume.h"
#include "common/rowset.h"

#define TEXT(text) cellar_text(text)

static void body_make(const struct cellar_read *read, struct cellar_buffer *body)
{
    struct cellar_read_terms terms = {
        .table = cellar_slice_text("t"), .credit_bytes = 77, .timeout_us = 5};
    assert_int_equal(cellar_read_encode(read, &terms, body), CELLAR_OK);
}

/* Notes rows of a letter each and makes the rest. */
static bool rest_make(struct cellar_buffer *body, const char *came)
{
    struct cellar_resume resume = {.count = 0};
    struct cellar_error error;
    bool is_over = false;
    for (; *came != '\0'; came++) {
        assert_int_equal(cellar_resume_note(&resume, cellar_slice_make(came, 1)), CELLAR_OK);
    }
    assert_int_equal(cellar_resume_body(&resume, body, 9, &is_over, &error), CELLAR_OK);
    assert_int_equal(is_over, resume.count > 0);
    cellar_resume_fini(&resume);
    return !is_over;
}

/* Writes a request's rows as the server reads them: "start-end " for each range. */
static void rows_print(const struct cellar_buffer *body, char *text, size_t size)
{
    struct cellar_msg_read_rows_request message;
    struct cellar_arena arena = {0};
    struct cellar_rowset rows;
    int used = 0;
    assert_int_equal(cellar_message_decode(&cellar_msg_read_rows_request_type,
                                           cellar_slice_of(body), &message, CELLAR_UNKNOWN_REFUSE,
                                           NULL),
                     CELLAR_OK);
    assert_int_equal(cellar_rowset_decode(message.row_keys, message.ranges, &arena, &rows, NULL),
                     CELLAR_OK);
    text[0] = '\0';
    for (size_t index = 0; index < rows.count; index++) {
        const struct cellar_range *range = &rows.ranges[index];
        bool is_above = range->end.bytes > 1; /* an end of two bytes is X and 00 */
        bool is_open = range->start.bytes > 1;
        used += snprintf(text + used, size - (size_t)used, "%.*s%s-%.*s%s ",
                         (int)CELLAR_MIN(range->start.bytes, 1u), (const char *)range->start.data,
                         is_open ? "+" : "", (int)CELLAR_MIN(range->end.bytes, 1u),
                         (const char *)range->end.data, is_above ? "+" : "");
    }
    assert_int_equal(message.timeout_us, 9);
    assert_int_equal(message.credit_bytes, 77);
    cellar_arena_fini(&arena);
}

/* Keys b and k, and the ranges [d, g) and (p, t]. */
static struct cellar_read *read_make(bool is_reversed)
{
    struct cellar_read *read = cellar_read_new();
    cellar_read_row(read, TEXT("k"));
    cellar_read_row(read, TEXT("b"));
    cellar_read_range(read, cellar_bound_closed(TEXT("d")), cellar_bound_open(TEXT("g")));
    cellar_read_range(read, cellar_bound_open(TEXT("p")), cellar_bound_closed(TEXT("t")));
    if (is_reversed) {
        cellar_read_reverse(read);
    }
    return read;
}

static void the_rest_is_what_was_asked_for_without_what_came(void **state)
{
    (void)state;
    static const struct {
        bool is_reversed;
        const char *came;
        const char *left; /* NULL: nothing */
    } cases[] = {
        {false, "b", "d-g k-k+ p+-t+ "},
        {false, "be", "e+-g k-k+ p+-t+ "},
        {false, "bf", "f+-g k-k+ p+-t+ "},
        {false, "bek", "p+-t+ "},
        {false, "ks", "s+-t+ "},
        {false, "t", NULL},
        {true, "t", "b-b+ d-g k-k+ p+-t "},
        {true, "tq", "b-b+ d-g k-k+ p+-q "},
        {true, "k", "b-b+ d-g "},
        {true, "kd", "b-b+ "},
        {true, "e", "b-b+ d-e "},
        {true, "b", NULL},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_read *read = read_make(cases[index].is_reversed);
        struct cellar_buffer body = {0};
        char text[128];
        body_make(read, &body);
        bool is_left = rest_make(&body, cases[index].came);
        assert_int_equal(is_left, cases[index].left != NULL);
        if (is_left) {
            rows_print(&body, text, sizeof text);
            assert_string_equal(text, cases[index].left);
        }
        cellar_buffer_fini(&body);
        cellar_read_free(read);
    }
}

static void the_rest_of_every_row_begins_behind_the_last_one(void **state)
{
    (void)state;
    struct cellar_read *read = cellar_read_new();
    struct cellar_buffer body = {0};
    char text[128];
    body_make(read, &body);
    assert_true(rest_make(&body, "c"));
    rows_print(&body, text, sizeof text);
    assert_string_equal(text, "c+- ");
    assert_true(rest_make(&body, "f")); /* the rest of a rest */
    rows_print(&body, text, sizeof text);
    assert_string_equal(text, "f+- ");
    cellar_read_reverse(read);
    cellar_buffer_clear(&body);
    body_make(read, &body);
    assert_true(rest_make(&body, "c"));
    rows_print(&body, text, sizeof text);
    assert_string_equal(text, "-c ");
    cellar_buffer_fini(&body);
    cellar_read_free(read);
}

static void a_limit_is_what_has_not_come_of_it(void **state)
{
    (void)state;
    struct cellar_read *read = cellar_read_new();
    struct cellar_buffer body = {0};
    struct cellar_msg_read_rows_request message;
    cellar_read_limit(read, 5);
    cellar_read_column(read, "f", TEXT("q"));
    cellar_read_versions(read, 2);
    cellar_read_keys_only(read);
    body_make(read, &body);
    assert_true(rest_make(&body, "abc"));
    assert_int_equal(cellar_message_decode(&cellar_msg_read_rows_request_type,
                                           cellar_slice_of(&body), &message, CELLAR_UNKNOWN_REFUSE,
                                           NULL),
                     CELLAR_OK);
    assert_int_equal(message.rows_limit, 2);
    assert_int_equal(message.versions, 2);
    assert_true(message.keys_only);
    assert_true(message.columns.bytes > 0);
    assert_true(cellar_slice_equal(message.table, cellar_slice_text("t")));
    assert_false(rest_make(&body, "de"));
    cellar_buffer_fini(&body);
    cellar_read_free(read);
}

static enum cellar_status resume_run(void *context)
{
    struct cellar_resume resume = {.count = 0};
    struct cellar_buffer body = {0};
    struct cellar_error error;
    bool is_over = false;
    struct cellar_read_terms terms = {.table = cellar_slice_text("t"), .credit_bytes = 77};
    enum cellar_status status = cellar_read_encode(context, &terms, &body);
    status = status == CELLAR_OK ? cellar_resume_note(&resume, cellar_slice_text("e")) : status;
    if (status == CELLAR_OK) {
        status = cellar_resume_body(&resume, &body, 9, &is_over, &error);
        assert_int_equal(resume.count, status == CELLAR_OK ? 0 : 1);
    }
    cellar_resume_fini(&resume);
    cellar_buffer_fini(&body);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    struct cellar_read *read = read_make(false);
    assert_true(test_out_of_memory_loop(resume_run, read) >= 8);
    cellar_read_free(read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_is_what_was_asked_for_without_what_came),
        cmocka_unit_test(the_rest_of_every_row_begins_behind_the_last_one),
        cmocka_unit_test(a_limit_is_what_has_not_come_of_it),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
