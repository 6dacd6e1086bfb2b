/*
 * Sockets for the core's lines, on whatever loop there is.
 *
 * The loop says when a socket is ready, and is told after each turn what each one waits for.
 * Nothing here blocks: hosts are looked up by lookup.c, addresses are tried one after the other
 * with non-blocking connects, sending stops where the system's buffer is full, and reading stops
 * after a few buffers so that one connection cannot keep the loop to itself.
 *
 *     the core wants a line --> lookup --> connect, next address --> dialed --> bytes
 *                                  \            \-> none left -----> dial_failed
 *                                   \-> no such host, no answer in time ---^
 *
 * When sending fails, reading goes on to the end: the server may have said why. SIGPIPE is avoided
 * with MSG_NOSIGNAL. The loop's thread owns all of it.
 */

#include "client/lib/async_io.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_MAX 16u /* of one socket in a row */

static_assert(EAGAIN == EWOULDBLOCK, "one comparison is enough");

enum cellar_status cellar_async_io_init(struct cellar_async_io *io,
                                        const struct cellar_address *address,
                                        const struct cellar_core_terms *terms,
                                        const struct cellar_loop *loop)
{
    CELLAR_ASSERT(loop->watch != NULL && loop->timer != NULL && loop->wake != NULL);
    memset(io, 0, sizeof *io);
    CELLAR_TRY(cellar_core_init(&io->core, terms));
    io->address = *address;
    io->loop = *loop;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(io->sockets); index++) {
        io->sockets[index].fd = -1;
    }
    return CELLAR_OK;
}

void cellar_async_io_fini(struct cellar_async_io *io)
{
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(io->sockets); index++) {
        CELLAR_ASSERT(io->sockets[index].fd < 0 && io->sockets[index].lookup == NULL);
    }
    cellar_core_fini(&io->core);
}

/* Closes a socket, after the loop has let go of it. */
static void socket_close(struct cellar_async_io *io, struct cellar_async_socket *to)
{
    if (to->fd >= 0) {
        if (to->watched != 0) {
            (void)io->loop.watch(io->loop.context, to->fd, 0);
        }
        (void)close(to->fd);
    }
    *to = (struct cellar_async_socket){.fd = -1, .lookup = to->lookup, .next = to->next};
    CELLAR_ASSERT(to->watched == 0);
}

/* ---- connecting ---------------------------------------------------------------------------- */

/* Ends a dial that failed. */
static void dial_failed(struct cellar_async_io *io, uint32_t index,
                        const struct cellar_error *error, int64_t now_us)
{
    struct cellar_async_socket *to = &io->sockets[index];
    CELLAR_ASSERT(error->code != CELLAR_OK);
    socket_close(io, to);
    cellar_lookup_free(to->lookup);
    *to = (struct cellar_async_socket){.fd = -1};
    cellar_core_dial_failed(&io->core, index, error, now_us);
}

/* A socket is connected: lets the core greet. */
static void dial_done(struct cellar_async_io *io, uint32_t index, int64_t now_us)
{
    struct cellar_async_socket *to = &io->sockets[index];
    CELLAR_ASSERT(to->fd >= 0);
    cellar_socket_tune(to->fd);
    cellar_lookup_free(to->lookup);
    to->lookup = NULL;
    to->next = NULL;
    cellar_core_dialed(&io->core, index, now_us);
}

/* Begins to connect to one address: 0, EINPROGRESS, or the errno of a failure. */
static int connect_begin(struct cellar_async_socket *to, const struct addrinfo *info)
{
    CELLAR_ASSERT(to->fd < 0 && info->ai_addr != NULL);
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    int code = connect(fd, info->ai_addr, info->ai_addrlen) == 0 ? 0 : errno;
    if (code != 0 && code != EINPROGRESS) {
        (void)close(fd);
        return code;
    }
    to->fd = fd;
    return code;
}

/* Tries the addresses that are left until one does not fail at once. */
static void connect_next(struct cellar_async_io *io, uint32_t index, int64_t now_us)
{
    struct cellar_async_socket *to = &io->sockets[index];
    struct cellar_error error;
    char reason[128];
    int last_code = to->code;
    CELLAR_ASSERT(to->lookup != NULL);
    while (to->next != NULL) {
        const struct addrinfo *info = to->next;
        to->next = info->ai_next;
        int code = connect_begin(to, info);
        if (code == 0) {
            dial_done(io, index, now_us);
        }
        if (code == 0 || code == EINPROGRESS) {
            return;
        }
        last_code = code;
    }
    (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "Cannot connect to %s port %s: %s",
                           io->address.host, io->address.port,
                           strerror_r(last_code, reason, sizeof reason));
    dial_failed(io, index, &error, now_us);
}

/* Looks whether a lookup is over. */
static void lookup_check(struct cellar_async_io *io, uint32_t index, int64_t now_us)
{
    struct cellar_async_socket *to = &io->sockets[index];
    struct cellar_error error;
    bool is_done = false;
    CELLAR_ASSERT(to->lookup != NULL && to->fd < 0);
    if (cellar_lookup_get(to->lookup, &is_done, &to->next, &error) != CELLAR_OK) {
        dial_failed(io, index, &error, now_us);
    } else if (is_done) {
        to->code = EADDRNOTAVAIL;
        connect_next(io, index, now_us);
    }
}

/* Begins a new connection. */
static void dial_begin(struct cellar_async_io *io, uint32_t index, int64_t now_us)
{
    struct cellar_async_socket *to = &io->sockets[index];
    struct cellar_error error;
    CELLAR_ASSERT(to->fd < 0 && to->lookup == NULL);
    enum cellar_status status =
        cellar_lookup_start(&io->address, io->loop.wake, io->loop.context, &to->lookup);
    if (status != CELLAR_OK) {
        (void)cellar_error_set(&error, status, "No memory or thread to look up the host '%s'",
                               io->address.host);
        dial_failed(io, index, &error, now_us);
        return;
    }
    lookup_check(io, index, now_us);
}

/* The socket of a DIALING line can be written: it is connected, or has failed. Loops tell that of
 * numbers of sockets, so that the news may be of an older one with the same number. */
static void dial_ready(struct cellar_async_io *io, uint32_t index, int64_t now_us)
{
    struct cellar_async_socket *to = &io->sockets[index];
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;
    int code = 0;
    socklen_t code_bytes = sizeof code;
    CELLAR_ASSERT(to->fd >= 0);
    if (getsockopt(to->fd, SOL_SOCKET, SO_ERROR, &code, &code_bytes) != 0) {
        code = errno;
    }
    if (code == 0 && getpeername(to->fd, (struct sockaddr *)&peer, &peer_bytes) != 0) {
        return; /* not yet */
    }
    if (code == 0) {
        dial_done(io, index, now_us);
        return;
    }
    socket_close(io, to);
    to->code = code;
    connect_next(io, index, now_us);
}

/* ---- bytes --------------------------------------------------------------------------------- */

/* Breaks a line because of its socket. */
static void socket_broken(struct cellar_async_io *io, uint32_t index, int code, int64_t now_us)
{
    struct cellar_error error;
    char reason[128];
    CELLAR_ASSERT(code >= 0);
    if (code == 0) {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "The server closed the connection");
    } else {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "The connection broke while reading: %s",
                               strerror_r(code, reason, sizeof reason));
    }
    cellar_core_broken(&io->core, index, &error, now_us);
}

/* Reads once; false when there is nothing more to read now. */
static bool socket_read(struct cellar_async_io *io, uint32_t index, int64_t now_us)
{
    uint8_t *room;
    size_t bytes;
    if (!cellar_core_room(&io->core, index, now_us, &room, &bytes)) {
        return false;
    }
    ssize_t got = recv(io->sockets[index].fd, room, bytes, MSG_DONTWAIT);
    if (got > 0) {
        CELLAR_ASSERT((size_t)got <= bytes);
        cellar_core_received(&io->core, index, (size_t)got, now_us);
        return (size_t)got == bytes && io->core.lines[index].state == CELLAR_LINE_UP;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        socket_broken(io, index, got == 0 ? 0 : errno, now_us);
    }
    return false;
}

/* Sends what a line has, until the system takes no more. */
static void socket_send(struct cellar_async_io *io, uint32_t index)
{
    struct cellar_async_socket *to = &io->sockets[index];
    struct cellar_slice output = cellar_core_output(&io->core, index);
    while (output.bytes > 0 && !to->is_send_dead) {
        ssize_t sent = send(to->fd, output.data, output.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            to->is_send_dead = errno != EAGAIN && errno != EINTR;
            return;
        }
        cellar_core_sent(&io->core, index, (size_t)sent);
        output = cellar_core_output(&io->core, index);
    }
}

bool cellar_async_io_ready(struct cellar_async_io *io, int fd, int64_t now_us)
{
    CELLAR_ASSERT(fd >= 0);
    for (uint32_t index = 0; index < io->core.line_count; index++) {
        if (io->sockets[index].fd != fd) {
            continue;
        }
        if (io->core.lines[index].state == CELLAR_LINE_DIALING) {
            dial_ready(io, index, now_us);
        } else if (io->core.lines[index].state == CELLAR_LINE_UP) {
            unsigned read_count = 0;
            while (read_count < READS_MAX && socket_read(io, index, now_us)) {
                read_count++;
            }
        }
        return true;
    }
    return false;
}

/* ---- turns --------------------------------------------------------------------------------- */

/* What happened to a line that is not UP since the last turn. */
static void line_check(struct cellar_async_io *io, uint32_t index, int64_t now_us)
{
    struct cellar_error error;
    const struct cellar_line *line = &io->core.lines[index];
    if (line->state == CELLAR_LINE_DIALING && line->limit_us <= now_us) {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE,
                               "Cannot connect to %s port %s: no answer in time", io->address.host,
                               io->address.port);
        dial_failed(io, index, &error, now_us);
    } else if (line->state == CELLAR_LINE_DIALING && io->sockets[index].fd < 0) {
        lookup_check(io, index, now_us);
    } else if (line->state == CELLAR_LINE_ENDING) {
        socket_close(io, &io->sockets[index]);
        cellar_core_closed(&io->core, index);
    }
    CELLAR_ASSERT(line->state != CELLAR_LINE_ENDING);
}

/* Tells the loop what a socket waits for, if that changed. */
static void watch_update(struct cellar_async_io *io, uint32_t index, int64_t now_us)
{
    struct cellar_async_socket *to = &io->sockets[index];
    struct cellar_error error;
    int wanted = CELLAR_LOOP_WRITE;
    if (to->fd < 0) {
        return;
    }
    if (io->core.lines[index].state == CELLAR_LINE_UP) {
        bool has_to_send = !to->is_send_dead && cellar_core_output(&io->core, index).bytes > 0;
        wanted = has_to_send ? CELLAR_LOOP_READ | CELLAR_LOOP_WRITE : CELLAR_LOOP_READ;
    }
    CELLAR_ASSERT(wanted != 0);
    if (wanted == to->watched) {
        return;
    }
    if (io->loop.watch(io->loop.context, to->fd, wanted)) {
        to->watched = wanted;
        return;
    }
    (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "The event loop cannot watch a connection");
    if (io->core.lines[index].state == CELLAR_LINE_DIALING) {
        dial_failed(io, index, &error, now_us);
    } else {
        cellar_core_broken(&io->core, index, &error, now_us);
    }
}

void cellar_async_io_turn(struct cellar_async_io *io, int64_t now_us)
{
    uint32_t index;
    for (index = 0; index < io->core.line_count; index++) {
        line_check(io, index, now_us);
    }
    cellar_core_turn(&io->core, now_us);
    while (cellar_core_dial(&io->core, now_us, &index)) {
        CELLAR_ASSERT(index < io->core.line_count);
        dial_begin(io, index, now_us);
    }
    for (index = 0; index < io->core.line_count; index++) {
        if (io->core.lines[index].state == CELLAR_LINE_UP) {
            socket_send(io, index);
        }
        watch_update(io, index, now_us);
        line_check(io, index, now_us);
    }
}

void cellar_async_io_stop(struct cellar_async_io *io, int64_t now_us)
{
    struct cellar_error error;
    (void)cellar_error_set(&error, CELLAR_CANCELLED, "The client was closed");
    cellar_core_stop(&io->core, now_us);
    for (uint32_t index = 0; index < io->core.line_count; index++) {
        if (io->core.lines[index].state == CELLAR_LINE_DIALING) {
            dial_failed(io, index, &error, now_us);
        } else {
            line_check(io, index, now_us);
        }
        CELLAR_ASSERT(io->core.lines[index].state == CELLAR_LINE_FREE);
    }
}
