/*
 * sd_notify(3) without its library.
 *
 * The protocol is a datagram to a Unix socket; systemd promises that it stays as it is. Messages
 * are short and sent without waiting: a manager that does not read must not hold up the server. The
 * watchdog counts only when it is meant for this process (WATCHDOG_PID), which matters where a
 * wrapper stands before the server.
 */
#include "server/app/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define MESSAGE_BYTES_MAX 1024u

/* Fills the address from its text. False: it is no address that can be used. */
static bool decode_address(struct cellar_notify *notify, const char *text)
{
    size_t length = strlen(text);
    bool is_known = text[0] == '/' || text[0] == '@';
    if (!is_known || length < 2 || length >= sizeof notify->address.sun_path) {
        return false;
    }
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, text, length);
    if (text[0] == '@') {
        notify->address.sun_path[0] = '\0';
    }
    notify->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    CELLAR_ASSERT(notify->address_bytes <= sizeof notify->address);
    return true;
}

/* How often the manager wants to hear from this process. */
static int64_t watchdog_get(void)
{
    const char *us_text = getenv("WATCHDOG_USEC");
    const char *pid_text = getenv("WATCHDOG_PID");
    if (us_text == NULL || (pid_text != NULL && strtol(pid_text, NULL, 10) != (long)getpid())) {
        return 0;
    }
    long long us = strtoll(us_text, NULL, 10);
    return us > 0 && us < INT64_MAX / 2 ? (int64_t)us : 0;
}

void cellar_notify_open(struct cellar_notify *notify)
{
    const char *text = getenv("NOTIFY_SOCKET");
    *notify = (struct cellar_notify){.fd = -1};
    CELLAR_ASSERT(notify->watchdog_us == 0);
    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (!decode_address(notify, text)) {
        cellar_log(CELLAR_LOG_WARN, "notify_failed", "socket=\"%s\" error=\"no such address\"",
                   text);
        return;
    }
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd < 0) {
        cellar_log(CELLAR_LOG_WARN, "notify_failed", "socket=\"%s\" error=\"%s\"", text,
                   strerror(errno));
        return;
    }
    notify->watchdog_us = watchdog_get();
}

void cellar_notify_close(struct cellar_notify *notify)
{
    CELLAR_ASSERT(notify != NULL);
    if (notify->fd >= 0) {
        (void)close(notify->fd);
    }
    notify->fd = -1;
}

void cellar_notify_send(const struct cellar_notify *notify, const char *format, ...)
{
    char text[MESSAGE_BYTES_MAX];
    va_list arguments;
    if (notify->fd < 0) {
        return;
    }
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    CELLAR_ASSERT(length > 0);
    size_t bytes = CELLAR_MIN((size_t)length, sizeof text - 1);
    if (sendto(notify->fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL,
               (const struct sockaddr *)&notify->address, notify->address_bytes) < 0) {
        cellar_log(CELLAR_LOG_WARN, "notify_failed", "error=\"%s\"", strerror(errno));
    }
}
