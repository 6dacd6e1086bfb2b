/*
 * The builder of mutation lists, and MUTATE_ROW.
 *
 * Each function encodes its mutation at once, behind those before it; the array's header is written
 * when the list is used. So a list of any length is one buffer, and can be copied into a batch.
 * What the server checks (names, timestamps, granularity) is left to it: it answers with better
 * texts than a guess here would give. Only what would make the request itself impossible is checked
 * here: the number of mutations and the bytes.
 *
 * The first failure stays in the list and every later function does nothing. A list belongs to one
 * thread at a time.
 */

#include "client/lib/mutations.h"

#include <string.h>

#include "client/lib/call.h"
#include "common/mem.h"

struct cellar_mutations *cellar_mutations_new(void)
{
    struct cellar_mutations *list = cellar_mem_zalloc(1, sizeof *list);
    if (list != NULL) {
        list->is_idempotent = true;
        CELLAR_ASSERT(list->error.code == CELLAR_OK);
    }
    return list;
}

void cellar_mutations_free(struct cellar_mutations *list)
{
    if (list != NULL) {
        CELLAR_ASSERT(list->count <= CELLAR_MUTATION_COUNT_MAX);
        cellar_buffer_fini(&list->body);
        cellar_mem_free(list);
    }
}

/* An empty list is safe to repeat; the first set at the server's time will change that. */
void cellar_mutations_clear(struct cellar_mutations *list)
{
    if (list == NULL) {
        return;
    }
    cellar_buffer_clear(&list->body);
    list->count = 0;
    list->is_idempotent = true;
    list->has_others = false;
    cellar_error_clear(&list->error);
    CELLAR_ASSERT(list->error.code == CELLAR_OK);
}

size_t cellar_mutations_count(const struct cellar_mutations *list)
{
    return list == NULL ? 0 : list->count;
}

size_t cellar_mutations_bytes(const struct cellar_mutations *list)
{
    return list == NULL ? 0 : list->body.bytes;
}

/* Encodes one mutation behind the others. */
static void mutation_add(struct cellar_mutations *list, const struct cellar_mutation *mutation)
{
    if (list == NULL || list->error.code != CELLAR_OK) {
        return;
    }
    size_t bytes = mutation->family.bytes + mutation->qualifier.bytes + mutation->value.bytes;
    CELLAR_ASSERT(list->count <= CELLAR_MUTATION_COUNT_MAX);
    CELLAR_ASSERT(list->body.bytes <= 2u * CELLAR_REQUEST_BYTES_MAX);
    if (list->count == CELLAR_MUTATION_COUNT_MAX) {
        (void)cellar_error_set(&list->error, CELLAR_INVALID_ARGUMENT,
                               "Too many mutations: more than %u provided; limit %u", list->count,
                               CELLAR_MUTATION_COUNT_MAX);
        return;
    }
    if (bytes > CELLAR_REQUEST_BYTES_MAX || list->body.bytes > CELLAR_REQUEST_BYTES_MAX - bytes) {
        (void)cellar_error_set(&list->error, CELLAR_INVALID_ARGUMENT,
                               "A mutation list must have at most %u bytes, but got %zu and more",
                               CELLAR_REQUEST_BYTES_MAX, list->body.bytes);
        return;
    }
    if (cellar_mutation_encode(&list->body, mutation) != CELLAR_OK) {
        (void)cellar_error_set(&list->error, CELLAR_NO_MEMORY, "No memory for a mutation list");
        return;
    }
    list->count++;
    list->has_others = list->has_others || mutation->kind != CELLAR_MUTATION_SET;
    /* Deletes are left out: sent twice, one could remove what another client wrote in between. */
    list->is_idempotent = list->is_idempotent && mutation->kind == CELLAR_MUTATION_SET &&
                          mutation->timestamp_us != CELLAR_TIMESTAMP_SERVER;
}

void cellar_mutations_set(struct cellar_mutations *list, const char *family,
                          struct cellar_view qualifier, struct cellar_view value)
{
    CELLAR_ASSERT(family != NULL);
    cellar_mutations_set_at(list, family, qualifier, CELLAR_TIMESTAMP_SERVER, value);
}

void cellar_mutations_set_at(struct cellar_mutations *list, const char *family,
                             struct cellar_view qualifier, int64_t timestamp_us,
                             struct cellar_view value)
{
    struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_SET,
                                       .qualifier = cellar_view_slice(qualifier),
                                       .timestamp_us = timestamp_us,
                                       .value = cellar_view_slice(value)};
    CELLAR_ASSERT(family != NULL);
    mutation.family = cellar_slice_text(family);
    mutation_add(list, &mutation);
}

void cellar_mutations_delete_column(struct cellar_mutations *list, const char *family,
                                    struct cellar_view qualifier)
{
    static const struct cellar_time_range all = {.start_us = 0, .end_us = 0};
    CELLAR_ASSERT(family != NULL);
    cellar_mutations_delete_versions(list, family, qualifier, all);
}

void cellar_mutations_delete_versions(struct cellar_mutations *list, const char *family,
                                      struct cellar_view qualifier, struct cellar_time_range range)
{
    struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_DELETE_COLUMN,
                                       .qualifier = cellar_view_slice(qualifier),
                                       .start_us = range.start_us,
                                       .end_us = range.end_us};
    CELLAR_ASSERT(family != NULL);
    mutation.family = cellar_slice_text(family);
    mutation_add(list, &mutation);
}

void cellar_mutations_delete_family(struct cellar_mutations *list, const char *family)
{
    struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_DELETE_FAMILY};
    CELLAR_ASSERT(family != NULL);
    mutation.family = cellar_slice_text(family);
    mutation_add(list, &mutation);
}

void cellar_mutations_delete_row(struct cellar_mutations *list)
{
    static const struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_DELETE_ROW};
    CELLAR_ASSERT(mutation.family.bytes == 0);
    mutation_add(list, &mutation);
}

enum cellar_status cellar_mutations_encode(const struct cellar_mutations *list,
                                           struct cellar_buffer *to)
{
    CELLAR_ASSERT(list->error.code == CELLAR_OK);
    CELLAR_TRY(cellar_wire_put_array(to, list->count));
    return cellar_buffer_append(to, list->body.data, list->body.bytes);
}

/* Steps over what stands before a set's time; false for what is no set at the server's time. */
static bool time_find(struct cellar_cursor *from)
{
    CELLAR_ASSERT(from->at < from->end);
    uint32_t count;
    uint64_t kind;
    return cellar_wire_get_array(from, &count) && cellar_wire_get_u64(from, &kind) &&
           kind == CELLAR_MUTATION_SET && cellar_wire_skip(from, NULL) &&
           cellar_wire_skip(from, NULL) && cellar_wire_get_nil(from);
}

/* The list itself stays as it is: the program may send it again, at another time. Each mutation is
 * copied in two pieces around its nil. */
enum cellar_status cellar_mutations_encode_at(const struct cellar_mutations *list, int64_t time_us,
                                              struct cellar_buffer *to)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&list->body));
    CELLAR_ASSERT(list->error.code == CELLAR_OK && time_us >= 0);
    if (list->is_idempotent) {
        return cellar_mutations_encode(list, to);
    }
    CELLAR_TRY(cellar_wire_put_array(to, list->count));
    for (uint32_t index = 0; index < list->count; index++) {
        struct cellar_cursor inside = from;
        const uint8_t *start = from.at;
        bool is_whole = cellar_wire_skip(&from, NULL);
        CELLAR_ASSERT(is_whole); /* encoded here */
        if (time_find(&inside)) {
            CELLAR_TRY(cellar_buffer_append(to, start, (size_t)(inside.at - 1 - start)));
            CELLAR_TRY(cellar_wire_put_i64(to, time_us));
            start = inside.at;
        }
        CELLAR_TRY(cellar_buffer_append(to, start, (size_t)(from.at - start)));
    }
    return CELLAR_OK;
}

enum cellar_status cellar_mutations_error(const struct cellar_mutations *list,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    if (list == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a mutation list");
    }
    *error = list->error;
    return error->code;
}

/* With its own timestamps a list is the same when applied twice, and needs no token. */
enum cellar_safety cellar_mutations_protect(const struct cellar_mutations *list,
                                            struct cellar_client *client,
                                            struct cellar_msg_mutate_row_request *message,
                                            uint8_t token[CELLAR_TOKEN_BYTES],
                                            struct cellar_token_fields *fields)
{
    CELLAR_ASSERT(list->error.code == CELLAR_OK);
    if (list->is_idempotent) {
        return CELLAR_SAFETY_IDEMPOTENT;
    }
    if (!cellar_token_make(client, token)) {
        return CELLAR_SAFETY_WRITE;
    }
    message->token = cellar_slice_make(token, CELLAR_TOKEN_BYTES);
    *fields = (struct cellar_token_fields){&message->token, &message->token_start_us,
                                           &message->token_life_us};
    return CELLAR_SAFETY_IDEMPOTENT;
}

/* Encoded once; attempts send the same bytes, with what is left of the time. */
enum cellar_code cellar_mutate_row(struct cellar_client *client, const char *table,
                                   struct cellar_view row, const struct cellar_mutations *list,
                                   struct cellar_call *call)
{
    struct cellar_error error;
    struct cellar_buffer mutations = {0};
    struct cellar_buffer reply = {0};
    uint8_t token[CELLAR_TOKEN_BYTES];
    struct cellar_msg_mutate_row_request message = {.row = cellar_view_slice(row)};
    struct cellar_request request = {.operation = CELLAR_OP_MUTATE_ROW,
                                     .type = &cellar_msg_mutate_row_request_type,
                                     .message = &message,
                                     .table = &message.table,
                                     .row = &message.row,
                                     .timeout_us = &message.timeout_us};
    CELLAR_ASSERT(client != NULL && table != NULL);
    enum cellar_status status = cellar_mutations_error(list, &error);
    if (status == CELLAR_OK) {
        status = cellar_mutations_encode(list, &mutations);
        if (status != CELLAR_OK) {
            (void)cellar_error_set(&error, status, "No memory for a mutation list");
        }
    }
    if (status == CELLAR_OK) {
        message.mutations = cellar_slice_of(&mutations);
        request.safety = cellar_mutations_protect(list, client, &message, token, &request.token);
        status = cellar_call_table(client, &request, table, call, &reply, &error);
    }
    CELLAR_ASSERT(status == error.code);
    cellar_buffer_fini(&mutations);
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "MUTATE_ROW", call, &error);
}
