#ifndef CELLAR_CLIENT_RETRY_H
#define CELLAR_CLIENT_RETRY_H

#include "common/status.h"

/*
 * Whether a request that failed is sent again, and when. Pure: time and random bits come in as
 * numbers. PROTOCOL.md, "Connection" 4 and the table of codes.
 */

/** What sending a request twice may do. */
enum cellar_safety {
    CELLAR_SAFETY_READ,       /* nothing */
    CELLAR_SAFETY_WRITE,      /* apply it twice, with two results */
    CELLAR_SAFETY_IDEMPOTENT, /* apply it twice, with the result of once */
};

/** How one attempt ended. */
enum cellar_attempt {
    CELLAR_ATTEMPT_ANSWERED, /* the server answered, or the client refused */
    CELLAR_ATTEMPT_CONNECT,  /* no connection could be made */
    CELLAR_ATTEMPT_UNSENT,   /* the connection broke before the whole request was sent */
    CELLAR_ATTEMPT_SENT,     /* it broke afterwards, without an answer */
    CELLAR_ATTEMPT_MOVED     /* the server named another, which the next attempt is to go to */
};

/** One call's attempts so far. */
struct cellar_retry {
    enum cellar_safety safety;
    uint32_t attempts_max;
    uint32_t connect_attempts_max;
    int64_t deadline_us; /* monotonic; 0 = none */
    uint32_t attempt_count;
    uint32_t connect_attempt_count;
    uint32_t hop_count;  /* attempts that ended CELLAR_ATTEMPT_MOVED, in a row */
    uint32_t sent_count; /* attempts that were sent and whose outcome nobody knows */
};

/** The clock and the dice of a decision. */
struct cellar_retry_chance {
    int64_t now_us;
    uint64_t random; /* any 64 bits */
};

/** Counts from nothing again: the call got on since, and no attempt of what is left was lost. */
void cellar_retry_renew(struct cellar_retry *retry);

/** The next 64 random bits of a sequence that `state` holds; good for jitter only. */
uint64_t cellar_random_next(uint64_t *state);

/**
 * The pause before the next attempt, half of it by chance.
 *
 * @param attempt_count  attempts so far, >= 1
 * @param hint_ms        what the server asked for; 0 = nothing
 */
int64_t cellar_retry_backoff_us(uint32_t attempt_count, uint32_t hint_ms, uint64_t random);

/**
 * Counts an attempt that failed and decides. The one place where it is decided whether a request is
 * safe to send again: for blocking calls, asynchronous calls and the rows of a writer.
 *
 * @param error     of the attempt; its code becomes CELLAR_OUTCOME_UNKNOWN when a write may have
 *                  been applied and is not sent again
 * @param delay_us  receives how long to wait before the next attempt, 0 included
 * @return true when the request is to be sent again, on a new connection unless ANSWERED
 */
bool cellar_retry_again(struct cellar_retry *retry, enum cellar_attempt attempt,
                        struct cellar_retry_chance chance, struct cellar_error *error,
                        int64_t *delay_us);

#endif
