/*
 * One environment, from its pages up to its cells.
 *
 *     pages     metas, every page of every database, the free list        check_pages.c
 *     state     the record, against the catalog, the log and the meta page
 *     layers    each entry: a layer that was given out, a part of a key
 *     cells     each item in the order of whole keys, marks followed       check_cells.c
 *     tokens    likewise; an environment of an older build may lack them
 *     blobs     likewise; held against the references in cells
 *     sums      count and sum of the items' checksums, against the state
 *
 * Items under long keys are reached through their marks, by further walks of the layers' database
 * for one layer each. What the marks do not reach shows in the count. Marks have checksums over
 * their place, so they cannot lead in circles by accident; by intent they are stopped by the count
 * too.
 */
#include "server/storage/check_env.h"

#include <inttypes.h>
#include <limits.h>

#include "common/mem.h"
#include "server/storage/check_cells.h"
#include "server/storage/check_pages.h"
#include "server/storage/env_internal.h"

#define LAYER_ID_BYTES 8u
#define PROGRESS_ITEMS 64u

enum database { DB_STATE, DB_CELLS, DB_LAYERS, DB_TOKENS, DB_BLOBS, DB_COUNT };

static const char *const database_names[DB_COUNT] = {"state", "cells", "layers", "tokens", "blobs"};

/* One check. */
struct env_check {
    struct store_check_report *report;
    const struct store_check_env_options *options;
    char file[STORE_CHECK_FILE_BYTES_MAX]; /* below the data directory */
    struct store_check_pages pages;
    struct store_check_tree trees[DB_COUNT];
    bool has_tree[DB_COUNT];
    enum database database; /* whose pages are walked; DB_COUNT: none of these */
    struct store_env_state state;
    bool has_state;
    uint32_t pending_count; /* ranges in their record; 0 without one */
    bool has_bad_pending;
    struct store_check_cells cells;
    struct cellar_buffer key;   /* whole, of an item in a layer */
    uint64_t layer_entry_total; /* that the layers' database has */
    uint64_t layer_entry_count; /* met through marks */
    uint64_t fault_count;       /* damaged pages */
    bool is_circle;             /* more entries were met through marks than there are */
};

/* With the table, so that people read a name and not a store's number. */
static struct store_check_place place_make(const struct env_check *check)
{
    struct store_check_place place = {
        .file = check->file, .store_id = check->options->store_id, .has_store = true};
    const struct store_check_rows *rows = &check->options->rows;
    if (rows->place != NULL) {
        rows->place(rows->context, cellar_slice_make(NULL, 0), &place);
    }
    CELLAR_ASSERT(place.file[0] != '\0');
    return place;
}

static void env_damage(struct env_check *check, uint64_t offset, const char *why)
{
    struct store_check_place place = place_make(check);
    CELLAR_ASSERT(why != NULL);
    place.offset = offset;
    place.has_offset = true;
    store_check_find(check->report, STORE_CHECK_DAMAGE, &place, "%s", why);
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* Says a fault of the pages, with the rows behind it when they are known. From here on the
 * environment has a hole, and sums that do not fit would say nothing new. */
static void page_fault(void *context, const struct store_check_fault *fault)
{
    struct env_check *check = context;
    struct cellar_buffer start = {0};
    struct cellar_buffer end = {0};
    struct store_check_place place = place_make(check);
    place.offset = fault->offset;
    place.has_offset = true;
    check->fault_count++;
    check->cells.has_hole = true;
    bool has_rows = (check->database == DB_CELLS || check->database == DB_TOKENS) &&
                    fault->has_keys && store_check_row_of(fault->low, &start) == CELLAR_OK &&
                    store_check_row_of(fault->high, &end) == CELLAR_OK;
    if (has_rows && fault->is_key) {
        place.row = cellar_slice_of(&start);
        place.has_row = true;
    } else if (has_rows) {
        place.rows_start = cellar_slice_of(&start);
        place.rows_end = cellar_slice_of(&end);
        place.has_rows = true;
    }
    CELLAR_ASSERT(fault->why != NULL);
    const char *name = check->database < DB_COUNT ? database_names[check->database] : "file";
    store_check_find(check->report, STORE_CHECK_DAMAGE, &place, "%s: %s", name, fault->why);
    cellar_buffer_fini(&start);
    cellar_buffer_fini(&end);
}

/* Notes the databases. */
static enum cellar_status name_visit(void *context, const struct store_check_entry *entry)
{
    struct env_check *check = context;
    for (unsigned i = 0; i < DB_COUNT; i++) {
        if (cellar_slice_equal(entry->key, cellar_slice_text(database_names[i]))) {
            check->has_tree[i] = store_check_tree_decode(entry, &check->trees[i]);
            if (!check->has_tree[i]) {
                env_damage(check, entry->offset, "what describes a database is damaged");
            }
            return CELLAR_OK;
        }
    }
    CELLAR_ASSERT(entry->key.bytes > 0);
    env_damage(check, entry->offset, "the environment has a database of an unknown name");
    return CELLAR_OK;
}

static void database_missing(struct env_check *check, unsigned database)
{
    char why[64];
    CELLAR_ASSERT(database < DB_COUNT);
    (void)snprintf(why, sizeof why, "the database %s is missing", database_names[database]);
    env_damage(check, check->pages.main_tree.offset, why);
}

/* Environments from before there were tokens, or blobs, have no database for them; their state
 * tells (state_compare()). */
static enum cellar_status names_check(struct env_check *check)
{
    struct store_check_walk walk = {.pages = &check->pages,
                                    .tree = &check->pages.main_tree,
                                    .is_first = true,
                                    .context = check,
                                    .visit = name_visit};
    check->database = DB_COUNT;
    CELLAR_TRY(store_check_walk(&walk));
    CELLAR_ASSERT(check->database == DB_COUNT);
    for (unsigned i = 0; i < DB_COUNT; i++) {
        if (!check->has_tree[i] && i != DB_TOKENS && i != DB_BLOBS) {
            database_missing(check, i);
        }
    }
    return CELLAR_OK;
}

/* The first walk of one database. */
static enum cellar_status
database_walk(struct env_check *check, enum database database,
              enum cellar_status (*visit)(void *context, const struct store_check_entry *entry))
{
    struct store_check_walk walk = {.pages = &check->pages,
                                    .tree = &check->trees[database],
                                    .is_first = true,
                                    .context = check,
                                    .visit = visit};
    if (!check->has_tree[database]) {
        return CELLAR_OK;
    }
    check->database = database;
    enum cellar_status status = store_check_walk(&walk);
    check->database = DB_COUNT;
    if (database == DB_LAYERS) {
        check->layer_entry_total = walk.seen.entry_count;
    }
    CELLAR_ASSERT(walk.memory == NULL);
    return status;
}

/* ---- state ----------------------------------------------------------------------------------- */

/* The ranges that were dropped and are not removed yet. */
static enum cellar_status pending_visit(struct env_check *check,
                                        const struct store_check_entry *entry)
{
    struct store_range_set set = {0};
    enum cellar_status status = store_env_pending_decode(entry->value, &set);
    check->pending_count = (uint32_t)set.count;
    store_range_set_fini(&set);
    CELLAR_ASSERT(status == CELLAR_OK || check->pending_count == 0);
    if (status == CELLAR_DATA_LOSS) {
        check->has_bad_pending = true;
        env_damage(check, entry->offset, "the record of dropped ranges is damaged");
        return CELLAR_OK;
    }
    return status;
}

static enum cellar_status state_visit(void *context, const struct store_check_entry *entry)
{
    struct env_check *check = context;
    CELLAR_ASSERT(entry->key.bytes > 0);
    if (cellar_slice_equal(entry->key, cellar_slice_text(STORE_ENV_PENDING_KEY))) {
        return pending_visit(check, entry);
    }
    if (check->has_state || !cellar_slice_equal(entry->key, cellar_slice_text("state"))) {
        env_damage(check, entry->offset, "the database state has an entry of an unknown name");
        return CELLAR_OK;
    }
    enum cellar_status status = store_env_state_decode(entry->value, &check->state);
    check->has_state = status == CELLAR_OK;
    if (status != CELLAR_OK) {
        env_damage(check, entry->offset,
                   status == CELLAR_DATA_LOSS
                       ? "the state record's checksum does not fit, or it is no state record"
                       : "the state record is of another version; use the cellard that wrote it");
    }
    return CELLAR_OK;
}

/* Holds the state against catalog, log and file. An environment that is ahead of the log cannot be
 * of this directory's present: the log was cut off, or one of the two was copied at another time.
 */
static void state_compare(struct env_check *check)
{
    const struct store_env_state *state = &check->state;
    const struct store_check_env_options *options = check->options;
    uint64_t offset = check->trees[DB_STATE].offset;
    CELLAR_ASSERT(check->has_state);
    if (state->store_id != options->store_id || state->generation != options->generation) {
        env_damage(check, offset, "the environment says that it is of another store or generation");
    }
    if (options->log_id != NULL &&
        memcmp(state->log_id, options->log_id, STORE_LOG_ID_BYTES) != 0) {
        env_damage(check, offset, "the environment belongs to another commit log");
    } else if (state->applied_lsn > options->end_lsn) {
        struct store_check_place place = place_make(check);
        place.first_lsn = options->end_lsn + 1;
        place.last_lsn = state->applied_lsn;
        store_check_find(check->report, STORE_CHECK_DAMAGE, &place,
                         "the store has applied record %" PRIu64
                         ", but the commit log ends at %" PRIu64 ": its newest part is lost",
                         state->applied_lsn, options->end_lsn);
    }
    if (state->pending_count != check->pending_count && !check->has_bad_pending) {
        env_damage(check, offset, "the state and the record of dropped ranges do not fit");
    }
    for (unsigned i = 0; i < DB_COUNT; i++) {
        bool is_late = i == DB_TOKENS || i == DB_BLOBS;
        if (is_late && !check->has_tree[i] && state->database_count >= DB_COUNT) {
            database_missing(check, i);
        }
    }
    if (state->map_bytes != check->pages.map_bytes) {
        env_damage(check, offset, "state and meta page name different sizes of the map");
    }
}

static enum cellar_status state_check(struct env_check *check)
{
    CELLAR_TRY(database_walk(check, DB_STATE, state_visit));
    if (check->has_state) {
        state_compare(check);
    } else if (check->report->scope_damage == 0) {
        env_damage(check, check->pages.main_tree.offset, "the state record is missing");
    }
    CELLAR_ASSERT(check->has_state || check->report->scope_damage > 0);
    return CELLAR_OK;
}

/* ---- layers ---------------------------------------------------------------------------------- */

static bool is_mark(struct cellar_slice part)
{
    CELLAR_ASSERT(part.data != NULL);
    return part.bytes == STORE_ENV_KEY_PART_MAX + 1 &&
           part.data[STORE_ENV_KEY_PART_MAX] == ENV_MARK;
}

/* An entry of the layers' database by itself. Only what an entry shows by itself: which mark leads
 * to it is seen on the way down from the maps. */
static enum cellar_status layers_visit(void *context, const struct store_check_entry *entry)
{
    struct env_check *check = context;
    uint64_t layer = entry->key.bytes > LAYER_ID_BYTES ? cellar_get_u64be(entry->key.data) : 0;
    if (layer == 0 || (check->has_state && layer >= check->state.layer_next)) {
        env_damage(check, entry->offset, "an entry belongs to a layer that was never given out");
    }
    store_check_progress(check->report, check->file,
                         check->pages.done_count * STORE_CHECK_PAGE_BYTES,
                         check->pages.page_count * STORE_CHECK_PAGE_BYTES);
    CELLAR_ASSERT(entry->key.data != NULL);
    return CELLAR_OK;
}

/* Where a walk of one layer stands. */
struct layer_visit {
    struct env_check *check;
    uint32_t level;
    uint64_t entry_count;
};

static enum cellar_status mark_follow(struct env_check *check, uint32_t level,
                                      const struct store_check_entry *mark);

/* An item of the map that is walked. @param key whole */
static enum cellar_status item_check(struct env_check *check, struct cellar_slice key,
                                     const struct store_check_entry *entry)
{
    CELLAR_ASSERT(check->database != DB_STATE && check->database != DB_LAYERS);
    if (check->database == DB_BLOBS) {
        return store_check_cells_blob(&check->cells, key, entry->value, entry->offset);
    }
    return check->database == DB_TOKENS
               ? store_check_cells_token(&check->cells, key, entry->value, entry->offset)
               : store_check_cells_item(&check->cells, key, entry->value, entry->offset);
}

/* More entries than the database has can only be met by going round in a circle, so this ends it.
 */
static enum cellar_status layer_entry_visit(void *context, const struct store_check_entry *entry)
{
    struct layer_visit *visit = context;
    struct env_check *check = visit->check;
    struct cellar_slice part =
        cellar_slice_make(entry->key.data + LAYER_ID_BYTES, entry->key.bytes - LAYER_ID_BYTES);
    visit->entry_count++;
    check->layer_entry_count++;
    if (check->layer_entry_count > check->layer_entry_total) {
        check->is_circle = true;
        return CELLAR_ABORTED;
    }
    check->key.bytes = (size_t)visit->level * STORE_ENV_KEY_PART_MAX;
    CELLAR_TRY(cellar_buffer_append(&check->key, part.data, part.bytes));
    struct cellar_slice key = cellar_slice_of(&check->key);
    if (is_mark(part)) {
        return mark_follow(check, visit->level, entry);
    }
    CELLAR_ASSERT(visit->level > 0);
    return part.bytes > STORE_ENV_KEY_PART_MAX
               ? store_check_cells_damage(&check->cells, key, entry->offset,
                                          "a part of a long key has an impossible length")
               : item_check(check, key, entry);
}

/* Reads the layer behind a mark; check->key holds the key down to the mark, the mark's byte
 * included. Each layer is a walk of its own through the layers' tree, bounded to its ids: pages
 * without one of them are not read. */
static enum cellar_status mark_follow(struct env_check *check, uint32_t level,
                                      const struct store_check_entry *mark)
{
    uint64_t layer = store_env_mark_decode(mark->key, mark->value);
    uint8_t bounds[2][LAYER_ID_BYTES];
    struct cellar_slice key = cellar_slice_make(check->key.data, check->key.bytes - 1);
    if (layer == 0 || layer == UINT64_MAX || level + 1 >= STORE_ENV_LEVEL_COUNT_MAX) {
        return store_check_cells_damage(&check->cells, key, mark->offset,
                                        "the checksum of a long key's mark does not fit");
    }
    cellar_put_u64be(bounds[0], layer);
    cellar_put_u64be(bounds[1], layer + 1);
    struct layer_visit visit = {.check = check, .level = level + 1};
    struct store_check_walk walk = {.pages = &check->pages,
                                    .tree = &check->trees[DB_LAYERS],
                                    .low = cellar_slice_make(bounds[0], LAYER_ID_BYTES),
                                    .high = cellar_slice_make(bounds[1], LAYER_ID_BYTES),
                                    .context = &visit,
                                    .visit = layer_entry_visit};
    size_t key_bytes = key.bytes;
    CELLAR_TRY(store_check_walk(&walk));
    CELLAR_ASSERT(check->key.bytes >= key_bytes);
    if (walk.fault_count == 0 && visit.entry_count > 0) {
        return CELLAR_OK;
    }
    key = cellar_slice_make(check->key.data, key_bytes);
    return store_check_cells_damage(&check->cells, key, mark->offset,
                                    walk.fault_count > 0
                                        ? "long keys behind this beginning cannot all be read"
                                        : "the layer of a long key's mark is empty");
}

/* ---- the maps ----------------------------------------------------------------------------------
 */

/* An entry of the root of a map. */
static enum cellar_status root_visit(void *context, const struct store_check_entry *entry)
{
    struct env_check *check = context;
    struct cellar_slice key = entry->key;
    if (check->cells.item_count % PROGRESS_ITEMS == 0) {
        store_check_progress(check->report, check->file,
                             check->pages.done_count * STORE_CHECK_PAGE_BYTES,
                             check->pages.page_count * STORE_CHECK_PAGE_BYTES);
    }
    CELLAR_ASSERT(check->database != DB_COUNT);
    if (is_mark(key)) {
        check->key.bytes = 0;
        CELLAR_TRY(cellar_buffer_append(&check->key, key.data, key.bytes));
        return mark_follow(check, 0, entry);
    }
    return key.bytes > STORE_ENV_KEY_PART_MAX
               ? store_check_cells_damage(&check->cells, key, entry->offset,
                                          "the key has an impossible length")
               : item_check(check, key, entry);
}

/* Holds what was met against the state and the layers' count; of use where every page was read.
 * Reached only where every page could be read: what is missing now is missing in the data, not in
 * our sight. */
static void sums_check(struct env_check *check)
{
    const struct store_env_state *state = &check->state;
    uint64_t offset = check->trees[DB_STATE].offset;
    if (check->is_circle) {
        env_damage(check, check->trees[DB_LAYERS].offset, "the marks of long keys lead in circles");
        return;
    }
    CELLAR_ASSERT(check->layer_entry_count <= check->layer_entry_total);
    if (check->layer_entry_count < check->layer_entry_total) {
        char why[96];
        (void)snprintf(why, sizeof why, "no mark leads to %" PRIu64 " entries of the layers",
                       check->layer_entry_total - check->layer_entry_count);
        env_damage(check, check->trees[DB_LAYERS].offset, why);
    }
    if (check->has_state && (state->item_count != check->cells.item_count ||
                             state->item_crc_sum != check->cells.crc_sum)) {
        char why[128];
        (void)snprintf(why, sizeof why,
                       "the environment has %" PRIu64 " items, its last checkpoint says %" PRIu64
                       ", or the sums of their checksums differ",
                       check->cells.item_count, state->item_count);
        env_damage(check, offset, why);
    }
    if (!store_check_blobs_fit(&check->cells)) {
        env_damage(check, offset, "the list of blobs is not that of the cells' references");
    }
}

/* Pages that nobody counts cost space and nothing else, hence a note. */
static enum cellar_status free_check(struct env_check *check)
{
    uint64_t lost_count = 0;
    CELLAR_TRY(store_check_free_pages(&check->pages, &lost_count));
    CELLAR_ASSERT(check->pages.used != NULL);
    if (check->fault_count == 0 && lost_count > 0) {
        struct store_check_place place = place_make(check);
        store_check_find(check->report, STORE_CHECK_NOTE, &place,
                         "%" PRIu64 " pages are neither used nor free: lost space, no lost data",
                         lost_count);
    }
    return CELLAR_OK;
}

/* Everything behind the meta pages. */
static enum cellar_status content_check(struct env_check *check)
{
    struct store_check_place place = place_make(check);
    CELLAR_ASSERT(check->pages.used != NULL);
    CELLAR_TRY(names_check(check));
    CELLAR_TRY(state_check(check));
    CELLAR_TRY(database_walk(check, DB_LAYERS, layers_visit));
    CELLAR_TRY(store_check_cells_init(&check->cells, check->report, &check->options->rows, &place));
    check->cells.files = check->options->files;
    enum cellar_status status = database_walk(check, DB_CELLS, root_visit);
    if (status == CELLAR_OK) {
        status = database_walk(check, DB_TOKENS, root_visit);
    }
    if (status == CELLAR_OK) {
        status = database_walk(check, DB_BLOBS, root_visit);
    }
    if (status == CELLAR_ABORTED) {
        status = CELLAR_OK;
    }
    if (status == CELLAR_OK && check->fault_count == 0 && check->has_tree[DB_CELLS]) {
        sums_check(check);
    }
    store_check_cells_fini(&check->cells);
    CELLAR_TRY(status);
    return check->fault_count == 0 ? free_check(check) : CELLAR_OK;
}

/* The structure is large, and checks run one after the other: it lives on the heap for the time of
 * one. */
enum cellar_status store_check_env(struct store_check_report *report,
                                   const struct store_check_env_options *options,
                                   struct store_env_state *state, bool *has_state)
{
    char path[PATH_MAX];
    struct env_check *check = cellar_mem_zalloc(1, sizeof *check);
    *has_state = false;
    if (check == NULL) {
        return CELLAR_NO_MEMORY;
    }
    check->report = report;
    check->options = options;
    check->database = DB_COUNT;
    check->pages.context = check;
    check->pages.fault = page_fault;
    (void)snprintf(check->file, sizeof check->file, "stores/%" PRIu32 "/%" PRIu64 "/data.mdb",
                   options->store_id, options->generation);
    int bytes = snprintf(path, sizeof path, "%s/%s", options->data_dir, check->file);
    CELLAR_ASSERT(bytes > 0 && (size_t)bytes < sizeof path);
    store_check_scope_begin(report);
    report->counts.store_count++;
    enum cellar_status status = store_check_pages_open(&check->pages, path);
    if (status == CELLAR_OK) {
        status = content_check(check);
    } else if (status != CELLAR_NO_MEMORY) {
        status = CELLAR_OK;
    }
    if (check->has_state) {
        *state = check->state;
        *has_state = true;
    }
    store_check_pages_close(&check->pages);
    cellar_buffer_fini(&check->key);
    store_check_scope_end(report);
    cellar_mem_free(check);
    return status;
}
