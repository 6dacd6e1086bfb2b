/*
 * Futures: the outcome of one submitted call, for whoever waits.
 *
 *     submitted --outcome--> has_outcome --callback has returned--> is_over --owners gone--> freed
 *
 * A future has two owners at most, the program and the call; the last one frees it. The driver's
 * thread writes the outcome before `has_outcome` is set under the lock, and nobody writes it after,
 * so that readers need the lock only to see the flag. Rows are taken under the lock, once.
 *
 * Callbacks run on the driver's thread without any lock. A future does not touch its client once it
 * has its outcome, and so may outlive it.
 */

#include "client/lib/future.h"

#include <stdio.h>
#include <string.h>

#include "client/lib/rows.h"
#include "common/clock.h"
#include "common/mem.h"

/* Not checked: nobody else has it yet. */
struct cellar_future *cellar_future_new(struct cellar_client *client,
                                        const struct cellar_async_kind *kind, const char *operation,
                                        const struct cellar_submit *submit) CELLAR_NO_THREAD_SAFETY
{
    struct cellar_future *future = cellar_mem_zalloc(1, sizeof *future);
    CELLAR_ASSERT(kind->finish == cellar_future_finish);
    if (future == NULL) {
        return NULL;
    }
    future->client = client;
    future->call.kind = kind;
    future->operation = operation;
    if (submit != NULL) {
        future->done = submit->done;
        future->context = submit->context;
    }
    future->owner_count = 1;
    cellar_mutex_init(&future->lock);
    cellar_gate_init(&future->changed, client->pool.address.interrupt_fd);
    return future;
}

/* Frees it; nobody has it any more. */
static void future_destroy(struct cellar_future *future) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(future->owner_count == 0);
    cellar_row_reader_fini(&future->reader);
    cellar_rows_free(future->rows);
    cellar_buffer_fini(&future->call.body);
    cellar_buffer_fini(&future->names);
    cellar_resume_fini(&future->given);
    cellar_gate_fini(&future->changed);
    cellar_mutex_fini(&future->lock);
    cellar_mem_free(future);
}

enum cellar_status cellar_future_name(struct cellar_future *future, struct cellar_slice table,
                                      const struct cellar_slice *row)
{
    struct cellar_async_call *call = &future->call;
    CELLAR_ASSERT(table.bytes > 0 && future->names.bytes == 0);
    CELLAR_TRY(cellar_buffer_reserve(&future->names, table.bytes + (row == NULL ? 0 : row->bytes)));
    CELLAR_TRY(cellar_buffer_append(&future->names, table.data, table.bytes));
    call->table = cellar_slice_of(&future->names);
    return row == NULL ? CELLAR_OK : cellar_future_rename(future, *row);
}

enum cellar_status cellar_future_rename(struct cellar_future *future, struct cellar_slice row)
{
    struct cellar_async_call *call = &future->call;
    CELLAR_ASSERT(call->table.bytes > 0 && call->table.bytes <= future->names.bytes);
    CELLAR_TRY(cellar_buffer_reserve(&future->names, row.bytes));
    call->table.data = future->names.data;
    future->names.bytes = call->table.bytes;
    if (row.bytes > 0) {
        CELLAR_TRY(cellar_buffer_append(&future->names, row.data, row.bytes));
    }
    call->row = cellar_slice_make(future->names.data + call->table.bytes, row.bytes);
    call->has_row = true;
    return CELLAR_OK;
}

struct cellar_future *cellar_future_of(struct cellar_async_call *call)
{
    CELLAR_ASSERT(call->kind->finish == cellar_future_finish);
    return CELLAR_CONTAINER_OF(call, struct cellar_future, call);
}

void cellar_future_share(struct cellar_future *future)
{
    cellar_mutex_lock(&future->lock);
    CELLAR_ASSERT(future->owner_count >= 1);
    future->owner_count++;
    cellar_mutex_unlock(&future->lock);
}

void cellar_future_free(struct cellar_future *future)
{
    if (future == NULL) {
        return;
    }
    cellar_mutex_lock(&future->lock);
    CELLAR_ASSERT(future->owner_count >= 1);
    bool is_last = --future->owner_count == 0;
    cellar_mutex_unlock(&future->lock);
    if (is_last) {
        future_destroy(future);
    }
}

void cellar_future_finish(struct cellar_async_call *call)
{
    struct cellar_future *future = cellar_future_of(call);
    if (future->settle != NULL) {
        future->settle(future);
    }
    if (call->error.code != CELLAR_OK) {
        cellar_async_where(future->async, future->operation, future->where);
    }
    cellar_mutex_lock(&future->lock);
    CELLAR_ASSERT(!future->has_outcome);
    future->has_outcome = true;
    cellar_mutex_unlock(&future->lock);
    if (future->done != NULL) {
        future->done(future->context, future);
    }
    cellar_mutex_lock(&future->lock);
    future->is_over = true;
    cellar_gate_broadcast(&future->changed);
    cellar_mutex_unlock(&future->lock);
    cellar_future_free(future);
}

bool cellar_future_wait(struct cellar_future *future, int64_t timeout_us)
{
    enum cellar_gate_end end = CELLAR_GATE_WOKEN;
    struct cellar_gate_waiter waiter = {.wake_fd = -1};
    int64_t deadline_us = INT64_MAX;
    if (timeout_us >= 0) {
        int64_t now_us = cellar_clock_monotonic_us();
        deadline_us = now_us + CELLAR_MIN(timeout_us, INT64_MAX - now_us);
    }
    cellar_mutex_lock(&future->lock);
    CELLAR_ASSERT(future->owner_count >= 1);
    while (!future->is_over && end == CELLAR_GATE_WOKEN) {
        end = cellar_gate_wait(&future->changed, &future->lock, &waiter, deadline_us);
    }
    cellar_gate_leave(&future->changed, &waiter);
    bool is_over = future->is_over;
    cellar_mutex_unlock(&future->lock);
    return is_over;
}

bool cellar_future_done(struct cellar_future *future)
{
    cellar_mutex_lock(&future->lock);
    bool has_outcome = future->has_outcome;
    CELLAR_ASSERT(has_outcome || !future->is_over);
    cellar_mutex_unlock(&future->lock);
    return has_outcome;
}

enum cellar_code cellar_future_result(struct cellar_future *future, struct cellar_failure *failure)
{
    struct cellar_error error;
    const char *where = future->operation;
    if (cellar_future_done(future)) {
        error = future->call.error;
        where = future->where;
    } else {
        (void)cellar_error_set(&error, CELLAR_FAILED_PRECONDITION, "The call has no outcome yet");
    }
    CELLAR_ASSERT((unsigned int)error.code < CELLAR_STATUS_COUNT);
    if (failure != NULL) {
        cellar_failure_fill(failure, &error, where);
    }
    return (enum cellar_code)error.code;
}

bool cellar_future_is_ready(struct cellar_future *future)
{
    CELLAR_ASSERT(future != NULL);
    return cellar_future_done(future) && future->is_ready;
}

struct cellar_rows *cellar_future_take_rows(struct cellar_future *future)
{
    struct cellar_rows *rows = NULL;
    cellar_mutex_lock(&future->lock);
    CELLAR_ASSERT(future->owner_count >= 1);
    if (future->has_outcome && future->call.error.code == CELLAR_OK) {
        rows = future->rows;
        future->rows = NULL;
    }
    cellar_mutex_unlock(&future->lock);
    return rows;
}

/* The driver's part of cancelling. */
static void cancel_run(struct cellar_async_task *task, struct cellar_core *core, int64_t now_us)
{
    struct cellar_future *future = CELLAR_CONTAINER_OF(task, struct cellar_future, cancel);
    CELLAR_ASSERT(now_us > 0);
    CELLAR_ASSERT(core != NULL);
    cellar_core_cancel(&future->call);
    cellar_future_free(future);
}

void cellar_future_cancel(struct cellar_future *future)
{
    cellar_mutex_lock(&future->lock);
    bool is_wanted = !future->has_outcome && !future->is_cancelled;
    if (is_wanted) {
        future->is_cancelled = true;
        future->owner_count++;
        future->cancel.run = cancel_run;
    }
    cellar_mutex_unlock(&future->lock);
    if (is_wanted && !cellar_async_post(future->async, &future->cancel)) {
        cellar_future_free(future);
    }
    CELLAR_ASSERT(future->async != NULL);
}
