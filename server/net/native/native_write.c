/*
 * Writes: from a request to the log and back.
 *
 * A request is decoded where it lies; the service borrows the slices and has copied what it needs
 * by the time it returns, so nothing of the request is kept. What is kept is one small structure,
 * which travels: the service gives it back on a thread of the log, where the result is noted in it,
 * and it is posted to the loop, which answers. Requests are handed over in the order of their
 * arrival, all by the loop's one thread, which is what PROTOCOL.md, "Order", promises.
 *
 * Only failures carry memory: the error of one row, or the encoded results of many. When there is
 * none for these the log thread says what it still can: the code alone, or, for many rows, that the
 * outcome is unknown, since some may have been applied.
 *
 * Between svc_mutate_*() and the post the structure is the log thread's; otherwise the loop's.
 */
#include "server/net/native/native_write.h"

#include "common/mem.h"
#include "server/net/native/frame_writer.h"

#define FIELD_TOKEN 4u
/* A reply with many failed entries carries texts up to this size; further entries have codes only.
 * */
#define RESULT_TEXT_BYTES_MAX 1048576u

struct write {
    struct net_call call;
    struct io_task task;
    enum cellar_status code;
    struct cellar_error *error;  /* of a failed write; NULL without memory for it */
    struct cellar_buffer result; /* MUTATE_ROWS: the reply's body */
};

/* A write that was cancelled is completed and answered as ever; one whose connection is gone waits
 * for the log. */
static const struct net_call_type write_type = {.cancel = NULL};

static void free_write(struct write *write)
{
    CELLAR_ASSERT(write != NULL);
    cellar_mem_free(write->error);
    cellar_buffer_fini(&write->result);
    cellar_mem_free(write);
}

/* On the loop: the answer. */
static void answer_write(struct io_task *task)
{
    struct write *write = CELLAR_CONTAINER_OF(task, struct write, task);
    struct net_call *call = &write->call;
    struct net_session *session = call->session;
    if (write->code != CELLAR_OK) {
        struct cellar_error code_only;
        (void)cellar_error_set(&code_only, write->code, "%s", cellar_status_text(write->code));
        net_reply_error(session, call->request_id, call->operation,
                        write->error != NULL ? write->error : &code_only);
    } else if (write->result.bytes > 0) {
        CELLAR_ASSERT(call->operation == CELLAR_OP_MUTATE_ROWS);
        net_reply_body(session, call->request_id, call->operation, cellar_slice_of(&write->result));
    } else {
        net_reply_empty(session, call->request_id, call->operation);
    }
    net_call_end(call);
    free_write(write);
}

/* Notes how the write ended; on a log thread, or before it was handed over. */
static void note_error(struct write *write, const struct cellar_error *error)
{
    write->code = error->code;
    if (error->code == CELLAR_OK) {
        return;
    }
    CELLAR_ASSERT(write->error == NULL);
    write->error = cellar_mem_alloc(sizeof *write->error);
    if (write->error != NULL) {
        *write->error = *error;
    }
}

/* On a log thread. */
static void on_row_done(void *context, const struct cellar_error *result)
{
    struct write *write = context;
    CELLAR_ASSERT(result != NULL);
    note_error(write, result);
    io_loop_post(net_session_loop(write->call.session), &write->task);
}

/* One element of the results: 0, or [code, text, retry_delay_ms]. */
static enum cellar_status put_result(struct cellar_buffer *to, const struct cellar_error *result)
{
    if (result == NULL) {
        return cellar_wire_put_u64(to, 0);
    }
    char text[CELLAR_ERROR_TEXT_BYTES_MAX] = "";
    if (to->bytes < RESULT_TEXT_BYTES_MAX) {
        memcpy(text, result->text, sizeof text);
        text[sizeof text - 1] = '\0';
        net_text_repair(text);
    }
    CELLAR_ASSERT(result->retry_delay_ms == 0 || result->code == CELLAR_UNAVAILABLE);
    CELLAR_TRY(cellar_wire_put_array(to, 3));
    CELLAR_TRY(cellar_wire_put_u64(to, (uint64_t)result->code));
    CELLAR_TRY(cellar_wire_put_text(to, cellar_slice_text(text)));
    return cellar_wire_put_u64(to, result->retry_delay_ms);
}

/* The whole body of the reply: `{1: results}`. */
static enum cellar_status put_results(struct cellar_buffer *to,
                                      const struct cellar_error *const *results, size_t count)
{
    CELLAR_ASSERT(count <= UINT32_MAX);
    CELLAR_TRY(cellar_wire_put_map(to, 1));
    CELLAR_TRY(cellar_wire_put_u64(to, 1));
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)count));
    for (size_t i = 0; i < count; i++) {
        CELLAR_TRY(put_result(to, results[i]));
    }
    return CELLAR_OK;
}

/* On a log thread. */
static void on_rows_done(void *context, const struct cellar_error *const *results, size_t count)
{
    struct write *write = context;
    CELLAR_ASSERT(results != NULL || count == 0);
    if (put_results(&write->result, results, count) != CELLAR_OK) {
        struct cellar_error error;
        (void)cellar_error_set(&error, CELLAR_OUTCOME_UNKNOWN,
                               "The entries were processed, but there is no memory to tell how");
        note_error(write, &error);
    }
    io_loop_post(net_session_loop(write->call.session), &write->task);
}

/* Makes the call of a request that was decoded with `status`. NULL: the error was answered. */
static struct write *begin_write(struct net_session *session, const struct net_request *request,
                                 enum cellar_status status, struct cellar_error *error)
{
    CELLAR_ASSERT(request->id != 0);
    struct write *write = status == CELLAR_OK ? cellar_mem_zalloc(1, sizeof *write) : NULL;
    if (write == NULL) {
        if (status == CELLAR_OK) {
            (void)cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a write");
        }
        net_reply_error(session, request->id, request->operation, error);
        return NULL;
    }
    write->task.run = answer_write;
    net_call_begin(session, &write->call, &write_type, request);
    return write;
}

/* What the service said about a write: on OK it has it, and will call back. */
static void end_submit(struct write *write, enum cellar_status status,
                       const struct cellar_error *error)
{
    struct net_call *call = &write->call;
    if (status == CELLAR_OK) {
        return;
    }
    CELLAR_ASSERT(error->code == status);
    net_reply_error(call->session, call->request_id, call->operation, error);
    net_call_end(call);
    free_write(write);
}

/* A time of the wire, where what is too large for any time is refused by the service. */
static int64_t token_time(uint64_t us)
{
    CELLAR_ASSERT(INT64_MAX > 0);
    return us > INT64_MAX ? -1 : (int64_t)us;
}

void net_write_row(struct net_session *session, const struct net_request *request)
{
    struct svc *svc = net_session_context(session)->svc;
    struct cellar_msg_mutate_row_request message;
    struct cellar_error error;
    CELLAR_ASSERT(request->operation == CELLAR_OP_MUTATE_ROW);
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_mutate_row_request_type, request->body, &message,
                              CELLAR_UNKNOWN_REFUSE, &error);
    struct write *write = begin_write(session, request, status, &error);
    if (write != NULL) {
        struct svc_request limits = net_request_limits(message.timeout_us);
        bool has_token = (message.present & (1u << FIELD_TOKEN)) != 0;
        CELLAR_ASSERT(limits.deadline_us >= 0);
        const struct svc_row_write row = {
            message.table,
            message.row,
            message.mutations,
            on_row_done,
            write,
            has_token ? message.token : cellar_slice_make(NULL, 0),
            {token_time(message.token_start_us), token_time(message.token_life_us)}};
        status = svc_mutate_row(svc, &limits, &row, &error);
        end_submit(write, status, &error);
    }
}

void net_write_rows(struct net_session *session, const struct net_request *request)
{
    struct svc *svc = net_session_context(session)->svc;
    struct cellar_msg_mutate_rows_request message;
    struct cellar_error error;
    CELLAR_ASSERT(request->operation == CELLAR_OP_MUTATE_ROWS);
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_mutate_rows_request_type, request->body, &message,
                              CELLAR_UNKNOWN_REFUSE, &error);
    struct write *write = begin_write(session, request, status, &error);
    if (write != NULL) {
        struct svc_request limits = net_request_limits(message.timeout_us);
        const struct svc_rows_write rows = {
            message.table,
            message.entries,
            on_rows_done,
            write,
            {token_time(message.token_start_us), token_time(message.token_life_us)}};
        status = svc_mutate_rows(svc, &limits, &rows, &error);
        end_submit(write, status, &error);
    }
}
