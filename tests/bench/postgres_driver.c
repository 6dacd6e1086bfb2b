/*
 * The benchmark's driver for PostgreSQL, over its own protocol (version 3), with prepared
 * statements and binary values.
 *
 * compare.py makes the tables:
 *
 *     records (k text collate "C" primary key, field0 .. field9 bytea)
 *     events (k text collate "C", s integer, v bytea, primary key (k, s))
 *
 * A connection begins with a startup message (the server trusts local users) and then prepares all
 * statements. An operation is Bind and Execute, for each row of a batch, and one Sync: so a batch
 * is one transaction. It is over when ReadyForQuery comes.
 */

#include <stdio.h>

#include "common/cell.h"
#include "common/mem.h"
#include "tests/bench/stream.h"

#define PROTOCOL 196608u /* 3.0 */
#define HEAD_BYTES 5u    /* a letter and a length */

enum greeting { GREETING_STARTUP, GREETING_PREPARE, GREETING_OVER };

struct cellar_bench_session {
    struct bench_stream stream;
    enum greeting greeting;
};

/* A message that is being written. */
struct message {
    struct cellar_buffer *to;
    size_t length_at;
    enum cellar_status status; /* the first failure */
};

/* ---- messages ------------------------------------------------------------------------------ */

static void bytes_put(struct message *message, const void *data, size_t bytes)
{
    CELLAR_ASSERT(data != NULL);
    if (message->status == CELLAR_OK) {
        message->status = cellar_buffer_append(message->to, data, bytes);
    }
}

static void u16_put(struct message *message, uint16_t value)
{
    uint8_t bytes[2];
    CELLAR_ASSERT(message->to != NULL);
    cellar_put_u16be(bytes, value);
    bytes_put(message, bytes, sizeof bytes);
}

static void u32_put(struct message *message, uint32_t value)
{
    uint8_t bytes[4];
    CELLAR_ASSERT(message->to != NULL);
    cellar_put_u32be(bytes, value);
    bytes_put(message, bytes, sizeof bytes);
}

/* Text with its NUL. */
static void text_put(struct message *message, const char *text)
{
    CELLAR_ASSERT(text != NULL);
    bytes_put(message, text, strlen(text) + 1);
}

/* Begins a message; a letter of 0 is the startup message, which has none. */
static void message_begin(struct message *message, char letter)
{
    CELLAR_ASSERT(message->to != NULL);
    if (letter != 0) {
        bytes_put(message, &letter, 1);
    }
    message->length_at = message->to->bytes;
    u32_put(message, 0);
}

/* Fills in the length. */
static void message_end(struct message *message)
{
    if (message->status == CELLAR_OK) {
        CELLAR_ASSERT(message->to->bytes >= message->length_at + 4);
        cellar_put_u32be(message->to->data + message->length_at,
                         (uint32_t)(message->to->bytes - message->length_at));
    }
}

static void sync_put(struct message *message)
{
    message_begin(message, 'S');
    CELLAR_ASSERT(message->to != NULL);
    message_end(message);
}

/* Prepares a statement. */
static void parse_put(struct message *message, const char *name, const char *text)
{
    CELLAR_ASSERT(name[0] != '\0');
    message_begin(message, 'P');
    text_put(message, name);
    text_put(message, text);
    u16_put(message, 0);
    message_end(message);
}

/* Binds parameters to a statement; they follow, and bind_end(). */
static void bind_begin(struct message *message, const char *statement, uint16_t parameter_count)
{
    CELLAR_ASSERT(parameter_count >= 1 || statement[0] == 'a');
    message_begin(message, 'B');
    text_put(message, "");
    text_put(message, statement);
    u16_put(message, 1); /* one format for all: binary */
    u16_put(message, 1);
    u16_put(message, parameter_count);
}

static void parameter_put(struct message *message, const void *data, size_t bytes)
{
    CELLAR_ASSERT(bytes <= UINT32_MAX);
    u32_put(message, (uint32_t)bytes);
    bytes_put(message, data, bytes);
}

/* Ends the parameters and executes the statement. */
static void bind_end(struct message *message)
{
    CELLAR_ASSERT(message->to != NULL);
    u16_put(message, 1); /* results: binary, too */
    u16_put(message, 1);
    message_end(message);
    message_begin(message, 'E');
    text_put(message, "");
    u32_put(message, 0);
    message_end(message);
}

/* Prepares all statements; names are a word and, where there is one for each field, its number. */
static void statements_put(struct message *message)
{
    char name[16];
    char text[128];
    CELLAR_ASSERT(message->status == CELLAR_OK);
    for (unsigned int field = 0; field < CELLAR_BENCH_FIELD_COUNT; field++) {
        (void)snprintf(name, sizeof name, "get%u", field);
        (void)snprintf(text, sizeof text, "select field%u from records where k = $1", field);
        parse_put(message, name, text);
        (void)snprintf(name, sizeof name, "put%u", field);
        (void)snprintf(text, sizeof text, "update records set field%u = $2 where k = $1", field);
        parse_put(message, name, text);
    }
    parse_put(message, "row", "select * from records where k = $1");
    parse_put(message, "insert",
              "insert into records values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
    parse_put(message, "scan", "select * from records where k >= $1 order by k limit $2");
    parse_put(message, "all", "select * from records order by k");
    parse_put(message, "append", "insert into events values ($1, $2, $3)");
    parse_put(message, "newest", "select s, v from events where k = $1 order by s desc limit $2");
    sync_put(message);
}

/* ---- operations ---------------------------------------------------------------------------- */

static void key_put(struct message *message, enum cellar_bench_space space, uint64_t record)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    size_t bytes = cellar_bench_key(space, record, key);
    CELLAR_ASSERT(bytes < sizeof key);
    parameter_put(message, key, bytes);
}

static void value_put(struct message *message, const struct cellar_bench_cell *cell)
{
    uint8_t value[CELLAR_BENCH_VALUE_BYTES];
    CELLAR_ASSERT(cell != NULL);
    cellar_bench_value(cell, value);
    parameter_put(message, value, sizeof value);
}

/* A limit is a 64-bit integer. */
static void limit_put(struct message *message, uint32_t limit)
{
    uint8_t bytes[8];
    CELLAR_ASSERT(limit >= 1);
    cellar_put_u64be(bytes, limit);
    parameter_put(message, bytes, sizeof bytes);
}

/* Inserts records. */
static void rows_put(struct message *message, const struct cellar_bench_op *op)
{
    CELLAR_ASSERT(op->count >= 1);
    for (uint32_t index = 0; index < op->count; index++) {
        struct cellar_bench_cell cell = {.record = op->record + index};
        bind_begin(message, "insert", 1 + CELLAR_BENCH_FIELD_COUNT);
        key_put(message, CELLAR_BENCH_USER, cell.record);
        for (; cell.column < CELLAR_BENCH_FIELD_COUNT; cell.column++) {
            value_put(message, &cell);
        }
        bind_end(message);
    }
}

/* Inserts events. */
static void events_put(struct message *message, const struct cellar_bench_op *op)
{
    uint8_t sequence[4];
    CELLAR_ASSERT(op->count >= 1);
    for (uint32_t index = 0; index < op->count; index++) {
        struct cellar_bench_cell cell = {
            .space = CELLAR_BENCH_TIME, .record = op->record, .version = op->version + index};
        bind_begin(message, "append", 3);
        key_put(message, CELLAR_BENCH_TIME, op->record);
        cellar_put_u32be(sequence, cell.version);
        parameter_put(message, sequence, sizeof sequence);
        value_put(message, &cell);
        bind_end(message);
    }
}

/* Reads, or writes a cell: one statement with the record's key first. */
static void single_put(struct message *message, const struct cellar_bench_op *op)
{
    char name[16];
    bool is_newest = op->kind == CELLAR_BENCH_NEWEST;
    bool is_put = op->kind == CELLAR_BENCH_PUT_CELL;
    bool is_range = is_newest || op->kind == CELLAR_BENCH_SCAN;
    struct cellar_bench_cell cell = {
        .record = op->record, .column = op->column, .version = op->version};
    (void)snprintf(name, sizeof name, "%s", is_newest ? "newest" : is_range ? "scan" : "row");
    if (is_put || op->kind == CELLAR_BENCH_GET_CELL) {
        (void)snprintf(name, sizeof name, "%s%u", is_put ? "put" : "get", op->column);
    }
    CELLAR_ASSERT(message->status == CELLAR_OK);
    bind_begin(message, name, is_put || is_range ? 2 : 1);
    key_put(message, is_newest ? CELLAR_BENCH_TIME : CELLAR_BENCH_USER, op->record);
    if (is_put) {
        value_put(message, &cell);
    } else if (is_range) {
        limit_put(message, op->count);
    }
    bind_end(message);
}

static enum cellar_status postgres_begin(struct cellar_bench_session *session,
                                         const struct cellar_bench_op *op,
                                         struct cellar_error *error)
{
    struct message message = {.to = &session->stream.out};
    CELLAR_ASSERT(session->greeting == GREETING_OVER);
    if (op->kind == CELLAR_BENCH_PUT_ROWS) {
        rows_put(&message, op);
    } else if (op->kind == CELLAR_BENCH_PUT_EVENTS) {
        events_put(&message, op);
    } else if (op->kind == CELLAR_BENCH_SCAN_ALL) {
        bind_begin(&message, "all", 0);
        bind_end(&message);
    } else {
        single_put(&message, op);
    }
    sync_put(&message);
    return message.status == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, message.status, "No memory for a request");
}

/* ---- answers ------------------------------------------------------------------------------- */

/* Takes one column of a row; false when there is none, or it is null. */
static bool column_take(struct cellar_cursor *from, struct cellar_slice *value)
{
    struct cellar_slice length;
    CELLAR_ASSERT(from->at <= from->end);
    return cellar_cursor_take(from, 4, &length) &&
           cellar_get_u32be(length.data) <= CELLAR_VALUE_BYTES_MAX &&
           cellar_cursor_take(from, cellar_get_u32be(length.data), value);
}

/* Checks a row of an answer. */
static enum cellar_status row_check(struct cellar_slice payload, struct cellar_bench_check *check,
                                    struct cellar_error *error)
{
    const struct cellar_bench_op *op = check->op;
    struct cellar_cursor from = cellar_cursor_make(payload);
    struct cellar_slice value;
    char text[CELLAR_BENCH_KEY_BYTES_MAX];
    struct cellar_slice key = {NULL, 0};
    bool is_get = op->kind == CELLAR_BENCH_GET_CELL;
    CELLAR_ASSERT(!cellar_bench_kind_is_write(op->kind));
    if (!cellar_cursor_take(&from, 2, &value) || (!is_get && !column_take(&from, &key))) {
        return bench_stream_broken("PostgreSQL", payload, error);
    }
    if (op->kind == CELLAR_BENCH_NEWEST) {
        return key.bytes == 4 && column_take(&from, &value)
                   ? cellar_bench_check_event(check, cellar_get_u32be(key.data), value, error)
                   : bench_stream_broken("PostgreSQL", payload, error);
    }
    if (is_get) {
        key = cellar_slice_make(text, cellar_bench_key(CELLAR_BENCH_USER, op->record, text));
    }
    CELLAR_TRY(cellar_bench_check_row(check, key, error));
    for (uint32_t column = is_get ? op->column : 0; column_take(&from, &value); column++) {
        CELLAR_TRY(cellar_bench_check_cell(check, column, value, error));
    }
    return CELLAR_OK;
}

/* The message of an error: the field 'M' of its payload. */
static enum cellar_status error_take(struct cellar_slice payload, struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(payload);
    CELLAR_ASSERT(error != NULL);
    while (from.at < from.end && *from.at != 0) {
        const uint8_t *end = memchr(from.at, 0, cellar_cursor_left(&from));
        if (end == NULL) {
            break;
        }
        if (*from.at == 'M') {
            return cellar_error_set(error, CELLAR_IO_ERROR, "PostgreSQL: %.400s",
                                    (const char *)from.at + 1);
        }
        from.at = end + 1;
    }
    return cellar_error_set(error, CELLAR_IO_ERROR, "PostgreSQL failed without a message");
}

/* The server is ready for the next thing: of the greeting, or the operation is over. */
static enum cellar_status ready_take(struct cellar_bench_session *session,
                                     enum cellar_bench_step *step, struct cellar_error *error)
{
    struct message message = {.to = &session->stream.out};
    CELLAR_ASSERT(session->greeting <= GREETING_OVER);
    switch (session->greeting) {
    case GREETING_STARTUP:
        statements_put(&message);
        session->greeting = GREETING_PREPARE;
        break;
    case GREETING_PREPARE:
        session->greeting = GREETING_OVER;
        *step = CELLAR_BENCH_READY;
        break;
    case GREETING_OVER:
        *step = CELLAR_BENCH_DONE;
        break;
    }
    return message.status == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, message.status, "No memory for statements");
}

/* Handles one whole message. */
static enum cellar_status message_take(struct cellar_bench_session *session, uint8_t letter,
                                       struct cellar_slice payload,
                                       struct cellar_bench_check *check,
                                       enum cellar_bench_step *step, struct cellar_error *error)
{
    static const char changed_none[] = "UPDATE 0";
    CELLAR_ASSERT(*step == CELLAR_BENCH_WAIT);
    switch (letter) {
    case 'D':
        return row_check(payload, check, error);
    case 'E':
        return error_take(payload, error);
    case 'Z':
        return ready_take(session, step, error);
    case 'C':
        return payload.bytes == sizeof changed_none &&
                       memcmp(payload.data, changed_none, sizeof changed_none) == 0
                   ? cellar_error_set(error, CELLAR_DATA_LOSS, "PostgreSQL has not that row")
                   : CELLAR_OK;
    case 'R':
        return payload.bytes == 4 && cellar_get_u32be(payload.data) == 0
                   ? CELLAR_OK
                   : cellar_error_set(error, CELLAR_UNAUTHENTICATED,
                                      "PostgreSQL asks for a password");
    default:
        return CELLAR_OK; /* settings, and that something was completed */
    }
}

static enum cellar_status postgres_step(struct cellar_bench_session *session,
                                        struct cellar_bench_check *check,
                                        enum cellar_bench_step *step, uint32_t *retry_delay_ms,
                                        struct cellar_error *error)
{
    CELLAR_ASSERT(retry_delay_ms != NULL);
    *step = CELLAR_BENCH_WAIT;
    while (*step == CELLAR_BENCH_WAIT) {
        struct cellar_slice input = bench_stream_input(&session->stream);
        if (input.bytes < HEAD_BYTES) {
            break;
        }
        size_t length = cellar_get_u32be(input.data + 1);
        if (length < 4 || length > CELLAR_VALUE_BYTES_MAX) {
            return bench_stream_broken("PostgreSQL", input, error);
        }
        if (input.bytes < 1 + length) {
            break;
        }
        struct cellar_slice payload = cellar_slice_make(input.data + HEAD_BYTES, length - 4);
        CELLAR_TRY(message_take(session, input.data[0], payload, check, step, error));
        bench_stream_take(&session->stream, 1 + length);
    }
    return CELLAR_OK;
}

static void postgres_close(struct cellar_bench_session *session)
{
    if (session != NULL) {
        CELLAR_ASSERT(session->greeting <= GREETING_OVER);
        bench_stream_fini(&session->stream);
        cellar_mem_free(session);
    }
}

static enum cellar_status postgres_open(const char *table, struct cellar_bench_session **session,
                                        struct cellar_error *error)
{
    struct cellar_bench_session *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(table != NULL);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a connection");
    }
    struct message message = {.to = &made->stream.out};
    message_begin(&message, 0);
    u32_put(&message, PROTOCOL);
    text_put(&message, "user");
    text_put(&message, "postgres");
    text_put(&message, "database");
    text_put(&message, "postgres");
    text_put(&message, "");
    message_end(&message);
    if (message.status != CELLAR_OK) {
        postgres_close(made);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a connection");
    }
    *session = made;
    return CELLAR_OK;
}

const struct cellar_bench_driver bench_postgres_driver = {
    .name = "postgres",
    .kinds = ((1u << CELLAR_BENCH_KIND_COUNT) - 1) &
             ~(1u << CELLAR_BENCH_SLICE | 1u << CELLAR_BENCH_PUT_COLUMNS),
    .open = postgres_open,
    .close = postgres_close,
    .output = bench_stream_output,
    .sent = bench_stream_sent,
    .room = bench_stream_room,
    .received = bench_stream_received,
    .begin = postgres_begin,
    .step = postgres_step,
};
