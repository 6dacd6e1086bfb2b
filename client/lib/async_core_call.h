#ifndef CELLAR_CLIENT_ASYNC_CORE_CALL_H
#define CELLAR_CLIENT_ASYNC_CORE_CALL_H

#include "client/lib/async_core.h"

/* The steps of a call in a core, for async_core.c. "Nowhere" is in no place of the core's. */

/** Takes a call out of where it is: it is nowhere. */
void cellar_core_call_leave(struct cellar_core *core, struct cellar_async_call *call);

/** Ends a call, which is nowhere, with what its error says. */
void cellar_core_call_end(struct cellar_core *core, struct cellar_async_call *call);

/**
 * Puts a call, which is nowhere, into a place: into the queue of its server's core, or none but the
 * timers. Without memory the call ends.
 *
 * @param at_us  when its timer fires: its deadline, or its next attempt when PAUSED
 */
void cellar_core_call_wait(struct cellar_core *core, struct cellar_async_call *call,
                           enum cellar_async_place place, int64_t at_us);

/** Decides over a call, which is nowhere, after a failed attempt: it waits, or ends. */
void cellar_core_call_failed(struct cellar_core *core, struct cellar_async_call *call,
                             enum cellar_attempt attempt, int64_t now_us);

/** What the timers of calls fire; `context` is the core. */
void cellar_core_call_fire(struct cellar_timer *timer, void *context, int64_t now_us);

#endif
