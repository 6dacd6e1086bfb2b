/*
 * The scrub of one store: check_env.c's reading of pages and items, for an environment in use.
 *
 *     slice       a read transaction begins; LMDB keeps what it can reach from being written again
 *       pages     read with pread(2) as of that transaction's meta page     check_pages.c
 *       databases found by name, as a checkpoint may have moved their roots
 *       items     from behind the last key on, cells, tokens, then blobs    check_cells.c
 *                 the transaction ends; the key that was met last is kept
 *
 * LMDB trusts its pages, so it is not asked for any: a damaged one is told with the rows behind it
 * and costs the scrub nothing else. Pages of the state alone are LMDB's, which reads them when the
 * transaction begins.
 *
 * A key of more than 250 bytes is reached through marks. Whole keys have the order in which root
 * and layers are walked, so one whole key says at each level where to go on.
 *
 * Between two slices a checkpoint may rewrite a row. Then the row's next segment is not held
 * against what the last slice saw. An item that vanishes leaves no trace but in the count and sum
 * of the state, which are those of one snapshot: they are compared when all slices saw the same.
 */
#include "server/storage/scrub.h"

#include <inttypes.h>
#include <limits.h>
#include <time.h>

#include "server/storage/check_pages.h"
#include "server/storage/env_internal.h"

#define LAYER_ID_BYTES 8u
#define ITEM_COST_BYTES 32u /* so that a slice of tiny items ends too */
#define META_TRIES_MAX 4u
#define PAUSE_NS 1000000
/* By how much entries behind marks may outnumber those that there are before it is a circle: the
 * store changes between slices. */
#define LAYER_ENTRY_SLACK UINT64_C(100000)

enum database { DB_CELLS, DB_LAYERS, DB_TOKENS, DB_BLOBS, DB_STATE, DB_COUNT };

static const char *const database_names[DB_COUNT] = {"cells", "layers", "tokens", "blobs", "state"};

/* What is read for each map. */
static const enum database map_databases[STORE_SCRUB_MAP_COUNT] = {
    [STORE_SCRUB_CELLS] = DB_CELLS,
    [STORE_SCRUB_TOKENS] = DB_TOKENS,
    [STORE_SCRUB_BLOBS] = DB_BLOBS,
};

typedef enum cellar_status item_check_fn(struct store_check_cells *cells, struct cellar_slice key,
                                         struct cellar_slice value, uint64_t offset);

static item_check_fn *const map_checks[STORE_SCRUB_MAP_COUNT] = {
    [STORE_SCRUB_CELLS] = store_check_cells_item,
    [STORE_SCRUB_TOKENS] = store_check_cells_token,
    [STORE_SCRUB_BLOBS] = store_check_cells_blob,
};

/* One slice. */
struct slice {
    struct store_scrub *scrub;
    struct store_check_pages pages;
    struct store_check_tree trees[DB_COUNT];
    bool has_tree[DB_COUNT];
    enum database database;   /* whose pages are walked; DB_COUNT: none of these */
    struct cellar_buffer key; /* whole, of the current entry in a layer */
    uint64_t bytes_left;
    bool is_full; /* it is time to end the slice */
};

/* ---- findings -------------------------------------------------------------------------------- */

static void damage(struct store_scrub *scrub, const char *why)
{
    CELLAR_ASSERT(why != NULL);
    store_check_find(&scrub->report, STORE_CHECK_DAMAGE, &scrub->cells.place, "%s", why);
}

/* With the rows behind the page where there are such; without memory for their keys, without. */
static void page_fault(void *context, const struct store_check_fault *fault)
{
    struct slice *slice = context;
    struct store_scrub *scrub = slice->scrub;
    struct cellar_buffer start = {0};
    struct cellar_buffer end = {0};
    struct store_check_place place = scrub->cells.place;
    place.offset = fault->offset;
    place.has_offset = true;
    scrub->page_faults++;
    scrub->cells.has_hole = true;
    bool has_rows = (slice->database == DB_CELLS || slice->database == DB_TOKENS) &&
                    fault->has_keys && store_check_row_of(fault->low, &start) == CELLAR_OK &&
                    store_check_row_of(fault->high, &end) == CELLAR_OK;
    place.has_row = has_rows && fault->is_key;
    place.has_rows = has_rows && !fault->is_key;
    if (place.has_row) {
        place.row = cellar_slice_of(&start);
    } else if (place.has_rows) {
        place.rows_start = cellar_slice_of(&start);
        place.rows_end = cellar_slice_of(&end);
    }
    CELLAR_ASSERT(fault->why != NULL);
    const char *name = slice->database < DB_COUNT ? database_names[slice->database] : "file";
    store_check_find(&scrub->report, STORE_CHECK_DAMAGE, &place, "%s: %s", name, fault->why);
    cellar_buffer_fini(&start);
    cellar_buffer_fini(&end);
}

/* ---- items ----------------------------------------------------------------------------------- */

/* Keeps the place when the slice has had its share. ABORTED ends the walks then. */
static enum cellar_status share_take(struct slice *slice, struct cellar_slice key,
                                     uint64_t value_bytes)
{
    uint64_t bytes = key.bytes + value_bytes;
    uint64_t cost = bytes + ITEM_COST_BYTES;
    slice->scrub->byte_count += bytes;
    CELLAR_ASSERT(!slice->is_full);
    if (cost < slice->bytes_left) {
        slice->bytes_left -= cost;
        return CELLAR_OK;
    }
    slice->is_full = true;
    cellar_buffer_clear(&slice->scrub->place);
    CELLAR_TRY(cellar_buffer_append(&slice->scrub->place, key.data, key.bytes));
    slice->scrub->has_place = true;
    return CELLAR_ABORTED;
}

/* An item of the map that is walked, unless the slice before met it. @param key whole */
static enum cellar_status item_check(struct slice *slice, struct cellar_slice key,
                                     const struct store_check_entry *entry)
{
    struct store_scrub *scrub = slice->scrub;
    if (scrub->has_place && cellar_slice_compare(key, cellar_slice_of(&scrub->place)) <= 0) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(scrub->map < STORE_SCRUB_MAP_COUNT);
    scrub->files.byte_count = 0;
    CELLAR_TRY(map_checks[scrub->map](&scrub->cells, key, entry->value, entry->offset));
    return share_take(slice, key, entry->value.bytes + scrub->files.byte_count);
}

/* Where a walk of one layer, or of the root at level 0, stands. */
struct level_visit {
    struct slice *slice;
    uint32_t level;
    uint64_t entry_count;
};

static bool is_mark(struct cellar_slice part)
{
    CELLAR_ASSERT(part.data != NULL);
    return part.bytes == STORE_ENV_KEY_PART_MAX + 1 &&
           part.data[STORE_ENV_KEY_PART_MAX] == ENV_MARK;
}

/* The raw key from which a level goes on: that of the place's part, or none when the place is not
 * behind this beginning. @param prefix the whole key down to the level */
static struct cellar_slice level_low(const struct store_scrub *scrub, uint64_t layer,
                                     struct cellar_slice prefix, struct env_raw_key *raw)
{
    struct cellar_slice place = cellar_slice_of(&scrub->place);
    bool is_within = scrub->has_place && place.bytes > prefix.bytes &&
                     (prefix.bytes == 0 || memcmp(place.data, prefix.data, prefix.bytes) == 0);
    struct cellar_slice rest = cellar_slice_make(NULL, 0);
    if (is_within) {
        rest = cellar_slice_make(place.data + prefix.bytes, place.bytes - prefix.bytes);
    }
    CELLAR_ASSERT(prefix.bytes % STORE_ENV_KEY_PART_MAX == 0);
    bool is_cut = rest.bytes > STORE_ENV_KEY_PART_MAX;
    rest.bytes = CELLAR_MIN(rest.bytes, (size_t)STORE_ENV_KEY_PART_MAX);
    store_env_raw_key_make(raw, layer, rest, is_cut);
    return cellar_slice_make(raw->bytes, raw->count);
}

static enum cellar_status level_entry_visit(void *context, const struct store_check_entry *entry);

/* Reads the layer behind a mark, from the place on. slice->key is the whole key down to the mark.
 * Damage inside is told once, with the beginning of the keys: a page of layers holds parts of many.
 */
static enum cellar_status mark_follow(struct slice *slice, uint32_t level,
                                      const struct store_check_entry *mark)
{
    struct store_scrub *scrub = slice->scrub;
    uint64_t layer = store_env_mark_decode(mark->key, mark->value);
    struct cellar_slice prefix = cellar_slice_make(slice->key.data, slice->key.bytes);
    if (layer == 0 || layer == UINT64_MAX || level + 1 >= STORE_ENV_LEVEL_COUNT_MAX) {
        return store_check_cells_damage(&scrub->cells, prefix, mark->offset,
                                        "the checksum of a long key's mark does not fit");
    }
    struct env_raw_key low;
    uint8_t high[LAYER_ID_BYTES];
    cellar_put_u64be(high, layer + 1);
    struct level_visit visit = {.slice = slice, .level = level + 1};
    struct store_check_walk walk = {.pages = &slice->pages,
                                    .tree = &slice->trees[DB_LAYERS],
                                    .low = level_low(scrub, layer, prefix, &low),
                                    .high = cellar_slice_make(high, sizeof high),
                                    .context = &visit,
                                    .visit = level_entry_visit};
    bool is_resumed = low.count > LAYER_ID_BYTES;
    enum cellar_status status = store_check_walk(&walk);
    const char *why = walk.fault_count > 0 ? "long keys behind this beginning cannot all be read"
                                           : "the layer of a long key's mark is empty";
    CELLAR_ASSERT(slice->key.bytes >= prefix.bytes);
    scrub->page_faults += walk.fault_count;
    if (walk.fault_count > 0 || (status == CELLAR_OK && visit.entry_count == 0 && !is_resumed)) {
        prefix.data = slice->key.data; /* it may have moved */
        CELLAR_TRY(store_check_cells_damage(&scrub->cells, prefix, mark->offset, why));
    }
    return status;
}

/* Marks carry checksums over their place, so only an intent makes a circle. */
static enum cellar_status circle_check(struct slice *slice)
{
    struct store_scrub *scrub = slice->scrub;
    uint64_t entry_count = slice->trees[DB_LAYERS].entry_count;
    scrub->layer_entries++;
    CELLAR_ASSERT(scrub->layer_entries > 0);
    if (scrub->layer_entries / 2 <= entry_count + LAYER_ENTRY_SLACK) {
        return CELLAR_OK;
    }
    damage(scrub, "the marks of long keys lead in circles");
    scrub->map = STORE_SCRUB_MAP_COUNT;
    slice->is_full = true;
    return CELLAR_ABORTED;
}

/* An entry of the root of a map (level 0), or of a layer. */
static enum cellar_status level_entry_visit(void *context, const struct store_check_entry *entry)
{
    struct level_visit *visit = context;
    struct slice *slice = visit->slice;
    size_t id_bytes = visit->level > 0 ? LAYER_ID_BYTES : 0;
    CELLAR_ASSERT(entry->key.bytes >= id_bytes);
    struct cellar_slice part =
        cellar_slice_make(entry->key.data + id_bytes, entry->key.bytes - id_bytes);
    visit->entry_count++;
    if (visit->level > 0) {
        CELLAR_TRY(circle_check(slice));
    }
    slice->key.bytes = (size_t)visit->level * STORE_ENV_KEY_PART_MAX;
    bool is_followed = is_mark(part);
    CELLAR_TRY(cellar_buffer_append(&slice->key, part.data, part.bytes - (is_followed ? 1 : 0)));
    if (is_followed) {
        return mark_follow(slice, visit->level, entry);
    }
    struct cellar_slice key = cellar_slice_of(&slice->key);
    return part.bytes > STORE_ENV_KEY_PART_MAX
               ? store_check_cells_damage(&slice->scrub->cells, key, entry->offset,
                                          "a part of a key has an impossible length")
               : item_check(slice, key, entry);
}

/* ---- databases ------------------------------------------------------------------------------- */

static enum cellar_status name_visit(void *context, const struct store_check_entry *entry)
{
    struct slice *slice = context;
    CELLAR_ASSERT(entry->key.bytes > 0);
    for (unsigned i = 0; i < DB_COUNT; i++) {
        if (cellar_slice_equal(entry->key, cellar_slice_text(database_names[i]))) {
            slice->has_tree[i] = store_check_tree_decode(entry, &slice->trees[i]);
        }
    }
    return CELLAR_OK;
}

/* Finds the databases. @param is_sound receives whether all that must be there are */
static enum cellar_status names_check(struct slice *slice, bool *is_sound)
{
    struct store_scrub *scrub = slice->scrub;
    struct store_check_walk walk = {.pages = &slice->pages,
                                    .tree = &slice->pages.main_tree,
                                    .is_told = true,
                                    .context = slice,
                                    .visit = name_visit};
    *is_sound = true;
    slice->database = DB_COUNT;
    CELLAR_TRY(store_check_walk(&walk));
    for (unsigned i = 0; i < DB_COUNT; i++) {
        if (!slice->has_tree[i] && i != DB_TOKENS && i != DB_BLOBS) {
            char why[64];
            (void)snprintf(why, sizeof why, "the database %s cannot be found", database_names[i]);
            damage(scrub, why);
            *is_sound = false;
        }
    }
    CELLAR_ASSERT(*is_sound || scrub->report.damage_count > 0);
    return CELLAR_OK;
}

static enum cellar_status state_visit(void *context, const struct store_check_entry *entry)
{
    CELLAR_ASSERT(context != NULL && entry->key.bytes > 0);
    return CELLAR_OK; /* its records were read when the transaction began */
}

/* The state's pages, once. */
static enum cellar_status state_walk(struct slice *slice)
{
    struct store_check_walk walk = {.pages = &slice->pages,
                                    .tree = &slice->trees[DB_STATE],
                                    .is_told = true,
                                    .context = slice,
                                    .visit = state_visit};
    CELLAR_ASSERT(slice->has_tree[DB_STATE]);
    slice->database = DB_STATE;
    return store_check_walk(&walk);
}

/* The map that is due, from the place on. Environments from before there were tokens, or blobs,
 * lack those. */
static enum cellar_status map_walk(struct slice *slice)
{
    struct store_scrub *scrub = slice->scrub;
    struct env_raw_key low;
    struct level_visit visit = {.slice = slice};
    slice->database = map_databases[scrub->map];
    struct store_check_walk walk = {
        .pages = &slice->pages,
        .tree = &slice->trees[slice->database],
        .is_told = true,
        .low = level_low(scrub, 0, cellar_slice_make(NULL, 0), &low),
        .context = &visit,
        .visit = level_entry_visit,
    };
    CELLAR_ASSERT(scrub->map < STORE_SCRUB_MAP_COUNT);
    return slice->has_tree[slice->database] ? store_check_walk(&walk) : CELLAR_OK;
}

/* Reached only where every page could be read: what is missing now is missing in the data. */
static void sums_check(struct store_scrub *scrub, const struct store_env_state *state)
{
    CELLAR_ASSERT(scrub->map == STORE_SCRUB_MAP_COUNT);
    scrub->has_sums = scrub->is_one_snapshot && scrub->page_faults == 0;
    if (scrub->has_sums && (state->item_count != scrub->cells.item_count ||
                            state->item_crc_sum != scrub->cells.crc_sum)) {
        char why[160];
        (void)snprintf(why, sizeof why,
                       "the store has %" PRIu64 " items, its last checkpoint says %" PRIu64
                       ", or the sums of their checksums differ: items are lost",
                       scrub->cells.item_count, state->item_count);
        damage(scrub, why);
    }
    if (scrub->has_sums && !store_check_blobs_fit(&scrub->cells)) {
        damage(scrub, "the list of blobs is not that of the cells' references");
    }
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* A row may have been rewritten since: its next segment need not fit to the last one that was met.
 */
static void snapshot_note(struct store_scrub *scrub, const struct store_env_txn *txn)
{
    CELLAR_ASSERT(txn->txn_id > 0);
    if (scrub->txn_id != 0 &&
        (scrub->txn_id != txn->txn_id || scrub->generation != txn->state.generation)) {
        scrub->is_one_snapshot = false;
        scrub->cells.has_hole = true;
        scrub->cells.last_bytes = 0;
    }
    scrub->txn_id = txn->txn_id;
    scrub->generation = txn->state.generation;
}

/* Everything behind the meta page; the maps one after the other until the slice is full. */
static enum cellar_status content_walk(struct slice *slice, const struct store_env_state *state)
{
    struct store_scrub *scrub = slice->scrub;
    bool is_sound = false;
    CELLAR_TRY(names_check(slice, &is_sound));
    if (!is_sound) {
        scrub->map = STORE_SCRUB_MAP_COUNT;
        return CELLAR_OK;
    }
    if (scrub->byte_count == 0) {
        CELLAR_TRY(state_walk(slice));
    }
    while (scrub->map < STORE_SCRUB_MAP_COUNT) {
        enum cellar_status status = map_walk(slice);
        if (slice->is_full && status == CELLAR_ABORTED) {
            return CELLAR_OK;
        }
        CELLAR_TRY(status);
        scrub->map++;
        scrub->has_place = false;
        scrub->cells.row_key.bytes = 0;
        scrub->cells.last_bytes = 0;
    }
    CELLAR_ASSERT(!scrub->has_place);
    sums_check(scrub, state);
    return CELLAR_OK;
}

/* @return ABORTED when the file's meta pages are newer than the transaction */
static enum cellar_status snapshot_walk(struct slice *slice, const struct store_env_txn *txn,
                                        bool is_last_try)
{
    char path[PATH_MAX];
    struct store_scrub *scrub = slice->scrub;
    int bytes = snprintf(path, sizeof path, "%s/data.mdb", txn->env->directory);
    CELLAR_ASSERT(bytes > 0 && (size_t)bytes < sizeof path);
    slice->pages.context = slice;
    slice->pages.fault = page_fault;
    slice->database = DB_COUNT;
    enum cellar_status status =
        store_check_pages_open_live(&slice->pages, path, (uint64_t)txn->txn_id);
    if (status == CELLAR_OK) {
        snapshot_note(scrub, txn);
        status = content_walk(slice, &txn->state);
        uint64_t met = scrub->cells.item_count;
        scrub->item_count_left = txn->state.item_count - CELLAR_MIN(met, txn->state.item_count);
    } else if (status == CELLAR_ABORTED && is_last_try) {
        damage(scrub, "the meta pages name other transactions than the store's");
        status = CELLAR_DATA_LOSS;
    }
    if (status == CELLAR_DATA_LOSS || status == CELLAR_IO_ERROR) {
        scrub->map = STORE_SCRUB_MAP_COUNT; /* it was told */
        status = CELLAR_OK;
    }
    store_check_pages_close(&slice->pages);
    cellar_buffer_fini(&slice->key);
    return status;
}

enum cellar_status store_scrub_slice(struct store_scrub *scrub, struct store *store,
                                     uint64_t bytes_max, bool *is_done)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    enum cellar_status status = CELLAR_ABORTED;
    CELLAR_ASSERT(bytes_max > 0);
    scrub->files.blobs = store->blobs;
    /* No blob goes that a snapshot names. */
    struct store_view *view = store->blobs != NULL ? store_view_hold(store) : NULL;
    for (unsigned i = 1; i <= META_TRIES_MAX && status == CELLAR_ABORTED; i++) {
        struct store_env_txn *txn = NULL;
        struct slice slice = {.scrub = scrub, .bytes_left = bytes_max};
        status = store_env_read_begin(store->env, &txn);
        if (status == CELLAR_DATA_LOSS) {
            damage(scrub, "the state record cannot be read");
            scrub->map = STORE_SCRUB_MAP_COUNT;
            status = CELLAR_OK;
        } else if (status == CELLAR_OK) {
            bool is_known = txn->txn_id > 0; /* not while a commit is being synced */
            status = is_known ? snapshot_walk(&slice, txn, i == META_TRIES_MAX) : CELLAR_ABORTED;
            store_env_read_end(txn);
            if (!is_known) {
                (void)nanosleep(&pause, NULL);
            }
        }
    }
    store_view_release(view);
    status = status == CELLAR_ABORTED ? CELLAR_OK : status; /* the next slice tries again */
    CELLAR_ASSERT(scrub->map <= STORE_SCRUB_MAP_COUNT);
    *is_done = status == CELLAR_OK && scrub->map == STORE_SCRUB_MAP_COUNT;
    return status;
}

enum cellar_status store_scrub_init(struct store_scrub *scrub, uint32_t store_id,
                                    const struct store_check_rows *rows, store_scrub_find_fn *find,
                                    void *context)
{
    const struct store_check_place place = {.store_id = store_id, .has_store = true};
    memset(scrub, 0, sizeof *scrub);
    CELLAR_ASSERT(find != NULL);
    scrub->report.find = find;
    scrub->report.find_context = context;
    scrub->rows = *rows;
    scrub->is_one_snapshot = true;
    CELLAR_TRY(store_check_cells_init(&scrub->cells, &scrub->report, &scrub->rows, &place));
    scrub->cells.files = &scrub->files;
    return CELLAR_OK;
}

uint64_t store_scrub_item_count(struct store *store)
{
    struct store_env_txn *txn = NULL;
    uint64_t count = 0;
    if (store_env_read_begin(store->env, &txn) == CELLAR_OK) {
        CELLAR_ASSERT(txn != NULL);
        count = txn->state.item_count;
        store_env_read_end(txn);
    }
    return count;
}

void store_scrub_fini(struct store_scrub *scrub)
{
    store_check_cells_fini(&scrub->cells);
    store_check_files_fini(&scrub->files);
    cellar_buffer_fini(&scrub->place);
    CELLAR_ASSERT(scrub->place.data == NULL);
}
