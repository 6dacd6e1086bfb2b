/*
 * JSON strings.
 *
 * Whatever a string holds, a terminal only shows it: besides what JSON wants escaped, so is every
 * character that is not seen or that turns the direction of text. Bytes that are not UTF-8 are an
 * object of their own, so that no string is ever guessed at. Pure; appends to the caller's buffer.
 */

#include "client/tools/json_write.h"

#include "client/tools/base64.h"
#include "client/tools/escape.h"

/* Appends a character that is escaped, as one \uXXXX or a pair of surrogates. */
static enum cellar_status character_put(struct cellar_buffer *to, uint32_t code)
{
    static const char names[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    CELLAR_ASSERT(code <= 0x10ffff);
    if (code == '"' || code == '\\') {
        return cellar_buffer_printf(to, "\\%c", (char)code);
    }
    if (code < sizeof names && names[code] != 0) {
        return cellar_buffer_printf(to, "\\%c", names[code]);
    }
    if (code > 0xffff) {
        CELLAR_TRY(cellar_buffer_printf(to, "\\u%04x", 0xd800u + ((code - 0x10000u) >> 10)));
        code = 0xdc00u + ((code - 0x10000u) & 0x3ffu);
    }
    return cellar_buffer_printf(to, "\\u%04x", code);
}

/* The length of the character at the start of `text`, and whether it needs an escape. */
static size_t character_next(struct cellar_slice text, uint32_t *code, bool *is_escaped)
{
    size_t length = cellar_utf8_next(text, code);
    CELLAR_ASSERT(text.bytes > 0);
    if (length == 0) { /* no UTF-8: the caller broke its word, but a reader must not */
        *code = 0xfffd;
    }
    *is_escaped = length == 0 || (*code == '"' || *code == '\\' || cellar_escape_is_hidden(*code));
    return CELLAR_MAX(length, (size_t)1);
}

enum cellar_status cellar_json_put_string(struct cellar_buffer *to, struct cellar_slice text)
{
    size_t plain = 0; /* bytes at the start of what is left that need no escape */
    CELLAR_ASSERT(text.data != NULL || text.bytes == 0);
    CELLAR_TRY(cellar_buffer_append(to, "\"", 1));
    while (plain < text.bytes) {
        uint32_t code;
        bool is_escaped;
        size_t length = character_next(cellar_slice_make(text.data + plain, text.bytes - plain),
                                       &code, &is_escaped);
        if (!is_escaped) {
            plain += length;
            continue;
        }
        CELLAR_TRY(cellar_buffer_append(to, text.data, plain));
        CELLAR_TRY(character_put(to, code));
        text = cellar_slice_make(text.data + plain + length, text.bytes - plain - length);
        plain = 0;
    }
    CELLAR_TRY(cellar_buffer_append(to, text.data, plain));
    return cellar_buffer_append(to, "\"", 1);
}

enum cellar_status cellar_json_put_bytes(struct cellar_buffer *to, struct cellar_slice bytes)
{
    CELLAR_ASSERT(bytes.data != NULL || bytes.bytes == 0);
    if (cellar_utf8_check(bytes)) {
        return cellar_json_put_string(to, bytes);
    }
    CELLAR_TRY(cellar_buffer_append(to, "{\"b64\":\"", 8));
    CELLAR_TRY(cellar_base64_encode(bytes, to));
    return cellar_buffer_append(to, "\"}", 2);
}
