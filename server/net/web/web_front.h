#ifndef CELLAR_WEB_FRONT_H
#define CELLAR_WEB_FRONT_H

#include "server/io/conn.h"
#include "server/net/web/web_pages.h"

/*
 * The pages that people, monitoring and supervisors look at: `/`, `/healthz`, `/readyz`, `/metrics`
 * over HTTP/1.1. What the pages say is given by functions, so that this front end knows no other
 * one and no operation.
 */

#define WEB_CONN_COUNT_MAX 64u    /* open at once, all loops */
#define WEB_HEAD_US_MAX 10000000  /* from a request's first byte to the end of its head */
#define WEB_IDLE_US_MAX 120000000 /* between two requests */
#define WEB_SEND_US_MAX 30000000  /* for the client to take an answer */

/** Fills `context`, which then is ready for web_front_take() on any loop. Nothing to undo. */
void web_front_init(struct web_context *context, const struct web_site *site);

/** Takes over a connection; `context` is a struct web_context that outlives it. Loop thread. */
void web_front_take(struct io_conn *conn, void *context);

#endif
