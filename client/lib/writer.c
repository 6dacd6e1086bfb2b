/*
 * Writers: the side of the threads that add rows.
 *
 * A row is encoded by the thread that adds it, gets the client's time where it has none, and waits
 * for room; then it lies in the inbox. The driver is woken when the inbox gets its first row, and
 * when it holds enough for a request; what happens there is writer_driver.c's. The counts under the
 * lock are all that both sides share:
 *
 *     added         the sequence of the last row          flush waits until ended_below is above
 *     ended_below   every older row has had its result     what was added when it was called
 *
 * Times never go back within a writer, so that of two sets of one cell the later one counts also
 * where the machine's clock was set back in between.
 *
 * Closing: no more rows are taken; the rest is flushed, or cancelled when the time is over; the
 * driver is told to let go, and then the writer is freed by whoever closes it.
 */

#include "client/lib/writer.h"

#include <inttypes.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/mutations.h"
#include "common/clock.h"
#include "common/mem.h"

#define ROWS_MAX_DEFAULT 1000u
#define REQUESTS_MAX_DEFAULT 8u
#define REQUESTS_MAX 256u
#define BYTES_MAX_DEFAULT UINT64_C(1048576)
#define PENDING_BYTES_DEFAULT UINT64_C(67108864)
#define PENDING_ROWS_MAX UINT64_C(1000000)
#define DELAY_US_DEFAULT INT64_C(10000)
#define TABLE_COUNT_MAX 1024u

/* Fills the options; checks what can be wrong. 0 is "as you think fit" for each of them, so that a
 * program sets only what it cares for and gains from better defaults later. */
static enum cellar_status options_fill(const struct cellar_client *client,
                                       struct cellar_writer_options *options,
                                       struct cellar_error *error)
{
    CELLAR_ASSERT(client->timeout_us > 0);
    if (options->rows_max > CELLAR_MUTATION_COUNT_MAX || options->requests_max > REQUESTS_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Options rows_max and requests_max must be at most %u and %u, but "
                                "got %u and %u",
                                CELLAR_MUTATION_COUNT_MAX, REQUESTS_MAX, options->rows_max,
                                options->requests_max);
    }
    if (options->delay_us_max < 0 || options->timeout_us < 0 ||
        (unsigned int)options->granularity > CELLAR_TABLE_MICROS) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Options delay_us_max and timeout_us must be >= 0 and granularity "
                                "one of its enum, but got %" PRId64 ", %" PRId64 " and %u",
                                options->delay_us_max, options->timeout_us,
                                (unsigned int)options->granularity);
    }
    options->rows_max = options->rows_max == 0 ? ROWS_MAX_DEFAULT : options->rows_max;
    options->requests_max =
        options->requests_max == 0 ? REQUESTS_MAX_DEFAULT : options->requests_max;
    options->bytes_max = options->bytes_max == 0 ? BYTES_MAX_DEFAULT : options->bytes_max;
    if (options->pending_bytes_max == 0) {
        options->pending_bytes_max = PENDING_BYTES_DEFAULT;
    }
    options->delay_us_max = options->delay_us_max == 0 ? DELAY_US_DEFAULT : options->delay_us_max;
    options->timeout_us = options->timeout_us == 0 ? client->timeout_us : options->timeout_us;
    return CELLAR_OK;
}

/* Opens no connection: the first row does, so that a server that is down is told where rows are
 * told. */
enum cellar_code cellar_writer_open(struct cellar_client *client,
                                    const struct cellar_writer_options *options,
                                    struct cellar_call *call, struct cellar_writer **writer)
{
    struct cellar_error error;
    CELLAR_ASSERT(client != NULL && writer != NULL);
    cellar_error_clear(&error);
    struct cellar_writer *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a writer");
        return cellar_client_finish(client, "writer", call, &error);
    }
    if (options != NULL) {
        made->options = *options;
    }
    made->client = client;
    made->task.run = cellar_writer_run;
    if (options_fill(client, &made->options, &error) != CELLAR_OK ||
        cellar_async_get(client, &made->async, &error) != CELLAR_OK) {
        cellar_mem_free(made);
        return cellar_client_finish(client, "writer", call, &error);
    }
    cellar_mutex_init(&made->lock);
    cellar_gate_init(&made->changed, client->pool.address.interrupt_fd);
    *writer = made;
    return cellar_client_finish(client, "writer", call, &error);
}

/* ---- adding -------------------------------------------------------------------------------- */

/* Posts the task whose flag was just set, unless it was posted already; takes the flag back when
 * nobody runs it. */
static bool post_finish(struct cellar_writer *writer, bool is_posted)
{
    if (is_posted || cellar_async_post(writer->async, &writer->task)) {
        return true;
    }
    cellar_mutex_lock(&writer->lock);
    CELLAR_ASSERT(writer->is_posted);
    writer->is_posted = false;
    cellar_mutex_unlock(&writer->lock);
    return false;
}

/* Posts the driver's task unless it is posted. Call without the lock. The flag is set before the
 * task is posted and taken back when nobody runs it: between the two another thread may rely on a
 * post that fails, and its row then waits for the close, which ends all rows. */
static bool driver_post(struct cellar_writer *writer)
{
    cellar_mutex_lock(&writer->lock);
    bool is_posted = writer->is_posted;
    writer->is_posted = true;
    cellar_mutex_unlock(&writer->lock);
    return post_finish(writer, is_posted);
}

/* The time of cells that have none: now, but never earlier than one that was given before. Cut to
 * milliseconds where the table has them: the server would refuse a finer time. */
static int64_t time_next(struct cellar_writer *writer)
{
    int64_t now_us = cellar_clock_real_us();
    int64_t time_us = CELLAR_MAX(now_us, INT64_C(0));
    if (writer->options.granularity != CELLAR_TABLE_MICROS) {
        time_us -= time_us % 1000;
    }
    cellar_mutex_lock(&writer->lock);
    time_us = CELLAR_MAX(time_us, writer->last_time_us);
    writer->last_time_us = time_us;
    cellar_mutex_unlock(&writer->lock);
    CELLAR_ASSERT(time_us >= 0);
    return time_us;
}

/* Checks what would spoil a whole request. The server would refuse the whole request for one such
 * row, with the rows of others in it. */
static enum cellar_status row_check(struct cellar_view row, const struct cellar_mutations *list,
                                    struct cellar_error *error)
{
    CELLAR_TRY(cellar_mutations_error(list, error));
    if (row.bytes < 1 || row.bytes > CELLAR_ROW_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A row's key must have 1 to %u bytes, but got %zu",
                                CELLAR_ROW_BYTES_MAX, row.bytes);
    }
    if (list->count == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "A row must have a mutation");
    }
    CELLAR_ASSERT(list->count <= CELLAR_MUTATION_COUNT_MAX);
    return CELLAR_OK;
}

/* Encodes a row. In the adding thread, so that many of them share this work and the driver only
 * joins bytes. A row whose mutations are not the same when applied twice gets a token of its own;
 * without one, where the server takes none, it is not sent again once its answer is lost. */
static enum cellar_status row_encode(struct cellar_writer_row *made, struct cellar_view row,
                                     const struct cellar_mutations *list)
{
    struct cellar_writer *writer = made->writer;
    CELLAR_TRY(cellar_wire_put_bytes(&made->entry, cellar_view_slice(row)));
    made->key_start = made->entry.bytes - row.bytes;
    made->key_bytes = (uint32_t)row.bytes;
    made->mutation_count = list->count;
    int64_t time_us = list->is_idempotent ? 0 : time_next(writer);
    CELLAR_TRY(cellar_mutations_encode_at(list, time_us, &made->entry));
    enum cellar_safety safety = CELLAR_SAFETY_IDEMPOTENT;
    if (list->has_others) {
        made->has_token = cellar_token_make(writer->client, made->token);
        safety = made->has_token ? CELLAR_SAFETY_IDEMPOTENT : CELLAR_SAFETY_WRITE;
    }
    CELLAR_ASSERT(made->entry.bytes > row.bytes);
    made->retry = cellar_call_retry(writer->client, safety,
                                    cellar_clock_monotonic_us() + writer->options.timeout_us);
    return CELLAR_OK;
}

/* Makes a row; NULL without memory. */
static struct cellar_writer_row *row_new(struct cellar_writer *writer, struct cellar_view row,
                                         const struct cellar_mutations *list, void *context)
{
    struct cellar_writer_row *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(list->count >= 1);
    if (made == NULL) {
        return NULL;
    }
    made->writer = writer;
    made->context = context;
    if (row_encode(made, row, list) != CELLAR_OK) {
        cellar_writer_row_free(made);
        return NULL;
    }
    return made;
}

/* Finds a table by its full name; NULL when there is none yet. A list: programs write to a handful
 * of tables, and TABLE_COUNT_MAX bounds it. */
static struct cellar_writer_table *table_find(const struct cellar_writer *writer, const char *name)
    CELLAR_REQUIRES(writer->lock)
{
    struct cellar_writer_table *table = writer->tables;
    CELLAR_ASSERT(name[0] != '\0');
    while (table != NULL && strcmp(table->name, name) != 0) {
        table = table->next;
    }
    return table;
}

/* The table of a row, made when it is new. Memory is asked for without the lock. Tables live as
 * long as the writer, so a pointer to one stays good. */
static enum cellar_status table_get(struct cellar_writer *writer, const char *name,
                                    struct cellar_writer_table **table, struct cellar_error *error)
{
    cellar_mutex_lock(&writer->lock);
    *table = table_find(writer, name);
    cellar_mutex_unlock(&writer->lock);
    if (*table != NULL) {
        return CELLAR_OK;
    }
    struct cellar_writer_table *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a writer's table");
    }
    CELLAR_ASSERT(strlen(name) < sizeof made->name);
    memcpy(made->name, name, strlen(name) + 1);
    cellar_mutex_lock(&writer->lock);
    *table = table_find(writer, name); /* another thread may have been faster */
    if (*table == NULL && writer->table_count < TABLE_COUNT_MAX) {
        made->next = writer->tables;
        writer->tables = made;
        writer->table_count++;
        *table = made;
        made = NULL;
    }
    cellar_mutex_unlock(&writer->lock);
    cellar_mem_free(made);
    return *table != NULL
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                  "A writer must write to at most %u tables", TABLE_COUNT_MAX);
}

/* Whether there is room for a row; the first one always finds it. Rows count as pending until their
 * result was told, not only until they are sent: that is what memory is needed for. */
static bool has_room(const struct cellar_writer *writer, uint64_t bytes)
    CELLAR_REQUIRES(writer->lock)
{
    uint64_t bytes_max = writer->options.pending_bytes_max;
    CELLAR_ASSERT(bytes > 0);
    return writer->pending_rows == 0 ||
           (writer->pending_rows < PENDING_ROWS_MAX && writer->pending_bytes < bytes_max &&
            bytes <= bytes_max - writer->pending_bytes);
}

/* Waits for room until a moment. The driver's own thread, in a callback, must not wait for what
 * only it can bring about: it is told that there is no room. */
static enum cellar_status room_wait(struct cellar_writer *writer, uint64_t bytes,
                                    int64_t deadline_us, bool can_wait, struct cellar_error *error)
    CELLAR_REQUIRES(writer->lock)
{
    enum cellar_gate_end end = CELLAR_GATE_WOKEN;
    struct cellar_gate_waiter waiter = {.wake_fd = -1};
    while (can_wait && end == CELLAR_GATE_WOKEN && !writer->is_closing &&
           !has_room(writer, bytes)) {
        end = cellar_gate_wait(&writer->changed, &writer->lock, &waiter, deadline_us);
    }
    cellar_gate_leave(&writer->changed, &waiter);
    CELLAR_ASSERT(deadline_us > 0);
    if (writer->is_closing) {
        return cellar_error_set(error, CELLAR_CANCELLED, "The writer is being closed");
    }
    if (has_room(writer, bytes)) {
        return CELLAR_OK;
    }
    if (end == CELLAR_GATE_INTERRUPTED) {
        return cellar_error_set(error, CELLAR_CANCELLED,
                                "Interrupted while waiting for room; the row was not added");
    }
    return cellar_error_set(
        error, end == CELLAR_GATE_WOKEN ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_DEADLINE_EXCEEDED,
        "The writer has %" PRIu64 " rows and %" PRIu64 " bytes without a result "
        "(pending_bytes_max %" PRIu64 "); the row was not added",
        writer->pending_rows, writer->pending_bytes, writer->options.pending_bytes_max);
}

/* Puts a row into the inbox. The driver is woken for the first row, to set the timer, and when a
 * request's worth is there or nobody could add more; not for each row. */
static enum cellar_status inbox_put(struct cellar_writer *writer, struct cellar_writer_row *row,
                                    int64_t deadline_us, struct cellar_error *error)
{
    uint64_t bytes = cellar_writer_row_bytes(row);
    bool can_wait = !cellar_async_is_driver(writer->async);
    bool is_wanted = false;
    cellar_mutex_lock(&writer->lock);
    enum cellar_status status = room_wait(writer, bytes, deadline_us, can_wait, error);
    if (status == CELLAR_OK) {
        is_wanted = writer->inbox.first == NULL;
        row->sequence = ++writer->added;
        cellar_writer_append(&writer->inbox, row);
        writer->pending_rows++;
        writer->pending_bytes += bytes;
        writer->inbox_rows++;
        writer->inbox_bytes += row->entry.bytes;
        if (!writer->is_due &&
            (writer->inbox_rows >= writer->options.rows_max ||
             writer->inbox_bytes >= writer->options.bytes_max || !has_room(writer, bytes))) {
            writer->is_due = true;
            is_wanted = true;
        }
    }
    cellar_mutex_unlock(&writer->lock);
    CELLAR_ASSERT(status == CELLAR_OK || !is_wanted);
    if (is_wanted) {
        (void)driver_post(writer); /* where nothing runs any more, closing ends the row */
    }
    return status;
}

/* The failure of this call and the result of a row exclude each other: a row that was not added has
 * none. */
enum cellar_code cellar_writer_add(struct cellar_writer *writer, const char *table,
                                   struct cellar_view row, const struct cellar_mutations *list,
                                   void *context, struct cellar_call *call)
{
    struct cellar_error error;
    struct cellar_writer_row *made = NULL;
    char name[CELLAR_TABLE_NAME_BYTES_MAX];
    int64_t deadline_us = 0;
    CELLAR_ASSERT(writer != NULL && table != NULL);
    enum cellar_status status = row_check(row, list, &error);
    if (status == CELLAR_OK) {
        status = cellar_call_deadline(writer->client, call, &deadline_us, &error);
    }
    if (status == CELLAR_OK) {
        status = cellar_client_table_name(writer->client, table, name, &error);
    }
    if (status == CELLAR_OK) {
        made = row_new(writer, row, list, context);
        if (made == NULL) {
            status = cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a row");
        }
    }
    if (made != NULL) {
        status = table_get(writer, name, &made->table, &error);
    }
    if (made != NULL && status == CELLAR_OK) {
        made->hash = cellar_writer_hash(name, cellar_view_slice(row));
        status = inbox_put(writer, made, deadline_us, &error);
    }
    if (status != CELLAR_OK) {
        cellar_writer_row_free(made);
    } else {
        cellar_error_clear(&error);
    }
    return cellar_client_finish(writer->client, "writer", call, &error);
}

/* ---- flushing and closing ------------------------------------------------------------------ */

/* Whether every row up to `sequence` has its result. */
static bool has_ended(const struct cellar_writer *writer, uint64_t sequence)
    CELLAR_REQUIRES(writer->lock)
{
    CELLAR_ASSERT(writer->pending_rows <= writer->added);
    return writer->ended_below > sequence || writer->pending_rows == 0;
}

/* Waits until every row up to `sequence` has its result: WOKEN then. Rows that are added while we
 * wait do not lengthen the wait: `sequence` was taken before. */
static enum cellar_gate_end ended_wait(struct cellar_writer *writer, uint64_t sequence,
                                       int64_t deadline_us)
{
    enum cellar_gate_end end = CELLAR_GATE_WOKEN;
    struct cellar_gate_waiter waiter = {.wake_fd = -1};
    CELLAR_ASSERT(deadline_us > 0);
    cellar_mutex_lock(&writer->lock);
    while (!has_ended(writer, sequence) && end == CELLAR_GATE_WOKEN) {
        end = cellar_gate_wait(&writer->changed, &writer->lock, &waiter, deadline_us);
    }
    cellar_gate_leave(&writer->changed, &waiter);
    end = has_ended(writer, sequence) ? CELLAR_GATE_WOKEN : end;
    cellar_mutex_unlock(&writer->lock);
    return end;
}

/* Waits until the rows that were cancelled have ended, which nothing but the driver's turn can hold
 * up, and no interrupt may: the writer is freed next. */
static void cancelled_wait(struct cellar_writer *writer, uint64_t sequence)
{
    cellar_mutex_lock(&writer->lock);
    CELLAR_ASSERT(writer->is_aborting);
    while (!has_ended(writer, sequence)) {
        cellar_cond_wait(&writer->changed.cond, &writer->lock);
    }
    cellar_mutex_unlock(&writer->lock);
}

/* Has the inbox sent at once; receives the last row's sequence. False when nothing runs. A flush is
 * no barrier: rows of other threads may share the requests. */
static bool flush_begin(struct cellar_writer *writer, bool closes, uint64_t *sequence)
{
    cellar_mutex_lock(&writer->lock);
    *sequence = writer->added;
    writer->is_due = true;
    writer->is_closing = writer->is_closing || closes;
    cellar_gate_broadcast(&writer->changed);
    cellar_mutex_unlock(&writer->lock);
    CELLAR_ASSERT(writer->async != NULL);
    return driver_post(writer);
}

/* Until when a call may wait; INT64_MAX = no limit of its own. A flush without a time limit waits
 * as long as the rows have; each row has a limit of its own. */
static enum cellar_status wait_deadline(const struct cellar_writer *writer,
                                        const struct cellar_call *call, int64_t *deadline_us,
                                        struct cellar_error *error)
{
    CELLAR_TRY(cellar_call_deadline(writer->client, call, deadline_us, error));
    if (call == NULL || call->timeout_us == 0) {
        *deadline_us = INT64_MAX;
    }
    cellar_error_clear(error);
    CELLAR_ASSERT(*deadline_us > 0);
    return CELLAR_OK;
}

enum cellar_code cellar_writer_flush(struct cellar_writer *writer, struct cellar_call *call)
{
    struct cellar_error error;
    uint64_t sequence = 0;
    int64_t deadline_us = 0;
    enum cellar_gate_end end = CELLAR_GATE_WOKEN;
    CELLAR_ASSERT(writer != NULL);
    if (cellar_async_is_driver(writer->async)) {
        (void)cellar_error_set(&error, CELLAR_FAILED_PRECONDITION,
                               "A flush cannot be waited for on the thread that does it");
    } else if (wait_deadline(writer, call, &deadline_us, &error) == CELLAR_OK) {
        if (!flush_begin(writer, false, &sequence)) {
            (void)cellar_error_set(&error, CELLAR_CANCELLED, "The client's loop was detached");
        } else {
            end = ended_wait(writer, sequence, deadline_us);
        }
        if (end == CELLAR_GATE_LATE) {
            (void)cellar_error_set(&error, CELLAR_DEADLINE_EXCEEDED,
                                   "The time limit passed before every row had its result");
        } else if (end == CELLAR_GATE_INTERRUPTED) {
            (void)cellar_error_set(&error, CELLAR_CANCELLED,
                                   "Interrupted before every row had its result");
        }
    }
    return cellar_client_finish(writer->client, "flush", call, &error);
}

void cellar_writer_counts(struct cellar_writer *writer, uint64_t *added, uint64_t *ended,
                          uint64_t *failed)
{
    cellar_mutex_lock(&writer->lock);
    CELLAR_ASSERT(writer->added >= writer->pending_rows);
    if (added != NULL) {
        *added = writer->added;
    }
    if (ended != NULL) {
        *ended = writer->added - writer->pending_rows;
    }
    if (failed != NULL) {
        *failed = writer->failed;
    }
    cellar_mutex_unlock(&writer->lock);
}

/* Waits until the driver has let go. Two steps, asking and waiting, since the driver may be inside
 * this writer just now; after has_left it touches it no more. The wish and the flag of the post are
 * set in one hold of the lock: a task that was posted before runs with the wish or without it, and
 * only in the second case another one is posted, so that none is left behind for a freed writer. */
static void left_wait(struct cellar_writer *writer)
{
    bool is_driver = cellar_async_is_driver(writer->async);
    cellar_mutex_lock(&writer->lock);
    bool is_posted = writer->is_posted;
    writer->is_leaving = true;
    writer->is_posted = is_posted || !is_driver;
    cellar_mutex_unlock(&writer->lock);
    if (is_driver || !post_finish(writer, is_posted)) {
        cellar_writer_leave(writer);
    }
    cellar_mutex_lock(&writer->lock);
    while (!writer->has_left) {
        cellar_cond_wait(&writer->changed.cond, &writer->lock); /* whatever interrupts */
    }
    CELLAR_ASSERT(writer->pending_rows == 0);
    cellar_mutex_unlock(&writer->lock);
}

/* Ends all rows: by their results, and what is left when the time is over, or an interrupt comes,
 * by cancelling it. On the driver's own thread nothing can be waited for: what is left is cancelled
 * here and now. */
static void rows_end(struct cellar_writer *writer, int64_t deadline_us)
{
    uint64_t sequence = 0;
    bool is_driver = cellar_async_is_driver(writer->async);
    bool is_running = flush_begin(writer, true, &sequence);
    if (is_running && !is_driver &&
        ended_wait(writer, sequence, deadline_us) == CELLAR_GATE_WOKEN) {
        return;
    }
    cellar_mutex_lock(&writer->lock);
    writer->is_aborting = true;
    cellar_mutex_unlock(&writer->lock);
    if (is_running && !is_driver) {
        (void)driver_post(writer);
        cancelled_wait(writer, sequence);
        return;
    }
    cellar_async_here(writer->async, &writer->task);
}

/* Frees a writer that the driver has let go of. */
static void writer_free(struct cellar_writer *writer) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(writer->has_left && writer->inbox.first == NULL);
    while (writer->tables != NULL) {
        struct cellar_writer_table *table = writer->tables;
        writer->tables = table->next;
        cellar_mem_free(table);
    }
    cellar_writer_map_fini(&writer->map);
    cellar_gate_fini(&writer->changed);
    cellar_mutex_fini(&writer->lock);
    cellar_mem_free(writer);
}

/* The first failure of any row is the call's, so that a program which only looks at the close still
 * learns that something was lost. */
enum cellar_code cellar_writer_close(struct cellar_writer *writer, struct cellar_call *call)
{
    struct cellar_error error;
    int64_t deadline_us = 0;
    if (writer == NULL) {
        if (call != NULL) {
            memset(&call->failure, 0, sizeof call->failure);
        }
        return CELLAR_E_OK;
    }
    struct cellar_client *client = writer->client;
    CELLAR_ASSERT(client != NULL);
    if (cellar_async_is_inside(writer->async)) {
        (void)cellar_error_set(&error, CELLAR_FAILED_PRECONDITION,
                               "A writer cannot be closed in a callback");
        return cellar_client_finish(client, "close", call, &error);
    }
    if (wait_deadline(writer, call, &deadline_us, &error) != CELLAR_OK) {
        return cellar_client_finish(client, "close", call, &error);
    }
    rows_end(writer, deadline_us);
    left_wait(writer);
    cellar_mutex_lock(&writer->lock);
    struct cellar_failure first = writer->first_failure;
    cellar_mutex_unlock(&writer->lock);
    writer_free(writer);
    if (call != NULL) {
        call->failure = first;
    }
    return first.code;
}
