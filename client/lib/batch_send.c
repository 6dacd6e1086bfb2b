/*
 * The rounds of a batch, for blocking and submitted calls.
 *
 *     QUEUED --its server's turn--> WAITING, and back when the server sends it on
 *     WAITING --answered--> DONE
 *        ^  +------UNAVAILABLE, or unknown and safe to repeat--> AGAIN
 *        +-----------------next round------------------------------+
 *
 * An entry that is not the same when applied twice has a token of its own, so that a round whose
 * answer was lost can be repeated. As retry.c holds on to a request, so do rounds to entries: one
 * that was sent and not answered is in doubt, and nothing but its OK, or a refusal that the lost
 * attempt must have met as well, ends that. An entry whose token the server cannot remember goes
 * again without one.
 *
 * When a round fails as a whole its entries take over that failure: what was answered in earlier
 * rounds stays. An entry that would go again, but for which there is no time, ends as it was
 * answered.
 */

#include <string.h>

#include "client/lib/batch.h"
#include "common/mem.h"

#define HEADER_OF_TWO 0x92u /* an array of two elements */

/* A batch may be sent again after it has come back: results of the last time are dropped here. */
enum cellar_status cellar_batch_begin(struct cellar_batch *batch, struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    if (batch == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a batch");
    }
    for (uint32_t index = 0; index < batch->count; index++) {
        struct cellar_batch_entry *entry = &batch->entries[index];
        entry->state = CELLAR_BATCH_WAITING;
        entry->has_token = false;
        entry->is_in_doubt = false;
        entry->text_bytes = 0;
    }
    cellar_buffer_clear(&batch->texts);
    batch->is_sent = false;
    *error = batch->error;
    if (error->code == CELLAR_OK && batch->count == 0) {
        (void)cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "A batch must have an entry");
    }
    return error->code;
}

/* One random token a batch, of which each entry has its own by its number (entry_encode()): a
 * thousand entries cost one look at the random source. */
void cellar_batch_protect(struct cellar_batch *batch, struct cellar_client *client)
{
    bool is_wanted = false;
    CELLAR_ASSERT(batch->count >= 1 && !batch->is_sent);
    batch->client = client;
    for (uint32_t index = 0; index < batch->count; index++) {
        is_wanted = is_wanted || !batch->entries[index].is_idempotent;
    }
    bool is_made = is_wanted && cellar_token_make(client, batch->token);
    for (uint32_t index = 0; index < batch->count; index++) {
        batch->entries[index].has_token = is_made && !batch->entries[index].is_idempotent;
    }
}

/* One entry that is not safe to repeat makes the round so. */
enum cellar_safety cellar_batch_safety(const struct cellar_batch *batch)
{
    CELLAR_ASSERT(batch->count >= 1);
    for (uint32_t index = 0; index < batch->count; index++) {
        const struct cellar_batch_entry *entry = &batch->entries[index];
        if (entry->state == CELLAR_BATCH_WAITING && !entry->is_idempotent && !entry->has_token) {
            return CELLAR_SAFETY_WRITE;
        }
    }
    return CELLAR_SAFETY_IDEMPOTENT;
}

/* The times stand once in the request, for all tokens in it. */
struct cellar_token_fields cellar_batch_times(const struct cellar_batch *batch,
                                              struct cellar_msg_mutate_rows_request *message)
{
    struct cellar_token_fields fields = {0};
    CELLAR_ASSERT(message != NULL);
    for (uint32_t index = 0; index < batch->count; index++) {
        const struct cellar_batch_entry *entry = &batch->entries[index];
        if (entry->state == CELLAR_BATCH_WAITING && entry->has_token) {
            fields.start_us = &message->token_start_us;
            fields.life_us = &message->token_life_us;
            break;
        }
    }
    return fields;
}

/* How many entries wait for their results. */
static uint32_t waiting_count(const struct cellar_batch *batch)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < batch->count; index++) {
        count += batch->entries[index].state == CELLAR_BATCH_WAITING ? 1u : 0u;
    }
    CELLAR_ASSERT(count <= batch->count);
    return count;
}

struct cellar_slice cellar_batch_row(const struct cellar_batch *batch, uint32_t index)
{
    const struct cellar_batch_entry *entry = &batch->entries[index];
    struct cellar_slice row = {NULL, 0};
    uint32_t count;
    struct cellar_cursor from =
        cellar_cursor_make(cellar_slice_make(batch->body.data + entry->start, entry->bytes));
    bool is_read = cellar_wire_get_array(&from, &count) && cellar_wire_get_bytes(&from, &row);
    CELLAR_ASSERT(is_read); /* cellar_batch_add() wrote it */
    return row;
}

/* The place of an entry's row; only good to be compared. */
static const struct cellar_place *place_of(const struct cellar_batch *batch,
                                           const struct cellar_batch_course *course, uint32_t index)
{
    struct cellar_slice row = cellar_batch_row(batch, index);
    struct cellar_place *place = cellar_places_pick(course->places, course->table, &row);
    CELLAR_ASSERT(index < batch->count);
    cellar_places_release(course->places, place);
    return place;
}

void cellar_batch_pick(struct cellar_batch *batch, struct cellar_batch_course *course)
{
    const struct cellar_place *picked = NULL;
    bool is_picked = false;
    for (uint32_t pass = 0; pass < 2 && !is_picked; pass++) {
        for (uint32_t index = 0; index < batch->count; index++) {
            struct cellar_batch_entry *entry = &batch->entries[index];
            if (entry->state > CELLAR_BATCH_WAITING) {
                continue;
            }
            const struct cellar_place *place = place_of(batch, course, index);
            if (!is_picked && (pass == 1 || !course->is_moved || place != course->previous)) {
                is_picked = true;
                picked = place;
                course->row = cellar_batch_row(batch, index);
            }
            entry->state =
                is_picked && place == picked ? CELLAR_BATCH_WAITING : CELLAR_BATCH_QUEUED;
        }
    }
    CELLAR_ASSERT(is_picked);
    course->previous = picked;
}

/* Appends an entry: [row, mutations], or [row, mutations, token]. The array's header is of one
 * byte, so a third element is added by another header before the same bytes. */
static enum cellar_status entry_encode(const struct cellar_batch *batch, uint32_t index,
                                       struct cellar_buffer *to)
{
    const struct cellar_batch_entry *entry = &batch->entries[index];
    const uint8_t *body = batch->body.data + entry->start;
    uint8_t token[CELLAR_TOKEN_BYTES];
    CELLAR_ASSERT(body[0] == HEADER_OF_TWO);
    if (!entry->has_token) {
        return cellar_buffer_append(to, body, entry->bytes);
    }
    memcpy(token, batch->token, sizeof token);
    for (uint32_t byte = 0; byte < sizeof index; byte++) {
        token[byte] ^= (uint8_t)(index >> (8 * byte));
    }
    CELLAR_TRY(cellar_wire_put_array(to, 3));
    CELLAR_TRY(cellar_buffer_append(to, body + 1, entry->bytes - 1));
    return cellar_wire_put_bytes(to, cellar_slice_make(token, sizeof token));
}

enum cellar_status cellar_batch_round(const struct cellar_batch *batch, struct cellar_buffer *to)
{
    uint32_t count = waiting_count(batch);
    CELLAR_ASSERT(count >= 1);
    CELLAR_TRY(cellar_wire_put_array(to, count));
    for (uint32_t index = 0; index < batch->count; index++) {
        if (batch->entries[index].state == CELLAR_BATCH_WAITING) {
            CELLAR_TRY(entry_encode(batch, index, to));
        }
    }
    return CELLAR_OK;
}

void cellar_batch_doubt(struct cellar_batch *batch)
{
    CELLAR_ASSERT(batch->count >= 1);
    CELLAR_ASSERT(!batch->is_sent);
    for (uint32_t index = 0; index < batch->count; index++) {
        if (batch->entries[index].state == CELLAR_BATCH_WAITING) {
            batch->entries[index].is_in_doubt = true;
        }
    }
}

/* Sets how an entry was answered, or failed with the whole. Without memory for the text the code
 * alone remains, which is what programs act on. */
static void entry_finish(struct cellar_batch *batch, struct cellar_batch_entry *entry,
                         const struct cellar_row_result *result)
{
    uint32_t bytes = (uint32_t)CELLAR_MIN(result->text.bytes, CELLAR_ERROR_TEXT_BYTES_MAX - 1);
    CELLAR_ASSERT(entry->state == CELLAR_BATCH_WAITING);
    CELLAR_ASSERT((unsigned int)result->code < CELLAR_STATUS_COUNT);
    entry->code = result->code;
    entry->retry_delay_ms = result->retry_delay_ms;
    entry->state = CELLAR_BATCH_DONE;
    if (bytes == 0) {
        entry->text_bytes = 0;
    } else if (bytes <= entry->text_bytes) { /* a text of an earlier round gives its place */
        memcpy(batch->texts.data + entry->text_start, result->text.data, bytes);
        entry->text_bytes = bytes;
    } else {
        entry->text_start = batch->texts.bytes;
        entry->text_bytes =
            cellar_buffer_append(&batch->texts, result->text.data, bytes) == CELLAR_OK ? bytes : 0;
    }
}

/* What a code says of an entry, which may be in doubt. Refusals that the lost attempt must have met
 * as well are taken as they are, and DEADLINE_EXCEEDED says already that nothing is known. */
static enum cellar_status code_for(const struct cellar_batch_entry *entry, enum cellar_status code)
{
    bool is_certain = code == CELLAR_OK || code == CELLAR_INVALID_ARGUMENT ||
                      code == CELLAR_UNIMPLEMENTED || code == CELLAR_DEADLINE_EXCEEDED;
    CELLAR_ASSERT((unsigned int)code < CELLAR_STATUS_COUNT);
    return entry->is_in_doubt && !is_certain ? CELLAR_OUTCOME_UNKNOWN : code;
}

/* Takes one entry's answer. */
static void entry_answered(struct cellar_batch *batch, struct cellar_batch_entry *entry,
                           struct cellar_row_result result)
{
    bool is_repeatable = entry->is_idempotent || entry->has_token;
    if (result.code == CELLAR_RESOURCE_EXHAUSTED && entry->has_token && !entry->is_in_doubt) {
        CELLAR_ASSERT(batch->client != NULL);
        cellar_token_full(batch->client);
        entry->has_token = false;
        result.code = CELLAR_UNAVAILABLE;
    }
    entry->is_in_doubt = entry->is_in_doubt || result.code == CELLAR_OUTCOME_UNKNOWN;
    bool is_again = result.code == CELLAR_UNAVAILABLE ||
                    (result.code == CELLAR_OUTCOME_UNKNOWN && is_repeatable);
    result.code = code_for(entry, result.code);
    entry_finish(batch, entry, &result);
    if (is_again) {
        entry->state = CELLAR_BATCH_AGAIN;
    }
}

/* Elements behind the third are of a newer server and stepped over. */
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

/* An answer that cannot be read says nothing of the entries that it did not reach; those before are
 * answered. */
enum cellar_status cellar_batch_take(struct cellar_batch *batch, struct cellar_slice body,
                                     struct cellar_error *error)
{
    struct cellar_msg_mutate_rows_reply reply;
    struct cellar_row_result result;
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
        if (batch->entries[index].state == CELLAR_BATCH_WAITING) {
            is_read = cellar_row_result_take(&from, &result);
            if (is_read) {
                entry_answered(batch, &batch->entries[index], result);
            }
        }
    }
    if (!is_read) {
        return cellar_error_set(error, CELLAR_OUTCOME_UNKNOWN,
                                "The write may or may not have been applied: the server's answer "
                                "cannot be read");
    }
    return CELLAR_OK;
}

/* The first of them speaks for all: its text and delay are the round's. */
uint32_t cellar_batch_again(const struct cellar_batch *batch, struct cellar_error *error)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < batch->count; index++) {
        const struct cellar_batch_entry *entry = &batch->entries[index];
        CELLAR_ASSERT(entry->state != CELLAR_BATCH_WAITING);
        if (entry->state == CELLAR_BATCH_AGAIN && count++ == 0) {
            const char *text =
                entry->text_bytes == 0 ? "" : (const char *)batch->texts.data + entry->text_start;
            (void)cellar_error_set(error, entry->code, "%.*s", (int)entry->text_bytes, text);
            error->retry_delay_ms = entry->retry_delay_ms;
        }
    }
    return count;
}

bool cellar_batch_is_answered(const struct cellar_batch *batch)
{
    CELLAR_ASSERT(batch->count >= 1);
    for (uint32_t index = 0; index < batch->count; index++) {
        if (batch->entries[index].state <= CELLAR_BATCH_WAITING) {
            return false;
        }
    }
    return true;
}

void cellar_batch_restart(struct cellar_batch *batch)
{
    for (uint32_t index = 0; index < batch->count; index++) {
        CELLAR_ASSERT(batch->entries[index].state <= CELLAR_BATCH_DONE);
        if (batch->entries[index].state == CELLAR_BATCH_AGAIN) {
            batch->entries[index].state = CELLAR_BATCH_WAITING;
        }
    }
}

/* An entry that was never sent cannot have been applied, however unknown the outcome of the rest
 * is. */
void cellar_batch_end(struct cellar_batch *batch, const struct cellar_error *error)
{
    CELLAR_ASSERT(batch != NULL);
    for (uint32_t index = 0; error->code != CELLAR_OK && index < batch->count; index++) {
        struct cellar_batch_entry *entry = &batch->entries[index];
        if (entry->state <= CELLAR_BATCH_WAITING) {
            bool is_unsent = entry->state == CELLAR_BATCH_QUEUED && !entry->is_in_doubt;
            enum cellar_status code = is_unsent && error->code == CELLAR_OUTCOME_UNKNOWN
                                          ? CELLAR_UNAVAILABLE
                                          : code_for(entry, error->code);
            entry->state = CELLAR_BATCH_WAITING;
            struct cellar_row_result result = {.code = code,
                                               .retry_delay_ms = error->retry_delay_ms,
                                               .text = cellar_slice_text(error->text)};
            entry_finish(batch, entry, &result);
        }
    }
    batch->client = NULL;
    batch->is_sent = true;
}
