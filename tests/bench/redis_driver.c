/*
 * The benchmark's driver for Redis, over its own protocol (RESP2), pipelined.
 *
 * A record is a hash; one sorted set with equal scores holds all keys of records, for scans. So
 *
 *     write of records   HSET key field value ... for each, ZADD index 0 key ...
 *     read of a record   HGETALL key
 *     scan               ZRANGEBYLEX index [key + LIMIT 0 n, then HGETALL for each key
 *     timeline           ZADD key sequence value, ZREVRANGE key 0 n-1
 *     wide row           a hash: HSET, HMGET
 *
 * An operation is over when the replies to all its commands came. A connection begins with PING.
 */

#include <stdio.h>

#include "common/mem.h"
#include "tests/bench/stream.h"

#define INDEX "index"
#define KEY_BYTES 24u /* of a record */

struct cellar_bench_session {
    struct bench_stream stream;
    bool is_ready;
    uint32_t replies_left;     /* of the operation */
    struct cellar_buffer keys; /* of a scan: KEY_BYTES each */
    uint32_t key_index;        /* the one whose row comes next */
    bool has_keys;
};

/* One element of a reply. */
struct element {
    uint8_t kind; /* the byte it begins with */
    int64_t number;
    struct cellar_slice bytes; /* of a bulk string; of an error, its line */
};

/* ---- commands ------------------------------------------------------------------------------ */

/* Appends the head of a command or of an argument: a letter, a number and the end of the line. */
static enum cellar_status head_put(struct cellar_buffer *to, char letter, size_t number)
{
    char text[24];
    char *at = text + sizeof text;
    CELLAR_ASSERT(letter == '*' || letter == '$');
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *--at = letter;
    return cellar_buffer_append(to, at, (size_t)(text + sizeof text - at));
}

/* Appends one argument. */
static enum cellar_status argument_put(struct cellar_buffer *to, const void *data, size_t bytes)
{
    CELLAR_ASSERT(data != NULL);
    CELLAR_TRY(head_put(to, '$', bytes));
    CELLAR_TRY(cellar_buffer_append(to, data, bytes));
    return cellar_buffer_append(to, "\r\n", 2);
}

static enum cellar_status text_put(struct cellar_buffer *to, const char *text)
{
    CELLAR_ASSERT(text[0] != '\0');
    return argument_put(to, text, strlen(text));
}

/* Appends a number as an argument. */
static enum cellar_status number_put(struct cellar_buffer *to, uint32_t number)
{
    char text[16];
    int bytes = snprintf(text, sizeof text, "%u", number);
    CELLAR_ASSERT(bytes > 0 && (size_t)bytes < sizeof text);
    return argument_put(to, text, (size_t)bytes);
}

/* Appends HSET of `count` cells from `cell` on. */
static enum cellar_status hset_put(struct cellar_buffer *to, struct cellar_bench_cell cell,
                                   uint32_t count)
{
    char text[CELLAR_BENCH_KEY_BYTES_MAX];
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    CELLAR_ASSERT(count >= 1);
    CELLAR_TRY(head_put(to, '*', 2 + 2 * (size_t)count));
    CELLAR_TRY(text_put(to, "HSET"));
    CELLAR_TRY(argument_put(to, text, cellar_bench_key(cell.space, cell.record, text)));
    for (uint32_t index = 0; index < count; index++) {
        CELLAR_TRY(argument_put(to, text, cellar_bench_column(cell.space, cell.column, text)));
        cellar_bench_value(&cell, value);
        CELLAR_TRY(argument_put(to, value, sizeof value));
        cell.column++;
    }
    return CELLAR_OK;
}

/* Appends the writes of whole records, and of their keys to the index. */
static enum cellar_status rows_put(struct cellar_buffer *to, const struct cellar_bench_op *op)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    CELLAR_ASSERT(op->count >= 1);
    for (uint32_t index = 0; index < op->count; index++) {
        struct cellar_bench_cell cell = {.record = op->record + index};
        CELLAR_TRY(hset_put(to, cell, CELLAR_BENCH_FIELD_COUNT));
    }
    CELLAR_TRY(head_put(to, '*', 2 + 2 * (size_t)op->count));
    CELLAR_TRY(text_put(to, "ZADD"));
    CELLAR_TRY(text_put(to, INDEX));
    for (uint32_t index = 0; index < op->count; index++) {
        CELLAR_TRY(text_put(to, "0"));
        CELLAR_TRY(
            argument_put(to, key, cellar_bench_key(CELLAR_BENCH_USER, op->record + index, key)));
    }
    return CELLAR_OK;
}

/* Appends events to a timeline. */
static enum cellar_status events_put(struct cellar_buffer *to, const struct cellar_bench_op *op)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    CELLAR_ASSERT(op->count >= 1);
    CELLAR_TRY(head_put(to, '*', 2 + 2 * (size_t)op->count));
    CELLAR_TRY(text_put(to, "ZADD"));
    CELLAR_TRY(argument_put(to, key, cellar_bench_key(CELLAR_BENCH_TIME, op->record, key)));
    for (uint32_t index = 0; index < op->count; index++) {
        struct cellar_bench_cell cell = {
            .space = CELLAR_BENCH_TIME, .record = op->record, .version = op->version + index};
        CELLAR_TRY(number_put(to, cell.version));
        cellar_bench_value(&cell, value);
        CELLAR_TRY(argument_put(to, value, sizeof value));
    }
    return CELLAR_OK;
}

/* Appends a read of one record or a part of it. */
static enum cellar_status get_put(struct cellar_buffer *to, const struct cellar_bench_op *op)
{
    char text[CELLAR_BENCH_KEY_BYTES_MAX];
    bool is_slice = op->kind == CELLAR_BENCH_SLICE;
    bool is_row = op->kind == CELLAR_BENCH_GET_ROW;
    enum cellar_bench_space space = is_slice ? CELLAR_BENCH_WIDE : CELLAR_BENCH_USER;
    uint32_t column_count = is_slice ? op->count : is_row ? 0 : 1;
    CELLAR_ASSERT(!cellar_bench_kind_is_write(op->kind));
    CELLAR_TRY(head_put(to, '*', 2 + (size_t)column_count));
    CELLAR_TRY(text_put(to, is_slice ? "HMGET" : is_row ? "HGETALL" : "HGET"));
    CELLAR_TRY(argument_put(to, text, cellar_bench_key(space, op->record, text)));
    for (uint32_t index = 0; index < column_count; index++) {
        CELLAR_TRY(argument_put(to, text, cellar_bench_column(space, op->column + index, text)));
    }
    return CELLAR_OK;
}

/* Appends the first command of a scan. */
static enum cellar_status scan_put(struct cellar_buffer *to, const struct cellar_bench_op *op)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX + 1] = "[";
    size_t bytes = cellar_bench_key(CELLAR_BENCH_USER, op->record, key + 1);
    CELLAR_ASSERT(bytes == KEY_BYTES);
    CELLAR_TRY(head_put(to, '*', 7));
    CELLAR_TRY(text_put(to, "ZRANGEBYLEX"));
    CELLAR_TRY(text_put(to, INDEX));
    CELLAR_TRY(argument_put(to, key, bytes + 1));
    CELLAR_TRY(text_put(to, "+"));
    CELLAR_TRY(text_put(to, "LIMIT"));
    CELLAR_TRY(text_put(to, "0"));
    return number_put(to, op->count);
}

/* Appends the read of a timeline. */
static enum cellar_status newest_put(struct cellar_buffer *to, const struct cellar_bench_op *op)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    CELLAR_ASSERT(op->count >= 1);
    CELLAR_TRY(head_put(to, '*', 4));
    CELLAR_TRY(text_put(to, "ZREVRANGE"));
    CELLAR_TRY(argument_put(to, key, cellar_bench_key(CELLAR_BENCH_TIME, op->record, key)));
    CELLAR_TRY(text_put(to, "0"));
    return number_put(to, op->count - 1);
}

/* Appends the commands of an operation. */
static enum cellar_status operation_put(struct cellar_bench_session *session,
                                        const struct cellar_bench_op *op)
{
    struct cellar_buffer *to = &session->stream.out;
    struct cellar_bench_cell cell = {.record = op->record, .column = op->column};
    cell.version = op->version;
    session->replies_left = 1;
    CELLAR_ASSERT(op->kind < CELLAR_BENCH_KIND_COUNT);
    switch (op->kind) {
    case CELLAR_BENCH_PUT_ROWS:
        session->replies_left = op->count + 1;
        return rows_put(to, op);
    case CELLAR_BENCH_PUT_COLUMNS:
        cell.space = CELLAR_BENCH_WIDE;
        return hset_put(to, cell, op->count);
    case CELLAR_BENCH_PUT_CELL:
        return hset_put(to, cell, 1);
    case CELLAR_BENCH_PUT_EVENTS:
        return events_put(to, op);
    case CELLAR_BENCH_SCAN:
        return scan_put(to, op);
    case CELLAR_BENCH_NEWEST:
        return newest_put(to, op);
    case CELLAR_BENCH_GET_CELL:
    case CELLAR_BENCH_GET_ROW:
    case CELLAR_BENCH_SLICE:
        return get_put(to, op);
    case CELLAR_BENCH_SCAN_ALL:
    case CELLAR_BENCH_KIND_COUNT:
        break;
    }
    return CELLAR_UNIMPLEMENTED;
}

static enum cellar_status redis_begin(struct cellar_bench_session *session,
                                      const struct cellar_bench_op *op, struct cellar_error *error)
{
    CELLAR_ASSERT(session->is_ready && session->replies_left == 0);
    cellar_buffer_clear(&session->keys);
    session->key_index = 0;
    session->has_keys = false;
    enum cellar_status status = operation_put(session, op);
    return status == CELLAR_OK ? status : cellar_error_set(error, status, "Cannot send a command");
}

/* ---- replies ------------------------------------------------------------------------------- */

/* Takes one element, an array's head being one; false when it is not all there. */
static bool element_take(struct cellar_cursor *from, struct element *element)
{
    struct cellar_cursor at = *from;
    const uint8_t *end = memchr(at.at, '\n', cellar_cursor_left(&at));
    if (end == NULL || end - at.at < 2) {
        return false;
    }
    *element = (struct element){.kind = at.at[0]};
    element->bytes = cellar_slice_make(at.at + 1, (size_t)(end - at.at) - 2);
    bool is_negative = element->bytes.bytes > 0 && element->bytes.data[0] == '-';
    for (size_t index = is_negative ? 1 : 0;
         element->kind != '+' && element->kind != '-' && index < element->bytes.bytes; index++) {
        element->number = element->number * 10 + (element->bytes.data[index] - '0');
    }
    element->number = is_negative ? -element->number : element->number;
    at.at = end + 1;
    if (element->kind == '$') {
        struct cellar_slice line_end;
        element->bytes = cellar_slice_make(at.at, 0);
        if (element->number >= 0 &&
            (!cellar_cursor_take(&at, (size_t)element->number, &element->bytes) ||
             !cellar_cursor_take(&at, 2, &line_end))) {
            return false;
        }
    }
    CELLAR_ASSERT(at.at <= at.end);
    *from = at;
    return true;
}

/* Takes a whole reply's head; false when not all of its elements are there. */
static bool reply_take(struct cellar_cursor *from, struct element *head,
                       struct cellar_cursor *elements)
{
    struct cellar_cursor at = *from;
    struct element element;
    if (!element_take(&at, head)) {
        return false;
    }
    *elements = at;
    CELLAR_ASSERT(at.at > from->at);
    for (int64_t index = 0; head->kind == '*' && index < head->number; index++) {
        if (!element_take(&at, &element)) {
            return false;
        }
    }
    *from = at;
    return true;
}

/* Checks a record: HGETALL's names and values. */
static enum cellar_status record_check(struct cellar_slice key, const struct element *head,
                                       struct cellar_cursor elements,
                                       struct cellar_bench_check *check, struct cellar_error *error)
{
    struct element name;
    struct element value;
    uint32_t column;
    CELLAR_TRY(cellar_bench_check_row(check, key, error));
    CELLAR_ASSERT(head->kind == '*');
    for (int64_t index = 0; index + 1 < head->number; index += 2) {
        if (!element_take(&elements, &name) || !element_take(&elements, &value) ||
            !cellar_bench_column_number(CELLAR_BENCH_USER, name.bytes, &column)) {
            return bench_stream_broken("Redis", name.bytes, error);
        }
        CELLAR_TRY(cellar_bench_check_cell(check, column, value.bytes, error));
    }
    return CELLAR_OK;
}

/* Checks values whose columns were asked for: HGET's and HMGET's. */
static enum cellar_status values_check(const struct element *head, struct cellar_cursor elements,
                                       struct cellar_bench_check *check, struct cellar_error *error)
{
    const struct cellar_bench_op *op = check->op;
    bool is_slice = op->kind == CELLAR_BENCH_SLICE;
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    struct element value = *head;
    size_t bytes =
        cellar_bench_key(is_slice ? CELLAR_BENCH_WIDE : CELLAR_BENCH_USER, op->record, key);
    CELLAR_TRY(cellar_bench_check_row(check, cellar_slice_make(key, bytes), error));
    CELLAR_ASSERT(is_slice || head->kind == '$');
    for (uint32_t index = 0; index < (is_slice ? op->count : 1); index++) {
        if (is_slice && !element_take(&elements, &value)) {
            return bench_stream_broken("Redis", value.bytes, error);
        }
        CELLAR_TRY(cellar_bench_check_cell(check, op->column + index, value.bytes, error));
    }
    return CELLAR_OK;
}

/* Checks a timeline's values. */
static enum cellar_status events_check(const struct element *head, struct cellar_cursor elements,
                                       struct cellar_bench_check *check, struct cellar_error *error)
{
    struct element value;
    CELLAR_ASSERT(check->op->kind == CELLAR_BENCH_NEWEST);
    for (int64_t index = 0; index < head->number; index++) {
        struct cellar_bench_cell cell = {.space = CELLAR_BENCH_TIME, .record = check->op->record};
        if (!element_take(&elements, &value) || !cellar_bench_value_version(&cell, value.bytes)) {
            return cellar_error_set(error, CELLAR_DATA_LOSS, "An event was never written");
        }
        CELLAR_TRY(cellar_bench_check_event(check, cell.version, value.bytes, error));
    }
    return CELLAR_OK;
}

/* Takes the keys of a scan and asks for their rows. */
static enum cellar_status keys_take(struct cellar_bench_session *session,
                                    const struct element *head, struct cellar_cursor elements,
                                    struct cellar_error *error)
{
    struct cellar_buffer *to = &session->stream.out;
    struct element key;
    CELLAR_ASSERT(!session->has_keys);
    session->has_keys = true;
    for (int64_t index = 0; index < head->number; index++) {
        if (!element_take(&elements, &key) || key.bytes.bytes != KEY_BYTES) {
            return bench_stream_broken("Redis", key.bytes, error);
        }
        if (cellar_buffer_append(&session->keys, key.bytes.data, KEY_BYTES) != CELLAR_OK ||
            head_put(to, '*', 2) != CELLAR_OK || text_put(to, "HGETALL") != CELLAR_OK ||
            argument_put(to, key.bytes.data, KEY_BYTES) != CELLAR_OK) {
            return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a scan");
        }
        session->replies_left++;
    }
    return CELLAR_OK;
}

/* Handles one whole reply of an operation. */
static enum cellar_status reply_handle(struct cellar_bench_session *session,
                                       const struct element *head, struct cellar_cursor elements,
                                       struct cellar_bench_check *check, struct cellar_error *error)
{
    enum cellar_bench_kind kind = check->op->kind;
    char text[CELLAR_BENCH_KEY_BYTES_MAX];
    struct cellar_slice key;
    CELLAR_ASSERT(session->replies_left > 0);
    session->replies_left--;
    uint8_t wanted = cellar_bench_kind_is_write(kind) ? ':'
                     : kind == CELLAR_BENCH_GET_CELL  ? '$'
                                                      : '*';
    if (head->kind != wanted) {
        return bench_stream_broken("Redis", head->bytes, error);
    }
    if (cellar_bench_kind_is_write(kind)) {
        return CELLAR_OK;
    }
    if (kind == CELLAR_BENCH_NEWEST) {
        return events_check(head, elements, check, error);
    }
    if (kind == CELLAR_BENCH_SLICE || kind == CELLAR_BENCH_GET_CELL) {
        return values_check(head, elements, check, error);
    }
    if (kind == CELLAR_BENCH_SCAN && !session->has_keys) {
        return keys_take(session, head, elements, error);
    }
    key =
        kind == CELLAR_BENCH_SCAN
            ? cellar_slice_make(session->keys.data + session->key_index++ * KEY_BYTES, KEY_BYTES)
            : cellar_slice_make(text, cellar_bench_key(CELLAR_BENCH_USER, check->op->record, text));
    return record_check(key, head, elements, check, error);
}

static enum cellar_status redis_step(struct cellar_bench_session *session,
                                     struct cellar_bench_check *check, enum cellar_bench_step *step,
                                     uint32_t *retry_delay_ms, struct cellar_error *error)
{
    struct cellar_slice input = bench_stream_input(&session->stream);
    struct cellar_cursor from = cellar_cursor_make(input);
    struct cellar_cursor elements;
    struct element head;
    CELLAR_ASSERT(retry_delay_ms != NULL);
    *step = CELLAR_BENCH_WAIT;
    while (*step == CELLAR_BENCH_WAIT && reply_take(&from, &head, &elements)) {
        if (!session->is_ready) {
            session->is_ready = head.kind == '+';
            *step = CELLAR_BENCH_READY;
        } else {
            CELLAR_TRY(reply_handle(session, &head, elements, check, error));
            *step = session->replies_left == 0 ? CELLAR_BENCH_DONE : CELLAR_BENCH_WAIT;
        }
    }
    if (*step == CELLAR_BENCH_READY && !session->is_ready) {
        return bench_stream_broken("Redis", input, error);
    }
    bench_stream_take(&session->stream, (size_t)(from.at - input.data));
    return CELLAR_OK;
}

static void redis_close(struct cellar_bench_session *session)
{
    if (session != NULL) {
        CELLAR_ASSERT(session->stream.in_start <= session->stream.in.bytes);
        bench_stream_fini(&session->stream);
        cellar_buffer_fini(&session->keys);
        cellar_mem_free(session);
    }
}

static enum cellar_status redis_open(const char *table, struct cellar_bench_session **session,
                                     struct cellar_error *error)
{
    struct cellar_bench_session *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(table != NULL);
    if (made == NULL || cellar_buffer_printf(&made->stream.out, "PING\r\n") != CELLAR_OK) {
        redis_close(made);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a connection");
    }
    *session = made;
    return CELLAR_OK;
}

const struct cellar_bench_driver bench_redis_driver = {
    .name = "redis",
    .kinds = ((1u << CELLAR_BENCH_KIND_COUNT) - 1) & ~(1u << CELLAR_BENCH_SCAN_ALL),
    .open = redis_open,
    .close = redis_close,
    .output = bench_stream_output,
    .sent = bench_stream_sent,
    .room = bench_stream_room,
    .received = bench_stream_received,
    .begin = redis_begin,
    .step = redis_step,
};
