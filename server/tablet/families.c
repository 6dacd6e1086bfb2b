/*
 * Changing a table's families.
 *
 * A changed schema is a new object with the next version; the ones before stay as long as the table
 * lives, since a read or a check may be in the middle of one. It takes effect in two steps:
 *
 *     queued     in the hold of the append lock that queues the catalog record: writes that
 *                come later are checked against it; one that was checked before and comes to the
 *                lock later is checked again (append.h). So no record in the log that follows the
 *                change names a family that it dropped
 *     durable    when that record is synced: a read that sees the log up to an LSN goes by the
 *                newest schema whose record is not above it, so it shows a row and the families
 *                of one moment, and a write that was acknowledged with a new family is seen
 *
 * All stores share one log, so the catalog record's place in it is the change's place for all of
 * them.
 *
 * A family that is created again under an old name gets the new version as its generation. Cells of
 * the old one carry the old generation, in the log, in memtables and on disk, and are never shown
 * again; their space returns when the store is compacted. Families made with the table are stored
 * without a generation, so once one of them has been dropped no stored bytes may be sent unread:
 * has_dropped.
 */
#include "server/tablet/families.h"

#include "server/tablet/catalog.h"

#define GENERATION_FIRST 1u

/* A schema that is being made: families in any order, room for all that are created. */
struct draft {
    struct tablet_schema *schema;
    struct tablet_family *families;
    size_t count;
};

static struct tablet_family *draft_find(struct draft *draft, struct cellar_slice name)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (cellar_slice_equal(draft->families[i].name, name)) {
            return &draft->families[i];
        }
    }
    CELLAR_ASSERT(name.bytes > 0);
    return NULL;
}

static enum cellar_status family_create(struct draft *draft,
                                        const struct tablet_family_change *change,
                                        struct cellar_error *error)
{
    if (draft_find(draft, change->name) != NULL) {
        return cellar_error_set(error, CELLAR_ALREADY_EXISTS, "Column family already exists: %.*s",
                                (int)change->name.bytes, (const char *)change->name.data);
    }
    const struct tablet_family family = {change->name, draft->schema->version, change->rule};
    CELLAR_ASSERT(family.generation > GENERATION_FIRST);
    CELLAR_TRY(tablet_family_copy(&draft->schema->arena, &family, &draft->families[draft->count]));
    draft->count++;
    return CELLAR_OK;
}

static enum cellar_status family_not_found(const struct tablet_family_change *change,
                                           struct cellar_error *error)
{
    CELLAR_ASSERT(change->action != TABLET_FAMILY_CREATE);
    return cellar_error_set(error, CELLAR_NOT_FOUND, "Column family not found: %.*s",
                            (int)change->name.bytes, (const char *)change->name.data);
}

static enum cellar_status change_apply(struct draft *draft,
                                       const struct tablet_family_change *change,
                                       struct cellar_error *error)
{
    struct tablet_family *found = draft_find(draft, change->name);
    switch (change->action) {
    case TABLET_FAMILY_CREATE:
        return family_create(draft, change, error);
    case TABLET_FAMILY_UPDATE: {
        if (found == NULL) {
            return family_not_found(change, error);
        }
        const struct tablet_family family = {change->name, found->generation, change->rule};
        return tablet_family_copy(&draft->schema->arena, &family, found);
    }
    case TABLET_FAMILY_DROP:
        if (found == NULL) {
            return family_not_found(change, error);
        }
        draft->schema->has_dropped |= found->generation == GENERATION_FIRST;
        *found = draft->families[--draft->count];
        return CELLAR_OK;
    }
    CELLAR_ASSERT(found == NULL);
    return CELLAR_INVALID_ARGUMENT;
}

/* Families of the schema before, copied, with room for `more`. */
static enum cellar_status draft_begin(const struct tablet_schema *schema, size_t more,
                                      struct draft *draft)
{
    struct tablet_schema *made = draft->schema;
    made->version = schema->version + 1;
    made->granularity = schema->granularity;
    made->has_dropped = schema->has_dropped;
    draft->families = cellar_arena_alloc(&made->arena, (schema->family_count + more + 1) *
                                                           sizeof *draft->families);
    if (draft->families == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (size_t i = 0; i < schema->family_count; i++) {
        CELLAR_TRY(tablet_family_copy(&made->arena, &schema->families[i], &draft->families[i]));
        draft->count++;
    }
    CELLAR_ASSERT(draft->count == schema->family_count);
    return CELLAR_OK;
}

static enum cellar_status draft_fill(const struct tablet_schema *schema,
                                     const struct tablet_family_change *changes,
                                     size_t change_count, struct draft *draft,
                                     struct cellar_error *error)
{
    CELLAR_TRY(draft_begin(schema, change_count, draft));
    for (size_t i = 0; i < change_count; i++) {
        CELLAR_TRY(change_apply(draft, &changes[i], error));
    }
    if (draft->count > TABLET_FAMILY_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "the table would have %zu families, the limit is %u", draft->count,
                                TABLET_FAMILY_COUNT_MAX);
    }
    CELLAR_ASSERT(draft->schema->version > GENERATION_FIRST);
    draft->schema->families = draft->families;
    draft->schema->family_count = draft->count;
    tablet_schema_finish(draft->schema, draft->families);
    return CELLAR_OK;
}

enum cellar_status tablet_families_apply(const struct tablet_schema *schema,
                                         const struct tablet_family_change *changes,
                                         size_t change_count, struct tablet_schema **made,
                                         struct cellar_error *error)
{
    struct draft draft = {.schema = tablet_schema_new()};
    CELLAR_ASSERT(change_count > 0 && schema->version < UINT32_MAX);
    enum cellar_status status = draft.schema == NULL
                                    ? CELLAR_NO_MEMORY
                                    : draft_fill(schema, changes, change_count, &draft, error);
    if (status != CELLAR_OK) {
        tablet_schema_free(draft.schema);
        return status == CELLAR_NO_MEMORY
                   ? cellar_error_set(error, status, "no memory for the table's families")
                   : status;
    }
    *made = draft.schema;
    return CELLAR_OK;
}

/* ---- taking effect --------------------------------------------------------------------------- */

struct effect {
    struct tablet_table *table;
    struct tablet_schema *schema;
};

/* With the append lock. */
static void schema_queue(void *context, uint64_t lsn)
{
    struct effect *effect = context;
    struct tablet_table *table = effect->table;
    CELLAR_ASSERT(effect->schema->version == tablet_table_schema_queued(table)->version + 1);
    effect->schema->lsn = lsn;
    effect->schema->before = table->schemas_changed;
    table->schemas_changed = effect->schema;
    atomic_store_explicit(&table->schema_queued, effect->schema, memory_order_release);
}

static bool drops_only(const struct tablet_family_change *changes, size_t change_count)
{
    CELLAR_ASSERT(change_count > 0);
    for (size_t i = 0; i < change_count; i++) {
        if (changes[i].action != TABLET_FAMILY_DROP) {
            return false;
        }
    }
    return true;
}

enum cellar_status tablet_families_change(struct store_engine *engine, struct tablet_table *table,
                                          const struct tablet_family_change *changes,
                                          size_t change_count, struct cellar_error *error)
{
    struct effect effect = {.table = table};
    struct tablet_catalog_change change;
    CELLAR_TRY(tablet_families_apply(tablet_table_schema_queued(table), changes, change_count,
                                     &effect.schema, error));
    const struct tablet_catalog_effect queueing = {schema_queue, &effect,
                                                   drops_only(changes, change_count)};
    enum cellar_status status = tablet_catalog_change_begin(&change, 1);
    if (status == CELLAR_OK) {
        status = tablet_catalog_change_table(&change, table, effect.schema);
    }
    status = status != CELLAR_OK
                 ? cellar_error_set(error, status, "no memory for a change of the catalog")
                 : tablet_catalog_change_commit(&change, engine, &queueing, error);
    tablet_catalog_change_fini(&change);
    bool is_queued = tablet_table_schema_queued(table) == effect.schema;
    CELLAR_ASSERT(status != CELLAR_OK || is_queued);
    if (!is_queued) {
        tablet_schema_free(effect.schema);
    }
    return status;
}
