#ifndef CELLAR_NET_NATIVE_WRITE_H
#define CELLAR_NET_NATIVE_WRITE_H

#include "server/net/native/session.h"

/* MUTATE_ROW and MUTATE_ROWS: PROTOCOL.md, "Mutations". Both are answered when the log says so. */

/** Hands the mutations of one row or many to the service, on the loop or, for a request of several
 * frames, on the pool; answers when they are durable, with a result for each of many rows. */
void net_write_run(struct net_session *session, const struct net_request *request);

#endif
