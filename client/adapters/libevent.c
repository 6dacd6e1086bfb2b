/*
 * The asynchronous client on a libevent loop.
 *
 * Four kinds of news reach the client: a socket is ready, the timer came, another thread submitted
 * something (it writes to an eventfd that the loop watches, which needs no locks in libevent), and
 * the end. What the client asks for becomes events of the loop: one for each socket, made anew when
 * what it waits for changes, and one timer.
 *
 *     loop --ready--> cellar_loop_ready()        cellar.h: struct cellar_loop
 *          --timer, wake--> cellar_loop_turn()   watch(), timer(), wake() --> events
 *
 * Everything but wake() runs on the loop's thread. The storage is the caller's, the events are
 * libevent's; nothing here allocates by itself.
 */

#include <cellar/libevent.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A socket is ready. */
static void socket_ready(evutil_socket_t fd, short what, void *context)
{
    struct cellar_libevent *loop = context;
    cellar_loop_ready(loop->client, fd,
                      ((what & EV_READ) != 0 ? CELLAR_LOOP_READ : 0) |
                          ((what & EV_WRITE) != 0 ? CELLAR_LOOP_WRITE : 0));
}

/* The timer came. */
static void timer_came(evutil_socket_t fd, short what, void *context)
{
    struct cellar_libevent *loop = context;
    (void)fd;
    (void)what;
    cellar_loop_turn(loop->client);
}

/* Another thread called. */
static void wake_came(evutil_socket_t fd, short what, void *context)
{
    struct cellar_libevent *loop = context;
    eventfd_t count;
    (void)what;
    (void)eventfd_read(fd, &count); /* it fails when nobody called since: no harm */
    cellar_loop_turn(loop->client);
}

/* The place of a socket, or a free one for -1; the count of places when there is none. */
static size_t socket_find(const struct cellar_libevent *loop, int fd)
{
    size_t place = 0;
    while (place < CELLAR_LIBEVENT_SOCKETS_MAX && loop->sockets[place].fd != fd) {
        place++;
    }
    return place;
}

/* The client's watch. */
static bool loop_watch(void *context, int fd, int events)
{
    struct cellar_libevent *loop = context;
    short what = (short)(EV_PERSIST | ((events & CELLAR_LOOP_READ) != 0 ? EV_READ : 0) |
                         ((events & CELLAR_LOOP_WRITE) != 0 ? EV_WRITE : 0));
    size_t place = socket_find(loop, fd);
    if (place < CELLAR_LIBEVENT_SOCKETS_MAX) {
        event_free(loop->sockets[place].event);
        loop->sockets[place].event = NULL;
        loop->sockets[place].fd = -1;
    } else {
        place = socket_find(loop, -1);
    }
    if (events == 0) {
        return true;
    }
    if (place == CELLAR_LIBEVENT_SOCKETS_MAX) {
        return false;
    }
    struct event *made = event_new(loop->base, fd, what, socket_ready, loop);
    if (made == NULL || event_add(made, NULL) != 0) {
        if (made != NULL) {
            event_free(made);
        }
        return false;
    }
    loop->sockets[place].event = made;
    loop->sockets[place].fd = fd;
    return true;
}

/* The client's timer. */
static void loop_timer(void *context, int64_t delay_us)
{
    struct cellar_libevent *loop = context;
    struct timeval delay;
    if (delay_us < 0) {
        (void)event_del(loop->timer);
        return;
    }
    delay.tv_sec = (time_t)(delay_us / 1000000);
    delay.tv_usec = (suseconds_t)(delay_us % 1000000);
    if (event_add(loop->timer, &delay) != 0) {
        /* No memory to wait: the wake-up comes at once instead, and tries again. */
        (void)eventfd_write(loop->wake_fd, 1);
    }
}

/* The client's wake; any thread. */
static void loop_wake(void *context)
{
    struct cellar_libevent *loop = context;
    (void)eventfd_write(loop->wake_fd, 1); /* it fails only when it was called many times over */
}

/* Frees the events and the eventfd. */
static void loop_fini(struct cellar_libevent *loop)
{
    if (loop->timer != NULL) {
        event_free(loop->timer);
    }
    if (loop->wake != NULL) {
        event_free(loop->wake);
    }
    if (loop->wake_fd >= 0) {
        (void)close(loop->wake_fd);
    }
    loop->timer = NULL;
    loop->wake = NULL;
    loop->wake_fd = -1;
}

/* Makes the events and the eventfd; false without memory or descriptor. */
static bool loop_init(struct cellar_libevent *loop, struct cellar_client *client,
                      struct event_base *base)
{
    *loop = (struct cellar_libevent){.client = client, .base = base};
    for (size_t place = 0; place < CELLAR_LIBEVENT_SOCKETS_MAX; place++) {
        loop->sockets[place].fd = -1;
    }
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        return false;
    }
    loop->timer = event_new(base, -1, 0, timer_came, loop);
    loop->wake = event_new(base, loop->wake_fd, EV_READ | EV_PERSIST, wake_came, loop);
    return loop->timer != NULL && loop->wake != NULL && event_add(loop->wake, NULL) == 0;
}

enum cellar_code cellar_libevent_attach(struct cellar_libevent *loop, struct cellar_client *client,
                                        struct event_base *base, struct cellar_call *call)
{
    if (!loop_init(loop, client, base)) {
        loop_fini(loop);
        if (call != NULL) {
            call->failure = (struct cellar_failure){.code = CELLAR_E_NO_MEMORY};
            (void)snprintf(call->failure.text, sizeof call->failure.text,
                           "No memory or file descriptor for a loop's events");
        }
        return CELLAR_E_NO_MEMORY;
    }
    const struct cellar_loop asked = {
        .context = loop, .watch = loop_watch, .timer = loop_timer, .wake = loop_wake};
    enum cellar_code code = cellar_loop_attach(client, &asked, call);
    if (code != CELLAR_E_OK) {
        loop_fini(loop);
    }
    return code;
}

void cellar_libevent_detach(struct cellar_libevent *loop)
{
    cellar_loop_detach(loop->client);
    loop_fini(loop);
}
