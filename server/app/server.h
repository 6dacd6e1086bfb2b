#ifndef CELLAR_APP_SERVER_H
#define CELLAR_APP_SERVER_H

#include "server/app/server_config.h"

/*
 * A whole server in one object: service, loops, pool, listener and front ends, wired. The program
 * has one; tests may have several.
 */

struct cellar_server;

/**
 * Starts a server; when this returns it answers.
 *
 * @param config  borrowed until return, but for its texts, which outlive the server
 * @return CELLAR_OK; what svc_open() and io_listener_open() return, with their texts
 */
enum cellar_status cellar_server_start(const struct cellar_server_config *config,
                                       struct cellar_server **server, struct cellar_error *error)
    CELLAR_MUST_USE;

/** The address it serves on, with the port that was taken. */
const struct io_address *cellar_server_address(const struct cellar_server *server);

/** Stops: accepts no more, lets requests in flight finish (for a few seconds at most), makes the
 * data safe and frees all. Takes NULL. */
void cellar_server_stop(struct cellar_server *server);

#endif
