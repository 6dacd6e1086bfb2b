/*
 * The builder of table schemas, and the encoder of changes to one.
 *
 * Families and split keys are encoded as they come. A rule's tree is checked here only for what
 * would make its encoding impossible (depth, children that are missing); whether counts and ages
 * are allowed is the server's to say.
 *
 * The first failure stays in the schema and every later function does nothing. A schema belongs to
 * one thread at a time.
 */

#include "client/lib/schema.h"

#include "client/lib/mutations.h"
#include "common/gc_rule.h"
#include "common/mem.h"

#define FAMILY_COUNT_MAX 10000u
#define SPLIT_COUNT_MAX 100000u
#define CHANGE_COUNT_MAX 10000u

static_assert((int)CELLAR_RULE_NONE == (int)CELLAR_GC_NONE &&
                  (int)CELLAR_RULE_VERSIONS == (int)CELLAR_GC_VERSIONS &&
                  (int)CELLAR_RULE_AGE == (int)CELLAR_GC_AGE &&
                  (int)CELLAR_RULE_UNION == (int)CELLAR_GC_UNION &&
                  (int)CELLAR_RULE_INTERSECTION == (int)CELLAR_GC_INTERSECTION,
              "rule kinds have the protocol's numbers");
static_assert((int)CELLAR_FAMILY_CREATE == 0 && (int)CELLAR_FAMILY_UPDATE == 1 &&
                  (int)CELLAR_FAMILY_DROP == 2,
              "actions have the protocol's numbers");
static_assert((int)CELLAR_TABLE_MILLIS == (int)CELLAR_GRANULARITY_MILLIS &&
                  (int)CELLAR_TABLE_MICROS == (int)CELLAR_GRANULARITY_MICROS,
              "granularities have the protocol's numbers");

struct cellar_schema *cellar_schema_new(void)
{
    struct cellar_schema *schema = cellar_mem_zalloc(1, sizeof *schema);
    if (schema != NULL) {
        schema->granularity = CELLAR_TABLE_MILLIS;
        CELLAR_ASSERT(schema->error.code == CELLAR_OK);
    }
    return schema;
}

void cellar_schema_free(struct cellar_schema *schema)
{
    if (schema != NULL) {
        CELLAR_ASSERT(schema->family_count <= FAMILY_COUNT_MAX);
        cellar_buffer_fini(&schema->families);
        cellar_buffer_fini(&schema->splits);
        cellar_mem_free(schema);
    }
}

/* Appends a rule; CELLAR_INVALID_ARGUMENT for a tree that is too deep or has no children. */
static enum cellar_status rule_put(struct cellar_buffer *to, const struct cellar_rule *rule,
                                   uint32_t depth)
{
    if (rule == NULL || rule->kind == CELLAR_RULE_NONE) {
        return cellar_wire_put_nil(to);
    }
    if (depth > CELLAR_GC_RULE_DEPTH_MAX || rule->child_count > CELLAR_GC_RULE_BYTES_MAX ||
        rule->kind > CELLAR_RULE_INTERSECTION ||
        (rule->child_count > 0 && rule->children == NULL)) {
        return CELLAR_INVALID_ARGUMENT;
    }
    CELLAR_TRY(cellar_wire_put_array(to, 2));
    CELLAR_TRY(cellar_wire_put_u64(to, (uint64_t)rule->kind));
    if (rule->kind == CELLAR_RULE_VERSIONS || rule->kind == CELLAR_RULE_AGE) {
        return cellar_wire_put_i64(to, rule->amount);
    }
    CELLAR_ASSERT(rule->kind >= CELLAR_RULE_UNION);
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)rule->child_count));
    for (size_t index = 0; index < rule->child_count; index++) {
        CELLAR_TRY(rule_put(to, &rule->children[index], depth + 1));
    }
    return CELLAR_OK;
}

/* The error for a rule that rule_put() refused. */
static enum cellar_status rule_refuse(struct cellar_error *error, const char *name)
{
    CELLAR_ASSERT(name != NULL);
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "The rule of family '%.64s' must be a tree of known kinds, at most %u "
                            "deep",
                            name, CELLAR_GC_RULE_DEPTH_MAX);
}

/* Appends [name, rule]; a failure leaves a part of it behind, and the schema is dead then. */
static enum cellar_status family_put(struct cellar_buffer *to, const char *name,
                                     const struct cellar_rule *rule)
{
    CELLAR_ASSERT(name != NULL);
    CELLAR_TRY(cellar_wire_put_array(to, 2));
    CELLAR_TRY(cellar_wire_put_text(to, cellar_slice_text(name)));
    return rule_put(to, rule, 1);
}

void cellar_schema_family(struct cellar_schema *schema, const char *name,
                          const struct cellar_rule *rule)
{
    if (schema == NULL || schema->error.code != CELLAR_OK) {
        return;
    }
    CELLAR_ASSERT(name != NULL);
    if (schema->family_count == FAMILY_COUNT_MAX) {
        (void)cellar_error_set(&schema->error, CELLAR_INVALID_ARGUMENT,
                               "A table must have at most %u families", FAMILY_COUNT_MAX);
        return;
    }
    enum cellar_status status = family_put(&schema->families, name, rule);
    if (status == CELLAR_OK) {
        schema->family_count++;
    } else if (status == CELLAR_NO_MEMORY) {
        (void)cellar_error_set(&schema->error, status, "No memory for a schema");
    } else {
        (void)rule_refuse(&schema->error, name);
    }
}

void cellar_schema_split(struct cellar_schema *schema, struct cellar_view key)
{
    if (schema == NULL || schema->error.code != CELLAR_OK) {
        return;
    }
    CELLAR_ASSERT(key.data != NULL || key.bytes == 0);
    if (schema->split_count == SPLIT_COUNT_MAX) {
        (void)cellar_error_set(&schema->error, CELLAR_INVALID_ARGUMENT,
                               "A table must have at most %u split keys", SPLIT_COUNT_MAX);
        return;
    }
    if (key.bytes > CELLAR_ROW_BYTES_MAX) {
        (void)cellar_error_set(&schema->error, CELLAR_INVALID_ARGUMENT,
                               "A split key must have at most %u bytes, but got %zu",
                               CELLAR_ROW_BYTES_MAX, key.bytes);
        return;
    }
    if (cellar_wire_put_bytes(&schema->splits, cellar_view_slice(key)) != CELLAR_OK) {
        (void)cellar_error_set(&schema->error, CELLAR_NO_MEMORY, "No memory for a schema");
        return;
    }
    schema->split_count++;
}

void cellar_schema_granularity(struct cellar_schema *schema,
                               enum cellar_table_granularity granularity)
{
    CELLAR_ASSERT(granularity == CELLAR_TABLE_MILLIS || granularity == CELLAR_TABLE_MICROS);
    if (schema != NULL) {
        schema->granularity = granularity;
    }
}

enum cellar_status cellar_schema_error(const struct cellar_schema *schema,
                                       struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    if (schema == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a schema");
    }
    *error = schema->error;
    return error->code;
}

enum cellar_status cellar_schema_fill(const struct cellar_schema *schema,
                                      struct cellar_msg_create_table_request *message,
                                      struct cellar_buffer *families, struct cellar_buffer *splits)
{
    CELLAR_ASSERT(schema->error.code == CELLAR_OK);
    CELLAR_ASSERT(families->bytes == 0 && splits->bytes == 0);
    CELLAR_TRY(cellar_wire_put_array(families, schema->family_count));
    CELLAR_TRY(cellar_buffer_append(families, schema->families.data, schema->families.bytes));
    message->families = cellar_slice_of(families);
    if (schema->split_count > 0) {
        CELLAR_TRY(cellar_wire_put_array(splits, schema->split_count));
        CELLAR_TRY(cellar_buffer_append(splits, schema->splits.data, schema->splits.bytes));
        message->split_keys = cellar_slice_of(splits);
    }
    message->granularity = (uint64_t)schema->granularity;
    return CELLAR_OK;
}

/* Appends [action, name, rule]; a failure leaves a part of it behind. */
static enum cellar_status change_put(struct cellar_buffer *to,
                                     const struct cellar_family_change *change)
{
    CELLAR_ASSERT(change->name != NULL);
    CELLAR_TRY(cellar_wire_put_array(to, 3));
    CELLAR_TRY(cellar_wire_put_u64(to, (uint64_t)change->action));
    CELLAR_TRY(cellar_wire_put_text(to, cellar_slice_text(change->name)));
    return rule_put(to, change->rule, 1);
}

enum cellar_status cellar_family_changes_put(struct cellar_buffer *to,
                                             const struct cellar_family_change *changes,
                                             size_t count, struct cellar_error *error)
{
    CELLAR_ASSERT(to->bytes == 0 && (changes != NULL || count == 0));
    if (count > CHANGE_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A request must have at most %u changes of families, but got %zu",
                                CHANGE_COUNT_MAX, count);
    }
    enum cellar_status status = cellar_wire_put_array(to, (uint32_t)count);
    for (size_t index = 0; status == CELLAR_OK && index < count; index++) {
        status = change_put(to, &changes[index]);
        if (status == CELLAR_INVALID_ARGUMENT) {
            return rule_refuse(error, changes[index].name);
        }
    }
    return status == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, status, "No memory for changes of families");
}
