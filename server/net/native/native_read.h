#ifndef CELLAR_NET_NATIVE_READ_H
#define CELLAR_NET_NATIVE_READ_H

#include "server/net/native/session.h"

/* READ_ROWS: PROTOCOL.md, "Rows" and "Flow control". */

#define NET_PART_BYTES 131072u    /* what a part's rows are to amount to */
#define NET_CREDIT_BYTES 1048576u /* of a read that does not say */

/** READ_ROWS: answers what the first part holds at once; a longer read goes on part by part, as the
 * client's credit, its socket and the other requests allow. */
void net_read_rows(struct net_session *session, const struct net_request *request);

#endif
