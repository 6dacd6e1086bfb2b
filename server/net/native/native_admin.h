#ifndef CELLAR_NET_NATIVE_ADMIN_H
#define CELLAR_NET_NATIVE_ADMIN_H

#include "server/net/native/session.h"

/* CREATE_TABLE, DESCRIBE_TABLE, LIST_TABLES, DROP_TABLE, MODIFY_FAMILIES and DROP_ROWS:
 * PROTOCOL.md, "Operations". */

/** Any of these: decodes, runs and encodes on the pool, then answers. */
void net_admin_run(struct net_session *session, const struct net_request *request);

#endif
