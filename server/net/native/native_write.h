#ifndef CELLAR_NET_NATIVE_WRITE_H
#define CELLAR_NET_NATIVE_WRITE_H

#include "server/net/native/session.h"

/* MUTATE_ROW and MUTATE_ROWS: PROTOCOL.md, "Mutations". Both are answered when the log says so. */

/** MUTATE_ROW: hands one row's mutations to the service and answers when they are durable. */
void net_write_row(struct net_session *session, const struct net_request *request);

/** MUTATE_ROWS: likewise for many rows, with a result for each. */
void net_write_rows(struct net_session *session, const struct net_request *request);

#endif
