#ifndef CELLAR_COMMON_MESSAGE_H
#define CELLAR_COMMON_MESSAGE_H

#include "common/buf.h"
#include "common/mem.h"
#include "common/wire.h"

/*
 * Message bodies. A body is a MessagePack map from small field numbers to values; an absent field
 * has its zero value. message_list.h holds every message and field once; from it come one struct a
 * message (`struct cellar_msg_NAME`), its field table (`cellar_msg_NAME_type`) and so the one
 * encoder and decoder here.
 */

enum cellar_field_kind {
    CELLAR_FIELD_U64,   /* uint64_t */
    CELLAR_FIELD_I64,   /* int64_t */
    CELLAR_FIELD_BOOL,  /* bool */
    CELLAR_FIELD_TEXT,  /* struct cellar_slice, sent as str */
    CELLAR_FIELD_BYTES, /* struct cellar_slice, sent as bin */
    CELLAR_FIELD_RAW    /* struct cellar_slice: one MessagePack value of any kind, as bytes */
};

#include "common/message_list.h"

typedef uint64_t cellar_field_u64;
typedef int64_t cellar_field_i64;
typedef bool cellar_field_bool;
typedef struct cellar_slice cellar_field_text;
typedef struct cellar_slice cellar_field_bytes;
typedef struct cellar_slice cellar_field_raw;

#define CELLAR_MESSAGE_MEMBER(number, kind, name) cellar_field_##kind name;
#define CELLAR_MESSAGE_STRUCT(NAME, name)                                                          \
    struct cellar_msg_##name {                                                                     \
        uint32_t present; /* bit n: field number n was in the map, or is to be sent */             \
        CELLAR_MESSAGE_FIELDS_##NAME(CELLAR_MESSAGE_MEMBER)                                        \
    };
CELLAR_MESSAGE_LIST(CELLAR_MESSAGE_STRUCT)
#undef CELLAR_MESSAGE_STRUCT
#undef CELLAR_MESSAGE_MEMBER

struct cellar_message_field {
    const char *name;
    uint8_t number; /* 1..31 */
    uint8_t kind;   /* enum cellar_field_kind */
    uint16_t offset;
};

struct cellar_message_type {
    const char *name;
    const struct cellar_message_field *fields; /* by ascending number */
    uint32_t field_count;
    uint32_t struct_bytes;
};

#define CELLAR_MESSAGE_TYPE(NAME, name)                                                            \
    extern const struct cellar_message_type cellar_msg_##name##_type;
CELLAR_MESSAGE_LIST(CELLAR_MESSAGE_TYPE)
#undef CELLAR_MESSAGE_TYPE

/** How a decoder takes fields it does not know: a server refuses them, a client steps over them. */
enum cellar_message_unknown { CELLAR_UNKNOWN_REFUSE, CELLAR_UNKNOWN_SKIP };

/**
 * Decodes a body into its struct, which is zeroed first. Slices borrow from `body`.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming message, field and what was expected (not a
 *         map, wrong kind, a field twice, bytes left over); CELLAR_UNIMPLEMENTED naming the number
 *         of an unknown field
 */
enum cellar_status cellar_message_decode(const struct cellar_message_type *type,
                                         struct cellar_slice body, void *message,
                                         enum cellar_message_unknown unknown,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Appends the body: the fields whose bit in `present` is set, and those that are not zero; a raw
 * field that is sent is not empty. CELLAR_NO_MEMORY leaves `to` as it was.
 */
enum cellar_status cellar_message_encode(const struct cellar_message_type *type,
                                         const void *message, struct cellar_buffer *to)
    CELLAR_MUST_USE;

#endif
