#ifndef CELLAR_CLIENT_TOKEN_H
#define CELLAR_CLIENT_TOKEN_H

#include "client/lib/client.h"
#include "client/lib/retry.h"

/*
 * Idempotency tokens: what makes a write safe to send again that is not so by itself. PROTOCOL.md,
 * "Tokens".
 */

#define CELLAR_TOKEN_BYTES 16u

/** Where the messages of tokens keep their times; fields of a request's message. */
struct cellar_token_fields {
    struct cellar_slice *token; /* NULL in a message whose entries have tokens of their own */
    uint64_t *start_us;
    uint64_t *life_us; /* NULL = the message carries no token */
};

/**
 * Makes a token, unless the client sends none at present.
 *
 * @param token  receives CELLAR_TOKEN_BYTES random bytes
 * @return false when the client sends every request once only, when the server has lately been
 *         unable to remember more tokens, or when the system has no random bytes
 * @thread any
 */
bool cellar_token_make(struct cellar_client *client, uint8_t token[CELLAR_TOKEN_BYTES]);

/**
 * Sets the times of a message's tokens before its first sending; nothing without tokens.
 *
 * @param deadline_us  of the call, monotonic
 */
void cellar_token_begin(const struct cellar_client *client,
                        const struct cellar_token_fields *fields, int64_t deadline_us);

/**
 * After an answer: whether it refused the token rather than the write, which then goes again
 * without what was refused. Changes the fields, the client's habits and the retry's safety.
 *
 * @param code  what the server answered; not CELLAR_OK
 * @return true to send the request again at once
 */
bool cellar_token_relax(struct cellar_client *client, const struct cellar_token_fields *fields,
                        struct cellar_retry *retry, enum cellar_status code);

/** Notes that the server remembers no more tokens: none are made for a while. Any thread. */
void cellar_token_full(struct cellar_client *client);

#endif
