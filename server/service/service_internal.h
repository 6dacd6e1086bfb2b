#ifndef CELLAR_SERVICE_SERVICE_INTERNAL_H
#define CELLAR_SERVICE_SERVICE_INTERNAL_H

#include <stdatomic.h>

#include "server/service/compactor.h"
#include "server/service/gate.h"
#include "server/service/loader.h"
#include "server/service/scrubber.h"
#include "server/tablet/scan.h"

/* What the service's files share; no front end includes this. */

struct svc {
    struct tablet_db *db;
    struct svc_scrubber *scrubber;
    struct svc_compactor *compactor;
    struct svc_loader *loader;
    struct svc_gate bulky; /* of mutations that need much memory, one at a time */
    bool implicit_instances;
    _Atomic bool is_draining;
    _Atomic uint64_t write_count; /* requests whose `done` has not been called */
    _Atomic uint64_t write_total; /* requests that were let in */
    _Atomic uint64_t read_total;  /* reads that were opened */
    /* Entries of batches, by how each ended. The log's thread counts them, and a loop's those that
     * were refused before the log: shared. */
    struct cellar_counter entry_totals[CELLAR_STATUS_COUNT];
};

/** DEADLINE_EXCEEDED when the request's deadline has passed. `request` may be NULL. */
enum cellar_status svc_deadline_check(const struct svc_request *request, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Deadline, name, table: the start of every operation on one. @param table receives a reference */
enum cellar_status svc_table_find(struct svc *svc, const struct svc_request *request,
                                  struct cellar_slice name, struct tablet_table **table,
                                  struct cellar_error *error) CELLAR_MUST_USE;

/** Describes a table into `to` (memory: `arena`) and gives the reference back, whether or not there
 * was memory. NO_MEMORY. */
enum cellar_status svc_describe_end(struct svc *svc, struct tablet_table *table,
                                    struct cellar_arena *arena, struct svc_table *to,
                                    struct cellar_error *error) CELLAR_MUST_USE;

/** Checks a token's form; one without data is none. INVALID_ARGUMENT. */
enum cellar_status svc_token_check(struct cellar_slice token, struct cellar_error *error)
    CELLAR_MUST_USE;

/** When the tokens of a request end. @param now_us the server's time. INVALID_ARGUMENT;
 * FAILED_PRECONDITION when that is past */
enum cellar_status svc_token_expiry(const struct svc_token_time *time, int64_t now_us,
                                    int64_t *expiry_us, struct cellar_error *error) CELLAR_MUST_USE;

/** What a submitting thread keeps from request to request. */
struct svc_scratch {
    struct cellar_arena arena;    /* of the write being submitted */
    struct cellar_buffer payload; /* likewise */
    struct store_slab slab;       /* for batches */
    struct svc_read *spare_reads; /* idle ones, a list */
    uint32_t spare_read_count;
};

/** The calling thread's scratch; NULL without memory. */
struct svc_scratch *svc_scratch_get(void);

/** Gives the payload's memory back when it is much. The arena stays: it has the entries. */
void svc_scratch_clear_payload(struct svc_scratch *scratch);

/** Empties arena and payload, and gives much memory back. */
void svc_scratch_clear(struct svc_scratch *scratch);

/** Frees a list of idle reads; takes NULL. */
void svc_reads_free(struct svc_read *reads);

#endif
