/*
 * The benchmark's driver for memcached, over its text protocol: what a store that keeps nothing
 * costs, as a ceiling.
 *
 * A record is one item of its ten values, one behind the other; a cell that is written on its own
 * is an item of that key and field, which reads of a cell ask for. So
 *
 *     write of records   set KEY 0 0 1000 ..., and set KEY/FIELD 0 0 100 ... for its cells
 *     write of a cell    set KEY/FIELD 0 0 100 ...
 *     read of a cell     get KEY/FIELD
 *     read of a record   get KEY
 *
 * Reads of records are compared with workloads that do not write cells. A connection begins with
 * "version".
 */

#include <stdio.h>

#include "common/mem.h"
#include "tests/bench/stream.h"

#define RECORD_BYTES (CELLAR_BENCH_FIELD_COUNT * CELLAR_BENCH_VALUE_BYTES)

struct cellar_bench_session {
    struct bench_stream stream;
    bool is_ready;
    uint32_t replies_left;
};

/* Appends a set of one item: the values of `count` fields from `cell` on. */
static enum cellar_status set_put(struct cellar_buffer *to, struct cellar_bench_cell cell,
                                  uint32_t count)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    (void)cellar_bench_key(CELLAR_BENCH_USER, cell.record, key);
    CELLAR_ASSERT(count >= 1);
    CELLAR_TRY(count > 1 ? cellar_buffer_printf(to, "set %s 0 0 %u\r\n", key, RECORD_BYTES)
                         : cellar_buffer_printf(to, "set %s/%u 0 0 %u\r\n", key, cell.column,
                                                CELLAR_BENCH_VALUE_BYTES));
    for (uint32_t index = 0; index < count; index++) {
        cellar_bench_value(&cell, value);
        CELLAR_TRY(cellar_buffer_append(to, value, sizeof value));
        cell.column++;
    }
    return cellar_buffer_append(to, "\r\n", 2);
}

/* Appends the items of some records. */
static enum cellar_status rows_put(struct cellar_bench_session *session,
                                   const struct cellar_bench_op *op)
{
    CELLAR_ASSERT(op->count >= 1);
    session->replies_left = op->count * (1 + CELLAR_BENCH_FIELD_COUNT);
    for (uint32_t index = 0; index < op->count; index++) {
        struct cellar_bench_cell cell = {.record = op->record + index};
        CELLAR_TRY(set_put(&session->stream.out, cell, CELLAR_BENCH_FIELD_COUNT));
        for (; cell.column < CELLAR_BENCH_FIELD_COUNT; cell.column++) {
            CELLAR_TRY(set_put(&session->stream.out, cell, 1));
        }
    }
    return CELLAR_OK;
}

/* Appends the commands of an operation. */
static enum cellar_status operation_put(struct cellar_bench_session *session,
                                        const struct cellar_bench_op *op)
{
    struct cellar_buffer *to = &session->stream.out;
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    struct cellar_bench_cell cell = {
        .record = op->record, .column = op->column, .version = op->version};
    session->replies_left = 1;
    CELLAR_ASSERT(op->kind < CELLAR_BENCH_KIND_COUNT);
    if (op->kind == CELLAR_BENCH_PUT_ROWS) {
        return rows_put(session, op);
    }
    if (op->kind == CELLAR_BENCH_PUT_CELL) {
        return set_put(to, cell, 1);
    }
    (void)cellar_bench_key(CELLAR_BENCH_USER, op->record, key);
    return op->kind == CELLAR_BENCH_GET_CELL
               ? cellar_buffer_printf(to, "get %s/%u\r\n", key, op->column)
               : cellar_buffer_printf(to, "get %s\r\n", key);
}

static enum cellar_status memcached_begin(struct cellar_bench_session *session,
                                          const struct cellar_bench_op *op,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(session->is_ready && session->replies_left == 0);
    enum cellar_status status = operation_put(session, op);
    return status == CELLAR_OK ? status
                               : cellar_error_set(error, status, "No memory for a command");
}

/* Takes a line without its end; false when it is not all there. */
static bool line_take(struct cellar_cursor *from, struct cellar_slice *line)
{
    const uint8_t *end = memchr(from->at, '\n', cellar_cursor_left(from));
    if (end == NULL || end == from->at) {
        return false;
    }
    CELLAR_ASSERT(end < from->end);
    *line = cellar_slice_make(from->at, (size_t)(end - from->at) - 1);
    from->at = end + 1;
    return true;
}

static bool line_is(struct cellar_slice line, const char *text)
{
    CELLAR_ASSERT(text != NULL);
    return cellar_slice_equal(line, cellar_slice_text(text));
}

/* Checks the item of a read: one value, or those of all fields. */
static enum cellar_status item_check(struct cellar_slice item, struct cellar_bench_check *check,
                                     struct cellar_error *error)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    size_t bytes = cellar_bench_key(CELLAR_BENCH_USER, check->op->record, key);
    CELLAR_TRY(cellar_bench_check_row(check, cellar_slice_make(key, bytes), error));
    uint32_t column = check->op->kind == CELLAR_BENCH_GET_CELL ? check->op->column : 0;
    CELLAR_ASSERT(item.bytes % CELLAR_BENCH_VALUE_BYTES == 0);
    for (size_t at = 0; at < item.bytes; at += CELLAR_BENCH_VALUE_BYTES) {
        CELLAR_TRY(cellar_bench_check_cell(
            check, column++, cellar_slice_make(item.data + at, CELLAR_BENCH_VALUE_BYTES), error));
    }
    return CELLAR_OK;
}

/* Takes the answer to a get: VALUE, its bytes and END; false when it is not all there. */
static bool item_take(struct cellar_cursor *from, const struct cellar_bench_op *op,
                      struct cellar_slice *item, bool *is_right)
{
    struct cellar_cursor at = *from;
    struct cellar_slice line;
    size_t bytes = op->kind == CELLAR_BENCH_GET_CELL ? CELLAR_BENCH_VALUE_BYTES : RECORD_BYTES;
    if (!line_take(&at, &line)) {
        return false;
    }
    *is_right = cellar_slice_has_prefix(line, cellar_slice_text("VALUE "));
    CELLAR_ASSERT(bytes > 0);
    if (!*is_right) {
        *item = line;
        return true;
    }
    struct cellar_slice end;
    if (!cellar_cursor_take(&at, bytes, item) || !cellar_cursor_take(&at, 7, &end)) {
        return false;
    }
    *is_right = line_is(end, "\r\nEND\r\n");
    *from = at;
    return true;
}

/* Takes one reply of an operation; sets `has_reply` to false when it is not all there. */
static enum cellar_status reply_take(struct cellar_cursor *from, struct cellar_bench_check *check,
                                     bool *has_reply, struct cellar_error *error)
{
    struct cellar_slice line;
    bool is_right = false;
    CELLAR_ASSERT(check->op != NULL);
    if (cellar_bench_kind_is_write(check->op->kind)) {
        *has_reply = line_take(from, &line);
        return !*has_reply || line_is(line, "STORED")
                   ? CELLAR_OK
                   : bench_stream_broken("memcached", line, error);
    }
    *has_reply = item_take(from, check->op, &line, &is_right);
    if (!*has_reply) {
        return CELLAR_OK;
    }
    return is_right ? item_check(line, check, error)
                    : bench_stream_broken("memcached", line, error);
}

static enum cellar_status memcached_step(struct cellar_bench_session *session,
                                         struct cellar_bench_check *check,
                                         enum cellar_bench_step *step, uint32_t *retry_delay_ms,
                                         struct cellar_error *error)
{
    struct cellar_slice input = bench_stream_input(&session->stream);
    struct cellar_cursor from = cellar_cursor_make(input);
    struct cellar_slice line;
    bool has_reply = true;
    CELLAR_ASSERT(retry_delay_ms != NULL);
    *step = CELLAR_BENCH_WAIT;
    if (!session->is_ready) {
        session->is_ready = line_take(&from, &line);
        *step = session->is_ready ? CELLAR_BENCH_READY : CELLAR_BENCH_WAIT;
        has_reply = false;
    }
    while (has_reply && session->replies_left > 0) {
        CELLAR_TRY(reply_take(&from, check, &has_reply, error));
        session->replies_left -= has_reply ? 1 : 0;
        *step = session->replies_left == 0 ? CELLAR_BENCH_DONE : CELLAR_BENCH_WAIT;
    }
    bench_stream_take(&session->stream, (size_t)(from.at - input.data));
    return CELLAR_OK;
}

static void memcached_close(struct cellar_bench_session *session)
{
    if (session != NULL) {
        CELLAR_ASSERT(session->stream.in_start <= session->stream.in.bytes);
        bench_stream_fini(&session->stream);
        cellar_mem_free(session);
    }
}

static enum cellar_status memcached_open(const char *table, struct cellar_bench_session **session,
                                         struct cellar_error *error)
{
    struct cellar_bench_session *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(table != NULL);
    if (made == NULL || cellar_buffer_printf(&made->stream.out, "version\r\n") != CELLAR_OK) {
        memcached_close(made);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a connection");
    }
    *session = made;
    return CELLAR_OK;
}

const struct cellar_bench_driver bench_memcached_driver = {
    .name = "memcached",
    .kinds = 1u << CELLAR_BENCH_PUT_ROWS | 1u << CELLAR_BENCH_PUT_CELL |
             1u << CELLAR_BENCH_GET_CELL | 1u << CELLAR_BENCH_GET_ROW,
    .open = memcached_open,
    .close = memcached_close,
    .output = bench_stream_output,
    .sent = bench_stream_sent,
    .room = bench_stream_room,
    .received = bench_stream_received,
    .begin = memcached_begin,
    .step = memcached_step,
};
