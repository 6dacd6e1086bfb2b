/*
 * One encoder and one decoder for every message body, driven by a table of the message's fields.
 *
 * message_list.h names each message and field once. From it message.h makes a structure a message,
 * and this file a constant table that says for each field its number, kind and place in that
 * structure. The code below walks the table and knows no message by name.
 *
 * A body is a map from field numbers to values. Decoding zeroes the structure, then takes the map's
 * pairs in any order and notes each in `present`; a field that comes twice, has a value of the
 * wrong kind, or is not in the table is refused (a client steps over the last). Values are not
 * interpreted: a RAW field is checked to be one well-formed value and handed on as bytes.
 *
 * Encoding writes by ascending number those fields that are not zero or are marked present, so that
 * equal structures give equal bytes. Slices borrow from the body; no state; any thread.
 * PROTOCOL.md, "Frames" and "Operations".
 */

#include "common/message.h"

#include <string.h>

/* The enumerators under the short names that message_list.h uses. */
enum {
    KIND_u64 = CELLAR_FIELD_U64,
    KIND_i64 = CELLAR_FIELD_I64,
    KIND_bool = CELLAR_FIELD_BOOL,
    KIND_text = CELLAR_FIELD_TEXT,
    KIND_bytes = CELLAR_FIELD_BYTES,
    KIND_raw = CELLAR_FIELD_RAW
};

/*
 * A field list calls its argument as F(number, kind, name) and does not say whose list it is, which
 * offsetof must know. So FIELD_OF(error) stands for F: it expands to the first half of a row, up to
 * the structure, and FIELD_REST, which then meets the parenthesis, writes the other half.
 */
/* clang-format off */
#define FIELD_OF(message) {.offset = __builtin_offsetof(struct cellar_msg_##message, FIELD_REST
#define FIELD_REST(field_number, field_kind, field_name)                                           \
    field_name), .name = #field_name, .number = field_number, .kind = KIND_##field_kind},
/* clang-format on */

#define MESSAGE_TYPE(NAME, message)                                                                \
    static const struct cellar_message_field message##_fields[] = {                                \
        CELLAR_MESSAGE_FIELDS_##NAME(FIELD_OF(message))};                                          \
    const struct cellar_message_type cellar_msg_##message##_type = {                               \
        .name = #message,                                                                          \
        .fields = message##_fields,                                                                \
        .field_count = CELLAR_ARRAY_COUNT(message##_fields),                                       \
        .struct_bytes = sizeof(struct cellar_msg_##message)};
CELLAR_MESSAGE_LIST(MESSAGE_TYPE)

/* What a value of each kind must be, for people. */
static const char *const kind_texts[] = {
    [CELLAR_FIELD_U64] = "an integer >= 0", [CELLAR_FIELD_I64] = "an integer of 64 bits",
    [CELLAR_FIELD_BOOL] = "a boolean",      [CELLAR_FIELD_TEXT] = "text",
    [CELLAR_FIELD_BYTES] = "bytes",         [CELLAR_FIELD_RAW] = "one well-formed value",
};

/* The field of that number, or NULL. */
static const struct cellar_message_field *field_find(const struct cellar_message_type *type,
                                                     uint64_t number)
{
    for (uint32_t index = 0; index < type->field_count; index++) {
        if (type->fields[index].number == number) {
            CELLAR_ASSERT(type->fields[index].offset < type->struct_bytes);
            return &type->fields[index];
        }
    }
    return NULL;
}

/* Takes a value of the field's kind and stores it at `to`; false when it is of another kind. */
static bool value_get(struct cellar_cursor *from, enum cellar_field_kind kind, void *to)
{
    switch (kind) {
    case CELLAR_FIELD_U64:
        return cellar_wire_get_u64(from, to);
    case CELLAR_FIELD_I64:
        return cellar_wire_get_i64(from, to);
    case CELLAR_FIELD_BOOL:
        return cellar_wire_get_bool(from, to);
    case CELLAR_FIELD_TEXT:
        return cellar_wire_get_text(from, to);
    case CELLAR_FIELD_BYTES:
        return cellar_wire_get_bytes(from, to);
    case CELLAR_FIELD_RAW:
        return cellar_wire_skip(from, to);
    }
    CELLAR_ASSERT(kind <= CELLAR_FIELD_RAW);
    return false;
}

/* Takes the value of a field that the type does not have. */
static enum cellar_status unknown_decode(const struct cellar_message_type *type, uint64_t number,
                                         struct cellar_cursor *from,
                                         enum cellar_message_unknown unknown,
                                         struct cellar_error *error)
{
    CELLAR_ASSERT(field_find(type, number) == NULL);
    if (unknown == CELLAR_UNKNOWN_REFUSE) {
        return cellar_error_set(error, CELLAR_UNIMPLEMENTED, "%s has no field %llu", type->name,
                                (unsigned long long)number);
    }
    if (!cellar_wire_skip(from, NULL)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "%s: field %llu must be one well-formed value", type->name,
                                (unsigned long long)number);
    }
    return CELLAR_OK;
}

/* Takes the value of a known field into the message. */
static enum cellar_status field_decode(const struct cellar_message_type *type,
                                       const struct cellar_message_field *field,
                                       struct cellar_cursor *from, void *message,
                                       struct cellar_error *error)
{
    uint32_t *present = message;
    uint32_t bit = UINT32_C(1) << field->number;
    CELLAR_ASSERT(bit != 1);
    if ((*present & bit) != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "%s: field %u (%s) comes twice",
                                type->name, field->number, field->name);
    }
    if (!value_get(from, field->kind, (uint8_t *)message + field->offset)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "%s: field %u (%s) must be %s",
                                type->name, field->number, field->name, kind_texts[field->kind]);
    }
    *present |= bit;
    return CELLAR_OK;
}

enum cellar_status cellar_message_decode(const struct cellar_message_type *type,
                                         struct cellar_slice body, void *message,
                                         enum cellar_message_unknown unknown,
                                         struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(body);
    uint32_t pair_count;
    CELLAR_ASSERT(message != NULL);
    CELLAR_ASSERT(type->struct_bytes > sizeof(uint32_t));
    memset(message, 0, type->struct_bytes);
    if (!cellar_wire_get_map(&from, &pair_count)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "%s must be a map", type->name);
    }
    for (uint32_t index = 0; index < pair_count; index++) {
        uint64_t number;
        if (!cellar_wire_get_u64(&from, &number)) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "%s: field numbers must be integers >= 0", type->name);
        }
        const struct cellar_message_field *field = field_find(type, number);
        if (field == NULL) {
            CELLAR_TRY(unknown_decode(type, number, &from, unknown, error));
        } else {
            CELLAR_TRY(field_decode(type, field, &from, message, error));
        }
    }
    if (from.at != from.end) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "%s: %zu bytes behind the map",
                                type->name, cellar_cursor_left(&from));
    }
    return CELLAR_OK;
}

/* True when a field is to be sent: it is marked present or has a value. */
static bool field_is_sent(const struct cellar_message_field *field, const void *message)
{
    const void *at = (const uint8_t *)message + field->offset;
    uint32_t present;
    memcpy(&present, message, sizeof present);
    CELLAR_ASSERT(field->number >= 1 && field->number < 32);
    if ((present >> field->number & 1u) != 0) {
        return true;
    }
    switch ((enum cellar_field_kind)field->kind) {
    case CELLAR_FIELD_U64:
        return *(const uint64_t *)at != 0;
    case CELLAR_FIELD_I64:
        return *(const int64_t *)at != 0;
    case CELLAR_FIELD_BOOL:
        return *(const bool *)at;
    case CELLAR_FIELD_TEXT:
    case CELLAR_FIELD_BYTES:
    case CELLAR_FIELD_RAW:
        return ((const struct cellar_slice *)at)->bytes > 0;
    }
    return false;
}

static enum cellar_status value_put(struct cellar_buffer *to, enum cellar_field_kind kind,
                                    const void *at)
{
    switch (kind) {
    case CELLAR_FIELD_U64:
        return cellar_wire_put_u64(to, *(const uint64_t *)at);
    case CELLAR_FIELD_I64:
        return cellar_wire_put_i64(to, *(const int64_t *)at);
    case CELLAR_FIELD_BOOL:
        return cellar_wire_put_bool(to, *(const bool *)at);
    case CELLAR_FIELD_TEXT:
        return cellar_wire_put_text(to, *(const struct cellar_slice *)at);
    case CELLAR_FIELD_BYTES:
        return cellar_wire_put_bytes(to, *(const struct cellar_slice *)at);
    case CELLAR_FIELD_RAW: {
        const struct cellar_slice *value = at;
        CELLAR_ASSERT(value->bytes > 0);
        return cellar_buffer_append(to, value->data, value->bytes);
    }
    }
    CELLAR_ASSERT(kind <= CELLAR_FIELD_RAW);
    return CELLAR_OK;
}

/* Appends the map; a failure leaves a part of it behind. */
static enum cellar_status fields_encode(const struct cellar_message_type *type, const void *message,
                                        struct cellar_buffer *to)
{
    uint32_t sent_count = 0;
    for (uint32_t index = 0; index < type->field_count; index++) {
        sent_count += field_is_sent(&type->fields[index], message) ? 1u : 0u;
    }
    CELLAR_TRY(cellar_wire_put_map(to, sent_count));
    for (uint32_t index = 0; index < type->field_count; index++) {
        const struct cellar_message_field *field = &type->fields[index];
        if (field_is_sent(field, message)) {
            CELLAR_TRY(cellar_wire_put_u64(to, field->number));
            CELLAR_TRY(value_put(to, field->kind, (const uint8_t *)message + field->offset));
        }
    }
    return CELLAR_OK;
}

enum cellar_status cellar_message_encode(const struct cellar_message_type *type,
                                         const void *message, struct cellar_buffer *to)
{
    CELLAR_ASSERT(message != NULL);
    size_t bytes_before = to->bytes;
    enum cellar_status status = fields_encode(type, message, to);
    if (status != CELLAR_OK) {
        to->bytes = bytes_before;
    }
    CELLAR_ASSERT((status == CELLAR_OK) == (to->bytes > bytes_before));
    return status;
}
