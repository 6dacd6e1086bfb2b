#ifndef CELLAR_SERVICE_LOADER_H
#define CELLAR_SERVICE_LOADER_H

#include "server/service/service.h"
#include "server/tablet/load.h"

/*
 * The bulk loads that are under way, by number, and the thread that ends those that nobody goes on
 * with: idle for a minute, let go by their connection, or at the server's stop.
 */

#define SVC_LOAD_COUNT_MAX 2u /* each may hold a thread of the pool for long */

struct svc_loader;

/** Starts the thread. @param idle_us  how long a load may rest between two requests. NO_MEMORY,
 * RESOURCE_EXHAUSTED (no thread) */
enum cellar_status svc_loader_start(struct tablet_db *db, int64_t idle_us,
                                    struct svc_loader **loader, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Has all loads end, and refuses new ones with UNAVAILABLE from now on. Does not wait. Any thread.
 */
void svc_loader_cease(struct svc_loader *loader);

/** Ends the thread, abandons what is left, frees. No request is under way. Takes NULL. */
void svc_loader_stop(struct svc_loader *loader);

/** Begins a load. @param id  receives its number. As tablet_load_begin(); RESOURCE_EXHAUSTED when
 * SVC_LOAD_COUNT_MAX run; UNAVAILABLE at the server's stop */
enum cellar_status svc_loader_begin(struct svc_loader *loader, struct tablet_table *table,
                                    const struct svc_load_range *range, const void *owner,
                                    uint64_t *id, struct cellar_error *error) CELLAR_MUST_USE;

/** Takes rows. As svc_load_rows(). */
enum cellar_status svc_loader_rows(struct svc_loader *loader, const struct svc_load_rows *rows,
                                   struct cellar_error *error) CELLAR_MUST_USE;

/** Commits, or aborts, and forgets the load. As svc_load_commit(), svc_load_abort(). */
enum cellar_status svc_loader_commit(struct svc_loader *loader, uint64_t id,
                                     struct svc_load_counts *counts, struct cellar_error *error)
    CELLAR_MUST_USE;
enum cellar_status svc_loader_abort(struct svc_loader *loader, uint64_t id,
                                    struct cellar_error *error) CELLAR_MUST_USE;

/** Has the loads of an owner end. Does not wait. Any thread. */
void svc_loader_release(struct svc_loader *loader, const void *owner);

/** Shows the metrics. Any thread. */
void svc_loader_show(struct svc_loader *loader, struct cellar_metric_page *page);

#endif
