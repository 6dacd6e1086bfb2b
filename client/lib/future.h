#ifndef CELLAR_CLIENT_FUTURE_H
#define CELLAR_CLIENT_FUTURE_H

#include "client/lib/async.h"
#include "client/lib/batch.h"
#include "client/lib/gate.h"
#include "client/lib/resume.h"
#include "client/lib/row_reader.h"

/* What is behind `struct cellar_future`: one submitted call and its outcome. */

/** Two owners: the program, and the call until its outcome was given. */
struct cellar_future {
    struct cellar_async_call call; /* the driver's */
    struct cellar_async_task cancel;
    struct cellar_async *async;
    struct cellar_client *client; /* for the driver's thread alone: it may be gone later */
    const char *operation;        /* static, such as "READ_ROWS" */
    void (*done)(void *context, struct cellar_future *future);
    void *context;
    /** May change the outcome, call.error, before it is given; NULL = no need. */
    void (*settle)(struct cellar_future *future);

    struct cellar_mutex lock;
    struct cellar_gate changed;
    uint32_t owner_count CELLAR_GUARDED_BY(lock);
    bool has_outcome CELLAR_GUARDED_BY(lock);
    bool is_over CELLAR_GUARDED_BY(lock); /* and the callback has returned */
    bool is_cancelled CELLAR_GUARDED_BY(lock);
    char where[CELLAR_FAILURE_WHERE_BYTES]; /* of a failure; set with the outcome */

    bool is_ready;              /* of a ping */
    struct cellar_buffer names; /* the call's table, and its row unless that is a batch's */
    struct cellar_batch *batch; /* of a batch; the program's */
    struct cellar_batch_course course;
    struct cellar_row_reader reader;
    struct cellar_resume given; /* rows of this request that were kept or taken */
    struct cellar_rows *rows;   /* of a get, until they are taken */
    struct cellar_row_taker taker;
    bool is_enough; /* the taker wants no more */
};

/**
 * Makes a future that has one owner, the one who asked; NULL without memory.
 *
 * @param client  whose interrupt_fd ends waits for it
 * @param kind    of the call; its finish is cellar_future_finish()
 * @param submit  may be NULL
 */
struct cellar_future *cellar_future_new(struct cellar_client *client,
                                        const struct cellar_async_kind *kind, const char *operation,
                                        const struct cellar_submit *submit);

/**
 * Names the table of a call, and the row by which its server is found.
 *
 * @param table  its full name; copied
 * @param row    copied; NULL = none is known
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_future_name(struct cellar_future *future, struct cellar_slice table,
                                      const struct cellar_slice *row) CELLAR_MUST_USE;

/** Names another row; CELLAR_NO_MEMORY. */
enum cellar_status cellar_future_rename(struct cellar_future *future, struct cellar_slice row)
    CELLAR_MUST_USE;

/** The future of a call. */
struct cellar_future *cellar_future_of(struct cellar_async_call *call);

/** Gives the outcome: the finish of every kind. */
void cellar_future_finish(struct cellar_async_call *call);

/** Gives the call's share in a future away, before it is submitted. */
void cellar_future_share(struct cellar_future *future);

#endif
