/*
 * The benchmark's data and checks: keys and values lead back to where they come from, a right
 * answer is taken whatever writes overlap with it, and every kind of wrong answer is found.
 */
#include "client/tools/bench_check.h"

#include <stdio.h>

#include "client/tools/bench_random.h"
#include "tests/support/support.h"

#define RECORDS 50u

static struct cellar_bench_state tracked;

static int start(void **state)
{
    static const struct cellar_bench_sizes sizes = {
        .record_count = RECORDS, .timeline_count = 3, .wide_count = 2};
    (void)state;
    return cellar_bench_state_init(&tracked, &sizes, NULL) == CELLAR_OK ? 0 : 1;
}

static int stop(void **state)
{
    (void)state;
    cellar_bench_state_fini(&tracked);
    return 0;
}

/* An operation with its check. */
struct pair {
    struct cellar_bench_op op;
    struct cellar_bench_check check;
};

static void begin(struct pair *pair, struct cellar_bench_op op)
{
    pair->op = op;
    cellar_bench_state_begin(&tracked, &pair->op, &pair->check);
}

static enum cellar_status end(struct pair *pair)
{
    struct cellar_error error;
    return cellar_bench_state_end(&tracked, &pair->check, &error);
}

static enum cellar_status feed_row(struct pair *pair, uint64_t record)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    enum cellar_bench_space space =
        pair->op.kind == CELLAR_BENCH_SLICE ? CELLAR_BENCH_WIDE : CELLAR_BENCH_USER;
    size_t bytes = cellar_bench_key(space, record, key);
    return cellar_bench_check_row(&pair->check, cellar_slice_make(key, bytes), NULL);
}

static enum cellar_status feed_cell(struct pair *pair, const struct cellar_bench_cell *cell)
{
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    cellar_bench_value(cell, value);
    return cellar_bench_check_cell(&pair->check, cell->column,
                                   cellar_slice_make(value, sizeof value), NULL);
}

/* Answers with a whole record whose field 3 has that version and the others 0. */
static enum cellar_status feed_record(struct pair *pair, uint64_t record, uint32_t version)
{
    enum cellar_status status = feed_row(pair, record);
    for (uint32_t field = 0; status == CELLAR_OK && field < CELLAR_BENCH_FIELD_COUNT; field++) {
        struct cellar_bench_cell cell = {
            .record = record, .column = field, .version = field == 3 ? version : 0};
        status = feed_cell(pair, &cell);
    }
    return status;
}

static enum cellar_status feed_event(struct pair *pair, uint32_t sequence)
{
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    struct cellar_bench_cell cell = {
        .space = CELLAR_BENCH_TIME, .record = pair->op.record, .version = sequence};
    cellar_bench_value(&cell, value);
    return cellar_bench_check_event(&pair->check, sequence, cellar_slice_make(value, sizeof value),
                                    NULL);
}

static const struct cellar_bench_op put = {.kind = CELLAR_BENCH_PUT_CELL, .record = 7, .column = 3};
static const struct cellar_bench_op get = {.kind = CELLAR_BENCH_GET_ROW, .record = 7};

/* ---- keys and values ----------------------------------------------------------------------- */

static void keys_lead_back_and_sort_as_their_numbers(void **state)
{
    char first[CELLAR_BENCH_KEY_BYTES_MAX];
    char second[CELLAR_BENCH_KEY_BYTES_MAX];
    (void)state;
    for (uint64_t record = 0; record < 200; record++) {
        uint64_t one;
        uint64_t two;
        size_t bytes = cellar_bench_key(CELLAR_BENCH_USER, record, first);
        struct cellar_slice a = cellar_slice_make(first, bytes);
        struct cellar_slice b =
            cellar_slice_make(second, cellar_bench_key(CELLAR_BENCH_USER, record + 1, second));
        assert_true(cellar_bench_key_number(CELLAR_BENCH_USER, a, &one));
        assert_true(cellar_bench_key_number(CELLAR_BENCH_USER, b, &two));
        assert_int_equal(cellar_bench_unmix(one), record);
        assert_int_equal(cellar_slice_compare(a, b) < 0, one < two);
        assert_false(cellar_bench_key_number(CELLAR_BENCH_WIDE, a, &one));
        assert_false(
            cellar_bench_key_number(CELLAR_BENCH_USER, cellar_slice_make(first, bytes - 1), &one));
    }
    assert_false(cellar_bench_key_number(
        CELLAR_BENCH_USER, cellar_slice_text("user99999999999999999999"), &(uint64_t){0}));
}

static void newer_events_sort_first(void **state)
{
    char older[CELLAR_BENCH_KEY_BYTES_MAX];
    char newer[CELLAR_BENCH_KEY_BYTES_MAX];
    uint32_t sequence;
    (void)state;
    struct cellar_slice a = cellar_slice_make(older, cellar_bench_event_key(1, 41, older));
    struct cellar_slice b = cellar_slice_make(newer, cellar_bench_event_key(1, 42, newer));
    assert_true(cellar_slice_compare(b, a) < 0);
    assert_true(cellar_bench_event_sequence(b, &sequence));
    assert_int_equal(sequence, 42);
    assert_false(cellar_bench_event_sequence(cellar_slice_text("time"), &sequence));
}

static void columns_lead_back(void **state)
{
    char name[CELLAR_BENCH_NAME_BYTES_MAX];
    uint32_t column;
    (void)state;
    size_t bytes = cellar_bench_column(CELLAR_BENCH_USER, 9, name);
    assert_string_equal(name, "field9");
    assert_true(
        cellar_bench_column_number(CELLAR_BENCH_USER, cellar_slice_make(name, bytes), &column));
    assert_int_equal(column, 9);
    bytes = cellar_bench_column(CELLAR_BENCH_WIDE, 9876, name);
    assert_string_equal(name, "c0009876");
    assert_true(
        cellar_bench_column_number(CELLAR_BENCH_WIDE, cellar_slice_make(name, bytes), &column));
    assert_int_equal(column, 9876);
    assert_false(
        cellar_bench_column_number(CELLAR_BENCH_WIDE, cellar_slice_text("c00x9876"), &column));
    assert_false(
        cellar_bench_column_number(CELLAR_BENCH_USER, cellar_slice_text("fieldx"), &column));
}

static void every_byte_of_a_value_counts(void **state)
{
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    struct cellar_bench_cell cell = {.record = 5, .column = 2, .version = 77};
    struct cellar_bench_cell found = {.record = 5, .column = 2};
    (void)state;
    cellar_bench_value(&cell, value);
    struct cellar_slice whole = cellar_slice_make(value, sizeof value);
    assert_true(cellar_bench_value_version(&found, whole));
    assert_int_equal(found.version, 77);
    for (size_t at = 0; at < sizeof value; at++) {
        value[at] ^= 1;
        assert_false(cellar_bench_value_version(&found, whole));
        value[at] ^= 1;
    }
    found.column = 3;
    assert_false(cellar_bench_value_version(&found, whole));
    found.column = 2;
    assert_false(cellar_bench_value_version(&found, cellar_slice_make(value, sizeof value - 1)));
}

/* ---- one record ---------------------------------------------------------------------------- */

static void a_record_is_taken_as_it_was_loaded(void **state)
{
    struct pair read;
    (void)state;
    begin(&read, get);
    assert_int_equal(feed_record(&read, 7, 0), CELLAR_OK);
    assert_int_equal(end(&read), CELLAR_OK);
}

static void an_answered_write_must_be_read(void **state)
{
    struct pair write;
    struct pair read;
    (void)state;
    begin(&write, put);
    assert_int_equal(write.op.version, 1);
    begin(&read, get); /* sent before the answer: both are possible */
    assert_int_equal(feed_record(&read, 7, 0), CELLAR_OK);
    assert_int_equal(end(&read), CELLAR_OK);
    begin(&read, get);
    assert_int_equal(feed_record(&read, 7, 1), CELLAR_OK);
    assert_int_equal(end(&read), CELLAR_OK);
    assert_int_equal(end(&write), CELLAR_OK);
    begin(&read, get);
    assert_int_equal(feed_record(&read, 7, 0), CELLAR_DATA_LOSS);
    begin(&read, get);
    assert_int_equal(feed_record(&read, 7, 2), CELLAR_DATA_LOSS);
    begin(&read, get);
    assert_int_equal(feed_record(&read, 7, 1), CELLAR_OK);
}

static void writes_that_overlap_may_land_in_any_order(void **state)
{
    struct pair writes[3];
    struct pair read;
    (void)state;
    begin(&writes[0], put);
    begin(&writes[1], put);
    assert_int_equal(end(&writes[1]), CELLAR_OK);
    begin(&writes[2], put);
    assert_int_equal(end(&writes[0]), CELLAR_OK);
    for (uint32_t version = 0; version <= 3; version++) { /* the group is not over */
        begin(&read, get);
        assert_int_equal(feed_record(&read, 7, version), CELLAR_OK);
    }
    assert_int_equal(end(&writes[2]), CELLAR_OK);
    for (uint32_t version = 0; version <= 3; version++) {
        begin(&read, get);
        assert_int_equal(feed_record(&read, 7, version),
                         version >= 1 ? CELLAR_OK : CELLAR_DATA_LOSS);
    }
}

static void a_row_must_be_whole_and_the_one_asked_for(void **state)
{
    struct pair read;
    struct cellar_bench_cell cell = {.record = 7, .column = 4};
    (void)state;
    begin(&read, get);
    assert_int_equal(end(&read), CELLAR_DATA_LOSS); /* no row */
    begin(&read, get);
    assert_int_equal(feed_row(&read, 8), CELLAR_DATA_LOSS);
    begin(&read, get);
    assert_int_equal(feed_row(&read, 7), CELLAR_OK);
    assert_int_equal(feed_cell(&read, &cell), CELLAR_OK);
    assert_int_equal(feed_cell(&read, &cell), CELLAR_DATA_LOSS); /* twice */
    assert_int_equal(end(&read), CELLAR_DATA_LOSS);              /* nine are missing */
    begin(&read, get);
    assert_int_equal(feed_record(&read, 7, 0), CELLAR_OK);
    assert_int_equal(feed_row(&read, 7), CELLAR_DATA_LOSS); /* a second row */
    begin(&read, (struct cellar_bench_op){.kind = CELLAR_BENCH_GET_CELL, .record = 7, .column = 5});
    assert_int_equal(feed_row(&read, 7), CELLAR_OK);
    assert_int_equal(feed_cell(&read, &cell), CELLAR_DATA_LOSS); /* another cell */
}

static void a_slice_must_be_its_columns_in_order(void **state)
{
    static const struct cellar_bench_op slice = {
        .kind = CELLAR_BENCH_SLICE, .record = 1, .column = 100, .count = 3};
    struct pair read;
    struct cellar_bench_cell cell = {.space = CELLAR_BENCH_WIDE, .record = 1, .column = 100};
    (void)state;
    begin(&read, slice);
    assert_int_equal(feed_row(&read, 1), CELLAR_OK);
    for (; cell.column < 103; cell.column++) {
        assert_int_equal(feed_cell(&read, &cell), CELLAR_OK);
    }
    assert_int_equal(end(&read), CELLAR_OK);
    begin(&read, slice);
    assert_int_equal(feed_row(&read, 1), CELLAR_OK);
    cell.column = 101;
    assert_int_equal(feed_cell(&read, &cell), CELLAR_DATA_LOSS);
    assert_int_equal(end(&read), CELLAR_DATA_LOSS);
}

/* ---- scans and timelines ------------------------------------------------------------------- */

/* The record whose key comes at that place in the order of keys. */
static uint64_t record_at(uint64_t place)
{
    return cellar_bench_unmix(tracked.numbers[place]);
}

static void a_scan_must_give_every_row_in_order(void **state)
{
    struct cellar_bench_op scan = {.kind = CELLAR_BENCH_SCAN, .record = record_at(10), .count = 3};
    struct pair read;
    (void)state;
    begin(&read, scan);
    for (uint64_t place = 10; place < 13; place++) {
        assert_int_equal(feed_record(&read, record_at(place), 0), CELLAR_OK);
    }
    assert_int_equal(end(&read), CELLAR_OK);
    begin(&read, scan);
    assert_int_equal(feed_record(&read, record_at(10), 0), CELLAR_OK);
    assert_int_equal(feed_record(&read, record_at(12), 0), CELLAR_DATA_LOSS); /* 11 is missing */
    begin(&read, scan);
    assert_int_equal(feed_record(&read, record_at(10), 0), CELLAR_OK);
    assert_int_equal(feed_record(&read, record_at(10), 0), CELLAR_DATA_LOSS); /* twice */
    begin(&read, scan);
    assert_int_equal(feed_record(&read, record_at(9), 0), CELLAR_DATA_LOSS); /* before the start */
    begin(&read, scan);
    assert_int_equal(feed_record(&read, record_at(10), 0), CELLAR_OK);
    assert_int_equal(end(&read), CELLAR_DATA_LOSS); /* too few */
    begin(&read, scan);
    for (uint64_t place = 10; place < 14; place++) {
        assert_int_equal(feed_record(&read, record_at(place), 0), CELLAR_OK);
    }
    assert_int_equal(end(&read), CELLAR_DATA_LOSS); /* too many */
}

static void a_scan_may_end_with_the_table(void **state)
{
    struct pair read;
    (void)state;
    begin(&read, (struct cellar_bench_op){
                     .kind = CELLAR_BENCH_SCAN, .record = record_at(RECORDS - 2), .count = 9});
    assert_int_equal(feed_record(&read, record_at(RECORDS - 2), 0), CELLAR_OK);
    assert_int_equal(feed_record(&read, record_at(RECORDS - 1), 0), CELLAR_OK);
    assert_int_equal(end(&read), CELLAR_OK);
    begin(&read, (struct cellar_bench_op){.kind = CELLAR_BENCH_SCAN_ALL});
    for (uint64_t place = 0; place < RECORDS; place++) {
        assert_int_equal(feed_record(&read, record_at(place), 0), CELLAR_OK);
    }
    assert_int_equal(end(&read), CELLAR_OK);
    begin(&read, (struct cellar_bench_op){.kind = CELLAR_BENCH_SCAN_ALL});
    assert_int_equal(feed_record(&read, record_at(0), 0), CELLAR_OK);
    assert_int_equal(end(&read), CELLAR_DATA_LOSS);
}

static void a_scan_takes_rows_that_are_being_inserted(void **state)
{
    static const struct cellar_bench_op insert = {
        .kind = CELLAR_BENCH_PUT_ROWS, .count = 1, .is_insert = true};
    struct pair write;
    struct pair read;
    uint64_t place = 0;
    (void)state;
    begin(&write, insert);
    assert_int_equal(write.op.record, RECORDS);
    assert_int_equal(cellar_bench_state_records(&tracked), RECORDS);
    uint64_t number = cellar_bench_record_number(RECORDS);
    for (int is_seen = 0; is_seen <= 1; is_seen++) {
        begin(&read, (struct cellar_bench_op){.kind = CELLAR_BENCH_SCAN_ALL});
        for (place = 0; place < RECORDS; place++) {
            bool is_here = tracked.numbers[place] > number &&
                           (place == 0 || tracked.numbers[place - 1] < number);
            if (is_here && is_seen == 1) {
                assert_int_equal(feed_record(&read, RECORDS, 0), CELLAR_OK);
            }
            assert_int_equal(feed_record(&read, record_at(place), 0), CELLAR_OK);
        }
        assert_int_equal(end(&read), CELLAR_OK);
    }
    begin(&read, (struct cellar_bench_op){.kind = CELLAR_BENCH_SCAN_ALL});
    assert_int_equal(feed_row(&read, RECORDS + 1), CELLAR_DATA_LOSS); /* was never inserted */
    assert_int_equal(end(&write), CELLAR_OK);
    assert_int_equal(cellar_bench_state_records(&tracked), RECORDS + 1);
}

static void inserts_are_there_without_a_gap(void **state)
{
    static const struct cellar_bench_op insert = {
        .kind = CELLAR_BENCH_PUT_ROWS, .count = 1, .is_insert = true};
    struct pair writes[3];
    (void)state;
    for (int index = 0; index < 3; index++) {
        begin(&writes[index], insert);
    }
    assert_int_equal(end(&writes[2]), CELLAR_OK);
    assert_int_equal(cellar_bench_state_records(&tracked), RECORDS);
    assert_int_equal(end(&writes[0]), CELLAR_OK);
    assert_int_equal(cellar_bench_state_records(&tracked), RECORDS + 1);
    assert_int_equal(end(&writes[1]), CELLAR_OK);
    assert_int_equal(cellar_bench_state_records(&tracked), RECORDS + 3);
}

static void a_timeline_must_give_its_newest_events(void **state)
{
    static const struct cellar_bench_op append = {
        .kind = CELLAR_BENCH_PUT_EVENTS, .record = 1, .count = 10};
    static const struct cellar_bench_op newest = {
        .kind = CELLAR_BENCH_NEWEST, .record = 1, .count = 4};
    struct pair write;
    struct pair read;
    (void)state;
    begin(&write, append);
    assert_int_equal(end(&write), CELLAR_OK); /* events 0 to 9 */
    begin(&read, newest);
    for (uint32_t sequence = 9; sequence > 5; sequence--) {
        assert_int_equal(feed_event(&read, sequence), CELLAR_OK);
    }
    assert_int_equal(end(&read), CELLAR_OK);
    begin(&read, newest);
    assert_int_equal(feed_event(&read, 8), CELLAR_DATA_LOSS); /* 9 is missing */
    begin(&read, newest);
    assert_int_equal(feed_event(&read, 9), CELLAR_OK);
    assert_int_equal(feed_event(&read, 7), CELLAR_DATA_LOSS);
    assert_int_equal(end(&read), CELLAR_DATA_LOSS); /* too few */
    begin(&read, newest);
    assert_int_equal(feed_event(&read, 10), CELLAR_DATA_LOSS); /* was never sent */
    begin(&write, append);                                     /* 10 to 19 are on their way */
    begin(&read, newest);
    assert_int_equal(feed_event(&read, 12), CELLAR_OK);
    assert_int_equal(feed_event(&read, 10), CELLAR_OK);
    assert_int_equal(feed_event(&read, 9), CELLAR_OK);
    assert_int_equal(feed_event(&read, 8), CELLAR_OK);
    assert_int_equal(end(&read), CELLAR_OK);
}

static enum cellar_status init_run(void *context)
{
    struct cellar_bench_state made = {.numbers = NULL};
    enum cellar_status status = cellar_bench_state_init(&made, context, NULL);
    cellar_bench_state_fini(&made);
    return status;
}

static void running_out_of_memory_is_told(void **state)
{
    struct cellar_bench_sizes sizes = {.record_count = 4, .timeline_count = 1, .wide_count = 1};
    (void)state;
    assert_true(test_out_of_memory_loop(init_run, &sizes) >= 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_lead_back_and_sort_as_their_numbers),
        TEST(newer_events_sort_first),
        TEST(columns_lead_back),
        TEST(every_byte_of_a_value_counts),
        TEST(a_record_is_taken_as_it_was_loaded),
        TEST(an_answered_write_must_be_read),
        TEST(writes_that_overlap_may_land_in_any_order),
        TEST(a_row_must_be_whole_and_the_one_asked_for),
        TEST(a_slice_must_be_its_columns_in_order),
        TEST(a_scan_must_give_every_row_in_order),
        TEST(a_scan_may_end_with_the_table),
        TEST(a_scan_takes_rows_that_are_being_inserted),
        TEST(inserts_are_there_without_a_gap),
        TEST(a_timeline_must_give_its_newest_events),
        TEST(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
