/*
 * Tokens: when they are sent, and what to do where they cannot be.
 *
 * A token's life is the time that is left to the call and a margin, and it is counted from the
 * first sending by this machine's clock: a copy of the request that was held up on the way for
 * longer is refused by the server instead of being applied once more. Two refusals speak of the
 * token and not of the write; nothing was applied, so the request may go again changed:
 *
 *     FAILED_PRECONDITION   the server's clock is ahead of this one by more than the life. From
 *                           here on the client leaves the start away, and a life is counted from
 *                           the first arrival
 *     RESOURCE_EXHAUSTED    the server remembers as many tokens as it may, or something else is
 *                           full. The write goes without a token, and is not repeated when its
 *                           answer is lost; the client makes none for a second
 *
 * Neither is done once an attempt was lost on its way: then the write is in doubt, and only its
 * own token can tell.
 *
 * The client's habits are atomics: any thread, no lock, and no harm in a stale value.
 */

#include "client/lib/token.h"

#include <sys/random.h>

#include "common/clock.h"

#define MARGIN_US INT64_C(5000000)
#define LIFE_US_MAX INT64_C(900000000)
#define FULL_US INT64_C(1000000)

bool cellar_token_make(struct cellar_client *client, uint8_t token[CELLAR_TOKEN_BYTES])
{
    CELLAR_ASSERT(client->attempts_max >= 1);
    if (client->attempts_max == 1 ||
        atomic_load(&client->tokens_full_until_us) > cellar_clock_monotonic_us()) {
        return false;
    }
    return getrandom(token, CELLAR_TOKEN_BYTES, GRND_NONBLOCK) == (ssize_t)CELLAR_TOKEN_BYTES;
}

void cellar_token_begin(const struct cellar_client *client,
                        const struct cellar_token_fields *fields, int64_t deadline_us)
{
    if (fields->life_us == NULL) {
        return;
    }
    CELLAR_ASSERT(fields->start_us != NULL);
    int64_t left_us = deadline_us - cellar_clock_monotonic_us();
    int64_t now_us = cellar_clock_real_us();
    int64_t start_us = atomic_load(&client->is_clock_behind) ? 0 : CELLAR_MAX(now_us, INT64_C(0));
    left_us = CELLAR_MAX(left_us, INT64_C(0));
    *fields->start_us = (uint64_t)start_us;
    *fields->life_us = (uint64_t)(CELLAR_MIN(left_us, LIFE_US_MAX - MARGIN_US) + MARGIN_US);
}

void cellar_token_full(struct cellar_client *client)
{
    CELLAR_ASSERT(client != NULL);
    atomic_store(&client->tokens_full_until_us, cellar_clock_monotonic_us() + FULL_US);
}

bool cellar_token_relax(struct cellar_client *client, const struct cellar_token_fields *fields,
                        struct cellar_retry *retry, enum cellar_status code)
{
    CELLAR_ASSERT(code != CELLAR_OK);
    if (fields->life_us == NULL || retry->sent_count > 0) {
        return false;
    }
    if (code == CELLAR_FAILED_PRECONDITION && *fields->start_us != 0) {
        atomic_store(&client->is_clock_behind, true);
        *fields->start_us = 0;
        return true;
    }
    if (code == CELLAR_RESOURCE_EXHAUSTED && fields->token != NULL && fields->token->bytes > 0) {
        cellar_token_full(client);
        *fields->token = cellar_slice_make(NULL, 0);
        *fields->start_us = 0;
        *fields->life_us = 0;
        retry->safety = CELLAR_SAFETY_WRITE;
        return true;
    }
    return false;
}
