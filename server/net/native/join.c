/*
 * Half-sent requests.
 *
 * In memory the body's capacity grows by steps of 64 KiB, never by doubling: what the budget counts
 * is then what the message needs, and the C library moves large blocks by remapping pages, not by
 * copying. A join that was refused keeps its place in the table until its last frame has come,
 * without a body, so that the rest of it is not taken for a new request. One loop's thread owns a
 * join.
 */
#include "server/net/native/join.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/mem.h"

#define STEP_BYTES 65536u
#define RETRY_DELAY_MS 1000u

struct net_join *net_join_new(const struct net_join_limits *limits)
{
    CELLAR_ASSERT(limits->directory != NULL && limits->memory_budget != NULL);
    CELLAR_ASSERT(limits->file_budget != NULL && limits->bytes_max > 0);
    struct net_join *join = cellar_mem_zalloc(1, sizeof *join);
    if (join != NULL) {
        join->limits = *limits;
        join->descriptor = -1;
    }
    return join;
}

/* The budget that the body is counted against now. */
static struct io_budget *budget_of(const struct net_join *join)
{
    CELLAR_ASSERT(join->descriptor < 0 || join->body.bytes == 0);
    return join->descriptor < 0 ? join->limits.memory_budget : join->limits.file_budget;
}

static void file_end(struct net_join *join)
{
    if (join->map != NULL) {
        (void)munmap(join->map, (size_t)join->file_bytes);
    }
    if (join->descriptor >= 0) {
        (void)close(join->descriptor);
    }
    join->map = NULL;
    join->descriptor = -1;
    join->file_bytes = 0;
}

void net_join_refuse(struct net_join *join)
{
    cellar_buffer_fini(&join->body);
    io_budget_give(budget_of(join), join->charged_bytes);
    file_end(join);
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

/* Counts more of the body against a budget. */
static enum cellar_status charge(struct net_join *join, struct io_budget *budget, uint64_t more,
                                 size_t bytes, struct cellar_error *error)
{
    CELLAR_ASSERT(more <= join->limits.bytes_max);
    if (!io_budget_try(budget, more)) {
        (void)cellar_error_set(error, CELLAR_UNAVAILABLE,
                               "The server has no room for a request of at least %zu bytes beside "
                               "those that it is receiving",
                               bytes);
        error->retry_delay_ms = RETRY_DELAY_MS;
        return CELLAR_UNAVAILABLE;
    }
    join->charged_bytes += more;
    return CELLAR_OK;
}

/* Makes the body's capacity `bytes` at least. */
static enum cellar_status grow(struct net_join *join, size_t bytes, struct cellar_error *error)
{
    if (bytes <= join->body.capacity) {
        return CELLAR_OK;
    }
    size_t capacity = (bytes + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
    uint64_t wanted = CELLAR_MIN((uint64_t)capacity, join->limits.bytes_max);
    uint64_t more = wanted - join->charged_bytes;
    CELLAR_TRY(charge(join, join->limits.memory_budget, more, bytes, error));
    uint8_t *data = cellar_mem_realloc(join->body.data, capacity);
    if (data == NULL) {
        join->charged_bytes -= more;
        io_budget_give(join->limits.memory_budget, more);
        return cellar_error_set(error, CELLAR_NO_MEMORY,
                                "No memory for a request of at least %zu bytes", bytes);
    }
    join->body.data = data;
    join->body.capacity = capacity;
    CELLAR_ASSERT(join->charged_bytes <= capacity);
    return CELLAR_OK;
}

/* ---- in a file ------------------------------------------------------------------------------- */

/* Says why the file cannot take more. */
static enum cellar_status file_failed(const struct net_join *join, struct cellar_error *error)
{
    bool is_full = errno == ENOSPC || errno == EDQUOT;
    CELLAR_ASSERT(errno != 0);
    return cellar_error_set(error, is_full ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_IO_ERROR,
                            "A request of more than %" PRIu64 " bytes cannot be kept in %s: %s",
                            join->limits.memory_bytes_max, join->limits.directory, strerror(errno));
}

static enum cellar_status file_append(struct net_join *join, struct cellar_slice bytes,
                                      struct cellar_error *error)
{
    size_t at = 0;
    CELLAR_ASSERT(join->descriptor >= 0);
    while (at < bytes.bytes) {
        ssize_t put = pwrite(join->descriptor, bytes.data + at, bytes.bytes - at,
                             (off_t)(join->file_bytes + at));
        if (put < 0 && errno != EINTR) {
            return file_failed(join, error);
        }
        at += put > 0 ? (size_t)put : 0;
    }
    join->file_bytes += bytes.bytes;
    return CELLAR_OK;
}

/* Moves the body from memory into a file, and from one budget to the other. */
static enum cellar_status file_begin(struct net_join *join, struct cellar_error *error)
{
    uint64_t memory_bytes = join->charged_bytes;
    struct cellar_buffer body = join->body;
    int descriptor = open(join->limits.directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CELLAR_ASSERT(join->descriptor < 0);
    if (descriptor < 0) {
        return file_failed(join, error);
    }
    enum cellar_status status =
        charge(join, join->limits.file_budget, body.bytes, body.bytes, error);
    if (status != CELLAR_OK) {
        (void)close(descriptor);
        return status;
    }
    io_budget_give(join->limits.memory_budget, memory_bytes);
    join->charged_bytes = body.bytes;
    join->descriptor = descriptor;
    join->body = (struct cellar_buffer){0};
    status = file_append(join, cellar_slice_of(&body), error);
    cellar_buffer_fini(&body);
    return status;
}

static enum cellar_status append_to_file(struct net_join *join, struct cellar_slice payload,
                                         struct cellar_error *error)
{
    CELLAR_TRY(join->descriptor < 0 ? file_begin(join, error) : CELLAR_OK);
    CELLAR_TRY(charge(join, join->limits.file_budget, payload.bytes,
                      (size_t)join->file_bytes + payload.bytes, error));
    CELLAR_ASSERT(join->descriptor >= 0);
    return file_append(join, payload, error);
}

/* ---- appending ------------------------------------------------------------------------------- */

enum cellar_status net_join_append(struct net_join *join, struct cellar_slice payload,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(!join->is_refused && join->map == NULL);
    size_t bytes = (size_t)join->file_bytes + join->body.bytes + payload.bytes;
    if (payload.bytes == 0) {
        return CELLAR_OK;
    }
    if (bytes > join->limits.bytes_max) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "A request takes at most %" PRIu64
                                " bytes on this server, this one "
                                "at least %zu",
                                join->limits.bytes_max, bytes);
    }
    if (join->descriptor >= 0 || bytes > join->limits.memory_bytes_max) {
        return append_to_file(join, payload, error);
    }
    CELLAR_TRY(grow(join, bytes, error));
    memcpy(join->body.data + join->body.bytes, payload.data, payload.bytes);
    join->body.bytes = bytes;
    CELLAR_ASSERT(join->body.bytes <= join->body.capacity);
    return CELLAR_OK;
}

enum cellar_status net_join_body(struct net_join *join, struct cellar_slice *body,
                                 struct cellar_error *error)
{
    CELLAR_ASSERT(!join->is_refused && join->map == NULL);
    if (join->descriptor < 0) {
        *body = cellar_slice_of(&join->body);
        return CELLAR_OK;
    }
    void *map = mmap(NULL, (size_t)join->file_bytes, PROT_READ, MAP_PRIVATE, join->descriptor, 0);
    if (map == MAP_FAILED) {
        return cellar_error_set(error, CELLAR_NO_MEMORY,
                                "No room for a map of a request of %" PRIu64 " bytes: %s",
                                join->file_bytes, strerror(errno));
    }
    join->map = map;
    *body = cellar_slice_make(map, (size_t)join->file_bytes);
    return CELLAR_OK;
}
