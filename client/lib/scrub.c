/*
 * SCRUB: starts a scrub on the server, asks how far it is, has it end.
 *
 * The server answers all three with the same status at once, which is decoded here into one block
 * that the program frees (as in info.c): the structure at the head of a box with an arena. The
 * server is not trusted; elements that a newer one adds are stepped over. A start is a write, which
 * is not sent twice: the second would be refused. Any thread.
 */
#include <cellar/cellar.h>

#include "client/lib/pass_call.h"
#include "common/mem.h"
#include "common/message.h"

#define PROBLEM_FIELD_COUNT 7u
#define PROBLEM_COUNT_MAX 100000u

struct box {
    struct cellar_scrub_info info; /* first: freed through it */
    struct cellar_arena arena;
};

static enum cellar_status broken(struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    return cellar_error_set(error, CELLAR_IO_ERROR,
                            "The server broke the protocol: SCRUB's answer cannot be read");
}

static enum cellar_status no_memory(struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a scrub's status");
}

/* False without memory. */
static bool text_take(struct box *box, struct cellar_slice text, const char **to)
{
    *to = cellar_arena_text(&box->arena, text.data, text.bytes);
    CELLAR_ASSERT(*to == NULL || (*to)[text.bytes] == '\0');
    return *to != NULL;
}

static bool key_take(struct box *box, struct cellar_slice key, struct cellar_view *to)
{
    const char *copy = NULL;
    bool is_there = text_take(box, key, &copy);
    CELLAR_ASSERT(!is_there || copy != NULL);
    *to = cellar_view_of(copy, key.bytes);
    return is_there;
}

/* One [table, tablet start, tablet end, place, start, end, text]. */
static enum cellar_status problem_decode(struct box *box, struct cellar_cursor *from,
                                         struct cellar_scrub_problem *problem,
                                         struct cellar_error *error)
{
    uint32_t count;
    uint64_t place;
    struct cellar_slice table;
    struct cellar_slice keys[4];
    struct cellar_slice why;
    if (!cellar_wire_get_array(from, &count) || count < PROBLEM_FIELD_COUNT ||
        !cellar_wire_get_text(from, &table) || !cellar_wire_get_bytes(from, &keys[0]) ||
        !cellar_wire_get_bytes(from, &keys[1]) || !cellar_wire_get_u64(from, &place) ||
        !cellar_wire_get_bytes(from, &keys[2]) || !cellar_wire_get_bytes(from, &keys[3]) ||
        !cellar_wire_get_text(from, &why)) {
        return broken(error);
    }
    for (uint32_t i = PROBLEM_FIELD_COUNT; i < count; i++) {
        if (!cellar_wire_skip(from, NULL)) {
            return broken(error);
        }
    }
    CELLAR_ASSERT(count >= PROBLEM_FIELD_COUNT);
    problem->place = place == CELLAR_SCRUB_ROW    ? CELLAR_SCRUB_ROW
                     : place == CELLAR_SCRUB_ROWS ? CELLAR_SCRUB_ROWS
                                                  : CELLAR_SCRUB_NOWHERE;
    return text_take(box, table, &problem->table) && text_take(box, why, &problem->why) &&
                   key_take(box, keys[0], &problem->tablet_start) &&
                   key_take(box, keys[1], &problem->tablet_end) &&
                   key_take(box, keys[2], &problem->start) && key_take(box, keys[3], &problem->end)
               ? CELLAR_OK
               : no_memory(error);
}

static enum cellar_status problems_decode(struct box *box, struct cellar_slice raw,
                                          struct cellar_error *error)
{
    struct cellar_cursor from;
    uint32_t count = 0;
    if (raw.bytes == 0) {
        return CELLAR_OK;
    }
    from = cellar_cursor_make(raw);
    if (!cellar_wire_get_array(&from, &count) || count > PROBLEM_COUNT_MAX) {
        return broken(error);
    }
    struct cellar_scrub_problem *problems =
        cellar_arena_alloc(&box->arena, (count + 1) * sizeof *problems);
    if (problems == NULL) {
        return no_memory(error);
    }
    for (uint32_t i = 0; i < count; i++) {
        CELLAR_TRY(problem_decode(box, &from, &problems[i], error));
    }
    CELLAR_ASSERT(box->info.problems == NULL);
    box->info.problems = problems;
    box->info.problem_count_listed = count;
    return CELLAR_OK;
}

static enum cellar_status info_fill(struct box *box, struct cellar_slice body,
                                    struct cellar_error *error)
{
    struct cellar_msg_scrub_reply reply;
    if (cellar_message_decode(&cellar_msg_scrub_reply_type, body, &reply, CELLAR_UNKNOWN_SKIP,
                              error) != CELLAR_OK ||
        reply.state > CELLAR_SCRUB_CANCELLED) {
        return broken(error);
    }
    CELLAR_ASSERT(box->info.table == NULL);
    box->info = (struct cellar_scrub_info){
        .state = (enum cellar_scrub_state)reply.state,
        .pass = reply.pass,
        .is_background = reply.background,
        .item_count = reply.items,
        .item_count_total = reply.items_total,
        .byte_count = reply.bytes,
        .started_us = reply.started_us,
        .ended_us = reply.ended_us,
        .problem_count = reply.problem_count,
    };
    if (!text_take(box, reply.table, &box->info.table)) {
        return no_memory(error);
    }
    return problems_decode(box, reply.problems, error);
}

static enum cellar_status info_decode(struct cellar_slice body, struct cellar_scrub_info **info,
                                      struct cellar_error *error)
{
    struct box *box = cellar_mem_zalloc(1, sizeof *box);
    CELLAR_ASSERT(info != NULL);
    if (box == NULL) {
        return no_memory(error);
    }
    enum cellar_status status = info_fill(box, body, error);
    if (status != CELLAR_OK) {
        cellar_scrub_info_free(&box->info);
        return status;
    }
    *info = &box->info;
    return CELLAR_OK;
}

void cellar_scrub_info_free(struct cellar_scrub_info *info)
{
    if (info != NULL) {
        struct box *box = CELLAR_CONTAINER_OF(info, struct box, info);
        CELLAR_ASSERT((void *)box == (void *)info);
        cellar_arena_fini(&box->arena);
        cellar_mem_free(box);
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

static enum cellar_code scrub_call(struct cellar_client *client, const struct cellar_pass *pass,
                                   struct cellar_call *call, struct cellar_scrub_info **info)
{
    struct cellar_error error;
    struct cellar_buffer reply = {0};
    enum cellar_status status = cellar_pass_call(client, pass, call, &reply, &error);
    CELLAR_ASSERT(info != NULL);
    if (status == CELLAR_OK) {
        (void)info_decode(cellar_slice_of(&reply), info, &error);
    }
    cellar_buffer_fini(&reply);
    return cellar_client_finish(client, "SCRUB", call, &error);
}

enum cellar_code cellar_scrub_start(struct cellar_client *client, const char *table,
                                    uint64_t bytes_per_second, struct cellar_call *call,
                                    struct cellar_scrub_info **info)
{
    const struct cellar_pass pass = {
        .operation = CELLAR_OP_SCRUB, .table = table, .bytes_per_second = bytes_per_second};
    CELLAR_ASSERT(client != NULL);
    return scrub_call(client, &pass, call, info);
}

enum cellar_code cellar_scrub_status(struct cellar_client *client, struct cellar_call *call,
                                     struct cellar_scrub_info **info)
{
    const struct cellar_pass pass = {.operation = CELLAR_OP_SCRUB, .action = 1};
    CELLAR_ASSERT(client != NULL);
    return scrub_call(client, &pass, call, info);
}

enum cellar_code cellar_scrub_cancel(struct cellar_client *client, struct cellar_call *call,
                                     struct cellar_scrub_info **info)
{
    const struct cellar_pass pass = {.operation = CELLAR_OP_SCRUB, .action = 2};
    CELLAR_ASSERT(client != NULL);
    return scrub_call(client, &pass, call, info);
}
