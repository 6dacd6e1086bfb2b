#ifndef CELLAR_CLIENT_TIMERS_H
#define CELLAR_CLIENT_TIMERS_H

#include "common/status.h"

/* Moments to come, the earliest first. A timer lives inside what it wakes; one thread at a time. */

#define CELLAR_TIMERS_COUNT_MAX 4194304u

struct cellar_timer;

/** What happens when a timer's moment has come; the timer is out of the heap. */
typedef void cellar_timer_fire(struct cellar_timer *timer, void *context, int64_t now_us);

/** One moment; zero-initialised but for `fire` it is in no heap. */
struct cellar_timer {
    cellar_timer_fire *fire;
    int64_t at_us;
    uint32_t place; /* 1 + its index in the heap; 0 = in none */
};

/** A binary heap of borrowed timers; zero-initialised is empty. */
struct cellar_timers {
    struct cellar_timer **heap;
    uint32_t count;
    uint32_t capacity;
};

/** Frees the heap's memory; the timers in it are forgotten. */
void cellar_timers_fini(struct cellar_timers *timers);

/**
 * Sets a timer, or sets it anew.
 *
 * @param at_us  its moment
 * @return CELLAR_OK; CELLAR_NO_MEMORY, only for a timer that was in no heap;
 *         CELLAR_RESOURCE_EXHAUSTED when there are too many
 */
enum cellar_status cellar_timers_set(struct cellar_timers *timers, struct cellar_timer *timer,
                                     int64_t at_us) CELLAR_MUST_USE;

/** Takes a timer out of the heap, if it is in it. */
void cellar_timers_remove(struct cellar_timers *timers, struct cellar_timer *timer);

/** The earliest timer, or NULL. */
struct cellar_timer *cellar_timers_first(const struct cellar_timers *timers);

/** Fires every timer whose moment is `now_us` or earlier; they may set others, later ones only. */
void cellar_timers_run(struct cellar_timers *timers, void *context, int64_t now_us);

#endif
