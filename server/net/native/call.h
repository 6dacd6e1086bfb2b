#ifndef CELLAR_NET_CALL_H
#define CELLAR_NET_CALL_H

#include "server/io/list.h"

/*
 * The requests in flight on one connection: found by id for CANCEL, CREDIT and double ids, and
 * walked when something happens to the connection. One loop's thread owns a table and its calls.
 */

struct net_session;
struct net_call;

#define NET_CALL_BUCKET_COUNT 256u

/** What a kind of call does when something happens to it; NULL: nothing. Each may end the call. */
struct net_call_type {
    /** The client no longer wants the answer. */
    void (*cancel)(struct net_call *call);
    /** The client has room for `bytes` more. */
    void (*credit)(struct net_call *call, uint64_t bytes);
    /** The client will send nothing more, but still reads. */
    void (*ended)(struct net_call *call);
    /** The connection is gone: nothing can be answered. A call that is not ended here ends later.
     * */
    void (*gone)(struct net_call *call);
    /** About once a second. */
    void (*tick)(struct net_call *call, int64_t now_us);
};

/** A request in flight, inside the structure of its kind. */
struct net_call {
    const struct net_call_type *type;
    struct net_session *session;
    struct net_call *next; /* in its bucket */
    struct io_list link;   /* in the list of all */
    uint32_t request_id;
    uint16_t operation;
    uint8_t operation_index; /* in the table of operations, */
    int64_t arrived_us;      /* and when it came, monotonic: for what the session counts; */
    int64_t ended_us;        /* when it ended; 0: now */
};

/** All calls of a session. */
struct net_calls {
    struct io_list all;
    uint32_t count;
    struct net_call *buckets[NET_CALL_BUCKET_COUNT];
};

/** Makes an empty table of zeroed memory. */
void net_calls_init(struct net_calls *calls);

/** The call with that id, or NULL. */
struct net_call *net_calls_find(const struct net_calls *calls, uint32_t request_id);

/** Enters a call whose type, session, id and operation are set; the id is not in the table. */
void net_calls_add(struct net_calls *calls, struct net_call *call);

/** Takes a call out. */
void net_calls_remove(struct net_calls *calls, struct net_call *call);

/** Tells every call that the client sends nothing more. */
void net_calls_ended(struct net_calls *calls);

/** Tells every call that the connection is gone. */
void net_calls_gone(struct net_calls *calls);

/** Tells every call the time. */
void net_calls_tick(struct net_calls *calls, int64_t now_us);

#endif
