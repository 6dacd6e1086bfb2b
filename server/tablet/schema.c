/*
 * Schemas. Families are kept in the order of their names, which is the order of their cells; a
 * lookup is a binary search.
 *
 * Two facts about all rules let a scan send stored bytes unread: whether any rule counts versions,
 * and the smallest age that any rule names. A cell that is the only version of its column and
 * younger than that age is hidden by no rule, however unions and intersections nest.
 */
#include "server/tablet/schema.h"

#include <stdlib.h>

const struct tablet_family *tablet_schema_family(const struct tablet_schema *schema,
                                                 struct cellar_slice name)
{
    size_t low = 0;
    size_t high = schema->family_count;
    CELLAR_ASSERT(schema->family_count <= TABLET_FAMILY_COUNT_MAX);
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = cellar_slice_compare(schema->families[middle].name, name);
        if (order == 0) {
            return &schema->families[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static int family_order(const void *a, const void *b)
{
    const struct tablet_family *left = a;
    const struct tablet_family *right = b;
    CELLAR_ASSERT(left->generation > 0 && right->generation > 0);
    return cellar_slice_compare(left->name, right->name);
}

/* Rules nest at most CELLAR_GC_RULE_DEPTH_MAX deep. */
static void rule_note(struct tablet_schema *schema, const struct cellar_gc_rule *rule)
{
    if (rule->kind == CELLAR_GC_VERSIONS) {
        schema->has_version_rule = true;
    } else if (rule->kind == CELLAR_GC_AGE) {
        schema->age_us_min = CELLAR_MIN(schema->age_us_min, rule->amount);
    }
    CELLAR_ASSERT(rule->child_count == 0 || rule->children != NULL);
    for (uint32_t i = 0; i < rule->child_count; i++) {
        rule_note(schema, &rule->children[i]);
    }
}

void tablet_schema_finish(struct tablet_schema *schema, struct tablet_family *families)
{
    CELLAR_ASSERT(schema->families == families);
    if (schema->family_count > 1) {
        qsort(families, schema->family_count, sizeof families[0], family_order);
    }
    schema->has_version_rule = false;
    schema->age_us_min = INT64_MAX;
    for (size_t i = 0; i < schema->family_count; i++) {
        rule_note(schema, &families[i].rule);
    }
}

struct tablet_schema *tablet_schema_new(void)
{
    struct tablet_schema *schema = cellar_mem_zalloc(1, sizeof *schema);
    CELLAR_ASSERT(schema == NULL || schema->before == NULL);
    return schema;
}

void tablet_schema_free(struct tablet_schema *schema)
{
    if (schema == NULL) {
        return;
    }
    cellar_arena_fini(&schema->arena);
    CELLAR_ASSERT(schema->arena.newest == NULL);
    cellar_mem_free(schema);
}

/* Copies a rule tree. */
static enum cellar_status rule_copy(struct cellar_arena *arena, const struct cellar_gc_rule *from,
                                    struct cellar_gc_rule *to)
{
    *to = *from;
    if (from->child_count == 0) {
        return CELLAR_OK;
    }
    struct cellar_gc_rule *children =
        cellar_arena_alloc(arena, from->child_count * sizeof *children);
    if (children == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < from->child_count; i++) {
        CELLAR_TRY(rule_copy(arena, &from->children[i], &children[i]));
    }
    CELLAR_ASSERT(from->children != NULL);
    to->children = children;
    return CELLAR_OK;
}

enum cellar_status tablet_family_copy(struct cellar_arena *arena, const struct tablet_family *from,
                                      struct tablet_family *to)
{
    const uint8_t *name = cellar_arena_copy(arena, from->name.data, from->name.bytes);
    CELLAR_ASSERT(from->name.bytes > 0);
    if (name == NULL) {
        return CELLAR_NO_MEMORY;
    }
    to->name = cellar_slice_make(name, from->name.bytes);
    to->generation = from->generation;
    return rule_copy(arena, &from->rule, &to->rule);
}

int64_t tablet_schema_time(const struct tablet_schema *schema, int64_t server_time_us)
{
    CELLAR_ASSERT(server_time_us >= 0);
    return schema->granularity == CELLAR_GRANULARITY_MICROS
               ? server_time_us
               : server_time_us - server_time_us % 1000;
}
