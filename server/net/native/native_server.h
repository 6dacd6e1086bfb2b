#ifndef CELLAR_NET_NATIVE_SERVER_H
#define CELLAR_NET_NATIVE_SERVER_H

#include "server/net/native/session.h"

/* HELLO, PING and SERVER_INFO: PROTOCOL.md, "Operations". All answer at once. */

#define NET_VERSION 1u /* of the protocol; the only one there is */

/** HELLO: agrees on the version, or refuses and closes. */
void net_server_hello(struct net_session *session, const struct net_request *request);

/** PING: whether the server takes writes. */
void net_server_ping(struct net_session *session, const struct net_request *request);

/** SERVER_INFO: version, uptime, data directory and figures. */
void net_server_info(struct net_session *session, const struct net_request *request);

#endif
