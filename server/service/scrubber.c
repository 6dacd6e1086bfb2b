/*
 * The scrubber: its thread, what it is asked for, and what it tells.
 *
 *     NONE -> RUNNING -> ENDED          a pass came to its end
 *               |  \---> CANCELLED      cancelled, or given way, or the server stops
 *               \-- RUNNING             the next pass
 *
 * An order waits until the thread takes it, which a pass by interval makes way for at once. Until
 * then the status shows the pass that will be, so that who asked never sees an older one's end.
 *
 * When the last pass was is not kept over a restart: the first one by interval begins an hour after
 * the start at the latest. It costs little, and a server that restarts often is scrubbed all the
 * same.
 */
#include <string.h>

#include "common/clock.h"
#include "server/service/scrubber_internal.h"

#define FIRST_DELAY_US INT64_C(3600000000)
#define BACKGROUND_BYTES_PER_SECOND UINT64_C(8388608)
#define WAIT_US_MAX INT64_C(3600000000)

/* ---- the thread ------------------------------------------------------------------------------ */

/* When the next pass by interval is due; INT64_MAX: never. */
static int64_t background_due_us(const struct svc_scrubber *scrubber)
    CELLAR_REQUIRES(scrubber->passes.lock)
{
    int64_t wait_us = scrubber->interval_us;
    CELLAR_ASSERT(wait_us >= 0);
    if (wait_us == 0) {
        return INT64_MAX;
    }
    if (scrubber->delay_us > 0) {
        wait_us = CELLAR_MIN(wait_us, scrubber->delay_us);
    }
    return scrubber->background_at_us + wait_us;
}

/* A new pass's progress in the place of the last one's, whose findings the caller lets go. The
 * order's reference becomes the progress's. */
static void progress_swap(struct svc_scrubber *scrubber, const struct svc_order *order,
                          struct scrub_progress *old) CELLAR_REQUIRES(scrubber->passes.lock)
{
    svc_passes_begin(&scrubber->passes, order);
    *old = scrubber->progress;
    scrubber->progress = (struct scrub_progress){.state = SVC_SCRUB_RUNNING,
                                                 .pass = old->pass + 1,
                                                 .is_background = order->is_background,
                                                 .table = order->table,
                                                 .started_us = cellar_clock_real_us()};
}

static void progress_free(struct scrub_progress *progress)
{
    CELLAR_ASSERT(progress->problem_count_listed <= SVC_SCRUB_PROBLEM_COUNT_MAX);
    for (size_t i = 0; i < progress->problem_count_listed; i++) {
        scrub_problem_unref(progress->problems[i]);
    }
    tablet_table_unref(progress->table);
}

/* Takes what is to be done next and begins its progress. @return false when there is nothing yet */
static bool order_take(struct svc_scrubber *scrubber, struct svc_order *order,
                       struct scrub_progress *old) CELLAR_REQUIRES(scrubber->passes.lock)
{
    if (!svc_passes_take(&scrubber->passes, order)) {
        if (cellar_clock_monotonic_us() < background_due_us(scrubber)) {
            return false;
        }
        *order = (struct svc_order){.bytes_per_second = BACKGROUND_BYTES_PER_SECOND,
                                    .is_background = true};
    }
    CELLAR_ASSERT(order->bytes_per_second > 0);
    progress_swap(scrubber, order, old);
    return true;
}

/* The interval begins anew behind a pass over everything, whoever asked for it, and behind one that
 * was cancelled. One that gave way is still due. */
static void interval_begin(struct svc_scrubber *scrubber, const struct svc_order *order)
    CELLAR_REQUIRES(scrubber->passes.lock)
{
    bool is_whole = scrubber->progress.state == SVC_SCRUB_ENDED && order->table == NULL;
    CELLAR_ASSERT(scrubber->progress.state != SVC_SCRUB_RUNNING);
    if (is_whole || (order->is_background && scrubber->passes.is_cancelled)) {
        scrubber->background_at_us = cellar_clock_monotonic_us();
        scrubber->delay_us = 0;
    }
}

static void *thread_run(void *context)
{
    struct svc_scrubber *scrubber = context;
    struct svc_order order;
    struct scrub_progress old;
    CELLAR_ASSERT(scrubber->db != NULL);
    cellar_thread_name_set("scrub");
    cellar_mutex_lock(&scrubber->passes.lock);
    while (!scrubber->passes.is_stopping) {
        if (!order_take(scrubber, &order, &old)) {
            int64_t until_us =
                CELLAR_MIN(background_due_us(scrubber), cellar_clock_monotonic_us() + WAIT_US_MAX);
            (void)cellar_cond_timedwait(&scrubber->passes.changed, &scrubber->passes.lock,
                                        until_us);
            continue;
        }
        cellar_mutex_unlock(&scrubber->passes.lock);
        progress_free(&old);
        scrub_pass_run(scrubber, &order);
        cellar_mutex_lock(&scrubber->passes.lock);
        interval_begin(scrubber, &order);
    }
    cellar_mutex_unlock(&scrubber->passes.lock);
    return NULL;
}

/* Before there is a second thread, hence without the lock. */
enum cellar_status svc_scrubber_start(struct tablet_db *db, int64_t interval_us,
                                      struct svc_scrubber **scrubber, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    struct svc_scrubber *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(db != NULL && interval_us >= 0);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the scrub");
    }
    made->db = db;
    made->interval_us = interval_us;
    made->delay_us = FIRST_DELAY_US;
    made->background_at_us = cellar_clock_monotonic_us();
    enum cellar_status status = svc_passes_start(&made->passes, thread_run, made, error);
    if (status != CELLAR_OK) {
        cellar_mem_free(made);
        return status;
    }
    *scrubber = made;
    return CELLAR_OK;
}

/* The thread is joined before anything is freed, so nobody else is left. */
void svc_scrubber_stop(struct svc_scrubber *scrubber) CELLAR_NO_THREAD_SAFETY
{
    if (scrubber == NULL) {
        return;
    }
    svc_passes_stop(&scrubber->passes);
    CELLAR_ASSERT(scrubber->progress.state != SVC_SCRUB_RUNNING);
    progress_free(&scrubber->progress);
    cellar_mem_free(scrubber);
}

/* ---- requests -------------------------------------------------------------------------------- */

void svc_scrubber_interval_set(struct svc_scrubber *scrubber, int64_t interval_us)
{
    CELLAR_ASSERT(interval_us >= 0);
    cellar_mutex_lock(&scrubber->passes.lock);
    scrubber->interval_us = interval_us;
    cellar_cond_broadcast(&scrubber->passes.changed);
    cellar_mutex_unlock(&scrubber->passes.lock);
}

enum cellar_status svc_scrubber_ask(struct svc_scrubber *scrubber, struct tablet_table *table,
                                    uint64_t bytes_per_second, struct cellar_error *error)
{
    const struct svc_order order = {.table = table, .bytes_per_second = bytes_per_second};
    CELLAR_ASSERT(bytes_per_second > 0);
    return svc_passes_ask(&scrubber->passes, &order, "A scrub", error);
}

void svc_scrubber_cancel(struct svc_scrubber *scrubber)
{
    CELLAR_ASSERT(scrubber->db != NULL);
    svc_passes_cancel(&scrubber->passes);
}

/* ---- status ---------------------------------------------------------------------------------- */

/* Copies bytes; an empty slice stays one. */
static bool bytes_copy(struct cellar_arena *arena, struct cellar_slice from,
                       struct cellar_slice *to)
{
    const uint8_t *copy = cellar_arena_copy(arena, from.data, from.bytes);
    CELLAR_ASSERT(from.bytes == 0 || from.data != NULL);
    *to = cellar_slice_make(copy, from.bytes);
    return copy != NULL;
}

static enum cellar_status problem_describe(const struct scrub_problem *from,
                                           struct cellar_arena *arena, struct svc_scrub_problem *to)
{
    const uint8_t *bytes = from->bytes;
    struct cellar_slice start = cellar_slice_make(bytes, from->start_bytes);
    struct cellar_slice end = cellar_slice_make(bytes + start.bytes, from->end_bytes);
    struct cellar_slice why = cellar_slice_make(end.data + end.bytes, from->why_bytes);
    struct cellar_slice tablet_start = {NULL, 0};
    struct cellar_slice tablet_end = {NULL, 0};
    memset(to, 0, sizeof *to);
    to->has_row = from->has_row;
    to->has_rows = from->has_rows;
    if (from->table != NULL) {
        tablet_start = from->table->tablets[from->tablet_index].start;
        tablet_end = from->table->tablets[from->tablet_index].end;
    }
    CELLAR_TRY(svc_passes_table_name(from->table, arena, &to->table));
    CELLAR_ASSERT(why.bytes > 0);
    return bytes_copy(arena, start, &to->rows_start) && bytes_copy(arena, end, &to->rows_end) &&
                   bytes_copy(arena, why, &to->why) &&
                   bytes_copy(arena, tablet_start, &to->tablet_start) &&
                   bytes_copy(arena, tablet_end, &to->tablet_end)
               ? CELLAR_OK
               : CELLAR_NO_MEMORY;
}

/* The pass that was asked for and has not begun. */
static void pending_describe(const struct svc_scrubber *scrubber, struct svc_scrub_status *status)
    CELLAR_REQUIRES(scrubber->passes.lock)
{
    CELLAR_ASSERT(scrubber->passes.has_order);
    *status = (struct svc_scrub_status){.state = SVC_SCRUB_RUNNING,
                                        .pass = scrubber->progress.pass + 1,
                                        .started_us = cellar_clock_real_us()};
}

/* The numbers; with the lock. */
static void progress_describe(const struct scrub_progress *progress,
                              struct svc_scrub_status *status)
{
    CELLAR_ASSERT(progress->problem_count >= progress->problem_count_listed);
    *status = (struct svc_scrub_status){
        .state = progress->state,
        .pass = progress->pass,
        .is_background = progress->is_background,
        .item_count = progress->item_count,
        .item_count_total = progress->item_count_total,
        .byte_count = progress->byte_count,
        .started_us = progress->started_us,
        .ended_us = progress->ended_us,
        .problem_count = progress->problem_count,
    };
}

/* What is copied into the arena: nothing is allocated while the lock is held, so the findings are
 * counted up there and copied behind it. */
static enum cellar_status listed_describe(struct scrub_problem *const *listed, size_t count,
                                          struct cellar_arena *arena,
                                          struct svc_scrub_status *status)
{
    struct svc_scrub_problem *problems = cellar_arena_alloc(arena, (count + 1) * sizeof *problems);
    if (problems == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        CELLAR_TRY(problem_describe(listed[i], arena, &problems[i]));
    }
    CELLAR_ASSERT(count <= SVC_SCRUB_PROBLEM_COUNT_MAX);
    status->problems = problems;
    status->problem_count_listed = count;
    return CELLAR_OK;
}

enum cellar_status svc_scrubber_status(struct svc_scrubber *scrubber, struct cellar_arena *arena,
                                       struct svc_scrub_status *status)
{
    struct scrub_problem *listed[SVC_SCRUB_PROBLEM_COUNT_MAX];
    struct svc_scrub_status made;
    size_t count = 0;
    cellar_mutex_lock(&scrubber->passes.lock);
    struct tablet_table *table = scrubber->progress.table;
    if (scrubber->passes.has_order) {
        pending_describe(scrubber, &made);
        table = scrubber->passes.order.table;
    } else {
        progress_describe(&scrubber->progress, &made);
        for (; count < scrubber->progress.problem_count_listed; count++) {
            listed[count] = scrubber->progress.problems[count];
            (void)atomic_fetch_add(&listed[count]->references, 1);
        }
    }
    if (table != NULL) {
        tablet_table_ref(table);
    }
    cellar_mutex_unlock(&scrubber->passes.lock);
    enum cellar_status result = svc_passes_table_name(table, arena, &made.table);
    if (result == CELLAR_OK) {
        result = listed_describe(listed, count, arena, &made);
    }
    for (size_t i = 0; i < count; i++) {
        scrub_problem_unref(listed[i]);
    }
    tablet_table_unref(table);
    CELLAR_ASSERT(result == CELLAR_OK || result == CELLAR_NO_MEMORY);
    if (result == CELLAR_OK) {
        *status = made;
    }
    return result;
}

void svc_scrubber_show(struct svc_scrubber *scrubber, struct cellar_metric_page *page)
{
    cellar_mutex_lock(&scrubber->passes.lock);
    bool is_running = scrubber->progress.state == SVC_SCRUB_RUNNING;
    cellar_mutex_unlock(&scrubber->passes.lock);
    int64_t ended_us = atomic_load(&scrubber->last_ended_us);
    CELLAR_ASSERT(ended_us >= 0);
    cellar_metric_gauge(page, "cellar_scrub_running", "1 while a scrub runs.", is_running);
    cellar_metric_counter(page, "cellar_scrub_passes_total", "Scrubs that came to their end.",
                          cellar_counter_get(&scrubber->pass_total));
    cellar_metric_counter(page, "cellar_scrub_items_total", "Items that scrubs have checked.",
                          cellar_counter_get(&scrubber->item_total));
    cellar_metric_counter(page, "cellar_scrub_bytes_total",
                          "Bytes of keys and values that scrubs have checked.",
                          cellar_counter_get(&scrubber->byte_total));
    cellar_metric_counter(page, "cellar_scrub_problems_total", "Problems that scrubs have found.",
                          cellar_counter_get(&scrubber->problem_total));
    cellar_metric_gauge(page, "cellar_scrub_last_problems",
                        "Problems of the last scrub of everything that came to its end.",
                        atomic_load(&scrubber->last_problem_count));
    cellar_metric_gauge(page, "cellar_scrub_last_timestamp_seconds",
                        "When that was, since 1970; 0 when there was none since the start.",
                        (uint64_t)ended_us / 1000000);
}
