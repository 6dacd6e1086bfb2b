/*
 * Writes: from a request to the log and back.
 *
 * A request is decoded where it lies; the service borrows the slices and has copied what it needs
 * by the time it returns, so nothing of the request is kept. What is kept is one small structure,
 * which travels: the service gives it back on a thread of the log, where the result is noted in it,
 * and it is posted to the loop, which answers. Requests are handed over in the order of their
 * arrival, all by the loop's one thread, which is what PROTOCOL.md, "Order", promises.
 *
 * A request of several frames may hold values that the service writes into files before it queues
 * the row: it goes to the pool, and the connection reads no further until it is answered, so that
 * the order holds. The service may give such a write back before it has returned on the pool's
 * thread; a count of two tells who is the last, and posts.
 *
 *     one frame          decode, submit (loop) ....................... done (log) -> answer (loop)
 *     several frames     keep the join -> decode, submit (pool) ...... done (log) -> answer (loop)
 *
 * Only failures carry memory: the error of one row, or the encoded results of many. When there is
 * none for these the log thread says what it still can: the code alone, or, for many rows, that the
 * outcome is unknown, since some may have been applied.
 *
 * Between svc_mutate_*() and the post the structure is the log thread's, or the pool's; otherwise
 * the loop's.
 */
#include "server/net/native/native_write.h"

#include "common/mem.h"
#include "server/io/pool.h"
#include "server/net/native/frame_writer.h"
#include "server/net/native/join.h"

#define FIELD_TOKEN 4u
/* A reply with many failed entries carries texts up to this size; further entries have codes only.
 * */
#define RESULT_TEXT_BYTES_MAX 1048576u
#define RETRY_DELAY_MS 1000u

struct write {
    struct net_call call;
    struct io_task task;
    enum cellar_status code;
    struct cellar_error *error;  /* of a failed write; NULL without memory for it */
    struct cellar_buffer result; /* MUTATE_ROWS: the reply's body */
    struct net_join *join;       /* of a write that goes to the pool; NULL: it was submitted */
    struct svc *svc;             /* likewise, as are the rest */
    struct cellar_slice body;
    int64_t arrived_us;
    _Atomic unsigned left; /* who is to let go before the answer: the pool's thread, the log's */
};

/* A write that was cancelled is completed and answered as ever; one whose connection is gone waits
 * for the log. */
static const struct net_call_type write_type = {.cancel = NULL};

static void free_write(struct write *write)
{
    CELLAR_ASSERT(write != NULL);
    cellar_mem_free(write->error);
    cellar_buffer_fini(&write->result);
    if (write->join != NULL) {
        net_join_free(write->join);
    }
    cellar_mem_free(write);
}

/* The connection goes on behind a write that went to the pool. */
static void turn_end(const struct write *write)
{
    struct net_session *session = write->call.session;
    CELLAR_ASSERT(session != NULL);
    if (write->join != NULL && session->conn != NULL) {
        io_conn_resume(session->conn, IO_PAUSE_ORDER);
    }
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
    turn_end(write);
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

/* One of those who work on the write lets it go; the last one has it answered. */
static void release(struct write *write)
{
    unsigned before = atomic_fetch_sub(&write->left, 1);
    CELLAR_ASSERT(before > 0);
    if (before == 1) {
        io_loop_post(net_session_loop(write->call.session), &write->task);
    }
}

/* On a log thread. */
static void on_row_done(void *context, const struct cellar_error *result)
{
    struct write *write = context;
    CELLAR_ASSERT(result != NULL);
    note_error(write, result);
    release(write);
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
    release(write);
}

/* ---- submitting ------------------------------------------------------------------------------ */

/* A time of the wire, where what is too large for any time is refused by the service. */
static int64_t token_time(uint64_t us)
{
    CELLAR_ASSERT(INT64_MAX > 0);
    return us > INT64_MAX ? -1 : (int64_t)us;
}

static enum cellar_status row_submit(struct write *write, struct cellar_slice body,
                                     struct cellar_error *error)
{
    struct cellar_msg_mutate_row_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_mutate_row_request_type, body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    struct svc_request limits = net_request_limits(write->arrived_us, message.timeout_us);
    limits.is_mapped = write->join != NULL && net_join_is_mapped(write->join);
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
    return svc_mutate_row(write->svc, &limits, &row, error);
}

static enum cellar_status rows_submit(struct write *write, struct cellar_slice body,
                                      struct cellar_error *error)
{
    struct cellar_msg_mutate_rows_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_mutate_rows_request_type, body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    struct svc_request limits = net_request_limits(write->arrived_us, message.timeout_us);
    limits.is_mapped = write->join != NULL && net_join_is_mapped(write->join);
    CELLAR_ASSERT(limits.deadline_us >= 0);
    const struct svc_rows_write rows = {
        message.table,
        message.entries,
        on_rows_done,
        write,
        {token_time(message.token_start_us), token_time(message.token_life_us)}};
    return svc_mutate_rows(write->svc, &limits, &rows, error);
}

/* On OK the service has the write, and calls back, or has done so. */
static enum cellar_status submit(struct write *write, struct cellar_slice body,
                                 struct cellar_error *error)
{
    bool is_row = write->call.operation == CELLAR_OP_MUTATE_ROW;
    CELLAR_ASSERT(is_row || write->call.operation == CELLAR_OP_MUTATE_ROWS);
    return is_row ? row_submit(write, body, error) : rows_submit(write, body, error);
}

/* On a thread of the pool. A write that the service did not take has no other to let it go. */
static void run_put_off(struct io_task *task)
{
    struct write *write = CELLAR_CONTAINER_OF(task, struct write, task);
    struct cellar_error error;
    cellar_error_clear(&error);
    write->task.run = answer_write;
    enum cellar_status status = submit(write, write->body, &error);
    if (status != CELLAR_OK) {
        error.code = status;
        note_error(write, &error);
        release(write);
    }
    release(write);
}

/* Refuses a write that the service does not have. */
static void refuse(struct write *write, const struct cellar_error *error)
{
    struct net_call *call = &write->call;
    CELLAR_ASSERT(error->code != CELLAR_OK);
    net_reply_error(call->session, call->request_id, call->operation, error);
    turn_end(write);
    net_call_end(call);
    free_write(write);
}

/* Hands a write of several frames to the pool. The connection pauses before, as the pool may be
 * done with it before we return. The body is whatever the frames joined to, even nothing. */
static void put_off(struct write *write, const struct net_request *request)
{
    struct net_session *session = write->call.session;
    write->join = net_request_keep(request);
    write->body = request->body;
    write->task.run = run_put_off;
    atomic_store(&write->left, 2);
    io_conn_pause(session->conn, IO_PAUSE_ORDER);
    CELLAR_ASSERT(write->join != NULL);
    if (io_pool_submit(net_session_context(session)->pool, &write->task) != CELLAR_OK) {
        struct cellar_error error;
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE,
                               "The server has as many large writes waiting as it can hold");
        error.retry_delay_ms = RETRY_DELAY_MS;
        refuse(write, &error);
    }
}

void net_write_run(struct net_session *session, const struct net_request *request)
{
    struct cellar_error error;
    struct write *write = cellar_mem_zalloc(1, sizeof *write);
    CELLAR_ASSERT(request->id != 0);
    if (write == NULL) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a write");
        net_reply_error(session, request->id, request->operation, &error);
        return;
    }
    write->svc = net_session_context(session)->svc;
    write->arrived_us = session->input_us;
    write->task.run = answer_write;
    atomic_store_explicit(&write->left, 1, memory_order_relaxed);
    net_call_begin(session, &write->call, &write_type, request);
    if (request->join != NULL) {
        put_off(write, request);
        return;
    }
    enum cellar_status status = submit(write, request->body, &error);
    if (status != CELLAR_OK) {
        error.code = status;
        refuse(write, &error);
    }
}
