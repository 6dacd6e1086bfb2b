/*
 * The owned, growing bytes of buf.h; slices, cursors and fixed-width integers are inline there.
 *
 * A buffer doubles when it is full, so that n appended bytes cost O(n). Growing is the only step
 * that can fail, and it is done before a byte is written: after CELLAR_NO_MEMORY the buffer is what
 * it was. Nothing here limits the size: whoever fills a buffer from outside knows the limit and its
 * name.
 *
 * Invariants: bytes <= capacity; data is NULL exactly when capacity is 0.
 * A buffer belongs to one thread at a time; its owner ends it with cellar_buffer_fini().
 */
#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/mem.h"

#define BUFFER_CAPACITY_MIN 64u

static void buffer_check(const struct cellar_buffer *buffer)
{
    CELLAR_ASSERT(buffer->bytes <= buffer->capacity);
    CELLAR_ASSERT((buffer->data == NULL) == (buffer->capacity == 0));
}

enum cellar_status cellar_buffer_reserve(struct cellar_buffer *buffer, size_t more)
{
    buffer_check(buffer);
    if (more <= buffer->capacity - buffer->bytes) {
        return CELLAR_OK;
    }
    if (more > (size_t)PTRDIFF_MAX - buffer->bytes) {
        return CELLAR_NO_MEMORY;
    }
    /* No overflow: both are at most PTRDIFF_MAX. */
    size_t capacity = CELLAR_MAX(buffer->capacity * 2, BUFFER_CAPACITY_MIN);
    capacity = CELLAR_MAX(capacity, buffer->bytes + more);
    uint8_t *data = cellar_mem_realloc(buffer->data, capacity);
    if (data == NULL) {
        return CELLAR_NO_MEMORY;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    CELLAR_ASSERT(buffer->capacity - buffer->bytes >= more);
    return CELLAR_OK;
}

enum cellar_status cellar_buffer_append(struct cellar_buffer *buffer, const void *data,
                                        size_t bytes)
{
    CELLAR_ASSERT(data != NULL || bytes == 0);
    CELLAR_TRY(cellar_buffer_reserve(buffer, bytes));
    if (bytes > 0) {
        memcpy(buffer->data + buffer->bytes, data, bytes);
        buffer->bytes += bytes;
    }
    return CELLAR_OK;
}

enum cellar_status cellar_buffer_printf(struct cellar_buffer *buffer, const char *format, ...)
{
    CELLAR_ASSERT(format != NULL);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CELLAR_ASSERT(length >= 0);
    size_t bytes = (size_t)length;
    CELLAR_TRY(cellar_buffer_reserve(buffer, bytes + 1));
    va_start(arguments, format);
    int written = vsnprintf((char *)buffer->data + buffer->bytes, bytes + 1, format, arguments);
    va_end(arguments);
    CELLAR_ASSERT(written == length);
    buffer->bytes += bytes;
    return CELLAR_OK;
}

void cellar_buffer_consume(struct cellar_buffer *buffer, size_t bytes)
{
    buffer_check(buffer);
    CELLAR_ASSERT(bytes <= buffer->bytes);
    buffer->bytes -= bytes;
    if (buffer->bytes > 0) {
        memmove(buffer->data, buffer->data + bytes, buffer->bytes);
    }
}

void cellar_buffer_fini(struct cellar_buffer *buffer)
{
    buffer_check(buffer);
    cellar_mem_free(buffer->data);
    *buffer = (struct cellar_buffer){0};
}
