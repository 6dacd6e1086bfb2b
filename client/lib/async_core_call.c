/*
 * What becomes of the calls of a core: where each one is, and what follows a failed attempt.
 *
 *     add --> QUEUED --a line has room--> FLYING --REPLY, final ERROR--> OVER --> finished list
 *               ^  \                        |
 *               |   +---deadline, stop------|----------------------------> OVER
 *               |                           |  UNAVAILABLE, line broke:
 *               +--PAUSED <--retry.c: again-+  what may go again
 *
 * Each call is in one place: QUEUED ones are in the queue, FLYING ones in their line's table,
 * PAUSED ones only in the heap of timers, in which all of them are, with their deadline or next
 * attempt. So a call ends in time whatever the connections do. A call whose time passes in flight
 * leaves its id behind: CANCEL is sent, and the answer, when it comes, meets an empty place in the
 * table.
 *
 * With several servers each has a core, and a call that is to be queued goes to the one that the
 * router picks for it, so that a call which was sent on, or whose server was lost, goes again
 * elsewhere. A core with a router is one of many; all of them belong to one driver.
 *
 * Pure, as the core.
 */

#include "client/lib/async_core_call.h"

#include <stdio.h>

/* The clock and the dice for a decision. */
static struct cellar_retry_chance chance_make(struct cellar_core *core, int64_t now_us)
{
    CELLAR_ASSERT(now_us >= 0);
    return (struct cellar_retry_chance){.now_us = now_us,
                                        .random = cellar_random_next(&core->random_state)};
}

/* Takes a call out of where it is. */
void cellar_core_call_leave(struct cellar_core *core, struct cellar_async_call *call)
{
    CELLAR_ASSERT(call->place != CELLAR_ASYNC_NEW && call->place != CELLAR_ASYNC_OVER);
    if (call->place == CELLAR_ASYNC_QUEUED) {
        cellar_async_remove(&core->queued, call);
    } else if (call->place == CELLAR_ASYNC_FLYING) {
        cellar_line_take(&core->lines[call->line_index], call);
    }
    cellar_timers_remove(&core->timers, &call->timer);
}

/* Ends a call, which is nowhere, with what its error says. Outcomes are collected, not given:
 * callbacks must not run in the middle of a step of the core. */
void cellar_core_call_end(struct cellar_core *core, struct cellar_async_call *call)
{
    CELLAR_ASSERT(call->place != CELLAR_ASYNC_OVER && core->call_count > 0);
    CELLAR_ASSERT(call->timer.place == 0);
    call->place = CELLAR_ASYNC_OVER;
    core->call_count--;
    cellar_async_append(&core->finished, call);
}

/* The core that a call is to be queued at, which counts it from here on. */
static struct cellar_core *call_route(struct cellar_core *core, struct cellar_async_call *call)
{
    const struct cellar_core_router *router = core->terms.router;
    struct cellar_core *to = router == NULL ? core : router->pick(router->context, call);
    CELLAR_ASSERT(core->call_count > 0);
    core->call_count--;
    to->call_count++;
    return to;
}

/* Puts a call into a place that is no list but the timers. Every call that waits has a timer, so
 * without memory for one the call ends here; it could not end in time else. */
void cellar_core_call_wait(struct cellar_core *core, struct cellar_async_call *call,
                           enum cellar_async_place place, int64_t at_us)
{
    CELLAR_ASSERT(place != CELLAR_ASYNC_OVER);
    if (place == CELLAR_ASYNC_QUEUED) {
        core = call_route(core, call);
    }
    call->core = core;
    call->place = place;
    if (place == CELLAR_ASYNC_QUEUED) {
        cellar_async_append(&core->queued, call);
    }
    if (cellar_timers_set(&core->timers, &call->timer, at_us) != CELLAR_OK) {
        cellar_core_call_leave(core, call);
        (void)cellar_error_set(&call->error, CELLAR_NO_MEMORY, "No memory for a call");
        cellar_core_call_end(core, call);
    }
}

/* Prepares another attempt; false when the call has ended instead. */
static bool call_restart(struct cellar_core *core, struct cellar_async_call *call)
{
    bool is_over = false;
    CELLAR_ASSERT(call->error.code != CELLAR_OK);
    if (call->kind->restart == NULL) {
        return true;
    }
    enum cellar_status status = call->kind->restart(call, &is_over);
    if (status == CELLAR_OK && !is_over) {
        return true;
    }
    if (is_over) {
        cellar_error_clear(&call->error);
    } else {
        (void)cellar_error_set(&call->error, status,
                               status == CELLAR_NO_MEMORY
                                   ? "No memory to call again"
                                   : "What is left of the call cannot be asked for");
    }
    cellar_core_call_end(core, call);
    return false;
}

/* Decides over a call, which is nowhere, after a failed attempt. The kind's restart comes after the
 * decision and before the wait: what a request has collected is touched only when there is another.
 */
void cellar_core_call_failed(struct cellar_core *core, struct cellar_async_call *call,
                             enum cellar_attempt attempt, int64_t now_us)
{
    int64_t delay_us;
    CELLAR_ASSERT(call->error.code != CELLAR_OK);
    call->attempt = attempt;
    if (call->is_final && attempt != CELLAR_ATTEMPT_MOVED) {
        call->retry.attempts_max = 0;
    }
    if (!cellar_retry_again(&call->retry, attempt, chance_make(core, now_us), &call->error,
                            &delay_us)) {
        cellar_core_call_end(core, call);
        return;
    }
    if (!call_restart(core, call)) {
        return;
    }
    if (delay_us > 0) {
        cellar_core_call_wait(core, call, CELLAR_ASYNC_PAUSED, now_us + delay_us);
    } else {
        cellar_core_call_wait(core, call, CELLAR_ASYNC_QUEUED, call->retry.deadline_us);
    }
}

/* attempts_max 0 leaves cellar_retry_again() one answer, but it still says whether the outcome is
 * unknown: a write whose bytes were sent may have been applied. */
void cellar_core_abort(struct cellar_async_call *call, const struct cellar_error *error,
                       int64_t now_us)
{
    enum cellar_attempt attempt = CELLAR_ATTEMPT_ANSWERED;
    struct cellar_core *core = call->core;
    CELLAR_ASSERT(core != NULL && call->place != CELLAR_ASYNC_OVER);
    if (call->place == CELLAR_ASYNC_FLYING) {
        struct cellar_line *line = &core->lines[call->line_index];
        attempt = cellar_line_attempt(line, call);
        cellar_line_forget(line, call->request_id);
    }
    cellar_core_call_leave(core, call);
    call->error = *error;
    call->retry.attempts_max = 0;
    cellar_core_call_failed(core, call, attempt, now_us);
}

/* A call's timer: its pause is over, or its time is. A line on which nothing came since the call
 * was sent is suspect; one that went on talking is only busy with something else. */
void cellar_core_call_fire(struct cellar_timer *timer, void *context, int64_t now_us)
{
    struct cellar_core *core = context;
    struct cellar_async_call *call = CELLAR_CONTAINER_OF(timer, struct cellar_async_call, timer);
    struct cellar_error error;
    char last[CELLAR_ERROR_TEXT_BYTES_MAX / 2];
    CELLAR_ASSERT(call->place >= CELLAR_ASYNC_QUEUED && call->place <= CELLAR_ASYNC_FLYING);
    CELLAR_ASSERT(call->core == core);
    if (call->place == CELLAR_ASYNC_PAUSED) {
        cellar_core_call_wait(core, call, CELLAR_ASYNC_QUEUED, call->retry.deadline_us);
        return;
    }
    if (call->place == CELLAR_ASYNC_FLYING) {
        struct cellar_line *line = &core->lines[call->line_index];
        line->is_silent = line->is_silent || line->received_bytes == call->received_mark;
        (void)cellar_error_set(&error, CELLAR_DEADLINE_EXCEEDED,
                               "The time limit passed while waiting for the server");
    } else if (call->error.code == CELLAR_OK) {
        (void)cellar_error_set(&error, CELLAR_DEADLINE_EXCEEDED,
                               "The time limit passed before the request could be sent");
    } else {
        (void)snprintf(last, sizeof last, "%.300s", call->error.text);
        (void)cellar_error_set(&error, CELLAR_DEADLINE_EXCEEDED,
                               "The time limit passed before the request could be sent again: %s",
                               last);
    }
    cellar_core_abort(call, &error, now_us);
}

void cellar_core_add(struct cellar_core *core, struct cellar_async_call *call, int64_t now_us)
{
    CELLAR_ASSERT(call->place == CELLAR_ASYNC_NEW && call->kind != NULL);
    CELLAR_ASSERT(call->retry.deadline_us > 0 && call->body.bytes > 0);
    core->call_count++;
    call->timer.fire = cellar_core_call_fire;
    cellar_error_clear(&call->error);
    cellar_core_call_wait(core, call, CELLAR_ASYNC_QUEUED,
                          CELLAR_MAX(call->retry.deadline_us, now_us));
}

/* A write in flight is left to its answer: cancelling could not undo it, and the answer tells what
 * became of it. */
void cellar_core_cancel(struct cellar_async_call *call)
{
    struct cellar_error error;
    CELLAR_ASSERT(call->place != CELLAR_ASYNC_NEW);
    if (call->place == CELLAR_ASYNC_OVER ||
        (call->place == CELLAR_ASYNC_FLYING && call->retry.safety != CELLAR_SAFETY_READ)) {
        return;
    }
    (void)cellar_error_set(&error, CELLAR_CANCELLED, "The call was cancelled");
    cellar_core_abort(call, &error, 0);
}

struct cellar_async_call *cellar_core_finished(struct cellar_core *core)
{
    struct cellar_async_call *call = cellar_async_take(&core->finished);
    CELLAR_ASSERT(call == NULL || call->place == CELLAR_ASYNC_OVER);
    return call;
}
