/*
 * read: what a builder asks for is what the server's decoders read: keys, ranges of every kind,
 * prefixes, columns, limits. Failures stay in the builder.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/mutations.h"
#include "client/lib/read.h"
#include "common/rowset.h"

#define TEXT(text) cellar_text(text)

/* An encoded read and what the server makes of it. */
struct decoded {
    struct cellar_buffer body;
    struct cellar_msg_read_rows_request message;
    struct cellar_arena arena;
    struct cellar_rowset rows;
};

static void decode(const struct cellar_read *read, struct decoded *decoded)
{
    struct cellar_read_terms terms = {
        .table = cellar_slice_text("t"), .credit_bytes = 77, .timeout_us = 5};
    struct cellar_error error;
    memset(decoded, 0, sizeof *decoded);
    assert_int_equal(cellar_read_encode(read, &terms, &decoded->body), CELLAR_OK);
    assert_int_equal(cellar_message_decode(&cellar_msg_read_rows_request_type,
                                           cellar_slice_of(&decoded->body), &decoded->message,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    if (cellar_rowset_decode(decoded->message.row_keys, decoded->message.ranges, &decoded->arena,
                             &decoded->rows, &error) != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
}

static void decoded_fini(struct decoded *decoded)
{
    cellar_arena_fini(&decoded->arena);
    cellar_buffer_fini(&decoded->body);
}

static void expect_range(const struct decoded *decoded, size_t index, struct cellar_slice start,
                         struct cellar_slice end)
{
    assert_true(index < decoded->rows.count);
    assert_true(cellar_slice_equal(decoded->rows.ranges[index].start, start));
    assert_true(cellar_slice_equal(decoded->rows.ranges[index].end, end));
}

static void an_empty_read_is_every_row_and_cell(void **state)
{
    (void)state;
    struct cellar_read *read = cellar_read_new();
    struct decoded decoded;
    decode(read, &decoded);
    assert_int_equal(decoded.rows.count, 1);
    expect_range(&decoded, 0, cellar_slice_make(NULL, 0), cellar_slice_make(NULL, 0));
    assert_int_equal(decoded.message.columns.bytes, 0);
    assert_int_equal(decoded.message.rows_limit, 0);
    assert_int_equal(decoded.message.versions, 0);
    assert_false(decoded.message.reversed);
    assert_false(decoded.message.keys_only);
    assert_int_equal(decoded.message.credit_bytes, 77);
    assert_int_equal(decoded.message.timeout_us, 5);
    decoded_fini(&decoded);
    cellar_read_free(read);
}

static void keys_and_ranges_are_their_union(void **state)
{
    (void)state;
    struct cellar_read *read = cellar_read_new();
    struct decoded decoded;
    cellar_read_row(read, TEXT("k"));
    cellar_read_range(read, cellar_bound_closed(TEXT("a")), cellar_bound_open(TEXT("c")));
    cellar_read_range(read, cellar_bound_open(TEXT("x")), cellar_bound_none());
    decode(read, &decoded);
    assert_int_equal(decoded.rows.count, 3);
    expect_range(&decoded, 0, cellar_slice_text("a"), cellar_slice_text("c"));
    expect_range(&decoded, 1, cellar_slice_text("k"), cellar_slice_make("k\0", 2));
    expect_range(&decoded, 2, cellar_slice_make("x\0", 2), cellar_slice_make(NULL, 0));
    decoded_fini(&decoded);
    cellar_read_free(read);
}

static void prefixes_end_at_the_first_key_behind_them(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        const char *end;
    } cases[] = {{"abc", "abd"}, {"a\xff\xff", "b"}, {"\xff\xff", ""}, {"", ""}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_read *read = cellar_read_new();
        struct decoded decoded;
        cellar_read_prefix(read, TEXT(cases[index].prefix));
        decode(read, &decoded);
        assert_int_equal(decoded.rows.count, 1);
        expect_range(&decoded, 0, cellar_slice_text(cases[index].prefix),
                     cellar_slice_text(cases[index].end));
        decoded_fini(&decoded);
        cellar_read_free(read);
    }
}

static void the_longest_prefix_is_taken_and_no_longer_one(void **state)
{
    (void)state;
    uint8_t prefix[CELLAR_ROW_BYTES_MAX + 1];
    struct cellar_read *read = cellar_read_new();
    struct cellar_error error;
    struct decoded decoded;
    memset(prefix, 'x', sizeof prefix);
    cellar_read_prefix(read, cellar_view_of(prefix, CELLAR_ROW_BYTES_MAX));
    decode(read, &decoded);
    assert_int_equal(decoded.rows.ranges[0].end.bytes, CELLAR_ROW_BYTES_MAX);
    decoded_fini(&decoded);
    cellar_read_prefix(read, cellar_view_of(prefix, sizeof prefix));
    assert_int_equal(cellar_read_error(read, &error), CELLAR_INVALID_ARGUMENT);
    cellar_read_row(read, TEXT("ignored")); /* the failure stays */
    assert_int_equal(read->key_count, 0);
    cellar_read_free(read);
}

static void columns_and_terms_are_sent(void **state)
{
    (void)state;
    struct cellar_read *read = cellar_read_new();
    struct decoded decoded;
    cellar_read_family(read, "f");
    cellar_read_column(read, "g", TEXT(""));
    cellar_read_versions(read, 3);
    cellar_read_limit(read, -7); /* the server refuses it with its own text */
    cellar_read_reverse(read);
    cellar_read_keys_only(read);
    decode(read, &decoded);
    assert_true(cellar_slice_equal(decoded.message.columns, cellar_slice_make("\x92\x92\xa1"
                                                                              "f\xc0\x92\xa1"
                                                                              "g\xc4\x00",
                                                                              10)));
    assert_int_equal(decoded.message.versions, 3);
    assert_int_equal(decoded.message.rows_limit, -7);
    assert_true(decoded.message.reversed);
    assert_true(decoded.message.keys_only);
    decoded_fini(&decoded);
    cellar_read_free(read);
}

static void rows_and_columns_are_bounded(void **state)
{
    (void)state;
    struct cellar_error error;
    struct cellar_read *read = cellar_read_new();
    for (uint32_t count = 0; count < CELLAR_ROWSET_COUNT_MAX; count++) {
        cellar_read_row(read, TEXT("k"));
    }
    assert_int_equal(cellar_read_error(read, &error), CELLAR_OK);
    cellar_read_range(read, cellar_bound_none(), cellar_bound_none());
    assert_int_equal(cellar_read_error(read, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 1000000 keys and ranges"));
    cellar_read_free(read);
    read = cellar_read_new();
    uint8_t byte = 0;
    cellar_read_row(read, cellar_view_of(&byte, (size_t)CELLAR_REQUEST_BYTES_MAX + 1));
    assert_int_equal(cellar_read_error(read, &error), CELLAR_INVALID_ARGUMENT);
    cellar_read_free(read);
    read = cellar_read_new();
    for (uint32_t count = 0; count <= 100000; count++) {
        cellar_read_family(read, "f");
    }
    assert_int_equal(cellar_read_error(read, &error), CELLAR_INVALID_ARGUMENT);
    cellar_read_free(read);
}

static void no_read_at_all_is_a_lack_of_memory(void **state)
{
    (void)state;
    struct cellar_error error;
    cellar_read_row(NULL, TEXT("k"));
    cellar_read_prefix(NULL, TEXT("k"));
    cellar_read_family(NULL, "f");
    cellar_read_versions(NULL, 1);
    cellar_read_limit(NULL, 1);
    cellar_read_reverse(NULL);
    cellar_read_keys_only(NULL);
    assert_int_equal(cellar_read_error(NULL, &error), CELLAR_NO_MEMORY);
    cellar_read_free(NULL);
}

static enum cellar_status build(void *context)
{
    struct cellar_error error;
    struct cellar_buffer body = {0};
    struct cellar_read_terms terms = {.table = cellar_slice_text("t")};
    (void)context;
    struct cellar_read *read = cellar_read_new();
    cellar_read_row(read, TEXT("a row"));
    cellar_read_prefix(read, TEXT("a prefix"));
    cellar_read_column(read, "f", TEXT("q"));
    enum cellar_status status = cellar_read_error(read, &error);
    if (status == CELLAR_OK) {
        status = cellar_read_encode(read, &terms, &body);
    }
    cellar_buffer_fini(&body);
    cellar_read_free(read);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(build, NULL) >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_read_is_every_row_and_cell),
        cmocka_unit_test(keys_and_ranges_are_their_union),
        cmocka_unit_test(prefixes_end_at_the_first_key_behind_them),
        cmocka_unit_test(the_longest_prefix_is_taken_and_no_longer_one),
        cmocka_unit_test(columns_and_terms_are_sent),
        cmocka_unit_test(rows_and_columns_are_bounded),
        cmocka_unit_test(no_read_at_all_is_a_lack_of_memory),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("read", tests, NULL, NULL);
}
