#ifndef CELLAR_COMMON_WIRE_H
#define CELLAR_COMMON_WIRE_H

#include "common/buf.h"

/*
 * Bounded MessagePack. Writers append to a buffer, always in the shortest form of a value (positive
 * integers unsigned); readers take from a cursor and accept every form that the MessagePack
 * specification allows for the kind of value asked for. A reader that returns false leaves the
 * cursor where it was. Nothing recurses deeper than CELLAR_WIRE_DEPTH_MAX.
 */

#define CELLAR_WIRE_DEPTH_MAX 32u

enum cellar_wire_kind {
    CELLAR_WIRE_NIL,
    CELLAR_WIRE_BOOL,
    CELLAR_WIRE_INTEGER,
    CELLAR_WIRE_TEXT,
    CELLAR_WIRE_BYTES,
    CELLAR_WIRE_ARRAY,
    CELLAR_WIRE_MAP,
    CELLAR_WIRE_OTHER, /* floats, extensions and the byte C1 */
    CELLAR_WIRE_END    /* no byte left */
};

/** Each appends one value, or a container's header; CELLAR_NO_MEMORY leaves `to` as it was. */
enum cellar_status cellar_wire_put_nil(struct cellar_buffer *to) CELLAR_MUST_USE;
enum cellar_status cellar_wire_put_bool(struct cellar_buffer *to, bool value) CELLAR_MUST_USE;
enum cellar_status cellar_wire_put_u64(struct cellar_buffer *to, uint64_t value) CELLAR_MUST_USE;
enum cellar_status cellar_wire_put_i64(struct cellar_buffer *to, int64_t value) CELLAR_MUST_USE;
enum cellar_status cellar_wire_put_text(struct cellar_buffer *to, struct cellar_slice value)
    CELLAR_MUST_USE;
enum cellar_status cellar_wire_put_bytes(struct cellar_buffer *to, struct cellar_slice value)
    CELLAR_MUST_USE;
enum cellar_status cellar_wire_put_array(struct cellar_buffer *to, uint32_t count) CELLAR_MUST_USE;
enum cellar_status cellar_wire_put_map(struct cellar_buffer *to, uint32_t count) CELLAR_MUST_USE;

/**
 * Raw writers for hot paths: `to` has room (9 bytes for an integer, 5 + bytes for bytes and text, 5
 * for an array).
 *
 * @return the first byte behind what was written
 */
uint8_t *cellar_wire_raw_u64(uint8_t *to, uint64_t value);
uint8_t *cellar_wire_raw_text(uint8_t *to, struct cellar_slice value);
uint8_t *cellar_wire_raw_bytes(uint8_t *to, struct cellar_slice value);
uint8_t *cellar_wire_raw_array(uint8_t *to, uint32_t count);

/** The kind of the next value, without moving. */
enum cellar_wire_kind cellar_wire_peek(const struct cellar_cursor *from);

/** Each takes one value; false, with nothing moved or written, when the next is of another kind. */
bool cellar_wire_get_nil(struct cellar_cursor *from);
bool cellar_wire_get_bool(struct cellar_cursor *from, bool *value);
bool cellar_wire_get_u64(struct cellar_cursor *from, uint64_t *value);
bool cellar_wire_get_i64(struct cellar_cursor *from, int64_t *value);
/** Text or bytes; the slice borrows from the cursor. Both accept str and bin. */
bool cellar_wire_get_text(struct cellar_cursor *from, struct cellar_slice *value);
bool cellar_wire_get_bytes(struct cellar_cursor *from, struct cellar_slice *value);
/**
 * Array and map headers; the count is not above the bytes left (an element takes a byte at least, a
 * pair two).
 */
bool cellar_wire_get_array(struct cellar_cursor *from, uint32_t *count);
bool cellar_wire_get_map(struct cellar_cursor *from, uint32_t *count);

/**
 * Steps over one whole value of any kind, nested to CELLAR_WIRE_DEPTH_MAX; `value` (may be NULL)
 * receives its bytes.
 */
bool cellar_wire_skip(struct cellar_cursor *from, struct cellar_slice *value);

#endif
