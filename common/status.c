/*
 * The result codes and the errors that people read.
 *
 * One table, made from CELLAR_STATUS_LIST of status.h, answers every question about a code; its
 * index is the number on the wire, which the static assertions below hold. An error is a plain
 * structure that its owner passes down: the place that knows why something failed fills it, places
 * above put words before it (cellar_error_prefix()), and nobody frees anything.
 *
 * Texts are formatted into a buffer on the stack first, so that an argument may be the text of the
 * same error, and are cut at CELLAR_ERROR_TEXT_BYTES_MAX - 1 bytes, never inside a UTF-8 character.
 *
 * Pure functions; any thread, an error belongs to one thread at a time. Source: PROTOCOL.md,
 * errors.
 */
#include "common/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct status_row {
    const char *text;
    int grpc;
    bool is_retryable;
};

static const struct status_row status_rows[] = {
#define STATUS_ROW(name, number, text, grpc, retryable) [number] = {text, grpc, retryable},
    CELLAR_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

static_assert(CELLAR_ARRAY_COUNT(status_rows) == CELLAR_STATUS_COUNT, "numbers have no gaps");
#define STATUS_NUMBER_CHECK(name, number, text, grpc, retryable)                                   \
    static_assert((grpc) >= 0 && (grpc) <= 16, "gRPC has the codes 0 to 16");
CELLAR_STATUS_LIST(STATUS_NUMBER_CHECK)
#undef STATUS_NUMBER_CHECK

static const struct status_row *status_row_get(enum cellar_status code)
{
    CELLAR_ASSERT((unsigned int)code < CELLAR_STATUS_COUNT);
    const struct status_row *row = &status_rows[code];
    CELLAR_ASSERT(row->text != NULL);
    return row;
}

const char *cellar_status_text(enum cellar_status code)
{
    return status_row_get(code)->text;
}

int cellar_status_grpc(enum cellar_status code)
{
    return status_row_get(code)->grpc;
}

bool cellar_status_is_retryable(enum cellar_status code)
{
    return status_row_get(code)->is_retryable;
}

/* A number from a peer: a newer one may know more codes than we do, so this answers instead of
 * asserting. */
bool cellar_status_decode(uint64_t number, enum cellar_status *code)
{
    CELLAR_ASSERT(code != NULL);
    if (number >= CELLAR_STATUS_COUNT) {
        return false;
    }
    *code = (enum cellar_status)number;
    return true;
}

void cellar_error_clear(struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    error->code = CELLAR_OK;
    error->retry_delay_ms = 0;
    error->text[0] = '\0';
}

/* How many bytes the UTF-8 character that starts with `lead` should have; 1 for what starts none.
 */
static size_t utf8_bytes(uint8_t lead)
{
    if (lead >= 0xf0) {
        return 4;
    }
    if (lead >= 0xe0) {
        return 3;
    }
    return lead >= 0xc0 ? 2 : 1;
}

/* The greatest length <= `bytes` that does not end inside a character; bytes that are no UTF-8
 * stay. */
static size_t utf8_cut(const char *text, size_t bytes)
{
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        uint8_t byte = (uint8_t)text[bytes - back];
        if ((byte & 0xc0) != 0x80) {
            return utf8_bytes(byte) > back ? bytes - back : bytes;
        }
    }
    return bytes;
}

/* Puts `bytes` bytes of `text` at `used` of the error's text, cut at its limit, with a NUL behind.
 */
static void error_text_put(struct cellar_error *error, size_t used, const char *text, size_t bytes)
{
    size_t bytes_max = CELLAR_ERROR_TEXT_BYTES_MAX - 1;
    CELLAR_ASSERT(used <= bytes_max);
    if (bytes > bytes_max - used) {
        bytes = utf8_cut(text, bytes_max - used);
    }
    memmove(error->text + used, text, bytes);
    error->text[used + bytes] = '\0';
}

/* Formats into `text`, cut at a character when it does not fit; returns the length. */
static CELLAR_PRINTF(2, 0) size_t
    format_cut(char text[CELLAR_ERROR_TEXT_BYTES_MAX], const char *format, va_list arguments)
{
    int length = vsnprintf(text, CELLAR_ERROR_TEXT_BYTES_MAX, format, arguments);
    CELLAR_ASSERT(length >= 0);
    if ((size_t)length < CELLAR_ERROR_TEXT_BYTES_MAX) {
        return (size_t)length;
    }
    return utf8_cut(text, CELLAR_ERROR_TEXT_BYTES_MAX - 1);
}

enum cellar_status cellar_error_set(struct cellar_error *error, enum cellar_status code,
                                    const char *format, ...)
{
    CELLAR_ASSERT((unsigned int)code < CELLAR_STATUS_COUNT);
    if (error == NULL) {
        return code;
    }
    char text[CELLAR_ERROR_TEXT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    size_t bytes = format_cut(text, format, arguments);
    va_end(arguments);
    error->code = code;
    error->retry_delay_ms = 0;
    error_text_put(error, 0, text, bytes);
    return code;
}

void cellar_error_prefix(struct cellar_error *error, const char *format, ...)
{
    CELLAR_ASSERT(format != NULL);
    if (error == NULL) {
        return;
    }
    char old[CELLAR_ERROR_TEXT_BYTES_MAX];
    size_t old_bytes = strnlen(error->text, sizeof old - 1);
    memcpy(old, error->text, old_bytes);
    char text[CELLAR_ERROR_TEXT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    size_t bytes = format_cut(text, format, arguments);
    va_end(arguments);
    error_text_put(error, 0, text, bytes);
    error_text_put(error, bytes, ": ",
                   CELLAR_MIN((size_t)2, CELLAR_ERROR_TEXT_BYTES_MAX - 1 - bytes));
    size_t used = strlen(error->text);
    error_text_put(error, used, old, old_bytes);
}
