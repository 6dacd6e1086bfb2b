#ifndef CELLAR_COMMON_BUF_H
#define CELLAR_COMMON_BUF_H

#include <string.h>

#include "common/base.h"
#include "common/status.h"

/*
 * Bytes: a slice is borrowed, a buffer is owned and grows, a cursor walks borrowed bytes and never
 * leaves them. Fixed-width integers are little-endian (disk) or big-endian (wire, keys) by name.
 */

/** Borrowed bytes; `data` may be NULL only when `bytes` is 0. */
struct cellar_slice {
    const uint8_t *data;
    size_t bytes;
};

/** Owned bytes; zero-initialised is empty. `bytes <= capacity`. Freed with cellar_buffer_fini(). */
struct cellar_buffer {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
};

/** A position in borrowed bytes: what is left lies in [at, end). */
struct cellar_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct cellar_slice cellar_slice_make(const void *data, size_t bytes)
{
    struct cellar_slice slice = {(const uint8_t *)data, bytes};
    return slice;
}

/** The bytes of a NUL-terminated string, without the NUL. */
static inline struct cellar_slice cellar_slice_text(const char *text)
{
    return cellar_slice_make(text, strlen(text));
}

static inline struct cellar_slice cellar_slice_of(const struct cellar_buffer *buffer)
{
    return cellar_slice_make(buffer->data, buffer->bytes);
}

/** Orders by unsigned bytes, a prefix first: < 0, 0, > 0. */
static inline int cellar_slice_compare(struct cellar_slice a, struct cellar_slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.bytes < b.bytes ? -1 : (a.bytes > b.bytes ? 1 : 0);
}

static inline bool cellar_slice_equal(struct cellar_slice a, struct cellar_slice b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static inline bool cellar_slice_has_prefix(struct cellar_slice whole, struct cellar_slice prefix)
{
    return whole.bytes >= prefix.bytes &&
           (prefix.bytes == 0 || memcmp(whole.data, prefix.data, prefix.bytes) == 0);
}

/** Makes room for `more` further bytes; CELLAR_NO_MEMORY leaves the buffer as it was. */
enum cellar_status cellar_buffer_reserve(struct cellar_buffer *buffer, size_t more) CELLAR_MUST_USE;

/** Appends `bytes` bytes; CELLAR_NO_MEMORY leaves the buffer as it was. */
enum cellar_status cellar_buffer_append(struct cellar_buffer *buffer, const void *data,
                                        size_t bytes) CELLAR_MUST_USE;

/** Appends a formatted text without its NUL; CELLAR_NO_MEMORY leaves the buffer as it was. */
enum cellar_status cellar_buffer_printf(struct cellar_buffer *buffer, const char *format, ...)
    CELLAR_PRINTF(2, 3) CELLAR_MUST_USE;

/** Drops the first `bytes` bytes (at most all), moving the rest to the front. */
void cellar_buffer_consume(struct cellar_buffer *buffer, size_t bytes);

/** Empties the buffer and keeps its memory. */
static inline void cellar_buffer_clear(struct cellar_buffer *buffer)
{
    buffer->bytes = 0;
}

/** Frees the memory; the buffer is empty and usable again. */
void cellar_buffer_fini(struct cellar_buffer *buffer);

static inline void cellar_put_u16le(uint8_t *to, uint16_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline void cellar_put_u32le(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline void cellar_put_u64le(uint8_t *to, uint64_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline uint16_t cellar_get_u16le(const uint8_t *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint32_t cellar_get_u32le(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t cellar_get_u64le(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline void cellar_put_u16be(uint8_t *to, uint16_t value)
{
    cellar_put_u16le(to, __builtin_bswap16(value));
}

static inline void cellar_put_u32be(uint8_t *to, uint32_t value)
{
    cellar_put_u32le(to, __builtin_bswap32(value));
}

static inline void cellar_put_u64be(uint8_t *to, uint64_t value)
{
    cellar_put_u64le(to, __builtin_bswap64(value));
}

static inline uint16_t cellar_get_u16be(const uint8_t *from)
{
    return __builtin_bswap16(cellar_get_u16le(from));
}

static inline uint32_t cellar_get_u32be(const uint8_t *from)
{
    return __builtin_bswap32(cellar_get_u32le(from));
}

static inline uint64_t cellar_get_u64be(const uint8_t *from)
{
    return __builtin_bswap64(cellar_get_u64le(from));
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the disk formats are little-endian");

static inline struct cellar_cursor cellar_cursor_make(struct cellar_slice slice)
{
    struct cellar_cursor cursor = {slice.data,
                                   slice.bytes == 0 ? slice.data : slice.data + slice.bytes};
    return cursor;
}

static inline size_t cellar_cursor_left(const struct cellar_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/** Takes `bytes` bytes as a slice; false, with the cursor unmoved, when fewer are left. */
static inline bool cellar_cursor_take(struct cellar_cursor *cursor, size_t bytes,
                                      struct cellar_slice *slice)
{
    if (cellar_cursor_left(cursor) < bytes) {
        return false;
    }
    *slice = cellar_slice_make(cursor->at, bytes);
    cursor->at += bytes;
    return true;
}

static inline bool cellar_cursor_u8(struct cellar_cursor *cursor, uint8_t *value)
{
    struct cellar_slice slice;
    if (!cellar_cursor_take(cursor, 1, &slice)) {
        return false;
    }
    *value = slice.data[0];
    return true;
}

static inline bool cellar_cursor_u16le(struct cellar_cursor *cursor, uint16_t *value)
{
    struct cellar_slice slice;
    if (!cellar_cursor_take(cursor, 2, &slice)) {
        return false;
    }
    *value = cellar_get_u16le(slice.data);
    return true;
}

static inline bool cellar_cursor_u32le(struct cellar_cursor *cursor, uint32_t *value)
{
    struct cellar_slice slice;
    if (!cellar_cursor_take(cursor, 4, &slice)) {
        return false;
    }
    *value = cellar_get_u32le(slice.data);
    return true;
}

static inline bool cellar_cursor_u64le(struct cellar_cursor *cursor, uint64_t *value)
{
    struct cellar_slice slice;
    if (!cellar_cursor_take(cursor, 8, &slice)) {
        return false;
    }
    *value = cellar_get_u64le(slice.data);
    return true;
}

#endif
