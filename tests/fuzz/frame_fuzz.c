/*
 * Frame headers from any bytes: the input is a stream of frames as a peer may send it. What decodes
 * must encode to the same 12 bytes, what is refused must name a reason, and the payload that a
 * header announces must be inside the limit. The payloads are joined and sent through
 * cellar_frame_append(), which must give one frame back with the same payload.
 */
#include <string.h>

#include "common/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Checks one header; returns false when it was refused. */
static bool header_check(const uint8_t *header, struct cellar_frame *frame)
{
    struct cellar_error error = {0};
    uint8_t again[CELLAR_FRAME_HEADER_BYTES];
    if (cellar_frame_decode(header, frame, &error) != CELLAR_OK) {
        CELLAR_ASSERT(error.code == CELLAR_INVALID_ARGUMENT);
        CELLAR_ASSERT(error.text[0] != '\0');
        return false;
    }
    CELLAR_ASSERT(frame->payload_bytes <= CELLAR_FRAME_PAYLOAD_BYTES_MAX);
    cellar_frame_encode(frame, again);
    CELLAR_ASSERT(memcmp(header, again, sizeof again) == 0);
    const char *text = cellar_operation_text(frame->operation);
    CELLAR_ASSERT(text == NULL || text[0] != '\0');
    return true;
}

/* Sends a payload as one message and reads the frame back. */
static void append_check(const struct cellar_frame *frame, struct cellar_slice payload)
{
    struct cellar_buffer stream = {0};
    struct cellar_frame back;
    if (cellar_frame_append(&stream, frame, payload) == CELLAR_OK) {
        CELLAR_ASSERT(stream.bytes == CELLAR_FRAME_HEADER_BYTES + payload.bytes);
        CELLAR_ASSERT(header_check(stream.data, &back));
        CELLAR_ASSERT(back.payload_bytes == payload.bytes && !back.has_more);
        CELLAR_ASSERT(back.request_id == frame->request_id);
    }
    cellar_buffer_fini(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_make(data, bytes));
    struct cellar_slice header;
    struct cellar_slice payload;
    struct cellar_frame frame;
    while (cellar_cursor_take(&from, CELLAR_FRAME_HEADER_BYTES, &header) &&
           header_check(header.data, &frame) &&
           cellar_cursor_take(&from, frame.payload_bytes, &payload)) {
        append_check(&frame, payload);
    }
    return 0;
}
