/*
 * Event lines on standard error.
 *
 * A line is built on the stack and handed to the kernel in one write(2); there is no lock, no
 * buffer kept between lines and no allocation, so any thread may log at any moment, also when
 * memory is out. What standard error does not take is lost: logging never fails its caller.
 *
 *     time (UTC, microseconds)  level  event  formatted text, control bytes as \xNN
 *
 * Bytes from 0x80 up pass unchanged: values are UTF-8 more often than not. A line has 1,024 bytes
 * at most, its newline included; a longer one is cut, never inside an escape.
 *
 * The lowest level written is one atomic, the only state here; any thread.
 */
#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define LOG_LINE_BYTES_MAX 1024u

static _Atomic int log_level_lowest = CELLAR_LOG_INFO;

static const char *const log_level_names[] = {
    [CELLAR_LOG_DEBUG] = "debug",
    [CELLAR_LOG_INFO] = "info",
    [CELLAR_LOG_WARN] = "warn",
    [CELLAR_LOG_ERROR] = "error",
};

/* A line in the making; one byte is kept back for the newline. */
struct log_line {
    char text[LOG_LINE_BYTES_MAX];
    size_t bytes;
};

void cellar_log_level_set(enum cellar_log_level level)
{
    CELLAR_ASSERT((size_t)level < CELLAR_ARRAY_COUNT(log_level_names));
    atomic_store(&log_level_lowest, (int)level);
}

bool cellar_log_level_decode(const char *text, enum cellar_log_level *level)
{
    CELLAR_ASSERT(text != NULL && level != NULL);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(log_level_names); i++) {
        if (strcmp(text, log_level_names[i]) == 0) {
            *level = (enum cellar_log_level)i;
            return true;
        }
    }
    return false;
}

/* Adds one byte as it is shown; false when the line has no room for it. */
static bool log_line_put(struct log_line *line, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    char shown[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    bool is_control = byte < 0x20 || byte == 0x7f;
    size_t bytes = is_control ? sizeof shown : 1;
    if (line->bytes + bytes > LOG_LINE_BYTES_MAX - 1) {
        return false;
    }
    if (is_control) {
        memcpy(line->text + line->bytes, shown, sizeof shown);
    } else {
        line->text[line->bytes] = (char)byte;
    }
    line->bytes += bytes;
    CELLAR_ASSERT(line->bytes < LOG_LINE_BYTES_MAX);
    return true;
}

static void log_line_text(struct log_line *line, const char *text)
{
    while (*text != '\0' && log_line_put(line, (uint8_t)*text)) {
        text++;
    }
}

/* Adds the time as 2026-01-31T12:00:00.123456Z. */
static void log_line_time(struct log_line *line, int64_t real_us)
{
    int64_t seconds = real_us / 1000000;
    int64_t micros = real_us % 1000000;
    if (micros < 0) {
        seconds--;
        micros += 1000000;
    }
    time_t time = (time_t)seconds;
    struct tm parts = {0};
    struct tm *found = gmtime_r(&time, &parts);
    CELLAR_ASSERT(found == &parts);
    char text[64];
    size_t bytes = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    CELLAR_ASSERT(bytes > 0);
    (void)snprintf(text + bytes, sizeof text - bytes, ".%06dZ", (int)micros);
    log_line_text(line, text);
}

void cellar_log(enum cellar_log_level level, const char *event, const char *format, ...)
{
    CELLAR_ASSERT((size_t)level < CELLAR_ARRAY_COUNT(log_level_names));
    CELLAR_ASSERT(event != NULL && event[0] != '\0');
    if ((int)level < atomic_load_explicit(&log_level_lowest, memory_order_relaxed)) {
        return;
    }
    struct log_line line = {.bytes = 0};
    log_line_time(&line, cellar_clock_real_us());
    log_line_text(&line, " ");
    log_line_text(&line, log_level_names[level]);
    log_line_text(&line, " ");
    log_line_text(&line, event);
    char text[LOG_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    CELLAR_ASSERT(length >= 0);
    if (length > 0) {
        log_line_text(&line, " ");
        log_line_text(&line, text);
    }
    line.text[line.bytes] = '\n';
    ssize_t written = write(STDERR_FILENO, line.text, line.bytes + 1);
    (void)written;
}
