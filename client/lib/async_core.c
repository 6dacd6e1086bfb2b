/*
 * The core of the asynchronous client: queue, connections, answers, time. What becomes of the calls
 * is async_core_call.c's.
 *
 *     FREE --dial--> DIALING --dialed--> UP --broken, left, silent--> ENDING --closed--> FREE
 *
 * A line that let a call's time pass without sending a byte since is `silent`: it gets no more
 * calls, another line takes its place, and it is closed when its calls are over. Their deadlines
 * are theirs; one call's short time is no reason to break the others off.
 *
 * A line that was idle for long is probed with a PING before a call is trusted to it.
 *
 * Whether a failed call goes again is said by cellar_retry_again(), as for blocking calls. What a
 * broken line had not sent in full (`sent_mark`) was not applied. When connecting fails and no line
 * is left, each call that waits counts it; between two tries lies a pause that grows.
 *
 * Pure: time comes in, bytes go through memory. Owned by one driver at a time.
 */

#include "client/lib/async_core.h"

#include <string.h>

#include "client/lib/async_core_call.h"
#include "client/lib/call.h"
#include "common/mem.h"

#define LINE_BUSY_LOAD 32768u /* from here on another line is worth its price */
#define LINE_NONE UINT32_MAX
#define PROBE_US_MAX INT64_C(1000000)

/* Twice as many lines as may be used, since one that ends keeps its place until its socket is
 * closed. */
enum cellar_status cellar_core_init(struct cellar_core *core, const struct cellar_core_terms *terms)
{
    CELLAR_ASSERT(terms->lines_max >= 1 && terms->lines_max <= CELLAR_CORE_LINES_MAX);
    CELLAR_ASSERT(terms->dial_us_max > 0);
    *core = (struct cellar_core){
        .terms = *terms, .line_count = 2 * terms->lines_max, .random_state = terms->seed};
    core->lines = cellar_mem_zalloc(core->line_count, sizeof *core->lines);
    return core->lines == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
}

/* Everybody had an outcome by now, and every socket is closed. */
void cellar_core_fini(struct cellar_core *core)
{
    CELLAR_ASSERT(core->call_count == 0 && core->finished.first == NULL);
    for (uint32_t index = 0; index < core->line_count; index++) {
        CELLAR_ASSERT(core->lines[index].state == CELLAR_LINE_FREE);
    }
    cellar_timers_fini(&core->timers);
    cellar_mem_free(core->lines);
    memset(core, 0, sizeof *core);
}

/* ---- queue to lines ------------------------------------------------------------------------ */

/* The line with the least to do that has room, or LINE_NONE. Load rather than the number of calls:
 * a large write is longer on its way than many small ones (async_line.c). */
static uint32_t line_pick(const struct cellar_core *core)
{
    uint32_t picked = LINE_NONE;
    CELLAR_ASSERT(core->line_count <= 2 * CELLAR_CORE_LINES_MAX);
    for (uint32_t index = 0; index < core->line_count; index++) {
        const struct cellar_line *line = &core->lines[index];
        if (cellar_line_has_room(line) &&
            (picked == LINE_NONE ||
             cellar_line_load(line) < cellar_line_load(&core->lines[picked]))) {
            picked = index;
        }
    }
    return picked;
}

/* Hands the first queued call to a line. Leaves the queue before it is sent, for that may fail, and
 * the call then is nowhere, as cellar_core_call_failed() wants it. */
static void call_fly(struct cellar_core *core, struct cellar_async_call *call, uint32_t index,
                     int64_t now_us)
{
    CELLAR_ASSERT(call->place == CELLAR_ASYNC_QUEUED);
    cellar_async_remove(&core->queued, call);
    call->place = CELLAR_ASYNC_NEW;
    if (cellar_line_send(&core->lines[index], index, call, now_us) != CELLAR_OK) {
        cellar_timers_remove(&core->timers, &call->timer);
        cellar_core_call_failed(core, call, CELLAR_ATTEMPT_ANSWERED, now_us);
    }
}

/* More connections are worth their price only when those that are there have much to do: one
 * carries many small calls at once. */
bool cellar_core_dial(struct cellar_core *core, int64_t now_us, uint32_t *index)
{
    uint32_t usable_count = 0;
    uint32_t free_index = LINE_NONE;
    CELLAR_ASSERT(index != NULL);
    for (uint32_t at = 0; at < core->line_count; at++) {
        const struct cellar_line *line = &core->lines[at];
        if (line->state == CELLAR_LINE_FREE) {
            free_index = CELLAR_MIN(free_index, at);
        }
        if (cellar_line_is_usable(line)) {
            usable_count++;
            /* One at a time, and none while another has little to do. */
            if (line->limit_us != 0 ||
                (cellar_line_has_room(line) && cellar_line_load(line) < LINE_BUSY_LOAD)) {
                return false;
            }
        }
    }
    if (free_index == LINE_NONE || usable_count >= core->terms.lines_max ||
        now_us < core->dial_after_us || (usable_count == 0 && core->queued.first == NULL)) {
        return false;
    }
    cellar_line_move(&core->lines[free_index], CELLAR_LINE_DIALING);
    core->lines[free_index].limit_us = now_us + core->terms.dial_us_max;
    *index = free_index;
    return true;
}

/* ---- lines --------------------------------------------------------------------------------- */

/* Notes that connecting failed: the next try waits, and who waits for a line counts it. While any
 * line works nobody who waits is told of the failure: that line will take them. */
static void dial_note(struct cellar_core *core, const struct cellar_error *error, int64_t now_us)
{
    CELLAR_ASSERT(error->code != CELLAR_OK);
    core->last_failure = *error;
    core->last_failure_us = now_us;
    core->dial_failure_count++;
    core->dial_after_us =
        now_us + cellar_retry_backoff_us(core->dial_failure_count, error->retry_delay_ms,
                                         cellar_random_next(&core->random_state));
    for (uint32_t index = 0; index < core->line_count; index++) {
        if (cellar_line_is_usable(&core->lines[index])) {
            return;
        }
    }
    if (core->terms.router != NULL) {
        core->terms.router->lost(core->terms.router->context, core);
    }
    struct cellar_async_list waiting = core->queued;
    core->queued = (struct cellar_async_list){NULL, NULL};
    struct cellar_async_call *call;
    while ((call = cellar_async_take(&waiting)) != NULL) {
        call->place = CELLAR_ASYNC_NEW;
        cellar_timers_remove(&core->timers, &call->timer);
        call->error = *error;
        cellar_core_call_failed(core, call, CELLAR_ATTEMPT_CONNECT, now_us);
    }
}

void cellar_core_dial_failed(struct cellar_core *core, uint32_t index,
                             const struct cellar_error *error, int64_t now_us)
{
    CELLAR_ASSERT(index < core->line_count);
    cellar_line_move(&core->lines[index], CELLAR_LINE_FREE);
    core->lines[index].limit_us = 0;
    dial_note(core, error, now_us);
}

/* A fresh engine for a fresh socket; nothing of the line's last life is left. */
void cellar_core_dialed(struct cellar_core *core, uint32_t index, int64_t now_us)
{
    struct cellar_error error;
    struct cellar_line *line = &core->lines[index];
    CELLAR_ASSERT(index < core->line_count && line->call_count == 0);
    cellar_line_move(line, CELLAR_LINE_UP);
    line->sent_bytes = 0;
    line->received_bytes = 0;
    line->is_silent = false;
    line->heard_us = now_us;
    line->probe_id = 0;
    line->has_answered = false;
    cellar_engine_init(&line->engine);
    if (cellar_engine_greet(&line->engine, core->terms.client_name) != CELLAR_OK) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a connection");
        cellar_core_broken(core, index, &error, now_us);
    }
}

/* All calls leave the line before any of them is judged: a judgement may queue a call anew, and a
 * line that is about to end must not get it. The engine's reason counts, which is the first one. */
void cellar_core_broken(struct cellar_core *core, uint32_t index, const struct cellar_error *error,
                        int64_t now_us)
{
    struct cellar_line *line = &core->lines[index];
    CELLAR_ASSERT(index < core->line_count && line->state == CELLAR_LINE_UP);
    cellar_engine_break(&line->engine, error);
    const struct cellar_error reason = line->engine.error;
    struct cellar_async_list lost = {NULL, NULL};
    const uint32_t lost_count = line->call_count;
    for (uint32_t slot = 0; line->call_count > 0; slot++) {
        struct cellar_async_call *call = line->calls[slot];
        CELLAR_ASSERT(slot < CELLAR_ENGINE_REQUESTS_MAX);
        if (call != NULL) {
            cellar_core_call_leave(core, call);
            cellar_async_append(&lost, call);
        }
    }
    cellar_line_move(line, CELLAR_LINE_ENDING);
    core->last_failure = reason;
    core->last_failure_us = now_us;
    struct cellar_async_call *call;
    while ((call = cellar_async_take(&lost)) != NULL) {
        call->error = reason;
        cellar_core_call_failed(core, call, cellar_line_attempt(line, call), now_us);
    }
    bool is_of_use = line->has_answered && line->limit_us == 0;
    line->limit_us = 0;
    /* A server that takes connections and leaves them is not called again at once. */
    if (!is_of_use && lost_count == 0) {
        dial_note(core, &reason, now_us);
    }
}

void cellar_core_closed(struct cellar_core *core, uint32_t index)
{
    CELLAR_ASSERT(index < core->line_count);
    cellar_line_move(&core->lines[index], CELLAR_LINE_FREE);
    cellar_engine_fini(&core->lines[index].engine);
}

struct cellar_slice cellar_core_output(const struct cellar_core *core, uint32_t index)
{
    CELLAR_ASSERT(index < core->line_count && core->lines[index].state == CELLAR_LINE_UP);
    return cellar_engine_output(&core->lines[index].engine);
}

void cellar_core_sent(struct cellar_core *core, uint32_t index, size_t bytes)
{
    CELLAR_ASSERT(index < core->line_count && core->lines[index].state == CELLAR_LINE_UP);
    cellar_engine_sent(&core->lines[index].engine, bytes);
    core->lines[index].sent_bytes += bytes;
}

/* Answers are read into the engine's own buffer: the core copies nothing. */
bool cellar_core_room(struct cellar_core *core, uint32_t index, int64_t now_us, uint8_t **room,
                      size_t *bytes)
{
    struct cellar_error error;
    CELLAR_ASSERT(index < core->line_count && core->lines[index].state == CELLAR_LINE_UP);
    if (cellar_engine_room(&core->lines[index].engine, room, bytes) == CELLAR_OK) {
        CELLAR_ASSERT(*bytes > 0); /* every event is taken at once */
        return true;
    }
    (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory to read an answer into");
    cellar_core_broken(core, index, &error, now_us);
    return false;
}

/* ---- answers ------------------------------------------------------------------------------- */

/* Gives the server credit for a part, and the call time for the next one. Credit is given back in
 * halves of what may be under way: a frame of credit for every part would double the frames. */
static enum cellar_status part_done(struct cellar_core *core, struct cellar_async_call *call,
                                    size_t bytes, int64_t now_us)
{
    struct cellar_line *line = &core->lines[call->line_index];
    CELLAR_ASSERT(call->place == CELLAR_ASYNC_FLYING);
    call->credit_owed += bytes;
    if (call->credit_owed >= CELLAR_CORE_CREDIT_BYTES / 2) {
        CELLAR_TRY(cellar_engine_credit(&line->engine, call->request_id, call->credit_owed));
        call->credit_owed = 0;
    }
    if (call->idle_us > 0) {
        call->retry.deadline_us = now_us + call->idle_us;
        return cellar_timers_set(&core->timers, &call->timer, call->retry.deadline_us);
    }
    return CELLAR_OK;
}

/* Takes the part of a read. A reader that fails forgets the stream: its further parts come to
 * nobody. */
static void part_take(struct cellar_core *core, struct cellar_async_call *call,
                      const struct cellar_event *event, int64_t now_us)
{
    size_t bytes = event->body.bytes;
    CELLAR_ASSERT(event->kind == CELLAR_EVENT_PART);
    enum cellar_status status = call->kind->take(call, event, &call->error);
    if (status == CELLAR_OK) {
        status = part_done(core, call, bytes, now_us);
        if (status != CELLAR_OK) {
            (void)cellar_error_set(&call->error, status, "No memory for a read");
        }
    }
    if (status != CELLAR_OK) {
        cellar_line_forget(&core->lines[call->line_index], call->request_id);
        cellar_core_call_leave(core, call);
        cellar_core_call_failed(core, call, CELLAR_ATTEMPT_ANSWERED, now_us);
    }
}

/* Has a call, which is nowhere, go again at once when the server refused only a part of it. */
static bool call_relax(struct cellar_core *core, struct cellar_async_call *call)
{
    bool is_relaxed = false;
    CELLAR_ASSERT(call->error.code != CELLAR_OK);
    if (call->kind->relax == NULL) {
        return false;
    }
    if (call->kind->relax(call, call->error.code, &is_relaxed) != CELLAR_OK) {
        (void)cellar_error_set(&call->error, CELLAR_NO_MEMORY, "No memory to call again");
        cellar_core_call_end(core, call);
        return true;
    }
    if (is_relaxed) {
        cellar_core_call_wait(core, call, CELLAR_ASYNC_QUEUED, call->retry.deadline_us);
    }
    return is_relaxed;
}

/* Takes the REPLY of a call, which is nowhere. */
static void reply_take(struct cellar_core *core, struct cellar_async_call *call,
                       const struct cellar_event *event, int64_t now_us)
{
    CELLAR_ASSERT(event->kind == CELLAR_EVENT_REPLY && !call->goes_on);
    cellar_error_clear(&call->error);
    if (call->kind->take(call, event, &call->error) != CELLAR_OK) {
        /* An answer that cannot be understood or kept says nothing about a write. */
        cellar_core_call_failed(core, call,
                                call->error.code == CELLAR_UNAVAILABLE ? CELLAR_ATTEMPT_ANSWERED
                                                                       : CELLAR_ATTEMPT_SENT,
                                now_us);
        return;
    }
    cellar_error_clear(&call->error);
    if (call->goes_on) {
        call->goes_on = false;
        cellar_core_call_wait(core, call, CELLAR_ASYNC_QUEUED, call->retry.deadline_us);
    } else {
        cellar_core_call_end(core, call);
    }
}

/* What an ERROR says of an attempt. */
static enum cellar_attempt error_decode(struct cellar_core *core, struct cellar_async_call *call,
                                        struct cellar_slice body)
{
    const struct cellar_core_router *router = core->terms.router;
    if (router != NULL) {
        return router->refused(router->context, call, body, &call->error);
    }
    bool is_read = cellar_call_error_decode(body, &call->error);
    CELLAR_ASSERT(call->error.code != CELLAR_OK);
    return is_read ? CELLAR_ATTEMPT_ANSWERED : CELLAR_ATTEMPT_SENT;
}

/* Takes the ERROR of a call, which is nowhere. */
static void error_take(struct cellar_core *core, struct cellar_async_call *call,
                       const struct cellar_event *event, int64_t now_us)
{
    CELLAR_ASSERT(event->kind == CELLAR_EVENT_ERROR);
    enum cellar_attempt attempt = error_decode(core, call, event->body);
    if (attempt == CELLAR_ATTEMPT_ANSWERED && call_relax(core, call)) {
        return;
    }
    if (attempt == CELLAR_ATTEMPT_MOVED && call->kind->moved != NULL &&
        call->kind->moved(call, event->body) != CELLAR_OK) {
        (void)cellar_error_set(&call->error, CELLAR_NO_MEMORY, "No memory to call elsewhere");
        attempt = CELLAR_ATTEMPT_ANSWERED;
    }
    cellar_core_call_failed(core, call, attempt, now_us);
}

/* Takes the REPLY or ERROR that ends a request. dial_failure_count ends here, with an answer, and
 * not with a connection that was made: what accepts and never answers is as good as down. */
static void answer_take(struct cellar_core *core, struct cellar_async_call *call,
                        const struct cellar_event *event, int64_t now_us)
{
    CELLAR_ASSERT(event->kind != CELLAR_EVENT_PART);
    core->lines[call->line_index].has_answered = true;
    core->dial_failure_count = 0;
    cellar_core_call_leave(core, call);
    if (event->kind == CELLAR_EVENT_REPLY) {
        reply_take(core, call, event, now_us);
    } else {
        error_take(core, call, event, now_us);
    }
}

/* After events were taken: what became of the line. A line that is left is kept until its calls are
 * over, as each of them may still be answered. */
static void line_settle(struct cellar_core *core, uint32_t index, int64_t now_us)
{
    struct cellar_error error;
    struct cellar_line *line = &core->lines[index];
    CELLAR_ASSERT(line->state == CELLAR_LINE_UP);
    if (line->engine.state == CELLAR_ENGINE_BROKEN) {
        cellar_core_broken(core, index, &line->engine.error, now_us);
        return;
    }
    if (line->probe_id == 0 && line->engine.state == CELLAR_ENGINE_OPEN) {
        line->limit_us = 0;
    }
    bool is_left = line->engine.state == CELLAR_ENGINE_LEAVING || line->is_silent;
    if (is_left && line->call_count == 0) {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE,
                               line->is_silent ? "The server does not answer"
                                               : "The server is about to stop");
        cellar_core_broken(core, index, &error, now_us);
    }
}

/* A callback of an event can change this very line, so the slot is looked up anew for each. */
void cellar_core_received(struct cellar_core *core, uint32_t index, size_t bytes, int64_t now_us)
{
    struct cellar_event event;
    struct cellar_line *line = &core->lines[index];
    CELLAR_ASSERT(index < core->line_count && line->state == CELLAR_LINE_UP);
    cellar_engine_received(&line->engine, bytes);
    line->received_bytes += bytes;
    line->heard_us = now_us;
    line->is_silent = false;
    while (cellar_engine_event(&line->engine, &event)) {
        if (event.request_id == line->probe_id) {
            line->probe_id = 0;
            line->limit_us = 0;
        }
        struct cellar_async_call *call =
            line->calls[event.request_id & (CELLAR_ENGINE_REQUESTS_MAX - 1)];
        if (call == NULL) {
            continue; /* nobody waits for it any more */
        }
        CELLAR_ASSERT(call->request_id == event.request_id); /* the engine keeps late ids apart */
        if (event.kind == CELLAR_EVENT_PART) {
            part_take(core, call, &event, now_us);
        } else {
            answer_take(core, call, &event, now_us);
        }
    }
    line_settle(core, index, now_us);
}

/* ---- time ---------------------------------------------------------------------------------- */

/* Asks the other end of a line that was idle for long whether it is still there: a PING is safe to
 * lose, as a write is not. The line has no room until it answers. */
static void line_probe(struct cellar_core *core, uint32_t index, int64_t now_us)
{
    static const uint8_t no_fields[] = {0x80};
    struct cellar_error error;
    struct cellar_line *line = &core->lines[index];
    if (core->queued.first == NULL || !cellar_line_has_room(line) || line->call_count > 0 ||
        now_us - line->heard_us < CELLAR_CORE_PROBE_AFTER_US) {
        return;
    }
    CELLAR_ASSERT(line->probe_id == 0);
    if (cellar_engine_submit(&line->engine, CELLAR_OP_PING,
                             cellar_slice_make(no_fields, sizeof no_fields), &line->probe_id,
                             &error) != CELLAR_OK) {
        cellar_core_broken(core, index, &error, now_us);
        return;
    }
    line->limit_us = now_us + PROBE_US_MAX;
}

/* Time first, then lines, then calls: what a timer ends is not sent, and a line that is found dead
 * gets no call. */
void cellar_core_turn(struct cellar_core *core, int64_t now_us)
{
    struct cellar_error error;
    cellar_timers_run(&core->timers, core, now_us);
    for (uint32_t index = 0; index < core->line_count; index++) {
        struct cellar_line *line = &core->lines[index];
        if (line->state == CELLAR_LINE_UP && line->limit_us != 0 && line->limit_us <= now_us) {
            (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "The server does not answer");
            cellar_core_broken(core, index, &error, now_us);
        } else if (line->state == CELLAR_LINE_UP) {
            line_settle(core, index, now_us);
        }
        line_probe(core, index, now_us);
    }
    uint32_t index = line_pick(core);
    while (core->queued.first != NULL && index != LINE_NONE) {
        CELLAR_ASSERT(core->queued.first->place == CELLAR_ASYNC_QUEUED);
        call_fly(core, core->queued.first, index, now_us);
        index = line_pick(core);
    }
}

/* When nothing can be sent only a dial or a timer brings news, so the driver may sleep until the
 * earlier of them. */
int64_t cellar_core_next_us(const struct cellar_core *core)
{
    const struct cellar_timer *first = cellar_timers_first(&core->timers);
    int64_t next_us = first == NULL ? INT64_MAX : first->at_us;
    bool is_usable = false;
    CELLAR_ASSERT(core->line_count > 0);
    for (uint32_t index = 0; index < core->line_count; index++) {
        const struct cellar_line *line = &core->lines[index];
        if (line->limit_us != 0) {
            next_us = CELLAR_MIN(next_us, line->limit_us);
        }
        is_usable = is_usable || cellar_line_is_usable(line);
    }
    if (core->queued.first == NULL) {
        return next_us;
    }
    if (line_pick(core) != LINE_NONE) {
        return 0; /* a line got room since the last turn */
    }
    return is_usable ? next_us : CELLAR_MIN(next_us, core->dial_after_us);
}

/* Calls end before lines, so none of them is tried again over a line that breaks. */
void cellar_core_stop(struct cellar_core *core, int64_t now_us)
{
    struct cellar_error error;
    (void)cellar_error_set(&error, CELLAR_CANCELLED, "The client was closed");
    /* Every call has a timer; taking one out may move another to a place that was passed. */
    while (core->call_count > 0) {
        for (uint32_t place = 0; place < core->timers.count; place++) {
            struct cellar_timer *timer = core->timers.heap[place];
            if (timer->fire == cellar_core_call_fire) {
                cellar_core_abort(CELLAR_CONTAINER_OF(timer, struct cellar_async_call, timer),
                                  &error, now_us);
            }
        }
    }
    CELLAR_ASSERT(core->queued.first == NULL);
    for (uint32_t index = 0; index < core->line_count; index++) {
        CELLAR_ASSERT(core->lines[index].call_count == 0);
        if (core->lines[index].state == CELLAR_LINE_UP) {
            core->lines[index].limit_us = 0;
            cellar_core_broken(core, index, &error, now_us);
        }
    }
}
