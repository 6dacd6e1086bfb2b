#ifndef CELLAR_COMMON_STATUS_H
#define CELLAR_COMMON_STATUS_H

#include "common/base.h"

/*
 * Every result code there is, in one table: name, number on the wire, text, the gRPC code it maps
 * to, and whether the same request may be sent again because nothing was applied.
 */
#define CELLAR_STATUS_LIST(X)                                                                      \
    /* enumerator, number, text, gRPC code, retryable */                                           \
    X(CELLAR_OK, 0, "OK", 0, false)                                                                \
    X(CELLAR_INVALID_ARGUMENT, 1, "INVALID_ARGUMENT", 3, false)                                    \
    X(CELLAR_NOT_FOUND, 2, "NOT_FOUND", 5, false)                                                  \
    X(CELLAR_ALREADY_EXISTS, 3, "ALREADY_EXISTS", 6, false)                                        \
    X(CELLAR_FAILED_PRECONDITION, 4, "FAILED_PRECONDITION", 9, false)                              \
    X(CELLAR_ABORTED, 5, "ABORTED", 10, false)                                                     \
    X(CELLAR_UNAVAILABLE, 6, "UNAVAILABLE", 14, true)                                              \
    X(CELLAR_RESOURCE_EXHAUSTED, 7, "RESOURCE_EXHAUSTED", 8, false)                                \
    X(CELLAR_DEADLINE_EXCEEDED, 8, "DEADLINE_EXCEEDED", 4, false)                                  \
    X(CELLAR_OUTCOME_UNKNOWN, 9, "OUTCOME_UNKNOWN", 2, false)                                      \
    X(CELLAR_PERMISSION_DENIED, 10, "PERMISSION_DENIED", 7, false)                                 \
    X(CELLAR_UNAUTHENTICATED, 11, "UNAUTHENTICATED", 16, false)                                    \
    X(CELLAR_DATA_LOSS, 12, "DATA_LOSS", 15, false)                                                \
    X(CELLAR_UNIMPLEMENTED, 13, "UNIMPLEMENTED", 12, false)                                        \
    X(CELLAR_CANCELLED, 14, "CANCELLED", 1, false)                                                 \
    X(CELLAR_IO_ERROR, 15, "IO_ERROR", 14, false)                                                  \
    X(CELLAR_NO_MEMORY, 16, "NO_MEMORY", 8, false)

enum cellar_status {
#define CELLAR_STATUS_ENUM(name, number, text, grpc, retryable) name = number,
    CELLAR_STATUS_LIST(CELLAR_STATUS_ENUM)
#undef CELLAR_STATUS_ENUM
};

#define CELLAR_STATUS_COUNT 17u
#define CELLAR_ERROR_TEXT_BYTES_MAX 640u

/** An error as people read it: code, sentence, and how long to wait before another try. */
struct cellar_error {
    enum cellar_status code;
    uint32_t retry_delay_ms;                /* > 0 only with CELLAR_UNAVAILABLE */
    char text[CELLAR_ERROR_TEXT_BYTES_MAX]; /* NUL-terminated, UTF-8 where the input was */
};

/** The name of a code, such as "NOT_FOUND"; static storage. `code` must be in the table. */
const char *cellar_status_text(enum cellar_status code);

/** The gRPC code number of a code, 0..16. `code` must be in the table. */
int cellar_status_grpc(enum cellar_status code);

/** True when the request was not applied and the same request may be sent again. */
bool cellar_status_is_retryable(enum cellar_status code);

/**
 * Turns a number from the wire into a code.
 *
 * @param number  any value
 * @param code    receives the code; CELLAR_OUTCOME_UNKNOWN is not assumed for unknown numbers
 * @return true when the table has the number; otherwise `code` is untouched
 */
bool cellar_status_decode(uint64_t number, enum cellar_status *code);

/** Makes `error` say OK with an empty text. */
void cellar_error_clear(struct cellar_error *error);

/**
 * Fills `error` (may be NULL) with a code and a formatted sentence, cut at the text's limit.
 *
 * @return `code`, so that a function can end with `return cellar_error_set(...)`
 */
enum cellar_status cellar_error_set(struct cellar_error *error, enum cellar_status code,
                                    const char *format, ...) CELLAR_PRINTF(3, 4);

/** Puts "<prefix formatted>: " before the text `error` (may be NULL) already has; keeps the code.
 */
void cellar_error_prefix(struct cellar_error *error, const char *format, ...) CELLAR_PRINTF(2, 3);

/** Returns at once when `call` fails; used only where nothing is held. */
#define CELLAR_TRY(call)                                                                           \
    do {                                                                                           \
        enum cellar_status cellar_try_status_ = (call);                                            \
        if (CELLAR_UNLIKELY(cellar_try_status_ != CELLAR_OK)) {                                    \
            return cellar_try_status_;                                                             \
        }                                                                                          \
    } while (0)

#endif
