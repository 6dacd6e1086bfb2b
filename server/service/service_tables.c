/*
 * Table administration: checks and name forms before, descriptions after; the work is the tablet
 * layer's. Changes of a table that stays are in service_changes.c.
 *
 * A page token of a listing is the id of the last table on the page before, behind a byte that
 * tells it from foreign bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/service/service_internal.h"

#define PAGE_TOKEN_MARK 0x01u
#define PAGE_COUNT_MAX 10000u

/* ---- describing ------------------------------------------------------------------------------ */

/* A description outlives the reference to its table, so nothing in it may point there. */
static enum cellar_status slice_copy(struct cellar_arena *arena, struct cellar_slice from,
                                     struct cellar_slice *to)
{
    const uint8_t *copy = cellar_arena_copy(arena, from.data, from.bytes);
    CELLAR_ASSERT(from.bytes == 0 || from.data != NULL);
    *to = cellar_slice_make(copy, from.bytes);
    return copy == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
}

/* Rules and names stay the table's, which the description's arena does not own: all is copied. */
static enum cellar_status rule_copy(const struct cellar_gc_rule *from, struct cellar_arena *arena,
                                    struct cellar_gc_rule *to)
{
    *to = *from;
    CELLAR_ASSERT(from->child_count == 0 || from->children != NULL);
    if (from->child_count == 0) {
        return CELLAR_OK;
    }
    struct cellar_gc_rule *children =
        cellar_arena_alloc(arena, from->child_count * sizeof *children);
    if (children == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < from->child_count; i++) {
        CELLAR_TRY(rule_copy(&from->children[i], arena, &children[i]));
    }
    to->children = children;
    return CELLAR_OK;
}

static enum cellar_status families_describe(const struct tablet_schema *schema,
                                            struct cellar_arena *arena, struct svc_table *to)
{
    struct svc_family *families =
        cellar_arena_alloc(arena, (schema->family_count + 1) * sizeof *families);
    if (families == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (size_t i = 0; i < schema->family_count; i++) {
        CELLAR_TRY(slice_copy(arena, schema->families[i].name, &families[i].name));
        CELLAR_TRY(rule_copy(&schema->families[i].rule, arena, &families[i].rule));
    }
    CELLAR_ASSERT(schema->version > 0);
    to->families = families;
    to->family_count = schema->family_count;
    return CELLAR_OK;
}

static enum cellar_status table_describe(struct svc *svc, const struct tablet_table *table,
                                         struct cellar_arena *arena, struct svc_table *to)
{
    memset(to, 0, sizeof *to);
    struct svc_tablet *tablets = cellar_arena_alloc(arena, table->tablet_count * sizeof *tablets);
    if (tablets == NULL) {
        return CELLAR_NO_MEMORY;
    }
    CELLAR_TRY(tablet_name_full(&table->name, arena, &to->name));
    const struct tablet_schema *schema = tablet_db_schema(svc->db, table);
    CELLAR_TRY(families_describe(schema, arena, to));
    for (size_t i = 0; i < table->tablet_count; i++) {
        CELLAR_TRY(slice_copy(arena, table->tablets[i].start, &tablets[i].start));
        CELLAR_TRY(slice_copy(arena, table->tablets[i].end, &tablets[i].end));
        tablets[i].store_id = table->tablets[i].store_id;
    }
    CELLAR_ASSERT(table->tablet_count > 0);
    to->granularity = schema->granularity;
    to->tablets = tablets;
    to->tablet_count = table->tablet_count;
    to->schema_version = schema->version;
    return CELLAR_OK;
}

enum cellar_status svc_describe_end(struct svc *svc, struct tablet_table *table,
                                    struct cellar_arena *arena, struct svc_table *to,
                                    struct cellar_error *error)
{
    enum cellar_status status = table_describe(svc, table, arena, to);
    tablet_table_unref(table);
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    return status == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, status, "no memory for the table's description");
}

enum cellar_status svc_describe_table(struct svc *svc, const struct svc_request *request,
                                      struct cellar_slice name, struct cellar_arena *arena,
                                      struct svc_table *table, struct cellar_error *error)
{
    struct tablet_table *found = NULL;
    CELLAR_TRY(svc_table_find(svc, request, name, &found, error));
    CELLAR_ASSERT(found != NULL);
    return svc_describe_end(svc, found, arena, table, error);
}

/* ---- creating -------------------------------------------------------------------------------- */

/* Each name is compared with those before it: a thousand families, the limit, are half a million
 * short comparisons, once in the life of a table. */
static enum cellar_status families_check(const struct svc_table *table, struct cellar_arena *arena,
                                         struct tablet_spec *spec, struct cellar_error *error)
{
    if (table->family_count > TABLET_FAMILY_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'families' : %zu families, the limit is %u",
                                table->family_count, TABLET_FAMILY_COUNT_MAX);
    }
    struct tablet_family *families =
        cellar_arena_alloc(arena, (table->family_count + 1) * sizeof *families);
    if (families == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the families");
    }
    for (size_t i = 0; i < table->family_count; i++) {
        const struct svc_family *family = &table->families[i];
        CELLAR_TRY(cellar_family_check(family->name, error));
        for (size_t j = 0; j < i; j++) {
            if (cellar_slice_equal(families[j].name, family->name)) {
                return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                        "Error in field 'families' : family %.*s is given twice",
                                        (int)family->name.bytes, (const char *)family->name.data);
            }
        }
        families[i] = (struct tablet_family){.name = family->name, .rule = family->rule};
    }
    CELLAR_ASSERT(families != NULL);
    spec->families = families;
    spec->family_count = table->family_count;
    return CELLAR_OK;
}

/* For qsort(3); equal keys may come in any order, as one of them is kept. */
static int slice_order(const void *a, const void *b)
{
    const struct cellar_slice *left = a;
    const struct cellar_slice *right = b;
    CELLAR_ASSERT(left->bytes > 0 && right->bytes > 0);
    return cellar_slice_compare(*left, *right);
}

/* Sorts the split keys and counts repeats once (R-TAB-02). */
static enum cellar_status splits_check(const struct svc_table *table, struct cellar_arena *arena,
                                       struct tablet_spec *spec, struct cellar_error *error)
{
    size_t kept = 0;
    if (table->split_key_count > TABLET_SPLIT_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'split_keys' : %zu keys, the limit is %u",
                                table->split_key_count, TABLET_SPLIT_COUNT_MAX);
    }
    struct cellar_slice *keys =
        cellar_arena_alloc(arena, (table->split_key_count + 1) * sizeof *keys);
    if (keys == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the split keys");
    }
    for (size_t i = 0; i < table->split_key_count; i++) {
        keys[i] = table->split_keys[i];
        if (cellar_row_check(keys[i], error) != CELLAR_OK) {
            cellar_error_prefix(error, "Error in field 'split_keys' : Error in element #%zu", i);
            return CELLAR_INVALID_ARGUMENT;
        }
    }
    if (table->split_key_count > 1) {
        qsort(keys, table->split_key_count, sizeof keys[0], slice_order);
    }
    for (size_t i = 0; i < table->split_key_count; i++) {
        if (kept == 0 || !cellar_slice_equal(keys[kept - 1], keys[i])) {
            keys[kept++] = keys[i];
        }
    }
    CELLAR_ASSERT(kept <= table->split_key_count);
    spec->split_keys = keys;
    spec->split_key_count = kept;
    return CELLAR_OK;
}

/* 0 is a request that did not say. */
static enum cellar_status granularity_check(enum cellar_granularity asked, struct tablet_spec *spec,
                                            struct cellar_error *error)
{
    if ((unsigned)asked > CELLAR_GRANULARITY_MICROS) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'granularity' : must be 1 (milliseconds) or 2 "
                                "(microseconds), but is %u",
                                (unsigned)asked);
    }
    spec->granularity = asked == 0 ? CELLAR_GRANULARITY_MILLIS : asked;
    CELLAR_ASSERT(spec->granularity != 0);
    return CELLAR_OK;
}

/* Without implicit instances, only one that holds a table exists. */
static enum cellar_status instance_check(struct svc *svc, const struct cellar_table_name *name,
                                         struct cellar_error *error)
{
    bool has_more = false;
    if (svc->implicit_instances ||
        tablet_db_list(svc->db, name, cellar_slice_make(NULL, 0), 0, NULL, &has_more) > 0 ||
        has_more) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(name->instance.bytes > 0);
    return cellar_error_set(error, CELLAR_NOT_FOUND,
                            "Instance not found: projects/%.*s/instances/%.*s",
                            (int)name->project.bytes, (const char *)name->project.data,
                            (int)name->instance.bytes, (const char *)name->instance.data);
}

/* A table's name needs no quotes. */
static void log_table(const char *event, const struct cellar_table_name *name)
{
    CELLAR_ASSERT(name->table.bytes > 0);
    cellar_log(CELLAR_LOG_INFO, event, "table=projects/%.*s/instances/%.*s/tables/%.*s",
               (int)name->project.bytes, (const char *)name->project.data,
               (int)name->instance.bytes, (const char *)name->instance.data, (int)name->table.bytes,
               (const char *)name->table.data);
}

/* Everything is checked before anything is made; that the name is free is checked last, under the
 * lock that keeps it so (tablet_db_create()). On a thread of the pool: it syncs. */
enum cellar_status svc_create_table(struct svc *svc, const struct svc_request *request,
                                    const struct svc_table *table, struct cellar_arena *arena,
                                    struct svc_table *made, struct cellar_error *error)
{
    struct tablet_spec spec = {0};
    struct tablet_table *created = NULL;
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_TRY(cellar_table_name_decode(table->name, &spec.name, error));
    CELLAR_TRY(families_check(table, arena, &spec, error));
    CELLAR_TRY(splits_check(table, arena, &spec, error));
    CELLAR_TRY(granularity_check(table->granularity, &spec, error));
    CELLAR_TRY(instance_check(svc, &spec.name, error));
    CELLAR_TRY(tablet_db_create(svc->db, &spec, &created, error));
    CELLAR_ASSERT(created != NULL);
    log_table("table_created", &spec.name);
    return svc_describe_end(svc, created, arena, made, error);
}

/* Ends when the files are gone, so that the space is there when the answer is. */
enum cellar_status svc_drop_table(struct svc *svc, const struct svc_request *request,
                                  struct cellar_slice name, struct cellar_error *error)
{
    struct cellar_table_name parts;
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_TRY(cellar_table_name_decode(name, &parts, error));
    CELLAR_ASSERT(parts.table.bytes > 0);
    CELLAR_TRY(tablet_db_drop(svc->db, &parts, error));
    log_table("table_dropped", &parts);
    return CELLAR_OK;
}

/* ---- listing --------------------------------------------------------------------------------- */

/* Collects one page; drops the references it took. References keep the names alive while they are
 * copied; the tables may be dropped meanwhile, and the page then names what was there when it was
 * asked for. */
static enum cellar_status page_collect(struct svc *svc, const struct cellar_table_name *instance,
                                       struct cellar_slice after, size_t count_max,
                                       struct cellar_arena *arena, struct svc_table_names *names)
{
    bool has_more = false;
    struct tablet_table **tables =
        cellar_arena_alloc(arena, count_max * sizeof(struct tablet_table *));
    struct cellar_slice *all = cellar_arena_alloc(arena, count_max * sizeof *all);
    if (tables == NULL || all == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = CELLAR_OK;
    size_t count = tablet_db_list(svc->db, instance, after, count_max, tables, &has_more);
    for (size_t i = 0; i < count && status == CELLAR_OK; i++) {
        status = tablet_name_full(&tables[i]->name, arena, &all[i]);
    }
    if (status == CELLAR_OK && has_more) {
        struct cellar_slice last = tables[count - 1]->name.table;
        uint8_t *token = cellar_arena_alloc(arena, last.bytes + 1);
        if (token == NULL) {
            status = CELLAR_NO_MEMORY;
        } else {
            token[0] = PAGE_TOKEN_MARK;
            memcpy(token + 1, last.data, last.bytes);
            names->next_page_token = cellar_slice_make(token, last.bytes + 1);
        }
    }
    for (size_t i = 0; i < count; i++) {
        tablet_table_unref(tables[i]);
    }
    CELLAR_ASSERT(count <= count_max);
    names->names = all;
    names->count = count;
    return status;
}

/* A page token is the last name and nothing more, so the server keeps nothing between two pages,
 * and a token is good after a restart. */
enum cellar_status svc_list_tables(struct svc *svc, const struct svc_request *request,
                                   const struct svc_page *page, struct cellar_arena *arena,
                                   struct svc_table_names *names, struct cellar_error *error)
{
    struct cellar_table_name parts;
    memset(names, 0, sizeof *names);
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_TRY(cellar_instance_name_decode(page->instance, &parts, error));
    if (page->page_size < 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'page_size' : must be >= 0, but is %lld",
                                (long long)page->page_size);
    }
    bool is_ours = page->page_token.bytes == 0 ||
                   (page->page_token.bytes > 1 && page->page_token.data[0] == PAGE_TOKEN_MARK &&
                    page->page_token.bytes <= CELLAR_TABLE_ID_BYTES_MAX + 1);
    if (!is_ours) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'page_token' : not a token of this server");
    }
    struct cellar_slice after =
        page->page_token.bytes == 0
            ? page->page_token
            : cellar_slice_make(page->page_token.data + 1, page->page_token.bytes - 1);
    size_t count_max = page->page_size == 0
                           ? PAGE_COUNT_MAX
                           : (size_t)CELLAR_MIN(page->page_size, (int64_t)PAGE_COUNT_MAX);
    CELLAR_ASSERT(count_max > 0);
    enum cellar_status status = page_collect(svc, &parts, after, count_max, arena, names);
    return status == CELLAR_OK ? CELLAR_OK
                               : cellar_error_set(error, status, "no memory for the tables' names");
}
