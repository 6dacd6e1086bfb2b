#ifndef CELLAR_IO_CONN_H
#define CELLAR_IO_CONN_H

#include "common/buf.h"
#include "server/io/budget.h"
#include "server/io/loop.h"

/*
 * One connection: a socket with an input buffer and an output buffer of bounded size. It knows no
 * protocol; a handler takes the input and appends to the output. Everything but io_conn_new() and
 * io_conn_start() runs on the loop's thread.
 */

struct io_conn;

/* Reads that stream begin no further part while more than this waits to be sent. */
#define IO_CONN_OUTPUT_SOFT_BYTES 262144u
/* No input is read or handled while more than this waits to be sent. */
#define IO_CONN_OUTPUT_HARD_BYTES 1048576u
/* How long a closing connection gets to take what it was sent, microseconds. */
#define IO_CONN_CLOSE_US_MAX 2000000

/** Why a connection does not read now; several may hold at once. */
enum io_pause {
    IO_PAUSE_REQUESTS = 1, /* as many requests in flight as are allowed */
    IO_PAUSE_BUDGET = 2,   /* no room for the next bytes */
    IO_PAUSE_OUTPUT = 4,   /* the peer does not read what it asked for */
    IO_PAUSE_ORDER = 8     /* what comes next must wait for what came before */
};

/** What a protocol does with a connection. Every function is called with the handler's context and
 * may call any io_conn function; the connection outlives the call. NULL is allowed for all but
 * `input`. */
struct io_conn_handler {
    /**
     * Takes input.
     *
     * @param input  what has come and was not taken yet, 1 byte at least; borrowed for the call
     * @return how many bytes of the front were taken; the rest comes again, with more behind it
     */
    size_t (*input)(struct io_conn *conn, void *context, struct cellar_slice input);
    /** There is room again after io_conn_has_room() said no. */
    void (*writable)(struct io_conn *conn, void *context);
    /** The peer will send nothing more; it may still read. Without this the connection closes. */
    void (*ended)(struct io_conn *conn, void *context);
    /** The time set with io_conn_deadline_set() has come. Without this the connection closes. */
    void (*expired)(struct io_conn *conn, void *context);
    /** About once a second. */
    void (*tick)(struct io_conn *conn, void *context, int64_t now_us);
    /** The server stops: finish what has begun, then close. Without this the connection closes. */
    void (*drain)(struct io_conn *conn, void *context);
    /** The last call: the connection is gone when it returns. */
    void (*closed)(struct io_conn *conn, void *context);
};

/** What a connection is made with. */
struct io_conn_options {
    struct io_loop *loop;
    int fd; /* non-blocking socket, the connection's from here on; -1: none, input comes by
               io_conn_feed() only and output stays in the buffer (tests) */
    struct io_budget *input_budget;
    struct io_budget *output_budget;
    const struct io_conn_handler *handler;
    void *context;
    int64_t deadline_us; /* as io_conn_deadline_set() */
};

/** Makes a connection that does nothing yet. Any thread. @return NULL without memory; the socket is
 * then still the caller's */
struct io_conn *io_conn_new(const struct io_conn_options *options) CELLAR_MUST_USE;

/** Has the loop start reading. Any thread, once. */
void io_conn_start(struct io_conn *conn);

/** Hands the connection to another handler, which gets all input that was not taken. */
void io_conn_handler_set(struct io_conn *conn, const struct io_conn_handler *handler,
                         void *context);

/** Handles bytes as if the peer had sent them. */
void io_conn_feed(struct io_conn *conn, struct cellar_slice input);

/** Says that no input can be taken before `bytes` bytes, counted from the first one not taken, are
 * there: the input buffer grows to them, within the budget, and not further. */
void io_conn_want(struct io_conn *conn, size_t bytes);

/** Closes or gives up waiting input when `deadline_us` (monotonic) has passed; 0 = never. */
void io_conn_deadline_set(struct io_conn *conn, int64_t deadline_us);

/** Stops reading and handling input for a reason. For IO_PAUSE_BUDGET the connection tries again by
 * itself every few milliseconds. */
void io_conn_pause(struct io_conn *conn, enum io_pause reason);

/** Ends one reason; waiting input is handled in a later step of the loop. */
void io_conn_resume(struct io_conn *conn, enum io_pause reason);

/** Says what the connection speaks, once: it is counted under that from here on. */
void io_conn_protocol_set(struct io_conn *conn, enum io_protocol protocol);

/** Says that a stopping server is not to wait for the connection, and that it takes no place of
 * those that are counted. Its `drain` may leave it open until the loop stops. */
void io_conn_retire(struct io_conn *conn);

/** Whether input must not be handled now: paused, or closing. */
bool io_conn_is_paused(const struct io_conn *conn);

/** The output buffer, to append to. Bytes that were in it before may have been sent already and
 * must not be touched; io_conn_wrote() comes after the last byte. */
struct cellar_buffer *io_conn_output(struct io_conn *conn);

/** Has what was appended sent at the end of the turn. */
void io_conn_wrote(struct io_conn *conn);

/** How many bytes wait to be sent. */
size_t io_conn_output_bytes(const struct io_conn *conn);

/** Whether a stream may append its next part: little waits, or nothing when the budget is spent.
 * After a no, `writable` is called when it has become a yes. */
bool io_conn_has_room(struct io_conn *conn);

/** Takes no more input, sends what waits, then closes. */
void io_conn_close(struct io_conn *conn);

/** Closes without sending what waits, such as when there was no memory for an answer. */
void io_conn_abort(struct io_conn *conn);

/** The loop that owns the connection. */
struct io_loop *io_conn_loop(const struct io_conn *conn);

#endif
