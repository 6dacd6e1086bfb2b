/*
 * COMPACT: starts a compaction on the server, asks how far it is, has it end.
 *
 * As in scrub.c, the server answers all three with the same status, which is decoded into one block
 * that the program frees. The server is not trusted. Any thread.
 */
#include <cellar/cellar.h>

#include "client/lib/pass_call.h"
#include "common/mem.h"

struct box {
    struct cellar_compact_info info; /* first: freed through it */
    struct cellar_arena arena;
};

static enum cellar_status info_fill(struct box *box, struct cellar_slice body,
                                    struct cellar_error *error)
{
    struct cellar_msg_compact_reply reply;
    if (cellar_message_decode(&cellar_msg_compact_reply_type, body, &reply, CELLAR_UNKNOWN_SKIP,
                              error) != CELLAR_OK ||
        reply.state > CELLAR_COMPACT_ABANDONED) {
        return cellar_error_set(error, CELLAR_IO_ERROR,
                                "The server broke the protocol: COMPACT's answer cannot be read");
    }
    CELLAR_ASSERT(box->info.table == NULL);
    box->info = (struct cellar_compact_info){
        .state = (enum cellar_compact_state)reply.state,
        .pass = reply.pass,
        .is_background = reply.background,
        .tablet_count = reply.tablets,
        .tablet_count_total = reply.tablets_total,
        .item_count = reply.items,
        .item_count_total = reply.items_total,
        .byte_count = reply.bytes,
        .started_us = reply.started_us,
        .ended_us = reply.ended_us,
        .abandoned_count = reply.abandoned,
    };
    box->info.table = cellar_arena_text(&box->arena, reply.table.data, reply.table.bytes);
    box->info.why = cellar_arena_text(&box->arena, reply.why.data, reply.why.bytes);
    return box->info.table != NULL && box->info.why != NULL
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a compaction's status");
}

static void info_decode(struct cellar_slice body, struct cellar_compact_info **info,
                        struct cellar_error *error)
{
    struct box *box = cellar_mem_zalloc(1, sizeof *box);
    CELLAR_ASSERT(info != NULL);
    if (box == NULL) {
        (void)cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a compaction's status");
    } else if (info_fill(box, body, error) != CELLAR_OK) {
        cellar_compact_info_free(&box->info);
    } else {
        *info = &box->info;
    }
}

void cellar_compact_info_free(struct cellar_compact_info *info)
{
    if (info != NULL) {
        struct box *box = CELLAR_CONTAINER_OF(info, struct box, info);
        CELLAR_ASSERT((void *)box == (void *)info);
        cellar_arena_fini(&box->arena);
        cellar_mem_free(box);
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

static enum cellar_code compact_call(struct cellar_client *client, const struct cellar_pass *pass,
                                     struct cellar_call *call, struct cellar_compact_info **info)
{
    struct cellar_error error;
    struct cellar_buffer reply = {0};
    enum cellar_status status = cellar_pass_call(client, pass, call, &reply, &error);
    CELLAR_ASSERT(info != NULL);
    if (status == CELLAR_OK) {
        info_decode(cellar_slice_of(&reply), info, &error);
    }
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "COMPACT", call, &error);
}

enum cellar_code cellar_compact_start(struct cellar_client *client, const char *table,
                                      uint64_t bytes_per_second, struct cellar_call *call,
                                      struct cellar_compact_info **info)
{
    const struct cellar_pass pass = {
        .operation = CELLAR_OP_COMPACT, .table = table, .bytes_per_second = bytes_per_second};
    CELLAR_ASSERT(client != NULL);
    return compact_call(client, &pass, call, info);
}

enum cellar_code cellar_compact_status(struct cellar_client *client, struct cellar_call *call,
                                       struct cellar_compact_info **info)
{
    const struct cellar_pass pass = {.operation = CELLAR_OP_COMPACT, .action = 1};
    CELLAR_ASSERT(client != NULL);
    return compact_call(client, &pass, call, info);
}

enum cellar_code cellar_compact_cancel(struct cellar_client *client, struct cellar_call *call,
                                       struct cellar_compact_info **info)
{
    const struct cellar_pass pass = {.operation = CELLAR_OP_COMPACT, .action = 2};
    CELLAR_ASSERT(client != NULL);
    return compact_call(client, &pass, call, info);
}
