/*
 * Reads: one request, one or many parts.
 *
 *     request -> open -> step -> step -> ... -> REPLY (or ERROR)
 *                         |
 *              no credit: waits for a CREDIT frame
 *              no room:   waits until the connection's output has shrunk
 *              not done:  put off to the loop's next turn, so that other requests get theirs
 *
 * A step is one chunk of the service written straight into the output. The first step runs inside
 * the request's handler, so a get is answered in the turn that it came in, in one REPLY; only when
 * the turn is late already is it put off. Whether the last chunk was the last is known only after
 * it was read, so a step needs credit also where it will turn out to be the REPLY. An error in the
 * middle takes the unfinished part out of the output again and is answered instead.
 *
 * A value that is a blob goes out piece by piece, each in a frame of one PART, as fast as the
 * connection takes it: a step is one piece then, and needs room, but no credit, as the part was
 * begun with it. What the client has of a part that an error cuts off is void.
 *
 * A step that may wait for the disk, as the service says beforehand, runs on the read pool instead
 * (read_job.h), into a buffer of its own:
 *
 *     loop: step -> cold? -> send ........................... come back -> into the output -> step
 *     pool:                   write_frames() into the buffer
 *
 * While it is away, the service's read, the writer, part and is_in_blob are the pool thread's, and
 * no other step of the read runs. A read that ends meanwhile is answered and forgotten by its
 * session at once; its memory goes when the step is back.
 *
 * The request's body is copied, since a row set borrows from it for as long as the read lives; copy
 * and row set are counted against the request budget. One loop's thread owns all of it.
 */
#include "server/net/native/native_read.h"

#include <inttypes.h>
#include <string.h>

#include "server/net/native/frame_writer.h"
#include "server/net/native/read_job.h"
#include "server/net/native/rows_writer.h"

#define FIELD_FILTER 8u
#define FIELD_CREDIT 9u
#define COLUMN_COUNT_MAX 10000u
#define RETRY_DELAY_MS 1000u
#define AWAY_BYTES_MAX NET_PART_BYTES /* about what the read pool reads in one go */
#define ARENA_BYTES                                                                                \
    1008u /* the first block's: a get's request fits, and malloc keeps such blocks */

struct read;

/* What a step wrote: whole frames, or nothing. */
struct written {
    enum cellar_status status;
    struct cellar_error error; /* when that is not CELLAR_OK */
    enum cellar_frame_kind kind;
    size_t payload_bytes; /* 0: there was no row to send */
};

/* A read's step on the read pool. */
struct away {
    struct net_read_job job;
    struct read *read;
    struct io_budget *budget;
    uint64_t credit_bytes;  /* when it was sent: more may have come since */
    struct written written; /* of the last part, but for the payload: of all */
};

struct read {
    struct net_call call;
    struct io_work work;
    struct svc_read *svc_read;
    struct cellar_arena arena;
    struct cellar_rowset rows;
    struct svc_column *columns;
    uint32_t column_count;
    int64_t deadline_us; /* 0 = none */
    uint64_t part;
    int64_t credit_bytes; /* below or at 0: no step runs */
    uint64_t charged_bytes;
    bool is_in_blob;   /* the rest of a part is to be sent */
    struct away *away; /* NULL until a step is sent to the read pool */
    struct net_rows_writer writer;
};

static bool is_away(const struct read *read)
{
    return read->away != NULL && read->away->job.is_away;
}

/* The memory of a read that has no call any more. */
static void free_read(struct read *read, struct io_budget *budget)
{
    CELLAR_ASSERT(!is_away(read));
    io_budget_give(budget, read->charged_bytes);
    cellar_arena_fini(&read->arena);
    if (read->away != NULL) {
        net_read_job_rest(&read->away->job);
        cellar_mem_free(read->away);
    }
    cellar_mem_free(read);
}

/* Frees everything. Its answer was given, or nobody is left to get one. The session may be gone
 * when this returns. The order: nothing may run it any more, then the service's part, then the
 * call, and the memory last. What the budget needs is looked up before the session may go. With a
 * step away only the call ends here. */
static void end_read(struct read *read)
{
    struct net_call *call = &read->call;
    const struct net_context *context = net_session_context(call->session);
    CELLAR_ASSERT(call->operation == CELLAR_OP_READ_ROWS);
    io_work_cancel(&read->work);
    if (is_away(read)) {
        net_read_job_abandon(&read->away->job);
        net_call_end(call);
        return;
    }
    svc_read_close(read->svc_read);
    net_call_end(call);
    free_read(read, context->request_budget);
}

static void fail_read(struct read *read, const struct cellar_error *error)
{
    struct net_call *call = &read->call;
    CELLAR_ASSERT(error->code != CELLAR_OK);
    net_reply_error(call->session, call->request_id, call->operation, error);
    end_read(read);
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Writes one chunk behind a header at `start`. Straight into the output: between the stored segment
 * and the socket there is one copy. The header's place is kept free and filled in when the length
 * is known. */
static enum cellar_status write_chunk(struct read *read, struct cellar_buffer *output,
                                      size_t *start, bool *is_done, struct cellar_error *error)
{
    CELLAR_ASSERT(read->svc_read != NULL);
    enum cellar_status status = net_message_begin(output, start);
    if (status == CELLAR_OK) {
        status = net_rows_begin(&read->writer, output, read->part);
    }
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "No memory for a part of the answer");
    }
    CELLAR_TRY(svc_read_next(read->svc_read, &read->writer.sink, NET_PART_BYTES, is_done, error));
    net_rows_end(&read->writer);
    return CELLAR_OK;
}

/* Writes one piece of a blob behind a header at `start`. */
static enum cellar_status write_piece(struct read *read, struct cellar_buffer *output,
                                      size_t *start, bool *is_last, struct cellar_error *error)
{
    CELLAR_ASSERT(read->is_in_blob);
    if (net_message_begin(output, start) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a part of the answer");
    }
    return svc_read_blob(read->svc_read, output, is_last, error);
}

/* One piece of a blob, or one chunk. @param frame  receives its kind, and whether the part goes on
 */
static enum cellar_status write_next(struct read *read, struct cellar_buffer *output, size_t *start,
                                     struct cellar_frame *frame, struct cellar_error *error)
{
    bool is_last = false;
    *frame = (struct cellar_frame){.kind = CELLAR_FRAME_PART};
    if (read->is_in_blob) {
        CELLAR_TRY(write_piece(read, output, start, &is_last, error));
        read->is_in_blob = !is_last;
    } else {
        CELLAR_TRY(write_chunk(read, output, start, &is_last, error));
        CELLAR_ASSERT(!is_last || !read->writer.has_blob);
        frame->kind = is_last ? CELLAR_FRAME_REPLY : CELLAR_FRAME_PART;
        read->is_in_blob = read->writer.has_blob;
    }
    frame->has_more = read->is_in_blob;
    return CELLAR_OK;
}

/* Writes the frames of one step: a PART, the REPLY, or some of a part with more to come. On the
 * loop or on the pool. A failure leaves `output` as it was, and so does an empty chunk that is not
 * the last: all rows looked at were deleted. */
static void write_frames(struct read *read, struct cellar_buffer *output, struct written *written)
{
    struct cellar_frame frame;
    size_t start = 0;
    size_t bytes_before = output->bytes;
    bool was_in_blob = read->is_in_blob;
    cellar_error_clear(&written->error);
    written->payload_bytes = 0;
    written->status = write_next(read, output, &start, &frame, &written->error);
    bool has_rows = was_in_blob || read->writer.row_count > 0;
    if (written->status == CELLAR_OK && (has_rows || frame.kind == CELLAR_FRAME_REPLY)) {
        written->payload_bytes = net_message_payload_bytes(output, start);
        frame.request_id = read->call.request_id;
        frame.operation = read->call.operation;
        read->part += frame.has_more ? 0 : 1;
        written->status = net_message_end(output, start, &frame);
        CELLAR_ASSERT(written->payload_bytes > 0 && written->payload_bytes <= INT64_MAX);
    }
    written->kind = frame.kind;
    if (written->status != CELLAR_OK || written->payload_bytes == 0) {
        written->payload_bytes = 0;
        net_message_undo(output, bytes_before);
    }
}

/* What follows when the frames of a step are in the output. The read may be gone when this returns.
 * Credit may go below zero by what the last part was larger than it: a part is cut by rows, not by
 * bytes. */
static void finish_step(struct read *read, struct written *written)
{
    struct net_session *session = read->call.session;
    if (written->status != CELLAR_OK) {
        written->error.code = written->status; /* also where a sink's error carried no text */
        fail_read(read, &written->error);
        return;
    }
    bool is_done = written->kind == CELLAR_FRAME_REPLY;
    if (written->payload_bytes > 0) {
        read->credit_bytes -= (int64_t)written->payload_bytes;
        net_session_outcome_set(session, is_done ? CELLAR_OK : CELLAR_CANCELLED);
        net_session_wrote(session, CELLAR_OK);
    }
    CELLAR_ASSERT(read->call.session == session);
    if (is_done) {
        end_read(read);
    } else if (read->credit_bytes > 0 || read->is_in_blob) {
        io_loop_run_later(net_session_loop(session), &read->work);
    } else if (session->has_ended) {
        end_read(read); /* no more credit can come */
    }
}

/* One step, here and now, straight into the output. The read may be gone when this returns. */
static void run_step(struct read *read)
{
    struct written written;
    struct cellar_buffer *output = net_session_output(read->call.session);
    if (output == NULL) {
        end_read(read);
        return;
    }
    CELLAR_ASSERT(!is_away(read));
    write_frames(read, output, &written);
    bool is_done = written.status == CELLAR_OK && written.kind == CELLAR_FRAME_REPLY;
    read->call.ended_us = is_done ? svc_read_ended_us(read->svc_read) : 0;
    finish_step(read, &written);
}

/* On a thread of the read pool. Behind the first part, some at once: the way there and back takes
 * as long as a fraction of one. */
static void run_step_away(struct net_read_job *job)
{
    struct away *away = CELLAR_CONTAINER_OF(job, struct away, job);
    struct read *read = away->read;
    struct written *written = &away->written;
    size_t bytes_max = read->part == 0 ? 1 : AWAY_BYTES_MAX;
    size_t payload_bytes = 0;
    CELLAR_ASSERT(read->away == away);
    do {
        write_frames(read, &job->output, written);
        payload_bytes += written->payload_bytes;
    } while (written->status == CELLAR_OK && written->kind == CELLAR_FRAME_PART &&
             !read->is_in_blob && payload_bytes > 0 && payload_bytes < away->credit_bytes &&
             job->output.bytes < bytes_max);
    written->payload_bytes = payload_bytes;
}

/* The step is back, its frames go behind what the output holds; before an error, too. A read that
 * has ended meanwhile goes now. */
static void come_back(struct net_read_job *job)
{
    struct away *away = CELLAR_CONTAINER_OF(job, struct away, job);
    struct read *read = away->read;
    if (job->session == NULL) {
        svc_read_close(read->svc_read);
        free_read(read, away->budget);
        return;
    }
    CELLAR_ASSERT(job->session == read->call.session);
    struct cellar_buffer *output = net_session_output(job->session);
    if (output == NULL) {
        end_read(read);
        return;
    }
    if (cellar_buffer_append(output, job->output.data, job->output.bytes) != CELLAR_OK) {
        away->written.status = cellar_error_set(&away->written.error, CELLAR_NO_MEMORY,
                                                "No memory for a part of the answer");
    }
    finish_step(read, &away->written);
}

/* Sends a step to the read pool, or has it tried again when there is a place. @return false when
 * there is no memory for the way */
static bool send_away(struct read *read)
{
    struct net_session *session = read->call.session;
    if (read->away == NULL) {
        read->away = cellar_mem_zalloc(1, sizeof *read->away);
        if (read->away == NULL) {
            return false;
        }
        net_read_job_init(&read->away->job, run_step_away, come_back);
        read->away->read = read;
        read->away->budget = net_session_context(session)->request_budget;
    }
    CELLAR_ASSERT(!is_away(read));
    read->away->credit_bytes = (uint64_t)CELLAR_MAX(read->credit_bytes, INT64_C(0));
    (void)net_read_job_send(&read->away->job, session, &read->work);
    return true;
}

/* Runs the next step if client and socket have room for it. Where nothing may be sent any more
 * run_step() ends the read; so only a live session is asked for room. */
static void step(struct read *read)
{
    struct net_session *session = read->call.session;
    CELLAR_ASSERT(!io_work_is_queued(&read->work));
    if (is_away(read)) {
        return; /* and goes on when it is back */
    }
    bool may_go_on = read->credit_bytes > 0 || read->is_in_blob;
    bool is_open = net_session_output(session) != NULL;
    if (!may_go_on || (is_open && !net_session_has_room(session, &read->work))) {
        if (read->away != NULL) {
            net_read_job_rest(&read->away->job);
        }
        return;
    }
    int64_t now_us = io_loop_now_us(net_session_loop(session));
    if (is_open && svc_read_is_cold(read->svc_read, now_us) && send_away(read)) {
        return;
    }
    run_step(read);
}

/* From the put-off queue, or from the session's when there is room again. */
static void run_work(struct io_work *work)
{
    struct read *read = CELLAR_CONTAINER_OF(work, struct read, work);
    CELLAR_ASSERT(read->svc_read != NULL);
    step(read);
}

/* ---- what happens to a read ------------------------------------------------------------------ */

static struct read *read_of(struct net_call *call)
{
    CELLAR_ASSERT(call->operation == CELLAR_OP_READ_ROWS);
    return CELLAR_CONTAINER_OF(call, struct read, call);
}

static void on_cancel(struct net_call *call)
{
    struct cellar_error error;
    CELLAR_ASSERT(call->session != NULL);
    (void)cellar_error_set(&error, CELLAR_CANCELLED, "Cancelled by the client");
    fail_read(read_of(call), &error);
}

/* Sums without overflow, whatever a client gives. */
static void on_credit(struct net_call *call, uint64_t bytes)
{
    struct read *read = read_of(call);
    uint64_t room = (uint64_t)INT64_MAX - (uint64_t)CELLAR_MAX(read->credit_bytes, INT64_C(0));
    read->credit_bytes += (int64_t)CELLAR_MIN(bytes, room);
    CELLAR_ASSERT(read->credit_bytes <= INT64_MAX);
    if (read->credit_bytes > 0) {
        /* Nothing if it is queued, or waits for room in the output, already. */
        io_loop_run_later(net_session_loop(call->session), &read->work);
    }
}

/* No more credit can come. With credit left the read goes on to its end: clients may shut down
 * their side after the last request. */
static void on_ended(struct net_call *call)
{
    struct read *read = read_of(call);
    CELLAR_ASSERT(read->svc_read != NULL);
    if (!is_away(read) && read->credit_bytes <= 0 && !read->is_in_blob) {
        end_read(read);
    }
}

/* Nobody is left to read for. */
static void on_gone(struct net_call *call)
{
    CELLAR_ASSERT(call->session != NULL);
    end_read(read_of(call));
}

/* A read that waits for credit or room meets its time limit here; one that runs, in the service. */
static void on_tick(struct net_call *call, int64_t now_us)
{
    struct read *read = read_of(call);
    CELLAR_ASSERT(read->deadline_us >= 0);
    if (read->deadline_us != 0 && now_us >= read->deadline_us) {
        struct cellar_error error;
        (void)cellar_error_set(&error, CELLAR_DEADLINE_EXCEEDED,
                               "The time limit of the read has passed");
        fail_read(read, &error);
    }
}

static const struct net_call_type read_type = {
    .cancel = on_cancel,
    .credit = on_credit,
    .ended = on_ended,
    .gone = on_gone,
    .tick = on_tick,
};

/* ---- the request ----------------------------------------------------------------------------- */

static enum cellar_status decode_column(struct cellar_cursor *from, uint32_t index,
                                        struct svc_column *column, struct cellar_error *error)
{
    uint32_t count = 0;
    *column = (struct svc_column){.is_family = true};
    bool is_right = cellar_wire_get_array(from, &count) && count == 2 &&
                    cellar_wire_get_text(from, &column->family);
    if (is_right && !cellar_wire_get_nil(from)) {
        column->is_family = false;
        is_right = cellar_wire_get_bytes(from, &column->qualifier);
    }
    if (!is_right) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'columns' : Error in element #%" PRIu32
                                " : expected [family, qualifier or nil]",
                                index);
    }
    CELLAR_ASSERT(column->is_family || column->qualifier.data != NULL);
    return CELLAR_OK;
}

/* Absent and empty both mean every column. */
static enum cellar_status decode_columns(struct read *read, struct cellar_slice raw,
                                         struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(raw);
    uint32_t count = 0;
    if (raw.bytes == 0) {
        return CELLAR_OK;
    }
    if (!cellar_wire_get_array(&from, &count) || count > COLUMN_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'columns' : expected an array of at most %u "
                                "elements, but got %" PRIu32,
                                COLUMN_COUNT_MAX, count);
    }
    read->columns = cellar_arena_alloc(&read->arena, count * sizeof *read->columns);
    if (read->columns == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the columns of a read");
    }
    for (uint32_t i = 0; i < count; i++) {
        CELLAR_TRY(decode_column(&from, i, &read->columns[i], error));
    }
    CELLAR_ASSERT(cellar_cursor_left(&from) == 0);
    read->column_count = count;
    return CELLAR_OK;
}

/* Counts `bytes` more of memory for the read. Refused before the memory is taken, so the sum of all
 * reads stays within the budget. */
static enum cellar_status charge(struct read *read, struct io_budget *budget, uint64_t bytes,
                                 struct cellar_error *error)
{
    CELLAR_ASSERT(budget != NULL);
    if (!io_budget_try(budget, bytes)) {
        (void)cellar_error_set(
            error, CELLAR_UNAVAILABLE,
            "The server has no room for a read whose row set takes %" PRIu64 " bytes more", bytes);
        error->retry_delay_ms = RETRY_DELAY_MS;
        return CELLAR_UNAVAILABLE;
    }
    read->charged_bytes += bytes;
    return CELLAR_OK;
}

/* Counts, then copies the body. */
static enum cellar_status copy_body(struct read *read, struct io_budget *budget,
                                    struct cellar_slice *body, struct cellar_error *error)
{
    CELLAR_TRY(charge(read, budget, body->bytes, error));
    const void *bytes = cellar_arena_copy(&read->arena, body->data, body->bytes);
    if (bytes == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a read");
    }
    *body = cellar_slice_make(bytes, body->bytes);
    CELLAR_ASSERT(read->arena.total_bytes >= read->charged_bytes);
    return CELLAR_OK;
}

/* Copies and decodes the body, and opens the read. The body is charged first, what decoding made of
 * it afterwards, by the arena's own count. */
static enum cellar_status open_read(struct read *read, const struct net_context *context,
                                    struct cellar_slice body, struct cellar_error *error)
{
    struct cellar_msg_read_rows_request message;
    CELLAR_TRY(copy_body(read, context->request_budget, &body, error));
    CELLAR_TRY(cellar_message_decode(&cellar_msg_read_rows_request_type, body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    if ((message.present & (1u << FIELD_FILTER)) != 0) {
        return cellar_error_set(error, CELLAR_UNIMPLEMENTED,
                                "read_rows_request: this server has no filters (field %u)",
                                FIELD_FILTER);
    }
    CELLAR_TRY(decode_columns(read, message.columns, error));
    CELLAR_TRY(
        cellar_rowset_decode(message.row_keys, message.ranges, &read->arena, &read->rows, error));
    CELLAR_TRY(charge(read, context->request_budget, read->arena.total_bytes - read->charged_bytes,
                      error));
    bool has_credit = (message.present & (1u << FIELD_CREDIT)) != 0;
    uint64_t credit_bytes = has_credit ? message.credit_bytes : NET_CREDIT_BYTES;
    read->credit_bytes = (int64_t)CELLAR_MIN(credit_bytes, (uint64_t)INT64_MAX);
    struct svc_request limits =
        net_request_limits(read->call.session->input_us, message.timeout_us);
    read->deadline_us = limits.deadline_us;
    struct svc_read_options options = {
        .table = message.table,
        .rows = &read->rows,
        .rows_limit = message.rows_limit,
        .is_reversed = message.reversed,
        .keys_only = message.keys_only,
        .columns = read->columns,
        .column_count = read->column_count,
        .versions_max = message.versions,
    };
    CELLAR_ASSERT(read->svc_read == NULL);
    return svc_read_open(context->svc, &limits, &options, &read->svc_read, error);
}

/* The call exists before the read is opened: a failure then ends by the same way as any other. */
void net_read_rows(struct net_session *session, const struct net_request *request)
{
    const struct net_context *context = net_session_context(session);
    struct cellar_error error;
    CELLAR_ASSERT(request->operation == CELLAR_OP_READ_ROWS);
    struct read *read = cellar_mem_zalloc(1, sizeof *read);
    if (read == NULL) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a read");
        net_reply_error(session, request->id, request->operation, &error);
        return;
    }
    read->arena.block_bytes = ARENA_BYTES;
    io_work_init(&read->work, run_work);
    net_call_begin(session, &read->call, &read_type, request);
    if (open_read(read, context, request->body, &error) != CELLAR_OK) {
        fail_read(read, &error);
    } else if (io_loop_is_late(net_session_loop(session))) {
        io_loop_run_later(net_session_loop(session), &read->work);
    } else {
        step(read);
    }
}
