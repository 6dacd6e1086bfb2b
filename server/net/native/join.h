#ifndef CELLAR_NET_JOIN_H
#define CELLAR_NET_JOIN_H

#include "common/buf.h"
#include "server/io/budget.h"
#include "server/net/native/call.h"

/*
 * A request that comes in several frames, while some are still missing. Its body grows in memory,
 * and above a limit in an unlinked file of the data directory, which is mapped when it is whole: a
 * large request costs little memory. Memory and files have a budget each. PROTOCOL.md, "Frames".
 */

#define NET_JOIN_MEMORY_BYTES_MAX 4194304u

/** Where the body goes, and how much of it; everything outlives the join. */
struct net_join_limits {
    struct io_budget *memory_budget;
    struct io_budget *file_budget;
    const char *directory;     /* for the file */
    uint64_t memory_bytes_max; /* of a body in memory */
    uint64_t bytes_max;        /* of any body */
};

/** `call` is entered in the session's table by the session. */
struct net_join {
    struct net_call call;
    struct net_join_limits limits;
    struct cellar_buffer body; /* in memory; empty when there is a file */
    int descriptor;            /* -1: no file */
    uint64_t file_bytes;
    void *map;              /* of the whole file; NULL: not mapped */
    uint64_t charged_bytes; /* to the budget of memory, or of files when there is one */
    bool is_refused;        /* answered already; what still comes is thrown away */
};

/** Makes a join without a body; NULL without memory. */
struct net_join *net_join_new(const struct net_join_limits *limits) CELLAR_MUST_USE;

/** Frees the join, which is in no table any more, and its body. */
void net_join_free(struct net_join *join);

/**
 * Appends one frame's payload.
 *
 * @return CELLAR_OK; CELLAR_UNAVAILABLE: a budget has no room now, the same payload may come
 *         again;
 *         CELLAR_RESOURCE_EXHAUSTED: longer than bytes_max, or no room on the disk;
 *         CELLAR_IO_ERROR, CELLAR_NO_MEMORY
 */
enum cellar_status net_join_append(struct net_join *join, struct cellar_slice payload,
                                   struct cellar_error *error) CELLAR_MUST_USE;

/** The whole body, when the last payload was appended; it lives as long as the join. @return
 * CELLAR_OK, CELLAR_NO_MEMORY (no map) */
enum cellar_status net_join_body(struct net_join *join, struct cellar_slice *body,
                                 struct cellar_error *error) CELLAR_MUST_USE;

/** Whether the body lies in a file's map. */
static inline bool net_join_is_mapped(const struct net_join *join)
{
    return join->map != NULL;
}

/** Frees the body and throws away from here on what comes. */
void net_join_refuse(struct net_join *join);

#endif
