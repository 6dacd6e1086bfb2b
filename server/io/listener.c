/*
 * The listening socket.
 *
 * Opening binds and starting listens, so that a server can find out early that its address is
 * taken, recover its data, and only then let clients in. Linux refuses the second bind of an
 * address as soon as another socket listens on it; two servers that bind at the same time are told
 * apart by listen(2), with the same text.
 *
 * Accepting happens on the first loop: up to ACCEPT_COUNT_MAX sockets a wake-up, each made into a
 * connection and posted to the next loop in turn. One that gets one of the last descriptors is
 * closed, as those are for files. When the process has no descriptor left,
 * accepting pauses until the next tick rather than spinning; above connection_count_max a new
 * connection gets another context, for those few that are served even then, and above spare_count
 * of these it is closed at once.
 *
 * Start and stop are tasks posted to that loop; stop waits for its task. The socket and the event
 * belong to the loop's thread between the two.
 */
#include "server/io/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/descriptor.h"
#include "common/mem.h"
#include "common/sync.h"

#define ACCEPT_COUNT_MAX 64
#define BACKLOG 1024
#define DESCRIPTORS_SHARE 4u /* one of so many is for files: idle connections would stop writes */
#define DESCRIPTORS_RESERVED_MAX 256u
#define KEEPALIVE_SECONDS 60

struct io_listener {
    struct io_listener_options options;
    _Atomic uint32_t connection_count_max;
    struct io_address address;
    int fd;
    bool is_started;
    bool is_resting; /* no descriptors: accepts again at the next tick */
    size_t loop_index;
    struct event event;
    struct io_member member;
    struct io_task start_task;
    struct io_task stop_task;
    struct cellar_mutex lock;
    struct cellar_cond is_stopped_cond;
    bool is_stopped CELLAR_GUARDED_BY(lock);
};

static enum cellar_status refuse(const struct io_address *address, const char *what,
                                 struct cellar_error *error)
{
    char text[IO_ADDRESS_TEXT_BYTES_MAX];
    CELLAR_ASSERT(errno != 0);
    return cellar_error_set(error, CELLAR_IO_ERROR, "cannot %s %s: %s", what,
                            io_address_show(address, text), strerror(errno));
}

static enum cellar_status bind_socket(struct io_listener *listener, struct cellar_error *error)
{
    const struct io_address *wanted = &listener->options.address;
    listener->fd =
        socket(wanted->native.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (listener->fd < 0) {
        return refuse(wanted, "make a socket for", error);
    }
    int on = 1;
    if (setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener->fd, (const struct sockaddr *)&wanted->native, wanted->native_bytes) != 0) {
        return refuse(wanted, "listen on", error);
    }
    listener->address.native_bytes = sizeof listener->address.native;
    if (getsockname(listener->fd, (struct sockaddr *)&listener->address.native,
                    &listener->address.native_bytes) != 0) {
        return refuse(wanted, "listen on", error);
    }
    CELLAR_ASSERT(io_address_port(&listener->address) != 0);
    return CELLAR_OK;
}

/* How many connections there are above the limit, with one more; 0: it is within. The listener is a
 * member of the first loop itself. */
static uint32_t count_above(const struct io_listener *listener)
{
    uint32_t count = 0;
    for (size_t i = 0; i < listener->options.loop_count; i++) {
        count += io_loop_member_count(listener->options.loops[i]);
    }
    CELLAR_ASSERT(count >= 1); /* the listener itself */
    uint32_t count_max =
        atomic_load_explicit(&listener->connection_count_max, memory_order_relaxed);
    return count > count_max ? count - count_max : 0;
}

/* Answers wait for nothing, and peers that vanished are found within minutes. */
static void set_socket_options(int fd)
{
    int on = 1;
    int seconds = KEEPALIVE_SECONDS;
    CELLAR_ASSERT(fd >= 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
}

/* Makes a connection of an accepted socket and gives it to the next loop. */
static void take_socket(struct io_listener *listener, int fd)
{
    const struct io_listener_options *options = &listener->options;
    uint32_t above = count_above(listener);
    struct io_conn_options made = {
        .loop = options->loops[listener->loop_index],
        .fd = fd,
        .input_budget = options->input_budget,
        .output_budget = options->output_budget,
        .handler = options->handler,
        .context = above == 0 ? options->context : options->context_full,
        .deadline_us = cellar_clock_monotonic_us() + options->first_us_max,
    };
    CELLAR_ASSERT(listener->loop_index < options->loop_count);
    if (cellar_descriptor_is_reserved(fd, DESCRIPTORS_SHARE, DESCRIPTORS_RESERVED_MAX)) {
        io_traffic_refuse(io_loop_traffic(options->loops[0]), IO_REFUSED_NO_DESCRIPTORS);
        (void)close(fd);
        return;
    }
    set_socket_options(fd);
    bool is_full = above > options->spare_count;
    struct io_conn *conn = is_full ? NULL : io_conn_new(&made);
    if (conn == NULL) {
        io_traffic_refuse(io_loop_traffic(options->loops[0]),
                          is_full ? IO_REFUSED_LIMIT : IO_REFUSED_NO_MEMORY);
        (void)close(fd);
        return;
    }
    listener->loop_index = (listener->loop_index + 1) % options->loop_count;
    io_conn_start(conn);
}

/* Trying again at once would fail again, for as long as nobody closes something. */
static bool is_for_want_of_resources(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct io_listener *listener = context;
    CELLAR_ASSERT(fd == listener->fd);
    for (int i = 0; i < ACCEPT_COUNT_MAX; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            take_socket(listener, accepted);
        } else if (is_for_want_of_resources(errno)) {
            io_traffic_refuse(io_loop_traffic(listener->options.loops[0]),
                              IO_REFUSED_NO_DESCRIPTORS);
            listener->is_resting = true;
            (void)event_del(&listener->event);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* After a rest: what the kernel queued meanwhile is accepted now. */
static void on_tick(struct io_member *member, int64_t now_us)
{
    (void)now_us;
    struct io_listener *listener = CELLAR_CONTAINER_OF(member, struct io_listener, member);
    CELLAR_ASSERT(listener->fd >= 0);
    if (listener->is_resting) {
        listener->is_resting = event_add(&listener->event, NULL) != 0;
    }
}

/* A listener is stopped by io_listener_stop() before its loop drains or stops. */
static void on_drain(struct io_member *member)
{
    CELLAR_ASSERT(member != NULL);
}

static void run_start(struct io_task *task)
{
    struct io_listener *listener = CELLAR_CONTAINER_OF(task, struct io_listener, start_task);
    struct io_loop *loop = listener->options.loops[0];
    io_loop_member_add(loop, &listener->member);
    int failure = event_assign(&listener->event, io_loop_base(loop), listener->fd,
                               EV_READ | EV_PERSIST, on_readable, listener);
    CELLAR_ASSERT(failure == 0);
    listener->is_resting = event_add(&listener->event, NULL) != 0;
}

static void run_stop(struct io_task *task)
{
    struct io_listener *listener = CELLAR_CONTAINER_OF(task, struct io_listener, stop_task);
    CELLAR_ASSERT(listener->is_started);
    (void)event_del(&listener->event);
    io_loop_member_remove(listener->options.loops[0], &listener->member);
    cellar_mutex_lock(&listener->lock);
    listener->is_stopped = true;
    cellar_cond_signal(&listener->is_stopped_cond);
    cellar_mutex_unlock(&listener->lock);
}

enum cellar_status io_listener_open(const struct io_listener_options *options,
                                    struct io_listener **listener, struct cellar_error *error)
{
    CELLAR_ASSERT(options->loop_count >= 1 && options->handler != NULL);
    CELLAR_ASSERT(options->connection_count_max >= 1);
    CELLAR_ASSERT(options->spare_count == 0 || options->context_full != NULL);
    struct io_listener *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a listener");
    }
    made->options = *options;
    atomic_init(&made->connection_count_max, options->connection_count_max);
    made->fd = -1;
    made->member.tick = on_tick;
    made->member.drain = on_drain;
    made->member.stop = on_drain;
    made->start_task.run = run_start;
    made->stop_task.run = run_stop;
    cellar_mutex_init(&made->lock);
    cellar_cond_init(&made->is_stopped_cond);
    enum cellar_status status = bind_socket(made, error);
    if (status != CELLAR_OK) {
        io_listener_close(made);
        return status;
    }
    *listener = made;
    return CELLAR_OK;
}

enum cellar_status io_listener_start(struct io_listener *listener, struct cellar_error *error)
{
    CELLAR_ASSERT(!listener->is_started);
    if (listen(listener->fd, BACKLOG) != 0) {
        return refuse(&listener->address, "listen on", error);
    }
    listener->is_started = true;
    io_loop_post(listener->options.loops[0], &listener->start_task);
    return CELLAR_OK;
}

const struct io_address *io_listener_address(const struct io_listener *listener)
{
    CELLAR_ASSERT(listener != NULL);
    return &listener->address;
}

void io_listener_limit_set(struct io_listener *listener, uint32_t count_max)
{
    CELLAR_ASSERT(count_max >= 1);
    atomic_store_explicit(&listener->connection_count_max, count_max, memory_order_relaxed);
}

void io_listener_stop(struct io_listener *listener)
{
    CELLAR_ASSERT(listener != NULL);
    if (!listener->is_started) {
        return;
    }
    io_loop_post(listener->options.loops[0], &listener->stop_task);
    cellar_mutex_lock(&listener->lock);
    while (!listener->is_stopped) {
        cellar_cond_wait(&listener->is_stopped_cond, &listener->lock);
    }
    cellar_mutex_unlock(&listener->lock);
    listener->is_started = false;
}

void io_listener_close(struct io_listener *listener)
{
    if (listener == NULL) {
        return;
    }
    CELLAR_ASSERT(!listener->is_started);
    if (listener->fd >= 0) {
        (void)close(listener->fd);
    }
    cellar_cond_fini(&listener->is_stopped_cond);
    cellar_mutex_fini(&listener->lock);
    cellar_mem_free(listener);
}
