#ifndef CELLAR_TABLET_WARMTH_H
#define CELLAR_TABLET_WARMTH_H

#include <stdatomic.h>

#include "common/base.h"

/*
 * Whether reads of a tablet are likely to wait for the disk: what they met lately tells. A cold
 * tablet's reads belong on a thread that may wait, a warm one's on any.
 *
 * Pages of a map that are not in memory show as the thread's major faults. On a thread that may
 * wait each step is measured exactly; on an event loop only a step that took long is looked at, as
 * one that waited for a disk did.
 */

#define TABLET_WARM_US                                                                             \
    INT64_C(60000000)                /* without any read for so long, a tablet is cold again       \
                                      */
#define TABLET_CLEAN_COUNT_MIN 16u   /* steps without a wait that make a cold tablet warm, */
#define TABLET_CLEAN_COUNT_MAX 4096u /* and as many as it may come to take */
#define TABLET_SLOW_US 25            /* a step that is faster did not wait for a disk */

/** A tablet's; any thread, without order: a lost update costs a step on the wrong thread. */
struct tablet_warmth {
    _Atomic int64_t warm_until_us; /* monotonic */
    _Atomic int64_t stalled_us;    /* when a loop waited last; 0: never */
    _Atomic uint32_t clean_left;   /* steps to come without a wait until it is warm */
    _Atomic uint32_t clean_count;  /* what that begins with after a wait */
};

/** Makes it cold. */
void tablet_warmth_init(struct tablet_warmth *warmth);

/** Whether a read may have to wait. @param now_us  monotonic, or a little older */
static inline bool tablet_warmth_is_cold(const struct tablet_warmth *warmth, int64_t now_us)
{
    return atomic_load_explicit(&warmth->clean_left, memory_order_relaxed) > 0 ||
           now_us >= atomic_load_explicit(&warmth->warm_until_us, memory_order_relaxed);
}

/** One step's measurement. */
struct tablet_watch {
    int64_t begun_us;
    uint64_t fault_count; /* of the thread, at the beginning, if it may wait */
    bool may_wait;        /* it runs where waiting is no harm */
};

/** Begins to watch the calling thread. */
void tablet_watch_begin(struct tablet_watch *watch, int64_t now_us, bool may_wait);

/** Notes that a step met no wait, or one. @param may_wait  as of its watch @return whether a thread
 * has waited that must not */
bool tablet_warmth_note(struct tablet_warmth *warmth, int64_t now_us, bool may_wait,
                        bool has_waited);

/** Whether a clean step has nothing to add. */
static inline bool tablet_warmth_is_fresh(const struct tablet_warmth *warmth, int64_t now_us)
{
    return atomic_load_explicit(&warmth->warm_until_us, memory_order_relaxed) - now_us >
           TABLET_WARM_US / 2;
}

/** The slower half of tablet_watch_end(). */
bool tablet_watch_look(const struct tablet_watch *watch, struct tablet_warmth *warmth,
                       int64_t now_us, bool has_fetched);

/**
 * Ends the watch over a step that read one tablet.
 *
 * @param has_fetched  pages were asked for ahead of need: they were not in memory
 * @return whether a thread has waited that must not
 */
static inline bool tablet_watch_end(const struct tablet_watch *watch, struct tablet_warmth *warmth,
                                    int64_t now_us, bool has_fetched)
{
    bool is_fast = !watch->may_wait && now_us - watch->begun_us < TABLET_SLOW_US;
    return !(is_fast && tablet_warmth_is_fresh(warmth, now_us)) &&
           tablet_watch_look(watch, warmth, now_us, has_fetched);
}

#endif
