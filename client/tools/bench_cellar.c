/*
 * The benchmark's driver for Cellar: the library's protocol engine and row reader, one request in
 * flight on a connection.
 *
 * Writes leave the timestamp to the server, as a program does that has no reason to set one; the
 * family keeps one version. Reads name exactly what they want. A read's credit is given back as its
 * parts are read, so that a long scan never waits for it.
 *
 *     row     user...  f:field0 .. f:field9        events   time...DIGITS  f:c0000000
 *     row     wide...  f:c0000000 .. f:c0009999
 */

#include "client/lib/call.h"
#include "client/lib/engine.h"
#include "client/lib/row_reader.h"
#include "client/tools/bench_driver.h"
#include "common/mem.h"
#include "common/mutation.h"

#define CREDIT_BYTES 4194304u
#define RANGE_END_USER "user:" /* behind "user9..." */

struct cellar_bench_session {
    struct cellar_engine engine;
    struct cellar_row_reader reader;
    struct cellar_buffer body;
    struct cellar_buffer field; /* a nested field of the body */
    struct cellar_buffer columns;
    struct cellar_slice table;
    bool is_ready;
    bool is_canned; /* rows are counted, not checked */
};

static void cellar_close(struct cellar_bench_session *session)
{
    if (session != NULL) {
        CELLAR_ASSERT(session->table.bytes > 0);
        cellar_engine_fini(&session->engine);
        cellar_row_reader_fini(&session->reader);
        cellar_buffer_fini(&session->body);
        cellar_buffer_fini(&session->field);
        cellar_buffer_fini(&session->columns);
        cellar_mem_free(session);
    }
}

static enum cellar_status cellar_open(const char *table, struct cellar_bench_session **session,
                                      struct cellar_error *error)
{
    struct cellar_bench_session *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(table != NULL);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a connection");
    }
    cellar_engine_init(&made->engine);
    made->table = cellar_slice_text(table);
    if (cellar_engine_greet(&made->engine, "cellar bench") != CELLAR_OK) {
        cellar_close(made);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a connection");
    }
    *session = made;
    return CELLAR_OK;
}

static struct cellar_slice cellar_output(const struct cellar_bench_session *session)
{
    CELLAR_ASSERT(session->table.bytes > 0);
    return cellar_engine_output(&session->engine);
}

static void cellar_sent(struct cellar_bench_session *session, size_t bytes)
{
    CELLAR_ASSERT(session->table.bytes > 0);
    cellar_engine_sent(&session->engine, bytes);
}

static enum cellar_status cellar_room(struct cellar_bench_session *session, uint8_t **room,
                                      size_t *bytes)
{
    CELLAR_ASSERT(room != NULL && bytes != NULL);
    return cellar_engine_room(&session->engine, room, bytes);
}

static void cellar_received(struct cellar_bench_session *session, size_t bytes)
{
    CELLAR_ASSERT(bytes > 0);
    cellar_engine_received(&session->engine, bytes);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* Appends one set of a cell, at the server's time. */
static enum cellar_status set_put(struct cellar_buffer *to, const struct cellar_bench_cell *cell)
{
    char column[CELLAR_BENCH_NAME_BYTES_MAX];
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    size_t column_bytes = cellar_bench_column(cell->space, cell->column, column);
    cellar_bench_value(cell, value);
    struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_SET,
                                       .family = cellar_slice_text(CELLAR_BENCH_FAMILY),
                                       .qualifier = cellar_slice_make(column, column_bytes),
                                       .timestamp_us = CELLAR_TIMESTAMP_SERVER,
                                       .value = cellar_slice_make(value, sizeof value)};
    CELLAR_ASSERT(column_bytes < sizeof column);
    return cellar_mutation_encode(to, &mutation);
}

/* Appends a mutation list that sets `count` cells in a row, each of the version that it has. */
static enum cellar_status sets_put(struct cellar_buffer *to, struct cellar_bench_cell cell,
                                   uint32_t count)
{
    CELLAR_ASSERT(count >= 1);
    CELLAR_TRY(cellar_wire_put_array(to, count));
    for (uint32_t index = 0; index < count; index++) {
        CELLAR_TRY(set_put(to, &cell));
        cell.column++;
    }
    return CELLAR_OK;
}

/* Appends one entry of a batch: a row and what is set in it. */
static enum cellar_status entry_put(struct cellar_buffer *to, const struct cellar_bench_op *op,
                                    uint32_t index)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    bool is_event = op->kind == CELLAR_BENCH_PUT_EVENTS;
    struct cellar_bench_cell cell = {.space = is_event ? CELLAR_BENCH_TIME : CELLAR_BENCH_USER,
                                     .record = is_event ? op->record : op->record + index,
                                     .version = is_event ? op->version + index : 0};
    size_t key_bytes = is_event ? cellar_bench_event_key(cell.record, cell.version, key)
                                : cellar_bench_key(cell.space, cell.record, key);
    CELLAR_ASSERT(index < op->count);
    CELLAR_TRY(cellar_wire_put_array(to, 2));
    CELLAR_TRY(cellar_wire_put_bytes(to, cellar_slice_make(key, key_bytes)));
    return sets_put(to, cell, is_event ? 1 : CELLAR_BENCH_FIELD_COUNT);
}

/* Encodes a write of many rows. */
static enum cellar_status batch_encode(struct cellar_bench_session *session,
                                       const struct cellar_bench_op *op)
{
    struct cellar_msg_mutate_rows_request message = {.table = session->table};
    CELLAR_ASSERT(op->count >= 1);
    CELLAR_TRY(cellar_wire_put_array(&session->field, op->count));
    for (uint32_t index = 0; index < op->count; index++) {
        CELLAR_TRY(entry_put(&session->field, op, index));
    }
    message.entries = cellar_slice_of(&session->field);
    return cellar_message_encode(&cellar_msg_mutate_rows_request_type, &message, &session->body);
}

/* Encodes a write of cells of one row. */
static enum cellar_status row_encode(struct cellar_bench_session *session,
                                     const struct cellar_bench_op *op)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    bool is_event = op->kind == CELLAR_BENCH_PUT_EVENTS;
    bool is_wide = op->kind == CELLAR_BENCH_PUT_COLUMNS;
    struct cellar_bench_cell cell = {.space = is_event  ? CELLAR_BENCH_TIME
                                              : is_wide ? CELLAR_BENCH_WIDE
                                                        : CELLAR_BENCH_USER,
                                     .record = op->record,
                                     .column = op->column,
                                     .version = op->version};
    uint32_t count = is_wide                             ? op->count
                     : op->kind == CELLAR_BENCH_PUT_ROWS ? CELLAR_BENCH_FIELD_COUNT
                                                         : 1;
    size_t key_bytes = is_event ? cellar_bench_event_key(op->record, op->version, key)
                                : cellar_bench_key(cell.space, op->record, key);
    struct cellar_msg_mutate_row_request message = {.table = session->table,
                                                    .row = cellar_slice_make(key, key_bytes)};
    CELLAR_ASSERT(key_bytes < sizeof key);
    CELLAR_TRY(sets_put(&session->field, cell, count));
    message.mutations = cellar_slice_of(&session->field);
    return cellar_message_encode(&cellar_msg_mutate_row_request_type, &message, &session->body);
}

/* Appends the columns of a read: `count` from the operation's on. */
static enum cellar_status columns_put(struct cellar_buffer *to, enum cellar_bench_space space,
                                      uint32_t first, uint32_t count)
{
    char column[CELLAR_BENCH_NAME_BYTES_MAX];
    CELLAR_ASSERT(count >= 1);
    CELLAR_TRY(cellar_wire_put_array(to, count));
    for (uint32_t index = 0; index < count; index++) {
        size_t bytes = cellar_bench_column(space, first + index, column);
        CELLAR_TRY(cellar_wire_put_array(to, 2));
        CELLAR_TRY(cellar_wire_put_text(to, cellar_slice_text(CELLAR_BENCH_FAMILY)));
        CELLAR_TRY(cellar_wire_put_bytes(to, cellar_slice_make(column, bytes)));
    }
    return CELLAR_OK;
}

/* Appends the one range of a read: start <= key < end. Texts, as all keys of the benchmark are. */
static enum cellar_status range_put(struct cellar_buffer *to, const char *start, const char *end)
{
    CELLAR_ASSERT(start[0] != '\0' && end[0] != '\0');
    CELLAR_TRY(cellar_wire_put_array(to, 1));
    CELLAR_TRY(cellar_wire_put_array(to, 4));
    CELLAR_TRY(cellar_wire_put_bytes(to, cellar_slice_text(start)));
    CELLAR_TRY(cellar_wire_put_bool(to, true));
    CELLAR_TRY(cellar_wire_put_bytes(to, cellar_slice_text(end)));
    return cellar_wire_put_bool(to, false);
}

/* Encodes a read of a range of rows. Credit for several parts at once: the measure is the server's
 * work, not the way there and back. */
static enum cellar_status scan_encode(struct cellar_bench_session *session,
                                      const struct cellar_bench_op *op)
{
    char start[CELLAR_BENCH_KEY_BYTES_MAX] = "user";
    char end[CELLAR_BENCH_KEY_BYTES_MAX + 1] = RANGE_END_USER;
    struct cellar_msg_read_rows_request message = {
        .table = session->table, .rows_limit = op->count, .credit_bytes = CREDIT_BYTES};
    if (op->kind == CELLAR_BENCH_SCAN) {
        (void)cellar_bench_key(CELLAR_BENCH_USER, op->record, start);
    } else if (op->kind == CELLAR_BENCH_NEWEST) {
        size_t bytes = cellar_bench_key(CELLAR_BENCH_TIME, op->record, start);
        memcpy(end, start, bytes);
        memcpy(end + bytes, ":", 2);
    } else {
        CELLAR_ASSERT(op->kind == CELLAR_BENCH_SCAN_ALL);
    }
    CELLAR_TRY(range_put(&session->field, start, end));
    message.ranges = cellar_slice_of(&session->field);
    return cellar_message_encode(&cellar_msg_read_rows_request_type, &message, &session->body);
}

/* Encodes a read of one row. */
static enum cellar_status get_encode(struct cellar_bench_session *session,
                                     const struct cellar_bench_op *op)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    bool is_slice = op->kind == CELLAR_BENCH_SLICE;
    enum cellar_bench_space space = is_slice ? CELLAR_BENCH_WIDE : CELLAR_BENCH_USER;
    size_t key_bytes = cellar_bench_key(space, op->record, key);
    struct cellar_msg_read_rows_request message = {.table = session->table};
    CELLAR_ASSERT(key_bytes < sizeof key);
    CELLAR_TRY(cellar_wire_put_array(&session->field, 1));
    CELLAR_TRY(cellar_wire_put_bytes(&session->field, cellar_slice_make(key, key_bytes)));
    message.row_keys = cellar_slice_of(&session->field);
    if (op->kind != CELLAR_BENCH_GET_ROW) {
        CELLAR_TRY(columns_put(&session->columns, space, op->column, is_slice ? op->count : 1));
        message.columns = cellar_slice_of(&session->columns);
    }
    return cellar_message_encode(&cellar_msg_read_rows_request_type, &message, &session->body);
}

/* Buffers are emptied and not freed: the load generator must cost as little as it can. */
static enum cellar_status cellar_begin(struct cellar_bench_session *session,
                                       const struct cellar_bench_op *op, struct cellar_error *error)
{
    enum cellar_operation operation = CELLAR_OP_READ_ROWS;
    enum cellar_status status;
    uint32_t id;
    CELLAR_ASSERT(session->is_ready);
    cellar_buffer_clear(&session->body);
    cellar_buffer_clear(&session->field);
    cellar_buffer_clear(&session->columns);
    cellar_row_reader_fini(&session->reader);
    if (!cellar_bench_kind_is_write(op->kind)) {
        bool is_range = op->kind == CELLAR_BENCH_SCAN || op->kind == CELLAR_BENCH_SCAN_ALL ||
                        op->kind == CELLAR_BENCH_NEWEST;
        status = is_range ? scan_encode(session, op) : get_encode(session, op);
    } else if (op->count > 1 && op->kind != CELLAR_BENCH_PUT_COLUMNS) {
        operation = CELLAR_OP_MUTATE_ROWS;
        status = batch_encode(session, op);
    } else {
        operation = CELLAR_OP_MUTATE_ROW;
        status = row_encode(session, op);
    }
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "No memory for a request");
    }
    return cellar_engine_submit(&session->engine, (uint16_t)operation,
                                cellar_slice_of(&session->body), &id, error);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* Checks one row of an answer. Every cell of every row: a benchmark of wrong answers would measure
 * nothing. */
static enum cellar_status row_check(struct cellar_bench_check *check, const struct cellar_row *row,
                                    struct cellar_error *error)
{
    struct cellar_slice key = cellar_slice_make(row->key.data, row->key.bytes);
    enum cellar_bench_kind kind = check->op->kind;
    enum cellar_bench_space space =
        kind == CELLAR_BENCH_SLICE ? CELLAR_BENCH_WIDE : CELLAR_BENCH_USER;
    uint32_t number = 0;
    CELLAR_ASSERT(row->cell_count == 0 || row->cells != NULL);
    if (kind == CELLAR_BENCH_NEWEST) {
        if (row->cell_count != 1 || !cellar_bench_event_sequence(key, &number)) {
            return cellar_error_set(error, CELLAR_DATA_LOSS, "A row that is no event came");
        }
        return cellar_bench_check_event(
            check, number, cellar_slice_make(row->cells[0].value.data, row->cells[0].value.bytes),
            error);
    }
    CELLAR_TRY(cellar_bench_check_row(check, key, error));
    for (size_t index = 0; index < row->cell_count; index++) {
        const struct cellar_row_cell *cell = &row->cells[index];
        if (!cellar_bench_column_number(
                space, cellar_slice_make(cell->qualifier.data, cell->qualifier.bytes), &number)) {
            return cellar_error_set(error, CELLAR_DATA_LOSS,
                                    "A column that is none of the benchmark's came");
        }
        CELLAR_TRY(cellar_bench_check_cell(
            check, number, cellar_slice_make(cell->value.data, cell->value.bytes), error));
    }
    return CELLAR_OK;
}

/* Takes a part of a read. */
static enum cellar_status part_take(struct cellar_bench_session *session,
                                    const struct cellar_event *event,
                                    struct cellar_bench_check *check, struct cellar_error *error)
{
    bool has_row;
    struct cellar_row row;
    bool is_last = event->kind == CELLAR_EVENT_REPLY;
    CELLAR_TRY(cellar_row_reader_part(&session->reader, event->body, is_last, error));
    for (;;) {
        CELLAR_TRY(cellar_row_reader_next(&session->reader, &has_row, &row, error));
        if (!has_row) {
            break;
        }
        if (session->is_canned) {
            check->row_count++;
        } else {
            CELLAR_TRY(row_check(check, &row, error));
        }
    }
    CELLAR_ASSERT(event->kind != CELLAR_EVENT_ERROR);
    if (!is_last &&
        cellar_engine_credit(&session->engine, event->request_id, event->body.bytes) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a request");
    }
    return CELLAR_OK;
}

/* Takes one element of a batch's results: 0, or [code, text, delay]. */
static enum cellar_status result_take(struct cellar_cursor *from, struct cellar_error *error)
{
    uint64_t code;
    uint32_t count;
    uint64_t delay_ms;
    struct cellar_slice text;
    enum cellar_status status;
    CELLAR_ASSERT(error->code == CELLAR_OK);
    if (cellar_wire_get_u64(from, &code) && code == 0) {
        return CELLAR_OK;
    }
    if (!cellar_wire_get_array(from, &count) || count != 3 || !cellar_wire_get_u64(from, &code) ||
        !cellar_wire_get_text(from, &text) || !cellar_wire_get_u64(from, &delay_ms) ||
        !cellar_status_decode(code, &status) || status == CELLAR_OK) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "A batch's results cannot be read");
    }
    (void)cellar_error_set(error, status, "%.*s", (int)CELLAR_MIN(text.bytes, (size_t)400),
                           (const char *)text.data);
    error->retry_delay_ms = (uint32_t)CELLAR_MIN(delay_ms, (uint64_t)UINT32_MAX);
    return status;
}

/* Takes a batch's results; the first failure is the batch's. */
static enum cellar_status results_take(struct cellar_slice body, uint32_t entry_count,
                                       struct cellar_error *error)
{
    struct cellar_msg_mutate_rows_reply reply;
    uint32_t count = 0;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_mutate_rows_reply_type, body, &reply,
                                     CELLAR_UNKNOWN_SKIP, error));
    struct cellar_cursor from = cellar_cursor_make(reply.results);
    if (!cellar_wire_get_array(&from, &count) || count != entry_count) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "A batch's results cannot be read");
    }
    CELLAR_ASSERT(count > 0);
    for (uint32_t index = 0; index < count; index++) {
        CELLAR_TRY(result_take(&from, error));
    }
    return CELLAR_OK;
}

/* Takes one event of the operation; sets DONE at its end. */
static enum cellar_status event_take(struct cellar_bench_session *session,
                                     const struct cellar_event *event,
                                     struct cellar_bench_check *check, enum cellar_bench_step *step,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(check->op != NULL);
    if (event->kind == CELLAR_EVENT_ERROR) {
        (void)cellar_call_error_decode(event->body, error);
        return error->code;
    }
    if (event->operation == CELLAR_OP_READ_ROWS) {
        CELLAR_TRY(part_take(session, event, check, error));
    } else if (event->operation == CELLAR_OP_MUTATE_ROWS) {
        CELLAR_TRY(results_take(event->body, check->op->count, error));
    }
    *step = event->kind == CELLAR_EVENT_REPLY ? CELLAR_BENCH_DONE : CELLAR_BENCH_WAIT;
    return CELLAR_OK;
}

/* UNAVAILABLE is no failure of a run: it is how a server says that it is over its limits, and it is
 * counted. */
static enum cellar_status cellar_step(struct cellar_bench_session *session,
                                      struct cellar_bench_check *check,
                                      enum cellar_bench_step *step, uint32_t *retry_delay_ms,
                                      struct cellar_error *error)
{
    struct cellar_event event;
    cellar_error_clear(error);
    *step = CELLAR_BENCH_WAIT;
    while (*step == CELLAR_BENCH_WAIT && cellar_engine_event(&session->engine, &event)) {
        enum cellar_status status = event_take(session, &event, check, step, error);
        CELLAR_ASSERT(status == CELLAR_OK || *step == CELLAR_BENCH_WAIT);
        if (status == CELLAR_UNAVAILABLE) {
            *retry_delay_ms = error->retry_delay_ms;
            *step = CELLAR_BENCH_AGAIN;
        } else if (status != CELLAR_OK) {
            return status;
        }
    }
    if (*step == CELLAR_BENCH_WAIT && session->engine.state == CELLAR_ENGINE_BROKEN) {
        *error = session->engine.error;
        return error->code;
    }
    if (!session->is_ready && session->engine.state == CELLAR_ENGINE_OPEN) {
        session->is_ready = true;
        *step = CELLAR_BENCH_READY;
    }
    return CELLAR_OK;
}

/* Opens a session with a server of canned answers. */
static enum cellar_status canned_open(const char *table, struct cellar_bench_session **session,
                                      struct cellar_error *error)
{
    CELLAR_TRY(cellar_open(table, session, error));
    CELLAR_ASSERT(!(*session)->is_ready);
    (*session)->is_canned = true;
    return CELLAR_OK;
}

const struct cellar_bench_driver cellar_bench_cellar_driver = {
    .name = "cellar",
    .kinds = (1u << CELLAR_BENCH_KIND_COUNT) - 1,
    .open = cellar_open,
    .close = cellar_close,
    .output = cellar_output,
    .sent = cellar_sent,
    .room = cellar_room,
    .received = cellar_received,
    .begin = cellar_begin,
    .step = cellar_step,
};

const struct cellar_bench_driver cellar_bench_null_driver = {
    .name = "null",
    .kinds = 1u << CELLAR_BENCH_PUT_ROWS | 1u << CELLAR_BENCH_PUT_CELL |
             1u << CELLAR_BENCH_GET_CELL | 1u << CELLAR_BENCH_GET_ROW | 1u << CELLAR_BENCH_SCAN,
    .is_canned = true,
    .open = canned_open,
    .close = cellar_close,
    .output = cellar_output,
    .sent = cellar_sent,
    .room = cellar_room,
    .received = cellar_received,
    .begin = cellar_begin,
    .step = cellar_step,
};
