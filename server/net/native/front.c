/*
 * The native protocol as a whole: the table of its operations, and the way in for a connection.
 *
 * This is the only file that knows all operations; they and the session below know each other only
 * through the table. A new operation is a line here, its file beside this one, its messages in
 * message_list.h and its paragraph in PROTOCOL.md.
 */
#include "server/net/native/front.h"

#include "common/cell.h"
#include "common/clock.h"
#include "server/net/native/inbound.h"
#include "server/net/native/native_admin.h"
#include "server/net/native/native_load.h"
#include "server/net/native/native_read.h"
#include "server/net/native/native_server.h"
#include "server/net/native/native_write.h"

/* The most frequent ones first: the table is searched from the front. */
static const struct net_operation operations[] = {
    {CELLAR_OP_MUTATE_ROW, net_write_run},      {CELLAR_OP_READ_ROWS, net_read_rows},
    {CELLAR_OP_MUTATE_ROWS, net_write_run},     {CELLAR_OP_PING, net_server_ping},
    {CELLAR_OP_HELLO, net_server_hello},        {CELLAR_OP_SERVER_INFO, net_server_info},
    {CELLAR_OP_CREATE_TABLE, net_admin_run},    {CELLAR_OP_DESCRIBE_TABLE, net_admin_run},
    {CELLAR_OP_LIST_TABLES, net_admin_run},     {CELLAR_OP_DROP_TABLE, net_admin_run},
    {CELLAR_OP_MODIFY_FAMILIES, net_admin_run}, {CELLAR_OP_DROP_ROWS, net_admin_run},
    {CELLAR_OP_SCRUB, net_admin_run},           {CELLAR_OP_COMPACT, net_admin_run},
    {CELLAR_OP_BULK_ROWS, net_load_run},        {CELLAR_OP_BULK_BEGIN, net_load_run},
    {CELLAR_OP_BULK_COMMIT, net_load_run},      {CELLAR_OP_BULK_ABORT, net_load_run},
};

void net_front_init(struct net_context *context, const struct net_front_options *options)
{
    CELLAR_ASSERT(options->pool != NULL && options->read_pool != NULL);
    CELLAR_ASSERT(options->measures != NULL && options->loop_count > 0);
    static_assert(CELLAR_ARRAY_COUNT(operations) <= NET_OPERATION_COUNT_MAX, "each is counted");
    CELLAR_ASSERT(options->version != NULL && options->data_dir != NULL);
    CELLAR_ASSERT(io_budget_limit(options->request_budget) > 0);
    *context = (struct net_context){
        .svc = options->svc,
        .phase = options->svc != NULL ? NET_SERVING : NET_STARTING,
        .loops = options->loops,
        .measures = options->measures,
        .loop_count = options->loop_count,
        .pool = options->pool,
        .read_pool = options->read_pool,
        .request_budget = options->request_budget,
        .file_budget = options->file_budget,
        .version = options->version,
        .data_dir = options->data_dir,
        .started_us = cellar_clock_monotonic_us(),
        .request_bytes_max =
            CELLAR_MIN((uint64_t)CELLAR_REQUEST_BYTES_MAX, io_budget_limit(options->file_budget)),
        .operations = operations,
        .operation_count = CELLAR_ARRAY_COUNT(operations),
    };
}

void net_front_serve(struct net_context *context, struct svc *svc)
{
    CELLAR_ASSERT(context->svc == NULL && svc != NULL);
    context->svc = svc;
    atomic_store_explicit(&context->phase, NET_SERVING, memory_order_release);
}

void net_front_stop(struct net_context *context)
{
    CELLAR_ASSERT(context != NULL);
    atomic_store_explicit(&context->phase, NET_STOPPING, memory_order_release);
}

void net_front_show(const struct net_context *context, struct cellar_metric_page *page)
{
    const char *names[NET_OPERATION_COUNT_MAX];
    CELLAR_ASSERT(context->operation_count <= NET_OPERATION_COUNT_MAX);
    for (size_t i = 0; i < context->operation_count; i++) {
        names[i] = cellar_operation_text(context->operations[i].number);
    }
    net_measures_show(context->measures, context->loop_count, names, context->operation_count,
                      page);
    cellar_metric_gauge(page, "cellar_cold_reads_waiting",
                        "Steps of reads that wait for a thread of the read pool.",
                        io_pool_waiting_count(context->read_pool));
}

void net_front_take(struct io_conn *conn, void *context)
{
    CELLAR_ASSERT(context != NULL);
    net_inbound_start(context, conn);
}
