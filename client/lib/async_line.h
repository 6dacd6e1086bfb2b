#ifndef CELLAR_CLIENT_ASYNC_LINE_H
#define CELLAR_CLIENT_ASYNC_LINE_H

#include "client/lib/async_call.h"

/* One connection of the asynchronous client, as its core sees it: an engine and the calls on it. */

enum cellar_line_state {
    CELLAR_LINE_FREE,    /* no connection */
    CELLAR_LINE_DIALING, /* the driver connects */
    CELLAR_LINE_UP,      /* connected; the engine says how far */
    CELLAR_LINE_ENDING   /* of no more use: the driver closes it */
};

/** One connection. */
struct cellar_line {
    enum cellar_line_state state;
    struct cellar_engine engine;
    struct cellar_async_call *calls[CELLAR_ENGINE_REQUESTS_MAX]; /* by the low bits of their ids */
    uint32_t call_count;
    uint64_t call_bytes; /* of their requests */
    uint64_t sent_bytes; /* handed to the system so far */
    int64_t limit_us;    /* until when it must be open, or answer a probe; 0 = it has */
    int64_t heard_us;    /* when something came last */
    uint32_t probe_id;   /* of a PING that asks whether the other end is still there; 0 = none */
    bool has_answered;   /* a call, since it was dialed */
    uint64_t received_bytes;
    bool is_silent; /* a call's time passed without a byte from it: it gets no more calls */
};

/** Changes a line's state; every change passes here. */
void cellar_line_move(struct cellar_line *line, enum cellar_line_state to);

/** Whether a line takes calls, or will. */
bool cellar_line_is_usable(const struct cellar_line *line);

/** Whether a line takes a call now. */
bool cellar_line_has_room(const struct cellar_line *line);

/** How much a line has to do: the bytes of its calls, and some for each of them. */
uint64_t cellar_line_load(const struct cellar_line *line);

/** Tells the server that nobody waits for a request any more. */
void cellar_line_forget(struct cellar_line *line, uint32_t request_id);

/**
 * Hands a call to a line that has room.
 *
 * @param index  of the line
 * @return CELLAR_OK: the call is FLYING; otherwise why it cannot be sent, in its error too
 */
enum cellar_status cellar_line_send(struct cellar_line *line, uint32_t index,
                                    struct cellar_async_call *call, int64_t now_us) CELLAR_MUST_USE;

/** Takes a FLYING call back; its answer will meet nobody. */
void cellar_line_take(struct cellar_line *line, struct cellar_async_call *call);

/** How an attempt of a FLYING call ends when its line breaks now. */
enum cellar_attempt cellar_line_attempt(const struct cellar_line *line,
                                        const struct cellar_async_call *call);

#endif
