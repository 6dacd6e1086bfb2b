/* Servers of some rows; fake_places.h says what each function is for. */
#include <stdio.h>
#include <string.h>

#include "common/cell.h"
#include "common/mem.h"
#include "common/rowset.h"
#include "tests/unit/client/lib/fake_places.h"

static bool is_moved(const struct server *server, struct cellar_slice row)
{
    return server->friends[0] == NULL && server->target[0] != '\0' &&
           (server->moved_max == 0 || server->moved_count < server->moved_max) &&
           cellar_slice_compare(row, cellar_slice_text(server->start)) >= 0 &&
           (server->end[0] == '\0' ||
            cellar_slice_compare(row, cellar_slice_text(server->end)) < 0);
}

static void row_note(struct server *server, struct cellar_slice row)
{
    if (server->friends[0] != NULL) {
        return; /* nobody looks at them */
    }
    size_t count = strlen(server->rows);
    CELLAR_ASSERT(count + 1 < sizeof server->rows);
    server->rows[count] = row.bytes == 0 ? '-' : (char)row.data[0];
}

static void moved_send(struct server *server, int fd, const struct fake_request *request)
{
    struct cellar_buffer body = {0};
    struct cellar_msg_error message = {.code = CELLAR_UNAVAILABLE,
                                       .text = cellar_slice_text("not here"),
                                       .endpoint = cellar_slice_text(server->target),
                                       .start = cellar_slice_text(server->start),
                                       .end = cellar_slice_text(server->end)};
    server->moved_count++;
    enum cellar_status status = cellar_message_encode(&cellar_msg_error_type, &message, &body);
    CELLAR_ASSERT(status == CELLAR_OK);
    fake_send(fd, request, CELLAR_FRAME_ERROR, cellar_slice_of(&body));
    cellar_buffer_fini(&body);
}

static void mutate_row_serve(struct server *server, int fd, const struct fake_request *request)
{
    struct cellar_msg_mutate_row_request message;
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_mutate_row_request_type, cellar_slice_of(&request->body),
                              &message, CELLAR_UNKNOWN_REFUSE, NULL);
    CELLAR_ASSERT(status == CELLAR_OK);
    if (is_moved(server, message.row)) {
        moved_send(server, fd, request);
        return;
    }
    row_note(server, message.row);
    fake_reply_empty(fd, request);
}

/* Answers OK to each entry, or sends all on when one is not served here. Row z has a failure. */
static void mutate_rows_serve(struct server *server, int fd, const struct fake_request *request)
{
    struct cellar_msg_mutate_rows_request message;
    struct cellar_msg_mutate_rows_reply reply = {0};
    struct cellar_buffer results = {0};
    struct cellar_buffer body = {0};
    struct cellar_slice rows[32];
    uint32_t count;
    bool is_elsewhere = false;
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_mutate_rows_request_type, cellar_slice_of(&request->body),
                              &message, CELLAR_UNKNOWN_REFUSE, NULL);
    struct cellar_cursor from = cellar_cursor_make(message.entries);
    bool is_read = status == CELLAR_OK && cellar_wire_get_array(&from, &count) && count <= 32;
    for (uint32_t index = 0; is_read && index < count; index++) {
        uint32_t parts;
        is_read = cellar_wire_get_array(&from, &parts) && parts == 2 &&
                  cellar_wire_get_bytes(&from, &rows[index]) && cellar_wire_skip(&from, NULL);
        is_elsewhere = is_elsewhere || is_moved(server, rows[index]);
    }
    CELLAR_ASSERT(is_read);
    if (is_elsewhere) {
        moved_send(server, fd, request);
        return;
    }
    status = cellar_wire_put_array(&results, count);
    for (uint32_t index = 0; status == CELLAR_OK && index < count; index++) {
        row_note(server, rows[index]);
        status = rows[index].data[0] == 'z' ? cellar_buffer_append(&results, "\x93\x02\xa0\x00", 4)
                                            : cellar_wire_put_u64(&results, 0);
    }
    reply.results = cellar_slice_of(&results);
    status = status == CELLAR_OK
                 ? cellar_message_encode(&cellar_msg_mutate_rows_reply_type, &reply, &body)
                 : status;
    CELLAR_ASSERT(status == CELLAR_OK);
    fake_send(fd, request, CELLAR_FRAME_REPLY, cellar_slice_of(&body));
    cellar_buffer_fini(&results);
    cellar_buffer_fini(&body);
}

/* Ends a read's answer with a part that has no row. */
static void read_end(int fd, const struct fake_request *request, uint64_t number)
{
    struct cellar_buffer body = {0};
    struct cellar_msg_read_rows_reply reply = {.part = number,
                                               .rows = cellar_slice_make("\x90", 1)};
    enum cellar_status status =
        cellar_message_encode(&cellar_msg_read_rows_reply_type, &reply, &body);
    CELLAR_ASSERT(status == CELLAR_OK);
    fake_send(fd, request, CELLAR_FRAME_REPLY, cellar_slice_of(&body));
    cellar_buffer_fini(&body);
}

static bool is_asked(const struct cellar_rowset *rows, struct cellar_slice row)
{
    for (size_t index = 0; index < rows->count; index++) {
        const struct cellar_range *range = &rows->ranges[index];
        if (cellar_slice_compare(row, range->start) >= 0 &&
            (range->end.bytes == 0 || cellar_slice_compare(row, range->end) < 0)) {
            return true;
        }
    }
    return false;
}

/* Gives the rows in stock that are asked for, a part each, until one is served elsewhere. */
static void stock_serve(struct server *server, int fd, const struct fake_request *request,
                        const struct cellar_msg_read_rows_request *message,
                        const struct cellar_rowset *rows)
{
    size_t count = server->stock == NULL ? 0 : strlen(server->stock);
    uint64_t given = 0;
    for (size_t step = 0; step < count; step++) {
        char key[2] = {server->stock[message->reversed ? count - 1 - step : step], '\0'};
        const struct fake_part part = {.number = given, .key = key};
        if (!is_asked(rows, cellar_slice_text(key)) ||
            (message->rows_limit > 0 && given == (uint64_t)message->rows_limit)) {
            continue;
        }
        if (server->rows_max == 0 ? is_moved(server, cellar_slice_text(key))
                                  : given == server->rows_max) {
            moved_send(server, fd, request);
            return;
        }
        row_note(server, cellar_slice_text(key));
        fake_rows(fd, request, &part);
        given++;
    }
    read_end(fd, request, given);
}

static void read_rows_serve(struct server *server, int fd, const struct fake_request *request)
{
    struct cellar_msg_read_rows_request message;
    struct cellar_arena arena = {0};
    struct cellar_rowset rows;
    enum cellar_status status =
        cellar_message_decode(&cellar_msg_read_rows_request_type, cellar_slice_of(&request->body),
                              &message, CELLAR_UNKNOWN_REFUSE, NULL);
    CELLAR_ASSERT(status == CELLAR_OK);
    status = cellar_rowset_decode(message.row_keys, message.ranges, &arena, &rows, NULL);
    CELLAR_ASSERT(status == CELLAR_OK);
    stock_serve(server, fd, request, &message, &rows);
    cellar_arena_fini(&arena);
}

/* What a server with friends does by chance; false when the connection is to be closed. */
static bool chance_take(struct server *server, int fd, const struct fake_request *request,
                        bool *is_answered)
{
    static const char *const bounds[] = {"", "c", "m", "t"};
    uint64_t chance = test_random_below(&server->random, 16);
    uint64_t start = test_random_below(&server->random, CELLAR_ARRAY_COUNT(bounds));
    *is_answered = false;
    server->rows_max = test_random_below(&server->random, 4);
    /* Of some range, which need not have the request's rows. */
    send_on(server, server->friends[chance % 2], bounds[start],
            start + 1 < CELLAR_ARRAY_COUNT(bounds) ? bounds[start + 1] : "");
    if (chance == 0) {
        return false;
    }
    if (chance < 4) {
        moved_send(server, fd, request);
        *is_answered = true;
    }
    return true;
}

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct server *server = peer->context;
    struct fake_request request = {0};
    (void)index;
    while (fake_receive(fd, &request)) {
        if (request.frame.kind == CELLAR_FRAME_CANCEL ||
            request.frame.kind == CELLAR_FRAME_CREDIT) {
            continue; /* of a read that was answered meanwhile */
        }
        server->request_count++;
        if (server->lose_count > 0) {
            server->lose_count--;
            break;
        }
        bool is_answered = false;
        if (server->friends[0] != NULL && !chance_take(server, fd, &request, &is_answered)) {
            break;
        }
        if (is_answered) {
            continue;
        }
        if (request.frame.operation == CELLAR_OP_MUTATE_ROW) {
            mutate_row_serve(server, fd, &request);
        } else if (request.frame.operation == CELLAR_OP_MUTATE_ROWS) {
            mutate_rows_serve(server, fd, &request);
        } else {
            read_rows_serve(server, fd, &request);
        }
    }
    fake_request_fini(&request);
}

void server_start(struct server *server)
{
    memset(server, 0, sizeof *server);
    server->peer = (struct fake_peer){.serve = serve, .context = server};
    fake_peer_start(&server->peer);
}

void send_on(struct server *server, const struct server *to, const char *start, const char *end)
{
    server->start = start;
    server->end = end;
    (void)snprintf(server->target, sizeof server->target, "%s", to->peer.endpoint);
}

enum cellar_code row_write(struct cellar_client *client, const char *row, struct cellar_call *call)
{
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    enum cellar_code code = cellar_mutate_row(client, "t", TEXT(row), list, call);
    cellar_mutations_free(list);
    return code;
}

#include "tests/unit/client/lib/fake_peer.c"
