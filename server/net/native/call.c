/*
 * The table of calls in flight.
 *
 * A hash table with chains, keyed by the request id modulo the number of buckets: clients count ids
 * up, so chains are as short as they can be; a client that chooses ids to collide makes itself walk
 * the thousand calls that it may have. The same calls are in a list, oldest first, for the events
 * that concern all of them. While the list is walked a call may take itself out, but no other one.
 */
#include "server/net/native/call.h"

void net_calls_init(struct net_calls *calls)
{
    CELLAR_ASSERT(calls->count == 0);
    io_list_init(&calls->all);
}

struct net_call *net_calls_find(const struct net_calls *calls, uint32_t request_id)
{
    struct net_call *call = calls->buckets[request_id % NET_CALL_BUCKET_COUNT];
    while (call != NULL && call->request_id != request_id) {
        CELLAR_ASSERT(call->next != call);
        call = call->next;
    }
    return call;
}

void net_calls_add(struct net_calls *calls, struct net_call *call)
{
    CELLAR_ASSERT(call->type != NULL && call->session != NULL);
    CELLAR_ASSERT(net_calls_find(calls, call->request_id) == NULL);
    struct net_call **bucket = &calls->buckets[call->request_id % NET_CALL_BUCKET_COUNT];
    call->next = *bucket;
    *bucket = call;
    io_list_init(&call->link);
    io_list_append(&calls->all, &call->link);
    calls->count++;
}

void net_calls_remove(struct net_calls *calls, struct net_call *call)
{
    CELLAR_ASSERT(calls->count > 0);
    struct net_call **at = &calls->buckets[call->request_id % NET_CALL_BUCKET_COUNT];
    while (*at != call) {
        CELLAR_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = call->next;
    io_list_remove(&call->link);
    calls->count--;
}

/* Tells one call of an event; it may end itself. */
typedef void tell_fn(struct net_call *call, int64_t now_us);

static void tell_all(struct net_calls *calls, tell_fn *tell, int64_t now_us)
{
    struct io_list *at = calls->all.next;
    while (at != &calls->all) {
        struct io_list *next = at->next;
        struct net_call *call = CELLAR_CONTAINER_OF(at, struct net_call, link);
        CELLAR_ASSERT(call->type != NULL);
        tell(call, now_us);
        at = next;
    }
}

static void tell_ended(struct net_call *call, int64_t now_us)
{
    CELLAR_ASSERT(now_us == 0);
    if (call->type->ended != NULL) {
        call->type->ended(call);
    }
}

static void tell_gone(struct net_call *call, int64_t now_us)
{
    CELLAR_ASSERT(now_us == 0);
    if (call->type->gone != NULL) {
        call->type->gone(call);
    }
}

static void tell_tick(struct net_call *call, int64_t now_us)
{
    CELLAR_ASSERT(now_us > 0);
    if (call->type->tick != NULL) {
        call->type->tick(call, now_us);
    }
}

void net_calls_ended(struct net_calls *calls)
{
    CELLAR_ASSERT(calls != NULL);
    tell_all(calls, tell_ended, 0);
}

void net_calls_gone(struct net_calls *calls)
{
    CELLAR_ASSERT(calls != NULL);
    tell_all(calls, tell_gone, 0);
}

void net_calls_tick(struct net_calls *calls, int64_t now_us)
{
    CELLAR_ASSERT(calls != NULL);
    tell_all(calls, tell_tick, now_us);
}
