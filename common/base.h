#ifndef CELLAR_COMMON_BASE_H
#define CELLAR_COMMON_BASE_H

/*
 * What every file needs: compiler attributes behind macros, the assertion that stays on in release
 * builds, and the few array and list helpers that C lacks. Nothing here allocates or does I/O but
 * cellar_assert_failed(), which ends the process: an assertion speaks of our own mistakes only,
 * never of input from a peer, a file or a user.
 */

#include <assert.h> /* static_assert only; CELLAR_ASSERT takes the place of assert() */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CELLAR_MUST_USE __attribute__((warn_unused_result))
#define CELLAR_PRINTF(format_index, first_index)                                                   \
    __attribute__((format(printf, format_index, first_index)))
#define CELLAR_NORETURN __attribute__((noreturn))
#define CELLAR_UNUSED __attribute__((unused))
#define CELLAR_LIKELY(x) __builtin_expect(!!(x), 1)
#define CELLAR_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define CELLAR_ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** The structure of `type` whose field `member` is at `pointer`. */
#define CELLAR_CONTAINER_OF(pointer, type, member)                                                 \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/*
 * The smaller and the greater of two values, each evaluated once, so that a clock, an atomic or a
 * call may stand here. Both must be of the same signedness: a comparison of an `int` with a
 * `size_t` would take -1 for the greatest number there is, so the compiler refuses it
 * (-Wsign-compare, which the names below bring about for literals too). The names are numbered so
 * that one may stand in another without hiding its names. Not a constant expression.
 */
#define CELLAR_MIN(a, b) CELLAR_CHOOSE((a), <, (b), __COUNTER__)
#define CELLAR_MAX(a, b) CELLAR_CHOOSE((a), >, (b), __COUNTER__)
#define CELLAR_CHOOSE(a, than, b, number) CELLAR_CHOOSE_NUMBERED(a, than, b, number)
#define CELLAR_CHOOSE_NUMBERED(a, than, b, number)                                                 \
    __extension__({                                                                                \
        const __auto_type cellar_left_##number = (a);                                              \
        const __auto_type cellar_right_##number = (b);                                             \
        cellar_left_##number than cellar_right_##number ? cellar_left_##number                     \
                                                        : cellar_right_##number;                   \
    })

/** Ends the process with the place and text of a broken invariant. */
static inline CELLAR_NORETURN void cellar_assert_failed(const char *text, const char *file,
                                                        int line);

#define CELLAR_ASSERT(condition)                                                                   \
    (CELLAR_LIKELY(condition) ? (void)0 : cellar_assert_failed(#condition, __FILE__, __LINE__))

extern int dprintf(int descriptor, const char *format, ...) CELLAR_PRINTF(2, 3);
extern void abort(void) CELLAR_NORETURN;

static inline CELLAR_NORETURN void cellar_assert_failed(const char *text, const char *file,
                                                        int line)
{
    (void)dprintf(2, "cellar: assertion failed: %s at %s:%d\n", text, file, line);
    abort();
}

#endif
