#ifndef CELLAR_SERVICE_SCRUBBER_INTERNAL_H
#define CELLAR_SERVICE_SCRUBBER_INTERNAL_H

#include <stdatomic.h>

#include "server/service/passes.h"
#include "server/service/scrubber.h"

/* What scrubber.c (requests, status, the thread's life) and scrub_pass.c (one pass) share; nobody
 * else includes this. */

/** A finding of a pass, one block of memory; counted, never changed. */
struct scrub_problem {
    _Atomic uint32_t references;
    struct tablet_table *table; /* a reference; NULL: the catalog */
    size_t tablet_index;
    bool has_row;
    bool has_rows;
    size_t start_bytes;
    size_t end_bytes;
    size_t why_bytes;
    uint8_t bytes[]; /* start, end, why */
};

/** How far a pass is; the thread writes, with the lock. */
struct scrub_progress {
    enum svc_scrub_state state;
    uint64_t pass;
    bool is_background;
    struct tablet_table *table; /* a reference */
    uint64_t item_count;
    uint64_t item_count_total;
    uint64_t byte_count;
    int64_t started_us;
    int64_t ended_us;
    uint64_t problem_count;
    struct scrub_problem *problems[SVC_SCRUB_PROBLEM_COUNT_MAX];
    size_t problem_count_listed;
};

struct svc_scrubber {
    struct tablet_db *db;
    struct svc_passes passes;
    int64_t interval_us CELLAR_GUARDED_BY(passes.lock);
    int64_t
        background_at_us CELLAR_GUARDED_BY(passes.lock); /* monotonic: when the interval began */
    int64_t delay_us CELLAR_GUARDED_BY(passes.lock); /* of the first one at most; 0: behind it */
    struct scrub_progress progress CELLAR_GUARDED_BY(passes.lock);
    struct cellar_counter item_total; /* the thread's */
    struct cellar_counter byte_total;
    struct cellar_counter problem_total;
    struct cellar_counter pass_total; /* that came to their end */
    _Atomic int64_t last_ended_us;    /* the last of these, of everything; since 1970; 0: none */
    _Atomic uint64_t last_problem_count;
};

/** Runs a pass on the thread; returns early when the scrubber stops or the pass is cancelled.
 * @param order  its table's reference stays the caller's */
void scrub_pass_run(struct svc_scrubber *scrubber, const struct svc_order *order);

/** The last one frees the problem and gives its table's reference back. Takes NULL. */
void scrub_problem_unref(struct scrub_problem *problem);

#endif
