/*
 * Reads: a small one is one REPLY in the same turn; a long one comes part by part, a part a turn,
 * as credit and output allow; errors, cancellation, time limits and lost connections end it and
 * leave nothing behind.
 */
#include "tests/unit/net/session_harness.h"

#include <string.h>

#include "common/clock.h"
#include "common/segment_cells.h"
#include "server/net/native/native_read.h"
#include "tests/unit/net/fake_service.h"

static void read_with(struct harness *harness, uint32_t id,
                      struct cellar_msg_read_rows_request message)
{
    message.table = cellar_slice_text("t");
    harness_request(harness, id, CELLAR_OP_READ_ROWS, &cellar_msg_read_rows_request_type, &message);
}

static void read_all(struct harness *harness, uint32_t id)
{
    read_with(harness, id, (struct cellar_msg_read_rows_request){.rows_limit = 0});
}

static void credit(struct harness *harness, uint32_t id, uint64_t bytes)
{
    struct cellar_msg_credit message = {.bytes = bytes};
    struct cellar_buffer body = {0};
    struct cellar_frame frame = {.request_id = id, .kind = CELLAR_FRAME_CREDIT};
    assert_int_equal(cellar_message_encode(&cellar_msg_credit_type, &message, &body), CELLAR_OK);
    harness_feed_frame(harness, &frame, cellar_slice_of(&body));
    cellar_buffer_fini(&body);
}

static void cancel(struct harness *harness, uint32_t id)
{
    struct cellar_frame frame = {.request_id = id, .kind = CELLAR_FRAME_CANCEL};
    harness_feed_frame(harness, &frame, cellar_slice_text(""));
}

/* What one message of rows held. */
struct rows {
    uint64_t part;
    uint32_t row_count;
    uint64_t flags[128];
    uint64_t cell_count;
    uint64_t value_bytes;
    char first[32];
    char last[32];
};

static void decode_row(struct cellar_cursor *from, struct rows *rows)
{
    uint32_t count = 0;
    struct cellar_slice key;
    struct cellar_cells_reader reader;
    assert_true(cellar_wire_get_array(from, &count));
    assert_int_equal(count, 3);
    assert_true(cellar_wire_get_bytes(from, &key));
    assert_true(cellar_wire_get_u64(from, &rows->flags[rows->row_count]));
    assert_true(cellar_wire_get_array(from, &count));
    for (uint32_t i = 0; i < count; i++) {
        struct cellar_slice packed;
        assert_true(cellar_wire_skip(from, &packed));
        assert_true(cellar_cells_open(&reader, packed));
        while (cellar_cells_next(&reader)) {
            rows->cell_count++;
            rows->value_bytes += reader.cell.value.bytes;
        }
        assert_true(cellar_cells_is_done(&reader));
    }
    memcpy(rows->last, key.data, CELLAR_MIN(key.bytes, sizeof rows->last - 1));
    if (rows->row_count == 0) {
        memcpy(rows->first, rows->last, sizeof rows->first);
    }
    rows->row_count++;
}

/* Takes one whole message of that id and kind, of one or several frames. */
static struct rows expect_rows(struct harness *harness, uint32_t id, enum cellar_frame_kind kind)
{
    struct cellar_msg_read_rows_reply reply;
    struct cellar_buffer body = {0};
    struct rows rows = {.part = 0};
    bool has_more = true;
    while (has_more) {
        struct harness_frame frame = harness_expect(harness, id, kind);
        assert_int_equal(cellar_buffer_append(&body, frame.payload.data, frame.payload.bytes),
                         CELLAR_OK);
        has_more = frame.head.has_more;
    }
    assert_int_equal(cellar_message_decode(&cellar_msg_read_rows_reply_type, cellar_slice_of(&body),
                                           &reply, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(reply.rows);
    uint32_t count = 0;
    assert_true(cellar_wire_get_array(&from, &count));
    rows.part = reply.part;
    while (rows.row_count < count) {
        decode_row(&from, &rows);
    }
    assert_int_equal(cellar_cursor_left(&from), 0);
    cellar_buffer_fini(&body);
    return rows;
}

static void read_of_one_row_is_one_reply_in_the_same_turn(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1;
    fake.value_bytes = 10;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    struct rows rows = expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(rows.part, 0);
    assert_int_equal(rows.row_count, 1);
    assert_int_equal(rows.flags[0], 0);
    assert_int_equal(rows.cell_count, 1);
    assert_int_equal(rows.value_bytes, 10);
    assert_string_equal(rows.first, "row-00000000");
    harness_expect_nothing(&harness);
    assert_int_equal(fake.open_read_count, 0);
    harness_close(&harness);
}

static void read_of_nothing_is_an_empty_reply_r_row_03(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    struct rows rows = expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(rows.row_count, 0);
    harness_close(&harness);
}

static void read_of_keys_only_has_no_cells(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 2;
    harness_open_greeted(&harness);
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.keys_only = true});
    struct rows rows = expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(rows.row_count, 2);
    assert_int_equal(rows.cell_count, 0);
    harness_close(&harness);
}

static void read_goes_on_one_part_a_turn(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 250;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    struct rows rows = expect_rows(&harness, 2, CELLAR_FRAME_PART);
    assert_int_equal(rows.part, 0);
    assert_int_equal(rows.row_count, 100);
    harness_expect_nothing(&harness);
    harness_turn(&harness);
    rows = expect_rows(&harness, 2, CELLAR_FRAME_PART);
    assert_int_equal(rows.part, 1);
    assert_string_equal(rows.first, "row-00000100");
    harness_expect_nothing(&harness);
    harness_turn(&harness);
    rows = expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(rows.part, 2);
    assert_int_equal(rows.row_count, 50);
    assert_string_equal(rows.last, "row-00000249");
    harness_close(&harness);
}

static void read_lets_other_requests_through_between_parts(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_msg_empty empty = {0};
    fake_reset();
    fake.row_count = 250;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    read_all(&harness, 3);
    harness_request(&harness, 4, CELLAR_OP_PING, &cellar_msg_empty_type, &empty);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART);
    (void)expect_rows(&harness, 3, CELLAR_FRAME_PART);
    (void)harness_expect(&harness, 4, CELLAR_FRAME_REPLY);
    harness_turn(&harness);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART);
    (void)expect_rows(&harness, 3, CELLAR_FRAME_PART);
    harness_turn(&harness);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    (void)expect_rows(&harness, 3, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

static void read_marks_the_pieces_of_a_row(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1;
    fake.piece_count = 3;
    fake.value_bytes = 1000;
    harness_open_greeted(&harness);
    static const uint64_t flags[] = {1, 3, 2};
    read_all(&harness, 2);
    for (size_t i = 0; i < 3; i++) {
        struct rows rows = expect_rows(&harness, 2, i < 2 ? CELLAR_FRAME_PART : CELLAR_FRAME_REPLY);
        assert_int_equal(rows.flags[0], flags[i]);
        assert_string_equal(rows.first, "row-00000000");
        harness_turn(&harness);
    }
    harness_close(&harness);
}

static void read_sends_a_large_part_in_several_frames(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1;
    fake.value_bytes = 2500000;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    struct rows rows = expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(rows.value_bytes, 2500000);
    harness_expect_nothing(&harness);
    harness_close(&harness);
}

static void read_skips_chunks_without_rows(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1;
    fake.is_empty_chunk_first = true;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    harness_expect_nothing(&harness);
    harness_turn(&harness);
    struct rows rows = expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(rows.part, 0);
    assert_int_equal(rows.row_count, 1);
    harness_close(&harness);
}

/* ---- flow control ---------------------------------------------------------------------------- */

static void read_stops_without_credit_and_goes_on_with_it(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 250;
    harness_open_greeted(&harness);
    read_with(&harness, 2, (struct cellar_msg_read_rows_request){.credit_bytes = 1});
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART); /* overdraws */
    for (int i = 0; i < 3; i++) {
        harness_turn(&harness);
        harness_expect_nothing(&harness);
    }
    credit(&harness, 2, 1); /* still below 0 */
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    credit(&harness, 2, 1000000);
    harness_turn(&harness);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART);
    harness_turn(&harness);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    credit(&harness, 2, 1); /* too late: ignored */
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    harness_close(&harness);
}

static void read_with_a_credit_of_0_waits_and_endless_credit_is_no_overflow(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1;
    harness_open_greeted(&harness);
    struct cellar_msg_read_rows_request message = {.present = 1u << 9};
    read_with(&harness, 2, message);
    harness_expect_nothing(&harness);
    assert_int_equal(fake.next_count, 0);
    message.credit_bytes = UINT64_MAX;
    read_with(&harness, 3, message);
    (void)expect_rows(&harness, 3, CELLAR_FRAME_REPLY);
    credit(&harness, 2, UINT64_MAX);
    credit(&harness, 2, UINT64_MAX);
    harness_turn(&harness);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

/* Nobody takes the output here: at most the soft limit and a part more is produced. */
static void read_waits_while_the_output_is_full(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 10000;
    fake.value_bytes = 10000;
    harness_open_greeted(&harness);
    struct cellar_msg_read_rows_request message = {.credit_bytes = 1u << 30};
    read_with(&harness, 2, message);
    for (int i = 0; i < 20; i++) {
        io_loop_turn(harness.loop, false);
    }
    size_t waiting = io_conn_output_bytes(harness.conn);
    assert_true(waiting > IO_CONN_OUTPUT_SOFT_BYTES);
    assert_true(waiting <= IO_CONN_OUTPUT_SOFT_BYTES + 2 * NET_PART_BYTES);
    assert_int_equal(fake.open_read_count, 1);
    /* Another read may not add to it; once the output is taken, both go on. */
    fake.row_count = 1;
    read_all(&harness, 3);
    assert_int_equal(io_conn_output_bytes(harness.conn), waiting);
    cellar_buffer_clear(io_conn_output(harness.conn));
    harness.output_at = 0;
    io_conn_wrote(harness.conn);
    io_loop_turn(harness.loop, false);
    io_loop_turn(harness.loop, false);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    (void)expect_rows(&harness, 3, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void read_that_cannot_begin_is_answered_with_why(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.open_status = CELLAR_NOT_FOUND;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    harness_expect_error(&harness, 2, CELLAR_NOT_FOUND, "the fake says");
    fake.open_status = CELLAR_OK;
    read_with(&harness, 3,
              (struct cellar_msg_read_rows_request){.filter = {(const uint8_t *)"\xc0", 1}});
    harness_expect_error(&harness, 3, CELLAR_UNIMPLEMENTED, "filter");
    read_with(
        &harness, 4,
        (struct cellar_msg_read_rows_request){.row_keys = {(const uint8_t *)"\x91\xc4\x00", 3}});
    harness_expect_error(&harness, 4, CELLAR_INVALID_ARGUMENT, "non-empty");
    assert_int_equal(fake.open_read_count, 0);
    harness_close(&harness);
}

struct columns_case {
    const char *bytes;
    size_t byte_count;
    size_t column_count;
    const char *text; /* of the error, or NULL */
};

#define COLUMNS(bytes, count, text)                                                                \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, count, text                                                      \
    }

static const struct columns_case columns_cases[] = {
    COLUMNS("\x90", 0, NULL),
    COLUMNS("\x91\x92\xa1"
            "f\xc0",
            1, NULL),
    COLUMNS("\x92\x92\xa1"
            "f\xc0\x92\xc4\x01g\xc4\x00",
            2, NULL),
    COLUMNS("\x01", 0, "expected an array"),
    COLUMNS("\x91\x01", 0, "element #0"),
    COLUMNS("\x91\x91\xa1"
            "f",
            0, "element #0"),
    COLUMNS("\x92\x92\xa1"
            "f\xc0\x92\xa1"
            "f\x01",
            0, "element #1"),
};

static void read_decodes_its_columns(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < CELLAR_ARRAY_COUNT(columns_cases); i++) {
        const struct columns_case *test = &columns_cases[i];
        struct cellar_msg_read_rows_request message = {
            .columns = cellar_slice_make(test->bytes, test->byte_count)};
        read_with(&harness, 2 + i, message);
        if (test->text != NULL) {
            harness_expect_error(&harness, 2 + i, CELLAR_INVALID_ARGUMENT, test->text);
            continue;
        }
        (void)expect_rows(&harness, 2 + i, CELLAR_FRAME_REPLY);
        assert_int_equal(fake.column_count, test->column_count);
    }
    harness_close(&harness);
}

static void read_that_fails_in_the_middle_of_a_part_sends_the_error_only(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 250;
    fake.fail_at_row = 150;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART);
    harness_turn(&harness);
    harness_expect_error(&harness, 2, CELLAR_DATA_LOSS, "the fake says");
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    assert_int_equal(fake.open_read_count, 0);
    harness_close(&harness);
}

static void read_is_cancelled_once(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 250;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART);
    cancel(&harness, 2);
    cancel(&harness, 2);
    harness_expect_error(&harness, 2, CELLAR_CANCELLED, "Cancelled");
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    assert_int_equal(fake.open_read_count, 0);
    harness_close(&harness);
}

static void read_that_waits_meets_its_time_limit(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct harness harness;
    fake_reset();
    fake.row_count = 250;
    harness_open_greeted(&harness);
    read_with(&harness, 2,
              (struct cellar_msg_read_rows_request){.credit_bytes = 1, .timeout_us = 5000000});
    assert_int_equal(fake.deadline_us, 6000000);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART);
    cellar_clock_fake_step(4000000);
    harness_turn(&harness);
    harness_expect_nothing(&harness);
    cellar_clock_fake_step(1000000);
    harness_turn(&harness);
    harness_expect_error(&harness, 2, CELLAR_DEADLINE_EXCEEDED, "time limit");
    harness_close(&harness);
    cellar_clock_fake_off();
}

static void read_ends_with_its_connection(void **state)
{
    (void)state;
    static const uint64_t credits[] = {1, 1u << 20};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(credits); i++) {
        struct harness harness;
        fake_reset();
        fake.row_count = 250;
        harness_open_greeted(&harness);
        read_with(&harness, 2, (struct cellar_msg_read_rows_request){.credit_bytes = credits[i]});
        assert_int_equal(fake.open_read_count, 1);
        io_conn_abort(harness.conn);
        io_loop_turn(harness.loop, false);
        assert_int_equal(fake.open_read_count, 0);
        harness_close(&harness);
    }
}

static void read_with_an_endless_row_set_is_refused_by_the_budget(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    struct cellar_buffer keys = {0};
    uint32_t count = 300000; /* 900 kB of keys, about 10 MB as ranges */
    assert_int_equal(cellar_wire_put_array(&keys, count), CELLAR_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(cellar_buffer_append(&keys, "\xc4\x01k", 3), CELLAR_OK);
    }
    read_with(&harness, 2,
              (struct cellar_msg_read_rows_request){.row_keys = cellar_slice_of(&keys)});
    harness_expect_error(&harness, 2, CELLAR_UNAVAILABLE, "row set");
    assert_int_equal(io_budget_bytes(&harness.request_budget), 0);
    cellar_buffer_fini(&keys);
    harness_close(&harness);
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* The row is begun in one part, the cell is a part of its own, one frame a turn, then the end. */
static void read_sends_a_blob_piece_by_piece(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1;
    fake.blob_piece_count = 3;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    struct rows rows = expect_rows(&harness, 2, CELLAR_FRAME_PART);
    assert_int_equal(rows.flags[0], 1);
    assert_int_equal(rows.cell_count, 0);
    struct cellar_buffer body = {0};
    for (unsigned i = 0; i < 4; i++) {
        harness_turn(&harness);
        struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_PART);
        assert_int_equal(frame.head.has_more, i < 3);
        assert_int_equal(cellar_buffer_append(&body, frame.payload.data, frame.payload.bytes),
                         CELLAR_OK);
        harness_expect_nothing(&harness);
    }
    const struct cellar_slice value = cellar_slice_text("piecepiecepiece");
    assert_memory_equal(body.data + body.bytes - value.bytes, value.data, value.bytes);
    struct cellar_msg_read_rows_reply reply;
    assert_int_equal(cellar_message_decode(&cellar_msg_read_rows_reply_type, cellar_slice_of(&body),
                                           &reply, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(reply.part, 1);
    cellar_buffer_fini(&body);
    harness_turn(&harness);
    rows = expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(rows.part, 2);
    assert_int_equal(rows.row_count, 0);
    assert_int_equal(fake.open_read_count, 0);
    harness_close(&harness);
}

/* A part that was begun with credit is finished without; the next one waits. */
static void read_finishes_a_blob_without_credit(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1;
    fake.blob_piece_count = 40;
    harness_open_greeted(&harness);
    read_with(&harness, 2,
              (struct cellar_msg_read_rows_request){.present = 1u << 9, .credit_bytes = 40});
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART);
    bool has_more = true;
    while (has_more) {
        harness_turn(&harness);
        has_more = harness_expect(&harness, 2, CELLAR_FRAME_PART).head.has_more;
    }
    for (unsigned i = 0; i < 3; i++) {
        harness_turn(&harness);
        harness_expect_nothing(&harness);
    }
    credit(&harness, 2, 1000);
    harness_turn(&harness);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_REPLY);
    harness_close(&harness);
}

/* An error follows the frames that were sent; they are of no part then. */
static void read_that_fails_in_the_middle_of_a_blob_says_so(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    fake.row_count = 1;
    fake.blob_piece_count = 3;
    fake.fail_at_piece = 1;
    harness_open_greeted(&harness);
    read_all(&harness, 2);
    (void)expect_rows(&harness, 2, CELLAR_FRAME_PART);
    harness_turn(&harness);
    assert_true(harness_expect(&harness, 2, CELLAR_FRAME_PART).head.has_more);
    harness_turn(&harness);
    assert_true(harness_expect(&harness, 2, CELLAR_FRAME_PART).head.has_more);
    harness_turn(&harness);
    harness_expect_error(&harness, 2, CELLAR_DATA_LOSS, "");
    assert_int_equal(fake.open_read_count, 0);
    harness_close(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_of_one_row_is_one_reply_in_the_same_turn),
        cmocka_unit_test(read_of_nothing_is_an_empty_reply_r_row_03),
        cmocka_unit_test(read_of_keys_only_has_no_cells),
        cmocka_unit_test(read_goes_on_one_part_a_turn),
        cmocka_unit_test(read_lets_other_requests_through_between_parts),
        cmocka_unit_test(read_marks_the_pieces_of_a_row),
        cmocka_unit_test(read_sends_a_large_part_in_several_frames),
        cmocka_unit_test(read_skips_chunks_without_rows),
        cmocka_unit_test(read_stops_without_credit_and_goes_on_with_it),
        cmocka_unit_test(read_with_a_credit_of_0_waits_and_endless_credit_is_no_overflow),
        cmocka_unit_test(read_waits_while_the_output_is_full),
        cmocka_unit_test(read_that_cannot_begin_is_answered_with_why),
        cmocka_unit_test(read_decodes_its_columns),
        cmocka_unit_test(read_that_fails_in_the_middle_of_a_part_sends_the_error_only),
        cmocka_unit_test(read_is_cancelled_once),
        cmocka_unit_test(read_that_waits_meets_its_time_limit),
        cmocka_unit_test(read_ends_with_its_connection),
        cmocka_unit_test(read_with_an_endless_row_set_is_refused_by_the_budget),
        cmocka_unit_test(read_sends_a_blob_piece_by_piece),
        cmocka_unit_test(read_finishes_a_blob_without_credit),
        cmocka_unit_test(read_that_fails_in_the_middle_of_a_blob_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"
