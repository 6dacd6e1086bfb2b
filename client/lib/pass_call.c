/*
 * The call that scrubs and compactions share.
 */
#include "client/lib/pass_call.h"

enum cellar_status cellar_pass_call(struct cellar_client *client, const struct cellar_pass *pass,
                                    struct cellar_call *call, struct cellar_buffer *reply,
                                    struct cellar_error *error)
{
    int64_t deadline_us;
    struct cellar_msg_pass_request message = {.action = pass->action,
                                              .bytes_per_second = pass->bytes_per_second};
    struct cellar_request request = {.operation = pass->operation,
                                     .safety = pass->action == 0 ? CELLAR_SAFETY_WRITE
                                                                 : CELLAR_SAFETY_READ,
                                     .type = &cellar_msg_pass_request_type,
                                     .message = &message,
                                     .table = pass->table != NULL ? &message.table : NULL,
                                     .timeout_us = &message.timeout_us};
    CELLAR_ASSERT(client != NULL && reply != NULL);
    cellar_error_clear(error);
    if (pass->table != NULL) {
        return cellar_call_table(client, &request, pass->table, call, reply, error);
    }
    CELLAR_TRY(cellar_call_deadline(client, call, &deadline_us, error));
    return cellar_call_run(client, &request, deadline_us, reply, error);
}
