#ifndef CELLAR_CLIENT_ADDRESS_H
#define CELLAR_CLIENT_ADDRESS_H

#include "common/status.h"

/* "host:port" taken apart, and a connected socket from it. */

#define CELLAR_HOST_BYTES_MAX 254u /* a DNS name, with its NUL */
#define CELLAR_PORT_BYTES_MAX 6u

/** An endpoint in two parts, NUL-terminated. */
struct cellar_address {
    char host[CELLAR_HOST_BYTES_MAX];
    char port[CELLAR_PORT_BYTES_MAX]; /* 1..65535 in decimal */
    int interrupt_fd; /* every wait for the server ends while it is readable; 0 = none */
};

/**
 * Splits `host:port` or `[v6 address]:port`.
 *
 * @param text     NUL-terminated
 * @param address  untouched on failure
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what was expected and seen
 */
enum cellar_status cellar_address_decode(const char *text, struct cellar_address *address,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Connects to the first of the host's addresses that answers. Looking up a name (not a number) has
 * the system's own time limit.
 *
 * @param deadline_us  monotonic microseconds; 0 = none
 * @param fd           receives a socket: non-blocking, close-on-exec, without Nagle's delay, kept
 * alive
 * @return CELLAR_OK; CELLAR_UNAVAILABLE naming the endpoint and the reason;
 *         CELLAR_DEADLINE_EXCEEDED; CELLAR_CANCELLED; CELLAR_INVALID_ARGUMENT for a name that
 *         does not exist
 */
enum cellar_status cellar_address_connect(const struct cellar_address *address, int64_t deadline_us,
                                          int *fd, struct cellar_error *error) CELLAR_MUST_USE;

/** What is waited for. */
struct cellar_socket_wait {
    int fd;
    int interrupt_fd;    /* the wait ends when it is readable; 0 = none */
    int64_t deadline_us; /* monotonic microseconds; 0 = none */
    short events;        /* POLLIN, POLLOUT or both */
};

/**
 * Waits until a socket can be read or written.
 *
 * @return CELLAR_OK; CELLAR_DEADLINE_EXCEEDED; CELLAR_CANCELLED
 */
enum cellar_status cellar_socket_wait(const struct cellar_socket_wait *wait) CELLAR_MUST_USE;

/** Sets the options of a TCP socket: no Nagle's delay, kept alive. One that the system does not
 * take is no reason to fail. */
void cellar_socket_tune(int fd);

#endif
