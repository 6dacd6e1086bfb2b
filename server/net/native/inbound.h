#ifndef CELLAR_NET_INBOUND_H
#define CELLAR_NET_INBOUND_H

#include "server/net/native/session.h"

/*
 * The side of a session that takes bytes: preface, frames, half-sent requests, and what happens to
 * the connection. It calls the operations; they know the session only.
 */

/** Makes the session of a new connection and becomes the connection's handler; without memory the
 * connection is closed. The session frees itself when the connection is gone and its last call has
 * ended. Loop thread. */
void net_inbound_start(const struct net_context *context, struct io_conn *conn);

#endif
