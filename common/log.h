#ifndef CELLAR_COMMON_LOG_H
#define CELLAR_COMMON_LOG_H

#include "common/base.h"

/*
 * Structured event lines on standard error, one event a line:
 *
 *     2026-01-31T12:00:00.123456Z info checkpoint store=3 rows=120 us=5400
 *
 * `event` is a lower_case_word; the format adds key=value pairs and quotes values itself where
 * needed. One write(2) a line, so that lines of several threads do not mix.
 */

enum cellar_log_level { CELLAR_LOG_DEBUG, CELLAR_LOG_INFO, CELLAR_LOG_WARN, CELLAR_LOG_ERROR };

/** Sets the lowest level that is written, CELLAR_LOG_INFO at start. Any thread. */
void cellar_log_level_set(enum cellar_log_level level);

/** Reads "debug", "info", "warn" or "error"; false for anything else. */
bool cellar_log_level_decode(const char *text, enum cellar_log_level *level);

/** Writes one event; lines are cut at 1 KiB, control bytes are shown as \xNN. Any thread, never
 * blocks on a lock. */
void cellar_log(enum cellar_log_level level, const char *event, const char *format, ...)
    CELLAR_PRINTF(3, 4);

#endif
