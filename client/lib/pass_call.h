#ifndef CELLAR_CLIENT_LIB_PASS_CALL_H
#define CELLAR_CLIENT_LIB_PASS_CALL_H

#include "client/lib/call.h"
#include "common/message.h"

/* Passes over the server's data, scrubs and compactions: one request starts one, asks how far it
 * is, or has it end; the answer is a status. */

/** What is asked for. */
struct cellar_pass {
    uint16_t operation;
    unsigned action;   /* 0 start, 1 status, 2 cancel */
    const char *table; /* NULL: none is named */
    uint64_t bytes_per_second;
};

/**
 * Makes the request. A start is a write, which is not sent twice: the second would be refused.
 *
 * @param reply  receives the answer's body
 * @param error  cleared first
 */
enum cellar_status cellar_pass_call(struct cellar_client *client, const struct cellar_pass *pass,
                                    struct cellar_call *call, struct cellar_buffer *reply,
                                    struct cellar_error *error) CELLAR_MUST_USE;

#endif
