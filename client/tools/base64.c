/*
 * Base64 both ways, strictly.
 *
 * Three bytes are four digits of six bits; the last group is filled with '='. Decoding accepts one
 * text for each bytes and no other: no line breaks, no missing padding, no bits behind the last
 * byte. So what was exported and imported again is the same, and a damaged file is noticed. Pure;
 * any thread.
 */

#include "client/tools/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum cellar_status cellar_base64_encode(struct cellar_slice bytes, struct cellar_buffer *to)
{
    size_t text_bytes = (bytes.bytes + 2) / 3 * 4;
    CELLAR_ASSERT(bytes.bytes <= SIZE_MAX / 2);
    CELLAR_TRY(cellar_buffer_reserve(to, text_bytes));
    for (size_t index = 0; index < bytes.bytes; index += 3) {
        size_t left = bytes.bytes - index;
        uint32_t bits = (uint32_t)bytes.data[index] << 16;
        bits |= left > 1 ? (uint32_t)bytes.data[index + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)bytes.data[index + 2] : 0;
        const char group[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                               left > 1 ? digits[bits >> 6 & 63] : '=',
                               left > 2 ? digits[bits & 63] : '='};
        CELLAR_TRY(cellar_buffer_append(to, group, sizeof group));
    }
    return CELLAR_OK;
}

/* The six bits of a digit, or 64. */
static uint32_t digit_value(uint8_t digit)
{
    const char *found = digit == '\0' ? NULL : strchr(digits, digit);
    CELLAR_ASSERT(sizeof digits == 65);
    return found == NULL ? 64u : (uint32_t)(found - digits);
}

/* Decodes one group of four into 1 to 3 bytes; 0 when it is malformed. */
static size_t group_decode(const uint8_t *text, bool is_last, uint8_t bytes[3])
{
    /* Padding stands in the last group only: one '=' for two bytes, two for one. */
    size_t padding = !is_last || text[3] != '=' ? 0u : text[2] != '=' ? 1u : 2u;
    uint32_t bits = 0;
    CELLAR_ASSERT(padding <= 2);
    for (size_t index = 0; index < 4 - padding; index++) {
        uint32_t value = digit_value(text[index]);
        if (value > 63) {
            return 0;
        }
        bits = bits << 6 | value;
    }
    bits <<= 6 * padding;
    bytes[0] = (uint8_t)(bits >> 16);
    bytes[1] = (uint8_t)(bits >> 8);
    bytes[2] = (uint8_t)bits;
    bool has_rest =
        (padding == 1 && bytes[2] != 0) || (padding == 2 && (bytes[1] != 0 || bytes[2] != 0));
    return has_rest ? 0 : 3 - padding;
}

enum cellar_status cellar_base64_decode(struct cellar_slice text, struct cellar_buffer *to)
{
    size_t bytes_before = to->bytes;
    if (text.bytes % 4 != 0) {
        return CELLAR_INVALID_ARGUMENT;
    }
    CELLAR_TRY(cellar_buffer_reserve(to, text.bytes / 4 * 3));
    for (size_t index = 0; index < text.bytes; index += 4) {
        uint8_t bytes[3];
        size_t count = group_decode(text.data + index, index + 4 == text.bytes, bytes);
        if (count == 0) {
            to->bytes = bytes_before;
            return CELLAR_INVALID_ARGUMENT;
        }
        CELLAR_ASSERT(to->capacity - to->bytes >= count);
        memcpy(to->data + to->bytes, bytes, count);
        to->bytes += count;
    }
    return CELLAR_OK;
}
