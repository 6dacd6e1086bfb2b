/*
 * The call that scrubs and compactions share.
 */
#include "client/lib/pass_call.h"

enum cellar_status cellar_pass_call(struct cellar_client *client, uint16_t operation,
                                    const char *table, struct cellar_msg_pass_request *message,
                                    struct cellar_call *call, struct cellar_buffer *reply,
                                    struct cellar_error *error)
{
    int64_t deadline_us;
    bool is_start = message->action == 0;
    struct cellar_request request = {.operation = operation,
                                     .safety = is_start ? CELLAR_SAFETY_WRITE : CELLAR_SAFETY_READ,
                                     .type = &cellar_msg_pass_request_type,
                                     .message = message,
                                     .table = table != NULL ? &message->table : NULL,
                                     .timeout_us = &message->timeout_us};
    CELLAR_ASSERT(client != NULL && reply != NULL);
    cellar_error_clear(error);
    if (table != NULL) {
        return cellar_call_table(client, &request, table, call, reply, error);
    }
    CELLAR_TRY(cellar_call_deadline(client, call, &deadline_us, error));
    return cellar_call_run(client, &request, deadline_us, reply, error);
}
