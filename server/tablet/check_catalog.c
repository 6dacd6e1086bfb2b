/*
 * Reading the catalog without an engine.
 *
 * The rows are few (one a table, one a store), so they are kept in memory, sorted, as a server does
 * with what they say. A catalog record only puts and removes whole rows, so that applying one needs
 * no memtable. A row that cannot be taken apart is told and left out; the others are used.
 *
 * What must fit together: every tablet's store is named and on no other tablet, every store has a
 * tablet, the counter is above all ids. That a table's tablets cover all keys without gaps follows
 * from their form, a list of rising starts of which the first is empty: tablet_table_decode()
 * refuses anything else.
 */
#include "server/tablet/check_catalog.h"

#include <stdio.h>
#include <stdlib.h>

static const char catalog_family[] = "c";
static const uint8_t other_kinds[] = {'i', 'p', 'u',
                                      'a'}; /* instances, projects, users, profiles */

/* ---- rows ------------------------------------------------------------------------------------ */

/* The first index whose row is not less. */
static size_t row_search(const struct tablet_check_catalog *catalog, struct cellar_slice row)
{
    size_t low = 0;
    size_t high = catalog->row_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cellar_slice_compare(catalog->rows[middle].row, row) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    CELLAR_ASSERT(low <= catalog->row_count);
    return low;
}

/* An array with room for one more: the same or a grown one; NULL without memory. One function for
 * four arrays; the caller stores the pointer again in either case. */
static void *array_grow(void *items, size_t count, size_t *capacity, size_t bytes)
{
    CELLAR_ASSERT(count <= *capacity);
    if (count < *capacity) {
        return items;
    }
    size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    void *grown = cellar_mem_realloc(items, wanted * bytes);
    if (grown != NULL) {
        *capacity = wanted;
    }
    return grown;
}

static enum cellar_status slice_copy(struct tablet_check_catalog *catalog, struct cellar_slice from,
                                     struct cellar_slice *to)
{
    const uint8_t *copy = cellar_arena_copy(&catalog->arena, from.data, from.bytes);
    if (copy == NULL) {
        return CELLAR_NO_MEMORY;
    }
    CELLAR_ASSERT(to != NULL);
    *to = cellar_slice_make(copy, from.bytes);
    return CELLAR_OK;
}

static void row_remove(struct tablet_check_catalog *catalog, size_t index)
{
    CELLAR_ASSERT(index < catalog->row_count);
    catalog->row_count--;
    memmove(catalog->rows + index, catalog->rows + index + 1,
            (catalog->row_count - index) * sizeof catalog->rows[0]);
}

/* An empty value removes the row, as a deletion in the log does. */
enum cellar_status tablet_check_catalog_put(struct tablet_check_catalog *catalog,
                                            struct cellar_slice row, struct cellar_slice value)
{
    struct tablet_check_row copy;
    size_t index = row_search(catalog, row);
    bool is_there = index < catalog->row_count && cellar_slice_equal(catalog->rows[index].row, row);
    CELLAR_ASSERT(row.bytes > 0);
    if (value.bytes == 0) {
        if (is_there) {
            row_remove(catalog, index);
        }
        return CELLAR_OK;
    }
    CELLAR_TRY(slice_copy(catalog, value, &copy.value));
    if (is_there) {
        catalog->rows[index].value = copy.value;
        return CELLAR_OK;
    }
    CELLAR_TRY(slice_copy(catalog, row, &copy.row));
    void *grown =
        array_grow(catalog->rows, catalog->row_count, &catalog->row_capacity, sizeof copy);
    if (grown == NULL) {
        return CELLAR_NO_MEMORY;
    }
    catalog->rows = grown;
    memmove(catalog->rows + index + 1, catalog->rows + index,
            (catalog->row_count - index) * sizeof copy);
    catalog->rows[index] = copy;
    catalog->row_count++;
    return CELLAR_OK;
}

/* ---- records --------------------------------------------------------------------------------- */

/* One mutation of a record: whole rows only. The forms that tablet_catalog_change_row() writes, and
 * no others. */
static enum cellar_status mutation_apply(struct tablet_check_catalog *catalog,
                                         struct cellar_slice bytes, const char **why)
{
    struct cellar_cursor from = cellar_cursor_make(bytes);
    struct store_mutation mutation;
    struct store_item item;
    bool is_sound = store_mutation_decode(&from, &mutation);
    CELLAR_ASSERT(*why == NULL);
    for (uint32_t i = 0; is_sound && i < mutation.item_count; i++) {
        is_sound = store_item_decode(&from, &item) &&
                   (item.type == STORE_ITEM_DELETE_ROW ||
                    (item.type == STORE_ITEM_SET && item.generation == 1 && item.start_us == 0 &&
                     item.qualifier.bytes == 0 && item.value.bytes > 0 &&
                     cellar_slice_equal(item.family, cellar_slice_text(catalog_family))));
        if (is_sound) {
            CELLAR_TRY(tablet_check_catalog_put(catalog, mutation.row, item.value));
        }
    }
    *why = is_sound && from.at == from.end ? NULL : "the record holds no change of the catalog";
    return CELLAR_OK;
}

/* What could be read of a damaged record is applied: a start would refuse it, but more can be said
 * of the rest this way. */
enum cellar_status tablet_check_catalog_apply(struct tablet_check_catalog *catalog,
                                              struct cellar_slice payload, const char **why)
{
    struct cellar_cursor from = cellar_cursor_make(payload);
    struct cellar_slice mutation;
    uint32_t count = 0;
    *why = store_catalog_open(&from, &count) ? NULL : "the record holds no change of the catalog";
    for (uint32_t i = 0; *why == NULL && i < count; i++) {
        if (!store_catalog_next(&from, &mutation)) {
            *why = "the record holds no change of the catalog";
        } else {
            CELLAR_TRY(mutation_apply(catalog, mutation, why));
        }
    }
    CELLAR_ASSERT(from.at <= from.end);
    if (*why != NULL || from.at != from.end) {
        catalog->is_damaged = true;
        *why = *why != NULL ? *why : "the record of the catalog has more bytes than it says";
    }
    return CELLAR_OK;
}

/* ---- taking rows apart ----------------------------------------------------------------------- */

/* From the first damage on, what seems to be missing may only be unreadable, and is told more
 * carefully. */
static void row_damage(struct tablet_check_catalog *catalog, const char *why)
{
    struct store_check_place place = {
        .store_id = STORE_CATALOG_ID, .has_store = true, .table = cellar_slice_text("(catalog)")};
    CELLAR_ASSERT(why != NULL);
    if (catalog->row != NULL) {
        place.row = catalog->row->row;
        place.has_row = true;
    }
    catalog->is_damaged = true;
    store_check_find(catalog->report, STORE_CHECK_DAMAGE, &place, "%s", why);
}

static void families_check(struct tablet_check_catalog *catalog, const struct tablet_schema *schema)
{
    CELLAR_ASSERT(schema->version > 0);
    for (size_t i = 0; i < schema->family_count; i++) {
        const struct tablet_family *family = &schema->families[i];
        if (cellar_family_check(family->name, NULL) != CELLAR_OK ||
            family->generation > schema->version) {
            row_damage(catalog, "a family has a name that none may have, or a later generation "
                                "than the schema's version");
        }
        if (i > 0 && cellar_slice_equal(family->name, schema->families[i - 1].name)) {
            row_damage(catalog, "a family is there twice");
        }
    }
}

/* The table's reference is the catalog's from here. */
static enum cellar_status table_take(void *context, struct tablet_table *table)
{
    struct tablet_check_catalog *catalog = context;
    void *grown =
        array_grow(catalog->tables, catalog->table_count, &catalog->table_capacity, sizeof(void *));
    if (grown == NULL) {
        tablet_table_unref(table);
        return CELLAR_NO_MEMORY;
    }
    catalog->tables = grown;
    catalog->tables[catalog->table_count++] = table;
    families_check(catalog, &table->schema_opened);
    CELLAR_ASSERT(table->tablet_count > 0);
    return CELLAR_OK;
}

/* Rows of stores come in the order of their ids. */
static enum cellar_status store_take(void *context, uint32_t store_id, uint64_t generation)
{
    struct tablet_check_catalog *catalog = context;
    void *grown = array_grow(catalog->stores, catalog->store_count, &catalog->store_capacity,
                             sizeof catalog->stores[0]);
    if (grown == NULL) {
        return CELLAR_NO_MEMORY;
    }
    catalog->stores = grown;
    CELLAR_ASSERT(catalog->store_count == 0 ||
                  catalog->stores[catalog->store_count - 1].id < store_id);
    catalog->stores[catalog->store_count++] =
        (struct tablet_check_store){.id = store_id, .generation = generation};
    return CELLAR_OK;
}

static enum cellar_status counter_take(void *context, uint32_t store_id_next)
{
    struct tablet_check_catalog *catalog = context;
    CELLAR_ASSERT(store_id_next > 0);
    catalog->store_id_next = store_id_next;
    return CELLAR_OK;
}

/* Rows that name neither table nor store: instances, and what later versions add. Kinds that later
 * versions write are known by their letter, so that a check by this one does not call them damage.
 */
static void other_row_check(struct tablet_check_catalog *catalog)
{
    const struct tablet_check_row *row = catalog->row;
    struct cellar_cursor from = cellar_cursor_make(row->value);
    uint32_t count = 0;
    CELLAR_ASSERT(row->row.bytes > 0);
    uint8_t kind = row->row.data[0];
    bool is_named = kind == 's' || (row->row.bytes == 1 && kind == 'n') ||
                    (row->row.bytes > 2 && kind == 't' && row->row.data[1] == '/');
    if (is_named) {
        return;
    }
    bool is_known = row->row.bytes > 2 && row->row.data[1] == '/' &&
                    memchr(other_kinds, kind, sizeof other_kinds) != NULL;
    if (!is_known) {
        row_damage(catalog, "the catalog has a row of an unknown kind");
    } else if (!cellar_wire_get_map(&from, &count)) {
        row_damage(catalog, "the row's value cannot be read");
    }
}

/* Gives each tablet its store. The first tablet on a store keeps it, so that its rows can be
 * checked against one table at least. */
static void tablets_bind(struct tablet_check_catalog *catalog, const struct tablet_table *table)
{
    CELLAR_ASSERT(table->tablet_count > 0);
    for (size_t i = 0; i < table->tablet_count; i++) {
        struct tablet_check_store *store =
            tablet_check_catalog_find(catalog, table->tablets[i].store_id);
        char why[96];
        if (store != NULL && store->table == NULL) {
            store->table = table;
            store->tablet = &table->tablets[i];
            continue;
        }
        (void)snprintf(why, sizeof why, "the table %.*s has a tablet on store %u, %s",
                       (int)table->name.table.bytes, (const char *)table->name.table.data,
                       table->tablets[i].store_id,
                       store == NULL ? "which the catalog does not name" : "as another tablet has");
        row_damage(catalog, why);
    }
}

static void stores_check(struct tablet_check_catalog *catalog)
{
    for (size_t i = 0; i < catalog->store_count; i++) {
        const struct tablet_check_store *store = &catalog->stores[i];
        if (store->table == NULL && !catalog->is_damaged) {
            struct store_check_place place = {.store_id = store->id, .has_store = true};
            store_check_find(catalog->report, STORE_CHECK_DAMAGE, &place,
                             "the catalog names the store, but no tablet is on it");
        }
        if (store->id >= catalog->store_id_next) {
            row_damage(catalog, "the counter of store ids is missing or not above all of them");
        }
        CELLAR_ASSERT(i == 0 || catalog->stores[i - 1].id < store->id);
    }
}

/* All rows are taken before any is bound: tables sort behind stores, but a damaged row may stand
 * anywhere. */
enum cellar_status tablet_check_catalog_load(struct tablet_check_catalog *catalog)
{
    const struct tablet_catalog_visitor visitor = {
        .context = catalog, .table = table_take, .store = store_take, .counter = counter_take};
    for (size_t i = 0; i < catalog->row_count; i++) {
        catalog->row = &catalog->rows[i];
        enum cellar_status status =
            tablet_catalog_row_visit(catalog->row->row, catalog->row->value, &visitor);
        if (status == CELLAR_DATA_LOSS) {
            row_damage(catalog, "the row's value cannot be read");
        } else if (status != CELLAR_OK) {
            return status;
        }
        other_row_check(catalog);
    }
    catalog->row = NULL;
    for (size_t i = 0; i < catalog->table_count; i++) {
        tablets_bind(catalog, catalog->tables[i]);
    }
    stores_check(catalog);
    catalog->report->counts.table_count = catalog->table_count;
    CELLAR_ASSERT(catalog->row == NULL);
    return CELLAR_OK;
}

static int store_order(const void *key, const void *item)
{
    uint32_t id = *(const uint32_t *)key;
    const struct tablet_check_store *store = item;
    CELLAR_ASSERT(store != NULL);
    return id < store->id ? -1 : (id > store->id ? 1 : 0);
}

struct tablet_check_store *tablet_check_catalog_find(const struct tablet_check_catalog *catalog,
                                                     uint32_t store_id)
{
    CELLAR_ASSERT(catalog->store_count <= catalog->store_capacity);
    return catalog->store_count == 0 ? NULL
                                     : bsearch(&store_id, catalog->stores, catalog->store_count,
                                               sizeof catalog->stores[0], store_order);
}

void tablet_check_catalog_fini(struct tablet_check_catalog *catalog)
{
    for (size_t i = 0; i < catalog->table_count; i++) {
        tablet_table_unref(catalog->tables[i]);
    }
    cellar_mem_free(catalog->tables);
    cellar_mem_free(catalog->stores);
    cellar_mem_free(catalog->rows);
    cellar_arena_fini(&catalog->arena);
    catalog->table_count = 0;
    CELLAR_ASSERT(catalog->arena.newest == NULL);
}
