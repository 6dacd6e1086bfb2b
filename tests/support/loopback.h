#ifndef CELLAR_TESTS_SUPPORT_LOOPBACK_H
#define CELLAR_TESTS_SUPPORT_LOOPBACK_H

#include <cellar/cellar.h>

#include "server/app/server.h"
#include "tests/support/model_port.h"

/*
 * A whole server in the process, on a free port of this machine, and a client of the library that
 * speaks to it; both together are a port for the model.
 */

struct loopback {
    struct model_port port; /* first */
    struct cellar_server *server;
    struct cellar_client *client;
    struct svc_options options;
    char folder[256];   /* holds the data directories */
    char data_dir[300]; /* the one in use */
    unsigned copy_count;
};

/**
 * Starts a server on a new folder and opens a client to it; the test fails when that does not work.
 *
 * @param options  of the service, as model_service_options_init() makes them
 */
void loopback_open(struct loopback *loopback, const struct svc_options *options);

/** Closes the client, stops the server and removes the folder. */
void loopback_close(struct loopback *loopback);

/** Stops the server and starts another on the same data, or on a copy taken before the stop, with a
 * new client. */
void loopback_restart(struct loopback *loopback, bool is_crash);

/** Opens one more client to the server. */
struct cellar_client *loopback_client(struct loopback *loopback);

/** Makes a table of one family, "f"; the test fails when that does not work. */
void loopback_table(struct loopback *loopback, const char *name,
                    enum cellar_table_granularity granularity);

/** What the tests of a group share, between the two functions below. */
extern struct loopback loopback_group;

/** A group's setup: opens loopback_group with the model's options and a table "t". Returns 0. */
int loopback_group_open(void **state);

/** A group's teardown: closes loopback_group. Returns 0. */
int loopback_group_close(void **state);

/** A slice as a view of the library. */
static inline struct cellar_view loopback_view(struct cellar_slice slice)
{
    return cellar_view_of(slice.data, slice.bytes);
}

#endif
