/*
 * Bulk loads: from a request to the service and back.
 *
 * All of it waits for the disk and runs on the pool, and requests of one load act in the order in
 * which they came: so the connection reads no further until a request is answered. That is the
 * back-pressure, too: a client may send ahead, and what the server does not take stays in its
 * socket.
 *
 *     body in one frame      copied, counted against the request budget
 *     of several frames      in the join that collected it, which is kept
 *
 * A load belongs to the session that spoke of it last, by its address, and ends with its
 * connection. While a job is on the pool its body, reply and error are the pool thread's; the call
 * is the loop's throughout.
 */
#include "server/net/native/native_load.h"

#include "common/mem.h"
#include "server/net/native/join.h"

#define RETRY_DELAY_MS 100u

struct load_job {
    struct net_call call;
    struct io_task task;
    struct svc *svc;
    const struct net_session *owner;
    struct net_join *join; /* that holds the body; else NULL */
    uint64_t charged_bytes;
    int64_t arrived_us;
    struct cellar_buffer reply;
    struct cellar_error error;
    struct cellar_slice body; /* in the join, or behind the structure */
    uint8_t body_bytes[];
};

/* A job cannot be stopped: nobody reads the answer then. */
static const struct net_call_type job_type = {.cancel = NULL};

/* ---- operations, on a thread of the pool ----------------------------------------------------- */

static enum cellar_status encode(struct load_job *job, const struct cellar_message_type *type,
                                 const void *message, struct cellar_error *error)
{
    CELLAR_ASSERT(job->reply.bytes == 0);
    return cellar_message_encode(type, message, &job->reply) == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the answer of a load");
}

static enum cellar_status run_begin(struct load_job *job, struct cellar_error *error)
{
    struct cellar_msg_bulk_begin_request message;
    struct cellar_msg_bulk_begin_reply reply = {.load = 0};
    CELLAR_TRY(cellar_message_decode(&cellar_msg_bulk_begin_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    const struct svc_load_range range = {message.table, message.start, message.end};
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    CELLAR_TRY(svc_load_begin(job->svc, &limits, &range, job->owner, &reply.load, error));
    CELLAR_ASSERT(reply.load > 0);
    return encode(job, &cellar_msg_bulk_begin_reply_type, &reply, error);
}

static enum cellar_status run_rows(struct load_job *job, struct cellar_error *error)
{
    struct cellar_msg_bulk_rows_request message;
    const struct cellar_msg_empty reply = {0};
    CELLAR_TRY(cellar_message_decode(&cellar_msg_bulk_rows_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    const struct svc_load_rows rows = {message.load, message.number, message.rows, job->owner,
                                       job->join != NULL && net_join_is_mapped(job->join)};
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    CELLAR_ASSERT(rows.owner != NULL);
    CELLAR_TRY(svc_load_rows(job->svc, &limits, &rows, error));
    return encode(job, &cellar_msg_empty_type, &reply, error);
}

static enum cellar_status run_commit(struct load_job *job, struct cellar_error *error)
{
    struct cellar_msg_bulk_end_request message;
    struct svc_load_counts counts = {0};
    CELLAR_TRY(cellar_message_decode(&cellar_msg_bulk_end_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    CELLAR_TRY(svc_load_commit(job->svc, &limits, message.load, &counts, error));
    CELLAR_ASSERT(counts.cell_count >= counts.row_count);
    const struct cellar_msg_bulk_commit_reply reply = {
        .rows = counts.row_count, .cells = counts.cell_count, .bytes = counts.byte_count};
    return encode(job, &cellar_msg_bulk_commit_reply_type, &reply, error);
}

static enum cellar_status run_abort(struct load_job *job, struct cellar_error *error)
{
    struct cellar_msg_bulk_end_request message;
    const struct cellar_msg_empty reply = {0};
    CELLAR_TRY(cellar_message_decode(&cellar_msg_bulk_end_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    CELLAR_ASSERT(limits.deadline_us >= 0);
    CELLAR_TRY(svc_load_abort(job->svc, &limits, message.load, error));
    return encode(job, &cellar_msg_empty_type, &reply, error);
}

/* The session gave the operation to this module, so it is one of these. */
static enum cellar_status run(struct load_job *job, struct cellar_error *error)
{
    static const struct {
        uint16_t operation;
        enum cellar_status (*run)(struct load_job *job, struct cellar_error *error);
    } runs[] = {
        {CELLAR_OP_BULK_BEGIN, run_begin},
        {CELLAR_OP_BULK_ROWS, run_rows},
        {CELLAR_OP_BULK_COMMIT, run_commit},
        {CELLAR_OP_BULK_ABORT, run_abort},
    };
    size_t i = 0;
    while (runs[i].operation != job->call.operation) {
        i++;
        CELLAR_ASSERT(i < CELLAR_ARRAY_COUNT(runs));
    }
    return runs[i].run(job, error);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void free_job(const struct net_context *context, struct load_job *job)
{
    CELLAR_ASSERT(context->request_budget != NULL);
    if (job->charged_bytes > 0) {
        io_budget_give(context->request_budget, job->charged_bytes);
    }
    if (job->join != NULL) {
        net_join_free(job->join);
    }
    cellar_buffer_fini(&job->reply);
    cellar_mem_free(job);
}

/* A job with its body. */
static struct load_job *make_job(const struct net_context *context,
                                 const struct net_request *request, struct cellar_error *error)
{
    size_t copied = request->join != NULL ? 0 : request->body.bytes;
    size_t bytes = sizeof(struct load_job) + copied;
    if (!io_budget_try(context->request_budget, bytes)) {
        (void)cellar_error_set(error, CELLAR_UNAVAILABLE,
                               "The server has no room for the rows of a load");
        error->retry_delay_ms = RETRY_DELAY_MS;
        return NULL;
    }
    struct load_job *job = cellar_mem_zalloc(1, bytes);
    if (job == NULL) {
        io_budget_give(context->request_budget, bytes);
        (void)cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the rows of a load");
        return NULL;
    }
    job->charged_bytes = bytes;
    job->svc = context->svc;
    if (request->join != NULL) {
        job->join = net_request_keep(request);
        job->body = request->body;
        return job;
    }
    if (copied > 0) {
        memcpy(job->body_bytes, request->body.data, copied);
    }
    job->body = cellar_slice_make(job->body_bytes, copied);
    CELLAR_ASSERT(job->body.bytes == request->body.bytes);
    return job;
}

/* On the loop: the answer, and the connection goes on. */
static void answer_job(struct io_task *task)
{
    struct load_job *job = CELLAR_CONTAINER_OF(task, struct load_job, task);
    struct net_call *call = &job->call;
    struct net_session *session = call->session;
    CELLAR_ASSERT(job->error.code != CELLAR_OK || job->reply.bytes > 0);
    if (job->error.code == CELLAR_OK) {
        net_reply_body(session, call->request_id, call->operation, cellar_slice_of(&job->reply));
    } else {
        net_reply_error(session, call->request_id, call->operation, &job->error);
    }
    const struct net_context *context = net_session_context(session);
    if (session->conn != NULL) {
        io_conn_resume(session->conn, IO_PAUSE_ORDER);
    } else {
        net_loads_gone(session); /* this request may have made one the session's since */
    }
    net_call_end(call);
    free_job(context, job);
}

/* On a thread of the pool; the task travels back by itself. */
static void run_job(struct io_task *task)
{
    struct load_job *job = CELLAR_CONTAINER_OF(task, struct load_job, task);
    struct cellar_error error;
    cellar_error_clear(&error);
    enum cellar_status status = run(job, &error);
    if (status == CELLAR_OK) {
        cellar_error_clear(&error);
    }
    CELLAR_ASSERT(status == error.code);
    job->error = error;
    job->task.run = answer_job;
    io_loop_post(net_session_loop(job->call.session), &job->task);
}

/* The connection pauses before the job is handed over: a thread of the pool may be done with it
 * before we return. */
void net_load_run(struct net_session *session, const struct net_request *request)
{
    const struct net_context *context = net_session_context(session);
    struct cellar_error error;
    struct load_job *job = make_job(context, request, &error);
    CELLAR_ASSERT(request->id != 0);
    if (job == NULL) {
        net_reply_error(session, request->id, request->operation, &error);
        return;
    }
    job->owner = session;
    job->arrived_us = session->input_us;
    job->task.run = run_job;
    net_call_begin(session, &job->call, &job_type, request);
    io_conn_pause(session->conn, IO_PAUSE_ORDER);
    if (io_pool_submit(context->pool, &job->task) != CELLAR_OK) {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE,
                               "The server has as many requests waiting as it can hold");
        error.retry_delay_ms = RETRY_DELAY_MS;
        job->error = error;
        answer_job(&job->task);
    }
}

void net_loads_gone(struct net_session *session)
{
    const struct net_context *context = net_session_context(session);
    CELLAR_ASSERT(session->conn == NULL);
    if (context->svc != NULL) {
        svc_loads_release(context->svc, session);
    }
}
