#ifndef CELLAR_NET_NATIVE_LOAD_H
#define CELLAR_NET_NATIVE_LOAD_H

#include "server/net/native/session.h"

/* BULK_BEGIN, BULK_ROWS, BULK_COMMIT and BULK_ABORT: PROTOCOL.md, "Bulk loads". */

/** Any of these: decodes, runs and encodes on the pool, then answers; the connection reads no
 * further meanwhile. */
void net_load_run(struct net_session *session, const struct net_request *request);

/** The session's connection is gone: the loads that it spoke of last end. */
void net_loads_gone(struct net_session *session);

#endif
