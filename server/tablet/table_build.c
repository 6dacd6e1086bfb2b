/*
 * A new table from what was asked for: everything is copied into the table's own memory, families
 * get the first generation, tablets their bounds and the ids of their stores.
 */
#include "server/tablet/table_build.h"

/* The request's memory ends with the request; a table's strings live in its own arena. */
static enum cellar_status slice_copy(struct tablet_table *table, struct cellar_slice from,
                                     struct cellar_slice *to)
{
    const uint8_t *copy = cellar_arena_copy(&table->arena, from.data, from.bytes);
    CELLAR_ASSERT(from.bytes == 0 || from.data != NULL);
    *to = cellar_slice_make(copy, from.bytes);
    return copy == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
}

static enum cellar_status families_build(struct tablet_table *table, const struct tablet_spec *spec)
{
    struct tablet_family *families =
        cellar_arena_alloc(&table->arena, (spec->family_count + 1) * sizeof *families);
    if (families == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (size_t i = 0; i < spec->family_count; i++) {
        CELLAR_TRY(tablet_family_copy(&table->arena, &spec->families[i], &families[i]));
        families[i].generation = 1;
    }
    table->schema_opened.version = 1;
    table->schema_opened.granularity = spec->granularity;
    table->schema_opened.families = families;
    table->schema_opened.family_count = spec->family_count;
    tablet_schema_finish(&table->schema_opened, families);
    CELLAR_ASSERT(table->schema_opened.version == 1);
    return CELLAR_OK;
}

/* Tablet i ends where i + 1 starts, so the key space has neither gap nor overlap by construction.
 * The first start and the last end are empty: no bound. Stores have consecutive ids. */
static enum cellar_status tablets_build(struct tablet_table *table, const struct tablet_spec *spec,
                                        uint32_t store_id_first)
{
    size_t count = spec->split_key_count + 1;
    struct tablet *tablets = cellar_arena_alloc(&table->arena, count * sizeof *tablets);
    if (tablets == NULL) {
        return CELLAR_NO_MEMORY;
    }
    memset(tablets, 0, count * sizeof *tablets);
    for (size_t i = 0; i < count; i++) {
        tablets[i].store_id = store_id_first + (uint32_t)i;
        tablet_warmth_init(&tablets[i].warmth);
        if (i > 0) {
            CELLAR_TRY(slice_copy(table, spec->split_keys[i - 1], &tablets[i].start));
            tablets[i - 1].end = tablets[i].start;
        }
    }
    CELLAR_ASSERT(count > 0);
    table->tablets = tablets;
    table->tablet_count = count;
    return CELLAR_OK;
}

/* The whole table in memory, without a store yet; `spec` is checked (service_tables.c). */
enum cellar_status tablet_table_build(const struct tablet_spec *spec, uint32_t store_id_first,
                                      struct tablet_table **table)
{
    struct tablet_table *built = tablet_table_new();
    if (built == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = slice_copy(built, spec->name.project, &built->name.project);
    if (status == CELLAR_OK) {
        status = slice_copy(built, spec->name.instance, &built->name.instance);
    }
    if (status == CELLAR_OK) {
        status = slice_copy(built, spec->name.table, &built->name.table);
    }
    if (status == CELLAR_OK) {
        status = families_build(built, spec);
    }
    if (status == CELLAR_OK) {
        status = tablets_build(built, spec, store_id_first);
    }
    if (status != CELLAR_OK) {
        tablet_table_unref(built);
        return status;
    }
    CELLAR_ASSERT(built->tablet_count == spec->split_key_count + 1);
    *table = built;
    return CELLAR_OK;
}
