#ifndef CELLAR_COMMON_FRAME_H
#define CELLAR_COMMON_FRAME_H

#include "common/buf.h"

/* The 12-byte frame header of the native protocol: PROTOCOL.md, "Frames". */

#define CELLAR_PREFACE_BYTES 8u
#define CELLAR_FRAME_HEADER_BYTES 12u
#define CELLAR_FRAME_PAYLOAD_BYTES_MAX 1048576u
#define CELLAR_FRAME_MORE 0x01u

extern const uint8_t cellar_preface[CELLAR_PREFACE_BYTES]; /* 93 43 45 4C 4C 41 52 0A */

enum cellar_frame_kind {
    CELLAR_FRAME_REQUEST = 1,
    CELLAR_FRAME_REPLY = 2,
    CELLAR_FRAME_PART = 3,
    CELLAR_FRAME_ERROR = 4,
    CELLAR_FRAME_CREDIT = 5,
    CELLAR_FRAME_CANCEL = 6,
    CELLAR_FRAME_GOAWAY = 7
};

enum cellar_operation {
    CELLAR_OP_NONE = 0, /* CREDIT, CANCEL, GOAWAY and errors of the connection */
    CELLAR_OP_HELLO = 1,
    CELLAR_OP_PING = 2,
    CELLAR_OP_SERVER_INFO = 3,
    CELLAR_OP_CREATE_TABLE = 16,
    CELLAR_OP_DESCRIBE_TABLE = 17,
    CELLAR_OP_LIST_TABLES = 18,
    CELLAR_OP_DROP_TABLE = 19,
    CELLAR_OP_MODIFY_FAMILIES = 20,
    CELLAR_OP_DROP_ROWS = 21,
    CELLAR_OP_SCRUB = 22,
    CELLAR_OP_COMPACT = 23,
    CELLAR_OP_BULK_BEGIN = 24,
    CELLAR_OP_BULK_ROWS = 25,
    CELLAR_OP_BULK_COMMIT = 26,
    CELLAR_OP_BULK_ABORT = 27,
    CELLAR_OP_MUTATE_ROW = 32,
    CELLAR_OP_MUTATE_ROWS = 33,
    CELLAR_OP_READ_ROWS = 34
};

struct cellar_frame {
    uint32_t payload_bytes; /* 0..CELLAR_FRAME_PAYLOAD_BYTES_MAX */
    uint32_t request_id;
    uint16_t operation; /* an enum cellar_operation, or a number this build does not know */
    uint8_t kind;       /* an enum cellar_frame_kind, checked */
    bool has_more;      /* the message goes on in the next frame of this id */
};

/** Writes the header to 12 bytes at `to`. */
void cellar_frame_encode(const struct cellar_frame *frame, uint8_t *to);

/**
 * Reads a header.
 *
 * @param from  12 bytes
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming the field and value seen: payload over the
 *         limit, unknown kind, unknown flag bits. The connection must then be closed.
 */
enum cellar_status cellar_frame_decode(const uint8_t *from, struct cellar_frame *frame,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Appends a whole message as one frame or, above the payload limit, as several with MORE set on all
 * but the last. `frame->payload_bytes` and `has_more` are ignored. CELLAR_NO_MEMORY leaves `to` as
 * it was.
 */
enum cellar_status cellar_frame_append(struct cellar_buffer *to, const struct cellar_frame *frame,
                                       struct cellar_slice payload) CELLAR_MUST_USE;

/** "READ_ROWS" and the like, or NULL for a number that is not in the enum. */
const char *cellar_operation_text(uint16_t operation);

#endif
