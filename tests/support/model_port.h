#ifndef CELLAR_TESTS_SUPPORT_MODEL_PORT_H
#define CELLAR_TESTS_SUPPORT_MODEL_PORT_H

#include "tests/support/model.h"

/*
 * The door through which a test reaches a server: the same requests can go to the service in the
 * process, or through the client library and a socket.
 */

/** One row's mutations. */
struct model_entry {
    struct cellar_slice row;
    const struct cellar_mutation *mutations;
    size_t mutation_count;
};

struct model_port;

/** What a port can do. Every call waits for its end. */
struct model_port_calls {
    enum cellar_status (*create)(struct model_port *port, const struct svc_table *table,
                                 struct cellar_error *error);
    /** One row in one request. */
    enum cellar_status (*mutate)(struct model_port *port, const char *table,
                                 const struct model_entry *entry, struct cellar_error *error);
    /** Many rows in one request; `results` receives one element an entry when CELLAR_OK is
     * returned. */
    enum cellar_status (*mutate_batch)(struct model_port *port, const char *table,
                                       const struct model_entry *entries, size_t count,
                                       struct cellar_error *results, struct cellar_error *error);
    /** A request for each entry, in order, all in flight together; the first failure is returned.
     */
    enum cellar_status (*mutate_burst)(struct model_port *port, const char *table,
                                       const struct model_entry *entries, size_t count,
                                       struct cellar_error *error);
    /** Changes families. */
    enum cellar_status (*modify_families)(struct model_port *port,
                                          const struct svc_family_changes *changes,
                                          struct cellar_error *error);
    /** Drops rows by prefix, or all. */
    enum cellar_status (*drop_rows)(struct model_port *port, const struct svc_rows_drop *drop,
                                    struct cellar_error *error);
    /** Reads all rows; `answer` is cleared first and owns what it holds. */
    enum cellar_status (*read)(struct model_port *port, const char *table,
                               const struct model_read *read, struct model_answer *answer,
                               struct cellar_error *error);
    /** Stops and starts; with `is_crash` on a copy of the data taken before the stop. */
    void (*restart)(struct model_port *port, bool is_crash);
};

struct model_port {
    const struct model_port_calls *calls;
    struct test_random random; /* for what a port decides by itself, such as the size of chunks */
};

#endif
