/*
 * Mutations between bytes and structures, one at a time: a list of 100,000 is never held decoded.
 *
 * A mutation is an array whose first element is its kind; the table `arities` says how many
 * elements each kind has, and one function a kind reads the rest. What is checked here can be seen
 * in the bytes alone: forms, sizes, timestamps not below -1, time ranges. Families are looked up
 * and granularity is checked by the tablet layer, which has the schema, and so a family's name is
 * only measured here.
 *
 * A refusal begins "Error in field 'Mutation list' : Error in element #<index> : " whatever it is;
 * clients of the cloud's API compare some of these texts (R-MUT-04). A kind that this build does
 * not know is UNIMPLEMENTED, as an unknown field is: it may be a newer client's. Slices borrow from
 * the request; no state; any thread. PROTOCOL.md, "Mutations".
 */

#include "common/mutation.h"

#define KIND_COUNT (CELLAR_MUTATION_DELETE_ROW + 1)
#define ENCODED_HEADERS_BYTES_MAX 64u /* array, kind, two timestamps, three lengths: 1+9+18+15 */

/* Elements of each kind's array, the kind included. */
static const uint32_t arities[KIND_COUNT] = {
    [CELLAR_MUTATION_SET] = 5,
    [CELLAR_MUTATION_DELETE_COLUMN] = 5,
    [CELLAR_MUTATION_DELETE_FAMILY] = 2,
    [CELLAR_MUTATION_DELETE_ROW] = 1,
};

enum cellar_status cellar_mutation_list_decode(struct cellar_cursor *from, uint32_t *count,
                                               struct cellar_error *error)
{
    struct cellar_cursor at = *from;
    uint32_t found;
    if (!cellar_wire_get_array(&at, &found)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'Mutation list' : must be an array");
    }
    if (found == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "No mutations provided");
    }
    if (found > CELLAR_MUTATION_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Too many mutations: %u provided; limit %u", found,
                                CELLAR_MUTATION_COUNT_MAX);
    }
    CELLAR_ASSERT(at.at > from->at);
    *count = found;
    *from = at;
    return CELLAR_OK;
}

/* Reads a family's name, which every kind but DELETE_ROW has first. */
static enum cellar_status family_decode(struct cellar_cursor *from, struct cellar_slice *family,
                                        struct cellar_error *error)
{
    if (!cellar_wire_get_text(from, family)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "family must be text or bytes");
    }
    if (family->bytes == 0 || family->bytes > CELLAR_FAMILY_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Family names must have 1 to %u characters, but got %zu",
                                CELLAR_FAMILY_BYTES_MAX, family->bytes);
    }
    CELLAR_ASSERT(family->data != NULL);
    return CELLAR_OK;
}

static enum cellar_status column_decode(struct cellar_cursor *from,
                                        struct cellar_mutation *mutation,
                                        struct cellar_error *error)
{
    CELLAR_TRY(family_decode(from, &mutation->family, error));
    if (!cellar_wire_get_bytes(from, &mutation->qualifier)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "qualifier must be bytes");
    }
    CELLAR_ASSERT(mutation->qualifier.data != NULL);
    return cellar_qualifier_check(mutation->qualifier, error);
}

/* Reads a timestamp, or `absent` for nil. */
static enum cellar_status time_decode(struct cellar_cursor *from, const char *name, int64_t absent,
                                      int64_t *time_us, struct cellar_error *error)
{
    CELLAR_ASSERT(name != NULL);
    if (cellar_wire_get_nil(from)) {
        *time_us = absent;
        return CELLAR_OK;
    }
    if (!cellar_wire_get_i64(from, time_us)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "%s must be nil or an integer of at most 63 bits", name);
    }
    return CELLAR_OK;
}

static enum cellar_status value_check(struct cellar_slice value, struct cellar_error *error)
{
    CELLAR_ASSERT(value.data != NULL || value.bytes == 0);
    if (value.bytes > CELLAR_VALUE_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Cell values must be at most %u bytes, but got %zu",
                                CELLAR_VALUE_BYTES_MAX, value.bytes);
    }
    return CELLAR_OK;
}

static enum cellar_status set_decode(struct cellar_cursor *from, struct cellar_mutation *mutation,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(mutation->kind == CELLAR_MUTATION_SET);
    CELLAR_TRY(column_decode(from, mutation, error));
    CELLAR_TRY(
        time_decode(from, "timestamp", CELLAR_TIMESTAMP_SERVER, &mutation->timestamp_us, error));
    if (mutation->timestamp_us < CELLAR_TIMESTAMP_SERVER) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Timestamps must be >= -1, but got %lld",
                                (long long)mutation->timestamp_us);
    }
    if (!cellar_wire_get_bytes(from, &mutation->value)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "value must be bytes");
    }
    return value_check(mutation->value, error);
}

static enum cellar_status delete_column_decode(struct cellar_cursor *from,
                                               struct cellar_mutation *mutation,
                                               struct cellar_error *error)
{
    CELLAR_ASSERT(mutation->kind == CELLAR_MUTATION_DELETE_COLUMN);
    CELLAR_TRY(column_decode(from, mutation, error));
    CELLAR_TRY(time_decode(from, "start", 0, &mutation->start_us, error));
    CELLAR_TRY(time_decode(from, "end", 0, &mutation->end_us, error));
    if (mutation->start_us < 0 || mutation->end_us < 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "time_range bounds must be >= 0, but got %lld and %lld",
                                (long long)mutation->start_us, (long long)mutation->end_us);
    }
    if (mutation->end_us != 0 && mutation->start_us >= mutation->end_us) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "time_range start must be less than its end, but got %lld and "
                                "%lld",
                                (long long)mutation->start_us, (long long)mutation->end_us);
    }
    return CELLAR_OK;
}

/* Reads what stands behind the kind. */
static enum cellar_status body_decode(struct cellar_cursor *from, struct cellar_mutation *mutation,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(mutation->kind < KIND_COUNT);
    switch (mutation->kind) {
    case CELLAR_MUTATION_SET:
        return set_decode(from, mutation, error);
    case CELLAR_MUTATION_DELETE_COLUMN:
        return delete_column_decode(from, mutation, error);
    case CELLAR_MUTATION_DELETE_FAMILY:
        return family_decode(from, &mutation->family, error);
    case CELLAR_MUTATION_DELETE_ROW:
    case CELLAR_MUTATION_ADD:
    case CELLAR_MUTATION_MERGE:
        break;
    }
    return CELLAR_OK;
}

/* Reads the array header and the kind, and checks that they fit each other. */
static enum cellar_status kind_decode(struct cellar_cursor *from, struct cellar_mutation *mutation,
                                      struct cellar_error *error)
{
    uint32_t count;
    uint64_t kind;
    if (!cellar_wire_get_array(from, &count) || count == 0 || !cellar_wire_get_u64(from, &kind)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "must be an array that begins with the mutation's kind");
    }
    if (kind >= KIND_COUNT) {
        return cellar_error_set(error, CELLAR_UNIMPLEMENTED,
                                "mutations of kind %llu are not implemented",
                                (unsigned long long)kind);
    }
    CELLAR_ASSERT(arities[kind] > 0);
    if (count != arities[kind]) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "mutations of kind %u must have %u elements, but got %u",
                                (unsigned)kind, arities[kind], count);
    }
    mutation->kind = (enum cellar_mutation_kind)kind;
    return CELLAR_OK;
}

enum cellar_status cellar_mutation_decode(struct cellar_cursor *from, uint32_t index,
                                          struct cellar_mutation *mutation,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(index < CELLAR_MUTATION_COUNT_MAX);
    struct cellar_cursor at = *from;
    struct cellar_mutation found = {.kind = CELLAR_MUTATION_SET};
    enum cellar_status status = kind_decode(&at, &found, error);
    if (status == CELLAR_OK) {
        status = body_decode(&at, &found, error);
    }
    if (status != CELLAR_OK) {
        cellar_error_prefix(error, "Error in field 'Mutation list' : Error in element #%u ", index);
        return status;
    }
    CELLAR_ASSERT(at.at > from->at && at.at <= from->end);
    CELLAR_ASSERT(found.end_us == 0 || found.start_us < found.end_us);
    *mutation = found;
    *from = at;
    return CELLAR_OK;
}

/* Writes a timestamp, nil where it is `absent`. */
static enum cellar_status time_encode(struct cellar_buffer *to, int64_t time_us, int64_t absent)
{
    return time_us == absent ? cellar_wire_put_nil(to) : cellar_wire_put_i64(to, time_us);
}

/* Writes the elements behind the kind; the buffer has room. */
static enum cellar_status body_encode(struct cellar_buffer *to,
                                      const struct cellar_mutation *mutation)
{
    CELLAR_ASSERT(mutation->kind < KIND_COUNT);
    if (mutation->kind == CELLAR_MUTATION_DELETE_ROW) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_wire_put_text(to, mutation->family));
    if (mutation->kind == CELLAR_MUTATION_DELETE_FAMILY) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_wire_put_bytes(to, mutation->qualifier));
    if (mutation->kind == CELLAR_MUTATION_DELETE_COLUMN) {
        CELLAR_TRY(time_encode(to, mutation->start_us, 0));
        return time_encode(to, mutation->end_us, 0);
    }
    CELLAR_TRY(time_encode(to, mutation->timestamp_us, CELLAR_TIMESTAMP_SERVER));
    return cellar_wire_put_bytes(to, mutation->value);
}

enum cellar_status cellar_mutation_encode(struct cellar_buffer *to,
                                          const struct cellar_mutation *mutation)
{
    CELLAR_ASSERT(mutation->kind < KIND_COUNT);
    CELLAR_TRY(cellar_buffer_reserve(to, ENCODED_HEADERS_BYTES_MAX + mutation->family.bytes +
                                             mutation->qualifier.bytes + mutation->value.bytes));
    CELLAR_TRY(cellar_wire_put_array(to, arities[mutation->kind]));
    CELLAR_TRY(cellar_wire_put_u64(to, mutation->kind));
    return body_encode(to, mutation);
}
