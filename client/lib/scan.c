/*
 * Scans: one READ_ROWS whose parts are taken as the program asks for rows.
 *
 * A scan is sent when its first row is asked for, and holds its connection until it is closed. The
 * server sends parts while it has credit, at first SCAN_CREDIT_BYTES; a part that the program has
 * begun to read is given back as credit, half a window at a time. So the server works ahead while
 * the program does, and a program that stops reading stops the server: what is in flight is a
 * window and one part at most.
 *
 *     program            scan                              server
 *     next ------------> READ_ROWS, credit 1 MiB --------> begins
 *          <-- row ----- <------------------- PART 0, PART 1, ...
 *     next ------------> (the rows of PART 0 are given)
 *     next ------------> CREDIT for what was taken ------> goes on
 *     close -----------> CANCEL -------------------------> ERROR CANCELLED
 *
 * Until its first row was given to the program a scan that fails without an answer, or is answered
 * UNAVAILABLE, starts again. Later failures end it: the program knows the last row it got. Only
 * MOVED does not: the rows that are left (resume.c) are asked for where they are now, which is a
 * scan before its first row again.
 *
 * Closing early sends CANCEL and reads what is still under way, so that the connection can serve
 * other calls; when that takes long the connection is closed instead. A scan belongs to one thread
 * at a time.
 */

#include <string.h>

#include "client/lib/call.h"
#include "client/lib/mutations.h"
#include "client/lib/read.h"
#include "client/lib/resume.h"
#include "client/lib/row_reader.h"
#include "common/clock.h"
#include "common/mem.h"

#define SCAN_CREDIT_BYTES 1048576u
#define DRAIN_BYTES_MAX 8388608u
#define DRAIN_US_MAX INT64_C(1000000)

struct cellar_scan {
    struct cellar_client *client;
    char table[CELLAR_TABLE_NAME_BYTES_MAX]; /* its full name */
    struct cellar_buffer body;               /* the encoded request */
    struct cellar_buffer row;                /* a row by which its server is found, if has_row */
    bool has_row;
    struct cellar_place *place; /* where it holds a connection; NULL = home */
    struct cellar_retry retry;
    int64_t deadline_us; /* of the whole scan; 0 = none */
    struct cellar_sync *sync;
    uint32_t request_id; /* 0 = none is in flight */
    uint64_t credit_owed;
    struct cellar_row_reader reader;
    struct cellar_resume given; /* rows of this request that the program got */
    bool is_over;
    struct cellar_error error; /* what ended it; CELLAR_OK at its end */
};

/* Encodes the request and sets the times. */
static enum cellar_status scan_init(struct cellar_scan *scan, const char *table,
                                    const struct cellar_read *read, const struct cellar_call *call,
                                    struct cellar_error *error)
{
    struct cellar_slice row;
    struct cellar_read_terms terms = {.credit_bytes = SCAN_CREDIT_BYTES};
    int64_t first_us; /* until when the first row may take */
    CELLAR_TRY(cellar_read_error(read, error));
    CELLAR_TRY(cellar_client_table_name(scan->client, table, scan->table, error));
    CELLAR_TRY(cellar_call_deadline(scan->client, call, &first_us, error));
    if (call != NULL && call->timeout_us > 0) {
        scan->deadline_us = first_us;
        terms.timeout_us = (uint64_t)call->timeout_us;
    }
    CELLAR_ASSERT(scan->body.bytes == 0);
    scan->retry = cellar_call_retry(scan->client, CELLAR_SAFETY_READ, first_us);
    terms.table = cellar_slice_text(scan->table);
    scan->has_row = cellar_read_place(read, &row);
    if (cellar_read_encode(read, &terms, &scan->body) != CELLAR_OK ||
        (scan->has_row && row.bytes > 0 &&
         cellar_buffer_append(&scan->row, row.data, row.bytes) != CELLAR_OK)) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a scan");
    }
    return CELLAR_OK;
}

enum cellar_code cellar_scan_open(struct cellar_client *client, const char *table,
                                  const struct cellar_read *read, struct cellar_call *call,
                                  struct cellar_scan **scan)
{
    struct cellar_error error;
    CELLAR_ASSERT(client != NULL && table != NULL && scan != NULL);
    struct cellar_scan *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a scan");
        return cellar_client_finish(client, "READ_ROWS", call, &error);
    }
    made->client = client;
    if (scan_init(made, table, read, call, &error) != CELLAR_OK) {
        cellar_buffer_fini(&made->body);
        cellar_buffer_fini(&made->row);
        cellar_mem_free(made);
        return cellar_client_finish(client, "READ_ROWS", call, &error);
    }
    *scan = made;
    cellar_error_clear(&error);
    return cellar_client_finish(client, "READ_ROWS", call, &error);
}

/* Until when the next wait for the server may last. */
static int64_t wait_deadline_us(const struct cellar_scan *scan)
{
    int64_t limit_us = cellar_clock_monotonic_us() + scan->client->timeout_us;
    CELLAR_ASSERT(limit_us > 0);
    return scan->deadline_us != 0 ? CELLAR_MIN(limit_us, scan->deadline_us) : limit_us;
}

/* Gives the connection back, which closes it unless nothing is under way on it. */
static void connection_release(struct cellar_scan *scan)
{
    if (scan->sync != NULL) {
        CELLAR_ASSERT(scan->client != NULL);
        cellar_pool_return(cellar_places_pool(&scan->client->places, scan->place), scan->sync);
        cellar_places_release(&scan->client->places, scan->place);
        scan->sync = NULL;
        scan->place = NULL;
        scan->request_id = 0;
    }
}

/* Takes a connection and queues the request. */
static enum cellar_status request_start(struct cellar_scan *scan, enum cellar_attempt *attempt)
{
    bool is_fresh = *attempt == CELLAR_ATTEMPT_SENT || *attempt == CELLAR_ATTEMPT_UNSENT;
    *attempt = CELLAR_ATTEMPT_CONNECT;
    CELLAR_ASSERT(scan->sync == NULL && scan->request_id == 0);
    struct cellar_places *places = &scan->client->places;
    const struct cellar_slice row = cellar_slice_of(&scan->row);
    struct cellar_place *place =
        cellar_places_pick(places, cellar_slice_text(scan->table), scan->has_row ? &row : NULL);
    enum cellar_status status =
        cellar_pool_take(cellar_places_pool(places, place), is_fresh, scan->retry.deadline_us,
                         &scan->sync, &scan->error);
    if (status != CELLAR_OK) {
        cellar_places_lost(places, place);
        cellar_places_release(places, place);
        return status;
    }
    scan->place = place;
    *attempt = CELLAR_ATTEMPT_ANSWERED;
    scan->credit_owed = 0;
    CELLAR_ASSERT(scan->sync != NULL && scan->body.bytes > 0);
    return cellar_engine_submit(cellar_sync_engine(scan->sync), CELLAR_OP_READ_ROWS,
                                cellar_slice_of(&scan->body), &scan->request_id, &scan->error);
}

/* Gives the server credit for parts that were taken, when enough of it came together. */
static enum cellar_status credit_give(struct cellar_scan *scan)
{
    CELLAR_ASSERT(scan->request_id != 0);
    /*
     * Half a window keeps the frames few and the server from ever waiting: what is owed but not
     * given is always less than the window, so its credit stays above 0.
     */
    if (scan->credit_owed < SCAN_CREDIT_BYTES / 2) {
        return CELLAR_OK;
    }
    if (cellar_engine_credit(cellar_sync_engine(scan->sync), scan->request_id, scan->credit_owed) !=
        CELLAR_OK) {
        return cellar_error_set(&scan->error, CELLAR_NO_MEMORY, "No memory for a scan");
    }
    scan->credit_owed = 0;
    return CELLAR_OK;
}

/* Takes an ERROR. When it names another server, the next attempt finds it by the range's start. */
static enum cellar_attempt error_take(struct cellar_scan *scan, struct cellar_slice body)
{
    struct cellar_msg_error message;
    enum cellar_attempt attempt =
        cellar_call_refused(scan->client, cellar_slice_text(scan->table), body, &scan->error);
    CELLAR_ASSERT(scan->error.code != CELLAR_OK);
    if (attempt != CELLAR_ATTEMPT_MOVED ||
        cellar_message_decode(&cellar_msg_error_type, body, &message, CELLAR_UNKNOWN_SKIP, NULL) !=
            CELLAR_OK) {
        return attempt;
    }
    cellar_buffer_clear(&scan->row);
    scan->has_row =
        message.start.bytes == 0 ||
        cellar_buffer_append(&scan->row, message.start.data, message.start.bytes) == CELLAR_OK;
    return attempt;
}

/* Waits for the next part of the answer and hands it to the reader. */
static enum cellar_status part_wait(struct cellar_scan *scan, enum cellar_attempt *attempt)
{
    struct cellar_event event;
    if (scan->sync == NULL) {
        CELLAR_TRY(request_start(scan, attempt));
    }
    *attempt = CELLAR_ATTEMPT_ANSWERED;
    CELLAR_TRY(credit_give(scan));
    enum cellar_status status =
        cellar_sync_wait(scan->sync, wait_deadline_us(scan), &event, &scan->error);
    if (status != CELLAR_OK) {
        *attempt = CELLAR_ATTEMPT_SENT;
        return status;
    }
    CELLAR_ASSERT(event.request_id == scan->request_id);
    if (event.kind == CELLAR_EVENT_PART) {
        scan->credit_owed += event.body.bytes;
    } else {
        scan->request_id = 0;
    }
    if (event.kind == CELLAR_EVENT_ERROR) {
        *attempt = error_take(scan, event.body);
        return scan->error.code;
    }
    return cellar_row_reader_part(&scan->reader, event.body, event.kind == CELLAR_EVENT_REPLY,
                                  &scan->error);
}

/* Asks for the rows behind those that the program got; false when the scan is over. */
static bool rest_ask(struct cellar_scan *scan)
{
    uint64_t timeout_us = 0;
    bool is_over = false;
    CELLAR_ASSERT(scan->sync == NULL);
    if (scan->given.count == 0) {
        return true;
    }
    if (scan->deadline_us != 0) {
        int64_t left_us = scan->deadline_us - cellar_clock_monotonic_us();
        timeout_us = (uint64_t)CELLAR_MAX(left_us, INT64_C(1));
    }
    return cellar_resume_body(&scan->given, &scan->body, timeout_us, &is_over, &scan->error) ==
               CELLAR_OK &&
           !is_over;
}

/* After a failure: prepares another start, or ends the scan. */
static void scan_failed(struct cellar_scan *scan, enum cellar_attempt attempt)
{
    bool is_moved = attempt == CELLAR_ATTEMPT_MOVED;
    CELLAR_ASSERT(scan->error.code != CELLAR_OK);
    connection_release(scan);
    cellar_row_reader_fini(&scan->reader);
    if (scan->given.count > 0) {
        /* Rows came since the last start: it is not sent in circles, and has time anew. */
        scan->retry = cellar_call_retry(scan->client, CELLAR_SAFETY_READ, wait_deadline_us(scan));
    }
    if ((scan->given.count == 0 || is_moved) &&
        cellar_call_again(scan->client, &scan->retry, attempt, &scan->error)) {
        cellar_error_clear(&scan->error);
        scan->is_over = !rest_ask(scan);
        return;
    }
    scan->is_over = true;
}

/* Notes a row that the program is about to get. */
static enum cellar_status row_note(struct cellar_scan *scan, const struct cellar_row *row)
{
    CELLAR_ASSERT(!scan->is_over);
    if (cellar_resume_note(&scan->given, cellar_view_slice(row->key)) != CELLAR_OK) {
        return cellar_error_set(&scan->error, CELLAR_NO_MEMORY, "No memory for a scan");
    }
    return CELLAR_OK;
}

bool cellar_scan_next(struct cellar_scan *scan, struct cellar_row *row)
{
    enum cellar_attempt attempt = CELLAR_ATTEMPT_ANSWERED;
    CELLAR_ASSERT(scan != NULL && row != NULL);
    CELLAR_ASSERT(scan->is_over || scan->error.code == CELLAR_OK);
    while (!scan->is_over) {
        bool has_row = false;
        enum cellar_status status =
            cellar_row_reader_next(&scan->reader, &has_row, row, &scan->error);
        if (status == CELLAR_OK && has_row) {
            status = row_note(scan, row);
            if (status == CELLAR_OK) {
                return true;
            }
        }
        if (status == CELLAR_OK && scan->reader.is_last) {
            scan->is_over = true;
            connection_release(scan);
            return false;
        }
        if (status == CELLAR_OK) {
            status = part_wait(scan, &attempt);
        }
        if (status != CELLAR_OK) {
            scan_failed(scan, attempt);
        }
    }
    return false;
}

/* Cancels the request in flight and reads what was under way. */
static void request_drain(struct cellar_scan *scan)
{
    struct cellar_event event;
    size_t drained_bytes = 0;
    int64_t deadline_us = cellar_clock_monotonic_us() + DRAIN_US_MAX;
    CELLAR_ASSERT(scan->sync != NULL && scan->request_id != 0);
    if (cellar_engine_cancel(cellar_sync_engine(scan->sync), scan->request_id) != CELLAR_OK) {
        return;
    }
    do {
        if (cellar_sync_wait(scan->sync, deadline_us, &event, NULL) != CELLAR_OK) {
            return;
        }
        drained_bytes += event.body.bytes;
    } while (event.kind == CELLAR_EVENT_PART && drained_bytes <= DRAIN_BYTES_MAX);
}

enum cellar_code cellar_scan_close(struct cellar_scan *scan, struct cellar_call *call)
{
    struct cellar_error error;
    if (scan == NULL) {
        if (call != NULL) {
            memset(&call->failure, 0, sizeof call->failure);
        }
        return CELLAR_E_OK;
    }
    CELLAR_ASSERT(scan->is_over || scan->error.code == CELLAR_OK);
    if (scan->request_id != 0) {
        request_drain(scan);
    }
    connection_release(scan);
    cellar_row_reader_fini(&scan->reader);
    cellar_resume_fini(&scan->given);
    cellar_buffer_fini(&scan->body);
    cellar_buffer_fini(&scan->row);
    error = scan->error;
    struct cellar_client *client = scan->client;
    cellar_mem_free(scan);
    return cellar_client_finish(client, "READ_ROWS", call, &error);
}
