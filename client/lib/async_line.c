/*
 * One connection of the asynchronous client.
 *
 *     FREE --dial--> DIALING --dialed--> UP --broken, left, silent--> ENDING --closed--> FREE
 *
 * A call in flight is found by the low bits of its request's id, which the engine gives out; a call
 * that was taken back leaves its place empty, and the answer that comes for it later meets nobody.
 * `sent_mark` says where a call's request ends in all that was ever queued on the line,
 * `sent_bytes` how much of that was handed to the system: a request that had not left in full was
 * not applied.
 *
 * Pure, as the core that owns it.
 */

#include "client/lib/async_line.h"

#define LINE_CALL_BYTES 1024u          /* what a call weighs beside its bytes */
#define LINE_OUTPUT_BYTES_MAX 8388608u /* unsent; beyond it calls wait in the queue */

static const uint8_t line_moves[][4] = {
    /* to:                  FREE DIALING UP ENDING */
    [CELLAR_LINE_FREE] = {0, 1, 0, 0},
    [CELLAR_LINE_DIALING] = {1, 0, 1, 0},
    [CELLAR_LINE_UP] = {0, 0, 0, 1},
    [CELLAR_LINE_ENDING] = {1, 0, 0, 0},
};

void cellar_line_move(struct cellar_line *line, enum cellar_line_state to)
{
    CELLAR_ASSERT(line_moves[line->state][to] == 1);
    CELLAR_ASSERT(to == CELLAR_LINE_UP || line->call_count == 0);
    line->state = to;
}

uint64_t cellar_line_load(const struct cellar_line *line)
{
    CELLAR_ASSERT(line->call_count > 0 || line->call_bytes == 0);
    return line->call_bytes + (uint64_t)line->call_count * LINE_CALL_BYTES;
}

void cellar_line_forget(struct cellar_line *line, uint32_t request_id)
{
    CELLAR_ASSERT(line->state == CELLAR_LINE_UP);
    /* A line on which it cannot be told keeps the request for ever: another takes its place. */
    if (cellar_engine_cancel(&line->engine, request_id) != CELLAR_OK) {
        line->is_silent = true;
    }
}

bool cellar_line_is_usable(const struct cellar_line *line)
{
    return line->state == CELLAR_LINE_DIALING ||
           (line->state == CELLAR_LINE_UP && !line->is_silent &&
            line->engine.state <= CELLAR_ENGINE_OPEN);
}

bool cellar_line_has_room(const struct cellar_line *line)
{
    CELLAR_ASSERT(line->call_count <= CELLAR_ENGINE_REQUESTS_MAX);
    return cellar_line_is_usable(line) && line->state == CELLAR_LINE_UP &&
           line->engine.state == CELLAR_ENGINE_OPEN && line->limit_us == 0 &&
           line->engine.in_flight_count < line->engine.requests_max &&
           cellar_engine_output(&line->engine).bytes < LINE_OUTPUT_BYTES_MAX;
}

enum cellar_status cellar_line_send(struct cellar_line *line, uint32_t index,
                                    struct cellar_async_call *call, int64_t now_us)
{
    CELLAR_ASSERT(cellar_line_has_room(line));
    cellar_async_body_limit(call, call->retry.deadline_us - now_us);
    CELLAR_TRY(cellar_engine_submit(&line->engine, call->operation, cellar_slice_of(&call->body),
                                    &call->request_id, &call->error));
    uint32_t slot = call->request_id & (CELLAR_ENGINE_REQUESTS_MAX - 1);
    CELLAR_ASSERT(line->calls[slot] == NULL);
    line->calls[slot] = call;
    line->call_count++;
    line->call_bytes += call->body.bytes;
    call->place = CELLAR_ASYNC_FLYING;
    call->line_index = index;
    call->credit_owed = 0;
    call->sent_mark = line->sent_bytes + cellar_engine_output(&line->engine).bytes;
    call->received_mark = line->received_bytes;
    return CELLAR_OK;
}

void cellar_line_take(struct cellar_line *line, struct cellar_async_call *call)
{
    uint32_t slot = call->request_id & (CELLAR_ENGINE_REQUESTS_MAX - 1);
    CELLAR_ASSERT(line->calls[slot] == call && line->call_count > 0);
    line->calls[slot] = NULL;
    line->call_count--;
    line->call_bytes -= call->body.bytes;
}

enum cellar_attempt cellar_line_attempt(const struct cellar_line *line,
                                        const struct cellar_async_call *call)
{
    CELLAR_ASSERT(call->sent_mark > 0);
    return line->sent_bytes >= call->sent_mark ? CELLAR_ATTEMPT_SENT : CELLAR_ATTEMPT_UNSENT;
}
