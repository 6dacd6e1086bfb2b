/*
 * COMPACT: starts, tells and cancels. What is asked for is checked here; the thread is
 * compactor.c's. Nothing waits for a compaction: who asked comes back for the status.
 */
#include "server/service/service_internal.h"

#define BYTES_PER_SECOND_MIN UINT64_C(1024)

static enum cellar_status compact_start(struct svc *svc, const struct svc_request *request,
                                        const struct svc_compact_request *compact,
                                        struct cellar_error *error)
{
    struct tablet_table *table = NULL;
    if (compact->bytes_per_second > 0 && compact->bytes_per_second < BYTES_PER_SECOND_MIN) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'bytes_per_second' : must be 0 or at least %llu, "
                                "but is %llu",
                                (unsigned long long)BYTES_PER_SECOND_MIN,
                                (unsigned long long)compact->bytes_per_second);
    }
    if (compact->table.bytes > 0) {
        CELLAR_TRY(svc_table_find(svc, request, compact->table, &table, error));
    }
    CELLAR_ASSERT(svc->compactor != NULL);
    return svc_compactor_ask(svc->compactor, table, compact->bytes_per_second, error);
}

/* A table beside another action would be ignored, so it is refused. */
static enum cellar_status compact_check(const struct svc_compact_request *compact,
                                        struct cellar_error *error)
{
    if ((unsigned)compact->action > SVC_COMPACT_CANCEL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'action' : must be 0 (start), 1 (status) or 2 "
                                "(cancel), but is %u",
                                (unsigned)compact->action);
    }
    if (compact->action != SVC_COMPACT_START &&
        (compact->table.bytes > 0 || compact->bytes_per_second > 0)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'action' : only a start takes a table or a rate");
    }
    CELLAR_ASSERT(compact->table.bytes == 0 || compact->table.data != NULL);
    return CELLAR_OK;
}

enum cellar_status svc_compact(struct svc *svc, const struct svc_request *request,
                               const struct svc_compact_request *compact,
                               struct cellar_arena *arena, struct svc_compact_status *status,
                               struct cellar_error *error)
{
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_TRY(compact_check(compact, error));
    CELLAR_ASSERT(svc->compactor != NULL);
    if (compact->action == SVC_COMPACT_START) {
        CELLAR_TRY(compact_start(svc, request, compact, error));
    } else if (compact->action == SVC_COMPACT_CANCEL) {
        svc_compactor_cancel(svc->compactor);
    }
    return svc_compactor_status(svc->compactor, arena, status) == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a compaction's status");
}
