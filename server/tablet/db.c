/*
 * The tables of a server.
 *
 * Two locks: `admin` is held by one create or drop at a time, over its disk work; `lock` guards the
 * map of tables for the moment of a lookup. A create makes the environments first and then the
 * catalog record; a drop writes the record first and then removes files. So after a crash a store's
 * folder that the catalog does not name is rubbish, and one that it names is whole.
 */
#include "server/tablet/db.h"

#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/tablet/catalog.h"
#include "server/tablet/rows_drop.h"
#include "server/tablet/table_build.h"

#define STORE_ID_FIRST 1u
#define DROP_POLL_NS 500000

struct tablet_db {
    struct store_engine *engine;
    _Atomic int64_t time_us; /* the greatest server time given out */
    _Atomic uint64_t stall_count;
    struct cellar_mutex admin;
    uint32_t store_id_next CELLAR_GUARDED_BY(admin);
    struct cellar_mutex lock;
    struct tablet_table **tables CELLAR_GUARDED_BY(lock); /* by name */
    size_t table_count CELLAR_GUARDED_BY(lock);
    size_t table_capacity CELLAR_GUARDED_BY(lock);
};

/* ---- the map of tables ----------------------------------------------------------------------- */

/* The first index whose name is not less. A sorted array rather than a hash: listing pages through
 * names in order, lookups are a few comparisons under a lock that is held for nothing else. */
static size_t map_search(const struct tablet_db *db, const struct cellar_table_name *name)
    CELLAR_REQUIRES(db->lock)
{
    size_t low = 0;
    size_t high = db->table_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tablet_name_compare(&db->tables[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    CELLAR_ASSERT(low <= db->table_count);
    return low;
}

/* The caller takes a reference before it gives the lock back. */
static struct tablet_table *map_find(const struct tablet_db *db,
                                     const struct cellar_table_name *name) CELLAR_REQUIRES(db->lock)
{
    size_t index = map_search(db, name);
    CELLAR_ASSERT(index <= db->table_count);
    return index < db->table_count && tablet_name_compare(&db->tables[index]->name, name) == 0
               ? db->tables[index]
               : NULL;
}

/* Makes room for one more, so that map_insert() cannot fail. */
static enum cellar_status map_reserve(struct tablet_db *db)
{
    enum cellar_status status = CELLAR_OK;
    cellar_mutex_lock(&db->lock);
    if (db->table_count == db->table_capacity) {
        size_t capacity = db->table_capacity == 0 ? 16 : db->table_capacity * 2;
        void *grown = cellar_mem_realloc(db->tables, capacity * sizeof(void *));
        status = grown == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
        if (grown != NULL) {
            db->tables = grown;
            db->table_capacity = capacity;
        }
    }
    CELLAR_ASSERT(status != CELLAR_OK || db->table_count < db->table_capacity);
    cellar_mutex_unlock(&db->lock);
    return status;
}

/* Takes the caller's reference. */
static void map_insert(struct tablet_db *db, struct tablet_table *table)
{
    cellar_mutex_lock(&db->lock);
    CELLAR_ASSERT(db->table_count < db->table_capacity);
    size_t index = map_search(db, &table->name);
    for (size_t i = db->table_count; i > index; i--) {
        db->tables[i] = db->tables[i - 1];
    }
    db->tables[index] = table;
    db->table_count++;
    cellar_mutex_unlock(&db->lock);
}

static void map_remove(struct tablet_db *db, const struct tablet_table *table)
{
    cellar_mutex_lock(&db->lock);
    size_t index = map_search(db, &table->name);
    CELLAR_ASSERT(index < db->table_count && db->tables[index] == table);
    db->table_count--;
    for (size_t i = index; i < db->table_count; i++) {
        db->tables[i] = db->tables[i + 1];
    }
    cellar_mutex_unlock(&db->lock);
}

/* The reference keeps the table's memory, not its data: a drop may come at any time. Who reads
 * becomes a user of it for a chunk (table.h), who writes looks at is_dropped under the append lock.
 */
enum cellar_status tablet_db_find(struct tablet_db *db, const struct cellar_table_name *name,
                                  struct tablet_table **table, struct cellar_error *error)
{
    cellar_mutex_lock(&db->lock);
    struct tablet_table *found = map_find(db, name);
    if (found != NULL) {
        tablet_table_ref(found);
    }
    cellar_mutex_unlock(&db->lock);
    if (found == NULL) {
        return tablet_name_not_found(name, error);
    }
    CELLAR_ASSERT(found->tablet_count > 0);
    *table = found;
    return CELLAR_OK;
}

/* Goes on behind the name `after`, whether or not that table still exists: a page token survives a
 * drop. */
size_t tablet_db_list(struct tablet_db *db, const struct cellar_table_name *instance,
                      struct cellar_slice after, size_t count_max, struct tablet_table **tables,
                      bool *has_more)
{
    struct cellar_table_name from = *instance;
    size_t count = 0;
    from.table = after;
    *has_more = false;
    cellar_mutex_lock(&db->lock);
    for (size_t i = map_search(db, &from); i < db->table_count; i++) {
        struct tablet_table *table = db->tables[i];
        if (!cellar_slice_equal(table->name.project, instance->project) ||
            !cellar_slice_equal(table->name.instance, instance->instance)) {
            break;
        }
        if (after.bytes > 0 && cellar_slice_equal(table->name.table, after)) {
            continue;
        }
        if (count == count_max) {
            *has_more = true;
            break;
        }
        tablet_table_ref(table);
        tables[count++] = table;
    }
    cellar_mutex_unlock(&db->lock);
    CELLAR_ASSERT(count <= count_max);
    return count;
}

struct tablet_table *tablet_db_next(struct tablet_db *db, const struct cellar_table_name *after)
{
    struct tablet_table *next = NULL;
    cellar_mutex_lock(&db->lock);
    size_t index = after == NULL ? 0 : map_search(db, after);
    if (after != NULL && index < db->table_count &&
        tablet_name_compare(&db->tables[index]->name, after) == 0) {
        index++;
    }
    if (index < db->table_count) {
        next = db->tables[index];
        tablet_table_ref(next);
    }
    cellar_mutex_unlock(&db->lock);
    CELLAR_ASSERT(next == NULL || next->tablet_count > 0);
    return next;
}

size_t tablet_db_count(struct tablet_db *db)
{
    cellar_mutex_lock(&db->lock);
    size_t count = db->table_count;
    cellar_mutex_unlock(&db->lock);
    return count;
}

size_t tablet_db_tablet_count(struct tablet_db *db)
{
    size_t count = 0;
    cellar_mutex_lock(&db->lock);
    for (size_t i = 0; i < db->table_count; i++) {
        CELLAR_ASSERT(db->tables[i]->tablet_count > 0);
        count += db->tables[i]->tablet_count;
    }
    cellar_mutex_unlock(&db->lock);
    return count;
}

void tablet_db_stall_note(struct tablet_db *db)
{
    CELLAR_ASSERT(db != NULL);
    (void)atomic_fetch_add_explicit(&db->stall_count, 1, memory_order_relaxed);
}

uint64_t tablet_db_stall_count(const struct tablet_db *db)
{
    CELLAR_ASSERT(db != NULL);
    return atomic_load_explicit(&db->stall_count, memory_order_relaxed);
}

size_t tablet_db_cold_count(struct tablet_db *db)
{
    size_t count = 0;
    int64_t now_us = cellar_clock_monotonic_us();
    cellar_mutex_lock(&db->lock);
    for (size_t i = 0; i < db->table_count; i++) {
        const struct tablet_table *table = db->tables[i];
        CELLAR_ASSERT(table->tablet_count > 0);
        for (size_t j = 0; j < table->tablet_count; j++) {
            count += tablet_warmth_is_cold(&table->tablets[j].warmth, now_us) ? 1 : 0;
        }
    }
    cellar_mutex_unlock(&db->lock);
    return count;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What the catalog said of the stores. */
struct catalog_load {
    struct tablet_db *db;
    struct cellar_error *error;
};

/* From the catalog, at the start; the reference that comes with the table becomes the map's. */
static enum cellar_status load_table(void *context, struct tablet_table *table)
{
    struct catalog_load *load = context;
    enum cellar_status status = map_reserve(load->db);
    if (status != CELLAR_OK) {
        tablet_table_unref(table);
        return status;
    }
    CELLAR_ASSERT(table->tablet_count > 0);
    map_insert(load->db, table);
    return CELLAR_OK;
}

/* The tablet that lives on a store, or NULL. Every tablet for each store, at the start only: the
 * check that no store serves two tablets. */
static struct tablet *tablet_of_store(struct tablet_db *db, uint32_t store_id)
    CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(store_id != STORE_CATALOG_ID);
    for (size_t i = 0; i < db->table_count; i++) {
        for (size_t j = 0; j < db->tables[i]->tablet_count; j++) {
            if (db->tables[i]->tablets[j].store_id == store_id) {
                return &db->tables[i]->tablets[j];
            }
        }
    }
    return NULL;
}

/* Attached before its tablet is known: the log is replayed into it when the engine starts. */
static enum cellar_status load_store(void *context, uint32_t store_id, uint64_t generation)
{
    struct catalog_load *load = context;
    struct store *store = NULL;
    CELLAR_TRY(store_engine_attach(load->db->engine, store_id, generation, &store, load->error));
    CELLAR_ASSERT(store != NULL);
    return CELLAR_OK;
}

static enum cellar_status load_counter(void *context, uint32_t store_id_next)
    CELLAR_NO_THREAD_SAFETY
{
    struct catalog_load *load = context;
    CELLAR_ASSERT(store_id_next > 0);
    load->db->store_id_next = store_id_next;
    return CELLAR_OK;
}

/* Gives every tablet its store; stores sort before tables in the catalog's rows, so that they are
 * attached already. */
static enum cellar_status tablets_bind(struct tablet_db *db, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    for (size_t i = 0; i < db->table_count; i++) {
        struct tablet_table *table = db->tables[i];
        CELLAR_ASSERT(table->tablet_count > 0);
        for (size_t j = 0; j < table->tablet_count; j++) {
            uint32_t store_id = table->tablets[j].store_id;
            table->tablets[j].store = store_engine_find(db->engine, store_id);
            if (table->tablets[j].store == NULL ||
                tablet_of_store(db, store_id) != &table->tablets[j]) {
                return cellar_error_set(error, CELLAR_DATA_LOSS,
                                        "the catalog names store %u for table %.*s, but there is "
                                        "no such store or another tablet has it",
                                        store_id, (int)table->name.table.bytes,
                                        (const char *)table->name.table.data);
            }
            atomic_store(&table->tablets[j].store->filters, &table->gc);
        }
    }
    return CELLAR_OK;
}

/* The order matters: the engine opens store 0 and the log, the catalog names stores and tables,
 * each tablet finds its store, and only then the rest of the log is replayed and writes are taken.
 */
static enum cellar_status db_load(struct tablet_db *db, const struct store_engine_options *options,
                                  struct cellar_error *error)
{
    struct catalog_load load = {.db = db, .error = error};
    const struct tablet_catalog_visitor visitor = {
        .context = &load, .table = load_table, .store = load_store, .counter = load_counter};
    CELLAR_TRY(store_engine_open(options, &db->engine, error));
    CELLAR_TRY(tablet_catalog_read(db->engine, &visitor, error));
    CELLAR_TRY(tablets_bind(db, error));
    CELLAR_TRY(store_engine_start(db->engine, error));
    CELLAR_ASSERT(db->engine != NULL);
    atomic_store(&db->time_us, store_engine_server_time(db->engine));
    return CELLAR_OK;
}

/* A failed start closes by the same way as a running server, so tablet_db_close() takes a half-open
 * one. */
enum cellar_status tablet_db_open(const struct store_engine_options *options, struct tablet_db **db,
                                  struct cellar_error *error) CELLAR_NO_THREAD_SAFETY
{
    struct tablet_db *opened = cellar_mem_zalloc(1, sizeof *opened);
    cellar_error_clear(error);
    if (opened == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the tables");
    }
    cellar_mutex_init(&opened->admin);
    cellar_mutex_init(&opened->lock);
    opened->store_id_next = STORE_ID_FIRST;
    enum cellar_status status = db_load(opened, options, error);
    if (status != CELLAR_OK) {
        tablet_db_close(opened);
        return status;
    }
    CELLAR_ASSERT(opened->engine != NULL);
    *db = opened;
    return CELLAR_OK;
}

/* Sessions are gone by now: nobody holds a table but the map. */
void tablet_db_close(struct tablet_db *db) CELLAR_NO_THREAD_SAFETY
{
    if (db == NULL) {
        return;
    }
    store_engine_close(db->engine);
    for (size_t i = 0; i < db->table_count; i++) {
        tablet_table_unref(db->tables[i]);
    }
    CELLAR_ASSERT(db->table_count <= db->table_capacity);
    cellar_mem_free(db->tables);
    cellar_mutex_fini(&db->lock);
    cellar_mutex_fini(&db->admin);
    cellar_mem_free(db);
}

struct store_engine *tablet_db_engine(struct tablet_db *db)
{
    return db->engine;
}

/* The clock, but never less than what was given out before, also before the last start: a cell
 * without a timestamp that is written later is the newer one even when the machine's clock was set
 * back. */
int64_t tablet_db_time(struct tablet_db *db)
{
    int64_t now_us = cellar_clock_real_us();
    int64_t last_us = atomic_load_explicit(&db->time_us, memory_order_relaxed);
    while (last_us < now_us &&
           !atomic_compare_exchange_weak_explicit(&db->time_us, &last_us, now_us,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    CELLAR_ASSERT(now_us >= 0);
    return CELLAR_MAX(now_us, last_us);
}

/* ---- creating -------------------------------------------------------------------------------- */

/* Also after a create that failed half way, when some tablets have no store. */
static void stores_drop(struct tablet_db *db, struct tablet_table *table)
{
    CELLAR_ASSERT(table->tablet_count > 0);
    for (size_t i = 0; i < table->tablet_count; i++) {
        if (table->tablets[i].store != NULL) {
            store_engine_store_drop(db->engine, table->tablets[i].store);
            table->tablets[i].store = NULL;
        }
    }
}

/* One environment a tablet, each synced. What was made before a failure is the caller's to drop. */
static enum cellar_status stores_make(struct tablet_db *db, struct tablet_table *table,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(table->tablet_count > 0);
    for (size_t i = 0; i < table->tablet_count; i++) {
        struct tablet *tablet = &table->tablets[i];
        CELLAR_TRY(store_engine_store_make(db->engine, tablet->store_id, &tablet->store, error));
        atomic_store(&tablet->store->filters, &table->gc);
    }
    return CELLAR_OK;
}

/* From here no write of the table is queued: it would follow its drop in the log. */
static void dropped_mark(void *context, uint64_t lsn)
{
    struct tablet_table *table = context;
    CELLAR_ASSERT(lsn > 0 && !atomic_load(&table->is_dropped));
    atomic_store(&table->is_dropped, true);
}

/* The catalog's record of a create or drop: the table's row, its stores', and for a create the
 * instance's and the counter. All rows go into one log record, so they are there together or not at
 * all. */
static enum cellar_status table_record(struct tablet_db *db, struct tablet_table *table,
                                       bool is_drop, uint32_t store_id_next,
                                       struct cellar_error *error)
{
    struct tablet_catalog_change change;
    const struct tablet_catalog_effect none = {NULL, NULL, false};
    const struct tablet_catalog_effect drop = {dropped_mark, table, true};
    uint32_t row_count = (uint32_t)table->tablet_count + (is_drop ? 1 : 3);
    enum cellar_status status = tablet_catalog_change_begin(&change, row_count);
    for (size_t i = 0; i < table->tablet_count && status == CELLAR_OK; i++) {
        status = tablet_catalog_change_store(&change, table->tablets[i].store_id, is_drop ? 0 : 1);
    }
    if (status == CELLAR_OK) {
        status = tablet_catalog_change_table(&change, table,
                                             is_drop ? NULL : tablet_table_schema_queued(table));
    }
    if (status == CELLAR_OK && !is_drop) {
        status = tablet_catalog_change_instance(&change, &table->name);
    }
    if (status == CELLAR_OK && !is_drop) {
        status = tablet_catalog_change_counter(&change, store_id_next);
    }
    CELLAR_ASSERT(row_count > 1);
    status =
        status != CELLAR_OK
            ? cellar_error_set(error, status, "no memory for a change of the catalog")
            : tablet_catalog_change_commit(&change, db->engine, is_drop ? &drop : &none, error);
    tablet_catalog_change_fini(&change);
    return status;
}

/* An unknown outcome keeps the environments: the record may be on the disk, and a start that finds
 * it must find them too. If it is not, that start removes them as nobody's. */
static enum cellar_status create_locked(struct tablet_db *db, const struct tablet_spec *spec,
                                        struct tablet_table **made, struct cellar_error *error)
    CELLAR_REQUIRES(db->admin)
{
    struct tablet_table *table = NULL;
    uint32_t store_id_first = db->store_id_next;
    if (tablet_db_find(db, &spec->name, &table, error) == CELLAR_OK) {
        tablet_table_unref(table);
        return cellar_error_set(error, CELLAR_ALREADY_EXISTS, "Table already exists: %.*s",
                                (int)spec->name.table.bytes, (const char *)spec->name.table.data);
    }
    if (map_reserve(db) != CELLAR_OK ||
        tablet_table_build(spec, store_id_first, &table) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the table");
    }
    CELLAR_ASSERT(table != NULL);
    uint32_t store_id_next = store_id_first + (uint32_t)table->tablet_count;
    db->store_id_next = store_id_next; /* ids are not used again, not even after a failure */
    enum cellar_status status = stores_make(db, table, error);
    if (status == CELLAR_OK) {
        status = table_record(db, table, false, store_id_next, error);
    }
    if (status != CELLAR_OK) {
        if (status != CELLAR_OUTCOME_UNKNOWN) {
            stores_drop(db, table);
        }
        tablet_table_unref(table);
        return status;
    }
    CELLAR_ASSERT(table->references > 0);
    tablet_table_ref(table);
    map_insert(db, table);
    *made = table;
    return CELLAR_OK;
}

enum cellar_status tablet_db_create(struct tablet_db *db, const struct tablet_spec *spec,
                                    struct tablet_table **made, struct cellar_error *error)
{
    CELLAR_ASSERT(spec->family_count <= TABLET_FAMILY_COUNT_MAX);
    CELLAR_ASSERT(spec->split_key_count <= TABLET_SPLIT_COUNT_MAX);
    cellar_mutex_lock(&db->admin);
    enum cellar_status status = create_locked(db, spec, made, error);
    cellar_mutex_unlock(&db->admin);
    return status;
}

/* ---- dropping -------------------------------------------------------------------------------- */

/* is_dropped is set, so nobody new comes in; who is in leaves at the end of its chunk. Half a
 * millisecond of polling costs nothing beside the removal of files that follows. */
static void users_await(const struct tablet_table *table)
{
    const struct timespec pause = {.tv_nsec = DROP_POLL_NS};
    CELLAR_ASSERT(atomic_load(&table->is_dropped));
    while (atomic_load(&table->users) > 0) {
        (void)nanosleep(&pause, NULL); /* a chunk of a read lasts some milliseconds */
    }
}

/* Two references: ours from the lookup, and the map's, which ends with the map's entry. */
static enum cellar_status drop_locked(struct tablet_db *db, const struct cellar_table_name *name,
                                      struct cellar_error *error) CELLAR_REQUIRES(db->admin)
{
    struct tablet_table *table = NULL;
    CELLAR_TRY(tablet_db_find(db, name, &table, error));
    CELLAR_ASSERT(table != NULL);
    enum cellar_status status = table_record(db, table, true, 0, error);
    if (status == CELLAR_OK) {
        map_remove(db, table);
        users_await(table);
        stores_drop(db, table);
        tablet_table_unref(table); /* the map's */
    }
    CELLAR_ASSERT(status != CELLAR_OK || atomic_load(&table->is_dropped));
    tablet_table_unref(table);
    return status;
}

enum cellar_status tablet_db_drop(struct tablet_db *db, const struct cellar_table_name *name,
                                  struct cellar_error *error)
{
    CELLAR_ASSERT(name->table.bytes > 0);
    cellar_mutex_lock(&db->admin);
    enum cellar_status status = drop_locked(db, name, error);
    cellar_mutex_unlock(&db->admin);
    return status;
}

void tablet_db_admin_lock(struct tablet_db *db) CELLAR_NO_THREAD_SAFETY
{
    cellar_mutex_lock(&db->admin);
}

void tablet_db_admin_unlock(struct tablet_db *db) CELLAR_NO_THREAD_SAFETY
{
    cellar_mutex_unlock(&db->admin);
}

/* ---- changing -------------------------------------------------------------------------------- */

const struct tablet_schema *tablet_db_schema(struct tablet_db *db, const struct tablet_table *table)
{
    CELLAR_ASSERT(table->tablet_count > 0);
    return tablet_table_schema_at(table, store_log_durable_lsn(store_engine_log(db->engine)));
}

enum cellar_status tablet_db_modify_families(struct tablet_db *db,
                                             const struct cellar_table_name *name,
                                             const struct tablet_family_change *changes,
                                             size_t change_count, struct tablet_table **made,
                                             struct cellar_error *error)
{
    struct tablet_table *table = NULL;
    CELLAR_ASSERT(change_count > 0);
    cellar_mutex_lock(&db->admin);
    enum cellar_status status = tablet_db_find(db, name, &table, error);
    if (status == CELLAR_OK) {
        status = tablet_families_change(db->engine, table, changes, change_count, error);
    }
    cellar_mutex_unlock(&db->admin);
    if (status != CELLAR_OK) {
        tablet_table_unref(table);
        return status;
    }
    *made = table;
    return CELLAR_OK;
}

/* A user of the table, so that no drop of it closes the stores meanwhile. */
enum cellar_status tablet_db_drop_rows(struct tablet_db *db, const struct cellar_table_name *name,
                                       struct cellar_slice prefix, struct cellar_error *error)
{
    struct tablet_table *table = NULL;
    CELLAR_TRY(tablet_db_find(db, name, &table, error));
    CELLAR_ASSERT(table != NULL);
    enum cellar_status status = CELLAR_NOT_FOUND;
    if (tablet_table_enter(table)) {
        status = tablet_rows_drop(db->engine, table, prefix, error);
        tablet_table_leave(table);
    } else {
        status = tablet_name_not_found(name, error);
    }
    tablet_table_unref(table);
    return status;
}
