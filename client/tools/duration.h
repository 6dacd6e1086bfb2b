#ifndef CELLAR_TOOLS_DURATION_H
#define CELLAR_TOOLS_DURATION_H

#include "common/buf.h"

/* Durations as people write them: 7d, 1h30m, 500ms. */

#define CELLAR_DURATION_TEXT_BYTES 64u

/**
 * Reads numbers with units (w, d, h, m, s, ms, us), the largest first and each once at most; a bare
 * number is seconds.
 *
 * @param us  receives microseconds, > 0
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what was expected and seen
 */
enum cellar_status cellar_duration_decode(struct cellar_slice text, int64_t *us,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** Writes microseconds >= 0 in the same form, NUL-terminated; "0s" for 0. @return `text` */
const char *cellar_duration_encode(int64_t us, char text[CELLAR_DURATION_TEXT_BYTES]);

#endif
