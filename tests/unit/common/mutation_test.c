/*
 * mutation: lists of mutations between bytes and structures: forms, limits, and the texts of
 * refusals, some of which clients compare.
 */
#include <string.h>

#include "common/mem.h"
#include "common/mutation.h"
#include "tests/support/support.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)
#define PLACE "Error in field 'Mutation list' : Error in element #7 : "

static uint8_t filler[CELLAR_VALUE_BYTES_MAX + 1];

static const struct cellar_mutation all_kinds[] = {
    {.kind = CELLAR_MUTATION_SET,
     .family = {(const uint8_t *)"fam", 3},
     .qualifier = {(const uint8_t *)"q\0", 2},
     .timestamp_us = 1000,
     .value = {(const uint8_t *)"value", 5}},
    {.kind = CELLAR_MUTATION_SET,
     .family = {(const uint8_t *)"f", 1},
     .timestamp_us = CELLAR_TIMESTAMP_SERVER},
    {.kind = CELLAR_MUTATION_SET,
     .family = {(const uint8_t *)"f", 1},
     .timestamp_us = CELLAR_TIMESTAMP_MAX},
    {.kind = CELLAR_MUTATION_DELETE_COLUMN,
     .family = {(const uint8_t *)"f", 1},
     .qualifier = {(const uint8_t *)"q", 1},
     .start_us = 5,
     .end_us = 6},
    {.kind = CELLAR_MUTATION_DELETE_COLUMN, .family = {(const uint8_t *)"f", 1}, .start_us = 5},
    {.kind = CELLAR_MUTATION_DELETE_COLUMN, .family = {(const uint8_t *)"f", 1}, .end_us = 1},
    {.kind = CELLAR_MUTATION_DELETE_FAMILY, .family = {(const uint8_t *)"fam", 3}},
    {.kind = CELLAR_MUTATION_DELETE_ROW},
};

/* Decodes one whole mutation as element 7 and returns the status. */
static enum cellar_status decode(struct cellar_slice bytes, struct cellar_mutation *mutation,
                                 struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(bytes);
    enum cellar_status status = cellar_mutation_decode(&from, 7, mutation, error);
    assert_ptr_equal(from.at, status == CELLAR_OK ? from.end : bytes.data);
    return status;
}

static void every_kind_comes_back_unchanged(void **state)
{
    (void)state;
    struct cellar_buffer buffer = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(all_kinds); index++) {
        const struct cellar_mutation *sent = &all_kinds[index];
        struct cellar_mutation got;
        cellar_buffer_clear(&buffer);
        assert_int_equal(cellar_mutation_encode(&buffer, sent), CELLAR_OK);
        assert_int_equal(decode(cellar_slice_of(&buffer), &got, NULL), CELLAR_OK);
        assert_int_equal(got.kind, sent->kind);
        assert_true(cellar_slice_equal(got.family, sent->family));
        assert_true(cellar_slice_equal(got.qualifier, sent->qualifier));
        assert_true(got.timestamp_us == sent->timestamp_us);
        assert_true(got.start_us == sent->start_us && got.end_us == sent->end_us);
        assert_true(cellar_slice_equal(got.value, sent->value));
    }
    cellar_buffer_fini(&buffer);
}

static void mutations_have_the_documented_bytes(void **state)
{
    (void)state;
    const struct cellar_slice expected[] = {
        BYTES("\x95\0\xa3"
              "fam\xc4\2q\0\xcd\x03\xe8\xc4\5value"),
        BYTES("\x95\0\xa1"
              "f\xc4\0\xc0\xc4\0"),
        BYTES("\x95\0\xa1"
              "f\xc4\0\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\xc4\0"),
        BYTES("\x95\1\xa1"
              "f\xc4\1q\5\6"),
        BYTES("\x95\1\xa1"
              "f\xc4\0\5\xc0"),
        BYTES("\x95\1\xa1"
              "f\xc4\0\xc0\1"),
        BYTES("\x92\2\xa3"
              "fam"),
        BYTES("\x91\3")};
    struct cellar_buffer buffer = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(expected); index++) {
        cellar_buffer_clear(&buffer);
        assert_int_equal(cellar_mutation_encode(&buffer, &all_kinds[index]), CELLAR_OK);
        assert_true(cellar_slice_equal(cellar_slice_of(&buffer), expected[index]));
    }
    cellar_buffer_fini(&buffer);
}

static void r_mut_02_nil_and_minus_one_are_the_servers_time(void **state)
{
    (void)state;
    const struct cellar_slice forms[] = {BYTES("\x95\0\xa1"
                                               "f\xa0\xc0\xa0"),
                                         BYTES("\x95\0\xa1"
                                               "f\xa0\xff\xa0"),
                                         BYTES("\x95\0\xc4\1f\xc4\0\xd3\xff\xff\xff\xff\xff\xff"
                                               "\xff\xff\xc4\0")};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(forms); index++) {
        struct cellar_mutation mutation;
        assert_int_equal(decode(forms[index], &mutation, NULL), CELLAR_OK);
        assert_true(mutation.timestamp_us == CELLAR_TIMESTAMP_SERVER);
    }
}

static void r_mut_03_timestamp_0_is_a_time_of_its_own(void **state)
{
    (void)state;
    struct cellar_mutation mutation;
    assert_int_equal(decode(BYTES("\x95\0\xa1"
                                  "f\xa0\0\xa0"),
                            &mutation, NULL),
                     CELLAR_OK);
    assert_true(mutation.timestamp_us == 0);
}

static void r_mut_04_timestamps_below_minus_one_are_refused_with_the_exact_text(void **state)
{
    (void)state;
    struct cellar_mutation mutation;
    struct cellar_error error = {0};
    assert_int_equal(decode(BYTES("\x95\0\xa1"
                                  "f\xa0\xfe\xa0"),
                            &mutation, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, PLACE "Timestamps must be >= -1, but got -2");
    assert_int_equal(decode(BYTES("\x95\0\xa1"
                                  "f\xa0\xd3\x80\0\0\0\0\0\0\0\xa0"),
                            &mutation, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, PLACE "Timestamps must be >= -1, but got -9223372036854775808");
}

static void r_mut_07_the_largest_timestamp_is_taken_and_none_above(void **state)
{
    (void)state;
    struct cellar_mutation mutation;
    struct cellar_error error = {0};
    assert_int_equal(decode(BYTES("\x95\0\xa1"
                                  "f\xa0\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\xa0"),
                            &mutation, &error),
                     CELLAR_OK);
    assert_true(mutation.timestamp_us == INT64_MAX);
    assert_int_equal(decode(BYTES("\x95\0\xa1"
                                  "f\xa0\xcf\x80\0\0\0\0\0\0\0\xa0"),
                            &mutation, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, PLACE "timestamp"));
}

static void r_mut_09_bounds_that_are_nil_or_an_end_of_0_are_none(void **state)
{
    (void)state;
    const struct cellar_slice forms[] = {BYTES("\x95\1\xa1"
                                               "f\xa0\xc0\xc0"),
                                         BYTES("\x95\1\xa1"
                                               "f\xa0\0\0"),
                                         BYTES("\x95\1\xa1"
                                               "f\xa0\0\xc0")};
    struct cellar_mutation mutation;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(forms); index++) {
        assert_int_equal(decode(forms[index], &mutation, NULL), CELLAR_OK);
        assert_true(mutation.start_us == 0 && mutation.end_us == 0);
    }
    assert_int_equal(decode(BYTES("\x95\1\xa1"
                                  "f\xa0\x63\0"),
                            &mutation, NULL),
                     CELLAR_OK);
    assert_true(mutation.start_us == 99 && mutation.end_us == 0);
}

static void r_mut_10_empty_and_negative_time_ranges_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice refused[] = {BYTES("\x95\1\xa1"
                                                 "f\xa0\5\5"),
                                           BYTES("\x95\1\xa1"
                                                 "f\xa0\6\5"),
                                           BYTES("\x95\1\xa1"
                                                 "f\xa0\xff\5"),
                                           BYTES("\x95\1\xa1"
                                                 "f\xa0\xff\xc0"),
                                           BYTES("\x95\1\xa1"
                                                 "f\xa0\xc0\xff")};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(refused); index++) {
        struct cellar_mutation mutation;
        struct cellar_error error = {0};
        assert_int_equal(decode(refused[index], &mutation, &error), CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, PLACE "time_range"));
    }
}

static enum cellar_status decode_sizes(size_t family_bytes, size_t qualifier_bytes,
                                       size_t value_bytes, struct cellar_error *error)
{
    struct cellar_buffer buffer = {0};
    struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_SET,
                                       .family = cellar_slice_make(filler, family_bytes),
                                       .qualifier = cellar_slice_make(filler, qualifier_bytes),
                                       .value = cellar_slice_make(filler, value_bytes)};
    assert_int_equal(cellar_mutation_encode(&buffer, &mutation), CELLAR_OK);
    enum cellar_status status = decode(cellar_slice_of(&buffer), &mutation, error);
    cellar_buffer_fini(&buffer);
    return status;
}

static void r_key_04_r_key_06_sizes_are_taken_to_their_limits(void **state)
{
    (void)state;
    static const struct {
        size_t family_bytes;
        size_t qualifier_bytes;
        size_t value_bytes;
        enum cellar_status status;
        const char *text;
    } cases[] = {
        {1, 0, 0, CELLAR_OK, NULL},
        {64, 16384, 1048576, CELLAR_OK, NULL},
        {0, 0, 0, CELLAR_INVALID_ARGUMENT, "1 to 64 characters, but got 0"},
        {65, 0, 0, CELLAR_INVALID_ARGUMENT, "1 to 64 characters, but got 65"},
        {1, 16385, 0, CELLAR_INVALID_ARGUMENT, "at most 16384 bytes, but got 16385"},
        {1, 0, 104857600, CELLAR_OK, NULL},
        {1, 0, 104857601, CELLAR_INVALID_ARGUMENT, "at most 104857600 bytes, but got 104857601"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_error error = {0};
        assert_int_equal(decode_sizes(cases[index].family_bytes, cases[index].qualifier_bytes,
                                      cases[index].value_bytes, &error),
                         cases[index].status);
        if (cases[index].text != NULL) {
            assert_non_null(strstr(error.text, cases[index].text));
            assert_memory_equal(error.text, PLACE, sizeof PLACE - 1);
        }
    }
}

static void r_mut_17_malformed_mutations_are_refused_by_index(void **state)
{
    (void)state;
    const struct cellar_slice malformed[] = {BYTES(""),
                                             BYTES("\xc0"),
                                             BYTES("\3"),
                                             BYTES("\x90"),
                                             BYTES("\x91\xc0"),
                                             BYTES("\x91\xff"),
                                             BYTES("\x92\3\3"),
                                             BYTES("\x91\2"),
                                             BYTES("\x92\2\1"),
                                             BYTES("\x94\0\xa1"
                                                   "f\xa0\0"),
                                             BYTES("\x96\0\xa1"
                                                   "f\xa0\0\xa0\0"),
                                             BYTES("\x95\0\1\xa0\0\xa0"),
                                             BYTES("\x95\0\xa1"
                                                   "f\1\0\xa0"),
                                             BYTES("\x95\0\xa1"
                                                   "f\xa0\xa1t\xa0"),
                                             BYTES("\x95\0\xa1"
                                                   "f\xa0\0\1"),
                                             BYTES("\x95\0\xa1"
                                                   "f\xa0\0\xa5v"),
                                             BYTES("\x95\1\xa1"
                                                   "f\xa0\xc3\0"),
                                             BYTES("\x95\1\xa1"
                                                   "f\xa0\0\xc2")};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(malformed); index++) {
        struct cellar_mutation mutation = {.timestamp_us = 12345};
        struct cellar_error error = {0};
        assert_int_equal(decode(malformed[index], &mutation, &error), CELLAR_INVALID_ARGUMENT);
        assert_memory_equal(error.text, PLACE, sizeof PLACE - 1);
        assert_true(mutation.timestamp_us == 12345);
    }
}

static void kinds_that_are_reserved_or_unknown_are_unimplemented(void **state)
{
    (void)state;
    const struct cellar_slice kinds[] = {BYTES("\x91\4"), BYTES("\x93\5\1\2"), BYTES("\x91\6"),
                                         BYTES("\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff")};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(kinds); index++) {
        struct cellar_mutation mutation;
        struct cellar_error error = {0};
        assert_int_equal(decode(kinds[index], &mutation, &error), CELLAR_UNIMPLEMENTED);
        assert_memory_equal(error.text, PLACE, sizeof PLACE - 1);
    }
}

static enum cellar_status open_list(uint32_t count, struct cellar_error *error, uint32_t *found)
{
    uint8_t *at = cellar_wire_raw_array(filler, count);
    struct cellar_cursor from = {filler, at + count};
    enum cellar_status status = cellar_mutation_list_decode(&from, found, error);
    assert_ptr_equal(from.at, status == CELLAR_OK ? at : filler);
    return status;
}

static void r_key_09_a_list_has_at_most_100000_mutations(void **state)
{
    (void)state;
    struct cellar_error error = {0};
    uint32_t count = 0;
    assert_int_equal(open_list(1, &error, &count), CELLAR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(open_list(100000, &error, &count), CELLAR_OK);
    assert_int_equal(count, 100000);
    assert_int_equal(open_list(100001, &error, &count), CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "Too many mutations: 100001 provided; limit 100000");
    assert_int_equal(count, 100000);
}

static void r_mut_17_an_empty_list_is_refused_with_the_exact_text(void **state)
{
    (void)state;
    struct cellar_error error = {0};
    uint32_t count = 5;
    assert_int_equal(open_list(0, &error, &count), CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "No mutations provided");
    assert_int_equal(count, 5);
}

static void what_is_no_list_is_refused(void **state)
{
    (void)state;
    const struct cellar_slice wrong[] = {BYTES(""), BYTES("\xc0"), BYTES("\x81\1\1"),
                                         BYTES("\x92\x91"), BYTES("\xdd\0\1")};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(wrong); index++) {
        struct cellar_cursor from = cellar_cursor_make(wrong[index]);
        struct cellar_error error = {0};
        uint32_t count;
        assert_int_equal(cellar_mutation_list_decode(&from, &count, &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "must be an array"));
    }
}

/* Encodes every kind into a new buffer. */
static enum cellar_status encode_all(void *context)
{
    struct cellar_buffer buffer = {0};
    enum cellar_status status = CELLAR_OK;
    (void)context;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(all_kinds) && status == CELLAR_OK; index++) {
        struct cellar_mutation mutation = all_kinds[index];
        size_t bytes_before = buffer.bytes;
        if (mutation.kind == CELLAR_MUTATION_SET) {
            mutation.value = cellar_slice_make(filler, 10000);
        }
        status = cellar_mutation_encode(&buffer, &mutation);
        assert_true(status == CELLAR_OK || buffer.bytes == bytes_before);
    }
    cellar_buffer_fini(&buffer);
    return status;
}

static void without_memory_no_part_of_a_mutation_is_appended(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(encode_all, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_unchanged),
        cmocka_unit_test(mutations_have_the_documented_bytes),
        cmocka_unit_test(r_mut_02_nil_and_minus_one_are_the_servers_time),
        cmocka_unit_test(r_mut_03_timestamp_0_is_a_time_of_its_own),
        cmocka_unit_test(r_mut_04_timestamps_below_minus_one_are_refused_with_the_exact_text),
        cmocka_unit_test(r_mut_07_the_largest_timestamp_is_taken_and_none_above),
        cmocka_unit_test(r_mut_09_bounds_that_are_nil_or_an_end_of_0_are_none),
        cmocka_unit_test(r_mut_10_empty_and_negative_time_ranges_are_refused),
        cmocka_unit_test(r_key_04_r_key_06_sizes_are_taken_to_their_limits),
        cmocka_unit_test(r_mut_17_malformed_mutations_are_refused_by_index),
        cmocka_unit_test(kinds_that_are_reserved_or_unknown_are_unimplemented),
        cmocka_unit_test(r_key_09_a_list_has_at_most_100000_mutations),
        cmocka_unit_test(r_mut_17_an_empty_list_is_refused_with_the_exact_text),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(without_memory_no_part_of_a_mutation_is_appended),
    };
    return cmocka_run_group_tests_name("mutation", tests, NULL, NULL);
}
