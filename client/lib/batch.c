/*
 * Batches, and MUTATE_ROWS.
 *
 * Rows are encoded one behind the other as they are added; an entry remembers where its bytes are
 * and, once sent, how it ended. A batch is sent in rounds: all entries first, then those that were
 * answered UNAVAILABLE, until none is left or the time is over. An entry has one of three states:
 *
 *     waiting   in the round that runs, or not sent yet
 *     done      answered; its code is final
 *     again     answered UNAVAILABLE; waits for the next round
 *
 *     waiting --answered--> done
 *        ^  +-----UNAVAILABLE--> again
 *        +--------next round-------+
 *
 * When a round fails as a whole, its entries take over that failure: entries of earlier rounds keep
 * what they were answered. Texts of failures are kept in one buffer; when there is no memory for
 * one, the code alone remains. A batch belongs to one thread at a time.
 */

#include "client/lib/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/mutations.h"
#include "common/mem.h"

enum entry_state { ENTRY_WAITING, ENTRY_DONE, ENTRY_AGAIN };

struct batch_entry {
    size_t start; /* of the encoded [row, mutations] in the body */
    size_t bytes;
    size_t text_start; /* of the failure's text in the texts */
    uint32_t text_bytes;
    uint32_t retry_delay_ms;
    enum entry_state state;
    enum cellar_status code;
};

struct cellar_batch {
    struct cellar_buffer body;
    struct batch_entry *entries;
    uint32_t count;
    uint32_t capacity;
    uint32_t mutation_count;
    bool is_idempotent;
    bool is_sent;
    struct cellar_buffer texts;
    struct cellar_error error; /* the first failure of filling it */
};

struct cellar_batch *cellar_batch_new(void)
{
    struct cellar_batch *batch = cellar_mem_zalloc(1, sizeof *batch);
    if (batch != NULL) {
        batch->is_idempotent = true;
        CELLAR_ASSERT(batch->error.code == CELLAR_OK);
    }
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
    batch->is_idempotent = true;
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
    struct batch_entry *entries =
        cellar_mem_realloc(batch->entries, capacity * sizeof *batch->entries);
    if (entries == NULL) {
        return CELLAR_NO_MEMORY;
    }
    batch->entries = entries;
    batch->capacity = capacity;
    return CELLAR_OK;
}

/* Checks that one more row fits into a request. */
static enum cellar_status add_check(const struct cellar_batch *batch, struct cellar_view row,
                                    const struct cellar_mutations *list, struct cellar_error *error)
{
    CELLAR_TRY(cellar_mutations_error(list, error));
    uint64_t mutation_count = (uint64_t)batch->mutation_count + list->count;
    uint64_t bytes = (uint64_t)batch->body.bytes + row.bytes + list->body.bytes;
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
    batch->entries[batch->count++] =
        (struct batch_entry){.start = start, .bytes = batch->body.bytes - start};
    batch->mutation_count += list->count;
    batch->is_idempotent = batch->is_idempotent && list->is_idempotent;
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

/* Sets how an entry ended. */
static void entry_finish(struct cellar_batch *batch, struct batch_entry *entry,
                         enum cellar_status code, struct cellar_slice text)
{
    CELLAR_ASSERT(entry->state == ENTRY_WAITING);
    entry->code = code;
    entry->state = code == CELLAR_UNAVAILABLE ? ENTRY_AGAIN : ENTRY_DONE;
    entry->text_start = batch->texts.bytes;
    entry->text_bytes = 0;
    CELLAR_ASSERT((unsigned int)code < CELLAR_STATUS_COUNT);
    uint32_t bytes = (uint32_t)CELLAR_MIN(text.bytes, CELLAR_ERROR_TEXT_BYTES_MAX - 1);
    if (bytes > 0 && cellar_buffer_append(&batch->texts, text.data, bytes) == CELLAR_OK) {
        entry->text_bytes = bytes;
    }
}

void cellar_batch_end(struct cellar_batch *batch, const struct cellar_error *error)
{
    CELLAR_ASSERT(batch != NULL);
    for (uint32_t index = 0; error->code != CELLAR_OK && index < batch->count; index++) {
        struct batch_entry *entry = &batch->entries[index];
        if (entry->state == ENTRY_WAITING) {
            entry->retry_delay_ms = error->retry_delay_ms;
            entry_finish(batch, entry, error->code, cellar_slice_text(error->text));
        }
    }
    batch->is_sent = true;
}

bool cellar_row_result_take(struct cellar_cursor *from, struct cellar_row_result *result)
{
    uint64_t code = 0;
    uint64_t delay_ms = 0;
    uint32_t count;
    *result = (struct cellar_row_result){.code = CELLAR_OK};
    if (cellar_wire_get_array(from, &count)) {
        if (count < 3 || !cellar_wire_get_u64(from, &code) ||
            !cellar_wire_get_text(from, &result->text) || !cellar_wire_get_u64(from, &delay_ms)) {
            return false;
        }
        for (uint32_t index = 3; index < count; index++) {
            if (!cellar_wire_skip(from, NULL)) {
                return false;
            }
        }
    } else if (!cellar_wire_get_u64(from, &code)) {
        return false;
    }
    CELLAR_ASSERT(from->at <= from->end);
    result->retry_delay_ms = (uint32_t)CELLAR_MIN(delay_ms, (uint64_t)UINT32_MAX);
    return cellar_status_decode(code, &result->code);
}

/* Reads one entry's result. */
static bool result_decode(struct cellar_batch *batch, struct batch_entry *entry,
                          struct cellar_cursor *from)
{
    struct cellar_row_result result;
    CELLAR_ASSERT(entry->state == ENTRY_WAITING);
    if (!cellar_row_result_take(from, &result)) {
        return false;
    }
    entry->retry_delay_ms = result.retry_delay_ms;
    entry_finish(batch, entry, result.code, result.text);
    return true;
}

/* How many entries wait for their results. */
static uint32_t waiting_count(const struct cellar_batch *batch)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < batch->count; index++) {
        count += batch->entries[index].state == ENTRY_WAITING ? 1u : 0u;
    }
    CELLAR_ASSERT(count <= batch->count);
    return count;
}

bool cellar_batch_is_answered(const struct cellar_batch *batch)
{
    CELLAR_ASSERT(batch->count >= 1);
    return waiting_count(batch) == 0;
}

enum cellar_status cellar_batch_take(struct cellar_batch *batch, struct cellar_slice body,
                                     struct cellar_error *error)
{
    struct cellar_msg_mutate_rows_reply reply;
    uint32_t count = 0;
    bool is_read = cellar_message_decode(&cellar_msg_mutate_rows_reply_type, body, &reply,
                                         CELLAR_UNKNOWN_SKIP, error) == CELLAR_OK;
    struct cellar_cursor from = {NULL, NULL};
    if (is_read) {
        from = cellar_cursor_make(reply.results);
        is_read = cellar_wire_get_array(&from, &count) && count == waiting_count(batch);
    }
    CELLAR_ASSERT(!batch->is_sent);
    for (uint32_t index = 0; is_read && index < batch->count; index++) {
        if (batch->entries[index].state == ENTRY_WAITING) {
            is_read = result_decode(batch, &batch->entries[index], &from);
        }
    }
    if (!is_read) {
        return cellar_error_set(error, CELLAR_OUTCOME_UNKNOWN,
                                "The write may or may not have been applied: the server's answer "
                                "cannot be read");
    }
    return CELLAR_OK;
}

enum cellar_status cellar_batch_round(const struct cellar_batch *batch, struct cellar_buffer *to)
{
    uint32_t count = waiting_count(batch);
    CELLAR_ASSERT(count >= 1);
    CELLAR_TRY(cellar_wire_put_array(to, count));
    if (count == batch->count) {
        return cellar_buffer_append(to, batch->body.data, batch->body.bytes);
    }
    for (uint32_t index = 0; index < batch->count; index++) {
        const struct batch_entry *entry = &batch->entries[index];
        if (entry->state == ENTRY_WAITING) {
            CELLAR_TRY(cellar_buffer_append(to, batch->body.data + entry->start, entry->bytes));
        }
    }
    return CELLAR_OK;
}

/* Sends the entries that wait and reads their results. */
static enum cellar_status round_run(struct cellar_client *client, struct cellar_slice table,
                                    struct cellar_batch *batch, int64_t deadline_us,
                                    struct cellar_error *error)
{
    struct cellar_buffer entries = {0};
    struct cellar_buffer reply = {0};
    struct cellar_msg_mutate_rows_request message = {.table = table};
    struct cellar_request request = {.operation = CELLAR_OP_MUTATE_ROWS,
                                     .safety = cellar_batch_safety(batch),
                                     .type = &cellar_msg_mutate_rows_request_type,
                                     .message = &message,
                                     .timeout_us = &message.timeout_us};
    enum cellar_status status = cellar_batch_round(batch, &entries);
    CELLAR_ASSERT(table.bytes > 0);
    if (status != CELLAR_OK) {
        status = cellar_error_set(error, status, "No memory for a batch");
    } else {
        message.entries = cellar_slice_of(&entries);
        status = cellar_call_run(client, &request, deadline_us, &reply, error);
    }
    if (status == CELLAR_OK) {
        status = cellar_batch_take(batch, cellar_slice_of(&reply), error);
    }
    cellar_buffer_fini(&entries);
    cellar_buffer_fini(&reply);
    return status;
}

uint32_t cellar_batch_again(const struct cellar_batch *batch, struct cellar_error *error)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < batch->count; index++) {
        const struct batch_entry *entry = &batch->entries[index];
        CELLAR_ASSERT(entry->state != ENTRY_WAITING);
        if (entry->state == ENTRY_AGAIN && count++ == 0) {
            const char *text =
                entry->text_bytes == 0 ? "" : (const char *)batch->texts.data + entry->text_start;
            (void)cellar_error_set(error, entry->code, "%.*s", (int)entry->text_bytes, text);
            error->retry_delay_ms = entry->retry_delay_ms;
        }
    }
    return count;
}

void cellar_batch_restart(struct cellar_batch *batch)
{
    for (uint32_t index = 0; index < batch->count; index++) {
        CELLAR_ASSERT(batch->entries[index].state <= ENTRY_AGAIN);
        if (batch->entries[index].state == ENTRY_AGAIN) {
            batch->entries[index].state = ENTRY_WAITING;
        }
    }
}

enum cellar_safety cellar_batch_safety(const struct cellar_batch *batch)
{
    CELLAR_ASSERT(batch != NULL);
    return batch->is_idempotent ? CELLAR_SAFETY_IDEMPOTENT : CELLAR_SAFETY_WRITE;
}

/* Runs rounds until every entry is done or the time is over. */
static enum cellar_status rounds_run(struct cellar_client *client, struct cellar_slice table,
                                     struct cellar_batch *batch, int64_t deadline_us,
                                     struct cellar_error *error)
{
    /*
     * These retries count rounds that were answered; those of a round that was not are counted in
     * cellar_call_run(). An entry answered UNAVAILABLE was not applied, so sending it again is as
     * safe as a read is.
     */
    struct cellar_retry retry = cellar_call_retry(client, CELLAR_SAFETY_READ, deadline_us);
    for (;;) {
        CELLAR_ASSERT(batch->count >= 1);
        CELLAR_TRY(round_run(client, table, batch, deadline_us, error));
        if (cellar_batch_again(batch, error) == 0 ||
            !cellar_call_again(client, &retry, CELLAR_ATTEMPT_ANSWERED, error)) {
            cellar_error_clear(error);
            return CELLAR_OK;
        }
        cellar_batch_restart(batch);
    }
}

enum cellar_status cellar_batch_begin(struct cellar_batch *batch, struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    if (batch == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a batch");
    }
    for (uint32_t index = 0; index < batch->count; index++) {
        batch->entries[index].state = ENTRY_WAITING;
    }
    cellar_buffer_clear(&batch->texts);
    batch->is_sent = false;
    *error = batch->error;
    if (error->code == CELLAR_OK && batch->count == 0) {
        (void)cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "A batch must have an entry");
    }
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
        (void)rounds_run(client, cellar_slice_text(name), batch, deadline_us, &error);
    }
    if (batch != NULL) {
        cellar_batch_end(batch, &error);
    }
    return cellar_client_finish(client, "MUTATE_ROWS", call, &error);
}

size_t cellar_batch_failed_count(const struct cellar_batch *batch)
{
    size_t count = 0;
    for (size_t index = 0; batch != NULL && batch->is_sent && index < batch->count; index++) {
        CELLAR_ASSERT(batch->entries[index].state != ENTRY_WAITING);
        count += batch->entries[index].code != CELLAR_OK ? 1u : 0u;
    }
    return count;
}

enum cellar_code cellar_batch_result(const struct cellar_batch *batch, size_t index,
                                     struct cellar_failure *failure)
{
    struct cellar_error error;
    char where[CELLAR_FAILURE_WHERE_BYTES];
    CELLAR_ASSERT(batch != NULL && index < batch->count);
    const struct batch_entry *entry = &batch->entries[index];
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
