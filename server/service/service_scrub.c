/*
 * SCRUB: starts, tells and cancels. What is asked for is checked here; the thread is scrubber.c's.
 *
 * Nothing waits for a scrub: it takes as long as the data is large, and who asked comes back for
 * the status.
 */
#include "server/service/service_internal.h"

#define BYTES_PER_SECOND_MIN UINT64_C(1024)

static enum cellar_status scrub_start(struct svc *svc, const struct svc_request *request,
                                      const struct svc_scrub_request *scrub,
                                      struct cellar_error *error)
{
    struct tablet_table *table = NULL;
    uint64_t bytes_per_second =
        scrub->bytes_per_second == 0 ? SVC_SCRUB_BYTES_PER_SECOND : scrub->bytes_per_second;
    if (bytes_per_second < BYTES_PER_SECOND_MIN) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'bytes_per_second' : must be 0 or at least %llu, "
                                "but is %llu",
                                (unsigned long long)BYTES_PER_SECOND_MIN,
                                (unsigned long long)bytes_per_second);
    }
    if (scrub->table.bytes > 0) {
        CELLAR_TRY(svc_table_find(svc, request, scrub->table, &table, error));
    }
    CELLAR_ASSERT(svc->scrubber != NULL);
    return svc_scrubber_ask(svc->scrubber, table, bytes_per_second, error);
}

/* A table beside another action would be ignored, so it is refused. */
static enum cellar_status scrub_check(const struct svc_scrub_request *scrub,
                                      struct cellar_error *error)
{
    if ((unsigned)scrub->action > SVC_SCRUB_CANCEL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'action' : must be 0 (start), 1 (status) or 2 "
                                "(cancel), but is %u",
                                (unsigned)scrub->action);
    }
    if (scrub->action != SVC_SCRUB_START &&
        (scrub->table.bytes > 0 || scrub->bytes_per_second > 0)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'action' : only a start takes a table or a rate");
    }
    CELLAR_ASSERT(scrub->table.bytes == 0 || scrub->table.data != NULL);
    return CELLAR_OK;
}

enum cellar_status svc_scrub(struct svc *svc, const struct svc_request *request,
                             const struct svc_scrub_request *scrub, struct cellar_arena *arena,
                             struct svc_scrub_status *status, struct cellar_error *error)
{
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_TRY(scrub_check(scrub, error));
    CELLAR_ASSERT(svc->scrubber != NULL);
    if (scrub->action == SVC_SCRUB_START) {
        CELLAR_TRY(scrub_start(svc, request, scrub, error));
    } else if (scrub->action == SVC_SCRUB_CANCEL) {
        svc_scrubber_cancel(svc->scrubber);
    }
    return svc_scrubber_status(svc->scrubber, arena, status) == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a scrub's findings");
}
