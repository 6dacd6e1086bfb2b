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

/**
 * Takes settings that may change while the server runs: limits, budgets and the time to drain.
 * Other settings in `config` are not looked at.
 *
 * @param config  borrowed until return; budgets of 0 stay as they are
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT saying what is wrong: nothing was changed
 */
enum cellar_status cellar_server_reconfigure(struct cellar_server *server,
                                             const struct cellar_server_config *config,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** Whether all loops turn; what a watchdog asks. Any thread. @return CELLAR_OK, or UNAVAILABLE with
 * the reason */
enum cellar_status cellar_server_check_loops(struct cellar_server *server,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** Stops: takes no more requests, lets those in flight finish (for drain_us at most), makes the
 * data safe and frees all. Takes NULL. */
void cellar_server_stop(struct cellar_server *server);

#endif
