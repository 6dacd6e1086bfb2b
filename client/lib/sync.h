#ifndef CELLAR_CLIENT_SYNC_H
#define CELLAR_CLIENT_SYNC_H

#include "client/lib/address.h"
#include "client/lib/engine.h"

/* One connection that blocks: a socket and its engine. It belongs to one thread at a time. */

struct cellar_sync;

/**
 * Connects and greets.
 *
 * @param deadline_us  monotonic microseconds; 0 = none
 * @param sync         receives the connection; close it with cellar_sync_close()
 * @return CELLAR_OK; as cellar_address_connect(); CELLAR_FAILED_PRECONDITION when what answers
 *         speaks another protocol; what the server refuses HELLO with; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_sync_open(const struct cellar_address *address, int64_t deadline_us,
                                    struct cellar_sync **sync, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * As cellar_sync_open(), over a connected stream socket.
 *
 * @param fd  becomes the connection's on success only
 */
enum cellar_status cellar_sync_adopt(int fd, int64_t deadline_us, struct cellar_sync **sync,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Closes the socket and frees the connection; takes NULL. */
void cellar_sync_close(struct cellar_sync *sync);

/** The protocol's state, to submit, credit and cancel through. */
struct cellar_engine *cellar_sync_engine(struct cellar_sync *sync);

/**
 * Sends what is queued and waits for the next answer.
 *
 * @param event  receives it; its body lives until the connection's next call
 * @return CELLAR_OK; CELLAR_DEADLINE_EXCEEDED; CELLAR_UNAVAILABLE when the connection broke; the
 *         engine's error otherwise. After a failure the connection can only be closed
 */
enum cellar_status cellar_sync_wait(struct cellar_sync *sync, int64_t deadline_us,
                                    struct cellar_event *event, struct cellar_error *error)
    CELLAR_MUST_USE;

/** True when everything that was queued has been handed to the system to send. */
bool cellar_sync_is_sent(const struct cellar_sync *sync);

/** True when another call can use the connection: idle, and the server has not closed it. */
bool cellar_sync_is_reusable(struct cellar_sync *sync);

/**
 * Sends PING over a reusable connection and waits for the answer.
 *
 * @return true when it came and the connection is still reusable; otherwise it can only be closed
 */
bool cellar_sync_probe(struct cellar_sync *sync, int64_t deadline_us);

#endif
