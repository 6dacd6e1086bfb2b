#ifndef CELLAR_APP_NOTIFY_H
#define CELLAR_APP_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

#include "common/base.h"

/*
 * Telling the service manager how the server is doing: systemd's sd_notify(3) protocol, datagrams
 * of NAME=value lines to the socket that the environment names. One thread at a time.
 */
struct cellar_notify {
    int fd; /* -1: nobody wants to know */
    struct sockaddr_un address;
    socklen_t address_bytes;
    int64_t watchdog_us; /* the manager wants a sign of life that often; 0 = not */
};

/** Reads NOTIFY_SOCKET (a path, or @ and an abstract name), WATCHDOG_USEC and WATCHDOG_PID. A
 * socket that cannot be used is logged, and nothing is sent then. */
void cellar_notify_open(struct cellar_notify *notify);

/** Ends it. */
void cellar_notify_close(struct cellar_notify *notify);

/** Sends lines, such as "READY=1\nSTATUS=...". What cannot be sent is lost. */
void cellar_notify_send(const struct cellar_notify *notify, const char *format, ...)
    CELLAR_PRINTF(2, 3);

#endif
