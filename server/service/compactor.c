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

#include <stdatomic.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/service/passes.h"
#include "server/storage/scrub.h"

#define LOOK_US INT64_C(60000000)
#define FAILED_LOOK_US INT64_C(3600000000) /* what failed would fail in a minute again */
#define CHUNK_BYTES_MAX UINT64_C(2097152)
#define CHUNK_BYTES_MIN UINT64_C(65536)
#define CHUNKS_PER_SECOND 20u

struct svc_compactor {
    struct tablet_db *db;
    struct svc_passes passes;
    struct svc_compactor_terms terms CELLAR_GUARDED_BY(passes.lock);
    struct svc_compact_status progress CELLAR_GUARDED_BY(passes.lock); /* without names */
    struct tablet_table *table CELLAR_GUARDED_BY(passes.lock); /* of the progress; a reference */
    struct cellar_error why CELLAR_GUARDED_BY(passes.lock);
    struct cellar_counter tablet_total; /* the thread's */
    struct cellar_counter failed_total;
    struct cellar_counter item_total;
    struct cellar_counter byte_total;
};

/* One pass on the thread. */
struct pass {
    struct svc_compactor *compactor;
    const struct svc_order *order;
    struct tablet_compact_terms due;
    uint64_t items_before; /* of the tablets before */
    uint64_t bytes_before;
    int64_t rest_until_us;
};

/* ---- one tablet ------------------------------------------------------------------------------ */

/* Behind a chunk: notes how far it is and rests. */
static bool chunk_end(void *context, const struct tablet_compact_progress *chunk)
{
    struct pass *pass = context;
    struct svc_compactor *compactor = pass->compactor;
    struct svc_compact_status *progress = &compactor->progress;
    cellar_mutex_lock(&compactor->passes.lock);
    uint64_t items = pass->items_before + chunk->item_count;
    uint64_t bytes = pass->bytes_before + chunk->byte_count;
    CELLAR_ASSERT(items >= progress->item_count && bytes >= progress->byte_count);
    cellar_counter_add(&compactor->item_total, items - progress->item_count);
    cellar_counter_add(&compactor->byte_total, bytes - progress->byte_count);
    uint64_t bytes_more = bytes - progress->byte_count;
    progress->item_count = items;
    progress->byte_count = bytes;
    progress->item_count_total = CELLAR_MAX(progress->item_count_total, items);
    svc_passes_rest(&compactor->passes, &pass->rest_until_us, bytes_more,
                    pass->order->bytes_per_second);
    bool goes_on = !svc_passes_is_over(&compactor->passes);
    cellar_mutex_unlock(&compactor->passes.lock);
    return goes_on;
}

static uint64_t chunk_bytes(const struct svc_order *order)
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
    cellar_mutex_lock(&compactor->passes.lock);
    compactor->progress.tablet_count += status == CELLAR_OK ? 1 : 0;
    if (has_failed && compactor->why.text[0] == '\0') {
        compactor->why = *error;
    }
    pass->items_before = compactor->progress.item_count;
    pass->bytes_before = compactor->progress.byte_count;
    cellar_mutex_unlock(&compactor->passes.lock);
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
    cellar_mutex_lock(&compactor->passes.lock);
    bool goes_on = !svc_passes_is_over(&compactor->passes);
    cellar_mutex_unlock(&compactor->passes.lock);
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
    cellar_mutex_lock(&compactor->passes.lock);
    compactor->progress.tablet_count_total++;
    compactor->progress.item_count_total += item_count;
    bool goes_on = !svc_passes_is_over(&compactor->passes);
    CELLAR_ASSERT(compactor->progress.tablet_count == 0);
    cellar_mutex_unlock(&compactor->passes.lock);
    return goes_on;
}

static bool tablet_stop(struct pass *pass, struct tablet_table *table, size_t index)
{
    CELLAR_ASSERT(pass->order->is_background && index < table->tablet_count);
    return false;
}

/* A new pass's progress in the place of the last one's, whose table the caller lets go. The order's
 * reference becomes the progress's. */
static struct tablet_table *progress_begin(struct svc_compactor *compactor,
                                           const struct svc_order *order)
    CELLAR_REQUIRES(compactor->passes.lock)
{
    struct tablet_table *old = compactor->table;
    svc_passes_begin(&compactor->passes, order);
    compactor->table = order->table;
    compactor->progress = (struct svc_compact_status){.state = SVC_COMPACT_RUNNING,
                                                      .pass = compactor->progress.pass + 1,
                                                      .is_background = order->is_background,
                                                      .started_us = cellar_clock_real_us()};
    cellar_error_clear(&compactor->why);
    return old;
}

/* @return whether something failed */
static bool progress_end(struct svc_compactor *compactor, bool is_whole)
{
    cellar_mutex_lock(&compactor->passes.lock);
    struct svc_compact_status *progress = &compactor->progress;
    bool has_failed = compactor->why.text[0] != '\0';
    progress->state = has_failed ? SVC_COMPACT_FAILED
                      : is_whole ? SVC_COMPACT_ENDED
                                 : SVC_COMPACT_CANCELLED;
    progress->ended_us = cellar_clock_real_us();
    svc_passes_end(&compactor->passes);
    CELLAR_ASSERT(progress->ended_us >= 0);
    cellar_mutex_unlock(&compactor->passes.lock);
    return has_failed;
}

/* Does the work of a pass that has begun. @return whether something of it failed */
static bool pass_run(struct pass *pass)
{
    pass->rest_until_us = cellar_clock_monotonic_us();
    bool is_whole = tablets_visit(pass, tablet_count) && tablets_visit(pass, tablet_run);
    CELLAR_ASSERT(pass->compactor->db != NULL);
    return progress_end(pass->compactor, is_whole);
}

/* Begins a pass of what is due. @return false when nothing is */
static bool due_begin(struct pass *pass)
{
    struct svc_compactor *compactor = pass->compactor;
    CELLAR_ASSERT(pass->order->is_background && pass->order->table == NULL);
    if (tablets_visit(pass, tablet_stop)) {
        return false;
    }
    cellar_mutex_lock(&compactor->passes.lock);
    struct tablet_table *old = progress_begin(compactor, pass->order);
    cellar_mutex_unlock(&compactor->passes.lock);
    tablet_table_unref(old);
    return true;
}

/* A pass that was asked for begins in the hold that takes its order, so that nobody sees neither.
 */
static void *thread_run(void *context)
{
    struct svc_compactor *compactor = context;
    struct svc_order order;
    int64_t look_us = cellar_clock_monotonic_us() + LOOK_US;
    CELLAR_ASSERT(compactor->db != NULL);
    cellar_thread_name_set("compact");
    cellar_mutex_lock(&compactor->passes.lock);
    while (!compactor->passes.is_stopping) {
        struct tablet_table *old = NULL;
        bool is_asked = svc_passes_take(&compactor->passes, &order);
        if (is_asked) {
            old = progress_begin(compactor, &order);
        } else if (cellar_clock_monotonic_us() < look_us) {
            (void)cellar_cond_timedwait(&compactor->passes.changed, &compactor->passes.lock,
                                        look_us);
            continue;
        } else {
            order = (struct svc_order){.bytes_per_second = compactor->terms.bytes_per_second,
                                       .is_background = true};
        }
        struct pass pass = {compactor, &order, .due = compactor->terms.due};
        cellar_mutex_unlock(&compactor->passes.lock);
        tablet_table_unref(old);
        bool has_failed = (is_asked || due_begin(&pass)) && pass_run(&pass);
        cellar_mutex_lock(&compactor->passes.lock);
        if (!is_asked) {
            look_us = cellar_clock_monotonic_us() + (has_failed ? FAILED_LOOK_US : LOOK_US);
        }
    }
    cellar_mutex_unlock(&compactor->passes.lock);
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
    enum cellar_status status = svc_passes_start(&made->passes, thread_run, made, error);
    if (status != CELLAR_OK) {
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
    svc_passes_stop(&compactor->passes);
    CELLAR_ASSERT(compactor->progress.state != SVC_COMPACT_RUNNING);
    tablet_table_unref(compactor->table);
    cellar_mem_free(compactor);
}

void svc_compactor_terms_set(struct svc_compactor *compactor,
                             const struct svc_compactor_terms *terms)
{
    CELLAR_ASSERT(terms->due.garbage_percent <= 100);
    cellar_mutex_lock(&compactor->passes.lock);
    compactor->terms = *terms;
    cellar_cond_broadcast(&compactor->passes.changed);
    cellar_mutex_unlock(&compactor->passes.lock);
}

/* ---- requests -------------------------------------------------------------------------------- */

enum cellar_status svc_compactor_ask(struct svc_compactor *compactor, struct tablet_table *table,
                                     uint64_t bytes_per_second, struct cellar_error *error)
{
    const struct svc_order order = {.table = table, .bytes_per_second = bytes_per_second};
    CELLAR_ASSERT(compactor->db != NULL);
    return svc_passes_ask(&compactor->passes, &order, "A compaction", error);
}

void svc_compactor_cancel(struct svc_compactor *compactor)
{
    CELLAR_ASSERT(compactor->db != NULL);
    svc_passes_cancel(&compactor->passes);
}

/* ---- status ---------------------------------------------------------------------------------- */

enum cellar_status svc_compactor_status(struct svc_compactor *compactor, struct cellar_arena *arena,
                                        struct svc_compact_status *status)
{
    struct cellar_error why;
    cellar_mutex_lock(&compactor->passes.lock);
    struct svc_compact_status made = compactor->progress;
    struct tablet_table *table = compactor->table;
    why = compactor->why;
    if (compactor->passes.has_order) {
        table = compactor->passes.order.table;
        made = (struct svc_compact_status){.state = SVC_COMPACT_RUNNING,
                                           .pass = compactor->progress.pass + 1,
                                           .started_us = cellar_clock_real_us()};
        cellar_error_clear(&why);
    }
    if (table != NULL) {
        tablet_table_ref(table);
    }
    cellar_mutex_unlock(&compactor->passes.lock);
    made.abandoned_count = store_engine_abandoned_count(tablet_db_engine(compactor->db));
    if (made.state == SVC_COMPACT_NONE && made.abandoned_count > 0) {
        made.state = SVC_COMPACT_ABANDONED;
    }
    enum cellar_status result = svc_passes_table_name(table, arena, &made.table);
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
    cellar_mutex_lock(&compactor->passes.lock);
    bool is_running = compactor->progress.state == SVC_COMPACT_RUNNING;
    cellar_mutex_unlock(&compactor->passes.lock);
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
