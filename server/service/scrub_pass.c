/*
 * One pass of the scrub: the catalog's store and every tablet's, or one table's tablets, store by
 * store and slice by slice (storage/scrub.h).
 *
 * A reference keeps the table that is scrubbed, and with it the place in the order of names; its
 * stores are held open for one slice at a time, so that a drop need not wait. A table that is
 * dropped meanwhile is left. Tables made during the pass are met where their names come later.
 *
 * Behind each slice the thread rests until the bytes it read fit the budget. It wakes at once when
 * the pass is to end. Findings are copied and kept up to a limit, and counted behind it; keys are
 * users' data and do not go to the log.
 */
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/service/scrubber_internal.h"
#include "server/storage/scrub.h"

#define SLICE_BYTES_MIN UINT64_C(16384)
#define SLICE_BYTES_MAX UINT64_C(1048576)
#define SLICES_PER_SECOND 10u

/* The store that is scrubbed, in its pass. */
struct store_pass {
    struct svc_scrubber *scrubber;
    const struct svc_order *order;
    struct tablet_table *table; /* NULL: the catalog */
    size_t tablet_index;
    uint32_t store_id;
    uint64_t items_before; /* of the pass, in the stores before */
    uint64_t bytes_before;
    int64_t rest_until_us; /* by the budget */
};

/* ---- findings -------------------------------------------------------------------------------- */

void scrub_problem_unref(struct scrub_problem *problem)
{
    CELLAR_ASSERT(problem == NULL || problem->why_bytes > 0);
    if (problem != NULL && atomic_fetch_sub(&problem->references, 1) == 1) {
        tablet_table_unref(problem->table);
        cellar_mem_free(problem);
    }
}

static uint8_t *put(uint8_t *to, const void *data, size_t bytes)
{
    CELLAR_ASSERT(to != NULL);
    if (bytes > 0) {
        memcpy(to, data, bytes);
    }
    return to + bytes;
}

/* NULL without memory: the problem is counted then. */
static struct scrub_problem *problem_make(const struct store_pass *pass,
                                          const struct store_check_place *place, const char *why)
{
    struct cellar_slice start = place->has_row ? place->row : place->rows_start;
    struct cellar_slice end = place->rows_end;
    start.bytes =
        CELLAR_MIN(start.bytes, (size_t)CELLAR_ROW_BYTES_MAX);       /* a damaged key is as long */
    end.bytes = CELLAR_MIN(end.bytes, (size_t)CELLAR_ROW_BYTES_MAX); /* as it likes */
    size_t why_bytes = strlen(why);
    struct scrub_problem *problem =
        cellar_mem_zalloc(1, sizeof *problem + start.bytes + end.bytes + why_bytes);
    CELLAR_ASSERT(why_bytes > 0);
    if (problem == NULL) {
        return NULL;
    }
    if (pass->table != NULL) {
        tablet_table_ref(pass->table);
    }
    atomic_init(&problem->references, 1);
    problem->table = pass->table;
    problem->tablet_index = pass->tablet_index;
    problem->has_row = place->has_row;
    problem->has_rows = place->has_rows;
    problem->start_bytes = start.bytes;
    problem->end_bytes = end.bytes;
    problem->why_bytes = why_bytes;
    uint8_t *to = put(problem->bytes, start.data, start.bytes);
    (void)put(put(to, end.data, end.bytes), why, why_bytes);
    return problem;
}

static void problem_take(void *context, enum store_check_severity severity,
                         const struct store_check_place *place, const char *why)
{
    struct store_pass *pass = context;
    struct svc_scrubber *scrubber = pass->scrubber;
    CELLAR_ASSERT(severity == STORE_CHECK_DAMAGE);
    struct scrub_problem *problem = problem_make(pass, place, why);
    cellar_counter_add(&scrubber->problem_total, 1);
    cellar_mutex_lock(&scrubber->passes.lock);
    struct scrub_progress *progress = &scrubber->progress;
    progress->problem_count++;
    bool is_listed =
        problem != NULL && progress->problem_count_listed < SVC_SCRUB_PROBLEM_COUNT_MAX;
    if (is_listed) {
        progress->problems[progress->problem_count_listed++] = problem;
    }
    cellar_mutex_unlock(&scrubber->passes.lock);
    if (is_listed) {
        cellar_log(CELLAR_LOG_ERROR, "scrub_problem", "store=%u text=\"%s\"", pass->store_id, why);
    } else {
        scrub_problem_unref(problem);
    }
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* Notes how far the store is and rests. @return false when the pass is to end */
static bool slice_end(struct store_pass *pass, const struct store_scrub *scrub)
{
    struct svc_scrubber *scrubber = pass->scrubber;
    struct scrub_progress *progress = &scrubber->progress;
    cellar_mutex_lock(&scrubber->passes.lock);
    uint64_t items = pass->items_before + scrub->cells.item_count;
    uint64_t bytes = pass->bytes_before + scrub->byte_count;
    CELLAR_ASSERT(items >= progress->item_count && bytes >= progress->byte_count);
    cellar_counter_add(&scrubber->item_total, items - progress->item_count);
    cellar_counter_add(&scrubber->byte_total, bytes - progress->byte_count);
    uint64_t bytes_more = bytes - progress->byte_count;
    progress->item_count = items;
    progress->byte_count = bytes;
    progress->item_count_total = CELLAR_MAX(progress->item_count_total, items);
    svc_passes_rest(&scrubber->passes, &pass->rest_until_us, bytes_more,
                    pass->order->bytes_per_second);
    bool goes_on = !svc_passes_is_over(&scrubber->passes);
    cellar_mutex_unlock(&scrubber->passes.lock);
    return goes_on;
}

/* Rows of a tablet lie in its bounds. */
static const char *row_check(void *context, struct cellar_slice row)
{
    const struct store_pass *pass = context;
    if (pass->table == NULL) {
        return NULL;
    }
    const struct tablet *tablet = &pass->table->tablets[pass->tablet_index];
    CELLAR_ASSERT(tablet->store_id == pass->store_id);
    return tablet_has_row(tablet, row) ? NULL : "the row does not belong to this tablet";
}

/* What kept a store from being read; no damage, but nobody knows that there is none. */
static void failure_tell(struct store_pass *pass, enum cellar_status status)
{
    char why[128];
    const struct store_check_place place = {.store_id = pass->store_id, .has_store = true};
    CELLAR_ASSERT(status != CELLAR_OK);
    (void)snprintf(why, sizeof why, "the store could not be scrubbed to its end: %s",
                   cellar_status_text(status));
    problem_take(pass, STORE_CHECK_DAMAGE, &place, why);
}

/* The store, held open until store_leave(); NULL when its table is dropped. */
static struct store *store_enter(const struct store_pass *pass)
{
    if (pass->table == NULL) {
        return store_engine_catalog(tablet_db_engine(pass->scrubber->db));
    }
    CELLAR_ASSERT(pass->tablet_index < pass->table->tablet_count);
    return tablet_table_enter(pass->table) ? pass->table->tablets[pass->tablet_index].store : NULL;
}

static void store_leave(const struct store_pass *pass)
{
    CELLAR_ASSERT(pass->scrubber != NULL);
    if (pass->table != NULL) {
        tablet_table_leave(pass->table);
    }
}

/* Scrubs the store. @return false when the pass is to end */
static bool store_run(struct store_pass *pass)
{
    struct store_scrub scrub;
    const struct store_check_rows rows = {.context = pass, .row = row_check};
    uint64_t slice_bytes = pass->order->bytes_per_second / SLICES_PER_SECOND;
    slice_bytes = CELLAR_MAX(SLICE_BYTES_MIN, CELLAR_MIN(slice_bytes, SLICE_BYTES_MAX));
    bool is_done = false;
    bool goes_on = true;
    enum cellar_status status = store_scrub_init(&scrub, pass->store_id, &rows, problem_take, pass);
    while (status == CELLAR_OK && !is_done && goes_on) {
        struct store *store = store_enter(pass);
        if (store == NULL) {
            break;
        }
        status = store_scrub_slice(&scrub, store, slice_bytes, &is_done);
        store_leave(pass);
        goes_on = slice_end(pass, &scrub);
    }
    if (status != CELLAR_OK) {
        failure_tell(pass, status);
    }
    pass->items_before += scrub.cells.item_count;
    pass->bytes_before += scrub.byte_count;
    CELLAR_ASSERT(pass->items_before >= scrub.cells.item_count);
    store_scrub_fini(&scrub);
    return goes_on;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Calls `run` for every tablet of a table. @return false when `run` did */
static bool tablets_visit(struct store_pass *pass, struct tablet_table *table,
                          bool (*run)(struct store_pass *pass))
{
    bool goes_on = true;
    CELLAR_ASSERT(table->tablet_count > 0);
    pass->table = table;
    for (size_t i = 0; i < table->tablet_count && goes_on; i++) {
        pass->tablet_index = i;
        pass->store_id = table->tablets[i].store_id;
        goes_on = run(pass);
    }
    return goes_on;
}

/* Calls `run` for every store that the order is about. */
static bool stores_visit(struct store_pass *pass, bool (*run)(struct store_pass *pass))
{
    struct tablet_db *db = pass->scrubber->db;
    if (pass->order->table != NULL) {
        return tablets_visit(pass, pass->order->table, run);
    }
    pass->table = NULL;
    pass->store_id = STORE_CATALOG_ID;
    bool goes_on = run(pass);
    struct tablet_table *table = tablet_db_next(db, NULL);
    while (table != NULL) {
        goes_on = goes_on && tablets_visit(pass, table, run);
        struct tablet_table *next = goes_on ? tablet_db_next(db, &table->name) : NULL;
        tablet_table_unref(table);
        table = next;
    }
    CELLAR_ASSERT(table == NULL);
    return goes_on;
}

/* Adds the store's items to what the pass has before it. */
static bool store_count(struct store_pass *pass)
{
    struct svc_scrubber *scrubber = pass->scrubber;
    uint64_t count = 0;
    struct store *store = store_enter(pass);
    if (store != NULL) {
        count = store_scrub_item_count(store);
        store_leave(pass);
    }
    cellar_mutex_lock(&scrubber->passes.lock);
    scrubber->progress.item_count_total += count;
    bool goes_on = !svc_passes_is_over(&scrubber->passes);
    cellar_mutex_unlock(&scrubber->passes.lock);
    CELLAR_ASSERT(scrubber->db != NULL);
    return goes_on;
}

void scrub_pass_run(struct svc_scrubber *scrubber, const struct svc_order *order)
{
    struct store_pass pass = {.scrubber = scrubber, .order = order};
    int64_t start_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(order->bytes_per_second > 0);
    pass.rest_until_us = start_us;
    bool is_whole = stores_visit(&pass, store_count) && stores_visit(&pass, store_run);
    cellar_mutex_lock(&scrubber->passes.lock);
    struct scrub_progress *progress = &scrubber->progress;
    progress->state = is_whole ? SVC_SCRUB_ENDED : SVC_SCRUB_CANCELLED;
    svc_passes_end(&scrubber->passes);
    progress->ended_us = cellar_clock_real_us();
    uint64_t problem_count = progress->problem_count;
    int64_t ended_us = progress->ended_us;
    cellar_mutex_unlock(&scrubber->passes.lock);
    if (is_whole) {
        cellar_counter_add(&scrubber->pass_total, 1);
    }
    if (is_whole && order->table == NULL) {
        atomic_store(&scrubber->last_ended_us, ended_us);
        atomic_store(&scrubber->last_problem_count, problem_count);
    }
    cellar_log(problem_count > 0 ? CELLAR_LOG_ERROR : CELLAR_LOG_INFO,
               is_whole ? "scrub_ended" : "scrub_cancelled",
               "background=%d items=%llu bytes=%llu problems=%llu us=%lld", order->is_background,
               (unsigned long long)pass.items_before, (unsigned long long)pass.bytes_before,
               (unsigned long long)problem_count,
               (long long)(cellar_clock_monotonic_us() - start_us));
}
