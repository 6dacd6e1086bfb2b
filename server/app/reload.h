#ifndef CELLAR_APP_RELOAD_H
#define CELLAR_APP_RELOAD_H

#include "server/app/server.h"

/*
 * Reading the settings again in a running server: SIGHUP. Those that can change are applied, others
 * are named in the log. Settings with a mistake change nothing. One thread.
 */
struct cellar_reload {
    int count;        /* the command line, */
    char **arguments; /* and the environment, as at the start */
    char **environment;
    const struct cellar_config *started; /* what the server was started with, */
    const struct cellar_server_config *started_config;
    enum cellar_log_level log_level; /* that is in use */
    struct cellar_config latest;     /* and what was applied last; no values: nothing was */
};

/** Reads all layers again and applies what can be. @return whether it was; the log says why not */
bool cellar_reload_run(struct cellar_reload *reload, struct cellar_server *server);

/** Frees what the last settings hold. */
void cellar_reload_fini(struct cellar_reload *reload);

#endif
