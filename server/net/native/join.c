/*
 * Half-sent requests.
 *
 * The body's capacity grows by steps of 64 KiB, never by doubling: what the budget counts is then
 * what the message needs, and the C library moves large blocks by remapping pages, not by copying.
 * A join that was refused keeps its place in the table until its last frame has come, without a
 * body, so that the rest of it is not taken for a new request. One loop's thread owns a join.
 */
#include "server/net/native/join.h"

#include <inttypes.h>

#include "common/mem.h"

#define STEP_BYTES 65536u
#define RETRY_DELAY_MS 1000u

struct net_join *net_join_new(struct io_budget *budget, uint64_t bytes_max)
{
    CELLAR_ASSERT(budget != NULL);
    CELLAR_ASSERT(bytes_max > 0);
    struct net_join *join = cellar_mem_zalloc(1, sizeof *join);
    if (join != NULL) {
        join->budget = budget;
        join->bytes_max = bytes_max;
    }
    return join;
}

void net_join_refuse(struct net_join *join)
{
    cellar_buffer_fini(&join->body);
    io_budget_give(join->budget, join->charged_bytes);
    join->charged_bytes = 0;
    join->is_refused = true;
    CELLAR_ASSERT(join->body.bytes == 0);
}

void net_join_free(struct net_join *join)
{
    CELLAR_ASSERT(join != NULL);
    net_join_refuse(join);
    cellar_mem_free(join);
}

static enum cellar_status grow(struct net_join *join, size_t bytes, struct cellar_error *error)
{
    if (bytes <= join->body.capacity) {
        return CELLAR_OK;
    }
    size_t capacity = (bytes + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
    uint64_t more = CELLAR_MIN((uint64_t)capacity, join->bytes_max) - join->charged_bytes;
    if (!io_budget_try(join->budget, more)) {
        (void)cellar_error_set(error, CELLAR_UNAVAILABLE,
                               "The server has no room for a request of at least %zu bytes beside "
                               "those that it is receiving",
                               bytes);
        error->retry_delay_ms = RETRY_DELAY_MS;
        return CELLAR_UNAVAILABLE;
    }
    uint8_t *data = cellar_mem_realloc(join->body.data, capacity);
    if (data == NULL) {
        io_budget_give(join->budget, more);
        return cellar_error_set(error, CELLAR_NO_MEMORY,
                                "No memory for a request of at least %zu bytes", bytes);
    }
    join->body.data = data;
    join->body.capacity = capacity;
    join->charged_bytes += more;
    CELLAR_ASSERT(join->charged_bytes <= capacity);
    return CELLAR_OK;
}

enum cellar_status net_join_append(struct net_join *join, struct cellar_slice payload,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(!join->is_refused);
    size_t bytes = join->body.bytes + payload.bytes;
    if (payload.bytes == 0) {
        return CELLAR_OK;
    }
    if (bytes > join->bytes_max) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "A request takes at most %" PRIu64
                                " bytes on this server, this one "
                                "at least %zu",
                                join->bytes_max, bytes);
    }
    CELLAR_TRY(grow(join, bytes, error));
    memcpy(join->body.data + join->body.bytes, payload.data, payload.bytes);
    join->body.bytes = bytes;
    CELLAR_ASSERT(join->body.bytes <= join->body.capacity);
    return CELLAR_OK;
}
