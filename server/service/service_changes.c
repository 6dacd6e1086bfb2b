/*
 * Changes of a table that stays: its families, and rows that go by ranges.
 *
 * Both are checked here as far as that needs no table: the form of names, and that a request says
 * what it wants. A list of changes is then applied by the tablet layer in order and as a whole, so
 * that whether a family exists is asked under the lock that keeps the answer true. A drop of rows
 * has exactly one target. An empty prefix is refused, although every row begins with it: whoever
 * computes a prefix and gets nothing does not mean everything (R-TAB-18).
 *
 * Both wait for the disk: on a thread of the pool, never on a loop.
 */
#include "common/log.h"
#include "server/service/service_internal.h"

static_assert((int)SVC_FAMILY_CREATE == (int)TABLET_FAMILY_CREATE &&
                  (int)SVC_FAMILY_UPDATE == (int)TABLET_FAMILY_UPDATE &&
                  (int)SVC_FAMILY_DROP == (int)TABLET_FAMILY_DROP,
              "actions have the same numbers in both layers");

/* A table in a line of the log, where its name needs no quotes. */
#define TABLE_FORMAT "table=projects/%.*s/instances/%.*s/tables/%.*s"
#define TABLE_ARGUMENTS(name)                                                                      \
    (int)(name).project.bytes, (const char *)(name).project.data, (int)(name).instance.bytes,      \
        (const char *)(name).instance.data, (int)(name).table.bytes,                               \
        (const char *)(name).table.data

/* ---- families -------------------------------------------------------------------------------- */

/* One change by itself: that its action exists, and what it says of the family. A drop with a rule
 * is refused and not ignored: it is likely an update whose action is wrong. */
static enum cellar_status change_check(const struct svc_family_change *from,
                                       struct tablet_family_change *to, struct cellar_error *error)
{
    if ((unsigned)from->action > SVC_FAMILY_DROP) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'action' : must be 0 (create), 1 (update) or 2 "
                                "(drop), but is %u",
                                (unsigned)from->action);
    }
    CELLAR_TRY(cellar_family_check(from->family.name, error));
    if (from->action == SVC_FAMILY_DROP && from->family.rule.kind != CELLAR_GC_NONE) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'gc_rule' : a family that is dropped has no rule");
    }
    CELLAR_ASSERT(from->family.name.bytes > 0);
    *to = (struct tablet_family_change){.action = (enum tablet_family_action)from->action,
                                        .name = from->family.name,
                                        .rule = from->family.rule};
    return CELLAR_OK;
}

/* The whole list, before the table is looked for: a bad list is refused whatever the table is. */
static enum cellar_status changes_check(const struct svc_family_changes *from,
                                        struct cellar_arena *arena,
                                        struct tablet_family_change **to,
                                        struct cellar_error *error)
{
    if (from->count == 0 || from->count > SVC_FAMILY_CHANGE_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'changes' : must have 1 to %u elements, but has "
                                "%zu",
                                SVC_FAMILY_CHANGE_COUNT_MAX, from->count);
    }
    struct tablet_family_change *changes = cellar_arena_alloc(arena, from->count * sizeof *changes);
    if (changes == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the changes of families");
    }
    for (size_t i = 0; i < from->count; i++) {
        enum cellar_status status = change_check(&from->changes[i], &changes[i], error);
        if (status != CELLAR_OK) {
            cellar_error_prefix(error, "Error in field 'changes' : Error in element #%zu", i);
            return status;
        }
    }
    CELLAR_ASSERT(from->changes != NULL);
    *to = changes;
    return CELLAR_OK;
}

/* The description is made from the reference that the change gave, so it is of the schema that this
 * request made or of a later one, never of an earlier. */
enum cellar_status svc_modify_families(struct svc *svc, const struct svc_request *request,
                                       const struct svc_family_changes *changes,
                                       struct cellar_arena *arena, struct svc_table *made,
                                       struct cellar_error *error)
{
    struct cellar_table_name parts;
    struct tablet_family_change *checked = NULL;
    struct tablet_table *changed = NULL;
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_TRY(cellar_table_name_decode(changes->table, &parts, error));
    CELLAR_TRY(changes_check(changes, arena, &checked, error));
    CELLAR_TRY(
        tablet_db_modify_families(svc->db, &parts, checked, changes->count, &changed, error));
    CELLAR_ASSERT(changed != NULL);
    cellar_log(CELLAR_LOG_INFO, "families_changed", TABLE_FORMAT " changes=%zu",
               TABLE_ARGUMENTS(parts), changes->count);
    return svc_describe_end(svc, changed, arena, made, error);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Exactly one target, and one that a row key could begin with. */
static enum cellar_status target_check(const struct svc_rows_drop *drop, struct cellar_error *error)
{
    if (drop->is_all && drop->prefix.bytes > 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'all' : a prefix is given too; drop all rows, or "
                                "those of a prefix");
    }
    if (!drop->is_all && drop->prefix.bytes == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'prefix' : must have 1 to %u bytes, but is empty; "
                                "to drop all rows, say so with 'all'",
                                CELLAR_ROW_BYTES_MAX);
    }
    if (drop->prefix.bytes > CELLAR_ROW_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'prefix' : must have 1 to %u bytes, but has %zu",
                                CELLAR_ROW_BYTES_MAX, drop->prefix.bytes);
    }
    CELLAR_ASSERT(drop->is_all == (drop->prefix.bytes == 0));
    return CELLAR_OK;
}

/* To the tablet layer an empty prefix is all rows; nobody else may say it so. The log has the
 * prefix's length alone: keys are users' data. */
enum cellar_status svc_drop_rows(struct svc *svc, const struct svc_request *request,
                                 const struct svc_rows_drop *drop, struct cellar_error *error)
{
    struct cellar_table_name parts;
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_TRY(cellar_table_name_decode(drop->table, &parts, error));
    CELLAR_TRY(target_check(drop, error));
    CELLAR_ASSERT(parts.table.bytes > 0);
    CELLAR_TRY(tablet_db_drop_rows(svc->db, &parts, drop->prefix, error));
    cellar_log(CELLAR_LOG_INFO, "rows_dropped", TABLE_FORMAT " prefix_bytes=%zu",
               TABLE_ARGUMENTS(parts), drop->prefix.bytes);
    return CELLAR_OK;
}
