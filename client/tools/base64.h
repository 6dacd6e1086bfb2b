#ifndef CELLAR_TOOLS_BASE64_H
#define CELLAR_TOOLS_BASE64_H

#include "common/buf.h"

/* RFC 4648 base64 with padding, as {"b64":".."} holds it. */

/** Appends the base64 of `bytes`; CELLAR_NO_MEMORY. */
enum cellar_status cellar_base64_encode(struct cellar_slice bytes, struct cellar_buffer *to)
    CELLAR_MUST_USE;

/**
 * Appends the bytes that `text` stands for.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT for anything but whole groups of four with the right
 *         padding and no bits left over; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_base64_decode(struct cellar_slice text, struct cellar_buffer *to)
    CELLAR_MUST_USE;

#endif
