/*
 * The calls that do not wait: each encodes its request, wraps it in a future and submits it.
 *
 * What differs from kind to kind is how an answer becomes an outcome:
 *
 *     PING          one flag
 *     MUTATE_ROW    nothing: the answer itself is the outcome
 *     MUTATE_ROWS   a result for each entry; entries that the server could not take go again, as
 *                   another round of the same call, and end with what they were answered when there
 *                   is no time for one
 *     READ_ROWS     parts: into rows (get), or row by row to the program (scan)
 *
 * A get that fails half way goes on behind its last row; a scan does when a MOVED sends it on, and
 * otherwise may start again until its first row was given to the program. A batch goes in rounds,
 * each to one server. The submitting thread fills the future; then the driver owns its call until
 * the outcome.
 */

#include <string.h>

#include "client/lib/batch.h"
#include "client/lib/call.h"
#include "client/lib/future.h"
#include "client/lib/mutations.h"
#include "client/lib/read.h"
#include "client/lib/rows.h"
#include "common/mem.h"

/* A submission under way. */
struct submission {
    struct cellar_client *client;
    struct cellar_submit *submit; /* may be NULL */
    struct cellar_future *made;   /* NULL without memory */
    struct cellar_error error;
};

/* Begins a submission: makes the future, unless `status` and `error` say that there is no use. */
static enum cellar_status submission_begin(struct submission *it,
                                           const struct cellar_async_kind *kind,
                                           const char *operation, enum cellar_safety safety)
{
    struct cellar_call call = {.timeout_us = it->submit == NULL ? 0 : it->submit->timeout_us};
    int64_t deadline_us;
    CELLAR_ASSERT(it->made == NULL && it->client != NULL);
    CELLAR_TRY(cellar_call_deadline(it->client, &call, &deadline_us, &it->error));
    it->made = cellar_future_new(it->client, kind, operation, it->submit);
    if (it->made == NULL) {
        return cellar_error_set(&it->error, CELLAR_NO_MEMORY, "No memory for a call");
    }
    it->made->call.retry = cellar_call_retry(it->client, safety, deadline_us);
    cellar_error_clear(&it->error);
    return CELLAR_OK;
}

/* Encodes the request. */
static enum cellar_status submission_encode(struct submission *it, enum cellar_operation operation,
                                            const struct cellar_message_type *type,
                                            const void *message, uint64_t *timeout_us)
{
    CELLAR_ASSERT(it->made != NULL);
    it->made->call.operation = (uint16_t)operation;
    if (cellar_async_body_encode(&it->made->call, type, message, timeout_us) != CELLAR_OK) {
        return cellar_error_set(&it->error, CELLAR_NO_MEMORY, "No memory for a request");
    }
    return CELLAR_OK;
}

/* Submits, or tells why not: the end of every public function. */
static enum cellar_code submission_end(struct submission *it, const char *operation,
                                       struct cellar_future **future)
{
    struct cellar_call call = {.timeout_us = 0};
    struct cellar_async_admission admission = {.waits_for_room = it->submit != NULL &&
                                                                 it->submit->waits_for_room};
    enum cellar_status status = it->error.code;
    if (status == CELLAR_OK && future == NULL && it->made->done == NULL) {
        status = cellar_error_set(&it->error, CELLAR_INVALID_ARGUMENT,
                                  "A submitted call needs a callback or a place for its future");
    }
    if (status == CELLAR_OK) {
        status = cellar_async_get(it->client, &it->made->async, &it->error);
    }
    if (status == CELLAR_OK) {
        /* From its submission on the call has its share, which it may let go of at any moment. */
        cellar_future_share(it->made);
        status = cellar_async_submit(it->made->async, &it->made->call, admission, &it->error);
        if (status != CELLAR_OK) {
            cellar_future_free(it->made);
        }
    }
    CELLAR_ASSERT(status == it->error.code);
    if (status == CELLAR_OK && future != NULL) {
        *future = it->made;
    } else {
        cellar_future_free(it->made);
    }
    enum cellar_code code = cellar_client_finish(it->client, operation, &call, &it->error);
    if (it->submit != NULL) {
        it->submit->failure = call.failure;
    }
    return code;
}

/* ---- ping ---------------------------------------------------------------------------------- */

static enum cellar_status ping_take(struct cellar_async_call *call,
                                    const struct cellar_event *event, struct cellar_error *error)
{
    struct cellar_msg_ping_reply reply;
    CELLAR_ASSERT(event->kind == CELLAR_EVENT_REPLY);
    if (cellar_message_decode(&cellar_msg_ping_reply_type, event->body, &reply, CELLAR_UNKNOWN_SKIP,
                              error) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "The server's answer cannot be read");
    }
    cellar_future_of(call)->is_ready = reply.is_ready;
    return CELLAR_OK;
}

static const struct cellar_async_kind ping_kind = {.take = ping_take,
                                                   .finish = cellar_future_finish};

enum cellar_code cellar_ping_submit(struct cellar_client *client, struct cellar_submit *submit,
                                    struct cellar_future **future)
{
    struct submission it = {.client = client, .submit = submit};
    struct cellar_msg_empty message = {0};
    CELLAR_ASSERT(client != NULL);
    if (submission_begin(&it, &ping_kind, "PING", CELLAR_SAFETY_READ) == CELLAR_OK) {
        (void)submission_encode(&it, CELLAR_OP_PING, &cellar_msg_empty_type, &message,
                                &message.timeout_us);
    }
    return submission_end(&it, "PING", future);
}

/* ---- one row ------------------------------------------------------------------------------- */

/* An empty reply says all there is to say. */
static enum cellar_status mutate_row_take(struct cellar_async_call *call,
                                          const struct cellar_event *event,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(event->kind == CELLAR_EVENT_REPLY && call->operation == CELLAR_OP_MUTATE_ROW);
    cellar_error_clear(error);
    return CELLAR_OK;
}

/* Encodes the request anew without what the server refused of its token. The request is decoded
 * from its own bytes: nothing else of it was kept. The old body is freed last, since the message's
 * slices lie in it. */
static enum cellar_status mutate_row_relax(struct cellar_async_call *call, enum cellar_status code,
                                           bool *is_relaxed)
{
    struct cellar_msg_mutate_row_request message;
    struct cellar_token_fields fields = {&message.token, &message.token_start_us,
                                         &message.token_life_us};
    struct cellar_buffer old = call->body;
    *is_relaxed = false;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_mutate_row_request_type, cellar_slice_of(&old),
                                     &message, CELLAR_UNKNOWN_REFUSE, NULL));
    CELLAR_ASSERT(message.mutations.bytes > 0);
    if (message.token.bytes == 0 ||
        !cellar_token_relax(cellar_future_of(call)->client, &fields, &call->retry, code)) {
        return CELLAR_OK;
    }
    message.present = 0;
    call->body = (struct cellar_buffer){0};
    enum cellar_status status = cellar_async_body_encode(call, &cellar_msg_mutate_row_request_type,
                                                         &message, &message.timeout_us);
    cellar_buffer_fini(&old);
    *is_relaxed = status == CELLAR_OK;
    return status;
}

static const struct cellar_async_kind mutate_row_kind = {
    .take = mutate_row_take, .relax = mutate_row_relax, .finish = cellar_future_finish};

/* Encodes MUTATE_ROW, with a token where it needs one. The mutations are copied into the request;
 * the program may change or free its list as soon as the call returns. */
static enum cellar_status mutate_row_encode(struct submission *it, const char *table,
                                            struct cellar_view row,
                                            const struct cellar_mutations *list)
{
    char name[CELLAR_TABLE_NAME_BYTES_MAX];
    uint8_t token[CELLAR_TOKEN_BYTES];
    struct cellar_buffer mutations = {0};
    struct cellar_token_fields fields = {0};
    struct cellar_retry *retry = &it->made->call.retry;
    struct cellar_msg_mutate_row_request message = {.row = cellar_view_slice(row)};
    CELLAR_TRY(cellar_client_table_name(it->client, table, name, &it->error));
    enum cellar_status status = cellar_mutations_encode(list, &mutations);
    if (status == CELLAR_OK) {
        status = cellar_future_name(it->made, cellar_slice_text(name), &message.row);
    }
    if (status != CELLAR_OK) {
        (void)cellar_error_set(&it->error, status, "No memory for a mutation list");
    } else {
        message.table = cellar_slice_text(name);
        message.mutations = cellar_slice_of(&mutations);
        retry->safety = cellar_mutations_protect(list, it->client, &message, token, &fields);
        cellar_token_begin(it->client, &fields, retry->deadline_us);
        status = submission_encode(it, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                                   &message, &message.timeout_us);
    }
    CELLAR_ASSERT(status == it->error.code);
    cellar_buffer_fini(&mutations);
    return status;
}

/* Whatever went wrong before the call was handed over is told by submission_end(), so that there is
 * one place that frees what was made. */
enum cellar_code cellar_mutate_row_submit(struct cellar_client *client, const char *table,
                                          struct cellar_view row,
                                          const struct cellar_mutations *list,
                                          struct cellar_submit *submit,
                                          struct cellar_future **future)
{
    struct submission it = {.client = client, .submit = submit};
    CELLAR_ASSERT(client != NULL && table != NULL);
    if (cellar_mutations_error(list, &it.error) == CELLAR_OK &&
        submission_begin(&it, &mutate_row_kind, "MUTATE_ROW", CELLAR_SAFETY_WRITE) == CELLAR_OK) {
        (void)mutate_row_encode(&it, table, row, list);
    }
    return submission_end(&it, "MUTATE_ROW", future);
}

/* ---- many rows ----------------------------------------------------------------------------- */

/* Chooses the entries of the next round, and its server. */
static void mutate_rows_pick(struct cellar_future *future)
{
    CELLAR_ASSERT(future->batch != NULL && future->course.places != NULL);
    cellar_batch_pick(future->batch, &future->course);
    future->course.is_moved = false;
    future->call.row = future->course.row;
    future->call.has_row = true;
}

/* Encodes the entries that wait: the first round has those of the first server, later ones the
 * rest. */
static enum cellar_status mutate_rows_encode(struct cellar_future *future)
{
    struct cellar_buffer entries = {0};
    struct cellar_msg_mutate_rows_request message = {.table = future->call.table};
    struct cellar_token_fields fields = cellar_batch_times(future->batch, &message);
    CELLAR_ASSERT(future->batch != NULL);
    enum cellar_status status = cellar_batch_round(future->batch, &entries);
    if (status == CELLAR_OK) {
        future->call.retry.safety = cellar_batch_safety(future->batch);
        cellar_token_begin(future->client, &fields, future->call.retry.deadline_us);
        message.entries = cellar_slice_of(&entries);
        status = cellar_async_body_encode(&future->call, &cellar_msg_mutate_rows_request_type,
                                          &message, &message.timeout_us);
    }
    cellar_buffer_fini(&entries);
    return status;
}

/* An answer after a lost attempt: entries that it calls failed may have been applied by that one,
 * which cellar_batch_doubt() notes. With entries left to send again the call fails with their code,
 * and so comes to its next round by the way of all retries. */
static enum cellar_status mutate_rows_take(struct cellar_async_call *call,
                                           const struct cellar_event *event,
                                           struct cellar_error *error)
{
    struct cellar_batch *batch = cellar_future_of(call)->batch;
    CELLAR_ASSERT(event->kind == CELLAR_EVENT_REPLY);
    if (call->retry.sent_count > 0) {
        cellar_batch_doubt(batch);
    }
    CELLAR_TRY(cellar_batch_take(batch, event->body, error));
    cellar_error_clear(error);
    if (cellar_batch_is_answered(batch)) {
        return cellar_batch_again(batch, error) == 0 ? CELLAR_OK : error->code;
    }
    /* The entries of another server are next; what is in doubt of these has been noted. */
    cellar_retry_renew(&call->retry);
    mutate_rows_pick(cellar_future_of(call));
    if (mutate_rows_encode(cellar_future_of(call)) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a batch");
    }
    call->goes_on = true;
    return CELLAR_OK;
}

/* A round that is sent on is chosen anew: what is in doubt of this one is noted before. */
static enum cellar_status mutate_rows_moved(struct cellar_async_call *call,
                                            struct cellar_slice body)
{
    struct cellar_future *future = cellar_future_of(call);
    CELLAR_ASSERT(body.bytes > 0);
    if (call->retry.sent_count > 0) {
        cellar_batch_doubt(future->batch);
        call->retry.sent_count = 0;
    }
    future->course.is_moved = true;
    return CELLAR_OK;
}

/* The next round is another request, with fewer entries. */
static enum cellar_status mutate_rows_restart(struct cellar_async_call *call, bool *is_over)
{
    struct cellar_future *future = cellar_future_of(call);
    bool is_answered = cellar_batch_is_answered(future->batch);
    CELLAR_ASSERT(call->operation == CELLAR_OP_MUTATE_ROWS && !*is_over);
    if (is_answered) {
        cellar_batch_restart(future->batch);
    }
    /* A round whose answer was lost is repeated as it was. */
    if (is_answered || call->attempt == CELLAR_ATTEMPT_MOVED) {
        mutate_rows_pick(future);
    }
    return mutate_rows_encode(future);
}

/* Encodes the round anew when the server refused the start of its tokens. */
static enum cellar_status mutate_rows_relax(struct cellar_async_call *call, enum cellar_status code,
                                            bool *is_relaxed)
{
    struct cellar_msg_mutate_rows_request message;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_mutate_rows_request_type,
                                     cellar_slice_of(&call->body), &message, CELLAR_UNKNOWN_REFUSE,
                                     NULL));
    struct cellar_token_fields fields = cellar_batch_times(cellar_future_of(call)->batch, &message);
    CELLAR_ASSERT(message.entries.bytes > 0);
    *is_relaxed = false;
    if (!cellar_token_relax(cellar_future_of(call)->client, &fields, &call->retry, code)) {
        return CELLAR_OK;
    }
    CELLAR_TRY(mutate_rows_encode(cellar_future_of(call)));
    *is_relaxed = true;
    return CELLAR_OK;
}

/* A batch of which every entry was answered is no failure, whatever the answers were. */
static void mutate_rows_settle(struct cellar_future *future)
{
    CELLAR_ASSERT(future->batch != NULL);
    if (cellar_batch_is_answered(future->batch)) {
        cellar_error_clear(&future->call.error);
    } else if (future->call.retry.sent_count > 0) {
        cellar_batch_doubt(future->batch);
    }
    cellar_batch_end(future->batch, &future->call.error);
}

static const struct cellar_async_kind mutate_rows_kind = {.take = mutate_rows_take,
                                                          .relax = mutate_rows_relax,
                                                          .moved = mutate_rows_moved,
                                                          .restart = mutate_rows_restart,
                                                          .finish = cellar_future_finish};

/* Fills the future of a batch. The batch is borrowed until the future has its outcome. */
static enum cellar_status mutate_rows_fill(struct submission *it, const char *table,
                                           struct cellar_batch *batch)
{
    char name[CELLAR_TABLE_NAME_BYTES_MAX];
    struct cellar_future *future = it->made;
    CELLAR_ASSERT(future != NULL);
    CELLAR_TRY(cellar_client_table_name(it->client, table, name, &it->error));
    future->call.operation = CELLAR_OP_MUTATE_ROWS;
    future->batch = batch;
    future->settle = mutate_rows_settle;
    cellar_batch_protect(batch, it->client);
    enum cellar_status status = cellar_future_name(future, cellar_slice_text(name), NULL);
    if (status == CELLAR_OK) {
        future->course = (struct cellar_batch_course){.places = &it->client->places,
                                                      .table = future->call.table};
        mutate_rows_pick(future);
        status = mutate_rows_encode(future);
    }
    if (status != CELLAR_OK) {
        return cellar_error_set(&it->error, CELLAR_NO_MEMORY, "No memory for a batch");
    }
    return CELLAR_OK;
}

enum cellar_code cellar_mutate_rows_submit(struct cellar_client *client, const char *table,
                                           struct cellar_batch *batch, struct cellar_submit *submit,
                                           struct cellar_future **future)
{
    struct submission it = {.client = client, .submit = submit};
    CELLAR_ASSERT(client != NULL && table != NULL);
    if (cellar_batch_begin(batch, &it.error) == CELLAR_OK &&
        submission_begin(&it, &mutate_rows_kind, "MUTATE_ROWS", cellar_batch_safety(batch)) ==
            CELLAR_OK) {
        (void)mutate_rows_fill(&it, table, batch);
    }
    return submission_end(&it, "MUTATE_ROWS", future);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Gives one row to whom it concerns. Rows that were collected can be thrown away and read again;
 * rows that a program has seen cannot, so there a scan that breaks off ends with a failure. */
static enum cellar_status row_give(struct cellar_future *future, const struct cellar_row *row,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(!future->is_enough);
    if (cellar_resume_note(&future->given, cellar_view_slice(row->key)) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a read");
    }
    cellar_retry_renew(&future->call.retry);
    if (future->taker.take == NULL) {
        return cellar_rows_add(future->rows, row, error);
    }
    future->call.is_final = true; /* the program has seen a row: no second start */
    if (!future->taker.take(future->taker.context, row)) {
        future->is_enough = true;
        return cellar_error_set(error, CELLAR_CANCELLED, "The program wants no more rows");
    }
    return CELLAR_OK;
}

/* A part holds whole rows and pieces of large ones; the reader joins the pieces. */
static enum cellar_status read_take(struct cellar_async_call *call,
                                    const struct cellar_event *event, struct cellar_error *error)
{
    struct cellar_future *future = cellar_future_of(call);
    struct cellar_row row;
    bool has_row = true;
    CELLAR_ASSERT(event->kind != CELLAR_EVENT_ERROR);
    CELLAR_TRY(cellar_row_reader_part(&future->reader, event->body,
                                      event->kind == CELLAR_EVENT_REPLY, error));
    for (;;) {
        CELLAR_TRY(cellar_row_reader_next(&future->reader, &has_row, &row, error));
        if (!has_row) {
            return CELLAR_OK;
        }
        CELLAR_TRY(row_give(future, &row, error));
    }
}

/* The next attempt finds its server by the start of the range that was named. */
static enum cellar_status read_moved(struct cellar_async_call *call, struct cellar_slice body)
{
    struct cellar_msg_error message;
    CELLAR_ASSERT(call->operation == CELLAR_OP_READ_ROWS);
    CELLAR_TRY(
        cellar_message_decode(&cellar_msg_error_type, body, &message, CELLAR_UNKNOWN_SKIP, NULL));
    return cellar_future_rename(cellar_future_of(call), message.start);
}

/* Asks for what is behind the rows that came. */
static enum cellar_status read_restart(struct cellar_async_call *call, bool *is_over)
{
    struct cellar_future *future = cellar_future_of(call);
    struct cellar_error error;
    CELLAR_ASSERT(future->rows != NULL || future->taker.take != NULL);
    cellar_row_reader_fini(&future->reader);
    call->is_final = false;
    if (future->given.count == 0) {
        return CELLAR_OK;
    }
    return cellar_resume_body(&future->given, &call->body, call->has_time_limit ? UINT64_MAX : 0,
                              is_over, &error);
}

/* A scan that its program ended is no failure. */
static void read_settle(struct cellar_future *future)
{
    CELLAR_ASSERT(future->taker.take != NULL || !future->is_enough);
    cellar_row_reader_fini(&future->reader);
    if (future->is_enough) {
        cellar_error_clear(&future->call.error);
    }
}

static const struct cellar_async_kind read_kind = {.take = read_take,
                                                   .moved = read_moved,
                                                   .restart = read_restart,
                                                   .finish = cellar_future_finish};

/* Encodes READ_ROWS; a scan without a time limit of its own is bounded from part to part. A scan
 * for a program that takes rows at its own pace has no time limit as a whole; silence between two
 * parts has. UINT64_MAX stands for a time that is filled in with each attempt. */
static enum cellar_status read_encode(struct submission *it, const char *table,
                                      const struct cellar_read *read)
{
    char name[CELLAR_TABLE_NAME_BYTES_MAX];
    struct cellar_async_call *call = &it->made->call;
    struct cellar_slice row;
    struct cellar_read_terms terms = {.credit_bytes = CELLAR_CORE_CREDIT_BYTES};
    CELLAR_TRY(cellar_client_table_name(it->client, table, name, &it->error));
    terms.table = cellar_slice_text(name);
    call->operation = CELLAR_OP_READ_ROWS;
    if (it->made->taker.take != NULL && (it->submit == NULL || it->submit->timeout_us == 0)) {
        call->idle_us = it->client->timeout_us;
    } else {
        call->has_time_limit = true;
        terms.timeout_us = UINT64_MAX;
    }
    bool has_row = cellar_read_place(read, &row);
    if (cellar_read_encode(read, &terms, &call->body) != CELLAR_OK ||
        cellar_future_name(it->made, terms.table, has_row ? &row : NULL) != CELLAR_OK) {
        return cellar_error_set(&it->error, CELLAR_NO_MEMORY, "No memory for a read");
    }
    CELLAR_ASSERT(call->body.bytes > 0);
    return CELLAR_OK;
}

enum cellar_code cellar_get_submit(struct cellar_client *client, const char *table,
                                   const struct cellar_read *read, struct cellar_submit *submit,
                                   struct cellar_future **future)
{
    struct submission it = {.client = client, .submit = submit};
    CELLAR_ASSERT(client != NULL && table != NULL);
    if (cellar_read_error(read, &it.error) == CELLAR_OK &&
        submission_begin(&it, &read_kind, "READ_ROWS", CELLAR_SAFETY_READ) == CELLAR_OK) {
        it.made->settle = read_settle;
        it.made->rows = cellar_rows_new();
        if (it.made->rows == NULL) {
            (void)cellar_error_set(&it.error, CELLAR_NO_MEMORY, "No memory for rows");
        } else {
            (void)read_encode(&it, table, read);
        }
    }
    return submission_end(&it, "READ_ROWS", future);
}

/* The read is built and gone within the call: its request is encoded by then. */
enum cellar_code cellar_get_row_submit(struct cellar_client *client, const char *table,
                                       struct cellar_view key, struct cellar_submit *submit,
                                       struct cellar_future **future)
{
    struct cellar_read *read = cellar_read_new();
    CELLAR_ASSERT(client != NULL && table != NULL);
    cellar_read_row(read, key);
    enum cellar_code code = cellar_get_submit(client, table, read, submit, future);
    cellar_read_free(read);
    return code;
}

enum cellar_code cellar_scan_submit(struct cellar_client *client, const char *table,
                                    const struct cellar_read *read,
                                    const struct cellar_row_taker *taker,
                                    struct cellar_submit *submit, struct cellar_future **future)
{
    struct submission it = {.client = client, .submit = submit};
    CELLAR_ASSERT(client != NULL && table != NULL && taker != NULL && taker->take != NULL);
    if (cellar_read_error(read, &it.error) == CELLAR_OK &&
        submission_begin(&it, &read_kind, "READ_ROWS", CELLAR_SAFETY_READ) == CELLAR_OK) {
        it.made->settle = read_settle;
        it.made->taker = *taker;
        (void)read_encode(&it, table, read);
    }
    return submission_end(&it, "READ_ROWS", future);
}
