/*
 * The engine's bytes on a socket, blocking with a deadline.
 *
 * Everything waits in one place, sync_turn(): one poll() for what the engine wants (to send what is
 * queued, and always to read), then at most one send and one read. Reading goes on while a large
 * request is being sent, so that a server which refuses it early is heard and neither side waits
 * for the other. A signal's EPIPE is avoided by MSG_NOSIGNAL, so that programs need no handler.
 *
 *     greet:  send preface and HELLO, turn until the engine is open
 *     wait:   take an event; while there is none, turn
 *     turn:   send if there is something to send; poll; read
 *
 * A socket that ends breaks the engine with UNAVAILABLE, which says: what was not sent in full was
 * not applied. Who submitted a request asks cellar_sync_is_sent() before he believes it. When
 * sending fails, reading goes on to the end: the server may have said why.
 */

#include "client/lib/sync.h"

#include <cellar/cellar.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"

#define CLIENT_NAME "libcellar " CELLAR_VERSION_TEXT

struct cellar_sync {
    int fd;
    int interrupt_fd;  /* 0 = none */
    bool is_send_dead; /* sending failed; what the server said before is still read */
    struct cellar_engine engine;
};

struct cellar_engine *cellar_sync_engine(struct cellar_sync *sync)
{
    CELLAR_ASSERT(sync != NULL);
    return &sync->engine;
}

/* Breaks the engine because of the socket. */
static void socket_break(struct cellar_sync *sync, const char *what, int code)
{
    struct cellar_error error;
    char reason[128];
    CELLAR_ASSERT(what != NULL);
    if (code == 0) {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "%s", what);
    } else {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "%s: %s", what,
                               strerror_r(code, reason, sizeof reason));
    }
    cellar_engine_break(&sync->engine, &error);
}

static_assert(EAGAIN == EWOULDBLOCK, "one comparison is enough");

/* True when a call on the socket only has to be made again. */
static bool is_again(int code)
{
    CELLAR_ASSERT(code != 0);
    return code == EAGAIN || code == EINTR;
}

/* Sends what it can without waiting. */
static void socket_send(struct cellar_sync *sync)
{
    struct cellar_slice output = cellar_engine_output(&sync->engine);
    CELLAR_ASSERT(output.bytes > 0);
    ssize_t sent = send(sync->fd, output.data, output.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
        cellar_engine_sent(&sync->engine, (size_t)sent);
    } else if (!is_again(errno)) {
        sync->is_send_dead = true;
    }
}

/* Reads what is there without waiting. */
static void socket_read(struct cellar_sync *sync)
{
    uint8_t *room;
    size_t bytes;
    struct cellar_error error;
    if (cellar_engine_room(&sync->engine, &room, &bytes) != CELLAR_OK) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory to read an answer into");
        cellar_engine_break(&sync->engine, &error);
        return;
    }
    if (bytes == 0) {
        return;
    }
    ssize_t got = recv(sync->fd, room, bytes, MSG_DONTWAIT);
    if (got > 0) {
        CELLAR_ASSERT((size_t)got <= bytes);
        cellar_engine_received(&sync->engine, (size_t)got);
    } else if (got == 0) {
        socket_break(sync, "The server closed the connection", 0);
    } else if (!is_again(errno)) {
        socket_break(sync, "The connection broke while reading", errno);
    }
}

/* True while there is something to send and the peer still takes it. */
static bool has_to_send(const struct cellar_sync *sync)
{
    CELLAR_ASSERT(sync->fd >= 0);
    return !sync->is_send_dead && cellar_engine_output(&sync->engine).bytes > 0;
}

/* Sends, waits for the socket and reads, each at most once. */
static enum cellar_status sync_turn(struct cellar_sync *sync, int64_t deadline_us)
{
    CELLAR_ASSERT(sync->engine.state != CELLAR_ENGINE_BROKEN);
    if (has_to_send(sync)) {
        socket_send(sync);
    }
    short events = has_to_send(sync) ? POLLIN | POLLOUT : POLLIN;
    const struct cellar_socket_wait wait = {.fd = sync->fd,
                                            .interrupt_fd = sync->interrupt_fd,
                                            .deadline_us = deadline_us,
                                            .events = events};
    CELLAR_TRY(cellar_socket_wait(&wait));
    socket_read(sync);
    return CELLAR_OK;
}

/* The failure of a wait: of the deadline, an interrupt, or what broke the engine. */
static enum cellar_status wait_failed(struct cellar_sync *sync, enum cellar_status status,
                                      struct cellar_error *error)
{
    struct cellar_error late;
    if (status == CELLAR_DEADLINE_EXCEEDED) {
        (void)cellar_error_set(&late, CELLAR_DEADLINE_EXCEEDED,
                               "The time limit passed while waiting for the server");
        cellar_engine_break(&sync->engine, &late);
    } else if (status == CELLAR_CANCELLED) {
        (void)cellar_error_set(&late, CELLAR_CANCELLED, "Interrupted while waiting for the server");
        cellar_engine_break(&sync->engine, &late);
    }
    CELLAR_ASSERT(sync->engine.state == CELLAR_ENGINE_BROKEN);
    if (error != NULL) {
        *error = sync->engine.error;
    }
    return sync->engine.error.code;
}

enum cellar_status cellar_sync_wait(struct cellar_sync *sync, int64_t deadline_us,
                                    struct cellar_event *event, struct cellar_error *error)
{
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(sync->engine.state != CELLAR_ENGINE_NEW);
    while (status == CELLAR_OK && sync->engine.state != CELLAR_ENGINE_BROKEN) {
        if (cellar_engine_event(&sync->engine, event)) {
            return CELLAR_OK;
        }
        if (sync->engine.state != CELLAR_ENGINE_BROKEN) {
            status = sync_turn(sync, deadline_us);
        }
    }
    return wait_failed(sync, status, error);
}

/* Sends HELLO and waits until the engine is open. */
static enum cellar_status sync_greet(struct cellar_sync *sync, int64_t deadline_us,
                                     struct cellar_error *error)
{
    enum cellar_status status = CELLAR_OK;
    struct cellar_event event;
    CELLAR_ASSERT(sync->engine.state == CELLAR_ENGINE_NEW);
    if (cellar_engine_greet(&sync->engine, CLIENT_NAME) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a connection");
    }
    while (status == CELLAR_OK && sync->engine.state == CELLAR_ENGINE_GREETING) {
        status = sync_turn(sync, deadline_us);
        if (status == CELLAR_OK && sync->engine.state != CELLAR_ENGINE_BROKEN) {
            bool has_event = cellar_engine_event(&sync->engine, &event);
            CELLAR_ASSERT(!has_event); /* nothing was asked */
        }
    }
    if (status == CELLAR_OK && sync->engine.state == CELLAR_ENGINE_OPEN) {
        return CELLAR_OK;
    }
    if (status == CELLAR_OK && sync->engine.state == CELLAR_ENGINE_LEAVING) {
        socket_break(sync, "The server is going away", 0); /* it said both in one breath */
    }
    return wait_failed(sync, status, error);
}

/* Greets over a connected socket whose `fd` and `interrupt_fd` are in `socket`. */
static enum cellar_status socket_adopt(const struct cellar_socket_wait *socket,
                                       struct cellar_sync **sync, struct cellar_error *error)
{
    CELLAR_ASSERT(socket->fd >= 0);
    struct cellar_sync *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a connection");
    }
    made->fd = socket->fd;
    made->interrupt_fd = socket->interrupt_fd;
    cellar_engine_init(&made->engine);
    enum cellar_status status = sync_greet(made, socket->deadline_us, error);
    if (status != CELLAR_OK) {
        cellar_engine_fini(&made->engine);
        cellar_mem_free(made);
        return status;
    }
    *sync = made;
    return CELLAR_OK;
}

enum cellar_status cellar_sync_adopt(int fd, int64_t deadline_us, struct cellar_sync **sync,
                                     struct cellar_error *error)
{
    const struct cellar_socket_wait socket = {.fd = fd, .deadline_us = deadline_us};
    CELLAR_ASSERT(fd >= 0);
    return socket_adopt(&socket, sync, error);
}

enum cellar_status cellar_sync_open(const struct cellar_address *address, int64_t deadline_us,
                                    struct cellar_sync **sync, struct cellar_error *error)
{
    struct cellar_socket_wait socket = {
        .fd = -1, .interrupt_fd = address->interrupt_fd, .deadline_us = deadline_us};
    CELLAR_TRY(cellar_address_connect(address, deadline_us, &socket.fd, error));
    CELLAR_ASSERT(socket.fd >= 0);
    enum cellar_status status = socket_adopt(&socket, sync, error);
    if (status != CELLAR_OK) {
        (void)close(socket.fd);
    }
    return status;
}

void cellar_sync_close(struct cellar_sync *sync)
{
    if (sync == NULL) {
        return;
    }
    CELLAR_ASSERT(sync->fd >= 0);
    (void)close(sync->fd);
    cellar_engine_fini(&sync->engine);
    cellar_mem_free(sync);
}

bool cellar_sync_is_sent(const struct cellar_sync *sync)
{
    CELLAR_ASSERT(sync != NULL);
    return cellar_engine_output(&sync->engine).bytes == 0;
}

bool cellar_sync_is_reusable(struct cellar_sync *sync)
{
    struct pollfd entry = {.fd = sync->fd, .events = POLLIN};
    CELLAR_ASSERT(sync->fd >= 0);
    if (!cellar_engine_is_idle(&sync->engine)) {
        return false;
    }
    /* An idle connection has nothing to say but GOAWAY, an error or its end. */
    return poll(&entry, 1, 0) == 0;
}

bool cellar_sync_probe(struct cellar_sync *sync, int64_t deadline_us)
{
    static const uint8_t no_fields[] = {0x80};
    struct cellar_event event = {.request_id = 0};
    uint32_t id;
    CELLAR_ASSERT(cellar_engine_is_idle(&sync->engine));
    return cellar_engine_submit(&sync->engine, CELLAR_OP_PING,
                                cellar_slice_make(no_fields, sizeof no_fields), &id,
                                NULL) == CELLAR_OK &&
           cellar_sync_wait(sync, deadline_us, &event, NULL) == CELLAR_OK &&
           event.request_id == id && cellar_sync_is_reusable(sync);
}
