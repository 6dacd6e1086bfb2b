#ifndef CELLAR_TOOLS_BENCH_DRIVER_H
#define CELLAR_TOOLS_BENCH_DRIVER_H

#include "client/tools/bench_check.h"

/*
 * How the benchmark talks to one kind of server: a table of functions over a session, the state of
 * one connection. A driver does no I/O: the loop (bench_loop.h) moves bytes between the session and
 * its socket, so that every server is driven by the same loop.
 *
 *     open                           a greeting may be in the output
 *     room, received, step           until step says READY
 *     begin, then the same           until step says DONE or AGAIN; one operation at a time
 *     close
 */

/** The state of one connection; each driver has its own. */
struct cellar_bench_session;

/** What came of the bytes received so far. */
enum cellar_bench_step {
    CELLAR_BENCH_WAIT,  /* more bytes are needed */
    CELLAR_BENCH_READY, /* the greeting is over: operations may begin */
    CELLAR_BENCH_DONE,  /* the operation was answered */
    CELLAR_BENCH_AGAIN  /* it was not applied: begin it again after the delay */
};

/** A kind of server. Functions belong to one thread; those that fail say why. */
struct cellar_bench_driver {
    const char *name;
    uint32_t kinds; /* bit 1 << kind for each kind of operation that it can do */
    bool is_canned; /* its answers say nothing: they are not checked */

    /** Makes a session. @param table  what to call the table; borrowed by the session */
    enum cellar_status (*open)(const char *table, struct cellar_bench_session **session,
                               struct cellar_error *error);
    /** Frees it; takes NULL. */
    void (*close)(struct cellar_bench_session *session);
    /** What is to be sent next. */
    struct cellar_slice (*output)(const struct cellar_bench_session *session);
    /** Its first bytes were sent. */
    void (*sent)(struct cellar_bench_session *session, size_t bytes);
    /** Where to read to; CELLAR_NO_MEMORY. */
    enum cellar_status (*room)(struct cellar_bench_session *session, uint8_t **room, size_t *bytes);
    /** That many bytes were read there. */
    void (*received)(struct cellar_bench_session *session, size_t bytes);
    /** Puts an operation of one of its kinds into the output. */
    enum cellar_status (*begin)(struct cellar_bench_session *session,
                                const struct cellar_bench_op *op, struct cellar_error *error);
    /**
     * Takes what was received, and may put more into the output.
     *
     * @param check           of the operation; unused before READY
     * @param retry_delay_ms  receives the delay of AGAIN
     */
    enum cellar_status (*step)(struct cellar_bench_session *session,
                               struct cellar_bench_check *check, enum cellar_bench_step *step,
                               uint32_t *retry_delay_ms, struct cellar_error *error);
};

/** Cellar itself, over the library's protocol engine. The table's family is "f". */
extern const struct cellar_bench_driver cellar_bench_cellar_driver;

/** A server that speaks Cellar's protocol and gives canned answers: tests/bench/null_server.c. */
extern const struct cellar_bench_driver cellar_bench_null_driver;

#define CELLAR_BENCH_FAMILY "f"

#endif
