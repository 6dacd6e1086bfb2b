/*
 * The thread of passes: orders, cancelling, giving way, pace.
 */
#include "server/service/passes.h"

#include "common/clock.h"
#include "server/io/thread.h"

#define REST_CREDIT_US 1000000

enum cellar_status svc_passes_start(struct svc_passes *passes, void *(*run)(void *), void *context,
                                    struct cellar_error *error)
{
    cellar_mutex_init(&passes->lock);
    cellar_cond_init(&passes->changed);
    enum cellar_status status = io_thread_start(&passes->thread, run, context, error);
    CELLAR_ASSERT(run != NULL);
    if (status != CELLAR_OK) {
        cellar_cond_fini(&passes->changed);
        cellar_mutex_fini(&passes->lock);
    }
    return status;
}

/* The thread is joined before anything is freed, so nobody else is left. */
void svc_passes_stop(struct svc_passes *passes) CELLAR_NO_THREAD_SAFETY
{
    cellar_mutex_lock(&passes->lock);
    passes->is_stopping = true;
    cellar_cond_broadcast(&passes->changed);
    cellar_mutex_unlock(&passes->lock);
    io_thread_join(passes->thread);
    CELLAR_ASSERT(!passes->is_running);
    if (passes->has_order) {
        tablet_table_unref(passes->order.table);
    }
    cellar_cond_fini(&passes->changed);
    cellar_mutex_fini(&passes->lock);
}

enum cellar_status svc_passes_ask(struct svc_passes *passes, const struct svc_order *order,
                                  const char *what, struct cellar_error *error)
{
    CELLAR_ASSERT(!order->is_background);
    cellar_mutex_lock(&passes->lock);
    bool is_busy = passes->has_order || (passes->is_running && !passes->is_background);
    if (!is_busy) {
        passes->order = *order;
        passes->has_order = true;
        passes->is_cancelled = false;
        cellar_cond_broadcast(&passes->changed);
    }
    cellar_mutex_unlock(&passes->lock);
    if (is_busy) {
        tablet_table_unref(order->table);
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "%s is running; ask for its status, or cancel it first", what);
    }
    return CELLAR_OK;
}

void svc_passes_cancel(struct svc_passes *passes)
{
    CELLAR_ASSERT(passes != NULL);
    cellar_mutex_lock(&passes->lock);
    passes->is_cancelled = true;
    cellar_cond_broadcast(&passes->changed);
    cellar_mutex_unlock(&passes->lock);
}

bool svc_passes_take(struct svc_passes *passes, struct svc_order *order)
{
    CELLAR_ASSERT(!passes->is_running);
    if (!passes->has_order) {
        return false;
    }
    *order = passes->order;
    passes->has_order = false;
    return true;
}

void svc_passes_begin(struct svc_passes *passes, const struct svc_order *order)
{
    CELLAR_ASSERT(!passes->is_running);
    passes->is_running = true;
    passes->is_background = order->is_background;
    passes->is_cancelled = passes->is_cancelled && !order->is_background;
}

void svc_passes_end(struct svc_passes *passes)
{
    CELLAR_ASSERT(passes->is_running);
    passes->is_running = false;
}

bool svc_passes_is_over(const struct svc_passes *passes)
{
    CELLAR_ASSERT(passes->is_running);
    return passes->is_stopping || passes->is_cancelled ||
           (passes->has_order && passes->is_background);
}

void svc_passes_rest(struct svc_passes *passes, int64_t *until_us, uint64_t bytes,
                     uint64_t bytes_per_second)
{
    double rest_us = bytes_per_second == 0 ? 0.0 : (double)bytes * 1e6 / (double)bytes_per_second;
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(now_us >= 0);
    *until_us = CELLAR_MAX(*until_us, now_us - REST_CREDIT_US) + (int64_t)rest_us;
    while (!svc_passes_is_over(passes) && *until_us > now_us &&
           cellar_cond_timedwait(&passes->changed, &passes->lock, *until_us)) {
        now_us = cellar_clock_monotonic_us();
    }
}

enum cellar_status svc_passes_table_name(const struct tablet_table *table,
                                         struct cellar_arena *arena, struct cellar_slice *to)
{
    *to = cellar_slice_make(NULL, 0);
    CELLAR_ASSERT(table == NULL || table->tablet_count > 0);
    return table == NULL ? CELLAR_OK : tablet_name_full(&table->name, arena, to);
}
