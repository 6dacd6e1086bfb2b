/*
 * Frame headers: 12 bytes, big-endian, in front of every payload on a native connection.
 *
 *      0       4       8    10   11   12
 *     +-------+-------+----+----+----+---------------
 *     | bytes |  id   | op |kind|flag| payload ...
 *     +-------+-------+----+----+----+---------------
 *
 * cellar_frame_decode() checks what makes the stream unreadable when it is wrong: length, kind and
 * flags. Whether an id may be used or an operation exists is for the session to say, since those
 * have answers of their own. The encoder asserts what the decoder checks.
 *
 * Messages longer than one payload are cut here into frames with MORE set; joining them is the
 * reader's, which has the limits and the memory for it. No state, any thread. PROTOCOL.md,
 * "Frames".
 */

#include "common/frame.h"

#include <string.h>

const uint8_t cellar_preface[CELLAR_PREFACE_BYTES] = {0x93, 'C', 'E', 'L', 'L', 'A', 'R', '\n'};

/* By number; numbers that no operation has are NULL. */
static const char *const operation_texts[] = {
    [CELLAR_OP_NONE] = "NONE",
    [CELLAR_OP_HELLO] = "HELLO",
    [CELLAR_OP_PING] = "PING",
    [CELLAR_OP_SERVER_INFO] = "SERVER_INFO",
    [CELLAR_OP_CREATE_TABLE] = "CREATE_TABLE",
    [CELLAR_OP_DESCRIBE_TABLE] = "DESCRIBE_TABLE",
    [CELLAR_OP_LIST_TABLES] = "LIST_TABLES",
    [CELLAR_OP_DROP_TABLE] = "DROP_TABLE",
    [CELLAR_OP_MODIFY_FAMILIES] = "MODIFY_FAMILIES",
    [CELLAR_OP_DROP_ROWS] = "DROP_ROWS",
    [CELLAR_OP_SCRUB] = "SCRUB",
    [CELLAR_OP_COMPACT] = "COMPACT",
    [CELLAR_OP_BULK_BEGIN] = "BULK_BEGIN",
    [CELLAR_OP_BULK_ROWS] = "BULK_ROWS",
    [CELLAR_OP_BULK_COMMIT] = "BULK_COMMIT",
    [CELLAR_OP_BULK_ABORT] = "BULK_ABORT",
    [CELLAR_OP_MUTATE_ROW] = "MUTATE_ROW",
    [CELLAR_OP_MUTATE_ROWS] = "MUTATE_ROWS",
    [CELLAR_OP_READ_ROWS] = "READ_ROWS",
};

static bool kind_is_known(uint8_t kind)
{
    return kind >= CELLAR_FRAME_REQUEST && kind <= CELLAR_FRAME_GOAWAY;
}

void cellar_frame_encode(const struct cellar_frame *frame, uint8_t *to)
{
    CELLAR_ASSERT(frame->payload_bytes <= CELLAR_FRAME_PAYLOAD_BYTES_MAX);
    CELLAR_ASSERT(kind_is_known(frame->kind));
    cellar_put_u32be(to, frame->payload_bytes);
    cellar_put_u32be(to + 4, frame->request_id);
    cellar_put_u16be(to + 8, frame->operation);
    to[10] = frame->kind;
    to[11] = frame->has_more ? CELLAR_FRAME_MORE : 0;
}

enum cellar_status cellar_frame_decode(const uint8_t *from, struct cellar_frame *frame,
                                       struct cellar_error *error)
{
    CELLAR_ASSERT(from != NULL && frame != NULL);
    struct cellar_frame found = {
        .payload_bytes = cellar_get_u32be(from),
        .request_id = cellar_get_u32be(from + 4),
        .operation = cellar_get_u16be(from + 8),
        .kind = from[10],
        .has_more = (from[11] & CELLAR_FRAME_MORE) != 0,
    };
    if (found.payload_bytes > CELLAR_FRAME_PAYLOAD_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Frame length must be at most %u bytes, but got %u",
                                CELLAR_FRAME_PAYLOAD_BYTES_MAX, found.payload_bytes);
    }
    if (!kind_is_known(found.kind)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Frame kind must be 1 to 7, but got %u", found.kind);
    }
    if ((from[11] & ~CELLAR_FRAME_MORE) != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Frame flags must be 0 or 1 (MORE), but got %u", from[11]);
    }
    CELLAR_ASSERT(kind_is_known(found.kind));
    *frame = found;
    return CELLAR_OK;
}

/* Writes one frame, header and payload; returns the first byte behind it. */
static uint8_t *frame_put(uint8_t *to, const struct cellar_frame *frame,
                          struct cellar_slice payload, bool has_more)
{
    CELLAR_ASSERT(payload.bytes <= CELLAR_FRAME_PAYLOAD_BYTES_MAX);
    struct cellar_frame piece = *frame;
    piece.payload_bytes = (uint32_t)payload.bytes;
    piece.has_more = has_more;
    cellar_frame_encode(&piece, to);
    to += CELLAR_FRAME_HEADER_BYTES;
    if (payload.bytes > 0) {
        memcpy(to, payload.data, payload.bytes);
    }
    return to + payload.bytes;
}

enum cellar_status cellar_frame_append(struct cellar_buffer *to, const struct cellar_frame *frame,
                                       struct cellar_slice payload)
{
    CELLAR_ASSERT(payload.bytes == 0 || payload.data != NULL);
    size_t frame_count = payload.bytes / CELLAR_FRAME_PAYLOAD_BYTES_MAX + 1;
    CELLAR_TRY(cellar_buffer_reserve(to, payload.bytes + frame_count * CELLAR_FRAME_HEADER_BYTES));
    uint8_t *at = to->data + to->bytes;
    while (payload.bytes > CELLAR_FRAME_PAYLOAD_BYTES_MAX) {
        struct cellar_slice part = cellar_slice_make(payload.data, CELLAR_FRAME_PAYLOAD_BYTES_MAX);
        at = frame_put(at, frame, part, true);
        payload.data += part.bytes;
        payload.bytes -= part.bytes;
    }
    at = frame_put(at, frame, payload, false);
    to->bytes = (size_t)(at - to->data);
    CELLAR_ASSERT(to->bytes <= to->capacity);
    return CELLAR_OK;
}

const char *cellar_operation_text(uint16_t operation)
{
    static_assert(CELLAR_ARRAY_COUNT(operation_texts) == CELLAR_OP_READ_ROWS + 1,
                  "a new operation needs its text here");
    return operation < CELLAR_ARRAY_COUNT(operation_texts) ? operation_texts[operation] : NULL;
}
