#ifndef CELLAR_CLIENT_ASYNC_CALL_H
#define CELLAR_CLIENT_ASYNC_CALL_H

#include "client/lib/engine.h"
#include "client/lib/retry.h"
#include "client/lib/timers.h"

/*
 * One request of the asynchronous client, from its submission to its outcome. A call is embedded in
 * what waits for it (a future, a writer's request), which its kind finds again.
 */

struct cellar_async_call;
struct cellar_core;

/** What one kind of call does with its answers. Called on the thread that drives the core. */
struct cellar_async_kind {
    /**
     * Takes a PART or the REPLY.
     *
     * @param event  its body is borrowed until return
     * @return CELLAR_OK, the call has its outcome unless it `goes_on`; otherwise the failure of
     * this attempt, and `error` is filled: after CELLAR_UNAVAILABLE the call goes again, for want
     *         of an answer to a part of it
     */
    enum cellar_status (*take)(struct cellar_async_call *call, const struct cellar_event *event,
                               struct cellar_error *error);
    /** After an ERROR: whether the call goes again at once, with a body from which it took what the
     * server refused; CELLAR_NO_MEMORY. May be NULL. */
    enum cellar_status (*relax)(struct cellar_async_call *call, enum cellar_status code,
                                bool *is_relaxed);
    /** After a MOVED: notes what the next attempt is to know of it, before that is decided;
     * CELLAR_NO_MEMORY. May be NULL. */
    enum cellar_status (*moved)(struct cellar_async_call *call, struct cellar_slice body);
    /** Before the next attempt, whose body it may change: CELLAR_OK, and whether nothing is left to
     * be asked for, which ends the call well; otherwise why it cannot be. May be NULL. */
    enum cellar_status (*restart)(struct cellar_async_call *call, bool *is_over);
    /** Gives the outcome, call->error, to whom it concerns; the call is free to go. */
    void (*finish)(struct cellar_async_call *call);
};

/** Where a call is. */
enum cellar_async_place {
    CELLAR_ASYNC_NEW,    /* not yet given to the core */
    CELLAR_ASYNC_QUEUED, /* waits for a connection */
    CELLAR_ASYNC_PAUSED, /* waits for the moment to go again */
    CELLAR_ASYNC_FLYING, /* in flight */
    CELLAR_ASYNC_OVER    /* has its outcome */
};

/** A zeroed call is NEW. The first part is the owner's to fill, the rest is the core's. */
struct cellar_async_call {
    const struct cellar_async_kind *kind;
    uint16_t operation;        /* an enum cellar_operation */
    struct cellar_buffer body; /* as cellar_async_body_encode() makes it; freed by the owner */
    bool has_time_limit;       /* the body has one, to be filled in for each attempt */
    int64_t idle_us;           /* > 0: each answer moves the deadline to so much after it */
    struct cellar_slice table; /* by which, and by a row, its server is found; empty = the first */
    struct cellar_slice row;
    bool has_row;
    bool is_final;             /* only a MOVED has another attempt follow */
    bool goes_on;              /* set by its kind's take: goes again at once, with another body */
    struct cellar_retry retry; /* its deadline is that of the call */
    struct cellar_error error; /* the outcome; until then the last attempt's failure */

    enum cellar_async_place place;
    struct cellar_core *core;    /* where it is; NULL while NEW */
    enum cellar_attempt attempt; /* how the last one failed */
    struct cellar_async_call *next;
    struct cellar_async_call *previous;
    struct cellar_timer timer; /* PAUSED: its next attempt; else its deadline */
    uint32_t line_index;       /* FLYING: its connection, */
    uint32_t request_id;       /* its id there, */
    uint64_t sent_mark;        /* where it ends in that connection's output, */
    uint64_t received_mark;    /* and what had come from there before */
    uint64_t credit_owed;
    uint64_t charged_bytes; /* what async.c counts it as; 0 = not at all */
};

/** Calls in order; zero-initialised is empty. Borrowed. */
struct cellar_async_list {
    struct cellar_async_call *first;
    struct cellar_async_call *last;
};

/** Puts a call that is in no list behind the others. */
static inline void cellar_async_append(struct cellar_async_list *list,
                                       struct cellar_async_call *call)
{
    CELLAR_ASSERT(call->next == NULL && call->previous == NULL);
    call->previous = list->last;
    *(list->last == NULL ? &list->first : &list->last->next) = call;
    list->last = call;
}

/** Takes a call out of the list it is in. */
static inline void cellar_async_remove(struct cellar_async_list *list,
                                       struct cellar_async_call *call)
{
    CELLAR_ASSERT(list->first == call || call->previous != NULL);
    *(call->previous == NULL ? &list->first : &call->previous->next) = call->next;
    *(call->next == NULL ? &list->last : &call->next->previous) = call->previous;
    call->next = NULL;
    call->previous = NULL;
}

/** Takes the first call; NULL when there is none. */
static inline struct cellar_async_call *cellar_async_take(struct cellar_async_list *list)
{
    struct cellar_async_call *call = list->first;
    if (call != NULL) {
        cellar_async_remove(list, call);
        CELLAR_ASSERT(list->first == NULL || list->first->previous == NULL);
    }
    return call;
}

/**
 * Encodes a call's body; its time limit, if `timeout_us` points into the message, is filled in when
 * it is sent.
 *
 * @param timeout_us  the message's last field, or NULL
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_async_body_encode(struct cellar_async_call *call,
                                            const struct cellar_message_type *type,
                                            const void *message, uint64_t *timeout_us)
    CELLAR_MUST_USE;

/** Writes into the body how much of the call's time is left, if it has a place for that. */
void cellar_async_body_limit(struct cellar_async_call *call, int64_t left_us);

#endif
