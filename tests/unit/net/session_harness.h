#ifndef CELLAR_TESTS_SESSION_HARNESS_H
#define CELLAR_TESTS_SESSION_HARNESS_H

#include "tests/support/support.h"

#include "common/message.h"
#include "server/net/native/front.h"

/*
 * A session without a socket, for tests and fuzzing: bytes go in by function call, the loop turns
 * when told to, frames are read from the output buffer. Include session_harness.c beside
 * fake_service.c.
 */

#define HARNESS_READ_TASK_COUNT_MAX 20u /* waiting ones, beside the one that runs */

struct harness {
    struct io_loop *loop;
    struct io_pool *pool;
    struct io_pool *read_pool;
    struct io_budget request_budget;
    struct io_budget file_budget;
    struct io_budget answer_budget;
    struct net_context context;
    struct net_measures measures;
    struct io_conn *conn; /* freed by itself in the turn after it was closed */
    size_t output_at;     /* what was read of the output */
};

/** A frame of the output; the payload is borrowed until the next turn. */
struct harness_frame {
    struct cellar_frame head;
    struct cellar_slice payload;
};

/** Makes loop, pool, and a connection that has sent nothing. */
void harness_open(struct harness *harness);

/** Makes them, and greets: preface, HELLO, and its reply read. */
void harness_open_greeted(struct harness *harness);

/** Closes what is left and frees all. */
void harness_close(struct harness *harness);

/** One turn that does not block; what was sent before is dropped from the output first. */
void harness_turn(struct harness *harness);

/** Feeds raw bytes. */
void harness_feed(struct harness *harness, const void *data, size_t bytes);

/** Feeds one frame. */
void harness_feed_frame(struct harness *harness, const struct cellar_frame *head,
                        struct cellar_slice payload);

/** Feeds a request with an encoded message as its body. */
void harness_request(struct harness *harness, uint32_t id, uint16_t operation,
                     const struct cellar_message_type *type, const void *message);

/** Takes the next frame of the output. @return false when there is no whole one */
bool harness_take(struct harness *harness, struct harness_frame *frame);

/** Takes a frame, which must be there and of that id and kind. */
struct harness_frame harness_expect(struct harness *harness, uint32_t id,
                                    enum cellar_frame_kind kind);

/** Takes an ERROR of that id, which must have that code and the text in it. */
void harness_expect_error(struct harness *harness, uint32_t id, enum cellar_status code,
                          const char *text);

/** Fails the test if there is a frame. */
void harness_expect_nothing(struct harness *harness);

#endif
