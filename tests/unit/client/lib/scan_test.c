/*
 * scan: rows as a stream from a peer of a few lines. Credit is given as parts are taken, closing
 * early cancels and leaves the connection usable, failures before the first row start again and
 * later ones end the scan with the rows so far.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the test wants of the peer, and what the peer saw. */
struct scene {
    unsigned part_count;      /* of the answer */
    size_t padding_bytes;     /* added to each part, to use credit up */
    unsigned break_behind;    /* 0 or the number of parts behind which the connection breaks */
    unsigned break_count;     /* so often */
    enum cellar_status error; /* ends the answer instead of its last part */
    unsigned request_count;
    unsigned cancel_count;
    uint64_t credit_bytes;                    /* given by CREDIT frames */
    struct cellar_msg_read_rows_request last; /* its scalar fields */
};

/* Sends a part of the answer. */
static void part_send(const struct scene *scene, int fd, const struct fake_request *request,
                      unsigned number)
{
    char key[16];
    struct fake_part part = {.number = number,
                             .key = key,
                             .padding_bytes = scene->padding_bytes,
                             .is_last = number + 1 == scene->part_count};
    (void)snprintf(key, sizeof key, "row%05u", number % 100000);
    fake_rows(fd, request, &part);
}

/* Waits for CREDIT or CANCEL; false when the client is gone or cancelled. */
static bool credit_wait(struct scene *scene, int fd, struct fake_request *incoming)
{
    struct cellar_msg_credit credit;
    if (!fake_receive(fd, incoming)) {
        return false;
    }
    if (incoming->frame.kind == CELLAR_FRAME_CANCEL) {
        scene->cancel_count++;
        return false;
    }
    CELLAR_ASSERT(incoming->frame.kind == CELLAR_FRAME_CREDIT);
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_credit_type, cellar_slice_of(&incoming->body), &credit,
                              CELLAR_UNKNOWN_REFUSE, NULL);
    CELLAR_ASSERT(status == CELLAR_OK);
    scene->credit_bytes += credit.bytes;
    return true;
}

/* Answers one read; false when the connection is to be closed. */
static bool read_serve(struct scene *scene, int fd, const struct fake_request *request)
{
    struct fake_request incoming = {0};
    int64_t credit = (int64_t)scene->last.credit_bytes;
    uint64_t given = scene->credit_bytes;
    bool is_whole = true;
    for (unsigned part = 0; part < scene->part_count && is_whole; part++) {
        if (scene->break_count > 0 && part == scene->break_behind) {
            scene->break_count--;
            fake_request_fini(&incoming);
            return false;
        }
        while (is_whole && credit <= 0) {
            is_whole = credit_wait(scene, fd, &incoming);
            credit += (int64_t)(scene->credit_bytes - given);
            given = scene->credit_bytes;
        }
        if (is_whole && scene->error != CELLAR_OK && part + 1 == scene->part_count) {
            fake_error(fd, request, scene->error, 1);
            scene->error = CELLAR_OK;
            break;
        }
        if (is_whole) {
            part_send(scene, fd, request, part);
            credit -= (int64_t)scene->padding_bytes;
        }
    }
    if (!is_whole && incoming.frame.kind == CELLAR_FRAME_CANCEL) {
        fake_error(fd, request, CELLAR_CANCELLED, 0);
    }
    bool is_open = is_whole || incoming.frame.kind == CELLAR_FRAME_CANCEL;
    fake_request_fini(&incoming);
    return is_open;
}

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct scene *scene = peer->context;
    struct fake_request request = {0};
    bool is_open = true;
    (void)index;
    while (is_open && fake_receive(fd, &request)) {
        if (request.frame.kind == CELLAR_FRAME_CANCEL) {
            scene->cancel_count++; /* of a read that was answered whole meanwhile */
        } else if (request.frame.kind != CELLAR_FRAME_CREDIT) {
            CELLAR_ASSERT(request.frame.operation == CELLAR_OP_READ_ROWS);
            enum cellar_status status = cellar_message_decode(
                &cellar_msg_read_rows_request_type, cellar_slice_of(&request.body), &scene->last,
                CELLAR_UNKNOWN_REFUSE, NULL);
            CELLAR_ASSERT(status == CELLAR_OK);
            scene->request_count++;
            is_open = read_serve(scene, fd, &request);
        }
    }
    fake_request_fini(&request);
}

/* A peer, a client and a scan that is open. */
struct stage {
    struct scene scene;
    struct fake_peer peer;
    struct cellar_client *client;
    struct cellar_scan *scan;
};

static void stage_open(struct stage *stage, int64_t timeout_us)
{
    struct cellar_read *read = cellar_read_new();
    struct cellar_call call = {.timeout_us = timeout_us};
    stage->peer = (struct fake_peer){.serve = serve, .context = &stage->scene};
    fake_peer_start(&stage->peer);
    stage->client = fake_peer_client(&stage->peer, NULL);
    assert_int_equal(cellar_scan_open(stage->client, "t", read, &call, &stage->scan), CELLAR_E_OK);
    cellar_read_free(read);
}

static void stage_close(struct stage *stage)
{
    cellar_client_close(stage->client);
    fake_peer_stop(&stage->peer);
}

/* Reads rows to the end; returns how many came, in the right order. */
static unsigned rows_read(struct cellar_scan *scan)
{
    struct cellar_row row;
    unsigned count = 0;
    while (cellar_scan_next(scan, &row)) {
        char key[16];
        (void)snprintf(key, sizeof key, "row%05u", count);
        assert_int_equal(row.key.bytes, 8);
        assert_memory_equal(row.key.data, key, 8);
        assert_int_equal(row.cell_count, 1);
        assert_int_equal(row.cells[0].timestamp_us, 1000);
        count++;
    }
    assert_false(cellar_scan_next(scan, &row)); /* and stays at its end */
    return count;
}

static void rows_come_in_order_and_the_end_is_ok(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 5}};
    struct cellar_call call = {0};
    stage_open(&stage, 0);
    assert_int_equal(rows_read(stage.scan), 5);
    assert_int_equal(cellar_scan_close(stage.scan, &call), CELLAR_E_OK);
    assert_int_equal(call.failure.code, CELLAR_E_OK);
    stage_close(&stage);
    assert_int_equal(stage.scene.request_count, 1);
    assert_int_equal(stage.scene.cancel_count, 0);
    assert_int_equal(stage.scene.last.timeout_us, 0);
    assert_int_equal(stage.scene.last.credit_bytes, 1048576);
}

static void a_time_limit_of_the_scan_is_told_to_the_server(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 1}};
    stage_open(&stage, 5000000);
    assert_int_equal(rows_read(stage.scan), 1);
    assert_int_equal(cellar_scan_close(stage.scan, NULL), CELLAR_E_OK);
    stage_close(&stage);
    assert_int_equal(stage.scene.last.timeout_us, 5000000);
}

static void credit_is_given_back_so_that_a_long_answer_flows(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 40, .padding_bytes = 200000}};
    stage_open(&stage, 0);
    assert_int_equal(rows_read(stage.scan), 40);
    assert_int_equal(cellar_scan_close(stage.scan, NULL), CELLAR_E_OK);
    stage_close(&stage);
    assert_int_equal(stage.scene.request_count, 1);
    assert_true(stage.scene.credit_bytes >= 40u * 200000u - 2u * 1048576u);
    assert_true(stage.scene.credit_bytes <= 41u * 200100u);
}

static void a_part_larger_than_the_credit_flows_too(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 3, .padding_bytes = 5000000}};
    stage_open(&stage, 0);
    assert_int_equal(rows_read(stage.scan), 3);
    assert_int_equal(cellar_scan_close(stage.scan, NULL), CELLAR_E_OK);
    stage_close(&stage);
    assert_int_equal(stage.scene.request_count, 1);
}

/* Takes one row, closes, and reads everything twice more over the same connection. */
static void close_early(unsigned part_count, size_t padding_bytes)
{
    struct stage stage = {.scene = {.part_count = part_count, .padding_bytes = padding_bytes}};
    struct cellar_read *read = cellar_read_new();
    struct cellar_row row;
    stage_open(&stage, 0);
    assert_true(cellar_scan_next(stage.scan, &row));
    assert_int_equal(cellar_scan_close(stage.scan, NULL), CELLAR_E_OK);
    for (int count = 0; count < 2; count++) {
        struct cellar_rows *rows = NULL;
        assert_int_equal(cellar_get(stage.client, "t", read, NULL, &rows), CELLAR_E_OK);
        assert_int_equal(cellar_rows_count(rows), part_count);
        cellar_rows_free(rows);
    }
    cellar_read_free(read);
    stage_close(&stage);
    assert_int_equal(stage.scene.cancel_count, 1);
    assert_int_equal(stage.scene.request_count, 3);
    assert_int_equal(stage.peer.connection_count, 1);
}

static void closing_early_cancels_and_the_connection_is_used_again(void **state)
{
    (void)state;
    close_early(2000, 0);    /* the answer may be whole before CANCEL comes */
    close_early(30, 300000); /* the answer has stopped for want of credit */
}

static void a_scan_that_was_never_asked_for_a_row_sends_nothing(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 1}};
    stage_open(&stage, 0);
    assert_int_equal(cellar_scan_close(stage.scan, NULL), CELLAR_E_OK);
    stage_close(&stage);
    assert_int_equal(stage.peer.connection_count, 0);
}

static void a_scan_that_breaks_before_its_first_row_starts_again(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 3, .break_behind = 0, .break_count = 2}};
    stage_open(&stage, 0);
    assert_int_equal(rows_read(stage.scan), 3);
    assert_int_equal(cellar_scan_close(stage.scan, NULL), CELLAR_E_OK);
    stage_close(&stage);
    assert_int_equal(stage.scene.request_count, 3);
    assert_int_equal(stage.peer.connection_count, 3);
}

static void a_scan_that_breaks_behind_a_row_ends_with_the_rows_so_far(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 5, .break_behind = 2, .break_count = 1}};
    struct cellar_call call = {0};
    stage_open(&stage, 0);
    assert_int_equal(rows_read(stage.scan), 2);
    assert_int_equal(cellar_scan_close(stage.scan, &call), CELLAR_E_UNAVAILABLE);
    assert_true(call.failure.is_retryable);
    assert_non_null(strstr(call.failure.where, "READ_ROWS at"));
    stage_close(&stage);
    assert_int_equal(stage.scene.request_count, 1);
}

static void an_error_ends_a_scan_and_keeps_the_connection(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 3, .error = CELLAR_DATA_LOSS}};
    struct cellar_call call = {0};
    struct cellar_rows *rows = NULL;
    stage_open(&stage, 0);
    assert_int_equal(rows_read(stage.scan), 2);
    assert_int_equal(cellar_scan_close(stage.scan, &call), CELLAR_E_DATA_LOSS);
    assert_string_equal(call.failure.text, "because");
    assert_int_equal(cellar_get_row(stage.client, "t", cellar_text("r"), NULL, &rows), CELLAR_E_OK);
    cellar_rows_free(rows);
    stage_close(&stage);
    assert_int_equal(stage.peer.connection_count, 1);
}

static void unavailable_before_the_first_row_is_tried_again(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 1, .error = CELLAR_UNAVAILABLE}};
    stage_open(&stage, 0);
    assert_int_equal(rows_read(stage.scan), 1);
    assert_int_equal(cellar_scan_close(stage.scan, NULL), CELLAR_E_OK);
    stage_close(&stage);
    assert_int_equal(stage.scene.request_count, 2);
}

static void rows_outlive_the_scan_in_memory(void **state)
{
    (void)state;
    struct stage stage = {.scene = {.part_count = 20}};
    struct cellar_read *read = cellar_read_new();
    struct cellar_rows *rows = NULL;
    stage_open(&stage, 0);
    assert_int_equal(cellar_scan_close(stage.scan, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_get(stage.client, "t", read, NULL, &rows), CELLAR_E_OK);
    stage_close(&stage);
    cellar_read_free(read);
    assert_int_equal(cellar_rows_count(rows), 20);
    const struct cellar_row *row = cellar_rows_at(rows, 19);
    assert_memory_equal(row->key.data, "row00019", 8);
    assert_int_equal(row->cells[0].value.bytes, 1);
    cellar_rows_free(rows);
    cellar_rows_free(NULL);
}

static void a_scan_without_a_read_or_of_a_bad_one_does_not_open(void **state)
{
    (void)state;
    struct cellar_client *client = NULL;
    struct cellar_scan *scan = NULL;
    struct cellar_call call = {0};
    uint8_t prefix[4097] = {0};
    assert_int_equal(cellar_client_open(NULL, NULL, &client), CELLAR_E_OK);
    assert_int_equal(cellar_scan_open(client, "t", NULL, &call, &scan), CELLAR_E_NO_MEMORY);
    struct cellar_read *read = cellar_read_new();
    cellar_read_prefix(read, cellar_view_of(prefix, sizeof prefix));
    assert_int_equal(cellar_scan_open(client, "t", read, &call, &scan), CELLAR_E_INVALID_ARGUMENT);
    assert_non_null(strstr(call.failure.text, "at most 4096 bytes, but got 4097"));
    cellar_read_free(read);
    assert_int_equal(cellar_scan_close(NULL, &call), CELLAR_E_OK);
    assert_int_equal(call.failure.code, CELLAR_E_OK);
    cellar_client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_in_order_and_the_end_is_ok),
        cmocka_unit_test(a_time_limit_of_the_scan_is_told_to_the_server),
        cmocka_unit_test(credit_is_given_back_so_that_a_long_answer_flows),
        cmocka_unit_test(a_part_larger_than_the_credit_flows_too),
        cmocka_unit_test(closing_early_cancels_and_the_connection_is_used_again),
        cmocka_unit_test(a_scan_that_was_never_asked_for_a_row_sends_nothing),
        cmocka_unit_test(a_scan_that_breaks_before_its_first_row_starts_again),
        cmocka_unit_test(a_scan_that_breaks_behind_a_row_ends_with_the_rows_so_far),
        cmocka_unit_test(an_error_ends_a_scan_and_keeps_the_connection),
        cmocka_unit_test(unavailable_before_the_first_row_is_tried_again),
        cmocka_unit_test(rows_outlive_the_scan_in_memory),
        cmocka_unit_test(a_scan_without_a_read_or_of_a_bad_one_does_not_open),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
