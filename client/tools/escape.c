/*
 * Escapes for terminals and arguments, and UTF-8.
 *
 * What is shown as it is must be harmless on a terminal: control characters of both sets, line and
 * paragraph separators and the marks that turn the direction of text are escaped byte by byte, as
 * is every byte that is no part of a character. So one value stays on one line, and what is printed
 * can be given back as an argument. Pure; any thread.
 */

#include "client/tools/escape.h"

/* Ranges of code points that are escaped although they are characters. */
static const uint32_t hidden[][2] = {
    {0x00, 0x1f},       /* controls: colours, cursor movements, line ends */
    {0x7f, 0x9f},       /* delete, and the controls of eight bits */
    {0xad, 0xad},       /* the soft hyphen, which is not seen */
    {0x034f, 0x034f},   /* a joiner that is not seen */
    {0x061c, 0x061c},   /* a mark of direction */
    {0x115f, 0x1160},   /* fillers, which are blank */
    {0x17b4, 0x17b5},   /* vowels that are not seen */
    {0x180b, 0x180f},   /* selectors and a separator that are not seen */
    {0x200b, 0x200f},   /* blanks without width, marks of direction */
    {0x2028, 0x202e},   /* line and paragraph ends, turns of direction */
    {0x2060, 0x206f},   /* joiners, isolates of direction */
    {0x3164, 0x3164},   /* a filler */
    {0xfeff, 0xfeff},   /* the byte order mark */
    {0xffa0, 0xffa0},   /* a filler */
    {0xfff0, 0xfffb},   /* unassigned, and marks around annotations */
    {0xe0000, 0xe0fff}, /* tags and selectors, which are not seen */
};

size_t cellar_utf8_next(struct cellar_slice bytes, uint32_t *code)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (bytes.bytes == 0) {
        return 0;
    }
    uint8_t lead = bytes.data[0];
    size_t length = lead < 0x80             ? 1u
                    : (lead & 0xe0) == 0xc0 ? 2u
                    : (lead & 0xf0) == 0xe0 ? 3u
                    : (lead & 0xf8) == 0xf0 ? 4u
                                            : 0u;
    if (length == 0 || length > bytes.bytes) {
        return 0;
    }
    uint32_t found = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (size_t index = 1; index < length; index++) {
        if ((bytes.data[index] & 0xc0) != 0x80) {
            return 0;
        }
        found = found << 6 | (bytes.data[index] & 0x3fu);
    }
    CELLAR_ASSERT(length >= 1 && length <= 4);
    if (found < smallest[length] || found > 0x10ffff || (found >= 0xd800 && found <= 0xdfff)) {
        return 0;
    }
    *code = found;
    return length;
}

bool cellar_utf8_check(struct cellar_slice bytes)
{
    uint32_t code;
    while (bytes.bytes > 0) {
        size_t length = cellar_utf8_next(bytes, &code);
        if (length == 0) {
            return false;
        }
        CELLAR_ASSERT(length <= bytes.bytes);
        bytes = cellar_slice_make(bytes.data + length, bytes.bytes - length);
    }
    return true;
}

bool cellar_escape_is_hidden(uint32_t code)
{
    CELLAR_ASSERT(code <= 0x10ffff);
    if (code >= 0x20 && code < 0x7f) { /* nearly all there is */
        return false;
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(hidden); index++) {
        if (code >= hidden[index][0] && code <= hidden[index][1]) {
            return true;
        }
    }
    return false;
}

/* True when a character is shown as it is. */
static bool is_shown(uint32_t code, enum cellar_escape_also also)
{
    if (also == CELLAR_ESCAPE_WORD && (code == ' ' || code == '=')) {
        return false;
    }
    CELLAR_ASSERT(code <= 0x10ffff);
    return (code != '\\' || also == CELLAR_ESCAPE_PROSE) && !cellar_escape_is_hidden(code);
}

/* Appends bytes as \xNN each. */
static enum cellar_status hex_put(struct cellar_slice bytes, struct cellar_buffer *to)
{
    static const char digits[] = "0123456789abcdef";
    CELLAR_ASSERT(bytes.bytes >= 1);
    for (size_t index = 0; index < bytes.bytes; index++) {
        const char text[4] = {'\\', 'x', digits[bytes.data[index] >> 4],
                              digits[bytes.data[index] & 0xf]};
        CELLAR_TRY(cellar_buffer_append(to, text, sizeof text));
    }
    return CELLAR_OK;
}

enum cellar_status cellar_escape_encode(struct cellar_slice bytes, enum cellar_escape_also also,
                                        struct cellar_buffer *to)
{
    size_t shown = 0; /* bytes at the start that are shown as they are, not yet appended */
    CELLAR_ASSERT(also <= CELLAR_ESCAPE_PROSE);
    while (bytes.bytes > shown) {
        uint32_t code = 0;
        size_t length =
            cellar_utf8_next(cellar_slice_make(bytes.data + shown, bytes.bytes - shown), &code);
        if (length > 0 && is_shown(code, also)) {
            shown += length;
            continue;
        }
        length = CELLAR_MAX(length, (size_t)1);
        CELLAR_TRY(cellar_buffer_append(to, bytes.data, shown));
        CELLAR_TRY(hex_put(cellar_slice_make(bytes.data + shown, length), to));
        bytes = cellar_slice_make(bytes.data + shown + length, bytes.bytes - shown - length);
        shown = 0;
    }
    return cellar_buffer_append(to, bytes.data, shown);
}

/* The value of a hexadecimal digit, or -1. */
static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    uint8_t lower = digit | 0x20; /* letters in lower case, other bytes as what is no letter */
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The byte that the escape at the start of `text` stands for, and the escape's length; 0 if none.
 */
static size_t escape_take(struct cellar_slice text, uint8_t *byte)
{
    CELLAR_ASSERT(text.bytes > 0 && text.data[0] == '\\');
    if (text.bytes >= 2 && text.data[1] == '\\') {
        *byte = '\\';
        return 2;
    }
    if (text.bytes < 4 || text.data[1] != 'x' || hex_value(text.data[2]) < 0 ||
        hex_value(text.data[3]) < 0) {
        return 0;
    }
    *byte = (uint8_t)(hex_value(text.data[2]) << 4 | hex_value(text.data[3]));
    return 4;
}

enum cellar_status cellar_escape_decode(struct cellar_slice text, struct cellar_buffer *to,
                                        struct cellar_error *error)
{
    while (text.bytes > 0) {
        uint8_t byte = text.data[0];
        size_t length = byte == '\\' ? escape_take(text, &byte) : 1;
        if (length == 0) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "'%.*s' is no escape: write \\xNN for a byte and \\\\ for a "
                                    "backslash",
                                    (int)CELLAR_MIN(text.bytes, 4u), (const char *)text.data);
        }
        CELLAR_ASSERT(length <= text.bytes);
        if (cellar_buffer_append(to, &byte, 1) != CELLAR_OK) {
            return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an argument");
        }
        text = cellar_slice_make(text.data + length, text.bytes - length);
    }
    return CELLAR_OK;
}
