/*
 * Batches: rows are encoded one behind the other as they are added; an entry remembers where its
 * bytes are and, once sent, how it ended. The rounds in which a batch is sent are batch_send.c's;
 * here is the call that blocks on them.
 *
 * Texts of failures are kept in one buffer; when there is no memory for one, the code alone
 * remains. A batch belongs to one thread at a time.
 */

#include "client/lib/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/mutations.h"
#include "common/mem.h"

#define TOKEN_ENCODED_BYTES_MAX (CELLAR_TOKEN_BYTES + 2u)

struct cellar_batch *cellar_batch_new(void)
{
    struct cellar_batch *batch = cellar_mem_zalloc(1, sizeof *batch);
    CELLAR_ASSERT(batch == NULL || batch->error.code == CELLAR_OK);
    return batch;
}

void cellar_batch_free(struct cellar_batch *batch)
{
    if (batch != NULL) {
        CELLAR_ASSERT(batch->count <= batch->capacity);
        cellar_buffer_fini(&batch->body);
        cellar_buffer_fini(&batch->texts);
        cellar_mem_free(batch->entries);
        cellar_mem_free(batch);
    }
}

/* Memory stays: a program that sends batch after batch soon allocates no more. */
void cellar_batch_clear(struct cellar_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    CELLAR_ASSERT(batch->count <= batch->capacity);
    cellar_buffer_clear(&batch->body);
    cellar_buffer_clear(&batch->texts);
    batch->count = 0;
    batch->mutation_count = 0;
    batch->is_sent = false;
    cellar_error_clear(&batch->error);
}

/* Makes room for one more entry. */
static enum cellar_status entries_reserve(struct cellar_batch *batch)
{
    CELLAR_ASSERT(batch->count <= batch->capacity);
    if (batch->count < batch->capacity) {
        return CELLAR_OK;
    }
    uint32_t capacity = CELLAR_MAX(2 * batch->capacity, 16u);
    struct cellar_batch_entry *entries =
        cellar_mem_realloc(batch->entries, capacity * sizeof *batch->entries);
    if (entries == NULL) {
        return CELLAR_NO_MEMORY;
    }
    batch->entries = entries;
    batch->capacity = capacity;
    return CELLAR_OK;
}

/* Checks that one more row fits into a request. Room for a token is kept for each entry that is
 * there, since whether they go along is known only when the batch is sent. */
static enum cellar_status add_check(const struct cellar_batch *batch, struct cellar_view row,
                                    const struct cellar_mutations *list, struct cellar_error *error)
{
    CELLAR_TRY(cellar_mutations_error(list, error));
    uint64_t mutation_count = (uint64_t)batch->mutation_count + list->count;
    uint64_t bytes = (uint64_t)batch->body.bytes + row.bytes + list->body.bytes +
                     (uint64_t)batch->count * TOKEN_ENCODED_BYTES_MAX;
    CELLAR_ASSERT(batch->mutation_count <= CELLAR_MUTATION_COUNT_MAX);
    if (mutation_count > CELLAR_MUTATION_COUNT_MAX || batch->count == CELLAR_MUTATION_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Too many mutations: %" PRIu64 " provided; limit %u",
                                mutation_count, CELLAR_MUTATION_COUNT_MAX);
    }
    if (row.bytes > CELLAR_REQUEST_BYTES_MAX || bytes > CELLAR_REQUEST_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A batch must have at most %u bytes, but got %" PRIu64,
                                CELLAR_REQUEST_BYTES_MAX, bytes);
    }
    return CELLAR_OK;
}

/* Encodes one entry behind the others. */
static enum cellar_status entry_encode(struct cellar_buffer *body, struct cellar_view row,
                                       const struct cellar_mutations *list)
{
    CELLAR_ASSERT(list->error.code == CELLAR_OK);
    CELLAR_TRY(cellar_wire_put_array(body, 2));
    CELLAR_TRY(cellar_wire_put_bytes(body, cellar_view_slice(row)));
    return cellar_mutations_encode(list, body);
}

/* A failure is kept and told when the batch is sent, so that a loop of adds needs no look at each.
 */
void cellar_batch_add(struct cellar_batch *batch, struct cellar_view row,
                      const struct cellar_mutations *list)
{
    if (batch == NULL || batch->error.code != CELLAR_OK) {
        return;
    }
    CELLAR_ASSERT(!batch->is_sent);
    size_t start = batch->body.bytes;
    if (add_check(batch, row, list, &batch->error) != CELLAR_OK) {
        return;
    }
    if (entries_reserve(batch) != CELLAR_OK || entry_encode(&batch->body, row, list) != CELLAR_OK) {
        (void)cellar_error_set(&batch->error, CELLAR_NO_MEMORY, "No memory for a batch");
        return;
    }
    batch->entries[batch->count++] = (struct cellar_batch_entry){
        .start = start, .bytes = batch->body.bytes - start, .is_idempotent = list->is_idempotent};
    batch->mutation_count += list->count;
}

size_t cellar_batch_count(const struct cellar_batch *batch)
{
    return batch == NULL ? 0 : batch->count;
}

size_t cellar_batch_mutation_count(const struct cellar_batch *batch)
{
    return batch == NULL ? 0 : batch->mutation_count;
}

size_t cellar_batch_bytes(const struct cellar_batch *batch)
{
    return batch == NULL ? 0 : batch->body.bytes;
}

/* A batch that is being sent. */
struct rounds {
    struct cellar_client *client;
    struct cellar_batch *batch;
    int64_t deadline_us;
    struct cellar_retry retry;
    struct cellar_batch_course course;
};

/* Sends the entries that wait and takes their results. A round that was lost leaves its entries in
 * doubt: what they are answered later may be about the second time they were applied. */
static enum cellar_status round_run(struct rounds *rounds, struct cellar_error *error)
{
    struct cellar_buffer entries = {0};
    struct cellar_buffer reply = {0};
    struct cellar_batch *batch = rounds->batch;
    bool is_in_doubt = false;
    struct cellar_msg_mutate_rows_request message = {.table = rounds->course.table};
    struct cellar_request request = {.operation = CELLAR_OP_MUTATE_ROWS,
                                     .safety = cellar_batch_safety(batch),
                                     .type = &cellar_msg_mutate_rows_request_type,
                                     .message = &message,
                                     .table = &message.table,
                                     .row = &rounds->course.row,
                                     .timeout_us = &message.timeout_us,
                                     .token = cellar_batch_times(batch, &message),
                                     .is_moved = &rounds->course.is_moved,
                                     .is_in_doubt = &is_in_doubt};
    enum cellar_status status = cellar_batch_round(batch, &entries);
    CELLAR_ASSERT(rounds->course.table.bytes > 0);
    rounds->course.is_moved = false;
    if (status != CELLAR_OK) {
        status = cellar_error_set(error, status, "No memory for a batch");
    } else {
        message.entries = cellar_slice_of(&entries);
        status = cellar_call_run(rounds->client, &request, rounds->deadline_us, &reply, error);
    }
    if (is_in_doubt) {
        cellar_batch_doubt(batch);
    }
    if (status == CELLAR_OK) {
        rounds->retry.hop_count = 0;
        status = cellar_batch_take(batch, cellar_slice_of(&reply), error);
    }
    cellar_buffer_fini(&entries);
    cellar_buffer_fini(&reply);
    return status;
}

/* Whether there is another round, after one that was answered or sent on; waits until it is due.
 * Three reasons to go on: the server sent the round elsewhere, entries of other places wait, or
 * some were refused for now. */
static bool round_again(struct rounds *rounds, struct cellar_error *error)
{
    struct cellar_batch *batch = rounds->batch;
    CELLAR_ASSERT(batch->count >= 1);
    if (rounds->course.is_moved) {
        return cellar_call_again(rounds->client, &rounds->retry, CELLAR_ATTEMPT_MOVED, error);
    }
    if (!cellar_batch_is_answered(batch)) {
        return true;
    }
    if (cellar_batch_again(batch, error) > 0 &&
        cellar_call_again(rounds->client, &rounds->retry, CELLAR_ATTEMPT_ANSWERED, error)) {
        cellar_batch_restart(batch);
        return true;
    }
    cellar_error_clear(error);
    return false;
}

/* Runs rounds until every entry is done or the time is over. */
static enum cellar_status rounds_run(struct rounds *rounds, struct cellar_error *error)
{
    /*
     * These retries count rounds that were answered; those of a round that was not are counted in
     * cellar_call_run(). What may go again is safe to repeat, or was not applied.
     */
    rounds->retry =
        cellar_call_retry(rounds->client, CELLAR_SAFETY_IDEMPOTENT, rounds->deadline_us);
    cellar_batch_protect(rounds->batch, rounds->client);
    do {
        cellar_batch_pick(rounds->batch, &rounds->course);
        enum cellar_status status = round_run(rounds, error);
        if (status != CELLAR_OK && !rounds->course.is_moved) {
            return status;
        }
        CELLAR_ASSERT(rounds->batch->count >= 1);
    } while (round_again(rounds, error));
    return error->code;
}

enum cellar_code cellar_mutate_rows(struct cellar_client *client, const char *table,
                                    struct cellar_batch *batch, struct cellar_call *call)
{
    struct cellar_error error;
    char name[CELLAR_TABLE_NAME_BYTES_MAX];
    int64_t deadline_us;
    CELLAR_ASSERT(client != NULL && table != NULL);
    if (cellar_batch_begin(batch, &error) == CELLAR_OK &&
        cellar_call_deadline(client, call, &deadline_us, &error) == CELLAR_OK &&
        cellar_client_table_name(client, table, name, &error) == CELLAR_OK) {
        struct rounds rounds = {
            .client = client,
            .batch = batch,
            .deadline_us = deadline_us,
            .course = {.places = &client->places, .table = cellar_slice_text(name)}};
        (void)rounds_run(&rounds, &error);
    }
    if (batch != NULL) {
        cellar_batch_end(batch, &error);
    }
    return cellar_client_finish(client, "MUTATE_ROWS", call, &error);
}

/* 0 before the batch was sent: nothing has failed yet. */
size_t cellar_batch_failed_count(const struct cellar_batch *batch)
{
    size_t count = 0;
    for (size_t index = 0; batch != NULL && batch->is_sent && index < batch->count; index++) {
        CELLAR_ASSERT(batch->entries[index].state > CELLAR_BATCH_WAITING);
        count += batch->entries[index].code != CELLAR_OK ? 1u : 0u;
    }
    return count;
}

/* The text is kept apart from the entry, as few entries fail. */
enum cellar_code cellar_batch_result(const struct cellar_batch *batch, size_t index,
                                     struct cellar_failure *failure)
{
    struct cellar_error error;
    char where[CELLAR_FAILURE_WHERE_BYTES];
    CELLAR_ASSERT(batch != NULL && index < batch->count);
    const struct cellar_batch_entry *entry = &batch->entries[index];
    const char *text =
        entry->text_bytes == 0 ? "" : (const char *)batch->texts.data + entry->text_start;
    if (batch->is_sent) {
        (void)cellar_error_set(&error, entry->code, "%.*s", (int)entry->text_bytes, text);
        error.retry_delay_ms = entry->retry_delay_ms;
    } else {
        (void)cellar_error_set(&error, CELLAR_FAILED_PRECONDITION, "The batch was not sent");
    }
    if (failure != NULL) {
        (void)snprintf(where, sizeof where, "MUTATE_ROWS entry %zu", index);
        cellar_failure_fill(failure, &error, where);
    }
    return (enum cellar_code)error.code;
}
