#ifndef CELLAR_TESTS_FAKE_PEER_H
#define CELLAR_TESTS_FAKE_PEER_H

#include "tests/support/support.h"

#include <cellar/cellar.h>
#include <pthread.h>

#include "common/frame.h"
#include "common/message.h"

/*
 * A server of a few lines: it listens on loopback, greets, and hands each connection to the test's
 * function, in a thread of its own, one connection after the other unless that function makes more
 * threads. It asserts with CELLAR_ASSERT, since cmocka's asserts belong to the test's thread.
 * Include fake_peer.c at the end of the test.
 */

struct fake_peer;

/** Serves one greeted connection; returning closes it. `index` counts the connections from 0. */
typedef void fake_serve(struct fake_peer *peer, int fd, unsigned index);

struct fake_peer {
    fake_serve *serve;
    void *context; /* the test's */
    int listener;
    pthread_t thread;
    char endpoint[32];
    unsigned connection_count; /* read after fake_peer_stop() */
};

/** What a peer received. */
struct fake_request {
    struct cellar_frame frame;
    struct cellar_buffer body;
};

/** Listens and starts the thread; fill `serve` before. */
void fake_peer_start(struct fake_peer *peer);

/** Stops listening and waits for the thread. */
void fake_peer_stop(struct fake_peer *peer);

/** A client of that peer with a timeout of 10 s; `options` may be NULL. */
struct cellar_client *fake_peer_client(struct fake_peer *peer,
                                       const struct cellar_options *options);

/** Receives a whole frame (or message); false when the client closed. */
bool fake_receive(int fd, struct fake_request *request);

/** Sends a message as one frame or several. */
void fake_send(int fd, const struct fake_request *request, uint8_t kind, struct cellar_slice body);

/** Sends a REPLY with an empty body. */
void fake_reply_empty(int fd, const struct fake_request *request);

/** Sends an ERROR. */
void fake_error(int fd, const struct fake_request *request, enum cellar_status code,
                uint32_t retry_delay_ms);

/** One part of a read: one row of one cell. */
struct fake_part {
    uint64_t number;
    const char *key;
    size_t padding_bytes; /* in a field that clients step over; below 16 MiB */
    bool is_last;         /* it is the REPLY */
};

/** Sends a part. */
void fake_rows(int fd, const struct fake_request *request, const struct fake_part *part);

/** What fake_answer_serve() answers to everything, and what it was asked last. */
struct fake_answer {
    struct cellar_slice answer;
    uint16_t operation;
    uint8_t body[64]; /* its first bytes */
};

/** A fake_serve whose peer's context is a struct fake_answer. */
void fake_answer_serve(struct fake_peer *peer, int fd, unsigned index);

/** Frees the body. */
void fake_request_fini(struct fake_request *request);

#endif
