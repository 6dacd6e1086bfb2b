/*
 * The compactor: its thread, its passes, and what it tells.
 *
 *     NONE -> RUNNING -> ENDED          every tablet of the pass is compacted, or dropped
 *               |  \---> FAILED         some could not be; they are as they were
 *               |  \---> CANCELLED      cancelled, or given way, or the server stops
 *               \-- RUNNING             the next pass
 *
 * Once a minute the thread looks whether a tablet is due; what is due makes a pass. An order waits
 * until the thread takes it, which a pass that was due makes way for behind its chunk. Until then
 * the status shows the pass that will be.
 *
 * Behind each chunk the thread rests as long as the chunk's bytes may take.
 */
#include "server/service/compactor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/io/thread.h"
#include "server/storage/scrub.h"

#define LOOK_US INT64_C(60000000)
#define FAILED_LOOK_US INT64_C(3600000000) /* what failed would fail in a minute again */
#define CHUNK_BYTES_MAX UINT64_C(2097152)
#define CHUNK_BYTES_MIN UINT64_C(65536)
#define CHUNKS_PER_SECOND 20u
#define REST_CREDIT_US 1000000

/* What is to be done. */
struct order {
    struct tablet_table *table; /* a reference; NULL: all */
    uint64_t bytes_per_second;
    bool is_background; /* what is due of it */
};

struct svc_compactor {
    struct tablet_db *db;
    pthread_t thread;
    struct cellar_mutex lock;
    struct cellar_cond changed;
    bool is_stopping CELLAR_GUARDED_BY(lock);
    bool is_cancelled CELLAR_GUARDED_BY(lock); /* the pass that runs is to end */
    bool has_order CELLAR_GUARDED_BY(lock);
    struct order order CELLAR_GUARDED_BY(lock);
    struct svc_compactor_terms terms CELLAR_GUARDED_BY(lock);
    struct svc_compact_status progress CELLAR_GUARDED_BY(lock); /* without names */
    struct tablet_table *table CELLAR_GUARDED_BY(lock);         /* of the progress; a reference */
    struct cellar_error why CELLAR_GUARDED_BY(lock);
    struct cellar_counter tablet_total; /* the thread's */
    struct cellar_counter failed_total;
    struct cellar_counter item_total;
    struct cellar_counter byte_total;
};

/* One pass on the thread. */
struct pass {
    struct svc_compactor *compactor;
    const struct order *order;
    struct tablet_compact_terms due;
    uint64_t items_before; /* of the tablets before */
    uint64_t bytes_before;
    int64_t rest_until_us;
};

/* ---- one tablet ------------------------------------------------------------------------------ */

static bool is_over(const struct svc_compactor *compactor) CELLAR_REQUIRES(compactor->lock)
{
    CELLAR_ASSERT(compactor->db != NULL);
    return compactor->is_stopping || compactor->is_cancelled ||
           (compactor->has_order && compactor->progress.is_background);
}

/* Behind a chunk: notes how far it is and rests. */
static bool chunk_end(void *context, const struct tablet_compact_progress *chunk)
{
    struct pass *pass = context;
    struct svc_compactor *compactor = pass->compactor;
    struct svc_compact_status *progress = &compactor->progress;
    uint64_t rate = pass->order->bytes_per_second;
    cellar_mutex_lock(&compactor->lock);
    uint64_t items = pass->items_before + chunk->item_count;
    uint64_t bytes = pass->bytes_before + chunk->byte_count;
    CELLAR_ASSERT(items >= progress->item_count && bytes >= progress->byte_count);
    cellar_counter_add(&compactor->item_total, items - progress->item_count);
    cellar_counter_add(&compactor->byte_total, bytes - progress->byte_count);
    double rest_us = rate == 0 ? 0.0 : (double)(bytes - progress->byte_count) * 1e6 / (double)rate;
    progress->item_count = items;
    progress->byte_count = bytes;
    progress->item_count_total = CELLAR_MAX(progress->item_count_total, items);
    int64_t now_us = cellar_clock_monotonic_us();
    pass->rest_until_us =
        CELLAR_MAX(pass->rest_until_us, now_us - REST_CREDIT_US) + (int64_t)rest_us;
    while (!is_over(compactor) && pass->rest_until_us > now_us &&
           cellar_cond_timedwait(&compactor->changed, &compactor->lock, pass->rest_until_us)) {
        now_us = cellar_clock_monotonic_us();
    }
    bool goes_on = !is_over(compactor);
    cellar_mutex_unlock(&compactor->lock);
    return goes_on;
}

static uint64_t chunk_bytes(const struct order *order)
{
    uint64_t bytes = order->bytes_per_second / CHUNKS_PER_SECOND;
    CELLAR_ASSERT(CHUNK_BYTES_MIN < CHUNK_BYTES_MAX);
    return order->bytes_per_second == 0
               ? CHUNK_BYTES_MAX
               : CELLAR_MAX(CHUNK_BYTES_MIN, CELLAR_MIN(bytes, CHUNK_BYTES_MAX));
}

/* How the compaction of a tablet ended. The first failure is kept. */
static void tablet_end(struct pass *pass, const struct tablet *tablet, enum cellar_status status,
                       const struct cellar_error *error, int64_t start_us)
{
    struct svc_compactor *compactor = pass->compactor;
    bool has_failed =
        status != CELLAR_OK && status != CELLAR_NOT_FOUND && status != CELLAR_CANCELLED;
    cellar_mutex_lock(&compactor->lock);
    compactor->progress.tablet_count += status == CELLAR_OK ? 1 : 0;
    if (has_failed && compactor->why.text[0] == '\0') {
        compactor->why = *error;
    }
    pass->items_before = compactor->progress.item_count;
    pass->bytes_before = compactor->progress.byte_count;
    cellar_mutex_unlock(&compactor->lock);
    cellar_counter_add(&compactor->tablet_total, status == CELLAR_OK ? 1 : 0);
    cellar_counter_add(&compactor->failed_total, has_failed ? 1 : 0);
    CELLAR_ASSERT(!has_failed || error->text[0] != '\0');
    if (has_failed) {
        cellar_log(CELLAR_LOG_ERROR, "tablet_not_compacted", "store=%u error=\"%s\"",
                   tablet->store_id, error->text);
    } else if (status == CELLAR_OK) {
        cellar_log(CELLAR_LOG_INFO, "tablet_compacted", "store=%u background=%d us=%lld",
                   tablet->store_id, pass->order->is_background,
                   (long long)(cellar_clock_monotonic_us() - start_us));
    }
}

/* @return false when the pass is to end */
static bool tablet_run(struct pass *pass, struct tablet_table *table, size_t index)
{
    struct svc_compactor *compactor = pass->compactor;
    struct cellar_error error;
    int64_t start_us = cellar_clock_monotonic_us();
    cellar_error_clear(&error);
    cellar_mutex_lock(&compactor->lock);
    bool goes_on = !is_over(compactor);
    cellar_mutex_unlock(&compactor->lock);
    CELLAR_ASSERT(index < table->tablet_count);
    if (!goes_on) {
        return false;
    }
    const struct tablet_compact_options options = {chunk_bytes(pass->order), chunk_end, pass};
    enum cellar_status status = tablet_compact(compactor->db, table, index, &options, &error);
    tablet_end(pass, &table->tablets[index], status, &error, start_us);
    return status != CELLAR_CANCELLED;
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* Calls `run` for every tablet that the order is about. @return false when `run` did */
static bool tablets_visit(struct pass *pass,
                          bool (*run)(struct pass *pass, struct tablet_table *table, size_t index))
{
    struct tablet_db *db = pass->compactor->db;
    struct tablet_table *table = pass->order->table;
    bool goes_on = true;
    if (table != NULL) {
        tablet_table_ref(table);
    } else {
        table = tablet_db_next(db, NULL);
    }
    while (table != NULL) {
        for (size_t i = 0; i < table->tablet_count && goes_on; i++) {
            bool is_wanted =
                !pass->order->is_background || tablet_compact_is_due(table, i, &pass->due);
            goes_on = !is_wanted || run(pass, table, i);
        }
        bool is_last = pass->order->table != NULL || !goes_on;
        struct tablet_table *next = is_last ? NULL : tablet_db_next(db, &table->name);
        tablet_table_unref(table);
        table = next;
    }
    CELLAR_ASSERT(table == NULL);
    return goes_on;
}

/* Adds a tablet to what the pass has before it. */
static bool tablet_count(struct pass *pass, struct tablet_table *table, size_t index)
{
    struct svc_compactor *compactor = pass->compactor;
    uint64_t item_count = 0;
    if (tablet_table_enter(table)) {
        item_count = store_scrub_item_count(table->tablets[index].store);
        tablet_table_leave(table);
    }
    cellar_mutex_lock(&compactor->lock);
    compactor->progress.tablet_count_total++;
    compactor->progress.item_count_total += item_count;
    bool goes_on = !is_over(compactor);
    CELLAR_ASSERT(compactor->progress.tablet_count == 0);
    cellar_mutex_unlock(&compactor->lock);
    return goes_on;
}

static bool tablet_stop(struct pass *pass, struct tablet_table *table, size_t index)
{
    CELLAR_ASSERT(pass->order->is_background && index < table->tablet_count);
    return false;
}

/* Whether anything of the order is to be done: always what was asked for. */
static bool order_has_work(struct pass *pass)
{
    CELLAR_ASSERT(pass->order->table == NULL || !pass->order->is_background);
    return !pass->order->is_background || !tablets_visit(pass, tablet_stop);
}

/* A new pass's progress in the place of the last one's. */
static void progress_begin(struct svc_compactor *compactor, const struct order *order)
{
    cellar_mutex_lock(&compactor->lock);
    struct tablet_table *old = compactor->table;
    CELLAR_ASSERT(compactor->progress.state != SVC_COMPACT_RUNNING);
    compactor->table = order->table;
    compactor->progress = (struct svc_compact_status){.state = SVC_COMPACT_RUNNING,
                                                      .pass = compactor->progress.pass + 1,
                                                      .is_background = order->is_background,
                                                      .started_us = cellar_clock_real_us()};
    cellar_error_clear(&compactor->why);
    compactor->is_cancelled = compactor->is_cancelled && !order->is_background;
    cellar_mutex_unlock(&compactor->lock);
    tablet_table_unref(old);
}

static void progress_end(struct svc_compactor *compactor, bool is_whole)
{
    cellar_mutex_lock(&compactor->lock);
    struct svc_compact_status *progress = &compactor->progress;
    bool has_failed = compactor->why.text[0] != '\0';
    progress->state = has_failed ? SVC_COMPACT_FAILED
                      : is_whole ? SVC_COMPACT_ENDED
                                 : SVC_COMPACT_CANCELLED;
    progress->ended_us = cellar_clock_real_us();
    CELLAR_ASSERT(progress->ended_us >= 0);
    cellar_mutex_unlock(&compactor->lock);
}

/* Does what the order says; its reference becomes the progress's, or goes. */
static void order_run(struct svc_compactor *compactor, const struct order *order,
                      const struct tablet_compact_terms *due)
{
    struct pass pass = {.compactor = compactor,
                        .order = order,
                        .due = *due,
                        .rest_until_us = cellar_clock_monotonic_us()};
    if (!order_has_work(&pass)) {
        return;
    }
    progress_begin(compactor, order);
    bool is_whole = tablets_visit(&pass, tablet_count) && tablets_visit(&pass, tablet_run);
    CELLAR_ASSERT(compactor->db != NULL);
    progress_end(compactor, is_whole);
}

/* What is to be done next. @return whether it was asked for */
static bool order_take(struct svc_compactor *compactor, struct order *order)
    CELLAR_REQUIRES(compactor->lock)
{
    bool is_asked = compactor->has_order;
    *order = is_asked ? compactor->order
                      : (struct order){.bytes_per_second = compactor->terms.bytes_per_second,
                                       .is_background = true};
    compactor->has_order = false;
    CELLAR_ASSERT(!is_asked || !order->is_background);
    return is_asked;
}

static void *thread_run(void *context)
{
    struct svc_compactor *compactor = context;
    struct order order;
    int64_t look_us = cellar_clock_monotonic_us() + LOOK_US;
    CELLAR_ASSERT(compactor->db != NULL);
    cellar_thread_name_set("compact");
    cellar_mutex_lock(&compactor->lock);
    while (!compactor->is_stopping) {
        if (!compactor->has_order && cellar_clock_monotonic_us() < look_us) {
            (void)cellar_cond_timedwait(&compactor->changed, &compactor->lock, look_us);
            continue;
        }
        bool is_asked = order_take(compactor, &order);
        const struct tablet_compact_terms due = compactor->terms.due;
        cellar_mutex_unlock(&compactor->lock);
        order_run(compactor, &order, &due);
        cellar_mutex_lock(&compactor->lock);
        bool has_failed = compactor->progress.state == SVC_COMPACT_FAILED;
        if (!is_asked) {
            look_us = cellar_clock_monotonic_us() + (has_failed ? FAILED_LOOK_US : LOOK_US);
        }
    }
    cellar_mutex_unlock(&compactor->lock);
    return NULL;
}

/* ---- its life -------------------------------------------------------------------------------- */

/* Before there is a second thread, hence without the lock. */
enum cellar_status svc_compactor_start(struct tablet_db *db,
                                       const struct svc_compactor_terms *terms,
                                       struct svc_compactor **compactor, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    struct svc_compactor *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(db != NULL && terms->due.garbage_percent <= 100);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for compactions");
    }
    made->db = db;
    made->terms = *terms;
    cellar_error_clear(&made->why);
    cellar_mutex_init(&made->lock);
    cellar_cond_init(&made->changed);
    enum cellar_status status = io_thread_start(&made->thread, thread_run, made, error);
    if (status != CELLAR_OK) {
        cellar_cond_fini(&made->changed);
        cellar_mutex_fini(&made->lock);
        cellar_mem_free(made);
        return status;
    }
    *compactor = made;
    return CELLAR_OK;
}

/* The thread is joined before anything is freed, so nobody else is left. */
void svc_compactor_stop(struct svc_compactor *compactor) CELLAR_NO_THREAD_SAFETY
{
    if (compactor == NULL) {
        return;
    }
    cellar_mutex_lock(&compactor->lock);
    compactor->is_stopping = true;
    cellar_cond_broadcast(&compactor->changed);
    cellar_mutex_unlock(&compactor->lock);
    io_thread_join(compactor->thread);
    CELLAR_ASSERT(compactor->progress.state != SVC_COMPACT_RUNNING);
    tablet_table_unref(compactor->table);
    if (compactor->has_order) {
        tablet_table_unref(compactor->order.table);
    }
    cellar_cond_fini(&compactor->changed);
    cellar_mutex_fini(&compactor->lock);
    cellar_mem_free(compactor);
}

void svc_compactor_terms_set(struct svc_compactor *compactor,
                             const struct svc_compactor_terms *terms)
{
    CELLAR_ASSERT(terms->due.garbage_percent <= 100);
    cellar_mutex_lock(&compactor->lock);
    compactor->terms = *terms;
    cellar_cond_broadcast(&compactor->changed);
    cellar_mutex_unlock(&compactor->lock);
}

/* ---- requests -------------------------------------------------------------------------------- */

enum cellar_status svc_compactor_ask(struct svc_compactor *compactor, struct tablet_table *table,
                                     uint64_t bytes_per_second, struct cellar_error *error)
{
    cellar_mutex_lock(&compactor->lock);
    bool is_busy = compactor->has_order || (compactor->progress.state == SVC_COMPACT_RUNNING &&
                                            !compactor->progress.is_background);
    if (!is_busy) {
        compactor->order = (struct order){.table = table, .bytes_per_second = bytes_per_second};
        compactor->has_order = true;
        compactor->is_cancelled = false;
        cellar_cond_broadcast(&compactor->changed);
    }
    CELLAR_ASSERT(compactor->has_order || is_busy);
    cellar_mutex_unlock(&compactor->lock);
    if (is_busy) {
        tablet_table_unref(table);
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "A compaction is running; ask for its status, or cancel it first");
    }
    return CELLAR_OK;
}

/* An order that has not begun begins and ends at once, so that who waits for it sees an end. */
void svc_compactor_cancel(struct svc_compactor *compactor)
{
    cellar_mutex_lock(&compactor->lock);
    CELLAR_ASSERT(compactor->db != NULL);
    compactor->is_cancelled = true;
    cellar_cond_broadcast(&compactor->changed);
    cellar_mutex_unlock(&compactor->lock);
}

/* ---- status ---------------------------------------------------------------------------------- */

/* The full name of a table; empty for NULL. NO_MEMORY. */
static enum cellar_status name_copy(const struct tablet_table *table, struct cellar_arena *arena,
                                    struct cellar_slice *to)
{
    struct cellar_buffer name = {0};
    *to = cellar_slice_make(NULL, 0);
    if (table == NULL) {
        return CELLAR_OK;
    }
    enum cellar_status status = cellar_table_name_encode(&table->name, &name);
    if (status == CELLAR_OK) {
        const uint8_t *copy = cellar_arena_copy(arena, name.data, name.bytes);
        *to = cellar_slice_make(copy, name.bytes);
        status = copy == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
    }
    CELLAR_ASSERT(table->tablet_count > 0);
    cellar_buffer_fini(&name);
    return status;
}

enum cellar_status svc_compactor_status(struct svc_compactor *compactor, struct cellar_arena *arena,
                                        struct svc_compact_status *status)
{
    struct cellar_error why;
    cellar_mutex_lock(&compactor->lock);
    struct svc_compact_status made = compactor->progress;
    struct tablet_table *table = compactor->table;
    why = compactor->why;
    if (compactor->has_order) {
        table = compactor->order.table;
        made = (struct svc_compact_status){.state = SVC_COMPACT_RUNNING,
                                           .pass = compactor->progress.pass + 1,
                                           .started_us = cellar_clock_real_us()};
        cellar_error_clear(&why);
    }
    if (table != NULL) {
        tablet_table_ref(table);
    }
    cellar_mutex_unlock(&compactor->lock);
    made.abandoned_count = store_engine_abandoned_count(tablet_db_engine(compactor->db));
    if (made.state == SVC_COMPACT_NONE && made.abandoned_count > 0) {
        made.state = SVC_COMPACT_ABANDONED;
    }
    enum cellar_status result = name_copy(table, arena, &made.table);
    tablet_table_unref(table);
    const uint8_t *text = cellar_arena_copy(arena, (const uint8_t *)why.text, strlen(why.text));
    made.why = cellar_slice_make(text, strlen(why.text));
    CELLAR_ASSERT(result == CELLAR_OK || result == CELLAR_NO_MEMORY);
    if (result == CELLAR_OK && text != NULL) {
        *status = made;
    }
    return text == NULL ? CELLAR_NO_MEMORY : result;
}

void svc_compactor_show(struct svc_compactor *compactor, struct cellar_metric_page *page)
{
    cellar_mutex_lock(&compactor->lock);
    bool is_running = compactor->progress.state == SVC_COMPACT_RUNNING;
    cellar_mutex_unlock(&compactor->lock);
    CELLAR_ASSERT(page != NULL);
    cellar_metric_gauge(page, "cellar_compaction_running", "1 while tablets are compacted.",
                        is_running);
    cellar_metric_counter(page, "cellar_compaction_tablets_total",
                          "Tablets that were compacted to their end.",
                          cellar_counter_get(&compactor->tablet_total));
    cellar_metric_counter(page, "cellar_compaction_failures_total",
                          "Compactions of tablets that failed; the tablets are as they were.",
                          cellar_counter_get(&compactor->failed_total));
    cellar_metric_counter(page, "cellar_compaction_items_total",
                          "Items that compactions have read.",
                          cellar_counter_get(&compactor->item_total));
    cellar_metric_counter(page, "cellar_compaction_bytes_total",
                          "Bytes of keys and values that compactions have written.",
                          cellar_counter_get(&compactor->byte_total));
}
