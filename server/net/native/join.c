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

struct net_join *net_join_new(const char *directory, struct io_budget *budget, uint64_t bytes_max)
{
    CELLAR_ASSERT(directory != NULL && budget != NULL);
    CELLAR_ASSERT(bytes_max > 0);
    struct net_join *join = cellar_mem_zalloc(1, sizeof *join);
    if (join != NULL) {
        join->directory = directory;
        join->descriptor = -1;
        join->budget = budget;
        join->bytes_max = bytes_max;
    }
    return join;
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
    file_end(join);
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

/* Counts more of the body against the budget. */
static enum cellar_status charge(struct net_join *join, uint64_t more, size_t bytes,
                                 struct cellar_error *error)
{
    CELLAR_ASSERT(join->charged_bytes + more <= join->bytes_max);
    if (!io_budget_try(join->budget, more)) {
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
    uint64_t more = CELLAR_MIN((uint64_t)capacity, join->bytes_max) - join->charged_bytes;
    CELLAR_TRY(charge(join, more, bytes, error));
    uint8_t *data = cellar_mem_realloc(join->body.data, capacity);
    if (data == NULL) {
        join->charged_bytes -= more;
        io_budget_give(join->budget, more);
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
                            "A request of more than %u bytes cannot be kept in %s: %s",
                            NET_JOIN_MEMORY_BYTES_MAX, join->directory, strerror(errno));
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

/* Moves the body from memory into a file. */
static enum cellar_status file_begin(struct net_join *join, struct cellar_error *error)
{
    CELLAR_ASSERT(join->descriptor < 0);
    join->descriptor = open(join->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (join->descriptor < 0) {
        return file_failed(join, error);
    }
    CELLAR_TRY(file_append(join, cellar_slice_of(&join->body), error));
    cellar_buffer_fini(&join->body);
    return CELLAR_OK;
}

static enum cellar_status append_to_file(struct net_join *join, struct cellar_slice payload,
                                         struct cellar_error *error)
{
    uint64_t bytes = join->file_bytes + join->body.bytes + payload.bytes;
    if (bytes > join->charged_bytes) {
        CELLAR_TRY(charge(join, bytes - join->charged_bytes, (size_t)bytes, error));
    }
    CELLAR_ASSERT(bytes <= join->bytes_max);
    if (join->descriptor < 0) {
        CELLAR_TRY(file_begin(join, error));
    }
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
    if (bytes > join->bytes_max) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "A request takes at most %" PRIu64
                                " bytes on this server, this one "
                                "at least %zu",
                                join->bytes_max, bytes);
    }
    if (bytes > NET_JOIN_MEMORY_BYTES_MAX) {
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
