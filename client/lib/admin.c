/*
 * The operations on tables and on the server itself: PING, SERVER_INFO, CREATE_TABLE,
 * DESCRIBE_TABLE, LIST_TABLES, DROP_TABLE, MODIFY_FAMILIES, DROP_ROWS.
 *
 * Each public function fills its message, has call.c send it and info.c decode the answer, and ends
 * in cellar_client_finish(). What changes a table is a write: when the connection breaks after it
 * was sent its outcome is unknown, and it is not sent again. Dropping rows twice would be the same
 * as once only if nobody wrote in between, which the library cannot know. Any thread.
 */

#include "client/lib/call.h"
#include "client/lib/info.h"
#include "client/lib/schema.h"
#include "common/mem.h"

#define LIST_PAGE_SIZE 1000
#define LIST_PAGE_COUNT_MAX 10000u

/* PING and SERVER_INFO: a request of nothing but its time limit. */
static enum cellar_status empty_call(struct cellar_client *client, enum cellar_operation operation,
                                     const struct cellar_call *call, struct cellar_buffer *reply,
                                     struct cellar_error *error)
{
    struct cellar_msg_empty message = {0};
    int64_t deadline_us;
    struct cellar_request request = {.operation = operation,
                                     .safety = CELLAR_SAFETY_READ,
                                     .type = &cellar_msg_empty_type,
                                     .message = &message,
                                     .timeout_us = &message.timeout_us};
    CELLAR_ASSERT(client != NULL);
    CELLAR_TRY(cellar_call_deadline(client, call, &deadline_us, error));
    return cellar_call_run(client, &request, deadline_us, reply, error);
}

enum cellar_code cellar_ping(struct cellar_client *client, struct cellar_call *call, bool *is_ready)
{
    struct cellar_error error;
    struct cellar_buffer reply = {0};
    struct cellar_msg_ping_reply message;
    CELLAR_ASSERT(is_ready != NULL);
    if (empty_call(client, CELLAR_OP_PING, call, &reply, &error) == CELLAR_OK) {
        if (cellar_message_decode(&cellar_msg_ping_reply_type, cellar_slice_of(&reply), &message,
                                  CELLAR_UNKNOWN_SKIP, NULL) == CELLAR_OK) {
            *is_ready = message.is_ready;
        } else {
            (void)cellar_error_set(&error, CELLAR_IO_ERROR,
                                   "The server broke the protocol: PING's answer cannot be read");
        }
    }
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "PING", call, &error);
}

enum cellar_code cellar_server_info_get(struct cellar_client *client, struct cellar_call *call,
                                        struct cellar_server_info **info)
{
    struct cellar_error error;
    struct cellar_buffer reply = {0};
    CELLAR_ASSERT(info != NULL);
    enum cellar_status status = empty_call(client, CELLAR_OP_SERVER_INFO, call, &reply, &error);
    if (status == CELLAR_OK) {
        status = cellar_server_info_decode(cellar_slice_of(&reply), info, &error);
    }
    CELLAR_ASSERT(status == error.code);
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "SERVER_INFO", call, &error);
}

enum cellar_code cellar_table_create(struct cellar_client *client, const char *table,
                                     const struct cellar_schema *schema, struct cellar_call *call,
                                     struct cellar_table_info **info)
{
    struct cellar_error error;
    struct cellar_buffer families = {0};
    struct cellar_buffer splits = {0};
    struct cellar_buffer reply = {0};
    struct cellar_msg_create_table_request message = {0};
    struct cellar_request request = {.operation = CELLAR_OP_CREATE_TABLE,
                                     .safety = CELLAR_SAFETY_WRITE,
                                     .type = &cellar_msg_create_table_request_type,
                                     .message = &message,
                                     .table = &message.table,
                                     .timeout_us = &message.timeout_us};
    enum cellar_status status = cellar_schema_error(schema, &error);
    if (status == CELLAR_OK) {
        status = cellar_schema_fill(schema, &message, &families, &splits);
        if (status != CELLAR_OK) {
            (void)cellar_error_set(&error, status, "No memory for a schema");
        }
    }
    if (status == CELLAR_OK) {
        status = cellar_call_table(client, &request, table, call, &reply, &error);
    }
    if (status == CELLAR_OK && info != NULL) {
        status = cellar_table_info_decode(cellar_slice_of(&reply), info, &error);
    }
    CELLAR_ASSERT(status == error.code);
    cellar_buffer_fini(&families);
    cellar_buffer_fini(&splits);
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "CREATE_TABLE", call, &error);
}

enum cellar_code cellar_table_describe(struct cellar_client *client, const char *table,
                                       struct cellar_call *call, struct cellar_table_info **info)
{
    struct cellar_error error;
    struct cellar_buffer reply = {0};
    struct cellar_msg_table_request message = {0};
    struct cellar_request request = {.operation = CELLAR_OP_DESCRIBE_TABLE,
                                     .safety = CELLAR_SAFETY_READ,
                                     .type = &cellar_msg_table_request_type,
                                     .message = &message,
                                     .table = &message.table,
                                     .timeout_us = &message.timeout_us};
    CELLAR_ASSERT(info != NULL);
    enum cellar_status status = cellar_call_table(client, &request, table, call, &reply, &error);
    if (status == CELLAR_OK) {
        status = cellar_table_info_decode(cellar_slice_of(&reply), info, &error);
    }
    CELLAR_ASSERT(status == error.code);
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "DESCRIBE_TABLE", call, &error);
}

enum cellar_code cellar_table_drop(struct cellar_client *client, const char *table,
                                   struct cellar_call *call)
{
    struct cellar_error error;
    struct cellar_buffer reply = {0};
    struct cellar_msg_table_request message = {0};
    struct cellar_request request = {.operation = CELLAR_OP_DROP_TABLE,
                                     .safety = CELLAR_SAFETY_WRITE,
                                     .type = &cellar_msg_table_request_type,
                                     .message = &message,
                                     .table = &message.table,
                                     .timeout_us = &message.timeout_us};
    enum cellar_status status = cellar_call_table(client, &request, table, call, &reply, &error);
    CELLAR_ASSERT(status == error.code);
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "DROP_TABLE", call, &error);
}

enum cellar_code cellar_table_modify_families(struct cellar_client *client, const char *table,
                                              const struct cellar_family_change *changes,
                                              size_t change_count, struct cellar_call *call,
                                              struct cellar_table_info **info)
{
    struct cellar_error error;
    struct cellar_buffer encoded = {0};
    struct cellar_buffer reply = {0};
    struct cellar_msg_modify_families_request message = {0};
    struct cellar_request request = {.operation = CELLAR_OP_MODIFY_FAMILIES,
                                     .safety = CELLAR_SAFETY_WRITE,
                                     .type = &cellar_msg_modify_families_request_type,
                                     .message = &message,
                                     .table = &message.table,
                                     .timeout_us = &message.timeout_us};
    cellar_error_clear(&error);
    enum cellar_status status = cellar_family_changes_put(&encoded, changes, change_count, &error);
    if (status == CELLAR_OK) {
        message.changes = cellar_slice_of(&encoded);
        status = cellar_call_table(client, &request, table, call, &reply, &error);
    }
    if (status == CELLAR_OK && info != NULL) {
        status = cellar_table_info_decode(cellar_slice_of(&reply), info, &error);
    }
    CELLAR_ASSERT(status == error.code);
    cellar_buffer_fini(&encoded);
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "MODIFY_FAMILIES", call, &error);
}

/* DROP_ROWS with either target; the server refuses an empty prefix. */
static enum cellar_code rows_drop(struct cellar_client *client, const char *table,
                                  struct cellar_view prefix, bool is_all, struct cellar_call *call)
{
    struct cellar_error error;
    struct cellar_buffer reply = {0};
    struct cellar_msg_drop_rows_request message = {
        .prefix = cellar_slice_make(prefix.data, prefix.bytes), .all = is_all};
    struct cellar_request request = {.operation = CELLAR_OP_DROP_ROWS,
                                     .safety = CELLAR_SAFETY_WRITE,
                                     .type = &cellar_msg_drop_rows_request_type,
                                     .message = &message,
                                     .table = &message.table,
                                     .timeout_us = &message.timeout_us};
    CELLAR_ASSERT(!is_all || prefix.bytes == 0);
    enum cellar_status status = cellar_call_table(client, &request, table, call, &reply, &error);
    CELLAR_ASSERT(status == error.code);
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "DROP_ROWS", call, &error);
}

enum cellar_code cellar_rows_drop(struct cellar_client *client, const char *table,
                                  struct cellar_view prefix, struct cellar_call *call)
{
    CELLAR_ASSERT(prefix.data != NULL || prefix.bytes == 0);
    return rows_drop(client, table, prefix, false, call);
}

enum cellar_code cellar_table_truncate(struct cellar_client *client, const char *table,
                                       struct cellar_call *call)
{
    CELLAR_ASSERT(client != NULL && table != NULL);
    return rows_drop(client, table, cellar_view_of(NULL, 0), true, call);
}

/* Asks for one page and adds its names; `token` holds the page's token and receives the next. */
static enum cellar_status page_get(struct cellar_client *client, int64_t deadline_us,
                                   struct cellar_buffer *token, struct cellar_table_list *list,
                                   struct cellar_error *error)
{
    struct cellar_buffer reply = {0};
    struct cellar_slice next_page = {NULL, 0};
    struct cellar_msg_list_tables_request message = {.instance =
                                                         cellar_slice_text(client->instance),
                                                     .page_size = LIST_PAGE_SIZE,
                                                     .page_token = cellar_slice_of(token)};
    struct cellar_request request = {.operation = CELLAR_OP_LIST_TABLES,
                                     .safety = CELLAR_SAFETY_READ,
                                     .type = &cellar_msg_list_tables_request_type,
                                     .message = &message,
                                     .timeout_us = &message.timeout_us};
    CELLAR_ASSERT(list != NULL);
    enum cellar_status status = cellar_call_run(client, &request, deadline_us, &reply, error);
    if (status == CELLAR_OK) {
        status = cellar_table_list_add(list, cellar_slice_of(&reply), &next_page, error);
    }
    cellar_buffer_clear(token);
    if (status == CELLAR_OK && next_page.bytes > 0 &&
        cellar_buffer_append(token, next_page.data, next_page.bytes) != CELLAR_OK) {
        status = cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a list of tables");
    }
    cellar_buffer_fini(&reply);
    return status;
}

/* Asks for all pages. */
static enum cellar_status pages_get(struct cellar_client *client, const struct cellar_call *call,
                                    struct cellar_table_list *list, struct cellar_error *error)
{
    struct cellar_buffer token = {0};
    int64_t deadline_us;
    uint32_t page_count = 0;
    CELLAR_ASSERT(list->count == 0);
    CELLAR_TRY(cellar_call_deadline(client, call, &deadline_us, error));
    enum cellar_status status;
    do {
        status = page_get(client, deadline_us, &token, list, error);
        page_count++;
    } while (status == CELLAR_OK && token.bytes > 0 && page_count < LIST_PAGE_COUNT_MAX);
    if (status == CELLAR_OK && token.bytes > 0) {
        status =
            cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                             "A list of tables must have at most %u pages", LIST_PAGE_COUNT_MAX);
    }
    cellar_buffer_fini(&token);
    return status;
}

enum cellar_code cellar_table_list_get(struct cellar_client *client, struct cellar_call *call,
                                       struct cellar_table_list **list)
{
    struct cellar_error error;
    CELLAR_ASSERT(client != NULL && list != NULL);
    struct cellar_table_list *made = cellar_table_list_new();
    if (made == NULL) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a list of tables");
    } else if (pages_get(client, call, made, &error) == CELLAR_OK) {
        *list = made;
        made = NULL;
    }
    cellar_table_list_free(made);
    return cellar_client_finish(client, "LIST_TABLES", call, &error);
}
