#ifndef CELLAR_SERVICE_COMPACTOR_H
#define CELLAR_SERVICE_COMPACTOR_H

#include "server/service/service.h"
#include "server/tablet/compact.h"

/*
 * The thread that compacts tablets, one at a time: those that are due, and what is asked for by
 * command. A pass by command takes the place of one that was due.
 */

struct svc_compactor;

/** What it does without being asked. */
struct svc_compactor_terms {
    struct tablet_compact_terms due;
    uint64_t bytes_per_second; /* 0: no limit */
};

/** Starts the thread. @return CELLAR_OK, NO_MEMORY, RESOURCE_EXHAUSTED (no thread) */
enum cellar_status svc_compactor_start(struct tablet_db *db,
                                       const struct svc_compactor_terms *terms,
                                       struct svc_compactor **compactor, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Gives up a compaction that runs, within a chunk or its last steps, and ends the thread; frees.
 * Takes NULL. */
void svc_compactor_stop(struct svc_compactor *compactor);

/** Changes the terms; a look follows. Any thread. */
void svc_compactor_terms_set(struct svc_compactor *compactor,
                             const struct svc_compactor_terms *terms);

/**
 * Asks for a pass by command.
 *
 * @param table  a reference, taken also on failure; NULL: all tables
 * @param bytes_per_second  0: no limit
 * @return CELLAR_OK; FAILED_PRECONDITION when one by command runs
 */
enum cellar_status svc_compactor_ask(struct svc_compactor *compactor, struct tablet_table *table,
                                     uint64_t bytes_per_second, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Has the pass that runs or was asked for end. Any thread. */
void svc_compactor_cancel(struct svc_compactor *compactor);

/** Describes the latest pass; memory of `arena`. NO_MEMORY. Any thread. */
enum cellar_status svc_compactor_status(struct svc_compactor *compactor, struct cellar_arena *arena,
                                        struct svc_compact_status *status) CELLAR_MUST_USE;

/** Shows the metrics. Any thread. */
void svc_compactor_show(struct svc_compactor *compactor, struct cellar_metric_page *page);

#endif
