/*
 * How a tablet gets warm and cold.
 *
 *            clean_left steps in a row without a wait
 *     COLD ------------------------------------------> WARM
 *          <------------------------------------------
 *            a step waited, or none came for a minute
 *
 * Begun cold, since after a start nothing is mapped and perhaps nothing in memory. A few clean
 * steps may be luck where most pages are in memory and some are not: such a tablet would stall a
 * loop with each page that is not. So whenever a loop has waited, twice as many are asked for the
 * next time, until a minute went by without.
 *
 * What a thread's faults were when it last looked is kept by the thread: a slow step without a new
 * one was slow for other reasons. Faults in between, of the program's own pages, count for the
 * step that looks next; they are few.
 */
#include "server/tablet/warmth.h"

#include <sys/resource.h>

static _Thread_local uint64_t faults_known; /* and one more; 0: never looked */

/* Faults of the calling thread that had to wait for a disk. */
static uint64_t faults_get(void)
{
    struct rusage usage;
    int result = getrusage(RUSAGE_THREAD, &usage);
    CELLAR_ASSERT(result == 0 && usage.ru_majflt >= 0);
    return (uint64_t)usage.ru_majflt;
}

void tablet_warmth_init(struct tablet_warmth *warmth)
{
    atomic_init(&warmth->warm_until_us, 0);
    atomic_init(&warmth->stalled_us, 0);
    atomic_init(&warmth->clean_left, TABLET_CLEAN_COUNT_MIN);
    atomic_init(&warmth->clean_count, TABLET_CLEAN_COUNT_MIN);
    CELLAR_ASSERT(tablet_warmth_is_cold(warmth, 0));
}

void tablet_watch_begin(struct tablet_watch *watch, int64_t now_us, bool may_wait)
{
    CELLAR_ASSERT(watch != NULL);
    watch->begun_us = now_us;
    watch->may_wait = may_wait;
    watch->fault_count = may_wait ? faults_get() : 0;
}

/* A loop has waited: more steps must be clean before one is trusted again. */
static void stall_note(struct tablet_warmth *warmth, int64_t now_us)
{
    uint32_t count = atomic_load_explicit(&warmth->clean_count, memory_order_relaxed);
    int64_t before_us = atomic_load_explicit(&warmth->stalled_us, memory_order_relaxed);
    CELLAR_ASSERT(count >= TABLET_CLEAN_COUNT_MIN);
    bool is_first = before_us == 0 || now_us - before_us >= TABLET_WARM_US;
    count = is_first ? TABLET_CLEAN_COUNT_MIN : CELLAR_MIN(count * 2, TABLET_CLEAN_COUNT_MAX);
    atomic_store_explicit(&warmth->clean_count, count, memory_order_relaxed);
    atomic_store_explicit(&warmth->stalled_us, now_us, memory_order_relaxed);
}

bool tablet_warmth_note(struct tablet_warmth *warmth, int64_t now_us, bool may_wait,
                        bool has_waited)
{
    CELLAR_ASSERT(now_us >= 0);
    if (has_waited) {
        if (!may_wait) {
            stall_note(warmth, now_us);
        }
        uint32_t count = atomic_load_explicit(&warmth->clean_count, memory_order_relaxed);
        atomic_store_explicit(&warmth->clean_left, count, memory_order_relaxed);
        return !may_wait;
    }
    uint32_t left = atomic_load_explicit(&warmth->clean_left, memory_order_relaxed);
    if (left > 0) {
        atomic_store_explicit(&warmth->clean_left, left - 1, memory_order_relaxed);
    }
    atomic_store_explicit(&warmth->warm_until_us, now_us + TABLET_WARM_US, memory_order_relaxed);
    return false;
}

bool tablet_watch_look(const struct tablet_watch *watch, struct tablet_warmth *warmth,
                       int64_t now_us, bool has_fetched)
{
    bool has_waited = has_fetched;
    bool is_fresh = tablet_warmth_is_fresh(warmth, now_us);
    if (watch->may_wait) {
        has_waited = has_waited || faults_get() != watch->fault_count;
    } else if (now_us - watch->begun_us >= TABLET_SLOW_US) {
        uint64_t known = faults_get() + 1;
        has_waited = has_waited || (faults_known != 0 && known != faults_known);
        faults_known = known;
        if (!has_waited && is_fresh) {
            return false; /* slow for other reasons, and nothing to note */
        }
    }
    CELLAR_ASSERT(watch->begun_us >= 0);
    return tablet_warmth_note(warmth, now_us, watch->may_wait, has_waited);
}
