/*
 * The proxy's one thread: poll() over the port and both sockets of every connection.
 *
 *     client <--> fd[CLIENT]  | to the server: flow[0] |  fd[SERVER] <--> server
 *                             | to the client: flow[1] |
 *
 * A flow has one buffer: what was read from one side and is not yet written to the other. A fate
 * speaks of a flow and a byte of it: up to there everything passes, in pieces of a random size.
 * When a side ends, what is in its flow is written and both sockets are closed.
 *
 * The port refuses as a host without a listener does: the listening socket is closed while another
 * one, bound to the same port and not listening, keeps the port from others.
 *
 * Tests speak to the thread through `order` under the lock, and wait until it was carried out. The
 * thread asserts with CELLAR_ASSERT, since cmocka's asserts belong to the test's thread. Time is
 * the machine's: fake clocks do not hold the network up.
 */
#include "tests/support/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/sync.h"

#define CONNECTIONS_MAX 128u
#define FLOW_BYTES 16384u
#define DELAY_MS_MAX 40u
#define REFUSE_MS_MAX 120u
#define STALL_MS_MAX 3000u
#define TICK_MS 20

enum side { CLIENT, SERVER };

enum order_kind {
    ORDER_NONE,
    ORDER_CALM,
    ORDER_TARGET,
    ORDER_CUT,
    ORDER_STALL,
    ORDER_REFUSE,
    ORDER_OPEN,
    ORDER_STOP
};

/* Bytes on their way from one side to the other: flow[side] comes from that side. */
struct flow {
    uint8_t data[FLOW_BYTES];
    size_t start;
    size_t bytes;
    uint64_t passed_bytes;
    int64_t ready_us; /* a delayed piece waits until then */
    bool is_ended;    /* no more comes */
};

struct connection {
    bool is_used;
    int fd[2];
    struct flow flow[2];
    enum proxy_fate fate;
    enum side fate_side;  /* the flow that the fate speaks of */
    uint64_t fate_bytes;  /* where in that flow it strikes */
    uint32_t piece_bytes; /* the most that passes at once */
    int64_t end_us;       /* when it ends, once the fate has struck; 0 = not yet */
    bool is_reset;        /* ends by RST */
};

struct proxy {
    struct sockaddr_in target;
    struct sockaddr_in address;
    char endpoint[32];
    struct proxy_script script;
    struct test_random random;
    uint32_t accepted_count;
    int listener;            /* -1 while the port refuses */
    int keeper;              /* bound, not listening: holds the port meanwhile; -1 = none */
    int64_t refuse_until_us; /* 0 = until a test opens it */
    struct connection *connections;
    struct proxy_counts counts;
    int wake;
    pthread_t thread;
    struct cellar_mutex lock;
    struct cellar_cond done;
    enum order_kind order CELLAR_GUARDED_BY(lock);
    struct sockaddr_in order_target CELLAR_GUARDED_BY(lock);
};

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct sockaddr_in address_of(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned long port = 0;
    const char *colon = strrchr(text, ':');
    if (colon != NULL) {
        port = strtoul(colon + 1, NULL, 10);
    }
    CELLAR_ASSERT(port >= 1 && port <= 65535);
    address.sin_port = htons((uint16_t)port);
    return address;
}

/* ---- the port -------------------------------------------------------------------------------- */

/* A socket bound to the proxy's port, which several may share. */
static int port_bind(struct proxy *proxy)
{
    int is_on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CELLAR_ASSERT(fd >= 0);
    int status = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &is_on, sizeof is_on);
    CELLAR_ASSERT(status == 0);
    status = bind(fd, (struct sockaddr *)&proxy->address, sizeof proxy->address);
    CELLAR_ASSERT(status == 0);
    return fd;
}

static void port_refuse(struct proxy *proxy, int64_t until_us)
{
    if (proxy->listener >= 0) {
        proxy->keeper = port_bind(proxy);
        (void)close(proxy->listener);
        proxy->listener = -1;
        proxy->counts.refusals++;
    }
    proxy->refuse_until_us = until_us;
}

static void port_open(struct proxy *proxy)
{
    if (proxy->listener < 0) {
        proxy->listener = proxy->keeper;
        proxy->keeper = -1;
        int status = listen(proxy->listener, 64);
        CELLAR_ASSERT(status == 0);
    }
    proxy->refuse_until_us = 0;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void connection_end(struct proxy *proxy, struct connection *connection, bool is_own_will)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    CELLAR_ASSERT(connection->is_used);
    for (int side = 0; side < 2; side++) {
        if (connection->is_reset) {
            (void)setsockopt(connection->fd[side], SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        }
        (void)close(connection->fd[side]);
    }
    connection->is_used = false;
    proxy->counts.cuts += is_own_will ? 1u : 0u;
}

/* Draws a fate by its weight; the first connections have one each, so that none is left out. */
static enum proxy_fate fate_draw(struct proxy *proxy)
{
    uint32_t total = 0;
    uint32_t index = proxy->accepted_count++;
    if (index < PROXY_FATE_COUNT && proxy->script.weights[index] > 0) {
        return (enum proxy_fate)index;
    }
    for (uint32_t fate = 0; fate < PROXY_FATE_COUNT; fate++) {
        total += proxy->script.weights[fate];
    }
    uint64_t left = test_random_below(&proxy->random, total);
    uint32_t fate = 0;
    while (left >= proxy->script.weights[fate]) {
        left -= proxy->script.weights[fate++];
    }
    CELLAR_ASSERT(fate < PROXY_FATE_COUNT);
    return (enum proxy_fate)fate;
}

/* A number of bytes, of every order of magnitude up to 2 KiB. */
static uint64_t bytes_draw(struct test_random *random)
{
    return test_random_below(random, UINT64_C(1) << (1 + test_random_below(random, 11)));
}

static void connection_start(struct proxy *proxy, struct connection *connection, int client,
                             int server)
{
    struct test_random *random = &proxy->random;
    int is_on = 1;
    memset(connection, 0, sizeof *connection);
    connection->is_used = true;
    connection->fd[CLIENT] = client;
    connection->fd[SERVER] = server;
    connection->fate = fate_draw(proxy);
    connection->fate_side = test_random_below(random, 2) == 0 ? CLIENT : SERVER;
    connection->fate_bytes = bytes_draw(random);
    connection->piece_bytes = 1 + (uint32_t)bytes_draw(random);
    connection->is_reset = test_random_below(random, 2) == 0;
    if (connection->fate == PROXY_SWALLOW) {
        connection->fate_side = SERVER;
    }
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &is_on, sizeof is_on);
    (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &is_on, sizeof is_on);
    proxy->counts.fates[connection->fate]++;
    if (connection->fate == PROXY_DROP) {
        connection_end(proxy, connection, true);
    }
    if (test_random_below(random, 100) < proxy->script.refuse_percent) {
        port_refuse(proxy, now_us() + 1000 * (int64_t)test_random_below(random, REFUSE_MS_MAX));
    }
}

/* Connects to the server; -1 when it is not there. On this machine that takes no time. */
static int server_connect(const struct proxy *proxy)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CELLAR_ASSERT(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&proxy->target, sizeof proxy->target) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void connection_accept(struct proxy *proxy)
{
    struct connection *connection = NULL;
    for (uint32_t index = 0; index < CONNECTIONS_MAX && connection == NULL; index++) {
        if (!proxy->connections[index].is_used) {
            connection = &proxy->connections[index];
        }
    }
    int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) {
        return;
    }
    int server = connection == NULL ? -1 : server_connect(proxy);
    if (server < 0) {
        (void)close(client);
        return;
    }
    connection_start(proxy, connection, client, server);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Whether the fate has struck, or strikes with this flow's next byte. */
static bool has_struck(const struct connection *connection)
{
    const struct flow *flow = &connection->flow[connection->fate_side];
    return connection->fate != PROXY_PASS && flow->passed_bytes >= connection->fate_bytes;
}

/* How many bytes of a flow may pass now. */
static size_t may_pass(const struct connection *connection, enum side side)
{
    const struct flow *flow = &connection->flow[side];
    size_t bytes = CELLAR_MIN(flow->bytes - flow->start, (size_t)connection->piece_bytes);
    if (connection->fate == PROXY_STALL && has_struck(connection)) {
        return 0;
    }
    if (flow->ready_us > now_us()) {
        return 0;
    }
    if (connection->fate != PROXY_PASS && side == connection->fate_side) {
        bytes = (size_t)CELLAR_MIN((uint64_t)bytes, connection->fate_bytes - flow->passed_bytes);
    }
    return bytes;
}

/* Reads what there is when the flow is empty; swallows it when it may not pass any more. */
static void flow_read(struct proxy *proxy, struct connection *connection, enum side side)
{
    struct flow *flow = &connection->flow[side];
    CELLAR_ASSERT(flow->start == flow->bytes);
    ssize_t got = recv(connection->fd[side], flow->data, FLOW_BYTES, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    flow->is_ended = got <= 0;
    flow->start = 0;
    flow->bytes = got > 0 ? (size_t)got : 0;
    if (connection->fate == PROXY_DELAY) {
        flow->ready_us = now_us() + 1000 * (int64_t)test_random_below(&proxy->random, DELAY_MS_MAX);
    }
}

/* Writes what may pass. */
static void flow_write(struct connection *connection, enum side side)
{
    struct flow *flow = &connection->flow[side];
    size_t bytes = may_pass(connection, side);
    if (bytes == 0) {
        return;
    }
    ssize_t sent = send(connection->fd[1 - side], flow->data + flow->start, bytes,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
        flow->start += (size_t)sent;
        flow->passed_bytes += (uint64_t)sent;
    } else if (errno != EAGAIN && errno != EINTR) {
        flow->is_ended = true;
        flow->start = flow->bytes;
    }
}

/* What a fate does once it has struck; true when the connection is over. */
static bool fate_run(struct proxy *proxy, struct connection *connection)
{
    struct flow *answers = &connection->flow[SERVER];
    if (!has_struck(connection)) {
        return false;
    }
    if (connection->fate == PROXY_CUT || connection->fate == PROXY_DELAY) {
        return true;
    }
    if (connection->fate == PROXY_SWALLOW && answers->bytes > answers->start) {
        proxy->counts.swallowed_bytes += (unsigned)(answers->bytes - answers->start);
        answers->start = answers->bytes;
        if (connection->end_us == 0) {
            connection->end_us =
                now_us() + 1000 * (int64_t)test_random_below(&proxy->random, DELAY_MS_MAX);
        }
    }
    if (connection->fate == PROXY_STALL && connection->end_us == 0) {
        connection->end_us =
            now_us() + 1000 * (int64_t)test_random_below(&proxy->random, STALL_MS_MAX);
    }
    return connection->end_us != 0 && now_us() >= connection->end_us;
}

/* Moves what can be moved; ends the connection when its time has come. */
static void connection_run(struct proxy *proxy, struct connection *connection,
                           const struct pollfd *entries)
{
    for (int side = 0; side < 2; side++) {
        struct flow *flow = &connection->flow[side];
        if (flow->start == flow->bytes && !flow->is_ended && entries[side].revents != 0) {
            flow_read(proxy, connection, (enum side)side);
        }
        flow_write(connection, (enum side)side);
    }
    if (fate_run(proxy, connection)) {
        connection_end(proxy, connection, true);
        return;
    }
    for (int side = 0; side < 2; side++) {
        const struct flow *flow = &connection->flow[side];
        /* A stalled connection hides the server's end as well; the client's own end is one. */
        bool is_hidden = side == SERVER && connection->fate == PROXY_STALL;
        if (flow->is_ended && !is_hidden &&
            (flow->start == flow->bytes || has_struck(connection))) {
            connection_end(proxy, connection, false);
            return;
        }
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Carries an order out; false when it is to stop. */
static bool order_run(struct proxy *proxy)
{
    cellar_mutex_lock(&proxy->lock);
    enum order_kind order = proxy->order;
    if (order == ORDER_CALM) {
        memset(proxy->script.weights, 0, sizeof proxy->script.weights);
        proxy->script.weights[PROXY_PASS] = 1;
        proxy->script.refuse_percent = 0;
        port_open(proxy);
    } else if (order == ORDER_TARGET) {
        proxy->target = proxy->order_target;
    } else if (order == ORDER_REFUSE) {
        port_refuse(proxy, 0);
    } else if (order == ORDER_OPEN) {
        port_open(proxy);
    }
    for (uint32_t index = 0; index < CONNECTIONS_MAX; index++) {
        struct connection *connection = &proxy->connections[index];
        if (connection->is_used && order == ORDER_STALL) {
            connection->fate = PROXY_STALL;
            connection->fate_bytes = 0;
            connection->end_us = INT64_MAX;
        } else if (connection->is_used && (order == ORDER_CUT || order == ORDER_STOP)) {
            connection_end(proxy, connection, order == ORDER_CUT);
        }
    }
    proxy->order = ORDER_NONE;
    cellar_cond_broadcast(&proxy->done);
    cellar_mutex_unlock(&proxy->lock);
    return order != ORDER_STOP;
}

/* What to wait for on one side: bytes while its flow is empty, room while the other's may pass. */
static short events_of(const struct connection *connection, int side)
{
    const struct flow *from = &connection->flow[side];
    short events = 0;
    if (from->start == from->bytes && !from->is_ended) {
        events |= POLLIN;
    }
    if (may_pass(connection, (enum side)(1 - side)) > 0) {
        events |= POLLOUT;
    }
    return events;
}

/* One turn: waits, then the port, then every connection. */
static void turn(struct proxy *proxy)
{
    struct pollfd entries[2 + 2 * CONNECTIONS_MAX];
    uint64_t wakes;
    entries[0] = (struct pollfd){.fd = proxy->wake, .events = POLLIN};
    entries[1] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
    for (uint32_t index = 0; index < CONNECTIONS_MAX; index++) {
        const struct connection *connection = &proxy->connections[index];
        for (int side = 0; side < 2; side++) {
            struct pollfd *entry = &entries[2 + 2 * index + (uint32_t)side];
            *entry = (struct pollfd){.fd = -1};
            if (connection->is_used) {
                entry->events = events_of(connection, side);
                entry->fd = entry->events == 0 ? -1 : connection->fd[side];
            }
        }
    }
    (void)poll(entries, CELLAR_ARRAY_COUNT(entries), TICK_MS);
    if (entries[0].revents != 0) {
        ssize_t got = read(proxy->wake, &wakes, sizeof wakes);
        CELLAR_ASSERT(got == (ssize_t)sizeof wakes || errno == EAGAIN);
    }
    for (uint32_t index = 0; index < CONNECTIONS_MAX; index++) {
        if (proxy->connections[index].is_used) {
            connection_run(proxy, &proxy->connections[index], &entries[2 + 2 * index]);
        }
    }
    if (proxy->listener >= 0 && entries[1].revents != 0) {
        connection_accept(proxy);
    }
    if (proxy->refuse_until_us != 0 && now_us() >= proxy->refuse_until_us) {
        port_open(proxy);
    }
}

static void *proxy_main(void *argument)
{
    struct proxy *proxy = argument;
    do {
        turn(proxy);
    } while (order_run(proxy));
    return NULL;
}

/* Gives the thread an order and waits until it was carried out. */
static void order_give(struct proxy *proxy, enum order_kind order)
{
    uint64_t one = 1;
    cellar_mutex_lock(&proxy->lock);
    proxy->order = order;
    assert_int_equal(write(proxy->wake, &one, sizeof one), sizeof one);
    while (proxy->order != ORDER_NONE) {
        cellar_cond_wait(&proxy->done, &proxy->lock);
    }
    cellar_mutex_unlock(&proxy->lock);
}

struct proxy *proxy_start(const char *target, const struct proxy_script *script)
    CELLAR_NO_THREAD_SAFETY
{
    static const struct proxy_script passing = {.weights = {[PROXY_PASS] = 1}};
    struct proxy *proxy = calloc(1, sizeof *proxy);
    assert_non_null(proxy);
    socklen_t address_bytes = sizeof proxy->address;
    proxy->target = address_of(target);
    proxy->script = script == NULL ? passing : *script;
    proxy->random.state = proxy->script.seed;
    proxy->connections = calloc(CONNECTIONS_MAX, sizeof *proxy->connections);
    assert_non_null(proxy->connections);
    proxy->address.sin_family = AF_INET;
    proxy->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    proxy->listener = -1;
    proxy->keeper = port_bind(proxy);
    assert_int_equal(getsockname(proxy->keeper, (struct sockaddr *)&proxy->address, &address_bytes),
                     0);
    port_open(proxy);
    (void)snprintf(proxy->endpoint, sizeof proxy->endpoint, "127.0.0.1:%u",
                   (unsigned)ntohs(proxy->address.sin_port));
    proxy->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(proxy->wake >= 0);
    cellar_mutex_init(&proxy->lock);
    cellar_cond_init(&proxy->done);
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_main, proxy), 0);
    return proxy;
}

const char *proxy_endpoint(const struct proxy *proxy)
{
    return proxy->endpoint;
}

void proxy_calm(struct proxy *proxy)
{
    order_give(proxy, ORDER_CALM);
}

void proxy_target(struct proxy *proxy, const char *target)
{
    cellar_mutex_lock(&proxy->lock);
    proxy->order_target = address_of(target);
    cellar_mutex_unlock(&proxy->lock);
    order_give(proxy, ORDER_TARGET);
}

void proxy_cut_all(struct proxy *proxy)
{
    order_give(proxy, ORDER_CUT);
}

void proxy_stall_all(struct proxy *proxy)
{
    order_give(proxy, ORDER_STALL);
}

void proxy_refuse(struct proxy *proxy, bool is_refusing)
{
    order_give(proxy, is_refusing ? ORDER_REFUSE : ORDER_OPEN);
}

void proxy_stop(struct proxy *proxy, struct proxy_counts *counts)
{
    order_give(proxy, ORDER_STOP);
    assert_int_equal(pthread_join(proxy->thread, NULL), 0);
    (void)close(proxy->listener >= 0 ? proxy->listener : proxy->keeper);
    (void)close(proxy->wake);
    cellar_cond_fini(&proxy->done);
    cellar_mutex_fini(&proxy->lock);
    if (counts != NULL) {
        *counts = proxy->counts;
    }
    free(proxy->connections);
    free(proxy);
}
