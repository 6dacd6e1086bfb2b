/*
 * Bulk loads between their requests.
 *
 *     FREE -> IDLE <-> BUSY             a request works on it
 *              |        |
 *              |        \-- FREE        committed, aborted, or failed for good
 *              \-- BUSY -- FREE         abandoned by the thread: idle too long, let go, or the stop
 *
 * A request takes its load out of the table's hands while it works on it, without the lock; another
 * one for the same load meanwhile is refused, as its rows would come out of order. A load belongs
 * to the connection that spoke of it last.
 *
 * Numbers go on from the clock, so that one that a former server gave out is not met again.
 */
#include "server/service/loader.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/sync.h"
#include "server/io/thread.h"

#define LOOK_US INT64_C(1000000)

struct slot {
    uint64_t id;              /* 0: free */
    struct tablet_load *load; /* NULL while it is being begun */
    const void *owner;
    uint64_t number_next; /* of the rows that come next */
    int64_t used_us;      /* when the last request ended, monotonic */
    bool is_busy;
    bool is_released; /* to be abandoned when it is idle */
};

struct svc_loader {
    struct tablet_db *db;
    int64_t idle_us;
    pthread_t thread;
    struct cellar_mutex lock;
    struct cellar_cond changed;
    struct slot slots[SVC_LOAD_COUNT_MAX] CELLAR_GUARDED_BY(lock);
    uint64_t id_last CELLAR_GUARDED_BY(lock);
    bool has_ceased CELLAR_GUARDED_BY(lock); /* nothing begins any more */
    bool is_stopping CELLAR_GUARDED_BY(lock);
    struct cellar_counter row_total; /* counted under the lock, as the two below */
    struct cellar_counter commit_total;
    struct cellar_counter abandoned_total;
};

/* ---- slots ----------------------------------------------------------------------------------- */

static struct slot *slot_find(struct svc_loader *loader, uint64_t id) CELLAR_REQUIRES(loader->lock)
{
    struct slot *found = NULL;
    for (size_t i = 0; i < SVC_LOAD_COUNT_MAX; i++) {
        found = loader->slots[i].id == id ? &loader->slots[i] : found;
    }
    CELLAR_ASSERT(found == NULL || found->id == id);
    return found;
}

static enum cellar_status no_load(uint64_t id, struct cellar_error *error)
{
    return cellar_error_set(error, CELLAR_NOT_FOUND,
                            "there is no bulk load %llu: it has ended, failed, or was abandoned",
                            (unsigned long long)id);
}

/* Makes a request's load busy. @param owner  NULL: stays as it is */
static enum cellar_status slot_take(struct svc_loader *loader, uint64_t id, const void *owner,
                                    struct slot **slot, struct cellar_error *error)
{
    enum cellar_status status = CELLAR_OK;
    cellar_mutex_lock(&loader->lock);
    struct slot *found = id == 0 ? NULL : slot_find(loader, id);
    if (found == NULL || found->is_released) {
        status = no_load(id, error);
    } else if (found->is_busy) {
        status =
            cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                             "another request works on bulk load %llu", (unsigned long long)id);
    } else {
        found->is_busy = true;
        found->owner = owner != NULL ? owner : found->owner;
        *slot = found;
    }
    CELLAR_ASSERT(found == NULL || found->id > 0);
    cellar_mutex_unlock(&loader->lock);
    return status;
}

/* The request has ended and the load goes on. */
static void slot_return(struct svc_loader *loader, struct slot *slot)
{
    cellar_mutex_lock(&loader->lock);
    CELLAR_ASSERT(slot->is_busy && slot->load != NULL);
    slot->is_busy = false;
    slot->used_us = cellar_clock_monotonic_us();
    cellar_cond_broadcast(&loader->changed);
    cellar_mutex_unlock(&loader->lock);
}

/* Ends the load of a busy slot, which stays busy until the load's files are gone. */
static void slot_end(struct svc_loader *loader, struct slot *slot, bool is_committed)
{
    cellar_mutex_lock(&loader->lock);
    CELLAR_ASSERT(slot->is_busy);
    struct tablet_load *load = slot->load;
    slot->load = NULL;
    cellar_counter_add(is_committed ? &loader->commit_total : &loader->abandoned_total, 1);
    cellar_mutex_unlock(&loader->lock);
    tablet_load_free(load);
    cellar_mutex_lock(&loader->lock);
    *slot = (struct slot){.id = 0};
    cellar_cond_broadcast(&loader->changed);
    cellar_mutex_unlock(&loader->lock);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* A load that nobody goes on with, made busy; or NULL. */
static struct slot *slot_abandoned(struct svc_loader *loader) CELLAR_REQUIRES(loader->lock)
{
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(loader->idle_us > 0);
    for (size_t i = 0; i < SVC_LOAD_COUNT_MAX; i++) {
        struct slot *slot = &loader->slots[i];
        if (slot->id > 0 && !slot->is_busy &&
            (slot->is_released || now_us - slot->used_us >= loader->idle_us)) {
            slot->is_busy = true;
            return slot;
        }
    }
    return NULL;
}

static void *thread_run(void *context)
{
    struct svc_loader *loader = context;
    cellar_thread_name_set("loads");
    cellar_mutex_lock(&loader->lock);
    while (!loader->is_stopping) {
        struct slot *slot = slot_abandoned(loader);
        if (slot == NULL) {
            (void)cellar_cond_timedwait(&loader->changed, &loader->lock,
                                        cellar_clock_monotonic_us() + LOOK_US);
            continue;
        }
        uint64_t id = slot->id;
        cellar_mutex_unlock(&loader->lock);
        slot_end(loader, slot, false);
        cellar_log(CELLAR_LOG_INFO, "load_abandoned", "load=%llu", (unsigned long long)id);
        cellar_mutex_lock(&loader->lock);
    }
    CELLAR_ASSERT(loader->has_ceased);
    cellar_mutex_unlock(&loader->lock);
    return NULL;
}

enum cellar_status svc_loader_start(struct tablet_db *db, int64_t idle_us,
                                    struct svc_loader **loader, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    struct svc_loader *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(db != NULL && idle_us > 0);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for bulk loads");
    }
    made->db = db;
    made->idle_us = idle_us;
    made->id_last = (uint64_t)cellar_clock_real_us();
    cellar_mutex_init(&made->lock);
    cellar_cond_init(&made->changed);
    enum cellar_status status = io_thread_start(&made->thread, thread_run, made, error);
    if (status != CELLAR_OK) {
        cellar_cond_fini(&made->changed);
        cellar_mutex_fini(&made->lock);
        cellar_mem_free(made);
        return status;
    }
    *loader = made;
    return CELLAR_OK;
}

void svc_loader_cease(struct svc_loader *loader)
{
    cellar_mutex_lock(&loader->lock);
    loader->has_ceased = true;
    for (size_t i = 0; i < SVC_LOAD_COUNT_MAX; i++) {
        struct slot *slot = &loader->slots[i];
        slot->is_released = slot->id > 0;
        if (slot->load != NULL) {
            tablet_load_cancel(slot->load);
        }
    }
    cellar_cond_broadcast(&loader->changed);
    CELLAR_ASSERT(loader->has_ceased);
    cellar_mutex_unlock(&loader->lock);
}

/* The thread is joined before anything is freed, so nobody else is left. */
void svc_loader_stop(struct svc_loader *loader) CELLAR_NO_THREAD_SAFETY
{
    if (loader == NULL) {
        return;
    }
    svc_loader_cease(loader);
    cellar_mutex_lock(&loader->lock);
    loader->is_stopping = true;
    cellar_cond_broadcast(&loader->changed);
    cellar_mutex_unlock(&loader->lock);
    io_thread_join(loader->thread);
    for (size_t i = 0; i < SVC_LOAD_COUNT_MAX; i++) {
        CELLAR_ASSERT(!loader->slots[i].is_busy);
        tablet_load_free(loader->slots[i].load);
    }
    cellar_cond_fini(&loader->changed);
    cellar_mutex_fini(&loader->lock);
    cellar_mem_free(loader);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Takes a free slot, busy until the load has begun. */
static enum cellar_status slot_new(struct svc_loader *loader, const void *owner, struct slot **slot,
                                   struct cellar_error *error)
{
    enum cellar_status status = CELLAR_OK;
    cellar_mutex_lock(&loader->lock);
    struct slot *found = slot_find(loader, 0);
    if (loader->has_ceased) {
        status = cellar_error_set(error, CELLAR_UNAVAILABLE, "the server is stopping");
    } else if (found == NULL) {
        status = cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                  "%u bulk loads run, and the server takes no more at a time",
                                  SVC_LOAD_COUNT_MAX);
    } else {
        *found = (struct slot){.id = ++loader->id_last, .owner = owner, .is_busy = true};
        *slot = found;
    }
    CELLAR_ASSERT(loader->id_last > 0);
    cellar_mutex_unlock(&loader->lock);
    return status;
}

/* From here on a cancel finds the load. */
static void slot_fill(struct svc_loader *loader, struct slot *slot, struct tablet_load *load)
{
    cellar_mutex_lock(&loader->lock);
    CELLAR_ASSERT(slot->is_busy && slot->load == NULL);
    slot->load = load;
    cellar_mutex_unlock(&loader->lock);
}

enum cellar_status svc_loader_begin(struct svc_loader *loader, struct tablet_table *table,
                                    const struct svc_load_range *range, const void *owner,
                                    uint64_t *id, struct cellar_error *error)
{
    struct slot *slot = NULL;
    struct tablet_load *load = NULL;
    CELLAR_TRY(slot_new(loader, owner, &slot, error));
    CELLAR_ASSERT(slot != NULL && slot->is_busy);
    enum cellar_status status =
        tablet_load_begin(loader->db, table, range->start, range->end, &load, error);
    if (status != CELLAR_OK) {
        cellar_mutex_lock(&loader->lock);
        *slot = (struct slot){.id = 0};
        cellar_mutex_unlock(&loader->lock);
        return status;
    }
    slot_fill(loader, slot, load);
    *id = slot->id;
    cellar_log(CELLAR_LOG_INFO, "load_begun", "load=%llu", (unsigned long long)slot->id);
    slot_return(loader, slot);
    return CELLAR_OK;
}

enum cellar_status svc_loader_rows(struct svc_loader *loader, const struct svc_load_rows *rows,
                                   struct cellar_error *error)
{
    struct slot *slot = NULL;
    CELLAR_TRY(slot_take(loader, rows->id, rows->owner, &slot, error));
    CELLAR_ASSERT(slot != NULL && slot->load != NULL);
    enum cellar_status status = CELLAR_OK;
    uint64_t row_count = tablet_load_counts(slot->load).row_count;
    if (rows->number != slot->number_next) {
        status = cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                  "Error in field 'number' : the load expects rows number %llu, "
                                  "but got %llu",
                                  (unsigned long long)slot->number_next,
                                  (unsigned long long)rows->number);
    } else {
        status = tablet_load_rows(slot->load, rows->rows, rows->is_mapped, error);
    }
    slot->number_next += status == CELLAR_OK ? 1 : 0;
    if (tablet_load_has_failed(slot->load)) {
        slot_end(loader, slot, false); /* what it has built takes room for nothing */
        return status;
    }
    cellar_mutex_lock(&loader->lock);
    cellar_counter_add(&loader->row_total, tablet_load_counts(slot->load).row_count - row_count);
    cellar_mutex_unlock(&loader->lock);
    slot_return(loader, slot);
    return status;
}

enum cellar_status svc_loader_commit(struct svc_loader *loader, uint64_t id,
                                     struct svc_load_counts *counts, struct cellar_error *error)
{
    struct slot *slot = NULL;
    CELLAR_TRY(slot_take(loader, id, NULL, &slot, error));
    CELLAR_ASSERT(slot != NULL && slot->load != NULL);
    const struct tablet_load_counts taken = tablet_load_counts(slot->load);
    enum cellar_status status = tablet_load_commit(slot->load, error);
    slot_end(loader, slot, status == CELLAR_OK);
    if (status == CELLAR_OK) {
        *counts = (struct svc_load_counts){taken.row_count, taken.cell_count, taken.byte_count};
        cellar_log(CELLAR_LOG_INFO, "load_committed", "load=%llu rows=%llu bytes=%llu",
                   (unsigned long long)id, (unsigned long long)taken.row_count,
                   (unsigned long long)taken.byte_count);
    }
    return status;
}

enum cellar_status svc_loader_abort(struct svc_loader *loader, uint64_t id,
                                    struct cellar_error *error)
{
    struct slot *slot = NULL;
    CELLAR_TRY(slot_take(loader, id, NULL, &slot, error));
    CELLAR_ASSERT(slot != NULL && slot->load != NULL);
    slot_end(loader, slot, false);
    return CELLAR_OK;
}

void svc_loader_release(struct svc_loader *loader, const void *owner)
{
    CELLAR_ASSERT(owner != NULL);
    cellar_mutex_lock(&loader->lock);
    for (size_t i = 0; i < SVC_LOAD_COUNT_MAX; i++) {
        struct slot *slot = &loader->slots[i];
        if (slot->id > 0 && slot->owner == owner) {
            slot->is_released = true;
            if (slot->load != NULL) {
                tablet_load_cancel(slot->load);
            }
            cellar_cond_broadcast(&loader->changed);
        }
    }
    cellar_mutex_unlock(&loader->lock);
}

void svc_loader_show(struct svc_loader *loader, struct cellar_metric_page *page)
{
    uint64_t running = 0;
    cellar_mutex_lock(&loader->lock);
    for (size_t i = 0; i < SVC_LOAD_COUNT_MAX; i++) {
        running += loader->slots[i].id > 0 ? 1 : 0;
    }
    cellar_mutex_unlock(&loader->lock);
    CELLAR_ASSERT(running <= SVC_LOAD_COUNT_MAX);
    cellar_metric_gauge(page, "cellar_loads", "Bulk loads that run.", running);
    cellar_metric_counter(page, "cellar_load_rows_total", "Rows that bulk loads took.",
                          cellar_counter_get(&loader->row_total));
    cellar_metric_counter(page, "cellar_loads_committed_total", "Bulk loads that were committed.",
                          cellar_counter_get(&loader->commit_total));
    cellar_metric_counter(page, "cellar_loads_abandoned_total",
                          "Bulk loads that failed, were aborted or abandoned.",
                          cellar_counter_get(&loader->abandoned_total));
}
