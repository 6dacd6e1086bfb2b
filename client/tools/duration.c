/*
 * Durations between text and microseconds.
 *
 * One table of units serves both ways, the largest first. What encode writes, decode reads back to
 * the same number; sums that do not fit 63 bits are refused. Pure; any thread.
 */

#include "client/tools/duration.h"

#include <inttypes.h>
#include <stdio.h>

static const struct unit {
    const char *name;
    int64_t us;
} units[] = {
    {"w", INT64_C(604800000000)}, {"d", INT64_C(86400000000)}, {"h", INT64_C(3600000000)},
    {"m", INT64_C(60000000)},     {"s", INT64_C(1000000)},     {"ms", INT64_C(1000)},
    {"us", INT64_C(1)},
};

/* The failure for a text that is no duration, with the text. */
static enum cellar_status refuse(struct cellar_slice text, struct cellar_error *error)
{
    char seen[64];
    CELLAR_ASSERT(text.data != NULL || text.bytes == 0);
    (void)snprintf(seen, sizeof seen, "%.*s", (int)CELLAR_MIN(text.bytes, sizeof seen - 1),
                   text.bytes == 0 ? "" : (const char *)text.data);
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "A duration must be a number above 0 with w, d, h, m, s, ms or us, "
                            "such as 7d or 1h30m, but got '%s'",
                            seen);
}

/* Takes a decimal number; false when there is none or it is too large. */
static bool number_take(struct cellar_cursor *from, int64_t *number)
{
    int64_t found = 0;
    const uint8_t *start = from->at;
    CELLAR_ASSERT(from->at <= from->end);
    while (from->at < from->end && *from->at >= '0' && *from->at <= '9') {
        if (__builtin_mul_overflow(found, 10, &found) ||
            __builtin_add_overflow(found, *from->at - '0', &found)) {
            return false;
        }
        from->at++;
    }
    *number = found;
    return from->at > start;
}

/* Takes the letters of a unit; its index, or the number of units when there is none. */
static size_t unit_take(struct cellar_cursor *from)
{
    const uint8_t *start = from->at;
    while (from->at < from->end && (*from->at < '0' || *from->at > '9')) {
        from->at++;
    }
    struct cellar_slice name = cellar_slice_make(start, (size_t)(from->at - start));
    size_t index = 0;
    while (index < CELLAR_ARRAY_COUNT(units) &&
           !cellar_slice_equal(name, cellar_slice_text(units[index].name))) {
        index++;
    }
    CELLAR_ASSERT(index <= CELLAR_ARRAY_COUNT(units));
    return index;
}

enum cellar_status cellar_duration_decode(struct cellar_slice text, int64_t *us,
                                          struct cellar_error *error)
{
    static const size_t seconds = 4;
    struct cellar_cursor from = cellar_cursor_make(text);
    int64_t sum = 0;
    size_t next = 0; /* the largest unit that may still come */
    CELLAR_ASSERT(units[seconds].us == 1000000);
    if (text.bytes == 0) {
        return refuse(text, error);
    }
    /* Units come in falling order: 1h30m is one duration, 30m1h a slip of the hand. */
    do {
        int64_t number;
        if (!number_take(&from, &number)) {
            return refuse(text, error);
        }
        bool is_bare = from.at == from.end && next == 0;
        size_t unit = is_bare ? seconds : unit_take(&from);
        if (unit < next || unit == CELLAR_ARRAY_COUNT(units) ||
            __builtin_mul_overflow(number, units[unit].us, &number) ||
            __builtin_add_overflow(sum, number, &sum)) {
            return refuse(text, error);
        }
        next = unit + 1;
    } while (from.at < from.end);
    if (sum == 0) {
        return refuse(text, error);
    }
    *us = sum;
    return CELLAR_OK;
}

const char *cellar_duration_encode(int64_t us, char text[CELLAR_DURATION_TEXT_BYTES])
{
    size_t used = 0;
    CELLAR_ASSERT(us >= 0);
    (void)snprintf(text, CELLAR_DURATION_TEXT_BYTES, "0s");
    /* Without weeks, which it never writes: 7d is what people know. */
    for (size_t index = 1; index < CELLAR_ARRAY_COUNT(units); index++) {
        int64_t number = us / units[index].us;
        us %= units[index].us;
        if (number > 0) {
            int length = snprintf(text + used, CELLAR_DURATION_TEXT_BYTES - used, "%" PRId64 "%s",
                                  number, units[index].name);
            CELLAR_ASSERT(length > 0 && used + (size_t)length < CELLAR_DURATION_TEXT_BYTES);
            used += (size_t)length;
        }
    }
    return text;
}
