#ifndef CELLAR_CLIENT_ASYNC_CORE_H
#define CELLAR_CLIENT_ASYNC_CORE_H

#include "client/lib/async_line.h"

/*
 * Many calls over few connections to one server, without a socket, a thread or a clock: what a
 * driver has to do is asked for, what happened is told. A connection is a `line` here, known by its
 * index.
 *
 *     cellar_core_add() a call
 *     loop: cellar_core_turn()                                   deadlines, pauses, queue -> lines
 *           cellar_core_dial() -> connect -> cellar_core_dialed() or cellar_core_dial_failed()
 *           cellar_core_output(), cellar_core_sent()             for each line that is UP
 *           cellar_core_room(), cellar_core_received(), cellar_core_broken()
 *           ENDING lines: close the socket, cellar_core_closed()
 *           cellar_core_finished() -> call->kind->finish()
 *           wait for sockets or cellar_core_next_us()
 *
 * One thread at a time.
 */

#define CELLAR_CORE_PROBE_AFTER_US INT64_C(5000000)
#define CELLAR_CORE_LINES_MAX 16u
#define CELLAR_CORE_CREDIT_BYTES                                                                   \
    1048576u /* a read's first credit; what is taken is given again                                \
              */

/** Where calls go when there are several servers, each with a core of its own. */
struct cellar_core_router {
    void *context;
    /** The core for the next attempt of a call, which is at none or at any. */
    struct cellar_core *(*pick)(void *context, const struct cellar_async_call *call);
    /** Takes an ERROR, as cellar_call_refused(). */
    enum cellar_attempt (*refused)(void *context, const struct cellar_async_call *call,
                                   struct cellar_slice body, struct cellar_error *error);
    /** A core's server cannot be reached: calls are better picked another. */
    void (*lost)(void *context, const struct cellar_core *core);
};

/** What a core is made with. */
struct cellar_core_terms {
    const char *client_name; /* for HELLO; static */
    uint32_t lines_max;      /* connections wanted at once, 1..CELLAR_CORE_LINES_MAX */
    int64_t dial_us_max;     /* how long connecting and greeting may take */
    uint64_t seed;           /* of the jitter */
    const struct cellar_core_router *router; /* outlives the core; NULL = there is one server */
};

/** The state; fields are for reading only. */
struct cellar_core {
    struct cellar_core_terms terms;
    struct cellar_line *lines; /* twice lines_max: silent ones are replaced before they end */
    uint32_t line_count;
    struct cellar_timers timers; /* of all calls, and of others that want to be woken */
    struct cellar_async_list queued;
    struct cellar_async_list finished;
    uint32_t call_count; /* added and not OVER */
    uint32_t dial_failure_count;
    int64_t dial_after_us;            /* no connecting before */
    struct cellar_error last_failure; /* of a connection */
    int64_t last_failure_us;
    uint64_t random_state;
};

/** Makes a core without lines in use; CELLAR_NO_MEMORY. */
enum cellar_status cellar_core_init(struct cellar_core *core, const struct cellar_core_terms *terms)
    CELLAR_MUST_USE;

/** Frees its memory; every call is OVER and taken, every line FREE. */
void cellar_core_fini(struct cellar_core *core);

/** Takes a NEW call in, or gives it to the core of its server; without memory it is OVER at once.
 */
void cellar_core_add(struct cellar_core *core, struct cellar_async_call *call, int64_t now_us);

/** Ends a call that was added CANCELLED: at once, unless it is a write in flight, which is awaited
 * as ever. */
void cellar_core_cancel(struct cellar_async_call *call);

/** Ends a call that is not OVER with a code after which it does not go again. */
void cellar_core_abort(struct cellar_async_call *call, const struct cellar_error *error,
                       int64_t now_us);

/** Ends all calls CANCELLED, writes in flight as OUTCOME_UNKNOWN, and all lines. */
void cellar_core_stop(struct cellar_core *core, int64_t now_us);

/** Does what is due and gives queued calls to lines. */
void cellar_core_turn(struct cellar_core *core, int64_t now_us);

/** When cellar_core_turn() is due again if nothing else happens; INT64_MAX = never. */
int64_t cellar_core_next_us(const struct cellar_core *core);

/** The next call that is OVER, or NULL; the caller calls its kind's finish. */
struct cellar_async_call *cellar_core_finished(struct cellar_core *core);

/**
 * Whether the driver should open another connection.
 *
 * @param index  receives the line to do it for, which is DIALING now
 */
bool cellar_core_dial(struct cellar_core *core, int64_t now_us, uint32_t *index);

/** A DIALING line is connected. */
void cellar_core_dialed(struct cellar_core *core, uint32_t index, int64_t now_us);

/** A DIALING line could not be connected; it is FREE. */
void cellar_core_dial_failed(struct cellar_core *core, uint32_t index,
                             const struct cellar_error *error, int64_t now_us);

/** What an UP line has to send. Until the core's next call. */
struct cellar_slice cellar_core_output(const struct cellar_core *core, uint32_t index);

/** The first `bytes` bytes of the output were sent. */
void cellar_core_sent(struct cellar_core *core, uint32_t index, size_t bytes);

/** Where to read to, at least one byte; false without memory: the line is ENDING. */
bool cellar_core_room(struct cellar_core *core, uint32_t index, int64_t now_us, uint8_t **room,
                      size_t *bytes);

/** `bytes` bytes were read into the room: takes the answers in them. */
void cellar_core_received(struct cellar_core *core, uint32_t index, size_t bytes, int64_t now_us);

/** An UP line's socket failed or ended: it is ENDING. */
void cellar_core_broken(struct cellar_core *core, uint32_t index, const struct cellar_error *error,
                        int64_t now_us);

/** An ENDING line's socket is closed: it is FREE. */
void cellar_core_closed(struct cellar_core *core, uint32_t index);

#endif
