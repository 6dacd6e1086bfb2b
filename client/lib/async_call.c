/*
 * The body of an asynchronous call, which is encoded once and sent as often as need be.
 *
 * What differs from attempt to attempt is the time that is left, the last field of every request.
 * It is encoded with the greatest number there is, so that it takes the widest form of MessagePack,
 * a byte and 8 big-endian bytes at the very end; each attempt writes its number over these. Readers
 * take integers in any form.
 *
 *     | map, fields ...                              | 0f | cf | 8 bytes |
 *
 * A call and its body belong to whoever embeds the call; the core borrows both.
 */

#include "client/lib/async_call.h"

#define TIME_LIMIT_FIELD 15u
#define TIME_LIMIT_BYTES 10u
#define WIRE_UINT_64 0xcfu

enum cellar_status cellar_async_body_encode(struct cellar_async_call *call,
                                            const struct cellar_message_type *type,
                                            const void *message, uint64_t *timeout_us)
{
    cellar_buffer_clear(&call->body);
    if (timeout_us != NULL) {
        *timeout_us = UINT64_MAX; /* takes the widest form, which any other number can replace */
    }
    call->has_time_limit = timeout_us != NULL;
    CELLAR_TRY(cellar_message_encode(type, message, &call->body));
    CELLAR_ASSERT(timeout_us == NULL ||
                  (call->body.bytes > TIME_LIMIT_BYTES &&
                   call->body.data[call->body.bytes - TIME_LIMIT_BYTES] == TIME_LIMIT_FIELD &&
                   call->body.data[call->body.bytes - TIME_LIMIT_BYTES + 1] == WIRE_UINT_64));
    return CELLAR_OK;
}

void cellar_async_body_limit(struct cellar_async_call *call, int64_t left_us)
{
    if (!call->has_time_limit) {
        return;
    }
    CELLAR_ASSERT(call->body.bytes > TIME_LIMIT_BYTES);
    cellar_put_u64be(call->body.data + call->body.bytes - sizeof(uint64_t),
                     (uint64_t)CELLAR_MAX(left_us, INT64_C(1)));
}
