#ifndef CELLAR_TOOLS_ESCAPE_H
#define CELLAR_TOOLS_ESCAPE_H

#include "common/buf.h"

/*
 * Bytes as text that a terminal shows and an argument takes back: UTF-8 as it is, everything that
 * is not printable, and the backslash, as \xNN.
 */

/** What is escaped beside that; bits. */
enum cellar_escape_also {
    CELLAR_ESCAPE_PLAIN = 0,
    CELLAR_ESCAPE_WORD = 1,  /* spaces and '=': a qualifier, which stands between other things */
    CELLAR_ESCAPE_PROSE = 2, /* less: a sentence keeps its backslashes, and is not read back */
};

/** Appends `bytes` escaped; CELLAR_NO_MEMORY. */
enum cellar_status cellar_escape_encode(struct cellar_slice bytes, enum cellar_escape_also also,
                                        struct cellar_buffer *to) CELLAR_MUST_USE;

/**
 * Appends the bytes that an argument stands for: \xNN is a byte, \\ a backslash.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming an escape that is none; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_escape_decode(struct cellar_slice text, struct cellar_buffer *to,
                                        struct cellar_error *error) CELLAR_MUST_USE;

/** True for a character that a terminal may obey, hide or turn around instead of showing it. */
bool cellar_escape_is_hidden(uint32_t code);

/**
 * The length of the UTF-8 character at the start of `bytes`.
 *
 * @param code  receives the code point
 * @return 1..4, or 0 where there is none (empty, cut, overlong, a surrogate, above 10FFFF)
 */
size_t cellar_utf8_next(struct cellar_slice bytes, uint32_t *code);

/** True when all of `bytes` is UTF-8. */
bool cellar_utf8_check(struct cellar_slice bytes);

#endif
