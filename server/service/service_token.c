/*
 * The time of a token: when it ends, or why the request comes too late.
 *
 * The window of 15 minutes runs from the client's first sending, where it is told, since that is
 * what a repetition repeats: a request that was held up somewhere for longer could meet a server
 * that has forgotten the token, and be applied twice, so it is refused whether the token is known
 * or not (R-TOK-04). A start in the future, by a clock that goes ahead, counts as now.
 *
 * The token of a request that just passes this check is looked up a moment later, by the time of
 * the check. With a start it is kept a little longer than promised, so that no checkpoint removes
 * it in that moment.
 */
#include "server/service/service_internal.h"

#include "server/storage/token.h"

#define START_GRACE_US INT64_C(10000000)

static enum cellar_status time_check(const struct svc_token_time *time, struct cellar_error *error)
{
    CELLAR_ASSERT(time != NULL);
    if (time->start_us < 0 || time->life_us < 0 || time->life_us > STORE_TOKEN_WINDOW_US) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'token' : start must be >= 0 and life between 0 "
                                "and %lld microseconds, but they are %lld and %lld",
                                (long long)STORE_TOKEN_WINDOW_US, (long long)time->start_us,
                                (long long)time->life_us);
    }
    return CELLAR_OK;
}

enum cellar_status svc_token_expiry(const struct svc_token_time *time, int64_t now_us,
                                    int64_t *expiry_us, struct cellar_error *error)
{
    CELLAR_TRY(time_check(time, error));
    int64_t start_us = time->start_us == 0 ? now_us : CELLAR_MIN(time->start_us, now_us);
    int64_t end_us = start_us + (time->life_us == 0 ? STORE_TOKEN_WINDOW_US : time->life_us);
    CELLAR_ASSERT(end_us > 0);
    if (end_us < now_us) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "Error in field 'token' : the request was first sent %lld seconds "
                                "ago, which is past the life of its token; nothing was applied",
                                (long long)((now_us - start_us) / 1000000));
    }
    *expiry_us = time->start_us == 0 ? end_us : end_us + START_GRACE_US;
    return CELLAR_OK;
}

enum cellar_status svc_token_check(struct cellar_slice token, struct cellar_error *error)
{
    CELLAR_ASSERT(token.bytes == 0 || token.data != NULL);
    if (token.data == NULL ||
        (token.bytes >= STORE_TOKEN_BYTES_MIN && token.bytes <= STORE_TOKEN_BYTES_MAX)) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "Error in field 'token' : must have %u to %u bytes, but has %zu",
                            STORE_TOKEN_BYTES_MIN, STORE_TOKEN_BYTES_MAX, token.bytes);
}
