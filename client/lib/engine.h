#ifndef CELLAR_CLIENT_ENGINE_H
#define CELLAR_CLIENT_ENGINE_H

#include "common/frame.h"
#include "common/message.h"

/*
 * One connection's protocol without its socket: bytes that came in, requests to send out, answers
 * as events. PROTOCOL.md, "Connection" and "Frames".
 *
 *     cellar_engine_init, cellar_engine_greet
 *     loop: send what cellar_engine_output() shows, cellar_engine_sent()
 *           read into what cellar_engine_room() shows, cellar_engine_received()
 *           cellar_engine_event() until it gives none
 *     when open: cellar_engine_submit(), cellar_engine_credit(), cellar_engine_cancel()
 *     cellar_engine_fini
 *
 * An engine belongs to one thread at a time.
 */

#define CELLAR_ENGINE_REQUESTS_MAX 256u                       /* in flight on one connection */
#define CELLAR_ENGINE_JOINED_BYTES_MAX 272629760u             /* of one message: 260 MiB */
#define CELLAR_ENGINE_OUTPUT_BYTES_MAX 536870912u             /* not yet sent: 512 MiB */
#define CELLAR_ENGINE_INPUT_BYTES_MAX (1048576u + 2u * 65536) /* not yet taken as events */
#define CELLAR_ENGINE_SERVER_BYTES_MAX 64u                    /* of the server's name, cut */

enum cellar_engine_state {
    CELLAR_ENGINE_NEW,      /* nothing was queued */
    CELLAR_ENGINE_GREETING, /* HELLO is on its way */
    CELLAR_ENGINE_OPEN,     /* takes requests */
    CELLAR_ENGINE_LEAVING,  /* after GOAWAY: what is in flight is finished, nothing new */
    CELLAR_ENGINE_BROKEN    /* the connection is of no more use; `error` says why */
};

enum cellar_event_kind { CELLAR_EVENT_REPLY, CELLAR_EVENT_PART, CELLAR_EVENT_ERROR };

/** What came for one request. */
struct cellar_event {
    enum cellar_event_kind kind; /* REPLY and ERROR end the request */
    uint32_t request_id;
    uint16_t operation;
    struct cellar_slice body; /* the whole message; until the engine's next call */
};

struct cellar_engine_slot;

/** One connection's state; but for joined_bytes_max, fields are for reading only. */
struct cellar_engine {
    enum cellar_engine_state state;
    struct cellar_error error; /* of the BROKEN state */
    struct cellar_buffer input;
    size_t input_start; /* bytes of `input` already taken */
    struct cellar_buffer output;
    size_t output_start;              /* bytes of `output` already sent */
    struct cellar_engine_slot *slots; /* requests in flight, by the low bits of their id */
    uint32_t slot_count;
    uint32_t in_flight_count;
    uint32_t sequence;              /* the high bits of the next id */
    size_t joined_bytes_max;        /* CELLAR_ENGINE_JOINED_BYTES_MAX; tests lower it */
    struct cellar_buffer delivered; /* what the last event's body may borrow from */
    uint64_t request_bytes_max;     /* from HELLO's reply */
    uint64_t requests_max;          /* from HELLO's reply, at most CELLAR_ENGINE_REQUESTS_MAX */
    char server[CELLAR_ENGINE_SERVER_BYTES_MAX];
};

/** Makes a NEW engine that holds no memory. */
void cellar_engine_init(struct cellar_engine *engine);

/** Frees its memory. */
void cellar_engine_fini(struct cellar_engine *engine);

/**
 * Queues the preface and HELLO of a NEW engine.
 *
 * @param name  what the client calls itself; UTF-8
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_engine_greet(struct cellar_engine *engine, const char *name)
    CELLAR_MUST_USE;

/**
 * Queues a request.
 *
 * @param body  its encoded body; copied
 * @param id    receives the request's id, never 0
 * @return CELLAR_OK; CELLAR_UNAVAILABLE when the engine is not OPEN; CELLAR_RESOURCE_EXHAUSTED when
 *         too many are in flight or unsent; CELLAR_INVALID_ARGUMENT when the body is larger than
 *         the server takes; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_engine_submit(struct cellar_engine *engine, uint16_t operation,
                                        struct cellar_slice body, uint32_t *id,
                                        struct cellar_error *error) CELLAR_MUST_USE;

/** Queues credit for a read in flight; CELLAR_NO_MEMORY. Nothing for one that has ended. */
enum cellar_status cellar_engine_credit(struct cellar_engine *engine, uint32_t id, uint64_t bytes)
    CELLAR_MUST_USE;

/** Queues CANCEL for a request in flight, which still ends in an event; CELLAR_NO_MEMORY. */
enum cellar_status cellar_engine_cancel(struct cellar_engine *engine, uint32_t id) CELLAR_MUST_USE;

/** What is to be sent next; empty when there is nothing. Until the engine's next call. */
struct cellar_slice cellar_engine_output(const struct cellar_engine *engine);

/** Says that the first `bytes` bytes of the output were sent. */
void cellar_engine_sent(struct cellar_engine *engine, size_t bytes);

/**
 * Where to read bytes from the peer to; ends the life of the last event's body.
 *
 * @param room   receives the place
 * @param bytes  receives its size; 0 when events must be taken first
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_engine_room(struct cellar_engine *engine, uint8_t **room, size_t *bytes)
    CELLAR_MUST_USE;

/** Says that `bytes` bytes were read into the room. */
void cellar_engine_received(struct cellar_engine *engine, size_t bytes);

/**
 * Takes the next answer out of what was received. What the peer does against the protocol breaks
 * the engine, as does a lack of memory.
 *
 * @return false when there is none: more bytes are needed, or the state changed to BROKEN
 */
bool cellar_engine_event(struct cellar_engine *engine, struct cellar_event *event);

/**
 * Breaks the engine from outside: the socket failed or was closed.
 *
 * @param error  why; copied. The first reason stays
 */
void cellar_engine_break(struct cellar_engine *engine, const struct cellar_error *error);

/** True when the connection can serve another call: open, nothing in flight, unsent or untaken. */
bool cellar_engine_is_idle(const struct cellar_engine *engine);

/** Gives back large buffers of an idle engine. */
void cellar_engine_trim(struct cellar_engine *engine);

#endif
