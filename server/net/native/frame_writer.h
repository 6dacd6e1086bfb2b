#ifndef CELLAR_NET_FRAME_WRITER_H
#define CELLAR_NET_FRAME_WRITER_H

#include "common/buf.h"
#include "common/frame.h"

/*
 * Messages written straight into a connection's output: the header's place is left open, the
 * payload is appended behind it by whoever makes it, and the header is filled in when the length is
 * known.
 */

/**
 * Leaves room for a header at the end of `to`.
 *
 * @param start  receives where the message begins, for the calls below
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status net_message_begin(struct cellar_buffer *to, size_t *start) CELLAR_MUST_USE;

/**
 * Ends a message: everything behind the header is its payload, which is cut into frames where it is
 * larger than one may be.
 *
 * @param frame  id, operation and kind; its length and MORE are ignored
 * @return CELLAR_OK; CELLAR_NO_MEMORY: `to` holds what it held before, for net_message_undo()
 */
enum cellar_status net_message_end(struct cellar_buffer *to, size_t start,
                                   const struct cellar_frame *frame) CELLAR_MUST_USE;

/** Takes a message out again that was begun at `start`. */
void net_message_undo(struct cellar_buffer *to, size_t start);

/** The payload's length so far. */
size_t net_message_payload_bytes(const struct cellar_buffer *to, size_t start);

/** Appends an ERROR message; its text is made valid UTF-8. CELLAR_NO_MEMORY leaves `to` as it was.
 * */
enum cellar_status net_error_append(struct cellar_buffer *to, uint32_t request_id,
                                    uint16_t operation, const struct cellar_error *error)
    CELLAR_MUST_USE;

/** Replaces in place every byte that is not part of valid UTF-8 by '?'. */
void net_text_repair(char *text);

#endif
