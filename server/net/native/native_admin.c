/*
 * Table administration.
 *
 * These operations wait for the disk, so they run on the pool: the request's body is copied into a
 * job, counted against the request budget; a thread of the pool decodes it, calls the service and
 * encodes the reply or the error into the job; the job is posted back to the loop, which answers
 * and frees it. A job cannot be stopped: CANCEL and the end of the connection only mean that nobody
 * reads the answer.
 *
 * While a job is on the pool its body, arena, reply and error are the pool thread's; the call is
 * the loop's throughout. PROTOCOL.md, section 3.
 */
#include "server/net/native/native_admin.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "server/net/native/scrub_wire.h"
#include "server/net/native/table_wire.h"

#define RETRY_DELAY_MS 100u

struct admin_job;

/* An operation: decodes job->body, calls the service, encodes into job->reply. */
typedef enum cellar_status job_fn(struct admin_job *job, struct cellar_error *error);

struct admin_job {
    struct net_call call;
    struct io_task task;
    struct svc *svc;
    job_fn *run;
    struct cellar_arena arena;
    struct cellar_buffer reply;
    struct cellar_error error;
    int64_t arrived_us;
    uint64_t charged_bytes;
    struct cellar_slice body; /* behind the structure */
    uint8_t body_bytes[];
};

static const struct net_call_type job_type = {.cancel = NULL};

static enum cellar_status refuse_memory(struct cellar_error *error)
{
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an administrative request");
}

/* ---- operations, on a thread of the pool ----------------------------------------------------- */

/* The granularity is checked here once more, as a number that fits no enum must not become one. */
static enum cellar_status run_create(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_create_table_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_create_table_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    if (message.granularity > CELLAR_GRANULARITY_MICROS) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'granularity' : 1 (milliseconds) or 2 "
                                "(microseconds), but got %" PRIu64,
                                message.granularity);
    }
    struct svc_table table = {.name = message.table,
                              .granularity = message.granularity == CELLAR_GRANULARITY_MICROS
                                                 ? CELLAR_GRANULARITY_MICROS
                                                 : CELLAR_GRANULARITY_MILLIS};
    CELLAR_TRY(net_families_decode(message.families, &job->arena, &table, error));
    CELLAR_TRY(net_split_keys_decode(message.split_keys, &job->arena, &table, error));
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    struct svc_table made = {.name = {0}};
    CELLAR_TRY(svc_create_table(job->svc, &limits, &table, &job->arena, &made, error));
    CELLAR_ASSERT(made.tablet_count >= 1);
    return net_table_encode(&made, &job->reply, error);
}

static enum cellar_status run_describe(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_table_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_table_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    struct svc_table table = {.name = {0}};
    CELLAR_TRY(svc_describe_table(job->svc, &limits, message.table, &job->arena, &table, error));
    CELLAR_ASSERT(table.tablet_count >= 1);
    return net_table_encode(&table, &job->reply, error);
}

/* Answers with the table as it is afterwards. */
static enum cellar_status run_modify(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_modify_families_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_modify_families_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    struct svc_family_changes changes = {.table = message.table};
    CELLAR_TRY(net_changes_decode(message.changes, &job->arena, &changes, error));
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    struct svc_table made = {.name = {0}};
    CELLAR_TRY(svc_modify_families(job->svc, &limits, &changes, &job->arena, &made, error));
    CELLAR_ASSERT(made.tablet_count >= 1);
    return net_table_encode(&made, &job->reply, error);
}

/* The reply of what has nothing to say but that it was done. */
static enum cellar_status encode_empty(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_empty reply = {0};
    CELLAR_ASSERT(job->reply.bytes == 0);
    if (cellar_message_encode(&cellar_msg_empty_type, &reply, &job->reply) != CELLAR_OK) {
        return refuse_memory(error);
    }
    return CELLAR_OK;
}

/* That there is exactly one target is the service's to check. */
static enum cellar_status run_drop_rows(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_drop_rows_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_drop_rows_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    const struct svc_rows_drop drop = {message.table, message.prefix, message.all};
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    CELLAR_ASSERT(limits.deadline_us >= 0);
    CELLAR_TRY(svc_drop_rows(job->svc, &limits, &drop, error));
    return encode_empty(job, error);
}

/* Waits until reads that are under way have let go (tablet_db_drop()), which is one reason why this
 * runs on the pool. */
static enum cellar_status run_drop(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_table_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_table_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    CELLAR_ASSERT(limits.deadline_us >= 0);
    CELLAR_TRY(svc_drop_table(job->svc, &limits, message.table, error));
    return encode_empty(job, error);
}

/* The token is absent on the last page. */
static enum cellar_status encode_names(struct admin_job *job, const struct svc_table_names *names,
                                       struct cellar_error *error)
{
    struct cellar_buffer array = {0};
    CELLAR_ASSERT(names->count <= UINT32_MAX);
    enum cellar_status status = cellar_wire_put_array(&array, (uint32_t)names->count);
    for (size_t i = 0; i < names->count && status == CELLAR_OK; i++) {
        status = cellar_wire_put_text(&array, names->names[i]);
    }
    if (status == CELLAR_OK) {
        struct cellar_msg_list_tables_reply reply = {.names = cellar_slice_of(&array),
                                                     .next_page_token = names->next_page_token};
        status = cellar_message_encode(&cellar_msg_list_tables_reply_type, &reply, &job->reply);
    }
    cellar_buffer_fini(&array);
    return status == CELLAR_OK ? CELLAR_OK : refuse_memory(error);
}

/* A page at a time; the next one is another request, so a long list holds no thread. */
static enum cellar_status run_list(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_list_tables_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_list_tables_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    struct svc_table_names names = {.count = 0};
    CELLAR_ASSERT(limits.deadline_us >= 0);
    const struct svc_page page = {message.instance, message.page_size, message.page_token};
    CELLAR_TRY(svc_list_tables(job->svc, &limits, &page, &job->arena, &names, error));
    return encode_names(job, &names, error);
}

/* Does not wait for the scrub. A number that fits no enum stays one that the service refuses. */
static enum cellar_status run_scrub(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_pass_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_pass_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    const struct svc_scrub_request scrub = {
        .action = (enum svc_scrub_action)CELLAR_MIN(message.action, (uint64_t)SVC_SCRUB_CANCEL + 1),
        .table = message.table,
        .bytes_per_second = message.bytes_per_second,
    };
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    struct svc_scrub_status status = {.state = SVC_SCRUB_NONE};
    CELLAR_ASSERT(limits.deadline_us >= 0);
    CELLAR_TRY(svc_scrub(job->svc, &limits, &scrub, &job->arena, &status, error));
    return net_scrub_encode(&status, &job->reply, error);
}

static enum cellar_status compact_encode(const struct svc_compact_status *status,
                                         struct cellar_buffer *to, struct cellar_error *error)
{
    const struct cellar_msg_compact_reply reply = {
        .state = status->state,
        .pass = status->pass,
        .background = status->is_background,
        .table = status->table,
        .items = status->item_count,
        .items_total = status->item_count_total,
        .bytes = status->byte_count,
        .started_us = (uint64_t)CELLAR_MAX(status->started_us, INT64_C(0)),
        .ended_us = (uint64_t)CELLAR_MAX(status->ended_us, INT64_C(0)),
        .tablets = status->tablet_count,
        .tablets_total = status->tablet_count_total,
        .abandoned = status->abandoned_count,
        .why = status->why,
    };
    enum cellar_status result = cellar_message_encode(&cellar_msg_compact_reply_type, &reply, to);
    CELLAR_ASSERT(result == CELLAR_OK || result == CELLAR_NO_MEMORY);
    return result == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, result, "No memory for an administrative request");
}

/* Does not wait for the compaction; numbers as in run_scrub(). */
static enum cellar_status run_compact(struct admin_job *job, struct cellar_error *error)
{
    struct cellar_msg_pass_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_pass_request_type, job->body, &message,
                                     CELLAR_UNKNOWN_REFUSE, error));
    const struct svc_compact_request compact = {
        .action =
            (enum svc_compact_action)CELLAR_MIN(message.action, (uint64_t)SVC_COMPACT_CANCEL + 1),
        .table = message.table,
        .bytes_per_second = message.bytes_per_second,
    };
    struct svc_request limits = net_request_limits(job->arrived_us, message.timeout_us);
    struct svc_compact_status status = {.state = SVC_COMPACT_NONE};
    CELLAR_ASSERT(limits.deadline_us >= 0);
    CELLAR_TRY(svc_compact(job->svc, &limits, &compact, &job->arena, &status, error));
    return compact_encode(&status, &job->reply, error);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

/* The session gave the operation to this module, so it is one of these. */
static job_fn *find_job(uint16_t operation)
{
    static const struct {
        uint16_t operation;
        job_fn *run;
    } jobs[] = {
        {CELLAR_OP_CREATE_TABLE, run_create},
        {CELLAR_OP_DESCRIBE_TABLE, run_describe},
        {CELLAR_OP_LIST_TABLES, run_list},
        {CELLAR_OP_DROP_TABLE, run_drop},
        {CELLAR_OP_MODIFY_FAMILIES, run_modify},
        {CELLAR_OP_DROP_ROWS, run_drop_rows},
        {CELLAR_OP_SCRUB, run_scrub},
        {CELLAR_OP_COMPACT, run_compact},
    };
    job_fn *found = NULL;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(jobs); i++) {
        if (jobs[i].operation == operation) {
            found = jobs[i].run;
        }
    }
    CELLAR_ASSERT(found != NULL);
    return found;
}

/* The budget gets back what the job was charged, wherever it ends. */
static void free_job(const struct net_context *context, struct admin_job *job)
{
    CELLAR_ASSERT(job->charged_bytes > 0);
    io_budget_give(context->request_budget, job->charged_bytes);
    cellar_buffer_fini(&job->reply);
    cellar_arena_fini(&job->arena);
    cellar_mem_free(job);
}

/* Copies the request into a new job. The body is copied since the input moves on while the job
 * waits for a thread. Its time is counted from here. */
static enum cellar_status make_job(const struct net_context *context,
                                   const struct net_request *request, struct admin_job **job,
                                   struct cellar_error *error)
{
    size_t bytes = sizeof **job + request->body.bytes;
    CELLAR_ASSERT(bytes > request->body.bytes);
    if (!io_budget_try(context->request_budget, bytes)) {
        (void)cellar_error_set(error, CELLAR_UNAVAILABLE,
                               "The server has no room for an administrative request of %zu bytes",
                               request->body.bytes);
        error->retry_delay_ms = RETRY_DELAY_MS;
        return CELLAR_UNAVAILABLE;
    }
    struct admin_job *made = cellar_mem_zalloc(1, bytes);
    if (made == NULL) {
        io_budget_give(context->request_budget, bytes);
        return refuse_memory(error);
    }
    if (request->body.bytes > 0) {
        memcpy(made->body_bytes, request->body.data, request->body.bytes);
    }
    made->charged_bytes = bytes;
    made->body = cellar_slice_make(made->body_bytes, request->body.bytes);
    made->svc = context->svc;
    made->run = find_job(request->operation);
    made->arrived_us = cellar_clock_monotonic_us();
    *job = made;
    return CELLAR_OK;
}

/* On the loop: the answer. */
static void answer_job(struct io_task *task)
{
    struct admin_job *job = CELLAR_CONTAINER_OF(task, struct admin_job, task);
    struct net_call *call = &job->call;
    CELLAR_ASSERT(job->error.code != CELLAR_OK || job->reply.bytes > 0);
    if (job->error.code == CELLAR_OK) {
        net_reply_body(call->session, call->request_id, call->operation,
                       cellar_slice_of(&job->reply));
    } else {
        net_reply_error(call->session, call->request_id, call->operation, &job->error);
    }
    const struct net_context *context = net_session_context(call->session);
    net_call_end(call);
    free_job(context, job);
}

/* On a thread of the pool. The same task travels twice, to the pool and back, so there is no memory
 * to find for the way back. */
static void run_job(struct io_task *task)
{
    struct admin_job *job = CELLAR_CONTAINER_OF(task, struct admin_job, task);
    struct cellar_error error;
    cellar_error_clear(&error);
    enum cellar_status status = job->run(job, &error);
    CELLAR_ASSERT(status == error.code || status == CELLAR_OK);
    if (status == CELLAR_OK) {
        cellar_error_clear(&error);
    }
    job->error = error;
    job->task.run = answer_job;
    io_loop_post(net_session_loop(job->call.session), &job->task);
}

/* The call begins before the job is handed over: a thread of the pool may be done with it before we
 * return. */
void net_admin_run(struct net_session *session, const struct net_request *request)
{
    const struct net_context *context = net_session_context(session);
    struct admin_job *job = NULL;
    struct cellar_error error;
    if (make_job(context, request, &job, &error) != CELLAR_OK) {
        net_reply_error(session, request->id, request->operation, &error);
        return;
    }
    CELLAR_ASSERT(job != NULL);
    job->task.run = run_job;
    net_call_begin(session, &job->call, &job_type, request);
    if (io_pool_submit(context->pool, &job->task) != CELLAR_OK) {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE,
                               "The server has as many administrative requests as it can hold");
        error.retry_delay_ms = RETRY_DELAY_MS;
        net_reply_error(session, request->id, request->operation, &error);
        net_call_end(&job->call);
        free_job(context, job);
    }
}
