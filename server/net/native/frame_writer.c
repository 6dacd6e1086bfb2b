/*
 * Messages in the output buffer; frame_writer.h says how they are made.
 *
 * A payload above the limit of one frame becomes several by moving its pieces apart, last one
 * first, so that each byte moves once. That happens to single large values only: parts of a read
 * are cut at 128 KiB long before.
 *
 * Error texts may quote bytes of a request. MessagePack's str is UTF-8 and some clients refuse
 * anything else, so what is not UTF-8 is replaced on the way out; that includes a character cut in
 * two by the text's limit. PROTOCOL.md, "Frames".
 */
#include "server/net/native/frame_writer.h"

#include <string.h>

#include "common/message.h"

enum cellar_status net_message_begin(struct cellar_buffer *to, size_t *start)
{
    CELLAR_ASSERT(to != NULL && start != NULL);
    CELLAR_TRY(cellar_buffer_reserve(to, CELLAR_FRAME_HEADER_BYTES));
    *start = to->bytes;
    to->bytes += CELLAR_FRAME_HEADER_BYTES;
    return CELLAR_OK;
}

size_t net_message_payload_bytes(const struct cellar_buffer *to, size_t start)
{
    CELLAR_ASSERT(to->bytes >= start + CELLAR_FRAME_HEADER_BYTES);
    return to->bytes - start - CELLAR_FRAME_HEADER_BYTES;
}

void net_message_undo(struct cellar_buffer *to, size_t start)
{
    CELLAR_ASSERT(to->bytes >= start);
    to->bytes = start;
}

/* Writes the header of frame number `index` of the message at `message`, whose pieces are apart
 * already. */
static void put_header(uint8_t *message, size_t index, size_t payload_bytes,
                       const struct cellar_frame *frame)
{
    size_t max = CELLAR_FRAME_PAYLOAD_BYTES_MAX;
    size_t before = index * max;
    CELLAR_ASSERT(before <= payload_bytes);
    struct cellar_frame piece = *frame;
    piece.payload_bytes = (uint32_t)CELLAR_MIN(max, payload_bytes - before);
    piece.has_more = frame->has_more || before + piece.payload_bytes < payload_bytes;
    cellar_frame_encode(&piece, message + before + index * CELLAR_FRAME_HEADER_BYTES);
}

enum cellar_status net_message_end(struct cellar_buffer *to, size_t start,
                                   const struct cellar_frame *frame)
{
    size_t max = CELLAR_FRAME_PAYLOAD_BYTES_MAX;
    size_t payload_bytes = net_message_payload_bytes(to, start);
    size_t extra_count = payload_bytes == 0 ? 0 : (payload_bytes - 1) / max;
    size_t extra_bytes = extra_count * CELLAR_FRAME_HEADER_BYTES;
    CELLAR_TRY(cellar_buffer_reserve(to, extra_bytes));
    uint8_t *message = to->data + start;
    for (size_t index = extra_count; index > 0; index--) {
        uint8_t *from = message + CELLAR_FRAME_HEADER_BYTES + index * max;
        memmove(from + index * CELLAR_FRAME_HEADER_BYTES, from,
                CELLAR_MIN(max, payload_bytes - index * max));
        put_header(message, index, payload_bytes, frame);
    }
    put_header(message, 0, payload_bytes, frame);
    to->bytes += extra_bytes;
    CELLAR_ASSERT(to->bytes <= to->capacity);
    return CELLAR_OK;
}

/* The length of the UTF-8 sequence at `at`, 0 when it is none. */
static size_t sequence_bytes(const uint8_t *at)
{
    size_t count = at[0] < 0x80 ? 1 : (at[0] < 0xC2 ? 0 : (at[0] < 0xE0 ? 2 : 3));
    if (at[0] >= 0xF0) {
        count = at[0] < 0xF5 ? 4 : 0;
    }
    for (size_t i = 1; i < count; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool is_overlong = (at[0] == 0xE0 && count == 3 && at[1] < 0xA0) ||
                       (at[0] == 0xF0 && count == 4 && at[1] < 0x90);
    bool is_outside = (at[0] == 0xED && count == 3 && at[1] > 0x9F) ||
                      (at[0] == 0xF4 && count == 4 && at[1] > 0x8F);
    return is_overlong || is_outside ? 0 : count;
}

void net_text_repair(char *text)
{
    CELLAR_ASSERT(text != NULL);
    uint8_t *at = (uint8_t *)text;
    while (*at != '\0') {
        size_t count = sequence_bytes(at);
        if (count == 0) {
            *at = '?';
            count = 1;
        }
        at += count;
    }
}

enum cellar_status net_error_append(struct cellar_buffer *to, uint32_t request_id,
                                    uint16_t operation, const struct cellar_error *error)
{
    CELLAR_ASSERT(error->code != CELLAR_OK);
    struct cellar_error shown = *error;
    const char *text = shown.text[0] != '\0' ? shown.text : cellar_status_text(shown.code);
    net_text_repair(shown.text);
    struct cellar_msg_error body = {.code = (uint64_t)shown.code,
                                    .text = cellar_slice_text(text),
                                    .retry_delay_ms = shown.retry_delay_ms};
    struct cellar_frame frame = {
        .request_id = request_id, .operation = operation, .kind = CELLAR_FRAME_ERROR};
    size_t start = 0;
    CELLAR_TRY(net_message_begin(to, &start));
    enum cellar_status status = cellar_message_encode(&cellar_msg_error_type, &body, to);
    if (status == CELLAR_OK) {
        status = net_message_end(to, start, &frame);
    }
    if (status != CELLAR_OK) {
        net_message_undo(to, start);
    }
    return status;
}
