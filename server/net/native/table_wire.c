/*
 * Tables in requests and replies: families, rules and split keys from their MessagePack forms, and
 * a described table as the TABLE body.
 *
 * What comes from a client is checked as it is taken apart, and refused with the place of the
 * element that is wrong. Counts are the client's word, so each has a limit that comes before the
 * memory for it. What is decoded borrows names from the request's body; arrays and rules are the
 * arena's. Pure: no socket, no lock, any thread. PROTOCOL.md, section 3.
 */
#include "server/net/native/table_wire.h"

#include <inttypes.h>

#include "common/message.h"

#define SPLIT_KEY_COUNT_MAX 100000u
#define FAMILY_COUNT_MAX 1000u

static enum cellar_status refuse_memory(struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an administrative request");
}

/* ---- requests -------------------------------------------------------------------------------- */

/* One element of the families: [name, rule]. */
static enum cellar_status decode_family(struct cellar_cursor *from, uint32_t index,
                                        struct cellar_arena *arena, struct svc_family *family,
                                        struct cellar_error *error)
{
    uint32_t count = 0;
    *family = (struct svc_family){.rule = {.kind = CELLAR_GC_NONE}};
    if (!cellar_wire_get_array(from, &count) || count < 1 || count > 2 ||
        !cellar_wire_get_text(from, &family->name)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'families' : Error in element #%" PRIu32
                                " : expected [name, rule]",
                                index);
    }
    if (count == 2 && cellar_gc_rule_decode(from, arena, &family->rule, error) != CELLAR_OK) {
        cellar_error_prefix(error, "Error in field 'families' : Error in element #%" PRIu32, index);
        return error->code;
    }
    CELLAR_ASSERT(family->name.data != NULL);
    return CELLAR_OK;
}

/* Opens an array of at most `count_max` elements; absent is empty. The limit comes before any
 * memory: the element count is the client's word. */
static enum cellar_status decode_array(struct cellar_cursor *from, const char *field,
                                       uint32_t count_max, uint32_t *count,
                                       struct cellar_error *error)
{
    *count = 0;
    if (cellar_cursor_left(from) > 0 && !cellar_wire_get_array(from, count)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field '%s' : expected an array", field);
    }
    if (*count > count_max) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field '%s' : at most %" PRIu32 " elements, but got "
                                "%" PRIu32,
                                field, count_max, *count);
    }
    CELLAR_ASSERT(*count <= count_max);
    return CELLAR_OK;
}

/* The array has been checked to lie whole in the field, element by element, so at the end nothing
 * is left of it. */
enum cellar_status net_families_decode(struct cellar_slice raw, struct cellar_arena *arena,
                                       struct svc_table *table, struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(raw);
    uint32_t count = 0;
    CELLAR_TRY(decode_array(&from, "families", FAMILY_COUNT_MAX, &count, error));
    struct svc_family *families = cellar_arena_alloc(arena, count * sizeof *families);
    if (families == NULL) {
        return refuse_memory(error);
    }
    for (uint32_t i = 0; i < count; i++) {
        CELLAR_TRY(decode_family(&from, i, arena, &families[i], error));
    }
    CELLAR_ASSERT(cellar_cursor_left(&from) == 0);
    table->families = families;
    table->family_count = count;
    return CELLAR_OK;
}

/* Keys are checked by the service, which knows what a row key is; here they are only bytes. */
enum cellar_status net_split_keys_decode(struct cellar_slice raw, struct cellar_arena *arena,
                                         struct svc_table *table, struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(raw);
    uint32_t count = 0;
    CELLAR_TRY(decode_array(&from, "split_keys", SPLIT_KEY_COUNT_MAX, &count, error));
    struct cellar_slice *keys = cellar_arena_alloc(arena, count * sizeof *keys);
    if (keys == NULL) {
        return refuse_memory(error);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!cellar_wire_get_bytes(&from, &keys[i])) {
            return cellar_error_set(
                error, CELLAR_INVALID_ARGUMENT,
                "Error in field 'split_keys' : Error in element #%" PRIu32 " : expected bytes", i);
        }
    }
    CELLAR_ASSERT(cellar_cursor_left(&from) == 0);
    table->split_keys = keys;
    table->split_key_count = count;
    return CELLAR_OK;
}

/* One change: [action, name, rule]. The action is checked here too, as a number that fits no enum
 * must not become one; that a drop has no rule is the service's to say. */
static enum cellar_status decode_change(struct cellar_cursor *from, struct cellar_arena *arena,
                                        struct svc_family_change *change,
                                        struct cellar_error *error)
{
    uint32_t count = 0;
    uint64_t action = 0;
    struct svc_family family = {.rule = {.kind = CELLAR_GC_NONE}};
    if (!cellar_wire_get_array(from, &count) || count < 2 || count > 3 ||
        !cellar_wire_get_u64(from, &action) || !cellar_wire_get_text(from, &family.name)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "expected [action, name, rule]");
    }
    if (action > SVC_FAMILY_DROP) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "the action must be 0 (create), 1 (update) or 2 (drop), but is "
                                "%" PRIu64,
                                action);
    }
    if (count == 3) {
        CELLAR_TRY(cellar_gc_rule_decode(from, arena, &family.rule, error));
    }
    CELLAR_ASSERT(family.name.data != NULL);
    *change = (struct svc_family_change){(enum svc_family_action)action, family};
    return CELLAR_OK;
}

/* An empty list is handed on: that a request must change something is not a matter of its form. */
enum cellar_status net_changes_decode(struct cellar_slice raw, struct cellar_arena *arena,
                                      struct svc_family_changes *changes,
                                      struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(raw);
    uint32_t count = 0;
    CELLAR_TRY(decode_array(&from, "changes", SVC_FAMILY_CHANGE_COUNT_MAX, &count, error));
    struct svc_family_change *decoded = cellar_arena_alloc(arena, count * sizeof *decoded);
    if (decoded == NULL) {
        return refuse_memory(error);
    }
    for (uint32_t i = 0; i < count; i++) {
        enum cellar_status status = decode_change(&from, arena, &decoded[i], error);
        if (status != CELLAR_OK) {
            cellar_error_prefix(error, "Error in field 'changes' : Error in element #%" PRIu32, i);
            return status;
        }
    }
    CELLAR_ASSERT(cellar_cursor_left(&from) == 0);
    changes->changes = decoded;
    changes->count = count;
    return CELLAR_OK;
}

/* ---- replies --------------------------------------------------------------------------------- */

/* Families as the service gives them, which is by name. */
static enum cellar_status put_families(struct cellar_buffer *to, const struct svc_table *table)
{
    CELLAR_ASSERT(table->family_count <= UINT32_MAX);
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)table->family_count));
    for (size_t i = 0; i < table->family_count; i++) {
        CELLAR_TRY(cellar_wire_put_array(to, 2));
        CELLAR_TRY(cellar_wire_put_text(to, table->families[i].name));
        CELLAR_TRY(cellar_gc_rule_encode(&table->families[i].rule, to));
    }
    return CELLAR_OK;
}

/* Bounds as bytes, empty for none; clients build their map of a table from these. */
static enum cellar_status put_tablets(struct cellar_buffer *to, const struct svc_table *table)
{
    CELLAR_ASSERT(table->tablet_count <= UINT32_MAX);
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)table->tablet_count));
    for (size_t i = 0; i < table->tablet_count; i++) {
        CELLAR_TRY(cellar_wire_put_array(to, 3));
        CELLAR_TRY(cellar_wire_put_bytes(to, table->tablets[i].start));
        CELLAR_TRY(cellar_wire_put_bytes(to, table->tablets[i].end));
        CELLAR_TRY(cellar_wire_put_u64(to, table->tablets[i].store_id));
    }
    return CELLAR_OK;
}

/* The TABLE body, from made or described. Families and tablets are encoded apart first, as fields
 * of a message are slices. */
enum cellar_status net_table_encode(const struct svc_table *table, struct cellar_buffer *to,
                                    struct cellar_error *error)
{
    struct cellar_buffer families = {0};
    struct cellar_buffer tablets = {0};
    CELLAR_ASSERT(table->name.bytes > 0);
    enum cellar_status status = put_families(&families, table);
    if (status == CELLAR_OK) {
        status = put_tablets(&tablets, table);
    }
    if (status == CELLAR_OK) {
        struct cellar_msg_table_reply reply = {
            .name = table->name,
            .families = cellar_slice_of(&families),
            .granularity = (uint64_t)table->granularity,
            .tablets = cellar_slice_of(&tablets),
            .schema_version = table->schema_version,
        };
        status = cellar_message_encode(&cellar_msg_table_reply_type, &reply, to);
    }
    cellar_buffer_fini(&families);
    cellar_buffer_fini(&tablets);
    return status == CELLAR_OK ? CELLAR_OK : refuse_memory(error);
}
