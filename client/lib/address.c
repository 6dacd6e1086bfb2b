/*
 * From "host:port" to a connected socket.
 *
 * getaddrinfo() looks the host up; its addresses are tried in its order, each with a non-blocking
 * connect() that is waited for until the call's deadline. When none answers, the reason of the last
 * one is told. Names are looked up at every connect, so that a server may move.
 *
 * No state; any thread. The caller owns the socket.
 */

#include "client/lib/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

#define WAIT_MS_MAX 3600000

/* Copies a part of an endpoint; false when it is empty or too long. */
static bool part_copy(char *to, size_t to_bytes, const char *from, size_t bytes)
{
    CELLAR_ASSERT(to_bytes > 1);
    if (bytes == 0 || bytes >= to_bytes) {
        return false;
    }
    memcpy(to, from, bytes);
    to[bytes] = '\0';
    return true;
}

/* True for decimal digits that make a port number; getaddrinfo() would take more than that. */
static bool port_check(const char *port)
{
    char *end;
    CELLAR_ASSERT(port != NULL);
    if (port[0] < '0' || port[0] > '9') {
        return false;
    }
    unsigned long number = strtoul(port, &end, 10);
    return *end == '\0' && number >= 1 && number <= 65535;
}

enum cellar_status cellar_address_decode(const char *text, struct cellar_address *address,
                                         struct cellar_error *error)
{
    struct cellar_address found = {.interrupt_fd = 0};
    CELLAR_ASSERT(text != NULL);
    const char *colon = strrchr(text, ':');
    const char *host = text;
    const char *host_end = colon;
    if (text[0] == '[' && colon != NULL && colon[-1] == ']') {
        host = text + 1;
        host_end = colon - 1;
    } else if (colon != NULL && memchr(text, ':', (size_t)(colon - text)) != NULL) {
        colon = NULL; /* a v6 address without brackets */
    }
    if (colon == NULL ||
        !part_copy(found.host, sizeof found.host, host, (size_t)(host_end - host)) ||
        !part_copy(found.port, sizeof found.port, colon + 1, strlen(colon + 1)) ||
        !port_check(found.port) || strpbrk(found.host, "[]") != NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "An endpoint must be host:port or [v6 address]:port with a port "
                                "from 1 to 65535, but got '%.200s'",
                                text);
    }
    *address = found;
    return CELLAR_OK;
}

enum cellar_status cellar_socket_wait(const struct cellar_socket_wait *wait)
{
    CELLAR_ASSERT(wait->fd >= 0 && wait->interrupt_fd >= 0);
    for (;;) {
        int wait_ms = -1;
        if (wait->deadline_us != 0) {
            int64_t left_us = wait->deadline_us - cellar_clock_monotonic_us();
            if (left_us <= 0) {
                return CELLAR_DEADLINE_EXCEEDED;
            }
            wait_ms = (int)CELLAR_MIN((left_us + 999) / 1000, (int64_t)WAIT_MS_MAX);
        }
        struct pollfd entries[2] = {{.fd = wait->fd, .events = wait->events},
                                    {.fd = wait->interrupt_fd, .events = POLLIN}};
        int ready = poll(entries, wait->interrupt_fd == 0 ? 1 : 2, wait_ms);
        if (ready > 0) {
            return entries[1].revents != 0 ? CELLAR_CANCELLED : CELLAR_OK;
        }
    }
}

void cellar_socket_tune(int fd)
{
    static const struct {
        int level;
        int name;
        int value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        /* Finds out within a minute that the other host is gone, also while nobody calls. */
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 30},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},
    };
    CELLAR_ASSERT(fd >= 0);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(options); index++) {
        (void)setsockopt(fd, options[index].level, options[index].name, &options[index].value,
                         sizeof options[index].value);
    }
}

/* Connects to one address; the socket's errno or 0, ETIMEDOUT at the deadline, ECANCELED when
 * interrupted. */
static int connect_one(const struct addrinfo *info, const struct cellar_socket_wait *terms, int *fd)
{
    CELLAR_ASSERT(info->ai_addr != NULL);
    int found = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int code = 0;
    if (found < 0) {
        return errno;
    }
    if (connect(found, info->ai_addr, info->ai_addrlen) != 0) {
        code = errno;
    }
    if (code == EINPROGRESS) {
        /* The socket can be written once it is connected or has failed; SO_ERROR tells which. */
        socklen_t code_bytes = sizeof code;
        struct cellar_socket_wait wait = *terms;
        wait.fd = found;
        enum cellar_status status = cellar_socket_wait(&wait);
        if (status != CELLAR_OK) {
            code = status == CELLAR_CANCELLED ? ECANCELED : ETIMEDOUT;
        } else if (getsockopt(found, SOL_SOCKET, SO_ERROR, &code, &code_bytes) != 0) {
            code = errno;
        }
    }
    if (code != 0) {
        (void)close(found);
        return code;
    }
    cellar_socket_tune(found);
    *fd = found;
    return 0;
}

enum cellar_status cellar_address_connect(const struct cellar_address *address, int64_t deadline_us,
                                          int *fd, struct cellar_error *error)
{
    /* The port is a number already: AI_NUMERICSERV spares a look at the list of services. */
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char reason[128];
    CELLAR_ASSERT(fd != NULL);
    int code = getaddrinfo(address->host, address->port, &hints, &list);
    if (code != 0) {
        return cellar_error_set(
            error, code == EAI_NONAME ? CELLAR_INVALID_ARGUMENT : CELLAR_UNAVAILABLE,
            "Cannot look up the host '%s': %s", address->host, gai_strerror(code));
    }
    const struct cellar_socket_wait terms = {
        .interrupt_fd = address->interrupt_fd, .deadline_us = deadline_us, .events = POLLOUT};
    code = EADDRNOTAVAIL;
    for (struct addrinfo *info = list; info != NULL && code != 0 && code != ECANCELED;
         info = info->ai_next) {
        code = connect_one(info, &terms, fd);
    }
    freeaddrinfo(list);
    if (code == 0) {
        return CELLAR_OK;
    }
    if (code == ECANCELED) {
        return cellar_error_set(error, CELLAR_CANCELLED,
                                "Interrupted while connecting to %s port %s", address->host,
                                address->port);
    }
    bool is_late = deadline_us != 0 && cellar_clock_monotonic_us() >= deadline_us;
    return cellar_error_set(error, is_late ? CELLAR_DEADLINE_EXCEEDED : CELLAR_UNAVAILABLE,
                            "Cannot connect to %s port %s: %s", address->host, address->port,
                            strerror_r(code, reason, sizeof reason));
}
