#ifndef CELLAR_SERVICE_SCRUBBER_H
#define CELLAR_SERVICE_SCRUBBER_H

#include "server/service/service.h"
#include "server/tablet/db.h"

/*
 * The thread that scrubs: everything once an interval, and what is asked for by command. One pass
 * at a time; a pass by command takes the place of one by interval.
 */

struct svc_scrubber;

/** Starts the thread. @param interval_us 0: by command only @return CELLAR_OK, NO_MEMORY,
 * RESOURCE_EXHAUSTED (no thread) */
enum cellar_status svc_scrubber_start(struct tablet_db *db, int64_t interval_us,
                                      struct svc_scrubber **scrubber, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Ends a pass that runs, within a slice, and the thread; frees. Takes NULL. */
void svc_scrubber_stop(struct svc_scrubber *scrubber);

/** Changes the interval; the next pass is that long behind the last one. Any thread. */
void svc_scrubber_interval_set(struct svc_scrubber *scrubber, int64_t interval_us);

/**
 * Asks for a pass by command.
 *
 * @param table  a reference, taken also on failure; NULL: everything
 * @return CELLAR_OK; FAILED_PRECONDITION when one by command runs
 */
enum cellar_status svc_scrubber_ask(struct svc_scrubber *scrubber, struct tablet_table *table,
                                    uint64_t bytes_per_second, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Has the pass that runs or was asked for end. Any thread. */
void svc_scrubber_cancel(struct svc_scrubber *scrubber);

/** Describes the latest pass; memory of `arena`. NO_MEMORY. Any thread. */
enum cellar_status svc_scrubber_status(struct svc_scrubber *scrubber, struct cellar_arena *arena,
                                       struct svc_scrub_status *status) CELLAR_MUST_USE;

/** Shows the metrics. Any thread. */
void svc_scrubber_show(struct svc_scrubber *scrubber, struct cellar_metric_page *page);

#endif
