/*
 * The decision to send a request again, for every kind of failure:
 *
 *     ANSWERED   with UNAVAILABLE: again after the server's delay or the back-off; with anything
 *                else: no, it would be answered the same way
 *     CONNECT    again after the back-off, a few times only: who mistyped a port wants to know
 *     UNSENT     again: a request that did not leave in full was not applied
 *     SENT       a read: again; a write that has the same result when applied twice: again, once;
 *                any other write: no, and its outcome is unknown
 *
 * A write of which one attempt was lost on the way stays in doubt whatever comes later, but for
 * answers that the lost attempt must have got as well.
 *
 * The back-off doubles from 50 ms to 2 s; half of every delay is left to chance, so that clients
 * which failed together do not come back together. No attempt starts behind the deadline. The state
 * belongs to one call; nothing here has a clock, a thread or memory.
 */

#include "client/lib/retry.h"

#define BACKOFF_US_MIN INT64_C(50000)
#define BACKOFF_US_MAX INT64_C(2000000)
#define BACKOFF_DOUBLINGS_MAX 6u
#define SENT_COUNT_MAX 1u /* of writes */

/* splitmix64 */
uint64_t cellar_random_next(uint64_t *state)
{
    CELLAR_ASSERT(state != NULL);
    uint64_t bits = *state += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return bits ^ bits >> 31;
}

int64_t cellar_retry_backoff_us(uint32_t attempt_count, uint32_t hint_ms, uint64_t random)
{
    CELLAR_ASSERT(attempt_count >= 1);
    uint32_t doublings = CELLAR_MIN(attempt_count - 1, BACKOFF_DOUBLINGS_MAX);
    int64_t base = CELLAR_MIN(BACKOFF_US_MIN << doublings, BACKOFF_US_MAX);
    if (hint_ms > 0) {
        int64_t hint_us = (int64_t)hint_ms * 1000;
        return hint_us + (int64_t)(random % (uint64_t)(hint_us / 2 + 1));
    }
    return base / 2 + (int64_t)(random % (uint64_t)(base / 2 + 1));
}

/* Whether the request may be sent again at all, and whether a pause comes first. */
static bool may_send_again(const struct cellar_retry *retry, enum cellar_attempt attempt,
                           enum cellar_status code, bool *has_pause)
{
    *has_pause = true;
    switch (attempt) {
    case CELLAR_ATTEMPT_ANSWERED:
        return cellar_status_is_retryable(code);
    case CELLAR_ATTEMPT_CONNECT:
        return cellar_status_is_retryable(code) &&
               retry->connect_attempt_count < retry->connect_attempts_max;
    case CELLAR_ATTEMPT_UNSENT:
        return cellar_status_is_retryable(code);
    case CELLAR_ATTEMPT_SENT:
        /* The first time an idle connection was most likely stale: there is nothing to wait for. */
        *has_pause = retry->sent_count > 1;
        if (retry->safety == CELLAR_SAFETY_READ) {
            return cellar_status_is_retryable(code);
        }
        return retry->safety == CELLAR_SAFETY_IDEMPOTENT && retry->sent_count <= SENT_COUNT_MAX;
    }
    CELLAR_ASSERT(attempt <= CELLAR_ATTEMPT_SENT);
    return false;
}

/* Whether a code says enough of a write of which an earlier attempt may have been applied. */
static bool is_certain(enum cellar_attempt attempt, enum cellar_status code)
{
    CELLAR_ASSERT(code != CELLAR_OK);
    if (attempt == CELLAR_ATTEMPT_ANSWERED &&
        (code == CELLAR_INVALID_ARGUMENT || code == CELLAR_UNIMPLEMENTED)) {
        return true; /* the earlier attempt was refused for the same reason */
    }
    return code == CELLAR_DEADLINE_EXCEEDED; /* says already that the outcome is unknown */
}

bool cellar_retry_again(struct cellar_retry *retry, enum cellar_attempt attempt,
                        struct cellar_retry_chance chance, struct cellar_error *error,
                        int64_t *delay_us)
{
    bool has_pause;
    CELLAR_ASSERT(error->code != CELLAR_OK);
    /* Counted whatever follows, so that a call's history is whole when it ends. */
    retry->attempt_count++;
    retry->connect_attempt_count += attempt == CELLAR_ATTEMPT_CONNECT ? 1u : 0u;
    retry->sent_count += attempt == CELLAR_ATTEMPT_SENT ? 1u : 0u;
    bool is_wanted = may_send_again(retry, attempt, error->code, &has_pause) &&
                     retry->attempt_count < retry->attempts_max;
    int64_t pause_us = has_pause ? cellar_retry_backoff_us(retry->attempt_count,
                                                           error->retry_delay_ms, chance.random)
                                 : 0;
    if (is_wanted && (retry->deadline_us == 0 || pause_us < retry->deadline_us - chance.now_us)) {
        *delay_us = pause_us;
        return true;
    }
    if (retry->safety != CELLAR_SAFETY_READ && retry->sent_count > 0 &&
        !is_certain(attempt, error->code)) {
        cellar_error_prefix(error, "The write may or may not have been applied");
        error->code = CELLAR_OUTCOME_UNKNOWN;
        error->retry_delay_ms = 0;
    }
    return false;
}
