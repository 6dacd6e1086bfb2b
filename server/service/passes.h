#ifndef CELLAR_SERVICE_PASSES_H
#define CELLAR_SERVICE_PASSES_H

#include <pthread.h>

#include "common/sync.h"
#include "server/tablet/table.h"

/*
 * Passes over tables on a thread of their own, one at a time: what scrubs and compactions share.
 * Some the thread makes by itself, in the background; a pass by command takes the place of such a
 * one. The owner keeps how far a pass is, under the same lock.
 */

/** What is to be done. */
struct svc_order {
    struct tablet_table *table; /* a reference; NULL: all */
    uint64_t bytes_per_second;  /* 0: no limit */
    bool is_background;
};

struct svc_passes {
    pthread_t thread;
    struct cellar_mutex lock;
    struct cellar_cond changed;
    bool is_stopping CELLAR_GUARDED_BY(lock);
    bool is_cancelled CELLAR_GUARDED_BY(lock); /* the pass that runs is to end */
    bool has_order CELLAR_GUARDED_BY(lock);
    struct svc_order order CELLAR_GUARDED_BY(lock); /* that waits for the thread */
    bool is_running CELLAR_GUARDED_BY(lock);
    bool is_background CELLAR_GUARDED_BY(lock); /* the pass that runs */
};

/** Starts the thread. Zeroed before. @return CELLAR_OK, RESOURCE_EXHAUSTED (no thread): nothing is
 * held */
enum cellar_status svc_passes_start(struct svc_passes *passes, void *(*run)(void *), void *context,
                                    struct cellar_error *error) CELLAR_MUST_USE;

/** Ends a pass that runs, as soon as it looks, and the thread; frees. */
void svc_passes_stop(struct svc_passes *passes);

/**
 * Asks for a pass by command.
 *
 * @param order  its table's reference is taken also on failure
 * @param what   begins the text of a refusal: "A scrub"
 * @return CELLAR_OK; FAILED_PRECONDITION when one by command runs or waits
 */
enum cellar_status svc_passes_ask(struct svc_passes *passes, const struct svc_order *order,
                                  const char *what, struct cellar_error *error) CELLAR_MUST_USE;

/** Has the pass that runs or was asked for end. An order that has not begun begins and ends at
 * once, so that who waits for it sees an end. Any thread. */
void svc_passes_cancel(struct svc_passes *passes);

/** Takes the order that waits. @return false when there is none */
bool svc_passes_take(struct svc_passes *passes, struct svc_order *order)
    CELLAR_REQUIRES(passes->lock);

/** Notes that a pass begins; one by itself does not heed a cancellation of before. */
void svc_passes_begin(struct svc_passes *passes, const struct svc_order *order)
    CELLAR_REQUIRES(passes->lock);

/** Notes that it has ended. */
void svc_passes_end(struct svc_passes *passes) CELLAR_REQUIRES(passes->lock);

/** Whether the pass that runs is to end: cancelled, to give way, or the thread stops. */
bool svc_passes_is_over(const struct svc_passes *passes) CELLAR_REQUIRES(passes->lock);

/**
 * Rests as long as some bytes may take, unless the pass is to end.
 *
 * @param until_us  monotonic; kept from one call to the next, begins as now. Work that was slower
 *                  than it may be is not made up for beyond a second
 */
void svc_passes_rest(struct svc_passes *passes, int64_t *until_us, uint64_t bytes,
                     uint64_t bytes_per_second) CELLAR_REQUIRES(passes->lock);

/** The full name of what a pass is about; empty for all. Memory of `arena`. NO_MEMORY. */
enum cellar_status svc_passes_table_name(const struct tablet_table *table,
                                         struct cellar_arena *arena, struct cellar_slice *to)
    CELLAR_MUST_USE;

#endif
