#ifndef CELLAR_CLIENT_LIB_PASS_CALL_H
#define CELLAR_CLIENT_LIB_PASS_CALL_H

#include "client/lib/call.h"
#include "common/message.h"

/* Passes over the server's data, scrubs and compactions: one request starts one, asks how far it
 * is, or has it end; the answer is a status. */

/**
 * Makes the request. A start is a write, which is not sent twice: the second would be refused.
 *
 * @param table    NULL: none is named
 * @param message  action and rate are set
 * @param reply    receives the answer's body
 * @param error    cleared first
 */
enum cellar_status cellar_pass_call(struct cellar_client *client, uint16_t operation,
                                    const char *table, struct cellar_msg_pass_request *message,
                                    struct cellar_call *call, struct cellar_buffer *reply,
                                    struct cellar_error *error) CELLAR_MUST_USE;

#endif
