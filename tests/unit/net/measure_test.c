/*
 * measure: each request is counted once, under its operation and the code of its answer, whichever
 * way it ends; and the page of it.
 */
#include "tests/unit/net/session_harness.h"

#include <string.h>

#include "common/clock.h"
#include "tests/unit/net/fake_service.h"

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"

/* The place of an operation in the table. */
static size_t index_of(const struct harness *harness, uint16_t number)
{
    size_t index = 0;
    while (harness->context.operations[index].number != number) {
        index++;
        assert_true(index < harness->context.operation_count);
    }
    return index;
}

static void expect_count(const struct harness *harness, uint16_t number, enum cellar_status code,
                         uint64_t count)
{
    size_t index = index_of(harness, number);
    assert_int_equal(cellar_counter_get(&harness->measures.outcomes[index][code]), count);
}

/* How many requests of an operation have a time, and their times' sum. */
static struct cellar_histogram_sum times_of(const struct harness *harness, uint16_t number)
{
    struct cellar_histogram_sum sum = {.count = 0};
    cellar_histogram_collect(&harness->measures.latencies[index_of(harness, number)], &sum);
    return sum;
}

static void ping(struct harness *harness, uint32_t id)
{
    const struct cellar_msg_empty empty = {0};
    harness_request(harness, id, CELLAR_OP_PING, &cellar_msg_empty_type, &empty);
}

static void write_row(struct harness *harness, uint32_t id)
{
    static const uint8_t none = 0x90;
    const struct cellar_msg_mutate_row_request message = {
        .table = cellar_slice_text("t"), .row = cellar_slice_text("r"), .mutations = {&none, 1}};
    harness_request(harness, id, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                    &message);
}

static void requests_are_counted_by_operation_and_code(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    expect_count(&harness, CELLAR_OP_HELLO, CELLAR_OK, 1);
    ping(&harness, 2);
    ping(&harness, 3);
    expect_count(&harness, CELLAR_OP_PING, CELLAR_OK, 2);
    assert_int_equal(times_of(&harness, CELLAR_OP_PING).count, 2);
    fake.write_status = CELLAR_RESOURCE_EXHAUSTED;
    write_row(&harness, 4);
    expect_count(&harness, CELLAR_OP_MUTATE_ROW, CELLAR_RESOURCE_EXHAUSTED, 1);
    const struct cellar_frame unknown = {
        .request_id = 5, .operation = 999, .kind = CELLAR_FRAME_REQUEST};
    harness_feed_frame(&harness, &unknown, cellar_slice_make("\x80", 1));
    assert_int_equal(
        cellar_counter_get(&harness.measures.outcomes[NET_OPERATION_OTHER][CELLAR_UNIMPLEMENTED]),
        1);
    assert_int_equal(cellar_counter_get(&harness.measures.begun), 4);
    harness_close(&harness);
}

static void a_write_is_counted_when_it_is_answered(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    cellar_clock_fake_set(1000000, 1000000);
    harness_open_greeted(&harness);
    write_row(&harness, 2);
    write_row(&harness, 3);
    expect_count(&harness, CELLAR_OP_MUTATE_ROW, CELLAR_OK, 0);
    cellar_clock_fake_step(700);
    fake_complete(CELLAR_OK);
    fake_complete(CELLAR_OUTCOME_UNKNOWN);
    harness_turn(&harness);
    expect_count(&harness, CELLAR_OP_MUTATE_ROW, CELLAR_OK, 1);
    expect_count(&harness, CELLAR_OP_MUTATE_ROW, CELLAR_OUTCOME_UNKNOWN, 1);
    assert_int_equal(times_of(&harness, CELLAR_OP_MUTATE_ROW).sum_us, 1400);
    harness_close(&harness);
    cellar_clock_fake_off();
}

static void a_request_whose_client_left_is_cancelled(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1000;
    harness_open_greeted(&harness);
    const struct cellar_msg_read_rows_request read = {
        .table = cellar_slice_text("t"), .present = 1u << 9, .credit_bytes = 0};
    harness_request(&harness, 2, CELLAR_OP_READ_ROWS, &cellar_msg_read_rows_request_type, &read);
    assert_int_equal(cellar_counter_get(&harness.measures.begun), 2);
    expect_count(&harness, CELLAR_OP_READ_ROWS, CELLAR_CANCELLED, 0);
    io_conn_abort(harness.conn);
    harness_turn(&harness);
    expect_count(&harness, CELLAR_OP_READ_ROWS, CELLAR_CANCELLED, 1);
    harness_close(&harness);
}

static void the_page_shows_what_was_counted(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_buffer text = {0};
    struct cellar_metric_page page = {.to = &text};
    fake_reset();
    harness_open_greeted(&harness);
    ping(&harness, 2);
    write_row(&harness, 3); /* not answered yet */
    net_front_show(&harness.context, &page);
    assert_int_equal(page.status, CELLAR_OK);
    static const char *const lines[] = {
        "\ncellar_requests_total{operation=\"PING\",code=\"OK\"} 1\n",
        "\ncellar_requests_total{operation=\"MUTATE_ROW\",code=\"OK\"} 0\n",
        "\ncellar_requests_in_flight 1\n",
        "\ncellar_request_duration_seconds_count{operation=\"PING\"} 1\n"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lines); i++) {
        if (memmem(text.data, text.bytes, lines[i], strlen(lines[i])) == NULL) {
            fail_msg("no line %s", lines[i]);
        }
    }
    fake_complete(CELLAR_OK);
    harness_turn(&harness);
    cellar_buffer_fini(&text);
    harness_close(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_counted_by_operation_and_code),
        cmocka_unit_test(a_write_is_counted_when_it_is_answered),
        cmocka_unit_test(a_request_whose_client_left_is_cancelled),
        cmocka_unit_test(the_page_shows_what_was_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
