/*
 * row_reader: parts of a read in, whole rows out. Rows of one part and rows cut over several, parts
 * out of turn, pieces that do not belong together, cells that are damaged, and bounds.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/row_reader.h"
#include "common/segment_cells.h"

#define TEXT(text) cellar_slice_make(text, sizeof(text) - 1)
#define GOES_ON 1u
#define CONTINUES 2u

/* ---- parts ----------------------------------------------------------------------------------- */

/* A part being made; `rows` holds the elements without the array's header. */
struct part {
    struct cellar_buffer rows;
    uint32_t row_count;
};

static void check(enum cellar_status status)
{
    assert_int_equal(status, CELLAR_OK);
}

static void cells_put(struct cellar_buffer *to, const struct cellar_cell *cells, size_t count)
{
    check(cellar_wire_put_array(to, (uint32_t)(4 * count)));
    for (size_t index = 0; index < count; index++) {
        check(cellar_buffer_reserve(to, cellar_cells_bytes_max(&cells[index])));
        uint8_t *end = cellar_cells_put(to->data + to->bytes, &cells[index], 1,
                                        index == 0 ? NULL : &cells[index - 1], 1);
        to->bytes = (size_t)(end - to->data);
    }
}

/* Adds a row whose cells lie in `array_count` arrays of one cell each, numbered from `first`. */
static void row_put(struct part *part, const char *key, uint32_t flags, uint32_t array_count,
                    int64_t first)
{
    check(cellar_wire_put_array(&part->rows, 3));
    check(cellar_wire_put_bytes(&part->rows, cellar_slice_text(key)));
    check(cellar_wire_put_u64(&part->rows, flags));
    check(cellar_wire_put_array(&part->rows, array_count));
    for (uint32_t index = 0; index < array_count; index++) {
        struct cellar_cell cell = {.family = TEXT("f"),
                                   .qualifier = TEXT("q"),
                                   .timestamp_us = first + index,
                                   .value = TEXT("v")};
        cells_put(&part->rows, &cell, 1);
    }
    part->row_count++;
}

/* The finished message, in `to`. */
static void part_encode(struct part *part, uint64_t number, struct cellar_buffer *to)
{
    struct cellar_buffer rows = {0};
    struct cellar_msg_read_rows_reply reply = {.part = number};
    check(cellar_wire_put_array(&rows, part->row_count));
    check(cellar_buffer_append(&rows, part->rows.data, part->rows.bytes));
    reply.rows = cellar_slice_of(&rows);
    cellar_buffer_clear(to);
    check(cellar_message_encode(&cellar_msg_read_rows_reply_type, &reply, to));
    cellar_buffer_fini(&rows);
    cellar_buffer_fini(&part->rows);
    part->row_count = 0;
}

static void expect_row(struct cellar_row_reader *reader, const char *key, size_t cell_count)
{
    struct cellar_row row;
    struct cellar_error error;
    bool has_row = false;
    check(cellar_row_reader_next(reader, &has_row, &row, &error));
    assert_true(has_row);
    assert_int_equal(row.key.bytes, strlen(key));
    assert_memory_equal(row.key.data, key, row.key.bytes);
    assert_int_equal(row.cell_count, cell_count);
    for (size_t index = 0; index < cell_count; index++) {
        assert_int_equal(row.cells[index].timestamp_us, index);
        assert_int_equal(row.cells[index].family.bytes, 1);
        assert_int_equal(row.cells[index].family.data[0], 'f');
        assert_int_equal(row.cells[index].value.data[0], 'v');
    }
}

static void expect_pause(struct cellar_row_reader *reader)
{
    struct cellar_row row;
    struct cellar_error error;
    bool has_row = true;
    check(cellar_row_reader_next(reader, &has_row, &row, &error));
    assert_false(has_row);
}

static void expect_failure(struct cellar_row_reader *reader, enum cellar_status code,
                           const char *text)
{
    struct cellar_row row;
    struct cellar_error error;
    bool has_row = false;
    enum cellar_status status = CELLAR_OK;
    do {
        status = cellar_row_reader_next(reader, &has_row, &row, &error);
    } while (status == CELLAR_OK && has_row);
    assert_int_equal(status, code);
    if (strstr(error.text, text) == NULL) {
        fail_msg("'%s' does not hold '%s'", error.text, text);
    }
    cellar_row_reader_fini(reader);
}

/* ---- normal ---------------------------------------------------------------------------------- */

static void rows_of_several_parts_come_one_by_one(void **state)
{
    (void)state;
    struct cellar_row_reader reader = {0};
    struct part part = {0};
    struct cellar_buffer body = {0};
    row_put(&part, "a", 0, 2, 0);
    row_put(&part, "b", 0, 1, 0);
    part_encode(&part, 0, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), false, NULL));
    expect_row(&reader, "a", 2);
    expect_row(&reader, "b", 1);
    expect_pause(&reader);
    row_put(&part, "c", 0, 0, 0); /* keys only */
    part_encode(&part, 1, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), true, NULL));
    expect_row(&reader, "c", 0);
    expect_pause(&reader);
    assert_true(reader.is_last);
    cellar_row_reader_fini(&reader);
    cellar_buffer_fini(&body);
}

static void an_answer_without_rows_ends_at_once(void **state)
{
    (void)state;
    static const struct cellar_slice bodies[] = {
        {(const uint8_t *)"\x80", 1},
        {(const uint8_t *)"\x81\x02\x90", 3},
        {(const uint8_t *)"\x82\x01\x00\x63\xc0", 5}, /* an unknown field is stepped over */
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bodies); index++) {
        struct cellar_row_reader reader = {0};
        check(cellar_row_reader_part(&reader, bodies[index], true, NULL));
        expect_pause(&reader);
        assert_true(reader.is_last);
        cellar_row_reader_fini(&reader);
    }
}

static void a_row_over_three_parts_comes_when_it_is_whole(void **state)
{
    (void)state;
    struct cellar_row_reader reader = {0};
    struct part part = {0};
    struct cellar_buffer body = {0};
    row_put(&part, "a", 0, 1, 0);
    row_put(&part, "long", GOES_ON, 2, 0);
    part_encode(&part, 0, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), false, NULL));
    expect_row(&reader, "a", 1);
    expect_pause(&reader);
    row_put(&part, "long", GOES_ON | CONTINUES, 3, 2);
    part_encode(&part, 1, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), false, NULL));
    expect_pause(&reader);
    row_put(&part, "long", CONTINUES, 1, 5);
    row_put(&part, "next", 0, 1, 0);
    part_encode(&part, 2, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), true, NULL));
    expect_row(&reader, "long", 6);
    expect_row(&reader, "next", 1);
    expect_pause(&reader);
    cellar_row_reader_fini(&reader);
    cellar_buffer_fini(&body);
}

static void two_long_rows_follow_each_other(void **state)
{
    (void)state;
    struct cellar_row_reader reader = {0};
    struct part part = {0};
    struct cellar_buffer body = {0};
    row_put(&part, "a", GOES_ON, 1, 0);
    part_encode(&part, 0, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), false, NULL));
    expect_pause(&reader);
    row_put(&part, "a", CONTINUES, 1, 1);
    row_put(&part, "b", GOES_ON, 0, 0);
    part_encode(&part, 1, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), false, NULL));
    expect_row(&reader, "a", 2);
    expect_pause(&reader);
    row_put(&part, "b", CONTINUES, 1, 0);
    part_encode(&part, 2, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), true, NULL));
    expect_row(&reader, "b", 1);
    cellar_row_reader_fini(&reader);
    cellar_buffer_fini(&body);
}

/* ---- malformed ------------------------------------------------------------------------------- */

static void parts_out_of_turn_are_refused(void **state)
{
    (void)state;
    struct cellar_row_reader reader = {0};
    struct cellar_error error;
    assert_int_equal(cellar_row_reader_part(&reader, TEXT("\x81\x01\x01"), false, &error),
                     CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "part 1 of a read came where 0 was due"));
    assert_int_equal(cellar_row_reader_part(&reader, TEXT("\x90"), false, &error), CELLAR_IO_ERROR);
    assert_int_equal(cellar_row_reader_part(&reader, TEXT("\x81\x02\x01"), false, &error),
                     CELLAR_IO_ERROR);
    assert_int_equal(cellar_row_reader_part(&reader, TEXT(""), false, &error), CELLAR_IO_ERROR);
    cellar_row_reader_fini(&reader);
}

static void pieces_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *first_key;
        uint32_t first_flags;
        const char *second_key;
        uint32_t second_flags;
        const char *text;
    } cases[] = {
        {"a", 0, "b", CONTINUES, "had not begun"},        {"a", GOES_ON, "a", 0, "does not go on"},
        {"a", GOES_ON, "b", CONTINUES, "another key"},    {"a", CONTINUES, "a", 0, "had not begun"},
        {"a", 0, "b", GOES_ON, "in the middle of a row"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_row_reader reader = {0};
        struct part part = {0};
        struct cellar_buffer first = {0};
        struct cellar_buffer second = {0};
        struct cellar_row row;
        struct cellar_error error;
        bool has_row = true;
        row_put(&part, cases[index].first_key, cases[index].first_flags, 1, 0);
        part_encode(&part, 0, &first);
        row_put(&part, cases[index].second_key, cases[index].second_flags, 1, 0);
        part_encode(&part, 1, &second);
        check(cellar_row_reader_part(&reader, cellar_slice_of(&first), false, NULL));
        while (has_row && cellar_row_reader_next(&reader, &has_row, &row, &error) == CELLAR_OK) {
        }
        if (!has_row) {
            if (reader.rows_left == 0 && cases[index].first_flags != CONTINUES) {
                check(cellar_row_reader_part(&reader, cellar_slice_of(&second), true, NULL));
                expect_failure(&reader, CELLAR_IO_ERROR, cases[index].text);
            } else {
                assert_non_null(strstr(error.text, cases[index].text));
                cellar_row_reader_fini(&reader);
            }
        }
        cellar_buffer_fini(&first);
        cellar_buffer_fini(&second);
    }
}

static void a_row_that_goes_on_must_be_the_last_of_its_part(void **state)
{
    (void)state;
    struct cellar_row_reader reader = {0};
    struct part part = {0};
    struct cellar_buffer body = {0};
    row_put(&part, "a", GOES_ON, 1, 0);
    row_put(&part, "a", CONTINUES, 1, 1);
    part_encode(&part, 0, &body);
    check(cellar_row_reader_part(&reader, cellar_slice_of(&body), true, NULL));
    expect_failure(&reader, CELLAR_IO_ERROR, "not the last of its part");
    cellar_buffer_fini(&body);
}

static void malformed_rows_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice bodies[] = {
        TEXT("\x81\x02\x91\x01"),                          /* a row that is a number */
        TEXT("\x81\x02\x91\x91\xc4\x01r"),                 /* without flags */
        TEXT("\x81\x02\x91\x92\xc4\x00\x00"),              /* an empty key */
        TEXT("\x81\x02\x91\x93\xc4\x01r\x00\x01"),         /* cells that are a number */
        TEXT("\x81\x02\x91\x93\xc4\x01r\x00\x91\x01"),     /* an array of cells that is one */
        TEXT("\x81\x02\x91\x93\xc4\x01r\x00\x91\x91\x01"), /* not a multiple of four */
        TEXT("\x81\x02\x91\x93\xc4\x01r\x00\x91\x94\xc0\xc0\x00\xc4\x00"), /* no family */
        TEXT("\x81\x02\x91\x93\xc4\x01r\x00\x91\x94\xa1"
             "f\xc4\x00\xff\xc4\x00"), /* a time before the epoch */
        TEXT("\x81\x02\x91\x93\xc4\x01r\x00\x91\x94\xa1"
             "f\xc4\x00\x00\x01"), /* a value that is a number */
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bodies); index++) {
        struct cellar_row_reader reader = {0};
        check(cellar_row_reader_part(&reader, bodies[index], true, NULL));
        expect_failure(&reader, CELLAR_IO_ERROR, "broke the protocol");
    }
}

static void rows_may_grow_elements_behind_the_known_ones(void **state)
{
    (void)state;
    struct cellar_row_reader reader = {0};
    check(cellar_row_reader_part(&reader, TEXT("\x81\x02\x91\x95\xc4\x01r\x00\x90\xc0\x81\x01\x02"),
                                 true, NULL));
    expect_row(&reader, "r", 0);
    cellar_row_reader_fini(&reader);
}

static void random_changes_never_do_harm(void **state)
{
    (void)state;
    struct test_random random = {test_seed("row_reader")};
    struct part part = {0};
    struct cellar_buffer body = {0};
    row_put(&part, "some row", 0, 3, 0);
    row_put(&part, "that one", 0, 1, 0);
    row_put(&part, "this one", GOES_ON, 2, 0);
    part_encode(&part, 0, &body);
    for (int round = 0; round < 2000; round++) {
        struct cellar_row_reader reader = {0};
        struct cellar_row row;
        bool has_row = true;
        size_t at = test_random_below(&random, body.bytes);
        uint8_t old = body.data[at];
        body.data[at] = (uint8_t)test_random_next(&random);
        if (cellar_row_reader_part(&reader, cellar_slice_of(&body), true, NULL) == CELLAR_OK) {
            while (has_row && cellar_row_reader_next(&reader, &has_row, &row, NULL) == CELLAR_OK) {
            }
        }
        cellar_row_reader_fini(&reader);
        body.data[at] = old;
    }
    cellar_buffer_fini(&body);
}

/* ---- out of memory --------------------------------------------------------------------------- */

static enum cellar_status read_all(void *context)
{
    const struct cellar_buffer *bodies = context;
    struct cellar_row_reader reader = {0};
    struct cellar_row row;
    struct cellar_error error;
    enum cellar_status status = CELLAR_OK;
    for (size_t index = 0; status == CELLAR_OK && index < 2; index++) {
        bool has_row = true;
        status =
            cellar_row_reader_part(&reader, cellar_slice_of(&bodies[index]), index == 1, &error);
        while (status == CELLAR_OK && has_row) {
            status = cellar_row_reader_next(&reader, &has_row, &row, &error);
        }
    }
    cellar_row_reader_fini(&reader);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    struct part part = {0};
    struct cellar_buffer bodies[2] = {{0}, {0}};
    row_put(&part, "a", 0, 30, 0);
    row_put(&part, "b", GOES_ON, 3, 0);
    part_encode(&part, 0, &bodies[0]);
    row_put(&part, "b", CONTINUES, 40, 3);
    part_encode(&part, 1, &bodies[1]);
    assert_true(test_out_of_memory_loop(read_all, bodies) >= 4);
    cellar_buffer_fini(&bodies[0]);
    cellar_buffer_fini(&bodies[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_several_parts_come_one_by_one),
        cmocka_unit_test(an_answer_without_rows_ends_at_once),
        cmocka_unit_test(a_row_over_three_parts_comes_when_it_is_whole),
        cmocka_unit_test(two_long_rows_follow_each_other),
        cmocka_unit_test(parts_out_of_turn_are_refused),
        cmocka_unit_test(pieces_that_do_not_belong_together_are_refused),
        cmocka_unit_test(a_row_that_goes_on_must_be_the_last_of_its_part),
        cmocka_unit_test(malformed_rows_are_refused),
        cmocka_unit_test(rows_may_grow_elements_behind_the_known_ones),
        cmocka_unit_test(random_changes_never_do_harm),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("row_reader", tests, NULL, NULL);
}
