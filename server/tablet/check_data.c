/*
 * The order of a check:
 *
 *     1. the frame: lock, FORMAT, names that do not belong here
 *     2. store 0's environment; its rows are kept
 *     3. the log, all of it; records of store 0 that its environment lacks change those rows
 *     4. the catalog that results: tables, stores
 *     5. each store's environment: every row inside its tablet, every cell of a known family
 *     6. the log's gaps, now that it is known what each store has applied
 *     7. folders that the catalog does not name
 *     8. the log again: records that a start would apply, held against their tables
 *     9. blob files that nothing of all this names
 *
 * A blob's file is read where it is named, so that the finding names the row.
 *
 * What is damaged does not end the check; what hangs on it is told and stepped over. Memory: the
 * catalog, one log segment, and what check_env.c needs for one environment. One thread.
 */
#include "server/tablet/check_data.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "server/storage/check_env.h"
#include "server/tablet/check_catalog.h"

#define CATALOG_GENERATION 1u
#define WHY_CATALOG_CELL "the catalog has a cell that is none of its own"

/* One check. */
struct data_check {
    struct store_check_report report;
    struct store_data_dir dir;
    struct store_check_log log;
    struct tablet_check_catalog catalog;
    struct store_env_state catalog_state;
    bool has_catalog_state;
    struct store_check_files files;
    const struct tablet_check_store *store; /* whose rows are checked */
    char table_name[CELLAR_TABLE_NAME_BYTES_MAX];
    enum cellar_status status; /* the first failure in a callback that cannot return one */
};

/* ---- what the tables say of rows and cells --------------------------------------------------- */

/* A row outside its tablet would be found by no read. */
static const char *tablet_row_check(void *context, struct cellar_slice row)
{
    const struct data_check *check = context;
    const struct tablet *tablet = check->store->tablet;
    CELLAR_ASSERT(tablet != NULL);
    return tablet_has_row(tablet, row) ? NULL : "the row lies outside its tablet's range";
}

/* A family that is not there may have been dropped, once the schema has changed. Dropped families
 * leave cells behind until something rewrites their segments; those are no damage. */
static const char *family_check(const struct tablet_schema *schema, struct cellar_slice name,
                                uint32_t generation)
{
    const struct tablet_family *family = tablet_schema_family(schema, name);
    bool is_live = family != NULL && family->generation == generation;
    bool may_be_dropped = schema->version > 1 && generation <= schema->version;
    CELLAR_ASSERT(schema->version > 0);
    return is_live || may_be_dropped ? NULL : "the table has no such family";
}

static const char *timestamp_check(const struct tablet_schema *schema, int64_t timestamp_us)
{
    CELLAR_ASSERT(timestamp_us >= 0);
    return schema->granularity == CELLAR_GRANULARITY_MILLIS && timestamp_us % 1000 != 0
               ? "the timestamp is finer than the table's granularity"
               : NULL;
}

static const char *tablet_cell_check(void *context, struct cellar_slice row,
                                     const struct store_cell *cell)
{
    const struct data_check *check = context;
    const struct tablet_schema *schema = &check->store->table->schema_opened;
    const char *why = family_check(schema, cell->cell.family, cell->generation);
    CELLAR_ASSERT(row.bytes > 0);
    return why != NULL ? why : timestamp_check(schema, cell->cell.timestamp_us);
}

/* The name is kept in the check, as the place only borrows it. */
static void tablet_place(void *context, struct cellar_slice row, struct store_check_place *place)
{
    struct data_check *check = context;
    const struct cellar_table_name *name = &check->store->table->name;
    int bytes = snprintf(check->table_name, sizeof check->table_name, "%.*s/%.*s/%.*s",
                         (int)name->project.bytes, (const char *)name->project.data,
                         (int)name->instance.bytes, (const char *)name->instance.data,
                         (int)name->table.bytes, (const char *)name->table.data);
    CELLAR_ASSERT(bytes > 0 && row.bytes <= CELLAR_KEY_BYTES_MAX + STORE_ENV_KEY_BYTES_MAX);
    place->table = cellar_slice_make(check->table_name, strlen(check->table_name));
    place->tablet_start = check->store->tablet->start;
    place->tablet_end = check->store->tablet->end;
    place->has_tablet = true;
}

/* ---- store 0 --------------------------------------------------------------------------------- */

/* What a memory failure is cannot be said from here, so it waits in check->status. */
static const char *catalog_cell_take(void *context, struct cellar_slice row,
                                     const struct store_cell *cell)
{
    struct data_check *check = context;
    bool is_ours = cell->generation == 1 && cell->cell.qualifier.bytes == 0 &&
                   cell->cell.timestamp_us == 0 && cell->cell.value.bytes > 0 &&
                   cellar_slice_equal(cell->cell.family, cellar_slice_text("c"));
    CELLAR_ASSERT(row.bytes > 0);
    if (!is_ours) {
        return WHY_CATALOG_CELL;
    }
    enum cellar_status status = tablet_check_catalog_put(&check->catalog, row, cell->cell.value);
    if (status != CELLAR_OK && check->status == CELLAR_OK) {
        check->status = status;
    }
    return NULL;
}

static void catalog_place(void *context, struct cellar_slice row, struct store_check_place *place)
{
    CELLAR_ASSERT(context != NULL && (row.bytes == 0 || row.data != NULL));
    place->table = cellar_slice_text("(catalog)");
}

/* Its rows and cells do not go into the counts, in which users look for their own. */
static enum cellar_status catalog_env_check(struct data_check *check)
{
    const struct store_check_env_options options = {
        .data_dir = check->dir.path,
        .store_id = STORE_CATALOG_ID,
        .generation = CATALOG_GENERATION,
        .log_id = check->log.log == NULL ? NULL : store_log_id(check->log.log),
        .end_lsn = store_check_log_end(&check->log),
        .rows = {.context = check, .cell = catalog_cell_take, .place = catalog_place},
    };
    const struct store_check_counts counts = check->report.counts;
    CELLAR_TRY(store_check_env(&check->report, &options, &check->catalog_state,
                               &check->has_catalog_state));
    CELLAR_ASSERT(!check->catalog.is_damaged);
    check->report.counts = counts; /* what is counted are the tables */
    check->catalog.is_damaged = check->report.scope_damage > 0;
    return check->status;
}

/* ---- the log --------------------------------------------------------------------------------- */

static void record_say(struct data_check *check, const struct store_log_entry *entry,
                       enum store_check_severity severity, struct cellar_slice row, const char *why)
{
    char file[STORE_CHECK_FILE_BYTES_MAX];
    struct store_check_place place;
    store_check_log_place(&check->log, entry->lsn, file, &place);
    place.store_id = entry->store_id;
    place.has_store = true;
    if (check->store != NULL && check->store->table != NULL) {
        tablet_place(check, row, &place);
    }
    if (row.bytes > 0) {
        place.row = row;
        place.has_row = true;
    }
    CELLAR_ASSERT(why != NULL);
    store_check_find(&check->report, severity, &place, "%s", why);
}

/* Whether a payload is a whole mutation. To the last byte: something behind the items is damage
 * too. */
static bool mutation_is_sound(struct cellar_slice payload)
{
    struct cellar_cursor from = cellar_cursor_make(payload);
    struct store_mutation mutation;
    struct store_item item;
    bool is_sound = store_mutation_decode(&from, &mutation);
    for (uint32_t i = 0; is_sound && i < mutation.item_count; i++) {
        is_sound = store_item_decode(&from, &item);
    }
    CELLAR_ASSERT(from.at <= from.end);
    return is_sound && from.at == from.end;
}

/* A record by itself, and what it does to the catalog. Records that every store has applied are
 * copies of what the environments hold, so damage to them costs nothing and is a note. */
static enum cellar_status record_take(void *context, const struct store_log_entry *entry)
{
    struct data_check *check = context;
    const char *why = NULL;
    bool is_needed = entry->lsn > store_check_log_low_water(&check->log);
    CELLAR_ASSERT(entry->lsn > 0);
    if (entry->type == STORE_RECORD_CATALOG && entry->store_id == STORE_CATALOG_ID) {
        bool is_applied =
            !check->has_catalog_state || entry->lsn <= check->catalog_state.applied_lsn;
        if (is_applied) {
            return CELLAR_OK;
        }
        check->report.counts.unapplied_count++;
        CELLAR_TRY(tablet_check_catalog_apply(&check->catalog, entry->payload, &why));
    } else if (entry->type == STORE_RECORD_MUTATION) {
        why = mutation_is_sound(entry->payload) ? NULL : "the record's mutation cannot be read";
    } else if (entry->type == STORE_RECORD_RANGE_DROP) {
        struct store_range_drop drop;
        bool is_sound = store_range_drop_decode(entry->payload, &drop);
        why = is_sound ? NULL : "the record's range drop cannot be read";
    } else if (entry->type == STORE_RECORD_MUTATION_BLOB) {
        struct store_blob blob;
        bool is_sound = store_blob_decode(entry->payload, &blob);
        why = is_sound ? NULL : "the record's reference to a blob is damaged";
    } else if (entry->type != STORE_RECORD_EMPTY) {
        why = "the record is of a type that this cellard does not know";
        is_needed = true; /* a start refuses it wherever it stands */
    }
    if (why != NULL) {
        record_say(check, entry, is_needed ? STORE_CHECK_DAMAGE : STORE_CHECK_NOTE,
                   cellar_slice_make(NULL, 0), why);
    }
    return CELLAR_OK;
}

/* A mutation that a start would apply, against its table; NULL when it fits. */
static const char *mutation_check(struct data_check *check, struct cellar_slice payload,
                                  struct cellar_slice *row)
{
    struct cellar_cursor from = cellar_cursor_make(payload);
    const struct tablet_schema *schema = &check->store->table->schema_opened;
    struct store_mutation mutation;
    struct store_item item;
    if (!store_mutation_decode(&from, &mutation)) {
        return NULL; /* said already */
    }
    *row = mutation.row;
    const char *why = tablet_row_check(check, mutation.row);
    CELLAR_ASSERT(mutation.row.bytes > 0);
    for (uint32_t i = 0; why == NULL && i < mutation.item_count; i++) {
        if (!store_item_decode(&from, &item)) {
            return NULL;
        }
        if (item.type != STORE_ITEM_DELETE_ROW && item.type != STORE_ITEM_TOKEN) {
            why = family_check(schema, item.family, item.generation);
        }
        if (why == NULL && (item.type == STORE_ITEM_SET || item.type == STORE_ITEM_SET_BLOB)) {
            why = timestamp_check(schema, item.start_us);
        }
        struct store_blob blob;
        if (why == NULL && item.type == STORE_ITEM_SET_BLOB &&
            store_blob_decode(item.value, &blob)) {
            why = store_check_files_blob(&check->files, &blob, NULL);
        }
    }
    return why;
}

/* The same for a mutation that a blob holds. */
static const char *mutation_blob_check(struct data_check *check, struct cellar_slice reference,
                                       struct cellar_slice *row, struct cellar_buffer *payload)
{
    struct store_blob blob;
    if (!store_blob_decode(reference, &blob)) {
        return NULL; /* said already */
    }
    const char *why = store_check_files_blob(&check->files, &blob, payload);
    CELLAR_ASSERT(why != NULL || check->files.blobs == NULL || payload->bytes == blob.bytes);
    if (why != NULL || check->files.blobs == NULL) {
        return why;
    }
    return mutation_is_sound(cellar_slice_of(payload))
               ? mutation_check(check, cellar_slice_of(payload), row)
               : "the mutation in the record's blob cannot be read";
}

/* What a start would apply is held against the tables as they are in the end: a record of a table
 * that was dropped since is skipped by a start too. */
static enum cellar_status record_fit(void *context, const struct store_log_entry *entry)
{
    struct data_check *check = context;
    struct cellar_slice row = {NULL, 0};
    const struct tablet_check_store *store =
        tablet_check_catalog_find(&check->catalog, entry->store_id);
    CELLAR_ASSERT(entry->lsn > 0);
    bool is_write = entry->type == STORE_RECORD_MUTATION ||
                    entry->type == STORE_RECORD_MUTATION_BLOB ||
                    entry->type == STORE_RECORD_RANGE_DROP;
    if (!is_write || store == NULL || store->table == NULL || !store->has_state ||
        entry->lsn <= store->applied_lsn) {
        return CELLAR_OK; /* of a dropped table, or applied already */
    }
    check->report.counts.unapplied_count++;
    if (entry->type == STORE_RECORD_RANGE_DROP) {
        return CELLAR_OK;
    }
    struct cellar_buffer payload = {0};
    check->store = store;
    const char *why = entry->type == STORE_RECORD_MUTATION
                          ? mutation_check(check, entry->payload, &row)
                          : mutation_blob_check(check, entry->payload, &row, &payload);
    if (why != NULL) {
        record_say(check, entry, STORE_CHECK_DAMAGE, row, why);
    }
    cellar_buffer_fini(&payload);
    check->store = NULL;
    return CELLAR_OK;
}

/* What no store needs of the log: FORMAT.md, "Recovery of the log", 4. A store whose state cannot
 * be read may need everything. */
static uint64_t needed_lsn(const struct data_check *check)
{
    uint64_t low_lsn = store_check_log_low_water(&check->log);
    uint64_t applied_lsn = check->has_catalog_state ? check->catalog_state.applied_lsn : 0;
    for (size_t i = 0; i < check->catalog.store_count; i++) {
        const struct tablet_check_store *store = &check->catalog.stores[i];
        applied_lsn = CELLAR_MIN(applied_lsn, store->has_state ? store->applied_lsn : 0);
    }
    CELLAR_ASSERT(low_lsn < UINT64_MAX);
    return CELLAR_MAX(low_lsn, applied_lsn);
}

/* ---- stores ---------------------------------------------------------------------------------- */

/* @param store NULL: one that the damaged catalog does not name Without its table a store's rows
 * can be read, but nothing says which ones belong to it. */
static enum cellar_status store_env_check(struct data_check *check, uint32_t id,
                                          uint64_t generation, struct tablet_check_store *store)
{
    struct store_env_state state = {0};
    bool has_state = false;
    struct store_check_env_options options = {
        .data_dir = check->dir.path,
        .store_id = id,
        .generation = generation,
        .log_id = check->log.log == NULL ? NULL : store_log_id(check->log.log),
        .end_lsn = store_check_log_end(&check->log),
        .files = &check->files,
    };
    CELLAR_ASSERT(id != STORE_CATALOG_ID);
    if (store != NULL && store->table != NULL) {
        options.rows = (struct store_check_rows){.context = check,
                                                 .row = tablet_row_check,
                                                 .cell = tablet_cell_check,
                                                 .place = tablet_place};
    }
    check->store = store;
    CELLAR_TRY(store_check_env(&check->report, &options, &state, &has_state));
    check->store = NULL;
    if (store != NULL) {
        store->applied_lsn = state.applied_lsn;
        store->has_state = has_state;
    }
    return CELLAR_OK;
}

static enum cellar_status stores_check(struct data_check *check)
{
    CELLAR_ASSERT(check->store == NULL);
    for (size_t i = 0; i < check->catalog.store_count; i++) {
        struct tablet_check_store *store = &check->catalog.stores[i];
        CELLAR_TRY(store_env_check(check, store->id, store->generation, store));
    }
    return CELLAR_OK;
}

/* A folder of stores/: named, a leftover, or, when the catalog is damaged, perhaps a store. With a
 * damaged catalog an unnamed folder may be a table that was lost with its row, so its content is
 * looked at before anybody removes it. */
static enum cellar_status folder_visit(void *context, uint32_t store_id, uint64_t generation)
{
    struct data_check *check = context;
    const struct tablet_check_store *store = tablet_check_catalog_find(&check->catalog, store_id);
    bool is_named = store_id == STORE_CATALOG_ID ? generation == CATALOG_GENERATION
                                                 : store != NULL && store->generation == generation;
    char file[STORE_CHECK_FILE_BYTES_MAX];
    CELLAR_ASSERT(check->store == NULL);
    if (is_named) {
        return CELLAR_OK;
    }
    (void)snprintf(file, sizeof file,
                   generation == 0 ? "stores/%" PRIu32 : "stores/%" PRIu32 "/%" PRIu64, store_id,
                   generation);
    struct store_check_place place = {.file = file};
    bool may_be_lost = check->catalog.is_damaged && store == NULL && generation > 0;
    store_check_find(&check->report, STORE_CHECK_NOTE, &place,
                     may_be_lost ? "what is left of the damaged catalog does not name this store; "
                                   "it is checked without its table"
                                 : "leftover: the catalog does not name it, a start removes it");
    return may_be_lost ? store_env_check(check, store_id, generation, NULL) : CELLAR_OK;
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* Their files are known by the log's id. */
static enum cellar_status blobs_open(struct data_check *check)
{
    char path[PATH_MAX];
    struct cellar_error error;
    CELLAR_ASSERT(check->files.blobs == NULL);
    if (check->log.log == NULL) {
        return CELLAR_OK; /* the log's damage was told */
    }
    store_data_dir_blobs(&check->dir, path);
    cellar_error_clear(&error);
    enum cellar_status status =
        store_blobs_open_read(path, store_log_id(check->log.log), &check->files.blobs, &error);
    if (status != CELLAR_OK && status != CELLAR_NO_MEMORY) {
        struct store_check_place place = {.file = "blobs"};
        store_check_find(&check->report, STORE_CHECK_DAMAGE, &place, "%s", error.text);
        return CELLAR_OK;
    }
    return status;
}

static enum cellar_status leftover_say(void *context, uint64_t id)
{
    struct data_check *check = context;
    char file[STORE_CHECK_FILE_BYTES_MAX];
    CELLAR_ASSERT(id > 0);
    (void)snprintf(file, sizeof file, "blobs/%016" PRIx64 ".blob", id);
    struct store_check_place place = {.file = file};
    store_check_find(&check->report, STORE_CHECK_NOTE, &place,
                     "leftover: nothing names it, a start removes it");
    return CELLAR_OK;
}

/* Files that nothing names; not where something that might name them could not be read. */
static void leftovers_check(struct data_check *check)
{
    store_check_scope_begin(&check->report);
    if (check->files.blobs != NULL && check->report.damage_count == 0) {
        enum cellar_status status = store_blobs_unnamed(check->files.blobs, leftover_say, check);
        CELLAR_ASSERT(status == CELLAR_OK); /* as leftover_say() does not fail */
    }
    store_check_scope_end(&check->report);
}

/* ---- the frame ------------------------------------------------------------------------------- */

/* Names in the data directory that nobody knows. */
static void names_check(struct data_check *check)
{
    static const char *const known[] = {".",      "..",    "FORMAT",     "LOCK",      "log",
                                        "stores", "blobs", "FORMAT.new", "lost+found"};
    DIR *directory = opendir(check->dir.path);
    const struct dirent *entry;
    CELLAR_ASSERT(check->dir.path[0] != '\0');
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        bool is_known = false;
        for (size_t i = 0; i < CELLAR_ARRAY_COUNT(known); i++) {
            is_known = is_known || strcmp(entry->d_name, known[i]) == 0;
        }
        if (!is_known) {
            struct store_check_place place = {.file = entry->d_name};
            store_check_find(&check->report, STORE_CHECK_NOTE, &place,
                             "no part of a data directory; nobody reads it");
        }
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
}

static void frame_check(struct data_check *check, enum store_data_dir_kind kind, bool has_lock)
{
    struct store_check_place format = {.file = "FORMAT"};
    struct store_check_place lock = {.file = "LOCK"};
    CELLAR_ASSERT(kind != STORE_DATA_DIR_UNFINISHED);
    if (kind == STORE_DATA_DIR_DAMAGED) {
        store_check_find(&check->report, STORE_CHECK_DAMAGE, &format,
                         "the file is missing or damaged; a start refuses the directory");
    }
    if (!has_lock) {
        store_check_find(&check->report, STORE_CHECK_NOTE, &lock,
                         "the file is missing, so nothing keeps a server from starting meanwhile");
    }
    names_check(check);
}

static enum cellar_status content_check(struct data_check *check)
{
    struct cellar_error error;
    CELLAR_TRY(store_check_log_open(&check->log, &check->report, &check->dir));
    CELLAR_TRY(blobs_open(check));
    CELLAR_TRY(catalog_env_check(check));
    store_check_scope_begin(&check->report);
    CELLAR_TRY(store_check_log_read(&check->log, true, record_take, check));
    store_check_scope_end(&check->report);
    if (store_check_log_has_gap(&check->log, check->catalog_state.applied_lsn)) {
        check->catalog.is_damaged = true; /* a change of it may be among what cannot be read */
    }
    CELLAR_TRY(tablet_check_catalog_load(&check->catalog));
    CELLAR_TRY(stores_check(check));
    store_check_log_gaps(&check->log, needed_lsn(check));
    cellar_error_clear(&error);
    if (store_data_dir_walk(&check->dir, folder_visit, check, &error) != CELLAR_OK) {
        struct store_check_place place = {.file = "stores"};
        store_check_find(&check->report, STORE_CHECK_DAMAGE, &place, "%s",
                         error.text[0] != '\0' ? error.text : "the directory cannot be read");
    }
    store_check_scope_begin(&check->report);
    CELLAR_TRY(store_check_log_read(&check->log, false, record_fit, check));
    store_check_scope_end(&check->report);
    leftovers_check(check);
    CELLAR_ASSERT(check->store == NULL);
    return CELLAR_OK;
}

static enum cellar_status data_check_run(struct data_check *check, const char *path,
                                         struct cellar_error *error)
{
    enum store_data_dir_kind kind = STORE_DATA_DIR_WHOLE;
    bool has_lock = false;
    CELLAR_TRY(store_data_dir_inspect(path, &check->dir, &kind, &has_lock, error));
    enum cellar_status status = CELLAR_OK;
    if (kind == STORE_DATA_DIR_UNFINISHED) {
        struct store_check_place place = {.file = "FORMAT.new"};
        store_check_find(&check->report, STORE_CHECK_NOTE, &place,
                         "a first start was cut short: nothing was ever served, the next start "
                         "begins again");
    } else {
        frame_check(check, kind, has_lock);
        status = content_check(check);
    }
    store_blobs_close(check->files.blobs);
    store_check_files_fini(&check->files);
    store_check_log_close(&check->log);
    store_data_dir_close(&check->dir);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "the check cannot go on: %s",
                                cellar_status_text(status));
    }
    store_check_report_end(&check->report);
    CELLAR_ASSERT(check->dir.lock_descriptor < 0);
    return CELLAR_OK;
}

enum cellar_status tablet_check_data(const struct tablet_check_options *options,
                                     uint64_t *damage_count, struct cellar_error *error)
{
    CELLAR_ASSERT(options->out != NULL);
    struct data_check *check = cellar_mem_zalloc(1, sizeof *check);
    if (check == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the check");
    }
    check->report.out = options->out;
    check->report.progress = options->progress;
    check->report.is_json = options->is_json;
    check->catalog.report = &check->report;
    enum cellar_status status = data_check_run(check, options->data_dir, error);
    if (status == CELLAR_OK) {
        *damage_count = check->report.damage_count;
    }
    tablet_check_catalog_fini(&check->catalog);
    cellar_mem_free(check);
    return status;
}
