/*
 * The decision to send a request again, for every kind of failure:
 *
 *     ANSWERED   with UNAVAILABLE: again after the server's delay or the back-off; with
 *                OUTCOME_UNKNOWN: as SENT; with anything else: no, it would be answered the same
 *                way
 *     CONNECT    again after the back-off, a few times only: who mistyped a port wants to know
 *     UNSENT     again: a request that did not leave in full was not applied
 *     SENT       a read: again; a write that has the same result when applied twice: again; any
 *                other write: no, and its outcome is unknown
 *     MOVED      again, at once, a few times in a row: servers that send it round get an error
 *
 * A write of which one attempt was lost on the way is in doubt whatever comes later, but for
 * answers that the lost attempt must have got as well. As long as it may be repeated nothing but
 * its deadline and attempts_max ends it: only an answer tells what became of it.
 *
 * The back-off doubles from 50 ms to 2 s; half of every delay is left to chance, so that clients
 * which failed together do not come back together. No attempt starts behind the deadline; a write
 * in doubt waits for half of what is left at most. The state
 * belongs to one call; nothing here has a clock, a thread or memory.
 */

#include "client/lib/retry.h"

#define BACKOFF_US_MIN INT64_C(50000)
#define BACKOFF_US_MAX INT64_C(2000000)
#define BACKOFF_DOUBLINGS_MAX 6u
#define HOPS_MAX 5u

void cellar_retry_renew(struct cellar_retry *retry)
{
    CELLAR_ASSERT(retry->sent_count <= retry->attempt_count);
    retry->attempt_count = 0;
    retry->connect_attempt_count = 0;
    retry->hop_count = 0;
    retry->sent_count = 0;
}

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

/* Whether the request may have been applied by an attempt so far. */
static bool is_in_doubt(const struct cellar_retry *retry)
{
    CELLAR_ASSERT(retry->sent_count <= retry->attempt_count);
    return retry->sent_count > 0 && retry->safety != CELLAR_SAFETY_READ;
}

/* Whether nothing but its deadline keeps the request from being sent again. */
static bool is_held_on_to(const struct cellar_retry *retry)
{
    CELLAR_ASSERT(retry->safety <= CELLAR_SAFETY_IDEMPOTENT);
    return is_in_doubt(retry) && retry->safety == CELLAR_SAFETY_IDEMPOTENT;
}

/* Whether the request may be sent again at all, and whether a pause comes first. */
static bool may_send_again(const struct cellar_retry *retry, enum cellar_attempt attempt,
                           enum cellar_status code, bool *has_pause)
{
    bool is_idempotent = retry->safety == CELLAR_SAFETY_IDEMPOTENT;
    *has_pause = true;
    if (code == CELLAR_CANCELLED) {
        return false; /* whoever waits wants to do so no longer */
    }
    switch (attempt) {
    case CELLAR_ATTEMPT_ANSWERED:
        return cellar_status_is_retryable(code) ||
               (code == CELLAR_OUTCOME_UNKNOWN && is_idempotent);
    case CELLAR_ATTEMPT_CONNECT:
        return cellar_status_is_retryable(code) &&
               (retry->connect_attempt_count < retry->connect_attempts_max || is_held_on_to(retry));
    case CELLAR_ATTEMPT_UNSENT:
        return cellar_status_is_retryable(code);
    case CELLAR_ATTEMPT_MOVED:
        *has_pause = false;
        return retry->hop_count <= HOPS_MAX;
    case CELLAR_ATTEMPT_SENT:
        /* The first time an idle connection was most likely stale: there is nothing to wait for. */
        *has_pause = retry->sent_count > 1;
        return is_idempotent ||
               (retry->safety == CELLAR_SAFETY_READ && cellar_status_is_retryable(code));
    }
    CELLAR_ASSERT(attempt <= CELLAR_ATTEMPT_MOVED);
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

/* Counts a failed attempt, whatever follows, so that a call's history is whole when it ends. */
static void attempt_note(struct cellar_retry *retry, enum cellar_attempt attempt,
                         enum cellar_status code)
{
    CELLAR_ASSERT(attempt <= CELLAR_ATTEMPT_MOVED);
    retry->attempt_count++;
    retry->hop_count = attempt == CELLAR_ATTEMPT_MOVED ? retry->hop_count + 1 : 0;
    if (attempt == CELLAR_ATTEMPT_CONNECT) {
        retry->connect_attempt_count++;
    }
    if (attempt == CELLAR_ATTEMPT_SENT || code == CELLAR_OUTCOME_UNKNOWN) {
        retry->sent_count++;
    }
}

/* The last failure as the call's own: what it leaves open, and what went on before. */
static void error_settle(const struct cellar_retry *retry, enum cellar_attempt attempt,
                         struct cellar_error *error)
{
    CELLAR_ASSERT(error->code != CELLAR_OK);
    if (retry->hop_count > HOPS_MAX) {
        cellar_error_prefix(error, "The request was sent on from server to server %u times",
                            retry->hop_count);
    }
    if (is_in_doubt(retry) && error->code != CELLAR_OUTCOME_UNKNOWN &&
        !is_certain(attempt, error->code)) {
        cellar_error_prefix(error, "The write may or may not have been applied");
        error->code = CELLAR_OUTCOME_UNKNOWN;
        error->retry_delay_ms = 0;
    }
}

bool cellar_retry_again(struct cellar_retry *retry, enum cellar_attempt attempt,
                        struct cellar_retry_chance chance, struct cellar_error *error,
                        int64_t *delay_us)
{
    bool has_pause;
    int64_t pause_us = 0;
    int64_t left_us = retry->deadline_us == 0 ? INT64_MAX : retry->deadline_us - chance.now_us;
    CELLAR_ASSERT(error->code != CELLAR_OK);
    attempt_note(retry, attempt, error->code);
    bool is_wanted = may_send_again(retry, attempt, error->code, &has_pause) &&
                     retry->attempt_count < retry->attempts_max;
    if (has_pause) {
        pause_us =
            cellar_retry_backoff_us(retry->attempt_count, error->retry_delay_ms, chance.random);
    }
    if (is_held_on_to(retry) && error->retry_delay_ms == 0) {
        pause_us = CELLAR_MIN(pause_us, left_us / 2); /* the rest of the time is for answers */
    }
    if (is_wanted && pause_us < left_us) {
        *delay_us = pause_us;
        return true;
    }
    error_settle(retry, attempt, error);
    return false;
}
