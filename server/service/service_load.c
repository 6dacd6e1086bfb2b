/*
 * Bulk loads: what is asked for is checked here; loader.c keeps them from request to request. All
 * of it waits for the disk.
 */
#include "server/service/service_internal.h"

static enum cellar_status bound_check(struct cellar_slice bound, const char *name,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(name != NULL);
    if (bound.bytes <= CELLAR_ROW_BYTES_MAX) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "Error in field '%s' : must have at most %u bytes, but has %zu", name,
                            CELLAR_ROW_BYTES_MAX, bound.bytes);
}

static enum cellar_status range_check(const struct svc_load_range *range,
                                      struct cellar_error *error)
{
    CELLAR_TRY(bound_check(range->start, "start", error));
    CELLAR_TRY(bound_check(range->end, "end", error));
    CELLAR_ASSERT(range->table.bytes == 0 || range->table.data != NULL);
    if (range->end.bytes > 0 && cellar_slice_compare(range->start, range->end) >= 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'end' : must be greater than the start");
    }
    return CELLAR_OK;
}

enum cellar_status svc_load_begin(struct svc *svc, const struct svc_request *request,
                                  const struct svc_load_range *range, const void *owner,
                                  uint64_t *id, struct cellar_error *error)
{
    struct tablet_table *table = NULL;
    CELLAR_TRY(range_check(range, error));
    CELLAR_TRY(svc_table_find(svc, request, range->table, &table, error));
    CELLAR_ASSERT(table != NULL);
    enum cellar_status status = svc_loader_begin(svc->loader, table, range, owner, id, error);
    tablet_table_unref(table);
    return status;
}

enum cellar_status svc_load_rows(struct svc *svc, const struct svc_request *request,
                                 const struct svc_load_rows *rows, struct cellar_error *error)
{
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_ASSERT(svc->loader != NULL);
    return svc_loader_rows(svc->loader, rows, error);
}

enum cellar_status svc_load_commit(struct svc *svc, const struct svc_request *request, uint64_t id,
                                   struct svc_load_counts *counts, struct cellar_error *error)
{
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_ASSERT(svc->loader != NULL);
    return svc_loader_commit(svc->loader, id, counts, error);
}

enum cellar_status svc_load_abort(struct svc *svc, const struct svc_request *request, uint64_t id,
                                  struct cellar_error *error)
{
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_ASSERT(svc->loader != NULL);
    return svc_loader_abort(svc->loader, id, error);
}

void svc_loads_release(struct svc *svc, const void *owner)
{
    CELLAR_ASSERT(svc->loader != NULL);
    svc_loader_release(svc->loader, owner);
}

void svc_loads_cease(struct svc *svc)
{
    CELLAR_ASSERT(svc->loader != NULL);
    svc_loader_cease(svc->loader);
}
