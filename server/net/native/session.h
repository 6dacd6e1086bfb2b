#ifndef CELLAR_NET_SESSION_H
#define CELLAR_NET_SESSION_H

#include "common/frame.h"
#include "common/message.h"
#include "server/io/conn.h"
#include "server/io/pool.h"
#include "server/net/native/call.h"
#include "server/net/native/measure.h"
#include "server/service/service.h"

/*
 * One connection of the native protocol: frames in, requests to the operations, answers out. The
 * operations (native_*.h) are given as a table; whatever does not end inside its first call is a
 * `net_call`, which the session can find by its id. One loop's thread owns a session and its calls.
 * PROTOCOL.md is what this follows.
 */

struct net_request;
struct net_operation;

#define NET_REQUEST_COUNT_MAX 1024u /* in flight on one connection: HELLO's requests_max */
#define NET_JOIN_COUNT_MAX 64u      /* of them half sent (MORE) */
#define NET_READ_JOB_COUNT_MAX 16u  /* steps of reads on the read pool */
#define NET_FRAME_US_MAX 60000000   /* how long a frame may take from its first byte to its last */
#define NET_BUDGET_US_MAX 10000000  /* how long a message waits for room in the request budget */

/** What the whole server is doing; requests run only while it serves. */
enum net_phase { NET_STARTING, NET_SERVING, NET_STOPPING };

/** What all sessions of a server share; outlives them. */
struct net_context {
    struct svc *svc; /* not to be used while starting */
    _Atomic(enum net_phase) phase;
    struct io_loop *const *loops;
    struct net_measures *measures; /* one a loop */
    size_t loop_count;
    struct io_pool *pool;             /* for what blocks */
    struct io_pool *read_pool;        /* for steps of reads that may wait for the disk */
    struct io_budget *request_budget; /* bytes of requests that are arriving or kept */
    struct io_budget *file_budget;    /* of those that are in files meanwhile */
    const char *version;              /* the server's, such as "0.1.0" */
    const char *data_dir;
    int64_t started_us;         /* monotonic */
    uint64_t request_bytes_max; /* one joined request */
    const struct net_operation *operations;
    size_t operation_count;
};

struct net_join;

/** A complete request; the body is borrowed for the call, unless the join is kept. */
struct net_request {
    uint32_t id;
    uint16_t operation;
    struct cellar_slice body;
    struct net_join *join; /* that holds the body of a request of several frames; else NULL */
    bool *is_kept;         /* set by net_request_keep() */
};

/** Takes over the join of a request, with its body, to be freed by net_join_free() on the loop's
 * thread. */
static inline struct net_join *net_request_keep(const struct net_request *request)
{
    CELLAR_ASSERT(request->join != NULL && !*request->is_kept);
    *request->is_kept = true;
    return request->join;
}

/** An operation: answers the request before it returns, or begins a call that will. */
struct net_operation {
    uint16_t number; /* enum cellar_operation */
    void (*run)(struct net_session *session, const struct net_request *request);
};

enum net_session_state {
    NET_PREFACE,  /* the first 8 bytes have not come */
    NET_HELLO,    /* HELLO was not answered */
    NET_OPEN,     /* requests are taken */
    NET_DRAINING, /* requests are refused, those in flight finish */
    NET_CLOSING,  /* nothing is sent or taken any more but what waits in the output */
    NET_GONE      /* there is no connection */
};

/** A session; its fields are session.c's and inbound.c's, operations use the functions below. */
struct net_session {
    const struct net_context *context;
    struct io_conn *conn; /* NULL in GONE */
    struct io_loop *loop;
    enum net_session_state state;
    bool has_ended;           /* the client sends nothing more */
    bool is_partial;          /* the input ends inside a frame */
    bool is_held;             /* the session is not freed now */
    uint32_t join_count;      /* calls that are half-sent requests, */
    uint32_t refused_count;   /* and those of them that were answered already */
    int64_t waiting_since_us; /* for the request budget; 0 = not waiting */
    struct net_measures *measures;
    int64_t input_us;           /* when the input that is handled now came */
    uint8_t operation_index;    /* of the request that runs now, or ran last */
    bool is_fresh;              /* it runs and has not become a call */
    enum cellar_status outcome; /* of the next request that ends */
    struct net_calls calls;
    struct io_list parked;       /* io_work of streams that wait for room in the output */
    struct io_list away_waiting; /* io_work of reads that wait until fewer steps are */
    uint32_t away_count;         /* on the read pool */
};

/** Changes the state, by a move that is allowed. */
void net_session_move(struct net_session *session, enum net_session_state to);

/** Sends what waits and closes, unless that is under way. */
void net_session_close(struct net_session *session);

/** Does what follows when calls have ended: reading goes on, a connection that only waited for them
 * closes, a session without connection is freed. */
void net_session_settle(struct net_session *session);

/** What the sessions share. */
const struct net_context *net_session_context(const struct net_session *session);

/** The loop that owns the session. */
struct io_loop *net_session_loop(const struct net_session *session);

/** Notes that HELLO was answered. @return false when it was before */
bool net_session_open(struct net_session *session);

/** Says how the request that ends next was answered, where no net_reply_ function does. */
static inline void net_session_outcome_set(struct net_session *session, enum cellar_status code)
{
    session->outcome = code;
}

/** Counts the beginning of a request. @param index  of its operation in the table */
static inline void net_request_begin(struct net_session *session, size_t index)
{
    CELLAR_ASSERT(index < NET_OPERATION_COUNT_MAX);
    cellar_counter_add(&session->measures->begun, 1);
    session->operation_index = (uint8_t)index;
    session->is_fresh = true;
    session->outcome = CELLAR_CANCELLED;
}

/** Counts its end; it is fresh, that is, has not become a call. */
void net_request_end(struct net_session *session);

/** Counts a request that was answered without having run. @param index  as above, or
 * NET_OPERATION_OTHER */
void net_request_refused(struct net_session *session, size_t index);

/** Enters a call; the id is not in flight, the session knows. */
void net_call_begin(struct net_session *session, struct net_call *call,
                    const struct net_call_type *type, const struct net_request *request);

/** Takes a call out. It was answered, or cannot be. The session may be gone when this returns. */
void net_call_end(struct net_call *call);

/** Answers with an empty map. */
void net_reply_empty(struct net_session *session, uint32_t request_id, uint16_t operation);

/** Answers with a message of the list. */
void net_reply_message(struct net_session *session, const struct net_request *request,
                       const struct cellar_message_type *type, const void *message);

/** Answers with a body that is encoded already. */
void net_reply_body(struct net_session *session, uint32_t request_id, uint16_t operation,
                    struct cellar_slice body);

/** Answers with an error. */
void net_reply_error(struct net_session *session, uint32_t request_id, uint16_t operation,
                     const struct cellar_error *error);

/** Answers with the error and closes the connection behind it; id 0 speaks of the connection. */
void net_session_fail(struct net_session *session, uint32_t request_id, uint16_t operation,
                      const struct cellar_error *error);

/** The output, to append whole messages to; NULL when nothing may be sent any more. Before the loop
 * goes on, net_session_wrote() tells how it went. */
struct cellar_buffer *net_session_output(struct net_session *session);

/** Sends what was appended; after CELLAR_NO_MEMORY the connection is closed, as an answer is lost.
 * */
void net_session_wrote(struct net_session *session, enum cellar_status status);

/** Whether a stream may append its next part now; if not, `work` runs when it may. */
bool net_session_has_room(struct net_session *session, struct io_work *work);

/** The moment at which a request with that time limit expires. @param arrived_us monotonic. @param
 * timeout_us  0 = none */
struct svc_request net_request_limits(int64_t arrived_us, uint64_t timeout_us);

#endif
