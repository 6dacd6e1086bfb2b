/*
 * Cell positions as bytes. Everything here is pure, allocates nothing and runs on any thread.
 *
 * A part of variable length is escaped so that no end of one part can be taken for the inside of
 * another: a byte 00 becomes 00 FF, and 00 01 ends the part. The end sorts below every byte that
 * may stand in its place, 00 FF and 01 to FF alike, so a part sorts behind its own prefixes and
 * memcmp of two whole keys compares part by part. Real keys hold few 00 bytes: the work is left to
 * memchr, which finds them, and memcpy, which copies the runs between them.
 *
 * Family names hold no 00 and are ended by one. Timestamps are inverted, so that the newest comes
 * first, and are never negative, so that the first bit of an inverted one is set: anything else is
 * damage. FORMAT.md, "Keys".
 */

#include "common/key.h"

#include <string.h>

#define ESCAPE_END 0x01u
#define ESCAPE_ZERO 0xFFu

size_t cellar_key_escaped_bytes(struct cellar_slice bytes)
{
    size_t zero_count = 0;
    size_t index = 0;
    while (index < bytes.bytes) {
        const uint8_t *zero = memchr(bytes.data + index, 0, bytes.bytes - index);
        if (zero == NULL) {
            break;
        }
        zero_count++;
        index = (size_t)(zero - bytes.data) + 1;
    }
    CELLAR_ASSERT(zero_count <= bytes.bytes);
    return bytes.bytes + zero_count + 2;
}

uint8_t *cellar_key_put_escaped(uint8_t *to, struct cellar_slice bytes)
{
    CELLAR_ASSERT(bytes.bytes == 0 || bytes.data != NULL);
    const uint8_t *at = bytes.data;
    size_t left = bytes.bytes;
    while (left > 0) {
        const uint8_t *zero = memchr(at, 0, left);
        size_t run = zero == NULL ? left : (size_t)(zero - at) + 1;
        memcpy(to, at, run);
        to += run;
        at += run;
        left -= run;
        if (zero != NULL) {
            *to++ = ESCAPE_ZERO;
        }
    }
    *to++ = 0;
    *to++ = ESCAPE_END;
    return to;
}

uint8_t *cellar_key_put_family(uint8_t *to, struct cellar_slice name, uint32_t generation)
{
    CELLAR_ASSERT(name.bytes >= 1 && name.bytes <= CELLAR_FAMILY_BYTES_MAX);
    CELLAR_ASSERT(memchr(name.data, 0, name.bytes) == NULL);
    memcpy(to, name.data, name.bytes);
    to += name.bytes;
    *to++ = 0;
    cellar_put_u32be(to, generation);
    return to + sizeof generation;
}

uint8_t *cellar_key_put_timestamp(uint8_t *to, int64_t timestamp_us)
{
    CELLAR_ASSERT(timestamp_us >= 0);
    cellar_put_u64be(to, ~(uint64_t)timestamp_us);
    return to + sizeof timestamp_us;
}

size_t cellar_key_escaped_span(struct cellar_slice key)
{
    size_t span = 0;
    while (span < key.bytes) {
        const uint8_t *zero = memchr(key.data + span, 0, key.bytes - span);
        if (zero == NULL) {
            return 0;
        }
        span = (size_t)(zero - key.data) + 2;
        if (span > key.bytes) {
            return 0;
        }
        if (zero[1] == ESCAPE_END) {
            CELLAR_ASSERT(span >= 2);
            return span;
        }
        if (zero[1] != ESCAPE_ZERO) {
            return 0;
        }
    }
    return 0;
}

void cellar_key_pass_row(uint8_t *row_key, size_t bytes)
{
    CELLAR_ASSERT(bytes >= 3 && row_key[bytes - 1] == 0x01);
    row_key[bytes - 1] = 0x02;
}

size_t cellar_key_unescape(struct cellar_slice part, uint8_t *to)
{
    CELLAR_ASSERT(part.bytes >= 2);
    CELLAR_ASSERT(part.data[part.bytes - 1] == ESCAPE_END);
    const uint8_t *at = part.data;
    size_t left = part.bytes - 2;
    uint8_t *start = to;
    while (left > 0) {
        const uint8_t *zero = memchr(at, 0, left);
        if (zero == NULL) {
            memcpy(to, at, left);
            return (size_t)(to - start) + left;
        }
        size_t run = (size_t)(zero - at) + 1;
        CELLAR_ASSERT(run < left);
        memcpy(to, at, run);
        to += run;
        at += run + 1;
        left -= run + 1;
    }
    return (size_t)(to - start);
}

bool cellar_key_split(struct cellar_slice rest, struct cellar_slice *family, uint32_t *generation,
                      struct cellar_slice *qualifier, int64_t *timestamp_us)
{
    size_t name_room = CELLAR_MIN(rest.bytes, (size_t)CELLAR_FAMILY_BYTES_MAX + 1);
    const uint8_t *zero = name_room == 0 ? NULL : memchr(rest.data, 0, name_room);
    if (zero == NULL || zero == rest.data) {
        return false;
    }
    size_t name_bytes = (size_t)(zero - rest.data);
    struct cellar_cursor from = cellar_cursor_make(rest);
    from.at = zero + 1;
    struct cellar_slice number;
    if (!cellar_cursor_take(&from, sizeof *generation, &number)) {
        return false;
    }
    struct cellar_slice column = cellar_slice_make(from.at, cellar_cursor_left(&from));
    size_t span = cellar_key_escaped_span(column);
    if (span == 0 || span > CELLAR_KEY_QUALIFIER_BYTES_MAX ||
        column.bytes - span != sizeof *timestamp_us) {
        return false;
    }
    CELLAR_ASSERT(name_bytes <= CELLAR_FAMILY_BYTES_MAX);
    uint64_t inverted = cellar_get_u64be(column.data + span);
    if (inverted <= (uint64_t)INT64_MAX) {
        return false;
    }
    *family = cellar_slice_make(rest.data, name_bytes);
    *generation = cellar_get_u32be(number.data);
    *qualifier = cellar_slice_make(column.data, span);
    *timestamp_us = (int64_t)~inverted;
    CELLAR_ASSERT(*timestamp_us >= 0);
    return true;
}

/* How many bytes the two have in common from their start; eight at a time. */
static size_t common_bytes(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    CELLAR_ASSERT(bytes == 0 || (a != NULL && b != NULL));
    size_t index = 0;
    for (; bytes - index >= 8; index += 8) {
        uint64_t difference = cellar_get_u64le(a + index) ^ cellar_get_u64le(b + index);
        if (difference != 0) {
            return index + (size_t)__builtin_ctzll(difference) / 8;
        }
    }
    while (index < bytes && a[index] == b[index]) {
        index++;
    }
    return index;
}

size_t cellar_key_separator_bytes(struct cellar_slice before, struct cellar_slice next)
{
    size_t shorter = CELLAR_MIN(before.bytes, next.bytes);
    size_t common = common_bytes(before.data, next.data, shorter);
    CELLAR_ASSERT(common < next.bytes);
    CELLAR_ASSERT(common == before.bytes || before.data[common] < next.data[common]);
    return common + 1;
}
