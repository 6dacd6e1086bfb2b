/*
 * The protocol engine of one connection: no socket, no clock, no thread.
 *
 *     NEW --greet--> GREETING --HELLO's reply--> OPEN --GOAWAY--> LEAVING
 *                        |                         |                 |
 *                        +------------+------------+-----------------+--> BROKEN
 *
 * Output is one buffer of whole frames, sent from its front. Input is one buffer from which frames
 * are taken at its front; a message of one frame is handed on as it lies there, one of several
 * (MORE) is joined in the buffer of its request's slot first.
 *
 *     input:  | taken | frame | frame | part of a fra|        room for the next read
 *             0       input_start                    bytes
 *
 * A request in flight has a slot. Its id is the slot's index in the low 8 bits and a sequence
 * number above, which is never 0 and differs from that of the slot's last user: an answer that
 * comes too late meets no other request. A slot ends with its REPLY or ERROR.
 *
 * The peer is not trusted: frames and their order are checked, lengths are bounded by frame.h,
 * joined messages by joined_bytes_max each. What breaks a rule breaks the
 * engine, and its owner closes the connection. PROTOCOL.md, "Connection", "Frames".
 */

#include "client/lib/engine.h"

#include <inttypes.h>

#include "common/cell.h"

#define VERSION_MIN 1u
#define VERSION_MAX 1u
#define SLOT_BITS 8u
#define SEQUENCE_MAX ((1u << (32u - SLOT_BITS)) - 1)
#define READ_BYTES 65536u /* room for one read at least */
#define TRIM_BYTES 131072u
#define HELLO_ID 1u /* slot 1 of sequence 0: no request has it */

static_assert(CELLAR_ENGINE_REQUESTS_MAX == 1u << SLOT_BITS, "an id's low bits are its slot");
static_assert(CELLAR_ENGINE_INPUT_BYTES_MAX >=
                  CELLAR_FRAME_PAYLOAD_BYTES_MAX + CELLAR_FRAME_HEADER_BYTES + READ_BYTES,
              "a whole frame and one read fit");

/* A request in flight. */
struct cellar_engine_slot {
    uint32_t id; /* 0 = free */
    uint16_t operation;
    uint8_t joined_kind;         /* kind of the frames in `joined`; 0 = none */
    struct cellar_buffer joined; /* payloads of a message that goes on */
};

static const uint8_t moves[][5] = {
    /* to:                     NEW GREETING OPEN LEAVING BROKEN */
    [CELLAR_ENGINE_NEW] = {0, 1, 0, 0, 1},    [CELLAR_ENGINE_GREETING] = {0, 0, 1, 0, 1},
    [CELLAR_ENGINE_OPEN] = {0, 0, 0, 1, 1},   [CELLAR_ENGINE_LEAVING] = {0, 0, 0, 0, 1},
    [CELLAR_ENGINE_BROKEN] = {0, 0, 0, 0, 0},
};

/* Changes the state; every change passes here and must be in the table. */
static void engine_move(struct cellar_engine *engine, enum cellar_engine_state to)
{
    CELLAR_ASSERT(moves[engine->state][to] == 1);
    engine->state = to;
}

/* Allocates nothing: a connection that is never used costs its structure. */
void cellar_engine_init(struct cellar_engine *engine)
{
    memset(engine, 0, sizeof *engine);
    engine->state = CELLAR_ENGINE_NEW;
    engine->sequence = 1;
    engine->joined_bytes_max = CELLAR_ENGINE_JOINED_BYTES_MAX;
    CELLAR_ASSERT(engine->slots == NULL && engine->input.data == NULL);
}

/* From any state. Who waits for answers was told before, by the owner, which knows them. */
void cellar_engine_fini(struct cellar_engine *engine)
{
    CELLAR_ASSERT(engine->slot_count <= CELLAR_ENGINE_REQUESTS_MAX);
    for (uint32_t index = 0; index < engine->slot_count; index++) {
        cellar_buffer_fini(&engine->slots[index].joined);
    }
    cellar_mem_free(engine->slots);
    cellar_buffer_fini(&engine->input);
    cellar_buffer_fini(&engine->output);
    cellar_buffer_fini(&engine->delivered);
    memset(engine, 0, sizeof *engine);
}

/* The first reason stays: what follows it (an end of input, a failed send) is mostly its
 * consequence. */
void cellar_engine_break(struct cellar_engine *engine, const struct cellar_error *error)
{
    CELLAR_ASSERT(error->code != CELLAR_OK);
    if (engine->state != CELLAR_ENGINE_BROKEN) {
        engine->error = *error;
        engine_move(engine, CELLAR_ENGINE_BROKEN);
    }
}

/* Breaks the engine because of what the peer sent. Before HELLO is answered the peer is most likely
 * another kind of server. */
static void engine_break_rule(struct cellar_engine *engine, const char *what, uint64_t seen)
{
    struct cellar_error error;
    CELLAR_ASSERT(engine->state != CELLAR_ENGINE_NEW);
    if (engine->state == CELLAR_ENGINE_GREETING) {
        (void)cellar_error_set(&error, CELLAR_FAILED_PRECONDITION,
                               "What answers there is no Cellar server that this client can talk "
                               "to: %s (%" PRIu64 ")",
                               what, seen);
    } else {
        (void)cellar_error_set(&error, CELLAR_IO_ERROR,
                               "The server broke the protocol: %s (%" PRIu64 ")", what, seen);
    }
    cellar_engine_break(engine, &error);
}

/* Breaks the engine for want of memory: an answer that cannot be kept cannot be told either. */
static void engine_break_memory(struct cellar_engine *engine)
{
    struct cellar_error error;
    CELLAR_ASSERT(engine->state != CELLAR_ENGINE_NEW);
    (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for an answer of the server");
    cellar_engine_break(engine, &error);
}

/* ---- output -------------------------------------------------------------------------------- */

/* Queues one message; makes room at the front first. Moved once for each message and only by what
 * was sent since, so that a buffer that always has something to send does not grow without end. */
static enum cellar_status output_put(struct cellar_engine *engine, const struct cellar_frame *frame,
                                     struct cellar_slice body)
{
    CELLAR_ASSERT(engine->output_start <= engine->output.bytes);
    if (engine->output_start > 0) {
        cellar_buffer_consume(&engine->output, engine->output_start);
        engine->output_start = 0;
    }
    return cellar_frame_append(&engine->output, frame, body);
}

/* Preface and HELLO leave in one piece. Without memory nothing is left of them, so the owner may
 * try again. */
enum cellar_status cellar_engine_greet(struct cellar_engine *engine, const char *name)
{
    static const struct cellar_frame frame = {
        .request_id = HELLO_ID, .operation = CELLAR_OP_HELLO, .kind = CELLAR_FRAME_REQUEST};
    struct cellar_msg_hello_request hello = {
        .version_min = VERSION_MIN, .version_max = VERSION_MAX, .client = cellar_slice_text(name)};
    struct cellar_buffer body = {0};
    CELLAR_ASSERT(engine->state == CELLAR_ENGINE_NEW);
    enum cellar_status status =
        cellar_message_encode(&cellar_msg_hello_request_type, &hello, &body);
    if (status == CELLAR_OK) {
        status = cellar_buffer_append(&engine->output, cellar_preface, CELLAR_PREFACE_BYTES);
    }
    if (status == CELLAR_OK) {
        status = output_put(engine, &frame, cellar_slice_of(&body));
    }
    cellar_buffer_fini(&body);
    if (status == CELLAR_OK) {
        engine_move(engine, CELLAR_ENGINE_GREETING);
    } else {
        cellar_buffer_clear(&engine->output);
    }
    return status;
}

/* Checks that a request may be queued now. The server's limits, from HELLO's reply, are kept here
 * rather than found out by its refusals. */
static enum cellar_status submit_check(const struct cellar_engine *engine, struct cellar_slice body,
                                       struct cellar_error *error)
{
    size_t unsent_bytes = engine->output.bytes - engine->output_start;
    CELLAR_ASSERT(engine->output_start <= engine->output.bytes);
    CELLAR_ASSERT(engine->in_flight_count <= CELLAR_ENGINE_REQUESTS_MAX);
    if (engine->state != CELLAR_ENGINE_OPEN) {
        return cellar_error_set(error, CELLAR_UNAVAILABLE, "The connection takes no more requests");
    }
    if (body.bytes > engine->request_bytes_max) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A request must have at most %" PRIu64 " bytes, but got %zu",
                                engine->request_bytes_max, body.bytes);
    }
    if (engine->in_flight_count >= engine->requests_max) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "At most %" PRIu64 " requests may be in flight on a connection",
                                engine->requests_max);
    }
    if (unsent_bytes > CELLAR_ENGINE_OUTPUT_BYTES_MAX - body.bytes) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "At most %u bytes may wait to be sent on a connection, but there "
                                "are %zu",
                                CELLAR_ENGINE_OUTPUT_BYTES_MAX, unsent_bytes);
    }
    return CELLAR_OK;
}

/* A free slot, made if need be; NULL without memory. The lowest free one, so that the slots in use
 * stay together and their number near that of requests in flight. */
static struct cellar_engine_slot *slot_take(struct cellar_engine *engine)
{
    CELLAR_ASSERT(engine->in_flight_count <= engine->slot_count);
    for (uint32_t index = 0; index < engine->slot_count; index++) {
        if (engine->slots[index].id == 0) {
            return &engine->slots[index];
        }
    }
    CELLAR_ASSERT(engine->slot_count < CELLAR_ENGINE_REQUESTS_MAX);
    uint32_t count =
        CELLAR_MIN(CELLAR_MAX(2 * engine->slot_count, 1u), (uint32_t)CELLAR_ENGINE_REQUESTS_MAX);
    struct cellar_engine_slot *slots =
        cellar_mem_realloc(engine->slots, count * sizeof *engine->slots);
    if (slots == NULL) {
        return NULL;
    }
    uint32_t first = engine->slot_count;
    memset(slots + first, 0, (count - first) * sizeof *slots);
    engine->slots = slots;
    engine->slot_count = count;
    return &slots[first];
}

/* The sequence moves on only when the request is queued: an id that was never sent may be used. */
enum cellar_status cellar_engine_submit(struct cellar_engine *engine, uint16_t operation,
                                        struct cellar_slice body, uint32_t *id,
                                        struct cellar_error *error)
{
    struct cellar_frame frame = {.operation = operation, .kind = CELLAR_FRAME_REQUEST};
    CELLAR_TRY(submit_check(engine, body, error));
    /* A slot that was made but not used is no loss: the next request takes it. */
    struct cellar_engine_slot *slot = slot_take(engine);
    if (slot == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a request");
    }
    frame.request_id = engine->sequence << SLOT_BITS | (uint32_t)(slot - engine->slots);
    CELLAR_ASSERT(frame.request_id != 0 && slot->joined.bytes == 0);
    if (output_put(engine, &frame, body) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a request of %zu bytes",
                                body.bytes);
    }
    engine->sequence = engine->sequence == SEQUENCE_MAX ? 1 : engine->sequence + 1;
    engine->in_flight_count++;
    slot->id = frame.request_id;
    slot->operation = operation;
    slot->joined_kind = 0;
    *id = frame.request_id;
    return CELLAR_OK;
}

/* The slot of a request in flight, or NULL. The whole id must fit, not only the slot's bits: that
 * is what keeps late answers apart. */
static struct cellar_engine_slot *slot_find(const struct cellar_engine *engine, uint32_t id)
{
    uint32_t index = id & (CELLAR_ENGINE_REQUESTS_MAX - 1);
    CELLAR_ASSERT(engine->slot_count <= CELLAR_ENGINE_REQUESTS_MAX);
    if (id == 0 || index >= engine->slot_count || engine->slots[index].id != id) {
        return NULL;
    }
    return &engine->slots[index];
}

/* A stream that has ended needs no credit; the server would ignore it too. */
enum cellar_status cellar_engine_credit(struct cellar_engine *engine, uint32_t id, uint64_t bytes)
{
    struct cellar_frame frame = {.request_id = id, .kind = CELLAR_FRAME_CREDIT};
    struct cellar_msg_credit credit = {.bytes = bytes};
    struct cellar_buffer body = {0};
    CELLAR_ASSERT(bytes > 0);
    if (slot_find(engine, id) == NULL) {
        return CELLAR_OK;
    }
    enum cellar_status status = cellar_message_encode(&cellar_msg_credit_type, &credit, &body);
    if (status == CELLAR_OK) {
        status = output_put(engine, &frame, cellar_slice_of(&body));
    }
    cellar_buffer_fini(&body);
    return status;
}

/* The slot stays taken until the answer comes, which it does, cancelled or not. */
enum cellar_status cellar_engine_cancel(struct cellar_engine *engine, uint32_t id)
{
    struct cellar_frame frame = {.request_id = id, .kind = CELLAR_FRAME_CANCEL};
    CELLAR_ASSERT(id != 0);
    if (slot_find(engine, id) == NULL) {
        return CELLAR_OK;
    }
    return output_put(engine, &frame, cellar_slice_make(NULL, 0));
}

struct cellar_slice cellar_engine_output(const struct cellar_engine *engine)
{
    CELLAR_ASSERT(engine->output_start <= engine->output.bytes);
    if (engine->output.bytes == 0) {
        return cellar_slice_make(NULL, 0);
    }
    return cellar_slice_make(engine->output.data + engine->output_start,
                             engine->output.bytes - engine->output_start);
}

/* An empty buffer begins at its front again; mostly all is sent at once, and nothing is ever moved.
 */
void cellar_engine_sent(struct cellar_engine *engine, size_t bytes)
{
    CELLAR_ASSERT(bytes <= engine->output.bytes - engine->output_start);
    engine->output_start += bytes;
    if (engine->output_start == engine->output.bytes) {
        cellar_buffer_clear(&engine->output);
        engine->output_start = 0;
    }
}

/* ---- input --------------------------------------------------------------------------------- */

/* What was taken is dropped here rather than with each frame: one move a read, and slices of the
 * events before stay good until then. */
enum cellar_status cellar_engine_room(struct cellar_engine *engine, uint8_t **room, size_t *bytes)
{
    CELLAR_ASSERT(engine->input_start <= engine->input.bytes);
    if (engine->input_start > 0) {
        cellar_buffer_consume(&engine->input, engine->input_start);
        engine->input_start = 0;
    }
    *bytes = 0;
    if (engine->input.bytes >= CELLAR_ENGINE_INPUT_BYTES_MAX) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_buffer_reserve(
        &engine->input,
        CELLAR_MIN((size_t)READ_BYTES, CELLAR_ENGINE_INPUT_BYTES_MAX - engine->input.bytes)));
    *room = engine->input.data + engine->input.bytes;
    *bytes = CELLAR_MIN(engine->input.capacity, (size_t)CELLAR_ENGINE_INPUT_BYTES_MAX) -
             engine->input.bytes;
    return CELLAR_OK;
}

void cellar_engine_received(struct cellar_engine *engine, size_t bytes)
{
    CELLAR_ASSERT(bytes <= engine->input.capacity - engine->input.bytes);
    engine->input.bytes += bytes;
}

/* Takes the next whole frame; false when there is none yet, or the header is wrong. Only the header
 * is judged before all of the frame is there, so a wrong one is found with its 12 bytes and not
 * after a payload that may never come. */
static bool frame_take(struct cellar_engine *engine, struct cellar_frame *frame,
                       struct cellar_slice *payload)
{
    struct cellar_error error;
    size_t left = engine->input.bytes - engine->input_start;
    CELLAR_ASSERT(engine->input_start <= engine->input.bytes);
    if (left < CELLAR_FRAME_HEADER_BYTES) {
        return false;
    }
    const uint8_t *at = engine->input.data + engine->input_start;
    if (cellar_frame_decode(at, frame, &error) != CELLAR_OK) {
        engine_break_rule(engine, error.text, cellar_get_u32be(at));
        return false;
    }
    if (left - CELLAR_FRAME_HEADER_BYTES < frame->payload_bytes) {
        return false;
    }
    *payload = cellar_slice_make(at + CELLAR_FRAME_HEADER_BYTES, frame->payload_bytes);
    engine->input_start += CELLAR_FRAME_HEADER_BYTES + frame->payload_bytes;
    return true;
}

/* Turns the body of an ERROR that speaks of the whole connection into the engine's own. */
static void engine_break_error(struct cellar_engine *engine, struct cellar_slice body)
{
    struct cellar_msg_error message;
    struct cellar_error error;
    enum cellar_status code;
    if (cellar_message_decode(&cellar_msg_error_type, body, &message, CELLAR_UNKNOWN_SKIP,
                              &error) != CELLAR_OK ||
        !cellar_status_decode(message.code, &code) || code == CELLAR_OK) {
        engine_break_rule(engine, "an ERROR without a code", body.bytes);
        return;
    }
    (void)cellar_error_set(&error, code, "%.*s", (int)CELLAR_MIN(message.text.bytes, 512u),
                           (const char *)message.text.data);
    error.retry_delay_ms = (uint32_t)CELLAR_MIN(message.retry_delay_ms, (uint64_t)UINT32_MAX);
    CELLAR_ASSERT(error.code != CELLAR_OK);
    cellar_engine_break(engine, &error);
}

/* Takes HELLO's answer; every other frame before it is against the rules. */
static void hello_take(struct cellar_engine *engine, const struct cellar_frame *frame,
                       struct cellar_slice body)
{
    struct cellar_msg_hello_reply reply;
    CELLAR_ASSERT(engine->state == CELLAR_ENGINE_GREETING);
    if (frame->request_id != HELLO_ID || frame->operation != CELLAR_OP_HELLO || frame->has_more) {
        engine_break_rule(engine, "another frame than HELLO's answer", frame->operation);
        return;
    }
    if (frame->kind == CELLAR_FRAME_ERROR) {
        engine_break_error(engine, body);
        return;
    }
    if (frame->kind != CELLAR_FRAME_REPLY ||
        cellar_message_decode(&cellar_msg_hello_reply_type, body, &reply, CELLAR_UNKNOWN_SKIP,
                              NULL) != CELLAR_OK) {
        engine_break_rule(engine, "HELLO's answer cannot be read", frame->kind);
        return;
    }
    if (reply.version < VERSION_MIN || reply.version > VERSION_MAX || reply.requests_max == 0 ||
        reply.request_bytes_max == 0) {
        engine_break_rule(engine, "HELLO's answer has a version or limits that do not fit",
                          reply.version);
        return;
    }
    /* A server may take more than this client ever sends; its own limits count where lower. */
    engine->request_bytes_max =
        CELLAR_MIN(reply.request_bytes_max, (uint64_t)CELLAR_REQUEST_BYTES_MAX);
    engine->requests_max = CELLAR_MIN(reply.requests_max, (uint64_t)CELLAR_ENGINE_REQUESTS_MAX);
    size_t name_bytes = CELLAR_MIN(reply.server.bytes, sizeof engine->server - 1);
    memcpy(engine->server, name_bytes == 0 ? (const void *)"" : reply.server.data, name_bytes);
    engine_move(engine, CELLAR_ENGINE_OPEN);
}

/* Takes a frame that speaks of the connection: GOAWAY or ERROR with id 0. */
static void connection_frame_take(struct cellar_engine *engine, const struct cellar_frame *frame,
                                  struct cellar_slice body)
{
    struct cellar_error error;
    CELLAR_ASSERT(frame->request_id == 0);
    if (frame->kind == CELLAR_FRAME_ERROR && !frame->has_more) {
        engine_break_error(engine, body);
    } else if (frame->kind != CELLAR_FRAME_GOAWAY) {
        engine_break_rule(engine, "a frame of no request", frame->kind);
    } else if (engine->state == CELLAR_ENGINE_OPEN) {
        engine_move(engine, CELLAR_ENGINE_LEAVING);
    } else if (engine->state == CELLAR_ENGINE_GREETING) {
        (void)cellar_error_set(&error, CELLAR_UNAVAILABLE, "The server is about to stop");
        cellar_engine_break(engine, &error);
    }
}

/* Adds a frame's payload to its message. Returns false when that broke the engine. */
static bool payload_join(struct cellar_engine *engine, struct cellar_engine_slot *slot,
                         const struct cellar_frame *frame, struct cellar_slice payload)
{
    CELLAR_ASSERT(slot->joined_kind == 0 || slot->joined_kind == frame->kind);
    if (payload.bytes > engine->joined_bytes_max - slot->joined.bytes) {
        engine_break_rule(engine, "a message is larger than this client takes",
                          slot->joined.bytes + payload.bytes);
        return false;
    }
    if (payload.bytes > 0 &&
        cellar_buffer_append(&slot->joined, payload.data, payload.bytes) != CELLAR_OK) {
        engine_break_memory(engine);
        return false;
    }
    slot->joined_kind = frame->kind;
    return true;
}

/* Makes an event of a request's last frame and ends the request unless it was a PART. */
static void event_make(struct cellar_engine *engine, struct cellar_engine_slot *slot,
                       const struct cellar_frame *frame, struct cellar_slice body,
                       struct cellar_event *event)
{
    event->kind = frame->kind == CELLAR_FRAME_REPLY  ? CELLAR_EVENT_REPLY
                  : frame->kind == CELLAR_FRAME_PART ? CELLAR_EVENT_PART
                                                     : CELLAR_EVENT_ERROR;
    event->request_id = slot->id;
    event->operation = slot->operation;
    event->body = body;
    if (slot->joined_kind != 0) {
        CELLAR_ASSERT(slot->joined.bytes <= engine->joined_bytes_max);
        engine->delivered = slot->joined;
        slot->joined = (struct cellar_buffer){0};
        slot->joined_kind = 0;
        event->body = cellar_slice_of(&engine->delivered);
    }
    if (event->kind != CELLAR_EVENT_PART) {
        CELLAR_ASSERT(engine->in_flight_count > 0);
        engine->in_flight_count--;
        slot->id = 0;
    }
}

/* An error cuts off the part that was under way. */
static void part_void(struct cellar_engine_slot *slot)
{
    CELLAR_ASSERT(slot->joined_kind == CELLAR_FRAME_PART);
    cellar_buffer_fini(&slot->joined);
    slot->joined_kind = 0;
}

/* Takes a frame of a request in flight; true when it made an event. */
static bool request_frame_take(struct cellar_engine *engine, const struct cellar_frame *frame,
                               struct cellar_slice payload, struct cellar_event *event)
{
    struct cellar_engine_slot *slot = slot_find(engine, frame->request_id);
    bool is_answer = frame->kind == CELLAR_FRAME_REPLY || frame->kind == CELLAR_FRAME_ERROR ||
                     (frame->kind == CELLAR_FRAME_PART && frame->operation == CELLAR_OP_READ_ROWS);
    CELLAR_ASSERT(frame->request_id != 0);
    if (slot == NULL || slot->operation != frame->operation) {
        engine_break_rule(engine, "an answer to no request", frame->request_id);
        return false;
    }
    if (frame->kind == CELLAR_FRAME_ERROR && slot->joined_kind == CELLAR_FRAME_PART) {
        part_void(slot);
    }
    if (!is_answer || (slot->joined_kind != 0 && slot->joined_kind != frame->kind)) {
        engine_break_rule(engine, "a frame of a kind that cannot stand here", frame->kind);
        return false;
    }
    bool is_joined = frame->has_more || slot->joined_kind != 0;
    if (is_joined && !payload_join(engine, slot, frame, payload)) {
        return false;
    }
    if (frame->has_more) {
        return false;
    }
    event_make(engine, slot, frame, payload, event);
    return true;
}

bool cellar_engine_event(struct cellar_engine *engine, struct cellar_event *event)
{
    struct cellar_frame frame;
    struct cellar_slice payload;
    CELLAR_ASSERT(engine->state != CELLAR_ENGINE_NEW);
    cellar_buffer_fini(&engine->delivered);
    /* Frames that make no event (pieces of a message, HELLO's answer, GOAWAY) are taken on the way.
     */
    while (engine->state != CELLAR_ENGINE_BROKEN && frame_take(engine, &frame, &payload)) {
        if (frame.request_id == 0) {
            connection_frame_take(engine, &frame, payload);
        } else if (engine->state == CELLAR_ENGINE_GREETING) {
            hello_take(engine, &frame, payload);
        } else if (request_frame_take(engine, &frame, payload, event)) {
            return true;
        }
    }
    return false;
}

bool cellar_engine_is_idle(const struct cellar_engine *engine)
{
    CELLAR_ASSERT(engine->input_start <= engine->input.bytes);
    return engine->state == CELLAR_ENGINE_OPEN && engine->in_flight_count == 0 &&
           engine->output.bytes == 0 && engine->input_start == engine->input.bytes;
}

void cellar_engine_trim(struct cellar_engine *engine)
{
    CELLAR_ASSERT(cellar_engine_is_idle(engine));
    cellar_buffer_fini(&engine->delivered);
    if (engine->input.capacity > TRIM_BYTES) {
        cellar_buffer_fini(&engine->input);
        engine->input_start = 0;
    }
    if (engine->output.capacity > TRIM_BYTES) {
        cellar_buffer_fini(&engine->output);
    }
}
