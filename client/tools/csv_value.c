/*
 * Values of CSV fields.
 *
 * A table from types to functions, each of which takes the field's bytes and appends the cell's.
 * Numbers are written big-endian, as counters and other clients of this data model have them.
 * Nothing is trimmed or guessed: a blank before a number is a mistake that is told. Pure.
 */

#include "client/tools/csv_value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "client/tools/base64.h"
#include "client/tools/escape.h"
#include "client/tools/json.h"

#define NUMBER_BYTES_MAX 400u /* the longest double in plain digits has 309 before its point */

/* What a field should have been. */
static enum cellar_status refuse(struct cellar_error *error, const char *wanted,
                                 struct cellar_slice text)
{
    CELLAR_ASSERT(wanted != NULL);
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "%s, but got '%.*s'%s", wanted,
                            (int)CELLAR_MIN(text.bytes, 60u),
                            text.bytes == 0 ? "" : (const char *)text.data,
                            text.bytes > 60 ? " and more" : "");
}

bool cellar_csv_integer(struct cellar_slice text, int64_t *number)
{
    bool is_negative = text.bytes > 0 && text.data[0] == '-';
    size_t at = text.bytes > 0 && (is_negative || text.data[0] == '+') ? 1 : 0;
    uint64_t most = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
    uint64_t found = 0;
    CELLAR_ASSERT(number != NULL);
    if (at == text.bytes) {
        return false;
    }
    for (; at < text.bytes; at++) {
        uint64_t digit = (uint64_t)text.data[at] - '0';
        if (digit > 9 || found > (most - digit) / 10) {
            return false;
        }
        found = found * 10 + digit;
    }
    *number = is_negative ? (int64_t)(0 - found) : (int64_t)found;
    return true;
}

/* Appends 8 bytes, big-endian. */
static enum cellar_status word_put(struct cellar_buffer *to, uint64_t word)
{
    uint8_t bytes[8];
    cellar_put_u64be(bytes, word);
    CELLAR_ASSERT(to != NULL);
    return cellar_buffer_append(to, bytes, sizeof bytes);
}

static enum cellar_status text_put(struct cellar_slice text, struct cellar_buffer *to,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(to != NULL);
    (void)error;
    return cellar_buffer_append(to, text.data, text.bytes);
}

static enum cellar_status int64_put(struct cellar_slice text, struct cellar_buffer *to,
                                    struct cellar_error *error)
{
    int64_t number = 0;
    CELLAR_ASSERT(to != NULL);
    return cellar_csv_integer(text, &number)
               ? word_put(to, (uint64_t)number)
               : refuse(error, "int64 wants a decimal number of 64 bits", text);
}

static enum cellar_status float64_put(struct cellar_slice text, struct cellar_buffer *to,
                                      struct cellar_error *error)
{
    static const char wanted[] = "float64 wants a number such as -1.5e3";
    char copy[NUMBER_BYTES_MAX + 1];
    char *end;
    uint64_t word;
    if (text.bytes == 0 || text.bytes > NUMBER_BYTES_MAX || text.data[0] <= ' ') {
        return refuse(error, wanted, text);
    }
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    errno = 0;
    double number = strtod(copy, &end);
    static_assert(sizeof number == sizeof word, "an IEEE double");
    if (end != copy + text.bytes || (errno == ERANGE && isinf(number))) {
        return refuse(error, wanted, text);
    }
    memcpy(&word, &number, sizeof word);
    CELLAR_ASSERT(end > copy);
    return word_put(to, word);
}

static enum cellar_status base64_put(struct cellar_slice text, struct cellar_buffer *to,
                                     struct cellar_error *error)
{
    enum cellar_status status = cellar_base64_decode(text, to);
    CELLAR_ASSERT(to != NULL);
    return status == CELLAR_INVALID_ARGUMENT
               ? refuse(error, "base64 wants whole groups with their padding", text)
               : status;
}

/* The value of a hexadecimal digit, or a number above 15. */
static uint32_t digit_of(uint8_t byte)
{
    uint32_t lower = byte | 0x20u;
    CELLAR_ASSERT(lower <= 0xff);
    if (byte >= '0' && byte <= '9') {
        return byte - (uint32_t)'0';
    }
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

static enum cellar_status hex_put(struct cellar_slice text, struct cellar_buffer *to,
                                  struct cellar_error *error)
{
    static const char wanted[] = "hex wants pairs of hexadecimal digits";
    size_t before = to->bytes;
    if (text.bytes % 2 != 0) {
        return refuse(error, wanted, text);
    }
    for (size_t at = 0; at < text.bytes; at += 2) {
        uint32_t high = digit_of(text.data[at]);
        uint32_t low = digit_of(text.data[at + 1]);
        uint8_t byte = (uint8_t)(high << 4 | low);
        if (high > 15 || low > 15) {
            to->bytes = before;
            return refuse(error, wanted, text);
        }
        CELLAR_TRY(cellar_buffer_append(to, &byte, 1));
    }
    CELLAR_ASSERT(to->bytes == before + text.bytes / 2);
    return CELLAR_OK;
}

static enum cellar_status json_put(struct cellar_slice text, struct cellar_buffer *to,
                                   struct cellar_error *error)
{
    struct cellar_arena arena = {0};
    const struct cellar_json *root;
    enum cellar_status status = cellar_json_read(text, &arena, &root, error);
    cellar_arena_fini(&arena);
    CELLAR_ASSERT(to != NULL);
    return status == CELLAR_OK ? cellar_buffer_append(to, text.data, text.bytes) : status;
}

static enum cellar_status escaped_put(struct cellar_slice text, struct cellar_buffer *to,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(to != NULL);
    return cellar_escape_decode(text, to, error);
}

static const struct {
    const char *name;
    enum cellar_status (*put)(struct cellar_slice text, struct cellar_buffer *to,
                              struct cellar_error *error);
} types[] = {
    [CELLAR_CSV_TEXT] = {"text", text_put},
    [CELLAR_CSV_INT64] = {"int64", int64_put},
    [CELLAR_CSV_FLOAT64] = {"float64", float64_put},
    [CELLAR_CSV_BASE64] = {"base64", base64_put},
    [CELLAR_CSV_HEX] = {"hex", hex_put},
    [CELLAR_CSV_JSON] = {"json", json_put},
    [CELLAR_CSV_ESCAPED] = {"escaped", escaped_put},
};

bool cellar_csv_type_decode(struct cellar_slice name, enum cellar_csv_type *type)
{
    CELLAR_ASSERT(type != NULL);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(types); index++) {
        if (cellar_slice_equal(name, cellar_slice_text(types[index].name))) {
            *type = (enum cellar_csv_type)index;
            return true;
        }
    }
    return false;
}

enum cellar_status cellar_csv_value_decode(struct cellar_slice text, enum cellar_csv_type type,
                                           struct cellar_buffer *to, struct cellar_error *error)
{
    CELLAR_ASSERT((size_t)type < CELLAR_ARRAY_COUNT(types));
    enum cellar_status status = types[type].put(text, to, error);
    return status == CELLAR_NO_MEMORY
               ? cellar_error_set(error, status, "No memory for a value of %zu bytes", text.bytes)
               : status;
}
