/*
 * The driver's side of a writer: order, requests, results.
 *
 *     inbox --due--> admit --+--> OPEN --a request has room--> SENT --result--> ENDED
 *                            |     ^ ^                           |
 *         a row of the key   |     | +--PAUSED <--may go again---+
 *         is under way       |     |
 *                            +--> HELD --the older row ended
 *
 * Rows wait in the inbox until it is full enough or old enough; from there on they go as soon as a
 * request may be made, together with whatever else waits then. Of the rows of one key at most one
 * is OPEN, SENT or PAUSED; the others hang on it in their order, so that a row that is sent again
 * never overtakes, or is overtaken by, one of its own key.
 *
 * A request has rows of one server, as far as the client's places know. It is one call that is
 * never sent again as such: when it fails, or is sent on, each of its rows is judged by
 * cellar_retry_again() with what is safe for that row, and shares its next request with others of
 * its server. A request that is refused whole for one
 * malformed row is taken apart. Once the server has answered, an outage is waited out by each row
 * until its time is over.
 *
 * All of it runs on the driver's thread, as task, timers and calls of the core; the lock guards
 * only the inbox and the counts.
 */

#include <stdio.h>
#include <string.h>

#include "client/lib/batch.h"
#include "client/lib/call.h"
#include "client/lib/mutations.h"
#include "client/lib/writer.h"
#include "common/clock.h"
#include "common/mem.h"

#define TOKEN_MARGIN_US INT64_C(5000000)
#define TOKEN_LIFE_US_MAX INT64_C(900000000)
#define LOOKS_PER_ROW 4u /* open rows that are looked at for each that a request may have */

/* One MUTATE_ROWS in flight. */
struct cellar_writer_request {
    struct cellar_async_call call;
    struct cellar_writer *writer;
    struct cellar_writer_request *next;
    struct cellar_writer_list rows; /* in the order of its entries */
    uint32_t row_count;
    uint64_t random; /* rows that fail together go again together, and share a request */
};

static void pump(struct cellar_writer *writer, int64_t now_us);

/* ---- rows ---------------------------------------------------------------------------------- */

void cellar_writer_row_free(struct cellar_writer_row *row)
{
    if (row != NULL) {
        CELLAR_ASSERT(row->timer.place == 0);
        cellar_buffer_fini(&row->entry);
        cellar_mem_free(row);
    }
}

/* Tells the result of a row. Without the lock: the program's function may add rows. */
static void result_give(const struct cellar_writer_row *row, const struct cellar_error *error)
{
    struct cellar_writer *writer = row->writer;
    struct cellar_failure failure;
    char where[CELLAR_FAILURE_WHERE_BYTES];
    CELLAR_ASSERT(row->place == CELLAR_WRITER_ENDED);
    if (error->code == CELLAR_OK) {
        memset(&failure, 0, sizeof failure);
    } else {
        cellar_async_where(writer->async, "MUTATE_ROWS", where);
        cellar_failure_fill(&failure, error, where);
        cellar_mutex_lock(&writer->lock);
        if (writer->failed++ == 0) {
            writer->first_failure = failure;
        }
        cellar_mutex_unlock(&writer->lock);
    }
    if (writer->options.done != NULL) {
        struct cellar_written written = {.table = row->table->name,
                                         .row = cellar_slice_view(cellar_writer_key(row)),
                                         .context = row->context,
                                         .failure = &failure};
        writer->options.done(writer->options.context, &written);
    }
}

/* Counts a row that has had its result, and lets waiting threads know. The oldest row that is left
 * tells what a flush may stop waiting for. */
static void count_ended(struct cellar_writer *writer, uint64_t bytes)
{
    cellar_mutex_lock(&writer->lock);
    CELLAR_ASSERT(writer->pending_rows > 0 && writer->pending_bytes >= bytes);
    writer->pending_rows--;
    writer->pending_bytes -= bytes;
    writer->ended_below = writer->oldest == NULL ? writer->admitted + 1 : writer->oldest->sequence;
    cellar_gate_broadcast(&writer->changed);
    cellar_mutex_unlock(&writer->lock);
}

/* Takes a row out of the order of ages. */
static void age_remove(struct cellar_writer *writer, struct cellar_writer_row *row)
{
    *(row->older == NULL ? &writer->oldest : &row->older->newer) = row->newer;
    *(row->newer == NULL ? &writer->newest : &row->newer->older) = row->older;
    CELLAR_ASSERT((writer->oldest == NULL) == (writer->newest == NULL));
}

/* Takes a row out of the order of its key; returns the row that may go now, if there is one. The
 * map holds the last row of each key, which is where a new one is hung on. */
static struct cellar_writer_row *order_remove(struct cellar_writer *writer,
                                              struct cellar_writer_row *row)
{
    struct cellar_writer_row *after = row->after;
    if (row->before != NULL) {
        row->before->after = after;
    }
    if (after != NULL) {
        after->before = row->before;
    } else {
        cellar_writer_map_replace(&writer->map, row, row->before);
    }
    CELLAR_ASSERT(after == NULL || after->place == CELLAR_WRITER_HELD);
    return row->before == NULL ? after : NULL;
}

static void row_open(struct cellar_writer_row *row, int64_t now_us);

/* Ends a row that is in no list: its result, and whoever waited for it. The result comes before the
 * counts, so that a flush that returns has seen all results told. */
static void row_end(struct cellar_writer_row *row, const struct cellar_error *error, int64_t now_us)
{
    struct cellar_writer *writer = row->writer;
    uint64_t bytes = cellar_writer_row_bytes(row);
    CELLAR_ASSERT(row->next == NULL && row->previous == NULL);
    cellar_timers_remove(&writer->core->timers, &row->timer);
    row->place = CELLAR_WRITER_ENDED;
    struct cellar_writer_row *released = order_remove(writer, row);
    age_remove(writer, row);
    result_give(row, error);
    cellar_writer_row_free(row);
    count_ended(writer, bytes);
    if (released != NULL) {
        row_open(released, now_us);
    }
}

/* Ends a row without memory for it. A row's end needs no memory, so this always works. */
static void row_end_memory(struct cellar_writer_row *row, int64_t now_us)
{
    struct cellar_error error;
    CELLAR_ASSERT(row->place != CELLAR_WRITER_ENDED);
    (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory to write a row");
    row_end(row, &error, now_us);
}

/* Has the open lists looked at before this turn ends. A timer that is due at once: rows that are
 * opened one by one in this turn share one look and so their requests. */
static void pump_soon(struct cellar_writer *writer, int64_t now_us)
{
    CELLAR_ASSERT(writer->core != NULL);
    if (writer->pump_timer.place == 0 &&
        cellar_timers_set(&writer->core->timers, &writer->pump_timer, now_us) != CELLAR_OK) {
        pump(writer, now_us);
    }
}

/* Puts a row into its table's open list. The timer is for the row's whole time; one microsecond
 * ahead at least, so that it is not fired from inside this turn. */
static void row_open(struct cellar_writer_row *row, int64_t now_us)
{
    CELLAR_ASSERT(row->before == NULL);
    row->place = CELLAR_WRITER_OPEN;
    if (cellar_timers_set(&row->writer->core->timers, &row->timer,
                          CELLAR_MAX(row->retry.deadline_us, now_us + 1)) != CELLAR_OK) {
        row_end_memory(row, now_us);
        return;
    }
    cellar_writer_append(&row->table->open, row);
    pump_soon(row->writer, now_us);
}

/* A row's timer: its pause is over, or its time is. */
static void row_fire(struct cellar_timer *timer, void *context, int64_t now_us)
{
    struct cellar_error error;
    struct cellar_writer_row *row = CELLAR_CONTAINER_OF(timer, struct cellar_writer_row, timer);
    CELLAR_ASSERT(context == row->writer->core);
    if (row->place == CELLAR_WRITER_PAUSED) {
        row_open(row, now_us);
        return;
    }
    CELLAR_ASSERT(row->place == CELLAR_WRITER_OPEN || row->place == CELLAR_WRITER_HELD);
    if (row->place == CELLAR_WRITER_OPEN) {
        cellar_writer_remove(&row->table->open, row);
    }
    (void)cellar_error_set(&error, CELLAR_DEADLINE_EXCEEDED,
                           "The time limit passed before the row could be sent");
    row_end(row, &error, now_us);
}

/* Whether an answer refused a row's token only: then it goes without. Without its token a row is
 * only sent again where that is safe, which the retry's terms know from here on. */
static bool row_relax(struct cellar_writer_row *row, enum cellar_attempt attempt,
                      enum cellar_status code)
{
    struct cellar_slice token = cellar_slice_make(row->token, sizeof row->token);
    uint64_t start_us = 0;
    uint64_t life_us = 1;
    struct cellar_token_fields fields = {&token, &start_us, &life_us};
    CELLAR_ASSERT(code != CELLAR_OK);
    if (!row->has_token || attempt != CELLAR_ATTEMPT_ANSWERED ||
        !cellar_token_relax(row->writer->client, &fields, &row->retry, code)) {
        return false;
    }
    row->has_token = false;
    return true;
}

/* Judges a row, which is in no list, after its request failed or answered it so. Once any answer
 * came from the server, it is known to exist, and connecting may be tried until the row's time is
 * over; before that a wrong address should be told soon. */
static void row_failed(struct cellar_writer_row *row, enum cellar_attempt attempt,
                       const struct cellar_error *error, struct cellar_retry_chance chance)
{
    struct cellar_writer *writer = row->writer;
    struct cellar_error own = *error;
    int64_t delay_us;
    int64_t now_us = chance.now_us;
    CELLAR_ASSERT(row->place == CELLAR_WRITER_SENT);
    if (row_relax(row, attempt, own.code)) {
        row_open(row, now_us);
        return;
    }
    if (own.code == CELLAR_CANCELLED) {
        row->retry.attempts_max = 0;
    }
    row->retry.connect_attempts_max =
        writer->has_reached ? UINT32_MAX : writer->client->connect_attempts_max;
    if (!cellar_retry_again(&row->retry, attempt, chance, &own, &delay_us)) {
        row_end(row, &own, now_us);
    } else if (delay_us == 0) {
        row_open(row, now_us);
    } else if (cellar_timers_set(&writer->core->timers, &row->timer, now_us + delay_us) ==
               CELLAR_OK) {
        row->place = CELLAR_WRITER_PAUSED;
    } else {
        row_end_memory(row, now_us);
    }
}

/* ---- requests ------------------------------------------------------------------------------ */

/* Takes the results of a request: one an entry. Rows are taken out one by one as their results are
 * read: where the answer turns out to be damaged, what is still in the list has no result and is
 * judged by request_finish(). */
static enum cellar_status request_take(struct cellar_async_call *call,
                                       const struct cellar_event *event, struct cellar_error *error)
{
    struct cellar_writer_request *request =
        CELLAR_CONTAINER_OF(call, struct cellar_writer_request, call);
    struct cellar_msg_mutate_rows_reply reply;
    struct cellar_row_result result;
    struct cellar_error own;
    int64_t now_us = cellar_clock_monotonic_us();
    struct cellar_retry_chance chance = {.now_us = now_us, .random = request->random};
    uint32_t count;
    bool is_read = cellar_message_decode(&cellar_msg_mutate_rows_reply_type, event->body, &reply,
                                         CELLAR_UNKNOWN_SKIP, error) == CELLAR_OK;
    struct cellar_cursor from = cellar_cursor_make(reply.results);
    if (!is_read || !cellar_wire_get_array(&from, &count) || count != request->row_count) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "The server's answer cannot be read");
    }
    request->writer->has_reached = true;
    while (request->rows.first != NULL) {
        struct cellar_writer_row *row = request->rows.first;
        CELLAR_ASSERT(row->place == CELLAR_WRITER_SENT);
        if (!cellar_row_result_take(&from, &result)) {
            return cellar_error_set(error, CELLAR_IO_ERROR, "The server's answer cannot be read");
        }
        cellar_writer_remove(&request->rows, row);
        if (result.code == CELLAR_OK) {
            cellar_error_clear(&own);
            row_end(row, &own, now_us);
            continue;
        }
        (void)cellar_error_set(&own, result.code, "%.*s", (int)CELLAR_MIN(result.text.bytes, 512u),
                               result.text.bytes == 0 ? "" : (const char *)result.text.data);
        own.retry_delay_ms = result.retry_delay_ms;
        row_failed(row, CELLAR_ATTEMPT_ANSWERED, &own, chance);
    }
    return CELLAR_OK;
}

/* Takes a request out of the writer's and frees it. */
static void request_free(struct cellar_writer_request *request)
{
    struct cellar_writer *writer = request->writer;
    struct cellar_writer_request **at = &writer->requests;
    while (*at != request) {
        CELLAR_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = request->next;
    writer->request_count--;
    cellar_buffer_fini(&request->call.body);
    cellar_mem_free(request);
}

/* The end of a request: rows without a result are judged by how it failed. A whole request that is
 * refused as malformed holds one bad row at least. Each is sent alone then: the good ones arrive,
 * the bad one gets the server's reason. */
static void request_finish(struct cellar_async_call *call)
{
    struct cellar_writer_request *request =
        CELLAR_CONTAINER_OF(call, struct cellar_writer_request, call);
    struct cellar_writer *writer = request->writer;
    int64_t now_us = cellar_clock_monotonic_us();
    struct cellar_retry_chance chance = {.now_us = now_us, .random = request->random};
    bool is_refused = call->error.code == CELLAR_INVALID_ARGUMENT &&
                      call->attempt == CELLAR_ATTEMPT_ANSWERED && request->row_count > 1;
    CELLAR_ASSERT(call->error.code != CELLAR_OK || request->rows.first == NULL);
    while (request->rows.first != NULL) {
        struct cellar_writer_row *row = request->rows.first;
        cellar_writer_remove(&request->rows, row);
        if (is_refused) {
            row->is_alone = true;
            row_open(row, now_us);
        } else {
            row_failed(row, call->attempt, &call->error, chance);
        }
    }
    request_free(request);
    if (writer->leaves_later && writer->requests == NULL) {
        cellar_writer_leave(writer);
    } else {
        pump_soon(writer, now_us);
    }
}

static const struct cellar_async_kind request_kind = {.take = request_take,
                                                      .finish = request_finish};

/* The place of a row; only good to be compared. */
static const struct cellar_place *place_of(const struct cellar_writer_row *row)
{
    struct cellar_places *places = &row->writer->client->places;
    const struct cellar_slice key = cellar_writer_key(row);
    struct cellar_place *place =
        cellar_places_pick(places, cellar_slice_text(row->table->name), &key);
    CELLAR_ASSERT(key.bytes > 0);
    cellar_places_release(places, place);
    return place;
}

/* Moves rows of one server from a table's open list into a request, as many as fit. In the order of
 * the open list: first come, first sent; a row that goes again stands at its end. */
static void request_gather(struct cellar_writer_request *request, struct cellar_writer_table *table)
{
    const struct cellar_writer_options *options = &request->writer->options;
    struct cellar_writer_row *row = table->open.first;
    const struct cellar_place *place = place_of(row);
    uint64_t looks_left = (uint64_t)options->rows_max * LOOKS_PER_ROW;
    uint64_t bytes = 0;
    uint64_t mutation_count = 0;
    while (row != NULL && request->row_count < options->rows_max && looks_left-- > 0) {
        struct cellar_writer_row *next = row->next;
        if (place_of(row) != place) {
            row = next;
            continue;
        }
        bytes += row->entry.bytes;
        mutation_count += row->mutation_count;
        bool fits = bytes <= options->bytes_max && mutation_count <= CELLAR_MUTATION_COUNT_MAX &&
                    !row->is_alone && !(request->row_count == 1 && request->rows.first->is_alone);
        if (request->row_count > 0 && !fits) {
            break;
        }
        cellar_writer_remove(&table->open, row);
        cellar_timers_remove(&request->writer->core->timers, &row->timer);
        row->place = CELLAR_WRITER_SENT;
        cellar_writer_append(&request->rows, row);
        request->row_count++;
        row = next;
    }
    CELLAR_ASSERT(request->row_count >= 1);
    request->call.table = cellar_slice_text(table->name);
    request->call.row = cellar_writer_key(request->rows.first);
    request->call.has_row = true;
}

/* Encodes the entries; whether one has a token, and until when the request may take. The request
 * may take as long as its row with the least time left. */
static enum cellar_status entries_encode(const struct cellar_writer_request *request,
                                         struct cellar_buffer *entries, bool *has_token,
                                         int64_t *deadline_us)
{
    CELLAR_TRY(cellar_wire_put_array(entries, request->row_count));
    *deadline_us = INT64_MAX;
    for (struct cellar_writer_row *row = request->rows.first; row != NULL; row = row->next) {
        CELLAR_TRY(cellar_wire_put_array(entries, row->has_token ? 3 : 2));
        CELLAR_TRY(cellar_buffer_append(entries, row->entry.data, row->entry.bytes));
        if (row->has_token) {
            *has_token = true;
            CELLAR_TRY(
                cellar_wire_put_bytes(entries, cellar_slice_make(row->token, sizeof row->token)));
        }
        *deadline_us = CELLAR_MIN(*deadline_us, row->retry.deadline_us);
    }
    CELLAR_ASSERT(*deadline_us < INT64_MAX);
    return CELLAR_OK;
}

/* Encodes a request. safety READ and one attempt: the call itself never goes twice, its rows are
 * judged each for itself. */
static enum cellar_status request_encode(struct cellar_writer_request *request,
                                         const struct cellar_writer_table *table)
{
    struct cellar_buffer entries = {0};
    bool has_token = false;
    int64_t deadline_us = 0;
    struct cellar_msg_mutate_rows_request message = {.table = cellar_slice_text(table->name)};
    enum cellar_status status = entries_encode(request, &entries, &has_token, &deadline_us);
    CELLAR_ASSERT(request->call.kind == &request_kind);
    if (status == CELLAR_OK) {
        message.entries = cellar_slice_of(&entries);
        message.token_life_us =
            has_token ? (uint64_t)CELLAR_MIN(request->writer->options.timeout_us + TOKEN_MARGIN_US,
                                             TOKEN_LIFE_US_MAX)
                      : 0;
        request->call.retry = (struct cellar_retry){.safety = CELLAR_SAFETY_READ,
                                                    .attempts_max = 1,
                                                    .connect_attempts_max = 1,
                                                    .deadline_us = deadline_us};
        status = cellar_async_body_encode(&request->call, &cellar_msg_mutate_rows_request_type,
                                          &message, &message.timeout_us);
    }
    cellar_buffer_fini(&entries);
    return status;
}

/* Sends one request of a table's open rows; without memory some rows end so. Rows are in the
 * request's list before it is encoded, so without memory they end by the way of all others. */
static void request_send(struct cellar_writer *writer, struct cellar_writer_table *table,
                         int64_t now_us)
{
    struct cellar_writer_request *request = cellar_mem_zalloc(1, sizeof *request);
    struct cellar_writer_row *row = table->open.first;
    CELLAR_ASSERT(row != NULL);
    if (request == NULL) {
        cellar_writer_remove(&table->open, row);
        row_end_memory(row, now_us);
        return;
    }
    request->writer = writer;
    request->random = cellar_client_random(writer->client);
    request->call.kind = &request_kind;
    request->call.operation = CELLAR_OP_MUTATE_ROWS;
    request->next = writer->requests;
    writer->requests = request;
    writer->request_count++;
    request_gather(request, table);
    if (request_encode(request, table) == CELLAR_OK) {
        cellar_core_add(writer->core, &request->call, now_us);
        return;
    }
    while (request->rows.first != NULL) {
        row = request->rows.first;
        cellar_writer_remove(&request->rows, row);
        row_end_memory(row, now_us);
    }
    request_free(request);
}

/* Makes requests of open rows while there may be more of them in flight. Each table in turn until
 * the requests are used up. The list of tables only grows at its front, so it is walked without the
 * lock. */
static void pump(struct cellar_writer *writer, int64_t now_us)
{
    cellar_mutex_lock(&writer->lock);
    struct cellar_writer_table *table = writer->tables; /* new ones come before it */
    cellar_mutex_unlock(&writer->lock);
    for (; table != NULL; table = table->next) {
        CELLAR_ASSERT(writer->request_count <= writer->options.requests_max);
        while (table->open.first != NULL && writer->request_count < writer->options.requests_max) {
            request_send(writer, table, now_us);
        }
    }
}

static void pump_fire(struct cellar_timer *timer, void *context, int64_t now_us)
{
    struct cellar_writer *writer = CELLAR_CONTAINER_OF(timer, struct cellar_writer, pump_timer);
    CELLAR_ASSERT(context == writer->core);
    pump(writer, now_us);
}

/* ---- the inbox ----------------------------------------------------------------------------- */

/* Gives a row its place in the orders. Without memory for the map the row has no place in the order
 * of its key and must not go: it ends here, as row_end() would look for it there. */
static void row_admit(struct cellar_writer *writer, struct cellar_writer_row *row, int64_t now_us)
{
    CELLAR_ASSERT(row->place == CELLAR_WRITER_INBOX && row->sequence > writer->admitted);
    writer->admitted = row->sequence;
    row->timer.fire = row_fire;
    row->older = writer->newest;
    *(writer->newest == NULL ? &writer->oldest : &writer->newest->newer) = row;
    writer->newest = row;
    row->place = CELLAR_WRITER_HELD;
    struct cellar_writer_row *last = cellar_writer_map_get(&writer->map, row);
    if (last != NULL) {
        cellar_writer_map_replace(&writer->map, last, row);
        last->after = row;
        row->before = last;
        if (cellar_timers_set(&writer->core->timers, &row->timer, row->retry.deadline_us) !=
            CELLAR_OK) {
            row_end_memory(row, now_us);
        }
    } else if (cellar_writer_map_add(&writer->map, row)) {
        row_open(row, now_us);
    } else {
        struct cellar_error error;
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory to write a row");
        age_remove(writer, row);
        row->place = CELLAR_WRITER_ENDED;
        result_give(row, &error);
        uint64_t bytes = cellar_writer_row_bytes(row);
        cellar_writer_row_free(row);
        count_ended(writer, bytes);
    }
}

/* Takes the inbox, which is due. All of it in one take: threads that add meanwhile begin the next
 * inbox. */
static void inbox_admit(struct cellar_writer *writer, int64_t now_us)
{
    cellar_mutex_lock(&writer->lock);
    struct cellar_writer_list inbox = writer->inbox;
    writer->inbox = (struct cellar_writer_list){NULL, NULL};
    writer->inbox_rows = 0;
    writer->inbox_bytes = 0;
    writer->is_due = false;
    cellar_mutex_unlock(&writer->lock);
    cellar_timers_remove(&writer->core->timers, &writer->inbox_timer);
    while (inbox.first != NULL) {
        struct cellar_writer_row *row = inbox.first;
        cellar_writer_remove(&inbox, row);
        row_admit(writer, row, now_us);
    }
    CELLAR_ASSERT(writer->inbox_timer.place == 0);
    pump(writer, now_us);
}

static void inbox_fire(struct cellar_timer *timer, void *context, int64_t now_us)
{
    struct cellar_writer *writer = CELLAR_CONTAINER_OF(timer, struct cellar_writer, inbox_timer);
    CELLAR_ASSERT(context == writer->core);
    inbox_admit(writer, now_us);
}

/* The flags under the lock tell what is wanted; several wishes may share one post, and the
 * strongest wins. */
void cellar_writer_run(struct cellar_async_task *task, struct cellar_core *core, int64_t now_us)
{
    struct cellar_writer *writer = CELLAR_CONTAINER_OF(task, struct cellar_writer, task);
    writer->core = core;
    writer->inbox_timer.fire = inbox_fire;
    writer->pump_timer.fire = pump_fire;
    cellar_mutex_lock(&writer->lock);
    writer->is_posted = false;
    bool is_due = writer->is_due;
    bool is_aborting = writer->is_aborting;
    bool is_leaving = writer->is_leaving;
    bool has_rows = writer->inbox.first != NULL;
    cellar_mutex_unlock(&writer->lock);
    CELLAR_ASSERT(core != NULL);
    if (is_leaving) {
        /* Rows end before the request that brought their results. */
        writer->leaves_later = writer->requests != NULL;
        if (!writer->leaves_later) {
            cellar_writer_leave(writer);
        }
    } else if (is_aborting) {
        cellar_writer_abort(writer, now_us);
    } else if (is_due || (has_rows && writer->inbox_timer.place == 0 &&
                          cellar_timers_set(&core->timers, &writer->inbox_timer,
                                            now_us + writer->options.delay_us_max) != CELLAR_OK)) {
        inbox_admit(writer, now_us);
    }
}

/* Ends a row that is in no list, CANCELLED, or unknown where an attempt of it was lost.
 * cellar_retry_again() is asked with no attempts left: it knows whether one that was lost before
 * makes the outcome unknown. */
static void row_cancel(struct cellar_writer_row *row, const struct cellar_error *error,
                       int64_t now_us)
{
    struct cellar_error own = *error;
    struct cellar_retry_chance chance = {.now_us = now_us};
    int64_t delay_us;
    row->retry.attempts_max = 0;
    bool goes_again =
        cellar_retry_again(&row->retry, CELLAR_ATTEMPT_ANSWERED, chance, &own, &delay_us);
    CELLAR_ASSERT(!goes_again);
    row_end(row, &own, now_us);
}

void cellar_writer_abort(struct cellar_writer *writer, int64_t now_us)
{
    struct cellar_error error;
    CELLAR_ASSERT(writer->core != NULL);
    (void)cellar_error_set(&error, CELLAR_CANCELLED, "The writer was closed before the row's end");
    inbox_admit(writer, now_us);
    for (struct cellar_writer_request *request = writer->requests; request != NULL;
         request = request->next) {
        if (request->call.place != CELLAR_ASYNC_OVER) {
            cellar_core_abort(&request->call, &error, now_us);
        }
    }
    /* Newest first: nothing is let go that would have to be ended next. */
    struct cellar_writer_row *row = writer->newest;
    while (row != NULL) {
        struct cellar_writer_row *older = row->older;
        if (row->place != CELLAR_WRITER_SENT) {
            if (row->place == CELLAR_WRITER_OPEN) {
                cellar_writer_remove(&row->table->open, row);
            }
            row_cancel(row, &error, now_us);
        }
        row = older;
    }
}

/* After the broadcast the writer may be freed by whoever closes it, so this is the last that is
 * done with it here. */
void cellar_writer_leave(struct cellar_writer *writer)
{
    CELLAR_ASSERT(writer->oldest == NULL && writer->requests == NULL);
    if (writer->core != NULL) {
        cellar_timers_remove(&writer->core->timers, &writer->inbox_timer);
        cellar_timers_remove(&writer->core->timers, &writer->pump_timer);
    }
    cellar_mutex_lock(&writer->lock);
    writer->has_left = true;
    cellar_gate_broadcast(&writer->changed);
    cellar_mutex_unlock(&writer->lock);
}
