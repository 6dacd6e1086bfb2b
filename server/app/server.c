/*
 * Starting and stopping a server.
 *
 * Start: bind (a taken address is found before any data is touched) -> loops and pools -> listen ->
 * open and recover the data -> serve. Until then requests are refused as UNAVAILABLE and /readyz
 * says why. Stop, in the one order in which nobody calls what is gone:
 *
 *     phase      no new requests, not ready
 *     drain      GOAWAY; connections leave as their requests end, or are left after drain_us
 *     listener   no new connections
 *     pools      administrative requests and steps of reads finish; later ones are refused
 *     service    queued writes finish, and their answers are posted to the loops
 *     loops      run those posts, close what connections are left, end
 *     service    checkpoint, close
 *
 * After a failed start the same function takes down what there is. The object belongs to the thread
 * that starts and stops it.
 */
#include "server/app/server.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "server/app/site.h"
#include "server/io/listener.h"
#include "server/io/pool.h"
#include "server/io/sniff.h"
#include "server/net/native/front.h"
#include "server/net/web/web_front.h"

#define DRAIN_POLL_US 5000
/* So that monitoring gets in when connections_max is reached. */
#define SPARE_CONNECTION_COUNT 16u
#define FILE_BYTES_MAX (UINT64_C(1) << 30) /* of large requests that are arriving, or applied */
#define POOL_THREAD_COUNT 4u
#define POOL_TASK_COUNT_MAX 256u
/* Reads that wait for the disk. So many at once that the disk has something to choose from; so many
 * in all that their outputs, one step's each, stay a small part of the memory. */
#define READ_POOL_THREAD_COUNT 8u
#define READ_POOL_TASK_COUNT_MAX 256u

struct cellar_server {
    struct svc *svc;
    struct io_pool *pool;
    struct io_pool *read_pool;
    struct io_listener *listener;
    struct io_loop *loops[CELLAR_SERVER_LOOP_COUNT_MAX];
    size_t loop_count;    /* made, */
    size_t running_count; /* and of them running */
    int64_t drain_us;     /* the starting and stopping thread's */
    struct io_budget request_budget;
    struct io_budget file_budget;
    struct io_budget answer_budget;
    struct net_context native;
    struct net_measures *measures; /* one a loop */
    struct web_context web;
    struct cellar_site site;
    struct io_sniff_fronts fronts;
    struct io_sniff_fronts fronts_full; /* above connections_max: the pages alone */
    char data_dir[PATH_MAX];            /* absolute; set before requests run */
};

/* loop_count tells cellar_server_stop() how many there are to free. */
static enum cellar_status make_loops(struct cellar_server *server, uint32_t count,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(count >= 1 && count <= CELLAR_SERVER_LOOP_COUNT_MAX);
    while (server->loop_count < count) {
        CELLAR_TRY(io_loop_new(&server->loops[server->loop_count], error));
        server->loop_count++;
    }
    return CELLAR_OK;
}

static enum cellar_status run_loops(struct cellar_server *server, struct cellar_error *error)
{
    CELLAR_ASSERT(server->running_count == 0);
    while (server->running_count < server->loop_count) {
        CELLAR_TRY(io_loop_start(server->loops[server->running_count], error));
        server->running_count++;
    }
    return CELLAR_OK;
}

/* Says what to do about an address that cannot be had. */
static enum cellar_status advise(struct cellar_error *error)
{
    struct cellar_error before = *error;
    CELLAR_ASSERT(before.code != CELLAR_OK);
    return cellar_error_set(error, before.code,
                            "%s; stop what uses it, or choose another address with --listen "
                            "HOST:PORT (port 0 takes a free one)",
                            before.text);
}

/* Bound here and listening later: a taken address is found before anything else is done. */
static enum cellar_status open_listener(struct cellar_server *server,
                                        const struct cellar_server_config *config,
                                        struct cellar_error *error)
{
    CELLAR_ASSERT(server->loop_count >= 1);
    struct io_listener_options options = {
        .address = config->address,
        .loops = server->loops,
        .loop_count = server->loop_count,
        .input_budget = &server->request_budget,
        .output_budget = &server->answer_budget,
        .handler = &io_sniff_handler,
        .context = &server->fronts,
        .context_full = &server->fronts_full,
        .spare_count = SPARE_CONNECTION_COUNT,
        .first_us_max = IO_SNIFF_US_MAX,
        .connection_count_max = config->connection_count_max,
    };
    enum cellar_status status = io_listener_open(&options, &server->listener, error);
    return status == CELLAR_OK ? CELLAR_OK : advise(error);
}

/* Without the service, which is not open yet: HELLO is answered, everything else refused until
 * net_front_serve(). */
static void init_native(struct cellar_server *server)
{
    CELLAR_ASSERT(server->pool != NULL && server->read_pool != NULL && server->measures != NULL);
    struct net_front_options options = {
        .pool = server->pool,
        .read_pool = server->read_pool,
        .request_budget = &server->request_budget,
        .file_budget = &server->file_budget,
        .version = CELLAR_SERVER_VERSION,
        .data_dir = server->data_dir,
        .loops = server->loops,
        .measures = server->measures,
        .loop_count = server->loop_count,
    };
    net_front_init(&server->native, &options);
    server->fronts.native = (struct io_sniff_front){net_front_take, &server->native};
}

/* Above connections_max only the pages are served, so that monitoring sees that it is reached. */
static void init_web(struct cellar_server *server, const struct cellar_server_config *config)
{
    server->site = (struct cellar_site){
        .loops = server->loops,
        .loop_count = server->loop_count,
        .request_budget = &server->request_budget,
        .file_budget = &server->file_budget,
        .answer_budget = &server->answer_budget,
        .native = &server->native,
        .version = CELLAR_SERVER_VERSION,
        .memory_bytes_max = config->svc.memory_bytes_max + config->request_bytes_max_total +
                            config->answer_bytes_max_total,
        .connection_count_max = config->connection_count_max,
        .start_real_us = CELLAR_MAX(cellar_clock_real_us(), INT64_C(0)),
    };
    struct web_site pages = cellar_site_pages(&server->site);
    CELLAR_ASSERT(server->site.loop_count >= 1);
    web_front_init(&server->web, &pages);
    server->fronts.http = (struct io_sniff_front){web_front_take, &server->web};
    server->fronts_full.http = server->fronts.http;
}

/* From here on the front ends may be given connections. */
static enum cellar_status init_fronts(struct cellar_server *server,
                                      const struct cellar_server_config *config,
                                      struct cellar_error *error)
{
    server->measures = cellar_mem_zalloc(server->loop_count, sizeof *server->measures);
    if (server->measures == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for counters");
    }
    init_native(server);
    init_web(server, config);
    CELLAR_ASSERT(server->fronts.native.take != NULL && server->fronts.http.take != NULL);
    return CELLAR_OK;
}

/* The data is there: requests run. The service is known to the pages before the phase says so,
 * hence the release. */
static void begin_serving(struct cellar_server *server, const char *data_dir)
{
    CELLAR_ASSERT(server->svc != NULL);
    if (realpath(data_dir, server->data_dir) == NULL) {
        (void)snprintf(server->data_dir, sizeof server->data_dir, "%s", data_dir);
    }
    server->site.svc = server->svc;
    atomic_store_explicit(&server->site.phase, CELLAR_SERVER_SERVING, memory_order_release);
    net_front_serve(&server->native, server->svc);
}

/* What was started is taken down by cellar_server_stop(), also after a failure in the middle. */
/* Says behind what is damaged what to do about it. */
static enum cellar_status advise_damaged(const char *data_dir, enum cellar_status status,
                                         struct cellar_error *error)
{
    struct cellar_error damage = *error;
    CELLAR_ASSERT(status != CELLAR_OK);
    if (status != CELLAR_DATA_LOSS) {
        return status;
    }
    return cellar_error_set(
        error, status,
        "%s; keep %s as it is, see what \"cellar check\" says of it, and restore "
        "a backup into another directory",
        damage.text, data_dir);
}

static enum cellar_status start_all(struct cellar_server *server,
                                    const struct cellar_server_config *config,
                                    struct cellar_error *error)
{
    server->drain_us = config->drain_us;
    io_budget_init(&server->request_budget, config->request_bytes_max_total);
    io_budget_init(&server->file_budget, FILE_BYTES_MAX);
    io_budget_init(&server->answer_budget, config->answer_bytes_max_total);
    CELLAR_TRY(make_loops(server, config->loop_count, error));
    CELLAR_TRY(open_listener(server, config, error));
    CELLAR_TRY(io_pool_start(POOL_THREAD_COUNT, POOL_TASK_COUNT_MAX, &server->pool, error));
    CELLAR_TRY(
        io_pool_start(READ_POOL_THREAD_COUNT, READ_POOL_TASK_COUNT_MAX, &server->read_pool, error));
    CELLAR_TRY(init_fronts(server, config, error));
    CELLAR_TRY(run_loops(server, error));
    CELLAR_ASSERT(server->running_count == server->loop_count);
    if (io_listener_start(server->listener, error) != CELLAR_OK) {
        return advise(error);
    }
    char address[IO_ADDRESS_TEXT_BYTES_MAX];
    cellar_log(CELLAR_LOG_INFO, "listening", "address=%s loops=%zu",
               io_address_show(io_listener_address(server->listener), address), server->loop_count);
    enum cellar_status status = svc_open(&config->svc, &server->svc, error);
    if (status != CELLAR_OK) {
        return advise_damaged(config->svc.data_dir, status, error);
    }
    begin_serving(server, config->svc.data_dir);
    return CELLAR_OK;
}

enum cellar_status cellar_server_start(const struct cellar_server_config *config,
                                       struct cellar_server **server, struct cellar_error *error)
{
    CELLAR_ASSERT(server != NULL);
    struct cellar_server *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a server");
    }
    enum cellar_status status = start_all(made, config, error);
    if (status != CELLAR_OK) {
        cellar_server_stop(made);
        return status;
    }
    *server = made;
    return CELLAR_OK;
}

const struct io_address *cellar_server_address(const struct cellar_server *server)
{
    CELLAR_ASSERT(server->listener != NULL);
    return io_listener_address(server->listener);
}

/* What is left on the loops but the listener. The listener is a member of a loop too. */
static uint32_t count_connections(const struct cellar_server *server)
{
    uint32_t count = 0;
    CELLAR_ASSERT(server->running_count <= server->loop_count);
    for (size_t i = 0; i < server->running_count; i++) {
        count += io_loop_member_count(server->loops[i]);
    }
    return count > 0 ? count - 1 : 0;
}

/* Lets requests in flight finish. Polled, as it happens once: connections end on several threads,
 * and none of them should have to tell. */
static void drain(struct cellar_server *server)
{
    int64_t start_us = cellar_clock_monotonic_us();
    int64_t deadline_us = start_us + server->drain_us;
    struct timespec wait = {.tv_nsec = DRAIN_POLL_US * 1000};
    net_front_stop(&server->native);
    atomic_store_explicit(&server->site.phase, CELLAR_SERVER_STOPPING, memory_order_release);
    cellar_log(CELLAR_LOG_INFO, "drain_begun", "connections=%" PRIu32 " timeout_us=%" PRId64,
               count_connections(server), server->drain_us);
    for (size_t i = 0; i < server->running_count; i++) {
        io_loop_drain(server->loops[i]);
    }
    while (count_connections(server) > 0 && cellar_clock_monotonic_us() < deadline_us) {
        (void)nanosleep(&wait, NULL);
    }
    CELLAR_ASSERT(deadline_us > 0);
    cellar_log(CELLAR_LOG_INFO, "drain_ended", "connections_left=%" PRIu32 " us=%" PRId64,
               count_connections(server), cellar_clock_monotonic_us() - start_us);
}

/* The service checks first, and nothing has been changed when it refuses. */
enum cellar_status cellar_server_reconfigure(struct cellar_server *server,
                                             const struct cellar_server_config *config,
                                             struct cellar_error *error)
{
    const struct svc_limits limits = {
        .memtable_bytes_max = config->svc.memtable_bytes_max,
        .log_unapplied_bytes_max = config->svc.log_unapplied_bytes_max,
        .log_unapplied_records_max = config->svc.log_unapplied_records_max,
        .scrub_interval_us = config->svc.scrub_interval_us,
        .compact_garbage_percent = config->svc.compact_garbage_percent,
        .compact_interval_us = config->svc.compact_interval_us,
        .compact_bytes_per_second = config->svc.compact_bytes_per_second,
    };
    CELLAR_ASSERT(server->svc != NULL && config->drain_us >= 0);
    CELLAR_TRY(svc_limits_set(server->svc, &limits, error));
    io_listener_limit_set(server->listener, config->connection_count_max);
    atomic_store(&server->site.connection_count_max, config->connection_count_max);
    if (config->request_bytes_max_total > 0 && config->answer_bytes_max_total > 0) {
        io_budget_limit_set(&server->request_budget, config->request_bytes_max_total);
        io_budget_limit_set(&server->answer_budget, config->answer_bytes_max_total);
    }
    server->drain_us = config->drain_us;
    return CELLAR_OK;
}

enum cellar_status cellar_server_check_loops(struct cellar_server *server,
                                             struct cellar_error *error)
{
    CELLAR_ASSERT(server->running_count > 0);
    return cellar_site_check_loops(&server->site, error);
}

/* Each step ends what the steps before could still call; the drawing above has the reasons. */
void cellar_server_stop(struct cellar_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->svc != NULL) {
        svc_loads_cease(server->svc);
        drain(server);
    }
    if (server->listener != NULL) {
        io_listener_stop(server->listener);
    }
    if (server->pool != NULL) {
        io_pool_stop(server->pool);
    }
    if (server->read_pool != NULL) {
        io_pool_stop(server->read_pool);
    }
    if (server->svc != NULL) {
        svc_drain(server->svc);
    }
    for (size_t i = 0; i < server->running_count; i++) {
        io_loop_stop(server->loops[i]);
    }
    io_listener_close(server->listener);
    for (size_t i = 0; i < server->loop_count; i++) {
        io_loop_free(server->loops[i]);
    }
    CELLAR_ASSERT(io_budget_bytes(&server->request_budget) == 0);
    CELLAR_ASSERT(io_budget_bytes(&server->file_budget) == 0);
    io_pool_free(server->pool);
    io_pool_free(server->read_pool);
    svc_close(server->svc);
    cellar_mem_free(server->measures);
    cellar_mem_free(server);
}
